//! What a siren, a sounder and a lamp do with what they are told: on and off, in milliseconds. It never drives a pin.

use vakt_core::alarm::state::State;
use vakt_core::input::Signal;
use vakt_core::input::Sound;

/// What an output drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drives {
    /// A loud siren, indoors or out.
    Siren,
    /// A small sounder indoors.
    Sounder,
    /// A lamp at the hub: steady while all is well, blinking while something is wrong with the hub, dark when it is dead.
    Lamp,
}

/// On, off, on, off …, in ms; after the last from the beginning. One alone is on and stays so; none is off.
pub type Cycle = &'static [u64];

/// Three pulses and a pause (ISO 8201, the signal to leave).
const LEAVE: Cycle = &[500, 500, 500, 500, 500, 1_500];

/// What an output does for as long as this is to be heard.
pub fn sound(drives: Drives, sound: Option<Sound>) -> Cycle {
    match (drives, sound) {
        (Drives::Lamp, _) | (_, None) => &[],
        (_, Some(Sound::Fire)) => LEAVE,
        (_, Some(Sound::Burglary)) => &[1],
        (Drives::Siren, Some(_)) => &[],
        (Drives::Sounder, Some(Sound::Warning)) => &[1],
        (Drives::Sounder, Some(Sound::EntryBeep)) => &[100, 900],
        (Drives::Sounder, Some(Sound::EntryHurry)) => &[100, 200],
        (Drives::Sounder, Some(Sound::SosTone)) => &[400, 1_600],
        (Drives::Sounder, Some(Sound::TamperBeep)) => &[100, 4_900],
        (Drives::Sounder, Some(Sound::Water)) => &[200, 9_800],
    }
}

/// A sign that is given once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// One short sound of every siren, to hear that it is there; its act waits for the answer.
    Chirp(vakt_core::event::EventId),
    /// Something people should notice.
    Signal(Signal),
}

/// What an output does with it, once.
pub fn sign(drives: Drives, sign: &Sign) -> Cycle {
    match (drives, sign) {
        (Drives::Siren, Sign::Chirp(_)) => &[150, 50],
        (Drives::Siren, Sign::Signal(Signal::NotArmed(_))) => &[150, 150, 150, 50],
        (Drives::Sounder, Sign::Signal(Signal::NotReady(_))) => &[80, 80, 80, 80, 80, 50],
        (Drives::Sounder, Sign::Signal(Signal::Chime(_))) => &[300, 50],
        (Drives::Sounder, Sign::Signal(Signal::ArmsSoon(_))) => &[300, 300, 300, 50],
        _ => &[],
    }
}

/// Whether a cycle is on at `elapsed` ms since its begin, and after how many ms more that changes.
pub fn at(cycle: Cycle, elapsed_ms: u64) -> (bool, Option<u64>) {
    if cycle.len() < 2 {
        return (!cycle.is_empty(), None);
    }
    let mut into = elapsed_ms % length_ms(cycle);
    for (place, ms) in cycle.iter().enumerate() {
        if into < *ms {
            return (place % 2 == 0, Some(ms - into));
        }
        into -= ms;
    }
    (false, None)
}

/// How long a cycle takes once, in ms.
pub fn length_ms(cycle: Cycle) -> u64 {
    cycle.iter().sum::<u64>().max(1)
}

/// The lamp. It tells of the hub's own health and of nothing that happens in the house: who looks through the window must
/// not learn from it whether anybody guards, and who threatens must not learn that help was called (B8).
pub fn lamp(state: &State) -> Cycle {
    let dark = !state.paths.is_empty() && state.paths.values().all(Option::is_some);
    let ill = dark
        || state.power.mains_lost
        || state.power.battery_low
        || state.disk_low
        || state.disk_down.is_some()
        || !state.receivers_down.is_empty();
    if ill { &[500, 500] } else { &[1] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vakt_core::event::EventId;

    #[test]
    fn b9_every_sounder_tells_fire_and_burglary_and_only_indoors_the_rest() {
        let all =
            [Sound::EntryBeep, Sound::EntryHurry, Sound::Water, Sound::SosTone, Sound::TamperBeep, Sound::Warning];
        for quiet in all {
            assert!(sound(Drives::Siren, Some(quiet)).is_empty(), "{quiet:?} is heard in the street");
            assert!(!sound(Drives::Sounder, Some(quiet)).is_empty(), "{quiet:?} is not heard");
        }
        for loud in [Sound::Fire, Sound::Burglary] {
            assert!(!sound(Drives::Siren, Some(loud)).is_empty() && !sound(Drives::Sounder, Some(loud)).is_empty());
        }
        assert_ne!(sound(Drives::Siren, Some(Sound::Fire)), sound(Drives::Siren, Some(Sound::Burglary)));
        assert!(sound(Drives::Siren, None).is_empty());
    }

    #[test]
    fn a_cycle_is_walked_round_and_round() {
        let leave: Vec<_> =
            [0, 499, 500, 999, 1_000, 2_000, 2_499, 2_500, 3_999, 4_000].map(|ms| at(LEAVE, ms)).to_vec();
        let (on, off) = (true, false);
        let wanted = [
            (on, Some(500)),
            (on, Some(1)),
            (off, Some(500)),
            (off, Some(1)),
            (on, Some(500)),
            (on, Some(500)),
            (on, Some(1)),
            (off, Some(1_500)),
            (off, Some(1)),
            (on, Some(500)),
        ];
        assert_eq!(leave, wanted);
        assert_eq!((at(&[1], 0), at(&[1], 99_999), at(&[], 7)), ((true, None), (true, None), (false, None)));
    }

    #[test]
    fn a_sign_ends_with_silence() {
        let area = vakt_core::device::AreaId::new("house").unwrap();
        let zone = vakt_core::device::ZoneId::new("door").unwrap();
        let signals = [
            Signal::NotReady(area.clone()),
            Signal::NotArmed(area.clone()),
            Signal::ArmsSoon(area),
            Signal::Chime(zone),
        ];
        let signs = signals.map(Sign::Signal).into_iter().chain([Sign::Chirp(EventId::mint(0, [0; 10]))]);
        for given in signs {
            let cycles = [Drives::Siren, Drives::Sounder].map(|drives| sign(drives, &given));
            assert!(cycles.iter().any(|cycle| !cycle.is_empty()), "{given:?} is given by nobody");
            assert!(cycles.iter().all(|cycle| cycle.len() % 2 == 0), "{given:?} would not end");
            assert!(sign(Drives::Lamp, &given).is_empty());
        }
    }

    #[test]
    fn b8_the_lamp_tells_of_the_hub_and_never_of_an_alarm() {
        let mut state = State::default();
        assert_eq!(lamp(&state), &[1]);
        state.paths.insert("eth".to_owned(), Some("no_route".to_owned()));
        assert_eq!(lamp(&state), &[500, 500]);
        state.paths.insert("lte".to_owned(), None);
        assert_eq!(lamp(&state), &[1], "one path is enough");
        state.power.mains_lost = true;
        assert_eq!(lamp(&state), &[500, 500]);
    }
}
