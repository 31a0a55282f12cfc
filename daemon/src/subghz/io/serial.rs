//! Serial receivers for 868 MHz: opened off the loop, read for ever, opened again after they were pulled out.
//!
//! It hears and passes on; what a telegram means is its siblings' word, what follows from it the core's.

use crate::subghz::cc1101_told;
use crate::subghz::known::Device;
use crate::subghz::known::Known;
use crate::subghz::known::Newest;
use crate::subghz::known::Secret;
use crate::subghz::line::Source;
use crate::subghz::receiver::Counters;
use crate::subghz::receiver::Heard;
use crate::subghz::receiver::Receiver;
use crate::subghz::receiver::Understood;
use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use crate::subghz::transceiver;
use crate::subghz::wmbus_tpl::Security;
use serde::Serialize;
use serial2_tokio::SerialPort;
use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::time::Instant;
use vakt_core::device::DeviceId;
use vakt_core::device::Report;
use vakt_core::input::Input;

/// Opening a port may hang in a driver; after this time it counts as failed.
const OPEN: Duration = Duration::from_secs(5);
/// Bytes taken from the port in one go.
const CHUNK: usize = 4096;
/// A half packet is given up when nothing came for so long: ample at 57,600 baud.
const SILENCE: Duration = Duration::from_millis(100);

/// One receiver's place.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name in events.
    pub name: String,
    /// The device file, by id where there is one.
    pub path: PathBuf,
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

/// How a receiver says that it works.
pub struct Well {
    receiver: String,
    core: mpsc::Sender<Input>,
}

impl Well {
    /// For this receiver, to the core.
    pub fn new(receiver: String, core: mpsc::Sender<Input>) -> Self {
        Self { receiver, core }
    }

    /// It works.
    pub async fn tell(self) {
        // Without a core there is nobody left to tell.
        let _ = self.core.send(Input::Receiver { receiver: self.receiver, error: None }).await;
    }
}

/// What the hub hands out.
#[derive(Clone)]
pub struct Outlets {
    /// Reports and faults. The radio waits when the hub is busy: the kernel's buffer holds seconds of air.
    pub inputs: mpsc::Sender<Input>,
    /// Devices nobody knows; dropped when nobody takes them.
    pub strangers: mpsc::Sender<Stranger>,
    /// Devices the hub knows.
    pub known: watch::Receiver<Arc<Known>>,
    /// The newest message of each.
    pub newest: Arc<Mutex<Newest>>,
    /// How often what was heard and refused, by receiver.
    pub counted: Arc<Mutex<BTreeMap<String, Counted>>>,
}

impl Outlets {
    /// Shows what a receiver has counted.
    pub(super) fn count(&self, receiver: &str, now: Counted) {
        if let Ok(mut counted) = self.counted.lock() {
            counted.insert(receiver.to_owned(), now);
        }
    }
}

/// What a receiver has counted since it was opened, for who looks after the site.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Telegrams of wireless M-Bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telegrams: Option<Counters>,
    /// By a radio chip's own receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chip: Option<cc1101_told::Counters>,
    /// By an EnOcean transceiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enocean: Option<transceiver::Counters>,
}

/// Opens a port.
///
/// # Errors
/// Why it did not open.
pub(super) async fn open(path: &Path, baud: u32) -> Result<SerialPort, String> {
    let own = path.to_owned();
    let open = tokio::task::spawn_blocking(move || SerialPort::open(&own, baud));
    match tokio::time::timeout(OPEN, open).await {
        Ok(Ok(Ok(port))) => Ok(port),
        Ok(Ok(Err(error))) => Err(format!("open {}: {error}", path.display())),
        Ok(Err(error)) => Err(format!("open {}: {error}", path.display())),
        Err(_) => Err(format!("open {}: no answer in {} s", path.display(), OPEN.as_secs())),
    }
}

