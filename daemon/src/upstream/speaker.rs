//! Everything that speaks to the centre, brought together: the paths' connections, the outbox's next step, receipts,
//! orders and their replies, the notes for the hub.
//!
//! Pure: it is told what has come and what time it is, and says what is to be done. Who holds the sockets does it, in
//! that order. It never waits, so an alarm never waits for a name server, a broker or a slow hub.

use crate::upstream::media::Calm;
use crate::upstream::media::Media;
use crate::upstream::outbox::ConnId;
use crate::upstream::outbox::Outbox;
use crate::upstream::outbox::Settled;
use crate::upstream::outbox::Step;
use crate::upstream::path::Outs;
use crate::upstream::path::Path;
use crate::upstream::path::Site;
use crate::upstream::port::Failure;
use crate::upstream::port::LinkEvent;
use crate::upstream::port::Out;
use crate::upstream::port::Weight;
use crate::upstream::receipt;
use crate::upstream::receipt::Claim;
use crate::upstream::receipt::Signed;
use crate::upstream::refusals::Rate;
use crate::upstream::refusals::Refusals;
use crate::upstream::reply::Replies;
use crate::upstream::route::Route;
use crate::upstream::settings::Settings;
use crate::upstream::topic::PathStatus;
use crate::upstream::topic::TELEMETRY_EXPIRES_S;
use crate::upstream::topic::Topics;
use crate::upstream::topic::View;
use crate::upstream::topic::reply_payload;
use crate::upstream::topic::telemetry_payload;
use crate::upstream::warrant;
use crate::upstream::warrant::Refusal;
use crate::upstream::warrant::Refused;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use vakt_core::challenge::Challenges;
use vakt_core::device::GatewayId;
use vakt_core::port::Answered;
use vakt_core::port::Head;
use vakt_core::port::Links;
use vakt_core::port::ListedKey;
use vakt_core::port::Measured;
use vakt_core::port::MediaPiece;
use vakt_core::port::NextEvents;
use vakt_core::port::Place;
use vakt_core::port::Stored;
use vakt_core::port::Unjournaled;
use vakt_core::port::UpstreamNote;
use vakt_core::port::Waiting;
use vakt_core::stamp::Stamp;
use vakt_core::warrant::Answer;
use vakt_core::warrant::Status;

/// Notes waiting for the hub. When it is reached receipts are not taken, the centre signs again when the events come
/// again, and deadlines are told late.
const NOTES_MAX: usize = 64;
/// Devices' measurements held until they can be told.
const MEASURED_MAX: usize = 64;
/// After the journal did not answer, milliseconds until it is asked again.
const ASK_AGAIN_MS: u64 = 200;
/// Replies a second to what is not rightly signed, and as many again to what is and is no warrant. Who floods is counted
/// and hears no more.
const REFUSALS_A_SECOND: u32 = 10;

/// What the speaker looks at besides what it is told.
pub struct Around<'a> {
    /// The hub's clock.
    pub now: Stamp,
    /// The journal's newest row.
    pub head: Head,
    /// What waits for receipts, for `state` and beats.
    pub waiting: Waiting,
    /// What `state` and `device` topics show.
    pub view: &'a View,
    /// Every listed key.
    pub keys: &'a [ListedKey],
    /// How the interfaces stand, if the kernel says.
    pub links: Option<&'a Links>,
    /// The keeper's stock of media: changes whenever there may be something new to send, 0 when there is nothing.
    pub media: u64,
    /// Draws a number.
    pub random: &'a mut dyn FnMut() -> u64,
}

