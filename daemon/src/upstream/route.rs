//! Which path carries what is not an alarm in a hurry: the first that is good, and back to it when it has proven itself.
//!
//! A cable that is in proves nothing and a broker's silence of a second only raises a suspicion: a suspect path keeps its
//! connection, another takes over, and what was on its way leaves there again. It never touches a route of the system.

/// A publish without the broker's word for so long makes its path suspect and an alarm leave over the other too, in
/// milliseconds (contract, "Delivery").
pub const SUSPECT_MS: u64 = 900;
/// On a slow path four round trips, but never more than this, in milliseconds.
pub const SUSPECT_WIDEST_MS: u64 = 5_000;
/// A path that has failed carries again, of its own accord, when it has worked for so long, in milliseconds,
pub const PROVEN_MS: u64 = 60_000;
/// and the centre has echoed so many beats on it.
pub const PROVEN_ECHOES: u32 = 3;

/// ```text
///          opened, never failed
///   Down ──────────────────────────────────▶ Good
///    │ ▲                                     ▲  │
///    │ └─closed─ any      60 s and 3 echoes  │  │ no word for four round trips, no carrier
///    │ opened                                │  ▼
///    └───────────▶ Proving ──────────────────┘ Suspect
///                     ▲                          │
///                     └────── a word again ──────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Down,
    Proving { since_ms: u64, echoes: u32 },
    Good,
    Suspect,
}

#[derive(Debug, Clone, Copy)]
struct Way {
    standing: Standing,
    /// It has been relied on, and failed.
    failed: bool,
}

/// All paths, the preferred first.
#[derive(Debug, Clone)]
pub struct Route {
    ways: Vec<Way>,
    carrier: Option<usize>,
}

impl Route {
    /// So many paths, all down.
    pub fn new(paths: usize) -> Self {
        Self { ways: vec![Way { standing: Standing::Down, failed: false }; paths], carrier: None }
    }

    /// A connection carries events from now on.
    pub fn opened(&mut self, at: usize, now_ms: u64) {
        let way = &mut self.ways[at];
        let proving = Standing::Proving { since_ms: now_ms, echoes: 0 };
        way.standing = if way.failed { proving } else { Standing::Good };
    }

    /// A connection is over.
    pub fn closed(&mut self, at: usize) {
        let way = &mut self.ways[at];
        way.failed |= way.standing != Standing::Down;
        way.standing = Standing::Down;
    }

    /// No word for too long, or the cable is out. Whether that is news.
    pub fn suspected(&mut self, at: usize) -> bool {
        let way = &mut self.ways[at];
        let news = matches!(way.standing, Standing::Good | Standing::Proving { .. });
        if news {
            *way = Way { standing: Standing::Suspect, failed: true };
        }
        news
    }

    /// Whether it is suspect.
    pub fn is_suspect(&self, at: usize) -> bool {
        self.ways[at].standing == Standing::Suspect
    }

    /// The suspicion has gone: the broker has answered, and the cable is in.
    pub fn relieved(&mut self, at: usize, now_ms: u64) {
        if self.ways[at].standing == Standing::Suspect {
            self.ways[at].standing = Standing::Proving { since_ms: now_ms, echoes: 0 };
        }
    }

    /// The centre has echoed a beat.
    pub fn echoed(&mut self, at: usize) {
        if let Standing::Proving { echoes, .. } = &mut self.ways[at].standing {
            *echoes += 1;
        }
    }

    /// Which path carries at `now_ms`; `None` while none is open.
    pub fn carrier(&mut self, now_ms: u64) -> Option<usize> {
        for way in &mut self.ways {
            if proven_at_ms(way).is_some_and(|at| at <= now_ms) {
                *way = Way { standing: Standing::Good, failed: false };
            }
        }
        let rank = |at: usize| match self.ways[at].standing {
            Standing::Good => 0,
            Standing::Proving { .. } => 1,
            Standing::Suspect => 2,
            Standing::Down => 3,
        };
        let best = (0..self.ways.len()).filter(|at| rank(*at) < 3).min_by_key(|at| (rank(*at), *at));
        let stays = |at: &usize| {
            let preferred_is_good = || (0..*at).any(|other| rank(other) == 0);
            match rank(*at) {
                0 | 1 => !preferred_is_good(),
                2 => best.is_none_or(|best| rank(best) == 2),
                _ => false,
            }
        };
        self.carrier = self.carrier.filter(stays).or(best);
        self.carrier
    }

