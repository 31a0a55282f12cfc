//! One siren: what it shall do, what it was told, and what it says of that. `wd` has the bytes. It decides nothing: who
//! sounds when, and how loud, is said to it.
//!
//! A siren that was told to sound is never trusted to hear the end. Each telling ends by itself after [`STRETCH_S`] at
//! most and is said again before, so that a siren whose hub has died is quiet soon, and one whose hub was smashed still
//! sounds for that long. The end is told until the siren confirms it or must have ended by itself.
//!
//! ```text
//!   Trying ──Default Response of success──▶ Confirmed ──before its time runs out──▶ Trying
//!     └──all tries, or "unsupported"──▶ GivenUp ──AGAIN_MS──▶ Trying
//! ```
//! The cluster has no attribute that says whether a siren sounds: its Default Response is all the proof there is. One
//! that is also an IAS zone may say more in its zone's status.

use crate::zigbee::refused::Refused;
use crate::zigbee::wd;
use crate::zigbee::wd::Level;
use crate::zigbee::wd::Squawk;
use crate::zigbee::wd::Warning;
use crate::zigbee::wd::WarningMode;
use crate::zigbee::zcl::Status;
use crate::zigbee::zcl_global::Global;
use std::collections::VecDeque;
use std::fmt;

/// A siren is told to sound for so long at a time, s: the usual length of an alarm, so that most are told once.
pub const STRETCH_S: u16 = 180;
/// It is told again so long before its time runs out, ms, or a quarter of that time if it is short.
const RENEW_MS: u64 = 30_000;
/// How long each try waits for its answer, ms: a siren that sleeps hears within 7.68 s or not at all.
const WAITS_MS: [u64; 4] = [1_000, 2_000, 4_000, 8_000];
/// After all tries were in vain it is tried anew after so long, ms, while it matters.
pub const AGAIN_MS: u64 = 30_000;
/// A test sounds no longer than this, s.
pub const TEST_MAX_S: u16 = 10;
/// Chirps and tests that wait to be sent; beyond it a new one is not done.
const SHOTS_MAX: usize = 4;
/// A chirp that could not be sent for so long, ms, means nothing any more.
const SHOT_STALE_MS: u64 = 5_000;
/// A chirp's or a test's answer is awaited for so long, ms. It is never sent twice: it would be heard twice.
const SHOT_ANSWER_MS: u64 = 10_000;
/// How often MaxDuration is asked for, and the wait between, ms; a siren that does not say has the standard's.
const READS: (u8, u64) = (3, 60_000);
/// The strobe's share of light, per cent.
const DUTY_PERCENT: u8 = 50;
/// Words nobody has taken; beyond it the oldest is lost, and the newest still says how it stands.
const WORDS_MAX: usize = 32;

/// How a siren sounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    /// What it warns of.
    pub mode: WarningMode,
    /// How loud.
    pub level: Level,
    /// How bright it flashes; `None`: not at all.
    pub strobe: Option<Level>,
}

impl Pattern {
    fn lasting(self, duration_s: u16) -> Warning {
        let duty_percent = if self.strobe.is_some() { DUTY_PERCENT } else { 0 };
        Warning { mode: self.mode, level: self.level, strobe: self.strobe, duty_percent, duration_s }
    }
}

/// Something that is done once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shot {
    /// A chirp.
    Squawk(Squawk),
    /// So it sounds, for so many seconds, [`TEST_MAX_S`] at most.
    Test(Pattern, u16),
}

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The siren does not answer.
    NoAnswer,
    /// It answers that it does not do that.
    Refused(Status),
    /// It sounds, or too much waits before it, or it came too late.
    NotNow,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("the siren does not answer"),
            Self::Refused(status) => write!(f, "the siren answers {} (0x{:02x})", status.name(), status.0),
            Self::NotNow => f.write_str("the siren is in use"),
        }
    }
}

