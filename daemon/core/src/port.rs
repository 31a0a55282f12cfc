//! What folders say to each other, carried by the bounded channels that `hub/io` hands out.
//!
//! Data only: no folder calls another, so a page can fail and the alarm does not notice.

use crate::event::{Class, EventId};
use crate::stamp::Stamp;
use crate::warrant::Answer;
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
