//! The link to a Zigbee stick, against the frames of real sticks and against everything a line can do to them.
//!
//! T1 to T8 are the faults that the published host libraries were probed with and failed.

#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use vaktd::zigbee::ash::Ash;
use vaktd::zigbee::ash::NotTaken;
use vaktd::zigbee::ash::QUEUE_MAX;
use vaktd::zigbee::ash::Told;
use vaktd::zigbee::ash::WINDOW;
use vaktd::zigbee::ash::Why;
use vaktd::zigbee::ash_frame::BadFrame;
use vaktd::zigbee::ash_frame::Deframer;
use vaktd::zigbee::ash_frame::Frame;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut deframer = Deframer::default();
    bytes.iter().filter_map(|byte| deframer.push(*byte)).map(Result::unwrap).collect()
}

fn data(number: u8, again: bool, ack: u8, text: &[u8]) -> Frame {
    Frame::Data { number, again, ack, data: text.to_vec() }
}

fn ack(ack: u8) -> Frame {
    Frame::Ack { ack, not_ready: false }
}

/// A host and what the stick's side of the line hears of it.
struct Line {
    host: Ash,
    now_ms: u64,
}

impl Line {
    /// A host that has just reset its stick.
    fn up() -> Self {
        let mut line = Self { host: Ash::default(), now_ms: 1_000 };
        line.host.connect(line.now_ms);
        assert_eq!(line.hears(), [Frame::Rst]);
        line.says(&Frame::RstAck { version: 2, code: 0x0B });
        assert_eq!(line.told(), [Told::Up]);
        line
    }

    fn says(&mut self, frame: &Frame) {
        self.host.feed(&frame.encode(), self.now_ms);
    }

    fn hears(&mut self) -> Vec<Frame> {
        frames(&self.host.take_output())
    }

    fn told(&mut self) -> Vec<Told> {
        std::iter::from_fn(|| self.host.take_told()).collect()
    }

    fn send(&mut self, text: &[u8]) {
        self.host.send(text.to_vec(), self.now_ms).unwrap();
    }

    /// Lets time pass to the next thing due; false when nothing is.
    fn wait(&mut self) -> bool {
        let Some(due_ms) = self.host.due_ms() else { return false };
        self.now_ms = due_ms.max(self.now_ms);
        self.host.tick(self.now_ms);
        true
    }
}

#[test]
fn frames_of_real_sticks_are_understood_and_built_to_the_byte() {
    let known = [
        ("c20251a8bd7e", Frame::Error { version: 2, code: 0x51 }),
        ("c1020b0a527e", Frame::RstAck { version: 2, code: 0x0B }),
        ("c038bc7e", Frame::Rst),
        ("8070787e", ack(0)),
        ("8160597e", ack(1)),
        ("8520dd7e", ack(5)),
        ("8610be7e", ack(6)),
        ("87009f7e", ack(7)),
        ("004221a8597c057e", data(0, false, 0, &[0, 0, 0, 13])),
        ("0142a1a8592805c6a8777e", data(0, false, 1, &[0, 0x80, 0, 13, 2, 0x10, 0x74])),
        ("668c21a9512aaf437e", data(6, false, 6, &[0xCE, 0x00, 0x01, 0x05, 0x00])),
        ("678ca1a9512a37db7e", data(6, false, 7, &[0xCE, 0x80, 0x01, 0x05, 0x00])),
    ];
    for (hex, frame) in known {
        assert_eq!(frames(&bytes(hex)), std::slice::from_ref(&frame), "{hex}");
        assert_eq!(frame.encode(), bytes(hex), "{frame:?}");
    }
}

