//! When the centre signs, and for what (contract, `ack`): one receipt per epoch, coalesced while events stream in, at
//! once when they do not.
//!
//! Pure. It only ever names what the ledger holds on disk; that the disk has it is the caller's promise.

use super::finding::Finding;
use super::ledger::Ledger;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// The least time between two rounds of receipts, in milliseconds. A burst then costs at most 50 rounds a second.
pub const COALESCE_MS: u64 = 20;

/// The most numbers or ids one receipt names, so that it stays far below the 96 KiB of a packet; the rest follow in
/// the next receipt of the same round.
pub const NAMED_MAX: usize = 1000;

/// The payload of a receipt: the centre durably holds every seq ≤ `upto` of `epoch`, the listed seqs above it, and
/// the unjournaled events with the listed ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The gateway it is for.
    pub aud: String,
    /// The epoch `upto` and `seqs` count in.
    pub epoch: u64,
    /// Every number from 1 to this is held; 0 for none.
    pub upto: u64,
    /// Held above `upto`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seqs: Vec<u64>,
    /// Held without a number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
}

impl Receipt {
    /// As JSON.
    pub fn json(&self) -> Value {
        serde_json::to_value(self).expect("numbers and texts have a JSON form")
    }
}

#[derive(Debug, Default)]
struct Due {
    seqs: BTreeSet<u64>,
    ids: BTreeSet<String>,
}

/// What has still to be signed for.
#[derive(Debug, Default)]
pub struct Receipts {
    due: BTreeMap<u64, Due>,
    last_ms: Option<u64>,
}

impl Receipts {
    /// Notes what an arrival asks a receipt for: a first arrival and a repeated one alike, as a hub repeats itself
    /// when a receipt was lost.
    pub fn note(&mut self, findings: &[Finding], newest_epoch: Option<u64>) {
        for finding in findings {
            let (epoch, seq, id) = match finding {
                Finding::Event { epoch, seq, id, settles, .. } => (Some(*epoch), Some(*seq), settles.then_some(id)),
                Finding::Unjournaled { epoch, id, .. } => (*epoch, None, Some(id)),
                Finding::Duplicate { epoch, seq, id } => (*epoch, *seq, seq.is_none().then_some(id)),
                _ => continue,
            };
            let due = self.due.entry(epoch.or(newest_epoch).unwrap_or(0)).or_default();
            due.seqs.extend(seq);
            due.ids.extend(id.cloned());
        }
    }

    /// When the next round is due, in the caller's milliseconds; `None` when nothing is.
    pub fn due_at_ms(&self) -> Option<u64> {
        if self.due.is_empty() {
            return None;
        }
        Some(self.last_ms.map_or(0, |last| last + COALESCE_MS))
    }

    /// Takes the round that is due at `now_ms`.
    pub fn take(&mut self, now_ms: u64, gateway: &str, ledger: &Ledger) -> Vec<Receipt> {
        if self.due_at_ms().is_none_or(|due| due > now_ms) {
            return Vec::new();
        }
        self.last_ms = Some(now_ms);
        let due = std::mem::take(&mut self.due);
        due.into_iter().flat_map(|(epoch, due)| receipts(gateway, epoch, ledger.upto(epoch), &due)).collect()
    }
}

fn receipts(gateway: &str, epoch: u64, upto: u64, due: &Due) -> Vec<Receipt> {
    let seqs: Vec<u64> = due.seqs.iter().copied().filter(|seq| *seq > upto).collect();
    let ids: Vec<String> = due.ids.iter().cloned().collect();
    let rounds = seqs.len().div_ceil(NAMED_MAX).max(ids.len().div_ceil(NAMED_MAX)).max(1);
    let part = |round: usize, len: usize| (round * NAMED_MAX).min(len)..((round + 1) * NAMED_MAX).min(len);
    (0..rounds)
        .map(|round| Receipt {
            aud: gateway.to_owned(),
            epoch,
            upto,
            seqs: seqs[part(round, seqs.len())].to_vec(),
            ids: ids[part(round, ids.len())].to_vec(),
        })
        .collect()
}
