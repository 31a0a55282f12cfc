//! The alarm told again, from the requirements: what detectors said and people did, and which areas must therefore be in
//! alarm and what must be heard. It takes the hub's word for what it told people (armed, not armed, disarmed) and for
//! nothing else: that alarms follow, at once and no others, it works out for itself.
//!
//! ```text
//!   off ──arm──▶ leaving ──told armed──▶ on ──entry door──▶ entry ──runs out──▶ alarm
//!    ▲                                   └──another detector that guards──────▶   │
//!    └──────────────────────────────disarm────────────────────────────────────────┘
//! ```

use super::detectors::MODELS;
use super::detectors::Model;
use super::story::MINUTE;
use super::story::SECOND;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use vakt_core::device::DeviceFault;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::device::Report;
use vakt_core::event::AlarmKind;
use vakt_core::event::ArmMode;
use vakt_core::event::CauseKind;
use vakt_core::event::Event;
use vakt_core::event::EventId;
use vakt_core::event::Fact;
use vakt_core::event::Tag;
use vakt_core::event::ZoneRole;
use vakt_core::input::Command;
use vakt_core::input::Input;
use vakt_core::input::Sound;
use vakt_core::stamp::Stamp;

/// Sirens sound for three minutes after the last alarm (requirements, "siren").
const SIREN_MS: u64 = 3 * MINUTE;
/// Intrusion detectors settle for a minute after a start of the board (requirements, "restart").
const SETTLING_MS: u64 = MINUTE;
/// Loud inside for so long before a burglary is told (requirements, "entry delay").
const WARNING_MS: u64 = 30 * SECOND;
/// The entry beeps hurry for the last of it (B9).
const HURRY_MS: u64 = 10 * SECOND;
/// A button that tells no release is pressed anew after ten seconds.
const PRESS_MS: u64 = 10 * SECOND;
/// A detector that says so for so long after its alarm was ended alarms anew.
const STILL_MS: u64 = 600 * SECOND;
/// The same event, so many times in a row (requirements, "same event").
const IN_A_ROW: u32 = 3;

/// A delay, honest across a restart: in another boot only two trusted clocks prove how much of it has passed.
#[derive(Debug, Clone, Copy)]
struct Delay {
    from: Stamp,
    ms: u64,
}

impl Delay {
    fn left(&self, now: Stamp) -> Option<u64> {
        let passed = match self.from.boot == now.boot {
            true => now.mono_ms - self.from.mono_ms,
            false if self.from.trusted && now.trusted => u64::try_from(now.wall_ms - self.from.wall_ms).unwrap_or(0),
            false => return None,
        };
        Some(self.ms.saturating_sub(passed))
    }

    fn over(&self, now: Stamp) -> bool {
        self.left(now) == Some(0)
    }

    fn begin_again_if_unproven(&mut self, now: Stamp) {
        if self.left(now).is_none() {
            self.from = now;
        }
    }
}

#[derive(Debug, Clone)]
enum Guard {
    Off,
    Leaving(Delay),
    On(ArmMode),
    Entry(ArmMode, Delay, DeviceId),
    /// Loud inside; then a burglary.
    Warning(ArmMode, Delay, DeviceId),
    Alarm(ArmMode),
}

impl Guard {
    fn mode(&self) -> Option<ArmMode> {
        match self {
            Guard::Off | Guard::Leaving(_) => None,
            Guard::On(mode) | Guard::Entry(mode, ..) | Guard::Warning(mode, ..) | Guard::Alarm(mode) => Some(*mode),
        }
    }
}

