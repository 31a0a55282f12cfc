//! What a virtual lock knows of its users: PINs, tags, states, schedules, and the commands of Door Lock that change it
//! (Zigbee Cluster Library, chapter 7.3).
//!
//! It judges codes; it moves nothing. A code that no enabled user has never opens.

use super::bytes::Reader;
use super::bytes::Short;
use super::bytes::Writer;
use super::function::status;
use serde::Serialize;
use std::collections::BTreeMap;

/// "All users" and "no user".
pub const NOBODY: u16 = 0xFFFF;

/// User states.
pub const FREE: u8 = 0;
/// He may enter.
pub const ENABLED: u8 = 1;
/// He may not.
pub const DISABLED: u8 = 3;

/// User types.
mod kind {
    pub const YEAR_DAY: u8 = 1;
    pub const WEEK_DAY: u8 = 2;
    pub const NON_ACCESS: u8 = 4;
}

/// Schedules per user and kind, and holidays.
pub const SCHEDULES: u8 = 7;
/// The shortest and longest code, characters.
pub const PIN_LENGTH: [usize; 2] = [4, 8];
/// The shortest and longest tag, bytes.
pub const TAG_LENGTH: [usize; 2] = [4, 20];

/// Answers to a change of a credential.
mod set {
    pub const SUCCESS: u8 = 0;
    pub const FAILURE: u8 = 1;
    pub const MEMORY_FULL: u8 = 2;
    pub const DUPLICATE: u8 = 3;
}

/// What a user shows the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// A code.
    Pin,
    /// A tag.
    Tag,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// 1 enabled, 3 disabled.
    pub status: u8,
    /// 0 always, 1 by date, 2 by weekday, 3 master, 4 no access.
    pub kind: u8,
    /// His code.
    pub pin: Option<Vec<u8>>,
    /// His tag.
    pub tag: Option<Vec<u8>>,
}

impl User {
    fn has(&self, means: Means) -> Option<&Vec<u8>> {
        if means == Means::Pin { self.pin.as_ref() } else { self.tag.as_ref() }
    }

    fn slot(&mut self, means: Means) -> &mut Option<Vec<u8>> {
        if means == Means::Pin { &mut self.pin } else { &mut self.tag }
    }
}

/// What was changed, for a programming event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programmed {
    /// 2 PIN added, 3 deleted, 4 changed, 5 tag added, 6 deleted.
    pub code: u8,
    /// Whose.
    pub user: u16,
    /// The code or tag.
    pub credential: Vec<u8>,
    /// The user's type.
    pub kind: u8,
    /// The user's state.
    pub status: u8,
}

/// Why a code does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Nobody's, or of one who is disabled.
    Invalid(u16),
    /// Not at this time, or nobody knows the time.
    Schedule(u16),
    /// He may not enter at all; that he came is told.
    NonAccess(u16),
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Users it has room for.
    pub room: u16,
    /// By number.
    pub users: BTreeMap<u16, User>,
    /// By user and number: days, from and to, hour and minute each.
    pub week_days: BTreeMap<(u16, u8), [u8; 5]>,
    /// By user and number: local seconds since 2000.
    pub year_days: BTreeMap<(u16, u8), (u32, u32)>,
    /// By number: local seconds since 2000, operating mode.
    pub holidays: BTreeMap<u8, (u32, u32, u8)>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            room: 20,
            users: BTreeMap::new(),
            week_days: BTreeMap::new(),
            year_days: BTreeMap::new(),
            holidays: BTreeMap::new(),
        }
    }
}

/// What a command answers, and what it changed.
pub type Answer = (Vec<u8>, Option<Programmed>);

fn plain(status: u8) -> Answer {
    (vec![status], None)
}

impl Table {
    /// Forgets everybody.
    pub fn empties(&mut self) {
        *self = Self { room: self.room, ..Self::default() };
    }

    /// Who this is, at this local time (seconds since 2000), if he may.
    ///
    /// # Errors
    /// He may not.
    pub fn judge(&self, means: Means, credential: &[u8], local: Option<u32>) -> Result<u16, Refused> {
        let mut owners = self.users.iter().filter(|(_, user)| user.has(means).is_some_and(|own| own == credential));
        let (id, user) = owners.next().ok_or(Refused::Invalid(NOBODY))?;
        if user.status != ENABLED {
            return Err(Refused::Invalid(*id));
        }
        let range = |wanted: u16| (wanted, 0)..=(wanted, u8::MAX);
        let inside = match (user.kind, local) {
            (kind::NON_ACCESS, _) => return Err(Refused::NonAccess(*id)),
            (kind::YEAR_DAY, Some(now)) => {
                self.year_days.range(range(*id)).any(|(_, (start, end))| (*start..=*end).contains(&now))
            }
            (kind::WEEK_DAY, Some(now)) => self.week_days.range(range(*id)).any(|(_, entry)| covers(*entry, now)),
            (kind::YEAR_DAY | kind::WEEK_DAY, None) => false,
            _ => true,
        };
        if inside { Ok(*id) } else { Err(Refused::Schedule(*id)) }
    }

