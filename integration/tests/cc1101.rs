//! The daemon's receiver on a CC1101's twin, in simulated time: real FIFO dumps, every length of frame, a host that comes
//! late, noise, a chip that is pulled out or stuck.
//!
//! The twin was written from the data sheet without a look at the engine, and what it forbids it counts. Nothing here
//! sleeps; every random choice has a printed seed.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // seeds are printed; a test that meets the unexpected stops

mod sim {
    pub mod chip;
}

use sim::chip::Bench;
use vakt_core::device::Authenticated;
use vakt_integration::twins::cc1101::Gdo;
use vakt_integration::twins::cc1101::Plug;
use vakt_integration::twins::cc1101::State;
use vakt_integration::twins::cc1101::Stuck;
use vakt_integration::twins::cc1101::air;
use vakt_integration::twins::cc1101::air::Burst;
use vakt_integration::twins::cc1101::radio::LengthWrite;
use vakt_integration::twins::ncp::bytes::Chance;
use vakt_integration::twins::wmbus_stick as stick;
use vaktd::subghz::cc1101_registers::Mode;
use vaktd::subghz::cc1101_told::Fault;
use vaktd::subghz::io::cc1101::Settings;
use vaktd::subghz::io::cc1101::listen;
use vaktd::subghz::line::Source;
use vaktd::subghz::receiver::Receiver;
use vaktd::subghz::wmbus_link::FrameKind;
use vaktd::subghz::wmbus_link::open;

const MS: u64 = 1_000_000;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}

/// So many seeds from this one on; a hundred times as many in the long run.
fn seeds(first: u64, count: u64) -> std::ops::Range<u64> {
    let factor = if std::env::var_os("VAKT_LONG").is_some() { 100 } else { 1 };
    first..first + count * factor
}

/// A frame of this L field, without CRCs.
fn plain(l: u8) -> Vec<u8> {
    let mut frame = vec![l, 0x44];
    frame.extend((0..l - 1).map(|n| n.wrapping_mul(37).wrapping_add(l)));
    frame
}

/// One form in which a frame is sent, and its bytes behind the sync word.
fn forms(l: u8) -> Vec<(&'static str, Vec<u8>)> {
    let format_a = stick::format_a(&plain(l));
    let mut forms = vec![("T1", stick::three_of_six(&format_a)), ("C1 A", [&[0x54, 0xCD], &format_a[..]].concat())];
    forms.extend(stick::format_b(&plain(l)).map(|b| ("C1 B", [&[0x54, 0x3D], &b[..]].concat())));
    forms
}

/// The telegram of what was received, without CRCs, or why it is none.
fn telegram(kind: FrameKind, fifo: &[u8]) -> Result<String, &'static str> {
    let frame = open(kind, fifo).map_err(|refused| refused.word())?;
    let address = frame.address.to_link();
    let l = u8::try_from(9 + frame.body.len()).unwrap();
    Ok(hex(&[&[l, frame.control], &address[..], &frame.body].concat()))
}

/// All vectors that came out of a radio chip's FIFO, or would.
fn dumps() -> Vec<serde_json::Value> {
    let lines = include_str!("data/wmbus_vectors.jsonl").lines();
    let all = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    all.filter(|v| v["layer"] == "rx-fifo-after-sync-543D" || v["expect"]["fifo_t1"].is_string()).collect()
}

/// Sends until the chip has heard it: once in 200 it is at the other band, and then it is sent again.
fn send(bench: &mut Bench, after_sync: &[u8]) {
    for _ in 0..3 {
        let burst = Burst::mode_t(bench.now_ns() + MS, after_sync, -70);
        let end = burst.end_ns();
        let id = bench.chip.hear(burst);
        bench.run_until(end + 6 * MS);
        if bench.chip.found(id) {
            return;
        }
    }
    panic!("not heard three times in a row");
}

#[test]
fn a_chip_is_reset_configured_and_listens_within_20_ms() {
    for mode in [Mode::T, Mode::S] {
        let bench = Bench::listening(1, mode);
        assert_eq!((bench.chip.state(), bench.chip.resets()), (State::Rx, 1));
        assert!(bench.faults.is_empty() && bench.chip.misuses().is_empty(), "{:?}", bench.chip.misuses());
    }
}