#[derive(Debug, Clone)]
struct Area {
    entry_ms: u64,
    guard: Guard,
    /// Zones that somebody armed in spite of.
    passed_over: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct Detector {
    model: &'static Model,
    said: Option<DeviceState>,
    at: Stamp,
    tamper: bool,
    /// How often it has raised each kind since its area was last armed or disarmed.
    raised: BTreeMap<AlarmKind, u32>,
    /// When somebody ended what it raised while it still said so.
    closed: Option<Stamp>,
}

#[derive(Debug, Clone)]
struct Incident {
    kind: AlarmKind,
    area: Option<String>,
    armed: bool,
    sounds: Delay,
    hushed: bool,
    by: BTreeSet<DeviceId>,
}

/// An alarm that must be raised.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Must {
    kind: AlarmKind,
    device: Option<DeviceId>,
    armed: bool,
}

/// Everything it believes.
#[derive(Debug, Clone, Default)]
pub(super) struct Oracle {
    areas: BTreeMap<String, Area>,
    detectors: BTreeMap<DeviceId, Detector>,
    incidents: BTreeMap<EventId, Incident>,
    settles: Option<Delay>,
    boot: Option<u32>,
}

type Agrees = Result<(), String>;

impl Oracle {
    /// A site that was just installed, everything off.
    pub(super) fn new(now: Stamp, areas: &[(&str, u64)]) -> Self {
        let area = |entry_s| Area { entry_ms: entry_s * SECOND, guard: Guard::Off, passed_over: BTreeSet::new() };
        let detector =
            |model| Detector { model, said: None, at: now, tamper: false, raised: BTreeMap::new(), closed: None };
        Self {
            areas: areas.iter().map(|(id, entry_s)| ((*id).to_owned(), area(*entry_s))).collect(),
            detectors: MODELS.iter().map(|model| (model.device(), detector(model))).collect(),
            incidents: BTreeMap::new(),
            settles: None,
            boot: Some(now.boot),
        }
    }

    /// One turn: what reached the hub, and what it wrote down. The disk may be failing; then what guards nothing may
    /// find no room.
    pub(super) fn turn(&mut self, now: Stamp, inputs: &[Input], events: &[Event], disk_well: bool) -> Agrees {
        let mut must = Vec::new();
        let first = |input: &Input| matches!(input, Input::JournalBegun { .. } | Input::Started { .. });
        if inputs.iter().any(|input| !first(input)) {
            self.what_ran_out(now, events, &mut must)?;
        }
        for input in inputs {
            match input {
                Input::Report(report) => self.word(now, report, events, disk_well, &mut must)?,
                // Help is called whatever else holds (B2).
                Input::Command { command: Command::Sos { .. }, .. } => {
                    must.push(Must { kind: AlarmKind::Sos, device: None, armed: false });
                }
                Input::Command { .. } => self.deed(now, events),
                Input::Warrant(_) => {
                    // Whether it is obeyed is judged elsewhere; if it is, it is no false alarm.
                    let called = |event: &&Event| matches!(event.fact, Fact::AlarmRaised { kind: AlarmKind::Sos, .. });
                    if events.iter().any(|event| called(&event) && event.device.is_none()) {
                        must.push(Must { kind: AlarmKind::Sos, device: None, armed: false });
                    }
                    self.deed(now, events);
                }
                Input::Started { .. } => self.started(now),
                _ => {}
            }
        }
        for event in events {
            self.told(now, event, &mut must)?;
        }
        match must.first() {
            Some(Must { kind, device, .. }) => Err(format!("{device:?} must raise {kind:?}, and nothing was told")),
            None => Ok(()),
        }
    }

    fn started(&mut self, now: Stamp) {
        if self.boot.replace(now.boot) != Some(now.boot) {
            self.settles = Some(Delay { from: now, ms: SETTLING_MS });
        }
        for area in self.areas.values_mut() {
            if let Guard::Leaving(until) | Guard::Entry(_, until, _) | Guard::Warning(_, until, _) = &mut area.guard {
                until.begin_again_if_unproven(now);
            }
        }
        self.incidents.values_mut().for_each(|incident| incident.sounds.begin_again_if_unproven(now));
    }

