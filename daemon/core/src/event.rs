//! What happened: an event, which carries a fact (`fact`), and the words facts are made of.
//!
//! The words are for ever (contract, "Events"): add, never change.

pub use crate::fact::Fact;

use crate::device::{AreaId, Authenticated, DeviceId, UserId, ZoneId};
use crate::stamp::{Deadline, Stamp, rfc3339};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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

impl AlarmKind {
    /// Whether it goes over every path at once, without waiting for a deadline (contract, "Delivery").
    pub fn goes_every_way(self) -> bool {
        matches!(self, AlarmKind::HoldUp | AlarmKind::Duress | AlarmKind::Sos)
    }
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
    /// A burglary at the outside of the house.
    Perimeter,
    /// A burglary inside.
    Interior,
    /// A burglary by the door that people come in by.
    EntryDoor,
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
    /// Another incident continues it (B17), with a window of its own.
    Continued,
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

/// How a newcomer proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Joining {
    /// By the code printed on it.
    InstallCode,
    /// Not at all: the Zigbee network's key crosses the air under a key that everybody knows.
    Legacy,
    /// By being taught at this time: an EnOcean device whose button somebody presses.
    Teach,
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
    /// Nobody on site may read it: it belongs to an incident that they may not know of, or would tell a code under threat from
    /// one that is none.
    pub centre_only: bool,
}

impl Event {
    /// Whether only the centre may read it: whoever is on site must not learn of it (B1, B8). Other readers are shown that
    /// there is a row, and its hash.
    pub fn is_centre_only(&self) -> bool {
        self.centre_only || self.fact.is_silent()
    }
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
