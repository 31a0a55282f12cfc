//! What a node says, once it is known who it is: an announcement, an answer, a detector's word.
//!
//! A word that cannot be read is counted, told, and answered as malformed; it is never "closed" and never "clear".

use crate::zigbee::bolts;
use crate::zigbee::bytes::Reader;
use crate::zigbee::eui64::Eui64;
use crate::zigbee::ezsp_answer::Incoming;
use crate::zigbee::function::Role;
use crate::zigbee::host::Host;
use crate::zigbee::host::Out;
use crate::zigbee::ias;
use crate::zigbee::ias::EnrollCode;
use crate::zigbee::ias::FromZone;
use crate::zigbee::ias::ZoneAttributes;
use crate::zigbee::ias::ZoneStatus;
use crate::zigbee::ias_meaning::Statement;
use crate::zigbee::interview::Answer;
use crate::zigbee::interview::Message;
use crate::zigbee::interview::Stage;
use crate::zigbee::interview::to_cluster;
use crate::zigbee::memory::NWK_UNKNOWN;
use crate::zigbee::memory::Node;
use crate::zigbee::memory::Zone;
use crate::zigbee::poll_control;
use crate::zigbee::power;
use crate::zigbee::power::Reading;
use crate::zigbee::refused::Refused;
use crate::zigbee::words::Again;
use crate::zigbee::words::Order;
use crate::zigbee::words::Said;
use crate::zigbee::words::Word;
use crate::zigbee::words::active;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Scope;
use crate::zigbee::zcl::Status;
use crate::zigbee::zcl_global::Global;
use crate::zigbee::zdo;
use std::collections::BTreeMap;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::Report;

impl Host {
    /// A message of this device.
    pub(crate) fn hear(&mut self, device: Eui64, incoming: &Incoming, now_ms: u64) {
        if incoming.aps.profile == 0 {
            return self.hear_zdo(device, incoming, now_ms);
        }
        self.moved(device, incoming.nwk, now_ms);
        let known = self.memory.nodes.contains_key(&device) || self.interviews.contains_key(&device);
        if !known {
            self.counters.strangers += 1;
            return;
        }
        let header = Reader::new(&incoming.message).and_then(|mut reader| Ok((Header::parse(&mut reader)?, reader)));
        let Ok((header, mut reader)) = header else { return self.unreadable(device, incoming.aps.source) };
        let heard = match header.scope {
            Scope::Global => self.hear_global(device, incoming, &header, &mut reader, now_ms),
            Scope::Cluster => self.hear_cluster(device, incoming, &header, &mut reader, now_ms),
        };
        match heard {
            Ok(Reply::Given | Reply::Later) => {}
            Ok(Reply::Status(status)) => self.answer(incoming, &header, status, now_ms),
            Err(_) => {
                self.unreadable(device, incoming.aps.source);
                self.answer(incoming, &header, Status::MALFORMED_COMMAND, now_ms);
            }
        }
    }

    /// A known detector said something nobody can read: whatever it was, it guards nothing meanwhile.
    fn unreadable(&mut self, device: Eui64, endpoint: u8) {
        self.counters.unreadable += 1;
        if self.memory.nodes.contains_key(&device) {
            let id = self.id(device, endpoint);
            self.out.push_back(Out::Unreadable(id));
        }
    }

    /// The Default Response, if one is wanted.
    fn answer(&mut self, incoming: &Incoming, header: &Header, status: Status, now_ms: u64) {
        if let Some(message) = default_response(incoming, header, status) {
            self.send(incoming.nwk, message, now_ms);
        }
    }