/// One hub's voice.
pub struct Speaker {
    gateway: GatewayId,
    topics: Topics,
    outbox: Outbox,
    paths: Vec<Path>,
    route: Route,
    /// From beat to beat on the first path, and on the other while the first is good.
    beats_ms: [u64; 2],
    /// What `state` says of the paths.
    statuses: BTreeMap<String, PathStatus>,
    statuses_changed: bool,
    refusals: Refusals<receipt::Refused>,
    refused_orders: Refusals<Refused>,
    forged_replies: Rate,
    signed_replies: Rate,
    replies: Replies,
    media: Media,
    /// What was measured and has not been told.
    measured: Vec<Measured>,
    challenges: Challenges,
    notes: VecDeque<UpstreamNote>,
    /// The question the journal has not answered, and where its head was.
    question: Option<(NextEvents, Place)>,
    ask_after_ms: u64,
    last_conn: ConnId,
    outs: Outs,
}

impl Speaker {
    /// A hub that has just started, its journal at `head`.
    pub fn new(settings: &Settings, challenges: Challenges, head: Place, now: Stamp) -> Self {
        let beats_ms = [settings.beat_primary_s, settings.beat_alternative_s].map(|s| u64::from(s) * 1_000);
        let unknown = || PathStatus { up: false, since: now.at(), reason: None };
        let paths = settings.paths.iter().enumerate();
        Self {
            topics: Topics::new(&settings.gateway),
            outbox: Outbox::new(head, u64::from(settings.alarm_deadline_s) * 1_000),
            paths: paths.map(|(at, path)| Path::new(path, at, beats_ms[at.min(1)])).collect(),
            route: Route::new(settings.paths.len()),
            beats_ms,
            statuses: settings.paths.iter().map(|path| (path.name.clone(), unknown())).collect(),
            statuses_changed: false,
            refusals: Refusals::default(),
            refused_orders: Refusals::default(),
            forged_replies: Rate::a_second(REFUSALS_A_SECOND),
            signed_replies: Rate::a_second(REFUSALS_A_SECOND),
            replies: Replies::default(),
            media: Media::new(),
            measured: Vec::new(),
            challenges,
            notes: VecDeque::new(),
            question: None,
            ask_after_ms: 0,
            last_conn: 0,
            outs: Outs::new(),
            gateway: settings.gateway.clone(),
        }
    }

    /// Everything that can be done at this moment.
    pub fn work(&mut self, around: &mut Around<'_>) {
        let now = around.now;
        self.outbox.head(around.head.place);
        if self.notes.len() < NOTES_MAX {
            let overdue = self.outbox.tick(now);
            self.notes.extend(overdue);
        }
        for at in 0..self.paths.len() {
            self.paths[at].jammed(around.view.mobile.jammed);
            let unplugged = self.paths[at].cable(around.links, now.mono_ms, around.random);
            if let Some(failure) = &unplugged {
                self.end(at, failure, around);
                self.paths[at].dial_soon(now.mono_ms, (around.random)());
            } else if let Some(failure) = self.paths[at].overdue(now.mono_ms) {
                self.end(at, &failure, around);
            }
            if self.paths[at].dial_due(self.outbox.alarm_waits(), now.mono_ms, around.random) {
                self.last_conn += 1;
                self.paths[at].dial(self.last_conn, now, &mut self.outs);
            }
        }
        let carrier = self.steer(now);
        let mut calm = false;
        // what carries is asked first, so that an alarm leaves there first
        for at in carrier.into_iter().chain((0..self.paths.len()).filter(|at| Some(*at) != carrier)) {
            let rests = self.send(at, around);
            calm |= rests && Some(at) == carrier;
            let note = self.paths[at].judge(now.mono_ms, &mut self.outs);
            self.note_path(note, now);
        }
        self.tell_measured(carrier, now);
        self.speak_media(carrier, calm, around);
        if std::mem::take(&mut self.statuses_changed) {
            self.seen(around.view);
        }
        if self.question.is_none()
            && let Some(asked) = self.outbox.watch()
        {
            self.ask(asked, around);
        }
    }

