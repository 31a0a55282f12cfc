//! The Zigbee host against a stick that errs: what is read in one piece, numbers that stand still or begin again,
//! senders nobody knows, a stick without room, memory that cannot be kept, and whoever stands at the door.
//! R18, R38, R40: no word of a detector is lost, doubled or turned into another.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)] // a test that cannot go on must fail

mod support {
    pub mod stick;
}

use support::stick::CONTACT;
use support::stick::IAS;
use support::stick::NO_ROOM;
use support::stick::Rig;
use support::stick::SMOKE;
use support::stick::memory;
use support::stick::network;
use support::stick::node;
use vakt_core::device::DeviceState;
use vaktd::zigbee::ash_frame::Frame;
use vaktd::zigbee::door::Admission;
use vaktd::zigbee::eui64::Eui64;
use vaktd::zigbee::ezsp::Key;
use vaktd::zigbee::ezsp::frame;
use vaktd::zigbee::host::Out;
use vaktd::zigbee::interview::Stage;
use vaktd::zigbee::memory::Memory;

const STRANGER: (Eui64, u16) = (Eui64(0xDD), 0x7777);

fn states(rig: &Rig) -> Vec<DeviceState> {
    rig.reports().iter().filter_map(|report| report.state).collect()
}

fn gave_up() -> Vec<u8> {
    Frame::Error { version: 2, code: 0x51 }.encode()
}

#[test]
fn a_stick_that_is_reset_twice_in_one_read_is_down_and_comes_back() {
    let mut rig = Rig::new(memory(), Some(network()));
    rig.tail = Frame::RstAck { version: 2, code: 0x0B }.encode();
    rig.connect();
    assert!(!rig.host.is_up());
    rig.connect();
    assert!(rig.host.is_up());
}

#[test]
fn an_alarm_is_told_though_the_same_read_holds_the_sticks_last_word() {
    let mut rig = Rig::up();
    rig.mute = vec![frame::SEND_UNICAST];
    for tsn in 1..4 {
        rig.status(CONTACT.1, tsn, tsn, tsn & 1);
    }
    rig.forget();
    let mut read = rig.message(SMOKE.1, (0x0104, IAS), 1, 1, &[0x09, 3, 0, 1, 0, 0, 0, 0, 0]);
    read.extend(rig.late_answer(frame::SEND_UNICAST, &[0, 1]));
    read.extend(gave_up());
    rig.reads(&read);
    assert_eq!(states(&rig), [DeviceState::Alarm]);
    assert!(!rig.host.is_up());
}

#[test]
fn a_new_network_is_kept_before_the_stick_hears_of_it() {
    let mut rig = Rig::new(Memory::default(), None);
    rig.keeps = false;
    rig.connect();
    assert_eq!((rig.host.is_up(), rig.count(frame::FORM_NETWORK)), (false, 0));
    rig.now += 1_000;
    rig.forget();
    rig.connect();
    assert_eq!(rig.count(frame::FORM_NETWORK), 0, "not at the second try either");
    rig.keeps = true;
    rig.now += 1_000;
    rig.connect();
    assert_eq!((rig.host.is_up(), rig.count(frame::FORM_NETWORK)), (true, 1));
    let formed = |out: &Out| matches!(out, Out::Save(memory) if memory.network.as_ref().unwrap().formed);
    rig.wait(1_000);
    assert!(rig.outs.iter().any(formed));
}

#[test]
fn what_could_not_be_kept_is_kept_later() {
    let mut rig = Rig::up();
    rig.keeps = false;
    // 5 % of battery is worth keeping.
    rig.hears(CONTACT.1, 0x0001, 1, &[0x18, 1, 0x0A, 0x21, 0, 0x20, 10]);
    let kept = |rig: &Rig| rig.outs.iter().filter(|out| matches!(out, Out::Save(_))).count();
    assert_eq!(kept(&rig), 1);
    rig.wait(6_000);
    assert_eq!(kept(&rig), 2);
    rig.keeps = true;
    rig.wait(6_000);
    rig.wait(60_000);
    assert_eq!(kept(&rig), 3, "and no more often");
}

#[test]
fn a_detector_whose_number_stands_still_is_heard_each_time() {
    let mut rig = Rig::up();
    for (aps, status) in [(1, 1), (2, 0), (3, 1)] {
        rig.now += 2_000;
        rig.status(CONTACT.1, 5, aps, status);
    }
    assert_eq!(states(&rig), [DeviceState::Open, DeviceState::Closed, DeviceState::Open]);
}