#[test]
fn every_captured_frame_is_whole_and_comes_back_to_the_same_bytes() {
    let captured = [
        "700d21a9012a15b0f5667e",
        "100da1a9012a15b259944fb87e",
        "706521a9602a156c90904b23aa5493098d4e27abeece648af9c677b97e",
        "0065a1a9602a15b25994d0954c7e",
        "1065b1a96b2a15b259944afb6351934f9c4f26ebfcce677d31fec66357897e",
        "2065b1a97d312a15b658924a24ab5593499c3ef962edce678bfdc6638903813ca7edcdde6f8ae7c3d0d5d26b68937e",
        "0eafb1a96b2a7d334fa674eb04aaa760499d4e27cdd9ce6192f2c46989fcfb817e",
        "449921a92a2a29a957a2e41d6bf19304477e",
        "4599a1a92a2a7a3d7e",
        "5599b1a96b2a1586cb904b23aa5493499d4e276f63ce67cbee7e",
        "0774b1a97d312a15b259964a25aa1593499c15d8abedce9874fec4638999c57e",
        "06a6b1a90d2a26f5bab99bdb5579f87563ab26dee553607e",
        "575621a9fe2a1627057e",
        "7656a1a9fe2a15b3a5dfb37e",
    ];
    for hex in captured {
        let read = frames(&bytes(hex));
        assert!(matches!(read.as_slice(), [Frame::Data { .. }]), "{hex}: {read:?}");
        assert_eq!(read[0].encode(), bytes(hex));
    }
    let again = frames(&bytes("0eafb1a96b2a7d334fa674eb04aaa760499d4e27cdd9ce6192f2c46989fcfb817e"));
    assert!(matches!(again.as_slice(), [Frame::Data { again: true, .. }]), "{again:?}");
}

#[test]
fn a_captured_frame_with_a_bad_crc_is_refused() {
    let mut deframer = Deframer::default();
    let hex = "b658904124ab5593499cdd93623cd29874f5de5083f97b1e66efc9af417e";
    let read: Vec<_> = bytes(hex).into_iter().filter_map(|byte| deframer.push(byte)).collect();
    assert!(matches!(read.as_slice(), [Err(BadFrame::Crc { .. })]), "{read:?}");
}

#[test]
fn no_flipped_bit_and_no_cut_is_ever_taken() {
    let whole = bytes("0774b1a97d312a15b259964a25aa1593499c15d8abedce9874fec4638999c57e");
    let right = frames(&whole);
    for bit in 0..(whole.len() - 1) * 8 {
        let mut bent = whole.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        let mut deframer = Deframer::default();
        let read = bent.iter().filter_map(|byte| deframer.push(*byte));
        read.flatten().for_each(|frame| assert!(right.contains(&frame), "bit {bit}: {frame:?}"));
    }
    for cut in 1..whole.len() - 1 {
        let mut deframer = Deframer::default();
        let read: Vec<_> = whole[cut..].iter().filter_map(|byte| deframer.push(*byte)).flatten().collect();
        assert_eq!(read, [], "cut at {cut}");
    }
}

#[test]
fn noise_without_a_flag_costs_neither_memory_nor_the_frame_behind_it() {
    let mut deframer = Deframer::default();
    assert!((0..1_000_000u32).all(|at| deframer.push((at % 16) as u8).is_none()));
    assert_eq!(deframer.push(0x7E), Some(Err(BadFrame::Long)));
    let mut read = ack(3).encode().into_iter().filter_map(|byte| deframer.push(byte));
    assert_eq!(read.next(), Some(Ok(ack(3))));
    // A byte lost in the UART voids its frame, cancel voids what came before.
    let mut line = ack(1).encode();
    line.insert(1, 0x18);
    line.extend([0x55, 0x66, 0x1A]);
    line.extend(ack(2).encode());
    let read: Vec<_> = line.into_iter().filter_map(|byte| deframer.push(byte)).collect();
    assert_eq!(read, [Err(BadFrame::Lost), Ok(ack(2))]);
}

