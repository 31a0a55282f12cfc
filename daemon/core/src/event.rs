//! What happened: the closed list of facts, and the event that carries one.
//!
//! Facts are in the past tense and hold no opinion; `alarm::state` applies them without judging, so that old facts
//! replay under new code. A fact's name and its detail are for ever (contract, "Events"): add, never change.

use crate::alarm::rules::Then;
use crate::device::{AreaId, Authenticated, DeviceFault, DeviceId, DeviceKind, DeviceState, UserId, ZoneId};
use crate::stamp::{Deadline, Stamp, rfc3339};
use crate::warrant::{Emergency, Ground, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A UUIDv7 (RFC 9562): the event's own name, minted from the wall clock and the turn's entropy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct EventId(#[schemars(with = "String")] pub [u8; 16]);

impl EventId {
    /// Mints the id from milliseconds since 1970 and ten bytes of entropy.
    pub fn mint(wall_ms: i64, entropy: [u8; 10]) -> Self {
        let ms = u64::try_from(wall_ms).unwrap_or(0).to_be_bytes();
        let mut id = [0u8; 16];
        id[..6].copy_from_slice(&ms[2..]);
        id[6..].copy_from_slice(&entropy);
        id[6] = 0x70 | (id[6] & 0x0f);
        id[8] = 0x80 | (id[8] & 0x3f);
        Self(id)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> String {
        id.to_string()
    }
}

impl TryFrom<String> for EventId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an event id like 01936f2e-7c1a-7b3c-8d4e-5f6071829304");
        let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
        if digits.len() != 32 || text.len() != 36 {
            return Err(wrong());
        }
        let mut id = [0u8; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        if Self(id).to_string() == text { Ok(Self(id)) } else { Err(wrong()) }
    }
}

/// What an event is about, in the order in which the centre must hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the contract's own words
pub enum Class {
    Alarm,
    Fault,
    Access,
    State,
    Test,
    Audit,
}

impl Class {
    /// Every class, most urgent first.
    pub const ALL: [Class; 6] = [Class::Alarm, Class::Fault, Class::Access, Class::State, Class::Test, Class::Audit];

    /// The word used in topics, rows and filters.
    pub fn name(self) -> &'static str {
        match self {
            Class::Alarm => "alarm",
            Class::Fault => "fault",
            Class::Access => "access",
            Class::State => "state",
            Class::Test => "test",
            Class::Audit => "audit",
        }
    }

    /// The class with that name, if there is one.
    pub fn from_name(name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// How a person acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the contract's own words
pub enum Method {
    Pin,
    Tag,
    App,
    Remote,
    Keypad,
    Schedule,
    Arc,
    Technician,
    Local,
}

/// The site's standing with the operator, stamped on every event. It never holds an alarm back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the contract's own words
pub enum Service {
    Active,
    Trial,
    Test,
    Visit,
    Suspended,
    Ended,
}

/// Whom a kind of notice is for (R78).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the contract's own words
pub enum Notify {
    Technical,
    Threshold,
    Activity,
}

/// A Contact ID code (SIA DC-05): qualifier 1 new or opening, 3 restore or closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cid {
    /// 1 new or opening, 3 restore or closing.
    pub q: u8,
    /// The three-digit event code.
    pub code: u16,
}

/// How an area guards while it is armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArmMode {
    /// Nobody is in: every zone of the area guards.
    Away,
    /// People are in: the zones of the shell guard, those inside do not.
    Home,
    /// People sleep: the shell and the way in guard, the rooms inside do not.
    Night,
}

/// What an alarm is about. Everything but burglary works around the clock, armed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// An intrusion detector in an armed area.
    Burglary,
    /// Smoke or heat.
    Fire,
    /// Carbon monoxide.
    Co,
    /// Combustible gas.
    Gas,
    /// A pressed help button (contact alarm, not a door contact).
    Sos,
    /// A leak.
    Water,
    /// A detector opened or taken off.
    Tamper,
    /// Somebody needs medical help.
    Medical,
    /// It is about to freeze.
    Freeze,
    /// The box with the key was opened.
    KeyBox,
    /// A silent button: nobody on site may notice.
    HoldUp,
    /// A code given under threat: nobody on site may notice.
    Duress,
}

