//! Wireless M-Bus in security mode 7 and under AES-CTR: what is proven is told as proven, what was changed, cut, or heard
//! before is refused, and without a key nothing is guessed. The encoder below is written from the standards (EN 13757-7,
//! EN 13757-4, OMS vol. 2 annex N) and must itself make the published examples, byte for byte.
#![allow(clippy::unwrap_used)] // a test that cannot go on must fail

use aes::cipher::BlockCipherEncrypt;
use cmac::KeyInit;
use cmac::Mac;
use serde_json::Value;
use serde_json::json;
use vakt_core::device::Authenticated;
use vaktd::subghz::decode::decode_line;
use vaktd::subghz::decode::from_hex;
use vaktd::subghz::decode::parse_key;
use vaktd::subghz::line::Source;
use vaktd::subghz::receiver::Heard;
use vaktd::subghz::receiver::Receiver;
use vaktd::subghz::refused::Refused;
use vaktd::subghz::wmbus_crypto::Key;
use vaktd::subghz::wmbus_link::FrameKind;
use vaktd::subghz::wmbus_link::crc;

/// 28,504.27 m3 on 31 May 2008, no error: OMS annex N.
const METER: &str = "2F2F0C1427048502046D32371F1502FD1700002F2F2F2F2F2F2F2F2F2F2F2F2F";

fn vector(id: &str) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../integration/tests/data/wmbus_vectors.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let mut all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.find(|v| v["id"] == id).unwrap_or_else(|| panic!("no vector {id}"))
}

fn text(v: &Value) -> &str {
    v.as_str().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}

fn say(kind: FrameKind, key: Option<&Key>, hex: &str) -> Value {
    let (line, ok) = decode_line(kind, key, hex);
    let said: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ok, said.get("error").is_none(), "{line}");
    said
}

fn value(said: &Value, key: &str) -> Value {
    let records = said["records"].as_array().unwrap();
    records.iter().find(|r| r["key"] == key).unwrap_or_else(|| panic!("no record {key} in {said}"))["value"].clone()
}

fn block(key: &Key, mut bytes: [u8; 16]) -> [u8; 16] {
    aes::Aes128::new(&(*key).into()).encrypt_block((&mut bytes).into());
    bytes
}

fn code(key: &Key, bytes: &[u8]) -> Key {
    cmac::Cmac::<aes::Aes128>::new(&(*key).into()).chain_update(bytes).finalize().into_bytes().into()
}

/// What a mode 7 message is made of.
#[derive(Debug, Clone)]
struct Message {
    /// M, id, version, type.
    sender: [u8; 8],
    /// The extended link layer in front, if any.
    ell: Vec<u8>,
    /// A long header with this address, or a short one.
    long: Option<[u8; 8]>,
    access: u8,
    status: u8,
    counter: u32,
    /// AFL: authentication type, key information and message length sent or not.
    kind: u8,
    key_information: bool,
    length: bool,
    blocks: usize,
    plain: Vec<u8>,
}

impl Message {
    /// OMS annex N: a water meter with security profile B.
    fn oms() -> Self {
        Self {
            sender: [0x93, 0x15, 0x78, 0x56, 0x34, 0x12, 0x33, 0x03],
            ell: vec![0x8C, 0x20, 0x75],
            long: None,
            access: 0x75,
            status: 0,
            counter: 2739,
            kind: 5,
            key_information: false,
            length: false,
            blocks: 2,
            plain: from_hex(METER).unwrap(),
        }
    }

    fn derived(&self, key: &Key, purpose: u8) -> Key {
        let id = self.long.map_or(&self.sender[2..6], |_| &self.long.as_ref().unwrap()[..4]);
        let input = [&[purpose], &self.counter.to_le_bytes()[..], id, &[7; 7]].concat();
        code(key, &input)
    }

