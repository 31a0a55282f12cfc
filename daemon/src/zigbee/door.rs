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

/// Newcomers interviewed at once; the next one is sent away and joins again.
const INTERVIEWS_MAX: usize = 16;
/// Between two tries to shut the door, ms.
const SHUT_AGAIN_MS: u64 = 1_000;
/// Between two words on devices that were sent away, ms.
const REFUSED_MS: u64 = 60_000;

/// All routers and the coordinator (Zigbee, 3.6.6, broadcast addresses).
pub(crate) const ROUTERS: u16 = 0xFFFC;
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
    until_ms: u64,
    /// For whom it is open.
    admission: Admission,
    /// Steps of opening it that the stick has not answered yet.
    unanswered: usize,
    /// Who opened it knows that it is open.
    told: bool,
}

/// Who was sent away and is not told of yet.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    count: u64,
    last: Option<Eui64>,
    told_ms: Option<u64>,
}

impl Host {
    /// Lets newcomers in for a while; `Out::Door` tells whether the stick does.
    pub fn open(&mut self, seconds: u8, admission: Admission, now_ms: u64) {
        if !self.is_up() {
            return self.out.push_back(Out::Door(Err("the Zigbee network is not up".to_owned())));
        }
        self.shut(now_ms);
        self.unshut = None;
        let until_ms = now_ms + u64::from(seconds) * 1_000;
        self.door = Some(Door { until_ms, admission, unanswered: 0, told: false });
        self.permit(seconds, now_ms);
        self.flush();
    }

    /// Asks the stick to let the awaited in.
    fn permit(&mut self, seconds: u8, now_ms: u64) {
        let Some(door) = &mut self.door else { return };
        let (device, key, decision) = match door.admission {
            Admission::InstallCode { device, key } => (device, key, start::OPEN_INSTALL_CODE),
            Admission::Legacy => (Eui64(u64::MAX), start::WELL_KNOWN, start::OPEN_LEGACY),
        };
        let steps = [
            Command::ImportTransientKey { device, key },
            Command::SetPolicy { id: TRUST_CENTRE, decision },
            Command::PermitJoining { seconds },
        ];
        door.unanswered = steps.len();
        for step in steps {
            if !self.ask(For::Permit, step, now_ms) {
                self.permitted(Err("the stick has too much to do".to_owned()), now_ms);
            }
        }
        self.tell_routers(seconds, now_ms);
    }

    /// The stick was started anew: a door that was open is opened again for the rest of its time.
    pub(crate) fn open_again(&mut self, now_ms: u64) {
        self.unshut = None; // every start shuts it
        let Some(door) = self.door else { return };
        match u8::try_from(door.until_ms.saturating_sub(now_ms).div_ceil(1_000)) {
            Ok(seconds @ 1..) => self.permit(seconds, now_ms),
            _ => self.door = None,
        }
    }

    /// The link to the stick is gone. Who has not been told that the door is open is told that it is not.
    pub(crate) fn door_link_down(&mut self) {
        self.door = self.door.filter(|door| door.told);
    }

