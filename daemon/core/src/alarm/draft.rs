//! A turn being decided: facts are written here and applied to a draft of the state at once, so that each later input
//! is judged on what the earlier ones led to. The live state changes only when the events have been recorded.

use crate::alarm::camera_window::Grant;
use crate::alarm::jam::Air;
use crate::alarm::state::State;
use crate::alarm::supervision::Heard;
use crate::canonical::hex;
use crate::canonical::sha256;
use crate::device::{AreaId, Authenticated, DeviceId, UserId, ZoneId};
use crate::event::{AlarmKind, Class, Event, EventId, Fact, Method, Personal};
use crate::input::{Context, Disk, Effect, Reply, RequestId, Signal};
use crate::stamp::Stamp;
use crate::turn::{Decided, Says};
use crate::warrant::Answer;
use std::collections::BTreeMap;

/// The longest reason or error text in a fact, in bytes; the rest is cut.
const TEXT_MAX: usize = 200;

/// A text as a fact may hold it.
pub(crate) fn cut(mut text: String) -> String {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// Circumstances of one fact, as far as they are known.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub area: Option<AreaId>,
    pub zone: Option<ZoneId>,
    pub device: Option<DeviceId>,
    pub user: Option<UserId>,
    pub method: Option<Method>,
    pub authenticated: Option<Authenticated>,
    pub name: Option<String>,
    pub note: Option<String>,
    pub incident: Option<EventId>,
    /// It opens an incident: its own id becomes the incident's.
    pub opens: bool,
    /// Nobody on site may read it.
    pub centre_only: bool,
}

/// A turn being decided: the state as it will be, and the events that lead there.
pub(crate) struct Draft<'a> {
    pub state: State,
    pub context: Context,
    /// Who was heard when.
    pub heard: &'a Heard,
    /// Interference at the receivers.
    pub air: &'a Air,
    events: Vec<Event>,
    says: Says,
    refused: u64,
    minted: u32,
}

impl<'a> Draft<'a> {
    pub fn new(state: &State, heard: &'a Heard, air: &'a Air, context: &Context) -> Self {
        let context = Context { now: context.now.sane(), ..*context };
        Self { state: state.clone(), context, heard, air, events: vec![], says: Says::default(), refused: 0, minted: 0 }
    }

    pub fn now(&self) -> Stamp {
        self.context.now
    }

    fn entropy(&mut self) -> [u8; 32] {
        self.minted += 1;
        sha256(&[&self.context.entropy, &self.minted.to_be_bytes()])
    }

    /// Writes a fact down and applies it to the draft. `None`: the disk fails and there is no room left to keep it.
    pub fn emit(&mut self, fact: Fact, about: About) -> Option<EventId> {
        if let Disk::Failed { room } = self.context.disk
            && self.events.len() >= room
            && !matches!(fact.class(), Class::Alarm | Class::Access)
            && !matches!(fact, Fact::PermitClosed {} | Fact::CommandConfirmed { .. } | Fact::CommandFailed { .. })
        {
            // Alarms and what people do at the door count whatever happens (B6), and so does the end of what has begun:
            // at most one permit and a few acts, which would else fall due for ever. The rest is counted, told later.
            self.refused += 1;
            return None;
        }
        Some(self.keep(fact, about))
    }

    /// Writes a fact down whatever room a failing disk has left: an alarm hangs on it.
    pub fn keep(&mut self, fact: Fact, about: About) -> EventId {
        let bytes = self.entropy();
        let id = EventId::mint(self.now().wall_ms, std::array::from_fn(|i| bytes[i]));
        let said = [("name", about.name), ("note", about.note)];
        let fields: BTreeMap<String, String> =
            said.into_iter().filter_map(|(field, text)| Some((field.to_owned(), text?))).collect();
        // Of what nobody on site may know, nothing that follows from it is shown there either (B8).
        let hidden = about.incident.and_then(|id| self.state.incidents.get(&id)).is_some_and(|of| of.hides(&fact));
        let personal = (!fields.is_empty()).then(|| Personal { salt: hex(&bytes[16..32]), fields });
        let event = Event {
            id,
            stamp: self.now(),
            fact,
            area: about.area,
            zone: about.zone,
            device: about.device,
            incident: about.incident.or(about.opens.then_some(id)),
            user: about.user,
            method: about.method,
            service: self.state.service(),
            authenticated: about.authenticated,
            personal,
            centre_only: about.centre_only || hidden,
        };
        self.state.apply(&event);
        self.events.push(event);
        id
    }

    /// What was decided.
    pub fn decided(self) -> Decided {
        Decided { events: self.events, says: self.says, refused: self.refused }
    }

    /// A short sign to people.
    pub fn signal(&mut self, signal: Signal) {
        self.says.signals.push(Effect::Signal(signal));
    }

    /// A rule switches a light.
    pub fn light(&mut self, light: DeviceId, on: bool) {
        self.says.signals.push(Effect::Light { light, on });
    }

    /// How many facts have been written down.
    pub fn written(&self) -> usize {
        self.events.len()
    }

    /// Where what was written down since then happened, as far as it was anywhere.
    pub fn area_since(&self, so_far: usize) -> Option<AreaId> {
        self.events.iter().skip(so_far).find_map(|event| event.area.clone())
    }

    /// Whether the last thing that was written down since then is for the centre alone; under threat, whether it is that.
    pub fn told_the_centre_since(&self, so_far: usize, threat: bool) -> bool {
        let says_so = |event: &Event| matches!(event.fact, Fact::AlarmRaised { kind: AlarmKind::Duress, .. });
        let last = self.events.iter().skip(so_far).last();
        last.is_some_and(|event| event.is_centre_only() && (!threat || says_so(event)))
    }

    /// Leave to ask a camera; released once what led to it is recorded.
    pub fn grant(&mut self, grant: Grant) {
        self.says.grants.push(grant);
    }

    /// Tells who sent a warrant what became of it, where nothing new is recorded.
    pub fn answer(&mut self, answer: Answer) {
        self.says.answers.push(answer);
    }

    /// What a warrant's answer says in words.
    pub fn explain(&mut self, jti: String, text: String) {
        self.says.texts.insert(jti, text);
    }

    /// Takes back the reply to a request, where it was asked on a warrant's behalf.
    pub fn take_reply(&mut self, request: RequestId) -> Option<Reply> {
        let at = self.says.replies.iter().position(|(of, _)| *of == request)?;
        Some(self.says.replies.remove(at).1)
    }

    pub fn reply(&mut self, request: RequestId, reply: Reply) {
        self.says.replies.push((request, reply));
    }

    pub fn done(&mut self, request: RequestId, event: Option<EventId>, text: impl Into<String>) {
        self.reply(request, Reply::Done { ok: true, event, journaled: true, text: text.into() });
    }

    pub fn refuse(&mut self, request: RequestId, code: &'static str, text: impl Into<String>) {
        self.reply(request, Reply::refused(code, text));
    }
}
