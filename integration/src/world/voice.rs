//! The hub's way to the centre: the real outbox over the real windows, hearts, back-offs and verdicts, on connections
//! that are simulated. What `upstream/io` does around them is told here again, without sockets.

use super::World;
use super::bugs::Bug;
use super::checks::Check;
use super::checks::Held;
use super::checks::broken;
use super::net::Down;
use super::net::Packet;
use super::story::DAY;
use super::story::MINUTE;
use super::story::SECOND;
use std::collections::BTreeSet;
use std::sync::Arc;
use vakt_core::event::AlarmKind;
use vakt_core::event::Class;
use vakt_core::event::EventId;
use vakt_core::event::Fact;
use vakt_core::input::Input;
use vakt_core::port::NextEvents;
use vakt_core::port::Place;
use vakt_core::port::Receipt;
use vakt_core::port::Stored;
use vakt_core::port::Unjournaled;
use vakt_core::port::UpstreamNote;
use vakt_core::stamp::Stamp;
use vaktd::upstream::backoff::Backoff;
use vaktd::upstream::cursor::SEND_AHEAD;
use vaktd::upstream::outbox::ConnId;
use vaktd::upstream::outbox::Outbox;
use vaktd::upstream::outbox::Publish;
use vaktd::upstream::outbox::Step;
use vaktd::upstream::receipt::Claim;
use vaktd::upstream::verdict::Heart;
use vaktd::upstream::verdict::Reason;
use vaktd::upstream::verdict::Teller;
use vaktd::upstream::window::BROKER_PATIENCE_MS;
use vaktd::upstream::window::Kind;
use vaktd::upstream::window::Window;

/// An alarm without the centre's receipt after so many ms is told to be late.
const ALARM_DEADLINE_MS: u64 = 30 * SECOND;
/// From beat to beat, on the first path and on the other, in ms. Longer than on site: each costs real time here.
const BEATS_MS: [u64; 2] = [8 * MINUTE, 20 * MINUTE];
/// After the journal did not answer.
const ASK_AGAIN_MS: u64 = 200;
/// Receipts are written down together.
const RECEIPTS_MS: u64 = 200;
/// The paths.
pub(super) const PATHS: [&str; 2] = ["eth", "lte"];

enum Phase {
    Idle { until_ms: u64 },
    Dialing(ConnId),
    Live(Box<Live>),
}

struct Live {
    id: ConnId,
    since_ms: u64,
    window: Window<()>,
    heart: Heart,
}

struct Path {
    phase: Phase,
    backoff: Backoff,
    teller: Teller,
    beats: u64,
}

/// Everything upstream holds.
pub(super) struct Voice {
    pub outbox: Outbox,
    paths: [Path; 2],
    ask_after_ms: u64,
    /// Waiting to be written down together.
    pub receipts: Vec<Receipt>,
    receipts_at: u64,
    /// Alarms that were handed over before the disk had them.
    unjournaled: BTreeSet<EventId>,
    /// Something has changed since it last looked.
    pub stirred: bool,
}

impl Voice {
    pub(super) fn new(head: Place) -> Self {
        let path = || Path {
            phase: Phase::Idle { until_ms: 0 },
            backoff: Backoff::default(),
            teller: Teller::default(),
            beats: 0,
        };
        Self {
            outbox: Outbox::new(head, ALARM_DEADLINE_MS),
            paths: [path(), path()],
            ask_after_ms: 0,
            receipts: Vec::new(),
            receipts_at: u64::MAX,
            unjournaled: BTreeSet::new(),
            stirred: true,
        }
    }

    /// When it has something to do by time alone, on the monotonic clock.
    pub(super) fn due_mono_ms(&mut self, now_ms: u64) -> u64 {
        let paths = self.paths.iter().map(|path| match &path.phase {
            Phase::Idle { until_ms } => *until_ms,
            Phase::Dialing(_) => u64::MAX,
            Phase::Live(live) => {
                let patience = live.window.waiting_since_ms().map_or(u64::MAX, |since| since + BROKER_PATIENCE_MS);
                if live.window.room().control { patience.min(live.heart.next_ms()) } else { patience }
            }
        });
        let asking = if self.ask_after_ms > now_ms { self.ask_after_ms } else { u64::MAX };
        let outbox = self.outbox.due_ms().unwrap_or(u64::MAX);
        paths.chain([asking, outbox, self.receipts_at]).min().unwrap_or(u64::MAX)
    }

    pub(super) fn unjournaled(&mut self, alarm: Unjournaled, now: Stamp) {
        if self.outbox.takes_unjournaled() {
            self.unjournaled.insert(alarm.id);
            self.outbox.unjournaled(alarm, now);
            self.stirred = true;
        }
    }

