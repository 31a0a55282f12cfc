//! What rtl_433 says, one line of JSON at a time: that it lives, a wireless M-Bus telegram, a detector's word.
//!
//! It is a program of others and its lines are judged like anything heard on the air: by a list of models (`rtl_433_model`)
//! and of the releases that read them right, each field by type and range. What it makes of a telegram's records is never
//! used: only the telegram is, by our own decoder. Signal strength is relative to the receiver's full scale and in no unit
//! that others know, so it is not passed on. What is not understood is refused and counted.
//!
//! Copies of one transmission are passed on: the core ignores a word that changes nothing.
//!
//! Sources: merbanan/rtl_433 `src/r_api.c` (version, statistics), `src/devices/m_bus.c` (#2749, #3091), and the output of
//! releases 22.11 and 25.12.

use crate::subghz::decode::from_hex;
use crate::subghz::line::Caught;
use crate::subghz::line::Fault;
use crate::subghz::receiver::NotHeard;
use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use crate::subghz::rtl_433_model::Fields;
use crate::subghz::rtl_433_model::MODELS;
use crate::subghz::rtl_433_model::bad;
use crate::subghz::rtl_433_model::checked;
use crate::subghz::wmbus_link::FrameKind;
use serde_json::Value;
use std::fmt;
use vakt_core::device::DeviceId;
use vakt_core::device::Report;

/// Bytes of a line: statistics of all its decoders take 40 KiB. A longer line loses all of itself.
pub const MAX_LINE: usize = 64 * 1024;

/// The oldest release that is run: Debian 12's. The ones before it read Cavius alarms with a low battery wrong.
pub const OLDEST: Version = Version::new(22, 11);

/// The first release that gives a telegram of wireless M-Bus as it was: before 24.10 the last bytes are cut off and a CRC
/// stays behind, before 25.02 in mode C.
const TELEGRAMS: Version = Version::new(25, 2);

/// A release, called by year and month. What is built between two counts as the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    year: u16,
    month: u16,
}

impl Version {
    /// From its two numbers.
    pub const fn new(year: u16, month: u16) -> Self {
        Self { year, month }
    }

    /// From what `rtl_433 -V` says: `rtl_433 version 22.11 (2022-11-19) inputs …`, or `25.12-88-g91b2ebdb branch …`.
    pub fn said(text: &str) -> Option<Self> {
        let said = text.split("rtl_433 version ").nth(1)?;
        let end = said.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(said.len());
        let (year, month) = said[..end].split_once('.')?;
        Some(Self { year: year.parse().ok()?, month: month.parse().ok()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.year, self.month)
    }
}

/// Cuts bytes into lines of a bounded length.
#[derive(Debug, Clone)]
pub struct Lines {
    longest: usize,
    line: Vec<u8>,
    /// The rest of a too long line is being passed over; it is counted once.
    skipping: bool,
}

impl Lines {
    /// Of so many bytes at most.
    pub fn new(longest: usize) -> Self {
        Self { longest, line: Vec::new(), skipping: false }
    }

    /// Takes bytes, gives the lines that are complete now, without their ends; empty ones are none.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Result<Vec<u8>, Fault>> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |piece| (piece, true));
            if !self.skipping && self.line.len() + piece.len() > self.longest {
                self.line.clear();
                self.skipping = true;
                lines.push(Err(Fault::TooLong));
            }
            if !self.skipping {
                self.line.extend_from_slice(piece);
            }
            if ends && !std::mem::take(&mut self.skipping) {
                let line = std::mem::take(&mut self.line);
                let line = line.strip_suffix(b"\r").map_or_else(|| line.clone(), <[u8]>::to_vec);
                lines.extend((!line.is_empty()).then_some(Ok(line)));
            }
        }
        lines
    }
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Statistics, which it gives only while samples pass through it: it lives and hears.
    Statistics,
    /// A detector's word.
    Report(Report),
    /// A telegram of wireless M-Bus.
    Telegram(Caught),
    /// A model that is none of ours: a neighbour's thermometer, a car's tyre.
    Other,
}

/// A line that is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unread {
    /// Who spoke, as far as that can be read.
    pub device: Option<DeviceId>,
    /// Why not.
    pub why: NotHeard,
}

