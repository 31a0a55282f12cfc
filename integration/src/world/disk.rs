//! The hub's disk: a folder in memory with the journal's own files, real SQLite on them, and a witness with a
//! connection of its own, who sees what is committed and nothing else.
//!
//! The folder outlives the process that wrote it, as a disk does. While the witness has the file open no close folds the
//! log into it, so that what a killed process leaves behind is what it would leave.

use super::prng::Prng;
use rusqlite::Connection;
use rusqlite::params;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use tempfile::TempDir;
use vakt_core::canonical;
use vakt_core::event::Event;
use vakt_core::port::Place;

/// Where files are pages in memory; elsewhere the temporary folder does, more slowly.
const IN_MEMORY: &str = "/dev/shm";

/// A committed row.
#[derive(Debug)]
pub(super) struct Row {
    pub place: Place,
    pub event: Event,
    /// What was hashed.
    pub body: Vec<u8>,
}

/// The disk.
#[derive(Debug)]
pub(super) struct Disk {
    root: TempDir,
    cuts: u32,
    witness: Option<Connection>,
    seen: Place,
    failing: bool,
}

/// A file system that fails shows as statements that fail. Triggers make them, in a file that stays whole.
const FAIL: &str = "
    CREATE TRIGGER failing_event BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END;
    CREATE TRIGGER failing_receipt BEFORE UPDATE ON receipt BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END;
    CREATE TRIGGER failing_snapshot BEFORE INSERT ON snapshot BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END;";
const WORK: &str = "DROP TRIGGER failing_event; DROP TRIGGER failing_receipt; DROP TRIGGER failing_snapshot;";

impl Disk {
    pub(super) fn new() -> Self {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("vakt-world-");
        let root = if Path::new(IN_MEMORY).is_dir() { builder.tempdir_in(IN_MEMORY) } else { builder.tempdir() };
        let root = root.expect("a folder for the disk");
        let disk = Self { root, cuts: 0, witness: None, seen: Place::default(), failing: false };
        fs::create_dir(disk.dir()).expect("an empty folder");
        disk
    }

    pub(super) fn dir(&self) -> PathBuf {
        self.root.path().join(format!("state-{}", self.cuts))
    }

    fn witness(&mut self) -> Option<&Connection> {
        let path = self.dir().join("journal.db");
        if self.witness.is_none() && path.exists() {
            self.witness = Some(Connection::open(path).expect("a journal can be read"));
        }
        self.witness.as_ref()
    }

    /// What has been committed since the last look.
    pub(super) fn look(&mut self) -> Vec<Row> {
        let seen = self.seen;
        let Some(witness) = self.witness() else { return vec![] };
        let sql = "SELECT epoch, seq, body FROM event WHERE (epoch, seq) > (?1, ?2) ORDER BY epoch, seq";
        let read = || -> rusqlite::Result<Vec<(Place, Vec<u8>)>> {
            let mut statement = witness.prepare_cached(sql)?;
            let rows = statement.query_map(params![seen.epoch, seen.seq], |row| {
                Ok((Place { epoch: row.get(0)?, seq: row.get(1)? }, row.get(2)?))
            })?;
            rows.collect()
        };
        let rows: Vec<Row> = read()
            .expect("the witness reads")
            .into_iter()
            .map(|(place, body)| {
                let (_, _, event) = canonical::open(&body).expect("a row is an event");
                Row { place, event, body }
            })
            .collect();
        self.seen = rows.last().map_or(seen, |row| row.place);
        rows
    }

    /// From now on statements that write fail, or work again.
    pub(super) fn fails(&mut self, failing: bool) {
        if failing != self.failing
            && let Some(witness) = self.witness()
        {
            witness.execute_batch(if failing { FAIL } else { WORK }).expect("the witness may write");
            self.failing = failing;
        }
    }

    /// Somebody else writes, and does not come to an end.
    pub(super) fn held(&mut self, held: bool) {
        if let Some(witness) = self.witness().filter(|witness| witness.is_autocommit() == held) {
            witness.execute_batch(if held { "BEGIN IMMEDIATE" } else { "ROLLBACK" }).expect("nobody else writes");
        }
    }

    /// The power goes: files are what was written, the end of the log is torn, and what was only in memory is gone.
    /// Nobody may have the journal open.
    pub(super) fn power_cut(&mut self, torn: u64, prng: &mut Prng) {
        let old = self.dir();
        self.cuts += 1;
        let new = self.dir();
        fs::create_dir(&new).expect("an empty folder");
        let files = fs::read_dir(&old).expect("the old folder").map(|entry| entry.expect("a listed file").path());
        // The index beside the log lives in memory.
        for path in files.filter(|path| !path.to_string_lossy().ends_with("-shm")) {
            let name = path.file_name().expect("files have names");
            fs::copy(&path, new.join(name)).expect("a copy");
        }
        let log = new.join("journal.db-wal");
        if let Ok(mut bytes) = fs::read(&log) {
            let tail = bytes.len().saturating_sub(torn as usize);
            let rubbish: Vec<u8> = if prng.chance(500) {
                // A frame that was written before, or half of it.
                bytes[tail..].to_vec()
            } else {
                (0..torn).map(|_| prng.draw() as u8).collect()
            };
            bytes.extend(rubbish);
            fs::write(&log, bytes).expect("a torn log");
        }
        self.witness = None;
        fs::remove_dir_all(&old).expect("the old folder goes");
    }
}