    /// A credential is set, from afar or at the lock.
    pub fn sets(
        &mut self,
        means: Means,
        id: u16,
        (state, kind): (u8, u8),
        credential: &[u8],
    ) -> Result<Programmed, u8> {
        let [least, most] = if means == Means::Pin { PIN_LENGTH } else { TAG_LENGTH };
        let digits = means == Means::Tag || credential.iter().all(u8::is_ascii_digit);
        let sound = (least..=most).contains(&credential.len()) && digits;
        if !sound || ![ENABLED, DISABLED].contains(&state) || kind > 4 {
            return Err(set::FAILURE);
        }
        if id >= self.room {
            return Err(set::MEMORY_FULL);
        }
        let same = |user: &User| user.has(means).is_some_and(|own| own == credential);
        if self.users.iter().any(|(other, user)| *other != id && same(user)) {
            return Err(set::DUPLICATE);
        }
        let user = self.users.entry(id).or_insert(User { status: state, kind, pin: None, tag: None });
        (user.status, user.kind) = (state, kind);
        let before = user.slot(means).replace(credential.to_vec());
        let code = match (means, before) {
            (Means::Pin, None) => 2,
            (Means::Pin, Some(_)) => 4,
            (Means::Tag, _) => 5,
        };
        Ok(Programmed { code, user: id, credential: credential.to_vec(), kind, status: state })
    }

    /// A credential is taken away; nothing when there was none.
    pub fn clears(&mut self, means: Means, id: u16) -> Option<Programmed> {
        let user = self.users.get_mut(&id)?;
        let credential = user.slot(means).take()?;
        let kind = user.kind;
        if user.pin.is_none() && user.tag.is_none() {
            self.forgets(id);
        }
        let code = if means == Means::Pin { 3 } else { 6 };
        Some(Programmed { code, user: id, credential, kind, status: FREE })
    }

    fn forgets(&mut self, id: u16) {
        self.users.remove(&id);
        self.week_days.retain(|(user, _), _| *user != id);
        self.year_days.retain(|(user, _), _| *user != id);
    }

    fn clears_all(&mut self, means: Means) -> Option<Programmed> {
        let ids: Vec<u16> = self.users.keys().copied().collect();
        let cleared: Vec<_> = ids.into_iter().filter_map(|id| self.clears(means, id)).collect();
        cleared.into_iter().next().map(|one| Programmed { user: NOBODY, credential: Vec::new(), ..one })
    }

    /// A command that reads or changes the table; nothing for one of another kind. `tells`: codes may be told over the
    /// air.
    ///
    /// # Errors
    /// It is too short.
    pub fn command(&mut self, command: u8, mut r: Reader<'_>, tells: bool) -> Result<Option<Answer>, Short> {
        let means = if command >= 0x16 { Means::Tag } else { Means::Pin };
        Ok(Some(match command {
            0x05 | 0x16 => {
                let (id, state, kind, credential) = (r.u16()?, r.u8()?, r.u8()?, r.counted()?);
                match self.sets(means, id, (state, kind), credential) {
                    Ok(programmed) => (vec![set::SUCCESS], Some(programmed)),
                    Err(refusal) => plain(refusal),
                }
            }
            0x06 | 0x17 => (self.credential(means, r.u16()?, tells), None),
            0x07 | 0x18 => {
                let id = r.u16()?;
                if id < self.room { (vec![set::SUCCESS], self.clears(means, id)) } else { plain(set::FAILURE) }
            }
            0x08 | 0x19 => (vec![set::SUCCESS], self.clears_all(means)),
            0x09 => {
                let (id, state) = (r.u16()?, r.u8()?);
                match self.users.get_mut(&id).filter(|_| [ENABLED, DISABLED].contains(&state)) {
                    Some(user) => {
                        user.status = state;
                        plain(set::SUCCESS)
                    }
                    None => plain(set::FAILURE),
                }
            }
            0x0A => {
                let id = r.u16()?;
                let state = self.users.get(&id).map_or(FREE, |user| user.status);
                (Writer::new().u16(id).u8(state).done(), None)
            }
            0x0B..=0x13 => plain_or(self.schedule(command, r)?),
            0x14 => {
                let (id, kind) = (r.u16()?, r.u8()?);
                match self.users.get_mut(&id).filter(|_| kind <= 4) {
                    Some(user) => {
                        user.kind = kind;
                        plain(set::SUCCESS)
                    }
                    None => plain(set::FAILURE),
                }
            }
            0x15 => {
                let id = r.u16()?;
                let kind = self.users.get(&id).map_or(0xFF, |user| user.kind);
                (Writer::new().u16(id).u8(kind).done(), None)
            }
            _ => return Ok(None),
        }))
    }

