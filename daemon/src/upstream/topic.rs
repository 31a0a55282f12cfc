//! The topics and payloads of the contract ("MQTT 5"), version 1: what the centre's side parses, so fields are only
//! ever added. Events are not here, they are sent as the journal stores them; this file never touches an event's bytes.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use vakt_core::canonical::hex;
use vakt_core::device::AreaId;
use vakt_core::device::DeviceFault;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::device::GatewayId;
use vakt_core::device::ZoneId;
use vakt_core::event::AlarmKind;
use vakt_core::event::Class;
use vakt_core::event::EventId;
use vakt_core::event::Service;
use vakt_core::port::Answered;
use vakt_core::port::Head;
use vakt_core::port::Measured;
use vakt_core::port::Signal;
use vakt_core::port::Waiting;
use vakt_core::stamp::Stamp;
use vakt_core::warrant::Status;

/// Longest `state` payload, in bytes (contract). A site with more trouble than fits shows the first and the totals.
pub const STATE_MAX: usize = 16 * 1024;
/// Incidents listed in `state`; the total stands beside them.
pub const INCIDENTS_SHOWN: usize = 20;
/// Faults listed in `state`; the total stands beside them.
pub const FAULTS_SHOWN: usize = 60;
/// Longest packet in either direction, in bytes (contract).
pub const PACKET_MAX: u32 = 96 * 1024;
/// Longest `telemetry` payload, in bytes; what does not fit is lost to the centre, and stands in the hub's table.
pub const TELEMETRY_MAX: usize = 4 * 1024;
/// After so many seconds a broker drops measurements that nobody has taken: newer ones are there.
pub const TELEMETRY_EXPIRES_S: u32 = 600;
/// Longest name of a medium, in bytes.
const MEDIA_NAME_MAX: usize = 64;

/// The names of one gateway's topics.
#[derive(Debug, Clone)]
pub struct Topics {
    base: String,
}

/// Whether this can name a medium: it is a level of a topic.
pub fn is_media(name: &str) -> bool {
    (1..=MEDIA_NAME_MAX).contains(&name.len()) && !name.contains(['/', '+', '#']) && !name.chars().any(char::is_control)
}

impl Topics {
    /// All begin with `vakt/v1/{gateway}/`.
    pub fn new(gateway: &GatewayId) -> Self {
        Self { base: format!("vakt/v1/{gateway}/") }
    }

    /// Events of a class, up.
    pub fn event(&self, class: Class) -> String {
        format!("{}event/{}", self.base, class.name())
    }

    /// The centre's receipts, down.
    pub fn ack(&self) -> String {
        format!("{}ack", self.base)
    }

    /// Warrants, down.
    pub fn cmd(&self) -> String {
        format!("{}cmd", self.base)
    }

    /// A piece of a sealed file, from this byte on.
    pub fn media(&self, media: &str, offset: u64) -> String {
        format!("{}media/{media}/{offset}", self.base)
    }

    /// What became of a warrant, up.
    pub fn reply(&self, jti: &str) -> String {
        format!("{}reply/{jti}", self.base)
    }

    /// The site as a whole, retained.
    pub fn state(&self) -> String {
        format!("{}state", self.base)
    }

    /// One device, retained.
    pub fn device(&self, id: &DeviceId) -> String {
        format!("{}device/{id}", self.base)
    }

    /// Measurements, up, QoS 0.
    pub fn telemetry(&self) -> String {
        format!("{}telemetry", self.base)
    }

    /// A path's birth and last will, retained.
    pub fn path(&self, path: &str) -> String {
        format!("{}path/{path}", self.base)
    }

    /// A path's heartbeat, up.
    pub fn beat(&self, path: &str) -> String {
        format!("{}path/{path}/beat", self.base)
    }

    /// The centre's echo of it, down.
    pub fn echo(&self, path: &str) -> String {
        format!("{}path/{path}/echo", self.base)
    }
}

