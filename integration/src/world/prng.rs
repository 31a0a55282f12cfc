//! The one source of chance: a counter, well mixed (SplitMix64). Everything a world draws follows from its seed.

/// A stream of numbers.
#[derive(Debug, Clone)]
pub struct Prng(u64);

impl Prng {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for one purpose: what is drawn there moves nothing here.
    pub(super) fn apart(&self, purpose: u64) -> Self {
        let mut own = Self(self.0 ^ purpose.wrapping_mul(0x9e6c_63d0_676a_9a99));
        Self(own.draw())
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`; 0 where there is nothing below it.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.draw() % n }
    }

    /// From `low` to `high`, both of them possible.
    pub(super) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// As `within`, each magnitude as likely as the next: most of what goes wrong is short, some of it is very long.
    pub(super) fn wild(&mut self, low: u64, high: u64) -> u64 {
        let (low, high) = (low.max(1), high.max(1));
        let bits = self.within(low.ilog2().into(), high.ilog2().into());
        self.within(1 << bits, (2 << bits) - 1).clamp(low, high)
    }

    /// So many times in a thousand.
    pub(super) fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.below(1000) < u64::from(per_mille)
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    pub(super) fn bytes(&mut self) -> [u8; 32] {
        let words = [self.draw(), self.draw(), self.draw(), self.draw()];
        std::array::from_fn(|at| (words[at / 8] >> (at % 8 * 8)) as u8)
    }
}
