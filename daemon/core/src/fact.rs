//! What can have happened: the closed list of facts.
//!
//! Facts are in the past tense and hold no opinion; applying one judges nothing, so that old facts replay under new code.
//! A fact's name and its detail are for ever (contract, "Events"): add, never change.

use crate::alarm::rules::Then;
use crate::device::{AreaId, DeviceFault, DeviceKind, DeviceState, Eep};
use crate::event::{
    Act, AlarmKind, ArmMode, Cause, CloseCause, Delay, EventId, Evidence, Joining, Media, Profile, Realm,
    RestartReason, Service, Tag, UserRole, WindowEnd, ZoneRole,
};
use crate::warrant::{Emergency, Ground, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

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
    /// The disk is full: the room kept aside is in use, and of what the centre has signed for the oldest goes first.
    DiskNearlyFull {},
    /// There is room again.
    DiskHasRoom {},
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
        /// How its telegrams are read, where they do not say so themselves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        eep: Option<Eep>,
        /// After so much silence it is missing, in seconds, where that is not what its kind says; 0: never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        silence_s: Option<u32>,
        /// The message counter it had then: only later ones are its word.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        counter: Option<u32>,
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
    DeviceChanged {
        kind: DeviceKind,
        state: DeviceState,
        /// The message counter of its word, where the word had one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        counter: Option<u32>,
    },
    /// A detector that counts its messages said nothing new for long, or only that something is wrong with it, and this was its
    /// last message: an older one is a recording, also after a start.
    CounterKept { counter: u32 },
    /// A detector made for inspection tells for the first time what it remembers: how often it has alarmed, and when last.
    PastAlarmsRead {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alarms: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<String>,
    },
    /// It has alarmed since it was last heard.
    AlarmedSince {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alarms: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<String>,
    },
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
    /// No path works: nobody hears of anything until one does.
    AllPathsDown {},
    /// One does again.
    PathsBack {},
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
    /// A modem or SIM is another than the one it was bound to; what is there now, as far as it says.
    SimSwapped {
        modem: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        imei: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        iccid: Option<String>,
    },
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
    /// This modem and this SIM card belong to this hub from here on.
    SimBound { modem: String, imei: String, iccid: String },
    /// A SIM card wants a code, and does not get it: why.
    SimLocked { modem: String, why: String },
    /// It works again.
    SimUnlocked { modem: String },
    /// A modem did nothing for its path: `activate` its connection, `reset` it, take its `power`.
    ModemRecovery { modem: String, step: String, reason: String },
    /// So much of the data agreed for the month is used.
    DataUsed { modem: String, percent: u8, used_mb: u64, of_mb: u64 },
}

fn is_false(it: &bool) -> bool {
    !it
}

impl Fact {
    /// Whether only the centre may read it, whatever it belongs to.
    pub(crate) fn is_silent(&self) -> bool {
        let silent = |kind: &AlarmKind| matches!(kind, AlarmKind::HoldUp | AlarmKind::Duress);
        match self {
            Fact::CodeUsed {} => true,
            // In its detail, because rows were written so before events had a member for it.
            Fact::IncidentCleared { centre_only, .. } => *centre_only,
            Fact::AlarmRaised { kind, .. } | Fact::AlarmRestored { kind, .. } => silent(kind),
            Fact::IncidentClosed { kind, .. } | Fact::IncidentVerified { kind, .. } => silent(kind),
            Fact::DeviceChanged { kind, .. } => *kind == DeviceKind::HoldUp,
            _ => false,
        }
    }
}
