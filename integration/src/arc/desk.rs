//! The centre's desk: takes what arrives, writes it down, signs for it, echoes beats, and tells who asks.
//!
//! Its order never changes: ledger, disk, receipt. When the disk fails it stops, because a centre that cannot keep
//! an alarm must not sign for one.

use super::endpoints::Endpoints;
use super::entry::Entries;
use super::finding::Entry;
use super::handle::ArcHandle;
use super::handle::Board;
use super::handle::Control;
use super::handle::lock;
use super::jws::JwsError;
use super::jws::Signer;
use super::line::Happening;
use super::line::Line;
use super::line::Notice;
use super::link;
use super::link::LinkNews;
use super::misbehave::Misbehaviour;
use super::order::Moment;
use super::order::Order;
use super::order::Sealed;
use super::order::Wrong;
use super::past;
use super::paths::PathNews;
use super::paths::Paths;
use super::receipts::Receipts;
use super::store;
use super::store::Store;
use super::store::StoreError;
use rumqttc::v5::AsyncClient;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc as Shared;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::sync::watch;
use vakt_core::stamp::rfc3339;

/// Messages between the lines and the desk; the brokers wait beyond it.
const NEWS_MAX: usize = 1024;
/// The most arrivals that share one flush to disk.
const BATCH_MAX: usize = 512;
/// Lines kept for whoever asks; who follows more slowly than this loses the oldest and is told how many.
const LINES_KEPT: usize = 50_000;
/// Last messages kept by topic; topics beyond it are told once and not kept.
const TOPICS_KEPT: usize = 1024;
/// A beat every 20 s on the primary path (contract); what is expected of a path that is not named.
pub const BEAT_MS: u64 = 20_000;

/// How a centre is set up.
#[derive(Debug, Clone)]
pub struct ArcSettings {
    /// The plain listeners of its brokers, host and port: one, or up to `ENDPOINTS_MAX`.
    pub brokers: Vec<(String, u16)>,
    /// The hub it receives.
    pub gateway: String,
    /// Its MQTT client id; at its second broker `-2` is added, and so on, for brokers that know each other's clients.
    pub client_id: String,
    /// The file of its Ed25519 key.
    pub key: PathBuf,
    /// The name the hub lists that key under.
    pub kid: String,
    /// The ledger file.
    pub ledger: PathBuf,
    /// What it does wrong from the start.
    pub misbehaviour: Misbehaviour,
    /// Expected milliseconds between the beats of a path, where not `BEAT_MS`.
    pub beats_ms: BTreeMap<String, u64>,
}

/// Why a centre did not start.
#[derive(Debug, Error)]
pub enum ArcError {
    /// Its key file cannot be read.
    #[error("reading the centre's key {path}: {why}")]
    #[allow(missing_docs)]
    KeyFile { path: PathBuf, why: std::io::Error },
    /// Its key is none.
    #[error("the centre's key {path}: {why}")]
    #[allow(missing_docs)]
    Key { path: PathBuf, why: JwsError },
    /// Its ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] StoreError),
}

/// The reference receiving centre.
pub struct Arc;

