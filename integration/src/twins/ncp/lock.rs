//! A virtual door lock: Door Lock (Zigbee Cluster Library, chapter 7.3) and Alarms (3.11), with a bolt that takes its
//! time, a door, people on both sides of it, and the ways in which locks fail.
//!
//! Its attributes tell where the bolt really is, whatever it answered. Who its users are is `lock_table`'s; what it
//! answers and tells is `lock_zcl`'s.

use super::function::Wish;
use super::function::Work;
use super::lock_table::Means;
use super::lock_table::NOBODY;
use super::lock_table::Refused;
use super::lock_table::Table;
use super::lock_zcl::Attributes;
use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;

/// Door Lock.
pub const DOOR_LOCK: u16 = 0x0101;
/// Alarms.
pub const ALARMS: u16 = 0x0009;

/// The most alarms in its log; then the oldest goes.
const ALARMS_MOST: usize = 16;

/// Alarm codes of Door Lock.
pub mod alarm {
    /// The bolt did not get where it should.
    pub const JAMMED: u8 = 0x00;
    /// It is as it left the factory.
    pub const FACTORY_RESET: u8 = 0x01;
    /// Too many wrong codes.
    pub const WRONG_CODES: u8 = 0x04;
    /// Its front is off.
    pub const TAMPER: u8 = 0x05;
    /// The door is open although it is locked.
    pub const FORCED: u8 = 0x06;
}

/// Where an operation came from.
pub mod source {
    /// Its own keypad.
    pub const KEYPAD: u8 = 0;
    /// The hub.
    pub const RF: u8 = 1;
    /// Thumb turn, key, itself.
    pub const MANUAL: u8 = 2;
    /// A tag.
    pub const TAG: u8 = 3;
}

/// What happened, as in its operation events.
pub mod operation {
    /// Locked with a code, a tag, or from afar.
    pub const LOCK: u8 = 1;
    /// Unlocked so.
    pub const UNLOCK: u8 = 2;
    /// Not locked: no such code.
    pub const LOCK_INVALID: u8 = 3;
    /// Not unlocked: no such code.
    pub const UNLOCK_INVALID: u8 = 5;
    /// With one touch.
    pub const ONE_TOUCH: u8 = 7;
    /// With a key.
    pub const KEY_LOCK: u8 = 8;
    /// By itself.
    pub const AUTO: u8 = 10;
    /// With the thumb turn.
    pub const MANUAL_LOCK: u8 = 13;
    /// Someone without access showed his code.
    pub const NON_ACCESS: u8 = 15;
}

/// Where the bolt is, as LockState tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bolt {
    /// Between: moving, or stuck.
    Between = 0,
    /// Out.
    Locked = 1,
    /// In.
    Unlocked = 2,
}

/// The door, as DoorState tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// Open.
    Open = 0,
    /// Closed.
    Closed = 1,
    /// Open although the bolt is out.
    Forced = 3,
}

/// What a person does at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hand {
    /// Turns the thumb turn; true locks.
    Turn(bool),
    /// Turns a key.
    Key(bool),
    /// One touch, which locks.
    Touch,
    /// Shows a code or a tag; true locks.
    Show(Means, String, bool),
    /// Opens or closes the door.
    Door(bool),
    /// Teaches it a user at the lock.
    Teach(Means, u16, String),
    /// Takes him away there.
    Unteach(Means, u16),
    /// Back to how it left the factory; the network it keeps.
    FactoryReset,
}

/// How it behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHabits {
    /// It answers the hub with success and does not move.
    pub lies: bool,
    /// It takes so much longer before it answers and moves.
    pub slow: Duration,
    /// How long the bolt is on its way.
    pub travel: Duration,
    /// The motor fails on the way.
    pub jams: bool,
    /// It answers when the bolt is there, and not before it moves.
    pub answers_after: bool,
    /// Its local time at the twin's start, seconds since 2000; it knows none without.
    pub clock: Option<u32>,
    /// It refuses what is not encrypted with the link key too: security level 1.
    pub aps_security: bool,
}

impl Default for LockHabits {
    fn default() -> Self {
        Self {
            lies: false,
            slow: Duration::ZERO,
            travel: Duration::from_millis(800),
            jams: false,
            answers_after: false,
            clock: None,
            aps_security: false,
        }
    }
}

/// By whom it was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct By {
    pub source: u8,
    pub code: u8,
    pub user: u16,
    pub credential: Vec<u8>,
}

impl By {
    fn itself() -> Self {
        Self { source: source::MANUAL, code: operation::AUTO, user: 0, credential: Vec::new() }
    }
}

#[derive(Debug)]
struct Motion {
    to: Bolt,
    by: By,
    round: u32,
    relock: Option<Duration>,
}

