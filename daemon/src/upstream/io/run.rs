//! The task that brings everything together: the journal's head, the paths' connections, the outbox's next step, the
//! hub's notes. It waits in one place only, so an alarm never waits for a name server, a broker or a slow hub.

use crate::upstream::io::dialer::Failure;
use crate::upstream::io::link::LinkEvent;
use crate::upstream::io::link::Teller as LinkTeller;
use crate::upstream::io::path::Path;
use crate::upstream::io::path::Phase;
use crate::upstream::io::path::Site;
use crate::upstream::outbox::ConnId;
use crate::upstream::outbox::Outbox;
use crate::upstream::outbox::Step;
use crate::upstream::receipt;
use crate::upstream::refusals::Rate;
use crate::upstream::refusals::Refusals;
use crate::upstream::reply::Replies;
use crate::upstream::settings::Settings;
use crate::upstream::topic::PathStatus;
use crate::upstream::topic::Topics;
use crate::upstream::topic::View;
use crate::upstream::topic::reply_payload;
use crate::upstream::warrant;
use crate::upstream::warrant::Refusal;
use crate::upstream::warrant::Refused;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::timeout_at;
use vakt_core::challenge::Challenges;
use vakt_core::port::Answered;
use vakt_core::port::Head;
use vakt_core::port::ListedKey;
use vakt_core::port::NextEvents;
use vakt_core::port::Place;
use vakt_core::port::Stored;
use vakt_core::port::Unjournaled;
use vakt_core::port::UpstreamNote;
use vakt_core::port::Waiting;
use vakt_core::stamp::Stamp;
use vakt_core::warrant::Answer;
use vakt_core::warrant::Status;
use vakt_core::warrant::Warrant;

/// Words of connections waiting for this task; beyond it the connections wait, and with them the broker.
const REPORTS_MAX: usize = 64;
/// Notes waiting for the hub. When it is reached receipts are not taken, the centre signs again when the events come
/// again, and deadlines are told late.
const NOTES_MAX: usize = 64;
/// After the journal did not answer, milliseconds until it is asked again.
const ASK_AGAIN_MS: u64 = 200;
/// Between two beats on a path that is not the primary, ms: enough to know that it works, and cheap on LTE.
const BEAT_ALTERNATIVE_MS: u64 = 180_000;
/// Replies a second to what is not rightly signed, and as many again to what is and is no warrant. Who floods is counted
/// and hears no more.
const REFUSALS_A_SECOND: u32 = 10;
/// Longest farewell.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the hub hands out. When it drops any of them upstream ends.
pub struct Inlets {
    /// The newest committed row; a change wakes the outbox.
    pub head: watch::Receiver<Head>,
    /// The journal's reader. It answers with what it holds, or drops the question when it could not look.
    pub next: mpsc::Sender<(NextEvents, oneshot::Sender<Vec<Stored>>)>,
    /// What waits for receipts, for `state` and beats.
    pub waiting: watch::Receiver<Waiting>,
    /// Every listed key.
    pub keys: watch::Receiver<Arc<Vec<ListedKey>>>,
    /// By which the centre shows that it has heard of this hub within the last minute.
    pub challenges: Challenges,
    /// Rightly signed orders, to the core. Full: the sender is told to send again.
    pub warrants: mpsc::Sender<Box<Warrant>>,
    /// What became of them.
    pub answers: mpsc::Receiver<Answered>,
    /// What `state` and `device` topics show.
    pub view: watch::Receiver<Arc<View>>,
    /// Alarms that go out before the disk has answered.
    pub unjournaled: mpsc::Receiver<Unjournaled>,
    /// To the hub.
    pub notes: mpsc::Sender<UpstreamNote>,
    /// The hub's clock.
    pub now: fn() -> Stamp,
    /// The hub's randomness.
    pub entropy: fn() -> [u8; 32],
}

struct Question {
    asked: NextEvents,
    head: Place,
    answer: oneshot::Receiver<Vec<Stored>>,
}

