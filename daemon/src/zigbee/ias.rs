//! IAS Zone, cluster 0x0500: what a Zigbee detector says, and how it is enrolled (07-5123, chapter 8.2). Bytes here;
//! what they mean for the alarm system stands in `ias_meaning`.

use crate::zigbee::bytes::Reader;
use crate::zigbee::eui64::Eui64;
use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;
use crate::zigbee::zcl::Direction;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Scope;
use crate::zigbee::zcl_global::Attribute;
use crate::zigbee::zcl_global::Global;
use crate::zigbee::zcl_value::DataType;
use crate::zigbee::zcl_value::Value;

/// The cluster's id.
pub const CLUSTER: u16 = 0x0500;

/// The cluster's attributes.
pub mod attribute {
    #![allow(missing_docs)] // the standard's own names
    pub const ZONE_STATE: u16 = 0x0000;
    pub const ZONE_TYPE: u16 = 0x0001;
    pub const ZONE_STATUS: u16 = 0x0002;
    pub const CIE_ADDRESS: u16 = 0x0010;
    pub const ZONE_ID: u16 = 0x0011;
}

/// Commands from a detector.
mod from_zone {
    pub const STATUS_CHANGE_NOTIFICATION: u8 = 0x00;
    pub const ENROLL_REQUEST: u8 = 0x01;
}

/// The command to a detector.
const ENROLL_RESPONSE: u8 = 0x00;

/// What a detector calls itself (07-5123, table 8-5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the standard's own names
pub enum ZoneType {
    StandardCie,
    Motion,
    Contact,
    /// A door's or window's handle.
    Handle,
    Fire,
    Water,
    /// Carbon monoxide by the first alarm bit, gas by the second; makers of gas detectors use either.
    CarbonMonoxide,
    PersonalEmergency,
    Vibration,
    Remote,
    KeyFob,
    Keypad,
    /// A siren.
    WarningDevice,
    GlassBreak,
    Repeater,
    /// "Invalid zone type", a maker's own, or one newer than this table.
    Other(u16),
}

const ZONE_TYPES: [(u16, ZoneType, &str); 15] = [
    (0x0000, ZoneType::StandardCie, "standard_cie"),
    (0x000D, ZoneType::Motion, "motion"),
    (0x0015, ZoneType::Contact, "contact"),
    (0x0016, ZoneType::Handle, "handle"),
    (0x0028, ZoneType::Fire, "fire"),
    (0x002A, ZoneType::Water, "water"),
    (0x002B, ZoneType::CarbonMonoxide, "carbon_monoxide"),
    (0x002C, ZoneType::PersonalEmergency, "personal_emergency"),
    (0x002D, ZoneType::Vibration, "vibration"),
    (0x010F, ZoneType::Remote, "remote"),
    (0x0115, ZoneType::KeyFob, "key_fob"),
    (0x021D, ZoneType::Keypad, "keypad"),
    (0x0225, ZoneType::WarningDevice, "warning_device"),
    (0x0226, ZoneType::GlassBreak, "glass_break"),
    (0x0229, ZoneType::Repeater, "repeater"),
];

impl ZoneType {
    /// The type of a code.
    pub fn new(code: u16) -> Self {
        ZONE_TYPES.iter().find(|row| row.0 == code).map_or(Self::Other(code), |row| row.1)
    }

    /// Its code.
    pub fn code(self) -> u16 {
        match self {
            Self::Other(code) => code,
            known => ZONE_TYPES.iter().find(|row| row.1 == known).expect("every other type is in the table").0,
        }
    }

    /// Its name; `None` for types the standard does not have.
    pub fn name(self) -> Option<&'static str> {
        ZONE_TYPES.iter().find(|row| row.1 == self).map(|row| row.2)
    }
}

/// The ZoneStatus bits, all sixteen as they came (07-5123, table 8-6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneStatus(pub u16);