/// A lock.
#[derive(Debug)]
pub struct Lock {
    /// How it behaves.
    pub habits: LockHabits,
    /// Where its bolt is.
    pub bolt: Bolt,
    /// How its door stands.
    pub door: Door,
    /// Who may.
    pub table: Table,
    /// What can be written, and what is counted.
    pub attributes: Attributes,
    /// Alarms it has raised, with or without anyone to tell: code and local time.
    pub alarms: VecDeque<(u8, u32)>,
    /// How often its bolt got where it should.
    pub moves: u32,
    /// Commands of the hub to lock, unlock or toggle, whatever became of them.
    pub orders: u32,
    motion: Option<Motion>,
    /// Wrong codes in a row.
    wrong: u8,
    /// Its keypad is blind until then.
    blind_until: Duration,
    /// It locks itself when the door is closed.
    locks_on_close: bool,
    round: u32,
}

impl Default for Lock {
    fn default() -> Self {
        Self {
            habits: LockHabits::default(),
            bolt: Bolt::Unlocked,
            door: Door::Closed,
            table: Table::default(),
            attributes: Attributes::default(),
            alarms: VecDeque::new(),
            moves: 0,
            orders: 0,
            motion: None,
            wrong: 0,
            blind_until: Duration::ZERO,
            locks_on_close: false,
            round: 0,
        }
    }
}

const CHANGED_BOLT: Wish = Wish::Changed { cluster: DOOR_LOCK, attribute: 0x0000 };
const CHANGED_DOOR: Wish = Wish::Changed { cluster: DOOR_LOCK, attribute: 0x0003 };

impl Lock {
    /// Local time, seconds since 2000, if it knows.
    pub fn local(&self, now: Duration) -> Option<u32> {
        let gone = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        self.habits.clock.map(|start| start.saturating_add(gone))
    }

    /// Its bolt is sent somewhere; after `wait` it moves.
    pub(super) fn moves(&mut self, to: Bolt, by: By, wait: Duration, relock: Option<Duration>) -> Vec<Wish> {
        let already = self.motion.as_ref().map_or(self.bolt == to, |motion| motion.to == to);
        if already {
            return Vec::new();
        }
        self.round += 1;
        self.locks_on_close = false;
        self.motion = Some(Motion { to, by, round: self.round, relock });
        if wait.is_zero() {
            self.bolt = Bolt::Between;
        }
        vec![Wish::Later { after: wait + self.habits.travel, work: Work::Settle(self.round) }]
    }

    /// A hand moves it, at once, and no motor can fail.
    fn turned(&mut self, now: Duration, to: Bolt, code: u8) -> Vec<Wish> {
        self.motion = None;
        if self.bolt == to {
            return Vec::new();
        }
        let by = By { source: source::MANUAL, code, user: 0, credential: Vec::new() };
        self.arrives(now, to, by, None)
    }

    /// The bolt is where it should be.
    fn arrives(&mut self, now: Duration, to: Bolt, by: By, relock: Option<Duration>) -> Vec<Wish> {
        self.round += 1;
        self.bolt = to;
        self.moves += 1;
        let mut wishes = vec![CHANGED_BOLT];
        wishes.extend(self.operated(now, &by));
        if to == Bolt::Unlocked
            && let Some(after) = relock.or_else(|| self.attributes.auto_relock())
        {
            wishes.push(Wish::Later { after, work: Work::Relock(self.round) });
        }
        wishes
    }

    pub(super) fn settles(&mut self, now: Duration, round: u32) -> Vec<Wish> {
        let Some(motion) = self.motion.take_if(|motion| motion.round == round) else { return Vec::new() };
        if self.habits.jams {
            self.bolt = Bolt::Between;
            let alarm = self.raises(now, alarm::JAMMED);
            return [CHANGED_BOLT].into_iter().chain(alarm).collect();
        }
        self.arrives(now, motion.to, motion.by, motion.relock)
    }

    pub(super) fn relocks(&mut self, round: u32) -> Vec<Wish> {
        if round != self.round || self.bolt != Bolt::Unlocked {
            return Vec::new();
        }
        if self.door != Door::Closed {
            self.locks_on_close = true;
            return Vec::new();
        }
        self.moves(Bolt::Locked, By::itself(), Duration::ZERO, None)
    }

    /// An alarm, told if its mask says so.
    pub(super) fn raises(&mut self, now: Duration, code: u8) -> Option<Wish> {
        if self.alarms.len() >= ALARMS_MOST {
            self.alarms.pop_front();
        }
        self.alarms.push_back((code, self.local(now).unwrap_or(u32::MAX)));
        let [low, high] = DOOR_LOCK.to_le_bytes();
        let wanted = self.attributes.alarm_mask() >> code & 1 == 1;
        let body = vec![code, low, high];
        wanted.then_some(Wish::Tell { after: Duration::ZERO, cluster: ALARMS, from_server: true, command: 0, body })
    }

