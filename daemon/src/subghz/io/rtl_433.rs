//! rtl_433 as a child: started, asked for its release, listened to, ended when it no longer says that it lives.
//!
//! It never goes through a shell, reads no configuration of its own, and never gets this process's environment. Nothing
//! that guards hangs on it: it may fall at any time, which is told. What its lines mean is its siblings' word.
//!
//! Facts about the program, by its source (`src/rtl_433.c`) and by running 22.11 and a build after 25.12: `-V` answers on
//! stderr; stdout is not buffered; statistics come from where samples are taken in, so none come while there are none; it
//! ends with 2 without a receiver, with 3 when samples stop, with 0 when a file is not there; pulled out, it may also hang.
//! It takes statistics' time from the wall clock: when that is set back it is silent and started anew, which mends it.

use super::Outlets;
use super::Stranger;
use super::Well;
use super::serial::pass_on;
use crate::subghz::known::Secret;
use crate::subghz::line::Fault;
use crate::subghz::line::Source;
use crate::subghz::receiver::NotHeard;
use crate::subghz::receiver::Receiver;
use crate::subghz::rtl_433::Lines;
use crate::subghz::rtl_433::MAX_LINE;
use crate::subghz::rtl_433::OLDEST;
use crate::subghz::rtl_433::Said;
use crate::subghz::rtl_433::Unread;
use crate::subghz::rtl_433::Version;
use crate::subghz::rtl_433::read;
use std::collections::VecDeque;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Child;
use tokio::process::ChildStderr;
use tokio::process::ChildStdout;
use tokio::process::Command;
use tokio::time::Instant;
use vakt_core::device::Report;
use vakt_core::input::BEST_EFFORT;
use vakt_core::input::Input;

/// How long it may take to say which release it is.
const ANSWER: Duration = Duration::from_secs(5);
/// Bytes of that answer that are read; one of more is none.
const ANSWER_MAX: u64 = 4096;
/// How often it gives statistics, in seconds.
const STATISTICS_S: u64 = 10;
/// Statistics before this are those of a program that ends: the first ones are due when it has taken samples for so long.
/// It counts whole seconds, so they may come one early.
const PROVEN: Duration = Duration::from_secs(STATISTICS_S - 1);
/// Without statistics for so long it is taken to be deaf, and started anew.
const DEAF: Duration = Duration::from_secs(45);
/// How long its end may take, once its output has ended or it was killed.
const END: Duration = Duration::from_secs(5);
/// Bytes taken from it in one go.
const CHUNK: usize = 4096;
/// Lines of its complaints that are kept for the error; older ones lose.
const LAST_WORDS: usize = 4;
/// Bytes of one of them; a longer one is not kept.
const COMPLAINT_MAX: usize = 200;

/// One rtl_433.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name, as a technician knows it; in events it is [`Settings::receiver`].
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Which receiver: `0` the first stick, `:00000001` one by its serial number, `rtl_tcp:HOST:PORT`.
    pub device: String,
    /// The middle of what it hears, in Hz.
    pub frequency_hz: u32,
    /// Samples per second; its own choice without one, 1,000,000 at 868 MHz.
    pub sample_rate_hz: Option<u32>,
    /// From where on it takes a signal for one, in dB below its full scale (a negative number); its own choice without one.
    pub level_db: Option<i8>,
}

impl Settings {
    /// Its name in events. It says that nothing waits for this receiver.
    pub fn receiver(&self) -> String {
        format!("{BEST_EFFORT}{}", self.name)
    }

    fn arguments(&self, version: Version) -> Vec<String> {
        let mut arguments: Vec<String> = ["-c", "0", "-F", "json", "-M", "time:off", "-M"].map(str::to_owned).into();
        arguments.push(format!("stats:1:{STATISTICS_S}"));
        // Since 23.11 it complains only where it is told to; before that the word is an error.
        if version >= Version::new(23, 11) {
            arguments.extend(["-F", "log"].map(str::to_owned));
        }
        arguments.extend(["-d".to_owned(), self.device.clone(), "-f".to_owned(), self.frequency_hz.to_string()]);
        if let Some(rate) = self.sample_rate_hz {
            arguments.extend(["-s".to_owned(), rate.to_string()]);
        }
        if let Some(level) = self.level_db {
            arguments.extend(["-Y".to_owned(), format!("level={level}")]);
        }
        arguments
    }
}

