//! The task that holds the connections: it tells the speaker what has come, does what it says, and hands its notes to the
//! hub. It waits in one place only, and decides nothing.

use crate::upstream::io::dialer::Dialer;
use crate::upstream::io::link::Link;
use crate::upstream::io::link::Plan;
use crate::upstream::io::link::Teller;
use crate::upstream::outbox::ConnId;
use crate::upstream::port::Failure;
use crate::upstream::port::LinkEvent;
use crate::upstream::port::Out;
use crate::upstream::port::Weight;
use crate::upstream::settings::PathSettings;
use crate::upstream::settings::Settings;
use crate::upstream::speaker::Around;
use crate::upstream::speaker::Speaker;
use crate::upstream::topic::TELEMETRY_EXPIRES_S;
use crate::upstream::topic::Topics;
use crate::upstream::topic::View;
use crate::upstream::verdict::Reason;
use std::collections::BTreeMap;
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
use vakt_core::port::Links;
use vakt_core::port::ListedKey;
use vakt_core::port::Measured;
use vakt_core::port::MediaPiece;
use vakt_core::port::NextEvents;
use vakt_core::port::NextMedia;
use vakt_core::port::Stored;
use vakt_core::port::Unjournaled;
use vakt_core::port::UpstreamNote;
use vakt_core::port::Waiting;
use vakt_core::stamp::Stamp;
use vakt_core::warrant::Warrant;

/// Words of connections waiting for this task; beyond it the connections wait, and with them the broker.
const REPORTS_MAX: usize = 64;
/// Longest farewell.
const FAREWELL: Duration = Duration::from_secs(1);
/// Between two PINGREQ on the first path: the broker tells the centre of a loss half as long again after the last.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// On another path in beats: the beats keep the connection, and the centre counts them; a PINGREQ beside each would cost
/// as much again.
const KEEP_ALIVE_BEATS: u64 = 3;
/// The wait when nothing is due at all; whatever comes ends it.
const IDLE: Duration = Duration::from_secs(86_400);

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
    /// How the interfaces stand, if the kernel says.
    pub links: watch::Receiver<Option<Arc<Links>>>,
    /// Whoever keeps sealed media, if somebody does.
    pub media: Option<Vault>,
    /// What was measured and is due; a batch that cannot leave is not kept here.
    pub telemetry: watch::Receiver<Arc<Vec<Measured>>>,
    /// To the hub.
    pub notes: mpsc::Sender<UpstreamNote>,
    /// The hub's clock.
    pub now: fn() -> Stamp,
    /// What time it is at the least, in milliseconds since 1970: for certificates.
    pub at_least_ms: fn() -> i64,
    /// The hub's randomness.
    pub entropy: fn() -> [u8; 32],
}

/// The way to whoever keeps sealed media.
pub struct Vault {
    /// Changes whenever there may be something new to send; 0: there is nothing.
    pub stock: watch::Receiver<u64>,
    /// Answers with the next piece, `None` when there is none after that place.
    pub next: mpsc::Sender<(NextMedia, oneshot::Sender<Option<MediaPiece>>)>,
}

struct Upstream {
    settings: Settings,
    topics: Topics,
    speaker: Speaker,
    dialers: Vec<Arc<Dialer>>,
    links: BTreeMap<ConnId, (usize, Link)>,
    question: Option<oneshot::Receiver<Vec<Stored>>>,
    media: Option<oneshot::Receiver<Option<MediaPiece>>>,
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
            changed = inlets.head.changed() => if changed.is_err() { break },
            answer = answer(&mut up.question) => {
                up.question = None;
                up.speaker.answered(answer.as_deref(), (up.now)());
            }
            piece = answer(&mut up.media) => {
                up.media = None;
                up.with(&inlets, |speaker, around| speaker.media_answered(piece.flatten(), around));
            }
            () = stocked(&mut inlets.media) => {}
            // Who told it has gone: then nothing more is told.
            Ok(()) = inlets.telemetry.changed() => {
                let due = Arc::clone(&inlets.telemetry.borrow_and_update());
                up.speaker.measured(&due);
            }
            Some((path, conn, event)) = reported.recv() => {
                up.with(&inlets, |speaker, around| speaker.told(path, conn, event, around));
            }
            alarm = inlets.unjournaled.recv(), if up.speaker.takes_unjournaled() => {
                let Some(alarm) = alarm else { break };
                up.speaker.unjournaled(alarm, (up.now)());
            }
            answered = inlets.answers.recv() => {
                let Some(answered) = answered else { break };
                up.speaker.reply(&answered);
            }
            changed = inlets.view.changed() => {
                if changed.is_err() { break }
                let view = Arc::clone(&inlets.view.borrow_and_update());
                up.speaker.seen(&view);
            }
            // Who told it has gone: then nothing more is told.
            Ok(()) = inlets.links.changed() => {}
            permit = inlets.notes.reserve(), if up.speaker.has_note() => {
                let Ok(permit) = permit else { break };
                if let Some(note) = up.speaker.note() {
                    permit.send(note);
                }
            }
            () = sleep(wait) => {}
            changed = stop.changed() => if changed.is_err() { break },
        }
        inlets.head.borrow_and_update();
    }
    up.farewell(&inlets, &mut reported).await;
}

