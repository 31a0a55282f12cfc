//! On/Off, cluster 0x0006: one plug, light or relay, from an order to the state that was read back (07-5123, 3.8). It
//! decides nothing: who switches what, and whether fog may be released, is said to it.
//!
//! A relay that releases fog is never left on: it is only ever switched on for a time, after its state was read and is
//! off, and it counts the time itself where it can (OnWithTimedOff). That one command is sent once: told again after
//! its answer was lost, it would release twice. Whatever becomes of it, the end is read back, and where the relay is
//! not off it is told so until it is.
//!
//! ```text
//!   a relay's OnFor ─▶ Looking ─off─▶ Telling ─▶ Reading ─on─▶ Lasting ─▶ EndReading ◀─▶ EndTelling ─off─▶ done
//!   On, Off, OnFor ─────────────────▶ Telling ◀─▶ Reading ─as ordered─▶ done; an OnFor goes on as above
//!   a relay's Off ──────────────────────────────────────────────────────────────────▶ EndTelling
//! ```
//! Only the answer to the last question counts: a report, or an answer that was on its way for long, may be older than
//! the command.

use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Scope;
use crate::zigbee::zcl::Status;
use crate::zigbee::zcl_global::Global;
use crate::zigbee::zcl_value::DataType;
use std::collections::VecDeque;
use std::fmt;

/// The cluster's id.
pub const CLUSTER: u16 = 0x0006;

/// The cluster's attribute that says whether it is on.
pub mod attribute {
    #![allow(missing_docs)] // the standard's own names
    pub const ON_OFF: u16 = 0x0000;
}

/// Commands to a switch.
pub mod to_switch {
    #![allow(missing_docs)] // the standard's own names
    pub const OFF: u8 = 0x00;
    pub const ON: u8 = 0x01;
    pub const TOGGLE: u8 = 0x02;
    pub const ON_WITH_TIMED_OFF: u8 = 0x42;
}

/// A command is read back after so long, ms, if no Default Response comes: some devices send none.
const READ_MS: u64 = 500;
/// How long each reading waits for its answer, ms, before the next try.
const WAITS_MS: [u64; 4] = [1_000, 2_000, 4_000, 8_000];
/// A relay may be read so often before it is switched on; then it is not, because nobody knows how it stands.
const LOOKS: usize = 2;
/// A device's own clock may be slower than ours by so much, ms, when it is to switch off by itself.
const SLOW_MS: u64 = 500;
/// What did not go off is told so again after so long, ms, for as long as it takes.
pub const AGAIN_MS: u64 = 30_000;
/// Words nobody has taken; beyond it the oldest is lost, and the newest still says how it stands.
const WORDS_MAX: usize = 32;

/// What is switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A plug or a light, which may be on for as long as anybody likes.
    Plain,
    /// What must not stay on: the input of a smoke cannon.
    Relay,
}

/// An order's number, from whoever gives it.
pub type OrderId = u64;

/// What shall be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Off.
    Off,
    /// On, until it is told otherwise. Never to a relay.
    On,
    /// On for so many tenths of a second, at least one; then off.
    OnFor(u16),
}

/// Why an order failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It does not answer. An OnFor may have happened all the same.
    NoAnswer,
    /// It answers that it does not do that.
    Refused(Status),
    /// It answers, and is still as it was.
    Unchanged,
    /// How it stands could not be read, so nothing was sent.
    StateUnknown,
    /// It was on before, so nothing was sent.
    AlreadyOn,
    /// A relay is only switched on for a time, and one time after another: nothing was sent.
    NotSo,
    /// A later order took its place.
    Overtaken,
    /// It does not say that it is off again; a relay is told so on and on.
    StaysOn,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused(status) => return write!(f, "the device answers {} (0x{:02x})", status.name(), status.0),
            Self::NoAnswer => "the device does not answer",
            Self::Unchanged => "the device answers and did not switch",
            Self::StateUnknown => "the state could not be read, so it was not switched",
            Self::AlreadyOn => "it was on already, so it was not switched",
            Self::NotSo => "a relay is switched on for a time only, and once at a time",
            Self::Overtaken => "a later order took its place",
            Self::StaysOn => "the device does not say that it is off again",
        })
    }
}

