//! Door locks of the network: what the panel orders to each lock's driver, what the lock says to the panel.
//!
//! It decides nothing about doors. An order that cannot leave at once never leaves later: a door must not open when nobody
//! waits for it any more.

use crate::zigbee::bytes::Reader;
use crate::zigbee::eui64::Eui64;
use crate::zigbee::ezsp::APS_ENCRYPTED;
use crate::zigbee::ezsp::Command;
use crate::zigbee::ezsp_answer::Answer;
use crate::zigbee::ezsp_answer::Incoming;
use crate::zigbee::ezsp_link::Failed;
use crate::zigbee::ezsp_status::Status as StickStatus;
use crate::zigbee::function::Role;
use crate::zigbee::hear::Reply;
use crate::zigbee::hear::default_response;
use crate::zigbee::host::AnswerId;
use crate::zigbee::host::For;
use crate::zigbee::host::Host;
use crate::zigbee::host::Out;
use crate::zigbee::interview::Message;
use crate::zigbee::interview::to_cluster;
use crate::zigbee::lock_words::Alarm;
use crate::zigbee::lock_words::Denied;
use crate::zigbee::lock_words::How;
use crate::zigbee::lock_words::OrderId;
use crate::zigbee::lock_words::Slot;
use crate::zigbee::lock_words::Stage;
use crate::zigbee::lock_words::Turn;
use crate::zigbee::lock_words::Word;
use crate::zigbee::lock_zigbee::Outgoing;
use crate::zigbee::lock_zigbee::ZigbeeLock;
use crate::zigbee::memory::Network;
use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;
use crate::zigbee::secret::Secret;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Status;
use crate::zigbee::zcl_global::Global;
use sha2::Digest;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::Report;
use vakt_core::event::Act;
use vakt_core::event::EventId;
use vakt_core::input::LockUsed;

/// A device, and the endpoint that does it.
pub(crate) type At = (Eui64, u8);

/// An order is waited for so long, ms: the panel gives its acts 15 s.
const ORDER_MS: u64 = 14_000;
/// The hub's own place in a lock that demands a code of whoever is not at the door. People have the places before it.
const OWN_SLOT: Slot = 9;
/// A lock never says that its cover is back on: so long after it said that it was off it counts as such, with its next word, ms.
const COVER_MS: u64 = 600_000;
/// Alarms, the cluster beside Door Lock that tells of jams and covers.
pub(crate) const ALARMS: u16 = 0x0009;

/// The drivers.
#[derive(Default)]
pub(crate) struct Bolts {
    locks: BTreeMap<At, ZigbeeLock>,
    orders: BTreeMap<OrderId, (EventId, Act)>,
    next_order: OrderId,
    /// Locks whose cover was off, and when they said so, ms.
    covers: BTreeMap<At, u64>,
    /// Locks that are stuck or say nothing of their bolt, by how many reasons.
    ill: BTreeMap<At, u32>,
    /// When they were last looked after, ms.
    now_ms: u64,
    /// The answer that a lock's word waits for until it is recorded.
    answer: Option<AnswerId>,
}

impl Host {
    /// A bolt, on a person's or the centre's word and the panel's.
    pub(crate) fn turn(&mut self, command: EventId, act: Act, lock: &DeviceId, now_ms: u64) {
        let turn = match act {
            Act::Lock => Turn::Lock,
            Act::Unlock | Act::EmergencyUnlock => Turn::Unlock,
            Act::SirenChirp | Act::FogFire => return,
        };
        let at = self.with_role(Role::Lock).find(|(device, endpoint)| self.id(*device, *endpoint) == *lock);
        let reached = at.filter(|_| self.is_up());
        let Bolts { locks, orders, next_order, .. } = &mut self.functions.bolts;
        let Some(driver) = reached.and_then(|at| locks.get_mut(&at)) else {
            let error = Some("not_reached".to_owned());
            return self.out.push_back(Out::Acted { command, act, error });
        };
        *next_order += 1;
        orders.insert(*next_order, (command, act));
        driver.order(*next_order, turn, now_ms + ORDER_MS, now_ms);
    }

    /// Every lock has its driver, and nothing else has.
    pub(crate) fn staff_bolts(&mut self, now_ms: u64) {
        let ours: BTreeSet<At> = self.with_role(Role::Lock).collect();
        let up = self.is_up();
        let Host { memory, functions, .. } = self;
        let bolts = &mut functions.bolts;
        bolts.locks.retain(|at, _| ours.contains(at));
        for at in ours {
            let placed = memory.nodes.get(&at.0).map(|node| node.placed.clone()).unwrap_or_default();
            let own = memory.network.as_ref().map(|network| (OWN_SLOT, own_code(network, at.0)));
            bolts.locks.entry(at).or_insert_with(|| {
                let mut lock = ZigbeeLock::new(placed, own);
                // The panel locks by itself, and knows when it must not (B13).
                lock.want_auto_relock(0, now_ms);
                if up {
                    lock.link_up(now_ms);
                }
                lock
            });
        }
    }

