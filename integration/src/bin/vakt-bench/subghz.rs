//! 868 MHz: from a frame to its report, what fifty telegrams a second cost beside rtl_433 on the same telegrams, and how soon
//! a thread that drains a radio chip is let go on a busy machine, beside the time the chip leaves it.

use super::Disk;
use super::Outcome;
use super::figures::Beside;
use super::figures::Figures;
use super::figures::Times;
use super::micros;
use serde_json::json;
use std::io::Read;
use std::io::Seek;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use thread_priority::RealtimeThreadSchedulePolicy;
use thread_priority::ThreadPriority;
use thread_priority::ThreadSchedulePolicy;
use thread_priority::set_thread_priority_and_policy;
use thread_priority::thread_native_id;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use vakt_core::device::Eep;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::site::SOON;
use vakt_integration::lab::site::contact;
use vakt_integration::lab::site::contact_hex;
use vakt_integration::lab::watch::Watch;
use vakt_integration::lab::watch::now_us;
use vakt_integration::twins::enocean::SecureContact;
use vakt_integration::twins::wmbus_stick::encrypt_mode5;
use vakt_integration::twins::wmbus_stick::format_a;
use vakt_integration::twins::wmbus_stick::three_of_six;
use vaktd::subghz::enocean;
use vaktd::subghz::enocean_security::Key;
use vaktd::subghz::enocean_security::Link;
use vaktd::subghz::enocean_security::Slf;
use vaktd::subghz::line::Caught;
use vaktd::subghz::line::Source;
use vaktd::subghz::receiver::Receiver;
use vaktd::subghz::transceiver::Transceiver;
use vaktd::subghz::wmbus_link::FrameKind;

/// Frames that a time to report is taken from.
const FRAMES: u32 = 20_000;
/// Events that a time to the journal is taken from.
const SAMPLES: usize = 200;
/// Telegrams a second, and for how long.
const RATE: u32 = 50;
const FOR: Duration = Duration::from_secs(20);
/// Detectors that take turns.
const DETECTORS: usize = 50;
/// What a radio chip leaves from its threshold to its overflow (CC1101, 32 of 64 bytes, 100 kBd; radio868.md, section 3).
const SLACK_S: f64 = 0.002_56;
/// Wakes that a latency is taken from, and from one to the next: about as often as a chip that hears without a pause.
const WAKES: usize = 5_000;
const WAKE_EVERY: Duration = Duration::from_millis(2);
/// The recording that the peer is given, and where its good telegram stands in it, in ms.
const RECORDING: &str = "../shared/data/iq/rtlsdr_868.950M_1M6_samples2.cu8";
const SAMPLES_PER_MS: usize = 1_600;
const TELEGRAM_MS: std::ops::Range<usize> = 232..252;
/// The kernel counts a process's time in these, seconds (`getconf CLK_TCK` is 100 wherever Debian runs).
const TICK_S: f64 = 0.01;

pub async fn subghz(figures: &mut Figures) -> Outcome<()> {
    reports(figures)?;
    enocean_commit(figures).await?;
    load(figures).await?;
    tokio::task::spawn_blocking(wakes).await?.map(|(realtime, usual)| {
        let beside = Beside::PeerAndLimit("without real time", usual.at(99), SLACK_S);
        figures.put("subghz.drain.wake.p50", realtime.p50(), "s", Beside::Peer("without real time", usual.p50()));
        figures.put("subghz.drain.wake.p99", realtime.at(99), "s", beside);
        let beside = Beside::PeerAndLimit("without real time", usual.at(100), SLACK_S);
        figures.put("subghz.drain.wake.max", realtime.at(100), "s", beside);
    })?;
    Ok(())
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).filter_map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()).collect()
}

