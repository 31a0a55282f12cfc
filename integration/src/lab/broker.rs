//! A real mosquitto as a child: a TLS listener for hubs (client certificate required, its CN is the user, and a user
//! may touch its own topics only), and a plain loopback listener for the centre and for taps.
//!
//! Nothing in it is patched or replaced; what it does wrong when it is killed or frozen is mosquitto's own doing.

use super::LabError;
use super::READY_WITHIN;
use super::certs::Certs;
use super::certs::Identity;
use super::free_port;
use super::net::Net;
use super::tail;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::Child;

/// Ports are chosen before mosquitto binds them, so someone may be faster; after this many times it is no accident.
const PORT_TRIES: usize = 5;

/// What an operator is given as an example is what the lab's hubs live by.
const ACL: &str = include_str!("../../../config/mosquitto.acl");

/// How the broker is set up.
#[derive(Debug, Clone)]
pub struct BrokerOptions {
    /// Keeps sessions and retained messages on disk, written at each change.
    pub persistence: bool,
    /// Listens for hubs on this port too, with a certificate of its own.
    pub other_port: Option<u16>,
    /// Further lines for its configuration.
    pub extra: String,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        // 0: no limit. The default of 1000 would lose what a burst sends while the centre flushes its disk.
        Self { persistence: false, other_port: None, extra: "max_queued_messages 0\n".to_owned() }
    }
}

/// The broker.
#[derive(Debug)]
pub struct Broker {
    folder: PathBuf,
    tls: SocketAddr,
    plain: SocketAddr,
    /// What it is started by, if not by this program.
    starter: Vec<String>,
    child: Option<Child>,
}

