//! Serial receivers: frames are found in whatever portions they come, noise is bounded and counted, and after it the
//! next detector is heard.
#![allow(clippy::unwrap_used)] // a test that cannot go on must fail

use vaktd::subghz::decode::from_hex;
use vaktd::subghz::line::Caught;
use vaktd::subghz::line::Fault;
use vaktd::subghz::line::Framer;
use vaktd::subghz::line::Heard;
use vaktd::subghz::line::MAX_LINE;
use vaktd::subghz::line::Source;
use vaktd::subghz::receiver::Receiver;
use vaktd::subghz::wmbus_link::FrameKind;

const SOURCES: [Source; 3] = [Source::RtlWmbus, Source::Cul, Source::Im871a];

/// A line as rtl_wmbus printed it for the recording rtlsdr_868.625M_2M4_issue48 (id and time as it gives them).
const RTL: &str = "T1;1;1;2026-11-20 21:39:00.000;97;148;60168569;0x294468506985166076f0a0009f2f613000186130008061000109006ba1007cb2008dc3009ed4000fe500\n";
/// A format A frame with its CRCs, LQI and signal strength; culfw in T mode.
const CUL: &str = "b2E44333004020100031AE3947AC4002005E3A2D2C05B432D6EDFC8878AE51932E47325517CF2BDBAD72BAE998D7272641398C24ADAE16730D4\r\n";
/// A format B frame; culfw in C mode, without signal strength.
const CUL_B: &str = "bY1444AE0C7856341201078C2027780B134365877AC5\r\n";
/// Signal strength attached, no time, no CRC: how wmbusmeters sets the stick up.
const IM871A: &str =
    "A542032E44333005020100071D7AB54800002F2F02FD1B110002FD971D01000EFD3A2200000000008E40FD3A00000000000069";

fn good(source: Source) -> Vec<u8> {
    match source {
        Source::RtlWmbus => RTL.into(),
        Source::Cul => CUL.into(),
        Source::Im871a => from_hex(IM871A).unwrap(),
    }
}

fn all(source: Source, bytes: &[u8]) -> Vec<Heard> {
    Framer::new(source).feed(bytes)
}

fn caught(source: Source, bytes: &[u8]) -> Caught {
    let heard = all(source, bytes);
    assert_eq!(heard.len(), 1, "{heard:?}");
    heard[0].clone().unwrap()
}

fn fault(source: Source, bytes: &[u8]) -> Fault {
    let heard = all(source, bytes);
    assert_eq!(heard.len(), 1, "{heard:?}");
    heard[0].clone().unwrap_err()
}

#[test]
fn each_receiver_gives_its_frame_and_signal_strength() {
    let rtl = caught(Source::RtlWmbus, RTL.as_bytes());
    assert_eq!((rtl.kind, rtl.bytes.len(), rtl.rssi_dbm, rtl.vouched), (FrameKind::NoCrc, 42, None, true));
    let prefixed = format!("rla;{RTL}");
    assert_eq!(caught(Source::RtlWmbus, prefixed.as_bytes()), rtl, "rtl_wmbus -v names its algorithm");
    let cul = caught(Source::Cul, CUL.as_bytes());
    assert_eq!((cul.kind, cul.bytes.len(), cul.rssi_dbm), (FrameKind::A, 55, Some(-96)));
    let b = caught(Source::Cul, CUL_B.as_bytes());
    assert_eq!((b.kind, b.bytes.len(), b.rssi_dbm), (FrameKind::B, 21, None));
    let stick = caught(Source::Im871a, &good(Source::Im871a));
    assert_eq!((stick.kind, stick.bytes.len(), stick.rssi_dbm), (FrameKind::NoCrc, 47, Some(-70)));
    assert!(!stick.vouched, "without the packet's CRC nobody vouches for the way from the stick");
}

#[test]
fn what_a_receiver_calls_bad_is_bad() {
    let flagged = RTL.replace("T1;1;1", "T1;0;1");
    assert_eq!(fault(Source::RtlWmbus, flagged.as_bytes()), Fault::FlaggedBad);
    assert_eq!(fault(Source::RtlWmbus, RTL.replace("T1;1;1", "T1;1;0").as_bytes()), Fault::FlaggedBad);
    for (line, expected) in [
        ("rtl_wmbus: exiting\n".to_owned(), Fault::NotAFrame),
        (RTL.replace("0x29", "0x28"), Fault::BadLength),
        (RTL.replace("0x2944", "0x294"), Fault::BadHex),
        (RTL.replace("0x2944", "0xZZ44"), Fault::BadHex),
        (RTL.replace("0x", ""), Fault::NotAFrame),
        (RTL.replace("T1;", "X9;"), Fault::NotAFrame),
        (RTL.trim_end().replace(';', ",") + "\n", Fault::NotAFrame),
    ] {
        assert_eq!(fault(Source::RtlWmbus, line.as_bytes()), expected, "{line}");
    }
    for (line, expected) in [
        ("V 1.67 nanoCUL868\r\n", Fault::NotAFrame),
        ("TMODE\r\n", Fault::NotAFrame),
        ("b\r\n", Fault::BadLength),
        ("b2E4\r\n", Fault::BadHex), // nanoCUL cuts long telegrams in the middle of a byte
        ("b2E44\r\n", Fault::BadLength),
        ("bY1444AE0C7856341201078C2027780B134365877AC5AA\r\n", Fault::BadLength),
        ("bé\r\n", Fault::BadHex),
    ] {
        assert_eq!(fault(Source::Cul, line.as_bytes()), expected, "{line}");
    }
}

