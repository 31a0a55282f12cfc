//! A hub that had no centre for days: 100,000 events in its journal, and then the centre comes. How fast they leave, what
//! memory that takes, and how long an alarm waits that is raised meanwhile. Beside it: mosquitto's own bridge with as many
//! messages of the same length, over the same relay and the same broker.

use crate::Outcome;
use crate::PAYLOAD_BYTES;
use crate::SMOKE;
use crate::bridge::Bridge;
use crate::bridge::TOPIC;
use crate::client;
use crate::figures::Beside;
use crate::figures::Figures;
use crate::figures::Times;
use crate::signs_for;
use rumqttc::v5::mqttbytes::QoS;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use std::time::Instant;
use tokio::sync::mpsc;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::proxy::Mode;
use vakt_integration::lab::site::SOON;
use vakt_integration::lab::site::contact;
use vakt_integration::lab::site::smoke;
use vakt_integration::lab::watch::Watch;
use vakt_integration::lab::watch::now_us;

/// Events that wait.
const BACKLOG: u64 = 100_000;
/// Telegrams written at once.
const VOLLEY: u64 = 5_000;
/// Alarms that a latency is taken from without a backlog.
const ALARMS: usize = 30;
/// From one alarm to the next, in both halves: the detector clears, is calm, and alarms.
const PACE: Duration = Duration::from_millis(250);
/// What the drain may take of the hub's memory beside what it had: the project's aim, MiB.
const GROWTH_MIB: f64 = 8.0;
/// How much longer an alarm may take during the drain: the project's aim, seconds.
const ALARM_AIM_S: f64 = 0.1;
/// Below this no more alarms are raised: they would be the last to leave.
const NEARLY_NONE: u64 = 2_000;
/// How long a drain may take before the bench gives up.
const DRAINED_WITHIN: Duration = Duration::from_secs(300);
/// How long somebody waits before he is told how far it is.
const PROGRESS: Duration = Duration::from_secs(2);

/// What a drain was like.
struct Drain {
    rate: f64,
    first_s: f64,
    alarms: Times,
    rss_mib: [f64; 3],
}

pub async fn backlog(figures: &mut Figures) -> Outcome<()> {
    let mut lab = Lab::start(LabSettings { beat_primary_s: 5, ..LabSettings::default() }).await?;
    lab.start_arc(Misbehaviour::default()).await?;
    lab.daemon.start().await?;
    lab.until("the path", |status| status["paths"]["eth"]["up"] == json!(true)).await?;
    let contacts: Vec<String> = (0..50).map(|number| format!("000300{number:02}")).collect();
    lab.furnish(SMOKE, &contacts).await?;
    lab.all_signed().await?;
    let (tap, mut signed) = client(&lab, "bench-tap");
    tap.subscribe("vakt/v1/lab-hub/ack", QoS::AtLeastOnce).await?;
    let (other, mut raised) = client(&lab, "bench-alarms");
    other.subscribe(TOPIC, QoS::AtLeastOnce).await?;
    let mut calm = Alarms::default();
    for _ in 0..ALARMS {
        calm.raise(&lab).await?;
    }
    lab.all_signed().await?;
    let calm = calm.times(&mut raised, &mut signed)?;
    let at_rest = lab.daemon.rss_kib()? as f64 / 1024.0;
    lab.stop_arc().await;
    let last = fill(&lab, &contacts).await?;
    let hub = drain(&mut lab, last, &mut raised, &mut signed).await?;
    lab.daemon.stop(SOON).await?;
    lab.stop_arc().await;
    let peer = match peer(&lab, &mut raised).await {
        Ok(peer) => Some(peer),
        Err(error) => {
            println!("mosquitto's bridge is missing: {error}");
            None
        }
    };
    tell(figures, &hub, &calm, at_rest, peer.as_ref());
    Ok(())
}

