//! A CC1101 for a site without hardware: registers, commands, FIFO, receiver and GDO lines behind `embedded-hal`, on time
//! that is handed in. Chips on the air go in, the bytes of the bus come out; faults on request.
//!
//! Written from the data sheet (SWRS061), its errata (SWRZ020) and what was seen on silicon (radio868.md, section 3), and
//! sharing no code with the daemon. It is an honest chip: it counts as a misuse what the data sheet forbids, gives the last
//! byte of an emptied FIFO twice, and reads unsteadily while a byte comes in. It never sends, sleeps or asks a clock.
//!
//! Left out: transmission, Manchester and 32-bit sync words in hardware, wake on radio; a chip set so hears nothing.

pub mod air;
pub mod radio;
mod registers;

use crate::twins::ncp::bytes::Chance;
use air::Burst;
use embedded_hal::digital;
use embedded_hal::spi;
use embedded_hal::spi::Operation;
use radio::LengthWrite;
use radio::Radio;
use registers as reg;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;

/// From SRES, or power, to a running crystal (SWRS061, table 7).
const CRYSTAL_NS: u64 = 150_000;
/// From IDLE to RX with calibration (table 34).
const CALIBRATION_NS: u64 = 799_000;
/// From IDLE to RX without.
const STRAIGHT_NS: u64 = 75_000;
/// From RX to IDLE.
const STOP_NS: u64 = 1_000;
/// For so long behind a byte's arrival RXBYTES reads unsteadily (SWRZ020).
const UNSTEADY_NS: u64 = 2_000;
/// Edges the kernel keeps for whoever reads them: 16 for each of two lines.
const EDGES: usize = 32;

/// Where the state machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No crystal yet: SO stays high.
    Starting,
    /// Waits for a command.
    Idle,
    /// On the way to RX.
    Calibrating,
    /// Receives.
    Rx,
    /// The FIFO ran over.
    Overflow,
}

/// The two lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gdo {
    /// GDO0.
    Gdo0,
    /// GDO2.
    Gdo2,
}

/// Whether it can be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plug {
    /// It can.
    In,
    /// Its select line is off: it goes on receiving, and SO reads as this.
    Deselected(u8),
    /// Its supply is off, and SO reads as this; it starts anew when it is back.
    Unpowered(u8),
}

/// Where it does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stuck {
    /// The synthesizer never locks.
    InCalibration,
    /// SIDLE does nothing.
    InRx,
}

/// What goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// So many transactions are refused by the bus.
    pub bus_refuses: u32,
    /// RXBYTES reads wrong in this share of readings, whenever.
    pub rxbytes_glitch: f64,
    /// Registers that read with these bits wrong.
    pub rotten: BTreeMap<u8, u8>,
    /// Where it does not go on.
    pub stuck: Option<Stuck>,
    /// A wire that is broken: the line reads as this.
    pub wire: Option<(Gdo, bool)>,
}

/// What a header began.
#[derive(Debug, Clone, Copy)]
enum Access {
    Header,
    Register { address: usize, read: bool, burst: bool },
    Status { address: u8 },
    Fifo { read: bool, burst: bool },
    Ignored { burst: bool },
}

#[derive(Debug)]
struct Model {
    now_ns: u64,
    registers: [u8; reg::COUNT],
    state: State,
    change: Option<(u64, State)>,
    radio: Radio,
    plug: Plug,
    faults: Faults,
    chance: Chance,
    levels: [bool; 2],
    edges: VecDeque<(u64, Gdo)>,
    misuses: Vec<&'static str>,
    resets: u32,
    /// What a transaction and a look at a line cost beside their bits: the way into the kernel and back.
    call_ns: u64,
    look_ns: u64,
    /// Eight bits on the bus.
    byte_ns: u64,
}

/// The chip, its bus and its lines; each clone is the same chip.
#[derive(Debug, Clone)]
pub struct Cc1101(Rc<RefCell<Model>>);

impl Cc1101 {
    /// A chip that was just given power, on a bus of 4 MHz.
    pub fn new(seed: u64) -> Self {
        let model = Model {
            now_ns: 0,
            registers: reg::RESET,
            state: State::Starting,
            change: Some((CRYSTAL_NS, State::Idle)),
            radio: Radio::new(seed),
            plug: Plug::In,
            faults: Faults::default(),
            chance: Chance::new(!seed),
            levels: [false; 2],
            edges: VecDeque::new(),
            misuses: Vec::new(),
            resets: 0,
            call_ns: 30_000,
            look_ns: 3_000,
            byte_ns: 2_000,
        };
        Self(Rc::new(RefCell::new(model)))
    }

    /// Its bus.
    pub fn spi(&self) -> Spi {
        Spi(self.clone())
    }

