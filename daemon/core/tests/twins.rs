//! Two houses in which the same happens, but that in one of them codes are given under threat and a silent button is pressed
//! (B1, B8): whoever is on site must not be able to tell in which of the two he stands, then or later. Every order of a few
//! things is tried, breadth first, on the real panel; what he sees, hears and reads in the lists is compared after each.
//!
//! `VAKT_LONG` goes one deeper, `VAKT_DEPTH` as deep as it says.

#![allow(clippy::unwrap_used)] // a test that meets what must not be falls here
#![allow(clippy::print_stdout, clippy::disallowed_methods)] // it says how far it came, and how long that took

#[path = "shared/site.rs"]
#[allow(dead_code)] // each test uses its own part
mod site;

use site::{placed, report};
use std::collections::HashSet;
use std::time::Instant;
use vakt_core::alarm::panel::Panel;
use vakt_core::canonical;
use vakt_core::device::{AreaId, DeviceKind, DeviceState, UserId};
use vakt_core::event::{ArmMode, Event, Method, Profile, UserRole, ZoneRole};
use vakt_core::input::{CodeChecked, Command, Context, Disk, Effect, Input, Reply};
use vakt_core::port::Head;
use vakt_core::stamp::Stamp;
use vakt_core::turn::Committed;

const MINUTE_MS: u64 = 60_000;
/// How deep CI goes.
const DEPTH: usize = 4;

/// What can happen next, in both houses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    Arm(bool),
    Disarm(bool),
    Hush(bool),
    Cancel(bool),
    /// Pressed in one of them.
    SilentButton,
    EyeAlarms,
    EyeClears,
    Smoke,
    Minute,
    TenMinutes,
    Killed,
    PowerCutClockLost,
}

/// `true`: under threat in one of them.
const MOVES: [Move; 16] = [
    Move::Arm(false),
    Move::Arm(true),
    Move::Disarm(false),
    Move::Disarm(true),
    Move::Hush(false),
    Move::Hush(true),
    Move::Cancel(false),
    Move::Cancel(true),
    Move::SilentButton,
    Move::EyeAlarms,
    Move::EyeClears,
    Move::Smoke,
    Move::Minute,
    Move::TenMinutes,
    Move::Killed,
    Move::PowerCutClockLost,
];

#[derive(Clone)]
struct House {
    panel: Panel,
    now: Stamp,
    /// Somebody is under threat here, or presses the button.
    threat: bool,
    turns: u64,
}

/// What there is to be told apart by.
#[derive(Debug, PartialEq, Eq, Default)]
struct Seen {
    rows: Vec<String>,
    /// Sounds, signs, replies.
    effects: Vec<String>,
    /// The panel and the page.
    shown: String,
}

/// Ids are chance.
fn without_ids(text: &str) -> String {
    let word = |word: &str| match word.len() == 36 && word.as_bytes()[14] == b'7' {
        true => "#".to_owned(),
        false => word.to_owned(),
    };
    text.split('"').map(word).collect::<Vec<_>>().join("\"")
}

impl House {
    fn new(profile: Profile, threat: bool) -> Self {
        let now = Stamp { boot: 1, mono_ms: 1_000, wall_ms: 1_795_208_400_000, trusted: true };
        let mut house = Self { panel: Panel::default(), now, threat, turns: 0 };
        house.turn(vec![Self::started(profile)]);
        let area = AreaId::new("house").unwrap();
        let user = UserId::new("anna").unwrap();
        let mut commands = vec![
            Command::AreaSet { area: area.clone(), name: None, entry_s: 0, exit_s: 0 },
            Command::UserSet { user, name: None, role: UserRole::Owner, expires_ms: None },
            Command::DuressSet { on: true },
        ];
        for (name, kind, role) in [
            ("eye", DeviceKind::Motion, ZoneRole::Interior),
            ("smoke", DeviceKind::Smoke, ZoneRole::Always),
            ("desk", DeviceKind::HoldUp, ZoneRole::Always),
        ] {
            commands.extend(placed(&area, name, kind, role));
        }
        for command in commands {
            house.turn(vec![Input::Command { request: 1, method: Method::Local, command }]);
        }
        house.turn(vec![report("eye", DeviceKind::Motion, DeviceState::Clear)]);
        house.turn(vec![report("smoke", DeviceKind::Smoke, DeviceState::Clear)]);
        house
    }

