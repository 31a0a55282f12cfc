//! The stick's serial port: opened off the loop with a deadline, locked, read for ever, given up when it fails; and the
//! clock, the store and the channels the host lacks.
//!
//! It decides nothing: what the host wants is done in the host's order, and what must be kept is kept before anything
//! that follows from it leaves.

use crate::zigbee::door::Admission;
use crate::zigbee::eui64::Eui64;
use crate::zigbee::functions::Board;
use crate::zigbee::functions::Wish;
use crate::zigbee::host::AnswerId;
use crate::zigbee::host::Host;
use crate::zigbee::host::Out;
use crate::zigbee::host::Progress;
use crate::zigbee::keypad::Asked;
use crate::zigbee::memory::Memory;
use crate::zigbee::met::Met;
use rustix::fs::OFlags;
use rustix::termios::ControlModes;
use rustix::termios::OptionalActions;
use rustix::termios::tcgetattr;
use rustix::termios::tcsetattr;
use serial2_tokio::FlowControl;
use serial2_tokio::SerialPort;
use std::collections::BTreeMap;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::Instant;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::input::Input;

/// Opening a port may hang in a driver, ten minutes on some with the wrong flow control; after this it has failed.
const OPEN: Duration = Duration::from_secs(5);
/// A stick that takes no bytes for so long is gone.
const WRITE: Duration = Duration::from_secs(5);
/// Bytes taken from the port in one go.
const CHUNK: usize = 4096;
/// The longest sleep, when nothing is due.
const IDLE: Duration = Duration::from_secs(60);

/// The stick's name in events.
pub const NAME: &str = "zigbee";

/// The stick's place.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The device file, by id where there is one.
    pub path: PathBuf,
    /// Bits per second.
    pub baud: u32,
    /// Who holds whom back.
    pub flow_control: Flow,
}

/// How the two ends hold each other back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Not at all.
    None,
    /// By RTS and CTS.
    Hardware,
    /// By XON and XOFF.
    Software,
}

/// What a person orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Let newcomers in.
    Open {
        /// For so long.
        seconds: u8,
        /// How they prove themselves.
        admission: Admission,
    },
    /// No longer.
    Shut,
    /// Send this device away.
    Remove(Eui64),
}

/// What the hub is told beside reports.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// How far a newcomer is.
    Progress(Progress),
    /// What joined, ready to be added.
    Joined(Vec<(DeviceId, Option<DeviceKind>)>),
}

/// What devices were added as.
pub type Kinds = BTreeMap<DeviceId, DeviceKind>;
/// Done, or why the stick does not.
pub type Outcome = Result<(), String>;
/// An order, and the place for its outcome.
pub type Ordered = (Order, oneshot::Sender<Outcome>);
/// A word for the core, and the answer it wants when it is recorded.
pub type Word = (Input, Option<AnswerId>);
/// What somebody wants at a keypad, and the devices of the zones he names.
pub type AtKeypad = (DeviceId, Asked, Vec<Option<DeviceId>>);
/// Something to be kept, and the place for "kept".
pub type Kept = (Box<Memory>, oneshot::Sender<bool>);
/// What a new host begins with: its memory, and randomness for a network should it have none.
pub type Start = (Memory, [u8; 64]);

/// What the hub hands out; it outlives each opening of the port.
pub struct Ways {
    /// To the core. The stick waits when the hub is busy: its window holds what it hears.
    pub words: mpsc::Sender<Word>,
    /// To who watches newcomers; dropped when nobody does.
    pub news: mpsc::Sender<News>,
    /// To the secrets.
    pub keep: mpsc::Sender<Kept>,
    /// What devices were added as.
    pub known: watch::Receiver<Arc<Kinds>>,
    /// From people.
    pub orders: Mutex<mpsc::Receiver<Ordered>>,
    /// From the core: recorded, so its detector may know.
    pub recorded: Mutex<mpsc::Receiver<AnswerId>>,
    /// The host between two openings of the port: what it heard a moment ago helps it to know a repeated word. It is
    /// not there before the first one, and after a fall in the middle of its work.
    pub host: Mutex<Option<Host>>,
    /// Its clock's zero.
    pub begun: Instant,
    /// What it has met.
    pub met: watch::Sender<Met>,
    /// To who answers keypads. The newest is dropped when nobody does: its keypad says "not ready".
    pub asked: mpsc::Sender<AtKeypad>,
    /// What the panel wants once.
    pub wishes: Mutex<mpsc::Receiver<Wish>>,
    /// What keypads show.
    pub board: watch::Receiver<Arc<Board>>,
}

