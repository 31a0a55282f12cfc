//! Messages: what the host sends, what becomes of it, and what is told about that.

use super::Duty;
use super::Ncp;
use super::Transit;
use super::bytes::Reader;
use super::ezsp::Answer;
use super::frames::Aps;
use super::frames::Incoming;
use super::frames::Outgoing;
use super::frames::Sent;
use super::frames::id;
use super::shelf::config;
use super::shelf::counter;
use super::status::Status;
use super::zcl;
use super::zdo::Node;
use super::zdo::Role;
use std::time::Duration;

/// The longest message, bytes, in one APS frame with network security.
const PAYLOAD_MOST: usize = 82;

/// Over the radio and back.
const HOP: Duration = Duration::from_millis(4);

/// EmberZNet sends an unacknowledged APS frame three times, 1.6 s apart, before it gives up.
const GIVES_UP: Duration = Duration::from_millis(4800);

/// The same towards one whose parent may keep the message until it polls.
const GIVES_UP_SLEEPY: Duration = Duration::from_millis(23_000);

/// Frames the stick may have on their way at a time, when the host did not say otherwise, is config 0x03.
const IN_FLIGHT: u8 = 0x03;

/// The policy on whether messageSent carries the message, and its value for yes.
const CONTENTS: (u8, u8) = (0x04, 0x41);

impl Ncp {
    pub(super) fn radio_command(&mut self, now: Duration, id: u16, mut r: Reader<'_>) -> Answer {
        let version = self.settings.ezsp;
        Ok(Some(match id {
            0x0033 => vec![PAYLOAD_MOST.to_le_bytes()[0]],
            0x0034 => {
                let outgoing = Outgoing::unicast(version, &mut r)?;
                self.send(now, outgoing)
            }
            0x0036 => {
                let outgoing = Outgoing::broadcast(version, &mut r)?;
                self.send(now, outgoing)
            }
            0x0038 => {
                let outgoing = Outgoing::multicast(version, &mut r)?;
                self.send(now, outgoing)
            }
            0x0039 | 0x00AE => self.status(Status::Ok),
            0x00A8 => {
                let (_, _, target) = (r.u16()?, r.eui()?, r.eui()?);
                let status = self.remove(now, target);
                self.status(status)
            }
            0x00C2 | 0x00C3 => vec![0],
            _ => return Ok(None),
        }))
    }

    /// The detectors that have the stick itself as their parent.
    pub(super) fn children(&self) -> impl Iterator<Item = &super::device::Device> {
        self.devices.iter().filter(|device| device.node.is_some() && device.parent == 0 && device.habits.sleepy)
    }

    /// Takes a message from the host: its answer now, its fate later.
    fn send(&mut self, now: Duration, mut outgoing: Outgoing) -> Vec<u8> {
        let in_flight = usize::from(self.ram.config(IN_FLIGHT));
        let status = if !self.ram.up {
            Status::NetworkDown
        } else if outgoing.message.len() > PAYLOAD_MOST {
            Status::MessageTooLong
        } else if self.indirect.len() >= in_flight {
            Status::MaxMessages
        } else {
            Status::Ok
        };
        if status != Status::Ok {
            return self.out(status).u8(0).done();
        }
        self.ram.aps_sequence = self.ram.aps_sequence.wrapping_add(1);
        self.spend_counter(1);
        outgoing.aps.sequence = self.ram.aps_sequence;
        let answer = self.out(Status::Ok).u8(self.ram.aps_sequence).done();
        let now = now.max(self.ram.scans_until);
        match (outgoing.kind, outgoing.destination) {
            (3 | 6, _) => self.send_to_all(now, outgoing),
            (_, 0x0000) => self.send_to_self(now, outgoing),
            (_, node) => match self.devices.iter().position(|device| device.node == Some(node)) {
                Some(device) => self.send_to(now, device, outgoing),
                None => {
                    let at = now + GIVES_UP;
                    self.agenda.at(at, Duty::Sent { outgoing, status: Status::DeliveryFailed });
                }
            },
        }
        answer
    }

    fn send_to_all(&mut self, now: Duration, outgoing: Outgoing) {
        self.ram.count(counter::APS_TX_BROADCAST);
        if self.is_jammed() {
            return self.finds_no_gap(now, outgoing, GIVES_UP);
        }
        let listening = self.devices.iter().enumerate().filter(|(_, device)| !device.habits.sleepy);
        for device in listening.map(|(at, _)| at).collect::<Vec<_>>() {
            self.agenda.at(now + HOP, Duty::Arrive { device, outgoing: outgoing.clone() });
        }
        self.agenda.at(now + HOP, Duty::Sent { outgoing, status: Status::Ok });
    }

    /// The stack answers for the stick itself.
    fn send_to_self(&mut self, now: Duration, outgoing: Outgoing) {
        let aps = outgoing.aps;
        let message = outgoing.message.clone();
        self.agenda.at(now, Duty::Sent { outgoing, status: Status::Ok });
        if aps.profile != 0 {
            return;
        }
        let endpoints = self.ram.endpoints.clone();
        let (eui, manufacturer) = (self.memory.address(), self.ram.manufacturer);
        let bindings = &mut self.ram.bindings;
        let mut node = Node { eui, id: 0, role: Role::Coordinator, manufacturer, endpoints: &endpoints, bindings };
        let Some((cluster, payload)) = node.answer(aps.cluster, &message) else { return };
        let answer = Aps { cluster, options: 0x0140, sequence: aps.sequence.wrapping_add(1), ..aps };
        let incoming = Incoming { kind: 0, aps: answer, sender: 0, lqi: 255, rssi: 0, message: &payload };
        let body = incoming.body(self.settings.ezsp);
        self.agenda.at(now, Duty::Callback { id: id::INCOMING, body });
    }

