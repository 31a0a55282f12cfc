//! Keypads, sirens, locks and switches on the hub's own network: each message of theirs to its driver, what drivers say to
//! the panel, what the panel wants to drivers.
//!
//! It judges nothing: who may arm or open is the panel's word. A code that is typed is handed up once and not kept.

use crate::zigbee::ace;
use crate::zigbee::ace::ArmNotification;
use crate::zigbee::ace::BypassResult;
use crate::zigbee::acting::Acting;
use crate::zigbee::acting::Loud;
use crate::zigbee::bolts::Bolts;
use crate::zigbee::bytes::Reader;
use crate::zigbee::eui64::Eui64;
use crate::zigbee::ezsp_answer::Incoming;
use crate::zigbee::function::Role;
use crate::zigbee::hear::Reply;
use crate::zigbee::hear::default_response;
use crate::zigbee::host::AnswerId;
use crate::zigbee::host::Host;
use crate::zigbee::host::Out;
use crate::zigbee::ias::ZoneStatus;
use crate::zigbee::interview::to_cluster;
use crate::zigbee::keypad::AskId;
use crate::zigbee::keypad::Asked;
use crate::zigbee::keypad::Heard;
use crate::zigbee::keypad::KeypadAt;
use crate::zigbee::keypad::Keypads;
use crate::zigbee::keypad::ToKeypad;
use crate::zigbee::keypad::View;
use crate::zigbee::keypad::Want;
use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;
use crate::zigbee::words::Again;
use crate::zigbee::words::Said;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Status;
use std::collections::BTreeMap;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::device::Report;
use vakt_core::event::Act;
use vakt_core::event::EventId;

/// What keypads may know of the panel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Board {
    /// What each keypad shows.
    pub views: BTreeMap<DeviceId, View>,
    /// How each detector stands.
    pub zones: BTreeMap<DeviceId, ZoneView>,
    /// What sirens tell the street.
    pub loud: Option<Loud>,
}

/// A detector as a keypad may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneView {
    /// Its place, by name.
    pub label: String,
    /// How it stands.
    pub status: ZoneStatus,
    /// It stands aside.
    pub bypassed: bool,
}

/// What the panel wants once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// What became of arming or disarming at a keypad.
    Armed(AskId, ArmNotification),
    /// What became of each zone that was to stand aside.
    Bypassed(AskId, Vec<BypassResult>),
    /// A chirp of every siren; the act waits for the first that has given it.
    Chirp(EventId),
    /// The same, and nobody waits: beside sirens on wires, or as a sign that it did not arm after all (B18).
    Squawk,
    /// A light or a plug, on or off.
    Light(DeviceId, bool),
    /// A smoke cannon; the act waits for its relay's word.
    Fire(EventId, DeviceId),
    /// A bolt; the act waits for its own word.
    Turn(EventId, Act, DeviceId),
}

/// The drivers, and what they were told.
#[derive(Default)]
pub(crate) struct Functions {
    keypads: Keypads,
    pub(crate) board: Board,
    pub(crate) acting: Acting,
    pub(crate) bolts: Bolts,
    /// Cries for help that wait to be recorded: their answers and their numbers among what keypads asked.
    cries: BTreeMap<AnswerId, AskId>,
}

impl Functions {
    /// With a first number for what keypads ask.
    pub(crate) fn new(first: AskId) -> Self {
        Self { keypads: Keypads::new(first), ..Self::default() }
    }
}

impl Host {
    /// The panel stands so: keypads that show something else are told.
    pub fn show(&mut self, board: Board, now_ms: u64) {
        let loud = board.loud;
        self.functions.board = board;
        self.sound(loud, now_ms);
        self.show_keypads(now_ms);
        self.mind_functions(now_ms);
        self.flush();
    }

