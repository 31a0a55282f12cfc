//! Messages on their way to the stick: one it had no room for is sent again, some times, and then lost like one in the
//! air. It never holds back more than its limit.

use crate::zigbee::ezsp::Command;
use crate::zigbee::host::For;
use crate::zigbee::host::Host;
use crate::zigbee::interview::Message;
use std::collections::VecDeque;

/// Messages a stick had no room for, waiting to be sent again; beyond it the oldest is lost like one in the air.
const WAITING_MAX: usize = 64;
/// Times a message is sent to a stick without room, and the wait before each, ms.
const AGAIN_MS: [u64; 4] = [100, 400, 1_600, 6_400];

/// A message on its way to the stick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsent {
    nwk: u16,
    message: Message,
    times: usize,
}

/// Messages that wait, by when they are sent again, ms.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    waiting: VecDeque<(u64, Unsent)>,
}

impl Sending {
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.waiting.front().map(|(at, _)| *at)
    }
}

impl Host {
    /// A message to a node.
    pub(crate) fn send(&mut self, nwk: u16, message: Message, now_ms: u64) {
        self.send_unsent(Unsent { nwk, message, times: 0 }, now_ms);
    }

    /// Sends again what has waited long enough.
    pub(crate) fn send_again(&mut self, now_ms: u64) {
        while let Some((_, unsent)) = self.sending.waiting.pop_front_if(|(at, _)| *at <= now_ms) {
            self.send_unsent(unsent, now_ms);
        }
    }

    fn send_unsent(&mut self, unsent: Unsent, now_ms: u64) {
        let Message { aps, bytes } = unsent.message.clone();
        let command = Command::Unicast { nwk: unsent.nwk, aps, tag: 0, message: bytes };
        if !self.ask(For::Message(unsent.clone()), command, now_ms) {
            self.send_later(unsent, now_ms);
        }
    }

    /// The stick had no room: once more in a while, some times.
    pub(crate) fn send_later(&mut self, mut unsent: Unsent, now_ms: u64) {
        let Some(wait) = AGAIN_MS.get(unsent.times).filter(|_| self.is_up()) else { return };
        let Sending { waiting } = &mut self.sending;
        if waiting.len() == WAITING_MAX {
            waiting.pop_front();
            self.counters.undelivered += 1;
        }
        unsent.times += 1;
        let at = waiting.partition_point(|(at, _)| *at <= now_ms + wait);
        waiting.insert(at, (now_ms + wait, unsent));
    }
}