impl Arc {
    /// Starts a centre. It is not connected yet when this returns; `wait_up` waits for that.
    ///
    /// # Errors
    /// Its key or its ledger cannot be used.
    pub fn start(settings: ArcSettings) -> Result<ArcHandle, ArcError> {
        let key = std::fs::read(&settings.key).map_err(|why| ArcError::KeyFile { path: settings.key.clone(), why })?;
        let signer = Signer::from_file_bytes(&settings.kid, &key);
        let signer = signer.map_err(|why| ArcError::Key { path: settings.key.clone(), why })?;
        let (store, ledger, past) = Store::open(&settings.ledger, &settings.gateway)?;
        let beat_ms = settings.beats_ms.values().copied().min().unwrap_or(BEAT_MS).min(BEAT_MS);
        let mut paths = Paths::new(settings.beats_ms.clone(), BEAT_MS, settings.brokers.len());
        paths.remember(&past.verdicts, past.all_lost);
        let name = |(host, port): &(String, u16)| format!("{host}:{port}");
        let board = Shared::new(Mutex::new(Board {
            ledger,
            paths,
            lines: VecDeque::new(),
            lines_before: 0,
            topics: BTreeMap::new(),
            brokers: settings.brokers.iter().map(|broker| (name(broker), false)).collect(),
            receipts: 0,
            ended: None,
        }));
        let (news_in, news) = mpsc::channel(NEWS_MAX);
        let (control, orders) = mpsc::channel(16);
        let (version, changed) = watch::channel(0);
        let root = format!("vakt/v1/{}/", settings.gateway);
        let topics = ["event/+", "state", "device/+", "path/+", "path/+/beat", "telemetry", "reply/+"];
        let filters: Vec<String> = topics.iter().map(|topic| format!("{root}{topic}")).collect();
        let line = |(at, broker): (usize, &(String, u16))| {
            let of = if at == 0 { String::new() } else { format!("-{}", at + 1) };
            let client_id = format!("{}{of}", settings.client_id);
            tokio::spawn(link::keep(at, broker.clone(), client_id, filters.clone(), news_in.clone()))
        };
        let lines = settings.brokers.iter().enumerate().map(line).collect();
        let desk = Desk {
            root,
            wrong: settings.misbehaviour,
            gateway: settings.gateway,
            signer,
            board: Shared::clone(&board),
            version,
            store: Some(store),
            receipts: Receipts::default(),
            signs_on: BTreeSet::new(),
            endpoints: Endpoints::new(settings.brokers.iter().map(name)),
            began_ms: link::now_us() / 1000,
            began: Instant::now(),
            arrivals: 0,
            others: BTreeMap::new(),
            entries: past.entries,
            beat_ms,
            challenge: None,
            last_order: None,
            orders: 0,
        };
        Ok(ArcHandle { board, changed, control, desk: tokio::spawn(desk.run(news, orders)), lines })
    }
}

struct Desk {
    root: String,
    gateway: String,
    signer: Signer,
    wrong: Misbehaviour,
    board: Shared<Mutex<Board>>,
    version: watch::Sender<u64>,
    store: Option<Store>,
    receipts: Receipts,
    /// Where the events came that the next receipts are for.
    signs_on: BTreeSet<usize>,
    endpoints: Endpoints,
    /// The wall clock when it began, milliseconds: the ledger's times are the wall's, and from here on no clock jumps.
    began_ms: u64,
    began: Instant,
    arrivals: u64,
    /// Keys of other issuers, by name.
    others: BTreeMap<String, Signer>,
    /// Entry delays that nothing has become of.
    entries: Entries,
    /// The shortest time between beats: within it a living hub is heard.
    beat_ms: u64,
    /// The newest challenge of the hub.
    challenge: Option<String>,
    last_order: Option<Sealed>,
    orders: u64,
}

/// What one batch adds.
#[derive(Default)]
struct Round {
    disk: Vec<u8>,
    lines: Vec<Line>,
}

impl Round {
    fn say(&mut self, at_us: u64, what: Happening) {
        let at = rfc3339(i64::try_from(at_us / 1000).unwrap_or(i64::MAX));
        self.lines.push(Line { at, at_us, what });
    }

    fn notice(&mut self, at_us: u64, notice: Notice) {
        self.say(at_us, Happening::Noticed(notice));
    }

    fn path(&mut self, at_us: u64, news: PathNews) {
        let (path, verdict, silent_ms) = (news.path.clone(), news.verdict, news.silent_ms);
        self.disk.extend(store::line_of(&Entry::Path { at_us, path, verdict, silent_ms }));
        self.notice(at_us, Notice::Path(news));
    }
}

/// Whether a word says of itself that it is older than another: each broker keeps what it heard last, and a hub that has
/// moved to the other tells it no more.
fn is_older(word: &Value, than: &Value) -> bool {
    let time = |of: &Value| ["as_of", "since"].iter().find_map(|key| of.get(key)?.as_str().map(str::to_owned));
    time(word).zip(time(than)).is_some_and(|(word, than)| word < than)
}

/// What came, by which line.
struct Message<'a> {
    line: usize,
    topic: &'a str,
    payload: &'a [u8],
    retained: bool,
    at_us: u64,
}

