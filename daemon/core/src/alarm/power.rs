//! The hub's own supply, and whether it still stands where it was installed (B21, B22, R48).
//!
//! Mains lost is told at once, with how long the battery will do. After it everything is as it was before. A hub that was
//! carried away goes on alarming: that it has moved is a fault for the centre, never a reason to be silent.

use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::state::State;
use crate::alarm::supervision;
use crate::device::DeviceFault;
use crate::event::{Event, Fact};
use crate::input::Supply;
use serde::{Deserialize, Serialize};

/// The battery is low at this, in per cent.
const LOW: u8 = 20;
/// And well again at this.
const WELL: u8 = 30;

/// What the hub knows of its supply.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Power {
    pub mains_lost: bool,
    pub battery_low: bool,
    /// It stands elsewhere, and nobody has said that this is right.
    pub moved: bool,
    /// It has said its last words, and nothing since says that it lives on.
    #[serde(default)]
    pub last_words: bool,
}

/// The supply's port says something.
pub(crate) fn on_supply(draft: &mut Draft, supply: Supply) {
    let Supply { mains, battery_percent, minutes_left, dying } = supply;
    let Power { mains_lost, battery_low, .. } = draft.state.power;
    match mains {
        Some(false) if !mains_lost => say(draft, Fact::MainsLost { minutes_left }),
        Some(true) if mains_lost => say(draft, Fact::MainsBack {}),
        _ => {}
    }
    match battery_percent {
        Some(percent) if percent <= LOW && !battery_low => say(draft, Fact::HubBatteryLow { percent, minutes_left }),
        Some(percent) if percent >= WELL && battery_low => say(draft, Fact::HubBatteryWell { percent }),
        _ => {}
    }
    // Once for each time: a supply that flickers at its end would say it again and again.
    if dying && !draft.state.power.last_words {
        say(draft, Fact::LastBreath {});
    }
}

/// What the network's port sees around the hub: `cells` other cells than before, `gateway` another router than before.
pub(crate) fn on_surroundings(draft: &mut Draft, cells: bool, gateway: bool) {
    let silent = |fault: &DeviceFault| matches!(fault, DeviceFault::Missing | DeviceFault::Gone);
    // A button that speaks when it is pressed says nothing about where the hub is.
    let supervised = || draft.state.devices.iter().filter(|(id, device)| supervision::is_supervised(id, device));
    let lost = supervised().filter(|(_, device)| device.faults.iter().any(silent)).count();
    let half = lost > 0 && lost * 2 >= supervised().count();
    let moved = cells && (gateway || half);
    // A new router alone is a new router; a new cell alone is the operator's work.
    if moved && !draft.state.power.moved {
        say(draft, Fact::HubMoved { gateway, silent: u32::try_from(lost).unwrap_or(u32::MAX) });
    } else if !cells && !gateway && draft.state.power.moved {
        say(draft, Fact::HubBack {});
    }
}

fn say(draft: &mut Draft, fact: Fact) {
    draft.emit(fact, About::default());
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    match &event.fact {
        Fact::MainsLost { .. } => state.power.mains_lost = true,
        Fact::MainsBack {} => (state.power.mains_lost, state.power.last_words) = (false, false),
        Fact::LastBreath {} => state.power.last_words = true,
        Fact::HubStarted { .. } => state.power.last_words = false,
        Fact::HubBatteryLow { .. } => state.power.battery_low = true,
        Fact::HubBatteryWell { .. } => state.power.battery_low = false,
        Fact::HubMoved { .. } => state.power.moved = true,
        Fact::HubBack {} => state.power.moved = false,
        _ => {}
    }
}