    /// One of its lines.
    pub fn line(&self, gdo: Gdo) -> Line {
        Line(self.clone(), gdo)
    }

    /// The time, in ns.
    pub fn now_ns(&self) -> u64 {
        self.0.borrow().now_ns
    }

    /// Goes on to this time; backwards never.
    pub fn advance(&self, until_ns: u64) {
        let mut model = self.0.borrow_mut();
        model.advance(until_ns, false);
    }

    /// Goes on to this time, or to the first rising edge of a line.
    pub fn advance_to_edge(&self, until_ns: u64) {
        self.0.borrow_mut().advance(until_ns, true);
    }

    /// The rising edges that nobody read yet: when the first of them came. They are read with this.
    pub fn edges(&self) -> Option<u64> {
        let mut model = self.0.borrow_mut();
        let first = model.edges.front().map(|(at, _)| *at);
        model.edges.clear();
        first
    }

    /// Something is sent; its number.
    pub fn hear(&self, burst: Burst) -> usize {
        let mut model = self.0.borrow_mut();
        let id = model.radio.hear(burst);
        model.radio.resync();
        id
    }

    /// Whether the chip found the sync word of what was sent under this number.
    pub fn found(&self, id: usize) -> bool {
        self.0.borrow().radio.synced().contains(&id)
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.0.borrow().state
    }

    /// What the data sheet forbids and the host did.
    pub fn misuses(&self) -> Vec<&'static str> {
        let model = self.0.borrow();
        [&model.misuses[..], &model.radio.misuses[..]].concat()
    }

    /// How often it was reset by command.
    pub fn resets(&self) -> u32 {
        self.0.borrow().resets
    }

    /// Makes things go wrong, or right again.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        let mut model = self.0.borrow_mut();
        change(&mut model.faults);
        model.lines();
    }

    /// What PKTCTRL0 does when it is written in mid-packet.
    pub fn on_length_write(&self, how: LengthWrite) {
        self.0.borrow_mut().radio.length_write = how;
    }

    /// Pulls it out, or puts it back.
    pub fn plug(&self, plug: Plug) {
        self.0.borrow_mut().replug(plug);
    }
}

impl Model {
    fn advance(&mut self, until_ns: u64, to_edge: bool) {
        while !to_edge || self.edges.is_empty() {
            let change = self.change.map(|(at, _)| at);
            let chip = if self.state == State::Rx { self.radio.next_ns(self.now_ns, &self.registers) } else { None };
            let Some(next) = [change, chip].into_iter().flatten().min().filter(|next| *next <= until_ns) else {
                self.now_ns = self.now_ns.max(until_ns);
                return;
            };
            self.now_ns = self.now_ns.max(next);
            if change == Some(next) {
                if let Some((_, state)) = self.change.take() {
                    self.enter(state);
                }
            } else if let Some(state) = self.radio.sample(self.now_ns, &self.registers) {
                self.state = state;
            }
            self.lines();
        }
    }

    fn enter(&mut self, state: State) {
        match (self.state, state) {
            (_, State::Rx) => {
                // The calibration leaves its results in FSCAL3 to FSCAL1.
                self.registers[reg::FSCAL3] = self.registers[reg::FSCAL3] & 0xF0 | 0x09;
                self.registers[reg::FSCAL1] = 0x11;
                self.radio.enter();
            }
            (State::Rx, _) => self.radio.leave(),
            _ => {}
        }
        self.state = state;
    }

    /// Sets the lines' levels, and notes which of them rose.
    fn lines(&mut self) {
        for (at, gdo, config) in [(0, Gdo::Gdo0, reg::IOCFG0), (1, Gdo::Gdo2, reg::IOCFG2)] {
            let level = match (self.faults.wire, self.plug) {
                (Some((broken, level)), _) if broken == gdo => level,
                (_, Plug::Unpowered(_)) => false,
                _ => self.level(self.registers[config]),
            };
            if level && !self.levels[at] {
                self.edges.push_back((self.now_ns, gdo));
                if self.edges.len() > EDGES {
                    self.edges.pop_front();
                }
            }
            self.levels[at] = level;
        }
    }

    /// What a line says (SWRS061, table 41).
    fn level(&self, config: u8) -> bool {
        let full = self.radio.filled() >= 4 * (usize::from(self.registers[reg::FIFOTHR] & 15) + 1);
        let high = match config & 0x3F {
            0x00 => full,
            0x01 => full || (self.radio.filled() > 0 && !self.radio.in_packet()),
            0x04 => self.radio.overflowed(),
            0x06 => self.radio.in_packet(),
            0x0E => self.state == State::Rx && self.radio.carrier(self.now_ns, &self.registers),
            0x29 => self.state == State::Starting,
            _ => false, // 2F is low for ever; clocks and high impedance read as low
        };
        high != (config & 0x40 != 0)
    }

