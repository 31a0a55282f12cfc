//! EnOcean profiles of one byte: switches (F6), which have no teach-in telegram, and contacts (D5).
//!
//! A switch's byte has no check of its own and no spare bits that would have to be zero, so each profile's list is all
//! there is: what is not in it gives no state. Key material and arming are none of this file: a rocker here calls for
//! help and does nothing else.
//!
//! Source: EnOcean Equipment Profiles 2.6.7, F6-02, F6-04, F6-05, F6-10, D2-03-00, D5-00-01.

use crate::subghz::eep::Message;
use crate::subghz::eep::Word;
use crate::subghz::eep::bytes;
use crate::subghz::eep::not_known;
use crate::subghz::erp1::rorg;
use crate::subghz::refused::Refused;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::device::Eep;

/// The four buttons as the profile names them.
const BUTTONS: [&str; 4] = ["AI", "A0", "BI", "B0"];

/// A rocker that may also speak securely.
pub(crate) fn is_rocker(eep: Eep) -> bool {
    matches!((eep.rorg, eep.func, eep.variant), (0xF6, 0x02, 0x01 | 0x02)) || is_secure_rocker(eep)
}

/// D2-03-00: a rocker that speaks in no other way.
pub(crate) fn is_secure_rocker(eep: Eep) -> bool {
    eep == Eep::new(0xD2, 0x03, 0x00)
}

/// A switch.
pub(crate) fn read(eep: Eep, message: &Message<'_>) -> Result<Word, Refused> {
    let [byte] = bytes(eep, message.payload)?;
    Ok(match (eep.func, eep.variant) {
        _ if message.rorg == rorg::SEC_DECRYPTED => secure_rocker(byte),
        (0x02, 0x01 | 0x02) => rocker(byte, message.nu),
        (0x04, 0x01) => key_card(byte),
        (0x05, 0x01) => water(byte),
        (0x05, 0x02) => smoke(byte),
        (0x10, 0x00) => handle(byte),
        _ => return Err(not_known(eep)),
    })
}

/// F6-02-01 and -02, which differ in what a lamp makes of them: any button of it calls for help, until it is let go.
fn rocker(byte: u8, nu: bool) -> Word {
    let (first, second, has_second) = (byte >> 5, byte >> 1 & 7, byte & 1 == 1);
    let word = Word::of(DeviceKind::Sos);
    let named = |button: u8| BUTTONS.get(usize::from(button)).copied();
    let (listed, names) = match (nu, named(first)) {
        (true, Some(name)) if has_second => (named(second).is_some(), [Some(name), named(second)]),
        (true, name) => (name.is_some(), [name, None]),
        // An unassigned message tells how many were pressed at once: none, or three or four.
        (false, _) => (matches!(first, 0 | 3), [None, None]),
    };
    if !listed {
        return word.unlisted();
    }
    let pressed = byte & 0x10 != 0;
    let word = names.into_iter().flatten().fold(word, |word, name| word.word("button", name));
    word.word("bow", if pressed { "pressed" } else { "released" }).alarm(pressed)
}

/// What a secure rocker's nibble says (D2-03-00).
fn secure_rocker(byte: u8) -> Word {
    let word = Word::of(DeviceKind::Sos);
    let buttons: &[&str] = match byte {
        5 => &["AI", "B0"],
        6 | 8 => &[], // three or four; none
        7 => &["A0", "B0"],
        9 => &["AI", "BI"],
        10 => &["A0", "BI"],
        11 => &["BI"],
        12 => &["B0"],
        13 => &["AI"],
        14 => &["A0"],
        15 => return word.word("bow", "released").alarm(false),
        _ => return word.unlisted(),
    };
    buttons.iter().fold(word, |word, name| word.word("button", name)).word("bow", "pressed").alarm(true)
}

/// F6-04-01: the slot closes a contact while a card is in it.
fn key_card(byte: u8) -> Word {
    let word = Word::of(DeviceKind::Contact);
    match byte {
        0x70 => word.word("card", "inserted").state(DeviceState::Closed),
        0x00 => word.word("card", "taken_out").state(DeviceState::Open),
        _ => word.unlisted(),
    }
}

/// F6-05-01: its swelling discs send once, and the profile has no word for dry.
fn water(byte: u8) -> Word {
    let word = Word::of(DeviceKind::Water);
    if byte == 0x11 { word.alarm(true) } else { word.unlisted() }
}

/// F6-05-02. Whether its battery is low is told in a telegram of its own, so the others do not take it back.
fn smoke(byte: u8) -> Word {
    let word = Word::of(DeviceKind::Smoke);
    match byte {
        0x00 => word.alarm(false),
        0x10 => word.alarm(true),
        0x30 => word.low_battery(true),
        _ => word.unlisted(),
    }
}

/// F6-10-00: by the high half of the byte; the low half is not defined. Tilted is not closed.
fn handle(byte: u8) -> Word {
    let word = Word::of(DeviceKind::Contact);
    match byte >> 4 {
        0xF => word.word("handle", "closed").state(DeviceState::Closed),
        0xC | 0xE => word.word("handle", "open").state(DeviceState::Open),
        0xD => word.word("handle", "tilted").state(DeviceState::Open),
        _ => word.unlisted(),
    }
}

/// D5-00-01: a contact.
pub(crate) fn contact(eep: Eep, payload: &[u8]) -> Result<Word, Refused> {
    if (eep.func, eep.variant) != (0x00, 0x01) {
        return Err(not_known(eep));
    }
    let [db0] = bytes(eep, payload)?;
    let word = Word::of(DeviceKind::Contact);
    Ok(word.state(if db0 & 0x01 == 1 { DeviceState::Closed } else { DeviceState::Open }))
}
