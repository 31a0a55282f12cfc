//! Zigbee beside zigbee2mqtt: the same twin of a stick, the same broker, the same tap, in one run. A hub writes each event
//! to disk before it tells; the peer does not.

use super::Outcome;
use super::client;
use super::figures::Beside;
use super::figures::Figures;
use super::figures::Times;
use super::signs_for;
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use serde_json::Value;
use serde_json::json;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;
use tokio::process::Child;
use tokio::process::Command;
use tokio::sync::mpsc;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::site::SOON;
use vakt_integration::lab::watch::now_us;
use vakt_integration::twins::ncp::Settings;
use vakt_integration::twins::ncp::habits::Habits;
use vakt_integration::twins::ncp::habits::Kind;
use vakt_integration::twins::ncp::pty::Twin;

/// Openings and closings that each latency is taken from.
const SAMPLES: usize = 200;
/// From one to the next, as the peer was measured: 20 a second.
const PACE: Duration = Duration::from_millis(50);
/// Words of the burst.
const BURST: usize = 200;
/// So many at once, and the time to the next ones: a stick has some 250 buffers, and a word takes more than one.
const VOLLEY: (usize, Duration) = (25, Duration::from_millis(10));
/// Detectors that join at once; the hub interviews 16.
const AT_ONCE: usize = 12;
/// What the hub's memory may be of the peer's: the project's aim.
pub const MEMORY_SHARE: f64 = 1.0 / 8.0;
/// Back to work after the stick crashed: the project's aim, seconds.
const BACK_S: f64 = 3.0;

type Tap = mpsc::Receiver<(u64, Vec<u8>)>;

/// What the peer did.
struct Peer {
    event: Times,
    rss_mib: f64,
    burst_s: f64,
}

pub async fn zigbee(figures: &mut Figures) -> Outcome<()> {
    let settings = LabSettings { zigbee: Some(13), ..LabSettings::default() };
    let mut lab = Lab::start(settings).await?;
    let peer = match peer(&lab).await {
        Ok(peer) => Some(peer),
        Err(error) => {
            println!("zigbee2mqtt is missing: {error}");
            None
        }
    };
    lab.start_arc(Misbehaviour::default()).await?;
    lab.daemon.start().await?;
    lab.furnish("00010204", &[]).await?;
    let device = lab.join("door", Habits::of(Kind::Contact), "perimeter").await?;
    lab.all_signed().await?;
    let one = lab.daemon.rss_kib()? as f64 / 1024.0;
    let (event, receipt) = latencies(&lab, &device).await?;
    let beside =
        |of: fn(&Peer) -> f64, name: &'static str| peer.as_ref().map_or(Beside::Missing, |p| Beside::Peer(name, of(p)));
    figures.times("zigbee.event", &event, beside(|peer| peer.event.p50(), "zigbee2mqtt p50"));
    figures.times("zigbee.receipt", &receipt, Beside::Missing);
    let memory = peer
        .as_ref()
        .map_or(Beside::Missing, |peer| Beside::PeerAndLimit("zigbee2mqtt", peer.rss_mib, peer.rss_mib * MEMORY_SHARE));
    figures.put("zigbee.rss.1", one, "MiB", memory);
    let mut names = vec!["door".to_owned()];
    for (count, name) in [(100, "zigbee.rss.100"), (250, "zigbee.rss.250")] {
        fill(&lab, &mut names, count).await?;
        figures.put(name, lab.daemon.rss_kib()? as f64 / 1024.0, "MiB", Beside::Missing);
    }
    let burst = burst(&lab, &names).await?;
    let peers = peer.as_ref().map_or(Beside::Missing, |peer| Beside::Peer("zigbee2mqtt, 1 device", peer.burst_s));
    figures.put("zigbee.burst_200", burst, "s", peers);
    let back = crash(&lab).await?;
    figures.put("zigbee.crash.back", back, "s", Beside::PeerAndLimit("aim", BACK_S, BACK_S));
    Ok(())
}