#[test]
fn t1_a_lost_frame_is_sent_again_and_a_stick_that_takes_nothing_is_found() {
    let mut line = Line::up();
    line.send(b"one");
    assert_eq!(line.hears(), [data(0, false, 0, b"one")]);
    let mut waits = Vec::new();
    let down = loop {
        let before = line.now_ms;
        assert!(line.wait(), "something must be due while a frame is not acked");
        waits.push(line.now_ms - before);
        let told = line.told();
        if !told.is_empty() {
            break told;
        }
        assert_eq!(line.hears(), [data(0, true, 0, b"one")]);
    };
    assert_eq!(down, [Told::Down(Why::Silent)]);
    assert_eq!(waits, [1_600, 3_200, 3_200, 3_200, 3_200]);
    assert_eq!(line.host.send(b"two".to_vec(), line.now_ms), Err(NotTaken::Down));
    assert_eq!(line.host.due_ms(), None, "a link that is down wants nothing");
}

#[test]
fn the_wait_for_an_ack_follows_the_line() {
    let mut line = Line::up();
    for _ in 0..20 {
        line.send(b"ask");
        line.now_ms += 50;
        let number = line.host.counters().received; // nothing arrived: only the host's numbers move
        assert_eq!(number, 0);
        let Some(Frame::Data { number, .. }) = line.hears().pop() else { panic!("no frame") };
        line.says(&ack((number + 1) % 8));
    }
    line.send(b"ask");
    let begun = line.now_ms;
    line.wait();
    assert_eq!(line.now_ms - begun, 400, "a quick line is not waited for longer than the shortest time");
}

#[test]
fn t2_a_repeated_frame_is_acked_and_thrown_away() {
    let mut line = Line::up();
    line.says(&data(0, false, 0, b"alarm"));
    line.says(&data(0, true, 0, b"alarm"));
    assert_eq!(line.told(), [Told::Frame(b"alarm".to_vec())]);
    assert_eq!(line.hears(), [ack(1), ack(1)]);
    assert_eq!(line.host.counters().repeated, 1);
}

#[test]
fn t3_a_stick_that_resets_itself_is_told_and_a_new_link_counts_from_zero() {
    let mut line = Line::up();
    line.says(&data(0, false, 0, b"before"));
    line.send(b"lost");
    line.says(&Frame::RstAck { version: 2, code: 0x03 });
    assert_eq!(line.told(), [Told::Frame(b"before".to_vec()), Told::Down(Why::Reset(0x03))]);
    assert!(Why::Reset(0x03).to_string().contains("watchdog"));
    line.says(&data(0, false, 0, b"too early"));
    assert_eq!(line.told(), []);
    line.hears();
    line.host.connect(line.now_ms);
    line.says(&Frame::RstAck { version: 2, code: 0x02 });
    assert_eq!(line.told(), [], "that was the power, not our reset");
    line.says(&Frame::RstAck { version: 2, code: 0x0B });
    line.send(b"after");
    line.says(&data(0, false, 1, b"first"));
    assert_eq!(line.told(), [Told::Up, Told::Frame(b"first".to_vec())]);
    assert_eq!(line.hears(), [Frame::Rst, data(0, false, 0, b"after"), ack(1)]);
}

#[test]
fn an_error_frame_ends_the_link_with_its_reason() {
    let mut line = Line::up();
    line.says(&Frame::Error { version: 2, code: 0x51 });
    assert_eq!(line.told(), [Told::Down(Why::Error(0x51))]);
    assert_eq!(Why::Error(0x51).to_string(), "the stick gave up (too many acks missing, code 0x51)");
}

#[test]
fn t5_a_stick_that_never_answers_a_reset_is_given_up() {
    let mut host = Ash::default();
    host.connect(0);
    let mut now_ms = 0;
    let mut resets = 0;
    while let Some(due_ms) = host.due_ms() {
        resets += frames(&host.take_output()).len();
        assert!(due_ms > now_ms, "no spinning");
        now_ms = due_ms;
        host.tick(now_ms);
    }
    assert_eq!((resets, now_ms), (3, 9_000));
    assert_eq!(host.take_told(), Some(Told::Down(Why::NoReset)));
    host.connect(now_ms);
    host.feed(&Frame::RstAck { version: 3, code: 0x0B }.encode(), now_ms);
    assert_eq!(host.take_told(), Some(Told::Down(Why::Version(3))));
}

