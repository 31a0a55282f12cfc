//! The thread that owns the radio chip: SPI, its two lines, the clock. It does what the engine says, wakes at an edge or a
//! deadline, and hands on what it is told.
//!
//! A thread and not a task: the FIFO leaves 2.56 ms (radio868.md, section 3), which is for no queue of tasks to keep. It
//! never waits for whoever listens to it: what they do not take in time is lost, and counted.

use crate::subghz::cc1101::Engine;
use crate::subghz::cc1101_registers::Mode;
use crate::subghz::cc1101_told::Notice;
use crate::subghz::cc1101_told::Wait;
use embedded_hal::digital;
use gpiocdev::Request;
use gpiocdev::line::EdgeDetection;
use gpiocdev::line::Value;
use linux_embedded_hal::SpidevDevice;
use linux_embedded_hal::spidev::SpiModeFlags;
use linux_embedded_hal::spidev::SpidevOptions;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::time::ClockId;
use rustix::time::clock_gettime;
use std::os::fd::AsFd;
use std::path::Path;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use thread_priority::RealtimeThreadSchedulePolicy;
use thread_priority::ThreadPriority;
use thread_priority::ThreadSchedulePolicy;
use thread_priority::set_thread_priority_and_policy;
use thread_priority::thread_native_id;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

/// Whose lines these are, as the kernel tells others.
const CONSUMER: &str = "vaktd";
/// The thread's name, 15 characters at most.
const THREAD: &str = "vakt-cc1101";
/// SPI clock. 6.5 MHz is the most in a burst (SWRS061, table 22); wires of a hand's length are sure at this.
const SPI_HZ: u32 = 4_000_000;
/// What the thread asks for under `SCHED_FIFO`: what the unit allows (LimitRTPRIO), and below the kernel's own threads.
const PRIORITY: u8 = 10;
/// What is told and not taken yet: eight seconds of samples and frames. Whoever comes later loses the newest, counted.
const TOLD_MAX: usize = 256;
/// Of these, places that only frames and faults may take: while the hub hangs, looks at the air are lost first.
const TOLD_KEPT: usize = 128;
/// Edges that the kernel keeps, and that are read at once, at most. Which of them came does not matter, only that one did.
const EDGES_MAX: u32 = 64;
/// The thread looks so often whether it is still wanted.
const LOOK_UP: Duration = Duration::from_millis(100);
/// A thread that says nothing for so long hangs in a driver: it counts once a second, whatever its chip does.
const ALIVE: Duration = Duration::from_secs(5);

/// Where the chip is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its name in events.
    pub name: String,
    /// The SPI device, `/dev/spidev0.0`. On a Raspberry Pi 3 and older only SPI0 can do what is needed.
    pub spi: PathBuf,
    /// The line that GDO0 is wired to: a name (`GPIO25`), or a chip and a number on it (`gpiochip0:25`).
    pub gdo0: String,
    /// The line that GDO2 is wired to, of the same GPIO chip.
    pub gdo2: String,
    /// What it receives.
    pub mode: Mode,
}

/// Holds the chip until something other than the chip fails, and says what did. A chip that is not well is told as
/// [`Notice::Fault`], tried again for ever, and told as [`Notice::Ready`] when it is well. The thread ends with this task.
///
/// # Errors
/// Why it ended.
pub async fn listen(settings: &Settings, to: &mpsc::Sender<Notice>) -> String {
    let (told, mut said) = mpsc::channel(TOLD_MAX);
    let (last_word, ended) = oneshot::channel();
    let own = settings.clone();
    let spawned = std::thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
        let _ = last_word.send(hold(&own, &told));
    });
    if let Err(error) = spawned {
        return format!("starting the thread of {}: {error}", settings.spi.display());
    }
    loop {
        match tokio::time::timeout(ALIVE, said.recv()).await {
            Ok(Some(notice)) => {
                if to.send(notice).await.is_err() {
                    return "the hub has gone".to_owned();
                }
            }
            Ok(None) => return ended.await.unwrap_or_else(|_| "the thread of the radio chip fell".to_owned()),
            Err(_) => return format!("{} does not answer for {} s", settings.spi.display(), ALIVE.as_secs()),
        }
    }
}

/// The thread's life; why it ended.
fn hold(settings: &Settings, told: &mpsc::Sender<Notice>) -> String {
    match try_hold(settings, told) {
        Ok(()) => "nobody listens any more".to_owned(),
        Err(error) => error,
    }
}

fn try_hold(settings: &Settings, told: &mpsc::Sender<Notice>) -> Result<(), String> {
    std::fs::metadata(&settings.spi).map_err(|error| format!("opening {}: {error}", settings.spi.display()))?;
    // The lines first: where an older thread hangs in the SPI driver they are its own still, and this one ends at once instead
    // of hanging beside it.
    let (request, gdo0, gdo2) = take_lines(&settings.gdo0, &settings.gdo2)?;
    let spi = open_spi(&settings.spi)?;
    let mut engine = Engine::new(spi, gdo0, gdo2, settings.mode);
    let not_realtime = u64::from(!ask_for_realtime());
    let mut lost = 0u64;
    let mut edge_us = None;
    while !told.is_closed() {
        let stepped_us = now_us();
        let wait = engine.step(stepped_us, edge_us);
        for mut notice in engine.told() {
            if let Notice::Counted(counters) = &mut notice {
                (counters.lost, counters.not_realtime) = (lost, not_realtime);
            }
            let looks = matches!(notice, Notice::Sample(_) | Notice::Counted(_));
            if (looks && told.capacity() <= TOLD_KEPT) || told.try_send(notice).is_err() {
                lost = lost.saturating_add(1);
            }
        }
        edge_us = rest(&request, wait, stepped_us)?;
    }
    Ok(())
}

