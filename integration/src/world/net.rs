//! Two paths to the broker, and the broker: what is said arrives later, in order within a connection, or not at all.
//!
//! A path is well, cut, half open either way, slow, unplugged, or a hole that swallows everything and says nothing. The
//! broker confirms late, twice or never, refuses, starts anew, and sometimes forgets what it has confirmed.

use super::Item;
use super::World;
use super::faults::Fault;
use super::story::Cable;
use super::story::FLAP_MS;
use super::story::HOUR;
use super::story::LinkFault;
use super::story::Refusal;
use super::story::SECOND;
use super::voice::DEVICES;
use super::voice::PATHS;
use super::voice::Wire;
use vakt_core::event::Class;
use vakt_core::port::LinkState;
use vakt_core::port::Links;
use vakt_core::warrant::Warrant;
use vaktd::upstream::outbox::ConnId;
use vaktd::upstream::receipt::Claim;
use vaktd::upstream::verdict::Reason;

/// Whoever dials gives up after so long.
const GIVES_UP_MS: u64 = 10 * SECOND;
/// MQTT 5, 3.4.2.1.
const NOT_AUTHORIZED: u8 = 0x87;

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
    /// None: the broker took the hub in.
    Dialed(Option<Reason>),
    /// A packet id, and the broker's code.
    Puback(u16, u8),
    Echo {
        counter: u64,
    },
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
            (LinkFault::Cut | LinkFault::Hole | LinkFault::Unplugged(..) | LinkFault::BrokerRestarts, until) => {
                Some(until)
            }
            (LinkFault::HalfOpen, until) if !up => Some(until),
            (LinkFault::Unheard, until) if up => Some(until),
            _ => None,
        }
    }

    /// How much longer than a moment the broker takes for an answer, in ms.
    fn broker_takes_ms(&self) -> u64 {
        match self.weather {
            Some((LinkFault::BrokerSlow(ms), _)) => ms,
            _ => 0,
        }
    }

    /// Whether the broker refuses this.
    pub(super) fn refuses(&self, what: Refusal) -> bool {
        self.weather.is_some_and(|(fault, _)| fault == LinkFault::Refuses(what))
    }

    /// What comes of a dial, and how many ms that takes.
    fn dialed(&self) -> (Option<Reason>, u64) {
        let takes = 3 * self.takes_ms() + 20 + self.broker_takes_ms();
        match self.weather.map(|(fault, _)| fault) {
            Some(LinkFault::Cut | LinkFault::BrokerRestarts) => (Some(Reason::TcpRefused), 50),
            Some(LinkFault::Unplugged(..)) => (Some(Reason::TcpUnreachable), 50),
            Some(LinkFault::Hole | LinkFault::HalfOpen | LinkFault::Unheard) => (Some(Reason::TcpTimeout), GIVES_UP_MS),
            _ if takes >= GIVES_UP_MS => (Some(Reason::Silent), GIVES_UP_MS),
            _ if self.refuses(Refusal::Connect) => (Some(Reason::MqttRefused("not_authorized".to_owned())), takes),
            _ => (None, takes),
        }
    }
}

