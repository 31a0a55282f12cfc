//! Warrants down and replies up on one connection: what reaches the core, what its sender is told, and that neither a
//! flood nor a lost connection takes that away.

use crate::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use serde_json::json;
use std::sync::Arc;
use support::site::CHALLENGE_KEY;
use support::site::WARRANTS_MAX;
use support::site::now;
use vakt_core::challenge::Challenges;
use vakt_core::port::Answered;
use vakt_core::port::ListedKey;
use vakt_core::port::Place;
use vakt_core::warrant::Answer;
use vakt_core::warrant::Order;
use vakt_core::warrant::Status;

const REPLY: &str = "vakt/v1/hub-1/reply/";

fn claims(jti: &str) -> Value {
    json!({
        "iss": "arc", "sub": "op-7", "aud": "hub-1", "iat": 100, "exp": 160, "jti": jti,
        "role": "arc_operator", "cmd": "siren_stop",
    })
}

fn warrant(jti: &str) -> Vec<u8> {
    Centre::sign(&claims(jti).to_string())
}

fn answered(jti: &str, status: Status, seq: u64) -> Answered {
    let (jti, event) = (jti.to_owned(), Some(EventId::mint(1, [9; 10])));
    let answer = Answer { jti, status, reason: None, text: None, event };
    Answered { answer, place: Some(Place { epoch: EPOCH, seq }), at: now() }
}

/// The next reply that is not acknowledged yet; whatever else comes is accepted.
async fn unanswered<S: AsyncRead + AsyncWrite + Unpin>(session: &mut Session<S>) -> (u16, String, Value) {
    loop {
        match within("a reply", session.next()).await.expect("the hub stays") {
            Packet::Publish { topic, payload, id, qos, retain, .. } => match topic.strip_prefix(REPLY) {
                Some(jti) => {
                    assert_eq!((qos, retain), (1, false));
                    return (id, jti.to_owned(), serde_json::from_slice(&payload).unwrap());
                }
                None => session.puback(id, 0).await,
            },
            Packet::Ping => session.pong().await,
            other => panic!("{other:?}"),
        }
    }
}

async fn reply<S: AsyncRead + AsyncWrite + Unpin>(session: &mut Session<S>) -> Value {
    let (id, jti, payload) = unanswered(session).await;
    session.puback(id, 0).await;
    assert_eq!(payload["jti"], json!(jti), "topic and payload name the same warrant");
    payload
}

async fn told(site: &mut Site) -> (Option<String>, String, u64) {
    let refused = |note| match note {
        UpstreamNote::RefusedOrder { jti, reason, count } => Some((jti, reason, count)),
        _ => None,
    };
    site.note("a refused order", refused).await
}

#[tokio::test]
async fn a_warrant_reaches_the_core_and_each_word_about_it_its_sender() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    session.publish(CMD, &warrant("w-1"), false).await;
    let order = within("the order", site.warrants.recv()).await.unwrap();
    assert_eq!((order.jti.as_str(), order.kid.as_str()), ("w-1", "arc-1"));
    assert_eq!(order.order, Order::SirenStop { area: None });
    for (seq, status) in [(7, Status::Accepted), (8, Status::Sent), (9, Status::Confirmed)] {
        site.answers.send(answered("w-1", status, seq)).await.unwrap();
    }
    for (seq, status) in [(7, "accepted"), (8, "sent"), (9, "confirmed")] {
        let said = reply(&mut session).await;
        assert_eq!((&said["status"], &said["seq"], &said["epoch"]), (&json!(status), &json!(seq), &json!(EPOCH)));
    }
    assert!(!site.notes_so_far().iter().any(|note| matches!(note, UpstreamNote::RefusedOrder { .. })));
}

#[tokio::test]
async fn what_is_no_warrant_never_reaches_the_core_and_its_sender_hears_why() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    let foreign = |jti: &str| {
        let mut claims = claims(jti);
        claims["aud"] = json!("hub-2");
        Centre::sign(&claims.to_string())
    };
    let mut forged = warrant("w-3");
    let last = forged.len() - 5;
    forged[last] ^= 1;
    let unsigned =
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#) + "." + &URL_SAFE_NO_PAD.encode(claims("w-4").to_string()) + ".";
    let mut armed = claims("w-5");
    (armed["cmd"], armed["args"]) = (json!("arm"), json!({"mode": "away", "force": true}));
    for (payload, retained, jti, reason) in [
        (warrant("w-1"), true, "w-1", "retained"),
        (foreign("w-2"), false, "w-2", "other_gateway"),
        (forged, false, "w-3", "bad_signature"),
        (unsigned.into_bytes(), false, "w-4", "not_eddsa"),
        (Centre::sign(&armed.to_string()), false, "w-5", "bad_args"),
    ] {
        session.publish(CMD, &payload, retained).await;
        let said = reply(&mut session).await;
        assert_eq!((&said["jti"], &said["status"], &said["reason"]), (&json!(jti), &json!("refused"), &json!(reason)));
        assert_eq!(said["text"].is_string(), reason == "bad_args", "{said}");
        assert_eq!(told(&mut site).await, (Some(jti.to_owned()), reason.to_owned(), 1));
    }
    session.publish(CMD, b"hello", false).await;
    assert_eq!(told(&mut site).await, (None, "not_three_parts".to_owned(), 1));
    assert!(site.warrants.try_recv().is_err());
}

