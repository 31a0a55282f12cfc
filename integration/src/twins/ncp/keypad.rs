//! A virtual keypad: a client of IAS ACE (Zigbee Cluster Library, chapter 8.3), with a person at it and a display that
//! shows what the hub told it last.
//!
//! It believes an answer only when it carries its question's sequence number, and lights its error LED when none comes,
//! as frient's and Hive's do (zigbee2mqtt #32547). It never checks a code: that is the hub's.

use super::bytes::Reader;
use super::bytes::Short;
use super::bytes::Writer;
use super::function::BadHabit;
use super::function::Deed;
use super::function::Heard;
use super::function::Part;
use super::function::Turn;
use super::function::Wish;
use super::function::Work;
use super::function::ms;
use super::function::status;
use super::function::yes;
use super::zcl::DEFAULT_RESPONSE;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// IAS ACE.
pub const IAS_ACE: u16 = 0x0501;

/// How long the hub has for an answer, usually.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most questions that wait for an answer; then the oldest is forgotten, and its LED with it.
const ASKS_MOST: usize = 16;

/// The person's hand is at the first key so much earlier than at the last.
const TYPES_FOR: Duration = Duration::from_millis(300);

/// From the keypad.
mod ask {
    pub const ARM: u8 = 0x00;
    pub const BYPASS: u8 = 0x01;
    pub const EMERGENCY: u8 = 0x02;
    pub const FIRE: u8 = 0x03;
    pub const PANIC: u8 = 0x04;
    pub const ZONE_MAP: u8 = 0x05;
    pub const ZONE_INFO: u8 = 0x06;
    pub const PANEL: u8 = 0x07;
    pub const BYPASSED: u8 = 0x08;
    pub const ZONE_STATUS: u8 = 0x09;
}

/// What is typed or asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// 0 disarm, 1 day, 2 night, 3 all; the code as typed, or a tag as its reader sends it; the zone, 0 mostly.
    Arm(u8, String, u8),
    /// Leave these zones out, with this code.
    Bypass(Vec<u8>, String),
    /// SOS.
    Emergency,
    /// Fire.
    Fire,
    /// Panic.
    Panic,
    /// A hand comes near: it asks how the panel stands.
    Wake,
    /// Which zones there are.
    ZoneMap,
    /// What a zone is.
    ZoneInfo(u8),
    /// Which zones are left out.
    Bypassed,
    /// From this zone on, at most so many, only those with one of these bits when there are any.
    ZoneStatus(u8, u8, u16),
}

/// How it behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeypadHabits {
    /// A hand at it while it sleeps makes it ask for the panel's status first. A fob does not.
    pub asks_first: bool,
    /// How long it waits for an answer.
    pub patience: Duration,
}

/// What it was told of the panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Panel {
    /// 0 disarmed … 4 exit delay, 5 entry delay, 6 not ready, 7 in alarm, 8 to 10 arming.
    pub status: u8,
    /// Seconds left when it was told.
    pub seconds: u8,
    /// 0 mute, 1 default sound, from 0x80 a maker's.
    pub audible: u8,
    /// 0 none, 1 burglar, 2 fire …
    pub alarm: u8,
    /// When it was told.
    pub at: Duration,
}

impl Panel {
    /// What its countdown shows now, seconds.
    pub fn left(&self, now: Duration) -> u8 {
        let gone = now.saturating_sub(self.at).as_secs();
        self.seconds.saturating_sub(u8::try_from(gone).unwrap_or(u8::MAX))
    }
}

/// What it shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Display {
    /// How the panel stands.
    pub panel: Option<Panel>,
    /// The last ArmResponse: 0 disarmed, 1 day, 2 night, 3 all, 4 bad code, 5 not ready, 6 already disarmed.
    pub arm: Option<u8>,
    /// ArmResponses so far.
    pub arms: u32,
    /// Its error LED is on: the hub did not answer in time, or with an error.
    pub error: bool,
    /// How often that LED came on.
    pub errors: u32,
    /// The last command that a Default Response was for, and its status.
    pub confirmed: Option<(u8, u8)>,
    /// Zones there are, 256 bits.
    pub zone_map: Option<[u16; 16]>,
    /// A zone: id, type, its device, label.
    pub zone: Option<(u8, u16, u64, String)>,
    /// A zone that has changed: id, status, audible, label.
    pub zone_changed: Option<(u8, u16, u8, String)>,
    /// Zones left out.
    pub bypassed: Option<Vec<u8>>,
    /// What became of each zone in the last wish to leave some out.
    pub bypass: Option<Vec<u8>>,
    /// Whether that was all, and zones with their status.
    pub zone_status: Option<(bool, Vec<(u8, u16)>)>,
    /// Answers that no question of its was open for.
    pub strays: u32,
    /// What it could not make sense of.
    pub nonsense: u32,
}

