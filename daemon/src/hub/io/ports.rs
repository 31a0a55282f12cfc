//! Holds a port open: whatever it falls over, it is told and opened again, later and later. It never gives up.

use super::start::AbortOnDrop;
use crate::hub::restart::BackOff;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vakt_core::input::Input;

/// Opens a port and opens it again each time it ends with a reason. `fell`: what the core is told of that.
pub(super) fn hold<F>(
    name: String,
    inputs: mpsc::Sender<Input>,
    fell: impl Fn(String) -> Option<Input> + Send + 'static,
    mut listen: impl FnMut() -> F + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = String> + Send + 'static,
{
    tokio::spawn(async move {
        let mut back_off = BackOff::default();
        loop {
            let began = tokio::time::Instant::now();
            // A task of its own: should a decoder ever panic, the port falls and nothing else.
            let listening = tokio::spawn(listen());
            let abort = AbortOnDrop(listening.abort_handle());
            let error = listening.await.unwrap_or_else(|error| error.to_string());
            drop(abort);
            let pause = back_off.fell(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
            tracing::warn!(port = name, %error, pause_ms = pause, "a port fell; it will be opened again");
            if let Some(told) = fell(error)
                && inputs.send(told).await.is_err()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    })
}
