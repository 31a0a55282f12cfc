//! The command line: what a technician, a script or systemd asks `vaktd`. JSON goes to stdout, one object a line; what
//! people read goes to stderr. Exit codes are the contract's. Nothing secret is ever taken as an argument, and one thing alone
//! is printed: a claim code, to root who draws it with `vaktd claim new`.

use crate::cli::arguments::Area;
use crate::cli::arguments::Claim;
use crate::cli::arguments::Cli;
use crate::cli::arguments::Command;
use crate::cli::arguments::Decode;
use crate::cli::arguments::Device;
use crate::cli::arguments::Fitted;
use crate::cli::arguments::Owner;
use crate::cli::arguments::Siren;
use crate::cli::arguments::User;
use crate::cli::arguments::Zone;
use crate::cli::cameras;
use crate::cli::doctor;
use crate::cli::first_boot;
use crate::cli::habits::Asks;
use crate::cli::log;
use crate::cli::records;
use crate::cli::schema;
use crate::config::load;
use crate::config::settings::Config;
use crate::control::io::AskError;
use crate::control::io::Client;
use crate::hub::io::networks;
use crate::hub::io::start;
use crate::journal::io::store::sqlite_version;
use crate::network::io::watch;
use crate::subghz::decode as wmbus;
use crate::subghz::enocean_decode as esp3;
use crate::subghz::enocean_security;
use crate::subghz::wmbus_link::FrameKind;
use crate::zigbee::decode as zcl;
use crate::zigbee::ezsp_json;
use crate::zigbee::ias::ZoneType;
use clap::Parser;
use serde_json::Value;
use serde_json::json;
use std::io::BufRead;
use std::io::IsTerminal;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use vakt_core::device::Eep;

/// Longest line of a batch on stdin, in bytes; a longer one is refused and the next is read.
const BATCH_LINE_MAX: u64 = 64 * 1024;
/// How often, and how many times, the centre's receipt for a call for help is looked for.
const RECEIPT_EVERY: std::time::Duration = std::time::Duration::from_millis(250);
const RECEIPT_TRIES: u32 = 40;

/// The contract's exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the contract's own words
pub enum Exit {
    Ok = 0,
    Bad = 1,
    Usage = 64,
    Data = 65,
    NoInput = 66,
    Unavailable = 69,
    Internal = 70,
    Io = 74,
    NoPermission = 77,
    Config = 78,
}

/// Says something to a person.
pub(super) fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints one line; a reader that went away ends the program quietly.
pub(super) fn print(line: &str) -> Result<(), Exit> {
    writeln!(std::io::stdout().lock(), "{line}").map_err(|_| Exit::Io)
}

/// Runs one command line.
pub fn main(arguments: impl Iterator<Item = std::ffi::OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok };
        }
    };
    match perform(cli.command) {
        Ok(()) => Exit::Ok,
        Err(exit) => exit,
    }
}

