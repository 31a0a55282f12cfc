//! A virtual siren: IAS WD (Zigbee Cluster Library, chapter 8.4). It sounds as it is told and stops by itself.
//!
//! What it sounds is a question of time, asked with one; it never sounds longer than its own limit.

use super::bytes::Reader;
use super::bytes::Short;
use super::function::BadHabit;
use super::function::Heard;
use super::function::Part;
use super::function::Reply;
use super::function::Turn;
use super::function::number;
use super::function::status;
use super::function::yes;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use std::collections::VecDeque;
use std::time::Duration;

/// IAS WD.
pub const IAS_WD: u16 = 0x0502;

/// MaxDuration as it comes, seconds.
const MAX_DURATION: u16 = 240;

/// The most commands it remembers; then the oldest goes.
const HISTORY_MOST: usize = 64;

/// How it behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SirenHabits {
    /// Of so many stops it misses the first, as if the frame had been lost behind its radio; 0 none.
    pub misses_stop: u32,
    /// It has no light and refuses a warning that wants one.
    pub refuses_strobe: bool,
}

/// A warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sound {
    /// 1 burglar, 2 fire, 3 emergency, 4 police panic, 5 fire panic, 6 emergency panic; 0 with the light alone.
    pub mode: u8,
    /// 0 low to 3 very high.
    pub level: u8,
    /// It flashes.
    pub strobe: bool,
    /// The flashes' share of a second, percent.
    pub duty: u8,
    /// 0 low to 3 very high.
    pub strobe_level: u8,
    /// Since when.
    pub since: Duration,
    /// Until when.
    pub until: Duration,
}

/// What it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// To sound.
    Start(Sound),
    /// To stop.
    Stop {
        /// It did.
        stopped: bool,
    },
    /// To squawk.
    Squawk {
        /// 0 armed, 1 disarmed.
        mode: u8,
        /// 0 low to 3 very high.
        level: u8,
        /// With a flash.
        strobe: bool,
        /// It did: not while it sounds.
        heard: bool,
    },
}

/// A siren.
#[derive(Debug)]
pub struct Siren {
    /// How it behaves.
    pub habits: SirenHabits,
    /// The longest it sounds, seconds: its attribute.
    pub max_duration: u16,
    /// Squawks given for armed and for disarmed.
    pub squawks: [u32; 2],
    /// What it was told and when.
    pub history: VecDeque<(Duration, Told)>,
    sound: Option<Sound>,
    stops: u32,
}

impl Default for Siren {
    fn default() -> Self {
        Self {
            habits: SirenHabits::default(),
            max_duration: MAX_DURATION,
            squawks: [0; 2],
            history: VecDeque::new(),
            sound: None,
            stops: 0,
        }
    }
}

impl Siren {
    /// What it sounds at this time.
    pub fn sounds(&self, now: Duration) -> Option<Sound> {
        self.sound.filter(|sound| (sound.since..sound.until).contains(&now))
    }

    fn remember(&mut self, now: Duration, told: Told) {
        if self.history.len() >= HISTORY_MOST {
            self.history.pop_front();
        }
        self.history.push_back((now, told));
    }

    fn warns(&mut self, now: Duration, mut r: Reader<'_>) -> Result<Reply, Short> {
        let (info, seconds, duty, strobe_level) = (r.u8()?, r.u16()?, r.u8()?, r.u8()?);
        let (mode, strobe, level) = (info >> 4, info >> 2 & 3, info & 3);
        if mode == 0 && strobe == 0 {
            let missed = self.habits.misses_stop > 0 && self.stops.is_multiple_of(self.habits.misses_stop);
            self.stops += 1;
            self.remember(now, Told::Stop { stopped: !missed });
            if missed {
                return Ok(Reply::Nothing);
            }
            self.sound = None;
            return Ok(Reply::Status(status::SUCCESS));
        }
        if mode > 6 || strobe > 1 || duty > 100 || strobe_level > 3 || strobe == 1 && self.habits.refuses_strobe {
            return Ok(Reply::Status(status::INVALID_FIELD));
        }
        let until = now + Duration::from_secs(u64::from(seconds.min(self.max_duration)));
        let sound = Sound { mode, level, strobe: strobe == 1, duty, strobe_level, since: now, until };
        self.sound = Some(sound);
        self.remember(now, Told::Start(sound));
        Ok(Reply::Status(status::SUCCESS))
    }

    fn squawks(&mut self, now: Duration, mut r: Reader<'_>) -> Result<Reply, Short> {
        let info = r.u8()?;
        let (mode, strobe, level) = (info >> 4, info & 8 != 0, info & 3);
        let Some(count) = self.squawks.get_mut(usize::from(mode)) else {
            return Ok(Reply::Status(status::INVALID_FIELD));
        };
        // ZCL: without effect while a warning is in progress.
        let heard = self.sound.is_none_or(|sound| now >= sound.until);
        *count += u32::from(heard);
        self.remember(now, Told::Squawk { mode, level, strobe, heard });
        Ok(Reply::Status(status::SUCCESS))
    }
}

impl Part for Siren {
    fn inputs(&self) -> &'static [u16] {
        &[IAS_WD]
    }

    fn attribute(&self, cluster: u16, id: u16) -> Option<(u8, Vec<u8>)> {
        ((cluster, id) == (IAS_WD, 0x0000)).then(|| (0x21, self.max_duration.to_le_bytes().to_vec()))
    }

    fn write(&mut self, cluster: u16, id: u16, value: &[u8]) -> Option<u8> {
        let most = Reader(value).u16().ok().filter(|_| (cluster, id) == (IAS_WD, 0x0000))?;
        // 0xFFFF is ZCL's "invalid".
        if most == u16::MAX {
            return Some(status::INVALID_VALUE);
        }
        self.max_duration = most;
        Some(status::SUCCESS)
    }

    fn command(&mut self, heard: &Heard, r: Reader<'_>) -> Result<Turn, Short> {
        Ok(Turn::reply(match heard.header.command {
            0x00 => self.warns(heard.now, r)?,
            0x01 => self.squawks(heard.now, r)?,
            _ => Reply::Status(status::UNSUPPORTED_COMMAND),
        }))
    }

    fn habit(&mut self, name: &str, value: &str) -> Result<(), BadHabit> {
        match name {
            "misses_stop" => self.habits.misses_stop = number(value)?,
            "refuses_strobe" => self.habits.refuses_strobe = yes(value)?,
            _ => return Err(BadHabit::Name),
        }
        Ok(())
    }

    fn shows(&self, now: Duration) -> Value {
        json!({
            "sounds": self.sounds(now),
            "max_duration": self.max_duration,
            "squawks_armed": self.squawks[0],
            "squawks_disarmed": self.squawks[1],
            "history": self.history,
        })
    }
}
