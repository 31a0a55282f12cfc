//! The task that owns the panel: takes all that is ready, decides, has it recorded, applies, releases.
//!
//! When the disk does not answer it goes on without: what is decided is kept in memory in order, applied, and only
//! sounds, replies and publishing leave; all of it is journaled when the disk is back. Nothing else ever holds it up.

use super::board::ToSirens;
use super::clock;
use super::notify;
use super::start::journal_begun;
use super::view;
use super::view::Heard;
use crate::hub::places::Places;
use crate::hub::places::answers_name;
use crate::journal::io::store::Begun;
use crate::journal::io::store::JournalError;
use crate::journal::io::writer::Answer;
use crate::journal::io::writer::Journal;
use crate::zigbee::functions::Wish;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::timeout;
use vakt_core::alarm::panel::Panel;
use vakt_core::alarm::state::State;
use vakt_core::challenge::Challenges;
use vakt_core::event::Act;
use vakt_core::event::Event;
use vakt_core::event::Fact;
use vakt_core::input::Context;
use vakt_core::input::Disk;
use vakt_core::input::Effect;
use vakt_core::input::Input;
use vakt_core::input::Reply;
use vakt_core::input::RequestId;
use vakt_core::input::Signal;
use vakt_core::input::Sound;
use vakt_core::port::Answered;
use vakt_core::port::ListedKey;
use vakt_core::port::Place;
use vakt_core::port::Unjournaled;
use vakt_core::stamp::Stamp;
use vakt_core::turn::Decided;
use vakt_core::turn::Recorded;
use vakt_core::warrant::Warrant;

/// Inputs taken in one turn; the rest waits for the next. One commit serves them all.
const TURN_MAX: usize = 256;
/// Events kept in memory while the disk fails. Beyond it alarms and what people do still count, other facts are
/// refused and counted.
const PENDING_MAX: usize = 4096;
/// Beyond this not even alarms are kept: the newest are lost to the journal, counted, and have gone out to the centre.
const PENDING_LAST: usize = 4 * PENDING_MAX;
/// Events given to the disk at once when it comes back.
const RECOVER_MAX: usize = 256;
/// How often a failed disk is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Housekeeping: the side snapshot, the view for upstream, the watchdog.
const KEEP_HOUSE: Duration = Duration::from_millis(250);
/// Events after which the state is snapshotted, so that a start replays few.
const SNAPSHOT_EVERY: u64 = 2_000;
/// A duty that falls due again and again must not spin, in ms.
const DUE_MIN_MS: u64 = 20;

/// A state, shared with who only looks.
pub type Seen = Arc<Seeing>;

/// What others see of the panel.
#[derive(Debug, Clone, Default)]
pub struct Seeing {
    /// What it knows.
    pub state: State,
    /// What is to be heard.
    pub sound: Option<Sound>,
    /// Events waiting for the disk.
    pub pending: usize,
    /// The place of the last journaled event.
    pub place: Place,
}

/// What reaches the core.
pub struct Inlets {
    /// Reports, faults, paths, the ticks of others.
    pub inputs: mpsc::Receiver<Input>,
    /// Words of detectors that wait to know when theirs is recorded.
    pub words: mpsc::Receiver<(Input, Option<u64>)>,
    /// Commands with a place for the reply; a channel of their own, so that a full radio cannot delay a disarm.
    pub commands: mpsc::Receiver<(Input, oneshot::Sender<Reply>)>,
    /// Orders from afar, rightly signed; a channel of their own for the same reason.
    pub warrants: mpsc::Receiver<Box<Warrant>>,
    /// Turns true when the daemon is to go.
    pub stop: watch::Receiver<bool>,
}

/// Where effects leave.
pub struct Outlets {
    /// What others see.
    pub seen: watch::Sender<Seen>,
    /// When each device last spoke.
    pub heard: Heard,
    /// Which detector's word is recorded. The newest is dropped when nobody takes it: its detector speaks again.
    pub recorded: mpsc::Sender<u64>,
    /// To upstream.
    pub to_centre: ToCentre,
    /// To sirens, sounders and the lamp of the board.
    pub to_sirens: ToSirens,
    /// To what acts on the Zigbee network, where there is a stick.
    pub to_mesh: Option<mpsc::Sender<Wish>>,
}

