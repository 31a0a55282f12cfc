//! The devices' half of ZCL: headers, general commands, IAS Zone, Poll Control (tables in zigbee.md §2).
//!
//! What a cluster does not serve is refused with the status ZCL gives for it, never guessed.

use super::bytes::Eui64;
use super::bytes::Reader;
use super::bytes::Short;
use super::bytes::Writer;
use super::device::Act;
use super::device::Device;
use super::device::Doing;
use super::device::Message;
use super::function::Heard;
use super::function::Reply;
use super::function::Turn;
use super::habits::Enrolment;
use super::log::Log;
use std::time::Duration;

/// IAS Zone.
pub const IAS_ZONE: u16 = 0x0500;
pub(super) const BASIC: u16 = 0x0000;
pub(super) const POWER: u16 = 0x0001;
pub(super) const IDENTIFY: u16 = 0x0003;
pub(super) const POLL_CONTROL: u16 = 0x0020;
pub(super) const DIAGNOSTICS: u16 = 0x0B05;
/// OTA upgrade, which a detector asks for as a client.
pub const OTA: u16 = 0x0019;

/// What almost each device serves, beside Diagnostics.
pub(super) const SERVED: [u16; 4] = [BASIC, POWER, IDENTIFY, POLL_CONTROL];

/// The most attributes told in one answer to a discovery.
const DISCOVERED_MOST: u8 = 24;

/// Default Response.
pub const DEFAULT_RESPONSE: u8 = 0x0B;

pub(super) const SUCCESS: u8 = 0x00;
const MALFORMED: u8 = 0x80;
const UNSUPPORTED_COMMAND: u8 = 0x81;
const UNSUPPORTED_GENERAL: u8 = 0x82;
pub(super) const UNSUPPORTED_ATTRIBUTE: u8 = 0x86;
const UNSUPPORTED_CLUSTER: u8 = 0xC3;

/// A ZCL header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// It belongs to the cluster, not to all of them.
    pub specific: bool,
    /// From the server.
    pub from_server: bool,
    /// No Default Response, please.
    pub no_response: bool,
    /// Whose command it is; nobody's for a standard one.
    pub manufacturer: Option<u16>,
    /// Transaction sequence number.
    pub sequence: u8,
    /// Command.
    pub command: u8,
}

impl Header {
    /// Reads one.
    ///
    /// # Errors
    /// There are too few bytes.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, Short> {
        let control = r.u8()?;
        let manufacturer = if control & 0x04 == 0 { None } else { Some(r.u16()?) };
        Ok(Self {
            specific: control & 3 == 1,
            from_server: control & 0x08 != 0,
            no_response: control & 0x10 != 0,
            manufacturer,
            sequence: r.u8()?,
            command: r.u8()?,
        })
    }
}

/// The cluster and sequence number that a Default Response is for; a zone's is for its notification.
pub fn answered(message: &Message) -> Option<(u16, u8)> {
    let mut r = Reader(&message.payload);
    let header = Header::read(&mut r).ok()?;
    let fits = message.profile != 0 && !header.specific && header.command == DEFAULT_RESPONSE;
    let command = r.u8().ok()?;
    (fits && (message.cluster != IAS_ZONE || command == 0)).then_some((message.cluster, header.sequence))
}

