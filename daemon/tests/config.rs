//! The configuration from outside: every fault at once with its line, patches in order, and the generated files as
//! they stand in the repository.

use proptest::prelude::*;
use serde_json::Value;
use std::path::{Path, PathBuf};
use vakt_core::event::Profile;
use vaktd::config::fields::{Absent, Form, Kind, SECTIONS, join};
use vaktd::config::load::{FAULTS_LIMIT, FILES_LIMIT, Fault, TEXT_LIMIT, load};
use vaktd::config::print::{default_toml, schema};
use vaktd::config::settings::{Broker, ClockTrust, Config, KeyRole, Receiver, Watches};
use vaktd::config::shapes::Shape;

const KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn files(texts: &[(&str, &str)]) -> Vec<(String, String)> {
    texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn accepted(texts: &[(&str, &str)]) -> Config {
    load(&files(texts)).unwrap_or_else(|faults| panic!("refused:\n{}", lines(&faults).join("\n")))
}

fn lines(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(Fault::to_string).collect()
}

fn refused(texts: &[(&str, &str)]) -> Vec<String> {
    lines(&load(&files(texts)).expect_err("this configuration must be refused"))
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let found = refused(&[("vaktd.toml", text)]);
    assert_eq!(found, expected, "\n{}", found.join("\n"));
}

/// A site as a technician would install it.
const SITE: &str = r#"gateway = "my-hub"
[site]
timezone = "UTC"
profile = "dk"
[clock]
trust = "always"
[[centre.key]]
kid = "arc-1"
ed25519 = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
[[centre.key]]
kid = "maker-1"
role = "maker"
ed25519 = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
[upstream]
beat_primary_s = 0x1e
[[upstream.path]]
name = "eth"
brokers = ["arc.example:8883", "[2001:db8::1]:8883"]
device = "eth0"
[upstream.path.tls]
ca = "/etc/vakt/tls/ca.pem"
cert = "/etc/vakt/tls/client.pem"
key = "/etc/vakt/tls/client.key"
[[upstream.path]]
name = "lte"
brokers = ["localhost:1883"]
insecure_plain = true
[[subghz.port]]
name = "stick"
path = "/dev/serial/by-id/usb-IMST_iM871A-if00-port0"
receiver = "im871a"
[[subghz.port]]
name = "lines"
path = "/dev/pts/3"
receiver = "rtl_wmbus"
baud = 9600
"#;

#[test]
fn a_whole_site_is_read() {
    let config = accepted(&[("vaktd.toml", SITE)]);
    assert_eq!(config.gateway.as_str(), "my-hub");
    assert_eq!(config.state_dir, Path::new("/var/lib/vakt"), "a default");
    assert_eq!((config.site.profile, config.clock.trust), (Profile::Dk, ClockTrust::Always));
    assert_eq!((config.upstream.beat_primary_s, config.upstream.alarm_deadline_s), (30, 10));
    assert_eq!(config.centre.keys.iter().map(|key| key.role).collect::<Vec<_>>(), [KeyRole::Arc, KeyRole::Maker]);
    let receipts = config.centre.receipt_keys();
    assert_eq!(receipts.len(), 1, "a maker's key signs no receipts");
    assert_eq!((receipts[0].kid.as_str(), receipts[0].ed25519[0]), ("arc-1", 0xd7));
    let eth = &config.upstream.paths[0];
    assert_eq!(eth.brokers[1], Broker { host: "2001:db8::1".to_owned(), port: 8883 });
    assert_eq!(eth.device.as_deref(), Some("eth0"));
    assert_eq!(eth.tls.as_ref().unwrap().key, Path::new("/etc/vakt/tls/client.key"));
    assert!(config.upstream.paths[1].insecure_plain && config.upstream.paths[1].tls.is_none());
    let ports: Vec<(Receiver, u32)> = config.subghz.ports.iter().map(|port| (port.receiver, port.baud())).collect();
    assert_eq!(ports, [(Receiver::Im871a, 57_600), (Receiver::RtlWmbus, 9600)]);
}

#[test]
fn six_faults_in_two_files_are_told_at_once() {
    let base = "gateway = \"My Hub\"\nstate_dir = \"var/lib\"\n[site]\ntime_zone = \"UTC\"\nprofile = 'fi'\n";
    let patch = "[journal]\nkeep_days = 30\ncommit_limit_ms = '1s'\n";
    assert_eq!(
        refused(&[("vaktd.toml", base), ("vaktd.d/10-site.toml", patch)]),
        [
            "vaktd.toml:1: gateway: \"My Hub\" is not a gateway id, write 1 to 32 of a-z, 0-9 and -",
            "vaktd.toml:2: state_dir: the text is not an absolute path, write a path that begins with /",
            "vaktd.toml:4: site.time_zone: there is no such key, did you mean `timezone`?",
            "vaktd.toml:5: site.profile: \"fi\" is none of the words known here, write \"se\" or \"dk\" or \"no\"",
            "vaktd.d/10-site.toml:2: journal.keep_days: 30 is out of range, write 365 to 36500 days",
            "vaktd.d/10-site.toml:3: journal.commit_limit_ms: a string cannot stand here, write a whole number, 50 to \
             10000 milliseconds",
        ]
    );
}

#[test]
fn a_key_like_none_gets_the_list_of_those_there_are() {
    check(
        "gateway = 'g'\n[clock]\npassword = 'x'\n",
        &["vaktd.toml:3: clock.password: there is no such key, known here: trust"],
    );
    check("gateway = 'g'\n[upsteam]\n", &["vaktd.toml:2: upsteam: there is no such key, did you mean `upstream`?"]);
    check(
        "gateway = 'g'\n\"a\\nb\" = 1\n",
        &[
            "vaktd.toml:2: a\\nb: there is no such key, known here: board centre clock gateway journal modem run_dir site \
         state_dir subghz upstream zigbee",
        ],
    );
}

#[test]
fn broken_syntax_hides_no_other_fault_and_invents_none() {
    let found = refused(&[
        ("vaktd.toml", "gateway = my-hub\n[site\nprofile = 'fi'\n[journal]\nkeep_days = 1\nkeep_days = 2\n"),
        ("vaktd.d/a.toml", "[clock]\ntrust = 'sometimes'\n"),
    ]);
    let starts = |start: &str| found.iter().any(|fault| fault.starts_with(start));
    assert!(starts("vaktd.toml:1: syntax: "), "{found:#?}");
    assert!(starts("vaktd.toml:2: syntax: "), "{found:#?}");
    assert!(starts("vaktd.toml:5: journal.keep_days: 1 is out of range"), "{found:#?}");
    assert!(starts("vaktd.toml:6: syntax: duplicate key"), "{found:#?}");
    assert!(starts("vaktd.d/a.toml:2: clock.trust: "), "{found:#?}");
    assert!(!found.iter().any(|fault| fault.contains("missing")), "{found:#?}");
    assert!(!found.iter().any(|fault| fault.contains(":1: gateway")), "a guessed value is not judged: {found:#?}");
}

#[test]
fn what_is_missing_is_told_with_an_example() {
    check("", &["vaktd.toml:1: gateway: the key is missing, write it, such as gateway = \"my-hub\""]);
    assert_eq!(refused(&[]), ["vaktd.toml:1: gateway: the key is missing, write it, such as gateway = \"my-hub\""]);
    check(
        "gateway = 'g'\n\n[[subghz.port]]\nname = 'a'\npath = '/dev/ttyUSB0'\n",
        &["vaktd.toml:3: subghz.port.receiver: the key is missing, write it, such as receiver = \"im871a\""],
    );
}

#[test]
fn a_later_file_wins_key_by_key_and_replaces_whole_lists() {
    let one =
        "[journal]\nkeep_days = 500\n[[upstream.path]]\nname = 'lte'\nbrokers = ['[::1]:1']\ninsecure_plain = true";
    let config = accepted(&[("vaktd.toml", SITE), ("vaktd.d/10.toml", one), ("vaktd.d/20.toml", "gateway = 'two'")]);
    assert_eq!(config.gateway.as_str(), "two");
    assert_eq!((config.journal.keep_days, config.journal.commit_limit_ms), (500, 1000));
    assert_eq!(config.upstream.beat_primary_s, 30, "the table's other keys stay");
    assert_eq!(config.upstream.paths.iter().map(|path| path.name.as_str()).collect::<Vec<_>>(), ["lte"]);
    assert_eq!(config.centre.keys.len(), 2);
    let none = accepted(&[("vaktd.toml", SITE), ("vaktd.d/10.toml", "upstream.path = []\ncentre.key = []")]);
    assert!(none.upstream.paths.is_empty() && none.centre.keys.is_empty());
    let half = refused(&[("vaktd.toml", SITE), ("vaktd.d/10.toml", "[upstream.path]\nname = 'eth'")]);
    assert_eq!(
        half,
        ["vaktd.d/10.toml:1: upstream.path: a table cannot stand here, write [[upstream.path]] and the whole list (a \
         later file replaces it)"]
    );
}

#[test]
fn a_fault_in_a_value_that_a_later_file_replaces_is_still_told() {
    let found = refused(&[("vaktd.toml", "gateway = 'A'"), ("vaktd.d/1.toml", "gateway = 'a'")]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("vaktd.toml:1: gateway: "));
}

#[test]
fn a_path_needs_a_key_to_be_believed_and_tls_unless_it_stays_on_this_machine() {
    let path = |rest: &str| format!("gateway = 'g'\n[[upstream.path]]\nname = 'eth'\n{rest}");
    let arc = format!("[[centre.key]]\nkid = 'a'\ned25519 = '{KEY}'\n");
    check(
        &path("brokers = ['127.0.0.1:1883']\ninsecure_plain = true\n"),
        &["vaktd.toml:2: centre.key: no key of role arc, which signs receipts, but an upstream.path, write a \
         [[centre.key]] with the centre's public key"],
    );
    check(
        &path(&format!("brokers = ['b:1']\n{arc}")),
        &[
            "vaktd.toml:2: upstream.path.tls: the table is missing, write it with ca, cert and key (insecure_plain = true \
         is for a loopback broker only)",
        ],
    );
    check(
        &path(&format!("brokers = ['localhost:1', '192.168.1.1:1']\ninsecure_plain = true\n{arc}")),
        &["vaktd.toml:5: upstream.path.insecure_plain: a broker that is not on this machine would hear alarms \
         unencrypted, write a [upstream.path.tls] table, or loopback brokers such as 127.0.0.1:1883"],
    );
    let tls = "tls = { ca = '/a', cert = '/b', key = '/c' }\n";
    check(
        &path(&format!("brokers = ['localhost:1']\ninsecure_plain = true\n{tls}{arc}")),
        &[
            "vaktd.toml:5: upstream.path.insecure_plain: true contradicts the tls table of this path, remove one of the two",
        ],
    );
    accepted(&[("vaktd.toml", &path(&format!("brokers = ['b:1']\n{tls}{arc}")))]);
    let maker = arc.replace("kid", "role = 'maker'\nkid");
    assert!(refused(&[("vaktd.toml", &path(&format!("brokers = ['b:1']\n{tls}{maker}")))])[0].contains("role arc"));
}

#[test]
fn names_kids_and_devices_are_given_once() {
    let port = "[[subghz.port]]\nname = 'a'\npath = '/dev/x'\nreceiver = 'cul'\n";
    check(
        &format!("gateway = 'g'\n{port}{port}"),
        &[
            "vaktd.toml:7: subghz.port.name: line 3 has this value already, write one of its own",
            "vaktd.toml:8: subghz.port.path: line 4 has this value already, write one of its own",
        ],
    );
    let three = "[[upstream.path]]\nname = 'eth'\n".repeat(3);
    assert!(refused(&[("vaktd.toml", &three)]).iter().any(|fault| fault.contains("3 entries are too many, 2 at most")));
}

#[test]
fn brokers_are_hosts_with_ports() {
    for good in ["a:1", "arc.example:8883", "192.0.2.1:65535", "[::1]:1883"] {
        assert!(good.parse::<Broker>().is_ok(), "{good}");
    }
    let long = format!("{}:1", "a".repeat(64));
    for bad in
        ["", ":1", "a", "a:", "a:0", "a:65536", "a:+1", "::1:1883", "[a]:1", "[::1]", "a b:1", "-a:1", "a..b:1", &long]
    {
        assert!(bad.parse::<Broker>().is_err(), "{bad}");
    }
    for (broker, loopback) in
        [("localhost:1", true), ("127.9.9.9:1", true), ("[::1]:1", true), ("localhost.example:1", false)]
    {
        assert_eq!(broker.parse::<Broker>().unwrap().is_loopback(), loopback, "{broker}");
    }
}

#[test]
fn a_pasted_private_key_is_never_printed() {
    let pem = "-----BEGIN PRIVATE KEY-----";
    let text =
        format!("gateway = 'g'\n[[upstream.path]]\ntls = {{ key = '{pem}' }}\n[[centre.key]]\ned25519 = '{pem}'\n");
    let found = refused(&[("vaktd.toml", &text)]).join("\n");
    assert!(found.contains("upstream.path.tls.key: the text is not"), "{found}");
    assert!(found.contains("centre.key.ed25519: the text is not"), "{found}");
    assert!(!found.contains("BEGIN"), "{found}");
}

#[test]
fn no_key_takes_a_secret() {
    for section in SECTIONS {
        for field in section.fields {
            let path = join(section.path, field.key);
            let secret =
                ["password", "secret", "token", "psk", "pin", "private"].iter().any(|word| path.contains(word));
            let of_file = field.key == "key" || field.key.ends_with("_file");
            assert!(!secret || of_file, "{path}");
            let file = |shape: &Shape| (shape.check)("/a/file") && !(shape.check)("a secret");
            assert!(!of_file || matches!(field.kind, Kind::Text(shape) if file(shape)), "{path} is no path");
        }
    }
}

#[test]
fn every_example_and_default_passes_its_own_check() {
    for section in SECTIONS {
        for field in section.fields {
            let path = join(section.path, field.key);
            let (Absent::Required(value) | Absent::Optional(value) | Absent::Default(value)) = field.absent;
            let fits = match (&field.kind, value.json()) {
                (Kind::Text(shape), Value::String(text)) => (shape.check)(&text) && text.len() <= shape.max,
                (Kind::List(shape, _), Value::Array(list)) => {
                    list.iter().all(|text| (shape.check)(text.as_str().unwrap()))
                }
                (Kind::Int(min, max, _), Value::Number(number)) => (min..=max).contains(&&number.as_i64().unwrap()),
                (Kind::Choice(words), Value::String(text)) => words.contains(&text.as_str()),
                (Kind::Flag, Value::Bool(_)) => true,
                _ => false,
            };
            assert!(fits, "{path} = {value}");
            assert!(field.doc.ends_with('.'), "{path} is told in sentences");
        }
    }
}

#[test]
fn the_default_file_lacks_only_the_required_keys() {
    let text = default_toml();
    check(&text, &["vaktd.toml:1: gateway: the key is missing, write it, such as gateway = \"my-hub\""]);
    let filled = text.replace("#gateway", "gateway");
    let bare = accepted(&[("vaktd.toml", "gateway = \"my-hub\"")]);
    assert_eq!(accepted(&[("vaktd.toml", &filled)]), bare, "the file writes exactly the defaults");
    for section in SECTIONS.iter().filter(|section| section.form == Form::Once) {
        for field in section.fields {
            assert!(text.contains(&format!("\n{} = ", field.key)) || text.contains(&format!("\n#{} = ", field.key)));
        }
    }
}

#[test]
fn what_is_said_of_a_modem_needs_the_path_that_has_one() {
    let wired = "gateway = \"my-hub\"\n[[centre.key]]\nkid = \"arc-1\"\ned25519 = \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"\n\
        [[upstream.path]]\nname = \"eth\"\nbrokers = [\"localhost:1883\"]\ninsecure_plain = true\n";
    let modem = "[modem]\nrecover_after_s = 60\npin_file = \"/etc/vakt/sim-pin\"\nmonthly_mb = 500\n";
    let faults = refused(&[("vaktd.toml", &format!("{wired}{modem}"))]);
    assert_eq!(faults.len(), 2, "{faults:?}");
    let right = "modem.pin_file: it is about the modem of the path `lte`, and there is no such path, \
        write a [[upstream.path]] with name = \"lte\", or remove this key";
    assert!(faults[0].ends_with(right), "{}", faults[0]);
    let only_defaults = "[modem]\nrecover_after_s = 60\n";
    accepted(&[("vaktd.toml", &format!("{wired}{only_defaults}"))]);
    let mobile = wired.replace("\"eth\"", "\"lte\"");
    accepted(&[("vaktd.toml", &format!("{mobile}{modem}"))]);
}

#[test]
fn r87_a_line_does_one_thing() {
    let lid = "gateway = \"my-hub\"\n[[board.input]]\nname = \"lid\"\nline = \"GPIO17\"\nwatches = \"lid\"\n";
    let siren = |line: &str| format!("[[board.output]]\nname = \"siren\"\nline = \"{line}\"\ndrives = \"siren\"\n");
    let config = accepted(&[("vaktd.toml", &format!("{lid}{}", siren("gpiochip0:27")))]);
    assert_eq!(config.board.inputs[0].watches, Watches::Lid);
    let faults = refused(&[("vaktd.toml", &format!("{lid}{}", siren("GPIO17")))]);
    let told = "vaktd.toml:8: board.output.line: `GPIO17` is taken by board.input.line, write another";
    assert_eq!(faults, [told]);
    let named = |name: &str| {
        refused(&[(
            "vaktd.toml",
            &format!("{lid}{}", siren("GPIO27").replace("siren\"\nline", &format!("{name}\"\nline"))),
        )])
    };
    assert!(named("lid")[0].contains("board.output.name: `lid` is taken by board.input.name"), "{:?}", named("lid"));
    assert!(
        named("gauge")[0].contains("board.output.name: `gauge` is taken by the supply's gauge"),
        "{:?}",
        named("gauge")
    );
    let faults = refused(&[("vaktd.toml", &format!("{lid}[board]\nmains = \"b\"\nbattery = \"b\"\n"))]);
    assert!(faults[0].contains("board.mains: `b` is the battery's"), "{faults:?}");
    let twice = lid.replace("lid", "button").replace("watches = \"button\"", "watches = \"sos\"");
    let faults = refused(&[("vaktd.toml", &format!("{lid}{}", twice.replace("gateway = \"my-hub\"\n", "")))]);
    assert_eq!(faults.len(), 1, "{faults:?}");
    for bad in ["GPIO 17", "gpiochip0:", "chip:3", "gpiochip0:x", ""] {
        let faults = refused(&[("vaktd.toml", &format!("{lid}{}", siren(bad)))]);
        assert!(faults[0].contains("is not a GPIO line"), "{faults:?}");
    }
    let camera = lid.replace("watches = \"lid\"", "watches = \"camera\"");
    assert!(refused(&[("vaktd.toml", &camera)])[0].contains("is none of the words known here"));
}

#[test]
fn every_example_for_a_board_is_accepted_beside_a_hub_that_works() {
    let site = "gateway = \"my-hub\"\n[[centre.key]]\nkid = \"arc-1\"\ned25519 = \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"\n";
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/examples"));
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|end| end == "toml") {
            let (name, patch) = (file.file_name().unwrap().to_string_lossy(), std::fs::read_to_string(&file).unwrap());
            let bare = accepted(&[("vaktd.toml", site)]);
            assert_ne!(accepted(&[("vaktd.toml", site), (&*name, &*patch)]), bare, "{name} says nothing");
            seen += 1;
        }
    }
    assert_eq!(seen, 11, "an example was added or lost: `config/examples/README.md` lists them");
}

