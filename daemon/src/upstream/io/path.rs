//! One path: its connection from the first dial to the end, what is shown and beaten on it, and its verdict.
//!
//! Everything here happens at once and nothing waits: the task in `run` calls it when something has come or fallen due.
//! A PUBACK frees a slot and judges the broker; it never delivers anything.

use crate::upstream::backoff::Backoff;
use crate::upstream::io::dialer::Dialer;
use crate::upstream::io::dialer::Failure;
use crate::upstream::io::link::Link;
use crate::upstream::io::link::Plan;
use crate::upstream::io::link::Teller as LinkTeller;
use crate::upstream::outbox::ConnId;
use crate::upstream::outbox::Publish;
use crate::upstream::reply::ReplyId;
use crate::upstream::settings::PathSettings;
use crate::upstream::shown::Show;
use crate::upstream::shown::Shown;
use crate::upstream::topic;
use crate::upstream::topic::Beat;
use crate::upstream::topic::PathStatus;
use crate::upstream::topic::Topics;
use crate::upstream::topic::View;
use crate::upstream::verdict::Heart;
use crate::upstream::verdict::Reason;
use crate::upstream::verdict::Teller;
use crate::upstream::window::BROKER_PATIENCE_MS;
use crate::upstream::window::Kind;
use crate::upstream::window::Room;
use crate::upstream::window::Window;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use vakt_core::challenge::Challenges;
use vakt_core::event::Class;
use vakt_core::port::Head;
use vakt_core::port::UpstreamNote;
use vakt_core::port::Waiting;
use vakt_core::stamp::Stamp;

/// Bytes of an MQTT PUBLISH beside topic and payload, rounded up: header, lengths, id, empty properties.
const PUBLISH_OVERHEAD: usize = 16;
/// MQTT 5, 3.4.2.1 has no code for "longer than you take"; this is DISCONNECT's.
const TOO_LARGE: u8 = 0x95;

/// What a publish on its way is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tag {
    Event(Class),
    Control,
    Reply(ReplyId),
}

/// A connection that has begun.
pub(super) struct Conn {
    pub(super) id: ConnId,
    link: Link,
    since_ms: u64,
    window: Window<Tag>,
    packet_max: usize,
}

/// A connection that carries events.
pub(super) struct Live {
    pub(super) conn: Conn,
    heart: Heart,
    shown: Shown,
    /// The broker does not take a class of events, and why.
    refused: Option<(Class, u8)>,
}

/// ```text
///   Idle ──due──▶ Dialing ──CONNACK──▶ Subscribing ──SUBACK──▶ Live
///    ▲               │                     │                    │
///    └───────────────┴──── any failure ────┴────────────────────┘
/// ```
pub(super) enum Phase {
    Idle { until_ms: u64 },
    Dialing(Conn),
    Subscribing(Conn),
    Live(Box<Live>),
}

/// What all paths share and this file reads.
pub(super) struct Site<'a> {
    pub(super) topics: &'a Topics,
    pub(super) view: &'a View,
    pub(super) paths: &'a BTreeMap<String, PathStatus>,
    pub(super) head: Head,
    pub(super) waiting: Waiting,
    pub(super) now: Stamp,
    pub(super) challenges: &'a Challenges,
}

pub(super) struct Path {
    pub(super) settings: PathSettings,
    pub(super) phase: Phase,
    dialer: Arc<Dialer>,
    backoff: Backoff,
    teller: Teller,
    beat_ms: u64,
    beats: u64,
}

impl Path {
    pub(super) fn new(settings: PathSettings, beat_ms: u64) -> Self {
        Self {
            dialer: Arc::new(Dialer::new(settings.clone())),
            settings,
            phase: Phase::Idle { until_ms: 0 },
            backoff: Backoff::default(),
            teller: Teller::default(),
            beat_ms,
            beats: 0,
        }
    }

    pub(super) fn conn(&self) -> Option<&Conn> {
        match &self.phase {
            Phase::Idle { .. } => None,
            Phase::Dialing(conn) | Phase::Subscribing(conn) => Some(conn),
            Phase::Live(live) => Some(&live.conn),
        }
    }