    /// The frame without CRCs.
    fn encoded(&self, key: &Key) -> Vec<u8> {
        let mut data = self.plain.clone();
        let mut before = [0; 16];
        for piece in data.chunks_exact_mut(16).take(self.blocks) {
            let mixed: Vec<u8> = piece.iter().zip(before).map(|(a, b)| a ^ b).collect();
            before = block(&self.derived(key, 0x00), mixed.try_into().unwrap());
            piece.copy_from_slice(&before);
        }
        let mut transport = match &self.long {
            Some(address) => [&[0x72], &address[..]].concat(),
            None => vec![0x7A],
        };
        transport.extend([self.access, self.status, u8::try_from(self.blocks << 4).unwrap(), 0x07, 0x10]);
        transport.extend(data);

        let key_information: &[u8] = if self.key_information { &[0x10, 0x00] } else { &[] };
        let length = u16::try_from(transport.len()).unwrap().to_le_bytes();
        let length: &[u8] = if self.length { &length } else { &[] };
        let control = 0x2C00 | u16::from(self.key_information) << 9 | u16::from(self.length) << 12;
        let message = 0x20 | self.kind | u8::from(self.key_information) << 4 | u8::from(self.length) << 6;
        let counter = self.counter.to_le_bytes();
        let proven = [&[message], key_information, &counter, length, &transport].concat();
        let size = [0, 0, 0, 2, 4, 8, 12, 16][usize::from(self.kind)];
        let mac = &code(&self.derived(key, 0x01), &proven)[..size];
        let fields = [&control.to_le_bytes()[..], &[message], key_information, &counter, mac, length].concat();
        let afl = [&[0x90, u8::try_from(fields.len()).unwrap()][..], &fields].concat();
        framed(&self.sender, &[&self.ell, &afl, &transport])
    }
}

fn framed(sender: &[u8; 8], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let l = u8::try_from(9 + body.len()).unwrap();
    [&[l, 0x44], &sender[..], &body].concat()
}

/// The content under AES-CTR: `head` is CI, communication control, access number and, with CI 8F, the target; `session`
/// says AES-CTR in its top bits.
fn counted(key: &Key, sender: &[u8; 8], head: &[u8], session: [u8; 4], content: &[u8]) -> Vec<u8> {
    let mut data = [&crc(content).to_le_bytes()[..], content].concat();
    for (n, piece) in data.chunks_mut(16).enumerate() {
        let parts: [&[u8]; 4] = [sender, &[head[1] & 0xED], &session, &[0, 0, u8::try_from(n).unwrap()]];
        let stream = block(key, parts.concat().try_into().unwrap());
        piece.iter_mut().zip(stream).for_each(|(byte, hidden)| *byte ^= hidden);
    }
    framed(sender, &[head, &session, &data])
}

fn hear(frame: &[u8]) -> Option<Heard> {
    let line = format!("T1;1;1;2026-11-20 21:39:00.000;97;148;00000000;0x{}\n", hex(frame));
    Receiver::new(Source::RtlWmbus).feed(line.as_bytes()).pop().unwrap().ok()
}

fn understand(frame: &[u8], key: &Key, last: Option<u32>) -> Result<(Authenticated, Option<u32>), Refused> {
    let heard = hear(frame).expect("a frame whose headers are in order");
    let understood = Receiver::new(Source::RtlWmbus).understand(&heard, Some(key), last)?;
    Ok((understood.authenticated, understood.counter))
}

fn with_l(mut frame: Vec<u8>) -> Vec<u8> {
    frame[0] = u8::try_from(frame.len() - 1).unwrap();
    frame
}

#[test]
fn the_published_message_is_proven_and_read() {
    let v = vector("oms-profileB");
    let key = parse_key(text(&v["key"])).unwrap();
    let message = Message::oms();
    assert_eq!(hex(&message.derived(&key, 0)), text(&v["expect"]["kenc"]));
    assert_eq!(hex(&message.derived(&key, 1)), text(&v["expect"]["kmac"]));
    assert_eq!(hex(&message.encoded(&key)), text(&v["hex"]), "the encoder of these tests makes the example of OMS");

    let said = say(FrameKind::NoCrc, Some(&key), text(&v["hex"]));
    assert_eq!((&said["encrypted"], &said["authenticated"]), (&json!("mode7"), &json!("mac")));
    assert_eq!((&said["link"]["id"], &said["link"]["access"]), (&json!("12345678"), &json!(0x75)));
    assert_eq!((value(&said, "0C14"), value(&said, "02FD17")), (json!(28504.27), json!(0)));
    assert_eq!(value(&said, "046D"), json!("2008-05-31T23:50"));
    assert_eq!((&said["report"]["kind"], &said["report"]["fault"]), (&json!("meter"), &json!(false)));
}

