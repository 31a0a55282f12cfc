//! The ledger's words: what is written down, what is found, what is counted.
//!
//! Data only. The forms of `Entry` are on disk and stay readable for ever: add, never change.

use super::paths::Verdict;
use serde::Deserialize;
use serde::Serialize;

/// One line of the ledger file: what happened to the centre, enough to find everything again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "k", rename_all = "snake_case")]
pub enum Entry {
    /// A line of the centre's to a broker came up.
    Connected {
        /// Microseconds since 1970.
        at_us: u64,
    },
    /// An event that was not held before, or not with these bytes.
    Arrived {
        /// Microseconds since 1970, when it was received.
        at_us: u64,
        /// The class in its topic.
        topic_class: String,
        /// Its bytes as received.
        body: String,
    },
    /// An event held already, with the same bytes.
    Again {
        /// Microseconds since 1970.
        at_us: u64,
        /// Its id.
        id: String,
    },
    /// Something that cannot be signed for.
    Refused {
        /// Microseconds since 1970.
        at_us: u64,
        /// Why.
        why: String,
        /// Its beginning.
        body: String,
    },
    /// The centre was told to behave as if this event had not arrived.
    Dropped {
        /// Microseconds since 1970.
        at_us: u64,
        /// Its epoch.
        epoch: u64,
        /// Its number.
        seq: u64,
    },
    /// What is thought of a path changed, and was told.
    Path {
        /// Microseconds since 1970.
        at_us: u64,
        /// Its name.
        path: String,
        /// What is thought of it.
        verdict: Verdict,
        /// How long it had been silent, milliseconds.
        silent_ms: u64,
    },
    /// The hub was heard on no path any more, or on one again, and it was told.
    AllPaths {
        /// Microseconds since 1970.
        at_us: u64,
        /// Whether all were lost.
        lost: bool,
        /// How long nothing had been heard, milliseconds.
        silent_ms: u64,
    },
    /// What was made of an entry delay that no event had ended.
    EntryJudged {
        /// Microseconds since 1970.
        at_us: u64,
        /// Where.
        area: String,
        /// The event that began it.
        event: String,
        /// A burglary, which was told; else the hub was heard afterwards.
        burglary: bool,
        /// How long nothing had been heard, milliseconds.
        silent_ms: u64,
    },
}

/// What the ledger finds in an arrival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Finding {
    /// A journaled event seen for the first time. `settles` when its unjournaled copy was here before.
    #[allow(missing_docs)]
    Event { epoch: u64, seq: u64, id: String, class: String, kind: String, settles: bool },
    /// An alarm that went out before the hub's disk answered.
    #[allow(missing_docs)]
    Unjournaled { epoch: Option<u64>, id: String, kind: String },
    /// Held already; the hub asks for its receipt again.
    #[allow(missing_docs)]
    Duplicate { epoch: Option<u64>, seq: Option<u64>, id: String },
    /// Numbers below this arrival's are not here yet. Normal while alarms overtake; a fault if it stays.
    #[allow(missing_docs)]
    Gap { epoch: u64, from: u64, to: u64 },
    /// The last missing number below the highest of this epoch has come.
    #[allow(missing_docs)]
    GapClosed { epoch: u64, upto: u64 },
    /// Two different things under one name.
    #[allow(missing_docs)]
    Conflict { id: String, text: String },
    /// `prev` is not the hash of the event before.
    #[allow(missing_docs)]
    Chain { epoch: u64, seq: u64, text: String },
    /// First arrival after a later event of its class. Excused where the centre's own absence explains it.
    #[allow(missing_docs)]
    OutOfOrder { class: String, epoch: u64, seq: u64, after_epoch: u64, after_seq: u64, excused: bool },
    /// Against the contract, though readable and kept.
    #[allow(missing_docs)]
    Breach { id: String, text: String },
    /// Unreadable or with a wrong hash: not kept, not signed for.
    #[allow(missing_docs)]
    Refused { why: String },
}

/// What `vakt-arc audit` prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Journaled events held, each counted once.
    pub events: u64,
    /// Epochs seen.
    pub epochs: u64,
    /// Unjournaled events whose journaled copy has not come.
    pub unjournaled: u64,
    /// Unjournaled events whose journaled copy has come.
    pub settled: u64,
    /// Ranges of numbers missing below the highest of their epoch, now.
    pub gaps: u64,
    /// How many numbers are missing in them.
    pub missing: u64,
    /// Arrivals of what was held already.
    pub duplicates: u64,
    /// Two different things under one name.
    pub conflicts: u64,
    /// Links of the chain that do not hold.
    pub chain_faults: u64,
    /// First arrivals out of order within their class that nothing excuses.
    pub out_of_order: u64,
    /// First arrivals out of order that the centre's own absence explains.
    pub out_of_order_excused: u64,
    /// Arrivals that could not be signed for.
    pub refused: u64,
    /// Breaches of the contract in events that were kept.
    pub breaches: u64,
}

impl Counts {
    /// Whether nothing is missing and nothing is wrong. Duplicates are normal, and so is an unjournaled event that
    /// waits for its copy.
    pub fn clean(&self) -> bool {
        let faults = [self.gaps, self.conflicts, self.chain_faults, self.out_of_order, self.refused, self.breaches];
        faults.iter().all(|count| *count == 0)
    }
}