impl Desk {
    async fn run(mut self, mut news: mpsc::Receiver<(usize, LinkNews)>, mut orders: mpsc::Receiver<Control>) {
        let why = loop {
            let mut batch = Vec::new();
            let due = self.due();
            tokio::select! {
                taken = news.recv_many(&mut batch, BATCH_MAX) => if taken == 0 { break "the line ended".to_owned() },
                order = orders.recv() => match order {
                    Some(Control::Change(wrong)) => self.wrong = wrong,
                    Some(Control::Signer(signer)) => drop(self.others.insert(signer.kid().to_owned(), *signer)),
                    Some(Control::Order(order, sent)) => drop(sent.send(self.order(&order))),
                    Some(Control::Stop) | None => break "told to stop".to_owned(),
                },
                () = tokio::time::sleep(due) => {}
            }
            if let Err(why) = self.round(batch).await {
                break why;
            }
        };
        let mut round = Round::default();
        round.notice(link::now_us(), Notice::Ended { why: why.clone() });
        lock(&self.board).ended = Some(why);
        // The ledger is let go before anyone is told that the centre has ended.
        self.store = None;
        self.show(round);
    }

    /// One batch: ledger, disk, then what the world may see.
    async fn round(&mut self, batch: Vec<(usize, LinkNews)>) -> Result<(), String> {
        let mut round = Round::default();
        for (line, news) in batch {
            match news {
                LinkNews::Up(client) => self.line_up(line, client, &mut round),
                LinkNews::Down(why) => self.line_down(line, why, &mut round),
                LinkNews::Message { topic, payload, retained, at_us } => {
                    let message = Message { line, topic: &topic, payload: &payload, retained, at_us };
                    self.message(message, &mut round)?;
                }
            }
        }
        let now = self.now_ms();
        self.judge(now, &mut round);
        if !round.disk.is_empty() {
            let mut store = self.store.take().ok_or("the ledger is closed")?;
            let lines = std::mem::take(&mut round.disk);
            let write = tokio::task::spawn_blocking(move || (store.append(&lines), store)).await;
            let (written, store) = write.map_err(|e| format!("writing the ledger: {e}"))?;
            written.map_err(|e| e.to_string())?;
            self.store = Some(store);
        }
        self.sign(now, &mut round);
        let sent = self.endpoints.send(&format!("{}ack", self.root), now);
        lock(&self.board).receipts += sent;
        self.show(round);
        Ok(())
    }

    fn line_up(&mut self, line: usize, client: AsyncClient, round: &mut Round) {
        self.endpoints.up(line, client);
        let at_us = link::now_us();
        let mut board = lock(&self.board);
        board.paths.line(line, true, self.now_ms());
        round.disk.extend(store::line_of(&board.ledger.connected(at_us)));
        let broker = self.endpoints.name(line).to_owned();
        board.brokers.insert(broker.clone(), true);
        round.notice(at_us, Notice::Connected { broker });
    }

    fn line_down(&mut self, line: usize, why: String, round: &mut Round) {
        self.endpoints.down(line);
        let mut board = lock(&self.board);
        board.paths.line(line, false, self.now_ms());
        let broker = self.endpoints.name(line).to_owned();
        board.brokers.insert(broker.clone(), false);
        round.notice(link::now_us(), Notice::Disconnected { broker, why });
    }

    /// What time alone makes of the hub's silence. It is told when it is on disk, so that it is told once.
    fn judge(&mut self, now: u64, round: &mut Round) {
        let at_us = link::now_us();
        let mut board = lock(&self.board);
        for news in board.paths.poll(now) {
            round.path(at_us, news);
        }
        if let Some(all) = board.paths.whole(now) {
            let (lost, silent_ms) = (all.lost, all.silent_ms);
            round.disk.extend(store::line_of(&Entry::AllPaths { at_us, lost, silent_ms }));
            round.notice(at_us, Notice::AllPaths(all));
        }
        self.entries.line(board.paths.audible(), self.beat_ms, now);
        for judged in self.entries.poll(now) {
            let (burglary, about) = (judged.burglary, judged.about);
            let (area, event, silent_ms) = (about.area.clone(), about.event.clone(), about.silent_ms);
            round.disk.extend(store::line_of(&Entry::EntryJudged { at_us, area, event, burglary, silent_ms }));
            if burglary {
                round.notice(at_us, Notice::AssumedBurglary(about));
            }
        }
    }