#[test]
fn what_came_out_of_real_chips_comes_out_of_the_twin_as_the_same_telegrams() {
    let dumps = dumps();
    assert!(dumps.len() >= 6, "{}", dumps.len());
    let mut bench = Bench::listening(2, Mode::T);
    for dump in dumps {
        let derived = dump["expect"]["fifo_t1"].as_str();
        let fifo = bytes(derived.unwrap_or_else(|| dump["hex"].as_str().unwrap()));
        let before = bench.counters();
        send(&mut bench, &fifo);
        let counters = bench.counters();
        let name = &dump["id"];
        let got = bench.frames.pop().unwrap_or_else(|| panic!("{name}: nothing was received"));
        assert!(bench.frames.is_empty());
        assert_eq!((counters.valid, counters.bad_frames), (before.valid + 1, 0), "{name}");
        let said = telegram(got.caught.kind, &got.caught.bytes).unwrap();
        match dump["expect"]["telegram_nocrc"].as_str() {
            Some(want) => assert_eq!(said, want, "{name}"),
            None => assert_eq!(stick::format_a(&bytes(&said)), bytes(dump["hex"].as_str().unwrap()), "{name}"),
        }
        assert_eq!(got.caught.rssi_dbm, Some(-70), "{name}");
        assert_eq!(got.lqi, 0x14, "{name}");
    }
    assert!(bench.chip.misuses().is_empty(), "{:?}", bench.chip.misuses());
}

#[test]
fn a_bit_that_is_wrong_in_a_real_dump_never_comes_out_as_a_telegram() {
    let seed = 3;
    println!("seed {seed}");
    let mut chance = Chance::new(seed);
    let mut bench = Bench::listening(seed, Mode::T);
    for dump in dumps().iter().filter(|dump| dump["hex"].as_str().unwrap().len() < 170) {
        let good = bytes(dump["expect"]["fifo_t1"].as_str().unwrap_or_else(|| dump["hex"].as_str().unwrap()));
        for _ in 0..20 {
            let mut fifo = good.clone();
            // Not the fill-in behind the last symbol, which nobody reads.
            let bit = usize::try_from(chance.draw()).unwrap_or(0) % (8 * (good.len() - 1));
            fifo[bit / 8] ^= 0x80 >> (bit % 8);
            let before = bench.counters();
            send(&mut bench, &fifo);
            // A length field that grew asks for more than was sent.
            bench.run_ms(40);
            let after = bench.counters();
            let refusals =
                (after.noise + after.broken + after.bad_frames) - (before.noise + before.broken + before.bad_frames);
            assert_eq!((after.valid, refusals), (before.valid, 1), "{}: bit {bit}", dump["id"]);
            for got in bench.frames.drain(..) {
                assert!(telegram(got.caught.kind, &got.caught.bytes).is_err());
            }
        }
    }
}

/// Sends every length in every form, one after the other, to a host that is late by what `late` says; hands back the bench
/// and how many frames the chip found.
fn corpus(seed: u64, how: LengthWrite, late: impl FnMut() -> u64 + 'static) -> (Bench, Vec<Vec<u8>>) {
    let mut bench = Bench::listening(seed, Mode::T);
    bench.chip.on_length_write(how);
    bench.late(late);
    let mut found = Vec::new();
    let mut chance = Chance::new(seed);
    for l in 10..=255u8 {
        for (_, after_sync) in forms(l) {
            let at = bench.now_ns() + chance.draw() % (3 * MS);
            let burst = Burst::mode_t(at, &after_sync, -80);
            let end = burst.end_ns();
            let id = bench.chip.hear(burst);
            // As long as a late host and a chip that calibrates need before the next.
            bench.run_until(end + 8 * MS);
            if bench.chip.found(id) {
                found.push(after_sync);
            }
        }
    }
    (bench, found)
}