    fn hear_zdo(&mut self, device: Eui64, incoming: &Incoming, now_ms: u64) {
        let Ok((tsn, heard)) = zdo::Heard::parse(incoming.aps.cluster, &incoming.message) else {
            return; // a question that the stick has answered itself
        };
        if let zdo::Heard::Announce { nwk, capability, .. } = heard {
            self.moved(device, nwk, now_ms);
            self.words.anew(device);
            if let Some(interview) = self.interviews.get_mut(&device) {
                interview.announced(nwk, capability.sleepy(), now_ms);
                self.tell(device, Stage::Keys, "it has the network's key");
            } else {
                // It was away: what it says now is the truth, and what it was told it may have forgotten.
                self.ask_zones(device, now_ms);
                self.function_anew(device, now_ms);
            }
            return;
        }
        if let Some(interview) = self.interviews.get_mut(&device) {
            interview.answered(tsn, &Answer::Zdo(heard), now_ms);
        }
    }

    /// Asks a device how it stands.
    fn ask_zones(&mut self, device: Eui64, now_ms: u64) {
        for Zone { endpoint, .. } in self.zones(device) {
            self.asking.ask((device, endpoint), now_ms);
        }
    }

    /// Asks a zone how it stands; one whose address nobody knows is heard when it speaks.
    pub(crate) fn read_zone(&mut self, (device, endpoint): (Eui64, u8), now_ms: u64) {
        let Some(nwk) = self.memory.nodes.get(&device).map(|node| node.nwk) else {
            return self.asking.settled((device, endpoint));
        };
        if nwk != NWK_UNKNOWN {
            let tsn = self.tsn();
            self.send(nwk, to_cluster(ias::CLUSTER, endpoint, ias::read_zone(tsn)), now_ms);
        }
    }

    fn hear_global(
        &mut self,
        device: Eui64,
        incoming: &Incoming,
        header: &Header,
        reader: &mut Reader<'_>,
        now_ms: u64,
    ) -> Result<Reply, Refused> {
        if header.manufacturer.is_some() {
            return Ok(Reply::Status(Status::UNSUPPORTED_GENERAL_COMMAND));
        }
        let (cluster, endpoint) = (incoming.aps.cluster, incoming.aps.source);
        let global = Global::parse(header.command, reader)?;
        if let Some(interview) = self.interviews.get_mut(&device) {
            let answer = Answer::Global { cluster, endpoint, global: global.clone() };
            interview.answered(header.tsn, &answer, now_ms);
        }
        if let Some(reply) = poll_control::answer(cluster, header, &global) {
            let mut message = to_cluster(cluster, endpoint, reply.bytes);
            message.aps.options = reply.options;
            self.send(incoming.nwk, message, now_ms);
            return Ok(Reply::Given);
        }
        let role = self.memory.nodes.get(&device).and_then(|node| node.role(endpoint));
        if role == Some(Role::Lock) && cluster == Role::Lock.cluster() {
            self.hear_bolt_global((device, endpoint), header.tsn, &global, now_ms)?;
            return Ok(Reply::Status(Status::SUCCESS));
        }
        if let Some(Role::Siren | Role::Switch) = role.filter(|role| role.cluster() == cluster) {
            self.hear_acting((device, endpoint), header.tsn, &global, now_ms)?;
            return Ok(Reply::Status(Status::SUCCESS));
        }
        match &global {
            Global::Report(_) | Global::ReadResponse(_) => {}
            Global::Read(_) | Global::Write(_) | Global::ConfigureReporting(_) => {
                return Ok(Reply::Status(Status::UNSUPPORTED_CLUSTER));
            }
            _ => return Ok(Reply::Given),
        }
        if cluster == ias::CLUSTER {
            let told = ZoneAttributes::of(&global)?;
            if let Some(status) = told.status {
                return Ok(self.status(device, incoming, header, status, now_ms));
            }
            return Ok(Reply::Status(Status::SUCCESS));
        }
        let reading = Reading::of(cluster, &global)?;
        self.reading(device, incoming, &reading, now_ms);
        Ok(Reply::Status(Status::SUCCESS))
    }