    fn credential(&self, means: Means, id: u16, tells: bool) -> Vec<u8> {
        let out = Writer::new().u16(id);
        match self.users.get(&id).and_then(|user| Some((user, user.has(means)?))) {
            Some((user, own)) => out.u8(user.status).u8(user.kind).counted(if tells { own } else { &[] }).done(),
            None => out.u8(FREE).u8(0xFF).u8(0).done(),
        }
    }

    /// Schedules: set, get and clear for week days, year days and holidays.
    fn schedule(&mut self, command: u8, mut r: Reader<'_>) -> Result<Vec<u8>, Short> {
        let number = r.u8()?;
        let user = if command >= 0x11 { 0 } else { r.u16()? };
        let stranger = command < 0x11 && !self.users.contains_key(&user);
        let bad = number >= SCHEDULES || stranger;
        let done = |well: bool| vec![if well { status::SUCCESS } else { status::INVALID_FIELD }];
        let (key, head) = ((user, number), Writer::new().u8(number));
        let found = |out: Writer, entry: Option<Writer>| match entry {
            _ if bad => out.u8(status::INVALID_FIELD).done(),
            None => out.u8(status::NOT_FOUND).done(),
            Some(entry) => out.u8(status::SUCCESS).bytes(&entry.0).done(),
        };
        Ok(match command {
            0x0B => {
                let [days, from_hour, from_minute, to_hour, to_minute] = r.array()?;
                let times = from_hour < 24 && to_hour < 24 && from_minute < 60 && to_minute < 60;
                let well = !bad && times && days & 0x80 == 0 && (from_hour, from_minute) < (to_hour, to_minute);
                if well {
                    self.week_days.insert(key, [days, from_hour, from_minute, to_hour, to_minute]);
                }
                done(well)
            }
            0x0C => found(head.u16(user), self.week_days.get(&key).map(|entry| Writer::new().bytes(entry))),
            0x0D => {
                self.week_days.remove(&key);
                done(!bad)
            }
            0x0E => {
                let (start, end) = (r.u32()?, r.u32()?);
                if !bad && start < end {
                    self.year_days.insert(key, (start, end));
                }
                done(!bad && start < end)
            }
            0x0F => {
                let entry = self.year_days.get(&key).map(|(start, end)| Writer::new().u32(*start).u32(*end));
                found(head.u16(user), entry)
            }
            0x10 => {
                self.year_days.remove(&key);
                done(!bad)
            }
            0x11 => {
                let (start, end, mode) = (r.u32()?, r.u32()?, r.u8()?);
                let well = !bad && start < end && mode <= 4;
                if well {
                    self.holidays.insert(number, (start, end, mode));
                }
                done(well)
            }
            0x12 => {
                let entry = self.holidays.get(&number);
                found(head, entry.map(|(start, end, mode)| Writer::new().u32(*start).u32(*end).u8(*mode)))
            }
            _ => {
                self.holidays.remove(&number);
                done(!bad)
            }
        })
    }
}

fn plain_or(body: Vec<u8>) -> Answer {
    (body, None)
}

