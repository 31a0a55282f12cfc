//! The Zigbee host, whole: the stick started and kept, newcomers let in and interviewed, detectors' words understood.
//!
//! Pure: bytes, orders and the time go in; bytes, reports, progress and what must be remembered come out, in the order
//! in which they must be done. It never passes one word of a detector on twice, never answers one before the hub says
//! that it is recorded, and never lets anybody in unless a person has opened the door.
//!
//! ```text
//!   Down ──connect──▶ Linking ──Ready──▶ Keeping ──kept──▶ Starting ──Done──▶ Up
//!    ▲                   │     (only a new network)           │               │
//!    └───────────────────┴────────────────────────────────────┴───────────────┘  the link is down · the stick is refused
//! ```

use crate::zigbee::asking::Asking;
use crate::zigbee::bolts;
use crate::zigbee::door;
use crate::zigbee::door::Door;
use crate::zigbee::door::Refusals;
use crate::zigbee::eui64::Eui64;
use crate::zigbee::ezsp::Command;
use crate::zigbee::ezsp_answer::Answer;
use crate::zigbee::ezsp_answer::Callback;
use crate::zigbee::ezsp_link::EzspLink;
use crate::zigbee::ezsp_link::Failed;
use crate::zigbee::ezsp_link::Said;
use crate::zigbee::ezsp_link::Ticket;
use crate::zigbee::ezsp_status::Status;
use crate::zigbee::functions::Functions;
use crate::zigbee::interview::Interview;
use crate::zigbee::interview::Stage;
use crate::zigbee::interview::Wants;
use crate::zigbee::keeping::Keeping;
use crate::zigbee::keypad::Asked;
use crate::zigbee::memory::Memory;
use crate::zigbee::memory::Network;
use crate::zigbee::met::Counters;
use crate::zigbee::noise::Noise;
use crate::zigbee::noise::Step;
use crate::zigbee::senders::Senders;
use crate::zigbee::sending::Sending;
use crate::zigbee::sending::Unsent;
use crate::zigbee::start::Next;
use crate::zigbee::start::Start;
use crate::zigbee::words::Words;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::Measurement;
use vakt_core::device::Report;
use vakt_core::event::Act;
use vakt_core::event::EventId;
use vakt_core::event::Method;
use vakt_core::input::LockUsed;

/// Commands under way while devices are asked how they stand; alarms that must be answered are not kept waiting behind.
const QUESTIONS_MAX: usize = 4;
/// A stick that says nothing for so long, ms, is asked whether it is there: one that hangs looks like a quiet night.
const QUIET_MS: u64 = 5_000;

/// What the host wants done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Out {
    /// These bytes to the stick.
    Bytes(Vec<u8>),
    /// This kept; `kept` says whether it is. Nothing waits for it but what follows from it.
    Save(Box<Memory>),
    /// A detector's word. When it is recorded, `recorded` with this number lets the detector know.
    Report(Report, Option<AnswerId>),
    /// What a known detector measures beside what it watches for.
    Measured(DeviceId, Vec<Measurement>),
    /// The person who opened the door told how far a newcomer is.
    Progress(Progress),
    /// What joined and is kept, ready to be added. That it guards is told by who adds it.
    Joined(Vec<(DeviceId, Option<DeviceKind>)>),
    /// The stick has opened the door, or why it has not.
    Door(Result<(), String>),
    /// A known device was heard and could not be understood.
    Unreadable(DeviceId),
    /// Somebody wants something at a keypad; a wish with its number tells him what became of it. Beside it the devices of the
    /// zones he names.
    Asked(DeviceId, Asked, Vec<Option<DeviceId>>),
    /// What came of an act, by the device's own word.
    Acted {
        /// The act's `command_sent`.
        command: EventId,
        /// What.
        act: Act,
        /// Why it was not done.
        error: Option<String>,
    },
    /// Somebody turned a lock at the door; `recorded` with this number lets the lock know.
    LockUsed(LockUsed, Option<AnswerId>),
    /// A lock has let somebody neither in nor out.
    LockRefused {
        /// Which.
        device: DeviceId,
        /// By code or tag, where it says so.
        method: Option<Method>,
        /// Why.
        reason: String,
        /// As of a lock's use.
        answer: Option<AnswerId>,
    },
    /// A known device has left, or what the hub needs to hear it is lost.
    Gone(DeviceId),
    /// Devices that were sent away: they asked to join while the door was shut, on the wrong key, or were no detectors.
    Refused {
        /// The last one.
        device: Eui64,
        /// How many times since the last word of this kind.
        count: u64,
    },
    /// Interference on its channel has begun, or is over; `None`, and while the stick is down: nothing is known of it.
    Interference(Option<bool>),
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

