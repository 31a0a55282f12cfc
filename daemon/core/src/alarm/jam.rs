//! Jamming (R27): interference of 30 s in all within any minute is somebody's work, until it has been quiet for one.
//!
//! How much there was is no event and no state: only the verdict is. It never takes a jammed radio for a quiet house.

use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::state::State;
use crate::event::{Event, Fact};
use crate::input::{Disk, Input};
use crate::stamp::Stamp;
use std::collections::BTreeMap;

/// So much interference in all (requirements, "jamming"), in ms.
const TOTAL_MS: u64 = 30_000;
/// Within any so long, in ms.
const WITHIN_MS: u64 = 60_000;
/// It is over when there was none for so long, in ms.
const QUIET_MS: u64 = 60_000;
/// Bursts remembered per receiver. More in one minute: the oldest are taken for one with the next.
const BURSTS_MAX: usize = 64;

/// Bursts of interference at one receiver, on the monotonic clock: begin, and end where it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Bursts {
    spans: Vec<(u64, Option<u64>)>,
    /// Since when it is quiet; `None` while interference lasts, and while nothing is known.
    quiet_since: Option<u64>,
}

impl Bursts {
    /// A receiver that knows nothing of the air any more has heard no more interference, and no quiet either.
    fn note(&mut self, now: u64, on: Option<bool>) {
        match (on == Some(true), self.spans.last_mut()) {
            (true, Some((_, None))) | (false, None | Some((_, Some(_)))) => {}
            (true, _) => self.spans.push((now, None)),
            (false, Some(last)) => last.1 = Some(now),
        }
        self.quiet_since = (on == Some(false)).then(|| self.quiet_since.unwrap_or(now));
        self.spans.retain(|(_, end)| end.is_none_or(|end| end + WITHIN_MS > now));
        while self.spans.len() > BURSTS_MAX {
            let (begin, _) = self.spans.remove(0);
            self.spans[0].0 = begin;
        }
    }

    /// How much there was in the last minute, in ms.
    fn total(&self, now: u64) -> u64 {
        let from = now.saturating_sub(WITHIN_MS);
        self.spans.iter().map(|(begin, end)| end.unwrap_or(now).saturating_sub((*begin).max(from))).sum()
    }

    fn lasts(&self) -> bool {
        self.spans.last().is_some_and(|(_, end)| end.is_none())
    }
}

/// The air around the receivers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Air {
    receivers: BTreeMap<String, Bursts>,
}

impl Air {
    /// Takes note of interference that begins or ends.
    pub(crate) fn hear(&mut self, now: Stamp, inputs: &[Input]) {
        for input in inputs {
            if let Input::Interference { receiver, on } = input {
                self.receivers.entry(receiver.clone()).or_default().note(now.mono_ms, *on);
            }
        }
    }

    /// When a verdict may change, in ms.
    pub(crate) fn due_ms(&self, state: &State, now: Stamp) -> Option<u64> {
        let due = self.receivers.iter().filter_map(|(receiver, bursts)| {
            if state.jammed.contains(receiver) {
                let since = bursts.quiet_since?;
                return Some((since + QUIET_MS).saturating_sub(now.mono_ms));
            }
            let left = TOTAL_MS.saturating_sub(bursts.total(now.mono_ms));
            bursts.lasts().then_some(left)
        });
        due.min()
    }
}

/// Verdicts that have changed.
pub(crate) fn on_time(draft: &mut Draft) {
    if matches!(draft.context.disk, Disk::Failed { .. }) {
        return; // what room there is is for alarms
    }
    let now = draft.now().mono_ms;
    let verdicts: Vec<(String, bool)> = (draft.air.receivers.iter())
        .filter_map(|(receiver, bursts)| {
            let jammed = draft.state.jammed.contains(receiver);
            let over = bursts.quiet_since.is_some_and(|since| since + QUIET_MS <= now);
            match jammed {
                false if bursts.total(now) >= TOTAL_MS => Some((receiver.clone(), true)),
                true if over => Some((receiver.clone(), false)),
                _ => None,
            }
        })
        .collect();
    for (receiver, jammed) in verdicts {
        let fact = if jammed { Fact::JammingStarted { receiver } } else { Fact::JammingEnded { receiver } };
        draft.keep(fact, About::default());
    }
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    match &event.fact {
        Fact::JammingStarted { receiver } => drop(state.jammed.insert(receiver.clone())),
        Fact::JammingEnded { receiver } => drop(state.jammed.remove(receiver)),
        // Nobody knows how the air is after a start; a jammer that is still there is heard again within the minute.
        Fact::HubStarted { .. } => state.jammed.clear(),
        _ => {}
    }
}
