//! EnOcean against captured, published and constructed telegrams: what the decoder must say of each, what it must refuse,
//! that nothing on the line is lost behind noise, and that an old telegram opens nothing. R18, R36: a detector's faults and
//! alarms arrive as they were sent.
//!
//! Secured telegrams that are not in the vectors were made with PyCryptodome 3, by the formulas of Security of EnOcean
//! Radio Networks, under the key of its annex A.4.1.
#![allow(clippy::unwrap_used)] // a test that cannot go on must fail

use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceState;
use vakt_core::device::Eep;
use vaktd::subghz::decode::from_hex;
use vaktd::subghz::decode::parse_key;
use vaktd::subghz::enocean::Device;
use vaktd::subghz::enocean::understand;
use vaktd::subghz::enocean_copies::Copies;
use vaktd::subghz::enocean_copies::REMEMBERED_MAX;
use vaktd::subghz::enocean_decode::decode_line;
use vaktd::subghz::enocean_security::Key;
use vaktd::subghz::enocean_security::Link;
use vaktd::subghz::enocean_security::Opened;
use vaktd::subghz::enocean_security::Slf;
use vaktd::subghz::enocean_security::open;
use vaktd::subghz::enocean_security::open_by_key;
use vaktd::subghz::enocean_teach::Gathering;
use vaktd::subghz::enocean_teach::Outcome;
use vaktd::subghz::enocean_teach::Part;
use vaktd::subghz::enocean_teach::TeachIn;
use vaktd::subghz::enocean_teach::UNFINISHED_MAX;
use vaktd::subghz::enocean_teach::label_key;
use vaktd::subghz::erp1::BROADCAST;
use vaktd::subghz::erp1::Telegram;
use vaktd::subghz::esp3::Framer;
use vaktd::subghz::esp3::MAX_DATA;
use vaktd::subghz::esp3::MAX_PACKET;
use vaktd::subghz::esp3::Packet;
use vaktd::subghz::esp3::PacketType;
use vaktd::subghz::esp3::crc8;
use vaktd::subghz::esp3_command::Answer;
use vaktd::subghz::esp3_command::Command;
use vaktd::subghz::esp3_command::Event;
use vaktd::subghz::esp3_command::Repeater;
use vaktd::subghz::esp3_command::Response;
use vaktd::subghz::esp3_command::ReturnCode;
use vaktd::subghz::line::Fault;
use vaktd::subghz::refused::Reason;
use vaktd::subghz::refused::Refused;

fn vectors() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../integration/tests/data/enocean_vectors.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all.len(), 46, "the vectors are complete");
    all
}

fn vector(id: &str) -> Value {
    vectors().into_iter().find(|v| v["id"] == id).unwrap_or_else(|| panic!("no vector {id}"))
}

fn bytes(hex: &str) -> Vec<u8> {
    from_hex(hex).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}

fn key(hex: &str) -> Key {
    Key::new(parse_key(hex).unwrap())
}

/// The key of Security of EnOcean Radio Networks, A.4.1.
const SPEC_KEY: &str = "456E4F6365616E20476D62482E313300";

fn say(eep: Option<&str>, key: Option<&Key>, hex: &str) -> Value {
    let (line, ok) = decode_line(eep.map(|eep| eep.parse().unwrap()), key, hex);
    let said: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ok, said.get("error").is_none(), "{line}");
    said
}

/// A telegram as a transceiver would give it.
fn packet(telegram: &str) -> String {
    hex(&Telegram::parse(&bytes(telegram)).unwrap().packet(BROADCAST).to_bytes())
}

/// What a telegram of a profile says, as a line says it.
fn of(eep: &str, telegram: &str) -> Value {
    say(Some(eep), None, &packet(telegram))
}

/// A report as four words: kind, state, low battery, fault.
fn report(said: &Value) -> Value {
    assert!(said["error"].is_null(), "{said}");
    let r = &said["report"];
    json!([r["kind"], r["state"], r["low_battery"], r["fault"]])
}

fn named<'a>(said: &'a Value, name: &str) -> Option<&'a Value> {
    said["values"].as_array().unwrap().iter().find(|value| value["name"] == name).map(|value| &value["value"])
}

fn telegram(hex: &str) -> Telegram {
    Telegram::parse(&bytes(hex)).unwrap()
}

fn spec_link(slf: u8) -> Link {
    Link { key: key(SPEC_KEY), slf: Slf::parse(slf).unwrap(), ptm: false }
}

fn contact(eep: &str, secure: Option<(Link, u64)>) -> Device {
    Device { eep: eep.parse().unwrap(), secure }
}

// — every vector

#[test]
fn every_vector_says_what_it_is_there_for() {
    let mut checked = 0;
    for v in vectors() {
        let id = v["id"].as_str().unwrap();
        let whole = match v["layer"].as_str().unwrap() {
            "esp3" => v["hex"].as_str().unwrap().to_owned(),
            "erp1" => packet(v["hex"].as_str().unwrap()),
            "psk" => {
                assert_eq!(format!("{:02X}", crc8(&bytes(v["hex"].as_str().unwrap()))), v["expect"]["crc8"]);
                checked += 1;
                continue;
            }
            other => panic!("layer {other}"),
        };
        let key = v["key"].as_str().map(key);
        let said = say(v["eep"].as_str(), key.as_ref(), &whole);
        for (what, expected) in v["expect"].as_object().unwrap() {
            expectation(&v, &said, what, expected);
            checked += 1;
        }
        let trust = if v["key"].is_string() { "mac" } else { "crc" };
        assert!(said["error"].is_object() || said["authenticated"] == trust, "{id}: {said}");
        if let Some(sender) = v["expect"]["sender"].as_str() {
            assert_eq!(said["radio"]["device"], format!("en-{}", sender.to_lowercase()), "{id}");
        }
    }
    assert_eq!(checked, 140, "no expectation was passed over");
}