impl Device {
    pub(super) fn hears_zcl(&mut self, now: Duration, message: &Message, encrypted: bool, log: &mut Log) -> Vec<Doing> {
        let mut r = Reader(&message.payload);
        let Ok(header) = Header::read(&mut r) else { return Vec::new() };
        if ![self.habits.endpoint, 0xFF].contains(&message.destination) {
            return Vec::new();
        }
        let heard = Heard { now, cluster: message.cluster, header, encrypted };
        if header.from_server {
            return self.server_says(message, &heard, r, log);
        }
        let done = if !self.served().contains(&message.cluster) {
            Ok(Answer::Status(UNSUPPORTED_CLUSTER))
        } else if header.manufacturer.is_some() {
            Ok(Answer::Status(if header.specific { 0x83 } else { 0x84 }))
        } else if let Some(part) = self.function.part_mut().filter(|part| header.specific && part.serves(&heard)) {
            part.command(&heard, r).map(Answer::Function)
        } else if header.specific {
            self.specific(message.cluster, &header, r)
        } else {
            self.general(message.cluster, &header, r)
        };
        let mut late = Duration::ZERO;
        let (mut doings, reply) = match done.unwrap_or(Answer::Status(MALFORMED)) {
            Answer::Nothing => return Vec::new(),
            Answer::Does(doings) => (doings, Reply::Nothing),
            Answer::Status(status) => (Vec::new(), Reply::Status(status)),
            Answer::DoesAnd(doings, command, body) => (doings, Reply::Command(command, body)),
            Answer::Function(turn) => {
                late = turn.after;
                let mut doings = self.fulfils(now, turn.wishes, log);
                // What it has to say beside comes behind its answer.
                for doing in &mut doings {
                    if let Doing::Say { after, .. } = doing {
                        *after += late + self.habits.thinks * 2;
                    }
                }
                (doings, turn.reply)
            }
        };
        if let Some(payload) = reply_to(&header, 0x18, reply) {
            doings.insert(0, self.say(self.habits.thinks + late, self.reply(message, payload)));
        }
        doings
    }

    /// A server speaks to one of its client clusters.
    fn server_says(&mut self, message: &Message, heard: &Heard, r: Reader<'_>, log: &mut Log) -> Vec<Doing> {
        if message.cluster == OTA {
            return self.as_client(message, &heard.header, r).unwrap_or_default();
        }
        let Some(part) = self.function.part_mut() else { return Vec::new() };
        let turn = match part.server_says(heard, r) {
            Ok(None) => return Vec::new(),
            Ok(Some(turn)) => turn,
            Err(Short) => Turn::status(MALFORMED),
        };
        let mut doings = self.fulfils(heard.now, turn.wishes, log);
        if let Some(payload) = reply_to(&heard.header, 0x10, turn.reply) {
            doings.insert(0, self.say(self.habits.thinks, self.reply(message, payload)));
        }
        doings
    }

    fn reply(&self, to: &Message, payload: Vec<u8>) -> Message {
        let (source, destination) = (self.habits.endpoint, to.source);
        Message { profile: to.profile, cluster: to.cluster, source, destination, payload }
    }

    /// Its client clusters have attributes too; hosts ask OTA for the version it runs.
    fn as_client(&self, message: &Message, header: &Header, mut r: Reader<'_>) -> Result<Vec<Doing>, Short> {
        if message.cluster != OTA || header.specific || header.command != 0x00 {
            return Ok(Vec::new());
        }
        let mut out = Writer::new().u8(0x10).u8(header.sequence).u8(0x01);
        while !r.0.is_empty() {
            let id = r.u16()?;
            out = match id {
                0x0002 => out.u16(id).u8(SUCCESS).u8(0x23).u32(0x0000_0001),
                0x0006 => out.u16(id).u8(SUCCESS).u8(0x30).u8(0),
                _ => out.u16(id).u8(UNSUPPORTED_ATTRIBUTE),
            };
        }
        Ok(vec![self.say(self.habits.thinks, self.reply(message, out.done()))])
    }

