//! A host, a stick and their mesh in simulated time.

use std::collections::VecDeque;
use std::time::Duration;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::Report;
use vakt_integration::twins::ncp::Ncp;
use vakt_integration::twins::ncp::Settings;
use vaktd::zigbee::door::Admission;
use vaktd::zigbee::eui64::Eui64;
use vaktd::zigbee::functions::Board;
use vaktd::zigbee::functions::Wish;
use vaktd::zigbee::host::AnswerId;
use vaktd::zigbee::host::Host;
use vaktd::zigbee::host::Out;
use vaktd::zigbee::host::Progress;
use vaktd::zigbee::interview::Stage;
use vaktd::zigbee::memory::Memory;

/// The versions the twin plays.
#[allow(dead_code)] // not every test plays all of them
pub const VERSIONS: [u8; 5] = [13, 14, 16, 18, 19];
/// What opens the port again after a fall waits so long.
const AGAIN: Duration = Duration::from_millis(250);
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(400);

pub struct Site {
    pub ncp: Ncp,
    host: Option<Host>,
    pub memory: Memory,
    pub now: Duration,
    /// Whether what is reported is recorded at once.
    pub records: bool,
    /// Whether what is to be kept can be.
    pub keeps: bool,
    /// Whether everything the stick has said is read in one go.
    pub in_one_read: bool,
    pub reports: Vec<Report>,
    /// Those that a detector wants answered: its own words, not what was read back.
    pub words: Vec<Report>,
    pub progress: Vec<Progress>,
    pub added: Vec<(DeviceId, Option<DeviceKind>)>,
    pub outs: Vec<Out>,
    /// Bytes exchanged between the two, in steps.
    pub steps: usize,
    unrecorded: VecDeque<AnswerId>,
    again: Option<Duration>,
    downs: Vec<String>,
    /// What came of opening the door.
    door: Option<Result<(), String>>,
    seed: u64,
}

impl Site {
    pub fn new(version: u8, seed: u64) -> Self {
        let mut settings = Settings::new(version);
        settings.seed = seed;
        Self::with(settings)
    }

    pub fn with(settings: Settings) -> Self {
        let seed = settings.seed;
        let ncp = Ncp::new(settings);
        Self {
            ncp,
            host: None,
            memory: Memory::default(),
            now: Duration::from_secs(1),
            records: true,
            keeps: true,
            in_one_read: seed % 2 == 1,
            reports: Vec::new(),
            words: Vec::new(),
            progress: Vec::new(),
            added: Vec::new(),
            outs: Vec::new(),
            steps: 0,
            unrecorded: VecDeque::new(),
            again: Some(Duration::ZERO),
            downs: Vec::new(),
            door: None,
            seed,
        }
    }

