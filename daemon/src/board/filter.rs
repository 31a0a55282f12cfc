//! When a line is believed: a level that has stood for a while, or a line that finds no rest. It never looks at a clock.
//!
//! What lasts 400 ms must be seen (requirements, "signal filter"), so a level is believed after less than that. A line that
//! flickers faster, as a switch does that somebody works at with a magnet or a knife, would never be believed: after two
//! seconds without rest it counts as active.

/// A level of a detector's or a lid's line is believed after this, in ms: a quarter less than what must be seen, for a
/// processor that is busy.
pub const DETECTOR_MS: u64 = 300;
/// A fault of the supply is believed after this, in ms (requirements, "fault 10 s").
pub const FAULT_MS: u64 = 10_000;
/// The last breath of a supply that ends, in ms: there is no time to wait.
pub const BREATH_MS: u64 = 20;
/// A line that finds no rest for so long counts as active, in ms; where a level must stand for longer, for as long.
const RESTLESS_MS: u64 = 2_000;

/// One line's history, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// So long a level stands before it is believed, in ms.
    hold_ms: u64,
    believed: Option<bool>,
    /// The level it has now, and since when.
    stands: Option<(bool, u64)>,
    /// Since when it has found no rest.
    restless_ms: Option<u64>,
}

impl Filter {
    /// Of a line of which nothing is known yet.
    pub fn new(hold_ms: u64) -> Self {
        Self { hold_ms, believed: None, stands: None, restless_ms: None }
    }

    /// The line is `active` from `at_ms` on. What is believed by then, where that is news.
    pub fn level(&mut self, active: bool, at_ms: u64) -> Option<bool> {
        let news = self.due(at_ms);
        if self.stands.is_none_or(|(level, _)| level != active) {
            // The first level is no edge, and after a rest the count begins anew.
            let edge = self.stands.is_some();
            self.restless_ms = self.restless_ms.or(edge.then_some(at_ms));
            self.stands = Some((active, at_ms));
        }
        news.or_else(|| self.due(at_ms))
    }

    /// What is believed at `now_ms`, where that is news.
    pub fn due(&mut self, now_ms: u64) -> Option<bool> {
        let (level, since) = self.stands?;
        let stood = now_ms.saturating_sub(since);
        if stood >= self.rest_ms() {
            self.restless_ms = None;
        }
        if stood >= self.hold_ms {
            return self.believe(level);
        }
        let restless = self.restless_ms.is_some_and(|from| now_ms.saturating_sub(from) >= self.patience_ms());
        if restless { self.believe(true) } else { None }
    }

    /// When it is to be asked again, though the line says nothing; in ms on the same clock.
    pub fn due_ms(&self) -> Option<u64> {
        let (level, since) = self.stands?;
        let stands = (self.believed != Some(level)).then_some(since + self.hold_ms);
        let rests = self.restless_ms.map(|_| since + self.rest_ms());
        let restless = self.restless_ms.filter(|_| self.believed != Some(true)).map(|from| from + self.patience_ms());
        stands.into_iter().chain(rests).chain(restless).min()
    }

    /// What is believed.
    pub fn believed(&self) -> Option<bool> {
        self.believed
    }

    /// A level that stands for so long is a rest, in ms.
    fn rest_ms(&self) -> u64 {
        self.hold_ms.min(DETECTOR_MS)
    }

    fn patience_ms(&self) -> u64 {
        self.hold_ms.max(RESTLESS_MS)
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
    fn a_line_that_finds_no_rest_is_active_until_it_does() {
        let edges: Vec<u64> = (0..80).map(|n| 1_000 + n * 50).collect();
        assert_eq!(believed(DETECTOR_MS, &edges, 9_000), [(300, false), (3_000, true), (5_250, false)]);
        // A short flicker now and then is none.
        let edges: Vec<u64> = (0..80).map(|n| 1_000 + n / 2 * 500 + n % 2 * 50).collect();
        assert_eq!(believed(DETECTOR_MS, &edges, 30_000), [(300, false)]);
    }

    #[test]
    fn r87_mains_that_flickers_for_ten_seconds_is_lost_and_for_five_is_not() {
        let flicker = |edges: u64| (0..edges).map(|n| 20_000 + n * 100).collect::<Vec<_>>();
        assert_eq!(believed(FAULT_MS, &flicker(50), 60_000), [(10_000, false)]);
        assert_eq!(believed(FAULT_MS, &flicker(110), 80_000), [(10_000, false), (30_000, true), (40_900, false)]);
    }

    #[test]
    fn a_line_that_flickers_from_the_start_is_active() {
        let edges: Vec<u64> = (0..60).map(|n| 10 + n * 50).collect();
        assert_eq!(believed(DETECTOR_MS, &edges, 2_900), [(2_010, true)]);
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
