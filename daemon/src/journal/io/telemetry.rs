//! The table of measurements: its own file beside the journal, written now and then, read by whoever asks.
//!
//! It never holds an alarm up, and nothing rests on it: a file that is damaged is thrown away and begun anew, and whatever
//! cannot be written is lost.

use super::open::beside;
use super::open::read_only;
use super::open::writable;
use super::schema::defined_as;
use super::store::JournalError;
use super::store::corrupt;
use super::store::damaged;
use super::store::file;
use super::store::sqlite;
use super::store::vacuum;
use crate::journal::telemetry::Filter;
use crate::journal::telemetry::Row;
use rusqlite::Connection;
use rusqlite::params;
use std::path::Path;
use std::path::PathBuf;
use vakt_core::device::Measurement;
use vakt_core::port::Measured;

/// Its name in the state directory.
pub const FILE: &str = "telemetry.db";
/// The schema, its every column explained.
pub const SCHEMA: &str = include_str!("../telemetry.sql");
const SCHEMA_VERSION: i64 = 1;
/// Rows kept; then the oldest goes: some 20 MB, a month and a half of twenty measures.
pub const ROWS_MAX: u64 = 250_000;
/// Rows deleted together, so that a full table does not cost a deletion for each row.
const PRUNED_AT_ONCE: u64 = 1_000;
/// Kept for so long, in ms: nobody was promised more, and what a household uses is its own affair.
const KEEP_MS: i64 = 90 * 86_400_000;
/// Pages given back to the file system after each batch.
const VACUUM_PAGES: u32 = 100;
/// What is left of the log once it was folded in, in bytes.
const LOG_KEPT: &str = "1048576";

/// The table, to be written.
pub struct Table {
    conn: Connection,
    path: PathBuf,
    rows: u64,
}

impl Table {
    /// Opens the table in `dir`, or begins one.
    ///
    /// # Errors
    /// The disk; or a later program wrote it, which then is left as it is.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join(FILE);
        match Self::try_open(&path) {
            Err(error) if damaged(&error) => {
                tracing::warn!(%error, "the measurements so far are damaged; they are thrown away");
                throw_away(&path)?;
                Self::try_open(&path)
            }
            other => other,
        }
    }

    fn try_open(path: &Path) -> Result<Self, JournalError> {
        let conn = writable(path).map_err(sqlite("open", path))?;
        check(&conn, path)?;
        let set = |name: &str, value: &str| conn.pragma_update(None, name, value).map_err(sqlite("open", path));
        set("synchronous", "NORMAL")?;
        // Whoever reads slowly lets the log grow; it is cut when he has gone.
        set("journal_size_limit", LOG_KEPT)?;
        let sound: String =
            conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(sqlite("check", path))?;
        if sound != "ok" {
            return Err(sqlite("check", path)(corrupt()));
        }
        let rows = conn.query_row("SELECT count(*) FROM measurement", [], |row| row.get(0));
        Ok(Self { rows: rows.map_err(sqlite("read", path))?, path: path.to_owned(), conn })
    }

    /// Adds what was measured, and drops what is too old or too much.
    ///
    /// # Errors
    /// The disk; then nothing of it is there.
    pub fn add(&mut self, measured: &[Measured]) -> Result<(), JournalError> {
        let path = self.path.clone();
        self.write(measured).map_err(sqlite("write", &path))
    }

    fn write(&mut self, measured: &[Measured]) -> rusqlite::Result<()> {
        let write = self.conn.transaction()?;
        let (mut rows, mut newest) = (self.rows, None);
        {
            // Heard twice within a millisecond: the first counts.
            let sql = "INSERT OR IGNORE INTO measurement (at_ms, device, measure, value_milli, unit, trusted)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let mut insert = write.prepare_cached(sql)?;
            for of in measured {
                for Measurement { measure, value_milli, unit } in &of.values {
                    let (at, trusted) = (of.at.wall_ms, of.at.trusted);
                    let row = params![at, of.device.as_str(), measure, value_milli, unit, trusted];
                    rows += insert.execute(row)? as u64;
                    newest = newest.max(Some(at).filter(|_| trusted));
                }
            }
            // An untrusted clock may stand anywhere, also far ahead: then nothing is old.
            if let Some(newest) = newest {
                let old = "DELETE FROM measurement WHERE at_ms < ?1";
                rows -= write.prepare_cached(old)?.execute([newest.saturating_sub(KEEP_MS)])? as u64;
            }
            if rows > ROWS_MAX {
                let sql = "DELETE FROM measurement WHERE (at_ms, device, measure) IN
                    (SELECT at_ms, device, measure FROM measurement ORDER BY at_ms, device, measure LIMIT ?1)";
                let most = (rows - ROWS_MAX + PRUNED_AT_ONCE) as i64;
                rows -= write.prepare_cached(sql)?.execute([most])? as u64;
            }
        }
        write.commit()?;
        self.rows = rows;
        vacuum(&self.conn, VACUUM_PAGES)
    }
}

