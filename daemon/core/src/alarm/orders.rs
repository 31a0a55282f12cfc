//! What a warrant that may is obeyed by: each order leads to what a person at the hub could ask for, or to its own judge.
//!
//! It knows no role but by who calls; what it cannot do is refused as not available.

use crate::alarm::access;
use crate::alarm::access::Right;
use crate::alarm::area;
use crate::alarm::camera_window;
use crate::alarm::detector;
use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::duress;
use crate::alarm::fog;
use crate::alarm::incident;
use crate::alarm::install;
use crate::alarm::lock;
use crate::alarm::service;
use crate::alarm::warrant::{Obeyed, Refusal, about, method, no};
use crate::device::{DeviceId, DeviceKind, UserId};
use crate::event::{Act, AlarmKind, Fact, Media, Method, UserRole};
use crate::input::{CodeChecked, Command, Newcomer, Reply, RequestId};
use crate::warrant::{Order, Role, Warrant};

/// The number under which what a person could ask for is asked on a warrant's behalf; no request has it.
const INNER: RequestId = RequestId::MAX;

/// Does what is ordered, or says what is missing.
pub(crate) fn obey(draft: &mut Draft, warrant: &Warrant) -> Result<Obeyed, Refusal> {
    match warrant.role {
        Role::Owner | Role::Member => obey_person(draft, warrant),
        Role::ArcOperator => obey_operator(draft, warrant),
        Role::Guard | Role::ArcService | Role::Technician => obey_service(draft, warrant),
    }
}

/// Runs what a person at the hub could ask for, and takes its reply as the outcome.
fn asked(draft: &mut Draft, ask: impl FnOnce(&mut Draft, RequestId)) -> Result<Obeyed, Refusal> {
    ask(draft, INNER);
    match draft.take_reply(INNER) {
        Some(Reply::Done { event, .. }) => Ok(Obeyed::Done(event)),
        Some(Reply::Refused { refused, text, .. }) => Err(no(refused, text)),
        None => Err(no("not_available", "nobody answers this order")),
    }
}

fn not_available(order: &Order) -> Refusal {
    no("not_available", format!("this hub cannot do {} yet", order.name()))
}

fn obey_maker(draft: &mut Draft, warrant: &Warrant) -> Result<Obeyed, Refusal> {
    match &warrant.order {
        Order::KeyAdd { kid, role, ed25519, user } => add_key(draft, warrant, kid, *role, ed25519, user.as_ref()),
        other => Err(not_available(other)),
    }
}

fn obey_person(draft: &mut Draft, warrant: &Warrant) -> Result<Obeyed, Refusal> {
    let key = draft.state.keys.get(&warrant.kid);
    if key.is_some_and(|key| key.role == "maker") {
        return obey_maker(draft, warrant);
    }
    let user = UserId::new(warrant.person.clone()).ok();
    // A phone is somebody's, and signs for nobody else; one of the install facts is whoever's it says.
    if key.is_some_and(|key| key.user.is_some() && key.user != user) {
        return Err(no("not_the_keys_person", "this key is another person's"));
    }
    let role = user.as_ref().and_then(|user| draft.state.users.get(user)).map(|user| user.role);
    if role.is_none_or(|role| warrant.role == Role::Owner && role != UserRole::Owner) {
        return Err(no("no_user", "sub is no user of this site with that role"));
    }
    let credential = Some(warrant.kid.clone());
    let by = About { user: user.clone(), method: Some(Method::App), ..About::default() };
    let code =
        CodeChecked { source: format!("app-{}", warrant.kid), user, method: Method::App, credential, duress: false };
    match &warrant.order {
        Order::Arm { area, mode } => {
            asked(draft, |draft, request| area::on_arm(draft, request, area.clone(), *mode, &code))
        }
        Order::Disarm { area } => asked(draft, |draft, request| area::on_disarm(draft, request, area.clone(), &code)),
        Order::SirenStop { area } => {
            asked(draft, |draft, request| area::on_siren_stop(draft, request, area.clone(), &code))
        }
        Order::KeyAdd { kid, role, ed25519, user } => {
            // The centre's and the technicians' keys are the maker's to list: else a stolen phone could fire fog.
            if !matches!(role, Role::Owner | Role::Member) {
                return Err(no(
                    "not_for_role",
                    "an owner lists keys of owners and members; others come from the maker",
                ));
            }
            owns(draft, &code, |draft| add_key(draft, warrant, kid, *role, ed25519, user.as_ref()))
        }
        Order::Sos { area, silent: true } => {
            duress::raise(draft, AlarmKind::HoldUp, DeviceKind::HoldUp, area.clone(), by);
            Ok(Obeyed::Done(None))
        }
        Order::Sos { area, .. } => {
            asked(draft, |draft, request| detector::on_sos(draft, request, Method::App, area.clone()))
        }
        Order::View { camera } => asked(draft, |draft, request| {
            camera_window::on_owner_looks(draft, request, camera.clone(), Media::Stream, &code);
        }),
        Order::TestMode { minutes } => asked(draft, |draft, request| service::on_test(draft, request, *minutes, &code)),
        Order::Cancel {} => asked(draft, |draft, request| incident::on_cancel(draft, request, warrant.incident, &code)),
        Order::Bypass { zone, on } => {
            asked(draft, |draft, request| area::on_bypass(draft, request, zone.clone(), *on, &code))
        }
        Order::BatteryChange { device } => {
            asked(draft, |draft, request| detector::on_battery_change(draft, request, device.clone(), &code))
        }
        Order::Consent { minutes } => {
            asked(draft, |draft, request| service::on_consent(draft, request, *minutes, &code))
        }
        Order::Lock { device } => turn(draft, warrant, device.as_ref(), Act::Lock, &code, by),
        Order::Unlock { device } => turn(draft, warrant, device.as_ref(), Act::Unlock, &code, by),
        Order::UserSet { user, role, name } => {
            let (user, role, name) = (user.clone(), *role, name.clone());
            settled(draft, &code, Command::UserSet { user, name, role, expires_ms: None })
        }
        Order::UserBlock { user } => settled(draft, &code, Command::UserBlock { user: user.clone(), blocked: true }),
        Order::CredentialBlock { credential } => {
            settled(draft, &code, Command::CredentialBlock { credential: credential.clone() })
        }
        other => Err(not_available(other)),
    }
}

