//! The stick's twin as a host meets it: what it answers, what it keeps, what it loses, and what its detectors do.
//! Everything here is in virtual time; a scripted host of a few lines drives it.
#![allow(clippy::unwrap_used)] // a test that cannot go on must fail

mod sim {
    pub mod ncp_host;
}

use sim::ncp_host::Host;
use sim::ncp_host::KEY;
use sim::ncp_host::ms;
use sim::ncp_host::parameters;
use std::time::Duration;
use vakt_integration::twins::ncp::Ncp;
use vakt_integration::twins::ncp::Settings;
use vakt_integration::twins::ncp::ash::code;
use vakt_integration::twins::ncp::bytes::Eui64;
use vakt_integration::twins::ncp::bytes::Writer;
use vakt_integration::twins::ncp::device::WELL_KNOWN_KEY;
use vakt_integration::twins::ncp::frames::id;
use vakt_integration::twins::ncp::habits::Enrolment;
use vakt_integration::twins::ncp::habits::Habits;
use vakt_integration::twins::ncp::habits::Kind;
use vakt_integration::twins::ncp::hex;
use vakt_integration::twins::ncp::line::Faults;
use vakt_integration::twins::ncp::line::Noise;
use vakt_integration::twins::ncp::log::Fate;
use vakt_integration::twins::ncp::orders;
use vakt_integration::twins::ncp::orders::Order;
use vakt_integration::twins::ncp::wire;
use vakt_integration::twins::ncp::wire::Frame;

#[test]
fn nothing_is_answered_before_the_version_and_nothing_unknown_after_it() {
    for (ezsp, width) in [(13, 1), (14, 4), (18, 4)] {
        let mut host = Host::new(ezsp);
        let (id, body) = host.ask(0x0026, &[]);
        assert_eq!((id, body.len(), body[0]), (id::INVALID, width, 0x30));
        // Another version than its own does not count.
        assert_eq!(host.ask(0x0000, &[12]).1[0], ezsp);
        assert_eq!(host.ask(0x0026, &[]).0, id::INVALID);
        host.agree();
        assert_eq!(host.ask(0x0026, &[]), (0x0026, 0x0c2a_6fff_fe12_3456u64.to_le_bytes().to_vec()));
        let (id, body) = host.ask(0x7777, &[]);
        assert_eq!((id, body.len(), body[0]), (id::INVALID, width, 0x31));
        let (id, body) = host.ask(0x0055, &[0]);
        assert_eq!((id, body[0]), (id::INVALID, 0x33), "too short");
        // After a reset it starts over.
        host.reset();
        assert_eq!(host.ask(0x0005, &[]).1[0], 0x30);
    }
}

#[test]
fn a_reset_keeps_the_network_and_loses_what_the_host_had_set() {
    let mut host = Host::formed(13);
    assert_eq!(host.ask(0x0053, &[0x36, 0x2C, 0x01]).1, [0x00]);
    assert_eq!(host.ask(0x0053, &[0x1E, 0x10, 0x00]).1, [0x38], "a table's size, too late");
    assert_eq!(host.ask(0x0002, &[2, 4, 1, 0, 4, 0, 0, 0]).1, [0x38], "an endpoint, too late");
    let counter = |host: &mut Host| u32::from_le_bytes(host.ask(0x0116, &[]).1[8..12].try_into().unwrap());
    let before = counter(&mut host);
    let kept = host.ncp.memory().clone();
    host.ncp.reset(host.now, code::WATCHDOG);
    host.run(ms(500));
    assert_eq!(host.resets, [code::SOFTWARE, code::WATCHDOG]);
    assert_eq!(host.ask(0x0018, &[]).0, id::INVALID, "VERSION comes first again");
    host.agree();
    assert_eq!(host.ask(0x0018, &[]).1, [0], "no network yet");
    assert_eq!(host.ask(0x0003, &[0, 1, 0, 0, 0]).1, [0x37, 2, 0, 0], "the endpoint is gone");
    host.endpoint();
    assert_eq!(host.ask(0x0017, &[0, 0]).1, [0x00]);
    host.run(ms(100));
    assert_eq!(host.statuses(), [0x90, 0x90]);
    assert!(counter(&mut host) > before, "no frame counter comes twice");
    let network_key = Writer::new().u8(1).bytes(&[0; 17]).done();
    let answer = host.ask(0x0114, &network_key).1;
    assert_eq!((&answer[..16], &answer[16..]), (KEY.as_slice(), [0; 4].as_slice()));
    assert_eq!(host.ncp.memory().network, kept.network);
    // A stick that comes back with that memory is the same stick.
    let text = serde_json::to_string(&kept).unwrap();
    let again = Ncp::with_memory(Settings::new(13), serde_json::from_str(&text).unwrap());
    assert_eq!(again.memory(), &kept);
}