struct Upstream {
    settings: Settings,
    topics: Topics,
    outbox: Outbox,
    paths: Vec<Path>,
    /// What `state` says of the paths.
    statuses: BTreeMap<String, PathStatus>,
    statuses_changed: bool,
    refusals: Refusals<receipt::Refused>,
    refused_orders: Refusals<Refused>,
    forged_replies: Rate,
    signed_replies: Rate,
    replies: Replies,
    challenges: Challenges,
    notes: VecDeque<UpstreamNote>,
    question: Option<Question>,
    ask_after_ms: u64,
    last_conn: ConnId,
    reports: mpsc::Sender<(usize, ConnId, LinkEvent)>,
    now: fn() -> Stamp,
    entropy: fn() -> [u8; 32],
}

/// Speaks to the centre until told to stop or until the hub is gone.
pub async fn run(settings: Settings, mut inlets: Inlets, mut stop: watch::Receiver<bool>) {
    let (reports, mut reported) = mpsc::channel(REPORTS_MAX);
    let mut up = Upstream::new(settings, &mut inlets, reports);
    while !*stop.borrow_and_update() {
        up.work(&inlets);
        let wait = up.wait();
        tokio::select! {
            changed = inlets.head.changed() => {
                if changed.is_err() { break }
                up.outbox.head(inlets.head.borrow_and_update().place);
            }
            answer = answer(&mut up.question) => up.answered(answer),
            Some((path, conn, event)) = reported.recv() => up.reported(path, conn, event, &inlets),
            alarm = inlets.unjournaled.recv(), if up.outbox.takes_unjournaled() => {
                let Some(alarm) = alarm else { break };
                up.outbox.unjournaled(alarm, (up.now)());
            }
            answered = inlets.answers.recv() => {
                let Some(answered) = answered else { break };
                up.reply(&answered);
            }
            changed = inlets.view.changed() => {
                if changed.is_err() { break }
                let view = Arc::clone(&inlets.view.borrow_and_update());
                up.compare(&view);
            }
            permit = inlets.notes.reserve(), if !up.notes.is_empty() => {
                let Ok(permit) = permit else { break };
                if let Some(note) = up.notes.pop_front() {
                    permit.send(note);
                }
            }
            () = sleep(wait) => {}
            changed = stop.changed() => if changed.is_err() { break },
        }
    }
    up.farewell(&mut reported).await;
}

async fn answer(question: &mut Option<Question>) -> Option<Vec<Stored>> {
    match question {
        Some(question) => (&mut question.answer).await.ok(),
        None => std::future::pending().await,
    }
}

impl Upstream {
    fn new(settings: Settings, inlets: &mut Inlets, reports: mpsc::Sender<(usize, ConnId, LinkEvent)>) -> Self {
        let now = (inlets.now)();
        let primary_ms = u64::from(settings.beat_primary_s) * 1_000;
        let period = |at| if at == 0 { primary_ms } else { primary_ms.max(BEAT_ALTERNATIVE_MS) };
        let unknown = || PathStatus { up: false, since: now.at(), reason: None };
        Self {
            topics: Topics::new(&settings.gateway),
            outbox: Outbox::new(inlets.head.borrow_and_update().place, u64::from(settings.alarm_deadline_s) * 1_000),
            paths: settings.paths.iter().enumerate().map(|(at, path)| Path::new(path.clone(), period(at))).collect(),
            statuses: settings.paths.iter().map(|path| (path.name.clone(), unknown())).collect(),
            statuses_changed: false,
            refusals: Refusals::default(),
            refused_orders: Refusals::default(),
            forged_replies: Rate::a_second(REFUSALS_A_SECOND),
            signed_replies: Rate::a_second(REFUSALS_A_SECOND),
            replies: Replies::default(),
            challenges: inlets.challenges.clone(),
            notes: VecDeque::new(),
            question: None,
            ask_after_ms: 0,
            last_conn: 0,
            reports,
            now: inlets.now,
            entropy: inlets.entropy,
            settings,
        }
    }