/// Makes the table where there is none. What is not ours and not provably a later program's is damaged.
fn check(conn: &Connection, path: &Path) -> Result<(), JournalError> {
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(sqlite("read", path));
    let ours = defined_as(conn, SCHEMA).unwrap_or(false);
    match number("PRAGMA user_version")? {
        SCHEMA_VERSION if ours => Ok(()),
        0 if number("SELECT count(*) FROM sqlite_schema")? == 0 => {
            let fresh = format!("BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;");
            conn.execute_batch(&fresh).map_err(sqlite("create the table of", path))
        }
        found if found > SCHEMA_VERSION && !ours => Err(JournalError::Newer { path: path.to_owned(), found }),
        _ => Err(sqlite("check the table of", path)(corrupt())),
    }
}

fn throw_away(path: &Path) -> Result<(), JournalError> {
    for tail in ["", "-wal", "-shm", "-journal"] {
        let of = beside(path, tail);
        match std::fs::remove_file(&of) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(file("remove", &of)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Hands over every row of a table that passes the filter, in the order of their times. Beside a running daemon or without
/// one.
///
/// # Errors
/// The file cannot be read, or the taker's own.
pub fn each<E: From<JournalError>>(
    path: &Path,
    filter: &Filter,
    mut take: impl FnMut(&Row) -> Result<(), E>,
) -> Result<(), E> {
    let failed = |error| E::from(sqlite("read", path)(error));
    let conn = read_only(path).map_err(failed)?;
    if !defined_as(&conn, SCHEMA).map_err(failed)? {
        let found = conn.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        return Err(JournalError::Newer { path: path.to_owned(), found }.into());
    }
    let sql = "SELECT at_ms, trusted, device, measure, value_milli, unit FROM measurement
        WHERE at_ms >= ?1 AND (?2 IS NULL OR device = ?2) AND (?3 IS NULL OR measure = ?3)
        ORDER BY at_ms, device, measure";
    let mut statement = conn.prepare(sql).map_err(failed)?;
    let since = filter.since_ms.unwrap_or(i64::MIN);
    let mut rows = statement.query(params![since, filter.device, filter.measure]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let read = || -> rusqlite::Result<Row> {
            let value = Measurement { measure: row.get(3)?, value_milli: row.get(4)?, unit: row.get(5)? };
            Ok(Row { at_ms: row.get(0)?, trusted: row.get(1)?, device: row.get(2)?, value })
        };
        take(&read().map_err(failed)?)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that meets what must not be falls here
mod tests {
    use super::*;
    use vakt_core::device::DeviceId;
    use vakt_core::stamp::Stamp;

    const NOON_MS: i64 = 1_795_208_400_000;

    fn measured(at_ms: i64, trusted: bool, values: &[(&str, i64)]) -> Measured {
        let value = |(measure, value_milli): &(&str, i64)| Measurement {
            measure: (*measure).to_owned(),
            value_milli: *value_milli,
            unit: "°C".to_owned(),
        };
        let at = Stamp { boot: 1, mono_ms: 0, wall_ms: at_ms, trusted };
        Measured { device: DeviceId::new("wm-cellar").unwrap(), at, values: values.iter().map(value).collect() }
    }

    fn all(dir: &Path, filter: &Filter) -> Vec<(i64, String, i64)> {
        let mut found = Vec::new();
        let take = |row: &Row| -> Result<(), JournalError> {
            found.push((row.at_ms, row.value.measure.clone(), row.value.value_milli));
            Ok(())
        };
        each(&dir.join(FILE), filter, take).unwrap();
        found
    }

    #[test]
    fn what_was_measured_is_there_after_a_restart_and_can_be_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut table = Table::open(dir.path()).unwrap();
        table.add(&[measured(NOON_MS, true, &[("temperature", 21_800), ("humidity", 40_000)])]).unwrap();
        table.add(&[measured(NOON_MS + 1, true, &[("temperature", -50)])]).unwrap();
        drop(table);
        assert_eq!(Table::open(dir.path()).unwrap().rows, 3);
        let row = |at, measure: &str, value| (NOON_MS + at, measure.to_owned(), value);
        let whole = [row(0, "humidity", 40_000), row(0, "temperature", 21_800), row(1, "temperature", -50)];
        assert_eq!(all(dir.path(), &Filter::default()), whole);
        let since = Filter { since_ms: Some(NOON_MS + 1), ..Filter::default() };
        assert_eq!(all(dir.path(), &since), whole[2..]);
        let humid = Filter { measure: Some("humidity".to_owned()), ..Filter::default() };
        assert_eq!(all(dir.path(), &humid), whole[..1]);
        let other = Filter { device: Some("wm-attic".to_owned()), ..Filter::default() };
        assert_eq!(all(dir.path(), &other), []);
    }

    #[test]
    fn the_oldest_goes_when_there_is_too_much_or_it_is_too_old() {
        let dir = tempfile::tempdir().unwrap();
        let mut table = Table::open(dir.path()).unwrap();
        table.add(&[measured(NOON_MS, true, &[("temperature", 1)])]).unwrap();
        // a clock that nobody trusts makes nothing old
        table.add(&[measured(NOON_MS + KEEP_MS + 1, false, &[("temperature", 2)])]).unwrap();
        assert_eq!(table.rows, 2);
        table.add(&[measured(NOON_MS + KEEP_MS + 1, true, &[("humidity", 3)])]).unwrap();
        assert_eq!(all(dir.path(), &Filter::default()).iter().map(|row| row.2).collect::<Vec<_>>(), [3, 2]);
        let many: Vec<Measured> =
            (0..ROWS_MAX as i64).map(|n| measured(NOON_MS + KEEP_MS + 2 + n, true, &[("temperature", n)])).collect();
        table.add(&many).unwrap();
        let left = all(dir.path(), &Filter::default());
        assert_eq!(left.len() as u64, ROWS_MAX - PRUNED_AT_ONCE);
        assert_eq!(left.last().unwrap().2, ROWS_MAX as i64 - 1, "the newest stays");
        assert_eq!(table.rows, left.len() as u64);
        let free = |conn: &Connection| conn.query_row("PRAGMA freelist_count", [], |row| row.get::<_, u32>(0)).unwrap();
        let before = free(&table.conn);
        table.add(&[measured(NOON_MS + 3 * KEEP_MS, true, &[("temperature", 1)])]).unwrap();
        assert_eq!(table.rows, 1);
        let most = free(&table.conn);
        table.add(&[measured(NOON_MS + 3 * KEEP_MS + 1, true, &[("temperature", 1)])]).unwrap();
        assert!(before == 0 && free(&table.conn) == most - VACUUM_PAGES, "the file shrinks, batch by batch");
    }

    #[test]
    fn a_damaged_table_is_begun_anew_and_a_later_one_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        std::fs::write(&path, vec![0x5a; 20_000]).unwrap();
        let mut table = Table::open(dir.path()).unwrap();
        table.add(&[measured(NOON_MS, true, &[("temperature", 1)])]).unwrap();
        assert_eq!(all(dir.path(), &Filter::default()).len(), 1);
        drop(table);
        // A number that says one thing and tables that say another, or none at all.
        for bent in ["PRAGMA user_version = 0", "PRAGMA user_version = 77", "DROP TABLE measurement"] {
            Connection::open(&path).unwrap().execute_batch(bent).unwrap();
            assert_eq!(Table::open(dir.path()).unwrap().rows, 0, "{bent}");
        }
        let later = "ALTER TABLE measurement ADD COLUMN place TEXT; PRAGMA user_version = 2";
        Connection::open(&path).unwrap().execute_batch(later).unwrap();
        let later = Table::open(dir.path()).err().unwrap();
        assert!(matches!(later, JournalError::Newer { found: 2, .. }), "{later}");
        let read = each(&path, &Filter::default(), |_| -> Result<(), JournalError> { Ok(()) });
        assert!(matches!(read, Err(JournalError::Newer { found: 2, .. })));
    }
}
