//! Whose code, tag or phone it is, and what it is good for at this moment (B16, B20, R74, R76).
//!
//! The code itself never comes here, only whose it is. Wrong codes block the keypad they were given at and nothing else;
//! no block holds a tag, a phone, a fire or a call for help. It never says more to who is wrong than that he is.

use crate::alarm::detector;
use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::draft::cut;
use crate::alarm::install;
use crate::alarm::state::State;
use crate::device::{AreaId, DeviceKind, UserId};
use crate::event::{AlarmKind, Delay, Event, Fact, Method, UserRole};
use crate::input::{CodeChecked, Command, RequestId};
use crate::stamp::{Deadline, Stamp, parse_rfc3339};
use serde::{Deserialize, Serialize};

/// How many wrong codes at one source block it (requirements, "codes").
const WRONG_MAX: u32 = 3;
/// For how long, in seconds.
const BLOCKED_S: u32 = 90;
/// So many wrong codes without a right one between them, wherever they were given, are somebody trying.
const WRONG_IN_ALL_MAX: u32 = 10;
/// Where a claim code is given. Only whoever installs gives one, so wrong ones say nothing of the keypads: they are counted
/// here alone, and only an owner ends that count.
pub const CLAIM: &str = "claim";
/// A guard's code is good for so long after an incident opened, in ms (B16).
const GUARD_MS: u64 = 4 * 3_600_000;
/// A code that nobody has used for so long is told of (R76), in days.
const UNUSED_DAYS: u32 = 90;
const DAY_MS: u64 = 24 * 3_600_000;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct User {
    pub role: UserRole,
    /// Good until then, in ms since 1970.
    pub expires_ms: Option<i64>,
    /// Blocked by the owner.
    pub blocked: bool,
    /// When he last did something, or was added.
    pub used: Stamp,
    /// That he has not for long has been told.
    pub unused: bool,
}

/// What somebody wants to do with his code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Arm,
    Disarm,
    Hush,
    Cancel,
    Door,
    /// Changes of batteries, the acknowledge step, putting a schedule off.
    Upkeep,
    /// What only the owner may.
    Own,
}

impl UserRole {
    fn may(self, right: Right) -> bool {
        match self {
            UserRole::Owner => true,
            UserRole::Member => right != Right::Own,
            UserRole::Guard => matches!(right, Right::Arm | Right::Disarm | Right::Hush),
        }
    }
}

/// Whose code it is, if it is good for this; or a refusal that was counted and answered.
pub(crate) fn known(draft: &mut Draft, request: RequestId, code: &CodeChecked, right: Right) -> Option<UserId> {
    let source = cut(code.source.clone());
    // Digits can be tried one after the other; tags and phones cannot.
    let digits = !matches!(code.method, Method::Tag | Method::Remote | Method::App);
    if let Some(left) = blocked_ms(&draft.state, &source, draft.now()).filter(|_| digits) {
        // Right or wrong, a code leaves the same row: a block that told them apart would be there to be asked.
        if draft.state.duress && !code.duress {
            draft.emit(Fact::CodeUsed {}, About { method: Some(code.method), ..About::default() });
        }
        refuse_blocked(draft, request, left);
        return None;
    }
    let about = About { method: Some(code.method), ..About::default() };
    let found = code.user.as_ref().and_then(|user| draft.state.users.get_key_value(user));
    let Some((user, person)) = found.map(|(user, person)| (user.clone(), person.clone())) else {
        if digits {
            wrong(draft, source, about);
        } else {
            draft.emit(Fact::CredentialRefused { source, reason: "unknown".to_owned() }, about);
        }
        draft.refuse(request, "wrong_code", "this code is nobody's");
        return None;
    };
    if let Some(reason) = against(draft, &person, code) {
        let about = About { user: Some(user), ..about };
        draft.emit(Fact::CredentialRefused { source, reason: reason.to_owned() }, about);
        draft.refuse(request, "wrong_code", "this code is not good now");
        return None;
    }
    if !person.role.may(right) {
        draft.refuse(request, "not_for_role", "this is for the owner");
        return None;
    }
    Some(user)
}

