//! Figures of the whole daemon on this machine, each beside a physical limit or a peer measured in the same run. No
//! figure is a verdict, none is written down beforehand.

#![allow(clippy::print_stdout)] // it speaks to whoever runs it

mod backlog;
mod bridge;
mod core;
mod failover;
mod figures;
mod lte;
mod package;
mod subghz;
mod zigbee;

use clap::Parser;
use figures::Beside;
use figures::Figures;
use figures::Times;
use rumqttc::v5::AsyncClient;
use rumqttc::v5::Event;
use rumqttc::v5::Incoming;
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use serde_json::Value;
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;
use tokio::sync::mpsc;
use vakt_integration::arc::ledger::Row;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::near;
use vakt_integration::lab::near::Near;
use vakt_integration::lab::site::SOON;
use vakt_integration::lab::site::contact;
use vakt_integration::lab::site::smoke;
use vakt_integration::lab::watch::Watch;
use vakt_integration::lab::watch::now_us;

/// Samples that each latency is taken from.
const SAMPLES: usize = 200;
/// Events of the burst.
const BURST: u64 = 5_000;
/// Commits the peer's rate is taken from; at one flush each, 5,000 would only take longer.
const PEER_COMMITS: u32 = 1_000;
/// Starts that a time to ready is the median of.
const STARTS: usize = 5;
/// What the hub and the centre may take of their own, beside one flush and one round trip: the project's aim, seconds.
const OWN_TIME_S: f64 = 0.000_5;
/// Bytes of what stands in for an event, about as long as an alarm is.
const PAYLOAD_BYTES: usize = 700;
/// From one alarm to the next; everything that an alarm sets off has ended by then.
const CALM: Duration = Duration::from_millis(25);
/// The smoke detector of the captured telegram.
const SMOKE: &str = "00010204";
/// The longest message a tap takes; zigbee2mqtt's description of a device is longer than the client's own limit.
const TAP_PACKET_BYTES: u32 = 1024 * 1024;
/// Messages waiting between the tap and the measurement; the bench reads each at once.
const TAP: usize = 4_096;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Measures the daemon beside what limits it.
#[derive(Parser)]
struct Arguments {
    /// Only figures of this group: alarm (with disk and loopback), backlog, core, failover, journal, lte-bytes,
    /// package, rss, start, subghz, zigbee
    name: Option<String>,
    /// Write JSON Lines there too
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let measured = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(measure(&arguments)));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Outcome<()> {
    let wanted =
        |name: &str| arguments.name.as_deref().is_none_or(|asked| name.starts_with(asked) || asked.starts_with(name));
    let mut figures = Figures::default();
    let mut fresh = Times::default();
    if wanted("start") {
        for _ in 0..STARTS {
            let mut lab = Lab::start(LabSettings::default()).await?;
            fresh.push(micros(lab.daemon.start().await?));
        }
        figures.put("start.ready.fresh", fresh.p50(), "s", Beside::Missing);
    }
    if wanted("core") {
        core::core(&mut figures)?;
    }
    if wanted("zigbee") {
        zigbee::zigbee(&mut figures).await?;
    }
    if wanted("subghz") {
        subghz::subghz(&mut figures).await?;
    }
    if wanted("package") {
        package::package(&mut figures).await?;
    }
    if wanted("failover") {
        failover::failover(&mut figures).await?;
    }
    if wanted("lte-bytes") {
        lte::lte(&mut figures).await?;
    }
    if wanted("backlog") {
        backlog::backlog(&mut figures).await?;
    }
    if ["alarm", "disk", "loopback", "journal", "rss", "start"].into_iter().any(&wanted) {
        metered(&wanted, fresh.p50(), &mut figures).await?;
    }
    if figures.is_empty() {
        return Err(
            "no figure begins so; there are alarm, backlog, core, disk, failover, loopback, journal, lte-bytes, package, rss, \
             start, subghz and zigbee"
                .into(),
        );
    }
    if let Some(path) = &arguments.json {
        figures.write(path).map_err(|error| format!("write {}: {error}", path.display()))?;
    }
    Ok(())
}

