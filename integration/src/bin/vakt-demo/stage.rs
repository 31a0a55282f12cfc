//! The site the story is played on, and what a line of it leaves for the checks beneath. It judges nothing.

use rusqlite::Connection;
use rusqlite::OpenFlags;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;
use tokio::task::JoinHandle;
use vakt_integration::arc::handle::ArcHandle;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::watch::Watch;
use vakt_integration::lab::watch::now_us;

/// How long each thing may take before the story counts as failed.
pub const SOON: Duration = Duration::from_secs(10);
/// The same for a broker that says nothing: it is given up ten seconds after its last word, which may be a beat away.
pub const GIVEN_UP: Duration = Duration::from_secs(35);
/// How often a status is looked at while something is waited for.
const LOOK: Duration = Duration::from_millis(10);

/// What the last page of the story left behind.
#[derive(Default)]
pub struct Page {
    /// When it happened, microseconds since 1970.
    pub began_us: u64,
    /// Bytes that had left over LTE then.
    pub lte_bytes: u64,
    /// Events the centre held then.
    pub centre_held: u64,
    /// The hub's status just before, where the deed destroys what it says.
    pub before: Option<Value>,
    /// Somebody looks for the first commit after it.
    pub committing: Option<JoinHandle<Option<u64>>>,
    /// The event the centre was last found to have.
    pub seen: Option<(u64, u64)>,
    /// Last words about orders from afar.
    pub refusals: Vec<Value>,
    /// A forged copy of the journal, and the row that the flipped byte is in, as `verify` writes rows.
    pub forged: Option<(PathBuf, String)>,
}

/// Rows in the journal, and how many of exactly these the centre holds.
pub struct Totals {
    pub journaled: u64,
    pub acknowledged: u64,
}

pub struct Stage {
    pub lab: Lab,
    pub page: Page,
}

pub fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Stage {
    /// A fresh site in an emptied folder.
    pub async fn build(folder: PathBuf) -> Result<Self, String> {
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(|e| format!("empty {}: {e}", folder.display()))?;
        }
        let paths = ["eth", "lte"].map(str::to_owned).to_vec();
        let settings = LabSettings { folder: Some(folder), zigbee: Some(13), paths, ..LabSettings::default() };
        Ok(Self { lab: Lab::start(settings).await.map_err(text)?, page: Page::default() })
    }

    /// Another line of the story begins.
    pub fn turn_the_page(&mut self) {
        let centre_held = self.lab.arc.as_ref().map_or(0, |arc| arc.counts().events);
        let lte_bytes = self.lte_bytes();
        self.page = Page { began_us: now_us(), lte_bytes, centre_held, ..Page::default() };
    }

    /// Bytes that have left over LTE.
    pub fn lte_bytes(&self) -> u64 {
        self.lab.proxies.get("lte").map_or(0, |proxy| proxy.bytes().0)
    }

    pub fn arc(&self) -> Result<&ArcHandle, String> {
        self.lab.arc.as_ref().ok_or_else(|| "the centre is not up".to_owned())
    }

    pub async fn ask(&self, request: Value) -> Result<Value, String> {
        self.lab.ask(request).await.map_err(text)
    }

    pub async fn status(&self) -> Result<Value, String> {
        self.lab.status().await.map_err(text)
    }

    /// Somebody looks for the next commit from now on.
    pub fn look(&mut self) -> Result<(), String> {
        let watch = Watch::open(&self.lab.daemon.journal()).map_err(text)?;
        let next = watch.head() + 1;
        self.page.committing = Some(tokio::task::spawn_blocking(move || watch.committed(next, SOON)));
        self.page.began_us = now_us();
        Ok(())
    }

    /// The 868 MHz stick says a telegram; somebody looks for its commit.
    pub async fn say(&mut self, telegram: &str) -> Result<(), String> {
        self.look()?;
        self.lab.stick.bytes(telegram.as_bytes()).await.map_err(text)
    }

    /// Waits until the hub's status is as it should be; the error is the status instead.
    pub async fn until(&self, holds: impl Fn(&Value) -> bool) -> Result<Value, String> {
        self.within(SOON, holds).await
    }

    /// The same for what takes its time.
    pub async fn within(&self, within: Duration, holds: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let end = Instant::now() + within;
        loop {
            let status = self.status().await?;
            if holds(&status) {
                return Ok(status);
            }
            if Instant::now() > end {
                return Err(format!("the hub says after {within:?}: {status}"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The journal, read beside the daemon.
    pub fn journal(&self) -> Result<Connection, String> {
        let path = self.lab.daemon.journal();
        let open = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        open.map_err(|error| format!("open {}: {error}", path.display()))
    }

    /// Waits until all is signed for, then compares the journal with the centre's ledger, id by id.
    pub async fn totals(&self) -> Result<Totals, String> {
        self.until(|status| status["journal"]["unreceipted"] == json!(0)).await?;
        let held: BTreeSet<String> = self.arc()?.events().into_iter().map(|row| row.id).collect();
        let journal = self.journal()?;
        let mut rows = journal.prepare("SELECT json_extract(body, '$.id') FROM event").map_err(text)?;
        let ids = rows.query_map([], |row| row.get::<_, String>(0)).map_err(text)?;
        let ids = ids.collect::<Result<Vec<_>, _>>().map_err(text)?;
        let (here, there): (Vec<_>, Vec<_>) = ids.iter().partition(|id| held.contains(*id));
        if !there.is_empty() {
            return Err(format!("expected: the centre holds all {} events\n  found:    not {there:?}", ids.len()));
        }
        Ok(Totals { journaled: ids.len() as u64, acknowledged: here.len() as u64 })
    }

    /// The daemon ends as it does at a service stop.
    pub async fn end(mut self) -> Result<(), String> {
        if self.lab.daemon.pid().is_some() {
            self.lab.daemon.stop(SOON).await.map_err(text)?;
        }
        Ok(())
    }
}
