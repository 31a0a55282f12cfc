//! Pins of the board, and what the kernel says of its supply. A line is taken when it is needed and given back when the
//! task ends; a start of the daemon switches nothing but what is to sound already. It judges nothing: `filter`, `pattern`
//! and `supply` do.

use crate::board::filter::Filter;
use crate::board::pattern;
use crate::board::pattern::Cycle;
use crate::board::pattern::Drives;
use crate::board::pattern::Sign;
use crate::board::pins;
use crate::board::pins::Input;
use crate::board::pins::Line;
use crate::board::pins::Output;
use crate::board::pins::Pull;
use crate::board::supply;
use crate::board::supply::Gauge;
use crate::board::supply::Pins;
use crate::board::supply::Told;
use gpiocdev::Request;
use gpiocdev::chip::Chip;
use gpiocdev::line::Bias;
use gpiocdev::line::EdgeDetection;
use gpiocdev::line::Value;
use gpiocdev::request::Builder;
use rustix::time::ClockId;
use rustix::time::clock_gettime;
use std::convert::Infallible;
use std::os::fd::AsFd;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::broadcast;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::sleep;
use vakt_core::device::Report;
use vakt_core::event::Act;
use vakt_core::event::EventId;
use vakt_core::input::Sound;
use vakt_core::input::Supply;
use vakt_core::port::ModemPower;

/// Whose lines these are, as the kernel tells others.
const CONSUMER: &str = "vaktd";
/// How long the modem's power is away: longer than the capacitors of a modem hold it.
const AWAY: Duration = Duration::from_secs(5);
/// What a line says is said again after this: a sign of life.
const AGAIN: Duration = Duration::from_secs(60);
/// After edges were read the line rests for so long, that one that flickers wildly does not take the processor. The
/// kernel keeps the last edges with their times; what is older is lost there.
const BREATHER: Duration = Duration::from_millis(5);
/// Edges that the kernel keeps, and that are read at once, at most.
const EDGES_MAX: u32 = 64;
/// How often the kernel is asked for the supply.
pub const SUPPLY: Duration = Duration::from_secs(5);
/// Where it tells of it.
pub const POWER_SUPPLIES: &str = "/sys/class/power_supply";
/// What stands in one of its files, at most, in bytes.
const SUPPLY_FILE_MAX: usize = 64;

/// What is to be done to a modem's power; the answer says how that went.
pub type PowerOrder = (ModemPower, oneshot::Sender<Result<(), String>>);

/// Does so as often as it is told to. The line is active while the modem has power, and stays so until the daemon ends.
pub async fn serve(line: Line, mut orders: mpsc::Receiver<PowerOrder>) {
    let mut held = None;
    while let Some((power, answer)) = orders.recv().await {
        let _ = answer.send(switch(&line, power, &mut held).await);
    }
}

async fn switch(line: &Line, power: ModemPower, held: &mut Option<Taken>) -> Result<(), String> {
    let taken = match held.take() {
        Some(taken) => taken,
        None => {
            let first = if power == ModemPower::Cycle { Value::Inactive } else { Value::Active };
            take(line, |asked| asked.as_output(first))?
        }
    };
    if power == ModemPower::Cycle {
        taken.set(false)?;
        sleep(AWAY).await;
    }
    let back = taken.set(true);
    *held = Some(taken);
    back
}

/// A line that is ours.
struct Taken {
    request: Request,
    offset: u32,
    line: Line,
    /// It is switched off when it is given back: many kernels leave a line as it was, and a siren would sound for ever.
    off_after: bool,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.off_after {
            let _ = self.set(false); // nobody is left to be told
        }
    }
}

impl Taken {
    fn set(&self, active: bool) -> Result<(), String> {
        let value = if active { Value::Active } else { Value::Inactive };
        let said = self.request.set_value(self.offset, value);
        said.map(drop).map_err(|error| format!("switching {}: {error}", self.line))
    }

    fn is_active(&self) -> Result<bool, String> {
        let said = self.request.value(self.offset).map_err(|error| format!("reading {}: {error}", self.line))?;
        Ok(said == Value::Active)
    }
}

/// Takes a line in the way that `how` says.
fn take(line: &Line, how: impl FnOnce(&mut Builder) -> &mut Builder) -> Result<Taken, String> {
    let (chip, offset) = find(line)?;
    let mut asked = Request::builder();
    asked.on_chip(chip).with_consumer(CONSUMER).with_kernel_event_buffer_size(EDGES_MAX).with_line(offset);
    let request = how(&mut asked).request().map_err(|error| format!("taking {line}: {error}"))?;
    Ok(Taken { request, offset, line: line.clone(), off_after: false })
}