#[test]
fn no_frame_of_any_length_is_lost_by_a_host_that_is_up_to_2_3_ms_late() {
    for seed in seeds(10, 6) {
        println!("seed {seed}");
        for how in [LengthWrite::Counts, LengthWrite::EndsAtOnce] {
            let mut chance = Chance::new(seed);
            let (bench, found) = corpus(seed, how, move || chance.draw() % 2_300_000);
            assert!(found.len() > 700, "the chip found {} frames of 734", found.len());
            let got: Vec<Vec<u8>> = bench.frames.iter().map(|frame| frame.caught.bytes.clone()).collect();
            assert_eq!(got.len(), found.len(), "seed {seed}: {:?}", bench.counters());
            for (got, sent) in got.iter().zip(&found) {
                assert_eq!(hex(got), hex(sent), "seed {seed}");
            }
            let counters = bench.counters();
            assert_eq!(counters.valid, found.len() as u64, "seed {seed}: {counters:?}");
            assert_eq!((counters.overflows, counters.restarts), (0, 0), "seed {seed}: {counters:?}");
            assert!(counters.latency_max_us > 2_000, "{counters:?}");
            assert!(bench.chip.misuses().is_empty(), "{:?}", bench.chip.misuses());
        }
    }
}

#[test]
fn a_host_that_is_later_than_the_fifo_holds_loses_that_frame_says_so_and_hears_the_next() {
    let mut bench = Bench::listening(20, Mode::T);
    let (long, short) = (forms(200).remove(0).1, forms(46).remove(0).1);
    for late_us in [2_700, 3_000, 4_000, 6_000, 20_000, 60_000] {
        let before = bench.counters();
        bench.late(move || late_us * 1_000);
        bench.frames.clear();
        send(&mut bench, &long);
        bench.run_ms(200);
        let after = bench.counters();
        assert_eq!(after.overflows, before.overflows + 1, "{late_us} µs: {after:?}");
        assert!(bench.frames.is_empty(), "{late_us} µs");
        bench.late(|| 0);
        bench.run_ms(10);
        send(&mut bench, &short);
        assert_eq!(bench.frames.pop().unwrap().caught.bytes, short, "{late_us} µs");
        assert_eq!(bench.counters().restarts, 0);
    }
    assert!(bench.chip.misuses().is_empty(), "{:?}", bench.chip.misuses());
}

#[test]
fn whatever_the_host_s_latency_no_wrong_telegram_comes_out() {
    for seed in seeds(30, 4) {
        println!("seed {seed}");
        let mut chance = Chance::new(seed);
        let (bench, found) = corpus(seed, LengthWrite::Counts, move || chance.draw() % 9_000_000);
        let counters = bench.counters();
        assert!(counters.overflows > 50 && counters.late > 0, "{counters:?}");
        for frame in &bench.frames {
            assert!(found.contains(&frame.caught.bytes), "seed {seed}: {}", hex(&frame.caught.bytes));
        }
        assert_eq!(counters.restarts, 0, "{counters:?}");
        assert!(bench.chip.misuses().is_empty(), "{:?}", bench.chip.misuses());
    }
}

#[test]
fn an_hour_of_noise_syncs_is_no_telegram_no_fault_and_no_stall() {
    let seed = 40;
    println!("seed {seed}");
    let mut chance = Chance::new(seed);
    let mut bench = Bench::listening(seed, Mode::T);
    for _ in 0..3_600 {
        let noise: Vec<u8> = (0..20).flat_map(|_| chance.draw().to_le_bytes()).collect();
        let at = bench.now_ns() + chance.draw() % (900 * MS);
        bench.chip.hear(Burst::mode_t(at, &noise, -90));
        bench.run_ms(1_000);
    }
    let counters = bench.counters();
    assert!(counters.syncs > 3_500, "{counters:?}");
    // One in sixteen begins with two symbols by chance and is found out later; by chance alone none passes two CRCs.
    assert!(counters.noise > counters.syncs * 9 / 10, "{counters:?}");
    assert_eq!((counters.valid, counters.stalled, counters.overflows, counters.restarts), (0, 0, 0, 0), "{counters:?}");
    assert!(bench.frames.iter().all(|frame| telegram(frame.caught.kind, &frame.caught.bytes).is_err()));
    assert!(bench.faults.is_empty() && bench.chip.misuses().is_empty());
    assert!(bench.samples.len() > 35_000, "ten samples a second: {}", bench.samples.len());
    assert!(bench.steps < 3_600 * 60, "{} steps in an hour", bench.steps);
    send(&mut bench, &forms(46).remove(0).1);
    assert_eq!(bench.counters().valid, 1);
}