/// Writes to a port that may hang.
///
/// # Errors
/// Why it did not take it.
pub(super) async fn write(port: &SerialPort, bytes: &[u8]) -> Result<(), String> {
    let written = tokio::time::timeout(OPEN, port.write_all(bytes)).await;
    let late = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut));
    written.unwrap_or_else(late).map_err(|error| error.to_string())
}

/// Opens the port, sets its receiver up and reads it until it fails; says why it did. `well` is told when it listens.
///
/// # Errors
/// Why it ended.
pub async fn listen(settings: &Settings, source: Source, outlets: &Outlets, well: Well) -> String {
    let port = match open(&settings.path, settings.baud).await {
        Ok(port) => port,
        Err(error) => return error,
    };
    let (mut receiver, begun, mut well) = (Receiver::new(source), Instant::now(), Some(well));
    let mut bytes = [0u8; CHUNK];
    loop {
        if let Err(error) = set_up(&mut receiver, &port, begun.elapsed()).await {
            return format!("set up the receiver on {}: {error}", settings.path.display());
        }
        if receiver.is_set_up()
            && let Some(well) = well.take()
        {
            well.tell().await;
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
        let telegrams = Some(*receiver.counters());
        outlets.count(&settings.name, Counted { telegrams, ..Counted::default() });
    }
}

/// Writes what is due to the stick.
async fn set_up(receiver: &mut Receiver, port: &SerialPort, now: Duration) -> Result<(), String> {
    match receiver.due(now)? {
        Some(bytes) => write(port, &bytes).await,
        None => Ok(()),
    }
}

/// False when nobody listens any more.
pub(super) async fn pass_on(receiver: &mut Receiver, heard: &Heard, outlets: &Outlets) -> bool {
    let known = outlets.known.borrow().clone();
    let Some(entry) = known.get(&heard.device) else {
        let encrypted = !matches!(heard.telegram.security, Security::Clear);
        let stranger = Stranger { device: heard.device.clone(), encrypted, rssi_dbm: heard.rssi_dbm };
        let _ = outlets.strangers.try_send(stranger);
        return true;
    };
    let device = heard.device.clone();
    let inputs = match understand(receiver, heard, entry, outlets) {
        Ok(Understood { report, values, authenticated, counter, past }) => {
            if let (Some(counter), Ok(mut newest)) = (counter, outlets.newest.lock()) {
                newest.note(&device, counter, &known);
            }
            let report = report.map(|report| Input::Report(Report { counter, device: device.clone(), ..report }));
            let past = past.map(|past| Input::Past { device: device.clone(), authenticated, past });
            let values = (!values.is_empty()).then_some(Input::Measured { device, authenticated, values });
            [report, past, values]
        }
        // A copy, or a recording: the device itself is as it was.
        Err(refused) if refused.kind == Reason::Replayed => return true,
        Err(refused) => {
            tracing::warn!(%device, %refused, "a known device could not be read");
            [Some(Input::Unreadable { device }), None, None]
        }
    };
    for input in inputs.into_iter().flatten() {
        if outlets.inputs.send(input).await.is_err() {
            return false;
        }
    }
    true
}

fn understand(
    receiver: &mut Receiver,
    heard: &Heard,
    entry: &Device,
    outlets: &Outlets,
) -> Result<Understood, Refused> {
    let last = outlets.newest.lock().ok().and_then(|newest| newest.of(&heard.device, entry));
    let key = match &entry.secret {
        Secret::None => None,
        Secret::Key(bytes) => Some(bytes.as_slice().try_into().map_err(|_| lost())?),
        Secret::Lost => return Err(lost()),
    };
    receiver.understand(heard, key.as_ref(), last)
}

/// A key that is listed and not there must not turn into "no key": its device would be believed in clear.
pub(super) fn lost() -> Refused {
    Refused::new(
        Reason::NoKey,
        0,
        "its key is lost, or none of its kind: add it again with its key, or remove it and let it teach",
    )
}
