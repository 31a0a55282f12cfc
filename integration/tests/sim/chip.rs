//! The daemon's receiver on the chip's twin, in simulated time; the host comes as late as it is told to.

use vakt_integration::twins::cc1101::Cc1101;
use vakt_integration::twins::cc1101::Gdo;
use vakt_integration::twins::cc1101::Line;
use vakt_integration::twins::cc1101::Spi;
use vaktd::subghz::cc1101::Engine;
use vaktd::subghz::cc1101_registers::Mode;
use vaktd::subghz::cc1101_told::Counters;
use vaktd::subghz::cc1101_told::Fault;
use vaktd::subghz::cc1101_told::Notice;
use vaktd::subghz::cc1101_told::Received;
use vaktd::subghz::cc1101_told::Sample;

/// Longest that a step may say it waits: samples and checks come ten times a second, a lost chip is tried twice.
const LONGEST_US: u64 = 500_000;

pub struct Bench {
    pub chip: Cc1101,
    engine: Engine<Spi, Line, Line>,
    /// How late the host comes, in ns, each time it is woken.
    late_ns: Box<dyn FnMut() -> u64>,
    pub frames: Vec<Received>,
    pub samples: Vec<Sample>,
    pub faults: Vec<Fault>,
    pub ready: Vec<u8>,
    pub steps: u64,
    until_ns: u64,
}

impl Bench {
    pub fn new(seed: u64, mode: Mode) -> Self {
        let chip = Cc1101::new(seed);
        let engine = Engine::new(chip.spi(), chip.line(Gdo::Gdo0), chip.line(Gdo::Gdo2), mode);
        Self {
            chip,
            engine,
            late_ns: Box::new(|| 0),
            frames: Vec::new(),
            samples: Vec::new(),
            faults: Vec::new(),
            ready: Vec::new(),
            steps: 0,
            until_ns: 0,
        }
    }

    /// One that listens already.
    pub fn listening(seed: u64, mode: Mode) -> Self {
        let mut bench = Self::new(seed, mode);
        bench.run_ms(20);
        assert_eq!(bench.ready, [0x14], "it is ready within 20 ms");
        bench
    }

    pub fn late(&mut self, late_ns: impl FnMut() -> u64 + 'static) {
        self.late_ns = Box::new(late_ns);
    }

    pub fn now_ns(&self) -> u64 {
        self.chip.now_ns()
    }

    pub fn counters(&self) -> Counters {
        *self.engine.counters()
    }

    pub fn run_ms(&mut self, ms: u64) {
        self.run_until(self.now_ns() + ms * 1_000_000);
    }

    pub fn run_until(&mut self, end_ns: u64) {
        while self.until_ns.max(self.now_ns()) < end_ns {
            let edge = self.chip.edges();
            let wait = self.engine.step(self.now_ns() / 1_000, edge.map(|at| at / 1_000));
            self.steps += 1;
            let now_us = self.now_ns() / 1_000;
            assert!(wait.until_us <= now_us + LONGEST_US, "a wait of {} µs", wait.until_us - now_us);
            for told in self.engine.told() {
                match told {
                    Notice::Ready { version } => self.ready.push(version),
                    Notice::Frame(frame) => self.frames.push(frame),
                    Notice::Sample(sample) => self.samples.push(sample),
                    Notice::Fault(fault) => self.faults.push(fault),
                    Notice::Counted(_) => {}
                }
            }
            // Rounded up, as a timer never rings early.
            let until_ns = wait.until_us * 1_000 + 999;
            if wait.edges {
                self.chip.advance_to_edge(until_ns.min(end_ns));
            } else {
                self.chip.advance(until_ns.min(end_ns));
            }
            self.chip.advance(self.now_ns() + (self.late_ns)());
        }
    }
}