/// What is said of the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It says that it is on or off; told when that changes.
    Is(bool),
    /// The order is on its way.
    Sent(OrderId),
    /// It stands as ordered, by its own word; `timed`: and goes off by its own clock. Where it is not, the hub switches
    /// it off, and a hub that dies first does not.
    Confirmed {
        /// The order.
        id: OrderId,
        /// It counts the time itself.
        timed: bool,
    },
    /// It does not.
    Failed(OrderId, Why),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Its state is read before anything is sent.
    Looking,
    /// The command is next.
    Telling,
    /// The command was sent; reading its state back is next, or awaited.
    Reading,
    /// It is on for its time.
    Lasting,
    /// Its end is read next.
    EndReading,
    /// Off is next.
    EndTelling,
}

#[derive(Debug)]
struct Job {
    id: OrderId,
    order: Order,
    step: Step,
    /// When the step is next, ms.
    due_ms: u64,
    /// Readings in this part of it.
    tries: usize,
    /// The number of the last command.
    told: Option<u8>,
    /// The number of the last reading after the last command.
    asked: Option<u8>,
    /// When an OnFor is over, once it was sent, ms.
    ends_ms: u64,
    /// It knows no OnWithTimedOff: On, and Off by the hub.
    by_hand: bool,
    /// It was said what became of the order.
    settled: bool,
    why: Why,
}

impl Job {
    fn begin(&mut self, step: Step, due_ms: u64) {
        (self.step, self.due_ms, self.tries, self.asked) = (step, due_ms, 0, None);
    }

    fn timed(&self) -> bool {
        matches!(self.order, Order::OnFor(_))
    }

    /// A reading, and when the next step is due if it is not answered.
    fn read(&mut self, step: Step, wait_ms: u64, now_ms: u64, tsn: u8) -> Vec<u8> {
        (self.step, self.due_ms, self.asked) = (step, now_ms + wait_ms, Some(tsn));
        self.tries += 1;
        read(tsn)
    }
}

/// A switch's driver. The host takes messages by [`Switch::next`] until there is none, hands over what the device says
/// by [`Switch::heard`], and comes back at [`Switch::due_ms`]. A relay of which a hub that has just started knows
/// nothing is to be ordered off.
#[derive(Debug)]
pub struct Switch {
    used: Use,
    job: Option<Job>,
    state: Option<bool>,
    /// Nobody has asked yet how it stands.
    unread: bool,
    words: VecDeque<Word>,
}

impl Switch {
    /// A switch of which nothing is known.
    pub fn new(used: Use) -> Self {
        Self { used, job: None, state: None, unread: true, words: VecDeque::new() }
    }

    /// Takes an order, in place of the one before. What may not be done to a relay fails at once.
    pub fn order(&mut self, id: OrderId, order: Order, now_ms: u64) {
        let relay = self.used == Use::Relay;
        let may = match order {
            Order::OnFor(0) => false,
            Order::On => !relay,
            // One that is on, or does not go off, is not switched on again.
            Order::OnFor(_) => !relay || self.job.is_none(),
            Order::Off => true,
        };
        if !may {
            return self.say(Word::Failed(id, Why::NotSo));
        }
        if let Some(before) = self.job.take().filter(|job| !job.settled) {
            self.say(Word::Failed(before.id, Why::Overtaken));
        }
        let step = match order {
            _ if !relay => Step::Telling,
            Order::Off => Step::EndTelling,
            _ => Step::Looking,
        };
        self.job = Some(Job {
            id,
            order,
            step,
            due_ms: now_ms,
            tries: 0,
            told: None,
            asked: None,
            ends_ms: 0,
            by_hand: false,
            settled: false,
            why: Why::NoAnswer,
        });
    }

    /// It has joined again, or the way to it is new: how it stands is asked once more.
    pub fn anew(&mut self) {
        self.unread = true;
    }

