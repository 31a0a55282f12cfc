//! What the hub knows: a fold over the events, and nothing else.
//!
//! `apply` contains no judgement: it never looks at the clock, never refuses, never decides. So a journal written by
//! an older program replays under this one, and `replay(journal) == live state` can be asserted.

use crate::alarm::access;
use crate::alarm::access::User;
use crate::alarm::area;
use crate::alarm::camera_window;
use crate::alarm::detector;
use crate::alarm::fog;
use crate::alarm::fog::Fog;
use crate::alarm::incident;
use crate::alarm::incident::Incident;
use crate::alarm::install;
use crate::alarm::jam;
use crate::alarm::lock;
use crate::alarm::lock::Lock;
use crate::alarm::modem;
use crate::alarm::modem::Modems;
use crate::alarm::outcome;
use crate::alarm::outcome::Outcomes;
use crate::alarm::past::Past;
use crate::alarm::power;
use crate::alarm::power::Power;
use crate::alarm::rules;
use crate::alarm::rules::Rule;
use crate::alarm::schedule;
use crate::alarm::schedule::Schedule;
use crate::alarm::service;
use crate::alarm::service::Standing;
use crate::alarm::warrant;
use crate::alarm::warrant::Spent;
use crate::device::{AreaId, DeviceFault, DeviceId, DeviceKind, DeviceState, Eep, UserId, ZoneId};
use crate::event::{Act, AlarmKind, ArmMode, Cause, CauseKind, Class, Event, EventId, Fact, Method, Profile, Service};
use crate::event::{UserRole, ZoneRole};
use crate::input::Sound;
use crate::stamp::{Deadline, Stamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The version of this shape in snapshots. A new one brings a step from the one before (`STEPS` in journal/record.rs).
pub const STATE_VERSION: u32 = 6;

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
    pub zones: Arc<BTreeMap<ZoneId, Zone>>,
    /// Detectors; shared, because each turn is decided on a copy of the state and changes one of them at most.
    pub devices: Arc<BTreeMap<DeviceId, Arc<Device>>>,
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
    /// It was told that none of several works.
    pub all_paths_down: bool,
    /// Receivers that do not work, and why.
    pub receivers_down: BTreeMap<String, String>,
    /// Why the disk is not relied on, while it is not.
    pub disk_down: Option<String>,
    /// It has little room left.
    pub disk_low: bool,
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
    /// How locks stand and behave.
    pub locks: BTreeMap<DeviceId, Lock>,
    /// Cannons that have fired and not been serviced.
    pub fogs: BTreeMap<DeviceId, Fog>,
    /// Phones, keys, tags and codes that are good for nothing.
    pub blocked: BTreeSet<String>,
    /// Wrong codes in all since the last right one.
    pub wrong_codes: u32,
    /// Codes can be given under threat.
    pub duress: bool,
    /// What the centre was last told and nobody on site may know of.
    pub silent: Vec<EventId>,
    /// The hub's supply.
    pub power: Power,
    /// Modems and their SIM cards.
    pub modems: Modems,
    /// Receivers that somebody jams.
    pub jammed: BTreeSet<String>,
    /// When movement was last seen anywhere, RFC 3339: for whoever comes to help.
    pub last_motion: Option<String>,
    /// How alarms ended, by detector.
    pub outcomes: BTreeMap<DeviceId, Outcomes>,
    /// The site's time zone, by its IANA name.
    pub timezone: Option<String>,
    /// Arming by the clock.
    pub schedules: BTreeMap<String, Schedule>,
    /// The household's own rules.
    pub rules: BTreeMap<String, Rule>,
    /// Warrants that have had their answer, by jti.
    pub warrants: BTreeMap<String, Spent>,
    /// The latest time the clock has been trusted to show, in ms since 1970: it is not earlier.
    pub clock_floor_ms: Option<i64>,
    /// Since when, in this boot, a trusted clock shows an earlier time than that.
    pub clock_behind: Option<Stamp>,
}

/// What is armed together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// Zones that stand aside until it is disarmed.
    pub bypassed: BTreeSet<ZoneId>,
    /// What has happened here and nobody has acknowledged (B25). The newest is not kept when there is too much.
    pub memory: Vec<Remembered>,
    /// When movement was last seen inside.
    pub motion: Option<Stamp>,
    /// When it was last armed.
    pub armed_at: Option<Stamp>,
}

