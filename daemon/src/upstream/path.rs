//! One path: its connection from the first dial to the end, what is shown and beaten on it, and its verdict.
//!
//! Pure: the speaker calls it when something has come or fallen due, and what is to be done it puts on a list. A PUBACK
//! frees a slot and judges the broker; it never delivers anything.

use crate::upstream::backoff::Backoff;
use crate::upstream::outbox::ConnId;
use crate::upstream::outbox::Publish;
use crate::upstream::port::Failure;
use crate::upstream::port::Out;
use crate::upstream::port::Weight;
use crate::upstream::reply::ReplyId;
use crate::upstream::route::Pace;
use crate::upstream::settings::PathSettings;
use crate::upstream::shown::Show;
use crate::upstream::shown::Shown;
use crate::upstream::shown::SignalShown;
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
use std::collections::VecDeque;
use vakt_core::challenge::Challenges;
use vakt_core::event::Class;
use vakt_core::port::Head;
use vakt_core::port::LinkState;
use vakt_core::port::Links;
use vakt_core::port::Signal;
use vakt_core::port::UpstreamNote;
use vakt_core::port::Waiting;
use vakt_core::stamp::Stamp;

/// Bytes of an MQTT PUBLISH beside topic and payload, rounded up: header, lengths, id, empty properties.
const PUBLISH_OVERHEAD: usize = 16;
/// The same with the topic `telemetry` of the longest gateway id, and an expiry.
const TELEMETRY_OVERHEAD: usize = 80;
/// MQTT 5, 3.4.2.1 has no code for "longer than you take"; this is DISCONNECT's.
const TOO_LARGE: u8 = 0x95;

/// The path whose bytes are paid for: devices are not shown on it.
const METERED: &str = "lte";

/// What a publish on its way is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tag {
    Event(Class),
    Control,
    Reply(ReplyId),
}

/// A connection that has begun.
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    since_ms: u64,
    window: Window<Tag>,
    packet_max: usize,
}

/// A connection that carries events.
pub(crate) struct Live {
    pub(crate) conn: Conn,
    heart: Heart,
    shown: Shown,
    /// Since when it is up, as its birth says, and what that says of its modem, if it has one.
    since: String,
    signal: Option<SignalShown>,
    /// The broker does not take a class of events, and why.
    refused: Option<(Class, u8)>,
}

/// ```text
///   Idle ──due──▶ Dialing ──CONNACK──▶ Subscribing ──SUBACK──▶ Live
///    ▲               │                     │                    │
///    └───────────────┴──── any failure ────┴────────────────────┘
/// ```
enum Phase {
    Idle { until_ms: u64 },
    Dialing(Conn),
    Subscribing(Conn),
    Live(Box<Live>),
}

/// What all paths share and this file reads.
pub(crate) struct Site<'a> {
    pub(crate) topics: &'a Topics,
    pub(crate) view: &'a View,
    pub(crate) paths: &'a BTreeMap<String, PathStatus>,
    pub(crate) head: Head,
    pub(crate) waiting: Waiting,
    pub(crate) now: Stamp,
    pub(crate) challenges: &'a Challenges,
}

/// Where what is to be done is put.
pub(crate) type Outs = VecDeque<Out>;

pub(crate) struct Path {
    pub(crate) name: String,
    /// Its place in the settings.
    at: usize,
    phase: Phase,
    backoff: Backoff,
    teller: Teller,
    pace: Pace,
    /// It carries everything; else what is in a hurry, and beats.
    carries: bool,
    /// The interface its sockets are bound to.
    device: Option<String>,
    /// What is wrong with that, by the kernel's word.
    cable: Option<Reason>,
    /// Its modem hears noise and no network.
    jammed: bool,
    beat_ms: u64,
    beats: u64,
}

impl Path {
    pub(crate) fn new(settings: &PathSettings, at: usize, beat_ms: u64) -> Self {
        Self {
            name: settings.name.clone(),
            device: settings.device.clone(),
            cable: None,
            jammed: false,
            at,
            phase: Phase::Idle { until_ms: 0 },
            backoff: Backoff::default(),
            teller: Teller::default(),
            pace: Pace::default(),
            carries: false,
            beat_ms,
            beats: 0,
        }
    }

    pub(crate) fn conn(&self) -> Option<ConnId> {
        match &self.phase {
            Phase::Idle { .. } => None,
            Phase::Dialing(conn) | Phase::Subscribing(conn) => Some(conn.id),
            Phase::Live(live) => Some(live.conn.id),
        }
    }