/// What a command is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum For {
    Start,
    Nobody,
    /// How its radio fares, and whether it is there at all.
    Counters,
    /// Opening the door, with what is said when it fails.
    Permit,
    /// Shutting it: asked for until it is done.
    Shut,
    /// Whose short address is this?
    Lookup(u16),
    /// A message; it is sent again, so often, should the stick have no room.
    Message(Unsent),
    /// A message that moves a bolt, by its number: now or not at all.
    Bolt(bolts::At, u8),
    /// A message to a smoke cannon's relay, likewise.
    Cannon(bolts::At),
    /// A look at the air.
    Air(Step),
}

#[derive(Debug)]
enum State {
    Down,
    Linking,
    Keeping,
    Starting(Start),
    Up,
}

/// The host.
pub struct Host {
    pub(crate) link: EzspLink,
    state: State,
    pub(crate) hub: Eui64,
    pub(crate) memory: Memory,
    random: [u8; 64],
    pub(crate) tickets: BTreeMap<Ticket, For>,
    next_ticket: Ticket,
    next_tsn: u8,
    pub(crate) door: Option<Door>,
    /// The door is shut, but the stick has not said that it is: when it is asked again, ms.
    pub(crate) unshut: Option<u64>,
    /// Refusals not told yet: how many, who, and when one was told.
    pub(crate) refused: Refusals,
    pub(crate) interviews: BTreeMap<Eui64, Interview>,
    pub(crate) senders: Senders,
    pub(crate) words: Words,
    pub(crate) asking: Asking,
    pub(crate) known: BTreeMap<DeviceId, DeviceKind>,
    /// When the stick last said something, ms.
    heard_ms: u64,
    pub(crate) keeping: Keeping,
    pub(crate) sending: Sending,
    pub(crate) noise: Noise,
    pub(crate) functions: Functions,
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
            unshut: None,
            refused: Refusals::default(),
            interviews: BTreeMap::new(),
            senders: Senders::default(),
            words: Words::new(u64::from_le_bytes(random[56..].try_into().expect("eight of sixty-four"))),
            asking: Asking::default(),
            known: BTreeMap::new(),
            heard_ms: 0,
            keeping: Keeping::default(),
            sending: Sending::default(),
            noise: Noise::default(),
            functions: Functions::new(u64::from_le_bytes(random[48..56].try_into().expect("eight of sixty-four"))),
            counters: Counters::default(),
            out: VecDeque::new(),
        }
    }

    /// The port is open: resets the stick. `Up` or `Down` follows.
    pub fn connect(&mut self, now_ms: u64) {
        self.state = State::Linking;
        self.tickets.clear();
        self.keeping.interrupted(now_ms);
        self.link.connect(now_ms);
        self.flush();
    }

    /// The port is gone, and with it every byte that was on its way; what was heard is still to be told and kept.
    pub fn unplugged(&mut self, why: String) {
        self.down(why);
        self.out.retain(|out| !matches!(out, Out::Bytes(_) | Out::Down(_) | Out::Up));
    }

    /// What the devices of this hub were added as; it outweighs what they call themselves. A device that is new here is
    /// asked how it stands; one that this network knows nothing of is not heard, and that is told.
    pub fn know(&mut self, known: BTreeMap<DeviceId, DeviceKind>, now_ms: u64) {
        let fresh: Vec<DeviceId> = known.keys().filter(|id| !self.known.contains_key(*id)).cloned().collect();
        for id in fresh {
            let Some(device) = Eui64::of(&id) else { continue };
            match self.memory.nodes.get(&device) {
                Some(node) => node.zones.iter().for_each(|zone| self.asking.ask((device, zone.endpoint), now_ms)),
                None => self.out.push_back(Out::Gone(id)),
            }
        }
        self.known = known;
        self.staff(now_ms);
        self.mind_functions(now_ms);
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
        self.mind_the_door(now_ms);
        self.mind_the_air(now_ms);
        self.mind_functions(now_ms);
        self.work(now_ms);
    }

    /// When `tick` has something to do, ms.
    pub fn due_ms(&self) -> Option<u64> {
        let start = match &self.state {
            State::Starting(start) => start.due_ms(),
            _ => None,
        };
        let interviews = self.interviews.values().map(Interview::due_ms).min().filter(|_| self.is_up());
        let quiet = (self.is_up() && self.tickets.is_empty()).then_some(self.heard_ms + QUIET_MS);
        let asking = self.asking.due_ms().filter(|_| self.is_up() && self.tickets.len() < QUESTIONS_MAX);
        let resend = self.sending.due_ms().filter(|_| self.is_up());
        let keep = self.keeping.due_ms();
        let (door, sought, air) = (self.door_due_ms(), self.senders.due_ms(), self.noise.due_ms());
        let functions = self.functions_due_ms().filter(|_| self.is_up());
        let all = [self.link.due_ms(), start, interviews, door, quiet, asking, resend, keep, sought, air, functions];
        all.into_iter().flatten().min()
    }

    /// What is to be done next.
    pub fn take(&mut self) -> Option<Out> {
        self.out.pop_front()
    }

    /// Whether the network is up.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    /// Sends a device away and forgets it.
    pub fn remove(&mut self, device: Eui64, now_ms: u64) {
        self.interviews.remove(&device);
        if let Some(node) = self.memory.nodes.remove(&device) {
            node.zones.iter().for_each(|zone| self.asking.settled((device, zone.endpoint)));
            self.keeping.want(now_ms);
            self.forget_functions(device);
            self.ask(For::Nobody, Command::RemoveDevice { nwk: node.nwk, device }, now_ms);
        }
        self.work(now_ms);
    }

    /// A detector's word is recorded: the detector may know.
    pub fn recorded(&mut self, answer: AnswerId, now_ms: u64) {
        self.cry_recorded(answer);
        if let Some((nwk, message)) = self.words.recorded(answer) {
            self.send(nwk, message, now_ms);
            self.flush();
        }
    }

    /// What came of the last `Save`.
    pub fn kept(&mut self, ok: bool, now_ms: u64) {
        if ok {
            for (_, ids) in self.keeping.done() {
                self.out.push_back(Out::Joined(ids));
            }
            self.staff(now_ms);
            self.show_keypads(now_ms);
            if matches!(self.state, State::Keeping) {
                self.set_up(now_ms);
            }
        } else {
            for device in self.keeping.failed(now_ms) {
                self.tell(
                    device,
                    Stage::Enrolled,
                    "the hub cannot keep it: its disk does not answer; it is tried again",
                );
            }
            if matches!(self.state, State::Keeping) {
                self.down("the key of a new network could not be kept".to_owned());
            }
        }
        self.work(now_ms);
    }

    fn down(&mut self, why: String) {
        if !matches!(self.state, State::Down) {
            self.state = State::Down;
            self.tickets.clear();
            self.sending = Sending::default();
            self.noise.down();
            self.door_link_down();
            self.senders = Senders::default();
            self.words.link_down();
            self.functions_down();
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
                    self.ask_everybody(now_ms);
                }
                Said::Unreadable(_) => {
                    self.counters.unreadable += 1;
                    self.ask_everybody(now_ms);
                }
                Said::Down(why) => self.down(why.to_string()),
            }
        }
        if self.is_up() {
            self.interview(now_ms);
            self.look_up_senders(now_ms);
            self.send_again(now_ms);
            while self.tickets.len() < QUESTIONS_MAX
                && let Some(zone) = self.asking.next(now_ms)
            {
                self.read_zone(zone, now_ms);
            }
        }
        if self.keeping.begin(now_ms) {
            self.out.push_back(Out::Save(Box::new(self.memory.clone())));
        }
        self.flush();
    }

    fn ask_everybody(&mut self, now_ms: u64) {
        let Self { asking, memory, .. } = self;
        asking.round(memory.zones(), now_ms);
    }

    /// The stick is there: make it the hub's coordinator.
    fn begin(&mut self, now_ms: u64) {
        match &self.memory.network {
            // Kept before the stick hears of it: a network nobody remembers would orphan its devices.
            None => {
                self.memory.network = Some(Network::draw(&self.random));
                self.state = State::Keeping;
                self.keeping.want(now_ms);
            }
            Some(network) if !network.formed && self.keeping.is_wanted() => {
                self.state = State::Keeping;
                self.keeping.want(now_ms);
            }
            Some(_) => self.set_up(now_ms),
        }
    }

    fn set_up(&mut self, now_ms: u64) {
        let network = self.memory.network.clone().expect("it was drawn before");
        self.state = State::Starting(Start::new(network));
        self.step(now_ms);
    }

    fn step(&mut self, now_ms: u64) {
        let State::Starting(start) = &mut self.state else { return };
        match start.step() {
            Next::Ask(command) => drop(self.ask(For::Start, command, now_ms)),
            Next::WaitUp => {}
            Next::Again => self.connect(now_ms),
            Next::Done { hub, network } => {
                self.hub = hub;
                // Formed just now, or moved by the stack itself to another channel or short name.
                if self.memory.network.as_ref() != Some(&network) {
                    self.memory.network = Some(network);
                    self.keeping.want(now_ms);
                }
                self.state = State::Up;
                self.noise.up(now_ms);
                // What they said while nobody listened is lost; those that are awake say how they stand.
                let Self { asking, memory, .. } = self;
                asking.anew(memory.zones(), now_ms);
                self.out.push_back(Out::Up);
                self.functions_up(now_ms);
                self.open_again(now_ms);
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
            Some(For::Shut) => self.shut_answered(matches!(answer, Ok(Answer::Status(Status::Ok)))),
            Some(For::Lookup(nwk)) => {
                let device = match answer {
                    Ok(Answer::Eui64(device)) => Some(device),
                    _ => None,
                };
                self.looked_up(nwk, device, now_ms);
            }
            Some(For::Message(unsent)) => {
                if let Ok(Answer::Sent { status: Status::Busy, .. }) = answer {
                    self.send_later(unsent, now_ms);
                }
            }
            Some(For::Cannon(at)) => self.cannon_told(at, &answer, now_ms),
            Some(For::Bolt(at, tsn)) => self.bolt_sent((at, tsn), &answer, now_ms),
            Some(For::Counters) => self.counted(answer, now_ms),
            Some(For::Air(step)) => self.looked(step, answer, now_ms),
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
            Callback::Incoming(incoming) => {
                if incoming.nwk != 0 {
                    self.noise.heard(); // another node's, not the stick's own
                }
                self.came(incoming, now_ms);
            }
            Callback::Sent { nwk, status, .. } => self.was_sent(nwk, status, now_ms),
            Callback::Energy { channel, rssi_dbm } => self.scan_result(channel, rssi_dbm),
            Callback::Scanned(status) => self.scan_over(status, now_ms),
            Callback::Joined(joined) => self.joined(&joined, now_ms),
            Callback::Other(_) => {}
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
                let (tsn, free_id) = (self.tsn(), self.free_zone_id());
                let Some(interview) = self.interviews.get_mut(&device) else { break };
                let nwk = interview.nwk();
                let wants = match (interview.lacks_id(), free_id) {
                    (false, _) => interview.wants(tsn, now_ms),
                    (true, Some(id)) => {
                        interview.promise(id);
                        continue;
                    }
                    (true, None) => Wants::Failed(door::NO_ID_LEFT.to_owned()),
                };
                match wants {
                    Wants::Wait => break,
                    Wants::Send(message) => self.send(nwk, message, now_ms),
                    Wants::Tell(stage, text) => self.tell(device, stage, &text),
                    Wants::Done(node) => {
                        self.interviews.remove(&device);
                        let kinds = node.devices();
                        let several = kinds.len() > 1;
                        let id = |endpoint: u8| device.device(several.then_some(endpoint));
                        let joined = kinds.iter().map(|(endpoint, kind)| (id(*endpoint), *kind)).collect();
                        self.memory.freed(node.nwk, device);
                        self.memory.nodes.insert(device, node);
                        self.forget_functions(device);
                        self.keeping.joined((device, joined), now_ms);
                    }
                    Wants::Failed(why) => {
                        self.interviews.remove(&device);
                        self.tell(device, Stage::Failed, &why);
                        self.send_away(device, nwk, now_ms);
                    }
                }
            }
        }
    }
}