    fn message(&mut self, message: Message<'_>, round: &mut Round) -> Result<(), String> {
        let Message { line, topic, payload, retained, at_us } = message;
        let Some(below) = topic.strip_prefix(&self.root) else {
            round.notice(at_us, Notice::Odd { topic: topic.to_owned(), why: "not this gateway's topic".to_owned() });
            return Ok(());
        };
        let parts: Vec<&str> = below.split('/').collect();
        if let ["event", class] = parts.as_slice() {
            self.entries.heard(self.now_ms());
            return self.event(class, payload, line, at_us, round);
        }
        let payload: Value = match serde_json::from_slice(payload) {
            Ok(payload) => payload,
            Err(e) => {
                round.notice(at_us, Notice::Odd { topic: below.to_owned(), why: format!("not JSON: {e}") });
                return Ok(());
            }
        };
        // A last will speaks of a hub that is gone, and what is retained of one that was.
        if !retained && (parts.len() != 2 || parts[0] != "path" || payload.get("up") == Some(&json!(true))) {
            self.entries.heard(self.now_ms());
        }
        self.note_challenge(&parts, &payload, retained);
        match parts.as_slice() {
            ["path", path, "beat"] => self.beat(path, &payload, line, at_us, round),
            ["path", path] => self.birth(path, &payload, (line, retained), at_us, round),
            _ => {}
        }
        let mut board = lock(&self.board);
        let held = board.topics.get(below);
        let stale = retained && held.is_some_and(|held| is_older(&payload, held));
        if !stale && (held.is_some() || board.topics.len() < TOPICS_KEPT) {
            board.topics.insert(below.to_owned(), payload.clone());
        }
        if parts.last() != Some(&"beat") {
            round.notice(at_us, Notice::Message { topic: below.to_owned(), retained, payload });
        }
        Ok(())
    }

    fn event(&mut self, class: &str, payload: &[u8], line: usize, at_us: u64, round: &mut Round) -> Result<(), String> {
        if self.wrong.crash {
            return Err("told to crash before the event was on disk".to_owned());
        }
        self.arrivals += 1;
        let now = self.now_ms();
        let body = String::from_utf8_lossy(payload);
        let mut board = lock(&self.board);
        if self.wrong.drop_every.is_some_and(|n| self.arrivals.is_multiple_of(n)) {
            if let Some(entry) = board.ledger.dropped(at_us, &body) {
                round.disk.extend(store::line_of(&entry));
            }
            round.notice(at_us, Notice::Dropped);
            return Ok(());
        }
        let (entry, findings) = board.ledger.take(at_us, class, &body);
        round.disk.extend(store::line_of(&entry));
        self.receipts.note(&findings, board.ledger.newest_epoch());
        self.signs_on.insert(line);
        for finding in findings {
            past::watch(&mut self.entries, &finding, &body, now);
            round.say(at_us, Happening::Found(finding));
        }
        Ok(())
    }

    fn beat(&mut self, path: &str, payload: &Value, line: usize, at_us: u64, round: &mut Round) {
        let Some(counter) = payload.get("counter").and_then(Value::as_u64) else {
            let why = "a beat without a whole number `counter`".to_owned();
            round.notice(at_us, Notice::Odd { topic: format!("path/{path}/beat"), why });
            return;
        };
        let now = self.now_ms();
        if let Some(news) = lock(&self.board).paths.beat(path, counter, line, now) {
            round.path(at_us, news);
        }
        let echo = json!({"counter": counter, "at": rfc3339(i64::try_from(at_us / 1000).unwrap_or(i64::MAX))});
        let topic = format!("{}path/{path}/echo", self.root);
        // An echo that finds no room or no line is a lost echo; the hub counts on its next beat.
        let echoed = !self.wrong.silent && self.endpoints.say(line, topic, echo.to_string());
        round.notice(at_us, Notice::Beat { path: path.to_owned(), counter, echoed });
    }

    fn birth(&mut self, path: &str, payload: &Value, came: (usize, bool), at_us: u64, round: &mut Round) {
        let (line, retained) = came;
        let Some(up) = payload.get("up").and_then(Value::as_bool) else {
            let why = "a path's birth or will without `up`".to_owned();
            round.notice(at_us, Notice::Odd { topic: format!("path/{path}"), why });
            return;
        };
        let now = self.now_ms();
        if let Some(news) = lock(&self.board).paths.birth(path, up, retained, line, now) {
            round.path(at_us, news);
        }
    }

