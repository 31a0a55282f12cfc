//! Who joined, and what it is: from the first word at the door to a detector that alarms this hub.
//!
//! Three ways of enrolment are tried, because makers built all three: the hub writes its address and says "enrolled"
//! unasked; it answers a detector that asks; it asks the person to trip a detector that only then speaks. What the
//! detector itself says of its enrolment is the truth; a detector that never says so is not ready.
//!
//! Pure: messages out, answers in, each with a time-out and a few tries; a sleeping device answers when it wakes.

use crate::zigbee::bolts;
use crate::zigbee::eui64::Eui64;
use crate::zigbee::ezsp::APS_RELIABLE;
use crate::zigbee::ezsp::Aps;
use crate::zigbee::function::Function;
use crate::zigbee::function::Role;
use crate::zigbee::ias;
use crate::zigbee::ias::EnrollCode;
use crate::zigbee::ias::ZoneAttributes;
use crate::zigbee::memory::Node;
use crate::zigbee::memory::Zone;
use crate::zigbee::poll_control;
use crate::zigbee::power;
use crate::zigbee::start::OURS;
use crate::zigbee::start::PROFILE_HA;
use crate::zigbee::zcl_global::Global;
use crate::zigbee::zcl_global::Reporting;
use crate::zigbee::zcl_value::Content;
use crate::zigbee::zcl_value::DataType;
use crate::zigbee::zcl_value::Value;
use crate::zigbee::zdo;
use crate::zigbee::zdo_request::Binding;
use crate::zigbee::zdo_request::Request;
use std::collections::BTreeMap;
use std::collections::VecDeque;

/// Wait for a newcomer's announcement, ms: the key exchange of a slow sleeper takes some 10 s.
const ANNOUNCE_MS: u64 = 60_000;
/// Wait for an answer, ms: a message is kept 7.68 s for a sleeper, who answers at its next poll.
const ANSWER_MS: u64 = 10_000;
/// Times a question is asked.
const TRIES: u32 = 3;
/// Between the write of the hub's address and "you are enrolled", ms (herdsman and ZHA wait as long).
const PAUSE_MS: u64 = 500;
/// Times a detector is asked whether it is enrolled, before a person is asked to trip it.
const READS: u32 = 8;
/// And after that; a minute of a device that is awake, and as many polls of one that sleeps.
const READS_TRIPPED: u32 = 120;
/// Endpoints looked at; a device with more is no detector.
const ENDPOINTS_MAX: usize = 16;
/// A detector that watches for people repeats its status at least so often, s (R18: within 9 minutes).
const STATUS_MAX_S: u16 = 300;
/// Its battery at least so often, s, and at most: a message costs it what it reports.
const BATTERY_S: (u16, u16) = (3_600, 21_600);

/// How far a newcomer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is at the door.
    Found,
    /// It has the network's key.
    Keys,
    /// It is asked what it is.
    Interview,
    /// It waits to be tripped by a person.
    Trip,
    /// It alarms this hub.
    Enrolled,
    /// It reports by itself.
    Reporting,
    /// It guards.
    Ready,
    /// It does not.
    Failed,
}

/// A message for the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What stands around it.
    pub aps: Aps,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// An answer, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// From its device objects.
    Zdo(zdo::Heard),
    /// From a cluster.
    Global {
        /// The cluster.
        cluster: u16,
        /// The endpoint.
        endpoint: u8,
        /// The command.
        global: Global,
    },
}

/// What an interview wants now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wants {
    /// Nothing before its time is due.
    Wait,
    /// This sent.
    Send(Message),
    /// This told to the person who waits.
    Tell(Stage, String),
    /// It is over, and this is what joined.
    Done(Node),
    /// It is over, and this is why nothing did.
    Failed(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    NodeDescriptor,
    Endpoints,
    Simple(u8),
    Basic(u8),
    BindZone(u8),
    WriteCie(u8),
    Pause,
    Enroll(u8),
    ReadZone(u8),
    Tell(Stage),
    ReportZone(u8),
    Bind(u8, u16),
    ReportBattery(u8),
    ReportState(u8, Role),
    CheckIn(u8),
}

impl Task {
    /// Whether a detector is none without it.
    fn essential(self) -> bool {
        matches!(self, Self::NodeDescriptor | Self::Endpoints | Self::Simple(_) | Self::WriteCie(_) | Self::ReadZone(_))
    }