/// What is said of the siren.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It was told to sound; `true`: it says that it does.
    Sounds(bool),
    /// It is quiet: `true` by its own word, `false` because its time has run out.
    Silent(bool),
    /// It cannot be brought to sound; this is tried on.
    NotSounding(Why),
    /// It cannot be told to stop; this is tried on until its time has run out.
    NotStopping(Why),
    /// A chirp or a test was done, by its own word.
    Done(Shot),
    /// It was not, as far as anybody knows.
    NotDone(Shot, Why),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Nobody has said.
    Unknown,
    Silence,
    Sound {
        pattern: Pattern,
        until_ms: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Trying { due_ms: u64 },
    Confirmed,
    GivenUp { again_ms: u64 },
}

/// What it is being told.
#[derive(Debug)]
struct Order {
    /// `None`: stop.
    pattern: Option<Pattern>,
    state: State,
    /// The number of each try.
    tsns: Vec<u8>,
    refused: Option<Status>,
    /// When it was last told, and for how long, ms.
    sent: Option<(u64, u64)>,
}

impl Order {
    fn new(pattern: Option<Pattern>, now_ms: u64) -> Self {
        Self { pattern, state: State::Trying { due_ms: now_ms }, tsns: Vec::new(), refused: None, sent: None }
    }

    /// When a sounding siren must be told again; `None` where what it was told is enough.
    fn renew_ms(&self, until_ms: u64) -> Option<u64> {
        let (at_ms, for_ms) = self.sent?;
        (until_ms > at_ms + for_ms).then(|| at_ms + for_ms - RENEW_MS.min(for_ms / 4))
    }
}

#[derive(Debug)]
struct Sent {
    shot: Shot,
    tsn: u8,
    due_ms: u64,
}

/// A siren's driver. The host takes messages by [`Siren::next`] until there is none, hands over what the siren says by
/// [`Siren::heard`], and comes back at [`Siren::due_ms`].
#[derive(Debug)]
pub struct Siren {
    wanted: Wanted,
    order: Option<Order>,
    /// It may sound until then, by all it was told, ms.
    may_sound_ms: u64,
    /// It refuses to flash.
    dark: bool,
    max_duration_s: Option<u16>,
    reads_left: u8,
    read_ms: u64,
    waiting: VecDeque<(Shot, u64)>,
    sent: Option<Sent>,
    words: VecDeque<Word>,
    last: Option<Word>,
}

impl Siren {
    /// A siren of which nothing is known: it may sound by the word of an earlier hub, for one stretch.
    pub fn new(now_ms: u64) -> Self {
        Self {
            wanted: Wanted::Unknown,
            order: None,
            may_sound_ms: now_ms + u64::from(STRETCH_S) * 1_000,
            dark: false,
            max_duration_s: None,
            reads_left: READS.0,
            read_ms: now_ms,
            waiting: VecDeque::new(),
            sent: None,
            words: VecDeque::new(),
            last: None,
        }
    }

    /// It shall sound so, for so long from now. Said again with more or less time, it is the same sound.
    pub fn sound(&mut self, pattern: Pattern, remaining_s: u32, now_ms: u64) {
        if pattern.mode == WarningMode::Stop || remaining_s == 0 {
            return self.silence();
        }
        self.wanted = Wanted::Sound { pattern, until_ms: now_ms + u64::from(remaining_s) * 1_000 };
    }

    /// It shall be quiet.
    pub fn silence(&mut self) {
        self.wanted = Wanted::Silence;
    }

    /// A chirp or a test. Not while it sounds, which is more important.
    pub fn shoot(&mut self, shot: Shot, now_ms: u64) {
        if self.waiting.len() >= SHOTS_MAX {
            return self.say(Word::NotDone(shot, Why::NotNow));
        }
        self.waiting.push_back((shot, now_ms));
    }

