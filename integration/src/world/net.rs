//! Two paths to the broker, and the broker: what is said arrives later, in order within a connection, or not at all.
//!
//! A path is well, cut, half open, slow, or a hole that swallows everything and says nothing. The broker confirms late,
//! twice or never, and sometimes forgets what it has confirmed.

use super::Item;
use super::World;
use super::faults::Fault;
use super::story::LinkFault;
use super::story::SECOND;
use super::voice::PATHS;
use super::voice::Wire;
use vakt_core::event::Class;
use vakt_core::warrant::Warrant;
use vaktd::upstream::outbox::ConnId;
use vaktd::upstream::receipt::Claim;

/// What the hub says on a connection.
#[derive(Debug, Clone)]
pub(super) enum Packet {
    Event {
        id: u16,
        class: Class,
        wire: Wire,
    },
    /// A beat with its counter, or a birth or state.
    Other {
        id: u16,
        counter: Option<u64>,
    },
}

/// What it hears.
#[derive(Debug, Clone)]
pub(super) enum Down {
    Dialed(bool),
    Puback(u16),
    Echo { counter: u64 },
    Receipt(Box<Claim>),
    Order(Box<Warrant>),
    Ended,
}

/// One path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub weather: Option<(LinkFault, u64)>,
    delay_ms: u64,
    /// When the last thing said will have arrived, up and down: nothing overtakes.
    last_up: u64,
    last_down: u64,
    /// The connection as the broker sees it.
    pub conn: Option<ConnId>,
}

impl Link {
    pub(super) fn new(delay_ms: u64) -> Self {
        Self { weather: None, delay_ms, last_up: 0, last_down: 0, conn: None }
    }

    fn takes_ms(&self) -> u64 {
        match self.weather {
            Some((LinkFault::Slow(ms), _)) => ms,
            _ => self.delay_ms,
        }
    }

    /// Until when nothing passes upwards, or downwards.
    fn shut_until(&self, up: bool) -> Option<u64> {
        match self.weather? {
            (LinkFault::Cut | LinkFault::Hole, until) => Some(until),
            (LinkFault::HalfOpen, until) if !up => Some(until),
            _ => None,
        }
    }
}

impl World {
    pub(super) fn dials(&mut self, at: usize, conn: ConnId) {
        let link = &self.links[at];
        let shut = link.shut_until(true).or(link.shut_until(false)).is_some();
        let cut = matches!(link.weather, Some((LinkFault::Cut, _)));
        let takes = if cut { 50 } else { 3 * link.takes_ms() + 20 };
        // Whoever dials gives up after ten seconds.
        let (ok, takes) =
            (!shut && takes < 10 * SECOND, if shut && !cut { 10 * SECOND } else { takes.min(10 * SECOND) });
        self.links[at].conn = if ok { Some(conn) } else { None };
        // A new connection's bytes wait behind nobody's.
        (self.links[at].last_up, self.links[at].last_down) = (0, 0);
        self.after(self.now + takes, Item::AtHub { path: at, conn, down: Box::new(Down::Dialed(ok)) });
    }

    /// The hub says something; it arrives, unless it is among what a dying connection loses.
    pub(super) fn goes_up(&mut self, at: usize, conn: ConnId, packet: Packet) {
        let late = self.prng.below(5);
        let link = &mut self.links[at];
        let arrives = (self.now + link.takes_ms() + late).max(link.last_up);
        link.last_up = arrives;
        self.after(arrives, Item::AtBroker { path: at, conn, packet: Box::new(packet) });
    }

    pub(super) fn goes_down(&mut self, at: usize, conn: ConnId, from: u64, down: Down) {
        let late = self.prng.below(5);
        let link = &mut self.links[at];
        let arrives = (from + link.takes_ms() + late).max(link.last_down);
        link.last_down = arrives;
        self.after(arrives, Item::AtHub { path: at, conn, down: Box::new(down) });
    }

    /// What the hub said has come to the broker, if the path lets it through.
    pub(super) fn at_broker(&mut self, at: usize, conn: ConnId, packet: Packet) {
        if let Some(until) = self.links[at].shut_until(true) {
            return self.after(until.max(self.now + 1), Item::AtBroker { path: at, conn, packet: Box::new(packet) });
        }
        let gone = self.hub.as_ref().is_none_or(|hub| !hub.voice.is_connected(conn));
        if self.lost_tail == Some(conn) || gone && self.prng.chance(300) {
            // It lay in a buffer of the side that is gone, and so did all that came after it.
            self.lost_tail = Some(conn);
            return;
        }
        let (id, beat) = match packet {
            Packet::Event { id, class, wire } => {
                if self.prng.chance(self.faults().rate(Fault::Forgets)) {
                    self.forgotten += 1;
                } else {
                    // One subscription, one order.
                    self.last_at_centre = (self.now + self.prng.within(1, 30)).max(self.last_at_centre);
                    self.after(self.last_at_centre, Item::AtCentre { class, wire });
                }
                (id, None)
            }
            Packet::Other { id, counter } => (id, counter),
        };
        if let Some(counter) = beat.filter(|_| !self.centre.is_away(self.now)) {
            self.goes_down(at, conn, self.now + 20, Down::Echo { counter });
        }
        if self.prng.chance(self.faults().rate(Fault::AckNever)) {
            return;
        }
        let late = if self.prng.chance(self.faults().rate(Fault::AckLate)) { self.prng.wild(100, 15_000) } else { 1 };
        self.goes_down(at, conn, self.now + late, Down::Puback(id));
        if self.prng.chance(self.faults().rate(Fault::AckTwice)) {
            self.goes_down(at, conn, self.now + late, Down::Puback(id));
        }
    }

    /// Something comes to the hub, if the path lets it through.
    pub(super) fn at_hub(&mut self, at: usize, conn: ConnId, down: Down) -> super::checks::Held {
        let dialed = matches!(down, Down::Dialed(_) | Down::Ended);
        if let Some(until) = self.links[at].shut_until(false).filter(|_| !dialed) {
            self.after(until.max(self.now + 1), Item::AtHub { path: at, conn, down: Box::new(down) });
            return Ok(());
        }
        self.hears(at, conn, down)
    }

    pub(super) fn weather(&mut self, at: usize, fault: LinkFault, for_ms: u64) {
        let until = self.now + for_ms;
        self.trace.note(self.now, PATHS[at], format_args!("{fault:?} for {} s", for_ms / SECOND));
        self.links[at].weather = Some((fault, until));
        if fault == LinkFault::Cut
            && let Some(conn) = self.links[at].conn.take()
        {
            self.after(self.now + 10, Item::AtHub { path: at, conn, down: Box::new(Down::Ended) });
        }
        self.after(until, Item::Clears(at, until));
    }

    pub(super) fn clears(&mut self, at: usize, until: u64) {
        if self.links[at].weather.is_some_and(|(_, of)| of == until) {
            self.links[at].weather = None;
            self.trace.note(self.now, PATHS[at], format_args!("is well"));
        }
    }
}
