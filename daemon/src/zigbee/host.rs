//! The Zigbee host, whole: the stick started and kept, newcomers let in and interviewed, detectors' words understood.
//!
//! Pure: bytes, orders and the time go in; bytes, reports, progress and what must be remembered come out, in the order
//! in which they must be done. It never passes one word of a detector on twice, never answers one before the hub says
//! that it is recorded, and never lets anybody in unless a person has opened the door.
//!
//! ```text
//!   Down ──connect──▶ Linking ──Ready──▶ Starting ──Done──▶ Up
//!    ▲                   │                   │               │
//!    └───────────────────┴───────────────────┴───────────────┘   the link is down · the stick is refused
//! ```

use crate::zigbee::ash;
use crate::zigbee::door::Door;
use crate::zigbee::eui64::Eui64;
use crate::zigbee::ezsp::Command;
use crate::zigbee::ezsp_answer::Answer;
use crate::zigbee::ezsp_answer::Callback;
use crate::zigbee::ezsp_answer::Incoming;
use crate::zigbee::ezsp_link;
use crate::zigbee::ezsp_link::EzspLink;
use crate::zigbee::ezsp_link::Failed;
use crate::zigbee::ezsp_link::Said;
use crate::zigbee::ezsp_link::Ticket;
use crate::zigbee::ezsp_status::Status;
use crate::zigbee::hear::Word;
use crate::zigbee::interview::Interview;
use crate::zigbee::interview::Message;
use crate::zigbee::interview::Stage;
use crate::zigbee::interview::Wants;
use crate::zigbee::memory::Memory;
use crate::zigbee::memory::Network;
use crate::zigbee::start::Next;
use crate::zigbee::start::Start;
use crate::zigbee::zdo;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::Report;

/// Words of detectors that wait to be recorded before they are answered; beyond it the oldest goes unanswered, and its
/// detector says it again.
const ANSWERS_MAX: usize = 256;
/// Messages of nodes whose address is being looked up; beyond it the oldest is lost, counted, and said again by a
/// detector that waits for an answer.
const UNPLACED_MAX: usize = 32;
/// Commands under way while devices are asked how they stand; alarms that must be answered are not kept waiting behind.
const QUESTIONS_MAX: usize = 4;
/// A stick that says nothing for so long, ms, is asked whether it is there: one that hangs looks like a quiet night.
const QUIET_MS: u64 = 5_000;
/// Words remembered to know a repeated one.
const RECENT_MAX: usize = 512;
/// A word with the same number, from the same place, is the same word for so long, ms.
const RECENT_MS: u64 = 10_000;

/// What the host wants done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Out {
    /// These bytes to the stick.
    Bytes(Vec<u8>),
    /// This kept, before anything that follows is done.
    Save(Box<Memory>),
    /// A detector's word. When it is recorded, `recorded` with this number lets the detector know.
    Report(Report, Option<AnswerId>),
    /// The person who opened the door told how far a newcomer is.
    Progress(Progress),
    /// What joined, ready to be added.
    Joined(Vec<(DeviceId, Option<DeviceKind>)>),
    /// The stick has opened the door, or why it has not.
    Door(Result<(), String>),
    /// Devices asked to join while the door was shut, or on the wrong key.
    Refused {
        /// The last one.
        device: Eui64,
        /// How many times since the last word of this kind.
        count: u64,
    },
    /// The network is up.
    Up,
    /// The stick cannot be used, and why; it is connected to again after a while.
    Down(String),
}

/// A word of a detector that waits for its answer.
pub type AnswerId = u64;

/// How far a newcomer is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Progress {
    /// Who.
    pub device: DeviceId,
    /// Where.
    pub stage: Stage,
    /// In words; what to do, or what went wrong.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    Start,
    Nobody,
    /// How its radio fares, and whether it is there at all.
    Counters,
    /// Opening the door, with what is said when it fails.
    Permit,
    /// Whose short address is this?
    Lookup(u16),
}

#[derive(Debug)]
enum State {
    Down,
    Linking,
    Starting(Start),
    Up,
}