    /// The stick, or one lock, is there again.
    pub(crate) fn bolts_up(&mut self, only: Option<Eui64>, now_ms: u64) {
        let meant = |at: &At| only.is_none_or(|device| device == at.0);
        let locks = self.functions.bolts.locks.iter_mut().filter(|(at, _)| meant(at));
        locks.for_each(|(_, lock)| lock.link_up(now_ms));
    }

    /// The stick is gone: what was on its way has failed.
    pub(crate) fn bolts_down(&mut self) {
        let now_ms = self.functions.bolts.now_ms;
        self.functions.bolts.locks.values_mut().for_each(|lock| lock.link_lost(now_ms));
        self.bolt_words(now_ms);
    }

    /// A command of a lock's, on Door Lock or on Alarms.
    pub(crate) fn hear_bolt(
        &mut self,
        at: At,
        incoming: &Incoming,
        header: &Header,
        reader: &mut Reader<'_>,
        now_ms: u64,
    ) -> Result<Reply, Refused> {
        let Some(lock) = self.functions.bolts.locks.get_mut(&at) else {
            return Ok(Reply::Status(Status::UNSUPPORTED_CLUSTER));
        };
        let read = match incoming.aps.cluster {
            ALARMS => lock.alarm(header, reader, now_ms),
            _ => lock.cluster(header, reader, now_ms),
        };
        // A lock says nothing twice that was answered: its word is on record first.
        let answer = default_response(incoming, header, Status::SUCCESS).filter(|_| read.is_ok());
        self.functions.bolts.answer = answer.map(|message| self.words.hold(incoming.nwk, message));
        self.mind_bolts(now_ms);
        self.bolt_words(now_ms);
        if let Some(answer) = self.functions.bolts.answer.take() {
            self.recorded(answer, now_ms);
        }
        match read {
            Ok(()) => Ok(Reply::Later),
            Err(refused) if refused.kind == Reason::NotSupported => {
                Ok(Reply::Status(Status::UNSUPPORTED_CLUSTER_COMMAND))
            }
            Err(refused) => Err(refused),
        }
    }

    /// A lock has begun anew, or is gone: its driver with it.
    pub(crate) fn bolts_forget(&mut self, device: Eui64) {
        let Bolts { locks, covers, ill, .. } = &mut self.functions.bolts;
        locks.retain(|at, _| at.0 != device);
        covers.retain(|at, _| at.0 != device);
        ill.retain(|at, _| at.0 != device);
    }

    /// An answer of a lock's to what it was asked, or a report.
    pub(crate) fn hear_bolt_global(&mut self, at: At, tsn: u8, said: &Global, now_ms: u64) -> Result<(), Refused> {
        let Some(lock) = self.functions.bolts.locks.get_mut(&at) else { return Ok(()) };
        let read = lock.global(tsn, said, now_ms);
        self.mind_bolts(now_ms);
        read
    }

    /// Sends what is due and tells what was said.
    pub(crate) fn mind_bolts(&mut self, now_ms: u64) {
        self.functions.bolts.now_ms = now_ms;
        if !self.is_up() {
            return;
        }
        let all: Vec<At> = self.functions.bolts.locks.keys().copied().collect();
        for at in all {
            loop {
                let tsn = self.tsn();
                let Some(lock) = self.functions.bolts.locks.get_mut(&at) else { break };
                let Some(outgoing) = lock.next(tsn, now_ms) else { break };
                self.send_bolt(at, tsn, outgoing, now_ms);
            }
        }
        self.bolt_words(now_ms);
    }

    /// When that is, ms.
    pub(crate) fn bolts_due_ms(&self) -> Option<u64> {
        let Bolts { locks, now_ms, .. } = &self.functions.bolts;
        locks.values().filter_map(|lock| lock.due_ms(*now_ms)).min()
    }

    fn send_bolt(&mut self, at: At, tsn: u8, outgoing: Outgoing, now_ms: u64) {
        let Outgoing { bytes, sealed, at_once } = outgoing;
        let Some(nwk) = self.nwk(at.0) else { return self.bolt_not_sent(at, tsn, now_ms) };
        let mut message = to_cluster(Role::Lock.cluster(), at.1, bytes);
        if sealed {
            message.aps.options |= APS_ENCRYPTED;
        }
        if !at_once {
            return self.send(nwk, message, now_ms);
        }
        let Message { aps, bytes } = message;
        if !self.ask(For::Bolt(at, tsn), Command::Unicast { nwk, aps, tag: 0, message: bytes }, now_ms) {
            self.bolt_not_sent(at, tsn, now_ms);
        }
    }

    /// What the stick made of a message that moves a bolt.
    pub(crate) fn bolt_sent(&mut self, (at, tsn): (At, u8), answer: &Result<Answer, Failed>, now_ms: u64) {
        if !matches!(answer, Ok(Answer::Sent { status: StickStatus::Ok, .. })) {
            self.bolt_not_sent(at, tsn, now_ms);
        }
    }

    fn bolt_not_sent(&mut self, at: At, tsn: u8, now_ms: u64) {
        if let Some(lock) = self.functions.bolts.locks.get_mut(&at) {
            lock.not_sent(tsn, now_ms);
        }
    }