/// The chip of a line and its number there.
fn find(line: &Line) -> Result<(PathBuf, u32), String> {
    match line {
        Line::Numbered(chip, offset) => Ok((Path::new("/dev").join(chip), *offset)),
        Line::Named(name) => {
            let lines = gpiocdev::lines().map_err(|error| format!("looking for {line}: {error}"))?;
            let mut known = 0;
            for found in lines {
                known += 1;
                if found.info.name == *name {
                    return Ok((found.chip, found.info.offset));
                }
            }
            Err(format!("looking for {line}: none of the {known} lines that this user sees has that name"))
        }
    }
}

/// What there is to be said of a line, without taking it.
///
/// # Errors
/// It is not there, or somebody else has it.
pub fn look(line: &Line) -> Result<String, String> {
    let (chip, offset) = find(line)?;
    let opened = Chip::from_path(&chip).map_err(|error| format!("opening {}: {error}", chip.display()))?;
    let info = opened.line_info(offset).map_err(|error| format!("{line}: {error}"))?;
    match (info.used, info.consumer.as_str()) {
        (false, _) => Ok(format!("is free, line {offset} of {}", chip.display())),
        (true, CONSUMER) => Ok("is the daemon's".to_owned()),
        (true, other) => Err(format!("is taken by `{other}`")),
    }
}

/// The clock of the kernel's edges, in ms.
fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

/// Where an input's words go.
#[derive(Clone)]
pub struct Outlets {
    /// What detectors and the lid say.
    pub core: mpsc::Sender<vakt_core::input::Input>,
    /// What is said of the supply.
    pub supply: watch::Sender<Pins>,
}

/// Listens to an input until it fails, and says why it did. A level that is believed is told at once, and now and then that
/// the line is read.
pub async fn listen(input: &Input, to: &Outlets) -> String {
    let ended = hear(input, to).await;
    // What cannot be read says nothing any more.
    to.supply.send_if_modified(|pins| pins.note(input.watches, None));
    match ended {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn hear(input: &Input, to: &Outlets) -> Result<Infallible, String> {
    let bias = match input.pull {
        Pull::Up => Bias::PullUp,
        Pull::Down => Bias::PullDown,
        Pull::None => Bias::Disabled,
    };
    let taken = take(&input.line, |asked| {
        let asked = asked.as_input().with_bias(bias).with_edge_detection(EdgeDetection::BothEdges);
        if input.active_low { asked.as_active_low() } else { asked }
    })?;
    let failed = |error: std::io::Error| format!("waiting for {}: {error}", input.line);
    #[expect(
        deprecated,
        reason = "its successor is unsafe; this one is sound for a borrowed descriptor, which is open"
    )]
    let wakes = AsyncFd::with_interest(taken.request.as_fd(), Interest::READABLE).map_err(failed)?;
    let mut filter = Filter::new(input.hold_ms());
    filter.level(taken.is_active()?, monotonic_ms());
    let mut again = tokio::time::interval(AGAIN);
    loop {
        let due = filter.due_ms().map(|at| Duration::from_millis(at.saturating_sub(monotonic_ms())));
        let mut believed = Vec::new();
        tokio::select! {
            ready = wakes.readable() => {
                let mut ready = ready.map_err(failed)?;
                if edges(&taken, &mut filter, &mut believed)? {
                    ready.clear_ready();
                }
                sleep(BREATHER).await;
            }
            () = sleep(due.unwrap_or_default()), if due.is_some() => {}
            _ = again.tick() => tell(to, input.alive(filter.believed())).await,
        }
        // Whatever became of the edges: the level that stands now is the truth.
        believed.extend(filter.level(taken.is_active()?, monotonic_ms()));
        for active in believed {
            tell(to, input.report(active)).await;
            to.supply.send_if_modified(|pins| pins.note(input.watches, Some(active)));
        }
    }
}

async fn tell(to: &Outlets, report: Option<Report>) {
    if let Some(report) = report {
        // Without a core there is nobody left to tell.
        let _ = to.core.send(vakt_core::input::Input::Report(report)).await;
    }
}

/// The edges that wait, each at its own time: one that is read late counts as if it were read at once. Whether that was all.
fn edges(taken: &Taken, filter: &mut Filter, believed: &mut Vec<bool>) -> Result<bool, String> {
    let failed = |error: gpiocdev::Error| format!("reading edges of {}: {error}", taken.line);
    for _ in 0..EDGES_MAX {
        if !taken.request.has_edge_event().map_err(failed)? {
            return Ok(true);
        }
        let edge = taken.request.read_edge_event().map_err(failed)?;
        let rising = edge.kind == gpiocdev::line::EdgeKind::Rising;
        believed.extend(filter.level(rising, edge.timestamp_ns / 1_000_000));
    }
    Ok(false)
}