#[test]
fn a_stream_without_an_end_is_bounded_counted_once_and_forgotten() {
    for source in [Source::RtlWmbus, Source::Cul] {
        let mut framer = Framer::new(source);
        let mut faults = 0;
        for _ in 0..1024 {
            faults += framer.feed(&[b'b'; 1024]).len();
            assert!(framer.held() <= MAX_LINE);
        }
        assert_eq!(faults, 1, "one line without an end is one fault");
        assert!(framer.feed(b"\n").is_empty());
        assert!(framer.feed(&good(source))[0].is_ok(), "the next line is heard");
    }
    let mut framer = Framer::new(Source::Im871a);
    let mut faults = 0;
    for _ in 0..1024 {
        faults += framer.feed(&[0x00; 1024]).len();
        assert!(framer.held() <= 300);
    }
    assert_eq!(faults, 1, "a run of noise is one fault");
    assert!(framer.feed(&good(Source::Im871a))[0].is_ok());
}

#[test]
fn half_a_packet_does_not_swallow_the_next() {
    let mut framer = Framer::new(Source::Im871a);
    let packet = good(Source::Im871a);
    assert!(framer.feed(&packet[..20]).is_empty());
    assert_eq!(framer.silence(), [Err(Fault::HalfPacket)]);
    assert_eq!(framer.held(), 0);
    assert!(framer.feed(&packet)[0].is_ok());
    assert!(framer.silence().is_empty());
    // a half packet with a whole one right behind it: the whole one is found again
    let mut framer = Framer::new(Source::Im871a);
    let mut heard = framer.feed(&[0xA5, 0x02, 0x03, 0xFF]);
    heard.extend(framer.feed(&packet));
    heard.extend(framer.silence());
    assert_eq!(heard.len(), 2);
    assert_eq!((heard[0].clone(), heard[1].is_ok()), (Err(Fault::HalfPacket), true));
}

#[test]
fn a_packets_checksum_and_the_sticks_own_answers() {
    // an answer to "ping" is no telegram; a reserved bit and an unknown endpoint are none either
    assert_eq!(fault(Source::Im871a, &[0xA5, 0x01, 0x02, 0x00]), Fault::NotAFrame);
    assert_eq!(fault(Source::Im871a, &[0xA5, 0x12]), Fault::NotAFrame);
    assert_eq!(fault(Source::Im871a, &[0xA5, 0x0F]), Fault::NotAFrame);
    let mut sealed = from_hex("A582030A4433300502010007AABB1234").unwrap();
    sealed.truncate(16);
    assert_eq!(all(Source::Im871a, &sealed)[0], Err(Fault::BadChecksum));
}

#[test]
fn the_receiver_counts_what_it_refused_and_hears_what_is_good() {
    let mut receiver = Receiver::new(Source::RtlWmbus);
    let noise = format!("rtl_sdr starting\n{}{RTL}", RTL.replace("T1;1;1", "T1;0;0"));
    let outcomes = receiver.feed(noise.as_bytes());
    let heard: Vec<_> = outcomes.into_iter().flatten().collect();
    assert_eq!((heard.len(), heard[0].device.as_str()), (1, "wm-tch-60168569-76-f0"));
    let report = receiver.understand(&heard[0], None).unwrap().report.unwrap();
    assert_eq!(serde_json::to_value(report.state).unwrap(), "clear");
    let counters = receiver.counters();
    assert_eq!((counters.not_a_frame, counters.flagged_bad, counters.heard, counters.reported), (1, 1, 1, 1));
    let mut receiver = Receiver::new(Source::Cul);
    let broken = CUL.replace("AE51932E", "AE51932F");
    assert!(receiver.feed(broken.as_bytes())[0].is_err());
    assert_eq!(receiver.counters().bad_crc, 1);
}

mod any_bytes {
    use super::*;
    use proptest::prelude::*;

    /// Noise, good telegrams, and good telegrams with holes, in any order.
    fn stream(source: Source) -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            Just(good(source)),
            Just(b"\r\n".to_vec()),
            (0usize..60).prop_map(move |cut| good(source)[..cut.min(good(source).len())].to_vec()),
            Just(vec![0xA5; 5]),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn portions_change_nothing(
            (which, bytes) in (0usize..3).prop_flat_map(|which| (Just(which), stream(SOURCES[which]))),
            portion in 1usize..50,
        ) {
            let source = SOURCES[which];
            let whole = all(source, &bytes);
            let mut framer = Framer::new(source);
            let mut pieces = Vec::new();
            for piece in bytes.chunks(portion) {
                pieces.extend(framer.feed(piece));
                prop_assert!(framer.held() <= MAX_LINE);
            }
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn after_any_noise_a_line_end_and_a_telegram_are_heard(
            which in 0usize..2, noise in proptest::collection::vec(any::<u8>(), 0..2000),
        ) {
            let source = SOURCES[which];
            let mut framer = Framer::new(source);
            framer.feed(&noise);
            framer.feed(b"\n");
            prop_assert!(framer.feed(&good(source))[0].is_ok());
        }

        #[test]
        fn after_any_noise_and_silence_a_packet_is_heard(noise in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut framer = Framer::new(Source::Im871a);
            let fed = framer.feed(&noise).len() + framer.silence().len();
            prop_assert!(fed <= noise.len());
            prop_assert_eq!(framer.held(), 0);
            prop_assert!(framer.feed(&good(Source::Im871a))[0].is_ok());
        }

        #[test]
        fn a_receiver_never_panics(which in 0usize..3, noise in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut receiver = Receiver::new(SOURCES[which]);
            for heard in receiver.feed(&noise).into_iter().flatten().collect::<Vec<_>>() {
                let _ = receiver.understand(&heard, None);
                let _ = receiver.understand(&heard, Some(&[1; 16]));
            }
        }
    }
}
