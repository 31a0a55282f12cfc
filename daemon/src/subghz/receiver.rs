//! One wireless M-Bus receiver from bytes to reports: framer, link, headers, cipher, records, meaning, and how often
//! each of them refused. Pure: the port feeds bytes and asks.
//!
//! Hearing and understanding are two steps, because the key hangs on who was heard. Copies of a telegram are passed
//! on: telling them apart needs time and memory, which the core has.

use crate::subghz::decode::all_records;
use crate::subghz::line::Caught;
use crate::subghz::line::Fault;
use crate::subghz::line::Framer;
use crate::subghz::line::Heard as Cut;
use crate::subghz::line::Source;
use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use crate::subghz::stick::Stick;
use crate::subghz::wmbus_crypto::Key;
use crate::subghz::wmbus_crypto::Opened;
use crate::subghz::wmbus_crypto::decrypt;
use crate::subghz::wmbus_link::open;
use crate::subghz::wmbus_measured::measured;
use crate::subghz::wmbus_past::past;
use crate::subghz::wmbus_report;
use crate::subghz::wmbus_tpl::Telegram;
use crate::subghz::wmbus_tpl::parse;
use serde::Serialize;
use std::time::Duration;
use vakt_core::alarm::past::Past;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceId;
use vakt_core::device::Measurement;
use vakt_core::device::Report;

/// How often what happened, since the receiver was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // the names of the reasons in `line::Fault` and `refused::Reason`
pub struct Counters {
    /// Telegrams whose link layer and headers are in order.
    pub heard: u64,
    /// Telegrams that became a report.
    pub reported: u64,
    /// Telegrams understood, of devices that have nothing to report.
    pub no_report: u64,
    /// Of rtl_433: what it says of models that are none of ours.
    pub other_model: u64,
    pub line_too_long: u64,
    pub not_a_frame: u64,
    pub flagged_bad: u64,
    pub bad_checksum: u64,
    pub half_packet: u64,
    pub not_set_up: u64,
    pub bad_hex: u64,
    pub bad_length: u64,
    pub too_short: u64,
    pub bad_crc: u64,
    pub not_supported: u64,
    pub no_key: u64,
    pub wrong_key: u64,
    pub bad_mac: u64,
    pub replayed: u64,
    pub not_encrypted: u64,
    pub bad_record: u64,
    pub wrong_profile: u64,
}

impl Counters {
    pub(crate) fn fault(&mut self, fault: Fault) {
        let counter = match fault {
            Fault::TooLong => &mut self.line_too_long,
            Fault::NotAFrame => &mut self.not_a_frame,
            Fault::FlaggedBad => &mut self.flagged_bad,
            Fault::BadHex => &mut self.bad_hex,
            Fault::BadLength => &mut self.bad_length,
            Fault::BadChecksum => &mut self.bad_checksum,
            Fault::HalfPacket => &mut self.half_packet,
            Fault::NotSetUp => &mut self.not_set_up,
        };
        *counter = counter.saturating_add(1);
    }

    pub(crate) fn refused(&mut self, reason: Reason) {
        let counter = match reason {
            Reason::BadHex | Reason::BadKey => &mut self.bad_hex,
            Reason::TooShort => &mut self.too_short,
            Reason::TooLong | Reason::BadLength => &mut self.bad_length,
            Reason::BadCrc => &mut self.bad_crc,
            Reason::BadSymbol | Reason::BadFrame => &mut self.not_a_frame,
            Reason::WrongKey => &mut self.wrong_key,
            Reason::BadMac => &mut self.bad_mac,
            Reason::Replayed => &mut self.replayed,
            Reason::NotEncrypted => &mut self.not_encrypted,
            Reason::NoKey => &mut self.no_key,
            Reason::NotSupported => &mut self.not_supported,
            Reason::BadRecord => &mut self.bad_record,
            Reason::WrongProfile => &mut self.wrong_profile,
        };
        *counter = counter.saturating_add(1);
    }
}

/// A telegram whose every check up to its data passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Whose data it is, `wm-<man>-<id>-<ver>-<type>`.
    pub device: DeviceId,
    /// The telegram, data still encrypted if it came so.
    pub telegram: Telegram,
    /// `crc`, or `none` where neither this program nor its receiver vouches for the bytes.
    pub authenticated: Authenticated,
    /// Signal strength in dBm, where the receiver tells.
    pub rssi_dbm: Option<i16>,
}

/// What a telegram says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Understood {
    /// Of what its device watches for, and of the device; `None` when there is nothing to report.
    pub report: Option<Report>,
    /// Of what it measures.
    pub values: Vec<Measurement>,
    /// How far all of it can be trusted.
    pub authenticated: Authenticated,
    /// The message counter of a message that was proven (mode 7): keep it for this device, on disk before the report is
    /// acted on, and hand it in with its next telegram.
    pub counter: Option<u32>,
    /// What an inspection detector remembers of alarms.
    pub past: Option<Past>,
}

/// What came of the bytes: a telegram, or why something was none.
pub type Outcome = Result<Heard, NotHeard>;

/// Why something that arrived was no telegram; it is counted already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotHeard {
    /// The receiver's line or packet was none, or was flagged.
    #[error("the receiver gave no frame: {0:?}")]
    Line(Fault),
    /// A frame that failed a check.
    #[error("a frame was refused: {0}")]
    Frame(#[from] Refused),
}

