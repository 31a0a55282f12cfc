//! The hub's way to the centre: the real speaker, on connections that are simulated. What `upstream/io` does around it,
//! hand things over and count packet ids, is told here again, without sockets.

use super::World;
use super::bugs::Bug;
use super::checks::Check;
use super::checks::Held;
use super::checks::broken;
use super::net::Down;
use super::net::Packet;
use super::story::DAY;
use super::story::Refusal;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use vakt_core::challenge::Challenges;
use vakt_core::device::GatewayId;
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
use vakt_core::port::Waiting;
use vakt_core::stamp::Stamp;
use vaktd::upstream::cursor::SEND_AHEAD;
use vaktd::upstream::outbox::ConnId;
use vaktd::upstream::outbox::Publish;
use vaktd::upstream::port::Failure;
use vaktd::upstream::port::LinkEvent;
use vaktd::upstream::port::Out;
use vaktd::upstream::receipt::Claim;
use vaktd::upstream::settings::PathSettings;
use vaktd::upstream::settings::Settings;
use vaktd::upstream::speaker::Around;
use vaktd::upstream::speaker::Speaker;
use vaktd::upstream::topic::PACKET_MAX;
use vaktd::upstream::topic::View;
use vaktd::upstream::verdict::Reason;

/// An alarm without the centre's receipt after so many s is told to be late.
pub(super) const ALARM_DEADLINE_S: u32 = 30;
/// From beat to beat, on the first path and on the other, in s. Longer than on site: each costs real time here.
const BEATS_S: [u32; 2] = [8 * 60, 20 * 60];
/// Publishes the broker takes at once, as mosquitto says it.
const RECEIVE_MAX: u16 = 20;
/// Receipts are written down together.
const RECEIPTS_MS: u64 = 200;
/// The paths.
pub(super) const PATHS: [&str; 2] = ["eth", "lte"];
/// Their interfaces.
pub(super) const DEVICES: [&str; 2] = ["eth0", "wwan0"];

/// The MQTT client of a connection: it numbers what leaves.
struct Client {
    path: usize,
    last: u16,
    open: BTreeSet<u16>,
    live: bool,
}

/// Everything upstream holds.
pub(super) struct Voice {
    pub speaker: Speaker,
    clients: BTreeMap<ConnId, Client>,
    /// The speaker numbers its connections from 1 in each run; here no number is used twice.
    base: ConnId,
    /// Waiting to be written down together.
    pub receipts: Vec<Receipt>,
    receipts_at: u64,
    /// Alarms that were handed over before the disk had them.
    unjournaled: BTreeSet<EventId>,
    /// Something has changed since it last looked.
    pub stirred: bool,
}

impl Voice {
    pub(super) fn new(head: Place, challenges: Challenges, base: ConnId, now: Stamp) -> Self {
        let path = |at: usize| PathSettings {
            name: PATHS[at].to_owned(),
            brokers: vec![],
            device: Some(DEVICES[at].to_owned()),
            tls: None,
        };
        let settings = Settings {
            gateway: GatewayId::new("hub").expect("a name"),
            run_dir: PathBuf::new(),
            state_dir: PathBuf::new(),
            paths: (0..PATHS.len()).map(path).collect(),
            alarm_deadline_s: ALARM_DEADLINE_S,
            beat_primary_s: BEATS_S[0],
            beat_alternative_s: BEATS_S[1],
        };
        Self {
            speaker: Speaker::new(&settings, challenges, head, now),
            clients: BTreeMap::new(),
            base,
            receipts: Vec::new(),
            receipts_at: u64::MAX,
            unjournaled: BTreeSet::new(),
            stirred: true,
        }
    }

    /// When it has something to do by time alone, on the monotonic clock.
    pub(super) fn due_mono_ms(&mut self, now_ms: u64) -> u64 {
        self.speaker.due_ms(now_ms).unwrap_or(u64::MAX).min(self.receipts_at)
    }

