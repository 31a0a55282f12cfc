//! A broker, a network and a centre that do what they should not, while events flow: nothing is lost, and as soon as
//! they behave again everything is delivered.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use serde_json::json;
use std::time::Duration;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::proxy::Mode;
use vakt_integration::lab::site::contact;
use vakt_integration::lab::site::smoke;

const SMOKE: &str = "00010204";

struct Flow {
    lab: Lab,
    contacts: Vec<String>,
    open: bool,
}

impl Flow {
    async fn begin() -> Self {
        let mut lab = Lab::start(LabSettings { beat_primary_s: 5, ..LabSettings::default() }).await.unwrap();
        lab.start_arc(Misbehaviour::default()).await.unwrap();
        lab.daemon.start().await.unwrap();
        let contacts: Vec<String> = (0..10).map(|number| format!("000200{number:02}")).collect();
        lab.furnish(SMOKE, &contacts).await.unwrap();
        lab.all_signed().await.unwrap();
        Self { lab, contacts, open: false }
    }

    /// Ten events more; gives the seq the journal then has at least.
    async fn events(&mut self) -> u64 {
        let before = self.lab.status().await.unwrap()["journal"]["seq"].as_u64().unwrap();
        self.open = !self.open;
        for id in &self.contacts {
            self.lab.stick.line(contact(id, self.open).trim_end()).await.unwrap();
        }
        let reached = |status: &serde_json::Value| status["journal"]["seq"].as_u64() >= Some(before + 10);
        let status = self.lab.until("ten events in the journal", reached).await.unwrap();
        status["journal"]["seq"].as_u64().unwrap()
    }

    async fn all_is_well(&self, after: &str) {
        let status = self.lab.all_signed().await.unwrap_or_else(|error| panic!("after {after}: {error}"));
        let counts = self.lab.arc.as_ref().unwrap().counts();
        assert!(counts.clean(), "after {after}: {counts:?}");
        assert_eq!(Some(counts.events), status["journal"]["seq"].as_u64(), "after {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r29_a_bad_network_loses_nothing() {
    let mut flow = Flow::begin().await;
    let modes = [
        Mode::Refuse,
        Mode::BlackHole,
        Mode::ResetEvery(2_000),
        Mode::Rubbish,
        Mode::Throttle(20_000),
        Mode::Delay(Duration::from_millis(200)),
    ];
    for mode in modes {
        flow.lab.proxy("eth").unwrap().set(mode).await;
        flow.lab.proxy("eth").unwrap().cut().await;
        flow.events().await;
        flow.lab.proxy("eth").unwrap().set(Mode::Pass).await;
        flow.lab.proxy("eth").unwrap().cut().await;
        // An alarm dials at once, the rest comes along; without one the back-off may rest for a minute.
        for alarm in [false, true] {
            flow.lab.stick.line(smoke(SMOKE, alarm).trim_end()).await.unwrap();
        }
        flow.events().await;
        flow.all_is_well(&format!("{mode:?}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r29_a_broker_that_dies_freezes_and_forgets_loses_nothing() {
    let mut flow = Flow::begin().await;
    flow.events().await;
    flow.lab.broker.kill().await;
    flow.events().await;
    flow.lab.broker.restart().await.unwrap(); // it has forgotten every session and every queued message
    flow.events().await;
    flow.all_is_well("kill -9 of the broker").await;
    flow.lab.broker.freeze().unwrap();
    flow.events().await;
    flow.lab.broker.thaw().unwrap();
    flow.events().await;
    flow.all_is_well("a frozen broker").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_centres_own_receipt_delivers() {
    let mut flow = Flow::begin().await;
    let forgeries = ["unsigned", "wrong_key", "foreign_aud", "future", "wrong_epoch", "alg_none", "garbage"];
    let signed = flow.lab.all_signed().await.unwrap()["journal"]["seq"].as_u64().unwrap();
    for forgery in forgeries {
        let arc = flow.lab.arc.as_ref().unwrap();
        arc.misbehave(&[&format!("forge {forgery}")]).await.unwrap();
        let told = arc.look(|board| board.receipts);
        let seq = flow.events().await;
        let arc = flow.lab.arc.as_ref().unwrap();
        let within = Duration::from_secs(20);
        arc.wait_until("a forged receipt", within, |board| board.receipts > told).await.unwrap();
        let status = flow.lab.status().await.unwrap();
        let waiting = status["journal"]["unreceipted"].as_u64().unwrap();
        assert!(waiting >= seq - signed, "{forgery} delivered something: {status}");
    }
    flow.lab.arc.as_ref().unwrap().misbehave(&[]).await.unwrap();
    flow.events().await;
    flow.all_is_well("forgeries").await;
    let arc = flow.lab.arc.as_ref().unwrap();
    arc.wait_until("the refusals in the journal", Duration::from_secs(20), |board| {
        board.ledger.rows().any(|row| row.kind == "receipt_refused")
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn r43_a_silent_centre_is_told_apart_from_a_dead_path_and_repeats_do_no_harm() {
    let mut flow = Flow::begin().await;
    flow.lab.arc.as_ref().unwrap().misbehave(&["silent on", "receipts off"]).await.unwrap();
    flow.events().await;
    let silent = |status: &serde_json::Value| status["paths"]["eth"]["reason"] == json!("centre_silent");
    flow.lab.until("the silence of the centre", silent).await.unwrap();
    flow.lab.arc.as_ref().unwrap().misbehave(&["forge twice"]).await.unwrap();
    flow.events().await;
    flow.all_is_well("a silent centre").await;
}
