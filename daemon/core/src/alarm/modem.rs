//! The modem of a path (R45): which SIM card and which modem belong to this hub, whether the card is locked, what was done to
//! help the modem up, and how much of the agreed data is used.
//!
//! The first card and modem that are seen are bound. Others are a fault for the centre, and alarms go over them all the same:
//! a stolen card that carries is better than silence. Only on a technician's visit is another pair bound.

use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::draft::cut;
use crate::alarm::state::State;
use crate::event::{Event, Fact};
use crate::input::ModemWord;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A SIM card and the modem it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Pair {
    pub imei: String,
    pub iccid: String,
}

/// What is known of modems, each under its path's name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modems {
    /// What is bound.
    pub bound: BTreeMap<String, Pair>,
    /// Those that are not what they were bound to.
    pub swapped: BTreeSet<String>,
    /// Those whose card is locked, and why it stays so.
    pub locked: BTreeMap<String, String>,
}

/// The modem's port says something.
pub(crate) fn on_word(draft: &mut Draft, modem: String, word: ModemWord) {
    let modem = cut(modem);
    match word {
        ModemWord::Seen { imei, iccid } => on_seen(draft, modem, imei.map(cut), iccid.map(cut)),
        ModemWord::Locked { why } => {
            let why = cut(why);
            if draft.state.modems.locked.get(&modem) != Some(&why) {
                say(draft, Fact::SimLocked { modem, why });
            }
        }
        ModemWord::Unlocked => {
            if draft.state.modems.locked.contains_key(&modem) {
                say(draft, Fact::SimUnlocked { modem });
            }
        }
        ModemWord::Helped { step, reason } => {
            say(draft, Fact::ModemRecovery { modem, step: cut(step), reason: cut(reason) });
        }
        ModemWord::DataUsed { percent, used_mb, of_mb } => {
            say(draft, Fact::DataUsed { modem, percent, used_mb, of_mb });
        }
    }
}

fn on_seen(draft: &mut Draft, modem: String, imei: Option<String>, iccid: Option<String>) {
    let modems = &draft.state.modems;
    let (bound, known) = (modems.bound.get(&modem), modems.swapped.contains(&modem));
    let differs = |seen: &Option<String>, bound: &String| seen.as_ref().is_some_and(|seen| seen != bound);
    let other = bound.is_some_and(|bound| differs(&imei, &bound.imei) || differs(&iccid, &bound.iccid));
    match (bound, &imei, &iccid) {
        // Half a pair is bound to nothing: the other half may be read in a minute.
        (None, Some(imei), Some(iccid)) => {
            let (imei, iccid) = (imei.clone(), iccid.clone());
            say(draft, Fact::SimBound { modem, imei, iccid });
        }
        (Some(_), Some(imei), Some(iccid)) if other && draft.state.standing.visited() => {
            let (imei, iccid) = (imei.clone(), iccid.clone());
            say(draft, Fact::SimBound { modem, imei, iccid });
        }
        (Some(_), ..) if other && !known => say(draft, Fact::SimSwapped { modem, imei, iccid }),
        (Some(_), Some(_), Some(_)) if !other && known => say(draft, Fact::SimBack { modem }),
        _ => {}
    }
}

fn say(draft: &mut Draft, fact: Fact) {
    draft.emit(fact, About::default());
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    let modems = &mut state.modems;
    match &event.fact {
        Fact::SimBound { modem, imei, iccid } => {
            let pair = Pair { imei: imei.clone(), iccid: iccid.clone() };
            modems.bound.insert(modem.clone(), pair);
            modems.swapped.remove(modem);
        }
        Fact::SimSwapped { modem, .. } => drop(modems.swapped.insert(modem.clone())),
        Fact::SimBack { modem } => drop(modems.swapped.remove(modem)),
        Fact::SimLocked { modem, why } => drop(modems.locked.insert(modem.clone(), why.clone())),
        Fact::SimUnlocked { modem } => drop(modems.locked.remove(modem)),
        _ => {}
    }
}