#[test]
fn a_mode_s_receiver_hears_manchester_frames_and_refuses_noise() {
    let mut bench = Bench::listening(50, Mode::S);
    for l in [9, 46, 100, 255] {
        let after_sync = air::manchester(&stick::format_a(&plain(l)));
        let burst = Burst::mode_s(bench.now_ns() + 5 * MS, &after_sync, -60);
        let end = burst.end_ns();
        bench.chip.hear(burst);
        bench.run_until(end + 10 * MS);
        let got = bench.frames.pop().unwrap_or_else(|| panic!("L = {l}: {:?}", bench.counters()));
        assert_eq!(telegram(got.caught.kind, &got.caught.bytes).unwrap(), hex(&plain(l)));
    }
    let burst = Burst::mode_s(bench.now_ns() + 5 * MS, &[0xAA, 0xFF, 0x12, 0x34], -60);
    bench.chip.hear(burst);
    bench.run_ms(100);
    assert_eq!((bench.counters().valid, bench.counters().noise), (4, 1));
    assert!(bench.frames.is_empty() && bench.chip.misuses().is_empty());
}

#[test]
fn a_carrier_is_seen_in_its_own_band_and_in_no_other() {
    for (hz, band) in [(air::MODE_T_HZ, Mode::T), (air::MODE_S_HZ, Mode::S)] {
        let mut bench = Bench::listening(60, Mode::T);
        bench.run_ms(1_500);
        assert!(bench.samples.iter().all(|sample| !sample.carrier && sample.rssi_dbm < -97), "a quiet house");
        assert_eq!(bench.samples.iter().filter(|sample| sample.band == Mode::S).count(), 2, "once a second");
        bench.samples.clear();
        let at = bench.now_ns();
        bench.chip.hear(Burst::carrier(at, 3_000 * MS, hz, -55));
        bench.run_ms(2_900);
        for sample in &bench.samples {
            let jammed = sample.band == band;
            assert_eq!((sample.carrier, sample.rssi_dbm == -55), (jammed, jammed), "{sample:?}");
        }
        assert!(bench.samples.iter().any(|sample| sample.band == band));
        assert!(bench.samples.iter().filter(|sample| sample.band == Mode::T).count() >= 26);
    }
}

#[test]
fn a_chip_that_is_pulled_out_is_missed_within_a_second_and_heard_again_when_it_is_back() {
    for plug in [Plug::Deselected(0x00), Plug::Deselected(0xFF), Plug::Unpowered(0x00), Plug::Unpowered(0xFF)] {
        let mut bench = Bench::listening(70, Mode::T);
        bench.run_ms(3_333);
        bench.chip.plug(plug);
        bench.run_ms(1_000);
        assert_eq!(bench.faults.len(), 1, "{plug:?}: {:?}", bench.faults);
        assert!(matches!(bench.faults[0], Fault::Absent { .. }), "{plug:?}: {:?}", bench.faults);
        bench.run_ms(60_000);
        assert_eq!((bench.faults.len(), bench.ready.len()), (1, 1), "told once: {:?}", bench.faults);
        bench.chip.plug(Plug::In);
        bench.run_ms(600);
        send(&mut bench, &forms(46).remove(0).1);
        assert_eq!(bench.frames.len(), 1, "{plug:?}: it hears before it counts as well again");
        bench.run_ms(4_000);
        assert_eq!((bench.faults.len(), bench.ready.len()), (1, 2), "{plug:?}");
        assert!(bench.chip.misuses().is_empty(), "{:?}", bench.chip.misuses());
    }
}

