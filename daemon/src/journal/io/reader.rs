//! Reading beside the writer: the outbox's questions, and what `vaktd journal` lists, follows, exports and verifies.
//!
//! Read-only connections; nothing here can change a row.

use super::open::has_log;
use super::open::read_only;
use super::schema::SCHEMA_VERSION;
use super::schema::defined_as_ours;
use super::store::JournalError;
use super::store::corrupt;
use super::store::damaged;
use super::store::each_row;
use super::store::read_anchors;
use super::store::sqlite;
use crate::journal::chain::BadRow;
use crate::journal::chain::Verified;
use crate::journal::chain::Walk;
use crate::journal::chain::public_key;
use crate::journal::export::Filter;
use crate::journal::record::Row;
use crate::journal::record::class_column;
use crate::journal::record::covers;
use crate::journal::record::read_snapshot;
use crate::journal::record::show;
use rusqlite::Connection;
use rusqlite::params;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use vakt_core::port::NextEvents;
use vakt_core::port::Place;
use vakt_core::port::Stored;

/// Questions waiting for the reader. Who asks waits; one link asks one question at a time.
const QUESTIONS_MAX: usize = 16;

/// How often `follow` looks for new rows, in ms: one stat of the log, unnoticed beside the writer.
pub const FOLLOW_MS: u64 = 200;

/// A question and the place for its answer.
pub type Question = (NextEvents, oneshot::Sender<Vec<Stored>>);

/// A read-only view of a journal file.
pub struct Reader {
    conn: Connection,
    path: PathBuf,
}

/// Why a journal does not verify.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A row does not hold.
    #[error(transparent)]
    Row(#[from] BadRow),
    /// The file does not.
    #[error("{after}: {error}")]
    Unreadable {
        /// The last row that could be read.
        after: String,
        /// What failed.
        error: JournalError,
    },
    /// SQLite finds its own structure damaged.
    #[error("{path}: {what}")]
    Structure {
        /// Which file.
        path: String,
        /// What SQLite says.
        what: String,
    },
    /// Something beside the rows does not hold.
    #[error("{0}")]
    Beside(String),
}

impl From<JournalError> for VerifyError {
    fn from(error: JournalError) -> Self {
        VerifyError::Unreadable { after: "before the first row".to_owned(), error }
    }
}

