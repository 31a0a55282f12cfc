//! What must be true of any bytes a line or the air may bring: nothing panics, nothing grows without bound, and nothing
//! that does not say "closed" or "clear" in the standard's own words is ever taken for it.
//!
//! Each oracle reads the standard for itself, or asks the stick's twin, which was written without a look at the host.

use crate::sim::site::Site;
use serde_json::Value;
use std::time::Duration;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceState;
use vakt_core::device::Eep;
use vakt_core::device::GatewayId;
use vakt_core::port::ListedKey;
use vakt_core::warrant::TEXT_MAX;
use vakt_integration::arc::jws::Signer;
use vakt_integration::twins::ncp::Ncp;
use vakt_integration::twins::ncp::Settings;
use vakt_integration::twins::ncp::frames::Aps;
use vakt_integration::twins::ncp::frames::Incoming;
use vakt_integration::twins::ncp::habits::Habits;
use vakt_integration::twins::ncp::habits::Kind;
use vakt_integration::twins::ncp::wire;
use vaktd::subghz::decode;
use vaktd::subghz::enocean_decode;
use vaktd::subghz::erp1::BROADCAST;
use vaktd::subghz::erp1::Status;
use vaktd::subghz::erp1::Telegram;
use vaktd::subghz::esp3::Framer;
use vaktd::subghz::esp3::MAX_PACKET;
use vaktd::subghz::line::Caught;
use vaktd::subghz::line::Source;
use vaktd::subghz::receiver::Heard;
use vaktd::subghz::receiver::Receiver;
use vaktd::subghz::rtl_433;
use vaktd::subghz::rtl_433::Lines;
use vaktd::subghz::rtl_433::Said;
use vaktd::subghz::rtl_433::Version;
use vaktd::subghz::wmbus_link::FrameKind;
use vaktd::upstream::warrant;
use vaktd::zigbee::ash::Ash;
use vaktd::zigbee::ash::Told;
use vaktd::zigbee::decode::decode_line;
use vaktd::zigbee::door::Admission;
use vaktd::zigbee::ias::ZoneType;
use vaktd::zigbee::memory::Memory;

/// The layouts there are: the older one, and the newer.
const VERSIONS: [u8; 2] = [13, 18];
/// IAS Zone, and the attribute that says how a zone stands.
const IAS_ZONE: u16 = 0x0500;
const ZONE_STATUS: u16 = 0x0002;
const BITMAP16: u8 = 0x19;

/// Receivers of wireless M-Bus, and the forms of a frame.
const SOURCES: [Source; 4] = [Source::RtlWmbus, Source::Cul, Source::Im871a, Source::Amber8465];
const FRAMES: [FrameKind; 6] =
    [FrameKind::NoCrc, FrameKind::A, FrameKind::B, FrameKind::Fifo, FrameKind::FifoS1, FrameKind::Wired];
/// The key of every detector here.
const WMBUS_KEY: [u8; 16] = *b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f";
/// Takes bytes off the front; fewer at the end.
fn take<'a>(data: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = data.split_at(count.min(data.len()));
    *data = rest;
    taken
}

/// Everything a line may do to the frame layer. Each step's first byte says what happens: raw bytes, a whole frame,
/// time, or something to send. What is passed on must be the frames a second decoder finds, in their order.
pub fn ash(mut data: &[u8]) {
    let mut ash = Ash::default();
    let mut now_ms = 0;
    let mut line = Vec::new();
    ash.connect(now_ms);
    let up = wire::encode(&wire::Frame::RstAck { code: 0x0B });
    ash.feed(&up, now_ms);
    let mut passed_on = Vec::new();
    while let [step, rest @ ..] = data {
        data = rest;
        let fed = match step & 3 {
            0 => take(&mut data, 1 + usize::from(step >> 2)).to_vec(),
            1 => {
                let [number, ack] = [step >> 2 & 7, step >> 5 & 7];
                let payload = take(&mut data, 12).to_vec();
                wire::encode(&wire::Frame::Data { number, again: payload.len() & 1 == 1, ack, payload })
            }
            2 => {
                now_ms += u64::from(step >> 2) * 50;
                ash.tick(now_ms);
                Vec::new()
            }
            _ => {
                let _ = ash.send(vec![step >> 2; 5], now_ms);
                Vec::new()
            }
        };
        ash.feed(&fed, now_ms);
        line.extend(fed);
        let said = ash.take_output().len();
        assert!(said < 8 * 1024, "{said} bytes in one breath");
        while let Some(told) = ash.take_told() {
            if let Told::Frame(frame) = told {
                passed_on.push(frame);
            }
        }
    }
    let mut found = whole_frames(&line);
    for frame in passed_on {
        assert!(found.any(|whole| whole == frame), "{frame:02X?} was never on the line, or in another order");
    }
}

