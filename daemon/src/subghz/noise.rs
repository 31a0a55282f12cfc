//! Interference at a receiver that can measure it (R27): second by second, as OpenThread's jam detector has it. How much of
//! it in a minute is jamming is the core's word.
//!
//! It never takes a chip that does not answer for a quiet house or for a jammed one: such a second says nothing.

use crate::subghz::cc1101_told::Counters;

/// A second is loud when every sample in it is, in dBm. A detector at the edge of reach arrives at some -95; what is louder
/// than this for a whole second hides it, and is no device: one may send for 1 % of an hour here, in tens of milliseconds.
pub const LOUD_DBM: i16 = -80;
/// So many sync words in a second without a frame behind them are no noise: by itself it makes one every second or two
/// (esphome-components #425).
pub const FLOOD: u64 = 20;
/// So much of a second taken by whole frames, in µs, is no household, whatever they say: a detector may send for 1 % of an hour,
/// and who plays a true telegram over and over leaves room for no other.
const TAKEN_US: u64 = 500_000;
/// Samples that a second must have to be called loud or quiet; below, somebody held the receiver all the time.
const SAMPLES_MIN: u32 = 3;

/// One band's air.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noise {
    loud: u32,
    quiet: u32,
    /// What was counted at the end of the last second.
    before: Option<Counters>,
    /// The last word; `None` while nothing is known.
    interferes: Option<bool>,
}

impl Noise {
    /// Signal strength while no packet is received.
    pub fn sample(&mut self, rssi_dbm: i16) {
        let count = if rssi_dbm >= LOUD_DBM { &mut self.loud } else { &mut self.quiet };
        *count = count.saturating_add(1);
    }

    /// A second is over in the band that packets are received in; whether interference has begun or ended with it; the first word is
    /// always said.
    pub fn second(&mut self, counters: Counters) -> Option<bool> {
        let (loud, quiet) = self.take();
        let before = self.before.replace(counters)?;
        let heard = counters.valid > before.valid;
        let flood = counters.false_syncs().saturating_sub(before.false_syncs()) >= FLOOD;
        let held = loud + quiet < SAMPLES_MIN && counters.syncs > before.syncs && !heard;
        let drowned = loud >= SAMPLES_MIN && quiet == 0;
        let taken = counters.receiving_us.saturating_sub(before.receiving_us) >= TAKEN_US;
        self.turn(flood || held || drowned || taken)
    }

    /// The same for a band that is only looked at now and then: one look a second.
    pub fn look(&mut self) -> Option<bool> {
        match self.take() {
            (0, 0) => None,
            (_, quiet) => self.turn(quiet == 0),
        }
    }

    /// The receiver does not work: nothing is known of the air. Whether anything was.
    pub fn deaf(&mut self) -> bool {
        self.before = None;
        self.take();
        self.interferes.take().is_some()
    }

    fn take(&mut self) -> (u32, u32) {
        (std::mem::take(&mut self.loud), std::mem::take(&mut self.quiet))
    }

    fn turn(&mut self, interferes: bool) -> Option<bool> {
        (self.interferes.replace(interferes) != Some(interferes)).then_some(interferes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(noise: &mut Noise, rssi: &[i16], counters: Counters) -> Option<bool> {
        rssi.iter().for_each(|rssi| noise.sample(*rssi));
        noise.second(counters)
    }

    fn counted(syncs: u64, valid: u64) -> Counters {
        Counters { syncs, valid, ..Counters::default() }
    }

    #[test]
    fn r27_a_carrier_that_drowns_a_second_interferes_and_one_gap_in_it_does_not() {
        let mut noise = Noise::default();
        assert_eq!(second(&mut noise, &[-50; 10], counted(0, 0)), None, "the first second has nothing before it");
        assert_eq!(second(&mut noise, &[-50; 10], counted(0, 0)), Some(true));
        assert_eq!(second(&mut noise, &[-50; 10], counted(0, 0)), None, "it goes on");
        let gap: Vec<i16> = (0..10).map(|n| if n == 4 { -101 } else { -50 }).collect();
        assert_eq!(second(&mut noise, &gap, counted(0, 0)), Some(false));
        assert_eq!(second(&mut noise, &[-101; 10], counted(0, 0)), None);
    }

    #[test]
    fn r27_a_jammer_that_speaks_like_a_detector_is_found_by_what_does_not_follow() {
        let mut noise = Noise::default();
        second(&mut noise, &[-101; 10], counted(0, 0));
        // It keeps the receiver busy: hardly a sample, sync after sync, and no frame.
        assert_eq!(second(&mut noise, &[-60], counted(9, 0)), Some(true));
        assert_eq!(second(&mut noise, &[-101; 10], counted(10, 0)), Some(false));
        assert_eq!(second(&mut noise, &[-101; 8], counted(30, 0)), Some(true), "20 sync words and no frame");
        // A house full of meters: busy, and each is understood.
        assert_eq!(second(&mut noise, &[-60], counted(45, 15)), Some(false));
    }

    #[test]
    fn r27_who_plays_true_telegrams_without_a_pause_is_found_by_the_time_they_take() {
        let mut noise = Noise::default();
        // Valid each, and quiet in the pauses where samples fall.
        let after = |s: u64, taken_ms: u64| Counters { receiving_us: s * taken_ms * 1_000, ..counted(25 * s, 25 * s) };
        second(&mut noise, &[-101; 10], after(0, 870));
        assert_eq!(second(&mut noise, &[-101; 10], after(1, 870)), Some(true));
        let mut noise = Noise::default();
        second(&mut noise, &[-101; 10], after(0, 125));
        assert_eq!(second(&mut noise, &[-101; 10], after(1, 125)), Some(false), "a block of flats, 25 meters a second");
    }

    #[test]
    fn the_noise_that_is_always_there_is_none() {
        let mut noise = Noise::default();
        let said: Vec<_> =
            (0..3_600).filter_map(|s| second(&mut noise, &[-98, -102, -79, -100, -97], counted(s, 0))).collect();
        assert_eq!(said, [false], "once that it is quiet");
    }

    #[test]
    fn a_chip_that_does_not_answer_says_nothing_of_the_air() {
        let mut noise = Noise::default();
        second(&mut noise, &[-50; 10], counted(0, 0));
        second(&mut noise, &[-50; 10], counted(0, 0));
        assert!(noise.deaf());
        assert!(!noise.deaf(), "nothing was known any more");
        assert_eq!(second(&mut noise, &[-50; 10], counted(500, 0)), None, "what was counted meanwhile is of no second");
    }

    #[test]
    fn the_other_band_is_judged_by_one_look_a_second() {
        let mut noise = Noise::default();
        assert_eq!(noise.look(), None);
        noise.sample(-60);
        assert_eq!(noise.look(), Some(true));
        assert_eq!(noise.look(), None, "no look, no word");
        noise.sample(-95);
        assert_eq!(noise.look(), Some(false));
    }
}
