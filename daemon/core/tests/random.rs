//! The panel under anything: random detectors, people, clocks, starts and disks, in any order.
//!
//! It judges only what must hold whatever happens; `shared/hub.rs` adds replay, snapshot, size and order. The seed is
//! fixed, so that a failure is met again, and printed; `VAKT_SEED` and `VAKT_CASES` choose others for long runs.

#![allow(clippy::unwrap_used)] // a test that meets what must not be falls here

#[path = "shared/hub.rs"]
#[allow(dead_code)] // each test uses its own part
mod hub;

use hub::{Hub, Killed, Turn};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeSet;
use vakt_core::alarm::state::{Arming, State};
use vakt_core::canonical::sha256;
use vakt_core::device::{AreaId, Authenticated, DeviceId, DeviceKind, DeviceState, Report, UserId, ZoneId};
use vakt_core::event::{
    Act, AlarmKind, ArmMode, CloseCause, Event, EventId, Evidence, Fact, Media, Method, Profile, RestartReason,
    UserRole, ZoneRole,
};
use vakt_core::input::{CodeChecked, Command, Effect, Input, InstalledKey, Newcomer, Sound};
use vakt_core::stamp::Stamp;

/// How many sequences, and how long each may be: a few seconds in all.
const CASES: u32 = 400;
const STEPS_MAX: usize = 80;

#[derive(Debug, Clone)]
enum Step {
    /// Some things reach the panel in one turn.
    Turn(Vec<Input>, u64),
    /// One thing does, and the process is killed in the turn.
    Killed(Input, Killed),
    /// One thing does, and its commit does not return; so many events may be kept.
    Freezes(Input, usize),
    /// The next duty's time comes.
    Due,
    /// The daemon starts again.
    Restart,
    /// The daemon does, on a journal that had to be set aside, and nothing says how the areas were armed.
    Quarantine,
    /// The board does, after so many ms.
    Reboot {
        dark_ms: u64,
        trusted: bool,
    },
    /// The wall clock is set, to anything.
    ClockSet {
        wall_ms: i64,
    },
    DiskFails(usize),
    DiskAnswers,
}

fn area() -> impl Strategy<Value = AreaId> {
    select(vec!["house", "house", "shed", "nowhere"]).prop_map(|id| AreaId::new(id).unwrap())
}

fn zone() -> impl Strategy<Value = ZoneId> {
    select(vec!["hall", "stairs", "study", "window", "kitchen", "nowhere"]).prop_map(|id| ZoneId::new(id).unwrap())
}

fn device() -> impl Strategy<Value = DeviceId> {
    (0..9u8).prop_map(|n| DeviceId::new(format!("zb-{n}")).unwrap())
}

fn user() -> impl Strategy<Value = UserId> {
    select(vec!["anna", "anna", "ben", "stranger"]).prop_map(|id| UserId::new(id).unwrap())
}

fn kind() -> impl Strategy<Value = DeviceKind> {
    use DeviceKind::{
        Climate, Co, Contact, Gas, GlassBreak, Heat, Keypad, Lock, Meter, Motion, Siren, Smoke, Sos, Vibration, Water,
    };
    select(vec![
        Contact, Motion, Smoke, Heat, Co, Gas, Water, GlassBreak, Vibration, Sos, Keypad, Siren, Lock, Climate, Meter,
    ])
}

fn state() -> impl Strategy<Value = DeviceState> {
    select(vec![DeviceState::Open, DeviceState::Closed, DeviceState::Alarm, DeviceState::Alarm, DeviceState::Clear])
}

fn mode() -> impl Strategy<Value = ArmMode> {
    select(vec![ArmMode::Away, ArmMode::Home])
}

/// Texts as hostile as they come, longer than any fact may hold.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![Just("short".to_owned()), any::<String>(), Just("\u{1}\"\\å".repeat(300))]
}

fn report() -> impl Strategy<Value = Input> {
    let trust = select(vec![Authenticated::None, Authenticated::Crc, Authenticated::Mac, Authenticated::MacCounter]);
    let flags = (any::<Option<bool>>(), any::<Option<bool>>(), any::<Option<bool>>());
    let word = (device(), kind(), proptest::option::weighted(0.85, state()), flags, trust);
    word.prop_map(|(device, kind, state, (tamper, low_battery, fault), authenticated)| {
        Input::Report(Report { state, tamper, low_battery, fault, ..Report::silent(device, kind, authenticated) })
    })
}

