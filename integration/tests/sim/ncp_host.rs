//! A host of a few lines for the stick's twin, in virtual time: it does as it is told and acknowledges what comes.
#![allow(clippy::unwrap_used, dead_code)] // a test that cannot go on must fail; each test file uses its part

use std::time::Duration;
use vakt_integration::twins::ncp::Ncp;
use vakt_integration::twins::ncp::Settings;
use vakt_integration::twins::ncp::ash::code;
use vakt_integration::twins::ncp::bytes::Eui64;
use vakt_integration::twins::ncp::bytes::Reader;
use vakt_integration::twins::ncp::bytes::Writer;
use vakt_integration::twins::ncp::device::WELL_KNOWN_KEY;
use vakt_integration::twins::ncp::frames::id;
use vakt_integration::twins::ncp::habits::Habits;
use vakt_integration::twins::ncp::hex;
use vakt_integration::twins::ncp::wire;
use vakt_integration::twins::ncp::wire::Cutter;
use vakt_integration::twins::ncp::wire::Event;
use vakt_integration::twins::ncp::wire::Frame;

/// The network key.
pub const KEY: [u8; 16] = [1, 3, 5, 7, 9, 11, 13, 15, 0, 2, 4, 6, 8, 10, 12, 13];

/// Milliseconds.
pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A host that does as it is told and acknowledges what comes, unless it is told not to.
pub struct Host {
    pub ncp: Ncp,
    pub now: Duration,
    pub cutter: Cutter,
    pub number: u8,
    pub expects: u8,
    pub sequence: u8,
    pub acknowledges: bool,
    pub transcript: Vec<u8>,
    /// Callbacks: id and body.
    pub heard: Vec<(u16, Vec<u8>)>,
    pub replies: Vec<(u16, Vec<u8>)>,
    pub resets: Vec<u8>,
    pub overflows: usize,
}

impl Host {
    pub fn new(ezsp: u8) -> Self {
        let mut host = Self {
            ncp: Ncp::new(Settings::new(ezsp)),
            now: Duration::ZERO,
            cutter: Cutter::default(),
            number: 0,
            expects: 0,
            sequence: 0,
            acknowledges: true,
            transcript: Vec::new(),
            heard: Vec::new(),
            replies: Vec::new(),
            resets: Vec::new(),
            overflows: 0,
        };
        host.reset();
        host
    }

    /// RST until RSTACK.
    pub fn reset(&mut self) {
        self.write(&Frame::Rst);
        let before = self.resets.len();
        self.run(ms(500));
        assert_eq!(self.resets[before..], [code::SOFTWARE]);
    }

    /// A stick with its network up, as a host makes it.
    pub fn formed(ezsp: u8) -> Self {
        let mut host = Self::new(ezsp);
        host.agree();
        host.endpoint();
        let security = Writer::new().u16(0x0304).bytes(&WELL_KNOWN_KEY).bytes(&KEY).u8(0).eui(Eui64::BLANK);
        assert_eq!(host.ask(0x0068, &security.done()).1[0], 0);
        assert_eq!(host.ask(0x001E, &parameters()).1[0], 0);
        host.run(ms(100));
        assert_eq!(host.statuses().last(), Some(&if ezsp < 14 { 0x90 } else { 0x15 }));
        host
    }

    pub fn agree(&mut self) {
        let version = self.ncp.settings().ezsp;
        assert_eq!(self.ask(0x0000, &[version]).1[0], version);
    }

    pub fn endpoint(&mut self) {
        let body = Writer::new().u8(1).u16(0x0104).u16(0x0400).u8(0).u8(0).u8(1).u16(0x0500);
        assert_eq!(self.ask(0x0002, &body.done()).1[0], 0);
    }

    /// Opened, with one detector in it that has become a zone.
    pub fn with(ezsp: u8, habits: Habits) -> Self {
        let mut host = Self::formed(ezsp);
        host.ask(0x0022, &[60]);
        host.ncp.add("door", habits, None).unwrap();
        host.ncp.join(host.now, "door").unwrap();
        host.run(ms(300));
        host
    }

    pub fn enrolled(ezsp: u8, habits: Habits) -> Self {
        let mut host = Self::with(ezsp, habits);
        host.enrol();
        host.run(ms(800));
        assert_eq!(host.ncp.device("door").unwrap().zone_state, 1);
        host.heard.clear();
        host
    }

    pub fn enrol(&mut self) {
        let cie = Writer::new().bytes(&[0x10, 1, 0x02, 0x10, 0, 0xF0]).eui(self.ncp.memory().address());
        self.zcl(&cie.done());
        self.zcl(&[0x11, 2, 0x00, 0, 7]);
    }

