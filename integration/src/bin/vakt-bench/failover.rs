//! How long an alarm takes to the centre's receipt while the path that carries it dies: real routers in network
//! namespaces, ten alarms a second, and a cut in the middle. It needs root. Beside it: mosquitto's own bridge with an
//! address for each path and a route to each, on the same cuts, to its message's arrival at a far broker.

use crate::Outcome;
use crate::bridge::Bridge;
use crate::bridge::TOPIC;
use crate::client;
use crate::client_at;
use crate::figures::Beside;
use crate::figures::Figures;
use crate::figures::Times;
use crate::signs_for;
use rumqttc::v5::mqttbytes::QoS;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use vakt_integration::arc::ledger::Row;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::net::Fault;
use vakt_integration::lab::site::SOON;
use vakt_integration::lab::site::smoke;
use vakt_integration::lab::watch::now_us;

/// The smoke detector of the captured telegram.
const SMOKE: &str = "00010204";
/// Alarms of one cut, a tenth of a second apart; the path dies after a third of them.
const ALARMS: usize = 30;
/// Cuts of each kind.
const ROUNDS: usize = 3;
/// The peer's keep-alive: the hub's own.
const PEER_KEEP_ALIVE_S: u64 = 20;
/// How long the peer's last message is waited for.
const PEER_WITHIN: Duration = Duration::from_secs(60);
/// Half of the time from alarm to alarm: the detector clears in between.
const HALF: Duration = Duration::from_millis(50);

/// The cuts, and the project's aim for the worst alarm, in seconds.
const CUTS: [(Fault, &str, f64); 5] = [
    (Fault::Silent, "silent", 2.0),
    (Fault::Uplink, "uplink", 2.0),
    (Fault::Downlink, "downlink", 2.0),
    (Fault::Carrier, "carrier", 0.3),
    (Fault::Admin, "admin", 0.3),
];

/// All of it.
pub async fn failover(figures: &mut Figures) -> Outcome<()> {
    let paths = ["eth", "lte"].map(str::to_owned).to_vec();
    let mut lab =
        Lab::start(LabSettings { networks: true, paths, beat_primary_s: 5, ..LabSettings::default() }).await?;
    lab.start_arc(Misbehaviour::default()).await?;
    lab.daemon.start().await?;
    lab.furnish(SMOKE, &[]).await?;
    both_up(&lab).await?;
    let (tap, mut receipts) = client(&lab, "bench-tap");
    tap.subscribe("vakt/v1/lab-hub/ack", QoS::AtLeastOnce).await?;
    let mut whole = Times::default();
    for _ in 0..ROUNDS {
        alarms(&lab, &mut receipts, None, &mut whole).await?;
    }
    figures.times("failover.none", &whole, Beside::Nothing);
    let peers = peers().await;
    // Which path carries: the one that was not cut last.
    let mut carrier = "eth";
    for (at, (fault, name, aim)) in CUTS.into_iter().enumerate() {
        let mut times = Times::default();
        for round in 0..ROUNDS {
            eprintln!("bench: failover: {name}, cut {} of {ROUNDS}", round + 1);
            alarms(&lab, &mut receipts, Some((carrier, fault)), &mut times).await?;
            lab.net()?.mend(carrier)?;
            carrier = if carrier == "eth" { "lte" } else { "eth" };
            both_up(&lab).await?;
        }
        let beside = || Beside::PeerAndLimit("failover.none.p50", whole.p50(), aim);
        figures.put(&format!("failover.{name}.worst"), times.at(100), "s", beside());
        figures.put(&format!("failover.{name}.p99"), times.at(99), "s", beside());
        figures.put(&format!("failover.{name}.p50"), times.p50(), "s", Beside::Peer("failover.none.p50", whole.p50()));
        let (said, worst_s);
        let beside = match peers.as_ref().map(|peers| peers[at]) {
            Err(_) => Beside::Missing,
            Ok(Some(worst)) => Beside::Peer("mosquitto's bridge", worst),
            Ok(None) => {
                worst_s = PEER_WITHIN.as_secs_f64();
                said = format!("mosquitto's bridge, not there after {worst_s} s");
                Beside::Peer(&said, worst_s)
            }
        };
        figures.put(&format!("failover.{name}.worst.peer"), times.at(100), "s", beside);
    }
    if let Err(error) = peers {
        println!("mosquitto's bridge is missing: {error}");
    }
    let lost = lab.status().await?["journal"]["unreceipted"].as_u64().unwrap_or(u64::MAX);
    let counts = lab.arc.as_ref().map(|arc| arc.counts()).ok_or("the centre is gone")?;
    if lost > 0 || !counts.clean() {
        return Err(format!("{lost} events have no receipt; the centre: {counts:?}").into());
    }
    figures.put("failover.duplicates", counts.duplicates as f64, "events", Beside::Missing);
    Ok(())
}

async fn both_up(lab: &Lab) -> Outcome<()> {
    let up = |status: &Value| ["eth", "lte"].iter().all(|path| status["paths"][path]["up"] == json!(true));
    lab.until("both paths", up).await?;
    lab.all_signed().await?;
    Ok(())
}

