//! What a site is made of: ids that say what they name, the kinds of detectors and how far their radio can be trusted.
//!
//! Ids are checked once, where they enter; past that point a wrong one cannot exist. An id names, it never authorises.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {rule}")]
pub struct BadId {
    text: String,
    what: &'static str,
    rule: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(#[schemars(with = "String")] Arc<str>);

        impl $name {
            /// The id from text, if it is one.
            ///
            /// # Errors
            /// What the rule is.
            pub fn new(text: impl Into<String>) -> Result<Self, BadId> {
                let text = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&text) { Ok(Self(text.into())) } else { Err(BadId { text, what: $what, rule: $rule }) }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn plain(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn device(text: &str) -> bool {
    let known =
        ["zb-", "en-", "wm-", "rf-", "cam-", "hub-"].iter().any(|p| text.starts_with(p) && text.len() > p.len());
    known
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
}

id!(
    /// A gateway, `[a-z0-9-]{1,32}`; also its client certificate's CN.
    GatewayId, "a gateway id", "1 to 32 of a-z, 0-9 and -", plain
);
id!(
    /// What is armed together.
    AreaId, "an area id", "1 to 32 of a-z, 0-9 and -", plain
);
id!(
    /// A detector's place in an area; stays when the detector is replaced.
    ZoneId, "a zone id", "1 to 32 of a-z, 0-9 and -", plain
);
id!(
    /// A person, opaque: the name is in an event's personal part only.
    UserId, "a user id", "1 to 32 of a-z, 0-9 and -", plain
);
id!(
    /// A device by its radio identity, e.g. `wm-las-00010204-03-1a` or `zb-00124b0001020304.2`.
    DeviceId, "a device id", "zb-, en-, wm-, rf-, cam- or hub-, then a-z, 0-9, - and ., 64 at most", device
);

impl DeviceId {
    /// Its radio cannot prove who speaks: wireless M-Bus in mode 5 or clear, EnOcean without a key (contract, "Trust in
    /// radio"), and all that rtl_433 hears: its detectors have a checksum at most, so whoever has a transmitter speaks for
    /// them.
    pub fn is_unproven(&self, keyed: bool) -> bool {
        let in_clear = self.as_str().starts_with("en-") && !keyed;
        in_clear || self.as_str().starts_with("wm-") || self.is_best_effort()
    }

    /// It is heard by rtl_433, `rf-<model>-<id>`: by a program of others that may fall or go deaf, over a radio that nobody
    /// has to know a key for. It may raise alarms and tell; nothing is made to wait for it.
    pub fn is_best_effort(&self) -> bool {
        self.as_str().starts_with("rf-")
    }

    /// It is wired to the hub: the install facts name its pin, so nobody needs to let it in.
    pub fn is_wired(&self) -> bool {
        self.as_str().starts_with("hub-")
    }

    /// The housing it is in: several functions of one device share it.
    pub fn housing(&self) -> &str {
        self.as_str().split_once('.').map_or(self.as_str(), |(housing, _)| housing)
    }
}

/// How an EnOcean device's telegrams are to be read: the number of its EnOcean Equipment Profile (EEP 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Eep {
    /// Type of its telegrams.
    pub rorg: u8,
    /// Family.
    pub func: u8,
    /// Member.
    pub variant: u8,
}

impl Eep {
    /// From its three numbers.
    pub const fn new(rorg: u8, func: u8, variant: u8) -> Self {
        Self { rorg, func, variant }
    }
}

impl fmt::Display for Eep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02X}-{:02X}-{:02X}", self.rorg, self.func, self.variant)
    }
}

impl std::str::FromStr for Eep {
    type Err = String;

    /// As it is always written, `D5-00-01`; a maker in brackets may follow, as in `A5-30-03 (Eltako)`.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix(')').and_then(|text| text.split_once(" (")).map_or(text, |(number, _)| number);
        let parts: Vec<&str> = number.split('-').collect();
        let byte = |part: &str| {
            let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            digits.then(|| u8::from_str_radix(part, 16).ok()).flatten()
        };
        let found = match parts[..] {
            [rorg, func, variant] => byte(rorg).zip(byte(func)).zip(byte(variant)),
            _ => None,
        };
        let ((rorg, func), variant) =
            found.ok_or_else(|| format!("`{text}` is no profile: three times two hex digits, e.g. D5-00-01"))?;
        Ok(Self { rorg, func, variant })
    }
}

impl TryFrom<String> for Eep {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Eep> for String {
    fn from(eep: Eep) -> String {
        eep.to_string()
    }
}

/// What a detector watches for. A device that tells several things reports under the kind that alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the contract's own words
pub enum DeviceKind {
    Contact,
    Motion,
    Smoke,
    Heat,
    Co,
    Gas,
    Water,
    GlassBreak,
    Vibration,
    Sos,
    Keypad,
    Siren,
    Lock,
    Climate,
    Meter,
    Medical,
    Freeze,
    KeyBox,
    Camera,
    Fog,
    HoldUp,
    // The hub's own housing.
    Hub,
}

/// What the detector says of the thing it watches. There is no "unknown": a report that cannot be understood is no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// A contact is open.
    Open,
    /// A contact is closed.
    Closed,
    /// The thing it watches for is there: smoke, movement, water, a pressed button.
    Alarm,
    /// The thing it watches for is not there.
    Clear,
    /// A bolt is home.
    Locked,
    /// It is not.
    Unlocked,
    /// A smoke cannon can fire.
    Ready,
    /// It has fired.
    Spent,
}