/// Somebody gives the claim code, to be the first owner. Once there is one it is good for nothing, whatever is kept of it;
/// wrong ones are counted as at a keypad of its own, so that none keeps anybody from disarming. What else speaks against it
/// is told to nobody whose claim code is wrong, or who has to wait.
pub(crate) fn on_claim(
    draft: &mut Draft,
    request: RequestId,
    name: Option<String>,
    code: &CodeChecked,
    code_taken: bool,
) {
    if draft.state.has_owner() {
        return draft.refuse(
            request,
            "claimed",
            "this hub has an owner already: a claim code makes the first one only",
        );
    }
    let source = cut(code.source.clone());
    if let Some(left) = blocked_ms(&draft.state, &source, draft.now()) {
        return refuse_blocked(draft, request, left);
    }
    let Some(user) = code.user.clone() else {
        wrong(draft, source, About { method: Some(code.method), ..About::default() });
        return draft.refuse(request, "wrong_code", "this is not the claim code of this hub");
    };
    // He may be blocked, or a guard: a claim is no way around that.
    if draft.state.users.contains_key(&user) {
        let text = format!(
            "there is a user `{user}` already: claim with an id that nobody has; root makes him an owner with \
             `vaktd user set {user} --role owner`"
        );
        return draft.refuse(request, "user_exists", text);
    }
    if code_taken {
        return draft.refuse(request, "code_taken", "the code you choose cannot be used, choose another");
    }
    let owner = Command::UserSet { user, name, role: UserRole::Owner, expires_ms: None };
    install::on_command(draft, request, code.method, owner);
}

fn refuse_blocked(draft: &mut Draft, request: RequestId, left_ms: u64) {
    draft.refuse(request, "code_blocked", format!("too many wrong codes: wait {} s", left_ms.div_ceil(1000)));
}

/// How long a source still takes no codes.
fn blocked_ms(state: &State, source: &str, now: Stamp) -> Option<u64> {
    let until = state.codes.get(source)?.blocked?;
    Some(until.remaining_ms(now).unwrap_or(until.length_ms)).filter(|left| *left > 0)
}

fn wrong(draft: &mut Draft, source: String, about: About) {
    draft.emit(Fact::CodeRefused { source: source.clone() }, about.clone());
    let here = draft.state.codes.get(&source).map_or(0, |codes| codes.wrong);
    let in_all = if source == CLAIM { 0 } else { draft.state.wrong_codes };
    // Whoever goes from keypad to keypad has one try at each.
    if here >= WRONG_MAX || in_all >= WRONG_IN_ALL_MAX {
        let delay = Delay::after(draft.now(), BLOCKED_S);
        draft.emit(Fact::CodeBlocked { source, delay }, about.clone());
    }
    if in_all == WRONG_IN_ALL_MAX {
        detector::raise(draft, AlarmKind::Tamper, DeviceKind::Keypad, about);
    }
}

/// What speaks against somebody whose code, tag or phone a lock has taken.
pub(crate) fn at_the_door(draft: &Draft, user: &UserId) -> Option<&'static str> {
    let Some(person) = draft.state.users.get(user) else { return Some("unknown") };
    let code = CodeChecked::plain("", Some(user.clone()), Method::Local);
    against(draft, person, &code).or_else(|| (!person.role.may(Right::Door)).then_some("not_for_role"))
}

/// What speaks against a code that is somebody's.
fn against(draft: &Draft, person: &User, code: &CodeChecked) -> Option<&'static str> {
    let now = draft.now();
    if person.blocked || code.credential.as_ref().is_some_and(|id| draft.state.blocked.contains(id)) {
        return Some("blocked");
    }
    let floor = draft.state.clock_floor_ms.unwrap_or(now.wall_ms);
    // Without a clock the latest time ever known decides: a visitor's code does not live again.
    let known_ms = if now.trusted { now.wall_ms.max(floor) } else { floor };
    if person.expires_ms.is_some_and(|until| until <= known_ms) {
        return Some("expired");
    }
    // Whose hours nobody can prove to be over is still at work: he must be able to silence what he came for.
    let at_work = |opened: Stamp| Deadline::after(opened, GUARD_MS).remaining_ms(now) != Some(0);
    let called = draft.state.incidents.values().any(|incident| at_work(incident.opened));
    (person.role == UserRole::Guard && !called).then_some("no_incident")
}

/// Whether he is the guard, and not of the household.
pub(crate) fn is_guard(state: &State, user: Option<&UserId>) -> bool {
    user.and_then(|user| state.users.get(user)).is_some_and(|person| person.role == UserRole::Guard)
}