    fn hear_cluster(
        &mut self,
        device: Eui64,
        incoming: &Incoming,
        header: &Header,
        reader: &mut Reader<'_>,
        now_ms: u64,
    ) -> Result<Reply, Refused> {
        let (cluster, endpoint) = (incoming.aps.cluster, incoming.aps.source);
        if power::is_check_in(cluster, header) {
            let awake_quarter_s = poll_control::awake_quarter_s(self.zones(device).len());
            let message = power::check_in_response(header, awake_quarter_s);
            self.send(incoming.nwk, to_cluster(cluster, endpoint, message), now_ms);
            self.ask_zones(device, now_ms);
            return Ok(Reply::Given);
        }
        if cluster == Role::Keypad.cluster() {
            return self.hear_keypad(device, incoming, header, reader, now_ms);
        }
        let role = self.memory.nodes.get(&device).and_then(|node| node.role(endpoint));
        if role == Some(Role::Lock) && (cluster == Role::Lock.cluster() || cluster == bolts::ALARMS) {
            return self.hear_bolt((device, endpoint), incoming, header, reader, now_ms);
        }
        if cluster != ias::CLUSTER {
            return Ok(Reply::Status(Status::UNSUPPORTED_CLUSTER_COMMAND));
        }
        match FromZone::parse(header, reader)? {
            FromZone::StatusChange(change) => Ok(self.status(device, incoming, header, change.status, now_ms)),
            FromZone::EnrollRequest { zone_type, .. } => {
                let joining = self.interviews.get_mut(&device);
                let zone_id = match joining {
                    Some(interview) => {
                        interview.enroll_requested(endpoint, zone_type.code(), now_ms);
                        interview.zone_id(endpoint)
                    }
                    None => self.zone(device, endpoint).map(|zone| zone.zone_id),
                };
                let (code, id) = match zone_id {
                    Some(id) => (EnrollCode::Success, id),
                    None => (EnrollCode::NoEnrollPermit, 0xFF),
                };
                let message = ias::enroll_response(header.tsn, code, id);
                self.send(incoming.nwk, to_cluster(cluster, endpoint, message), now_ms);
                Ok(Reply::Given)
            }
        }
    }

    /// What a node is to the panel, by endpoint.
    pub(crate) fn devices(&self, device: Eui64) -> BTreeMap<u8, Option<DeviceKind>> {
        self.memory.nodes.get(&device).map(Node::devices).unwrap_or_default()
    }

    pub(crate) fn zones(&self, device: Eui64) -> Vec<Zone> {
        self.memory.nodes.get(&device).map(|node| node.zones.clone()).unwrap_or_default()
    }

    fn zone(&self, device: Eui64, endpoint: u8) -> Option<Zone> {
        self.zones(device).into_iter().find(|zone| zone.endpoint == endpoint)
    }

    pub(crate) fn id(&self, device: Eui64, endpoint: u8) -> DeviceId {
        device.device((self.devices(device).len() > 1).then_some(endpoint))
    }

