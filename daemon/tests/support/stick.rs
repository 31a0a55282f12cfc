//! A stick of EZSP 13 that answers as it is told: for what no good stick does, and no twin of one should.

use std::collections::BTreeMap;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::Report;
use vaktd::zigbee::ash_frame::Deframer;
use vaktd::zigbee::ash_frame::Frame;
use vaktd::zigbee::eui64::Eui64;
use vaktd::zigbee::ezsp::Key;
use vaktd::zigbee::ezsp::frame;
use vaktd::zigbee::host::Host;
use vaktd::zigbee::host::Out;
use vaktd::zigbee::memory::Memory;
use vaktd::zigbee::memory::Network;
use vaktd::zigbee::memory::Node;
use vaktd::zigbee::memory::Zone;

/// A contact and a smoke detector that have joined, and their short addresses.
pub const CONTACT: (Eui64, u16) = (Eui64(0xA1), 0x1111);
pub const SMOKE: (Eui64, u16) = (Eui64(0xB2), 0x2222);
/// IAS Zone.
pub const IAS: u16 = 0x0500;
/// EmberStatus: no buffers.
pub const NO_ROOM: u8 = 0x18;

/// What stands in for the stick's own answer to a command: by its id and its parameters.
type Instead = Box<dyn Fn(u16, &[u8]) -> Option<Vec<u8>>>;

pub struct Rig {
    pub host: Host,
    pub now: u64,
    /// What the host did, bytes apart.
    pub outs: Vec<Out>,
    /// What the stick was asked.
    pub asked: Vec<(u16, Vec<u8>)>,
    pub instead: Instead,
    /// Commands it takes and does not answer.
    pub mute: Vec<u16>,
    /// Bytes behind its next answer, in the same read.
    pub tail: Vec<u8>,
    /// Whether words are recorded, and what must be kept is kept.
    pub records: bool,
    pub keeps: bool,
    network: Option<Network>,
    deframer: Deframer,
    /// The next frame numbers: the host's, the stick's.
    numbers: (u8, u8),
    sequence: u8,
}

pub fn network() -> Network {
    Network { formed: true, ..Network::draw(&[7; 64]) }
}

pub fn node(nwk: u16, zone_id: u8, zone_type: u16) -> Node {
    let zones = vec![Zone { endpoint: 1, zone_type, zone_id }];
    Node {
        nwk,
        sleepy: true,
        maker: "m".into(),
        model: "x".into(),
        zones,
        functions: Vec::new(),
        placed: Default::default(),
        weak: false,
    }
}

pub fn memory() -> Memory {
    let nodes = [(CONTACT.0, node(CONTACT.1, 0, 0x15)), (SMOKE.0, node(SMOKE.1, 1, 0x28))];
    Memory { network: Some(network()), nodes: nodes.into_iter().collect() }
}

impl Rig {
    /// A host that has not seen its stick yet.
    pub fn new(memory: Memory, network: Option<Network>) -> Self {
        Self {
            host: Host::new(memory, [9; 64]),
            now: 1_000,
            outs: vec![],
            asked: vec![],
            instead: Box::new(|_, _| None),
            mute: vec![],
            tail: vec![],
            records: true,
            keeps: true,
            network,
            deframer: Deframer::default(),
            numbers: (0, 0),
            sequence: 0,
        }
    }

    /// A host at work.
    pub fn up() -> Self {
        Self::with(memory())
    }

    pub fn with(memory: Memory) -> Self {
        let mut rig = Self::new(memory, Some(network()));
        rig.connect();
        assert!(rig.host.is_up(), "{:?}", rig.outs);
        rig.know();
        rig.forget();
        rig
    }

    pub fn connect(&mut self) {
        self.deframer = Deframer::default();
        self.host.connect(self.now);
        self.carry();
    }

    pub fn know(&mut self) {
        let known = [(CONTACT.0.device(None), DeviceKind::Contact), (SMOKE.0.device(None), DeviceKind::Smoke)];
        self.host.know(known.into_iter().collect::<BTreeMap<DeviceId, DeviceKind>>(), self.now);
        self.carry();
    }

