//! The table and the JSON Lines, in the contract's words. It measures nothing and knows no figure.

use serde_json::Value;
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// What a figure stands beside.
#[derive(Clone, Copy)]
pub enum Beside<'a> {
    /// It is itself a physical limit that others are read against.
    Nothing,
    /// Nothing that does the same was measured in this run.
    Missing,
    /// A limit or a peer of the same run, in the same unit.
    Peer(&'a str, f64),
    /// Likewise, and what the project wants it to stay below.
    PeerAndLimit(&'a str, f64, f64),
    /// What the project wants it to stay below, and nothing beside it.
    Limit(f64),
}

/// Every figure of a run, printed as it comes.
#[derive(Default)]
pub struct Figures(Vec<Value>);

impl Figures {
    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A figure.
    pub fn put(&mut self, name: &str, value: f64, unit: &str, beside: Beside<'_>) {
        let mut figure = json!({"name": name, "value": value, "unit": unit});
        let said = match beside {
            Beside::Nothing | Beside::Limit(_) => String::new(),
            Beside::Missing => "  (peer missing)".to_owned(),
            Beside::Peer(peer, peer_value) | Beside::PeerAndLimit(peer, peer_value, _) => {
                figure["peer"] = peer.into();
                figure["peer_value"] = peer_value.into();
                figure["ratio"] = (value / peer_value).into();
                format!("  × {:.2} of {peer} {}", value / peer_value, shown(peer_value))
            }
        };
        let aim = match beside {
            Beside::PeerAndLimit(_, _, limit) | Beside::Limit(limit) => {
                figure["limit"] = limit.into();
                format!("  limit {}", shown(limit))
            }
            _ => String::new(),
        };
        println!("{name:26} {:>10} {unit:8}{said}{aim}", shown(value));
        self.0.push(figure);
    }

    /// p50 and p99 of times in microseconds; `beside` is for the p50.
    pub fn times(&mut self, name: &str, times: &Times, beside: Beside<'_>) {
        self.put(&format!("{name}.p50"), times.p50(), "s", beside);
        let tail = if matches!(beside, Beside::Nothing) { Beside::Nothing } else { Beside::Missing };
        self.put(&format!("{name}.p99"), times.at(99), "s", tail);
    }

    /// Writes them as JSON Lines.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut file = std::fs::File::create(path)?;
        self.0.iter().try_for_each(|figure| writeln!(file, "{figure}"))
    }
}

/// Times in microseconds.
#[derive(Default)]
pub struct Times(Vec<u64>);

impl Times {
    pub fn push(&mut self, us: u64) {
        let at = self.0.partition_point(|earlier| *earlier <= us);
        self.0.insert(at, us);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that `share` of a hundred stay at or below, seconds. Of nothing: not a number.
    pub fn at(&self, share: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get(last * share / 100).map_or(f64::NAN, |us| *us as f64 / 1e6)
    }

    /// The median, seconds.
    pub fn p50(&self) -> f64 {
        self.at(50)
    }
}

fn shown(value: f64) -> String {
    if value.abs() < 1.0 { format!("{value:.6}") } else { format!("{value:.2}") }
}
