//! How the site behaves: people and what they may not, locks, schedules, rules, duress; each change a fact.
//!
//! It takes nothing half: what is out of range is refused with the range.

use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::install::{Refusal, SITE_MAX, room, short};
use crate::alarm::lock::LOCK_S_MAX;
use crate::alarm::rules::{LIMIT_MILLI_MAX, RULES_MAX, Then};
use crate::alarm::schedule::SCHEDULES_MAX;
use crate::device::{AreaId, DeviceId, DeviceKind};
use crate::event::{EventId, Fact};
use crate::input::Command;
use crate::stamp::rfc3339;

/// Credentials that are blocked for good. One more is refused: the oldest must not live again.
const BLOCKED_MAX: usize = 512;
/// The longest id of a schedule, rule, measure or credential, in bytes.
const ID_MAX: usize = 64;

type Changed = Result<(Option<EventId>, String), Refusal>;

fn id(what: &str, text: &str) -> Result<(), Refusal> {
    let well = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match (1..=ID_MAX).contains(&text.len()) && text.bytes().all(well) {
        true => Ok(()),
        false => Err(("bad_id", format!("the {what} is 1 to {ID_MAX} of A-Z, a-z, 0-9, -, _ and ."))),
    }
}

fn of_kind(draft: &Draft, device: &DeviceId, kind: DeviceKind) -> Result<(), Refusal> {
    match draft.state.devices.get(device).is_some_and(|of| of.kind == kind) {
        true => Ok(()),
        false => Err(("no_device", format!("there is no {} `{device}`", format!("{kind:?}").to_lowercase()))),
    }
}

/// What the site knows as something else is no light: no rule reaches a bolt or a cannon by that word (R64, R77).
pub(crate) fn is_light(draft: &Draft, light: &DeviceId) -> bool {
    !draft.state.devices.contains_key(light)
}

fn area(draft: &Draft, area: &AreaId) -> Result<(), Refusal> {
    match draft.state.areas.contains_key(area) {
        true => Ok(()),
        false => Err(("no_area", format!("there is no area `{area}`"))),
    }
}

/// People, and what is blocked.
pub(crate) fn change_people(draft: &mut Draft, about: About, command: Command) -> Changed {
    match command {
        Command::UserSet { user, name, role, expires_ms } => {
            room(draft.state.users.len(), SITE_MAX, draft.state.users.contains_key(&user), "users")?;
            let text = format!("user {user} is known");
            let about = About { user: Some(user), name: short(name)?, ..about };
            Ok((draft.emit(Fact::UserSet { role, expires: expires_ms.map(rfc3339) }, about), text))
        }
        Command::UserRemove { user } => {
            if !draft.state.users.contains_key(&user) {
                return Err(("no_user", format!("there is no user `{user}`")));
            }
            let text = format!("user {user} is gone, and the code with them");
            Ok((draft.emit(Fact::UserRemoved {}, About { user: Some(user), ..about }), text))
        }
        Command::UserBlock { user, blocked } => {
            if !draft.state.users.contains_key(&user) {
                return Err(("no_user", format!("there is no user `{user}`")));
            }
            let text = format!("user {user} is {}", if blocked { "blocked" } else { "no longer blocked" });
            Ok((draft.emit(Fact::UserBlocked { blocked }, About { user: Some(user), ..about }), text))
        }
        Command::CredentialBlock { credential } => {
            id("credential", &credential)?;
            room(
                draft.state.blocked.len(),
                BLOCKED_MAX,
                draft.state.blocked.contains(&credential),
                "blocked credentials",
            )?;
            let text = format!("{credential} is good for nothing any more");
            Ok((draft.emit(Fact::CredentialBlocked { credential }, about), text))
        }
        Command::DuressSet { on } => {
            let text = if on { "codes can be given under threat" } else { "no code means a threat any more" };
            Ok((draft.emit(Fact::DuressSet { on }, about), text.to_owned()))
        }
        other => change_habits(draft, about, other),
    }
}