    fn started(profile: Profile) -> Input {
        Input::Started { version: "0.1.0".to_owned(), keys: vec![], profile, timezone: "UTC".to_owned() }
    }

    fn turn(&mut self, inputs: Vec<Input>) -> Seen {
        self.turns += 1;
        let entropy = canonical::sha256(&[&self.turns.to_be_bytes()]);
        self.panel.hear(self.now, &inputs);
        let decided = self.panel.decide(&Context { now: self.now, entropy, disk: Disk::Well }, inputs);
        let ids = decided.events().iter().map(|event| event.id).collect();
        let rows = decided.events().iter().map(Self::row).collect();
        let recorded = match decided.nothing_to_record() {
            Ok(recorded) => recorded,
            Err(decided) => decided.committed(&Committed { ids, head: Head::default() }),
        };
        let effects = self.panel.apply(recorded, self.now).iter().filter_map(Self::effect).collect();
        Seen { rows, effects, shown: self.shown() }
    }

    fn row(event: &Event) -> String {
        match event.is_centre_only() {
            true => "withheld".to_owned(),
            false => without_ids(&String::from_utf8(canonical::unjournaled(event)).unwrap()),
        }
    }

    fn effect(effect: &Effect) -> Option<String> {
        match effect {
            Effect::Reply(_, Reply::Done { text, event, .. }) => Some(format!("{text} {}", event.is_some())),
            Effect::Publish(_) | Effect::CameraEnds(_) => None,
            other => Some(format!("{other:?}")),
        }
    }

    fn shown(&self) -> String {
        let state = self.panel.state();
        let area = state.areas.values().next();
        let open: Vec<_> = state.incidents_on_site().map(|(_, of)| (of.kind, of.opened, of.silenced)).collect();
        let devices: Vec<_> = (state.devices.values())
            .filter(|device| device.kind != DeviceKind::HoldUp)
            .map(|device| (device.state, &device.faults, &device.raised, &device.suppressed))
            .collect();
        format!("{area:?} {open:?} {devices:?} {:?} {:?}", state.sound(self.now), state.codes)
    }

    fn make(&mut self, step: Move, profile: Profile) -> Seen {
        let code = |threat| CodeChecked {
            duress: threat && self.threat,
            ..CodeChecked::plain("hall", UserId::new("anna").ok(), Method::Keypad)
        };
        let command = |command| vec![Input::Command { request: 7, method: Method::Keypad, command }];
        let inputs = match step {
            Move::Arm(threat) => command(Command::Arm { area: None, mode: ArmMode::Away, code: code(threat) }),
            Move::Disarm(threat) => command(Command::Disarm { area: None, code: code(threat) }),
            Move::Hush(threat) => command(Command::SirenStop { area: None, code: code(threat) }),
            Move::Cancel(threat) => command(Command::Cancel { incident: None, code: code(threat) }),
            Move::SilentButton => {
                self.pass(11_000);
                let pressed = report("desk", DeviceKind::HoldUp, DeviceState::Alarm);
                // What it leaves in the journal is the button's own trace, withheld.
                let seen = self.turn(if self.threat { vec![pressed] } else { vec![Input::Tick] });
                let rows = seen.rows.into_iter().filter(|row| row != "withheld").collect();
                return Seen { rows, ..seen };
            }
            Move::EyeAlarms => vec![report("eye", DeviceKind::Motion, DeviceState::Alarm)],
            Move::EyeClears => vec![report("eye", DeviceKind::Motion, DeviceState::Clear)],
            Move::Smoke => {
                self.turn(vec![report("smoke", DeviceKind::Smoke, DeviceState::Alarm)]);
                vec![report("smoke", DeviceKind::Smoke, DeviceState::Clear)]
            }
            Move::Minute | Move::TenMinutes => {
                self.pass(if step == Move::Minute { MINUTE_MS } else { 10 * MINUTE_MS });
                vec![Input::Tick]
            }
            Move::Killed | Move::PowerCutClockLost => {
                let state = serde_json::to_vec(self.panel.state()).unwrap();
                self.panel = Panel::new(serde_json::from_slice(&state).unwrap());
                self.pass(1_000);
                if step == Move::PowerCutClockLost {
                    (self.now.boot, self.now.mono_ms) = (self.now.boot + 1, 1_000);
                    (self.now.trusted, self.now.wall_ms) = (false, 1_735_689_600_000);
                }
                vec![Self::started(profile)]
            }
        };
        self.turn(inputs)
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += i64::try_from(ms).unwrap();
    }

