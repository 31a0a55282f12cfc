//! What stands between the Zigbee host and the rest: its memory in the secrets, the devices that joined on their way to
//! the panel, the port opened again when it falls.

use super::core::Seen;
use super::keypads;
use super::start::AbortOnDrop;
use crate::hub::restart::BackOff;
use crate::secrets::io::Secrets;
use crate::secrets::io::random;
use crate::zigbee::functions::Wish;
use crate::zigbee::host::Progress;
use crate::zigbee::interview::Stage;
use crate::zigbee::io::Kept;
use crate::zigbee::io::Kinds;
use crate::zigbee::io::NAME;
use crate::zigbee::io::News;
use crate::zigbee::io::Ordered;
use crate::zigbee::io::Settings;
use crate::zigbee::io::Start;
use crate::zigbee::io::Ways;
use crate::zigbee::io::Word;
use crate::zigbee::io::listen;
use crate::zigbee::memory::Memory;
use crate::zigbee::met::Met;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vakt_core::event::Method;
use vakt_core::input::Command;
use vakt_core::input::Input;
use vakt_core::input::Newcomer;
use vakt_core::input::Reply;
use vakt_core::port::Waiting;

/// Orders waiting for the stick. Who orders waits.
const ORDERS_MAX: usize = 8;
/// Steps of newcomers that nobody has read yet. The oldest is lost to a slow reader; the last one tells the outcome.
pub(super) const NEWS_MAX: usize = 256;
/// What is asked at keypads and not answered, and what is wanted of sirens and cannons and not sent; the newest is dropped: its
/// keypad says "not ready", its act failed.
pub(super) const ASKED_MAX: usize = 64;
/// Things to be kept. The stick waits.
const KEPT_MAX: usize = 4;

/// What others use of it.
#[derive(Clone)]
pub struct Mesh {
    /// To the stick.
    pub orders: mpsc::Sender<Ordered>,
    /// What was met on the stick's line and in the air.
    pub met: watch::Receiver<Met>,
}

/// What it needs.
pub struct Needs {
    /// Where the stick is.
    pub settings: Settings,
    /// Its memory.
    pub secrets: Arc<std::sync::Mutex<Secrets>>,
    /// What the panel knows.
    pub seen: watch::Receiver<Seen>,
    /// To the core.
    pub words: mpsc::Sender<Word>,
    /// From the core.
    pub recorded: mpsc::Receiver<u64>,
    /// To the core, with a reply.
    pub commands: mpsc::Sender<(Input, oneshot::Sender<Reply>)>,
    /// How far newcomers are.
    pub progress: broadcast::Sender<Progress>,
    /// Whose codes are whose: a change that hangs with its disk must not keep anybody from disarming.
    pub codes: Arc<std::sync::Mutex<Secrets>>,
    /// What waits for the centre.
    pub waiting: watch::Receiver<Waiting>,
    /// What the panel wants of sirens, lights and cannons, and what those at keypads are told.
    pub wishes: (mpsc::Sender<Wish>, mpsc::Receiver<Wish>),
}

/// Starts it.
pub fn start(needs: Needs) -> (JoinHandle<()>, Mesh) {
    let (orders_in, orders) = mpsc::channel(ORDERS_MAX);
    let (news_in, news) = mpsc::channel(NEWS_MAX);
    let (keep_in, keep) = mpsc::channel(KEPT_MAX);
    let (met_in, met) = watch::channel(Met::default());
    let known = follow(needs.seen.clone());
    tokio::spawn(remember(keep, Arc::clone(&needs.secrets)));
    let (asked_in, asked) = mpsc::channel(ASKED_MAX);
    let (wishes_in, wishes) = needs.wishes;
    let (board_in, board) = watch::channel(Arc::default());
    tokio::spawn(keypads::show(needs.seen.clone(), needs.waiting, board_in));
    let (seen, commands) = (needs.seen.clone(), needs.commands.clone());
    tokio::spawn(keypads::Desk { codes: needs.codes, seen, commands, wishes: wishes_in }.serve(asked));
    tokio::spawn(add(news, needs.progress, needs.seen, needs.commands));
    let ways = Ways {
        words: needs.words,
        news: news_in,
        keep: keep_in,
        known,
        orders: orders.into(),
        recorded: needs.recorded.into(),
        host: tokio::sync::Mutex::default(),
        begun: Instant::now(),
        met: met_in,
        asked: asked_in,
        wishes: wishes.into(),
        board,
    };
    let port = tokio::spawn(port(needs.settings, needs.secrets, Arc::new(ways)));
    (port, Mesh { orders: orders_in, met })
}

/// What Zigbee devices were added as; whole from the first moment, because a stick is judged by it.
fn follow(mut seen: watch::Receiver<Seen>) -> watch::Receiver<Arc<Kinds>> {
    fn ours(seen: &Seen) -> Kinds {
        let ours = seen.state.devices.iter().filter(|(id, _)| id.as_str().starts_with("zb-"));
        ours.map(|(id, device)| (id.clone(), device.kind)).collect()
    }
    let (known_in, known) = watch::channel(Arc::new(ours(&seen.borrow_and_update())));
    tokio::spawn(async move {
        while seen.changed().await.is_ok() {
            let ours = ours(&seen.borrow_and_update());
            known_in.send_if_modified(|known| {
                let changed = **known != ours;
                *known = Arc::new(ours);
                changed
            });
        }
    });
    known
}

