//! The panel against a model of it that fits on two pages and was written from the requirements: one house, one person,
//! one door, one movement detector, one smoke detector and one button, in any order and at any pace.
//!
//! The model knows nothing of journals, turns or incidents' ids: it says how the area stands, what sounds, and which
//! kinds of alarm are open. Where the two part, one of them is wrong, and the shrunk order of things is printed.

#![allow(clippy::unwrap_used)] // a test that meets what must not be falls here

#[path = "shared/hub.rs"]
#[allow(dead_code)] // each test uses its own part
mod hub;

use hub::{Hub, Killed};
use proptest::prelude::*;
use proptest::test_runner::Config;
use std::collections::BTreeMap;
use vakt_core::alarm::state::Arming;
use vakt_core::device::{AreaId, Authenticated, DeviceId, DeviceKind, DeviceState, Report, UserId, ZoneId};
use vakt_core::event::{AlarmKind, ArmMode, Method, Profile, RestartReason, UserRole, ZoneRole};
use vakt_core::input::{CodeChecked, Command, Input, Newcomer, Sound};
use vakt_core::stamp::Stamp;

const ENTRY_MS: u64 = 30_000;
const WARNING_MS: u64 = 30_000;
const EXIT_MS: u64 = 45_000;
const FINAL_DOOR_MS: u64 = 5_000;
const HURRY_MS: u64 = 10_000;
const SIREN_MS: u64 = 180_000;
const CLEAR_MS: u64 = 60_000;
const CANCEL_MS: u64 = 180_000;
const PRESS_MS: u64 = 10_000;
const IN_A_ROW_MAX: u32 = 3;
const OVERRIDE_MS: u64 = 30_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Arm(ArmMode),
    Disarm,
    Hush,
    Cancel,
    Door(bool),
    Motion(bool),
    Smoke(bool),
    Button,
    Wait(u64),
    Killed,
}

/// How the area stands, by the requirements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    Disarmed,
    Exit(ArmMode, u64),
    Armed(ArmMode),
    Entry(ArmMode, u64),
    Warning(ArmMode, u64),
    Alarm(ArmMode),
}

#[derive(Debug, Clone, Copy)]
struct Open {
    since: u64,
    last: u64,
    hushed: bool,
    /// It continues an older one.
    older: bool,
    disarmed: bool,
    /// Raised by the door, by movement.
    by: [bool; 2],
}

#[derive(Debug)]
struct Model {
    now: u64,
    stands: Stands,
    door: bool,
    motion: bool,
    smoke: bool,
    pressed: Option<u64>,
    open: BTreeMap<AlarmKind, Open>,
    /// Alarms in a row of door and movement since it was last armed or disarmed.
    row: [u32; 2],
    /// What spoke against arming when it was last refused, and when: the same code again overrides it.
    refused: Option<(u64, ArmMode, [bool; 2])>,
    /// What somebody armed in spite of.
    overridden: [bool; 2],
}

impl Model {
    fn guards(&self) -> Option<ArmMode> {
        match self.stands {
            Stands::Armed(mode) | Stands::Entry(mode, _) | Stands::Warning(mode, _) | Stands::Alarm(mode) => Some(mode),
            Stands::Disarmed | Stands::Exit(..) => None,
        }
    }

    fn raise(&mut self, kind: AlarmKind) {
        let now = self.now;
        let new = Open { since: now, last: now, hushed: false, older: false, disarmed: false, by: [false; 2] };
        let open = self.open.entry(kind).or_insert(new);
        // Ten minutes after the last one, fifteen after the first, or set anew meanwhile: another alarm that continues it
        // (B17), and the centre's, as that is.
        if now - open.last >= 600_000 || now - open.since >= 900_000 || open.disarmed {
            (open.since, open.older, open.disarmed) = (now, true, false);
        }
        (open.last, open.hushed) = (now, false);
    }

    fn burglary(&mut self, by: usize) {
        let Some(mode) = self.guards() else { return };
        if self.row[by] >= IN_A_ROW_MAX {
            return;
        }
        self.row[by] += 1;
        self.stands = Stands::Alarm(mode);
        self.raise(AlarmKind::Burglary);
        self.open.get_mut(&AlarmKind::Burglary).into_iter().for_each(|open| open.by[by] = true);
    }

    /// What is open or moves, of door and movement, where it guards in that mode.
    fn active(&self, mode: ArmMode, leaving: bool) -> [bool; 2] {
        [self.door && !leaving, self.motion && mode == ArmMode::Away]
    }

    fn new_period(&mut self) {
        self.row = [0, 0];
    }

