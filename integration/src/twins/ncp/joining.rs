//! Coming and going: who is let in under which key, who comes back, who leaves, and what the stick says about it.

use super::Duty;
use super::Health;
use super::Ncp;
use super::bytes::Eui64;
use super::bytes::Writer;
use super::device::WELL_KNOWN_KEY;
use super::frames::id;
use super::mesh::MeshError;
use super::shelf::config;
use super::shelf::counter;
use super::status::Status;
use super::zdo::Role;
use std::time::Duration;

/// How many detectors a router beyond the stick holds.
const PER_ROUTER: usize = 32;

/// Routers of the mesh, which are not devices of their own.
const ROUTERS: u16 = 0x1000;

/// How long a detector stays awake after joining.
const SETTLES: Duration = Duration::from_secs(60);

/// Bits of the trust centre policy.
mod policy {
    pub const JOINS: u8 = 0x01;
    pub const UNSECURED_REJOINS: u8 = 0x02;
    pub const IGNORE_REJOINS: u8 = 0x08;
    pub const INSTALL_CODE_ONLY: u8 = 0x10;
}

/// What became of a device (EmberDeviceUpdate).
mod update {
    pub const SECURED_REJOIN: u8 = 0;
    pub const UNSECURED_JOIN: u8 = 1;
    pub const LEFT: u8 = 2;
    pub const UNSECURED_REJOIN: u8 = 3;
}

/// What the trust centre decided (EmberJoinDecision).
mod decision {
    pub const PRECONFIGURED_KEY: u8 = 0;
    pub const DENIED: u8 = 2;
    pub const NO_ACTION: u8 = 3;
}

impl Ncp {
    /// Its button is held: it forgets what it was in and looks for an open network.
    ///
    /// # Errors
    /// It is not let in.
    pub fn join(&mut self, now: Duration, name: &str) -> Result<u16, MeshError> {
        let at = self.find(name)?;
        let refused = |error: fn(String) -> MeshError| Err(error(name.to_owned()));
        self.devices[at].forget();
        let unheard = self.health != Health::Well || self.is_jammed();
        if unheard || !self.is_open(now) || self.devices[at].dead {
            return refused(MeshError::Closed);
        }
        let parent = self.find_parent();
        let node = self.free_node();
        let policy = self.ram.policy.get(&0).copied().unwrap_or(0);
        let eui = self.devices[at].eui;
        let (own, sent_under) = self.joining_key(now, eui);
        let has = self.devices[at].habits.install_key.unwrap_or(WELL_KNOWN_KEY);
        let allowed = policy & policy::JOINS != 0 && (policy & policy::INSTALL_CODE_ONLY == 0 || own.is_some());
        if !allowed {
            self.tell_join(now, node, eui, update::UNSECURED_JOIN, decision::DENIED, parent);
            self.tick(now);
            return refused(MeshError::Denied);
        }
        self.ram.count(counter::JOINED);
        self.devices[at].parent = parent;
        if parent == 0 {
            self.tell_child(now, at, node, true);
        }
        self.tell_join(now, node, eui, update::UNSECURED_JOIN, decision::PRECONFIGURED_KEY, parent);
        if sent_under != Some(has) {
            self.tick(now);
            return refused(MeshError::WrongKey);
        }
        self.devices[at].network_key = self.memory.network.as_ref().map(|network| network.key);
        self.enters(now, at, node);
        // A Zigbee 3.0 device asks for a link key of its own, and proves that it has it.
        for (after, status) in [(150, 0x06), (250, 0x34)] {
            let body = Writer::new().eui(eui).u8(status).done();
            let duty = Duty::Callback { id: id::KEY_ESTABLISHMENT, body };
            self.agenda.at(now + Duration::from_millis(after), duty);
        }
        self.tick(now);
        Ok(node)
    }

