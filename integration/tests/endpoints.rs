//! The reference centre behind two brokers, Ethernet on one and LTE on the other, with the real hub, real routers and real
//! mosquittos: whichever broker dies or hangs, what happens at the site arrives, once and in order, and orders reach it.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use serde_json::Value;
use serde_json::json;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::arc::paths::Verdict;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::broker::Broker;
use vakt_integration::lab::site::SOON;
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
        let beats = LabSettings { beat_primary_s: 5, beat_alternative_s: 5, ..LabSettings::default() };
        let mut lab = Lab::start(LabSettings { networks: true, two_brokers: true, paths, ..beats }).await.unwrap();
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

    /// Both the hub and the centre hold the path for good.
    async fn up(&self, path: &str) {
        let up = |status: &Value| status["paths"][path]["up"] == json!(true);
        self.lab.until(&format!("{path} to be up"), up).await.unwrap();
        self.says(path, Verdict::Up).await;
    }

    async fn says(&self, path: &str, verdict: Verdict) {
        let arc = self.lab.arc.as_ref().unwrap();
        let said = |board: &vakt_integration::arc::handle::Board| board.paths.verdict(path) == Some(verdict);
        arc.wait_until(&format!("{path} to be {verdict:?}"), SOON, said).await.unwrap();
    }

    /// The operator notes something about the fire, and hears that it is noted.
    async fn order(&self) {
        let arc = self.lab.arc.as_ref().unwrap();
        let fire = arc.events().into_iter().rfind(|row| row.kind == "alarm_raised").unwrap().json();
        let incident = fire.get("incident").unwrap_or(&fire["id"]).as_str().unwrap();
        let jti = arc.order(&format!("order arc_operator incident_note incident={incident} text=seen")).await.unwrap();
        let replies = arc.wait_reply(&jti, 0, SOON).await.unwrap();
        assert_eq!(replies[0]["status"], json!("accepted"), "{replies:?}");
    }

    fn broker(&mut self, path: &str) -> &mut Broker {
        if path == "eth" { &mut self.lab.broker } else { self.lab.other_broker.as_mut().unwrap() }
    }

    /// Nothing is lost, out of order or different from what it was, and the hub was never unheard.
    async fn all_is_well(&self, after: &str) {
        let status = self.lab.all_signed().await.unwrap_or_else(|error| panic!("after {after}: {error}"));
        let arc = self.lab.arc.as_ref().unwrap();
        let counts = arc.counts();
        assert!(counts.clean(), "after {after}: {counts:?}");
        assert_eq!(Some(counts.events), status["journal"]["seq"].as_u64(), "after {after}");
        assert!(!arc.look(|board| board.paths.all_lost()), "after {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r28_either_broker_may_be_killed_or_hang_and_the_other_brings_everything() {
    let mut flow = Flow::begin().await;
    for path in PATHS {
        flow.events().await;
        flow.broker(path).kill().await;
        flow.events().await;
        flow.all_is_well(&format!("kill -9 of the broker of {path}")).await;
        flow.order().await;
        flow.says(path, Verdict::Lost).await;
        flow.broker(path).restart().await.unwrap();
        flow.events().await;
        flow.up(path).await;
        flow.all_is_well(&format!("the broker of {path} came back and knew nobody")).await;

        flow.broker(path).freeze().unwrap();
        flow.events().await;
        flow.all_is_well(&format!("the broker of {path} hangs")).await;
        flow.order().await;
        flow.broker(path).thaw().unwrap();
        flow.events().await;
        flow.up(path).await;
        flow.all_is_well(&format!("the broker of {path} goes on")).await;
    }
}