    fn bolt_words(&mut self, now_ms: u64) {
        let mut said: Vec<(At, Word)> = Vec::new();
        for (at, lock) in &mut self.functions.bolts.locks {
            said.extend(std::iter::from_fn(|| lock.take_word()).map(|word| (*at, word)));
        }
        said.into_iter().for_each(|(at, word)| self.bolt_says(at, word, now_ms));
    }

    fn bolt_says(&mut self, at: At, word: Word, now_ms: u64) {
        let device = self.id(at.0, at.1);
        let silent = || Report::silent(device.clone(), DeviceKind::Lock, Authenticated::MacCounter);
        let bolts = &mut self.functions.bolts;
        match word {
            Word::Bolt(bolt) => {
                let cover = bolts.covers.get(&at).is_some_and(|off_ms| now_ms >= off_ms + COVER_MS);
                let tamper = cover.then(|| bolts.covers.remove(&at)).map(|_| false);
                let answer = bolts.answer.take();
                self.out.push_back(Out::Report(Report { state: Some(bolt.state()), tamper, ..silent() }, answer));
            }
            Word::Order(id, Stage::Failed(why)) => {
                if let Some((command, act)) = bolts.orders.remove(&id) {
                    self.out.push_back(Out::Acted { command, act, error: Some(why.word().to_owned()) });
                }
            }
            // The panel confirms by the bolt's own word, which was told before.
            Word::Order(id, Stage::Confirmed) => drop(bolts.orders.remove(&id)),
            Word::Used { unlocked, how, slot } => {
                let by_somebody = !matches!(how, How::Auto | How::Schedule);
                let credential = slot.filter(|_| how.method().is_some()).map(|slot| format!("{device}-{slot}"));
                let method = how.method();
                if by_somebody {
                    let answer = bolts.answer.take();
                    let used = LockUsed { device, unlocked, method, user: None, credential };
                    self.out.push_back(Out::LockUsed(used, answer));
                }
            }
            Word::Tried { how, why, .. } => {
                let reason = match why {
                    Denied::WrongCode => "unknown",
                    Denied::Schedule => "not_now",
                    Denied::NoAccess => "not_for_role",
                };
                let (method, answer) = (how.method(), bolts.answer.take());
                self.out.push_back(Out::LockRefused { device, method, reason: reason.to_owned(), answer });
            }
            Word::Alarm(Alarm::WrongCodes) => {
                let (reason, answer) = ("too_many".to_owned(), bolts.answer.take());
                self.out.push_back(Out::LockRefused { device, method: None, reason, answer });
            }
            // Its cover is off, its door was forced, or somebody made it forget everybody.
            Word::Alarm(Alarm::Tamper | Alarm::Forced | Alarm::Reset) => {
                bolts.covers.insert(at, now_ms);
                let answer = bolts.answer.take();
                self.out.push_back(Out::Report(Report { tamper: Some(true), ..silent() }, answer));
            }
            Word::Fault(_, begins) => {
                let reasons = bolts.ill.entry(at).or_default();
                let before = *reasons;
                *reasons = if begins { before + 1 } else { before.saturating_sub(1) };
                if (before == 0) != (*reasons == 0) {
                    self.out.push_back(Out::Report(Report { fault: Some(begins), ..silent() }, None));
                }
            }
            Word::Placed(slot, revision) => self.key_placed(at.0, slot, revision, now_ms),
            Word::Order(..)
            | Word::Door { .. }
            | Word::Alarm(Alarm::Jammed | Alarm::PowerCycled | Alarm::Other(_))
            | Word::Settings(_)
            | Word::AutoRelock(_)
            | Word::Slot(..)
            | Word::Foreign { .. }
            | Word::Programmed(..) => {}
        }
    }

    fn key_placed(&mut self, device: Eui64, slot: Slot, revision: Option<u32>, now_ms: u64) {
        let Some(node) = self.memory.nodes.get_mut(&device) else { return };
        let before = match revision {
            Some(revision) => node.placed.insert(slot, revision),
            None => node.placed.remove(&slot),
        };
        if before != revision {
            self.keeping.want(now_ms);
        }
    }
}

/// The hub's own code for a lock that demands one: eight digits that follow from the network's secret and the lock, so that the
/// same hub has the same after each start and no other hub has it.
fn own_code(network: &Network, lock: Eui64) -> Secret {
    let mut hash = Sha256::new();
    hash.update(b"vakt: the hub's own code in a door lock");
    hash.update(network.link_key.0);
    hash.update(lock.bytes());
    let digits: Vec<u8> = hash.finalize().iter().take(8).map(|byte| b'0' + byte % 10).collect();
    Secret::new(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hubs_own_code_is_the_same_after_a_start_and_another_in_each_lock() {
        let network = Network::draw(&[7; 64]);
        let code = own_code(&network, Eui64(1));
        assert!(code.bytes().len() == 8 && code.bytes().iter().all(u8::is_ascii_digit));
        assert_eq!(code, own_code(&network, Eui64(1)));
        assert_ne!(code, own_code(&network, Eui64(2)));
        assert_ne!(code, own_code(&Network::draw(&[8; 64]), Eui64(1)));
    }
}
