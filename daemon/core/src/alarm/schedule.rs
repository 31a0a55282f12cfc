//! Arming by the clock (B23), in the site's own time zone. It arms and nothing else.
//!
//! Everybody is warned ten minutes before, and may put it off. Movement inside skips it, with a notice. Each schedule has
//! one turn a day by the calendar, so a clock that is set, or an hour that comes twice, never runs it twice; without a
//! trusted clock there is no schedule, because nobody knows what day it is.

use crate::alarm::access;
use crate::alarm::access::Right;
use crate::alarm::area;
use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::state::{Arming, State};
use crate::device::AreaId;
use crate::event::{ArmMode, Delay, Event, Fact, Method};
use crate::input::{CodeChecked, Disk, Reply, RequestId};
use crate::stamp::{Deadline, Stamp};
use jiff::civil;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// The warning comes so long before, in seconds.
const WARNING_S: u32 = 600;
/// Put off by so long, in seconds.
const PUT_OFF_S: u32 = 1_800;
/// A hub that was down or had no clock still runs a schedule so much later, in ms.
const LATE_MS: i64 = 3_600_000;
/// Movement inside within so long before skips it, in ms.
const MOTION_MS: u64 = 600_000;
/// How many schedules a site may have, and the longest id.
pub(crate) const SCHEDULES_MAX: usize = 32;
const DAY_MS: u64 = 24 * 3_600_000;

/// One turn a day, on some days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Schedule {
    pub area: AreaId,
    pub mode: ArmMode,
    /// Monday is bit 0.
    pub days: u8,
    /// Of the day, by the clock on the wall.
    pub minute: u16,
    /// The day of its last turn, as `2026-11-20`.
    pub day: Option<String>,
    /// It has warned; when it arms.
    pub pending: Option<Deadline>,
}

/// The time zone of that name, if there is one.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

fn zone(state: &State) -> TimeZone {
    state.timezone.as_deref().and_then(time_zone).unwrap_or(TimeZone::UTC)
}

fn today(zone: &TimeZone, wall_ms: i64) -> Option<civil::Date> {
    Some(jiff::Timestamp::from_millisecond(wall_ms).ok()?.to_zoned(zone.clone()).date())
}

impl Schedule {
    /// When its turn of that day is, in ms since 1970; `None`: it has none.
    fn turn(&self, zone: &TimeZone, day: civil::Date) -> Option<i64> {
        let bit = day.weekday().to_monday_zero_offset();
        let on = self.days >> u8::try_from(bit).ok()? & 1 == 1;
        let (hour, minute) = (i8::try_from(self.minute / 60).ok()?, i8::try_from(self.minute % 60).ok()?);
        // An hour that does not exist is the next that does; one that comes twice is the first.
        let turn = day.at(hour, minute, 0, 0).to_zoned(zone.clone()).ok().filter(|_| on)?;
        Some(turn.timestamp().as_millisecond())
    }

    /// Its next turn: which day's, and when it warns, in ms since 1970. A day that had its turn has none again, nor has an
    /// earlier one, whatever the clock does.
    fn next(&self, zone: &TimeZone, now: Stamp) -> Option<(String, i64)> {
        let mut day = today(zone, now.wall_ms)?;
        for _ in 0..9 {
            let name = day.to_string();
            let open = self.day.as_deref().is_none_or(|done| done < name.as_str());
            if let Some(turn) = self.turn(zone, day).filter(|turn| open && turn + LATE_MS > now.wall_ms) {
                return Some((name, turn - i64::from(WARNING_S) * 1000));
            }
            day = day.tomorrow().ok()?;
        }
        None
    }

    /// In how many ms it warns.
    fn left_ms(&self, zone: &TimeZone, now: Stamp) -> Option<u64> {
        self.next(zone, now).map(|(_, warns)| u64::try_from(warns - now.wall_ms).unwrap_or(0))
    }
}

/// Schedules whose turn has come.
pub(crate) fn on_time(draft: &mut Draft) {
    let now = draft.now();
    if matches!(draft.context.disk, Disk::Failed { .. }) {
        return;
    }
    let zone = zone(&draft.state);
    let all: Vec<(String, Schedule)> = draft.state.schedules.iter().map(|(id, of)| (id.clone(), of.clone())).collect();
    for (schedule, of) in all {
        match of.pending {
            // A turn that nobody can prove to be still to come is skipped.
            Some(until) if until.remaining_ms(now).is_none() => skip(draft, schedule, &of, "clock"),
            Some(until) if until.remaining_ms(now) == Some(0) => run(draft, schedule, &of),
            Some(_) => {}
            None if now.trusted => {
                let Some((day, _)) = of.next(&zone, now).filter(|(_, warns)| *warns <= now.wall_ms) else { continue };
                let fact = Fact::ScheduleWarned { schedule, mode: of.mode, day, delay: Delay::after(now, WARNING_S) };
                draft.keep(fact, about(&of));
            }
            None => {}
        }
    }
}