    /// Which path carries, and which beats how often.
    fn steer(&mut self, now: Stamp) -> Option<usize> {
        for (at, path) in self.paths.iter().enumerate() {
            let stalled = path.suspect_at_ms().is_some_and(|at| at <= now.mono_ms);
            if path.is_doubtful(now.mono_ms) {
                self.route.suspected(at);
            } else if stalled {
                if self.route.suspected(at) {
                    let text = format!("path {}: no word from the broker for {} ms", path.name, path.patience_ms());
                    self.outs.push_back(Out::Log { weight: Weight::Info, text });
                }
            } else {
                self.route.relieved(at, now.mono_ms);
            }
        }
        let carrier = self.route.carrier(now.mono_ms);
        let conn = carrier.and_then(|at| self.paths[at].conn());
        let patience_ms = carrier.map_or(0, |at| self.paths[at].patience_ms());
        self.outbox.carry(conn, patience_ms, now.mono_ms);
        for (at, path) in self.paths.iter_mut().enumerate() {
            let carries = carrier == Some(at);
            path.carries(carries, self.beats_ms[usize::from(at > 0 && !carries)]);
        }
        carrier
    }

    /// What is to be done next.
    pub fn out(&mut self) -> Option<Out> {
        self.outs.pop_front()
    }

    /// The next note for the hub.
    pub fn note(&mut self) -> Option<UpstreamNote> {
        self.notes.pop_front()
    }

    /// Whether there is one.
    pub fn has_note(&self) -> bool {
        !self.notes.is_empty()
    }

    /// What it holds for the centre.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Media last, and not for more money than was agreed: events go all the same.
    fn speak_media(&mut self, carrier: Option<usize>, calm: bool, around: &mut Around<'_>) {
        let calm = calm && !self.outbox.alarm_waits();
        let metered = |at: usize| (at, self.paths[at].is_metered());
        let may = |(_, metered): &(usize, bool)| !(*metered && around.view.mobile.spent);
        let calm =
            Calm { carrier: carrier.map(metered).filter(may), calm, stock: around.media, now_ms: around.now.mono_ms };
        let Self { media, topics, last_conn, outs, .. } = self;
        media.work(&calm, topics, last_conn, (around.random)(), outs);
    }

    /// The keeper's answer to a question for media; `None`: it has nothing more in this round, or could not look.
    pub fn media_answered(&mut self, piece: Option<MediaPiece>, around: &Around<'_>) {
        let metered = self.paths.iter().any(|path| path.is_metered() && path.is_carrier());
        self.media.answered(piece, around.media, metered, around.now.mono_ms);
    }

    /// Events first, then replies, then beats, state and devices. Whether no event is left that could go.
    fn send(&mut self, at: usize, around: &Around<'_>) -> bool {
        let now = around.now;
        let mut rests = false;
        while let Some(live) = self.paths[at].live() {
            match self.outbox.step(live.conn.id, live.room(), now) {
                Step::Send(publish) => live.event(&self.topics, publish, now.mono_ms, &mut self.outs),
                Step::Read(asked) => {
                    self.ask(asked, around);
                    break;
                }
                Step::Rest => {
                    rests = live.room().event;
                    break;
                }
            }
        }
        self.send_replies(at, now);
        let Self { paths, topics, statuses, challenges, outs, .. } = self;
        paths[at].show(&site(topics, statuses, challenges, around), outs);
        rests
    }

    fn send_replies(&mut self, at: usize, now: Stamp) {
        let live: Vec<bool> = self.paths.iter().map(Path::is_live).collect();
        let Self { paths, topics, replies, outs, .. } = self;
        while let Some(carrier) = paths[at].live().filter(|live| live.room().reply) {
            let Some((id, jti, payload)) = replies.next(at, |path| live.get(path) == Some(&true)) else { return };
            if carrier.reply(topics.reply(&jti), id, payload, now.mono_ms, outs) {
                replies.sent(id, carrier.conn.id);
            } else {
                replies.settled(id);
            }
        }
    }

    fn ask(&mut self, asked: NextEvents, around: &Around<'_>) {
        if self.question.is_none() && around.now.mono_ms >= self.ask_after_ms {
            // the head was read before the question leaves, so the answer covers at least what is below it
            self.question = Some((asked, around.head.place));
            self.outs.push_back(Out::Ask(asked));
        }
    }