    /// What it says.
    pub fn word(&mut self) -> Option<Word> {
        self.words.pop_front()
    }

    /// Whether it is on, by its own last word; `None`: it has not said.
    pub fn is_on(&self) -> Option<bool> {
        self.state
    }

    /// When [`Self::next`] has something to do, ms.
    pub fn due_ms(&self) -> Option<u64> {
        match &self.job {
            Some(job) => Some(job.due_ms),
            None => self.unread.then_some(0),
        }
    }

    /// The next message to it, under this number; `None`: nothing for now.
    pub fn next(&mut self, now_ms: u64, tsn: u8) -> Option<Vec<u8>> {
        // Each turn ends with a message, a later due time or no job; no step comes twice before.
        while let Some(job) = self.job.as_mut().filter(|job| job.due_ms <= now_ms) {
            match job.step {
                Step::Looking if job.tries >= LOOKS => self.fail(Why::StateUnknown),
                Step::Looking => return Some(job.read(Step::Looking, WAITS_MS[job.tries], now_ms, tsn)),
                Step::Telling => return Some(self.tell(now_ms, tsn)),
                Step::Reading if job.timed() && job.ends_ms <= now_ms => {
                    // It may have been on and off again, or never; on it must not be.
                    let failed = Word::Failed(job.id, job.why);
                    job.settled = true;
                    job.begin(Step::EndTelling, now_ms);
                    self.say(failed);
                }
                Step::Reading if job.tries >= WAITS_MS.len() && !job.timed() => {
                    let why = job.why;
                    self.fail(why);
                }
                Step::Reading => return Some(read_back(job, now_ms, tsn)),
                Step::Lasting => {
                    let step = if job.by_hand { Step::EndTelling } else { Step::EndReading };
                    job.begin(step, now_ms);
                }
                Step::EndTelling => {
                    if let Some(message) = self.tell_off(now_ms, tsn) {
                        return Some(message);
                    }
                }
                Step::EndReading => {
                    let wait_ms = WAITS_MS.get(job.tries).copied().unwrap_or(AGAIN_MS);
                    return Some(job.read(Step::EndTelling, wait_ms, now_ms, tsn));
                }
            }
        }
        let look = self.job.is_none() && std::mem::take(&mut self.unread);
        look.then(|| read(tsn))
    }

    fn tell(&mut self, now_ms: u64, tsn: u8) -> Vec<u8> {
        let job = self.job.as_mut().expect("only called with a job");
        (job.step, job.due_ms, job.asked) = (Step::Reading, now_ms + READ_MS, None);
        let first = job.told.replace(tsn).is_none();
        let id = job.id;
        let message = match job.order {
            Order::Off => command(tsn, to_switch::OFF, &[]),
            Order::On => command(tsn, to_switch::ON, &[]),
            Order::OnFor(tenths) if job.by_hand => {
                job.ends_ms = now_ms + u64::from(tenths) * 100;
                command(tsn, to_switch::ON, &[])
            }
            Order::OnFor(tenths) => {
                job.ends_ms = now_ms + u64::from(tenths) * 100 + SLOW_MS;
                let [low, high] = tenths.to_le_bytes();
                // However it stands, and with no time after it in which it would not go on again.
                command(tsn, to_switch::ON_WITH_TIMED_OFF, &[0, low, high, 0, 0])
            }
        };
        if first {
            self.say(Word::Sent(id));
        }
        message
    }

    fn tell_off(&mut self, now_ms: u64, tsn: u8) -> Option<Vec<u8>> {
        if self.job.as_ref()?.tries >= WAITS_MS.len() && self.stays() {
            return None;
        }
        let job = self.job.as_mut()?;
        (job.step, job.due_ms, job.asked) = (Step::EndReading, now_ms + READ_MS, None);
        let first = job.told.replace(tsn).is_none();
        let id = job.id;
        if first {
            self.say(Word::Sent(id));
        }
        Some(command(tsn, to_switch::OFF, &[]))
    }

