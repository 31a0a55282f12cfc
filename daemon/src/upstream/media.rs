//! Sealed media on their way: a connection of their own beside the path that carries, one piece at a time, after
//! everything else. A broker's word frees the next piece; only the centre's receipt ends one.
//!
//! Pure, as the speaker is. It sees neither picture nor key, chooses nothing (whoever keeps the media does), and never
//! keeps an alarm waiting: of what is under way at most one piece is before it, and none begins while an alarm waits.

use crate::upstream::backoff::Backoff;
use crate::upstream::outbox::ConnId;
use crate::upstream::path::Outs;
use crate::upstream::port::Failure;
use crate::upstream::port::LinkEvent;
use crate::upstream::port::Out;
use crate::upstream::port::Weight;
use crate::upstream::topic::PACKET_MAX;
use crate::upstream::topic::Topics;
use crate::upstream::topic::is_media;
use crate::upstream::window::BROKER_PATIENCE_MS;
use vakt_core::port::MediaPiece;
use vakt_core::port::NextMedia;

/// The smallest piece, bytes: on 256 kbit/s an alarm waits a quarter of a second for it.
pub const PIECE_LEAST: usize = 8 * 1024;
/// The largest (contract, `media`), bytes.
pub const PIECE_MOST: usize = 64 * 1024;
/// A piece confirmed within this lets the next be twice as long, in milliseconds.
const QUICK_MS: u64 = 250;
/// One that took longer than this makes the next half as long, in milliseconds.
const SLOW_MS: u64 = 1_000;
/// When everything has left, what has no receipt is looked for again after this, in milliseconds.
const AGAIN_MS: u64 = 60_000;
/// The same where each byte is paid for.
const AGAIN_METERED_MS: u64 = 960_000;
/// A connection with nothing to send is closed after this, in milliseconds: keeping it costs bytes.
const IDLE_MS: u64 = 30_000;
/// Topic and header of a publish, bytes, rounded up.
const OVERHEAD: usize = 256;

/// ```text
///   Idle ──something to send──▶ Dialing ──CONNACK──▶ Live
///    ▲                             │                  │
///    └──────── any failure, another carrier, nothing to send
/// ```
enum Phase {
    Idle { until_ms: u64 },
    Dialing(Conn),
    Live { conn: Conn, packet_max: usize, since_ms: u64, flight: Option<Flight> },
}

#[derive(Clone, Copy)]
struct Conn {
    id: ConnId,
    path: usize,
}

/// A piece that the broker has not confirmed.
#[derive(Clone, Copy)]
struct Flight {
    id: Option<u16>,
    since_ms: u64,
}

/// How it stands around the media.
pub(crate) struct Calm {
    /// The path that carries, and whether each byte on it is paid for; `None` while nothing may leave.
    pub(crate) carrier: Option<(usize, bool)>,
    /// Nothing more urgent waits.
    pub(crate) calm: bool,
    /// Changes whenever there may be something new to send; 0: there is nothing.
    pub(crate) stock: u64,
    pub(crate) now_ms: u64,
}

/// The media's voice.
pub(crate) struct Media {
    phase: Phase,
    backoff: Backoff,
    /// Bytes of the next piece.
    size: usize,
    /// Where this round stands.
    after: Option<(String, u64)>,
    /// Read, and not sent.
    piece: Option<MediaPiece>,
    asking: bool,
    /// Nothing may leave now: whoever changes that wakes us.
    blocked: bool,
    /// The stock when a round found nothing more, and when the next round begins all the same.
    done: Option<(u64, u64)>,
}