#[test]
fn without_its_key_a_telegram_says_who_and_how_and_nothing_else() {
    for (id, kind, encrypted, trust, device) in [
        ("oms-profileB", FrameKind::NoCrc, "mode7", "none", "12345678"),
        ("air-20210116", FrameKind::A, "mode7", "crc", "20210116"),
        ("ell-ctr-93", FrameKind::B, "ell_ctr", "crc", "63354060"),
    ] {
        let said = say(kind, None, text(&vector(id)["hex"]));
        assert_eq!((&said["encrypted"], &said["authenticated"]), (&json!(encrypted), &json!(trust)), "{id}");
        assert_eq!((&said["records"], &said["report"]), (&json!([]), &Value::Null), "{id}");
        assert_eq!(said["link"]["id"], device, "{id}");
        let wrong = say(kind, Some(&[0x5A; 16]), text(&vector(id)["hex"]));
        assert_eq!(wrong["error"]["kind"], "wrong_key", "{id}: {wrong}");
    }
}

/// A heat meter's message that a stick passed on damaged (wmbusmeters #1668): under its own key the beginning is plain to
/// read, and what follows is not. Only the code tells.
#[test]
fn a_message_that_was_changed_on_the_way_is_refused_though_the_key_opens_it() {
    let damaged = "C244C5140443054300048C200E900F002C25895E02003B0877D31DA840B17A0E009007100F8FAD4C4E61400DA4F3B1F7E273CC4C5C07F93CD20B237345DB39F9A98F8415E1C4B7A25C86E4C22D05C3352FA7E2E5627031F14643063F1DC8FE2C32459B6F02E4234B447B18E4BFDA8C4DA9B1EDE6CF29D0B2122A3E8B9DEEBEE3E6DBE6617B4E709EC6B595179CB01C2C0BDE6723A345B708652880C114A58DA07C73AD9EB8ACB17FA0A88F19BC84CB1FC56672DE8A9603FD0C05010002FD0B2111F60B";
    let key = parse_key("622B9656991FF0C1574C0950CF9278D1").unwrap();
    let said = say(FrameKind::NoCrc, Some(&key), damaged);
    assert_eq!((&said["error"]["kind"], &said["error"]["at"]), (&json!("bad_mac"), &json!(22)), "{said}");
    let key = [7; 16];
    let mut frame = Message::oms().encoded(&key);
    let last = frame.len() - 1;
    frame[last] ^= 1; // the second block: the first still opens
    assert_eq!(understand(&frame, &key, None).unwrap_err().word(), "bad_mac");
}

/// What the code covers: all from message control on. The link's maker, version and type, the C field and the extended
/// link layer's own two bytes are covered by the frame's CRC alone; they name a device or say nothing.
#[test]
fn each_flipped_bit_of_a_proven_message_is_refused() {
    const COVERED_FROM: usize = 13;
    let key = [7; 16];
    let good = Message::oms().encoded(&key);
    let heard = hear(&good).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let Some(changed) = hear(&bad) else { continue };
        match Receiver::new(Source::RtlWmbus).understand(&changed, Some(&key), Some(2738)) {
            Err(_) => {}
            Ok(understood) => {
                assert!(bit / 8 < COVERED_FROM, "bit {bit} of byte {}", bit / 8);
                let only_named_otherwise =
                    Receiver::new(Source::RtlWmbus).understand(&heard, Some(&key), None).unwrap();
                assert_eq!(understood.values, only_named_otherwise.values, "bit {bit}");
            }
        }
    }
    for byte in (4..8).chain(COVERED_FROM..good.len()) {
        let mut bad = good.clone();
        bad[byte] ^= 0x40;
        let refused = hear(&bad)
            .is_none_or(|heard| Receiver::new(Source::RtlWmbus).understand(&heard, Some(&key), None).is_err());
        assert!(refused, "byte {byte}: the device's number and all behind the link layers");
    }
}