fn perform(command: Command) -> Result<(), Exit> {
    match command {
        Command::Run(file) => run(read_config(&file.config)?),
        Command::FirstBoot(file) => first_boot::first_boot(&file.config),
        Command::Check(file) => read_config(&file.config).map(|_| say(format!("{}: good", file.config.display()))),
        Command::Decode(Decode::Wmbus { frame, key, hex }) => decode_wmbus(frame, key.as_deref(), &hex),
        Command::Decode(Decode::Esp3 { eep, key, hex }) => decode_esp3(eep, key.as_deref(), &hex),
        Command::Decode(Decode::Ezsp { version, hex }) => {
            let line = |hex: &str| ezsp_json::decode_line(version, hex);
            decoded(&hex, line, line)
        }
        Command::Decode(Decode::Zcl { cluster, zone_type, hex }) => {
            let zone_type = zone_type.map(ZoneType::new);
            decoded(
                &hex,
                |hex| zcl::decode_line(cluster, zone_type, hex),
                |line| zcl::decode_line(cluster, zone_type, line),
            )
        }
        Command::Journal(command) => records::journal(command),
        Command::Telemetry(asked) => records::telemetry(asked),
        Command::Device { socket, command } => device(&socket.socket, command),
        Command::User { socket, command } => user(&socket.socket, command),
        Command::Claim { socket, command: Some(Claim::New), .. } => {
            ask(connect(&socket.socket)?, &json!({"command": "claim_new"}))
        }
        Command::Claim { socket, owner, command: None } => claim(&socket.socket, owner),
        Command::Area { socket, command: Area::Set { area, name, entry, exit } } => {
            let request = json!({"command": "area_set", "area": area, "name": name, "entry_s": entry, "exit_s": exit});
            ask(connect(&socket.socket)?, &request)
        }
        Command::Zone { socket, command } => zone(&socket.socket, command),
        Command::Lock { socket, command } => habit(&socket.socket, command.asks()),
        Command::Schedule { socket, command } => habit(&socket.socket, command.asks()),
        Command::Rule { socket, command } => habit(&socket.socket, command.asks()),
        Command::Block { socket, command } => habit(&socket.socket, command.asks()),
        Command::Duress { socket, set } => {
            ask(connect(&socket.socket)?, &json!({"command": "duress_set", "on": set == "on"}))
        }
        Command::Acknowledge { socket, area } => {
            with_code(&socket.socket, json!({"command": "acknowledge", "area": area}))
        }
        Command::Visit { socket, minutes } => {
            with_code(&socket.socket, json!({"command": "consent", "minutes": minutes}))
        }
        Command::KeyWorks { socket } => with_code(&socket.socket, json!({"command": "key_works"})),
        Command::Arm { socket, area, mode } => {
            with_code(&socket.socket, json!({"command": "arm", "area": area, "mode": mode}))
        }
        Command::Disarm { socket, area } => with_code(&socket.socket, json!({"command": "disarm", "area": area})),
        Command::Siren { socket, command: Siren::Stop { area } } => {
            with_code(&socket.socket, json!({"command": "siren_stop", "area": area}))
        }
        Command::Siren { socket, command: Siren::Chirp } => {
            ask(connect(&socket.socket)?, &json!({"command": "siren_chirp"}))
        }
        Command::Cancel { socket, incident } => {
            with_code(&socket.socket, json!({"command": "cancel", "incident": incident}))
        }
        Command::TestMode { socket, minutes } => {
            with_code(&socket.socket, json!({"command": "test_mode", "minutes": minutes}))
        }
        Command::Sos { socket, area } => call_for_help(&socket.socket, area),
        Command::Status { socket } => status(&socket.socket),
        Command::Doctor { config, json } => doctor(&read_config(&config.config)?, json),
        Command::MayRestart { socket } => may_restart(&socket.socket),
        Command::Schema { what } => print(&schema::text(what)),
        Command::Version { json } => version(json),
    }
}

/// Reads the configuration and its patches, or says everything that is wrong with them.
pub(super) fn read_config(path: &Path) -> Result<Config, Exit> {
    let folder = path.parent().unwrap_or(Path::new(".")).join("vaktd.d");
    let mut patches: Vec<PathBuf> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(cannot_read(&folder, &error)),
    };
    patches.retain(|patch| patch.extension().is_some_and(|extension| extension == "toml"));
    patches.sort();
    let mut texts = Vec::new();
    for file in std::iter::once(path.to_owned()).chain(patches) {
        // One byte more than is taken: `load` refuses what is longer, and nothing endless is read.
        let read = std::fs::File::open(&file).and_then(|open| {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::io::Read::take(open, load::TEXT_LIMIT as u64 + 1), &mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        });
        match read {
            Ok(text) => texts.push((file.display().to_string(), text)),
            Err(error) => return Err(cannot_read(&file, &error)),
        }
    }
    load::load(&texts).map_err(|faults| {
        faults.iter().for_each(say);
        Exit::Config
    })
}

pub(super) fn cannot_read(path: &Path, error: &std::io::Error) -> Exit {
    say(format!("{}: {error}", path.display()));
    match error.kind() {
        std::io::ErrorKind::NotFound => Exit::NoInput,
        std::io::ErrorKind::PermissionDenied => Exit::NoPermission,
        _ => Exit::Io,
    }
}

fn run(config: Config) -> Result<(), Exit> {
    log::start();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|error| {
            say(format!("start the runtime: {error}"));
            Exit::Internal
        })?;
    let ended = runtime.block_on(start::run(config));
    // Threads that hang in a frozen disk must not hold the process up.
    runtime.shutdown_background();
    match ended {
        Ok(start::Ended::Told) => Ok(()),
        Ok(start::Ended::Broken) => Err(Exit::Internal),
        Err(error) => {
            say(&error);
            Err(match error {
                start::StartError::Taken(_) => Exit::Unavailable,
                start::StartError::File { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                    Exit::NoPermission
                }
                _ => Exit::Io,
            })
        }
    }
}

