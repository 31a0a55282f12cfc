//! Whether a warrant may: role and command, time or challenge, once only, the incident and the ground (contract,
//! "Warrants").
//!
//! Each that is rightly signed is recorded with its outcome before anything is done, so that neither a crash nor a
//! second path can make one act twice. What is missing is named, all of it.

use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::draft::cut;
use crate::alarm::orders;
use crate::alarm::state::State;
use crate::canonical::hex;
use crate::challenge::{Challenges, Stale};
use crate::event::{Event, EventId, Fact, Method};
use crate::input::Disk;
use crate::stamp::{Deadline, Stamp, rfc3339};
use crate::warrant::{Answer, Order, Role, Status, Warrant};
use serde::{Deserialize, Serialize};

/// How far the issuer's clock and ours may differ (contract), in ms.
const SKEW_MS: i64 = 5_000;
/// The longest life of a warrant that opens or fires something (contract), in seconds.
const SHORT_S: i64 = 60;
/// The longest life of any other, in seconds: until it ends it is remembered.
const LONG_S: i64 = 24 * 3_600;
/// A call for help is one for so long after it was signed for, in seconds: a telephone's clock may be wrong, and help that
/// comes late is better than none. Older, it is somebody's recording.
const LATE_HELP_S: i64 = 24 * 3_600;
/// How many that were obeyed are remembered so that each acts once. Full of living ones, the next is refused.
const SPENT_MAX: usize = 256;
/// Of these so many places are kept for the centre's operators.
const SPENT_KEPT: usize = 64;
/// How many calls for help are remembered, and how many that were refused: then the oldest is forgotten, for no flood of them
/// may keep anything else out.
const OTHERS_MAX: usize = 64;

/// A warrant that has had its one answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    digest: String,
    expires_s: i64,
    status: Status,
    reason: Option<String>,
    event: EventId,
    /// When it was taken.
    at: Stamp,
    sort: Sort,
    /// The act it led to, until that is answered.
    command: Option<EventId>,
}

/// Among which it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sort {
    Order,
    Help,
    Refused,
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
    let named = warrant.incident;
    warrant.incident = named.map(|id| draft.state.incident_of(id).unwrap_or(id));
    // Before it is obeyed: it may be what ends the incident.
    let centre_only = is_silent(&draft.state, &warrant);
    let digest = hex(&warrant.digest.0);
    match draft.state.warrants.get(&warrant.jti) {
        Some(spent) if spent.digest == digest => {
            let answer = spent.answer(&warrant.jti);
            return draft.answer(answer);
        }
        Some(_) => {
            let refusal = no("jti_reused", "another warrant had this jti: each needs its own");
            return refuse(draft, &warrant, refusal, centre_only);
        }
        None => {}
    }
    // Who ends one may not have heard of the alarm that continues it.
    let ends = matches!(warrant.order, Order::IncidentClose { .. } | Order::Cancel {} | Order::CameraClose {});
    let judged = match (warrant.incident, named) {
        (Some(id), Some(older)) if ends && id != older => {
            Err(no("continued", format!("another alarm continues it: name {id}, if that is meant too")))
        }
        _ => may(draft, challenges, &warrant),
    };
    match judged.and_then(|()| orders::obey(draft, &warrant)) {
        Ok(Obeyed::Done(event)) => accept(draft, &warrant, event, false, centre_only),
        Ok(Obeyed::Sends(facts)) => {
            accept(draft, &warrant, None, true, centre_only);
            for (fact, about) in facts {
                draft.keep(fact, about);
            }
        }
        Err(refusal) => refuse(draft, &warrant, refusal, centre_only),
    }
}

/// Whether nobody on site may read of it: a silent call for help, and what the centre orders about an incident that they may
/// not know of, or about the cameras in a hold-up (B8).
fn is_silent(state: &State, warrant: &Warrant) -> bool {
    use Order::{Audio, CameraClose, Clip, Image, Sos, Stream};
    let of = warrant.incident.and_then(|id| state.incidents.get(&id)).filter(|_| warrant.role == Role::ArcOperator);
    let of_cameras =
        matches!(warrant.order, Image { .. } | Clip { .. } | Stream { .. } | Audio { .. } | CameraClose {});
    matches!(warrant.order, Sos { silent: true, .. }) || of.is_some_and(|of| of.is_hidden() || of.duress && of_cameras)
}