/// Runs it and listens until it ends or no longer says that it lives; says why. `well` is told when it is known to hear.
pub async fn listen(settings: &Settings, outlets: &Outlets, well: Well) -> String {
    let program = settings.program.display();
    let version = match version(&settings.program).await {
        Ok(version) => version,
        Err(error) => return format!("{program}: {error}"),
    };
    tracing::info!(receiver = settings.name, %version, "rtl_433 is started");
    let mut child = match start(&settings.program, &settings.arguments(version)) {
        Ok(child) => child,
        Err(error) => return format!("{program}: {error}"),
    };
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        return format!("{program}: it has no output");
    };
    let last_words = LastWords { lines: Lines::new(COMPLAINT_MAX), kept: VecDeque::new() };
    let receiver = Receiver::new(Source::RtlWmbus);
    let mut ear = Ear { settings, outlets, version, receiver, well: Some(well), begun: Instant::now(), last_words };
    let ended = ear.hear(&mut child, out, err).await;
    // It holds the stick as long as it is there.
    if !matches!(tokio::time::timeout(END, child.kill()).await, Ok(Ok(()))) {
        tracing::warn!(receiver = settings.name, "rtl_433 does not end");
    }
    format!("{program} {version}: {ended}{}", ear.last_words.told())
}

fn start(program: &Path, arguments: &[String]) -> Result<Child, String> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir("/").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|error| format!("it cannot be started: {error} (Debian's package is rtl-433)"))
}

/// Which release it is.
async fn version(program: &Path) -> Result<Version, String> {
    let mut child = start(program, &["-V".to_owned()])?;
    let mut said = Vec::new();
    if let Some(err) = child.stderr.take() {
        let read = tokio::time::timeout(ANSWER, err.take(ANSWER_MAX).read_to_end(&mut said)).await;
        let read = read.map_err(|_| format!("it did not say its version in {} s", ANSWER.as_secs()))?;
        read.map_err(|error| format!("it did not say its version: {error}"))?;
    }
    let first = String::from_utf8_lossy(&said);
    match Version::said(&first) {
        Some(version) if version >= OLDEST => Ok(version),
        Some(version) => Err(format!("it is version {version}: {OLDEST} or later is needed")),
        None => {
            let first: String = first.lines().next().unwrap_or_default().chars().take(COMPLAINT_MAX).collect();
            Err(format!("it says no version ({first:?}): {OLDEST} or later is needed"))
        }
    }
}

/// What it complained of last.
struct LastWords {
    lines: Lines,
    kept: VecDeque<String>,
}

impl LastWords {
    fn feed(&mut self, bytes: &[u8]) {
        for line in self.lines.feed(bytes).into_iter().flatten() {
            if self.kept.len() == LAST_WORDS {
                self.kept.pop_front();
            }
            let line = String::from_utf8_lossy(&line);
            self.kept.push_back(line.chars().filter(|c| !c.is_control()).collect());
        }
    }

    fn told(&self) -> String {
        let last: Vec<&str> = self.kept.iter().map(String::as_str).collect();
        if last.is_empty() { String::new() } else { format!(" ({})", last.join("; ")) }
    }
}

/// One run of it.
struct Ear<'a> {
    settings: &'a Settings,
    outlets: &'a Outlets,
    version: Version,
    receiver: Receiver,
    well: Option<Well>,
    begun: Instant,
    last_words: LastWords,
}

