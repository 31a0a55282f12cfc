//! The reference centre on a real broker, against a hub written here: what it signs for, and each way it can be bad.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)]

use rumqttc::v5::AsyncClient;
use rumqttc::v5::Event;
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vakt_integration::arc::Arc;
use vakt_integration::arc::ArcHandle;
use vakt_integration::arc::ArcSettings;
use vakt_integration::arc::entry::GRACE_MS;
use vakt_integration::arc::jws::JwsError;
use vakt_integration::arc::jws::Signer;
use vakt_integration::arc::jws::key_file_text;
use vakt_integration::arc::jws::verify;
use vakt_integration::arc::line::Happening;
use vakt_integration::arc::line::Notice;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::arc::paths::Verdict;
use vakt_integration::arc::store;
use vakt_integration::lab::broker::Broker;
use vakt_integration::lab::broker::BrokerOptions;
use vakt_integration::lab::certs::Certs;
use vakt_integration::twins::hub::Journal;

/// What must happen, happens within this; nothing waits for it when it does.
const SOON: Duration = Duration::from_secs(10);
const SEED: [u8; 32] = [9; 32];
const GATEWAY: &str = "hub-7";

/// A broker, a second one where the story has two, and room for a centre.
struct Site {
    broker: Broker,
    other: Option<Broker>,
    folder: TempDir,
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certs = Certs::make(&folder.path().join("certs"), "broker.lab", &[GATEWAY]).unwrap();
        let broker =
            Broker::start(&folder.path().join("broker"), &certs, BrokerOptions::default(), None).await.unwrap();
        std::fs::write(folder.path().join("key"), key_file_text(&SEED)).unwrap();
        Self { broker, other: None, folder }
    }

    /// With a second broker, which the centre listens to as well.
    async fn with_two() -> Self {
        let mut site = Self::new().await;
        let (folder, options) = (site.path("broker-2"), BrokerOptions::default());
        let certs = Certs::make(&site.path("certs-2"), "broker.lab", &[GATEWAY]).unwrap();
        site.other = Some(Broker::start_other(&folder, &certs, options, None).await.unwrap());
        site
    }

    fn other(&mut self) -> &mut Broker {
        self.other.as_mut().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn settings(&self, words: &[&str]) -> ArcSettings {
        let mut misbehaviour = Misbehaviour::default();
        words.iter().try_for_each(|line| misbehaviour.change(line)).unwrap();
        ArcSettings {
            brokers: [Some(&self.broker), self.other.as_ref()]
                .into_iter()
                .flatten()
                .map(|broker| ("127.0.0.1".to_owned(), broker.plain_address().port()))
                .collect(),
            gateway: GATEWAY.to_owned(),
            client_id: "arc".to_owned(),
            key: self.path("key"),
            kid: "arc-1".to_owned(),
            ledger: self.path("ledger"),
            misbehaviour,
            beats_ms: BTreeMap::from([("eth".to_owned(), 100), ("lte".to_owned(), 100)]),
        }
    }

    async fn centre(&self, words: &[&str]) -> ArcHandle {
        let arc = Arc::start(self.settings(words)).unwrap();
        arc.wait_all_up(SOON).await.unwrap();
        arc
    }
}

/// A hub's line: publishes, and hears what the centre says.
struct Hub {
    client: AsyncClient,
    heard: mpsc::Receiver<(String, Vec<u8>)>,
    polling: JoinHandle<()>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.polling.abort();
    }
}

impl Hub {
    async fn connect(site: &Site) -> Self {
        Self::connect_to(&site.broker).await
    }

