//! What the second path costs: bytes of IP on the mobile interface, counted by the hub's own kernel (nftables, from the IP
//! header on), with the first path good. It needs root. Beats come as often as they may be configured to, so that some are
//! heard in a minute; a day at rest is scaled from one cycle. Beside it: mosquitto's own bridge over the same interface.

use crate::Outcome;
use crate::PAYLOAD_BYTES;
use crate::SMOKE;
use crate::bridge::Bridge;
use crate::client;
use crate::figures::Beside;
use crate::figures::Figures;
use rumqttc::v5::mqttbytes::QoS;
use serde_json::json;
use std::process::Command;
use std::time::Duration;
use vakt_integration::arc::line::Happening;
use vakt_integration::arc::line::Notice;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::net::Fault;
use vakt_integration::lab::site::SOON;
use vakt_integration::lab::site::contact;
use vakt_integration::lab::site::smoke;

/// Seconds between beats here, the fewest there may be; and those of a hub at rest, which a day is scaled to.
const BEAT_S: u64 = 5;
const BEAT_AT_REST_S: f64 = 180.0;
/// Cycles that are counted.
const BEATS: usize = 12;
/// After the last word of a cycle, until everything about it has passed: a TCP acknowledgement may wait 40 ms.
const SETTLED: Duration = Duration::from_millis(500);
/// What a day of bare beats was reckoned to cost, and the aim for one alarm with its receipt, bytes.
const DAY_AIM_B: f64 = 106_000.0;
const ALARM_AIM_B: f64 = 4_000.0;
const DAY_S: f64 = 86_400.0;
/// How late the centre signs for the alarm that is to take both paths.
const LATE: &str = "delay 1500";
/// The peer's keep-alive here; its cycle costs the same at any.
const PEER_KEEP_ALIVE_S: u64 = 5;

/// Bytes and packets, both ways.
#[derive(Clone, Copy, Default, Debug)]
struct Count {
    bytes: u64,
    packets: u64,
}

impl Count {
    fn since(self, before: Self) -> Self {
        Self { bytes: self.bytes - before.bytes, packets: self.packets - before.packets }
    }
}

/// The counters at the hub's mobile interface.
struct Meter<'a> {
    lab: &'a Lab,
    mobile: &'static str,
}

impl<'a> Meter<'a> {
    fn install(lab: &'a Lab) -> Outcome<Self> {
        let mobile = lab.net()?.device("lte")?;
        let meter = Self { lab, mobile };
        for words in [
            "add table ip vakt".to_owned(),
            "add counter ip vakt broker".to_owned(),
            "add counter ip vakt other".to_owned(),
            "add chain ip vakt in { type filter hook input priority 0; }".to_owned(),
            "add chain ip vakt out { type filter hook output priority 0; }".to_owned(),
            format!("add rule ip vakt in iifname {mobile} tcp sport 8883 counter name broker"),
            format!("add rule ip vakt out oifname {mobile} tcp dport 8883 counter name broker"),
            format!("add rule ip vakt in iifname {mobile} tcp sport != 8883 counter name other"),
            format!("add rule ip vakt in iifname {mobile} meta l4proto != tcp counter name other"),
            format!("add rule ip vakt out oifname {mobile} tcp dport != 8883 counter name other"),
            format!("add rule ip vakt out oifname {mobile} meta l4proto != tcp counter name other"),
        ] {
            meter.at_the_hub(&["nft", &words])?;
        }
        // Packets as they would be on the air, and not put together by the kernel into larger ones.
        meter.at_the_hub(&["ip", "link", "set", mobile, "gso_max_segs", "1"])?;
        let broker = lab.net()?.at_the_broker();
        run(&broker, &["ip", "link", "set", "to-lte", "gso_max_segs", "1"])?;
        Ok(meter)
    }

    fn at_the_hub(&self, words: &[&str]) -> Outcome<String> {
        run(&self.lab.net()?.at_the_hub(), words)
    }

