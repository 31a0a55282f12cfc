//! A hub in memory: the turn as `hub/io` must play it, around a virtual clock, a journal of sealed bytes and a disk
//! that can fail. After every turn it proves what must always hold; it never judges what should have followed.
//!
//! What it proves: deciding changes nothing; the journal's bytes, opened again and folded, give the live state; so does
//! the last snapshot with what came after it; nothing is acted or called journaled that is not on record.

use std::collections::BTreeSet;
use vakt_core::alarm::camera_window::Grant;
use vakt_core::alarm::panel::Panel;
use vakt_core::alarm::state::State;
use vakt_core::canonical::{self, EVENT_MAX, Sealed};
use vakt_core::challenge::Challenges;
use vakt_core::event::{AlarmKind, Class, Event, EventId, Fact, Realm};
use vakt_core::input::{Context, Disk, Effect, Input, Reply};
use vakt_core::port::{Head, Place};
use vakt_core::stamp::Stamp;
use vakt_core::turn::{Committed, Recorded};

/// Where in the turn the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Killed {
    Not,
    /// Decided; not recorded.
    BeforeRecording,
    /// On disk; not applied.
    BeforeApplying,
    /// Applied; its effects not released.
    BeforeActing,
}

/// What came of one turn.
#[derive(Debug, Default)]
pub struct Turn {
    /// What is on record because of it, in the journal or kept in memory.
    pub events: Vec<Event>,
    /// What was released.
    pub effects: Vec<Effect>,
}

pub struct Hub {
    /// `None` while the process is down.
    pub panel: Option<Panel>,
    pub now: Stamp,
    /// What the journal's epoch began with.
    base: State,
    epoch: u64,
    journal: Vec<Sealed>,
    ids: BTreeSet<EventId>,
    /// Events that wait for the disk.
    kept: Vec<Event>,
    /// Free places left when the disk fails; `None` while it is well.
    disk: Option<usize>,
    /// The room it will have when it fails under the turn that runs.
    freezes: Option<usize>,
    refused: u64,
    seed: u64,
    turns: u64,
    /// Of this run of the process.
    pub challenges: Challenges,
    /// A snapshot, and how many events of the journal it holds.
    snapshot: (Vec<u8>, usize),
}

impl Hub {
    /// A hub that has never run.
    pub fn new(seed: u64, now: Stamp) -> Self {
        let base = State::default();
        let snapshot = (serde_json::to_vec(&base).unwrap(), 0);
        Self {
            panel: None,
            challenges: Challenges::new([0; 32]),
            now,
            base,
            epoch: 1,
            journal: vec![],
            ids: BTreeSet::new(),
            kept: vec![],
            disk: None,
            freezes: None,
            refused: 0,
            seed,
            turns: 0,
            snapshot,
        }
    }

    pub fn state(&self) -> &State {
        self.panel.as_ref().expect("the daemon runs").state()
    }

    pub fn disk_is_well(&self) -> bool {
        self.disk.is_none()
    }

    /// Whether this is the first event of a journal.
    pub fn is_new(&self) -> bool {
        self.journal.is_empty()
    }

    /// The process is gone, and with it all that was only in memory.
    pub fn die(&mut self) {
        self.panel = None;
        self.kept.clear();
        self.disk = None;
        self.refused = 0;
    }

    /// A new process reads the journal.
    pub fn load(&mut self) {
        self.challenges = Challenges::new(canonical::sha256(&[&self.turns.to_be_bytes()]));
        let mut panel = Panel::new(self.replay());
        panel.challenge_with(self.challenges.clone());
        self.panel = Some(panel);
    }

    /// The journal was damaged: a new epoch begins with what could be saved, which is the site as it was.
    pub fn quarantine(&mut self) {
        self.base = self.replay();
        self.die();
        self.epoch += 1;
        self.journal.clear();
        self.snapshot = (serde_json::to_vec(&self.base).unwrap(), 0);
    }

    /// From here on commits do not return.
    pub fn disk_fails(&mut self, room: usize) {
        self.disk = Some(room);
    }

    /// The disk answers: what waited is journaled in its order. How many, and how many had been refused.
    pub fn disk_answers(&mut self) -> (u64, u64) {
        let kept = std::mem::take(&mut self.kept);
        self.disk = None;
        kept.iter().for_each(|event| self.write(event));
        (kept.len() as u64, std::mem::take(&mut self.refused))
    }

