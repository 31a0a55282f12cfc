//! The radio's side of a virtual lock: its attributes, the hub's commands, and what it tells the hub when its masks say
//! so (Zigbee Cluster Library, chapter 7.3; captures in zigbee.md §3b, 15 to 17).
//!
//! All masks are clear as it comes: a host that does not set them is told nothing.

use super::bytes::Reader;
use super::bytes::Short;
use super::bytes::Writer;
use super::function::BadHabit;
use super::function::Deed;
use super::function::Heard;
use super::function::Part;
use super::function::Reply;
use super::function::Turn;
use super::function::Wish;
use super::function::Work;
use super::function::ms;
use super::function::number;
use super::function::status;
use super::function::yes;
use super::lock::ALARMS;
use super::lock::Bolt;
use super::lock::By;
use super::lock::DOOR_LOCK;
use super::lock::Lock;
use super::lock::alarm;
use super::lock::failure;
use super::lock::operation;
use super::lock::source;
use super::lock_table::Means;
use super::lock_table::NOBODY;
use super::lock_table::PIN_LENGTH;
use super::lock_table::Programmed;
use super::lock_table::SCHEDULES;
use super::lock_table::TAG_LENGTH;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// A lock's or a user's answer.
const DONE: u8 = 0;
const FAILED: u8 = 1;

/// Operating modes.
mod mode {
    pub const VACATION: u8 = 1;
    pub const PRIVACY: u8 = 2;
    pub const NO_RF: u8 = 3;
    pub const LAST: u8 = 4;
}

/// Writable attributes: id, type, as it comes.
const WRITABLE: [(u16, u8, u32); 16] = [
    (0x0023, 0x23, 0),
    (0x0024, 0x20, 2),
    (0x0025, 0x30, 0),
    (0x0030, 0x20, 5),
    (0x0031, 0x20, 30),
    (0x0032, 0x10, 0),
    (0x0033, 0x10, 0),
    (0x0040, 0x19, 0),
    (0x0041, 0x19, 0),
    (0x0042, 0x19, 0),
    (0x0043, 0x19, 0),
    (0x0044, 0x19, 0),
    (0x0045, 0x19, 0),
    (0x0046, 0x19, 0),
    (0x0047, 0x19, 0),
    (0x0020, 0x10, 0),
];

/// What can be written, and what is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    values: BTreeMap<u16, u32>,
    opened: u32,
    closed: u32,
}

impl Default for Attributes {
    fn default() -> Self {
        let values = WRITABLE.iter().map(|(id, _, value)| (*id, *value)).collect();
        Self { values, opened: 0, closed: 0 }
    }
}

impl Attributes {
    /// A writable attribute's value; 0 for any other.
    pub fn get(&self, id: u16) -> u32 {
        self.values.get(&id).copied().unwrap_or(0)
    }

    /// As a person sets it in the lock's own menu, or a test before it starts.
    pub fn set(&mut self, id: u16, value: u32) {
        self.values.insert(id, value);
    }

    /// After this time it locks itself.
    pub(super) fn auto_relock(&self) -> Option<Duration> {
        Some(self.get(0x0023)).filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(u64::from(seconds)))
    }

    /// Which alarms are told.
    pub(super) fn alarm_mask(&self) -> u32 {
        self.get(0x0040)
    }

    /// Wrong codes until its keypad goes blind, and for how long.
    pub(super) fn wrong_codes(&self) -> (u8, Duration) {
        let limit = u8::try_from(self.get(0x0030)).unwrap_or(u8::MAX);
        (limit, Duration::from_secs(u64::from(self.get(0x0031))))
    }

    /// Codes may be told over the air.
    fn tells_codes(&self) -> bool {
        self.get(0x0032) != 0
    }

    fn wants_pin(&self) -> bool {
        self.get(0x0033) != 0
    }

    fn mode(&self) -> u8 {
        u8::try_from(self.get(0x0025)).unwrap_or(0)
    }

    /// Its keypad is out of use.
    pub(super) fn is_private(&self) -> bool {
        [mode::VACATION, mode::PRIVACY].contains(&self.mode())
    }

    pub(super) fn door_moved(&mut self, open: bool) {
        if open { self.opened += 1 } else { self.closed += 1 }
    }
}

/// The bit of an operation in its source's mask. The manual mask has an order of its own, and nobody's access a bit.
fn mask_bit(from: u8, code: u8) -> u32 {
    let bit = match code {
        operation::NON_ACCESS => 7,
        operation::ONE_TOUCH.. if from == source::MANUAL => code - 4,
        _ => code,
    };
    1 << bit
}

impl Lock {
    /// An operation event, if its mask says so.
    pub(super) fn operated(&self, now: Duration, by: &By) -> Option<Wish> {
        let mask = self.attributes.get(0x0041 + u16::from(by.source));
        let pin: &[u8] = if self.attributes.tells_codes() { &by.credential } else { &[] };
        let local = self.local(now).unwrap_or(u32::MAX);
        let body = Writer::new().u8(by.source).u8(by.code).u16(by.user).counted(pin).u32(local).u8(0);
        (mask & mask_bit(by.source, by.code) != 0).then(|| tells(0x20, body))
    }

