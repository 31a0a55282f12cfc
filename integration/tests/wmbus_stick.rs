//! The twin's sticks and the daemon's receiver were written apart; here they must understand each other.
#![allow(clippy::unwrap_used)] // a test that cannot go on must fail

use vakt_core::device::Authenticated;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_integration::twins::wmbus_stick as stick;
use vaktd::subghz::line::Source;
use vaktd::subghz::receiver::Heard;
use vaktd::subghz::receiver::Receiver;
use vaktd::subghz::wmbus_link::FrameKind;
use vaktd::subghz::wmbus_link::open;

const KEY: [u8; 16] = *b"LANSEN-TEST-KEY!";
/// A window is opened: Lansen contact 00010205, digital input 55.
const OPEN: &str = "2E44333005020100071D7AB60000002F2F02FD1B550002FD971D00000EFD3A2300000000008E40FD3A000000000000";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect()
}

fn only(receiver: &mut Receiver, fed: &[u8]) -> Heard {
    let mut heard = receiver.feed(fed);
    assert_eq!(heard.len(), 1);
    heard.remove(0).unwrap()
}

#[test]
fn a_window_that_opens_is_heard_through_every_stick() {
    let frame = stick::encrypt_mode5(&bytes(OPEN), &KEY).unwrap();
    let heard_by = [
        (Source::RtlWmbus, stick::rtl_wmbus_line(&frame, "2026-11-20 21:39:00.000").into_bytes(), None),
        (Source::Cul, stick::cul_line(&frame, -71).into_bytes(), Some(-71)),
        (Source::Cul, stick::cul_line_b(&frame).unwrap().into_bytes(), None),
        (Source::Im871a, stick::im871a_packet(&frame, -71), Some(-71)),
    ];
    for (source, serial, rssi) in heard_by {
        let mut receiver = Receiver::new(source);
        let heard = only(&mut receiver, &serial);
        assert_eq!(heard.device.as_str(), "wm-las-00010205-07-1d");
        let report = receiver.understand(&heard, Some(&KEY), None).unwrap().report.unwrap();
        assert_eq!((report.kind, report.state), (DeviceKind::Contact, Some(DeviceState::Open)));
        assert_eq!((report.authenticated, report.rssi_dbm), (Authenticated::Crc, rssi), "{source:?}");
        assert_eq!((report.tamper, report.low_battery, report.fault), (Some(false), Some(false), Some(false)));
        assert_eq!(receiver.counters().reported, 1);
    }
}

#[test]
fn a_telegram_without_or_with_the_wrong_key_is_refused_and_counted() {
    let frame = stick::encrypt_mode5(&bytes(OPEN), &KEY).unwrap();
    let mut receiver = Receiver::new(Source::Im871a);
    let heard = only(&mut receiver, &stick::im871a_packet(&frame, -60));
    assert_eq!(receiver.understand(&heard, None, None).unwrap_err().word(), "no_key");
    assert_eq!(receiver.understand(&heard, Some(&[7; 16]), None).unwrap_err().word(), "wrong_key");
    // and a forger who speaks in clear for a device that has a key
    let forged = only(&mut receiver, &stick::im871a_packet(&bytes(OPEN), -60));
    assert_eq!(receiver.understand(&forged, Some(&KEY), None).unwrap_err().word(), "not_encrypted");
    let counters = receiver.counters();
    assert_eq!((counters.no_key, counters.wrong_key, counters.not_encrypted, counters.reported), (1, 1, 1, 0));
}

#[test]
fn every_frame_length_survives_the_air() {
    for l in 10..=255u8 {
        let mut frame = vec![l, 0x44];
        frame.extend((0..l - 1).map(|n| n.wrapping_mul(37)));
        let format_a = stick::format_a(&frame);
        let want = open(FrameKind::NoCrc, &frame).unwrap();
        for (kind, air) in [
            (FrameKind::A, format_a.clone()),
            (FrameKind::Fifo, stick::three_of_six(&format_a)),
            (FrameKind::Fifo, [&[0x54, 0xCD], &format_a[..]].concat()),
        ] {
            let got = open(kind, &air).unwrap();
            assert_eq!((got.address, &got.body, got.checked), (want.address, &want.body, true), "L = {l}, {kind:?}");
        }
        match stick::format_b(&frame) {
            Some(b) => {
                assert_eq!(open(FrameKind::B, &b).unwrap().body, want.body, "L = {l}");
                assert_eq!(open(FrameKind::Fifo, &[&[0x54, 0x3D], &b[..]].concat()).unwrap().body, want.body);
            }
            None => assert!(l > 251, "L = {l} and two CRCs fit into format B"),
        }
    }
}