/// The names of bits 0 to 9.
const BITS: [&str; 10] = [
    "alarm1",
    "alarm2",
    "tamper",
    "battery_low",
    "supervision_reports",
    "restore_reports",
    "trouble",
    "mains_lost",
    "test",
    "battery_defect",
];

impl ZoneStatus {
    fn bit(self, bit: u8) -> bool {
        self.0 >> bit & 1 != 0
    }

    /// Either alarm bit.
    pub fn alarm(self) -> bool {
        self.alarm1() || self.alarm2()
    }

    /// The first alarm of its type.
    pub fn alarm1(self) -> bool {
        self.bit(0)
    }

    /// The second alarm of its type.
    pub fn alarm2(self) -> bool {
        self.bit(1)
    }

    /// Opened or taken off.
    pub fn tamper(self) -> bool {
        self.bit(2)
    }

    /// The battery is low.
    pub fn battery_low(self) -> bool {
        self.bit(3)
    }

    /// It repeats its status by itself, so that silence means something.
    pub fn supervision_reports(self) -> bool {
        self.bit(4)
    }

    /// It tells when an alarm is over.
    pub fn restore_reports(self) -> bool {
        self.bit(5)
    }

    /// It says itself that it does not work.
    pub fn trouble(self) -> bool {
        self.bit(6)
    }

    /// It lost its mains supply.
    pub fn mains_lost(self) -> bool {
        self.bit(7)
    }

    /// It is being tested, or in its test mode.
    pub fn test(self) -> bool {
        self.bit(8)
    }

    /// The battery is broken.
    pub fn battery_defect(self) -> bool {
        self.bit(9)
    }

    /// The bits the standard reserves (10 to 15), in their places. Devices in the field set them.
    pub fn reserved(self) -> u16 {
        self.0 & 0xFC00
    }

    /// The names of the bits that are set, reserved ones as `bit10` and so on.
    pub fn names(self) -> Vec<String> {
        let name = |bit: u8| BITS.get(usize::from(bit)).map_or_else(|| format!("bit{bit}"), ToString::to_string);
        (0..16).filter(|bit| self.bit(*bit)).map(name).collect()
    }
}

/// A detector's word that its status changed, or that it is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusChange {
    /// What it says.
    pub status: ZoneStatus,
    /// Kept by the standard for later: 0 so far.
    pub extended: u8,
    /// The id it was enrolled with; the short form has none.
    pub zone_id: Option<u8>,
    /// How long ago the change was, in quarters of a second; the short form has none.
    pub delay_quarter_s: Option<u16>,
}

/// A command of the cluster, from a detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromZone {
    /// Its status.
    StatusChange(StatusChange),
    /// It asks to be enrolled; the answer must have the same transaction number ([`enroll_response`]).
    EnrollRequest {
        /// What it calls itself.
        zone_type: ZoneType,
        /// Who made it.
        manufacturer: u16,
    },
}

impl FromZone {
    /// Reads a detector's own command. The standard's form of a status change has six bytes and older devices send
    /// the first three; what is between is a cut message and no status. Bytes after the end are passed over, as the
    /// standard asks: an alarm must not be lost to a field that came later.
    ///
    /// # Errors
    /// `too_short`; `not_supported` for other commands, makers' extensions and the other direction.
    pub fn parse(header: &Header, reader: &mut Reader) -> Result<Self, Refused> {
        let ours = (header.scope, header.direction, header.manufacturer);
        match (ours, header.command) {
            ((Scope::Cluster, Direction::ToClient, None), from_zone::STATUS_CHANGE_NOTIFICATION) => {
                let short = reader.left() == 3;
                let status = ZoneStatus(reader.u16("the zone status")?);
                let extended = reader.u8("the extended status")?;
                let zone_id = if short { None } else { Some(reader.u8("the zone id")?) };
                let delay_quarter_s = if short { None } else { Some(reader.u16("the delay")?) };
                Ok(Self::StatusChange(StatusChange { status, extended, zone_id, delay_quarter_s }))
            }
            ((Scope::Cluster, Direction::ToClient, None), from_zone::ENROLL_REQUEST) => {
                let zone_type = ZoneType::new(reader.u16("the zone type")?);
                Ok(Self::EnrollRequest { zone_type, manufacturer: reader.u16("the manufacturer")? })
            }
            _ => Err(Refused::new(Reason::NotSupported, 0, "not a command of an IAS Zone server")),
        }
    }
}

