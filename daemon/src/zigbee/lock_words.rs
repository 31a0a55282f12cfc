//! The words between a lock's rules, the wire it hangs on, and whoever tells the core. They know no radio: another wire
//! (the maker's own is not public) needs these and nothing else of this folder.

use crate::zigbee::secret::Secret;
use vakt_core::device::DeviceState;
use vakt_core::event::Method;

/// A user's place in a lock.
pub type Slot = u16;
/// An order, by its giver's number.
pub type OrderId = u64;

/// The lock's own word of what the hub had it do comes so late at most, ms: three polls of a sleeper.
pub(crate) const OWN_DEED_MS: u64 = 30_000;

/// Which way the bolt goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Turn {
    Lock,
    Unlock,
}

/// Where the bolt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bolt {
    /// Home.
    Locked,
    /// Not home.
    Unlocked,
    /// On the way, or stuck: the door may be open, and something may be in the way.
    NotFully,
}

impl Bolt {
    /// As the core says it; what is not fully home is not home.
    pub fn state(self) -> DeviceState {
        match self {
            Self::Locked => DeviceState::Locked,
            Self::Unlocked | Self::NotFully => DeviceState::Unlocked,
        }
    }

    /// Whether it is where this turn takes it.
    pub(crate) fn is(self, turn: Turn) -> bool {
        matches!((self, turn), (Self::Locked, Turn::Lock) | (Self::Unlocked, Turn::Unlock))
    }
}

/// How the door itself stands, where the lock sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Door {
    Open,
    Closed,
    /// Something keeps it from moving.
    Jammed,
    /// Opened while it was locked.
    Forced,
}

/// How somebody turned it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum How {
    Keypad,
    /// By radio, and not by this hub.
    Rf,
    /// From inside, by its knob or button.
    Manual,
    Rfid,
    /// The lock itself, some time after it was unlocked.
    Auto,
    /// The lock itself, at its hour.
    Schedule,
    /// From outside, by a key.
    Key,
    /// The lock does not say.
    Unknown,
}

impl How {
    /// As the core asks it of `LockUsed`: by what credential, `None` where there is none to ask after.
    pub fn method(self) -> Option<Method> {
        match self {
            Self::Keypad => Some(Method::Pin),
            Self::Rfid => Some(Method::Tag),
            Self::Rf => Some(Method::Remote),
            Self::Manual | Self::Auto | Self::Schedule | Self::Key | Self::Unknown => None,
        }
    }
}

/// Why an operation at the door was refused by the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The code or tag is nobody's.
    WrongCode,
    /// It is somebody's, at another hour.
    Schedule,
    /// It is somebody's who may not open at all.
    NoAccess,
}

/// A lock's alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// The bolt is stuck.
    Jammed,
    /// It forgot everything: users, codes, settings.
    Reset,
    /// Its radio started anew.
    PowerCycled,
    /// So many wrong codes that it takes none for a while.
    WrongCodes,
    /// Its cover was taken off. The lock never says that it is back on.
    Tamper,
    /// The door was opened while it was locked.
    Forced,
    /// One the standard does not have.
    Other(u8),
}

/// What keeps a lock from its work, for as long as it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The bolt is stuck, or looks so.
    Jammed,
    /// Nobody knows where the bolt is: it says so, says nothing, or says something nobody can read.
    Unknown,
    /// It does not know how the door stands though it has a sensor for it.
    Door,
}

/// What is in a user's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Empty,
    /// Somebody who may open.
    Enabled,
    /// Somebody who may not.
    Disabled,
    /// The lock does not say.
    Unclear,
}

/// What a person opens with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Digits, as text.
    Pin(Secret),
    /// A tag's number.
    Rfid(Secret),
}

/// The same without what is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum KeyKind {
    Pin,
    Rfid,
}

impl Key {
    /// What it is.
    pub fn kind(&self) -> KeyKind {
        if let Self::Pin(_) = self { KeyKind::Pin } else { KeyKind::Rfid }
    }

    /// What is secret of it.
    pub fn secret(&self) -> &Secret {
        let (Self::Pin(secret) | Self::Rfid(secret)) = self;
        secret
    }
}

/// Hours of some days of the week; bit 0 is Sunday. Local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct WeekHours {
    pub days: u8,
    pub start: (u8, u8),
    pub end: (u8, u8),
}

