//! Whether a warrant may: role and command, time or challenge, once only, the incident and the ground (contract,
//! "Warrants").
//!
//! Each that is rightly signed is recorded with its outcome before anything is done, so that neither a crash nor a
//! second path can make one act twice. What is missing is named, all of it.

use crate::alarm::access;
use crate::alarm::access::Right;
use crate::alarm::area;
use crate::alarm::camera_window;
use crate::alarm::detector;
use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::draft::cut;
use crate::alarm::duress;
use crate::alarm::fog;
use crate::alarm::incident;
use crate::alarm::install;
use crate::alarm::lock;
use crate::alarm::service;
use crate::alarm::state::State;
use crate::canonical::hex;
use crate::challenge::{Challenges, Stale};
use crate::device::{DeviceId, DeviceKind, UserId};
use crate::event::{Act, AlarmKind, Event, EventId, Fact, Media, Method, UserRole};
use crate::input::{CodeChecked, Command, Disk, Reply, RequestId};
use crate::stamp::{Stamp, rfc3339};
use crate::warrant::{Answer, Order, Role, Status, Warrant};
use serde::{Deserialize, Serialize};

/// How far the issuer's clock and ours may differ (contract), in ms.
const SKEW_MS: i64 = 5_000;
/// The longest life of a warrant that opens or fires something (contract), in seconds.
const SHORT_S: i64 = 60;
/// The longest life of any other, in seconds: until it ends it is remembered.
const LONG_S: i64 = 24 * 3_600;
/// How many are remembered so that each acts once. Full of living ones, the next is refused.
const SPENT_MAX: usize = 256;
/// The number under which what a person could ask for is asked on a warrant's behalf; no request has it.
const INNER: RequestId = RequestId::MAX;

/// A warrant that has had its one answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    digest: String,
    expires_s: i64,
    status: Status,
    reason: Option<String>,
    event: EventId,
    /// The act it led to, until that is answered.
    command: Option<EventId>,
}

/// What became of it: done at once, or sent to a device that has yet to confirm.
pub(crate) enum Obeyed {
    Done(Option<EventId>),
    Sends(Vec<(Fact, About)>),
}

/// Why not: a code for programs, several joined by commas, and a sentence for people.
pub(crate) type Refusal = (String, String);

pub(crate) fn no(code: &str, text: impl Into<String>) -> Refusal {
    (code.to_owned(), text.into())
}

/// Judges one and does what it orders.
pub(crate) fn on_warrant(draft: &mut Draft, challenges: Option<&Challenges>, mut warrant: Warrant) {
    warrant.incident = warrant.incident.map(|id| draft.state.incident_of(id).unwrap_or(id));
    let digest = hex(&warrant.digest.0);
    match draft.state.warrants.get(&warrant.jti) {
        Some(spent) if spent.digest == digest => {
            let answer = spent.answer(&warrant.jti);
            return draft.answer(answer);
        }
        Some(_) => {
            let refusal = no("jti_reused", "another warrant had this jti: each needs its own");
            return refuse(draft, &warrant, refusal);
        }
        None => {}
    }
    match may(draft, challenges, &warrant).and_then(|()| obey(draft, &warrant)) {
        Ok(Obeyed::Done(event)) => accept(draft, &warrant, event, false),
        Ok(Obeyed::Sends(facts)) => {
            accept(draft, &warrant, None, true);
            for (fact, about) in facts {
                draft.keep(fact, about);
            }
        }
        Err(refusal) => refuse(draft, &warrant, refusal),
    }
}

fn about(draft: &Draft, warrant: &Warrant) -> About {
    let incident = warrant.incident.filter(|id| draft.state.incidents.contains_key(id));
    About { method: Some(method(warrant.role)), incident, ..About::default() }
}

pub(crate) fn method(role: Role) -> Method {
    match role {
        Role::Owner | Role::Member => Method::App,
        Role::Guard => Method::Keypad,
        Role::ArcOperator | Role::ArcService => Method::Arc,
        Role::Technician => Method::Technician,
    }
}

fn accept(draft: &mut Draft, warrant: &Warrant, event: Option<EventId>, awaits: bool) {
    let fact = Fact::WarrantAccepted {
        jti: warrant.jti.clone(),
        digest: hex(&warrant.digest.0),
        expires: rfc3339(warrant.expires_s.saturating_mul(1000)),
        cmd: warrant.order.name().to_owned(),
        role: warrant.role,
        person: cut(warrant.person.clone()),
        ground: warrant.ground,
        emergency: match warrant.order {
            Order::EmergencyUnlock { service, .. } => Some(service),
            _ => None,
        },
        led_to: event,
        awaits,
    };
    let about = about(draft, warrant);
    draft.keep(fact, about);
}