/// What the hub says to a detector that wants to be enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the standard's own names
pub enum EnrollCode {
    Success = 0,
    NotSupported = 1,
    NoEnrollPermit = 2,
    TooManyZones = 3,
}

/// The answer to an enrol request with its transaction number, or the unasked one that enrols many detectors.
pub fn enroll_response(tsn: u8, code: EnrollCode, zone_id: u8) -> Vec<u8> {
    let header = Header { scope: Scope::Cluster, ..Header::request(tsn, ENROLL_RESPONSE) };
    header.message(&[code as u8, zone_id])
}

/// The write that makes the hub a detector's Control and Indicating Equipment: whom it alarms.
pub fn write_cie_address(tsn: u8, hub: Eui64) -> Vec<u8> {
    Global::Write(vec![Attribute { id: attribute::CIE_ADDRESS, value: Value::eui64(hub) }]).request(tsn)
}

/// The read that tells how a detector stands: enrolled or not, with whom, as what, and its status.
pub fn read_zone(tsn: u8) -> Vec<u8> {
    use attribute::*;
    Global::Read(vec![ZONE_STATE, ZONE_TYPE, ZONE_STATUS, CIE_ADDRESS, ZONE_ID]).request(tsn)
}

/// What a report or an answer tells of a detector; `None` for what it does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ZoneAttributes {
    /// Whether it holds itself enrolled.
    pub enrolled: Option<bool>,
    /// What it calls itself.
    pub zone_type: Option<ZoneType>,
    /// What it says.
    pub status: Option<ZoneStatus>,
    /// Whom it alarms.
    pub cie: Option<Eui64>,
    /// The id it was given; FF is none.
    pub zone_id: Option<u8>,
}

impl ZoneAttributes {
    /// Gathers the attributes of the standard from a report or a read response without manufacturer code.
    ///
    /// # Errors
    /// `bad_value` where one has another type than the standard gives it: its bits would mean something else.
    pub fn of(told: &Global) -> Result<Self, Refused> {
        let mut found = Self::default();
        for (id, value) in told.told() {
            match id {
                attribute::ZONE_STATE => {
                    // 0 and 1 are all there is; another number is no enrolment.
                    found.enrolled = Some(bits(id, value, DataType::ENUM8)? == 1);
                }
                attribute::ZONE_TYPE => found.zone_type = Some(ZoneType::new(word(id, value, DataType::ENUM16)?)),
                attribute::ZONE_STATUS => found.status = Some(ZoneStatus(word(id, value, DataType::BITMAP16)?)),
                attribute::CIE_ADDRESS => found.cie = Some(Eui64(bits(id, value, DataType::EUI64)?)),
                attribute::ZONE_ID => {
                    let id = bits(id, value, DataType::UINT8)?;
                    found.zone_id = Some(u8::try_from(id).expect("a uint8"));
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Whether it is enrolled with this hub; a detector that alarms another hub is not.
    pub fn enrolled_with(&self, hub: Eui64) -> bool {
        self.enrolled == Some(true) && self.cie == Some(hub)
    }
}

fn bits(id: u16, value: &Value, wanted: DataType) -> Result<u64, Refused> {
    let (is, right) = (value.data_type(), wanted.name());
    let text = || format!("attribute 0x{id:04x} of IAS Zone is a {}, it must be a {right}", is.name());
    value.bits().filter(|_| is == wanted).ok_or_else(|| Refused::new(Reason::BadValue, 0, text()))
}

fn word(id: u16, value: &Value, wanted: DataType) -> Result<u16, Refused> {
    bits(id, value, wanted).map(|bits| u16::try_from(bits).expect("a type of two bytes"))
}