    /// Everything that can be done without waiting.
    fn work(&mut self, inlets: &Inlets) {
        let now = (self.now)();
        if self.notes.len() < NOTES_MAX {
            let overdue = self.outbox.tick(now);
            self.notes.extend(overdue);
        }
        for at in 0..self.paths.len() {
            if let Some(failure) = self.paths[at].overdue(now.mono_ms) {
                self.end(at, &failure);
            }
            self.dial_if_due(at, now);
            if let Err(failure) = self.send(at, inlets, now) {
                self.end(at, &failure);
            }
            let note = self.paths[at].judge(now.mono_ms);
            self.note_path(note);
        }
        if std::mem::take(&mut self.statuses_changed) {
            let view = Arc::clone(&inlets.view.borrow());
            self.compare(&view);
        }
        if self.question.is_none()
            && let Some(asked) = self.outbox.watch()
        {
            self.ask(asked, inlets, now);
        }
    }

    fn dial_if_due(&mut self, at: usize, now: Stamp) {
        let entropy = self.entropy;
        let random = move || number(entropy());
        if !self.paths[at].dial_due(self.outbox.alarm_waits(), now.mono_ms, random) {
            return;
        }
        self.last_conn += 1;
        let teller = LinkTeller { path: at, conn: self.last_conn, to: self.reports.clone() };
        let socket = self.settings.run_dir.join(format!("link-{}.sock", self.paths[at].settings.name));
        self.paths[at].dial(self.settings.gateway.as_str(), socket, &self.topics, teller, now);
    }

    /// Events first, then replies, then beats, state and devices.
    fn send(&mut self, at: usize, inlets: &Inlets, now: Stamp) -> Result<(), Failure> {
        while let Some(live) = self.paths[at].live() {
            match self.outbox.step(live.conn.id, live.room(), now) {
                Step::Send(publish) => live.event(&self.topics, &publish, now.mono_ms)?,
                Step::Read(asked) => {
                    self.ask(asked, inlets, now);
                    break;
                }
                Step::Rest => break,
            }
        }
        self.send_replies(at, now)?;
        let view = Arc::clone(&inlets.view.borrow());
        let Self { paths, topics, statuses, challenges, .. } = self;
        paths[at].show(&site(topics, &view, statuses, inlets, now, challenges))
    }

    fn send_replies(&mut self, at: usize, now: Stamp) -> Result<(), Failure> {
        let live: Vec<bool> = self.paths.iter().map(Path::is_live).collect();
        let Self { paths, topics, replies, .. } = self;
        while let Some(carrier) = paths[at].live().filter(|live| live.room().reply) {
            let Some((id, jti, payload)) = replies.next(at, |path| live.get(path) == Some(&true)) else { break };
            if carrier.reply(topics.reply(&jti), id, payload, now.mono_ms)? {
                replies.sent(id, carrier.conn.id);
            } else {
                replies.settled(id);
            }
        }
        Ok(())
    }

    fn ask(&mut self, asked: NextEvents, inlets: &Inlets, now: Stamp) {
        if self.question.is_some() || now.mono_ms < self.ask_after_ms {
            return;
        }
        // the head is read before the question leaves, so the answer covers at least what is below it
        let head = inlets.head.borrow().place;
        self.outbox.head(head);
        let (to, answer) = oneshot::channel();
        match inlets.next.try_send((asked, to)) {
            Ok(()) => self.question = Some(Question { asked, head, answer }),
            Err(_) => self.ask_after_ms = now.mono_ms + ASK_AGAIN_MS,
        }
    }

    fn answered(&mut self, answer: Option<Vec<Stored>>) {
        let now = (self.now)();
        let Some(question) = self.question.take() else { return };
        match answer {
            Some(rows) => self.outbox.read(question.asked, question.head, &rows, now),
            None => self.ask_after_ms = now.mono_ms + ASK_AGAIN_MS,
        }
    }

