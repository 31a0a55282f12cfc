//! Reception with a CC1101, step by step: reset, configuration and its check, frames of any length out of 64 bytes of FIFO,
//! a look at the air ten times a second, and a way back from whatever the chip or its wires do.
//!
//! It never sleeps and asks no clock: each step is given the time, does what is due, and says what it waits for and until
//! when. Every wait has a limit, and a chip that does not get where it was sent is a fault by name. It never transmits, never
//! writes PKTCTRL0 while a packet goes on, and never empties the FIFO before the last byte.
//!
//! Rules and figures: radio868.md, section 3 (FIFO timing); SWRS061, sections 19 (states) and 20 (FIFO).
//!
//! ```text
//!        SRES            registers read back, wires tried
//!  Down ──────▶ Resetting ───────────▶ Stopping ──SFRX, SRX──▶ Starting ──RX──▶ Listening ──sync word──▶ Receiving
//!   ▲                                  ▲  ▲   │ the other band                    │                        │
//!   │ a fault, in any phase            │  │   └───SRX───▶ Visiting ──SIDLE──┐     │ SIDLE, once a second   │
//!                                      │  └─────────────────────────────────┴─────┘                        │
//!                                      └──SIDLE── a frame, noise, no more bytes; SFRX where it ran over ───┘
//! ```

use crate::subghz::cc1101_chip::Chip;
use crate::subghz::cc1101_chip::Fill;
use crate::subghz::cc1101_registers::CHIP_RDYN;
use crate::subghz::cc1101_registers::CS;
use crate::subghz::cc1101_registers::FIFO;
use crate::subghz::cc1101_registers::GDO_FIFO;
use crate::subghz::cc1101_registers::GDO_HIGH;
use crate::subghz::cc1101_registers::GDO_LOW;
use crate::subghz::cc1101_registers::GDO_SYNC;
use crate::subghz::cc1101_registers::LQI_ESTIMATE;
use crate::subghz::cc1101_registers::Mode;
use crate::subghz::cc1101_registers::Register;
use crate::subghz::cc1101_registers::SFD;
use crate::subghz::cc1101_registers::State;
use crate::subghz::cc1101_registers::Status;
use crate::subghz::cc1101_registers::Strobe;
use crate::subghz::cc1101_registers::THRESHOLD_4;
use crate::subghz::cc1101_registers::THRESHOLD_32;
use crate::subghz::cc1101_registers::dbm;
use crate::subghz::cc1101_told::Counters;
use crate::subghz::cc1101_told::Fault;
use crate::subghz::cc1101_told::Gdo;
use crate::subghz::cc1101_told::Notice;
use crate::subghz::cc1101_told::Received;
use crate::subghz::cc1101_told::Sample;
use crate::subghz::cc1101_told::Wait;
use crate::subghz::line::Caught;
use crate::subghz::wmbus_chips::Code;
use crate::subghz::wmbus_chips::whole;
use crate::subghz::wmbus_link::FrameKind;
use crate::subghz::wmbus_link::open;
use embedded_hal::digital::InputPin;
use embedded_hal::spi::SpiDevice;

