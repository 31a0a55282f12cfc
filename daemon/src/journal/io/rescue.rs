//! A damaged journal: put aside whole, and read for what can still be believed. Nothing is ever mended in it.

use super::open::beside;
use super::store::JournalError;
use super::store::file;
use super::store::insert;
use super::store::newest_snapshot;
use super::store::read_row;
use super::store::sqlite;
use crate::journal::record::Row;
use crate::journal::record::covers;
use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::params;
use std::fs;
use std::path::Path;
use vakt_core::alarm::state::State;
use vakt_core::port::Head;

/// Renames a damaged file and what SQLite keeps beside it. What belongs to the old file goes first: left alone beside a new
/// one it would be taken for the new one's, and written into it.
pub(super) fn put_aside(path: &Path) -> Result<(), JournalError> {
    let named = |n: u32| path.with_file_name(format!("journal.db.quarantined-{n}"));
    // Bounded by the disk: each needs a damaged journal of its own.
    let aside = (1..10_000).map(named).find(|aside| !aside.exists()).unwrap_or_else(|| named(10_000));
    for tail in ["-wal", "-shm", "-journal", ""] {
        match fs::rename(beside(path, tail), beside(&aside, tail)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(file("put aside", path)(error)),
            _ => {}
        }
    }
    Ok(())
}

#[derive(Default)]
pub(super) struct Rescued {
    pub rows: Vec<Row>,
    pub receipts: Vec<(u64, u64, String)>,
    /// The last row that holds, receipted or not.
    pub last: Option<Head>,
    /// What its last sound snapshot and the rows after it say, for a hub whose side snapshot is gone too.
    pub state: State,
}

/// Reads what can still be read of a damaged file: rows without a receipt that verify by themselves.
pub(super) fn rescue(damaged: &Path) -> Rescued {
    let mut rescued = Rescued::default();
    let Ok(conn) = Connection::open_with_flags(damaged, OpenFlags::SQLITE_OPEN_READ_ONLY) else { return rescued };
    let receipts = conn.prepare("SELECT epoch, upto, jws FROM receipt").and_then(|mut statement| {
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    });
    rescued.receipts = receipts.unwrap_or_default();
    rescued.receipts.retain(|(epoch, upto, jws)| covers(jws, *epoch, *upto));
    let upto = |epoch: u64| rescued.receipts.iter().find(|(e, ..)| *e == epoch).map_or(0, |(_, upto, _)| *upto);
    let (state, base) = newest_snapshot(&conn, damaged).unwrap_or_default();
    rescued.state = state;
    let mut rows = Vec::new();
    for order in ["ASC", "DESC"] {
        // From both ends: a damaged page in the middle stops each walk, not the rescue.
        let sql = format!(
            "SELECT e.epoch, e.seq, e.class, e.body, e.hash, (SELECT p.body FROM personal p WHERE p.epoch = e.epoch
             AND p.seq = e.seq) FROM event e ORDER BY e.epoch {order}, e.seq {order}"
        );
        let Ok(mut statement) = conn.prepare(&sql) else { continue };
        let Ok(mut found) = statement.query([]) else { continue };
        let mut whole = true;
        loop {
            match found.next() {
                Ok(Some(row)) => rows.extend(read_row(row).ok().filter(|row| row.check().is_ok())),
                Ok(None) => break,
                Err(_) => {
                    whole = false;
                    break;
                }
            }
        }
        if whole {
            break;
        }
    }
    rows.sort_by_key(|row| row.place);
    rows.dedup_by_key(|row| row.place);
    for row in &rows {
        if let (true, Ok((_, event))) = (base.is_none_or(|base| row.place > base), row.check()) {
            rescued.state.apply(&event);
        }
    }
    rescued.last = rows.last().map(|row| Head { place: row.place, hash: row.hash });
    rescued.rows = rows.into_iter().filter(|row| row.place.seq > upto(row.place.epoch)).collect();
    rescued
}

pub(super) fn carry_over(conn: &Connection, path: &Path, rescued: &Rescued) -> Result<u64, JournalError> {
    let carry = || -> rusqlite::Result<()> {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        for row in &rescued.rows {
            insert(conn, row)?;
            conn.execute("INSERT OR IGNORE INTO receipt VALUES (?1, 0, '')", [row.place.epoch])?;
        }
        for (epoch, upto, jws) in &rescued.receipts {
            conn.execute("INSERT OR REPLACE INTO receipt VALUES (?1, ?2, ?3)", params![epoch, upto, jws])?;
        }
        conn.execute_batch("COMMIT")
    };
    carry().map_err(sqlite("carry rows over to", path))?;
    Ok(rescued.rows.len() as u64)
}