    pub(super) fn unjournaled(&mut self, alarm: Unjournaled, now: Stamp) {
        if self.speaker.takes_unjournaled() {
            self.unjournaled.insert(alarm.id);
            self.speaker.unjournaled(alarm, now);
            self.stirred = true;
        }
    }

    /// A path the centre's orders can come by.
    pub(super) fn carries(&self) -> Option<(usize, ConnId)> {
        let live = self.clients.iter().filter(|(_, client)| client.live);
        live.map(|(conn, client)| (client.path, *conn)).min()
    }

    /// The connection of a path, begun or made.
    pub(super) fn conn(&self, path: usize) -> Option<ConnId> {
        self.clients.iter().find(|(_, client)| client.path == path).map(|(conn, _)| *conn)
    }

    pub(super) fn is_connected(&self, conn: ConnId) -> bool {
        self.clients.contains_key(&conn)
    }
}

impl World {
    /// Everything upstream can do at this moment.
    pub(super) fn speaks_up(&mut self) -> Held {
        let now = self.stamp();
        if self.story.bug == Some(Bug::StaysStuck) && self.now + DAY > self.story.length_ms {
            self.hub.iter_mut().for_each(|hub| hub.voice.stirred = false);
            return Ok(());
        }
        // It asks the journal and is answered; this many answers are more than all windows hold.
        for _ in 0..64 {
            let Some(hub) = self.hub.as_mut() else { return Ok(()) };
            hub.voice.stirred = false;
            self.speaker(Speaker::work);
            if !self.performs(now)? {
                break;
            }
        }
        self.notes(now)?;
        self.cables_are_told()?;
        self.delays_are_told()?;
        let Some(hub) = self.hub.as_mut() else { return Ok(()) };
        let unreceipted = |conn: &ConnId| hub.voice.speaker.outbox().unreceipted(conn - hub.voice.base);
        let waits: Vec<usize> = hub.voice.clients.keys().map(unreceipted).collect();
        if waits.iter().any(|waits| *waits > 6 * SEND_AHEAD) {
            return broken(Check::Limits, format!("{waits:?} events on their way"));
        }
        if hub.voice.receipts_at <= now.mono_ms {
            hub.voice.receipts_at = u64::MAX;
            self.notes_receipts();
        }
        Ok(())
    }

