//! What will happen in a world, as it follows from what has, in order of time and then of when it was put there.

use super::net::Down;
use super::net::Packet;
use super::voice::Wire;
use vakt_core::device::Report;
use vakt_core::event::Act;
use vakt_core::event::Class;
use vakt_core::event::EventId;
use vakt_core::warrant::Warrant;
use vaktd::upstream::outbox::ConnId;

/// A detector's word on the air.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub n: usize,
    pub number: u64,
    pub report: Box<Report>,
    pub tries: u32,
}

/// What will happen, as it follows from what has.
#[derive(Debug)]
pub(super) enum Item {
    ChecksIn(usize, bool),
    Says(Word),
    Acted(EventId, Act, Option<String>),
    Starts,
    /// The power is back; where the wall clock starts, and when it is set right.
    PowerBack(i64, u64),
    FindsTime(u32),
    DiskHeals(u64),
    Clears(usize, u64),
    /// The kernel rings about a path's interface.
    Rings(usize),
    AtBroker {
        path: usize,
        conn: ConnId,
        packet: Box<Packet>,
    },
    AtHub {
        path: usize,
        conn: ConnId,
        down: Box<Down>,
    },
    AtCentre {
        class: Class,
        wire: Wire,
    },
    Signs,
    Operator(EventId),
    Order(Box<Warrant>),
}

pub(super) struct Due {
    pub at: u64,
    pub n: u64,
    pub item: Item,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.n) == (other.at, other.n)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.n).cmp(&(other.at, other.n))
    }
}
