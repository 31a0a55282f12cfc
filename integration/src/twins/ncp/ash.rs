//! The stick's end of the ASH link (Silicon Labs UG101): numbers, window, acknowledgements, repeats, giving up.
//!
//! It never looks into an EZSP frame and never reads a clock; time is what the caller says it is.

use super::wire;
use super::wire::Cutter;
use super::wire::Event;
use super::wire::Frame;
use std::collections::VecDeque;
use std::time::Duration;

/// Why a stick was reset (UG101 §5.4 and zigbee.md §3d).
pub mod code {
    /// The power came.
    pub const POWER_ON: u8 = 0x02;
    /// Its watchdog bit.
    pub const WATCHDOG: u8 = 0x03;
    /// An assertion in its firmware.
    pub const ASSERT: u8 = 0x06;
    /// The host asked.
    pub const SOFTWARE: u8 = 0x0B;
    /// The host did not acknowledge, however often it was told.
    pub const ACK_TIMEOUTS: u8 = 0x51;
}

/// How a real stick is set; a test may make it quicker or slower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AshTiming {
    /// The most DATA frames that wait for an acknowledgement (TX_K); 1 to 7.
    pub window: usize,
    /// First wait for an acknowledgement.
    pub ack_first: Duration,
    /// Shortest wait for an acknowledgement.
    pub ack_least: Duration,
    /// Longest wait for an acknowledgement.
    pub ack_most: Duration,
    /// Time-outs in a row before ERROR 0x51.
    pub timeouts_most: u32,
    /// How long an acknowledgement waits for an answer to ride on.
    pub ack_delay: Duration,
    /// How long "not ready" holds when the host does not repeat it.
    pub not_ready: Duration,
    /// A fault: send on although the window is full.
    pub ignore_window: bool,
}

impl Default for AshTiming {
    fn default() -> Self {
        Self {
            window: 5,
            ack_first: Duration::from_millis(1600),
            ack_least: Duration::from_millis(400),
            ack_most: Duration::from_millis(3200),
            timeouts_most: 5,
            ack_delay: Duration::ZERO,
            not_ready: Duration::from_secs(1),
            ignore_window: false,
        }
    }
}

/// Names a frame towards the log, from being queued to being acknowledged.
pub type Ticket = u64;

/// What the link tells the stick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// An EZSP frame came, once.
    Frame(Vec<u8>),
    /// The host asked for a reset.
    Reset,
    /// This frame was written for the first time.
    Written(Ticket),
    /// The host acknowledged this frame.
    Acked(Ticket),
}

/// What was counted; a test reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AshCounts {
    /// DATA frames written, repeats included.
    pub data_out: u64,
    /// DATA frames written again.
    pub again_out: u64,
    /// DATA frames that were taken.
    pub data_in: u64,
    /// DATA frames that had come before.
    pub doubled_in: u64,
    /// DATA frames out of their order.
    pub disordered_in: u64,
    /// Frames that could not be read.
    pub bad_in: u64,
    /// NAKs written.
    pub naks_out: u64,
    /// NAKs that came.
    pub naks_in: u64,
    /// Acknowledgements of frames never sent.
    pub bad_acks: u64,
    /// The most frames that waited for an acknowledgement at a time.
    pub unacked_most: usize,
}

#[derive(Debug)]
struct Outgoing {
    payload: Vec<u8>,
    ticket: Option<Ticket>,
    /// It may wait while the host is not ready.
    callback: bool,
}

#[derive(Debug)]
struct Unacked {
    number: u8,
    frame: Outgoing,
    sent: Duration,
    again: bool,
}

/// The link.
#[derive(Debug)]
pub struct Ash {
    timing: AshTiming,
    failed: Option<u8>,
    cutter: Cutter,
    next_out: u8,
    next_in: u8,
    unacked: VecDeque<Unacked>,
    queue: VecDeque<Outgoing>,
    rejecting: bool,
    stopped: bool,
    ack_due: Option<Duration>,
    ack_wait: Duration,
    timer: Option<Duration>,
    timeouts: u32,
    not_ready_until: Option<Duration>,
    out: VecDeque<Vec<u8>>,
    told: Vec<Told>,
    counts: AshCounts,
}