    /// It has joined again, or the way to it is new: what it was told before is told once more.
    pub fn anew(&mut self, now_ms: u64) {
        self.order = None;
        (self.reads_left, self.read_ms) = (READS.0, now_ms);
    }

    /// What it says of itself.
    pub fn word(&mut self) -> Option<Word> {
        self.words.pop_front()
    }

    /// How long it sounds at most, s, if it has said so.
    pub fn max_duration_s(&self) -> Option<u16> {
        self.max_duration_s
    }

    /// The next message to it, under this number; `None`: nothing for now.
    pub fn next(&mut self, now_ms: u64, tsn: u8) -> Option<Vec<u8>> {
        self.advance(now_ms);
        self.tell(now_ms, tsn).or_else(|| self.shoot_next(now_ms, tsn)).or_else(|| self.ask(now_ms, tsn))
    }

    /// When [`Self::next`] has something to do, ms.
    pub fn due_ms(&self) -> Option<u64> {
        let until = if let Wanted::Sound { until_ms, .. } = self.wanted { Some(until_ms) } else { None };
        let order = match &self.order {
            _ if self.wanted == Wanted::Unknown => None,
            Some(order) if order.pattern == self.pattern() => match order.state {
                State::Trying { due_ms } => Some(due_ms),
                State::Confirmed => until.and_then(|until_ms| order.renew_ms(until_ms)),
                State::GivenUp { again_ms } => Some(again_ms),
            },
            _ => Some(0),
        };
        let shot = match &self.sent {
            Some(sent) => Some(sent.due_ms),
            None => self.waiting.front().map(|(_, at_ms)| *at_ms),
        };
        let read = (self.reads_left > 0).then_some(self.read_ms);
        [until, order, shot, read].into_iter().flatten().min()
    }

    /// What the siren says on the cluster: an answer to `tsn`, or a report.
    ///
    /// # Errors
    /// Why it was refused; nothing follows from it then.
    pub fn heard(&mut self, tsn: u8, said: &Global, now_ms: u64) -> Result<(), Refused> {
        if let Some(seconds) = wd::max_duration_s(said)? {
            self.max_duration_s = Some(seconds);
            self.reads_left = 0;
            if let Some((_, for_ms)) = self.order.as_mut().and_then(|order| order.sent.as_mut()) {
                *for_ms = (*for_ms).min(u64::from(seconds) * 1_000);
            }
        }
        match said {
            Global::ReadResponse(records) if records.iter().any(|(_, result)| result.is_err()) => self.reads_left = 0,
            Global::DefaultResponse { command: wd::to_siren::START_WARNING, status } => {
                self.order_answered(tsn, *status, now_ms);
            }
            _ => {}
        }
        if let Global::DefaultResponse { status, .. } = said
            && let Some(sent) = self.sent.take_if(|sent| sent.tsn == tsn)
        {
            self.say(match *status {
                Status::SUCCESS => Word::Done(sent.shot),
                status => Word::NotDone(sent.shot, Why::Refused(status)),
            });
        }
        Ok(())
    }

    fn order_answered(&mut self, tsn: u8, status: Status, now_ms: u64) {
        let Some(order) = self.order.as_mut().filter(|order| order.tsns.contains(&tsn)) else { return };
        if status == Status::SUCCESS {
            order.state = State::Confirmed;
            let word = if order.pattern.is_some() { Word::Sounds(true) } else { Word::Silent(true) };
            if word == Word::Silent(true) {
                self.may_sound_ms = now_ms;
            }
            return self.say_once(word);
        }
        order.refused = Some(status);
        // One without a light refuses the sound with it: then it is told again without.
        self.dark |= order.pattern.is_some_and(|pattern| pattern.strobe.is_some());
        // It will not learn it by being told again.
        let never = [Status::UNSUPPORTED_CLUSTER_COMMAND, Status::UNSUPPORTED_CLUSTER].contains(&status);
        if never && matches!(order.state, State::Trying { .. }) {
            self.give_up(now_ms);
        }
    }

