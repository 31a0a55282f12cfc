//! The fuzzers' oracles over their seeds and over random bytes: that the targets in `integration/fuzz` still mean
//! something, on every run. Hours of them, led by coverage: `integration/test long fuzz`.
#![allow(clippy::unwrap_used)] // a test that cannot go on must fail

#[allow(dead_code)] // a site does more than is asked of it here
mod sim {
    pub mod oracles;
    pub mod site;
}

use proptest::prelude::*;
use sim::oracles;
use std::path::Path;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let files = std::fs::read_dir(&dir).expect("the seeds are there");
    let seeds: Vec<_> = files.map(|file| std::fs::read(file.expect("a file").path()).expect("it is read")).collect();
    assert!(!seeds.is_empty(), "no seeds for {target}");
    seeds
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..400)
}

/// A seed with some bytes changed.
fn changed(target: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (prop::sample::select(seeds(target)), changes).prop_map(|(mut seed, changes)| {
        for (at, byte) in changes {
            let at = at.index(seed.len().max(1));
            if let Some(old) = seed.get_mut(at) {
                *old = byte;
            }
        }
        seed
    })
}

proptest! {
    #[test]
    fn ash(bytes in prop_oneof![bytes(), changed("ash")]) {
        oracles::ash(&bytes);
    }

    #[test]
    fn ezsp(bytes in prop_oneof![bytes(), changed("ezsp")]) {
        oracles::ezsp(&bytes);
    }

    #[test]
    fn zcl(bytes in prop_oneof![bytes(), changed("zcl")]) {
        oracles::zcl(&bytes);
    }

    #[test]
    fn enocean(bytes in prop_oneof![bytes(), changed("enocean")]) {
        oracles::enocean(&bytes);
    }

    #[test]
    fn wmbus(bytes in prop_oneof![bytes(), changed("wmbus")]) {
        oracles::wmbus(&bytes);
    }

    #[test]
    fn rtl_433(bytes in prop_oneof![bytes(), changed("rtl_433")]) {
        oracles::rtl_433(&bytes);
    }

    #[test]
    fn warrant(bytes in prop_oneof![bytes(), changed("warrant")]) {
        oracles::warrant(&bytes);
    }
}

#[test]
fn seeds_mean_what_they_are_there_for() {
    let all = [
        ("ash", oracles::ash as fn(&[u8])),
        ("ezsp", oracles::ezsp),
        ("zcl", oracles::zcl),
        ("enocean", oracles::enocean),
        ("wmbus", oracles::wmbus),
        ("rtl_433", oracles::rtl_433),
        ("warrant", oracles::warrant),
    ];
    for (target, oracle) in all {
        seeds(target).iter().for_each(|seed| oracle(seed));
    }
}
