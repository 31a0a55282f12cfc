//! An independent host, bellows with zigpy (versions in requirements-ncp.txt), uses the stick's twin on a real
//! pseudo-terminal: it forms, permits, takes a contact in, hears its alarms, and finds the same network after a
//! restart. What only our own driver believes would prove nothing.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that cannot go on must fail

use serde_json::Value;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::io::Lines;
use tokio::process::Child;
use tokio::process::ChildStdin;
use tokio::process::ChildStdout;
use tokio::process::Command;
use vakt_integration::twins::ncp::Ncp;
use vakt_integration::twins::ncp::Settings;
use vakt_integration::twins::ncp::ash::code;
use vakt_integration::twins::ncp::bytes::Eui64;
use vakt_integration::twins::ncp::habits::Habits;
use vakt_integration::twins::ncp::habits::Kind;
use vakt_integration::twins::ncp::hex;
use vakt_integration::twins::ncp::line::Faults;
use vakt_integration::twins::ncp::line::Noise;
use vakt_integration::twins::ncp::orders;
use vakt_integration::twins::ncp::pty::Twin;

/// How long one step may take: bellows itself gives a command ten seconds.
const STEP_WITHIN: Duration = Duration::from_secs(60);

/// A Python with what requirements-ncp.txt names, made once below the target folder.
fn python() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let wanted = Path::new(env!("CARGO_MANIFEST_DIR")).join("requirements-ncp.txt");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ncp-venv");
        let (python, mark) = (folder.join("bin/python"), folder.join("installed.txt"));
        let text = std::fs::read_to_string(&wanted).unwrap();
        if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == text) {
            return python;
        }
        run(std::process::Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        run(std::process::Command::new(&python).args(pip).arg(&wanted));
        std::fs::write(mark, text).unwrap();
        python
    })
    .clone()
}

fn run(command: &mut std::process::Command) {
    let right = "right would be: apt-get install python3 python3-venv, and a package index that pip reaches";
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}; {right}"));
    assert!(status.success(), "{command:?}: {status}; {right}");
}

/// The host in its process.
struct Peer {
    child: Child,
    steps: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    heard: Vec<Value>,
}

impl Peer {
    fn start(stick: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/bellows_peer.py");
        let mut command = Command::new(python());
        command.arg(script).arg(stick).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let steps = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, steps, lines, heard: Vec::new() }
    }

    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(STEP_WITHIN, self.lines.next_line()).await.expect("the host says something");
        let line = line.unwrap().expect("the host runs");
        let value: Value = serde_json::from_str(&line).unwrap();
        self.heard.push(value.clone());
        value
    }

    /// Does a step; its answer.
    async fn step(&mut self, step: &str) -> Value {
        self.steps.write_all(format!("{step}\n").as_bytes()).await.unwrap();
        let name = step.split(' ').next().unwrap();
        loop {
            let value = self.next().await;
            assert!(value["failed"] != *name, "{step}: {value}");
            if value["done"] == *name {
                return value;
            }
        }
    }

    /// Waits for something heard, from now on.
    async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let value = self.next().await;
            if fits(&value) {
                return value;
            }
        }
    }

    /// What it was told in IAS Zone, as it came.
    fn zone_packets(&self) -> Vec<&str> {
        let zone = |value: &&Value| value["heard"] == "packet" && value["cluster"] == 0x0500;
        self.heard.iter().filter(zone).map(|value| value["payload"].as_str().unwrap()).collect()
    }

    async fn end(mut self) {
        drop(self.steps);
        let ended = tokio::time::timeout(STEP_WITHIN, self.child.wait()).await;
        assert!(ended.expect("the host ends").unwrap().success());
    }
}

fn stick(folder: &Path, ezsp: u8) -> Twin {
    Twin::plug(Settings::new(ezsp), &folder.join("stick"), Some(&folder.join("stick.json"))).unwrap()
}

fn network_key(twin: &Twin) -> String {
    twin.ask(|ncp, _| hex(&ncp.memory().network.as_ref().unwrap().key))
}

fn with_colons(eui: Eui64) -> String {
    eui.0.to_be_bytes().map(|byte| format!("{byte:02x}")).join(":")
}

