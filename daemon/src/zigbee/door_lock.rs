//! Door Lock, cluster 0x0101: what a lock is asked and ordered, what it answers and what it tells unasked (07-5123,
//! chapter 7.3). Bytes here; what they mean for a door stands in `lock_zigbee`, what a lock is to do in `lock`.
//!
//! The code in a notification is not even kept: nobody needs it, and it would be one more place it could be read from.
//! Errors name fields and lengths, never what stood there.

use crate::zigbee::bytes::Reader;
use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;
use crate::zigbee::secret::Secret;
use crate::zigbee::zcl::Direction;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Scope;

/// The cluster's id.
pub const CLUSTER: u16 = 0x0101;

/// Commands; an answer has its request's number (07-5123, tables 7-16 and 7-23).
pub mod command {
    #![allow(missing_docs)] // the standard's own names
    pub const LOCK: u8 = 0x00;
    pub const UNLOCK: u8 = 0x01;
    pub const TOGGLE: u8 = 0x02;
    pub const UNLOCK_WITH_TIMEOUT: u8 = 0x03;
    pub const GET_LOG_RECORD: u8 = 0x04;
    pub const SET_PIN: u8 = 0x05;
    pub const GET_PIN: u8 = 0x06;
    pub const CLEAR_PIN: u8 = 0x07;
    pub const CLEAR_ALL_PINS: u8 = 0x08;
    pub const SET_USER_STATUS: u8 = 0x09;
    pub const GET_USER_STATUS: u8 = 0x0A;
    pub const SET_WEEK_DAY: u8 = 0x0B;
    pub const GET_WEEK_DAY: u8 = 0x0C;
    pub const CLEAR_WEEK_DAY: u8 = 0x0D;
    pub const SET_YEAR_DAY: u8 = 0x0E;
    pub const GET_YEAR_DAY: u8 = 0x0F;
    pub const CLEAR_YEAR_DAY: u8 = 0x10;
    pub const SET_HOLIDAY: u8 = 0x11;
    pub const GET_HOLIDAY: u8 = 0x12;
    pub const CLEAR_HOLIDAY: u8 = 0x13;
    pub const SET_USER_TYPE: u8 = 0x14;
    pub const GET_USER_TYPE: u8 = 0x15;
    pub const SET_RFID: u8 = 0x16;
    pub const GET_RFID: u8 = 0x17;
    pub const CLEAR_RFID: u8 = 0x18;
    pub const CLEAR_ALL_RFIDS: u8 = 0x19;
    pub const OPERATION_EVENT: u8 = 0x20;
    pub const PROGRAMMING_EVENT: u8 = 0x21;
}

/// How a lock knows a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // the standard's own names
pub enum CodeKind {
    Pin,
    Rfid,
}

/// What is in a user's place (07-5123, table 7-20).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserStatus {
    /// Nothing.
    Available,
    /// Somebody who may open.
    Enabled,
    /// Somebody who may not.
    Disabled,
    /// What the standard keeps for later, or FF: the lock does not say.
    Other(u8),
}

impl UserStatus {
    /// The status of a code.
    pub fn new(code: u8) -> Self {
        match code {
            0 => Self::Available,
            1 => Self::Enabled,
            3 => Self::Disabled,
            other => Self::Other(other),
        }
    }

    /// Its code.
    pub fn code(self) -> u8 {
        match self {
            Self::Available => 0,
            Self::Enabled => 1,
            Self::Disabled => 3,
            Self::Other(code) => code,
        }
    }
}

/// When a user's code opens (07-5123, table 7-21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserType {
    /// Always.
    Unrestricted,
    /// Between two dates.
    YearDay,
    /// At hours of some days of the week.
    WeekDay,
    /// Always, and it may change the others' at the lock.
    Master,
    /// Never; its use is told.
    NonAccess,
    /// What the standard keeps for later, or FF: the lock does not say.
    Other(u8),
}

impl UserType {
    /// The type of a code.
    pub fn new(code: u8) -> Self {
        match code {
            0 => Self::Unrestricted,
            1 => Self::YearDay,
            2 => Self::WeekDay,
            3 => Self::Master,
            4 => Self::NonAccess,
            other => Self::Other(other),
        }
    }