impl World {
    pub(super) fn dials(&mut self, at: usize, conn: ConnId) {
        let (failed, takes) = self.links[at].dialed();
        self.links[at].conn = if failed.is_none() { Some(conn) } else { None };
        // A new connection's bytes wait behind nobody's.
        (self.links[at].last_up, self.links[at].last_down) = (0, 0);
        self.after(self.now + takes, Item::AtHub { path: at, conn, down: Box::new(Down::Dialed(failed)) });
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
        let mut code = 0;
        let (id, beat) = match packet {
            Packet::Event { id, .. } if self.links[at].refuses(Refusal::Events) => {
                code = NOT_AUTHORIZED;
                (id, None)
            }
            Packet::Event { id, class, wire } => {
                if self.strikes(Fault::Forgets) {
                    self.forgotten += 1;
                } else {
                    // One subscription, one order.
                    let takes_ms = self.links[at].broker_takes_ms() + self.prng.within(1, 30);
                    self.last_at_centre = (self.now + takes_ms).max(self.last_at_centre);
                    self.after(self.last_at_centre, Item::AtCentre { class, wire });
                }
                (id, None)
            }
            Packet::Other { id, counter } => (id, counter),
        };
        if let Some(counter) = beat.filter(|_| !self.centre.is_away(self.now)) {
            self.goes_down(at, conn, self.now + 20, Down::Echo { counter });
        }
        if self.strikes(Fault::AckNever) {
            return;
        }
        let late = if self.strikes(Fault::AckLate) { self.prng.wild(100, 15_000) } else { 1 };
        let late = late + self.links[at].broker_takes_ms();
        self.goes_down(at, conn, self.now + late, Down::Puback(id, code));
        if self.strikes(Fault::AckTwice) {
            self.goes_down(at, conn, self.now + late, Down::Puback(id, code));
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
        let before = self.links[at].weather.replace((fault, until));
        self.counts(fault, for_ms);
        if matches!(fault, LinkFault::Cut | LinkFault::BrokerRestarts)
            && let Some(conn) = self.links[at].conn.take()
        {
            self.after(self.now + 10, Item::AtHub { path: at, conn, down: Box::new(Down::Ended) });
        }
        if let Some((LinkFault::Unplugged(..), _)) = before {
            self.kernel_rings(at);
        }
        if let LinkFault::Unplugged(_, rings) = fault {
            rings.into_iter().for_each(|late| self.after(self.now + late, Item::Rings(at)));
            self.after(until + rings.unwrap_or(0), Item::Rings(at));
        }
        self.after(until, Item::Clears(at, until));
    }

    /// Keeps account of what struck.
    fn counts(&mut self, fault: LinkFault, for_ms: u64) {
        let class = match fault {
            LinkFault::Cut | LinkFault::Hole | LinkFault::HalfOpen | LinkFault::Slow(_) => Fault::Link,
            LinkFault::Unheard => Fault::Unheard,
            LinkFault::Unplugged(..) if for_ms < FLAP_MS => Fault::Flap,
            LinkFault::Unplugged(_, Some(0)) => Fault::Cable,
            LinkFault::Unplugged(..) => Fault::KernelLate,
            LinkFault::BrokerSlow(_) => Fault::BrokerSlow,
            LinkFault::BrokerRestarts => Fault::BrokerRestarts,
            LinkFault::Refuses(_) => Fault::BrokerRefuses,
        };
        self.struck.by(class);
        let gone_until = |link: &Link| link.shut_until(true).or(link.shut_until(false)).unwrap_or(0);
        if self.links.iter().all(|link| gone_until(link) >= self.now + HOUR) {
            self.struck.by(Fault::Blackout);
        }
    }

    pub(super) fn clears(&mut self, at: usize, until: u64) {
        if self.links[at].weather.is_some_and(|(_, of)| of == until) {
            self.links[at].weather = None;
            self.trace.note(self.now, PATHS[at], format_args!("is well"));
        }
    }

    /// The kernel's bell: the hub reads how the interface stands now.
    pub(super) fn kernel_rings(&mut self, at: usize) {
        let Some(kernel) = &mut self.kernel else { return };
        let state = match self.links[at].weather {
            Some((LinkFault::Unplugged(Cable::NoDevice, _), _)) => None,
            Some((LinkFault::Unplugged(Cable::NoCarrier, _), _)) => Some(LinkState::NoCarrier),
            Some((LinkFault::Unplugged(Cable::NoAddress, _), _)) => Some(LinkState::NoAddress),
            _ => Some(LinkState::Well),
        };
        match state {
            Some(state) => drop(kernel.insert(DEVICES[at].to_owned(), state)),
            None => drop(kernel.remove(DEVICES[at])),
        }
        self.hub.iter_mut().for_each(|hub| hub.voice.stirred = true);
    }

    /// A process that starts reads how the interfaces stand, if the kernel says anything in its life.
    pub(super) fn kernel_begins(&mut self) {
        self.kernel = if self.strikes(Fault::KernelLate) { None } else { Some(Links::new()) };
        (0..PATHS.len()).for_each(|at| self.kernel_rings(at));
    }
}