#[test]
fn with_every_key_set_as_shown_the_default_file_is_a_working_site() {
    let set = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    let text: Vec<String> = default_toml().lines().map(set).collect();
    // what is shown of a modem belongs to the path that has one
    let text = text.join("\n").replace("name = \"eth\"", "name = \"lte\"");
    let config = accepted(&[("vaktd.toml", &text)]);
    assert_eq!(config.modem.power_gpio.as_deref(), Some("GPIO4"));
    assert_eq!(config.board.lines().map(|(_, line)| line).collect::<Vec<_>>(), ["GPIO17", "GPIO27"]);
    assert_eq!(config.upstream.paths[0].tls.as_ref().unwrap().name.as_deref(), Some("arc.example"));
    assert_eq!(config.subghz.ports[0].baud(), 57_600);
}

#[test]
fn the_schema_has_every_key_of_the_table_and_refuses_all_others() {
    let schema = schema();
    for section in SECTIONS {
        let mut at = &schema;
        for part in section.path.split('.').filter(|part| !part.is_empty()) {
            at = &at["properties"][part];
            at = if at["type"] == "array" { &at["items"] } else { at };
        }
        assert_eq!(at["additionalProperties"], false, "[{}]", section.path);
        let required = at["required"].as_array().unwrap();
        for field in section.fields {
            let property = &at["properties"][field.key];
            assert!(property["description"].is_string(), "{}", join(section.path, field.key));
            let needed = matches!(field.absent, Absent::Required(_));
            assert_eq!(required.contains(&Value::from(field.key)), needed, "{}", join(section.path, field.key));
        }
    }
}