fn decode_wmbus(kind: FrameKind, key: Option<&str>, hex: &str) -> Result<(), Exit> {
    let key = given_key(key)?;
    let single = |hex: &str| match wmbus::decode(kind, key.as_ref(), hex) {
        Ok(decoded) => (wmbus::json(&decoded), true),
        Err(error) => (wmbus::json(&wmbus::ErrorLine { error }), false),
    };
    decoded(hex, single, |line| wmbus::decode_line(kind, key.as_ref(), line))
}

fn decode_esp3(eep: Option<Eep>, key: Option<&str>, hex: &str) -> Result<(), Exit> {
    let key = given_key(key)?.map(enocean_security::Key::new);
    let single = |hex: &str| match esp3::decode(eep, key.as_ref(), hex) {
        Ok(decoded) => (wmbus::json(&decoded), true),
        Err(error) => (wmbus::json(&wmbus::ErrorLine { error }), false),
    };
    decoded(hex, single, |line| esp3::decode_line(eep, key.as_ref(), line))
}

fn given_key(key: Option<&str>) -> Result<Option<[u8; 16]>, Exit> {
    key.map(wmbus::parse_key).transpose().map_err(|error| {
        say(&error);
        Exit::Data
    })
}

/// Prints what a decoder makes of one frame, or of each line on stdin where `hex` is `-`. A decoder answers with one
/// line of JSON and whether the frame was good; of a single bad frame that line goes to stderr.
fn decoded(
    hex: &str,
    single: impl FnOnce(&str) -> (String, bool),
    of_batch: impl Fn(&str) -> (String, bool),
) -> Result<(), Exit> {
    if hex != "-" {
        return match single(hex.trim()) {
            (answer, true) => print(&answer),
            (error, false) => {
                say(error);
                Err(Exit::Data)
            }
        };
    }
    let mut all_good = true;
    let mut input = std::io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let read = std::io::Read::take(&mut input, BATCH_LINE_MAX).read_until(b'\n', &mut line);
        if read.map_err(|_| Exit::Io)? == 0 {
            return if all_good { Ok(()) } else { Err(Exit::Data) };
        }
        if line.last() != Some(&b'\n') && line.len() as u64 == BATCH_LINE_MAX {
            // Too long to be a frame: refused as one line, the rest of it passed over.
            let _ = input.skip_until(b'\n');
        }
        let (answer, good) = of_batch(&String::from_utf8_lossy(&line));
        all_good &= good;
        print(&answer)?;
    }
}

fn connect(socket: &Path) -> Result<Client, Exit> {
    Client::connect(socket).map_err(|error| {
        say(&error);
        match error {
            AskError::NoDaemon { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Exit::NoPermission
            }
            _ => Exit::Unavailable,
        }
    })
}

/// Sends a request and prints the answers; exit 1 when the daemon refuses.
fn ask(client: Client, request: &Value) -> Result<(), Exit> {
    asked(client, request).map(|_| ())
}

/// The same, for whoever looks at the answer.
fn asked(client: Client, request: &Value) -> Result<Value, Exit> {
    let answer = one(client, request)?;
    print(&answer.to_string())?;
    if answer["ok"] == json!(true) {
        return Ok(answer);
    }
    say(answer["text"].as_str().unwrap_or("the daemon refused"));
    Err(Exit::Bad)
}

/// Calls for help, in two steps (B12): it is on record, and the centre has it; or somebody must call 112. The first is what
/// the exit code tells: help has been called.
#[allow(clippy::disallowed_methods)] // a client that waits for an answer; nothing falls due here
fn call_for_help(socket: &Path, area: Option<String>) -> Result<(), Exit> {
    let answer = asked(connect(socket)?, &json!({"command": "sos", "area": area}))?;
    if answer["journaled"] != json!(true) {
        say("the hub's disk does not answer, so nobody can tell whether it arrives: call 112");
        return Ok(());
    }
    say("help is called; waiting for the centre's receipt");
    for _ in 0..RECEIPT_TRIES {
        std::thread::sleep(RECEIPT_EVERY);
        let Ok(status) = connect(socket).and_then(|client| one(client, &json!({"command": "status"}))) else {
            continue;
        };
        // The centre may have it, and nobody there acts on it any more.
        if status["service"] == json!("ended") {
            say("NOBODY IS LISTENING: call 112");
            return Ok(());
        }
        // The receipts are counted a moment after the commit.
        let journal = &status["journal"];
        if journal["unreceipted"] == json!(0) && journal["counted"] == journal["seq"] {
            say("received: the centre has it");
            return Ok(());
        }
    }
    say("NOT RECEIVED YET: call 112");
    Ok(())
}

