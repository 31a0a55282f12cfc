//! Whether each of the hub's paths is alive, judged from its beats alone (contract, `path/{name}` and `/beat`), and
//! whether the hub is heard at all.
//!
//! Pure. A path is lost before its third beat is missed, so that the loss of one that beats every 20 s is known within a
//! minute, and never because all of the centre's own lines that it could be heard on were down. What was told before the
//! centre fell is remembered, so nothing is told twice.

use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;

/// Silence of so many tenths of an expected beat makes a path lost: two beats were missed, and the third is all but due.
const TENTHS_TO_LOSE: u64 = 29;

/// The most paths one hub is believed to have; further names are ignored, a hub has two.
pub const PATHS_MAX: usize = 8;

/// What the centre thinks of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Heard in time.
    Up,
    /// Silent for almost three expected beats.
    Lost,
    /// Its last will, or the hub itself, says that it is down.
    SaidDown,
}

/// A changed verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathNews {
    /// The path's name.
    pub path: String,
    /// What is thought of it from now on.
    pub verdict: Verdict,
    /// How long it had been silent, milliseconds.
    pub silent_ms: u64,
}

/// Contact ID of a word about the whole transmission system (the daemon's codes have 351 and 352, one for each path).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cid {
    /// 1 it began, 3 it is over.
    pub q: u8,
    /// 350.
    pub code: u16,
}

/// The hub is heard on no path any more, or on one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AllPaths {
    /// Its Contact ID.
    pub cid: Cid,
    /// Whether all are lost.
    pub lost: bool,
    /// How long nothing had been heard of it, milliseconds; 0 when it is back.
    pub silent_ms: u64,
}

#[derive(Debug)]
struct Path {
    heard_ms: u64,
    /// The line it was last heard on; none while it is only remembered.
    line: Option<usize>,
    verdict: Option<Verdict>,
    /// Since when.
    since_ms: u64,
    counter: Option<u64>,
    beats: u64,
    missed: u64,
}

impl Path {
    fn is_down(&self) -> bool {
        matches!(self.verdict, Some(Verdict::Lost | Verdict::SaidDown))
    }
}

/// All paths of one hub.
#[derive(Debug)]
pub struct Paths {
    expected_ms: BTreeMap<String, u64>,
    default_ms: u64,
    /// Whether each of the centre's own lines is up.
    lines: Vec<bool>,
    paths: BTreeMap<String, Path>,
    all_lost: bool,
}

impl Paths {
    /// Paths whose beats come every `expected_ms[name]`, others every `default_ms`, heard on one of `lines` lines.
    pub fn new(expected_ms: BTreeMap<String, u64>, default_ms: u64, lines: usize) -> Self {
        Self { expected_ms, default_ms, lines: vec![false; lines], paths: BTreeMap::new(), all_lost: false }
    }

    /// What was told of a path, and of all, before the centre fell.
    pub fn remember(&mut self, verdicts: &BTreeMap<String, Verdict>, all_lost: bool) {
        for (name, verdict) in verdicts {
            if let Some(path) = self.path(name, 0) {
                path.verdict = Some(*verdict);
            }
        }
        self.all_lost = all_lost;
    }

    /// One of the centre's own lines came up or went down. What is heard on it is silent from now on, and while none is up
    /// that the hub can be heard on, nothing is judged.
    pub fn line(&mut self, line: usize, up: bool, now_ms: u64) {
        let was_audible = self.audible();
        match self.lines.get_mut(line) {
            Some(known) if *known != up => *known = up,
            _ => return, // one more dial that failed begins no new silence
        }
        let all = !was_audible && self.audible();
        for path in self.paths.values_mut().filter(|path| all || path.line.is_none_or(|of| of == line)) {
            path.heard_ms = now_ms;
        }
    }

    /// Whether a line is up that the hub can be heard on.
    pub fn audible(&self) -> bool {
        let up = |line: Option<usize>| line.is_none_or(|line| self.lines.get(line) == Some(&true));
        let known = self.paths.is_empty() || self.paths.values().any(|path| up(path.line));
        known && self.lines.contains(&true)
    }

    /// A beat arrived. Counters that were jumped over are counted as missed.
    pub fn beat(&mut self, name: &str, counter: u64, line: usize, now_ms: u64) -> Option<PathNews> {
        let path = self.path(name, now_ms)?;
        path.beats += 1;
        if let Some(last) = path.counter.filter(|last| counter > *last) {
            path.missed += counter - last - 1;
        }
        path.counter = Some(counter);
        path.line = Some(line);
        heard(name, path, Verdict::Up, now_ms)
    }

