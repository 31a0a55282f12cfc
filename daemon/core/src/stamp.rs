//! Time as data: when something happened, on the clock that cannot lie and on the one people read.
//!
//! A Pi has no clock chip: after a power cut its wall clock starts anywhere. So every event carries the
//! boot's number and the milliseconds since that boot (CLOCK_BOOTTIME, which also counts suspend), and says
//! whether its wall time was trusted. This file never asks a clock; time is an argument everywhere in this crate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One moment, as `hub/io` read it from the clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stamp {
    /// How many times the board has started, from 1.
    pub boot: u32,
    /// Milliseconds since that start (CLOCK_BOOTTIME).
    pub mono_ms: u64,
    /// Milliseconds since 1970-01-01 UTC, as the wall clock says.
    pub wall_ms: i64,
    /// Whether the wall clock has been set by a time source since the board started.
    pub trusted: bool,
}

impl Stamp {
    /// The same moment with a wall time that can be written and read back: a mad clock is clamped to year 0..9999.
    pub fn sane(self) -> Self {
        Self { wall_ms: self.wall_ms.clamp(YEAR_0, YEAR_9999_END), ..self }
    }

    /// The wall time as the contract writes it: UTC, RFC 3339, milliseconds, `Z`.
    pub fn at(&self) -> String {
        rfc3339(self.wall_ms)
    }
}

const YEAR_0: i64 = -62_167_219_200_000;
const YEAR_9999_END: i64 = 253_402_207_199_999; // what jiff still takes, two hours short of the calendar's end

/// Milliseconds since 1970 as `2026-11-20T21:39:00.000Z`. Times outside year 0..9999 are clamped to it, so that a
/// mad clock cannot produce a string that no reader parses.
pub fn rfc3339(wall_ms: i64) -> String {
    let clamped = wall_ms.clamp(YEAR_0, YEAR_9999_END);
    let stamp = jiff::Timestamp::from_millisecond(clamped).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{stamp:.3}")
}

/// Reads a time as `rfc3339` writes it (any RFC 3339 offset and precision is taken).
///
/// # Errors
/// The text, and why it is not a time.
pub fn parse_rfc3339(text: &str) -> Result<i64, String> {
    text.parse::<jiff::Timestamp>()
        .map(|stamp| stamp.as_millisecond())
        .map_err(|e| format!("`{text}` is not a time like 2026-11-20T21:39:00Z: {e}"))
}

/// A duty with a time: it falls due `length_ms` after `from`, and stays honest across a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deadline {
    /// When the delay began.
    pub from: Stamp,
    /// How long it lasts, in milliseconds.
    pub length_ms: u64,
}

impl Deadline {
    /// A delay of `length_ms` that begins at `from`.
    pub fn after(from: Stamp, length_ms: u64) -> Self {
        Self { from, length_ms }
    }

    /// Milliseconds until it falls due, 0 when it has. In the boot it began in the monotonic clock decides; in a
    /// later boot the wall clock does, if it was trusted then and is now. `None`: it cannot be known, and the
    /// delay must start over (requirements, "restart").
    pub fn remaining_ms(&self, now: Stamp) -> Option<u64> {
        let elapsed = if now.boot == self.from.boot {
            now.mono_ms.saturating_sub(self.from.mono_ms)
        } else if now.trusted && self.from.trusted {
            u64::try_from(now.wall_ms.saturating_sub(self.from.wall_ms)).unwrap_or(0)
        } else {
            return None;
        };
        Some(self.length_ms.saturating_sub(elapsed))
    }

    /// Begins again at `now` where nobody can prove how much of it has passed.
    pub fn restart(&mut self, now: Stamp) {
        if self.remaining_ms(now).is_none() {
            self.from = now;
        }
    }

    /// The wall time it falls due at, for people and for the centre.
    pub fn wall_ms(&self) -> i64 {
        self.from.wall_ms.saturating_add(i64::try_from(self.length_ms).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(boot: u32, mono_ms: u64, wall_ms: i64, trusted: bool) -> Stamp {
        Stamp { boot, mono_ms, wall_ms, trusted }
    }

    #[test]
    fn times_are_written_with_milliseconds_and_z() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_210_740_007), "2026-11-20T21:39:00.007Z");
        assert_eq!(parse_rfc3339("2026-11-20T21:39:00.007Z"), Ok(1_795_210_740_007));
        assert!(parse_rfc3339("yesterday").unwrap_err().contains("yesterday"));
        for mad in [i64::MIN, YEAR_0, YEAR_9999_END, i64::MAX] {
            let sane = stamp(1, 0, mad, false).sane();
            assert_eq!(parse_rfc3339(&sane.at()), Ok(sane.wall_ms), "what is written reads back");
        }
    }

    #[test]
    fn a_deadline_follows_the_monotonic_clock_within_its_boot() {
        let deadline = Deadline::after(stamp(3, 1_000, 0, false), 45_000);
        // the wall clock jumps ten years: nothing changes
        assert_eq!(deadline.remaining_ms(stamp(3, 11_000, 315_360_000_000, true)), Some(35_000));
        assert_eq!(deadline.remaining_ms(stamp(3, 46_000, 0, false)), Some(0));
    }

    #[test]
    fn after_a_restart_only_two_trusted_clocks_prove_how_much_is_left() {
        let deadline = Deadline::after(stamp(3, 1_000, 100_000, true), 45_000);
        assert_eq!(deadline.remaining_ms(stamp(4, 5, 110_000, true)), Some(35_000));
        assert_eq!(deadline.remaining_ms(stamp(4, 5, 110_000, false)), None);
        assert_eq!(deadline.remaining_ms(stamp(4, 5, 50_000, true)), Some(45_000), "a clock set back never shortens");
    }
}