/// Opens the port and serves it until it fails; says why it did. `start`: where there is no host of an earlier opening.
pub async fn listen(settings: &Settings, start: Option<Start>, ways: &Ways) -> String {
    let path = settings.path.display().to_string();
    let (port, _lock) = match open(settings).await {
        Ok(port) => port,
        Err(error) => return format!("open {path}: {error}"),
    };
    let now = || u64::try_from(ways.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut orders = ways.orders.lock().await;
    let mut recorded = ways.recorded.lock().await;
    let mut wishes = ways.wishes.lock().await;
    let (mut known, mut board) = (ways.known.clone(), ways.board.clone());
    let mut kept = ways.host.lock().await;
    let Some(mut host) = kept.take().or_else(|| start.map(|(memory, random)| Host::new(memory, random))) else {
        return "there is no host to serve it".to_owned();
    };
    host.know(known.borrow_and_update().as_ref().clone(), now());
    // What was wanted while there was no stick is too late: a cannon least of all fires when it is back.
    while let Ok(late) = wishes.try_recv() {
        host.wish(late, now());
    }
    host.show(board.borrow_and_update().as_ref().clone(), now());
    host.connect(now());
    let inlets = Inlets {
        orders: &mut orders,
        recorded: &mut recorded,
        known: &mut known,
        wishes: &mut wishes,
        board: &mut board,
    };
    let why = serve(&mut host, &port, ways, inlets, now).await;
    host.unplugged(why.clone());
    ways.met.send_replace(host.met());
    *kept = Some(host);
    format!("{path}: {why}")
}

/// What reaches the host beside the stick's bytes.
struct Inlets<'a> {
    orders: &'a mut mpsc::Receiver<Ordered>,
    recorded: &'a mut mpsc::Receiver<AnswerId>,
    known: &'a mut watch::Receiver<Arc<Kinds>>,
    wishes: &'a mut mpsc::Receiver<Wish>,
    board: &'a mut watch::Receiver<Arc<Board>>,
}

/// Serves the open port until it fails; says why it did.
async fn serve(host: &mut Host, port: &SerialPort, ways: &Ways, inlets: Inlets<'_>, now: impl Fn() -> u64) -> String {
    let Inlets { orders, recorded, known, wishes, board } = inlets;
    let mut bytes = [0u8; CHUNK];
    let mut opening: Option<oneshot::Sender<Outcome>> = None;
    let mut keeping: Option<oneshot::Receiver<bool>> = None;
    loop {
        while let Some(out) = host.take() {
            if let Out::Save(memory) = out {
                let (done, kept) = oneshot::channel();
                if ways.keep.send((memory, done)).await.is_err() {
                    return "the hub has gone".to_owned();
                }
                keeping = Some(kept);
            } else if let Out::Door(outcome) = out {
                match opening.take().map(|asker| asker.send(outcome.clone())) {
                    Some(Ok(())) => {}
                    // Nobody waits for newcomers any more.
                    Some(Err(_)) => host.shut(now()),
                    None => tracing::warn!(?outcome, "the door of the Zigbee network"),
                }
            } else if let Err(why) = act(out, port, ways).await {
                return why;
            }
        }
        ways.met.send_if_modified(|met| {
            let before = std::mem::replace(met, host.met());
            before != *met
        });
        let due = host.due_ms().map_or(IDLE, |due_ms| Duration::from_millis(due_ms.saturating_sub(now())));
        tokio::select! {
            read = port.read(&mut bytes) => match read {
                Ok(0) => return "it was pulled out".to_owned(),
                Ok(count) => host.feed(&bytes[..count], now()),
                Err(error) => return format!("read: {error}"),
            },
            Some(answer) = recorded.recv() => host.recorded(answer, now()),
            kept = kept(&mut keeping) => {
                keeping = None;
                host.kept(kept, now());
            }
            // An order waits for a stick that is starting. Nobody is let in for who waits no more; who is sent away goes.
            Some((order, done)) = orders.recv(), if host.is_up() => if !done.is_closed() || matches!(order, Order::Remove(_)) {
                match order {
                    Order::Open { seconds, admission } => {
                        host.open(seconds, admission, now());
                        opening = Some(done);
                        continue;
                    }
                    Order::Shut => host.shut(now()),
                    Order::Remove(device) => host.remove(device, now()),
                }
                let _ = done.send(Ok(()));
            },
            changed = known.changed() => match changed {
                Ok(()) => host.know(known.borrow_and_update().as_ref().clone(), now()),
                Err(_) => return "the hub has gone".to_owned(),
            },
            Some(wish) = wishes.recv() => host.wish(wish, now()),
            Ok(()) = board.changed() => host.show(board.borrow_and_update().as_ref().clone(), now()),
            () = tokio::time::sleep(due.min(IDLE)) => host.tick(now()),
        }
    }
}