    /// What a device that does not take it will not tell by itself.
    fn tells(self) -> Option<&'static str> {
        match self {
            Self::ReportZone(_) | Self::ReportState(..) => Some("repeat its state"),
            Self::ReportBattery(_) => Some("tell its battery"),
            Self::CheckIn(_) => Some("check in"),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::NodeDescriptor => "what kind of node it is",
            Self::Endpoints => "which endpoints it has",
            Self::Simple(_) => "what its endpoint does",
            Self::Basic(_) => "who made it",
            Self::BindZone(_) | Self::Bind(..) => "to report to the hub",
            Self::WriteCie(_) => "to take the hub's address",
            Self::ReadZone(_) => "whether it is enrolled",
            Self::ReportZone(_) | Self::ReportBattery(_) | Self::ReportState(..) | Self::CheckIn(_) => {
                "to report by itself"
            }
            Self::Pause | Self::Enroll(_) | Self::Tell(_) => "nothing",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The key is on its way.
    Joining,
    /// Ready for the next task.
    Idle,
    /// Asked, with this transaction number.
    Asked {
        tsn: u8,
    },
    /// A pause.
    Paused,
    /// A zone was read in vain, too often.
    NotEnrolled,
    Over,
}

/// One newcomer.
#[derive(Debug)]
pub struct Interview {
    device: Eui64,
    hub: Eui64,
    node: Node,
    /// Promised to its zones, in their order.
    zone_ids: Vec<u8>,
    /// What it does not tell by itself.
    silent: Vec<&'static str>,
    state: State,
    tasks: VecDeque<Task>,
    tries: u32,
    reads: u32,
    due_ms: u64,
    power: Option<u8>,
    poll: Option<u8>,
}

impl Interview {
    /// Of a device at the door, whose zones will get these ids.
    pub fn new(device: Eui64, nwk: u16, hub: Eui64, zone_ids: Vec<u8>, now_ms: u64) -> Self {
        let (maker, model) = (String::new(), String::new());
        let (zones, functions, placed) = (Vec::new(), Vec::new(), BTreeMap::new());
        let node = Node { nwk, sleepy: true, maker, model, zones, functions, placed, weak: false };
        Self {
            device,
            hub,
            node,
            zone_ids,
            silent: Vec::new(),
            state: State::Joining,
            tasks: VecDeque::from([Task::Tell(Stage::Interview), Task::NodeDescriptor, Task::Endpoints]),
            tries: 0,
            reads: 0,
            due_ms: now_ms + ANNOUNCE_MS,
            power: None,
            poll: None,
        }
    }

    /// Where it is.
    pub fn nwk(&self) -> u16 {
        self.node.nwk
    }

    /// The ids promised to its zones.
    pub fn zone_ids(&self) -> &[u8] {
        &self.zone_ids
    }

    /// Whether a zone was found that has no id yet.
    pub fn lacks_id(&self) -> bool {
        self.node.zones.iter().any(|zone| zone.zone_id == NO_ZONE_ID)
    }

    /// Gives the first zone without an id this one.
    pub fn promise(&mut self, id: u8) {
        self.zone_ids.push(id);
        if let Some(zone) = self.node.zones.iter_mut().find(|zone| zone.zone_id == NO_ZONE_ID) {
            zone.zone_id = id;
        }
    }

    /// The zone an enrol request of this endpoint asks for. Some ask before they have said what they are: the first.
    pub fn zone_id(&self, endpoint: u8) -> Option<u8> {
        match self.node.zones.iter().find(|zone| zone.endpoint == endpoint) {
            Some(zone) => Some(zone.zone_id),
            None if self.node.zones.is_empty() => self.zone_ids.first().copied(),
            None => None,
        }
    }

    /// It has the key and is there (again).
    pub fn announced(&mut self, nwk: u16, sleepy: bool, now_ms: u64) {
        self.node.nwk = nwk;
        self.node.sleepy = sleepy;
        if self.state == State::Joining {
            self.state = State::Idle;
        }
        self.due_ms = now_ms;
    }

    /// A detector that asks to be enrolled is awake and willing: look at once whether it now is.
    pub fn enroll_requested(&mut self, endpoint: u8, zone_type: u16, now_ms: u64) {
        if let Some(zone) = self.node.zones.iter_mut().find(|zone| zone.endpoint == endpoint) {
            zone.zone_type = zone_type;
        }
        if self.state == State::Paused {
            self.due_ms = now_ms;
        }
    }

    /// When it wants to be asked again, ms.
    pub fn due_ms(&self) -> u64 {
        self.due_ms
    }