#[test]
fn each_cut_is_refused() {
    let key = [7; 16];
    let whole = Message { length: true, key_information: true, ..Message::oms() }.encoded(&key);
    assert!(understand(&whole, &key, None).is_ok());
    let ctr =
        counted(&key, &Message::oms().sender, &[0x8D, 0x20, 1], [5, 6, 7, 0x21], &from_hex("780413E8030000").unwrap());
    assert!(understand(&ctr, &key, None).is_ok());
    for good in [whole, ctr] {
        for cut in 1..good.len() {
            let told = say(FrameKind::NoCrc, Some(&key), &hex(&good[..cut]));
            assert_eq!(told["error"]["kind"], "too_short", "{cut} bytes");
            // Somebody who also corrects the length field.
            let said = say(FrameKind::NoCrc, Some(&key), &hex(&with_l(good[..cut].to_vec())));
            assert!(said.get("error").is_some(), "{cut} bytes: {said}");
        }
        let longer = with_l([&good[..], &[0x2F; 16]].concat());
        let said = say(FrameKind::NoCrc, Some(&key), &hex(&longer));
        assert!(said.get("error").is_some(), "nor may anything be added: {said}");
    }
}

#[test]
fn a_proven_message_counts_once() {
    let key = [7; 16];
    let message = |counter| Message { counter, ..Message::oms() }.encoded(&key);
    let trust = |counter, last| understand(&message(counter), &key, last);
    assert_eq!(trust(100, None), Ok((Authenticated::Mac, Some(100))), "with nothing to compare it may be an old one");
    assert_eq!(trust(101, Some(100)), Ok((Authenticated::MacCounter, Some(101))));
    assert_eq!(trust(5_000, Some(101)), Ok((Authenticated::MacCounter, Some(5_000))), "messages are lost on air");
    assert_eq!(trust(u32::MAX, Some(u32::MAX - 1)).unwrap().1, Some(u32::MAX));
    for (counter, last) in [(100, 100), (99, 100), (0, 0), (0, u32::MAX)] {
        assert_eq!(trust(counter, Some(last)).unwrap_err().word(), "replayed", "{counter} after {last}");
    }
    assert_eq!(understand(&message(99), &[8; 16], Some(100)).unwrap_err().word(), "wrong_key", "a forgery is no copy");

    // Who has proven himself is not heard in a weaker mode: anybody can make that.
    let clear = framed(&Message::oms().sender, &[&[0x7A, 1, 0, 0, 0], &[0x04, 0x13, 0xE8, 3, 0, 0]]);
    let ctr =
        counted(&key, &Message::oms().sender, &[0x8D, 0x20, 1], [5, 6, 7, 0x21], &from_hex("780413E8030000").unwrap());
    assert_eq!(understand(&clear, &key, None).unwrap_err().word(), "not_encrypted");
    assert_eq!(understand(&ctr, &key, None), Ok((Authenticated::Crc, None)), "a CRC under AES-CTR proves nothing");
    assert_eq!(understand(&ctr, &key, Some(100)).unwrap_err().word(), "not_encrypted");

    let mut receiver = Receiver::new(Source::RtlWmbus);
    let heard = hear(&message(7)).unwrap();
    assert_eq!(receiver.understand(&heard, None, None).unwrap_err().word(), "no_key");
    receiver.understand(&heard, Some(&key), Some(7)).unwrap_err();
    receiver.understand(&hear(&with_l(message(7))).unwrap(), Some(&key), Some(6)).unwrap();
    let counters = receiver.counters();
    assert_eq!((counters.no_key, counters.replayed, counters.bad_mac, counters.reported), (1, 1, 0, 1));
}