/// What was met besides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Words that came twice.
    pub repeated: u64,
    /// "Closed" or "clear" that came after a later word of the same detector.
    pub overtaken: u64,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// Messages of nodes this hub does not know.
    pub strangers: u64,
    /// Messages that were not acknowledged by their receiver.
    pub undelivered: u64,
    /// Times the stick had no room for what it heard.
    pub overflows: u64,
    /// Radio frames the stick sent again; this and the next three are its own counters, since the daemon runs.
    pub radio_retries: u64,
    /// Radio frames nobody took.
    pub radio_failed: u64,
    /// Whole messages the stick sent again.
    pub message_retries: u64,
    /// Whole messages nobody acknowledged.
    pub message_failed: u64,
}

/// Where the stick's counters stand (UG100, EmberCounterType): MAC retries and failures, APS retries and failures.
const STICK_COUNTERS: [usize; 4] = [4, 5, 10, 11];

/// What was met since the daemon runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Met {
    /// The network is up.
    pub up: bool,
    /// By the host.
    pub host: Counters,
    /// By the command layer.
    pub link: ezsp_link::Counters,
    /// By the frame layer.
    pub frames: ash::Counters,
}

/// A word that was heard: who, from which endpoint, on which cluster, its number, its bytes, when.
pub(crate) struct Recent {
    pub(crate) from: (Eui64, u8, u16),
    pub(crate) bytes: Vec<u8>,
    pub(crate) at_ms: u64,
    pub(crate) answer: Option<AnswerId>,
}

/// The host.
pub struct Host {
    link: EzspLink,
    state: State,
    pub(crate) hub: Eui64,
    pub(crate) memory: Memory,
    random: [u8; 64],
    tickets: BTreeMap<Ticket, For>,
    next_ticket: Ticket,
    next_tsn: u8,
    pub(crate) door: Option<Door>,
    /// Refusals not told yet, and when one last was.
    pub(crate) refused: (u64, Option<u64>),
    pub(crate) interviews: BTreeMap<Eui64, Interview>,
    unplaced: VecDeque<Incoming>,
    pub(crate) recent: VecDeque<Recent>,
    answers: BTreeMap<AnswerId, (u16, Message)>,
    next_answer: AnswerId,
    pub(crate) known: BTreeMap<DeviceId, DeviceKind>,
    /// When the stick last said something, ms.
    heard_ms: u64,
    /// Each detector's newest word.
    pub(crate) newest: BTreeMap<(Eui64, u8), Word>,
    /// Devices to be asked how they stand.
    unasked: BTreeSet<Eui64>,
    /// Devices whose battery is low by their own per cent.
    pub(crate) weak: BTreeSet<Eui64>,
    pub(crate) counters: Counters,
    pub(crate) out: VecDeque<Out>,
}

impl Host {
    /// With what it remembers, and randomness for a network should it have none yet.
    pub fn new(memory: Memory, random: [u8; 64]) -> Self {
        Self {
            link: EzspLink::default(),
            state: State::Down,
            hub: Eui64(0),
            memory,
            random,
            tickets: BTreeMap::new(),
            next_ticket: 0,
            next_tsn: 0,
            door: None,
            refused: (0, None),
            interviews: BTreeMap::new(),
            unplaced: VecDeque::new(),
            recent: VecDeque::new(),
            answers: BTreeMap::new(),
            // Numbers of an earlier host must not fit: its messages are gone.
            next_answer: u64::from_le_bytes(random[56..].try_into().expect("eight of sixty-four")),
            known: BTreeMap::new(),
            heard_ms: 0,
            newest: BTreeMap::new(),
            unasked: BTreeSet::new(),
            weak: BTreeSet::new(),
            counters: Counters::default(),
            out: VecDeque::new(),
        }
    }

    /// The port is open: resets the stick. `Up` or `Down` follows.
    pub fn connect(&mut self, now_ms: u64) {
        self.state = State::Linking;
        self.tickets.clear();
        self.link.connect(now_ms);
        self.flush();
    }

    /// The port is gone, and with it every byte that was on its way; what was heard is still to be told and kept.
    pub fn unplugged(&mut self, why: String) {
        self.down(why);
        self.out.retain(|out| !matches!(out, Out::Bytes(_) | Out::Down(_) | Out::Up));
    }

    /// What the devices of this hub were added as; it outweighs what they call themselves. A device that is new here is
    /// asked how it stands.
    pub fn know(&mut self, known: BTreeMap<DeviceId, DeviceKind>, now_ms: u64) {
        let fresh = known.keys().filter(|id| !self.known.contains_key(*id)).filter_map(Eui64::of);
        self.unasked.extend(fresh);
        self.known = known;
        self.work(now_ms);
    }