/// One receiver.
#[derive(Debug, Clone)]
pub struct Receiver {
    source: Source,
    framer: Framer,
    stick: Stick,
    counters: Counters,
}

impl Receiver {
    /// A receiver that has heard nothing yet.
    pub fn new(source: Source) -> Self {
        Self { source, framer: Framer::new(source), stick: Stick::new(source), counters: Counters::default() }
    }

    /// What is to be written to the receiver now; see [`Stick::due`].
    ///
    /// # Errors
    /// Why it is given up.
    pub fn due(&mut self, now: Duration) -> Result<Option<Vec<u8>>, String> {
        self.stick.due(now)
    }

    /// Whether it is known to listen as it should.
    pub fn is_set_up(&self) -> bool {
        self.stick.is_set_up()
    }

    /// Takes bytes as they came, gives what is complete now.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Outcome> {
        let heard = self.framer.feed(bytes);
        self.open_all(heard)
    }

    /// Nothing came for longer than a packet takes (100 ms at 57,600 baud is ample); see [`Framer::silence`].
    pub fn silence(&mut self) -> Vec<Outcome> {
        let heard = self.framer.silence();
        self.open_all(heard)
    }

    /// Takes a frame that is whole: from a radio chip, which needs no framer.
    pub fn take(&mut self, caught: Caught) -> Outcome {
        self.open_one(Ok(caught))
    }

    /// How often what happened.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// For who reads its lines himself, and gives it the telegrams among them.
    pub(crate) fn counters_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }

    fn open_all(&mut self, heard: Vec<Cut>) -> Vec<Outcome> {
        self.framer.answers().iter().for_each(|answer| self.stick.answered(answer));
        heard.into_iter().map(|one| self.open_one(one)).collect()
    }

    fn open_one(&mut self, heard: Cut) -> Outcome {
        // Only an AMB8465's telegrams do not say themselves whether signal strength is attached.
        let early = self.source == Source::Amber8465 && !self.stick.is_set_up();
        let caught = heard.and_then(|caught| if early { Err(Fault::NotSetUp) } else { Ok(caught) });
        let caught = caught.map_err(|fault| {
            self.counters.fault(fault);
            NotHeard::Line(fault)
        })?;
        self.stick.heard();
        let telegram = open(caught.kind, &caught.bytes).and_then(|frame| parse(&frame));
        let telegram = telegram.inspect_err(|refused| self.counters.refused(refused.kind))?;
        self.counters.heard = self.counters.heard.saturating_add(1);
        let authenticated = if telegram.checked || caught.vouched { Authenticated::Crc } else { Authenticated::None };
        Ok(Heard { device: telegram.address.device(), telegram, authenticated, rssi_dbm: caught.rssi_dbm })
    }

    /// What a telegram says, with the device's key if it has one and the last message counter that was kept of it.
    ///
    /// Stricter than the decoder: a device that has a key is heard only encrypted, a frame that claims a cipher is never
    /// read in clear, and of a device that has proven a message only newer ones that are proven count. A proven message
    /// is `mac` while no counter of its device is known, because it may be an old one, and `mac_counter` from then on.
    ///
    /// # Errors
    /// `no_key`, `wrong_key`, `bad_mac`, `replayed`, `not_encrypted`, `bad_record`, `too_short`, and of a message whose
    /// headers were hidden what [`parse`] refuses; counted. `replayed` says nothing against the device: another
    /// receiver or a repeater gives a copy.
    pub fn understand(&mut self, heard: &Heard, key: Option<&Key>, last: Option<u32>) -> Result<Understood, Refused> {
        let result = understand(heard, key, last);
        match &result {
            Ok(Understood { report: Some(_), .. }) => self.counters.reported = self.counters.reported.saturating_add(1),
            Ok(Understood { report: None, .. }) => self.counters.no_report = self.counters.no_report.saturating_add(1),
            Err(refused) => self.counters.refused(refused.kind),
        }
        result
    }
}

fn understand(heard: &Heard, key: Option<&Key>, last: Option<u32>) -> Result<Understood, Refused> {
    let refuse = |reason, text| Err(Refused::new(reason, heard.telegram.payload_at, text));
    let Opened { telegram, counter } = match (heard.telegram.security.word(), key) {
        (None, None) => Opened { telegram: heard.telegram.clone(), counter: None },
        (Some(_), Some(key)) => decrypt(&heard.telegram, key)?,
        (None, Some(_)) => {
            return refuse(Reason::NotEncrypted, format!("{} has a key but spoke in clear", heard.device));
        }
        (Some(word), None) => {
            return refuse(Reason::NoKey, format!("{} speaks encrypted ({word}) and has no key here", heard.device));
        }
    };
    let authenticated = match (counter, last) {
        (Some(now), Some(last)) if now <= last => {
            return refuse(Reason::Replayed, format!("{}: message {now} is not above {last}", heard.device));
        }
        (Some(_), Some(_)) => Authenticated::MacCounter,
        (Some(_), None) => Authenticated::Mac,
        (None, Some(_)) => {
            return refuse(
                Reason::NotEncrypted,
                format!("{} proves its messages, this one proves nothing", heard.device),
            );
        }
        (None, None) => heard.authenticated,
    };
    let records = all_records(&telegram)?;
    let report = wmbus_report::report(&telegram, &records, authenticated, heard.rssi_dbm)?;
    let (values, past) = (measured(&records), past(&telegram, &records));
    Ok(Understood { report, values, authenticated, counter, past })
}
