//! A virtual device: what it does when something happens to it or is said to it. What it does beside being a zone is
//! its `function`'s.
//!
//! Pure: it is told the time and says what it wants to say; the radio and the stick are not its business.

use super::bytes::Eui64;
use super::bytes::Writer;
use super::function::Function;
use super::function::Work;
use super::habits::Enrolment;
use super::habits::Habits;
use super::log::Log;
use super::log::Notice;
use super::memory::Key;
use super::zcl;
use super::zdo::Binding;
use super::zdo::Endpoint;
use super::zdo::Node;
use super::zdo::Role;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::time::Duration;

/// The key that every Zigbee device knows: "ZigBeeAlliance09".
pub const WELL_KNOWN_KEY: Key = *b"ZigBeeAlliance09";

/// The most changes a detector keeps while it waits for a Default Response; then the oldest goes, as in a small chip.
const HELD_MOST: usize = 8;

/// How often a change is told again when its Default Response stays away; then the next change has its turn.
const TELL_MOST: u32 = 10;

/// An application message, without addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Application profile; 0 for ZDO.
    pub profile: u16,
    /// Cluster.
    pub cluster: u16,
    /// From this endpoint.
    pub source: u8,
    /// To this endpoint.
    pub destination: u8,
    /// ZDO or ZCL frame.
    pub payload: Vec<u8>,
}

/// What a detector does about something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// It sends something to the stick.
    Say {
        /// After this time.
        after: Duration,
        /// This.
        message: Message,
        /// It is this notification.
        notice: Option<usize>,
        /// To every listening node instead.
        broadcast: bool,
    },
    /// It will do something.
    Later {
        /// After this time.
        after: Duration,
        /// This.
        act: Act,
    },
    /// It leaves the network.
    Leave,
}

/// What it has set itself to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Its Default Response for this notification is overdue.
    Overdue {
        /// Which.
        notice: usize,
    },
    /// A report is due.
    Report {
        /// Cluster.
        cluster: u16,
        /// Attribute.
        attribute: u16,
        /// Outdated when it is not the newest round.
        round: u32,
    },
    /// A check-in is due.
    CheckIn {
        /// Outdated when it is not the newest round.
        round: u32,
    },
    /// It goes.
    Leave,
    /// Its function has something to do.
    Work(Work),
    /// Something happens to its status.
    Status {
        /// These bits are set.
        set: u16,
        /// These are cleared, first.
        clear: u16,
    },
}

/// Reporting as it was configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reporting {
    /// At most so many seconds apart; 0 and 0xFFFF: not by time.
    pub most: u16,
    /// At least so many.
    pub least: u16,
    /// Which configuration this is.
    pub round: u32,
}

#[derive(Debug)]
struct Awaited {
    notice: usize,
    sequence: u8,
    message: Message,
    told: u32,
}

/// A device.
#[derive(Debug)]
pub struct Device {
    /// Its name in the test.
    pub name: String,
    /// Its address.
    pub eui: Eui64,
    /// How it behaves.
    pub habits: Habits,
    /// What it does beside being a zone.
    pub function: Function,
    /// Its node id while it is in a network.
    pub node: Option<u16>,
    /// Who holds its messages while it sleeps; 0 is the stick.
    pub parent: u16,
    /// The network key it was given.
    pub network_key: Option<Key>,
    /// It is silent and deaf for good.
    pub dead: bool,
    /// It is awake until then.
    pub awake_until: Duration,
    /// Zone status, standing bits included.
    pub status: u16,
    /// 0 not enrolled, 1 enrolled.
    pub zone_state: u8,
    /// The zone id it was given; 0xFF none.
    pub zone_id: u8,
    /// The number of its last enrol request.
    pub asked: Option<u8>,
    /// Where its notifications go.
    pub cie: Eui64,
    /// Battery, half percent.
    pub battery: u8,
    /// Check-in interval, quarter seconds; 0 never.
    pub check_in: u32,
    /// Outdates older check-ins.
    pub check_in_round: u32,
    /// Where its reports go.
    pub bindings: Vec<Binding>,
    /// By cluster and attribute.
    pub reporting: BTreeMap<(u16, u16), Reporting>,
    /// Counts configurations.
    pub rounds: u32,
    /// Its ZCL sequence number of next.
    pub sequence: u8,
    /// Its APS counter.
    pub aps: u8,
    awaited: Option<Awaited>,
    held: VecDeque<(usize, u8, Message)>,
}

