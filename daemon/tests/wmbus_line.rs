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
use vaktd::subghz::wmbus_link::open;
use vaktd::subghz::wmbus_tpl::parse;

const SOURCES: [Source; 4] = [Source::RtlWmbus, Source::Cul, Source::Im871a, Source::Amber8465];

/// A line as rtl_wmbus printed it for the recording rtlsdr_868.625M_2M4_issue48 (id and time as it gives them).
const RTL: &str = "T1;1;1;2026-11-20 21:39:00.000;97;148;60168569;0x294468506985166076f0a0009f2f613000186130008061000109006ba1007cb2008dc3009ed4000fe500\n";
/// A format A frame with its CRCs, LQI and signal strength; culfw in T mode.
const CUL: &str = "b2E44333004020100031AE3947AC4002005E3A2D2C05B432D6EDFC8878AE51932E47325517CF2BDBAD72BAE998D7272641398C24ADAE16730D4\r\n";
/// A format B frame; culfw in C mode, without signal strength.
const CUL_B: &str = "bY1444AE0C7856341201078C2027780B134365877AC5\r\n";
/// Signal strength attached, no time, no CRC: how wmbusmeters sets the stick up.
const IM871A: &str =
    "A542032E44333005020100071D7AB54800002F2F02FD1B110002FD971D01000EFD3A2200000000008E40FD3A00000000000069";
/// An iM871A with signal strength and CRC, heard at -91 dBm (wmbusmeters #1350).
const IM871A_SEALED: &str = "A5C203A944C5144473352200047ABB00902519ED95B2B5934D025798E2E21E6A6698C64C58F22D43C0D1870441470E6C2346AA08B4CA3B65760762F6A74D94BF6FC786BD87437C0FE9163A3BD54A68783C8EE9D53214800CEF8C8C54722F4CAB516F734F8860A48D227BCFF89C68650C4FE9ACA10052B4EE8EBF5F053FFD9239589B27BF57181DF27B2908617A13EAC092F2C96535DEBFC6283ED0A6063AE5EF8AA503FD0C05010002FD0B01113FCBB9";
/// A telegram of 94 bytes from an AMB8665 in command mode with signal strength (wmbusmeters #933).
const AMBER: &str = "FF035F4424237171607520047A2A0050057FAEBAD239D6AC2E9C0E35565AF9283A58FEF437C895CD384C64C59766B26BE6FD90B87B7D1CF3FD9892166D95755F37ECAB5059BBE96E1296D7380A2A24177F088C2C9538FABB5DD0263CEE4399883412AA";
/// Its parameters as an AMB8465 told them (wmbusmeters #1049): packets and signal strength on.
const AMBER_SET: &str = "FF8A7A00780080710200010000FFFFFA00FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF0C3200026400FFFFFFFFFF010004000000FFFFFF01440000000000000000FFFF0B060100FFFFFFFFFF01030000FFFFFFFFFFFFFF0000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF69";
/// The same of one as it comes from the factory (from wmbusmeters' sources): both off.
const AMBER_NEW: &str = "FF8A7A00780080710200000000FFFFFA00FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF003200021400FFFFFFFFFF010004000000FFFFFF01440000000000000000FFFF0B040100FFFFFFFFFF00030000FFFFFFFFFFFFFF0000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF17";

