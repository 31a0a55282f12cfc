//! The two clocks of the board and the truth beside them: one that only rises, one that may say anything.

use vakt_core::stamp::Stamp;

/// What the truth says when a life begins, in ms since 1970.
const BEGIN_MS: i64 = 1_795_208_400_000;

/// The clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    boot: u32,
    /// When the board started, in the world's ms.
    booted_at: u64,
    /// How far the wall clock is from the truth.
    off_ms: i64,
    trusted: bool,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { boot: 1, booted_at: 0, off_ms: 0, trusted: true }
    }

    /// Milliseconds since the board started.
    pub(super) fn mono(&self, now: u64) -> u64 {
        now - self.booted_at + 4_000
    }

    /// When the monotonic clock will say so, in the world's ms.
    pub(super) fn when(&self, mono_ms: u64) -> u64 {
        mono_ms.saturating_add(self.booted_at).saturating_sub(4_000)
    }

    /// What every honest clock says.
    pub(super) fn truth(&self, now: u64) -> i64 {
        BEGIN_MS + now as i64
    }

    pub(super) fn stamp(&self, now: u64) -> Stamp {
        let wall_ms = self.truth(now) + self.off_ms;
        Stamp { boot: self.boot, mono_ms: self.mono(now), wall_ms, trusted: self.trusted }
    }

    /// The board starts, without a time source.
    pub(super) fn boots(&mut self, now: u64, off_ms: i64) {
        self.boot += 1;
        (self.booted_at, self.off_ms, self.trusted) = (now, off_ms, false);
    }

    pub(super) fn boot(&self) -> u32 {
        self.boot
    }

    /// A time source is found; the clock jumps to the truth, forward or back.
    pub(super) fn finds_time(&mut self) {
        (self.off_ms, self.trusted) = (0, true);
    }

    /// Somebody sets it.
    pub(super) fn is_set(&mut self, off_ms: i64) {
        self.off_ms = off_ms;
    }
}