impl Broker {
    /// Starts it on two free ports and waits until it listens.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub async fn start(
        folder: &Path,
        certs: &Certs,
        options: BrokerOptions,
        net: Option<&Net>,
    ) -> Result<Self, LabError> {
        let at = net.map(|net| (net.broker(), net.broker_from_here()));
        Self::start_at(folder, certs, options, net, at).await
    }

    /// Starts a second one likewise, beside the first.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub async fn start_other(
        folder: &Path,
        certs: &Certs,
        options: BrokerOptions,
        net: Option<&Net>,
    ) -> Result<Self, LabError> {
        let at = net.map(|net| (net.other_broker(), net.other_broker_from_here()));
        Self::start_at(folder, certs, options, net, at).await
    }

    async fn start_at(
        folder: &Path,
        certs: &Certs,
        options: BrokerOptions,
        net: Option<&Net>,
        at: Option<(SocketAddr, SocketAddr)>,
    ) -> Result<Self, LabError> {
        std::fs::create_dir_all(folder).map_err(LabError::io("making", folder.display()))?;
        let mut tries = 0;
        loop {
            tries += 1;
            let port = || free_port().map_err(LabError::io("finding a free port for", "mosquitto"));
            let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let (tls, plain) = match at {
                Some(at) => at,
                None => (address(port()?), address(port()?)),
            };
            let starter = net.map(Net::at_the_broker).unwrap_or_default();
            let mut broker = Self { folder: folder.to_owned(), tls, plain, starter, child: None };
            broker.write_config(certs, &options)?;
            match broker.restart().await {
                Ok(()) => return Ok(broker),
                Err(LabError::Ended { log, .. }) if log.contains("Address already in use") && tries < PORT_TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where hubs connect: TLS, client certificate required.
    pub fn tls_address(&self) -> SocketAddr {
        self.tls
    }

    /// Where the centre and taps connect: plain, nobody is asked who they are.
    pub fn plain_address(&self) -> SocketAddr {
        self.plain
    }

    /// Its log file.
    pub fn log(&self) -> PathBuf {
        self.folder.join("mosquitto.log")
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Kills it if it runs, starts it on the same ports, and waits until it listens.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart(&mut self) -> Result<(), LabError> {
        self.kill().await;
        let child = self.spawn()?;
        self.child = Some(child);
        let ready = tokio::time::timeout(READY_WITHIN, self.listening()).await;
        ready.unwrap_or_else(|_| {
            Err(LabError::Late { what: "mosquitto".to_owned(), within: READY_WITHIN, log: tail(&self.log()) })
        })
    }

    /// kill -9, and waits until it is gone.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error means that it was gone already.
            let _ = child.kill().await;
        }
    }

    /// Freezes it (SIGSTOP): its sockets stay open and nothing is answered.
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze(&self) -> Result<(), LabError> {
        self.signal(Signal::STOP)
    }

    /// Has it read its certificates anew (SIGHUP).
    ///
    /// # Errors
    /// It does not run.
    pub fn reload(&self) -> Result<(), LabError> {
        self.signal(Signal::HUP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// It does not run.
    pub fn thaw(&self) -> Result<(), LabError> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), LabError> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.ok_or_else(|| LabError::Misuse("mosquitto does not run, so it gets no signal".to_owned()))?;
        kill_process(pid, signal).map_err(io::Error::from).map_err(LabError::io("sending a signal to", "mosquitto"))
    }

    /// Waits until both listeners take a connection. mosquitto opens them one after the other and says nothing on a
    /// channel one could wait on, so it is asked again every 5 ms.
    async fn listening(&mut self) -> Result<(), LabError> {
        let log = self.log();
        let Some(child) = &mut self.child else { return Ok(()) };
        let mut again = tokio::time::interval(std::time::Duration::from_millis(5));
        // From here the first cannot be reached when there are networks between; it listens before the second.
        let asked = if self.starter.is_empty() { vec![self.tls, self.plain] } else { vec![self.plain] };
        for address in asked {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                if let Some(status) = child.try_wait().map_err(LabError::io("asking after", "mosquitto"))? {
                    let (what, status) = ("mosquitto".to_owned(), status.to_string());
                    return Err(LabError::Ended { what, status, log: tail(&log) });
                }
                again.tick().await;
            }
        }
        Ok(())
    }

    fn spawn(&self) -> Result<Child, LabError> {
        let config = self.folder.join("mosquitto.conf");
        let log = std::fs::File::create(self.log()).map_err(LabError::io("making", self.log().display()))?;
        // Debian keeps it in /usr/sbin, which is not on every user's PATH.
        for program in ["mosquitto", "/usr/sbin/mosquitto"] {
            let log = log.try_clone().map_err(LabError::io("opening", self.log().display()))?;
            let mut command = super::command(&self.starter, Path::new(program));
            command.arg("-c").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
            match command.spawn() {
                Ok(child) => return Ok(child),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(LabError::io("starting", program)(error)),
            }
        }
        let install = "apt-get install mosquitto".to_owned();
        Err(LabError::Tool { tool: "mosquitto".to_owned(), install })
    }

    fn write_config(&self, certs: &Certs, options: &BrokerOptions) -> Result<(), LabError> {
        let acl = self.folder.join("hubs.acl");
        let store =
            if options.persistence { "persistence true\nautosave_on_changes true\nautosave_interval 1\n" } else { "" };
        let for_hubs = |port: u16, identity: &Identity| {
            format!(
                "listener {port} {host}\ncafile {ca}\ncertfile {cert}\nkeyfile {key}\n\
                 require_certificate true\nuse_identity_as_username true\nallow_anonymous false\nacl_file {acl}\n\n",
                host = self.tls.ip(),
                ca = certs.ca().display(),
                cert = identity.cert.display(),
                key = identity.key.display(),
                acl = acl.display(),
            )
        };
        let config = format!(
            "per_listener_settings true\nuser root\nlog_dest stderr\nlog_type all\nset_tcp_nodelay true\n\
             {store}persistence_location {folder}/\n{extra}\n{other}{tls}\
             listener {plain_port} {plain_host}\nallow_anonymous true\n",
            folder = self.folder.display(),
            extra = options.extra,
            other = options.other_port.map(|port| for_hubs(port, &certs.other_broker())).unwrap_or_default(),
            tls = for_hubs(self.tls.port(), &certs.broker()),
            plain_port = self.plain.port(),
            plain_host = self.plain.ip(),
        );
        std::fs::write(&acl, ACL).map_err(LabError::io("writing", acl.display()))?;
        let path = self.folder.join("mosquitto.conf");
        std::fs::write(&path, config).map_err(LabError::io("writing", path.display()))
    }
}
