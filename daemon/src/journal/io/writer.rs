//! The one connection that writes, on its own thread: whoever waits for a commit waits together with everybody else
//! who came in the meantime, and one fsync serves them all.
//!
//! It never retries a failed commit on the same footing: it looks at what the file holds first, because a commit
//! that failed may still have been written.

use super::room;
use super::room::Cut;
use super::room::Reserve;
use super::store::Begun;
use super::store::JournalError;
use super::store::Store;
use super::store::damaged;
use super::store::insert;
use super::store::open;
use super::store::sqlite;
use super::store::write_whole;
use crate::journal::record::Row;
use crate::journal::record::side_text;
use crate::journal::record::snapshot_bytes;
use ring::signature::Ed25519KeyPair;
use rusqlite::OptionalExtension;
use rusqlite::params;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use vakt_core::alarm::state::STATE_VERSION;
use vakt_core::alarm::state::State;
use vakt_core::canonical;
use vakt_core::event::Event;
use vakt_core::event::EventId;
use vakt_core::event::Fact;
use vakt_core::port::Head;
use vakt_core::port::Place;
use vakt_core::port::Receipt;
use vakt_core::port::Waiting;
use vakt_core::turn::Committed;

/// Jobs waiting for the writer. The hub waits at this limit; it sends one batch at a time, so it never gets there.
const JOBS_MAX: usize = 64;

/// How many jobs one transaction takes; the rest waits for the next.
const GROUP_MAX: usize = 32;

/// How many snapshots are kept: the newest, and one more should it not hold.
const SNAPSHOTS_KEPT: i64 = 2;

/// What recording answers.
pub type Answer = Result<Committed, JournalError>;

enum Job {
    Record { events: Vec<Event>, answer: oneshot::Sender<Answer> },
    Receipt(Receipt),
    Snapshot(Arc<State>, Place),
    Side(Arc<State>, Place),
    Suspect,
    Prune { before_ms: i64, answer: oneshot::Sender<Result<Option<Place>, JournalError>> },
    Room,
    Stop(oneshot::Sender<()>),
}

/// The keys the journal signs with.
#[derive(Clone)]
pub struct Keys {
    /// Seals the side snapshot.
    pub seal: [u8; 32],
    /// Signs pruning anchors.
    pub sign: Arc<Ed25519KeyPair>,
}

/// The way to the writer.
#[derive(Clone)]
pub struct Journal {
    jobs: mpsc::Sender<Job>,
    head: watch::Receiver<Head>,
    waiting: watch::Receiver<Waiting>,
    low: watch::Receiver<bool>,
    begun: Arc<std::sync::Mutex<Option<Begun>>>,
}

/// The writer with its inbox, for one thread: the journal's own, or that of whoever simulates it.
pub struct Desk {
    writer: Writer,
    inbox: mpsc::Receiver<Job>,
}

/// The way to a writer, and the writer itself, which does nothing until its thread lets it.
pub fn prepare(dir: PathBuf, store: Store, keys: Keys) -> (Journal, Desk) {
    let (jobs, inbox) = mpsc::channel(JOBS_MAX);
    let (head, head_seen) = watch::channel(store.head);
    let (waiting, waiting_seen) = watch::channel(Waiting::default());
    let (low, low_seen) = watch::channel(false);
    let begun = Arc::new(std::sync::Mutex::new(None));
    let epoch = store.epoch;
    let begun_seen = begun.clone();
    let writer = Writer {
        reserve: Reserve::beside(&dir),
        low,
        dir,
        epoch,
        store: Some(store),
        keys,
        head,
        waiting,
        maybe: Vec::new(),
        maybe_after: Place::default(),
        begun,
    };
    let journal = Journal { jobs, head: head_seen, waiting: waiting_seen, low: low_seen, begun: begun_seen };
    (journal, Desk { writer, inbox })
}

/// Starts the writer.
///
/// # Errors
/// The thread cannot be started.
pub fn start(dir: PathBuf, store: Store, keys: Keys) -> Result<(Journal, JoinHandle<()>), JournalError> {
    let failed = dir.clone();
    let (journal, mut desk) = prepare(dir, store, keys);
    let thread = std::thread::Builder::new().name("journal".into()).spawn(move || desk.run());
    let thread = thread.map_err(|source| JournalError::File { doing: "start the writer of", path: failed, source })?;
    Ok((journal, thread))
}