    fn read(&self, counter: &str) -> Outcome<Count> {
        let text = self.at_the_hub(&["nft", "list", "counter", "ip", "vakt", counter])?;
        let after = |word: &str| -> Option<u64> {
            let mut words = text.split_whitespace();
            words.find(|said| *said == word)?;
            words.next()?.parse().ok()
        };
        let count = after("bytes").zip(after("packets")).map(|(bytes, packets)| Count { bytes, packets });
        count.ok_or_else(|| format!("nft said of its counter: {text}").into())
    }

    fn broker(&self) -> Outcome<Count> {
        self.read("broker")
    }

    /// Frames of the interface itself: what the counters say must be all but ARP of it.
    fn frames(&self) -> Outcome<u64> {
        let file = |way: &str| format!("/sys/class/net/{}/statistics/{way}_packets", self.mobile);
        let (rx, tx) = (file("rx"), file("tx"));
        let text = self.at_the_hub(&["cat", &rx, &tx])?;
        Ok(text.lines().filter_map(|line| line.parse::<u64>().ok()).sum())
    }
}

fn run(starter: &[String], words: &[&str]) -> Outcome<String> {
    let (first, others) = starter.split_first().ok_or("there is no namespace")?;
    let done = Command::new(first).args(others).args(words).output()?;
    if !done.status.success() {
        return Err(format!("{}: {}", words.join(" "), String::from_utf8_lossy(&done.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// All of it.
pub async fn lte(figures: &mut Figures) -> Outcome<()> {
    let paths = ["eth", "lte"].map(str::to_owned).to_vec();
    let settings = LabSettings { networks: true, paths, beat_alternative_s: BEAT_S, ..LabSettings::default() };
    let mut lab = Lab::start(settings).await?;
    lab.start_arc(Misbehaviour::default()).await?;
    lab.daemon.start().await?;
    up(&lab).await?;
    lab.furnish(SMOKE, &["00020000".to_owned()]).await?;
    for word in [contact("00020000", false), smoke(SMOKE, false)] {
        lab.stick.bytes(word.as_bytes()).await?;
    }
    lab.all_signed().await?;
    let hub = hub(&lab, figures).await?;
    let started = started(&mut lab, &hub).await?;
    lab.daemon.stop(SOON).await?;
    lab.stop_arc().await;
    let peer = match peer(&lab).await {
        Ok(peer) => Some(peer),
        Err(error) => {
            println!("mosquitto's bridge is missing: {error}");
            None
        }
    };
    tell(figures, &hub, started, peer.as_ref());
    Ok(())
}

fn tell(figures: &mut Figures, hub: &Hub, started: f64, peer: Option<&Peer>) {
    let beside = |name, value: fn(&Peer) -> f64, limit| match peer {
        Some(peer) => Beside::PeerAndLimit(name, value(peer), limit),
        None => Beside::Limit(limit),
    };
    let at_180 = beside("mosquitto's bridge, keep-alive 180 s", |peer| peer.cycle * DAY_S / 180.0, DAY_AIM_B);
    figures.put("lte.day_at_rest", hub.day(), "B", at_180);
    let at_20 = beside("mosquitto's bridge, keep-alive 20 s", |peer| peer.cycle * DAY_S / 20.0, DAY_AIM_B);
    figures.put("lte.day_at_rest.beside_20", hub.day(), "B", at_20);
    let bridge = peer.map_or(Beside::Missing, |peer| Beside::Peer("mosquitto's bridge", peer.connect));
    figures.put("lte.connect", started, "B", bridge);
    let message = beside("one message over mosquitto's bridge", |peer| peer.message, ALARM_AIM_B);
    figures.put("lte.alarm.hedged", hub.alarm, "B", message);
}

/// What the hub's second path costs while the first is good.
struct Hub {
    beat: f64,
    /// One PINGREQ and its answer, and the keep-alive, seconds.
    ping: f64,
    keep_alive_s: f64,
    alarm: f64,
}

impl Hub {
    fn day(&self) -> f64 {
        // The second path's keep-alive is a multiple of its beats, so it grows with them.
        let keep_alive_s = self.keep_alive_s * BEAT_AT_REST_S / BEAT_S as f64;
        let pings = if keep_alive_s > 0.0 { DAY_S / keep_alive_s } else { 0.0 };
        DAY_S / BEAT_AT_REST_S * self.beat + pings * self.ping
    }
}

async fn hub(lab: &Lab, figures: &mut Figures) -> Outcome<Hub> {
    let meter = Meter::install(lab)?;
    eprintln!("bench: lte-bytes: {BEATS} beats of {BEAT_S} s");
    let (mut quiet, mut pinged) = (Vec::new(), Vec::new());
    after_a_beat(lab).await?;
    let (other, frames, first) = (meter.read("other")?, meter.frames()?, meter.broker()?);
    let (mut before, mut pings) = (first, ping_count(lab)?);
    for _ in 0..BEATS {
        after_a_beat(lab).await?;
        let (now, pings_now) = (meter.broker()?, ping_count(lab)?);
        let cycle = now.since(before);
        if pings_now == pings { &mut quiet } else { &mut pinged }.push(cycle);
        (before, pings) = (now, pings_now);
    }
    let all = before.since(first);
    let strangers = meter.read("other")?.since(other);
    let arp = meter.frames()?.saturating_sub(frames).saturating_sub(all.packets);
    let beat = mean(&quiet).ok_or("the hub's client pinged in every cycle")?;
    let ping = mean(&pinged).map_or(0.0, |with| with - beat);
    let keep_alive_s = keep_alive_s(lab)?;
    figures.put("lte.beat", beat, "B", Beside::Missing);
    let packets = quiet.iter().map(|cycle| cycle.packets).sum::<u64>() as f64 / quiet.len() as f64;
    figures.put("lte.beat.packets", packets, "packets", Beside::Missing);
    figures.put("lte.keep_alive", keep_alive_s, "s", Beside::Missing);
    figures.put("lte.ping", ping, "B", Beside::Missing);
    figures.put("lte.not_to_the_broker", strangers.bytes as f64, "B", Beside::Limit(0.0));
    figures.put("lte.frames_not_ip", arp as f64, "frames", Beside::Missing);
    let cost = async |text: String| -> Outcome<f64> {
        after_a_beat(lab).await?;
        let (before, pings) = (meter.broker()?, ping_count(lab)?);
        lab.stick.bytes(text.as_bytes()).await?;
        tokio::time::sleep(2 * SETTLED).await; // until it is in the journal
        lab.all_signed().await?;
        after_a_beat(lab).await?;
        let pinged = (ping_count(lab)? - pings) as f64 * ping;
        Ok(meter.broker()?.since(before).bytes as f64 - beat - pinged)
    };
    let event = cost(contact("00020000", true)).await?;
    figures.put("lte.event_on_eth", event, "B", Beside::Missing);
    lab.arc.as_ref().ok_or("the centre is gone")?.misbehave(&[LATE]).await?;
    let alarm = cost(smoke(SMOKE, true)).await?;
    lab.arc.as_ref().ok_or("the centre is gone")?.misbehave(&[]).await?;
    Ok(Hub { beat, ping, keep_alive_s, alarm })
}

/// A start with everything signed for: the dial, a whole TLS handshake, MQTT's, the subscriptions, the birth, and what a
/// start has to tell where this path is the first that is there.
async fn started(lab: &mut Lab, hub: &Hub) -> Outcome<f64> {
    lab.daemon.stop(SOON).await?;
    let meter = Meter { lab, mobile: lab.net()?.device("lte")? };
    let (before, known, pings) = (meter.broker()?, beats(lab)?, ping_count(lab)?);
    lab.daemon.start().await?;
    up(lab).await?;
    lab.all_signed().await?;
    after_a_beat(lab).await?;
    let meter = Meter { lab, mobile: lab.net()?.device("lte")? };
    let others = (beats(lab)? - known) as f64 * hub.beat + (ping_count(lab)? - pings) as f64 * hub.ping;
    Ok(meter.broker()?.since(before).bytes as f64 - others)
}

fn mean(cycles: &[Count]) -> Option<f64> {
    let sum: u64 = cycles.iter().map(|cycle| cycle.bytes).sum();
    (!cycles.is_empty()).then(|| sum as f64 / cycles.len() as f64)
}

async fn up(lab: &Lab) -> Outcome<()> {
    for path in ["eth", "lte"] {
        lab.until(path, |status| status["paths"][path]["up"] == json!(true)).await?;
    }
    Ok(())
}

/// Beats that have come over the second path.
fn beats(lab: &Lab) -> Outcome<usize> {
    let arc = lab.arc.as_ref().ok_or("the centre is gone")?;
    let beat = |what: &Happening| matches!(what, Happening::Noticed(Notice::Beat { path, .. }) if path == "lte");
    Ok(arc.look(|board| board.lines.iter().filter(|line| beat(&line.what)).count()))
}

/// Waits for the next beat of the second path, and until all about it has passed.
async fn after_a_beat(lab: &Lab) -> Outcome<()> {
    let known = beats(lab)?;
    let arc = lab.arc.as_ref().ok_or("the centre is gone")?;
    let beat = |what: &Happening| matches!(what, Happening::Noticed(Notice::Beat { path, .. }) if path == "lte");
    let more = |board: &vakt_integration::arc::handle::Board| {
        board.lines.iter().filter(|line| beat(&line.what)).count() > known
    };
    arc.wait_until("a beat of the second path", SOON, more).await?;
    tokio::time::sleep(SETTLED).await;
    Ok(())
}

/// PINGREQs of the second path's connection, by the broker's log.
fn ping_count(lab: &Lab) -> Outcome<usize> {
    let log = std::fs::read_to_string(lab.broker.log())?;
    Ok(log.lines().filter(|line| line.contains("Received PINGREQ from lab-hub-lte")).count())
}

/// Its keep-alive, by the broker's log: `New client connected from … as lab-hub-lte (p5, c1, k20, u'lab-hub').`
fn keep_alive_s(lab: &Lab) -> Outcome<f64> {
    let log = std::fs::read_to_string(lab.broker.log())?;
    let line =
        log.lines().rfind(|line| line.contains("as lab-hub-lte (")).ok_or("the broker has not seen lab-hub-lte")?;
    let text = line.split(", k").nth(1).and_then(|rest| rest.split(',').next()).ok_or("it does not say how often")?;
    Ok(text.parse()?)
}

/// What the peer's costs.
struct Peer {
    connect: f64,
    cycle: f64,
    message: f64,
}

/// The bridge has one way to its broker here: the first path is switched off.
async fn peer(lab: &Lab) -> Outcome<Peer> {
    let net = lab.net()?;
    net.break_path("eth", Fault::Admin)?;
    let meter = Meter { lab, mobile: net.device("lte")? };
    let (tap, mut arrived) = client(lab, "bench-bridge");
    tap.subscribe(crate::bridge::TOPIC, QoS::AtLeastOnce).await?;
    let pinged = || -> Outcome<usize> {
        let log = std::fs::read_to_string(lab.broker.log())?;
        Ok(log.lines().filter(|line| line.contains("Received PINGREQ from lab-hub-bridge")).count())
    };
    let until = async |count: usize| -> Outcome<()> {
        for _ in 0..600 {
            if pinged()? >= count {
                tokio::time::sleep(SETTLED).await;
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("the bridge did not ping".into())
    };
    let before = meter.broker()?;
    let bridge = Bridge::start(lab, &net.at_the_hub(), &[net.broker()], PEER_KEEP_ALIVE_S).await?;
    let mut feed = bridge.feed();
    eprintln!("bench: lte-bytes: mosquitto's bridge, some pings of {PEER_KEEP_ALIVE_S} s");
    until(1).await?;
    let first = meter.broker()?;
    until(5).await?;
    let pings = pinged()? as f64;
    let cycle = meter.broker()?.since(first).bytes as f64 / (pings - 1.0);
    let connect = first.since(before).bytes as f64 - cycle;
    until(pings as usize + 1).await?;
    let before = meter.broker()?;
    feed.say(vec![b'x'; PAYLOAD_BYTES]).await?;
    feed.wait(1, SOON).await?;
    tokio::time::timeout(SOON, arrived.recv()).await?.ok_or("the tap broke off")?;
    let pings = pinged()?;
    until(pings + 1).await?;
    let message = meter.broker()?.since(before).bytes as f64 - cycle;
    bridge.kill().await;
    net.mend("eth")?;
    Ok(Peer { connect, cycle, message })
}
