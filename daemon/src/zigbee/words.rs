//! What was heard a moment ago: whether a word is new, said again or overtaken, and the answers that wait until their
//! word is recorded.
//!
//! It forgets, and then takes a word for new: one told twice does no harm, one thrown away may be an alarm.

use crate::zigbee::eui64::Eui64;
use crate::zigbee::host::AnswerId;
use crate::zigbee::interview::Message;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use vakt_core::device::DeviceState;
use vakt_core::device::Report;

/// Words of detectors that wait to be recorded before they are answered; beyond it the oldest goes unanswered, and its
/// detector says it again.
const ANSWERS_MAX: usize = 256;
/// Words remembered to know a repeated one.
const RECENT_MAX: usize = 512;
/// A word with the same number, from the same place, is the same word for so long, ms.
const RECENT_MS: u64 = 10_000;
/// A word may be overtaken by so many others, safely less than half of what the numbers count to, and so much later, ms:
/// a detector tries an unheard one again for some 5 s.
const OVERTAKEN: (u8, u64) = (100, 10_000);

/// Who said it: the device, its endpoint, the cluster.
pub(crate) type From = (Eui64, u8, u16);

/// A word as it came.
pub(crate) struct Said<'a> {
    pub(crate) from: From,
    /// Its number in its own counting.
    pub(crate) tsn: u8,
    /// Its radio's number, which counts everything the device sends.
    pub(crate) aps: u8,
    pub(crate) bytes: &'a [u8],
    pub(crate) at_ms: u64,
}

struct Recent {
    from: From,
    tsn: u8,
    aps: u8,
    bytes: Vec<u8>,
    at_ms: u64,
    answer: Option<AnswerId>,
    recorded: bool,
}

/// What became of the word that is said again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// It is recorded, or nobody waits for its answer.
    Done,
    /// Not yet; its answer has this number.
    Waits(AnswerId),
}

/// A detector's newest word.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    /// The detector's own number of it; an answer to a question of the hub's has the question's instead.
    pub(crate) own: Option<u8>,
    pub(crate) aps: u8,
    pub(crate) at_ms: u64,
    pub(crate) report: Report,
}

/// Where a word stands among those of its detector.
pub(crate) enum Order {
    /// It is the newest.
    Newest,
    /// A later one has overtaken it: this.
    Overtaken(Report),
}

#[derive(Default)]
pub(crate) struct Words {
    recent: VecDeque<Recent>,
    newest: BTreeMap<(Eui64, u8), Word>,
    answers: BTreeMap<AnswerId, (u16, Message)>,
    next_answer: AnswerId,
}

impl Words {
    /// `first`: numbers of an earlier host must not fit, because its messages are gone.
    pub(crate) fn new(first: AnswerId) -> Self {
        Self { next_answer: first, ..Self::default() }
    }

    /// Whether this word was heard a moment ago; remembers it if not.
    ///
    /// The radio repeats a word under the same number of its own, the detector under the same number of the word. Where
    /// that number stands still, which another word under it shows, it proves nothing.
    pub(crate) fn again(&mut self, said: &Said<'_>) -> Option<Again> {
        let now_ms = said.at_ms;
        while self.recent.front().is_some_and(|old| old.at_ms + RECENT_MS <= now_ms) || self.recent.len() >= RECENT_MAX
        {
            self.recent.pop_front();
        }
        let same = |old: &Recent| old.from == said.from && old.bytes == said.bytes;
        if let Some(at) = self.recent.iter().rposition(same) {
            let mut since = self.recent.range(at + 1..).filter(|later| later.from == said.from);
            let stands_still = since.any(|later| later.tsn == said.tsn);
            let old = &self.recent[at];
            if !stands_still || old.aps == said.aps {
                return Some(match old.answer {
                    Some(answer) if !old.recorded => Again::Waits(answer),
                    _ => Again::Done,
                });
            }
        }
        let Said { from, tsn, aps, bytes, at_ms } = *said;
        self.recent.push_back(Recent { from, tsn, aps, bytes: bytes.to_vec(), at_ms, answer: None, recorded: false });
        None
    }

    /// Keeps the answer to the word that `again` has just remembered, until it is recorded.
    pub(crate) fn hold(&mut self, nwk: u16, message: Message) -> AnswerId {
        self.next_answer = self.next_answer.wrapping_add(1);
        if let Some(recent) = self.recent.back_mut() {
            recent.answer = Some(self.next_answer);
        }
        self.hold_again(self.next_answer, nwk, message);
        self.next_answer
    }

    /// The same for a word that was said again and is still not recorded.
    pub(crate) fn hold_again(&mut self, answer: AnswerId, nwk: u16, message: Message) {
        if self.answers.len() >= ANSWERS_MAX {
            self.answers.pop_first();
        }
        self.answers.insert(answer, (nwk, message));
    }

    /// A word is recorded: what its detector is to be told, and where.
    pub(crate) fn recorded(&mut self, answer: AnswerId) -> Option<(u16, Message)> {
        if let Some(recent) = self.recent.iter_mut().find(|recent| recent.answer == Some(answer)) {
            recent.recorded = true;
        }
        self.answers.remove(&answer)
    }

    /// The link is gone, and with it whom the answers were for.
    pub(crate) fn link_down(&mut self) {
        self.answers.clear();
    }

    /// A device that joins or announces itself may count from the beginning.
    pub(crate) fn anew(&mut self, device: Eui64) {
        self.recent.retain(|recent| recent.from.0 != device);
        self.newest.retain(|(known, _), _| *known != device);
    }

    /// Where this word stands; the newest is remembered.
    pub(crate) fn order(&mut self, zone: (Eui64, u8), word: Word) -> Order {
        if let Some(newest) = self.newest.get(&zone).filter(|newest| word.is_older_than(newest)) {
            return Order::Overtaken(newest.report.clone());
        }
        self.newest.insert(zone, word);
        Order::Newest
    }
}

impl Word {
    /// Whether a later word has overtaken this one: both numbers say so, where both have them. One alone proves nothing
    /// of a notification, because some detectors count oddly.
    fn is_older_than(&self, newest: &Self) -> bool {
        let behind = |mine: u8, theirs: u8| (1..=OVERTAKEN.0).contains(&theirs.wrapping_sub(mine));
        behind(self.aps, newest.aps)
            && self.own.zip(newest.own).is_none_or(|(mine, theirs)| behind(mine, theirs))
            && self.at_ms.saturating_sub(newest.at_ms) <= OVERTAKEN.1
    }
}

/// Whether a report says that something is there, or wrong.
pub(crate) fn active(report: &Report) -> bool {
    let Report { state, tamper, fault, .. } = report;
    matches!(state, Some(DeviceState::Open | DeviceState::Alarm)) || *tamper == Some(true) || *fault == Some(true)
}
