//! The one file of events: opening it, telling whether it can be believed, and putting a damaged one aside.
//!
//! A journal that does not hold is never mended and never deleted: it is renamed, a new epoch begins, and what the
//! centre has not signed for is carried over as far as it still verifies.

use super::anew::begin;
use super::anew::begin_epoch;
use super::anew::begun;
use super::anew::finish;
use super::open::writable;
use super::schema::SCHEMA_VERSION;
use super::schema::defined_as_ours;
use super::schema::upgrade;
use crate::journal::chain::Anchor;
use crate::journal::chain::BadRow;
use crate::journal::chain::Walk;
use crate::journal::chain::public_key;
use crate::journal::record::Row;
use crate::journal::record::SIDE_MAX;
use crate::journal::record::covers;
use crate::journal::record::is_of_a_later_program;
use crate::journal::record::read_side;
use crate::journal::record::read_snapshot;
use crate::journal::record::show;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::params;
use serde::Deserialize;
use serde::Serialize;
use std::fs;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use vakt_core::alarm::state::STATE_VERSION;
use vakt_core::alarm::state::State;
use vakt_core::event::RestartReason;
use vakt_core::port::Head;
use vakt_core::port::Place;

/// How many of the newest rows are walked before the hub starts; `journal verify` walks all. What state and delivery
/// rest on is always walked: rows after the last snapshot and rows without a receipt.
const WALKED_AT_START: u64 = 20_000;

/// Rows read in one go, some MiB at most: for as long as it takes to print them nobody holds the file, or its log.
const PAGE_ROWS: i64 = 500;

/// Why the journal could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// SQLite, while doing something.
    #[error("{doing} {}: {source}", path.display())]
    Sqlite {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// The file system, while doing something.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The file was written by a later program.
    #[error("{} has schema {found}, this program knows {SCHEMA_VERSION}: install the newer vaktd again", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// What stands in it was written by a later program.
    #[error("{}: {what} is of a later program than this: install the newer vaktd again", path.display())]
    Later {
        /// Which file.
        path: PathBuf,
        /// What of it.
        what: String,
    },
    /// The writer has gone.
    #[error("the journal's writer has stopped")]
    Gone,
    /// The writer is behind.
    #[error("the journal's writer does not get on: too much waits for its disk")]
    Behind,
    /// An epoch has begun whose first event must say so.
    #[error("a new epoch has begun: its first event must be journal_restarted")]
    Unannounced,
}

/// Why a new epoch was begun, for its first event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Why.
    pub reason: RestartReason,
    /// Where the old one ended and its last row's hash, as far as they are known.
    pub old: Option<(Place, Option<[u8; 32]>)>,
    /// Rows carried over.
    pub salvaged: u64,
    /// Whether arm state stands on something signed.
    pub arm_state_known: bool,
    /// What was found and where the damaged file is now.
    pub text: String,
}

/// An open journal.
#[derive(Debug)]
pub struct Store {
    /// The connection that writes.
    pub conn: Connection,
    /// The epoch events are written in.
    pub epoch: u64,
    /// The last row of that epoch.
    pub head: Head,
}

/// What a start needs to know.
#[derive(Debug)]
pub struct Opened {
    /// The journal.
    pub store: Store,
    /// What the hub knew at its head.
    pub state: State,
    /// Set when a new epoch begins.
    pub begun: Option<Begun>,
}

pub(super) fn sqlite<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(rusqlite::Error) -> JournalError + 'a {
    move |source| JournalError::Sqlite { doing, path: path.to_owned(), source }
}

pub(super) fn file<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> JournalError + 'a {
    move |source| JournalError::File { doing, path: path.to_owned(), source }
}

/// The SQLite this program carries.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

/// Whether an error says that the file itself is damaged.
pub fn damaged(error: &JournalError) -> bool {
    use rusqlite::ErrorCode::DatabaseCorrupt;
    use rusqlite::ErrorCode::NotADatabase;
    matches!(error, JournalError::Sqlite { source, .. }
        if matches!(source.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)))
}

/// Writes a small file so that it is there whole or not at all, also after a power cut.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut new = fs::File::create(&temporary)?;
        new.write_all(bytes)?;
        new.sync_all()?;
        fs::rename(&temporary, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(file("write", path))
}

