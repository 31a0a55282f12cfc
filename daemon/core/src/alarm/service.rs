//! The site's standing with its operator: in trial, in service, under test, suspended, ended (R50 to R52).
//!
//! It is stamped on every event and never holds one back: an alarm in trial or under test is an alarm (B2).

use crate::alarm::area;
use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::state::State;
use crate::event::{Delay, Event, Fact, Service};
use crate::input::{CodeChecked, RequestId};
use crate::stamp::{Deadline, Stamp};
use serde::{Deserialize, Serialize};

/// The first days after the signalling starts (R50), in seconds.
const TRIAL_S: u32 = 8 * 24 * 3_600;
/// A test ends by itself (B12), in minutes at most.
const TEST_MIN_MAX: u32 = 60;

/// Where the site stands. Before its first start it stands nowhere, and counts as in service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// With the operator, and until when, where that ends by itself.
    agreed: Option<(Service, Option<Deadline>)>,
    /// A test that runs.
    test: Option<Deadline>,
}

impl Standing {
    /// What is stamped on events.
    pub fn service(&self) -> Service {
        match (&self.test, &self.agreed) {
            (Some(_), _) => Service::Test,
            (None, Some((service, _))) => *service,
            (None, None) => Service::Active,
        }
    }

    /// When it changes by itself, in ms.
    pub(crate) fn due_ms(&self, now: Stamp) -> Option<u64> {
        // A test whose rest cannot be proven is over: what alarms then is real. A trial waits for a clock: else the
        // first start without one would end it.
        let test = self.test.map(|until| until.remaining_ms(now).unwrap_or(0));
        let agreed = self.agreed.as_ref().and_then(|(_, until)| (*until)?.remaining_ms(now));
        test.into_iter().chain(agreed).min()
    }
}

/// A hub that starts for the first time is in trial.
pub(crate) fn on_started(draft: &mut Draft) {
    if draft.state.standing.agreed.is_none() {
        let delay = Some(Delay::after(draft.now(), TRIAL_S));
        draft.emit(Fact::ServiceChanged { standing: Service::Trial, delay }, About::default());
    }
}

/// A person tests, or has tested enough.
pub(crate) fn on_test(draft: &mut Draft, request: RequestId, minutes: u32, code: &CodeChecked) {
    let Some(user) = area::known(draft, request, code) else { return };
    let about = About { user: Some(user), method: Some(code.method), ..About::default() };
    if minutes > TEST_MIN_MAX {
        let text = format!("a test lasts {TEST_MIN_MAX} minutes at most; {minutes} were asked for");
        return draft.refuse(request, "out_of_range", text);
    }
    if minutes == 0 {
        let runs = draft.state.standing.test.is_some();
        let event = runs.then(|| draft.emit(Fact::TestEnded {}, about)).flatten();
        return draft.done(request, event, "no test runs: what alarms is real");
    }
    if draft.state.areas.values().any(|area| area.arming.guarding().is_some()) || !draft.state.incidents.is_empty() {
        return draft.refuse(request, "not_now", "disarm first, and have open alarms closed: a test must hide neither");
    }
    let event = draft.emit(Fact::TestStarted { delay: Delay::after(draft.now(), minutes * 60) }, about);
    area::finish(draft, request, event, format!("a test runs for {minutes} min: the centre knows, everything sounds"));
}

/// What ends by itself.
pub(crate) fn on_time(draft: &mut Draft) {
    let now = draft.now();
    if draft.state.standing.test.is_some_and(|until| until.remaining_ms(now).unwrap_or(0) == 0) {
        draft.keep(Fact::TestEnded {}, About::default());
    }
    let over = |until: &Option<Deadline>| until.is_some_and(|until| until.remaining_ms(now) == Some(0));
    if draft.state.standing.agreed.as_ref().is_some_and(|(_, until)| over(until)) {
        draft.keep(Fact::ServiceChanged { standing: Service::Active, delay: None }, About::default());
    }
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    match &event.fact {
        Fact::ServiceChanged { standing, delay } => {
            let until = delay.as_ref().map(|delay| delay.deadline(event.stamp));
            state.standing.agreed = Some((*standing, until));
        }
        Fact::TestStarted { delay } => state.standing.test = Some(delay.deadline(event.stamp)),
        Fact::TestEnded {} => state.standing.test = None,
        _ => {}
    }
}
