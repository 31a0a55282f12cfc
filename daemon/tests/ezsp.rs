//! EZSP: captured frames of real sticks in both layouts, what the host says, and any bytes at all.

#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;
use vaktd::zigbee::ash_frame::Frame;
use vaktd::zigbee::bytes::Reader;
use vaktd::zigbee::ezsp::Command;
use vaktd::zigbee::ezsp_answer::Answer;
use vaktd::zigbee::ezsp_answer::Callback;
use vaktd::zigbee::ezsp_answer::Header;
use vaktd::zigbee::ezsp_json::decode;
use vaktd::zigbee::ezsp_json::decode_line;
use vaktd::zigbee::ezsp_link::Down;
use vaktd::zigbee::ezsp_link::EzspLink;
use vaktd::zigbee::ezsp_link::Failed;
use vaktd::zigbee::ezsp_link::Said;
use vaktd::zigbee::ezsp_link::WAITING_MAX;
use vaktd::zigbee::ezsp_status::Layout;
use vaktd::zigbee::ezsp_status::Status;
use vaktd::zigbee::host::Host;
use vaktd::zigbee::host::Out;
use vaktd::zigbee::memory::Memory;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn captured_frames_say_what_they_said_then() {
    let v13 = |frame: &str| decode(13, frame).unwrap();
    assert_eq!(v13("c20251a8bd7e")["ash"]["reason"], json!("too many acks missing, code 0x51"));
    let version = v13("0142a1a8592805c6a8777e");
    assert_eq!(version["ezsp"]["answer"], json!({"protocol": 13, "stack": "0x7410"}));
    let policy = v13("700d21a9012a15b0f5667e");
    assert_eq!((&policy["ezsp"]["name"], &policy["ezsp"]["parameters"]), (&json!("setPolicy"), &json!("0002")));
    let policy = decode(14, "100da1a9012a15b259944fb87e").unwrap();
    assert_eq!(policy["ezsp"]["answer"], json!({"status": "ok"}));
    let sent = decode(14, "0065a1a9602a15b25994d0954c7e").unwrap();
    assert_eq!(sent["ezsp"]["answer"], json!({"status": "ok", "aps": 0x9A}));
    let sent = decode(14, "1065b1a96b2a15b259944afb6351934f9c4f26ebfcce677d31fec66357897e").unwrap();
    assert_eq!(sent["ezsp"]["sent"]["status"], json!("ok"));
}

/// The layouts of EmberZNet's own dispatchers: the result is two bytes, the end has a status of the version's width, and
/// the answer a word in both. The last but one is a test's frame of another host (zsmartsystems, with a longer header).
#[test]
fn r27_a_scan_is_read_in_both_layouts() {
    let said = |version, frame: &str| decode(version, &frame.replace(' ', "")).unwrap()["ezsp"].clone();
    for version in [13, 18] {
        let result = said(version, "0190014800 0FD8");
        assert_eq!(
            (&result["name"], &result["energy"]),
            (&json!("energyScanResultHandler"), &json!({"channel": 15, "rssi_dbm": -40}))
        );
        assert_eq!(said(version, "0180011A00 00000000")["answer"], json!({"status": "ok"}));
        assert_ne!(said(version, "0180011A00 4D000000")["answer"], json!({"status": "ok"}), "it is scanning");
        assert!(!decode_line(version, "01900148000F").1, "a result without its level");
    }
    assert_eq!(said(13, "0180011A00 00")["answer"], json!({"status": "ok"}), "a byte, as older hosts read it");
    assert_eq!(said(13, "4E90011C00 FF00")["status"], json!("ok"));
    assert_eq!(said(18, "4E90011C00 FF00000000")["status"], json!("ok"));
    assert!(!decode_line(18, "4E90011C00FF00").1, "the older end in the newer layout");
    // 0x3D: EMBER_MAC_SCANNING; 0x8D and 0x4C: each CCA attempt found the channel busy.
    assert_eq!(said(13, "4E90011C00 0F3D")["status"], json!("status 0x003d"));
    assert_eq!(Status::new(Layout::Old, 0x8D), Status::AirBusy);
    assert_eq!(Status::new(Layout::New, 0x4C), Status::AirBusy);
    let scan = Command::EnergyScan { channel: 15, duration: 0 };
    for layout in [Layout::Old, Layout::New] {
        assert_eq!(hex(&scan.encode(layout, 7, false)), "0700011a00000080000000");
    }
}