#[derive(Debug)]
struct Ask {
    number: u32,
    command: u8,
    sequence: Option<u8>,
}

/// A keypad.
#[derive(Debug)]
pub struct Keypad {
    /// How it behaves.
    pub habits: KeypadHabits,
    /// What it shows.
    pub display: Display,
    asks: Vec<Ask>,
    number: u32,
}

impl Keypad {
    /// A keypad, or a fob, out of its box.
    pub fn new(asks_first: bool) -> Self {
        let habits = KeypadHabits { asks_first, patience: PATIENCE };
        Self { habits, display: Display::default(), asks: Vec::new(), number: 0 }
    }

    fn asks(&mut self, after: Duration, command: u8, body: Vec<u8>) -> [Wish; 2] {
        self.number += 1;
        if self.asks.len() >= ASKS_MOST {
            self.asks.remove(0);
        }
        self.asks.push(Ask { number: self.number, command, sequence: None });
        [
            Wish::Tell { after, cluster: IAS_ACE, from_server: false, command, body },
            Wish::Later { after: after + self.habits.patience, work: Work::Unanswered(self.number) },
        ]
    }

    /// Whether this answers an open question.
    fn answered(&mut self, command: u8, sequence: u8) -> bool {
        let open = |ask: &Ask| (ask.command, ask.sequence) == (command, Some(sequence));
        let Some(at) = self.asks.iter().position(open) else {
            self.display.strays += 1;
            return false;
        };
        self.asks.remove(at);
        self.display.error = false;
        true
    }

    /// A Default Response.
    fn confirmed(&mut self, sequence: u8, command: u8, said: u8) {
        if !self.asks.iter().any(|ask| (ask.command, ask.sequence) == (command, Some(sequence))) {
            self.display.strays += 1;
            return;
        }
        self.display.confirmed = Some((command, said));
        let has_answer = !(ask::EMERGENCY..=ask::PANIC).contains(&command);
        if said == status::SUCCESS && has_answer {
            // It says only that the question came, and zigpy's hosts send it first: the keypad waits on.
            return;
        }
        self.answered(command, sequence);
        if said != status::SUCCESS {
            self.fails();
        }
    }

    fn fails(&mut self) {
        self.display.error = true;
        self.display.errors += 1;
    }