/// Holds one line of a vector's `expect` against what was said. A name that is not known here fails.
fn expectation(v: &Value, said: &Value, what: &str, expected: &Value) {
    let id = v["id"].as_str().unwrap();
    let (radio, state) = (&said["radio"], &said["report"]["state"]);
    let close =
        |name: &str, by: f64| (named(said, name).unwrap().as_f64().unwrap() - expected.as_f64().unwrap()).abs() < by;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let alarm = |kind: &str| {
        let state_of = if expected == true { "alarm" } else { "clear" };
        said["report"]["kind"] == kind && *state == state_of
    };
    let secret = v["hex"].as_str().unwrap();
    let right = match what {
        "use" => true, // what it might be used for
        "sender" => radio["sender"] == *expected,
        "rssi_dbm" => radio["rssi_dbm"] == *expected,
        "repeater" => radio["repeated"] == *expected,
        "t21" | "nu" => radio[what] == (*expected == 1),
        "rorg" => radio["rorg"] == *expected,
        "contact" => said["report"]["kind"] == "contact" && state == expected,
        "handle" => {
            let open = if expected == "closed" { "closed" } else { "open" };
            named(said, "handle") == Some(expected) && *state == open
        }
        "vibration" => {
            let also = &said["also"];
            named(said, "vibration").is_some_and(|said| said == "yes") == (*expected == true)
                && (&also["kind"], &also["state"]) == (&json!("vibration"), &json!("alarm"))
        }
        "button" => match expected.as_str() {
            Some(name) => name.contains(named(said, "button").unwrap().as_str().unwrap()),
            None => named(said, "button").is_none(),
        },
        "bow" => {
            let pressed = if expected == "pressed" { "alarm" } else { "clear" };
            named(said, "bow") == Some(expected) && said["report"]["kind"] == "sos" && *state == pressed
        }
        "card" => named(said, "card") == Some(expected),
        "smoke" => alarm("smoke"),
        "motion" => alarm("motion"),
        "leak" => alarm("water"),
        "battery_low" => said["report"]["low_battery"] == *expected && state.is_null(),
        "supply_v" => close("supply_voltage", 0.001) && said["report"]["low_battery"] == false,
        "lux" => close("illumination", 0.001),
        "temperature_c" => close("temperature", 0.05),
        "cmd" => named(said, "command") == Some(expected),
        "output" => named(said, "output") == Some(expected),
        "teach_in" => said["teach_in"].is_object() == (*expected == true) && (*expected == false || state.is_null()),
        "ute" => said["teach_in"]["kind"] == "ute",
        "eep" | "manufacturer" | "response_expected" => said["teach_in"][what] == *expected,
        "type" => Packet::parse(&bytes(secret)).unwrap().packet_type.byte() == expected.as_u64().unwrap() as u8,
        "data_len" => said["packet"]["data_length"] == *expected,
        "opt_len" => said["packet"]["optional_length"] == *expected,
        "command" => said["packet"]["command"] == Command::ReadBaseId.packet().data[0] && expected == "CO_RD_IDBASE",
        "ret" => said["packet"]["return_code"] == *expected,
        "base_id" => said["packet"]["data"] == *expected,
        "result" => {
            let part = text(expected).replace("reject: ", "").replace(" CRC8", "");
            said["error"]["kind"] == "bad_crc" && text(&said["error"]["text"]).starts_with(&part)
        }
        "idx" => said["teach_in"]["index"] == *expected,
        "cnt" => said["teach_in"]["count"] == *expected,
        "info" => said["teach_in"]["ptm"] == text(expected).contains("PTM") && said["teach_in"]["pre_shared"] == false,
        "slf" => text(expected).starts_with(said["teach_in"]["slf"].as_str().unwrap()),
        "rlc" if v["key"].is_null() => said["teach_in"]["rlc"] == *expected,
        "rlc16" => said["teach_in"]["rlc"] == *expected,
        "rlc" => said["opened"]["rlc"] == *expected,
        "plain" => format!("{}{}", text(&said["opened"]["rorg"]), text(&said["opened"]["payload"])) == *expected,
        "cmac" => secret.contains(&text(expected)),
        // The second part of the key: both make it, and neither is shown.
        "key" => taught(&[&text(&vector("sec-ti-1")["hex"]), secret]).link.key == key(&text(expected)),
        other => panic!("{id}: nothing here checks `{other}`"),
    };
    assert!(right, "{id}: {what} should be {expected}: {said}");
}

fn part(hex: &str) -> Part {
    let telegram = telegram(hex);
    match TeachIn::read(telegram.rorg, &telegram.payload).unwrap() {
        Some(TeachIn::Secure(part)) => part,
        other => panic!("{other:?}"),
    }
}

fn taught(parts: &[&str]) -> vaktd::subghz::enocean_teach::Taught {
    let mut gathering = Gathering::default();
    let taken = parts.iter().map(|hex| gathering.take(1, part(hex), None).unwrap());
    taken.last().unwrap().expect("nothing is missing")
}

// — the line

const GOOD: &str = "55000707017AF6F00587854A2000FFFFFFFF4A000C";

fn heard(framer: &mut Framer, bytes: &[u8]) -> (Vec<Packet>, Vec<Fault>) {
    let all: Vec<_> = framer.feed(bytes).into_iter().chain(framer.silence()).collect();
    let (good, bad): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    (good.into_iter().map(Result::unwrap).collect(), bad.into_iter().map(Result::unwrap_err).collect())
}

#[test]
fn a_packet_is_found_behind_and_within_what_is_none() {
    let good = Packet::parse(&bytes(GOOD)).unwrap();
    for (before, faults) in [
        ("", &[][..]),
        ("000102", &[Fault::NotAFrame]),
        ("55", &[Fault::BadChecksum]),
        ("5555", &[Fault::BadChecksum, Fault::BadChecksum]),
        // A header that fails its check, with a start byte in it.
        ("550055", &[Fault::BadChecksum, Fault::BadChecksum]),
        // A header of zeros passes its check: no data is no packet.
        ("550000000000", &[Fault::BadLength]),
        // A packet of which the data's check fails, with start bytes in its data.
        ("55000707017AF6550587855520", &[]),
    ] {
        let line = [bytes_or_none(before), bytes(GOOD)].concat();
        let (packets, found) = heard(&mut Framer::default(), &line);
        assert_eq!(packets, std::slice::from_ref(&good), "behind {before}");
        assert!(faults.is_empty() || found == faults, "behind {before}: {found:?}");
    }
    // One behind the other, and one with nothing but start bytes in its data.
    let full = Packet { packet_type: PacketType::Other(9), data: vec![0x55; 40], optional: vec![0x55; 7] };
    let line = [full.to_bytes(), bytes(GOOD), full.to_bytes()].concat();
    assert_eq!(heard(&mut Framer::default(), &line), (vec![full.clone(), good, full], vec![]));
}

fn bytes_or_none(hex: &str) -> Vec<u8> {
    if hex.is_empty() { Vec::new() } else { bytes(hex) }
}

#[test]
fn a_half_packet_ends_with_silence_and_swallows_nothing() {
    let mut framer = Framer::default();
    assert!(framer.feed(&bytes(GOOD)[..12]).is_empty());
    assert_eq!(framer.silence(), [Err(Fault::HalfPacket)]);
    assert_eq!(framer.held(), 0);
    assert_eq!(framer.feed(&bytes(GOOD)).len(), 1);
    // Noise that looks like the header of a long packet holds what follows back only until it is silent.
    let header = [0x02, 0x00, 0x00, 0x01];
    let false_start = [&[0x55][..], &header, &[crc8(&header)]].concat();
    assert!(framer.feed(&[false_start, bytes(GOOD)].concat()).is_empty());
    let found = framer.silence();
    assert_eq!((found.len(), &found[0]), (2, &Err(Fault::HalfPacket)));
    assert_eq!(found[1], Ok(Packet::parse(&bytes(GOOD)).unwrap()));
}

#[test]
fn a_packet_too_long_is_passed_over_and_counted_once() {
    let header = [0x02, 0x01, 0x00, 0x01];
    let line = [&[0x55][..], &header, &[crc8(&header)], &[0; MAX_DATA + 2]].concat();
    let mut framer = Framer::default();
    assert_eq!(framer.feed(&line), [Err(Fault::BadLength), Err(Fault::NotAFrame)]);
    assert_eq!(say(None, None, &hex(&line[..20]))["error"]["kind"], "too_long");
    let longest = Packet { packet_type: PacketType::RadioErp1, data: vec![7; MAX_DATA], optional: vec![8; 255] };
    assert_eq!(longest.to_bytes().len(), MAX_PACKET);
    assert_eq!(framer.feed(&longest.to_bytes()), [Ok(longest)]);
}