/// What leaves for the centre beside the journal.
pub struct ToCentre {
    /// Alarms that go out before the disk answers. The newest is lost when upstream does not take them.
    pub unjournaled: mpsc::Sender<Unjournaled>,
    /// What became of warrants. The newest is lost when upstream does not take them: who sends its warrant again is told
    /// again.
    pub answers: mpsc::Sender<Answered>,
    /// Every listed key, current before the answer to the warrant that listed it leaves.
    pub keys: watch::Sender<Arc<Vec<ListedKey>>>,
}

enum DiskState {
    Well,
    Failed {
        /// A commit that has not answered yet; it may still succeed.
        answer: Option<oneshot::Receiver<Answer>>,
        /// How many of the pending events it covers.
        covers: usize,
        /// When to try it again.
        retry_at: Instant,
        /// Facts that found no room.
        refused: u64,
        /// Events that had to wait.
        total: u64,
    },
}

impl DiskState {
    fn failed(answer: Option<oneshot::Receiver<Answer>>, covers: usize) -> Self {
        DiskState::Failed { answer, covers, retry_at: Instant::now() + RETRY, refused: 0, total: 0 }
    }
}

/// The core.
pub struct Core {
    panel: Panel,
    journal: Journal,
    disk: DiskState,
    pending: VecDeque<Event>,
    commit_limit: Duration,
    outlets: Outlets,
    waiting: BTreeMap<RequestId, oneshot::Sender<Reply>>,
    next_request: RequestId,
    again: Vec<Input>,
    places: Places,
    place: Place,
    since_snapshot: u64,
    side_due: bool,
    seen_due: bool,
    /// The journal's writer has gone, which no waiting mends.
    broken: bool,
}

impl Core {
    /// A core over a journal that was just opened.
    pub fn new(
        state: State,
        challenges: Challenges,
        journal: Journal,
        commit_limit: Duration,
        outlets: Outlets,
    ) -> Self {
        let place = journal.head().borrow().place;
        outlets.to_centre.keys.send_replace(Arc::new(view::listed_keys(&state)));
        let mut panel = Panel::new(state);
        panel.challenge_with(challenges);
        Self {
            panel,
            journal,
            disk: DiskState::Well,
            pending: VecDeque::new(),
            commit_limit,
            outlets,
            waiting: BTreeMap::new(),
            next_request: 1,
            again: Vec::new(),
            places: Places::default(),
            place,
            since_snapshot: 0,
            side_due: false,
            seen_due: true,
            broken: false,
        }
    }

    /// The first turn: why the epoch begins, if it does, and that the daemon is up; then where damaged secrets were put.
    pub async fn start(&mut self, begun: Option<Begun>, started: Input, lost_secrets: Option<PathBuf>) {
        let fresh = begun.is_some();
        let mut inputs: Vec<Input> = begun.into_iter().map(journal_begun).collect();
        inputs.push(started);
        self.turn(inputs).await;
        if fresh {
            // The new journal must stand on its own: from here on a start needs nothing but it.
            self.snapshot();
        }
        self.keep_house();
        let Some(kept_as) = lost_secrets.map(|path| path.display().to_string()) else { return };
        tracing::error!(
            kept_as,
            "secrets.db was damaged: codes, device keys and the Zigbee network must be set up again; a hub without an \
             owner needs a new claim code (`vaktd claim new`)"
        );
        self.turn(vec![Input::SecretsLost { kept_as }]).await;
    }