fn refuse(draft: &mut Draft, warrant: &Warrant, (reason, text): Refusal) {
    let fact = Fact::WarrantRefused {
        jti: warrant.jti.clone(),
        digest: hex(&warrant.digest.0),
        expires: rfc3339(warrant.expires_s.saturating_mul(1000)),
        cmd: warrant.order.name().to_owned(),
        role: warrant.role,
        person: cut(warrant.person.clone()),
        reason: cut(reason.clone()),
    };
    let about = about(draft, warrant);
    if draft.emit(fact, about).is_none() {
        // A failing disk without room: the answer goes out all the same.
        let (jti, status) = (warrant.jti.clone(), Status::Refused);
        draft.answer(Answer { jti, status, reason: Some(reason), text: Some(text), event: None });
    } else {
        draft.explain(warrant.jti.clone(), text);
    }
}

/// Orders that open or fire something: a minute at most, with a challenge.
fn needs_challenge(order: &Order) -> bool {
    matches!(order, Order::Lock { .. } | Order::Unlock { .. } | Order::EmergencyUnlock { .. } | Order::FogFire { .. })
}

/// Orders that are taken without a clock: too late harms more than twice.
fn needs_no_clock(order: &Order) -> bool {
    matches!(order, Order::Sos { .. } | Order::CredentialBlock { .. } | Order::SirenStop { .. })
}

/// Role, key, time and place, before what is ordered is looked at.
fn may(draft: &Draft, challenges: Option<&Challenges>, warrant: &Warrant) -> Result<(), Refusal> {
    let state = &draft.state;
    let living = state.warrants.values().filter(|spent| spent.lives(draft.now())).count();
    if living >= SPENT_MAX {
        return Err(no("busy", "too many warrants that have not expired: wait until they have"));
    }
    let signs = |role: &str| match role {
        "arc" => matches!(warrant.role, Role::ArcOperator | Role::ArcService),
        // The maker lists keys and nothing else.
        "maker" => warrant.role == Role::Owner && matches!(warrant.order, Order::KeyAdd { .. }),
        listed => serde_json::to_value(warrant.role).is_ok_and(|role| role == listed),
    };
    if !state.keys.get(&warrant.kid).is_some_and(|key| signs(&key.role)) {
        return Err(no("not_the_keys_role", format!("key {} may not sign for this role", cut(warrant.kid.clone()))));
    }
    if !allowed(warrant.role, &warrant.order) {
        return Err(no("not_for_role", format!("{} is not for this role", warrant.order.name())));
    }
    in_time(draft, challenges, warrant)?;
    if matches!(draft.context.disk, Disk::Failed { .. }) && !needs_no_clock(&warrant.order) {
        return Err(no("disk", "the journal's disk does not answer: what cannot be recorded is not done"));
    }
    Ok(())
}

fn in_time(draft: &Draft, challenges: Option<&Challenges>, warrant: &Warrant) -> Result<(), Refusal> {
    let now = draft.now();
    let (issued, expires) = (warrant.issued_s.saturating_mul(1000), warrant.expires_s.saturating_mul(1000));
    let short = needs_challenge(&warrant.order);
    let longest_s = if short { SHORT_S } else { LONG_S };
    let life_s = warrant.expires_s.saturating_sub(warrant.issued_s);
    if !(0..=longest_s).contains(&life_s) {
        return Err(no("too_long", format!("exp - iat is {life_s} s: {longest_s} s at most, and not less than 0")));
    }
    if short {
        let nonce =
            warrant.nonce.as_deref().ok_or_else(|| no("no_challenge", "repeat the hub's challenge as nonce"))?;
        let fresh = challenges.map_or(Err(Stale::Foreign), |ours| ours.age_ms(nonce, now));
        fresh.map_err(|stale| match stale {
            Stale::Foreign => no("foreign_challenge", "this hub, in this run, made no such challenge"),
            Stale::Old => no("old_challenge", "the challenge is more than 60 s old: take the newest"),
        })?;
    }
    let floor = draft.state.clock_floor_ms.filter(|_| !short);
    let known = now.trusted.then_some(now.wall_ms).into_iter().chain(floor).max();
    if known.is_some_and(|known| expires.saturating_add(SKEW_MS) < known) {
        return Err(no("expired", format!("it was good until {}", rfc3339(expires))));
    }
    if short || needs_no_clock(&warrant.order) {
        return Ok(());
    }
    if !now.trusted {
        return Err(no("no_clock", "the hub does not know the time yet: this order waits until it does"));
    }
    if issued.saturating_sub(SKEW_MS) > now.wall_ms {
        return Err(no("not_yet", format!("it says it was signed at {}, which is to come", rfc3339(issued))));
    }
    Ok(())
}

