//! The panel: decides what follows from what reached it, applies what was recorded, says when it must look again.
//!
//! It never records, never acts, never asks a clock. Judgement is in its neighbours (`area`, `detector`, `install`,
//! `hub`), which all write through `Draft`, so that each later input of a turn is judged on what the earlier ones led to.

use crate::alarm::access;
use crate::alarm::area;
use crate::alarm::camera_window;
use crate::alarm::camera_window::Grant;
use crate::alarm::detector;
use crate::alarm::draft::Draft;
use crate::alarm::duress;
use crate::alarm::fog;
use crate::alarm::hub;
use crate::alarm::incident;
use crate::alarm::install;
use crate::alarm::jam;
use crate::alarm::jam::Air;
use crate::alarm::lock;
use crate::alarm::modem;
use crate::alarm::past;
use crate::alarm::power;
use crate::alarm::rules;
use crate::alarm::schedule;
use crate::alarm::service;
use crate::alarm::state::Arming;
use crate::alarm::state::State;
use crate::alarm::supervision;
use crate::alarm::supervision::Heard;
use crate::alarm::warrant;
use crate::challenge::Challenges;
use crate::device::DeviceFault;
use crate::event::{Act, Event, EventId, Fact, Method};
use crate::input::{Command, Context, Effect, Input, Reply, RequestId, Signal, Sound};
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
    /// Interference at the receivers; not state either.
    air: Air,
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
    WarningEnds,
    EntryHurries,
    UpkeepEnds,
    CodeUnused,
    Door,
    Air,
    Jamming,
    Schedule,
}

impl Panel {
    /// A panel that knows what the journal says.
    pub fn new(state: State) -> Self {
        Self { state, told: None, heard: Heard::default(), air: Air::default(), challenges: None }
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
        self.air.hear(now.sane(), inputs);
    }

    /// Decides what follows from `inputs`, in their order, after what has fallen due by time.
    pub fn decide(&self, context: &Context, inputs: Vec<Input>) -> Decided {
        let mut draft = Draft::new(&self.state, &self.heard, &self.air, context);
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
        access::on_time(draft);
        lock::on_time(draft);
        fog::on_time(draft);
        jam::on_time(draft);
        schedule::on_time(draft);
        supervision::on_time(draft, &self.heard);
    }

    fn judge(&self, draft: &mut Draft, input: Input) {
        match input {
            Input::Tick => {}
            Input::Warrant(order) => warrant::on_warrant(draft, self.challenges.as_ref(), *order),
            Input::Report(report) => detector::on_report(draft, report),
            Input::Unreadable { device } => detector::on_fault(draft, device, DeviceFault::Unreadable),
            Input::Gone { device } => supervision::on_silence(draft, device, DeviceFault::Gone),
            Input::Command { request, method, command } => {
                // Whoever gives a code under threat is heard, whatever comes of what he asked for (B1).
                let under_threat = command.code().cloned();
                let (named, so_far) = (command.area(), draft.written());
                Self::command(draft, request, method, command);
                if let Some(code) = under_threat {
                    duress::after(draft, &code, named, so_far);
                }
            }
            Input::LockUsed(used) => lock::on_used(draft, used),
            Input::LockRefused { device, method, reason } => lock::on_refused(draft, &device, method, reason),
            Input::Past { device, authenticated, past: told } => past::on_past(draft, device, authenticated, &told),
            Input::SelfTest { device, passed } => supervision::on_self_test(draft, device, passed),
            Input::Measured { device, authenticated, values } => {
                rules::on_measured(draft, &device, authenticated, &values);
            }
            Input::Supply(supply) => power::on_supply(draft, supply),
            Input::Surroundings { cells, gateway } => power::on_surroundings(draft, cells, gateway),
            Input::Modem { modem, word } => modem::on_word(draft, modem, word),
            other => hub::on_input(draft, other),
        }
    }

