//! Sleepers and the hub (07-5123, 3.16 Poll Control and 3.18 Keep-Alive): how often a device must check in, how long it is
//! kept awake when it does, and what a device gets that asks how often it shall look for its trust centre.
//!
//! It never keeps a device awake for nothing: each half second awake is a radio message of its battery. Whether somebody
//! checked in, and the bytes of the answer, are `power`'s.

use crate::zigbee::ezsp::APS_ENCRYPTED;
use crate::zigbee::ezsp::APS_RELIABLE;
use crate::zigbee::zcl::Direction;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Scope;
use crate::zigbee::zcl::Status;
use crate::zigbee::zcl_global::Attribute;
use crate::zigbee::zcl_global::Global;
use crate::zigbee::zcl_value::DataType;
use crate::zigbee::zcl_value::Value;
use vakt_core::device::DeviceKind;

/// Poll Control's first attribute, in quarters of a second.
const CHECK_IN_INTERVAL: u16 = 0x0000;
const QUARTERS_A_MINUTE: u32 = 4 * 60;
/// Who watches for people checks in so often, min (requirements, "missing detector").
const OFTEN_MIN: u32 = 9;
/// And everybody else.
const SELDOM_MIN: u32 = 30;
/// A device asks for what waits every half second while it polls fast (ShortPollInterval's default): one message each.
const PER_MESSAGE_QUARTER_S: u16 = 2;
/// For the way there and the answers, quarters of a second: 3 s.
const MARGIN_QUARTER_S: u16 = 12;
/// Longest, quarters of a second: what a device takes without having been told otherwise (FastPollTimeout's default, 10 s).
/// Messages beyond it wait for the next check-in.
const AWAKE_MAX_QUARTER_S: u16 = 40;

/// How often a device with these functions checks in, in quarters of a second; a function whose kind nobody knows may
/// watch for people, so it counts as one that does.
pub fn check_in_quarter_s(kinds: impl IntoIterator<Item = Option<DeviceKind>>) -> u32 {
    let mut kinds = kinds.into_iter().peekable();
    let often = kinds.peek().is_none() || kinds.any(|kind| kind.is_none_or(watches_for_people));
    QUARTERS_A_MINUTE * if often { OFTEN_MIN } else { SELDOM_MIN }
}

/// As the core has it: contacts, motion, glass and shock. All of these are missed after two hours, the others after a day.
fn watches_for_people(kind: DeviceKind) -> bool {
    match kind {
        DeviceKind::Contact | DeviceKind::Motion | DeviceKind::GlassBreak | DeviceKind::Vibration | DeviceKind::Hub => {
            true
        }
        DeviceKind::Smoke
        | DeviceKind::Heat
        | DeviceKind::Co
        | DeviceKind::Gas
        | DeviceKind::Water
        | DeviceKind::Sos
        | DeviceKind::Keypad
        | DeviceKind::Siren
        | DeviceKind::Lock
        | DeviceKind::Climate
        | DeviceKind::Meter
        | DeviceKind::Medical
        | DeviceKind::Freeze
        | DeviceKind::KeyBox
        | DeviceKind::Camera
        | DeviceKind::Fog
        | DeviceKind::HoldUp => false,
    }
}

/// The write that sets it.
pub fn set_check_in(tsn: u8, quarter_s: u32) -> Vec<u8> {
    let value = Value::fixed(DataType::UINT32, quarter_s.into()).expect("four bytes are a uint32");
    Global::Write(vec![Attribute { id: CHECK_IN_INTERVAL, value }]).request(tsn)
}

/// How long a device that checks in is kept awake, in quarters of a second, while so many messages wait for it; `None`: it
/// may sleep. For `power::check_in_response`.
pub fn awake_quarter_s(messages: usize) -> Option<u16> {
    let messages = u16::try_from(messages).unwrap_or(u16::MAX);
    let needed = messages.saturating_mul(PER_MESSAGE_QUARTER_S).saturating_add(MARGIN_QUARTER_S);
    (messages > 0).then_some(needed.min(AWAKE_MAX_QUARTER_S))
}

/// Keep-Alive: the hub serves it, devices ask.
pub const KEEP_ALIVE: u16 = 0x0025;
/// A device looks for its trust centre so often, min (the standard's default).
const BASE_MIN: u64 = 10;
/// And up to so much later, s, so that not all ask at once (likewise).
const JITTER_S: u64 = 300;
/// Attributes that are answered of one question; nobody has more than two to ask for, and who asks for more loses the rest.
const ANSWERED_MAX: usize = 8;

/// An answer, and how it must travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The whole ZCL message.
    pub bytes: Vec<u8>,
    /// APS options. Encrypted on the device's own key: that is what proves to it that its trust centre lives; anybody with
    /// the network's key could say the rest (zigpy, clusters/general.py, says that it must be).
    pub options: u16,
}

