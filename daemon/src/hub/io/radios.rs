//! The 868 MHz receivers: each opened again whenever it falls, the devices they know kept as the panel knows them, and who
//! is taught on the way to the panel.

use super::core::Seen;
use super::mesh::STOPPING;
use super::mesh::tell;
use super::ports;
use super::view;
use crate::config::settings::Config;
use crate::config::settings::RadioChip;
use crate::config::settings::RadioMode;
use crate::config::settings::Receiver;
use crate::config::settings::Rtl433;
use crate::secrets::io::Secrets;
use crate::secrets::io::SecretsError;
use crate::secrets::io::random;
use crate::subghz::cc1101_registers::Mode;
use crate::subghz::eep::is_kinetic;
use crate::subghz::enocean_door::Newcomer as Taught;
use crate::subghz::enocean_door::Open;
use crate::subghz::io;
use crate::subghz::known::Known;
use crate::subghz::known::Secret;
use crate::subghz::line::Source;
use crate::zigbee::host::Progress;
use crate::zigbee::interview::Stage;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vakt_core::device::DeviceId;
use vakt_core::input::Command;
use vakt_core::input::Input;
use vakt_core::input::Newcomer;
use vakt_core::input::Reply;

/// Devices nobody knows. The newest is dropped: it will speak again.
const STRANGERS_MAX: usize = 64;
/// Devices that were taught and not yet added. The newest is dropped: it is taught again.
const TAUGHT_MAX: usize = 16;
/// Longest wait for the devices' keys before the receivers are opened without them.
const KEYS_FIRST: Duration = Duration::from_secs(3);
/// When keys that could not be read are asked for again.
const KEYS_AGAIN: Duration = Duration::from_secs(5);
/// Two transceivers hear the same teach-in; so soon after it a device is not added again.
const ONCE: Duration = Duration::from_secs(2);
/// Who missed that it is known teaches again. So long after it is "ready", that is no news: one opening lasts 180 s at most.
const AGAIN: Duration = Duration::from_secs(180);

/// What others use of them.
#[derive(Clone)]
pub struct Radios {
    /// Devices the receivers know.
    pub known: watch::Receiver<Arc<Known>>,
    /// Devices nobody knows.
    pub strangers: broadcast::Sender<io::Stranger>,
    /// For whom the door is open, and until when.
    pub door: watch::Sender<Option<(Open, Instant)>>,
    /// Whether there is anybody to be taught by.
    pub teaches: bool,
    /// What each receiver has counted.
    pub counted: Arc<Mutex<BTreeMap<String, io::Counted>>>,
}

/// What they need.
pub struct Needs {
    /// The devices' keys.
    pub secrets: Arc<Mutex<Secrets>>,
    /// What the panel knows.
    pub seen: watch::Receiver<Seen>,
    /// To the core.
    pub inputs: mpsc::Sender<Input>,
    /// To the core, with a reply.
    pub commands: mpsc::Sender<(Input, oneshot::Sender<Reply>)>,
    /// How far newcomers are.
    pub progress: broadcast::Sender<Progress>,
}

/// Starts the receivers; each is opened again, later and later, whenever it falls.
pub async fn start(config: &Config, needs: Needs) -> (Vec<JoinHandle<()>>, Radios) {
    let known = follow_known(needs.seen, needs.secrets.clone()).await;
    let (strangers_in, mut inbox) = mpsc::channel(STRANGERS_MAX);
    let strangers = broadcast::Sender::new(STRANGERS_MAX);
    let all = strangers.clone();
    tokio::spawn(async move {
        while let Some(stranger) = inbox.recv().await {
            let _ = all.send(stranger);
        }
    });
    let counted: Arc<Mutex<BTreeMap<String, io::Counted>>> = Arc::default();
    let outlets = io::Outlets {
        inputs: needs.inputs,
        strangers: strangers_in,
        known: known.clone(),
        newest: Arc::default(),
        counted: counted.clone(),
    };
    let door = watch::Sender::new(None);
    let (came, taught) = mpsc::channel(TAUGHT_MAX);
    let teaching = io::enocean::Teaching { open: door.subscribe(), came };
    tokio::spawn(add(taught, needs.secrets, needs.commands, needs.progress, known.clone()));
    let ports = config.subghz.ports.iter().map(|port| {
        let source = match port.receiver {
            Receiver::RtlWmbus => Some(Source::RtlWmbus),
            Receiver::Cul => Some(Source::Cul),
            Receiver::Im871a => Some(Source::Im871a),
            Receiver::Amber8465 => Some(Source::Amber8465),
            Receiver::Enocean => None,
        };
        let settings = io::Settings { name: port.name.clone(), path: port.path.clone(), baud: port.baud() };
        match source {
            Some(source) => meters(settings, source, outlets.clone()),
            None => enocean(settings, outlets.clone(), teaching.clone()),
        }
    });
    let chips = config.subghz.chips.iter().map(|chip| radio_chip(chip_settings(chip), outlets.clone()));
    let sdrs = config.subghz.rtl_433.iter().map(|sdr| rtl_433(sdr.clone(), outlets.clone()));
    let ports: Vec<_> = ports.chain(chips).chain(sdrs).collect();
    let teaches = config.subghz.ports.iter().any(|port| port.receiver == Receiver::Enocean);
    (ports, Radios { known, strangers, door, teaches, counted })
}