impl Media {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Idle { until_ms: 0 },
            backoff: Backoff::default(),
            size: PIECE_LEAST,
            after: None,
            piece: None,
            asking: false,
            blocked: true,
            done: None,
        }
    }

    pub(crate) fn conn(&self) -> Option<(usize, ConnId)> {
        match &self.phase {
            Phase::Idle { .. } => None,
            Phase::Dialing(conn) | Phase::Live { conn, .. } => Some((conn.path, conn.id)),
        }
    }

    /// Everything that can be done at this moment. `next`: a number for a connection.
    pub(crate) fn work(&mut self, at: &Calm, topics: &Topics, next: &mut ConnId, random: u64, outs: &mut Outs) {
        let now_ms = at.now_ms;
        self.blocked = at.carrier.is_none() || at.stock == 0 || !at.calm;
        let Some((path, metered)) = at.carrier else { return self.close(now_ms, outs) };
        if self.conn().is_some_and(|(of, _)| of != path) {
            self.close(now_ms, outs);
            (self.backoff, self.size) = (Backoff::default(), PIECE_LEAST);
        }
        if self.overdue(now_ms) {
            return self.end(now_ms, random, "the broker did not confirm a piece", outs);
        }
        if self.done.is_some_and(|(stock, until)| stock != at.stock || until <= now_ms) {
            (self.done, self.after) = (None, None);
        }
        if at.stock == 0 || !at.calm {
            return self.close_idle(now_ms, outs);
        }
        let room = match &self.phase {
            Phase::Live { packet_max, .. } => packet_max.saturating_sub(OVERHEAD),
            Phase::Idle { .. } | Phase::Dialing(_) => PIECE_LEAST,
        };
        // read before the broker said how long a packet may be
        self.piece.take_if(|piece| piece.bytes.len() > room);
        if self.piece.is_none() && !self.asking && self.done.is_none() {
            self.asking = true;
            let most = self.size.min(if metered { PIECE_LEAST } else { PIECE_MOST }).min(room);
            outs.push_back(Out::AskMedia(NextMedia { after: self.after.clone(), most }));
        }
        match (&mut self.phase, self.piece.take()) {
            (Phase::Idle { until_ms }, Some(piece)) => {
                self.piece = Some(piece);
                if *until_ms <= now_ms {
                    *next += 1;
                    self.backoff.attempt(now_ms);
                    self.phase = Phase::Dialing(Conn { id: *next, path });
                    outs.push_back(Out::DialMedia { path, conn: *next });
                }
            }
            (Phase::Live { conn, flight: flight @ None, .. }, Some(piece)) => {
                let bytes = u64::try_from(piece.bytes.len()).unwrap_or(u64::MAX);
                let topic = topics.media(&piece.media, piece.offset);
                self.after = Some((piece.media, piece.offset.saturating_add(bytes)));
                *flight = Some(Flight { id: None, since_ms: now_ms });
                outs.push_back(Out::Publish { conn: conn.id, topic, retain: false, payload: piece.bytes.to_vec() });
            }
            (_, piece) => {
                self.piece = piece;
                self.close_idle(now_ms, outs);
            }
        }
    }

    /// The keeper's answer; `None`: nothing more in this round.
    pub(crate) fn answered(&mut self, piece: Option<MediaPiece>, stock: u64, metered: bool, now_ms: u64) {
        self.asking = false;
        self.piece = piece.filter(|piece| is_media(&piece.media) && (1..=PIECE_MOST).contains(&piece.bytes.len()));
        if self.piece.is_none() {
            self.rest(stock, metered, now_ms);
        }
    }

    fn rest(&mut self, stock: u64, metered: bool, now_ms: u64) {
        self.done = Some((stock, now_ms + if metered { AGAIN_METERED_MS } else { AGAIN_MS }));
    }

    /// The connection has told something.
    pub(crate) fn told(&mut self, event: LinkEvent, stock: u64, now_ms: u64, random: u64, outs: &mut Outs) {
        match (event, &mut self.phase) {
            (LinkEvent::Connected { packet_max, .. }, Phase::Dialing(conn)) => {
                let packet_max = usize::try_from(packet_max.min(PACKET_MAX)).unwrap_or(0);
                self.phase = Phase::Live { conn: *conn, packet_max, since_ms: now_ms, flight: None };
            }
            (LinkEvent::Left(id), Phase::Live { flight: Some(flight), .. }) => flight.id = Some(id),
            (LinkEvent::Answered { id, code }, Phase::Live { flight, since_ms, .. }) => {
                let Some(sent) = flight.take_if(|flight| flight.id == Some(id)) else { return };
                *since_ms = now_ms;
                if code >= 0x80 {
                    let text = format!("the broker refused a piece of a medium: 0x{code:02x}; it is tried again later");
                    outs.push_back(Out::Log { weight: Weight::Warn, text });
                    self.rest(stock, true, now_ms);
                }
                self.size = match now_ms.saturating_sub(sent.since_ms) {
                    ..QUICK_MS => (self.size * 2).min(PIECE_MOST),
                    QUICK_MS..=SLOW_MS => self.size,
                    _ => (self.size / 2).max(PIECE_LEAST),
                };
            }
            (LinkEvent::Ended(Failure { reason, detail }), _) => {
                self.end(now_ms, random, &format!("{reason}: {detail}"), outs);
            }
            _ => {}
        }
    }

    fn overdue(&self, now_ms: u64) -> bool {
        matches!(&self.phase, Phase::Live { flight: Some(flight), .. } if flight.since_ms + BROKER_PATIENCE_MS <= now_ms)
    }

    /// When it needs attention next, in monotonic milliseconds.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let again = self.done.map(|(_, until)| until).filter(|_| !self.blocked);
        match &self.phase {
            Phase::Idle { .. } if self.blocked => None,
            Phase::Idle { until_ms } => self.piece.as_ref().map(|_| *until_ms).or(again),
            Phase::Dialing(_) => None, // the dialler and the client have their own limits
            Phase::Live { flight: Some(flight), .. } => Some(flight.since_ms + BROKER_PATIENCE_MS),
            Phase::Live { since_ms, .. } => Some((since_ms + IDLE_MS).min(again.unwrap_or(u64::MAX))),
        }
    }

    /// A goodbye to the broker, at the end.
    pub(crate) fn stop(&mut self, outs: &mut Outs) {
        match &self.phase {
            Phase::Idle { .. } => {}
            Phase::Dialing(conn) => outs.push_back(Out::Close(conn.id)),
            Phase::Live { conn, .. } => outs.push_back(Out::Goodbye(conn.id)),
        }
        self.phase = Phase::Idle { until_ms: u64::MAX };
    }

    fn close_idle(&mut self, now_ms: u64, outs: &mut Outs) {
        if matches!(&self.phase, Phase::Live { flight: None, since_ms, .. } if since_ms + IDLE_MS <= now_ms) {
            self.close(now_ms, outs);
        }
    }

    /// Gives the connection up; what was under way on it has no receipt and comes again.
    fn close(&mut self, now_ms: u64, outs: &mut Outs) {
        if let Some((_, conn)) = self.conn() {
            outs.push_back(Out::Close(conn));
            self.anew(now_ms);
        }
    }

    fn end(&mut self, now_ms: u64, random: u64, why: &str, outs: &mut Outs) {
        let lived = match &self.phase {
            Phase::Live { since_ms, .. } => now_ms.saturating_sub(*since_ms),
            Phase::Idle { .. } | Phase::Dialing(_) => 0,
        };
        self.close(now_ms, outs);
        let text = format!("the connection for media ended: {why}");
        outs.push_back(Out::Log { weight: Weight::Debug, text });
        self.size = PIECE_LEAST;
        self.phase = Phase::Idle { until_ms: self.backoff.ended(now_ms, lived, random) };
    }

    fn anew(&mut self, now_ms: u64) {
        self.phase = Phase::Idle { until_ms: now_ms };
        (self.after, self.piece) = (None, None);
    }
}