/// The answer to a question on Keep-Alive; `None` where this is none.
pub fn answer(cluster: u16, header: &Header, asked: &Global) -> Option<Reply> {
    let Global::Read(ids) = asked else { return None };
    let ours = (header.scope, header.direction, header.manufacturer) == (Scope::Global, Direction::ToServer, None);
    if cluster != KEEP_ALIVE || !ours {
        return None;
    }
    let value = |id: u16| match id {
        0x0000 => Value::fixed(DataType::UINT8, BASE_MIN),
        0x0001 => Value::fixed(DataType::UINT16, JITTER_S),
        _ => None,
    };
    let told = ids.iter().take(ANSWERED_MAX).map(|id| (*id, value(*id).ok_or(Status::UNSUPPORTED_ATTRIBUTE)));
    let response = Global::ReadResponse(told.collect());
    let header =
        Header { direction: Direction::ToClient, no_default_response: true, command: response.command(), ..*header };
    Some(Reply { bytes: header.message(&response.payload()), options: APS_RELIABLE | APS_ENCRYPTED })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zigbee::bytes::Reader;
    use crate::zigbee::ezsp::MESSAGE_MAX;
    use crate::zigbee::power;
    use crate::zigbee::power::cluster::POLL_CONTROL;

    fn read(bytes: &[u8]) -> (Header, Global) {
        let mut reader = Reader::new(bytes).unwrap();
        let header = Header::parse(&mut reader).unwrap();
        (header, Global::parse(header.command, &mut reader).unwrap())
    }

    #[test]
    fn who_watches_for_people_checks_in_within_nine_minutes_and_the_others_within_thirty() {
        for kind in [DeviceKind::Contact, DeviceKind::Motion, DeviceKind::GlassBreak, DeviceKind::Vibration] {
            assert_eq!(check_in_quarter_s([Some(kind)]), 2_160, "{kind:?}: 9 min");
        }
        for kind in [DeviceKind::Smoke, DeviceKind::Water, DeviceKind::Keypad, DeviceKind::Siren, DeviceKind::Lock] {
            assert_eq!(check_in_quarter_s([Some(kind)]), 7_200, "{kind:?}: 30 min");
        }
        // One that does both, and those nobody knows anything of.
        assert_eq!(check_in_quarter_s([Some(DeviceKind::Climate), Some(DeviceKind::Contact)]), 2_160);
        assert_eq!(check_in_quarter_s([Some(DeviceKind::Smoke), None]), 2_160);
        assert_eq!(check_in_quarter_s([]), 2_160);
    }

    #[test]
    fn the_write_is_a_uint32_of_quarter_seconds() {
        // 10 T 02, attribute 0000, type 23, 1C20 = 7200.
        assert_eq!(set_check_in(0x42, 7_200), [0x10, 0x42, 0x02, 0, 0, 0x23, 0x20, 0x1C, 0, 0]);
    }

    #[test]
    fn a_device_is_kept_awake_only_while_something_waits_for_it() {
        // A real check-in, zigbee2mqtt #14853: 09 3A 00.
        let mut reader = Reader::new(&[0x09, 0x3A, 0x00]).unwrap();
        let check_in = Header::parse(&mut reader).unwrap();
        assert!(power::is_check_in(POLL_CONTROL, &check_in));
        let nothing = power::check_in_response(&check_in, awake_quarter_s(0));
        assert_eq!(nothing, [0x01, 0x3A, 0x00, 0, 0, 0], "go to sleep");
        let two = power::check_in_response(&check_in, awake_quarter_s(2));
        assert_eq!(two, [0x01, 0x3A, 0x00, 1, 16, 0], "4 s for two messages");
        assert_eq!(
            (awake_quarter_s(14), awake_quarter_s(15), awake_quarter_s(usize::MAX)),
            (Some(40), Some(40), Some(40))
        );
    }

    #[test]
    fn who_asks_for_its_trust_centre_is_answered_on_its_own_key() {
        let (header, asked) = read(&[0x00, 0x55, 0x00, 0, 0, 1, 0]);
        let reply = answer(0x0025, &header, &asked).unwrap();
        // 18 T 01; 0000 ok uint8 10; 0001 ok uint16 300.
        let right = [0x18, 0x55, 0x01, 0, 0, 0, 0x20, 10, 1, 0, 0, 0x21, 0x2C, 0x01];
        assert_eq!(reply.bytes, right);
        // EMBER_APS_OPTION_ENCRYPTION, retry, route and address discovery.
        assert_eq!(reply.options, 0x1160);
    }

    #[test]
    fn other_attributes_are_unknown_and_other_messages_no_question() {
        let (header, asked) = read(&[0x00, 0x55, 0x00, 2, 0]);
        assert_eq!(answer(0x0025, &header, &asked).unwrap().bytes, [0x18, 0x55, 0x01, 2, 0, 0x86]);
        assert_eq!(answer(0x0000, &header, &asked), None);
        let own = Header { manufacturer: Some(0x1234), ..header };
        assert_eq!(answer(0x0025, &own, &asked), None);
        let back = Header { direction: Direction::ToClient, ..header };
        assert_eq!(answer(0x0025, &back, &asked), None);
        let (header, report) = read(&[0x18, 0x55, 0x0A, 0, 0, 0x20, 9]);
        assert_eq!(answer(0x0025, &header, &report), None);
    }

    #[test]
    fn a_question_of_any_length_has_an_answer_that_fits() {
        for count in 1..500 {
            let (header, _) = read(&[0x00, 0x55, 0x00, 0, 0]);
            let reply = answer(0x0025, &header, &Global::Read(vec![0x0001; count])).unwrap();
            assert!(reply.bytes.len() <= MESSAGE_MAX, "{count}: {}", reply.bytes.len());
        }
    }
}