#[test]
fn what_cannot_be_proven_is_refused_by_name() {
    let key = [7; 16];
    let good = Message::oms().encoded(&key);
    // AFL begins at byte 13: CI, length, control (2), message control.
    let with = |at: usize, byte: u8| {
        let mut frame = good.clone();
        frame[at] = byte;
        say(FrameKind::NoCrc, Some(&key), &hex(&frame))["error"].clone()
    };
    for (at, byte, kind, says) in [
        (14, 0x0E, "bad_length", "its fields have 15"),
        (14, 0x10, "bad_length", "its fields have 15"),
        (15, 0x01, "not_supported", "fragments"),
        (16, 0x6C, "not_supported", "fragments"),
        (16, 0xAC, "not_supported", "reserved"),
        (16, 0x28, "not_supported", "proves nothing"),
        (16, 0x24, "not_supported", "proves nothing"),
        (16, 0x0C, "not_supported", "proves nothing"),
        (17, 0x23, "not_supported", "2 bytes"),
        (17, 0x24, "not_supported", "4 bytes"),
        (17, 0x28, "not_supported", "authentication type 8"),
        (17, 0x20, "not_supported", "authentication type 0"),
        (30, 0x78, "not_supported", "behind an AFL"),
        (34, 0x05, "not_supported", "security mode 5 behind an AFL"),
        (34, 0x00, "not_supported", "security mode 0 behind an AFL"),
        (34, 0x0A, "not_supported", "security mode 10"),
        (33, 0x30, "bad_length", "3 encrypted blocks"),
        (35, 0x00, "not_supported", "key derivation 0"),
        (35, 0x11, "not_supported", "key 1"),
    ] {
        let error = with(at, byte);
        assert_eq!(error["kind"], kind, "byte {at} = {byte:02X}: {error}");
        assert!(text(&error["text"]).contains(says), "byte {at} = {byte:02X}: {error}");
    }
    let alone = framed(&Message::oms().sender, &[&good[30..]]);
    let error = say(FrameKind::NoCrc, Some(&key), &hex(&alone))["error"].clone();
    assert!(text(&error["text"]).contains("security mode 7 without an AFL"), "{error}");
    let short = Message { kind: 4, ..Message::oms() }.encoded(&key);
    assert_eq!(say(FrameKind::NoCrc, Some(&key), &hex(&short))["error"]["kind"], "not_supported", "it would be right");
}

#[test]
fn a_kamstrup_meter_is_read_under_aes_ctr() {
    let v = vector("ell-ctr-93");
    let key = parse_key(text(&v["key"])).unwrap();
    let said = say(FrameKind::B, Some(&key), text(&v["hex"]));
    assert_eq!((&said["encrypted"], &said["authenticated"]), (&json!("ell_ctr"), &json!("crc")));
    assert_eq!(
        (value(&said, "02FF20"), value(&said, "0413"), value(&said, "4413")),
        (json!(0), json!(141.226), json!(138.149))
    );
    assert_eq!((value(&said, "615B"), value(&said, "6167")), (json!(8), json!(12)));
    assert_eq!(said["link"]["access"], 0xA4, "the extended link layer's");
    assert_eq!((&said["report"]["kind"], &said["report"]["state"]), (&json!("water"), &json!("clear")));

    let stripped = from_hex(text(&v["expect"]["stripped"])).unwrap();
    let sender: [u8; 8] = stripped[2..10].try_into().unwrap();
    let content = from_hex(&text(&v["expect"]["plain"])[4..]).unwrap();
    let made = counted(&key, &sender, &stripped[10..13], stripped[13..17].try_into().unwrap(), &content);
    assert_eq!(made, stripped, "the encoder of these tests makes the captured frame");

    // A repeater sets its bits on the way; the vector does not have them.
    let mut repeated = stripped.clone();
    repeated[11] |= 0x12;
    assert_eq!(say(FrameKind::NoCrc, Some(&key), &hex(&repeated))["records"], said["records"]);
    // M, A, communication control, session and payload: each bit counts.
    for bit in (2 * 8..12 * 8).chain(13 * 8..stripped.len() * 8) {
        let mut bad = stripped.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        if bit / 8 == 11 && 0x12 >> (bit % 8) & 1 == 1 || bit / 8 == 10 {
            continue; // the repeater's, and the CI field, which makes another layer of it
        }
        let told = say(FrameKind::NoCrc, Some(&key), &hex(&bad));
        assert!(told.get("error").is_some(), "bit {bit} of byte {}: {told}", bit / 8);
    }
}

