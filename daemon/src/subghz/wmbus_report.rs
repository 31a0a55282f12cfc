//! What a known device means: from status byte and records to a detector's word.
//!
//! An unlisted status is never "closed" or "clear": it gives no state and a fault, so that a person looks. A device
//! this file does not know gives no report, except where status bits that the standard itself defines say that it is
//! out of order. Smoke detectors made for remote inspection (Ei6500, Qundis) do not send smoke when it burns: they
//! never get a state here, whatever their records hold; what they remember is `wmbus_past`'s. Sources: Lansen, Ei and
//! B Meters status tables as published with the public drivers of wmbusmeters; Techem and Qundis from captures
//! (wmbusmeters #200, #451, #1714, PR 2050). Weptech's Munia and Robin (WEP 02 and 04/1B) and Elvaco's Sense (ELV 50 to
//! 54/1B) say nothing beyond the standard, so their device type is enough. Of Itron's iSDRF (HAG 85/1A, wmbusmeters
//! #1321), of Lansen's leak detector and of its glass-break input no table is public: they get no state.

use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use crate::subghz::wmbus_leak;
use crate::subghz::wmbus_leak::LeakTable;
use crate::subghz::wmbus_record::Record;
use crate::subghz::wmbus_tpl::Telegram;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::device::Report;

/// Error flags (FD 17) and error flags as the standard has them for a device type (FD 97 1D).
const FLAGS: [&[u8]; 2] = [&[0xFD, 0x17], &[0xFD, 0x97, 0x1D]];
const DIGITAL_INPUT: &[u8] = &[0xFD, 0x1B];

/// The status byte of the transport header (EN 13757-3, table 11). Bits 5 to 7 are the maker's.
pub(crate) mod status {
    pub const POWER_LOW: u8 = 0x04;
    pub const PERMANENT_ERROR: u8 = 0x08;
    pub const TEMPORARY_ERROR: u8 = 0x10;
    /// Bits 0 and 1: 1 is busy, 2 an application error, 3 an abnormal condition.
    pub const APPLICATION: u8 = 0x03;
    pub const APPLICATION_ERROR: u8 = 0x02;
}

/// The devices whose own language is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    LansenContact,
    LansenSmoke,
    Lansen(DeviceKind),
    Ei6500,
    QundisSmoke,
    TechemSmoke,
    BMetersRoom,
    /// A meter that tells of leaks.
    Leak(LeakTable),
    /// By the standard's device type alone.
    Plain(DeviceKind),
    Unknown,
}

fn known(telegram: &Telegram) -> Known {
    if let Some(table) = wmbus_leak::table(telegram) {
        return Known::Leak(table);
    }
    let address = telegram.address;
    match (address.maker().as_str(), address.version, address.medium) {
        ("LAS", 0x07, 0x1D) => Known::LansenContact,
        ("LAS", 0x03, 0x1A) => Known::LansenSmoke,
        ("LAS", 0x07 | 0x09, 0x1B) => Known::Lansen(DeviceKind::Climate),
        // Pulse counters, and the repeater (0B/32): no kind of its own, but its battery carries others' alarms.
        ("LAS", 0x14 | 0x1B, 0x00) | ("LAS", 0x0B, 0x02 | 0x32) => Known::Lansen(DeviceKind::Meter),
        ("EIE", 0x0C, 0x1A) => Known::Ei6500,
        ("QDS" | "LSE", 0x21 | 0x23, 0x1A) => Known::QundisSmoke,
        ("TCH", 0x76, 0xF0) => Known::TechemSmoke,
        ("BMT", 0x10, 0x1B) => Known::BMetersRoom,
        (_, _, 0x1B) => Known::Plain(DeviceKind::Climate),
        (_, _, 0x01..=0x0D | 0x10 | 0x14..=0x18 | 0x28) => Known::Plain(DeviceKind::Meter),
        _ => Known::Unknown,
    }
}

/// What a telegram says of its device, before it becomes a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word {
    kind: DeviceKind,
    state: Option<DeviceState>,
    tamper: Option<bool>,
    low_battery: Option<bool>,
    fault: Option<bool>,
}

impl Word {
    /// What the standard's status bits say; nothing where the telegram has no status byte.
    pub(crate) fn of(kind: DeviceKind, telegram: &Telegram) -> Self {
        let low_battery = telegram.status.map(|s| s & status::POWER_LOW != 0);
        let fault = telegram.status.map(|s| {
            s & (status::PERMANENT_ERROR | status::TEMPORARY_ERROR) != 0
                || s & status::APPLICATION >= status::APPLICATION_ERROR
        });
        Self { kind, state: None, tamper: None, low_battery, fault }
    }