#[test]
fn a_register_that_changes_while_it_listens_is_found_within_seconds() {
    let mut bench = Bench::listening(77, Mode::T);
    bench.run_ms(1_500);
    bench.chip.faults(|faults| faults.rotten = [(0x15, 0x01)].into());
    bench.run_ms(5_000);
    assert!(bench.faults[0].to_string().starts_with("DEVIATN reads 45, 44 was written"), "{}", bench.faults[0]);
}

#[test]
fn a_chip_whose_supply_dips_is_configured_anew_and_nobody_is_told() {
    let mut bench = Bench::listening(71, Mode::T);
    for _ in 0..3 {
        // The third falls just before a look at the other band, after which the chip is in RX again, and deaf.
        bench.run_ms(3_990);
        bench.chip.plug(Plug::Unpowered(0));
        bench.chip.plug(Plug::In);
    }
    bench.run_ms(200);
    send(&mut bench, &forms(46).remove(0).1);
    assert_eq!((bench.frames.len(), bench.counters().restarts, bench.chip.resets()), (1, 3, 4));
    assert!(bench.faults.is_empty());
}

#[test]
fn a_stuck_chip_is_a_fault_by_name_and_is_tried_until_it_goes_on() {
    for (stuck, wanted) in [(Stuck::InCalibration, "sent to RX"), (Stuck::InRx, "sent to IDLE")] {
        let mut bench = Bench::listening(72, Mode::T);
        bench.chip.faults(|faults| faults.stuck = Some(stuck));
        bench.run_ms(5_000);
        let told: Vec<String> = bench.faults.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(wanted) && told[0].contains("5000 µs"), "{told:?}");
        bench.chip.faults(|faults| faults.stuck = None);
        bench.run_ms(600);
        send(&mut bench, &forms(46).remove(0).1);
        assert_eq!(bench.frames.len(), 1);
        bench.run_ms(4_000);
        assert_eq!((bench.faults.len(), bench.ready.len()), (1, 2));
    }
}

#[test]
fn one_wrong_register_is_found_and_named() {
    for (address, name) in [(0x04, "SYNC1"), (0x0F, "FREQ0"), (0x08, "PKTCTRL0"), (0x2E, "TEST0")] {
        let mut bench = Bench::new(73, Mode::T);
        bench.chip.faults(|faults| faults.rotten = [(address, 0x04)].into());
        bench.run_ms(1_000);
        assert_eq!(bench.faults.len(), 1);
        let told = bench.faults[0].to_string();
        assert!(matches!(bench.faults[0], Fault::ReadBack { .. }) && told.starts_with(name), "{told}");
        assert!(bench.ready.is_empty(), "it never claims to listen");
        bench.chip.faults(|faults| faults.rotten.clear());
        bench.run_ms(4_000);
        assert_eq!(bench.ready, [0x14]);
    }
}

#[test]
fn a_line_that_is_not_the_chips_is_found_and_named() {
    for (gdo, stands, name) in
        [(Gdo::Gdo0, false, "GDO0"), (Gdo::Gdo0, true, "GDO0"), (Gdo::Gdo2, false, "GDO2"), (Gdo::Gdo2, true, "GDO2")]
    {
        let mut bench = Bench::new(74, Mode::T);
        bench.chip.faults(|faults| faults.wire = Some((gdo, stands)));
        bench.run_ms(1_000);
        assert_eq!(bench.faults.len(), 1);
        assert!(bench.faults[0].to_string().starts_with(name), "{}", bench.faults[0]);
        assert!(bench.ready.is_empty());
    }
}

#[test]
fn a_wire_that_breaks_later_is_named_or_does_no_harm() {
    for (gdo, stands, name) in [
        (Gdo::Gdo0, true, Some("GDO0")),
        (Gdo::Gdo2, true, Some("GDO2")),
        (Gdo::Gdo0, false, None),
        (Gdo::Gdo2, false, None),
    ] {
        let mut bench = Bench::listening(78, Mode::T);
        bench.run_ms(1_500);
        bench.chip.faults(|faults| faults.wire = Some((gdo, stands)));
        bench.run_ms(1_000);
        if let Some(name) = name {
            assert_eq!(bench.faults.len(), 1, "{gdo:?}: {:?}", bench.counters());
            assert!(bench.faults[0].to_string().starts_with(name), "{}", bench.faults[0]);
            continue;
        }
        for l in [46, 255] {
            send(&mut bench, &forms(l).remove(0).1);
        }
        assert_eq!((bench.frames.len(), bench.faults.len()), (2, 0), "{gdo:?} is missed, and nothing else");
    }
}

