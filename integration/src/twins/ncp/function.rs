//! What a virtual device does beside being a zone: keypad, siren, lock, switch. Here is what they have in common; each
//! has a file of its own.
//!
//! A function knows its cluster and no more. What it wants said becomes a message here, with the device's own sequence
//! number, to whom the cluster is bound and to nobody else: a host that forgets to bind hears nothing, as from hardware.

use super::bytes::Reader;
use super::bytes::Short;
use super::bytes::Writer;
use super::device::Act;
use super::device::Device;
use super::device::Doing;
use super::device::Message;
use super::habits::Kind;
use super::keypad::Key;
use super::keypad::Keypad;
use super::lock::Hand;
use super::lock::Lock;
use super::log::Log;
use super::siren::Siren;
use super::switch::Switch;
use super::zcl::Header;
use serde_json::Value;
use std::time::Duration;

/// ZCL statuses that functions give.
pub(super) mod status {
    pub const SUCCESS: u8 = 0x00;
    /// The command came without the security that the device insists on.
    pub const NOT_AUTHORIZED: u8 = 0x7E;
    pub const UNSUPPORTED_COMMAND: u8 = 0x81;
    pub const INVALID_FIELD: u8 = 0x85;
    pub const INVALID_VALUE: u8 = 0x87;
    pub const NOT_FOUND: u8 = 0x8B;
}

/// What a function wants done about something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Tell the hub, if the cluster is bound to it.
    Tell {
        /// After this time.
        after: Duration,
        /// Of this cluster.
        cluster: u16,
        /// It is the server's command.
        from_server: bool,
        /// Which.
        command: u8,
        /// What is in it.
        body: Vec<u8>,
    },
    /// An attribute has another value: reported at once, if reporting was configured.
    Changed {
        /// Cluster.
        cluster: u16,
        /// Attribute.
        attribute: u16,
    },
    /// Something is to be done later.
    Later {
        /// After this time.
        after: Duration,
        /// This.
        work: Work,
    },
}

/// What a function has set itself to do; each is outdated when its number is not the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// The keypad's question was not answered.
    Unanswered(u32),
    /// The lock's bolt has moved.
    Settle(u32),
    /// The lock locks itself again.
    Relock(u32),
    /// The switch's time is over.
    TimedOff(u32),
}

/// What a function answers to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// None at all, as if it had never come.
    Nothing,
    /// A Default Response, unless it is a success and none was wanted.
    Status(u8),
    /// A command of the cluster.
    Command(u8, Vec<u8>),
}

/// What a function makes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The answer comes so much later than the device would.
    pub after: Duration,
    /// The answer.
    pub reply: Reply,
    /// What else it does.
    pub wishes: Vec<Wish>,
}

impl Turn {
    /// This answer, at once, and nothing else.
    pub fn reply(reply: Reply) -> Self {
        Self { after: Duration::ZERO, reply, wishes: Vec::new() }
    }

    /// A Default Response with this status.
    pub fn status(status: u8) -> Self {
        Self::reply(Reply::Status(status))
    }
}

/// How a command came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// When.
    pub now: Duration,
    /// Cluster.
    pub cluster: u16,
    /// The ZCL header.
    pub header: Header,
    /// Encrypted with the link key too.
    pub encrypted: bool,
}

/// What a person does to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// At a keypad.
    Key(Key),
    /// At a lock.
    Hand(Hand),
    /// The button on a plug, a light's own switch.
    Push,
}

/// A habit that was not taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadHabit {
    /// It has no such habit.
    Name,
    /// The value means nothing; what it should be.
    Value(&'static str),
}

/// What every function is asked; the answers here are those of one that has nothing to say to it.
pub(super) trait Part {
    /// Clusters it serves.
    fn inputs(&self) -> &'static [u16] {
        &[]
    }
    /// Clusters it uses as a client.
    fn outputs(&self) -> &'static [u16] {
        &[]
    }
    /// This is for its cluster.
    fn serves(&self, heard: &Heard) -> bool {
        self.inputs().contains(&heard.cluster)
    }
    /// Type and value of an attribute.
    fn attribute(&self, _cluster: u16, _id: u16) -> Option<(u8, Vec<u8>)> {
        None
    }
    /// The status of a write, whose type was right; nothing when it may not be written.
    fn write(&mut self, _cluster: u16, _id: u16, _value: &[u8]) -> Option<u8> {
        None
    }
    /// The attribute may be reported.
    fn reportable(&self, _cluster: u16, _id: u16) -> bool {
        false
    }
    /// A command for the cluster it serves.
    fn command(&mut self, _heard: &Heard, _r: Reader<'_>) -> Result<Turn, Short> {
        Ok(Turn::status(status::UNSUPPORTED_COMMAND))
    }
    /// What a server of its output clusters says; nothing when that is not for it.
    fn server_says(&mut self, _heard: &Heard, _r: Reader<'_>) -> Result<Option<Turn>, Short> {
        Ok(None)
    }
    /// What it said last has gone out with this sequence number.
    fn told(&mut self, _cluster: u16, _command: u8, _sequence: u8) {}
    /// What it had set itself to do is due.
    fn works(&mut self, _now: Duration, _work: Work) -> Vec<Wish> {
        Vec::new()
    }
    /// A person does something; nothing when that cannot be done to it.
    fn hand(&mut self, _now: Duration, _deed: &Deed, _asleep: bool) -> Option<Vec<Wish>> {
        None
    }
    /// These bits of its device's status are set: 2 tamper.
    fn happens(&mut self, _now: Duration, _set: u16) -> Vec<Wish> {
        Vec::new()
    }
    /// It has left its network.
    fn forgets(&mut self) {}
    /// Its messages on this cluster are encrypted with the link key too.
    fn encrypts(&self, _cluster: u16) -> bool {
        false
    }
    /// From now on it behaves so.
    fn habit(&mut self, _name: &str, _value: &str) -> Result<(), BadHabit> {
        Err(BadHabit::Name)
    }
    /// What a person in front of it sees and hears.
    fn shows(&self, now: Duration) -> Value;
}