/// When a key opens. Local time: whoever makes it minds time zones and summer time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// At hours of the week.
    Week(WeekHours),
    /// Between two moments, s since 2000-01-01.
    Dates {
        /// From here.
        start_s: u32,
        /// To here.
        end_s: u32,
    },
}

/// When a user's key opens, by the lock's word for all of his windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Access {
    Always,
    Dates,
    Week,
    /// Something the hub never sets.
    Other,
}

/// What there should be in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Somebody's key.
    Key {
        /// What he opens with.
        key: Key,
        /// Whether he may now.
        enabled: bool,
        /// When; empty: always. All of one sort.
        windows: Vec<Window>,
        /// Rises with each change of key or windows. A lock does not show what it holds; this is how the hub knows.
        revision: u32,
    },
    /// Nothing any more.
    Empty,
    /// Nothing, and before anything else is done: it was lost or stolen.
    Blocked,
}

/// What the wire is to do. One at a time; the answer or silence ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Turn the bolt.
    Turn(Turn, Option<Secret>),
    /// How it stands.
    State,
    /// Part of its settings.
    Settings(Part),
    /// Have every alarm and event told.
    WriteMasks,
    /// Have it lock by itself after so many seconds; 0: never.
    WriteAutoRelock(u32),
    /// What is in a place.
    Held(Slot),
    /// The same, by asking for the key; some locks know only this.
    HeldKey(Slot, KeyKind),
    /// Put a key there.
    Set(Slot, Key, bool, Access),
    /// Take it away.
    Clear(Slot, KeyKind),
    /// Let it open, or not.
    Enable(Slot, bool),
    /// When it opens.
    Access(Slot),
    /// Set when it opens.
    SetAccess(Slot, Access),
    /// Set one window, by its number.
    SetWindow(Slot, u8, Window),
    /// Read it back; the window says of which sort.
    ReadWindow(Slot, u8, Window),
    /// Take it away, likewise.
    ClearWindow(Slot, u8, Window),
}

/// Which settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Part {
    Limits,
    Behaviour,
    Masks,
}

/// Why something did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The lock said nothing in time.
    NoAnswer,
    /// The message never left.
    NotSent,
    /// The link to the lock went away.
    LinkLost,
    /// Another order is under way.
    Busy,
    /// The lock does not take it; its own code.
    Refused(u8),
    /// The lock does not know the command.
    Unsupported,
    /// It demands a code of whoever is not at the door, and the hub has none in it.
    NoCredential,
    /// It is set not to obey the radio.
    RemoteOff,
    /// It said "done" and then that it is not.
    Contrary,
    /// The bolt is stuck.
    Jammed,
    /// It said "done" and then not where the bolt is.
    NotReadBack,
    /// It has no room for another key.
    Full,
    /// Somebody else has the same key.
    Duplicate,
    /// The key is shorter or longer than this lock takes.
    Length,
    /// It has not so many windows, or they are of two sorts.
    Windows,
}

impl Failure {
    /// As the journal says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::NoAnswer => "no_answer",
            Self::NotSent => "not_sent",
            Self::LinkLost => "link_lost",
            Self::Busy => "busy",
            Self::Refused(_) => "refused",
            Self::Unsupported => "unsupported",
            Self::NoCredential => "no_credential",
            Self::RemoteOff => "remote_off",
            Self::Contrary => "contrary",
            Self::Jammed => "jammed",
            Self::NotReadBack => "not_read_back",
            Self::Full => "full",
            Self::Duplicate => "duplicate",
            Self::Length => "length",
            Self::Windows => "windows",
        }
    }
}

/// The wire's answer to what it was asked last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done, by the lock's own word.
    Done,
    /// Not done, or not answered; never silence, which the rules time themselves.
    Not(Failure),
    /// How it stands; `None` for what it does not say.
    State(Option<Told<Bolt>>, Option<Told<Door>>),
    /// Part of its settings.
    Settings(Settings),
    /// What is in a place, and the key if the lock shows it.
    Held(Held, Option<Secret>),
    /// When a key opens.
    Access(Access),
    /// A window; `None`: there is none.
    Window(Option<Window>),
}

/// Something said that may be beyond understanding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<T> {
    /// Understood.
    Is(T),
    /// It says that it does not know, or says what nobody can read.
    Unknown,
}

/// What a lock says unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// How it stands.
    State(Option<Told<Bolt>>, Option<Told<Door>>),
    /// The bolt was turned.
    Turned(Turn, How, Option<Slot>),
    /// Somebody tried.
    Denied(Turn, How, Option<Slot>, Denied),
    /// Something happened that has no name here.
    Strange,
    /// Somebody changed who may. No slot: all of them.
    Programmed(Option<Slot>, Change, How),
    /// An alarm.
    Alarm(Alarm),
}