/// Opens the journal in `dir`, or begins one. `key` seals the side snapshot; `first_epoch` is used by a first journal.
///
/// # Errors
/// Where neither the old file nor a new one can be used: the disk is full, read-only or gone.
pub fn open(dir: &Path, key: &[u8; 32], first_epoch: u64) -> Result<Opened, JournalError> {
    finish(dir)?;
    let path = dir.join("journal.db");
    let stated = read_epoch(&dir.join("epoch"))?;
    let side = read_side_file(&dir.join("arm-state"), key);
    let was_there = path.exists();
    let found = if was_there { inspect(&path) } else { Ok(None) };
    match found {
        Ok(Some((store, state, base))) => resume(dir, store, state, base, stated, side),
        Ok(None) => {
            let reason = if stated.is_some() { RestartReason::Missing } else { RestartReason::First };
            let text = if was_there { "the journal was empty" } else { "there was no journal" };
            begin(dir, false, stated, side, first_epoch, (reason, text.to_owned()))
        }
        Err(damage) if damage.mendable => {
            begin(dir, true, stated, side, first_epoch, (RestartReason::Quarantined, damage.what))
        }
        Err(damage) => Err(damage.error),
    }
}

/// Whether an error comes from around the file (disk, rights, memory, another program) and says nothing about it. While
/// opening, all that is left is the file's own fault, whatever SQLite calls it.
pub fn outside(error: &JournalError) -> bool {
    use rusqlite::ErrorCode as Code;
    match error {
        JournalError::Sqlite { source, .. } => matches!(
            source.sqlite_error_code(),
            Some(
                Code::SystemIoFailure
                    | Code::DiskFull
                    | Code::CannotOpen
                    | Code::PermissionDenied
                    | Code::ReadOnly
                    | Code::DatabaseBusy
                    | Code::DatabaseLocked
                    | Code::OutOfMemory
                    | Code::FileLockingProtocolFailed
            )
        ),
        _ => true,
    }
}

struct Damage {
    mendable: bool,
    what: String,
    error: JournalError,
}

impl From<JournalError> for Damage {
    fn from(error: JournalError) -> Self {
        Damage { mendable: !outside(&error), what: error.to_string(), error }
    }
}

pub(super) fn connect(path: &Path) -> Result<Connection, JournalError> {
    let conn = writable(path).map_err(sqlite("open", path))?;
    // NORMAL lost acknowledged rows in 18 of 20 power cuts, FULL in none of 40.
    conn.pragma_update(None, "synchronous", "FULL").map_err(sqlite("open", path))?;
    Ok(conn)
}

/// Gives so many free pages back to the file system. The pragma frees one each time it is stepped.
pub(super) fn vacuum(conn: &Connection, pages: u32) -> rusqlite::Result<()> {
    let mut freed = conn.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = freed.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// As SQLite says it of a file that is damaged.
pub(super) fn corrupt() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), None)
}

type Inspected = Option<(Store, State, Option<Place>)>;

/// Opens an existing file and walks what the start rests on. `None`: it holds no epoch yet.
fn inspect(path: &Path) -> Result<Inspected, Damage> {
    let conn = connect(path)?;
    upgrade(&conn, path)?;
    // Not quick_check: an event missing from the index would never be sent.
    let sound: String =
        conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(sqlite("check", path))?;
    let broken = |what: String| Damage { mendable: true, error: sqlite("check", path)(corrupt()), what };
    if sound != "ok" {
        return Err(broken(format!("{}: {sound}", path.display())));
    }
    // What cannot even be read as text is as bent as what reads differently.
    if !defined_as_ours(&conn).unwrap_or(false) {
        return Err(broken(format!("{}: its tables are not defined as this program defines them", path.display())));
    }
    let epoch: Option<u64> =
        conn.query_row("SELECT max(epoch) FROM receipt", [], |row| row.get(0)).map_err(sqlite("read", path))?;
    let Some(epoch) = epoch else { return Ok(None) };
    let (state, base) = newest_snapshot(&conn, path)?;
    if let Some(later) = later_snapshot(&conn).map_err(sqlite("read", path))? {
        let what = format!("what the hub knew at {}", show(later));
        return Err(JournalError::Later { path: path.to_owned(), what }.into());
    }
    if base.is_none() && !read_anchors(&conn, path)?.is_empty() {
        return Err(broken(format!("{}: no snapshot holds, and the rows before are pruned", path.display())));
    }
    // What was made from rows can be made again; one that does not hold must not stay.
    let newer = base.unwrap_or_default();
    conn.execute("DELETE FROM snapshot WHERE (epoch, seq) > (?1, ?2)", params![newer.epoch, newer.seq])
        .map_err(sqlite("drop a snapshot of", path))?;
    doubt_receipts(&conn).map_err(sqlite("check the receipts of", path))?;
    let (state, head) = replay(&conn, path, state, base, epoch).map_err(|bad| match bad {
        ReplayError::Row(what) => broken(what),
        ReplayError::Later(place) => JournalError::Later { path: path.to_owned(), what: show(place) }.into(),
        ReplayError::Journal(error) => error.into(),
    })?;
    Ok(Some((Store { conn, epoch, head }, state, base)))
}