    /// Takes bytes of the stick.
    pub fn feed(&mut self, bytes: &[u8], now_ms: u64) {
        self.heard_ms = now_ms;
        self.link.feed(bytes, now_ms);
        self.work(now_ms);
    }

    /// Does what has fallen due.
    pub fn tick(&mut self, now_ms: u64) {
        self.link.tick(now_ms);
        if let State::Starting(start) = &self.state
            && let Err(refused) = start.tick(now_ms)
        {
            self.down(refused.to_string());
        }
        if self.is_up() && self.tickets.is_empty() && self.heard_ms + QUIET_MS <= now_ms {
            self.heard_ms = now_ms;
            self.ask(For::Counters, Command::ReadAndClearCounters, now_ms);
        }
        if self.door.is_some_and(|door| door.until_ms <= now_ms) {
            self.shut(now_ms);
        }
        self.work(now_ms);
    }

    /// When `tick` has something to do, ms.
    pub fn due_ms(&self) -> Option<u64> {
        let start = match &self.state {
            State::Starting(start) => start.due_ms(),
            _ => None,
        };
        let interviews = self.interviews.values().map(Interview::due_ms).min().filter(|_| self.is_up());
        let door = self.door.map(|door| door.until_ms);
        let quiet = (self.is_up() && self.tickets.is_empty()).then_some(self.heard_ms + QUIET_MS);
        [self.link.due_ms(), start, interviews, door, quiet].into_iter().flatten().min()
    }

    /// What is to be done next.
    pub fn take(&mut self) -> Option<Out> {
        self.out.pop_front()
    }

    /// Whether the network is up.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    /// What was met.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Sends a device away and forgets it.
    pub fn remove(&mut self, device: Eui64, now_ms: u64) {
        self.interviews.remove(&device);
        if let Some(node) = self.memory.nodes.remove(&device) {
            self.out.push_back(Out::Save(Box::new(self.memory.clone())));
            self.ask(For::Nobody, Command::RemoveDevice { nwk: node.nwk, device }, now_ms);
        }
        self.flush();
    }

    /// A detector's word is recorded: the detector may know.
    pub fn recorded(&mut self, answer: AnswerId, now_ms: u64) {
        if let Some((nwk, message)) = self.answers.remove(&answer) {
            self.send(nwk, message, now_ms);
            self.flush();
        }
    }

    fn down(&mut self, why: String) {
        if !matches!(self.state, State::Down) {
            self.state = State::Down;
            self.tickets.clear();
            self.door = None;
            self.unplaced.clear();
            self.answers.clear();
            self.out.push_back(Out::Down(why));
        }
    }

    pub(crate) fn tsn(&mut self) -> u8 {
        self.next_tsn = self.next_tsn.wrapping_add(1);
        self.next_tsn
    }

    /// Asks the stick. False: it has too much to do, and what was asked is lost like a message in the air.
    pub(crate) fn ask(&mut self, purpose: For, command: Command, now_ms: u64) -> bool {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        let ticket = self.next_ticket;
        let taken = self.link.ask(ticket, command, now_ms);
        if taken {
            self.tickets.insert(ticket, purpose);
        }
        taken
    }

    pub(crate) fn send(&mut self, nwk: u16, message: Message, now_ms: u64) {
        let Message { aps, bytes } = message;
        self.ask(For::Nobody, Command::Unicast { nwk, aps, tag: 0, message: bytes }, now_ms);
    }

    /// Keeps an answer until its word is recorded.
    pub(crate) fn hold(&mut self, nwk: u16, message: Message) -> AnswerId {
        if self.answers.len() == ANSWERS_MAX {
            self.answers.pop_first();
        }
        self.next_answer = self.next_answer.wrapping_add(1);
        self.answers.insert(self.next_answer, (nwk, message));
        self.next_answer
    }

    /// Whether an answer still waits for its word to be recorded.
    pub(crate) fn holds(&self, answer: AnswerId) -> bool {
        self.answers.contains_key(&answer)
    }

