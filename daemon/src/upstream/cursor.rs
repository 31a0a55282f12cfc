//! How far one connection has sent the journal: a cursor per class, and what it has sent without a receipt.
//!
//! A cursor begins at the oldest event without a receipt and goes forward only, so on each connection a class leaves in
//! order. It holds places, not the journal: at most one page of rows per class, and never an opinion of what is
//! delivered.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use vakt_core::event::Class;
use vakt_core::event::EventId;
use vakt_core::port::NextEvents;
use vakt_core::port::Place;
use vakt_core::port::Stored;

/// Rows of a class read ahead of sending: 6 classes × 16 rows × 8 KiB is the most this can hold.
pub const PAGE: usize = 16;
/// Events of one class sent on a connection and not receipted; beyond it that class waits for the centre. Each class
/// has its own, because a centre may sign `upto` only: the lowest event without a receipt must go out whatever its
/// class.
pub const SEND_AHEAD: usize = 256;
/// Milliseconds without a receipt until what waits for one is sent again: an alarm from when it was sent, others from
/// when everything that was to go with them had gone. A centre may sign `upto` only, and on a slow path the event it
/// waits for may be the last of a long pass: sending the first ones again meanwhile would never let it through.
pub const RESEND_FIRST_MS: u64 = 5_000;
/// The wait doubles up to this, in milliseconds: a centre that is down is not flooded.
pub const RESEND_WIDEST_MS: u64 = 60_000;

/// The same where each byte is paid for. The centre's first echo after a silence sends everything again at once, so this
/// is for the event that got lost on its own.
pub const RESEND_WIDEST_METERED_MS: u64 = 960_000;

/// One class on one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursor {
    ready: VecDeque<Stored>,
    /// Every row up to here has been read: the next question begins after it.
    read_to: Place,
    /// Every row up to here has been sent on this connection, or needed no sending.
    pub(crate) sent_to: Place,
}

/// An event sent and not receipted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) id: EventId,
    class: Class,
    turn: u64,
}

/// One connection's cursors.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    cursors: [Cursor; 6],
    /// The head up to which this pass goes. It moves when the pass has nothing left, so that a stream of commits
    /// cannot keep the lower classes reading for ever; alarms have their own, which moves with each publish.
    pass: Place,
    alarm_pass: Place,
    sent: BTreeMap<Place, Sent>,
    /// How many of them are of each class.
    ahead: [usize; 6],
    /// The order of sending alarms, with times; entries whose event is receipted are passed over.
    alarm_turns: VecDeque<(u64, Place, u64)>,
    /// The order of sending the others.
    turns: VecDeque<(u64, Place)>,
    /// Where passes ended, and when.
    passes: VecDeque<(u64, u64)>,
    next_turn: u64,
    /// The wait of alarms, and of the others.
    resend_after_ms: [u64; 2],
    /// The longest.
    resend_widest_ms: u64,
    /// When unjournaled alarms last left on this connection.
    pub(crate) extras: BTreeMap<EventId, u64>,
}

/// What a lane would do next.
pub(crate) enum Next {
    Row(Stored),
    Read(NextEvents),
    Nothing,
}

impl Lane {
    /// `metered`: each byte on it is paid for.
    pub(crate) fn new(metered: bool) -> Self {
        Self {
            resend_widest_ms: if metered { RESEND_WIDEST_METERED_MS } else { RESEND_WIDEST_MS },
            cursors: Default::default(),
            pass: Place::default(),
            alarm_pass: Place::default(),
            sent: BTreeMap::new(),
            ahead: [0; 6],
            alarm_turns: VecDeque::new(),
            turns: VecDeque::new(),
            passes: VecDeque::new(),
            next_turn: 0,
            resend_after_ms: [RESEND_FIRST_MS; 2],
            extras: BTreeMap::new(),
        }
    }

    /// The next row in order of urgency, or the question that must be answered first. `alarms_to`: alarms up to here may
    /// go; `event`: there is room for others. `receipted` says which rows need no sending any more.
    pub(crate) fn next(
        &mut self,
        head: Place,
        alarms_to: Place,
        event: bool,
        now_ms: u64,
        receipted: impl Fn(Place) -> bool,
    ) -> Next {
        let blocked = Class::ALL.into_iter().skip(1).all(|class| self.ahead[class as usize] >= SEND_AHEAD);
        if !event || blocked {
            self.alarm_pass = alarms_to; // nothing of the lower classes could be kept from progress
        }
        loop {
            for (at, class) in Class::ALL.into_iter().enumerate() {
                let alarm = class == Class::Alarm;
                if !(alarm || event) {
                    return Next::Nothing;
                }
                if self.ahead[at] >= SEND_AHEAD {
                    continue;
                }
                let pass = if alarm { self.alarm_pass } else { self.pass };
                let cursor = &mut self.cursors[at];
                while cursor.ready.front().is_some_and(|row| receipted(row.place)) {
                    cursor.pop();
                }
                let may = !alarm || cursor.ready.front().is_none_or(|row| row.place <= alarms_to);
                if may && let Some(row) = cursor.pop() {
                    self.alarm_pass = alarms_to;
                    return Next::Row(row);
                }
                if cursor.read_to < pass {
                    return Next::Read(NextEvents { class, after: cursor.read_to, limit: PAGE });
                }
            }
            if self.passes.back().is_none_or(|(turn, _)| *turn < self.next_turn) && !self.turns.is_empty() {
                self.passes.push_back((self.next_turn, now_ms));
            }
            if self.pass >= head && self.alarm_pass >= alarms_to {
                return Next::Nothing;
            }
            (self.pass, self.alarm_pass) = (head, alarms_to);
        }
    }