/// Telegrams of Kamstrup meters as published with wmbusmeters' driver kamwater, stored decrypted: the payload CRC fits.
#[test]
fn a_telegram_that_was_stored_decrypted_is_read_as_it_stands() {
    let dry = "2A442D2C998734761B168D2091D37CAC21576C7802FF207100041308190000441308190000615B7F616713";
    let fine = "2D442D2C776655441B168D2083B48D3A2046887802FF20000004132F4E000092013B3D01A1015B028101E7FF0F03";
    let flow = "4D44372C525252523A168D203894DF7920F9327804FF23000000000413AEAC0000441364A80000426C812A023B000092013BEF01A2013B000006FF1B067000097000A1015B0C91015B14A1016713";
    for (hex, expected) in [
        (dry, json!(["water", null, null, null, true])), // dry for weeks: it could not tell of a leak
        (fine, json!(["water", "clear", null, null, false])),
        (flow, json!(["water", "clear", false, false, false])),
    ] {
        for key in [None, Some(&[1; 16])] {
            let said = say(FrameKind::NoCrc, key, hex);
            let r = &said["report"];
            assert_eq!(json!([r["kind"], r["state"], r["tamper"], r["low_battery"], r["fault"]]), expected, "{said}");
            assert_eq!(said.get("encrypted"), None);
        }
        assert!(understand(&from_hex(hex).unwrap(), &[1; 16], None).is_err(), "live nothing is read so");
    }
}

#[test]
fn what_hides_inside_aes_ctr_is_judged_like_anything_else() {
    let key = [7; 16];
    let sender = Message::oms().sender;
    let inside = |content: &str| {
        let frame = counted(&key, &sender, &[0x8D, 0x20, 1], [5, 6, 7, 0x21], &from_hex(content).unwrap());
        say(FrameKind::NoCrc, Some(&key), &hex(&frame))
    };
    assert_eq!(value(&inside("7A010000000413E8030000"), "0413"), json!(1));
    for (content, kind) in [
        ("79", "not_supported"),                                           // a compact frame
        ("720203040533300701010000000413E8030000", "not_supported"),       // another device
        ("7A010010052F2F2F2F2F2F2F2F2F2F2F2F2F2F2F2F2F", "not_supported"), // another cipher
        ("780413", "bad_record"),
        ("7A01", "too_short"),
    ] {
        assert_eq!(inside(content)["error"]["kind"], kind, "{content}");
    }
    let target = [&[0x8F, 0x20, 1][..], &[9; 8]].concat();
    let frame = counted(&key, &sender, &target, [5, 6, 7, 0x21], &from_hex("780413E8030000").unwrap());
    assert_eq!(value(&say(FrameKind::NoCrc, Some(&key), &hex(&frame)), "0413"), json!(1), "with a target address");
}

#[test]
fn no_key_is_ever_shown() {
    let v = vector("oms-profileB");
    let (key, frame) = (text(&v["key"]), text(&v["hex"]));
    for frame in [frame.to_owned(), frame.replace("21924D", "21924E"), frame.replace("0109", "0209")] {
        let (line, _) = decode_line(FrameKind::NoCrc, None, &format!("{key} {frame}"));
        for secret in [key, text(&v["expect"]["kenc"]), text(&v["expect"]["kmac"])] {
            assert!(!line.to_uppercase().contains(secret), "{line}");
        }
    }
}

mod any {
    use super::*;
    use proptest::prelude::*;