/// What belongs to an alarm besides its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tag {
    /// Fog of a smoke cannon may be what the detector sees (R69).
    FogPresent,
    /// A guard is there (B16).
    GuardOnSite,
    /// The detector is set to pass over pets: it may miss or be late (R86).
    PetFunction,
    /// The detector repeats another's alarm (B11).
    Relayed,
    /// The detector fell silent: it told nothing itself.
    Missing,
    /// Radio is jammed.
    Jammed,
    /// It looks cleared to whoever is on site, and is not (B1).
    LooksCleared,
    /// The area was armed a moment ago: somebody may have come back for his keys.
    RecentClose,
}

/// A country's policy profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the countries' own codes
pub enum Profile {
    Se,
    Dk,
    No,
}

/// Why an alarm is believed (B3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the contract's own words
pub enum Evidence {
    Picture,
    Voice,
    Contact,
    Patrol,
    EmergencyService,
    /// Two smoke detectors in different housings, within ten minutes.
    TwoSmokes,
    /// A second detector of the same area, within the profile's time.
    SecondDetector,
}

impl Evidence {
    /// Whether it is a person's word: the rest detectors say themselves.
    pub fn is_a_persons(self) -> bool {
        !matches!(self, Evidence::TwoSmokes | Evidence::SecondDetector)
    }
}

/// What a camera is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the contract's own words
pub enum Media {
    Image,
    Clip,
    Stream,
    Audio,
}

/// Whose a picture is (R06).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Realm {
    /// The receiving centre's, for one incident.
    Centre,
    /// The owner's own.
    Owner,
}

/// What ended a camera window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowEnd {
    /// Its fifteen minutes.
    Time,
    /// A restart after which nobody can prove how many of them are left.
    Clock,
    /// The centre has seen enough.
    Centre,
}

/// What an incident turned out to be (R34): real, or whose mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the words say it
pub enum CloseCause {
    Real,
    User,
    Animal,
    Cooking,
    Weather,
    Technical,
    Test,
    Unknown,
}

/// A zone's part in its area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ZoneRole {
    /// The door people come in by: starts the entry delay.
    EntryDoor,
    /// On the way from that door to the panel: delayed only once the door has opened.
    EntryRoute,
    /// Inside, off the way: alarms at once; does not guard in home.
    Interior,
    /// The shell (windows, other doors): alarms at once, in home too.
    Perimeter,
    /// Around the clock: smoke, heat, gas, water, SOS. Intrusion detectors do not belong here.
    Always,
}

/// A person's part (contract, "Warrants").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the contract's own words
pub enum UserRole {
    Owner,
    Member,
    /// A patrol: his code is good while an incident is open.
    Guard,
}

/// Why a journal was begun anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestartReason {
    /// The hub's first journal.
    First,
    /// The old one was damaged and is kept aside.
    Quarantined,
    /// The old one was gone while the epoch said there had been one.
    Missing,
    /// The file is older than what this hub has already written: a copy was put back.
    Restored,
}

/// What speaks against arming.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cause {
    /// The zone it is in, where it is in one.
    pub zone: Option<ZoneId>,
    /// The device it comes from.
    pub device: Option<DeviceId>,
    /// What it is.
    pub why: CauseKind,
}

/// The kinds of cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// A door or window is open, or movement is seen.
    Active,
    /// The detector is open or off its place.
    Tamper,
    /// The detector's battery is nearly empty.
    LowBattery,
    /// The detector is out of order.
    Fault,
    /// The detector is heard but cannot be read.
    Unreadable,
    /// The detector's view is blocked or covered.
    Masked,
    /// The detector lost its mains supply.
    MainsLost,
    /// The detector has left its network, or cannot be heard.
    Gone,
    /// The detector has not been heard for too long.
    Missing,
    /// The detector has not been heard since it was added.
    NeverHeard,
    /// A radio receiver of the hub is not working.
    Receiver,
    /// No path to the centre is up.
    PathsDown,
    /// The journal's disk does not answer.
    Disk,
    /// A detector that speaks every few minutes has not for 20.
    Quiet,
    /// The detector has failed its own test.
    SelfTest,
    /// The radio is jammed.
    Jammed,
    /// The hub is without mains.
    HubMains,
    /// The hub's battery is low.
    HubBattery,
    /// A door that must be locked is not.
    NotLocked,
}