/// What `state` and `device/{id}` show, made by the hub from the core's state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// The site as a whole.
    pub state: StateView,
    /// Every device. `last_heard` in it should be coarse: each change is a publish.
    pub devices: BTreeMap<DeviceId, DeviceView>,
    /// What `path/lte` shows beside its birth.
    pub mobile: Mobile,
}

/// The site as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct StateView {
    /// Each area.
    pub areas: BTreeMap<AreaId, AreaView>,
    /// The open incidents, oldest first.
    pub incidents: Vec<IncidentView>,
    /// What is out of order, oldest first.
    pub faults: Vec<FaultView>,
    /// The site's standing with the operator; `None` while it is not known.
    pub service: Option<Service>,
}

/// An area's arm state in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the contract's own words
pub enum ArmWord {
    Unknown,
    Disarmed,
    Exit,
    ArmedAway,
    ArmedHome,
    ArmedNight,
    Warning,
    Entry,
}

/// One area.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AreaView {
    /// Where it stands.
    pub arm: ArmWord,
    /// Since when, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When its entry or exit delay ends, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// One open incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct IncidentView {
    /// Its name: the id of the event that opened it.
    pub id: EventId,
    /// What it is about.
    pub kind: AlarmKind,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<AreaId>,
    /// Since when, RFC 3339.
    pub since: String,
}

/// One thing out of order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FaultView {
    /// What: `low_battery`, `disk`, `receiver:eth`, …
    pub what: String,
    /// Of which device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// Since when, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DeviceView {
    /// What it watches for.
    pub kind: DeviceKind,
    /// Its area, once assigned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<AreaId>,
    /// Its zone, once assigned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<ZoneId>,
    /// What it last said; absent until it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<DeviceState>,
    /// `ok` or `low`, if it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub battery: Option<Battery>,
    /// Received signal strength in dBm, where the receiver tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_dbm: Option<i16>,
    /// When it was last heard, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heard: Option<String>,
    /// What keeps it from its work.
    pub faults: Vec<DeviceFault>,
}

/// A battery in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the contract's own words
pub enum Battery {
    Ok,
    Low,
}

/// A path's birth, last will or farewell, and its entry in `state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PathStatus {
    /// Whether it works.
    pub up: bool,
    /// Since when, RFC 3339; in a last will, when the connection was made that has now been lost.
    pub since: String,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is known of the mobile path's network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mobile {
    /// How its modem is connected, if it says.
    pub signal: Option<Signal>,
    /// It is drowned in noise.
    pub jammed: bool,
    /// The month's data are used up.
    pub spent: bool,
}

/// A path's topic: its birth, last will or farewell, and how its modem is connected, if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PathPayload<'a> {
    /// Whether it works, and since when.
    #[serde(flatten)]
    pub status: &'a PathStatus,
    /// On the mobile path, while it is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<&'a Signal>,
}

/// What a heartbeat says beside its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// From 1, over all connections of this run.
    pub counter: u64,
    /// The journal's last row.
    pub head: Head,
    /// How long the oldest event has waited for its receipt, in milliseconds; `None` when none waits or its age
    /// cannot be known.
    pub oldest_pending_ms: Option<u64>,
    /// 48 hex digits: good for a minute as the `nonce` of a warrant.
    pub challenge: String,
    /// When.
    pub at: Stamp,
}

/// The centre's echo of a beat: its counter, and its challenge if it repeats it. Unknown members are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Echo {
    /// The counter of the beat.
    pub counter: u64,
    /// The challenge of the beat.
    pub challenge: Option<String>,
}

/// How long ago `then` was, in milliseconds: by the monotonic clock within a boot, else by two trusted wall clocks.
pub fn age_ms(then: Stamp, now: Stamp) -> Option<u64> {
    if then.boot == now.boot {
        Some(now.mono_ms.saturating_sub(then.mono_ms))
    } else if then.trusted && now.trusted {
        Some(u64::try_from(now.wall_ms.saturating_sub(then.wall_ms)).unwrap_or(0))
    } else {
        None
    }
}

