//! `kill -9` at any moment, while events flow: what was committed reaches the centre, once, in order, and the hub comes
//! back as it was. `VAKT_LONG=1`: ten times as much, and more kills.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::print_stdout)] // seeds are printed; a test that meets the unexpected should stop there

use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use vakt_integration::arc::entry::GRACE_MS;
use vakt_integration::arc::handle::Board;
use vakt_integration::arc::line::Happening;
use vakt_integration::arc::line::Notice;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::daemon;
use vakt_integration::lab::site::CODE;
use vakt_integration::lab::site::SOON;
use vakt_integration::lab::site::contact;
use vakt_integration::lab::site::smoke;

const SMOKE: &str = "00010204";
/// A start takes some 20 ms to the first answer; a kill up to this many microseconds into it meets every part of it.
const STARTING_US: u64 = 25_000;
/// Of so many telegrams one at least is an event. A kill takes what the hub has not read or not committed, and how much that is
/// depends on how busy the machine is; a hub that throws away what it reads leaves nothing.
const ONE_OF: u64 = 5;

/// A small generator with a printed seed (Knuth's MMIX constants): enough to pick moments.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn rows(lab: &Lab) -> BTreeMap<String, Vec<u8>> {
    // Read-only: a writer that closes last folds the killed hub's log in, and the hub would never meet one.
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let journal = rusqlite::Connection::open_with_flags(lab.daemon.journal(), flags).unwrap();
    let mut rows = journal.prepare("SELECT json_extract(body, '$.id'), body FROM event").unwrap();
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r29_every_committed_event_survives_kills_and_reaches_the_centre_once() {
    let long = std::env::var_os("VAKT_LONG").is_some();
    let (telegrams, kills) = if long { (50_000u64, 500u64) } else { (5_000, 30) };
    let seed =
        std::env::var("VAKT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(u64::from(std::process::id()));
    println!("seed {seed} (VAKT_SEED={seed} plays it again)");
    let mut dice = Dice(seed);
    let mut lab = Lab::start(LabSettings::default()).await.unwrap();
    lab.start_arc(Misbehaviour::default()).await.unwrap();
    lab.daemon.start().await.unwrap();
    let contacts: Vec<String> = (0..20).map(|number| format!("000200{number:02}")).collect();
    lab.furnish(SMOKE, &contacts).await.unwrap();
    let before = lab.status().await.unwrap()["journal"]["seq"].as_u64().unwrap();
    for id in &contacts {
        lab.stick.line(contact(id, false).trim_end()).await.unwrap();
    }
    let all = Some(before + contacts.len() as u64);
    lab.until("all closed", |status| status["journal"]["seq"].as_u64() >= all).await.unwrap();
    // An armed area and an open incident have to come back after each kill.
    lab.ask(json!({"command": "arm", "mode": "home", "code": CODE})).await.unwrap();
    lab.stick.line(smoke(SMOKE, true).trim_end()).await.unwrap();
    lab.until("fire", |status| status["sound"] == json!("fire")).await.unwrap();

    let mut committed: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut open = vec![false; contacts.len()];
    let (mut sent, mut early, mut logs) = (0u64, 0u64, 0u64);
    for kill in 0..kills {
        let moment = telegrams / kills / 2 + dice.below(telegrams / kills);
        for _ in 0..moment {
            let which = usize::try_from(dice.below(contacts.len() as u64)).unwrap();
            open[which] = !open[which];
            lab.stick.line(contact(&contacts[which], open[which]).trim_end()).await.unwrap();
        }
        sent += moment;
        tokio::time::sleep(Duration::from_micros(dice.below(30_000))).await; // the moment itself is what is random here
        lab.daemon.kill().await;
        let found = rows(&lab);
        let log = lab.daemon.journal().with_extension("db-wal");
        logs += u64::from(std::fs::metadata(log).is_ok_and(|log| log.len() > 0));
        for (id, body) in &committed {
            assert_eq!(found.get(id), Some(body), "kill {kill}: a committed event is gone or changed");
        }
        assert!(found.len() > committed.len(), "kill {kill}: the hub wrote nothing since the last one");
        committed = found;
        if dice.below(3) == 0 {
            // The next one comes while it is still getting up, on the log the last one left.
            let moment = Duration::from_micros(dice.below(STARTING_US));
            early += u64::from(tokio::time::timeout(moment, lab.daemon.start()).await.is_err());
            lab.daemon.kill().await;
            let found = rows(&lab);
            assert!(committed.iter().all(|(id, body)| found.get(id) == Some(body)), "kill {kill}: lost while starting");
        }
        lab.daemon.start().await.unwrap();
        let status = lab.status().await.unwrap();
        assert_ne!(status["areas"]["house"]["arm"], json!("disarmed"), "kill {kill}: {status}");
        let fire = status["incidents"].as_array().unwrap().iter().any(|incident| incident["kind"] == json!("fire"));
        assert!(fire && status["sound"] == json!("fire"), "kill {kill}: {status}");
    }
    lab.all_signed().await.unwrap();
    let arc = lab.arc.as_ref().unwrap();
    let counts = arc.counts();
    assert!(counts.clean(), "{counts:?}");
    let held: Vec<String> = arc.events().into_iter().map(|row| row.id).collect();
    let once: BTreeSet<&String> = held.iter().collect();
    assert_eq!(held.len(), once.len(), "once each, after duplicates were dropped");
    let journal = rows(&lab);
    assert!(journal.keys().all(|id| once.contains(id)), "every committed event is at the centre");
    assert_eq!(journal.len(), once.len(), "and nothing else is");
    assert!(journal.len() as u64 * ONE_OF >= sent, "{} events of {sent} telegrams", journal.len());
    assert_eq!(logs, kills, "each kill left the hub a log to recover from");
    let verify = std::process::Command::new(daemon::binary().unwrap())
        .args(["journal", "verify", "--db"])
        .arg(lab.daemon.journal())
        .output()
        .unwrap();
    assert_eq!(verify.status.code(), Some(0), "{}", String::from_utf8_lossy(&verify.stderr));
    println!(
        "{sent} telegrams, {} events, {kills} kills and {early} while starting, {} duplicates dropped",
        journal.len(),
        counts.duplicates
    );
}

/// The newest word of the journal on whether the house is armed.
fn last_arming(lab: &Lab) -> Option<String> {
    let newest = |body: &Vec<u8>| {
        let event: serde_json::Value = serde_json::from_slice(body).unwrap();
        let kind = event["type"].as_str().unwrap().to_owned();
        matches!(kind.as_str(), "area_armed" | "area_disarmed").then(|| (event["seq"].as_u64().unwrap(), kind))
    };
    rows(lab).values().filter_map(newest).max().map(|(_, kind)| kind)
}

#[tokio::test(flavor = "multi_thread")]
async fn r49_an_arming_killed_before_its_receipt_is_what_was_answered_and_reaches_the_centre_once() {
    let seed =
        std::env::var("VAKT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(u64::from(std::process::id()));
    println!("seed {seed} (VAKT_SEED={seed} plays it again)");
    let mut dice = Dice(seed);
    let mut lab = Lab::start(LabSettings::default()).await.unwrap();
    lab.start_arc(Misbehaviour::default()).await.unwrap();
    lab.daemon.start().await.unwrap();
    lab.furnish(SMOKE, &["00020000".to_owned()]).await.unwrap();
    lab.stick.line(contact("00020000", false).trim_end()).await.unwrap();
    lab.all_signed().await.unwrap();
    lab.arc.as_ref().unwrap().misbehave(&["receipts off"]).await.unwrap();
    let orders = [json!({"command": "arm", "mode": "away", "code": CODE}), json!({"command": "disarm", "code": CODE})];
    let (mut answered, mut cut_off) = (0, 0);
    let mut armed = false;
    for round in 0..20 {
        let order = &orders[usize::from(armed)];
        let wanted = if armed { "area_disarmed" } else { "area_armed" };
        let patience = Duration::from_micros(dice.below(8_000));
        let answer = tokio::time::timeout(patience, lab.daemon.command(order)).await;
        lab.daemon.kill().await;
        let written = last_arming(&lab);
        match answer {
            Ok(answer) => {
                answered += 1;
                let answer = answer.unwrap();
                assert_ne!(answer["ok"], json!(false), "round {round}: {answer}");
                assert_eq!(written.as_deref(), Some(wanted), "round {round}: answered, so it was written first");
            }
            Err(_) => cut_off += 1,
        }
        armed = written.as_deref() == Some("area_armed");
        lab.daemon.start().await.unwrap();
        // A stick that is not open yet makes a hub not ready; that is another test's story.
        let heard = |status: &serde_json::Value| status["faults"].as_array().is_none_or(Vec::is_empty);
        let status = lab.until("the hub to hear again", heard).await.unwrap();
        assert_eq!(status["areas"]["house"]["arm"] != json!("disarmed"), armed, "round {round}: {status}");
        assert!(status["journal"]["unreceipted"].as_u64().unwrap() > 0, "nobody has signed for it");
    }
    println!("{answered} answered, {cut_off} cut off");
    assert!(answered > 0, "an order that is never answered proves nothing");
    lab.arc.as_ref().unwrap().misbehave(&[]).await.unwrap();
    lab.all_signed().await.unwrap();
    let arc = lab.arc.as_ref().unwrap();
    assert!(arc.counts().clean(), "{:?}", arc.counts());
    let held: Vec<String> = arc.events().into_iter().map(|row| row.id).collect();
    assert_eq!(held.iter().collect::<BTreeSet<_>>().len(), held.len(), "once each");
    assert_eq!(held.into_iter().collect::<BTreeSet<_>>(), rows(&lab).into_keys().collect(), "all of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_a_hub_that_is_smashed_in_its_entry_delay_is_a_burglary_at_the_centre() {
    let mut lab = Lab::start(LabSettings::default()).await.unwrap();
    lab.start_arc(Misbehaviour::default()).await.unwrap();
    lab.daemon.start().await.unwrap();
    let door = "00020001";
    lab.furnish(SMOKE, &[door.to_owned()]).await.unwrap();
    lab.stick.line(contact(door, false).trim_end()).await.unwrap();
    lab.all_signed().await.unwrap();
    lab.ask(json!({"command": "arm", "mode": "away", "code": CODE})).await.unwrap();
    lab.stick.line(contact(door, true).trim_end()).await.unwrap();
    let arc = lab.arc.as_ref().unwrap();
    let entered = |board: &Board| board.ledger.rows().find(|row| row.kind == "entry_started").map(|row| row.id.clone());
    arc.wait_until("somebody to enter", SOON, |board| entered(board).is_some()).await.unwrap();
    lab.daemon.kill().await;
    let arc = lab.arc.as_ref().unwrap();
    let assumed = |board: &Board| {
        board.lines.iter().find_map(|line| match &line.what {
            Happening::Noticed(Notice::AssumedBurglary(assumed)) => Some(assumed.clone()),
            _ => None,
        })
    };
    let within = Duration::from_millis(GRACE_MS) + SOON;
    arc.wait_until("the centre to assume a burglary", within, |board| assumed(board).is_some()).await.unwrap();
    let (assumed, entered) = arc.look(|board| (assumed(board).unwrap(), entered(board).unwrap()));
    assert_eq!((assumed.area.as_str(), assumed.event), ("house", entered));
}