/// A week day's hours hold this local time; bit 0 is Sunday, and 2000 began on a Saturday.
fn covers([days, from_hour, from_minute, to_hour, to_minute]: [u8; 5], local: u32) -> bool {
    let day = (local / 86_400 + 6) % 7;
    let minute = local / 60 % 1440;
    let at = |hour: u8, minute: u8| u32::from(hour) * 60 + u32::from(minute);
    days >> day & 1 == 1 && (at(from_hour, from_minute)..at(to_hour, to_minute)).contains(&minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(kind: u8) -> Table {
        let mut table = Table::default();
        table.sets(Means::Pin, 3, (ENABLED, kind), b"1234").unwrap();
        table
    }

    fn asks(table: &mut Table, command: u8, body: &[u8]) -> Vec<u8> {
        table.command(command, Reader(body), true).unwrap().unwrap().0
    }

    #[test]
    fn a_cleaner_comes_on_mondays_between_eight_and_noon_and_at_no_other_time() {
        let mut table = with(kind::WEEK_DAY);
        // Schedule 0 of user 3: Monday (bit 1), 08:00 to 12:00.
        assert_eq!(asks(&mut table, 0x0B, &[0, 3, 0, 0x02, 8, 0, 12, 0]), [0]);
        assert_eq!(asks(&mut table, 0x0C, &[0, 3, 0]), [0, 3, 0, 0, 0x02, 8, 0, 12, 0]);
        // 2000-01-03 was the first Monday of that year.
        let monday = 2 * 86_400;
        let judge = |table: &Table, at| table.judge(Means::Pin, b"1234", at);
        assert_eq!(judge(&table, Some(monday + 9 * 3600)), Ok(3));
        assert_eq!(judge(&table, Some(monday + 12 * 3600)), Err(Refused::Schedule(3)));
        assert_eq!(judge(&table, Some(monday + 86_400 + 9 * 3600)), Err(Refused::Schedule(3)), "a Tuesday");
        assert_eq!(judge(&table, None), Err(Refused::Schedule(3)), "nobody knows the time");
        assert_eq!(asks(&mut table, 0x0D, &[0, 3, 0]), [0]);
        assert_eq!(asks(&mut table, 0x0C, &[0, 3, 0]), [0, 3, 0, 0x8B]);
        assert_eq!(judge(&table, Some(monday + 9 * 3600)), Err(Refused::Schedule(3)), "no schedule is no permission");
    }

    #[test]
    fn a_guest_comes_between_two_dates() {
        let mut table = with(kind::YEAR_DAY);
        assert_eq!(asks(&mut table, 0x0E, &[1, 3, 0, 100, 0, 0, 0, 200, 0, 0, 0]), [0]);
        assert_eq!(asks(&mut table, 0x0F, &[1, 3, 0]), [1, 3, 0, 0, 100, 0, 0, 0, 200, 0, 0, 0]);
        assert_eq!(table.judge(Means::Pin, b"1234", Some(150)), Ok(3));
        assert_eq!(table.judge(Means::Pin, b"1234", Some(201)), Err(Refused::Schedule(3)));
        assert_eq!(asks(&mut table, 0x0E, &[1, 9, 0, 1, 0, 0, 0, 2, 0, 0, 0]), [0x85], "nobody's schedule");
    }

    #[test]
    fn each_code_is_one_persons_and_of_the_right_length() {
        let mut table = with(0);
        // uid 4, enabled, unrestricted, "1234": user 3's.
        assert_eq!(asks(&mut table, 0x05, &[4, 0, 1, 0, 4, b'1', b'2', b'3', b'4']), [3]);
        assert_eq!(asks(&mut table, 0x05, &[4, 0, 1, 0, 3, b'1', b'2', b'3']), [1], "too short");
        assert_eq!(asks(&mut table, 0x05, &[20, 0, 1, 0, 4, b'5', b'6', b'7', b'8']), [2], "no room");
        assert_eq!(asks(&mut table, 0x05, &[4, 0, 0, 0, 4, b'5', b'6', b'7', b'8']), [1], "set as free");
        assert_eq!(asks(&mut table, 0x05, &[4, 0, 3, 0, 4, b'5', b'6', b'7', b'8']), [0]);
        assert_eq!(table.judge(Means::Pin, b"5678", None), Err(Refused::Invalid(4)), "disabled");
        assert_eq!(asks(&mut table, 0x09, &[4, 0, 1]), [0]);
        assert_eq!(table.judge(Means::Pin, b"5678", None), Ok(4));
        assert_eq!(table.judge(Means::Tag, b"5678", None), Err(Refused::Invalid(NOBODY)), "a code is no tag");
        assert_eq!(asks(&mut table, 0x06, &[4, 0]), [4, 0, 1, 0, 4, b'5', b'6', b'7', b'8']);
        assert_eq!(asks(&mut table, 0x06, &[5, 0]), [5, 0, 0, 0xFF, 0]);
        assert_eq!(asks(&mut table, 0x08, &[]), [0]);
        assert!(table.users.is_empty());
    }
}