#[tokio::test]
async fn a_flood_of_forgeries_costs_ten_replies_a_second_and_a_note_a_minute_and_holds_no_order_back() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    let began = now().mono_ms;
    for n in 0..2_000 {
        let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"jti":"f-{n}"}}"#));
        session.publish(CMD, format!("e30.{payload}.AA").as_bytes(), false).await;
    }
    session.publish(CMD, &warrant("w-1"), false).await;
    within("the order", site.warrants.recv()).await.unwrap();
    site.answers.send(answered("w-1", Status::Confirmed, 1)).await.unwrap();
    let mut forgeries = 0;
    while reply(&mut session).await["jti"] != json!("w-1") {
        forgeries += 1;
    }
    let seconds = (now().mono_ms - began) / 1_000 + 2;
    assert!(forgeries >= 1 && forgeries <= 10 * seconds, "{forgeries} replies to forgeries in {seconds} s");
    assert_eq!(told(&mut site).await, (Some("f-0".to_owned()), "bad_header".to_owned(), 1));
    let more = site.notes_so_far();
    assert!(!more.iter().any(|note| matches!(note, UpstreamNote::RefusedOrder { .. })), "{more:?}");
}

#[tokio::test]
async fn a_reply_without_the_brokers_word_leaves_again_on_the_next_connection() {
    let broker = Broker::listen().await;
    let site = Site::start(Wish::broker(broker.address()));
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    for (seq, status) in [(1, Status::Accepted), (2, Status::Sent), (3, Status::Failed)] {
        site.answers.send(answered("w-1", status, seq)).await.unwrap();
    }
    assert_eq!(reply(&mut session).await["status"], json!("accepted"));
    let (_, _, lost) = unanswered(&mut session).await;
    assert_eq!(lost["status"], json!("sent"));
    // two are on their way at once: the third leaves when the hub has the word about the first
    assert_eq!(unanswered(&mut session).await.2["status"], json!("failed"));
    drop(session);
    site.commit(Class::Alarm); // so that it dials again soon
    let mut session = within("the next connection", broker.accept()).await;
    session.welcome(&[]).await;
    assert_eq!(reply(&mut session).await, lost, "the same bytes");
    assert_eq!(reply(&mut session).await["status"], json!("failed"));
}

#[tokio::test]
async fn a_busy_core_is_told_to_who_orders_and_a_reply_the_broker_refuses_is_not_tried_for_ever() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    for n in 0..=WARRANTS_MAX {
        session.publish(CMD, &warrant(&format!("w-{n}")), false).await;
    }
    let (id, jti, said) = unanswered(&mut session).await;
    assert_eq!((jti, &said["reason"]), (format!("w-{WARRANTS_MAX}"), &json!("busy")));
    session.puback(id, 0x87).await;
    assert_eq!(told(&mut site).await.1, "busy");
    for n in 0..WARRANTS_MAX {
        assert_eq!(site.warrants.recv().await.unwrap().jti, format!("w-{n}"), "those before it are with the core");
    }
    session.publish(CMD, &warrant("again"), false).await;
    assert_eq!(within("the order", site.warrants.recv()).await.unwrap().jti, "again");
    site.answers.send(answered("again", Status::Confirmed, 1)).await.unwrap();
    assert_eq!(reply(&mut session).await["jti"], json!("again"), "what was refused is not sent again");
}

#[tokio::test]
async fn a_key_counts_from_when_it_is_listed_and_signs_what_its_role_may() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    site.keys.send_replace(Arc::new(vec![]));
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    session.publish(CMD, &warrant("w-1"), false).await;
    assert_eq!(reply(&mut session).await["reason"], json!("unknown_key"));
    site.keys.send_replace(Arc::new(vec![ListedKey { role: "owner".to_owned(), ..Centre::key() }]));
    session.publish(CMD, &warrant("w-1"), false).await;
    assert_eq!(within("the order", site.warrants.recv()).await.unwrap().jti, "w-1");
    session.publish(ACK, &Centre::sign(&format!(r#"{{"epoch":{EPOCH},"upto":0}}"#)), false).await;
    let reason = |note| if let UpstreamNote::RefusedReceipt { reason, .. } = note { Some(reason) } else { None };
    assert_eq!(site.note("the refusal", reason).await, "unknown_key", "an owner's key signs no receipt");
}

#[tokio::test]
async fn beats_and_the_state_carry_challenges_of_this_hub() {
    let broker = Broker::listen().await;
    let _site = Site::start(Wish::broker(broker.address()));
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    let (ours, mut seen) = (Challenges::new(CHALLENGE_KEY), BTreeSet::new());
    while seen.len() < 2 {
        let Some(Packet::Publish { topic, payload, id, .. }) = within("a packet", session.next()).await else {
            panic!("only publishes")
        };
        session.puback(id, 0).await;
        if topic.ends_with("/beat") || topic.ends_with("/state") {
            let payload: Value = serde_json::from_slice(&payload).unwrap();
            assert!(ours.age_ms(payload["challenge"].as_str().unwrap(), now()).is_ok(), "{topic}: {payload}");
            seen.insert(topic);
        }
    }
}

#[tokio::test]
async fn a_broker_that_lets_nobody_order_still_carries_alarms() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    let mut session = within("a connection", broker.accept()).await;
    session.next().await.unwrap();
    session.send(0x20, &[0, 0, 0]).await;
    let Some(Packet::Subscribe { id, .. }) = session.next().await else { panic!("SUBSCRIBE") };
    let [high, low] = id.to_be_bytes();
    session.send(0x90, &[high, low, 0, 1, 1, 0x87]).await;
    site.commit(Class::Alarm);
    serve(&mut session, &mut Centre::default(), 1).await;
    all_receipted(&mut site, 1).await;
}