/// The contract's table of roles and commands.
fn allowed(role: Role, order: &Order) -> bool {
    use Order as O;
    match role {
        Role::Owner => matches!(
            order,
            O::Arm { .. }
                | O::Disarm { .. }
                | O::Bypass { .. }
                | O::Lock { .. }
                | O::Unlock { .. }
                | O::SirenStop { .. }
                | O::Sos { .. }
                | O::BatteryChange { .. }
                | O::View { .. }
                | O::UserSet { .. }
                | O::UserBlock { .. }
                | O::CredentialBlock { .. }
                | O::Consent { .. }
                | O::Export {}
                | O::Erase {}
                | O::KeyAdd { .. }
                | O::SelfTest {}
                | O::TestMode { .. }
                | O::Cancel {}
        ),
        Role::Member => matches!(
            order,
            O::Arm { .. }
                | O::Disarm { .. }
                | O::Lock { .. }
                | O::Unlock { .. }
                | O::SirenStop { .. }
                | O::Sos { .. }
                | O::BatteryChange { .. }
                | O::Cancel {}
        ),
        // By code or tag on site, never from afar.
        Role::Guard => false,
        Role::ArcOperator => matches!(
            order,
            O::IncidentVerify { .. }
                | O::EmergencyUnlock { .. }
                | O::FogFire { .. }
                | O::Image { .. }
                | O::Clip { .. }
                | O::Stream { .. }
                | O::Audio { .. }
                | O::CameraClose {}
                | O::VoiceStart {}
                | O::VoiceStop {}
                | O::SirenStop { .. }
                | O::IncidentNote { .. }
                | O::IncidentClose { .. }
                | O::Cancel {}
                | O::CredentialBlock { .. }
                | O::Arm { .. }
        ),
        Role::ArcService => matches!(
            order,
            O::SelfTest {}
                | O::TestMode { .. }
                | O::ServiceState { .. }
                | O::ConfigSet {}
                | O::Update {}
                | O::VisitTicket { .. }
                | O::CredentialBlock { .. }
        ),
        Role::Technician => matches!(
            order,
            O::SelfTest {}
                | O::TestMode { .. }
                | O::ConfigSet {}
                | O::DeviceAdd { .. }
                | O::DeviceAssign { .. }
                | O::DeviceRemove { .. }
        ),
    }
}

