//! What a node says, once it is known who it is: an announcement, an answer, a detector's word.
//!
//! A word that cannot be read is counted and answered as malformed; it is never "closed" and never "clear".

use crate::zigbee::bytes::Reader;
use crate::zigbee::eui64::Eui64;
use crate::zigbee::ezsp_answer::Incoming;
use crate::zigbee::host::Host;
use crate::zigbee::host::Out;
use crate::zigbee::ias;
use crate::zigbee::ias::EnrollCode;
use crate::zigbee::ias::FromZone;
use crate::zigbee::ias::ZoneAttributes;
use crate::zigbee::ias::ZoneStatus;
use crate::zigbee::ias_meaning::Statement;
use crate::zigbee::interview;
use crate::zigbee::interview::Answer;
use crate::zigbee::interview::Stage;
use crate::zigbee::interview::to_cluster;
use crate::zigbee::memory::Zone;
use crate::zigbee::power;
use crate::zigbee::power::Reading;
use crate::zigbee::refused::Refused;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Scope;
use crate::zigbee::zcl::Status;
use crate::zigbee::zcl_global::Global;
use crate::zigbee::zdo;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::device::Report;

/// How long a device stays awake after a check-in for what the hub asks, quarters of a second.
const AWAKE_QUARTER_S: u16 = 16;

impl Host {
    /// A message of this device.
    pub(crate) fn hear(&mut self, device: Eui64, incoming: &Incoming, now_ms: u64) {
        if incoming.aps.profile == 0 {
            return self.hear_zdo(device, incoming, now_ms);
        }
        self.moved(device, incoming.nwk);
        let known = self.memory.nodes.contains_key(&device) || self.interviews.contains_key(&device);
        if !known {
            self.counters.strangers += 1;
            return;
        }
        let mut reader = match Reader::new(&incoming.message) {
            Ok(reader) => reader,
            Err(_) => return self.counters.unreadable += 1,
        };
        let Ok(header) = Header::parse(&mut reader) else {
            self.counters.unreadable += 1;
            return;
        };
        let heard = match header.scope {
            Scope::Global => self.hear_global(device, incoming, &header, &mut reader, now_ms),
            Scope::Cluster => self.hear_cluster(device, incoming, &header, &mut reader, now_ms),
        };
        match heard {
            Ok(Reply::Given | Reply::Later) => {}
            Ok(Reply::Status(status)) => self.answer(incoming, &header, status, now_ms),
            Err(_) => {
                self.counters.unreadable += 1;
                self.answer(incoming, &header, Status::MALFORMED_COMMAND, now_ms);
            }
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
            self.moved(device, nwk);
            if let Some(interview) = self.interviews.get_mut(&device) {
                interview.announced(nwk, capability.sleepy(), now_ms);
                self.tell(device, Stage::Keys, "it has the network's key");
            } else {
                // It was away: what it says now is the truth.
                self.read_zones(device, now_ms);
            }
            return;
        }
        if let Some(interview) = self.interviews.get_mut(&device) {
            interview.answered(tsn, &Answer::Zdo(heard), now_ms);
        }
    }