    /// Runs until told to stop.
    pub async fn run(mut self, mut inlets: Inlets) {
        let mut house = Instant::now() + KEEP_HOUSE;
        while !*inlets.stop.borrow() && !self.broken {
            // Looked at in every round: a flood of reports must not keep it from being done.
            if Instant::now() >= house {
                self.keep_house();
                house = Instant::now() + KEEP_HOUSE;
            }
            let mut inputs = std::mem::take(&mut self.again);
            let mut answers = Vec::new();
            if inputs.is_empty() {
                let due = self.due();
                tokio::select! {
                    biased;
                    Some((input, reply)) = inlets.commands.recv() => inputs.push(self.asked(input, reply)),
                    Some(order) = inlets.warrants.recv() => inputs.push(Input::Warrant(order)),
                    answer = Self::answer(&mut self.disk) => { self.answered(answer).await; continue }
                    Some((input, answer)) = inlets.words.recv() => {
                        inputs.push(input);
                        answers.extend(answer);
                    }
                    Some(input) = inlets.inputs.recv() => inputs.push(input),
                    () = tokio::time::sleep(due) => inputs.push(Input::Tick),
                    () = tokio::time::sleep_until(house) => continue,
                    _ = inlets.stop.changed() => continue,
                }
            }
            while inputs.len() < TURN_MAX
                && let Ok((input, reply)) = inlets.commands.try_recv()
            {
                inputs.push(self.asked(input, reply));
            }
            while inputs.len() < TURN_MAX
                && let Ok(order) = inlets.warrants.try_recv()
            {
                inputs.push(Input::Warrant(order));
            }
            while inputs.len() < TURN_MAX
                && let Ok((input, answer)) = inlets.words.try_recv()
            {
                inputs.push(input);
                answers.extend(answer);
            }
            while inputs.len() < TURN_MAX
                && let Ok(input) = inlets.inputs.try_recv()
            {
                inputs.push(input);
            }
            self.turn(inputs).await;
            // Recorded, or kept in memory while the disk fails: a detector that is not answered tells nothing more.
            for answer in answers {
                let _ = self.outlets.recorded.try_send(answer);
            }
        }
        if self.broken {
            // What is pending has gone out as far as it is an alarm; the next start stands on the journal.
            tracing::error!("the journal's writer is gone: the process ends and starts again");
            return;
        }
        self.drain(&mut inlets).await;
        self.turn(vec![Input::Stopping]).await;
        self.last_commit().await;
        self.snapshot();
        self.keep_house();
        // A frozen disk would hold the stop for ever; what is pending is lost then, and the journal says so by its gap
        // in time: systemd ends the process, the alarms have gone out already.
        let _ = timeout(self.commit_limit * 4, self.journal.stop()).await;
    }

    /// What was heard and not yet decided when the daemon was told to stop: nobody would hear it again.
    async fn drain(&mut self, inlets: &mut Inlets) {
        inlets.inputs.close();
        inlets.words.close();
        loop {
            let mut inputs = std::mem::take(&mut self.again);
            while inputs.len() < TURN_MAX
                && let Ok((input, _)) = inlets.words.try_recv()
            {
                inputs.push(input);
            }
            while inputs.len() < TURN_MAX
                && let Ok(input) = inlets.inputs.try_recv()
            {
                inputs.push(input);
            }
            if inputs.is_empty() {
                return;
            }
            self.turn(inputs).await;
        }
    }

    /// One last try for what waits for a failing disk; what it does not take is lost, and said to be.
    async fn last_commit(&mut self) {
        self.begun_anew();
        while !self.pending.is_empty() {
            let events: Vec<Event> = self.pending.iter().take(RECOVER_MAX).cloned().collect();
            let count = events.len();
            match timeout(self.commit_limit, self.journal.record(events)).await {
                Ok(Ok(Ok(committed))) => {
                    self.place = committed.head.place;
                    self.pending.drain(..count);
                }
                _ => {
                    let lost = self.pending.len();
                    tracing::error!(lost, "the journal's disk does not answer: events are lost with this stop");
                    return;
                }
            }
        }
        self.disk = DiskState::Well;
    }

    fn due(&self) -> Duration {
        let due = self.panel.next_due(clock::now()).map_or(u64::from(u32::MAX), |due| due.in_ms.max(DUE_MIN_MS));
        Duration::from_millis(due)
    }

    fn asked(&mut self, input: Input, reply: oneshot::Sender<Reply>) -> Input {
        let number = self.next_request;
        self.next_request += 1;
        self.waiting.insert(number, reply);
        match input {
            Input::Command { method, command, .. } => Input::Command { request: number, method, command },
            other => other,
        }
    }

    /// One turn: decide → record → apply → act.
    async fn turn(&mut self, inputs: Vec<Input>) {
        let disk = match &self.disk {
            DiskState::Well => Disk::Well,
            DiskState::Failed { .. } => Disk::Failed { room: PENDING_MAX.saturating_sub(self.pending.len()) },
        };
        let context = Context { now: clock::now(), entropy: clock::entropy(), disk };
        self.note_heard(&context.now, &inputs);
        self.panel.hear(context.now, &inputs);
        let decided = self.panel.decide(&context, inputs);
        match decided.nothing_to_record() {
            Ok(recorded) => self.apply(recorded),
            Err(decided) if disk == Disk::Well => self.record(decided).await,
            Err(decided) => self.keep(decided),
        }
        self.show();
    }

    fn note_heard(&self, now: &Stamp, inputs: &[Input]) {
        inputs.iter().for_each(|input| view::note(&self.outlets.heard, *now, input));
    }

