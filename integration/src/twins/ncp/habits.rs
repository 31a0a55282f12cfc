//! What a virtual device is and how it behaves: data a test writes down, with the usual habits of each kind.

use super::memory::Key;
use std::time::Duration;

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its name")]
pub enum Kind {
    Contact,
    Motion,
    Smoke,
    Heat,
    CarbonMonoxide,
    Water,
    Vibration,
    GlassBreak,
    Sos,
    Keypad,
    KeyFob,
    Siren,
    Lock,
    Plug,
    Light,
    Relay,
}

/// What is known of a kind.
struct Row {
    kind: Kind,
    /// In a control line.
    name: &'static str,
    /// IAS zone type; one without a zone has none.
    zone_type: Option<u16>,
    /// Device id of its endpoint (Zigbee Home Automation and Lighting & Occupancy device lists).
    device: u16,
    manufacturer: &'static str,
    model: &'static str,
}

const fn row(
    kind: Kind,
    name: &'static str,
    zone_type: Option<u16>,
    device: u16,
    manufacturer: &'static str,
    model: &'static str,
) -> Row {
    Row { kind, name, zone_type, device, manufacturer, model }
}

const ROWS: [Row; 16] = [
    row(Kind::Contact, "contact", Some(0x0015), 0x0402, "eWeLink", "DS01"),
    row(Kind::Motion, "motion", Some(0x000D), 0x0402, "eWeLink", "MS01"),
    row(Kind::Smoke, "smoke", Some(0x0028), 0x0402, "HEIMAN", "SmokeSensor-EM"),
    row(Kind::Heat, "heat", Some(0x0028), 0x0402, "frient A/S", "HESZB-120"),
    row(Kind::CarbonMonoxide, "co", Some(0x002B), 0x0402, "HEIMAN", "COSensor-EM"),
    row(Kind::Water, "water", Some(0x002A), 0x0402, "HEIMAN", "WaterSensor-EM"),
    row(Kind::Vibration, "vibration", Some(0x002D), 0x0402, "HEIMAN", "Vibration-EF_3.0"),
    row(Kind::GlassBreak, "glass", Some(0x0226), 0x0402, "LUMI", "GlassBreak"),
    row(Kind::Sos, "sos", Some(0x002C), 0x0402, "frient A/S", "SBTZB-110"),
    row(Kind::Keypad, "keypad", Some(0x021D), 0x0401, "frient A/S", "KEPZB-110"),
    row(Kind::KeyFob, "fob", Some(0x0115), 0x0401, "HEIMAN", "RC-EF-3.0"),
    row(Kind::Siren, "siren", Some(0x0225), 0x0403, "HEIMAN", "WarningDevice-EF-3.0"),
    row(Kind::Lock, "lock", None, 0x000A, "Danalock", "V3-BTZB"),
    row(Kind::Plug, "plug", None, 0x0051, "SONOFF", "S26R2ZB"),
    row(Kind::Light, "light", None, 0x0100, "SONOFF", "ZBMINI-L"),
    row(Kind::Relay, "relay", None, 0x0002, "SONOFF", "01MINIZB"),
];

impl Kind {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.kind)
    }

    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.kind == self).unwrap_or(&ROWS[0])
    }

    /// From its name in a control line.
    pub fn named(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.kind)
    }

    /// Its name in a control line.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// IAS zone type, if it is a zone at all.
    pub fn zone_type(self) -> Option<u16> {
        self.row().zone_type
    }

    /// Device id of its endpoint.
    pub fn device(self) -> u16 {
        self.row().device
    }

    /// Its usual endpoint: HEIMAN and most others number from 1, frient's keypads are at 44.
    fn endpoint(self) -> u8 {
        if self == Self::Keypad { 44 } else { 1 }
    }

    /// It hangs on the mains, listens always and passes on others' messages.
    pub fn is_mains(self) -> bool {
        matches!(self, Self::Siren | Self::Plug | Self::Light | Self::Relay)
    }
}

/// When it becomes a zone (zigbee.md §2, the three modes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enrolment {
    /// At the EnrollResponse that comes unasked after the address was written.
    AutoResponse,
    /// It asks as soon as the address was written.
    AutoRequest,
    /// It asks when it is first tripped.
    WhenTripped,
}

/// How it behaves. The defaults are a sleepy contact as they are sold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one habit of a detector, free of the others")]
pub struct Habits {
    /// What it is.
    pub kind: Kind,
    /// Manufacturer name in Basic.
    pub manufacturer: String,
    /// Model in Basic.
    pub model: String,
    /// Its endpoint.
    pub endpoint: u8,
    /// How it becomes a zone.
    pub enrolment: Enrolment,
    /// It listens only when it polls.
    pub sleepy: bool,
    /// How often it polls while it is awake.
    pub short_poll: Duration,
    /// How often it polls while it sleeps.
    pub long_poll: Duration,
    /// How long it stays awake after it spoke.
    pub awake_for: Duration,
    /// How long it thinks before it answers.
    pub thinks: Duration,
    /// Its APS acknowledgements reach the stick; without, each message is done and yet told as failed.
    pub acks: bool,
    /// It asks for a Default Response to its notifications.
    pub wants_response: bool,
    /// It keeps further changes to itself until that response has come (Develco).
    pub holds_for_response: bool,
    /// How long it waits for that response before it says the same again.
    pub patience: Duration,
    /// How often it says each notification again, with the same sequence number.
    pub repeats: u32,
    /// The time between these.
    pub repeat_gap: Duration,
    /// How often it tries again when the stick does not acknowledge its radio frame.
    pub retries: u32,
    /// The time between these.
    pub retry_gap: Duration,
    /// It tells changes although it is no zone yet.
    pub tells_unenrolled: bool,
    /// Its notifications end behind the extended status, without zone id and delay.
    pub short_form: bool,
    /// Bits that are always set in its status: 4 supervision, 5 restore.
    pub standing_bits: u16,
    /// It lets its zone status be reported too.
    pub status_reportable: bool,
    /// The link key its install code stands for; the well-known key when it has none.
    pub install_key: Option<Key>,
}

impl Habits {
    /// The usual habits of a kind.
    pub fn of(kind: Kind) -> Self {
        let Row { manufacturer, model, .. } = kind.row();
        // A lock listens for its owner more often than a detector for its hub.
        let long_poll = Duration::from_millis(if kind == Kind::Lock { 1000 } else { 6000 });
        Self {
            kind,
            manufacturer: (*manufacturer).to_owned(),
            model: (*model).to_owned(),
            endpoint: kind.endpoint(),
            enrolment: Enrolment::AutoResponse,
            sleepy: !kind.is_mains(),
            short_poll: Duration::from_millis(100),
            long_poll,
            awake_for: Duration::from_secs(3),
            thinks: Duration::from_millis(8),
            acks: true,
            wants_response: true,
            holds_for_response: false,
            patience: Duration::from_secs(5),
            repeats: 0,
            repeat_gap: Duration::from_millis(60),
            retries: 3,
            retry_gap: Duration::from_millis(1500),
            tells_unenrolled: false,
            short_form: false,
            standing_bits: 0,
            status_reportable: false,
            install_key: None,
        }
    }
}
