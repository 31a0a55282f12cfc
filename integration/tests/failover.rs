//! Two paths in a real kernel: the hub behind two routers, a broker behind both, cables pulled and routers that swallow.
//! Whatever happens to one path, what happens at the site reaches the centre, in order and once.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use serde_json::Value;
use serde_json::json;
use std::time::Duration;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::net::Fault;
use vakt_integration::lab::site::contact;
use vakt_integration::lab::site::smoke;

const SMOKE: &str = "00010204";
const PATHS: [&str; 2] = ["eth", "lte"];

struct Flow {
    lab: Lab,
    contacts: Vec<String>,
    open: bool,
}

impl Flow {
    async fn begin() -> Self {
        let paths = PATHS.map(str::to_owned).to_vec();
        let settings = LabSettings { networks: true, paths, beat_primary_s: 5, ..LabSettings::default() };
        let mut lab = Lab::start(settings).await.unwrap();
        lab.start_arc(Misbehaviour::default()).await.unwrap();
        lab.daemon.start().await.unwrap();
        let contacts: Vec<String> = (0..10).map(|number| format!("000200{number:02}")).collect();
        lab.furnish(SMOKE, &contacts).await.unwrap();
        let flow = Self { lab, contacts, open: false };
        for path in PATHS {
            flow.up(path).await;
        }
        flow.all_is_well("the beginning").await;
        flow
    }

    /// Ten doors move and the kitchen burns.
    async fn events(&mut self) {
        let seq = |status: &Value| status["journal"]["seq"].as_u64().unwrap();
        let before = seq(&self.lab.status().await.unwrap());
        self.open = !self.open;
        for id in &self.contacts {
            self.lab.stick.line(contact(id, self.open).trim_end()).await.unwrap();
        }
        for smoking in [false, true] {
            self.lab.stick.line(smoke(SMOKE, smoking).trim_end()).await.unwrap();
        }
        self.lab.until("eleven events in the journal", |status| seq(status) >= before + 11).await.unwrap();
    }

    async fn up(&self, path: &str) {
        let up = |status: &Value| status["paths"][path]["up"] == json!(true);
        self.lab.until(&format!("{path} to be up"), up).await.unwrap();
    }

    /// Why a path is down.
    async fn down(&self, path: &str) -> String {
        let down = |status: &Value| status["paths"][path]["up"] == json!(false);
        let status = self.lab.until(&format!("{path} to be down"), down).await.unwrap();
        status["paths"][path]["reason"].as_str().unwrap().to_owned()
    }

    fn break_path(&self, path: &str, fault: Fault) {
        self.lab.net().unwrap().break_path(path, fault).unwrap();
    }

    fn mend(&self, path: &str) {
        self.lab.net().unwrap().mend(path).unwrap();
    }

    /// Nothing is lost, out of order or different from what it was.
    async fn all_is_well(&self, after: &str) {
        let status = self.lab.all_signed().await.unwrap_or_else(|error| panic!("after {after}: {error}"));
        let counts = self.lab.arc.as_ref().unwrap().counts();
        assert!(counts.clean(), "after {after}: {counts:?}");
        assert_eq!(Some(counts.events), status["journal"]["seq"].as_u64(), "after {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r28_whatever_ends_one_path_the_other_carries_on() {
    let mut flow = Flow::begin().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn r29_a_path_that_is_bad_and_not_dead_loses_nothing() {
    let mut flow = Flow::begin().await;
    for fault in [Fault::Loses(40), Fault::Narrow(16)] {
        flow.break_path("eth", fault);
        flow.events().await;
        flow.all_is_well(&format!("{fault:?}")).await;
        // And so is the other: nothing is left but to be patient.
        flow.break_path("lte", fault);
        flow.events().await;
        flow.all_is_well(&format!("{fault:?} on both")).await;
        PATHS.iter().for_each(|path| flow.mend(path));
        flow.events().await;
        flow.all_is_well(&format!("{fault:?}, mended")).await;
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
    let mut flow = Flow::begin().await;
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