    /// A state from the broker's memory may be old, so what comes live counts for more.
    fn note_challenge(&mut self, topic: &[&str], payload: &Value, retained: bool) {
        let carries = matches!(topic, ["state"] | ["path", _, "beat"]) && (!retained || self.challenge.is_none());
        let challenge = payload.get("challenge").and_then(Value::as_str).filter(|_| carries);
        self.challenge = challenge.map(str::to_owned).or(self.challenge.take());
    }

    /// Sends an order: its name, or why it could not go.
    fn order(&mut self, order: &Order) -> Result<String, String> {
        let last = || self.last_order.clone().ok_or("no order was sent before");
        let at_us = link::now_us();
        self.orders += 1;
        let (sealed, said) = match order {
            Order::Again => (last()?, None),
            Order::New(new) => {
                let reused = if new.wrong == Some(Wrong::Reused) { Some(last()?.jti) } else { None };
                let jti = reused.unwrap_or_else(|| format!("o-{at_us:x}-{}", self.orders));
                let kid = new.kid.as_deref().unwrap_or(self.signer.kid());
                let others = || self.others.get(kid).ok_or(format!("the centre has no key {kid}"));
                let signer = if kid == self.signer.kid() { &self.signer } else { others()? };
                let now_s = i64::try_from(at_us / 1_000_000).unwrap_or(i64::MAX);
                let challenge = self.challenge.as_deref();
                let moment = Moment { gateway: &self.gateway, jti: &jti, now_s, challenge };
                (new.seal(moment, signer), Some(new))
            }
        };
        let topic = format!("{}cmd", self.root);
        self.endpoints.order(&topic, sealed.retained, &sealed.text)?;
        let jti = sealed.jti.clone();
        self.last_order = Some(sealed);
        let (role, cmd) = said.map_or(("", "again"), |new| (new.role.as_str(), new.cmd.as_str()));
        let honest = said.is_some_and(|new| new.wrong.is_none());
        let mut round = Round::default();
        let (role, cmd) = (role.to_owned(), cmd.to_owned());
        round.notice(at_us, Notice::Order { jti: jti.clone(), role, cmd, honest });
        self.show(round);
        Ok(jti)
    }

    /// Seals the round of receipts that is due.
    fn sign(&mut self, now: u64, round: &mut Round) {
        let due = self.receipts.take(now, &self.gateway, &lock(&self.board).ledger);
        if due.is_empty() {
            return;
        }
        let on = std::mem::take(&mut self.signs_on);
        if self.wrong.no_receipts {
            return;
        }
        for receipt in due {
            let (epoch, upto, seqs, ids) = (receipt.epoch, receipt.upto, receipt.seqs.len(), receipt.ids.len());
            let honest = self.wrong.forge.is_none();
            round.notice(link::now_us(), Notice::Receipt { epoch, upto, seqs, ids, honest });
            for sealed in self.wrong.seal(&receipt, &self.signer) {
                self.endpoints.queue(&on, now + self.wrong.delay_ms, &sealed);
            }
        }
    }

    fn show(&mut self, round: Round) {
        let mut board = lock(&self.board);
        for line in round.lines {
            if board.lines.len() >= LINES_KEPT {
                board.lines.pop_front();
                board.lines_before += 1;
            }
            board.lines.push_back(line);
        }
        drop(board);
        self.version.send_modify(|version| *version += 1);
    }

    /// Until the next duty: a round of receipts, a receipt held back, a path's verdict.
    fn due(&self) -> Duration {
        let now = self.now_ms();
        let paths = lock(&self.board).paths.due_at_ms();
        let duties = [self.endpoints.due_at_ms(now), self.receipts.due_at_ms(), paths, self.entries.due_at_ms()];
        let next = duties.into_iter().flatten().min();
        next.map_or(Duration::from_secs(3600), |due| Duration::from_millis(due.saturating_sub(now)))
    }

    fn now_ms(&self) -> u64 {
        self.began_ms + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(0)
    }
}