    async fn record(&mut self, decided: Decided) {
        let mut answer = self.journal.record(decided.events().to_vec());
        let error = match timeout(self.commit_limit, &mut answer).await {
            Ok(Ok(Ok(committed))) => {
                self.place = committed.head.place;
                self.since_snapshot += committed.ids.len() as u64;
                self.places.note(&committed, |at| answers_name(&decided.events()[at]));
                let recorded = decided.committed(&committed);
                self.apply(recorded);
                if self.since_snapshot >= SNAPSHOT_EVERY {
                    self.snapshot();
                }
                return;
            }
            Ok(Ok(Err(error))) => {
                self.broken |= matches!(error, JournalError::Gone);
                error.to_string()
            }
            Ok(Err(_)) => {
                self.broken = true;
                JournalError::Gone.to_string()
            }
            Err(_) => {
                let covers = decided.events().len();
                self.disk = DiskState::failed(Some(answer), covers);
                format!("no answer in {} ms", self.commit_limit.as_millis())
            }
        };
        if matches!(self.disk, DiskState::Well) {
            self.disk = DiskState::failed(None, 0);
        }
        tracing::error!(%error, "the journal's disk does not answer; alarms go out unjournaled until it does");
        self.keep(decided);
        self.again.push(Input::DiskFailed { error });
    }

    /// The disk does not answer: keep, apply, tell.
    fn keep(&mut self, decided: Decided) {
        if let DiskState::Failed { refused, total, .. } = &mut self.disk {
            *refused += decided.refused();
            *total += decided.events().len() as u64;
        }
        let (recorded, kept) = decided.kept();
        let room = PENDING_LAST.saturating_sub(self.pending.len());
        if let (DiskState::Failed { refused, .. }, true) = (&mut self.disk, kept.len() > room) {
            *refused += (kept.len() - room) as u64;
        }
        self.pending.extend(kept.into_iter().take(room));
        self.apply(recorded);
    }

    fn apply(&mut self, recorded: Recorded) {
        let facts = recorded.events();
        self.seen_due |= !facts.is_empty();
        // Whatever was written: its place betrays a journal that is older than what this hub has already sent.
        self.side_due |= !facts.is_empty();
        let listed = facts.iter().any(|event| matches!(event.fact, Fact::KeyListed { .. } | Fact::KeyWithdrawn { .. }));
        let effects = self.panel.apply(recorded, clock::now());
        if listed {
            self.outlets.to_centre.keys.send_replace(Arc::new(view::listed_keys(self.panel.state())));
        }
        effects.into_iter().for_each(|effect| self.release(effect));
    }

    fn release(&mut self, effect: Effect) {
        match effect {
            Effect::Reply(request, reply) => {
                if let Some(waits) = self.waiting.remove(&request) {
                    let _ = waits.send(reply);
                }
            }
            Effect::Publish(event) => {
                if let Err(error) = self.outlets.to_centre.unjournaled.try_send(event) {
                    tracing::error!(%error, "an alarm could not be handed to upstream; it goes out when the disk is back");
                }
            }
            Effect::Sound(sound) => {
                tracing::info!(?sound, "sounders");
                self.outlets.to_sirens.sound(sound);
                self.seen_due = true;
            }
            // No camera is served yet, and no way leads here from outside.
            Effect::Camera(_) | Effect::CameraEnds(_) => {}
            Effect::Signal(signal) => {
                tracing::info!(?signal, "a sign to people");
                self.outlets.to_sirens.signal(signal.clone());
                if let Signal::NotArmed(_) = signal {
                    self.wish(Wish::Squawk);
                }
            }
            Effect::Light { light, on } => {
                tracing::info!(%light, on, "a rule switches a light");
                self.wish(Wish::Light(light, on));
            }
            Effect::Answer(answer) => {
                let place = answer.event.and_then(|event| self.places.of(event));
                if let Err(error) =
                    self.outlets.to_centre.answers.try_send(Answered { answer, place, at: clock::now() })
                {
                    tracing::warn!(%error, "an answer to a warrant could not be handed to upstream");
                }
            }
            Effect::Act { command, act: Act::SirenChirp, .. } if self.outlets.to_sirens.chirp(command) => {
                self.wish(Wish::Squawk);
            }
            Effect::Act { command, act: Act::SirenChirp, .. } if self.wish(Wish::Chirp(command)) => {}
            Effect::Act {
                command,
                act: act @ (Act::Lock | Act::Unlock | Act::EmergencyUnlock),
                device: Some(lock),
            } if self.wish(Wish::Turn(command, act, lock.clone())) => {}
            Effect::Act { command, act: Act::FogFire, device: Some(cannon) }
                if self.wish(Wish::Fire(command, cannon.clone())) => {}
            Effect::Act { command, act, .. } => {
                // Nothing that does it is wired to this hub: saying so is the honest outcome.
                let error = Some("not_fitted".to_owned());
                self.again.push(Input::Acted { command, act, error });
            }
        }
    }