    /// Its code.
    pub fn code(self) -> u8 {
        match self {
            Self::Unrestricted => 0,
            Self::YearDay => 1,
            Self::WeekDay => 2,
            Self::Master => 3,
            Self::NonAccess => 4,
            Self::Other(code) => code,
        }
    }
}

/// Which schedule of which user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduleAt {
    /// From 0, fewer than the lock says it has for each user.
    pub schedule: u8,
    /// The user's place.
    pub user: u16,
}

/// Hours of some days of the week, local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeekDay {
    /// Bit 0 is Sunday, bit 6 Saturday.
    pub days: u8,
    /// From this hour and minute.
    pub start: (u8, u8),
    /// To this one.
    pub end: (u8, u8),
}

/// A time between two moments, local time, s since 2000-01-01 00:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YearDay {
    /// From here.
    pub start_s: u32,
    /// To here.
    pub end_s: u32,
}

/// What the hub asks or orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Lock, with a code where the lock demands one.
    Lock(Option<Secret>),
    /// Unlock.
    Unlock(Option<Secret>),
    /// Unlock, and lock again after so many seconds.
    UnlockWithTimeout(u16, Option<Secret>),
    /// Gives a user a code.
    SetCode {
        /// Typed or held before it.
        kind: CodeKind,
        /// The place.
        user: u16,
        /// Whether it opens.
        status: UserStatus,
        /// When it opens.
        user_type: UserType,
        /// The code.
        code: Secret,
    },
    /// Asks for a user's code.
    GetCode(CodeKind, u16),
    /// Takes it away.
    ClearCode(CodeKind, u16),
    /// Lets a user open, or not.
    SetUserStatus(u16, UserStatus),
    /// Asks what is in a place.
    GetUserStatus(u16),
    /// Sets hours of the week.
    SetWeekDay(ScheduleAt, WeekDay),
    /// Asks for them.
    GetWeekDay(ScheduleAt),
    /// Takes them away.
    ClearWeekDay(ScheduleAt),
    /// Sets a time between two moments.
    SetYearDay(ScheduleAt, YearDay),
    /// Asks for it.
    GetYearDay(ScheduleAt),
    /// Takes it away.
    ClearYearDay(ScheduleAt),
    /// Sets when a user's code opens.
    SetUserType(u16, UserType),
    /// Asks for it.
    GetUserType(u16),
}

impl Command {
    /// Its number.
    pub fn number(&self) -> u8 {
        match self {
            Self::Lock(_) => command::LOCK,
            Self::Unlock(_) => command::UNLOCK,
            Self::UnlockWithTimeout(..) => command::UNLOCK_WITH_TIMEOUT,
            Self::SetCode { kind: CodeKind::Pin, .. } => command::SET_PIN,
            Self::SetCode { kind: CodeKind::Rfid, .. } => command::SET_RFID,
            Self::GetCode(CodeKind::Pin, _) => command::GET_PIN,
            Self::GetCode(CodeKind::Rfid, _) => command::GET_RFID,
            Self::ClearCode(CodeKind::Pin, _) => command::CLEAR_PIN,
            Self::ClearCode(CodeKind::Rfid, _) => command::CLEAR_RFID,
            Self::SetUserStatus(..) => command::SET_USER_STATUS,
            Self::GetUserStatus(_) => command::GET_USER_STATUS,
            Self::SetWeekDay(..) => command::SET_WEEK_DAY,
            Self::GetWeekDay(_) => command::GET_WEEK_DAY,
            Self::ClearWeekDay(_) => command::CLEAR_WEEK_DAY,
            Self::SetYearDay(..) => command::SET_YEAR_DAY,
            Self::GetYearDay(_) => command::GET_YEAR_DAY,
            Self::ClearYearDay(_) => command::CLEAR_YEAR_DAY,
            Self::SetUserType(..) => command::SET_USER_TYPE,
            Self::GetUserType(_) => command::GET_USER_TYPE,
        }
    }

    /// The whole message. `None`: the code has more than the 254 bytes a string can say of itself.
    pub fn message(&self, tsn: u8) -> Option<Vec<u8>> {
        let header = Header { scope: Scope::Cluster, ..Header::request(tsn, self.number()) };
        Some(header.message(&self.payload()?))
    }

