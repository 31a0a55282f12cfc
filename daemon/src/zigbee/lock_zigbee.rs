//! A lock on Zigbee: what its rules ask becomes messages of Door Lock, what the lock says becomes their words. Any Zigbee
//! 3.0 door lock is driven so; the LockGuard's own radio is not public. Pure.
//!
//! It decides nothing about doors. A code it cannot place is "something strange", after which the bolt is read; it never
//! becomes a state.

use crate::zigbee::bytes::Reader;
use crate::zigbee::door_lock;
use crate::zigbee::door_lock::CodeKind;
use crate::zigbee::door_lock::Command;
use crate::zigbee::door_lock::FromLock;
use crate::zigbee::door_lock::Operation;
use crate::zigbee::door_lock::Programming;
use crate::zigbee::door_lock::ScheduleAt;
use crate::zigbee::door_lock::UserStatus;
use crate::zigbee::door_lock::UserType;
use crate::zigbee::door_lock::WeekDay;
use crate::zigbee::door_lock::YearDay;
use crate::zigbee::door_lock_attribute;
use crate::zigbee::door_lock_attribute::MODE_NO_RF;
use crate::zigbee::door_lock_attribute::attribute;
use crate::zigbee::door_lock_attribute::group;
use crate::zigbee::door_lock_attribute::number;
use crate::zigbee::lock::LockRules;
use crate::zigbee::lock_words::Access;
use crate::zigbee::lock_words::Alarm;
use crate::zigbee::lock_words::Ask;
use crate::zigbee::lock_words::Bolt;
use crate::zigbee::lock_words::Change;
use crate::zigbee::lock_words::Denied;
use crate::zigbee::lock_words::Door;
use crate::zigbee::lock_words::Failure;
use crate::zigbee::lock_words::Heard;
use crate::zigbee::lock_words::Held;
use crate::zigbee::lock_words::How;
use crate::zigbee::lock_words::Key;
use crate::zigbee::lock_words::KeyKind;
use crate::zigbee::lock_words::OrderId;
use crate::zigbee::lock_words::Part;
use crate::zigbee::lock_words::Reply;
use crate::zigbee::lock_words::Settings;
use crate::zigbee::lock_words::Slot;
use crate::zigbee::lock_words::Told;
use crate::zigbee::lock_words::Turn;
use crate::zigbee::lock_words::Wanted;
use crate::zigbee::lock_words::WeekHours;
use crate::zigbee::lock_words::Window;
use crate::zigbee::lock_words::Word;
use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;
use crate::zigbee::secret::Secret;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Status;
use crate::zigbee::zcl::global;
use crate::zigbee::zcl_global::Global;
use std::collections::BTreeMap;
use std::collections::VecDeque;

/// A notification with the same number and bytes is the same for so long, ms: a lock says it again until it is answered.
const RECENT_MS: u64 = 10_000;
/// So many are remembered; an older one said again would be told twice, which does no harm.
const RECENT_MAX: usize = 32;

/// A message for the lock.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The whole ZCL frame for Door Lock.
    pub bytes: Vec<u8>,
    /// To be sealed with the key of this lock alone (APS security): else every node of the network can read the codes.
    pub sealed: bool,
    /// It moves a bolt: what cannot leave at once must not leave later. The host says `not_sent` instead of keeping it.
    pub at_once: bool,
}

// The bytes may hold a code.
impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("sealed", &self.sealed).field("at_once", &self.at_once).finish_non_exhaustive()
    }
}

/// What an answer must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// A command's own response, about a place where it is about one.
    Command(u8, Option<Slot>),
    State,
    Settings(Part),
    Written,
}

struct Recent {
    tsn: u8,
    bytes: Vec<u8>,
    at_ms: u64,
}

/// One lock.
pub struct ZigbeeLock {
    rules: LockRules,
    /// What is waited for, and under which transaction number.
    awaited: Option<(u8, Awaited)>,
    recent: VecDeque<Recent>,
    sealing: Sealing,
}

/// Whether it hears sealed messages. A lock that demands them drops others, the question whether it does among them;
/// so they are tried first, and the others only after a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sealing {
    Tried(bool),
    Answered(bool),
}

impl ZigbeeLock {
    /// A lock; see [`LockRules::new`].
    pub fn new(placed: BTreeMap<Slot, u32>, own: Option<(Slot, Secret)>) -> Self {
        Self {
            rules: LockRules::new(placed, own),
            awaited: None,
            recent: VecDeque::new(),
            sealing: Sealing::Tried(true),
        }
    }