    /// Whether it carries events.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live(_))
    }

    pub(super) fn live(&mut self) -> Option<&mut Live> {
        if let Phase::Live(live) = &mut self.phase { Some(live) } else { None }
    }

    /// Whether a dial is due; an alarm that waits makes it so.
    pub(super) fn dial_due(&mut self, alarm_waits: bool, now_ms: u64, random: impl Fn() -> u64) -> bool {
        let Phase::Idle { until_ms } = &mut self.phase else { return false };
        if alarm_waits && *until_ms > now_ms {
            *until_ms = self.backoff.for_alarm(now_ms, *until_ms, random());
        }
        *until_ms <= now_ms
    }

    pub(super) fn dial(&mut self, gateway: &str, socket: PathBuf, topics: &Topics, teller: LinkTeller, now: Stamp) {
        self.backoff.attempt(now.mono_ms);
        let lost = PathStatus { up: false, since: now.at(), reason: Some("connection_lost".to_owned()) };
        let plan = Plan {
            client_id: format!("{gateway}-{}", self.settings.name),
            socket,
            will: (topics.path(&self.settings.name), topic::path_payload(&lost)),
        };
        let id = teller.conn;
        let link = Link::start(plan, Arc::clone(&self.dialer), teller);
        let packet_max = usize::try_from(topic::PACKET_MAX).unwrap_or(usize::MAX);
        let window = Window::new(u16::MAX);
        self.phase = Phase::Dialing(Conn { id, link, since_ms: now.mono_ms, window, packet_max });
    }

    /// CONNACK: ask to hear the centre before anything is published, so that nothing is answered unheard.
    pub(super) fn connected(
        &mut self,
        receive_max: u16,
        packet_max: u32,
        topics: &Topics,
        now: Stamp,
    ) -> Result<(), Failure> {
        let Phase::Dialing(_) = &self.phase else { return Ok(()) };
        if receive_max == 0 {
            return Err(garbage("the broker announces Receive Maximum 0, which MQTT 5 forbids".to_owned()));
        }
        let idle = Phase::Idle { until_ms: now.mono_ms };
        if let Phase::Dialing(mut conn) = std::mem::replace(&mut self.phase, idle) {
            conn.window = Window::new(receive_max);
            conn.packet_max = usize::try_from(packet_max).unwrap_or(usize::MAX);
            conn.since_ms = now.mono_ms;
            conn.window.take_for_subscription();
            let asked = conn.link.subscribe([topics.ack(), topics.echo(&self.settings.name), topics.cmd()]);
            self.phase = Phase::Subscribing(conn);
            if !asked {
                return Err(gone());
            }
        }
        Ok(())
    }

    /// SUBACK: the birth; the first beat and events follow as the broker takes them. `Some`: the connection carries events from now on.
    pub(super) fn subscribed(&mut self, granted: bool, site: &Site<'_>) -> Result<Option<ConnId>, Failure> {
        let Phase::Subscribing(_) = &self.phase else { return Ok(None) };
        if !granted {
            let detail = "the broker does not let us hear `ack` and `echo`; its access list must allow both".to_owned();
            return Err(Failure { reason: Reason::SubscribeRefused, detail });
        }
        let idle = Phase::Idle { until_ms: site.now.mono_ms };
        let Phase::Subscribing(conn) = std::mem::replace(&mut self.phase, idle) else { return Ok(None) };
        let id = conn.id;
        let heart = Heart::new(self.beat_ms, site.now.mono_ms);
        let mut shown = Shown::default();
        shown.compare(site.view, site.paths);
        let mut live = Live { conn, heart, shown, refused: None };
        let birth = PathStatus { up: true, since: site.now.at(), reason: None };
        let topic = site.topics.path(&self.settings.name);
        let born = live.control(topic, true, topic::path_payload(&birth), site.now.mono_ms);
        self.phase = Phase::Live(Box::new(live));
        born.map(|()| Some(id))
    }

    /// A farewell, instead of the last will.
    pub(super) fn stop(&mut self, topics: &Topics, now: Stamp) {
        let name = self.settings.name.clone();
        if let Phase::Live(live) = &mut self.phase {
            let bye = PathStatus { up: false, since: now.at(), reason: Some(Reason::Stopped.to_string()) };
            if live.conn.link.publish(topics.path(&name), true, topic::path_payload(&bye)) {
                live.conn.link.disconnect();
            }
        } else {
            self.phase = Phase::Idle { until_ms: u64::MAX };
        }
    }

    /// What is due on this path besides events and replies: beats, state, devices.
    pub(super) fn show(&mut self, site: &Site<'_>) -> Result<(), Failure> {
        let now_ms = site.now.mono_ms;
        let Phase::Live(live) = &mut self.phase else { return Ok(()) };
        if live.heart.next_ms() <= now_ms && live.conn.window.room().control {
            self.beats += 1;
            live.beat(site, &self.settings.name, self.beats)?;
        }
        while live.conn.window.room().control {
            let Some(show) = live.shown.next(site.view, site.paths, now_ms) else { return Ok(()) };
            let (topic, payload) = match show {
                Show::State => {
                    let challenge = site.challenges.mint(site.now);
                    let state = &site.view.state;
                    (site.topics.state(), topic::state_payload(state, site.paths, site.waiting, &challenge, site.now))
                }
                Show::Device(id) => {
                    let payload = site.view.devices.get(&id).map(topic::device_payload).unwrap_or_default();
                    (site.topics.device(&id), payload)
                }
            };
            live.control(topic, true, payload, now_ms)?;
        }
        Ok(())
    }

    /// A deadline of this connection that has passed.
    pub(super) fn overdue(&self, now_ms: u64) -> Option<Failure> {
        let silent = |what: &str| Failure {
            reason: Reason::Silent,
            detail: format!("the broker did not answer {what} within {} s", BROKER_PATIENCE_MS / 1_000),
        };
        match &self.phase {
            Phase::Subscribing(conn) if conn.since_ms + BROKER_PATIENCE_MS <= now_ms => Some(silent("SUBSCRIBE")),
            Phase::Live(live) => {
                let since = live.conn.window.waiting_since_ms()?;
                (since + BROKER_PATIENCE_MS <= now_ms).then(|| silent("a publish"))
            }
            _ => None,
        }
    }

    /// When this path needs attention next, in monotonic milliseconds.
    pub(super) fn due_ms(&self) -> Option<u64> {
        match &self.phase {
            Phase::Idle { until_ms } => Some(*until_ms),
            Phase::Dialing(_) => None, // the dialler and the client have their own limits
            Phase::Subscribing(conn) => Some(conn.since_ms + BROKER_PATIENCE_MS),
            Phase::Live(live) => {
                let answer = live.conn.window.waiting_since_ms().map(|since| since + BROKER_PATIENCE_MS);
                // without room the next answer wakes us
                let room = live.conn.window.room().control;
                let shown = live.shown.due_ms().filter(|_| room);
                let beat = room.then(|| live.heart.next_ms());
                [answer, shown, beat].into_iter().flatten().min()
            }
        }
    }

    /// The connection is over: the note, if the verdict changed.
    pub(super) fn ended(&mut self, failure: &Failure, now_ms: u64, random: u64) -> Option<UpstreamNote> {
        let lived = match &self.phase {
            Phase::Live(live) => now_ms.saturating_sub(live.conn.since_ms),
            _ => 0,
        };
        self.phase = Phase::Idle { until_ms: self.backoff.ended(now_ms, lived, random) };
        let note = self.teller.tell(&self.settings.name, Some(&failure.reason));
        if note.is_some() {
            tracing::warn!(path = self.settings.name, reason = %failure.reason, "{}", failure.detail);
        } else {
            tracing::debug!(path = self.settings.name, reason = %failure.reason, "{}", failure.detail);
        }
        note
    }

    /// The verdict of a living connection: the note, if it changed, and whether the centre has come back.
    pub(super) fn judge(&mut self, now_ms: u64) -> Option<UpstreamNote> {
        let Phase::Live(live) = &self.phase else { return None };
        let verdict = if let Some((_, code)) = live.refused {
            Some(Reason::PublishRefused(code))
        } else if live.heart.silent(now_ms) {
            Some(Reason::CentreSilent)
        } else if live.heart.up(now_ms) {
            None
        } else {
            return None; // nothing is known yet
        };
        let note = self.teller.tell(&self.settings.name, verdict.as_ref());
        if note.is_some() {
            let word = verdict.map_or("up".to_owned(), |reason| reason.to_string());
            tracing::info!(path = self.settings.name, verdict = word, "the path's verdict changed");
        }
        note
    }
}