impl Desk {
    fn run(&mut self) {
        self.writer.tell_waiting();
        while let Some(first) = self.inbox.blocking_recv() {
            if self.take(first) {
                return;
            }
        }
    }

    /// Does all that waits, on the caller's thread, and comes back.
    pub fn work(&mut self) {
        while let Ok(first) = self.inbox.try_recv() {
            self.take(first);
        }
    }

    /// The connection that writes; `None` after an error, until the next commit has opened it again.
    pub fn store(&mut self) -> Option<&mut Store> {
        self.writer.store.as_mut()
    }

    /// One group of jobs; true when it was told to stop.
    fn take(&mut self, first: Job) -> bool {
        let mut jobs = vec![first];
        while jobs.len() < GROUP_MAX
            && let Ok(next) = self.inbox.try_recv()
        {
            jobs.push(next);
        }
        self.writer.group(jobs)
    }
}

impl Journal {
    /// Asks for events to be recorded; the answer comes after the commit. Events already there (from a commit that
    /// failed yet was written) are not written twice. It never waits: who owns the panel must not stand behind a disk.
    pub fn record(&self, events: Vec<Event>) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel();
        match self.jobs.try_send(Job::Record { events, answer }) {
            Err(mpsc::error::TrySendError::Full(Job::Record { answer, .. })) => {
                let _ = answer.send(Err(JournalError::Behind));
            }
            Err(mpsc::error::TrySendError::Closed(Job::Record { answer, .. })) => {
                let _ = answer.send(Err(JournalError::Gone));
            }
            _ => {}
        }
        receiver
    }

    /// Whoever reads the file beside the writer found it damaged.
    pub fn suspect(&self) {
        // Full: it will be found again.
        let _ = self.jobs.try_send(Job::Suspect);
    }

    /// Notes the centre's receipt; written with the next commit or at once when idle. Losing it costs a duplicate.
    pub fn receipt(&self, receipt: Receipt) -> bool {
        // Half of the queue is for events: receipts must not keep an alarm from a slow disk.
        self.jobs.capacity() > JOBS_MAX / 2 && self.jobs.try_send(Job::Receipt(receipt)).is_ok()
    }

    /// Keeps what the hub knew after `place`.
    pub fn snapshot(&self, state: Arc<State>, place: Place) -> bool {
        self.jobs.try_send(Job::Snapshot(state, place)).is_ok()
    }

    /// Writes the signed side snapshot.
    pub fn side(&self, state: Arc<State>, place: Place) -> bool {
        self.jobs.try_send(Job::Side(state, place)).is_ok()
    }

    /// Prunes what is older than `before_ms` and may go. `Some`: the last place that went.
    ///
    /// # Errors
    /// The disk.
    pub async fn prune(&self, before_ms: i64) -> Result<Option<Place>, JournalError> {
        let (answer, receiver) = oneshot::channel();
        self.jobs.send(Job::Prune { before_ms, answer }).await.map_err(|_| JournalError::Gone)?;
        receiver.await.map_err(|_| JournalError::Gone)?
    }

    /// Commits what waits, folds the log into the file and ends the thread.
    pub async fn stop(&self) {
        let (answer, receiver) = oneshot::channel();
        if self.jobs.send(Job::Stop(answer)).await.is_ok() {
            let _ = receiver.await;
        }
    }

    /// The newest committed row; changes after each commit.
    pub fn head(&self) -> watch::Receiver<Head> {
        self.head.clone()
    }

    /// What waits for the centre's receipt.
    pub fn waiting(&self) -> watch::Receiver<Waiting> {
        self.waiting.clone()
    }

    /// Asks to look whether there is room on the disk; `low` says what was found.
    pub fn look_for_room(&self) {
        // Full: it is asked again soon.
        let _ = self.jobs.try_send(Job::Room);
    }

    /// Whether the disk is nearly full: the room kept aside has been given up.
    pub fn low(&self) -> watch::Receiver<bool> {
        self.low.clone()
    }

    /// Set once after the writer had to begin a new epoch under way; its first event must be `journal_restarted`.
    pub fn take_begun(&self) -> Option<Begun> {
        self.begun.lock().ok()?.take()
    }
}

