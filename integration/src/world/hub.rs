//! The hub's process: one turn after the other, around the real panel and the real journal, as `hub/io/core` plays it,
//! but in virtual time and so that it can be killed between any two verbs.
//!
//! What it must do when the disk fails is told here again, because that half of `hub/io/core` lives in a task of tokio;
//! what is decided, written, sealed, replayed and sent is the daemon's own code.

use super::Item;
use super::World;
use super::bugs::Bug;
use super::checks::Check;
use super::checks::Held;
use super::checks::broken;
use super::story::Verb;
use super::voice::Voice;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;
use vakt_core::alarm::panel::Panel;
use vakt_core::alarm::panel::Why;
use vakt_core::alarm::state::State;
use vakt_core::canonical::hex;
use vakt_core::challenge::Challenges;
use vakt_core::device::DeviceState;
use vakt_core::event::Event;
use vakt_core::input::Context;
use vakt_core::input::Disk;
use vakt_core::input::Effect;
use vakt_core::input::Input;
use vakt_core::input::InstalledKey;
use vakt_core::input::Reply;
use vakt_core::port::Place;
use vakt_core::stamp::Stamp;
use vakt_core::turn::Decided;
use vaktd::journal::io::reader::Reader;
use vaktd::journal::io::store;
use vaktd::journal::io::store::Begun;
use vaktd::journal::io::writer;
use vaktd::journal::io::writer::Answer;
use vaktd::journal::io::writer::Desk;
use vaktd::journal::io::writer::Journal;
use vaktd::journal::io::writer::Keys;

/// Inputs taken in one turn.
pub(super) const TURN_MAX: usize = 256;
/// A duty that falls due again and again must not spin, in ms.
const DUE_MIN_MS: u64 = 20;
/// Events that one input may lead to, and one turn besides: lists of a site are short, and so is what follows from one.
const EVENTS_PER_INPUT: usize = 8;
const EVENTS_PER_TURN: usize = 64;
/// Duties in a row that may lead to nothing, if they come within a second each.
const IDLE_MAX: u32 = 50;
/// Seals the side snapshot.
const SEAL: [u8; 32] = [7; 32];
/// How often the side snapshot is written, of a thousand chances: it may be late, never early.
const SIDE_PER_MILLE: u32 = 40;

/// How the hub stands with its disk.
pub(super) enum Standing {
    Well,
    Failed {
        /// A commit that has not answered yet, and when it will.
        answer: Option<(oneshot::Receiver<Answer>, u64)>,
        covers: usize,
        retry_at: u64,
        refused: u64,
        total: u64,
    },
}

/// A process at work.
pub(super) struct Hub {
    pub panel: Panel,
    pub challenges: Challenges,
    pub journal: Journal,
    pub desk: Desk,
    pub reader: Reader,
    pub standing: Standing,
    pub pending: VecDeque<Event>,
    pub place: Place,
    pub since_snapshot: u64,
    pub again: Vec<Input>,
    /// When the panel must look again.
    pub due_at: u64,
    pub voice: Voice,
    /// When it began to listen.
    pub since: Stamp,
    /// Duties looked at in a row that led to nothing, and since when.
    idle: (u32, u64),
}

/// What was known when the process went, for the next one to be held to.
pub(super) struct Last {
    state: State,
    /// On record, not applied.
    unapplied: Vec<Event>,
}

impl Hub {
    /// When it has something to do by time alone.
    pub(super) fn next_at(&self) -> u64 {
        let disk = match &self.standing {
            Standing::Well => u64::MAX,
            Standing::Failed { answer: Some((_, at)), .. } => *at,
            Standing::Failed { answer: None, retry_at, .. } => *retry_at,
        };
        disk.min(self.due_at)
    }

    pub(super) fn disk_well(&self) -> bool {
        matches!(self.standing, Standing::Well)
    }
}