    fn live(&mut self, path: usize, conn: ConnId) -> Option<&mut Live> {
        match &mut self.paths[path].phase {
            Phase::Live(live) if live.id == conn => Some(live),
            _ => None,
        }
    }

    /// A path the centre's orders can come by.
    pub(super) fn carries(&self) -> Option<(usize, ConnId)> {
        self.paths.iter().enumerate().find_map(|(at, path)| match &path.phase {
            Phase::Live(live) => Some((at, live.id)),
            _ => None,
        })
    }

    pub(super) fn connections(&self) -> Vec<ConnId> {
        let conn = |path: &Path| match &path.phase {
            Phase::Idle { .. } => None,
            Phase::Dialing(conn) => Some(*conn),
            Phase::Live(live) => Some(live.id),
        };
        self.paths.iter().filter_map(conn).collect()
    }
}

impl World {
    /// Everything upstream can do at this moment.
    pub(super) fn speaks_up(&mut self) -> Held {
        let now = self.stamp();
        let Some(hub) = self.hub.as_mut() else { return Ok(()) };
        hub.voice.stirred = false;
        if self.story.bug == Some(Bug::StaysStuck) && self.now + DAY > self.story.length_ms {
            return Ok(());
        }
        let head = hub.journal.head().borrow().place;
        hub.voice.outbox.head(head);
        for note in hub.voice.outbox.tick(now) {
            if let UpstreamNote::Overdue { event, after_ms, .. } = note {
                self.inbox.push_back((Input::Overdue { event, after_ms }, None));
            }
        }
        for at in 0..PATHS.len() {
            self.path_works(at, now)?;
        }
        self.watches(now);
        let Some(hub) = self.hub.as_mut() else { return Ok(()) };
        if hub.voice.receipts_at <= now.mono_ms {
            hub.voice.receipts_at = u64::MAX;
            self.notes_receipts();
        }
        Ok(())
    }

    fn path_works(&mut self, at: usize, now: Stamp) -> Held {
        let Some(hub) = self.hub.as_mut() else { return Ok(()) };
        let alarm_waits = hub.voice.outbox.alarm_waits();
        let path = &mut hub.voice.paths[at];
        match &mut path.phase {
            Phase::Idle { until_ms } => {
                if alarm_waits && *until_ms > now.mono_ms {
                    *until_ms = path.backoff.for_alarm(now.mono_ms, *until_ms, self.prng.draw());
                }
                if *until_ms <= now.mono_ms {
                    path.backoff.attempt(now.mono_ms);
                    self.conns += 1;
                    path.phase = Phase::Dialing(self.conns);
                    self.dials(at, self.conns);
                }
                return Ok(());
            }
            Phase::Dialing(_) => return Ok(()),
            Phase::Live(live) => {
                let waits = live.window.waiting_since_ms();
                if waits.is_some_and(|since| since + BROKER_PATIENCE_MS <= now.mono_ms) {
                    self.ends(at, &Reason::Silent, now);
                    return Ok(());
                }
            }
        }
        self.sends(at, now)?;
        self.beats(at, now);
        self.judges(at, now);
        Ok(())
    }

    fn sends(&mut self, at: usize, now: Stamp) -> Held {
        // A pass ends by itself; this many steps are more than all windows hold.
        for _ in 0..64 {
            let Some(hub) = self.hub.as_mut() else { return Ok(()) };
            let Phase::Live(live) = &hub.voice.paths[at].phase else { return Ok(()) };
            let (conn, room) = (live.id, live.window.room());
            match hub.voice.outbox.step(conn, room, now) {
                Step::Send(publish) => self.publishes(at, conn, publish, now)?,
                Step::Read(asked) => {
                    let Some((head, rows)) = self.reads(&asked, now) else { return Ok(()) };
                    let Some(hub) = self.hub.as_mut() else { return Ok(()) };
                    hub.voice.outbox.read(asked, head, &rows, now);
                }
                Step::Rest => break,
            }
        }
        let Some(hub) = self.hub.as_ref() else { return Ok(()) };
        let waits: Vec<usize> =
            hub.voice.connections().into_iter().map(|conn| hub.voice.outbox.unreceipted(conn)).collect();
        if waits.iter().any(|waits| *waits > 6 * SEND_AHEAD) {
            return broken(Check::Limits, format!("{waits:?} events on their way"));
        }
        Ok(())
    }

    /// The journal's answer to the outbox, unless the disk keeps it back.
    fn reads(&mut self, asked: &NextEvents, now: Stamp) -> Option<(Place, Vec<Stored>)> {
        let fails = self.disk_fault.is_some() && self.prng.chance(300);
        let hub = self.hub.as_mut()?;
        if hub.voice.ask_after_ms > now.mono_ms {
            return None;
        }
        if fails {
            hub.voice.ask_after_ms = now.mono_ms + ASK_AGAIN_MS;
            return None;
        }
        let head = hub.journal.head().borrow().place;
        hub.voice.outbox.head(head);
        let mut rows = hub.reader.next(asked).expect("a disk that is there is read");
        if self.story.bug == Some(Bug::MutesFire) {
            rows.retain(|row| !self.fires.contains(&row.id));
        }
        Some((head, rows))
    }