/// From bytes that are whole to the report, in this process, one at a time.
fn reports(figures: &mut Figures) -> Outcome<()> {
    let key = [7u8; 16];
    let clear = bytes(&contact_hex("00030000", true));
    let hidden = encrypt_mode5(&clear, &key).ok_or("the frame cannot be hidden")?;
    let chips = three_of_six(&format_a(&hidden));
    let mut receiver = Receiver::new(Source::RtlWmbus);
    timed("subghz.report.wmbus", figures, || {
        let caught = Caught { kind: FrameKind::Fifo, bytes: chips.clone(), rssi_dbm: None, vouched: false };
        let heard = receiver.take(caught).ok()?;
        receiver.understand(&heard, Some(&key), None).ok()?.report.map(drop)
    })?;
    let mut contact = SecureContact { id: 0x019E_B63B, key: *b"VAKT-BENCH-KEY-1", rlc: 1 };
    let link = Link { key: Key::new(contact.key), slf: Slf::parse(0xAB).map_err(|bad| bad.text)?, ptm: false };
    let said: Vec<Vec<u8>> = (0..FRAMES).map(|_| contact.says(false)).collect();
    let (mut said, mut next, mut transceiver) = (said.iter(), 1u64, Transceiver::default());
    let mut now = Duration::ZERO;
    timed("subghz.report.enocean", figures, || {
        now += Duration::from_secs(1);
        let telegram = transceiver.feed(said.next()?, now).into_iter().next()?;
        let device = enocean::Device { eep: Eep::new(0xD5, 0x00, 0x01), secure: Some((link.clone(), next)) };
        let understood = enocean::understand(&telegram, &device).ok()?;
        next = understood.next?;
        understood.said.ok()?.report.map(drop)
    })
}

fn timed(name: &str, figures: &mut Figures, mut one: impl FnMut() -> Option<()>) -> Outcome<()> {
    let mut took: Vec<f64> = Vec::new();
    for _ in 0..FRAMES {
        let began = Instant::now();
        one().ok_or_else(|| format!("{name}: a frame gave no report"))?;
        took.push(began.elapsed().as_secs_f64());
    }
    took.sort_by(f64::total_cmp);
    figures.put(&format!("{name}.p50"), took[took.len() / 2], "s", Beside::Missing);
    figures.put(&format!("{name}.p99"), took[took.len() * 99 / 100], "s", Beside::Missing);
    Ok(())
}

/// From a secure contact's last byte on the line to the row in the journal.
async fn enocean_commit(figures: &mut Figures) -> Outcome<()> {
    let settings = LabSettings { receiver: "enocean".to_owned(), ..LabSettings::default() };
    let mut lab = Lab::start(settings).await?;
    lab.start_arc(Misbehaviour::default()).await?;
    lab.daemon.start().await?;
    let mut twin = vakt_integration::twins::enocean::Transceiver::default();
    let asked = lab.stick.heard(SOON).await?;
    lab.stick.bytes(&twin.take(&asked)).await?;
    let mut contact = SecureContact { id: 0x019E_B63B, key: *b"VAKT-BENCH-KEY-1", rlc: 1 };
    let hex: String = contact.key.iter().map(|byte| format!("{byte:02x}")).collect();
    let add = json!({"command": "device_add", "device": "en-019eb63b", "kind": "contact", "eep": "D5-00-01", "key": hex,
        "slf": "AB"});
    lab.ask(add).await?;
    let (mut disk, mut fsync, mut commits) = (Disk::probe(lab.folder())?, Times::default(), Times::default());
    for number in 0..SAMPLES {
        fsync.push(disk.fsync()?);
        lab.all_signed().await?;
        let watch = Watch::open(&lab.daemon.journal())?;
        let head = watch.head() + 1;
        let looking = tokio::task::spawn_blocking(move || watch.committed(head, SOON));
        let began = now_us();
        lab.stick.bytes(&contact.says(number % 2 == 0)).await?;
        let committed = looking.await?.ok_or("no commit in time")?;
        commits.push(committed.saturating_sub(began));
    }
    figures.times("subghz.commit.enocean", &commits, Beside::Peer("fsync p50", fsync.p50()));
    Ok(())
}

/// What a process has used so far, seconds of a core.
fn used_s(pid: u32) -> Outcome<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')').ok_or("no such process")?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    Ok((ticks(11).ok_or("no time")? + ticks(12).ok_or("no time")?) * TICK_S)
}

fn rss_mib(pid: u32) -> Outcome<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no memory is told")?;
    let kib: f64 = line.split_whitespace().nth(1).ok_or("no memory is told")?.parse()?;
    Ok(kib / 1024.0)
}