/// Something done at most once, never repeated after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// One short sound of the sirens, to hear that they are there.
    SirenChirp,
    /// A door is locked.
    Lock,
    /// A door is unlocked, by somebody who may.
    Unlock,
    /// A door is unlocked by the centre, for an emergency service.
    EmergencyUnlock,
    /// A smoke cannon fires.
    FogFire,
}

/// How a newcomer to the Zigbee network proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Joining {
    /// By the code printed on it.
    InstallCode,
    /// Not at all: the network's key crosses the air under a key that everybody knows.
    Legacy,
}

/// A delay that begins with its event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// How long it lasts; what counts, on the monotonic clock.
    pub seconds: u32,
    /// When it ends by the event's own wall clock, RFC 3339: for the centre and for people.
    pub until: String,
}

impl Delay {
    /// A delay of `seconds` from `now`.
    pub fn after(now: Stamp, seconds: u32) -> Self {
        let until = rfc3339(Deadline::after(now, u64::from(seconds) * 1000).wall_ms());
        Self { seconds, until }
    }

    /// When it falls due, if its event happened at `from`.
    pub fn deadline(&self, from: Stamp) -> Deadline {
        Deadline::after(from, u64::from(self.seconds) * 1000)
    }
}

/// Everything that can have happened. The variant's name is the event's `type`, its fields are `detail`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "detail", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)] // fields carry the contract's words; each variant says what it is
pub enum Fact {
    /// A journal was begun: the first event of each epoch, naming the old head.
    JournalRestarted {
        reason: RestartReason,
        old_epoch: Option<u64>,
        old_seq: Option<u64>,
        old_hash: Option<String>,
        salvaged: u64,
        arm_state_known: bool,
    },
    /// The daemon came up; delays whose rest could not be proven have started over.
    HubStarted { version: String, clean: bool, restarted_delays: Vec<AreaId> },
    /// The daemon went down in good order.
    HubStopped {},
    /// The disk did not take a commit in time; what followed was kept in memory.
    DiskFailed { error: String },
    /// The disk answers again; `pending` events had waited for it.
    DiskRecovered { pending: u64, refused: u64 },
    /// A radio receiver stopped working.
    ReceiverFailed { receiver: String, error: String },
    /// A radio receiver works again.
    ReceiverRecovered { receiver: String },
    /// A key of an issuer is trusted from here on.
    KeyListed { kid: String, role: String, ed25519: String },
    /// A key is no longer trusted.
    KeyWithdrawn { kid: String },
    /// An area was made or changed.
    AreaSet { entry_s: u32, exit_s: u32 },
    /// A zone was made or changed.
    ZoneSet {
        role: ZoneRole,
        /// In which modes it guards, where that is not what its role says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        modes: Option<BTreeSet<ArmMode>>,
        /// It chimes when it opens and nothing guards.
        #[serde(default, skip_serializing_if = "is_false")]
        chime: bool,
    },
    /// A person was added or changed; the name is personal.
    UserSet {
        role: UserRole,
        /// Good until then, RFC 3339.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires: Option<String>,
    },
    /// A person was taken off.
    UserRemoved {},
    /// Devices not known yet are listed for a while; `joining`: and let into the Zigbee network, in that way.
    PermitOpened {
        seconds: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        joining: Option<Joining>,
    },
    /// No longer.
    PermitClosed {},
    /// A device was added; its key, if it has one, is in the secrets under an opaque id.
    DeviceAdded {
        kind: DeviceKind,
        secret: Option<String>,
        /// Set to pass over pets (R86).
        #[serde(default, skip_serializing_if = "is_false")]
        pet: bool,
    },
    /// A device got its place.
    DeviceAssigned {},
    /// A device was taken off.
    DeviceRemoved {},
    /// Codes, device keys and the Zigbee network's key were damaged: they must be set up again.
    SecretsLost { kept_as: String },
    /// A device nobody let in asked to join the Zigbee network and was sent away; `count` such requests since
    /// the last one that was told, of any device.
    JoinRefused { count: u64 },
    /// A detector says something new.
    DeviceChanged { kind: DeviceKind, state: DeviceState },
    /// A detector cannot do its work.
    FaultRaised { fault: DeviceFault },
    /// It can again.
    FaultCleared { fault: DeviceFault },
    /// Arming was refused, with every cause.
    ArmFailed {
        mode: ArmMode,
        causes: Vec<Cause>,
        /// The door people leave by still stood open when the delay ended.
        #[serde(default, skip_serializing_if = "is_false")]
        exit_error: bool,
    },
    /// People are leaving: the area arms when the delay ends.
    ExitStarted { mode: ArmMode, delay: Delay },
    /// The area guards.
    AreaArmed { mode: ArmMode },
    /// Somebody came in by the entry door: a burglary unless disarmed before the deadline (B7).
    EntryStarted { delay: Delay, by: String },
    /// The area no longer guards; `after_alarm` when there had been one.
    AreaDisarmed { after_alarm: bool },
    /// An alarm. Its `incident` is its own id when it opens one.
    AlarmRaised {
        kind: AlarmKind,
        by: DeviceKind,
        continues: Option<EventId>,
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        tags: BTreeSet<Tag>,
    },
    /// What the detector watches for is gone. The incident stays.
    AlarmRestored { kind: AlarmKind, by: DeviceKind },
    /// The sirens were silenced by a person; the incident stays open.
    SirenStopped {},
    /// A wrong code was given at `source`.
    CodeRefused { source: String },
    /// Three wrong codes: that source takes no codes for a while.
    CodeBlocked { source: String, delay: Delay },
    /// An act is about to be released. Recorded first, so that a crash can never repeat it.
    CommandSent {
        act: Act,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warrant: Option<String>,
    },
    /// The device confirmed it.
    CommandConfirmed { act: Act, command: EventId },
    /// It did not happen, or nobody can say that it did.
    CommandFailed { act: Act, command: EventId, reason: String },
    /// A path to the centre works end to end.
    PathUp { path: String },
    /// A path to the centre does not, and why.
    PathDown { path: String, reason: String },
    /// The centre did not sign for an alarm in time.
    NotDeliveredInTime { event: EventId, after_ms: u64 },
    /// Something called a receipt that is none: unsigned, foreign, from the future.
    ReceiptRefused { reason: String, count: u64 },
    /// The policy profile of the site's country, as the install facts have it.
    ProfileSet { profile: Profile },
    /// A burglary that the household disarmed within seconds of its first alarm: it was their own (B5).
    IncidentCleared {
        after_s: u32,
        /// On a site where a code may be given under threat: listed to the centre alone.
        #[serde(default, skip_serializing_if = "is_false")]
        centre_only: bool,
    },
    /// A person said within three minutes that it was a mistake (R33).
    IncidentCancelled { after_s: u32 },
    /// A person says that it is false; it stays open until the centre has made sure (B10).
    CustomerSaysFalse {},
    /// There is evidence that it is real (B3).
    IncidentVerified { kind: AlarmKind, by: Evidence },
    /// The centre has closed it.
    IncidentClosed { kind: AlarmKind, cause: CloseCause },
    /// This source has alarmed too often since the area was last armed or disarmed: its further alarms of this kind are
    /// not told until it is again.
    AlarmSuppressed { kind: AlarmKind },
    /// Intrusion detectors may alarm again after a start of the board.
    Settled {},
    /// A person armed in spite of these, for this one time (B18): what is open does not guard.
    ArmOverridden { mode: ArmMode, causes: Vec<Cause> },
    /// The site's standing with its operator changed; `delay`: until it changes by itself.
    ServiceChanged { standing: Service, delay: Option<Delay> },
    /// A person tests: what alarms until then is stamped so, and acts all the same.
    TestStarted { delay: Delay },
    /// No longer.
    TestEnded {},
    /// Somebody may ask a camera for this.
    MediaGranted { what: Media, realm: Realm },
    /// The centre asked a camera for something it may not have, and why.
    MediaRefused { what: Media, reason: String },
    /// The centre sees nothing more of this incident.
    MediaWindowClosed { by: WindowEnd },
    /// A warrant was right, and what it orders is done (`led_to`), or is on its way to a device (`awaits`).
    WarrantAccepted {
        jti: String,
        digest: String,
        expires: String,
        cmd: String,
        role: Role,
        person: String,
        ground: Option<Ground>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        emergency: Option<Emergency>,
        led_to: Option<EventId>,
        awaits: bool,
    },
    /// A warrant, rightly signed, was refused, with every reason.
    WarrantRefused {
        jti: String,
        digest: String,
        expires: String,
        cmd: String,
        role: Role,
        person: String,
        reason: String,
    },
    /// Something on the command topic that is no warrant: unsigned, foreign, retained; `count` like it since the last.
    OrderRefused { jti: Option<String>, reason: String, count: u64 },
    /// A code, tag or phone that is not good now, was used: `blocked`, `expired`, `no_incident`, `unknown`.
    CredentialRefused { source: String, reason: String },
    /// One phone, key, tag or code is good for nothing any more.
    CredentialBlocked { credential: String },
    /// A person may do nothing, or again what he might.
    UserBlocked { blocked: bool },
    /// Nobody has used this person's code for so long.
    CodeUnused { days: u32 },
    /// A code was given, not under threat. For the centre alone.
    CodeUsed {},
    /// Whether codes can be given under threat on this site.
    DuressSet { on: bool },
    /// A guard is on site, and what he should know.
    GuardOnSite { fog_fired: bool, door_unlocked: bool, last_motion: Option<String> },
    /// The entry delay is over: it is loud inside, and a burglary at the end of this one.
    LocalWarning { delay: Delay, by: String },
    /// The final door has closed: the area arms sooner.
    ExitShortened { delay: Delay },
    /// Doors are being locked; the area arms when they say so.
    LockingStarted { mode: ArmMode, delay: Delay },
    /// A zone stands aside until its area is disarmed the next time.
    ZoneBypassed { on: bool },
    /// A user has seen what happened.
    MemoryAcknowledged {},
    /// How a lock behaves by itself.
    LockSet { auto_lock_s: u32, left_open_s: u32, before_arming: bool, disarms: bool },
    /// Somebody turned a lock at the door.
    LockUsed { unlocked: bool },
    /// A door stands open or unlocked for too long.
    DoorLeftOpen {},
    /// Fog was fired: air the room within so many hours of it.
    AirNow { hours: u32 },
    /// A technician has serviced the cannon.
    FogServiced {},
    /// The hub lost its mains.
    MainsLost { minutes_left: Option<u32> },
    /// It has mains again.
    MainsBack {},
    /// The hub's battery is low.
    HubBatteryLow { percent: u8, minutes_left: Option<u32> },
    /// It is not any more.
    HubBatteryWell { percent: u8 },
    /// The last thing the hub can say before its supply fails.
    LastBreath {},
    /// The hub stands elsewhere than it was installed.
    HubMoved { gateway: bool, silent: u32 },
    /// It stands where it was installed.
    HubBack {},
    /// A modem or SIM is another than the one it was bound to.
    SimSwapped { modem: String },
    /// It is the bound one again.
    SimBack { modem: String },
    /// Somebody jams this receiver.
    JammingStarted { receiver: String },
    /// No longer.
    JammingEnded { receiver: String },
    /// An intrusion detector has never moved for so long.
    NeverFired { days: u32 },
    /// The end of the contract is announced.
    EndAnnounced { delay: Delay },
    /// A user has tried the door's key, and it works.
    KeyWorks {},
    /// A technician may work here, by the owner's consent.
    VisitStarted { delay: Delay },
    /// No longer; what is not well is listed.
    VisitEnded { not_well: Vec<Cause> },
    /// No test for so long.
    TestOverdue { days: u32 },
    /// The centre is reached again after long: a test would show that alarms are, too.
    TestSuggested {},
    /// A user changes a battery: the cover may open until then.
    BatteryChangeStarted { delay: Delay },
    /// The cover was opened for that.
    CoverOpened {},
    /// It is shut, and the device has spoken.
    BatteryChangeEnded {},
    /// The same detector has alarmed falsely for the same cause so often.
    FalseAlarmsRepeated { cause: CloseCause, count: u32 },
    /// The site's time zone.
    TimezoneSet { timezone: String },
    /// An area arms at this minute of these days (Monday is bit 0).
    ScheduleSet { schedule: String, mode: ArmMode, days: u8, minute: u16 },
    /// No longer.
    ScheduleRemoved { schedule: String },
    /// It will, soon.
    ScheduleWarned { schedule: String, mode: ArmMode, day: String, delay: Delay },
    /// A user put it off.
    SchedulePutOff { schedule: String, delay: Delay },
    /// It arms now.
    ScheduleRan { schedule: String },
    /// It does not, this time.
    ScheduleSkipped { schedule: String, reason: String },
    /// A rule was made or changed.
    RuleSet { rule: String, measure: String, above: bool, limit_milli: i64, back_milli: i64, then: Then },
    /// No longer.
    RuleRemoved { rule: String },
    /// A measurement went beyond a rule's limit, or came back.
    LimitCrossed { rule: String, beyond: bool, value_milli: i64 },
    /// An operator's note.
    IncidentNoted {},
}