    /// A programming event, if its mask says so.
    pub(super) fn programmed(&self, now: Duration, from: u8, what: &Programmed) -> Option<Wish> {
        let id = match from {
            source::KEYPAD => 0x0045,
            source::RF => 0x0046,
            _ => 0x0047,
        };
        let pin: &[u8] = if self.attributes.tells_codes() { &what.credential } else { &[] };
        let local = self.local(now).unwrap_or(u32::MAX);
        let body = Writer::new().u8(from).u8(what.code).u16(what.user).counted(pin);
        let body = body.u8(what.kind).u8(what.status).u32(local).u8(0);
        (self.attributes.get(id) >> what.code & 1 == 1).then(|| tells(0x21, body))
    }

    /// Lock, unlock, toggle, unlock with timeout.
    fn ordered(&mut self, heard: &Heard, mut r: Reader<'_>) -> Result<Turn, Short> {
        let command = heard.header.command;
        self.orders += 1;
        let relock = if command == 3 { Some(Duration::from_secs(u64::from(r.u16()?))) } else { None };
        // The code is optional; 0xFF is an octet string that is none.
        let pin = if matches!(r.0.first(), None | Some(0xFF)) { &[] } else { r.counted()? };
        let lock = command == 0 || command == 2 && self.bolt != Bolt::Locked;
        let (to, code) = if lock { (Bolt::Locked, operation::LOCK) } else { (Bolt::Unlocked, operation::UNLOCK) };
        let slow = self.habits.slow;
        let answer = |after, status, wishes| Turn { after, reply: Reply::Command(command, vec![status]), wishes };
        if self.attributes.mode() == mode::NO_RF {
            return Ok(answer(slow, FAILED, Vec::new()));
        }
        let by = |code, user| By { source: source::RF, code, user, credential: pin.to_vec() };
        let judged = if pin.is_empty() && !self.attributes.wants_pin() {
            Ok(NOBODY)
        } else {
            self.table.judge(Means::Pin, pin, self.local(heard.now))
        };
        let user = match judged {
            Ok(user) => user,
            Err(refused) => {
                let (code, user) = failure(refused, lock);
                let event = self.operated(heard.now, &by(code, user)).into_iter().collect();
                return Ok(answer(slow, FAILED, event));
            }
        };
        if self.habits.lies {
            return Ok(answer(slow, DONE, Vec::new()));
        }
        let wishes = self.moves(to, by(code, user), slow, relock);
        if self.habits.answers_after && !wishes.is_empty() {
            let status = if self.habits.jams { FAILED } else { DONE };
            return Ok(answer(slow + self.habits.travel, status, wishes));
        }
        Ok(answer(slow, DONE, wishes))
    }

    fn alarm_command(&mut self, command: u8, mut r: Reader<'_>) -> Result<Turn, Short> {
        Ok(match command {
            0x00 => {
                let (code, cluster) = (r.u8()?, r.u16()?);
                let known = cluster == DOOR_LOCK && self.alarms.iter().any(|(raised, _)| *raised == code);
                Turn::status(if known { status::SUCCESS } else { status::NOT_FOUND })
            }
            0x01 => Turn::status(status::SUCCESS),
            0x02 => {
                let body = self.alarms.pop_front().map_or_else(
                    || vec![status::NOT_FOUND],
                    |(code, at)| Writer::new().u8(status::SUCCESS).u8(code).u16(DOOR_LOCK).u32(at).done(),
                );
                Turn::reply(Reply::Command(0x01, body))
            }
            0x03 => {
                self.alarms.clear();
                Turn::status(status::SUCCESS)
            }
            _ => Turn::status(status::UNSUPPORTED_COMMAND),
        })
    }
}

fn tells(command: u8, body: Writer) -> Wish {
    Wish::Tell { after: Duration::ZERO, cluster: DOOR_LOCK, from_server: true, command, body: body.done() }
}

