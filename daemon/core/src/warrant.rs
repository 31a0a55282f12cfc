//! A warrant's words (contract, "Warrants"): who orders what, on which ground, until when, and how its life ends.
//!
//! `upstream/warrant.rs` has parsed it and checked signature, audience and retain; whether it may is judged in
//! `alarm/warrant.rs`. Nothing here judges.

use crate::device::{AreaId, DeviceId, DeviceKind, UserId, ZoneId};
use crate::event::{ArmMode, CloseCause, EventId, Evidence, Service, UserRole};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest `jti`, `sub`, `nonce` and free text in a warrant, in bytes; longer ones are refused unread.
pub const TEXT_MAX: usize = 128;

/// In whose name somebody orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the contract's own words
pub enum Role {
    Owner,
    Member,
    Guard,
    ArcOperator,
    ArcService,
    Technician,
}

/// Why a door is opened or fog is fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the contract's own words
pub enum Ground {
    VerifiedFire,
    SosPressed,
    SignalsAndPicture,
    CustomerConfirmed,
    PresenceDeniedByContact,
}

/// Who is coming, when the centre opens a door: never a guard (R71).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the contract's own words
pub enum Emergency {
    Police,
    Fire,
    Ambulance,
}

/// What is ordered: `cmd` with its `args`. A device may be left out where the site has only one of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "cmd", content = "args", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)] // the contract's own words
pub enum Order {
    Arm {
        area: Option<AreaId>,
        mode: ArmMode,
    },
    Disarm {
        area: Option<AreaId>,
    },
    Bypass {
        zone: ZoneId,
        on: bool,
    },
    Lock {
        device: Option<DeviceId>,
    },
    Unlock {
        device: Option<DeviceId>,
    },
    SirenStop {
        area: Option<AreaId>,
    },
    Sos {
        area: Option<AreaId>,
        #[serde(default)]
        silent: bool,
    },
    BatteryChange {
        device: DeviceId,
    },
    View {
        camera: DeviceId,
    },
    UserSet {
        user: UserId,
        role: UserRole,
        name: Option<String>,
    },
    UserBlock {
        user: UserId,
    },
    /// Exactly one phone, key, tag or code.
    CredentialBlock {
        credential: String,
    },
    Consent {
        minutes: u32,
    },
    Export {},
    Erase {},
    KeyAdd {
        kid: String,
        role: Role,
        ed25519: String,
        /// Whose it is: a person's key signs for nobody else. Without a word: the owner's own.
        user: Option<UserId>,
    },
    SelfTest {},
    TestMode {
        minutes: u32,
    },
    Cancel {},
    IncidentVerify {
        by: Evidence,
    },
    IncidentNote {
        text: String,
    },
    IncidentClose {
        cause: CloseCause,
    },
    EmergencyUnlock {
        device: Option<DeviceId>,
        service: Emergency,
    },
    FogFire {
        device: Option<DeviceId>,
        /// Contacts outside the household that the centre has on file (R84).
        contacts: u32,
    },
    Image {
        camera: DeviceId,
    },
    Clip {
        camera: DeviceId,
    },
    Stream {
        camera: DeviceId,
    },
    Audio {
        camera: DeviceId,
    },
    CameraClose {},
    VoiceStart {},
    VoiceStop {},
    ServiceState {
        standing: Service,
        /// How long before it takes effect, where it must be announced (B13).
        notice_hours: Option<u32>,
    },
    ConfigSet {},
    Update {},
    VisitTicket {
        minutes: u32,
    },
    DeviceAdd {
        device: DeviceId,
        kind: DeviceKind,
        name: Option<String>,
    },
    DeviceAssign {
        device: DeviceId,
        zone: ZoneId,
    },
    DeviceRemove {
        device: DeviceId,
    },
}

impl Order {
    /// The contract's word for it, `cmd`.
    pub fn name(&self) -> &'static str {
        match self {
            Order::Arm { .. } => "arm",
            Order::Disarm { .. } => "disarm",
            Order::Bypass { .. } => "bypass",
            Order::Lock { .. } => "lock",
            Order::Unlock { .. } => "unlock",
            Order::SirenStop { .. } => "siren_stop",
            Order::Sos { .. } => "sos",
            Order::BatteryChange { .. } => "battery_change",
            Order::View { .. } => "view",
            Order::UserSet { .. } => "user_set",
            Order::UserBlock { .. } => "user_block",
            Order::CredentialBlock { .. } => "credential_block",
            Order::Consent { .. } => "consent",
            Order::Export {} => "export",
            Order::Erase {} => "erase",
            Order::KeyAdd { .. } => "key_add",
            Order::SelfTest {} => "self_test",
            Order::TestMode { .. } => "test_mode",
            Order::Cancel {} => "cancel",
            Order::IncidentVerify { .. } => "incident_verify",
            Order::IncidentNote { .. } => "incident_note",
            Order::IncidentClose { .. } => "incident_close",
            Order::EmergencyUnlock { .. } => "emergency_unlock",
            Order::FogFire { .. } => "fog_fire",
            Order::Image { .. } => "image",
            Order::Clip { .. } => "clip",
            Order::Stream { .. } => "stream",
            Order::Audio { .. } => "audio",
            Order::CameraClose {} => "camera_close",
            Order::VoiceStart {} => "voice_start",
            Order::VoiceStop {} => "voice_stop",
            Order::ServiceState { .. } => "service_state",
            Order::ConfigSet {} => "config_set",
            Order::Update {} => "update",
            Order::VisitTicket { .. } => "visit_ticket",
            Order::DeviceAdd { .. } => "device_add",
            Order::DeviceAssign { .. } => "device_assign",
            Order::DeviceRemove { .. } => "device_remove",
        }
    }
}

/// SHA-256 of the compact JWS: the same `jti` with other bytes is another warrant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::canonical::hex(&self.0))
    }
}

/// A warrant whose signature, audience and form are right. Whether it may is not said yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warrant {
    /// Its own name, used once.
    pub jti: String,
    /// Of its bytes.
    pub digest: Digest,
    /// The key that signed it.
    pub kid: String,
    /// Who issued it.
    pub issuer: String,
    /// Who orders, an opaque id.
    pub person: String,
    /// In whose name.
    pub role: Role,
    /// Signed at, seconds since 1970 by the issuer's clock.
    pub issued_s: i64,
    /// Worth nothing after, seconds since 1970.
    pub expires_s: i64,
    /// A challenge of the gateway, repeated.
    pub nonce: Option<String>,
    /// The incident it is for.
    pub incident: Option<EventId>,
    /// Why.
    pub ground: Option<Ground>,
    /// What.
    pub order: Order,
}

/// Where a warrant's life stands (R79): only a confirmed act counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the contract's own words
pub enum Status {
    Accepted,
    Sent,
    Confirmed,
    Failed,
    Refused,
}

/// One word of `reply/{jti}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of this warrant.
    pub jti: String,
    /// Where it stands.
    pub status: Status,
    /// Why, where it did not go through: codes for programs, joined by commas where several conditions are missing.
    pub reason: Option<String>,
    /// The same in words, where there are some.
    pub text: Option<String>,
    /// The event that says so; `None`: nothing was recorded.
    pub event: Option<EventId>,
}
