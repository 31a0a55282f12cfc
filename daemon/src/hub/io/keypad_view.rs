//! What keypads show of the panel, and what those at them are told (IAS ACE). Pure.
//!
//! A keypad shows the area of the zone it hangs in; without a place, the only area there is. It tells nothing that whoever
//! is on site may not know of (B1, B8), and a panel that nobody can say anything of is never shown as disarmed.

use crate::zigbee::ace::AlarmStatus;
use crate::zigbee::ace::ArmMode as Asked;
use crate::zigbee::ace::ArmNotification;
use crate::zigbee::ace::Audible;
use crate::zigbee::ace::PanelStatus;
use crate::zigbee::acting::Loud;
use crate::zigbee::functions::Board;
use crate::zigbee::functions::ZoneView;
use crate::zigbee::ias::ZoneStatus;
use crate::zigbee::keypad::View;
use vakt_core::alarm::incident::Incident;
use vakt_core::alarm::state::Area;
use vakt_core::alarm::state::Arming;
use vakt_core::alarm::state::Device;
use vakt_core::alarm::state::State;
use vakt_core::device::AreaId;
use vakt_core::device::DeviceFault;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::event::AlarmKind;
use vakt_core::event::ArmMode;
use vakt_core::event::EventId;
use vakt_core::input::Reply;
use vakt_core::input::Sound;
use vakt_core::stamp::Deadline;
use vakt_core::stamp::Stamp;

/// The area a keypad stands for; `None`: nobody has said, and there are several or none.
pub fn area_of(state: &State, keypad: &DeviceId) -> Option<AreaId> {
    let zone = state.devices.get(keypad).and_then(|device| device.zone.as_ref());
    match zone.and_then(|zone| state.zones.get(zone)) {
        Some(zone) => Some(zone.area.clone()),
        None => state.areas.keys().next().filter(|_| state.areas.len() == 1).cloned(),
    }
}

/// What all keypads and sirens of the network follow: the one shows how the panel stands, the other sounds.
pub fn board(state: &State, now: Stamp, received: impl Fn(EventId) -> bool) -> Board {
    let ours = || state.devices.iter().filter(|(id, _)| id.as_str().starts_with("zb-"));
    let keypads = ours().filter(|(_, device)| device.kind == DeviceKind::Keypad);
    let views = keypads.map(|(id, _)| (id.clone(), view(state, id, now, &received))).collect();
    let zones = ours().filter_map(|(id, device)| Some((id.clone(), zone(state, id, device)?))).collect();
    let loud = match state.sound(now) {
        Some(Sound::Fire) => Some(Loud::Fire),
        Some(Sound::Burglary) => Some(Loud::Burglary),
        _ => None,
    };
    Board { views, zones, loud }
}

/// A detector that has a place, as a keypad may know it.
fn zone(state: &State, id: &DeviceId, device: &Device) -> Option<ZoneView> {
    let name = device.zone.as_ref()?;
    let area = state.zones.get(name).and_then(|zone| state.areas.get(&zone.area));
    let bit = |on: bool, bit: u16| if on { 1 << bit } else { 0 };
    let has = |fault| device.faults.contains(&fault);
    // A silent button, a keypad's own panic key among them, is shown to nobody (B8).
    let mut said = device.said.iter().filter(|(kind, _)| **kind != DeviceKind::HoldUp);
    let active = said.any(|(_, state)| matches!(state, DeviceState::Open | DeviceState::Alarm));
    let bits = bit(active, 0)
        | bit(has(DeviceFault::Tamper), 2)
        | bit(has(DeviceFault::LowBattery), 3)
        | bit(has(DeviceFault::Fault) || has(DeviceFault::Missing) || has(DeviceFault::Unreadable), 6)
        | bit(has(DeviceFault::MainsLost), 7);
    let bypassed = area.is_some_and(|area| area.passes_over(name, Some(id)));
    Some(ZoneView { label: name.to_string(), status: ZoneStatus(bits), bypassed })
}

/// What a keypad shows at `now`. `received`: the centre has signed for this incident (B12).
pub fn view(state: &State, keypad: &DeviceId, now: Stamp, received: impl Fn(EventId) -> bool) -> View {
    let id = area_of(state, keypad);
    let area = id.as_ref().and_then(|id| state.areas.get(id));
    if let Some(view) = alarm(state, id.as_ref(), now, received) {
        return view;
    }
    let Some(area) = area else { return quiet(PanelStatus::NotReadyToArm, 0) };
    // Whoever stands there learns why his code does nothing (B20).
    let blocked = state.codes.get(keypad.as_str()).and_then(|codes| codes.blocked);
    match &area.arming {
        Arming::Disarmed if blocked.is_some_and(|until| until.remaining_ms(now) != Some(0)) => {
            quiet(PanelStatus::NotReadyToArm, 0)
        }
        _ => stands(area, now),
    }
}