async fn answer<T>(question: &mut Option<oneshot::Receiver<T>>) -> Option<T> {
    match question {
        Some(answer) => answer.await.ok(),
        None => std::future::pending().await,
    }
}

/// The keeper's stock has changed; never, where there is no keeper.
async fn stocked(vault: &mut Option<Vault>) {
    if let Some(vault) = vault
        && vault.stock.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

impl Upstream {
    fn new(settings: Settings, inlets: &mut Inlets, reports: mpsc::Sender<(usize, ConnId, LinkEvent)>) -> Self {
        let head = inlets.head.borrow_and_update().place;
        let dialer = |path: &PathSettings| {
            let addresses = settings.state_dir.join(format!("addresses-{}", path.name));
            Arc::new(Dialer::new(path.clone(), addresses, inlets.at_least_ms, inlets.entropy))
        };
        Self {
            topics: Topics::new(&settings.gateway),
            speaker: Speaker::new(&settings, inlets.challenges.clone(), head, (inlets.now)()),
            dialers: settings.paths.iter().map(dialer).collect(),
            links: BTreeMap::new(),
            question: None,
            media: None,
            reports,
            now: inlets.now,
            entropy: inlets.entropy,
            settings,
        }
    }

    /// Calls the speaker with the world as it is now.
    fn with(&mut self, inlets: &Inlets, call: impl FnOnce(&mut Speaker, &mut Around<'_>)) {
        let entropy = self.entropy;
        let (view, keys) = (Arc::clone(&inlets.view.borrow()), Arc::clone(&inlets.keys.borrow()));
        let links = inlets.links.borrow().clone();
        let mut around = Around {
            now: (self.now)(),
            head: *inlets.head.borrow(),
            waiting: *inlets.waiting.borrow(),
            view: &view,
            keys: &keys,
            links: links.as_deref(),
            media: inlets.media.as_ref().map_or(0, |vault| *vault.stock.borrow()),
            random: &mut || number(entropy()),
        };
        call(&mut self.speaker, &mut around);
    }

    /// Everything that can be done without waiting.
    fn work(&mut self, inlets: &Inlets) {
        self.with(inlets, Speaker::work);
        while let Some(out) = self.speaker.out() {
            self.perform(out, inlets);
        }
    }

    fn perform(&mut self, out: Out, inlets: &Inlets) {
        match out {
            Out::Dial { path, conn, will } => self.dial(path, conn, will),
            Out::DialMedia { path, conn } => self.dial_media(path, conn),
            Out::Subscribe { path, conn } => {
                let name = &self.settings.paths[path].name;
                let topics = [self.topics.ack(), self.topics.echo(name), self.topics.cmd()];
                self.hand_over(conn, inlets, |link| link.subscribe(topics));
            }
            Out::Event { conn, publish } => {
                let topic = self.topics.event(publish.class);
                self.hand_over(conn, inlets, |link| link.publish(topic, false, publish.wire.to_vec()));
            }
            Out::Publish { conn, topic, retain, payload } => {
                self.hand_over(conn, inlets, |link| link.publish(topic, retain, payload));
            }
            Out::Telemetry { conn, payload } => {
                if let Some((_, link)) = self.links.get(&conn) {
                    // one that the client does not take is lost; the next comes
                    let _ = link.publish_once(self.topics.telemetry(), payload, TELEMETRY_EXPIRES_S);
                }
            }
            Out::Goodbye(conn) => self.hand_over(conn, inlets, Link::disconnect),
            Out::Close(conn) => drop(self.links.remove(&conn)),
            Out::Ask(asked) => {
                let (to, answer) = oneshot::channel();
                match inlets.next.try_send((asked, to)) {
                    Ok(()) => self.question = Some(answer),
                    Err(_) => self.speaker.answered(None, (self.now)()),
                }
            }
            Out::AskMedia(asked) => {
                let (to, answer) = oneshot::channel();
                let sent = inlets.media.as_ref().map(|vault| vault.next.try_send((asked, to)));
                match sent {
                    Some(Ok(())) => self.media = Some(answer),
                    _ => self.with(inlets, |speaker, around| speaker.media_answered(None, around)),
                }
            }
            Out::Order(warrant) => {
                if let Err(error) = inlets.warrants.try_send(warrant) {
                    self.speaker.busy(error.into_inner().jti, (self.now)());
                }
            }
            Out::Log { weight: Weight::Warn, text } => tracing::warn!("{text}"),
            Out::Log { weight: Weight::Info, text } => tracing::info!("{text}"),
            Out::Log { weight: Weight::Debug, text } => tracing::debug!("{text}"),
        }
    }

    fn dial(&mut self, path: usize, conn: ConnId, will: Vec<u8>) {
        let name = &self.settings.paths[path].name;
        let plan = Plan {
            client_id: format!("{}-{name}", self.settings.gateway),
            socket: self.settings.run_dir.join(format!("link-{name}.sock")),
            will: Some((self.topics.path(name), will)),
            keep_alive: match path {
                0 => KEEP_ALIVE,
                _ => Duration::from_secs(KEEP_ALIVE_BEATS * u64::from(self.settings.beat_alternative_s)),
            },
        };
        self.start(path, conn, plan);
    }

    fn dial_media(&mut self, path: usize, conn: ConnId) {
        let plan = Plan {
            client_id: format!("{}-media", self.settings.gateway),
            socket: self.settings.run_dir.join("link-media.sock"),
            will: None,
            keep_alive: KEEP_ALIVE,
        };
        self.start(path, conn, plan);
    }

    fn start(&mut self, path: usize, conn: ConnId, plan: Plan) {
        let teller = Teller { path, conn, to: self.reports.clone() };
        self.links.insert(conn, (path, Link::start(plan, Arc::clone(&self.dialers[path]), teller)));
    }

    /// Hands something over to a connection; one that takes nothing any more has ended.
    fn hand_over(&mut self, conn: ConnId, inlets: &Inlets, what: impl FnOnce(&Link) -> bool) {
        let Some((path, link)) = self.links.get(&conn) else { return };
        if !what(link) {
            let detail = "the connection was closed while something was handed over".to_owned();
            let ended = LinkEvent::Ended(Failure { reason: Reason::Closed, detail });
            let path = *path;
            self.with(inlets, |speaker, around| speaker.told(path, conn, ended, around));
        }
    }

    /// How long nothing falls due.
    fn wait(&mut self) -> Duration {
        let now_ms = (self.now)().mono_ms;
        self.speaker.due_ms(now_ms).map_or(IDLE, |due| Duration::from_millis(due.saturating_sub(now_ms)))
    }

    async fn farewell(&mut self, inlets: &Inlets, reported: &mut mpsc::Receiver<(usize, ConnId, LinkEvent)>) {
        self.speaker.farewell((self.now)());
        while let Some(out) = self.speaker.out() {
            self.perform(out, inlets);
        }
        let until = Instant::now() + FAREWELL;
        while self.speaker.connections().next().is_some() {
            let Ok(Some((path, conn, event))) = timeout_at(until, reported.recv()).await else { return };
            if matches!(event, LinkEvent::Ended(_)) {
                self.speaker.gone(path, conn);
            }
        }
    }
}

fn number(entropy: [u8; 32]) -> u64 {
    u64::from_le_bytes([entropy[0], entropy[1], entropy[2], entropy[3], entropy[4], entropy[5], entropy[6], entropy[7]])
}