    /// It joined, announced itself, or the stick is back.
    pub fn link_up(&mut self, now_ms: u64) {
        self.awaited = None;
        self.sealing = Sealing::Tried(true);
        // Whoever starts anew may count anew.
        self.recent.clear();
        self.rules.link_up(now_ms);
    }

    /// The stick is gone, or the lock has left.
    pub fn link_lost(&mut self, now_ms: u64) {
        self.awaited = None;
        self.rules.link_lost(now_ms);
    }

    /// See [`LockRules::order`].
    pub fn order(&mut self, id: OrderId, turn: Turn, deadline_ms: u64, now_ms: u64) {
        self.rules.order(id, turn, deadline_ms, now_ms);
    }

    /// See [`LockRules::want`].
    pub fn want(&mut self, wanted: BTreeMap<Slot, Wanted>, now_ms: u64) {
        self.rules.want(wanted, now_ms);
    }

    /// See [`LockRules::want_auto_relock`].
    pub fn want_auto_relock(&mut self, seconds: u32, now_ms: u64) {
        self.rules.want_auto_relock(seconds, now_ms);
    }

    /// What is to be told next.
    pub fn take_word(&mut self) -> Option<Word> {
        self.rules.take_word()
    }

    /// When `next` has something to do, ms.
    pub fn due_ms(&self, now_ms: u64) -> Option<u64> {
        self.rules.due_ms(now_ms)
    }

    /// What is to be sent now, under this transaction number; to be called until it has nothing.
    pub fn next(&mut self, tsn: u8, now_ms: u64) -> Option<Outgoing> {
        let ask = self.rules.next(now_ms)?;
        if let (Sealing::Tried(sealed), Some(_)) = (self.sealing, self.awaited) {
            self.sealing = Sealing::Tried(!sealed);
        }
        let (Sealing::Tried(heard) | Sealing::Answered(heard)) = self.sealing;
        let sealed = heard || self.rules.settings().sealed == Some(true);
        let at_once = matches!(ask, Ask::Turn(..));
        let Some((awaited, bytes)) = message(&ask, tsn) else {
            self.rules.replied(&Reply::Not(Failure::Length), now_ms);
            return None;
        };
        self.awaited = Some((tsn, awaited));
        Some(Outgoing { bytes, sealed, at_once })
    }

    /// The stick refused the message with this number: it was never on the air. An acknowledgement that is missing is
    /// *not* that: the message may have arrived.
    pub fn not_sent(&mut self, tsn: u8, now_ms: u64) {
        if self.awaited.take_if(|(awaited, _)| *awaited == tsn).is_some() {
            self.rules.not_sent(now_ms);
        }
    }

    /// A command of the Door Lock cluster.
    ///
    /// # Errors
    /// Why it cannot be read; the bolt is read instead.
    pub fn cluster(&mut self, header: &Header, reader: &mut Reader, now_ms: u64) -> Result<(), Refused> {
        let bytes = reader.clone().rest().to_vec();
        let said = match FromLock::parse(header, reader) {
            Ok(said) => said,
            Err(refused) => {
                if refused.kind != Reason::NotSupported {
                    self.unreadable(header.tsn, now_ms);
                }
                return Err(refused);
            }
        };
        match said {
            FromLock::Operation(event) if !self.again(header, &bytes, now_ms) => {
                self.rules.heard(&operation(event), now_ms);
            }
            FromLock::Programming(event) if !self.again(header, &bytes, now_ms) => {
                self.rules.heard(&programming(event), now_ms);
            }
            FromLock::Operation(_) | FromLock::Programming(_) => {}
            answer => {
                if let Some((_, Awaited::Command(_, asked))) = self.awaited.take_if(|(tsn, awaited)| {
                    *tsn == header.tsn && matches!(awaited, Awaited::Command(number, _) if *number == header.command)
                }) {
                    self.was_answered();
                    // An answer about somebody else is none.
                    let other = about(&answer).is_some_and(|told| asked != Some(told));
                    let reply = if other { Reply::Not(Failure::Contrary) } else { reply(&answer) };
                    self.rules.replied(&reply, now_ms);
                }
            }
        }
        Ok(())
    }