async fn believes(ezsp: u8) {
    let folder = tempfile::tempdir().unwrap();
    let twin = stick(folder.path(), ezsp);
    let mut peer = Peer::start(twin.path());

    let formed = peer.step("start").await;
    assert_eq!(formed["version"], ezsp);
    assert_eq!(formed["key"], network_key(&twin));
    peer.step("stop").await;
    // Forming ends with a reset, which takes the endpoints; the next start gives them back.
    let resumed = peer.step("start").await;
    for same in ["key", "pan", "extended_pan", "channel", "ieee"] {
        assert_eq!(formed[same], resumed[same], "{same}");
    }
    assert!(resumed["counter"].as_u64() > formed["counter"].as_u64());

    let eui = twin.ask(|ncp, _| ncp.add("door", Habits::of(Kind::Contact), None).unwrap());
    let ieee = with_colons(eui);
    twin.ask(|ncp, now| ncp.join(now, "door").unwrap_err());
    peer.step("permit 60").await;
    twin.ask(|ncp, now| ncp.join(now, "door").unwrap());
    let door = peer.until(|value| value["heard"] == "initialized" && value["ieee"] == *ieee).await;
    assert_eq!((door["manufacturer"].as_str(), door["model"].as_str()), (Some("eWeLink"), Some("DS01")));
    let zone = peer.step(&format!("enrol {ieee} 7")).await;
    assert_eq!(zone["attributes"]["zone_state"], "ZoneState.Enrolled");
    assert_eq!(twin.ask(|ncp, _| ncp.device("door").unwrap().zone_id), 7);

    peer.heard.clear();
    for (set, clear) in [(1, 0), (0, 1), (4, 0)] {
        twin.ask(|ncp, now| ncp.happens(now, "door", set, clear).unwrap());
        peer.until(|value| value["cluster"] == 0x0500).await;
    }
    let said = twin.ask(|ncp, _| ncp.log().notices().to_vec());
    let payloads: Vec<String> = said.iter().map(|notice| hex(&notice.payload)).collect();
    assert_eq!(peer.zone_packets(), payloads, "unchanged");
    // Its acknowledgement may still be on the line when it has shown what it heard.
    let acked = |ncp: &Ncp| ncp.log().notices().iter().all(|notice| notice.acked()).then_some(());
    twin.until(STEP_WITHIN, acked).await.unwrap();
    let status = peer.step(&format!("read_zone {ieee}")).await;
    assert_eq!(status["status"], 4);
    // It sends its Default Responses one by one, each when the detector has polled for the one before.
    let answered = |ncp: &Ncp| ncp.log().notices().iter().all(|notice| notice.default_response.is_some()).then_some(());
    twin.until(STEP_WITHIN, answered).await.unwrap();
    twin.ask(|ncp, _| ncp.jam(Some(-40)));
    let energy = peer.step("energy").await;
    assert_eq!((&energy["channels"], &energy["loudest"]), (&Value::from(16), &formed["channel"]), "{energy}");
    assert!(energy["level"].as_f64() > Some(200.0), "of 255, its scale from -92 to -5 dBm: {energy}");
    twin.ask(|ncp, _| ncp.jam(None));
    peer.step("stop").await;
    drop(twin);

    // Another day, another process, the same stick.
    let twin = stick(folder.path(), ezsp);
    let again = peer.step("start").await;
    assert_eq!((&again["key"], &again["pan"]), (&formed["key"], &formed["pan"]));
    // It notices when the stick falls over.
    twin.ask(|ncp, now| ncp.reset(now, code::WATCHDOG));
    peer.until(|value| value["heard"] == "connection_lost").await;
    peer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bellows_believes_a_stick_of_version_13() {
    believes(13).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bellows_believes_a_stick_of_version_14() {
    believes(14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bellows_believes_a_stick_of_version_18() {
    believes(18).await;
}

/// A peer whose network is up and whose endpoints are there: forming takes them, the next start gives them back.
async fn started(twin: &Twin) -> Peer {
    let mut peer = Peer::start(twin.path());
    for step in ["start", "stop", "start"] {
        peer.step(step).await;
    }
    peer
}

/// Lets a device in and waits until the peer has interviewed it; its address as the peer writes it.
async fn joins(twin: &Twin, peer: &mut Peer, name: &str, kind: Kind) -> String {
    // zigpy speaks from the endpoint it speaks to, and has no 44 that an answer could reach.
    let habits = Habits { endpoint: 1, ..Habits::of(kind) };
    let eui = twin.ask(|ncp, _| ncp.add(name, habits, None).unwrap());
    let ieee = with_colons(eui);
    peer.step("permit 60").await;
    twin.ask(|ncp, now| ncp.join(now, name).unwrap());
    peer.until(|value| value["heard"] == "initialized" && value["ieee"] == *ieee).await;
    ieee
}

/// Follows a control line, as vakt-ncp would.
fn order(twin: &Twin, line: &str) {
    twin.ask(|ncp, now| orders::follow(ncp, now, line).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn bellows_understands_a_keypad_and_the_keypad_bellows() {
    let folder = tempfile::tempdir().unwrap();
    let twin = stick(folder.path(), 13);
    let mut peer = started(&twin).await;
    let keypad = joins(&twin, &mut peer, "keypad", Kind::Keypad).await;
    assert_eq!(peer.step(&format!("bind {keypad} 0x0501")).await["status"], "Status.SUCCESS");
    order(&twin, "habit keypad asks=no patience=20000");
    order(&twin, "arm keypad night 1234");
    let arm = peer.until(|value| value["name"] == "arm").await;
    assert!(arm["fields"]["arm_mode"].as_str().unwrap().contains("Night"), "{arm}");
    assert_eq!((&arm["fields"]["arm_disarm_code"], &arm["fields"]["zone_id"]), (&"1234".into(), &"0".into()));
    peer.step(&format!("tell {keypad} 0x0501 arm_response {} 2", arm["tsn"])).await;
    let display = |ncp: &Ncp| ncp.shows(Duration::ZERO, "keypad").ok();
    twin.until(STEP_WITHIN, |ncp| display(ncp).filter(|shown| shown["arm"] == 2)).await.unwrap();
    order(&twin, "ask keypad panel");
    let asked = peer.until(|value| value["name"] == "get_panel_status").await;
    peer.step(&format!("tell {keypad} 0x0501 panel_status_response {} 5 25 1 0", asked["tsn"])).await;
    let shown = twin.until(STEP_WITHIN, |ncp| display(ncp).filter(|shown| !shown["panel"].is_null())).await.unwrap();
    assert_eq!((&shown["panel"]["status"], &shown["panel"]["seconds"]), (&Value::from(5), &Value::from(25)));
    order(&twin, "press keypad panic");
    peer.until(|value| value["name"] == "panic").await;
    twin.until(STEP_WITHIN, |ncp| display(ncp).filter(|shown| shown["confirmed"][0] == 4)).await.unwrap();
    peer.step("stop").await;
    peer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bellows_drives_a_lock_a_siren_and_a_relay() {
    let folder = tempfile::tempdir().unwrap();
    let twin = stick(folder.path(), 13);
    let mut peer = started(&twin).await;
    let lock = joins(&twin, &mut peer, "lock", Kind::Lock).await;
    for cluster in ["0x0101", "0x0009"] {
        assert_eq!(peer.step(&format!("bind {lock} {cluster}")).await["status"], "Status.SUCCESS");
    }
    for mask in ["alarm_mask", "rf_operation_event_mask", "rf_programming_event_mask", "keypad_operation_event_mask"] {
        peer.step(&format!("write {lock} 0x0101 {mask} 0xFFFF")).await;
    }
    let reporting = peer.step(&format!("report {lock} 0x0101 lock_state")).await;
    assert_eq!(reporting["status"][0], "Status.SUCCESS", "{reporting}");
    let set = peer.step(&format!("call {lock} 0x0101 set_pin_code 3 1 0 '2468'")).await;
    assert!(set["answer"]["status"].as_str().unwrap().contains("SUCCESS"), "{set}");
    let told = peer.until(|value| value["name"] == "programming_event_notification").await;
    assert!(told["fields"]["program_event_code"].as_str().unwrap().contains("PINCodeAdded"), "{told}");
    let locked = peer.step(&format!("call {lock} 0x0101 lock_door")).await;
    assert!(locked["answer"]["status"].as_str().unwrap().contains("SUCCESS"), "{locked}");
    let told = peer.until(|value| value["name"] == "operation_event_notification").await;
    assert_eq!(told["fields"]["operation_event_source"], "OperationEventSource.RF", "{told}");
    let read = peer.step(&format!("read {lock} 0x0101 lock_state door_state num_of_pin_users_supported")).await;
    assert_eq!((&read["attributes"]["lock_state"], &read["failed"]), (&"LockState.Locked".into(), &"{}".into()));
    order(&twin, "code lock unlock 2468");
    let told = peer.until(|value| value["fields"]["operation_event_source"] == "OperationEventSource.Keypad").await;
    assert_eq!(
        (&told["fields"]["operation_event_code"], &told["fields"]["user_id"]),
        (&"OperationEvent.Unlock".into(), &"3".into())
    );
    order(&twin, "tamper lock");
    let told = peer.until(|value| value["name"] == "alarm").await;
    assert_eq!(told["fields"]["alarm_code"], "5");

    let siren = joins(&twin, &mut peer, "siren", Kind::Siren).await;
    peer.step(&format!("call {siren} 0x0502 start_warning 0x17 30 50 1")).await;
    let sound = twin.ask(|ncp, now| ncp.siren("siren").unwrap().sounds(now).unwrap());
    assert_eq!((sound.mode, sound.strobe, sound.level), (1, true, 3));
    peer.step(&format!("call {siren} 0x0502 start_warning 0x00 0 0 0")).await;
    assert!(twin.ask(|ncp, now| ncp.siren("siren").unwrap().sounds(now).is_none()));

    let relay = joins(&twin, &mut peer, "relay", Kind::Relay).await;
    let on = peer.step(&format!("call {relay} 0x0006 on")).await;
    assert!(on["answer"]["status"].as_str().unwrap().contains("SUCCESS"), "{on}");
    assert!(twin.ask(|ncp, _| ncp.switch("relay").unwrap().on));
    peer.step("stop").await;
    peer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bellows_forms_over_a_bad_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(13);
    settings.seed = 7;
    eprintln!("seed {}", settings.seed);
    settings.timing.ack_first = Duration::from_millis(100);
    settings.timing.ack_least = Duration::from_millis(50);
    let twin = Twin::plug(settings, &folder.path().join("stick"), None).unwrap();
    let noise = Noise { lose_frame: 0.02, ..Noise::default() };
    let late = Duration::from_millis(2);
    twin.ask(|ncp, _| {
        ncp.set_faults(Faults { to_host: noise, byte_at_a_time: true, late, ..Faults::default() });
    });
    let mut peer = Peer::start(twin.path());
    let formed = peer.step("start").await;
    assert_eq!(formed["key"], network_key(&twin));
    let again = twin.ask(|ncp, _| ncp.ash_counts().again_out);
    assert!(again > 0, "frames were lost and came again");
    peer.step("stop").await;
    peer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_code_lets_one_detector_in() {
    let folder = tempfile::tempdir().unwrap();
    let twin = stick(folder.path(), 13);
    let mut peer = Peer::start(twin.path());
    peer.step("start").await;
    // 83FED3407A939723A5C639B26916D505 with CRC C3B5 makes this key.
    let key = 0x66B6_9009_81E1_EE3C_A420_6B6B_861C_02BBu128.to_be_bytes();
    let smoke = Habits { install_key: Some(key), ..Habits::of(Kind::Smoke) };
    let eui = twin.ask(|ncp, _| ncp.add("smoke", smoke, None).unwrap());
    twin.ask(|ncp, _| ncp.add("stranger", Habits::of(Kind::Contact), None).unwrap());
    peer.step(&format!("permit_with_key {} {}", with_colons(eui), hex(&key))).await;
    twin.ask(|ncp, now| ncp.join(now, "smoke").unwrap());
    twin.ask(|ncp, now| ncp.join(now, "stranger").unwrap_err());
    peer.until(|value| value["heard"] == "joined").await;
    peer.step("stop").await;
    peer.end().await;
}
