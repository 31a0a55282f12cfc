//! The hub's supply (B21): what the kernel's power_supply class and the pins say of it, as one word for the core. It never
//! takes silence for mains: what says nothing is said to be unknown.
//!
//! Sources: Documentation/ABI/testing/sysfs-class-power. Many small gauges (MAX17040 and its kin) tell their charge and
//! nothing of the time it will do; that is then reckoned from how fast it falls.

use crate::board::filter::FAULT_MS;
use crate::board::filter::Filter;
use crate::board::pins::Watches;
use vakt_core::input::Supply;

/// A battery that is being emptied has this left, in per cent, when the hub says its last words.
const LAST_PERCENT: u8 = 3;
/// A contact that says "nearly empty" stands for this charge, and one that says "well" for all, in per cent.
const LOW_PERCENT: u8 = 10;
/// Charge that must have gone before the time left is reckoned from it, in per cent: a gauge counts whole ones.
const SLOPE_PERCENT: u8 = 2;

/// A word of more than this is none: some gauges divide by nearly nothing, in minutes.
const MINUTES_MAX: u64 = 7 * 24 * 60;

/// What the files of one power supply say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// `online`: it gives power.
    pub online: Option<bool>,
    /// `status` is `Discharging`, or one of the others.
    pub discharging: Option<bool>,
    /// `capacity`, in per cent.
    pub percent: Option<u8>,
    /// The time it will do, by its own word or by what flows, in minutes.
    pub minutes: Option<u32>,
}

/// Reads one power supply. `file`: what stands in the file of that name, if there is one.
pub fn told(file: impl Fn(&str) -> Option<String>) -> Told {
    let number = |name: &str| file(name)?.trim().parse::<i64>().ok();
    let status = file("status");
    let discharging = match status.as_deref().map(str::trim) {
        Some("Discharging") => Some(true),
        Some("Charging" | "Full" | "Not charging") => Some(false),
        _ => None,
    };
    // µWh and µW, or µAh and µA; some drivers tell what flows out with a minus.
    let flows = |left: &str, flow: &str| {
        let (left, flow) = (number(left)?, number(flow)?.unsigned_abs());
        u64::try_from(left).ok()?.checked_mul(60)?.checked_div(flow)
    };
    let seconds = || number("time_to_empty_now").and_then(|seconds| u64::try_from(seconds).ok()).filter(|s| *s > 0);
    let minutes = seconds().map(|seconds| seconds / 60);
    let minutes = minutes.or_else(|| flows("energy_now", "power_now")).or_else(|| flows("charge_now", "current_now"));
    Told {
        online: number("online").map(|online| online != 0),
        discharging,
        percent: number("capacity").and_then(|percent| u8::try_from(percent).ok()).filter(|percent| *percent <= 100),
        minutes: minutes.filter(|minutes| *minutes <= MINUTES_MAX).and_then(|minutes| u32::try_from(minutes).ok()),
    }
}

/// What the pins say, as far as there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pins {
    /// There is no mains.
    pub mains_lost: Option<bool>,
    /// The battery is nearly empty.
    pub battery_low: Option<bool>,
    /// The supply ends within seconds.
    pub power_fail: Option<bool>,
}

impl Pins {
    /// An input says something of the supply, or `None`: it cannot be read. Whether that is news.
    pub fn note(&mut self, watches: Watches, active: Option<bool>) -> bool {
        let pin = match watches {
            Watches::MainsLost => &mut self.mains_lost,
            Watches::BatteryLow => &mut self.battery_low,
            Watches::PowerFail => &mut self.power_fail,
            Watches::Lid | Watches::Detector(_) => return false,
        };
        std::mem::replace(pin, active) != active
    }
}

/// What was known of the supply so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gauge {
    /// A pin tells of the mains: what the kernel says of it does not count, nor does the battery's.
    mains_pin: bool,
    /// The kernel's word is believed as a pin's is.
    mains_lost: Filter,
    /// Since when the battery is being emptied, and from which charge; on the monotonic clock.
    falls: Option<(u64, u8)>,
    /// Its end was told.
    ended: bool,
}

