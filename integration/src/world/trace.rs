//! What happened, one fixed-column line per change. Two lives of one seed have the same lines, byte for byte; their
//! hash says so without keeping them.

use std::fmt::Arguments;
use std::fmt::Write;

/// The lines of one life.
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    line: String,
    kept: Option<Vec<String>>,
}

impl Trace {
    pub(super) fn new(keep: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, line: String::new(), kept: keep.then(Vec::new) }
    }

    /// Notes a change: when, who, what.
    pub(super) fn note(&mut self, at_ms: u64, who: &str, what: Arguments<'_>) {
        let (seconds, ms) = (at_ms / 1000, at_ms % 1000);
        let (day, hour, minute, second) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        self.line.clear();
        let written = write!(self.line, "{day:>2} {hour:02}:{minute:02}:{second:02}.{ms:03}  {who:<8} {what}");
        debug_assert!(written.is_ok(), "a String takes everything");
        // FNV-1a: this is not against an enemy.
        for byte in self.line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if let Some(kept) = &mut self.kept {
            kept.push(self.line.clone());
        }
    }

    pub(super) fn end(self) -> (u64, Vec<String>) {
        (self.hash, self.kept.unwrap_or_default())
    }
}