    /// The hub's command; the status of the Default Response.
    fn says(&mut self, heard: &Heard, mut r: Reader<'_>) -> Result<u8, Short> {
        let sequence = heard.header.sequence;
        match heard.header.command {
            0x00 => {
                let told = r.u8()?;
                if told > 6 {
                    return Ok(status::INVALID_VALUE);
                }
                if self.answered(ask::ARM, sequence) {
                    self.display.arm = Some(told);
                    self.display.arms += 1;
                }
            }
            0x01 => {
                let words = r.words(16)?;
                if self.answered(ask::ZONE_MAP, sequence) {
                    self.display.zone_map = words.try_into().ok();
                }
            }
            0x02 => {
                let zone = (r.u8()?, r.u16()?, r.eui()?.0, text(r.counted()?));
                if self.answered(ask::ZONE_INFO, sequence) {
                    self.display.zone = Some(zone);
                }
            }
            0x03 => self.display.zone_changed = Some((r.u8()?, r.u16()?, r.u8()?, text(r.counted()?))),
            command @ (0x04 | 0x05) => {
                let panel =
                    Panel { status: r.u8()?, seconds: r.u8()?, audible: r.u8()?, alarm: r.u8()?, at: heard.now };
                if panel.status > 0x0A || panel.alarm > 6 || (2..0x80).contains(&panel.audible) {
                    return Ok(status::INVALID_VALUE);
                }
                if command == 0x04 || self.answered(ask::PANEL, sequence) {
                    self.display.panel = Some(panel);
                }
            }
            0x06 => {
                let zones = r.counted()?.to_vec();
                // It comes as an answer and by itself.
                let open = |asked: &Ask| asked.command != ask::BYPASSED || asked.sequence != Some(sequence);
                self.asks.retain(open);
                self.display.bypassed = Some(zones);
            }
            0x07 => {
                let results = r.counted()?.to_vec();
                if self.answered(ask::BYPASS, sequence) {
                    self.display.bypass = Some(results);
                }
            }
            0x08 => {
                let (complete, count) = (r.u8()? != 0, r.u8()?);
                let zones = (0..count).map(|_| Ok((r.u8()?, r.u16()?))).collect::<Result<_, Short>>()?;
                if self.answered(ask::ZONE_STATUS, sequence) {
                    self.display.zone_status = Some((complete, zones));
                }
            }
            _ => return Ok(status::UNSUPPORTED_COMMAND),
        }
        Ok(status::SUCCESS)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A zone status question's "only those with one of these bits", and the mask that says which.
fn filter(mask: u16) -> (u8, u16) {
    (u8::from(mask != 0), mask)
}

impl Part for Keypad {
    fn outputs(&self) -> &'static [u16] {
        &[IAS_ACE]
    }

    fn server_says(&mut self, heard: &Heard, mut r: Reader<'_>) -> Result<Option<Turn>, Short> {
        if heard.cluster != IAS_ACE {
            return Ok(None);
        }
        if !heard.header.specific {
            if heard.header.command == DEFAULT_RESPONSE {
                self.confirmed(heard.header.sequence, r.u8()?, r.u8()?);
            }
            return Ok(None);
        }
        let said = self.says(heard, r).inspect_err(|Short| self.display.nonsense += 1)?;
        self.display.nonsense += u32::from(said != status::SUCCESS);
        Ok(Some(Turn::status(said)))
    }

    fn told(&mut self, cluster: u16, command: u8, sequence: u8) {
        let mut open = self.asks.iter_mut().filter(|ask| cluster == IAS_ACE && ask.command == command);
        if let Some(ask) = open.find(|ask| ask.sequence.is_none()) {
            ask.sequence = Some(sequence);
        }
    }

    fn works(&mut self, _now: Duration, work: Work) -> Vec<Wish> {
        let at = self.asks.iter().position(|ask| Work::Unanswered(ask.number) == work);
        if let Some(at) = at {
            let ask = self.asks.remove(at);
            // What has no answer of its own may stay without one.
            if !(ask::EMERGENCY..=ask::PANIC).contains(&ask.command) {
                self.fails();
            }
        }
        Vec::new()
    }

    fn hand(&mut self, _now: Duration, deed: &Deed, asleep: bool) -> Option<Vec<Wish>> {
        let Deed::Key(key) = deed else { return None };
        let out = Writer::new();
        let (command, body) = match key {
            Key::Arm(mode, code, zone) => (ask::ARM, out.u8(*mode).counted(code.as_bytes()).u8(*zone).done()),
            Key::Bypass(zones, code) => (ask::BYPASS, out.counted(zones).counted(code.as_bytes()).done()),
            Key::Emergency => (ask::EMERGENCY, Vec::new()),
            Key::Fire => (ask::FIRE, Vec::new()),
            Key::Panic => (ask::PANIC, Vec::new()),
            Key::Wake => (ask::PANEL, Vec::new()),
            Key::ZoneMap => (ask::ZONE_MAP, Vec::new()),
            Key::ZoneInfo(zone) => (ask::ZONE_INFO, vec![*zone]),
            Key::Bypassed => (ask::BYPASSED, Vec::new()),
            Key::ZoneStatus(start, most, mask) => {
                let (only, mask) = filter(*mask);
                (ask::ZONE_STATUS, out.u8(*start).u8(*most).u8(only).u16(mask).done())
            }
        };
        let first = asleep && self.habits.asks_first && command != ask::PANEL;
        let mut wishes = Vec::new();
        if first {
            wishes.extend(self.asks(Duration::ZERO, ask::PANEL, Vec::new()));
        }
        let after = if first { TYPES_FOR } else { Duration::ZERO };
        wishes.extend(self.asks(after, command, body));
        Some(wishes)
    }

    fn forgets(&mut self) {
        *self = Self { habits: self.habits.clone(), number: self.number, ..Self::new(true) };
    }

    fn habit(&mut self, name: &str, value: &str) -> Result<(), BadHabit> {
        match name {
            "asks" => self.habits.asks_first = yes(value)?,
            "patience" => self.habits.patience = ms(value)?,
            _ => return Err(BadHabit::Name),
        }
        Ok(())
    }

    fn shows(&self, now: Duration) -> Value {
        let mut shown = serde_json::to_value(&self.display).unwrap_or_default();
        shown["left"] = self.display.panel.map(|panel| panel.left(now)).into();
        shown
    }
}