/// A guard is on site: told once in each open incident, with what he should know (B16).
pub(crate) fn on_guard(draft: &mut Draft, user: &UserId, area: Option<&AreaId>, method: Method) {
    if !is_guard(&draft.state, Some(user)) {
        return;
    }
    let fresh = draft.state.incidents_on_site().filter(|(_, incident)| !incident.guard_on_site);
    let fresh: Vec<_> = fresh.map(|(id, incident)| (*id, incident.area.clone())).collect();
    for (id, of) in fresh.into_iter().filter(|(_, of)| area.is_none() || of.is_none() || of.as_ref() == area) {
        let fact = Fact::GuardOnSite {
            fog_fired: draft.state.fogs.values().any(|fog| fog.fills),
            door_unlocked: draft.state.locks.values().any(|lock| !lock.locked),
            last_motion: draft.state.last_motion.clone(),
        };
        let about =
            About { area: of, incident: Some(id), user: Some(user.clone()), method: Some(method), ..About::default() };
        draft.emit(fact, about);
    }
}

/// People whose code nobody has used for long.
pub(crate) fn on_time(draft: &mut Draft) {
    let now = draft.now();
    let idle = |user: &&User| {
        let left = Deadline::after(user.used, u64::from(UNUSED_DAYS) * DAY_MS).remaining_ms(now);
        !user.unused && left == Some(0)
    };
    let idle: Vec<UserId> = draft.state.users.iter().filter(|(_, user)| idle(user)).map(|(id, _)| id.clone()).collect();
    for user in idle {
        draft.keep(Fact::CodeUnused { days: UNUSED_DAYS }, About { user: Some(user), ..About::default() });
    }
}

/// When the next of them is, in ms.
pub(crate) fn due_ms(state: &State, now: Stamp) -> Option<u64> {
    let used = state.users.values().filter(|user| !user.unused);
    used.filter_map(|user| Deadline::after(user.used, u64::from(UNUSED_DAYS) * DAY_MS).remaining_ms(now)).min()
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    match &event.fact {
        Fact::UserSet { role, expires } => {
            let Some(id) = event.user.clone() else { return };
            let expires_ms = expires.as_ref().and_then(|until| parse_rfc3339(until).ok());
            let blocked = state.users.get(&id).is_some_and(|user| user.blocked);
            state.users.insert(id, User { role: *role, expires_ms, blocked, used: event.stamp, unused: false });
            if *role == UserRole::Owner {
                state.codes.remove(CLAIM);
            }
        }
        Fact::UserRemoved {} => drop(event.user.as_ref().map(|user| state.users.remove(user))),
        Fact::UserBlocked { blocked } => {
            let user = event.user.as_ref().and_then(|user| state.users.get_mut(user));
            user.into_iter().for_each(|user| user.blocked = *blocked);
        }
        Fact::CodeUnused { .. } => {
            let user = event.user.as_ref().and_then(|user| state.users.get_mut(user));
            user.into_iter().for_each(|user| user.unused = true);
        }
        Fact::CredentialBlocked { credential } => drop(state.blocked.insert(credential.clone())),
        Fact::CodeRefused { source } => {
            state.codes.entry(source.clone()).or_default().wrong += 1;
            if source != CLAIM {
                state.wrong_codes = state.wrong_codes.saturating_add(1);
            }
        }
        Fact::CodeBlocked { source, delay } => {
            let blocked = Some(delay.deadline(event.stamp));
            state.codes.insert(source.clone(), crate::alarm::state::Codes { wrong: 0, blocked });
        }
        Fact::GuardOnSite { .. } => {
            let incident = event.incident.and_then(|id| state.incidents.get_mut(&id));
            incident.into_iter().for_each(|incident| incident.guard_on_site = true);
        }
        // Not when somebody is refused, or told of: only by what he does.
        Fact::CredentialRefused { .. } => {}
        _ => {
            let user = event.user.as_ref().filter(|_| event.method != Some(Method::Schedule));
            if let Some(user) = user.and_then(|user| state.users.get_mut(user)) {
                (user.used, user.unused) = (event.stamp, false);
            }
        }
    }
}

pub(crate) fn code_given(state: &mut State, event: &Event) {
    // Any right code clears the count of wrong ones, but not of claims: the person at the keypad has shown who he is.
    if event.user.is_some() {
        state.wrong_codes = 0;
        let claims = state.codes.remove_entry(CLAIM);
        state.codes.retain(|_, codes| codes.blocked.is_some());
        state.codes.values_mut().for_each(|codes| codes.wrong = 0);
        state.codes.extend(claims);
    }
}