impl Ash {
    /// A link that has not been reset yet.
    pub fn new(timing: AshTiming) -> Self {
        Self {
            ack_wait: timing.ack_first,
            timing,
            failed: None,
            cutter: Cutter::default(),
            next_out: 0,
            next_in: 0,
            unacked: VecDeque::new(),
            queue: VecDeque::new(),
            rejecting: false,
            stopped: false,
            ack_due: None,
            timer: None,
            timeouts: 0,
            not_ready_until: None,
            out: VecDeque::new(),
            told: Vec::new(),
            counts: AshCounts::default(),
        }
    }

    /// Forgets the conversation; only what was counted stays.
    pub fn forget(&mut self) {
        let counts = std::mem::take(&mut self.counts);
        *self = Self { counts, ..Self::new(self.timing.clone()) };
    }

    /// Starts over, as after any reset, and tells the host why.
    pub fn restart(&mut self, reason: u8) {
        self.forget();
        self.write(&Frame::RstAck { code: reason });
    }

    /// Gives up: every frame but RST is answered with ERROR from now on.
    pub fn fail(&mut self, reason: u8) {
        // What the host acknowledged before stays acknowledged.
        let told = std::mem::take(&mut self.told);
        self.forget();
        self.told = told;
        self.failed = Some(reason);
        self.write(&Frame::Error { code: reason });
    }

    /// Changes the timing from the next frame on.
    pub fn set_timing(&mut self, timing: AshTiming) {
        self.ack_wait = self.ack_wait.clamp(timing.ack_least, timing.ack_most);
        self.timing = timing;
    }

    /// How it is set.
    pub fn timing(&self) -> &AshTiming {
        &self.timing
    }

    /// What was counted.
    pub fn counts(&self) -> &AshCounts {
        &self.counts
    }

    /// How many frames wait for the window.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Takes bytes from the host.
    pub fn hear(&mut self, now: Duration, bytes: &[u8]) {
        for byte in bytes {
            match self.cutter.byte(*byte) {
                None => {}
                Some(Event::Go) => self.stopped = false,
                Some(Event::Stop) => self.stopped = true,
                Some(Event::Frame(frame)) => self.frame(now, frame),
            }
        }
    }