#[test]
fn a_detectors_word_is_read_in_both_layouts_and_in_no_other() {
    let v13 = "0142b1a97d312a15b658944f24ab5593499c3eef65eb6a9874f4cf1f89dd7d5e3fa7ebcd0ee47e";
    let v14 = "0142b1a97d312a15b658944f24ab5593499c3e210fedce678bfdc663890381f769ebcdde6f86f6bbdbf4d2698c4623a9c1d47e";
    for (version, frame) in [(13, v13), (14, v14), (18, v14)] {
        let decoded = decode(version, frame).unwrap();
        let message = &decoded["ezsp"]["message"];
        assert_eq!(
            (&message["nwk"], &message["lqi"], &message["rssi_dbm"]),
            (&json!("0xa406"), &json!(200), &json!(-50))
        );
        assert_eq!(message["payload"], json!("097C0021000000 0000".replace(' ', "")));
        assert_eq!(decoded["report"]["state"], json!("alarm"));
    }
    // T10: a frame read in the wrong layout must not turn into an empty message of nobody.
    for (version, frame) in [(18, v13), (13, v14)] {
        let wrong = decode(version, frame);
        let silent = |decoded: &Value| decoded["report"].is_null() || decoded["report"]["state"] == json!(null);
        assert!(wrong.as_ref().map_or(true, silent), "{wrong:?}");
    }
}

#[test]
fn a_frame_that_is_cut_or_bent_is_refused_with_its_reason() {
    for (frame, kind) in [
        ("b658904124ab5593499cdd93623cd29874f5de5083f97b1e66efc9af417e", "bad_crc"),
        ("7e", "too_short"),
        ("", "too_short"),
        ("0x00", "bad_hex"),
        ("00", "too_short"),
        ("000002000000", "not_supported"),
    ] {
        let (line, good) = decode_line(13, frame);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((good, &line["error"]["kind"]), (false, &json!(kind)), "{frame}: {line}");
    }
}

#[test]
fn no_key_is_ever_printed() {
    let key = [0x5A; 16];
    let command = Command::SetInitialSecurity {
        bits: 0,
        link_key: vaktd::zigbee::ezsp::Key(key),
        network_key: vaktd::zigbee::ezsp::Key(key),
    };
    let asked = decode(13, &hex(&command.encode(Layout::Old, 1, false))).unwrap().to_string();
    let mut told = vec![1, 0x80, 1, 0x14, 0x01];
    told.extend(key);
    told.extend([0; 4]);
    let told = decode(13, &hex(&told)).unwrap().to_string();
    for text in [asked, told, format!("{command:?}")] {
        assert!(!text.to_lowercase().contains("5a5a"), "{text}");
    }
}

#[test]
fn a_number_means_one_thing_in_its_layout() {
    assert_eq!(Status::new(Layout::Old, 0x90), Status::NetworkUp);
    assert_eq!(Status::new(Layout::New, 0x90), Status::Other(0x90));
    assert_eq!(Status::new(Layout::New, 0x0C02), Status::DeliveryFailed);
    assert_eq!(Status::new(Layout::Old, 0x66), Status::DeliveryFailed);
    for number in 1..=0xFFFF {
        assert!([Layout::Old, Layout::New].into_iter().all(|layout| Status::new(layout, number) != Status::Ok));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), id in any::<u16>()) {
        for layout in [Layout::Old, Layout::New] {
            for first in [true, false] {
                let _ = Header::parse(&mut Reader::new(&bytes).unwrap(), first);
            }
            let _ = Answer::parse(id, layout, &mut Reader::new(&bytes).unwrap());
            let _ = Callback::parse(id, layout, &mut Reader::new(&bytes).unwrap());
            let _ = Callback::parse(0x0045, layout, &mut Reader::new(&bytes).unwrap());
        }
        for version in [13, 18] {
            let _ = decode(version, &hex(&bytes));
        }
    }

    #[test]
    fn a_host_that_hears_anything_says_nothing_of_detectors(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let mut host = Host::new(Memory::default(), [7; 64]);
        host.connect(0);
        let mut now_ms = 0;
        for chunk in bytes.chunks(64) {
            host.feed(chunk, now_ms);
            now_ms += 100;
            host.tick(now_ms);
            while let Some(out) = host.take() {
                prop_assert!(!matches!(out, Out::Report(..) | Out::Joined(_)), "{:?}", out);
            }
        }
    }
}

