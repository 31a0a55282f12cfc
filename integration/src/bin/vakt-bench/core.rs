//! Figures of the panel alone: a turn with 200 detectors, a replay, a snapshot. Beside each stands a limit of the same
//! machine: what it takes to copy and to hash as many bytes.

use crate::Outcome;
use crate::figures::Beside;
use crate::figures::Figures;
use crate::figures::Times;
use std::hint::black_box;
use std::time::Instant;
use vakt_core::alarm::panel::Panel;
use vakt_core::alarm::state::State;
use vakt_core::canonical;
use vakt_core::device::AreaId;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::device::Report;
use vakt_core::device::UserId;
use vakt_core::device::ZoneId;
use vakt_core::event::ArmMode;
use vakt_core::event::Event;
use vakt_core::event::Method;
use vakt_core::event::Profile;
use vakt_core::event::UserRole;
use vakt_core::event::ZoneRole;
use vakt_core::input::CodeChecked;
use vakt_core::input::Command;
use vakt_core::input::Context;
use vakt_core::input::Disk;
use vakt_core::input::Input;
use vakt_core::input::Newcomer;
use vakt_core::port::Head;
use vakt_core::stamp::Stamp;
use vakt_core::turn::Committed;

/// Detectors of a large site.
const DETECTORS: u32 = 200;
/// Turns whose times are taken.
const TURNS: u64 = 20_000;
/// Events of the replay.
const REPLAY: usize = 100_000;
/// The aims: a turn, in seconds, and the replay.
const TURN_AIM_S: f64 = 0.000_02;
const REPLAY_AIM_S: f64 = 1.0;

struct Site {
    panel: Panel,
    now: Stamp,
    turns: u64,
}

impl Site {
    fn turn(&mut self, inputs: Vec<Input>) -> Vec<Event> {
        self.timed(inputs).0
    }

    /// One turn, and how long deciding and applying took, in nanoseconds.
    fn timed(&mut self, inputs: Vec<Input>) -> (Vec<Event>, u128) {
        self.turns += 1;
        self.now.mono_ms += 1_000;
        self.now.wall_ms += 1_000;
        let entropy = canonical::sha256(&[&self.turns.to_be_bytes()]);
        let context = Context { now: self.now, entropy, disk: Disk::Well };
        let began = Instant::now();
        self.panel.hear(self.now, &inputs);
        let decided = self.panel.decide(&context, inputs);
        let decided_ns = began.elapsed().as_nanos();
        let events = decided.events().to_vec();
        let ids = events.iter().map(|event| event.id).collect();
        let recorded = match decided.nothing_to_record() {
            Ok(recorded) => recorded,
            Err(decided) => decided.committed(&Committed { ids, head: Head::default() }),
        };
        let began = Instant::now();
        black_box(self.panel.apply(recorded, self.now));
        (events, decided_ns + began.elapsed().as_nanos())
    }
}

fn device(number: u32) -> Outcome<DeviceId> {
    Ok(DeviceId::new(format!("zb-{number:016x}"))?)
}

fn large_site() -> Outcome<(Site, Vec<Event>)> {
    let now = Stamp { boot: 1, mono_ms: 1_000, wall_ms: 1_795_208_400_000, trusted: true };
    let mut site = Site { panel: Panel::default(), now, turns: 0 };
    let started = Input::Started {
        version: "bench".to_owned(),
        keys: vec![],
        profile: Profile::Dk,
        timezone: "Europe/Copenhagen".to_owned(),
    };
    let mut events = site.turn(vec![started]);
    let (house, anna) = (AreaId::new("house")?, UserId::new("anna")?);
    let mut commands = vec![
        Command::AreaSet { area: house.clone(), name: None, entry_s: 30, exit_s: 0 },
        Command::UserSet { user: anna, name: None, role: UserRole::Owner, expires_ms: None },
    ];
    for number in 0..DETECTORS {
        let (device, zone) = (device(number)?, ZoneId::new(format!("zone-{number}"))?);
        let kind = if number % 4 == 0 { DeviceKind::Smoke } else { DeviceKind::Motion };
        let role = if number % 4 == 0 { ZoneRole::Always } else { ZoneRole::Interior };
        let area = house.clone();
        commands.push(Command::ZoneSet { zone: zone.clone(), area, name: None, role, modes: None, chime: false });
        commands.push(Command::DeviceAdd(Newcomer::plain(device.clone(), kind)));
        commands.push(Command::DeviceAssign { device, zone });
    }
    for (request, command) in (1..).zip(commands) {
        events.extend(site.turn(vec![Input::Command { request, method: Method::Local, command }]));
    }
    for number in 0..DETECTORS {
        events.extend(site.turn(vec![word(number, DeviceState::Clear)?]));
    }
    Ok((site, events))
}

