//! Whether each of the hub's paths is alive, judged from its beats alone (contract, `path/{name}` and `/beat`).
//!
//! Pure. A path is lost after three beats' time of silence, never because the centre's own line was down.

use serde::Serialize;
use std::collections::BTreeMap;

/// Silence of this many expected beats makes a path lost.
pub const BEATS_TO_LOSE: u64 = 3;

/// The most paths one hub is believed to have; further names are ignored, a hub has two.
pub const PATHS_MAX: usize = 8;

/// What the centre thinks of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Heard in time.
    Up,
    /// Silent for more than three expected beats.
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

#[derive(Debug)]
struct Path {
    heard_ms: u64,
    verdict: Option<Verdict>,
    counter: Option<u64>,
    beats: u64,
    missed: u64,
}

/// All paths of one hub.
#[derive(Debug)]
pub struct Paths {
    expected_ms: BTreeMap<String, u64>,
    default_ms: u64,
    line_up: bool,
    paths: BTreeMap<String, Path>,
}

impl Paths {
    /// Paths whose beats come every `expected_ms[name]`, others every `default_ms`.
    pub fn new(expected_ms: BTreeMap<String, u64>, default_ms: u64) -> Self {
        Self { expected_ms, default_ms, line_up: false, paths: BTreeMap::new() }
    }

    /// The centre's own line came up or went down. While it is down nothing is judged, and every silence starts over.
    pub fn line(&mut self, up: bool, now_ms: u64) {
        self.line_up = up;
        for path in self.paths.values_mut() {
            path.heard_ms = now_ms;
        }
    }

    /// A beat arrived. Counters that were jumped over are counted as missed.
    pub fn beat(&mut self, name: &str, counter: u64, now_ms: u64) -> Option<PathNews> {
        let path = self.path(name, now_ms)?;
        path.beats += 1;
        if let Some(last) = path.counter.filter(|last| counter > *last) {
            path.missed += counter - last - 1;
        }
        path.counter = Some(counter);
        heard(name, path, Verdict::Up, now_ms)
    }

    /// A birth (`up`) or last will (`!up`) arrived. A retained birth is old news and proves nothing, so it only
    /// begins the supervision.
    pub fn birth(&mut self, name: &str, up: bool, retained: bool, now_ms: u64) -> Option<PathNews> {
        let path = self.path(name, now_ms)?;
        path.counter = None;
        if up && retained {
            return None;
        }
        heard(name, path, if up { Verdict::Up } else { Verdict::SaidDown }, now_ms)
    }

    /// Verdicts that have fallen due.
    pub fn poll(&mut self, now_ms: u64) -> Vec<PathNews> {
        if !self.line_up {
            return Vec::new();
        }
        let limits: Vec<(String, u64)> = self.paths.keys().map(|name| (name.clone(), self.limit_ms(name))).collect();
        let mut news = Vec::new();
        for (name, limit) in limits {
            let Some(path) = self.paths.get_mut(&name) else { continue };
            let silent_ms = now_ms.saturating_sub(path.heard_ms);
            if silent_ms > limit && matches!(path.verdict, None | Some(Verdict::Up)) {
                path.verdict = Some(Verdict::Lost);
                news.push(PathNews { path: name, verdict: Verdict::Lost, silent_ms });
            }
        }
        news
    }

    /// When `poll` will next have something to say, in the caller's milliseconds.
    pub fn due_at_ms(&self) -> Option<u64> {
        if !self.line_up {
            return None;
        }
        let judged = self.paths.iter().filter(|(_, path)| matches!(path.verdict, None | Some(Verdict::Up)));
        judged.map(|(name, path)| path.heard_ms + self.limit_ms(name) + 1).min()
    }

    /// What is thought of a path; `None` when nothing was heard of it on it.
    pub fn verdict(&self, name: &str) -> Option<Verdict> {
        self.paths.get(name).and_then(|path| path.verdict)
    }

    /// Beats received on a path, and those its counter jumped over.
    pub fn beats(&self, name: &str) -> (u64, u64) {
        self.paths.get(name).map_or((0, 0), |path| (path.beats, path.missed))
    }

    fn limit_ms(&self, name: &str) -> u64 {
        self.expected_ms.get(name).copied().unwrap_or(self.default_ms) * BEATS_TO_LOSE
    }

    fn path(&mut self, name: &str, now_ms: u64) -> Option<&mut Path> {
        if !self.paths.contains_key(name) && self.paths.len() >= PATHS_MAX {
            return None;
        }
        let new = || Path { heard_ms: now_ms, verdict: None, counter: None, beats: 0, missed: 0 };
        Some(self.paths.entry(name.to_owned()).or_insert_with(new))
    }
}

fn heard(name: &str, path: &mut Path, verdict: Verdict, now_ms: u64) -> Option<PathNews> {
    let silent_ms = now_ms.saturating_sub(path.heard_ms);
    if verdict == Verdict::Up {
        path.heard_ms = now_ms;
    }
    let changed = path.verdict != Some(verdict);
    path.verdict = Some(verdict);
    changed.then(|| PathNews { path: name.to_owned(), verdict, silent_ms })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn paths() -> Paths {
        let mut paths = Paths::new(BTreeMap::from([("lte".to_owned(), 180_000)]), 20_000);
        paths.line(true, 0);
        paths
    }

    #[test]
    fn three_silent_beats_lose_a_path_and_one_beat_brings_it_back() {
        let mut paths = paths();
        assert_eq!(paths.beat("eth", 1, 0).unwrap().verdict, Verdict::Up);
        assert_eq!(paths.beat("lte", 1, 0).unwrap().verdict, Verdict::Up);
        assert!(paths.poll(60_000).is_empty());
        assert_eq!(paths.due_at_ms(), Some(60_001));
        let lost = PathNews { path: "eth".to_owned(), verdict: Verdict::Lost, silent_ms: 60_001 };
        assert_eq!(paths.poll(60_001), vec![lost]);
        assert!(paths.poll(90_000).is_empty(), "a verdict is given once");
        assert_eq!(paths.beat("eth", 5, 91_000).unwrap().verdict, Verdict::Up);
        assert_eq!(paths.beats("eth"), (2, 3));
        assert_eq!(paths.verdict("lte"), Some(Verdict::Up));
    }

    #[test]
    fn the_centres_own_absence_is_not_the_hubs_silence() {
        let mut paths = paths();
        paths.beat("eth", 1, 0);
        paths.line(false, 10_000);
        assert!(paths.poll(500_000).is_empty());
        paths.line(true, 500_000);
        assert!(paths.poll(560_000).is_empty());
        assert_eq!(paths.poll(560_001).len(), 1);
    }

    #[test]
    fn a_last_will_speaks_at_once_and_a_retained_birth_proves_nothing() {
        let mut paths = paths();
        assert_eq!(paths.birth("eth", true, true, 0), None);
        assert_eq!(paths.verdict("eth"), None);
        assert_eq!(paths.birth("eth", true, false, 1).unwrap().verdict, Verdict::Up);
        assert_eq!(paths.birth("eth", false, false, 2).unwrap().verdict, Verdict::SaidDown);
        assert_eq!(paths.birth("lte", true, true, 0), None);
        assert_eq!(paths.poll(540_001).len(), 1, "a birth nobody follows up is a lost path");
    }
}