    /// The journal's answer to the question; `None`: it could not look.
    pub fn answered(&mut self, answer: Option<&[Stored]>, now: Stamp) {
        let Some((asked, head)) = self.question.take() else { return };
        match answer {
            Some(rows) => self.outbox.read(asked, head, rows, now),
            None => self.ask_after_ms = now.mono_ms + ASK_AGAIN_MS,
        }
    }

    /// A connection has told something.
    pub fn told(&mut self, at: usize, conn: ConnId, event: LinkEvent, around: &mut Around<'_>) {
        if self.media.conn() == Some((at, conn)) {
            let (stock, random) = (around.media, (around.random)());
            return self.media.told(event, stock, around.now.mono_ms, random, &mut self.outs);
        }
        if self.paths[at].conn() != Some(conn) {
            return; // the last words of a connection given up
        }
        let now = around.now;
        let Self { paths, replies, outs, .. } = self;
        let path = &mut paths[at];
        let result = match event {
            LinkEvent::Connected { receive_max, packet_max } => path.connected(receive_max, packet_max, now, outs),
            LinkEvent::Subscribed(granted) => self.subscribed(at, granted, around),
            LinkEvent::Left(id) => path.live().map_or(Ok(()), |live| live.left(id)),
            LinkEvent::Answered { id, code } => path
                .answered(id, code, now.mono_ms, outs)
                .map(|reply| reply.into_iter().for_each(|id| replies.settled(id))),
            LinkEvent::Message { topic, retained, payload } => {
                if topic == self.topics.ack().as_bytes() {
                    self.ack(at, retained, &payload, around);
                } else if topic == self.topics.cmd().as_bytes() {
                    self.order(at, retained, &payload, around);
                } else if topic == self.topics.echo(&self.paths[at].name).as_bytes() && !retained {
                    self.echo(at, &payload, now);
                }
                Ok(())
            }
            LinkEvent::Ended(failure) => Err(failure),
        };
        if let Err(failure) = result {
            self.end(at, &failure, around);
        }
    }

    fn subscribed(&mut self, at: usize, granted: bool, around: &Around<'_>) -> Result<(), Failure> {
        let Self { paths, topics, statuses, challenges, outs, .. } = self;
        if let Some(conn) = paths[at].subscribed(granted, &site(topics, statuses, challenges, around), outs)? {
            self.outbox.opened(conn, self.paths[at].is_metered());
            self.route.opened(at, around.now.mono_ms);
        }
        Ok(())
    }

    fn ack(&mut self, at: usize, retained: bool, payload: &[u8], around: &Around<'_>) {
        match receipt::verify(payload, retained, around.keys, &self.gateway) {
            Ok(Signed::Events(claim)) => self.claimed(at, claim, around.now),
            // with the notes full it is passed over: what it is about goes again, and is signed for again
            Ok(Signed::Media(receipt)) if self.notes.len() < NOTES_MAX => {
                self.notes.push_back(UpstreamNote::Media(receipt));
            }
            Ok(Signed::Media(_)) => {}
            Err(refused) => self.no_receipt(refused, around.now),
        }
    }

    /// The centre claims this, its signature checked.
    pub fn claimed(&mut self, at: usize, claim: Claim, now: Stamp) {
        if self.notes.len() >= NOTES_MAX {
            return; // the hub cannot record it now: the events go again and are signed for again
        }
        match self.outbox.receipt(claim) {
            Ok(Some(Settled { receipt, sent_on })) => {
                // what left on another path proves nothing of this one
                if self.paths[at].conn().is_some_and(|conn| sent_on.contains(&conn)) {
                    self.heard(at, now);
                }
                self.notes.push_back(UpstreamNote::Receipt(receipt));
            }
            Ok(None) => {} // no news: anybody can play an old receipt again, so it proves no living centre
            Err(refused) => self.no_receipt(refused, now),
        }
    }