    /// A birth (`up`) or last will (`!up`) arrived. A retained birth is old news and proves nothing, so it only
    /// begins the supervision. A will on another line than the path lives on is that of a connection it has left.
    pub fn birth(&mut self, name: &str, up: bool, retained: bool, line: usize, now_ms: u64) -> Option<PathNews> {
        let path = self.path(name, now_ms)?;
        if up && retained {
            path.line.get_or_insert(line);
            return None;
        }
        let left = !up && path.verdict == Some(Verdict::Up) && path.line.is_some_and(|of| of != line);
        if left || !up && path.is_down() {
            return None;
        }
        path.counter = None;
        path.line = Some(line);
        heard(name, path, if up { Verdict::Up } else { Verdict::SaidDown }, now_ms)
    }

    /// Verdicts that have fallen due.
    pub fn poll(&mut self, now_ms: u64) -> Vec<PathNews> {
        if !self.audible() {
            return Vec::new();
        }
        let due: Vec<String> = self.deadlines().filter(|(_, at)| *at <= now_ms).map(|(name, _)| name.clone()).collect();
        let mut news = Vec::new();
        for name in due {
            let Some(path) = self.paths.get_mut(&name) else { continue };
            (path.verdict, path.since_ms) = (Some(Verdict::Lost), now_ms);
            let silent_ms = now_ms.saturating_sub(path.heard_ms);
            news.push(PathNews { path: name, verdict: Verdict::Lost, silent_ms });
        }
        news
    }

    /// Whether the hub as a whole has fallen silent or is back, if that has changed. Wills alone do not make it silent: a
    /// hub that is started again has both of them told, and is back before a primary path would be lost.
    pub fn whole(&mut self, now_ms: u64) -> Option<AllPaths> {
        let lost = if self.all_lost {
            self.paths.values().all(Path::is_down)
        } else {
            self.silent_at_ms().is_some_and(|at| at <= now_ms)
        };
        if lost == self.all_lost {
            return None;
        }
        self.all_lost = lost;
        let silent_ms = if lost { now_ms.saturating_sub(self.heard_ms()) } else { 0 };
        Some(AllPaths { cid: Cid { q: if lost { 1 } else { 3 }, code: 350 }, lost, silent_ms })
    }

    /// When `poll` or `whole` will next have something to say, in the caller's milliseconds.
    pub fn due_at_ms(&self) -> Option<u64> {
        let whole = self.silent_at_ms().filter(|_| !self.all_lost);
        self.deadlines().map(|(_, at)| at).chain(whole).min().filter(|_| self.audible())
    }

    /// Whether all paths are lost.
    pub fn all_lost(&self) -> bool {
        self.all_lost
    }

    /// What is thought of a path; `None` when nothing was heard of it on it.
    pub fn verdict(&self, name: &str) -> Option<Verdict> {
        self.paths.get(name).and_then(|path| path.verdict)
    }

    /// Beats received on a path, and those its counter jumped over.
    pub fn beats(&self, name: &str) -> (u64, u64) {
        self.paths.get(name).map_or((0, 0), |path| (path.beats, path.missed))
    }

    fn expected_ms(&self, name: &str) -> u64 {
        self.expected_ms.get(name).copied().unwrap_or(self.default_ms)
    }

    /// When each path that is not down will be lost. Once every path of the shortest rhythm is down, the hub keeps that
    /// rhythm on the others, and they are held to it.
    fn deadlines(&self) -> impl Iterator<Item = (&String, u64)> {
        let shortest_ms = self.paths.keys().map(|name| self.expected_ms(name)).min().unwrap_or(self.default_ms);
        let mut primaries = self.paths.iter().filter(|(name, _)| self.expected_ms(name) == shortest_ms);
        let down_since = |(_, path): (&String, &Path)| path.is_down().then_some(path.since_ms);
        let urgent_since = primaries.try_fold(0, |latest, path| Some(down_since(path)?.max(latest)));
        self.paths.iter().filter(|(_, path)| !path.is_down()).map(move |(name, path)| {
            let own = path.heard_ms + patience_ms(self.expected_ms(name));
            let urgent = urgent_since.map(|since| since.max(path.heard_ms) + patience_ms(shortest_ms));
            (name, urgent.map_or(own, |urgent| urgent.min(own)))
        })
    }