    fn door_moves(&mut self, now: Duration, open: bool) -> Vec<Wish> {
        let door = match (open, self.bolt) {
            (false, _) => Door::Closed,
            (true, Bolt::Locked) => Door::Forced,
            (true, _) => Door::Open,
        };
        if door == self.door {
            return Vec::new();
        }
        self.door = door;
        self.attributes.door_moved(open);
        let mut wishes = vec![CHANGED_DOOR];
        if door == Door::Forced {
            wishes.extend(self.raises(now, alarm::FORCED));
        }
        if door == Door::Closed && std::mem::take(&mut self.locks_on_close) {
            wishes.extend(self.moves(Bolt::Locked, By::itself(), Duration::ZERO, None));
        }
        wishes
    }

    /// Someone shows a code or a tag at the lock itself.
    fn shown(&mut self, now: Duration, means: Means, credential: &[u8], lock: bool) -> Vec<Wish> {
        let source = if means == Means::Pin { source::KEYPAD } else { source::TAG };
        if now < self.blind_until || self.attributes.is_private() {
            return Vec::new();
        }
        let judged = self.table.judge(means, credential, self.local(now));
        let by = |code, user| By { source, code, user, credential: credential.to_vec() };
        match judged {
            Ok(user) => {
                self.wrong = 0;
                let (to, code) =
                    if lock { (Bolt::Locked, operation::LOCK) } else { (Bolt::Unlocked, operation::UNLOCK) };
                self.moves(to, by(code, user), Duration::ZERO, None)
            }
            Err(refused) => {
                let (code, user) = failure(refused, lock);
                let mut wishes: Vec<Wish> = self.operated(now, &by(code, user)).into_iter().collect();
                wishes.extend(self.counts_wrong(now));
                wishes
            }
        }
    }

    fn counts_wrong(&mut self, now: Duration) -> Option<Wish> {
        let (limit, blind) = self.attributes.wrong_codes();
        self.wrong = self.wrong.saturating_add(1);
        if limit == 0 || self.wrong < limit {
            return None;
        }
        self.wrong = 0;
        self.blind_until = now + blind;
        self.raises(now, alarm::WRONG_CODES)
    }

    pub(super) fn handled(&mut self, now: Duration, hand: &Hand) -> Vec<Wish> {
        let to = |lock: bool| if lock { Bolt::Locked } else { Bolt::Unlocked };
        match hand {
            Hand::Turn(lock) => self.turned(now, to(*lock), operation::MANUAL_LOCK + u8::from(!lock)),
            Hand::Key(lock) => self.turned(now, to(*lock), operation::KEY_LOCK + u8::from(!lock)),
            Hand::Touch => {
                let by =
                    By { source: source::MANUAL, code: operation::ONE_TOUCH, user: NOBODY, credential: Vec::new() };
                self.moves(Bolt::Locked, by, Duration::ZERO, None)
            }
            Hand::Show(means, credential, lock) => self.shown(now, *means, credential.as_bytes(), *lock),
            Hand::Door(open) => self.door_moves(now, *open),
            Hand::Teach(means, user, credential) => {
                let set = self.table.sets(*means, *user, (super::lock_table::ENABLED, 0), credential.as_bytes());
                let told = set.ok().and_then(|programmed| self.programmed(now, source_of(*means), &programmed));
                told.into_iter().collect()
            }
            Hand::Unteach(means, user) => {
                let cleared = self.table.clears(*means, *user);
                let told = cleared.and_then(|programmed| self.programmed(now, source_of(*means), &programmed));
                told.into_iter().collect()
            }
            Hand::FactoryReset => {
                // It tells under the mask it had.
                let told = self.raises(now, alarm::FACTORY_RESET);
                self.table.empties();
                self.attributes = Attributes::default();
                (self.wrong, self.blind_until) = (0, Duration::ZERO);
                told.into_iter().collect()
            }
        }
    }
}

fn source_of(means: Means) -> u8 {
    if means == Means::Pin { source::KEYPAD } else { source::TAG }
}

/// The operation code for a refusal, and whose it was.
pub(super) fn failure(refused: Refused, lock: bool) -> (u8, u16) {
    let base = if lock { operation::LOCK_INVALID } else { operation::UNLOCK_INVALID };
    match refused {
        Refused::Invalid(user) => (base, user),
        Refused::Schedule(user) => (base + 1, user),
        Refused::NonAccess(user) => (operation::NON_ACCESS, user),
    }
}