/// A receipt that says more than was signed is no receipt: its events go out again, and the centre drops them. Single
/// ones above it have no signed text of their own here and are asked for again at each start.
fn doubt_receipts(conn: &Connection) -> rusqlite::Result<()> {
    let receipts = conn
        .prepare("SELECT epoch, upto, jws FROM receipt")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<Vec<(u64, u64, String)>>>()?;
    for (epoch, upto, jws) in receipts {
        if !covers(&jws, epoch, upto) {
            tracing::warn!(epoch, upto, "a receipt says more than its signed text; its events go out again");
            conn.execute("UPDATE receipt SET upto = 0, jws = '' WHERE epoch = ?1", [epoch])?;
        }
    }
    // One by one: the whole table would be written anew even where it is empty, which a full disk refuses.
    conn.execute("DELETE FROM receipt_above WHERE epoch > 0", []).map(drop)
}

enum ReplayError {
    Row(String),
    /// The row is as it was sealed, and this program does not know what it says.
    Later(Place),
    Journal(JournalError),
}

pub(super) fn newest_snapshot(conn: &Connection, path: &Path) -> Result<(State, Option<Place>), JournalError> {
    let sql = "SELECT epoch, seq, version, state, hash FROM snapshot ORDER BY epoch DESC, seq DESC";
    let mut statement = conn.prepare(sql).map_err(sqlite("read", path))?;
    let mut rows = statement.query([]).map_err(sqlite("read", path))?;
    while let Some(row) = rows.next().map_err(sqlite("read", path))? {
        let read = || -> rusqlite::Result<(Place, i64, Vec<u8>, Vec<u8>)> {
            Ok((Place { epoch: row.get(0)?, seq: row.get(1)? }, row.get(2)?, row.get(3)?, row.get(4)?))
        };
        let (place, version, bytes, hash) = read().map_err(sqlite("read", path))?;
        if let Some(state) = read_snapshot(version, &bytes, &hash) {
            return Ok((state, Some(place)));
        }
        tracing::warn!("the snapshot at seq {} does not hold or is of another version; an older one serves", place.seq);
    }
    Ok((State::default(), None))
}

/// A snapshot by a later program: there may be more in this file that this one does not know and would harm.
fn later_snapshot(conn: &Connection) -> rusqlite::Result<Option<Place>> {
    let mut statement = conn.prepare("SELECT epoch, seq, version, state, hash FROM snapshot WHERE version > ?1")?;
    let mut rows = statement.query([STATE_VERSION])?;
    while let Some(row) = rows.next()? {
        let (bytes, hash): (Vec<u8>, Vec<u8>) = (row.get(3)?, row.get(4)?);
        if is_of_a_later_program(row.get(2)?, &bytes, &hash) {
            return Ok(Some(Place { epoch: row.get(0)?, seq: row.get(1)? }));
        }
    }
    Ok(None)
}