/// A phone turns a lock, if it is good for that.
fn turn(
    draft: &mut Draft,
    warrant: &Warrant,
    device: Option<&DeviceId>,
    act: Act,
    code: &CodeChecked,
    by: About,
) -> Result<Obeyed, Refusal> {
    if access::known(draft, INNER, code, Right::Door).is_none() {
        return asked(draft, |_, _| {});
    }
    lock::ordered(draft, warrant, device, act, by)
}

/// What the owner settles from afar, if his phone is good for that.
fn settled(draft: &mut Draft, code: &CodeChecked, command: Command) -> Result<Obeyed, Refusal> {
    owns(draft, code, |draft| asked(draft, |draft, request| install::on_command(draft, request, code.method, command)))
}

/// What only the owner may.
fn owns(
    draft: &mut Draft,
    code: &CodeChecked,
    then: impl FnOnce(&mut Draft) -> Result<Obeyed, Refusal>,
) -> Result<Obeyed, Refusal> {
    match access::known(draft, INNER, code, Right::Own) {
        Some(_) => then(draft),
        None => asked(draft, |_, _| {}),
    }
}

/// One phone, key, tag or code is blocked by the centre (B15). Never added, never unblocked.
fn block(draft: &mut Draft, credential: &str) -> Result<Obeyed, Refusal> {
    let credential = credential.to_owned();
    asked(draft, |draft, request| {
        install::on_command(draft, request, Method::Arc, Command::CredentialBlock { credential });
    })
}

fn obey_operator(draft: &mut Draft, warrant: &Warrant) -> Result<Obeyed, Refusal> {
    let id = warrant.incident.ok_or_else(|| no("no_incident", "name the incident it is for"));
    let look = |draft: &mut Draft, camera: &DeviceId, what: Media| {
        let (camera, id) =
            (camera.clone(), warrant.incident.ok_or_else(|| no("no_incident", "name the incident it is for"))?);
        asked(draft, |draft, request| camera_window::on_centre_asks(draft, request, camera, what, id))
    };
    match &warrant.order {
        Order::IncidentVerify { by } => {
            let (id, by) = (id?, *by);
            if !by.is_a_persons() {
                return Err(no("not_a_persons_word", "detectors say that themselves: an operator has seen or heard"));
            }
            asked(draft, |draft, request| incident::on_verify(draft, request, id, by))
        }
        Order::IncidentClose { cause } => {
            let (id, cause) = (id?, *cause);
            asked(draft, |draft, request| incident::on_close(draft, request, id, cause))
        }
        Order::Image { camera } => look(draft, camera, Media::Image),
        Order::Clip { camera } => look(draft, camera, Media::Clip),
        Order::Stream { camera } => look(draft, camera, Media::Stream),
        Order::Audio { camera } => look(draft, camera, Media::Audio),
        Order::EmergencyUnlock { device, service } => {
            let by = About { method: Some(Method::Arc), ..About::default() };
            lock::emergency(draft, warrant, device.as_ref(), *service, by)
        }
        Order::FogFire { device, contacts } => {
            let by = About { method: Some(Method::Arc), ..About::default() };
            fog::on_fire(draft, warrant, device.as_ref(), *contacts, by)
        }
        Order::Arm { area, mode } => {
            let (area, mode, id) = (area.clone(), *mode, warrant.incident);
            asked(draft, |draft, request| area::on_centre_arms(draft, request, area, mode, id))
        }
        Order::SirenStop { area } => {
            let area = area.clone();
            asked(draft, |draft, request| area::on_centre_hushes(draft, request, area))
        }
        Order::Cancel {} => {
            let id = id?;
            asked(draft, |draft, request| incident::on_centre_cancels(draft, request, id))
        }
        Order::IncidentNote { text } => {
            let (id, text) = (id?, text.clone());
            asked(draft, |draft, request| incident::on_note(draft, request, id, text))
        }
        Order::CredentialBlock { credential } => block(draft, credential),
        Order::CameraClose {} => {
            let id = id?;
            asked(draft, |draft, request| camera_window::on_centre_closes(draft, request, id))
        }
        other => Err(not_available(other)),
    }
}