#[test]
fn what_is_no_packet_is_told_why_and_where() {
    for (hex, kind, at, says) in [
        ("D50805115A8D00", "bad_frame", 0, "bare radio telegram of RORG D5"),
        ("F6F00587854A20", "bad_frame", 0, "bare radio telegram of RORG F6"),
        ("AA00", "bad_frame", 0, "begins with 55"),
        ("5500070701", "too_short", 5, "header"),
        ("55000707017B", "bad_crc", 5, "header CRC8 is 7B"),
        ("550000000000", "bad_length", 1, "without data"),
        (&GOOD[..40], "too_short", 20, "header says 21"),
        (&format!("{GOOD}00"), "bad_length", 21, "header says 21"),
        // Public crates fell over these two: a telegram without optional data, and one too short to be one.
        ("55000100016CD525", "too_short", 7, "four bytes of id"),
        ("", "too_short", 0, "no bytes"),
        ("5X", "bad_hex", 0, "hex"),
    ] {
        let error = &say(None, None, hex)["error"];
        assert_eq!((&error["kind"], &error["at"]), (&json!(kind), &json!(at)), "{hex}: {error}");
        assert!(error["text"].as_str().unwrap().contains(says), "{hex}: {error}");
    }
    let bare = Packet { packet_type: PacketType::RadioErp1, data: bytes("D50901825DAB00"), optional: vec![] };
    let said = say(Some("D5-00-01"), None, &hex(&bare.to_bytes()));
    assert_eq!((&said["radio"]["rssi_dbm"], report(&said)), (&Value::Null, json!(["contact", "closed", null, false])));
    let cut = Packet { optional: vec![0; 6], ..bare };
    assert_eq!(say(None, None, &hex(&cut.to_bytes()))["error"]["kind"], "bad_length");
}

#[test]
fn a_batch_answers_each_line_and_a_key_opens_its_own() {
    let stm = packet(vector("sec-stm")["hex"].as_str().unwrap());
    let opened = say(None, None, &format!("{SPEC_KEY} {stm}"));
    assert_eq!(opened["authenticated"], "mac", "with what would its rolling code be compared?");
    assert_eq!(opened["teach_in"], json!({"kind": "4bs", "eep": "A5-02-04", "manufacturer": "7FF"}), "{opened}");
    let closed = say(Some("A5-02-04"), None, &stm);
    assert_eq!(
        (&closed["encrypted"], &closed["report"], &closed["authenticated"]),
        (&json!("secure"), &Value::Null, &json!("crc"))
    );
    assert!(closed["opened"].is_null());
    assert_eq!(say(None, None, &format!("00 {stm}"))["error"]["kind"], "bad_key");
    let wrong = say(None, Some(&key("00000000000000000000000000000000")), &stm);
    assert_eq!(wrong["error"]["kind"], "wrong_key");
    assert!(wrong["error"]["text"].as_str().unwrap().contains("implicit rolling code"), "{wrong}");
}

#[test]
fn nothing_of_a_key_is_printed() {
    for id in ["sec-ti-1", "sec-ti-2", "sec-ptm-ti-1"] {
        let v = vector(id);
        let telegram = v["hex"].as_str().unwrap();
        let (line, good) = decode_line(None, None, &packet(telegram));
        // Four bytes of it in a row would be some.
        let start = if id == "sec-ti-2" { 4 } else { telegram.len() - 10 - 14 };
        let secret = &telegram[start..start + 8];
        assert!(good && !line.to_uppercase().contains(secret), "{id}: {line}");
    }
    let (line, _) = decode_line(None, None, &format!("{SPEC_KEY}00 {GOOD}"));
    assert!(line.contains("bad_key") && !line.contains(&SPEC_KEY[..8]), "{line}");
    for shown in [format!("{:?}", key(SPEC_KEY)), format!("{:?}", part(vector("sec-ti-2")["hex"].as_str().unwrap()))] {
        assert!(shown.contains("hidden") && !shown.contains("71") && !shown.contains("20"), "{shown}");
    }
}

// — commands

#[test]
fn commands_are_the_specifications_bytes() {
    for (command, expected) in [
        (Command::ReadBaseId, "5500010005700838"),
        (Command::Sleep { period_10ms: 10 }, "5500050005DB010000000A54"),
        (Command::Reset, "550001000570020E"), // ESP3, 3.2.3
        (Command::ReadVersion, "5500010005700309"),
    ] {
        assert_eq!(hex(&command.packet().to_bytes()), expected, "{command:?}");
    }
    assert_eq!(Command::Sleep { period_10ms: u32::MAX }.packet().data, bytes("0100FFFFFF"), "24 bits and no more");
    let repeater = |repeater| hex(&Command::WriteRepeater(repeater).packet().data);
    let all = [Repeater::Off, Repeater::Level1, Repeater::Level2, Repeater::Filtered(1)].map(repeater);
    assert_eq!(all, ["090000", "090101", "090102", "090201"]);
}

fn response(data: &str, optional: &str) -> Packet {
    Packet { packet_type: PacketType::Response, data: bytes(data), optional: bytes_or_none(optional) }
}