    pub(crate) fn state(self, state: DeviceState) -> Self {
        Self { state: Some(state), ..self }
    }

    pub(crate) fn tamper(self, tamper: Option<bool>) -> Self {
        Self { tamper, ..self }
    }

    /// A fault by the maker's own table, in place of the standard's bits.
    pub(crate) fn fault(self, fault: bool) -> Self {
        Self { fault: Some(fault), ..self }
    }

    /// A fault that a record tells, beside the status byte's: either is enough.
    pub(crate) fn or_fault(self, fault: Option<bool>) -> Self {
        Self { fault: either(self.fault, fault), ..self }
    }

    pub(crate) fn or_low_battery(self, low: Option<bool>) -> Self {
        Self { low_battery: either(self.low_battery, low), ..self }
    }
}

fn either(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a || b),
        (a, b) => a.or(b),
    }
}

/// The report a telegram is worth, or none. `records` are the telegram's, decrypted.
///
/// # Errors
/// `too_short` for a known device whose own payload is cut.
pub fn report(
    telegram: &Telegram,
    records: &[Record],
    authenticated: Authenticated,
    rssi_dbm: Option<i16>,
) -> Result<Option<Report>, Refused> {
    let word = match known(telegram) {
        Known::LansenContact => Some(lansen_contact(telegram, records)),
        Known::LansenSmoke => Some(lansen_smoke(telegram, records)),
        Known::Lansen(kind) => Some(lansen(kind, telegram, records)),
        Known::Ei6500 => Some(ei6500(telegram, records)),
        Known::QundisSmoke => Some(qundis(telegram, records)),
        Known::TechemSmoke => techem(telegram)?,
        Known::BMetersRoom => Some(bmeters(telegram)),
        Known::Leak(table) => Some(table.word(telegram, records)),
        Known::Plain(kind) => Some(Word::of(kind, telegram).or_fault(flagged(records))),
        Known::Unknown => by_standard_bits(telegram),
    };
    let device = telegram.address.device();
    Ok(word.map(|Word { kind, state, tamper, low_battery, fault }| Report {
        state,
        tamper,
        low_battery,
        fault,
        rssi_dbm,
        ..Report::silent(device, kind, authenticated)
    }))
}

/// The present error flags of all records together; `None` where there are none.
fn flags(records: &[Record]) -> Option<u64> {
    let present = records.iter().filter(|r| FLAGS.iter().any(|vif| r.is_now(vif)));
    present.filter_map(|r| r.bits).reduce(|a, b| a | b)
}

/// Whether any error flag is set; `None` where there are no flags to ask.
pub(crate) fn flagged(records: &[Record]) -> Option<bool> {
    flags(records).map(|bits| bits != 0)
}

/// A detector by its device type only: nothing is known of its state, but a standard status bit is a standard's word.
fn by_standard_bits(telegram: &Telegram) -> Option<Word> {
    let kind = match telegram.address.medium {
        0x1A => DeviceKind::Smoke,
        0x1C => DeviceKind::Gas,
        _ => return None,
    };
    let word = Word::of(kind, telegram);
    (word.low_battery == Some(true) || word.fault == Some(true)).then_some(word)
}

/// Lansen: status bit 40 is the enclosure's sabotage switch.
fn lansen(kind: DeviceKind, telegram: &Telegram, records: &[Record]) -> Word {
    let tamper = telegram.status.map(|s| s & 0x40 != 0);
    Word::of(kind, telegram).tamper(tamper).or_fault(flagged(records))
}

/// Lansen LAN-WMBUS-M: digital input 11 is closed, 55 is open. Several inputs: one open is open.
fn lansen_contact(telegram: &Telegram, records: &[Record]) -> Word {
    let word = lansen(DeviceKind::Contact, telegram, records);
    let inputs: Vec<_> = records.iter().filter(|r| r.is_now(DIGITAL_INPUT)).map(|r| r.bits).collect();
    if inputs.is_empty() {
        word // a telegram that says nothing of the contact
    } else if inputs.contains(&Some(0x55)) {
        word.state(DeviceState::Open)
    } else if inputs.iter().all(|input| *input == Some(0x11)) {
        word.state(DeviceState::Closed)
    } else {
        word.or_fault(Some(true))
    }
}

