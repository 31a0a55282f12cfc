//! ASH, the link to a Zigbee stick (Silicon Labs UG101): every EZSP frame arrives once, in order, or the link is said to
//! be down.
//!
//! Pure: bytes and the time go in, bytes and words come out; the next moment it wants to be asked is `due_ms`. It never
//! passes a frame on twice, never lets one go without the stick's word for it, and never waits for ever.
//!
//! ```text
//!          connect              RSTACK(software reset)
//!   Down ──────────▶ Resetting ────────────────────────▶ Connected
//!    ▲                  │  no answer, RESETS_MAX times         │
//!    └──────────────────┴──────────────────────────────────────┘
//!        ERROR · a reset of the stick's own · TIMEOUTS_MAX times no ack
//! ```

use crate::zigbee::ash_frame::CANCEL;
use crate::zigbee::ash_frame::DATA_MAX;
use crate::zigbee::ash_frame::Deframer;
use crate::zigbee::ash_frame::Frame;
use crate::zigbee::ash_frame::Number;
use crate::zigbee::ash_frame::XON;
use std::collections::VecDeque;

/// Frames on their way without the stick's ack. Sticks take up to 7; more than one at a time has crashed firmware
/// (bellows keeps 1), three is what zigbee-herdsman runs with in the field.
pub const WINDOW: usize = 3;
/// Frames waiting for a place in the window; EZSP has one command under way, so whoever fills this is broken.
pub const QUEUE_MAX: usize = 16;
/// Longest, first and shortest wait for an ack, ms (UG101, 5.3.5: T_RX_ACK).
const ACK_MS: (u64, u64, u64) = (3_200, 1_600, 400);
/// So many waits for an ack in a row end the link (UG101: ACK_TIMEOUTS, 4; herdsman waits for 6).
const TIMEOUTS_MAX: u32 = 5;
/// Longest wait for RSTACK, ms; sticks need up to 2 s after power-on.
const RESET_MS: u64 = 3_000;
/// So many RST without an answer, and the link is down.
const RESETS_MAX: u32 = 3;
/// Sent before RST, so that a stick in the middle of a frame, or in an odd baud rate, starts anew.
const CANCELS: usize = 32;
/// Reset by software: what a host's RST leads to (UG101, table 6).
pub const RESET_SOFTWARE: u8 = 0x0B;
/// The ASH version there is.
const VERSION: u8 = 2;

/// What the link says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The stick was reset and is there; everything it was told before is forgotten.
    Up,
    /// An EZSP frame of the stick.
    Frame(Vec<u8>),
    /// The link is over; `connect` begins anew. Frames that were not acked may or may not have arrived.
    Down(Why),
}

/// Why a link is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Nobody answers RST.
    #[error("no answer to {RESETS_MAX} resets: is it an EZSP stick, at this baud rate and flow control?")]
    NoReset,
    /// It speaks another ASH.
    #[error("the stick speaks ASH version {0}, this host 2")]
    Version(u8),
    /// It was reset by itself.
    #[error("the stick was reset by itself ({})", reset_name(*.0))]
    Reset(u8),
    /// It gave up.
    #[error("the stick gave up ({})", reset_name(*.0))]
    Error(u8),
    /// It takes nothing any more.
    #[error("the stick did not take a frame that was sent {TIMEOUTS_MAX} times")]
    Silent,
}

/// What a reset or error code means (UG101, table 6).
pub fn reset_name(code: u8) -> String {
    let name = match code {
        0x00 => "unknown reason",
        0x01 => "reset pin",
        0x02 => "power on",
        0x03 => "watchdog",
        0x06 => "assertion failed",
        0x09 => "boot loader",
        RESET_SOFTWARE => "software",
        0x51 => "too many acks missing",
        _ => return format!("code {code:#04x}"),
    };
    format!("{name}, code {code:#04x}")
}

/// What the link has met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Frames that arrived for the first time.
    pub received: u64,
    /// Frames that had arrived before and were thrown away.
    pub repeated: u64,
    /// Frames that came too early, because one before them is missing.
    pub out_of_order: u64,
    /// What was no frame.
    pub damaged: u64,
    /// Frames sent again.
    pub resent: u64,
    /// Waits for an ack that were in vain.
    pub timeouts: u64,
    /// NAKs of the stick.
    pub naks: u64,
}

#[derive(Debug)]
struct Sent {
    number: Number,
    data: Vec<u8>,
    /// When it was sent, ms; `None` once it was sent again, as its ack then measures nothing.
    at_ms: Option<u64>,
}