    /// When a path will have proven itself, in monotonic milliseconds.
    pub fn due_ms(&self) -> Option<u64> {
        self.ways.iter().filter_map(proven_at_ms).min()
    }
}

fn proven_at_ms(way: &Way) -> Option<u64> {
    match way.standing {
        Standing::Proving { since_ms, echoes } if echoes >= PROVEN_ECHOES => Some(since_ms + PROVEN_MS),
        _ => None,
    }
}

/// A path's round trip to the broker, smoothed over eight answers as TCP does it (RFC 6298).
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    smoothed_ms: Option<u64>,
}

impl Pace {
    /// An answer took so long.
    pub fn answered(&mut self, took_ms: u64) {
        let smoothed = self.smoothed_ms.map_or(took_ms, |ms| (7 * ms + took_ms).div_ceil(8));
        self.smoothed_ms = Some(smoothed.min(SUSPECT_WIDEST_MS));
    }

    /// How long to wait for a word before something is done about it, in milliseconds.
    pub fn patience_ms(&self) -> u64 {
        (4 * self.smoothed_ms.unwrap_or(0)).clamp(SUSPECT_MS, SUSPECT_WIDEST_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETH: usize = 0;
    const LTE: usize = 1;

    fn both_open() -> Route {
        let mut route = Route::new(2);
        route.opened(LTE, 0);
        assert_eq!(route.carrier(0), Some(LTE), "whichever is there first");
        route.opened(ETH, 300);
        assert_eq!(route.carrier(300), Some(ETH), "what never failed need not prove itself");
        route
    }

    #[test]
    fn r28_a_suspect_path_hands_over_at_once_and_carries_again_after_a_stable_minute() {
        let mut route = both_open();
        assert!(route.suspected(ETH) && !route.suspected(ETH), "told once");
        assert_eq!(route.carrier(1_000), Some(LTE));
        route.relieved(ETH, 2_000);
        for _ in 0..PROVEN_ECHOES {
            assert_eq!((route.carrier(61_999), route.due_ms()), (Some(LTE), None), "no minute without echoes");
            route.echoed(ETH);
        }
        assert_eq!(route.due_ms(), Some(62_000));
        assert_eq!(route.carrier(61_999), Some(LTE));
        assert_eq!(route.carrier(62_000), Some(ETH));
    }

    #[test]
    fn a_path_that_flaps_does_not_take_events_with_it() {
        let mut route = both_open();
        for second in 1..100 {
            route.closed(ETH);
            assert_eq!(route.carrier(second * 3_000), Some(LTE));
            route.opened(ETH, second * 3_000 + 1_500);
            route.echoed(ETH);
            assert_eq!(route.carrier(second * 3_000 + 1_500), Some(LTE), "flap {second}");
        }
    }

    #[test]
    fn the_only_path_carries_whatever_is_said_of_it() {
        let mut route = Route::new(2);
        assert_eq!(route.carrier(0), None);
        route.opened(ETH, 0);
        route.suspected(ETH);
        assert_eq!(route.carrier(1), Some(ETH));
        route.opened(LTE, 2);
        route.suspected(LTE);
        assert_eq!(route.carrier(3), Some(ETH), "no better than what carries");
        route.closed(LTE);
        route.opened(LTE, 4);
        assert_eq!(route.carrier(5), Some(LTE));
        route.closed(ETH);
        route.opened(ETH, 6);
        assert_eq!(route.carrier(7), Some(LTE));
        route.closed(LTE);
        assert_eq!(route.carrier(8), Some(ETH));
        route.closed(ETH);
        assert_eq!(route.carrier(9), None);
    }

    #[test]
    fn patience_is_four_round_trips_within_bounds() {
        let mut pace = Pace::default();
        assert_eq!(pace.patience_ms(), SUSPECT_MS);
        pace.answered(70);
        assert_eq!(pace.patience_ms(), SUSPECT_MS);
        (0..50).for_each(|_| pace.answered(600));
        assert!((2_300..=2_400).contains(&pace.patience_ms()), "{}", pace.patience_ms());
        (0..50).for_each(|_| pace.answered(30_000));
        assert_eq!(pace.patience_ms(), SUSPECT_WIDEST_MS);
        (0..50).for_each(|_| pace.answered(0));
        assert_eq!(pace.patience_ms(), SUSPECT_MS);
    }
}
