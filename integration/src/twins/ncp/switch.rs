//! A virtual switch: On/Off (Zigbee Cluster Library, chapter 3.8) as in plugs, lights and relays.
//!
//! What its attribute tells is how its contact really stands, also when it lied in its answer.

use super::bytes::Reader;
use super::bytes::Short;
use super::function::BadHabit;
use super::function::Deed;
use super::function::Heard;
use super::function::Part;
use super::function::Reply;
use super::function::Turn;
use super::function::Wish;
use super::function::Work;
use super::function::ms;
use super::function::status;
use super::function::yes;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;

/// On/Off.
pub const ON_OFF: u16 = 0x0006;

/// A tenth of a second, the unit of its times.
const TENTH: Duration = Duration::from_millis(100);

/// How it behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SwitchHabits {
    /// It answers with success and does not switch.
    pub lies: bool,
    /// Its answers come so much later.
    pub slow: Duration,
}

/// A switch.
#[derive(Debug, Default)]
pub struct Switch {
    /// How it behaves.
    pub habits: SwitchHabits,
    /// Its contact is closed.
    pub on: bool,
    /// How often it switched.
    pub switched: u32,
    /// OnTime, tenths of a second.
    pub on_time: u16,
    /// OffWaitTime, tenths of a second.
    pub off_wait: u16,
    /// Until then it may not be switched on for a time.
    guarded_until: Duration,
    /// It is on for a time.
    timed: bool,
    /// StartUpOnOff: 0 off, 1 on, 2 toggle, 0xFF as before.
    start_up: u8,
    round: u32,
}

impl Switch {
    fn sets(&mut self, on: bool) -> Vec<Wish> {
        // On alone does not end a time that runs; off does.
        if !on {
            self.round += 1;
            (self.timed, self.on_time) = (false, 0);
        }
        if self.on == on {
            return Vec::new();
        }
        self.on = on;
        self.switched += 1;
        vec![Wish::Changed { cluster: ON_OFF, attribute: 0x0000 }]
    }

    /// On with timed off.
    fn sets_for(&mut self, now: Duration, mut r: Reader<'_>) -> Result<Vec<Wish>, Short> {
        let (control, on_time, off_wait) = (r.u8()?, r.u16()?, r.u16()?);
        if control & 1 == 1 && !self.on {
            return Ok(Vec::new());
        }
        if !self.on && now < self.guarded_until {
            self.guarded_until = self.guarded_until.min(now + TENTH * u32::from(off_wait));
            return Ok(Vec::new());
        }
        let on_time = if self.timed { self.on_time.max(on_time) } else { on_time };
        let mut wishes = self.sets(true);
        (self.on_time, self.off_wait) = (on_time, off_wait);
        // For ever, when either is 0xFFFF.
        if on_time != u16::MAX && off_wait != u16::MAX {
            self.timed = true;
            self.round += 1;
            let after = TENTH * u32::from(on_time);
            wishes.push(Wish::Later { after, work: Work::TimedOff(self.round) });
        }
        Ok(wishes)
    }
}

impl Part for Switch {
    fn inputs(&self) -> &'static [u16] {
        &[ON_OFF]
    }

    fn attribute(&self, cluster: u16, id: u16) -> Option<(u8, Vec<u8>)> {
        Some(match (cluster, id) {
            (ON_OFF, 0x0000) => (0x10, vec![u8::from(self.on)]),
            (ON_OFF, 0x4000) => (0x10, vec![1]),
            (ON_OFF, 0x4001) => (0x21, self.on_time.to_le_bytes().to_vec()),
            (ON_OFF, 0x4002) => (0x21, self.off_wait.to_le_bytes().to_vec()),
            (ON_OFF, 0x4003) => (0x30, vec![self.start_up]),
            _ => return None,
        })
    }

    fn write(&mut self, cluster: u16, id: u16, value: &[u8]) -> Option<u8> {
        let mut r = Reader(value);
        match (cluster, id) {
            (ON_OFF, 0x4001) => self.on_time = r.u16().ok()?,
            (ON_OFF, 0x4002) => self.off_wait = r.u16().ok()?,
            (ON_OFF, 0x4003) => self.start_up = r.u8().ok()?,
            _ => return None,
        }
        Some(status::SUCCESS)
    }

    fn reportable(&self, cluster: u16, id: u16) -> bool {
        (cluster, id) == (ON_OFF, 0x0000)
    }

    fn command(&mut self, heard: &Heard, mut r: Reader<'_>) -> Result<Turn, Short> {
        let command = heard.header.command;
        if !matches!(command, 0x00..=0x02 | 0x40..=0x42) {
            return Ok(Turn::status(status::UNSUPPORTED_COMMAND));
        }
        let wishes = match command {
            _ if self.habits.lies => Vec::new(),
            0x00 => self.sets(false),
            0x02 => self.sets(!self.on),
            0x40 => {
                // How it fades is a lamp's; it goes off.
                r.take(2)?;
                self.sets(false)
            }
            0x42 => self.sets_for(heard.now, r)?,
            _ => self.sets(true),
        };
        Ok(Turn { after: self.habits.slow, reply: Reply::Status(status::SUCCESS), wishes })
    }

    fn works(&mut self, now: Duration, work: Work) -> Vec<Wish> {
        if work != Work::TimedOff(self.round) {
            return Vec::new();
        }
        self.guarded_until = now + TENTH * u32::from(self.off_wait);
        self.sets(false)
    }

    fn hand(&mut self, _now: Duration, deed: &Deed, _asleep: bool) -> Option<Vec<Wish>> {
        (*deed == Deed::Push).then(|| self.sets(!self.on))
    }

    fn habit(&mut self, name: &str, value: &str) -> Result<(), BadHabit> {
        match name {
            "lies" => self.habits.lies = yes(value)?,
            "slow" => self.habits.slow = ms(value)?,
            _ => return Err(BadHabit::Name),
        }
        Ok(())
    }

    fn shows(&self, _now: Duration) -> Value {
        json!({ "on": self.on, "switched": self.switched })
    }
}
