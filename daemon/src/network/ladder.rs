//! When a modem is helped up, and how far: connect it again, start it anew, take its power away. One step in a while, three
//! hard ones a day and then the soft one alone, never while its path works, and never for what is not its fault.
//!
//! A broker or a centre that is silent behind a modem in a good network is not: whatever is wrong is further away, and a
//! modem that is started anew is for a minute what it was to be saved from.

use serde::Deserialize;
use serde::Serialize;
use vakt_core::port::LinkState;
use vakt_core::port::ModemState;
use vakt_core::port::Networks;
use vakt_core::stamp::Deadline;
use vakt_core::stamp::Stamp;

/// Hard steps within a day. With these used up it is only connected again, as after a round.
const HARD_A_DAY: usize = 3;
const DAY_MS: u64 = 24 * 3_600_000;
/// After the last rung has not helped either, the ladder is begun again after so many of its pauses.
const PAUSES_BETWEEN_ROUNDS: u64 = 12;

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Its profile is connected again.
    Activate,
    /// It is started anew.
    Reset,
    /// It is without power for some seconds.
    Power,
}

impl Step {
    /// As the event says it.
    pub fn word(self) -> &'static str {
        match self {
            Step::Activate => "activate",
            Step::Reset => "reset",
            Step::Power => "power",
        }
    }

    fn is_hard(self) -> bool {
        self != Step::Activate
    }
}

/// How it is climbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The path must have been down, and the modem at fault, for so long, in ms.
    pub after_ms: u64,
    /// From step to step, in ms.
    pub pause_ms: u64,
    /// Whether its power can be switched.
    pub power: bool,
}

/// What must be known after a restart, or the ladder would begin at full speed with each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The hard steps of the last day and the last step of all, the oldest first.
    steps: Vec<(Step, Stamp)>,
    /// Steps since the path last worked.
    taken: u32,
}

/// One modem's ladder.
#[derive(Debug, Clone)]
pub struct Ladder {
    limits: Limits,
    record: Record,
    /// Since when the modem has been at fault without a break, on the monotonic clock.
    since: Option<u64>,
}

impl Ladder {
    /// As it was left. A step whose age nobody can prove has just been taken.
    pub fn new(limits: Limits, mut record: Record, now: Stamp) -> Self {
        for (_, at) in &mut record.steps {
            if Deadline::after(*at, DAY_MS).remaining_ms(now).is_none() {
                *at = now;
            }
        }
        Self { limits, record, since: None }
    }