    /// A daemon started with what was kept, on a stick that has its network; the detectors it knows were added.
    #[allow(dead_code)] // not every test starts a site anew
    pub fn resumed(ncp: Ncp, memory: Memory) -> Self {
        let mut site = Self::with(ncp.settings().clone());
        (site.ncp, site.memory) = (ncp, memory);
        site
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.now.as_millis()).unwrap()
    }

    /// The daemon is killed; the next one starts with what was kept.
    pub fn restart_host(&mut self) {
        self.host = None;
        self.unrecorded.clear();
        self.again = Some(self.now);
    }

    fn connect(&mut self) {
        let ms = self.ms();
        self.again = None;
        if let Some(host) = &mut self.host {
            return host.connect(ms);
        }
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let mut random = [0u8; 64];
        for (at, byte) in random.iter_mut().enumerate() {
            *byte = (self.seed >> (at % 7 * 8)) as u8 ^ (at as u8).wrapping_mul(37);
        }
        let mut host = Host::new(self.memory.clone(), random);
        host.connect(ms);
        self.host = Some(host);
    }

    /// Carries everything that is ready; false when there was nothing.
    fn carry(&mut self) -> bool {
        let ms = self.ms();
        if self.again.is_some_and(|again| again <= self.now) {
            self.connect();
        }
        let mut carried = false;
        while let Some(out) = self.host.as_mut().and_then(Host::take) {
            carried = true;
            match &out {
                Out::Bytes(bytes) => {
                    self.steps += 1;
                    self.ncp.hear(self.now, bytes);
                }
                Out::Save(memory) => {
                    let keeps = self.keeps;
                    if keeps {
                        self.memory = (**memory).clone();
                    }
                    if let Some(host) = &mut self.host {
                        host.kept(keeps, ms);
                    }
                }
                Out::Report(report, answer) => {
                    self.reports.push(report.clone());
                    self.words.extend(answer.map(|_| report.clone()));
                    self.unrecorded.extend(*answer);
                    if self.records {
                        self.record_all();
                    }
                }
                Out::LockUsed(_, answer) | Out::LockRefused { answer, .. } => {
                    self.unrecorded.extend(*answer);
                    if self.records {
                        self.record_all();
                    }
                }
                Out::Progress(progress) => self.progress.push(progress.clone()),
                Out::Joined(joined) => {
                    self.added.extend(joined.clone());
                    let ready = |(device, _): &(DeviceId, _)| Progress {
                        device: device.clone(),
                        stage: Stage::Ready,
                        text: String::new(),
                    };
                    self.progress.extend(joined.iter().take(1).map(ready));
                    let known = self.added.iter().filter_map(|(id, kind)| Some((id.clone(), (*kind)?))).collect();
                    if let Some(host) = &mut self.host {
                        host.know(known, ms);
                    }
                }
                Out::Down(why) => {
                    self.downs.push(why.clone());
                    self.again = Some(self.now + AGAIN);
                }
                Out::Door(outcome) => self.door = Some(outcome.clone()),
                Out::Up
                | Out::Interference(_)
                | Out::Measured(..)
                | Out::Refused { .. }
                | Out::Asked(..)
                | Out::Acted { .. }
                | Out::Unreadable(_)
                | Out::Gone(_) => {}
            }
            self.outs.push(out);
        }
        let mut read = Vec::new();
        while let Some(bytes) = self.ncp.say(self.now) {
            carried = true;
            self.steps += 1;
            read.extend(bytes);
            if !self.in_one_read {
                self.host_reads(&std::mem::take(&mut read), ms);
            }
        }
        if !read.is_empty() {
            self.host_reads(&read, ms);
        }
        carried
    }

    fn host_reads(&mut self, bytes: &[u8], ms: u64) {
        if let Some(host) = &mut self.host {
            host.feed(bytes, ms);
        }
    }

    /// Whether a damaged frame slipped through ASH's check of 16 bits, so that its word could not be read.
    pub fn slipped(&self) -> bool {
        self.host.as_ref().is_some_and(|host| host.counters().unreadable > 0)
    }

    pub fn forget_reports(&mut self) {
        self.reports.clear();
        self.words.clear();
    }

    pub fn record_all(&mut self) {
        let ms = self.ms();
        while let Some(answer) = self.unrecorded.pop_front() {
            if let Some(host) = &mut self.host {
                host.recorded(answer, ms);
            }
        }
    }

    /// One step: what is ready, or the time to the next thing that is due. False: nothing before `limit`.
    fn step(&mut self, limit: Duration) -> bool {
        if self.carry() {
            return true;
        }
        let host = self.host.as_ref().and_then(Host::due_ms).map(Duration::from_millis);
        let next = [host, self.ncp.due(), self.again].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= limit) else { return false };
        self.now = self.now.max(next);
        let ms = self.ms();
        self.ncp.tick(self.now);
        if let Some(host) = &mut self.host
            && host.due_ms().is_some_and(|due| due <= ms)
        {
            host.tick(ms);
        }
        true
    }

    /// Lets so much time pass.
    pub fn run(&mut self, time: Duration) {
        let limit = self.now + time;
        while self.step(limit) {}
        self.now = limit;
    }

    /// Carries so many chunks of bytes.
    pub fn run_steps(&mut self, steps: usize) {
        let limit = self.now + PATIENCE;
        while self.steps < steps && self.step(limit) {}
    }

    /// Runs until it is so.
    pub fn until(&mut self, so: impl Fn(&Self) -> bool) {
        let limit = self.now + PATIENCE;
        while !so(self) {
            let goes_on = self.step(limit);
            assert!(goes_on, "it never came: {:?}, {:?}", self.downs, self.progress);
        }
    }

    pub fn host_is_up(&self) -> bool {
        self.host.as_ref().is_some_and(Host::is_up)
    }

    pub fn up(&mut self) {
        self.until(Self::host_is_up);
        while self.carry() {}
    }

    /// Runs until the host gives the stick up; why.
    pub fn down(&mut self) -> String {
        let before = self.downs.len();
        self.until(|site| site.downs.len() > before);
        self.downs.last().unwrap().clone()
    }

    /// Interference told last, if any was.
    #[allow(dead_code)] // not every test jams
    pub fn interferes(&self) -> Option<bool> {
        self.outs
            .iter()
            .rev()
            .find_map(|out| if let Out::Interference(on) = out { Some(*on == Some(true)) } else { None })
    }

    /// Whether the core holds that there is interference, by what it held before; a stick that falls ends it.
    #[allow(dead_code)] // not every test jams
    pub fn interferes_after(&self, before: bool) -> bool {
        self.outs.iter().fold(before, |held, out| match out {
            Out::Interference(on) => *on == Some(true),
            Out::Down(_) => false,
            _ => held,
        })
    }

    /// Opens the door; how that went.
    pub fn open(&mut self, seconds: u8, admission: Admission) -> Result<(), String> {
        let ms = self.ms();
        self.door = None;
        self.host.as_mut().unwrap().open(seconds, admission, ms);
        self.until(|site| site.door.is_some());
        self.door.clone().unwrap()
    }

    /// What keypads show and sirens sound, by the panel's word.
    #[allow(dead_code)] // not every test has keypads or sirens
    pub fn show(&mut self, board: Board) {
        let ms = self.ms();
        self.host.as_mut().unwrap().show(board, ms);
    }

    /// The panel knows these as what they are.
    #[allow(dead_code)] // likewise
    pub fn knows(&mut self, known: impl IntoIterator<Item = (DeviceId, DeviceKind)>) {
        let ms = self.ms();
        self.host.as_mut().unwrap().know(known.into_iter().collect(), ms);
    }

    /// What the panel wants once.
    #[allow(dead_code)] // likewise
    pub fn wish(&mut self, wish: Wish) {
        let ms = self.ms();
        self.host.as_mut().unwrap().wish(wish, ms);
    }

    pub fn remove(&mut self, device: Eui64) {
        let ms = self.ms();
        self.host.as_mut().unwrap().remove(device, ms);
    }

    pub fn stages(&self) -> Vec<Stage> {
        self.progress.iter().map(|progress| progress.stage).collect()
    }

    pub fn until_joined(&mut self) -> Vec<Stage> {
        self.until(|site| site.stages().iter().any(|stage| matches!(stage, Stage::Ready | Stage::Failed)));
        self.stages()
    }

    pub fn id(&self, name: &str) -> DeviceId {
        let eui = self.ncp.device(name).unwrap().eui;
        Eui64(eui.0).device(None)
    }

    /// The stick is pulled out, and plugged in again after a while.
    pub fn unplug(&mut self, away: Duration) {
        self.ncp.power_off(self.now);
        let host = self.host.take();
        self.run(away);
        self.host = host;
        if let Some(host) = &mut self.host {
            host.unplugged("pulled out".to_owned());
        }
        self.again = Some(self.now + AGAIN);
        self.ncp.power_on();
    }
}
