//! Looks at the hub's journal from outside, as a reader beside it: when a row was committed, how many there are.

use super::LabError;
use rusqlite::Connection;
use rusqlite::OpenFlags;
use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// How often a commit is looked for: what a measured time may be too long by.
pub const LOOK: Duration = Duration::from_micros(100);

/// Microseconds since 1970, the clock that the centre's lines use too.
pub fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// A read-only view of the journal.
pub struct Watch {
    conn: Connection,
}

impl Watch {
    /// Opens it beside the daemon.
    ///
    /// # Errors
    /// It is not there.
    pub fn open(journal: &Path) -> Result<Self, LabError> {
        let conn = Connection::open_with_flags(journal, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let failed = |error: rusqlite::Error| LabError::Misuse(format!("open {}: {error}", journal.display()));
        Ok(Self { conn: conn.map_err(failed)? })
    }

    fn number(&self, sql: &str) -> u64 {
        let read = self.conn.prepare_cached(sql).and_then(|mut sql| sql.query_row([], |row| row.get(0)));
        read.unwrap_or(0)
    }

    /// How many rows are committed.
    pub fn rows(&self) -> u64 {
        self.number("SELECT count(*) FROM event")
    }

    /// The newest seq.
    pub fn head(&self) -> u64 {
        self.number("SELECT seq FROM event ORDER BY epoch DESC, seq DESC LIMIT 1")
    }

    /// When, in microseconds since 1970, seq `at_least` was seen committed. `None`: not within the time.
    ///
    /// The clock is read after the journal: the time may be too late by a look, and never too early.
    pub fn committed(&self, at_least: u64, within: Duration) -> Option<u64> {
        let end = now_us() + within.as_micros() as u64;
        loop {
            let head = self.head();
            let now = now_us();
            if head >= at_least {
                return Some(now);
            }
            if now > end {
                return None;
            }
            std::thread::park_timeout(LOOK);
        }
    }
}
