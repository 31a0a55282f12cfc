//! The mesh behind the stick: detectors join, speak, leave, fall silent; and what tests may do to them.

use super::Duty;
use super::Health;
use super::Ncp;
use super::bytes::Eui64;
use super::bytes::Writer;
use super::device::Act;
use super::device::Device;
use super::device::Doing;
use super::device::Message;
use super::frames::Aps;
use super::frames::Incoming;
use super::frames::Outgoing;
use super::frames::id;
use super::function::Deed;
use super::habits::Habits;
use super::keypad::Key;
use super::log::Fate;
use super::shelf::counter;
use std::time::Duration;
use thiserror::Error;

/// The most detectors of a mesh; a test that wants more has another plan.
pub const DEVICES_MOST: usize = 1000;

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
    /// It is something else.
    #[error("{0:?} is no {1}")]
    Other(String, &'static str),
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
        let made = Eui64(0x00A4_23FE_0000_0000 | self.chance.draw() & 0xFFFF_FFFF);
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

    pub(super) fn find(&self, name: &str) -> Result<usize, MeshError> {
        let at = self.devices.iter().position(|device| device.name == name);
        at.ok_or_else(|| MeshError::Unknown(name.to_owned()))
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
        let doings = self.devices[at].changed(1, 0x21);
        self.does(now, at, doings);
        self.tick(now);
        Ok(())
    }

    /// It checks in now, if it was bound to; a keypad asks how the panel stands too.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn wakes(&mut self, now: Duration, name: &str) -> Result<(), MeshError> {
        let at = self.find(name)?;
        let doings = self.devices[at].checks_in();
        self.does(now, at, doings);
        let asks = self.devices[at].handled(now, &Deed::Key(Key::Wake), &mut self.log);
        self.does(now, at, asks.unwrap_or_default());
        self.tick(now);
        Ok(())
    }

    /// A detector does these things.
    pub(super) fn does(&mut self, now: Duration, device: usize, doings: Vec<Doing>) {
        for doing in doings {
            match doing {
                Doing::Say { after, message, notice, broadcast } => {
                    // A message that is tried again keeps its APS counter.
                    let sequence = self.devices[device].aps.wrapping_add(1);
                    self.devices[device].aps = sequence;
                    let tries = (0, sequence);
                    self.agenda.at(now + after, Duty::Uplink { device, message, notice, broadcast, tries });
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
        (tries, sequence): (u32, u8),
    ) {
        let away = self.is_jammed() || self.is_deaf(now);
        let device = &mut self.devices[at];
        let Some(node) = device.node.filter(|_| !device.dead) else { return };
        let key = self.memory.network.as_ref().map(|network| network.key);
        if self.health != Health::Well || !self.ram.up || away || key != device.network_key {
            if let Some(notice) = notice {
                self.log.sent(now, notice, Fate::Unheard);
            }
            if tries < device.habits.retries {
                let at_time = now + device.habits.retry_gap;
                let again = Duty::Uplink { device: at, message, notice, broadcast, tries: (tries + 1, sequence) };
                self.agenda.at(at_time, again);
            }
            return;
        }
        device.awake_until = device.awake_until.max(now + device.habits.awake_for);
        let (parent, eui) = (device.parent, device.eui);
        let encrypts = device.function.part().is_some_and(|part| part.encrypts(message.cluster));
        let encrypted = if encrypts && message.profile != 0 { Aps::ENCRYPTED } else { 0 };
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
        let options = if broadcast { 0x0100 } else { 0x0140 } | encrypted;
        let aps = Aps { profile, cluster, source, destination, options, group: 0, sequence };
        let incoming = Incoming { kind, aps, sender: node, lqi: 200, rssi: -50, message: &payload };
        let body = incoming.body(self.settings.ezsp);
        let ticket = notice.and_then(|notice| self.log.sent(now, notice, Fate::Queued));
        if !(wanted && self.callback(now, id::INCOMING, &body, ticket)) {
            ticket.into_iter().for_each(|ticket| self.log.fate(ticket, Fate::LostInOverflow(now)));
        }
    }
}
