//! The serial line between stick and host, and what can go wrong on it: slow, late, lossy, noisy, cut.
//!
//! Every piece of bad luck comes from the seed. It knows nothing of frames but their flag.

use super::bytes::Chance;
use super::wire::FLAG;
use std::collections::VecDeque;
use std::time::Duration;

/// What one direction does to the bytes; probabilities from 0 to 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Noise {
    /// A whole frame, flag included, vanishes.
    pub lose_frame: f64,
    /// A byte vanishes.
    pub drop: f64,
    /// A bit of a byte is turned.
    pub flip: f64,
    /// A byte comes twice.
    pub double: f64,
}

/// What the line does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// What the host hears.
    pub to_host: Noise,
    /// What the stick hears.
    pub to_stick: Noise,
    /// Each byte is written by itself.
    pub byte_at_a_time: bool,
    /// What the stick says comes so much later, acknowledgements too.
    pub late: Duration,
    /// The line's speed, bits per second with ten bits to a byte; as fast as it goes when not given.
    pub baud: Option<u32>,
    /// The stick's watchdog bites after it has written this many bytes more.
    pub reset_after_written: Option<u64>,
    /// The stick's watchdog bites after it has read this many bytes more.
    pub reset_after_read: Option<u64>,
}

/// The line.
#[derive(Debug)]
pub struct Line {
    faults: Faults,
    chance: Chance,
    /// Chunks and when they are at the host.
    out: VecDeque<(Duration, Vec<u8>)>,
    /// When the last byte before is through.
    busy_until: Duration,
    losing_out: Option<bool>,
    losing_in: Option<bool>,
    written: u64,
    read: u64,
}

/// What a direction lets through of a byte, with the frame's fate kept in `losing`.
fn pass(noise: &Noise, chance: &mut Chance, losing: &mut Option<bool>, byte: u8, through: &mut Vec<u8>) {
    let lost = *losing.get_or_insert_with(|| chance.hits(noise.lose_frame));
    if byte == FLAG {
        *losing = None;
    }
    if lost || chance.hits(noise.drop) {
        return;
    }
    let byte = if chance.hits(noise.flip) { byte ^ 1 << (chance.draw() & 7) } else { byte };
    through.push(byte);
    if chance.hits(noise.double) {
        through.push(byte);
    }
}

impl Line {
    /// A good line.
    pub fn new(seed: u64) -> Self {
        Self {
            faults: Faults::default(),
            chance: Chance::new(seed),
            out: VecDeque::new(),
            busy_until: Duration::ZERO,
            losing_out: None,
            losing_in: None,
            written: 0,
            read: 0,
        }
    }

    /// From now on it is like this; the limits for resets count from here.
    pub fn set(&mut self, faults: Faults) {
        self.faults = faults;
        (self.written, self.read) = (0, 0);
    }

    /// How it is.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Forgets what is on its way: it was pulled out.
    pub fn cut(&mut self) {
        self.out.clear();
        self.busy_until = Duration::ZERO;
    }

    /// The stick writes. True when that was the write at which its watchdog bites.
    pub fn write(&mut self, now: Duration, bytes: &[u8]) -> bool {
        let mut bites = false;
        let mut taken = bytes;
        if let Some(limit) = self.faults.reset_after_written {
            let left = usize::try_from(limit.saturating_sub(self.written)).unwrap_or(usize::MAX);
            if bytes.len() >= left {
                taken = &bytes[..left];
                bites = true;
                self.faults.reset_after_written = None;
            }
        }
        self.written += u64::try_from(taken.len()).unwrap_or(u64::MAX);
        let mut through = Vec::with_capacity(taken.len());
        for byte in taken {
            pass(&self.faults.to_host, &mut self.chance, &mut self.losing_out, *byte, &mut through);
        }
        let chunk = if self.faults.byte_at_a_time { 1 } else { through.len().max(1) };
        for chunk in through.chunks(chunk) {
            let bits = u64::try_from(chunk.len() * 10).unwrap_or(u64::MAX);
            let takes = self.faults.baud.map_or(0, |baud| bits * 1_000_000_000 / u64::from(baud.max(1)));
            self.busy_until = self.busy_until.max(now + self.faults.late) + Duration::from_nanos(takes);
            self.out.push_back((self.busy_until, chunk.to_vec()));
        }
        bites
    }

    /// The host wrote `bytes`: what of it the stick hears, and whether its watchdog bites behind that.
    pub fn read(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut through = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.read += 1;
            pass(&self.faults.to_stick, &mut self.chance, &mut self.losing_in, *byte, &mut through);
            if self.faults.reset_after_read.is_some_and(|limit| self.read >= limit) {
                self.faults.reset_after_read = None;
                return (through, true);
            }
        }
        (through, false)
    }

    /// The next chunk that has reached the host.
    pub fn take(&mut self, now: Duration) -> Option<Vec<u8>> {
        let ready = self.out.front().is_some_and(|(at, _)| *at <= now);
        ready.then(|| self.out.pop_front()).flatten().map(|(_, chunk)| chunk)
    }

    /// When the next chunk reaches the host.
    pub fn due(&self) -> Option<Duration> {
        self.out.front().map(|(at, _)| *at)
    }
}