    fn command(draft: &mut Draft, request: RequestId, method: Method, command: Command) {
        match command {
            Command::Arm { area, mode, code } => area::on_arm(draft, request, area, mode, &code),
            Command::Disarm { area, code } => area::on_disarm(draft, request, area, &code),
            Command::SirenStop { area, code } => area::on_siren_stop(draft, request, area, &code),
            Command::Acknowledge { area, code } => area::on_acknowledge(draft, request, area, &code),
            Command::Bypass { zone, on, code } => area::on_bypass(draft, request, zone, on, &code),
            Command::SirenChirp {} => hub::on_chirp(draft, request, method),
            Command::Lock { device, code } => lock::on_person(draft, request, device.as_ref(), Act::Lock, &code),
            Command::Unlock { device, code } => lock::on_person(draft, request, device.as_ref(), Act::Unlock, &code),
            Command::BatteryChange { device, code } => detector::on_battery_change(draft, request, device, &code),
            Command::Consent { minutes, code } => service::on_consent(draft, request, minutes, &code),
            Command::KeyWorks { code } => service::on_key_works(draft, request, &code),
            Command::PutOff { schedule, code } => schedule::on_put_off(draft, request, schedule, &code),
            Command::Cancel { incident, code } => incident::on_cancel(draft, request, incident, &code),
            Command::TestMode { minutes, code } => service::on_test(draft, request, minutes, &code),
            Command::Claim { name, code, code_taken } => access::on_claim(draft, request, name, &code, code_taken),
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
        }
    }

    /// Applies what was recorded and says what must now happen in the world.
    pub fn apply(&mut self, recorded: Recorded, now: Stamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        for event in &recorded.events {
            let watched = self.watched(event);
            let answers = warrant::answers(&self.state, event);
            effects.extend(self.sign(event).map(Effect::Signal));
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
        effects.extend(recorded.says.signals);
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

    /// The short sign to people that belongs to a fact, before it is applied (B18, B23).
    fn sign(&self, event: &Event) -> Option<Signal> {
        let area = event.area.clone()?;
        match &event.fact {
            Fact::ArmFailed { .. } => {
                let leaving = matches!(self.state.areas.get(&area)?.arming, Arming::Exit { .. });
                Some(if leaving { Signal::NotArmed(area) } else { Signal::NotReady(area) })
            }
            Fact::ScheduleWarned { .. } => Some(Signal::ArmsSoon(area)),
            _ => None,
        }
    }

    /// The incident of this event, if the centre has an open window on it.
    fn watched(&self, event: &Event) -> Option<EventId> {
        event.incident.filter(|id| self.is_watched(*id))
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
        let state = &self.state;
        let delays = state.areas.values().filter_map(|area| {
            let why = match area.arming {
                Arming::Exit { .. } => Why::ExitEnds,
                Arming::Entry { .. } => Why::EntryEnds,
                _ => Why::WarningEnds,
            };
            Some(Due { in_ms: area.arming.until()?.remaining_ms(now)?, why })
        });
        let hurries = state.areas.values().filter_map(|area| area::hurries_ms(area, now));
        let settled = state.settling.map(|until| until.remaining_ms(now).unwrap_or(0));
        let sirens = state.incidents.values().filter_map(|incident| incident.sound_ends_ms(now));
        let acts = state.acts.values().map(|sent| hub::act_left_ms(sent, now));
        let single = [
            (state.permit.map(|until| until.remaining_ms(now).unwrap_or(0)), Why::PermitEnds),
            (state.standing.due_ms(state, now), Why::ServiceEnds),
            (camera_window::due_ms(state, now), Why::CameraWindowEnds),
            (self.heard.due_ms(state, now), Why::Missing),
            (settled, Why::Settled),
            (hurries.min(), Why::EntryHurries),
            (sirens.min(), Why::SirenEnds),
            (acts.min(), Why::ActUnanswered),
            (detector::upkeep_ms(state, now), Why::UpkeepEnds),
            (access::due_ms(state, now), Why::CodeUnused),
            (fog::due_ms(state, now), Why::Air),
        ];
        // A failing disk has room for alarms alone; these are looked at again when it answers.
        let well = state.disk_down.is_none();
        let waiting = [
            (lock::due_ms(state, now), Why::Door),
            (self.air.due_ms(state, now), Why::Jamming),
            (schedule::due_ms(state, now), Why::Schedule),
        ];
        let single = single
            .into_iter()
            .chain(waiting.into_iter().filter(|_| well))
            .filter_map(|(in_ms, why)| Some(Due { in_ms: in_ms?, why }));
        delays.chain(single).min()
    }
}
