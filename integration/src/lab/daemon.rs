//! The unmodified `vaktd` as a child: its configuration, its life and death, and its control socket.
//!
//! It is driven from outside only: command line, signals, socket, files.

use super::LabError;
use super::READY_WITHIN;
use super::tail;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::process::Child;

/// The longest reply read from the control socket.
const REPLY_MAX_BYTES: u64 = 1024 * 1024;

/// `vaktd.toml`.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)] // the configuration's own words
pub struct Config {
    pub gateway: String,
    pub state_dir: PathBuf,
    pub run_dir: PathBuf,
    pub site: Site,
    pub centre: Centre,
    pub upstream: Upstream,
    pub subghz: Subghz,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modem: Option<Modem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zigbee: Option<Zigbee>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<Journal>,
}

/// `[site]`
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Site {
    pub timezone: String,
    pub profile: String,
}

/// `[centre]`
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Centre {
    pub key: Vec<CentreKey>,
}

/// `[[centre.key]]`
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct CentreKey {
    pub kid: String,
    pub role: String,
    pub ed25519: String,
}

/// `[upstream]`
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Upstream {
    pub alarm_deadline_s: u64,
    pub beat_primary_s: u64,
    pub beat_alternative_s: u64,
    pub path: Vec<UpstreamPath>,
}