impl Part for Lock {
    fn inputs(&self) -> &'static [u16] {
        &[ALARMS, DOOR_LOCK]
    }

    fn attribute(&self, cluster: u16, id: u16) -> Option<(u8, Vec<u8>)> {
        if cluster == ALARMS {
            let count = u16::try_from(self.alarms.len()).unwrap_or(u16::MAX);
            return (id == 0).then(|| (0x21, count.to_le_bytes().to_vec()));
        }
        if cluster != DOOR_LOCK {
            return None;
        }
        if let Some((_, kind, _)) = WRITABLE.iter().find(|(own, _, _)| *own == id) {
            let width = match kind {
                0x23 => 4,
                0x19 => 2,
                _ => 1,
            };
            return Some((*kind, self.attributes.get(id).to_le_bytes()[..width].to_vec()));
        }
        let byte = |value: usize| (0x20, vec![u8::try_from(value).unwrap_or(u8::MAX)]);
        let room = (0x21, self.table.room.to_le_bytes().to_vec());
        Some(match id {
            0x0000 => (0x30, vec![self.bolt as u8]),
            0x0001 => (0x30, vec![0]),
            0x0002 => (0x10, vec![1]),
            0x0003 => (0x30, vec![self.door as u8]),
            0x0004 => (0x23, self.attributes.opened.to_le_bytes().to_vec()),
            0x0005 => (0x23, self.attributes.closed.to_le_bytes().to_vec()),
            0x0010 => (0x21, vec![0, 0]),
            0x0011..=0x0013 => room,
            0x0014..=0x0016 => (0x20, vec![SCHEDULES]),
            0x0017 => byte(PIN_LENGTH[1]),
            0x0018 => byte(PIN_LENGTH[0]),
            0x0019 => byte(TAG_LENGTH[1]),
            0x001A => byte(TAG_LENGTH[0]),
            0x0026 => (0x19, vec![0x1F, 0]),
            0x0034 => (0x30, vec![u8::from(self.habits.aps_security)]),
            _ => return None,
        })
    }

    fn write(&mut self, cluster: u16, id: u16, value: &[u8]) -> Option<u8> {
        if cluster != DOOR_LOCK || !WRITABLE.iter().any(|(own, _, _)| *own == id) {
            return None;
        }
        let number = value.iter().rev().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        let most = match id {
            0x0025 => u32::from(mode::LAST),
            0x0020 | 0x0032 | 0x0033 => 1,
            _ => u32::MAX,
        };
        if number > most {
            return Some(status::INVALID_VALUE);
        }
        self.attributes.set(id, number);
        Some(status::SUCCESS)
    }

    fn reportable(&self, cluster: u16, id: u16) -> bool {
        cluster == DOOR_LOCK && matches!(id, 0x0000 | 0x0003)
    }

    fn command(&mut self, heard: &Heard, r: Reader<'_>) -> Result<Turn, Short> {
        let command = heard.header.command;
        if self.habits.aps_security && !heard.encrypted {
            return Ok(Turn::status(status::NOT_AUTHORIZED));
        }
        if heard.cluster == ALARMS {
            return self.alarm_command(command, r);
        }
        if command <= 0x03 {
            return self.ordered(heard, r);
        }
        let tells = self.attributes.tells_codes();
        let Some((body, programmed)) = self.table.command(command, r, tells)? else {
            return Ok(Turn::status(status::UNSUPPORTED_COMMAND));
        };
        let event = programmed.and_then(|programmed| self.programmed(heard.now, source::RF, &programmed));
        let wishes = event.into_iter().collect();
        Ok(Turn { after: self.habits.slow, reply: Reply::Command(command, body), wishes })
    }

    fn works(&mut self, now: Duration, work: Work) -> Vec<Wish> {
        match work {
            Work::Settle(round) => self.settles(now, round),
            Work::Relock(round) => self.relocks(round),
            _ => Vec::new(),
        }
    }

    fn hand(&mut self, now: Duration, deed: &Deed, _asleep: bool) -> Option<Vec<Wish>> {
        let Deed::Hand(hand) = deed else { return None };
        Some(self.handled(now, hand))
    }

    fn happens(&mut self, now: Duration, set: u16) -> Vec<Wish> {
        let tampered = set & 4 != 0;
        tampered.then(|| self.raises(now, alarm::TAMPER)).flatten().into_iter().collect()
    }

    fn encrypts(&self, cluster: u16) -> bool {
        self.habits.aps_security && [DOOR_LOCK, ALARMS].contains(&cluster)
    }

    fn habit(&mut self, name: &str, value: &str) -> Result<(), BadHabit> {
        match name {
            "lies" => self.habits.lies = yes(value)?,
            "slow" => self.habits.slow = ms(value)?,
            "travel" => self.habits.travel = ms(value)?,
            "jams" => self.habits.jams = yes(value)?,
            "answers_after" => self.habits.answers_after = yes(value)?,
            "secured" => self.habits.aps_security = yes(value)?,
            "clock" => self.habits.clock = Some(number(value)?),
            "room" => self.table.room = number(value)?,
            "needs_pin" => self.attributes.set(0x0033, yes(value)?.into()),
            _ => return Err(BadHabit::Name),
        }
        Ok(())
    }

    fn shows(&self, now: Duration) -> Value {
        let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let users = self.table.users.iter().map(|(id, user)| {
            json!({
                "id": id, "status": user.status, "kind": user.kind, "pin": text(&user.pin), "tag": text(&user.tag),
            })
        });
        json!({
            "bolt": self.bolt,
            "door": self.door,
            "moves": self.moves,
            "orders": self.orders,
            "local": self.local(now),
            "alarms": self.alarms,
            "users": users.collect::<Vec<_>>(),
        })
    }
}