#[test]
fn a_detector_that_begins_to_count_anew_is_heard_from_its_first_word() {
    let mut rig = Rig::up();
    for (number, status) in [(1, 1), (2, 0)] {
        rig.now += 1_500;
        rig.status(CONTACT.1, number, number, status);
    }
    rig.joins(0x3333, CONTACT.0, 0);
    rig.announces(0x3333, CONTACT.0);
    rig.now += 1_000;
    rig.status(0x3333, 1, 1, 1);
    assert_eq!(states(&rig), [DeviceState::Open, DeviceState::Closed, DeviceState::Open]);
}

#[test]
fn an_open_door_stays_open_when_its_contact_reboots() {
    let mut rig = Rig::up();
    for (tsn, aps, status) in [(60, 70, 4), (61, 71, 0)] {
        rig.now += 1_000;
        rig.status(CONTACT.1, tsn, aps, status);
    }
    rig.now += 3_000;
    rig.joins(0x3333, CONTACT.0, 0);
    rig.announces(0x3333, CONTACT.0);
    rig.now += 1_000;
    rig.status(0x3333, 1, 3, 1);
    rig.stands(0x3333, 4, 1);
    assert_eq!(states(&rig).last(), Some(&DeviceState::Open));
    assert_eq!(rig.host.counters().overtaken, 0);
}

#[test]
fn a_sender_the_stick_does_not_know_is_asked_who_it_is_and_its_words_wait() {
    let mut rig = Rig::up();
    for number in 0..3 {
        rig.now += 1_000;
        rig.status(0x4444, 10 + number, number, number & 1 ^ 1);
    }
    assert_eq!((states(&rig), rig.count(frame::LOOKUP_EUI64)), (vec![], 1));
    let asked = rig.asked.iter().filter(|(id, body)| *id == frame::SEND_UNICAST && body[5..7] == [0x01, 0x00]);
    assert_eq!(asked.count(), 1, "{:02x?}", rig.asked);
    let who = [&[1, 0][..], &CONTACT.0.bytes()[..], &0x4444u16.to_le_bytes()[..]].concat();
    let bytes = rig.message(0x4444, (0, 0x8001), 0, 9, &who);
    rig.reads(&bytes);
    assert_eq!(states(&rig), [DeviceState::Open, DeviceState::Closed, DeviceState::Open]);
}

#[test]
fn a_lookup_a_busy_stick_does_not_take_is_tried_again() {
    let mut rig = Rig::up();
    rig.mute = vec![frame::SEND_UNICAST];
    for number in 0..80u8 {
        rig.now += 1;
        rig.status(CONTACT.1, number, number, number & 1);
    }
    rig.forget();
    rig.status(0x4444, 1, 1, 1);
    rig.mute.clear();
    rig.instead = Box::new(|id, _| (id == frame::LOOKUP_EUI64).then(|| [&[0][..], &SMOKE.0.bytes()[..]].concat()));
    let bytes = rig.late_answer(frame::SEND_UNICAST, &[0, 1]);
    rig.reads(&bytes);
    assert_eq!(states(&rig), [DeviceState::Alarm]);
}

#[test]
fn a_low_battery_outlives_a_restart() {
    let mut rig = Rig::up();
    rig.hears(CONTACT.1, 0x0001, 1, &[0x18, 1, 0x0A, 0x21, 0, 0x20, 10]);
    let kept = rig.outs.iter().find_map(|out| match out {
        Out::Save(memory) => Some((**memory).clone()),
        _ => None,
    });
    let mut rig = Rig::with(kept.unwrap());
    rig.stands(CONTACT.1, 4, 0);
    assert_eq!(rig.reports()[0].low_battery, Some(true));
}

/// R77: a temperature and a battery's voltage are measurements; a temperature that is none (0x8000) is not.
#[test]
fn r77_a_detector_tells_what_it_measures() {
    let mut rig = Rig::up();
    rig.hears(CONTACT.1, 0x0402, 1, &[0x18, 1, 0x0A, 0x00, 0x00, 0x29, 0x85, 0xFF]);
    rig.hears(CONTACT.1, 0x0001, 2, &[0x18, 2, 0x0A, 0x20, 0x00, 0x20, 30]);
    rig.hears(CONTACT.1, 0x0402, 3, &[0x18, 3, 0x0A, 0x00, 0x00, 0x29, 0x00, 0x80]);
    let measured = rig.outs.iter().filter_map(|out| match out {
        Out::Measured(_, values) => Some((values[0].measure.as_str(), values[0].value_milli, values.len())),
        _ => None,
    });
    assert_eq!(measured.collect::<Vec<_>>(), [("temperature", -1_230, 1), ("battery_voltage", 3_000, 1)]);
}