/// `[[upstream.path]]`
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct UpstreamPath {
    pub name: String,
    pub brokers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_plain: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// `[upstream.path.tls]`
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Tls {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
    pub name: String,
}

/// `[subghz]`
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Subghz {
    pub port: Vec<SubghzPort>,
}

/// `[[subghz.port]]`
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct SubghzPort {
    pub name: String,
    pub path: PathBuf,
    pub receiver: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baud: Option<u32>,
}

/// `[modem]`
#[derive(Debug, Clone, Default, Serialize)]
#[allow(missing_docs)]
pub struct Modem {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monthly_mb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recover_after_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recover_pause_s: Option<u64>,
}

/// `[zigbee]`
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Zigbee {
    pub path: PathBuf,
}

/// `[clock]`
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Clock {
    pub trust: toml::Value,
}

/// `[journal]`
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Journal {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_limit_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u64>,
}

/// The hub.
#[derive(Debug)]
pub struct Daemon {
    config: Config,
    config_path: PathBuf,
    log: PathBuf,
    /// What it is started by, if not by this program.
    starter: Vec<String>,
    /// What gives it another wall clock than the machine's.
    clock: Vec<String>,
    /// The system bus it is shown; none unless a test makes one, so that no lab ever touches this machine's modem.
    bus: String,
    child: Option<Child>,
}

impl Daemon {
    /// Writes its configuration; starts nothing.
    ///
    /// # Errors
    /// A file or folder cannot be made.
    pub fn new(folder: &Path, config: &Config, starter: Vec<String>) -> Result<Self, LabError> {
        for dir in [&config.state_dir, &config.run_dir] {
            std::fs::create_dir_all(dir).map_err(LabError::io("making", dir.display()))?;
        }
        let (config_path, log) = (folder.join("vaktd.toml"), folder.join("vaktd.log"));
        let bus = format!("unix:path={}", folder.join("no-bus").display());
        let clock = Vec::new();
        let mut daemon = Self { config: config.clone(), config_path, log, starter, clock, bus, child: None };
        daemon.configure(|_| {})?;
        Ok(daemon)
    }

    /// Changes the configuration; it holds from the next start.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn configure(&mut self, change: impl FnOnce(&mut Config)) -> Result<(), LabError> {
        change(&mut self.config);
        let text = toml::to_string(&self.config).map_err(|e| LabError::Misuse(format!("writing vaktd.toml: {e}")))?;
        std::fs::write(&self.config_path, text).map_err(LabError::io("writing", self.config_path.display()))
    }

    /// From the next start on its wall clock says this (`2001-06-01 00:00:00`, UTC) and goes on from there; none: what the
    /// machine's says.
    ///
    /// # Errors
    /// The library that does it is not installed.
    pub fn clock_says(&mut self, time: Option<&str>) -> Result<(), LabError> {
        self.clock = Vec::new();
        let Some(time) = time else { return Ok(()) };
        let library = |folder: std::fs::DirEntry| folder.path().join("faketime/libfaketime.so.1");
        let folders = std::fs::read_dir("/usr/lib").map_err(LabError::io("reading", "/usr/lib"))?;
        let library = folders.flatten().map(library).find(|library| library.is_file());
        let missing =
            || LabError::Tool { tool: "libfaketime".to_owned(), install: "apt-get install libfaketime".to_owned() };
        let library = library.ok_or_else(missing)?;
        let preload = format!("LD_PRELOAD={}", library.display());
        let settings = ["TZ=UTC", "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1"].map(str::to_owned);
        self.clock = ["env".to_owned(), preload, format!("FAKETIME=@{time}")].into_iter().chain(settings).collect();
        Ok(())
    }

    /// Shows it this system bus from the next start on.
    pub fn on_bus(&mut self, address: String) {
        self.bus = address;
    }

    /// The configuration file.
    pub fn config_path(&self) -> &Path {
        &self.config_path
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.config.state_dir.join("journal.db")
    }

    /// Its log: stdout and stderr of every start, one after the other.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Starts it and waits until its control socket answers. Returns how long that took.
    ///
    /// # Errors
    /// There is no binary, it ended, or it did not answer in time.
    pub async fn start(&mut self) -> Result<Duration, LabError> {
        if self.child.is_some() {
            return Err(LabError::Misuse("vaktd runs already".to_owned()));
        }
        let program = binary()?;
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(LabError::io("opening", self.log.display()))?;
        let out = log.try_clone().map_err(LabError::io("opening", self.log.display()))?;
        let mut command = super::command(&[&self.starter[..], &self.clock].concat(), &program);
        command.arg("run").arg("--config").arg(&self.config_path).stdin(Stdio::null()).stdout(out).stderr(log);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", &self.bus);
        let started = Instant::now();
        let child = command.kill_on_drop(true).spawn().map_err(LabError::io("starting", program.display()))?;
        self.child = Some(child);
        let ready = tokio::time::timeout(READY_WITHIN, self.answering()).await;
        ready.unwrap_or_else(|_| {
            let what = "vaktd's control socket to answer".to_owned();
            Err(LabError::Late { what, within: READY_WITHIN, log: tail(&self.log) })
        })?;
        Ok(started.elapsed())
    }

    /// kill -9, and waits until it is gone.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error means that it was gone already.
            let _ = child.kill().await;
        }
    }

    /// SIGTERM, and waits for its own end.
    ///
    /// # Errors
    /// It does not run, or did not end in time (it is killed then).
    pub async fn stop(&mut self, within: Duration) -> Result<ExitStatus, LabError> {
        self.signal(Signal::TERM)?;
        let Some(mut child) = self.child.take() else {
            return Err(LabError::Misuse("vaktd does not run".to_owned()));
        };
        match tokio::time::timeout(within, child.wait()).await {
            Ok(status) => status.map_err(LabError::io("waiting for", "vaktd")),
            Err(_) => Err(LabError::Late { what: "vaktd to stop".to_owned(), within, log: tail(&self.log) }),
        }
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// It does not run, or did not end in time.
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus, LabError> {
        let child = self.child.as_mut().ok_or_else(|| LabError::Misuse("vaktd does not run".to_owned()))?;
        let status = tokio::time::timeout(within, child.wait()).await;
        let late = |_| LabError::Late { what: "vaktd to end".to_owned(), within, log: tail(&self.log) };
        let status = status.map_err(late)?.map_err(LabError::io("waiting for", "vaktd"))?;
        self.child = None;
        Ok(status)
    }

    /// Freezes it (SIGSTOP).
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze(&self) -> Result<(), LabError> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// It does not run.
    pub fn thaw(&self) -> Result<(), LabError> {
        self.signal(Signal::CONT)
    }

    /// Resident memory, KiB.
    ///
    /// # Errors
    /// It does not run.
    pub fn rss_kib(&self) -> Result<u64, LabError> {
        self.status_kib("VmRSS:")
    }

    /// The part of it that is the daemon's own and no file's: what grows when something is kept that should not be.
    ///
    /// # Errors
    /// It does not run.
    pub fn own_kib(&self) -> Result<u64, LabError> {
        self.status_kib("RssAnon:")
    }

    fn status_kib(&self, field: &str) -> Result<u64, LabError> {
        let pid = self.pid().ok_or_else(|| LabError::Misuse("vaktd does not run".to_owned()))?;
        let path = format!("/proc/{pid}/status");
        let text = std::fs::read_to_string(&path).map_err(LabError::io("reading", &path))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kib.ok_or_else(|| LabError::Misuse(format!("{path} has no {field}")))
    }

    /// Sends one command to the control socket and reads its reply.
    ///
    /// # Errors
    /// Nobody listens, or the reply is not one JSON line.
    pub async fn command(&self, command: &Value) -> Result<Value, LabError> {
        control(&self.control_socket(), command).await
    }

    /// Where it listens.
    pub fn control_socket(&self) -> PathBuf {
        self.config.run_dir.join("control.sock")
    }

    fn signal(&self, signal: Signal) -> Result<(), LabError> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.ok_or_else(|| LabError::Misuse("vaktd does not run, so it gets no signal".to_owned()))?;
        kill_process(pid, signal).map_err(io::Error::from).map_err(LabError::io("sending a signal to", "vaktd"))
    }

    /// Waits until a ping is answered, or the child has ended. Nothing tells when a socket begins to listen, so it
    /// is asked again every 2 ms.
    async fn answering(&mut self) -> Result<(), LabError> {
        let mut again = tokio::time::interval(Duration::from_millis(2));
        while self.command(&json!({"command": "ping"})).await.is_err() {
            let Some(child) = &mut self.child else { break };
            if let Some(status) = child.try_wait().map_err(LabError::io("asking after", "vaktd"))? {
                self.child = None;
                let (what, status) = ("vaktd".to_owned(), status.to_string());
                return Err(LabError::Ended { what, status, log: tail(&self.log) });
            }
            again.tick().await;
        }
        Ok(())
    }
}

