//! A real name server (dnsmasq) in a router of the lab's networks. It knows the broker's name and nothing else, and asks
//! nobody.

use super::BROKER_NAME;
use super::LabError;
use super::net::Net;
use super::net::run;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use rustix::process::test_kill_process;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// How long it is waited for, and how often it is looked at meanwhile.
const GONE_LOOKS: u32 = 200;
const GONE_LOOK: Duration = Duration::from_millis(5);

/// The name server of one path. It ends when it is dropped.
#[derive(Debug)]
pub struct NameServer {
    pid: Pid,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // It may be gone already. Whoever takes its place needs its port.
        let _ = kill_process(self.pid, Signal::KILL);
        for _ in 0..GONE_LOOKS {
            if test_kill_process(self.pid).is_err() {
                return;
            }
            std::thread::sleep(GONE_LOOK);
        }
    }
}

impl NameServer {
    /// Starts it in the path's router, and returns when it answers: that the broker is at `address`.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start(folder: &Path, net: &Net, path: &str, address: IpAddr) -> Result<Self, LabError> {
        let file = folder.join(format!("dnsmasq-{path}.pid"));
        let (starter, router) = net.at_the_router(path)?;
        let own = ["dnsmasq", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces", "--user=root"];
        let further = [
            format!("--pid-file={}", file.display()),
            format!("--listen-address={router}"),
            format!("--host-record={BROKER_NAME},{address}"),
        ];
        let words = starter.iter().map(String::as_str).chain(own).chain(further.iter().map(String::as_str));
        let words: Vec<&str> = words.collect();
        // It goes into the background when it listens.
        run(words[0], &words[1..])?;
        let text = std::fs::read_to_string(&file).map_err(LabError::io("reading", file.display()))?;
        let pid = text.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| LabError::Misuse(format!("{} holds no process: {text}", file.display())))?;
        Ok(Self { pid })
    }

    /// It says nothing any more, and refuses nothing either.
    ///
    /// # Errors
    /// It has ended.
    pub fn silence(&self) -> Result<(), LabError> {
        self.signal(Signal::STOP)
    }

    /// It answers again.
    ///
    /// # Errors
    /// It has ended.
    pub fn speak(&self) -> Result<(), LabError> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), LabError> {
        kill_process(self.pid, signal).map_err(|e| LabError::io("signalling", "dnsmasq")(e.into()))
    }
}
