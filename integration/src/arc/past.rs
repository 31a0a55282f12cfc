//! What a centre that starts again must know besides its events: what it has told of the hub's paths, and who was in an
//! entry delay.
//!
//! Pure: it is rebuilt from the ledger's entries, in the order in which they were written.

use super::entry;
use super::entry::Entries;
use super::entry::Word;
use super::finding::Entry;
use super::finding::Finding;
use super::paths::PATHS_MAX;
use super::paths::Verdict;
use serde_json::Value;
use std::collections::BTreeMap;

/// What was told.
#[derive(Debug, Default)]
pub struct Past {
    /// The last verdict on each path.
    pub verdicts: BTreeMap<String, Verdict>,
    /// Whether all paths were lost.
    pub all_lost: bool,
    /// Entry delays.
    pub entries: Entries,
}

impl Past {
    /// Puts back one entry of the ledger file, and what the ledger found in it.
    pub fn replay(&mut self, entry: &Entry, findings: &[Finding]) {
        match entry {
            Entry::Arrived { at_us, body, .. } => {
                self.entries.heard(at_us / 1000);
                findings.iter().for_each(|finding| watch(&mut self.entries, finding, body, at_us / 1000));
            }
            Entry::Again { at_us, .. } => self.entries.heard(at_us / 1000),
            Entry::Path { path, verdict, .. } => {
                if self.verdicts.len() < PATHS_MAX || self.verdicts.contains_key(path) {
                    self.verdicts.insert(path.clone(), *verdict);
                }
            }
            Entry::AllPaths { lost, .. } => self.all_lost = *lost,
            Entry::EntryJudged { area, event, .. } => self.entries.was_judged(area, event),
            Entry::Connected { .. } | Entry::Refused { .. } | Entry::Dropped { .. } => {}
        }
    }
}

/// Lets the watch of entry delays look at an event that was not held before.
pub fn watch(entries: &mut Entries, finding: &Finding, body: &str, now_ms: u64) {
    let (kind, id, place) = match finding {
        Finding::Event { epoch, seq, id, kind, .. } => (kind, id, Some((*epoch, *seq))),
        Finding::Unjournaled { id, kind, .. } => (kind, id, None),
        _ => return,
    };
    // Every event tells how far the journal is; few say anything of an entry.
    let matters = entry::KINDS.contains(&kind.as_str());
    let event: Value = if matters { serde_json::from_str(body).unwrap_or_default() } else { Value::Null };
    let area = event.get("area").and_then(Value::as_str).unwrap_or_default();
    entries.event(Word { kind, id, area, detail: &event["detail"], place }, now_ms);
}
