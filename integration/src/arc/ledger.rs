//! What the centre holds, and what it finds wrong: gaps, order, duplicates, conflicts, broken chains.
//!
//! Pure: time is an argument, the disk is `store`. It is rebuilt from its own entries and then finds exactly what it
//! found the first time. It never refuses an event that verifies, whatever else is wrong with it.
//!
//! Every body is kept in memory too, which suits a site under test; a centre with years of many hubs keeps the rows
//! in its database and asks it the same questions.

use super::event;
use super::event::FIRST_PREV;
use super::event::Place;
use super::event::Received;
use super::finding::Counts;
use super::finding::Entry;
use super::finding::Finding;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// After the centre's own line was away, first arrivals within this time are not judged for order: with two paths,
/// what was sent while nobody listened may be sent again in between. Milliseconds.
pub const SETTLE_MS: u64 = 2_000;

/// Bytes of a refused body that are kept; who sends more rubbish than this loses its tail.
const REFUSED_KEPT_BYTES: usize = 1024;

/// A held event.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its epoch; for an unjournaled one the hub's epoch then, where it said so.
    pub epoch: Option<u64>,
    /// Its number; none while unjournaled.
    pub seq: Option<u64>,
    /// Its UUIDv7.
    pub id: String,
    /// Its class.
    pub class: String,
    /// Its type.
    pub kind: String,
    /// Microseconds since 1970, first arrival.
    pub at_us: u64,
    /// Its bytes.
    pub body: String,
    #[serde(skip)]
    prev: String,
    #[serde(skip)]
    hash: String,
    #[serde(skip)]
    facts: String,
}

impl Row {
    /// The event as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

#[derive(Debug, Default)]
struct Epoch {
    rows: BTreeMap<u64, Row>,
    /// Every number from 1 to this is held.
    upto: u64,
}

/// What is known of the order in one class.
#[derive(Debug, Default)]
struct Order {
    /// The highest (epoch, seq) that has arrived.
    top: (u64, u64),
    /// Below this, arrivals on the present connection of the centre are not judged.
    floor: Option<(u64, u64)>,
}

/// The ledger.
#[derive(Debug, Default)]
pub struct Ledger {
    epochs: BTreeMap<u64, Epoch>,
    unjournaled: BTreeMap<String, Row>,
    /// Where each id's journaled event is.
    ids: BTreeMap<String, (u64, u64)>,
    order: BTreeMap<String, Order>,
    dropped: BTreeSet<(u64, u64)>,
    counts: Counts,
    connections: u64,
    connected_at_us: u64,
}

impl Ledger {
    /// A line of the centre's came up: what was sent on it meanwhile may be missing, and that is not the hub's doing.
    pub fn connected(&mut self, at_us: u64) -> Entry {
        self.connections += 1;
        self.connected_at_us = at_us;
        for order in self.order.values_mut() {
            order.floor = None;
        }
        Entry::Connected { at_us }
    }

    /// Notes that the centre ignores this arrival on purpose, so that its later copy is not called out of order.
    pub fn dropped(&mut self, at_us: u64, body: &str) -> Option<Entry> {
        let Ok(Received { place: Place::Journaled { epoch, seq, .. }, .. }) = event::read(body) else {
            return None;
        };
        self.dropped.insert((epoch, seq));
        Some(Entry::Dropped { at_us, epoch, seq })
    }

    /// Takes one arrival: what to write to the ledger file, and what was found.
    pub fn take(&mut self, at_us: u64, topic_class: &str, body: &str) -> (Entry, Vec<Finding>) {
        let read = match event::read(body) {
            Ok(read) => read,
            Err(refusal) => {
                self.counts.refused += 1;
                let why = refusal.to_string();
                let entry = Entry::Refused { at_us, why: why.clone(), body: head_of(body) };
                return (entry, vec![Finding::Refused { why }]);
            }
        };
        let id = read.id.clone();
        let findings = self.absorb(at_us, topic_class, body, read);
        let entry = match findings.as_slice() {
            [Finding::Duplicate { .. }] => Entry::Again { at_us, id },
            _ => Entry::Arrived { at_us, topic_class: topic_class.to_owned(), body: body.to_owned() },
        };
        (entry, findings)
    }

    /// Puts back one entry of the ledger file, in the order in which it was written: what was found in it.
    pub fn replay(&mut self, entry: &Entry) -> Vec<Finding> {
        match entry {
            Entry::Connected { at_us } => drop(self.connected(*at_us)),
            Entry::Arrived { at_us, topic_class, body } => return self.take(*at_us, topic_class, body).1,
            Entry::Again { .. } => self.counts.duplicates += 1,
            Entry::Refused { .. } => self.counts.refused += 1,
            Entry::Dropped { epoch, seq, .. } => drop(self.dropped.insert((*epoch, *seq))),
            Entry::Path { .. } | Entry::AllPaths { .. } | Entry::EntryJudged { .. } => {}
        }
        Vec::new()
    }

