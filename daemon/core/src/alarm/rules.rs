//! The household's own rules (R77): a measurement beyond a limit may tell, light or arm.
//!
//! There is no word here for disarming, unlocking or firing, so no rule can.

use crate::alarm::area;
use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::schedule;
use crate::alarm::settings;
use crate::alarm::state::{Arming, State};
use crate::device::{AreaId, Authenticated, DeviceId, Measurement};
use crate::event::{ArmMode, Event, Fact, Method};
use crate::input::{Disk, RequestId};
use crate::stamp::{Deadline, Stamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many rules a site may have. One more is refused.
pub(crate) const RULES_MAX: usize = 64;
/// A limit is no further from zero than this, in thousandths: what JSON writes, any reader reads back exactly.
pub(crate) const LIMIT_MILLI_MAX: i64 = 1_000_000_000_000_000;
/// A rule that was crossed rests for so long, in ms: who sends a hot and a cold telegram in turn fills no journal.
const REST_MS: u64 = 60_000;

/// What a rule may do. Nothing else exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)]
pub enum Then {
    /// Tell who wants to know.
    Notify {},
    /// Switch a light.
    Light { light: DeviceId, on: bool },
    /// Arm an area, its exit delay being the warning: where nobody has moved inside for ten minutes, on the word of a device
    /// that nobody can speak for.
    Arm { area: AreaId, mode: ArmMode },
}

/// A limit on what one device measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Rule {
    pub device: DeviceId,
    /// What it measures, by the decoder's name: `external_temperature`, `relative_humidity`.
    pub measure: String,
    /// Beyond is above, else below.
    pub above: bool,
    /// In thousandths of the measure's unit.
    pub limit_milli: i64,
    /// It must come back by so much before it counts again, in thousandths.
    pub back_milli: i64,
    pub then: Then,
    /// It is beyond now.
    pub beyond: bool,
    /// When it was last crossed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crossed: Option<Stamp>,
}

impl Rule {
    /// Whether a value is beyond the limit, given that it was.
    fn is_beyond(&self, value_milli: i64) -> bool {
        let back = if self.beyond { self.back_milli } else { 0 };
        match self.above {
            true => value_milli > self.limit_milli.saturating_sub(back),
            false => value_milli < self.limit_milli.saturating_add(back),
        }
    }
}

/// A device measured something. What no check vouches for is a number from anywhere, and crosses nothing.
pub(crate) fn on_measured(draft: &mut Draft, device: &DeviceId, authenticated: Authenticated, values: &[Measurement]) {
    // Where the disk fails, what room there is is for alarms.
    if authenticated == Authenticated::None || matches!(draft.context.disk, Disk::Failed { .. }) {
        return;
    }
    values.iter().for_each(|value| on_value(draft, device, authenticated, value));
}

fn on_value(draft: &mut Draft, device: &DeviceId, authenticated: Authenticated, value: &Measurement) {
    let (now, value_milli) = (draft.now(), value.value_milli);
    let rests = |rule: &Rule| {
        let left = rule.crossed.and_then(|at| Deadline::after(at, REST_MS).remaining_ms(now));
        left.is_some_and(|left| left > 0)
    };
    let crossed = |rule: &Rule| {
        let of = rule.device == *device && rule.measure == value.measure;
        of && rule.is_beyond(value_milli) != rule.beyond && !rests(rule)
    };
    let crossed: Vec<(String, Rule)> = (draft.state.rules.iter())
        .filter(|(_, rule)| crossed(rule))
        .map(|(id, rule)| (id.clone(), rule.clone()))
        .collect();
    for (id, rule) in crossed {
        let zone = draft.state.devices.get(device).and_then(|device| device.zone.clone());
        let area = zone.as_ref().and_then(|zone| draft.state.zones.get(zone)).map(|zone| zone.area.clone());
        let (device, authenticated) = (Some(device.clone()), Some(authenticated));
        let about = About { area, zone, device, authenticated, ..About::default() };
        draft.emit(Fact::LimitCrossed { rule: id, beyond: !rule.beyond, value_milli }, about);
        if !rule.beyond {
            act(draft, rule.then, authenticated);
        }
    }
}

fn act(draft: &mut Draft, then: Then, authenticated: Option<Authenticated>) {
    match then {
        Then::Notify {} => {}
        // Somebody may be under threat: nothing lights up, and nothing arms that would sound (B8).
        Then::Light { .. } | Then::Arm { .. } if draft.state.is_silent() => {}
        // It may have become something else since the rule was made.
        Then::Light { light, .. } if !settings::is_light(draft, &light) => {}
        Then::Light { light, on } => draft.light(light, on),
        // Whoever can forge a telegram, or play one again, shuts nobody in.
        Then::Arm { .. } if authenticated < Some(Authenticated::MacCounter) => {}
        Then::Arm { area, mode } => {
            let stands = draft.state.areas.get(&area).map(|area| &area.arming);
            let disarmed = matches!(stands, Some(Arming::Disarmed | Arming::Unknown));
            if disarmed && !schedule::moved_inside(draft, &area) {
                let about = About { area: Some(area), method: Some(Method::Schedule), ..About::default() };
                area::arm(draft, RequestId::MAX, mode, about);
                draft.take_reply(RequestId::MAX);
            }
        }
    }
}

impl State {
    /// Whether an alarm is open of which nobody on site may notice anything (B8).
    pub fn is_silent(&self) -> bool {
        self.incidents.values().any(|incident| incident.duress)
    }
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    match &event.fact {
        Fact::RuleSet { rule, measure, above, limit_milli, back_milli, then } => {
            let Some(device) = event.device.clone() else { return };
            let (measure, then) = (measure.clone(), then.clone());
            let (above, limit_milli, back_milli) = (*above, *limit_milli, *back_milli);
            let of = Rule { device, measure, above, limit_milli, back_milli, then, beyond: false, crossed: None };
            state.rules.insert(rule.clone(), of);
        }
        Fact::RuleRemoved { rule } => drop(state.rules.remove(rule)),
        Fact::LimitCrossed { rule, beyond, .. } => {
            let crossed = (*beyond, Some(event.stamp));
            state.rules.get_mut(rule).into_iter().for_each(|rule| (rule.beyond, rule.crossed) = crossed);
        }
        Fact::DeviceRemoved {} => state.rules.retain(|_, rule| Some(&rule.device) != event.device.as_ref()),
        _ => {}
    }
}