fn at_the_keypad() -> impl Strategy<Value = Command> {
    let source = prop_oneof![9 => select(vec!["hall", "garage"]).prop_map(str::to_owned), 1 => hostile()];
    let code = (proptest::option::weighted(0.7, user()), source).prop_map(|(user, source)| CodeChecked {
        source,
        user,
        method: Method::Keypad,
        credential: None,
        duress: false,
    });
    (proptest::option::of(area()), mode(), code, 0..11u8).prop_map(|(area, mode, code, verb)| match verb {
        0 | 1 => Command::Arm { area, mode, code },
        2 | 3 => Command::Disarm { area, code },
        4 => Command::SirenStop { area, code },
        5 => Command::Cancel { incident: None, code },
        6 => Command::Sos { area },
        7 => Command::TestMode { minutes: 5, code },
        8 => Command::TestMode { minutes: 0, code },
        9 => Command::Claim { name: None, code, code_taken: false },
        _ => Command::Look { camera: camera(), what: Media::Stream, code },
    })
}

fn camera() -> DeviceId {
    DeviceId::new("cam-hall").unwrap()
}

/// What the centre orders, of an incident that is named when the turn is played.
fn centre() -> impl Strategy<Value = Command> {
    let incident = EventId([0; 16]);
    prop_oneof![
        4 => select(vec![Media::Image, Media::Stream]).prop_map(move |what| Command::Media {
            camera: camera(), what, incident }),
        1 => Just(Command::MediaClose { incident }),
        1 => Just(Command::IncidentVerify { incident, by: Evidence::Voice }),
        1 => Just(Command::IncidentClose { incident, cause: CloseCause::Real }),
    ]
}

