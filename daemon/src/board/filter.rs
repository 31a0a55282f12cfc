//! When a line is believed: what has been active for so long since its last rest, and what has rested. It never looks at a
//! clock.
//!
//! What lasts 400 ms must be seen (requirements, "signal filter"), so it is believed after less than that. What flickers, as
//! a switch does that somebody works at with a magnet or a knife, or mains by a failing charger, is believed when its active
//! times together are long enough: a rest, which begins the count anew, is as long.

/// A level of a detector's or a lid's line is believed after this, in ms: a quarter less than what must be seen, for a
/// processor that is busy.
pub const DETECTOR_MS: u64 = 300;
/// A fault of the supply is believed after this, in ms: a motor that starts is no power cut.
pub const FAULT_MS: u64 = 10_000;
/// The last breath of a supply that ends, in ms: there is no time to wait.
pub const BREATH_MS: u64 = 20;

/// One line's history, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// So long it is active before that is believed, and inactive before that is, in ms.
    hold_ms: u64,
    believed: Option<bool>,
    /// The level it has now, and since when.
    stands: Option<(bool, u64)>,
    /// How long it was active since its last rest, before the level it has now, in ms.
    active_ms: u64,
}

impl Filter {
    /// Of a line of which nothing is known yet.
    pub fn new(hold_ms: u64) -> Self {
        Self { hold_ms, believed: None, stands: None, active_ms: 0 }
    }

    /// The line is `active` from `at_ms` on. What is believed by then, where that is news.
    pub fn level(&mut self, active: bool, at_ms: u64) -> Option<bool> {
        let news = self.due(at_ms);
        match self.stands {
            Some((level, _)) if level == active => {}
            stands => {
                let was = stands.filter(|(level, _)| *level).map_or(0, |(_, since)| at_ms.saturating_sub(since));
                self.active_ms = self.active_ms.saturating_add(was);
                self.stands = Some((active, at_ms));
            }
        }
        news
    }

    /// What is believed at `now_ms`, where that is news.
    pub fn due(&mut self, now_ms: u64) -> Option<bool> {
        let (level, since) = self.stands?;
        let stood = now_ms.saturating_sub(since);
        if level && self.active_ms.saturating_add(stood) >= self.hold_ms {
            return self.believe(true);
        }
        if !level && stood >= self.hold_ms {
            self.active_ms = 0;
            return self.believe(false);
        }
        None
    }

    /// When it is to be asked again, though the line says nothing; in ms on the same clock.
    pub fn due_ms(&self) -> Option<u64> {
        let (level, since) = self.stands?;
        match level {
            true if self.believed == Some(true) => None,
            true => Some(since.saturating_add(self.hold_ms.saturating_sub(self.active_ms))),
            false if self.believed == Some(false) && self.active_ms == 0 => None,
            false => Some(since.saturating_add(self.hold_ms)),
        }
    }

    /// What is believed.
    pub fn believed(&self) -> Option<bool> {
        self.believed
    }

    fn believe(&mut self, level: bool) -> Option<bool> {
        (self.believed.replace(level) != Some(level)).then_some(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Edges at these times, the first level inactive at 0; everything believed by `end`, with when.
    fn believed(hold_ms: u64, edges: &[u64], end: u64) -> Vec<(u64, bool)> {
        let mut filter = Filter::new(hold_ms);
        let mut told = Vec::new();
        let mut edges = edges.iter().copied().peekable();
        let mut level = false;
        let mut now = 0;
        told.extend(filter.level(false, 0).map(|level| (0, level)));
        while now <= end {
            if edges.peek() == Some(&now) {
                edges.next();
                level = !level;
                told.extend(filter.level(level, now).map(|level| (now, level)));
            } else if filter.due_ms().is_some_and(|due| due <= now) {
                told.extend(filter.due(now).map(|level| (now, level)));
            }
            now += 1;
        }
        told
    }

    #[test]
    fn r87_what_lasts_400_ms_is_seen_and_what_is_gone_in_a_moment_is_not() {
        assert_eq!(believed(DETECTOR_MS, &[1_000, 1_400], 3_000), [(300, false), (1_300, true), (1_700, false)]);
        assert_eq!(believed(DETECTOR_MS, &[1_000, 1_200], 3_000), [(300, false)]);
        assert_eq!(believed(FAULT_MS, &[20_000, 29_000, 40_000], 60_000), [(10_000, false), (50_000, true)]);
    }

    #[test]
    fn a_pulse_that_is_read_late_is_seen_all_the_same() {
        let mut filter = Filter::new(DETECTOR_MS);
        assert_eq!((filter.level(false, 0), filter.due(300)), (None, Some(false)));
        // Both edges are read at once, long after they were; the kernel says when each was.
        assert_eq!(filter.level(true, 5_000), None);
        assert_eq!(filter.level(false, 5_450), Some(true));
        assert_eq!(filter.due(9_000), Some(false));
        assert_eq!(filter.due_ms(), None);
    }

    #[test]
    fn a_line_that_flickers_is_active_by_the_sum_of_its_times_until_it_rests() {
        let edges: Vec<u64> = (0..80).map(|n| 1_000 + n * 50).collect();
        assert_eq!(believed(DETECTOR_MS, &edges, 9_000), [(300, false), (1_550, true), (5_250, false)]);
        // A short flicker now and then is none.
        let edges: Vec<u64> = (0..80).map(|n| 1_000 + n / 2 * 500 + n % 2 * 50).collect();
        assert_eq!(believed(DETECTOR_MS, &edges, 30_000), [(300, false)]);
        // It counts from the first moment on.
        let edges: Vec<u64> = (0..60).map(|n| 10 + n * 50).collect();
        assert_eq!(believed(DETECTOR_MS, &edges, 2_900), [(560, true)]);
    }

    #[test]
    fn r87_mains_that_fails_again_and_again_is_lost_and_a_flicker_is_not() {
        let failing = |off: u64, on: u64, times: u64| {
            (0..times).flat_map(|n| [20_000 + n * (off + on), 20_000 + n * (off + on) + off]).collect::<Vec<_>>()
        };
        assert_eq!(believed(FAULT_MS, &failing(100, 100, 25), 60_000), [(10_000, false)]);
        let lost = |off, on, times, end| believed(FAULT_MS, &failing(off, on, times), end)[1..].to_vec();
        assert_eq!(lost(9_000, 1_000, 360, 3_700_000), [(31_000, true), (3_629_000, false)]);
        assert_eq!(lost(500, 500, 60, 120_000), [(39_500, true), (89_500, false)]);
    }

    #[test]
    fn it_is_asked_again_exactly_as_long_as_it_may_change_its_mind() {
        let mut filter = Filter::new(100);
        assert_eq!(filter.due_ms(), None);
        filter.level(true, 0);
        assert_eq!(filter.due_ms(), Some(100));
        assert_eq!(filter.due(99), None);
        assert_eq!((filter.due(100), filter.due_ms(), filter.believed()), (Some(true), None, Some(true)));
    }
}
