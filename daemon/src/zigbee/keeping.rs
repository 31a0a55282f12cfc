//! What must be kept from start to start, and where that stands: one keeping under way at a time, tried again when it
//! failed, and whoever joined waits for the one that holds it.
//!
//! It keeps nothing itself, and nothing but a newcomer ever waits for it: an alarm does not stand behind a disk.

use crate::zigbee::eui64::Eui64;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;

/// After what must be kept could not be, ms until it is tried again.
const AGAIN_MS: u64 = 5_000;
/// What is merely good to know after a restart, a short address, is kept with the next thing, or after so long, ms.
pub(crate) const LATE_MS: u64 = 30_000;

/// Who joined, and as what.
pub(crate) type JoinedAs = (Eui64, Vec<(DeviceId, Option<DeviceKind>)>);

#[derive(Debug, Default)]
pub(crate) struct Keeping {
    under_way: bool,
    /// There is something newer, to be kept from this time on.
    due_ms: Option<u64>,
    /// Who waits for the one under way, and for the next.
    joined: [Vec<JoinedAs>; 2],
}

impl Keeping {
    /// Something has changed, and must be kept from then on.
    pub(crate) fn want(&mut self, from_ms: u64) {
        self.due_ms = Some(self.due_ms.map_or(from_ms, |due| due.min(from_ms)));
    }

    /// Somebody joined, and waits for the next keeping.
    pub(crate) fn joined(&mut self, joined: JoinedAs, now_ms: u64) {
        self.joined[1].push(joined);
        self.want(now_ms);
    }

    /// Whether something was to be kept and is not.
    pub(crate) fn is_wanted(&self) -> bool {
        self.due_ms.is_some()
    }

    /// When the next keeping is due, ms.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.due_ms.filter(|_| !self.under_way)
    }

    /// Begins one if it is due.
    pub(crate) fn begin(&mut self, now_ms: u64) -> bool {
        let begins = self.due_ms().is_some_and(|due| due <= now_ms);
        if begins {
            self.due_ms = None;
            self.under_way = true;
            self.joined.swap(0, 1);
        }
        begins
    }

    /// Whoever was to keep it may be gone: it is to be kept again.
    pub(crate) fn interrupted(&mut self, now_ms: u64) {
        if std::mem::take(&mut self.under_way) {
            let [under_way, next] = &mut self.joined;
            next.append(under_way);
            self.want(now_ms);
        }
    }

    /// It is kept: who waited for that.
    pub(crate) fn done(&mut self) -> Vec<JoinedAs> {
        self.under_way = false;
        std::mem::take(&mut self.joined[0])
    }

    /// It is not: who must go on waiting.
    pub(crate) fn failed(&mut self, now_ms: u64) -> impl Iterator<Item = Eui64> + use<> {
        let waiting = self.done();
        let devices: Vec<Eui64> = waiting.iter().map(|(device, _)| *device).collect();
        self.joined[1].extend(waiting);
        self.due_ms = Some(now_ms + AGAIN_MS);
        devices.into_iter()
    }
}