/// The journal's last row, in a heartbeat.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HeadPayload {
    /// Its epoch.
    epoch: u64,
    /// Its number within that.
    seq: u64,
    /// Its hash, lower-case hex.
    hash: String,
}

/// A heartbeat.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BeatPayload<'a> {
    /// From 1, over all connections of this run.
    counter: u64,
    /// The journal's last row.
    head: HeadPayload,
    /// How long the oldest event has waited for its receipt, in milliseconds.
    oldest_pending_ms: Option<u64>,
    /// Good for a minute as the `nonce` of a warrant.
    challenge: &'a str,
    /// When, RFC 3339.
    at: String,
}

/// The payload of a heartbeat.
pub fn beat_payload(beat: &Beat) -> Vec<u8> {
    json(&BeatPayload {
        counter: beat.counter,
        head: HeadPayload { epoch: beat.head.place.epoch, seq: beat.head.place.seq, hash: hex(&beat.head.hash) },
        oldest_pending_ms: beat.oldest_pending_ms,
        challenge: &beat.challenge,
        at: beat.at.at(),
    })
}

/// What became of a warrant.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReplyPayload<'a> {
    /// The warrant's own name.
    jti: &'a str,
    /// How far it is.
    status: Status,
    /// Why it was refused or failed, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// The same for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// Where it stands in the journal: the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    /// The number within that.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    /// The event that records it.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<EventId>,
    /// When, RFC 3339.
    at: String,
}

/// The payload of a reply to a warrant.
pub fn reply_payload(answered: &Answered) -> Vec<u8> {
    let Answered { answer, place, at } = answered;
    json(&ReplyPayload {
        jti: &answer.jti,
        status: answer.status,
        reason: answer.reason.as_deref(),
        text: answer.text.as_deref(),
        epoch: place.map(|place| place.epoch),
        seq: place.map(|place| place.seq),
        event: answer.event,
        at: at.at(),
    })
}

/// Measurements of several devices.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TelemetryPayload<'a> {
    /// Version of this form.
    v: u8,
    /// What each device measured.
    measured: Vec<MeasuredView<'a>>,
}

/// What one device measured.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MeasuredView<'a> {
    /// Which device.
    device: &'a DeviceId,
    /// When the hub heard it, RFC 3339.
    at: String,
    /// `trusted` or `untrusted`: the hub's clock then.
    clock: &'static str,
    /// At least one value.
    values: Vec<ValueView<'a>>,
}

/// One value.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ValueView<'a> {
    /// What was measured: `temperature`, `volume`.
    measure: &'a str,
    /// In its unit.
    value: serde_json::Number,
    /// As on a display; empty for pure numbers.
    unit: &'a str,
}

/// The payload of what was measured, as much of it as fits, and how much that is. One that fits in none is told as told.
pub fn telemetry_payload(measured: &[Measured]) -> (Option<Vec<u8>>, usize) {
    let payload =
        |upto: usize| json(&TelemetryPayload { v: 1, measured: measured[..upto].iter().map(measured_view).collect() });
    let fitting = (1..=measured.len()).rev().map(|upto| (payload(upto), upto));
    match fitting.into_iter().find(|(payload, _)| payload.len() <= TELEMETRY_MAX) {
        Some((payload, upto)) => (Some(payload), upto),
        None => (None, measured.len().min(1)),
    }
}

fn measured_view(of: &Measured) -> MeasuredView<'_> {
    let values = of.values.iter().map(|of| ValueView { measure: &of.measure, value: of.value(), unit: &of.unit });
    let clock = if of.at.trusted { "trusted" } else { "untrusted" };
    MeasuredView { device: &of.device, at: of.at.at(), clock, values: values.collect() }
}

/// The payload of a birth, last will or farewell.
pub fn path_payload(status: &PathStatus) -> Vec<u8> {
    birth_payload(status, None)
}

/// The payload of a path that is up.
pub fn birth_payload(status: &PathStatus, signal: Option<&Signal>) -> Vec<u8> {
    json(&PathPayload { status, signal })
}