    fn what_ran_out(&mut self, now: Stamp, events: &[Event], must: &mut Vec<Must>) -> Agrees {
        let mut burglaries = Vec::new();
        let mut periods = Vec::new();
        for (id, area) in &mut self.areas {
            let of_it = |event: &&Event| event.area.as_ref().is_some_and(|area| area.as_str() == id);
            match &area.guard {
                // Armed sooner, when the last bolt is home.
                Guard::Leaving(until)
                    if until.over(now)
                        || events.iter().filter(of_it).any(|event| matches!(event.fact, Fact::AreaArmed { .. })) =>
                {
                    // The doors are being locked first.
                    let locks = events.iter().filter(of_it).find_map(|event| match &event.fact {
                        Fact::LockingStarted { delay, .. } => Some(u64::from(delay.seconds) * SECOND),
                        _ => None,
                    });
                    if let Some(ms) = locks {
                        area.guard = Guard::Leaving(Delay { from: now, ms });
                        continue;
                    }
                    let told = events.iter().filter(of_it).find_map(|event| match event.fact {
                        Fact::AreaArmed { mode } => Some(Some(mode)),
                        Fact::ArmFailed { .. } => Some(None),
                        _ => None,
                    });
                    match told {
                        Some(Some(mode)) => {
                            area.guard = Guard::On(mode);
                            periods.push(id.clone());
                        }
                        Some(None) => (area.guard, area.passed_over) = (Guard::Off, BTreeSet::new()),
                        None => return Err(format!("the exit delay of {id} ran out, and nobody was told what then")),
                    }
                }
                Guard::Entry(mode, until, device)
                    if until.over(now) && !(Delay { ms: until.ms + WARNING_MS, ..*until }).over(now) =>
                {
                    if !events.iter().filter(of_it).any(|event| matches!(event.fact, Fact::LocalWarning { .. })) {
                        return Err(format!("the entry delay of {id} ran out, and it is not loud inside"));
                    }
                    area.guard = Guard::Warning(*mode, Delay { from: now, ms: WARNING_MS }, device.clone());
                }
                Guard::Entry(mode, until, device) | Guard::Warning(mode, until, device) if until.over(now) => {
                    burglaries.push(device.clone());
                    area.guard = Guard::Alarm(*mode);
                }
                _ => {}
            }
        }
        periods.iter().for_each(|area| self.new_period(area));
        burglaries.into_iter().for_each(|device| self.raise(AlarmKind::Burglary, &device, must));
        if self.settles.is_some_and(|until| until.over(now)) {
            self.settles = None;
            let woke = |detector: &Detector| {
                let active = matches!(detector.said, Some(DeviceState::Open | DeviceState::Alarm));
                active && detector.model.intrusion() && detector.at.boot == now.boot
            };
            let woke: Vec<DeviceId> =
                self.detectors.iter().filter(|(_, detector)| woke(detector)).map(|(id, _)| id.clone()).collect();
            for id in woke {
                self.intrudes(now, &id, events, must)?;
            }
        }
        Ok(())
    }

