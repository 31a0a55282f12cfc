//! A broker, a network and a centre that do what they should not, while events flow: nothing is lost, and as soon as
//! they behave again everything is delivered.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;
use vakt_integration::arc::handle::Board;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::daemon::Tls;
use vakt_integration::lab::flow::Flow;
use vakt_integration::lab::proxy::Mode;
use vakt_integration::lab::site::SOON;
use vakt_integration::twins::evil_broker::Answer;
use vakt_integration::twins::evil_broker::EvilBroker;
use vakt_integration::twins::evil_broker::Manners;
use vakt_integration::twins::evil_broker::Seen;
use vakt_integration::twins::mqtt::Packet;

async fn begin() -> Flow {
    Flow::begin(LabSettings { beat_primary_s: 5, ..LabSettings::default() }).await
}

/// Waits until the hub has felt `mode` on a connection of its own, so that what comes after it is a recovery.
async fn met(flow: &Flow, mode: Mode, connections: u64) {
    let proxy = flow.lab.proxy("eth").unwrap();
    let down = |status: &Value| status["paths"]["eth"]["up"] == json!(false);
    let felt = |status: &Value| match mode {
        Mode::Refuse => status["paths"]["eth"]["reason"] == json!("tcp_refused"),
        // Two: what the first one met has ended it.
        Mode::ResetEvery(_) | Mode::Rubbish => down(status) && proxy.connections() >= connections + 2,
        _ => down(status) && proxy.connections() > connections,
    };
    let status = flow.lab.until(&format!("{mode:?} to be felt"), felt).await.unwrap();
    let waiting = status["journal"]["unreceipted"].as_u64().unwrap();
    assert!(waiting >= 10, "{mode:?}: nothing was delivered through it: {status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r29_a_bad_network_loses_nothing() {
    let mut flow = begin().await;
    let modes = [
        Mode::Refuse,
        Mode::BlackHole,
        Mode::ResetEvery(2_000),
        Mode::Rubbish,
        Mode::Throttle(20_000),
        Mode::Delay(Duration::from_millis(200)),
    ];
    for mode in modes {
        let before = flow.lab.proxy("eth").unwrap().connections();
        flow.lab.proxy("eth").unwrap().set(mode).await;
        flow.lab.proxy("eth").unwrap().cut().await;
        flow.doors().await;
        // An alarm dials at once; the rest comes along.
        flow.fire().await;
        if matches!(mode, Mode::Throttle(_) | Mode::Delay(_)) {
            // Slow is not dead: everything arrives while it lasts.
            flow.doors().await;
            flow.all_is_well(&format!("{mode:?}, while it lasts")).await;
            assert!(flow.lab.proxy("eth").unwrap().connections() > before, "{mode:?} was never met");
        } else {
            met(&flow, mode, before).await;
        }
        flow.lab.proxy("eth").unwrap().set(Mode::Pass).await;
        flow.lab.proxy("eth").unwrap().cut().await;
        // An alarm dials at once; without one the back-off may rest for a minute.
        flow.fire().await;
        flow.doors().await;
        flow.all_is_well(&format!("{mode:?}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r29_a_broker_that_dies_freezes_and_forgets_loses_nothing() {
    let mut flow = begin().await;
    flow.doors().await;
    flow.lab.broker.kill().await;
    flow.doors().await;
    flow.lab.broker.restart().await.unwrap(); // it has forgotten every session and every queued message
    flow.doors().await;
    flow.all_is_well("kill -9 of the broker").await;
    flow.lab.broker.freeze().unwrap();
    flow.doors().await;
    let silent = |status: &Value| status["paths"]["eth"]["reason"] == json!("silent");
    flow.lab.until("the broker's silence to be noticed", silent).await.unwrap();
    flow.lab.broker.thaw().unwrap();
    flow.doors().await;
    flow.all_is_well("a frozen broker").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_centres_own_receipt_delivers() {
    let mut flow = begin().await;
    let forgeries = [
        ("unsigned", "bad_signature"),
        ("wrong_key", "bad_signature"),
        ("foreign_aud", "other_gateway"),
        ("future", "from_the_future"),
        ("wrong_epoch", "foreign_epoch"),
        ("alg_none", "not_eddsa"),
        ("garbage", "bad_base64"),
    ];
    let begun = Instant::now();
    let signed = flow.lab.all_signed().await.unwrap()["journal"]["seq"].as_u64().unwrap();
    for (forgery, _) in forgeries {
        let arc = flow.lab.arc.as_ref().unwrap();
        arc.misbehave(&[&format!("forge {forgery}")]).await.unwrap();
        let told = arc.look(|board| board.receipts);
        let seq = flow.doors().await;
        let arc = flow.lab.arc.as_ref().unwrap();
        let within = Duration::from_secs(20);
        arc.wait_until("a forged receipt", within, |board| board.receipts > told).await.unwrap();
        let status = flow.lab.status().await.unwrap();
        let waiting = status["journal"]["unreceipted"].as_u64().unwrap();
        assert!(waiting >= seq - signed, "{forgery} delivered something: {status}");
    }
    flow.lab.arc.as_ref().unwrap().misbehave(&[]).await.unwrap();
    flow.doors().await;
    flow.all_is_well("forgeries").await;
    let arc = flow.lab.arc.as_ref().unwrap();
    let refusals = |board: &Board| -> Vec<String> {
        let refused = board.ledger.rows().filter(|row| row.kind == "receipt_refused");
        refused.map(|row| row.json()["detail"]["reason"].as_str().unwrap().to_owned()).collect()
    };
    let wanted: BTreeSet<&str> = forgeries.iter().map(|(_, reason)| *reason).collect();
    let all = |board: &Board| wanted.iter().all(|reason| refusals(board).iter().any(|told| told == reason));
    arc.wait_until("each refusal by its name", Duration::from_secs(20), all).await.unwrap();
    let told = arc.look(refusals);
    // Each arrival was answered with a forgery; a reason is told once a minute.
    let minutes = usize::try_from(begun.elapsed().as_secs() / 60).unwrap() + 1;
    assert!(told.len() <= wanted.len() * minutes, "a flood of refusals is not a flood of events: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r43_a_silent_centre_is_told_apart_from_a_dead_path_and_repeats_do_no_harm() {
    let mut flow = begin().await;
    flow.lab.arc.as_ref().unwrap().misbehave(&["silent on", "receipts off"]).await.unwrap();
    flow.doors().await;
    let silent = |status: &Value| status["paths"]["eth"]["reason"] == json!("centre_silent");
    flow.lab.until("the silence of the centre", silent).await.unwrap();
    flow.lab.arc.as_ref().unwrap().misbehave(&["forge twice"]).await.unwrap();
    flow.doors().await;
    flow.all_is_well("a silent centre").await;
}

/// Starts the hub anew on another broker; `None` in place of TLS: in clear, which it takes on loopback only.
async fn over(flow: &mut Flow, broker: SocketAddr, tls: Option<Tls>) -> Option<Tls> {
    let mut before = None;
    flow.lab.daemon.kill().await;
    let change = |config: &mut vakt_integration::lab::daemon::Config| {
        let path = &mut config.upstream.path[0];
        path.brokers = vec![broker.to_string()];
        path.insecure_plain = tls.is_none().then_some(true);
        before = std::mem::replace(&mut path.tls, tls);
    };
    flow.lab.daemon.configure(change).unwrap();
    flow.lab.daemon.start().await.unwrap();
    before
}

/// The events published on each connection since `from`, as (class, (epoch, seq), bytes).
type Published = BTreeMap<u64, Vec<(String, (u64, u64), Vec<u8>)>>;

fn published(seen: &[Seen], from: u64) -> Published {
    let mut all = Published::new();
    for seen in seen.iter().filter(|seen| seen.connection > from) {
        let Some(Packet::Publish { topic, payload, .. }) = &seen.packet else { continue };
        let Some((_, class)) = topic.split_once("/event/") else { continue };
        let event: Value = serde_json::from_slice(payload).unwrap();
        let place = (event["epoch"].as_u64().unwrap(), event["seq"].as_u64().unwrap());
        all.entry(seen.connection).or_default().push((class.to_owned(), place, payload.clone()));
    }
    all
}

/// Within a connection each class goes in order; the same place is the same bytes on all of them.
fn orderly(published: &Published, manners: &str) {
    let mut bytes: BTreeMap<(u64, u64), &Vec<u8>> = BTreeMap::new();
    for (connection, events) in published {
        let mut last: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let mut here = BTreeSet::new();
        for (class, place, body) in events {
            assert_eq!(*bytes.entry(*place).or_insert(body), body, "{manners}: {place:?} changed its bytes");
            if here.insert(*place) {
                let before = last.insert(class, *place);
                assert!(before < Some(*place), "{manners}: {class} {place:?} after {before:?} on {connection}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r29_a_lying_broker_delivers_nothing_and_what_it_swallowed_arrives_elsewhere() {
    let mut flow = begin().await;
    flow.doors().await;
    let signed = flow.lab.all_signed().await.unwrap()["journal"]["seq"].as_u64().unwrap();
    let honest = Manners::default();
    let evil = EvilBroker::start(honest).await.unwrap();
    let every = [
        ("acknowledges all and forwards nothing", honest),
        ("remembers a session that never was", Manners { session_present: true, ..honest }),
        ("not authorised", Manners { answer: Answer::Reason(0x87), ..honest }),
        ("quota exceeded", Manners { answer: Answer::Reason(0x97), ..honest }),
        ("never acknowledges", Manners { answer: Answer::Never, ..honest }),
        ("acknowledges twice", Manners { answer: Answer::Twice, ..honest }),
        ("acknowledges what was not sent", Manners { answer: Answer::UnknownId, ..honest }),
        ("switches the keep-alive off", Manners { server_keep_alive_s: Some(0), ..honest }),
        ("hangs up after seven", Manners { drop_after: Some(7), ..honest }),
        ("refuses to connect", Manners { connack: 0x88, ..honest }),
    ];
    let mut tls = None;
    for (name, manners) in every {
        evil.set(manners);
        let from = evil.seen().last().map_or(0, |seen| seen.connection);
        let before = over(&mut flow, evil.address(), None).await;
        tls = tls.or(before);
        flow.fire().await;
        let seq = flow.doors().await;
        let met = |seen: &[Seen]| {
            let connected =
                seen.iter().any(|s| s.connection > from && matches!(s.packet, Some(Packet::Connect { .. })));
            let events = published(seen, from);
            connected && (manners.connack >= 0x80 || events.values().any(|events| events.len() >= 2))
        };
        if evil.wait_until(SOON, met).await.is_err() {
            panic!("{name}: safe because stuck: {}", flow.lab.status().await.unwrap());
        }
        orderly(&published(&evil.seen(), from), name);
        let status = flow.lab.status().await.unwrap();
        assert!(status["journal"]["unreceipted"].as_u64().unwrap() >= seq - signed, "{name} delivered: {status}");
    }
    // One packet of more than the 96 KiB that CONNECT allowed, then rubbish: the hub hangs up and comes back.
    let topic = "vakt/v1/lab-hub/ack".to_owned();
    let huge = Packet::Publish { dup: false, qos: 1, retain: false, topic, id: 1, payload: vec![b'x'; 200 * 1024] };
    evil.set(honest);
    for (name, bytes) in [("an oversized packet", huge.encode()), ("rubbish", vec![0xff; 64])] {
        let from = evil.seen().last().map_or(0, |seen| seen.connection);
        over(&mut flow, evil.address(), None).await;
        let carries = |seen: &[Seen], after| published(seen, after).values().any(|events| !events.is_empty());
        evil.wait_until(SOON, |seen| carries(seen, from)).await.unwrap_or_else(|_| panic!("before {name}"));
        let last = evil.seen().last().map_or(0, |seen| seen.connection);
        evil.send(bytes);
        evil.wait_until(SOON, |seen| carries(seen, last)).await.unwrap_or_else(|_| panic!("no return after {name}"));
    }
    let eth = flow.lab.proxy("eth").unwrap().address();
    assert!(tls.is_some(), "the way home");
    over(&mut flow, eth, tls).await;
    flow.doors().await;
    flow.all_is_well("a lying broker").await;
}
