//! The centre's ledger: what it holds, what it signs for, what it accuses a hub of, and what it does not.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;
use std::process::Command;
use vakt_integration::arc::finding::Entry;
use vakt_integration::arc::finding::Finding;
use vakt_integration::arc::ledger::Ledger;
use vakt_integration::arc::receipts::Receipt;
use vakt_integration::arc::receipts::Receipts;
use vakt_integration::arc::store;
use vakt_integration::arc::store::Store;
use vakt_integration::arc::store::StoreError;
use vakt_integration::twins::hub::Journal;
use vakt_integration::twins::hub::seal;

/// A centre without a disk: every arrival is a microsecond after the one before.
#[derive(Default)]
struct Desk {
    ledger: Ledger,
    receipts: Receipts,
    entries: Vec<Entry>,
    now_us: u64,
}

impl Desk {
    fn connected() -> Self {
        let mut desk = Self::default();
        desk.connect(0);
        desk
    }

    fn connect(&mut self, after_us: u64) {
        self.now_us += after_us;
        let entry = self.ledger.connected(self.now_us);
        self.entries.push(entry);
    }

    fn take(&mut self, event: &Value) -> Vec<Finding> {
        let class = event["class"].as_str().unwrap().to_owned();
        self.take_on(&class, &event.to_string())
    }

    fn take_on(&mut self, class: &str, body: &str) -> Vec<Finding> {
        self.now_us += 1;
        let (entry, findings) = self.ledger.take(self.now_us, class, body);
        self.entries.push(entry);
        self.receipts.note(&findings, self.ledger.newest_epoch());
        findings
    }

    /// The round of receipts that is due a second later.
    fn sign(&mut self) -> Vec<Receipt> {
        self.now_us += 1_000_000;
        self.receipts.take(self.now_us / 1000, "hub", &self.ledger)
    }
}

fn whats(findings: &[Finding]) -> Vec<String> {
    let tag = |finding| serde_json::to_value(finding).unwrap()["what"].as_str().unwrap().to_owned();
    findings.iter().map(tag).collect()
}

#[test]
fn a_hub_that_behaves_is_signed_for_and_found_clean() {
    let (mut hub, mut desk) = (Journal::begin(1), Desk::connected());
    for class in ["audit", "alarm", "state", "alarm"] {
        assert_eq!(whats(&desk.take(&hub.event(class, "happened"))), ["event"]);
    }
    let receipts = desk.sign();
    assert_eq!(receipts.len(), 1);
    assert_eq!(receipts[0].json(), json!({"aud": "hub", "epoch": 1, "upto": 4}));
    assert!(desk.sign().is_empty(), "nothing new, nothing signed");
    assert!(desk.ledger.counts().clean());
    assert_eq!(desk.ledger.rows().last().unwrap().json()["hash"], hub.head());
}

#[test]
fn an_alarm_that_overtakes_leaves_a_named_gap_and_is_signed_for_by_number() {
    let (mut hub, mut desk) = (Journal::begin(1), Desk::connected());
    let (first, second, third) = (hub.event("audit", "a"), hub.event("state", "b"), hub.event("alarm", "c"));
    assert_eq!(whats(&desk.take(&third)), ["event", "gap"]);
    assert_eq!(desk.sign()[0].json(), json!({"aud": "hub", "epoch": 1, "upto": 0, "seqs": [3]}));
    assert_eq!(desk.ledger.gaps(), [(1, 1, 2)]);
    assert!(!desk.ledger.counts().clean(), "a gap that stays is a fault");
    desk.take(&first);
    assert_eq!(desk.sign()[0].json(), json!({"aud": "hub", "epoch": 1, "upto": 1}));
    assert_eq!(whats(&desk.take(&second)), ["event", "gap_closed"]);
    assert_eq!(desk.sign()[0].json(), json!({"aud": "hub", "epoch": 1, "upto": 3}));
    assert!(desk.ledger.counts().clean());
}

#[test]
fn a_repeated_event_is_counted_and_signed_for_again() {
    let (mut hub, mut desk) = (Journal::begin(7), Desk::connected());
    let event = hub.event("alarm", "a");
    desk.take(&event);
    desk.sign();
    assert_eq!(whats(&desk.take(&event)), ["duplicate"]);
    assert_eq!(desk.sign()[0].json(), json!({"aud": "hub", "epoch": 7, "upto": 1}));
    assert_eq!((desk.ledger.counts().events, desk.ledger.counts().duplicates), (1, 1));
    assert!(desk.ledger.counts().clean());
}