#[test]
fn who_floods_the_air_with_sync_words_is_counted_and_hides_no_chip_that_is_pulled_out() {
    let seed = 79;
    println!("seed {seed}");
    let mut chance = Chance::new(seed);
    let mut bench = Bench::listening(seed, Mode::T);
    let flood = |bench: &mut Bench, ms: u64, chance: &mut Chance| {
        let end = bench.now_ns() + ms * MS;
        while bench.now_ns() < end {
            // Nothing but sync words, and between them what is none.
            let noise: Vec<u8> = (0..50).flat_map(|_| [0x54, 0x3D, 0x00, chance.draw().to_le_bytes()[0]]).collect();
            let burst = Burst::mode_t(bench.now_ns(), &noise, -40);
            let over = burst.end_ns();
            bench.chip.hear(burst);
            bench.run_until(over);
        }
    };
    flood(&mut bench, 10_000, &mut chance);
    let counters = bench.counters();
    assert!(counters.false_syncs() > 1_000, "{counters:?}");
    assert_eq!((counters.valid, counters.restarts), (0, 0), "{counters:?}");
    bench.chip.plug(Plug::Deselected(0x00));
    flood(&mut bench, 1_000, &mut chance);
    assert!(matches!(bench.faults[..], [Fault::Absent { .. }]), "{:?} {:?}", bench.faults, bench.counters());
    bench.chip.plug(Plug::In);
    bench.run_ms(600);
    send(&mut bench, &forms(46).remove(0).1);
    assert_eq!(bench.counters().valid, 1);
}

#[test]
fn a_bus_that_refuses_now_and_then_costs_a_restart_and_no_more() {
    let mut bench = Bench::listening(75, Mode::T);
    for _ in 0..20 {
        bench.run_ms(4_000);
        bench.chip.faults(|faults| faults.bus_refuses = 1);
        bench.run_ms(300);
        send(&mut bench, &forms(46).remove(0).1);
    }
    let counters = bench.counters();
    assert_eq!((counters.spi_errors, counters.restarts, bench.frames.len()), (20, 20, 20), "{counters:?}");
    assert!(bench.faults.is_empty());
    bench.chip.faults(|faults| faults.bus_refuses = u32::MAX);
    bench.run_ms(1_000);
    assert!(matches!(bench.faults[..], [Fault::Spi { .. }]), "{:?}", bench.faults);
}

#[test]
fn rxbytes_that_reads_wrong_costs_frames_and_never_gives_a_wrong_one() {
    for seed in seeds(76, 4) {
        println!("seed {seed}");
        let mut bench = Bench::listening(seed, Mode::T);
        bench.chip.faults(|faults| faults.rxbytes_glitch = 0.2);
        let sent: Vec<Vec<u8>> = (9..=255).map(|l| forms(l).remove(0).1).collect();
        for after_sync in &sent {
            send(&mut bench, after_sync);
        }
        assert!(bench.frames.len() > sent.len() * 8 / 10, "{} of {}", bench.frames.len(), sent.len());
        for frame in &bench.frames {
            let good = sent.contains(&frame.caught.bytes);
            assert!(good || telegram(frame.caught.kind, &frame.caught.bytes).is_err(), "seed {seed}");
        }
        bench.chip.faults(|faults| faults.rxbytes_glitch = 0.0);
        let before = bench.frames.len();
        send(&mut bench, &sent[40]);
        assert_eq!(bench.frames.len(), before + 1);
    }
}

