//! One closed list in, one out: what can reach the panel, and what the panel can ask of the world.

use crate::alarm::camera_window::Grant;
use crate::alarm::past::Past;
use crate::alarm::rules::Then;
use crate::device::{AreaId, Authenticated, DeviceId, DeviceKind, Eep, Measurement, Report, UserId, ZoneId};
use crate::event::{
    Act, ArmMode, CloseCause, EventId, Evidence, Joining, Media, Method, Profile, RestartReason, UserRole, ZoneRole,
};
use crate::port::Unjournaled;
use crate::stamp::Stamp;
use crate::warrant::{Answer, Warrant};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How the name of a receiver begins whose fall is told and does not speak against arming: nothing that guards hangs on it.
/// No receiver can be called so by a technician, whose names have no `_`.
pub const BEST_EFFORT: &str = "rtl_433-";

/// A request waiting for its reply; the hub gives the number.
pub type RequestId = u64;

/// The answer to a code, looked up in one place (`hub/io`); the code itself never comes here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeChecked {
    /// Where it was given: wrong codes are counted per source.
    pub source: String,
    /// Whose it is; `None`: nobody's.
    pub user: Option<UserId>,
    /// How it was given.
    pub method: Method,
    /// Which phone, key, tag or code it is, by its opaque id, where that is known.
    pub credential: Option<String>,
    /// It says that whoever gives it is under threat.
    pub duress: bool,
}

impl CodeChecked {
    /// A right or wrong code of which nothing more is known.
    pub fn plain(source: impl Into<String>, user: Option<UserId>, method: Method) -> Self {
        Self { source: source.into(), user, method, credential: None, duress: false }
    }
}

/// A lock's word that somebody turned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockUsed {
    /// Which lock.
    pub device: DeviceId,
    /// Which way.
    pub unlocked: bool,
    /// By a code, a tag, a phone; `None`: by key or by hand.
    pub method: Option<Method>,
    /// Whose, by the lock's word.
    pub user: Option<UserId>,
    /// Which one, by its opaque id.
    pub credential: Option<String>,
}

/// What the supply's port says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Supply {
    /// Whether there is mains, if it says.
    pub mains: Option<bool>,
    /// The hub's battery, per cent, if it says.
    pub battery_percent: Option<u8>,
    /// How long it will do, in minutes, if it says.
    pub minutes_left: Option<u32>,
    /// It ends now.
    pub dying: bool,
}

/// What a modem's port says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ModemWord {
    /// This modem, with this SIM card, as far as they say who they are. Said again now and then.
    Seen { imei: Option<String>, iccid: Option<String> },
    /// Its card wants a code, and why it does not get one.
    Locked { why: String },
    /// It wants none any more.
    Unlocked,
    /// It did nothing for its path, and this was done to it.
    Helped { step: String, reason: String },
    /// So much of the month's data is used.
    DataUsed { percent: u8, used_mb: u64, of_mb: u64 },
}

/// A short sign to people, given once and never repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// At the keypad, and a squawk indoors: not ready (B18).
    NotReady(AreaId),
    /// A squawk outdoors: it did not arm after all (B18).
    NotArmed(AreaId),
    /// A door opened while nothing guards (B9).
    Chime(ZoneId),
    /// It arms in ten minutes (B23).
    ArmsSoon(AreaId),
}

/// A device that is made known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the words of `Fact::DeviceAdded`
pub struct Newcomer {
    pub device: DeviceId,
    pub kind: DeviceKind,
    pub name: Option<String>,
    pub secret: Option<String>,
    pub pet: bool,
    pub eep: Option<Eep>,
    pub silence_s: Option<u32>,
    pub counter: Option<u32>,
}