    /// Everything counted, gaps as they are now.
    pub fn counts(&self) -> Counts {
        let gaps: Vec<(u64, u64, u64)> = self.gaps();
        Counts {
            events: self.epochs.values().map(|epoch| epoch.rows.len() as u64).sum(),
            epochs: self.epochs.len() as u64,
            unjournaled: self.unjournaled.len() as u64,
            gaps: gaps.len() as u64,
            missing: gaps.iter().map(|(_, from, to)| to - from + 1).sum(),
            ..self.counts
        }
    }

    /// The missing ranges: (epoch, first missing, last missing).
    pub fn gaps(&self) -> Vec<(u64, u64, u64)> {
        let mut gaps = Vec::new();
        for (number, epoch) in &self.epochs {
            let mut next = 1;
            for seq in epoch.rows.keys() {
                if *seq > next {
                    gaps.push((*number, next, seq - 1));
                }
                next = seq + 1;
            }
        }
        gaps
    }

    /// Every held event in the hub's order, unjournaled ones last.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.epochs.values().flat_map(|epoch| epoch.rows.values()).chain(self.unjournaled.values())
    }

    /// Every number of `epoch` from 1 to this is held.
    pub fn upto(&self, epoch: u64) -> u64 {
        self.epochs.get(&epoch).map_or(0, |held| held.upto)
    }

    /// The newest epoch seen.
    pub fn newest_epoch(&self) -> Option<u64> {
        self.epochs.keys().next_back().copied()
    }