    /// A row was handed to the connection.
    pub(crate) fn sent(&mut self, row: &Stored, now_ms: u64) {
        self.next_turn += 1;
        let sent = Sent { id: row.id, class: row.class, turn: self.next_turn };
        let again = self.sent.insert(row.place, sent);
        assert!(again.is_none(), "a cursor goes forward only");
        self.ahead[row.class as usize] += 1;
        if row.class == Class::Alarm {
            self.alarm_turns.push_back((self.next_turn, row.place, now_ms));
        } else {
            self.turns.push_back((self.next_turn, row.place));
        }
    }

    /// The journal's answer to a question asked when the head was `head`. An answer to a question this lane would not
    /// ask any more (it has gone back to the start meanwhile) is left aside.
    pub(crate) fn read(&mut self, asked: NextEvents, head: Place, rows: &[Stored]) {
        let cursor = &mut self.cursors[asked.class as usize];
        if cursor.read_to != asked.after || !cursor.ready.is_empty() {
            return;
        }
        cursor.read_to = read_to(asked, head, rows);
        cursor.ready.extend(rows.iter().cloned());
        if rows.is_empty() {
            cursor.sent_to = cursor.read_to;
        }
    }

    /// How far each class has been sent on this connection.
    pub(crate) fn sent_to(&self) -> impl Iterator<Item = Place> + '_ {
        self.cursors.iter().map(|cursor| cursor.sent_to)
    }

    /// Everything without a receipt is to be sent again, from the oldest.
    pub(crate) fn rewind(&mut self) {
        self.rewind_alarms();
        self.rewind_others();
        self.alarm_pass = Place::default();
    }

    fn rewind_alarms(&mut self) {
        self.cursors[Class::Alarm as usize] = Cursor::default();
        self.sent.retain(|_, sent| sent.class != Class::Alarm);
        self.ahead[Class::Alarm as usize] = 0;
        self.alarm_turns.clear();
        self.extras.clear();
    }

    fn rewind_others(&mut self) {
        for class in Class::ALL.into_iter().filter(|class| *class != Class::Alarm) {
            self.cursors[class as usize] = Cursor::default();
            self.ahead[class as usize] = 0;
        }
        self.sent.retain(|_, sent| sent.class == Class::Alarm);
        self.turns.clear();
        self.passes.clear();
        self.pass = Place::default();
    }

    /// Rewinds what has waited too long, and waits longer the next time.
    pub(crate) fn rewind_if_due(&mut self, now_ms: u64) {
        let [alarms, others] = self.resends_at_ms();
        if alarms.is_some_and(|at| at <= now_ms) {
            self.rewind_alarms();
            self.resend_after_ms[0] = (self.resend_after_ms[0] * 2).min(self.resend_widest_ms);
        }
        if others.is_some_and(|at| at <= now_ms) {
            self.rewind_others();
            self.resend_after_ms[1] = (self.resend_after_ms[1] * 2).min(self.resend_widest_ms);
        }
    }

    /// When something sent will have waited too long, in monotonic milliseconds.
    pub(crate) fn resend_at_ms(&mut self) -> Option<u64> {
        self.resends_at_ms().into_iter().flatten().min()
    }

    /// When the oldest alarm, and the oldest of the others, will have waited too long.
    fn resends_at_ms(&mut self) -> [Option<u64>; 2] {
        let sent = &self.sent;
        let waits = |turn: u64, place: &Place| sent.get(place).is_some_and(|sent| sent.turn == turn);
        while self.alarm_turns.pop_front_if(|(turn, place, _)| !waits(*turn, place)).is_some() {}
        while self.turns.pop_front_if(|(turn, place)| !waits(*turn, place)).is_some() {}
        let oldest = self.turns.front().map(|(turn, _)| *turn);
        while self.passes.pop_front_if(|(last, _)| oldest.is_none_or(|oldest| *last < oldest)).is_some() {}
        [
            self.alarm_turns.front().map(|(_, _, at)| at + self.resend_after_ms[0]),
            self.passes.front().map(|(_, ended)| ended + self.resend_after_ms[1]),
        ]
    }

    /// When an unjournaled alarm sent at `at` is sent again.
    pub(crate) fn extra_again_at_ms(&self, at: u64) -> u64 {
        at + self.resend_after_ms[0]
    }

    /// These are receipted, sent here or only read: whether any of them had been waiting here.
    pub(crate) fn receipted(&mut self, covered: impl Fn(Place, EventId) -> bool) -> bool {
        let before = self.sent.len();
        let Self { cursors, ahead, sent, resend_after_ms, .. } = self;
        for cursor in cursors.iter_mut().filter(|cursor| !cursor.ready.is_empty()) {
            cursor.ready.retain(|row| !covered(row.place, row.id));
            if cursor.ready.is_empty() {
                cursor.sent_to = cursor.read_to;
            }
        }
        sent.retain(|place, sent| {
            let keep = !covered(*place, sent.id);
            if !keep {
                ahead[sent.class as usize] -= 1;
                resend_after_ms[usize::from(sent.class != Class::Alarm)] = RESEND_FIRST_MS;
            }
            keep
        });
        self.sent.len() < before
    }

    /// What is sent and not receipted.
    pub(crate) fn unreceipted(&self) -> &BTreeMap<Place, Sent> {
        &self.sent
    }
}

impl Cursor {
    fn pop(&mut self) -> Option<Stored> {
        let row = self.ready.pop_front()?;
        self.sent_to = if self.ready.is_empty() { self.read_to } else { row.place };
        Some(row)
    }
}

/// How far an answer reaches: a full page to its last row, a shorter one to the head at the time of the question.
pub(crate) fn read_to(asked: NextEvents, head: Place, rows: &[Stored]) -> Place {
    let last = rows.last().map_or(asked.after, |row| row.place);
    if rows.len() < asked.limit { last.max(head) } else { last }
}
