//! Figures of the whole daemon on this machine, each beside a physical limit or a peer measured in the same run. No
//! figure is a verdict, none is written down beforehand.

#![allow(clippy::print_stdout)] // it speaks to whoever runs it

use clap::Parser;
use rumqttc::v5::AsyncClient;
use rumqttc::v5::Event;
use rumqttc::v5::Incoming;
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
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
use vakt_integration::lab::site::SOON;
use vakt_integration::lab::site::contact;
use vakt_integration::lab::site::smoke;
use vakt_integration::lab::watch::Watch;
use vakt_integration::lab::watch::now_us;

/// Samples a latency is taken from.
const SAMPLES: usize = 300;
/// Events of the burst.
const BURST: u64 = 5_000;
/// Messages waiting between the tap and the measurement; the bench reads each at once.
const TAP: usize = 4_096;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Measures the daemon beside what limits it.
#[derive(Parser)]
struct Arguments {
    /// Only figures whose name begins so: alarm, journal, rss, start
    name: Option<String>,
    /// Write JSON Lines there too
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Default)]
struct Figures(Vec<Value>);

impl Figures {
    fn put(&mut self, name: &str, value: f64, unit: &str, beside: Option<(&str, f64)>) {
        let mut figure = json!({"name": name, "value": value, "unit": unit});
        if let Some((peer, peer_value)) = beside {
            figure["peer"] = peer.into();
            figure["peer_value"] = peer_value.into();
            figure["ratio"] = (value / peer_value).into();
        }
        let ratio = figure["ratio"].as_f64().map_or(String::new(), |ratio| format!("  × {ratio:.2}"));
        let beside = beside.map_or(String::new(), |(peer, value)| format!("  beside {peer} {}", shown(value)));
        println!("{name:32} {:>12} {unit:9}{beside}{ratio}", shown(value));
        self.0.push(figure);
    }

    /// Writes p50 and p99 of a set of times in microseconds; gives the p50 in seconds.
    fn times(&mut self, name: &str, mut times: Vec<u64>, beside: Option<(&str, f64)>) -> f64 {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100] as f64 / 1e6;
        self.put(&format!("{name}.p50"), at(50), "s", beside);
        self.put(&format!("{name}.p99"), at(99), "s", None);
        at(50)
    }
}

fn shown(value: f64) -> String {
    if value.abs() < 0.1 { format!("{value:.6}") } else { format!("{value:.2}") }
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
    let mut lab = Lab::start(LabSettings::default()).await?;
    lab.start_arc(Misbehaviour::default()).await?;
    let fresh = lab.daemon.start().await?;
    lab.until("the path", |status| status["paths"]["eth"]["up"] == json!(true)).await?;
    if wanted("start") {
        figures.put("start.ready.fresh", fresh.as_secs_f64(), "s", None);
    }
    if wanted("rss") {
        figures.put("rss.idle", lab.daemon.rss_kib()? as f64 / 1024.0, "MiB", None);
    }
    let contacts: Vec<String> = (0..50).map(|number| format!("000300{number:02}")).collect();
    lab.furnish("00010204", &contacts).await?;
    lab.all_signed().await?;
    if wanted("alarm") {
        alarm(&lab, &mut figures).await?;
    }
    if wanted("journal") || wanted("rss") || wanted("start") {
        burst(&lab, &contacts, &mut figures).await?;
        burst(&lab, &contacts, &mut Figures::default()).await?;
    }
    if wanted("rss") {
        figures.put("rss.after_10000", lab.daemon.rss_kib()? as f64 / 1024.0, "MiB", None);
    }
    if wanted("start") {
        lab.daemon.stop(SOON).await?;
        let again = lab.daemon.start().await?;
        figures.put(
            "start.ready.10000_events",
            again.as_secs_f64(),
            "s",
            Some(("start.ready.fresh", fresh.as_secs_f64())),
        );
        lab.daemon.kill().await;
        let killed = lab.daemon.start().await?;
        figures.put(
            "start.ready.after_kill",
            killed.as_secs_f64(),
            "s",
            Some(("start.ready.fresh", fresh.as_secs_f64())),
        );
    }
    if let Some(path) = &arguments.json {
        let mut file = std::fs::File::create(path)?;
        for figure in &figures.0 {
            writeln!(file, "{figure}")?;
        }
    }
    Ok(())
}

/// The disk's own word: a 4 KiB append and fdatasync, in microseconds each.
fn fsyncs(dir: &Path) -> Outcome<Vec<u64>> {
    let path = dir.join("fsync-probe");
    let mut file = std::fs::File::create(&path)?;
    let page = [0u8; 4096];
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let began = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        times.push(began.elapsed().as_micros() as u64);
    }
    std::fs::remove_file(path)?;
    Ok(times)
}

