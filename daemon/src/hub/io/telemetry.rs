//! Takes what devices measure to the table and to the centre, when it is due.
//!
//! It stands beside the core and before nothing: a disk that hangs costs measurements and no alarm, and a disk that is
//! nearly full takes none.

use super::clock;
use super::view::Sight;
use crate::journal::io::telemetry::Table;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::watch;
use vakt_core::port::Measured;

/// How often it is looked for what is due.
const LOOK: Duration = Duration::from_secs(2);
/// Batches waiting for the table's disk. The newest is lost.
const BATCHES_MAX: usize = 4;

/// What was due last.
pub type Due = watch::Receiver<Arc<Vec<Measured>>>;

/// Starts it. `low`: the disk is nearly full, and what room there is is for events.
pub fn start(state_dir: PathBuf, sight: Sight, low: watch::Receiver<bool>) -> Due {
    let (told, due) = watch::channel(Arc::default());
    let (batches, inbox) = mpsc::channel(BATCHES_MAX);
    let thread = std::thread::Builder::new().name("telemetry".into());
    if let Err(error) = thread.spawn(move || keep(state_dir, &low, inbox)) {
        tracing::warn!(%error, "measurements are told and not kept: their thread could not be started");
    }
    tokio::spawn(async move {
        while !told.is_closed() {
            tokio::time::sleep(LOOK).await;
            let now = clock::now();
            let seen = sight.seen.borrow().clone();
            let Ok(mut book) = sight.heard.book.lock() else { return };
            book.keep(|device| seen.state.devices.contains_key(device));
            let due = Arc::new(book.due(now.mono_ms));
            drop(book);
            if !due.is_empty() {
                if batches.try_send(Arc::clone(&due)).is_err() {
                    tracing::warn!("the disk does not get on: measurements are told and not kept");
                }
                told.send_replace(due);
            }
        }
    });
    due
}

/// Writes batches to the table until nobody sends any.
fn keep(dir: PathBuf, low: &watch::Receiver<bool>, mut inbox: mpsc::Receiver<Arc<Vec<Measured>>>) {
    let mut table = None;
    let mut well = true;
    while let Some(batch) = inbox.blocking_recv() {
        if *low.borrow() {
            continue;
        }
        let opened = table.take().map_or_else(|| Table::open(&dir), Ok);
        let kept = opened.and_then(|mut table| table.add(&batch).map(|()| table));
        let was_well = std::mem::replace(&mut well, kept.is_ok());
        match kept {
            Ok(open) => table = Some(open),
            Err(error) if was_well => tracing::warn!(%error, "measurements are told and not kept"),
            Err(error) => tracing::debug!(%error, "measurements are told and not kept"),
        }
    }
}