/// What is measured on a site of wM-Bus detectors.
async fn metered(wanted: &impl Fn(&str) -> bool, fresh: f64, figures: &mut Figures) -> Outcome<()> {
    let mut lab = Lab::start(LabSettings::default()).await?;
    lab.start_arc(Misbehaviour::default()).await?;
    lab.daemon.start().await?;
    lab.until("the path", |status| status["paths"]["eth"]["up"] == json!(true)).await?;
    if wanted("rss") {
        figures.put("rss.idle", lab.daemon.rss_kib()? as f64 / 1024.0, "MiB", Beside::Missing);
    }
    let contacts: Vec<String> = (0..50).map(|number| format!("000300{number:02}")).collect();
    lab.furnish(SMOKE, &contacts).await?;
    lab.all_signed().await?;
    if wanted("alarm") || wanted("disk") || wanted("loopback") {
        alarm(&lab, figures).await?;
    }
    if wanted("journal") || wanted("rss") || wanted("start") {
        bursts(&lab, &contacts, wanted("journal").then_some(&mut *figures)).await?;
    }
    if wanted("rss") {
        figures.put("rss.after_10000", lab.daemon.rss_kib()? as f64 / 1024.0, "MiB", Beside::Missing);
    }
    if wanted("start") {
        starts(&mut lab, fresh, figures).await?;
    }
    Ok(())
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

/// From spawning the daemon to its control socket's first answer, on a journal of 10,000 events and more.
async fn starts(lab: &mut Lab, fresh: f64, figures: &mut Figures) -> Outcome<()> {
    let (mut stopped, mut killed) = (Times::default(), Times::default());
    for _ in 0..STARTS {
        lab.daemon.stop(SOON).await?;
        stopped.push(micros(lab.daemon.start().await?));
        lab.daemon.kill().await;
        killed.push(micros(lab.daemon.start().await?));
    }
    let beside = Beside::Peer("start.ready.fresh", fresh);
    figures.put("start.ready.10000_events", stopped.p50(), "s", beside);
    figures.put("start.ready.after_kill", killed.p50(), "s", beside);
    Ok(())
}

/// The disk's own word: what a 4 KiB append and fdatasync take.
struct Disk {
    file: std::fs::File,
    path: PathBuf,
}

impl Disk {
    fn probe(dir: &Path) -> Outcome<Self> {
        let path = dir.join("fsync-probe");
        Ok(Self { file: std::fs::File::create(&path)?, path })
    }

    fn fsync(&mut self) -> Outcome<u64> {
        let began = Instant::now();
        self.file.write_all(&[0u8; 4096])?;
        self.file.sync_data()?;
        Ok(micros(began.elapsed()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It lies in the lab's folder, which goes too.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A plain client on the broker's second listener; what arrives comes with its time in microseconds since 1970.
fn client(lab: &Lab, id: &str) -> (AsyncClient, mpsc::Receiver<(u64, Vec<u8>)>) {
    client_at(lab.broker.plain_address(), id)
}

/// Likewise on any broker.
fn client_at(address: SocketAddr, id: &str) -> (AsyncClient, mpsc::Receiver<(u64, Vec<u8>)>) {
    let mut options = MqttOptions::new(id, address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(20));
    options.set_max_packet_size(Some(TAP_PACKET_BYTES));
    let mut network = rumqttc::NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    let (client, mut events) = AsyncClient::new(options, 64);
    let (tap, tapped) = mpsc::channel(TAP);
    tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            if let Event::Incoming(Incoming::Publish(publish)) = event
                && tap.send((now_us(), publish.payload.to_vec())).await.is_err()
            {
                return;
            }
        }
    });
    (client, tapped)
}

/// Whoever says something on `near::THERE` hears it on `near::BACK`, as the centre would answer.
async fn echo(lab: &Lab) -> Outcome<()> {
    let (far, mut there) = client(lab, "bench-far");
    far.subscribe(near::THERE, QoS::AtLeastOnce).await?;
    tokio::spawn(async move {
        while let Some((_, payload)) = there.recv().await {
            if far.publish(near::BACK, QoS::AtLeastOnce, false, payload).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Whether a receipt signs for a seq: by its `upto`, or by name where an earlier one is still on its way.
fn signs_for(jws: &[u8], seq: u64) -> bool {
    use base64::Engine;
    let payload = || -> Option<Value> {
        let text = std::str::from_utf8(jws).ok()?;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    payload().is_some_and(|claims| {
        let named = claims["seqs"].as_array().is_some_and(|seqs| seqs.contains(&json!(seq)));
        named || claims["upto"].as_u64() >= Some(seq)
    })
}

/// The smoke detector clears, everything is signed for, and the hub is idle, as at a real site.
async fn calm(lab: &Lab) -> Outcome<()> {
    lab.stick.bytes(smoke(SMOKE, false).as_bytes()).await?;
    tokio::time::sleep(CALM).await;
    lab.all_signed().await?;
    Ok(())
}

async fn alarm(lab: &Lab, figures: &mut Figures) -> Outcome<()> {
    let mut disk = Disk::probe(lab.folder())?;
    echo(lab).await?;
    let mut near = Near::dial(lab).await?;
    let (tap, mut receipts) = client(lab, "bench-tap");
    tap.subscribe("vakt/v1/lab-hub/ack", QoS::AtLeastOnce).await?;
    let payload = vec![b'x'; PAYLOAD_BYTES];
    near.round_trip(&payload).await?;
    let [mut fsync, mut round, mut commits, mut arrivals, mut signed] = std::array::from_fn(|_| Times::default());
    // Limits and figures take turns, so that they meet the same disk and the same load.
    for _ in 0..SAMPLES {
        fsync.push(disk.fsync()?);
        round.push(micros(near.round_trip(&payload).await?));
        calm(lab).await?;
        commits.push(commit(lab).await?);
        // Once more without a reader beside the hub, which costs it time.
        calm(lab).await?;
        let (arrival, receipt) = arrival_and_receipt(lab, &mut receipts).await?;
        arrivals.push(arrival);
        signed.push(receipt);
    }
    figures.times("disk.fsync", &fsync, Beside::Nothing);
    figures.times("loopback.roundtrip", &round, Beside::Nothing);
    figures.times("alarm.commit", &commits, Beside::Peer("disk.fsync.p50", fsync.p50()));
    let one_way = fsync.p50() + round.p50() / 2.0;
    figures.times("alarm.centre", &arrivals, Beside::Peer("disk.fsync.p50 + loopback.roundtrip.p50 / 2", one_way));
    let least = fsync.p50() + round.p50();
    let beside = Beside::PeerAndLimit("disk.fsync.p50 + loopback.roundtrip.p50", least, least + OWN_TIME_S);
    figures.times("alarm.receipt", &signed, beside);
    figures.put("alarm.receipt.above_peer", signed.p50() - least, "s", Beside::Missing);
    Ok(())
}

/// From the line on the stick to the row in the journal, microseconds.
async fn commit(lab: &Lab) -> Outcome<u64> {
    let watch = Watch::open(&lab.daemon.journal())?;
    let next = watch.head() + 1;
    let looking = tokio::task::spawn_blocking(move || watch.committed(next, SOON));
    let began = now_us();
    lab.stick.bytes(smoke(SMOKE, true).as_bytes()).await?;
    let committed = looking.await?.ok_or("no commit in time")?;
    Ok(committed.saturating_sub(began))
}

/// From the line on the stick to the alarm at the centre, and to a receipt that signs for it, microseconds.
async fn arrival_and_receipt(lab: &Lab, receipts: &mut mpsc::Receiver<(u64, Vec<u8>)>) -> Outcome<(u64, u64)> {
    let arc = lab.arc.as_ref().ok_or("the centre is gone")?;
    while receipts.try_recv().is_ok() {}
    let began = now_us();
    let alarm = |row: &&Row| row.class == "alarm" && row.at_us >= began && row.seq.is_some();
    lab.stick.bytes(smoke(SMOKE, true).as_bytes()).await?;
    arc.wait_until("the alarm", SOON, |board| board.ledger.rows().any(|row| alarm(&row))).await?;
    let row = arc.look(|board| board.ledger.rows().find(alarm).map(|row| (row.at_us, row.seq)));
    let (arrived, seq) = row.ok_or("the alarm was there, and is gone")?;
    let seq = seq.ok_or("the alarm has no seq")?;
    loop {
        let (at, jws) = tokio::time::timeout(SOON, receipts.recv()).await?.ok_or("the tap broke off")?;
        if signs_for(&jws, seq) {
            return Ok((arrived.saturating_sub(began), at.saturating_sub(began)));
        }
    }
}

/// One commit an event, as the obvious program does it, on the same disk: events a second.
fn one_by_one(dir: &Path) -> Outcome<f64> {
    let path = dir.join("peer.db");
    let conn = rusqlite::Connection::open(&path)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.execute_batch("CREATE TABLE event (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)")?;
    let body = vec![b'x'; PAYLOAD_BYTES];
    let began = Instant::now();
    for _ in 0..PEER_COMMITS {
        conn.execute("INSERT INTO event (body) VALUES (?1)", [&body])?;
    }
    let rate = f64::from(PEER_COMMITS) / began.elapsed().as_secs_f64();
    drop(conn);
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// Two bursts, so that 10,000 events have passed; the slower one counts.
async fn bursts(lab: &Lab, contacts: &[String], figures: Option<&mut Figures>) -> Outcome<()> {
    let (first, second) = (burst(lab, contacts).await?, burst(lab, contacts).await?);
    let Some(figures) = figures else { return Ok(()) };
    let peer = Beside::Peer("one SQLite commit an event", one_by_one(lab.folder())?);
    figures.put("journal.burst", first.0.min(second.0), "events/s", peer);
    figures.put("journal.burst.signed", first.1.min(second.1), "events/s", Beside::Missing);
    Ok(())
}

/// Telegrams as fast as the line takes them: events a second until the last is committed, and until it is signed for.
async fn burst(lab: &Lab, contacts: &[String]) -> Outcome<(f64, f64)> {
    let watch = Watch::open(&lab.daemon.journal())?;
    let last = watch.head() + BURST;
    let mut text = String::new();
    for number in 0..BURST as usize {
        // Each round turns every contact over, so each telegram is an event.
        text.push_str(&contact(&contacts[number % contacts.len()], (number / contacts.len()).is_multiple_of(2)));
    }
    let looking = tokio::task::spawn_blocking(move || watch.committed(last, SOON));
    let began = now_us();
    lab.stick.bytes(text.as_bytes()).await?;
    let committed = looking.await?.ok_or("the burst was not journaled in time")?;
    let rate = |until: u64| BURST as f64 / (until.saturating_sub(began) as f64 / 1e6);
    lab.all_signed().await?;
    Ok((rate(committed), rate(now_us())))
}