#[test]
fn nothing_is_answered_before_it_is_recorded() {
    let mut rig = Rig::up();
    rig.records = false;
    rig.status(SMOKE.1, 1, 1, 1);
    rig.host.unplugged("pulled out".to_owned());
    rig.now += 300;
    rig.connect();
    rig.now += 4_000;
    rig.status(SMOKE.1, 1, 2, 1);
    assert_eq!((states(&rig), rig.answers()), (vec![DeviceState::Alarm], 0), "not after the stick was away");
    for number in 0..=255u16 {
        rig.status(CONTACT.1, number as u8, number as u8, (number & 1) as u8);
    }
    rig.status(SMOKE.1, 1, 3, 1);
    assert_eq!(rig.answers(), 0, "nor when more words wait than are kept");
    let answer = rig.outs.iter().find_map(|out| match out {
        Out::Report(report, answer) if report.state == Some(DeviceState::Alarm) => *answer,
        _ => None,
    });
    rig.host.recorded(answer.unwrap(), rig.now);
    rig.carry();
    assert_eq!(rig.answers(), 1);
}

#[test]
fn a_stick_without_room_is_asked_again_and_a_silent_zone_later_and_later() {
    let mut rig = Rig::new(memory(), Some(network()));
    rig.instead = Box::new(|id, _| (id == frame::SEND_UNICAST).then(|| vec![NO_ROOM, 0]));
    rig.know();
    rig.connect();
    rig.forget();
    rig.instead = Box::new(|_, _| None);
    rig.wait(1_000);
    assert_eq!(rig.count(frame::SEND_UNICAST), 2, "each zone's question");
    rig.stands(CONTACT.1, 1, 0);
    rig.forget();
    rig.wait(3_600_000);
    let asked = rig.count(frame::SEND_UNICAST);
    assert!((4..=10).contains(&asked), "the silent one alone, {asked} times in an hour");
}

#[test]
fn a_storm_of_overflows_asks_each_zone_once() {
    let mut many = memory();
    for number in 0..100u16 {
        let device = Eui64(0x1000 + u64::from(number));
        many.nodes.insert(device, node(0x7000 + number, number as u8 + 2, 0x15));
    }
    let mut rig = Rig::with(many);
    rig.wait(4_000);
    rig.forget();
    for _ in 0..20 {
        rig.now += 10;
        let bytes = rig.frame(vec![0, 0x91, 1, 0x99, 0, 0]);
        rig.reads(&bytes);
    }
    rig.wait(5_000);
    assert!(rig.count(frame::SEND_UNICAST) <= 102, "{}", rig.count(frame::SEND_UNICAST));
}

#[test]
fn addresses_that_change_all_the_time_are_not_kept_each_time() {
    let mut rig = Rig::up();
    for number in 0..200u16 {
        rig.now += 10;
        rig.announces(0x3000 + number, CONTACT.0);
    }
    rig.wait(60_000);
    assert!(rig.outs.iter().filter(|out| matches!(out, Out::Save(_))).count() <= 2);
}

#[test]
fn a_network_that_the_stack_moved_is_still_the_hubs_own() {
    let mut moved = network();
    (moved.pan, moved.channel) = (moved.pan ^ 0x55, 26);
    let mut rig = Rig::new(memory(), Some(moved.clone()));
    rig.connect();
    rig.wait(100);
    assert!(rig.host.is_up(), "{:?}", rig.outs);
    assert!(rig.outs.iter().any(|out| matches!(out, Out::Save(memory) if memory.network.as_ref() == Some(&moved))));
}