/// What an output follows.
#[derive(Clone)]
pub struct Follows {
    /// What is to be heard.
    pub sound: watch::Receiver<Option<Sound>>,
    /// Signs given once. Who is late misses the oldest.
    pub signs: broadcast::Sender<Sign>,
    /// What the lamp shows.
    pub lamp: watch::Receiver<Cycle>,
}

/// Drives an output until it fails, and says why it did. A chirp that was given is told to the core, and now and then that
/// the line is there.
pub async fn drive(output: &Output, follows: Follows, to: &Outlets) -> String {
    match follow(output, follows, to).await {
        Ok(()) => std::future::pending().await, // the hub ends
        Err(error) => error,
    }
}

async fn follow(output: &Output, follows: Follows, to: &Outlets) -> Result<(), String> {
    let mut taken = take(&output.line, |asked| {
        let asked = asked.as_output(Value::Inactive);
        if output.active_low { asked.as_active_low() } else { asked }
    })?;
    taken.off_after = true;
    let mut again = tokio::time::interval(AGAIN);
    let Follows { mut sound, signs, mut lamp } = follows;
    let mut signs = signs.subscribe();
    let mut standing: (Cycle, Instant) = (&[], Instant::now());
    let mut once: Option<(Cycle, Instant, Option<EventId>)> = None;
    let mut active = false;
    loop {
        let wanted = match output.drives {
            Drives::Lamp => *lamp.borrow_and_update(),
            drives => pattern::sound(drives, *sound.borrow_and_update()),
        };
        if wanted != standing.0 {
            standing = (wanted, Instant::now());
        }
        let ms = |from: Instant| u64::try_from(from.elapsed().as_millis()).unwrap_or(u64::MAX);
        // What stands is more than a sign, which is then as good as heard.
        let over =
            |once: &(Cycle, Instant, Option<EventId>)| !wanted.is_empty() || ms(once.1) >= pattern::length_ms(once.0);
        if let Some((_, _, command)) = once.take_if(|once| over(once)) {
            taken.set(active)?;
            if let Some(command) = command {
                let given = vakt_core::input::Input::Acted { command, act: Act::SirenChirp, error: None };
                let _ = to.core.send(given).await;
            }
        }
        let (cycle, from) = once.as_ref().map_or(standing, |(cycle, from, _)| (*cycle, *from));
        let (on, next) = pattern::at(cycle, ms(from));
        if on != active {
            taken.set(on)?;
            active = on;
        }
        tokio::select! {
            changed = sound.changed() => if changed.is_err() { return Ok(()) },
            _ = again.tick() => tell(to, output.report(false)).await,
            Ok(()) = lamp.changed(), if output.drives == Drives::Lamp => {}
            // A sign that is being given is not broken off: a chirp waits for its answer.
            given = signs.recv(), if once.is_none() => {
                let sign = given.ok().map(|given| (pattern::sign(output.drives, &given), given));
                if let Some((cycle, given)) = sign.filter(|(cycle, _)| !cycle.is_empty()) {
                    let command = if let Sign::Chirp(command) = given { Some(command) } else { None };
                    once = Some((cycle, Instant::now(), command));
                }
            }
            () = sleep(Duration::from_millis(next.unwrap_or_default())), if next.is_some() => {}
        }
    }
}

/// Which supplies the kernel is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supplies {
    /// Below this folder.
    pub folder: PathBuf,
    /// The mains.
    pub mains: Option<String>,
    /// The battery.
    pub battery: Option<String>,
    /// So often.
    pub every: Duration,
    /// A pin tells of the mains.
    pub mains_pin: bool,
}

/// Watches the supply for ever. `now`: as it is, for whoever looks. Where the kernel says nothing, the pins still do.
pub async fn watch_supply(of: Supplies, to: Outlets, now: watch::Sender<Option<Supply>>) {
    let mut pins = to.supply.subscribe();
    let mut gauge = Gauge::new(of.mains_pin);
    let mut known = Ok((Told::default(), Told::default()));
    let mut again: Option<Instant> = None;
    loop {
        let (mains, battery) = known.clone().unwrap_or_default();
        let read = gauge.read(monotonic_ms(), *pins.borrow_and_update(), mains, battery);
        if now.send_replace(Some(read)) != Some(read) {
            let _ = to.core.send(vakt_core::input::Input::Supply(read)).await;
        }
        tokio::select! {
            // A pin that says "it ends" does not wait behind a gauge on a slow bus.
            Ok(()) = pins.changed() => {}
            fresh = look_again(&of, again) => {
                if let Err(error) = fresh.as_ref()
                    && known.is_ok()
                {
                    tracing::warn!(error, "the supply cannot be read");
                }
                if of.mains.is_some() || of.battery.is_some() {
                    tell(&to, pins::gauge(fresh.is_err())).await;
                }
                known = fresh;
                again = Some(Instant::now() + of.every);
            }
        }
    }
}

