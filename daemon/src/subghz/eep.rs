//! EnOcean Equipment Profiles: what a device's payload means, by the profile it was given when it was let in.
//!
//! The profile is configured, never guessed: the same byte opens a window under one and raises a fire alarm under
//! another. A telegram of a type that its profile does not have is refused. A value that the profile does not list gives
//! no state and a fault, and takes it back once a listed one comes; a teach-in telegram gives neither. Nothing here
//! knows keys.
//!
//! Source: EnOcean Equipment Profiles 2.6.7, 2. Where a maker says more, the file of the family names it: `eep_rps.rs`,
//! `eep_4bs.rs`, `eep_vld.rs`.

use crate::subghz::eep_4bs;
use crate::subghz::eep_rps;
use crate::subghz::eep_vld;
use crate::subghz::erp1::rorg;
use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::device::Eep;
use vakt_core::device::Measurement;
use vakt_core::device::Report;

/// A telegram in clear, and how far it can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// Whose word it is.
    pub device: DeviceId,
    /// Type of the telegram, or of what was in it.
    pub rorg: u8,
    /// Its payload.
    pub payload: &'a [u8],
    /// Switches: it is a normal message, not an unassigned one.
    pub nu: bool,
    /// How far it can be trusted.
    pub authenticated: Authenticated,
    /// Signal strength in dBm.
    pub rssi_dbm: Option<i16>,
}

/// What a telegram says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Of what the device watches for first; none where it has nothing to report, or teaches.
    pub report: Option<Report>,
    /// Of what it watches for besides, under a kind of its own: the vibration of a window's contact.
    pub also: Option<Report>,
    /// What it measures.
    pub values: Vec<Measurement>,
    /// What else it says, for people: which button, how a handle stands.
    pub words: Vec<(&'static str, &'static str)>,
}

/// What a profile makes of a payload, before it becomes reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    kind: DeviceKind,
    state: Option<DeviceState>,
    low_battery: Option<bool>,
    battery_percent: Option<u8>,
    fault: bool,
    vibration: Option<bool>,
    values: Vec<Measurement>,
    words: Vec<(&'static str, &'static str)>,
}

impl Word {
    /// Nothing wrong, and nothing said yet.
    pub fn of(kind: DeviceKind) -> Self {
        let (values, words) = (Vec::new(), Vec::new());
        let (state, low_battery, battery_percent, vibration) = (None, None, None, None);
        Self { kind, state, low_battery, battery_percent, fault: false, vibration, values, words }
    }

    pub fn state(self, state: DeviceState) -> Self {
        Self { state: Some(state), ..self }
    }

    /// An alarm, or none.
    pub fn alarm(self, alarm: bool) -> Self {
        self.state(if alarm { DeviceState::Alarm } else { DeviceState::Clear })
    }

    /// Something the profile does not list: what it meant is unknown.
    pub fn unlisted(self) -> Self {
        debug_assert!(self.state.is_none(), "a state is told only by what is listed");
        self.fault()
    }

    /// Out of order beside what it says.
    pub fn fault(self) -> Self {
        Self { fault: true, ..self }
    }

    pub fn low_battery(self, low: bool) -> Self {
        Self { low_battery: Some(low), ..self }
    }

    pub fn battery_percent(self, percent: u8) -> Self {
        Self { battery_percent: Some(percent.min(100)), ..self }
    }

    pub fn vibration(self, vibration: bool) -> Self {
        let said = if vibration { "yes" } else { "no" };
        Self { vibration: Some(vibration), ..self }.word("vibration", said)
    }

    pub fn word(mut self, name: &'static str, value: &'static str) -> Self {
        self.words.push((name, value));
        self
    }

    /// A measured value, in thousandths of its unit.
    pub fn value(mut self, measure: &str, value_milli: i64, unit: &str) -> Self {
        self.values.push(Measurement { measure: measure.to_owned(), value_milli, unit: unit.to_owned() });
        self
    }

    fn said(self, message: &Message<'_>) -> Said {
        let of = |kind| {
            let silent = Report::silent(message.device.clone(), kind, message.authenticated);
            Report { rssi_dbm: message.rssi_dbm, ..silent }
        };
        let report = Report {
            state: self.state,
            low_battery: self.low_battery,
            battery_percent: self.battery_percent,
            fault: Some(self.fault),
            ..of(self.kind)
        };
        let vibration = self.vibration.map(|vibration| {
            let state = if vibration { DeviceState::Alarm } else { DeviceState::Clear };
            Report { state: Some(state), ..of(DeviceKind::Vibration) }
        });
        Said { report: Some(report), also: vibration, values: self.values, words: self.words }
    }
}