    /// A command of the Alarms cluster.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn alarm(&mut self, header: &Header, reader: &mut Reader, now_ms: u64) -> Result<(), Refused> {
        let bytes = reader.clone().rest().to_vec();
        if let Some(code) = door_lock_attribute::alarm(header, reader)?
            && !self.again(header, &bytes, now_ms)
        {
            self.rules.heard(&Heard::Alarm(alarm(code)), now_ms);
        }
        Ok(())
    }

    /// A global command of the Door Lock cluster that is no maker's own.
    ///
    /// # Errors
    /// `bad_value` where the lock's state has another type than the standard's: then nobody knows where the bolt is.
    pub fn global(&mut self, tsn: u8, told: &Global, now_ms: u64) -> Result<(), Refused> {
        if let Global::Report(_) = told {
            let (bolt, door, wrong) = state(told);
            self.rules.heard(&Heard::State(bolt, door), now_ms);
            return wrong.map_or(Ok(()), Err);
        }
        let Some((_, awaited)) = self.awaited.filter(|(waiting, _)| *waiting == tsn) else { return Ok(()) };
        let (reply, wrong) = match (awaited, told) {
            // "Received" before the answer itself; a lock with no answer of its own says no more.
            (Awaited::Command(number, _), Global::DefaultResponse { command, status }) if *command == number => {
                if *status == Status::SUCCESS && number > door_lock::command::UNLOCK_WITH_TIMEOUT {
                    return Ok(());
                }
                (done(status.0, Failure::Refused(status.0)), None)
            }
            (Awaited::State, Global::ReadResponse(_)) => {
                let (bolt, door, wrong) = state(told);
                (Reply::State(bolt, door), wrong)
            }
            (Awaited::Settings(part), Global::ReadResponse(_)) => (Reply::Settings(settings(part, told)), None),
            (Awaited::Written, Global::WriteResponse(failed)) => match failed.first() {
                None => (Reply::Done, None),
                Some((_, status)) => (done(status.0, Failure::Refused(status.0)), None),
            },
            (_, Global::DefaultResponse { command, status }) if *status != Status::SUCCESS => {
                let ours = matches!(*command, global::READ | global::WRITE) && !matches!(awaited, Awaited::Command(..));
                if !ours {
                    return Ok(());
                }
                (done(status.0, Failure::Refused(status.0)), None)
            }
            _ => return Ok(()),
        };
        self.awaited = None;
        self.was_answered();
        self.rules.replied(&reply, now_ms);
        wrong.map_or(Ok(()), Err)
    }

    /// A message of it cannot be read: whatever it was, the bolt may have moved.
    pub fn unreadable(&mut self, tsn: u8, now_ms: u64) {
        if self.awaited.take_if(|(awaited, _)| *awaited == tsn).is_some() {
            self.rules.replied(&Reply::Not(Failure::NotReadBack), now_ms);
        }
        self.rules.heard(&Heard::Strange, now_ms);
    }

    fn was_answered(&mut self) {
        let (Sealing::Tried(sealed) | Sealing::Answered(sealed)) = self.sealing;
        self.sealing = Sealing::Answered(sealed);
    }

    /// Whether this was said a moment ago; remembers it if not.
    fn again(&mut self, header: &Header, payload: &[u8], now_ms: u64) -> bool {
        self.recent.retain(|old| now_ms < old.at_ms + RECENT_MS);
        let bytes = [&[header.command], payload].concat();
        if self.recent.iter().any(|old| old.tsn == header.tsn && old.bytes == bytes) {
            return true;
        }
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { tsn: header.tsn, bytes, at_ms: now_ms });
        false
    }
}

/// The message that asks, and the answer it will have. `None`: a key that no message holds.
fn message(ask: &Ask, tsn: u8) -> Option<(Awaited, Vec<u8>)> {
    let at = |user: Slot, schedule: u8| ScheduleAt { schedule, user };
    let command = match ask {
        Ask::State => return Some((Awaited::State, door_lock_attribute::read(tsn, group::STATE))),
        Ask::Settings(part) => {
            let group = match part {
                Part::Limits => group::LIMITS,
                Part::Behaviour => group::BEHAVIOUR,
                Part::Masks => group::MASKS,
            };
            return Some((Awaited::Settings(*part), door_lock_attribute::read(tsn, group)));
        }
        Ask::WriteMasks => return Some((Awaited::Written, door_lock_attribute::write_masks(tsn))),
        Ask::WriteAutoRelock(seconds) => {
            return Some((Awaited::Written, door_lock_attribute::write_auto_relock(tsn, *seconds)));
        }
        Ask::Turn(Turn::Lock, key) => Command::Lock(key.clone()),
        Ask::Turn(Turn::Unlock, key) => Command::Unlock(key.clone()),
        Ask::Held(slot) => Command::GetUserStatus(*slot),
        Ask::HeldKey(slot, kind) => Command::GetCode(code_kind(*kind), *slot),
        Ask::Set(user, key, enabled, access) => {
            let (Key::Pin(code) | Key::Rfid(code)) = key;
            let (kind, code) = (code_kind(key.kind()), code.clone());
            Command::SetCode { kind, user: *user, status: status(*enabled), user_type: user_type(*access), code }
        }
        Ask::Clear(slot, kind) => Command::ClearCode(code_kind(*kind), *slot),
        Ask::Enable(slot, enabled) => Command::SetUserStatus(*slot, status(*enabled)),
        Ask::Access(slot) => Command::GetUserType(*slot),
        Ask::SetAccess(slot, access) => Command::SetUserType(*slot, user_type(*access)),
        Ask::SetWindow(slot, n, Window::Week(WeekHours { days, start, end })) => {
            Command::SetWeekDay(at(*slot, *n), WeekDay { days: *days, start: *start, end: *end })
        }
        Ask::SetWindow(slot, n, Window::Dates { start_s, end_s }) => {
            Command::SetYearDay(at(*slot, *n), YearDay { start_s: *start_s, end_s: *end_s })
        }
        Ask::ReadWindow(slot, n, Window::Week(_)) => Command::GetWeekDay(at(*slot, *n)),
        Ask::ReadWindow(slot, n, Window::Dates { .. }) => Command::GetYearDay(at(*slot, *n)),
        Ask::ClearWindow(slot, n, Window::Week(_)) => Command::ClearWeekDay(at(*slot, *n)),
        Ask::ClearWindow(slot, n, Window::Dates { .. }) => Command::ClearYearDay(at(*slot, *n)),
    };
    Some((Awaited::Command(command.number(), place(ask)), command.message(tsn)?))
}