    /// A detector's word. Its answer waits until the word is recorded.
    fn status(
        &mut self,
        device: Eui64,
        incoming: &Incoming,
        header: &Header,
        status: ZoneStatus,
        now_ms: u64,
    ) -> Reply {
        let endpoint = incoming.aps.source;
        let Some(zone) = self.zone(device, endpoint) else {
            if self.interviews.contains_key(&device) {
                // What it says is read back at the end of its interview, and nobody guards with it yet.
                return Reply::Status(Status::SUCCESS);
            }
            self.unreadable(device, endpoint);
            return Reply::Status(Status::UNSUPPORTED_CLUSTER);
        };
        self.asking.settled((device, endpoint));
        let default = default_response(incoming, header, Status::SUCCESS);
        let from = (device, endpoint, incoming.aps.cluster);
        let (tsn, aps) = (header.tsn, incoming.aps.sequence);
        if let Some(again) = self.words.again(&Said { from, tsn, aps, bytes: &incoming.message, at_ms: now_ms }) {
            self.counters.repeated += 1;
            match (again, default) {
                (Again::Done, _) => return Reply::Status(Status::SUCCESS),
                (Again::Waits(answer), Some(message)) => self.words.hold_again(answer, incoming.nwk, message),
                (Again::Waits(_), None) => {}
            }
            return Reply::Later;
        }
        let id = self.id(device, endpoint);
        let statement = Statement::of(zone.zone_type(), self.known.get(&id).copied(), status);
        let Some(mut report) = statement.report(id, Authenticated::MacCounter) else {
            return Reply::Status(Status::SUCCESS);
        };
        report.rssi_dbm = Some(i16::from(incoming.rssi_dbm));
        report.lqi = Some(incoming.lqi);
        // Some detectors tell a low battery here, some only in per cent: low is what either says.
        let weak = self.memory.nodes.get(&device).is_some_and(|node| node.weak);
        report.low_battery = Some(statement.low_battery || weak);
        let answer = default.map(|message| self.words.hold(incoming.nwk, message));
        let own = (header.scope == Scope::Cluster).then_some(header.tsn);
        let word = Word { own, aps, at_ms: now_ms, report: report.clone() };
        match self.words.order((device, endpoint), word) {
            Order::Newest => self.out.push_back(Out::Report(report, answer)),
            // What it watched for was there, and is gone or not by what it said later: both are told, in that order.
            Order::Overtaken(newest) if active(&report) => {
                self.out.push_back(Out::Report(report, answer));
                self.out.push_back(Out::Report(newest, None));
                self.asking.ask((device, endpoint), now_ms);
            }
            // "Closed" or "clear" that a later word has overtaken says nothing of now. It is asked again, because what
            // looks overtaken may only be oddly numbered.
            Order::Overtaken(_) => {
                self.counters.overtaken += 1;
                self.asking.ask((device, endpoint), now_ms);
                answer.into_iter().for_each(|answer| self.recorded(answer, now_ms));
            }
        }
        Reply::Later
    }

    /// What a device tells of its battery, under each of its functions, and what it measures, under the first.
    fn reading(&mut self, device: Eui64, incoming: &Incoming, reading: &Reading, now_ms: u64) {
        if let (Some(weak), Some(node)) = (reading.low_battery, self.memory.nodes.get_mut(&device))
            && std::mem::replace(&mut node.weak, weak) != weak
        {
            self.keeping.want(now_ms);
        }
        let devices = self.devices(device);
        for (endpoint, kind) in &devices {
            let id = self.id(device, *endpoint);
            let Some(kind) = self.known.get(&id).copied().or(*kind) else { continue };
            let mut report = Report::silent(id, kind, Authenticated::MacCounter);
            report.battery_percent = reading.battery_percent;
            // That it is no longer low is said with the next status, which knows the detector's own bit too.
            report.low_battery = reading.low_battery.filter(|low| *low);
            report.rssi_dbm = Some(i16::from(incoming.rssi_dbm));
            report.lqi = Some(incoming.lqi);
            self.out.push_back(Out::Report(report, None));
        }
        let values = reading.measured();
        if let Some((first, _)) = devices.first_key_value().filter(|_| !values.is_empty()) {
            let id = self.id(device, *first);
            self.out.push_back(Out::Measured(id, values));
        }
    }
}

/// What a message is answered with.
pub(crate) enum Reply {
    /// It has its answer already, or wants none.
    Given,
    /// It is answered when it is recorded.
    Later,
    /// This, at once, if it wants an answer.
    Status(Status),
}

/// The Default Response to a message, if one is wanted.
pub(crate) fn default_response(incoming: &Incoming, header: &Header, status: Status) -> Option<Message> {
    let wanted = !incoming.broadcast && header.wants_default_response();
    wanted.then(|| {
        let mut message = to_cluster(incoming.aps.cluster, incoming.aps.source, header.default_response(status));
        message.aps.profile = incoming.aps.profile;
        message
    })
}