fn open_spi(path: &Path) -> Result<SpidevDevice, String> {
    let failed = |what: &str, error: &std::io::Error| format!("{what} {}: {error}", path.display());
    let mut spi = SpidevDevice::open(path).map_err(|error| failed("opening", error.inner()))?;
    let options = SpidevOptions::new().bits_per_word(8).max_speed_hz(SPI_HZ).mode(SpiModeFlags::SPI_MODE_0).build();
    spi.configure(&options).map_err(|error| failed("setting mode and clock of", &error))?;
    Ok(spi)
}

/// One of the two lines.
struct Line {
    request: Rc<Request>,
    offset: u32,
}

/// A line could not be read.
#[derive(Debug)]
#[expect(dead_code, reason = "it is told by its Debug form")]
struct LineError(gpiocdev::Error);

impl digital::Error for LineError {
    fn kind(&self) -> digital::ErrorKind {
        digital::ErrorKind::Other
    }
}

impl digital::ErrorType for Line {
    type Error = LineError;
}

impl digital::InputPin for Line {
    fn is_high(&mut self) -> Result<bool, LineError> {
        Ok(self.request.value(self.offset).map_err(LineError)? == Value::Active)
    }

    fn is_low(&mut self) -> Result<bool, LineError> {
        self.is_high().map(|high| !high)
    }
}

/// Both lines in one request, so that one descriptor wakes for either.
fn take_lines(gdo0: &str, gdo2: &str) -> Result<(Rc<Request>, Line, Line), String> {
    let ((chip, offset0), (other, offset2)) = (find(gdo0)?, find(gdo2)?);
    if chip != other || offset0 == offset2 {
        return Err(format!("taking {gdo0} and {gdo2}: GDO0 and GDO2 are two lines of one GPIO chip"));
    }
    let request = Request::builder()
        .on_chip(chip)
        .with_consumer(CONSUMER)
        .with_kernel_event_buffer_size(EDGES_MAX)
        .with_lines(&[offset0, offset2])
        .as_input()
        .with_edge_detection(EdgeDetection::RisingEdge)
        .request()
        .map_err(|error| format!("taking {gdo0} and {gdo2}: {error}"))?;
    let request = Rc::new(request);
    let line = |offset| Line { request: Rc::clone(&request), offset };
    Ok((Rc::clone(&request), line(offset0), line(offset2)))
}

/// The GPIO chip of a line and its number there.
fn find(line: &str) -> Result<(PathBuf, u32), String> {
    if let Some((chip, number)) = line.split_once(':') {
        let number = number.parse().map_err(|_| format!("looking for {line}: after the colon stands a number"))?;
        return Ok((Path::new("/dev").join(chip), number));
    }
    let found = gpiocdev::find_named_line(line);
    let found = found.ok_or_else(|| format!("looking for {line}: no line that this user sees has that name"))?;
    Ok((found.chip, found.info.offset))
}

/// Whether the kernel lets this thread go before others. Without that it still receives; a busy board then loses frames,
/// which is counted as overflows.
fn ask_for_realtime() -> bool {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let asked = ThreadPriority::try_from(PRIORITY).map_err(|error| error.to_string()).and_then(|priority| {
        set_thread_priority_and_policy(thread_native_id(), priority, policy).map_err(|error| error.to_string())
    });
    if let Err(error) = &asked {
        tracing::warn!(
            error,
            "the radio chip's thread may not run in real time: frames can be lost while the board is busy (LimitRTPRIO)"
        );
    }
    asked.is_ok()
}

/// Waits for an edge or the time, whichever comes first; when the first edge came. One from before the last step was seen by that
/// step: it wakes, and says nothing of how late anybody is.
fn rest(request: &Request, wait: Wait, stepped_us: u64) -> Result<Option<u64>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("waiting for GDO0 and GDO2: {error}");
    let left = Duration::from_micros(wait.until_us.saturating_sub(now_us())).min(LOOK_UP);
    let left = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
    let fd = request.as_fd();
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let watched = if wait.edges { &mut fds[..] } else { &mut [] };
    match poll(watched, Some(&left)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
        Ok(_) => {}
        Err(error) => return Err(failed(&error)),
    }
    let mut first = None;
    for _ in 0..EDGES_MAX {
        if !request.has_edge_event().map_err(|error| failed(&error))? {
            break;
        }
        let edge = request.read_edge_event().map_err(|error| failed(&error))?;
        first = first.or(Some(edge.timestamp_ns / 1_000).filter(|at_us| *at_us >= stepped_us));
    }
    Ok(first)
}

/// The clock of the kernel's edges, in µs.
fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000
}
