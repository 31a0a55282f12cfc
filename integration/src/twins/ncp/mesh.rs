//! The mesh behind the stick: detectors join, speak, leave, fall silent; and what tests may do to them.

use super::Duty;
use super::Health;
use super::Ncp;
use super::bytes::Eui64;
use super::bytes::Writer;
use super::device::Act;
use super::device::Device;
use super::device::Doing;
use super::device::Habits;
use super::device::Message;
use super::device::WELL_KNOWN_KEY;
use super::frames::Aps;
use super::frames::Incoming;
use super::frames::Outgoing;
use super::frames::id;
use super::log::Fate;
use super::shelf::config;
use super::shelf::counter;
use super::status::Status;
use std::time::Duration;
use thiserror::Error;

/// The most detectors of a mesh; a test that wants more has another plan.
pub const DEVICES_MOST: usize = 1000;

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

/// Why something could not be done in the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MeshError {
    /// No such detector.
    #[error("there is no detector {0:?}; add it first")]
    Unknown(String),
    /// The name is taken.
    #[error("there is a detector {0:?} already")]
    Taken(String),
    /// The mesh is full.
    #[error("the mesh has {DEVICES_MOST} detectors, which is its limit")]
    Full,
    /// It has to be in a network for this.
    #[error("{0:?} is in no network; let it join first")]
    NotJoined(String),
    /// The beacon says that nobody may join.
    #[error("{0:?} found no open network: the stick is down or joining is not permitted")]
    Closed(String),
    /// The trust centre said no.
    #[error("the trust centre denied {0:?}: its policy does not let it in with the key it has")]
    Denied(String),
    /// The network key came under a key the device does not have.
    #[error("{0:?} could not read the network key: it was sent under another link key than its own")]
    WrongKey(String),
}

/// The message inside a frame of the host's.
pub(super) fn message(outgoing: &Outgoing) -> Message {
    let Aps { profile, cluster, source, destination, .. } = outgoing.aps;
    Message { profile, cluster, source, destination, payload: outgoing.message.clone() }
}

impl Ncp {
    /// Adds a detector, out of its box. Its address comes from the seed unless one is given.
    ///
    /// # Errors
    /// The name is taken, or the mesh is full.
    pub fn add(&mut self, name: &str, habits: Habits, eui: Option<Eui64>) -> Result<Eui64, MeshError> {
        if self.devices.iter().any(|device| device.name == name) {
            return Err(MeshError::Taken(name.to_owned()));
        }
        if self.devices.len() >= DEVICES_MOST {
            return Err(MeshError::Full);
        }
        let made = Eui64(0x00A4_23FE_0000_0000 | self.chance.next() & 0xFFFF_FFFF);
        let eui = eui.unwrap_or(made);
        self.devices.push(Device::new(name, eui, habits));
        Ok(eui)
    }

    /// The detectors, in the order they were added.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// A detector by its name.
    ///
    /// # Errors
    /// There is none.
    pub fn device(&self, name: &str) -> Result<&Device, MeshError> {
        Ok(&self.devices[self.find(name)?])
    }

    /// The same, to be changed.
    ///
    /// # Errors
    /// There is none.
    pub fn device_mut(&mut self, name: &str) -> Result<&mut Device, MeshError> {
        let at = self.find(name)?;
        Ok(&mut self.devices[at])
    }

    fn find(&self, name: &str) -> Result<usize, MeshError> {
        let at = self.devices.iter().position(|device| device.name == name);
        at.ok_or_else(|| MeshError::Unknown(name.to_owned()))
    }

    /// Its button is held: it forgets what it was in and looks for an open network.
    ///
    /// # Errors
    /// It is not let in.
    pub fn join(&mut self, now: Duration, name: &str) -> Result<u16, MeshError> {
        let at = self.find(name)?;
        let refused = |error: fn(String) -> MeshError| Err(error(name.to_owned()));
        self.devices[at].forget();
        if self.health != Health::Well || !self.is_open(now) || self.devices[at].dead {
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
        if self.health != Health::Well || !self.ram.up {
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

    /// It says goodbye and goes.
    ///
    /// # Errors
    /// It was in no network.
    pub fn leave(&mut self, now: Duration, name: &str) -> Result<(), MeshError> {
        let at = self.find(name)?;
        if self.devices[at].node.is_none() {
            return Err(MeshError::NotJoined(name.to_owned()));
        }
        self.left(now, at);
        self.tick(now);
        Ok(())
    }

    /// It falls silent for good and tells nobody.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn die(&mut self, name: &str) -> Result<(), MeshError> {
        self.device_mut(name)?.dead = true;
        Ok(())
    }

    /// Something happens to it: `clear` these bits of its zone status, `set` those.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn happens(&mut self, now: Duration, name: &str, set: u16, clear: u16) -> Result<(), MeshError> {
        let at = self.find(name)?;
        if !self.devices[at].dead {
            let doings = self.devices[at].happens(now, set, clear, &mut self.log);
            self.does(now, at, doings);
            self.tick(now);
        }
        Ok(())
    }

    /// It chatters: `times` changes of alarm 1, the first a trip, with this time between them.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn chatters(&mut self, now: Duration, name: &str, times: u32, gap: Duration) -> Result<(), MeshError> {
        let device = self.find(name)?;
        for time in 0..times {
            let (set, clear) = if time % 2 == 0 { (1, 0) } else { (0, 1) };
            self.agenda.at(now + gap * time, Duty::Act { device, act: Act::Status { set, clear } });
        }
        self.tick(now);
        Ok(())
    }

