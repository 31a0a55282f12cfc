//! The unmodified daemon with a Zigbee stick on a pseudo-terminal: joined, armed, killed, unplugged.

#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use serde_json::Value;
use serde_json::json;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::site::CODE;
use vakt_integration::lab::site::SOON;
use vakt_integration::twins::ncp::habits::Habits;
use vakt_integration::twins::ncp::habits::Kind;
use vakt_integration::twins::ncp::keypad::Key;

async fn house(version: u8) -> Lab {
    let mut lab = Lab::start(LabSettings { zigbee: Some(version), ..LabSettings::default() }).await.unwrap();
    lab.start_arc(Misbehaviour::default()).await.unwrap();
    lab.daemon.start().await.unwrap();
    lab.furnish("00010204", &[]).await.unwrap();
    lab.until("the stick", well).await.unwrap();
    lab
}

fn well(status: &Value) -> bool {
    status["faults"].as_array().is_some_and(Vec::is_empty)
}

fn stick_down(status: &Value) -> bool {
    status["faults"]
        .as_array()
        .is_some_and(|faults| faults.iter().any(|fault| fault["what"] == json!("receiver:zigbee")))
}

/// Waits until the centre holds so many events of this type from this device.
async fn centre_has(lab: &Lab, device: &str, kind: &str, count: usize) {
    let arc = lab.arc.as_ref().unwrap();
    arc.wait_until(kind, SOON, |board| {
        let of_it =
            |row: &&vakt_integration::arc::ledger::Row| row.kind == kind && row.json()["device"] == json!(device);
        board.ledger.rows().filter(of_it).count() >= count
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn r38_a_zigbee_site_alarms_and_survives_kills_and_an_unplugged_stick() {
    let mut lab = house(13).await;
    let door = lab.join("door", Habits::of(Kind::Contact), "entry_door").await.unwrap();
    let smoke = lab.join("kitchen", Habits::of(Kind::Smoke), "always").await.unwrap();
    // Nobody has touched them yet: how they stand was read back.
    centre_has(&lab, &door, "device_changed", 1).await;
    centre_has(&lab, &smoke, "device_changed", 1).await;
    let key = lab.mesh.as_ref().unwrap().ask(|stick, _| stick.memory().network.clone()).unwrap().key;
    lab.ask(json!({"command": "arm", "mode": "away", "code": CODE})).await.unwrap();
    lab.happens("door", 1, 0).unwrap();
    centre_has(&lab, &door, "entry_started", 1).await;
    lab.until("the burglary", |status| status["incidents"][0]["kind"] == json!("burglary")).await.unwrap();
    lab.ask(json!({"command": "disarm", "code": CODE})).await.unwrap();

    lab.happens("kitchen", 1, 0).unwrap();
    centre_has(&lab, &smoke, "alarm_raised", 1).await;
    lab.happens("kitchen", 0, 1).unwrap();
    centre_has(&lab, &smoke, "alarm_restored", 1).await;

    lab.daemon.kill().await;
    lab.daemon.start().await.unwrap();
    lab.until("the stick after a kill", well).await.unwrap();
    let after = lab.mesh.as_ref().unwrap().ask(|stick, _| stick.memory().network.clone()).unwrap().key;
    assert_eq!(after, key, "resumed, not formed again");
    lab.happens("kitchen", 1, 0).unwrap();
    centre_has(&lab, &smoke, "alarm_raised", 2).await;
    lab.happens("kitchen", 0, 1).unwrap();
    centre_has(&lab, &smoke, "alarm_restored", 2).await;

    lab.mesh.as_ref().unwrap().unplug().unwrap();
    lab.until("the fault", stick_down).await.unwrap();
    lab.mesh.as_ref().unwrap().replug().unwrap();
    lab.until("the stick after it was pulled out", well).await.unwrap();
    lab.happens("kitchen", 1, 0).unwrap();
    centre_has(&lab, &smoke, "alarm_raised", 3).await;

    lab.all_signed().await.unwrap();
    let status = lab.until("the stick's counters", |status| status["zigbee"]["up"] == json!(true)).await.unwrap();
    assert!(status["zigbee"]["frames"]["received"].as_u64().unwrap() > 50, "{status}");
    let counts = lab.arc.as_ref().unwrap().counts();
    assert!(counts.clean(), "{counts:?}");
    let raised =
        |row: &vakt_integration::arc::ledger::Row| row.kind == "alarm_raised" && row.json()["device"] == json!(smoke);
    assert_eq!(lab.arc.as_ref().unwrap().events().iter().filter(|row| raised(row)).count(), 3, "none is doubled");
}

#[tokio::test(flavor = "multi_thread")]
async fn r46_a_low_battery_and_a_tamper_reach_the_centre_once() {
    let lab = house(18).await;
    let window = lab.join("window", Habits::of(Kind::Contact), "perimeter").await.unwrap();
    for (set, clear, kind) in [
        (0x0008, 0, "fault_raised"),
        (0, 0x0008, "fault_cleared"),
        (0x0004, 0, "alarm_raised"),
        (0, 0x0004, "alarm_restored"),
    ] {
        lab.happens("window", set, clear).unwrap();
        centre_has(&lab, &window, kind, 1).await;
    }
    lab.all_signed().await.unwrap();
    assert!(lab.arc.as_ref().unwrap().counts().clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_a_working_stick_is_refused_with_its_reason() {
    let lab = house(13).await;
    lab.mesh.as_ref().unwrap().unplug().unwrap();
    lab.until("the fault", stick_down).await.unwrap();
    let answer = lab.daemon.command(&json!({"command": "device_permit", "seconds": 10, "joining": "legacy"})).await;
    let answer = answer.unwrap();
    assert_eq!(answer["refused"], json!("no_stick"), "{answer}");
    let code = json!({"command": "device_permit", "seconds": 10, "joining": "install_code",
        "device": "zb-00124b0001020304", "install_code": "83FED3407A939723A5C639B26916D505C3B6"});
    let answer = lab.daemon.command(&code).await.unwrap();
    assert_eq!(answer["refused"], json!("bad_key"), "{answer}");
    assert!(answer["text"].as_str().unwrap().contains("a digit is wrong"), "{answer}");
}

/// What a person in front of a device sees, once it is so.
async fn shows(lab: &Lab, name: &'static str, so: impl Fn(&Value) -> bool) -> Value {
    let begun = std::time::Instant::now();
    loop {
        let shown = lab.mesh.as_ref().unwrap().ask(move |stick, now| stick.shows(now, name)).unwrap();
        if so(&shown) {
            return shown;
        }
        assert!(begun.elapsed() < SOON, "{name} shows {shown}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn types(lab: &Lab, name: &'static str, key: Key) {
    lab.mesh.as_ref().unwrap().ask(move |stick, now| stick.types(now, name, key)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn b20_a_keypad_arms_disarms_calls_for_help_and_is_blocked_alone() {
    let lab = house(13).await;
    let keypad = lab.join("hall", Habits { sleepy: false, ..Habits::of(Kind::Keypad) }, "entry_route").await.unwrap();
    shows(&lab, "hall", |shown| shown["panel"]["status"] == json!(0)).await;
    types(&lab, "hall", Key::Arm(3, CODE.to_owned(), 0));
    shows(&lab, "hall", |shown| shown["arm"] == json!(3)).await;
    let status = lab.until("armed", |status| status["areas"]["house"]["arm"] != json!("disarmed")).await.unwrap();
    assert!(status["areas"]["house"]["arm"] != json!("unknown"), "{status}");
    shows(&lab, "hall", |shown| matches!(shown["panel"]["status"].as_u64(), Some(3 | 4))).await;
    types(&lab, "hall", Key::Arm(0, CODE.to_owned(), 0));
    shows(&lab, "hall", |shown| shown["arm"] == json!(0) && shown["panel"]["status"] == json!(0)).await;

    types(&lab, "hall", Key::Emergency);
    centre_has(&lab, &keypad, "alarm_raised", 1).await;
    // Shown when it is on record, heard when the centre has signed for it (B12).
    shows(&lab, "hall", |shown| (&shown["panel"]["alarm"], &shown["panel"]["audible"]) == (&json!(3), &json!(1))).await;

    for wrong in ["10000", "20000", "30000"] {
        types(&lab, "hall", Key::Arm(0, wrong.to_owned(), 0));
        tokio::time::sleep(std::time::Duration::from_millis(300)).await; // people type one code after the other
    }
    let blocked =
        |board: &vakt_integration::arc::handle::Board| board.ledger.rows().any(|row| row.kind == "code_blocked");
    lab.arc.as_ref().unwrap().wait_until("the block", SOON, blocked).await.unwrap();
    lab.ask(json!({"command": "arm", "mode": "home", "code": CODE})).await.unwrap();
    lab.ask(json!({"command": "disarm", "code": CODE})).await.unwrap();
    let log = std::fs::read_to_string(lab.daemon.log()).unwrap_or_default();
    assert!(!log.contains("30000") && !log.contains(CODE), "no code stands in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn r70_a_siren_sounds_a_burglary_and_a_lock_turns_on_a_code() {
    let lab = house(18).await;
    lab.join("door", Habits::of(Kind::Contact), "perimeter").await.unwrap();
    lab.join("roof", Habits::of(Kind::Siren), "always").await.unwrap();
    let lock = lab.join("bolt", Habits::of(Kind::Lock), "always").await.unwrap();
    centre_has(&lab, &lock, "device_changed", 1).await;
    let mut turned = 0;
    for (command, bolt) in [("lock", "locked"), ("unlock", "unlocked"), ("lock", "locked")] {
        lab.ask(json!({"command": command, "device": lock, "code": CODE})).await.unwrap();
        shows(&lab, "bolt", |shown| shown["bolt"] == json!(bolt)).await;
        turned += 1;
        centre_has(&lab, &lock, "command_confirmed", turned).await;
    }
    lab.ask(json!({"command": "arm", "mode": "home", "code": CODE})).await.unwrap();
    lab.until("armed", |status| status["areas"]["house"]["arm"].to_string().contains("armed")).await.unwrap();
    lab.happens("door", 1, 0).unwrap();
    shows(&lab, "roof", |shown| shown["sounds"]["mode"] == json!(1)).await;
    lab.ask(json!({"command": "disarm", "code": CODE})).await.unwrap();
    lab.ask(json!({"command": "siren_stop", "code": CODE})).await.unwrap();
    shows(&lab, "roof", |shown| shown["sounds"].is_null()).await;
}