fn technician() -> impl Strategy<Value = Command> {
    use ZoneRole::{Always, EntryDoor, EntryRoute, Interior, Perimeter};
    let role = select(vec![EntryDoor, EntryRoute, Interior, Perimeter, Always]);
    let name = || proptest::option::of(hostile());
    prop_oneof![
        (area(), name(), 0..60u32, prop_oneof![Just(0), 0..200u32])
            .prop_map(|(area, name, entry_s, exit_s)| Command::AreaSet { area, name, entry_s, exit_s }),
        (zone(), area(), name(), role).prop_map(|(zone, area, name, role)| Command::ZoneSet {
            zone,
            area,
            name,
            role,
            modes: None,
            chime: false
        }),
        (user(), name()).prop_map(|(user, name)| Command::UserSet {
            user,
            name,
            role: UserRole::Member,
            expires_ms: None
        }),
        user().prop_map(|user| Command::UserRemove { user }),
        (0..200u32).prop_map(|seconds| Command::DevicePermit { seconds, joining: None }),
        (device(), kind(), name()).prop_map(|(device, kind, name)| {
            Command::DeviceAdd(Newcomer { name, ..Newcomer::plain(device, kind) })
        }),
        (device(), zone()).prop_map(|(device, zone)| Command::DeviceAssign { device, zone }),
        device().prop_map(|device| Command::DeviceRemove { device }),
        zone().prop_map(|zone| Command::DeviceAssign { device: camera(), zone }),
        Just(Command::DeviceAdd(Newcomer::plain(camera(), DeviceKind::Camera))),
        Just(Command::SirenChirp {}),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let command = |command: BoxedStrategy<Command>| {
        // The hub gives the number; here it is given when the turn is played.
        command.prop_map(|command| Input::Command { request: 0, method: Method::Local, command })
    };
    let event = any::<[u8; 10]>().prop_map(|bytes| EventId::mint(1, bytes));
    prop_oneof![
        12 => report(),
        6 => command(at_the_keypad().boxed()),
        4 => command(technician().boxed()),
        3 => command(centre().boxed()),
        2 => device().prop_map(|device| Input::Unreadable { device }),
        2 => Just(Input::Tick),
        1 => proptest::option::of(hostile()).prop_map(|error| Input::Acted {
            command: EventId([0; 16]), act: Act::SirenChirp, error }),
        1 => (select(vec!["eth", "lte"]), proptest::option::of(hostile())).prop_map(|(path, reason)| Input::Path {
            path: path.to_owned(), reason }),
        1 => (hostile(), proptest::option::of(hostile())).prop_map(|(receiver, error)| Input::Receiver {
            receiver, error }),
        1 => (event, any::<u32>()).prop_map(|(event, ms)| Input::Overdue { event, after_ms: ms.into() }),
        1 => (hostile(), any::<u32>()).prop_map(|(reason, n)| Input::RefusedReceipt { reason, count: n.into() }),
        1 => Just(Input::Stopping),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let jump = prop_oneof![3 => 0..2_000u64, 2 => 0..200_000u64, 1 => 0..90_000_000u64];
    let killed = select(vec![Killed::BeforeRecording, Killed::BeforeApplying, Killed::BeforeActing]);
    // Between the years 0 and 9999, and what no clock should say.
    let wall = prop_oneof![-60_000_000_000_000..250_000_000_000_000i64, Just(i64::MIN), Just(i64::MAX)];
    prop_oneof![
        24 => (input(), jump.clone()).prop_map(|(input, ms)| Step::Turn(vec![input], ms)),
        6 => (proptest::collection::vec(input(), 2..6), jump.clone()).prop_map(|(inputs, ms)| Step::Turn(inputs, ms)),
        2 => (input(), killed).prop_map(|(input, killed)| Step::Killed(input, killed)),
        1 => (input(), 0..20usize).prop_map(|(input, room)| Step::Freezes(input, room)),
        6 => Just(Step::Due),
        1 => Just(Step::Restart),
        1 => Just(Step::Quarantine),
        2 => (jump, any::<bool>()).prop_map(|(dark_ms, trusted)| Step::Reboot { dark_ms, trusted }),
        1 => wall.prop_map(|wall_ms| Step::ClockSet { wall_ms }),
        1 => (0..20usize).prop_map(Step::DiskFails),
        3 => Just(Step::DiskAnswers),
    ]
}

struct Site {
    hub: Hub,
    requests: u64,
    /// Acts released: none may come twice.
    acts: BTreeSet<EventId>,
    /// What the sounders were last told; silent when the process starts.
    heard: Option<Sound>,
}

impl Site {
    /// A site as it was installed: two areas, every role, a detector of each kind that matters.
    fn new(seed: u64) -> Self {
        let now = Stamp { boot: 1, mono_ms: 5_000, wall_ms: 1_795_208_400_000, trusted: true };
        let mut site = Site { hub: Hub::new(seed, now), requests: 0, acts: BTreeSet::new(), heard: None };
        site.start(Some(RestartReason::First));
        let (house, shed) = (AreaId::new("house").unwrap(), AreaId::new("shed").unwrap());
        let set = |area: &AreaId| Command::AreaSet { area: area.clone(), name: None, entry_s: 20, exit_s: 30 };
        let mut commands = vec![set(&house), set(&shed)];
        let anna = UserId::new("anna").unwrap();
        commands.push(Command::UserSet {
            user: anna,
            name: Some("Anna".to_owned()),
            role: UserRole::Owner,
            expires_ms: None,
        });
        let places = [
            ("hall", &house, ZoneRole::EntryDoor, DeviceKind::Contact),
            ("stairs", &house, ZoneRole::EntryRoute, DeviceKind::Motion),
            ("study", &shed, ZoneRole::Interior, DeviceKind::Motion),
            ("window", &shed, ZoneRole::Perimeter, DeviceKind::GlassBreak),
            ("kitchen", &house, ZoneRole::Always, DeviceKind::Smoke),
        ];
        for (n, (zone, area, role, kind)) in places.into_iter().enumerate() {
            let (zone, device) = (ZoneId::new(zone).unwrap(), DeviceId::new(format!("zb-{n}")).unwrap());
            commands.push(Command::ZoneSet {
                zone: zone.clone(),
                area: area.clone(),
                name: None,
                role,
                modes: None,
                chime: false,
            });
            commands.push(Command::DeviceAdd(Newcomer::plain(device.clone(), kind)));
            commands.push(Command::DeviceAssign { device, zone });
        }
        for (n, kind) in [(5, DeviceKind::Sos), (6, DeviceKind::Water)] {
            let device = DeviceId::new(format!("zb-{n}")).unwrap();
            commands.push(Command::DeviceAdd(Newcomer::plain(device, kind)));
        }
        let request = |command| Input::Command { request: 0, method: Method::Local, command };
        site.play(commands.into_iter().map(request).collect(), Killed::Not);
        site
    }

    fn start(&mut self, anew: Option<RestartReason>) {
        self.hub.die();
        self.hub.load();
        self.heard = None;
        let key = InstalledKey { kid: "arc-1".to_owned(), role: "arc".to_owned(), ed25519: "A".repeat(43) };
        let begun = anew.map(|reason| Input::JournalBegun {
            reason,
            old_epoch: None,
            old_seq: None,
            old_hash: None,
            salvaged: 0,
            arm_state_known: reason == RestartReason::First,
        });
        let started = Input::Started {
            version: "0.1.0".to_owned(),
            keys: vec![key],
            profile: Profile::Se,
            timezone: "Europe/Stockholm".to_owned(),
        };
        self.play(begun.into_iter().chain([started]).collect(), Killed::Not);
        // As the hub does: what fell due while it was down is looked at now.
        self.play(vec![Input::Tick], Killed::Not);
    }

    fn pass(&mut self, ms: u64) {
        self.hub.now.mono_ms += ms;
        self.hub.now.wall_ms = self.hub.now.wall_ms.saturating_add(i64::try_from(ms).unwrap());
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Turn(inputs, ms) => {
                self.pass(ms);
                let again = match inputs.as_slice() {
                    [report @ Input::Report(_)] if self.hub.disk_is_well() => Some(report.clone()),
                    _ => None,
                };
                self.play(inputs, Killed::Not);
                if let Some(again) = again {
                    let turn = self.play(vec![again], Killed::Not);
                    assert_eq!(turn.events, [], "the same word again is no event");
                }
            }
            Step::Killed(input, killed) => {
                self.play(vec![input], killed);
                self.start(None);
            }
            Step::Freezes(input, room) if self.hub.disk_is_well() => {
                let turn = self.hub.turn_while_the_disk_freezes(vec![input], room);
                self.hear(&turn);
            }
            Step::Freezes(..) => {}
            Step::Due => {
                let panel = self.hub.panel.as_ref().unwrap();
                if let Some(due) = panel.next_due(self.hub.now) {
                    self.pass(due.in_ms);
                    self.play(vec![Input::Tick], Killed::Not);
                }
            }
            Step::Restart => self.start(None),
            Step::Quarantine => {
                self.hub.quarantine();
                self.start(Some(RestartReason::Quarantined));
            }
            Step::Reboot { dark_ms, trusted } => {
                self.pass(dark_ms);
                self.hub.now = Stamp { boot: self.hub.now.boot + 1, mono_ms: 4_000, trusted, ..self.hub.now };
                self.start(None);
            }
            Step::ClockSet { wall_ms } => self.hub.now.wall_ms = wall_ms,
            Step::DiskFails(room) if self.hub.disk_is_well() => {
                self.hub.disk_fails(room);
                self.play(vec![Input::DiskFailed { error: "slow".to_owned() }], Killed::Not);
            }
            Step::DiskFails(_) => {}
            Step::DiskAnswers => {
                if !self.hub.disk_is_well() {
                    let (pending, refused) = self.hub.disk_answers();
                    self.play(vec![Input::DiskRecovered { pending, refused }], Killed::Not);
                }
            }
        }
    }

    fn play(&mut self, mut inputs: Vec<Input>, killed: Killed) -> Turn {
        let before = self.hub.state().clone();
        let first = self.requests + 1;
        for input in &mut inputs {
            match input {
                Input::Command { request, command, .. } => {
                    self.requests += 1;
                    *request = self.requests;
                    if let Command::Media { incident, .. }
                    | Command::MediaClose { incident }
                    | Command::IncidentVerify { incident, .. }
                    | Command::IncidentClose { incident, .. } = command
                    {
                        let open = self.hub.panel.as_ref().map(|panel| &panel.state().incidents);
                        *incident = open.and_then(|open| open.keys().next_back().copied()).unwrap_or(*incident);
                    }
                }
                // Sometimes an act that is on its way is answered.
                Input::Acted { command, .. } => *command = before.acts.keys().next().copied().unwrap_or(*command),
                _ => {}
            }
        }
        let turn = self.hub.turn(inputs.clone(), killed);
        walk(&before, &turn.events, &inputs);
        if killed != Killed::Not {
            return turn;
        }
        alarms_are_told(&before, &turn.events, &inputs);
        let mut answered: Vec<u64> = turn.effects.iter().filter_map(request).collect();
        answered.sort_unstable();
        assert!(answered.into_iter().eq(first..=self.requests), "each request has one answer");
        self.hear(&turn);
        let started = inputs.iter().any(|input| matches!(input, Input::Started { .. }));
        let due = self.hub.panel.as_ref().unwrap().next_due(self.hub.now);
        assert!(started || due.is_none_or(|due| due.in_ms > 0), "{due:?} stays due for ever");
        turn
    }

    fn hear(&mut self, turn: &Turn) {
        for effect in &turn.effects {
            match effect {
                Effect::Sound(sound) => self.heard = *sound,
                Effect::Act { command, .. } => assert!(self.acts.insert(*command), "an act is done once"),
                _ => {}
            }
        }
        let state = self.hub.state();
        assert_eq!(self.heard, state.sound(self.hub.now.sane()), "what is heard is what the state says");
        let fire = |kind| matches!(kind, AlarmKind::Fire | AlarmKind::Co | AlarmKind::Gas);
        if state.incidents.values().any(|incident| fire(incident.kind) && !incident.silenced) {
            assert_eq!(self.heard, Some(Sound::Fire), "fire sounds until a code");
        }
    }
}

fn request(effect: &Effect) -> Option<u64> {
    match effect {
        Effect::Reply(request, _) => Some(*request),
        _ => None,
    }
}

/// Walks the events one by one: what guards changes only by the facts that say so, and only a code's owner disarms.
fn walk(before: &State, events: &[Event], inputs: &[Input]) {
    let mut state = before.clone();
    let mut disarms = 0;
    for event in events {
        let old = state.clone();
        state.apply(event);
        let said = matches!(
            event.fact,
            Fact::ExitStarted { .. }
                | Fact::AreaArmed { .. }
                | Fact::ArmFailed { .. }
                | Fact::EntryStarted { .. }
                | Fact::AreaDisarmed { .. }
                | Fact::AlarmRaised { kind: AlarmKind::Burglary, .. }
                | Fact::HubStarted { .. }
                | Fact::JournalRestarted { arm_state_known: false, .. }
        );
        for (id, area) in &old.areas {
            let new = &state.areas[id].arming;
            assert!(said || *new == area.arming, "{:?} changed {:?} to {new:?}", event.fact, area.arming);
            if let Some(mode) = area.arming.guarding() {
                let disarmed = matches!(event.fact, Fact::AreaDisarmed { .. }) && event.area.as_ref() == Some(id);
                let lost = matches!(event.fact, Fact::JournalRestarted { .. }) && *new == Arming::Unknown;
                assert!(disarmed || lost || new.guarding() == Some(mode), "{:?} ended the guard of {id}", event.fact);
            }
            if matches!(new, Arming::Alarm { .. }) {
                assert!(area.arming.guarding().is_some(), "a burglary needs an area that guards");
            }
        }
        if let Fact::AreaDisarmed { .. } = event.fact {
            disarms += 1;
            let user = event.user.as_ref().expect("somebody disarmed");
            assert!(old.users.contains_key(user), "{user} is nobody");
            let asked = |input: &Input| matches!(input, Input::Command { command: Command::Disarm { code, .. }, .. } if code.user.as_ref() == Some(user));
            assert!(inputs.iter().filter(|input| asked(input)).count() >= disarms, "nobody asked for it");
        }
    }
}

/// A detector that guards a life and says something new is always an alarm, disk or no disk, place or no place.
fn alarms_are_told(before: &State, events: &[Event], inputs: &[Input]) {
    if inputs.iter().any(|input| matches!(input, Input::Command { .. })) {
        // Within one turn a device may be added or removed before it speaks.
        return;
    }
    let mut spoke = BTreeSet::new();
    for input in inputs {
        let Input::Report(report) = input else { continue };
        let first = spoke.insert(report.device.clone());
        let Some(device) = before.devices.get(&report.device).filter(|_| first) else { continue };
        let kind = match report.kind {
            DeviceKind::Smoke | DeviceKind::Heat => AlarmKind::Fire,
            DeviceKind::Co => AlarmKind::Co,
            DeviceKind::Gas => AlarmKind::Gas,
            DeviceKind::Sos => AlarmKind::Sos,
            DeviceKind::Water => AlarmKind::Water,
            _ => continue,
        };
        let new = device.said.get(&report.kind) != Some(&DeviceState::Alarm);
        if report.state == Some(DeviceState::Alarm) && new {
            let told = |event: &Event| {
                event.device.as_ref() == Some(&report.device)
                    && matches!(event.fact, Fact::AlarmRaised { kind: told, .. } if told == kind)
            };
            assert!(events.iter().any(told), "{report:?} was not told");
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")))
}

#[test]
fn whatever_happens() {
    let seed = number("VAKT_SEED").unwrap_or(20_261_120);
    let cases = number("VAKT_CASES").map_or(CASES, |cases| u32::try_from(cases).unwrap());
    eprintln!("VAKT_SEED={seed} VAKT_CASES={cases}");
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &sha256(&[&seed.to_be_bytes()]));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let steps = proptest::collection::vec(step(), 1..STEPS_MAX);
    let played = TestRunner::new_with_rng(config, rng).run(&steps, |steps| {
        let mut site = Site::new(seed);
        steps.into_iter().for_each(|step| site.step(step));
        Ok(())
    });
    if let Err(wrong) = played {
        panic!("VAKT_SEED={seed}: {wrong}");
    }
}
