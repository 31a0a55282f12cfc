//! The stick on a pseudo-terminal: bytes and time from the real world, and nothing decided here.
//!
//! One task carries the bytes; tests and control lines speak to the stick itself through a lock.

use super::Ncp;
use super::Settings;
use super::memory::Memory;
use crate::lab::LabError;
use crate::lab::stick::open_master;
use crate::lab::stick::open_slave;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The most read in one go.
const READ_BYTES: usize = 4096;

/// The most that waits for a host that does not read; what the stick says beyond is lost, as in a UART.
const UNREAD_MOST: usize = 64 * 1024;

/// How long the task waits when nothing is due.
const IDLE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Inner {
    ncp: Ncp,
    port: Option<Arc<Port>>,
    unread: Vec<u8>,
}

#[derive(Debug)]
struct Port {
    master: AsyncFd<File>,
    /// Held so that the line keeps its raw mode while the host has it closed.
    _slave: File,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    start: Instant,
    wake: Notify,
    /// Told to all who wait whenever the stick has moved.
    moved: Notify,
    link: PathBuf,
    state: Option<PathBuf>,
}

/// A stick that is plugged in. Dropping it pulls it out.
#[derive(Debug)]
pub struct Twin {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A test that failed inside a question leaves the stick as it was.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Twin {
    /// Plugs a stick in: the host opens `link`. With a `state` file it remembers what was in it, and keeps it there.
    ///
    /// # Errors
    /// There is no pseudo-terminal, the link cannot be made, or the state file is not one.
    pub fn plug(settings: Settings, link: &Path, state: Option<&Path>) -> Result<Self, LabError> {
        let ncp = match state.filter(|path| path.exists()) {
            Some(path) => {
                let text = std::fs::read(path).map_err(LabError::io("reading", path.display()))?;
                let memory: Memory = serde_json::from_slice(&text)
                    .map_err(io::Error::other)
                    .map_err(LabError::io("understanding the stick's memory in", path.display()))?;
                Ncp::with_memory(settings, memory)
            }
            None => Ncp::new(settings),
        };
        let port = Some(Arc::new(open(link)?));
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner { ncp, port, unread: Vec::new() }),
            start: Instant::now(),
            wake: Notify::new(),
            moved: Notify::new(),
            link: link.to_owned(),
            state: state.map(Path::to_owned),
        });
        let task = tokio::spawn(carry(Arc::clone(&shared)));
        Ok(Self { shared, task })
    }

    /// The path the host opens.
    pub fn path(&self) -> &Path {
        &self.shared.link
    }

    /// Asks the stick something, or does something to it, at this moment.
    pub fn ask<R>(&self, what: impl FnOnce(&mut Ncp, Duration) -> R) -> R {
        let now = self.shared.now();
        let answer = what(&mut self.shared.lock().ncp, now);
        self.shared.wake.notify_one();
        answer
    }

    /// Waits until `what` finds what it looks for; it is asked each time the stick has moved.
    ///
    /// # Errors
    /// It does not come in time.
    pub async fn until<R>(&self, within: Duration, mut what: impl FnMut(&Ncp) -> Option<R>) -> Result<R, LabError> {
        let look = async {
            loop {
                // Made before the question, so that nothing between question and wait is missed.
                let moved = self.shared.moved.notified();
                if let Some(found) = what(&self.shared.lock().ncp) {
                    return found;
                }
                moved.await;
            }
        };
        let late = |_| LabError::Late { what: "the Zigbee stick".to_owned(), within, log: String::new() };
        tokio::time::timeout(within, look).await.map_err(late)
    }

    /// Pulls it out: the path is gone, whoever has it open gets a hang-up, the stick has no power.
    ///
    /// # Errors
    /// The path cannot be removed.
    pub fn unplug(&self) -> Result<(), LabError> {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        inner.port = None;
        inner.unread.clear();
        inner.ncp.power_off(now);
        drop(inner);
        self.shared.wake.notify_one();
        unlink(&self.shared.link)
    }

    /// Plugs it in again behind the same path.
    ///
    /// # Errors
    /// There is no pseudo-terminal, or the link cannot be made.
    pub fn replug(&self) -> Result<(), LabError> {
        let port = Arc::new(open(&self.shared.link)?);
        let mut inner = self.shared.lock();
        inner.port = Some(port);
        inner.ncp.power_on();
        drop(inner);
        self.shared.wake.notify_one();
        Ok(())
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.task.abort();
        // A link that stays behind points nowhere.
        let _ = unlink(&self.shared.link);
    }
}

