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
}

/// Each class with what it is called, and its wildest rate.
const CLASSES: [(Fault, &str, u64); 17] = [
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
];

/// How often each class strikes; 0 is off.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    rates: [u32; CLASSES.len()],
}

impl Faults {
    /// The swarm of one life.
    pub(super) fn swarm(prng: &mut Prng) -> Self {
        let rates = CLASSES.map(|(_, _, most)| if prng.chance(500) { prng.wild(1, most) as u32 } else { 0 });
        Self { rates }
    }

    /// How often this class strikes.
    pub fn rate(&self, fault: Fault) -> u32 {
        CLASSES.iter().position(|(of, ..)| *of == fault).map_or(0, |at| self.rates[at])
    }

    /// The classes that are on.
    pub fn on(&self) -> impl Iterator<Item = Fault> + '_ {
        CLASSES.iter().zip(self.rates).filter(|(_, rate)| *rate > 0).map(|((fault, ..), _)| *fault)
    }

    /// The same without one class.
    pub fn without(&self, fault: Fault) -> Self {
        let mut less = self.clone();
        CLASSES.iter().position(|(of, ..)| *of == fault).into_iter().for_each(|at| less.rates[at] = 0);
        less
    }

    /// The same with one class at this rate.
    pub fn with(&self, fault: Fault, rate: u32) -> Self {
        let mut more = self.clone();
        CLASSES.iter().position(|(of, ..)| *of == fault).into_iter().for_each(|at| more.rates[at] = rate);
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
