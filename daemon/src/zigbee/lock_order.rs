//! One order to a lock, from "accepted" to "confirmed" or "failed". Knows no radio and no clock.
//!
//! An order is confirmed by where the bolt is, never by the lock's "done". **An unlock is sent once.** Silence proves
//! nothing: the message may have opened the door and its answer been lost, and somebody may have shut the door since; a
//! second one would open it behind his back. Nor does "still locked" prove it: the lock may have opened and locked
//! again by itself. So only a message that never left this house is sent again; after silence the bolt is read, and if it
//! is not open the order has failed and a person decides. A lock is sent twice after silence, for a bolt that is home
//! goes no further, but not once somebody at the door has unlocked it meanwhile.
//!
//! ```text
//!            sent                done, or silence            where it should be
//!   Send ───────────▶ Sent ─────────────────────▶ Read ⇄ Reading ──────────────▶ Confirmed
//!    ▲  never left      │                                   │ not there for so long, or the deadline
//!    └──────────────────┤ silence (lock, once)              ▼
//!                       └ refused ──────────────────────▶ Failed
//! ```

use crate::zigbee::lock_words::Ask;
use crate::zigbee::lock_words::Bolt;
use crate::zigbee::lock_words::Failure;
use crate::zigbee::lock_words::OrderId;
use crate::zigbee::lock_words::Reply;
use crate::zigbee::lock_words::Told;
use crate::zigbee::lock_words::Turn;
use crate::zigbee::secret::Secret;

/// A lock answers an order within this, ms: 7.68 s until a sleeper fetches it from its parent, and the rest for the
/// mesh and for locks that answer when the bolt has moved. Later nothing of it can be on its way any more.
pub(crate) const ANSWER_MS: u64 = 10_000;
/// The bolt is read so long after the lock's "done", ms: many say so before the motor runs.
const MOVE_MS: u64 = 1_000;
/// And again after this, ms, while it is on its way.
const READ_AGAIN_MS: u64 = 1_500;
/// A bolt that is not there so long after the lock's "done" (or its silence), ms, is stuck: motors take 1 to 4 s.
const SETTLE_MS: u64 = 6_000;
/// A lock order goes out so often at most; then it has failed, and a person looks.
const LOCK_SENDS_MAX: u8 = 2;
/// A message that never left is tried again after this, ms: the stick had no room.
const RESEND_MS: u64 = 500;
/// And so often; then it has failed.
const UNSENT_MAX: u8 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Send { at_ms: u64 },
    Sent,
    Read { at_ms: u64 },
    Reading,
}

/// An order under way.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    pub(crate) turn: Turn,
    key: Option<Secret>,
    deadline_ms: u64,
    step: Step,
    sends: u8,
    unsent: u8,
    /// The lock has said "done".
    answered: bool,
    /// Until when the bolt may be on its way, ms.
    settle_ms: u64,
    /// Where it last was.
    read: Option<Bolt>,
    /// It, or the door, says that it is stuck.
    pub(crate) jammed: bool,
    /// Somebody at the door has turned it the other way since.
    pub(crate) overtaken: bool,
}

/// How it ended.
pub(crate) type End = Result<(), Failure>;

impl Order {
    pub(crate) fn new(id: OrderId, turn: Turn, key: Option<Secret>, deadline_ms: u64, now_ms: u64) -> Self {
        Self {
            id,
            turn,
            key,
            deadline_ms,
            step: Step::Send { at_ms: now_ms },
            sends: 0,
            unsent: 0,
            answered: false,
            settle_ms: 0,
            read: None,
            jammed: false,
            overtaken: false,
        }
    }

    /// What it wants asked now. Its message going out begins its life at the lock.
    pub(crate) fn next(&mut self, now_ms: u64) -> Option<Ask> {
        match self.step {
            Step::Send { at_ms } if at_ms <= now_ms => {
                self.step = Step::Sent;
                self.sends += 1;
                Some(Ask::Turn(self.turn, self.key.clone()))
            }
            Step::Read { at_ms } if at_ms <= now_ms => {
                self.step = Step::Reading;
                Some(Ask::State)
            }
            _ => None,
        }
    }