    /// Once, to the Zigbee network. False: it cannot be reached, and nothing of it was done.
    fn wish(&self, wish: Wish) -> bool {
        self.outlets.to_mesh.as_ref().is_some_and(|mesh| mesh.try_send(wish).is_ok())
    }

    /// What the disk answered; `None`: it is time to try it again.
    async fn answer(disk: &mut DiskState) -> Option<Answer> {
        match disk {
            DiskState::Well => std::future::pending().await,
            DiskState::Failed { answer: Some(answer), .. } => answer.await.ok(),
            DiskState::Failed { answer: None, retry_at, .. } => {
                tokio::time::sleep_until(*retry_at).await;
                None
            }
        }
    }

    async fn answered(&mut self, answered: Option<Answer>) {
        let DiskState::Failed { answer, covers, retry_at, .. } = &mut self.disk else { return };
        *answer = None;
        *retry_at = Instant::now() + RETRY;
        let covered = std::mem::take(covers).min(self.pending.len());
        match answered {
            Some(Ok(committed)) => {
                self.pending.drain(..covered);
                self.place = committed.head.place;
                self.since_snapshot += covered as u64;
                if self.pending.is_empty() { self.recovered().await } else { self.resend().await }
            }
            Some(Err(error)) => {
                self.broken |= matches!(error, JournalError::Gone);
                tracing::warn!(%error, "the journal's disk still fails");
                self.begun_anew();
            }
            None => {
                self.begun_anew();
                if self.pending.is_empty() { self.recovered().await } else { self.resend().await }
            }
        }
    }

    async fn recovered(&mut self) {
        let DiskState::Failed { refused, total, .. } = &self.disk else { return };
        let back = Input::DiskRecovered { pending: *total, refused: *refused };
        self.disk = DiskState::Well;
        tracing::info!("the journal's disk answers again");
        self.turn(vec![back]).await;
        self.snapshot();
    }

    /// The file was put aside under way: what begins anew is the new epoch's first event.
    fn begun_anew(&mut self) {
        let Some(mut begun) = self.journal.take_begun() else { return };
        // Whatever the side snapshot says: this process knows the arm state, it has never lost it.
        begun.arm_state_known = true;
        let context = Context { now: clock::now(), entropy: clock::entropy(), disk: Disk::Failed { room: usize::MAX } };
        let (recorded, kept) = self.panel.decide(&context, vec![journal_begun(begun)]).kept();
        kept.into_iter().rev().for_each(|event| self.pending.push_front(event));
        self.apply(recorded);
    }

    async fn resend(&mut self) {
        let events: Vec<Event> = self.pending.iter().take(RECOVER_MAX).cloned().collect();
        let count = events.len();
        let receiver = self.journal.record(events);
        if let DiskState::Failed { answer, covers, .. } = &mut self.disk {
            *answer = Some(receiver);
            *covers = count;
        }
    }

    fn snapshot(&mut self) {
        if matches!(self.disk, DiskState::Well)
            && self.journal.snapshot(Arc::new(self.panel.state().clone()), self.place)
        {
            self.since_snapshot = 0;
        }
    }

    /// Everything that may wait a quarter of a second. It comes from the core's own loop, so the watchdog starves when
    /// that stands still; a disk that fails does not starve it, because no restart would mend it.
    fn keep_house(&mut self) {
        notify::tell("WATCHDOG", "1");
        if let Some(effect) = self.panel.sound(clock::now()) {
            self.release(effect);
        }
        if self.side_due && matches!(self.disk, DiskState::Well) {
            self.side_due = !self.journal.side(Arc::new(self.panel.state().clone()), self.place);
        }
        self.show();
    }

    fn show(&mut self) {
        if std::mem::take(&mut self.seen_due) {
            let state = self.panel.state().clone();
            let sound = state.sound(clock::now());
            let seen = Seeing { state, sound, pending: self.pending.len(), place: self.place };
            self.outlets.seen.send_replace(Arc::new(seen));
        }
    }
}
