//! Room on the disk: rows that may go, and a file kept aside whose blocks are given up when the disk is full.
//!
//! Only what the centre has signed for ever goes, from the head, to an anchor the hub has signed. With nothing of the
//! kind left the disk is full, and the hub goes on without it.

use super::open::small_blocks;
use super::store::JournalError;
use super::store::Store;
use super::store::sqlite;
use super::store::vacuum;
use crate::journal::record::anchor_text;
use crate::journal::retention::EpochFacts;
use crate::journal::retention::prunable;
use ring::signature::Ed25519KeyPair;
use rusqlite::OptionalExtension;
use rusqlite::params;
use rustix::fs::FallocateFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use std::path::Path;
use std::path::PathBuf;
use vakt_core::canonical;
use vakt_core::port::Place;

/// What is kept aside: SQLite's log for some two thousand events, and for taking as many old ones out.
const RESERVE_BYTES: u64 = 4 << 20;
/// The reserve is taken again when there is this many times its size: what is given up and taken in turns helps nobody.
const ROOM_AGAIN: u64 = 4;
/// Rows that go in one piece; each page of theirs passes through the log.
const SLICE_ROWS: u64 = 1_000;
/// Pages given back to the file system in one go after pruning; the rest waits for the next time.
const VACUUM_PAGES: u32 = 500;

/// With less than this free a start gives up what is kept aside before it opens anything: SQLite's indexes and the small
/// files that are written anew take about half of it.
const START_BYTES: u64 = 1 << 20;

/// What is free for the daemon's user, in bytes; none where the file system does not say.
fn free(dir: &Path) -> u64 {
    rustix::fs::statvfs(dir).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize))
}

/// What is free, in bytes, where nothing is kept aside and there is too little for that.
pub fn scarce(dir: &Path) -> Option<u64> {
    let free = free(dir);
    (!Reserve::beside(dir).held() && free < RESERVE_BYTES * ROOM_AGAIN).then_some(free)
}

/// Looks at the ground before anything is opened on it, and makes room where there is none.
pub fn look_at_the_ground(dir: &Path) {
    if let Some(bytes) = small_blocks(dir) {
        let state_dir = dir.display();
        tracing::warn!(%state_dir, bytes, "the file system's blocks are below 4096 bytes: commits are slower; see vaktd doctor");
    }
    let mut reserve = Reserve::beside(dir);
    if reserve.held() && free(dir) < START_BYTES {
        tracing::warn!("the disk is full; the room kept aside is given up, so that the hub can start");
        reserve.give();
    }
}

/// The file kept aside.
#[derive(Debug)]
pub struct Reserve {
    file: PathBuf,
    held: bool,
}

impl Reserve {
    /// Beside this journal; nothing is taken yet.
    pub fn beside(dir: &Path) -> Self {
        let file = dir.join("journal.reserve");
        let held = std::fs::metadata(&file).is_ok_and(|meta| meta.len() >= RESERVE_BYTES);
        Self { file, held }
    }

    /// Whether it is there.
    pub fn held(&self) -> bool {
        self.held
    }

    /// Whether the disk is nearly full: what was kept aside is in use, or next to nothing is left beside it. Where no log is
    /// written commits may find their place for long before they need it.
    pub fn low(&self, dir: &Path) -> bool {
        !self.held || free(dir) < START_BYTES
    }

    /// Takes it, if there is room for it and as much again several times over.
    pub fn take(&mut self, dir: &Path) {
        if self.held {
            return;
        }
        if free(dir) < RESERVE_BYTES * ROOM_AGAIN {
            return;
        }
        let make = || -> rustix::io::Result<()> {
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
            let file = rustix::fs::open(&self.file, flags, Mode::RUSR | Mode::WUSR)?;
            match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
                // A file system that cannot set room aside can be written to.
                Err(rustix::io::Errno::OPNOTSUPP) => {
                    let mut left = RESERVE_BYTES;
                    while left > 0 {
                        left = left.saturating_sub(rustix::io::write(&file, &[0xA5; 4096])? as u64);
                    }
                    Ok(())
                }
                done => done,
            }
        };
        match make() {
            Ok(()) => self.held = true,
            Err(error) => {
                tracing::warn!(%error, file = %self.file.display(), "no room is kept aside for the day the disk is full");
                self.give();
            }
        }
    }

    /// Gives it up.
    pub fn give(&mut self) {
        self.held = false;
        if let Err(error) = std::fs::remove_file(&self.file)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, file = %self.file.display(), "the room kept aside could not be given up");
        }
    }
}