fn tell(figures: &mut Figures, hub: &Drain, calm: &Times, at_rest: f64, peer: Option<&Drain>) {
    const PEER: &str = "mosquitto's bridge, in memory";
    let beside = |value: fn(&Drain) -> f64| peer.map_or(Beside::Missing, |peer| Beside::Peer(PEER, value(peer)));
    figures.put("backlog.drain", hub.rate, "events/s", beside(|peer| peer.rate));
    figures.put("backlog.first_receipt", hub.first_s, "s", Beside::Limit(5.0 + 1.0));
    let [before, peak, after] = hub.rss_mib;
    figures.put("backlog.rss.at_rest", at_rest, "MiB", Beside::Missing);
    figures.put("backlog.rss.before", before, "MiB", beside(|peer| peer.rss_mib[0]));
    figures.put(
        "backlog.rss.peak",
        peak,
        "MiB",
        Beside::PeerAndLimit("backlog.rss.before", before, before + GROWTH_MIB),
    );
    figures.put("backlog.rss.after", after, "MiB", Beside::Peer("backlog.rss.before", before));
    let limit = |share| Beside::PeerAndLimit("without a backlog", calm.at(share), calm.at(share) + ALARM_AIM_S);
    figures.put("backlog.alarm.p50", hub.alarms.p50(), "s", limit(50));
    figures.put("backlog.alarm.worst", hub.alarms.at(100), "s", limit(100));
    let bridge = beside(|peer| peer.alarms.at(100));
    figures.put("backlog.alarm.worst.peer", hub.alarms.at(100), "s", bridge);
}