/// The place that is asked about.
fn place(ask: &Ask) -> Option<Slot> {
    match ask {
        Ask::Turn(..) | Ask::State | Ask::Settings(_) | Ask::WriteMasks | Ask::WriteAutoRelock(_) => None,
        Ask::Held(slot)
        | Ask::HeldKey(slot, _)
        | Ask::Set(slot, ..)
        | Ask::Clear(slot, _)
        | Ask::Enable(slot, _)
        | Ask::Access(slot)
        | Ask::SetAccess(slot, _)
        | Ask::SetWindow(slot, ..)
        | Ask::ReadWindow(slot, ..)
        | Ask::ClearWindow(slot, ..) => Some(*slot),
    }
}

/// The place an answer is about, where it says.
fn about(answer: &FromLock) -> Option<Slot> {
    match answer {
        FromLock::Code(_, user, ..) | FromLock::UserStatus(user, _) | FromLock::UserType(user, _) => Some(*user),
        FromLock::WeekDay(at, _) => Some(at.user),
        FromLock::YearDay(at, _) => Some(at.user),
        FromLock::Done(..) | FromLock::Operation(_) | FromLock::Programming(_) => None,
    }
}

fn code_kind(kind: KeyKind) -> CodeKind {
    match kind {
        KeyKind::Pin => CodeKind::Pin,
        KeyKind::Rfid => CodeKind::Rfid,
    }
}

fn status(enabled: bool) -> UserStatus {
    if enabled { UserStatus::Enabled } else { UserStatus::Disabled }
}

fn user_type(access: Access) -> UserType {
    match access {
        Access::Always => UserType::Unrestricted,
        Access::Dates => UserType::YearDay,
        Access::Week => UserType::WeekDay,
        Access::Other => UserType::NonAccess,
    }
}

/// What became of a command, by the standard's codes.
fn done(code: u8, otherwise: Failure) -> Reply {
    match Status(code) {
        Status::SUCCESS => Reply::Done,
        Status::UNSUPPORTED_CLUSTER_COMMAND
        | Status::UNSUPPORTED_GENERAL_COMMAND
        | Status::UNSUPPORTED_ATTRIBUTE
        | Status::UNSUPPORTED_CLUSTER => Reply::Not(Failure::Unsupported),
        _ => Reply::Not(otherwise),
    }
}

fn reply(answer: &FromLock) -> Reply {
    match answer {
        // 07-5123, tables 7-24 and 7-28: what is wrong with a new key has codes of its own.
        FromLock::Done(door_lock::command::SET_PIN | door_lock::command::SET_RFID, 2) => Reply::Not(Failure::Full),
        FromLock::Done(door_lock::command::SET_PIN | door_lock::command::SET_RFID, 3) => Reply::Not(Failure::Duplicate),
        FromLock::Done(_, code) => done(*code, Failure::Refused(*code)),
        FromLock::Code(_, _, status, _, code) => Reply::Held(held(*status), code.clone()),
        FromLock::UserStatus(_, status) => Reply::Held(held(*status), None),
        FromLock::UserType(_, user_type) => Reply::Access(match user_type {
            UserType::Unrestricted => Access::Always,
            UserType::YearDay => Access::Dates,
            UserType::WeekDay => Access::Week,
            UserType::Master | UserType::NonAccess | UserType::Other(_) => Access::Other,
        }),
        FromLock::WeekDay(_, told) => {
            let window = |week: WeekDay| Window::Week(WeekHours { days: week.days, start: week.start, end: week.end });
            Reply::Window(told.ok().map(window))
        }
        FromLock::YearDay(_, told) => {
            let window = |year: YearDay| Window::Dates { start_s: year.start_s, end_s: year.end_s };
            Reply::Window(told.ok().map(window))
        }
        FromLock::Operation(_) | FromLock::Programming(_) => Reply::Not(Failure::NotReadBack),
    }
}

