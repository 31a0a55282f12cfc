//! The site's standing with its operator: in trial, in service, under test, visited, suspended, ended (R41, R47, R50 to
//! R53).
//!
//! It is stamped on every event and never holds one back: an alarm in trial or under test is an alarm (B2). A contract
//! ends only when nobody is locked in or out by it (B13).

use crate::alarm::access;
use crate::alarm::access::Right;
use crate::alarm::area;
use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::ready;
use crate::alarm::state::{Arming, State};
use crate::event::{ArmMode, Cause, Delay, Event, Fact, Method, Service};
use crate::input::{CodeChecked, RequestId};
use crate::stamp::{Deadline, Stamp};
use serde::{Deserialize, Serialize};

/// The first days after the signalling starts (R50), in seconds.
const TRIAL_S: u32 = 8 * 24 * 3_600;
/// A test ends by itself (B12), in minutes at most.
const TEST_MIN_MAX: u32 = 60;
/// A visit ends by itself, in minutes at most.
const VISIT_MIN_MAX: u32 = 8 * 60;
/// The end of a contract is announced so long before (B13), in hours.
const END_NOTICE_H: u32 = 48;
/// And at most so long.
const END_NOTICE_H_MAX: u32 = 24 * 366;
/// A test alarm is due every half year (R41), in days.
const TEST_EVERY_DAYS: u32 = 182;
/// After the centre was out of reach for so long, a test is suggested (R42), in ms.
const OUTAGE_MS: u64 = 600_000;
const DAY_MS: u64 = 24 * 3_600_000;
/// How many things that are not well one list names.
const NOT_WELL_MAX: usize = 24;

/// Where the site stands. Before its first start it stands nowhere, and counts as in service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// With the operator, and until when, where that ends by itself.
    agreed: Option<(Service, Option<Deadline>)>,
    /// A test that runs.
    test: Option<Deadline>,
    /// A technician's visit that the owner has consented to.
    visit: Option<Deadline>,
    /// The contract ends then.
    ends: Option<Deadline>,
    /// A user has shown that the door's key works: it may end though a door is locked.
    key_works: bool,
    /// The last test, or the first start.
    tested: Option<Stamp>,
    /// That a test is overdue has been told.
    overdue: bool,
    /// Since when no path has reached the centre.
    cut_off: Option<Stamp>,
}

impl Standing {
    /// What is stamped on events.
    pub fn service(&self) -> Service {
        match (&self.test, &self.visit, &self.agreed) {
            (Some(_), ..) => Service::Test,
            (None, Some(_), _) => Service::Visit,
            (None, None, Some((service, _))) => *service,
            (None, None, None) => Service::Active,
        }
    }

    /// What the operator and the site have agreed on, whatever runs beside it: what may be done hangs on this.
    pub fn agreed(&self) -> Service {
        self.agreed.as_ref().map_or(Service::Active, |(service, _)| *service)
    }

    /// Whether a technician is on site by the owner's consent.
    pub fn visited(&self) -> bool {
        self.visit.is_some()
    }

    /// When it changes by itself, in ms.
    pub(crate) fn due_ms(&self, state: &State, now: Stamp) -> Option<u64> {
        // A test or visit whose rest cannot be proven is over: what alarms then is real. A trial waits for a clock: else
        // the first start without one would end it.
        let proven = |until: Deadline| until.remaining_ms(now).unwrap_or(0);
        let agreed = self.agreed.as_ref().and_then(|(_, until)| (*until)?.remaining_ms(now));
        // What waits for a door or a disarm is looked at when that happens.
        let ends = self.ends.and_then(|until| until.remaining_ms(now)).filter(|left| *left > 0 || may_end(state));
        let test = self.tested.filter(|_| !self.overdue).and_then(|at| half_year(at).remaining_ms(now));
        let by_itself = self.test.map(proven).into_iter().chain(self.visit.map(proven));
        by_itself.chain(agreed).chain(ends).chain(test).min()
    }
}

fn half_year(from: Stamp) -> Deadline {
    Deadline::after(from, u64::from(TEST_EVERY_DAYS) * DAY_MS)
}