fn quiet(status: PanelStatus, seconds_remaining: u16) -> View {
    View { status, seconds_remaining, audible: Audible::Mute, alarm: AlarmStatus::NoAlarm }
}

fn stands(area: &Area, now: Stamp) -> View {
    let seconds = |until: &Deadline| {
        let left_ms = until.remaining_ms(now).unwrap_or(until.length_ms);
        u16::try_from(left_ms.div_ceil(1000)).unwrap_or(u16::MAX)
    };
    let aloud = |view: View| View { audible: Audible::DefaultSound, ..view };
    match &area.arming {
        Arming::Unknown => quiet(PanelStatus::NotReadyToArm, 0),
        Arming::Disarmed => quiet(PanelStatus::PanelDisarmed, 0),
        Arming::Exit { until, .. } => aloud(quiet(PanelStatus::ExitDelay, seconds(until))),
        Arming::Entry { until, .. } => aloud(quiet(PanelStatus::EntryDelay, seconds(until))),
        Arming::Armed { mode: ArmMode::Away } => quiet(PanelStatus::ArmedAway, 0),
        Arming::Armed { mode: ArmMode::Home } => quiet(PanelStatus::ArmedStay, 0),
        Arming::Armed { mode: ArmMode::Night } => quiet(PanelStatus::ArmedNight, 0),
        // Silenced or not: it stands so until somebody disarms.
        Arming::Warning { .. } | Arming::Alarm { .. } => {
            View { alarm: AlarmStatus::Burglar, ..quiet(PanelStatus::InAlarm, 0) }
        }
    }
}

/// The worst of what sounds in the keypad's area, or for the whole house.
fn alarm(state: &State, area: Option<&AreaId>, now: Stamp, received: impl Fn(EventId) -> bool) -> Option<View> {
    let mine = |of: &Incident| of.area.is_none() || area.is_none() || of.area.as_ref() == area || everywhere(of.kind);
    let told = state.incidents_on_site().filter(|(_, of)| mine(of) && !of.silenced && !of.looks_cleared);
    let told = told.filter_map(|(id, of)| {
        let (rank, alarm) = match of.kind {
            AlarmKind::Fire | AlarmKind::Co | AlarmKind::Gas => (3, AlarmStatus::Fire),
            AlarmKind::Burglary => (2, AlarmStatus::Burglar),
            AlarmKind::Tamper | AlarmKind::KeyBox if of.armed => (2, AlarmStatus::Burglar),
            AlarmKind::Sos | AlarmKind::Medical => (1, AlarmStatus::Emergency),
            _ => return None,
        };
        let sounds = of.sound_ends_ms(now).is_some() || everywhere(of.kind);
        // "Help is called" is shown at once and heard when the centre has it: sent, received (B12).
        let aloud = sounds && (rank > 1 || received(*id));
        Some((sounds, rank, alarm, aloud))
    });
    let (_, _, alarm, aloud) = told.filter(|(sounds, ..)| *sounds).max_by_key(|(_, rank, ..)| *rank)?;
    let audible = if aloud { Audible::DefaultSound } else { Audible::Mute };
    Some(View { status: PanelStatus::InAlarm, seconds_remaining: 0, audible, alarm })
}

/// Whoever is in the house must get out, whichever area burns (B9).
fn everywhere(kind: AlarmKind) -> bool {
    matches!(kind, AlarmKind::Fire | AlarmKind::Co | AlarmKind::Gas)
}

/// How a keypad's word is the panel's; `None`: guard no longer.
pub fn mode(asked: Asked) -> Option<ArmMode> {
    match asked {
        Asked::Disarm => None,
        Asked::ArmDayHomeZonesOnly => Some(ArmMode::Home),
        Asked::ArmNightSleepZonesOnly => Some(ArmMode::Night),
        Asked::ArmAllZones => Some(ArmMode::Away),
    }
}