    fn pattern(&self) -> Option<Pattern> {
        let Wanted::Sound { pattern, .. } = self.wanted else { return None };
        Some(Pattern { strobe: pattern.strobe.filter(|_| !self.dark), ..pattern })
    }

    /// Brings what it is told in line with what it shall do, and gives up what was tried in vain.
    fn advance(&mut self, now_ms: u64) {
        if let Wanted::Sound { until_ms, .. } = self.wanted
            && until_ms <= now_ms
        {
            self.wanted = Wanted::Silence;
        }
        if self.wanted == Wanted::Unknown {
            return;
        }
        let pattern = self.pattern();
        let ended = now_ms >= self.may_sound_ms;
        match &mut self.order {
            Some(order) if order.pattern == pattern => match (order.state, self.wanted) {
                (State::Trying { due_ms }, _) if due_ms <= now_ms && order.tsns.len() == WAITS_MS.len() => {
                    self.give_up(now_ms);
                }
                (State::GivenUp { again_ms }, Wanted::Silence) if again_ms <= now_ms && ended => {
                    order.state = State::Confirmed;
                    self.say_once(Word::Silent(false));
                }
                (State::GivenUp { again_ms }, _) if again_ms <= now_ms => {
                    self.order = Some(Order::new(pattern, now_ms));
                }
                (State::Confirmed, Wanted::Sound { until_ms, .. })
                    if order.renew_ms(until_ms).is_some_and(|renew| renew <= now_ms) =>
                {
                    self.order = Some(Order::new(pattern, now_ms));
                }
                _ => {}
            },
            _ => self.order = Some(Order::new(pattern, now_ms)),
        }
    }

    fn give_up(&mut self, now_ms: u64) {
        let Some(order) = &mut self.order else { return };
        let why = order.refused.map_or(Why::NoAnswer, Why::Refused);
        let again_ms = now_ms + AGAIN_MS;
        if order.pattern.is_some() {
            order.state = State::GivenUp { again_ms };
            return self.say_once(Word::NotSounding(why));
        }
        let ended = self.may_sound_ms <= now_ms;
        order.state =
            if ended { State::Confirmed } else { State::GivenUp { again_ms: again_ms.min(self.may_sound_ms) } };
        if !ended || why != Why::NoAnswer {
            self.say_once(Word::NotStopping(why));
        }
        if ended {
            self.say_once(Word::Silent(false));
        }
    }

    fn tell(&mut self, now_ms: u64, tsn: u8) -> Option<Vec<u8>> {
        let limit = self.max_duration_s.unwrap_or(wd::MAX_DURATION_DEFAULT_S).min(STRETCH_S);
        let order = self.order.as_mut().filter(|_| self.wanted != Wanted::Unknown)?;
        let State::Trying { due_ms } = order.state else { return None };
        if due_ms > now_ms {
            return None;
        }
        // `advance` gave up the order whose tries are used up.
        let wait = *WAITS_MS.get(order.tsns.len())?;
        order.state = State::Trying { due_ms: now_ms + wait };
        order.tsns.push(tsn);
        let (Some(pattern), Wanted::Sound { until_ms, .. }) = (order.pattern, self.wanted) else {
            return Some(wd::start_warning(tsn, Warning::STOP));
        };
        let left_s = until_ms.saturating_sub(now_ms).div_ceil(1_000).clamp(1, u64::from(limit));
        order.sent = Some((now_ms, left_s * 1_000));
        self.may_sound_ms = self.may_sound_ms.max(now_ms + left_s * 1_000);
        let duration_s = u16::try_from(left_s).expect("no more than the limit");
        let message = wd::start_warning(tsn, pattern.lasting(duration_s));
        if !matches!(self.last, Some(Word::Sounds(_) | Word::NotSounding(_))) {
            self.say_once(Word::Sounds(false));
        }
        Some(message)
    }

