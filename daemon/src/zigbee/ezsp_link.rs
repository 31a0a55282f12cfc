//! EZSP over ASH: the version agreed on, one command under way at a time, each with its time-out, answers matched to
//! questions by number, and everything the stick says unasked.
//!
//! Pure. It never takes an answer for another command's, and a stick that does not answer is a link that is down.
//!
//! ```text
//!   Down ──connect──▶ Resetting ──RSTACK──▶ Version ──agreed──▶ Ready
//!    ▲                    │                    │                  │
//!    └────────────────────┴────────────────────┴──────────────────┘  ASH down · no answer · wrong version
//! ```

use crate::zigbee::ash;
use crate::zigbee::ash::Ash;
use crate::zigbee::ash::Told;
use crate::zigbee::bytes::Reader;
use crate::zigbee::ezsp::Command;
use crate::zigbee::ezsp::VERSIONS;
use crate::zigbee::ezsp::frame;
use crate::zigbee::ezsp_answer::Answer;
use crate::zigbee::ezsp_answer::Callback;
use crate::zigbee::ezsp_answer::Header;
use crate::zigbee::ezsp_status::Layout;
use crate::zigbee::refused::Refused;
use std::collections::VecDeque;

/// Longest wait for an answer, ms. The slowest commands (form, key table) take 1 to 2 s; bellows waits as long.
pub const ANSWER_MS: u64 = 10_000;
/// Commands waiting for their turn; beyond it who asks is refused and tries later.
pub const WAITING_MAX: usize = 64;

/// The hub's name for a command under way.
pub type Ticket = u32;

/// What the link says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Commands are taken from now on; the stick knows nothing of what it was told before.
    Ready {
        /// The EZSP version.
        version: u8,
        /// The stack's version, as four digits of a hexadecimal number: 0x7410 is 7.4.1.0.
        stack: u16,
    },
    /// The answer to a command.
    Answer(Ticket, Result<Answer, Failed>),
    /// Something unasked.
    Callback(Callback),
    /// The stick had no room: something it wanted to say is lost.
    Overflow,
    /// It said something that cannot be read.
    Unreadable(Refused),
    /// It is over; every command under way has failed.
    Down(Down),
}

/// Why a command has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// The link went down first.
    #[error("the link to the stick went down")]
    Down,
    /// The stick does not know this command, or not now (EzspStatus).
    #[error("the stick does not take this command (EzspStatus {0:#04x})")]
    Invalid(u8),
    /// Its answer cannot be read.
    #[error("its answer cannot be read: {0}")]
    Unreadable(#[from] Refused),
}

/// Why a link is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Down {
    /// The frame layer says so.
    #[error(transparent)]
    Ash(#[from] ash::Why),
    /// A command was never answered.
    #[error("the stick did not answer frame {0:#06x} within {ANSWER_MS} ms")]
    Unanswered(u16),
    /// It forgot that the version was agreed on: it was reset behind our back.
    #[error("the stick was reset behind our back: it has forgotten the EZSP version")]
    Forgot,
    /// Too old.
    #[error("{}", crate::zigbee::firmware::too_old(*.0))]
    TooOld(u8),
    /// Too new.
    #[error("the stick speaks EZSP {0}; this hub knows 13 to 19: update vaktd, or flash EmberZNet 7.4 to 8.2 on it")]
    TooNew(u8),
}

#[derive(Debug)]
struct Waiting {
    ticket: Option<Ticket>,
    id: u16,
    sequence: u8,
    due_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Down,
    Resetting,
    Version { first: bool },
    Ready,
}

/// What is met besides frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Frames that cannot be read, answers included.
    pub unreadable: u64,
    /// Answers to nothing that is under way.
    pub stray: u64,
    /// Times the stick had no room.
    pub overflows: u64,
}

/// The host's end.
#[derive(Debug)]
pub struct EzspLink {
    ash: Ash,
    stage: Stage,
    layout: Layout,
    sequence: u8,
    waiting: Option<Waiting>,
    queue: VecDeque<(Ticket, Command)>,
    said: VecDeque<Said>,
    counters: Counters,
}

impl Default for EzspLink {
    fn default() -> Self {
        Self {
            ash: Ash::default(),
            stage: Stage::Down,
            layout: Layout::Old,
            sequence: 0,
            waiting: None,
            queue: VecDeque::new(),
            said: VecDeque::new(),
            counters: Counters::default(),
        }
    }
}

impl EzspLink {
    /// Resets the stick and agrees on a version; `Ready` or `Down` follows.
    pub fn connect(&mut self, now_ms: u64) {
        self.sequence = 0;
        self.stage = Stage::Resetting;
        self.ash.connect(now_ms);
    }

    /// Asks; the answer comes under this ticket. False: too much waits already, or the link is down.
    #[must_use]
    pub fn ask(&mut self, ticket: Ticket, command: Command, now_ms: u64) -> bool {
        if self.stage != Stage::Ready || self.queue.len() == WAITING_MAX {
            return false;
        }
        self.queue.push_back((ticket, command));
        self.next(now_ms);
        true
    }

    /// Takes bytes of the port.
    pub fn feed(&mut self, bytes: &[u8], now_ms: u64) {
        self.ash.feed(bytes, now_ms);
        self.listen(now_ms);
    }

    /// Does what has fallen due.
    pub fn tick(&mut self, now_ms: u64) {
        self.ash.tick(now_ms);
        if let Some(late) = self.waiting.take_if(|waiting| waiting.due_ms <= now_ms) {
            self.waiting = Some(late);
            let id = self.waiting.as_ref().map_or(0, |late| late.id);
            self.down(Down::Unanswered(id));
        }
        self.listen(now_ms);
    }

