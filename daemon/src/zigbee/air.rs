//! The host's looks at the air: what `noise` wants done is asked of the stick, and what the stick says of its radio told to
//! it. It decides nothing.

use crate::zigbee::door;
use crate::zigbee::ezsp::Aps;
use crate::zigbee::ezsp::Command;
use crate::zigbee::ezsp_answer::Answer;
use crate::zigbee::ezsp_answer::NWK_NONE;
use crate::zigbee::ezsp_link::Failed;
use crate::zigbee::ezsp_status::Status;
use crate::zigbee::host::For;
use crate::zigbee::host::Host;
use crate::zigbee::host::Out;
use crate::zigbee::interview::device_objects;
use crate::zigbee::noise::SCAN_EXPONENT;
use crate::zigbee::noise::Step;
use crate::zigbee::zdo_request::Request;

impl Host {
    /// Does what has fallen due. A stick that scans hears nothing and sends nothing: so not while newcomers must be let in
    /// and asked in a hurry, nor while it has something of ours to do.
    pub(crate) fn mind_the_air(&mut self, now_ms: u64) {
        let radio_is_free = self.tickets.values().all(|purpose| *purpose == For::Counters);
        let may_scan = radio_is_free && self.door.is_none() && self.interviews.is_empty();
        let step = self.noise.tick(may_scan, now_ms);
        self.look(step, now_ms);
    }

    fn look(&mut self, step: Option<Step>, now_ms: u64) {
        let Some(step) = step else { return };
        let command = match step {
            Step::Tell(on) => return self.out.push_back(Out::Interference(on)),
            Step::Scan => {
                let channel = self.memory.network.as_ref().map_or(0, |network| network.channel);
                Command::EnergyScan { channel, duration: SCAN_EXPONENT }
            }
            Step::Probe => self.probe(),
            Step::Count => Command::ReadAndClearCounters,
        };
        if !self.ask(For::Air(step), command, now_ms) {
            // It has too much to do: like a refusal.
            self.looked(step, Err(Failed::Down), now_ms);
        }
    }

    /// A frame that the routers next to the stick hear, none of them passes on and nobody answers: who has the hub's own
    /// address?
    fn probe(&mut self) -> Command {
        let tsn = self.tsn();
        let message = device_objects(Request::NwkAddress(self.hub), tsn);
        let aps = Aps { options: 0, ..message.aps };
        Command::Broadcast { to: door::ROUTERS, aps, radius: 1, message: message.bytes }
    }

    /// The stick's answer to a step of a look.
    pub(crate) fn looked(&mut self, step: Step, answer: Result<Answer, Failed>, now_ms: u64) {
        let next = match (step, answer) {
            (Step::Scan, Ok(Answer::Status(Status::Ok))) | (Step::Tell(_), _) => None,
            (Step::Scan, _) => self.noise.scanned(false, now_ms),
            (Step::Probe, answer) => {
                self.noise.probe_taken(matches!(answer, Ok(Answer::Sent { status: Status::Ok, .. })));
                None
            }
            (Step::Count, answer) => {
                self.counted(answer, now_ms);
                self.noise.judged(now_ms)
            }
        };
        self.look(next, now_ms);
    }

    /// The stick's counters, whoever asked for them: reading clears them.
    pub(crate) fn counted(&mut self, answer: Result<Answer, Failed>, now_ms: u64) {
        if let Ok(Answer::Counters(told)) = answer {
            let no_gap = self.counters.add_sticks(&told);
            self.noise.counted(no_gap, now_ms);
        }
    }

    /// An energy scan's result, of the mesh's channel or of another.
    pub(crate) fn scan_result(&mut self, channel: u8, rssi_dbm: i8) {
        if self.memory.network.as_ref().is_some_and(|network| network.channel == channel) {
            self.noise.loudest(rssi_dbm);
        }
    }

    /// A scan is over.
    pub(crate) fn scan_over(&mut self, status: Status, now_ms: u64) {
        let next = self.noise.scanned(status == Status::Ok, now_ms);
        self.look(next, now_ms);
    }

    /// What became of a message of ours.
    pub(crate) fn was_sent(&mut self, nwk: u16, status: Status, now_ms: u64) {
        let to_all = nwk >= NWK_NONE;
        // Nobody acknowledges what is said to all.
        self.counters.undelivered += u64::from(status != Status::Ok && !to_all);
        self.noise.sent(to_all, status, now_ms);
    }
}
