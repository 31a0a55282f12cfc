//! Which pins there are, and what an input's level means. Install facts: what is wired to the hub is named in the
//! configuration, and what it tells comes as reports like a radio's. It never decides what follows.

use crate::board::filter::BREATH_MS;
use crate::board::filter::DETECTOR_MS;
use crate::board::filter::FAULT_MS;
use crate::board::pattern::Drives;
use std::collections::BTreeSet;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::device::Report;

/// A GPIO line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A chip's name and a number on it.
    Numbered(String, u32),
    /// The name that the device tree gives it, on whatever chip: `GPIO17` is the same pin on a Raspberry Pi 4 and 5.
    Named(String),
}

impl From<&str> for Line {
    /// From a text whose shape was checked (`config::fields`).
    fn from(text: &str) -> Self {
        let numbered = text.split_once(':').and_then(|(chip, line)| Some((chip.to_owned(), line.parse().ok()?)));
        numbered.map_or_else(|| Line::Named(text.to_owned()), |(chip, line)| Line::Numbered(chip, line))
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Line::Numbered(chip, line) => write!(f, "line {line} of {chip}"),
            Line::Named(name) => write!(f, "the line {name}"),
        }
    }
}

/// What an input tells while it is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watches {
    /// The hub's own housing is open.
    Lid,
    /// There is no mains.
    MainsLost,
    /// The battery is nearly empty.
    BatteryLow,
    /// The supply ends within seconds.
    PowerFail,
    /// A detector wired to the hub sees what it watches for.
    Detector(DeviceKind),
}

/// An input's resistor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// To the supply: a cut wire reads high.
    Up,
    /// To ground: a cut wire reads low.
    Down,
    /// None: there is one on the board.
    None,
}

/// An input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its name; its device is `hub-` and this.
    pub name: String,
    /// Where.
    pub line: Line,
    /// What it tells.
    pub watches: Watches,
    /// It is active while the line is low.
    pub active_low: bool,
    /// Its resistor.
    pub pull: Pull,
}

/// An output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Where.
    pub line: Line,
    /// What it drives.
    pub drives: Drives,
    /// It is active while the line is low.
    pub active_low: bool,
}

/// The device of the gauge that the kernel reads.
const GAUGE: &str = "gauge";

/// A wire proves nothing: whoever reaches it may bridge it. It may raise an alarm, and can never end one.
fn silent(name: &str, kind: DeviceKind, fault: bool) -> Option<Report> {
    let device = DeviceId::new(format!("hub-{name}")).ok()?;
    Some(Report { fault: Some(fault), ..Report::silent(device, kind, Authenticated::None) })
}

/// Whether the kernel's word of the supply can be read.
pub fn gauge(fault: bool) -> Option<Report> {
    silent(GAUGE, DeviceKind::Hub, fault)
}

impl Input {
    /// How long a level stands before it is believed, in ms.
    pub fn hold_ms(&self) -> u64 {
        match self.watches {
            Watches::Lid | Watches::Detector(_) => DETECTOR_MS,
            Watches::MainsLost | Watches::BatteryLow => FAULT_MS,
            Watches::PowerFail => BREATH_MS,
        }
    }

    fn kind(&self) -> DeviceKind {
        if let Watches::Detector(kind) = self.watches { kind } else { DeviceKind::Hub }
    }

    /// What a level that is news says as a device; `None`: it is about the supply.
    pub fn report(&self, active: bool) -> Option<Report> {
        let report = silent(&self.name, self.kind(), false)?;
        match self.watches {
            Watches::Lid => Some(Report { tamper: Some(active), ..report }),
            Watches::Detector(kind) => {
                let state = match (kind, active) {
                    (DeviceKind::Contact, true) => DeviceState::Open,
                    (DeviceKind::Contact, false) => DeviceState::Closed,
                    (_, true) => DeviceState::Alarm,
                    (_, false) => DeviceState::Clear,
                };
                Some(Report { state: Some(state), ..report })
            }
            Watches::MainsLost | Watches::BatteryLow | Watches::PowerFail => None,
        }
    }

