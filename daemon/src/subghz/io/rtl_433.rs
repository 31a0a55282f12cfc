//! rtl_433 as a child: started, asked for its release, listened to, ended when it no longer says that it lives.
//!
//! It never goes through a shell, reads no configuration of its own, and never gets this process's environment. Nothing
//! that guards hangs on it: it may fall at any time, which is told. What its lines mean is its siblings' word.
//!
//! Facts about the program, by its source (`src/rtl_433.c`) and by running 22.11 and a build after 25.12: `-V` answers on
//! stderr; stdout is not buffered; statistics come from where samples are taken in, so none come while there are none; it
//! ends with 2 without a receiver, with 3 when samples stop, with 0 when a file is not there; pulled out, it may also hang.
//! It takes statistics' time from the wall clock: when that is set back it is silent and started anew, which mends it.

use super::Counted;
use super::Outlets;
use super::Stranger;
use super::Well;
use super::serial::pass_on;
use crate::subghz::known::Secret;
use crate::subghz::line::Fault;
use crate::subghz::line::Source;
use crate::subghz::receiver::Heard;
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
use vakt_core::device::DeviceId;
use vakt_core::device::Report;
use vakt_core::input::BEST_EFFORT;
use vakt_core::input::Input;

/// Where Debian's package has it.
pub const PROGRAM: &str = "/usr/bin/rtl_433";
/// How long it is waited for.
const PATIENCE: Patience = Patience { answer: Duration::from_secs(5), deaf: Duration::from_secs(45) };
/// Bytes of that answer that are read; one of more is none.
const ANSWER_MAX: u64 = 4096;
/// How often it gives statistics, in seconds.
const STATISTICS_S: u64 = 10;
/// Statistics before this are those of a program that ends: the first ones are due when it has taken samples for so long.
/// It counts whole seconds, so they may come one early.
const PROVEN: Duration = Duration::from_secs(STATISTICS_S - 1);
/// How long its end may take, once its output has ended or it was killed.
const END: Duration = Duration::from_secs(5);
/// Bytes taken from it in one go.
const CHUNK: usize = 4096;
/// Lines of its complaints that are kept for the error; older ones lose.
const LAST_WORDS: usize = 4;
/// Bytes of one of them; a longer one is not kept.
const COMPLAINT_MAX: usize = 200;

/// How long somebody waits for it.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Until it says which release it is.
    answer: Duration,
    /// From statistics to statistics; after that it is taken to be deaf, and started anew.
    deaf: Duration,
}

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
    run(settings, outlets, well, PATIENCE).await
}