impl Newcomer {
    /// One of which nothing more is known.
    pub fn plain(device: DeviceId, kind: DeviceKind) -> Self {
        Self { device, kind, name: None, secret: None, pet: false, eep: None, silence_s: None, counter: None }
    }
}

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are the words of the facts they lead to
pub enum Command {
    /// Guard. Without an area: the only one.
    Arm {
        area: Option<AreaId>,
        mode: ArmMode,
        code: CodeChecked,
    },
    /// Guard no longer.
    Disarm {
        area: Option<AreaId>,
        code: CodeChecked,
    },
    /// Silence the sirens; incidents stay open.
    SirenStop {
        area: Option<AreaId>,
        code: CodeChecked,
    },
    /// Sound the sirens once, briefly.
    SirenChirp {},
    /// Turn a lock. Without a device: the only one.
    Lock {
        device: Option<DeviceId>,
        code: CodeChecked,
    },
    Unlock {
        device: Option<DeviceId>,
        code: CodeChecked,
    },
    /// What happened has been seen.
    Acknowledge {
        area: Option<AreaId>,
        code: CodeChecked,
    },
    /// A zone stands aside for one set period.
    Bypass {
        zone: ZoneId,
        on: bool,
        code: CodeChecked,
    },
    /// The cover of this device may open for a while.
    BatteryChange {
        device: DeviceId,
        code: CodeChecked,
    },
    /// A technician may work here for so many minutes; 0: no longer.
    Consent {
        minutes: u32,
        code: CodeChecked,
    },
    /// The door's key was tried and works.
    KeyWorks {
        code: CodeChecked,
    },
    /// A schedule that is about to arm waits.
    PutOff {
        schedule: String,
        code: CodeChecked,
    },
    UserBlock {
        user: UserId,
        blocked: bool,
    },
    CredentialBlock {
        credential: String,
    },
    DuressSet {
        on: bool,
    },
    LockSet {
        device: DeviceId,
        auto_lock_s: u32,
        left_open_s: u32,
        before_arming: bool,
        disarms: bool,
    },
    FogServiced {
        device: DeviceId,
    },
    ScheduleSet {
        schedule: String,
        area: AreaId,
        mode: ArmMode,
        days: u8,
        minute: u16,
    },
    ScheduleRemove {
        schedule: String,
    },
    RuleSet {
        rule: String,
        device: DeviceId,
        measure: String,
        above: bool,
        limit_milli: i64,
        back_milli: i64,
        then: Then,
    },
    RuleRemove {
        rule: String,
    },
    AreaSet {
        area: AreaId,
        name: Option<String>,
        entry_s: u32,
        exit_s: u32,
    },
    ZoneSet {
        zone: ZoneId,
        area: AreaId,
        name: Option<String>,
        role: ZoneRole,
        modes: Option<BTreeSet<ArmMode>>,
        chime: bool,
    },
    UserSet {
        user: UserId,
        name: Option<String>,
        role: UserRole,
        /// Good until then, in ms since 1970.
        expires_ms: Option<i64>,
    },
    UserRemove {
        user: UserId,
    },
    /// The first owner, by the claim code: it is the code of whoever gives it.
    Claim {
        name: Option<String>,
        code: CodeChecked,
        /// Somebody has the code already that he has chosen for himself.
        code_taken: bool,
    },
    DevicePermit {
        seconds: u32,
        joining: Option<Joining>,
    },
    DeviceAdd(Newcomer),
    /// Another takes its place.
    DeviceReplace {
        old: DeviceId,
        new: Newcomer,
    },
    DeviceAssign {
        device: DeviceId,
        zone: ZoneId,
    },
    DeviceRemove {
        device: DeviceId,
    },
    /// It was a mistake. Without an incident: the newest.
    Cancel {
        incident: Option<EventId>,
        code: CodeChecked,
    },
    /// Help, now: at the panel, by remote or app. It needs no code.
    Sos {
        area: Option<AreaId>,
    },
    /// Test for so many minutes; 0: no longer.
    TestMode {
        minutes: u32,
        code: CodeChecked,
    },
    /// The owner looks at his own camera.
    Look {
        camera: DeviceId,
        what: Media,
        code: CodeChecked,
    },
    /// The centre's operator asks a camera; only a warrant leads here.
    Media {
        camera: DeviceId,
        what: Media,
        incident: EventId,
    },
    /// The centre's operator has seen enough; only a warrant leads here.
    MediaClose {
        incident: EventId,
    },
    /// The centre's operator has evidence; only a warrant leads here.
    IncidentVerify {
        incident: EventId,
        by: Evidence,
    },
    /// The centre's operator closes it; only a warrant leads here.
    IncidentClose {
        incident: EventId,
        cause: CloseCause,
    },
}

impl Command {
    /// The code it was given with, if it needs one.
    pub fn code(&self) -> Option<&CodeChecked> {
        match self {
            Command::Arm { code, .. }
            | Command::Disarm { code, .. }
            | Command::SirenStop { code, .. }
            | Command::Acknowledge { code, .. }
            | Command::Bypass { code, .. }
            | Command::Lock { code, .. }
            | Command::Unlock { code, .. }
            | Command::BatteryChange { code, .. }
            | Command::Consent { code, .. }
            | Command::KeyWorks { code }
            | Command::PutOff { code, .. }
            | Command::Cancel { code, .. }
            | Command::TestMode { code, .. }
            | Command::Look { code, .. } => Some(code),
            _ => None,
        }
    }

    /// The area it names.
    pub fn area(&self) -> Option<AreaId> {
        match self {
            Command::Arm { area, .. }
            | Command::Disarm { area, .. }
            | Command::SirenStop { area, .. }
            | Command::Acknowledge { area, .. } => area.clone(),
            _ => None,
        }
    }
}

/// A key of an issuer as the install facts list it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstalledKey {
    /// Its name in JWS headers.
    pub kid: String,
    /// `arc` or `maker`.
    pub role: String,
    /// The Ed25519 public key, base64url.
    pub ed25519: String,
}