/// A device's function.
#[derive(Debug)]
pub enum Function {
    /// It is a zone and nothing else.
    Detector,
    /// Client of IAS ACE.
    Keypad(Keypad),
    /// IAS WD.
    Siren(Siren),
    /// Door Lock.
    Lock(Box<Lock>),
    /// On/Off.
    Switch(Switch),
}

impl Function {
    /// What a kind does, out of its box.
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Keypad | Kind::KeyFob => Self::Keypad(Keypad::new(kind == Kind::Keypad)),
            Kind::Siren => Self::Siren(Siren::default()),
            Kind::Lock => Self::Lock(Box::default()),
            Kind::Plug | Kind::Light | Kind::Relay => Self::Switch(Switch::default()),
            _ => Self::Detector,
        }
    }

    pub(super) fn part(&self) -> Option<&dyn Part> {
        match self {
            Self::Detector => None,
            Self::Keypad(part) => Some(part),
            Self::Siren(part) => Some(part),
            Self::Lock(part) => Some(&**part),
            Self::Switch(part) => Some(part),
        }
    }

    pub(super) fn part_mut(&mut self) -> Option<&mut dyn Part> {
        match self {
            Self::Detector => None,
            Self::Keypad(part) => Some(part),
            Self::Siren(part) => Some(part),
            Self::Lock(part) => Some(&mut **part),
            Self::Switch(part) => Some(part),
        }
    }
}

/// `yes` or `no` as a habit's value.
pub(super) fn yes(value: &str) -> Result<bool, BadHabit> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(BadHabit::Value("yes or no")),
    }
}

/// A number as a habit's value.
pub(super) fn number<T: std::str::FromStr>(value: &str) -> Result<T, BadHabit> {
    value.parse().map_err(|_| BadHabit::Value("number"))
}

/// Milliseconds as a habit's value.
pub(super) fn ms(value: &str) -> Result<Duration, BadHabit> {
    value.parse().map(Duration::from_millis).map_err(|_| BadHabit::Value("number of milliseconds"))
}

impl Device {
    /// Turns what its function wants into what it does.
    pub(super) fn fulfils(&mut self, now: Duration, wishes: Vec<Wish>, log: &mut Log) -> Vec<Doing> {
        let mut doings = Vec::new();
        for wish in wishes {
            match wish {
                Wish::Tell { after, cluster, from_server, command, body } => {
                    doings.extend(self.tells_of(now, (after, cluster, from_server, command), &body, log));
                }
                Wish::Changed { cluster, attribute } => doings.extend(self.changed(cluster, attribute)),
                Wish::Later { after, work } => doings.push(Doing::Later { after, act: Act::Work(work) }),
            }
        }
        doings
    }

    fn tells_of(
        &mut self,
        now: Duration,
        (after, cluster, from_server, command): (Duration, u16, bool, u8),
        body: &[u8],
        log: &mut Log,
    ) -> Vec<Doing> {
        let bound = self.bindings.iter().find(|binding| binding.cluster == cluster).copied();
        let sequence = self.next_sequence();
        if let Some(part) = self.function.part_mut() {
            part.told(cluster, command, sequence);
        }
        let Some(bound) = bound else { return Vec::new() };
        let unwanted = if self.habits.wants_response { 0 } else { 0x10 };
        let control = 0x01 | u8::from(from_server) << 3 | unwanted;
        let payload = Writer::new().u8(control).u8(sequence).u8(command).bytes(body).done();
        let (source, destination) = (self.habits.endpoint, bound.target_endpoint);
        let message = Message { profile: 0x0104, cluster, source, destination, payload };
        let notice = self.notes(now, sequence, &message, log);
        self.repeated(after, &message, notice)
    }

    /// A person does something to it; nothing when that cannot be done to it.
    pub fn handled(&mut self, now: Duration, deed: &Deed, log: &mut Log) -> Option<Vec<Doing>> {
        let asleep = self.habits.sleepy && now >= self.awake_until;
        let wishes = self.function.part_mut()?.hand(now, deed, asleep)?;
        Some(self.fulfils(now, wishes, log))
    }
}