fn held(status: UserStatus) -> Held {
    match status {
        UserStatus::Available => Held::Empty,
        UserStatus::Enabled => Held::Enabled,
        UserStatus::Disabled => Held::Disabled,
        UserStatus::Other(_) => Held::Unclear,
    }
}

/// What happened, whatever the source: locks send codes of one source's table with another (07-5123, tables 7-33 to 7-36).
fn operation(event: Operation) -> Heard {
    let slot = slot(event.user);
    let source = how(event.source);
    let (turn, how) = match event.code {
        0x01 => (Turn::Lock, source),
        0x02 => (Turn::Unlock, source),
        0x03 => return Heard::Denied(Turn::Lock, source, slot, Denied::WrongCode),
        0x04 => return Heard::Denied(Turn::Lock, source, slot, Denied::Schedule),
        0x05 => return Heard::Denied(Turn::Unlock, source, slot, Denied::WrongCode),
        0x06 => return Heard::Denied(Turn::Unlock, source, slot, Denied::Schedule),
        0x0F => return Heard::Denied(Turn::Unlock, source, slot, Denied::NoAccess),
        0x07 | 0x0D => (Turn::Lock, How::Manual),
        0x08 => (Turn::Lock, How::Key),
        0x09 => (Turn::Unlock, How::Key),
        0x0A => (Turn::Lock, How::Auto),
        0x0B => (Turn::Lock, How::Schedule),
        0x0C => (Turn::Unlock, How::Schedule),
        0x0E => (Turn::Unlock, How::Manual),
        _ => return Heard::Strange,
    };
    // Nobody's place stands behind a knob, whatever number is in the field.
    let slot = slot.filter(|_| matches!(how, How::Keypad | How::Rf | How::Rfid | How::Unknown));
    Heard::Turned(turn, how, slot)
}

fn programming(event: Programming) -> Heard {
    let change = match event.code {
        0x01 => return Heard::Programmed(None, Change::Master, how(event.source)),
        0x02 | 0x05 => Change::Added,
        0x03 | 0x06 => Change::Deleted,
        0x04 => Change::Changed,
        _ => Change::Unknown,
    };
    Heard::Programmed(slot(event.user), change, how(event.source))
}

fn how(source: u8) -> How {
    match source {
        0 => How::Keypad,
        1 => How::Rf,
        2 => How::Manual,
        3 => How::Rfid,
        _ => How::Unknown,
    }
}

fn slot(user: u16) -> Option<Slot> {
    (user != u16::MAX).then_some(user)
}

/// 07-5123, table 7-14.
fn alarm(code: u8) -> Alarm {
    match code {
        0x00 => Alarm::Jammed,
        0x01 => Alarm::Reset,
        0x03 => Alarm::PowerCycled,
        0x04 => Alarm::WrongCodes,
        0x05 => Alarm::Tamper,
        0x06 => Alarm::Forced,
        other => Alarm::Other(other),
    }
}

type Stands = (Option<Told<Bolt>>, Option<Told<Door>>, Option<Refused>);

/// Where bolt and door are (07-5123, tables 7-9 and 7-10), and what could not be read of it.
fn state(told: &Global) -> Stands {
    let (bolt, wrong) = match number(told, attribute::LOCK_STATE) {
        Ok(None) => (None, None),
        Ok(Some(0)) => (Some(Told::Is(Bolt::NotFully)), None),
        Ok(Some(1)) => (Some(Told::Is(Bolt::Locked)), None),
        Ok(Some(2)) => (Some(Told::Is(Bolt::Unlocked)), None),
        Ok(Some(_)) => (Some(Told::Unknown), None),
        Err(refused) => (Some(Told::Unknown), Some(refused)),
    };
    let door = match number(told, attribute::DOOR_STATE) {
        Ok(Some(0)) => Some(Told::Is(Door::Open)),
        Ok(Some(1)) => Some(Told::Is(Door::Closed)),
        Ok(Some(2)) => Some(Told::Is(Door::Jammed)),
        Ok(Some(3)) => Some(Told::Is(Door::Forced)),
        // It has no sensor.
        Ok(None | Some(0xFF)) => None,
        Ok(Some(_)) | Err(_) => Some(Told::Unknown),
    };
    (bolt, door, wrong)
}