    /// The state, but for ids.
    fn key(&self) -> String {
        without_ids(&serde_json::to_string(self.panel.state()).unwrap())
    }
}

#[test]
fn b1_b8_nobody_on_site_can_tell() {
    let usual = if std::env::var_os("VAKT_LONG").is_some() { DEPTH + 1 } else { DEPTH };
    let depth = std::env::var("VAKT_DEPTH").ok().and_then(|depth| depth.parse().ok()).unwrap_or(usual);
    let began = Instant::now();
    for (profile, beginning) in [
        (Profile::Se, &[][..]),
        (Profile::Se, &[Move::Arm(false), Move::EyeAlarms]),
        (Profile::Dk, &[Move::Arm(false), Move::EyeAlarms]),
    ] {
        let (mut calm, mut threatened) = (House::new(profile, false), House::new(profile, true));
        for step in beginning {
            calm.make(*step, profile);
            threatened.make(*step, profile);
        }
        let mut known = HashSet::from([(calm.key(), threatened.key())]);
        let mut front = vec![(calm, threatened, beginning.to_vec())];
        let (mut pairs, mut called) = (0u64, 0u64);
        for _ in 0..depth {
            let mut next = Vec::new();
            for (calm, threatened, path) in &front {
                for step in MOVES {
                    let (mut calm, mut threatened) = (calm.clone(), threatened.clone());
                    let path: Vec<Move> = path.iter().copied().chain([step]).collect();
                    let (honest, seen) = (calm.make(step, profile), threatened.make(step, profile));
                    assert_eq!(honest, seen, "on the left nobody is under threat: {profile:?} {path:?}");
                    pairs += 1;
                    called += u64::from(threatened.panel.state().incidents.values().any(|of| of.duress));
                    if known.insert((calm.key(), threatened.key())) {
                        next.push((calm, threatened, path));
                    }
                }
            }
            front = next;
        }
        let (states, seconds) = (known.len(), began.elapsed().as_secs_f64());
        println!(
            "{profile:?} {beginning:?}: {states} pairs of states, {pairs} steps, {called} with the centre called, {seconds:.1} s"
        );
        assert!(called > 0, "somebody was under threat");
    }
}

/// A hold-up that is known to the centre is known to the centre: the comparison above is of what is on site alone.
#[test]
fn what_is_compared_differs_where_it_may() {
    let (mut calm, mut threatened) = (House::new(Profile::Se, false), House::new(Profile::Se, true));
    for house in [&mut calm, &mut threatened] {
        house.make(Move::Arm(false), Profile::Se);
        house.make(Move::Disarm(true), Profile::Se);
    }
    let held_up = |house: &House| house.panel.state().incidents.values().filter(|of| of.duress).count();
    assert_eq!((held_up(&calm), held_up(&threatened)), (0, 1));
}