fn one(mut client: Client, request: &Value) -> Result<Value, Exit> {
    let broken = |error: AskError| {
        say(error);
        Exit::Unavailable
    };
    client.send(request).map_err(broken)?;
    let line = client.answer().map_err(broken)?.unwrap_or_default();
    serde_json::from_str(&line).map_err(|_| {
        say("the daemon's answer is not a line of JSON");
        Exit::Unavailable
    })
}

/// Streams the answers of a request that has several, until the daemon ends it.
fn stream(mut client: Client, request: &Value, count: usize) -> Result<(), Exit> {
    let broken = |error: AskError| {
        say(error);
        Exit::Unavailable
    };
    client.send(request).map_err(broken)?;
    client.close_request();
    let mut seen = 0;
    while let Some(line) = client.answer().map_err(broken)? {
        print(&line)?;
        seen += 1;
        if seen == count && serde_json::from_str::<Value>(&line).is_ok_and(|line| line["ok"] == json!(false)) {
            return Err(Exit::Bad);
        }
    }
    Ok(())
}

/// A code or key: typed unseen at a terminal, or the first line of stdin.
fn hidden(prompt: &str) -> Result<String, Exit> {
    let input = std::io::stdin();
    let seen = if input.is_terminal() { rustix::termios::tcgetattr(&input).ok() } else { None };
    if let Some(mut unseen) = seen.clone() {
        let _ = write!(std::io::stderr(), "{prompt}: ");
        unseen.local_modes.remove(rustix::termios::LocalModes::ECHO);
        let _ = rustix::termios::tcsetattr(&input, rustix::termios::OptionalActions::Now, &unseen);
    }
    let mut line = String::new();
    let read = std::io::Read::take(input.lock(), 256).read_line(&mut line);
    if let Some(seen) = seen {
        let _ = rustix::termios::tcsetattr(&input, rustix::termios::OptionalActions::Now, &seen);
        say("");
    }
    read.map_err(|_| Exit::NoInput)?;
    let line = line.trim().to_owned();
    if line.is_empty() {
        say(format!("{prompt}: nothing was given on stdin"));
        return Err(Exit::NoInput);
    }
    Ok(line)
}

/// A code that somebody chooses: at a terminal asked for twice, since nobody sees what he types.
fn chosen(prompt: &str) -> Result<String, Exit> {
    let code = hidden(prompt)?;
    if std::io::stdin().is_terminal() && hidden(&format!("{prompt}, once more"))? != code {
        say("the two are not the same: nothing has changed, try again");
        return Err(Exit::Data);
    }
    Ok(code)
}

fn with_code(socket: &Path, mut request: Value) -> Result<(), Exit> {
    // The daemon first: nobody types a code for nothing.
    let client = connect(socket)?;
    request["code"] = hidden("code")?.into();
    ask(client, &request)
}

fn zone(socket: &Path, command: Zone) -> Result<(), Exit> {
    match command {
        Zone::Set { zone, area, role, name, modes, chime } => {
            let request = json!({
                "command": "zone_set", "zone": zone, "area": area, "role": role, "name": name, "modes": modes,
                "chime": chime,
            });
            ask(connect(socket)?, &request)
        }
        Zone::Bypass { zone } => with_code(socket, json!({"command": "bypass", "zone": zone, "on": true})),
        Zone::Restore { zone } => with_code(socket, json!({"command": "bypass", "zone": zone, "on": false})),
    }
}

fn habit(socket: &Path, asks: Asks) -> Result<(), Exit> {
    match asks.with_code {
        true => with_code(socket, asks.request),
        false => ask(connect(socket)?, &asks.request),
    }
}