impl Live {
    /// An event goes out; it is in the outbox's books already.
    pub(super) fn event(&mut self, topics: &Topics, publish: &Publish, now_ms: u64) -> Result<(), Failure> {
        let topic = topics.event(publish.class);
        if topic.len() + publish.wire.len() + PUBLISH_OVERHEAD > self.conn.packet_max {
            self.refused(publish.class, TOO_LARGE);
            return Ok(()); // sending it would end the connection, each time anew
        }
        let kind = if publish.class == Class::Alarm { Kind::Alarm } else { Kind::Event };
        self.conn.window.take(kind, Tag::Event(publish.class), now_ms);
        if self.conn.link.publish(topic, false, publish.wire.to_vec()) { Ok(()) } else { Err(gone()) }
    }

    pub(super) fn room(&self) -> Room {
        self.conn.window.room()
    }

    fn control(&mut self, topic: String, retain: bool, payload: Vec<u8>, now_ms: u64) -> Result<(), Failure> {
        if topic.len() + payload.len() + PUBLISH_OVERHEAD > self.conn.packet_max {
            tracing::warn!(topic, bytes = payload.len(), "not published: longer than the broker takes");
            return Ok(());
        }
        self.conn.window.take(Kind::Control, Tag::Control, now_ms);
        if self.conn.link.publish(topic, retain, payload) { Ok(()) } else { Err(gone()) }
    }