    fn payload(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Self::Lock(code) | Self::Unlock(code) => put_code(code.as_ref(), &mut out)?,
            Self::UnlockWithTimeout(seconds, code) => {
                out.extend(seconds.to_le_bytes());
                put_code(code.as_ref(), &mut out)?;
            }
            Self::SetCode { user, status, user_type, code, .. } => {
                out.extend(user.to_le_bytes());
                out.extend([status.code(), user_type.code()]);
                put_code(Some(code), &mut out)?;
            }
            Self::GetCode(_, user) | Self::ClearCode(_, user) | Self::GetUserStatus(user) | Self::GetUserType(user) => {
                out.extend(user.to_le_bytes());
            }
            Self::SetUserStatus(user, status) => {
                out.extend(user.to_le_bytes());
                out.push(status.code());
            }
            Self::SetUserType(user, user_type) => {
                out.extend(user.to_le_bytes());
                out.push(user_type.code());
            }
            Self::SetWeekDay(at, week) => {
                put_schedule(*at, &mut out);
                out.extend([week.days, week.start.0, week.start.1, week.end.0, week.end.1]);
            }
            Self::SetYearDay(at, year) => {
                put_schedule(*at, &mut out);
                out.extend(year.start_s.to_le_bytes());
                out.extend(year.end_s.to_le_bytes());
            }
            Self::GetWeekDay(at) | Self::ClearWeekDay(at) | Self::GetYearDay(at) | Self::ClearYearDay(at) => {
                put_schedule(*at, &mut out);
            }
        }
        Some(out)
    }
}

/// An empty string where there is none: the standard lets the field be left out, but not every lock reads a message
/// that ends before it (zigbee2mqtt sends the empty string to all).
fn put_code(code: Option<&Secret>, out: &mut Vec<u8>) -> Option<()> {
    let bytes = code.map_or(&[][..], Secret::bytes);
    let length = u8::try_from(bytes.len()).ok().filter(|length| *length != u8::MAX)?;
    out.push(length);
    out.extend(bytes);
    Some(())
}

fn put_schedule(at: ScheduleAt, out: &mut Vec<u8>) {
    out.push(at.schedule);
    out.extend(at.user.to_le_bytes());
}

/// What a lock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromLock {
    /// What became of a command, by its number and a code: 0 is done, the others are each command's own.
    Done(u8, u8),
    /// A user's code; `None` where the lock keeps it to itself.
    Code(CodeKind, u16, UserStatus, UserType, Option<Secret>),
    /// What is in a place.
    UserStatus(u16, UserStatus),
    /// When a user's code opens.
    UserType(u16, UserType),
    /// Hours of the week, or the code that says why not: 8B is none there.
    WeekDay(ScheduleAt, Result<WeekDay, u8>),
    /// A time between two moments, or why not.
    YearDay(ScheduleAt, Result<YearDay, u8>),
    /// Somebody or something turned it, or tried to.
    Operation(Operation),
    /// Somebody changed who may.
    Programming(Programming),
}

/// An event at the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Where it came from: 0 keypad, 1 radio, 2 by hand, 3 tag, FF unknown.
    pub source: u8,
    /// What happened (07-5123, tables 7-33 to 7-36).
    pub code: u8,
    /// Whose place; FFFF where nobody is known.
    pub user: u16,
    /// The lock's own clock, s since 2000-01-01 local time; shorter forms have none, FFFFFFFF is none.
    pub local_s: Option<u32>,
}

/// A change of who may, made at the lock or by radio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Programming {
    /// As in [`Operation`].
    pub source: u8,
    /// What happened (07-5123, tables 7-38 to 7-40).
    pub code: u8,
    /// Whose place; FFFF is all of them, or nobody's.
    pub user: u16,
    /// When it opens, where the lock says.
    pub user_type: Option<UserType>,
    /// What is in the place now, where the lock says.
    pub status: Option<UserStatus>,
    /// As in [`Operation`].
    pub local_s: Option<u32>,
}