    /// What is to be kept.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The modem's path works, or it does not and the modem is at fault (`cause`), or something else is. The step that is to
    /// be taken now; it counts as taken.
    pub fn look(&mut self, now: Stamp, up: bool, cause: Option<&'static str>) -> Option<Step> {
        if up {
            self.record.taken = 0;
        }
        if up || cause.is_none() {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(now.mono_ms);
        let left = |at: Stamp, length_ms| Deadline::after(at, length_ms).remaining_ms(now).unwrap_or(length_ms);
        self.record.steps.retain(|(_, at)| left(*at, DAY_MS) > 0);
        let (step, new_round) = self.next(cause == Some(NO_MODEM))?;
        let wait = self.limits.pause_ms.saturating_mul(if new_round { PAUSES_BETWEEN_ROUNDS } else { 1 });
        let soon = self.record.steps.last().is_some_and(|(_, at)| left(*at, wait) > 0);
        if now.mono_ms.saturating_sub(since) < self.limits.after_ms || soon {
            return None;
        }
        // What is not hard matters as the last step alone; so the record stays short however long nothing helps.
        self.record.steps.retain(|(step, _)| step.is_hard());
        self.record.steps.push((step, now));
        self.record.taken = self.record.taken.saturating_add(1);
        Some(step)
    }

    /// The next step, and whether it begins a round after another. A round is over when its last step was the full ladder's
    /// last rung, whatever it was taken for; and when the next one would be a hard step too many.
    fn next(&self, gone: bool) -> Option<(Step, bool)> {
        let rungs: &[Step] = if self.limits.power {
            &[Step::Activate, Step::Reset, Step::Power]
        } else {
            &[Step::Activate, Step::Reset]
        };
        let last = self.record.steps.last().filter(|_| self.record.taken > 0).map(|(step, _)| *step);
        let above = last.and_then(|last| rungs.iter().copied().skip_while(|rung| *rung != last).nth(1));
        let over = last.is_some() && above.is_none();
        let spent = self.record.steps.iter().filter(|(step, _)| step.is_hard()).count() >= HARD_A_DAY;
        if gone {
            return (self.limits.power && !spent).then_some((Step::Power, over));
        }
        match above {
            Some(step) if spent && step.is_hard() => Some((Step::Activate, true)),
            step => Some((step.unwrap_or(Step::Activate), over)),
        }
    }
}

/// The modem has vanished: only its power can bring it back.
pub const NO_MODEM: &str = "no_modem";

/// Why the modem is at fault for a path that is down; `None`: it is not, or nobody says. `gone`: there was one since the hub
/// was installed, and ModemManager says now that there is none at all.
pub fn cause(networks: &Networks, link: Option<LinkState>, gone: bool) -> Option<&'static str> {
    let Some(modem) = &networks.modem else {
        return gone.then_some(NO_MODEM);
    };
    match modem.state {
        // A card has to be put in, or a profile loaded into it: a person's work.
        ModemState::Failed if matches!(modem.failed.as_deref(), Some("sim_missing" | "esim_without_profiles")) => None,
        ModemState::Failed => Some("failed"),
        // A card that wants a code wants a person; a modem that is being found out about is not to be disturbed.
        ModemState::Locked | ModemState::Unknown => None,
        ModemState::Disabled => Some("disabled"),
        // The network's own word is not the modem's fault.
        ModemState::Searching if modem.registration == "denied" => None,
        ModemState::Searching => Some("not_registered"),
        ModemState::Registered | ModemState::Connected => {
            link.is_some_and(|link| link != LinkState::Well).then_some("not_connected")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vakt_core::port::Modem;

    const LIMITS: Limits = Limits { after_ms: 180_000, pause_ms: 300_000, power: true };

    fn at(boot: u32, s: u64) -> Stamp {
        Stamp { boot, mono_ms: s * 1_000, wall_ms: 0, trusted: false }
    }

    /// Looks every ten seconds of one boot, and gives each step with its minute.
    fn climbed(ladder: &mut Ladder, from_min: u64, minutes: u64, cause: Option<&'static str>) -> Vec<(u64, Step)> {
        let looks = (0..minutes * 6).map(|n| from_min * 60 + n * 10);
        looks.filter_map(|s| Some((s / 60, ladder.look(at(1, s), false, cause)?))).collect()
    }

    #[test]
    fn one_step_in_five_minutes_and_three_hard_ones_a_day() {
        let mut ladder = Ladder::new(LIMITS, Record::default(), at(1, 0));
        let day = climbed(&mut ladder, 0, 24 * 60, Some("not_registered"));
        let first = [(3, Step::Activate), (8, Step::Reset), (13, Step::Power)];
        let second = [(73, Step::Activate), (78, Step::Reset)];
        let soft: Vec<(u64, Step)> = (138..24 * 60).step_by(60).map(|minute| (minute, Step::Activate)).collect();
        assert_eq!(day, [&first[..], &second[..], &soft[..]].concat(), "and no hard one more that day");
        assert_eq!(ladder.record().steps.len(), HARD_A_DAY + 1, "what is kept does not grow");
        let next = [(24 * 60 + 8, Step::Reset), (24 * 60 + 13, Step::Power)];
        assert_eq!(climbed(&mut ladder, 24 * 60, 20, Some("not_registered")), next, "as the first ones are a day old");
    }

    #[test]
    fn with_the_hard_steps_used_up_it_is_still_connected_again() {
        let mut ladder = Ladder::new(LIMITS, Record::default(), at(1, 0));
        assert_eq!(climbed(&mut ladder, 0, 79, Some("failed")).len(), 5);
        assert_eq!(climbed(&mut ladder, 79, 60, Some(NO_MODEM)), [], "its power is withheld");
        assert_eq!(climbed(&mut ladder, 139, 62, Some("failed")), [(139, Step::Activate), (199, Step::Activate)]);
    }

    #[test]
    fn a_modem_that_vanishes_when_it_is_started_anew_gets_its_power_after_one_pause() {
        let mut ladder = Ladder::new(LIMITS, Record::default(), at(1, 0));
        assert_eq!(climbed(&mut ladder, 0, 9, Some("failed")), [(3, Step::Activate), (8, Step::Reset)]);
        assert_eq!(climbed(&mut ladder, 9, 64, Some(NO_MODEM)), [(13, Step::Power)], "and then the round is over");
        assert_eq!(climbed(&mut ladder, 73, 6, Some("failed")), [(73, Step::Activate), (78, Step::Reset)]);
    }

    #[test]
    fn nothing_is_done_to_a_modem_whose_path_works_or_that_is_not_at_fault() {
        let mut ladder = Ladder::new(LIMITS, Record::default(), at(1, 0));
        assert_eq!(climbed(&mut ladder, 0, 600, None), []);
        assert_eq!(climbed(&mut ladder, 600, 2, Some("failed")), []);
        assert_eq!(ladder.look(at(1, 602 * 60), true, Some("failed")), None);
        assert_eq!(climbed(&mut ladder, 603, 6, Some("failed")), [(606, Step::Activate)], "from when it is down again");
        assert_eq!(ladder.look(at(1, 610 * 60), true, None), None);
        assert_eq!(climbed(&mut ladder, 611, 8, Some("failed")), [(614, Step::Activate)], "from the first rung");
    }

    #[test]
    fn a_restart_does_not_begin_at_full_speed() {
        let mut ladder = Ladder::new(LIMITS, Record::default(), at(1, 0));
        assert_eq!(climbed(&mut ladder, 0, 9, Some("failed")), [(3, Step::Activate), (8, Step::Reset)]);
        let kept: Record = serde_json::from_str(&serde_json::to_string(ladder.record()).unwrap()).unwrap();
        let mut ladder = Ladder::new(LIMITS, kept.clone(), at(1, 9 * 60));
        assert_eq!(climbed(&mut ladder, 9, 5, Some("failed")), [(13, Step::Power)], "where it was left");
        // The board has started anew, and no clock can say when: the steps have just been taken.
        let mut ladder = Ladder::new(LIMITS, kept, at(2, 0));
        let looks = (0..60).map(|n| n * 10);
        let steps: Vec<u64> = looks.filter(|s| ladder.look(at(2, *s), false, Some("failed")).is_some()).collect();
        assert_eq!(steps, [300]);
    }

    #[test]
    fn a_modem_that_vanished_gets_its_power_taken_where_that_can_be() {
        let mut ladder = Ladder::new(LIMITS, Record::default(), at(1, 0));
        assert_eq!(climbed(&mut ladder, 0, 10, Some(NO_MODEM)), [(3, Step::Power)]);
        let mut ladder = Ladder::new(Limits { power: false, ..LIMITS }, Record::default(), at(1, 0));
        assert_eq!(climbed(&mut ladder, 0, 600, Some(NO_MODEM)), []);
    }

    #[test]
    fn whose_fault_it_is() {
        let with = |state, registration| Networks {
            modem_manager: true,
            modem: Some(Modem { state, registration, ..Modem::default() }),
            ..Networks::default()
        };
        let well = Some(LinkState::Well);
        assert_eq!(cause(&with(ModemState::Searching, "searching"), well, true), Some("not_registered"));
        assert_eq!(cause(&with(ModemState::Searching, "denied"), None, true), None);
        assert_eq!(cause(&with(ModemState::Locked, "unknown"), None, true), None);
        assert_eq!(cause(&with(ModemState::Connected, "home"), well, true), None, "whoever is silent is further away");
        assert_eq!(
            cause(&with(ModemState::Connected, "home"), Some(LinkState::NoAddress), true),
            Some("not_connected")
        );
        assert_eq!(cause(&Networks { modem_manager: true, ..Networks::default() }, None, true), Some(NO_MODEM));
        assert_eq!(cause(&Networks { modem_manager: true, ..Networks::default() }, None, false), None, "nobody says");
        let failed = |why: Option<&str>| {
            let modem = Modem { state: ModemState::Failed, failed: why.map(str::to_owned), ..Modem::default() };
            cause(&Networks { modem_manager: true, modem: Some(modem), ..Networks::default() }, None, false)
        };
        assert_eq!([None, Some("sim_error"), Some("unknown")].map(failed), [Some("failed"); 3]);
        assert_eq!([Some("sim_missing"), Some("esim_without_profiles")].map(failed), [None; 2], "a person's work");
    }
}