/// The crystal runs 150 µs after SRES (SWRS061, table 7 and 19.1); time for a slow one.
const CRYSTAL_US: u64 = 1_000;
/// After so long a chip that was reset must answer.
const RESET_LIMIT_US: u64 = 10_000;
/// From IDLE to RX with calibration takes 799 µs (SWRS061, table 34).
const SETTLE_US: u64 = 900;
/// After so long a chip must be where it was sent.
const STATE_LIMIT_US: u64 = 5_000;
/// How often it is asked in between.
const POLL_US: u64 = 250;
/// How often the air is looked at, and whether the chip is still there.
const TICK_US: u64 = 100_000;
/// How often there is a look at the other band, and what was counted is told.
const VISIT_US: u64 = 1_000_000;
/// How long that look takes, calibration included. What begins meanwhile on the own band is lost: 0.5 % of the time, with
/// the way back.
const LOOK_US: u64 = 3_000;
/// A chip that fails once is tried again at once: nobody hears of a single dip.
const RETRY_FIRST_US: u64 = 10_000;
/// Then so often, for ever.
const RETRY_US: u64 = 500_000;
/// So long it must have listened to count as well again: a loose wire would tell faults without end, and a chip that cannot leave RX,
/// which shows at the look at the other band, none at all. Frames are passed on from the first moment.
const WELL_US: u64 = 3 * VISIT_US;
/// A packet of which nothing came for so many bytes' time has ended in some way nobody foresaw.
const STALL_BYTES: u64 = 64;
/// Bytes at which the FIFO calls, at first and once the length is known (FIFOTHR).
const FIRST_BYTES: usize = 4;
const MORE_BYTES: usize = 32;
/// With so many bytes noise has shown itself: a symbol takes at most two.
const NOISE_BYTES: usize = 2 * FIRST_BYTES;
/// What the chip writes itself when it calibrates.
const CALIBRATED: [Register; 3] = [Register::Fscal3, Register::Fscal2, Register::Fscal1];
/// Times the FIFO is read in one step: it fills 50 times slower than it is read.
const READS: usize = 4;
/// Phases gone through in one step.
const PHASES: usize = 16;

/// Where the receiver stands; the picture is above.
#[derive(Debug)]
enum Phase {
    Down { again_us: u64 },
    Resetting { from_us: u64 },
    Stopping { aim: Aim, from_us: u64 },
    Starting { from_us: u64 },
    Listening,
    Receiving(Reception),
    Visiting { until_us: u64 },
}

/// What follows on IDLE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    Listen,
    Visit,
}

/// A packet that is being received.
#[derive(Debug)]
struct Reception {
    began_us: u64,
    /// When bytes last came.
    grew_us: u64,
    /// By when there is something to read, whatever GDO0 says.
    due_us: u64,
    bytes: Vec<u8>,
    whole: Option<usize>,
    rssi_dbm: Option<i16>,
}

/// A phase, and what to wait for in it; nothing where it goes on at once.
type Next = Result<(Phase, Option<Wait>), Fault>;

/// The receiver: a chip, its two lines, and all there is to remember.
#[derive(Debug)]
pub struct Engine<S, A, B> {
    chip: Chip<S>,
    gdo0: A,
    gdo2: B,
    mode: Mode,
    phase: Phase,
    counters: Counters,
    /// When the edge came that led to this step.
    edge_us: Option<u64>,
    tick_us: u64,
    visit_us: u64,
    count_us: u64,
    /// Since when it listens, where it does.
    up_us: Option<u64>,
    /// Faults since it last was well.
    falls: u32,
    /// What was last told: that it is ready, or not; `None` before either.
    ready: Option<bool>,
    /// VERSION, as it was read after the reset.
    version: u8,
    /// Which register is read back next.
    checked: usize,
    told: Vec<Notice>,
}

impl<S: SpiDevice, A: InputPin, B: InputPin> Engine<S, A, B> {
    /// A receiver that has done nothing yet; the first step resets the chip. `gdo0` and `gdo2` are the lines as they are
    /// wired, not inverted.
    pub fn new(spi: S, gdo0: A, gdo2: B, mode: Mode) -> Self {
        Self {
            chip: Chip::new(spi),
            gdo0,
            gdo2,
            mode,
            phase: Phase::Down { again_us: 0 },
            counters: Counters::default(),
            edge_us: None,
            tick_us: 0,
            visit_us: 0,
            count_us: 0,
            up_us: None,
            falls: 0,
            ready: None,
            version: 0,
            checked: 0,
            told: Vec::new(),
        }
    }