    /// A detector's word.
    fn word(&mut self, now: Stamp, report: &Report, events: &[Event], well: bool, must: &mut Vec<Must>) -> Agrees {
        let id = &report.device;
        let Some(detector) = self.detectors.get_mut(id) else { return Ok(()) };
        let of_it = |event: &&Event| event.device.as_ref() == Some(id);
        if let Some(state) = report.state {
            let pressed_anew = detector.model.kind == DeviceKind::Sos
                && state == DeviceState::Alarm
                && (detector.at.boot != now.boot || now.mono_ms - detector.at.mono_ms >= PRESS_MS);
            // Closed by mistake: it goes on.
            let goes_on = state == DeviceState::Alarm
                && detector.closed.is_some_and(|from| Delay { from, ms: STILL_MS }.over(now))
                && around_the_clock(detector.model.kind).is_some();
            let news = detector.said != Some(state) || pressed_anew || goes_on;
            let written = events.iter().filter(of_it).any(|event| matches!(event.fact, Fact::DeviceChanged { .. }));
            if news && (well || written) {
                (detector.said, detector.at, detector.closed) = (Some(state), now, None);
                if matches!(state, DeviceState::Open | DeviceState::Alarm) {
                    match around_the_clock(detector.model.kind) {
                        Some(kind) => self.raise(kind, id, must),
                        None if detector.model.intrusion() => self.intrudes(now, id, events, must)?,
                        None => {}
                    }
                }
            }
        }
        let Some(detector) = self.detectors.get_mut(id) else { return Ok(()) };
        match report.tamper {
            Some(true) if !detector.tamper => {
                detector.tamper = true;
                self.raise(AlarmKind::Tamper, id, must);
            }
            Some(false) if detector.tamper => {
                let written = |event: &Event| matches!(event.fact, Fact::AlarmRestored { kind: AlarmKind::Tamper, .. });
                detector.tamper = !well && !events.iter().filter(of_it).any(written);
            }
            _ => {}
        }
        Ok(())
    }

    fn intrudes(&mut self, now: Stamp, id: &DeviceId, events: &[Event], must: &mut Vec<Must>) -> Agrees {
        let Some((zone, area_id, role)) = self.detectors[id].model.place else { return Ok(()) };
        let Some(area) = self.areas.get_mut(area_id) else { return Ok(()) };
        let Some(mode) = area.guard.mode() else { return Ok(()) };
        let guards = match role {
            ZoneRole::EntryDoor | ZoneRole::Perimeter => true,
            ZoneRole::EntryRoute | ZoneRole::Interior => mode == ArmMode::Away,
            ZoneRole::Always => false,
        };
        if !guards || area.passed_over.contains(zone) || self.settles.is_some() {
            return Ok(());
        }
        match (role, &area.guard) {
            (ZoneRole::EntryDoor, Guard::On(_)) if area.entry_ms > 0 => {
                area.guard = Guard::Entry(mode, Delay { from: now, ms: area.entry_ms }, id.clone());
                let told = |event: &Event| {
                    matches!(event.fact, Fact::EntryStarted { .. }) && event.device.as_ref() == Some(id)
                };
                // B7: told at once, because the hub may not live to see its end.
                if events.iter().any(told) { Ok(()) } else { Err(format!("{id} opened, and no entry was told")) }
            }
            (ZoneRole::EntryDoor | ZoneRole::EntryRoute, Guard::Entry(..) | Guard::Warning(..)) => Ok(()),
            _ => {
                self.raise(AlarmKind::Burglary, id, must);
                Ok(())
            }
        }
    }

    /// An alarm must be told, unless the same one has been three times in a row and nobody's life hangs on it.
    fn raise(&mut self, kind: AlarmKind, id: &DeviceId, must: &mut Vec<Must>) {
        let Some(detector) = self.detectors.get_mut(id) else { return };
        if !super::checks::life(kind) {
            let raised = detector.raised.entry(kind).or_default();
            if *raised >= IN_A_ROW {
                return;
            }
            *raised += 1;
        }
        let area = detector.model.place.and_then(|(_, area, _)| self.areas.get_mut(area));
        let armed = area.as_ref().is_some_and(|area| area.guard.mode().is_some());
        if let (AlarmKind::Burglary, Some(area)) = (kind, area)
            && let Some(mode) = area.guard.mode()
        {
            area.guard = Guard::Alarm(mode);
        }
        must.push(Must { kind, device: Some(id.clone()), armed });
    }

