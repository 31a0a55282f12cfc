//! What the hub knows: a fold over the events, and nothing else.
//!
//! `apply` contains no judgement: it never looks at the clock, never refuses, never decides. So a journal written by
//! an older program replays under this one, and `replay(journal) == live state` can be asserted.

use crate::alarm::camera_window;
use crate::alarm::incident;
use crate::alarm::incident::Incident;
use crate::alarm::incident::SIREN_MS;
use crate::alarm::incident::SOURCES_MAX;
use crate::alarm::service;
use crate::alarm::service::Standing;
use crate::alarm::warrant;
use crate::alarm::warrant::Spent;
use crate::device::{AreaId, DeviceFault, DeviceId, DeviceKind, DeviceState, UserId, ZoneId};
use crate::event::{Act, AlarmKind, ArmMode, Cause, CauseKind, Event, EventId, Fact, Method, Profile, Service};
use crate::event::{UserRole, ZoneRole};
use crate::input::Sound;
use crate::stamp::{Deadline, Stamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The version of this shape in snapshots. A snapshot of another version is passed over and the journal replayed.
pub const STATE_VERSION: u32 = 3;

/// Within this time of its last alarm an incident is joined; later alarms open one that continues it (B17), in ms.
const JOIN_MS: u64 = 10 * 60_000;

/// After a start of the board intrusion detectors settle for so long (requirements, "restart"), in ms.
const SETTLING_MS: u64 = 60_000;

/// How many late alarms are remembered so that each is told once. The oldest is forgotten first.
const OVERDUE_MAX: usize = 64;

/// Why the names of events are kept small in the state: it is snapshotted whole.
pub(crate) type Areas = BTreeMap<AreaId, Area>;

/// Everything the panel knows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// What is armed together.
    pub areas: Areas,
    /// Detectors' places.
    pub zones: BTreeMap<ZoneId, Zone>,
    /// Detectors.
    pub devices: BTreeMap<DeviceId, Device>,
    /// People.
    pub users: BTreeMap<UserId, User>,
    /// Issuers' keys by kid.
    pub keys: BTreeMap<String, Key>,
    /// Open incidents by the id of their opening event.
    pub incidents: BTreeMap<EventId, Incident>,
    /// While it runs, devices not known yet are listed.
    pub permit: Option<Deadline>,
    /// Paths to the centre: why each is down, `None` when it is up.
    pub paths: BTreeMap<String, Option<String>>,
    /// Receivers that do not work, and why.
    pub receivers_down: BTreeMap<String, String>,
    /// Why the disk is not relied on, while it is not.
    pub disk_down: Option<String>,
    /// Wrong codes by source.
    pub codes: BTreeMap<String, Codes>,
    /// Acts released and not answered.
    pub acts: BTreeMap<EventId, Sent>,
    /// Alarms already told to be late.
    pub overdue: Vec<EventId>,
    /// Whether the daemon last went down in good order.
    pub stopped: bool,
    /// The policy of the site's country.
    pub profile: Option<Profile>,
    /// After a start of the board intrusion detectors are only watched until this is over: some wake with a false word.
    pub settling: Option<Deadline>,
    /// The board's last start that was seen.
    pub booted: Option<u32>,
    /// The site's standing.
    pub standing: Standing,
    /// Warrants that have had their answer, by jti.
    pub warrants: BTreeMap<String, Spent>,
    /// The latest time the clock has been trusted to show, in ms since 1970: it is not earlier.
    pub clock_floor_ms: Option<i64>,
}

/// What is armed together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Area {
    /// Seconds to disarm after coming in.
    pub entry_s: u32,
    /// Seconds to leave after arming.
    pub exit_s: u32,
    /// Where it stands.
    pub arming: Arming,
    /// Who was last refused, until it is armed or disarmed: the same code again overrides (B18).
    pub refused: Option<RefusedArm>,
    /// What somebody armed in spite of, until it is disarmed.
    pub overridden: Vec<Cause>,
}

/// An arming that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RefusedArm {
    pub user: Option<UserId>,
    pub at: Stamp,
    pub mode: ArmMode,
    pub causes: Vec<Cause>,
}