    /// Queues an EZSP frame.
    pub fn send(&mut self, now: Duration, payload: Vec<u8>, callback: bool, ticket: Option<Ticket>) {
        if self.failed.is_none() {
            self.queue.push_back(Outgoing { payload, ticket, callback });
            self.fill(now);
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration) {
        if self.not_ready_until.is_some_and(|until| until <= now) {
            self.not_ready_until = None;
        }
        if self.timer.is_some_and(|due| due <= now) {
            self.timed_out(now);
        }
        self.fill(now);
        if self.ack_due.is_some_and(|due| due <= now) {
            self.ack_due = None;
            self.write(&Frame::Ack { ack: self.next_in, not_ready: false });
        }
    }

    /// When `tick` is wanted next.
    pub fn due(&self) -> Option<Duration> {
        let held = self.queue.front().is_some_and(|frame| frame.callback);
        let hold = self.not_ready_until.filter(|_| held);
        [self.timer, self.ack_due, hold].into_iter().flatten().min()
    }

    /// The next bytes for the line, a frame at a time. Nothing while the host has said XOFF.
    pub fn take_out(&mut self) -> Option<Vec<u8>> {
        if self.stopped { None } else { self.out.pop_front() }
    }

    /// What happened since it was last asked.
    pub fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    fn frame(&mut self, now: Duration, frame: Result<Frame, wire::Bad>) {
        if let Ok(Frame::Rst) = frame {
            self.told.push(Told::Reset);
            return;
        }
        if let Some(code) = self.failed {
            self.write(&Frame::Error { code });
            return;
        }
        match frame {
            Ok(Frame::Data { number, again, ack, payload }) => {
                if self.acked(now, ack) {
                    self.data(now, number, again, payload);
                }
            }
            Ok(Frame::Ack { ack, not_ready }) => {
                self.ready(now, not_ready);
                self.acked(now, ack);
            }
            Ok(Frame::Nak { ack, not_ready }) => {
                self.counts.naks_in += 1;
                self.ready(now, not_ready);
                if self.acked(now, ack) {
                    self.repeat(now);
                }
            }
            // A stick is never told of another stick's reset.
            Ok(Frame::Rst | Frame::RstAck { .. } | Frame::Error { .. }) => self.counts.bad_in += 1,
            Err(_) => {
                self.counts.bad_in += 1;
                self.reject();
            }
        }
    }

    fn data(&mut self, now: Duration, number: u8, again: bool, payload: Vec<u8>) {
        if number == self.next_in {
            self.next_in = (number + 1) & 7;
            self.rejecting = false;
            self.counts.data_in += 1;
            self.ack_due.get_or_insert(now + self.timing.ack_delay);
            self.told.push(Told::Frame(payload));
        } else if again {
            self.counts.doubled_in += 1;
            self.ack_due.get_or_insert(now + self.timing.ack_delay);
        } else {
            self.counts.disordered_in += 1;
            self.reject();
        }
    }

    /// Takes an acknowledgement of all before `ack`; false when it names a frame that was never sent.
    fn acked(&mut self, now: Duration, ack: u8) -> bool {
        let oldest = self.unacked.front().map_or(self.next_out, |frame| frame.number);
        let count = usize::from(ack.wrapping_sub(oldest) & 7);
        if count > self.unacked.len() {
            self.counts.bad_acks += 1;
            return false;
        }
        let mut newest = None;
        for frame in self.unacked.drain(..count) {
            self.told.extend(frame.frame.ticket.map(Told::Acked));
            newest = Some((frame.sent, frame.again));
        }
        if let Some((sent, again)) = newest {
            // The time of a repeated frame says nothing: which of them was meant?
            let wait = self.ack_wait * 7 / 8 + if again { Duration::ZERO } else { now.saturating_sub(sent) / 2 };
            self.ack_wait = wait.clamp(self.timing.ack_least, self.timing.ack_most);
            self.timeouts = 0;
            self.timer = (!self.unacked.is_empty()).then(|| now + self.ack_wait);
            self.fill(now);
        }
        true
    }

    fn ready(&mut self, now: Duration, not_ready: bool) {
        self.not_ready_until = not_ready.then(|| now + self.timing.not_ready);
    }

    fn reject(&mut self) {
        if !self.rejecting {
            self.rejecting = true;
            self.counts.naks_out += 1;
            self.write(&Frame::Nak { ack: self.next_in, not_ready: false });
        }
    }

    fn timed_out(&mut self, now: Duration) {
        self.timer = None;
        if self.unacked.is_empty() {
            return;
        }
        self.timeouts += 1;
        if self.timeouts > self.timing.timeouts_most {
            self.fail(code::ACK_TIMEOUTS);
            return;
        }
        self.ack_wait = (self.ack_wait * 2).clamp(self.timing.ack_least, self.timing.ack_most);
        self.repeat(now);
    }

    /// Everything unacknowledged goes out again, in order.
    fn repeat(&mut self, now: Duration) {
        for at in 0..self.unacked.len() {
            self.unacked[at].again = true;
            self.unacked[at].sent = now;
            self.counts.again_out += 1;
            self.put(at);
        }
        self.timer = (!self.unacked.is_empty()).then(|| now + self.ack_wait);
    }

    fn fill(&mut self, now: Duration) {
        // Numbers have three bits, so not even the fault may have more than seven in the air.
        let window = if self.timing.ignore_window { 7 } else { self.timing.window };
        while self.unacked.len() < window {
            let held = self.not_ready_until.is_some();
            // An answer may pass callbacks that are held back.
            let Some(at) = self.queue.iter().position(|frame| !(held && frame.callback)) else { return };
            let Some(frame) = self.queue.remove(at) else { return };
            self.told.extend(frame.ticket.map(Told::Written));
            self.unacked.push_back(Unacked { number: self.next_out, frame, sent: now, again: false });
            self.next_out = (self.next_out + 1) & 7;
            self.counts.unacked_most = self.counts.unacked_most.max(self.unacked.len());
            self.timer.get_or_insert(now + self.ack_wait);
            self.put(self.unacked.len() - 1);
        }
    }

    fn put(&mut self, at: usize) {
        let Unacked { number, frame, again, .. } = &self.unacked[at];
        let frame = Frame::Data { number: *number, again: *again, ack: self.next_in, payload: frame.payload.clone() };
        self.counts.data_out += 1;
        // It carries the acknowledgement.
        self.ack_due = None;
        self.write(&frame);
    }

    fn write(&mut self, frame: &Frame) {
        self.out.push_back(wire::encode(frame));
    }
}