    fn general(&mut self, cluster: u16, header: &Header, mut r: Reader<'_>) -> Result<Answer, Short> {
        Ok(match header.command {
            0x00 => {
                let mut out = Writer::new();
                while !r.0.is_empty() {
                    let id = r.u16()?;
                    out = match self.attribute(cluster, id) {
                        Some((kind, bytes)) => out.u16(id).u8(SUCCESS).u8(kind).bytes(&bytes),
                        None => out.u16(id).u8(UNSUPPORTED_ATTRIBUTE),
                    };
                }
                Answer::DoesAnd(Vec::new(), 0x01, out.done())
            }
            0x02 | 0x03 | 0x05 => {
                let (doings, failed) = self.writes(cluster, r)?;
                let body = if failed.is_empty() { vec![SUCCESS] } else { failed };
                if header.command == 0x05 { Answer::Does(doings) } else { Answer::DoesAnd(doings, 0x04, body) }
            }
            0x06 => {
                let (doings, failed) = self.configures(cluster, r)?;
                let body = if failed.is_empty() { vec![SUCCESS] } else { failed };
                Answer::DoesAnd(doings, 0x07, body)
            }
            0x08 => Answer::DoesAnd(Vec::new(), 0x09, self.configured(cluster, r)?),
            0x0C => {
                let (start, most) = (r.u16()?, r.u8()?.min(DISCOVERED_MOST));
                let ranges = (0x0000..=0x0047).chain(0x011C..=0x011D).chain(0x4000..=0x4003).chain(0xFFFD..=0xFFFD);
                let known = ranges.filter(|id| *id >= start);
                let mut found = known.filter_map(|id| self.attribute(cluster, id).map(|(kind, _)| (id, kind)));
                let told: Vec<_> = found.by_ref().take(usize::from(most)).collect();
                let complete = u8::from(found.next().is_none());
                let out = told.iter().fold(Writer::new().u8(complete), |out, (id, kind)| out.u16(*id).u8(*kind));
                Answer::DoesAnd(Vec::new(), 0x0D, out.done())
            }
            DEFAULT_RESPONSE if cluster == IAS_ZONE && r.u8()? == 0 => Answer::Does(self.has_response(header.sequence)),
            0x01 | 0x04 | 0x07 | 0x09..=0x0B => Answer::Nothing,
            _ => Answer::Status(UNSUPPORTED_GENERAL),
        })
    }

    fn specific(&mut self, cluster: u16, header: &Header, mut r: Reader<'_>) -> Result<Answer, Short> {
        Ok(match (cluster, header.command) {
            (IAS_ZONE, 0x00) => {
                let (code, zone) = (r.u8()?, r.u8()?);
                // One that is enrolled when it is tripped has asked, and takes nothing but its answer.
                let unasked = self.asked != Some(header.sequence);
                let deaf = unasked && self.habits.enrolment == Enrolment::WhenTripped;
                if code == 0 && self.cie != Eui64::BLANK && !deaf {
                    self.zone_state = 1;
                    self.zone_id = zone;
                }
                Answer::Status(SUCCESS)
            }
            (IAS_ZONE, 0x01) => Answer::Status(SUCCESS),
            (POLL_CONTROL, 0x00) => {
                let (fast, quarters) = (r.u8()?, r.u16()?);
                if fast != 0 {
                    self.awake_until += Duration::from_millis(250) * u32::from(quarters);
                }
                Answer::Status(SUCCESS)
            }
            (POLL_CONTROL, 0x01) => Answer::Status(SUCCESS),
            (POLL_CONTROL, 0x02) => {
                self.habits.long_poll = Duration::from_millis(250) * r.u32()?.max(1);
                Answer::Status(SUCCESS)
            }
            (POLL_CONTROL, 0x03) => {
                self.habits.short_poll = Duration::from_millis(250) * u32::from(r.u16()?.max(1));
                Answer::Status(SUCCESS)
            }
            (IDENTIFY, 0x00) => Answer::Status(SUCCESS),
            _ => Answer::Status(UNSUPPORTED_COMMAND),
        })
    }

    /// The next check-in, when it has an interval.
    pub(super) fn next_check_in(&self) -> Option<Doing> {
        let act = Act::CheckIn { round: self.check_in_round };
        (self.check_in > 0).then(|| Doing::Later { after: Duration::from_millis(250) * self.check_in, act })
    }