#[test]
fn a_word_nobody_can_read_is_told_and_so_is_who_left_or_was_never_there() {
    let mut rig = Rig::up();
    rig.hears(SMOKE.1, IAS, 1, &[0x09, 1, 0, 1, 0, 0, 0]);
    let bytes = rig.message(SMOKE.1, (0x0104, IAS), 2, 2, &[0x09, 3, 0, 1, 0, 0, 0, 0, 0]);
    rig.reads(&bytes);
    let unreadable = rig.outs.iter().filter(|out| matches!(out, Out::Unreadable(id) if *id == SMOKE.0.device(None)));
    assert_eq!((unreadable.count(), rig.host.counters().unreadable), (2, 2));
    rig.forget();
    rig.joins(SMOKE.1, SMOKE.0, 2);
    assert_eq!(rig.outs, [Out::Gone(SMOKE.0.device(None))]);
    let mut lost = memory();
    lost.nodes.remove(&CONTACT.0);
    let mut rig = Rig::new(lost, Some(network()));
    rig.connect();
    rig.know();
    assert!(rig.outs.contains(&Out::Gone(CONTACT.0.device(None))), "{:?}", rig.outs);
}

#[test]
fn a_newcomer_with_anothers_short_address_speaks_for_itself() {
    let mut rig = Rig::up();
    rig.host.open(180, Admission::Legacy, rig.now);
    rig.carry();
    let new = Eui64(0xC3);
    rig.joins(CONTACT.1, new, 1);
    rig.announces(CONTACT.1, new);
    rig.forget();
    rig.status(CONTACT.1, 1, 1, 1);
    assert_eq!(rig.reports(), []);
}

#[test]
fn whoever_is_not_ours_is_sent_away_and_counted() {
    let mut rig = Rig::up();
    for update in [0, 3] {
        rig.joins(STRANGER.1, STRANGER.0, update);
    }
    assert_eq!(rig.count(frame::REMOVE_DEVICE), 2);
    for number in 0..48 {
        rig.now += 100;
        rig.joins(STRANGER.1, Eui64(0x600 + number), 1);
    }
    rig.wait(600_000);
    let counts: Vec<u64> = rig
        .outs
        .iter()
        .filter_map(|out| if let Out::Refused { count, .. } = out { Some(*count) } else { None })
        .collect();
    assert_eq!((counts.iter().sum::<u64>(), counts[0]), (50, 1), "{counts:?}");
}

#[test]
fn whoever_joins_and_turns_out_to_be_no_detector_is_sent_away() {
    let mut rig = Rig::up();
    rig.host.open(180, Admission::Legacy, rig.now);
    rig.carry();
    for number in 0..17u16 {
        rig.joins(0x5000 + number, Eui64(0x500 + u64::from(number)), 1);
    }
    let removed = rig.count(frame::REMOVE_DEVICE);
    assert_eq!(removed, 1, "the seventeenth at once");
    rig.wait(100_000);
    assert_eq!(rig.count(frame::REMOVE_DEVICE), 17);
    let failed = |out: &&Out| matches!(out, Out::Progress(step) if step.stage == Stage::Failed);
    assert_eq!(rig.outs.iter().filter(failed).count(), 17);
}

#[test]
fn a_door_the_stick_refuses_or_has_no_time_for_is_told_as_shut() {
    let refused = |rig: &Rig| rig.outs.iter().any(|out| matches!(out, Out::Door(Err(_))));
    let mut rig = Rig::up();
    rig.instead = Box::new(|id, _| (id == frame::SET_POLICY).then(|| vec![0x35]));
    rig.host.open(60, Admission::Legacy, rig.now);
    rig.carry();
    assert!(refused(&rig));
    rig.instead = Box::new(|_, _| None);
    rig.forget();
    rig.wait(5_000);
    assert_eq!(rig.count(frame::SET_POLICY), 1, "it is asked to shut until it has");

    let mut rig = Rig::up();
    rig.mute = vec![frame::REMOVE_DEVICE];
    for number in 0..70u16 {
        rig.joins(0x6000 + number, Eui64(0x600 + u64::from(number)), 1);
    }
    rig.host.open(60, Admission::Legacy, rig.now);
    rig.carry();
    assert!(refused(&rig));
}

#[test]
fn a_door_for_one_device_is_shut_to_the_key_that_everybody_knows() {
    let mut rig = Rig::up();
    rig.host.open(180, Admission::Legacy, rig.now);
    rig.carry();
    rig.forget();
    rig.host.open(180, Admission::InstallCode { device: Eui64(5), key: Key([1; 16]) }, rig.now);
    rig.carry();
    let at = |id: u16| rig.asked.iter().position(|(asked, _)| *asked == id);
    assert!(at(frame::CLEAR_TRANSIENT_LINK_KEYS).unwrap() < at(frame::IMPORT_TRANSIENT_KEY).unwrap());
}

