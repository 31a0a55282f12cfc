//! A story that fails, made shorter while it still fails in the same way: cut where it failed, fewer things that may go
//! wrong, fewer things that happen.

use super::checks::Check;
use super::live;
use super::story::Story;

/// Lives tried at most.
const TRIES_MAX: usize = 1_500;

/// The shortest story found that breaks the same check, and how many lives it took.
pub fn shrink(story: &Story, check: Check) -> (Story, usize) {
    let mut tries = 0;
    let mut fails = |story: &Story| {
        tries += 1;
        let life = live(story, false);
        life.broken.filter(|broken| broken.check == check && tries < TRIES_MAX).map(|_| life.ended_ms)
    };
    let mut best = story.clone();
    if let Some(ended_ms) = fails(&best) {
        let shorter = Story { length_ms: best.length_ms.min(ended_ms + 1), ..best.clone() };
        best = if fails(&shorter).is_some() { shorter } else { best };
    }
    without_faults(&mut best, &mut fails);
    // Pieces of half the story, then of a quarter, down to single happenings.
    let mut size = best.happenings.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        let mut dropped = false;
        while from < best.happenings.len() {
            let mut less = best.clone();
            less.happenings.drain(from..(from + size).min(best.happenings.len()));
            if fails(&less).is_some() {
                (best, dropped) = (less, true);
            } else {
                from += size;
            }
        }
        if size == 1 && !dropped {
            break;
        }
        size = if size == 1 { 1 } else { size.div_ceil(2) };
    }
    // With fewer things that happen, fewer faults may be needed.
    without_faults(&mut best, &mut fails);
    (best, tries)
}

fn without_faults(best: &mut Story, fails: &mut impl FnMut(&Story) -> Option<u64>) {
    for fault in best.faults.clone().on() {
        let less = Story { faults: best.faults.without(fault), ..best.clone() };
        if fails(&less).is_some() {
            *best = less;
        }
    }
}