#[test]
fn leaving_ends_the_network_and_resuming_then_finds_none() {
    let mut host = Host::formed(18);
    assert_eq!(host.ask(0x0020, &[0]).1, [0; 4]);
    host.run(ms(100));
    assert_eq!(host.statuses(), [0x15, 0x16]);
    assert_eq!(host.ask(0x0017, &[0, 0]).1, [0x17, 0, 0, 0]);
}

#[test]
fn who_may_join_is_the_hosts_decision() {
    let mut host = Host::formed(13);
    let mut habits = Habits::of(Kind::Smoke);
    habits.install_key = Some([7; 16]);
    let eui = host.ncp.add("smoke", habits, None).unwrap();
    host.ncp.add("door", Habits::of(Kind::Contact), None).unwrap();
    let closed = host.ncp.join(host.now, "door").unwrap_err();
    assert!(closed.to_string().contains("no open network"), "{closed}");
    host.ask(0x0022, &[60]);
    host.run(ms(10));
    assert_eq!(host.statuses(), [0x90, 0x9C], "opened");
    // Install codes only: the well-known key is not enough.
    host.ask(0x0055, &[0x00, 0x11]);
    assert!(host.ncp.join(host.now, "door").unwrap_err().to_string().contains("denied"));
    host.run(ms(10));
    let joins = host.callbacks(id::TRUST_CENTRE_JOIN);
    assert_eq!((joins.len(), joins[0][10], joins[0][11]), (1, 1, 2), "unsecured join, denied");
    assert!(host.ncp.join(host.now, "smoke").unwrap_err().to_string().contains("denied"));
    let import = |key: [u8; 16]| Writer::new().eui(eui).bytes(&key).u8(0).done();
    host.ask(0x0111, &import([8; 16]));
    assert!(host.ncp.join(host.now, "smoke").unwrap_err().to_string().contains("link key"));
    host.ask(0x0111, &import([7; 16]));
    let node = host.ncp.join(host.now, "smoke").unwrap();
    host.run(ms(100));
    let announced = host.messages();
    assert_eq!(announced.len(), 1);
    assert_eq!(announced[0][2..6], hex(&node.to_le_bytes()));
    // A reset forgets the keys of those who have not come yet, and who comes then is not let in.
    host.run(Duration::from_secs(60));
    assert_eq!(host.statuses().last(), Some(&0x9D), "closed by time");
}

#[test]
fn a_hashed_trust_centre_needs_the_well_known_key_for_those_who_come() {
    let mut host = Host::new(13);
    host.agree();
    host.endpoint();
    let security = Writer::new().u16(0x0B84).bytes(&[9; 16]).bytes(&KEY).u8(0).eui(Eui64::BLANK);
    host.ask(0x0068, &security.done());
    host.ask(0x001E, &parameters());
    host.ask(0x0022, &[60]);
    host.ncp.add("door", Habits::of(Kind::Contact), None).unwrap();
    assert!(host.ncp.join(host.now, "door").unwrap_err().to_string().contains("link key"));
    let anybody = Writer::new().eui(Eui64::ANY).bytes(&WELL_KNOWN_KEY).u8(0).done();
    host.ask(0x0111, &anybody);
    host.ncp.join(host.now, "door").unwrap();
    host.run(ms(100));
    assert_eq!(host.messages().len(), 1);
}