/// One row of alarms, and how long each took from the stick to a receipt that signs for it, in microseconds.
async fn alarms(
    lab: &Lab,
    receipts: &mut mpsc::Receiver<(u64, Vec<u8>)>,
    cut: Option<(&str, Fault)>,
    times: &mut Times,
) -> Outcome<()> {
    while receipts.try_recv().is_ok() {}
    let first = now_us();
    let mut began = Vec::new();
    for number in 0..ALARMS {
        if let Some((path, fault)) = cut.filter(|_| number == ALARMS / 3) {
            lab.net()?.break_path(path, fault)?;
        }
        lab.stick.bytes(smoke(SMOKE, false).as_bytes()).await?;
        tokio::time::sleep(HALF).await;
        began.push(now_us());
        lab.stick.bytes(smoke(SMOKE, true).as_bytes()).await?;
        tokio::time::sleep(HALF).await;
    }
    let arc = lab.arc.as_ref().ok_or("the centre is gone")?;
    let alarm = |row: &&Row| row.class == "alarm" && row.at_us >= first && row.seq.is_some();
    arc.wait_until("the alarms", SOON, |board| board.ledger.rows().filter(alarm).count() >= ALARMS).await?;
    let mut seqs: Vec<u64> = arc.look(|board| board.ledger.rows().filter(alarm).filter_map(|row| row.seq).collect());
    seqs.sort_unstable();
    lab.all_signed().await?;
    let mut heard = Vec::new();
    while let Ok(receipt) = receipts.try_recv() {
        heard.push(receipt);
    }
    for (seq, began) in seqs.into_iter().zip(began) {
        let signed = heard.iter().find(|(_, jws)| signs_for(jws, seq)).map(|(at, _)| *at);
        let signed = signed.ok_or_else(|| format!("no receipt for seq {seq} was heard"))?;
        times.push(signed.saturating_sub(began));
    }
    Ok(())
}

/// The worst message of the peer for each cut; none where one had not come after `PEER_WITHIN`.
async fn peers() -> Outcome<[Option<f64>; CUTS.len()]> {
    let mut worst = [None; CUTS.len()];
    for (at, (fault, name, _)) in CUTS.into_iter().enumerate() {
        eprintln!("bench: failover: mosquitto's bridge, {name}, {} s at most", PEER_WITHIN.as_secs());
        worst[at] = peer(fault).await?;
    }
    Ok(worst)
}

/// One cut under the bridge: messages as often as alarms, and when the last of them had come.
async fn peer(fault: Fault) -> Outcome<Option<f64>> {
    let paths = ["eth", "lte"].map(str::to_owned).to_vec();
    let lab = Lab::start(LabSettings { networks: true, two_brokers: true, paths, ..LabSettings::default() }).await?;
    let net = lab.net()?;
    let other = lab.other_broker.as_ref().ok_or("there is no second broker")?;
    // A route for each address, which is as near as a bridge comes to two paths.
    let at_the_hub = net.at_the_hub();
    for (broker, path) in [(net.broker(), "eth"), (net.other_broker(), "lte")] {
        let (device, via) = (net.device(path)?, if path == "eth" { "192.0.2.2" } else { "198.51.100.2" });
        let address = broker.ip().to_string();
        let route = ["ip", "route", "replace", &address, "via", via, "dev", device];
        let done = std::process::Command::new(&at_the_hub[0]).args(&at_the_hub[1..]).args(route).status()?;
        if !done.success() {
            return Err(format!("{} ended with {done}", route.join(" ")).into());
        }
    }
    let (first, mut heard) = client(&lab, "bench-first");
    first.subscribe(TOPIC, QoS::AtLeastOnce).await?;
    let (second, mut heard_too) = client_at(other.plain_address(), "bench-second");
    second.subscribe(TOPIC, QoS::AtLeastOnce).await?;
    let bridge = Bridge::start(&lab, &at_the_hub, &[net.broker(), net.other_broker()], PEER_KEEP_ALIVE_S).await?;
    let feed = bridge.feed();
    let (mut began, mut came) = (Vec::new(), BTreeMap::new());
    // It has connected when the first message is there.
    feed.say(b"0".to_vec()).await?;
    tokio::time::timeout(SOON, heard.recv()).await?.ok_or("the tap broke off")?;
    for number in 1..=ALARMS {
        if number == ALARMS / 3 {
            net.break_path("eth", fault)?;
        }
        began.push(now_us());
        feed.say(number.to_string().into_bytes()).await?;
        tokio::time::sleep(2 * HALF).await;
    }
    let end = tokio::time::Instant::now() + PEER_WITHIN;
    while came.len() < ALARMS {
        let next = async {
            tokio::select! { next = heard.recv() => next, next = heard_too.recv() => next }
        };
        let Ok(next) = tokio::time::timeout_at(end, next).await else {
            eprintln!("bench: failover: mosquitto's bridge brought {} of {ALARMS}", came.len());
            return Ok(None);
        };
        let (at, body) = next.ok_or("the tap broke off")?;
        let number: usize = String::from_utf8_lossy(&body).parse()?;
        if number > 0 {
            came.entry(number).or_insert(at);
        }
    }
    bridge.kill().await;
    let took = came.into_iter().map(|(number, at)| at.saturating_sub(began[number - 1]));
    Ok(took.max().map(|us| us as f64 / 1e6))
}