/// What a message means under the device's profile.
///
/// # Errors
/// `wrong_profile` for a telegram of another type, `not_supported` for a profile this hub does not know, `bad_length`
/// for a payload that is not as long as the profile's.
pub fn understand(eep: Eep, message: &Message<'_>) -> Result<Said, Refused> {
    if rorg::says_nothing(message.rorg) {
        return Ok(Said::default());
    }
    belongs(eep, message)?;
    if is_teach_in(message.rorg, message.payload) {
        return Ok(Said::default());
    }
    if let Some(said) = eep_vld::actuator(eep, message.payload)? {
        return Ok(said);
    }
    let word = match eep.rorg {
        rorg::RPS => eep_rps::read(eep, message)?,
        rorg::ONE_BS => eep_rps::contact(eep, message.payload)?,
        rorg::FOUR_BS => eep_4bs::read(eep, message.payload)?,
        _ if eep_rps::is_secure_rocker(eep) => eep_rps::read(eep, message)?,
        rorg::VLD => eep_vld::read(eep, message.payload)?,
        _ => return Err(not_known(eep)),
    };
    Ok(word.said(message))
}

/// What a device of that profile watches for; `None` where the profile is not known here, or watches for nothing.
pub fn kind(eep: Eep) -> Option<DeviceKind> {
    Some(match (eep.rorg, eep.func, eep.variant) {
        (0xF6, 0x02, 0x01 | 0x02) | (0xD2, 0x03, 0x00) => DeviceKind::Sos,
        (0xF6, 0x04, 0x01) | (0xF6, 0x10, 0x00) | (0xD5, 0x00, 0x01) => DeviceKind::Contact,
        (0xF6, 0x05, 0x01) => DeviceKind::Water,
        (0xF6, 0x05, 0x02) | (0xA5, 0x30, 0x03) => DeviceKind::Smoke,
        (0xA5, 0x02, 0x01..=0x0B | 0x10..=0x1B | 0x20 | 0x30) | (0xA5, 0x04, 0x01..=0x03) => DeviceKind::Climate,
        (0xA5, 0x07, 0x01..=0x03) | (0xA5, 0x08, 0x01) => DeviceKind::Motion,
        (0xA5, 0x14, 0x05 | 0x06) => DeviceKind::Vibration,
        (0xA5, 0x14, 0x01..=0x0A) | (0xD2, 0x06, 0x50) | (0xD2, 0x14, 0x41) => DeviceKind::Contact,
        _ => return None,
    })
}

/// Whether a device of that profile is driven by the hand that moves it, or by the water it finds: it says nothing until
/// then, and its silence means nothing (EEP 2.1; Eltako FWS, FFG7B).
pub fn is_kinetic(eep: Eep) -> bool {
    eep.rorg == rorg::RPS && (eep.func, eep.variant) != (0x05, 0x02) || (eep.rorg, eep.func) == (0xD2, 0x03)
}

/// Whether the telegram teaches (EEP 3.2 and 3.3): the LRN bit, DB0 bit 3, is clear.
pub(crate) fn is_teach_in(rorg: u8, payload: &[u8]) -> bool {
    matches!((rorg, payload), (rorg::ONE_BS, [db0]) | (rorg::FOUR_BS, [_, _, _, db0]) if db0 & 0x08 == 0)
}

fn belongs(eep: Eep, message: &Message<'_>) -> Result<(), Refused> {
    // A rocker that speaks securely leaves its type out: what is opened is a nibble under a type of its own.
    let rocker = eep_rps::is_rocker(eep) && message.rorg == rorg::SEC_DECRYPTED;
    if message.rorg == eep.rorg && !eep_rps::is_secure_rocker(eep) || rocker {
        return Ok(());
    }
    let text = format!("RORG {:02X} is not of profile {eep}", message.rorg);
    Err(Refused::new(Reason::WrongProfile, 0, text))
}

pub(crate) fn not_known(eep: Eep) -> Refused {
    Refused::new(Reason::NotSupported, 0, format!("profile {eep} is not known to this hub"))
}

/// The payload as so many bytes.
pub(crate) fn bytes<const N: usize>(eep: Eep, payload: &[u8]) -> Result<[u8; N], Refused> {
    payload
        .try_into()
        .map_err(|_| Refused::new(Reason::BadLength, 1, format!("{} bytes of payload: {eep} has {N}", payload.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_that_is_read_says_what_it_watches_for_and_no_other_does() {
        let mut known = 0;
        for eep in (0..=0xFFFF_u32).flat_map(|n| {
            let [_, _, func, variant] = n.to_be_bytes();
            [rorg::RPS, rorg::ONE_BS, rorg::FOUR_BS, rorg::VLD].map(|rorg| Eep::new(rorg, func, variant))
        }) {
            // Whatever it says: it is told by the profile, not by the telegram.
            let kinds = [&[0x10][..], &[0x09], &[0, 0, 0, 0x08], &[0x01; 8], &[0x08; 9]].map(|payload| {
                let device = DeviceId::new("en-00000001").expect("an id");
                let rorg = if eep_rps::is_secure_rocker(eep) { rorg::SEC_DECRYPTED } else { eep.rorg };
                let message =
                    Message { device, rorg, payload, nu: true, authenticated: Authenticated::Crc, rssi_dbm: None };
                Some(understand(eep, &message).ok()?.report?.kind)
            });
            let read = kinds.into_iter().flatten().next();
            assert_eq!(kind(eep), read, "{eep}");
            known += usize::from(read.is_some());
        }
        assert_eq!(known, 53, "6 of a switch, 1 contact, 43 of four bytes, 3 of any length");
    }
}
