//! What may go wrong in one life, drawn at its start as a swarm: each class is off or wild, so that some lives meet one
//! thing only and meet it often. The plan is printed with the seed.

use super::prng::Prng;
use std::fmt;

/// The classes of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A word of a detector is lost on the air; of a thousand.
    RadioLoss,
    /// A detector falls silent for hours; in ten days.
    Mute,
    /// The process is killed, between any two verbs of the turn; in ten days.
    Kill,
    /// The board loses its power, and the log of the journal is torn; in ten days.
    Power,
    /// A start of the board finds no time source for hours; of a thousand.
    NoClock,
    /// The wall clock is set, to something wrong or right again; in ten days.
    ClockStep,
    /// The disk is busy, full, failing or slow; in ten days.
    Disk,
    /// A path to the centre is cut, swallows everything, is half open or slow; in ten days, each.
    Link,
    /// The broker confirms a publish late, or not before the hub gives up; of a thousand.
    AckLate,
    /// It confirms twice; of a thousand.
    AckTwice,
    /// It never does; of a thousand.
    AckNever,
    /// It confirms what it then forgets; of a thousand.
    Forgets,
    /// The centre is away; in ten days.
    CentreAway,
    /// The centre's receipt gets lost; of a thousand.
    ReceiptLost,
    /// A device confirms an act late; of a thousand.
    ActLate,
    /// It never does; of a thousand.
    ActNever,
    /// A warrant is bent: stale, foreign, played again, by the wrong key; of a thousand.
    Forged,
    /// A path's cable is out, its address gone or its interface missing, and the kernel says so; in ten days, each.
    Cable,
    /// The kernel says that late, or not at all, or nothing ever in a whole run; of a thousand.
    KernelLate,
    /// Both paths are gone for an hour, or a night; in ten days.
    Blackout,
    /// A path's cable is in and out every three seconds for minutes; in ten days.
    Flap,
    /// What the hub says does not arrive, what is said to it does; in ten days, each.
    Unheard,
    /// The broker is slow with each answer; in ten days, each.
    BrokerSlow,
    /// The broker starts anew and knows no session any more; in ten days.
    BrokerRestarts,
    /// The broker refuses a connection, a subscription or events; in ten days, each.
    BrokerRefuses,
}

/// Each class with what it is called, and its wildest rate.
const CLASSES: [(Fault, &str, u64); 25] = [
    (Fault::RadioLoss, "radio-loss", 700),
    (Fault::Mute, "mute", 60),
    (Fault::Kill, "kill", 60),
    (Fault::Power, "power", 20),
    (Fault::NoClock, "no-clock", 1000),
    (Fault::ClockStep, "clock-step", 60),
    (Fault::Disk, "disk", 30),
    (Fault::Link, "link", 100),
    (Fault::AckLate, "ack-late", 300),
    (Fault::AckTwice, "ack-twice", 20),
    (Fault::AckNever, "ack-never", 30),
    (Fault::Forgets, "forgets", 300),
    (Fault::CentreAway, "centre-away", 60),
    (Fault::ReceiptLost, "receipt-lost", 500),
    (Fault::ActLate, "act-late", 500),
    (Fault::ActNever, "act-never", 500),
    (Fault::Forged, "forged", 600),
    (Fault::Cable, "cable", 60),
    (Fault::KernelLate, "kernel-late", 500),
    (Fault::Blackout, "blackout", 4),
    (Fault::Flap, "flap", 6),
    (Fault::Unheard, "unheard", 30),
    (Fault::BrokerSlow, "broker-slow", 30),
    (Fault::BrokerRestarts, "broker-restarts", 30),
    (Fault::BrokerRefuses, "broker-refuses", 20),
];
/// The first of these are drawn from the life's own stream. Those that came later have one of their own, so that a seed
/// still meets what it met before.
const FIRST: usize = 17;

fn place(fault: Fault) -> Option<usize> {
    CLASSES.iter().position(|(of, ..)| *of == fault)
}

/// How often each class has struck.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Struck {
    times: [u64; CLASSES.len()],
}

impl Struck {
    pub(super) fn by(&mut self, fault: Fault) {
        place(fault).into_iter().for_each(|at| self.times[at] += 1);
    }

    /// Those of another life come to it.
    pub fn add(&mut self, other: &Self) {
        self.times.iter_mut().zip(other.times).for_each(|(times, more)| *times += more);
    }

    /// How often this class has.
    pub fn times(&self, fault: Fault) -> u64 {
        place(fault).map_or(0, |at| self.times[at])
    }

    /// Each class by its name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        CLASSES.iter().zip(self.times).map(|((_, name, _), times)| (*name, times))
    }
}

/// How often each class strikes; 0 is off.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    rates: [u32; CLASSES.len()],
}

impl Faults {
    /// The swarm of one life.
    pub(super) fn swarm(prng: &mut Prng) -> Self {
        let mut own = prng.apart(3);
        let mut rates = [0; CLASSES.len()];
        for (at, (_, _, most)) in CLASSES.iter().enumerate() {
            let (prng, chance) = if at < FIRST { (&mut *prng, 500) } else { (&mut own, 300) };
            rates[at] = if prng.chance(chance) { prng.wild(1, *most) as u32 } else { 0 };
        }
        Self { rates }
    }

    /// How often this class strikes.
    pub fn rate(&self, fault: Fault) -> u32 {
        place(fault).map_or(0, |at| self.rates[at])
    }

    /// The classes that are on.
    pub fn on(&self) -> impl Iterator<Item = Fault> + '_ {
        CLASSES.iter().zip(self.rates).filter(|(_, rate)| *rate > 0).map(|((fault, ..), _)| *fault)
    }

    /// The same without one class.
    pub fn without(&self, fault: Fault) -> Self {
        let mut less = self.clone();
        place(fault).into_iter().for_each(|at| less.rates[at] = 0);
        less
    }

    /// The same with one class at this rate.
    pub fn with(&self, fault: Fault, rate: u32) -> Self {
        let mut more = self.clone();
        place(fault).into_iter().for_each(|at| more.rates[at] = rate);
        more
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = false;
        for ((_, name, _), rate) in CLASSES.iter().zip(self.rates).filter(|(_, rate)| *rate > 0) {
            write!(f, "{}{name}={rate}", if said { " " } else { "" })?;
            said = true;
        }
        if said { Ok(()) } else { f.write_str("nothing goes wrong") }
    }
}
