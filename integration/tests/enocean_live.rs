//! EnOcean, end to end: a transceiver on a real pseudo-terminal, the unmodified daemon, a centre that signs.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::io::Lines;
use tokio::net::UnixStream;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::site::SOON;
use vakt_integration::twins::enocean::CHIP_ID;
use vakt_integration::twins::enocean::SecureContact;
use vakt_integration::twins::enocean::Transceiver;
use vakt_integration::twins::enocean::heard;

const WINDOW: u32 = 0x0511_5A8D;
const SMOKE: u32 = 0x0587_854B;

/// A hub whose transceiver has answered, with an area `house`.
async fn listening() -> (Lab, Transceiver) {
    let settings = LabSettings { receiver: "enocean".to_owned(), ..LabSettings::default() };
    let mut lab = Lab::start(settings).await.unwrap();
    lab.start_arc(Misbehaviour::default()).await.unwrap();
    lab.daemon.start().await.unwrap();
    let mut transceiver = Transceiver::default();
    answer(&lab, &mut transceiver).await;
    lab.ask(json!({"command": "area_set", "area": "house", "entry_s": 2, "exit_s": 0})).await.unwrap();
    (lab, transceiver)
}

/// The transceiver reads what the hub says next, and answers it.
async fn answer(lab: &Lab, transceiver: &mut Transceiver) {
    let said = lab.stick.heard(SOON).await.unwrap();
    lab.stick.bytes(&transceiver.take(&said)).await.unwrap();
}

/// The events of a kind about a device, once there are so many.
async fn events(lab: &Lab, kind: &str, device: &str, count: usize) -> Vec<Value> {
    let arc = lab.arc.as_ref().unwrap();
    let of = |rows: Vec<vakt_integration::arc::ledger::Row>| -> Vec<Value> {
        let bodies = rows.into_iter().filter(|row| row.kind == kind);
        bodies
            .map(|row| serde_json::from_str(&row.body).unwrap())
            .filter(|body: &Value| body["device"] == device)
            .collect()
    };
    let enough =
        |board: &vakt_integration::arc::handle::Board| of(board.ledger.rows().cloned().collect()).len() >= count;
    arc.wait_until(kind, SOON, enough).await.unwrap();
    of(arc.events())
}

/// What a permit says, line by line.
type Says = Lines<BufReader<UnixStream>>;

/// Opens the door; what is said at it.
async fn door(lab: &Lab, eep: Value) -> Says {
    let mut permit = UnixStream::connect(lab.daemon.control_socket()).await.unwrap();
    let asked = json!({"command": "device_permit", "seconds": 60, "joining": "teach", "eep": eep});
    permit.write_all(format!("{asked}\n").as_bytes()).await.unwrap();
    let mut says = BufReader::new(permit).lines();
    let opened = says.next_line().await.unwrap().unwrap();
    assert!(opened.contains("\"ok\":true"), "{opened}");
    says
}

/// The next step of a newcomer; between them stands what was heard of it while the door was shut.
async fn stage(says: &mut Says) -> String {
    loop {
        let line = tokio::time::timeout(SOON, says.next_line()).await.unwrap().unwrap().unwrap();
        if line.contains("stage") {
            return line;
        }
    }
}

/// Opens the door, lets a contact teach, and waits until the hub says that it is heard.
async fn teach(lab: &Lab, contact: &SecureContact) {
    let mut says = door(lab, json!("D5-00-01")).await;
    for part in contact.teach() {
        lab.stick.bytes(&part).await.unwrap();
    }
    let line = stage(&mut says).await;
    assert!(line.contains("\"ready\"") && line.contains("D5-00-01"), "{line}");
}

fn window(open: bool) -> Vec<u8> {
    heard(0xD5, &[if open { 0x08 } else { 0x09 }], WINDOW, 0, 45)
}

