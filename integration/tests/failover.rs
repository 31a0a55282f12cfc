//! Two paths in a real kernel: the hub behind two routers, a broker behind both, cables pulled and routers that swallow.
//! Whatever happens to one path, what happens at the site reaches the centre, in order and once.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use serde_json::Value;
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::flow::Flow;
use vakt_integration::lab::flow::PATHS;
use vakt_integration::lab::net::Fault;
use vakt_integration::twins::mqtt::Packet;

/// A broker that is frozen for so long has not been given up when it goes on, and for so long it has, on both paths.
const FROZEN: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(15)];

#[tokio::test(flavor = "multi_thread")]
async fn r28_whatever_ends_one_path_the_other_carries_on() {
    let mut flow = Flow::over_two_paths(LabSettings::default()).await;
    // The path that is broken is the one that carries: the other has just failed and must prove itself.
    let faults = [
        (Fault::Silent, "silent"),
        (Fault::Uplink, "silent"),
        (Fault::Downlink, "silent"),
        (Fault::Carrier, "no_carrier"),
        (Fault::Admin, "no_carrier"),
        (Fault::Address, "no_address"),
    ];
    for (round, (fault, why)) in faults.into_iter().enumerate() {
        let path = PATHS[round % 2];
        flow.break_path(path, fault);
        flow.events().await;
        flow.all_is_well(&format!("{fault:?} on {path}")).await;
        assert_eq!(flow.down(path).await, why, "{fault:?} on {path}");
        flow.mend(path);
        flow.events().await;
        flow.up(path).await;
        flow.all_is_well(&format!("{fault:?} on {path}, mended")).await;
    }
}