/// A real flood on the stick while there is no centre: every event goes through the hub and its journal.
/// Gives the last one's seq.
async fn fill(lab: &Lab, contacts: &[String]) -> Outcome<u64> {
    let watch = Watch::open(&lab.daemon.journal())?;
    let (began, first) = (Instant::now(), watch.head());
    let mut told = Instant::now();
    for volley in 0..BACKLOG / VOLLEY {
        let mut text = String::new();
        for number in (volley * VOLLEY..(volley + 1) * VOLLEY).map(|number| number as usize) {
            // Each round turns every contact over, so each telegram is an event.
            text.push_str(&contact(&contacts[number % contacts.len()], (number / contacts.len()).is_multiple_of(2)));
        }
        lab.stick.bytes(text.as_bytes()).await?;
        let wanted = first + (volley + 1) * VOLLEY;
        while watch.head() < wanted {
            if began.elapsed() > DRAINED_WITHIN {
                return Err(format!("{} of {BACKLOG} events were journaled in time", watch.head() - first).into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        progress(&mut told, &format!("{} of {BACKLOG} events in the journal", wanted - first));
    }
    eprintln!("bench: backlog: {BACKLOG} events were journaled in {:.1} s", began.elapsed().as_secs_f64());
    Ok(watch.head())
}

/// The centre comes, and alarms are raised until all but everything has left.
async fn drain(lab: &mut Lab, last_seq: u64, raised: &mut Tap, signed: &mut Tap) -> Outcome<Drain> {
    let waiting = |status: &Value| status["journal"]["unreceipted"].as_u64().unwrap_or(u64::MAX);
    let mib = |lab: &Lab| -> Outcome<f64> { Ok(lab.daemon.rss_kib()? as f64 / 1024.0) };
    while raised.try_recv().is_ok() || signed.try_recv().is_ok() {}
    let before = mib(lab)?;
    let came = now_us();
    lab.start_arc(Misbehaviour::default()).await?;
    let (mut alarms, mut peak, mut told) = (Alarms::default(), before, Instant::now());
    let mut begun = false;
    loop {
        let left = waiting(&lab.status().await?);
        peak = peak.max(mib(lab)?);
        begun |= left < BACKLOG;
        if left < NEARLY_NONE {
            break;
        }
        if begun {
            alarms.raise(lab).await?;
        }
        if now_us() > came + DRAINED_WITHIN.as_micros() as u64 {
            return Err(format!("{left} of {BACKLOG} events have no receipt in time").into());
        }
        progress(&mut told, &format!("{left} of {BACKLOG} events without a receipt"));
    }
    lab.all_signed().await?;
    let after = mib(lab)?;
    let mut receipts = Vec::new();
    while let Ok(receipt) = signed.try_recv() {
        receipts.push(receipt);
    }
    let first = receipts.first().map(|(at, _)| *at).ok_or("no receipt was heard")?;
    let last = receipts.iter().find(|(_, jws)| signs_for(jws, last_seq)).map(|(at, _)| *at);
    let last = last.ok_or("no receipt for the whole backlog was heard")?;
    let times = alarms.times_of(raised, &receipts)?;
    let counts = lab.arc.as_ref().map(|arc| arc.counts()).ok_or("the centre is gone")?;
    if !counts.clean() {
        return Err(format!("the centre: {counts:?}").into());
    }
    let seconds = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e6;
    let rate = BACKLOG as f64 / seconds(first, last);
    Ok(Drain { rate, first_s: seconds(came, first), alarms: times, rss_mib: [before, peak, after] })
}

type Tap = mpsc::Receiver<(u64, Vec<u8>)>;

/// When alarms were raised.
#[derive(Default)]
struct Alarms(Vec<u64>);

impl Alarms {
    /// Smoke that was gone is there again.
    async fn raise(&mut self, lab: &Lab) -> Outcome<()> {
        lab.stick.bytes(smoke(SMOKE, false).as_bytes()).await?;
        tokio::time::sleep(PACE / 2).await;
        self.0.push(now_us());
        lab.stick.bytes(smoke(SMOKE, true).as_bytes()).await?;
        tokio::time::sleep(PACE / 2).await;
        Ok(())
    }

    fn times(&self, raised: &mut Tap, signed: &mut Tap) -> Outcome<Times> {
        let receipts: Vec<(u64, Vec<u8>)> = std::iter::from_fn(|| signed.try_recv().ok()).collect();
        self.times_of(raised, &receipts)
    }

    /// From each to the first receipt that signs for it; a receipt may leave the broker before its alarm reaches this tap.
    fn times_of(&self, raised: &mut Tap, receipts: &[(u64, Vec<u8>)]) -> Outcome<Times> {
        let mut seqs = BTreeSet::new();
        while let Ok((_, body)) = raised.try_recv() {
            let event: Value = serde_json::from_slice(&body).unwrap_or_default();
            if let (Some("alarm_raised"), Some(seq)) = (event["type"].as_str(), event["seq"].as_u64()) {
                seqs.insert(seq);
            }
        }
        if seqs.len() != self.0.len() {
            return Err(format!("{} alarms were raised, {} were heard", self.0.len(), seqs.len()).into());
        }
        let mut times = Times::default();
        for (seq, began) in seqs.into_iter().zip(&self.0) {
            let receipt = receipts.iter().find(|(at, jws)| at >= began && signs_for(jws, seq));
            let (signed, _) = receipt.ok_or_else(|| format!("no receipt for seq {seq} was heard"))?;
            times.push(signed.saturating_sub(*began));
        }
        Ok(times)
    }
}

/// As many messages wait in a bridge while its far broker cannot be reached; then it can.
async fn peer(lab: &Lab, arrived: &mut Tap) -> Outcome<Drain> {
    let relay = lab.proxy("eth")?;
    relay.set(Mode::Refuse).await;
    let bridge = Bridge::start(lab, &[], &[relay.address()], 20).await?;
    let mut feed = bridge.feed();
    let (mut told, body) = (Instant::now(), vec![b'x'; PAYLOAD_BYTES]);
    for number in 0..BACKLOG {
        feed.say(body.clone()).await?;
        if number % VOLLEY == 0 {
            progress(&mut told, &format!("mosquitto's bridge has taken {} of {BACKLOG}", feed.taken()));
        }
    }
    feed.wait(BACKLOG, DRAINED_WITHIN).await?;
    while arrived.try_recv().is_ok() {}
    let before = bridge.rss_mib()?;
    let came = now_us();
    relay.set(Mode::Pass).await;
    let (mut count, mut first, mut last, mut peak) = (0, None, came, before);
    let (mut alarms, mut alarmed) = (Times::default(), 0);
    while count < BACKLOG {
        let (at, body) = tokio::time::timeout(SOON, arrived.recv()).await?.ok_or("the tap broke off")?;
        first.get_or_insert(at);
        if body.len() == PAYLOAD_BYTES {
            (count, last) = (count + 1, at);
        } else if let Ok(began) = String::from_utf8_lossy(&body).parse::<u64>() {
            alarms.push(at.saturating_sub(began));
        }
        // Alarms as often as at the hub, counted by messages: a tenth of the backlog from one to the next.
        if count / (BACKLOG / 10) > alarmed {
            alarmed += 1;
            feed.say(now_us().to_string().into_bytes()).await?;
            peak = peak.max(bridge.rss_mib()?);
            progress(&mut told, &format!("{count} of {BACKLOG} messages have come over the bridge"));
        }
    }
    while alarms.len() < alarmed as usize {
        let (at, body) = tokio::time::timeout(SOON, arrived.recv()).await?.ok_or("the tap broke off")?;
        if let Ok(began) = String::from_utf8_lossy(&body).parse::<u64>() {
            alarms.push(at.saturating_sub(began));
        }
    }
    let after = bridge.rss_mib()?;
    bridge.kill().await;
    let first = first.ok_or("nothing has come over the bridge")?;
    let seconds = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e6;
    let rate = BACKLOG as f64 / seconds(first, last);
    Ok(Drain { rate, first_s: seconds(came, first), alarms, rss_mib: [before, peak, after] })
}

fn progress(told: &mut Instant, text: &str) {
    if told.elapsed() > PROGRESS {
        *told = Instant::now();
        eprintln!("bench: backlog: {text}");
    }
}