#[test]
fn answers_are_read_by_what_was_asked() {
    let base = Packet::parse(&bytes(vector("esp3-ret-ok")["hex"].as_str().unwrap())).unwrap();
    let known = Answer::BaseId { base_id: 0xFF80_0000, writes_left: None };
    assert_eq!(Command::ReadBaseId.answer(&base), Ok(known));
    let counted = Command::ReadBaseId.answer(&response("00FF800000", "0A")).unwrap();
    assert_eq!(counted, Answer::BaseId { base_id: 0xFF80_0000, writes_left: Some(10) });
    let version = "00020B0000020604000587854A01000000474154455741594354524C0000000000";
    match Command::ReadVersion.answer(&response(version, "")).unwrap() {
        Answer::Version { app, api, chip_id, description } => {
            assert_eq!((app, api, chip_id), ([2, 11, 0, 0], [2, 6, 4, 0], 0x0587_854A));
            assert_eq!(description, "GATEWAYCTRL");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(Command::ReadRepeater.answer(&response("000102", "")), Ok(Answer::Repeater(Repeater::Level2)));
    let duty = Command::ReadDutyCycle.answer(&response("00640A01680001C832", ""));
    assert_eq!(duty.unwrap_err().kind, Reason::BadLength, "one byte too many");
    let (available_percent, slots, slot_s, slot_left_s, after_percent) = (100, 10, 360, 1, 50);
    let expected = Answer::DutyCycle { available_percent, slots, slot_s, slot_left_s, after_percent };
    assert_eq!(Command::ReadDutyCycle.answer(&response("00640A0168000132", "")), Ok(expected));
    assert_eq!(Command::Reset.answer(&response("00", "")), Ok(Answer::Done));
    for (wrong, kind) in [
        ("02", Reason::NotSupported),
        ("03", Reason::BadRecord),
        ("000301", Reason::BadRecord),
        ("0001", Reason::BadLength),
    ] {
        assert_eq!(Command::ReadRepeater.answer(&response(wrong, "")).unwrap_err().kind, kind, "{wrong}");
    }
    let telegram = Packet::parse(&bytes(GOOD)).unwrap();
    assert_eq!(Command::Reset.answer(&telegram).unwrap_err().kind, Reason::BadFrame);
    assert_eq!(Response::parse(&response("82", "")).unwrap().code, ReturnCode::Other(0x82));
}

#[test]
fn a_transceiver_that_started_again_says_so() {
    let event =
        |data: &str| Event::parse(&Packet { packet_type: PacketType::Event, data: bytes(data), optional: vec![] });
    assert_eq!(event("0402"), Ok(Event::Ready { cause: 2 }), "by its watchdog");
    assert_eq!(event("0601"), Ok(Event::DutyCycleLimit { reached: true }));
    assert_eq!(event("0600"), Ok(Event::DutyCycleLimit { reached: false }));
    assert_eq!(event("0602").unwrap_err().kind, Reason::BadRecord);
    assert_eq!(event("0700"), Ok(Event::TransmitFailed { cause: 0 }));
    assert_eq!(event("01"), Ok(Event::Other { code: 1 }));
    let packet = Packet { packet_type: PacketType::Event, data: bytes("0402"), optional: vec![] };
    assert_eq!(say(None, None, &hex(&packet.to_bytes()))["packet"]["event"], "ready");
    assert!(Event::parse(&response("00", "")).is_err());
}

// — profiles

#[test]
fn a_door_is_closed_only_when_it_says_so() {
    let id = "05115A8D00";
    assert_eq!(report(&of("D5-00-01", &format!("D509{id}"))), json!(["contact", "closed", null, false]));
    for (eep, telegram) in [
        ("D5-00-01", "D501"),       // it teaches
        ("A5-14-01", "A596000000"), // likewise
        ("A5-14-09", "A596000000"),
    ] {
        let said = of(eep, &format!("{telegram}{id}"));
        assert_eq!((&said["report"], &said["values"]), (&Value::Null, &json!([])), "{eep} {telegram}");
        assert!(said["teach_in"].is_object());
    }
    for (eep, telegram, state) in [
        ("F6-10-00", "F6FF", json!("closed")), // its low half is not defined
        ("F6-10-00", "F6C5", json!("open")),
        ("F6-10-00", "F6D0", json!("open")),
        ("F6-10-00", "F6B0", Value::Null),
        ("F6-10-00", "F600", Value::Null),
        ("A5-14-09", "A59600000C", Value::Null),     // reserved
        ("A5-14-07", "A59600000A", json!("closed")), // and its lock is open
        ("A5-14-07", "A59600000C", json!("open")),
        ("F6-04-01", "F600", json!("open")),
        ("F6-04-01", "F671", Value::Null),
    ] {
        let said = report(&of(eep, &format!("{telegram}{id}")));
        assert_eq!((&said[1], &said[3]), (&state, &json!(state.is_null())), "{eep} {telegram}: {said}");
    }
    assert_eq!(named(&of("A5-14-07", &format!("A59600000A{id}")), "lock"), Some(&json!("unlocked")));
}

#[test]
fn a_listed_value_takes_the_fault_back_and_tells_nothing_of_batteries() {
    let id = "0587854B00";
    for (eep, telegram, expected) in [
        ("F6-05-02", "F610", json!(["smoke", "alarm", null, false])),
        ("F6-05-02", "F600", json!(["smoke", "clear", null, false])),
        ("F6-05-02", "F630", json!(["smoke", null, true, false])),
        ("F6-05-02", "F611", json!(["smoke", null, null, true])),
        ("F6-05-01", "F611", json!(["water", "alarm", null, false])),
        ("F6-05-01", "F600", json!(["water", null, null, true])), // no profile of it knows "dry"
        ("A5-30-03", "A500800E08", json!(["smoke", null, null, true])),
        ("A5-30-03 (Eltako)", "A500800F08", json!(["smoke", "alarm", null, false])),
    ] {
        assert_eq!(report(&of(eep, &format!("{telegram}{id}"))), expected, "{eep} {telegram}");
    }
}

#[test]
fn a_rocker_calls_for_help_while_it_is_pressed() {
    let rocker = |byte: &str, status: &str| of("F6-02-01", &format!("F6{byte}FEF2A47B{status}"));
    assert_eq!(report(&rocker("30", "30")), json!(["sos", "alarm", null, false]));
    assert_eq!(report(&rocker("70", "20")), json!(["sos", "alarm", null, false]), "three or four at once");
    assert_eq!(report(&rocker("10", "20")), json!(["sos", "alarm", null, false]), "no button, but the bow");
    assert_eq!(report(&rocker("00", "21")), json!(["sos", "clear", null, false]), "through a repeater");
    let both = rocker("37", "30");
    let buttons: Vec<_> = both["values"].as_array().unwrap().iter().filter(|v| v["name"] == "button").collect();
    assert_eq!((&buttons[0]["value"], &buttons[1]["value"]), (&json!("A0"), &json!("B0")));
    for (byte, status) in [("90", "30"), ("3B", "30"), ("50", "20"), ("80", "20")] {
        assert_eq!(report(&rocker(byte, status)), json!(["sos", null, null, true]), "{byte} {status} is not listed");
    }
}

#[test]
fn a_supply_is_told_where_it_is_one() {
    let window = |db3: &str| of("A5-14-01", &format!("A5{db3}0000080587123400"));
    let supply = |said: &Value| named(said, "supply_voltage").cloned();
    assert_eq!(
        (supply(&window("FA")), report(&window("FA"))),
        (Some(json!(5)), json!(["contact", "closed", false, false]))
    );
    assert_eq!(report(&window("7B")), json!(["contact", "closed", false, false]), "2.46 V");
    assert_eq!(report(&window("7A")), json!(["contact", "closed", true, false]), "2.44 V");
    assert_eq!(
        (supply(&window("FB")), report(&window("FB"))),
        (None, json!(["contact", "closed", null, true])),
        "an error code"
    );
    assert_eq!(
        (supply(&window("00")), report(&window("00"))),
        (None, json!(["contact", "closed", null, false])),
        "not measured"
    );
    // A5-07-01 says whether it measures at all; A5-08-01 has no error codes and 5.1 V.
    assert_eq!(supply(&of("A5-07-01", "A5960000080587123400")), None);
    assert_eq!(supply(&of("A5-08-01", "A5FF32640D0587123400")), Some(json!(5.1)));
}

#[test]
fn motion_warmth_and_light_are_read_by_their_profile() {
    let id = "0587123400";
    assert_eq!(report(&of("A5-07-01", &format!("A596007F09{id}")))[1], "clear");
    assert_eq!(report(&of("A5-07-01", &format!("A596008009{id}")))[1], "alarm");
    assert_eq!(report(&of("A5-07-02", &format!("A596000088{id}")))[1], "alarm");
    assert_eq!(report(&of("A5-07-02", &format!("A596000008{id}")))[1], "clear");
    let over = of("A5-07-03", &format!("A596FA4088{id}"));
    assert_eq!((report(&over)[1].clone(), named(&over, "illumination")), (json!("alarm"), None), "1,001 is too bright");
    assert_eq!(report(&of("A5-07-03", &format!("A596FA8088{id}")))[3], true, "1,002 is reserved");
    // Eltako's FBH: 0D is motion, 0F none.
    let fbh = of("A5-08-01", &format!("A59632640D{id}"));
    assert_eq!(report(&fbh), json!(["motion", "alarm", false, false]));
    assert_eq!((named(&fbh, "illumination"), named(&fbh, "temperature")), (Some(&json!(100)), Some(&json!(20))));
    assert_eq!(report(&of("A5-08-01", &format!("A59632640F{id}")))[1], "clear");
    for (eep, telegram, temperature, humidity) in [
        ("A5-04-01", "A5007D7D0A", Some(20.0), Some(50.0)),
        ("A5-04-01", "A5007D7D08", None, Some(50.0)), // it has no such sensor
        ("A5-04-02", "A500FA000A", Some(-20.0), Some(100.0)),
        ("A5-04-03", "A5FF03FF08", Some(60.0), Some(100.0)),
        ("A5-02-05", "A50000FF08", Some(0.0), None),
        ("A5-02-01", "A500000008", Some(0.0), None),
        ("A5-02-1B", "A50000FF08", Some(50.0), None),
        ("A5-02-30", "A50003FF08", Some(-40.0), None),
        ("A5-02-20", "A500000008", Some(41.2), None),
    ] {
        let said = of(eep, &format!("{telegram}{id}"));
        let value = |name: &str| named(&said, name).map(|value| value.as_f64().unwrap());
        assert_eq!((value("temperature"), value("relative_humidity")), (temperature, humidity), "{eep} {telegram}");
        assert_eq!(report(&said), json!(["climate", null, null, false]));
    }
    let beyond = of("A5-04-01", &format!("A500FB7D0A{id}"));
    assert_eq!((named(&beyond, "relative_humidity"), report(&beyond)[3].clone()), (None, json!(true)));
}

#[test]
fn vibration_beside_a_contact_is_a_word_of_its_own() {
    let id = "0587123400";
    let kind_and_state = |said: &Value| json!([said["also"]["kind"], said["also"]["state"], said["also"]["device"]]);
    for (eep, telegram, contact, vibration) in [
        ("A5-14-03", "A59600000A", "closed", "alarm"),
        ("A5-14-03", "A596000009", "open", "clear"),
        ("A5-14-08", "A596000009", "closed", "alarm"),
        ("A5-14-0A", "A596000009", "closed", "alarm"),
    ] {
        let said = of(eep, &format!("{telegram}{id}"));
        assert_eq!(report(&said)[1], contact, "{eep} {telegram}");
        assert_eq!(kind_and_state(&said), json!(["vibration", vibration, "en-05871234"]), "{eep} {telegram}");
    }
    // Where the contact's word is lost, the other is not.
    let reserved = of("A5-14-0A", &format!("A59600000D{id}"));
    assert_eq!(report(&reserved), json!(["contact", null, false, true]));
    assert_eq!(reserved["also"]["state"], "alarm");
    let lone = of("A5-14-05", &format!("A59600000A{id}"));
    assert_eq!((report(&lone), &lone["also"]), (json!(["vibration", "alarm", false, false]), &Value::Null));
}

#[test]
fn sash_handle_and_burglary_of_a_secure_window() {
    let window = |payload: &str| of("D2-06-50", &format!("D2{payload}0594E3B900"));
    let status = |position: &str| window(&format!("01{position}000001004B"));
    assert_eq!(report(&status("01")), json!(["contact", "closed", false, false]));
    assert_eq!(named(&status("02"), "handle"), Some(&json!("open")), "the sash is closed, and could be pushed");
    assert_eq!((report(&status("03"))[1].clone(), report(&status("04"))[1].clone()), (json!("closed"), json!("open")));
    assert_eq!(report(&status("07"))[1], "open");
    assert_eq!(report(&status("81"))[1], "closed", "its high bit is a mode");
    for unlisted in ["00", "0A", "80"] {
        assert_eq!(report(&status(unlisted)), json!(["contact", null, false, true]), "{unlisted}");
    }
    assert_eq!(report(&window("010100000100CB"))[2], true);
    assert_eq!(report(&window("0201")), json!(["contact", "alarm", null, false]));
    assert_eq!(report(&window("0207"))[3], true);
    assert_eq!(report(&window("1100")), json!(["contact", null, null, false]));
    assert_eq!(report(&window("1141"))[3], true, "it has lost its calibration");
    assert_eq!(report(&window("77"))[3], true);
    assert_eq!(window("0101")["error"]["kind"], "bad_length");
}

#[test]
fn a_multisensor_is_unpacked_bit_by_bit() {
    // 21.5 °C, 45 %, 1,200 lx, threshold 1, 0 g, 0 g, 1 g, closed: by D2-14-41's table of offsets.
    let fields: [(u128, u32); 9] =
        [(615, 10), (90, 8), (1_200, 17), (1, 2), (500, 10), (500, 10), (700, 10), (1, 1), (0, 4)];
    let packed = fields.iter().fold(0u128, |packed, (value, size)| packed << size | value);
    let with = |packed: u128| of("D2-14-41", &format!("D2{packed:018X}0401020300"));
    let said = with(packed);
    assert_eq!(report(&said), json!(["contact", "closed", null, false]));
    let values = ["temperature", "relative_humidity", "illumination", "acceleration_x", "acceleration_z"];
    assert_eq!(values.map(|name| named(&said, name).unwrap().as_f64().unwrap()), [21.5, 45.0, 1_200.0, 0.0, 1.0]);
    assert_eq!(said["also"]["state"], "alarm");
    assert_eq!(report(&with(packed & !(1 << 4)))[1], "open");
    let too_warm = with(packed | 0x3FF << 62);
    assert_eq!((named(&too_warm, "temperature"), report(&too_warm)[3].clone()), (None, json!(true)));
    assert_eq!(of("D2-14-41", "D200000401020300")["error"]["kind"], "bad_length");
}

#[test]
fn a_telegram_of_another_type_is_not_the_devices_word() {
    for (eep, telegram) in [
        ("D5-00-01", "F6F00587854A20"),
        ("F6-10-00", "D5090587854A00"),
        ("A5-14-01", "D5090587854A00"),
        ("D2-06-50", "A5960000080587123400"),
        ("D2-03-00", "D2090587123400"), // it speaks securely or not at all
    ] {
        let error = &of(eep, telegram)["error"];
        assert_eq!(error["kind"], "wrong_profile", "{eep}: {error}");
        assert!(error["text"].as_str().unwrap().contains(eep));
    }
    for (eep, telegram) in
        [("F6-05-00", "F6100587854A20"), ("A5-99-01", "A5960000080587123400"), ("D1-00-00", "D1090587854A00")]
    {
        assert_eq!(of(eep, telegram)["error"]["kind"], "not_supported", "{eep}");
    }
    // What an opened telegram becomes is nothing that may come from the air.
    assert_eq!(of("F6-02-01", "320D0587854A00")["error"]["kind"], "not_encrypted");
    for wrong in ["D5-00", "D5-00-1", "D5-00-01-00", "D5-00-0G", "D5 00 01", "", "+5-00-01", "D5-00-01("] {
        assert!(wrong.parse::<Eep>().is_err(), "{wrong}");
    }
    assert_eq!("a5-30-03 (Eltako)".parse::<Eep>().unwrap().to_string(), "A5-30-03");
}

// — teaching

fn read(hex: &str) -> Result<Option<TeachIn>, Refused> {
    let telegram = telegram(hex);
    TeachIn::read(telegram.rorg, &telegram.payload)
}

#[test]
fn a_teach_in_says_what_it_can() {
    assert_eq!(read("D5090587854A00"), Ok(None), "data");
    assert_eq!(read("D5000587854A00"), Ok(Some(TeachIn::OneBs)), "and not what it is");
    assert_eq!(read("F6F00587854A20"), Ok(None), "a switch is learnt by being pressed");
    assert_eq!(read("A5000000000587123400"), Ok(Some(TeachIn::FourBs { profile: None })));
    // Winkhaus' way: A5-14-01 of maker 00D, by FUNC 6 bits, TYPE 7, maker 11.
    let known = TeachIn::FourBs { profile: Some((Eep::new(0xA5, 0x14, 0x01), 0x00D)) };
    assert_eq!(read("A550080D800587123400"), Ok(Some(known)));
    let response = read("A550080DF00587123400").unwrap_err();
    assert_eq!(response.kind, Reason::BadRecord, "somebody else's answer");
}

#[test]
fn a_universal_teach_in_is_answered_as_it_asks() {
    let query = Packet::parse(&bytes(vector("ute-teachin")["hex"].as_str().unwrap())).unwrap();
    let query = Telegram::of(&query).unwrap();
    let Ok(Some(TeachIn::Ute(ute))) = TeachIn::read(query.rorg, &query.payload) else { panic!() };
    let answer = |outcome| ute.answer(query.sender, 0xDEAD_BEEF, outcome).unwrap();
    // kipe/enocean test_teachin.py: the answer to this query from DEADBEEF.
    assert_eq!(hex(&answer(Outcome::Taught).data), "D491FF3E000101D2DEADBEEF00");
    assert_eq!(hex(&answer(Outcome::Taught).optional), "030194E3B9FF00");
    let codes = [Outcome::Refused, Outcome::Forgotten, Outcome::NotSupported].map(|o| answer(o).data[1]);
    assert_eq!(codes, [0x81, 0xA1, 0xB1]);
    let one_way = telegram("D440FF3E000101D20194E3B900");
    let Ok(Some(TeachIn::Ute(ute))) = TeachIn::read(one_way.rorg, &one_way.payload) else { panic!() };
    assert!(!ute.bidirectional && ute.answer(1, 2, Outcome::Taught).is_none(), "it waits for none");
    for (wrong, kind) in [
        ("D4A1FF3E000101D20194E3B900", Reason::BadRecord), // an answer, not a query
        ("D4B0FF3E000101D20194E3B900", Reason::BadRecord),
        ("D4A0FF3E000101D2D20194E3B900", Reason::BadLength),
    ] {
        assert_eq!(read(wrong).unwrap_err().kind, kind, "{wrong}");
    }
}

#[test]
fn a_key_is_taught_in_two_parts_in_one_or_under_the_labels() {
    let first = vector("sec-ti-1")["hex"].as_str().unwrap().to_owned();
    let second = vector("sec-ti-2")["hex"].as_str().unwrap().to_owned();
    let whole = taught(&[&first, &second]);
    assert_eq!((whole.link.key.clone(), whole.next), (key(SPEC_KEY), 0xC0FFEE));
    assert_eq!((whole.link.slf.byte, whole.link.ptm), (0xAB, false));
    let single = taught(&[&format!("3510ABC0FFEE{SPEC_KEY}019EB63B00")]);
    assert_eq!(single, whole);
    // Encrypted with the label's key, that of annex A.3.2: in two parts, and in one.
    let psk = label_key(&bytes("3410DE8F1ABA3EFF9F5A117172EACABD07")).unwrap();
    let one = "3518AB044F5C0ADF24955A8FB017A1C2D380BE30CAE4019EB63B00";
    let two = ["3528AB044F5C0ADF24955A8FB0019EB63B00", "354017A1C2D380BE30CAE4019EB63B00"];
    let mut gathering = Gathering::default();
    assert_eq!(gathering.take(1, part(one), Some(&psk)), Ok(Some(whole.clone())));
    assert_eq!(gathering.take(1, part(two[0]), Some(&psk)), Ok(None));
    assert_eq!(gathering.take(1, part(two[1]), Some(&psk)), Ok(Some(whole.clone())));
    assert_eq!(gathering.take(1, part(one), None).unwrap_err().kind, Reason::NoKey);
    assert_eq!(part(one).rlc(), None, "that is encrypted too");
    let wrong = gathering.take(1, part(one), Some(&key(SPEC_KEY))).unwrap().unwrap();
    assert_ne!(wrong.link.key, whole.link.key, "a wrong label gives a key that opens nothing");
    for bad in ["3410DE8F1ABA3EFF9F5A117172EACABD08", "3410DE8F1ABA3EFF9F5A117172EACABD"] {
        let refused = label_key(&bytes(bad)).unwrap_err();
        assert!(refused.kind == Reason::BadKey && !refused.text.contains("3410"), "{refused}");
    }
}

#[test]
fn parts_of_a_teach_in_are_each_devices_own() {
    let first = || part(vector("sec-ti-1")["hex"].as_str().unwrap());
    let second = || part(vector("sec-ti-2")["hex"].as_str().unwrap());
    let mut gathering = Gathering::default();
    assert_eq!(gathering.take(1, second(), None), Ok(None), "nothing was begun");
    assert_eq!(gathering.take(1, first(), None), Ok(None));
    assert_eq!(gathering.take(2, second(), None), Ok(None), "another's key");
    assert_eq!(gathering.take(1, first(), None), Ok(None), "it begins again");
    assert!(gathering.take(1, second(), None).unwrap().is_some());
    assert_eq!(gathering.take(1, second(), None), Ok(None), "and that is done");
    // Whoever floods the door makes the oldest begin again, and no more.
    for sender in 0..=UNFINISHED_MAX as u32 {
        gathering.take(sender, first(), None).unwrap();
    }
    assert_eq!(gathering.take(0, second(), None), Ok(None));
    assert!(gathering.take(1, second(), None).unwrap().is_some());
    // In three, one of them heard twice.
    let three = ["3530ABC0FFEE456E4F6365", "3540616E20476D", "3540616E20476D", "358062482E313300"];
    let taken = three.map(|hex| gathering.take(9, part(&format!("{hex}019EB63B00")), None).unwrap());
    assert!(taken[..3].iter().all(Option::is_none));
    assert_eq!(taken[3].as_ref().expect("that is all").link.key, key(SPEC_KEY));
    let short = gathering.take(7, part("3510ABC0FFEE456E019EB63B00"), None).unwrap_err();
    assert_eq!(short.kind, Reason::BadLength);
    for (wrong, kind) in [
        ("3500ABC0FFEE456E019EB63B00", Reason::BadRecord),    // of no parts
        ("352003C0FFEE456E019EB63B00", Reason::NotSupported), // no rolling code, no CMAC
        ("3520A3C0FFEE456E019EB63B00", Reason::NotSupported), // no CMAC
        ("3520ACC0FFEE456E019EB63B00", Reason::NotSupported), // AES-CBC
        ("3520019EB63B00", Reason::TooShort),
    ] {
        assert_eq!(read(wrong).unwrap_err().kind, kind, "{wrong}");
    }
}

// — secure mode

fn opened(slf: u8, next: u64, hex: &str) -> Result<Opened, Reason> {
    open(&spec_link(slf), next, &telegram(hex)).map_err(|refused| refused.kind)
}

#[test]
fn a_secure_contact_is_believed_once() {
    let open = vector("sec-contact-open")["hex"].as_str().unwrap().to_owned();
    let device = |next| contact("D5-00-01", Some((spec_link(0xAB), next)));
    let first = understand(&telegram(&open), &device(0xC0FFEF)).unwrap();
    let report = first.said.unwrap().report.unwrap();
    assert_eq!((report.state, report.authenticated), (Some(DeviceState::Open), Authenticated::MacCounter));
    assert_eq!(first.next, Some(0xC0FFF0));
    let kind = |telegram: &Telegram, device: &Device| understand(telegram, device).unwrap_err().kind;
    assert_eq!(kind(&telegram(&open), &device(0xC0FFF0)), Reason::Replayed);
    assert_eq!(kind(&telegram("D509019EB63B00"), &device(0)), Reason::NotEncrypted, "anybody's, in clear");
    assert_eq!(kind(&telegram(&open), &contact("D5-00-01", None)), Reason::NoKey);
    assert_eq!(kind(&telegram("33000000000000019EB63B00"), &device(0)), Reason::NotSupported);
    // It holds and means nothing: its rolling code is used up all the same.
    let other = understand(&telegram(&open), &contact("A5-14-01", Some((spec_link(0xAB), 0)))).unwrap();
    assert_eq!((other.said.unwrap_err().kind, other.next), (Reason::WrongProfile, Some(0xC0FFF0)));
}

#[test]
fn each_bit_of_a_secure_telegram_is_under_its_code() {
    let whole = bytes(vector("sec-contact-open")["hex"].as_str().unwrap());
    for bit in 0..8 * (whole.len() - 5) {
        let mut changed = whole.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let changed = Telegram::parse(&changed).unwrap();
        assert!(open(&spec_link(0xAB), 0, &changed).is_err(), "bit {bit}");
        assert!(open_by_key(&key(SPEC_KEY), &changed).is_err(), "bit {bit}");
    }
}

#[test]
fn rolling_codes_are_found_told_and_used_up() {
    let implicit = |rlc: &str| format!("31{rlc}019EB63B00");
    // 24 bits, implicit, 128 at most ahead.
    let taught = 0xC0FFEE;
    assert_eq!(opened(0x8B, taught, &implicit("2C9EB4DB0A")).unwrap().next, taught + 128, "at taught + 127");
    assert_eq!(opened(0x8B, taught, &implicit("9BAA3483FC")), Err(Reason::WrongKey), "at taught + 128");
    assert_eq!(opened(0x8B, taught, &implicit("F9EC51714A")), Err(Reason::Replayed), "the one before");
    // The spec's own example (A.4.1) with its code left out.
    assert_eq!(opened(0x8B, taught, "313EEAC4A2DFEAF20E019EB63B00").unwrap().rlc, taught);
    // 24 bits told, up to the last; then it has to be taught again.
    let last = opened(0xAB, 0, "319452FFFFFFA0F44A019EB63B00").unwrap();
    assert_eq!((last.next, last.authenticated), (1 << 24, Authenticated::MacCounter));
    assert_eq!(opened(0xAB, last.next, "319452FFFFFFA0F44A019EB63B00"), Err(Reason::Replayed));
    assert_eq!(opened(0x8B, 1 << 24, &implicit("2C9EB4DB0A")), Err(Reason::WrongKey), "no code is left");
    // 32 bits, told in full.
    let wide = opened(0xF3, 0, "312F6F010203043685F4F6019EB63B00").unwrap();
    assert_eq!((wide.rlc, wide.next), (0x0102_0304, 0x0102_0305));
    // 32 bits of which 24 are told: over the edge of the 24.
    let low = opened(0xCB, 0x01FF_FFFF, "3191CAFFFFFFF126B6019EB63B00").unwrap();
    assert_eq!(low.next, 0x0200_0000);
    assert_eq!(opened(0xCB, 0x01FF_FFF0, "31971E000000C52712019EB63B00").unwrap().next, 0x0200_0001);
    assert_eq!(opened(0xCB, 0x0200_0000, "3191CAFFFFFFF126B6019EB63B00"), Err(Reason::WrongKey), "it is 02FFFFFF now");
    assert_eq!(opened(0xCB, 0x0200_0001, "31971E000000C52712019EB63B00"), Err(Reason::Replayed));
    // 16 bits come round, and so prove no more than who speaks.
    let end = opened(0x4B, 0xFFFF, &implicit("F330791B46")).unwrap();
    assert_eq!((end.next, end.authenticated), (0, Authenticated::Mac));
    assert_eq!(opened(0x4B, 0xFFFF, &implicit("9D16A70258")).unwrap().next, 1, "over the edge");
    assert_eq!(opened(0x4B, 0, &implicit("F330791B46")), Err(Reason::Replayed));
    // Authenticated and not encrypted.
    assert_eq!(opened(0xA8, 0, "31D5090000059C4CEF019EB63B00").unwrap().payload, [0x09]);
    // What is in a secure telegram is none itself.
    assert_eq!(opened(0xAB, 0, "3166F3000005AB5956019EB63B00"), Err(Reason::BadRecord));
    for cut in ["31019EB63B00AA", "3100000000000000AA019EB63B00"] {
        assert_eq!(opened(0xF3, 0, cut), Err(Reason::TooShort), "{cut}");
    }
}

#[test]
fn long_data_has_a_stream_of_several_blocks() {
    // Security of EnOcean Radio Networks V3.02, A.4.3.
    let cipher = "BB17C17A05CAF5575DE208302FB572A0FD3A4434A41096F102E60DC20D777A";
    let link = Link { key: key("E50880CF67790D5D66AA7F3B7AD77A3F"), slf: Slf::parse(0xF3).unwrap(), ptm: false };
    let opened = open(&link, 0, &telegram(&format!("31{cipher}010203043B4C380F019EB63B00"))).unwrap();
    assert_eq!((opened.rorg, opened.payload), (0xD1, (0..0x1E).collect()));
}

#[test]
fn a_secure_rocker_speaks_in_nibbles() {
    let rocker = |eep: &str| {
        let link = Link { ptm: true, ..spec_link(0x8B) };
        Device { eep: eep.parse().unwrap(), secure: Some((link, 0x3E2D01)) }
    };
    for eep in ["F6-02-01", "D2-03-00"] {
        let pressed = understand(&telegram("30008959180185E17700"), &rocker(eep)).unwrap();
        let said = pressed.said.unwrap();
        assert_eq!(said.report.unwrap().state, Some(DeviceState::Alarm));
        assert_eq!(said.words, [("button", "AI"), ("bow", "pressed")]);
        let released = understand(&telegram("300528D8440185E17700"), &rocker(eep)).unwrap();
        assert_eq!(released.said.unwrap().report.unwrap().state, Some(DeviceState::Clear));
    }
    // The spec's example (A.4.2), its rolling code told: 09 is AI and BI.
    let spec = say(Some("F6-02-01"), Some(&key(SPEC_KEY)), &packet("300E3E2D0005E56D0185E17700"));
    assert_eq!((&spec["opened"]["payload"], &spec["opened"]["rlc"]), (&json!("09"), &json!("3E2D00")));
    assert_eq!(report(&spec), json!(["sos", "alarm", null, false]));
    let contact = contact("D5-00-01", Some((Link { ptm: true, ..spec_link(0x8B) }, 0x3E2D01)));
    let said = understand(&telegram("30008959180185E17700"), &contact).unwrap().said;
    assert_eq!(said.unwrap_err().kind, Reason::WrongProfile, "a nibble is no contact's word");
}

// — copies

#[test]
fn what_repeaters_make_of_a_telegram_is_one() {
    let said = |status: &str, byte: &str| telegram(&format!("D5{byte}05115A8D{status}"));
    let mut copies = Copies::default();
    assert!(!copies.is_copy(&said("00", "08"), 1_000));
    assert!(copies.is_copy(&said("01", "08"), 1_020), "through a repeater");
    assert!(copies.is_copy(&said("02", "08"), 1_100), "through two");
    assert!(copies.is_copy(&said("00", "08"), 1_050), "by a second antenna");
    assert!(!copies.is_copy(&telegram("D50805115A8E00"), 1_050), "somebody else's");
    assert!(!copies.is_copy(&said("00", "08"), 1_101), "said again");
    // Open, closed, open: three telegrams, and the copy of the first changes nothing.
    let mut copies = Copies::default();
    let open = |hops: &str| said(hops, "08");
    assert!(!copies.is_copy(&open("00"), 0));
    assert!(!copies.is_copy(&said("00", "09"), 40));
    assert!(copies.is_copy(&open("01"), 60), "the first, late");
    assert!(!copies.is_copy(&open("00"), 80), "and opened again");
    // Pressed and let go differ in the status alone; that it must not be repeated is no repeater.
    assert!(!copies.is_copy(&telegram("F610FEF2A47B30"), 90));
    assert!(!copies.is_copy(&telegram("F610FEF2A47B20"), 91));
    assert!(copies.is_copy(&telegram("F610FEF2A47B2F"), 92));
    // A storm: the oldest is forgotten, and told twice.
    for n in 0..REMEMBERED_MAX as u32 {
        assert!(!copies.is_copy(&telegram(&format!("D508{:08X}00", 0x0600_0000 + n)), 95));
    }
    assert!(!copies.is_copy(&telegram("F610FEF2A47B21"), 96));
}

// — properties

fn any_packet() -> impl Strategy<Value = Packet> {
    let data = proptest::collection::vec(any::<u8>(), 1..60);
    let optional = proptest::collection::vec(any::<u8>(), 0..20);
    (any::<u8>(), data, optional).prop_map(|(kind, data, optional)| Packet {
        packet_type: PacketType::of(kind),
        data,
        optional,
    })
}

/// Bytes in which starts and headers are frequent.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), Just(0x55), Just(0x00), Just(0x01), Just(0x07)];
    let piece = prop_oneof![
        4 => proptest::collection::vec(byte, 0..40),
        1 => (0u16..600, 0u8..20, any::<u8>()).prop_map(|(length, optional, kind)| {
            let [high, low] = length.to_be_bytes();
            let header = [high, low, optional, kind];
            [&[0x55][..], &header, &[crc8(&header)]].concat()
        }),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_packet_is_read_as_it_was_written(packet in any_packet()) {
        prop_assert_eq!(Packet::parse(&packet.to_bytes()), Ok(packet));
    }

    #[test]
    fn a_telegram_is_read_as_it_was_sent(
        rorg in any::<u8>(),
        payload in proptest::collection::vec(any::<u8>(), 1..30),
        sender in any::<u32>(),
        status in any::<u8>(),
        destination in any::<u32>(),
    ) {
        let status = vaktd::subghz::erp1::Status(status);
        let sent = Telegram { rorg, payload, sender, status, received: None };
        let read = Telegram::of(&sent.packet(destination)).unwrap();
        prop_assert_eq!(read.received.unwrap().destination, destination);
        prop_assert_eq!(read.rssi_dbm(), None, "nobody has heard it yet");
        prop_assert_eq!(Telegram { received: None, ..read }, sent);
    }

    /// Whatever comes before, in whatever portions: a good packet is found, nothing is passed on that was not there
    /// whole, and memory has its bound.
    #[test]
    fn a_good_packet_behind_noise_is_found(
        noise in noise(),
        packet in any_packet(),
        portions in proptest::collection::vec(1usize..50, 1..40),
    ) {
        let line = [noise.clone(), packet.to_bytes()].concat();
        let (mut framer, mut heard, mut rest) = (Framer::default(), Vec::new(), &line[..]);
        for portion in portions.iter().cycle() {
            let (now, later) = rest.split_at((*portion).min(rest.len()));
            heard.extend(framer.feed(now));
            prop_assert!(framer.held() < MAX_PACKET);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(heard.len() <= line.len());
        heard.extend(framer.silence());
        prop_assert_eq!(framer.held(), 0);
        let good: Vec<&Packet> = heard.iter().flatten().collect();
        for found in &good {
            let whole = found.to_bytes();
            prop_assert!(line.windows(whole.len()).any(|window| window == whole));
        }
        // Noise may begin a packet that ends within this one and holds by chance, one in 65,536 of each: then it is
        // the earlier start that counts.
        let swallowed = good.iter().any(|found| !noise.windows(found.to_bytes().len()).any(|w| w == found.to_bytes()) && **found != packet);
        prop_assert!(swallowed || good.contains(&&packet));
    }

    #[test]
    fn nothing_falls_over_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..900), eep in any::<[u8; 3]>()) {
        let mut framer = Framer::default();
        for portion in bytes.chunks(7) {
            framer.feed(portion);
        }
        framer.silence();
        let [rorg, func, variant] = eep;
        let (line, _) = decode_line(Some(Eep::new(rorg, func, variant)), Some(&key(SPEC_KEY)), &hex(&bytes));
        prop_assert!(serde_json::from_str::<Value>(&line).unwrap().is_object());
    }

    /// Whatever a store gives for a rolling code, and whatever a level says.
    #[test]
    fn no_rolling_code_is_too_high_or_too_low(
        slf in any::<u8>(),
        next in prop_oneof![any::<u64>(), (0u64..40).prop_map(|low| u64::MAX - low), 0xFFFFu64..0x1_0001],
        ptm in any::<bool>(),
        payload in proptest::collection::vec(any::<u8>(), 1..20),
        rorg in 0x30u8..0x37,
    ) {
        let Ok(slf) = Slf::parse(slf) else { return Ok(()) };
        let status = vaktd::subghz::erp1::Status(0);
        let telegram = Telegram { rorg, payload: payload.clone(), sender: 1, status, received: None };
        let link = Link { key: key(SPEC_KEY), slf, ptm };
        prop_assert!(open(&link, next, &telegram).is_err(), "random bytes hold once in sixteen million times");
        if let Ok(Some(TeachIn::Secure(part))) = TeachIn::read(rorg, &payload) {
            let mut gathering = Gathering::default();
            let _ = gathering.take(1, part, Some(&link.key));
        }
    }
}

#[test]
fn every_flipped_bit_of_a_packet_is_refused() {
    for id in ["sdo2105-2", "kipe-a5-temp", "esp3-ret-ok", "ute-teachin"] {
        let whole = bytes(vector(id)["hex"].as_str().unwrap());
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Packet::parse(&flipped).is_err(), "{id}: bit {bit}");
            let (packets, faults) = heard(&mut Framer::default(), &flipped);
            assert!(packets.is_empty() && !faults.is_empty(), "{id}: bit {bit}: {packets:?}");
        }
    }
}