    fn shoot_next(&mut self, now_ms: u64, tsn: u8) -> Option<Vec<u8>> {
        if let Some(late) = self.sent.take_if(|sent| sent.due_ms <= now_ms) {
            self.say(Word::NotDone(late.shot, Why::NoAnswer));
        }
        while self.sent.is_none() {
            let (shot, at_ms) = self.waiting.pop_front()?;
            let stale = at_ms + SHOT_STALE_MS <= now_ms;
            if stale || self.pattern().is_some() {
                self.say(Word::NotDone(shot, Why::NotNow));
                continue;
            }
            self.sent = Some(Sent { shot, tsn, due_ms: now_ms + SHOT_ANSWER_MS });
            return Some(match shot {
                Shot::Squawk(squawk) => wd::squawk(tsn, squawk),
                Shot::Test(pattern, seconds) => wd::start_warning(tsn, pattern.lasting(seconds.clamp(1, TEST_MAX_S))),
            });
        }
        None
    }

    fn ask(&mut self, now_ms: u64, tsn: u8) -> Option<Vec<u8>> {
        if self.reads_left == 0 || self.read_ms > now_ms {
            return None;
        }
        self.reads_left -= 1;
        self.read_ms = now_ms + READS.1;
        Some(wd::read_max_duration(tsn))
    }

    /// How it stands, unless that was the last word.
    fn say_once(&mut self, word: Word) {
        if self.last != Some(word) {
            self.last = Some(word);
            self.say(word);
        }
    }

