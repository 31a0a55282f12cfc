//! A Zigbee stick for a site without hardware: EZSP over ASH as EmberZNet speaks it, with a mesh of virtual detectors
//! behind it. Bytes from the host go in, bytes for the host come out; time is handed in, chance comes from a seed.
//!
//! It is an honest stick, written from the protocols' documents and from captures of real ones: what real sticks lose
//! at a reset it loses, what they keep it keeps, and a host that forgets to set something gets no more than from
//! hardware. It shares no code with the daemon. It never reads a clock and never does IO; `pty` does that for it.

pub mod agenda;
pub mod air;
pub mod ash;
mod attributes;
pub mod bytes;
pub mod deeds;
pub mod device;
mod ezsp;
pub mod frames;
pub mod function;
pub mod habits;
mod joining;
pub mod keypad;
mod keys;
pub mod line;
pub mod lock;
pub mod lock_table;
mod lock_zcl;
pub mod log;
pub mod memory;
pub mod mesh;
mod network;
pub mod orders;
pub mod pty;
mod radio;
mod shelf;
pub mod siren;
pub mod status;
pub mod switch;
mod tables;
pub mod wire;
pub mod zcl;
pub mod zdo;

use agenda::Agenda;
use air::Air;
use ash::Ash;
use ash::AshTiming;
use ash::Told;
use bytes::Chance;
use bytes::Eui64;
use device::Act;
use device::Device;
use device::Message;
use frames::Outgoing;
use line::Faults;
use line::Line;
use log::Fate;
use log::Log;
use memory::Memory;
use shelf::Ram;
use status::Status;
use std::collections::VecDeque;
use std::time::Duration;

/// The most callbacks that wait for the ASH window. A real stick has some 250 packet buffers for them; what comes then
/// is lost, and the next frame says so with the overflow bit.
pub const CALLBACKS_MOST: usize = 250;

/// How a stick is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// EZSP version: 13, 14, 16, 17, 18 or 19 (older ones may be claimed, to see them refused).
    pub ezsp: u8,
    /// What VERSION and the version structure tell: major, minor, patch, special.
    pub stack: [u8; 4],
    /// The stick's own address.
    pub eui64: Eui64,
    /// Where all chance comes from.
    pub seed: u64,
    /// The ASH link.
    pub timing: AshTiming,
    /// From a reset to its RSTACK.
    pub boot: Duration,
    /// From a command to its answer.
    pub think: Duration,
    /// How long a parent keeps a message for a sleeping child when the host sets nothing else (Zigbee: 7.68 s).
    pub indirect: Duration,
    /// It has no room for a newcomer's key.
    pub keys_full: bool,
}

impl Settings {
    /// The stick with this EZSP version, as its firmware comes.
    pub fn new(ezsp: u8) -> Self {
        let stack = match ezsp {
            ..=12 => [7, 3, 0, 0],
            13 => [7, 4, 4, 0],
            14 | 15 => [8, 0, 2, 0],
            16 => [8, 1, 0, 0],
            17 => [8, 2, 1, 0],
            18 => [8, 2, 2, 0],
            _ => [9, 0, 0, 0],
        };
        Self {
            ezsp,
            stack,
            eui64: Eui64(0x0c2a_6fff_fe12_3456),
            seed: 1,
            timing: AshTiming::default(),
            boot: Duration::from_millis(80),
            think: Duration::ZERO,
            indirect: Duration::from_millis(7680),
            keys_full: false,
        }
    }
}

/// Whether the stick works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    /// It works.
    Well,
    /// It is starting after a reset.
    Booting,
    /// It neither hears nor speaks until its watchdog bites or it is pulled out.
    Hung,
    /// It has no power.
    Off,
}

