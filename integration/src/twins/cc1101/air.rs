//! What is on the air at the chip's antenna: bursts of chips at a frequency, a rate and a strength, and how wireless M-Bus
//! makes them (EN 13757-4, tables 4, 8 and 12).

/// 868.95 MHz: modes T and C.
pub const MODE_T_HZ: f64 = 868.95e6;
/// 868.30 MHz: mode S, and EnOcean.
pub const MODE_S_HZ: f64 = 868.3e6;
/// Duration of a chip in mode T and C, in ns.
pub const MODE_T_CHIP_NS: u64 = 10_000;
/// Duration of a chip in mode S, in ns.
pub const MODE_S_CHIP_NS: u64 = 30_518;

/// Something that is sent once.
#[derive(Debug, Clone)]
pub struct Burst {
    /// Its first chip begins.
    pub at_ns: u64,
    /// The chips, in their order; the higher frequency is true.
    pub chips: Vec<bool>,
    /// Which of them is the first behind the sync word. A receiver that wakes just then may take C1's 543D, which marks
    /// format B, for the sync word it missed.
    pub data: usize,
    /// How long each takes.
    pub chip_ns: u64,
    /// The carrier.
    pub hz: f64,
    /// Strength at the antenna.
    pub dbm: i16,
}

impl Burst {
    /// When its last chip ends.
    pub fn end_ns(&self) -> u64 {
        self.at_ns + self.chips.len() as u64 * self.chip_ns
    }

    /// The chip at this time, if it is being sent.
    pub fn chip(&self, now_ns: u64) -> Option<bool> {
        let n = now_ns.checked_sub(self.at_ns)? / self.chip_ns;
        usize::try_from(n).ok().and_then(|n| self.chips.get(n).copied())
    }

    /// Whether the sync word has passed at this time.
    pub fn in_data(&self, now_ns: u64) -> bool {
        now_ns >= self.at_ns + self.data as u64 * self.chip_ns
    }

    /// Mode T or C: preamble, sync word, then these bytes, whatever they are.
    pub fn mode_t(at_ns: u64, after_sync: &[u8], dbm: i16) -> Self {
        let chips = chips(&[&[0x55; 6][..], &[0x54, 0x3D], after_sync, &[0x55]].concat());
        Self { at_ns, chips, data: 8 * 8, chip_ns: MODE_T_CHIP_NS, hz: MODE_T_HZ, dbm }
    }

    /// Mode S with a long preamble: the sync word's last 16 chips are 7696, the two before them 00.
    pub fn mode_s(at_ns: u64, after_sync: &[u8], dbm: i16) -> Self {
        let mut all = chips(&[0x55; 35]);
        all.truncate(278);
        all.extend([false, false]);
        all.extend(chips(&[&[0x76, 0x96][..], after_sync, &[0x55]].concat()));
        Self { at_ns, chips: all, data: 280 + 16, chip_ns: MODE_S_CHIP_NS, hz: MODE_S_HZ, dbm }
    }

    /// A carrier that says nothing.
    pub fn carrier(at_ns: u64, for_ns: u64, hz: f64, dbm: i16) -> Self {
        let chips = vec![true; usize::try_from(for_ns / MODE_T_CHIP_NS).unwrap_or(usize::MAX)];
        Self { at_ns, chips, data: 0, chip_ns: MODE_T_CHIP_NS, hz, dbm }
    }
}

/// Bytes as chips, the highest bit first.
pub fn chips(bytes: &[u8]) -> Vec<bool> {
    bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
}

/// Manchester chips of mode S: 10 for a 0, 01 for a 1.
pub fn manchester(bytes: &[u8]) -> Vec<u8> {
    let pairs = chips(bytes).into_iter().map(|bit| if bit { 0b01 } else { 0b10 });
    pairs.collect::<Vec<u8>>().chunks(4).map(|four| four.iter().fold(0, |byte, pair| byte << 2 | pair)).collect()
}