/// A link that is up.
#[derive(Debug, Default)]
struct Link {
    /// Sent and not acked, oldest first.
    sent: VecDeque<Sent>,
    /// The number the next new frame gets.
    next: Number,
    /// The number the stick's next frame must have; it is also what is acked, and moves for nothing else.
    expected: Number,
    /// A NAK has left and the frame it asks for has not come: another one would only multiply resends.
    rejecting: bool,
    /// Waits in vain in a row.
    timeouts: u32,
    /// When the wait for the oldest ack ends.
    ack_due_ms: Option<u64>,
}

#[derive(Debug)]
enum State {
    Down,
    Resetting { tries: u32, due_ms: u64 },
    Connected(Link),
}

/// The host's end of one link.
#[derive(Debug)]
pub struct Ash {
    state: State,
    deframer: Deframer,
    /// The wait for an ack as measured, ms.
    ack_ms: u64,
    queue: VecDeque<Vec<u8>>,
    output: Vec<u8>,
    told: VecDeque<Told>,
    counters: Counters,
}

/// Why a frame is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// The link is not up.
    #[error("the link to the stick is down")]
    Down,
    /// Too much waits already.
    #[error("{QUEUE_MAX} frames wait for the stick already")]
    Full,
    /// An EZSP frame of this length fits in no ASH frame.
    #[error("an EZSP frame of {0} bytes: 3 to {DATA_MAX} fit")]
    Length(usize),
}

impl Default for Ash {
    fn default() -> Self {
        Self {
            state: State::Down,
            deframer: Deframer::default(),
            ack_ms: ACK_MS.1,
            queue: VecDeque::new(),
            output: Vec::new(),
            told: VecDeque::new(),
            counters: Counters::default(),
        }
    }
}

impl Ash {
    /// Resets the stick; `Told::Up` or `Told::Down` follows.
    pub fn connect(&mut self, now_ms: u64) {
        self.queue.clear();
        self.reset(1, now_ms);
    }

    fn reset(&mut self, tries: u32, now_ms: u64) {
        self.ack_ms = ACK_MS.1;
        self.deframer = Deframer::default();
        self.output.extend([CANCEL; CANCELS]);
        self.output.extend(Frame::Rst.encode());
        self.state = State::Resetting { tries, due_ms: now_ms + RESET_MS };
    }

    /// Sends an EZSP frame, now or as soon as the window lets it.
    ///
    /// # Errors
    /// It is not taken; nothing was sent.
    pub fn send(&mut self, data: Vec<u8>, now_ms: u64) -> Result<(), NotTaken> {
        if !matches!(self.state, State::Connected(_)) {
            return Err(NotTaken::Down);
        }
        if !(3..=DATA_MAX).contains(&data.len()) {
            return Err(NotTaken::Length(data.len()));
        }
        if self.queue.len() == QUEUE_MAX {
            return Err(NotTaken::Full);
        }
        self.queue.push_back(data);
        self.fill_window(now_ms);
        Ok(())
    }

    /// Takes bytes of the serial port.
    pub fn feed(&mut self, bytes: &[u8], now_ms: u64) {
        for byte in bytes {
            match self.deframer.push(*byte) {
                Some(Ok(frame)) => self.take(frame, now_ms),
                Some(Err(_)) => self.damaged(),
                None => {}
            }
        }
    }

    /// Does what has fallen due.
    pub fn tick(&mut self, now_ms: u64) {
        match &mut self.state {
            State::Down => {}
            State::Resetting { due_ms, .. } if *due_ms > now_ms => {}
            State::Resetting { tries, .. } if *tries == RESETS_MAX => self.down(Why::NoReset),
            State::Resetting { tries, .. } => {
                let tries = *tries + 1;
                self.reset(tries, now_ms);
            }
            State::Connected(link) if link.ack_due_ms.is_none_or(|due| due > now_ms) => {}
            State::Connected(link) => {
                self.counters.timeouts += 1;
                link.timeouts += 1;
                if link.timeouts >= TIMEOUTS_MAX {
                    self.down(Why::Silent);
                } else {
                    self.ack_ms = (self.ack_ms * 2).min(ACK_MS.0);
                    self.resend(now_ms);
                }
            }
        }
    }

    /// When `tick` has something to do, ms.
    pub fn due_ms(&self) -> Option<u64> {
        match &self.state {
            State::Down => None,
            State::Resetting { due_ms, .. } => Some(*due_ms),
            State::Connected(link) => link.ack_due_ms,
        }
    }