fn meters(settings: io::Settings, source: Source, outlets: io::Outlets) -> JoinHandle<()> {
    hold(settings.name.clone(), outlets.inputs.clone(), move |well| {
        let (settings, outlets) = (settings.clone(), outlets.clone());
        async move { io::serial::listen(&settings, source, &outlets, well).await }
    })
}

fn chip_settings(chip: &RadioChip) -> io::cc1101::Settings {
    let RadioChip { name, spi, gdo0, gdo2, mode } = chip.clone();
    let mode = match mode {
        RadioMode::T => Mode::T,
        RadioMode::S => Mode::S,
    };
    io::cc1101::Settings { name, spi, gdo0, gdo2, mode }
}

fn radio_chip(settings: io::cc1101::Settings, outlets: io::Outlets) -> JoinHandle<()> {
    // That it works it says itself, each time it does again.
    hold(settings.name.clone(), outlets.inputs.clone(), move |_| {
        let (settings, outlets) = (settings.clone(), outlets.clone());
        async move { io::radio_chip::listen(&settings, &outlets).await }
    })
}

fn rtl_433(settings: Rtl433, outlets: io::Outlets) -> JoinHandle<()> {
    let Rtl433 { name, device, frequency_hz, sample_rate_hz, level_db } = settings;
    let program = PathBuf::from(io::rtl_433::PROGRAM);
    let settings = io::rtl_433::Settings { name, program, device, frequency_hz, sample_rate_hz, level_db };
    hold(settings.receiver(), outlets.inputs.clone(), move |well| {
        let (settings, outlets) = (settings.clone(), outlets.clone());
        async move { io::rtl_433::listen(&settings, &outlets, well).await }
    })
}

fn enocean(settings: io::Settings, outlets: io::Outlets, teaching: io::enocean::Teaching) -> JoinHandle<()> {
    hold(settings.name.clone(), outlets.inputs.clone(), move |well| {
        let (settings, outlets, teaching) = (settings.clone(), outlets.clone(), teaching.clone());
        async move { io::enocean::listen(&settings, &outlets, teaching, well).await }
    })
}