    /// Whether its bytes are paid for.
    pub(crate) fn is_metered(&self) -> bool {
        self.name == METERED
    }

    /// Whether it carries everything.
    pub(crate) fn is_carrier(&self) -> bool {
        self.carries
    }

    /// Whether it carries events.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live(_))
    }

    pub(crate) fn live(&mut self) -> Option<&mut Live> {
        if let Phase::Live(live) = &mut self.phase { Some(live) } else { None }
    }

    /// Whether a dial is due; an alarm that waits makes it so.
    pub(crate) fn dial_due(&mut self, alarm_waits: bool, now_ms: u64, random: &mut dyn FnMut() -> u64) -> bool {
        let Phase::Idle { until_ms } = &mut self.phase else { return false };
        if alarm_waits && *until_ms > now_ms {
            *until_ms = self.backoff.for_alarm(now_ms, *until_ms, random());
        }
        *until_ms <= now_ms
    }

    pub(crate) fn dial(&mut self, conn: ConnId, now: Stamp, outs: &mut Outs) {
        self.backoff.attempt(now.mono_ms);
        let lost = PathStatus { up: false, since: now.at(), reason: Some("connection_lost".to_owned()) };
        outs.push_back(Out::Dial { path: self.at, conn, will: topic::path_payload(&lost) });
        let packet_max = usize::try_from(topic::PACKET_MAX).unwrap_or(usize::MAX);
        let window = Window::new(u16::MAX);
        self.phase = Phase::Dialing(Conn { id: conn, since_ms: now.mono_ms, window, packet_max });
    }

    /// CONNACK: ask to hear the centre before anything is published, so that nothing is answered unheard.
    pub(crate) fn connected(
        &mut self,
        receive_max: u16,
        packet_max: u32,
        now: Stamp,
        outs: &mut Outs,
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
            outs.push_back(Out::Subscribe { path: self.at, conn: conn.id });
            self.phase = Phase::Subscribing(conn);
        }
        Ok(())
    }

    /// SUBACK: the birth; the first beat and events follow as the broker takes them. `Some`: the connection carries events
    /// from now on.
    pub(crate) fn subscribed(
        &mut self,
        granted: bool,
        site: &Site<'_>,
        outs: &mut Outs,
    ) -> Result<Option<ConnId>, Failure> {
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
        let signal = || SignalShown::born(self.signal(site).cloned(), site.now.mono_ms);
        let signal = (self.name == METERED).then(signal);
        let mut live = Live { conn, heart, shown, since: site.now.at(), signal, refused: None };
        live.birth(site.topics.path(&self.name), self.signal(site), site.now.mono_ms, outs);
        self.phase = Phase::Live(Box::new(live));
        Ok(Some(id))
    }

    /// How its modem is connected, if it has one.
    fn signal<'a>(&self, site: &Site<'a>) -> Option<&'a Signal> {
        site.view.mobile.signal.as_ref().filter(|_| self.name == METERED)
    }

    /// Whether what its modem hears is noise and no network.
    pub(crate) fn jammed(&mut self, jammed: bool) {
        self.jammed = jammed && self.name == METERED;
    }

    /// A farewell, instead of the last will.
    pub(crate) fn stop(&mut self, topics: &Topics, now: Stamp, outs: &mut Outs) {
        if let Phase::Live(live) = &mut self.phase {
            let bye = PathStatus { up: false, since: now.at(), reason: Some(Reason::Stopped.to_string()) };
            let (topic, payload) = (topics.path(&self.name), topic::path_payload(&bye));
            outs.push_back(Out::Publish { conn: live.conn.id, topic, retain: true, payload });
            outs.push_back(Out::Goodbye(live.conn.id));
        } else {
            outs.extend(self.conn().map(Out::Close));
            self.stopped();
        }
    }

    /// Nothing more is to be done on it.
    pub(crate) fn stopped(&mut self) {
        self.phase = Phase::Idle { until_ms: u64::MAX };
    }

    /// What is due on this path besides events and replies: beats, state, devices.
    pub(crate) fn show(&mut self, site: &Site<'_>, outs: &mut Outs) {
        let (now_ms, devices) = (site.now.mono_ms, !self.is_metered());
        let signal = self.signal(site);
        let Phase::Live(live) = &mut self.phase else { return };
        let changed = |shown: &mut SignalShown| shown.next(signal, now_ms);
        if live.conn.window.room().control && live.signal.as_mut().is_some_and(changed) {
            live.birth(site.topics.path(&self.name), signal, now_ms, outs);
        }
        if live.heart.next_ms() <= now_ms && live.conn.window.room().control {
            self.beats += 1;
            live.beat(site, &self.name, self.beats, outs);
        }
        while self.carries && live.conn.window.room().control {
            let Some(show) = live.shown.next(site.view, site.paths, devices, now_ms) else { return };
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
            live.control(topic, true, payload, now_ms, outs);
        }
    }

    /// Takes the kernel's word about its interface; `None`: the kernel does not say. `Some`: the connection is to be given
    /// up, because what it carried while the cable was out would wait for the kernel to send it again.
    pub(crate) fn cable(
        &mut self,
        links: Option<&Links>,
        now_ms: u64,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<Failure> {
        let state = self.device.as_ref().zip(links).map(|(device, links)| links.get(device));
        let cable = match state {
            None | Some(Some(LinkState::Well)) => None,
            Some(Some(LinkState::NoCarrier)) => Some(Reason::NoCarrier),
            Some(Some(LinkState::NoAddress)) => Some(Reason::NoAddress),
            Some(None) => Some(Reason::NoDevice),
        };
        let was = std::mem::replace(&mut self.cable, cable);
        let (Some(was), None) = (was, &self.cable) else { return None };
        let stalled = self.suspect_at_ms().is_some_and(|at| at <= now_ms);
        match &mut self.phase {
            Phase::Idle { .. } => self.dial_soon(now_ms, random()),
            Phase::Live(live) if !stalled => live.heart.doubt(now_ms),
            Phase::Live(_) => {
                let detail = "its cable was out, and what it carried is sent again on a new connection".to_owned();
                return Some(Failure { reason: was, detail });
            }
            Phase::Dialing(_) | Phase::Subscribing(_) => {}
        }
        None
    }

    /// Its cable is in again: it need not wait for its back-off.
    pub(crate) fn dial_soon(&mut self, now_ms: u64, random: u64) {
        if let Phase::Idle { until_ms } = &mut self.phase {
            *until_ms = self.backoff.soon(now_ms, random).min(*until_ms);
        }
    }

    /// Whether it should not carry while another path can: its interface is of no use, its broker refuses events, or
    /// behind its broker the centre is silent.
    pub(crate) fn is_doubtful(&self, now_ms: u64) -> bool {
        let of_no_use = |live: &Live| live.refused.is_some() || live.heart.silent(now_ms);
        self.cable.is_some() || matches!(&self.phase, Phase::Live(live) if of_no_use(live))
    }

    /// Whether it carries from now on, and in which rhythm it beats.
    pub(crate) fn carries(&mut self, carries: bool, beat_ms: u64) {
        (self.carries, self.beat_ms) = (carries, beat_ms);
        if let Phase::Live(live) = &mut self.phase {
            live.heart.every(beat_ms);
        }
    }

    /// How long an alarm waits for its receipt on this path before it leaves on the other too, in milliseconds.
    pub(crate) fn patience_ms(&self) -> u64 {
        self.pace.patience_ms()
    }

    /// When this path becomes suspect if the broker says nothing until then, in monotonic milliseconds.
    pub(crate) fn suspect_at_ms(&self) -> Option<u64> {
        let Phase::Live(live) = &self.phase else { return None };
        live.conn.window.waiting_since_ms().map(|since| since + self.pace.patience_ms())
    }

    /// The broker's answer to a publish: the reply it settles, if it was one.
    pub(crate) fn answered(
        &mut self,
        id: u16,
        code: u8,
        now_ms: u64,
        outs: &mut Outs,
    ) -> Result<Option<ReplyId>, Failure> {
        let Phase::Live(live) = &mut self.phase else { return Ok(None) };
        let Some(open) = live.conn.window.answered(id, now_ms) else {
            return Err(garbage(format!("the broker acknowledged id {id}, which is not open")));
        };
        self.pace.answered(now_ms.saturating_sub(open.since_ms));
        live.answered(open.tag, code, outs);
        // refused for good: the same bytes would be refused again
        Ok(if let Tag::Reply(id) = open.tag { Some(id) } else { None })
    }

    /// A deadline of this connection that has passed.
    pub(crate) fn overdue(&self, now_ms: u64) -> Option<Failure> {
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
    pub(crate) fn due_ms(&self) -> Option<u64> {
        match &self.phase {
            Phase::Idle { until_ms } => Some(*until_ms),
            Phase::Dialing(_) => None, // the dialler and the client have their own limits
            Phase::Subscribing(conn) => Some(conn.since_ms + BROKER_PATIENCE_MS),
            Phase::Live(live) => {
                let answer = live.conn.window.waiting_since_ms().map(|since| since + BROKER_PATIENCE_MS);
                // without room the next answer wakes us
                let room = live.conn.window.room().control;
                let shown = live.shown.due_ms(!self.is_metered()).filter(|_| room && self.carries);
                let beat = room.then(|| live.heart.next_ms());
                let signal = live.signal.as_ref().and_then(SignalShown::due_ms).filter(|_| room);
                [answer, shown, beat, signal, self.teller.due_ms()].into_iter().flatten().min()
            }
        }
    }

    /// The connection is over: the note, if the verdict changed.
    pub(crate) fn ended(
        &mut self,
        failure: &Failure,
        now_ms: u64,
        random: u64,
        outs: &mut Outs,
    ) -> Option<UpstreamNote> {
        let lived = match &self.phase {
            Phase::Live(live) => now_ms.saturating_sub(live.conn.since_ms),
            _ => 0,
        };
        outs.extend(self.conn().map(Out::Close));
        self.phase = Phase::Idle { until_ms: self.backoff.ended(now_ms, lived, random) };
        // a name that is not found says less than a cable that is out, and that less than a jammer
        let reason = if self.jammed { &Reason::Jammed } else { self.cable.as_ref().unwrap_or(&failure.reason) };
        let note = self.teller.tell(&self.name, Some(reason), now_ms);
        let text = format!("path {}, {reason}: {}", self.name, failure.detail);
        outs.push_back(Out::Log { weight: if note.is_some() { Weight::Warn } else { Weight::Debug }, text });
        note
    }

    /// The verdict of a living connection: the note, if it changed.
    pub(crate) fn judge(&mut self, now_ms: u64, outs: &mut Outs) -> Option<UpstreamNote> {
        let verdict = if let Some(cable) = &self.cable {
            Some(if self.jammed { Reason::Jammed } else { cable.clone() })
        } else if let Phase::Live(live) = &self.phase {
            let Some(verdict) = live.verdict(now_ms) else {
                self.teller.unknown();
                return None;
            };
            verdict
        } else {
            return None; // why it ended was told then
        };
        let note = self.teller.tell(&self.name, verdict.as_ref(), now_ms);
        if note.is_some() {
            let word = verdict.map_or("up".to_owned(), |reason| reason.to_string());
            outs.push_back(Out::Log { weight: Weight::Info, text: format!("path {} is {word}", self.name) });
        }
        note
    }
}

impl Live {
    /// What is to be told of it; `Some(None)` is up, `None` nothing yet.
    fn verdict(&self, now_ms: u64) -> Option<Option<Reason>> {
        if let Some((_, code)) = self.refused {
            Some(Some(Reason::PublishRefused(code)))
        } else if self.heart.silent(now_ms) {
            Some(Some(Reason::CentreSilent))
        } else {
            self.heart.up(now_ms).then_some(None)
        }
    }

    /// An event goes out; it is in the outbox's books already.
    pub(crate) fn event(&mut self, topics: &Topics, publish: Publish, now_ms: u64, outs: &mut Outs) {
        if topics.event(publish.class).len() + publish.wire.len() + PUBLISH_OVERHEAD > self.conn.packet_max {
            // sending it would end the connection, each time anew
            return self.refused(publish.class, TOO_LARGE, outs);
        }
        let kind = if publish.class == Class::Alarm { Kind::Alarm } else { Kind::Event };
        self.conn.window.take(kind, Tag::Event(publish.class), now_ms);
        outs.push_back(Out::Event { conn: self.conn.id, publish });
    }

    pub(crate) fn room(&self) -> Room {
        self.conn.window.room()
    }

    fn control(&mut self, topic: String, retain: bool, payload: Vec<u8>, now_ms: u64, outs: &mut Outs) {
        if self.fits(&topic, &payload, outs) {
            self.conn.window.take(Kind::Control, Tag::Control, now_ms);
            outs.push_back(Out::Publish { conn: self.conn.id, topic, retain, payload });
        }
    }

    /// A reply goes out. `false`: the broker takes none so long, now or ever.
    pub(crate) fn reply(&mut self, topic: String, id: ReplyId, payload: Vec<u8>, now_ms: u64, outs: &mut Outs) -> bool {
        let fits = self.fits(&topic, &payload, outs);
        if fits {
            self.conn.window.take(Kind::Reply, Tag::Reply(id), now_ms);
            outs.push_back(Out::Publish { conn: self.conn.id, topic, retain: false, payload });
        }
        fits
    }

    /// Whether nothing is on its way.
    pub(crate) fn rests(&self) -> bool {
        self.conn.window.waiting_since_ms().is_none()
    }

    /// Measurements go out. There is no answer to them.
    pub(crate) fn telemetry(&mut self, payload: Vec<u8>, outs: &mut Outs) {
        if payload.len() + TELEMETRY_OVERHEAD <= self.conn.packet_max {
            outs.push_back(Out::Telemetry { conn: self.conn.id, payload });
        }
    }

    fn birth(&mut self, topic: String, signal: Option<&Signal>, now_ms: u64, outs: &mut Outs) {
        let status = PathStatus { up: true, since: self.since.clone(), reason: None };
        self.control(topic, true, topic::birth_payload(&status, signal), now_ms, outs);
    }

    fn fits(&self, topic: &str, payload: &[u8], outs: &mut Outs) -> bool {
        let bytes = topic.len() + payload.len() + PUBLISH_OVERHEAD;
        let fits = bytes <= self.conn.packet_max;
        if !fits {
            let text = format!("{topic} is not published: its {bytes} bytes are more than the broker takes");
            outs.push_back(Out::Log { weight: Weight::Warn, text });
        }
        fits
    }

    fn beat(&mut self, site: &Site<'_>, path: &str, counter: u64, outs: &mut Outs) {
        let challenge = site.challenges.mint(site.now);
        let beat = Beat {
            counter,
            head: site.head,
            oldest_pending_ms: site.waiting.oldest.and_then(|oldest| topic::age_ms(oldest, site.now)),
            challenge: challenge.clone(),
            at: site.now,
        };
        self.heart.beat(counter, challenge, site.now.mono_ms);
        self.control(site.topics.beat(path), false, topic::beat_payload(&beat), site.now.mono_ms, outs);
    }

    pub(crate) fn left(&mut self, id: u16) -> Result<(), Failure> {
        self.conn.window.left(id).map_err(|e| garbage(e.to_string()))
    }

    fn answered(&mut self, tag: Tag, code: u8, outs: &mut Outs) {
        match tag {
            Tag::Event(class) if code >= 0x80 => self.refused(class, code, outs),
            // taken again, so whatever was wrong with this class is over
            Tag::Event(class) if code == 0 && self.refused.is_some_and(|(refused, _)| refused == class) => {
                self.refused = None
            }
            Tag::Control | Tag::Reply(_) if code >= 0x80 => {
                let text = format!("the broker refused a state, device, path, beat or reply: 0x{code:02x}");
                outs.push_back(Out::Log { weight: Weight::Warn, text });
            }
            Tag::Event(_) | Tag::Control | Tag::Reply(_) => {}
        }
    }

    fn refused(&mut self, class: Class, code: u8, outs: &mut Outs) {
        let text =
            format!("the broker does not take an event ({}, 0x{code:02x}); it stays in the journal", class.name());
        outs.push_back(Out::Log { weight: Weight::Warn, text });
        self.refused = Some((class, code));
    }

    pub(crate) fn compare(&mut self, view: &View, paths: &BTreeMap<String, PathStatus>) {
        self.shown.compare(view, paths);
        self.signal.iter_mut().for_each(|signal| signal.compare(view.mobile.signal.as_ref()));
    }

    /// The centre was heard: whether it had been silent.
    pub(crate) fn heard(&mut self, now_ms: u64) -> bool {
        let silent = self.heart.silent(now_ms);
        self.heart.alive();
        silent
    }

    /// An echo: whether it answers a beat of this connection, and then whether the centre had been silent.
    pub(crate) fn echo(&mut self, payload: &[u8], now_ms: u64) -> Option<bool> {
        let echo: topic::Echo = serde_json::from_slice(payload).ok()?;
        let silent = self.heart.silent(now_ms);
        self.heart.echo(echo.counter, echo.challenge.as_deref()).then_some(silent)
    }
}

fn garbage(detail: String) -> Failure {
    Failure { reason: Reason::Garbage, detail }
}