    /// Asks a device how it stands.
    pub(crate) fn read_zones(&mut self, device: Eui64, now_ms: u64) {
        let Some(nwk) = self.memory.nodes.get(&device).map(|node| node.nwk) else { return };
        for Zone { endpoint, .. } in self.zones(device) {
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
        self.reading(device, incoming, &reading);
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
            let message = power::check_in_response(header, Some(AWAKE_QUARTER_S));
            self.send(incoming.nwk, to_cluster(cluster, endpoint, message), now_ms);
            self.read_zones(device, now_ms);
            return Ok(Reply::Given);
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

    fn zones(&self, device: Eui64) -> Vec<Zone> {
        self.memory.nodes.get(&device).map(|node| node.zones.clone()).unwrap_or_default()
    }

    fn zone(&self, device: Eui64, endpoint: u8) -> Option<Zone> {
        self.zones(device).into_iter().find(|zone| zone.endpoint == endpoint)
    }

    fn id(&self, device: Eui64, endpoint: u8) -> DeviceId {
        device.device((self.zones(device).len() > 1).then_some(endpoint))
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
            // Its interview is not over: what it says is read back at the end, and nobody guards with it yet.
            return Reply::Status(Status::SUCCESS);
        };
        let from = (device, endpoint, incoming.aps.cluster);
        if let Some(answer) = self.again(from, &incoming.message, now_ms) {
            self.counters.repeated += 1;
            // While the first one waits to be recorded its answer waits too, and then serves both.
            let waits = answer.is_some_and(|answer| self.holds(answer));
            return if waits { Reply::Later } else { Reply::Status(Status::SUCCESS) };
        }
        let id = self.id(device, endpoint);
        let statement = Statement::of(zone.zone_type(), self.known.get(&id).copied(), status);
        let Some(mut report) = statement.report(id, Authenticated::MacCounter) else {
            return Reply::Status(Status::SUCCESS);
        };
        report.rssi_dbm = Some(i16::from(incoming.rssi_dbm));
        report.lqi = Some(incoming.lqi);
        // Some detectors tell a low battery here, some only in per cent: low is what either says.
        report.low_battery = Some(statement.low_battery || self.weak.contains(&device));
        let answer =
            default_response(incoming, header, Status::SUCCESS).map(|message| self.hold(incoming.nwk, message));
        if let Some(recent) = self.recent.back_mut() {
            recent.answer = answer;
        }
        let own = (header.scope == Scope::Cluster).then_some(header.tsn);
        let word = Word { own, aps: incoming.aps.sequence, at_ms: now_ms, report: report.clone() };
        match self.newest.get(&(device, endpoint)).filter(|newest| word.is_older_than(newest)) {
            // What it watched for was there, and is gone or not by what it said later: both are told, in that order.
            Some(newest) if word.active() && word.own.is_some() => {
                let newest = newest.report.clone();
                self.out.push_back(Out::Report(report, answer));
                self.out.push_back(Out::Report(newest, None));
            }
            // "Closed" or "clear" that a later word has overtaken says nothing of now.
            Some(_) => {
                self.counters.overtaken += 1;
                answer.into_iter().for_each(|answer| self.recorded(answer, now_ms));
            }
            None => {
                self.newest.insert((device, endpoint), word);
                self.out.push_back(Out::Report(report, answer));
            }
        }
        Reply::Later
    }

    /// What a device tells of its battery, under each of its functions.
    fn reading(&mut self, device: Eui64, incoming: &Incoming, reading: &Reading) {
        match reading.low_battery {
            Some(true) => drop(self.weak.insert(device)),
            Some(false) => drop(self.weak.remove(&device)),
            None => {}
        }
        for zone in self.zones(device) {
            let id = self.id(device, zone.endpoint);
            let Some(kind) = self.kind(&id, zone) else { continue };
            let mut report = Report::silent(id, kind, Authenticated::MacCounter);
            report.battery_percent = reading.battery_percent;
            // That it is no longer low is said with the next status, which knows the detector's own bit too.
            report.low_battery = reading.low_battery.filter(|low| *low);
            report.rssi_dbm = Some(i16::from(incoming.rssi_dbm));
            report.lqi = Some(incoming.lqi);
            self.out.push_back(Out::Report(report, None));
        }
    }

    fn kind(&self, id: &DeviceId, zone: Zone) -> Option<DeviceKind> {
        self.known.get(id).copied().or_else(|| crate::zigbee::ias_meaning::kind_of(zone.zone_type()))
    }
}

/// A detector's newest word.
pub(crate) struct Word {
    /// The detector's own number of it; an answer to a question of the hub's has the question's instead.
    own: Option<u8>,
    /// Its radio's number, which counts everything the device sends.
    aps: u8,
    at_ms: u64,
    report: Report,
}

/// A word may be overtaken by so many others, safely less than half of what the numbers count to, and so much later, ms:
/// a detector tries an unheard one again for some 5 s.
const OVERTAKEN: (u8, u64) = (100, 10_000);

impl Word {
    /// Whether a later word has overtaken this one: both numbers say so, where both have them. One alone proves nothing
    /// of a notification, because some detectors count oddly.
    fn is_older_than(&self, newest: &Self) -> bool {
        let behind = |mine: u8, theirs: u8| (1..=OVERTAKEN.0).contains(&theirs.wrapping_sub(mine));
        behind(self.aps, newest.aps)
            && self.own.zip(newest.own).is_none_or(|(mine, theirs)| behind(mine, theirs))
            && self.at_ms.saturating_sub(newest.at_ms) <= OVERTAKEN.1
    }

    /// Whether it says that something is there, or wrong.
    fn active(&self) -> bool {
        let Report { state, tamper, fault, .. } = &self.report;
        matches!(state, Some(DeviceState::Open | DeviceState::Alarm)) || *tamper == Some(true) || *fault == Some(true)
    }
}

/// What a message is answered with.
enum Reply {
    /// It has its answer already, or wants none.
    Given,
    /// It is answered when it is recorded.
    Later,
    /// This, at once, if it wants an answer.
    Status(Status),
}

fn default_response(incoming: &Incoming, header: &Header, status: Status) -> Option<interview::Message> {
    let wanted = !incoming.broadcast && header.wants_default_response();
    wanted.then(|| {
        let mut message = to_cluster(incoming.aps.cluster, incoming.aps.source, header.default_response(status));
        message.aps.profile = incoming.aps.profile;
        message
    })
}