async fn open(settings: &Settings) -> std::io::Result<(SerialPort, File)> {
    let Settings { path, baud, flow_control } = settings.clone();
    let opening = tokio::task::spawn_blocking(move || {
        let port = SerialPort::open(&path, |mut line: serial2_tokio::Settings| {
            line.set_raw();
            line.set_baud_rate(baud)?;
            line.set_flow_control(match flow_control {
                Flow::None => FlowControl::None,
                Flow::Hardware => FlowControl::RtsCts,
                Flow::Software => FlowControl::XonXoff,
            });
            Ok(line)
        })?;
        Ok((port, lock(&path)?))
    });
    match tokio::time::timeout(OPEN, opening).await {
        Ok(opened) => opened.map_err(std::io::Error::other)?,
        Err(_) => Err(std::io::Error::other(format!("no answer in {} s", OPEN.as_secs()))),
    }
}

/// Two hosts on one stick would each reset it under the other's hands. Others that lock sticks do it the same way.
fn lock(path: &Path) -> std::io::Result<File> {
    // It must neither wait for a carrier nor make the stick the daemon's terminal.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    match file.try_lock() {
        Ok(()) => {
            // Closing the port must not pull the lines that reset some sticks.
            let mut line = tcgetattr(&file)?;
            line.control_modes.remove(ControlModes::HUPCL);
            tcsetattr(&file, OptionalActions::Now, &line)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => Err(std::io::Error::other("another program uses this stick: stop it first")),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// What came of the last thing to be kept; waits for ever when there is none.
async fn kept(keeping: &mut Option<oneshot::Receiver<bool>>) -> bool {
    match keeping {
        Some(kept) => kept.await == Ok(true),
        None => std::future::pending().await,
    }
}

/// Does one thing the host wants.
async fn act(out: Out, port: &SerialPort, ways: &Ways) -> Result<(), String> {
    let gone = || "the hub has gone".to_owned();
    match out {
        Out::Bytes(bytes) => match tokio::time::timeout(WRITE, port.write_all(&bytes)).await {
            Ok(written) => written.map_err(|error| format!("write: {error}"))?,
            Err(_) => return Err(format!("it takes no bytes for {} s: is its flow control right?", WRITE.as_secs())),
        },
        Out::Report(report, answer) => {
            ways.words.send((Input::Report(report), answer)).await.map_err(|_| gone())?;
        }
        Out::Measured(device, values) => {
            ways.words
                .send((Input::Measured { device, authenticated: Authenticated::MacCounter, values }, None))
                .await
                .map_err(|_| gone())?;
        }
        Out::Refused { device, count } => {
            let device = device.device(None);
            ways.words.send((Input::JoinRefused { device, count }, None)).await.map_err(|_| gone())?;
        }
        Out::Unreadable(device) => {
            ways.words.send((Input::Unreadable { device }, None)).await.map_err(|_| gone())?;
        }
        Out::Gone(device) => ways.words.send((Input::Gone { device }, None)).await.map_err(|_| gone())?,
        Out::Interference(on) => {
            let interference = Input::Interference { receiver: NAME.to_owned(), on };
            ways.words.send((interference, None)).await.map_err(|_| gone())?;
        }
        Out::Acted { command, act, error } => {
            ways.words.send((Input::Acted { command, act, error }, None)).await.map_err(|_| gone())?;
        }
        Out::LockUsed(used, answer) => {
            ways.words.send((Input::LockUsed(used), answer)).await.map_err(|_| gone())?;
        }
        Out::LockRefused { device, method, reason, answer } => {
            let refused = Input::LockRefused { device, method, reason };
            ways.words.send((refused, answer)).await.map_err(|_| gone())?;
        }
        Out::Asked(keypad, asked, of) => drop(ways.asked.try_send((keypad, asked, of))),
        Out::Progress(progress) => drop(ways.news.try_send(News::Progress(progress))),
        Out::Joined(joined) => ways.news.send(News::Joined(joined)).await.map_err(|_| gone())?,
        Out::Up => {
            let well = Input::Receiver { receiver: NAME.to_owned(), error: None };
            ways.words.send((well, None)).await.map_err(|_| gone())?;
        }
        Out::Down(why) => return Err(why),
        Out::Save(_) | Out::Door(_) => unreachable!("these have their own ways"),
    }
    Ok(())
}