    /// Does what is due at `now_us`. `edge_us`: when the first edge came since the last step, on the same clock, if one did.
    pub fn step(&mut self, now_us: u64, edge_us: Option<u64>) -> Wait {
        self.edge_us = edge_us;
        if now_us >= self.count_us {
            self.count_us = now_us + VISIT_US;
            self.told.push(Notice::Counted(self.counters));
        }
        for _ in 0..PHASES {
            let phase = std::mem::replace(&mut self.phase, Phase::Listening);
            let (phase, wait) = self.advance(phase, now_us).unwrap_or_else(|fault| self.fell(now_us, fault));
            self.phase = phase;
            if let Some(wait) = wait {
                return wait;
            }
        }
        later(now_us + POLL_US)
    }

    /// What there is to tell since this was last asked.
    pub fn told(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.told)
    }

    /// How often what happened.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn advance(&mut self, phase: Phase, now: u64) -> Next {
        match phase {
            Phase::Down { again_us } if now < again_us => Ok((phase, Some(later(again_us)))),
            Phase::Down { .. } => {
                self.chip.strobe(Strobe::Sres)?;
                Ok((Phase::Resetting { from_us: now }, Some(later(now + CRYSTAL_US))))
            }
            Phase::Resetting { from_us } => self.resetting(now, from_us),
            Phase::Stopping { aim, from_us } => self.stopping(now, aim, from_us),
            Phase::Starting { from_us } => self.starting(now, from_us),
            Phase::Listening => self.listening(now),
            Phase::Receiving(reception) => self.receiving(now, reception),
            Phase::Visiting { until_us } if now < until_us => Ok((phase, Some(later(until_us)))),
            Phase::Visiting { .. } => self.visited(now),
        }
    }

    fn fell(&mut self, now: u64, fault: Fault) -> (Phase, Option<Wait>) {
        count(&mut self.counters.restarts);
        if matches!(fault, Fault::Spi { .. }) {
            count(&mut self.counters.spi_errors);
        }
        self.up_us = None;
        self.falls = self.falls.saturating_add(1);
        let first = self.falls == 1;
        if !first && self.ready != Some(false) {
            self.ready = Some(false);
            self.told.push(Notice::Fault(fault));
        }
        let again_us = now + if first { RETRY_FIRST_US } else { RETRY_US };
        (Phase::Down { again_us }, Some(later(again_us)))
    }

    fn resetting(&mut self, now: u64, from_us: u64) -> Next {
        if now < from_us + CRYSTAL_US {
            return Ok((Phase::Resetting { from_us }, Some(later(from_us + CRYSTAL_US))));
        }
        let (partnum, version) = self.chip.identity()?;
        let there = is_cc1101(partnum, version);
        if !there || self.chip.strobe(Strobe::Snop)? & CHIP_RDYN != 0 {
            if now < from_us + RESET_LIMIT_US {
                return Ok((Phase::Resetting { from_us }, Some(later(now + CRYSTAL_US))));
            }
            return Err(if there {
                let found = self.chip.state()?;
                Fault::Stuck { wanted: State::Idle, found, after_us: RESET_LIMIT_US }
            } else {
                Fault::Absent { partnum, version }
            });
        }
        self.version = version;
        self.configure()?;
        self.try_wires()?;
        Ok((Phase::Stopping { aim: Aim::Listen, from_us: now }, None))
    }

    /// Writes every register and reads every one back.
    fn configure(&mut self) -> Result<(), Fault> {
        for (register, value) in self.mode.registers() {
            self.chip.write(register, value)?;
        }
        for (register, wrote) in self.mode.registers() {
            self.check_register(register, wrote)?;
        }
        Ok(())
    }

    /// Whether each line follows the chip: a line that is not the chip's would look like a quiet house.
    fn try_wires(&mut self) -> Result<(), Fault> {
        let lines = [(Gdo::Gdo0, Register::Iocfg0, GDO_FIFO), (Gdo::Gdo2, Register::Iocfg2, GDO_SYNC)];
        for (line, register, after) in lines {
            for (value, told) in [(GDO_LOW, false), (GDO_HIGH, true)] {
                self.chip.write(register, value)?;
                if self.is_high(line)? != told {
                    return Err(Fault::Wire { line, told });
                }
            }
            self.chip.write(register, after)?;
        }
        Ok(())
    }

    fn is_high(&mut self, line: Gdo) -> Result<bool, Fault> {
        let level = match line {
            Gdo::Gdo0 => self.gdo0.is_high().map_err(|error| format!("{error:?}")),
            Gdo::Gdo2 => self.gdo2.is_high().map_err(|error| format!("{error:?}")),
        };
        level.map_err(|error| Fault::Line { line, error })
    }

    /// SIDLE first, and nothing else until IDLE is reached: SIDLE clears the commands that wait behind it (SWRS061, 10.4).
    fn stop(&mut self, now: u64, aim: Aim) -> Next {
        self.chip.strobe(Strobe::Sidle)?;
        Ok((Phase::Stopping { aim, from_us: now }, None))
    }

    fn stopping(&mut self, now: u64, aim: Aim, from_us: u64) -> Next {
        let mut found = self.chip.state()?;
        if found == State::RxOverflow {
            self.chip.strobe(Strobe::Sfrx)?;
            found = self.chip.state()?;
        }
        if found != State::Idle {
            self.is_late(now, from_us, State::Idle, found)?;
            self.chip.strobe(Strobe::Sidle)?;
            return Ok((Phase::Stopping { aim, from_us }, Some(later(now + POLL_US))));
        }
        let band = if aim == Aim::Visit { self.mode.other() } else { self.mode };
        for (register, value) in [Register::Freq2, Register::Freq1, Register::Freq0].into_iter().zip(band.frequency()) {
            self.chip.write(register, value)?;
        }
        self.chip.write(Register::Fifothr, THRESHOLD_4)?;
        self.chip.strobe(Strobe::Sfrx)?;
        self.chip.strobe(Strobe::Srx)?;
        Ok(match aim {
            Aim::Visit => (Phase::Visiting { until_us: now + LOOK_US }, Some(later(now + LOOK_US))),
            Aim::Listen => (Phase::Starting { from_us: now }, Some(later(now + SETTLE_US))),
        })
    }

    fn starting(&mut self, now: u64, from_us: u64) -> Next {
        match self.chip.state()? {
            State::Rx => {
                self.up_us.get_or_insert(now);
                self.say_ready(now);
                Ok((Phase::Listening, None))
            }
            // It was in RX already, and nobody came for what it heard.
            State::RxOverflow => self.overflowed(now),
            found => {
                self.is_late(now, from_us, State::Rx, found)?;
                Ok((Phase::Starting { from_us }, Some(later(now + POLL_US))))
            }
        }
    }

    fn is_late(&self, now: u64, from_us: u64, wanted: State, found: State) -> Result<(), Fault> {
        if now < from_us + STATE_LIMIT_US {
            return Ok(());
        }
        Err(Fault::Stuck { wanted, found, after_us: STATE_LIMIT_US })
    }

    /// Ready when it listens for the first time; after a fault, when it has listened for a while.
    fn say_ready(&mut self, now: u64) {
        if self.up_us.is_some_and(|up| now >= up + WELL_US) {
            self.falls = 0;
        }
        if self.falls == 0 && self.ready != Some(true) {
            self.ready = Some(true);
            self.told.push(Notice::Ready { version: self.version });
        }
    }

    fn listening(&mut self, now: u64) -> Next {
        // Who floods the air with sync words must not keep the chip from being looked after.
        if now >= self.tick_us + TICK_US {
            return self.tick(now);
        }
        // GDO0 as well: where the FIFO ran over before anybody looked, GDO2 is low again.
        let sync = self.is_high(Gdo::Gdo2)?;
        let bytes = self.is_high(Gdo::Gdo0)?;
        if bytes && !sync && matches!(self.chip.fill()?, Fill::Bytes(there) if there < FIRST_BYTES) {
            return Err(Fault::Wire { line: Gdo::Gdo0, told: false });
        }
        if sync || bytes {
            count(&mut self.counters.syncs);
            self.note_latency(now);
            let due_us = now + (FIRST_BYTES as u64 + 1) * self.mode.byte_us();
            let began_us = self.edge_us.unwrap_or(now);
            let reception =
                Reception { began_us, grew_us: now, due_us, bytes: Vec::new(), whole: None, rssi_dbm: None };
            return Ok((Phase::Receiving(reception), None));
        }
        if now >= self.visit_us {
            self.visit_us = now + VISIT_US;
            return self.stop(now, Aim::Visit);
        }
        if now >= self.tick_us {
            return self.tick(now);
        }
        Ok((Phase::Listening, Some(Wait { edges: true, until_us: self.tick_us.min(self.visit_us) })))
    }

    /// Whether the chip is there and listens, and what it hears.
    fn tick(&mut self, now: u64) -> Next {
        self.tick_us = now + TICK_US;
        let (partnum, version) = self.chip.identity()?;
        if !is_cc1101(partnum, version) || version != self.version {
            return Err(Fault::Absent { partnum, version });
        }
        match self.chip.state()? {
            State::Rx => {}
            State::RxOverflow => return self.overflowed(now),
            found => return Err(Fault::Fell { found }),
        }
        self.check_registers()?;
        self.say_ready(now);
        self.sample(now, self.mode)?;
        Ok((Phase::Listening, None))
    }

    /// Two registers each time: the sync word, which a reset takes away at once, and the next of all. A supply that dips just
    /// before a look at the other band would else leave a chip in RX that hears nothing.
    fn check_registers(&mut self) -> Result<(), Fault> {
        let sync = |(register, _): &(Register, u8)| *register == Register::Sync1;
        let steady = || self.mode.registers().filter(|(register, _)| !CALIBRATED.contains(register));
        let at = self.checked % steady().count();
        let both = [steady().find(sync), steady().nth(at)];
        self.checked = at + 1;
        for (register, wrote) in both.into_iter().flatten() {
            self.check_register(register, wrote)?;
        }
        Ok(())
    }

    fn check_register(&mut self, register: Register, wrote: u8) -> Result<(), Fault> {
        let read = self.chip.read(register)?;
        if read == wrote {
            return Ok(());
        }
        Err(Fault::ReadBack { register: format!("{register:?}").to_uppercase(), wrote, read })
    }

    fn sample(&mut self, now: u64, band: Mode) -> Result<(), Fault> {
        let rssi_dbm = dbm(self.chip.glance(Status::Rssi)?);
        let status = self.chip.glance(Status::Pktstatus)?;
        if status & SFD == 0 {
            self.told.push(Notice::Sample(Sample { band, rssi_dbm, carrier: status & CS != 0, at_us: now }));
        }
        Ok(())
    }

    fn visited(&mut self, now: u64) -> Next {
        // A chip that is elsewhere says so on the way back.
        if self.chip.state()? == State::Rx {
            self.sample(now, self.mode.other())?;
        }
        self.stop(now, Aim::Listen)
    }

    fn overflowed(&mut self, now: u64) -> Next {
        count(&mut self.counters.overflows);
        self.chip.strobe(Strobe::Sfrx)?;
        self.stop(now, Aim::Listen)
    }

    fn receiving(&mut self, now: u64, mut packet: Reception) -> Next {
        let byte_us = self.mode.byte_us();
        if self.is_high(Gdo::Gdo0)? {
            self.note_latency(now);
        } else if now < packet.due_us {
            let wait = Wait { edges: true, until_us: packet.due_us };
            return Ok((Phase::Receiving(packet), Some(wait)));
        }
        for _ in 0..READS {
            let there = match self.chip.fill()? {
                Fill::Bytes(there) => there,
                Fill::Overflow => return self.overflowed(now),
                Fill::Unstable => {
                    count(&mut self.counters.unstable);
                    0
                }
            };
            self.drain(now, there, &mut packet)?;
            match whole(self.code(), &packet.bytes) {
                Ok(whole) => packet.whole = whole,
                Err(_) => {
                    let early = packet.bytes.len() <= NOISE_BYTES;
                    count(if early { &mut self.counters.noise } else { &mut self.counters.broken });
                    return self.stop(now, Aim::Listen);
                }
            }
            if packet.whole.is_some_and(|whole| packet.bytes.len() >= whole) {
                self.finish(packet)?;
                return self.stop(now, Aim::Listen);
            }
            if !self.is_high(Gdo::Gdo0)? {
                break;
            }
        }
        if now >= packet.grew_us + STALL_BYTES * byte_us {
            return self.stalled(now, &packet);
        }
        // One more than is missing: one always stays in the FIFO.
        let missing = packet.whole.map_or(FIRST_BYTES, |whole| whole - packet.bytes.len()).min(MORE_BYTES);
        packet.due_us = now + (missing as u64 + 1) * byte_us;
        let wait = Wait { edges: true, until_us: packet.due_us };
        Ok((Phase::Receiving(packet), Some(wait)))
    }

    /// Behind a sync word a byte comes each moment, from a sender or from noise: where none comes, there was no sync word.
    fn stalled(&mut self, now: u64, packet: &Reception) -> Next {
        count(&mut self.counters.stalled);
        match self.chip.state()? {
            State::RxOverflow => self.overflowed(now),
            State::Rx if packet.bytes.is_empty() => Err(Fault::Wire { line: Gdo::Gdo2, told: false }),
            State::Rx => self.stop(now, Aim::Listen),
            found => Err(Fault::Fell { found }),
        }
    }

    /// Takes all but the last of `there` bytes, with what is to be done at the first of them.
    fn drain(&mut self, now: u64, there: usize, packet: &mut Reception) -> Result<(), Fault> {
        if there < 2 {
            return Ok(());
        }
        let first = packet.bytes.is_empty();
        let rssi_dbm = if first { Some(dbm(self.chip.glance(Status::Rssi)?)) } else { None };
        self.chip.take(there - 1, &mut packet.bytes)?;
        packet.grew_us = now;
        if first {
            self.chip.write(Register::Fifothr, THRESHOLD_32)?;
            // Where all of it was there already, its sender had gone when the strength was read.
            let gone = matches!(whole(self.code(), &packet.bytes), Ok(Some(whole)) if whole <= there);
            packet.rssi_dbm = rssi_dbm.filter(|_| !gone);
        }
        Ok(())
    }

    fn finish(&mut self, packet: Reception) -> Result<(), Fault> {
        let Reception { began_us, mut bytes, whole, rssi_dbm, .. } = packet;
        bytes.truncate(whole.unwrap_or_default());
        let took_us = bytes.len() as u64 * self.mode.byte_us();
        self.counters.receiving_us = self.counters.receiving_us.saturating_add(took_us);
        let kind = match self.mode {
            Mode::T => FrameKind::Fifo,
            Mode::S => FrameKind::FifoS1,
        };
        count(if open(kind, &bytes).is_ok() { &mut self.counters.valid } else { &mut self.counters.bad_frames });
        let lqi = self.chip.glance(Status::Lqi)? & LQI_ESTIMATE;
        let caught = Caught { kind, bytes, rssi_dbm, vouched: false };
        self.told.push(Notice::Frame(Received { caught, lqi, at_us: began_us }));
        Ok(())
    }

    fn code(&self) -> Code {
        match self.mode {
            Mode::T => Code::T,
            Mode::S => Code::S,
        }
    }

    fn note_latency(&mut self, now: u64) {
        let Some(edge_us) = self.edge_us.take() else { return };
        let latency = now.saturating_sub(edge_us);
        self.counters.latency_max_us = self.counters.latency_max_us.max(latency);
        if latency > (FIFO - MORE_BYTES) as u64 * self.mode.byte_us() {
            count(&mut self.counters.late);
        }
    }
}

fn is_cc1101(partnum: u8, version: u8) -> bool {
    partnum == 0 && !matches!(version, 0x00 | 0xFF)
}

fn later(until_us: u64) -> Wait {
    Wait { edges: false, until_us }
}

fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