    fn absorb(&mut self, at_us: u64, topic_class: &str, body: &str, read: Received) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut breaches = read.breaches.clone();
        if topic_class != read.class {
            breaches.push(format!("class {} on the topic of class {topic_class}", read.class));
        }
        let first_time = match &read.place {
            Place::Unjournaled { .. } => self.absorb_unjournaled(at_us, body, &read, &mut findings),
            Place::Journaled { .. } => self.absorb_journaled(at_us, body, &read, &mut findings),
        };
        if first_time {
            self.counts.breaches += breaches.len() as u64;
            findings.extend(breaches.into_iter().map(|text| Finding::Breach { id: read.id.clone(), text }));
        }
        findings
    }

    fn absorb_unjournaled(&mut self, at_us: u64, body: &str, read: &Received, findings: &mut Vec<Finding>) -> bool {
        let Place::Unjournaled { epoch } = read.place else { return false };
        let journaled = self.ids.get(&read.id).copied();
        let held = match journaled {
            Some((epoch, seq)) => self.epochs.get(&epoch).and_then(|held| held.rows.get(&seq)),
            None => self.unjournaled.get(&read.id),
        };
        if let Some(held) = held {
            let (epoch, seq) = (held.epoch, held.seq);
            if held.facts == read.facts {
                self.counts.duplicates += 1;
                findings.push(Finding::Duplicate { epoch, seq, id: read.id.clone() });
            } else {
                self.conflict(&read.id, "the unjournaled copy says something else than the one held", findings);
            }
            return false;
        }
        let (id, kind) = (read.id.clone(), read.kind.clone());
        self.unjournaled.insert(id.clone(), row(at_us, body, read));
        findings.push(Finding::Unjournaled { epoch, id, kind });
        true
    }

    fn absorb_journaled(&mut self, at_us: u64, body: &str, read: &Received, findings: &mut Vec<Finding>) -> bool {
        let Place::Journaled { epoch, seq, hash, .. } = &read.place else { return false };
        let (epoch, seq) = (*epoch, *seq);
        if let Some(held) = self.epochs.get(&epoch).and_then(|held| held.rows.get(&seq)) {
            // The erasable part may be gone from a later copy; the hash is over its digest and stays.
            let erased = held.hash == *hash && body.contains("\"personal_digest\"");
            if held.body == body || erased {
                self.counts.duplicates += 1;
                findings.push(Finding::Duplicate { epoch: Some(epoch), seq: Some(seq), id: read.id.clone() });
            } else {
                self.conflict(&read.id, &format!("({epoch}, {seq}) is held with other bytes"), findings);
            }
            return false;
        }
        if let Some((other_epoch, other_seq)) = self.ids.get(&read.id).copied() {
            let text = format!("({epoch}, {seq}) has the id of ({other_epoch}, {other_seq})");
            self.conflict(&read.id, &text, findings);
            return false;
        }
        let settles = self.settle(read, findings);
        let (id, class, kind) = (read.id.clone(), read.class.clone(), read.kind.clone());
        findings.push(Finding::Event { epoch, seq, id, class, kind, settles });
        self.judge_order(at_us, read, epoch, seq, findings);
        self.ids.insert(read.id.clone(), (epoch, seq));
        self.insert(epoch, seq, row(at_us, body, read), findings);
        self.judge_chain(epoch, seq, findings);
        true
    }

    /// Lets the journaled copy take the place of the unjournaled one, which must say the same.
    fn settle(&mut self, read: &Received, findings: &mut Vec<Finding>) -> bool {
        let Some(early) = self.unjournaled.remove(&read.id) else { return false };
        self.counts.settled += 1;
        if early.facts != read.facts {
            self.conflict(&read.id, "the journaled copy says something else than the unjournaled one", findings);
        }
        true
    }

    fn insert(&mut self, number: u64, seq: u64, row: Row, findings: &mut Vec<Finding>) {
        let epoch = self.epochs.entry(number).or_default();
        let highest = epoch.rows.keys().next_back().copied().unwrap_or(0);
        let had_gap = highest > epoch.upto;
        epoch.rows.insert(seq, row);
        while epoch.rows.contains_key(&(epoch.upto + 1)) {
            epoch.upto += 1;
        }
        if seq > highest + 1 {
            findings.push(Finding::Gap { epoch: number, from: highest + 1, to: seq - 1 });
        } else if had_gap && epoch.upto >= highest {
            findings.push(Finding::GapClosed { epoch: number, upto: epoch.upto });
        }
    }

    fn judge_order(&mut self, at_us: u64, read: &Received, epoch: u64, seq: u64, findings: &mut Vec<Finding>) {
        let settling = self.connections > 1 && at_us.saturating_sub(self.connected_at_us) < SETTLE_MS * 1000;
        let order = self.order.entry(read.class.clone()).or_default();
        let here = (epoch, seq);
        let floor = *order.floor.get_or_insert(here);
        if settling {
            order.floor = Some(floor.max(here));
        }
        if here > order.top {
            order.top = here;
            return;
        }
        let excused = settling || here < floor || self.dropped.contains(&here);
        let (after_epoch, after_seq) = order.top;
        let class = read.class.clone();
        findings.push(Finding::OutOfOrder { class, epoch, seq, after_epoch, after_seq, excused });
        *(if excused { &mut self.counts.out_of_order_excused } else { &mut self.counts.out_of_order }) += 1;
    }

    /// Checks the links to both neighbours that are held; each link is checked once, when its second end arrives.
    fn judge_chain(&mut self, number: u64, seq: u64, findings: &mut Vec<Finding>) {
        let Some(rows) = self.epochs.get(&number).map(|epoch| &epoch.rows) else { return };
        let mut broken = Vec::new();
        for later in [Some(seq), seq.checked_add(1)].into_iter().flatten() {
            let Some(row) = rows.get(&later) else { continue };
            let before =
                if later == 1 { Some(FIRST_PREV) } else { rows.get(&(later - 1)).map(|row| row.hash.as_str()) };
            if let Some(before) = before.filter(|before| *before != row.prev) {
                let text = format!("its prev is {}, the hash before it is {before}", row.prev);
                broken.push(Finding::Chain { epoch: number, seq: later, text });
            }
        }
        self.counts.chain_faults += broken.len() as u64;
        findings.append(&mut broken);
    }

    fn conflict(&mut self, id: &str, text: &str, findings: &mut Vec<Finding>) {
        self.counts.conflicts += 1;
        findings.push(Finding::Conflict { id: id.to_owned(), text: text.to_owned() });
    }
}

fn row(at_us: u64, body: &str, read: &Received) -> Row {
    let (epoch, seq, prev, hash) = match &read.place {
        Place::Journaled { epoch, seq, prev, hash } => (Some(*epoch), Some(*seq), prev.clone(), hash.clone()),
        Place::Unjournaled { epoch } => (*epoch, None, String::new(), String::new()),
    };
    let (id, class, kind, facts) = (read.id.clone(), read.class.clone(), read.kind.clone(), read.facts.clone());
    Row { epoch, seq, id, class, kind, at_us, body: body.to_owned(), prev, hash, facts }
}

fn head_of(body: &str) -> String {
    let end = (0..=body.len().min(REFUSED_KEPT_BYTES)).rev().find(|at| body.is_char_boundary(*at)).unwrap_or(0);
    body[..end].to_owned()
}