    fn say(&mut self, word: Word) {
        if self.words.len() >= WORDS_MAX {
            self.words.pop_front();
        }
        self.words.push_back(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zigbee::wd::SquawkMode;
    use crate::zigbee::zcl_value::DataType;
    use crate::zigbee::zcl_value::Value;
    use proptest::prelude::*;

    const BURGLARY: Pattern = Pattern { mode: WarningMode::Burglar, level: Level::VeryHigh, strobe: None };
    const FIRE: Pattern = Pattern { mode: WarningMode::Fire, ..BURGLARY };
    const CHIRP: Shot = Shot::Squawk(Squawk { mode: SquawkMode::SystemIsArmed, level: Level::Low, strobe: false });

    fn all(siren: &mut Siren, now_ms: u64, tsn: u8) -> Vec<Vec<u8>> {
        let sent = std::iter::from_fn(|| siren.next(now_ms, tsn)).take(20).collect();
        assert!(siren.due_ms().is_none_or(|due| due > now_ms), "it is done until its next due time");
        sent
    }

    fn words(siren: &mut Siren) -> Vec<Word> {
        std::iter::from_fn(|| siren.word()).collect()
    }

    fn start(tsn: u8, info: u8, seconds: u8) -> Vec<u8> {
        vec![0x01, tsn, 0x00, info, seconds, 0, 0, 0]
    }

    fn answers(siren: &mut Siren, tsn: u8, command: u8, status: u8, now_ms: u64) {
        siren.heard(tsn, &Global::DefaultResponse { command, status: Status(status) }, now_ms).unwrap();
    }

    /// One that is known to be quiet and has said how long it sounds at most.
    fn quiet(max_s: u16) -> Siren {
        let mut siren = Siren::new(0);
        siren.silence();
        assert_eq!(all(&mut siren, 0, 1), [start(1, 0, 0), vec![0x10, 1, 0, 0, 0]]);
        let told = Value::fixed(DataType::UINT16, u64::from(max_s)).unwrap();
        siren.heard(1, &Global::ReadResponse(vec![(0, Ok(told))]), 10).unwrap();
        answers(&mut siren, 1, 0, 0, 10);
        assert_eq!(words(&mut siren), [Word::Silent(true)]);
        assert_eq!((siren.due_ms(), siren.max_duration_s()), (None, Some(max_s)));
        siren
    }

    #[test]
    fn a_siren_sounds_until_its_time_is_over_and_says_so() {
        let mut siren = quiet(240);
        siren.sound(BURGLARY, 120, 1_000);
        assert_eq!(all(&mut siren, 1_000, 2), [start(2, 0x13, 120)]);
        assert_eq!(words(&mut siren), [Word::Sounds(false)]);
        answers(&mut siren, 2, 0, 0, 1_050);
        assert_eq!(words(&mut siren), [Word::Sounds(true)]);
        siren.sound(BURGLARY, 119, 2_000);
        assert_eq!(all(&mut siren, 2_000, 3), Vec::<Vec<u8>>::new(), "it is the same sound");
        assert_eq!(siren.due_ms(), Some(121_000));
        assert_eq!(all(&mut siren, 121_000, 4), [start(4, 0, 0)]);
        answers(&mut siren, 4, 0, 0, 121_100);
        assert_eq!((words(&mut siren), siren.due_ms()), (vec![Word::Silent(true)], None));
    }

    #[test]
    fn a_long_alarm_is_renewed_before_each_telling_runs_out() {
        for (max_s, stretch) in [(240, 180), (60, 60), (8, 8)] {
            let mut siren = quiet(max_s);
            siren.sound(FIRE, 900, 0);
            let (mut now_ms, mut sounds_until, mut tsn) = (0, 0, 2);
            while now_ms < 900_000 {
                for message in all(&mut siren, now_ms, tsn) {
                    if now_ms >= 900_000 {
                        assert_eq!(message, start(tsn, 0, 0));
                        break;
                    }
                    assert!(now_ms <= sounds_until, "it fell silent at {sounds_until}");
                    assert_eq!((message[3], u64::from(message[4]) <= stretch), (0x23, true));
                    sounds_until = now_ms + u64::from(message[4]) * 1_000;
                    answers(&mut siren, tsn, 0, 0, now_ms + 50);
                }
                tsn = tsn.wrapping_add(1);
                now_ms = siren.due_ms().unwrap();
            }
            assert!((900_000..=901_000).contains(&sounds_until), "and no longer: {sounds_until}");
            assert_eq!(words(&mut siren), [Word::Sounds(false), Word::Sounds(true)]);
        }
    }

    #[test]
    fn a_siren_that_turns_out_to_tire_sooner_is_renewed_sooner() {
        let mut siren = Siren::new(0);
        siren.sound(BURGLARY, 600, 0);
        assert_eq!(all(&mut siren, 0, 1), [start(1, 0x13, 180), vec![0x10, 1, 0, 0, 0]]);
        answers(&mut siren, 1, 0, 0, 50);
        assert_eq!(siren.due_ms(), Some(READS.1), "it has not said how long it sounds");
        siren.heard(1, &Global::ReadResponse(vec![(0, Ok(Value::fixed(DataType::UINT16, 20).unwrap()))]), 60).unwrap();
        assert_eq!(siren.due_ms(), Some(15_000));
        assert_eq!(all(&mut siren, 15_000, 2), [start(2, 0x13, 20)]);
    }

    #[test]
    fn the_end_is_told_until_it_is_confirmed() {
        let mut siren = quiet(240);
        siren.sound(BURGLARY, 120, 0);
        all(&mut siren, 0, 2);
        answers(&mut siren, 2, 0, 0, 50);
        siren.silence();
        words(&mut siren);
        for (tsn, now_ms) in [(3, 1_000), (4, 2_000), (5, 4_000), (6, 8_000)] {
            assert_eq!(all(&mut siren, now_ms, tsn), [start(tsn, 0, 0)]);
        }
        assert_eq!(all(&mut siren, 16_000, 7), Vec::<Vec<u8>>::new());
        assert_eq!(words(&mut siren), [Word::NotStopping(Why::NoAnswer)]);
        assert_eq!(siren.due_ms(), Some(46_000));
        assert_eq!(all(&mut siren, 46_000, 8), [start(8, 0, 0)]);
        answers(&mut siren, 8, 0, 0, 46_100);
        assert_eq!((words(&mut siren), siren.due_ms()), (vec![Word::Silent(true)], None));
    }

    #[test]
    fn a_siren_nobody_can_reach_is_silent_when_its_time_has_run_out() {
        let mut siren = quiet(240);
        siren.sound(BURGLARY, 60, 0);
        all(&mut siren, 0, 2);
        siren.silence();
        let mut now_ms = 1_000;
        while let Some(due) = {
            all(&mut siren, now_ms, 3);
            siren.due_ms()
        } {
            now_ms = due;
        }
        assert_eq!(now_ms, 61_000, "after the tries that were under way");
        assert_eq!(words(&mut siren), [Word::Sounds(false), Word::NotStopping(Why::NoAnswer), Word::Silent(false)]);
    }

    #[test]
    fn a_siren_that_does_not_answer_is_tried_on_while_the_alarm_lasts() {
        let mut siren = quiet(240);
        siren.sound(BURGLARY, 120, 0);
        let mut sent = Vec::new();
        let (mut now_ms, mut tsn) = (0, 2);
        while now_ms < 100_000 {
            sent.extend(all(&mut siren, now_ms, tsn).into_iter().map(|_| now_ms));
            now_ms = siren.due_ms().unwrap();
            tsn += 1;
        }
        assert_eq!(sent, [0, 1_000, 3_000, 7_000, 45_000, 46_000, 48_000, 52_000, 90_000, 91_000, 93_000, 97_000]);
        assert_eq!(words(&mut siren), [Word::Sounds(false), Word::NotSounding(Why::NoAnswer)], "said once");
        answers(&mut siren, tsn - 2, 0, 0, now_ms);
        assert_eq!(words(&mut siren), [Word::Sounds(true)]);
    }

    #[test]
    fn what_a_siren_does_not_know_is_said_at_once() {
        let mut siren = quiet(240);
        siren.sound(BURGLARY, 120, 0);
        all(&mut siren, 0, 2);
        answers(&mut siren, 2, 0, 0x81, 40);
        let refused = Why::Refused(Status::UNSUPPORTED_CLUSTER_COMMAND);
        assert_eq!(words(&mut siren), [Word::Sounds(false), Word::NotSounding(refused)]);
        assert_eq!(refused.to_string(), "the siren answers unsupported_cluster_command (0x81)");
        siren.silence();
        all(&mut siren, 100, 3);
        answers(&mut siren, 2, 0, 0, 110);
        assert_eq!(words(&mut siren), [], "an answer to the start is none to the stop");
        answers(&mut siren, 3, 0, 0, 120);
        assert_eq!(words(&mut siren), [Word::Silent(true)]);
    }

    #[test]
    fn an_alarm_that_changes_is_told_at_once_and_a_siren_that_joins_again_is_told_again() {
        let mut siren = quiet(240);
        siren.sound(BURGLARY, 120, 0);
        all(&mut siren, 0, 2);
        siren.sound(FIRE, 120, 500);
        assert_eq!(siren.due_ms(), Some(0));
        assert_eq!(all(&mut siren, 500, 3), [start(3, 0x23, 120)]);
        answers(&mut siren, 3, 0, 0, 600);
        siren.anew(700);
        assert_eq!(all(&mut siren, 700, 4), [start(4, 0x23, 120), vec![0x10, 4, 0, 0, 0]]);
    }

    #[test]
    fn chirps_and_tests_are_done_once_and_never_over_an_alarm() {
        let mut siren = quiet(240);
        siren.shoot(CHIRP, 0);
        let test = Shot::Test(BURGLARY, 600);
        siren.shoot(test, 0);
        assert_eq!(all(&mut siren, 0, 2), [vec![0x01, 2, 0x01, 0x00]]);
        answers(&mut siren, 2, 1, 0, 100);
        assert_eq!(all(&mut siren, 100, 3), [start(3, 0x13, 10)], "a test is short");
        assert_eq!(all(&mut siren, 100 + SHOT_ANSWER_MS, 4), Vec::<Vec<u8>>::new(), "and not said again");
        assert_eq!(words(&mut siren), [Word::Done(CHIRP), Word::NotDone(test, Why::NoAnswer)]);
        siren.shoot(CHIRP, 20_000);
        all(&mut siren, 20_000, 5);
        answers(&mut siren, 5, 1, 0x81, 20_050);
        assert_eq!(words(&mut siren), [Word::NotDone(CHIRP, Why::Refused(Status(0x81)))]);
        siren.shoot(CHIRP, 30_000);
        siren.sound(FIRE, 60, 30_000);
        assert_eq!(all(&mut siren, 30_000, 6), [start(6, 0x23, 60)]);
        assert_eq!(words(&mut siren), [Word::Sounds(false), Word::NotDone(CHIRP, Why::NotNow)]);
    }

    #[test]
    fn a_hub_that_has_just_started_says_nothing_to_a_siren_before_it_knows_what() {
        let mut siren = Siren::new(0);
        assert_eq!(all(&mut siren, 0, 1), [vec![0x10, 1, 0, 0, 0]]);
        siren.heard(1, &Global::ReadResponse(vec![(0, Err(Status::UNSUPPORTED_ATTRIBUTE))]), 50).unwrap();
        assert_eq!((siren.due_ms(), siren.max_duration_s()), (None, None));
        siren.sound(BURGLARY, 0, 60);
        assert_eq!(all(&mut siren, 60, 2), [start(2, 0, 0)], "no time left is silence");
    }

    proptest! {
        /// Frames and answers are lost as they like, and the hub may die at any time.
        #[test]
        fn no_lost_frame_leaves_a_siren_sounding(
            lost in proptest::collection::vec(any::<(bool, bool)>(), 0..60),
            for_s in 1u32..900, max_s in 1u16..400, silenced_s in 0u64..900, dies_s in 0u64..1_200,
        ) {
            let mut siren = Siren::new(0);
            siren.sound(BURGLARY, for_s, 0);
            let (mut now_ms, mut sounds_until, mut tsn) = (0, 0, 0u8);
            let mut lost = lost.into_iter();
            let ends_ms = 1_000 * silenced_s.min(u64::from(for_s));
            while let Some(due) = siren.due_ms().filter(|due| *due < dies_s * 1_000) {
                now_ms = now_ms.max(due);
                if silenced_s * 1_000 <= now_ms {
                    siren.silence();
                }
                while let Some(message) = siren.next(now_ms, tsn) {
                    let (frame_lost, answer_lost) = lost.next().unwrap_or_default();
                    if message[0] == 0x01 && !frame_lost {
                        let seconds = u64::from(message[4]) | u64::from(message[5]) << 8;
                        sounds_until = now_ms + 1_000 * seconds.min(u64::from(max_s));
                        if !answer_lost {
                            answers(&mut siren, tsn, 0, 0, now_ms);
                        }
                    } else if !frame_lost && !answer_lost {
                        let told = Value::fixed(DataType::UINT16, u64::from(max_s)).unwrap();
                        siren.heard(tsn, &Global::ReadResponse(vec![(0, Ok(told))]), now_ms).unwrap();
                    }
                    tsn = tsn.wrapping_add(1);
                }
                prop_assert!(siren.due_ms().is_none_or(|due| due > now_ms), "it would be asked for ever");
            }
            prop_assert!(sounds_until <= ends_ms.min(dies_s * 1_000) + u64::from(STRETCH_S) * 1_000);
            if siren.due_ms().is_none() {
                prop_assert!(sounds_until <= now_ms, "it thinks itself done while it sounds");
                prop_assert!(matches!(words(&mut siren).last(), Some(Word::Silent(_))));
            }
        }
    }
}