/// Where an area stands.
///
/// ```text
///  unknown ──────────────┐ (journal lost, nothing signed says what it was)
///                        ▼
///  disarmed ──arm──▶ exit ──due──▶ armed ──entry door──▶ entry ──due──▶ alarm
///     ▲                │             │ └──another detector─────────────▶  │
///     └────disarm──────┴─────────────┴──────────────────────┴─────────────┘
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arming {
    /// Nobody can say; 24-hour detectors work all the same.
    Unknown,
    /// Intrusion detectors are only watched.
    Disarmed,
    /// People are leaving.
    Exit {
        /// How it will guard.
        mode: ArmMode,
        /// When it does.
        until: Deadline,
        /// Who armed it (R82).
        user: Option<UserId>,
        /// And how.
        method: Option<Method>,
    },
    /// It guards.
    Armed {
        /// How.
        mode: ArmMode,
    },
    /// Somebody came in by the entry door.
    Entry {
        /// How it guarded.
        mode: ArmMode,
        /// When it becomes a burglary.
        until: Deadline,
        /// The door.
        zone: Option<ZoneId>,
        /// The door's detector.
        device: Option<DeviceId>,
    },
    /// A burglary was raised since it was armed.
    Alarm {
        /// How it guarded.
        mode: ArmMode,
    },
}

/// A detector's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Zone {
    pub area: AreaId,
    pub role: ZoneRole,
}

/// A detector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// What it watches for, as it was added.
    pub kind: DeviceKind,
    /// Where its key is among the secrets.
    pub secret: Option<String>,
    /// Its place.
    pub zone: Option<ZoneId>,
    /// What it last said; `None` before its first word.
    pub state: Option<DeviceState>,
    /// Under which kind it said so: a housing that watches for smoke and CO tells both, and one must not hide the other.
    pub spoke_as: Option<DeviceKind>,
    /// What keeps it from its work.
    pub faults: BTreeSet<DeviceFault>,
    /// When it said so; a fault is no word about what it watches.
    pub changed: Option<Stamp>,
    /// Alarms of intrusion and technical kinds it has raised since its area was last armed or disarmed.
    pub raised: u32,
    /// That there were too many has been told.
    pub suppressed: bool,
    /// When it was added.
    pub added: Option<Stamp>,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct User {
    pub role: UserRole,
}

/// A key of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Key {
    pub role: String,
    pub ed25519: String,
    /// By a warrant, not by the install facts.
    pub added: bool,
}

/// Wrong codes at one source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Codes {
    pub wrong: u32,
    pub blocked: Option<Deadline>,
}

/// An act on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Sent {
    pub act: Act,
    pub at: Stamp,
    pub device: Option<DeviceId>,
}

impl State {
    /// The site's standing.
    pub fn service(&self) -> Service {
        self.standing.service()
    }

    /// What is to be heard at this moment. Standing: it follows from the state alone, so it is the same after a crash.
    pub fn sound(&self, now: Stamp) -> Option<Sound> {
        let incidents = self.incidents.values().filter(|incident| !incident.silenced);
        let entry = self.areas.values().any(|area| matches!(area.arming, Arming::Entry { .. }));
        incidents.filter_map(|incident| incident.sound(now)).chain(entry.then_some(Sound::EntryBeep)).max()
    }