/// The EZSP frames on a line, as the twin reads it.
fn whole_frames(line: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut cutter = wire::Cutter::default();
    line.iter().filter_map(move |byte| match cutter.byte(*byte) {
        Some(wire::Event::Frame(Ok(wire::Frame::Data { payload, .. }))) => Some(payload),
        _ => None,
    })
}

/// A site with a contact that has joined, ready to be started again and again.
struct Joined {
    settings: Settings,
    stick: vakt_integration::twins::ncp::memory::Memory,
    memory: Memory,
    nwk: u16,
    endpoint: u8,
}

fn joined(version: u8) -> Joined {
    let mut site = Site::new(version, 7);
    site.up();
    site.ncp.add("detector", Habits::of(Kind::Contact), None).expect("there is room");
    site.open(180, Admission::Legacy).expect("the stick opens");
    site.ncp.join(site.now, "detector").expect("it joins");
    site.until_joined();
    let node = site.memory.nodes.values().next().expect("it has joined");
    let (nwk, endpoint) = (node.nwk, node.zones.first().expect("a contact").endpoint);
    let settings = site.ncp.settings().clone();
    Joined { settings, stick: site.ncp.memory().clone(), memory: site.memory.clone(), nwk, endpoint }
}

thread_local! {
    static SITES: [Joined; 2] = VERSIONS.map(joined);
}

/// Everything a stick may say to a host at work: frames that mean nothing, and messages of a contact it knows; a frame of
/// no bytes is a while in which it looks at its air. The host must be at work in the end, "closed" must have been said,
/// and of air that nobody disturbs no interference is told.
pub fn ezsp(data: &[u8]) {
    let Some((first, mut data)) = data.split_first() else { return };
    SITES.with(|sites| {
        let joined = &sites[usize::from(first & 1)];
        let ncp = Ncp::with_memory(joined.settings.clone(), joined.stick.clone());
        let mut site = Site::resumed(ncp, joined.memory.clone());
        site.up();
        site.run(Duration::from_millis(200));
        let mut secure = false;
        let mut checked = true;
        let mut interferes = false;
        while let [step, rest @ ..] = data {
            data = rest;
            site.forget_reports();
            if step & 1 == 0 {
                // It may be anybody's word: only that it is survived is checked.
                let said = take(&mut data, usize::from(step >> 1)).to_vec();
                if said.is_empty() {
                    site.run(Duration::from_secs(5));
                } else {
                    checked = false;
                    site.ncp.say_raw(site.now, said);
                }
            } else {
                let cluster = if step & 2 == 0 { IAS_ZONE } else { u16::from(step >> 2) };
                let message = take(&mut data, usize::from(step >> 2)).to_vec();
                secure |= cluster == IAS_ZONE && says_secure(&message);
                site.ncp.say_incoming(site.now, &incoming(joined, cluster, &message));
            }
            site.run(Duration::from_millis(100));
            for report in &site.reports {
                let closed = matches!(report.state, Some(DeviceState::Closed | DeviceState::Clear));
                assert!(!checked || !closed || secure, "{report:?} out of nothing that says so");
            }
            interferes = site.interferes_after(interferes);
            assert!(!checked || !interferes, "interference in free air");
            site.outs.clear();
        }
        // A stick that hung is found, reset and at work again.
        site.run(Duration::from_secs(60));
        assert!(site.host_is_up(), "the host did not find its stick again");
        assert!(!site.interferes_after(interferes), "interference in air that was free for a minute");
    });
}

fn incoming<'a>(joined: &Joined, cluster: u16, message: &'a [u8]) -> Incoming<'a> {
    let (source, destination) = (joined.endpoint, 1);
    let aps = Aps { profile: 0x0104, cluster, source, destination, options: 0x0140, group: 0, sequence: 7 };
    Incoming { kind: 0, aps, sender: joined.nwk, lqi: 200, rssi: -60, message }
}