/// Keeps what the host remembers, one whole after the other.
async fn remember(mut keep: mpsc::Receiver<Kept>, secrets: Arc<std::sync::Mutex<Secrets>>) {
    while let Some((memory, done)) = keep.recv().await {
        let secrets = Arc::clone(&secrets);
        let kept = tokio::task::spawn_blocking(move || {
            let bytes = serde_json::to_vec(&memory).map_err(|error| error.to_string())?;
            let secrets = secrets.lock().map_err(|_| "the secrets are not available".to_owned())?;
            secrets.keep_zigbee(&bytes).map_err(|error| error.to_string())
        });
        let kept = kept.await.unwrap_or_else(|error| Err(error.to_string()));
        if let Err(error) = &kept {
            tracing::error!(%error, "what the hub must remember of its Zigbee network could not be kept");
        }
        let _ = done.send(kept.is_ok());
    }
}

/// Adds what joined, as what it says it is; a device that is there already is only back.
async fn add(
    mut news: mpsc::Receiver<News>,
    progress: broadcast::Sender<Progress>,
    seen: watch::Receiver<Seen>,
    commands: mpsc::Sender<(Input, oneshot::Sender<Reply>)>,
) {
    while let Some(news) = news.recv().await {
        let joined = match news {
            // An error means that nobody watches.
            News::Progress(step) => {
                let _ = progress.send(step);
                continue;
            }
            News::Joined(joined) => joined,
        };
        for (device, kind) in joined {
            let known = seen.borrow().state.devices.contains_key(&device);
            let (stage, text) = match kind {
                _ if known => (Stage::Ready, "it is back".to_owned()),
                None => {
                    let add = format!("`vaktd device add {device} --kind KIND`");
                    let text = format!(
                        "it joined; a lamp or plug is ready for rules as {device}, of anything else {add} tells what it is"
                    );
                    (Stage::Reporting, text)
                }
                Some(kind) => {
                    let command = Command::DeviceAdd(Newcomer::plain(device.clone(), kind));
                    match tell(&commands, command).await {
                        Reply::Done { text, .. } => (Stage::Ready, text),
                        Reply::Refused { text, .. } => (Stage::Failed, format!("it joined, but was not added: {text}")),
                    }
                }
            };
            let _ = progress.send(Progress { device, stage, text });
        }
    }
}

/// The refusal of a hub that goes down: whether the command was carried out, nobody knows.
pub(super) const STOPPING: &str = "stopping";

pub(super) async fn tell(commands: &mpsc::Sender<(Input, oneshot::Sender<Reply>)>, command: Command) -> Reply {
    let (reply, answer) = oneshot::channel();
    let input = Input::Command { request: 0, method: Method::Local, command };
    let going = || Reply::refused(STOPPING, "the daemon is going down");
    if commands.send((input, reply)).await.is_err() {
        return going();
    }
    answer.await.unwrap_or_else(|_| going())
}

/// Serves the port; it is opened again, later and later, whenever it falls.
async fn port(settings: Settings, secrets: Arc<std::sync::Mutex<Secrets>>, ways: Arc<Ways>) {
    let mut back_off = BackOff::default();
    loop {
        let began = Instant::now();
        // A hub whose memory is gone but whose panel knows devices had a network: another would lose them all.
        let expected = ways.known.borrow().len();
        let error = serve(&settings, &secrets, &ways, expected).await;
        let pause = back_off.fell(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        tracing::warn!(receiver = NAME, %error, pause_ms = pause, "the Zigbee stick fell; it will be opened again");
        // Whoever judged the air may have fallen with it, so that only this is sure to be said.
        let over = Input::Interference { receiver: NAME.to_owned(), on: None };
        let failed = Input::Receiver { receiver: NAME.to_owned(), error: Some(error) };
        for word in [over, failed] {
            if ways.words.send((word, None)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

async fn serve(
    settings: &Settings,
    secrets: &Arc<std::sync::Mutex<Secrets>>,
    ways: &Arc<Ways>,
    expected: usize,
) -> String {
    // After the first opening the host itself remembers, and better; a disk that hangs must not keep it from its stick.
    let start = match ways.host.lock().await.is_some() {
        true => None,
        false => match remembered(secrets, expected).await {
            Ok(start) => Some(start),
            Err(why) => return why,
        },
    };
    let (settings, ways) = (settings.clone(), Arc::clone(ways));
    // A task of its own: should a decoder ever panic, the stick falls and nothing else.
    let listening = tokio::spawn(async move { listen(&settings, start, &ways).await });
    let _abort = AbortOnDrop(listening.abort_handle());
    listening.await.unwrap_or_else(|error| error.to_string())
}

/// What a host begins with. `expected`: devices the panel knows.
async fn remembered(secrets: &Arc<std::sync::Mutex<Secrets>>, expected: usize) -> Result<Start, String> {
    let of = Arc::clone(secrets);
    let read = tokio::task::spawn_blocking(move || {
        let secrets = of.lock().map_err(|_| "the secrets are not available".to_owned())?;
        secrets.zigbee().map_err(|error| error.to_string())
    });
    let memory: Memory = match read.await.unwrap_or_else(|error| Err(error.to_string()))? {
        None if expected > 0 => {
            return Err(format!(
                "the hub knows {expected} Zigbee devices but has lost its network's key: put secrets.db back, or remove \
                 the devices with `vaktd device remove` and join them again"
            ));
        }
        None => Memory::default(),
        // What cannot be read is not "nothing": a new network would lose every device.
        Some(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| format!("what secrets.db remembers of the Zigbee network cannot be read: {error}"))?,
    };
    let (Ok(first), Ok(second)) = (random(), random()) else {
        return Err("the system gives no random bytes".to_owned());
    };
    let mut entropy = [0; 64];
    entropy[..32].copy_from_slice(&first);
    entropy[32..].copy_from_slice(&second);
    Ok((memory, entropy))
}