    fn reported(&mut self, at: usize, conn: ConnId, event: LinkEvent, inlets: &Inlets) {
        if self.paths[at].conn().map(|conn| conn.id) != Some(conn) {
            return; // the last words of a connection given up
        }
        let now = (self.now)();
        let result = match event {
            LinkEvent::Connected { receive_max, packet_max } => {
                self.paths[at].connected(receive_max, packet_max, &self.topics, now)
            }
            LinkEvent::Subscribed(granted) => self.subscribed(at, granted, inlets, now),
            LinkEvent::Left(id) => self.paths[at].live().map_or(Ok(()), |live| live.left(id)),
            LinkEvent::Answered { id, code } => {
                let settled = self.paths[at].live().map_or(Ok(None), |live| live.answered(id, code));
                settled.map(|reply| reply.into_iter().for_each(|id| self.replies.settled(id)))
            }
            LinkEvent::Message { topic, retained, payload } => {
                if topic == self.topics.ack().as_bytes() {
                    self.ack(at, retained, &payload, inlets, now);
                } else if topic == self.topics.cmd().as_bytes() {
                    self.order(at, retained, &payload, inlets, now);
                } else if topic == self.topics.echo(&self.paths[at].settings.name).as_bytes() && !retained {
                    self.echo(at, &payload, now);
                }
                Ok(())
            }
            LinkEvent::Ended(failure) => Err(failure),
        };
        if let Err(failure) = result {
            self.end(at, &failure);
        }
    }

    fn subscribed(&mut self, at: usize, granted: bool, inlets: &Inlets, now: Stamp) -> Result<(), Failure> {
        let view = Arc::clone(&inlets.view.borrow());
        let Self { paths, topics, statuses, challenges, .. } = self;
        let site = site(topics, &view, statuses, inlets, now, challenges);
        if let Some(conn) = paths[at].subscribed(granted, &site)? {
            self.outbox.opened(conn);
        }
        Ok(())
    }

    fn ack(&mut self, at: usize, retained: bool, payload: &[u8], inlets: &Inlets, now: Stamp) {
        if self.notes.len() >= NOTES_MAX {
            return; // the hub cannot record it now: the events go again and are signed for again
        }
        let keys = Arc::clone(&inlets.keys.borrow());
        let claim = match receipt::verify(payload, retained, &keys, &self.settings.gateway) {
            Ok(Some(claim)) => self.outbox.receipt(claim),
            Ok(None) => Ok(None),
            Err(refused) => Err(refused),
        };
        match claim {
            Ok(Some(receipt)) => {
                self.heard(at, now);
                self.notes.push_back(UpstreamNote::Receipt(receipt));
            }
            Ok(None) => {} // no news: anybody can play an old receipt again, so it proves no living centre
            Err(refused) => {
                tracing::debug!(%refused, "something on the ack topic is no receipt");
                let count = self.refusals.count(refused, now.mono_ms);
                let note = |count| UpstreamNote::RefusedReceipt { reason: refused.to_string(), count };
                self.notes.extend(count.map(note));
            }
        }
    }

    /// Something came on the command topic. That it is rightly signed proves no living centre: anybody can play it again.
    fn order(&mut self, at: usize, retained: bool, payload: &[u8], inlets: &Inlets, now: Stamp) {
        let keys = Arc::clone(&inlets.keys.borrow());
        let refusal = match warrant::read(payload, retained, &keys, &self.settings.gateway) {
            Ok(order) => {
                self.replies.came(&order.jti, at);
                let jti = Some(order.jti.clone());
                match inlets.warrants.try_send(Box::new(order)) {
                    Ok(()) => return,
                    Err(_) => Refusal { why: Refused::Busy, jti, signed: true, text: Some("send it again".to_owned()) },
                }
            }
            Err(refusal) => refusal,
        };
        tracing::debug!(why = %refusal.why, "something on the command topic is no warrant");
        let reason = refusal.why.to_string();
        // More than `NOTES_MAX` by one for each reason at most: a note a minute each.
        if let Some(count) = self.refused_orders.count(refusal.why, now.mono_ms) {
            let (jti, reason) = (refusal.jti.clone(), reason.clone());
            self.notes.push_back(UpstreamNote::RefusedOrder { jti, reason, count });
        }
        let rate = if refusal.signed { &mut self.signed_replies } else { &mut self.forged_replies };
        if let Some(jti) = refusal.jti
            && rate.take(now.mono_ms)
        {
            self.replies.came(&jti, at);
            let answer = Answer { jti, status: Status::Refused, reason: Some(reason), text: refusal.text, event: None };
            self.reply(&Answered { answer, place: None, at: now });
        }
    }