/// An incident that is open is named; one that is over on site only where nobody there reads it.
pub(crate) fn about(draft: &Draft, warrant: &Warrant, centre_only: bool) -> About {
    let open = |id: &EventId| draft.state.incidents.get(id).is_some_and(|of| centre_only || !of.is_hidden());
    let incident = warrant.incident.filter(open);
    About { method: Some(method(warrant.role)), incident, centre_only, ..About::default() }
}

pub(crate) fn method(role: Role) -> Method {
    match role {
        Role::Owner | Role::Member => Method::App,
        Role::Guard => Method::Keypad,
        Role::ArcOperator | Role::ArcService => Method::Arc,
        Role::Technician => Method::Technician,
    }
}

fn accept(draft: &mut Draft, warrant: &Warrant, event: Option<EventId>, awaits: bool, centre_only: bool) {
    let fact = Fact::WarrantAccepted {
        jti: warrant.jti.clone(),
        digest: hex(&warrant.digest.0),
        expires: rfc3339(ends_s(warrant).saturating_mul(1000)),
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
    let about = about(draft, warrant, centre_only);
    draft.keep(fact, about);
}
fn refuse(draft: &mut Draft, warrant: &Warrant, (reason, text): Refusal, centre_only: bool) {
    let fact = Fact::WarrantRefused {
        jti: warrant.jti.clone(),
        digest: hex(&warrant.digest.0),
        expires: rfc3339(ends_s(warrant).saturating_mul(1000)),
        cmd: warrant.order.name().to_owned(),
        role: warrant.role,
        person: cut(warrant.person.clone()),
        reason: cut(reason.clone()),
    };
    let about = about(draft, warrant, centre_only);
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
    let obeyed = state.warrants.values().filter(|spent| spent.sort == Sort::Order && spent.lives(draft.now()));
    // Help always finds room, and the centre's word has its own.
    let room = if warrant.role == Role::ArcOperator { SPENT_MAX } else { SPENT_MAX - SPENT_KEPT };
    if obeyed.count() >= room && !matches!(warrant.order, Order::Sos { .. }) {
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
    // A phone that is blocked is good for a call for help, and for nothing else.
    if state.blocked.contains(&warrant.kid) && !matches!(warrant.order, Order::Sos { .. }) {
        return Err(no("blocked", "this key is blocked"));
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
    if matches!(warrant.order, Order::Sos { .. }) {
        let late = now.trusted && good_until_ms(warrant.order.name(), ends_s(warrant)) < now.wall_ms;
        let text = || {
            format!(
                "it was signed more than a day ago: it was good until {}",
                rfc3339(warrant.expires_s.saturating_mul(1000))
            )
        };
        return if late { Err(no("expired", text())) } else { Ok(()) };
    }
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
    let over = |known: i64| expires.saturating_add(SKEW_MS) < known;
    if now.trusted && over(now.wall_ms) {
        return Err(no("expired", format!("it was good until {}", rfc3339(expires))));
    }
    // What opens or fires has its challenge; a lost telephone must be blocked whatever the clock was; of what needs no clock
    // the one that is right decides. Of the rest an old one is known to be old all the same.
    let blocks = matches!(warrant.order, Order::CredentialBlock { .. });
    let without = short || blocks || now.trusted && needs_no_clock(&warrant.order);
    if let Some(floor) = draft.state.clock_floor_ms.filter(|floor| !without && over(*floor)) {
        let stood = rfc3339(floor);
        return Err(no(
            "expired",
            format!("it was good until {}; the hub's clock has stood at {stood}", rfc3339(expires)),
        ));
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
    let table: &[&str] = match role {
        Role::Owner => &[
            "arm",
            "disarm",
            "bypass",
            "lock",
            "unlock",
            "siren_stop",
            "sos",
            "battery_change",
            "view",
            "user_set",
            "user_block",
            "credential_block",
            "consent",
            "export",
            "erase",
            "key_add",
            "self_test",
            "test_mode",
            "cancel",
        ],
        Role::Member => &["arm", "disarm", "lock", "unlock", "siren_stop", "sos", "battery_change", "cancel"],
        // By code or tag on site, never from afar.
        Role::Guard => &[],
        Role::ArcOperator => &[
            "incident_verify",
            "emergency_unlock",
            "fog_fire",
            "image",
            "clip",
            "stream",
            "audio",
            "camera_close",
            "voice_start",
            "voice_stop",
            "siren_stop",
            "incident_note",
            "incident_close",
            "cancel",
            "credential_block",
            "arm",
        ],
        Role::ArcService => {
            &["self_test", "test_mode", "service_state", "config_set", "update", "visit_ticket", "credential_block"]
        }
        Role::Technician => &["self_test", "test_mode", "config_set", "device_add", "device_assign", "device_remove"],
    };
    table.contains(&order.name())
}

impl Spent {
    fn answer(&self, jti: &str) -> Answer {
        let (jti, reason) = (jti.to_owned(), self.reason.clone());
        Answer { jti, status: self.status, reason, text: None, event: Some(self.event) }
    }

    /// Whether it might still act, had it not. In the boot that took it the monotonic clock must agree that it is over: a
    /// wall clock that jumps ahead and back would let it act twice.
    fn lives(&self, now: Stamp) -> bool {
        let ends_ms = self.expires_s.saturating_mul(1000).saturating_add(SKEW_MS);
        let left_ms = if self.at.trusted { ends_ms.saturating_sub(self.at.wall_ms) } else { LONG_S * 1000 };
        let left = Deadline::after(self.at, u64::try_from(left_ms.min(2 * LONG_S * 1000)).unwrap_or(0));
        if now.boot == self.at.boot && left.remaining_ms(now) != Some(0) {
            return true;
        }
        !now.trusted || ends_ms >= now.wall_ms
    }
}

/// When it ends, in s since 1970: a day after it was signed at the latest, whatever it says.
fn ends_s(warrant: &Warrant) -> i64 {
    warrant.expires_s.min(warrant.issued_s.saturating_add(LONG_S))
}

/// Until when it may act, in ms since 1970: a call for help for a day longer than it says.
fn good_until_ms(cmd: &str, expires_s: i64) -> i64 {
    let late_s = if cmd == "sos" { LATE_HELP_S } else { 0 };
    expires_s.saturating_add(late_s).saturating_mul(1000)
}

/// The latest time that was trusted is not forgotten when the clock falls behind it: somebody may want old warrants to live
/// again. A clock that has run behind for as long as any warrant lives is believed; the one ahead of it was wrong.
fn follow_clock(state: &mut State, now: Stamp) {
    if state.clock_floor_ms.is_none_or(|floor| floor <= now.wall_ms) {
        (state.clock_floor_ms, state.clock_behind) = (Some(now.wall_ms), None);
        return;
    }
    let since = *state.clock_behind.get_or_insert(now);
    if since.boot != now.boot {
        state.clock_behind = Some(now);
    } else if now.mono_ms.saturating_sub(since.mono_ms) > LONG_S.unsigned_abs() * 1000 {
        (state.clock_floor_ms, state.clock_behind) = (Some(now.wall_ms), None);
    }
}

/// Remembers one more, and forgets what can act no longer.
fn remember(state: &mut State, now: Stamp, jti: &str, spent: Spent) {
    state.warrants.retain(|_, spent| spent.lives(now));
    let like = || state.warrants.iter().filter(|(_, other)| other.sort == spent.sort);
    if spent.sort != Sort::Order && like().count() >= OTHERS_MAX {
        let oldest = like().min_by_key(|(_, other)| (other.at.boot, other.at.mono_ms)).map(|(jti, _)| jti.clone());
        oldest.iter().for_each(|jti| drop(state.warrants.remove(jti)));
    }
    state.warrants.insert(jti.to_owned(), spent);
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    if event.stamp.trusted {
        follow_clock(state, event.stamp);
    }
    let spent = |cmd: &String, digest: &String, expires: &String, status, reason: Option<&String>| Spent {
        digest: digest.clone(),
        expires_s: good_until_ms(cmd, crate::stamp::parse_rfc3339(expires).unwrap_or(i64::MAX) / 1000) / 1000,
        status,
        reason: reason.cloned(),
        event: event.id,
        at: event.stamp,
        sort: match (status, cmd.as_str()) {
            (Status::Refused, _) => Sort::Refused,
            (_, "sos") => Sort::Help,
            _ => Sort::Order,
        },
        command: None,
    };
    match &event.fact {
        Fact::WarrantAccepted { jti, digest, expires, awaits, cmd, .. } => {
            let status = if *awaits { Status::Accepted } else { Status::Confirmed };
            remember(state, event.stamp, jti, spent(cmd, digest, expires, status, None));
        }
        // The name of another one stays that one's.
        Fact::WarrantRefused { jti, digest, expires, reason, cmd, .. } if !state.warrants.contains_key(jti) => {
            remember(state, event.stamp, jti, spent(cmd, digest, expires, Status::Refused, Some(reason)));
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
