//! The ledger file: JSON Lines, appended and flushed to disk before anything is signed for.
//!
//! It never rewrites a line. The one thing it cuts off is a ledger's last line without its end, which a fall left behind
//! and which nobody was ever told about; a file that is no ledger it does not touch.

use super::finding::Entry;
use super::ledger::Ledger;
use super::past::Past;
use serde::Deserialize;
use serde::Serialize;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use thiserror::Error;

/// Why the ledger file cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file system said no.
    #[error("{doing} the ledger {path}: {source}")]
    #[allow(missing_docs)]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// Another centre writes it.
    #[error("opening the ledger {path}: another centre has it open; right would be one centre per ledger")]
    #[allow(missing_docs)]
    Taken { path: PathBuf },
    /// It is not a ledger, or another gateway's, or damaged.
    #[error("reading the ledger {path}, line {line}: {why}")]
    #[allow(missing_docs)]
    Content { path: PathBuf, line: u64, why: String },
}

#[derive(Serialize, Deserialize)]
struct Head {
    vakt_arc_ledger: u32,
    gateway: String,
}

/// The open ledger file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: File,
}

impl Store {
    /// Opens or begins the ledger of `gateway` and rebuilds what it holds.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn open(path: &Path, gateway: &str) -> Result<(Self, Ledger, Past), StoreError> {
        let failed = |doing| move |source| StoreError::Io { doing, path: path.to_owned(), source };
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed("opening"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Taken { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed("locking")(source)),
        }
        let mut store = Self { path: path.to_owned(), file };
        let read = read(path)?;
        let head = Head { vakt_arc_ledger: 1, gateway: gateway.to_owned() };
        let mut line = serde_json::to_vec(&head).expect("a number and a text have a JSON form");
        line.push(b'\n');
        // Only the beginning of a head may be a head's torn line; anything else is another file, and is not cut.
        let torn = || std::fs::read(path).map_err(failed("reading"));
        if read.gateway.is_none() && !line.starts_with(&torn()?) {
            let why = "it is no ledger; right would be a new file, or the ledger of this gateway".to_owned();
            return Err(StoreError::Content { path: path.to_owned(), line: 1, why });
        }
        if read.whole_bytes < store.file.metadata().map_err(failed("measuring"))?.len() {
            store.file.set_len(read.whole_bytes).map_err(failed("cutting the torn last line off"))?;
        }
        match read.gateway {
            Some(found) if found != gateway => {
                let why = format!("it is the ledger of gateway {found}, not of {gateway}");
                return Err(StoreError::Content { path: path.to_owned(), line: 1, why });
            }
            Some(_) => {}
            None => {
                store.append(&line)?;
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let parent = File::open(parent.unwrap_or(Path::new("."))).map_err(failed("opening the folder of"))?;
                parent.sync_all().map_err(failed("flushing the folder of"))?;
            }
        }
        Ok((store, read.ledger, read.past))
    }

    /// Appends whole lines and returns once the disk has them.
    ///
    /// # Errors
    /// The disk has not got them, or not all; the centre must stop, for it no longer knows what it holds.
    pub fn append(&mut self, lines: &[u8]) -> Result<(), StoreError> {
        let failed = |doing| {
            let path = self.path.clone();
            move |source| StoreError::Io { doing, path, source }
        };
        self.file.write_all(lines).map_err(failed("appending to"))?;
        self.file.sync_data().map_err(failed("flushing"))
    }
}

impl Drop for Store {
    /// Closing is not enough: a child that another thread has just forked holds the file, and so the lock, until its exec.
    fn drop(&mut self) {
        let _ = self.file.unlock(); // a lock that cannot be given back goes with the process
    }
}

/// The line that stands for an entry.
pub fn line_of(entry: &Entry) -> Vec<u8> {
    let mut line = serde_json::to_vec(entry).expect("texts and numbers have a JSON form");
    line.push(b'\n');
    line
}

/// What a ledger file holds.
#[derive(Debug)]
pub struct ReadBack {
    /// Whose it is; `None` for an empty file.
    pub gateway: Option<String>,
    /// Rebuilt from it.
    pub ledger: Ledger,
    /// Likewise.
    pub past: Past,
    /// Bytes up to the last whole line.
    pub whole_bytes: u64,
}

/// Reads a ledger file without changing it; a torn last line is left out.
///
/// # Errors
/// It cannot be read, or a whole line of it makes no sense.
pub fn read(path: &Path) -> Result<ReadBack, StoreError> {
    let failed = |source| StoreError::Io { doing: "reading", path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let mut back = ReadBack { gateway: None, ledger: Ledger::default(), past: Past::default(), whole_bytes: 0 };
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let bytes = reader.read_until(b'\n', &mut line).map_err(failed)?;
        if line.last() != Some(&b'\n') {
            break;
        }
        let wrong = |why: String| StoreError::Content { path: path.to_owned(), line: number, why };
        if number == 1 {
            let head: Head = serde_json::from_slice(&line).map_err(|e| wrong(format!("not a ledger's head: {e}")))?;
            if head.vakt_arc_ledger != 1 {
                return Err(wrong(format!("ledger version {}, this program reads 1", head.vakt_arc_ledger)));
            }
            back.gateway = Some(head.gateway);
        } else {
            let entry = serde_json::from_slice(&line).map_err(|e| wrong(format!("not a ledger's entry: {e}")))?;
            let findings = back.ledger.replay(&entry);
            back.past.replay(&entry, &findings);
        }
        back.whole_bytes += bytes as u64;
    }
    Ok(back)
}