/// What cannot be read is not known; a lock that says half of its settings can be driven.
fn settings(part: Part, told: &Global) -> Settings {
    let number = |id| number(told, id).ok().flatten();
    let byte = |id| number(id).and_then(|value| u8::try_from(value).ok()).filter(|value| *value != u8::MAX);
    let word = |id| number(id).and_then(|value| u16::try_from(value).ok()).filter(|value| *value != u16::MAX);
    let yes = |id| number(id).filter(|value| *value <= 1).map(|value| value == 1);
    match part {
        Part::Limits => Settings {
            users: word(attribute::NUMBER_OF_TOTAL_USERS).or(word(attribute::NUMBER_OF_PIN_USERS)),
            rfid_users: word(attribute::NUMBER_OF_RFID_USERS),
            week_windows: byte(attribute::NUMBER_OF_WEEK_DAYS),
            date_windows: byte(attribute::NUMBER_OF_YEAR_DAYS),
            pin_length: byte(attribute::MIN_PIN_LENGTH).zip(byte(attribute::MAX_PIN_LENGTH)),
            rfid_length: byte(attribute::MIN_RFID_LENGTH).zip(byte(attribute::MAX_RFID_LENGTH)),
            ..Settings::default()
        },
        Part::Behaviour => Settings {
            auto_relock_s: number(attribute::AUTO_RELOCK_TIME).filter(|seconds| *seconds != u32::MAX),
            remote_off: byte(attribute::OPERATING_MODE).map(|mode| mode == MODE_NO_RF),
            wrong_codes: byte(attribute::WRONG_CODE_ENTRY_LIMIT),
            shut_s: byte(attribute::USER_CODE_TEMPORARY_DISABLE_TIME),
            shows_keys: yes(attribute::SEND_PIN_OVER_THE_AIR),
            demands_key: yes(attribute::REQUIRE_PIN_FOR_RF_OPERATION),
            sealed: byte(attribute::SECURITY_LEVEL).map(|level| level != 0),
            ..Settings::default()
        },
        Part::Masks => {
            let mut told = group::MASKS.iter().filter_map(|id| number(*id)).peekable();
            let any = told.peek().is_some();
            Settings { tells_all: any.then(|| told.all(|mask| mask == 0xFFFF)), ..Settings::default() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zigbee::bytes::from_hex;
    use crate::zigbee::lock_words::Stage;
    use crate::zigbee::zcl_json::plain;

    struct Wire {
        lock: ZigbeeLock,
        now_ms: u64,
        tsn: u8,
    }

    impl Wire {
        fn new() -> Self {
            let mut lock = ZigbeeLock::new(BTreeMap::new(), None);
            lock.link_up(0);
            Self { lock, now_ms: 0, tsn: 0x40 }
        }

        /// A lock whose settings were read: it demands sealed messages and no key.
        fn at_rest() -> Self {
            let mut wire = Self::new();
            assert_eq!(wire.sends().as_deref(), Some("10410000000300"), "how it stands, first of all");
            wire.says("18 41 01 0000 00 30 01 0300 86");
            for answer in [
                "2300 00 23 00000000 2500 00 30 00 3000 86 3100 86 3200 00 10 00 3300 00 10 00 3400 00 30 01",
                "1100 00 21 0000",
                "4000 00 19 FFFF 4100 86",
            ] {
                assert!(wire.sends().is_some());
                wire.says(&format!("18 {:02X} 01 {answer}", wire.tsn));
            }
            assert_eq!(wire.sends(), None);
            wire.words();
            wire
        }

        fn sends(&mut self) -> Option<String> {
            self.tsn += 1;
            let sent = self.lock.next(self.tsn, self.now_ms);
            if sent.is_none() {
                self.tsn -= 1;
            }
            sent.map(|sent| plain(&sent.bytes))
        }

        fn hears(&mut self, frame: &str) -> Result<(), Refused> {
            let bytes = from_hex(&frame.replace(' ', "")).unwrap();
            let reader = &mut Reader::new(&bytes).unwrap();
            let header = Header::parse(reader).unwrap();
            if header.scope == crate::zigbee::zcl::Scope::Cluster {
                return self.lock.cluster(&header, reader, self.now_ms);
            }
            let told = Global::parse(header.command, reader).unwrap();
            self.lock.global(header.tsn, &told, self.now_ms)
        }

        fn says(&mut self, frame: &str) {
            self.hears(frame).unwrap();
        }

        fn words(&mut self) -> Vec<Word> {
            std::iter::from_fn(|| self.lock.take_word()).collect()
        }
    }

    #[test]
    fn a_real_lock_tells_who_opened_once() {
        let mut wire = Wire::at_rest();
        let opened = [Word::Used { unlocked: true, how: How::Keypad, slot: Some(1) }, Word::Bolt(Bolt::Unlocked)];
        // Home Assistant core 57875; said again until it is answered.
        wire.says("19 AC 20 00 02 0100 00 9361D112 00");
        assert_eq!(wire.words(), opened);
        wire.now_ms += 9_999;
        wire.says("19 AC 20 00 02 0100 00 9361D112 00");
        assert_eq!(wire.words(), []);
        wire.says("19 AD 20 00 02 0100 00 9361D112 00"); // a clock that stands still
        assert_eq!(wire.words(), opened, "he has opened again");
        wire.now_ms += 10_000;
        wire.says("19 AC 20 00 02 0100 00 9361D112 00");
        assert_eq!(wire.words(), opened, "numbers come round");
        // herdsman-converters 2456: locked by hand.
        wire.says("09 03 20 02 0D 0000 00 FFFFFFFF 00");
        assert_eq!(
            wire.words(),
            [Word::Used { unlocked: false, how: How::Manual, slot: None }, Word::Bolt(Bolt::Locked),]
        );
    }

    #[test]
    fn every_code_of_the_standard_has_one_meaning() {
        let heard = |source, code| operation(Operation { source, code, user: 3, local_s: None });
        for (source, how) in [(0, How::Keypad), (1, How::Rf), (3, How::Rfid), (0xFF, How::Unknown)] {
            assert_eq!(heard(source, 1), Heard::Turned(Turn::Lock, how, Some(3)));
            assert_eq!(heard(source, 2), Heard::Turned(Turn::Unlock, how, Some(3)));
            for (code, turn, why) in [
                (3, Turn::Lock, Denied::WrongCode),
                (4, Turn::Lock, Denied::Schedule),
                (5, Turn::Unlock, Denied::WrongCode),
                (6, Turn::Unlock, Denied::Schedule),
                (15, Turn::Unlock, Denied::NoAccess),
            ] {
                assert_eq!(heard(source, code), Heard::Denied(turn, how, Some(3), why));
            }
        }
        for (code, turn, how) in [
            (1, Turn::Lock, How::Manual),
            (2, Turn::Unlock, How::Manual),
            (7, Turn::Lock, How::Manual),
            (8, Turn::Lock, How::Key),
            (9, Turn::Unlock, How::Key),
            (10, Turn::Lock, How::Auto),
            (11, Turn::Lock, How::Schedule),
            (12, Turn::Unlock, How::Schedule),
            (13, Turn::Lock, How::Manual),
            (14, Turn::Unlock, How::Manual),
        ] {
            assert_eq!(heard(2, code), Heard::Turned(turn, how, None));
        }
        for code in std::iter::once(0).chain(16..=255) {
            assert_eq!(heard(0, code), Heard::Strange, "{code}");
        }
        use Alarm::*;
        let alarms = [Jammed, Reset, Other(2), PowerCycled, WrongCodes, Tamper, Forced, Other(7)];
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(alarm), alarms);
    }

    #[test]
    fn an_order_goes_out_sealed_and_is_read_back() {
        let mut wire = Wire::at_rest();
        wire.lock.order(7, Turn::Unlock, 30_000, wire.now_ms);
        wire.tsn = 0x60;
        let sent = wire.lock.next(0x60, 0).unwrap();
        assert_eq!((plain(&sent.bytes).as_str(), sent.sealed, sent.at_once), ("11600100", true, true));
        wire.says("19 5F 01 00");
        wire.says("19 60 00 00");
        assert_eq!(wire.words(), [Word::Order(7, Stage::Accepted), Word::Order(7, Stage::Sent)]);
        assert_eq!(wire.sends(), None, "neither another number nor another command is the answer");
        wire.says("19 60 01 00");
        wire.now_ms += 1_000;
        assert_eq!(wire.sends().as_deref(), Some("10610000000300"));
        wire.says("18 61 01 0000 00 30 02 0300 86");
        assert_eq!(wire.words(), [Word::Bolt(Bolt::Unlocked), Word::Order(7, Stage::Confirmed)]);
        // Its own word of it, as a Danalock says it (herdsman-converters 404), is nobody's.
        wire.says("09 1C 20 01 02 FFFF 00 FFFFFFFF 00");
        assert_eq!(wire.words(), [Word::Bolt(Bolt::Unlocked)]);
    }

    #[test]
    fn a_lock_that_hears_only_open_messages_is_asked_so_after_a_silence() {
        let silent = || {
            let mut wire = Wire::new();
            let first = wire.lock.next(0x50, 0).unwrap();
            assert!(first.sealed, "a lock that demands it would drop the question whether it does");
            wire.now_ms = 9_000;
            let second = wire.lock.next(0x51, wire.now_ms).unwrap();
            assert_eq!(
                (plain(&second.bytes).as_str(), second.sealed),
                ("10510023002500300031003200330034 00".replace(' ', "").as_str(), false)
            );
            wire
        };
        for (level, sealed) in [("00", false), ("01", true)] {
            let mut wire = silent();
            wire.says(&format!("18 51 01 3300 00 10 00 3400 00 30 {level}"));
            assert_eq!(wire.lock.next(0x52, wire.now_ms).unwrap().sealed, sealed, "level {level}");
        }
        let mut wire = silent();
        wire.now_ms = 18_000;
        while wire.lock.next(0x53, wire.now_ms).is_none_or(|sent| !sent.sealed) {
            assert!(wire.now_ms < 120_000, "sealed ones are tried again");
            wire.now_ms = wire.lock.due_ms(wire.now_ms).unwrap();
        }
    }

    #[test]
    fn a_lock_that_does_not_know_an_order_fails_it() {
        let mut wire = Wire::at_rest();
        wire.lock.order(7, Turn::Lock, 30_000, 0);
        assert!(wire.sends().is_some());
        wire.says(&format!("18 {:02X} 0B 00 81", wire.tsn));
        assert_eq!(wire.words().last(), Some(&Word::Order(7, Stage::Failed(Failure::Unsupported))));
    }

    #[test]
    fn a_state_nobody_can_read_is_none() {
        for state in ["30 FF", "30 03", "20 01", "10 01"] {
            let mut wire = Wire::at_rest();
            let _ = wire.hears(&format!("18 09 0A 0000 {state}"));
            assert_eq!(wire.words(), [Word::Fault(crate::zigbee::lock_words::Fault::Unknown, true)], "{state}");
        }
        let mut wire = Wire::at_rest();
        assert_eq!(wire.hears("18 09 0A 0000 20 01").unwrap_err().kind, Reason::BadValue);
        let mut wire = Wire::at_rest();
        wire.says("18 09 0A 0000 30 00");
        assert_eq!(
            wire.words(),
            [Word::Bolt(Bolt::NotFully), Word::Fault(crate::zigbee::lock_words::Fault::Jammed, true),]
        );
        assert_eq!(Bolt::NotFully.state(), vakt_core::device::DeviceState::Unlocked);
    }

    #[test]
    fn an_answer_about_somebody_else_is_none() {
        let mut wire = Wire::at_rest();
        wire.lock.want(BTreeMap::from([(3, Wanted::Empty)]), 0);
        assert_eq!(wire.sends().map(|sent| sent[4..].to_owned()).as_deref(), Some("0A0300"));
        wire.says(&format!("19 {:02X} 0A 0400 00", wire.tsn));
        assert!(!wire.words().contains(&Word::Slot(3, Stage::Confirmed)));
    }

    #[test]
    fn a_full_lock_says_so() {
        use door_lock::command::*;
        for (command, code, why) in [
            (SET_PIN, 1, Failure::Refused(1)),
            (SET_PIN, 2, Failure::Full),
            (SET_RFID, 3, Failure::Duplicate),
            (LOCK, 2, Failure::Refused(2)),
            (SET_USER_STATUS, 0x81, Failure::Unsupported),
        ] {
            assert_eq!(reply(&FromLock::Done(command, code)), Reply::Not(why));
        }
    }

    #[test]
    fn no_bytes_upset_it() {
        let mut wire = Wire::at_rest();
        for first in 0..=255u8 {
            for length in 0..14 {
                let header = Header { scope: crate::zigbee::zcl::Scope::Cluster, ..Header::request(wire.tsn, first) };
                let header = Header { direction: crate::zigbee::zcl::Direction::ToClient, ..header };
                let bytes = vec![first; length];
                let reader = &mut Reader::new(&bytes).unwrap();
                let _ = wire.lock.cluster(&header, &mut reader.clone(), wire.now_ms);
                let _ = wire.lock.alarm(&header, reader, wire.now_ms);
                let _ = wire.sends();
                wire.now_ms += 100;
            }
        }
        let shown: Vec<Word> = wire.words();
        assert!(!shown.contains(&Word::Bolt(Bolt::Locked)) || shown.iter().any(|w| matches!(w, Word::Used { .. })));
    }
}