fn change_habits(draft: &mut Draft, about: About, command: Command) -> Changed {
    match command {
        Command::LockSet { device, auto_lock_s, left_open_s, before_arming, disarms } => {
            of_kind(draft, &device, DeviceKind::Lock)?;
            if auto_lock_s > LOCK_S_MAX || left_open_s > LOCK_S_MAX {
                return Err(("out_of_range", format!("{LOCK_S_MAX} s at most; 0: never")));
            }
            let fact = Fact::LockSet { auto_lock_s, left_open_s, before_arming, disarms };
            let text = format!("lock {device} behaves so");
            Ok((draft.emit(fact, About { device: Some(device), ..about }), text))
        }
        Command::FogServiced { device } => {
            of_kind(draft, &device, DeviceKind::Fog)?;
            let text = format!("{device} is serviced: it may fire when it says that it is ready");
            Ok((draft.emit(Fact::FogServiced {}, About { device: Some(device), ..about }), text))
        }
        Command::ScheduleSet { schedule, area: of, mode, days, minute } => {
            id("schedule", &schedule)?;
            area(draft, &of)?;
            room(
                draft.state.schedules.len(),
                SCHEDULES_MAX,
                draft.state.schedules.contains_key(&schedule),
                "schedules",
            )?;
            if days == 0 || days > 0x7f || minute >= 24 * 60 {
                return Err(("out_of_range", "days: 1 to 127, Monday is 1; minute: 0 to 1439 of the day".to_owned()));
            }
            let text = format!("{of} arms at {:02}:{:02}, with ten minutes' warning", minute / 60, minute % 60);
            let fact = Fact::ScheduleSet { schedule, mode, days, minute };
            Ok((draft.emit(fact, About { area: Some(of), ..about }), text))
        }
        Command::ScheduleRemove { schedule } => {
            if !draft.state.schedules.contains_key(&schedule) {
                return Err(("no_schedule", format!("there is no schedule `{schedule}`")));
            }
            let text = format!("schedule {schedule} is gone");
            Ok((draft.emit(Fact::ScheduleRemoved { schedule }, about), text))
        }
        rule @ Command::RuleSet { .. } => rule_set(draft, about, rule),
        Command::RuleRemove { rule } => {
            if !draft.state.rules.contains_key(&rule) {
                return Err(("no_rule", format!("there is no rule `{rule}`")));
            }
            let text = format!("rule {rule} is gone");
            Ok((draft.emit(Fact::RuleRemoved { rule }, about), text))
        }
        _ => Err(("not_available", "this is not a change of the site".to_owned())),
    }
}

fn rule_set(draft: &mut Draft, about: About, command: Command) -> Changed {
    let Command::RuleSet { rule, device, measure, above, limit_milli, back_milli, then } = command else {
        return Err(("not_available", "this is no rule".to_owned()));
    };
    id("rule", &rule)?;
    id("measure", &measure)?;
    room(draft.state.rules.len(), RULES_MAX, draft.state.rules.contains_key(&rule), "rules")?;
    let known = draft.state.devices.get(&device);
    let known = known.ok_or_else(|| ("no_device", format!("there is no device `{device}`")))?;
    let (silent, unproven) = (known.kind == DeviceKind::HoldUp, device.is_unproven(known.secret.is_some()));
    match &then {
        Then::Arm { area: of, .. } => area(draft, of)?,
        Then::Light { light, .. } if !is_light(draft, light) => {
            return Err(("no_light", format!("{light} is a lock, a siren, a cannon or a detector: no light")));
        }
        Then::Light { .. } | Then::Notify {} => {}
    }
    if silent {
        return Err(("not_allowed", format!("{device} is silent: no rule tells that it has spoken")));
    }
    if matches!(then, Then::Arm { .. }) && unproven {
        let text = format!("what {device} says can be forged: a rule of it may tell or light, and not arm");
        return Err(("not_allowed", text));
    }
    if !(0..=LIMIT_MILLI_MAX).contains(&back_milli) || limit_milli.unsigned_abs() > LIMIT_MILLI_MAX as u64 {
        let text = "limit_milli: 10^15 at most; back_milli: how far it must come back, 0 to 10^15";
        return Err(("out_of_range", text.to_owned()));
    }
    let text = format!("rule {rule} is set");
    let fact = Fact::RuleSet { rule, measure, above, limit_milli, back_milli, then };
    Ok((draft.emit(fact, About { device: Some(device), ..about }), text))
}