fn about(of: &Schedule) -> About {
    About { area: Some(of.area.clone()), method: Some(Method::Schedule), ..About::default() }
}

fn skip(draft: &mut Draft, schedule: String, of: &Schedule, reason: &str) {
    draft.keep(Fact::ScheduleSkipped { schedule, reason: reason.to_owned() }, about(of));
}

fn run(draft: &mut Draft, schedule: String, of: &Schedule) {
    let stands = draft.state.areas.get(&of.area).map(|area| area.arming.clone());
    let inside = moved_inside(draft, &of.area);
    match stands {
        None => skip(draft, schedule, of, "no_area"),
        Some(Arming::Disarmed | Arming::Unknown) if inside => skip(draft, schedule, of, "motion"),
        Some(Arming::Disarmed | Arming::Unknown) => {
            draft.keep(Fact::ScheduleRan { schedule }, about(of));
            area::arm(draft, RequestId::MAX, of.mode, about(of));
            draft.take_reply(RequestId::MAX);
        }
        Some(_) => skip(draft, schedule, of, "armed"),
    }
}

/// Whether somebody has moved in an area a moment ago, or nobody can say when.
pub(crate) fn moved_inside(draft: &Draft, area: &AreaId) -> bool {
    let moved = draft.state.areas.get(area).and_then(|area| area.motion);
    moved.is_some_and(|at| Deadline::after(at, MOTION_MS).remaining_ms(draft.now()) != Some(0))
}

/// A user puts a turn off that has been warned of.
pub(crate) fn on_put_off(draft: &mut Draft, request: RequestId, schedule: String, code: &CodeChecked) {
    let Some(user) = access::known(draft, request, code, Right::Upkeep) else { return };
    let Some(of) = draft.state.schedules.get(&schedule).filter(|of| of.pending.is_some()) else {
        return draft.reply(request, Reply::refused("not_now", "no schedule of that name is about to arm"));
    };
    let about = About { user: Some(user), method: Some(code.method), ..about(of) };
    let delay = Delay::after(draft.now(), PUT_OFF_S);
    let event = draft.emit(Fact::SchedulePutOff { schedule, delay }, about);
    area::finish(draft, request, event, "put off by half an hour".to_owned());
}

/// When the next duty is, in ms.
pub(crate) fn due_ms(state: &State, now: Stamp) -> Option<u64> {
    if state.schedules.is_empty() {
        return None;
    }
    let zone = zone(state);
    let due = state.schedules.values().filter_map(|of| match of.pending {
        Some(until) => Some(until.remaining_ms(now).unwrap_or(0)),
        // Looked at again after a day at the latest: the clock may have been set meanwhile.
        None if now.trusted => of.left_ms(&zone, now).map(|left| left.min(DAY_MS)),
        None => None,
    });
    due.min()
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    match &event.fact {
        Fact::ScheduleSet { schedule, mode, days, minute } => {
            let Some(area) = event.area.clone() else { return };
            // One that was warned of and has not run yet has its turn by the new time, with a warning of its own.
            let before = |day: &String| day.parse::<civil::Date>().ok()?.yesterday().ok().map(|day| day.to_string());
            let day = state.schedules.get(schedule).and_then(|of| match of.pending {
                Some(_) => of.day.as_ref().and_then(before),
                None => of.day.clone(),
            });
            let of = Schedule { area, mode: *mode, days: *days, minute: *minute, day, pending: None };
            state.schedules.insert(schedule.clone(), of);
        }
        Fact::ScheduleRemoved { schedule } => drop(state.schedules.remove(schedule)),
        Fact::ScheduleWarned { schedule, day, delay, .. } => {
            let of = state.schedules.get_mut(schedule);
            of.into_iter().for_each(|of| (of.day, of.pending) = (Some(day.clone()), Some(delay.deadline(event.stamp))));
        }
        Fact::SchedulePutOff { schedule, delay } => {
            let of = state.schedules.get_mut(schedule);
            of.into_iter().for_each(|of| of.pending = Some(delay.deadline(event.stamp)));
        }
        Fact::ScheduleRan { schedule } | Fact::ScheduleSkipped { schedule, .. } => {
            state.schedules.get_mut(schedule).into_iter().for_each(|of| of.pending = None);
        }
        _ => {}
    }
}