fn good(source: Source) -> Vec<u8> {
    match source {
        Source::RtlWmbus => RTL.into(),
        Source::Cul => CUL.into(),
        Source::Im871a => from_hex(IM871A).unwrap(),
        Source::Amber8465 => from_hex(AMBER).unwrap(),
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
    let sealed = caught(Source::Im871a, &from_hex(IM871A_SEALED).unwrap());
    assert_eq!((sealed.bytes.len(), sealed.rssi_dbm, sealed.vouched), (0xAA, Some(-91), true));
    let amber = caught(Source::Amber8465, &good(Source::Amber8465));
    assert_eq!((amber.kind, amber.bytes.len(), amber.rssi_dbm), (FrameKind::NoCrc, 95, Some(0x12 / 2 - 74)));
    assert_eq!(
        (amber.bytes[0], amber.bytes[94], amber.vouched),
        (94, 0x34, true),
        "the signal strength is not the frame's"
    );
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
    for source in [Source::Im871a, Source::Amber8465] {
        let mut framer = Framer::new(source);
        let mut faults = 0;
        for _ in 0..1024 {
            faults += framer.feed(&[0x00; 1024]).len();
            assert!(framer.held() <= 300);
        }
        assert_eq!(faults, 1, "a run of noise is one fault");
        assert!(framer.feed(&good(source))[0].is_ok());
    }
}

#[test]
fn half_a_packet_does_not_swallow_the_next() {
    for source in [Source::Im871a, Source::Amber8465] {
        let mut framer = Framer::new(source);
        let packet = good(source);
        assert!(framer.feed(&packet[..20]).is_empty());
        assert_eq!(framer.silence(), [Err(Fault::HalfPacket)]);
        assert_eq!(framer.held(), 0);
        assert!(framer.feed(&packet)[0].is_ok());
        assert!(framer.silence().is_empty());
    }
    let packet = good(Source::Im871a);
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

/// One bit wrong in a packet with a checksum: no telegram, and the next one is heard.
#[test]
fn a_flipped_bit_in_a_packet_is_no_telegram() {
    for (source, packet) in [(Source::Im871a, IM871A_SEALED), (Source::Amber8465, AMBER)] {
        let packet = from_hex(packet).unwrap();
        for bit in 0..packet.len() * 8 {
            let mut bad = packet.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // Without its CRC bit an iM871A's packet ends two bytes early: nobody vouches for it then. An AMB8465's eight
            // bits of checksum can fit a packet of another length by chance; where they do, the frame within is too short.
            let is_length = source == Source::Amber8465 && bit / 8 == 2;
            let mut framer = Framer::new(source);
            let mut heard = framer.feed(&bad);
            heard.extend(framer.silence());
            let is_telegram = |caught: &Caught| {
                caught.vouched && open(caught.kind, &caught.bytes).is_ok_and(|frame| parse(&frame).is_ok())
            };
            assert!(is_length || heard.iter().flatten().all(|caught| !caught.vouched), "{source:?}, bit {bit}");
            assert!(!heard.iter().flatten().any(is_telegram), "{source:?}, bit {bit}");
            assert!(framer.feed(&packet).last().unwrap().is_ok(), "{source:?}, bit {bit}");
        }
    }
}

#[test]
fn a_packet_too_short_for_a_telegram_is_none() {
    assert_eq!(fault(Source::Amber8465, &[0xFF, 0x03, 0x00, 0xFC]), Fault::BadLength);
    assert_eq!(fault(Source::Amber8465, &[0xFF, 0x03, 0x01, 0x12, 0xEF]), Fault::BadLength);
    assert_eq!(fault(Source::Amber8465, &[0xFF, 0x04]), Fault::NotAFrame, "a question is no answer");
}

mod set_up {
    use super::*;
    use std::time::Duration;

    const QUIET: u64 = 60;

    /// The life of one stick: what is written to it at each step, and what it says to that.
    struct Life {
        receiver: Receiver,
        now: Duration,
    }

    impl Life {
        fn new(source: Source) -> Self {
            Self { receiver: Receiver::new(source), now: Duration::ZERO }
        }

        fn written(&mut self) -> String {
            let due = self.receiver.due(self.now).unwrap().unwrap_or_default();
            due.iter().map(|b| format!("{b:02X}")).collect()
        }

        /// It is asked this, and says that.
        fn turn(&mut self, asked: &str, said: &str) {
            assert_eq!(self.written(), asked);
            assert_eq!(self.written(), "", "once, while its answer may come");
            assert!(self.receiver.feed(&from_hex(said).unwrap()).is_empty());
        }

        fn listens(&mut self) {
            assert_eq!(self.written(), "");
            assert!(self.receiver.is_set_up());
        }
    }

    /// An answer of an iM871A, sealed as HCI 1.6 has it.
    fn imst(number: u8, content: &str) -> String {
        let content = if content.is_empty() { Vec::new() } else { from_hex(content).unwrap() };
        let mut packet = vec![0x81, number, u8::try_from(content.len()).unwrap()];
        packet.extend(content);
        let mut register = 0xFFFFu16;
        for byte in &packet {
            register ^= u16::from(*byte);
            for _ in 0..8 {
                register = if register & 1 == 1 { register >> 1 ^ 0x8408 } else { register >> 1 };
            }
        }
        packet.extend((!register).to_le_bytes());
        packet.iter().fold("A5".to_owned(), |text, b| text + &format!("{b:02X}"))
    }

    const PONG: &str = "A58102004CA3";
    const CONFIGURED: &str = "A58104009CF7";

    #[test]
    fn an_im871a_listens_when_it_has_confirmed() {
        assert_eq!((imst(2, "").as_str(), imst(4, "").as_str()), (PONG, CONFIGURED), "as captured, wmbusmeters #72");
        for (firmware, mode) in [("15", "0A"), ("14", "0A"), ("13", "03")] {
            let mut life = Life::new(Source::Im871a);
            life.turn("A5010100", PONG);
            life.turn("A5010F00", &imst(0x10, &format!("3300{firmware}0163011000")));
            assert!(!life.receiver.is_set_up());
            life.turn(&format!("A50103060002{mode}300100"), CONFIGURED);
            life.listens();
        }
    }

    #[test]
    fn an_amb8465_is_read_first_and_written_only_where_it_must() {
        let mut life = Life::new(Source::Amber8465);
        life.turn("FF0A02008077", AMBER_SET);
        life.turn("FF040109F3", "FF8401007A");
        life.listens();
        assert!(life.receiver.feed(&good(Source::Amber8465))[0].is_ok());

        let mut life = Life::new(Source::Amber8465);
        life.turn("FF0A02008077", AMBER_NEW);
        life.turn("FF0903050101F0", "FF89010077");
        life.turn("FF0903450101B0", "FF89010077");
        life.turn("FF0500FA", "FF8501007B");
        let mut forgetful = Life { receiver: life.receiver.clone(), now: life.now };
        life.turn("FF0A02008077", AMBER_SET);
        life.turn("FF040109F3", "FF8401007A");
        life.listens();

        forgetful.turn("FF0A02008077", AMBER_NEW);
        let error = forgetful.receiver.due(forgetful.now).unwrap_err();
        assert!(error.contains("does not keep"), "its memory wears with each writing: {error}");
    }

    /// A stick that still gives telegrams without packets: what looks like a beginning swallows the answer until the line
    /// is silent (stray bytes in front of answers: wmbusmeters #26, #933, #1049).
    #[test]
    fn an_answer_is_found_behind_what_was_none() {
        let mut life = Life::new(Source::Amber8465);
        life.written();
        life.receiver.feed(&from_hex(&format!("29FF8AFE{AMBER_SET}")).unwrap());
        assert_eq!(life.written(), "");
        life.receiver.silence();
        assert_eq!(life.written(), "FF040109F3");
    }

    #[test]
    fn a_telegram_before_that_is_not_read_by_guess() {
        let mut life = Life::new(Source::Amber8465);
        assert!(life.receiver.feed(&good(Source::Amber8465))[0].is_err());
        assert_eq!(life.receiver.counters().not_set_up, 1);
        let mut receiver = Receiver::new(Source::Im871a);
        assert!(receiver.feed(&good(Source::Im871a))[0].is_ok(), "an iM871A's say themselves what is attached");
    }

    #[test]
    fn who_does_not_answer_or_refuses_is_given_up() {
        for source in [Source::Im871a, Source::Amber8465] {
            let mut life = Life::new(source);
            let first = life.written();
            for second in 1..5 {
                life.now = Duration::from_secs(second);
                assert_eq!(life.written(), first, "{second} s");
            }
            life.now = Duration::from_millis(4_999);
            assert_eq!(life.written(), "");
            life.now = Duration::from_secs(5);
            assert!(life.receiver.due(life.now).unwrap_err().contains("did not answer"));
            assert!(!life.receiver.is_set_up());
        }
        let mut life = Life::new(Source::Im871a);
        life.turn("A5010100", PONG);
        life.turn("A5010F00", &imst(0x10, "3600150163011000"));
        assert!(life.receiver.due(life.now).unwrap_err().contains("no iM871A"), "an iM170A is for 169 MHz");
        let mut life = Life::new(Source::Amber8465);
        life.turn("FF0A02008077", AMBER_SET);
        life.turn("FF040109F3", "FF8401017B");
        assert!(life.receiver.due(life.now).unwrap_err().contains("refused the mode"));
        let mut life = Life::new(Source::Amber8465);
        life.written();
        life.receiver.feed(&from_hex("FF8A04000200008B").unwrap());
        life.now = Duration::from_secs(1);
        assert_eq!(
            life.receiver.due(life.now),
            Ok(Some(from_hex("FF0A02008077").unwrap())),
            "a wrong checksum is none"
        );
        life.receiver.feed(&from_hex("FF8A040002000073").unwrap());
        assert!(life.receiver.due(life.now).unwrap_err().contains("not an AMB8465's"));
    }

    #[test]
    fn a_damaged_answer_is_no_answer() {
        for bit in 0..PONG.len() * 4 {
            let mut life = Life::new(Source::Im871a);
            life.written();
            let mut bad = from_hex(PONG).unwrap();
            bad[bit / 8] ^= 1 << (bit % 8);
            life.receiver.feed(&bad);
            life.receiver.silence();
            life.now = Duration::from_secs(1);
            assert_eq!(life.written(), "A5010100", "bit {bit}");
        }
    }

    #[test]
    fn a_quiet_stick_is_set_up_again_and_one_that_speaks_is_left_alone() {
        let mut life = Life::new(Source::Im871a);
        life.turn("A5010100", PONG);
        let info = imst(0x10, "3300150163011000");
        life.turn("A5010F00", &info);
        life.turn("A501030600020A300100", CONFIGURED);
        life.listens();
        life.now = Duration::from_secs(QUIET - 1);
        assert_eq!(life.written(), "");
        assert!(life.receiver.feed(&good(Source::Im871a))[0].is_ok());
        for later in [QUIET, 2 * QUIET - 1] {
            life.now = Duration::from_secs(later);
            assert_eq!(life.written(), "", "heard at {} s, now {later} s", QUIET);
        }
        life.now = Duration::from_secs(2 * QUIET);
        assert_eq!(life.written(), "");
        life.turn("A5010F00", &info);
        assert!(life.receiver.is_set_up(), "what it hears meanwhile counts");
        life.turn("A501030600020A300100", CONFIGURED);
        assert_eq!(life.written(), "");
        life.now = Duration::from_secs(3 * QUIET);
        assert_eq!(life.written(), "");
        let mut left = 0;
        while life.receiver.due(life.now).is_ok() {
            life.now += Duration::from_millis(100);
            left += 1;
            assert!(left < 100, "a dead stick is given up within ten seconds");
        }
    }

    #[test]
    fn lines_are_not_asked() {
        let mut cul = Life::new(Source::Cul);
        assert_eq!(cul.receiver.due(cul.now), Ok(Some(b"brt\r\nX21\r\n".to_vec())));
        cul.listens();
        let mut rtl = Life::new(Source::RtlWmbus);
        rtl.listens();
        for life in [&mut cul, &mut rtl] {
            life.now = Duration::from_secs(3_600);
            assert_eq!(life.written(), "");
        }
    }
}

#[test]
fn the_receiver_counts_what_it_refused_and_hears_what_is_good() {
    let mut receiver = Receiver::new(Source::RtlWmbus);
    let noise = format!("rtl_sdr starting\n{}{RTL}", RTL.replace("T1;1;1", "T1;0;0"));
    let outcomes = receiver.feed(noise.as_bytes());
    let heard: Vec<_> = outcomes.into_iter().flatten().collect();
    assert_eq!((heard.len(), heard[0].device.as_str()), (1, "wm-tch-60168569-76-f0"));
    let report = receiver.understand(&heard[0], None, None).unwrap().report.unwrap();
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
            Just(vec![0xFF; 5]),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn portions_change_nothing(
            (which, bytes) in (0usize..4).prop_flat_map(|which| (Just(which), stream(SOURCES[which]))),
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
        fn after_any_noise_and_silence_a_packet_is_heard(
            which in 2usize..4, noise in proptest::collection::vec(any::<u8>(), 0..2000),
        ) {
            let source = SOURCES[which];
            let mut framer = Framer::new(source);
            let fed = framer.feed(&noise).len() + framer.silence().len();
            prop_assert!(fed <= noise.len());
            prop_assert_eq!(framer.held(), 0);
            prop_assert!(framer.feed(&good(source))[0].is_ok());
        }

        #[test]
        fn a_receiver_never_panics(which in 0usize..4, noise in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut receiver = Receiver::new(SOURCES[which]);
            let _ = receiver.due(std::time::Duration::from_secs(1));
            for heard in receiver.feed(&noise).into_iter().flatten().collect::<Vec<_>>() {
                let _ = receiver.understand(&heard, None, None);
                let _ = receiver.understand(&heard, Some(&[1; 16]), None);
            }
        }
    }
}