    /// A reply goes out. `false`: the broker takes none so long, now or ever.
    pub(super) fn reply(&mut self, topic: String, id: ReplyId, payload: Vec<u8>, now_ms: u64) -> Result<bool, Failure> {
        if topic.len() + payload.len() + PUBLISH_OVERHEAD > self.conn.packet_max {
            tracing::warn!(topic, bytes = payload.len(), "not published: longer than the broker takes");
            return Ok(false);
        }
        self.conn.window.take(Kind::Reply, Tag::Reply(id), now_ms);
        if self.conn.link.publish(topic, false, payload) { Ok(true) } else { Err(gone()) }
    }

    fn beat(&mut self, site: &Site<'_>, path: &str, counter: u64) -> Result<(), Failure> {
        let challenge = site.challenges.mint(site.now);
        let beat = Beat {
            counter,
            head: site.head,
            oldest_pending_ms: site.waiting.oldest.and_then(|oldest| topic::age_ms(oldest, site.now)),
            challenge: challenge.clone(),
            at: site.now,
        };
        self.heart.beat(counter, challenge, site.now.mono_ms);
        self.control(site.topics.beat(path), false, topic::beat_payload(&beat), site.now.mono_ms)
    }

    pub(super) fn left(&mut self, id: u16) -> Result<(), Failure> {
        self.conn.window.left(id).map_err(|e| garbage(e.to_string()))
    }

    /// The broker's answer to a publish: the reply it settles, if it was one.
    pub(super) fn answered(&mut self, id: u16, code: u8) -> Result<Option<ReplyId>, Failure> {
        let Some(open) = self.conn.window.answered(id) else {
            return Err(garbage(format!("the broker acknowledged id {id}, which is not open")));
        };
        match open.tag {
            Tag::Event(class) if code >= 0x80 => self.refused(class, code),
            // taken again, so whatever was wrong with this class is over
            Tag::Event(class) if code == 0 && self.refused.is_some_and(|(refused, _)| refused == class) => {
                self.refused = None
            }
            Tag::Control | Tag::Reply(_) if code >= 0x80 => {
                tracing::warn!(code, "the broker refused a state, device, path, beat or reply");
            }
            Tag::Event(_) | Tag::Control | Tag::Reply(_) => {}
        }
        // refused for good: the same bytes would be refused again
        Ok(if let Tag::Reply(id) = open.tag { Some(id) } else { None })
    }

    fn refused(&mut self, class: Class, code: u8) {
        tracing::warn!(class = class.name(), code, "the broker does not take an event; it stays in the journal");
        self.refused = Some((class, code));
    }

    pub(super) fn compare(&mut self, view: &View, paths: &BTreeMap<String, PathStatus>) {
        self.shown.compare(view, paths);
    }

    /// The centre was heard: whether it had been silent.
    pub(super) fn heard(&mut self, now_ms: u64) -> bool {
        let silent = self.heart.silent(now_ms);
        self.heart.alive();
        silent
    }

    /// An echo: whether it answers a beat of this connection, and then whether the centre had been silent.
    pub(super) fn echo(&mut self, payload: &[u8], now_ms: u64) -> Option<bool> {
        let echo: topic::Echo = serde_json::from_slice(payload).ok()?;
        let silent = self.heart.silent(now_ms);
        self.heart.echo(echo.counter, echo.challenge.as_deref()).then_some(silent)
    }
}

fn garbage(detail: String) -> Failure {
    Failure { reason: Reason::Garbage, detail }
}

fn gone() -> Failure {
    Failure { reason: Reason::Closed, detail: "the connection was closed while a publish was handed over".to_owned() }
}