    /// Applies one recorded fact. The only place where state changes.
    pub fn apply(&mut self, event: &Event) {
        self.stopped = matches!(event.fact, Fact::HubStopped {});
        camera_window::apply(self, event);
        incident::apply(self, event);
        service::apply(self, event);
        warrant::apply(self, event);
        match &event.fact {
            Fact::ExitStarted { .. }
            | Fact::AreaArmed { .. }
            | Fact::ArmFailed { .. }
            | Fact::ArmOverridden { .. }
            | Fact::EntryStarted { .. }
            | Fact::AreaDisarmed { .. }
            | Fact::AlarmRaised { .. }
            | Fact::AlarmRestored { .. }
            | Fact::SirenStopped {} => self.apply_alarm(event),
            Fact::AreaSet { .. }
            | Fact::ZoneSet { .. }
            | Fact::UserSet { .. }
            | Fact::UserRemoved {}
            | Fact::PermitOpened { .. }
            | Fact::PermitClosed {}
            | Fact::DeviceAdded { .. }
            | Fact::DeviceAssigned {}
            | Fact::DeviceRemoved {}
            | Fact::KeyListed { .. }
            | Fact::KeyWithdrawn { .. } => self.apply_install(event),
            Fact::DeviceChanged { kind, state } => self.device(event, |device| {
                device.state = Some(*state);
                device.spoke_as = Some(*kind);
                device.changed = Some(event.stamp);
            }),
            Fact::FaultRaised { fault } => self.device(event, |device| {
                let _ = device.faults.insert(*fault);
            }),
            Fact::FaultCleared { fault } => self.device(event, |device| {
                let _ = device.faults.remove(fault);
            }),
            Fact::Settled {} => self.settling = None,
            Fact::ProfileSet { profile } => self.profile = Some(*profile),
            Fact::AlarmSuppressed { .. } => self.device(event, |device| device.suppressed = true),
            Fact::CodeRefused { source } => self.codes.entry(source.clone()).or_default().wrong += 1,
            Fact::CodeBlocked { source, delay } => {
                self.codes.insert(source.clone(), Codes { wrong: 0, blocked: Some(delay.deadline(event.stamp)) });
            }
            _ => self.apply_hub(event),
        }
    }

    fn device(&mut self, event: &Event, change: impl FnOnce(&mut Device)) {
        if let Some(device) = event.device.as_ref().and_then(|id| self.devices.get_mut(id)) {
            change(device);
        }
    }

    fn area(&mut self, event: &Event) -> Option<&mut Area> {
        self.areas.get_mut(event.area.as_ref()?)
    }

    fn apply_alarm(&mut self, event: &Event) {
        match &event.fact {
            Fact::ExitStarted { mode, delay } => {
                self.code_given(event);
                let (user, method) = (event.user.clone(), event.method);
                let arming = Arming::Exit { mode: *mode, until: delay.deadline(event.stamp), user, method };
                self.area(event).into_iter().for_each(|area| area.arming = arming.clone());
            }
            Fact::AreaArmed { mode } => {
                // At the end of an exit delay nobody gives a code: it was given when the delay began.
                if !matches!(self.area(event), Some(Area { arming: Arming::Exit { .. }, .. })) {
                    self.code_given(event);
                }
                self.area(event).into_iter().for_each(|area| area.arming = Arming::Armed { mode: *mode });
                self.new_period(event);
            }
            Fact::ArmFailed { mode, causes } => {
                let (user, at, mode, causes) = (event.user.clone(), event.stamp, *mode, causes.clone());
                let refused = Some(RefusedArm { user, at, mode, causes });
                if let Some(area) = self.area(event) {
                    (area.arming, area.refused, area.overridden) = (Arming::Disarmed, refused, Vec::new());
                }
            }
            Fact::ArmOverridden { causes, .. } => {
                if let Some(area) = self.area(event) {
                    (area.refused, area.overridden) = (None, causes.clone());
                }
            }
            Fact::EntryStarted { delay, .. } => {
                let (zone, device) = (event.zone.clone(), event.device.clone());
                if let Some(area) = self.area(event)
                    && let Some(mode) = area.arming.guarding()
                {
                    area.arming = Arming::Entry { mode, until: delay.deadline(event.stamp), zone, device };
                }
            }
            Fact::AreaDisarmed { .. } => {
                self.code_given(event);
                if let Some(area) = self.area(event) {
                    (area.arming, area.refused, area.overridden) = (Arming::Disarmed, None, Vec::new());
                }
                self.new_period(event);
                for incident in self.incidents.values_mut().filter(|incident| incident.area == event.area) {
                    incident.silenced |=
                        matches!(incident.kind, AlarmKind::Burglary | AlarmKind::Tamper | AlarmKind::KeyBox);
                    if incident.kind == AlarmKind::Burglary {
                        // Two mistakes in two evenings are no burglar.
                        incident.sources.clear();
                    }
                }
            }
            Fact::AlarmRaised { kind, continues, .. } => self.apply_raised(event, *kind, *continues),
            Fact::AlarmRestored { kind: AlarmKind::Tamper, .. } => {
                self.device(event, |device| {
                    let _ = device.faults.remove(&DeviceFault::Tamper);
                });
            }
            Fact::SirenStopped {} => {
                self.code_given(event);
                // A detector without a place belongs to every area: whoever hushes one means it too.
                let all = event.area.is_none();
                let meant = |of: &Option<AreaId>| all || of.is_none() || *of == event.area;
                let heard = self.incidents.values_mut().filter(|incident| meant(&incident.area));
                heard.for_each(|incident| incident.silenced = true);
            }
            _ => {}
        }
    }