impl Device {
    /// A new one, out of its box.
    pub fn new(name: &str, eui: Eui64, habits: Habits) -> Self {
        Self {
            name: name.to_owned(),
            eui,
            node: None,
            parent: 0,
            network_key: None,
            dead: false,
            awake_until: Duration::ZERO,
            status: habits.standing_bits,
            zone_state: 0,
            zone_id: 0xFF,
            asked: None,
            cie: Eui64::BLANK,
            battery: 200,
            check_in: 14_400,
            check_in_round: 0,
            bindings: Vec::new(),
            reporting: BTreeMap::new(),
            rounds: 0,
            sequence: 0,
            aps: 0,
            awaited: None,
            held: VecDeque::new(),
            function: Function::of(habits.kind),
            habits,
        }
    }

    /// Forgets the network and what it was told in it.
    pub fn forget(&mut self) {
        let fresh = Self::new(&self.name, self.eui, self.habits.clone());
        let mut function = std::mem::replace(&mut self.function, Function::Detector);
        if let Some(part) = function.part_mut() {
            part.forgets();
        }
        *self = Self { status: self.status, battery: self.battery, dead: self.dead, function, ..fresh };
    }

    /// Its endpoints.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let client = self.function.part().map_or(&[] as &[u16], |part| part.outputs());
        vec![Endpoint {
            id: self.habits.endpoint,
            profile: 0x0104,
            device: self.habits.kind.device(),
            version: 0,
            inputs: self.served(),
            outputs: [&[zcl::OTA], client].concat(),
        }]
    }

    /// What its endpoint serves.
    pub(super) fn served(&self) -> Vec<u16> {
        let kind = self.habits.kind;
        let zone = kind.zone_type().map(|_| zcl::IAS_ZONE);
        // What hangs on a wire and is no zone has neither battery nor sleep to speak of.
        let wired = kind.is_mains() && zone.is_none();
        let own = self.function.part().map_or(&[] as &[u16], |part| part.inputs());
        let usual = zcl::SERVED.iter().filter(|cluster| !wired || ![zcl::POWER, zcl::POLL_CONTROL].contains(cluster));
        usual.copied().chain(zone).chain([zcl::DIAGNOSTICS]).chain(own.iter().copied()).collect()
    }

    /// What kind of node it is.
    pub fn role(&self) -> Role {
        match (self.habits.sleepy, self.habits.kind.is_mains()) {
            (true, _) => Role::Sleepy,
            (false, true) => Role::Router,
            (false, false) => Role::Listening,
        }
    }

    /// A message has come; `encrypted` with the link key too, or not.
    pub fn hears(&mut self, now: Duration, message: &Message, encrypted: bool, log: &mut Log) -> Vec<Doing> {
        if message.profile != 0 {
            return self.hears_zcl(now, message, encrypted, log);
        }
        let role = self.role();
        let endpoints = self.endpoints();
        let (eui, id) = (self.eui, self.node.unwrap_or(0xFFFE));
        let mut node =
            Node { eui, id, role, manufacturer: 0x1286, endpoints: &endpoints, bindings: &mut self.bindings };
        let Some((cluster, payload)) = node.answer(message.cluster, &message.payload) else { return Vec::new() };
        let answer = Message { profile: 0, cluster, source: 0, destination: 0, payload };
        let mut doings = vec![self.say(self.habits.thinks, answer)];
        if message.cluster == super::zdo::MGMT_LEAVE {
            // Its answer goes first.
            doings.push(Doing::Later { after: self.habits.thinks * 2, act: Act::Leave });
        }
        doings
    }

    /// Its announcement after joining.
    pub fn announces(&mut self) -> Doing {
        let capability = self.role().capability();
        let sequence = self.next_sequence();
        let out = Writer::new().u8(sequence).u16(self.node.unwrap_or(0xFFFE)).eui(self.eui).u8(capability);
        let message = Message {
            profile: 0,
            cluster: super::zdo::DEVICE_ANNOUNCE,
            source: 0,
            destination: 0,
            payload: out.done(),
        };
        Doing::Say { after: Duration::from_millis(20), message, notice: None, broadcast: true }
    }

    /// Something happened to it: these bits are cleared, those are set. It tells, if it may.
    pub fn happens(&mut self, now: Duration, set: u16, clear: u16, log: &mut Log) -> Vec<Doing> {
        let before = self.status;
        self.status = self.status & !clear | set | self.habits.standing_bits;
        let mut doings = self.function_happens(now, set, before, log);
        if self.habits.kind.zone_type().is_none() {
            return doings;
        }
        if self.zone_state == 0 {
            if self.habits.enrolment == Enrolment::WhenTripped && self.status & 3 != 0 && self.cie != Eui64::BLANK {
                doings.push(self.asks_to_enrol());
            }
            if !self.habits.tells_unenrolled {
                return doings;
            }
        }
        if self.status == before && set & 3 == 0 {
            return doings;
        }
        let sequence = self.next_sequence();
        let message = self.notification(sequence);
        let notice = self.notes(now, sequence, &message, log);
        if self.awaited.is_some() {
            if self.held.len() >= HELD_MOST {
                self.held.pop_front();
            }
            self.held.push_back((notice, sequence, message));
            return doings;
        }
        doings.extend(self.tells(notice, sequence, message));
        doings.extend(self.changed(zcl::IAS_ZONE, 2));
        doings
    }

    fn function_happens(&mut self, now: Duration, set: u16, before: u16, log: &mut Log) -> Vec<Doing> {
        let fresh = set & !before;
        let wishes = self.function.part_mut().map_or_else(Vec::new, |part| part.happens(now, fresh));
        let mut doings = self.fulfils(now, wishes, log);
        if (before ^ self.status) & 8 != 0 {
            doings.extend(self.changed(zcl::POWER, 0x3E));
        }
        doings
    }

    /// Writes what it tells into the log.
    pub(super) fn notes(&self, now: Duration, sequence: u8, message: &Message, log: &mut Log) -> usize {
        log.open(Notice {
            id: 0,
            at: now,
            name: self.name.clone(),
            device: self.eui,
            endpoint: self.habits.endpoint,
            cluster: message.cluster,
            sequence,
            status: if message.cluster == zcl::IAS_ZONE { self.status } else { 0 },
            payload: message.payload.clone(),
            sendings: Vec::new(),
            default_response: None,
        })
    }

    fn tells(&mut self, notice: usize, sequence: u8, message: Message) -> Vec<Doing> {
        let mut doings = self.repeated(Duration::ZERO, &message, notice);
        if self.habits.holds_for_response {
            self.awaited = Some(Awaited { notice, sequence, message, told: 1 });
            doings.push(Doing::Later { after: self.habits.patience, act: Act::Overdue { notice } });
        }
        doings
    }

    /// It says this as often as it says anything.
    pub(super) fn repeated(&self, after: Duration, message: &Message, notice: usize) -> Vec<Doing> {
        let one = |time| Doing::Say {
            after: after + self.habits.repeat_gap * time,
            message: message.clone(),
            notice: Some(notice),
            broadcast: false,
        };
        (0..=self.habits.repeats).map(one).collect()
    }

    /// What it had set itself to do is due.
    pub fn acts(&mut self, now: Duration, act: Act, log: &mut Log) -> Vec<Doing> {
        match act {
            Act::Status { set, clear } => self.happens(now, set, clear, log),
            Act::Report { cluster, attribute, round } => {
                let current = self.reporting.get(&(cluster, attribute)).is_some_and(|r| r.round == round);
                if current { self.reports(cluster, attribute) } else { Vec::new() }
            }
            Act::CheckIn { round } if round == self.check_in_round => self.checks_in(),
            Act::CheckIn { .. } => Vec::new(),
            Act::Leave => vec![Doing::Leave],
            Act::Work(work) => {
                let wishes = self.function.part_mut().map_or_else(Vec::new, |part| part.works(now, work));
                self.fulfils(now, wishes, log)
            }
            Act::Overdue { notice } => self.overdue(notice),
        }
    }

    fn overdue(&mut self, notice: usize) -> Vec<Doing> {
        let Some(awaited) = self.awaited.as_mut().filter(|awaited| awaited.notice == notice) else {
            return Vec::new();
        };
        awaited.told += 1;
        if awaited.told > TELL_MOST {
            return self.responded();
        }
        let message = awaited.message.clone();
        vec![
            Doing::Say { after: Duration::ZERO, message, notice: Some(notice), broadcast: false },
            Doing::Later { after: self.habits.patience, act: Act::Overdue { notice } },
        ]
    }

    /// A Default Response to its notification with this sequence number has come.
    pub fn has_response(&mut self, sequence: u8) -> Vec<Doing> {
        let fits = self.awaited.as_ref().is_some_and(|awaited| awaited.sequence == sequence);
        if fits { self.responded() } else { Vec::new() }
    }

    fn responded(&mut self) -> Vec<Doing> {
        self.awaited = None;
        let next = self.held.pop_front();
        next.map_or_else(Vec::new, |(notice, sequence, message)| self.tells(notice, sequence, message))
    }

    /// Its next ZCL or ZDO sequence number.
    pub fn next_sequence(&mut self) -> u8 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// It says this to the stick.
    pub fn say(&self, after: Duration, message: Message) -> Doing {
        Doing::Say { after, message, notice: None, broadcast: false }
    }
}