/// A hub that starts for the first time is in trial; a visit that the power cut short is over (B24).
pub(crate) fn on_started(draft: &mut Draft, rebooted: bool) {
    if draft.state.standing.agreed.is_none() {
        let delay = Some(Delay::after(draft.now(), TRIAL_S));
        draft.emit(Fact::ServiceChanged { standing: Service::Trial, delay }, About::default());
    }
    if rebooted && draft.state.standing.visited() {
        end_visit(draft, About::default());
    }
}

/// A person tests, or has tested enough.
pub(crate) fn on_test(draft: &mut Draft, request: RequestId, minutes: u32, code: &CodeChecked) {
    let Some(user) = access::known(draft, request, code, Right::Own) else { return };
    test(draft, request, minutes, About { user: Some(user), method: Some(code.method), ..About::default() });
}

/// The same on the centre's or a technician's word.
pub(crate) fn test(draft: &mut Draft, request: RequestId, minutes: u32, about: About) {
    if minutes > TEST_MIN_MAX {
        let text = format!("a test lasts {TEST_MIN_MAX} minutes at most; {minutes} were asked for");
        return draft.refuse(request, "out_of_range", text);
    }
    if minutes == 0 {
        let runs = draft.state.standing.test.is_some();
        let event = runs.then(|| draft.emit(Fact::TestEnded {}, about)).flatten();
        return draft.done(request, event, "no test runs: what alarms is real");
    }
    if draft.state.areas.values().any(|area| area.arming.guarding().is_some())
        || draft.state.incidents_on_site().next().is_some()
    {
        return draft.refuse(request, "not_now", "disarm first, and have open alarms closed: a test must hide neither");
    }
    let event = draft.emit(Fact::TestStarted { delay: Delay::after(draft.now(), minutes * 60) }, about);
    area::finish(draft, request, event, format!("a test runs for {minutes} min: the centre knows, everything sounds"));
}

/// The owner lets a technician in, or has him gone (C6).
pub(crate) fn on_consent(draft: &mut Draft, request: RequestId, minutes: u32, code: &CodeChecked) {
    let Some(user) = access::known(draft, request, code, Right::Own) else { return };
    let about = About { user: Some(user), method: Some(code.method), ..About::default() };
    if minutes > VISIT_MIN_MAX {
        let text = format!("a visit lasts {VISIT_MIN_MAX} minutes at most; {minutes} were asked for");
        return draft.refuse(request, "out_of_range", text);
    }
    if minutes == 0 {
        if draft.state.standing.visited() {
            end_visit(draft, about);
        }
        return draft.done(request, None, "no visit is open");
    }
    let event = draft.emit(Fact::VisitStarted { delay: Delay::after(draft.now(), minutes * 60) }, about);
    area::finish(draft, request, event, format!("a technician may work here for {minutes} min"));
}

/// Every device is back in service; what is not well is listed (B24).
fn end_visit(draft: &mut Draft, about: About) {
    let areas: Vec<_> = draft.state.areas.keys().cloned().collect();
    let mut not_well: Vec<Cause> = Vec::new();
    for area in areas {
        for cause in ready::against(draft, &area, ArmMode::Away, true) {
            if !not_well.contains(&cause) {
                not_well.push(cause);
            }
        }
    }
    not_well.truncate(NOT_WELL_MAX);
    draft.keep(Fact::VisitEnded { not_well }, about);
}

/// The operator changes the standing (R51 to R53). An end is announced first, and waits until it harms nobody.
pub(crate) fn on_standing(draft: &mut Draft, request: RequestId, standing: Service, notice_h: Option<u32>) {
    let about = About { method: Some(Method::Arc), ..About::default() };
    match (standing, notice_h) {
        (Service::Active | Service::Suspended, None) => {
            let event = draft.emit(Fact::ServiceChanged { standing, delay: None }, about);
            area::finish(draft, request, event, "changed; the site is told".to_owned());
        }
        (Service::Ended, Some(hours)) if (END_NOTICE_H..=END_NOTICE_H_MAX).contains(&hours) => {
            let event = draft.emit(Fact::EndAnnounced { delay: Delay::after(draft.now(), hours * 3_600) }, about);
            area::finish(draft, request, event, "announced: it ends then, once disarmed and unlocked".to_owned());
        }
        (Service::Ended, _) => {
            let text = format!("an end is announced {END_NOTICE_H} hours before or more: say notice_hours");
            draft.refuse(request, "notice", text);
        }
        _ => draft.refuse(request, "not_a_standing", "the operator says active, suspended or ended"),
    }
}