/// The payload of a device.
pub fn device_payload(device: &DeviceView) -> Vec<u8> {
    json(device)
}

/// How much there is, whatever is left out of the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    /// Events in the journal's epoch.
    pub journaled: u64,
    /// Events without the centre's receipt.
    pub waiting: u64,
    /// Open incidents.
    pub incidents: usize,
    /// Things out of order.
    pub faults: usize,
}

/// `state` as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(title = "Vakt state, version 1")]
pub struct StatePayload<'a> {
    /// Each area.
    pub areas: &'a BTreeMap<AreaId, AreaView>,
    /// Open incidents, oldest first.
    pub incidents: &'a [IncidentView],
    /// What is out of order.
    pub faults: &'a [FaultView],
    /// The ways to the centre.
    pub paths: &'a BTreeMap<String, PathStatus>,
    /// The site's standing with the operator.
    pub service: Option<Service>,
    /// How much there is of each.
    pub counts: Counts,
    /// 48 hex digits: good for a minute as the `nonce` of a warrant.
    pub challenge: &'a str,
    /// When it was so, RFC 3339.
    pub as_of: String,
}

/// The payload of `state`, never longer than `STATE_MAX`.
pub fn state_payload(
    view: &StateView,
    paths: &BTreeMap<String, PathStatus>,
    waiting: Waiting,
    challenge: &str,
    as_of: Stamp,
) -> Vec<u8> {
    let (mut incidents, mut faults) = (INCIDENTS_SHOWN, FAULTS_SHOWN);
    loop {
        let payload = json(&StatePayload {
            areas: &view.areas,
            incidents: &view.incidents[..incidents.min(view.incidents.len())],
            faults: &view.faults[..faults.min(view.faults.len())],
            paths,
            service: view.service,
            counts: Counts {
                journaled: waiting.journaled,
                waiting: waiting.events,
                incidents: view.incidents.len(),
                faults: view.faults.len(),
            },
            challenge,
            as_of: as_of.at(),
        });
        // halves each time, so it ends; areas are few by the configuration and are never left out
        if payload.len() <= STATE_MAX || (incidents == 0 && faults == 0) {
            return payload;
        }
        (incidents, faults) = (incidents / 2, faults / 2);
    }
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("these types have string keys and no failing serialiser")
}

#[cfg(test)]
mod tests {
    use super::*;
    use vakt_core::device::Measurement;
    use vakt_core::port::Place;
    use vakt_core::warrant::Answer;

    const NOW: Stamp = Stamp { boot: 2, mono_ms: 90_000, wall_ms: 1_795_210_740_007, trusted: true };

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn topics_are_as_the_contract_has_them() {
        let topics = Topics::new(&GatewayId::new("hub-1").unwrap());
        let device = DeviceId::new("wm-las-00010204-03-1a").unwrap();
        assert_eq!(topics.event(Class::Alarm), "vakt/v1/hub-1/event/alarm");
        assert_eq!(topics.ack(), "vakt/v1/hub-1/ack");
        assert_eq!(topics.cmd(), "vakt/v1/hub-1/cmd");
        assert_eq!(topics.reply("w-1"), "vakt/v1/hub-1/reply/w-1");
        assert_eq!(topics.state(), "vakt/v1/hub-1/state");
        assert_eq!(topics.device(&device), "vakt/v1/hub-1/device/wm-las-00010204-03-1a");
        assert_eq!(topics.path("eth"), "vakt/v1/hub-1/path/eth");
        assert_eq!(topics.beat("eth"), "vakt/v1/hub-1/path/eth/beat");
        assert_eq!(topics.echo("eth"), "vakt/v1/hub-1/path/eth/echo");
    }