/// What both say, at this time; at once where there is none.
async fn look_again(of: &Supplies, at: Option<Instant>) -> Result<(Told, Told), String> {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
    let of = of.clone();
    let one = |folder: &Path, name: &Option<String>| name.as_deref().map(|name| supply(&folder.join(name))).transpose();
    let both = tokio::task::spawn_blocking(move || {
        Ok((one(&of.folder, &of.mains)?.unwrap_or_default(), one(&of.folder, &of.battery)?.unwrap_or_default()))
    });
    both.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Reads one. One that says nothing at all is a fault: silence is not mains.
fn supply(folder: &Path) -> Result<Told, String> {
    let told = supply::told(|name| {
        let text = std::fs::read_to_string(folder.join(name)).ok()?;
        (text.len() <= SUPPLY_FILE_MAX).then_some(text)
    });
    if told == Told::default() {
        return Err(format!("{} says neither online, status nor capacity", folder.display()));
    }
    Ok(told)
}

/// What a power supply says now, for people.
///
/// # Errors
/// It is not there, or says nothing.
pub fn look_at_supply(name: &str) -> Result<String, String> {
    let told = supply(&Path::new(POWER_SUPPLIES).join(name))?;
    let online = told.online.map(|online| if online { "gives power" } else { "gives none" }.to_owned());
    let flow = told.discharging.map(|out| if out { "is being emptied" } else { "is kept full" }.to_owned());
    let percent = told.percent.map(|percent| format!("{percent} %"));
    Ok([online, flow, percent].into_iter().flatten().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::pins::Watches;

    #[tokio::test]
    async fn a_pin_that_is_not_there_is_named() {
        let (orders, inbox) = mpsc::channel(1);
        tokio::spawn(serve(Line::from("gpiochip999:17"), inbox));
        let (answer, answered) = oneshot::channel();
        orders.send((ModemPower::Restore, answer)).await.expect("somebody listens");
        let error = answered.await.expect("it is answered").expect_err("there is no such chip");
        assert!(error.contains("line 17 of gpiochip999"), "{error}");
        let error = look(&Line::from("NO_SUCH_LINE")).expect_err("no line has that name");
        assert!(error.contains("NO_SUCH_LINE"), "{error}");
    }

    #[tokio::test]
    async fn b21_a_supply_is_told_when_it_changes_and_its_pins_speak_without_the_gauge() {
        let folder = std::env::temp_dir().join(format!("vakt-supply-{}", std::process::id()));
        let battery = folder.join("gauge");
        std::fs::create_dir_all(&battery).unwrap();
        let says = |file: &str, text: &str| std::fs::write(battery.join(file), text).unwrap();
        says("status", "Full\n");
        says("capacity", "100\n");
        let of = Supplies {
            folder: folder.clone(),
            mains: None,
            battery: Some("gauge".to_owned()),
            every: Duration::from_millis(5),
            mains_pin: true,
        };
        let (core, mut told) = mpsc::channel(64);
        let to = Outlets { core, supply: watch::Sender::default() };
        let pins = to.supply.clone();
        tokio::spawn(watch_supply(of, to, watch::Sender::new(None)));
        let mut until = async |wanted: &dyn Fn(&vakt_core::input::Input) -> bool| {
            let comes = async { while !told.recv().await.is_some_and(|input| wanted(&input)) {} };
            tokio::time::timeout(Duration::from_secs(60), comes).await.expect("it is told");
        };
        let supply = |wanted: (Option<bool>, Option<u8>, bool)| {
            move |input: &vakt_core::input::Input| {
                let vakt_core::input::Input::Supply(supply) = input else { return false };
                (supply.mains, supply.battery_percent, supply.dying) == wanted
            }
        };
        until(&supply((None, Some(100), false))).await;
        pins.send_if_modified(|pins| pins.note(Watches::MainsLost, Some(true)));
        until(&supply((Some(false), Some(100), false))).await;
        says("capacity", "2\n");
        until(&supply((Some(false), Some(2), true))).await;
        // A gauge that is gone is a fault, and the pins still speak.
        std::fs::remove_dir_all(&battery).unwrap();
        until(&|input| matches!(input, vakt_core::input::Input::Report(report) if report.fault == Some(true))).await;
        pins.send_if_modified(|pins| pins.note(Watches::PowerFail, Some(true)));
        until(&supply((Some(false), None, true))).await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