fn is_false(it: &bool) -> bool {
    !it
}

impl Fact {
    /// Whether only the centre may read it: whoever is on site must not learn of it (B1, B8). Other readers are shown
    /// that there is a row, and its hash.
    pub fn is_centre_only(&self) -> bool {
        let silent = |kind: &AlarmKind| matches!(kind, AlarmKind::HoldUp | AlarmKind::Duress);
        match self {
            Fact::CodeUsed {} => true,
            Fact::IncidentCleared { centre_only, .. } => *centre_only,
            Fact::AlarmRaised { kind, .. } | Fact::AlarmRestored { kind, .. } => silent(kind),
            Fact::IncidentClosed { kind, .. } | Fact::IncidentVerified { kind, .. } => silent(kind),
            Fact::DeviceChanged { kind, .. } => *kind == DeviceKind::HoldUp,
            _ => false,
        }
    }
}

/// Names, free text and numbers about people: the only part of an event that can be erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Personal {
    /// 16 bytes of entropy in hex, so that the digest of a short name cannot be guessed.
    pub salt: String,
    /// What it says, by field name.
    #[serde(flatten)]
    pub fields: BTreeMap<String, String>,
}

/// A fact with its circumstances, decided but not yet numbered: seq, prev and hash are the journal's to give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the contract's own fields
pub struct Event {
    pub id: EventId,
    pub stamp: Stamp,
    pub fact: Fact,
    pub area: Option<AreaId>,
    pub zone: Option<ZoneId>,
    pub device: Option<DeviceId>,
    pub incident: Option<EventId>,
    pub user: Option<UserId>,
    pub method: Option<Method>,
    pub service: Service,
    pub authenticated: Option<Authenticated>,
    pub personal: Option<Personal>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_version_7_uuid_and_reads_back() {
        let id = EventId::mint(1_795_210_740_007, [0xff; 10]);
        assert_eq!(id.to_string(), "01a1fae6-0127-7fff-bfff-ffffffffffff");
        assert_eq!(EventId::try_from(id.to_string()), Ok(id));
        assert!(EventId::try_from("01a1fae6".to_owned()).unwrap_err().contains("not an event id"));
        assert!(EventId::try_from(id.to_string().to_uppercase()).is_err(), "one form only");
    }

    #[test]
    fn classes_are_in_order_of_urgency_and_named_once() {
        assert!(Class::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(Class::ALL.into_iter().all(|class| Class::from_name(class.name()) == Some(class)));
    }
}