    fn no_receipt(&mut self, refused: receipt::Refused, now: Stamp) {
        self.outs.push_back(Out::Log {
            weight: Weight::Debug,
            text: format!("on the ack topic, and no receipt: {refused}"),
        });
        let count = self.refusals.count(refused, now.mono_ms);
        let note = |count| UpstreamNote::RefusedReceipt { reason: refused.to_string(), count };
        self.notes.extend(count.map(note));
    }

    /// Something came on the command topic. That it is rightly signed proves no living centre: anybody can play it again.
    fn order(&mut self, at: usize, retained: bool, payload: &[u8], around: &Around<'_>) {
        match warrant::read(payload, retained, around.keys, &self.gateway) {
            Ok(order) => {
                self.replies.came(&order.jti, at);
                self.outs.push_back(Out::Order(Box::new(order)));
            }
            Err(refusal) => self.refuse(Some(at), refusal, around.now),
        }
    }

    /// The core takes no order now.
    pub fn busy(&mut self, jti: String, now: Stamp) {
        let text = Some("send it again".to_owned());
        self.refuse(None, Refusal { why: Refused::Busy, jti: Some(jti), signed: true, text }, now);
    }

    fn refuse(&mut self, at: Option<usize>, refusal: Refusal, now: Stamp) {
        let reason = refusal.why.to_string();
        self.outs.push_back(Out::Log {
            weight: Weight::Debug,
            text: format!("on the command topic, and no warrant: {reason}"),
        });
        // More than `NOTES_MAX` by one for each reason at most: a note a minute each.
        if let Some(count) = self.refused_orders.count(refusal.why, now.mono_ms) {
            let (jti, reason) = (refusal.jti.clone(), reason.clone());
            self.notes.push_back(UpstreamNote::RefusedOrder { jti, reason, count });
        }
        let rate = if refusal.signed { &mut self.signed_replies } else { &mut self.forged_replies };
        if let Some(jti) = refusal.jti
            && rate.take(now.mono_ms)
        {
            at.into_iter().for_each(|at| self.replies.came(&jti, at));
            let answer = Answer { jti, status: Status::Refused, reason: Some(reason), text: refusal.text, event: None };
            self.reply(&Answered { answer, place: None, at: now });
        }
    }

    /// What became of an order.
    pub fn reply(&mut self, answered: &Answered) {
        if let Some(jti) = self.replies.add(answered.answer.jti.clone(), reply_payload(answered)) {
            let text = format!("the reply to {jti} found no way out and made room for a newer one");
            self.outs.push_back(Out::Log { weight: Weight::Warn, text });
        }
    }

    fn heard(&mut self, at: usize, now: Stamp) {
        if let Some(live) = self.paths[at].live() {
            let conn = live.conn.id;
            if live.heard(now.mono_ms) {
                self.outbox.rewind(conn);
            }
        }
    }

    fn echo(&mut self, at: usize, payload: &[u8], now: Stamp) {
        if let Some(live) = self.paths[at].live() {
            let conn = live.conn.id;
            let Some(was_silent) = live.echo(payload, now.mono_ms) else { return };
            self.route.echoed(at);
            if was_silent {
                self.outbox.rewind(conn); // the centre is back: what it has not signed for goes at once
            }
        }
    }

    /// A connection is over, for whatever reason.
    fn end(&mut self, at: usize, failure: &Failure, around: &mut Around<'_>) {
        if let Some(conn) = self.paths[at].conn() {
            self.outbox.closed(conn);
            self.replies.closed(conn);
        }
        self.route.closed(at);
        let random = (around.random)();
        let note = self.paths[at].ended(failure, around.now.mono_ms, random, &mut self.outs);
        self.note_path(note, around.now);
    }

    /// Queues a path's verdict; one that still waits for the hub is replaced, the newest counts.
    fn note_path(&mut self, note: Option<UpstreamNote>, now: Stamp) {
        let Some(UpstreamNote::Path { path, reason }) = note else { return };
        let status = PathStatus { up: reason.is_none(), since: now.at(), reason: reason.clone() };
        self.statuses.insert(path.clone(), status);
        self.notes.retain(|waiting| !matches!(waiting, UpstreamNote::Path { path: of, .. } if *of == path));
        self.notes.push_back(UpstreamNote::Path { path, reason });
        self.statuses_changed = true;
    }