/// A message of any cluster from a device of any zone type, decoded.
pub fn zcl(mut data: &[u8]) {
    let head = take(&mut data, 4);
    let [c0, c1, z0, z1] = *head else { return };
    let clusters = [IAS_ZONE, IAS_ZONE, 0x0000, 0x0001, 0x0020, 0x0101, 0x0402, 0x0501, 0x0B05];
    let cluster = clusters.get(usize::from(c0)).copied().unwrap_or(u16::from_le_bytes([c0, c1]));
    let zone_type = ZoneType::new(u16::from_le_bytes([z0, z1]));
    let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
    let (line, good) = decode_line(cluster, Some(zone_type), &hex);
    let said: Value = serde_json::from_str(&line).expect("one line of JSON");
    assert_eq!(good, said.get("error").is_none(), "{line}");
    assert!(line.len() < 64 * 1024, "{} bytes out of {}", line.len(), data.len());
    let state = said["report"]["state"].as_str().unwrap_or("");
    if state == "closed" || state == "clear" {
        assert!(cluster == IAS_ZONE && says_secure(data), "{line} out of nothing that says so");
    }
}

/// Whether a message on IAS Zone says that no alarm stands, by the standard's own words (ZCL revision 8, 8.2.2): a
/// Zone Status Change Notification, or the attribute told, with both alarm bits clear.
fn says_secure(message: &[u8]) -> bool {
    let quiet = |low: u8| low & 0b11 == 0;
    match message {
        // To the client, of the cluster, by no maker: status, extended status; zone id and delay, which old ones lack.
        [control, _, 0x00, low, _, rest @ ..] if control & 0x0F == 0x09 => {
            quiet(*low) && (rest.len() == 1 || rest.len() >= 4)
        }
        // Read Attributes Response and Report Attributes.
        [control, _, command @ (0x01 | 0x0A), rest @ ..] if control & 0x03 == 0 => {
            let told = ZONE_STATUS.to_le_bytes();
            let record: &[u8] =
                if *command == 0x01 { &[told[0], told[1], 0, BITMAP16] } else { &[told[0], told[1], BITMAP16] };
            let mut windows = rest.windows(record.len() + 2);
            windows.any(|window| window.starts_with(record) && quiet(window[record.len()]))
        }
        _ => false,
    }
}

/// Profiles that say "closed" or "clear", and one that only an opened telegram may have.
const PROFILES: [Eep; 16] = [
    Eep::new(0xF6, 0x02, 0x01),
    Eep::new(0xF6, 0x04, 0x01),
    Eep::new(0xF6, 0x05, 0x01),
    Eep::new(0xF6, 0x05, 0x02),
    Eep::new(0xF6, 0x10, 0x00),
    Eep::new(0xD5, 0x00, 0x01),
    Eep::new(0xA5, 0x07, 0x01),
    Eep::new(0xA5, 0x07, 0x03),
    Eep::new(0xA5, 0x08, 0x01),
    Eep::new(0xA5, 0x14, 0x01),
    Eep::new(0xA5, 0x14, 0x07),
    Eep::new(0xA5, 0x14, 0x0A),
    Eep::new(0xA5, 0x30, 0x03),
    Eep::new(0xD2, 0x06, 0x50),
    Eep::new(0xD2, 0x14, 0x41),
    Eep::new(0xD2, 0x03, 0x00),
];

/// A transceiver's line, and the same bytes as a telegram of any profile: profile, RORG, status, payload. What the line
/// gives was whole on it; what a telegram says is closed or clear says so in its profile's own words.
pub fn enocean(data: &[u8]) {
    let mut framer = Framer::default();
    let mut heard = Vec::new();
    for portion in data.chunks(5) {
        heard.extend(framer.feed(portion));
        assert!(framer.held() < MAX_PACKET, "{} bytes held back", framer.held());
    }
    heard.extend(framer.silence());
    assert!(heard.len() <= data.len() && framer.held() == 0);
    for packet in heard.into_iter().flatten() {
        let whole = packet.to_bytes();
        assert!(data.windows(whole.len()).any(|window| window == whole), "{packet:02X?} was never on the line");
    }
    let [profile, rorg, status, ref payload @ ..] = *data else { return };
    if payload.is_empty() || payload.len() > 64 {
        return;
    }
    let eep = PROFILES[usize::from(profile) % PROFILES.len()];
    let rorg = if rorg & 1 == 0 { eep.rorg } else { rorg };
    let telegram =
        Telegram { rorg, payload: payload.to_vec(), sender: 0x0587_854A, status: Status(status), received: None };
    let bytes = telegram.packet(BROADCAST).to_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let (line, good) = enocean_decode::decode_line(Some(eep), None, &hex);
    let said: Value = serde_json::from_str(&line).expect("one line of JSON");
    assert_eq!(good, said.get("error").is_none(), "{line}");
    let state = said["report"]["state"].as_str().unwrap_or("");
    if state == "closed" || state == "clear" {
        assert!(rorg == eep.rorg && telegram_says_secure(eep, status, payload), "{line} out of nothing that says so");
        assert_ne!(said["report"]["kind"], "water", "{line}: that profile has no word for dry");
    }
}