/// Everything that can reach the panel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Input {
    /// A journal was begun anew; always the first input of its epoch.
    JournalBegun {
        reason: RestartReason,
        old_epoch: Option<u64>,
        old_seq: Option<u64>,
        old_hash: Option<String>,
        salvaged: u64,
        arm_state_known: bool,
    },
    /// The daemon is up.
    Started { version: String, keys: Vec<InstalledKey>, profile: Profile, timezone: String },
    /// The daemon is asked to go.
    Stopping,
    /// A detector spoke.
    Report(Report),
    /// A known detector was heard but could not be read.
    Unreadable { device: DeviceId },
    /// A lock was turned at the door.
    LockUsed(LockUsed),
    /// A lock has let somebody neither in nor out, and says why.
    LockRefused { device: DeviceId, method: Option<Method>, reason: String },
    /// A device has tested itself.
    SelfTest { device: DeviceId, passed: bool },
    /// What one telegram of a device tells of what it measures. Telemetry: no event by itself.
    Measured { device: DeviceId, authenticated: Authenticated, values: Vec<Measurement> },
    /// What a detector made for inspection remembers of alarms.
    Past { device: DeviceId, authenticated: Authenticated, past: Past },
    /// Interference at a receiver begins or ends; `None`: nothing is known of the air any more.
    Interference { receiver: String, on: Option<bool> },
    /// The hub's supply.
    Supply(Supply),
    /// What is around the hub: other cells, another router than where it was installed.
    Surroundings { cells: bool, gateway: bool },
    /// The modem of a path, and what there is to know of it.
    Modem { modem: String, word: ModemWord },
    /// A known detector has left its network, or cannot be heard for want of its key.
    Gone { device: DeviceId },
    /// The file of codes and keys was damaged and is put aside.
    SecretsLost { kept_as: String },
    /// A device nobody let in asked to join.
    JoinRefused { device: DeviceId, count: u64 },
    /// A radio receiver failed (with the reason) or works again (`None`).
    Receiver { receiver: String, error: Option<String> },
    /// Somebody orders from afar; signature, audience and form are right.
    Warrant(Box<Warrant>),
    /// Something on the command topic was no warrant.
    RefusedOrder { jti: Option<String>, reason: String, count: u64 },
    /// A person asks for something.
    Command { request: RequestId, method: Method, command: Command },
    /// An act's outcome, from the port that did it.
    Acted { command: EventId, act: Act, error: Option<String> },
    /// A path's verdict changed; `None`: it works end to end.
    Path { path: String, reason: Option<String> },
    /// The centre did not sign for an alarm in time.
    Overdue { event: EventId, after_ms: u64 },
    /// Something called a receipt was refused.
    RefusedReceipt { reason: String, count: u64 },
    /// The disk stopped answering.
    DiskFailed { error: String },
    /// It answers again.
    DiskRecovered { pending: u64, refused: u64 },
    /// The disk has little room left, or enough again.
    DiskRoom { low: bool },
    /// Time passed.
    Tick,
}

/// Whether the journal can be relied on while deciding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// Commits return in time.
    Well,
    /// They do not; so many more events can be kept in memory.
    Failed {
        /// Free places on the pending list.
        room: usize,
    },
}

/// What a decision may depend on besides the state.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The moment.
    pub now: Stamp,
    /// Ids and salts come from here.
    pub entropy: [u8; 32],
    /// Whether what is decided can be recorded.
    pub disk: Disk,
}

/// What is to be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sound {
    /// Indoors: somebody came in, disarm.
    EntryBeep,
    /// The same, faster: the last seconds.
    EntryHurry,
    /// Indoors, soft: water.
    Water,
    /// A quiet tone at the panel: help was called.
    SosTone,
    /// A beep at the panel: a detector was opened while disarmed.
    TamperBeep,
    /// Loud inside: the entry delay is over, the burglary is about to be told.
    Warning,
    /// Inside and out.
    Burglary,
    /// Every sounder: fire, CO, gas.
    Fire,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Reply {
    /// It is done. `journaled` is false where the disk had not answered yet.
    Done { ok: bool, event: Option<EventId>, journaled: bool, text: String },
    /// It is not, and why.
    Refused { ok: bool, refused: &'static str, text: String },
}

impl Reply {
    /// A refusal: a code for programs and a sentence for people that says what would be right.
    pub fn refused(code: &'static str, text: impl Into<String>) -> Self {
        Reply::Refused { ok: false, refused: code, text: text.into() }
    }
}

/// What the panel asks of the world, released only after what led to it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Standing: what is to be heard from now on. Released again at start.
    Sound(Option<Sound>),
    /// Once only: recorded as sent before it is released.
    Act {
        /// The id of its `command_sent`.
        command: EventId,
        /// What to do.
        act: Act,
        /// To what; `None`: the hub itself.
        device: Option<DeviceId>,
    },
    /// The disk did not answer: tell the centre all the same.
    Publish(Unjournaled),
    /// A camera may be asked for this, and for nothing else.
    Camera(Grant),
    /// The centre's part of this incident is over: what still runs ends now.
    CameraEnds(EventId),
    /// Answer a request.
    Reply(RequestId, Reply),
    /// A short sign to people.
    Signal(Signal),
    /// A rule switches a light.
    Light {
        /// Which.
        light: DeviceId,
        /// On, or off.
        on: bool,
    },
    /// Tell who sent a warrant what became of it.
    Answer(Answer),
}
