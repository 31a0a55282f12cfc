//! What folders say to each other, carried by the bounded channels that `hub/io` hands out.
//!
//! Data only: no folder calls another, so a page can fail and the alarm does not notice.

use crate::device::{DeviceId, Measurement};
use crate::event::{Class, EventId};
use crate::stamp::Stamp;
use crate::warrant::Answer;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A place in the journal: order is on (epoch, seq).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// Rises whenever a journal is begun or restored.
    pub epoch: u64,
    /// From 1 without gaps within the epoch; 0 is before the first.
    pub seq: u64,
}

/// How a network interface stands, by the kernel's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// It has a carrier and an address. That proves nothing beyond the cable.
    Well,
    /// It is switched off, or its cable is out.
    NoCarrier,
    /// Nobody has given it an address.
    NoAddress,
}

/// Every interface, by name. One that is not among them is not there.
pub type Links = BTreeMap<String, LinkState>;

/// How far a modem has come, by ModemManager's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModemState {
    /// It cannot be used at all; why stands beside it.
    Failed,
    /// ModemManager does not say, or is finding out.
    #[default]
    Unknown,
    /// Its SIM wants a code first.
    Locked,
    /// Nobody has switched its radio on, or it is being switched off.
    Disabled,
    /// Its radio is on, and it is in no network.
    Searching,
    /// A network has taken it; nothing is carried.
    Registered,
    /// It carries data, or is about to.
    Connected,
}

/// What a modem's SIM wants before it can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SimLock {
    /// Nobody says.
    #[default]
    Unknown,
    /// Nothing.
    None,
    /// Its PIN.
    Pin,
    /// Its PUK: its PIN was wrong too often. Ten wrong ones end the SIM.
    Puk,
    /// A code of the modem's maker or of its network's operator.
    Other,
}

/// A modem, by its own word. Measurements: they are shown, and are no events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Modem {
    /// How far it has come.
    pub state: ModemState,
    /// Why it cannot be used, where it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// What its SIM wants.
    pub lock: SimLock,
    /// How often a PIN may still be tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin_retries: Option<u32>,
    /// `home`, `roaming`, `searching`, `denied`, `idle` or `unknown`.
    pub registration: &'static str,
    /// The operator's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Its number (MCC and MNC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_code: Option<String>,
    /// `5g`, `lte`, `umts`, `gsm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub technology: Option<&'static str>,
    /// The modem's own measure, per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality_percent: Option<u8>,
    /// All that is received in the channel, noise too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rssi_dbm: Option<i16>,
    /// What of it is the cell's reference signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rsrp_dbm: Option<i16>,
    /// Its share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rsrq_db: Option<i16>,
    /// Signal to interference and noise. AT modems do not tell it, QMI and MBIM modems do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snr_db: Option<i16>,
    /// The modem's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imei: Option<String>,
    /// The SIM card's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iccid: Option<String>,
    /// The serving cell, as ModemManager writes it: MCC, MNC, LAC, cell, TAC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// Bytes received and sent since it connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<(u64, u64)>,
}

/// How well a modem is connected, as coarsely as people want to know it: each change of it costs a publish on a path
/// whose bytes are paid for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Signal {
    /// 0 to 4, as on a phone.
    pub bars: u8,
    /// The operator's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// `5g`, `lte`, `umts`, `gsm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub technology: Option<String>,
}

/// What is done to a modem's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModemPower {
    /// It is taken for some seconds and given back.
    Cycle,
    /// It is given back: somebody may have fallen while it was taken.
    Restore,
}

/// What NetworkManager says of an interface it manages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Managed {
    /// `activated`, `disconnected`, `failed`, `unmanaged` … (NMDeviceState).
    pub state: &'static str,
    /// What its own check of the way out says: `full`, `portal`, `limited`, `none`. A hint and no verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connectivity: Option<&'static str>,
}

/// Bytes that went over the path that is paid for, this month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataUsed {
    /// The month, `2026-11`, in UTC; empty while no trusted clock has said which it is.
    pub month: String,
    /// Received and sent.
    pub bytes: u64,
    /// What was agreed with the operator, in millions of bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monthly_mb: Option<u64>,
}

/// What there is to know of the networks below the paths beside their cables.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Networks {
    /// Whether ModemManager answers.
    pub modem_manager: bool,
    /// Whether NetworkManager answers.
    pub network_manager: bool,
    /// The modem of the mobile path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modem: Option<Modem>,
    /// How it is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
    /// Its network is drowned in noise, by what the modem tells.
    pub jammed: bool,
    /// What NetworkManager says of each path's interface.
    pub managed: BTreeMap<String, Managed>,
    /// What the mobile path has cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<DataUsed>,
}