/// Holds a receiver; `listen` is given what tells the core that it works.
fn hold<F>(
    receiver: String,
    inputs: mpsc::Sender<Input>,
    mut listen: impl FnMut(io::Well) -> F + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = String> + Send + 'static,
{
    let (named, core) = (receiver.clone(), inputs.clone());
    let fell = move |error| Some(Input::Receiver { receiver: named.clone(), error: Some(error) });
    ports::hold(receiver.clone(), inputs, fell, move || listen(io::Well::new(receiver.clone(), core.clone())))
}

/// Keeps the receivers' list of known devices, with their keys, as the panel knows them. The first list is there when
/// this returns: a detector that speaks at once must not be taken for a stranger.
async fn follow_known(mut seen: watch::Receiver<Seen>, secrets: Arc<Mutex<Secrets>>) -> watch::Receiver<Arc<Known>> {
    let (known_in, known) = watch::channel(Arc::<Known>::default());
    let (mut first, without_keys) = (known.clone(), known_in.clone());
    let (at_first, of) = (seen.borrow().state.clone(), secrets.clone());
    tokio::spawn(async move {
        let (mut listed, mut keys) = (None, BTreeSet::new());
        loop {
            let now = seen.borrow_and_update().clone();
            let ids: Vec<_> = now.state.devices.iter().map(|(id, d)| (id.clone(), d.secret.clone(), d.added)).collect();
            if listed.as_ref() != Some(&ids) {
                let secrets = secrets.clone();
                let made = tokio::task::spawn_blocking(move || {
                    let mut whole = true;
                    let key = |id: &str| {
                        let found = secrets.lock().ok().map(|secrets| secrets.get(id));
                        whole &= matches!(found, Some(Ok(_)));
                        found.and_then(Result::ok).flatten().map_or(Secret::Lost, Secret::Key)
                    };
                    (view::known(&now.state, key), whole)
                });
                if let Ok((made, whole)) = made.await {
                    known_in.send_replace(Arc::new(made));
                    let named: BTreeSet<_> = ids.iter().filter_map(|(_, key, _)| key.clone()).collect();
                    // What is seen is on record: whoever was removed, replaced or given another key.
                    let gone =
                        std::mem::replace(&mut keys, named.clone()).into_iter().filter(|key| !named.contains(key));
                    // By itself: a file that hangs must not keep a newcomer from being heard.
                    tokio::spawn(forget(of.clone(), gone.collect()));
                    // A key that could not be read is asked for again; until then its device is unreadable.
                    listed = whole.then_some(ids);
                }
            }
            tokio::select! {
                changed = seen.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(KEYS_AGAIN), if listed.is_none() => {}
            }
        }
    });
    // A secrets file that hangs must not keep the hub deaf: until it answers, who has a key is unreadable, and all others are
    // heard.
    if tokio::time::timeout(KEYS_FIRST, first.changed()).await.is_err() {
        let deaf_to_some = view::known(&at_first, |_| Secret::Lost);
        without_keys.send_if_modified(|known| {
            let none_yet = known.is_empty();
            if none_yet {
                *known = Arc::new(deaf_to_some);
            }
            none_yet
        });
    }
    known
}

/// Adds who was taught, and tells of who was not.
async fn add(
    mut taught: mpsc::Receiver<io::enocean::Came>,
    secrets: Arc<Mutex<Secrets>>,
    commands: mpsc::Sender<(Input, oneshot::Sender<Reply>)>,
    progress: broadcast::Sender<Progress>,
    mut known: watch::Receiver<Arc<Known>>,
) {
    let mut ready = BTreeMap::<DeviceId, Instant>::new();
    let mut last: Option<(Result<Taught, (DeviceId, String)>, Instant, bool)> = None;
    while let Some(io::enocean::Came { who, taken }) = taught.recv().await {
        if let Some((_, at, was_taken)) = last.as_ref().filter(|(before, ..)| *before == who)
            && at.elapsed() < ONCE
        {
            let _ = taken.send(*was_taken);
            continue;
        }
        ready.retain(|_, at| at.elapsed() < AGAIN);
        if matches!(&who, Err((device, _)) if ready.contains_key(device)) {
            continue;
        }
        let heard = who.clone();
        let (device, added) = match who {
            Ok(taught) => {
                known.mark_unchanged();
                let (device, added) = (taught.device.clone(), add_one(taught, &secrets, &commands).await);
                let _ = taken.send(added.is_ok());
                if added.is_ok() {
                    ready.insert(device.clone(), Instant::now());
                    // "Ready" is only true once the receivers have its key too: its next telegram is heard.
                    let _ = tokio::time::timeout(KEYS_FIRST, known.changed()).await;
                }
                (device, added)
            }
            Err((device, why)) => (device, Err(why)),
        };
        last = Some((heard, Instant::now(), added.is_ok()));
        let (stage, text) = added.map_or_else(|why| (Stage::Failed, why), |text| (Stage::Ready, text));
        // An error means that nobody watches.
        let _ = progress.send(Progress { device, stage, text });
    }
}

async fn add_one(
    taught: Taught,
    secrets: &Arc<Mutex<Secrets>>,
    commands: &mpsc::Sender<(Input, oneshot::Sender<Reply>)>,
) -> Result<String, String> {
    let Taught { device, eep, kind, secure } = taught;
    // A rolling code that was not used yet has no last one before it.
    let counter = secure.as_ref().and_then(|(_, next)| u32::try_from(next.checked_sub(1)?).ok());
    let secret = match secure {
        None => None,
        Some((link, _)) => {
            let secrets = secrets.clone();
            let kept = tokio::task::spawn_blocking(move || {
                let secrets = secrets.lock().map_err(|_| "the secrets are not available".to_owned())?;
                let id = key_id().map_err(|error| error.to_string())?;
                secrets.put(&id, &link.kept()).map_err(|error| error.to_string())?;
                Ok::<_, String>(id)
            });
            Some(kept.await.map_err(|error| error.to_string())??)
        }
    };
    let silence_s = is_kinetic(eep).then_some(0);
    let key = secret.clone();
    let newcomer = Newcomer { secret, counter, silence_s, eep: Some(eep), ..Newcomer::plain(device, kind) };
    match tell(commands, Command::DeviceAdd(newcomer)).await {
        Reply::Done { text, .. } => Ok(format!("it is read as {eep}; {text}")),
        Reply::Refused { refused, text, .. } => {
            // One that stopped may have added it nevertheless.
            if refused != STOPPING {
                forget(secrets.clone(), Vec::from_iter(key)).await;
            }
            Err(format!("it was heard, but not added: {text}"))
        }
    }
}

/// Nobody has these keys any more: they go. One that stays, because the file does not answer, opens nothing: no device names it.
pub(super) async fn forget(secrets: Arc<Mutex<Secrets>>, keys: Vec<String>) {
    if keys.is_empty() {
        return;
    }
    let forgotten = tokio::task::spawn_blocking(move || {
        let secrets = secrets.lock().map_err(|_| "the secrets are not available".to_owned())?;
        keys.iter().try_for_each(|key| secrets.forget(key)).map_err(|error| error.to_string())
    });
    if let Err(error) = forgotten.await.unwrap_or_else(|error| Err(error.to_string())) {
        tracing::warn!(error, "a key that no device has any more stays among the secrets");
    }
}

/// A name for a key among the secrets.
///
/// # Errors
/// The system gives no random bytes.
pub(super) fn key_id() -> Result<String, SecretsError> {
    let bytes = random()?;
    Ok(format!("key-{}", bytes[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}