/// What was changed in the table of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Change {
    Added,
    Deleted,
    Changed,
    /// The code that programs the lock at its keypad.
    Master,
    Unknown,
}

/// What a lock demands, does by itself, and has room for; `None`: it has not said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// How many users it takes.
    pub users: Option<u16>,
    /// How many of them with tags; 0: it takes none.
    pub rfid_users: Option<u16>,
    /// How many hours of the week each may have.
    pub week_windows: Option<u8>,
    /// How many dates each may have.
    pub date_windows: Option<u8>,
    /// The least and most digits of a code.
    pub pin_length: Option<(u8, u8)>,
    /// The least and most bytes of a tag.
    pub rfid_length: Option<(u8, u8)>,
    /// It locks by itself so many seconds after it was unlocked; 0: it does not.
    pub auto_relock_s: Option<u32>,
    /// It does not obey the radio.
    pub remote_off: Option<bool>,
    /// It takes so many wrong codes.
    pub wrong_codes: Option<u8>,
    /// And then none for so many seconds.
    pub shut_s: Option<u8>,
    /// It shows the keys it holds.
    pub shows_keys: Option<bool>,
    /// It demands a key with each order.
    pub demands_key: Option<bool>,
    /// It demands messages sealed for it alone, not for the whole network.
    pub sealed: Option<bool>,
    /// It tells every alarm and event.
    pub tells_all: Option<bool>,
}

impl Settings {
    /// What is said anew stands; what is not, stays.
    pub(crate) fn learn(&mut self, new: &Self) {
        fn keep<T: Copy>(old: &mut Option<T>, new: Option<T>) {
            *old = new.or(*old);
        }
        keep(&mut self.users, new.users);
        keep(&mut self.rfid_users, new.rfid_users);
        keep(&mut self.week_windows, new.week_windows);
        keep(&mut self.date_windows, new.date_windows);
        keep(&mut self.pin_length, new.pin_length);
        keep(&mut self.rfid_length, new.rfid_length);
        keep(&mut self.auto_relock_s, new.auto_relock_s);
        keep(&mut self.remote_off, new.remote_off);
        keep(&mut self.wrong_codes, new.wrong_codes);
        keep(&mut self.shut_s, new.shut_s);
        keep(&mut self.shows_keys, new.shows_keys);
        keep(&mut self.demands_key, new.demands_key);
        keep(&mut self.sealed, new.sealed);
        keep(&mut self.tells_all, new.tells_all);
    }
}

/// How far an order or a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Taken.
    Accepted,
    /// On its way.
    Sent,
    /// The lock has done it and says so when asked again.
    Confirmed,
    /// It has not, or nobody can say.
    Failed(Failure),
}

/// What the rules tell, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// How far an order is.
    Order(OrderId, Stage),
    /// Where the bolt is. Said each time the lock says it, also where nothing changed: an order may wait for it.
    Bolt(Bolt),
    /// Whether the door is open, where the lock sees it.
    Door {
        /// It is.
        open: bool,
    },
    /// A fault begins (true) or is over.
    Fault(Fault, bool),
    /// Somebody or something at the door turned it; never this hub.
    Used {
        /// Which way.
        unlocked: bool,
        /// How.
        how: How,
        /// Whose place, if the lock says.
        slot: Option<Slot>,
    },
    /// Somebody tried, and the lock did not let him.
    Tried {
        /// Which way.
        unlocking: bool,
        /// How.
        how: How,
        /// Whose place, if the lock says.
        slot: Option<Slot>,
        /// Why not.
        why: Denied,
    },
    /// An alarm of the lock.
    Alarm(Alarm),
    /// Its settings, when they were read anew.
    Settings(Settings),
    /// How far the wanted auto-relock time is.
    AutoRelock(Stage),
    /// How far a place is.
    Slot(Slot, Stage),
    /// A wanted place holds this revision (or nothing): to be kept, so that it is known after a start.
    Placed(Slot, Option<u32>),
    /// Somebody the hub does not know is in the lock. It is told and left there: it may be the owner's own.
    Foreign {
        /// His place.
        slot: Slot,
        /// Whether he may open.
        enabled: bool,
    },
    /// Somebody changed who may, at the lock itself.
    Programmed(Option<Slot>, Change),
}
