//! The attributes of a virtual device: reading, writing, reporting.

use super::bytes::Eui64;
use super::bytes::Reader;
use super::bytes::Short;
use super::bytes::Writer;
use super::device::Act;
use super::device::Device;
use super::device::Doing;
use super::device::Message;
use super::device::Reporting;
use super::habits::Enrolment;
use super::habits::Kind;
use super::zcl::BASIC;
use super::zcl::DIAGNOSTICS;
use super::zcl::IAS_ZONE;
use super::zcl::IDENTIFY;
use super::zcl::POLL_CONTROL;
use super::zcl::POWER;
use super::zcl::SUCCESS;
use super::zcl::UNSUPPORTED_ATTRIBUTE;
use std::time::Duration;

const READ_ONLY: u8 = 0x88;
const UNREPORTABLE: u8 = 0x8C;
const WRONG_TYPE: u8 = 0x8D;

/// The value's bytes at the front of `r`, by its type. `None`: a type this detector does not know.
fn value<'a>(kind: u8, r: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Short> {
    let count = match kind {
        0x08 | 0x10 | 0x18 | 0x20 | 0x28 | 0x30 => 1,
        0x09 | 0x19 | 0x21 | 0x29 | 0x31 | 0x38 => 2,
        0x22 | 0x2A => 3,
        0x1B | 0x23 | 0x2B | 0x39 | 0xE2 => 4,
        0x25 => 6,
        0x27 | 0xF0 => 8,
        0x41 | 0x42 => return r.counted().map(Some),
        _ => return Ok(None),
    };
    r.take(count).map(Some)
}

/// Whether reporting of this type is configured with a reportable change.
fn analog(kind: u8) -> bool {
    matches!(kind, 0x20..=0x2F | 0x38..=0x3A | 0xE0..=0xE2)
}

impl Device {
    /// Its zone type; "invalid" for what is no zone.
    pub(super) fn zone_type(&self) -> u16 {
        self.habits.kind.zone_type().unwrap_or(0xFFFF)
    }

    /// Type and value of an attribute.
    pub(super) fn attribute(&self, cluster: u16, id: u16) -> Option<(u8, Vec<u8>)> {
        let text = |text: &str| Writer::new().counted(text.as_bytes()).done();
        let word = |value: u16| value.to_le_bytes().to_vec();
        let quarters = |time: Duration| u32::try_from(time.as_millis() / 250).unwrap_or(u32::MAX);
        let low = self.status & 8 != 0;
        Some(match (cluster, id) {
            (BASIC, 0x0000) => (0x20, vec![3]),
            (BASIC, 0x0001..=0x0003) => (0x20, vec![1]),
            (BASIC, 0x0004) => (0x42, text(&self.habits.manufacturer)),
            (BASIC, 0x0005) => (0x42, text(&self.habits.model)),
            (BASIC, 0x0006) => (0x42, text("20260101")),
            // A siren on the mains has a battery behind it.
            (BASIC, 0x0007) => match (self.habits.sleepy, self.habits.kind) {
                (true, _) => (0x30, vec![3]),
                (false, Kind::Siren) => (0x30, vec![0x81]),
                (false, _) => (0x30, vec![1]),
            },
            (BASIC, 0x4000) => (0x42, text("1.0.0")),
            (POWER, 0x0020) => (0x20, vec![if low { 21 } else { 30 }]),
            (POWER, 0x0021) => (0x20, vec![self.battery]),
            (POWER, 0x003E) => (0x1B, u32::from(low).to_le_bytes().to_vec()),
            (IDENTIFY, 0x0000) => (0x21, word(0)),
            (POLL_CONTROL, 0x0000) => (0x23, self.check_in.to_le_bytes().to_vec()),
            (POLL_CONTROL, 0x0001) => (0x23, quarters(self.habits.long_poll).to_le_bytes().to_vec()),
            (POLL_CONTROL, 0x0002) => {
                (0x21, word(u16::try_from(quarters(self.habits.short_poll)).unwrap_or(u16::MAX).max(1)))
            }
            (POLL_CONTROL, 0x0003) => (0x21, word(40)),
            (IAS_ZONE, 0x0000) => (0x30, vec![self.zone_state]),
            (IAS_ZONE, 0x0001) => (0x31, word(self.zone_type())),
            (IAS_ZONE, 0x0002) => (0x19, word(self.status)),
            (IAS_ZONE, 0x0010) => (0xF0, self.cie.0.to_le_bytes().to_vec()),
            (IAS_ZONE, 0x0011) => (0x20, vec![self.zone_id]),
            (DIAGNOSTICS, 0x011C) => (0x20, vec![200]),
            (DIAGNOSTICS, 0x011D) => (0x28, vec![0xCE]),
            (_, 0xFFFD) => (0x21, word(1)),
            _ => return self.function.part().and_then(|part| part.attribute(cluster, id)),
        })
    }