#[test]
fn messages_wait_for_a_sleeper_and_their_fate_is_told_before_its_answer() {
    let mut host = Host::with(13, Habits::of(Kind::Contact));
    let node = host.ncp.device("door").unwrap().node.unwrap();
    host.run(Duration::from_secs(90));
    host.heard.clear();
    // It sleeps by now and polls every six seconds.
    assert_eq!(host.unicast(node, 0x0104, 0x0500, &[0x00, 5, 0x00, 0x01, 0x00]), 0);
    host.run(ms(20));
    assert!(host.heard.is_empty());
    host.run(Duration::from_secs(7));
    let ids: Vec<u16> = host.heard.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [id::MESSAGE_SENT, id::INCOMING]);
    assert_eq!(host.messages(), ["180501010000311500"]);
    assert_eq!(host.callbacks(id::MESSAGE_SENT)[0][14..16], [9, 0], "tag and success");
    // One that has died, and one that never was: told after the stick has given up.
    host.ncp.die("door").unwrap();
    host.heard.clear();
    host.unicast(node, 0x0104, 0x0500, &[0x00, 6, 0x00, 0x01, 0x00]);
    host.unicast(0x0BAD, 0x0104, 0x0500, &[0x00, 7, 0x00, 0x01, 0x00]);
    host.run(Duration::from_secs(8));
    let fates: Vec<u8> = host.callbacks(id::MESSAGE_SENT).iter().map(|body| body[15]).collect();
    assert_eq!(fates, [0x66, 0x66]);
}

#[test]
fn the_three_ways_to_become_a_zone() {
    let request = |host: &Host| host.messages().into_iter().find(|message| message.contains("0115008612"));
    // 1: at an answer that nobody asked for.
    let host = Host::enrolled(13, Habits::of(Kind::Contact));
    assert_eq!(host.ncp.device("door").unwrap().zone_id, 7);
    // 2: it asks as soon as it knows whom.
    let asks = Habits { enrolment: Enrolment::AutoRequest, ..Habits::of(Kind::Contact) };
    let mut host = Host::with(13, asks);
    let cie = Writer::new().bytes(&[0x10, 1, 0x02, 0x10, 0, 0xF0]).u32(1).u32(2).done();
    host.zcl(&cie);
    host.run(ms(500));
    assert!(request(&host).is_some());
    host.zcl(&[0x11, 2, 0x00, 2, 7]);
    host.run(ms(500));
    assert_eq!(host.ncp.device("door").unwrap().zone_state, 0, "no permit");
    // 3: it asks when it is tripped; what tripped it is not told, but can be read.
    let tripped = Habits { enrolment: Enrolment::WhenTripped, ..Habits::of(Kind::Contact) };
    let mut host = Host::with(13, tripped);
    host.zcl(&cie);
    host.run(ms(500));
    assert_eq!(request(&host), None);
    host.happens(1, 0);
    host.run(ms(100));
    assert!(request(&host).is_some());
    assert!(host.ncp.log().notices().is_empty());
    host.zcl(&[0x11, 2, 0x00, 0, 9]);
    host.zcl(&[0x00, 3, 0x00, 0x02, 0x00]);
    host.run(ms(500));
    assert_eq!(host.messages().last().map(String::as_str), Some("180301020000190100"));
}

#[test]
fn a_detector_that_waits_for_its_response_keeps_the_rest_to_itself() {
    let holds = Habits { holds_for_response: true, ..Habits::of(Kind::Sos) };
    let mut host = Host::enrolled(13, holds);
    host.happens(1, 0);
    host.happens(0, 1);
    host.run(ms(100));
    assert_eq!(host.messages().len(), 1, "the second change is held");
    // Nothing comes: it says the same again, with the same sequence number.
    host.run(Duration::from_secs(6));
    let said = host.messages();
    assert_eq!((said.len(), &said[0]), (2, &said[1]));
    let sequence = host.ncp.log().notices()[0].sequence;
    host.zcl(&[0x10, sequence, 0x0B, 0x00, 0x00]);
    host.run(Duration::from_secs(3));
    let log = host.ncp.log().notices();
    assert_eq!((log.len(), log[0].sendings.len()), (2, 2));
    assert!(log[0].default_response.is_some() && log[1].default_response.is_none());
    assert!(log.iter().all(|notice| notice.acked()));
    assert_eq!(host.messages().last().unwrap()[6..12], *"000000");
}