    /// The area was armed or disarmed: what its detectors have said too often counts from here.
    fn new_period(&mut self, event: &Event) {
        let Self { devices, zones, .. } = self;
        let of_it = |zone: &ZoneId| zones.get(zone).map(|zone| &zone.area) == event.area.as_ref();
        for device in devices.values_mut().filter(|device| device.zone.as_ref().is_some_and(&of_it)) {
            (device.raised, device.suppressed) = (0, false);
        }
    }

    fn apply_raised(&mut self, event: &Event, kind: AlarmKind, continues: Option<EventId>) {
        let armed = self.area(event).is_some_and(|area| area.arming.guarding().is_some());
        if kind == AlarmKind::Tamper {
            self.device(event, |device| {
                let _ = device.faults.insert(DeviceFault::Tamper);
            });
        }
        if kind == AlarmKind::Burglary
            && let Some(area) = self.area(event)
            && let Some(mode) = area.arming.guarding()
        {
            area.arming = Arming::Alarm { mode };
        }
        if let Some(old) = continues {
            self.incidents.remove(&old);
        }
        let id = event.incident.unwrap_or(event.id);
        let incident = self.incidents.entry(id).or_insert_with(|| Incident {
            kind,
            area: event.area.clone(),
            opened: event.stamp,
            last: event.stamp,
            alarms: 0,
            armed,
            sounding: Deadline::after(event.stamp, SIREN_MS),
            joined: Deadline::after(event.stamp, JOIN_MS),
            silenced: false,
            sources: BTreeMap::new(),
            evidence: BTreeSet::new(),
            said_false: false,
            window_used: false,
            window_closed: false,
        });
        incident.sounding = Deadline::after(event.stamp, SIREN_MS);
        incident.joined = Deadline::after(event.stamp, JOIN_MS);
        incident.last = event.stamp;
        incident.alarms += 1;
        if let Some(device) = &event.device
            && (incident.sources.len() < SOURCES_MAX || incident.sources.contains_key(device))
        {
            incident.sources.insert(device.clone(), event.stamp);
        }
        incident.armed = armed;
        incident.silenced = false;
        if kind.is_limited() {
            self.device(event, |device| device.raised += 1);
        }
    }

    fn code_given(&mut self, event: &Event) {
        // Any right code clears the count of wrong ones: the person at the keypad has shown who he is.
        if event.user.is_some() {
            self.codes.retain(|_, codes| codes.blocked.is_some());
            self.codes.values_mut().for_each(|codes| codes.wrong = 0);
        }
    }

    fn apply_install(&mut self, event: &Event) {
        match &event.fact {
            Fact::AreaSet { entry_s, exit_s } => {
                let Some(id) = event.area.clone() else { return };
                let arming = self.areas.get(&id).map_or(Arming::Disarmed, |area| area.arming.clone());
                let (entry_s, exit_s) = (*entry_s, *exit_s);
                self.areas.insert(id, Area { entry_s, exit_s, arming, refused: None, overridden: Vec::new() });
            }
            Fact::ZoneSet { role } => {
                if let (Some(zone), Some(area)) = (event.zone.clone(), event.area.clone()) {
                    self.zones.insert(zone, Zone { area, role: *role });
                }
            }
            Fact::UserSet { role } => {
                let Some(user) = event.user.clone() else { return };
                self.users.insert(user, User { role: *role });
            }
            Fact::UserRemoved {} => {
                let Some(user) = &event.user else { return };
                self.users.remove(user);
            }
            Fact::PermitOpened { seconds, .. } => {
                self.permit = Some(Deadline::after(event.stamp, u64::from(*seconds) * 1000));
            }
            Fact::PermitClosed {} => self.permit = None,
            Fact::DeviceAdded { kind, secret } => {
                let Some(id) = event.device.clone() else { return };
                let old = self.devices.get(&id);
                let device = Device {
                    kind: *kind,
                    secret: secret.clone(),
                    zone: old.and_then(|device| device.zone.clone()),
                    state: None,
                    spoke_as: None,
                    faults: BTreeSet::new(),
                    changed: None,
                    raised: 0,
                    suppressed: false,
                    added: Some(event.stamp),
                };
                self.devices.insert(id, device);
            }
            Fact::DeviceAssigned {} => {
                let zone = event.zone.clone();
                event
                    .device
                    .iter()
                    .filter_map(|id| self.devices.get_mut(id).map(|d| d.zone = zone.clone()))
                    .for_each(drop);
            }
            Fact::DeviceRemoved {} => event.device.iter().for_each(|id| drop(self.devices.remove(id))),
            Fact::KeyListed { kid, role, ed25519 } => {
                let added = event.method.is_some();
                self.keys.insert(kid.clone(), Key { role: role.clone(), ed25519: ed25519.clone(), added });
            }
            Fact::KeyWithdrawn { kid } => drop(self.keys.remove(kid)),
            _ => {}
        }
    }