/// Sends one JSON line to a control socket and reads one back.
///
/// # Errors
/// Nobody listens, or the reply is not one JSON line.
pub async fn control(socket: &Path, command: &Value) -> Result<Value, LabError> {
    let failed = |doing| LabError::io(doing, socket.display());
    let mut stream = UnixStream::connect(socket).await.map_err(failed("connecting to"))?;
    stream.write_all(format!("{command}\n").as_bytes()).await.map_err(failed("writing to"))?;
    let mut reply = String::new();
    let mut lines = BufReader::new(stream.take(REPLY_MAX_BYTES));
    lines.read_line(&mut reply).await.map_err(failed("reading from"))?;
    let wrong =
        |e: serde_json::Error| LabError::Misuse(format!("{} replied `{}`: {e}", socket.display(), reply.trim()));
    serde_json::from_str(&reply).map_err(wrong)
}

/// The daemon's binary: `VAKTD_BIN`, else the `vaktd` that was built beside the running test or program.
///
/// # Errors
/// There is none.
pub fn binary() -> Result<PathBuf, LabError> {
    if let Some(named) = std::env::var_os("VAKTD_BIN") {
        return Ok(PathBuf::from(named));
    }
    let exe = std::env::current_exe().map_err(LabError::io("finding", "the running program"))?;
    // A test lies in target/release/deps, a program in target/release.
    let found = exe.ancestors().skip(1).take(2).map(|folder| folder.join("vaktd")).find(|vaktd| vaktd.is_file());
    let install = "cargo build --release -p vaktd, or VAKTD_BIN=path".to_owned();
    found.ok_or_else(|| LabError::Tool { tool: format!("vaktd (beside {})", exe.display()), install })
}