fn word(number: u32, state: DeviceState) -> Outcome<Input> {
    let kind = if number.is_multiple_of(4) { DeviceKind::Smoke } else { DeviceKind::Motion };
    let report = Report { state: Some(state), ..Report::silent(device(number)?, kind, Authenticated::MacCounter) };
    Ok(Input::Report(report))
}

/// One turn after the other, each detector in its turn: all see somebody, then all are quiet; the house is armed when they
/// are, and disarmed while a quarter of them has alarmed.
fn turns(site: &mut Site, figures: &mut Figures) -> Outcome<Vec<Event>> {
    let (mut times, mut silent, mut due, mut events) =
        (Times::default(), Times::default(), Times::default(), Vec::new());
    let anna = UserId::new("anna")?;
    for turn in 0..TURNS {
        let number = u32::try_from(turn % u64::from(DETECTORS))?;
        let moving = if turn / u64::from(DETECTORS) % 2 == 0 { DeviceState::Alarm } else { DeviceState::Clear };
        let code = || CodeChecked::plain("hall", Some(anna.clone()), Method::Keypad);
        let ordered = |command| Input::Command { request: turn, method: Method::Keypad, command };
        let input = match turn % 400 {
            0 => ordered(Command::Arm { area: None, mode: ArmMode::Away, code: code() }),
            100 => ordered(Command::Disarm { area: None, code: code() }),
            _ if number.is_multiple_of(4) => word(number, DeviceState::Clear)?,
            _ => word(number, moving)?,
        };
        let (happened, took) = site.timed(vec![input]);
        let took = u64::try_from(took)?;
        let began = Instant::now();
        black_box(site.panel.next_due(site.now));
        due.push(u64::try_from(began.elapsed().as_nanos())?);
        if happened.is_empty() {
            silent.push(took)
        } else {
            times.push(took)
        }
        events.extend(happened);
    }
    let state = serde_json::to_vec(site.panel.state())?;
    let began = Instant::now();
    for _ in 0..100 {
        black_box(site.panel.state().clone());
    }
    let copy = began.elapsed().as_secs_f64() / 100.0;
    // `Times` takes microseconds; a turn is a few, so they were taken in nanoseconds.
    let beside = Beside::PeerAndLimit("a copy of the state", copy, TURN_AIM_S);
    figures.put("core.turn.p50", times.p50() / 1e3, "s", beside);
    figures.put("core.turn.p99", times.at(99) / 1e3, "s", beside);
    figures.put("core.turn.nothing_new.p99", silent.at(99) / 1e3, "s", beside);
    figures.put("core.next_due.p99", due.at(99) / 1e3, "s", beside);
    figures.put("core.snapshot.bytes", state.len() as f64, "B", Beside::Missing);
    Ok(events)
}

/// A fresh panel from 100,000 events that were sealed as the journal seals them.
fn replay(events: &[Event], figures: &mut Figures) -> Outcome<()> {
    let mut prev = [0; 32];
    let mut bodies = Vec::with_capacity(REPLAY);
    for (event, seq) in events.iter().cycle().take(REPLAY).zip(1..) {
        let sealed = canonical::seal(event, vakt_core::port::Place { epoch: 1, seq }, &prev);
        prev = sealed.hash;
        bodies.push(sealed.body);
    }
    let began = Instant::now();
    for body in &bodies {
        black_box(canonical::sha256(&[body]));
    }
    let hashing = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let mut state = State::default();
    for body in &bodies {
        let (_, _, event) = canonical::open(body).map_err(|error| format!("{error:?}"))?;
        state.apply(&event);
    }
    black_box(&state);
    let beside = Beside::PeerAndLimit("hashing the same bytes", hashing, REPLAY_AIM_S);
    figures.put("core.replay.100000", began.elapsed().as_secs_f64(), "s", beside);
    Ok(())
}

/// The panel alone.
pub fn core(figures: &mut Figures) -> Outcome<()> {
    let (mut site, mut events) = large_site()?;
    events.extend(turns(&mut site, figures)?);
    replay(&events, figures)
}