/// What will happen.
#[derive(Debug)]
enum Duty {
    /// It has started.
    Booted { code: u8 },
    /// An answer is ready.
    Reply(Vec<u8>),
    /// It says something by itself.
    Callback { id: u16, body: Vec<u8> },
    /// Its network changes.
    Status(Status),
    /// It has listened to a channel.
    Measured { channel: u8 },
    /// Joining is over, if this is still the newest permission.
    PermitEnds { round: u32 },
    /// A sleeping child asks for its messages.
    Poll { device: usize },
    /// A message was kept long enough.
    Expire { transit: u64 },
    /// A message reaches a detector.
    Arrive { device: usize, outgoing: Outgoing },
    /// A message's fate is known.
    Sent { outgoing: Outgoing, status: Status },
    /// A detector speaks; the times it tried before, and its message's APS counter.
    Uplink { device: usize, message: Message, notice: Option<usize>, broadcast: bool, tries: (u32, u8) },
    /// A detector does what it had set itself to do.
    Act { device: usize, act: Act },
}

impl Duty {
    /// It is the detectors' and goes on while the stick is reset.
    fn outlives_reset(&self) -> bool {
        matches!(self, Self::Uplink { .. } | Self::Act { .. })
    }
}

/// A message that waits for its child to poll.
#[derive(Debug)]
struct Transit {
    number: u64,
    device: usize,
    outgoing: Outgoing,
}

/// The stick and its mesh.
#[derive(Debug)]
pub struct Ncp {
    settings: Settings,
    memory: Memory,
    ram: Ram,
    ash: Ash,
    line: Line,
    air: Air,
    health: Health,
    agenda: Agenda<Duty>,
    devices: Vec<Device>,
    indirect: VecDeque<Transit>,
    transits: u64,
    log: Log,
    chance: Chance,
    resets: u64,
}

impl Ncp {
    /// A stick out of its box, under power.
    pub fn new(settings: Settings) -> Self {
        let memory = Memory::new(settings.eui64);
        Self::with_memory(settings, memory)
    }

    /// A stick with what it kept.
    pub fn with_memory(settings: Settings, memory: Memory) -> Self {
        let mut chance = Chance::new(settings.seed);
        Self {
            ram: Ram::new(&memory),
            ash: Ash::new(settings.timing.clone()),
            line: Line::new(chance.draw()),
            air: Air::default(),
            health: Health::Well,
            agenda: Agenda::default(),
            devices: Vec::new(),
            indirect: VecDeque::new(),
            transits: 0,
            log: Log::default(),
            chance,
            resets: 0,
            memory,
            settings,
        }
    }

    /// The host wrote these bytes.
    pub fn hear(&mut self, now: Duration, bytes: &[u8]) {
        let (bytes, bites) = self.line.read(bytes);
        if self.health == Health::Well {
            self.ash.hear(now, &bytes);
            self.obey(now);
        }
        if bites {
            self.reset(now, ash::code::WATCHDOG);
        }
        self.tick(now);
    }

    /// Does everything that is due.
    pub fn tick(&mut self, now: Duration) {
        while let Some((at, duty)) = self.agenda.take(now) {
            self.perform(at, duty);
        }
        if self.health == Health::Well {
            self.ash.tick(now);
        }
        self.obey(now);
        while let Some(chunk) = self.ash.take_out() {
            let silent = matches!(self.health, Health::Hung | Health::Off);
            if !silent && self.line.write(now, &chunk) {
                self.reset(now, ash::code::WATCHDOG);
                return;
            }
        }
    }

    /// The next chunk for the host; to be asked until there is none.
    pub fn say(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.line.take(now)
    }

    /// When `tick` or `say` is wanted next.
    pub fn due(&self) -> Option<Duration> {
        let link = self.ash.due().filter(|_| self.health == Health::Well);
        [self.agenda.due(), link, self.line.due()].into_iter().flatten().min()
    }

    /// What the detectors said and what became of it.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Forgets what the detectors said so far.
    pub fn clear_log(&mut self) {
        self.log.clear();
    }

    /// What it keeps without power.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How it is set.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the link counted.
    pub fn ash_counts(&self) -> &ash::AshCounts {
        self.ash.counts()
    }

    /// How often it was reset, the host's wishes included.
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// It is in its network.
    pub fn is_up(&self) -> bool {
        self.ram.up
    }

    /// Joining is allowed at this time.
    pub fn is_open(&self, now: Duration) -> bool {
        self.ram.up && self.ram.permit_until.is_some_and(|until| now < until)
    }