/// Walks the newest rows and folds those after the snapshot into the state.
fn replay(
    conn: &Connection,
    path: &Path,
    mut state: State,
    base: Option<Place>,
    epoch: u64,
) -> Result<(State, Head), ReplayError> {
    let journal = |error| ReplayError::Journal(error);
    let rows: u64 = conn
        .query_row("SELECT count(*) FROM event", [], |row| row.get(0))
        .map_err(sqlite("read", path))
        .map_err(journal)?;
    let from = walk_from(conn, rows, base).map_err(sqlite("read", path)).map_err(journal)?;
    let anchors = read_anchors(conn, path).map_err(journal)?;
    let hub_keys = state.keys.values().filter(|key| key.role == "hub").filter_map(|key| public_key(&key.ed25519));
    let mut walk = Walk::new(anchors, hub_keys.collect());
    if from > Place::default() {
        let before = row_at(conn, path, from).map_err(journal)?;
        walk.start_after(Head { place: before.place, hash: before.hash });
    }
    each_row(conn, path, from, |row| -> Result<(), ReplayError> {
        let bad = |bad: BadRow| match row.is_of_a_later_program() {
            true => ReplayError::Later(row.place),
            false => ReplayError::Row(bad.to_string()),
        };
        let event = walk.row(&row).map_err(bad)?;
        if base.is_none_or(|base| row.place > base) {
            state.apply(&event);
        }
        Ok(())
    })?;
    let found = walk.finish().map_err(|bad| ReplayError::Row(bad.to_string()))?;
    if let Some(base) = base.filter(|base| *base > found.head.place) {
        return Err(ReplayError::Row(format!("a snapshot stands at seq {}, the last row is before it", base.seq)));
    }
    let head = if found.head.place.epoch == epoch {
        found.head
    } else {
        Head { place: Place { epoch, seq: 0 }, hash: [0; 32] }
    };
    Ok((state, head))
}

/// The row after which the walk begins: the first, where there are few.
fn walk_from(conn: &Connection, rows: u64, base: Option<Place>) -> rusqlite::Result<Place> {
    if rows <= WALKED_AT_START {
        return Ok(Place::default());
    }
    let place = |row: &rusqlite::Row<'_>| Ok(Place { epoch: row.get(0)?, seq: row.get(1)? });
    let newest = "SELECT epoch, seq FROM event ORDER BY epoch DESC, seq DESC LIMIT 1 OFFSET ?1";
    let newest = conn.query_row(newest, [WALKED_AT_START], place)?;
    let unreceipted = "SELECT e.epoch, e.seq FROM receipt r JOIN event e ON e.epoch = r.epoch AND e.seq <= r.upto
        ORDER BY e.epoch, e.seq DESC LIMIT 1";
    let unreceipted = conn.query_row(unreceipted, [], place).optional()?.unwrap_or_default();
    Ok(newest.min(unreceipted).min(base.unwrap_or_default()))
}

fn row_at(conn: &Connection, path: &Path, place: Place) -> Result<Row, JournalError> {
    let sql = "SELECT epoch, seq, class, body, hash, NULL FROM event WHERE (epoch, seq) <= (?1, ?2)
        ORDER BY epoch DESC, seq DESC LIMIT 1";
    conn.query_row(sql, params![place.epoch, place.seq], read_row).map_err(sqlite("read", path))
}

pub(super) fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        place: Place { epoch: row.get(0)?, seq: row.get(1)? },
        class: row.get(2)?,
        body: row.get(3)?,
        hash: row.get(4)?,
        personal: row.get(5)?,
    })
}

/// Hands over every row after `from`, in order.
pub(super) fn each_row<E: From<JournalError>>(
    conn: &Connection,
    path: &Path,
    from: Place,
    mut take: impl FnMut(Row) -> Result<(), E>,
) -> Result<(), E> {
    let sql = "SELECT e.epoch, e.seq, e.class, e.body, e.hash, p.body FROM event e
        LEFT JOIN personal p ON p.epoch = e.epoch AND p.seq = e.seq
        WHERE (e.epoch, e.seq) > (?1, ?2) ORDER BY e.epoch, e.seq LIMIT ?3";
    let mut from = from;
    loop {
        let mut page = Vec::new();
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query(params![from.epoch, from.seq, PAGE_ROWS])?;
            while let Some(row) = rows.next()? {
                page.push(read_row(row)?);
            }
            Ok(())
        };
        let read = read();
        let Some(last) = page.last() else { return read.map_err(sqlite("read", path)).map_err(E::from) };
        from = last.place;
        page.into_iter().try_for_each(&mut take)?;
        read.map_err(sqlite("read", path))?;
    }
}

impl From<JournalError> for ReplayError {
    fn from(error: JournalError) -> Self {
        ReplayError::Journal(error)
    }
}

/// The pruning anchors.
pub(super) fn read_anchors(conn: &Connection, path: &Path) -> Result<Vec<Anchor>, JournalError> {
    let mut statement = conn.prepare("SELECT epoch, seq, hash, signature FROM anchor").map_err(sqlite("read", path))?;
    let anchors = statement.query_map([], |row| {
        let place = Place { epoch: row.get(0)?, seq: row.get(1)? };
        Ok(Anchor { place, hash: row.get(2)?, signature: row.get(3)? })
    });
    anchors.and_then(Iterator::collect).map_err(sqlite("read", path))
}

