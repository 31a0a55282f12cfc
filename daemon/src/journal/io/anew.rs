//! How a new epoch begins, in the old file or in a new one that takes its place.
//!
//! A new file is made whole under another name, with everything the centre has not signed for, before the damaged one
//! is put aside; a fall at any moment leaves either the old file to be read again or the new one to be put in place. Why
//! it began is written down beside it, so that its first event says so however often the hub falls before.

use super::rescue::carry_over;
use super::rescue::put_aside;
use super::rescue::rescue;
use super::schema::upgrade;
use super::store::Begun;
use super::store::JournalError;
use super::store::Opened;
use super::store::Store;
use super::store::connect;
use super::store::file;
use super::store::sqlite;
use super::store::write_whole;
use rusqlite::Connection;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use vakt_core::alarm::state::State;
use vakt_core::event::RestartReason;
use vakt_core::port::Head;
use vakt_core::port::Place;

/// The new file while it is made; thrown away at the next start.
const MAKING: &str = "journal.db.making";
/// The new file, whole; at the next start it takes its place if it has not yet.
const NEXT: &str = "journal.db.next";
/// Why the newest epoch began.
const BEGUN: &str = "begun";

/// Puts a new journal in place that an earlier start had made whole, and throws away one that it had not.
///
/// # Errors
/// The folder cannot be changed.
pub(super) fn finish(dir: &Path) -> Result<(), JournalError> {
    for tail in ["", "-wal", "-shm", "-journal"] {
        match fs::remove_file(dir.join(format!("{MAKING}{tail}"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(file("throw away", &dir.join(MAKING))(error));
            }
            _ => {}
        }
    }
    let (next, path) = (dir.join(NEXT), dir.join("journal.db"));
    if !next.exists() {
        return Ok(());
    }
    put_aside(&path)?;
    let place = || -> std::io::Result<()> {
        fs::rename(&next, &path)?;
        fs::File::open(dir)?.sync_all()
    };
    place().map_err(file("put in place", &next))
}

/// Makes a journal anew: beside a damaged one, whose rows without a receipt it takes over, or where there is none.
///
/// # Errors
/// It cannot be made; the old file then stays where it is.
pub(super) fn begin(
    dir: &Path,
    damaged: bool,
    stated: Option<u64>,
    side: Option<(Place, State)>,
    first_epoch: u64,
    (reason, what): (RestartReason, String),
) -> Result<Opened, JournalError> {
    let path = dir.join("journal.db");
    let rescued = if damaged { rescue(&path) } else { Default::default() };
    let known = [stated, rescued.last.map(|head| head.place.epoch), side.as_ref().map(|(place, _)| place.epoch)];
    let floor = known.into_iter().flatten().max();
    let epoch = floor.map_or(first_epoch, |floor| floor.max(1) + 1);
    let side_place = side.as_ref().map(|(place, _)| *place);
    let old = match (rescued.last, side_place) {
        (Some(last), Some(side)) if side > last.place => Some((side, None)),
        (Some(last), _) => Some((last.place, Some(last.hash))),
        (None, side) => side.map(|side| (side, None)),
    };
    let making = dir.join(MAKING);
    let conn = connect(&making)?;
    upgrade(&conn, &making)?;
    let salvaged = carry_over(&conn, &making, &rescued)?;
    let aside = if damaged { "; it is kept beside this one as journal.db.quarantined-N" } else { "" };
    let arm_state_known = side.is_some() || reason == RestartReason::First;
    let begun = Begun { reason, old, salvaged, arm_state_known, text: format!("{what}{aside}") };
    open_epoch(dir, &conn, &making, epoch, &begun)?;
    // Its log is folded in, or its rollback journal empty: the file alone is whole.
    conn.close().map_err(|(_, error)| sqlite("close", &making)(error))?;
    let made = || -> std::io::Result<()> {
        fs::File::open(&making)?.sync_all()?;
        fs::rename(&making, dir.join(NEXT))?;
        fs::File::open(dir)?.sync_all()
    };
    made().map_err(file("finish", &making))?;
    finish(dir)?;
    let conn = connect(&path)?;
    let state = side.map_or(rescued.state, |(_, state)| state);
    let store = Store { conn, epoch, head: Head { place: Place { epoch, seq: 0 }, hash: [0; 32] } };
    Ok(Opened { store, state, begun: Some(begun) })
}

/// Begins an epoch in the file that is there.
///
/// # Errors
/// The disk.
pub(super) fn begin_epoch(dir: &Path, conn: Connection, epoch: u64, begun: &Begun) -> Result<Store, JournalError> {
    open_epoch(dir, &conn, &dir.join("journal.db"), epoch, begun)?;
    Ok(Store { conn, epoch, head: Head { place: Place { epoch, seq: 0 }, hash: [0; 32] } })
}

fn open_epoch(dir: &Path, conn: &Connection, path: &Path, epoch: u64, begun: &Begun) -> Result<(), JournalError> {
    let why = serde_json::to_vec(begun).expect("numbers and texts have a JSON form");
    write_whole(&dir.join(BEGUN), &why)?;
    // The file first: an epoch may be skipped, never used twice.
    write_whole(&dir.join("epoch"), format!("{epoch}\n").as_bytes())?;
    let sql = "INSERT INTO receipt (epoch, upto, jws) VALUES (?1, 0, '')";
    conn.execute(sql, [epoch]).map(drop).map_err(sqlite("begin", path))
}

/// Why the newest epoch began, for a journal whose first event is not written yet.
pub(super) fn begun(dir: &Path) -> Begun {
    let read = |path: PathBuf| fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    read(dir.join(BEGUN)).unwrap_or_else(|| Begun {
        reason: RestartReason::Missing,
        old: None,
        salvaged: 0,
        arm_state_known: false,
        text: "a new epoch had begun, and why is not written down".to_owned(),
    })
}