/// Reads a line of this release.
///
/// # Errors
/// Why it is not believed: `not_a_frame` for what is no JSON object, `not_supported` for a release that reads it wrong,
/// `bad_hex`, `bad_length` and `too_long` for a telegram, `bad_record` for a field.
pub fn read(line: &[u8], version: Version) -> Result<Said, Unread> {
    let nobody = |why| Unread { device: None, why };
    // A list would be taken for the fields in their order, and what is in a field that nobody reads for text.
    let object = std::str::from_utf8(line).ok().filter(|line| line.trim_ascii_start().starts_with('{'));
    let fields = object.and_then(|line| serde_json::from_str::<Fields>(line).ok());
    let fields = fields.ok_or(nobody(NotHeard::Line(Fault::NotAFrame)))?;
    let Some(model) = fields.model.as_ref() else {
        let statistics = matches!((&fields.frames, &fields.stats), (Some(Value::Object(_)), Some(Value::Array(_))));
        return Ok(if statistics { Said::Statistics } else { Said::Other });
    };
    if model == "Wireless-MBus" {
        return telegram(&fields, version).map(Said::Telegram).map_err(|refused| nobody(refused.into()));
    }
    let Some(model) = MODELS.iter().find(|known| model == known.name) else { return Ok(Said::Other) };
    let device = model.device(&fields).map_err(|refused| nobody(refused.into()))?;
    let report = model.report(device.clone(), &fields, version);
    report.map(Said::Report).map_err(|refused| Unread { device: Some(device), why: refused.into() })
}