impl Ear<'_> {
    /// Until it ends; says how it did.
    async fn hear(&mut self, child: &mut Child, mut out: ChildStdout, mut err: ChildStderr) -> String {
        let (mut lines, mut deaf) = (Lines::new(MAX_LINE), Instant::now() + DEAF);
        let (mut said, mut complained, mut complains) = ([0u8; CHUNK], [0u8; CHUNK], true);
        loop {
            tokio::select! {
                count = out.read(&mut said) => match count {
                    Ok(0) => return self.ended(child, err).await,
                    Ok(count) => for line in lines.feed(&said[..count]) {
                        match self.line(line).await {
                            Some(true) => deaf = Instant::now() + DEAF,
                            Some(false) => {}
                            None => return "the hub has gone".to_owned(),
                        }
                    },
                    Err(error) => return format!("its output cannot be read: {error}"),
                },
                count = err.read(&mut complained), if complains => match count {
                    Ok(count) if count > 0 => self.last_words.feed(&complained[..count]),
                    _ => complains = false,
                },
                () = tokio::time::sleep_until(deaf) => {
                    let (deaf, due) = (DEAF.as_secs(), STATISTICS_S);
                    return format!("it lives and hears nothing: no statistics for {deaf} s, where they are due every {due} s");
                }
            }
        }
    }

    /// Its output has ended: its last words, and how it left.
    async fn ended(&mut self, child: &mut Child, mut err: ChildStderr) -> String {
        let last_words = &mut self.last_words;
        let left = tokio::time::timeout(END, async {
            let mut complained = [0u8; CHUNK];
            while let Ok(count) = err.read(&mut complained).await
                && count > 0
            {
                last_words.feed(&complained[..count]);
            }
            child.wait().await
        });
        match left.await {
            Ok(Ok(status)) => format!("it ended: {status}"),
            Ok(Err(error)) => format!("it ended: {error}"),
            Err(_) => "it closed its output and went on".to_owned(),
        }
    }

    /// Whether this line was a sign of life; `None` when nobody listens any more.
    async fn line(&mut self, line: Result<Vec<u8>, Fault>) -> Option<bool> {
        let said = line.map_err(|fault| Unread { device: None, why: NotHeard::Line(fault) });
        let said = said.and_then(|line| read(&line, self.version));
        let (sign, proven) = match &said {
            Ok(Said::Statistics) => (true, self.begun.elapsed() >= PROVEN),
            Ok(_) => (false, true), // it was heard
            Err(_) => (false, false),
        };
        if let Some(well) = self.well.take_if(|_| proven) {
            well.tell().await;
        }
        let listens = match said {
            Ok(Said::Report(report)) => self.report(report).await,
            Ok(Said::Telegram(caught)) => match self.receiver.take(caught) {
                Ok(heard) => pass_on(&mut self.receiver, &heard, self.outlets).await,
                Err(_) => true, // counted
            },
            Ok(Said::Statistics) => true,
            Ok(Said::Other) => {
                let counters = self.receiver.counters_mut();
                counters.other_model = counters.other_model.saturating_add(1);
                true
            }
            Err(unread) => self.unread(unread).await,
        };
        if let Ok(mut counters) = self.outlets.counters.lock() {
            counters.insert(self.settings.receiver(), *self.receiver.counters());
        }
        listens.then_some(sign)
    }

    async fn report(&mut self, report: Report) -> bool {
        let known = self.outlets.known.borrow().clone();
        let counters = self.receiver.counters_mut();
        counters.heard = counters.heard.saturating_add(1);
        let Some(entry) = known.get(&report.device) else {
            let stranger = Stranger { device: report.device, encrypted: false, rssi_dbm: None };
            let _ = self.outlets.strangers.try_send(stranger);
            return true;
        };
        if entry.secret != Secret::None {
            let device = report.device;
            tracing::warn!(%device, "a device that rtl_433 hears speaks in clear, and has a key here: add it again without");
            return self.tell(Input::Unreadable { device }).await;
        }
        counters.reported = counters.reported.saturating_add(1);
        self.tell(Input::Report(report)).await
    }

    async fn unread(&mut self, unread: Unread) -> bool {
        let counters = self.receiver.counters_mut();
        match &unread.why {
            NotHeard::Line(fault) => counters.fault(*fault),
            NotHeard::Frame(refused) => counters.refused(refused.kind),
        }
        let known = self.outlets.known.borrow().clone();
        match unread.device.filter(|device| known.contains_key(device)) {
            Some(device) => {
                tracing::warn!(%device, why = %unread.why, "a known device could not be read");
                self.tell(Input::Unreadable { device }).await
            }
            None => {
                tracing::debug!(receiver = self.settings.name, why = %unread.why, "a line of rtl_433 is not believed");
                true
            }
        }
    }

    async fn tell(&self, input: Input) -> bool {
        self.outlets.inputs.send(input).await.is_ok()
    }
}