    pub(super) fn writes(&mut self, cluster: u16, mut r: Reader<'_>) -> Result<(Vec<Doing>, Vec<u8>), Short> {
        let mut doings = Vec::new();
        let mut failed = Writer::new();
        while !r.0.is_empty() {
            let (id, kind) = (r.u16()?, r.u8()?);
            let Some(bytes) = value(kind, &mut r)? else { return Ok((doings, failed.u8(WRONG_TYPE).u16(id).done())) };
            let status = match (self.attribute(cluster, id), cluster, id) {
                (None, _, _) => UNSUPPORTED_ATTRIBUTE,
                (Some((own, _)), _, _) if own != kind => WRONG_TYPE,
                (_, IAS_ZONE, 0x0010) => {
                    self.cie = Reader(bytes).eui()?;
                    // Another centre, or none: whoever enrolled it before has lost it.
                    if self.cie == Eui64::BLANK {
                        (self.zone_state, self.zone_id) = (0, 0xFF);
                    } else if self.habits.enrolment == Enrolment::AutoRequest && self.zone_state == 0 {
                        doings.push(self.asks_to_enrol());
                    }
                    SUCCESS
                }
                (_, POLL_CONTROL, 0x0000) => {
                    self.check_in = Reader(bytes).u32()?;
                    self.check_in_round += 1;
                    doings.extend(self.next_check_in());
                    SUCCESS
                }
                (_, POLL_CONTROL, 0x0003) | (_, IDENTIFY, 0x0000) => SUCCESS,
                _ => {
                    let written = self.function.part_mut().and_then(|part| part.write(cluster, id, bytes));
                    written.unwrap_or(READ_ONLY)
                }
            };
            if status != SUCCESS {
                failed = failed.u8(status).u16(id);
            }
        }
        Ok((doings, failed.done()))
    }

    pub(super) fn configures(&mut self, cluster: u16, mut r: Reader<'_>) -> Result<(Vec<Doing>, Vec<u8>), Short> {
        let mut doings = Vec::new();
        let mut failed = Writer::new();
        while !r.0.is_empty() {
            let (direction, id) = (r.u8()?, r.u16()?);
            if direction != 0 {
                r.u16()?;
                failed = failed.u8(UNREPORTABLE).u8(direction).u16(id);
                continue;
            }
            let (kind, least, most) = (r.u8()?, r.u16()?, r.u16()?);
            if analog(kind) && value(kind, &mut r)?.is_none() {
                return Ok((doings, failed.u8(WRONG_TYPE).u8(0).u16(id).done()));
            }
            let reportable = match (cluster, id) {
                (POWER, 0x0020 | 0x0021 | 0x003E) => true,
                (IAS_ZONE, 0x0002) => self.habits.status_reportable,
                _ => self.function.part().is_some_and(|part| part.reportable(cluster, id)),
            };
            let status = match self.attribute(cluster, id) {
                None => UNSUPPORTED_ATTRIBUTE,
                Some((own, _)) if own != kind => WRONG_TYPE,
                Some(_) if !reportable => UNREPORTABLE,
                Some(_) => SUCCESS,
            };
            if status == SUCCESS {
                self.rounds += 1;
                self.reporting.insert((cluster, id), Reporting { most, least, round: self.rounds });
                doings.extend(self.next_report(cluster, id));
            } else {
                failed = failed.u8(status).u8(0).u16(id);
            }
        }
        Ok((doings, failed.done()))
    }

    pub(super) fn configured(&self, cluster: u16, mut r: Reader<'_>) -> Result<Vec<u8>, Short> {
        let mut out = Writer::new();
        while !r.0.is_empty() {
            let (direction, id) = (r.u8()?, r.u16()?);
            out = match (self.reporting.get(&(cluster, id)), self.attribute(cluster, id)) {
                (Some(reporting), Some((kind, bytes))) => {
                    let out = out.u8(SUCCESS).u8(direction).u16(id).u8(kind).u16(reporting.least).u16(reporting.most);
                    if analog(kind) { out.bytes(&vec![0; bytes.len()]) } else { out }
                }
                _ => out.u8(0x8B).u8(direction).u16(id),
            };
        }
        Ok(out.done())
    }

    fn next_report(&self, cluster: u16, attribute: u16) -> Option<Doing> {
        let reporting = self.reporting.get(&(cluster, attribute))?;
        let act = Act::Report { cluster, attribute, round: reporting.round };
        let timed = ![0, 0xFFFF].contains(&reporting.most);
        timed.then(|| Doing::Later { after: Duration::from_secs(u64::from(reporting.most)), act })
    }

    /// An attribute has another value: reported, if reporting was configured, and the next by time counts from here.
    pub(super) fn changed(&mut self, cluster: u16, attribute: u16) -> Vec<Doing> {
        let Some(reporting) = self.reporting.get_mut(&(cluster, attribute)) else { return Vec::new() };
        self.rounds += 1;
        reporting.round = self.rounds;
        self.reports(cluster, attribute)
    }

    /// A report of one attribute, to whom it is bound, and the next one in time.
    pub(super) fn reports(&mut self, cluster: u16, attribute: u16) -> Vec<Doing> {
        let next = self.next_report(cluster, attribute);
        let bound = self.bindings.iter().find(|binding| binding.cluster == cluster).copied();
        let report = bound.and_then(|binding| {
            let (kind, bytes) = self.attribute(cluster, attribute)?;
            let sequence = self.next_sequence();
            let out = Writer::new().u8(0x18).u8(sequence).u8(0x0A).u16(attribute).u8(kind).bytes(&bytes);
            let (source, destination) = (self.habits.endpoint, binding.target_endpoint);
            let message = Message { profile: 0x0104, cluster, source, destination, payload: out.done() };
            Some(self.say(Duration::ZERO, message))
        });
        report.into_iter().chain(next).collect()
    }
}