impl Reader {
    /// Opens a journal for reading, beside a running daemon or without one.
    ///
    /// # Errors
    /// The file is not there, or is no journal.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let conn = read_only(path).map_err(sqlite("read", path))?;
        conn.query_row("SELECT count(*) FROM receipt", [], |_| Ok(())).map_err(sqlite("read", path))?;
        Ok(Self { conn, path: path.to_owned() })
    }

    /// The next events of a class without a receipt.
    ///
    /// # Errors
    /// The disk, or a row that is no event.
    pub fn next(&self, question: &NextEvents) -> Result<Vec<Stored>, JournalError> {
        self.rows(question).map_err(sqlite("read", &self.path))
    }

    fn rows(&self, question: &NextEvents) -> rusqlite::Result<Vec<Stored>> {
        let mut epochs =
            self.conn.prepare_cached("SELECT epoch, upto FROM receipt WHERE epoch >= ?1 ORDER BY epoch")?;
        let epochs = epochs.query_map([question.after.epoch], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut found = Vec::new();
        for epoch in epochs {
            let (epoch, upto): (u64, u64) = epoch?;
            let after = if epoch == question.after.epoch { question.after.seq.max(upto) } else { upto };
            let sql = "SELECT e.epoch, e.seq, e.class, e.body, e.hash, p.body FROM event e
                LEFT JOIN personal p ON p.epoch = e.epoch AND p.seq = e.seq
                WHERE e.class = ?1 AND e.epoch = ?2 AND e.seq > ?3 AND NOT EXISTS
                (SELECT 1 FROM receipt_above a WHERE a.epoch = e.epoch AND a.seq = e.seq)
                ORDER BY e.seq LIMIT ?4";
            let mut statement = self.conn.prepare_cached(sql)?;
            let class = class_column(question.class);
            let left = question.limit - found.len();
            let mut rows = statement.query(params![class, epoch, after, left as i64])?;
            while let Some(row) = rows.next()? {
                let place = Place { epoch: row.get(0)?, seq: row.get(1)? };
                let row =
                    Row { place, class: row.get(2)?, body: row.get(3)?, hash: row.get(4)?, personal: row.get(5)? };
                match row.stored() {
                    Ok(stored) => found.push(stored),
                    // Passing over it would hide it, and with a full page everything behind it.
                    Err(error) => {
                        tracing::error!(%error, "{} cannot be sent: the journal is damaged", show(place));
                        return Err(corrupt());
                    }
                }
            }
            if found.len() >= question.limit {
                break;
            }
        }
        Ok(found)
    }

    /// Hands over every row after a place that passes the filter; gives the last place seen.
    ///
    /// # Errors
    /// The disk, or the taker's own.
    pub fn each<E: From<JournalError>>(
        &self,
        after: Place,
        filter: &Filter,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Place, E> {
        let mut last = after;
        each_row(&self.conn, &self.path, after, |row| -> Result<(), E> {
            last = row.place;
            if filter.class.is_some_and(|class| class_column(class) != row.class) {
                return Ok(());
            }
            let recent = |since| row.check().is_ok_and(|(_, event)| event.stamp.wall_ms >= since);
            if filter.since_ms.is_some_and(|since| !recent(since)) {
                return Ok(());
            }
            row.wire_on_site(filter.class.is_some()).map_or(Ok(()), |wire| take(&wire))
        })?;
        Ok(last)
    }

    /// Walks the whole chain.
    ///
    /// # Errors
    /// The first row that does not hold, or what keeps the file from being read.
    pub fn verify(&self) -> Result<Verified, VerifyError> {
        // All of it as it is now, where that keeps nobody from writing.
        let logged = has_log(&self.conn).map_err(sqlite("read", &self.path))?;
        let begin = || self.conn.unchecked_transaction().map_err(sqlite("read", &self.path));
        let _now = logged.then(begin).transpose()?;
        let anchors = read_anchors(&self.conn, &self.path)?;
        let mut walk = Walk::new(anchors, self.check_snapshots()?);
        let mut last = Place::default();
        let walked = each_row(&self.conn, &self.path, Place::default(), |row| -> Result<(), VerifyError> {
            walk.row(&row)?;
            last = row.place;
            Ok(())
        });
        walked.map_err(|error| match error {
            VerifyError::Unreadable { error, .. } => {
                VerifyError::Unreadable { after: format!("after {}", show(last)), error }
            }
            other => other,
        })?;
        let found = walk.finish()?;
        self.check_structure()?;
        self.check_receipts()?;
        Ok(found)
    }

    fn check_structure(&self) -> Result<(), VerifyError> {
        let what: String = self
            .conn
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(sqlite("check", &self.path))?;
        let path = self.path.display().to_string();
        if what != "ok" {
            return Err(VerifyError::Structure { path, what });
        }
        let number = self.conn.query_row("PRAGMA user_version", [], |row| row.get(0));
        let same = number.and_then(|number: i64| Ok(number == SCHEMA_VERSION && defined_as_ours(&self.conn)?));
        let same = same.map_err(sqlite("check", &self.path))?;
        let what = "its tables are not defined as this program defines them".to_owned();
        if same { Ok(()) } else { Err(VerifyError::Structure { path, what }) }
    }

    /// Snapshots hold too; gives the hub keys they know.
    fn check_snapshots(&self) -> Result<Vec<[u8; 32]>, VerifyError> {
        type Snapshot = (Place, i64, Vec<u8>, Vec<u8>);
        let read = || -> rusqlite::Result<Vec<Snapshot>> {
            let mut statement = self.conn.prepare("SELECT epoch, seq, version, state, hash FROM snapshot")?;
            let rows = statement.query_map([], |row| {
                Ok((Place { epoch: row.get(0)?, seq: row.get(1)? }, row.get(2)?, row.get(3)?, row.get(4)?))
            })?;
            rows.collect()
        };
        let mut keys = Vec::new();
        for (place, version, bytes, hash) in read().map_err(sqlite("read", &self.path))? {
            if vakt_core::canonical::sha256(&[&bytes]) != *hash {
                return Err(VerifyError::Beside(format!("the snapshot at {} does not match its hash", show(place))));
            }
            let state = read_snapshot(version, &bytes, &hash);
            let hub = state.iter().flat_map(|state| state.keys.values()).filter(|key| key.role == "hub");
            keys.extend(hub.filter_map(|key| public_key(&key.ed25519)));
        }
        Ok(keys)
    }

    /// What a receipt's row says is what its signed text says.
    fn check_receipts(&self) -> Result<(), VerifyError> {
        let read = || -> rusqlite::Result<Vec<(u64, u64, String)>> {
            let mut statement = self.conn.prepare("SELECT epoch, upto, jws FROM receipt")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
        };
        for (epoch, upto, jws) in read().map_err(sqlite("read", &self.path))? {
            // A hub that has not sent everything again yet may have noted less than was signed, never more.
            if !covers(&jws, epoch, upto) {
                let text = format!("the receipt for epoch {epoch} says seq {upto}, its signed text does not");
                return Err(VerifyError::Beside(text));
            }
        }
        Ok(())
    }
}

/// Which file it is, whatever its name.
type Inode = (u64, u64);

fn inode(path: &Path) -> Option<Inode> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Starts the thread that answers the outbox; `suspect` is told when the file turns out damaged.
///
/// # Errors
/// The journal cannot be read, or the thread not started.
pub fn serve(path: PathBuf, suspect: impl Fn() + Send + 'static) -> Result<mpsc::Sender<Question>, JournalError> {
    let (questions, mut inbox) = mpsc::channel::<Question>(QUESTIONS_MAX);
    let failed = path.clone();
    let run = move || {
        let mut reader: Option<(Reader, Inode)> = None;
        while let Some((question, answer)) = inbox.blocking_recv() {
            // A damaged journal is put aside under way: what is still open is then the old one.
            let now = inode(&path);
            if reader.as_ref().is_none_or(|(_, opened)| Some(*opened) != now) {
                reader = now.and_then(|now| Some((Reader::open(&path).ok()?, now)));
            }
            match reader.as_ref().map(|(reader, _)| reader.next(&question)) {
                Some(Ok(found)) => drop(answer.send(found)),
                // No answer is not an empty answer: the asker sees the channel close and asks again.
                Some(Err(error)) => {
                    tracing::warn!(%error, "the journal could not be read for the outbox");
                    reader = None;
                    if damaged(&error) {
                        suspect();
                    }
                }
                None => {}
            }
        }
    };
    let thread = std::thread::Builder::new().name("journal-reader".into()).spawn(run);
    thread.map_err(|source| JournalError::File { doing: "start the reader of", path: failed, source })?;
    Ok(questions)
}