    /// Bytes for the serial port.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// What the link says next.
    pub fn take_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// What it has met since it exists.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn down(&mut self, why: Why) {
        self.state = State::Down;
        self.queue.clear();
        self.told.push_back(Told::Down(why));
    }

    fn damaged(&mut self) {
        self.counters.damaged += 1;
        if let State::Connected(link) = &mut self.state {
            Self::reject(link, &mut self.output);
        }
    }

    /// Asks once for the frame that is missing.
    fn reject(link: &mut Link, output: &mut Vec<u8>) {
        if !std::mem::replace(&mut link.rejecting, true) {
            output.extend(Frame::Nak { ack: link.expected }.encode());
        }
    }

    fn take(&mut self, frame: Frame, now_ms: u64) {
        match (frame, &mut self.state) {
            (Frame::RstAck { version: VERSION, code: RESET_SOFTWARE }, State::Resetting { .. }) => {
                self.state = State::Connected(Link::default());
                self.told.push_back(Told::Up);
            }
            (Frame::RstAck { version, .. }, State::Resetting { .. }) if version != VERSION => {
                self.down(Why::Version(version));
            }
            // From before our RST: power-on, watchdog. What our RST leads to still comes.
            (_, State::Resetting { .. } | State::Down) => {}
            (Frame::RstAck { code, .. }, State::Connected(_)) => self.down(Why::Reset(code)),
            (Frame::Error { code, .. }, State::Connected(_)) => self.down(Why::Error(code)),
            (Frame::Rst, State::Connected(_)) => self.counters.damaged += 1, // an echo of our own line
            (Frame::Ack { ack, .. }, State::Connected(_)) => self.acked(ack, now_ms),
            (Frame::Nak { ack }, State::Connected(_)) => {
                self.counters.naks += 1;
                self.acked(ack, now_ms);
                self.resend(now_ms);
            }
            (Frame::Data { number, again, ack, data }, State::Connected(_)) => {
                self.acked(ack, now_ms);
                self.arrived(number, again, data);
            }
        }
    }

    fn arrived(&mut self, number: Number, again: bool, data: Vec<u8>) {
        let State::Connected(link) = &mut self.state else { return };
        if number == link.expected {
            link.expected = (link.expected + 1) % 8;
            link.rejecting = false;
            self.counters.received += 1;
            self.output.extend(Frame::Ack { ack: link.expected, not_ready: false }.encode());
            self.told.push_back(Told::Frame(data));
        } else if again {
            self.counters.repeated += 1;
            self.output.extend(Frame::Ack { ack: link.expected, not_ready: false }.encode());
        } else {
            self.counters.out_of_order += 1;
            Self::reject(link, &mut self.output);
        }
    }

    /// Everything before `ack` has arrived, if `ack` can be true at all.
    fn acked(&mut self, ack: Number, now_ms: u64) {
        let State::Connected(link) = &mut self.state else { return };
        let count = usize::from(ack.wrapping_sub(link.next.wrapping_sub(link.sent.len() as u8)) % 8);
        if count > link.sent.len() {
            self.counters.damaged += 1; // it acks what was never sent
            return;
        }
        if count == 0 {
            return;
        }
        let newest = link.sent.drain(..count).next_back();
        link.timeouts = 0;
        if let Some(at_ms) = newest.and_then(|sent| sent.at_ms) {
            let measured = now_ms.saturating_sub(at_ms);
            self.ack_ms = (self.ack_ms * 7 / 8 + measured / 2).clamp(ACK_MS.2, ACK_MS.0);
        }
        link.ack_due_ms = (!link.sent.is_empty()).then_some(now_ms + self.ack_ms);
        self.fill_window(now_ms);
    }

    fn fill_window(&mut self, now_ms: u64) {
        let State::Connected(link) = &mut self.state else { return };
        while link.sent.len() < WINDOW
            && let Some(data) = self.queue.pop_front()
        {
            let number = link.next;
            link.next = (link.next + 1) % 8;
            let frame = Frame::Data { number, again: false, ack: link.expected, data: data.clone() };
            self.output.extend(frame.encode());
            link.sent.push_back(Sent { number, data, at_ms: Some(now_ms) });
            link.ack_due_ms = link.ack_due_ms.or(Some(now_ms + self.ack_ms));
        }
    }

    /// Sends everything that is not acked again; XON first, because a damaged byte may have told the stick to be silent.
    fn resend(&mut self, now_ms: u64) {
        let State::Connected(link) = &mut self.state else { return };
        self.output.push(XON);
        for sent in &mut link.sent {
            sent.at_ms = None;
            let frame = Frame::Data { number: sent.number, again: true, ack: link.expected, data: sent.data.clone() };
            self.output.extend(frame.encode());
            self.counters.resent += 1;
        }
        link.ack_due_ms = (!link.sent.is_empty()).then_some(now_ms + self.ack_ms);
    }
}