impl Gauge {
    /// Of a supply of which nothing is known yet.
    pub fn new(mains_pin: bool) -> Self {
        Self { mains_pin, mains_lost: Filter::new(FAULT_MS), falls: None, ended: false }
    }

    /// All of it together. `mains`: the mains' own power supply, `battery`: the battery's.
    pub fn read(&mut self, now_ms: u64, pins: Pins, mains: Told, battery: Told) -> Supply {
        let by_kernel = mains.online.map(|online| !online).or(battery.discharging);
        let kernel = by_kernel.and_then(|lost| {
            self.mains_lost.level(lost, now_ms);
            self.mains_lost.due(now_ms);
            self.mains_lost.believed()
        });
        let lost = if self.mains_pin { pins.mains_lost } else { kernel };
        let percent = match (battery.percent, pins.battery_low) {
            (Some(percent), Some(true)) => Some(percent.min(LOW_PERCENT)),
            (None, Some(low)) => Some(if low { LOW_PERCENT } else { 100 }),
            (percent, _) => percent,
        };
        let lost_by_pin = self.mains_pin && lost == Some(true);
        let out = lost_by_pin || battery.discharging.unwrap_or(lost == Some(true));
        let minutes_left = if out { battery.minutes.or_else(|| self.reckon(now_ms, battery.percent)) } else { None };
        if !out {
            self.falls = None;
        }
        let ends = pins.power_fail == Some(true) || (out && battery.percent.is_some_and(|left| left <= LAST_PERCENT));
        let dying = ends && !self.ended;
        self.ended = ends;
        Supply { mains: lost.map(|lost| !lost), battery_percent: percent, minutes_left, dying }
    }