    /// One whole turn.
    pub fn turn(&mut self, inputs: Vec<Input>, killed: Killed) -> Turn {
        self.turns += 1;
        let entropy = canonical::sha256(&[&self.seed.to_be_bytes(), &self.turns.to_be_bytes()]);
        let disk = self.disk.map_or(Disk::Well, |room| Disk::Failed { room: room.saturating_sub(self.kept.len()) });
        let context = Context { now: self.now, entropy, disk };
        let panel = self.panel.as_mut().expect("the daemon runs");
        panel.hear(context.now, &inputs);
        let before = panel.clone();
        let decided = panel.decide(&context, inputs);
        assert_eq!(*panel, before, "deciding changes nothing");
        let events = decided.events().to_vec();
        let refused = decided.refused();
        self.refused += refused;
        assert!(disk != Disk::Well || refused == 0, "a disk that is well refuses nothing");
        for event in &events {
            assert!(self.ids.insert(event.id), "{} was used before", event.id);
            assert_eq!(event.stamp, self.now.sane());
        }
        if killed == Killed::BeforeRecording {
            self.die();
            return Turn::default();
        }
        self.disk = self.freezes.take().or(self.disk);
        let recorded = self.record(decided, &events);
        if killed == Killed::BeforeApplying {
            self.die();
            return Turn { events, ..Turn::default() };
        }
        let effects = self.panel.as_mut().expect("it runs").apply(recorded, self.now);
        self.prove(&events, &effects);
        if killed == Killed::BeforeActing {
            self.die();
            return Turn { events, ..Turn::default() };
        }
        Turn { events, effects }
    }

    /// A turn that was decided while the disk was well, and whose commit does not return.
    pub fn turn_while_the_disk_freezes(&mut self, inputs: Vec<Input>, room: usize) -> Turn {
        self.freezes = Some(room);
        self.turn(inputs, Killed::Not)
    }

    fn record(&mut self, decided: vakt_core::turn::Decided, events: &[Event]) -> Recorded {
        if self.disk.is_some() {
            let (recorded, kept) = decided.kept();
            assert_eq!(kept, events);
            self.kept.extend(kept);
            return recorded;
        }
        match decided.nothing_to_record() {
            Ok(recorded) => recorded,
            Err(decided) => {
                events.iter().for_each(|event| self.write(event));
                let hash = self.journal.last().map_or([0; 32], |sealed| sealed.hash);
                let place = Place { epoch: self.epoch, seq: self.journal.len() as u64 };
                let ids = events.iter().map(|event| event.id).collect();
                decided.committed(&Committed { ids, head: Head { place, hash } })
            }
        }
    }

    fn write(&mut self, event: &Event) {
        let prev = self.journal.last().map_or([0; 32], |sealed| sealed.hash);
        let place = Place { epoch: self.epoch, seq: self.journal.len() as u64 + 1 };
        let sealed = canonical::seal(event, place, &prev);
        let wire = canonical::wire(&sealed.body, &sealed.hash, sealed.personal.as_deref());
        assert!(wire.len() <= EVENT_MAX, "{} bytes: {}", wire.len(), String::from_utf8_lossy(&wire));
        canonical::check(&sealed.body, &sealed.hash, sealed.personal.as_deref()).unwrap();
        self.journal.push(sealed);
    }

    /// Opens every stored event again, walks the chain and folds a fresh state from it.
    fn replay(&self) -> State {
        let mut state = self.base.clone();
        let mut prev = [0; 32];
        for (sealed, seq) in self.journal.iter().zip(1..) {
            let (place, says_prev, event) = canonical::open(&sealed.body).unwrap();
            assert_eq!((place, says_prev), (Place { epoch: self.epoch, seq }, prev), "the chain is whole");
            prev = sealed.hash;
            state.apply(&event);
        }
        state
    }