/// A plain client on the broker's second listener; what arrives comes with its time in microseconds since 1970.
fn client(lab: &Lab, id: &str) -> (AsyncClient, mpsc::Receiver<(u64, Vec<u8>)>) {
    let address = lab.broker.plain_address();
    let mut options = MqttOptions::new(id, address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(20));
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

/// There and back through the same broker: what an event and its receipt cannot do without.
async fn round_trips(lab: &Lab) -> Outcome<Vec<u64>> {
    let (near, mut back) = client(lab, "bench-near");
    let (far, mut there) = client(lab, "bench-far");
    near.subscribe("bench/back", QoS::AtLeastOnce).await?;
    far.subscribe("bench/there", QoS::AtLeastOnce).await?;
    let echo = tokio::spawn(async move {
        while let Some((_, payload)) = there.recv().await {
            if far.publish("bench/back", QoS::AtLeastOnce, false, payload).await.is_err() {
                return;
            }
        }
    });
    let payload = vec![b'x'; 700];
    let mut times = Vec::new();
    while times.len() < SAMPLES {
        let began = now_us();
        near.publish("bench/there", QoS::AtLeastOnce, false, payload.clone()).await?;
        match tokio::time::timeout(Duration::from_secs(1), back.recv()).await {
            Ok(Some((at, _))) => times.push(at.saturating_sub(began)),
            // The subscription was not there yet.
            _ => continue,
        }
    }
    echo.abort();
    Ok(times)
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

async fn alarm(lab: &Lab, figures: &mut Figures) -> Outcome<()> {
    let fsync = figures.times("disk.fsync", fsyncs(lab.folder())?, None);
    let round = figures.times("loopback.roundtrip", round_trips(lab).await?, None);
    let (tap, mut receipts) = client(lab, "bench-tap");
    tap.subscribe("vakt/v1/lab-hub/ack", QoS::AtLeastOnce).await?;
    let journal = lab.daemon.journal();
    let (mut commits, mut arrivals, mut signed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        lab.stick.bytes(smoke("00010204", false).as_bytes()).await?;
        tokio::time::sleep(Duration::from_millis(25)).await; // the alarm is to find an idle hub, as at a real site
        lab.all_signed().await?;
        while receipts.try_recv().is_ok() {}
        let watch = Watch::open(&journal)?;
        let next = watch.head() + 1;
        let looking = tokio::task::spawn_blocking(move || (watch.committed(next, SOON), watch.head()));
        let began = now_us();
        lab.stick.bytes(smoke("00010204", true).as_bytes()).await?;
        let (committed, head) = looking.await?;
        commits.push(committed.ok_or("no commit in time")?.saturating_sub(began));
        loop {
            let (at, jws) = tokio::time::timeout(SOON, receipts.recv()).await?.ok_or("the tap broke off")?;
            if signs_for(&jws, head) {
                signed.push(at.saturating_sub(began));
                let arrived = |row: &Row| (row.seq == Some(head)).then_some(row.at_us);
                let arc = lab.arc.as_ref().ok_or("the centre is gone")?;
                let arrived = arc.look(|board| board.ledger.rows().filter_map(arrived).max());
                arrivals.push(arrived.ok_or("signed for, but not held")?.saturating_sub(began));
                break;
            }
        }
    }
    figures.times("alarm.commit", commits, Some(("disk.fsync.p50", fsync)));
    figures.times("alarm.centre", arrivals, Some(("disk.fsync.p50 + half a round trip", fsync + round / 2.0)));
    // The centre signs for what is on its own disk, which is this one too.
    let limit = 2.0 * fsync + round;
    figures.times("alarm.receipt", signed, Some(("2 × disk.fsync.p50 + loopback.roundtrip.p50", limit)));
    Ok(())
}

/// One commit an event, as the obvious program does it, on the same disk: events a second.
fn one_by_one(dir: &Path) -> Outcome<f64> {
    let path = dir.join("peer.db");
    let conn = rusqlite::Connection::open(&path)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.execute_batch("CREATE TABLE event (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)")?;
    let body = vec![b'x'; 600];
    let began = Instant::now();
    for _ in 0..SAMPLES {
        conn.execute("INSERT INTO event (body) VALUES (?1)", [&body])?;
    }
    Ok(SAMPLES as f64 / began.elapsed().as_secs_f64())
}

async fn burst(lab: &Lab, contacts: &[String], figures: &mut Figures) -> Outcome<()> {
    let watch = Watch::open(&lab.daemon.journal())?;
    let head = watch.head();
    let mut open: BTreeMap<&String, bool> = contacts.iter().map(|id| (id, false)).collect();
    let mut text = String::new();
    for number in 0..BURST {
        let id = &contacts[number as usize % contacts.len()];
        let now = open.get_mut(id).ok_or("an unknown contact")?;
        *now = !*now;
        text.push_str(&contact(id, *now));
    }
    let looking = tokio::task::spawn_blocking(move || watch.committed(head + BURST, SOON));
    let began = now_us();
    lab.stick.bytes(text.as_bytes()).await?;
    let committed = looking.await?.ok_or("the burst was not journaled in time")?;
    let rate = BURST as f64 / (committed.saturating_sub(began) as f64 / 1e6);
    figures.put("journal.burst", rate, "events/s", Some(("one SQLite commit an event", one_by_one(lab.folder())?)));
    lab.all_signed().await?;
    let drained = BURST as f64 / (now_us().saturating_sub(began) as f64 / 1e6);
    figures.put("journal.burst.signed", drained, "events/s", None);
    std::fs::remove_file(lab.folder().join("peer.db"))?;
    Ok(())
}
