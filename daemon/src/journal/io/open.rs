//! How the files of SQLite are opened: with which log, on which ground, and how they are read beside whoever writes.
//!
//! It knows no table, and changes nothing but how a file is written.

use rusqlite::Connection;
use rusqlite::OpenFlags;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// SQLite's log (WAL) has an index in a mapped file, of which it writes the last byte of each 4 KiB ahead. Where a file
/// system's blocks are smaller, holes stay between them, and a full disk kills whoever writes there by SIGBUS.
pub const BLOCK_MIN_BYTES: u64 = 4096;

/// Pages each connection keeps in memory, in KiB (negative: SQLite's way to say so). Rows are written once and read once.
const CACHE_KIB: &str = "-512";

/// How long a statement waits for a lock before it gives up.
const BUSY: Duration = Duration::from_secs(5);

/// What of a rollback journal stays on the disk between two commits, in bytes: a full disk cannot take it away, so what
/// fits on pages that are there already is still written. Its old pages are written over next.
const ROLLBACK_KEPT: &str = "262144";

/// The size of the blocks of the file system a folder stands on, where they are too small for a log.
pub fn small_blocks(dir: &Path) -> Option<u64> {
    let bytes = rustix::fs::statvfs(dir).ok()?.f_frsize;
    (bytes < BLOCK_MIN_BYTES).then_some(bytes)
}

/// Opens a file for writing, or makes it: with a log, and on small blocks with a rollback journal, which has no index.
pub(super) fn writable(path: &Path) -> rusqlite::Result<Connection> {
    let conn = connection(path)?;
    let rollback = path.parent().and_then(small_blocks).is_some();
    if rollback {
        // Before anything is read: a log that is there from elsewhere is folded in by the only one who has the file, whose
        // index is in memory.
        conn.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    }
    settle(&conn)?;
    if !rollback {
        conn.pragma_update(None, "journal_mode", "WAL")?;
        return Ok(conn);
    }
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "PERSIST", |row| row.get(0))?;
    if mode != "persist" {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        let what = "somebody else still reads its log, which must go on this file system".to_owned();
        return Err(rusqlite::Error::SqliteFailure(busy, Some(what)));
    }
    conn.pragma_update(None, "journal_size_limit", ROLLBACK_KEPT)?;
    conn.pragma_update(None, "locking_mode", "NORMAL")?;
    // The lock is let go at the end of the next look.
    look(&conn)?;
    Ok(conn)
}

/// Opens a file for reading, beside a running daemon or without one.
pub(super) fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let open = |way: &str| {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let text = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let conn = Connection::open_with_flags(format!("file:{text}?mode=ro{way}"), flags)?;
        patient(&conn)?;
        look(&conn)?;
        Ok(conn)
    };
    // A copy on a read-only medium has no log beside it and cannot get an index: it is read as it is.
    let alone = ["-wal", "-journal"].iter().all(|tail| !beside(path, tail).exists());
    match open("") {
        Err(_) if alone => open("&immutable=1"),
        other => other,
    }
}

/// The name of a file that SQLite keeps beside another.
pub(super) fn beside(path: &Path, tail: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(tail);
    name.into()
}

/// Whether it is read with a log: whoever reads then keeps nobody from writing.
pub(super) fn has_log(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("PRAGMA journal_mode", [], |row| Ok(row.get::<_, String>(0)? == "wal"))
}

fn connection(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open(path)?;
    patient(&conn)?;
    Ok(conn)
}

/// Each statement is planned once. The SQLite we carry looks at what is bound and plans anew each time a number changes,
/// which took three quarters of each question of the outbox, for the same plan.
fn patient(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY)?;
    conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "cache_size", CACHE_KIB)
}

/// What a new file is made with, and what each connection that writes keeps to.
fn settle(conn: &Connection) -> rusqlite::Result<()> {
    // What is erased is gone from the file too, and no stale copy of a row outlives the row.
    conn.pragma_update(None, "secure_delete", "ON")?;
    conn.pragma_update(None, "page_size", "4096")?;
    // Said to a file that is there it would be written down anew, which a full disk refuses.
    let pages: u64 = conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    if pages == 0 {
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    Ok(())
}

fn look(conn: &Connection) -> rusqlite::Result<()> {
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}