#[track_caller]
fn golden(name: &str, text: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config").join(name);
    if std::env::var_os("VAKT_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap_or_else(|why| panic!("writing {}: {why}", path.display()));
    }
    let found = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("reading {}: {why}", path.display()));
    let hint = "run: VAKT_WRITE_GOLDEN=1 cargo test --release -p vaktd --test config golden";
    assert!(found == text, "config/{name} is not what daemon/src/config writes; {hint}");
}

#[test]
fn golden_default_file() {
    golden("vaktd.toml", &default_toml());
}

#[test]
fn golden_schema() {
    golden("schema/config.json", &format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap()));
}

#[test]
fn too_much_is_refused_unread() {
    let long = "#".repeat(TEXT_LIMIT + 1);
    assert_eq!(refused(&[("a.toml", "gateway = 'A'"), ("b.toml", &long)]).len(), 2);
    let many = vec![("a.toml".to_owned(), String::new()); FILES_LIMIT + 1];
    assert_eq!(load(&many).unwrap_err().len(), 1);
}

#[test]
fn the_worst_texts_of_full_size_are_refused_with_a_bounded_answer() {
    let units =
        ["[", "[[", "a.", "=", "\"", "x=1\n", "[a]\n", "[[a]]\n", "a.b.c=[\n", "{a=", "'''", "\n", "[upstream.path]\n"];
    for unit in units {
        let text = unit.repeat(TEXT_LIMIT / unit.len());
        let faults = load(&files(&[("vaktd.toml", &text)])).unwrap_err();
        assert!((1..=FAULTS_LIMIT).contains(&faults.len()), "{unit:?}");
    }
    let keys: Vec<String> = (0..20_000).map(|n| format!("k{n}=1")).collect();
    let faults = load(&files(&[("vaktd.toml", &keys.join("\n"))])).unwrap_err();
    assert!(faults[FAULTS_LIMIT - 1].right.ends_with("(and 19501 faults more)"), "{}", faults[FAULTS_LIMIT - 1]);
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = load(&files(&[("a.toml", &text)]));
    }

    #[test]
    fn no_patchwork_of_real_pieces_panics_and_every_fault_has_a_line_of_its_file(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..24),
        cut in any::<prop::sample::Index>(),
    ) {
        let (base, patch) = pieces.split_at(if pieces.is_empty() { 0 } else { cut.index(pieces.len()) });
        let texts = files(&[("base", &base.concat()), ("patch", &patch.concat())]);
        if let Err(faults) = load(&texts) {
            prop_assert!(!faults.is_empty());
            for fault in faults {
                let (_, text) = texts.iter().find(|(name, _)| *name == fault.file).expect("a file that was given");
                prop_assert!((1..=1 + text.matches('\n').count()).contains(&fault.line), "{}", fault);
                prop_assert!(!fault.to_string().contains('\n'), "one fault, one line: {}", fault);
            }
        }
    }

    #[test]
    fn what_the_schema_promises_the_daemon_takes(
        (name, check, text) in prop::sample::select(patterns()).prop_flat_map(|(name, pattern, check)| {
            let bare = pattern.trim_start_matches('^').trim_end_matches('$').to_owned();
            (Just(name), Just(check), prop::string::string_regex(&bare).expect("a regular expression"))
        })
    ) {
        prop_assert!(check(&text), "{:?} is not {} to the daemon", text, name);
    }
}