fn read_epoch(path: &Path) -> Result<Option<u64>, JournalError> {
    match fs::read(path) {
        Ok(text) => match String::from_utf8_lossy(&text).trim().parse::<u64>() {
            Ok(epoch) if (1..1 << 53).contains(&epoch) => Ok(Some(epoch)),
            // A file nobody can read says at least that there was one; the journal's own epoch is then the floor.
            _ => Ok(Some(0)),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file("read", path)(error)),
    }
}

fn read_side_file(path: &Path, key: &[u8; 32]) -> Option<(Place, State)> {
    let mut text = Vec::new();
    fs::File::open(path).ok()?.take(SIDE_MAX).read_to_end(&mut text).ok()?;
    read_side(&text, key)
}

fn resume(
    dir: &Path,
    store: Store,
    state: State,
    base: Option<Place>,
    stated: Option<u64>,
    side: Option<(Place, State)>,
) -> Result<Opened, JournalError> {
    let ahead = side.as_ref().filter(|(place, _)| *place > store.head.place);
    // A journal begun after damage stands on the side snapshot until its own first snapshot is written.
    let state = match &side {
        Some((place, side)) if base.is_none() && ahead.is_none() => after(&store, dir, *place, side.clone())?,
        _ => state,
    };
    if ahead.is_none() && stated == Some(store.epoch) {
        // An epoch whose first event was never written has still to say why it began.
        let begun = (store.head.place.seq == 0).then(|| begun(dir));
        return Ok(Opened { store, state, begun });
    }
    let text = match ahead {
        Some((place, _)) => {
            format!("the journal ends at seq {}, the hub had written seq {}", store.head.place.seq, place.seq)
        }
        None => "the journal's epoch is not the one in the epoch file".to_owned(),
    };
    let state = ahead.map_or(state, |(_, side)| side.clone());
    let old = Some((store.head.place, Some(store.head.hash)));
    let epoch = stated.unwrap_or(0).max(store.epoch) + 1;
    let begun = Begun { reason: RestartReason::Restored, old, salvaged: 0, arm_state_known: true, text };
    let store = begin_epoch(dir, store.conn, epoch, &begun)?;
    Ok(Opened { store, state, begun: Some(begun) })
}

/// The state of a side snapshot with every later row applied.
fn after(store: &Store, dir: &Path, place: Place, mut state: State) -> Result<State, JournalError> {
    each_row(&store.conn, &dir.join("journal.db"), place, |row| -> Result<(), JournalError> {
        row.check().into_iter().for_each(|(_, event)| state.apply(&event));
        Ok(())
    })?;
    Ok(state)
}

/// Writes one row.
pub(super) fn insert(conn: &Connection, row: &Row) -> rusqlite::Result<()> {
    let sql = "INSERT INTO event (epoch, seq, class, body, hash) VALUES (?1, ?2, ?3, ?4, ?5)";
    let place = row.place;
    conn.prepare_cached(sql)?.execute(params![place.epoch, place.seq, row.class, row.body, row.hash])?;
    if let Some(personal) = &row.personal {
        let sql = "INSERT INTO personal (epoch, seq, body) VALUES (?1, ?2, ?3)";
        conn.prepare_cached(sql)?.execute(params![place.epoch, place.seq, personal])?;
    }
    Ok(())
}

impl Store {
    /// Opens the file again after an error, without judging it anew: same epoch, its true head.
    ///
    /// # Errors
    /// It still cannot be opened.
    pub fn reopen(dir: &Path, epoch: u64) -> Result<Self, JournalError> {
        let path = dir.join("journal.db");
        if !path.exists() {
            let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(file("open", &path)(gone));
        }
        let conn = connect(&path)?;
        let sql = "SELECT seq, hash FROM event WHERE epoch = ?1 ORDER BY seq DESC LIMIT 1";
        let last = conn.query_row(sql, [epoch], |row| Ok((row.get(0)?, row.get(1)?))).optional();
        let (seq, hash) = last.map_err(sqlite("read", &path))?.unwrap_or((0, [0; 32]));
        Ok(Store { conn, epoch, head: Head { place: Place { epoch, seq }, hash } })
    }
}
