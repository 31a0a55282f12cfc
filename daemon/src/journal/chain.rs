//! Walks the chain, row by row, and names the first that does not hold.
//!
//! An event verifies alone by its hash; that none was taken out or put in shows by `seq` and `prev`. It never mends.

use crate::journal::record::Row;
use crate::journal::record::anchor_text;
use crate::journal::record::show;
use ring::signature::ED25519;
use ring::signature::UnparsedPublicKey;
use std::collections::BTreeMap;
use vakt_core::canonical::hex;
use vakt_core::event::Event;
use vakt_core::event::Fact;
use vakt_core::event::RestartReason;
use vakt_core::port::Head;
use vakt_core::port::Place;

/// Where rows were pruned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The last pruned place.
    pub place: Place,
    /// Its hash.
    pub hash: [u8; 32],
    /// The hub's signature.
    pub signature: Vec<u8>,
}

/// The first row that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", show(*.place))]
pub struct BadRow {
    /// Where.
    pub place: Place,
    /// What is wrong with it.
    pub what: String,
}

/// What was found when all rows hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Rows walked.
    pub rows: u64,
    /// Epochs seen.
    pub epochs: u64,
    /// Rows missing from epochs that ended in a damaged journal: what could be salvaged was.
    pub lost: u64,
    /// The last row.
    pub head: Head,
}

/// The walk. Feed it every row in order, then finish it.
#[derive(Debug)]
pub struct Walk {
    anchors: BTreeMap<u64, Anchor>,
    /// Epochs that ended in a damaged journal: their rows may have gaps.
    damaged: Vec<u64>,
    hub_keys: Vec<[u8; 32]>,
    found: Verified,
    /// Gaps to be excused only if the next epoch says that the journal was damaged.
    gaps: Vec<BadRow>,
}

impl Walk {
    /// Begins a walk. `hub_keys` are keys known from snapshots, for anchors whose `key_listed` was itself pruned.
    pub fn new(anchors: Vec<Anchor>, hub_keys: Vec<[u8; 32]>) -> Self {
        let anchors = anchors.into_iter().map(|anchor| (anchor.place.epoch, anchor)).collect();
        Self { anchors, damaged: Vec::new(), hub_keys, found: Verified::default(), gaps: Vec::new() }
    }

    /// Begins the walk in the middle: the rows up to here are taken as they are.
    pub fn start_after(&mut self, head: Head) {
        self.found.head = head;
    }

    /// Checks one row against those before it, and gives its event.
    ///
    /// # Errors
    /// The row, and what is wrong.
    pub fn row(&mut self, row: &Row) -> Result<Event, BadRow> {
        let bad = |what: String| BadRow { place: row.place, what };
        let (prev, event) = row.check().map_err(|e| bad(e.to_string()))?;
        let head = self.found.head;
        let first = row.place.epoch != head.place.epoch;
        let (before, expected) = match self.anchors.get(&row.place.epoch) {
            Some(anchor) if first => (anchor.place.seq, anchor.hash),
            _ if first => (0, [0; 32]),
            _ => (head.place.seq, head.hash),
        };
        if row.place.seq <= before {
            return Err(bad(format!("seq {} follows seq {before}", row.place.seq)));
        }
        if row.place.seq > before + 1 {
            let missing = row.place.seq - before - 1;
            self.found.lost += missing;
            self.gaps.push(bad(format!("{missing} rows before it are missing")));
        } else if prev != expected {
            return Err(bad(format!("its prev is {}, the row before has {}", hex(&prev), hex(&expected))));
        }
        self.remember(&event);
        self.found.rows += 1;
        self.found.epochs += u64::from(first);
        self.found.head = Head { place: row.place, hash: row.hash };
        Ok(event)
    }

    fn remember(&mut self, event: &Event) {
        match &event.fact {
            Fact::JournalRestarted { reason: RestartReason::Quarantined, old_epoch: Some(epoch), .. } => {
                self.damaged.push(*epoch);
            }
            Fact::KeyListed { role, ed25519, .. } if role == "hub" => self.hub_keys.extend(public_key(ed25519)),
            _ => {}
        }
    }

    /// The end of the rows.
    ///
    /// # Errors
    /// A gap in an epoch that did not end in damage, or an anchor nobody signed.
    pub fn finish(self) -> Result<Verified, BadRow> {
        if let Some(gap) = self.gaps.into_iter().find(|gap| !self.damaged.contains(&gap.place.epoch)) {
            return Err(gap);
        }
        for anchor in self.anchors.values() {
            let text = anchor_text(anchor.place, &anchor.hash);
            let signed =
                |key: &[u8; 32]| UnparsedPublicKey::new(&ED25519, key).verify(&text, &anchor.signature).is_ok();
            if !self.hub_keys.iter().any(signed) {
                let what = "rows up to here were pruned, but the hub's signature for it does not hold".to_owned();
                return Err(BadRow { place: anchor.place, what });
            }
        }
        Ok(self.found)
    }
}

/// A public key as events and snapshots write it.
pub fn public_key(text: &str) -> Option<[u8; 32]> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}