    #[test]
    fn golden_bytes_of_version_1() {
        let beat = Beat {
            counter: 3,
            head: Head { place: Place { epoch: 42, seq: 7 }, hash: [0xab; 32] },
            oldest_pending_ms: Some(150),
            challenge: "0f".repeat(24),
            at: NOW,
        };
        assert_eq!(
            text(beat_payload(&beat)),
            concat!(
                r#"{"counter":3,"head":{"epoch":42,"seq":7,"#,
                r#""hash":"abababababababababababababababababababababababababababababababab"},"#,
                r#""oldest_pending_ms":150,"challenge":"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","#,
                r#""at":"2026-11-20T21:39:00.007Z"}"#
            )
        );
        assert!(text(beat_payload(&Beat { oldest_pending_ms: None, ..beat })).contains(r#""oldest_pending_ms":null"#));
        let up = PathStatus { up: true, since: NOW.at(), reason: None };
        assert_eq!(text(path_payload(&up)), r#"{"up":true,"since":"2026-11-20T21:39:00.007Z"}"#);
        let down = PathStatus { up: false, since: NOW.at(), reason: Some("dns".into()) };
        assert_eq!(text(path_payload(&down)), r#"{"up":false,"since":"2026-11-20T21:39:00.007Z","reason":"dns"}"#);
        let signal = Signal { bars: 3, operator: Some("Twin Net".into()), technology: None };
        assert_eq!(
            text(birth_payload(&up, Some(&signal))),
            r#"{"up":true,"since":"2026-11-20T21:39:00.007Z","signal":{"bars":3,"operator":"Twin Net"}}"#
        );
        let device = DeviceView {
            kind: DeviceKind::Smoke,
            area: Some(AreaId::new("house").unwrap()),
            zone: Some(ZoneId::new("hall").unwrap()),
            state: Some(DeviceState::Clear),
            battery: Some(Battery::Low),
            signal_dbm: Some(-71),
            last_heard: Some(NOW.at()),
            faults: vec![DeviceFault::LowBattery],
        };
        assert_eq!(
            text(device_payload(&device)),
            concat!(
                r#"{"kind":"smoke","area":"house","zone":"hall","state":"clear","battery":"low","signal_dbm":-71,"#,
                r#""last_heard":"2026-11-20T21:39:00.007Z","faults":["low_battery"]}"#
            )
        );
    }

    #[test]
    fn golden_bytes_of_a_reply() {
        let id = EventId::mint(1_795_210_740_007, [0xff; 10]);
        let says = |status, reason: Option<&str>, event| Answer {
            jti: "w-1".into(),
            status,
            reason: reason.map(str::to_owned),
            text: reason.map(|_| "it was good until noon".to_owned()),
            event,
        };
        let done = Answered {
            answer: says(Status::Confirmed, None, Some(id)),
            place: Some(Place { epoch: 42, seq: 7 }),
            at: NOW,
        };
        let golden = concat!(
            r#"{"jti":"w-1","status":"confirmed","epoch":42,"seq":7,"#,
            r#""event":"01a1fae6-0127-7fff-bfff-ffffffffffff","at":"2026-11-20T21:39:00.007Z"}"#
        );
        assert_eq!(text(reply_payload(&done)), golden);
        let refused = Answered { answer: says(Status::Refused, Some("expired"), None), place: None, at: NOW };
        let golden = concat!(
            r#"{"jti":"w-1","status":"refused","reason":"expired","text":"it was good until noon","#,
            r#""at":"2026-11-20T21:39:00.007Z"}"#
        );
        assert_eq!(text(reply_payload(&refused)), golden);
    }

    #[test]
    fn golden_bytes_of_the_state_and_its_limit() {
        let mut view = StateView { service: Some(Service::Active), ..StateView::default() };
        let house = AreaView { arm: ArmWord::ArmedAway, since: Some(NOW.at()), until: None };
        view.areas.insert(AreaId::new("house").unwrap(), house);
        let incident = IncidentView {
            id: EventId::mint(1_795_210_740_007, [0xff; 10]),
            kind: AlarmKind::Fire,
            area: None,
            since: NOW.at(),
        };
        view.incidents.push(incident.clone());
        view.faults.push(FaultView { what: "disk".into(), device: None, since: None });
        let paths = BTreeMap::from([("eth".to_owned(), PathStatus { up: true, since: NOW.at(), reason: None })]);
        let waiting = Waiting { events: 2, oldest: None, journaled: 900 };
        let payload = text(state_payload(&view, &paths, waiting, "00", NOW));
        assert_eq!(
            payload,
            concat!(
                r#"{"areas":{"house":{"arm":"armed_away","since":"2026-11-20T21:39:00.007Z"}},"#,
                r#""incidents":[{"id":"01a1fae6-0127-7fff-bfff-ffffffffffff","kind":"fire","#,
                r#""since":"2026-11-20T21:39:00.007Z"}],"#,
                r#""faults":[{"what":"disk"}],"paths":{"eth":{"up":true,"since":"2026-11-20T21:39:00.007Z"}},"#,
                r#""service":"active","counts":{"journaled":900,"waiting":2,"incidents":1,"faults":1},"#,
                r#""challenge":"00","as_of":"2026-11-20T21:39:00.007Z"}"#
            )
        );
        view.faults = vec![FaultView { what: "x".repeat(1_000), device: None, since: None }; 300];
        view.incidents = vec![incident; 300];
        let payload = state_payload(&view, &paths, waiting, "00", NOW);
        assert!(payload.len() <= STATE_MAX);
        assert!(text(payload).contains(r#""incidents":300,"faults":300}"#), "what is left out is counted");
    }

    #[test]
    fn golden_bytes_of_measurements_and_their_limits() {
        let value = |measure: &str, value_milli, unit: &str| Measurement {
            measure: measure.to_owned(),
            value_milli,
            unit: unit.to_owned(),
        };
        let values = vec![value("relative_humidity", 40_000, "%"), value("external_temperature", -1_573, "°C")];
        let cellar = Measured { device: DeviceId::new("wm-cellar").unwrap(), at: NOW, values };
        let golden = concat!(
            r#"{"v":1,"measured":[{"device":"wm-cellar","at":"2026-11-20T21:39:00.007Z","clock":"trusted","values":["#,
            r#"{"measure":"relative_humidity","value":40,"unit":"%"},"#,
            r#"{"measure":"external_temperature","value":-1.573,"unit":"°C"}]}]}"#
        );
        let (payload, told) = telemetry_payload(std::slice::from_ref(&cellar));
        assert_eq!((payload.map(text).as_deref(), told), (Some(golden), 1));
        assert_eq!(telemetry_payload(&[]), (None, 0));
        let (payload, told) = telemetry_payload(&vec![cellar; 150]);
        let listed = text(payload.unwrap());
        assert!(listed.len() <= TELEMETRY_MAX && told > 15, "{}", listed.len());
        assert_eq!(listed.matches("wm-cellar").count(), told);
        let long = Measured { device: DeviceId::new("wm-long").unwrap(), at: NOW, values: vec![] };
        let long = Measured { values: vec![value(&"x".repeat(200), 1, ""); 50], ..long };
        assert_eq!(telemetry_payload(&[long]), (None, 1), "it is not tried for ever");
    }

    #[test]
    fn an_echo_needs_its_counter_only() {
        let echo: Echo = serde_json::from_str(r#"{"counter":3,"challenge":"0f","later":[1]}"#).unwrap();
        assert_eq!(echo, Echo { counter: 3, challenge: Some("0f".into()) });
        assert!(serde_json::from_str::<Echo>(r#"{"counter":3}"#).is_ok());
        assert!(serde_json::from_str::<Echo>(r#"{"challenge":"0f"}"#).is_err());
    }

    #[test]
    fn an_age_is_known_within_a_boot_or_by_two_trusted_clocks_or_not_at_all() {
        let then = Stamp { mono_ms: 80_000, wall_ms: 0, ..NOW };
        assert_eq!(age_ms(then, NOW), Some(10_000), "the wall clock jumped, the boot's did not");
        let before = Stamp { boot: 1, wall_ms: NOW.wall_ms - 5, ..NOW };
        assert_eq!(age_ms(before, NOW), Some(5));
        assert_eq!(age_ms(Stamp { trusted: false, ..before }, NOW), None);
    }
}