/// What whoever stands at the keypad is told of what he asked for. `was`: how the area stood when he did.
pub fn notification(asked: Asked, was: Option<&Arming>, reply: &Reply) -> ArmNotification {
    match reply {
        Reply::Done { .. } => match asked {
            Asked::Disarm if was == Some(&Arming::Disarmed) => ArmNotification::AlreadyDisarmed,
            Asked::Disarm => ArmNotification::AllZonesDisarmed,
            Asked::ArmDayHomeZonesOnly => ArmNotification::OnlyDayHomeZonesArmed,
            Asked::ArmNightSleepZonesOnly => ArmNotification::OnlyNightSleepZonesArmed,
            Asked::ArmAllZones => ArmNotification::AllZonesArmed,
        },
        // A block says the same as a wrong code: it must not be there to be asked.
        Reply::Refused { refused: "wrong_code" | "code_blocked" | "not_for_role", .. } => {
            ArmNotification::InvalidArmDisarmCode
        }
        Reply::Refused { .. } => ArmNotification::NotReadyToArm,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that meets what must not be falls here
mod tests {
    use super::*;

    const NOW: Stamp = Stamp { boot: 1, mono_ms: 100_000, wall_ms: 1_795_208_400_000, trusted: true };

    fn house(arming: Arming) -> State {
        let mut state = State::default();
        let area = Area { arming, ..Area::default() };
        state.areas.insert(AreaId::new("house").unwrap(), area);
        state
    }

    fn shown(state: &State) -> (PanelStatus, u16, Audible, AlarmStatus) {
        let keypad = DeviceId::new("zb-00124b0000000001").unwrap();
        let View { status, seconds_remaining, audible, alarm } = view(state, &keypad, NOW, |_| false);
        (status, seconds_remaining, audible, alarm)
    }

    #[test]
    fn a_keypad_shows_how_its_area_stands_with_the_seconds_that_are_left() {
        let until = Deadline::after(Stamp { mono_ms: 90_000, ..NOW }, 45_000);
        let exit = Arming::Exit { mode: ArmMode::Away, until, user: None, method: None, locking: false };
        let entry = Arming::Entry { mode: ArmMode::Away, until, zone: None, device: None };
        let silent = (Audible::Mute, AlarmStatus::NoAlarm);
        for (arming, status, seconds, (audible, alarm)) in [
            (Arming::Unknown, PanelStatus::NotReadyToArm, 0, silent),
            (Arming::Disarmed, PanelStatus::PanelDisarmed, 0, silent),
            (exit, PanelStatus::ExitDelay, 35, (Audible::DefaultSound, AlarmStatus::NoAlarm)),
            (entry, PanelStatus::EntryDelay, 35, (Audible::DefaultSound, AlarmStatus::NoAlarm)),
            (Arming::Armed { mode: ArmMode::Away }, PanelStatus::ArmedAway, 0, silent),
            (Arming::Armed { mode: ArmMode::Home }, PanelStatus::ArmedStay, 0, silent),
            (Arming::Armed { mode: ArmMode::Night }, PanelStatus::ArmedNight, 0, silent),
            (Arming::Alarm { mode: ArmMode::Away }, PanelStatus::InAlarm, 0, (Audible::Mute, AlarmStatus::Burglar)),
        ] {
            assert_eq!(shown(&house(arming)), (status, seconds, audible, alarm));
        }
        assert_eq!(shown(&State::default()).0, PanelStatus::NotReadyToArm, "of no area nobody can say anything");
        let mut two = house(Arming::Disarmed);
        two.areas.insert(AreaId::new("shop").unwrap(), Area::default());
        assert_eq!(shown(&two).0, PanelStatus::NotReadyToArm, "nobody has said which");
    }

    #[test]
    fn b20_a_blocked_keypad_shows_that_it_is_not_ready() {
        let mut state = house(Arming::Disarmed);
        let blocked = Some(Deadline::after(NOW, 90_000));
        let codes = vakt_core::alarm::state::Codes { wrong: 0, blocked };
        state.codes.insert("zb-00124b0000000001".to_owned(), codes);
        assert_eq!(shown(&state).0, PanelStatus::NotReadyToArm);
    }

    #[test]
    fn who_asked_is_told_what_became_of_it() {
        let done = Reply::Done { ok: true, event: None, journaled: true, text: String::new() };
        let told = |asked, was: Option<&Arming>, reply: &Reply| notification(asked, was, reply);
        assert_eq!(told(Asked::ArmAllZones, Some(&Arming::Disarmed), &done), ArmNotification::AllZonesArmed);
        assert_eq!(told(Asked::Disarm, Some(&Arming::Disarmed), &done), ArmNotification::AlreadyDisarmed);
        let armed = Arming::Armed { mode: ArmMode::Away };
        assert_eq!(told(Asked::Disarm, Some(&armed), &done), ArmNotification::AllZonesDisarmed);
        for (code, says) in [
            ("wrong_code", ArmNotification::InvalidArmDisarmCode),
            ("code_blocked", ArmNotification::InvalidArmDisarmCode),
            ("not_ready", ArmNotification::NotReadyToArm),
            ("disk", ArmNotification::NotReadyToArm),
        ] {
            assert_eq!(told(Asked::ArmAllZones, None, &Reply::refused(code, "why")), says, "{code}");
        }
    }
}
