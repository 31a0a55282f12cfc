//! The one clock of the daemon: boot number, CLOCK_BOOTTIME, wall time, and whether that is to be believed.
//!
//! It never sets a clock. Everybody else gets a `Stamp` as an argument.

use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;
use vakt_core::stamp::Stamp;

/// systemd-timesyncd makes this file when it has set the clock since the boot.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";
/// Changes with every start of the kernel.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// When the wall clock is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Once systemd-timesyncd has set it.
    Timesync,
    /// From the start.
    Always,
    /// Never.
    Never,
}

static BOOT: OnceLock<u32> = OnceLock::new();
static TRUSTED: AtomicBool = AtomicBool::new(false);
/// The latest time that was trusted before this run, in ms since 1970, and when it was read, in ms since the board started.
static REMEMBERED: OnceLock<(i64, u64)> = OnceLock::new();

/// Counts this start of the board, in the file `boot`, unless it was counted already.
///
/// # Errors
/// The file can be neither read nor written.
pub fn start(state_dir: &Path) -> std::io::Result<()> {
    let path = state_dir.join("boot");
    let id = std::fs::read_to_string(BOOT_ID)?;
    let id = id.trim();
    // Rubbish in it is as good as nothing: the count begins anew, and no delay is taken for proven.
    let text = match std::fs::read(&path) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let mut words = text.split_whitespace();
    let counted: u32 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let boot = if words.next() == Some(id) && counted > 0 { counted } else { counted.saturating_add(1) };
    if boot != counted {
        let temporary = path.with_extension("new");
        let mut file = std::fs::File::create(&temporary)?;
        writeln!(file, "{boot} {id}")?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        std::fs::File::open(state_dir)?.sync_all()?;
    }
    let _ = BOOT.set(boot);
    Ok(())
}

/// Looks whether the wall clock is to be believed; asked now and then, so that `now` need not touch a file.
pub fn look(trust: Trust) {
    let trusted = match trust {
        Trust::Timesync => Path::new(SYNCHRONIZED).exists(),
        Trust::Always => true,
        Trust::Never => false,
    };
    TRUSTED.store(trusted, Ordering::Relaxed);
}

/// This moment.
#[expect(clippy::disallowed_methods, reason = "the one place that asks the wall clock")]
pub fn now() -> Stamp {
    let mono = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    };
    Stamp {
        boot: BOOT.get().copied().unwrap_or(1),
        mono_ms: u64::try_from(mono.tv_sec).unwrap_or(0) * 1000 + u64::try_from(mono.tv_nsec).unwrap_or(0) / 1_000_000,
        wall_ms: wall,
        trusted: TRUSTED.load(Ordering::Relaxed),
    }
}

/// Takes over the latest time the journal has on record as trusted, in ms since 1970.
pub fn remember(floor_ms: Option<i64>) {
    if let Some(floor_ms) = floor_ms {
        let _ = REMEMBERED.set((floor_ms, now().mono_ms));
    }
}

/// What time it is at the least, in ms since 1970: for the certificates of brokers.
///
/// A Pi has no clock chip: after a power cut its clock may stand in 1970, where each certificate is still to come, and
/// stays there as long as no time source is reached. It is later than it was when the clock was last trusted, by as much
/// as has passed since this run began. An earlier time is never believed, so what has expired stays expired; a clock that
/// is trusted decides alone.
pub fn at_least_ms() -> i64 {
    let now = now();
    match REMEMBERED.get() {
        Some((floor_ms, read_ms)) if !now.trusted => {
            let passed_ms = i64::try_from(now.mono_ms.saturating_sub(*read_ms)).unwrap_or(0);
            now.wall_ms.max(floor_ms.saturating_add(passed_ms))
        }
        _ => now.wall_ms,
    }
}

/// 32 bytes of entropy. The kernel's generator does not fail once the board has started.
pub fn entropy() -> [u8; 32] {
    crate::secrets::io::random().expect("the kernel gives random bytes once the board has started")
}
