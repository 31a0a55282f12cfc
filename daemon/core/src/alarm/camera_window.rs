//! Who may ask for which picture, and when (R01 to R07): the only place that makes a `Grant`, without which no camera is
//! asked for anything.
//!
//! The centre sees only what an open alarm of the listed kinds has opened, for fifteen minutes from its first moment;
//! nothing stretches that, and a board that cannot prove how much has passed opens nothing. What the owner looks at is
//! the owner's own, and never the centre's.

use crate::alarm::access;
use crate::alarm::access::Right;
use crate::alarm::area;
use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::incident::Incident;
use crate::alarm::state::State;
use crate::device::{AreaId, DeviceId, DeviceKind};
use crate::event::{AlarmKind, Event, EventId, Fact, Media, Method, Profile, Realm, WindowEnd};
use crate::input::{CodeChecked, Disk, RequestId};
use crate::stamp::{Deadline, Stamp};

/// From an incident's first moment (R04), in ms. A hard stop.
pub(crate) const WINDOW_MS: u64 = 15 * 60_000;
/// How long one look of the owner's lasts, in ms; he may look again.
const LOOK_MS: u64 = 5 * 60_000;

/// Leave to ask one camera for one thing. Only this file can make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    camera: DeviceId,
    what: Media,
    realm: Realm,
    incident: Option<EventId>,
    until: Deadline,
}

impl Grant {
    /// Which camera.
    pub fn camera(&self) -> &DeviceId {
        &self.camera
    }

    /// For what.
    pub fn what(&self) -> Media {
        self.what
    }

    /// Whose it will be: stored apart, under another key, on another way (R06).
    pub fn realm(&self) -> Realm {
        self.realm
    }

    /// The incident it belongs to, if it is the centre's.
    pub fn incident(&self) -> Option<EventId> {
        self.incident
    }

    /// How much of it is left, in ms; 0: it is worth nothing any more.
    pub fn left_ms(&self, now: Stamp) -> u64 {
        self.until.remaining_ms(now).unwrap_or(0)
    }
}