#[test]
fn repeats_carry_the_same_sequence_number_and_chatter_new_ones() {
    let repeats = Habits { repeats: 2, wants_response: false, ..Habits::of(Kind::Motion) };
    let mut host = Host::enrolled(13, repeats);
    host.happens(1, 0);
    host.run(ms(500));
    let said = host.messages();
    assert_eq!(said.len(), 3);
    assert!(said.iter().all(|message| *message == said[0]) && said[0].starts_with("19"));
    host.ncp.clear_log();
    host.ncp.chatters(host.now, "door", 20, ms(30)).unwrap();
    host.run(Duration::from_secs(2));
    let log = host.ncp.log();
    assert_eq!((log.notices().len(), log.acked().count()), (20, 20));
}

#[test]
fn tamper_battery_and_a_new_node_id() {
    let mut host = Host::enrolled(13, Habits::of(Kind::Water));
    host.happens(0x0004, 0);
    host.happens(0x0008, 0);
    host.run(ms(100));
    let statuses: Vec<u16> = host.ncp.log().notices().iter().map(|notice| notice.status).collect();
    assert_eq!(statuses, [0x0004, 0x000C]);
    let old = host.ncp.device("door").unwrap().node.unwrap();
    let new = host.ncp.rejoin(host.now, "door", true).unwrap();
    assert_ne!(old, new);
    host.run(ms(100));
    let join = host.callbacks(id::TRUST_CENTRE_JOIN)[0].to_vec();
    assert_eq!((&join[..2], join[10], join[11]), (new.to_le_bytes().as_slice(), 0, 3), "secured rejoin, no action");
    assert_eq!(host.ncp.device("door").unwrap().zone_state, 1, "it stays the zone it was");
    host.ncp.leave(host.now, "door").unwrap();
    host.run(ms(10));
    assert_eq!(host.callbacks(id::TRUST_CENTRE_JOIN)[1][10], 2, "left");
}

#[test]
fn the_log_knows_what_was_acknowledged_and_what_a_reset_took() {
    let mut host = Host::enrolled(13, Habits::of(Kind::Contact));
    host.happens(1, 0);
    host.run(ms(10));
    host.acknowledges = false;
    host.happens(0, 1);
    host.run(ms(10));
    let fates = |host: &Host| -> Vec<Fate> {
        host.ncp.log().notices().iter().flat_map(|notice| notice.sendings.iter().map(|s| s.fate)).collect()
    };
    assert!(matches!(fates(&host)[..], [Fate::Acked(_), Fate::Written(_)]));
    host.ncp.reset(host.now, code::ASSERT);
    host.happens(1, 0);
    host.run(ms(10));
    assert!(matches!(fates(&host)[..], [Fate::Acked(_), Fate::LostInReset(_), Fate::Unheard]));
    // The detector tries again; a host that is back in time hears it after all.
    host.acknowledges = true;
    host.run(ms(200));
    host.agree();
    host.endpoint();
    host.ask(0x0017, &[0, 0]);
    host.run(Duration::from_secs(3));
    assert!(host.ncp.log().notices()[2].acked());
    assert_eq!(host.ncp.log().acked().count(), 2);
}

#[test]
fn an_alarm_for_an_endpoint_that_the_host_forgot_is_not_passed_on() {
    let mut host = Host::enrolled(13, Habits::of(Kind::Contact));
    host.reset();
    host.agree();
    host.ask(0x0017, &[0, 0]);
    host.run(ms(100));
    host.happens(1, 0);
    host.run(ms(100));
    assert!(!host.ncp.log().notices()[0].acked());
}

#[test]
fn a_host_that_never_acknowledges_loses_callbacks_and_is_told_so() {
    let mut host = Host::enrolled(13, Habits { wants_response: false, ..Habits::of(Kind::Vibration) });
    host.acknowledges = false;
    host.ncp.chatters(host.now, "door", 300, ms(1)).unwrap();
    host.run(ms(400));
    let lost = |sending: &vakt_integration::twins::ncp::log::Sending| matches!(sending.fate, Fate::LostInOverflow(_));
    let lost = host.ncp.log().notices().iter().filter(|notice| notice.sendings.iter().any(lost)).count();
    assert_eq!(lost, 300 - 250 - 5);
    host.acknowledges = true;
    host.run(Duration::from_secs(5));
    host.ask(0x0005, &[]);
    assert!(host.overflows > 0);
}

