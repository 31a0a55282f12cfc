//! Serial receivers for 868 MHz: opened off the loop, read for ever, opened again after they were pulled out.
//!
//! It hears and passes on; what a telegram means is its siblings' word, what follows from it the core's.

use crate::subghz::line::Source;
use crate::subghz::receiver::Counters;
use crate::subghz::receiver::Heard;
use crate::subghz::receiver::Receiver;
use crate::subghz::receiver::Understood;
use crate::subghz::refused::Reason;
use serial2_tokio::SerialPort;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::time::Instant;
use vakt_core::device::DeviceId;
use vakt_core::input::Input;

/// Opening a port may hang in a driver; after this time it counts as failed.
const OPEN: Duration = Duration::from_secs(5);
/// Bytes taken from the port in one go.
const CHUNK: usize = 4096;
/// A half packet is given up when nothing came for so long: ample at 57,600 baud.
const SILENCE: Duration = Duration::from_millis(100);

/// A key, shared with the hub's list.
pub type Key = [u8; 16];
/// Devices the hub knows, with their keys.
pub type Known = Arc<BTreeMap<DeviceId, Option<Key>>>;

/// One receiver's place.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name in events.
    pub name: String,
    /// The device file, by id where there is one.
    pub path: PathBuf,
    /// What speaks there.
    pub source: Source,
    /// Bits per second.
    pub baud: u32,
}

/// A device nobody knows, heard while that is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Which.
    pub device: DeviceId,
    /// Whether it speaks encrypted, so that a key is needed.
    pub encrypted: bool,
    /// Signal strength, where the receiver tells.
    pub rssi_dbm: Option<i16>,
}

/// What the hub hands out.
#[derive(Clone)]
pub struct Outlets {
    /// Reports and faults. The radio waits when the hub is busy: the kernel's buffer holds seconds of air.
    pub inputs: mpsc::Sender<Input>,
    /// Devices nobody knows; dropped when nobody takes them.
    pub strangers: mpsc::Sender<Stranger>,
    /// Devices the hub knows.
    pub known: watch::Receiver<Known>,
    /// How often what was heard and refused, by receiver.
    pub counters: Arc<std::sync::Mutex<BTreeMap<String, Counters>>>,
}

/// Opens the port, sets its receiver up and reads it until it fails; says why it did. `opened` is told when it listens.
///
/// # Errors
/// Why it ended.
pub async fn listen(settings: &Settings, outlets: &Outlets, opened: impl AsyncFnOnce()) -> String {
    let (path, baud) = (settings.path.clone(), settings.baud);
    let open = tokio::task::spawn_blocking(move || SerialPort::open(&path, baud));
    let port = match tokio::time::timeout(OPEN, open).await {
        Ok(Ok(Ok(port))) => port,
        Ok(Ok(Err(error))) => return format!("open {}: {error}", settings.path.display()),
        Ok(Err(error)) => return format!("open {}: {error}", settings.path.display()),
        Err(_) => return format!("open {}: no answer in {} s", settings.path.display(), OPEN.as_secs()),
    };
    let (mut receiver, begun, mut opened) = (Receiver::new(settings.source), Instant::now(), Some(opened));
    let mut bytes = [0u8; CHUNK];
    loop {
        if let Err(error) = set_up(&mut receiver, &port, begun.elapsed()).await {
            return format!("set up the receiver on {}: {error}", settings.path.display());
        }
        if receiver.is_set_up()
            && let Some(tell) = opened.take()
        {
            tell().await;
        }
        let outcomes = match tokio::time::timeout(SILENCE, port.read(&mut bytes)).await {
            Err(_) => receiver.silence(),
            Ok(Ok(0)) => return format!("read {}: it was pulled out", settings.path.display()),
            Ok(Ok(count)) => receiver.feed(&bytes[..count]),
            Ok(Err(error)) => return format!("read {}: {error}", settings.path.display()),
        };
        for heard in outcomes.into_iter().flatten() {
            if !pass_on(&mut receiver, &heard, outlets).await {
                return "the hub has gone".to_owned();
            }
        }
        if let Ok(mut counters) = outlets.counters.lock() {
            counters.insert(settings.name.clone(), *receiver.counters());
        }
    }
}

/// Writes what is due to the stick.
async fn set_up(receiver: &mut Receiver, port: &SerialPort, now: Duration) -> Result<(), String> {
    let Some(bytes) = receiver.due(now)? else {
        return Ok(());
    };
    let written = tokio::time::timeout(OPEN, port.write_all(&bytes)).await;
    let late = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut));
    written.unwrap_or_else(late).map_err(|error| error.to_string())
}

/// False when nobody listens any more.
async fn pass_on(receiver: &mut Receiver, heard: &Heard, outlets: &Outlets) -> bool {
    let known = outlets.known.borrow().get(&heard.device).copied();
    let Some(key) = known else {
        let encrypted = !matches!(heard.telegram.security, crate::subghz::wmbus_tpl::Security::Clear);
        let stranger = Stranger { device: heard.device.clone(), encrypted, rssi_dbm: heard.rssi_dbm };
        let _ = outlets.strangers.try_send(stranger);
        return true;
    };
    let device = heard.device.clone();
    let (first, second) = match receiver.understand(heard, key.as_ref(), None) {
        Ok(Understood { report, values, authenticated, .. }) => {
            let values = (!values.is_empty()).then_some(Input::Measured { device, authenticated, values });
            (report.map(Input::Report), values)
        }
        // A copy, or a recording: the device itself is as it was.
        Err(refused) if refused.kind == Reason::Replayed => return true,
        Err(refused) => {
            tracing::warn!(%device, %refused, "a known device could not be read");
            (Some(Input::Unreadable { device }), None)
        }
    };
    for input in first.into_iter().chain(second) {
        if outlets.inputs.send(input).await.is_err() {
            return false;
        }
    }
    true
}
