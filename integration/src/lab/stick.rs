//! A USB stick on a pseudo-terminal, behind a path that stays the same when it is pulled out and put back.
//!
//! It carries bytes and nothing else; what a stick says is the test's business.

use super::LabError;
use rustix::fs::OFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::OptionalActions;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// How long the other side may leave the line full before a write gives up: about 4 KiB are taken unread.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// The most read in one go.
const READ_BYTES: usize = 4096;

/// The stick.
#[derive(Debug)]
pub struct Stick {
    path: PathBuf,
    plugged: Option<Plugged>,
}

#[derive(Debug)]
struct Plugged {
    master: AsyncFd<File>,
    /// Held so that the line keeps its raw mode, and bytes their place, while the hub has it closed.
    slave: File,
}

impl Stick {
    /// Makes the stick and plugs it in at `path`.
    ///
    /// # Errors
    /// There is no pseudo-terminal, or the path cannot be made.
    pub fn plug(path: &Path) -> Result<Self, LabError> {
        let mut stick = Self { path: path.to_owned(), plugged: None };
        stick.replug()?;
        Ok(stick)
    }

    /// The path the hub opens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Plugs it in again (pulling it out first): another pseudo-terminal behind the same path.
    ///
    /// # Errors
    /// There is no pseudo-terminal, or the path cannot be made.
    pub fn replug(&mut self) -> Result<(), LabError> {
        self.unplug()?;
        let (master, name) = open_master().map_err(LabError::io("opening", "a pseudo-terminal"))?;
        let slave = open_slave(&name).map_err(LabError::io("opening", name.display()))?;
        #[expect(
            deprecated,
            reason = "its successor is an unsafe fn; a File's descriptor is the one it owns, so this is sound"
        )]
        let master = AsyncFd::new(master).map_err(LabError::io("watching", "a pseudo-terminal"))?;
        std::os::unix::fs::symlink(&name, &self.path).map_err(LabError::io("linking", self.path.display()))?;
        self.plugged = Some(Plugged { master, slave });
        Ok(())
    }

    /// Pulls it out: the path is gone and whoever has it open gets a hang-up.
    ///
    /// # Errors
    /// The path cannot be removed.
    pub fn unplug(&mut self) -> Result<(), LabError> {
        self.plugged = None;
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LabError::io("removing", self.path.display())(error))
            }
            _ => Ok(()),
        }
    }

    /// Says a line; the newline is added.
    ///
    /// # Errors
    /// It is pulled out, or nobody reads.
    pub async fn line(&self, text: &str) -> Result<(), LabError> {
        self.bytes(format!("{text}\n").as_bytes()).await
    }

    /// Says bytes.
    ///
    /// # Errors
    /// It is pulled out, or nobody reads.
    pub async fn bytes(&self, mut bytes: &[u8]) -> Result<(), LabError> {
        let plugged = self.plugged()?;
        let write = async {
            while !bytes.is_empty() {
                let mut ready = plugged.master.writable().await?;
                match ready.try_io(|master| master.get_ref().write(bytes)) {
                    Ok(Ok(written)) => bytes = &bytes[written..],
                    Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(Err(error)) => return Err(error),
                    Err(_) => {}
                }
            }
            Ok(())
        };
        let on = self.path.display();
        match tokio::time::timeout(WRITE_WITHIN, write).await {
            Ok(done) => done.map_err(LabError::io("writing to", on)),
            Err(_) => Err(LabError::Late {
                what: format!("someone to read {on}"),
                within: WRITE_WITHIN,
                log: "the line is full".to_owned(),
            }),
        }
    }

    /// What the hub said to it, at least one byte.
    ///
    /// # Errors
    /// It is pulled out, or nothing was said in time.
    pub async fn heard(&self, within: Duration) -> Result<Vec<u8>, LabError> {
        let plugged = self.plugged()?;
        let read = async {
            loop {
                let mut ready = plugged.master.readable().await?;
                let mut bytes = vec![0; READ_BYTES];
                match ready.try_io(|master| master.get_ref().read(&mut bytes)) {
                    Ok(Ok(read)) => {
                        bytes.truncate(read);
                        return Ok(bytes);
                    }
                    Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(Err(error)) => return Err(error),
                    Err(_) => {}
                }
            }
        };
        let on = self.path.display();
        let late = |_| LabError::Late { what: format!("words on {on}"), within, log: String::new() };
        tokio::time::timeout(within, read).await.map_err(late)?.map_err(LabError::io("reading from", on))
    }

    /// The speed the hub has set on the line, baud.
    ///
    /// # Errors
    /// It is pulled out.
    pub fn baud(&self) -> Result<u32, LabError> {
        let settings = rustix::termios::tcgetattr(&self.plugged()?.slave).map_err(io::Error::from);
        Ok(settings.map_err(LabError::io("asking for the speed of", self.path.display()))?.input_speed())
    }

    fn plugged(&self) -> Result<&Plugged, LabError> {
        self.plugged.as_ref().ok_or_else(|| LabError::Misuse(format!("{} is pulled out", self.path.display())))
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        // The folder goes with the lab; a link that stays behind points nowhere.
        let _ = self.unplug();
    }
}

pub(crate) fn open_master() -> io::Result<(File, PathBuf)> {
    let master: OwnedFd = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::grantpt(&master)?;
    rustix::pty::unlockpt(&master)?;
    let name = rustix::pty::ptsname(&master, Vec::new())?;
    rustix::fs::fcntl_setfl(&master, rustix::fs::fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
    let name = name.into_string().map_err(io::Error::other)?;
    Ok((File::from(master), PathBuf::from(name)))
}

pub(crate) fn open_slave(name: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NOCTTY.bits()).map_err(io::Error::other)?;
    let slave = File::options().read(true).write(true).custom_flags(flags).open(name)?;
    let mut settings = rustix::termios::tcgetattr(&slave)?;
    settings.make_raw();
    rustix::termios::tcsetattr(&slave, OptionalActions::Now, &settings)?;
    Ok(slave)
}