    /// Calls the speaker with the world as it is now.
    fn speaker(&mut self, call: impl FnOnce(&mut Speaker, &mut Around<'_>)) {
        let (now, view) = (self.stamp(), View::default());
        let deaf = self.story.bug == Some(Bug::DeafToKernel);
        let Self { hub, prng, kernel, .. } = self;
        let links = kernel.as_ref().filter(|_| !deaf);
        let Some(hub) = hub else { return };
        let head = *hub.journal.head().borrow();
        let random = &mut || prng.draw();
        let waiting = Waiting::default();
        let mut around = Around { now, head, waiting, view: &view, keys: &[], links, media: 0, random };
        call(&mut hub.voice.speaker, &mut around);
    }

    /// Does what the speaker says. Whether the journal has answered it.
    fn performs(&mut self, now: Stamp) -> Result<bool, super::checks::Broken> {
        let mut answered = false;
        loop {
            let Some(hub) = self.hub.as_mut() else { return Ok(answered) };
            let base = hub.voice.base;
            match hub.voice.speaker.out() {
                None => return Ok(answered),
                Some(Out::Dial { path, conn, .. }) => {
                    let once = self.story.bug == Some(Bug::DialsOnce);
                    let again = conn > PATHS.len() as ConnId;
                    let client = Client { path, last: 0, open: BTreeSet::new(), live: false };
                    hub.voice.clients.insert(base + conn, client);
                    self.conns = self.conns.max(base + conn);
                    if !(once && again) {
                        self.dials(path, base + conn);
                    }
                }
                Some(Out::Subscribe { path, conn }) => {
                    if let Some(client) = hub.voice.clients.get_mut(&(base + conn)) {
                        (client.last, client.live) = (1, true); // a subscription takes an id from the same row
                    }
                    let granted = !self.links[path].refuses(Refusal::Subscribe);
                    if !granted {
                        self.said[path].ends(&Reason::SubscribeRefused);
                    }
                    self.tells(path, base + conn, LinkEvent::Subscribed(granted));
                }
                Some(Out::Event { conn, publish }) => self.publishes(base + conn, publish, now)?,
                Some(Out::Publish { conn, topic, payload, .. }) => {
                    let counter = serde_json::from_slice(&payload).ok().and_then(|beat: serde_json::Value| {
                        beat.get("counter").and_then(serde_json::Value::as_u64).filter(|_| topic.ends_with("/beat"))
                    });
                    if let Some((at, id)) = self.numbers(base + conn)? {
                        self.goes_up(at, base + conn, Packet::Other { id, counter });
                    }
                }
                Some(
                    Out::Goodbye(_) | Out::Telemetry { .. } | Out::Order(_) | Out::DialMedia { .. } | Out::AskMedia(_),
                ) => {} // nobody stops the daemon, and orders come another way
                Some(Out::Close(conn)) => {
                    hub.voice.clients.remove(&(base + conn));
                    self.evidence.over(base + conn);
                }
                Some(Out::Ask(asked)) => {
                    let rows = self.reads(&asked);
                    let Some(hub) = self.hub.as_mut() else { return Ok(answered) };
                    hub.voice.speaker.answered(rows.as_deref(), now);
                    answered |= rows.is_some();
                }
                Some(Out::Log { text, .. }) => self.trace.note(self.now, "upstream", format_args!("{text}")),
            }
        }
    }

    fn tells(&mut self, at: usize, conn: ConnId, event: LinkEvent) {
        let base = self.hub.as_ref().map_or(0, |hub| hub.voice.base);
        self.speaker(|speaker, around| speaker.told(at, conn - base, event, around));
    }

    /// The client puts one more publish on the wire: its path and number.
    fn numbers(&mut self, conn: ConnId) -> Result<Option<(usize, u16)>, super::checks::Broken> {
        let Some(client) = self.hub.as_mut().and_then(|hub| hub.voice.clients.get_mut(&conn)) else { return Ok(None) };
        client.last = if client.last >= RECEIVE_MAX { 1 } else { client.last + 1 };
        let (at, id) = (client.path, client.last);
        if !client.open.insert(id) || client.open.len() > 16 {
            return broken(Check::Limits, format!("id {id} beside {} others", client.open.len()));
        }
        self.tells(at, conn, LinkEvent::Left(id));
        Ok(Some((at, id)))
    }

    /// What it has to say to the hub.
    fn notes(&mut self, now: Stamp) -> Held {
        while let Some(note) = self.hub.as_mut().and_then(|hub| hub.voice.speaker.note()) {
            match note {
                UpstreamNote::Overdue { .. } if self.story.bug == Some(Bug::HidesDelays) => {}
                UpstreamNote::Overdue { event, after_ms, .. } => {
                    self.late.insert(event);
                    self.inbox.push_back((Input::Overdue { event, after_ms }, None));
                }
                UpstreamNote::Path { path, reason } => {
                    self.is_said_of_path(&path, reason.as_deref())?;
                    self.inbox.push_back((Input::Path { path, reason }, None));
                }
                UpstreamNote::Receipt(receipt) => {
                    self.evidence.receipt(receipt.epoch, receipt.upto, &receipt.seqs);
                    let Some(hub) = self.hub.as_mut() else { return Ok(()) };
                    hub.voice.receipts.push(receipt);
                    hub.voice.receipts_at = hub.voice.receipts_at.min(now.mono_ms + RECEIPTS_MS);
                }
                UpstreamNote::RefusedReceipt { reason, .. } => {
                    return broken(Check::Delivered, format!("an honest receipt was refused: {reason}"));
                }
                UpstreamNote::RefusedOrder { .. } | UpstreamNote::Media(_) => {}
            }
        }
        Ok(())
    }

    /// The journal's answer to the outbox, unless the disk keeps it back.
    fn reads(&mut self, asked: &NextEvents) -> Option<Vec<Stored>> {
        let fails = self.disk_fault.is_some() && self.prng.chance(300);
        let hub = self.hub.as_mut().filter(|_| !fails)?;
        let mut rows = hub.reader.next(asked).expect("a disk that is there is read");
        if self.story.bug == Some(Bug::MutesFire) {
            rows.retain(|row| !self.fires.contains(&row.id));
        }
        Some(rows)
    }

    /// An event leaves the hub.
    fn publishes(&mut self, conn: ConnId, mut publish: Publish, now: Stamp) -> Held {
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
                    self.leaves(conn, publish)?;
                    return self.leaves(conn, held);
                }
                other => self.held_back = other,
            },
            Some(Bug::BelievesItself) if publish.class == Class::Access => {
                if let (Some(place), Some((at, id))) = (publish.place, self.numbers(conn)?) {
                    self.confirms(at, conn, id, 0);
                    self.said[at].heard(conn);
                    let claim = claim(place.epoch, 0, vec![place.seq], vec![]);
                    self.hub.iter_mut().for_each(|hub| hub.voice.speaker.claimed(at, claim.clone(), now));
                }
                return self.notes(now);
            }
            _ => {}
        }
        self.leaves(conn, publish)
    }

    fn leaves(&mut self, conn: ConnId, publish: Publish) -> Held {
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
        if let Some((at, id)) = self.numbers(conn)? {
            self.goes_up(at, conn, Packet::Event { id, class: publish.class, wire: publish.wire });
        }
        Ok(())
    }

    fn confirms(&mut self, at: usize, conn: ConnId, id: u16, code: u8) {
        if code >= 0x80 {
            self.said[at].refused(conn);
        }
        if let Some(client) = self.hub.as_mut().and_then(|hub| hub.voice.clients.get_mut(&conn)) {
            client.open.remove(&id);
        }
        self.tells(at, conn, LinkEvent::Answered { id, code });
    }

    /// The process is gone, and its connections with it.
    pub(super) fn connections_die(&mut self) {
        self.held_back = None;
    }

    /// What comes down a connection.
    pub(super) fn hears(&mut self, at: usize, conn: ConnId, down: Down) -> Held {
        let now = self.stamp();
        let Some(hub) = self.hub.as_mut().filter(|hub| hub.voice.is_connected(conn)) else { return Ok(()) };
        hub.voice.stirred = true;
        let ended = |reason: Reason| LinkEvent::Ended(Failure { reason, detail: "as the story has it".to_owned() });
        match down {
            Down::Dialed(None) => {
                let connected = LinkEvent::Connected { receive_max: RECEIVE_MAX, packet_max: PACKET_MAX };
                self.tells(at, conn, connected);
                if self.story.bug == Some(Bug::CallsItUp) {
                    self.is_said_of_path(PATHS[at], None)?;
                }
            }
            Down::Dialed(Some(reason)) => {
                self.said[at].ends(&reason);
                self.tells(at, conn, ended(reason));
            }
            Down::Puback(id, code) => self.confirms(at, conn, id, code),
            Down::Echo { counter } => {
                self.said[at].heard(conn);
                let topic = format!("vakt/v1/hub/path/{}/echo", PATHS[at]).into_bytes();
                let payload = format!(r#"{{"counter":{counter}}}"#).into_bytes();
                self.tells(at, conn, LinkEvent::Message { topic, retained: false, payload });
            }
            Down::Receipt(claim) => {
                self.said[at].heard(conn);
                hub.voice.speaker.claimed(at, *claim, now);
                return self.notes(now); // what is settled need not leave before what follows it
            }
            Down::Order(warrant) => self.asks.push_back(Input::Warrant(warrant)),
            Down::Ended => {
                self.said[at].ends(&Reason::Closed);
                self.tells(at, conn, ended(Reason::Closed));
            }
        }
        Ok(())
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