    fn leave(&mut self, mode: ArmMode) {
        let [door, motion] = self.active(mode, false);
        let [door_over, motion_over] = self.overridden;
        if door && !door_over || motion && !motion_over {
            // What somebody had armed in spite of is not named again, and so not insisted on either.
            let causes = [door && !door_over, motion && !motion_over];
            (self.stands, self.refused, self.overridden) =
                (Stands::Disarmed, Some((self.now, mode, causes)), [false; 2]);
        } else {
            self.stands = Stands::Armed(mode);
            self.new_period();
        }
    }

    fn time(&mut self, until: u64) {
        while let Stands::Exit(_, due) | Stands::Entry(_, due) | Stands::Warning(_, due) = self.stands
            && due <= until
        {
            self.now = due;
            match self.stands {
                Stands::Exit(mode, _) => self.leave(mode),
                Stands::Entry(mode, _) => self.stands = Stands::Warning(mode, due + WARNING_MS),
                Stands::Warning(mode, _) if self.row[0] >= IN_A_ROW_MAX => {
                    // The door has alarmed too often: told once, and no siren.
                    self.stands = Stands::Warning(mode, u64::MAX);
                }
                _ => self.burglary(0),
            }
        }
        self.now = until;
    }

    fn step(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Arm(mode) => self.arm(mode),
            Step::Disarm if self.stands != Stands::Disarmed => {
                (self.stands, self.refused, self.overridden) = (Stands::Disarmed, None, [false; 2]);
                self.new_period();
                // Sweden: a burglary within its first minute was the family's own (B5); else it is silent and stays.
                let own = |kind: &AlarmKind, open: &Open| {
                    *kind == AlarmKind::Burglary && !open.older && now - open.since < CLEAR_MS
                };
                self.open.retain(|kind, open| !own(kind, open));
                let stays = self.open.get_mut(&AlarmKind::Burglary);
                stays.into_iter().for_each(|open| (open.hushed, open.disarmed) = (true, true));
            }
            Step::Hush => self.open.values_mut().for_each(|open| open.hushed = true),
            Step::Door(open) => self.door(open),
            Step::Motion(seen) if seen != self.motion => {
                self.motion = seen;
                if seen && self.guards() == Some(ArmMode::Away) && !self.overridden[1] {
                    self.burglary(1);
                }
            }
            Step::Smoke(seen) if seen != self.smoke => {
                self.smoke = seen;
                if seen {
                    self.raise(AlarmKind::Fire);
                }
            }
            // Pressed anew, or the radio's repetition.
            Step::Button if self.pressed.is_none_or(|at| now - at >= PRESS_MS) => {
                self.pressed = Some(now);
                self.raise(AlarmKind::Sos);
            }
            Step::Wait(_) | Step::Killed => {}
            _ => {}
        }
    }

    fn arm(&mut self, mode: ArmMode) {
        if self.stands != Stands::Disarmed {
            return;
        }
        let causes = self.active(mode, true);
        if causes == [false; 2] {
            self.stands = Stands::Exit(mode, self.now + EXIT_MS);
            return;
        }
        let named = |old: &[bool; 2]| causes.iter().zip(old).all(|(now, then)| !*now || *then);
        let again = self
            .refused
            .as_ref()
            .is_some_and(|(at, same, old)| *same == mode && self.now - at < OVERRIDE_MS && named(old));
        if again {
            (self.refused, self.overridden) = (None, causes);
            self.stands = Stands::Exit(mode, self.now + EXIT_MS);
        } else {
            (self.refused, self.overridden) = (Some((self.now, mode, causes)), [false; 2]);
        }
    }

    fn door(&mut self, open: bool) {
        if open == self.door {
            return;
        }
        self.door = open;
        match self.stands {
            Stands::Exit(mode, due) if !open && due > self.now + FINAL_DOOR_MS => {
                self.stands = Stands::Exit(mode, self.now + FINAL_DOOR_MS);
            }
            Stands::Armed(mode) if open && !self.overridden[0] => {
                self.stands = Stands::Entry(mode, self.now + ENTRY_MS);
            }
            Stands::Alarm(_) if open && !self.overridden[0] => self.burglary(0),
            _ => {}
        }
    }

    /// A cancel names the newest alarm that is open: a fire and a call for help stay.
    fn cancel(&mut self, newest: Option<AlarmKind>) {
        let own = |open: &&Open| !open.older && self.now - open.since < CANCEL_MS;
        if newest == Some(AlarmKind::Burglary)
            && let Some(Open { by, .. }) = self.open.get(&AlarmKind::Burglary).filter(own).copied()
        {
            self.open.remove(&AlarmKind::Burglary);
            // What a user has ended counts from the beginning.
            by.into_iter().zip(&mut self.row).filter(|(by, _)| *by).for_each(|(_, row)| *row = 0);
        }
    }

    fn sound(&self) -> Option<Sound> {
        let of = |kind: &AlarmKind, open: &Open| match kind {
            _ if open.hushed => None,
            AlarmKind::Fire => Some(Sound::Fire),
            _ if self.now - open.last >= SIREN_MS => None,
            AlarmKind::Burglary => Some(Sound::Burglary),
            _ => Some(Sound::SosTone),
        };
        let area = match self.stands {
            Stands::Entry(_, due) if due - self.now > HURRY_MS => Some(Sound::EntryBeep),
            Stands::Entry(..) => Some(Sound::EntryHurry),
            Stands::Warning(..) => Some(Sound::Warning),
            _ => None,
        };
        self.open.iter().filter_map(|(kind, open)| of(kind, open)).chain(area).max()
    }
}

