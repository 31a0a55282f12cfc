//! GStreamer, and the socket it is asked at. It belongs to the program `vakt-camera` alone (main.rs beside it), so that no
//! other process of the hub ever loads GStreamer.
//!
//! It never names a file, a device or an address, and holds no key: what a camera sends may take this process over.

use rustix::net::sockopt::socket_acceptconn;
use rustix::process::DumpableBehavior;
use rustix::process::set_dumpable_behavior;
use std::io::Error;
use std::io::Result;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::time::timeout;
use vaktd::camera::wire::Answer;
use vaktd::camera::wire::REQUEST_MAX;
use vaktd::camera::wire::Request;
use vaktd::camera::wire::request;

/// Who has not said a line, or not taken its answer, after so long loses the connection: others wait behind it.
const SLOW: Duration = Duration::from_secs(10);

/// No debugger of the same user and no core dump finds a picture in this process. Swap is the unit's to forbid.
///
/// # Errors
/// The kernel refuses.
pub fn hide() -> Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// The socket that systemd listens at, and has given as standard input.
///
/// # Errors
/// Standard input is something else.
pub fn given() -> Result<std::os::unix::net::UnixListener> {
    let given = std::io::stdin().as_fd().try_clone_to_owned()?;
    if !socket_acceptconn(&given)? {
        return Err(Error::other("it does not listen"));
    }
    let listener = std::os::unix::net::UnixListener::from(given);
    listener.local_addr()?; // of another family it would fail here, and not at the first connection
    Ok(listener)
}

/// Answers one connection after the other, until there has been none for `idle`.
///
/// # Errors
/// The socket is broken.
pub async fn serve(listener: std::os::unix::net::UnixListener, idle: Duration) -> Result<()> {
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    // The next one is systemd's, which starts this process again: none is lost between the two.
    while let Ok(accepted) = timeout(idle, listener.accept()).await {
        // Who breaks off harms himself alone.
        let _ = converse(accepted?.0).await;
    }
    Ok(())
}

async fn converse(stream: UnixStream) -> Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    let mut bounded = BufReader::new(read).take(REQUEST_MAX as u64 + 1);
    timeout(SLOW, bounded.read_until(b'\n', &mut line)).await??;
    let answer = match request(&line) {
        Ok(Request::Elements {}) => elements(),
        Err(refusal) => refusal,
    };
    timeout(SLOW, write.write_all(answer.line().as_bytes())).await?
}

/// Each element is made, not only looked up: its code is loaded here, under whatever this sandbox forbids.
fn elements() -> Answer {
    let begun = gstreamer::init().map_err(|error| error.to_string());
    // What was installed or removed since the last look counts.
    let begun = begun.and_then(|()| gstreamer::Registry::update().map_err(|error| error.to_string()));
    if let Err(error) = begun {
        return Answer::refused("gstreamer", format!("GStreamer does not start: {error}"));
    }
    let (major, minor, micro, _) = gstreamer::version();
    Answer::elements((major, minor, micro), |name| match gstreamer::ElementFactory::make(name).build() {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!("{name} cannot be made: {error}");
            false
        }
    })
}