    /// A person did something: what the hub told people then is taken from it.
    fn deed(&mut self, now: Stamp, events: &[Event]) {
        for event in events.iter().filter(|event| event.method.is_some()) {
            let Some(area) = event.area.as_ref().and_then(|id| self.areas.get_mut(id.as_str())) else { continue };
            let fresh = matches!(area.guard, Guard::Off | Guard::Leaving(_));
            match &event.fact {
                Fact::ExitStarted { delay, .. } if fresh => {
                    area.guard = Guard::Leaving(Delay { from: now, ms: u64::from(delay.seconds) * SECOND });
                }
                Fact::AreaArmed { mode } if fresh => area.guard = Guard::On(*mode),
                Fact::ArmOverridden { causes, .. } => {
                    let open = causes.iter().filter(|cause| cause.why == CauseKind::Active);
                    area.passed_over =
                        open.filter_map(|cause| Some(cause.zone.as_ref()?.as_str().to_owned())).collect();
                    continue;
                }
                Fact::AreaDisarmed { .. } => (area.guard, area.passed_over) = (Guard::Off, BTreeSet::new()),
                _ => continue,
            }
            if !matches!(event.fact, Fact::ExitStarted { .. }) {
                let id = event.area.as_ref().map_or("", |id| id.as_str()).to_owned();
                self.new_period(&id);
            }
        }
    }

    fn new_period(&mut self, area: &str) {
        // What has no place belongs to every area.
        let of_it = |detector: &&mut Detector| detector.model.place.is_none_or(|(_, at, _)| at == area);
        self.detectors.values_mut().filter(of_it).for_each(|detector| detector.raised.clear());
    }

    /// What was written down: each alarm must be one that had to be raised, and incidents are kept for the sirens' sake.
    fn told(&mut self, now: Stamp, event: &Event, must: &mut Vec<Must>) -> Agrees {
        let area = event.area.as_ref().map(|area| area.as_str().to_owned());
        match &event.fact {
            Fact::AlarmRaised { kind: AlarmKind::Tamper, tags, .. }
                // Ten wrong codes, or silence while it guards: nobody's word.
                if event.device.is_none() || tags.contains(&Tag::Missing) =>
            {
                let armed = area.as_ref().and_then(|id| self.areas.get(id)).is_some_and(|area| area.guard.mode().is_some());
                self.sounds(now, event, AlarmKind::Tamper, armed, None);
            }
            Fact::AlarmRaised { kind, continues, .. } => {
                let at = must.iter().position(|must| must.kind == *kind && must.device == event.device);
                let Some(at) = at else {
                    return Err(format!("{:?} raised {kind:?} for no reason", event.device));
                };
                let armed = must.remove(at).armed;
                self.sounds(now, event, *kind, armed, *continues);
            }
            Fact::IncidentCleared { .. } | Fact::IncidentCancelled { .. } | Fact::IncidentClosed { .. } => {
                let Some(ended) = event.incident.and_then(|id| self.incidents.remove(&id)) else { return Ok(()) };
                for detector in self.detectors.iter_mut().filter(|(id, _)| ended.by.contains(*id)).map(|(_, of)| of) {
                    detector.raised.remove(&ended.kind);
                    detector.closed = (detector.said == Some(DeviceState::Alarm)).then_some(now);
                }
            }
            Fact::SirenStopped {} => {
                let meant = |of: &Option<String>| area.is_none() || of.is_none() || *of == area;
                let heard = self.incidents.values_mut().filter(|incident| meant(&incident.area));
                heard.for_each(|incident| incident.hushed = true);
            }
            Fact::AreaDisarmed { .. } => {
                use AlarmKind::{Burglary, KeyBox, Tamper};
                let ends = |of: &&mut Incident| matches!(of.kind, Burglary | Tamper | KeyBox) && of.area == area;
                self.incidents.values_mut().filter(ends).for_each(|incident| incident.hushed = true);
            }
            // The door they left by has closed behind them.
            Fact::ExitShortened { delay } => {
                let guard = area.as_ref().and_then(|id| self.areas.get_mut(id)).map(|area| &mut area.guard);
                let Some(Guard::Leaving(until)) = guard else {
                    return Err(format!("{:?} shortened an exit that nobody takes", event.device));
                };
                *until = Delay { from: now, ms: u64::from(delay.seconds) * SECOND };
            }
            // A tamper beyond the third in a row is told as a fault.
            Fact::FaultRaised { fault: DeviceFault::Tamper } => {}
            _ => {}
        }
        Ok(())
    }