/// What a device measured, and when it said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Which device.
    pub device: DeviceId,
    /// When it was heard.
    pub at: Stamp,
    /// At least one.
    pub values: Vec<Measurement>,
}

/// The journal's last row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Where it stands.
    pub place: Place,
    /// Its hash; zeros before the first event.
    pub hash: [u8; 32],
}

/// An event as the journal holds it: these bytes were hashed and are what is sent, now and for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where it stands.
    pub place: Place,
    /// Its own name.
    pub id: EventId,
    /// How urgent it is.
    pub class: Class,
    /// Whether it goes over every path at once (contract, "Delivery").
    pub every_way: bool,
    /// When it happened.
    pub stamp: Stamp,
    /// The payload as the contract has it, `hash` and `personal` included.
    pub wire: Arc<[u8]>,
}

/// A question to the journal: the next events of one class without the centre's receipt, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextEvents {
    /// Of this class.
    pub class: Class,
    /// After this place.
    pub after: Place,
    /// At most so many.
    pub limit: usize,
}

/// How much waits for the centre's receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Events without a receipt.
    pub events: u64,
    /// When the oldest of them happened.
    pub oldest: Option<Stamp>,
    /// Events the journal holds in all.
    pub journaled: u64,
}

/// The centre's receipt, its signature checked: these events are durably at the centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Of this epoch.
    pub epoch: u64,
    /// Every seq up to and including this one, of all classes.
    pub upto: u64,
    /// And these, above it.
    pub seqs: Vec<u64>,
    /// And these, by name: alarms that went out before the disk answered.
    pub ids: Vec<EventId>,
    /// The signed text itself, kept as the evidence.
    pub jws: String,
}

/// An alarm that goes out before the disk has answered: no seq, no hash, its id the same when it is journaled later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unjournaled {
    /// Its own name.
    pub id: EventId,
    /// How urgent it is.
    pub class: Class,
    /// Whether it goes over every path at once.
    pub every_way: bool,
    /// The payload, with `"seq":null,"journaled":false`.
    pub wire: Arc<[u8]>,
}

/// A question to whoever keeps sealed media: the next bytes that the centre has not signed for, in the keeper's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextMedia {
    /// At or after this medium and offset; `None`: from the beginning.
    pub after: Option<(String, u64)>,
    /// At most so many bytes.
    pub most: usize,
}

/// A piece of a sealed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPiece {
    /// Of this medium: 1 to 64 of a-z, 0-9 and -.
    pub media: String,
    /// From this byte of it.
    pub offset: u64,
    /// The bytes, at least one.
    pub bytes: Arc<[u8]>,
}

/// The centre's receipt for bytes of a medium, its signature checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaReceipt {
    /// Of this medium.
    pub media: String,
    /// These bytes of it, each from the first up to and without the last, in order.
    pub have: Vec<(u64, u64)>,
}

/// A key of an issuer, as the panel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// Its name in the JWS header.
    pub kid: String,
    /// What it may sign for: `arc`, which alone signs receipts, `maker`, `hub`, or a warrant's role.
    pub role: String,
    /// The Ed25519 public key.
    pub ed25519: [u8; 32],
}

/// An answer to who sent a warrant, on its way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What became of the warrant.
    pub answer: Answer,
    /// Where the event that says so stands; `None`: nowhere yet, or so long ago that it is not at hand.
    pub place: Option<Place>,
    /// When it was said.
    pub at: Stamp,
}

/// What upstream tells the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamNote {
    /// A path's verdict changed. `reason` is `None` when it is up end to end.
    Path {
        /// Which.
        path: String,
        /// Why it is down.
        reason: Option<String>,
    },
    /// A receipt to be recorded; delivery counts from then.
    Receipt(Receipt),
    /// The centre has bytes of a medium.
    Media(MediaReceipt),
    /// Something on the ack topic that is no receipt.
    RefusedReceipt {
        /// Why.
        reason: String,
        /// How many like it since the last note.
        count: u64,
    },
    /// Something on the command topic that is no warrant.
    RefusedOrder {
        /// What it called itself, where that could be read.
        jti: Option<String>,
        /// Why.
        reason: String,
        /// How many like it since the last note.
        count: u64,
    },
    /// An alarm's delivery deadline passed without a receipt.
    Overdue {
        /// Which alarm.
        event: EventId,
        /// Where it stands.
        place: Place,
        /// Milliseconds since it happened.
        after_ms: u64,
    },
}