/// Why the centre is refused.
type Refusal = (&'static str, String);

/// Whether an alarm of this kind opens cameras (R02, R03, B14).
fn opens(incident: &Incident, profile: Option<Profile>) -> bool {
    match incident.kind {
        AlarmKind::Burglary | AlarmKind::Fire | AlarmKind::Sos => true,
        // Sabotage is on one country's list only, and only while the area guards.
        AlarmKind::Tamper => profile == Some(Profile::Dk) && incident.armed,
        _ => false,
    }
}

/// How much of an incident's window is left, in ms.
fn window_left_ms(incident: &Incident, profile: Option<Profile>, now: Stamp) -> u64 {
    let left = Deadline::after(incident.opened, WINDOW_MS).remaining_ms(now).unwrap_or(0);
    if opens(incident, profile) && !incident.window_closed { left } else { 0 }
}

fn area_of(state: &State, camera: &DeviceId) -> Option<AreaId> {
    let zone = state.devices.get(camera)?.zone.as_ref()?;
    state.zones.get(zone).map(|zone| zone.area.clone())
}

/// Until when the centre may have anything of a camera in an incident, at this moment.
fn may(state: &State, camera: &DeviceId, id: EventId, now: Stamp) -> Result<Deadline, Refusal> {
    let incident = state.incidents.get(&id).ok_or_else(|| ("no_incident", format!("no incident {id} is open")))?;
    if !opens(incident, state.profile) {
        return Err(("not_for_pictures", format!("an alarm of this kind ({:?}) opens no camera", incident.kind)));
    }
    if window_left_ms(incident, state.profile, now) == 0 {
        return Err((
            "window_closed",
            "the 15 minutes of this incident are over, or nobody can prove they are not".into(),
        ));
    }
    if !is_camera(state, camera) {
        return Err(("no_camera", format!("{camera} is no camera of this site")));
    }
    if incident.area.is_some() && area_of(state, camera) != incident.area {
        return Err(("other_area", format!("camera {camera} is not where the alarm is")));
    }
    Ok(Deadline::after(incident.opened, WINDOW_MS))
}

fn is_camera(state: &State, camera: &DeviceId) -> bool {
    state.devices.get(camera).is_some_and(|device| device.kind == DeviceKind::Camera)
}

/// Whether a grant is still good when its turn is over.
pub(crate) fn stands(state: &State, grant: &Grant, now: Stamp) -> bool {
    is_camera(state, &grant.camera) && grant.incident.is_none_or(|id| may(state, &grant.camera, id, now).is_ok())
}

/// A picture is not asked for while nobody can say on disk that it was.
fn disk_answers(draft: &mut Draft, request: RequestId) -> bool {
    let fails = matches!(draft.context.disk, Disk::Failed { .. });
    if fails {
        draft.refuse(request, "disk", "the journal's disk does not answer: cameras wait until it does");
    }
    !fails
}

/// The centre's operator asks. Only a warrant leads here; each answer is on record.
pub(crate) fn on_centre_asks(draft: &mut Draft, request: RequestId, camera: DeviceId, what: Media, id: EventId) {
    if !disk_answers(draft, request) {
        return;
    }
    let judged = may(&draft.state, &camera, id, draft.now());
    let (area, asked) = (area_of(&draft.state, &camera), camera.clone());
    let open = draft.state.incidents.contains_key(&id).then_some(id);
    let about = About { device: Some(camera), area, incident: open, method: Some(Method::Arc), ..About::default() };
    match judged {
        Ok(until) => {
            let grant = Grant { camera: asked, what, realm: Realm::Centre, incident: Some(id), until };
            let event = draft.emit(Fact::MediaGranted { what, realm: Realm::Centre }, about);
            if event.is_some() {
                draft.grant(grant);
            }
            area::finish(draft, request, event, "granted".to_owned());
        }
        Err((reason, text)) => {
            draft.emit(Fact::MediaRefused { what, reason: reason.to_owned() }, about);
            draft.refuse(request, reason, text);
        }
    }
}

/// The owner looks at his own camera.
pub(crate) fn on_owner_looks(draft: &mut Draft, request: RequestId, camera: DeviceId, what: Media, code: &CodeChecked) {
    let Some(user) = access::known(draft, request, code, Right::Own) else { return };
    if !disk_answers(draft, request) {
        return;
    }
    if !is_camera(&draft.state, &camera) {
        return draft.refuse(request, "no_camera", format!("{camera} is no camera of this site"));
    }
    let area = area_of(&draft.state, &camera);
    let (user, method) = (Some(user), Some(code.method));
    let about = About { device: Some(camera.clone()), area, user, method, ..About::default() };
    let until = Deadline::after(draft.now(), LOOK_MS);
    let event = draft.emit(Fact::MediaGranted { what, realm: Realm::Owner }, about);
    if event.is_some() {
        draft.grant(Grant { camera, what, realm: Realm::Owner, incident: None, until });
    }
    area::finish(draft, request, event, "look".to_owned());
}

/// The centre has seen enough: the window stays shut.
pub(crate) fn on_centre_closes(draft: &mut Draft, request: RequestId, id: EventId) {
    let Some(incident) = draft.state.incidents.get(&id) else {
        return draft.refuse(request, "no_incident", format!("no incident {id} is open"));
    };
    if incident.window_closed {
        return draft.done(request, None, "it is closed already");
    }
    let about =
        About { area: incident.area.clone(), incident: Some(id), method: Some(Method::Arc), ..About::default() };
    let event = draft.emit(Fact::MediaWindowClosed { by: WindowEnd::Centre }, about);
    area::finish(draft, request, event, "closed".to_owned());
}

/// An incident is about to be continued by another one: what the centre was granted in it ends here, and that is told.
pub(crate) fn on_continued(draft: &mut Draft, id: EventId) {
    let Some(incident) = draft.state.incidents.get(&id).filter(|of| of.window_used && !of.window_closed) else {
        return;
    };
    let about = About { area: incident.area.clone(), incident: Some(id), ..About::default() };
    // Were this refused the looking would go on, and nobody could end it.
    draft.keep(Fact::MediaWindowClosed { by: WindowEnd::Continued }, about);
}

/// Windows whose time is over, where something was granted in them: what was never opened needs no closing.
pub(crate) fn on_time(draft: &mut Draft) {
    let (now, profile) = (draft.now(), draft.state.profile);
    let over = |incident: &Incident| {
        incident.window_used && !incident.window_closed && window_left_ms(incident, profile, now) == 0
    };
    let over: Vec<(EventId, Option<AreaId>, bool)> = (draft.state.incidents.iter())
        .filter(|(_, incident)| over(incident))
        .map(|(id, incident)| {
            let proven = Deadline::after(incident.opened, WINDOW_MS).remaining_ms(now).is_some();
            (*id, incident.area.clone(), proven)
        })
        .collect();
    for (id, area, proven) in over {
        let by = if proven { WindowEnd::Time } else { WindowEnd::Clock };
        // Were it not on record it would fall due for ever.
        draft.keep(Fact::MediaWindowClosed { by }, About { area, incident: Some(id), ..About::default() });
    }
}

/// When the next window ends, in ms.
pub(crate) fn due_ms(state: &State, now: Stamp) -> Option<u64> {
    let used = state.incidents.values().filter(|incident| incident.window_used && !incident.window_closed);
    used.map(|incident| window_left_ms(incident, state.profile, now)).min()
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    let Some(incident) = event.incident.and_then(|id| state.incidents.get_mut(&id)) else { return };
    match &event.fact {
        Fact::MediaGranted { realm: Realm::Centre, .. } => incident.window_used = true,
        Fact::MediaWindowClosed { .. } => incident.window_closed = true,
        _ => {}
    }
}