struct Writer {
    dir: PathBuf,
    reserve: Reserve,
    low: watch::Sender<bool>,
    epoch: u64,
    /// `None` after an error, until the file could be opened again.
    store: Option<Store>,
    keys: Keys,
    head: watch::Sender<Head>,
    waiting: watch::Sender<Waiting>,
    /// Events that failed commits may have written all the same, and the last place before them.
    maybe: Vec<EventId>,
    maybe_after: Place,
    begun: Arc<std::sync::Mutex<Option<Begun>>>,
}

impl Writer {
    /// One group of jobs; true when it was told to stop.
    fn group(&mut self, jobs: Vec<Job>) -> bool {
        let (mut records, mut receipts, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for job in jobs {
            match job {
                Job::Record { events, answer } => records.push((events, answer)),
                Job::Receipt(receipt) => receipts.push(receipt),
                other => rest.push(other),
            }
        }
        if !records.is_empty() || !receipts.is_empty() {
            self.commit(records, &receipts);
        }
        // The newest side snapshot wins: each is whole.
        let newest = rest.iter().rposition(|job| matches!(job, Job::Side(..)));
        for (at, job) in rest.into_iter().enumerate() {
            match job {
                Job::Side(state, place) if Some(at) == newest => {
                    let text = side_text(place, &state, &self.keys.seal);
                    self.log(write_whole(&self.dir.join("arm-state"), &text), "side snapshot");
                }
                Job::Snapshot(state, place) => {
                    let written = self.snapshot(&state, place);
                    self.log(written, "snapshot");
                }
                Job::Suspect => self.begin_anew(),
                Job::Prune { before_ms, answer } => drop(answer.send(self.prune(Cut::Before(before_ms)))),
                Job::Room => self.look_for_room(),
                Job::Stop(answer) => {
                    if let Some(store) = &self.store {
                        let _ = store.conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
                    }
                    self.store = None;
                    let _ = answer.send(());
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    fn log(&self, done: Result<(), JournalError>, what: &str) {
        if let Err(error) = done {
            tracing::warn!(%error, "the {what} could not be written; the journal itself stands");
        }
    }

    fn commit(&mut self, records: Vec<(Vec<Event>, oneshot::Sender<Answer>)>, receipts: &[Receipt]) {
        let events: Vec<&Event> = records.iter().flat_map(|(events, _)| events).collect();
        let mut committed = self.try_commit(&events, receipts);
        if committed.as_ref().is_err_and(full) && self.make_room() {
            committed = self.try_commit(&events, receipts);
        }
        match committed {
            Ok(head) => {
                // Only what was answered is certain; the rest of a failed commit may still be asked for.
                self.maybe.retain(|id| !events.iter().any(|event| event.id == *id));
                self.head.send_replace(head);
                for (events, answer) in records {
                    let ids = events.iter().map(|event| event.id).collect();
                    let _ = answer.send(Ok(Committed { ids, head }));
                }
                // Counting takes its time: whoever waits for the commit has gone on already.
                self.tell_waiting();
            }
            Err(error) => {
                if self.maybe.is_empty() {
                    self.maybe_after = self.head.borrow().place;
                }
                self.maybe.extend(events.iter().map(|event| event.id));
                let keep = full(&error) || matches!(error, JournalError::Unannounced);
                if damaged(&error) || !self.dir.join("journal.db").exists() {
                    self.begin_anew();
                } else if !keep {
                    // The connection cannot be trusted after an IO error; a full disk's error is clean.
                    self.store = None;
                }
                let text = error.to_string();
                let mut first = Some(error);
                for (_, answer) in records {
                    let repeat = || JournalError::File {
                        doing: "commit to",
                        path: self.dir.clone(),
                        source: std::io::Error::other(text.clone()),
                    };
                    let _ = answer.send(Err(first.take().unwrap_or_else(repeat)));
                }
            }
        }
    }

    fn try_commit(&mut self, events: &[&Event], receipts: &[Receipt]) -> Result<Head, JournalError> {
        let path = self.dir.join("journal.db");
        if self.store.is_none() {
            self.store = Some(Store::reopen(&self.dir, self.epoch)?);
        }
        let there = self.already_there(events)?;
        let store = self.store.as_mut().ok_or(JournalError::Gone)?;
        let mut head = store.head;
        let announced = |event: &&Event| matches!(event.fact, Fact::JournalRestarted { .. });
        if head.place.seq == 0 && !events.is_empty() && !events.first().is_some_and(announced) {
            return Err(JournalError::Unannounced);
        }
        let mut write = || -> rusqlite::Result<()> {
            let transaction = store.conn.transaction()?;
            for event in events.iter().filter(|event| !there.contains(&event.id)) {
                let place = Place { epoch: head.place.epoch, seq: head.place.seq + 1 };
                let row = Row::seal(event, place, &head.hash);
                insert(&transaction, &row)?;
                head = Head { place, hash: row.hash };
            }
            for receipt in receipts {
                note_receipt(&transaction, receipt)?;
            }
            transaction.commit()
        };
        write().map_err(sqlite("commit to", &path))?;
        store.head = head;
        Ok(head)
    }

    /// Which of these a failed commit wrote all the same.
    fn already_there(&mut self, events: &[&Event]) -> Result<Vec<EventId>, JournalError> {
        let path = self.dir.join("journal.db");
        let Some(store) = self.store.as_ref() else { return Ok(vec![]) };
        if self.maybe.is_empty() {
            return Ok(vec![]);
        }
        let known = self.maybe_after;
        let sql = "SELECT body FROM event WHERE epoch = ?1 AND seq > ?2 ORDER BY seq";
        let read = || -> rusqlite::Result<Vec<Vec<u8>>> {
            let mut statement = store.conn.prepare(sql)?;
            statement.query_map(params![self.epoch, known.seq], |row| row.get(0))?.collect()
        };
        let bodies = if known.epoch == self.epoch { read().map_err(sqlite("read", &path))? } else { vec![] };
        let ids = bodies.iter().filter_map(|body| canonical::open(body).ok()).map(|(_, _, event)| event.id);
        let there: Vec<EventId> = ids.filter(|id| events.iter().any(|event| event.id == *id)).collect();
        Ok(there)
    }

    /// The file turned out damaged under way: it is put aside and a new epoch begins. The hub learns of it by
    /// `take_begun` and makes that the epoch's first event.
    fn begin_anew(&mut self) {
        self.store = None;
        match open(&self.dir, &self.keys.seal, self.epoch + 1) {
            Ok(opened) => {
                self.epoch = opened.store.epoch;
                self.head.send_replace(opened.store.head);
                self.store = Some(opened.store);
                if let (Some(begun), Ok(mut slot)) = (opened.begun, self.begun.lock()) {
                    self.maybe.clear();
                    *slot = Some(begun);
                }
            }
            Err(error) => tracing::error!(%error, "the damaged journal could not be put aside"),
        }
    }

    fn snapshot(&mut self, state: &State, place: Place) -> Result<(), JournalError> {
        let path = self.dir.join("journal.db");
        let Some(store) = self.store.as_mut() else { return Ok(()) };
        let bytes = snapshot_bytes(state);
        let hash = canonical::sha256(&[&bytes]);
        let mut write = || -> rusqlite::Result<()> {
            let transaction = store.conn.transaction()?;
            let sql = "INSERT OR REPLACE INTO snapshot (epoch, seq, version, state, hash) VALUES (?1, ?2, ?3, ?4, ?5)";
            transaction.execute(sql, params![place.epoch, place.seq, STATE_VERSION, bytes, hash])?;
            let sql = "DELETE FROM snapshot WHERE (epoch, seq) NOT IN
                (SELECT epoch, seq FROM snapshot ORDER BY epoch DESC, seq DESC LIMIT ?1)";
            transaction.execute(sql, [SNAPSHOTS_KEPT])?;
            transaction.commit()
        };
        write().map_err(sqlite("write a snapshot to", &path))
    }

    fn prune(&mut self, cut: Cut) -> Result<Option<Place>, JournalError> {
        let path = self.dir.join("journal.db");
        self.store.as_mut().map_or(Ok(None), |store| room::prune(store, &path, &self.keys.sign, cut))
    }

    /// The disk is full: gives up what was kept aside, and the oldest rows the centre has signed for. `false`: there is
    /// nothing more to give.
    fn make_room(&mut self) -> bool {
        let held = self.reserve.held();
        self.reserve.give();
        // Not taken again here: a quota may be full where the file system is not.
        self.tell_room();
        match self.prune(Cut::ForRoom) {
            Ok(Some(place)) => {
                tracing::warn!(epoch = place.epoch, seq = place.seq, "the disk is full; rows up to here were pruned");
                true
            }
            Ok(None) => held,
            Err(error) => {
                tracing::warn!(%error, "the disk is full, and old rows could not be pruned");
                held
            }
        }
    }

    /// Takes the reserve again when it can be, and says whether the disk is nearly full.
    fn look_for_room(&mut self) {
        self.reserve.take(&self.dir);
        self.tell_room();
    }

    fn tell_room(&self) {
        let low = self.reserve.low(&self.dir);
        self.low.send_if_modified(|known| std::mem::replace(known, low) != low);
    }

    fn tell_waiting(&mut self) {
        let Some(store) = &self.store else { return };
        match count_waiting(store) {
            Ok(waiting) => drop(self.waiting.send_replace(waiting)),
            Err(error) => {
                tracing::warn!(%error, "what waits for a receipt could not be counted");
                let path = self.dir.join("journal.db");
                if damaged(&sqlite("count in", &path)(error)) {
                    self.begin_anew();
                }
            }
        }
    }
}

fn full(error: &JournalError) -> bool {
    matches!(error, JournalError::Sqlite { source, .. }
        if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
}

fn note_receipt(conn: &rusqlite::Connection, receipt: &Receipt) -> rusqlite::Result<()> {
    let raise = "UPDATE receipt SET upto = ?2, jws = ?3 WHERE epoch = ?1 AND upto < ?2";
    conn.prepare_cached(raise)?.execute(params![receipt.epoch, receipt.upto, receipt.jws])?;
    for seq in &receipt.seqs {
        let one = "INSERT OR IGNORE INTO receipt_above SELECT ?1, ?2 FROM receipt WHERE epoch = ?1 AND upto < ?2";
        conn.prepare_cached(one)?.execute(params![receipt.epoch, seq])?;
    }
    let covered = "DELETE FROM receipt_above WHERE epoch = ?1 AND seq <= (SELECT upto FROM receipt WHERE epoch = ?1)";
    conn.prepare_cached(covered)?.execute([receipt.epoch])?;
    Ok(())
}

fn count_waiting(store: &Store) -> rusqlite::Result<Waiting> {
    let conn = &store.conn;
    let mut waiting = Waiting { events: 0, oldest: None, journaled: store.head.place.seq };
    let mut epochs = conn.prepare_cached("SELECT epoch, upto FROM receipt ORDER BY epoch")?;
    let epochs =
        epochs.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<Vec<(u64, u64)>>>()?;
    for (epoch, upto) in epochs {
        let above: u64 = conn
            .prepare_cached("SELECT count(*) FROM receipt_above WHERE epoch = ?1")?
            .query_row([epoch], |row| row.get(0))?;
        let after = if epoch == store.epoch {
            store.head.place.seq.saturating_sub(upto)
        } else {
            conn.prepare_cached("SELECT count(*) FROM event WHERE epoch = ?1 AND seq > ?2")?
                .query_row([epoch, upto], |row| row.get(0))?
        };
        waiting.events += after.saturating_sub(above);
        if waiting.oldest.is_none() && after > above {
            let sql = "SELECT body FROM event e WHERE epoch = ?1 AND seq > ?2 AND NOT EXISTS
                (SELECT 1 FROM receipt_above a WHERE a.epoch = e.epoch AND a.seq = e.seq) ORDER BY seq LIMIT 1";
            let body: Option<Vec<u8>> =
                conn.prepare_cached(sql)?.query_row([epoch, upto], |row| row.get(0)).optional()?;
            waiting.oldest = body.and_then(|body| canonical::open(&body).ok()).map(|(_, _, event)| event.stamp);
        }
    }
    Ok(waiting)
}