    async fn connect_to(broker: &Broker) -> Self {
        let mut options = MqttOptions::new(GATEWAY, "127.0.0.1", broker.plain_address().port());
        options.set_clean_start(true);
        options.set_keep_alive(Duration::from_secs(10));
        let (client, mut events) = AsyncClient::new(options, 64);
        let (say, heard) = mpsc::channel(4096);
        let (ready, subscribed) = tokio::sync::oneshot::channel();
        let root = format!("vakt/v1/{GATEWAY}");
        client.subscribe(format!("{root}/ack"), QoS::AtLeastOnce).await.unwrap();
        client.subscribe(format!("{root}/path/+/echo"), QoS::AtLeastOnce).await.unwrap();
        client.subscribe(format!("{root}/cmd"), QoS::AtLeastOnce).await.unwrap();
        let polling = tokio::spawn(async move {
            let mut ready = Some(ready);
            let mut granted = 0;
            while let Ok(event) = events.poll().await {
                match event {
                    Event::Incoming(Packet::SubAck(_)) => {
                        granted += 1;
                        if granted == 3 {
                            ready.take().unwrap().send(()).unwrap();
                        }
                    }
                    Event::Incoming(Packet::Publish(publish)) => {
                        let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
                        if say.send((topic, publish.payload.to_vec())).await.is_err() {
                            return;
                        }
                    }
                    _ => {}
                }
            }
        });
        tokio::time::timeout(SOON, subscribed).await.unwrap().unwrap();
        Self { client, heard, polling }
    }

    async fn send(&self, event: &Value) {
        let class = event["class"].as_str().unwrap();
        self.say(&format!("event/{class}"), event).await;
    }

    async fn say(&self, below: &str, payload: &Value) {
        let topic = format!("vakt/v1/{GATEWAY}/{below}");
        self.client.publish(topic, QoS::AtLeastOnce, false, payload.to_string()).await.unwrap();
    }

    /// The next thing the centre says: topic below the gateway's, bytes.
    async fn next(&mut self) -> (String, Vec<u8>) {
        let (topic, payload) = tokio::time::timeout(SOON, self.heard.recv()).await.unwrap().unwrap();
        (topic.strip_prefix(&format!("vakt/v1/{GATEWAY}/")).unwrap().to_owned(), payload)
    }

    /// The next text on `ack`.
    async fn ack(&mut self) -> String {
        let (topic, payload) = self.next().await;
        assert_eq!(topic, "ack");
        String::from_utf8(payload).unwrap()
    }

    /// The next receipt, checked with the centre's key.
    async fn receipt(&mut self) -> Value {
        let (header, payload) = check(&self.ack().await).unwrap();
        assert_eq!(header, json!({"alg": "EdDSA", "kid": "arc-1"}));
        assert_eq!(payload["aud"], GATEWAY);
        payload
    }

    /// Reads receipts until one says that everything up to `seq` is held.
    async fn signed_upto(&mut self, seq: u64) -> Value {
        loop {
            let receipt = self.receipt().await;
            if receipt["upto"].as_u64().unwrap() >= seq {
                return receipt;
            }
        }
    }
}

fn check(text: &str) -> Result<(Value, Value), JwsError> {
    verify(text, Signer::from_seed("arc-1", &SEED).public_key())
}

fn audit(ledger: &Path) -> vakt_integration::arc::finding::Counts {
    store::read(ledger).unwrap().ledger.counts()
}

#[tokio::test]
async fn the_centre_signs_for_what_is_on_its_disk_and_a_new_centre_goes_on_from_there() {
    let site = Site::new().await;
    let arc = site.centre(&[]).await;
    let (mut journal, mut hub) = (Journal::begin(1), Hub::connect(&site).await);
    for n in 0..200 {
        hub.send(&journal.event(["alarm", "fault", "audit"][n % 3], "happened")).await;
    }
    let last = hub.signed_upto(200).await;
    assert_eq!(last, json!({"aud": GATEWAY, "epoch": 1, "upto": 200}));
    assert_eq!(audit(&site.path("ledger")).events, 200, "signed for, so on disk");
    arc.stop().await;

    let arc = site.centre(&[]).await;
    assert_eq!(arc.counts().events, 200);
    hub.send(&journal.event("alarm", "happened")).await;
    assert_eq!(hub.signed_upto(201).await["upto"], 201);
    assert!(arc.counts().clean());
    assert_eq!(arc.events().len(), 201);
    arc.stop().await;
}

