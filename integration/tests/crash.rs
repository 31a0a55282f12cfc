//! `kill -9` at any moment, while events flow: what was committed reaches the centre, once, in order, and the hub comes
//! back as it was. `VAKT_LONG=1`: ten times as much, and more kills.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::print_stdout)] // seeds are printed; a test that meets the unexpected should stop there

use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::daemon;
use vakt_integration::lab::site::CODE;
use vakt_integration::lab::site::contact;
use vakt_integration::lab::site::smoke;

const SMOKE: &str = "00010204";

/// A small generator with a printed seed (Knuth's MMIX constants): enough to pick moments.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn rows(lab: &Lab) -> BTreeMap<String, Vec<u8>> {
    let journal = rusqlite::Connection::open_with_flags(
        lab.daemon.journal(),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE, // the killed writer's log has to be folded in by somebody
    )
    .unwrap();
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
    for id in &contacts {
        lab.stick.line(contact(id, false).trim_end()).await.unwrap();
    }
    lab.until("all closed", |status| status["journal"]["seq"].as_u64() >= Some(80)).await.unwrap();
    // An armed area and an open incident have to come back after each kill.
    lab.ask(json!({"command": "arm", "mode": "home", "code": CODE})).await.unwrap();
    lab.stick.line(smoke(SMOKE, true).trim_end()).await.unwrap();
    lab.until("fire", |status| status["sound"] == json!("fire")).await.unwrap();

    let mut committed: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut open = vec![false; contacts.len()];
    for kill in 0..kills {
        let moment = telegrams / kills / 2 + dice.below(telegrams / kills);
        for _ in 0..moment {
            let which = usize::try_from(dice.below(contacts.len() as u64)).unwrap();
            open[which] = !open[which];
            lab.stick.line(contact(&contacts[which], open[which]).trim_end()).await.unwrap();
        }
        tokio::time::sleep(Duration::from_micros(dice.below(30_000))).await; // the moment itself is what is random here
        lab.daemon.kill().await;
        let found = rows(&lab);
        for (id, body) in &committed {
            assert_eq!(found.get(id), Some(body), "kill {kill}: a committed event is gone or changed");
        }
        committed = found;
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
    let verify = std::process::Command::new(daemon::binary().unwrap())
        .args(["journal", "verify", "--db"])
        .arg(lab.daemon.journal())
        .output()
        .unwrap();
    assert_eq!(verify.status.code(), Some(0), "{}", String::from_utf8_lossy(&verify.stderr));
    println!("{} events, {kills} kills, {} duplicates dropped", journal.len(), counts.duplicates);
}