fn open(link: &Path) -> Result<Port, LabError> {
    unlink(link)?;
    let (master, name) = open_master().map_err(LabError::io("opening", "a pseudo-terminal"))?;
    let slave = open_slave(&name).map_err(LabError::io("opening", name.display()))?;
    #[expect(
        deprecated,
        reason = "its successor is an unsafe fn; a File's descriptor is the one it owns, so this is sound"
    )]
    let master = AsyncFd::new(master).map_err(LabError::io("watching", "a pseudo-terminal"))?;
    std::os::unix::fs::symlink(&name, link).map_err(LabError::io("linking", link.display()))?;
    Ok(Port { master, _slave: slave })
}

fn unlink(link: &Path) -> Result<(), LabError> {
    match std::fs::remove_file(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LabError::io("removing", link.display())(error)),
        _ => Ok(()),
    }
}

async fn carry(shared: Arc<Shared>) {
    let mut saved = None;
    loop {
        let (port, due) = {
            let mut inner = shared.lock();
            let now = shared.now();
            turn(&mut inner, now);
            save(&shared, &inner, &mut saved);
            let wait = inner.ncp.due().map_or(IDLE, |due| due.saturating_sub(now));
            let full = !inner.unread.is_empty();
            (inner.port.clone().map(|port| (port, full)), wait)
        };
        shared.moved.notify_waiters();
        let sleep = tokio::time::sleep(due);
        match port {
            None => tokio::select! {
                () = sleep => {}
                () = shared.wake.notified() => {}
            },
            Some((port, full)) => tokio::select! {
                () = sleep => {}
                () = shared.wake.notified() => {}
                () = hear(&shared, &port) => {}
                () = speak(&shared, &port), if full => {}
            },
        }
    }
}

/// What is due, and what of it the line takes at once.
fn turn(inner: &mut Inner, now: Duration) {
    inner.ncp.tick(now);
    while let Some(chunk) = inner.ncp.say(now) {
        let port = inner.port.as_ref();
        let written = match port {
            Some(port) if inner.unread.is_empty() => port.master.get_ref().write(&chunk).unwrap_or(0),
            Some(_) => 0,
            None => chunk.len(),
        };
        if inner.unread.len() + chunk.len() - written <= UNREAD_MOST {
            inner.unread.extend_from_slice(&chunk[written..]);
        }
    }
}

async fn hear(shared: &Shared, port: &Port) {
    let Ok(mut ready) = port.master.readable().await else { return };
    let mut bytes = vec![0; READ_BYTES];
    if let Ok(Ok(count)) = ready.try_io(|master| master.get_ref().read(&mut bytes)) {
        let now = shared.now();
        shared.lock().ncp.hear(now, &bytes[..count]);
    }
}

async fn speak(shared: &Shared, port: &Port) {
    let Ok(mut ready) = port.master.writable().await else { return };
    let mut inner = shared.lock();
    if let Ok(Ok(count)) = ready.try_io(|master| master.get_ref().write(&inner.unread)) {
        inner.unread.drain(..count);
    }
}

/// Writes the memory to its file when it has changed.
fn save(shared: &Shared, inner: &Inner, saved: &mut Option<Memory>) {
    let Some(path) = &shared.state else { return };
    let memory = inner.ncp.memory();
    if saved.as_ref() == Some(memory) {
        return;
    }
    // A stick whose flash fails goes on without it; the test that reads the file back will see.
    if let Ok(text) = serde_json::to_vec_pretty(memory) {
        let fresh = path.with_extension("new");
        let _ = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, path));
        *saved = Some(memory.clone());
    }
}