/// From a detector's word in the air to the event at the broker, and to a receipt that signs for it.
async fn latencies(lab: &Lab, device: &str) -> Outcome<(Times, Times)> {
    let (tap, mut told) = client(lab, "bench-zigbee");
    tap.subscribe("vakt/v1/lab-hub/event/#", QoS::AtLeastOnce).await?;
    let (acks, mut receipts) = client(lab, "bench-zigbee-ack");
    acks.subscribe("vakt/v1/lab-hub/ack", QoS::AtLeastOnce).await?;
    tokio::time::sleep(PACE).await;
    let (mut event, mut receipt) = (Times::default(), Times::default());
    for number in 0..SAMPLES {
        while told.try_recv().is_ok() || receipts.try_recv().is_ok() {}
        let (set, clear) = if number % 2 == 0 { (1, 0) } else { (0, 1) };
        let began = now_us();
        lab.happens("door", set, clear)?;
        let (at, body) =
            next(&mut told, |body| body["type"] == json!("device_changed") && body["device"] == json!(device)).await?;
        event.push(at.saturating_sub(began));
        let seq = body["seq"].as_u64().ok_or("an event without a seq")?;
        loop {
            let (at, jws) = tokio::time::timeout(SOON, receipts.recv()).await?.ok_or("the tap broke off")?;
            if signs_for(&jws, seq) {
                receipt.push(at.saturating_sub(began));
                break;
            }
        }
        tokio::time::sleep(PACE).await;
    }
    Ok((event, receipt))
}

/// The next message that is wanted, and when it came.
async fn next(tap: &mut Tap, wanted: impl Fn(&Value) -> bool) -> Outcome<(u64, Value)> {
    loop {
        let (at, payload) = tokio::time::timeout(SOON, tap.recv()).await?.ok_or("the tap broke off")?;
        if let Ok(body) = serde_json::from_slice(&payload)
            && wanted(&body)
        {
            return Ok((at, body));
        }
    }
}

/// Lets detectors join until there are so many.
async fn fill(lab: &Lab, names: &mut Vec<String>, count: usize) -> Outcome<()> {
    let mesh = lab.mesh.as_ref().ok_or("no stick")?;
    let (tap, mut told) = client(lab, "bench-zigbee-join");
    tap.subscribe("vakt/v1/lab-hub/event/audit", QoS::AtLeastOnce).await?;
    while names.len() < count {
        lab.ask(json!({"command": "device_permit", "seconds": 170, "joining": "legacy"})).await?;
        let more = (count - names.len()).min(AT_ONCE);
        for number in 0..more {
            let name = format!("d{}", names.len() + number);
            mesh.ask(|stick, _| stick.add(&name, Habits::of(Kind::Contact), None))?;
            mesh.ask(|stick, now| stick.join(now, &name))?;
        }
        for _ in 0..more {
            next(&mut told, |body| body["type"] == json!("device_added")).await?;
        }
        names.extend((0..more).map(|number| format!("d{}", names.len() + number)).collect::<Vec<_>>());
    }
    lab.all_signed().await?;
    Ok(())
}

/// From the first word of a burst to the last event of it at the broker.
async fn burst(lab: &Lab, names: &[String]) -> Outcome<f64> {
    let (tap, mut told) = client(lab, "bench-zigbee-burst");
    tap.subscribe("vakt/v1/lab-hub/event/state", QoS::AtLeastOnce).await?;
    tokio::time::sleep(PACE).await;
    let began = now_us();
    let mut last = began;
    for number in 0..BURST {
        let (set, clear) = if (number / names.len()).is_multiple_of(2) { (1, 0) } else { (0, 1) };
        lab.happens(&names[number % names.len()], set, clear)?;
        volley(number).await;
    }
    for _ in 0..BURST {
        last = next(&mut told, |body| body["type"] == json!("device_changed")).await?.0;
    }
    Ok(last.saturating_sub(began) as f64 / 1e6)
}

async fn volley(number: usize) {
    if number % VOLLEY.0 == VOLLEY.0 - 1 {
        tokio::time::sleep(VOLLEY.1).await;
    }
}