    /// Does what the panel wants once.
    pub fn wish(&mut self, wish: Wish, now_ms: u64) {
        let told = match wish {
            Wish::Armed(ask, notification) => self.functions.keypads.answered(ask, notification),
            Wish::Bypassed(ask, results) => self.functions.keypads.bypassed(ask, &results),
            once => {
                match once {
                    Wish::Chirp(command) => self.squawk(Some(command), now_ms),
                    Wish::Squawk => self.squawk(None, now_ms),
                    Wish::Light(light, on) => self.light(&light, on, now_ms),
                    Wish::Fire(command, cannon) => self.fire(command, &cannon, now_ms),
                    Wish::Turn(command, act, lock) => self.turn(command, act, &lock, now_ms),
                    Wish::Armed(..) | Wish::Bypassed(..) => {}
                }
                None
            }
        };
        told.into_iter().for_each(|told| self.tell_keypad(told, now_ms));
        self.mind_functions(now_ms);
        self.flush();
    }

    /// A cry for help is recorded.
    pub(crate) fn cry_recorded(&mut self, answer: AnswerId) {
        if let Some(ask) = self.functions.cries.remove(&answer) {
            // Its Default Response is on its way; said again it is answered at once.
            self.functions.keypads.recorded(ask);
        }
    }

    /// The stick is away. A cannon must not fire late: what was on its way to one is given up, and its relay told off when it is
    /// reached again.
    pub(crate) fn functions_down(&mut self) {
        self.release_cannons();
        self.bolts_down();
    }

    /// What keypads show is told anew: the stick was away, and with it what they were told.
    pub(crate) fn functions_up(&mut self, now_ms: u64) {
        let keypads: Vec<KeypadAt> = self.with_role(Role::Keypad).collect();
        keypads.iter().for_each(|(device, _)| self.functions.keypads.forget(*device));
        self.show_keypads(now_ms);
        self.acting_anew(None, now_ms);
        self.bolts_up(None, now_ms);
        self.mind_functions(now_ms);
    }

    /// A node has joined anew, or is gone: what was known of its functions goes.
    pub(crate) fn forget_functions(&mut self, device: Eui64) {
        self.functions.keypads.forget(device);
        self.acting_forget(device);
        self.bolts_forget(device);
    }

    /// A node has begun anew.
    pub(crate) fn function_anew(&mut self, device: Eui64, now_ms: u64) {
        self.functions.keypads.forget(device);
        self.show_keypads(now_ms);
        self.acting_anew(Some(device), now_ms);
        self.bolts_up(Some(device), now_ms);
    }

    /// Does what has fallen due.
    pub(crate) fn mind_functions(&mut self, now_ms: u64) {
        if !self.is_up() {
            return;
        }
        for told in self.functions.keypads.tick(now_ms) {
            self.tell_keypad(told, now_ms);
        }
        self.mind_acting(now_ms);
        self.mind_bolts(now_ms);
    }

    /// When that is, ms.
    pub(crate) fn functions_due_ms(&self) -> Option<u64> {
        let due = [self.functions.keypads.due_ms(), self.acting_due_ms(), self.bolts_due_ms()];
        due.into_iter().flatten().min()
    }