impl World {
    /// The process starts, on what the disk holds.
    pub(super) fn starts(&mut self) -> Held {
        if self.hub.is_some() || self.dark {
            return Ok(());
        }
        if self.disk_fault.is_some() {
            // It would end at once; what starts it tries again.
            self.after(self.now + 5_000, Item::Starts);
            return Ok(());
        }
        let opened = store::open(&self.disk.dir(), &SEAL, 5).expect("a disk that is well opens");
        if let (Some(begun), false) = (&opened.begun, self.run == 0) {
            return broken(Check::Replay, format!("a new epoch begins, nothing was damaged: {}", begun.text));
        }
        self.look()?;
        let mut state = opened.state;
        if self.story.bug == Some(Bug::ForgetsAtStart) {
            state.incidents.clear();
            state.codes.clear();
            state.stopped = !state.stopped;
        }
        self.replays(&state)?;
        self.run += 1;
        let store = opened.store;
        let place = store.head.place;
        let (journal, desk) = writer::prepare(self.disk.dir(), store, self.keys.clone());
        let reader = Reader::open(&self.disk.dir().join("journal.db")).expect("a journal can be read");
        let challenges = Challenges::new(self.prng.bytes());
        let mut panel = Panel::new(state);
        panel.challenge_with(challenges.clone());
        let since = self.stamp();
        self.kernel_begins();
        let voice = Voice::new(place, challenges.clone(), self.conns, since);
        self.hub = Some(Hub {
            panel,
            challenges,
            journal,
            desk,
            reader,
            standing: Standing::Well,
            pending: VecDeque::new(),
            place,
            since_snapshot: 0,
            again: Vec::new(),
            due_at: self.now,
            voice,
            since,
            idle: (0, self.now),
        });
        self.trace.note(self.now, "hub", format_args!("starts, boot {} seq {}", since.boot, place.seq));
        let keys = [("arc-1", "arc"), ("anna-phone", "owner")];
        let key = |(kid, role): (&str, &str)| InstalledKey {
            kid: kid.to_owned(),
            role: role.to_owned(),
            ed25519: "A".repeat(43),
        };
        let keys = keys.map(key).to_vec();
        let started = Input::Started {
            version: "0.1.0".to_owned(),
            keys,
            profile: self.story.profile,
            timezone: "Europe/Oslo".to_owned(),
        };
        let begun = opened.begun.map(journal_begun);
        self.turn(begun.into_iter().chain([started]).collect())
    }

    /// What a start has read must be what the rows say, and what the process before had known.
    fn replays(&mut self, state: &State) -> Held {
        if *state != self.shadow {
            return broken(Check::Replay, "the journal opens to something else than its rows, one by one, say");
        }
        if let Some(mut last) = self.last.take() {
            last.unapplied.iter().for_each(|event| last.state.apply(event));
            if last.state != *state {
                return broken(Check::Replay, "a start knows something else than the process before it knew");
            }
        }
        Ok(())
    }

    /// The process is gone, at this moment.
    pub(super) fn dies(&mut self, why: &str, unapplied: Vec<Event>) -> Held {
        let Some(mut hub) = self.hub.take() else { return Ok(()) };
        self.trace.note(self.now, "hub", format_args!("dies: {why}, {} kept", hub.pending.len()));
        let certain = hub.pending.is_empty() && hub.disk_well();
        if !certain && self.prng.chance(500) {
            // What was handed to the kernel may be written all the same.
            hub.desk.work();
        }
        self.last = certain.then(|| Last { state: hub.panel.state().clone(), unapplied });
        drop(hub);
        self.look()?;
        for id in self.kept_alarms.split_off(0) {
            // Declared: what only a memory held that is gone is gone. What reached the centre is there.
            if !self.evidence.on_disk.contains_key(&id) {
                self.evidence.life.remove(&id);
            }
        }
        if let Some((saved, _)) = self.unsaved.take() {
            self.oracle = saved;
        }
        self.inbox.clear();
        self.asks.clear();
        self.quiet = true;
        self.connections_die();
        self.said = Default::default();
        self.looks.clear();
        Ok(())
    }