/// From the stick's crash to the hub's network being up again.
async fn crash(lab: &Lab) -> Outcome<f64> {
    let mesh = lab.mesh.as_ref().ok_or("no stick")?;
    let began = now_us();
    mesh.ask(|stick, now| stick.reset(now, 0x03));
    let down = |status: &Value| status["faults"].as_array().is_some_and(|faults| !faults.is_empty());
    lab.until("the fault", down).await?;
    lab.until("the stick again", |status| !down(status)).await?;
    Ok(now_us().saturating_sub(began) as f64 / 1e6)
}

/// zigbee2mqtt on a stick of its own, at the lab's broker; it is killed when this is dropped.
pub struct Z2m {
    stick: Twin,
    node: Child,
    tap: AsyncClient,
    told: Tap,
}

impl Z2m {
    /// The script that installs and runs it.
    pub fn script() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/z2m")
    }

    /// Fetches it where it is not here yet.
    pub async fn install() -> Outcome<()> {
        let installed = Command::new(Self::script()).arg("install").stdout(Stdio::null()).status().await?;
        if installed.success() { Ok(()) } else { Err("it could not be installed with npm".into()) }
    }

    /// Starts it anew, and tells how long that took until its network was up.
    pub async fn start(lab: &Lab) -> Outcome<(Self, Duration)> {
        let path: PathBuf = lab.folder().join("stick-peer");
        let stick = Twin::plug(Settings::new(13), &path, None)?;
        let (tap, mut told) = client(lab, "bench-z2m");
        tap.subscribe("zigbee2mqtt/#", QoS::AtLeastOnce).await?;
        let port = lab.broker.plain_address().port().to_string();
        let log = std::fs::File::create(lab.folder().join("z2m.log"))?;
        let mut node = Command::new(Self::script());
        node.arg("run").arg(lab.folder().join("z2m")).arg(&path).arg(port).kill_on_drop(true);
        let began = Instant::now();
        let node = node.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        next(&mut told, |body| !body["coordinator"].is_null()).await?;
        Ok((Self { stick, node, tap, told }, began.elapsed()))
    }

    /// Resident memory, MiB.
    pub fn rss_mib(&self) -> Outcome<f64> {
        rss_mib(&self.node)
    }
}

/// What the peer does.
async fn peer(lab: &Lab) -> Outcome<Peer> {
    Z2m::install().await?;
    let (z2m, _) = Z2m::start(lab).await?;
    let Z2m { stick, node, tap, mut told } = z2m;
    tap.publish("zigbee2mqtt/bridge/request/permit_join", QoS::AtLeastOnce, false, r#"{"time": 60}"#).await?;
    next(&mut told, |body| body["status"] == json!("ok")).await?;
    stick.ask(|stick, _| stick.add("door", Habits::of(Kind::Contact), None))?;
    stick.ask(|stick, now| stick.join(now, "door"))?;
    next(&mut told, |body| body["data"]["status"] == json!("successful")).await?;
    tokio::time::sleep(Duration::from_secs(5)).await; // it goes on configuring, and does not say when it has ended
    let mut event = Times::default();
    for number in 0..SAMPLES {
        while told.try_recv().is_ok() {}
        let open = number % 2 == 0;
        let began = now_us();
        stick.ask(|stick, now| stick.happens(now, "door", u16::from(open), u16::from(!open)))?;
        let (at, _) = next(&mut told, |body| body["contact"] == json!(!open)).await?;
        event.push(at.saturating_sub(began));
        tokio::time::sleep(PACE).await;
    }
    let began = now_us();
    for number in 0..BURST {
        let open = number % 2 == 0;
        stick.ask(|stick, now| stick.happens(now, "door", u16::from(open), u16::from(!open)))?;
        volley(number).await;
    }
    let mut last = began;
    for _ in 0..BURST {
        last = next(&mut told, |body| !body["contact"].is_null()).await?.0;
    }
    let rss_mib = rss_mib(&node)?;
    drop(node);
    Ok(Peer { event, rss_mib, burst_s: last.saturating_sub(began) as f64 / 1e6 })
}

/// Resident memory of a child, MiB.
pub fn rss_mib(child: &Child) -> Outcome<f64> {
    let pid = child.id().ok_or("it has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("it has no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