/// Fifty telegrams a second: words that change nothing, words that each are an event, and the peer, which demodulates them
/// too, and decides nothing.
async fn load(figures: &mut Figures) -> Outcome<()> {
    let peer = match peer().await {
        Ok(peer) => Some(peer),
        Err(error) => {
            println!("rtl_433 is missing: {error}");
            None
        }
    };
    let mut lab = Lab::start(LabSettings::default()).await?;
    lab.start_arc(Misbehaviour::default()).await?;
    lab.daemon.start().await?;
    let contacts: Vec<String> = (0..DETECTORS).map(|number| format!("000300{number:02}")).collect();
    lab.furnish("00010204", &contacts).await?;
    lab.all_signed().await?;
    let pid = lab.daemon.pid().ok_or("vaktd does not run")?;
    let beside = |of: fn(&(f64, f64)) -> f64| peer.as_ref().map_or(Beside::Missing, |p| Beside::Peer("rtl_433", of(p)));
    for (name, changing) in [("subghz.cpu.same", false), ("subghz.cpu.events", true)] {
        let (began, before) = (Instant::now(), used_s(pid)?);
        let mut pace = tokio::time::interval(FOR / (FOR.as_secs() as u32 * RATE));
        for number in 0..FOR.as_secs() as usize * RATE as usize {
            pace.tick().await;
            let open = changing && (number / DETECTORS).is_multiple_of(2);
            lab.stick.bytes(contact(&contacts[number % DETECTORS], open).as_bytes()).await?;
        }
        let share = (used_s(pid)? - before) / began.elapsed().as_secs_f64() * 100.0;
        figures.put(name, share, "% core", beside(|(share, _)| *share));
    }
    figures.put("subghz.rss", rss_mib(pid)?, "MiB", beside(|(_, rss)| *rss));
    Ok(())
}

/// rtl_433 on a recorded telegram, fifty times a second as from a stick: its share of a core in percent, its memory in MiB.
async fn peer() -> Outcome<(f64, f64)> {
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(RECORDING);
    let whole = std::fs::read(&recording).map_err(|error| format!("{}: {error}", recording.display()))?;
    let [from, to] = [TELEGRAM_MS.start, TELEGRAM_MS.end].map(|ms| 2 * ms * SAMPLES_PER_MS);
    let telegram = whole.get(from..to).ok_or("the recording is too short")?;
    let mut said = tempfile::tempfile()?;
    // Its level is the one that finds this recording's bursts.
    let mut child = Command::new("rtl_433")
        .args(["-r", "cu8:-", "-s", "1600000", "-R", "104", "-Y", "level=-8", "-F", "json"])
        .stdin(Stdio::piped())
        .stdout(said.try_clone()?)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let (pid, mut stdin) = (child.id().ok_or("it ended")?, child.stdin.take().ok_or("no input")?);
    let began = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / RATE);
    for _ in 0..FOR.as_secs() as usize * RATE as usize {
        pace.tick().await;
        stdin.write_all(telegram).await?;
    }
    let figures = (used_s(pid)? / began.elapsed().as_secs_f64() * 100.0, rss_mib(pid)?);
    drop(stdin);
    child.wait().await?;
    let mut lines = String::new();
    said.rewind()?;
    said.read_to_string(&mut lines)?;
    let heard = lines.lines().filter(|line| line.contains("71200023")).count();
    println!("rtl_433 heard {heard} of {} telegrams", FOR.as_secs() * u64::from(RATE));
    if heard == 0 { Err("it heard no telegram".into()) } else { Ok(figures) }
}

/// How late a thread wakes for a timer's interrupt while every core is busy, as one wakes for a line's: in real time, and not.
fn wakes() -> Result<(Times, Times), String> {
    let busy = Arc::new(AtomicBool::new(true));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let spinners: Vec<_> = (0..2 * cores)
        .map(|_| {
            let busy = busy.clone();
            std::thread::spawn(move || while busy.load(Ordering::Relaxed) {})
        })
        .collect();
    let measured = wake(true).and_then(|realtime| Ok((realtime, wake(false)?)));
    busy.store(false, Ordering::Relaxed);
    for spinner in spinners {
        spinner.join().map_err(|_| "a spinner fell")?;
    }
    measured
}

fn wake(realtime: bool) -> Result<Times, String> {
    let thread = std::thread::spawn(move || {
        if realtime {
            before_others()?;
        }
        let mut times = Times::default();
        for _ in 0..WAKES {
            let began = Instant::now();
            std::thread::sleep(WAKE_EVERY);
            times.push(micros(began.elapsed().saturating_sub(WAKE_EVERY)));
        }
        Ok::<_, String>(times)
    });
    thread.join().map_err(|_| "the thread fell".to_owned())?
}

/// As the chip's thread asks for it.
fn before_others() -> Result<(), String> {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let priority = ThreadPriority::try_from(10u8).map_err(|error| error.to_string())?;
    set_thread_priority_and_policy(thread_native_id(), priority, policy).map_err(|error| format!("real time: {error}"))
}