    fn replug(&mut self, plug: Plug) {
        match (self.plug, plug) {
            (Plug::Unpowered(_), Plug::In | Plug::Deselected(_)) => self.reset(),
            (_, Plug::Unpowered(_)) => {
                self.enter(State::Starting);
                self.change = None;
                self.radio.flush();
            }
            _ => {}
        }
        self.plug = plug;
        self.lines();
    }

    fn reset(&mut self) {
        self.registers = reg::RESET;
        self.enter(State::Starting);
        self.change = Some((self.now_ns + CRYSTAL_NS, State::Idle));
        self.radio.flush();
    }

    /// The status byte: ready, state, and how much the FIFO holds, by the direction asked for (table 23).
    fn status_byte(&self, read: bool) -> u8 {
        let state = match self.state {
            State::Starting => return 0xFF,
            State::Idle => 0,
            State::Rx => 1,
            State::Calibrating => 4,
            State::Overflow => 6,
        };
        let bytes = if read { self.radio.filled().min(15) } else { 15 };
        state << 4 | u8::try_from(bytes).unwrap_or(15)
    }

    /// One byte there and back.
    fn exchange(&mut self, access: &mut Access, sent: u8) -> u8 {
        if let Plug::Deselected(level) | Plug::Unpowered(level) = self.plug {
            self.pass(self.byte_ns);
            return level;
        }
        let answer = match *access {
            Access::Header => self.status_byte(sent & 0x80 != 0),
            Access::Register { address, read: true, .. } => self.register(address),
            Access::Status { address } => self.status(address),
            Access::Fifo { read: true, .. } => self.radio.pop(),
            Access::Register { .. } | Access::Fifo { .. } | Access::Ignored { .. } => self.status_byte(false),
        };
        self.lines();
        self.pass(self.byte_ns);
        *access = match *access {
            Access::Header => self.header(sent),
            Access::Register { address, read, burst } => {
                if !read {
                    self.write(address, sent);
                }
                let next = Access::Register { address: address + 1, read, burst };
                if burst { next } else { Access::Header }
            }
            Access::Status { .. } => Access::Header,
            Access::Fifo { burst: true, .. } | Access::Ignored { burst: true } => *access,
            Access::Fifo { .. } | Access::Ignored { .. } => Access::Header,
        };
        self.lines();
        answer
    }

    fn pass(&mut self, ns: u64) {
        self.advance(self.now_ns + ns, false);
    }

    /// What a header begins. From 30 to 3D the burst bit tells a status register from a command (SWRS061, 10.2).
    fn header(&mut self, header: u8) -> Access {
        let (read, burst, address) = (header & 0x80 != 0, header & 0x40 != 0, header & 0x3F);
        match address {
            0x30..=0x3D if burst && read => Access::Status { address },
            0x30..=0x3D if burst => {
                self.misuses.push("a status register was written");
                Access::Ignored { burst: false }
            }
            0x30..=0x3D => {
                self.strobe(address);
                Access::Header
            }
            0x3F => Access::Fifo { read, burst },
            0x3E => Access::Ignored { burst },
            _ => Access::Register { address: usize::from(address), read, burst },
        }
    }

    fn register(&self, address: usize) -> u8 {
        let rotten = u8::try_from(address).ok().and_then(|at| self.faults.rotten.get(&at)).copied().unwrap_or(0);
        self.registers.get(address).copied().unwrap_or(0) ^ rotten
    }

    fn write(&mut self, address: usize, value: u8) {
        if self.state == State::Starting {
            self.misuses.push("a register was written before the crystal ran");
            return;
        }
        if (reg::FREQ2..=reg::FREQ0).contains(&address) && self.state != State::Idle {
            self.misuses.push("the frequency was written outside IDLE");
        }
        let Some(place) = self.registers.get_mut(address) else { return };
        let before = std::mem::replace(place, value);
        self.radio.resync();
        if address == reg::PKTCTRL0
            && let Some(state) = self.radio.length_written(before, value, &self.registers)
        {
            self.state = state;
        }
    }

    fn status(&mut self, address: u8) -> u8 {
        if self.state == State::Starting {
            return 0xFF;
        }
        let listening = self.state == State::Rx;
        match address {
            0x31 => 0x14,
            0x33 => 0x80 | 0x14,
            0x34 => self.radio.rssi(self.now_ns, listening, &self.registers),
            0x35 => match self.state {
                State::Starting => 0x00,
                State::Idle => 0x01,
                State::Calibrating => 0x08,
                State::Rx => 0x0D,
                State::Overflow => 0x11,
            },
            0x38 => {
                let carrier = listening && self.radio.carrier(self.now_ns, &self.registers);
                let bits = [
                    (carrier, 6),
                    (!carrier, 4),
                    (self.radio.in_packet(), 3),
                    (self.levels[1], 2),
                    (self.levels[0], 0),
                ];
                bits.iter().fold(0, |byte, (set, bit)| byte | u8::from(*set) << bit)
            }
            0x3B => self.rxbytes(),
            _ => 0x00,
        }
    }