impl FromLock {
    /// Reads a lock's command.
    ///
    /// # Errors
    /// `too_short`; `not_supported` for other commands, makers' extensions and the other direction.
    pub fn parse(header: &Header, reader: &mut Reader) -> Result<Self, Refused> {
        use command::*;
        if (header.scope, header.direction, header.manufacturer) != (Scope::Cluster, Direction::ToClient, None) {
            return Err(Refused::new(Reason::NotSupported, 0, "not a command of a Door Lock server"));
        }
        Ok(match header.command {
            LOCK | UNLOCK | TOGGLE | UNLOCK_WITH_TIMEOUT | SET_PIN | CLEAR_PIN | CLEAR_ALL_PINS | SET_USER_STATUS
            | SET_WEEK_DAY | CLEAR_WEEK_DAY | SET_YEAR_DAY | CLEAR_YEAR_DAY | SET_HOLIDAY | CLEAR_HOLIDAY
            | SET_USER_TYPE | SET_RFID | CLEAR_RFID | CLEAR_ALL_RFIDS => {
                Self::Done(header.command, reader.u8("the status")?)
            }
            GET_PIN => code(CodeKind::Pin, reader)?,
            GET_RFID => code(CodeKind::Rfid, reader)?,
            GET_USER_STATUS => Self::UserStatus(user(reader)?, UserStatus::new(reader.u8("the user status")?)),
            GET_USER_TYPE => Self::UserType(user(reader)?, UserType::new(reader.u8("the user type")?)),
            GET_WEEK_DAY => scheduled(reader, week_day).map(|(at, told)| Self::WeekDay(at, told))?,
            GET_YEAR_DAY => scheduled(reader, year_day).map(|(at, told)| Self::YearDay(at, told))?,
            OPERATION_EVENT => Self::Operation(operation(reader)?),
            PROGRAMMING_EVENT => Self::Programming(programming(reader)?),
            other => {
                let text = format!("command 0x{other:02x} of a lock is none that this receiver reads");
                return Err(Refused::new(Reason::NotSupported, reader.at(), text));
            }
        })
    }
}

fn user(reader: &mut Reader) -> Result<u16, Refused> {
    reader.u16("the user id")
}

fn code(kind: CodeKind, reader: &mut Reader) -> Result<FromLock, Refused> {
    let user = user(reader)?;
    let status = UserStatus::new(reader.u8("the user status")?);
    let user_type = UserType::new(reader.u8("the user type")?);
    // An empty place has no code, and some locks leave the whole field out.
    let bytes = if reader.left() == 0 { None } else { octets(reader)? };
    let code = bytes.filter(|bytes| !bytes.is_empty()).map(Secret::new);
    Ok(FromLock::Code(kind, user, status, user_type, code))
}

/// An octet string; `None` where it says that it has no value.
fn octets<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Refused> {
    match reader.u8("the length of a code")? {
        u8::MAX => Ok(None),
        length => reader.take(usize::from(length), "a code").map(Some),
    }
}

type Told<T> = (ScheduleAt, Result<T, u8>);

fn scheduled<T>(reader: &mut Reader, one: impl Fn(&mut Reader) -> Result<T, Refused>) -> Result<Told<T>, Refused> {
    let schedule = reader.u8("the schedule id")?;
    let at = ScheduleAt { schedule, user: user(reader)? };
    let status = reader.u8("the status")?;
    Ok((at, if status == 0 { Ok(one(reader)?) } else { Err(status) }))
}

fn week_day(reader: &mut Reader) -> Result<WeekDay, Refused> {
    let days = reader.u8("the days")?;
    let mut time = |what| Ok::<_, Refused>((reader.u8(what)?, reader.u8(what)?));
    Ok(WeekDay { days, start: time("the start")?, end: time("the end")? })
}

fn year_day(reader: &mut Reader) -> Result<YearDay, Refused> {
    let mut time = |what| Ok::<_, Refused>(u32::try_from(reader.number(4, what)?).expect("four bytes"));
    Ok(YearDay { start_s: time("the start")?, end_s: time("the end")? })
}

/// What happened stands in the first four bytes. Locks in the field end after them, after the code, after the clock, or
/// in the middle of a text (deconz-rest-plugin 4253, zigbee2mqtt 7567): who opened the door is not lost to that.
fn operation(reader: &mut Reader) -> Result<Operation, Refused> {
    let source = reader.u8("the event source")?;
    let code = reader.u8("the event code")?;
    let user = user(reader)?;
    let told = octets(reader).is_ok();
    Ok(Operation { source, code, user, local_s: local(reader).filter(|_| told) })
}