fn device(socket: &Path, command: Device) -> Result<(), Exit> {
    let client = connect(socket)?;
    match command {
        Device::List => stream(client, &json!({"command": "device_list"}), 0),
        Device::Permit { seconds, install_code, legacy, teach, eep, with_label } => {
            let mut request = json!({"command": "device_permit", "seconds": seconds});
            if let Some(device) = install_code {
                request["joining"] = "install_code".into();
                request["install_code"] = hidden("install code")?.into();
                request["device"] = device.as_str().into();
            } else if legacy {
                request["joining"] = "legacy".into();
            } else if teach {
                request["joining"] = "teach".into();
                request["eep"] = json!(eep);
                if with_label {
                    request["label"] = hidden("label's key")?.into();
                }
            }
            say(format!("listening for {seconds} s; each detector that is not known yet is a line"));
            stream(client, &request, 1)
        }
        Device::Add { device, fitted } => {
            let mut request = typed(fitted)?;
            (request["command"], request["device"]) = ("device_add".into(), device.into());
            ask(client, &request)
        }
        Device::Replace { old, device, fitted } => {
            let mut request = typed(fitted)?;
            (request["command"], request["device"]) = ("device_replace".into(), device.into());
            request["old"] = old.into();
            ask(client, &request)
        }
        Device::Assign { device, zone } => {
            ask(client, &json!({"command": "device_assign", "device": device, "zone": zone}))
        }
        Device::Battery { device } => {
            let code = hidden("code")?;
            ask(client, &json!({"command": "battery_change", "device": device, "code": code}))
        }
        Device::Serviced { device } => ask(client, &json!({"command": "fog_serviced", "device": device})),
        Device::Remove { device } => ask(client, &json!({"command": "device_remove", "device": device})),
    }
}

/// What was typed of a new device.
fn typed(fitted: Fitted) -> Result<Value, Exit> {
    let Fitted { kind, name, with_key, pet, eep, slf, silence } = fitted;
    let key = if with_key { Some(hidden("key")?) } else { None };
    Ok(json!({
        "kind": kind, "name": name, "key": key, "pet": pet, "eep": eep, "slf": slf, "silence_s": silence,
    }))
}

fn user(socket: &Path, command: User) -> Result<(), Exit> {
    let client = connect(socket)?;
    match command {
        User::Set { user, role, name, with_code, with_duress_code, until } => {
            let code = if with_code { Some(chosen("new code")?) } else { None };
            let duress = if with_duress_code { Some(chosen("new code, to be given under threat")?) } else { None };
            let request = json!({
                "command": "user_set", "user": user, "role": role, "name": name, "code": code,
                "duress_code": duress, "expires_ms": until,
            });
            ask(client, &request)
        }
        User::Remove { user } => ask(client, &json!({"command": "user_remove", "user": user})),
    }
}

fn claim(socket: &Path, owner: Owner) -> Result<(), Exit> {
    let client = connect(socket)?;
    let claim_code = hidden("claim code")?;
    let code = chosen("a code of your own, 5 to 10 digits")?;
    let request = json!({
        "command": "claim", "claim_code": claim_code, "user": owner.user, "name": owner.name, "code": code,
    });
    ask(client, &request)
}

fn status(socket: &Path) -> Result<(), Exit> {
    let status = asked(connect(socket)?, &json!({"command": "status"}))?;
    if status["claimed"] == json!(false) {
        say(
            "nobody owns this hub yet: `vaktd claim --user ID`, with the claim code; root draws one with `vaktd claim new`",
        );
    }
    Ok(())
}

fn may_restart(socket: &Path) -> Result<(), Exit> {
    let answer = one(connect(socket)?, &json!({"command": "may_restart"}))?;
    print(&answer.to_string())?;
    if answer["may_restart"] == json!(true) { Ok(()) } else { Err(Exit::Bad) }
}

fn doctor(config: &Config, as_json: bool) -> Result<(), Exit> {
    let mut findings = doctor::examine(config);
    let settings = networks::settings(config, [0; 32]); // it looks only: no PIN is tried, so none has to be known again
    if settings.mobile.is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
            say(format!("start the runtime: {error}"));
            Exit::Internal
        })?;
        let needed = config.modem.pin_file.is_some() || config.modem.power_gpio.is_some();
        findings.extend(doctor::modem(&runtime.block_on(watch::once(settings)), needed));
    }
    findings.extend(cameras::look());
    for finding in &findings {
        match as_json {
            true => print(&json!(finding).to_string())?,
            false => say(finding),
        }
    }
    if findings.iter().all(|finding| finding.ok) { Ok(()) } else { Err(Exit::Bad) }
}

fn version(as_json: bool) -> Result<(), Exit> {
    let version = env!("CARGO_PKG_VERSION");
    if !as_json {
        return print(&format!("vaktd {version}"));
    }
    let facts = json!({
        "version": version,
        "sqlite": sqlite_version(),
        "features": {"camera": cfg!(feature = "camera"), "systemd": cfg!(feature = "systemd")},
        "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        "event_format": 1,
    });
    print(&facts.to_string())
}