    pub(crate) fn with_role(&self, role: Role) -> impl Iterator<Item = (Eui64, u8)> + '_ {
        let of = self.memory.nodes.iter().flat_map(|(device, node)| node.functions.iter().map(|of| (*device, *of)));
        of.filter(move |(_, of)| of.role == role).map(|(device, of)| (device, of.endpoint))
    }

    pub(crate) fn show_keypads(&mut self, now_ms: u64) {
        if !self.is_up() {
            return;
        }
        let keypads: Vec<KeypadAt> = self.with_role(Role::Keypad).collect();
        for at in keypads {
            let id = self.id(at.0, at.1);
            let Some(view) = self.functions.board.views.get(&id).copied() else { continue };
            let tsn = self.tsn();
            if let Some(bytes) = self.functions.keypads.show(at, view, tsn, now_ms) {
                self.tell_keypad((at, bytes), now_ms);
            }
        }
    }

    fn tell_keypad(&mut self, (at, bytes): ToKeypad, now_ms: u64) {
        self.tell_function(at, Role::Keypad, bytes, now_ms);
    }

    /// The hub's zones, as keypads may know them.
    fn zones_for_keypads(&self) -> Vec<ace::Zone> {
        let all = self.memory.nodes.iter().flat_map(|(device, node)| node.zones.iter().map(|zone| (*device, *zone)));
        let known = all.filter_map(|(address, zone)| {
            let seen = self.functions.board.zones.get(&self.id(address, zone.endpoint))?;
            let ZoneView { label, status, bypassed } = seen.clone();
            Some(ace::Zone { id: zone.zone_id, zone_type: zone.zone_type(), address, label, status, bypassed })
        });
        known.collect()
    }

    /// The devices behind the zone ids that a keypad names, in its order; `None` for an id nobody has.
    fn zones_named(&self, want: &Want) -> Vec<Option<DeviceId>> {
        let Want::Bypass { zone_ids, .. } = want else { return Vec::new() };
        let named = |id: &u8| {
            let mut all =
                self.memory.nodes.iter().flat_map(|(device, node)| node.zones.iter().map(|zone| (*device, zone)));
            all.find(|(_, zone)| zone.zone_id == *id).map(|(device, zone)| self.id(device, zone.endpoint))
        };
        zone_ids.iter().map(named).collect()
    }

    /// A keypad's message.
    pub(crate) fn hear_keypad(
        &mut self,
        device: Eui64,
        incoming: &Incoming,
        header: &Header,
        reader: &mut Reader<'_>,
        now_ms: u64,
    ) -> Result<Reply, Refused> {
        let endpoint = incoming.aps.source;
        if self.memory.nodes.get(&device).and_then(|node| node.role(endpoint)) != Some(Role::Keypad) {
            return Ok(Reply::Status(Status::UNSUPPORTED_CLUSTER));
        }
        let (tsn, aps) = (header.tsn, incoming.aps.sequence);
        let from = (device, endpoint, incoming.aps.cluster);
        let again = self.words.again(&Said { from, tsn, aps, bytes: &incoming.message, at_ms: now_ms });
        let zones = self.zones_for_keypads();
        let at = (device, endpoint);
        let heard = match self.functions.keypads.heard(at, header, reader, again.is_some(), &zones, now_ms) {
            Err(refused) if refused.kind == Reason::NotSupported => {
                return Ok(Reply::Status(Status::UNSUPPORTED_CLUSTER_COMMAND));
            }
            heard => heard?,
        };
        match (heard, again) {
            (Heard::Answer(bytes), _) => self.send(incoming.nwk, to_cluster(ace::CLUSTER, endpoint, bytes), now_ms),
            (Heard::Asked(asked), _) => self.asked(asked, incoming, header),
            (Heard::Waits, Some(Again::Waits(answer))) => {
                if let Some(message) = default_response(incoming, header, Status::SUCCESS) {
                    self.words.hold_again(answer, incoming.nwk, message);
                }
            }
            (Heard::Waits, _) => {}
        }
        Ok(Reply::Later)
    }

    fn asked(&mut self, asked: Asked, incoming: &Incoming, header: &Header) {
        // All a keypad says as itself is "fire"; who is threatened must not be heard to call (B8).
        let kind = match asked.want {
            Want::Emergency => DeviceKind::Sos,
            Want::Fire => DeviceKind::Keypad,
            Want::Panic => DeviceKind::HoldUp,
            Want::Arm { .. } | Want::Bypass { .. } => {
                let id = self.id(asked.from.0, asked.from.1);
                let of = self.zones_named(&asked.want);
                return self.out.push_back(Out::Asked(id, asked, of));
            }
        };
        let id = self.id(asked.from.0, asked.from.1);
        let mut report = Report::silent(id, kind, Authenticated::MacCounter);
        report.state = Some(DeviceState::Alarm);
        report.rssi_dbm = Some(i16::from(incoming.rssi_dbm));
        report.lqi = Some(incoming.lqi);
        let answer = default_response(incoming, header, Status::SUCCESS);
        let answer = answer.map(|message| self.words.hold(incoming.nwk, message));
        self.functions.cries.extend(answer.map(|answer| (answer, asked.id)));
        self.out.push_back(Out::Report(report, answer));
    }
}
