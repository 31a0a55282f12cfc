//! The panel: decides what follows from what reached it, applies what was recorded, says when it must look again.
//!
//! It never records, never acts, never asks a clock. Judgement is in its neighbours (`area`, `detector`, `install`,
//! `hub`), which all write through `Draft`, so that each later input of a turn is judged on what the earlier ones led to.

use crate::alarm::area;
use crate::alarm::camera_window;
use crate::alarm::camera_window::Grant;
use crate::alarm::detector;
use crate::alarm::draft::Draft;
use crate::alarm::hub;
use crate::alarm::incident;
use crate::alarm::install;
use crate::alarm::service;
use crate::alarm::state::Arming;
use crate::alarm::state::State;
use crate::alarm::supervision;
use crate::alarm::supervision::Heard;
use crate::alarm::warrant;
use crate::challenge::Challenges;
use crate::device::DeviceFault;
use crate::event::{Event, EventId, Fact};
use crate::input::{Command, Context, Effect, Input, Reply, Sound};
use crate::stamp::Stamp;
use crate::turn::{Decided, Recorded, publish_unjournaled};
use crate::warrant::Answer;

/// The owner of the state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Panel {
    state: State,
    /// What the sounders were last told; not state, so that a restart tells them again.
    told: Option<Option<Sound>>,
    /// Who was heard when; not state, because a word that changes nothing is not journaled.
    heard: Heard,
    /// What the hub has challenged with; not state, so that none outlives the process.
    challenges: Option<Challenges>,
}

/// When the panel must look again, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// Milliseconds from now.
    pub in_ms: u64,
    /// Which duty falls due.
    pub why: Why,
}

/// The duties that fall due by time alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Why {
    ExitEnds,
    EntryEnds,
    PermitEnds,
    SirenEnds,
    ActUnanswered,
    Settled,
    Missing,
    ServiceEnds,
    CameraWindowEnds,
}

impl Panel {
    /// A panel that knows what the journal says.
    pub fn new(state: State) -> Self {
        Self { state, told: None, heard: Heard::default(), challenges: None }
    }

    /// By which challenges a warrant's nonce is judged. Without: nothing that needs one is taken.
    pub fn challenge_with(&mut self, challenges: Challenges) {
        self.challenges = Some(challenges);
    }

    /// What it knows.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes note of who speaks; to be called with what is then decided.
    pub fn hear(&mut self, now: Stamp, inputs: &[Input]) {
        self.heard.hear(now.sane(), inputs, &self.state);
    }

    /// Decides what follows from `inputs`, in their order, after what has fallen due by time.
    pub fn decide(&self, context: &Context, inputs: Vec<Input>) -> Decided {
        let mut draft = Draft::new(&self.state, context);
        for input in inputs {
            if !matches!(input, Input::JournalBegun { .. } | Input::Started { .. }) {
                // A deadline that has passed is older than what just arrived. Not before the start is recorded,
                // though: only then is it known which delays can be trusted.
                self.time(&mut draft);
            }
            self.judge(&mut draft, input);
        }
        draft.decided()
    }

    fn time(&self, draft: &mut Draft) {
        area::on_time(draft);
        detector::on_time(draft);
        install::on_time(draft);
        hub::on_time(draft);
        service::on_time(draft);
        camera_window::on_time(draft);
        supervision::on_time(draft, &self.heard);
    }

    fn judge(&self, draft: &mut Draft, input: Input) {
        match input {
            Input::Tick => {}
            Input::Warrant(order) => warrant::on_warrant(draft, self.challenges.as_ref(), *order),
            Input::Report(report) => detector::on_report(draft, report),
            Input::Unreadable { device } => detector::on_fault(draft, device, DeviceFault::Unreadable),
            Input::Gone { device } => detector::on_fault(draft, device, DeviceFault::Gone),
            Input::Command { request, method, command } => match command {
                Command::Arm { area, mode, code } => area::on_arm(draft, request, area, mode, &code),
                Command::Disarm { area, code } => area::on_disarm(draft, request, area, &code),
                Command::SirenStop { area, code } => area::on_siren_stop(draft, request, area, &code),
                Command::SirenChirp {} => hub::on_chirp(draft, request, method),
                Command::Cancel { incident, code } => incident::on_cancel(draft, request, incident, &code),
                Command::TestMode { minutes, code } => service::on_test(draft, request, minutes, &code),
                Command::Look { camera, what, code } => {
                    camera_window::on_owner_looks(draft, request, camera, what, &code);
                }
                Command::Media { camera, what, incident } => {
                    camera_window::on_centre_asks(draft, request, camera, what, incident);
                }
                Command::MediaClose { incident } => camera_window::on_centre_closes(draft, request, incident),
                Command::Sos { area } => detector::on_sos(draft, request, method, area),
                Command::IncidentVerify { incident, by } => incident::on_verify(draft, request, incident, by),
                Command::IncidentClose { incident, cause } => incident::on_close(draft, request, incident, cause),
                install => install::on_command(draft, request, method, install),
            },
            other => hub::on_input(draft, other),
        }
    }