/// A user has tried the door's key, and it works (B13).
pub(crate) fn on_key_works(draft: &mut Draft, request: RequestId, code: &CodeChecked) {
    let Some(user) = access::known(draft, request, code, Right::Own) else { return };
    let about = About { user: Some(user), method: Some(code.method), ..About::default() };
    let event = draft.emit(Fact::KeyWorks {}, about);
    area::finish(draft, request, event, "noted: the contract may end though the door is locked".to_owned());
}

/// Whether an end would leave nobody locked in or out, and no area guarding.
fn may_end(state: &State) -> bool {
    let disarmed = state.areas.values().all(|area| matches!(area.arming, Arming::Disarmed | Arming::Unknown));
    disarmed && (state.standing.key_works || state.locks.values().all(|lock| !lock.locked))
}

/// What ends by itself, and what is due.
pub(crate) fn on_time(draft: &mut Draft) {
    let now = draft.now();
    let over = |until: Option<Deadline>| until.is_some_and(|until| until.remaining_ms(now).unwrap_or(0) == 0);
    if over(draft.state.standing.test) {
        draft.keep(Fact::TestEnded {}, About::default());
    }
    if over(draft.state.standing.visit) {
        end_visit(draft, About::default());
    }
    let proven = |until: Option<Deadline>| until.is_some_and(|until| until.remaining_ms(now) == Some(0));
    if proven(draft.state.standing.agreed.as_ref().and_then(|(_, until)| *until)) {
        draft.keep(Fact::ServiceChanged { standing: Service::Active, delay: None }, About::default());
    }
    if proven(draft.state.standing.ends) && may_end(&draft.state) {
        draft.keep(Fact::ServiceChanged { standing: Service::Ended, delay: None }, About::default());
    }
    let standing = &draft.state.standing;
    if standing.tested.is_some_and(|at| half_year(at).remaining_ms(now) == Some(0)) && !standing.overdue {
        draft.keep(Fact::TestOverdue { days: TEST_EVERY_DAYS }, About::default());
    }
}

/// Whether the centre was out of reach for so long that a test is worth while when it is back (R42).
pub(crate) fn was_cut_off(draft: &Draft) -> bool {
    let now = draft.now();
    let long = |since: Stamp| Deadline::after(since, OUTAGE_MS).remaining_ms(now).is_none_or(|left| left == 0);
    draft.state.standing.cut_off.is_some_and(long)
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    let reached = |state: &State| state.paths.is_empty() || state.paths.values().any(Option::is_none);
    match &event.fact {
        Fact::ServiceChanged { standing, delay } => {
            let until = delay.as_ref().map(|delay| delay.deadline(event.stamp));
            state.standing.agreed = Some((*standing, until));
            // The trial's own end is nobody's word about an end that was announced.
            if event.method.is_some() || *standing == Service::Ended {
                (state.standing.ends, state.standing.key_works) = (None, false);
            }
            state.standing.tested.get_or_insert(event.stamp);
        }
        Fact::EndAnnounced { delay } => state.standing.ends = Some(delay.deadline(event.stamp)),
        Fact::KeyWorks {} => state.standing.key_works = true,
        Fact::TestStarted { delay } => {
            state.standing.test = Some(delay.deadline(event.stamp));
            (state.standing.tested, state.standing.overdue) = (Some(event.stamp), false);
        }
        Fact::TestEnded {} => state.standing.test = None,
        Fact::TestOverdue { .. } => state.standing.overdue = true,
        Fact::VisitStarted { delay } => state.standing.visit = Some(delay.deadline(event.stamp)),
        Fact::VisitEnded { .. } => state.standing.visit = None,
        Fact::PathDown { .. } if !reached(state) => {
            state.standing.cut_off.get_or_insert(event.stamp);
        }
        Fact::PathUp { .. } | Fact::HubStarted { .. } => state.standing.cut_off = None,
        _ => {}
    }
}