    /// What it wants; to be called until it waits.
    pub fn wants(&mut self, tsn: u8, now_ms: u64) -> Wants {
        match self.state {
            State::Over => return Wants::Wait,
            State::Idle => {}
            _ if self.due_ms > now_ms => return Wants::Wait,
            State::Joining => return self.fail("it asked to join, and was not heard again with the network's key"),
            State::NotEnrolled => {
                return self.fail("it never said that it is enrolled; take its battery out and join it again");
            }
            State::Paused => self.state = State::Idle,
            State::Asked { .. } => {
                self.tries += 1;
                self.state = State::Idle;
                if self.tries >= TRIES {
                    let task = self.tasks.pop_front().expect("a question was asked");
                    self.tries = 0;
                    if task.essential() {
                        let text = format!("it was asked {} {TRIES} times and did not answer", task.name());
                        return self.fail(&text);
                    }
                    self.silent.extend(task.tells());
                }
            }
        }
        let Some(task) = self.tasks.front().copied() else {
            if self.node.devices().is_empty() {
                return self.fail("it is no detector, keypad, siren, lock or switch: this hub has no use for it");
            }
            self.state = State::Over;
            return Wants::Done(self.node.clone());
        };
        match task {
            Task::Pause => {
                self.tasks.pop_front();
                self.state = State::Paused;
                self.due_ms = now_ms + PAUSE_MS;
                Wants::Wait
            }
            Task::Tell(stage) => {
                self.tasks.pop_front();
                Wants::Tell(stage, self.text(stage))
            }
            Task::Enroll(_) => {
                self.tasks.pop_front();
                Wants::Send(self.message(task, tsn))
            }
            asked => {
                self.state = State::Asked { tsn };
                self.due_ms = now_ms + ANSWER_MS;
                Wants::Send(self.message(asked, tsn))
            }
        }
    }

    fn fail(&mut self, why: &str) -> Wants {
        self.state = State::Over;
        Wants::Failed(why.to_owned())
    }

    fn text(&self, stage: Stage) -> String {
        match stage {
            Stage::Trip => "trip it once, so that it speaks: open it, press its button, wave at it".to_owned(),
            Stage::Enrolled => format!("{} {}, alarms this hub", self.node.maker, self.node.model),
            Stage::Reporting if !self.silent.is_empty() => {
                format!("it does not {} unasked", self.silent.join(" or "))
            }
            Stage::Interview => "it is asked what it is; a sleeping device takes up to a minute".to_owned(),
            _ => String::new(),
        }
    }

    fn message(&self, task: Task, tsn: u8) -> Message {
        let nwk = self.node.nwk;
        let bind = |endpoint, cluster| {
            let target = (self.hub, OURS.number);
            let binding = Binding {
                source: self.device,
                source_endpoint: endpoint,
                cluster,
                target: target.0,
                target_endpoint: target.1,
            };
            device_objects(Request::Bind(binding), tsn)
        };
        match task {
            Task::NodeDescriptor => device_objects(Request::NodeDescriptor(nwk), tsn),
            Task::Endpoints => device_objects(Request::ActiveEndpoints(nwk), tsn),
            Task::Simple(endpoint) => device_objects(Request::SimpleDescriptor(nwk, endpoint), tsn),
            Task::Basic(endpoint) => to_cluster(BASIC, endpoint, Global::Read(vec![MAKER, MODEL]).request(tsn)),
            Task::BindZone(endpoint) => bind(endpoint, ias::CLUSTER),
            Task::Bind(endpoint, cluster) => bind(endpoint, cluster),
            Task::WriteCie(endpoint) => to_cluster(ias::CLUSTER, endpoint, ias::write_cie_address(tsn, self.hub)),
            Task::Enroll(endpoint) => {
                let id = self.zone_id(endpoint).unwrap_or(NO_ZONE_ID);
                to_cluster(ias::CLUSTER, endpoint, ias::enroll_response(tsn, EnrollCode::Success, id))
            }
            Task::ReadZone(endpoint) => to_cluster(ias::CLUSTER, endpoint, ias::read_zone(tsn)),
            Task::ReportZone(endpoint) => {
                let id = ias::attribute::ZONE_STATUS;
                let (data_type, min_s, max_s) = (DataType::BITMAP16, 0, STATUS_MAX_S);
                reporting(ias::CLUSTER, endpoint, Reporting::Send { id, data_type, min_s, max_s, change: None }, tsn)
            }
            Task::ReportBattery(endpoint) => {
                let (min_s, max_s) = BATTERY_S;
                let (id, data_type) = (power::attribute::BATTERY_PERCENT, DataType::UINT8);
                let change = Value::fixed(data_type, 2);
                let report = Reporting::Send { id, data_type, min_s, max_s, change };
                reporting(power::cluster::POWER_CONFIGURATION, endpoint, report, tsn)
            }
            Task::ReportState(endpoint, role) => {
                let (id, data_type) = role.state().expect("only such a role has this task");
                // A tenth of a degree; where there is no more or less, any change.
                let change = (data_type == DataType::INT16).then(|| Value::fixed(data_type, 10)).flatten();
                let report = Reporting::Send { id, data_type, min_s: 0, max_s: STATUS_MAX_S, change };
                reporting(role.cluster(), endpoint, report, tsn)
            }
            Task::CheckIn(endpoint) => {
                let quarter_s = poll_control::check_in_quarter_s(self.node.devices().into_values());
                to_cluster(power::cluster::POLL_CONTROL, endpoint, poll_control::set_check_in(tsn, quarter_s))
            }
            Task::Pause | Task::Tell(_) => unreachable!("these send nothing"),
        }
    }