    fn apply_hub(&mut self, event: &Event) {
        match &event.fact {
            Fact::HubStarted { restarted_delays, .. } => {
                for id in restarted_delays {
                    self.areas.get_mut(id).into_iter().for_each(|area| area.arming.begin_again(event.stamp));
                }
                for incident in self.incidents.values_mut() {
                    // A restart that cannot prove how long it took sounds anew: too long harms less than too short.
                    incident.sounding.restart(event.stamp);
                    incident.joined.restart(event.stamp);
                }
                // Nor may a block stand for ever because the clock it began by is gone.
                self.codes.values_mut().filter_map(|codes| codes.blocked.as_mut()).for_each(|b| b.restart(event.stamp));
                // The board was without power, and so were detectors on its supply.
                let woke = self.booted != Some(event.stamp.boot);
                if woke && self.booted.is_some() {
                    self.settling = Some(Deadline::after(event.stamp, SETTLING_MS));
                }
                self.booted = Some(event.stamp.boot);
                self.disk_down = None;
                self.receivers_down.clear();
                self.paths.clear();
            }
            Fact::JournalRestarted { arm_state_known: false, .. } => {
                self.areas.values_mut().for_each(|area| area.arming = Arming::Unknown);
            }
            Fact::DiskFailed { error } => self.disk_down = Some(error.clone()),
            Fact::DiskRecovered { .. } => self.disk_down = None,
            Fact::ReceiverFailed { receiver, error } => {
                self.receivers_down.insert(receiver.clone(), error.clone());
            }
            Fact::ReceiverRecovered { receiver } => drop(self.receivers_down.remove(receiver)),
            Fact::PathUp { path } => drop(self.paths.insert(path.clone(), None)),
            Fact::PathDown { path, reason } => drop(self.paths.insert(path.clone(), Some(reason.clone()))),
            Fact::CommandSent { act, .. } => {
                let sent = Sent { act: *act, at: event.stamp, device: event.device.clone() };
                self.acts.insert(event.id, sent);
            }
            Fact::CommandConfirmed { command, .. } | Fact::CommandFailed { command, .. } => {
                self.acts.remove(command);
            }
            Fact::NotDeliveredInTime { event: late, .. } => {
                self.overdue.push(*late);
                let over = self.overdue.len().saturating_sub(OVERDUE_MAX);
                self.overdue.drain(..over);
            }
            _ => {}
        }
    }
}

impl Area {
    /// Whether somebody armed although this zone was open: it does not guard, this one time.
    pub fn passes_over(&self, zone: &ZoneId) -> bool {
        self.overridden.iter().any(|cause| cause.why == CauseKind::Active && cause.zone.as_ref() == Some(zone))
    }
}

impl Arming {
    /// How the area guards at this moment, if it does.
    pub fn guarding(&self) -> Option<ArmMode> {
        match self {
            Arming::Armed { mode } | Arming::Entry { mode, .. } | Arming::Alarm { mode } => Some(*mode),
            Arming::Unknown | Arming::Disarmed | Arming::Exit { .. } => None,
        }
    }

    fn begin_again(&mut self, now: Stamp) {
        if let Arming::Exit { until, .. } | Arming::Entry { until, .. } = self {
            until.from = now;
        }
    }
}