    /// All tries at its end were in vain: says so once. Whether that was the end of it; a relay is told on and on.
    fn stays(&mut self) -> bool {
        let Some(job) = &mut self.job else { return true };
        let why = if job.settled { Why::StaysOn } else { job.why };
        let failed = Word::Failed(job.id, why);
        let (said, gone) = (job.tries > WAITS_MS.len(), self.used == Use::Plain);
        job.settled = true;
        if gone {
            self.job = None;
        }
        if !said {
            self.say(failed);
        }
        gone
    }

    /// What the device says on the cluster: an answer to `tsn`, or a report.
    ///
    /// # Errors
    /// Why it was refused: it says nothing of the state then.
    pub fn heard(&mut self, tsn: u8, said: &Global, now_ms: u64) -> Result<(), Refused> {
        if let Some(on) = on_off(said)? {
            if self.state.replace(on) != Some(on) {
                self.say(Word::Is(on));
            }
            if matches!(said, Global::ReadResponse(_)) && self.job.as_ref().is_some_and(|job| job.asked == Some(tsn)) {
                self.reads(on, now_ms);
            }
        }
        if let Global::DefaultResponse { command, status } = said {
            self.answered(tsn, *command, *status, now_ms);
        }
        Ok(())
    }

    /// The answer to the last question.
    fn reads(&mut self, on: bool, now_ms: u64) {
        let Some(job) = &mut self.job else { return };
        match job.step {
            Step::Looking if on => self.fail(Why::AlreadyOn),
            Step::Looking => job.begin(Step::Telling, now_ms),
            Step::Telling | Step::Reading if on == (job.order != Order::Off) => {
                let confirmed = Word::Confirmed { id: job.id, timed: job.timed() && !job.by_hand };
                if job.timed() {
                    job.settled = true;
                    job.begin(Step::Lasting, job.ends_ms);
                } else {
                    self.job = None;
                }
                self.say(confirmed);
            }
            Step::Telling | Step::Reading => job.why = Why::Unchanged,
            Step::EndTelling if on => {
                job.why = Why::Unchanged;
                if job.tries < WAITS_MS.len() {
                    job.due_ms = now_ms;
                }
            }
            Step::EndTelling => {
                let confirmed = (!job.settled).then_some(Word::Confirmed { id: job.id, timed: false });
                self.job = None;
                confirmed.into_iter().for_each(|word| self.say(word));
            }
            // Nothing was asked in these.
            Step::Lasting | Step::EndReading => {}
        }
    }

    fn answered(&mut self, tsn: u8, command: u8, status: Status, now_ms: u64) {
        let Some(job) = self.job.as_mut().filter(|job| job.told == Some(tsn)) else { return };
        let waits = matches!(job.step, Step::Reading | Step::EndReading) && job.asked.is_none();
        let telling = matches!(job.step, Step::Telling | Step::Reading);
        match status {
            Status::SUCCESS if waits => job.due_ms = now_ms,
            Status::SUCCESS => {}
            Status::UNSUPPORTED_CLUSTER_COMMAND if telling && command == to_switch::ON_WITH_TIMED_OFF => {
                job.by_hand = true;
                job.begin(Step::Telling, now_ms);
            }
            status if telling && job.timed() => self.fail(Why::Refused(status)),
            status => job.why = Why::Refused(status),
        }
    }

    fn fail(&mut self, why: Why) {
        if let Some(job) = self.job.take() {
            self.say(Word::Failed(job.id, why));
        }
    }

    fn say(&mut self, word: Word) {
        if self.words.len() >= WORDS_MAX {
            self.words.pop_front();
        }
        self.words.push_back(word);
    }
}

/// Reads back what was told. What was not answered is told again, but not an OnFor: that is only read until it is over.
fn read_back(job: &mut Job, now_ms: u64, tsn: u8) -> Vec<u8> {
    let wait_ms = WAITS_MS[job.tries.min(WAITS_MS.len() - 1)];
    if job.timed() {
        let left_ms = job.ends_ms.saturating_sub(now_ms);
        return job.read(Step::Reading, wait_ms.min(left_ms), now_ms, tsn);
    }
    // The last reading ends it, without one more command.
    let last = job.tries + 1 >= WAITS_MS.len();
    job.read(if last { Step::Reading } else { Step::Telling }, wait_ms, now_ms, tsn)
}