#[test]
fn receipts_wait_20_ms_for_company_and_none_grows_beyond_its_limit() {
    let (mut hub, mut desk) = (Journal::begin(1), Desk::connected());
    hub.event("audit", "never sent");
    desk.take(&hub.event("alarm", "a"));
    assert_eq!(desk.receipts.due_at_ms(), Some(0), "the first one waits for nobody");
    assert_eq!(desk.receipts.take(100, "hub", &desk.ledger).len(), 1);
    (0..2500).for_each(|_| drop(desk.take(&hub.event("alarm", "b"))));
    assert_eq!(desk.receipts.due_at_ms(), Some(120));
    assert!(desk.receipts.take(119, "hub", &desk.ledger).is_empty());
    let receipts = desk.receipts.take(120, "hub", &desk.ledger);
    assert_eq!(receipts.iter().map(|receipt| receipt.seqs.len()).collect::<Vec<_>>(), [1000, 1000, 500]);
    assert!(receipts.iter().all(|receipt| receipt.json().to_string().len() < 16 * 1024));
}

#[test]
fn two_things_under_one_name_are_a_conflict_and_the_first_one_stays() {
    let (mut hub, mut desk) = (Journal::begin(1), Desk::connected());
    let event = hub.event("alarm", "true");
    desk.take(&event);
    let mut other = event.clone();
    other["type"] = json!("false");
    seal(&mut other);
    assert_eq!(whats(&desk.take(&other)), ["conflict"]);
    let mut same_id = hub.event_with("alarm", "b", |next| next["id"] = event["id"].clone());
    assert_eq!(whats(&desk.take(&same_id)), ["conflict"], "an id is used once");
    // The same content with other bytes breaks "always carries the same bytes".
    let spaced = event.to_string().replacen("{", "{ ", 1);
    assert_eq!(whats(&desk.take_on("alarm", &spaced)), ["conflict"]);
    same_id["id"] = json!("019a9d2c-0001-7000-8000-0000000000ff");
    seal(&mut same_id);
    assert_eq!(whats(&desk.take(&same_id)), ["event"]);
    assert_eq!((desk.ledger.counts().conflicts, desk.ledger.counts().events), (3, 2));
    assert_eq!(desk.ledger.rows().next().unwrap().kind, "true");
    assert!(desk.sign().iter().all(|receipt| receipt.upto == 2), "a conflict earns no receipt of its own");
}