    /// Whether this word was heard a moment ago; remembers it if not.
    pub(crate) fn again(&mut self, from: (Eui64, u8, u16), bytes: &[u8], now_ms: u64) -> Option<Option<AnswerId>> {
        while self.recent.front().is_some_and(|old| old.at_ms + RECENT_MS <= now_ms) || self.recent.len() >= RECENT_MAX
        {
            self.recent.pop_front();
        }
        if let Some(found) = self.recent.iter().find(|recent| recent.from == from && recent.bytes == bytes) {
            return Some(found.answer);
        }
        self.recent.push_back(Recent { from, bytes: bytes.to_vec(), at_ms: now_ms, answer: None });
        None
    }

    pub(crate) fn flush(&mut self) {
        let bytes = self.link.take_output();
        if !bytes.is_empty() {
            self.out.push_back(Out::Bytes(bytes));
        }
    }

    fn work(&mut self, now_ms: u64) {
        while let Some(said) = self.link.take_said() {
            match said {
                Said::Ready { .. } => self.begin(now_ms),
                Said::Answer(ticket, answer) => self.answered(ticket, answer, now_ms),
                Said::Callback(callback) => self.called(callback, now_ms),
                // Somebody's word is lost, and nobody knows whose: everybody is asked.
                Said::Overflow => {
                    self.counters.overflows += 1;
                    self.unasked.extend(self.memory.nodes.keys());
                }
                Said::Unreadable(_) => {
                    self.counters.unreadable += 1;
                    self.unasked.extend(self.memory.nodes.keys());
                }
                Said::Down(why) => self.down(why.to_string()),
            }
        }
        if self.is_up() {
            self.interview(now_ms);
            while self.tickets.len() < QUESTIONS_MAX
                && let Some(device) = self.unasked.pop_first()
            {
                self.read_zones(device, now_ms);
            }
        }
        self.flush();
    }

    /// The stick is there: make it the hub's coordinator.
    fn begin(&mut self, now_ms: u64) {
        let network = self.memory.network.clone().unwrap_or_else(|| {
            // Kept before the stick hears of it: a network nobody remembers would orphan its devices.
            let network = Network::draw(&self.random);
            self.memory.network = Some(network.clone());
            self.out.push_back(Out::Save(Box::new(self.memory.clone())));
            network
        });
        self.state = State::Starting(Start::new(network));
        self.step(now_ms);
    }

    fn step(&mut self, now_ms: u64) {
        let State::Starting(start) = &mut self.state else { return };
        match start.step() {
            Next::Ask(command) => drop(self.ask(For::Start, command, now_ms)),
            Next::WaitUp => {}
            Next::Again => self.connect(now_ms),
            Next::Done { hub } => {
                self.hub = hub;
                if let Some(network) = &mut self.memory.network
                    && !std::mem::replace(&mut network.formed, true)
                {
                    self.out.push_back(Out::Save(Box::new(self.memory.clone())));
                }
                self.state = State::Up;
                // What they said while nobody listened is lost; those that are awake say how they stand.
                self.unasked.extend(self.memory.nodes.keys());
                self.out.push_back(Out::Up);
            }
        }
    }

    fn answered(&mut self, ticket: Ticket, answer: Result<Answer, Failed>, now_ms: u64) {
        match self.tickets.remove(&ticket) {
            Some(For::Start) => {
                let State::Starting(start) = &mut self.state else { return };
                match start.answered(answer, now_ms) {
                    Ok(()) => self.step(now_ms),
                    Err(refused) => self.down(refused.to_string()),
                }
            }
            Some(For::Permit) => {
                let taken = match answer {
                    Ok(Answer::Status(Status::Ok)) => Ok(()),
                    Ok(other) => Err(format!("the stick does not open the network: {other:?}")),
                    Err(failed) => Err(format!("the stick does not open the network: {failed}")),
                };
                self.permitted(taken, now_ms);
            }
            Some(For::Lookup(nwk)) => {
                let device = match answer {
                    Ok(Answer::Eui64(device)) => Some(device),
                    _ => None,
                };
                self.placed(nwk, device, now_ms);
            }
            Some(For::Counters) => {
                if let Ok(Answer::Counters(counters)) = answer {
                    let of = |at: usize| u64::from(counters.get(STICK_COUNTERS[at]).copied().unwrap_or(0));
                    self.counters.radio_retries += of(0);
                    self.counters.radio_failed += of(1);
                    self.counters.message_retries += of(2);
                    self.counters.message_failed += of(3);
                }
            }
            Some(For::Nobody) | None => {}
        }
    }