    /// The time left from how fast the charge has fallen.
    fn reckon(&mut self, now_ms: u64, percent: Option<u8>) -> Option<u32> {
        let percent = percent?;
        let (since, from) = *self.falls.get_or_insert((now_ms, percent));
        let gone = from.checked_sub(percent).filter(|gone| *gone >= SLOPE_PERCENT)?;
        let minutes = now_ms.saturating_sub(since) / 60_000;
        u32::try_from(minutes * u64::from(percent) / u64::from(gone)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Told {
        told(|name| files.iter().find(|(file, _)| *file == name).map(|(_, text)| format!("{text}\n")))
    }

    #[test]
    fn b21_what_the_kernel_says_of_a_battery_is_read_and_nonsense_is_nothing() {
        let gauge = of(&[("status", "Discharging"), ("capacity", "73"), ("time_to_empty_now", "7260")]);
        assert_eq!(gauge, Told { online: None, discharging: Some(true), percent: Some(73), minutes: Some(121) });
        let flow = of(&[("status", "Discharging"), ("energy_now", "10000000"), ("power_now", "-2500000")]);
        assert_eq!(flow.minutes, Some(240));
        assert_eq!(of(&[("charge_now", "500000"), ("current_now", "250000")]).minutes, Some(120));
        assert_eq!(of(&[("charge_now", "500000"), ("current_now", "0")]).minutes, None);
        assert_eq!(of(&[("online", "0")]).online, Some(false));
        let odd = [("status", "Unknown"), ("capacity", "255"), ("online", "?"), ("time_to_empty_now", "-1")];
        assert_eq!(of(&odd), Told::default());
        assert_eq!(of(&[("capacity", "-4")]), Told::default());
    }

    #[test]
    fn b21_mains_goes_by_the_pin_where_there_is_one_else_by_its_own_word_else_by_the_battery() {
        let mains = |wired, pin, online, discharging| {
            let pins = Pins { mains_lost: pin, ..Pins::default() };
            let (own, battery) = (Told { online, ..Told::default() }, Told { discharging, ..Told::default() });
            let mut gauge = Gauge::new(wired);
            gauge.read(0, pins, own, battery);
            gauge.read(10_000, pins, own, battery).mains
        };
        assert_eq!(mains(true, Some(true), Some(true), Some(false)), Some(false));
        assert_eq!(mains(true, None, Some(true), Some(false)), None, "a pin that cannot be read knows nothing");
        assert_eq!(mains(false, None, Some(false), Some(false)), Some(false));
        assert_eq!(mains(false, None, None, Some(true)), Some(false));
        assert_eq!(mains(false, None, None, Some(false)), Some(true));
        assert_eq!(mains(false, None, None, None), None, "nobody knows");
    }

    #[test]
    fn r87_a_charger_that_cannot_decide_is_no_power_cut_every_five_seconds() {
        let mut gauge = Gauge::new(false);
        let mut mains = |s: u64, discharging| {
            let battery = Told { discharging: Some(discharging), ..Told::default() };
            gauge.read(s * 1_000, Pins::default(), Told::default(), battery).mains
        };
        assert_eq!(mains(0, false), None, "nothing is believed at once");
        assert_eq!(mains(10, false), Some(true));
        let told: Vec<_> = (3..200).map(|n| mains(n * 5, n % 2 == 0)).collect();
        assert!(told.windows(2).filter(|pair| pair[0] != pair[1]).count() <= 1, "{told:?}");
    }

    #[test]
    fn r87_a_gauge_that_tells_no_time_is_watched_falling() {
        let mut gauge = Gauge::new(false);
        let mut left = |minute: u64, percent, discharging| {
            let battery = Told { discharging: Some(discharging), percent: Some(percent), ..Told::default() };
            gauge.read(minute * 60_000, Pins::default(), Told::default(), battery).minutes_left
        };
        assert_eq!(left(0, 100, false), None);
        assert_eq!(left(10, 100, true), None);
        assert_eq!(left(20, 99, true), None, "one per cent may just have been about to fall");
        assert_eq!(left(30, 98, true), Some(980));
        assert_eq!(left(110, 80, true), Some(400));
        assert_eq!(left(120, 81, false), None);
        assert_eq!(left(130, 81, true), None, "it begins anew");
    }

    #[test]
    fn b21_the_last_breath_is_told_once_and_again_after_power_came_back() {
        let mut gauge = Gauge::new(false);
        let mut dying = |percent, discharging, power_fail| {
            let battery = Told { discharging: Some(discharging), percent: Some(percent), ..Told::default() };
            gauge.read(0, Pins { power_fail, ..Pins::default() }, Told::default(), battery).dying
        };
        let said = [(4, true, None), (3, true, None), (2, true, None), (3, false, None), (3, true, None)];
        assert_eq!(said.map(|(p, d, f)| dying(p, d, f)), [false, true, false, false, true]);
        let pin =
            [(90, false, Some(false)), (90, false, Some(true)), (90, false, Some(true)), (90, false, Some(false))];
        assert_eq!(pin.map(|(p, d, f)| dying(p, d, f)), [false, true, false, false]);
        // A gauge that calls a battery full while the mains' pin says that there is none is not believed.
        let (no_mains, full) = (Pins { mains_lost: Some(true), ..Pins::default() }, Some(false));
        let battery = Told { discharging: full, percent: Some(2), ..Told::default() };
        assert!(Gauge::new(true).read(0, no_mains, Told::default(), battery).dying);
        assert!(!Gauge::new(false).read(0, no_mains, Told::default(), battery).dying, "no pin tells of the mains here");
    }

    #[test]
    fn a_pin_that_says_low_is_a_low_battery() {
        let percent = |low| {
            let pins = Pins { battery_low: Some(low), ..Pins::default() };
            let gauge = Told { percent: Some(50), ..Told::default() };
            let alone = Gauge::new(false).read(0, pins, Told::default(), Told::default());
            let beside = Gauge::new(false).read(0, pins, Told::default(), gauge);
            assert_eq!((alone.minutes_left, beside.minutes_left), (None, None));
            (alone.battery_percent, beside.battery_percent)
        };
        assert_eq!(percent(true), (Some(10), Some(10)), "whoever says low is believed");
        assert_eq!(percent(false), (Some(100), Some(50)));
    }
}