    /// Its battery has this much left, half percents; it reports that, if it was told to.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn drains(&mut self, now: Duration, name: &str, half_percent: u8) -> Result<(), MeshError> {
        let at = self.find(name)?;
        self.devices[at].battery = half_percent;
        if self.devices[at].reporting.contains_key(&(1, 0x21)) {
            let doings = self.devices[at].reports(1, 0x21);
            self.does(now, at, doings);
            self.tick(now);
        }
        Ok(())
    }

    /// It checks in now, if it was bound to.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn wakes(&mut self, now: Duration, name: &str) -> Result<(), MeshError> {
        let at = self.find(name)?;
        let doings = self.devices[at].checks_in();
        self.does(now, at, doings);
        self.tick(now);
        Ok(())
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

    fn left(&mut self, now: Duration, at: usize) {
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
        let kind = if device.habits.sleepy { 4 } else { 3 };
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
            let [low, high, ..] = self.chance.next().to_le_bytes();
            let node = u16::from_le_bytes([low, high]);
            let taken = self.devices.iter().any(|device| device.node == Some(node));
            if (ROUTERS + 0x1000..0xFFF0).contains(&node) && !taken {
                return node;
            }
        }
    }

    /// A detector does these things.
    pub(super) fn does(&mut self, now: Duration, device: usize, doings: Vec<Doing>) {
        for doing in doings {
            match doing {
                Doing::Say { after, message, notice, broadcast } => {
                    self.agenda.at(now + after, Duty::Uplink { device, message, notice, broadcast, tries: 0 });
                }
                Doing::Later { after, act } => self.agenda.at(now + after, Duty::Act { device, act }),
                Doing::Leave => self.left(now, device),
            }
        }
    }

    /// A detector speaks; the stick hears it if its radio is on, in the same network.
    pub(super) fn uplink(
        &mut self,
        now: Duration,
        at: usize,
        message: Message,
        notice: Option<usize>,
        broadcast: bool,
        tries: u32,
    ) {
        let device = &mut self.devices[at];
        let Some(node) = device.node.filter(|_| !device.dead) else { return };
        let key = self.memory.network.as_ref().map(|network| network.key);
        if self.health != Health::Well || !self.ram.up || key != device.network_key {
            if let Some(notice) = notice {
                self.log.sent(now, notice, Fate::Unheard);
            }
            if tries < device.habits.retries {
                let at_time = now + device.habits.retry_gap;
                let again = Duty::Uplink { device: at, message, notice, broadcast, tries: tries + 1 };
                self.agenda.at(at_time, again);
            }
            return;
        }
        device.awake_until = device.awake_until.max(now + device.habits.awake_for);
        device.aps = device.aps.wrapping_add(1);
        let (sequence, parent, eui) = (device.aps, device.parent, device.eui);
        let (kind, counted) = if broadcast { (4, counter::APS_RX_BROADCAST) } else { (0, counter::APS_RX_UNICAST) };
        self.ram.count(counted);
        self.ram.count(counter::MAC_RX_UNICAST);
        let Message { profile, cluster, source, destination, payload } = message;
        // The stack keeps to itself what no endpoint of the host's was added for.
        let wanted = profile == 0 || self.ram.endpoints.iter().any(|endpoint| endpoint.id == destination);
        if parent != 0 && self.ram.concentrator && wanted {
            let body = Writer::new().u16(node).eui(eui).u8(200).u8(0xCE).u8(1).u16(parent).done();
            self.callback(now, id::ROUTE_RECORD, &body, None);
        }
        let options = if broadcast { 0x0100 } else { 0x0140 };
        let aps = Aps { profile, cluster, source, destination, options, group: 0, sequence };
        let incoming = Incoming { kind, aps, sender: node, lqi: 200, rssi: -50, message: &payload };
        let body = incoming.body(self.settings.ezsp);
        let ticket = notice.and_then(|notice| self.log.sent(now, notice, Fate::Queued));
        if !(wanted && self.callback(now, id::INCOMING, &body, ticket)) {
            ticket.into_iter().for_each(|ticket| self.log.fate(ticket, Fate::LostInOverflow(now)));
        }
    }
}
