//! One frame as text in, one JSON line out: what `vaktd decode wmbus` prints (contract, `vaktd`). Pure; keys go in,
//! nothing of them comes out.

use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use crate::subghz::wmbus_crypto::Key;
use crate::subghz::wmbus_crypto::Opened;
use crate::subghz::wmbus_crypto::decrypt;
use crate::subghz::wmbus_link::FrameKind;
use crate::subghz::wmbus_link::MAX_FIFO;
use crate::subghz::wmbus_link::open;
use crate::subghz::wmbus_record::Record;
use crate::subghz::wmbus_record::records;
use crate::subghz::wmbus_report;
use crate::subghz::wmbus_tpl::Security;
use crate::subghz::wmbus_tpl::Telegram;
use crate::subghz::wmbus_tpl::parse;
use crate::subghz::wmbus_value;
use serde::Serialize;
use serde_json::Value;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::device::Report;

/// A decoded frame, as the contract writes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decoded {
    /// The sender, as the link layer names it.
    pub link: LinkView,
    /// `mode5`, `mode7` or `ell_ctr` where it came so; absent where it came in clear, even if its headers claim it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<&'static str>,
    /// `mac` where mode 7's authentication code was right; `crc` where this decoder verified checksums over the frame,
    /// else `none`. Mode 5 and AES-CTR prove nothing and add nothing.
    pub authenticated: Authenticated,
    /// All values; none of an encrypted frame without its key.
    pub records: Vec<Record>,
    /// What it means for the alarm system.
    pub report: Option<ReportView>,
}

/// `{"manufacturer","id","version","type","access"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkView {
    /// Three letters.
    pub manufacturer: String,
    /// Eight digits.
    pub id: String,
    /// Two hex digits.
    pub version: String,
    /// Two hex digits.
    pub r#type: String,
    /// The access number: the header's, else that of a record FD 08, else `null`.
    pub access: Option<u64>,
}

/// A report as the contract writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportView {
    device: DeviceId,
    kind: DeviceKind,
    state: Option<DeviceState>,
    tamper: Option<bool>,
    low_battery: Option<bool>,
    fault: Option<bool>,
}

impl From<Report> for ReportView {
    fn from(report: Report) -> Self {
        let Report { device, kind, state, tamper, low_battery, fault, .. } = report;
        Self { device, kind, state, tamper, low_battery, fault }
    }
}

/// Decodes one frame from hexadecimal text.
///
/// # Errors
/// Why the frame was refused.
pub fn decode(kind: FrameKind, key: Option<&Key>, hex: &str) -> Result<Decoded, Refused> {
    let bytes = from_hex(hex)?;
    let telegram = parse(&open(kind, &bytes)?)?;
    let authenticated = if telegram.checked { Authenticated::Crc } else { Authenticated::None };
    let (encrypted, opened) = opened(&telegram, key)?;
    let Some(Opened { telegram, counter }) = opened else {
        return Ok(Decoded { link: link(&telegram, &[]), encrypted, authenticated, records: Vec::new(), report: None });
    };
    let authenticated = if counter.is_some() { Authenticated::Mac } else { authenticated };
    let records = all_records(&telegram)?;
    let report = wmbus_report::report(&telegram, &records, authenticated, None)?.map(ReportView::from);
    Ok(Decoded { link: link(&telegram, &records), encrypted, authenticated, records, report })
}

/// Decodes one line of a batch, `HEX` or `KEY HEX`, and says whether the frame was good. Always one line, without its
/// end.
pub fn decode_line(kind: FrameKind, key: Option<&Key>, line: &str) -> (String, bool) {
    let line = line.trim();
    let result = match line.split_once(char::is_whitespace).map(|(key, hex)| (key, hex.trim())) {
        Some((own, hex)) => parse_key(own).and_then(|key| decode(kind, Some(&key), hex)),
        _ => decode(kind, key, line),
    };
    match result {
        Ok(decoded) => (json(&decoded), true),
        Err(error) => (json(&ErrorLine { error }), false),
    }
}

/// `{"error":{"kind","at","text"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorLine {
    /// What was refused, and why.
    pub error: Refused,
}

/// One JSON line.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("only texts, numbers and null, with text keys")
}