struct Real {
    hub: Hub,
    requests: u64,
}

fn device(name: &str) -> DeviceId {
    DeviceId::new(format!("zb-{name}")).unwrap()
}

impl Real {
    fn begin() -> Self {
        let now = Stamp { boot: 1, mono_ms: 1_000, wall_ms: 1_795_208_400_000, trusted: true };
        let mut real = Real { hub: Hub::new(11, now), requests: 0 };
        real.start();
        let (house, anna) = (AreaId::new("house").unwrap(), UserId::new("anna").unwrap());
        let mut commands = vec![
            Command::AreaSet { area: house.clone(), name: None, entry_s: 30, exit_s: 45 },
            Command::UserSet { user: anna, name: None, role: UserRole::Owner, expires_ms: None },
        ];
        for (name, kind, role) in [
            ("door", DeviceKind::Contact, ZoneRole::EntryDoor),
            ("eye", DeviceKind::Motion, ZoneRole::Interior),
            ("smoke", DeviceKind::Smoke, ZoneRole::Always),
            ("button", DeviceKind::Sos, ZoneRole::Always),
        ] {
            let (zone, area) = (ZoneId::new(name).unwrap(), house.clone());
            commands.push(Command::ZoneSet { zone: zone.clone(), area, name: None, role, modes: None, chime: false });
            commands.push(Command::DeviceAdd(Newcomer::plain(device(name), kind)));
            commands.push(Command::DeviceAssign { device: device(name), zone });
        }
        commands.into_iter().for_each(|command| real.ask(command));
        real.word("door", DeviceKind::Contact, DeviceState::Closed);
        real.word("eye", DeviceKind::Motion, DeviceState::Clear);
        real.word("smoke", DeviceKind::Smoke, DeviceState::Clear);
        real
    }

    fn start(&mut self) {
        self.hub.die();
        self.hub.load();
        let begun = Input::JournalBegun {
            reason: RestartReason::First,
            old_epoch: None,
            old_seq: None,
            old_hash: None,
            salvaged: 0,
            arm_state_known: true,
        };
        let (version, timezone) = ("0.1.0".to_owned(), "UTC".to_owned());
        let started = Input::Started { version, keys: vec![], profile: Profile::Se, timezone };
        let first = self.hub.is_new().then_some(begun);
        self.hub.turn(first.into_iter().chain([started]).collect(), Killed::Not);
    }

    fn ask(&mut self, command: Command) {
        self.requests += 1;
        let input = Input::Command { request: self.requests, method: Method::Keypad, command };
        self.hub.turn(vec![input], Killed::Not);
    }

    fn word(&mut self, name: &str, kind: DeviceKind, state: DeviceState) {
        let report = Report { state: Some(state), ..Report::silent(device(name), kind, Authenticated::MacCounter) };
        self.hub.turn(vec![Input::Report(report)], Killed::Not);
    }

    /// Time passes, and every duty is looked at when it falls due, as the daemon does.
    fn pass(&mut self, mut ms: u64) {
        while ms > 0 {
            let due = self.hub.panel.as_ref().unwrap().next_due(self.hub.now).map_or(u64::MAX, |due| due.in_ms.max(1));
            let step = due.min(ms);
            self.hub.now.mono_ms += step;
            self.hub.now.wall_ms += i64::try_from(step).unwrap();
            ms -= step;
            self.hub.turn(vec![Input::Tick], Killed::Not);
        }
    }