fn programming(reader: &mut Reader) -> Result<Programming, Refused> {
    let source = reader.u8("the event source")?;
    let code = reader.u8("the event code")?;
    let user = user(reader)?;
    let mut told = Programming { source, code, user, user_type: None, status: None, local_s: None };
    if octets(reader).is_ok() {
        told.user_type = reader.u8("the user type").ok().map(UserType::new);
        told.status = reader.u8("the user status").ok().map(UserStatus::new);
        told.local_s = local(reader);
    }
    Ok(told)
}

fn local(reader: &mut Reader) -> Option<u32> {
    let seconds = u32::try_from(reader.number(4, "the lock's clock").ok()?).expect("four bytes");
    (seconds != u32::MAX).then_some(seconds)
}

/// A command's name, for people; `None` for those the standard does not have.
pub fn name(direction: Direction, number: u8) -> Option<&'static str> {
    use command::*;
    let (asked, answered) = match number {
        LOCK => ("lock_door", "lock_door_response"),
        UNLOCK => ("unlock_door", "unlock_door_response"),
        TOGGLE => ("toggle", "toggle_response"),
        UNLOCK_WITH_TIMEOUT => ("unlock_with_timeout", "unlock_with_timeout_response"),
        GET_LOG_RECORD => ("get_log_record", "get_log_record_response"),
        SET_PIN => ("set_pin_code", "set_pin_code_response"),
        GET_PIN => ("get_pin_code", "get_pin_code_response"),
        CLEAR_PIN => ("clear_pin_code", "clear_pin_code_response"),
        CLEAR_ALL_PINS => ("clear_all_pin_codes", "clear_all_pin_codes_response"),
        SET_USER_STATUS => ("set_user_status", "set_user_status_response"),
        GET_USER_STATUS => ("get_user_status", "get_user_status_response"),
        SET_WEEK_DAY => ("set_week_day_schedule", "set_week_day_schedule_response"),
        GET_WEEK_DAY => ("get_week_day_schedule", "get_week_day_schedule_response"),
        CLEAR_WEEK_DAY => ("clear_week_day_schedule", "clear_week_day_schedule_response"),
        SET_YEAR_DAY => ("set_year_day_schedule", "set_year_day_schedule_response"),
        GET_YEAR_DAY => ("get_year_day_schedule", "get_year_day_schedule_response"),
        CLEAR_YEAR_DAY => ("clear_year_day_schedule", "clear_year_day_schedule_response"),
        SET_HOLIDAY => ("set_holiday_schedule", "set_holiday_schedule_response"),
        GET_HOLIDAY => ("get_holiday_schedule", "get_holiday_schedule_response"),
        CLEAR_HOLIDAY => ("clear_holiday_schedule", "clear_holiday_schedule_response"),
        SET_USER_TYPE => ("set_user_type", "set_user_type_response"),
        GET_USER_TYPE => ("get_user_type", "get_user_type_response"),
        SET_RFID => ("set_rfid_code", "set_rfid_code_response"),
        GET_RFID => ("get_rfid_code", "get_rfid_code_response"),
        CLEAR_RFID => ("clear_rfid_code", "clear_rfid_code_response"),
        CLEAR_ALL_RFIDS => ("clear_all_rfid_codes", "clear_all_rfid_codes_response"),
        OPERATION_EVENT if direction == Direction::ToClient => return Some("operation_event_notification"),
        PROGRAMMING_EVENT if direction == Direction::ToClient => return Some("programming_event_notification"),
        _ => return None,
    };
    Some(if direction == Direction::ToServer { asked } else { answered })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zigbee::bytes::from_hex;

    fn said(frame: &str) -> Result<FromLock, Refused> {
        let bytes = from_hex(&frame.replace(' ', "")).unwrap();
        let reader = &mut Reader::new(&bytes)?;
        let header = Header::parse(reader)?;
        FromLock::parse(&header, reader)
    }

    fn asked(command: Command) -> String {
        let bytes = command.message(0x42).unwrap();
        bytes.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    fn event(source: u8, code: u8, user: u16, local_s: Option<u32>) -> FromLock {
        FromLock::Operation(Operation { source, code, user, local_s })
    }

    #[test]
    fn real_locks_tell_who_turned_them() {
        // Home Assistant core 57875: keypad, unlock, user 1.
        assert_eq!(said("19 AC 20 00 02 0100 00 9361D112 00").unwrap(), event(0, 2, 1, Some(0x12D1_6193)));
        // herdsman-converters 2456: by hand, locked, nobody, no clock.
        assert_eq!(said("09 03 20 02 0D 0000 00 FFFFFFFF 00").unwrap(), event(2, 0x0D, 0, None));
        // herdsman-converters 404, Danalock: radio, unlock, nobody.
        assert_eq!(said("09 1C 20 01 02 FFFF 00 FFFFFFFF 00").unwrap(), event(1, 2, 0xFFFF, None));
    }

    #[test]
    fn an_event_that_ends_early_still_tells_who() {
        let short = event(3, 2, 7, None);
        for frame in [
            "09 01 20 03 02 0700",                      // nothing more
            "09 01 20 03 02 0700 00",                   // after the code
            "09 01 20 03 02 0700 04 31323334 93 61 D1", // within the clock
            "09 01 20 03 02 0700 04 31 32",             // within the code
            "09 01 20 03 02 0700 04 31323334 FFFFFFFF", // after the clock
            "09 01 20 03 02 0700 FF",                   // a code that is none
        ] {
            assert_eq!(said(frame).as_ref(), Ok(&short), "{frame}");
        }
        let clock = event(3, 2, 7, Some(1));
        assert_eq!(said("09 01 20 03 02 0700 00 01000000 05 41").unwrap(), clock, "a text that is cut");
        let cut = said("09 01 20 03 02 07").unwrap_err();
        assert_eq!((cut.kind, cut.at), (Reason::TooShort, 5), "half a user is nobody");
    }

    #[test]
    fn real_locks_tell_who_changed_who_may() {
        let told = |source, code, user, status, local_s| {
            FromLock::Programming(Programming {
                source,
                code,
                user,
                user_type: Some(UserType::Unrestricted),
                status: Some(status),
                local_s,
            })
        };
        // deconz-rest-plugin 3750: added by radio, with the code twice over; deleted at the keypad.
        let added = said("09 01 21 01 02 0300 04 31323334 00 01 FFFFFFFF 04 31323334").unwrap();
        assert_eq!(added, told(1, 2, 3, UserStatus::Enabled, None));
        assert!(!format!("{added:?}").contains("1234"));
        assert_eq!(said("09 02 21 00030300000000FFFFFFFF00").unwrap(), told(0, 3, 3, UserStatus::Available, None));
        // zigbee2mqtt 7567: the code is a string, whatever that lock's manual says; after it the type and status are 1.
        let Ok(FromLock::Programming(changed)) = said("09 02 21 00 04 6C00 04 35363134 01 01 FFFFFFFF 00") else {
            panic!("an event")
        };
        assert_eq!((changed.code, changed.user, changed.status), (4, 108, Some(UserStatus::Enabled)));
        let Ok(FromLock::Programming(short)) = said("09 02 21 00 02 0500") else { panic!("an event") };
        assert_eq!((short.user, short.status, short.local_s), (5, None, None));
    }

    #[test]
    fn what_is_asked_lies_as_the_standard_says() {
        let pin = || Secret::new(*b"1234");
        let at = ScheduleAt { schedule: 1, user: 0x0203 };
        for (command, bytes) in [
            (Command::Lock(None), "11420000"),
            (Command::Lock(Some(pin())), "1142000431323334"),
            (Command::Unlock(None), "11420100"),
            (Command::Unlock(Some(pin())), "1142010431323334"),
            (Command::UnlockWithTimeout(300, Some(pin())), "1142032C010431323334"),
            (Command::GetCode(CodeKind::Pin, 3), "1142060300"),
            (Command::ClearCode(CodeKind::Pin, 3), "1142070300"),
            (Command::SetUserStatus(3, UserStatus::Disabled), "114209030003"),
            (Command::GetUserStatus(0x1203), "11420A0312"),
            (Command::SetWeekDay(at, WeekDay { days: 0x3E, start: (8, 30), end: (16, 0) }), "11420B0103023E081E1000"),
            (Command::GetWeekDay(at), "11420C010302"),
            (Command::ClearWeekDay(at), "11420D010302"),
            (Command::SetYearDay(at, YearDay { start_s: 1, end_s: 0x0102_0304 }), "11420E0103020100000004030201"),
            (Command::GetYearDay(at), "11420F010302"),
            (Command::ClearYearDay(at), "114210010302"),
            (Command::SetUserType(3, UserType::WeekDay), "114214030002"),
            (Command::GetUserType(3), "1142150300"),
            (Command::GetCode(CodeKind::Rfid, 3), "1142170300"),
            (Command::ClearCode(CodeKind::Rfid, 3), "1142180300"),
        ] {
            assert_eq!(asked(command.clone()), bytes, "{command:?}");
        }
        let set = |kind| {
            let (status, user_type) = (UserStatus::Disabled, UserType::YearDay);
            Command::SetCode { kind, user: 3, status, user_type, code: pin() }
        };
        assert_eq!(asked(set(CodeKind::Pin)), "114205030003010431323334");
        assert_eq!(asked(set(CodeKind::Rfid)), "114216030003010431323334");
        assert!(!format!("{:?}", set(CodeKind::Pin)).contains("1234"));
        assert_eq!(Command::Unlock(Some(Secret::new([b'1'; 255]))).message(1), None, "it could not say its length");
    }

    #[test]
    fn a_lock_answers() {
        // The response to "PIN added" of deconz-rest-plugin 3750, and a full memory.
        assert_eq!(said("19 02 05 00").unwrap(), FromLock::Done(command::SET_PIN, 0));
        assert_eq!(said("19 02 05 02").unwrap(), FromLock::Done(command::SET_PIN, 2));
        assert_eq!(said("19 02 0A 0300 03").unwrap(), FromLock::UserStatus(3, UserStatus::Disabled));
        assert_eq!(said("19 02 15 0300 02").unwrap(), FromLock::UserType(3, UserType::WeekDay));
        let code = |status, code: Option<&[u8]>| {
            FromLock::Code(CodeKind::Pin, 3, status, UserType::Unrestricted, code.map(Secret::new))
        };
        assert_eq!(said("19 02 06 0300 01 00 04 31323334").unwrap(), code(UserStatus::Enabled, Some(b"1234")));
        for none in ["19 02 06 0300 00 00", "19 02 06 0300 00 00 00", "19 02 06 0300 00 00 FF"] {
            assert_eq!(said(none).unwrap(), code(UserStatus::Available, None), "{none}");
        }
        let at = ScheduleAt { schedule: 1, user: 3 };
        let week = WeekDay { days: 0x3E, start: (8, 30), end: (16, 0) };
        assert_eq!(said("19 02 0C 01 0300 00 3E081E1000").unwrap(), FromLock::WeekDay(at, Ok(week)));
        assert_eq!(said("19 02 0C 01 0300 8B").unwrap(), FromLock::WeekDay(at, Err(0x8B)));
        let year = YearDay { start_s: 1, end_s: 0x0102_0304 };
        assert_eq!(said("19 02 0F 01 0300 00 01000000 04030201").unwrap(), FromLock::YearDay(at, Ok(year)));
    }

    #[test]
    fn a_refusal_never_repeats_a_code() {
        let refused = said("19 02 06 0300 01 00 09 31323334").unwrap_err();
        assert_eq!((refused.kind, refused.at), (Reason::TooShort, 8));
        assert!(!refused.to_string().contains("1234") && !refused.to_string().contains("3132"), "{refused}");
    }

    #[test]
    fn what_is_no_lock_is_refused() {
        for frame in ["01 02 20 00 02 0100", "1D 5F11 02 20 00 02 0100", "19 02 40 00", "19 02 12 00 00"] {
            assert_eq!(said(frame).unwrap_err().kind, Reason::NotSupported, "{frame}");
        }
        for number in 0..=255u8 {
            let header = Header { scope: Scope::Cluster, direction: Direction::ToClient, ..Header::request(1, number) };
            for length in 0..12 {
                let bytes = vec![0xFF; length];
                let _ = FromLock::parse(&header, &mut Reader::new(&bytes).unwrap());
            }
        }
    }
}