#[test]
fn a_door_stays_open_when_the_stick_falls_and_comes_back() {
    let mut rig = Rig::up();
    rig.host.open(180, Admission::Legacy, rig.now);
    rig.carry();
    rig.now += 1_000;
    rig.reads(&gave_up());
    rig.now += 300;
    rig.forget();
    rig.connect();
    let permits: Vec<_> =
        rig.asked.iter().filter(|(id, _)| *id == frame::PERMIT_JOINING).map(|(_, body)| body[0]).collect();
    assert_eq!(permits, [179], "for the rest of its time");
    rig.joins(STRANGER.1, STRANGER.0, 1);
    assert_eq!(rig.count(frame::REMOVE_DEVICE), 0);
    // A door that nobody was told of is not opened by itself.
    let mut rig = Rig::up();
    rig.mute = vec![frame::PERMIT_JOINING];
    rig.host.open(180, Admission::Legacy, rig.now);
    rig.carry();
    rig.reads(&gave_up());
    rig.mute.clear();
    rig.forget();
    rig.connect();
    assert_eq!(rig.count(frame::PERMIT_JOINING), 0);
}

#[test]
fn a_detector_that_asks_to_be_enrolled_before_all_else_is() {
    let mut rig = Rig::up();
    rig.host.open(180, Admission::Legacy, rig.now);
    rig.carry();
    rig.joins(0x5000, Eui64(0x500), 1);
    rig.forget();
    rig.hears(0x5000, IAS, 1, &[0x09, 3, 1, 0x15, 0, 0, 0]);
    let answer = &rig.asked.iter().find(|(id, _)| *id == frame::SEND_UNICAST).unwrap().1;
    // Success, and the first id that is nobody's: the two detectors have 0 and 1.
    assert!(answer.ends_with(&[3, 0, 0, 2]), "{answer:02x?}");
}

#[test]
fn a_house_of_250_takes_newcomers_until_its_ids_run_out() {
    let mut full = memory();
    for number in 2..240u16 {
        full.nodes.insert(Eui64(0x1000 + u64::from(number)), node(0x7000 + number, number as u8, 0x15));
    }
    let mut rig = Rig::with(full);
    rig.host.open(180, Admission::Legacy, rig.now);
    rig.carry();
    rig.forget();
    for number in 0..16u16 {
        rig.joins(0x5000 + number, Eui64(0x500 + u64::from(number)), 1);
        rig.hears(0x5000 + number, IAS, 1, &[0x09, 3, 1, 0x15, 0, 0, 0]);
    }
    let enrolled = |body: &Vec<u8>| body[..body.len() - 1].ends_with(&[3, 0, 0]).then(|| *body.last().unwrap());
    let ids: Vec<u8> = rig.asked.iter().filter_map(|(_, body)| enrolled(body)).collect();
    assert_eq!(ids, (240..=254).collect::<Vec<u8>>(), "the sixteenth finds no id");
    assert_eq!(rig.count(frame::REMOVE_DEVICE), 1);
}

/// What the stick says of its channel at the end of a scan: the loudest moment there, and "ok".
fn scanned(rig: &mut Rig, dbm: i8) {
    rig.says(frame::ENERGY_SCAN_RESULT, &[network().channel, dbm.cast_unsigned()]);
    rig.says(frame::SCAN_COMPLETE, &[0, 0]);
}

/// The counters of a stick whose air was too busy for so many frames (PHY_CCA_FAIL_COUNT is the 33rd of 41).
fn counters(no_gap: u8) -> Vec<u8> {
    let mut counters = vec![0; 82];
    counters[64] = no_gap;
    counters
}

fn interference(rig: &Rig) -> Vec<bool> {
    let told = |out: &Out| if let Out::Interference(on) = out { *on } else { None };
    // That it is quiet at first is no news.
    rig.outs.iter().filter_map(told).skip_while(|on| !on).collect()
}