    fn prove(&mut self, events: &[Event], effects: &[Effect]) {
        let live = self.state().clone();
        let mut replayed = self.replay();
        self.kept.iter().for_each(|event| replayed.apply(event));
        assert_eq!(replayed, live, "replay(journal) == live state");

        let mut since: State = serde_json::from_slice(&self.snapshot.0).unwrap();
        let bodies = self.journal[self.snapshot.1..].iter().map(|sealed| canonical::open(&sealed.body).unwrap().2);
        bodies.chain(self.kept.iter().cloned()).for_each(|event| since.apply(&event));
        assert_eq!(since, live, "the snapshot and what came after it give the live state");
        if self.disk.is_none() {
            // Another snapshot every seventh turn, so that both short and long tails are replayed onto one.
            if self.turns.is_multiple_of(7) {
                self.snapshot = (serde_json::to_vec(&live).unwrap(), self.journal.len());
            }
            let bytes = serde_json::to_vec(&live).unwrap();
            assert_eq!(serde_json::from_slice::<State>(&bytes).unwrap(), live, "a snapshot reads back");
        }
        effects.iter().for_each(|effect| self.prove_effect(events, effect));
    }

    fn prove_effect(&self, events: &[Event], effect: &Effect) {
        let kept = |id: &EventId| self.kept.iter().any(|event| event.id == *id);
        match effect {
            Effect::Act { command, .. } => {
                let sent = events.iter().find(|event| event.id == *command).expect("an act is of its own turn");
                assert!(matches!(sent.fact, Fact::CommandSent { .. }));
                assert!(!kept(command), "an act leaves only when it is on disk");
            }
            Effect::Publish(alarm) => {
                assert!(kept(&alarm.id), "what is on disk goes by the outbox");
                let json: serde_json::Value = serde_json::from_slice(&alarm.wire).unwrap();
                assert_eq!((&json["seq"], &json["journaled"]), (&serde_json::Value::Null, &false.into()));
                assert_eq!(json["id"], alarm.id.to_string());
                assert!(matches!(alarm.class, Class::Alarm | Class::Fault | Class::Access));
            }
            Effect::Reply(_, Reply::Done { event: Some(id), journaled, .. }) => {
                assert!(self.ids.contains(id) && *journaled != kept(id), "a reply says whether its event is on disk");
            }
            Effect::Camera(grant) => self.prove_grant(events, grant),
            Effect::Answer(_)
            | Effect::Signal(_)
            | Effect::Light { .. }
            | Effect::CameraEnds(_)
            | Effect::Reply(..)
            | Effect::Sound(_) => {}
        }
    }

    /// R01, R04, R06: told by the requirements alone, without asking the code that grants.
    fn prove_grant(&self, events: &[Event], grant: &Grant) {
        let of_it = |event: &&Event| matches!(event.fact, Fact::MediaGranted { realm, .. } if realm == grant.realm());
        let granted = events.iter().filter(of_it).find(|event| event.device.as_ref() == Some(grant.camera()));
        let granted = granted.expect("a camera is asked for what is on record");
        assert!(!self.kept.iter().any(|event| event.id == granted.id), "on disk first");
        assert_eq!(grant.incident(), granted.incident);
        let state = self.state();
        match (grant.realm(), grant.incident().and_then(|id| state.incidents.get(&id))) {
            (Realm::Owner, None) => assert!(granted.user.is_some(), "an owner is somebody"),
            (Realm::Centre, Some(incident)) => {
                use AlarmKind::{Burglary, Fire, Sos, Tamper};
                assert!(matches!(incident.kind, Fire | Burglary | Sos | Tamper), "{:?}", incident.kind);
                let (opened, now) = (incident.opened, self.now.sane());
                let passed_ms = match opened.boot == now.boot {
                    true => now.mono_ms - opened.mono_ms,
                    false if opened.trusted && now.trusted => u64::try_from(now.wall_ms - opened.wall_ms).unwrap_or(0),
                    false => panic!("nobody can prove how much of the window is left"),
                };
                assert!(passed_ms < 15 * 60_000, "the window is over");
                assert!(grant.left_ms(now) <= 15 * 60_000 - passed_ms, "and so is what was granted in it");
                let place = state.devices.get(grant.camera()).and_then(|camera| camera.zone.as_ref());
                let area = place.and_then(|zone| state.zones.get(zone)).map(|zone| &zone.area);
                assert!(incident.area.is_none() || incident.area.as_ref() == area, "not where the alarm is");
            }
            other => panic!("{other:?}"),
        }
    }
}