    pub fn zcl(&mut self, payload: &[u8]) -> u8 {
        let node = self.ncp.device("door").unwrap().node.unwrap();
        self.unicast(node, 0x0104, 0x0500, payload)
    }

    /// sendUnicast; the first byte of its status.
    pub fn unicast(&mut self, node: u16, profile: u16, cluster: u16, payload: &[u8]) -> u8 {
        let endpoint = u8::from(profile != 0);
        self.unicast_to((node, endpoint), profile, cluster, payload, 0x1140)
    }

    /// The same to this endpoint with these APS options.
    pub fn unicast_to(
        &mut self,
        (node, endpoint): (u16, u8),
        profile: u16,
        cluster: u16,
        payload: &[u8],
        options: u16,
    ) -> u8 {
        let out = Writer::new().u8(0).u16(node).u16(profile).u16(cluster).u8(u8::from(profile != 0)).u8(endpoint);
        let out = out.u16(options).u16(0).u8(0).u8(9);
        let out = if self.ncp.settings().ezsp < 14 { out } else { out.u8(0) };
        self.ask(0x0034, &out.counted(payload).done()).1[0]
    }

    pub fn write(&mut self, frame: &Frame) {
        if *frame == Frame::Rst {
            (self.number, self.expects, self.sequence) = (0, 0, 0);
        }
        self.ncp.hear(self.now, &wire::encode(frame));
    }

    /// A command and its answer.
    pub fn ask(&mut self, id: u16, body: &[u8]) -> (u16, Vec<u8>) {
        let sequence = self.sequence;
        let payload = Writer::new().u8(sequence).u8(0).u8(1).u16(id).bytes(body).done();
        let (number, ack) = (self.number, self.expects);
        self.number = (number + 1) & 7;
        self.sequence = sequence.wrapping_add(1);
        let before = self.replies.len();
        self.write(&Frame::Data { number, again: false, ack, payload });
        self.run(ms(1));
        assert_eq!(self.replies.len(), before + 1, "one answer to {id:04x}");
        self.replies.last().cloned().unwrap()
    }

    /// Lets this time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            while let Some(said) = self.ncp.say(self.now) {
                self.transcript.extend_from_slice(&said);
                for byte in said {
                    if let Some(Event::Frame(frame)) = self.cutter.byte(byte) {
                        // Half a frame before a reset is none.
                        frame.map_or_else(|_| (), |frame| self.hears(frame));
                    }
                }
            }
            let due = self.ncp.due().filter(|due| *due <= end);
            let Some(due) = due else { break };
            self.now = self.now.max(due);
            self.ncp.tick(self.now);
        }
        self.now = end;
        self.ncp.tick(end);
    }

    pub fn hears(&mut self, frame: Frame) {
        match frame {
            Frame::RstAck { code } => {
                (self.number, self.expects, self.sequence) = (0, 0, 0);
                self.resets.push(code);
            }
            Frame::Data { number, payload, .. } if number == self.expects => {
                self.expects = (number + 1) & 7;
                let mut r = Reader(&payload);
                let [_, control, _] = r.array().unwrap();
                let id = r.u16().unwrap();
                self.overflows += usize::from(control & 1);
                let list = if control & 0x10 == 0 { &mut self.replies } else { &mut self.heard };
                list.push((id, r.0.to_vec()));
                if self.acknowledges {
                    self.write(&Frame::Ack { ack: self.expects, not_ready: false });
                }
            }
            _ => {}
        }
    }

    pub fn callbacks(&self, id: u16) -> Vec<&[u8]> {
        self.heard.iter().filter(|(heard, _)| *heard == id).map(|(_, body)| body.as_slice()).collect()
    }

    pub fn statuses(&self) -> Vec<u8> {
        self.callbacks(id::STACK_STATUS).iter().map(|body| body[0]).collect()
    }

    /// The messages of detectors, in EZSP 13's layout.
    pub fn messages(&self) -> Vec<String> {
        self.callbacks(id::INCOMING).iter().map(|body| hex(&body[19..])).collect()
    }

    pub fn happens(&mut self, set: u16, clear: u16) {
        self.ncp.happens(self.now, "door", set, clear).unwrap();
    }
}

/// Network parameters for formNetwork.
pub fn parameters() -> Vec<u8> {
    let out = Writer::new().bytes(&[0xDD; 8]).u16(0x1A62).u8(8).u8(15).u8(0).u16(0).u8(0);
    out.u32(0x07FF_F800).done()
}
