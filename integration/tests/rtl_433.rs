//! The real rtl_433, as the daemon runs it, on air that is played to it by the protocol of rtl_tcp: a Cavius alarm made here
//! by its decoder's description, and a telegram that a stick has recorded.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use std::f64::consts::TAU;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio::time::timeout;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::input::Input;
use vaktd::subghz::io::Outlets;
use vaktd::subghz::io::Stranger;
use vaktd::subghz::io::Well;
use vaktd::subghz::io::rtl_433::Settings;
use vaktd::subghz::io::rtl_433::listen;
use vaktd::subghz::known::Device;
use vaktd::subghz::known::Known;
use vaktd::subghz::known::Secret;
use vaktd::subghz::receiver::Counters;
use vaktd::subghz::rtl_433::Version;

/// Statistics come every ten seconds; a machine that is busy may take some more.
const SOON: Duration = Duration::from_secs(60);
/// A Cavius smoke alarm 01020304: sync word, then Manchester: network 00c2e901, alarm, CRC-8, sender.
const FIRE: &str = "aaaaaaaa436176695555a559a99655565955a6aa556a55565559555a5565aaaa";

/// Samples without a signal: the converter's last bit.
fn quiet(samples: usize) -> Vec<u8> {
    let mut seed = 1u32;
    let bit = |_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        127 + (seed >> 31) as u8
    };
    (0..2 * samples).map(bit).collect()
}

/// Bits as two tones 25 kHz to either side, 206 µs each, at a million samples a second.
fn fsk(hex: &str) -> Vec<u8> {
    let mut phase = 0f64;
    let bits = hex.chars().flat_map(|digit| (0..4).rev().map(move |bit| digit.to_digit(16).unwrap() >> bit & 1 == 1));
    let samples = bits.flat_map(|one| std::iter::repeat_n(if one { 25e3 } else { -25e3 }, 206));
    let wave = samples.flat_map(|hz: f64| {
        phase += TAU * hz / 1e6;
        [phase.cos(), phase.sin()].map(|part| (127.5 + 60.0 * part).round() as u8)
    });
    wave.collect()
}

/// An rtl_tcp server that plays samples over and over, at their own rate, to whoever connects. Aborted, it is pulled out.
async fn play(air: Vec<u8>, rate: u32) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let device = format!("rtl_tcp:{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut hub, _) = listener.accept().await.unwrap();
        // "RTL0", the tuner (5: R820T) and how many gains it has. Orders to tune stay unread.
        hub.write_all(&[b'R', b'T', b'L', b'0', 0, 0, 0, 5, 0, 0, 0, 29]).await.unwrap();
        let mut tenth = tokio::time::interval(Duration::from_millis(100));
        tenth.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut samples = air.iter().cycle();
        loop {
            tenth.tick().await;
            let block: Vec<u8> = samples.by_ref().take(rate as usize / 5).copied().collect();
            if hub.write_all(&block).await.is_err() {
                return;
            }
        }
    });
    (device, server)
}

/// The hub's side of a receiver.
struct Hub {
    outlets: Outlets,
    inputs: mpsc::Receiver<Input>,
    strangers: mpsc::Receiver<Stranger>,
    _known: watch::Sender<Arc<Known>>,
}

impl Hub {
    fn new(known: &[&str]) -> Self {
        let device = Device { secret: Secret::None, eep: None, counter: None, key: None };
        let known: Known = known.iter().map(|id| (DeviceId::new(*id).unwrap(), device.clone())).collect();
        let (known_in, known) = watch::channel(Arc::new(known));
        let ((inputs_in, inputs), (strangers_in, strangers)) = (mpsc::channel(64), mpsc::channel(64));
        let (newest, counted) = (Arc::default(), Arc::default());
        let outlets = Outlets { inputs: inputs_in, strangers: strangers_in, known, newest, counted };
        Self { outlets, inputs, strangers, _known: known_in }
    }

    fn listen(&self, settings: &Settings) -> JoinHandle<String> {
        let (settings, outlets) = (settings.clone(), self.outlets.clone());
        let well = Well::new(settings.receiver(), outlets.inputs.clone());
        tokio::spawn(async move { listen(&settings, &outlets, well).await })
    }