fn obey_service(draft: &mut Draft, warrant: &Warrant) -> Result<Obeyed, Refusal> {
    if warrant.role == Role::Technician && !draft.state.standing.visited() {
        return Err(no("no_visit", "no visit is open: the owner consents to one first"));
    }
    let by = About { method: Some(method(warrant.role)), ..About::default() };
    let change = |draft: &mut Draft, command: Command| {
        asked(draft, |draft, request| install::on_command(draft, request, Method::Technician, command))
    };
    match &warrant.order {
        Order::TestMode { minutes } => {
            let minutes = *minutes;
            asked(draft, |draft, request| service::test(draft, request, minutes, by))
        }
        Order::ServiceState { standing, notice_hours } => {
            let (standing, notice) = (*standing, *notice_hours);
            asked(draft, |draft, request| service::on_standing(draft, request, standing, notice))
        }
        Order::CredentialBlock { credential } => block(draft, credential),
        Order::DeviceAdd { device, kind, name } => {
            let (device, kind, name) = (device.clone(), *kind, name.clone());
            if device.as_str().starts_with("en-") && !draft.state.devices.contains_key(&device) {
                return Err(no("no_profile", "an EnOcean device is read by its profile: it is added at the hub"));
            }
            change(draft, Command::DeviceAdd(Newcomer { name, ..Newcomer::plain(device, kind) }))
        }
        Order::DeviceAssign { device, zone } => {
            change(draft, Command::DeviceAssign { device: device.clone(), zone: zone.clone() })
        }
        Order::DeviceRemove { device } => change(draft, Command::DeviceRemove { device: device.clone() }),
        other => Err(not_available(other)),
    }
}

/// How many keys a site may have.
const KEYS_MAX: usize = 64;

fn add_key(
    draft: &mut Draft,
    warrant: &Warrant,
    kid: &str,
    role: Role,
    ed25519: &str,
    user: Option<&UserId>,
) -> Result<Obeyed, Refusal> {
    let well = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if kid.is_empty() || kid.len() > 64 || !well(kid) || ed25519.len() != 43 || !well(ed25519) {
        return Err(no("bad_key", "kid: 1 to 64 of A-Z a-z 0-9 - _; ed25519: 32 bytes as base64url without padding"));
    }
    let person = matches!(role, Role::Owner | Role::Member);
    // Without a word it is the owner's own, or, from the maker, whoever's it says when it signs.
    let own = UserId::new(warrant.person.clone()).ok().filter(|user| draft.state.users.contains_key(user));
    let user = user.cloned().or(own).filter(|_| person);
    if user.as_ref().is_some_and(|user| !draft.state.users.contains_key(user)) {
        return Err(no("no_user", "`user`, whose key it is, is no user of this site"));
    }
    if draft.state.keys.contains_key(kid) {
        return Err(no("kid_taken", format!("there is a key {kid} already: give the new one another name")));
    }
    if draft.state.keys.len() >= KEYS_MAX {
        return Err(no("full", format!("a site has at most {KEYS_MAX} keys")));
    }
    let role = serde_json::to_value(role).ok().and_then(|role| role.as_str().map(str::to_owned)).unwrap_or_default();
    let about = About { user, ..about(draft, warrant, false) };
    let event = draft.emit(Fact::KeyListed { kid: kid.to_owned(), role, ed25519: ed25519.to_owned() }, about);
    Ok(Obeyed::Done(event))
}