    fn send_to(&mut self, now: Duration, device: usize, outgoing: Outgoing) {
        if let Some(answered) = self.answer(device, &outgoing) {
            let (eui, endpoint) = (self.devices[device].eui, self.devices[device].habits.endpoint);
            self.log.answered(now, eui, endpoint, answered);
        }
        if !self.devices[device].habits.sleepy {
            if self.is_jammed() {
                return self.finds_no_gap(now, outgoing, GIVES_UP);
            }
            self.agenda.at(now + HOP, Duty::Arrive { device, outgoing });
            return;
        }
        self.transits += 1;
        let number = self.transits;
        self.indirect.push_back(Transit { number, device, outgoing });
        let keeps = match self.ram.config(config::INDIRECT) {
            0 => self.settings.indirect,
            ms => Duration::from_millis(u64::from(ms)),
        };
        self.agenda.at(now + keeps, Duty::Expire { transit: number });
        let at = self.next_poll(now, device);
        self.agenda.at(at, Duty::Poll { device });
    }

    fn answer(&self, device: usize, outgoing: &Outgoing) -> Option<(u16, u8)> {
        let wanted = [self.devices[device].habits.endpoint, 0xFF].contains(&outgoing.aps.destination);
        let message = super::mesh::message(outgoing);
        zcl::answered(&message).filter(|_| wanted)
    }

    /// When a sleeping device asks next: at its short interval while it is awake, at its long one else.
    fn next_poll(&self, now: Duration, device: usize) -> Duration {
        let habits = &self.devices[device].habits;
        let grid = |step: Duration| {
            let step = step.max(Duration::from_millis(1));
            // Not all at the same moment: each device has its own phase.
            let phase = step * u32::try_from(device % 16).unwrap_or(0) / 16;
            let steps = now.saturating_sub(phase).as_nanos() / step.as_nanos() + 1;
            phase + step * u32::try_from(steps).unwrap_or(u32::MAX)
        };
        let soon = grid(habits.short_poll);
        if soon <= self.devices[device].awake_until { soon } else { grid(habits.long_poll) }
    }

    /// A sleeping child asks: it gets one message, and asks again at once while there are more.
    pub(super) fn polled(&mut self, now: Duration, device: usize) {
        if self.devices[device].dead || self.devices[device].node.is_none() {
            return;
        }
        let Some(at) = self.indirect.iter().position(|transit| transit.device == device) else { return };
        if self.is_jammed() || self.is_deaf(now) {
            // Its question is not heard; it asks again.
            let at = self.next_poll(now, device);
            return self.agenda.at(at, Duty::Poll { device });
        }
        let Some(transit) = self.indirect.remove(at) else { return };
        self.agenda.at(now + HOP, Duty::Arrive { device, outgoing: transit.outgoing });
        if self.indirect.iter().any(|transit| transit.device == device) {
            self.agenda.at(now + HOP * 2, Duty::Poll { device });
        }
    }

    /// It was kept long enough.
    pub(super) fn expired(&mut self, now: Duration, number: u64) {
        let Some(at) = self.indirect.iter().position(|transit| transit.number == number) else { return };
        let Some(transit) = self.indirect.remove(at) else { return };
        let retry = transit.outgoing.aps.options & Aps::RETRY != 0;
        let long = self.ram.extended_timeout.contains(&self.devices[transit.device].eui);
        // With APS retries the stack has more patience; without, the parent's is all.
        let more = if retry && long { GIVES_UP_SLEEPY - self.settings.indirect } else { Duration::ZERO };
        let outgoing = transit.outgoing;
        self.agenda.at(now + more, Duty::Sent { outgoing, status: Status::DeliveryFailed });
    }

    /// Tells the host what became of its message.
    pub(super) fn tell_sent(&mut self, now: Duration, outgoing: &Outgoing, status: Status) {
        if outgoing.kind == 0 {
            let well = status == Status::Ok;
            self.ram.count(if well { counter::APS_TX_SUCCESS } else { counter::APS_TX_FAILED });
        }
        let contents = self.ram.policy.get(&CONTENTS.0) == Some(&CONTENTS.1);
        let message = if contents { outgoing.message.as_slice() } else { &[] };
        let (kind, destination, aps, tag) = (outgoing.kind, outgoing.destination, outgoing.aps, outgoing.tag);
        let body = Sent { status, kind, destination, aps, tag, message }.body(self.settings.ezsp);
        self.callback(now, id::MESSAGE_SENT, &body, None);
    }

    /// A message reaches a device; without a working device it fails.
    pub(super) fn arrives(&mut self, now: Duration, device: usize, outgoing: Outgoing) {
        let target = &mut self.devices[device];
        let unicast = outgoing.kind == 0;
        let same = target.network_key.is_some() && target.network_key == self.memory.network.as_ref().map(|n| n.key);
        if target.dead || target.node.is_none() || !same {
            if unicast {
                let at = now + GIVES_UP;
                self.agenda.at(at, Duty::Sent { outgoing, status: Status::DeliveryFailed });
            }
            return;
        }
        let encrypted = outgoing.aps.options & Aps::ENCRYPTED != 0;
        let doings = target.hears(now, &super::mesh::message(&outgoing), encrypted, &mut self.log);
        let (after, status) = if target.habits.acks { (HOP, Status::Ok) } else { (GIVES_UP, Status::DeliveryFailed) };
        if unicast {
            self.agenda.at(now + after, Duty::Sent { outgoing, status });
        }
        self.does(now, device, doings);
    }
}