/// Whether a payload says "closed", "off" or "released" by the words of EnOcean Equipment Profiles 2.6.7.
fn telegram_says_secure(eep: Eep, status: u8, payload: &[u8]) -> bool {
    let data = payload.len() == 4 && payload[3] & 0x08 != 0;
    match (eep.func, eep.variant, payload) {
        // Let go: as a normal message with a button that there is, or as an unassigned one.
        (0x02, _, [byte]) => byte & 0x10 == 0 && (status & 0x10 == 0 || byte & 0x80 == 0),
        (0x04, _, [byte]) => *byte == 0x70,
        (0x05, 0x02, [byte]) => *byte == 0x00,
        (0x10, _, [byte]) => byte >> 4 == 0xF,
        (0x00, _, [byte]) => byte & 0x09 == 0x09,
        (0x07, 0x01, [_, _, byte, _]) => data && byte & 0x80 == 0,
        (0x07, 0x03, [.., byte]) => data && byte & 0x80 == 0,
        (0x08, _, [.., byte]) => data && byte & 0x02 != 0,
        (0x14, 0x01, [.., byte]) => data && byte & 0x01 == 0,
        (0x14, 0x07, [.., byte]) => data && byte & 0x04 == 0,
        (0x14, 0x0A, [.., byte]) => data && byte & 0x06 == 0,
        (0x30, _, [_, _, byte, _]) => data && *byte == 0x1F,
        (0x06, _, [0x01, byte, ..]) => payload.len() >= 7 && (1..=3).contains(&(byte & 0x7F)),
        (0x14, 0x41, _) => payload.len() == 9 && payload[8] & 0x10 != 0,
        _ => false,
    }
}

/// What comes on the command topic: as it is, and, where it is JSON, as the claims of a rightly signed warrant. Nothing
/// unsigned or retained is ever taken, and what is taken says what the claims say.
pub fn warrant(data: &[u8]) {
    let signer = Signer::from_seed("app-1", &[7; 32]);
    let ed25519 = signer.public_key().try_into().expect("an Ed25519 key has 32 bytes");
    let keys = [ListedKey { kid: "app-1".to_owned(), role: "owner".to_owned(), ed25519 }];
    let gateway = GatewayId::new("hub-1").expect("it is one");
    let read = |text: &[u8], retained| warrant::read(text, retained, &keys, &gateway);
    let named = |jti: &str| {
        let well = jti.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        assert!(well && (1..=64).contains(&jti.len()), "{jti:?} in a topic");
    };
    for retained in [false, true] {
        let refusal = read(data, retained).expect_err("nobody signed it");
        refusal.jti.iter().for_each(|jti| named(jti));
        assert!(!refusal.signed && refusal.text.is_none());
    }
    let Ok(claims) = serde_json::from_slice::<Value>(data) else { return };
    let text = signer.sign(&claims);
    read(text.as_bytes(), true).expect_err("a broker's memory orders nothing");
    let mut forged = text.clone().into_bytes();
    let last = forged.len() - 8;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    read(&forged, false).expect_err("it is forged");
    match read(text.as_bytes(), false) {
        Err(refusal) => {
            refusal.jti.iter().for_each(|jti| named(jti));
            assert!(refusal.text.is_none_or(|text| text.len() <= TEXT_MAX));
        }
        Ok(order) => {
            named(&order.jti);
            assert_eq!((&claims["jti"], &claims["cmd"]), (&Value::from(order.jti), &Value::from(order.order.name())));
            assert_eq!((&claims["iat"], &claims["exp"]), (&Value::from(order.issued_s), &Value::from(order.expires_s)));
            assert_eq!((&claims["sub"], &claims["iss"]), (&Value::from(order.person), &Value::from(order.issuer)));
            let names = |aud: &Value| *aud == gateway.as_str();
            assert!(names(&claims["aud"]) || claims["aud"].as_array().is_some_and(|several| several.iter().any(names)));
        }
    }
}

