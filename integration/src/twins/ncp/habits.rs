//! What a virtual detector is and how it behaves: data a test writes down, with the usual habits of each kind.

use super::memory::Key;
use std::time::Duration;

/// What it detects.
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
}

impl Kind {
    /// Every kind with its name in a control line, zone type, manufacturer and model.
    pub const ALL: [(Self, &'static str, u16, &'static str, &'static str); 9] = [
        (Self::Contact, "contact", 0x0015, "eWeLink", "DS01"),
        (Self::Motion, "motion", 0x000D, "eWeLink", "MS01"),
        (Self::Smoke, "smoke", 0x0028, "HEIMAN", "SmokeSensor-EM"),
        (Self::Heat, "heat", 0x0028, "frient A/S", "HESZB-120"),
        (Self::CarbonMonoxide, "co", 0x002B, "HEIMAN", "COSensor-EM"),
        (Self::Water, "water", 0x002A, "HEIMAN", "WaterSensor-EM"),
        (Self::Vibration, "vibration", 0x002D, "HEIMAN", "Vibration-EF_3.0"),
        (Self::GlassBreak, "glass", 0x0226, "LUMI", "GlassBreak"),
        (Self::Sos, "sos", 0x002C, "frient A/S", "SBTZB-110"),
    ];

    fn row(self) -> &'static (Self, &'static str, u16, &'static str, &'static str) {
        Self::ALL.iter().find(|row| row.0 == self).unwrap_or(&Self::ALL[0])
    }

    /// From its name in a control line.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// IAS zone type.
    pub fn zone_type(self) -> u16 {
        self.row().2
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
    /// What it detects.
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
        let (_, _, _, manufacturer, model) = kind.row();
        Self {
            kind,
            manufacturer: (*manufacturer).to_owned(),
            model: (*model).to_owned(),
            endpoint: 1,
            enrolment: Enrolment::AutoResponse,
            sleepy: true,
            short_poll: Duration::from_millis(100),
            long_poll: Duration::from_secs(6),
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