    fn message() -> impl Strategy<Value = Message> {
        let layers = (
            any::<[u8; 6]>(),
            proptest::option::of(any::<[u8; 4]>()),
            prop_oneof![Just(vec![]), Just(vec![0x8C, 0x20, 1]), Just([&[0x8E, 0, 1][..], &[3; 8]].concat())],
            prop_oneof![Just(5u8), Just(6), Just(7)],
        );
        let numbers = (any::<u8>(), any::<u32>(), any::<bool>(), any::<bool>());
        // Fillers, then a text record that takes any bytes.
        let data = (0usize..8, proptest::collection::vec(any::<u8>(), 0..60));
        (layers, numbers, data).prop_map(
            |((who, long, ell, kind), (access, counter, ki, length), (blocks, content))| {
                let mut plain = vec![0x2F, 0x2F, 0x0D, 0x78, u8::try_from(content.len()).unwrap()];
                plain.extend(content);
                while plain.len() < 16 * blocks {
                    plain.push(0x2F);
                }
                Message {
                    sender: [0x33, 0x30, who[0], who[1], who[2], who[3], who[4], who[5]],
                    ell,
                    long: long.map(|id| [id[0], id[1], id[2], id[3], 0x93, 0x15, 0x33, 0x07]),
                    access,
                    status: 0,
                    counter,
                    kind,
                    key_information: ki,
                    length,
                    blocks,
                    plain,
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]

        #[test]
        fn message_comes_back_as_it_was_sent(message in message(), key in any::<Key>()) {
            let frame = message.encoded(&key);
            let said = say(FrameKind::NoCrc, Some(&key), &hex(&frame));
            prop_assert_eq!(&said["encrypted"], "mode7");
            prop_assert_eq!(&said["authenticated"], "mac");
            let content = &message.plain[5..5 + usize::from(message.plain[4])];
            let read: String = content.iter().rev().map(|b| char::from(*b))
                .map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
            prop_assert_eq!(value(&said, "0D78"), json!(read));
            prop_assert_eq!(understand(&frame, &key, None).unwrap().1, Some(message.counter));
        }

        #[test]
        fn change_to_what_is_proven_is_refused(message in message(), key in any::<Key>(), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let mut frame = message.encoded(&key);
            let from = 10 + message.ell.len() + 4;
            let at = from + at.index(frame.len() - from);
            frame[at] ^= flip;
            let said = say(FrameKind::NoCrc, Some(&key), &hex(&frame));
            prop_assert!(said.get("error").is_some(), "byte {}: {}", at, said);
        }

        #[test]
        fn telegram_under_aes_ctr_comes_back(
            sender in any::<[u8; 8]>(), communication in any::<u8>(), access in any::<u8>(), session in any::<[u8; 4]>(),
            content in proptest::collection::vec(any::<u8>(), 0..190), key in any::<Key>(),
        ) {
            let session = [session[0], session[1], session[2], session[3] & 0x1F | 0x20];
            let payload = [&[0x78, 0x0F][..], &content].concat();
            let frame = counted(&key, &sender, &[0x8D, communication, access], session, &payload);
            let said = say(FrameKind::NoCrc, Some(&key), &hex(&frame));
            prop_assert_eq!(&said["encrypted"], "ell_ctr");
            prop_assert_eq!(&said["authenticated"], "none");
            prop_assert_eq!(value(&said, "0F"), json!(hex(&content)));
        }

        #[test]
        fn bytes_behind_the_layers_never_panic_and_are_never_proven(
            layers in 0usize..4, noise in proptest::collection::vec(any::<u8>(), 0..120), key in any::<Key>(),
            last in any::<Option<u32>>(),
        ) {
            const LAYERS: [&[u8]; 4] =
                [&[0x90], &[0x8C, 0x20, 1, 0x90, 0x0F, 0x00, 0x2C, 0x25], &[0x8D, 0x20, 1], &[0x8F]];
            let frame = framed(&[0x33, 0x30, 4, 2, 1, 0, 3, 0x1A], &[LAYERS[layers], &noise]);
            for key in [None, Some(&key)] {
                let (line, _) = decode_line(FrameKind::NoCrc, key, &hex(&frame));
                prop_assert!(!line.contains(r#""authenticated":"mac"#), "{}", line);
            }
            if let Some(heard) = hear(&frame) {
                let _ = Receiver::new(Source::RtlWmbus).understand(&heard, Some(&key), last);
            }
        }
    }
}