    /// Applies what was recorded and says what must now happen in the world.
    pub fn apply(&mut self, recorded: Recorded, now: Stamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        for event in &recorded.events {
            let watched = self.watched(event);
            let answers = warrant::answers(&self.state, event);
            self.state.apply(event);
            effects.extend(watched.filter(|id| !self.is_watched(*id)).map(Effect::CameraEnds));
            if !recorded.journaled {
                effects.extend(publish_unjournaled(event));
            } else if let Fact::CommandSent { act, .. } = event.fact {
                // Only once it is on disk: a crash from here on makes it failed, never done twice.
                effects.push(Effect::Act { command: event.id, act, device: event.device.clone() });
            }
            effects.extend(answers.into_iter().map(|answer| {
                let text = recorded.says.texts.get(&answer.jti).cloned();
                Effect::Answer(Answer { text, ..answer })
            }));
        }
        effects.extend(recorded.says.answers.into_iter().map(Effect::Answer));
        // A picture is never asked for before that is on disk, nor when the same turn ended what it was granted for.
        let stands = |grant: &Grant| recorded.journaled && camera_window::stands(&self.state, grant, now.sane());
        effects.extend(recorded.says.grants.into_iter().filter(stands).map(Effect::Camera));
        effects.extend(self.sound(now));
        effects.extend(recorded.says.replies.into_iter().map(|(request, reply)| match reply {
            Reply::Done { ok, event, text, .. } => {
                Effect::Reply(request, Reply::Done { ok, event, journaled: recorded.journaled, text })
            }
            refused @ Reply::Refused { .. } => Effect::Reply(request, refused),
        }));
        effects
    }

    /// The incident of this event, or the one that it continues and so ends, if the centre has an open window on it.
    fn watched(&self, event: &Event) -> Option<EventId> {
        let ended = match event.fact {
            Fact::AlarmRaised { continues, .. } => continues,
            _ => None,
        };
        ended.or(event.incident).filter(|id| self.is_watched(*id))
    }

    fn is_watched(&self, id: EventId) -> bool {
        self.state.incidents.get(&id).is_some_and(|incident| incident.window_used && !incident.window_closed)
    }

    /// What the sounders must be told, where that has changed: also at start, and when a siren's time is over.
    pub fn sound(&mut self, now: Stamp) -> Option<Effect> {
        let sound = self.state.sound(now.sane());
        if self.told == Some(sound) {
            return None;
        }
        self.told = Some(sound);
        Some(Effect::Sound(sound))
    }

    /// The earliest duty that falls due by time alone.
    pub fn next_due(&self, now: Stamp) -> Option<Due> {
        let now = now.sane();
        let delays = self.state.areas.values().filter_map(|area| match area.arming {
            Arming::Exit { until, .. } => Some(Due { in_ms: until.remaining_ms(now)?, why: Why::ExitEnds }),
            Arming::Entry { until, .. } => Some(Due { in_ms: until.remaining_ms(now)?, why: Why::EntryEnds }),
            _ => None,
        });
        let permit = self.state.permit.map(|until| until.remaining_ms(now).unwrap_or(0));
        let service = self.state.standing.due_ms(now);
        let window = camera_window::due_ms(&self.state, now);
        let missing = self.heard.due_ms(&self.state, now);
        let settled = self.state.settling.map(|until| until.remaining_ms(now).unwrap_or(0));
        let sirens = self.state.incidents.values().filter_map(|incident| incident.sound_ends_ms(now));
        let acts = self.state.acts.values().map(|sent| hub::act_left_ms(sent, now));
        delays
            .chain(permit.map(|in_ms| Due { in_ms, why: Why::PermitEnds }))
            .chain(service.map(|in_ms| Due { in_ms, why: Why::ServiceEnds }))
            .chain(window.map(|in_ms| Due { in_ms, why: Why::CameraWindowEnds }))
            .chain(missing.map(|in_ms| Due { in_ms, why: Why::Missing }))
            .chain(settled.map(|in_ms| Due { in_ms, why: Why::Settled }))
            .chain(sirens.map(|in_ms| Due { in_ms, why: Why::SirenEnds }))
            .chain(acts.map(|in_ms| Due { in_ms, why: Why::ActUnanswered }))
            .min()
    }
}