type Check = fn(&str) -> bool;

fn patterns() -> Vec<(&'static str, &'static str, Check)> {
    let kinds = SECTIONS.iter().flat_map(|section| section.fields).map(|field| &field.kind);
    let shapes = kinds.filter_map(|kind| match kind {
        Kind::Text(shape) | Kind::List(shape, _) => Some(*shape),
        _ => None,
    });
    shapes.filter_map(|shape| Some((shape.name, shape.pattern?, shape.check))).collect()
}

const PIECES: &[&str] = &[
    "gateway = 'g'\n",
    "gateway = \n",
    "[upstream]\n",
    "[[upstream.path]]\n",
    "[upstream.path]\n",
    "[upstream.path.tls]\n",
    "[[upstream.path.tls]]\n",
    "upstream.path.name = 1\n",
    "upstream = {}\n",
    "upstream.path = [{}, 1]\n",
    "name = 'eth'\n",
    "brokers = ['a:1', 2]\n",
    "brokers = [\n",
    "]\n",
    "insecure_plain = true\n",
    "insecure_plain = 1\n",
    "[[centre.key]]\n",
    "kid = 'a'\n",
    "role = 'arc'\n",
    "ed25519 = ''\n",
    "[centre]\n",
    "key = []\n",
    "key = 3\n",
    "[[subghz.port]]\n",
    "baud = -1\n",
    "baud = 0xffffffffffffffffff\n",
    "path = '/x'\n",
    "tls = { ca = '/a' }\n",
    "'''\n",
    "\"",
    "[site]\n",
    "[site.x]\n",
    "profile = 1979-05-27\n",
    "[",
    "\r",
    "\0",
    "é",
    "x.y.z = 1e400\n",
];