/// The telegram itself, in format A without its CRCs, which the receiver has checked. Format B comes with an L field that
/// counts CRCs which are not there, and is refused by it.
fn telegram(fields: &Fields, version: Version) -> Result<Caught, Refused> {
    let hex =
        fields.data.as_ref().and_then(Value::as_str).ok_or_else(|| bad("data", fields.data.as_ref(), "hex digits"))?;
    if version < TELEGRAMS {
        let text = format!(
            "rtl_433 {version} cuts telegrams of wireless M-Bus short (this one has {} bytes): {TELEGRAMS} or later is needed",
            hex.len() / 2
        );
        return Err(Refused::new(Reason::NotSupported, 0, text));
    }
    checked(fields)?;
    if !matches!(fields.mode.as_ref().and_then(Value::as_str), Some("T" | "C" | "S")) {
        return Err(bad("mode", fields.mode.as_ref(), "T, C or S"));
    }
    let bytes = from_hex(hex)?;
    match bytes.first() {
        Some(l) if bytes.len() == usize::from(*l) + 1 => {
            Ok(Caught { kind: FrameKind::NoCrc, bytes, rssi_dbm: None, vouched: true })
        }
        l => {
            let l = l.copied().unwrap_or_default();
            let text = format!("{} bytes, where the L field {l} says {}", bytes.len(), usize::from(l) + 1);
            Err(Refused::new(Reason::BadLength, 0, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subghz::line::Source;
    use crate::subghz::receiver::Receiver;
    use vakt_core::device::Authenticated;

    const NEW: Version = Version::new(25, 12);

    /// What a build after 25.12 prints of xaelsouth/rtl-wmbus's recording samples2.
    const TECHEM: &str = r#"{"model" : "Wireless-MBus", "mode" : "T", "M" : "TCH", "id" : 71200023, "version" : 114, "type" : 240, "type_string" : "", "C" : 68, "data" : "294468502300207172f0a0009f21000000a07d2202000100000000000000000000000400030203020000", "CI" : 160, "mic" : "CRC"}"#;
    /// And 22.11 of the same: L is 27 instead of 29, two bytes are gone, and a CRC stands at the end.
    const TECHEM_22_11: &str = r#"{"model" : "Wireless-MBus", "mode" : "T", "M" : "TCH", "id" : 71200023, "version" : 114, "type" : 240, "type_string" : "", "C" : 68, "data_length" : 42, "data" : "274468502300207172f0a0009f21000000a07d22020001000000000000000000000004000302030200002b75", "mic" : "CRC", "CI" : 160, "AC" : 0, "ST" : 0, "CW" : 0, "min_volume_flow_min_0" : "0.068 m3/min", "inst_ontime_s_0" : "0.000 s", "inst_ontime_s_0" : "0.000 s"}"#;

    fn refused(line: &str, version: Version) -> Refused {
        match read(line.as_bytes(), version) {
            Err(Unread { why: NotHeard::Frame(refused), .. }) => refused,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_release_says_which_it_is() {
        for (said, version) in [
            ("rtl_433 version 22.11 (2022-11-19) inputs file rtl_tcp RTL-SDR SoapySDR\nUse -h", Some((22, 11))),
            ("rtl_433 version 25.12-88-g91b2ebdb branch master at 202608021200 inputs file rtl_tcp", Some((25, 12))),
            ("rtl_433 version 25.02 inputs file", Some((25, 2))),
            ("rtl_433 version unknown inputs file rtl_tcp", None),
            ("rtl_433 version 18.x", None),
            ("rtl_fm, an FM demodulator", None),
            ("", None),
        ] {
            assert_eq!(Version::said(said), version.map(|(year, month)| Version::new(year, month)), "{said}");
        }
        assert_eq!(Version::new(25, 2).to_string(), "25.02");
    }

    #[test]
    fn a_telegram_goes_into_our_own_decoder() {
        let Ok(Said::Telegram(caught)) = read(TECHEM.as_bytes(), NEW) else { panic!("no telegram") };
        assert_eq!((caught.bytes.len(), caught.bytes[0], caught.rssi_dbm), (42, 41, None));
        let heard = Receiver::new(Source::RtlWmbus).take(caught).unwrap();
        assert_eq!(heard.device.as_str(), "wm-tch-71200023-72-f0");
        assert_eq!(heard.authenticated, Authenticated::Crc);
    }

    #[test]
    fn a_telegram_that_an_old_release_cut_is_refused_by_name() {
        let why = refused(TECHEM_22_11, OLDEST);
        assert_eq!(why.kind, Reason::NotSupported);
        assert!(why.text.contains("22.11") && why.text.contains("44 bytes") && why.text.contains("25.02"), "{why}");
        // Were it printed by a release that is believed, its L field would give it away.
        assert_eq!(refused(TECHEM_22_11, NEW).kind, Reason::BadLength);
    }

    #[test]
    fn a_telegram_that_nobody_vouches_for_is_refused() {
        for (what, by, kind) in [
            (r#""mic" : "CRC""#, r#""mic" : "none""#, Reason::BadRecord),
            (r#", "mic" : "CRC""#, "", Reason::BadRecord),
            (r#""mode" : "T""#, r#""mode" : "R""#, Reason::BadRecord),
            ("2944", "2844", Reason::BadLength),
            ("2944", "294", Reason::BadHex),
            ("2944", "29zz", Reason::BadHex),
            (r#""data" : "294468"#, r#""data" : 4, "x" : "294468"#, Reason::BadRecord),
        ] {
            assert!(TECHEM.contains(what));
            assert_eq!(refused(&TECHEM.replace(what, by), NEW).kind, kind, "{by}");
        }
        // format B of mode C: its L counts two bytes of CRC that are not handed on
        let b =
            r#"{"model":"Wireless-MBus","mode":"C","data":"1444AE0C7856341201078C2027780B134365877AC5","mic":"CRC"}"#;
        assert!(read(b.as_bytes(), NEW).is_ok(), "as long as its L field says");
        assert_eq!(refused(&b.replace("1444", "1644"), NEW).kind, Reason::BadLength);
    }

    #[test]
    fn statistics_are_its_sign_of_life() {
        let line = r#"{"enabled" : 191, "since" : "2026-11-22T10:32:36", "frames" : {"count" : 30, "fsk" : 5, "events" : 5}, "stats" : [{"device" : 104, "name" : "Wireless M-Bus, Mode C&T, 100kbps (-f 868950000 -s 1200000)", "events" : 5, "ok" : 5, "messages" : 5}]}"#;
        assert_eq!(read(line.as_bytes(), NEW), Ok(Said::Statistics));
        // A detector cannot say so.
        let forged = line.replacen('{', r#"{"model" : "Nexus-TH", "#, 1);
        assert_eq!(read(forged.as_bytes(), NEW), Ok(Said::Other));
    }

    #[test]
    fn what_is_no_line_of_its_own_is_refused() {
        let deep = format!("{{\"id\":{}", "[".repeat(10_000));
        let twice = r#"{"model":"Cavius-Door","id":"dc3ce3126533","state":"open","state":"closed","mic":"CRC"}"#;
        let list = r#"["Cavius-Door","dc3ce3126533","CRC"]"#;
        for line in [
            &b"\xFF\xFE{}"[..],
            b"{\"model\":\"\xC3\"}",
            b"{\"model\":\"Cavius-Security\",\"id\":1690906,\"message\":32,\"text\":\"\xD5\",\"mic\":\"CRC\"}",
            b"Tuned to 868.950MHz.",
            b"{",
            deep.as_bytes(),
            twice.as_bytes(),
            list.as_bytes(),
        ] {
            let unread = Unread { device: None, why: NotHeard::Line(Fault::NotAFrame) };
            assert_eq!(read(line, NEW), Err(unread), "{}", String::from_utf8_lossy(line));
        }
        assert_eq!(read(b"{}", NEW), Ok(Said::Other));
    }

    #[test]
    fn a_line_without_end_loses_itself_and_nothing_else() {
        let mut lines = Lines::new(10);
        assert_eq!(lines.feed(b"0123456"), vec![]);
        assert_eq!(lines.feed(b"789\n\r\nab"), vec![Ok(b"0123456789".to_vec())]);
        assert_eq!(lines.feed(b"c\r\n"), vec![Ok(b"abc".to_vec())]);
        assert_eq!(lines.feed(b"0123456789x"), vec![Err(Fault::TooLong)]);
        for _ in 0..1000 {
            assert_eq!(lines.feed(&[b'x'; 100]), vec![]);
            assert!(lines.line.capacity() <= 100, "bounded");
        }
        assert_eq!(lines.feed(b"xyz\nnext\n"), vec![Ok(b"next".to_vec())]);
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_fall(line in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = read(&line, NEW);
            let _ = read(&[&b"{\"model\":\"Fineoffset-WH55\",\"id\":"[..], &line, b"}"].concat(), NEW);
        }
    }
}