#[test]
fn a_window_that_opens_is_heard_through_the_chip_as_through_a_stick() {
    let frame = bytes("2E44333005020100071D7AB60000002F2F02FD1B550002FD971D00000EFD3A2300000000008E40FD3A000000000000");
    let frame = stick::encrypt_mode5(&frame, b"LANSEN-TEST-KEY!").unwrap();
    let mut bench = Bench::listening(80, Mode::T);
    send(&mut bench, &stick::three_of_six(&stick::format_a(&frame)));
    // What the framer of rtl_wmbus has to do with it: nothing, the frame is whole.
    let mut receiver = Receiver::new(Source::RtlWmbus);
    let heard = receiver.take(bench.frames.pop().unwrap().caught).unwrap();
    assert_eq!(heard.device.as_str(), "wm-las-00010205-07-1d");
    assert_eq!((heard.authenticated, heard.rssi_dbm), (Authenticated::Crc, Some(-70)));
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let settings = Settings {
        name: "chip".to_owned(),
        spi: "/dev/there-is-no-such-spi".into(),
        gdo0: "GPIO25".to_owned(),
        gdo2: "GPIO24".to_owned(),
        mode: Mode::T,
    };
    let (to, _notices) = tokio::sync::mpsc::channel(8);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let why = runtime.block_on(listen(&settings, &to));
    assert!(why.starts_with("opening /dev/there-is-no-such-spi: "), "{why}");
}

/// The twin itself: what the data sheet says of the chip, asked of it directly.
mod twin {
    use super::*;
    use embedded_hal::digital::InputPin;
    use embedded_hal::spi::SpiDevice;
    use vakt_integration::twins::cc1101::Cc1101;
    use vakt_integration::twins::cc1101::Spi;

    const SIDLE: u8 = 0x36;
    const SRX: u8 = 0x34;
    const SFRX: u8 = 0x3A;
    const RXBYTES: u8 = 0xFB;
    const MARCSTATE: u8 = 0xF5;

    fn strobe(spi: &mut Spi, command: u8) {
        spi.write(&[command]).unwrap();
    }

    fn read(spi: &mut Spi, header: u8) -> u8 {
        let mut bytes = [header, 0];
        spi.transfer_in_place(&mut bytes).unwrap();
        bytes[1]
    }

    /// In RX with the registers of mode T, as research has them; more of them than this changes nothing here.
    fn receiving(seed: u64) -> (Cc1101, Spi) {
        let chip = Cc1101::new(seed);
        let mut spi = chip.spi();
        chip.advance(MS);
        for (address, value) in [
            (0x00, 0x06),
            (0x02, 0x00),
            (0x03, 0x00),
            (0x04, 0x54),
            (0x05, 0x3D),
            (0x07, 0x00),
            (0x08, 0x02),
            (0x0D, 0x21),
            (0x0E, 0x6B),
            (0x0F, 0xD0),
            (0x10, 0x5C),
            (0x11, 0x04),
            (0x12, 0x06),
            (0x18, 0x18),
            (0x1C, 0x09),
        ] {
            spi.write(&[address, value]).unwrap();
        }
        strobe(&mut spi, SRX);
        chip.advance(chip.now_ns() + MS);
        assert_eq!(read(&mut spi, MARCSTATE), 0x0D);
        (chip, spi)
    }

    fn hears(chip: &Cc1101, count: usize) {
        let after_sync: Vec<u8> = (1..=200).collect();
        let at = chip.now_ns() + 20_000;
        let burst = Burst::mode_t(at, &after_sync, -50);
        let data = at + (8 + count as u64) * 8 * burst.chip_ns;
        chip.hear(burst);
        chip.advance(data + 20_000);
    }

    #[test]
    fn the_burst_bit_tells_a_status_register_from_a_command() {
        let (chip, mut spi) = receiving(5);
        assert_eq!(read(&mut spi, 0xF0), 0x00, "PARTNUM");
        assert_eq!((chip.state(), chip.resets()), (State::Rx, 0));
        // The same address without the bit is SRES.
        let mut bytes = [0xB0];
        spi.transfer_in_place(&mut bytes).unwrap();
        assert_eq!(chip.resets(), 1);
    }