    /// Whether this is the first message of it.
    pub(crate) fn just_sent(&self) -> bool {
        self.step == Step::Sent && self.sends == 1 && self.unsent == 0
    }

    /// Whether the lock may know of it.
    pub(crate) fn is_out(&self) -> bool {
        self.sends > 0
    }

    pub(crate) fn due_ms(&self) -> u64 {
        match self.step {
            Step::Send { at_ms } | Step::Read { at_ms } => at_ms.min(self.deadline_ms),
            Step::Sent | Step::Reading => self.deadline_ms,
        }
    }

    pub(crate) fn replied(&mut self, reply: &Reply, now_ms: u64) -> Option<End> {
        match (self.step, reply) {
            (Step::Sent, Reply::Done) => {
                self.answered = true;
                self.read_from(now_ms + MOVE_MS, now_ms);
                None
            }
            (Step::Sent, Reply::Not(why)) => Some(Err(*why)),
            (Step::Reading, Reply::Not(_)) => {
                self.step = Step::Read { at_ms: now_ms + READ_AGAIN_MS };
                self.settled(now_ms)
            }
            _ => None,
        }
    }

    /// Nothing came in time.
    pub(crate) fn silent(&mut self, now_ms: u64) -> Option<End> {
        match self.step {
            Step::Sent if self.turn == Turn::Lock && self.sends < LOCK_SENDS_MAX && !self.overtaken => {
                self.step = Step::Send { at_ms: now_ms };
                None
            }
            Step::Sent => {
                self.read_from(now_ms, now_ms);
                None
            }
            Step::Reading => {
                self.step = Step::Read { at_ms: now_ms };
                self.settled(now_ms)
            }
            Step::Send { .. } | Step::Read { .. } => None,
        }
    }

    /// Its message never left: nobody can have heard it.
    pub(crate) fn not_sent(&mut self, now_ms: u64) -> Option<End> {
        match self.step {
            Step::Sent => {
                self.sends = self.sends.saturating_sub(1);
                self.unsent += 1;
                self.step = Step::Send { at_ms: now_ms + RESEND_MS };
                (self.unsent >= UNSENT_MAX).then_some(Err(Failure::NotSent))
            }
            Step::Reading => {
                self.step = Step::Read { at_ms: now_ms + RESEND_MS };
                None
            }
            Step::Send { .. } | Step::Read { .. } => None,
        }
    }

    fn read_from(&mut self, at_ms: u64, now_ms: u64) {
        self.step = Step::Read { at_ms };
        self.settle_ms = now_ms + SETTLE_MS;
    }

    /// Where the bolt is, read or told.
    pub(crate) fn stands(&mut self, bolt: Told<Bolt>, now_ms: u64) -> Option<End> {
        if !self.is_out() {
            return None;
        }
        if let Told::Is(bolt) = bolt {
            if bolt.is(self.turn) {
                return Some(Ok(()));
            }
            self.read = Some(bolt);
        }
        if self.step != Step::Reading {
            return None;
        }
        self.step = Step::Read { at_ms: now_ms + READ_AGAIN_MS };
        self.settled(now_ms)
    }

    /// The time for the bolt to move is over, and it was read.
    fn settled(&self, now_ms: u64) -> Option<End> {
        (self.settle_ms <= now_ms && self.read.is_some()).then(|| Err(self.why()))
    }

    fn why(&self) -> Failure {
        match self.read {
            _ if self.jammed => Failure::Jammed,
            Some(Bolt::NotFully) => Failure::Jammed,
            _ if !self.answered => Failure::NoAnswer,
            Some(_) => Failure::Contrary,
            None => Failure::NotReadBack,
        }
    }

    pub(crate) fn tick(&self, now_ms: u64) -> Option<End> {
        let late = self.deadline_ms <= now_ms;
        late.then(|| Err(if self.sends == 0 { Failure::NotSent } else { self.why() }))
    }
}