    /// One turn: decide → record → apply → act.
    pub(super) fn turn(&mut self, inputs: Vec<Input>) -> Held {
        self.now = self.now.max(self.last_turn + 1);
        self.last_turn = self.now;
        self.turns += 1;
        if self.kills_before(Verb::Decide, true) {
            return self.killed("before deciding", vec![]);
        }
        let heard = inputs.clone();
        let inputs = self.bent_inputs(inputs);
        let entropy = self.prng.bytes();
        let (now, room) = (self.stamp(), self.story.room);
        let Some(hub) = self.hub.as_mut() else { return Ok(()) };
        let disk = match hub.standing {
            Standing::Well => Disk::Well,
            Standing::Failed { .. } if self.story.bug == Some(Bug::HoardsEvents) => Disk::Failed { room: usize::MAX },
            Standing::Failed { .. } => Disk::Failed { room: room.saturating_sub(hub.pending.len()) },
        };
        let context = Context { now, entropy, disk };
        hub.panel.hear(now, &inputs);
        if self.story.bug == Some(Bug::NeverMisses) {
            hub.panel.hear(now, &self.everybody);
        }
        let decided = hub.panel.decide(&context, inputs);
        let events = decided.events().to_vec();
        if events.len() > EVENTS_PER_TURN + heard.len() * EVENTS_PER_INPUT {
            return broken(Check::Limits, format!("{} events out of {} inputs", events.len(), heard.len()));
        }
        self.spins(&heard, &events)?;
        if self.story.bug == Some(Bug::ActsBeforeCommit) && !events.is_empty() {
            self.release_early(decided.clone())?;
        }
        if self.kills_before(Verb::Record, !events.is_empty()) {
            return self.killed("decided, not recorded", vec![]);
        }
        let recorded = self.record(decided)?;
        self.survived(now, &heard, &events)?;
        if self.kills_before(Verb::Apply, !events.is_empty()) {
            let unapplied = if self.hub.as_ref().is_some_and(Hub::disk_well) { events } else { vec![] };
            return self.killed("recorded, not applied", unapplied);
        }
        let now = self.stamp();
        let Some(hub) = self.hub.as_mut() else { return Ok(()) };
        let effects = hub.panel.apply(recorded, now);
        self.answers_all(&heard, &effects)?;
        let stop_after = match self.kill {
            Some((Verb::Act(n), _)) if !events.is_empty() => Some(usize::from(n)),
            _ => None,
        };
        for (at, effect) in effects.into_iter().enumerate() {
            if stop_after == Some(at) {
                return self.killed("applied, not all released", vec![]);
            }
            self.releases(effect, &events)?;
        }
        if stop_after.is_some() {
            return self.killed("all released", vec![]);
        }
        self.afterwards(&events)
    }

    fn kills_before(&self, verb: Verb, ripe: bool) -> bool {
        ripe && self.kill.is_some_and(|(at, _)| at == verb)
    }

    fn killed(&mut self, why: &str, unapplied: Vec<Event>) -> Held {
        if let Some((_, down_ms)) = self.kill.take() {
            self.after(self.now + down_ms, Item::Starts);
        }
        self.dies(why, unapplied)
    }

    /// A duty that falls due must be done with, or fall due later.
    fn spins(&mut self, heard: &[Input], events: &[Event]) -> Held {
        let now = self.now;
        let Some(hub) = self.hub.as_mut() else { return Ok(()) };
        let idle = events.is_empty() && matches!(heard, [Input::Tick]);
        hub.idle = if idle { (hub.idle.0 + 1, hub.idle.1) } else { (0, now) };
        if hub.idle.0 > IDLE_MAX && now < hub.idle.1 + u64::from(IDLE_MAX) * 1_000 {
            let due = hub.panel.next_due(self.clock.stamp(self.now));
            return broken(Check::Limits, format!("{due:?} falls due again and again, and nothing comes of it"));
        }
        Ok(())
    }

    /// The turn is on record, or kept for want of a disk: what follows from it is judged.
    fn survived(&mut self, now: Stamp, heard: &[Input], events: &[Event]) -> Held {
        let well = self.hub.as_ref().is_some_and(Hub::disk_well);
        if !well && !events.is_empty() {
            let before = self.oracle.clone();
            self.unsaved.get_or_insert_with(|| (before, VecDeque::new()));
        }
        for event in events {
            let kept = self.witnesses(event)?;
            self.trace.note(self.now, "hub", format_args!("{} {}", if kept { "kept" } else { "row " }, Said(event)));
        }
        if !self.installing {
            if let Err(what) = self.oracle.turn(now, heard, events, well) {
                return broken(Check::Oracle, what);
            }
            self.hears_who(heard);
        }
        if let (false, Some((_, turns)), Some(last)) = (well, &mut self.unsaved, events.last()) {
            turns.push_back((last.id, self.oracle.clone()));
        }
        self.saved();
        Ok(())
    }

    /// Turns whose last event the disk has taken meanwhile are what a start would know.
    pub(super) fn saved(&mut self) {
        let Some((saved, turns)) = &mut self.unsaved else { return };
        while turns.front().is_some_and(|(last, _)| self.evidence.on_disk.contains_key(last)) {
            if let Some((_, oracle)) = turns.pop_front() {
                *saved = oracle;
            }
        }
        if turns.is_empty() && self.hub.as_ref().is_some_and(Hub::disk_well) {
            self.unsaved = None;
        }
    }

