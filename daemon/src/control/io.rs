//! The local socket: takes lines, hands requests to the hub, writes its answers. Mode 0660, group of the directory.
//!
//! It decides nothing, and tells who is root, by the kernel's word. A client that sends rubbish, nothing, or too much loses its
//! own connection and nobody else's.

use crate::control::wire::LINE_MAX;
use crate::control::wire::Request;
use crate::control::wire::parse;
use crate::control::wire::refusal;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;

/// Clients at once. A further one waits until one goes; an alarm does not come this way.
const CLIENTS_MAX: usize = 16;
/// Requests waiting for the hub. A client waits there.
pub const REQUESTS_MAX: usize = 16;
/// Answers waiting for a client that does not read. The hub drops the rest of a listing to it.
const ANSWERS_MAX: usize = 64;
/// A client that has said nothing for so long is let go.
const IDLE: Duration = Duration::from_secs(300);

/// A request of somebody.
pub struct Asked {
    /// What is asked.
    pub request: Request,
    /// Whether root asks, by the kernel's word.
    pub root: bool,
    /// Where the answers go: each a line; the end of the channel ends the answer.
    pub answers: mpsc::Sender<String>,
}

/// Makes the socket.
///
/// # Errors
/// The directory is not there or not ours.
pub fn listen(path: &Path) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Serves clients for ever.
pub async fn run(listener: UnixListener, hub: mpsc::Sender<Asked>) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let hub = hub.clone();
                tokio::spawn(async move {
                    // A client that breaks off is no fault of ours.
                    let _ = serve(stream, &hub).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a client of the control socket could not be taken in");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: UnixStream, hub: &mpsc::Sender<Asked>) -> std::io::Result<()> {
    let asker = stream.peer_cred()?.uid();
    // Its own user holds its secrets anyway, also where nobody has installed a package.
    let root = asker == 0 || asker == rustix::process::geteuid().as_raw();
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut read).take(LINE_MAX as u64 + 1);
        match tokio::time::timeout(IDLE, bounded.read_until(b'\n', &mut line)).await {
            Ok(Ok(0)) | Err(_) => return Ok(()),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
        }
        if line.len() > LINE_MAX {
            let answer = refusal("too_long", &format!("a request has at most {LINE_MAX} bytes"));
            return write.write_all(format!("{answer}\n").as_bytes()).await;
        }
        match parse(&line) {
            Err(answer) => write.write_all(format!("{answer}\n").as_bytes()).await?,
            Ok(request) => {
                let (answers, mut inbox) = mpsc::channel(ANSWERS_MAX);
                if hub.send(Asked { request, root, answers }).await.is_err() {
                    let answer = refusal("stopping", "the daemon is going down");
                    return write.write_all(format!("{answer}\n").as_bytes()).await;
                }
                while let Some(answer) = inbox.recv().await {
                    write.write_all(format!("{answer}\n").as_bytes()).await?;
                }
            }
        }
    }
}

/// Why the daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no daemon answers at {}: {source} (is vaktd running, and are you root or in group vakt?)", path.display())]
    NoDaemon {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It broke off.
    #[error("the daemon broke off: {0}")]
    BrokenOff(std::io::Error),
}

/// A connection to the daemon, for the command line.
pub struct Client {
    read: std::io::BufReader<std::os::unix::net::UnixStream>,
    write: std::os::unix::net::UnixStream,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens, or may not be asked.
    pub fn connect(path: &Path) -> Result<Self, AskError> {
        let broken = |source| AskError::NoDaemon { path: path.to_owned(), source };
        let write = std::os::unix::net::UnixStream::connect(path).map_err(broken)?;
        let read = std::io::BufReader::new(write.try_clone().map_err(broken)?);
        Ok(Self { read, write })
    }

    /// Sends one request.
    ///
    /// # Errors
    /// The daemon has gone.
    pub fn send(&mut self, request: &serde_json::Value) -> Result<(), AskError> {
        use std::io::Write;
        self.write.write_all(format!("{request}\n").as_bytes()).map_err(AskError::BrokenOff)
    }

    /// Says that nothing more will be asked, so that the daemon ends when it has answered.
    pub fn close_request(&self) {
        let _ = self.write.shutdown(std::net::Shutdown::Write);
    }

    /// Reads one answer; `None` at the end.
    ///
    /// # Errors
    /// The daemon has gone.
    pub fn answer(&mut self) -> Result<Option<String>, AskError> {
        use std::io::BufRead;
        let mut line = String::new();
        let read = self.read.read_line(&mut line).map_err(AskError::BrokenOff)?;
        Ok((read > 0).then(|| line.trim_end().to_owned()))
    }
}