    /// An alarm is kept for the sirens' sake, and for what its detectors may say once it has ended.
    fn sounds(&mut self, now: Stamp, event: &Event, kind: AlarmKind, armed: bool, continues: Option<EventId>) {
        let id = event.incident.unwrap_or(event.id);
        let old = [continues, Some(id)].into_iter().flatten().filter_map(|old| self.incidents.remove(&old));
        let by = old.flat_map(|old| old.by).chain(event.device.clone()).collect();
        let area = event.area.as_ref().map(|area| area.as_str().to_owned());
        let sounds = Delay { from: now, ms: SIREN_MS };
        self.incidents.insert(id, Incident { kind, area, armed, sounds, hushed: false, by });
    }

    /// What must be heard (B9).
    pub(super) fn sound(&self, now: Stamp) -> Option<Sound> {
        let sounding = self.incidents.values().filter(|incident| !incident.hushed).filter_map(|incident| {
            use AlarmKind::{Burglary, Co, Fire, Freeze, Gas, KeyBox, Medical, Sos, Tamper, Water};
            match incident.kind {
                Fire | Co | Gas => Some(Sound::Fire),
                _ if incident.sounds.over(now) => None,
                Burglary => Some(Sound::Burglary),
                Tamper | KeyBox if incident.armed => Some(Sound::Burglary),
                Tamper | KeyBox => Some(Sound::TamperBeep),
                Water | Freeze => Some(Sound::Water),
                Sos | Medical => Some(Sound::SosTone),
                AlarmKind::HoldUp | AlarmKind::Duress => None,
            }
        });
        let areas = self.areas.values().filter_map(|area| match &area.guard {
            Guard::Entry(_, until, _) => {
                let hurries = Delay { ms: until.ms.saturating_sub(HURRY_MS), ..*until }.over(now);
                Some(if hurries { Sound::EntryHurry } else { Sound::EntryBeep })
            }
            Guard::Warning(..) => Some(Sound::Warning),
            _ => None,
        });
        sounding.chain(areas).max()
    }

    /// A delay that ran out longer ago than `grace_ms`, and nothing came of it.
    pub(super) fn overdue(&self, now: Stamp, grace_ms: u64) -> Option<&str> {
        let late = |until: &Delay| Delay { ms: until.ms + grace_ms, ..*until }.over(now);
        let late = self.areas.iter().find(|(_, area)| match &area.guard {
            Guard::Leaving(until) | Guard::Entry(_, until, _) | Guard::Warning(_, until, _) => late(until),
            _ => false,
        });
        late.map(|(id, _)| id.as_str())
    }

    /// Whether this area must be in alarm.
    pub(super) fn in_alarm(&self, area: &str) -> bool {
        self.areas.get(area).is_some_and(|area| matches!(area.guard, Guard::Alarm(_)))
    }

    /// Whether this area guards.
    pub(super) fn guards(&self, area: &str) -> bool {
        self.areas.get(area).is_some_and(|area| area.guard.mode().is_some())
    }
}

fn around_the_clock(kind: DeviceKind) -> Option<AlarmKind> {
    match kind {
        DeviceKind::Smoke | DeviceKind::Heat => Some(AlarmKind::Fire),
        DeviceKind::Co => Some(AlarmKind::Co),
        DeviceKind::Gas => Some(AlarmKind::Gas),
        DeviceKind::Sos => Some(AlarmKind::Sos),
        DeviceKind::Water => Some(AlarmKind::Water),
        DeviceKind::Medical => Some(AlarmKind::Medical),
        DeviceKind::Freeze => Some(AlarmKind::Freeze),
        DeviceKind::KeyBox => Some(AlarmKind::KeyBox),
        _ => None,
    }
}