#[test]
fn it_resets_after_exactly_so_many_bytes() {
    for bytes in 1..80 {
        let mut host = Host::enrolled(13, Habits::of(Kind::Contact));
        host.ncp.set_faults(Faults { reset_after_written: Some(bytes), ..Faults::default() });
        let before = host.transcript.len();
        host.ncp.chatters(host.now, "door", 10, ms(20)).unwrap();
        host.run(ms(600));
        assert_eq!(host.resets, [code::SOFTWARE, code::WATCHDOG], "after {bytes} bytes");
        let written = &host.transcript[before..];
        assert!(written.ends_with(&[0x1A, 0xC1, 0x02, 0x03, 0x8B, 0x5A, 0x7E]), "{}", hex(written));
        assert_eq!(u64::try_from(written.len()).unwrap(), bytes + 7);
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| {
        let mut host = Host::enrolled(13, Habits::of(Kind::Contact));
        host.ncp = {
            let mut settings = Settings::new(13);
            settings.seed = seed;
            Ncp::new(settings)
        };
        let noise = Noise { lose_frame: 0.1, drop: 0.01, flip: 0.01, double: 0.01 };
        host.ncp.set_faults(Faults { to_host: noise, ..Faults::default() });
        let mut out = Vec::new();
        for step in 0..200u64 {
            host.ncp.hear(ms(step), &wire::encode(&Frame::Rst));
            host.ncp.tick(ms(step * 100));
            out.extend(std::iter::from_fn(|| host.ncp.say(ms(step * 100))).flatten());
        }
        out
    };
    for seed in [1, 2, 3] {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}

#[test]
fn a_lost_acknowledgement_tells_of_a_failure_that_was_none() {
    let mut host = Host::enrolled(13, Habits { acks: false, ..Habits::of(Kind::Contact) });
    host.zcl(&[0x00, 3, 0x00, 0x02, 0x00]);
    host.run(Duration::from_secs(6));
    assert_eq!(host.messages(), ["180301020000190000"]);
    assert_eq!(host.callbacks(id::MESSAGE_SENT).last().unwrap()[15], 0x66);
}

/// startScan, and what it is answered.
fn scan(host: &mut Host, channels: u32, exponent: u8) -> Vec<u8> {
    host.ask(0x001A, &Writer::new().u8(0).u32(channels).u8(exponent).done()).1
}

#[test]
fn a_scan_takes_its_time_and_tells_the_loudest_moment_of_each_channel() {
    for ezsp in [13, 18] {
        let mut host = Host::formed(ezsp);
        host.heard.clear();
        host.ncp.jam(Some(-40));
        host.ncp.bursts(Some(-60));
        // The status is a word in the older layout too.
        assert_eq!(scan(&mut host, 1 << 15 | 1 << 20, 0), [0; 4]);
        assert_eq!(scan(&mut host, 1 << 15, 0), [0x4D, 0, 0, 0], "it is scanning");
        host.run(ms(50));
        assert_eq!(host.callbacks(id::SCAN_COMPLETE).len(), 0, "two channels take 61 ms");
        host.run(ms(15));
        let energies = host.callbacks(id::ENERGY);
        assert_eq!(energies, [vec![15, 0xD8], vec![20, 0xAA]], "-40 dBm on its own channel, quiet on another");
        let width = if ezsp < 14 { 2 } else { 5 };
        assert_eq!(host.callbacks(id::SCAN_COMPLETE), [vec![0; width]]);
        assert_ne!(scan(&mut host, 1 << 15, 15)[0], 0, "there is no exponent 15");
    }
}

#[test]
fn nothing_passes_a_jammer_and_the_stick_counts_what_found_no_gap() {
    for ezsp in [13, 18] {
        let mut host = Host::enrolled(ezsp, Habits { sleepy: false, ..Habits::of(Kind::Contact) });
        host.ask(0x0065, &[]);
        host.ncp.jam(Some(-40));
        host.ncp.happens(host.now, "door", 1, 0).unwrap();
        host.zcl(&[0x00, 3, 0x00, 0x02, 0x00]);
        host.run(ms(2_000));
        assert_eq!(host.messages(), Vec::<String>::new());
        let counters = host.ask(0x0065, &[]).1;
        assert!(counters[64] > 0, "PHY_CCA_FAIL_COUNT is the 33rd");
        host.ncp.jam(None);
        host.run(ms(2_000));
        assert_eq!(host.messages().len(), 1, "it tries again");
        assert_eq!(host.ask(0x0065, &[]).1[64], 0);
        host.run(ms(1_000));
        let sent = host.callbacks(id::MESSAGE_SENT);
        let status = if ezsp < 14 { sent[0][15] } else { sent[0][0] };
        assert_eq!(status, if ezsp < 14 { 0x8D } else { 0x4C }, "the air was busy");
    }
}

#[test]
fn a_stick_that_scans_hears_nobody() {
    let mut host = Host::enrolled(13, Habits::of(Kind::Contact));
    scan(&mut host, 1 << 15, 6);
    host.ncp.happens(host.now, "door", 1, 0).unwrap();
    host.run(ms(900));
    assert_eq!(host.messages(), Vec::<String>::new());
    host.run(ms(2_000));
    assert_eq!(host.messages().len(), 1, "it tries again");
}

#[test]
fn orders_are_followed_or_refused_with_what_would_be_right() {
    let mut host = Host::formed(13);
    host.ask(0x0022, &[60]);
    let follow = |host: &mut Host, line: &str| match orders::follow(&mut host.ncp, host.now, line) {
        Ok(Order::Done(answer)) => answer,
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("error: {error}"),
    };
    assert_eq!(follow(&mut host, "add door contact eui=00124b0012345678 model=X holds=yes"), "00124b0012345678");
    assert_eq!(follow(&mut host, "join door").len(), 4);
    host.run(ms(300));
    host.enrol();
    host.run(ms(500));
    assert_eq!(follow(&mut host, "open door"), "");
    host.run(ms(100));
    let log: serde_json::Value = serde_json::from_str(&follow(&mut host, "log")).unwrap();
    assert_eq!((log[0]["name"].as_str(), log[0]["status"].as_u64()), (Some("door"), Some(1)));
    assert_eq!(log[0]["sendings"][0]["fate"]["is"], "acked");
    assert_eq!(follow(&mut host, "faults lose=0.5 late=3 baud=115200"), "");
    assert_eq!(host.ncp.faults().to_stick.lose_frame, 0.5);
    assert_eq!(follow(&mut host, "key"), hex(&KEY));
    assert_eq!(follow(&mut host, "jam -40"), "");
    assert_eq!(follow(&mut host, "jam off"), "");
    assert_eq!(follow(&mut host, "bursts loud"), "error: \"loud\" is no level in dBm, and not \"off\"");
    assert_eq!(follow(&mut host, "unplug"), "Unplug");
    assert_eq!(follow(&mut host, "open gate"), "error: there is no detector \"gate\"; add it first");
    assert_eq!(follow(&mut host, "add gate dragon"), "error: \"dragon\" is no kind of detector");
    assert_eq!(follow(&mut host, "add gate contact colour=red"), "error: \"colour\" is no option of this order");
    assert_eq!(follow(&mut host, "dance"), "error: \"dance\" is no order; help lists them");
}

#[test]
fn two_hundred_and_fifty_detectors_find_room() {
    let mut host = Host::formed(13);
    host.ask(0x0022, &[254]);
    for number in 0..250 {
        let name = format!("contact-{number}");
        host.ncp.add(&name, Habits::of(Kind::Contact), None).unwrap();
        host.ncp.join(host.now, &name).unwrap();
        host.run(ms(20));
    }
    host.run(ms(100));
    assert_eq!(host.messages().len(), 250);
    let children = host.ncp.devices().iter().filter(|device| device.parent == 0).count();
    assert_eq!(children, 32, "the others are behind routers");
    assert_eq!(host.callbacks(id::CHILD_JOIN).len(), 32);
}