#[test]
fn an_erased_copy_of_a_held_event_is_the_same_event() {
    let (mut hub, mut desk) = (Journal::begin(1), Desk::connected());
    let whole =
        hub.event_with("access", "user_added", |event| event["personal"] = json!({"salt": "s", "name": "Anna"}));
    let mut erased = whole.clone();
    erased.as_object_mut().unwrap().remove("personal");
    erased["personal_digest"] = json!("ab".repeat(32));
    assert_eq!(whats(&desk.take(&whole)), ["event"]);
    assert_eq!(whats(&desk.take(&erased)), ["refused"], "an invented digest does not hash right");
    use sha2::Digest;
    let digest = sha2::Sha256::digest(br#"s{"name":"Anna","salt":"s"}"#);
    erased["personal_digest"] = json!(vakt_integration::arc::event::hex(&digest));
    assert_eq!(whats(&desk.take(&erased)), ["duplicate"]);
}

#[test]
fn a_link_that_does_not_hold_is_found_from_either_side() {
    let mut hub = Journal::begin(1);
    let first = hub.event("audit", "a");
    let wrong = hub.event_with("audit", "b", |event| event["prev"] = json!("ab".repeat(32)));
    let third = hub.event("alarm", "c");
    for order in [[&first, &wrong, &third], [&third, &first, &wrong]] {
        let mut desk = Desk::connected();
        order.iter().for_each(|event| drop(desk.take(event)));
        assert_eq!((desk.ledger.counts().events, desk.ledger.counts().chain_faults), (3, 1));
    }
    let mut desk = Desk::connected();
    let headless = Journal::begin(2).event_with("audit", "a", |event| event["prev"] = json!("ab".repeat(32)));
    assert_eq!(whats(&desk.take(&headless)), ["event", "chain"], "a journal begins with 64 zeros");
}

#[test]
fn order_is_judged_within_a_class_and_only_while_the_centre_was_listening() {
    let mut hub = Journal::begin(1);
    let events: Vec<Value> = (0..6).map(|_| hub.event("alarm", "a")).collect();
    let mut desk = Desk::connected();
    desk.take(&events[0]);
    desk.take(&events[2]);
    assert_eq!(whats(&desk.take(&events[1])), ["event", "out_of_order", "gap_closed"]);
    assert_eq!(desk.ledger.counts().out_of_order, 1);
    // The line was away: 4 was sent meanwhile, 5 after; 4 comes again. That is not the hub's doing.
    desk.connect(10_000_000);
    desk.now_us += 10_000_000;
    desk.take(&events[4]);
    desk.take(&events[3]);
    assert_eq!((desk.ledger.counts().out_of_order, desk.ledger.counts().out_of_order_excused), (1, 1));
    desk.take(&events[5]);
    assert!(desk.ledger.gaps().is_empty());
}

#[test]
fn an_event_the_centre_dropped_on_purpose_is_not_late_when_it_comes_again() {
    let (mut hub, mut desk) = (Journal::begin(1), Desk::connected());
    let (first, second, third) = (hub.event("alarm", "a"), hub.event("alarm", "b"), hub.event("alarm", "c"));
    desk.take(&first);
    let entry = desk.ledger.dropped(5, &second.to_string()).unwrap();
    desk.entries.push(entry);
    desk.take(&third);
    desk.take(&second);
    assert!(desk.ledger.counts().clean());
    assert_eq!(desk.ledger.counts().out_of_order_excused, 1);
}

#[test]
fn an_alarm_that_could_not_wait_for_the_disk_is_signed_for_by_id_and_then_takes_its_place() {
    let (mut hub, mut desk) = (Journal::begin(3), Desk::connected());
    let early = hub.early("alarm_started");
    let id = early["id"].as_str().unwrap();
    assert_eq!(whats(&desk.take(&early)), ["unjournaled"]);
    assert_eq!(whats(&desk.take(&early)), ["duplicate"], "it went over both paths");
    assert_eq!(desk.sign()[0].json(), json!({"aud": "hub", "epoch": 3, "upto": 0, "ids": [id]}));
    let journaled = hub.event("alarm", "alarm_started");
    assert_eq!(desk.take(&journaled).len(), 1);
    assert_eq!(desk.sign()[0].json(), json!({"aud": "hub", "epoch": 3, "upto": 1, "ids": [id]}));
    assert_eq!(whats(&desk.take(&early)), ["duplicate"], "its early copy may come late");
    let counts = desk.ledger.counts();
    assert_eq!((counts.events, counts.unjournaled, counts.settled, counts.duplicates), (1, 0, 1, 2));
    assert!(counts.clean());
}

#[test]
fn a_journaled_copy_that_says_something_else_is_a_conflict_but_held() {
    let (mut hub, mut desk) = (Journal::begin(3), Desk::connected());
    desk.take(&hub.early("alarm_started"));
    let found = desk.take(&hub.event("alarm", "alarm_ended"));
    assert_eq!(whats(&found), ["conflict", "event"]);
    assert_eq!(desk.ledger.counts().events, 1);
}

#[test]
fn what_cannot_be_read_or_does_not_hash_is_never_signed_for() {
    let (mut hub, mut desk) = (Journal::begin(1), Desk::connected());
    let flipped = hub.event("alarm", "smoke").to_string().replace("smoke", "smokf");
    for body in [flipped.as_str(), "", "{", "[]", "{\"v\":2}", "\u{fffd}\u{0}"] {
        assert_eq!(whats(&desk.take_on("alarm", body)), ["refused"], "{body}");
    }
    assert!(desk.sign().is_empty());
    assert_eq!(desk.ledger.counts().refused, 6);
}

#[test]
fn a_class_on_the_wrong_topic_is_a_breach_and_still_an_event() {
    let mut desk = Desk::connected();
    let event = Journal::begin(1).event("alarm", "a").to_string();
    assert_eq!(whats(&desk.take_on("audit", &event)), ["event", "breach"]);
    assert!(!desk.ledger.counts().clean());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever arrives in whatever order, however often: the ledger holds the set, `upto` is the longest run from 1,
    /// and the ledger rebuilt from its entries is the same one.
    #[test]
    fn the_ledger_holds_the_set_and_is_rebuilt_the_same(
        arrivals in prop::collection::vec((0usize..3, 0usize..24, 0u8..20), 1..200)
    ) {
        let journals: Vec<Vec<String>> = (1..=3).map(|epoch| {
            let mut hub = Journal::begin(epoch);
            (0..24).map(|n| hub.event(["alarm", "state", "audit"][n % 3], "x").to_string()).collect()
        }).collect();
        let mut desk = Desk::connected();
        let mut model = std::collections::BTreeSet::new();
        for (epoch, at, luck) in &arrivals {
            match luck {
                0 => desk.connect(1000),
                1 => drop(desk.take_on("alarm", "rubbish")),
                _ => {
                    let class = ["alarm", "state", "audit"][at % 3];
                    let _ = desk.take_on(class, &journals[*epoch][*at]);
                    model.insert((*epoch as u64 + 1, *at as u64 + 1));
                }
            }
        }
        let counts = desk.ledger.counts();
        prop_assert_eq!(counts.events, model.len() as u64);
        prop_assert_eq!((counts.chain_faults, counts.conflicts), (0, 0));
        for epoch in 1..=3u64 {
            let upto = (1u64..).take_while(|seq| model.contains(&(epoch, *seq))).count() as u64;
            prop_assert_eq!(desk.ledger.upto(epoch), upto);
        }
        let mut rebuilt = Ledger::default();
        for entry in &desk.entries {
            let line = store::line_of(entry);
            rebuilt.replay(&serde_json::from_slice(&line).unwrap());
        }
        prop_assert_eq!(rebuilt.counts(), counts);
    }
}

/// A ledger file with these events taken in.
fn ledger_file(path: &std::path::Path, events: &[Value]) {
    let (mut store, mut ledger, _) = Store::open(path, "hub").unwrap();
    store.append(&store::line_of(&ledger.connected(1))).unwrap();
    for event in events {
        let (entry, _) = ledger.take(2, event["class"].as_str().unwrap(), &event.to_string());
        store.append(&store::line_of(&entry)).unwrap();
    }
}

#[test]
fn a_fall_in_the_middle_of_a_line_costs_that_line_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut hub = Journal::begin(1);
    ledger_file(&path, &[hub.event("alarm", "a"), hub.event("alarm", "b")]);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 10]).unwrap();
    let (_, ledger, _) = Store::open(&path, "hub").unwrap();
    assert_eq!(ledger.counts().events, 1);
    assert_eq!(std::fs::read(&path).unwrap().last(), Some(&b'\n'), "the torn line is gone for good");
}