#[test]
fn r27_a_stick_is_asked_for_its_own_channel_and_for_the_shortest_scan() {
    let mut rig = Rig::up();
    rig.wait(15_000);
    let mask = (1u32 << network().channel).to_le_bytes();
    let scans: Vec<&[u8]> =
        rig.asked.iter().filter(|(id, _)| *id == frame::START_SCAN).map(|(_, body)| body.as_slice()).collect();
    assert_eq!(scans, [[&[0][..], &mask, &[0]].concat()]);
    scanned(&mut rig, -95);
    rig.wait(14_000);
    assert_eq!((rig.count(frame::START_SCAN), rig.count(frame::SEND_BROADCAST)), (1, 0), "a quiet one is left alone");
}

#[test]
fn r27_a_loud_channel_that_takes_no_frame_interferes_until_it_does() {
    let mut rig = Rig::up();
    rig.wait(15_000);
    rig.instead = Box::new(|id, _| (id == frame::READ_AND_CLEAR_COUNTERS).then(|| counters(3)));
    scanned(&mut rig, -40);
    // To the routers, one hop, who has the hub's own address: nobody else answers that.
    let (_, probe) = rig.asked.iter().find(|(id, _)| *id == frame::SEND_BROADCAST).unwrap();
    assert_eq!((&probe[..2], &probe[13..15], probe[15]), (&[0xFC, 0xFF][..], &[1, 0][..], 11), "{probe:02x?}");
    assert_eq!((&probe[2..6], &probe[17..25]), (&[0; 4][..], &[1, 2, 3, 4, 5, 6, 7, 8][..]));
    rig.wait(900);
    assert_eq!(interference(&rig), Vec::<bool>::new(), "one look is none");
    rig.wait(100);
    scanned(&mut rig, -40);
    rig.wait(900);
    assert_eq!(interference(&rig), [true]);
    assert!(rig.host.counters().air_busy >= 6);
    rig.instead = Box::new(|id, _| (id == frame::READ_AND_CLEAR_COUNTERS).then(|| counters(0)));
    rig.wait(100);
    scanned(&mut rig, -40);
    rig.wait(900);
    assert_eq!(interference(&rig), [true, false], "loud, and a frame found its gap");
}

#[test]
fn r27_a_stick_that_knows_no_scan_is_judged_by_its_counters() {
    let mut rig = Rig::up();
    // EmberStatus in a word: it is scanning.
    rig.instead = Box::new(|id, _| match id {
        frame::START_SCAN => Some(vec![0x4D, 0, 0, 0]),
        frame::READ_AND_CLEAR_COUNTERS => Some(counters(3)),
        _ => None,
    });
    rig.wait(20_000);
    assert_eq!(interference(&rig), [true]);
    assert!(rig.host.counters().unseen >= 2);
    // One that answers and then tells nothing.
    let mut rig = Rig::up();
    rig.wait(20_000);
    assert_eq!((interference(&rig), rig.host.counters().unseen), (vec![], 1));
}

#[test]
fn r27_a_detector_that_is_heard_proves_that_the_air_carries() {
    let mut rig = Rig::up();
    rig.wait(15_000);
    rig.instead = Box::new(|id, _| (id == frame::READ_AND_CLEAR_COUNTERS).then(|| counters(3)));
    for tsn in 0..5 {
        scanned(&mut rig, -40);
        rig.status(CONTACT.1, tsn, tsn, tsn & 1);
        rig.wait(1_000);
    }
    assert_eq!(interference(&rig), Vec::<bool>::new());
}

#[test]
fn a_stick_is_not_made_deaf_while_somebody_may_join() {
    let mut rig = Rig::up();
    rig.host.open(60, Admission::Legacy, rig.now);
    rig.carry();
    rig.forget();
    rig.wait(59_000);
    assert_eq!(rig.count(frame::START_SCAN), 0);
    assert!(rig.count(frame::READ_AND_CLEAR_COUNTERS) >= 3, "its counters are read all the same");
    rig.wait(30_000);
    assert!(rig.count(frame::START_SCAN) > 0);
}

#[test]
fn what_is_said_to_all_and_acknowledged_by_nobody_is_not_undelivered() {
    let mut rig = Rig::up();
    for (nwk, undelivered) in [(0xFFFCu16, 0), (CONTACT.1, 1)] {
        let mut body = vec![0];
        body.extend(nwk.to_le_bytes());
        body.extend([0; 12]);
        body.extend([0x66, 0]);
        rig.says(frame::MESSAGE_SENT, &body);
        assert_eq!(rig.host.counters().undelivered, undelivered, "{nwk:04x}");
    }
}