    /// What a process does beside its turns.
    fn afterwards(&mut self, events: &[Event]) -> Held {
        let side = !events.is_empty() && self.prng.chance(SIDE_PER_MILLE);
        let now = self.clock.stamp(self.now);
        let Some(hub) = self.hub.as_mut() else { return Ok(()) };
        if hub.since_snapshot >= self.story.snapshot_every {
            self.snapshot();
        }
        let Some(hub) = self.hub.as_mut() else { return Ok(()) };
        if side && hub.disk_well() && hub.journal.side(Arc::new(hub.panel.state().clone()), hub.place) {
            hub.desk.work();
        }
        let blind = self.story.bug == Some(Bug::EntryNeverEnds);
        let due = hub.panel.next_due(now).filter(|due| !(blind && due.why == Why::EntryEnds));
        let due = due.map_or(u64::MAX / 2, |due| due.in_ms.max(DUE_MIN_MS));
        hub.due_at = if self.story.bug == Some(Bug::Spins) { self.now } else { self.now.saturating_add(due) };
        self.sounds_right()
    }

    /// The clock was set: what is due may be due at another moment.
    pub(super) fn clock_moved(&mut self) {
        self.hub.iter_mut().for_each(|hub| hub.due_at = self.now);
    }

    /// Effects leave before the commit: what must never be.
    fn release_early(&mut self, decided: Decided) -> Held {
        let Some(hub) = self.hub.as_ref() else { return Ok(()) };
        let events = decided.events().to_vec();
        let ids = events.iter().map(|event| event.id).collect();
        let head = *hub.journal.head().borrow();
        let recorded = decided.committed(&vakt_core::turn::Committed { ids, head });
        let effects = hub.panel.clone().apply(recorded, self.clock.stamp(self.now));
        for effect in effects {
            self.releases(effect, &events)?;
        }
        Ok(())
    }

    fn bent_inputs(&mut self, inputs: Vec<Input>) -> Vec<Input> {
        match self.story.bug {
            Some(Bug::LosesWords) => {
                inputs.into_iter().map(|input| if tells_something(&input) { Input::Tick } else { input }).collect()
            }
            Some(Bug::ObeysAgain) => inputs
                .into_iter()
                .map(|input| match input {
                    Input::Warrant(mut warrant) => {
                        warrant.jti = format!("{}-{}", warrant.jti, self.turns);
                        Input::Warrant(warrant)
                    }
                    other => other,
                })
                .collect(),
            _ => inputs,
        }
    }

    /// Each request of a turn that came to its end has one answer.
    fn answers_all(&self, heard: &[Input], effects: &[Effect]) -> Held {
        let asked = |input: &Input| match input {
            Input::Command { request, .. } => Some(*request),
            _ => None,
        };
        let answered = |effect: &Effect| match effect {
            Effect::Reply(request, Reply::Done { .. } | Reply::Refused { .. }) => Some(*request),
            _ => None,
        };
        let asked: Vec<u64> = heard.iter().filter_map(asked).collect();
        let answered: Vec<u64> = effects.iter().filter_map(answered).collect();
        if asked == answered { Ok(()) } else { broken(Check::Limits, format!("{asked:?} had {answered:?} answered")) }
    }
}

fn tells_something(input: &Input) -> bool {
    let active = |state| matches!(state, DeviceState::Open | DeviceState::Alarm);
    matches!(input, Input::Report(report) if report.state.is_some_and(active))
}

/// The keys the journal works with.
pub(super) fn keys() -> Keys {
    let sign = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[9; 32]).expect("a seed of 32 bytes");
    Keys { seal: SEAL, sign: Arc::new(sign) }
}

fn journal_begun(begun: Begun) -> Input {
    Input::JournalBegun {
        reason: begun.reason,
        old_epoch: begun.old.map(|(place, _)| place.epoch),
        old_seq: begun.old.map(|(place, _)| place.seq),
        old_hash: begun.old.and_then(|(_, hash)| hash).map(|hash| hex(&hash)),
        salvaged: begun.salvaged,
        arm_state_known: begun.arm_state_known,
    }
}

/// An event in a trace line.
pub(super) struct Said<'a>(pub &'a Event);

impl std::fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let event = self.0;
        write!(f, "{:<6} {:?}", event.fact.class().name(), event.fact)?;
        event.area.iter().try_for_each(|area| write!(f, " area={area}"))?;
        event.zone.iter().try_for_each(|zone| write!(f, " zone={zone}"))?;
        event.device.iter().try_for_each(|device| write!(f, " device={device}"))?;
        event.user.iter().try_for_each(|user| write!(f, " user={user}"))
    }
}