#[test]
fn a_ledger_that_is_damaged_anothers_or_in_use_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut hub = Journal::begin(1);
    ledger_file(&path, &[hub.event("alarm", "a"), hub.event("alarm", "b")]);
    let open = Store::open(&path, "hub").unwrap();
    assert!(matches!(Store::open(&path, "hub"), Err(StoreError::Taken { .. })));
    drop(open);
    assert!(matches!(Store::open(&path, "other"), Err(StoreError::Content { line: 1, .. })));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"arrived\"", "\"arrxved\"", 1)).unwrap();
    assert!(matches!(Store::open(&path, "hub"), Err(StoreError::Content { line: 3, .. })));
}

/// Runs `vakt-arc`: exit code, stdout, stderr.
fn vakt_arc(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_vakt-arc")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn audit_ends_0_on_a_clean_ledger_and_1_naming_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, events: &[Value]| {
        let path = folder.path().join(name);
        ledger_file(&path, events);
        path.to_str().unwrap().to_owned()
    };
    let mut hub = Journal::begin(1);
    let events: Vec<Value> = (0..4).map(|_| hub.event("alarm", "a")).collect();
    let audit = |path: &str| vakt_arc(&["audit", "--ledger", path]);

    let (code, out, _) = audit(&file("clean", &[events.clone(), vec![events[3].clone()]].concat()));
    let counts: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &counts["events"], &counts["duplicates"]), (0, &json!(4), &json!(1)));

    let (code, out, err) = audit(&file("gap", &[events[0].clone(), events[3].clone()]));
    let counts: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &counts["gaps"], &counts["missing"]), (1, &json!(1), &json!(2)));
    assert!(err.contains("epoch 1: 2 to 3"), "{err}");

    let mut other = events[0].clone();
    other["type"] = json!("b");
    seal(&mut other);
    assert_eq!(audit(&file("conflict", &[events[0].clone(), other])).0, 1);
    assert_eq!(audit("/nowhere/ledger").0, 66);
    let rubbish = folder.path().join("rubbish");
    std::fs::write(&rubbish, "hello\n").unwrap();
    assert_eq!(audit(rubbish.to_str().unwrap()).0, 65);
    assert_eq!(vakt_arc(&["audit"]).0, 64);
}