#[tokio::test]
async fn a_lost_receipt_comes_again_when_the_hub_repeats_itself() {
    let site = Site::new().await;
    let arc = site.centre(&[]).await;
    let (mut journal, mut hub) = (Journal::begin(1), Hub::connect(&site).await);
    let event = journal.event("alarm", "a");
    for round in 0..3 {
        hub.send(&event).await;
        assert_eq!(hub.receipt().await["upto"], 1, "round {round}");
    }
    assert_eq!(arc.counts().duplicates, 2);
    let (skipped, alarm) = (journal.event("audit", "b"), journal.event("alarm", "c"));
    hub.send(&alarm).await;
    assert_eq!(hub.receipt().await, json!({"aud": GATEWAY, "epoch": 1, "upto": 1, "seqs": [3]}));
    assert_eq!(arc.look(|board| board.ledger.gaps()), [(1, 2, 2)]);
    hub.send(&skipped).await;
    assert_eq!(hub.receipt().await["upto"], 3);
    hub.send(&journal.early("alarm_started")).await;
    assert_eq!(hub.receipt().await["ids"].as_array().unwrap().len(), 1);
    hub.send(&journal.event("alarm", "alarm_started")).await;
    assert_eq!(hub.receipt().await["upto"], 4);
    assert_eq!(arc.counts().settled, 1);
    assert!(arc.counts().clean());
}

#[tokio::test]
async fn a_forged_receipt_is_seen_on_the_wire_as_what_it_is() {
    let site = Site::new().await;
    let arc = site.centre(&[]).await;
    let (mut journal, mut hub) = (Journal::begin(1), Hub::connect(&site).await);
    let mut sent = 0;
    for kind in ["unsigned", "wrong_key", "alg_none", "garbage", "foreign_aud", "future", "wrong_epoch", "twice"] {
        arc.misbehave(&[&format!("forge {kind}")]).await.unwrap();
        hub.send(&journal.event("alarm", kind)).await;
        sent += 1;
        let text = hub.ack().await;
        match (kind, check(&text)) {
            ("unsigned" | "wrong_key", result) => assert_eq!(result, Err(JwsError::Signature), "{kind}"),
            ("alg_none", result) => assert!(matches!(result, Err(JwsError::Algorithm(_)))),
            ("garbage", result) => assert!(matches!(result, Err(JwsError::Form(_)))),
            (kind, Err(error)) => panic!("{kind}: {error}"),
            ("foreign_aud", Ok((_, payload))) => assert_eq!(payload["aud"], "another-hub"),
            ("future", Ok((_, payload))) => assert_eq!(payload["upto"], sent + 1000),
            ("wrong_epoch", Ok((_, payload))) => assert_eq!(payload["epoch"], 1001),
            (_, Ok((_, payload))) => {
                assert_eq!(payload["upto"], sent);
                assert_eq!(hub.ack().await, text, "the same receipt, byte for byte");
            }
        }
    }
    arc.misbehave(&[]).await.unwrap();
    hub.send(&journal.event("alarm", "honest again")).await;
    assert_eq!(hub.receipt().await["upto"], sent + 1);
}

#[tokio::test]
async fn a_centre_can_keep_silent_be_late_and_lose_what_arrives() {
    let site = Site::new().await;
    let arc = site.centre(&["receipts off"]).await;
    let (mut journal, mut hub) = (Journal::begin(1), Hub::connect(&site).await);
    hub.send(&journal.event("alarm", "a")).await;
    arc.wait_for(1, SOON).await.unwrap();
    assert!(hub.heard.try_recv().is_err(), "held, but not signed for");

    arc.misbehave(&["delay 300"]).await.unwrap();
    let sent = std::time::Instant::now();
    hub.send(&journal.event("alarm", "b")).await;
    assert_eq!(hub.receipt().await["upto"], 2);
    assert!(sent.elapsed() >= Duration::from_millis(300));

    arc.misbehave(&["drop 3"]).await.unwrap();
    let lost = journal.event("alarm", "the third arrival");
    hub.send(&lost).await;
    hub.send(&journal.event("alarm", "c")).await;
    assert_eq!(hub.receipt().await, json!({"aud": GATEWAY, "epoch": 1, "upto": 2, "seqs": [4]}));
    hub.send(&lost).await;
    assert_eq!(hub.receipt().await["upto"], 4);
    assert!(arc.counts().clean(), "the centre does not blame the hub for what it dropped itself");
}