    /// An answer with this transaction number. False: it is not the one that is waited for.
    pub fn answered(&mut self, tsn: u8, answer: &Answer, now_ms: u64) -> bool {
        if self.state != (State::Asked { tsn }) {
            return false;
        }
        let Some(task) = self.tasks.front().copied() else { return false };
        let Some(done) = self.take(task, answer, now_ms) else { return false };
        if !done {
            return true;
        }
        self.tries = 0;
        self.tasks.pop_front();
        if self.state == (State::Asked { tsn }) {
            self.state = State::Idle;
            self.due_ms = now_ms;
        }
        true
    }

    /// Takes the answer to a task: `None` when it is none, false when the task goes on.
    fn take(&mut self, task: Task, answer: &Answer, now_ms: u64) -> Option<bool> {
        match (task, answer) {
            (Task::NodeDescriptor, Answer::Zdo(zdo::Heard::NodeDescriptor(told))) => {
                if let Ok(descriptor) = told {
                    self.node.sleepy = descriptor.capability.sleepy();
                }
            }
            (Task::Endpoints, Answer::Zdo(zdo::Heard::ActiveEndpoints(told))) => {
                let endpoints = told.clone().unwrap_or_default();
                let usable = endpoints.into_iter().filter(|endpoint| (1..=240).contains(endpoint));
                self.tasks.extend(usable.take(ENDPOINTS_MAX).map(Task::Simple));
            }
            (Task::Simple(endpoint), Answer::Zdo(zdo::Heard::SimpleDescriptor(told))) => {
                self.described(endpoint, told.as_ref().ok());
            }
            (Task::Basic(_), Answer::Global { cluster: BASIC, global, .. }) => {
                for (id, value) in global.told() {
                    let text = || match value.content() {
                        Content::Bytes(Some(bytes)) => plain(bytes),
                        _ => String::new(),
                    };
                    match id {
                        MAKER => self.node.maker = text(),
                        MODEL => self.node.model = text(),
                        _ => {}
                    }
                }
            }
            (Task::BindZone(_) | Task::Bind(..), Answer::Zdo(zdo::Heard::Done(..))) => {}
            (Task::ReadZone(asked), Answer::Global { cluster: ias::CLUSTER, endpoint, global })
                if asked == *endpoint =>
            {
                return Some(self.zone_read(asked, global, now_ms));
            }
            (Task::WriteCie(_), Answer::Global { .. }) => {}
            (
                Task::ReportZone(_) | Task::ReportBattery(_) | Task::ReportState(..) | Task::CheckIn(_),
                Answer::Global { global, .. },
            ) => {
                if !global.all_done() {
                    self.silent.extend(task.tells());
                }
            }
            _ => return None,
        }
        Some(true)
    }