    fn heard_ms(&self) -> u64 {
        self.paths.values().map(|path| path.heard_ms).max().unwrap_or_default()
    }

    /// When the hub is silent as a whole, all its paths being down.
    fn silent_at_ms(&self) -> Option<u64> {
        let down = self.audible() && !self.paths.is_empty() && self.paths.values().all(Path::is_down);
        let shortest_ms = self.paths.keys().map(|name| self.expected_ms(name)).min()?;
        down.then(|| self.heard_ms() + patience_ms(shortest_ms))
    }

    fn path(&mut self, name: &str, now_ms: u64) -> Option<&mut Path> {
        if !self.paths.contains_key(name) && self.paths.len() >= PATHS_MAX {
            return None;
        }
        let new = || Path {
            heard_ms: now_ms,
            line: None,
            verdict: None,
            since_ms: now_ms,
            counter: None,
            beats: 0,
            missed: 0,
        };
        Some(self.paths.entry(name.to_owned()).or_insert_with(new))
    }
}

fn patience_ms(expected_ms: u64) -> u64 {
    expected_ms * TENTHS_TO_LOSE / 10
}

fn heard(name: &str, path: &mut Path, verdict: Verdict, now_ms: u64) -> Option<PathNews> {
    let silent_ms = now_ms.saturating_sub(path.heard_ms);
    if verdict == Verdict::Up {
        path.heard_ms = now_ms;
    }
    if path.verdict == Some(verdict) {
        return None;
    }
    (path.verdict, path.since_ms) = (Some(verdict), now_ms);
    Some(PathNews { path: name.to_owned(), verdict, silent_ms })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn expected() -> BTreeMap<String, u64> {
        BTreeMap::from([("lte".to_owned(), 180_000)])
    }

    fn paths() -> Paths {
        let mut paths = Paths::new(expected(), 20_000, 1);
        paths.line(0, true, 0);
        paths
    }

    /// A hub behind two brokers, Ethernet on the first and LTE on the second, both heard at 0.
    fn two() -> Paths {
        let mut paths = Paths::new(expected(), 20_000, 2);
        (0..2).for_each(|line| paths.line(line, true, 0));
        paths.beat("eth", 1, 0, 0);
        paths.beat("lte", 1, 1, 0);
        paths
    }

    fn names(news: &[PathNews]) -> Vec<&str> {
        news.iter().map(|news| news.path.as_str()).collect()
    }

    #[test]
    fn a_lost_primary_is_known_within_a_minute_and_one_beat_brings_it_back() {
        let mut paths = paths();
        assert_eq!(paths.beat("eth", 1, 0, 0).unwrap().verdict, Verdict::Up);
        assert_eq!(paths.beat("lte", 1, 0, 0).unwrap().verdict, Verdict::Up);
        assert!(paths.poll(57_999).is_empty());
        assert_eq!(paths.due_at_ms(), Some(58_000));
        let lost = PathNews { path: "eth".to_owned(), verdict: Verdict::Lost, silent_ms: 58_000 };
        assert_eq!(paths.poll(58_000), vec![lost]);
        assert!(paths.poll(90_000).is_empty(), "a verdict is given once");
        assert_eq!(paths.whole(90_000), None, "the other is there");
        assert_eq!(paths.beat("eth", 5, 0, 91_000).unwrap().verdict, Verdict::Up);
        assert_eq!(paths.beats("eth"), (2, 3));
        assert_eq!(paths.verdict("lte"), Some(Verdict::Up));
    }

    #[test]
    fn without_a_primary_the_other_is_held_to_its_rhythm_and_then_all_are_lost_once() {
        let mut paths = two();
        assert_eq!(names(&paths.poll(58_000)), ["eth"]);
        assert_eq!(paths.due_at_ms(), Some(116_000), "not the nine minutes of a path at rest");
        paths.beat("lte", 2, 1, 70_000);
        assert_eq!(names(&paths.poll(127_999)), Vec::<&str>::new());
        assert_eq!(names(&paths.poll(128_000)), ["lte"]);
        let lost = AllPaths { cid: Cid { q: 1, code: 350 }, lost: true, silent_ms: 58_000 };
        assert_eq!((paths.whole(128_000), paths.whole(128_001)), (Some(lost), None));
        assert_eq!(paths.due_at_ms(), None);
        paths.beat("lte", 3, 1, 500_000);
        let back = AllPaths { cid: Cid { q: 3, code: 350 }, lost: false, silent_ms: 0 };
        assert_eq!((paths.whole(500_000), paths.whole(500_001)), (Some(back), None));
    }

    #[test]
    fn a_hub_that_is_started_again_says_down_twice_and_is_not_lost() {
        let mut paths = two();
        for (name, line) in [("eth", 0), ("lte", 1)] {
            assert_eq!(paths.birth(name, false, false, line, 1_000).unwrap().verdict, Verdict::SaidDown);
        }
        assert_eq!((paths.whole(1_000), paths.due_at_ms()), (None, Some(58_000)));
        assert_eq!(paths.birth("eth", true, false, 0, 6_000).unwrap().verdict, Verdict::Up);
        assert_eq!(paths.whole(58_000), None);
        assert!(paths.birth("lte", false, true, 1, 7_000).is_none(), "it is known to be down");
        paths.birth("eth", false, false, 0, 60_000);
        assert_eq!(paths.whole(64_000).unwrap().silent_ms, 58_000, "and this time it does not come back");
    }

    #[test]
    fn the_centres_own_absence_is_not_the_hubs_silence() {
        let mut paths = paths();
        paths.beat("eth", 1, 0, 0);
        paths.line(0, false, 10_000);
        assert!(paths.poll(500_000).is_empty());
        paths.line(0, true, 500_000);
        assert!(paths.poll(557_999).is_empty());
        assert_eq!(paths.poll(558_000).len(), 1);
    }

    #[test]
    fn one_dead_line_of_two_loses_its_path_a_minute_later_and_only_then_all() {
        let mut paths = two();
        paths.line(0, false, 10_000);
        paths.line(0, false, 12_000);
        assert_eq!(names(&paths.poll(67_999)), Vec::<&str>::new(), "a broker that is started again costs nothing");
        assert_eq!(names(&paths.poll(68_000)), ["eth"]);
        assert_eq!(paths.whole(68_000), None);
        // The hub has left the dead broker; what is told of its old connection later is old.
        assert_eq!(paths.beat("eth", 9, 1, 70_000).unwrap().verdict, Verdict::Up);
        paths.line(0, true, 80_000);
        assert_eq!(paths.birth("eth", false, true, 0, 80_000), None);
        assert_eq!(paths.verdict("eth"), Some(Verdict::Up));

        let mut only = Paths::new(expected(), 20_000, 2);
        (0..2).for_each(|line| only.line(line, true, 0));
        only.beat("eth", 1, 0, 0);
        only.line(0, false, 10_000);
        assert_eq!((only.poll(900_000), only.due_at_ms()), (vec![], None), "it can be heard on no line that is up");
    }

    #[test]
    fn what_was_told_before_the_centre_fell_is_not_told_again() {
        let mut told = BTreeMap::from([("eth".to_owned(), Verdict::Lost), ("lte".to_owned(), Verdict::Up)]);
        let mut paths = Paths::new(expected(), 20_000, 2);
        paths.remember(&told, false);
        assert_eq!((paths.poll(900_000), paths.due_at_ms()), (vec![], None), "it does not listen yet");
        paths.line(0, true, 1_000_000);
        assert_eq!(names(&paths.poll(1_058_000)), ["lte"], "the one that was good has its minute");
        assert!(paths.whole(1_058_000).unwrap().lost);

        told.insert("lte".to_owned(), Verdict::Lost);
        let mut paths = Paths::new(expected(), 20_000, 2);
        paths.remember(&told, true);
        paths.line(1, true, 2_000_000);
        assert_eq!((paths.poll(3_000_000), paths.whole(3_000_000)), (vec![], None));
        assert_eq!(paths.beat("lte", 1, 1, 3_000_000).unwrap().verdict, Verdict::Up);
        assert!(!paths.whole(3_000_000).unwrap().lost);
    }

    #[test]
    fn a_last_will_speaks_at_once_and_a_retained_birth_proves_nothing() {
        let mut paths = paths();
        assert_eq!(paths.birth("eth", true, true, 0, 0), None);
        assert_eq!(paths.verdict("eth"), None);
        assert_eq!(paths.birth("eth", true, false, 0, 1).unwrap().verdict, Verdict::Up);
        assert_eq!(paths.birth("eth", false, false, 0, 2).unwrap().verdict, Verdict::SaidDown);
        assert_eq!(paths.birth("lte", true, true, 0, 0), None);
        assert_eq!(paths.poll(540_001).len(), 1, "a birth nobody follows up is a lost path");
    }
}
