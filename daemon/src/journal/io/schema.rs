//! The journal's tables: making them, raising those of an earlier program, and telling whether a file has them.
//!
//! It never lowers a schema: what a later program wrote is refused and left as it is.

use super::store::JournalError;
use super::store::corrupt;
use super::store::sqlite;
use rusqlite::Connection;
use std::path::Path;

/// The schema, its every column explained.
pub const SCHEMA: &str = include_str!("../schema.sql");

/// The schema's number. What leads here from each earlier one stands in `UPGRADES`; a later one is refused.
pub(super) const SCHEMA_VERSION: i64 = 1;

/// From each schema that was given away to the next, what is to be said to SQLite. 1 was the first.
const UPGRADES: &[(i64, &str)] = &[];

/// Makes the tables of a new file, and those of an earlier program's what they are now.
pub(super) fn upgrade(conn: &Connection, path: &Path) -> Result<(), JournalError> {
    let version: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sqlite("read", path))?;
    let tables: i64 =
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sqlite("read", path))?;
    match version {
        SCHEMA_VERSION => Ok(()),
        0 if tables == 0 => {
            let fresh = format!("BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;");
            conn.execute_batch(&fresh).map_err(sqlite("create the tables of", path))
        }
        // A later schema is defined otherwise; the same one under another number is a bent number.
        found if found > SCHEMA_VERSION && !defined_as_ours(conn).unwrap_or(true) => {
            Err(JournalError::Newer { path: path.to_owned(), found })
        }
        found if UPGRADES.iter().any(|(from, _)| *from == found) => raise(conn, path, found, UPGRADES),
        _ => Err(sqlite("check the schema's number of", path)(corrupt())),
    }
}

/// Takes every step from a schema on, all or none.
fn raise(conn: &Connection, path: &Path, found: i64, steps: &[(i64, &str)]) -> Result<(), JournalError> {
    let take = || -> rusqlite::Result<()> {
        let all = conn.unchecked_transaction()?;
        for (from, step) in steps.iter().filter(|(from, _)| *from >= found) {
            all.execute_batch(step)?;
            all.pragma_update(None, "user_version", from + 1)?;
        }
        all.commit()
    };
    tracing::info!(found, "the journal is of an earlier program; its tables are brought up to this one's");
    take().map_err(sqlite("upgrade the tables of", path))
}

/// Whether the file defines its tables as this program does: a bent definition may still read, and then refuse to be
/// written when an alarm comes.
pub(super) fn defined_as_ours(conn: &Connection) -> rusqlite::Result<bool> {
    defined_as(conn, SCHEMA)
}

/// The same of any schema.
pub(super) fn defined_as(conn: &Connection, schema: &str) -> rusqlite::Result<bool> {
    let definitions = |conn: &Connection| -> rusqlite::Result<Vec<String>> {
        let mut sql = conn.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")?;
        sql.query_map([], |row| row.get(0))?.collect()
    };
    let fresh = Connection::open_in_memory()?;
    fresh.execute_batch(schema)?;
    Ok(definitions(&fresh)? == definitions(conn)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::io::store::connect;

    #[test]
    fn an_earlier_schema_is_raised_step_by_step_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let conn = connect(&path).unwrap();
        upgrade(&conn, &path).unwrap();
        conn.execute("INSERT INTO receipt VALUES (7, 0, '')", []).unwrap();
        let columns = "SELECT name FROM pragma_table_info('receipt')";
        let now = || -> (i64, Vec<String>) {
            let names =
                conn.prepare(columns).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
            (conn.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap(), names)
        };
        let good = "ALTER TABLE receipt ADD COLUMN by TEXT";
        assert!(raise(&conn, &path, 1, &[(1, good), (2, "ALTER TABLE nothing ADD COLUMN x")]).is_err());
        assert_eq!(now(), (1, vec!["epoch".into(), "upto".into(), "jws".into()]), "half an upgrade is none");
        raise(&conn, &path, 2, &[(1, "nonsense: it stands behind"), (2, good), (3, "DROP TABLE anchor")]).unwrap();
        assert_eq!(now(), (4, vec!["epoch".into(), "upto".into(), "jws".into(), "by".into()]));
        assert_eq!(conn.query_row("SELECT epoch FROM receipt", [], |row| row.get::<_, u64>(0)).unwrap(), 7);
    }

    #[test]
    fn a_step_leads_to_this_schema_from_each_that_was_given_away() {
        let from: Vec<i64> = UPGRADES.iter().map(|(from, _)| *from).collect();
        assert_eq!(from, (1..SCHEMA_VERSION).collect::<Vec<_>>());
    }
}
