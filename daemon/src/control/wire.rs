//! The control socket's language: one JSON object a line in, one or more out.
//!
//! Whoever may open the socket (group `vakt`, root) may install, but only root makes, changes and removes an owner, or draws
//! the claim code that makes the first; arming, disarming and silencing still need a person's code. Codes and keys pass through here once and are never shown, logged or answered; the one exception is a claim
//! code, which is answered to root once, when it is drawn.

use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt;
use vakt_core::alarm::rules::Then;
use vakt_core::device::AreaId;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::Eep;
use vakt_core::device::UserId;
use vakt_core::device::ZoneId;
use vakt_core::event::ArmMode;
use vakt_core::event::EventId;
use vakt_core::event::Joining;
use vakt_core::event::UserRole;
use vakt_core::event::ZoneRole;

/// The longest request, in bytes; a longer one loses its connection.
pub const LINE_MAX: usize = 16 * 1024;

/// Text that must not be shown: a code or a key.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)] // the fields are the contract's words
pub enum Request {
    /// Is anybody there?
    Ping {},
    /// How everything stands.
    Status {},
    /// Whether a package manager may restart the daemon now.
    MayRestart {},
    Arm {
        area: Option<AreaId>,
        mode: ArmMode,
        code: Hidden,
    },
    Disarm {
        area: Option<AreaId>,
        code: Hidden,
    },
    SirenStop {
        area: Option<AreaId>,
        code: Hidden,
    },
    SirenChirp {},
    /// It was a mistake; without an incident, the newest.
    Cancel {
        incident: Option<EventId>,
        code: Hidden,
    },
    /// Test for so many minutes; 0: no longer.
    TestMode {
        minutes: u32,
        code: Hidden,
    },
    /// Help, now.
    Sos {
        area: Option<AreaId>,
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
        #[serde(default)]
        modes: Option<BTreeSet<ArmMode>>,
        #[serde(default)]
        chime: bool,
    },
    /// A zone stands aside for one set period, or no longer.
    Bypass {
        zone: ZoneId,
        on: bool,
        code: Hidden,
    },
    /// What happened has been seen.
    Acknowledge {
        area: Option<AreaId>,
        code: Hidden,
    },
    Lock {
        device: Option<DeviceId>,
        code: Hidden,
    },
    Unlock {
        device: Option<DeviceId>,
        code: Hidden,
    },
    LockSet {
        device: DeviceId,
        auto_lock_s: u32,
        left_open_s: u32,
        before_arming: bool,
        disarms: bool,
    },
    /// The cover of this device may open for ten minutes.
    BatteryChange {
        device: DeviceId,
        code: Hidden,
    },
    /// A smoke cannon was serviced.
    FogServiced {
        device: DeviceId,
    },
    /// A technician may work here for so many minutes; 0: no longer.
    Consent {
        minutes: u32,
        code: Hidden,
    },
    /// The door's key was tried and works.
    KeyWorks {
        code: Hidden,
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
    PutOff {
        schedule: String,
        code: Hidden,
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
    UserBlock {
        user: UserId,
        blocked: bool,
    },
    CredentialBlock {
        credential: String,
    },
    /// Whether codes can be given under threat on this site.
    DuressSet {
        on: bool,
    },
    UserSet {
        user: UserId,
        name: Option<String>,
        role: UserRole,
        code: Option<Hidden>,
        /// Another code, to be given under threat.
        #[serde(default)]
        duress_code: Option<Hidden>,
        /// Good until then, in ms since 1970.
        #[serde(default)]
        expires_ms: Option<i64>,
    },
    UserRemove {
        user: UserId,
    },
    /// The first owner, with the claim code and the code he has chosen.
    Claim {
        claim_code: Hidden,
        user: UserId,
        name: Option<String>,
        code: Hidden,
    },
    /// A new claim code, in place of the one before.
    ClaimNew {},
    DeviceList {},
    /// Lists devices not known yet, a line each, until the time is over or the asker goes. With `joining` the Zigbee
    /// network is open for as long: to the one device that `device` and `install_code` name, or to any (`legacy`); with
    /// `teach` EnOcean devices are.
    DevicePermit {
        seconds: u32,
        joining: Option<Joining>,
        device: Option<DeviceId>,
        install_code: Option<Hidden>,
        /// To teach: the profile of a device that does not say it, and the key on the label of one that hides its own.
        eep: Option<Eep>,
        label: Option<Hidden>,
    },
    /// `key`: 32 hex digits, for devices that speak encrypted.
    DeviceAdd {
        device: DeviceId,
        kind: DeviceKind,
        name: Option<String>,
        key: Option<Hidden>,
        #[serde(default)]
        pet: bool,
        /// EnOcean: how its telegrams are read.
        eep: Option<Eep>,
        /// EnOcean: its security level format, two hex digits, where it has a key.
        slf: Option<String>,
        /// After so much silence it is missing, in seconds; 0: never.
        silence_s: Option<u32>,
    },
    /// `device` takes the place of `old`; the rest is as to add it.
    DeviceReplace {
        old: DeviceId,
        device: DeviceId,
        kind: DeviceKind,
        name: Option<String>,
        key: Option<Hidden>,
        #[serde(default)]
        pet: bool,
        eep: Option<Eep>,
        slf: Option<String>,
        silence_s: Option<u32>,
    },
    DeviceAssign {
        device: DeviceId,
        zone: ZoneId,
    },
    DeviceRemove {
        device: DeviceId,
    },
}

impl Request {
    /// What to tell whoever asks this and is not root, where only root may: who could read and write the hub's secrets
    /// anyway. Who is an owner now, the state tells.
    pub fn only_root(&self, is_owner: impl Fn(&UserId) -> bool) -> Option<&'static str> {
        let owners = "only root makes or changes an owner; an owner himself claims with `vaktd claim`";
        match self {
            Request::ClaimNew {} => Some("only root draws a claim code: try it with sudo"),
            Request::UserSet { role: UserRole::Owner, .. } => Some(owners),
            Request::UserSet { user, .. } | Request::UserRemove { user } if is_owner(user) => Some(owners),
            _ => None,
        }
    }
}

/// Reads one line.
///
/// # Errors
/// The answer to give instead.
pub fn parse(line: &[u8]) -> Result<Request, String> {
    serde_json::from_slice(line).map_err(|error| {
        // The error may quote the value it stumbled over, which may be a code: say where, not what.
        let text = match error.classify() {
            serde_json::error::Category::Data => {
                "this is not a request: an unknown command, or a member that is missing, unknown or of the wrong form"
            }
            _ => "this is not a line of JSON",
        };
        refusal("bad_request", &format!("{text} (column {})", error.column()))
    })
}

/// A refusal as a line.
pub fn refusal(code: &str, text: &str) -> String {
    json!({"ok": false, "refused": code, "text": text}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S8: the group `vakt` installs, and neither makes an owner nor takes one's place.
    #[test]
    fn s8_only_root_makes_changes_and_removes_an_owner() {
        let only_root = |line: &str| {
            let request = parse(line.as_bytes()).expect("a request");
            request.only_root(|user| user.as_str() == "anna").is_some()
        };
        for line in [
            r#"{"command":"claim_new"}"#,
            r#"{"command":"user_set","user":"eve","role":"owner","code":"13579"}"#,
            r#"{"command":"user_set","user":"anna","role":"owner"}"#,
            r#"{"command":"user_set","user":"anna","role":"member","code":"13579"}"#,
            r#"{"command":"user_set","user":"anna","role":"guard","duress_code":"13579"}"#,
            r#"{"command":"user_remove","user":"anna"}"#,
        ] {
            assert!(only_root(line), "{line}");
        }
        for line in [
            r#"{"command":"claim","claim_code":"01K7G-MXTBZ","user":"anna","code":"13579"}"#,
            r#"{"command":"user_set","user":"ben","role":"member","code":"13579"}"#,
            r#"{"command":"user_remove","user":"ben"}"#,
            r#"{"command":"area_set","area":"house","entry_s":30,"exit_s":45}"#,
        ] {
            assert!(!only_root(line), "{line}");
        }
    }

    #[test]
    fn a_request_is_read_and_a_wrong_one_never_quotes_a_code() {
        let read = parse(br#"{"command":"disarm","code":"12345"}"#);
        assert_eq!(read, Ok(Request::Disarm { area: None, code: Hidden("12345".into()) }));
        assert!(!format!("{read:?}").contains("12345"));
        for bad in [
            &br#"{"command":"disarm","code":12345}"#[..],
            br#"{"command":"disarm","code":"12345","oops":1}"#,
            br#"{"command":"open_the_door","code":"12345"}"#,
            br#"{"command":"disarm","code":"12345""#,
            b"\xff\xfe",
            b"",
        ] {
            let answer = parse(bad).expect_err("it is no request");
            assert!(answer.contains("bad_request") && !answer.contains("12345"), "{answer}");
        }
    }
}