/// How far a radio report can be trusted (contract, "Trust in radio"). Ordered: later is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Authenticated {
    /// No check at all.
    None,
    /// A checksum: noise is caught, an attacker is not.
    Crc,
    /// A message authentication code, but an old message can be played again.
    Mac,
    /// A code and a counter: replay-proof.
    MacCounter,
}

/// What keeps a detector from doing its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceFault {
    /// It was opened, or taken off its place.
    Tamper,
    /// Its battery is nearly empty.
    LowBattery,
    /// It says itself that it does not work.
    Fault,
    /// It is heard, but its telegrams cannot be read (wrong key, unknown form): it guards nothing.
    Unreadable,
    /// Its view is blocked or covered.
    Masked,
    /// It lost its mains supply.
    MainsLost,
    /// It has left its network, or what the hub needs to hear it is lost: it guards nothing.
    Gone,
    /// It has not been heard for too long: it guards nothing, or nobody knows.
    Missing,
    /// It has failed its own test.
    SelfTest,
}

/// One detector's word, as a port understood it. Made only from a frame whose every check passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Which device.
    pub device: DeviceId,
    /// What it watches for.
    pub kind: DeviceKind,
    /// What it says of it; `None` when this telegram says nothing of it (a battery report, a meter's reading).
    pub state: Option<DeviceState>,
    /// Opened or taken off, if it says.
    pub tamper: Option<bool>,
    /// Battery nearly empty, if it says.
    pub low_battery: Option<bool>,
    /// Out of order, if it says.
    pub fault: Option<bool>,
    /// How far this word can be trusted.
    pub authenticated: Authenticated,
    /// It says that its view is blocked or covered, if it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<bool>,
    /// It lost its mains supply, if it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mains_lost: Option<bool>,
    /// It is being tested, if it says. A test never hides an alarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<bool>,
    /// It only repeats what another detector said: no second witness (B11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relayed: Option<bool>,
    /// Battery, per cent, if it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub battery_percent: Option<u8>,
    /// The message counter that went with this word, where its check holds one: it only rises, and is recorded with what
    /// comes of the word, so that a telegram recorded on the air is not believed after a start either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<u32>,
    /// Received signal strength in dBm, where the receiver tells.
    pub rssi_dbm: Option<i16>,
    /// Link quality of the last hop, 0 to 255, where the receiver tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lqi: Option<u8>,
}

/// One number that a device measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurement {
    /// What it is, by the decoder's name: `external_temperature`, `volume`.
    pub measure: String,
    /// In thousandths of the unit.
    pub value_milli: i64,
    /// As on a display: `°C`, `m3`; empty for pure numbers.
    pub unit: String,
}

impl Measurement {
    /// The value in its unit, as it is written: 21.8, 43.
    pub fn value(&self) -> serde_json::Number {
        let whole = self.value_milli / 1_000;
        // Thousandths of what a device can count are far below what a double holds exactly.
        let broken = || serde_json::Number::from_f64(self.value_milli as f64 / 1_000.0);
        if self.value_milli % 1_000 == 0 { whole.into() } else { broken().unwrap_or_else(|| whole.into()) }
    }
}

impl Report {
    /// A report that says nothing yet.
    pub fn silent(device: DeviceId, kind: DeviceKind, authenticated: Authenticated) -> Self {
        Self {
            device,
            kind,
            state: None,
            tamper: None,
            low_battery: None,
            fault: None,
            authenticated,
            masked: None,
            mains_lost: None,
            test: None,
            relayed: None,
            battery_percent: None,
            counter: None,
            rssi_dbm: None,
            lqi: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_refused_with_their_rule() {
        assert!(AreaId::new("house").is_ok());
        for bad in ["", "House", "a b", "å", &"x".repeat(33)] {
            assert!(AreaId::new(bad).is_err(), "{bad}");
        }
        assert!(DeviceId::new("wm-las-00010204-03-1a").is_ok());
        assert!(DeviceId::new("rf-wh55-30cf55").is_ok());
        for bad in ["wm-", "rf-", "xx-1", "wm-LAS", "wm-a/b", "wm-a+b"] {
            assert!(DeviceId::new(bad).is_err(), "{bad}");
        }
        assert!(DeviceId::new("q").unwrap_err().to_string().contains("zb-, en-, wm-"));
    }

    #[test]
    fn what_rtl_433_hears_proves_nothing_and_nothing_waits_for_it() {
        let is = |id: &str| DeviceId::new(id).map(|id| (id.is_unproven(true), id.is_best_effort())).unwrap();
        assert_eq!(is("rf-cavius-door-dc3ce3126533"), (true, true));
        assert_eq!(is("wm-las-00010204-03-1a"), (true, false));
        assert_eq!(is("zb-00124b0001020304"), (false, false));
        assert_eq!(is("en-019eb63b"), (false, false));
        assert!(DeviceId::new("en-019eb63b").unwrap().is_unproven(false), "nobody has to know a key for it");
    }

    #[test]
    fn a_measured_value_is_written_in_its_unit() {
        let written = |value_milli| {
            Measurement { measure: "volume".to_owned(), value_milli, unit: "m3".to_owned() }.value().to_string()
        };
        assert_eq!(written(21_800), "21.8");
        assert_eq!(written(43_000), "43");
        assert_eq!(written(-5), "-0.005");
        assert_eq!(written(28_504_270), "28504.27");
        assert_eq!(written(i64::MAX / 1_000 * 1_000), (i64::MAX / 1_000).to_string());
    }

    #[test]
    fn trust_is_ordered() {
        assert!(Authenticated::None < Authenticated::Crc);
        assert!(Authenticated::Mac < Authenticated::MacCounter);
    }
}