#[tokio::test]
async fn a_centre_that_falls_before_its_disk_has_signed_for_nothing() {
    let site = Site::new().await;
    let arc = site.centre(&["crash"]).await;
    let (mut journal, mut hub) = (Journal::begin(1), Hub::connect(&site).await);
    let event = journal.event("alarm", "a");
    hub.send(&event).await;
    arc.wait_until("its end", SOON, |board| board.ended.is_some()).await.unwrap();
    assert_eq!(audit(&site.path("ledger")).events, 0);
    assert!(hub.heard.try_recv().is_err());
    arc.stop().await;

    let arc = site.centre(&[]).await;
    hub.send(&event).await;
    assert_eq!(hub.receipt().await["upto"], 1);
    arc.stop().await;
    assert_eq!(audit(&site.path("ledger")).events, 1);
}

#[tokio::test]
async fn beats_are_echoed_and_missing_ones_lose_the_path() {
    let site = Site::new().await;
    let arc = site.centre(&[]).await;
    let mut hub = Hub::connect(&site).await;
    hub.say("path/eth", &json!({"up": true, "since": "2026-11-20T21:39:00.000Z"})).await;
    hub.say("path/eth/beat", &json!({"counter": 41, "head": 0, "oldest_pending_ms": 0, "challenge": "x"})).await;
    let (topic, echo) = hub.next().await;
    assert_eq!(topic, "path/eth/echo");
    let echo: Value = serde_json::from_slice(&echo).unwrap();
    assert_eq!(echo["counter"], 41);
    assert!(echo["at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(arc.verdict("eth"), Some(Verdict::Up));
    let lost = |board: &vakt_integration::arc::handle::Board| board.paths.verdict("eth") == Some(Verdict::Lost);
    arc.wait_until("eth to be lost after 290 ms of silence", SOON, lost).await.unwrap();
    hub.say("path/eth/beat", &json!({"counter": 42})).await;
    assert_eq!(hub.next().await.0, "path/eth/echo");
    assert_eq!(arc.verdict("eth"), Some(Verdict::Up));
    hub.say("path/lte", &json!({"up": false, "reason": "last will"})).await;
    let down = |board: &vakt_integration::arc::handle::Board| board.paths.verdict("lte") == Some(Verdict::SaidDown);
    arc.wait_until("the will of lte", SOON, down).await.unwrap();

    arc.misbehave(&["silent on"]).await.unwrap();
    hub.say("path/eth/beat", &json!({"counter": 43})).await;
    let unechoed = Happening::Noticed(Notice::Beat { path: "eth".to_owned(), counter: 43, echoed: false });
    arc.wait_until("the beat", SOON, |board| board.lines.iter().any(|line| line.what == unechoed)).await.unwrap();
    assert!(hub.heard.try_recv().is_err());
}

#[tokio::test]
async fn a_broker_that_is_killed_costs_nothing_but_time() {
    let mut site = Site::new().await;
    let arc = site.centre(&[]).await;
    let mut journal = Journal::begin(1);
    let events: Vec<Value> = (0..6).map(|_| journal.event("alarm", "a")).collect();
    let mut hub = Hub::connect(&site).await;
    hub.send(&events[0]).await;
    hub.signed_upto(1).await;
    site.broker.kill().await;
    arc.wait_until("the line to fall", SOON, |board| !board.up()).await.unwrap();
    site.broker.restart().await.unwrap();
    arc.wait_up(SOON).await.unwrap();
    let mut hub = Hub::connect(&site).await;
    for event in &events {
        hub.send(event).await;
    }
    hub.signed_upto(6).await;
    let counts = arc.counts();
    assert_eq!((counts.events, counts.duplicates, counts.clean()), (6, 1, true));
}

#[tokio::test]
async fn everything_else_a_hub_says_is_shown_and_nonsense_is_named() {
    let site = Site::new().await;
    let arc = site.centre(&[]).await;
    let hub = Hub::connect(&site).await;
    hub.say("state", &json!({"areas": []})).await;
    hub.say("device/wm-qds-1-1-26", &json!({"kind": "smoke"})).await;
    hub.say("reply/j-1", &json!({"outcome": "refused"})).await;
    hub.say("path/eth/beat", &json!({"no": "counter"})).await;
    hub.say("event/alarm", &json!("nonsense")).await;
    arc.wait_until("the nonsense", SOON, |board| board.ledger.counts().refused == 1).await.unwrap();
    assert_eq!(arc.look(|board| board.topics["device/wm-qds-1-1-26"]["kind"].clone()), "smoke");
    let (lines, _) = arc.lines(0);
    let printed: Vec<Value> = lines.iter().map(|line| serde_json::to_value(line).unwrap()).collect();
    let whats: Vec<&str> = printed.iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(whats, ["connected", "message", "message", "message", "odd", "refused"]);
    assert_eq!(printed[3]["topic"], "reply/j-1");
    assert!(printed.iter().all(|line| line["at_us"].as_u64().unwrap() > 1_600_000_000_000_000));
}

#[tokio::test]
async fn an_event_over_either_broker_is_held_once_and_signed_for_where_it_came() {
    let site = Site::with_two().await;
    let arc = site.centre(&[]).await;
    let mut journal = Journal::begin(1);
    let (mut eth, mut lte) = (Hub::connect(&site).await, Hub::connect_to(site.other.as_ref().unwrap()).await);
    let (first, second) = (journal.event("alarm", "a"), journal.event("alarm", "b"));
    eth.send(&first).await;
    assert_eq!(eth.receipt().await["upto"], 1);
    lte.send(&second).await;
    assert_eq!(lte.receipt().await["upto"], 2);
    lte.send(&first).await;
    assert_eq!(lte.receipt().await["upto"], 2, "the other one has it already");
    eth.say("path/eth/beat", &json!({"counter": 1})).await;
    assert_eq!(eth.next().await.0, "path/eth/echo", "and the receipt for what came over the other is not here");
    lte.say("path/lte/beat", &json!({"counter": 1})).await;
    assert_eq!(lte.next().await.0, "path/lte/echo");
    let counts = arc.counts();
    assert_eq!((counts.events, counts.duplicates, counts.clean()), (2, 1, true));
    let jti = arc.order("order owner siren_stop").await.unwrap();
    for hub in [&mut eth, &mut lte] {
        let (topic, text) = hub.next().await;
        let (_, claims) = check(&String::from_utf8(text).unwrap()).unwrap();
        assert_eq!((topic.as_str(), &claims["jti"]), ("cmd", &json!(jti)), "an order goes over whichever lives");
    }
}

#[tokio::test]
async fn a_broker_that_hangs_or_dies_stops_nothing_on_the_other() {
    let mut site = Site::with_two().await;
    let arc = site.centre(&[]).await;
    let mut journal = Journal::begin(1);
    let eth = Hub::connect(&site).await;
    let mut lte = Hub::connect_to(site.other.as_ref().unwrap()).await;
    site.broker.freeze().unwrap();
    for n in 1..=200 {
        lte.send(&journal.event("alarm", "while the first one hangs")).await;
        if n % 50 == 0 {
            lte.signed_upto(n).await;
        }
    }
    assert!(arc.look(|board| board.up()));
    site.broker.thaw().unwrap();

    // Its receipt is on its way when the broker that brought the event dies: it comes by the other.
    arc.misbehave(&["delay 1000"]).await.unwrap();
    let event = journal.event("alarm", "while the first one dies");
    eth.send(&event).await;
    arc.wait_for(201, SOON).await.unwrap();
    site.broker.kill().await;
    lte.signed_upto(201).await;
    arc.misbehave(&[]).await.unwrap();

    // It comes back without any memory of the centre, and the other goes.
    site.broker.restart().await.unwrap();
    arc.wait_all_up(SOON).await.unwrap();
    site.other().kill().await;
    let mut eth = Hub::connect(&site).await;
    eth.send(&event).await;
    eth.send(&journal.event("alarm", "after it came back")).await;
    eth.signed_upto(202).await;
    let counts = arc.counts();
    assert_eq!((counts.events, counts.duplicates, counts.clean()), (202, 1, true));
}

/// What was told of all paths: whether they were lost, with their Contact ID.
fn all_paths(board: &vakt_integration::arc::handle::Board) -> Vec<(bool, u8, u16)> {
    let told = board.lines.iter().filter_map(|line| match &line.what {
        Happening::Noticed(Notice::AllPaths(all)) => Some((all.lost, all.cid.q, all.cid.code)),
        _ => None,
    });
    told.collect()
}

#[tokio::test]
async fn a_hub_that_is_heard_on_no_path_is_told_once_by_whichever_centre() {
    let site = Site::with_two().await;
    let arc = site.centre(&[]).await;
    let eth = Hub::connect(&site).await;
    let lte = Hub::connect_to(site.other.as_ref().unwrap()).await;
    eth.say("path/eth/beat", &json!({"counter": 1})).await;
    lte.say("path/lte/beat", &json!({"counter": 1})).await;
    arc.wait_until("all paths to be lost", SOON, |board| !all_paths(board).is_empty()).await.unwrap();
    assert_eq!(arc.look(all_paths), [(true, 1, 350)]);
    arc.stop().await;

    let arc = site.centre(&[]).await;
    assert_eq!((arc.verdict("eth"), arc.verdict("lte")), (Some(Verdict::Lost), Some(Verdict::Lost)));
    lte.say("path/lte/beat", &json!({"counter": 2})).await;
    arc.wait_until("the hub to be back", SOON, |board| !all_paths(board).is_empty()).await.unwrap();
    assert_eq!(arc.look(all_paths), [(false, 3, 350)], "the loss was told by the centre before");
    assert_eq!(arc.verdict("eth"), Some(Verdict::Lost));
    arc.stop().await;
    let past = store::read(&site.path("ledger")).unwrap().past;
    assert_eq!(past.verdicts["eth"], Verdict::Lost);
}

#[tokio::test]
async fn b7_an_entry_delay_that_ran_out_while_the_centre_was_down_is_judged_when_it_is_back() {
    let site = Site::new().await;
    let arc = site.centre(&[]).await;
    let (mut journal, mut hub) = (Journal::begin(1), Hub::connect(&site).await);
    let entry = |event: &mut Value| {
        event["area"] = json!("house");
        event["detail"] = json!({"delay": {"seconds": 1}});
    };
    let entered = journal.event_with("alarm", "entry_started", entry);
    hub.send(&entered).await;
    hub.signed_upto(1).await;
    arc.stop().await;

    let arc = site.centre(&[]).await;
    let assumed = |board: &vakt_integration::arc::handle::Board| {
        board.lines.iter().find_map(|line| match &line.what {
            Happening::Noticed(Notice::AssumedBurglary(assumed)) => Some(assumed.clone()),
            _ => None,
        })
    };
    let within = Duration::from_millis(GRACE_MS) + SOON;
    arc.wait_until("the centre to assume a burglary", within, |board| assumed(board).is_some()).await.unwrap();
    let assumed = arc.look(assumed).unwrap();
    assert_eq!((assumed.area.as_str(), json!(assumed.event)), ("house", entered["id"].clone()));
    arc.stop().await;

    let mut past = store::read(&site.path("ledger")).unwrap().past;
    past.entries.line(true, 0, u64::MAX / 2);
    assert_eq!(past.entries.due_at_ms(), None, "the next centre has nothing left to judge");
}

#[tokio::test]
async fn what_the_other_broker_remembers_does_not_take_the_place_of_what_is_newer() {
    let site = Site::with_two().await;
    let topic = format!("vakt/v1/{GATEWAY}/state");
    for (broker, minute) in [(&site.broker, 5), (site.other.as_ref().unwrap(), 0)] {
        let mut hub = Hub::connect_to(broker).await;
        let state = json!({"as_of": format!("2026-11-20T21:{minute:02}:00.000Z")}).to_string();
        hub.client.publish(&topic, QoS::AtLeastOnce, true, state).await.unwrap();
        hub.say("cmd", &json!("so that the broker has the other")).await;
        assert_eq!(hub.next().await.0, "cmd");
    }
    let arc = site.centre(&[]).await;
    let remembered = |line: &vakt_integration::arc::line::Line| {
        matches!(&line.what, Happening::Noticed(Notice::Message { retained: true, .. }))
    };
    let both =
        |board: &vakt_integration::arc::handle::Board| board.lines.iter().filter(|line| remembered(line)).count() == 2;
    arc.wait_until("both memories", SOON, both).await.unwrap();
    assert_eq!(arc.look(|board| board.topics["state"]["as_of"].clone()), "2026-11-20T21:05:00.000Z");
}