    fn called(&mut self, callback: Callback, now_ms: u64) {
        match callback {
            Callback::Network(status) => match &mut self.state {
                State::Starting(start) => {
                    start.network(status);
                    if start.waits() {
                        self.step(now_ms);
                    }
                }
                State::Up if status == Status::NetworkDown => {
                    self.down("the stick's network went down".to_owned());
                }
                _ => {}
            },
            Callback::Incoming(incoming) => self.came(incoming, now_ms),
            Callback::Sent { status, .. } => {
                self.counters.undelivered += u64::from(status != Status::Ok);
            }
            Callback::Joined(joined) => self.joined(&joined, now_ms),
            Callback::Other(_) => {}
        }
    }

    /// A message: its sender's lasting address is found first, then it is heard.
    fn came(&mut self, incoming: Incoming, now_ms: u64) {
        let known = self.memory.by_nwk(incoming.nwk).or_else(|| {
            self.interviews.iter().find(|(_, interview)| interview.nwk() == incoming.nwk).map(|(device, _)| *device)
        });
        let announced = match zdo::Heard::parse(incoming.aps.cluster, &incoming.message) {
            Ok((_, zdo::Heard::Announce { device, .. })) if incoming.aps.profile == 0 => Some(device),
            _ => None,
        };
        if let Some(device) = announced.or(incoming.device).or(known) {
            return self.hear(device, &incoming, now_ms);
        }
        if self.unplaced.len() == UNPLACED_MAX {
            self.unplaced.pop_front();
            self.counters.strangers += 1;
        }
        let nwk = incoming.nwk;
        let asked = self.unplaced.iter().any(|waiting| waiting.nwk == nwk);
        self.unplaced.push_back(incoming);
        if !asked {
            self.ask(For::Lookup(nwk), Command::LookupEui64(nwk), now_ms);
        }
    }

    fn placed(&mut self, nwk: u16, device: Option<Eui64>, now_ms: u64) {
        let of_it = |waiting: &Incoming| waiting.nwk == nwk;
        let (placed, rest): (VecDeque<_>, VecDeque<_>) = self.unplaced.drain(..).partition(of_it);
        self.unplaced = rest;
        for incoming in placed {
            match device {
                Some(device) => self.hear(device, &incoming, now_ms),
                None => self.counters.strangers += 1,
            }
        }
    }

    pub(crate) fn moved(&mut self, device: Eui64, nwk: u16) {
        if self.memory.moved(device, nwk) {
            self.out.push_back(Out::Save(Box::new(self.memory.clone())));
        }
    }

    pub(crate) fn tell(&mut self, device: Eui64, stage: Stage, text: &str) {
        let device = device.device(None);
        self.out.push_back(Out::Progress(Progress { device, stage, text: text.to_owned() }));
    }

    /// Lets every interview go on.
    fn interview(&mut self, now_ms: u64) {
        let devices: Vec<Eui64> = self.interviews.keys().copied().collect();
        for device in devices {
            loop {
                let tsn = self.tsn();
                let Some(interview) = self.interviews.get_mut(&device) else { break };
                let nwk = interview.nwk();
                match interview.wants(tsn, now_ms) {
                    Wants::Wait => break,
                    Wants::Send(message) => self.send(nwk, message, now_ms),
                    Wants::Tell(stage, text) => self.tell(device, stage, &text),
                    Wants::Done(node) => {
                        self.interviews.remove(&device);
                        let kinds = Interview::kinds(&node);
                        let several = kinds.len() > 1;
                        let id = |endpoint: u8| device.device(several.then_some(endpoint));
                        let joined = kinds.iter().map(|(endpoint, kind)| (id(*endpoint), *kind)).collect();
                        self.memory.nodes.insert(device, node);
                        self.out.push_back(Out::Save(Box::new(self.memory.clone())));
                        self.out.push_back(Out::Joined(joined));
                        self.tell(device, Stage::Ready, "");
                    }
                    Wants::Failed(why) => {
                        self.interviews.remove(&device);
                        self.tell(device, Stage::Failed, &why);
                    }
                }
            }
        }
    }

    /// Everything that was met, for who looks after the site: the host's, the link's, the frames'.
    pub fn met(&self) -> Met {
        let (frames, link) = self.link.counters();
        Met { up: self.is_up(), host: self.counters, link, frames }
    }
}