    /// What is shown may have changed.
    pub fn seen(&mut self, view: &View) {
        for path in &mut self.paths {
            if let Some(live) = path.live() {
                live.compare(view, &self.statuses);
            }
        }
    }

    /// Something was measured. Of more than can be held the oldest is lost to the centre.
    pub fn measured(&mut self, measured: &[Measured]) {
        self.measured.extend_from_slice(measured);
        let over = self.measured.len().saturating_sub(MEASURED_MAX);
        self.measured.drain(..over);
    }

    /// Measurements last of all, once, where that costs nothing: while no alarm waits, and with nothing else on its way,
    /// because a slow path would be taken for a dead one.
    fn tell_measured(&mut self, carrier: Option<usize>, now: Stamp) {
        let stale_ms = u64::from(TELEMETRY_EXPIRES_S) * 1_000;
        self.measured.retain(|of| now.mono_ms.saturating_sub(of.at.mono_ms) < stale_ms);
        let Some(path) = carrier.map(|at| &mut self.paths[at]) else { return };
        if path.is_metered() {
            return self.measured.clear();
        }
        let Some(live) = path.live().filter(|live| live.rests() && !self.measured.is_empty()) else { return };
        if !self.outbox.alarm_waits() {
            let (payload, told) = telemetry_payload(&self.measured);
            self.measured.drain(..told);
            payload.into_iter().for_each(|payload| live.telemetry(payload, &mut self.outs));
        }
    }

    /// An alarm that the disk has not taken yet. Only while `takes_unjournaled`.
    pub fn unjournaled(&mut self, alarm: Unjournaled, now: Stamp) {
        self.outbox.unjournaled(alarm, now);
    }

    /// Whether one more can be held.
    pub fn takes_unjournaled(&self) -> bool {
        self.outbox.takes_unjournaled()
    }

    /// When something falls due, in monotonic milliseconds; `None`: nothing does until something comes.
    pub fn due_ms(&mut self, now_ms: u64) -> Option<u64> {
        let asking = (self.ask_after_ms > now_ms).then_some(self.ask_after_ms);
        let notes = self.notes.len() < NOTES_MAX;
        let outbox = self.outbox.due_ms().filter(|_| notes);
        let paths = self.paths.iter().filter_map(Path::due_ms).min();
        let suspect = |(at, path): (usize, &Path)| path.suspect_at_ms().filter(|_| !self.route.is_suspect(at));
        let suspects = self.paths.iter().enumerate().filter_map(suspect).min();
        [asking, outbox, paths, suspects, self.route.due_ms(), self.media.due_ms()].into_iter().flatten().min()
    }

    /// Says goodbye on every path.
    pub fn farewell(&mut self, now: Stamp) {
        let Self { paths, topics, media, outs, .. } = self;
        media.stop(outs);
        paths.iter_mut().for_each(|path| path.stop(topics, now, outs));
    }

    /// After the farewell: a connection has ended, and none follows it.
    pub fn gone(&mut self, at: usize, conn: ConnId) {
        if self.paths[at].conn() == Some(conn) {
            self.paths[at].stopped();
        }
    }

    /// The connections there are, or that are being made, each with its path's place in the settings.
    pub fn connections(&self) -> impl Iterator<Item = (usize, ConnId)> + '_ {
        let paths = self.paths.iter().enumerate();
        paths.filter_map(|(at, path)| path.conn().map(|conn| (at, conn))).chain(self.media.conn())
    }
}

fn site<'a>(
    topics: &'a Topics,
    paths: &'a BTreeMap<String, PathStatus>,
    challenges: &'a Challenges,
    around: &'a Around<'_>,
) -> Site<'a> {
    Site { topics, view: around.view, paths, head: around.head, waiting: around.waiting, now: around.now, challenges }
}
