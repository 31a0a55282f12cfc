//! What the devices said of themselves and what became of it: the judge of "nothing lost, nothing doubled".
//!
//! It is written by the twin alone; what a host claims to have seen is compared with it by the test.

use super::ash::Ticket;
use super::bytes::Eui64;
use serde::Serialize;
use std::time::Duration;

/// What became of one sending of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "at")]
pub enum Fate {
    /// The stick's radio was off, away on a scan, or drowned; the detector got no acknowledgement and knows it.
    Unheard,
    /// The stick has it and has not written it yet.
    Queued,
    /// The stick wrote it, first at this time.
    Written(Duration),
    /// The host acknowledged its ASH frame.
    Acked(Duration),
    /// The stick was reset with it in its hands: the radio had acknowledged, the host never heard.
    LostInReset(Duration),
    /// The stick had no room for it.
    LostInOverflow(Duration),
}

/// One sending over the radio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sending {
    /// When.
    pub at: Duration,
    /// What became of it.
    pub fate: Fate,
}

/// One thing that a device tells: a change of a zone, a key on a keypad, an event or alarm of a lock, however often it
/// sends it. Reports are not among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// Counts from 0 in the order of the changes.
    pub id: usize,
    /// When the detector changed.
    pub at: Duration,
    /// Its name.
    pub name: String,
    /// Its address.
    pub device: Eui64,
    /// Its endpoint.
    pub endpoint: u8,
    /// Of which cluster.
    pub cluster: u16,
    /// The ZCL sequence number.
    pub sequence: u8,
    /// The zone status; 0 for what is no zone's.
    pub status: u16,
    /// The ZCL frame.
    #[serde(serialize_with = "hex")]
    pub payload: Vec<u8>,
    /// Each time it went out.
    pub sendings: Vec<Sending>,
    /// When the host's Default Response for it was in the stick.
    pub default_response: Option<Duration>,
}

fn hex<S: serde::Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&crate::twins::ncp::hex(bytes))
}

impl Notice {
    /// The host has acknowledged at least one sending: it may not be lost any more.
    pub fn acked(&self) -> bool {
        self.sendings.iter().any(|sending| matches!(sending.fate, Fate::Acked(_)))
    }
}

/// All of it, in order.
#[derive(Debug, Default)]
pub struct Log {
    notices: Vec<Notice>,
}

impl Log {
    /// Everything, in the order of the changes.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// What the host must have: everything it acknowledged.
    pub fn acked(&self) -> impl Iterator<Item = &Notice> {
        self.notices.iter().filter(|notice| notice.acked())
    }

    /// Forgets all; a test that counts in rounds wants that. Tickets of frames still on their way stay valid and void.
    pub fn clear(&mut self) {
        self.notices.clear();
    }

    pub(super) fn open(&mut self, notice: Notice) -> usize {
        let id = self.notices.len();
        self.notices.push(Notice { id, ..notice });
        id
    }

    pub(super) fn sent(&mut self, now: Duration, id: usize, fate: Fate) -> Option<Ticket> {
        let sendings = &mut self.notices.get_mut(id)?.sendings;
        sendings.push(Sending { at: now, fate });
        let ticket = u64::try_from(id).ok()? << 16 | u64::try_from(sendings.len() - 1).ok()?;
        Some(ticket)
    }

    pub(super) fn fate(&mut self, ticket: Ticket, fate: Fate) {
        let (Ok(id), Ok(at)) = (usize::try_from(ticket >> 16), usize::try_from(ticket & 0xFFFF)) else { return };
        if let Some(sending) = self.notices.get_mut(id).and_then(|notice| notice.sendings.get_mut(at)) {
            sending.fate = fate;
        }
    }

    /// The stick forgot what it held.
    pub(super) fn reset(&mut self, now: Duration) {
        for sending in self.notices.iter_mut().flat_map(|notice| &mut notice.sendings) {
            if matches!(sending.fate, Fate::Queued | Fate::Written(_)) {
                sending.fate = Fate::LostInReset(now);
            }
        }
    }

    /// The host answered the newest notification of this cluster with this sequence number from this endpoint.
    pub(super) fn answered(&mut self, now: Duration, device: Eui64, endpoint: u8, (cluster, sequence): (u16, u8)) {
        let asked = |notice: &&mut Notice| {
            (notice.device, notice.endpoint, notice.cluster, notice.sequence) == (device, endpoint, cluster, sequence)
        };
        if let Some(notice) = self.notices.iter_mut().rev().find(asked) {
            notice.default_response.get_or_insert(now);
        }
    }
}