    /// An endpoint was described; after the last one it is known what there is to do.
    fn described(&mut self, endpoint: u8, descriptor: Option<&zdo::SimpleDescriptor>) {
        if let Some(descriptor) = descriptor {
            let has = |cluster| descriptor.inputs.contains(&cluster);
            if has(ias::CLUSTER) {
                let zone_id = self.zone_ids.get(self.node.zones.len()).copied().unwrap_or(NO_ZONE_ID);
                self.node.zones.push(Zone { endpoint, zone_type: ZONE_TYPE_UNKNOWN, zone_id });
            }
            self.node.functions.extend(Role::of(descriptor).map(|role| Function { endpoint, role }));
            self.power = self.power.or(has(power::cluster::POWER_CONFIGURATION).then_some(endpoint));
            self.poll = self.poll.or(has(power::cluster::POLL_CONTROL).then_some(endpoint));
        }
        if self.tasks.iter().skip(1).any(|task| matches!(task, Task::Simple(_))) {
            return;
        }
        self.tasks.push_back(Task::Basic(endpoint));
        for Zone { endpoint, .. } in self.node.zones.clone() {
            self.tasks.extend([Task::BindZone(endpoint), Task::WriteCie(endpoint), Task::Pause]);
            self.tasks.extend([Task::Enroll(endpoint), Task::ReadZone(endpoint)]);
        }
        if !self.node.zones.is_empty() {
            // A detector that also tells how warm it is, on another endpoint, is one device, and stays what it was called.
            self.node.functions.retain(|of| !matches!(of.role, Role::Switch | Role::Climate));
        }
        if self.node.devices().is_empty() {
            return;
        }
        self.tasks.push_back(Task::Tell(Stage::Enrolled));
        self.tasks.extend(self.node.zones.iter().map(|zone| Task::ReportZone(zone.endpoint)));
        for Function { endpoint, role } in self.node.functions.clone() {
            self.tasks.push_back(Task::Bind(endpoint, role.cluster()));
            self.tasks.extend((role == Role::Lock).then_some(Task::Bind(endpoint, bolts::ALARMS)));
            self.tasks.extend(role.state().map(|_| Task::ReportState(endpoint, role)));
        }
        if let Some(endpoint) = self.power {
            let cluster = power::cluster::POWER_CONFIGURATION;
            self.tasks.extend([Task::Bind(endpoint, cluster), Task::ReportBattery(endpoint)]);
        }
        if let Some(endpoint) = self.poll {
            self.tasks.extend([Task::Bind(endpoint, power::cluster::POLL_CONTROL), Task::CheckIn(endpoint)]);
        }
        self.tasks.push_back(Task::Tell(Stage::Reporting));
    }

    /// What a zone says of itself: true once it is enrolled with this hub.
    fn zone_read(&mut self, endpoint: u8, global: &Global, now_ms: u64) -> bool {
        let Ok(told) = ZoneAttributes::of(global) else { return false };
        if let (Some(zone_type), Some(zone)) =
            (told.zone_type, self.node.zones.iter_mut().find(|zone| zone.endpoint == endpoint))
        {
            zone.zone_type = zone_type.code();
        }
        if told.enrolled_with(self.hub) {
            self.reads = 0;
            return true;
        }
        self.reads += 1;
        self.tries = 0;
        if self.reads >= READS_TRIPPED {
            self.state = State::NotEnrolled;
            self.due_ms = now_ms;
            return false;
        }
        self.state = State::Idle;
        if self.reads == READS {
            self.tasks.push_front(Task::Tell(Stage::Trip));
        }
        let again = if told.cie == Some(self.hub) { Task::Enroll(endpoint) } else { Task::WriteCie(endpoint) };
        if self.reads.is_multiple_of(READS) {
            self.tasks.push_front(again);
        }
        self.tasks.push_front(Task::Pause);
        self.due_ms = now_ms;
        false
    }
}

/// The cluster and the attributes that say who made it.
const BASIC: u16 = 0x0000;
const MAKER: u16 = 0x0004;
const MODEL: u16 = 0x0005;
/// No zone id (07-5123, 8.2.2.2.3); a detector whose id is lost is never enrolled with another's.
const NO_ZONE_ID: u8 = 0xFF;
/// "Invalid zone type" (07-5123, table 8-5).
const ZONE_TYPE_UNKNOWN: u16 = 0xFFFF;
/// The longest name of a maker or model that is kept.
const NAME_MAX: usize = 32;

/// A device's own words, fit to be shown.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect::<String>().trim().to_owned()
}

/// A message to a device's own objects.
pub(crate) fn device_objects(request: Request, tsn: u8) -> Message {
    let (profile, cluster) = (0, request.cluster());
    let aps = Aps { profile, cluster, source: 0, destination: 0, options: APS_RELIABLE, group: 0, sequence: 0 };
    Message { aps, bytes: request.message(tsn) }
}

/// A message to a cluster of an endpoint.
pub fn to_cluster(cluster: u16, endpoint: u8, bytes: Vec<u8>) -> Message {
    let (source, destination) = (OURS.number, endpoint);
    let aps = Aps { profile: PROFILE_HA, cluster, source, destination, options: APS_RELIABLE, group: 0, sequence: 0 };
    Message { aps, bytes }
}

fn reporting(cluster: u16, endpoint: u8, one: Reporting, tsn: u8) -> Message {
    to_cluster(cluster, endpoint, Global::ConfigureReporting(vec![one]).request(tsn))
}