/// What is to go.
#[derive(Debug, Clone, Copy)]
pub enum Cut {
    /// What is older than this, by the wall clock in ms.
    Before(i64),
    /// The oldest, because the disk is full.
    ForRoom,
}

/// Takes out what may go. `Some`: the last place that went.
pub fn prune(store: &mut Store, path: &Path, sign: &Ed25519KeyPair, cut: Cut) -> Result<Option<Place>, JournalError> {
    let Some(place) = pruned_to(&store.conn, cut).map_err(sqlite("look for old rows in", path))? else {
        return Ok(None);
    };
    let mut take_out = || -> rusqlite::Result<()> {
        let transaction = store.conn.transaction()?;
        let at = params![place.epoch, place.seq];
        let sql = "SELECT hash FROM event WHERE epoch = ?1 AND seq = ?2";
        let hash: [u8; 32] = transaction.query_row(sql, at, |row| row.get(0))?;
        let signature = sign.sign(&anchor_text(place, &hash));
        transaction.execute("DELETE FROM event WHERE epoch = ?1 AND seq <= ?2", at)?;
        transaction.execute("DELETE FROM personal WHERE epoch = ?1 AND seq <= ?2", at)?;
        transaction.execute(
            "INSERT OR REPLACE INTO anchor VALUES (?1, ?2, ?3, ?4)",
            params![place.epoch, place.seq, hash, signature.as_ref()],
        )?;
        transaction.commit()?;
        match cut {
            Cut::Before(_) => vacuum(&store.conn, VACUUM_PAGES),
            // The pages stay the journal's: whoever filled the disk would take them. The log is folded in, so that the
            // next commit writes over it.
            Cut::ForRoom => store.conn.execute_batch("PRAGMA wal_checkpoint(RESTART)"),
        }
    };
    take_out().map_err(sqlite("prune", path))?;
    Ok(Some(place))
}

fn pruned_to(conn: &rusqlite::Connection, cut: Cut) -> rusqlite::Result<Option<Place>> {
    let sql = "SELECT epoch, seq FROM snapshot ORDER BY epoch, seq LIMIT 1";
    let base = conn.query_row(sql, [], |row| Ok(Place { epoch: row.get(0)?, seq: row.get(1)? })).optional()?;
    let Some(base) = base else { return Ok(None) };
    let mut epochs = conn.prepare(
        "SELECT r.epoch, r.upto, min(e.seq), max(e.seq) FROM receipt r JOIN event e USING (epoch)
        GROUP BY r.epoch ORDER BY r.epoch",
    )?;
    let mut rows = epochs.query([])?;
    while let Some(row) = rows.next()? {
        let (epoch, upto, first, last): (u64, u64, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let old = match cut {
            Cut::Before(before_ms) => Some(last_before(conn, epoch, (first, last), before_ms)?),
            Cut::ForRoom => None,
        };
        let facts = EpochFacts { epoch, first, last, upto, old };
        if let Some(place) = prunable(&facts, base) {
            let slice = Place { seq: place.seq.min(first + SLICE_ROWS - 1), ..place };
            return Ok(Some(if matches!(cut, Cut::ForRoom) { slice } else { place }));
        }
    }
    Ok(None)
}

/// The last row older than a time, by halving: rows are in order, and so are their times but for clock steps, which
/// can only keep a row longer.
fn last_before(
    conn: &rusqlite::Connection,
    epoch: u64,
    (first, last): (u64, u64),
    before_ms: i64,
) -> rusqlite::Result<u64> {
    let (mut low, mut high) = (first - 1, last);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let sql = "SELECT body FROM event WHERE epoch = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1";
        let body: Vec<u8> = conn.prepare_cached(sql)?.query_row([epoch, middle], |row| row.get(0))?;
        let old = canonical::open(&body).is_ok_and(|(_, _, event)| event.stamp.wall_ms < before_ms);
        if old { low = middle } else { high = middle - 1 }
    }
    Ok(low)
}