    /// What the line does from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.line.set(faults);
    }

    /// What the line does.
    pub fn faults(&self) -> &Faults {
        self.line.faults()
    }

    /// The link's timing from now on.
    pub fn set_timing(&mut self, timing: AshTiming) {
        self.settings.timing = timing.clone();
        self.ash.set_timing(timing);
    }

    /// It is reset, and tells the host why when it has started: watchdog, assertion, or whatever the code says.
    pub fn reset(&mut self, now: Duration, code: u8) {
        if self.health == Health::Off {
            return;
        }
        self.forget(now);
        self.health = Health::Booting;
        self.agenda.at(now + self.settings.boot, Duty::Booted { code });
    }

    /// Its link gives up with this code; it stays so until the host resets it.
    pub fn fail(&mut self, now: Duration, code: u8) {
        self.ash.fail(code);
        self.tick(now);
    }

    /// It says an EZSP frame that no stick would: to see what the host makes of it.
    pub fn say_raw(&mut self, now: Duration, frame: Vec<u8>) {
        self.ash.send(now, frame, true, None);
        self.tick(now);
    }

    /// It passes on a message that no device of this twin sent.
    pub fn say_incoming(&mut self, now: Duration, incoming: &frames::Incoming<'_>) {
        let body = incoming.body(self.settings.ezsp);
        self.callback(now, frames::id::INCOMING, &body, None);
        self.tick(now);
    }

    /// It stops: nothing is heard, nothing said, the radio is dead.
    pub fn hang(&mut self) {
        self.health = Health::Hung;
    }

    /// It loses its power.
    pub fn power_off(&mut self, now: Duration) {
        self.forget(now);
        self.line.cut();
        self.health = Health::Off;
    }

    /// It gets its power back and starts; nobody had the port open to hear it say so.
    pub fn power_on(&mut self) {
        self.health = Health::Well;
        self.ash.forget();
    }

    fn forget(&mut self, now: Duration) {
        self.resets += 1;
        self.memory.boots += 1;
        self.log.reset(now);
        self.indirect.clear();
        self.agenda.retain(Duty::outlives_reset);
        self.ram = Ram::new(&self.memory);
        self.ash.forget();
    }

    /// Works off what the link has told.
    fn obey(&mut self, now: Duration) {
        for told in self.ash.take_told() {
            match told {
                Told::Frame(frame) => self.command_frame(now, &frame),
                Told::Reset => self.reset(now, ash::code::SOFTWARE),
                Told::Written(ticket) => self.log.fate(ticket, Fate::Written(now)),
                Told::Acked(ticket) => self.log.fate(ticket, Fate::Acked(now)),
            }
        }
    }

    fn perform(&mut self, now: Duration, duty: Duty) {
        match duty {
            Duty::Booted { code } => {
                self.health = Health::Well;
                self.ash.restart(code);
            }
            Duty::Reply(frame) => {
                self.ram.sequence = frame[0];
                self.ash.send(now, frame, false, None);
            }
            Duty::Callback { id, body } => {
                self.callback(now, id, &body, None);
            }
            Duty::Status(status) => self.stack_status(now, status),
            Duty::Measured { channel } => self.measured(now, channel),
            Duty::PermitEnds { round } if round == self.ram.permit_round => {
                self.ram.permit_until = None;
                self.stack_status(now, Status::NetworkClosed);
            }
            Duty::PermitEnds { .. } => {}
            Duty::Poll { device } => self.polled(now, device),
            Duty::Expire { transit } => self.expired(now, transit),
            Duty::Arrive { device, outgoing } => self.arrives(now, device, outgoing),
            Duty::Sent { outgoing, status } => self.tell_sent(now, &outgoing, status),
            Duty::Uplink { device, message, notice, broadcast, tries } => {
                self.uplink(now, device, message, notice, broadcast, tries);
            }
            Duty::Act { device, act } => {
                let doings = self.devices[device].acts(now, act, &mut self.log);
                self.does(now, device, doings);
            }
        }
    }
}

/// Bytes as people read them.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
