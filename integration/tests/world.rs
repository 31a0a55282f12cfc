//! Lives of the simulated world: many seeds, each lived twice; the seeds that ever failed; and, for each check, a bug on
//! purpose that it must find.
//!
//! `VAKT_SEED` is one more seed to live (CI gives its commit's), `VAKT_SEED_DAYS` how many virtual days in all;
//! `VAKT_LONG=1` lives ten thousand. A seed that fails is made into a short story and printed.

#![allow(clippy::unwrap_used)] // a test that meets what must not be falls here

use std::time::Duration;
use std::time::Instant;
use vakt_integration::world::Bug;
use vakt_integration::world::Check;
use vakt_integration::world::Fault;
use vakt_integration::world::Story;
use vakt_integration::world::Struck;
use vakt_integration::world::live;
use vakt_integration::world::shrink;

/// Seeds that every run lives, and the first of those that fill up the days.
const FIXED: [u64; 6] = [1, 7, 42, 1_984, 20_261_120, 0xffff_ffff_ffff_ffff];
const FILL_FROM: u64 = 100_000;

/// Virtual days of an ordinary run and of a long one.
const SEED_DAYS: u64 = 1_000;
const LONG_SEED_DAYS: u64 = 10_000;

/// Seeds that failed once. Each says what it had found.
const KEPT: [(u64, &str); 4] = [
    (62, "a camera ran on, with nobody able to end it, when another alarm continued its incident"),
    (226, "the same, with nothing else gone wrong"),
    (100_047, "the same, while warrants were forged"),
    (100_520, "a detector without a place, whose tampers count until any area is armed or disarmed"),
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")))
}

/// Says what a life has found, as a story as short as it can be made.
fn tell(story: &Story, check: Check, what: &str) -> String {
    let (short, tries) = shrink(story, check);
    let life = live(&short, true);
    let seed = story.seed;
    format!(
        "seed {seed} breaks {check:?}: {what}\nits plan: {}\n{} of {} happenings left after {tries} lives, {}:\n{:#?}\n{}\n",
        story.faults,
        short.happenings.len(),
        story.happenings.len(),
        short.faults,
        short.happenings,
        life.lines.join("\n"),
    )
}

struct Sum {
    days: u64,
    turns: u64,
    events: u64,
    starts: u64,
    lives: u64,
    struck: Struck,
    /// Once each.
    took: Duration,
}

#[test]
fn whatever_happens_for_a_thousand_days() {
    let long = std::env::var_os("VAKT_LONG").is_some();
    let days = number("VAKT_SEED_DAYS").unwrap_or(if long { LONG_SEED_DAYS } else { SEED_DAYS });
    let kept = KEPT.iter().map(|(seed, _)| *seed);
    let seeds = number("VAKT_SEED").into_iter().chain(kept).chain(FIXED).chain(FILL_FROM..);
    let began = Instant::now();
    let mut sum =
        Sum { days: 0, turns: 0, events: 0, starts: 0, lives: 0, struck: Struck::default(), took: Duration::ZERO };
    let mut found = Vec::new();
    for seed in seeds {
        if sum.days >= days || found.len() >= 3 {
            break;
        }
        let story = Story::of(seed);
        let alone = Instant::now();
        let life = live(&story, false);
        sum.took += alone.elapsed();
        sum.days += story.days();
        sum.turns += life.turns;
        sum.events += life.events;
        sum.starts += u64::from(life.starts);
        sum.lives += 1;
        sum.struck.add(&life.struck);
        if let Some(broken) = &life.broken {
            found.push(tell(&story, broken.check, &broken.what));
        }
        assert_eq!(live(&story, false), life, "seed {seed} is not the same life twice");
    }
    eprintln!(
        "{} lives, {} virtual days, {} starts, {} turns, {} events in {:.1} s; {:.1} ms a seed-day",
        sum.lives,
        sum.days,
        sum.starts,
        sum.turns,
        sum.events,
        began.elapsed().as_secs_f64(),
        sum.took.as_secs_f64() * 1000.0 / sum.days as f64
    );
    let struck: Vec<String> = sum.struck.all().map(|(name, times)| format!("{name} {times}")).collect();
    eprintln!("struck: {}", struck.join(", "));
    assert!(found.is_empty(), "{}", found.join("\n\n"));
    // Fewer days than a run of CI may miss what is rare.
    let missed: Vec<&str> = sum.struck.all().filter(|(_, times)| *times == 0).map(|(name, _)| name).collect();
    assert!(missed.is_empty() || sum.days < SEED_DAYS, "never struck in {} days: {missed:?}", sum.days);
}

