//! The door of the Zigbee network: shut unless a person has opened it, and shut again by itself.
//!
//! While it is shut, devices that belong here come back on their own keys, and whoever else knocks is sent away and told
//! of. An install code lets its own device in; the key that everybody knows lets in any, so it must be asked for.

use crate::zigbee::eui64::Eui64;
use crate::zigbee::ezsp::Command;
use crate::zigbee::ezsp::Key;
use crate::zigbee::ezsp_answer::Joined;
use crate::zigbee::ezsp_answer::Update;
use crate::zigbee::host::For;
use crate::zigbee::host::Host;
use crate::zigbee::host::Out;
use crate::zigbee::interview::Interview;
use crate::zigbee::interview::Stage;
use crate::zigbee::interview::to_cluster;
use crate::zigbee::start;
use crate::zigbee::zdo_request::Request;

/// Newcomers interviewed at once; the next one is heard when it announces itself again.
const INTERVIEWS_MAX: usize = 16;
/// Between two words on devices that were sent away, ms.
const REFUSED_MS: u64 = 60_000;

/// The trust centre's policy (UG100, EzspPolicyId).
const TRUST_CENTRE: u8 = 0x00;

/// How newcomers prove themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// This device, by the key made of its install code.
    InstallCode {
        /// Which.
        device: Eui64,
        /// The key.
        key: Key,
    },
    /// Any device, on the key that everybody knows: for devices without an install code.
    Legacy,
}

/// An open door.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Door {
    /// When it shuts.
    pub(crate) until_ms: u64,
    /// For whom it is open.
    admission: Admission,
    /// Steps of opening it that the stick has not answered yet.
    unanswered: usize,
}

impl Host {
    /// Lets newcomers in for a while; `Out::Door` tells whether the stick does.
    pub fn open(&mut self, seconds: u8, admission: Admission, now_ms: u64) {
        if !self.is_up() {
            return self.out.push_back(Out::Door(Err("the Zigbee network is not up".to_owned())));
        }
        self.shut(now_ms);
        let (device, key, decision) = match admission {
            Admission::InstallCode { device, key } => (device, key, start::OPEN_INSTALL_CODE),
            Admission::Legacy => (Eui64(u64::MAX), start::WELL_KNOWN, start::OPEN_LEGACY),
        };
        let steps = [
            Command::ImportTransientKey { device, key },
            Command::SetPolicy { id: TRUST_CENTRE, decision },
            Command::PermitJoining { seconds },
        ];
        self.door = Some(Door { until_ms: now_ms + u64::from(seconds) * 1_000, admission, unanswered: steps.len() });
        for step in steps {
            if !self.ask(For::Permit, step, now_ms) {
                self.permitted(Err("the stick has too much to do".to_owned()), now_ms);
            }
        }
        self.tell_routers(seconds, now_ms);
        self.flush();
    }

    /// The stick's answer to one step of opening the door.
    pub(crate) fn permitted(&mut self, answer: Result<(), String>, now_ms: u64) {
        // The answers that follow a refusal open nothing: the door is shut already.
        let Some(door) = self.door.as_mut().filter(|door| door.unanswered > 0) else { return };
        match answer {
            Ok(()) => {
                door.unanswered -= 1;
                if door.unanswered == 0 {
                    self.out.push_back(Out::Door(Ok(())));
                }
            }
            Err(why) => {
                self.shut(now_ms);
                self.out.push_back(Out::Door(Err(why)));
            }
        }
    }

    /// Lets nobody in any more.
    pub fn shut(&mut self, now_ms: u64) {
        if self.door.take().is_none() {
            return;
        }
        self.ask(For::Nobody, Command::PermitJoining { seconds: 0 }, now_ms);
        self.ask(For::Nobody, Command::SetPolicy { id: TRUST_CENTRE, decision: start::CLOSED }, now_ms);
        self.ask(For::Nobody, Command::ClearTransientKeys, now_ms);
        self.tell_routers(0, now_ms);
        self.flush();
    }

    /// Routers let newcomers in for themselves.
    fn tell_routers(&mut self, seconds: u8, now_ms: u64) {
        /// All routers and the coordinator.
        const ROUTERS: u16 = 0xFFFC;
        let tsn = self.tsn();
        let request = Request::PermitJoining(seconds);
        let message = request.message(tsn);
        let mut aps = to_cluster(request.cluster(), 0, Vec::new()).aps;
        (aps.profile, aps.source, aps.options) = (0, 0, 0);
        self.ask(For::Nobody, Command::Broadcast { to: ROUTERS, aps, radius: 0, message }, now_ms);
    }

    /// A device at the door, or back, or gone.
    pub(crate) fn joined(&mut self, joined: &Joined, now_ms: u64) {
        let Joined { nwk, device, update, denied, .. } = *joined;
        match update {
            Update::Join if denied || !self.awaits(device) => {
                self.refuse(device, now_ms);
                // Whatever the stick let it have, it goes.
                self.ask(For::Nobody, Command::RemoveDevice { nwk, device }, now_ms);
            }
            Update::Join => self.meet(device, nwk, now_ms),
            Update::SecuredRejoin | Update::UnsecuredRejoin if denied => self.refuse(device, now_ms),
            Update::SecuredRejoin | Update::UnsecuredRejoin => self.moved(device, nwk),
            Update::Left | Update::Other(_) => {}
        }
    }

    /// Whether the door is open, and open to this one.
    fn awaits(&self, device: Eui64) -> bool {
        match self.door {
            Some(Door { admission: Admission::InstallCode { device: awaited, .. }, .. }) => awaited == device,
            Some(Door { admission: Admission::Legacy, .. }) => true,
            None => false,
        }
    }

    /// Told at once, then counted: a stranger at the door must not fill the journal.
    fn refuse(&mut self, device: Eui64, now_ms: u64) {
        self.refused.0 += 1;
        if self.refused.1.is_none_or(|told_ms| told_ms + REFUSED_MS <= now_ms) {
            let count = std::mem::take(&mut self.refused.0);
            self.refused.1 = Some(now_ms);
            self.out.push_back(Out::Refused { device, count });
        }
    }

    /// A newcomer, or an old one whose battery was out, joins.
    fn meet(&mut self, device: Eui64, nwk: u16, now_ms: u64) {
        if self.interviews.len() >= INTERVIEWS_MAX {
            return self.tell(device, Stage::Failed, "too many devices join at once; join this one again");
        }
        let zone_id = self.memory.nodes.get(&device).and_then(|node| node.zones.first()).map(|zone| zone.zone_id);
        let taken = |id: u8| self.interviews.values().any(|other| other.first_zone_id() == id);
        let free = zone_id.or_else(|| self.memory.free_zone_id(taken));
        let Some(zone_id) = free else {
            return self.tell(device, Stage::Failed, "this hub has no zone id left: remove devices first");
        };
        let interview = Interview::new(device, nwk, self.hub, zone_id, now_ms);
        self.interviews.insert(device, interview);
        self.tell(device, Stage::Found, "");
        self.ask(For::Nobody, Command::SetExtendedTimeout { device }, now_ms);
    }
}