    /// The stick's answer to one step of opening the door.
    pub(crate) fn permitted(&mut self, answer: Result<(), String>, now_ms: u64) {
        // The answers that follow a refusal open nothing: the door is shut already.
        let Some(door) = self.door.as_mut().filter(|door| door.unanswered > 0) else { return };
        match answer {
            Ok(()) => {
                door.unanswered -= 1;
                if door.unanswered == 0 && !std::mem::replace(&mut door.told, true) {
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
        self.ask_shut(now_ms);
        self.flush();
    }

    fn ask_shut(&mut self, now_ms: u64) {
        self.unshut = Some(now_ms + SHUT_AGAIN_MS);
        self.ask(For::Nobody, Command::PermitJoining { seconds: 0 }, now_ms);
        self.ask(For::Shut, Command::SetPolicy { id: TRUST_CENTRE, decision: start::CLOSED }, now_ms);
        self.ask(For::Nobody, Command::ClearTransientKeys, now_ms);
        self.tell_routers(0, now_ms);
    }

    pub(crate) fn shut_answered(&mut self, done: bool) {
        if done {
            self.unshut = None;
        }
    }

    /// Does at the door what has fallen due.
    pub(crate) fn mind_the_door(&mut self, now_ms: u64) {
        if self.door.is_some_and(|door| door.until_ms <= now_ms) {
            self.shut(now_ms);
        }
        if self.is_up() && self.unshut.is_some_and(|again| again <= now_ms) {
            self.ask_shut(now_ms);
        }
        self.tell_refused(now_ms);
    }

    /// When there is something to do, ms.
    pub(crate) fn door_due_ms(&self) -> Option<u64> {
        let refused = self.refused.told_ms.filter(|_| self.refused.count > 0).map(|told| told + REFUSED_MS);
        let unshut = self.unshut.filter(|_| self.is_up());
        [self.door.map(|door| door.until_ms), unshut, refused].into_iter().flatten().min()
    }

    /// Routers let newcomers in for themselves.
    fn tell_routers(&mut self, seconds: u8, now_ms: u64) {
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
            Update::Join if denied || !self.awaits(device) => self.send_away(device, nwk, now_ms),
            Update::Join => self.meet(device, nwk, now_ms),
            Update::SecuredRejoin | Update::UnsecuredRejoin if denied => self.refuse(device, now_ms),
            Update::SecuredRejoin | Update::UnsecuredRejoin => self.is_back(device, nwk, now_ms),
            Update::Left => self.left(device),
            Update::Other(_) => {}
        }
    }

    /// A device is on the network again: one that is nobody here is sent away.
    fn is_back(&mut self, device: Eui64, nwk: u16, now_ms: u64) {
        if !self.memory.nodes.contains_key(&device) && !self.interviews.contains_key(&device) {
            return self.send_away(device, nwk, now_ms);
        }
        self.moved(device, nwk, now_ms);
        self.words.anew(device);
    }

    /// A detector that left guards nothing, whatever it said last.
    fn left(&mut self, device: Eui64) {
        for endpoint in self.devices(device).into_keys() {
            let id = self.id(device, endpoint);
            self.out.push_back(Out::Gone(id));
        }
    }

    /// Somebody who is none of ours: told, and whatever key the stick let it have is of no use to it any more.
    pub(crate) fn send_away(&mut self, device: Eui64, nwk: u16, now_ms: u64) {
        if !self.memory.nodes.contains_key(&device) {
            self.refuse(device, now_ms);
            self.ask(For::Nobody, Command::RemoveDevice { nwk, device }, now_ms);
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
        self.refused.count += 1;
        self.refused.last = Some(device);
        self.tell_refused(now_ms);
    }

    fn tell_refused(&mut self, now_ms: u64) {
        let Refusals { count, last: Some(device), told_ms } = self.refused else { return };
        if count > 0 && told_ms.is_none_or(|told| told + REFUSED_MS <= now_ms) {
            self.refused = Refusals { count: 0, last: None, told_ms: Some(now_ms) };
            self.out.push_back(Out::Refused { device, count });
        }
    }

    /// A newcomer, or an old one whose battery was out, joins.
    fn meet(&mut self, device: Eui64, nwk: u16, now_ms: u64) {
        self.words.anew(device);
        self.memory.freed(nwk, device);
        if self.interviews.len() >= INTERVIEWS_MAX {
            self.tell(device, Stage::Failed, "too many devices join at once; join this one again");
            return self.send_away(device, nwk, now_ms);
        }
        let mut ids: Vec<u8> = self.zones(device).iter().map(|zone| zone.zone_id).collect();
        if ids.is_empty() {
            ids.extend(self.free_zone_id());
        }
        if ids.is_empty() {
            self.tell(device, Stage::Failed, NO_ID_LEFT);
            return self.send_away(device, nwk, now_ms);
        }
        self.interviews.insert(device, Interview::new(device, nwk, self.hub, ids, now_ms));
        self.tell(device, Stage::Found, "");
        self.ask(For::Nobody, Command::SetExtendedTimeout { device }, now_ms);
    }
    /// A zone id that neither a node nor a newcomer has.
    pub(crate) fn free_zone_id(&self) -> Option<u8> {
        let promised = |id: u8| self.interviews.values().any(|other| other.zone_ids().contains(&id));
        self.memory.free_zone_id(promised)
    }
}

/// Why a newcomer is turned away by a full house.
pub(crate) const NO_ID_LEFT: &str = "this hub has no zone id left: remove devices first";