    pub fn forget(&mut self) {
        self.outs.clear();
        self.asked.clear();
    }

    /// A frame of the stick's.
    pub fn frame(&mut self, data: Vec<u8>) -> Vec<u8> {
        let (ack, number) = self.numbers;
        self.numbers.1 = (number + 1) % 8;
        Frame::Data { number, again: false, ack, data }.encode()
    }

    pub fn reads(&mut self, bytes: &[u8]) {
        self.host.feed(bytes, self.now);
        self.carry();
    }

    /// The stick answers the command it was mute about.
    pub fn late_answer(&mut self, id: u16, body: &[u8]) -> Vec<u8> {
        let [low, high] = id.to_le_bytes();
        let data = [&[self.sequence, 0x80, 1, low, high], body].concat();
        self.frame(data)
    }

    pub fn says(&mut self, id: u16, body: &[u8]) {
        let [low, high] = id.to_le_bytes();
        let bytes = self.frame([&[0, 0x90, 1, low, high], body].concat());
        self.reads(&bytes);
    }

    /// A device joins (1), is back (0, 3) or leaves (2).
    pub fn joins(&mut self, nwk: u16, device: Eui64, update: u8) {
        self.says(
            frame::TRUST_CENTER_JOIN,
            &[&nwk.to_le_bytes()[..], &device.bytes()[..], &[update, 0, 0, 0]].concat(),
        );
    }

    pub fn announces(&mut self, nwk: u16, device: Eui64) {
        let message = [&[9][..], &nwk.to_le_bytes()[..], &device.bytes()[..], &[0x80]].concat();
        let bytes = self.message(nwk, (0, 0x0013), 0, 0, &message);
        self.reads(&bytes);
    }

    /// A message that the stick passes on: profile and cluster, endpoint, APS number.
    pub fn message(&mut self, nwk: u16, to: (u16, u16), endpoint: u8, aps: u8, message: &[u8]) -> Vec<u8> {
        let mut data = vec![0, 0x90, 1, 0x45, 0, 0];
        data.extend(to.0.to_le_bytes());
        data.extend(to.1.to_le_bytes());
        data.extend([endpoint, 1, 0x40, 1, 0, 0, aps, 200, 0xCE]);
        data.extend(nwk.to_le_bytes());
        data.extend([0xFF, 0xFF, message.len() as u8]);
        data.extend(message);
        self.frame(data)
    }

    pub fn hears(&mut self, nwk: u16, cluster: u16, aps: u8, message: &[u8]) {
        let bytes = self.message(nwk, (0x0104, cluster), 1, aps, message);
        self.reads(&bytes);
    }

    /// A zone's status, in a notification of this number.
    pub fn status(&mut self, nwk: u16, tsn: u8, aps: u8, status: u8) {
        self.hears(nwk, IAS, aps, &[0x09, tsn, 0, status, 0, 0, 0, 0, 0]);
    }

    /// The status as the answer to a question.
    pub fn stands(&mut self, nwk: u16, aps: u8, status: u8) {
        self.hears(nwk, IAS, aps, &[0x18, 77, 1, 2, 0, 0, 0x19, status, 0]);
    }

