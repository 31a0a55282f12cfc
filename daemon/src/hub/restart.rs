//! When a fallen port may rise again: at once after a long life, later and later after short ones. Never "not again".

/// A port that lived this long was well; its next fall starts from the beginning, in ms.
const WELL_MS: u64 = 30_000;
/// The first pause, in ms.
const FIRST_MS: u64 = 250;
/// The longest pause, in ms: a stick that was plugged in again is back within this time.
const LONGEST_MS: u64 = 10_000;

/// The pauses of one port.
#[derive(Debug, Clone, Copy, Default)]
pub struct BackOff {
    falls: u32,
}

impl BackOff {
    /// It fell after `lived_ms`: how long to wait, in ms.
    pub fn fell(&mut self, lived_ms: u64) -> u64 {
        self.falls = if lived_ms >= WELL_MS { 1 } else { self.falls.saturating_add(1) };
        FIRST_MS.saturating_mul(1 << (self.falls - 1).min(10)).min(LONGEST_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_shrink_after_a_long_life() {
        let mut back_off = BackOff::default();
        let pauses: Vec<u64> = (0..8).map(|_| back_off.fell(0)).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert_eq!(back_off.fell(60_000), 250);
    }
}