    /// Alarms are watched whether or not a connection reads them.
    fn watches(&mut self, now: Stamp) {
        for _ in 0..64 {
            let Some(asked) = self.hub.as_ref().and_then(|hub| hub.voice.outbox.watch()) else { return };
            let Some((head, rows)) = self.reads(&asked, now) else { return };
            let Some(hub) = self.hub.as_mut() else { return };
            hub.voice.outbox.read(asked, head, &rows, now);
        }
    }

    /// An event leaves the hub.
    fn publishes(&mut self, at: usize, conn: ConnId, mut publish: Publish, now: Stamp) -> Held {
        match self.story.bug {
            Some(Bug::SendsOtherBytes) => publish.wire = publish.wire.iter().rev().copied().collect::<Vec<_>>().into(),
            Some(Bug::SendsUnrecorded) => {
                publish.place = publish.place.map(|place| Place { seq: place.seq + 1000, ..place })
            }
            Some(Bug::SwapsTwo) => match self.held_back.take() {
                None if publish.class == Class::Fault => {
                    self.held_back = Some((conn, publish));
                    return Ok(());
                }
                Some((of, held)) if of == conn && publish.class == Class::Fault => {
                    self.leaves(at, conn, publish, now)?;
                    return self.leaves(at, conn, held, now);
                }
                other => self.held_back = other,
            },
            Some(Bug::BelievesItself) if publish.class == Class::Access => {
                if let (Some(place), Some(hub)) = (publish.place, self.hub.as_mut()) {
                    let claim = claim(place.epoch, 0, vec![place.seq], vec![]);
                    if let Ok(Some(receipt)) = hub.voice.outbox.receipt(claim) {
                        self.evidence.receipt(receipt.epoch, receipt.upto, &receipt.seqs);
                        let _ = hub.journal.receipt(receipt);
                    }
                }
                return Ok(());
            }
            _ => {}
        }
        self.leaves(at, conn, publish, now)
    }

    fn leaves(&mut self, at: usize, conn: ConnId, publish: Publish, now: Stamp) -> Held {
        match publish.place {
            Some(place) => {
                if !self.evidence.rows.contains_key(&place) {
                    self.look()?;
                }
                self.evidence.leaves(conn, publish.class, place, publish.id, &publish.wire)?;
            }
            None => {
                let handed = self.hub.as_ref().is_some_and(|hub| hub.voice.unjournaled.contains(&publish.id));
                if !handed || publish.class != Class::Alarm {
                    return broken(Check::Committed, format!("{} left unjournaled, which nobody asked", publish.id));
                }
            }
        }
        let Some(live) = self.hub.as_mut().and_then(|hub| hub.voice.live(at, conn)) else { return Ok(()) };
        let kind = if publish.class == Class::Alarm { Kind::Alarm } else { Kind::Event };
        let id = live.window.take(kind, (), now.mono_ms);
        let left = live.window.left(id);
        if left.is_err() || live.window.open() > 16 {
            return broken(Check::Limits, format!("{} publishes on their way to the broker", live.window.open()));
        }
        self.goes_up(at, conn, Packet::Event { id, class: publish.class, wire: publish.wire });
        Ok(())
    }

    fn beats(&mut self, at: usize, now: Stamp) {
        let Some(hub) = self.hub.as_mut() else { return };
        let path = &mut hub.voice.paths[at];
        let Phase::Live(live) = &mut path.phase else { return };
        if live.heart.next_ms() > now.mono_ms || !live.window.room().control {
            return;
        }
        path.beats += 1;
        let (counter, conn) = (path.beats, live.id);
        live.heart.beat(counter, String::new(), now.mono_ms);
        let id = live.window.take(Kind::Control, (), now.mono_ms);
        let _ = live.window.left(id);
        self.goes_up(at, conn, Packet::Beat { id, counter });
    }

    fn judges(&mut self, at: usize, now: Stamp) {
        let Some(hub) = self.hub.as_mut() else { return };
        let path = &mut hub.voice.paths[at];
        let Phase::Live(live) = &path.phase else { return };
        let verdict = if live.heart.silent(now.mono_ms) {
            Some(Reason::CentreSilent)
        } else if live.heart.up(now.mono_ms) {
            None
        } else {
            return;
        };
        if let Some(UpstreamNote::Path { path, reason }) = path.teller.tell(PATHS[at], verdict.as_ref()) {
            self.inbox.push_back((Input::Path { path, reason }, None));
        }
    }