    fn reply(&mut self, answered: &Answered) {
        if let Some(jti) = self.replies.add(answered.answer.jti.clone(), reply_payload(answered)) {
            tracing::warn!(jti, "a reply found no way out and made room for a newer one");
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
            if live.echo(payload, now.mono_ms) == Some(true) {
                self.outbox.rewind(conn); // the centre is back: what it has not signed for goes at once
            }
        }
    }

    /// A connection is over, for whatever reason.
    fn end(&mut self, at: usize, failure: &Failure) {
        if let Some(conn) = self.paths[at].conn() {
            self.outbox.closed(conn.id);
            self.replies.closed(conn.id);
        }
        let random = number((self.entropy)());
        let note = self.paths[at].ended(failure, (self.now)().mono_ms, random);
        self.note_path(note);
    }

    /// Queues a path's verdict; one that still waits for the hub is replaced, the newest counts.
    fn note_path(&mut self, note: Option<UpstreamNote>) {
        let Some(UpstreamNote::Path { path, reason }) = note else { return };
        let status = PathStatus { up: reason.is_none(), since: (self.now)().at(), reason: reason.clone() };
        self.statuses.insert(path.clone(), status);
        self.notes.retain(|waiting| !matches!(waiting, UpstreamNote::Path { path: of, .. } if *of == path));
        self.notes.push_back(UpstreamNote::Path { path, reason });
        self.statuses_changed = true;
    }

    fn compare(&mut self, view: &View) {
        for path in &mut self.paths {
            if let Some(live) = path.live() {
                live.compare(view, &self.statuses);
            }
        }
    }

    /// How long nothing falls due.
    fn wait(&mut self) -> Duration {
        let now_ms = (self.now)().mono_ms;
        let asking = (self.ask_after_ms > now_ms).then_some(self.ask_after_ms);
        let notes = self.notes.len() < NOTES_MAX;
        let outbox = self.outbox.due_ms().filter(|_| notes);
        let paths = self.paths.iter().filter_map(Path::due_ms).min();
        let due = [asking, outbox, paths].into_iter().flatten().min();
        // a day, when nothing is due at all; whatever comes wakes us
        Duration::from_millis(due.map_or(86_400_000, |due| due.saturating_sub(now_ms)))
    }

    async fn farewell(&mut self, reported: &mut mpsc::Receiver<(usize, ConnId, LinkEvent)>) {
        let now = (self.now)();
        for path in &mut self.paths {
            path.stop(&self.topics, now);
        }
        let until = Instant::now() + FAREWELL;
        while self.paths.iter().any(|path| path.conn().is_some()) {
            let Ok(Some((at, conn, event))) = timeout_at(until, reported.recv()).await else { return };
            let ours = self.paths[at].conn().map(|conn| conn.id) == Some(conn);
            if ours && matches!(event, LinkEvent::Ended(_)) {
                self.paths[at].phase = Phase::Idle { until_ms: u64::MAX };
            }
        }
    }
}

fn site<'a>(
    topics: &'a Topics,
    view: &'a View,
    paths: &'a BTreeMap<String, PathStatus>,
    inlets: &Inlets,
    now: Stamp,
    challenges: &'a Challenges,
) -> Site<'a> {
    Site { topics, view, paths, head: *inlets.head.borrow(), waiting: *inlets.waiting.borrow(), now, challenges }
}

fn number(entropy: [u8; 32]) -> u64 {
    u64::from_le_bytes([entropy[0], entropy[1], entropy[2], entropy[3], entropy[4], entropy[5], entropy[6], entropy[7]])
}