    fn step(&mut self, step: Step) {
        let code = CodeChecked::plain("hall", Some(UserId::new("anna").unwrap()), Method::Keypad);
        let word = |on, yes, no| if on { yes } else { no };
        match step {
            Step::Arm(mode) => self.ask(Command::Arm { area: None, mode, code }),
            Step::Disarm => self.ask(Command::Disarm { area: None, code }),
            Step::Hush => self.ask(Command::SirenStop { area: None, code }),
            Step::Cancel => self.ask(Command::Cancel { incident: None, code }),
            Step::Door(open) => {
                self.word("door", DeviceKind::Contact, word(open, DeviceState::Open, DeviceState::Closed));
            }
            Step::Motion(seen) => {
                self.word("eye", DeviceKind::Motion, word(seen, DeviceState::Alarm, DeviceState::Clear));
            }
            Step::Smoke(seen) => {
                self.word("smoke", DeviceKind::Smoke, word(seen, DeviceState::Alarm, DeviceState::Clear));
            }
            Step::Button => self.word("button", DeviceKind::Sos, DeviceState::Alarm),
            Step::Wait(ms) => self.pass(ms),
            Step::Killed => self.start(),
        }
    }

    fn stands(&self) -> Stands {
        let state = self.hub.state();
        let area = &state.areas[&AreaId::new("house").unwrap()];
        let due = || self.hub.now.mono_ms + area.arming.until().unwrap().remaining_ms(self.hub.now).unwrap();
        match &area.arming {
            Arming::Unknown => panic!("it was never unknown"),
            Arming::Disarmed => Stands::Disarmed,
            Arming::Exit { mode, .. } => Stands::Exit(*mode, due()),
            Arming::Armed { mode } => Stands::Armed(*mode),
            Arming::Entry { mode, .. } => Stands::Entry(*mode, due()),
            Arming::Warning { mode, .. } => Stands::Warning(*mode, due()),
            Arming::Alarm { mode } => Stands::Alarm(*mode),
        }
    }

    fn newest(&self) -> Option<AlarmKind> {
        self.hub.state().incidents_on_site().last().map(|(_, incident)| incident.kind)
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Arm(ArmMode::Away)),
        1 => Just(Step::Arm(ArmMode::Home)),
        2 => Just(Step::Disarm),
        1 => Just(Step::Hush),
        1 => Just(Step::Cancel),
        3 => any::<bool>().prop_map(Step::Door),
        3 => any::<bool>().prop_map(Step::Motion),
        1 => any::<bool>().prop_map(Step::Smoke),
        1 => Just(Step::Button),
        // Around the limits: seconds, minutes, a quarter of an hour.
        6 => prop_oneof![1..12_000u64, 20_000..70_000u64, 100_000..200_000u64, 590_000..620_000u64].prop_map(Step::Wait),
        1 => Just(Step::Killed),
    ];
    proptest::collection::vec(step, 1..40)
}

#[test]
fn the_panel_is_what_the_model_says() {
    let usual = if std::env::var_os("VAKT_LONG").is_some() { 15_000 } else { 300 };
    let cases = std::env::var("VAKT_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual);
    proptest!(Config { failure_persistence: None, ..Config::with_cases(cases) }, |(steps in steps())| {
        let mut real = Real::begin();
        let mut model = Model {
            now: real.hub.now.mono_ms,
            stands: Stands::Disarmed,
            door: false,
            motion: false,
            smoke: false,
            pressed: None,
            open: BTreeMap::new(),
            row: [0, 0],
            refused: None,
            overridden: [false; 2],
        };
        for (number, step) in steps.iter().enumerate() {
            let newest = real.newest();
            real.step(*step);
            match step {
                Step::Wait(ms) => model.time(model.now + ms),
                Step::Cancel => model.cancel(newest),
                step => model.step(*step),
            }
            let at = format!("after step {number}, {step:?}, of {:?}", &steps[..=number]);
            let told = real.stands();
            // A suppressed entry stays loud inside; its deadline is over in the one and endless in the other.
            let same = match (told, model.stands) {
                (Stands::Warning(a, _), Stands::Warning(b, u64::MAX)) => a == b,
                (a, b) => a == b,
            };
            prop_assert!(same, "{told:?} is not {:?} {at}", model.stands);
            let mut kinds: Vec<AlarmKind> = real.hub.state().incidents.values().map(|of| of.kind).collect();
            kinds.sort_unstable();
            prop_assert_eq!(kinds, model.open.keys().copied().collect::<Vec<_>>(), "open alarms {}", at);
            prop_assert_eq!(real.hub.state().sound(real.hub.now), model.sound(), "what sounds {}", at);
        }
    });
}