/// Everything a receiver of wireless M-Bus may hand over: the first byte says which one it is, or which form the frame
/// has. What was refused anywhere is no report.
pub fn wmbus(data: &[u8]) {
    let Some((way, bytes)) = data.split_first() else { return };
    let way = usize::from(*way) % (SOURCES.len() + FRAMES.len());
    let Some(source) = SOURCES.get(way) else { return one_frame(FRAMES[way - SOURCES.len()], bytes) };
    let mut receiver = Receiver::new(*source);
    let _ = receiver.due(Duration::ZERO);
    let mut heard = Vec::new();
    for portion in bytes.chunks(7) {
        heard.extend(receiver.feed(portion));
    }
    heard.extend(receiver.silence());
    assert!(heard.len() <= bytes.len());
    heard.into_iter().flatten().for_each(|heard| understood(&mut receiver, &heard, None));
}

fn one_frame(kind: FrameKind, bytes: &[u8]) {
    let mut receiver = Receiver::new(Source::RtlWmbus);
    let caught = Caught { kind, bytes: bytes.to_vec(), rssi_dbm: None, vouched: false };
    let heard = receiver.take(caught);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    for key in [None, Some(&WMBUS_KEY)] {
        let (line, good) = decode::decode_line(kind, key, &hex);
        let said: Value = serde_json::from_str(&line).expect("one line of JSON");
        assert_eq!(good, said.get("error").is_none(), "{line}");
        assert!(!good || heard.is_ok(), "{line}: read, and not heard");
        if let Ok(heard) = &heard {
            understood(&mut receiver, heard, key);
        }
    }
}

/// A report that says "closed" or "clear" was said so by its detector, in the maker's own bytes.
fn understood(receiver: &mut Receiver, heard: &Heard, key: Option<&[u8; 16]>) {
    let Ok(understood) = receiver.understand(heard, key, None) else { return };
    let Some(report) = understood.report else { return };
    assert!(key.is_none() || understood.authenticated >= heard.authenticated);
    let (Some(DeviceState::Closed | DeviceState::Clear), None) = (report.state, key) else { return };
    let payload = &heard.telegram.payload;
    let has = |vif: &[u8], good: &dyn Fn(u8) -> bool| {
        payload.windows(vif.len() + 1).any(|window| window.starts_with(vif) && good(window[vif.len()]))
    };
    let maker = heard.device.as_str().get(3..6).unwrap_or_default();
    let said = match (maker, heard.device.as_str().get(16..).unwrap_or_default()) {
        ("las", "07-1d") => has(&[0xFD, 0x1B], &|input| input == 0x11),
        ("las", "03-1a") => {
            let clear = |flags: u8| flags & 0x34 == 0;
            has(&[0xFD, 0x97, 0x1D], &clear) || has(&[0xFD, 0x17], &clear)
        }
        ("tch", "76-f0") => payload.first() == Some(&0),
        // Meters: by tables of their makers, which have tests of their own.
        _ => report.kind == vakt_core::device::DeviceKind::Water,
    };
    assert!(said, "{}: {:?} out of {payload:02X?}", heard.device, report.state);
}

/// Everything rtl_433 may print. What it says of a model that is not listed is nobody's word, and "closed" or "clear" stands
/// on the line in the model's own words.
pub fn rtl_433(data: &[u8]) {
    let Some((first, text)) = data.split_first() else { return };
    let version = Version::new(if first & 1 == 0 { 22 } else { 25 }, 12);
    let mut lines = Lines::new(1024);
    let mut heard = 0;
    for portion in text.chunks(7) {
        for line in lines.feed(portion).into_iter().flatten() {
            assert!(line.len() <= 1024);
            heard += 1;
            match rtl_433::read(&line, version) {
                Ok(Said::Report(report)) => {
                    assert!(std::str::from_utf8(&line).is_ok(), "a report stands on a line of text");
                    // In a field that nobody reads may stand a number that nothing can hold.
                    match (report.state, serde_json::from_slice::<Value>(&line)) {
                        (Some(DeviceState::Closed), Ok(fields)) => assert_eq!(fields["state"], "closed"),
                        (Some(DeviceState::Clear), Ok(fields)) => assert_eq!(fields["alarm"], 0),
                        _ => {}
                    }
                    assert!(report.device.is_best_effort() && report.authenticated <= Authenticated::Crc);
                }
                Ok(Said::Telegram(caught)) => {
                    let l = caught.bytes.first().copied().map(usize::from);
                    assert_eq!(l, Some(caught.bytes.len() - 1), "whole, by its own word");
                }
                Ok(Said::Statistics | Said::Other) | Err(_) => {}
            }
        }
    }
    assert!(heard <= text.len());
}