    /// The next thing the core is told.
    async fn told(&mut self) -> Input {
        timeout(SOON, self.inputs.recv()).await.expect("something is told").unwrap()
    }

    fn counted(&self) -> Counters {
        self.outlets
            .counted
            .lock()
            .unwrap()
            .get("rtl_433-bench")
            .and_then(|counted| counted.telegrams)
            .unwrap_or_default()
    }
}

/// Where it is installed.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("rtl_433")).find(|program| program.is_file());
    found.expect("rtl_433 is installed (Debian: rtl-433)")
}

fn version() -> Version {
    let said = std::process::Command::new(program()).arg("-V").output().unwrap();
    Version::said(&String::from_utf8_lossy(&said.stderr)).expect("it says its version")
}

fn settings(device: String, frequency_hz: u32) -> Settings {
    Settings {
        name: "bench".to_owned(),
        program: program(),
        device,
        frequency_hz,
        sample_rate_hz: None,
        level_db: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cavius_alarm_on_the_air_is_a_fire_and_a_stick_that_is_pulled_out_is_told() {
    let air = [quiet(300_000), fsk(FIRE), quiet(300_000)].concat();
    let (device, server) = play(air, 1_000_000).await;
    let mut hub = Hub::new(&["rf-cavius-01020304"]);
    let life = hub.listen(&settings(device, 869_670_000));
    let Input::Receiver { receiver, error: None } = hub.told().await else { panic!("it is well first") };
    assert_eq!(receiver, "rtl_433-bench");
    let Input::Report(report) = hub.told().await else { panic!("then it says what it hears") };
    assert_eq!(report.device.as_str(), "rf-cavius-01020304");
    assert_eq!((report.kind, report.state), (DeviceKind::Smoke, Some(DeviceState::Alarm)));
    assert_eq!((report.low_battery, report.rssi_dbm), (Some(false), None));
    server.abort();
    let why = timeout(SOON, life).await.expect("it ends").unwrap();
    assert!(why.contains("it ended") || why.contains("no statistics"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_air_is_well_too() {
    let (device, _server) = play(quiet(100_000), 1_000_000).await;
    let mut hub = Hub::new(&[]);
    let life = hub.listen(&settings(device, 868_300_000));
    assert!(matches!(hub.told().await, Input::Receiver { error: None, .. }), "statistics prove that it hears");
    assert_eq!(hub.counted().heard, 0);
    life.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_stick_it_says_so_and_was_never_well() {
    let mut hub = Hub::new(&[]);
    let life = hub.listen(&settings(":vakt-has-no-such-stick".to_owned(), 868_300_000));
    let why = timeout(SOON, life).await.expect("it ends").unwrap();
    assert!(why.contains("it ended: exit status: "), "{why}");
    assert!(hub.inputs.try_recv().is_err(), "nothing was told");
}

/// `rtlsdr_868.950M_1M6_samples2.cu8` of xaelsouth/rtl-wmbus: 0.66 s of air with a Techem telegram.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_telegram_is_ours_where_the_release_gives_it_whole() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let recording = root.join("shared/data/iq/rtlsdr_868.950M_1M6_samples2.cu8");
    let Ok(air) = std::fs::read(&recording) else {
        eprintln!("note: {} is not here: no telegram was played", recording.display());
        return;
    };
    let (device, _server) = play(air, 1_600_000).await;
    let mut hub = Hub::new(&[]);
    let tuned = Settings { sample_rate_hz: Some(1_600_000), level_db: Some(-9), ..settings(device, 868_950_000) };
    let life = hub.listen(&tuned);
    if version() >= Version::new(25, 2) {
        let heard = timeout(SOON, hub.strangers.recv()).await.expect("it is heard").unwrap();
        assert_eq!(heard.device.as_str(), "rf-wm-tch-71200023-72-f0");
        assert!(!heard.encrypted);
    } else {
        // What it prints is cut. It is heard to be alive, and not believed.
        assert!(matches!(hub.told().await, Input::Receiver { error: None, .. }));
        let counted = hub.counted();
        assert!(counted.not_supported > 0 && counted.heard == 0, "{counted:?}");
        assert!(hub.strangers.try_recv().is_err());
    }
    life.abort();
}