#[test]
fn t6_one_ack_frees_all_it_covers_and_the_window_is_kept() {
    let mut line = Line::up();
    for text in [b"aaa", b"bbb", b"ccc", b"ddd", b"eee"] {
        line.send(text);
    }
    let window = [data(0, false, 0, b"aaa"), data(1, false, 0, b"bbb"), data(2, false, 0, b"ccc")];
    assert_eq!(line.hears(), window[..WINDOW]);
    line.says(&ack(3));
    assert_eq!(line.hears(), [data(3, false, 0, b"ddd"), data(4, false, 0, b"eee")]);
    line.says(&ack(5));
    assert_eq!(line.host.due_ms(), None, "nothing is waited for");
    line.says(&ack(1));
    assert_eq!(line.host.counters().damaged, 1, "an ack for what was never sent counts for nothing");
}

#[test]
fn what_waits_for_the_window_is_bounded_and_what_does_not_fit_is_refused() {
    let mut line = Line::up();
    for _ in 0..WINDOW + QUEUE_MAX {
        line.send(b"ask");
    }
    assert_eq!(line.host.send(b"ask".to_vec(), line.now_ms), Err(NotTaken::Full));
    assert_eq!(line.host.send(vec![0; 221], line.now_ms), Err(NotTaken::Length(221)));
    assert_eq!(line.host.send(vec![0; 2], line.now_ms), Err(NotTaken::Length(2)));
}

#[test]
fn t7_only_what_arrived_in_order_is_acked() {
    let mut line = Line::up();
    for text in [b"aaa", b"bbb"] {
        line.send(text);
    }
    assert_eq!(line.hears(), [data(0, false, 0, b"aaa"), data(1, false, 0, b"bbb")], "sending acks nothing");
    line.says(&data(1, false, 2, b"second"));
    assert_eq!(line.hears(), [Frame::Nak { ack: 0 }], "the first one is missing");
    line.says(&data(2, false, 2, b"third"));
    assert_eq!(line.hears(), [], "asking once is enough");
    line.send(b"ccc");
    assert_eq!(line.hears(), [data(2, false, 0, b"ccc")], "and nothing is acked by the way");
    for (number, text) in [(0, b"first"), (1, b"secnd"), (2, b"third")] {
        line.says(&data(number, true, 3, text));
    }
    assert_eq!(line.hears(), [ack(1), ack(2), ack(3)]);
    assert_eq!(line.told().len(), 3);
}

#[test]
fn a_nak_has_everything_after_it_sent_again() {
    let mut line = Line::up();
    for text in [b"aaa", b"bbb", b"ccc"] {
        line.send(text);
    }
    line.hears();
    line.says(&Frame::Nak { ack: 1 });
    assert_eq!(line.hears(), [data(1, true, 0, b"bbb"), data(2, true, 0, b"ccc")]);
}

#[test]
fn a_damaged_frame_is_asked_for_again() {
    let mut line = Line::up();
    let mut bent = data(0, false, 0, b"alarm").encode();
    bent[2] ^= 0x40;
    line.host.feed(&bent, line.now_ms);
    assert_eq!(line.hears(), [Frame::Nak { ack: 0 }]);
    line.says(&data(0, true, 0, b"alarm"));
    assert_eq!(line.told(), [Told::Frame(b"alarm".to_vec())]);
}

#[test]
fn the_numbers_go_round() {
    let mut line = Line::up();
    for turn in 0..40u8 {
        line.send(&[turn; 3]);
        assert_eq!(line.hears(), [data(turn % 8, false, turn % 8, &[turn; 3])]);
        line.says(&data(turn % 8, false, (turn + 1) % 8, &[turn; 4]));
        assert_eq!(line.told(), [Told::Frame(vec![turn; 4])]);
        assert_eq!(line.hears(), [ack((turn + 1) % 8)]);
    }
}