/// Lansen smoke: the flags of FD 97 1D. Smoke counts whatever else is set; "clear" only from a head that is in order.
fn lansen_smoke(telegram: &Telegram, records: &[Record]) -> Word {
    const LOW_BATTERY: u64 = 0x0002;
    const SMOKE: u64 = 0x0004;
    const MANUAL_TEST: u64 = 0x0008;
    const END_OF_LIFE: u64 = 0x0100;
    // 0010 malfunction, 0020 no connection to the detector, and whatever is not listed: not known to be clear.
    const STILL_CLEAR: u64 = LOW_BATTERY | MANUAL_TEST | END_OF_LIFE;
    let tamper = telegram.status.map(|s| s & 0x40 != 0);
    let word = Word::of(DeviceKind::Smoke, telegram).tamper(tamper);
    let Some(flags) = flags(records) else {
        return word;
    };
    let word = word
        .or_low_battery(Some(flags & LOW_BATTERY != 0))
        .or_fault(Some(flags & !(LOW_BATTERY | SMOKE | MANUAL_TEST) != 0));
    if flags & SMOKE != 0 {
        word.state(DeviceState::Alarm)
    } else if flags & !STILL_CLEAR == 0 {
        word.state(DeviceState::Clear)
    } else {
        word
    }
}

/// Ei Electronics Ei6500-OMS: inspection data once in a while, never live smoke. Its head's status is a 32-bit word.
fn ei6500(telegram: &Telegram, records: &[Record]) -> Word {
    const TAMPER_WHILE_REMOVED: u64 = 0x0000_0040;
    const LOW_BATTERY: u64 = 0x0000_1000;
    // sounder, end of life reached, smoke sensor, obstacle sensor, no word from the head, something near, covered
    const OUT_OF_ORDER: u64 = 0x0000_0020 | 0x80 | 0x2000 | 0x4000 | 0x0004_0000 | 0x0100_0000 | 0x0200_0000;
    let is_head = |r: &&Record| r.vif == [0xFF, 0x2C] && (r.subunit, r.tariff, r.storage) == (1, 0, 0);
    let head = records.iter().find(is_head).and_then(|r| r.bits);
    Word::of(DeviceKind::Smoke, telegram)
        .tamper(head.map(|h| h & TAMPER_WHILE_REMOVED != 0))
        .or_low_battery(head.map(|h| h & LOW_BATTERY != 0))
        .or_fault(head.map(|h| h & OUT_OF_ORDER != 0))
        .or_fault(flagged(records))
}

/// Qundis Q smoke: error flags 10 and 100000 were set while one was off its plate; 04 was still set 11 weeks after the
/// last alarm, so it is no live smoke (wmbusmeters PR 451). All others are faults.
fn qundis(telegram: &Telegram, records: &[Record]) -> Word {
    const REMOVED: u64 = 0x10_0010;
    let flags = flags(records);
    Word::of(DeviceKind::Smoke, telegram)
        .tamper(flags.map(|f| f & REMOVED != 0))
        .or_fault(flags.map(|f| f & !REMOVED != 0))
}

/// The first byte of Techem's own payload (CI A0) and the date behind it; the rest is not understood.
pub fn techem_payload(telegram: &Telegram) -> Option<Result<(u8, [u8; 2]), Refused>> {
    if known(telegram) != Known::TechemSmoke || telegram.ci != 0xA0 {
        return None;
    }
    Some(match *telegram.payload {
        [status, low, high, ..] => Ok((status, [low, high])),
        _ => Err(Refused::new(
            Reason::TooShort,
            telegram.payload_at + telegram.payload.len(),
            format!("payload of {} bytes; this detector's begins with a status and a date", telegram.payload.len()),
        )),
    })
}

/// Techem radio smoke detector: 00 in order, 01 smoke, 80 defect (wmbusmeters #200, PR 2050). All captures of its
/// telegrams have 31 bytes of data; telegrams two bytes longer, with another form, were once taken for smoke (#1714):
/// of another length no byte is known to be the status.
fn techem(telegram: &Telegram) -> Result<Option<Word>, Refused> {
    let Some(payload) = techem_payload(telegram) else {
        return Ok(None);
    };
    const DATA: usize = 31;
    let word = Word::of(DeviceKind::Smoke, telegram);
    Ok(Some(match payload?.0 {
        _ if telegram.payload.len() != DATA => word.or_fault(Some(true)),
        0x00 => word.state(DeviceState::Clear).or_fault(Some(false)),
        0x01 => word.state(DeviceState::Alarm),
        _ => word.or_fault(Some(true)),
    }))
}

/// B Meters RFM-AMB: its own status table; bit 08 is "removed", where the standard has a permanent error.
fn bmeters(telegram: &Telegram) -> Word {
    const REMOVED: u8 = 0x08;
    let status = telegram.status;
    Word {
        kind: DeviceKind::Climate,
        state: None,
        tamper: status.map(|s| s & REMOVED != 0),
        low_battery: status.map(|s| s & status::POWER_LOW != 0),
        // 02 application, 10 sensor read, 20 and 40 out of range
        fault: status.map(|s| s & 0x72 != 0),
    }
}