/// Does what is ordered, or says what is missing.
fn obey(draft: &mut Draft, warrant: &Warrant) -> Result<Obeyed, Refusal> {
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

fn obey_person(draft: &mut Draft, warrant: &Warrant) -> Result<Obeyed, Refusal> {
    if let Order::KeyAdd { kid, role, ed25519 } = &warrant.order {
        return add_key(draft, warrant, kid, *role, ed25519);
    }
    let user = UserId::new(warrant.person.clone()).ok();
    let role = user.as_ref().and_then(|user| draft.state.users.get(user)).map(|user| user.role);
    let owner = role == Some(UserRole::Owner);
    if role.is_none() || warrant.role == Role::Owner && !owner {
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
    if access::known(draft, INNER, code, Right::Own).is_none() {
        return asked(draft, |_, _| {});
    }
    asked(draft, |draft, request| install::on_command(draft, request, code.method, command))
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
        let (camera, id) = (camera.clone(), warrant.incident.unwrap_or(EventId([0; 16])));
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
            change(draft, Command::DeviceAdd { device, kind, name, secret: None, pet: false })
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

fn add_key(draft: &mut Draft, warrant: &Warrant, kid: &str, role: Role, ed25519: &str) -> Result<Obeyed, Refusal> {
    let well = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if kid.is_empty() || kid.len() > 64 || !well(kid) || ed25519.len() != 43 || !well(ed25519) {
        return Err(no("bad_key", "kid: 1 to 64 of A-Z a-z 0-9 - _; ed25519: 32 bytes as base64url without padding"));
    }
    if draft.state.keys.contains_key(kid) {
        return Err(no("kid_taken", format!("there is a key {kid} already: give the new one another name")));
    }
    if draft.state.keys.len() >= KEYS_MAX {
        return Err(no("full", format!("a site has at most {KEYS_MAX} keys")));
    }
    let role = serde_json::to_value(role).ok().and_then(|role| role.as_str().map(str::to_owned)).unwrap_or_default();
    let about = about(draft, warrant);
    let event = draft.emit(Fact::KeyListed { kid: kid.to_owned(), role, ed25519: ed25519.to_owned() }, about);
    Ok(Obeyed::Done(event))
}

impl Spent {
    fn answer(&self, jti: &str) -> Answer {
        let (jti, reason) = (jti.to_owned(), self.reason.clone());
        Answer { jti, status: self.status, reason, text: None, event: Some(self.event) }
    }

    /// Whether it might still act, had it not.
    fn lives(&self, now: Stamp) -> bool {
        !now.trusted || self.expires_s.saturating_mul(1000).saturating_add(SKEW_MS) >= now.wall_ms
    }
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    if event.stamp.trusted {
        state.clock_floor_ms = state.clock_floor_ms.max(Some(event.stamp.wall_ms));
    }
    let spent = |digest: &String, expires: &String, status, reason: Option<&String>| Spent {
        digest: digest.clone(),
        expires_s: crate::stamp::parse_rfc3339(expires).unwrap_or(i64::MAX / 1000) / 1000,
        status,
        reason: reason.cloned(),
        event: event.id,
        command: None,
    };
    match &event.fact {
        Fact::WarrantAccepted { jti, digest, expires, awaits, .. } => {
            state.warrants.retain(|_, spent| spent.lives(event.stamp));
            let status = if *awaits { Status::Accepted } else { Status::Confirmed };
            state.warrants.insert(jti.clone(), spent(digest, expires, status, None));
        }
        Fact::WarrantRefused { jti, digest, expires, reason, .. } => {
            state.warrants.retain(|_, spent| spent.lives(event.stamp));
            if state.warrants.len() < SPENT_MAX && !state.warrants.contains_key(jti) {
                state.warrants.insert(jti.clone(), spent(digest, expires, Status::Refused, Some(reason)));
            }
        }
        Fact::CommandSent { warrant: Some(jti), .. } => {
            state.warrants.get_mut(jti).into_iter().for_each(|spent| {
                (spent.status, spent.event, spent.command) = (Status::Sent, event.id, Some(event.id));
            });
        }
        Fact::CommandConfirmed { command, .. } => ended(state, *command, Status::Confirmed, None, event.id),
        Fact::CommandFailed { command, reason, .. } => ended(state, *command, Status::Failed, Some(reason), event.id),
        _ => {}
    }
}

fn ended(state: &mut State, command: EventId, status: Status, reason: Option<&String>, event: EventId) {
    let of_it = state.warrants.values_mut().find(|spent| spent.command == Some(command));
    of_it.into_iter().for_each(|spent| {
        (spent.status, spent.reason, spent.event, spent.command) = (status, reason.cloned(), event, None);
    });
}

/// What the issuer is told when this is on record.
pub(crate) fn answers(state: &State, event: &Event) -> Vec<Answer> {
    let says = |jti: &String, status, reason: Option<&String>| Answer {
        jti: jti.clone(),
        status,
        reason: reason.cloned(),
        text: None,
        event: Some(event.id),
    };
    let of_act = |command: &EventId| state.warrants.iter().find(|(_, spent)| spent.command == Some(*command));
    match &event.fact {
        Fact::WarrantAccepted { jti, awaits: true, .. } => vec![says(jti, Status::Accepted, None)],
        Fact::WarrantAccepted { jti, .. } => {
            vec![says(jti, Status::Accepted, None), says(jti, Status::Confirmed, None)]
        }
        Fact::WarrantRefused { jti, reason, .. } => vec![says(jti, Status::Refused, Some(reason))],
        Fact::CommandSent { warrant: Some(jti), .. } => vec![says(jti, Status::Sent, None)],
        Fact::CommandConfirmed { command, .. } => {
            of_act(command).map(|(jti, _)| says(jti, Status::Confirmed, None)).into_iter().collect()
        }
        Fact::CommandFailed { command, reason, .. } => {
            of_act(command).map(|(jti, _)| says(jti, Status::Failed, Some(reason))).into_iter().collect()
        }
        _ => vec![],
    }
}