async fn run(settings: &Settings, outlets: &Outlets, well: Well, patience: Patience) -> String {
    let program = settings.program.display();
    let version = match version(&settings.program, patience.answer).await {
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
    let ended = ear.hear(&mut child, (out, err), patience.deaf).await;
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
async fn version(program: &Path, answer: Duration) -> Result<Version, String> {
    let mut child = start(program, &["-V".to_owned()])?;
    let mut said = Vec::new();
    if let Some(err) = child.stderr.take() {
        let read = tokio::time::timeout(answer, err.take(ANSWER_MAX).read_to_end(&mut said)).await;
        let read = read.map_err(|_| format!("it did not say its version in {answer:?}"))?;
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
    async fn hear(&mut self, child: &mut Child, output: (ChildStdout, ChildStderr), patience: Duration) -> String {
        let (mut out, mut err) = output;
        let (mut lines, mut deaf) = (Lines::new(MAX_LINE), Instant::now() + patience);
        let (mut said, mut complained, mut complains) = ([0u8; CHUNK], [0u8; CHUNK], true);
        loop {
            tokio::select! {
                count = out.read(&mut said) => match count {
                    Ok(0) => return self.ended(child, err).await,
                    Ok(count) => for line in lines.feed(&said[..count]) {
                        match self.line(line).await {
                            Some(true) => deaf = Instant::now() + patience,
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
                    let due = STATISTICS_S;
                    return format!("it lives and hears nothing: no statistics for {patience:?}, where they are due every {due} s");
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
                Ok(heard) => self.telegram(heard).await,
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
        let telegrams = Some(*self.receiver.counters());
        self.outlets.count(&self.settings.receiver(), Counted { telegrams, ..Counted::default() });
        listens.then_some(sign)
    }

    /// A telegram of wireless M-Bus, of a device that is called `rf-wm-…` here: it is heard as well as it can be, and what a
    /// receiver of its own hears is not.
    async fn telegram(&mut self, heard: Heard) -> bool {
        match DeviceId::new(format!("rf-{}", heard.device)) {
            Ok(device) => pass_on(&mut self.receiver, &Heard { device, ..heard }, self.outlets).await,
            Err(_) => true, // longer than an id: no address is
        }
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
            tracing::warn!(%device, "a device that rtl_433 hears speaks in clear, and has a key here: remove it and add it without");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subghz::known::Device;
    use crate::subghz::known::Known;
    use std::io::Write;
    use std::sync::Arc;
    use tokio::sync::mpsc;
    use tokio::sync::watch;
    use vakt_core::device::DeviceState;

    const DOOR: &str = "rf-cavius-door-dc3ce3126533";
    const OPEN: &str =
        r#"{"model" : "Cavius-Door", "id" : "dc3ce3126533", "state" : "open", "counter" : 255, "mic" : "CRC"}"#;
    const STATISTICS: &str = r#"{"enabled" : 191, "since" : "2026-11-22T10:32:36", "frames" : {"count" : 0, "fsk" : 0, "events" : 0}, "stats" : []}"#;
    /// Nothing here takes so long, unless it hangs.
    const HANGS: Duration = Duration::from_secs(60);

    /// A program in its place, that says the same in the same places.
    struct StandIn {
        settings: Settings,
        folder: tempfile::TempDir,
    }

    /// `run`: what it does when it is not asked for its version.
    fn stand_in(version: &str, run: &str) -> StandIn {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("rtl_433");
        let script = format!(
            "#!/bin/sh\nPATH=/usr/bin:/bin\necho 'rtl_433 version {version} inputs file rtl_tcp' >&2\n\
             [ \"$1\" = -V ] && exit 0\necho \"$*\" >{folder}/arguments\n{run}\n",
            folder = folder.path().display()
        );
        write_program(&program, &script);
        let settings = Settings {
            name: "attic".to_owned(),
            program,
            device: "rtl_tcp:localhost:1234".to_owned(),
            frequency_hz: 868_700_000,
            sample_rate_hz: None,
            level_db: None,
        };
        StandIn { settings, folder }
    }

    /// By another process: a file that this one has open for writing while a neighbour's test forks cannot be started.
    fn write_program(program: &Path, script: &str) {
        let mut install = std::process::Command::new("install");
        let install = install.args(["-m", "755", "/dev/stdin"]).arg(program).stdin(Stdio::piped());
        let mut install = install.spawn().unwrap();
        install.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(install.wait().unwrap().success());
    }

    /// The hub's side.
    struct Hub {
        outlets: Outlets,
        inputs: mpsc::Receiver<Input>,
        strangers: mpsc::Receiver<Stranger>,
        _known: watch::Sender<Arc<Known>>,
    }

    fn hub(knows: &[(&str, Secret)]) -> Hub {
        let of = |(id, secret): &(&str, Secret)| {
            (DeviceId::new(*id).unwrap(), Device { secret: secret.clone(), eep: None, counter: None, key: None })
        };
        let (known_in, known) = watch::channel(Arc::new(knows.iter().map(of).collect()));
        let ((inputs_in, inputs), (strangers_in, strangers)) = (mpsc::channel(64), mpsc::channel(64));
        let (newest, counted) = (Arc::default(), Arc::default());
        let outlets = Outlets { inputs: inputs_in, strangers: strangers_in, known, newest, counted };
        Hub { outlets, inputs, strangers, _known: known_in }
    }

    impl Hub {
        async fn listen(&self, to: &StandIn) -> String {
            let well = Well::new(to.settings.receiver(), self.outlets.inputs.clone());
            tokio::time::timeout(HANGS, listen(&to.settings, &self.outlets, well)).await.expect("it ends")
        }

        fn counted(&self) -> crate::subghz::receiver::Counters {
            self.outlets
                .counted
                .lock()
                .unwrap()
                .get("rtl_433-attic")
                .and_then(|counted| counted.telegrams)
                .unwrap_or_default()
        }

        /// What the core was told: of the receiver `well`, of a detector its state.
        fn told(&mut self) -> Vec<String> {
            std::iter::from_fn(|| self.inputs.try_recv().ok())
                .map(|input| match input {
                    Input::Receiver { receiver, error: None } => format!("{receiver} is well"),
                    Input::Report(report) => format!("{} {:?}", report.device, report.state),
                    Input::Unreadable { device } => format!("{device} unreadable"),
                    other => format!("{other:?}"),
                })
                .collect()
        }
    }

    fn opened() -> String {
        format!("{DOOR} {:?}", Some(DeviceState::Open))
    }

    #[tokio::test]
    async fn who_is_known_is_told_to_the_core_and_who_is_not_is_a_stranger() {
        let other = OPEN.replace("dc3c", "0000");
        let thermometer = r#"{"model" : "Nexus-TH", "id" : 17, "temperature_C" : 20.5}"#;
        let stand_in =
            stand_in("25.12", &format!("echo '{OPEN}'; echo '{other}'; echo '{thermometer}'; echo gone >&2; exit 3"));
        let mut hub = hub(&[(DOOR, Secret::None)]);
        let why = hub.listen(&stand_in).await;
        assert!(why.contains("25.12: it ended: exit status: 3") && why.contains("gone"), "{why}");
        assert_eq!(hub.told(), ["rtl_433-attic is well".to_owned(), opened()]);
        assert_eq!(hub.strangers.try_recv().unwrap().device.as_str(), "rf-cavius-door-0000e3126533");
        let counted = hub.counted();
        assert_eq!((counted.heard, counted.reported, counted.other_model), (2, 1, 1));
    }

    #[tokio::test]
    async fn it_is_asked_for_lines_and_statistics_and_for_nothing_of_its_own() {
        for (version, log) in [("22.11 (2022-11-19)", ""), ("23.11", "-F log ")] {
            let mut stand_in = stand_in(version, "exit 0");
            stand_in.settings.sample_rate_hz = Some(1_600_000);
            stand_in.settings.level_db = Some(-9);
            hub(&[]).listen(&stand_in).await;
            let asked = std::fs::read_to_string(stand_in.folder.path().join("arguments")).unwrap();
            let wanted = format!(
                "-c 0 -F json -M time:off -M stats:1:10 {log}-d rtl_tcp:localhost:1234 -f 868700000 -s 1600000 -Y level=-9\n"
            );
            assert_eq!(asked, wanted);
        }
    }

    #[tokio::test]
    async fn one_that_dies_at_once_was_never_well() {
        // As the real one does when samples fail to come: statistics are the last it says.
        let stand_in =
            stand_in("22.11", &format!("echo 'No supported devices found.' >&2; echo '{STATISTICS}'; exit 2"));
        let mut hub = hub(&[]);
        let why = hub.listen(&stand_in).await;
        assert!(why.contains("exit status: 2") && why.contains("No supported devices found."), "{why}");
        assert_eq!(hub.told(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn one_that_is_not_there_or_is_another_says_what_is_needed() {
        let mut hub = hub(&[]);
        let old = hub.listen(&stand_in("20.11", "exit 0")).await;
        assert!(old.contains("20.11") && old.contains("22.11 or later"), "{old}");
        let unknown = hub.listen(&stand_in("unknown", "exit 0")).await;
        assert!(unknown.contains("no version") && unknown.contains("22.11 or later"), "{unknown}");
        let mut missing = stand_in("25.12", "exit 0");
        missing.settings.program = "/usr/bin/rtl_433-that-nobody-has-installed".into();
        let missing = hub.listen(&missing).await;
        assert!(missing.contains("cannot be started") && missing.contains("rtl-433"), "{missing}");
        assert_eq!(hub.told(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn garbage_is_counted_and_what_comes_after_it_is_heard() {
        let garbage =
            r"printf '\377\376\000\n{\nTuned to 868.700MHz.\n[1,2]\n'; head -c 10000000 /dev/zero | tr '\0' x; echo";
        let stand_in = stand_in("25.12", &format!("{garbage}; echo '{OPEN}'"));
        let mut hub = hub(&[(DOOR, Secret::None)]);
        hub.listen(&stand_in).await;
        assert_eq!(hub.told(), ["rtl_433-attic is well".to_owned(), opened()]);
        let counted = hub.counted();
        assert_eq!((counted.not_a_frame, counted.line_too_long, counted.reported), (4, 1, 1));
    }

    #[tokio::test]
    async fn a_known_device_that_cannot_be_read_is_told_and_nobody_else() {
        let strange = OPEN.replace("open", "ajar");
        let other = strange.replace("dc3c", "0000");
        let stand_in = stand_in("25.12", &format!("echo '{strange}'; echo '{other}'"));
        let mut known = hub(&[(DOOR, Secret::None)]);
        known.listen(&stand_in).await;
        assert_eq!(known.told(), [format!("{DOOR} unreadable")]);
        assert_eq!(known.counted().bad_record, 2);
        // Whoever has a key here is not believed in clear.
        let mut keyed = hub(&[(DOOR, Secret::Lost)]);
        keyed.listen(&self::stand_in("25.12", &format!("echo '{OPEN}'"))).await;
        assert_eq!(keyed.told(), ["rtl_433-attic is well".to_owned(), format!("{DOOR} unreadable")]);
    }

    #[tokio::test]
    async fn one_that_lives_and_hears_nothing_is_ended() {
        let stand_in = stand_in("25.12", "echo $$ >$(dirname $0)/process; exec sleep 3600");
        let hub = hub(&[]);
        let well = Well::new(stand_in.settings.receiver(), hub.outlets.inputs.clone());
        // As long as a shell may take to start, or it would be ended before it has said who it is.
        let patience = Patience { deaf: Duration::from_secs(2), ..PATIENCE };
        let why = run(&stand_in.settings, &hub.outlets, well, patience).await;
        assert!(why.contains("no statistics for 2s"), "{why}");
        let process = std::fs::read_to_string(stand_in.folder.path().join("process")).unwrap();
        assert!(!Path::new(&format!("/proc/{}", process.trim())).exists(), "it is gone when this returns");
    }

    #[tokio::test]
    async fn one_that_does_not_say_its_version_is_given_up() {
        let mute = stand_in("25.12", "");
        let script = std::fs::read_to_string(&mute.settings.program).unwrap();
        write_program(&mute.settings.program, &script.replace("echo 'rtl_433 version", "exec sleep 3600 # "));
        let hub = hub(&[]);
        let well = Well::new(mute.settings.receiver(), hub.outlets.inputs.clone());
        let patience = Patience { answer: Duration::from_millis(100), ..PATIENCE };
        let why = run(&mute.settings, &hub.outlets, well, patience).await;
        assert!(why.contains("did not say its version in 100ms"), "{why}");
    }
}