fn command(tsn: u8, command: u8, payload: &[u8]) -> Vec<u8> {
    let wants_answer = Header { scope: Scope::Cluster, no_default_response: false, ..Header::request(tsn, command) };
    wants_answer.message(payload)
}

/// Asks a switch how it stands.
fn read(tsn: u8) -> Vec<u8> {
    Global::Read(vec![attribute::ON_OFF]).request(tsn)
}

/// Whether a report or an answer says that it is on; `None` where it does not say.
///
/// # Errors
/// `bad_value` for another type, and for what is neither true nor false: it is not taken for off.
pub fn on_off(told: &Global) -> Result<Option<bool>, Refused> {
    let Some((_, value)) = told.told().find(|(id, _)| *id == attribute::ON_OFF) else { return Ok(None) };
    let is = value.data_type();
    match value.bits().filter(|_| is == DataType::BOOL) {
        Some(0) => Ok(Some(false)),
        Some(1) => Ok(Some(true)),
        Some(0xFF) => Ok(None),
        other => {
            let found = other.map_or_else(|| is.name(), |bits| format!("bool of {bits}"));
            let text = format!("OnOff is a {found}, it must be a bool of 0 or 1");
            Err(Refused::new(Reason::BadValue, 0, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zigbee::zcl_global::Attribute;
    use crate::zigbee::zcl_value::Value;
    use proptest::prelude::*;

    const OFF: &[u8] = &[0x01, 0, 0x00];
    const ON: &[u8] = &[0x01, 0, 0x01];
    const READ: &[u8] = &[0x10, 0, 0x00, 0, 0];

    /// A switch, the time, and the number of the last message to it.
    struct Bench {
        switch: Switch,
        now_ms: u64,
        tsn: u8,
    }

    impl Bench {
        fn new(used: Use) -> Self {
            let mut bench = Self { switch: Switch::new(used), now_ms: 0, tsn: 0 };
            bench.sends(&[READ]);
            bench
        }

        /// Everything it sends now, numbers blanked, is this.
        fn sends(&mut self, wanted: &[&[u8]]) {
            let mut sent = Vec::new();
            while let Some(mut message) = self.switch.next(self.now_ms, self.tsn.wrapping_add(1)) {
                self.tsn = self.tsn.wrapping_add(1);
                assert_eq!(std::mem::take(&mut message[1]), self.tsn);
                sent.push(message);
                assert!(sent.len() < 10, "it never ends: {sent:?}");
            }
            assert_eq!(sent, wanted, "at {} ms", self.now_ms);
            assert!(self.switch.due_ms().is_none_or(|due| due > self.now_ms), "it is done until its next due time");
        }

        /// The same at its next due time.
        fn then_sends(&mut self, wanted: &[&[u8]]) {
            self.now_ms = self.switch.due_ms().expect("something is still to be done");
            self.sends(wanted);
        }

        fn reads(&mut self, on: bool) {
            let value = Value::fixed(DataType::BOOL, u64::from(on)).unwrap();
            let said = Global::ReadResponse(vec![(0, Ok(value))]);
            self.switch.heard(self.tsn, &said, self.now_ms).unwrap();
        }

        fn answers(&mut self, command: u8, status: u8) {
            let said = Global::DefaultResponse { command, status: Status(status) };
            self.switch.heard(self.tsn, &said, self.now_ms).unwrap();
        }

        fn order(&mut self, id: OrderId, order: Order) {
            self.switch.order(id, order, self.now_ms);
        }

        fn words(&mut self) -> Vec<Word> {
            std::iter::from_fn(|| self.switch.word()).collect()
        }
    }

    #[test]
    fn a_plug_is_switched_and_read_back() {
        let mut plug = Bench::new(Use::Plain);
        plug.reads(false);
        plug.order(1, Order::On);
        plug.sends(&[ON]);
        plug.answers(to_switch::ON, 0);
        plug.sends(&[READ]);
        plug.reads(true);
        assert_eq!(
            plug.words(),
            [Word::Is(false), Word::Sent(1), Word::Is(true), Word::Confirmed { id: 1, timed: false }]
        );
        assert_eq!((plug.switch.due_ms(), plug.switch.is_on()), (None, Some(true)));
        plug.order(2, Order::Off);
        plug.sends(&[OFF]);
        plug.then_sends(&[READ]);
        assert_eq!(plug.now_ms, READ_MS, "without a Default Response too");
        plug.reads(false);
        assert_eq!(plug.words(), [Word::Sent(2), Word::Is(false), Word::Confirmed { id: 2, timed: false }]);
    }

    #[test]
    fn a_plug_that_does_not_answer_is_told_a_few_times_and_then_given_up() {
        let mut plug = Bench::new(Use::Plain);
        plug.order(1, Order::Off);
        for _ in 0..4 {
            plug.then_sends(&[OFF]);
            plug.then_sends(&[READ]);
        }
        plug.then_sends(&[]);
        assert_eq!(plug.now_ms, 4 * READ_MS + 15_000);
        assert_eq!(plug.words(), [Word::Sent(1), Word::Failed(1, Why::NoAnswer)]);
        assert_eq!((plug.switch.is_on(), plug.switch.due_ms()), (None, None), "nobody says that it is off");
    }

    #[test]
    fn what_answers_and_does_not_switch_fails_with_what_it_said() {
        for (refuses, why) in [(false, Why::Unchanged), (true, Why::Refused(Status(0xC0)))] {
            let mut plug = Bench::new(Use::Plain);
            plug.order(1, Order::On);
            for _ in 0..4 {
                plug.then_sends(&[ON]);
                if refuses {
                    plug.answers(to_switch::ON, 0xC0);
                    plug.then_sends(&[READ]);
                } else {
                    plug.then_sends(&[READ]);
                    plug.reads(false);
                }
            }
            plug.then_sends(&[]);
            assert_eq!(plug.words().last(), Some(&Word::Failed(1, why)));
        }
    }

    #[test]
    fn a_report_is_told_and_is_no_proof_of_a_later_command() {
        let mut plug = Bench::new(Use::Plain);
        let report =
            |bits, data_type| Global::Report(vec![Attribute { id: 0, value: Value::fixed(data_type, bits).unwrap() }]);
        plug.order(1, Order::Off);
        plug.sends(&[OFF]);
        plug.switch.heard(200, &report(0, DataType::BOOL), 0).unwrap();
        assert_eq!(plug.words(), [Word::Sent(1), Word::Is(false)]);
        plug.then_sends(&[READ]);
        for said in [report(2, DataType::BOOL), report(0, DataType::UINT8)] {
            assert_eq!(plug.switch.heard(201, &said, 0).unwrap_err().kind, Reason::BadValue);
        }
        plug.switch.heard(202, &report(0xFF, DataType::BOOL), 0).unwrap();
        assert_eq!((plug.words(), plug.switch.is_on()), (vec![], Some(false)));
    }

    #[test]
    fn a_relay_is_read_switched_for_its_time_and_read_at_the_end() {
        let mut relay = Bench::new(Use::Relay);
        relay.order(1, Order::OnFor(20));
        relay.sends(&[READ]);
        relay.reads(false);
        relay.sends(&[&[0x01, 0, 0x42, 0, 20, 0, 0, 0]]);
        relay.answers(to_switch::ON_WITH_TIMED_OFF, 0);
        relay.sends(&[READ]);
        relay.reads(true);
        let confirmed = Word::Confirmed { id: 1, timed: true };
        assert_eq!(relay.words(), [Word::Is(false), Word::Sent(1), Word::Is(true), confirmed]);
        relay.order(2, Order::OnFor(20));
        assert_eq!(relay.words(), [Word::Failed(2, Why::NotSo)]);
        relay.reads(false);
        relay.words();
        relay.then_sends(&[READ]);
        assert_eq!(relay.now_ms, 2_500);
        relay.reads(false);
        assert_eq!((relay.words(), relay.switch.due_ms()), (vec![], None));
    }

    #[test]
    fn a_relay_whose_state_nobody_knows_is_not_switched_on() {
        let mut relay = Bench::new(Use::Relay);
        relay.reads(false);
        relay.words();
        relay.order(1, Order::OnFor(20));
        relay.then_sends(&[READ]);
        relay.then_sends(&[READ]);
        relay.then_sends(&[]);
        assert_eq!((relay.words(), relay.now_ms), (vec![Word::Failed(1, Why::StateUnknown)], 3_000));
        relay.order(2, Order::OnFor(20));
        relay.sends(&[READ]);
        relay.reads(true);
        relay.sends(&[]);
        assert_eq!(relay.words(), [Word::Is(true), Word::Failed(2, Why::AlreadyOn)]);
        relay.order(3, Order::On);
        relay.order(4, Order::OnFor(0));
        assert_eq!(relay.words(), [Word::Failed(3, Why::NotSo), Word::Failed(4, Why::NotSo)]);
        relay.sends(&[]);
    }

    #[test]
    fn a_relay_is_told_to_go_on_once_and_to_go_off_until_it_is() {
        let mut relay = Bench::new(Use::Relay);
        relay.order(1, Order::OnFor(20));
        relay.sends(&[READ]);
        relay.reads(false);
        relay.sends(&[&[0x01, 0, 0x42, 0, 20, 0, 0, 0]]);
        relay.then_sends(&[READ]);
        relay.then_sends(&[READ]);
        // Its time is over, and nobody knows whether it was on: from here on it is only told to be off.
        relay.then_sends(&[OFF]);
        assert_eq!(relay.words(), [Word::Is(false), Word::Sent(1), Word::Failed(1, Why::NoAnswer)]);
        for _ in 0..3 {
            relay.then_sends(&[READ]);
            relay.then_sends(&[OFF]);
        }
        relay.then_sends(&[READ]);
        relay.then_sends(&[OFF]);
        assert_eq!(relay.words(), [Word::Failed(1, Why::StaysOn)]);
        relay.then_sends(&[READ]);
        let before = relay.now_ms;
        relay.then_sends(&[OFF]);
        assert_eq!((relay.now_ms - before, relay.words()), (AGAIN_MS, vec![]), "on and on, said once");
        relay.then_sends(&[READ]);
        relay.reads(false);
        assert_eq!(relay.switch.due_ms(), None);
    }

    #[test]
    fn a_relay_that_cannot_count_is_switched_off_by_the_hub() {
        let mut relay = Bench::new(Use::Relay);
        relay.order(1, Order::OnFor(20));
        relay.sends(&[READ]);
        relay.reads(false);
        relay.sends(&[&[0x01, 0, 0x42, 0, 20, 0, 0, 0]]);
        relay.answers(to_switch::ON_WITH_TIMED_OFF, 0x81);
        relay.sends(&[ON]);
        relay.answers(to_switch::ON, 0);
        relay.sends(&[READ]);
        relay.reads(true);
        assert_eq!(relay.words().last(), Some(&Word::Confirmed { id: 1, timed: false }));
        relay.reads(false);
        relay.then_sends(&[OFF]);
        assert_eq!(relay.now_ms, 2_000, "a stray off does not keep the hub from it");
        relay.answers(to_switch::OFF, 0);
        relay.sends(&[READ]);
        relay.reads(true);
        relay.sends(&[OFF]);
        relay.then_sends(&[READ]);
        relay.reads(false);
        assert_eq!(relay.switch.due_ms(), None);
    }

    #[test]
    fn a_relay_that_refuses_is_not_told_again() {
        let mut relay = Bench::new(Use::Relay);
        relay.order(1, Order::OnFor(20));
        relay.sends(&[READ]);
        relay.reads(false);
        relay.sends(&[&[0x01, 0, 0x42, 0, 20, 0, 0, 0]]);
        relay.answers(to_switch::ON_WITH_TIMED_OFF, 0x7E);
        assert_eq!(relay.words().last(), Some(&Word::Failed(1, Why::Refused(Status(0x7E)))));
        relay.sends(&[]);
    }

    #[test]
    fn off_overtakes_everything_and_a_relays_off_is_confirmed_late_or_never() {
        let mut relay = Bench::new(Use::Relay);
        relay.order(1, Order::OnFor(20));
        relay.sends(&[READ]);
        relay.order(2, Order::Off);
        relay.sends(&[OFF]);
        assert_eq!(relay.words(), [Word::Failed(1, Why::Overtaken), Word::Sent(2)]);
        relay.answers(to_switch::OFF, 0);
        relay.sends(&[READ]);
        relay.reads(false);
        assert_eq!(relay.words(), [Word::Is(false), Word::Confirmed { id: 2, timed: false }]);
    }

    #[test]
    fn a_light_goes_on_for_a_time_whatever_it_was() {
        let mut light = Bench::new(Use::Plain);
        light.reads(true);
        light.order(1, Order::OnFor(600));
        light.sends(&[&[0x01, 0, 0x42, 0, 0x58, 2, 0, 0]]);
        light.then_sends(&[READ]);
        light.reads(true);
        light.then_sends(&[READ]);
        assert_eq!(light.now_ms, 60_500);
        light.reads(true);
        light.sends(&[OFF]);
        light.then_sends(&[READ]);
        light.reads(false);
        let confirmed = Word::Confirmed { id: 1, timed: true };
        assert_eq!(light.words(), [Word::Is(true), Word::Sent(1), confirmed, Word::Is(false)]);
    }

    proptest! {
        /// Frames and answers are lost as they like; the relay counts its own time, or cannot.
        #[test]
        fn no_lost_frame_leaves_a_relay_on_or_switches_it_on_twice(
            lost in proptest::collection::vec(any::<(bool, bool)>(), 0..60), tenths in 1u16..100, counts: bool,
        ) {
            let mut relay = Switch::new(Use::Relay);
            relay.order(1, Order::OnFor(tenths), 0);
            let (mut now_ms, mut tsn, mut on_until, mut times) = (0, 0u8, 0, 0);
            let mut lost = lost.into_iter();
            while let Some(due) = relay.due_ms() {
                now_ms = now_ms.max(due);
                while let Some(message) = relay.next(now_ms, tsn) {
                    let (frame_lost, answer_lost) = lost.next().unwrap_or_default();
                    let value = Value::fixed(DataType::BOOL, u64::from(on_until > now_ms)).unwrap();
                    let mut answer = Global::ReadResponse(vec![(0, Ok(value))]);
                    if message[0] == 0x01 && !frame_lost {
                        let mut status = Status::SUCCESS;
                        match message[2] {
                            to_switch::OFF => on_until = 0,
                            to_switch::ON => (on_until, times) = (u64::MAX, times + 1),
                            _ if !counts => status = Status::UNSUPPORTED_CLUSTER_COMMAND,
                            _ => (on_until, times) = (now_ms + u64::from(tenths) * 100, times + 1),
                        }
                        answer = Global::DefaultResponse { command: message[2], status };
                    }
                    if !frame_lost && !answer_lost {
                        relay.heard(tsn, &answer, now_ms).unwrap();
                    }
                    tsn = tsn.wrapping_add(1);
                }
                prop_assert!(relay.due_ms().is_none_or(|due| due > now_ms), "it would be asked for ever");
            }
            prop_assert!(on_until <= now_ms, "it is on until {}", on_until);
            prop_assert!(times <= 1);
            let words: Vec<_> = std::iter::from_fn(|| relay.word()).collect();
            let confirmed = words.contains(&Word::Confirmed { id: 1, timed: counts });
            let failed = words.iter().any(|word| matches!(word, Word::Failed(1, why) if *why != Why::StaysOn));
            prop_assert!(confirmed != failed, "{words:?}");
        }
    }
}