    #[test]
    fn an_emptied_fifo_gives_the_last_byte_again_while_the_packet_goes_on() {
        let (chip, mut spi) = receiving(5);
        hears(&chip, 3);
        let mut bytes = [0xFF, 0, 0, 0];
        spi.transfer_in_place(&mut bytes).unwrap();
        assert_eq!(bytes[1..], [1, 2, 3]);
        chip.advance(chip.now_ns() + 80_000);
        let mut bytes = [0xFF, 0, 0];
        spi.transfer_in_place(&mut bytes).unwrap();
        assert_eq!(bytes[1..], [3, 4], "3 was there twice");
        assert_eq!(chip.misuses().len(), 1);
    }

    #[test]
    fn rxbytes_reads_unsteadily_while_a_byte_comes_in_and_steadily_between() {
        let mut seen = Vec::new();
        for seed in 0..32 {
            let (chip, mut spi) = receiving(seed);
            hears(&chip, 15);
            // The sixteenth comes 75 µs after the fifteenth is whole: a chip is sampled in its middle.
            let arrives = chip.now_ns() - 20_000 + 75_000;
            // 30 µs into the kernel and 2 µs for the header: just when 15 (01111) becomes 16 (10000).
            chip.advance(arrives + 1_000 - 32_000);
            seen.push(read(&mut spi, RXBYTES));
            assert_eq!(read(&mut spi, RXBYTES), 16);
        }
        assert!(seen.iter().any(|n| !matches!(n, 15 | 16)), "{seen:?}");
    }

    #[test]
    fn an_overflow_ends_the_packet_and_only_sfrx_leads_out() {
        let (chip, mut spi) = receiving(5);
        let (mut gdo0, mut gdo2) = (chip.line(Gdo::Gdo0), chip.line(Gdo::Gdo2));
        hears(&chip, 3);
        assert!(gdo2.is_high().unwrap() && gdo0.is_low().unwrap());
        chip.advance(chip.now_ns() + 80_000);
        assert!(gdo0.is_high().unwrap(), "the threshold is 4 bytes");
        chip.advance(chip.now_ns() + 6 * MS);
        assert_eq!((read(&mut spi, MARCSTATE), read(&mut spi, RXBYTES)), (0x11, 0xC0));
        assert!(gdo2.is_low().unwrap());
        strobe(&mut spi, SIDLE);
        strobe(&mut spi, SRX);
        assert_eq!(chip.state(), State::Overflow);
        strobe(&mut spi, SFRX);
        assert_eq!((chip.state(), read(&mut spi, RXBYTES)), (State::Idle, 0));
    }

    #[test]
    fn what_comes_behind_sidle_before_idle_is_reached_is_lost() {
        let (chip, mut spi) = receiving(5);
        strobe(&mut spi, SFRX);
        assert_eq!(chip.misuses(), ["SFRX outside IDLE and RXFIFO_OVERFLOW"]);
        strobe(&mut spi, SIDLE);
        strobe(&mut spi, SRX);
        chip.advance(chip.now_ns() + 799_000 - 40_000);
        assert_eq!(chip.state(), State::Calibrating, "RX comes 799 µs behind SRX");
        chip.advance(chip.now_ns() + 80_000);
        assert_eq!(chip.state(), State::Rx);
    }

    #[test]
    fn a_change_to_fixed_length_in_mid_packet_ends_it_at_once_or_when_the_counter_comes_round() {
        for (how, ends_at_once) in [(LengthWrite::EndsAtOnce, true), (LengthWrite::Counts, false)] {
            let (chip, mut spi) = receiving(5);
            chip.on_length_write(how);
            spi.write(&[0x06, 20]).unwrap();
            hears(&chip, 10);
            spi.write(&[0x08, 0x00]).unwrap();
            assert_eq!(chip.state() == State::Idle, ends_at_once);
            chip.advance(chip.now_ns() + 2 * MS);
            assert_eq!(chip.state(), State::Idle);
            assert_eq!(read(&mut spi, RXBYTES), if ends_at_once { 10 } else { 20 });
        }
    }
}