/// R45: each byte on LTE is paid for. A PINGREQ beside each beat would cost as much again, so there the beats keep the
/// connection. By the broker's own log.
#[tokio::test(flavor = "multi_thread")]
async fn r45_the_second_path_is_kept_by_its_beats() {
    let flow = Flow::over_two_paths(LabSettings::default()).await;
    let log = std::fs::read_to_string(flow.lab.broker.log()).unwrap();
    let kept = PATHS.map(|path| {
        let came =
            log.lines().find(|line| line.contains("New client connected") && line.contains(&format!("-{path} (")));
        came.and_then(|line| line.split(", k").nth(1)?.split([',', ')']).next()?.parse::<u64>().ok())
    });
    // 20 s on the first, and three beats of 180 s on the other.
    assert_eq!(kept, [Some(20), Some(540)], "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r29_a_path_that_is_bad_and_not_dead_loses_nothing() {
    let mut flow = Flow::over_two_paths(LabSettings::default()).await;
    let faults: [&[Fault]; 3] = [&[Fault::Loses(40)], &[Fault::Narrow(16)], &[Fault::Narrow(32), Fault::Loses(10)]];
    for faults in faults {
        let breaks = |path| faults.iter().for_each(|fault| flow.break_path(path, *fault));
        breaks("eth");
        flow.events().await;
        flow.all_is_well(&format!("{faults:?}")).await;
        // And so is the other: nothing is left but to be patient.
        let breaks = |path| faults.iter().for_each(|fault| flow.break_path(path, *fault));
        breaks("lte");
        flow.events().await;
        flow.all_is_well(&format!("{faults:?} on both")).await;
        PATHS.iter().for_each(|path| flow.mend(path));
        flow.events().await;
        flow.all_is_well(&format!("{faults:?}, mended")).await;
    }
    for _ in 0..5 {
        flow.break_path("eth", Fault::Carrier);
        flow.events().await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        flow.mend("eth");
        flow.events().await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    flow.all_is_well("a cable that is in and out every three seconds").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r29_a_minute_without_any_path_is_made_up_for() {
    let mut flow = Flow::over_two_paths(LabSettings::default()).await;
    PATHS.iter().for_each(|path| flow.break_path(path, Fault::Silent));
    for _ in 0..6 {
        flow.events().await;
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    for path in PATHS {
        flow.down(path).await;
    }
    let status = flow.lab.status().await.unwrap();
    assert!(status["journal"]["unreceipted"].as_u64().unwrap() >= 66, "{status}");
    flow.mend("lte");
    flow.all_is_well("the mobile network is back").await;
    flow.mend("eth");
    flow.up("eth").await;
    flow.all_is_well("the cable is back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r29_a_broker_that_falls_stands_still_or_forgets_behind_both_paths_loses_nothing() {
    let mut flow = Flow::over_two_paths(LabSettings::default()).await;
    for round in 0..3 {
        flow.events().await;
        flow.lab.broker.kill().await;
        flow.events().await;
        for path in PATHS {
            // Closed by its end, then refused: whichever is the newest.
            let why = flow.down(path).await;
            assert!(["closed", "tcp_refused"].contains(&why.as_str()), "{path}: {why}");
        }
        // It remembers no session, no subscription and nothing that was retained.
        flow.lab.broker.restart().await.unwrap();
        flow.events().await;
        flow.all_is_well(&format!("kill {round} of the broker")).await;
    }
    for frozen in FROZEN {
        for path in PATHS {
            flow.up(path).await;
        }
        flow.lab.broker.freeze().unwrap();
        flow.events().await;
        tokio::time::sleep(frozen).await;
        if frozen == FROZEN[1] {
            for path in PATHS {
                flow.down(path).await;
            }
        }
        flow.lab.broker.thaw().unwrap();
        flow.events().await;
        flow.all_is_well(&format!("a broker that stood still for {frozen:?}")).await;
    }
}

/// Somebody else says that he is this client; the broker takes the session away from who was.
async fn takes_over(flow: &Flow, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(flow.lab.broker.plain_address()).await.unwrap();
    let client_id = format!("lab-hub-{path}");
    let hello =
        Packet::Connect { client_id, clean_start: true, keep_alive_s: 0, session_expiry_s: 0, will_topic: None };
    stream.write_all(&hello.encode()).await.unwrap();
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).await.unwrap();
    assert_eq!((connack[0], connack[3]), (0x20, 0), "the broker takes the stranger");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn r29_a_client_whose_session_is_taken_away_comes_back_and_loses_nothing() {
    let mut flow = Flow::over_two_paths(LabSettings::default()).await;
    for path in PATHS {
        for _ in 0..3 {
            flow.up(path).await;
            let stranger = takes_over(&flow, path).await;
            flow.events().await;
            flow.all_is_well(&format!("a stranger in the place of {path}")).await;
            flow.up(path).await;
            drop(stranger);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_what_would_keep_a_path_from_working() {
    let paths = PATHS.map(str::to_owned).to_vec();
    let lab = Lab::start(LabSettings { networks: true, paths, ..LabSettings::default() }).await.unwrap();
    let net = lab.net().unwrap();
    let doctor = || {
        let starter = net.at_the_hub();
        let mut command = std::process::Command::new(&starter[0]);
        command.args(&starter[1..]).arg(vakt_integration::lab::daemon::binary().unwrap());
        let done = command.args(["doctor", "--json", "--config"]).arg(lab.daemon.config_path()).output().unwrap();
        let lines = String::from_utf8(done.stdout).unwrap();
        let findings: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let bad = |finding: &Value| finding["ok"] == json!(false);
        let bad: Vec<String> =
            findings.iter().filter(|finding| bad(finding)).map(|f| format!("{} {}", f["check"], f["on"])).collect();
        (done.status.code(), bad.join(", ").replace('"', ""))
    };
    assert_eq!(doctor(), (Some(0), String::new()));
    let at_the_hub = |words: &[&str]| {
        let starter = net.at_the_hub();
        assert!(std::process::Command::new(&starter[0]).args(&starter[1..]).args(words).status().unwrap().success());
    };
    at_the_hub(&["sysctl", "-q", "-w", "net.ipv4.conf.wwan0.rp_filter=1"]);
    assert_eq!(doctor(), (Some(1), "rp_filter wwan0".to_owned()));
    at_the_hub(&["sysctl", "-q", "-w", "net.ipv4.conf.wwan0.rp_filter=2"]);
    net.break_path("lte", Fault::Carrier).unwrap();
    assert_eq!(doctor(), (Some(1), "interface wwan0".to_owned()));
    net.mend("lte").unwrap();
    at_the_hub(&["ip", "route", "del", "default", "dev", "wwan0"]);
    assert_eq!(doctor(), (Some(1), "route wwan0".to_owned()));
    at_the_hub(&["ip", "route", "append", "default", "via", "198.51.100.2", "dev", "wwan0", "metric", "100"]);
    assert_eq!(doctor(), (Some(1), "route eth0, wwan0".to_owned()));
}
