//! Whether a modem's network is drowned in noise (R27). It says when interference begins and ends; how much of it is somebody's
//! work is the core's to say.
//!
//! A mast that fails, a cellar and a broken antenna are no jammer: there the energy goes with the cell. A jammer takes the
//! cell and leaves energy.

use crate::network::modem;
use vakt_core::port::Modem;
use vakt_core::port::ModemState;

/// So much energy in the channel is a cell close by, or a jammer (RSSI; a phone shows full bars from here).
const LOUD_DBM: i16 = -75;
/// With that much energy a signal this far below the noise is no cell's doing: close to a mast it is 10 dB and more above.
/// The weakest code of LTE needs about -7 dB (TS 36.213, table 7.2.3-1, CQI 1), so this is told before all is lost.
const DROWNED_DB: i16 = -3;
/// Noise must last so long, which is two measurements.
const NOISE_MS: u64 = 10_000;
/// So long a modem that had a good cell may look for another where it does not tell the energy: whoever loses a mast, and
/// nothing else, finds the next within it.
const SEARCH_MS: u64 = 60_000;
/// A cell is good from here, in bars.
const GOOD_BARS: u8 = 2;
/// When nobody has told of the modem for so long, nothing is known of its air.
const UNKNOWN_MS: u64 = 300_000;

/// One modem's air.
#[derive(Debug, Clone, Default)]
pub struct Air {
    /// Its last cell was a good one.
    good: bool,
    /// Since when it is as it would be under a jammer.
    since: Option<u64>,
    /// When it was last told of.
    heard: Option<u64>,
    noisy: bool,
}

impl Air {
    /// Whether there is interference now.
    pub fn noisy(&self) -> bool {
        self.noisy
    }

    /// The modem was looked at, at this monotonic time in ms. Whether there is interference from now on, if that is news.
    pub fn hear(&mut self, now: u64, modem: Option<&Modem>) -> Option<bool> {
        let was = self.noisy;
        let after = match modem {
            Some(modem) if modem::registered(modem) => {
                self.good = modem::signal(modem).is_none_or(|signal| signal.bars >= GOOD_BARS);
                if drowned(modem) { Some(NOISE_MS) } else { self.clear() }
            }
            Some(modem) if searching(modem) => match modem.rssi_dbm {
                Some(rssi) if rssi >= LOUD_DBM => Some(NOISE_MS),
                Some(_) => self.clear(),
                None if self.good => Some(SEARCH_MS),
                None => self.clear(),
            },
            // Off, locked, gone: nobody hears anything. A verdict stands for a while, and is not reached.
            _ => {
                let unknown = self.heard.is_none_or(|heard| now.saturating_sub(heard) >= UNKNOWN_MS);
                self.since = None;
                self.noisy &= !unknown;
                return (self.noisy != was).then_some(self.noisy);
            }
        };
        self.heard = Some(now);
        if let Some(after) = after {
            let since = *self.since.get_or_insert(now);
            self.noisy |= now.saturating_sub(since) >= after;
        }
        (self.noisy != was).then_some(self.noisy)
    }

    fn clear(&mut self) -> Option<u64> {
        (self.since, self.noisy) = (None, false);
        None
    }
}

fn drowned(modem: &Modem) -> bool {
    modem.snr_db.zip(modem.rssi_dbm).is_some_and(|(snr, rssi)| snr <= DROWNED_DB && rssi >= LOUD_DBM)
}

/// It is on and finds nothing. A network that says no is one.
fn searching(modem: &Modem) -> bool {
    modem.state == ModemState::Searching && modem.registration != "denied"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registered(rsrp: i16, snr: Option<i16>, rssi: Option<i16>) -> Modem {
        Modem {
            state: ModemState::Connected,
            registration: "home",
            rsrp_dbm: Some(rsrp),
            snr_db: snr,
            rssi_dbm: rssi,
            ..Modem::default()
        }
    }

    fn lost(rssi: Option<i16>) -> Modem {
        Modem { state: ModemState::Searching, registration: "searching", rssi_dbm: rssi, ..Modem::default() }
    }

    /// Looks every ten seconds, and gives the seconds at which something was told.
    fn told(air: &mut Air, from_s: u64, seconds: u64, modem: Option<&Modem>) -> Vec<(u64, bool)> {
        let looks = (0..=seconds / 10).map(|n| from_s + n * 10);
        looks.filter_map(|s| Some((s, air.hear(s * 1_000, modem)?))).collect()
    }

    #[test]
    fn a_signal_below_the_noise_beside_much_energy_is_interference() {
        let mut air = Air::default();
        assert_eq!(told(&mut air, 0, 60, Some(&registered(-85, Some(14), Some(-60)))), []);
        assert_eq!(told(&mut air, 60, 60, Some(&registered(-101, Some(-3), Some(-75)))), [(70, true)]);
        assert_eq!(told(&mut air, 130, 60, Some(&registered(-85, Some(-2), Some(-60)))), [(130, false)]);
        assert_eq!(told(&mut air, 200, 600, Some(&registered(-115, Some(-5), Some(-90)))), [], "a poor cell, far away");
    }

    #[test]
    fn a_cell_that_goes_and_leaves_energy_is_interference() {
        let mut air = Air::default();
        assert_eq!(told(&mut air, 0, 10, Some(&registered(-85, None, None))), []);
        assert_eq!(told(&mut air, 20, 100, Some(&lost(Some(-60)))), [(30, true)]);
        assert_eq!(told(&mut air, 130, 10, Some(&registered(-85, None, None))), [(130, false)]);
        assert_eq!(told(&mut air, 150, 600, Some(&lost(Some(-100)))), [], "the energy went with it: no jammer");
    }

    #[test]
    fn where_energy_is_not_told_a_good_cell_must_be_gone_for_a_minute() {
        let mut air = Air::default();
        assert_eq!(told(&mut air, 0, 10, Some(&registered(-85, None, None))), []);
        assert_eq!(told(&mut air, 20, 300, Some(&lost(None))), [(80, true)]);
        let mut air = Air::default();
        assert_eq!(told(&mut air, 0, 10, Some(&registered(-121, None, None))), []);
        assert_eq!(told(&mut air, 20, 300, Some(&lost(None))), [], "a cellar");
        let mut air = Air::default();
        assert_eq!(told(&mut air, 0, 300, Some(&lost(None))), [], "it never had a cell");
        let denied = Modem { registration: "denied", ..lost(None) };
        let mut air = Air { good: true, ..Air::default() };
        assert_eq!(told(&mut air, 0, 300, Some(&denied)), [], "a network that says no is one");
    }

    #[test]
    fn a_modem_that_is_off_hears_nothing_and_a_verdict_stands_for_a_while() {
        let mut air = Air::default();
        assert_eq!(told(&mut air, 0, 10, Some(&registered(-85, None, None))), []);
        assert_eq!(told(&mut air, 20, 20, Some(&lost(Some(-50)))), [(30, true)]);
        let off = Modem { state: ModemState::Disabled, ..Modem::default() };
        assert_eq!(told(&mut air, 50, 100, Some(&off)), []);
        assert_eq!(told(&mut air, 150, 600, None), [(340, false)], "five minutes after it was last heard of");
    }
}