/// A link whose stick has just been reset, and what a stick of this version says to it.
fn ready(version: u8) -> EzspLink {
    let mut link = EzspLink::default();
    link.connect(0);
    link.take_output();
    link.feed(&Frame::RstAck { version: 2, code: 0x0B }.encode(), 0);
    link.take_output();
    stick_says(&mut link, 0, 0, &[0, 0x80, 0, version, 2, 0x10, 0x74]);
    stick_says(&mut link, 1, 0, &[1, 0x80, 1, 0, 0, version, 2, 0x10, 0x74]);
    link.take_output();
    link
}

fn stick_says(link: &mut EzspLink, number: u8, now_ms: u64, data: &[u8]) {
    let frame = Frame::Data { number, again: false, ack: (number + 1) % 8, data: data.to_vec() };
    link.feed(&frame.encode(), now_ms);
}

fn said(link: &mut EzspLink) -> Vec<Said> {
    std::iter::from_fn(|| link.take_said()).collect()
}

#[test]
fn t8_a_stick_that_forgot_the_version_fails_the_command_and_ends_the_link() {
    let mut link = ready(13);
    assert_eq!(said(&mut link), [Said::Ready { version: 13, stack: 0x7410 }]);
    assert!(link.ask(7, Command::GetEui64, 0));
    assert!(link.ask(8, Command::ReadAndClearCounters, 0));
    stick_says(&mut link, 2, 0, &[2, 0x80, 1, 0x58, 0, 0x30]);
    assert_eq!(said(&mut link), [Said::Answer(8, Err(Failed::Down)), Said::Down(Down::Forgot)]);
}

#[test]
fn t9_other_versions_are_refused_in_clear_words() {
    for (version, words) in [(8, "flash EmberZNet 7.4"), (12, "flash EmberZNet 7.4"), (20, "update vaktd")] {
        let mut link = ready(version);
        let all = said(&mut link);
        let [Said::Down(why)] = all.as_slice() else { panic!("{version}: {all:?}") };
        assert!(why.to_string().contains(words), "{why}");
    }
}

#[test]
fn a_command_that_is_never_answered_ends_the_link_and_an_answer_to_nothing_is_counted() {
    let mut link = ready(18);
    said(&mut link);
    assert!(link.ask(1, Command::GetEui64, 0));
    stick_says(&mut link, 2, 0, &[9, 0x80, 1, 0x26, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!((said(&mut link), link.counters().1.stray), (vec![], 1));
    // The frame was acked, the command never answered.
    while let Some(due_ms) = link.due_ms() {
        link.tick(due_ms);
    }
    let all = said(&mut link);
    let unanswered = Said::Down(Down::Unanswered(0x0026));
    assert_eq!(all, [Said::Answer(1, Err(Failed::Down)), unanswered]);
    assert!(!link.ask(2, Command::ReadAndClearCounters, 0), "a link that is down takes nothing");
}

#[test]
fn what_waits_for_a_stick_is_bounded() {
    let mut link = ready(13);
    let taken = (0..1_000).filter(|ticket| link.ask(*ticket, Command::ReadAndClearCounters, 0)).count();
    assert_eq!(taken, WAITING_MAX + 1, "one under way, the rest waiting");
}