#[test]
fn a_made_key_is_private_never_overwritten_and_its_public_half_is_printed() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let name = path.to_str().unwrap();
    let (code, public, _) = vakt_arc(&["key", "--out", name]);
    assert_eq!((code, public.trim().len()), (0, 43));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let signer = vakt_integration::arc::jws::Signer::from_file_bytes("k", &std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(signer.public_key_text(), public.trim());
    assert_eq!(vakt_arc(&["key", "--out", name]).0, 74);
}

#[test]
fn an_option_or_a_file_that_makes_no_sense_is_named_with_what_would() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (key, ledger) = (file("key"), file("ledger"));
    assert_eq!(vakt_arc(&["key", "--out", &key]).0, 0);
    std::fs::write(file("no-key"), "hello").unwrap();
    let usual = ["--broker", "127.0.0.1:1", "--gateway", "hub", "--key", &key, "--ledger", &ledger];
    // One option more, or in place of the usual one.
    let run = |more: &[&str]| {
        let replaced = |pair: &&[&str]| pair[0] == "--broker" || !more.contains(&pair[0]);
        let kept = usual.chunks(2).filter(replaced).flatten().copied();
        let (code, out, err) = vakt_arc(&[&["run"], kept.collect::<Vec<_>>().as_slice(), more].concat());
        assert_eq!(out, "", "{more:?}");
        (code, err)
    };
    for (more, named) in [
        (vec!["--broker", "example"], "--broker <BROKER>': it is not host:port"),
        (vec!["--broker", "127.0.0.1:0"], "it is not host:port"),
        (vec!["--broker", "127.0.0.1:1"], "--broker names (\"127.0.0.1\", 1) twice"),
        (
            vec!["--broker", "h:1", "--broker", "h:2", "--broker", "h:3", "--broker", "h:4"],
            "5 times; right would be 1 to 4",
        ),
        (vec!["--gateway", "Hub/+"], "--gateway <GATEWAY>': it is not 1 to 32 of a-z"),
        (vec!["--kid", ""], "--kid <KID>': it is not 1 to 64 of"),
        (vec!["--client-id", "a b"], "--client-id <CLIENT_ID>': it is not 1 to 64 of"),
        (vec!["--beat", "lte"], "--beat <BEAT>': it is not name=seconds"),
        (vec!["--beat", "lte=0"], "1 to 86400 seconds"),
        (vec!["--beat", "lte=20", "--beat", "lte=30"], "--beat names \"lte\" twice"),
        (vec!["--also", "app-1"], "--also <ALSO>': it is not kid=file"),
        (vec!["--also", "arc-1=x"], "--kid or --also names \"arc-1\" twice"),
        (vec!["--misbehave", "forge well"], "`forge well` is not understood"),
    ] {
        let (code, err) = run(&more);
        assert!(code == 64 && err.contains(named), "{more:?}: exit {code}: {err}");
    }
    for (more, exit, named) in [
        (vec!["--key", "/nowhere/key"], 66, "reading the centre's key /nowhere/key"),
        (vec!["--key", &file("no-key")], 65, "no-key"),
        (vec!["--also", "app-1=/nowhere/app"], 66, "reading the key /nowhere/app"),
        (vec!["--ledger", &file("no-key")], 65, "no-key, line 1: it is no ledger"),
        (vec!["--ledger", folder.path().to_str().unwrap()], 74, "the ledger"),
    ] {
        let (code, err) = run(&more);
        assert!(code == exit && err.contains(named), "{more:?}: exit {code}: {err}");
    }
    assert!(!folder.path().join("ledger").exists(), "nothing was begun");
    assert_eq!(std::fs::read(file("no-key")).unwrap(), b"hello", "what is no ledger is left alone");
}
