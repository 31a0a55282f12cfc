//! Takes what devices measure to the table and to the centre, when it is due.
//!
//! It stands beside the core and before nothing: a disk that hangs costs measurements and no alarm, and a disk that is
//! nearly full takes none.

use super::clock;
use super::view::Sight;
use crate::journal::io::store::JournalError;
use crate::journal::io::telemetry::Table;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::time::Instant;
use vakt_core::alarm::state::Device;
use vakt_core::device::DeviceKind;
use vakt_core::port::Measured;

/// How often it is looked for what is due.
const LOOK: Duration = Duration::from_secs(2);
/// Batches waiting for the table's disk. The newest is lost.
const BATCHES_MAX: usize = 4;
/// A disk in trouble has other work: it is left alone for so long.
const TROUBLE: Duration = Duration::from_secs(300);

/// What was due last.
pub type Due = watch::Receiver<Arc<Vec<Measured>>>;

/// What was due before is not due again because upstream fell.
pub fn from_now_on(due: &Due) -> Due {
    let mut due = due.clone();
    due.mark_unchanged();
    due
}

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
            // A silent button speaks when somebody presses it: nothing may tell when that was (B8).
            let tells = |device: &Arc<Device>| device.kind != DeviceKind::HoldUp;
            book.keep(|device| seen.state.devices.get(device).is_some_and(tells));
            let due = Arc::new(book.due(now.mono_ms));
            drop(book);
            if !due.is_empty() {
                // Full: the disk does not get on, which is told elsewhere.
                let _ = batches.try_send(Arc::clone(&due));
                told.send_replace(due);
            }
        }
    });
    due
}

/// Writes batches to the table until nobody sends any.
fn keep(dir: PathBuf, low: &watch::Receiver<bool>, mut inbox: mpsc::Receiver<Arc<Vec<Measured>>>) {
    // Made at once, so that whoever asks for measurements finds that there are none yet.
    let mut table = Table::open(&dir).inspect_err(tell).ok();
    let mut rest = table.is_none().then(Instant::now);
    while let Some(batch) = inbox.blocking_recv() {
        if *low.borrow() || rest.is_some_and(|since| since.elapsed() < TROUBLE) {
            continue;
        }
        let opened = table.take().map_or_else(|| Table::open(&dir), Ok);
        let kept = opened.and_then(|mut table| table.add(&batch).map(|()| table));
        (table, rest) = match kept {
            Ok(open) => (Some(open), None),
            Err(error) => {
                tell(&error);
                (None, Some(Instant::now()))
            }
        };
    }
}

fn tell(error: &JournalError) {
    tracing::warn!(%error, again_s = TROUBLE.as_secs(), "measurements are told and not kept");
}