    pub(super) fn checks_in(&mut self) -> Vec<Doing> {
        let bound = self.bindings.iter().find(|binding| binding.cluster == POLL_CONTROL).copied();
        let check_in = bound.map(|binding| {
            let payload = vec![0x09, self.next_sequence(), 0x00];
            let (source, destination) = (self.habits.endpoint, binding.target_endpoint);
            let message = Message { profile: 0x0104, cluster: POLL_CONTROL, source, destination, payload };
            self.say(Duration::ZERO, message)
        });
        check_in.into_iter().chain(self.next_check_in()).collect()
    }

    pub(super) fn asks_to_enrol(&mut self) -> Doing {
        let sequence = self.next_sequence();
        self.asked = Some(sequence);
        let out = Writer::new().u8(0x19).u8(sequence).u8(0x01).u16(self.zone_type()).u16(0x1286);
        self.say(self.habits.thinks, self.to_centre(out.done()))
    }

    pub(super) fn notification(&self, sequence: u8) -> Message {
        let control = if self.habits.wants_response { 0x09 } else { 0x19 };
        let out = Writer::new().u8(control).u8(sequence).u8(0x00).u16(self.status).u8(0);
        let out = if self.habits.short_form { out } else { out.u8(self.zone_id).u16(0) };
        self.to_centre(out.done())
    }

    fn to_centre(&self, payload: Vec<u8>) -> Message {
        Message { profile: 0x0104, cluster: IAS_ZONE, source: self.habits.endpoint, destination: 1, payload }
    }
}

/// The ZCL frame that answers, if one is due: general commands with this frame control, the cluster's as the same side.
fn reply_to(header: &Header, control: u8, reply: Reply) -> Option<Vec<u8>> {
    match reply {
        Reply::Nothing => None,
        Reply::Status(SUCCESS) if header.no_response => None,
        Reply::Status(status) => Some(vec![control, header.sequence, DEFAULT_RESPONSE, header.command, status]),
        Reply::Command(command, body) => {
            let control = control | u8::from(header.specific);
            Some([vec![control, header.sequence, command], body].concat())
        }
    }
}

enum Answer {
    /// None at all, not even a Default Response.
    Nothing,
    /// It only does something.
    Does(Vec<Doing>),
    /// A Default Response.
    Status(u8),
    /// It does something and answers with this command.
    DoesAnd(Vec<Doing>, u8, Vec<u8>),
    /// What its function makes of it.
    Function(Turn),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twins::ncp::habits::Habits;
    use crate::twins::ncp::habits::Kind;

    fn contact() -> Device {
        Device::new("door", Eui64(0x1122_3344_5566_7788), Habits::of(Kind::Contact))
    }

    fn hears(device: &mut Device, cluster: u16, payload: &[u8]) -> Vec<Vec<u8>> {
        let message = Message { profile: 0x0104, cluster, source: 1, destination: 1, payload: payload.to_vec() };
        let said = |doing| match doing {
            Doing::Say { message, .. } => Some(message.payload),
            _ => None,
        };
        let doings = device.hears(Duration::ZERO, &message, false, &mut Log::default());
        doings.into_iter().filter_map(said).collect()
    }

    #[test]
    fn the_hubs_address_is_written_and_read_back() {
        let mut door = contact();
        let written = hears(&mut door, IAS_ZONE, &[0x10, 7, 0x02, 0x10, 0, 0xF0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(written, [[0x18, 7, 0x04, 0x00]]);
        let read = hears(&mut door, IAS_ZONE, &[0x00, 8, 0x00, 0x10, 0x00, 0x99, 0x00]);
        assert_eq!(read, [[0x18, 8, 0x01, 0x10, 0, 0, 0xF0, 1, 2, 3, 4, 5, 6, 7, 8, 0x99, 0, 0x86].to_vec()]);
    }
}