    pub fn wait(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) = self.host.due_ms().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.host.tick(self.now);
            self.carry();
        }
        self.now = end;
        self.host.tick(end);
        self.carry();
    }

    pub fn reports(&self) -> Vec<Report> {
        let report = |out: &Out| match out {
            Out::Report(report, _) => Some(report.clone()),
            _ => None,
        };
        self.outs.iter().filter_map(report).collect()
    }

    /// How often the stick was asked this.
    pub fn count(&self, id: u16) -> usize {
        self.asked.iter().filter(|(asked, _)| *asked == id).count()
    }

    /// Default Responses that left for devices.
    pub fn answers(&self) -> usize {
        let default = |message: &[u8]| message.len() > 18 && message[16] & 3 == 0 && message[18] == 0x0B;
        self.asked.iter().filter(|(id, body)| *id == frame::SEND_UNICAST && default(body)).count()
    }

    fn answer(&mut self, id: u16, body: &[u8]) -> Vec<u8> {
        if let Some(instead) = (self.instead)(id, body) {
            return instead;
        }
        match id {
            frame::VERSION => vec![13, 2, 0x10, 0x74],
            frame::GET_EUI64 => vec![1, 2, 3, 4, 5, 6, 7, 8],
            frame::NETWORK_INIT => vec![if self.network.is_some() { 0 } else { 0x93 }],
            frame::SET_INITIAL_SECURITY_STATE => {
                let key = Key(body[18..34].try_into().unwrap());
                self.network = Some(Network { key, ..network() });
                vec![0]
            }
            frame::FORM_NETWORK => {
                let network = self.network.as_mut().unwrap();
                network.extended_pan = body[..8].try_into().unwrap();
                (network.pan, network.channel) = (u16::from_le_bytes([body[8], body[9]]), body[11]);
                vec![0]
            }
            frame::GET_NETWORK_PARAMETERS => {
                let network = self.network.as_ref().unwrap();
                let pan = network.pan.to_le_bytes();
                [&[0, 1], &network.extended_pan[..], &pan, &[8, network.channel], &[0; 8]].concat()
            }
            frame::EXPORT_KEY => [&self.network.as_ref().unwrap().key.0[..], &[0; 4]].concat(),
            frame::LOOKUP_EUI64 => vec![1, 0, 0, 0, 0, 0, 0, 0, 0],
            frame::SEND_UNICAST | frame::SEND_BROADCAST => vec![0, 1],
            frame::IMPORT_TRANSIENT_KEY => vec![0; 4],
            frame::READ_AND_CLEAR_COUNTERS => vec![0; 80],
            frame::SET_EXTENDED_TIMEOUT | frame::CLEAR_TRANSIENT_LINK_KEYS | frame::SET_SOURCE_ROUTE_DISCOVERY_MODE => {
                vec![]
            }
            _ => vec![0],
        }
    }

    fn takes(&mut self, sent: Frame) -> Vec<u8> {
        let data = match sent {
            Frame::Rst => {
                self.numbers = (0, 0);
                return Frame::RstAck { version: 2, code: 0x0B }.encode();
            }
            Frame::Data { number, data, .. } => {
                self.numbers.0 = (number + 1) % 8;
                data
            }
            _ => return vec![],
        };
        // The first `version` has the short header.
        let short = data[2] == 0;
        let (id, body) = if short { (0, &data[3..]) } else { (u16::from_le_bytes([data[3], data[4]]), &data[5..]) };
        self.asked.push((id, body.to_vec()));
        self.sequence = data[0];
        if self.mute.contains(&id) {
            return Frame::Ack { ack: self.numbers.0, not_ready: false }.encode();
        }
        let answer = self.answer(id, body);
        let head = if short { vec![data[0], 0x80, 0] } else { vec![data[0], 0x80, 1, data[3], data[4]] };
        let mut said = self.frame([&head[..], &answer[..]].concat());
        if id == frame::FORM_NETWORK || id == frame::NETWORK_INIT && answer == [0] {
            said.extend(self.frame(vec![data[0], 0x90, 1, 0x19, 0, 0x90]));
        }
        said
    }

    /// Everything that is ready.
    pub fn carry(&mut self) {
        for _ in 0..100_000 {
            let Some(out) = self.host.take() else { return };
            match &out {
                Out::Bytes(bytes) => {
                    let frames: Vec<_> = bytes.iter().filter_map(|byte| self.deframer.push(*byte)).collect();
                    let mut said: Vec<u8> = frames.into_iter().flatten().flat_map(|frame| self.takes(frame)).collect();
                    said.append(&mut self.tail);
                    if !said.is_empty() {
                        self.host.feed(&said, self.now);
                    }
                    continue;
                }
                Out::Report(_, Some(answer)) if self.records => self.host.recorded(*answer, self.now),
                Out::Save(_) => self.host.kept(self.keeps, self.now),
                _ => {}
            }
            self.outs.push(out);
        }
        panic!("the host does not come to rest");
    }
}