/// A key from 32 hex digits.
///
/// # Errors
/// `bad_key`; the text never repeats the key.
pub fn parse_key(text: &str) -> Result<Key, Refused> {
    let bytes = from_hex(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| {
        Refused::new(Reason::BadKey, 0, format!("a key is 32 hex digits, this has {} characters", text.chars().count()))
    })
}

/// Bytes from hexadecimal text, either case, nothing between.
///
/// # Errors
/// `bad_hex` at the first wrong byte, `too_long` beyond what any frame needs, `too_short` for nothing.
pub fn from_hex(text: &str) -> Result<Vec<u8>, Refused> {
    if text.len() > 2 * MAX_FIFO {
        return Err(Refused::new(
            Reason::TooLong,
            MAX_FIFO,
            format!("more than {MAX_FIFO} bytes: no frame is that long"),
        ));
    }
    if text.is_empty() {
        return Err(Refused::new(Reason::TooShort, 0, "no bytes"));
    }
    let digit = |at: usize, byte: u8| {
        let found = char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
        found.ok_or_else(|| Refused::new(Reason::BadHex, at, "a character that is no hex digit"))
    };
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for (at, pair) in text.as_bytes().chunks(2).enumerate() {
        let &[high, low] = pair else {
            digit(at, pair[0])?;
            return Err(Refused::new(Reason::BadHex, at, "an odd number of hex digits"));
        };
        bytes.push(digit(at, high)? << 4 | digit(at, low)?);
    }
    Ok(bytes)
}

/// How it came encrypted, and the telegram in clear where that can be had. Telegrams stored after decryption keep
/// headers that claim a cipher: what is visibly plain is decoded as it stands, unless a code is there to be proven.
fn opened(telegram: &Telegram, key: Option<&Key>) -> Result<(Option<&'static str>, Option<Opened>), Refused> {
    let encrypted = telegram.security.word();
    let proves = matches!(telegram.security, Security::Mode7 { .. });
    match key.map(|key| decrypt(telegram, key)) {
        _ if encrypted.is_none() => Ok((None, Some(Opened { telegram: telegram.clone(), counter: None }))),
        Some(Ok(opened)) => Ok((encrypted, Some(opened))),
        Some(Err(refused)) if proves || !telegram.looks_plain() => Err(refused),
        None if !telegram.looks_plain() => Ok((encrypted, None)),
        _ => Ok((None, Some(stored_plain(telegram)?))),
    }
}

fn stored_plain(telegram: &Telegram) -> Result<Opened, Refused> {
    let telegram = match telegram.security {
        Security::EllCtr { .. } => telegram.inside(&telegram.payload)?,
        _ => telegram.clone(),
    };
    Ok(Opened { telegram, counter: None })
}

/// The records of the data, or a maker's own payload as one value.
pub(crate) fn all_records(telegram: &Telegram) -> Result<Vec<Record>, Refused> {
    let plain = &telegram.payload;
    if !matches!(telegram.ci, 0xA0..=0xB7) {
        return records(plain, telegram.payload_at);
    }
    if let Some(payload) = wmbus_report::techem_payload(telegram) {
        let (status, date) = payload?;
        // Techem's own date: day in bits 0 to 4, month in 5 to 8, year in 9 to 15.
        let word = u16::from_le_bytes(date);
        let (day, month, year) = (word & 31, word >> 5 & 15, word >> 9);
        let date = wmbus_value::calendar(2000 + year, month, day);
        return Ok(vec![
            Record::own(telegram.ci, "status", status.into()),
            Record::own(telegram.ci, "previous_date", date),
            Record::own(telegram.ci, "manufacturer_specific", hex(&plain[3..])),
        ]);
    }
    Ok(vec![Record::own(telegram.ci, "manufacturer_specific", hex(plain))])
}

fn hex(bytes: &[u8]) -> Value {
    bytes.iter().map(|b| format!("{b:02X}")).collect::<String>().into()
}

fn link(telegram: &Telegram, records: &[Record]) -> LinkView {
    const ACCESS_NUMBER: &[u8] = &[0xFD, 0x08];
    let told = || records.iter().find(|r| r.is_now(ACCESS_NUMBER)).and_then(|r| r.bits);
    LinkView {
        manufacturer: telegram.link.maker(),
        id: format!("{:08X}", telegram.link.id),
        version: format!("{:02X}", telegram.link.version),
        r#type: format!("{:02X}", telegram.link.medium),
        access: telegram.access.map(u64::from).or_else(told),
    }
}