/// An alarm that nobody has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Remembered {
    pub kind: AlarmKind,
    pub zone: Option<ZoneId>,
    pub at: String,
}

impl Remembered {
    pub(crate) fn in_words(&self) -> String {
        let place = self.zone.as_ref().map_or_else(|| "the hub".to_owned(), ToString::to_string);
        let kind = format!("{:?}", self.kind).to_lowercase();
        format!("{kind} at {place}, {}", self.at)
    }
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
///  disarmed ──arm──▶ exit ──due──▶ armed ──entry door──▶ entry ──due──▶ warning ──due──▶ alarm
///     ▲                │             │ └──another detector──────────────────────────────▶  │
///     └────disarm──────┴─────────────┴──────────────────────┴───────────────┴──────────────┘
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arming {
    /// Nobody can say; 24-hour detectors work all the same.
    Unknown,
    /// Intrusion detectors are only watched.
    #[default]
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
        /// People have left; it waits for the doors' bolts.
        locking: bool,
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
    /// The entry delay is over: it is loud inside (requirements, "entry delay").
    Warning {
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
    pub modes: Option<BTreeSet<ArmMode>>,
    pub chime: bool,
}

impl Zone {
    /// Whether it guards in that mode (B19): by its role, unless the site says otherwise.
    pub fn guards(&self, mode: ArmMode) -> bool {
        let by_role = match self.role {
            ZoneRole::EntryDoor | ZoneRole::Perimeter => true,
            ZoneRole::EntryRoute => mode != ArmMode::Home,
            ZoneRole::Interior => mode == ArmMode::Away,
            ZoneRole::Always => return false,
        };
        self.modes.as_ref().map_or(by_role, |modes| modes.contains(&mode))
    }
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
    /// What it last said, or still says that is worse; `None` before its first word.
    pub state: Option<DeviceState>,
    /// The same by kind: a housing that watches for smoke and CO tells both, and one must not hide the other.
    pub said: BTreeMap<DeviceKind, DeviceState>,
    /// When what it raised was closed although it still said so, by kind.
    pub closed: BTreeMap<DeviceKind, Stamp>,
    /// What keeps it from its work.
    pub faults: BTreeSet<DeviceFault>,
    /// When it said so; a fault is no word about what it watches.
    pub changed: Option<Stamp>,
    /// Alarms of intrusion and technical kinds it has raised since its area was last armed or disarmed, by kind: an opened
    /// cover must not use up its burglaries.
    pub raised: BTreeMap<AlarmKind, u32>,
    /// Kinds of which it has been told that there were too many.
    pub suppressed: BTreeSet<AlarmKind>,
    /// When it was added.
    pub added: Option<Stamp>,
    /// Set to pass over pets (R86).
    pub pet: bool,
    /// How its telegrams are read, where they do not say so themselves.
    #[serde(default)]
    pub eep: Option<Eep>,
    /// After so much silence it is missing, in seconds, where that is not what its kind says; 0: never.
    #[serde(default)]
    pub silence_s: Option<u32>,
    /// The last message counter on record: only later ones are its word.
    #[serde(default)]
    pub counter: Option<u32>,
    /// What it remembers of alarms, where it is made for inspection.
    #[serde(default)]
    pub past: Option<Past>,
    /// Its battery is being changed until then.
    pub upkeep: Option<Deadline>,
    /// Its cover is open for that.
    pub cover_open: bool,
    /// That it has never moved for long has been told.
    pub idle: bool,
    /// It began to say so while detectors settled, and has not stopped: looked at when that is over.
    pub woke: bool,
    /// What it last raised was another detector's alarm, repeated.
    pub echo: bool,
}

impl Device {
    /// An incident it raised has ended by somebody's word: its alarms of that kind count from here.
    pub(crate) fn is_heard_out(&mut self, kind: AlarmKind, at: Stamp) {
        self.raised.remove(&kind);
        self.suppressed.remove(&kind);
        let goes_on = |said: &(&DeviceKind, &DeviceState)| {
            *said.1 == DeviceState::Alarm && detector::around_the_clock(*said.0) == Some(kind)
        };
        self.closed.extend(self.said.iter().filter(goes_on).map(|(of, _)| (*of, at)));
    }
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
    /// Whose it is, where it is a person's: it signs for nobody else (R82).
    pub user: Option<UserId>,
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
        let areas = self.areas.values().filter_map(|area| match &area.arming {
            Arming::Entry { .. } if area::hurries_ms(area, now).is_some() => Some(Sound::EntryBeep),
            Arming::Entry { .. } => Some(Sound::EntryHurry),
            Arming::Warning { .. } => Some(Sound::Warning),
            _ => None,
        });
        incidents.filter_map(|incident| incident.sound(now)).chain(areas).max()
    }

    /// Whether the site has an owner, so that nobody claims it any more.
    pub fn has_owner(&self) -> bool {
        self.users.values().any(|user| user.role == UserRole::Owner)
    }

    /// Whether he is an owner, whom only root makes, changes and removes on the spot.
    pub fn is_owner(&self, user: &UserId) -> bool {
        self.users.get(user).is_some_and(|user| user.role == UserRole::Owner)
    }

    /// The open incident of that name, or the one that continues it (B17).
    pub fn incident_of(&self, id: EventId) -> Option<EventId> {
        let continues = || self.incidents.iter().find(|(_, incident)| incident.was.contains(&id)).map(|(id, _)| *id);
        if self.incidents.contains_key(&id) { Some(id) } else { continues() }
    }

    /// Open incidents as whoever is on site may know of them (B1, B8).
    pub fn incidents_on_site(&self) -> impl Iterator<Item = (&EventId, &Incident)> {
        self.incidents.iter().filter(|(_, incident)| !incident.is_hidden())
    }

    /// Applies one recorded fact. The only place where state changes.
    pub fn apply(&mut self, event: &Event) {
        self.stopped = matches!(event.fact, Fact::HubStopped {});
        camera_window::apply(self, event);
        outcome::apply(self, event);
        incident::apply(self, event);
        warrant::apply(self, event);
        access::apply(self, event);
        area::apply(self, event);
        install::apply(self, event);
        self.apply_device(event);
        self.apply_hub(event);
        lock::apply(self, event);
        fog::apply(self, event);
        modem::apply(self, event);
        power::apply(self, event);
        jam::apply(self, event);
        schedule::apply(self, event);
        rules::apply(self, event);
        // After the paths: it asks whether any is left.
        service::apply(self, event);
    }

    fn apply_device(&mut self, event: &Event) {
        match &event.fact {
            Fact::DeviceChanged { kind, state, counter } => {
                let settling = self.settling.is_some();
                self.device(event, |device| {
                    let active = matches!(state, DeviceState::Open | DeviceState::Alarm);
                    // A second power cut must not make an old word of it.
                    device.woke = active && (settling || device.woke);
                    device.said.insert(*kind, *state);
                    let worse = |said: &&DeviceState| matches!(said, DeviceState::Open | DeviceState::Alarm);
                    device.state = Some(*device.said.values().find(worse).unwrap_or(state));
                    device.closed.remove(kind);
                    device.changed = Some(event.stamp);
                    device.idle = false;
                    device.counter = counter.or(device.counter);
                });
                if *kind == DeviceKind::Motion {
                    self.last_motion = Some(event.stamp.at());
                    self.area(event).into_iter().for_each(|area| area.motion = Some(event.stamp));
                }
            }
            Fact::CounterKept { counter } => self.device(event, |device| device.counter = Some(*counter)),
            Fact::PastAlarmsRead { alarms, last } | Fact::AlarmedSince { alarms, last } => {
                self.device(event, |device| device.past = Some(Past { alarms: *alarms, last: last.clone() }));
            }
            Fact::NeverFired { .. } => self.device(event, |device| device.idle = true),
            Fact::BatteryChangeStarted { delay } => self.device(event, |device| {
                device.upkeep = Some(delay.deadline(event.stamp));
            }),
            Fact::CoverOpened {} => self.device(event, |device| device.cover_open = true),
            Fact::BatteryChangeEnded {} => self.device(event, |device| {
                (device.upkeep, device.cover_open) = (None, false);
            }),
            Fact::FaultRaised { fault } => self.device(event, |device| {
                let _ = device.faults.insert(*fault);
            }),
            Fact::FaultCleared { fault } => self.device(event, |device| {
                let _ = device.faults.remove(fault);
            }),
            Fact::AlarmSuppressed { kind } => self.device(event, |device| {
                let _ = device.suppressed.insert(*kind);
            }),
            _ => {}
        }
    }

    pub(crate) fn device(&mut self, event: &Event, change: impl FnOnce(&mut Device)) {
        let Some(id) = event.device.as_ref().filter(|id| self.devices.contains_key(id)) else { return };
        if let Some(device) = Arc::make_mut(&mut self.devices).get_mut(id) {
            change(Arc::make_mut(device));
        }
    }

    pub(crate) fn area(&mut self, event: &Event) -> Option<&mut Area> {
        self.areas.get_mut(event.area.as_ref()?)
    }

    fn apply_hub(&mut self, event: &Event) {
        if event.is_centre_only() && event.fact.class() == Class::Alarm {
            self.silent.push(event.id);
            let over = self.silent.len().saturating_sub(OVERDUE_MAX);
            self.silent.drain(..over);
        }
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
            Fact::Settled {} => {
                self.settling = None;
                let woke: Vec<DeviceId> =
                    self.devices.iter().filter(|(_, device)| device.woke).map(|(id, _)| id.clone()).collect();
                for id in woke {
                    let device = Arc::make_mut(&mut self.devices).get_mut(&id).map(Arc::make_mut);
                    device.into_iter().for_each(|device| device.woke = false);
                }
            }
            Fact::ProfileSet { profile } => self.profile = Some(*profile),
            Fact::DuressSet { on } => self.duress = *on,
            Fact::TimezoneSet { timezone } => self.timezone = Some(timezone.clone()),
            Fact::DiskFailed { error } => self.disk_down = Some(error.clone()),
            Fact::DiskRecovered { .. } => self.disk_down = None,
            Fact::DiskNearlyFull {} => self.disk_low = true,
            Fact::DiskHasRoom {} => self.disk_low = false,
            Fact::ReceiverFailed { receiver, error } => {
                self.receivers_down.insert(receiver.clone(), error.clone());
            }
            Fact::ReceiverRecovered { receiver } => drop(self.receivers_down.remove(receiver)),
            Fact::PathUp { path } => drop(self.paths.insert(path.clone(), None)),
            Fact::PathDown { path, reason } => drop(self.paths.insert(path.clone(), Some(reason.clone()))),
            Fact::AllPathsDown {} => self.all_paths_down = true,
            Fact::PathsBack {} => self.all_paths_down = false,
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
    /// Whether this zone stands aside, or somebody armed although it was open: it does not guard, this one time.
    pub fn passes_over(&self, zone: &ZoneId, device: Option<&DeviceId>) -> bool {
        self.bypassed.contains(zone)
            || self.overridden.iter().any(|cause| {
                cause.why == CauseKind::Active && cause.zone.as_ref() == Some(zone) && cause.device.as_ref() == device
            })
    }
}

impl Arming {
    /// How the area guards at this moment, if it does.
    pub fn guarding(&self) -> Option<ArmMode> {
        match self {
            Arming::Armed { mode }
            | Arming::Entry { mode, .. }
            | Arming::Warning { mode, .. }
            | Arming::Alarm { mode } => Some(*mode),
            Arming::Unknown | Arming::Disarmed | Arming::Exit { .. } => None,
        }
    }

    /// When it goes on by itself, if it does.
    pub fn until(&self) -> Option<Deadline> {
        match self {
            Arming::Exit { until, .. } | Arming::Entry { until, .. } | Arming::Warning { until, .. } => Some(*until),
            Arming::Unknown | Arming::Disarmed | Arming::Armed { .. } | Arming::Alarm { .. } => None,
        }
    }

    fn begin_again(&mut self, now: Stamp) {
        if let Arming::Exit { until, .. } | Arming::Entry { until, .. } | Arming::Warning { until, .. } = self {
            until.from = now;
        }
    }
}