    /// A sign of life. A button that is held, or whose wire is cut, must not call for help anew with each.
    pub fn alive(&self, believed: Option<bool>) -> Option<Report> {
        let button = matches!(self.kind(), DeviceKind::Sos | DeviceKind::HoldUp | DeviceKind::Medical);
        let again = believed.filter(|_| !button).and_then(|active| self.report(active));
        again.or_else(|| silent(&self.name, self.kind(), false))
    }

    /// The line cannot be read.
    pub fn failed(&self) -> Option<Report> {
        silent(&self.name, self.kind(), true)
    }
}

impl Output {
    /// Whether it can be driven; a lamp is nobody's device.
    pub fn report(&self, fault: bool) -> Option<Report> {
        match self.drives {
            Drives::Siren | Drives::Sounder => silent(&self.name, DeviceKind::Siren, fault),
            Drives::Lamp => None,
        }
    }
}

/// Every device there is by these pins; what was wired once and is none of them is gone.
pub fn devices(inputs: &[Input], outputs: &[Output], gauged: bool) -> BTreeSet<DeviceId> {
    let reports = inputs.iter().map(|input| input.alive(None)).chain(outputs.iter().map(|output| output.report(false)));
    reports.chain(gauged.then(|| gauge(false))).flatten().map(|report| report.device).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(watches: Watches) -> Input {
        Input { name: "one".to_owned(), line: Line::from("GPIO17"), watches, active_low: false, pull: Pull::Up }
    }

    #[test]
    fn r87_an_active_pin_says_what_it_was_wired_for() {
        let lid = input(Watches::Lid).report(true).unwrap();
        assert_eq!(
            (lid.device.as_str(), lid.kind, lid.tamper, lid.state),
            ("hub-one", DeviceKind::Hub, Some(true), None)
        );
        let states = |kind| [true, false].map(|on| input(Watches::Detector(kind)).report(on).unwrap().state.unwrap());
        assert_eq!(states(DeviceKind::Contact), [DeviceState::Open, DeviceState::Closed]);
        assert_eq!(states(DeviceKind::Sos), [DeviceState::Alarm, DeviceState::Clear]);
        assert_eq!(input(Watches::MainsLost).report(true), None);
    }

    #[test]
    fn a_sign_of_life_says_again_what_stands_and_no_button_calls_twice() {
        let alive = |watches, active| input(watches).alive(Some(active)).unwrap();
        assert_eq!(alive(Watches::Detector(DeviceKind::Contact), true).state, Some(DeviceState::Open));
        assert_eq!(alive(Watches::Lid, true).tamper, Some(true));
        for button in [DeviceKind::Sos, DeviceKind::HoldUp, DeviceKind::Medical] {
            let alive = alive(Watches::Detector(button), true);
            assert_eq!((alive.state, alive.fault, alive.kind), (None, Some(false), button));
        }
        let mains = alive(Watches::MainsLost, true);
        assert_eq!((mains.state, mains.tamper, mains.fault), (None, None, Some(false)));
        assert_eq!(input(Watches::Lid).failed().unwrap().fault, Some(true));
        let siren = |drives| Output { name: "out".to_owned(), line: Line::from("GPIO27"), drives, active_low: false };
        assert_eq!(siren(Drives::Siren).report(true).unwrap().kind, DeviceKind::Siren);
        assert_eq!(siren(Drives::Lamp).report(true), None);
        let all = devices(&[input(Watches::Lid)], &[siren(Drives::Siren), siren(Drives::Lamp)], true);
        assert_eq!(all.iter().map(DeviceId::as_str).collect::<Vec<_>>(), ["hub-gauge", "hub-one", "hub-out"]);
    }

    #[test]
    fn a_line_is_named_by_its_chip_and_number_or_by_its_own_name() {
        assert_eq!(Line::from("gpiochip4:17"), Line::Numbered("gpiochip4".to_owned(), 17));
        assert_eq!(Line::from("GPIO17"), Line::Named("GPIO17".to_owned()));
        assert_eq!(Line::from("gpiochip4:17").to_string(), "line 17 of gpiochip4");
    }
}