    /// RXBYTES: while a byte comes in, some of its bits are already the new ones and some still the old.
    fn rxbytes(&mut self) -> u8 {
        let now = u8::try_from(self.radio.filled()).unwrap_or(u8::MAX) | u8::from(self.radio.overflowed()) << 7;
        let mixed = self.chance.draw().to_le_bytes()[0];
        if self.chance.hits(self.faults.rxbytes_glitch) {
            return now ^ mixed;
        }
        match self.radio.last_byte() {
            Some((at, before)) if self.now_ns < at + UNSTEADY_NS => now & mixed | before & !mixed,
            _ => now,
        }
    }

    fn strobe(&mut self, address: u8) {
        if address == 0x30 {
            self.resets += 1;
            return self.reset();
        }
        if self.state == State::Starting {
            return self.misuses.push("a command before the crystal ran");
        }
        // SIDLE clears what comes behind it until IDLE is reached (10.4).
        let stopping = self.change.is_some_and(|(_, to)| to == State::Idle);
        let stuck = self.faults.stuck;
        match (address, self.state) {
            (0x3D, _) => {}
            (_, _) if stopping && address != 0x36 => self.misuses.push("a command before IDLE was reached"),
            (0x36, State::Rx) if stuck == Some(Stuck::InRx) => {}
            (0x36, State::Calibrating) if stuck == Some(Stuck::InCalibration) => {}
            (0x36, State::Rx | State::Calibrating) => self.change = Some((self.now_ns + STOP_NS, State::Idle)),
            (0x34, State::Idle) => {
                let calibrates = self.registers[reg::MCSM0] >> 4 & 3 == 1;
                let lasts = if calibrates { CALIBRATION_NS } else { STRAIGHT_NS };
                self.state = State::Calibrating;
                let goes_on = stuck != Some(Stuck::InCalibration);
                self.change = goes_on.then_some((self.now_ns + lasts, State::Rx));
            }
            (0x3A, State::Idle | State::Overflow) => {
                self.radio.flush();
                self.state = State::Idle;
            }
            (0x3A, _) => self.misuses.push("SFRX outside IDLE and RXFIFO_OVERFLOW"),
            (0x36, State::Idle | State::Overflow) | (0x34, _) => {}
            _ => self.misuses.push("a command that a receiver does not need"),
        }
    }
}

/// The bus refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusRefused;

impl spi::Error for BusRefused {
    fn kind(&self) -> spi::ErrorKind {
        spi::ErrorKind::Other
    }
}

/// The chip's bus.
#[derive(Debug)]
pub struct Spi(Cc1101);

impl spi::ErrorType for Spi {
    type Error = BusRefused;
}

impl spi::SpiDevice for Spi {
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), BusRefused> {
        let mut model = self.0.0.borrow_mut();
        let call_ns = model.call_ns;
        model.pass(call_ns);
        if model.faults.bus_refuses > 0 {
            model.faults.bus_refuses -= 1;
            return Err(BusRefused);
        }
        let mut access = Access::Header;
        for operation in operations {
            match operation {
                Operation::Read(into) => into.iter_mut().for_each(|byte| *byte = model.exchange(&mut access, 0)),
                Operation::Write(from) => {
                    for byte in from.iter() {
                        model.exchange(&mut access, *byte);
                    }
                }
                Operation::Transfer(into, from) => {
                    for at in 0..into.len().max(from.len()) {
                        let answer = model.exchange(&mut access, from.get(at).copied().unwrap_or(0));
                        if let Some(byte) = into.get_mut(at) {
                            *byte = answer;
                        }
                    }
                }
                Operation::TransferInPlace(bytes) => {
                    bytes.iter_mut().for_each(|byte| *byte = model.exchange(&mut access, *byte));
                }
                Operation::DelayNs(ns) => model.pass(u64::from(*ns)),
            }
        }
        Ok(())
    }
}

/// One of the chip's lines.
#[derive(Debug)]
pub struct Line(Cc1101, Gdo);

impl digital::ErrorType for Line {
    type Error = Infallible;
}

impl digital::InputPin for Line {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        let mut model = self.0.0.borrow_mut();
        let look_ns = model.look_ns;
        model.pass(look_ns);
        Ok(model.levels[if self.1 == Gdo::Gdo0 { 0 } else { 1 }])
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        self.is_high().map(|high| !high)
    }
}
