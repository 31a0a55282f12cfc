//! Who speaks: the lasting address behind a short one.
//!
//! The older layout gives only the short address, and a stick knows few of them by heart: whom neither the hub nor the
//! stick knows is asked on the air, and what it said waits for the answer. It is never taken for somebody else's word.

use crate::zigbee::eui64::Eui64;
use crate::zigbee::ezsp::Command;
use crate::zigbee::ezsp_answer::Incoming;
use crate::zigbee::host::For;
use crate::zigbee::host::Host;
use crate::zigbee::interview::device_objects;
use crate::zigbee::keeping;
use crate::zigbee::zdo;
use crate::zigbee::zdo_request::Request;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

/// Messages of nodes whose address is being looked up; beyond it the oldest is lost, counted, and said again by a
/// detector that waits for an answer.
const UNPLACED_MAX: usize = 32;
/// So long, ms, a message waits for its sender's name: a sleeper is asked at its next poll.
const SOUGHT_MS: u64 = 10_000;

/// Messages without a sender's name.
#[derive(Debug, Default)]
pub(crate) struct Senders {
    unplaced: VecDeque<Incoming>,
    /// Short addresses that are being looked up, and until when.
    sought: BTreeMap<u16, u64>,
}

impl Senders {
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.sought.values().copied().min()
    }
}

impl Host {
    /// A message: its sender's lasting address is found first, then it is heard.
    pub(crate) fn came(&mut self, incoming: Incoming, now_ms: u64) {
        let nwk = incoming.nwk;
        let joining = self.interviews.iter().find(|(_, interview)| interview.nwk() == nwk).map(|(device, _)| *device);
        let told = match zdo::Heard::parse(incoming.aps.cluster, &incoming.message) {
            Ok((_, heard)) if incoming.aps.profile == 0 => Some(heard),
            _ => None,
        };
        let named = match told {
            Some(zdo::Heard::Announce { device, .. }) => Some(device),
            Some(zdo::Heard::Address(Ok((device, told)))) if told == nwk && self.senders.sought.contains_key(&nwk) => {
                return self.placed(nwk, Some(device), now_ms);
            }
            _ => None,
        };
        if let Some(device) = named.or(incoming.device).or(joining).or_else(|| self.memory.by_nwk(nwk)) {
            return self.hear(device, &incoming, now_ms);
        }
        if self.senders.unplaced.len() == UNPLACED_MAX {
            self.senders.unplaced.pop_front();
            self.counters.strangers += 1;
        }
        self.senders.unplaced.push_back(incoming);
        self.look_up_senders(now_ms);
    }

    /// Has those looked up who are not yet; a stick with too much to do is asked again in a moment.
    pub(crate) fn look_up_senders(&mut self, now_ms: u64) {
        self.give_up_senders(now_ms);
        let Senders { unplaced, sought } = &self.senders;
        let unknown: BTreeSet<u16> = unplaced.iter().map(|waiting| waiting.nwk).collect();
        for nwk in unknown.into_iter().filter(|nwk| !sought.contains_key(nwk)).collect::<Vec<_>>() {
            if self.ask(For::Lookup(nwk), Command::LookupEui64(nwk), now_ms) {
                self.senders.sought.insert(nwk, now_ms + SOUGHT_MS);
            }
        }
    }

    /// The stick's word on who this is; if it does not know, the node itself is asked.
    pub(crate) fn looked_up(&mut self, nwk: u16, device: Option<Eui64>, now_ms: u64) {
        match device {
            Some(device) => self.placed(nwk, Some(device), now_ms),
            None => {
                let tsn = self.tsn();
                self.send(nwk, device_objects(Request::IeeeAddress(nwk), tsn), now_ms);
            }
        }
    }

    /// A node speaks from this short address.
    pub(crate) fn moved(&mut self, device: Eui64, nwk: u16, now_ms: u64) {
        if self.memory.moved(device, nwk) {
            self.keeping.want(now_ms + keeping::LATE_MS);
        }
    }

    fn placed(&mut self, nwk: u16, device: Option<Eui64>, now_ms: u64) {
        self.senders.sought.remove(&nwk);
        let waiting = std::mem::take(&mut self.senders.unplaced);
        let (placed, rest) = waiting.into_iter().partition(|waiting| waiting.nwk == nwk);
        self.senders.unplaced = rest;
        let placed: VecDeque<Incoming> = placed;
        for incoming in placed {
            match device {
                Some(device) => self.hear(device, &incoming, now_ms),
                None => self.counters.strangers += 1,
            }
        }
    }

    /// Those who never said who they are.
    fn give_up_senders(&mut self, now_ms: u64) {
        let over: Vec<u16> =
            self.senders.sought.iter().filter(|(_, until)| **until <= now_ms).map(|(nwk, _)| *nwk).collect();
        for nwk in over {
            self.placed(nwk, None, now_ms);
        }
    }
}