#[tokio::test(flavor = "multi_thread")]
async fn r37_smoke_by_enocean_is_a_fire_and_a_copy_of_it_is_not_another() {
    let (lab, _) = listening().await;
    let add = json!({"command": "device_add", "device": "en-0587854b", "kind": "smoke", "eep": "F6-05-02"});
    lab.ask(add).await.unwrap();
    lab.stick.bytes(&heard(0xF6, &[0x10], SMOKE, 0x20, 48)).await.unwrap();
    lab.stick.bytes(&heard(0xF6, &[0x10], SMOKE, 0x21, 48)).await.unwrap();
    lab.stick.bytes(&heard(0xF6, &[0x00], SMOKE, 0x20, 48)).await.unwrap();
    let restored = events(&lab, "alarm_restored", "en-0587854b", 1).await;
    let fires = events(&lab, "alarm_raised", "en-0587854b", 1).await;
    assert_eq!((fires.len(), restored.len()), (1, 1));
    assert_eq!((&fires[0]["detail"]["kind"], &fires[0]["authenticated"]), (&json!("fire"), &json!("crc")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_read_by_its_profile_and_by_no_other() {
    let (lab, _) = listening().await;
    let add =
        |eep: Value, kind: &str| json!({"command": "device_add", "device": "en-05115a8d", "kind": kind, "eep": eep});
    for (eep, kind, says) in [
        (Value::Null, "contact", "D5-00-01"),
        (json!("D5-00-01"), "smoke", "contact"),
        (json!("D2-32-00"), "contact", "not known"),
    ] {
        let refused = lab.daemon.command(&add(eep, kind)).await.unwrap();
        assert_eq!(refused["refused"], json!("bad_eep"));
        assert!(refused["text"].as_str().unwrap().contains(says), "{refused}");
    }
    lab.ask(add(json!("D5-00-01"), "contact")).await.unwrap();
    lab.ask(json!({"command": "zone_set", "zone": "kitchen", "area": "house", "role": "perimeter"})).await.unwrap();
    lab.ask(json!({"command": "device_assign", "device": "en-05115a8d", "zone": "kitchen"})).await.unwrap();
    let status = lab.daemon.command(&json!({"command": "status"})).await.unwrap();
    let gaps = &status["gaps"]["house"]["zones"]["kitchen"];
    assert!(gaps.as_array().unwrap().contains(&json!("intrusion_grade")), "it can be forged: {gaps}");
    lab.stick.bytes(&window(true)).await.unwrap();
    let open = &events(&lab, "device_changed", "en-05115a8d", 1).await[0];
    assert_eq!((&open["detail"]["state"], &open["authenticated"]), (&json!("open"), &json!("crc")));
    // A rocker that calls itself by the window's id says nothing of the window.
    lab.stick.bytes(&heard(0xF6, &[0x10], WINDOW, 0x30, 45)).await.unwrap();
    let fault = &events(&lab, "fault_raised", "en-05115a8d", 1).await[0];
    assert_eq!(fault["detail"]["fault"], json!("unreadable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secure_contact_is_taught_and_what_was_recorded_on_the_air_opens_nothing_also_after_a_start() {
    let (mut lab, mut transceiver) = listening().await;
    let mut contact = SecureContact { id: 0x019E_B63B, key: *b"VAKT-ENOCEAN-KEY", rlc: 0x0000_1000 };
    let device = "en-019eb63b";
    // The door is shut: its teach-in changes nothing.
    for part in contact.teach() {
        lab.stick.bytes(&part).await.unwrap();
    }
    teach(&lab, &contact).await;
    let recorded = contact.says(false);
    lab.stick.bytes(&recorded).await.unwrap();
    let open = &events(&lab, "device_changed", device, 1).await[0];
    assert_eq!((&open["detail"]["state"], &open["detail"]["counter"]), (&json!("open"), &json!(0x1000)));
    assert_eq!(open["authenticated"], json!("mac_counter"));
    lab.stick.bytes(&contact.says(true)).await.unwrap();
    lab.stick.bytes(&recorded).await.unwrap();
    lab.daemon.stop(SOON).await.unwrap();
    lab.daemon.start().await.unwrap();
    answer(&lab, &mut transceiver).await;
    lab.stick.bytes(&recorded).await.unwrap();
    // In clear, or by another key, it is not its word either.
    lab.stick.bytes(&heard(0xD5, &[0x08], contact.id, 0, 45)).await.unwrap();
    let mut forged = SecureContact { key: [7; 16], ..contact.clone() };
    lab.stick.bytes(&forged.says(false)).await.unwrap();
    let unreadable = &events(&lab, "fault_raised", device, 1).await[0];
    assert_eq!(unreadable["detail"]["fault"], json!("unreadable"));
    lab.stick.bytes(&contact.says(false)).await.unwrap();
    let said = events(&lab, "device_changed", device, 3).await;
    let states: Vec<&Value> = said.iter().map(|event| &event["detail"]["state"]).collect();
    assert_eq!(states, [&json!("open"), &json!("closed"), &json!("open")]);
    assert_eq!(said[2]["detail"]["counter"], json!(0x1002), "the third thing it has said itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_to_be_taught_is_answered_and_one_that_is_not_known_here_is_turned_away() {
    let (lab, mut transceiver) = listening().await;
    let mut codes = Vec::new();
    // Of one channel, then of all it has: else the second would be taken for a copy of the first.
    for (open, channel) in [(false, 0x00), (true, 0xFF)] {
        if open {
            lab.ask(json!({"command": "device_permit", "seconds": 60, "joining": "teach"})).await.unwrap();
        }
        // A universal teach-in of a switch for mains, D2-01-01, that waits for an answer.
        let ute = heard(0xD4, &[0xA0, channel, 0x3E, 0x00, 0x01, 0x01, 0xD2], 0x0194_E3B9, 0, 64);
        lab.stick.bytes(&ute).await.unwrap();
        answer(&lab, &mut transceiver).await;
        let (telegram, to) = transceiver.sent.pop().unwrap();
        assert_eq!((to, &telegram[8..12]), (0x0194_E3B9, &CHIP_ID.to_be_bytes()[..]));
        codes.push(telegram[1] >> 4 & 0b11);
    }
    assert_eq!(codes, [0, 3], "not now; and not of a kind that is known");
    assert!(lab.arc.as_ref().unwrap().events().iter().all(|row| row.kind != "device_added"));
}

/// The device reads the answer that the hub sends it; its code.
async fn answered(lab: &Lab, transceiver: &mut Transceiver) -> u8 {
    while transceiver.sent.is_empty() {
        answer(lab, transceiver).await;
    }
    transceiver.sent.remove(0).0[1] >> 4 & 0b11
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_that_it_is_taught_is_known_and_asks_again_without_harm() {
    let (lab, mut transceiver) = listening().await;
    let mut says = door(&lab, Value::Null).await;
    // A multi sensor, D2-14-41, that waits for an answer and misses the first.
    for channel in [0x00, 0xFF] {
        let ute = heard(0xD4, &[0xA0, channel, 0x3E, 0x00, 0x41, 0x14, 0xD2], 0x0194_E3B9, 0, 64);
        lab.stick.bytes(&ute).await.unwrap();
        assert_eq!(answered(&lab, &mut transceiver).await, 1, "it is accepted");
        assert_eq!(events(&lab, "device_added", "en-0194e3b9", 1).await.len(), 1);
    }
    // Who else teaches is told next: nothing was said of the second time.
    lab.stick.bytes(&heard(0xD4, &[0xA0, 0x00, 0x3E, 0x00, 0x01, 0x01, 0xD2], 0x0194_0001, 0, 64)).await.unwrap();
    let stages = [stage(&mut says).await, stage(&mut says).await];
    assert!(stages[0].contains("ready") && stages[0].contains("en-0194e3b9"), "{stages:?}");
    assert!(stages[1].contains("failed") && stages[1].contains("en-01940001"), "{stages:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_with_its_device_and_that_of_a_device_that_is_refused_does_not_stay() {
    let (lab, _) = listening().await;
    let keys = || {
        let file = rusqlite::Connection::open(lab.folder().join("state/secrets.db")).unwrap();
        let sql = "SELECT count(*) FROM secret WHERE id LIKE 'key-%'";
        file.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap()
    };
    let key = "00112233445566778899AABBCCDDEEFF";
    let add = |silence_s: u32| {
        json!({"command": "device_add", "device": "wm-las-00010204-03-1a", "kind": "smoke", "key": key,
            "silence_s": silence_s})
    };
    let refused = lab.daemon.command(&add(1)).await.unwrap();
    assert_eq!((&refused["refused"], keys()), (&json!("out_of_range"), 0));
    // Given again, typed again: one key each, the newest.
    lab.ask(add(3_600)).await.unwrap();
    lab.ask(add(7_200)).await.unwrap();
    let contact = SecureContact { id: 0x019E_B63B, key: *b"VAKT-ENOCEAN-KEY", rlc: 0x0000_1000 };
    teach(&lab, &contact).await;
    lab.until("one key for each device", |_| keys() == 2).await.unwrap();
    for device in ["wm-las-00010204-03-1a", "en-019eb63b"] {
        lab.ask(json!({"command": "device_remove", "device": device})).await.unwrap();
    }
    lab.until("no key without a device", |_| keys() == 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_a_transceiver_that_is_pulled_out_is_told_and_heard_again_when_it_is_back() {
    let (mut lab, mut transceiver) = listening().await;
    let add = json!({"command": "device_add", "device": "en-05115a8d", "kind": "contact", "eep": "D5-00-01"});
    lab.ask(add).await.unwrap();
    lab.stick.unplug().unwrap();
    let fell = |status: &Value| status["faults"].to_string().contains("receiver");
    lab.until("the fall", fell).await.unwrap();
    lab.stick.replug().unwrap();
    answer(&lab, &mut transceiver).await;
    lab.until("its return", |status| !fell(status)).await.unwrap();
    lab.stick.bytes(&window(false)).await.unwrap();
    assert_eq!(events(&lab, "device_changed", "en-05115a8d", 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_rocker_is_waited_for_a_known_smoke_detector_is_heard_and_stays_what_it_is() {
    let (lab, _) = listening().await;
    lab.ask(json!({"command": "device_add", "device": "en-0587854b", "kind": "smoke", "eep": "F6-05-02"}))
        .await
        .unwrap();
    lab.ask(json!({"command": "device_permit", "seconds": 60, "joining": "teach", "eep": "F6-02-01"})).await.unwrap();
    lab.stick.bytes(&heard(0xF6, &[0x10], SMOKE, 0x20, 48)).await.unwrap();
    let fire = &events(&lab, "alarm_raised", "en-0587854b", 1).await[0];
    assert_eq!(fire["detail"]["kind"], json!("fire"));
    assert_eq!(events(&lab, "device_added", "en-0587854b", 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_taught_stays_when_its_device_is_given_a_name_or_anothers_place() {
    let (lab, _) = listening().await;
    lab.ask(json!({"command": "device_add", "device": "en-05115a8d", "kind": "contact", "eep": "D5-00-01",
        "silence_s": 21_600}))
        .await
        .unwrap();
    let mut contact = SecureContact { id: 0x019E_B63B, key: *b"VAKT-ENOCEAN-KEY", rlc: 0x0000_1000 };
    let device = "en-019eb63b";
    teach(&lab, &contact).await;
    lab.ask(json!({"command": "device_add", "device": device, "kind": "contact", "name": "Terrace"})).await.unwrap();
    lab.ask(json!({"command": "device_replace", "old": "en-05115a8d", "device": device, "kind": "contact"}))
        .await
        .unwrap();
    // Anybody's word in clear opens nothing; its own does.
    lab.stick.bytes(&heard(0xD5, &[0x08], contact.id, 0, 45)).await.unwrap();
    events(&lab, "fault_raised", device, 1).await;
    lab.stick.bytes(&contact.says(false)).await.unwrap();
    let open = &events(&lab, "device_changed", device, 1).await[0];
    assert_eq!((&open["detail"]["state"], &open["authenticated"]), (&json!("open"), &json!("mac_counter")));
    let added = events(&lab, "device_added", device, 3).await;
    assert_eq!(added[2]["detail"]["silence_s"], json!(21_600), "the old one's, which nobody has said anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secure_rocker_whose_key_was_typed_calls_for_help() {
    let (lab, _) = listening().await;
    // The specification's own rocker (Security of EnOcean Radio Networks, annex).
    let add = |slf: &str| {
        json!({"command": "device_add", "device": "en-0185e177", "kind": "sos", "eep": "F6-02-01",
        "key": "456E4F6365616E20476D62482E313300", "slf": slf})
    };
    let refused = lab.daemon.command(&add("8B")).await.unwrap();
    assert_eq!(refused["refused"], json!("bad_key"), "where its rolling code stands, only a teach-in tells");
    lab.ask(add("AB")).await.unwrap();
    lab.stick.bytes(&heard(0x30, &[0x0E, 0x3E, 0x2D, 0x00, 0x05, 0xE5, 0x6D], 0x0185_E177, 0, 45)).await.unwrap();
    let called = &events(&lab, "device_changed", "en-0185e177", 1).await[0];
    let found = (&called["detail"]["state"], &called["authenticated"]);
    assert_eq!(found, (&json!("alarm"), &json!("mac")), "the first message might be an old one");
}