    /// A connection is over, for whatever reason.
    pub(super) fn ends(&mut self, at: usize, reason: &Reason, now: Stamp) {
        let Some(hub) = self.hub.as_mut() else { return };
        let path = &mut hub.voice.paths[at];
        let (conn, lived_ms) = match &path.phase {
            Phase::Idle { .. } => return,
            Phase::Dialing(conn) => (*conn, 0),
            Phase::Live(live) => (live.id, now.mono_ms.saturating_sub(live.since_ms)),
        };
        hub.voice.outbox.closed(conn);
        let until_ms = path.backoff.ended(now.mono_ms, lived_ms, self.prng.draw());
        path.phase = Phase::Idle { until_ms };
        hub.voice.stirred = true;
        if let Some(UpstreamNote::Path { path, reason }) = path.teller.tell(PATHS[at], Some(reason)) {
            self.inbox.push_back((Input::Path { path, reason }, None));
        }
        self.trace.note(self.now, PATHS[at], format_args!("connection {conn} ends: {reason}"));
        self.evidence.over(conn);
    }

    /// The process is gone, and its connections with it.
    pub(super) fn connections_die(&mut self) {
        self.held_back = None;
    }

    /// What comes down a connection.
    pub(super) fn hears(&mut self, at: usize, conn: ConnId, down: Down) -> Held {
        let now = self.stamp();
        let Some(hub) = self.hub.as_mut() else { return Ok(()) };
        hub.voice.stirred = true;
        if let Down::Dialed(ok) = down {
            if !matches!(hub.voice.paths[at].phase, Phase::Dialing(of) if of == conn) {
                return Ok(());
            }
            if !ok {
                self.ends(at, &Reason::TcpTimeout, now);
                return Ok(());
            }
            let live = Live {
                id: conn,
                since_ms: now.mono_ms,
                window: Window::new(20),
                heart: Heart::new(BEATS_MS[at], now.mono_ms),
            };
            hub.voice.paths[at].phase = Phase::Live(Box::new(live));
            hub.voice.outbox.opened(conn);
            self.trace.note(self.now, PATHS[at], format_args!("connection {conn} is up"));
            return Ok(());
        }
        let Some(live) = hub.voice.live(at, conn) else { return Ok(()) };
        match down {
            Down::Dialed(_) => {}
            Down::Puback(id) => {
                if live.window.answered(id).is_none() {
                    self.ends(at, &Reason::Garbage, now);
                }
            }
            Down::Echo { counter } => {
                let was_silent = live.heart.silent(now.mono_ms);
                if live.heart.echo(counter, None) && was_silent {
                    hub.voice.outbox.rewind(conn);
                }
            }
            Down::Receipt(claim) => self.receipted(at, conn, *claim, now)?,
            Down::Order(warrant) => self.asks.push_back(Input::Warrant(warrant)),
            Down::Ended => self.ends(at, &Reason::Closed, now),
        }
        Ok(())
    }

    fn receipted(&mut self, at: usize, conn: ConnId, claim: Claim, now: Stamp) -> Held {
        let Some(hub) = self.hub.as_mut() else { return Ok(()) };
        let upto = claim.upto;
        match hub.voice.outbox.receipt(claim) {
            Ok(Some(receipt)) => {
                if let Some(live) = hub.voice.live(at, conn) {
                    let was_silent = live.heart.silent(now.mono_ms);
                    live.heart.alive();
                    if was_silent {
                        hub.voice.outbox.rewind(conn);
                    }
                }
                self.evidence.receipt(receipt.epoch, receipt.upto, &receipt.seqs);
                hub.voice.receipts.push(receipt);
                hub.voice.receipts_at = hub.voice.receipts_at.min(now.mono_ms + RECEIPTS_MS);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(refused) => broken(Check::Delivered, format!("an honest receipt up to {upto} was refused: {refused}")),
        }
    }

    /// Keeps account of what may be sent before it is on record, for the bug that mutes it.
    pub(super) fn remembers_fire(&mut self, event: &vakt_core::event::Event) {
        if matches!(event.fact, Fact::AlarmRaised { kind: AlarmKind::Fire, .. }) {
            self.fires.insert(event.id);
        }
    }
}

/// What the centre claims, without the cost of its signature: what is kept as evidence says the same.
pub(super) fn claim(epoch: u64, upto: u64, seqs: Vec<u64>, ids: Vec<EventId>) -> Claim {
    use base64::Engine;
    let body = format!(r#"{{"epoch":{epoch},"upto":{upto}}}"#);
    let jws = format!("e30.{}.unsigned", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(body));
    Claim { epoch, upto, seqs, ids, jws }
}

/// A wire that several things hold.
pub(super) type Wire = Arc<[u8]>;