    /// When `tick` has something to do.
    pub fn due_ms(&self) -> Option<u64> {
        let waiting = self.waiting.as_ref().map(|waiting| waiting.due_ms);
        self.ash.due_ms().into_iter().chain(waiting).min()
    }

    /// Bytes for the port.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.ash.take_output()
    }

    /// What the link says next.
    pub fn take_said(&mut self) -> Option<Said> {
        self.said.pop_front()
    }

    /// What was met on it since the daemon runs.
    pub fn counters(&self) -> (ash::Counters, Counters) {
        (self.ash.counters(), self.counters)
    }

    fn listen(&mut self, now_ms: u64) {
        while let Some(told) = self.ash.take_told() {
            match told {
                Told::Up => {
                    self.stage = Stage::Version { first: true };
                    let desired = *VERSIONS.end();
                    self.put(None, &Command::Version { desired }, true, now_ms);
                }
                Told::Frame(frame) if self.stage != Stage::Down => self.frame(&frame, now_ms),
                Told::Frame(_) => {}
                Told::Down(why) => self.down(why.into()),
            }
        }
    }

    /// The next command, when none is under way.
    fn next(&mut self, now_ms: u64) {
        if self.waiting.is_none()
            && let Some((ticket, command)) = self.queue.pop_front()
        {
            self.put(Some(ticket), &command, false, now_ms);
        }
    }

    fn put(&mut self, ticket: Option<Ticket>, command: &Command, first: bool, now_ms: u64) {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let frame = command.encode(self.layout, sequence, first);
        // One command is under way at a time, so there is room. The frame layer may be down already, by what stood
        // further on in the same read; it says so next, and that fails this command with the others.
        let _ = self.ash.send(frame, now_ms);
        self.waiting = Some(Waiting { ticket, id: command.id(), sequence, due_ms: now_ms + ANSWER_MS });
    }

    fn down(&mut self, why: Down) {
        if self.stage == Stage::Down {
            return;
        }
        self.stage = Stage::Down;
        let under_way = self.waiting.take().and_then(|waiting| waiting.ticket);
        let tickets = under_way.into_iter().chain(self.queue.drain(..).map(|(ticket, _)| ticket));
        self.said.extend(tickets.map(|ticket| Said::Answer(ticket, Err(Failed::Down))));
        self.said.push_back(Said::Down(why));
    }

    fn frame(&mut self, bytes: &[u8], now_ms: u64) {
        let first = self.stage == Stage::Version { first: true };
        let read = Reader::new(bytes).and_then(|mut reader| Ok((Header::parse(&mut reader, first)?, reader)));
        let (header, mut reader) = match read {
            Ok(read) => read,
            Err(refused) => {
                self.counters.unreadable += 1;
                self.said.push_back(Said::Unreadable(refused));
                return;
            }
        };
        if header.overflow {
            self.counters.overflows += 1;
            self.said.push_back(Said::Overflow);
        }
        if header.callback {
            match Callback::parse(header.id, self.layout, &mut reader) {
                Ok(callback) => self.said.push_back(Said::Callback(callback)),
                Err(refused) => {
                    self.counters.unreadable += 1;
                    self.said.push_back(Said::Unreadable(refused));
                }
            }
            return;
        }
        let Some(waiting) = self.waiting.take_if(|waiting| header.response && waiting.sequence == header.sequence)
        else {
            self.counters.stray += 1;
            return;
        };
        let answer = self.answer(&waiting, &header, &mut reader);
        match (waiting.ticket, answer) {
            (_, Err(Failed::Invalid(VERSION_NOT_SET))) => self.down(Down::Forgot),
            (Some(ticket), answer) => self.said.push_back(Said::Answer(ticket, answer)),
            (None, Ok(Answer::Version { protocol, stack })) => self.agree(protocol, stack, now_ms),
            (None, _) => self.down(Down::Unanswered(frame::VERSION)),
        }
        self.next(now_ms);
    }

    fn answer(&mut self, waiting: &Waiting, header: &Header, reader: &mut Reader<'_>) -> Result<Answer, Failed> {
        if header.id == frame::INVALID_COMMAND {
            return Err(Failed::Invalid(reader.u8("the reason")?));
        }
        if header.id != waiting.id {
            self.counters.stray += 1;
            let text = format!("frame {:#06x} answers {:#06x}", header.id, waiting.id);
            return Err(Refused::new(crate::zigbee::refused::Reason::BadValue, 3, text).into());
        }
        Answer::parse(waiting.id, self.layout, reader).map_err(|refused| {
            self.counters.unreadable += 1;
            refused.into()
        })
    }

    /// The stick has said its version; a stick that was asked for another one wants to be asked again for its own.
    fn agree(&mut self, protocol: u8, stack: u16, now_ms: u64) {
        match self.stage {
            _ if protocol < *VERSIONS.start() => self.down(Down::TooOld(protocol)),
            _ if protocol > *VERSIONS.end() => self.down(Down::TooNew(protocol)),
            Stage::Version { first: true } => {
                self.layout = Layout::of(protocol);
                self.stage = Stage::Version { first: false };
                self.put(None, &Command::Version { desired: protocol }, false, now_ms);
            }
            _ => {
                self.stage = Stage::Ready;
                self.said.push_back(Said::Ready { version: protocol, stack });
            }
        }
    }
}

/// EzspStatus: the version was not agreed on.
const VERSION_NOT_SET: u8 = 0x30;