/// Each bug, the check that must find it, and the faults that give it a chance.
const PLANTED: [(Bug, Check, &[Fault]); 23] = [
    (Bug::ActsBeforeCommit, Check::Committed, &[]),
    (Bug::SendsOtherBytes, Check::Committed, &[]),
    (Bug::SendsUnrecorded, Check::Committed, &[]),
    (Bug::BelievesItself, Check::Delivered, &[]),
    (Bug::SwapsTwo, Check::Delivered, &[Fault::Link]),
    (Bug::LosesWords, Check::Oracle, &[]),
    (Bug::SirensStaySilent, Check::Oracle, &[]),
    (Bug::EntryNeverEnds, Check::Oracle, &[]),
    (Bug::ForgetsAtStart, Check::Replay, &[Fault::Kill]),
    (Bug::UnlocksByItself, Check::Warrant, &[]),
    (Bug::ActsTwice, Check::Warrant, &[]),
    (Bug::ObeysAgain, Check::Warrant, &[]),
    (Bug::NeverMisses, Check::Silent, &[Fault::Mute]),
    (Bug::Spins, Check::Limits, &[]),
    (Bug::HoardsEvents, Check::Limits, &[Fault::Disk]),
    (Bug::MutesFire, Check::Life, &[]),
    (Bug::StretchesGrants, Check::Camera, &[]),
    (Bug::SharesTheOwners, Check::Camera, &[]),
    (Bug::StaysStuck, Check::Settles, &[]),
    (Bug::DeafToKernel, Check::Verdict, &[Fault::Cable]),
    (Bug::DialsOnce, Check::Settles, &[Fault::Link]),
    (Bug::CallsItUp, Check::Verdict, &[]),
    (Bug::HidesDelays, Check::Deadline, &[]),
];

/// Lives in which a bug must be found.
const LIVES_MAX: u64 = 60;

#[test]
fn every_check_finds_the_bug_that_is_planted_for_it() {
    let mut missed = Vec::new();
    for (bug, check, faults) in PLANTED {
        let stories = (1..=LIVES_MAX).map(Story::of).filter(|story| faults.iter().all(|f| story.faults.rate(*f) > 0));
        let mut others = Vec::new();
        let found = stories.map(|story| story.with(bug)).find(|story| match live(story, false).broken {
            Some(broken) if broken.check == check => true,
            other => {
                others.extend(other);
                false
            }
        });
        match found {
            Some(story) => eprintln!("{bug:?}: {check:?} finds it, seed {}", story.seed),
            None => missed.push((bug, check, others)),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_failing_life_is_made_short() {
    let story = (1..)
        .map(|seed| Story::of(seed).with(Bug::LosesWords))
        .find(|story| live(story, false).broken.is_some_and(|broken| broken.check == Check::Oracle));
    let story = story.unwrap();
    let (short, tries) = shrink(&story, Check::Oracle);
    eprintln!("{} happenings of {} left after {tries} lives", short.happenings.len(), story.happenings.len());
    assert!(short.happenings.len() <= 4, "{:#?}", short.happenings);
    assert_eq!(short.faults.on().count(), 0, "no fault is needed for it");
    let life = live(&short, true);
    assert!(life.lines.last().unwrap().contains("Oracle"), "its last line says what was found");
}