    /// It comes back with another node id. Secured: it still has the network key. Otherwise the trust centre must
    /// let it back in.
    ///
    /// # Errors
    /// It was in no network, or is not let back.
    pub fn rejoin(&mut self, now: Duration, name: &str, secured: bool) -> Result<u16, MeshError> {
        let at = self.find(name)?;
        if self.devices[at].node.is_none() || self.devices[at].dead {
            return Err(MeshError::NotJoined(name.to_owned()));
        }
        if self.health != Health::Well || !self.ram.up || self.is_jammed() {
            return Err(MeshError::Closed(name.to_owned()));
        }
        let policy = self.ram.policy.get(&0).copied().unwrap_or(0);
        let let_in = policy & policy::UNSECURED_REJOINS != 0 && policy & policy::IGNORE_REJOINS == 0;
        let (eui, parent, node) = (self.devices[at].eui, self.devices[at].parent, self.free_node());
        let (update, decision) = match (secured, let_in) {
            (true, _) => (update::SECURED_REJOIN, decision::NO_ACTION),
            (false, true) => (update::UNSECURED_REJOIN, decision::PRECONFIGURED_KEY),
            (false, false) => (update::UNSECURED_REJOIN, decision::DENIED),
        };
        if decision == decision::DENIED {
            self.tell_join(now, node, eui, update, decision, parent);
            self.tick(now);
            return Err(MeshError::Denied(name.to_owned()));
        }
        if parent == 0 {
            self.tell_child(now, at, node, true);
        }
        self.tell_join(now, node, eui, update, decision, parent);
        self.devices[at].network_key = self.memory.network.as_ref().map(|network| network.key);
        self.indirect.retain(|transit| transit.device != at);
        self.enters(now, at, node);
        self.tick(now);
        Ok(node)
    }

    fn enters(&mut self, now: Duration, at: usize, node: u16) {
        let device = &mut self.devices[at];
        device.node = Some(node);
        device.awake_until = now + SETTLES;
        let announce = device.announces();
        let check_in = device.next_check_in();
        self.does(now, at, [announce].into_iter().chain(check_in).collect());
    }

    /// The host wants a device gone.
    pub(super) fn remove(&mut self, now: Duration, target: Eui64) -> Status {
        let Some(at) = self.devices.iter().position(|device| device.eui == target && device.node.is_some()) else {
            return Status::NotFound;
        };
        if !self.devices[at].dead {
            self.left(now, at);
        }
        Status::Ok
    }

    pub(super) fn left(&mut self, now: Duration, at: usize) {
        let (node, parent, eui) =
            (self.devices[at].node.unwrap_or(0xFFFE), self.devices[at].parent, self.devices[at].eui);
        if parent == 0 && self.ram.up {
            self.ram.count(counter::CHILD_REMOVED);
            self.tell_child(now, at, node, false);
        }
        if self.ram.up {
            self.tell_join(now, node, eui, update::LEFT, decision::NO_ACTION, parent);
        }
        self.indirect.retain(|transit| transit.device != at);
        self.devices[at].forget();
    }

    fn tell_join(&mut self, now: Duration, node: u16, eui: Eui64, update: u8, decision: u8, parent: u16) {
        let body = Writer::new().u16(node).eui(eui).u8(update).u8(decision).u16(parent).done();
        self.callback(now, id::TRUST_CENTRE_JOIN, &body, None);
    }

    fn tell_child(&mut self, now: Duration, at: usize, node: u16, joins: bool) {
        let device = &self.devices[at];
        let index = u8::try_from(self.children().count()).unwrap_or(u8::MAX);
        // A router is a neighbour and no child.
        let kind = match device.role() {
            Role::Sleepy => 4,
            Role::Router => return,
            _ => 3,
        };
        let body = Writer::new().u8(index).u8(u8::from(joins)).u16(node).eui(device.eui).u8(kind).done();
        self.callback(now, id::CHILD_JOIN, &body, None);
    }

    /// The stick while it has room for children, a router after that.
    fn find_parent(&self) -> u16 {
        let own = self.children().count();
        if own < usize::from(self.ram.config(config::CHILDREN)) {
            return 0;
        }
        let beyond = self.devices.iter().filter(|device| device.node.is_some() && device.parent != 0).count();
        ROUTERS + u16::try_from(beyond / PER_ROUTER).unwrap_or(0)
    }

    fn free_node(&mut self) -> u16 {
        loop {
            let [low, high, ..] = self.chance.draw().to_le_bytes();
            let node = u16::from_le_bytes([low, high]);
            let taken = self.devices.iter().any(|device| device.node == Some(node));
            if (ROUTERS + 0x1000..0xFFF0).contains(&node) && !taken {
                return node;
            }
        }
    }
}
