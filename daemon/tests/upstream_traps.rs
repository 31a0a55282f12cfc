//! The traps of the MQTT client that concern one connection, each met and survived, against a broker whose every answer
//! the test decides. What counts in each: nothing is lost, and nothing is delivered that the centre has not signed for.
#![allow(clippy::unwrap_used)] // a test that cannot go on must fail

mod support {
    pub mod broker;
    pub mod site;
}
mod upstream {
    mod media; //  sealed files, after everything else
    mod orders; // warrants down, replies up
    mod tls; //    trap 13 and every way a handshake can fail
}

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use support::broker::Broker;
use support::broker::Packet;
use support::broker::Session;
use support::site::Centre;
use support::site::EPOCH;
use support::site::Site;
use support::site::Wish;
use support::site::echo;
use support::site::now;
use support::site::seq;
use support::site::within;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use vakt_core::device::DeviceId;
use vakt_core::device::Measurement;
use vakt_core::event::Class;
use vakt_core::event::EventId;
use vakt_core::port::Measured;
use vakt_core::port::Unjournaled;
use vakt_core::port::UpstreamNote;

const ACK: &str = "vakt/v1/hub-1/ack";
const ECHO: &str = "vakt/v1/hub-1/path/eth/echo";
const CMD: &str = "vakt/v1/hub-1/cmd";

fn is_event(topic: &str) -> bool {
    topic.starts_with("vakt/v1/hub-1/event/")
}

/// Packet id, topic, payload, DUP.
type Arrival = (u16, String, Vec<u8>, bool);

/// The next event; whatever else comes is accepted, beats are echoed.
async fn event<S: AsyncRead + AsyncWrite + Unpin>(session: &mut Session<S>) -> Option<Arrival> {
    loop {
        match within("a packet", session.next()).await? {
            Packet::Publish { topic, payload, id, dup, qos, .. } => {
                assert_eq!(qos, 1);
                if is_event(&topic) {
                    return Some((id, topic, payload, dup));
                }
                session.puback(id, 0).await;
                if topic.ends_with("/beat") {
                    session.publish(ECHO, &echo(&payload), false).await;
                }
            }
            Packet::Ping => session.pong().await,
            other => panic!("{other:?}"),
        }
    }
}

/// Takes events and has the centre sign for each, until it holds so many.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(session: &mut Session<S>, centre: &mut Centre, until: usize) {
    while centre.held.len() < until {
        let (id, _, payload, _) = event(session).await.expect("the hub stays");
        session.puback(id, 0).await;
        let receipt = centre.take(&payload);
        session.publish(ACK, &receipt, false).await;
    }
}

async fn all_receipted(site: &mut Site, n: usize) {
    while site.receipted().len() < n {
        site.note("a receipt", |note| matches!(note, UpstreamNote::Receipt(_)).then_some(())).await;
    }
    assert_eq!(site.receipted(), (1..=n as u64).collect::<BTreeSet<_>>());
}

#[tokio::test]
async fn trap_01_a_broker_that_resets_and_forgets_every_37_publishes_loses_nothing() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    site.commit_many(Class::State, 150);
    site.commit_many(Class::Alarm, 50);
    let mut centre = Centre::default();
    for reset in 0.. {
        let mut session = within("a connection", broker.accept()).await;
        session.welcome(&[]).await;
        for n in 0..37 {
            let (id, _, payload, _) = event(&mut session).await.expect("the hub stays");
            session.puback(id, 0).await;
            // the centre hears of a part only, late
            let receipt = centre.take(&payload);
            if n > 5 {
                session.publish(ACK, &receipt, false).await;
            }
            if centre.held.len() == 200 {
                session.publish(ACK, &receipt, false).await;
                all_receipted(&mut site, 200).await;
                assert!(reset >= 5, "it was reset {reset} times");
                return;
            }
        }
    }
}

#[tokio::test]
async fn trap_02_what_the_broker_acknowledged_is_not_delivered_and_comes_again() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    site.commit_many(Class::Fault, 30);
    for _ in 0..3 {
        let mut session = within("a connection", broker.accept()).await;
        session.welcome(&[]).await;
        for expected in 1..=30 {
            let (id, _, payload, _) = event(&mut session).await.expect("the hub stays");
            assert_eq!(seq(&payload), expected, "from the oldest on each connection");
            session.puback(id, 0).await;
        }
    }
    let receipts = site.notes_so_far().into_iter().filter(|note| matches!(note, UpstreamNote::Receipt(_))).count();
    assert_eq!((receipts, site.receipted().len()), (0, 0), "90 PUBACKs deliver nothing");
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    serve(&mut session, &mut Centre::default(), 30).await;
    all_receipted(&mut site, 30).await;
}

#[tokio::test]
async fn trap_03_no_packet_id_is_used_again_while_it_is_open() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    site.commit_many(Class::State, 100);
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[0x21, 0, 20]).await; // Receive Maximum 20: ids go round after 20
    let (held_back, _, first, _) = event(&mut session).await.unwrap();
    let mut centre = Centre::default();
    centre.take(&first);
    // every id but that one is answered, until the hub dares no further
    let mut last = held_back;
    while last % 20 + 1 != held_back {
        let (id, _, payload, _) = event(&mut session).await.unwrap();
        assert_ne!(id, held_back, "a second publish under an open id");
        session.puback(id, 0).await;
        centre.take(&payload);
        last = id;
    }
    session.puback(held_back, 0).await;
    serve(&mut session, &mut centre, 100).await;
    all_receipted(&mut site, 100).await;
}

#[tokio::test]
async fn trap_04_a_stalled_reader_loses_nothing_and_nothing_comes_twice() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    // nobody reads while 100 events of the largest size are committed, wave after wave
    for _ in 0..100 {
        site.commit_sized(Class::Access, 8_000);
        tokio::task::yield_now().await;
    }
    let mut centre = Centre::default();
    for expected in 1..=100 {
        let (id, _, payload, _) = event(&mut session).await.expect("the same connection");
        assert_eq!((seq(&payload), payload == site.bytes(expected)), (expected, true));
        session.puback(id, 0).await;
        let receipt = centre.take(&payload);
        session.publish(ACK, &receipt, false).await;
    }
    all_receipted(&mut site, 100).await;
}

#[tokio::test]
async fn trap_05_a_broker_that_stops_answering_is_given_up_and_the_alarm_takes_the_next_connection() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    let mut silent = within("a connection", broker.accept()).await;
    silent.welcome(&[]).await;
    site.commit(Class::Alarm);
    // nothing is read or answered any more: the hub must leave by itself, by its own deadline
    let mut next = within("the next connection", broker.accept()).await;
    next.welcome(&[]).await;
    assert_eq!(site.verdict().await, "silent");
    serve(&mut next, &mut Centre::default(), 1).await;
    all_receipted(&mut site, 1).await;
    drop(silent);
}

#[tokio::test]
async fn trap_06_a_broker_that_switches_the_keep_alive_off_keeps_its_connection() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish { beat_s: 1, ..Wish::broker(broker.address()) });
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[0x13, 0, 0]).await; // Server Keep Alive 0
    let (mut pings, mut beats) = (0, 0);
    while beats < 4 {
        match within("a packet", session.next()).await.expect("one connection all the time") {
            Packet::Ping => {
                pings += 1;
                session.pong().await;
            }
            Packet::Publish { topic, payload, id, .. } => {
                session.puback(id, 0).await;
                if topic.ends_with("/beat") {
                    beats += 1;
                    session.publish(ECHO, &echo(&payload), false).await;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(pings <= 1, "{pings} PINGREQ within three seconds");
    assert_eq!(site.verdict().await, "up");
    site.commit(Class::Alarm);
    serve(&mut session, &mut Centre::default(), 1).await;
}

#[tokio::test]
async fn trap_07_08_what_is_sent_again_is_a_new_publish_in_order_with_the_same_bytes() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    for _ in 0..20 {
        site.commit(Class::State);
        site.commit(Class::Alarm);
    }
    let mut bytes: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for stop_after in [5, 12, 40] {
        let mut session = within("a connection", broker.accept()).await;
        session.welcome(&[]).await;
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        let mut ids = vec![];
        for _ in 0..stop_after {
            let (id, topic, payload, dup) = event(&mut session).await.unwrap();
            assert!(!dup, "DUP would claim a session we do not have");
            let n = seq(&payload);
            assert!(last.insert(topic, n).is_none_or(|before| before < n), "a class is in order");
            assert_eq!(*bytes.entry(n).or_insert(payload.clone()), payload, "the same bytes each time");
            ids.push(id);
            session.puback(id, 0).await;
        }
        assert!(ids[0] <= 8 && ids.windows(2).all(|pair| pair[0] < pair[1]), "fresh ids: {ids:?}");
    }
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    serve(&mut session, &mut Centre::default(), 40).await;
    all_receipted(&mut site, 40).await;
}

#[tokio::test]
async fn trap_09_a_flood_of_rubbish_from_the_broker_does_not_hold_an_alarm() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    let mut rubbish = vec![];
    let mut body = u16::try_from(ACK.len()).unwrap().to_be_bytes().to_vec();
    body.extend(ACK.as_bytes());
    body.push(0);
    body.extend(b"eyJhbGciOiJub25lIn0.e30.");
    rubbish.push(0x30);
    rubbish.push(u8::try_from(body.len()).unwrap());
    rubbish.extend(body);
    for n in 0..5_000 {
        session.raw(&rubbish).await;
        if n == 2_500 {
            site.commit(Class::Alarm);
        }
    }
    serve(&mut session, &mut Centre::default(), 1).await;
    let refused = site
        .note("the refusal", |note| match note {
            UpstreamNote::RefusedReceipt { reason, count } => Some((reason, count)),
            _ => None,
        })
        .await;
    assert_eq!(refused, ("not_eddsa".to_owned(), 1));
    all_receipted(&mut site, 1).await;
    let more = site.notes_so_far();
    let refusals = more.iter().filter(|note| matches!(note, UpstreamNote::RefusedReceipt { .. })).count();
    assert_eq!(refusals, 0, "a note a minute, not a flood");
}

#[tokio::test]
async fn trap_10_an_event_the_broker_refuses_is_not_delivered_is_told_and_comes_again() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    site.commit_many(Class::Alarm, 2);
    site.commit(Class::State);
    for code in [0x97, 0x10, 0x00] {
        let (id, _, _, _) = event(&mut session).await.unwrap();
        session.puback(id, code).await;
    }
    let told = loop {
        let verdict = site.verdict().await;
        if verdict != "up" {
            break verdict;
        }
    };
    assert_eq!(told, "publish_refused:0x97");
    assert!(site.receipted().is_empty());
    // after five seconds without a receipt all three come again on this connection
    serve(&mut session, &mut Centre::default(), 3).await;
    all_receipted(&mut site, 3).await;
}

#[tokio::test]
async fn trap_11_a_packet_above_ten_kilobytes_does_not_end_the_connection() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    let mut session = within("a connection", broker.accept()).await;
    let connect = session.welcome(&[]).await;
    let Packet::Connect { packet_max, .. } = connect else { panic!("{connect:?}") };
    assert_eq!(packet_max, 96 * 1024);
    session.publish(ACK, &vec![b'x'; 90 * 1024], false).await;
    session.publish(ACK, &Centre::sign(&format!(r#"{{"epoch":{EPOCH},"upto":0}}"#)), true).await;
    site.commit(Class::Alarm);
    serve(&mut session, &mut Centre::default(), 1).await;
    let mut reasons = vec![];
    while reasons.len() < 2 {
        let reason = |note| if let UpstreamNote::RefusedReceipt { reason, .. } = note { Some(reason) } else { None };
        reasons.push(site.note("a refusal", reason).await);
    }
    assert_eq!(reasons, ["too_large", "retained"]);
}

#[tokio::test]
async fn trap_14_subscribe_comes_before_any_publish_and_supervision_is_by_beats() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish { beat_s: 1, ..Wish::broker(broker.address()) });
    site.commit(Class::Alarm);
    let mut session = within("a connection", broker.accept()).await;
    let connect = session.welcome(&[]).await; // panics when anything is published before SUBSCRIBE
    let Packet::Connect { client, keep_alive, clean, expiry, will, .. } = connect else { panic!("{connect:?}") };
    assert_eq!((client.as_str(), keep_alive, clean, expiry), ("hub-1-eth", 20, true, 0));
    let lost: serde_json::Value = serde_json::from_slice(&will.1).unwrap();
    assert_eq!((will.0.as_str(), &lost["up"]), ("vakt/v1/hub-1/path/eth", &serde_json::Value::Bool(false)));
    // birth, beat, alarm: in this order; then state; and no PINGREQ of our own making
    let mut topics = vec![];
    while topics.len() < 6 {
        let Some(Packet::Publish { topic, id, payload, retain, .. }) = within("a packet", session.next()).await else {
            panic!("only publishes")
        };
        session.puback(id, 0).await;
        if topic.ends_with("/beat") {
            session.publish(ECHO, &echo(&payload), false).await;
        }
        assert_eq!(retain, topic.ends_with("/state") || topic.ends_with("/eth"), "{topic}");
        topics.push(topic.trim_start_matches("vakt/v1/hub-1/").to_owned());
    }
    assert_eq!(topics[..3], ["path/eth", "path/eth/beat", "state"], "{topics:?}");
    assert_eq!(topics.iter().filter(|topic| *topic == "event/alarm").count(), 1);
    assert_eq!(site.verdict().await, "up");
}

#[tokio::test]
async fn trap_15_duplicates_are_bounded_by_what_was_not_signed_for() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    site.commit_many(Class::State, 120);
    let mut centre = Centre::default();
    let mut arrivals = 0;
    for _ in 0..3 {
        let mut session = within("a connection", broker.accept()).await;
        session.welcome(&[]).await;
        for _ in 0..30 {
            let (id, _, payload, _) = event(&mut session).await.unwrap();
            arrivals += 1;
            session.puback(id, 0).await;
            let receipt = centre.take(&payload);
            session.publish(ACK, &receipt, false).await;
        }
        // the last receipts of this connection are at the hub before it is cut
        while site.receipted().len() < centre.held.len() {
            site.note("a receipt", |note| matches!(note, UpstreamNote::Receipt(_)).then_some(())).await;
        }
    }
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    while centre.held.len() < 120 {
        let (id, _, payload, _) = event(&mut session).await.unwrap();
        arrivals += 1;
        session.puback(id, 0).await;
        let receipt = centre.take(&payload);
        session.publish(ACK, &receipt, false).await;
    }
    all_receipted(&mut site, 120).await;
    let most = 120 + 3 * 12;
    assert!(arrivals <= most, "{arrivals} arrivals of 120 events over 3 cuts; a window of 12 each is the most");
}

#[tokio::test]
async fn receipts_from_the_future_of_others_and_unsigned_deliver_nothing() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    site.commit(Class::Alarm);
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    let (id, _, payload, _) = event(&mut session).await.unwrap();
    session.puback(id, 0).await;
    let future = Centre::sign(&format!(r#"{{"epoch":{EPOCH},"upto":2}}"#));
    let foreign = Centre::sign(r#"{"epoch":7,"upto":1}"#);
    let other = Centre::sign(&format!(r#"{{"epoch":{EPOCH},"upto":1,"aud":"hub-2"}}"#));
    for bad in [&future[..], &foreign, &other, b"{\"epoch\":1,\"upto\":1}"] {
        session.publish(ACK, bad, false).await;
    }
    for expected in ["from_the_future", "foreign_epoch", "other_gateway", "not_three_parts"] {
        let reason = |note| if let UpstreamNote::RefusedReceipt { reason, .. } = note { Some(reason) } else { None };
        assert_eq!(site.note("a refusal", reason).await, expected);
    }
    assert!(site.receipted().is_empty());
    let receipt = Centre::default().take(&payload);
    session.publish(ACK, &receipt, false).await;
    all_receipted(&mut site, 1).await;
}

#[tokio::test]
async fn an_alarm_before_the_disk_goes_out_and_a_missed_deadline_is_told() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish { alarm_deadline_s: 1, ..Wish::broker(broker.address()) });
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    let id = EventId::mint(5, [5; 10]);
    let alarm = Unjournaled { id, class: Class::Alarm, every_way: false, wire: b"{\"seq\":null}".as_slice().into() };
    site.unjournaled.send(alarm).await.unwrap();
    let (packet, topic, payload, _) = event(&mut session).await.unwrap();
    assert_eq!((topic.as_str(), &payload[..]), ("vakt/v1/hub-1/event/alarm", &b"{\"seq\":null}"[..]));
    session.puback(packet, 0).await;
    let overdue =
        |note| if let UpstreamNote::Overdue { event, after_ms, .. } = note { Some((event, after_ms)) } else { None };
    let (event, after_ms) = site.note("the miss", overdue).await;
    assert!(event == id && after_ms >= 1_000);
    let receipt = Centre::sign(&format!(r#"{{"epoch":{EPOCH},"upto":0,"ids":["{id}"]}}"#));
    session.publish(ACK, &receipt, false).await;
    let ids =
        site.note("the receipt", |note| if let UpstreamNote::Receipt(r) = note { Some(r.ids) } else { None }).await;
    assert_eq!(ids, [id]);
}

#[tokio::test]
async fn a_silent_centre_is_told_after_three_beats_and_its_return_brings_everything_at_once() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish { beat_s: 1, ..Wish::broker(broker.address()) });
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    site.commit(Class::Alarm);
    let (mut beats, mut events) = (vec![], 0);
    while beats.len() < 4 {
        match within("a packet", session.next()).await.expect("the broker answers, so the connection stays") {
            Packet::Publish { topic, payload, id, .. } => {
                session.puback(id, 0).await;
                events += usize::from(is_event(&topic));
                if topic.ends_with("/beat") {
                    beats.push(payload);
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(events, 1);
    assert_eq!(site.verdict().await, "centre_silent");
    session.publish(ECHO, &echo(&beats[3]), false).await;
    let (id, _, payload, _) = event(&mut session).await.unwrap();
    session.puback(id, 0).await;
    assert_eq!((site.verdict().await.as_str(), seq(&payload)), ("up", 1));
}

#[tokio::test]
async fn each_way_a_broker_can_say_no_has_its_name() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    site.commit(Class::Alarm); // an alarm waits, so the hub dials again soon
    let mut session = within("a connection", broker.accept()).await;
    session.next().await.unwrap();
    session.send(0x20, &[0, 0x87, 0]).await;
    assert_eq!(site.verdict().await, "mqtt_refused:not_authorized");
    let mut session = within("a connection", broker.accept()).await;
    session.next().await.unwrap();
    session.send(0x20, &[0, 0, 0]).await;
    let Some(Packet::Subscribe { id, topics }) = session.next().await else { panic!("SUBSCRIBE") };
    assert_eq!(topics, [ACK, ECHO, CMD], "exact topics, no wildcard");
    let [high, low] = id.to_be_bytes();
    session.send(0x90, &[high, low, 0, 1, 0x87, 1]).await;
    assert_eq!(site.verdict().await, "subscribe_refused");
    let mut session = within("a connection", broker.accept()).await;
    session.raw(&[0xff, 0x02, 0x00, 0x00]).await;
    assert_eq!(site.verdict().await, "garbage");
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    session.send(0xe0, &[0x8e, 0]).await;
    assert_eq!(site.verdict().await, "mqtt_closed:session_taken_over");
    let session = within("a connection", broker.accept()).await;
    drop(session);
    assert_eq!(site.verdict().await, "closed");
    drop(broker);
    assert_eq!(site.verdict().await, "tcp_refused");
}

#[tokio::test]
async fn a_name_nobody_knows_is_told_as_such() {
    let mut site = Site::start(Wish::broker("broker.invalid:8883".into()));
    assert_eq!(site.verdict().await, "dns");
}

#[tokio::test]
async fn a_farewell_replaces_the_last_will() {
    let broker = Broker::listen().await;
    let site = Site::start(Wish::broker(broker.address()));
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    site.commit(Class::State);
    event(&mut session).await.unwrap();
    site.stop.send_replace(true);
    let mut last = None;
    loop {
        match within("a packet", session.next()).await {
            Some(Packet::Publish { topic, payload, retain: true, .. }) if topic.ends_with("/eth") => {
                last = Some(payload)
            }
            Some(Packet::Publish { .. }) => {}
            Some(Packet::Disconnect) => break,
            other => panic!("{other:?}"),
        }
    }
    drop(session);
    let bye: serde_json::Value = serde_json::from_slice(&last.expect("a farewell")).unwrap();
    assert_eq!((&bye["up"], &bye["reason"]), (&serde_json::json!(false), &serde_json::json!("stopped")));
    within("the end", site.upstream).await.unwrap();
    assert_eq!(std::fs::read_dir(site.run_dir.path()).unwrap().count(), 0, "no socket is left behind");
}

/// Measurements have no packet id: between events that have, they must not shift whose answer is whose.
#[tokio::test]
async fn r77_measurements_leave_once_expiring_and_shift_no_id() {
    let broker = Broker::listen().await;
    let mut site = Site::start(Wish::broker(broker.address()));
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    let mut centre = Centre::default();
    let cellar = DeviceId::new("wm-cellar").unwrap();
    for n in 1..=40 {
        // until it carries nothing leaves; an event shows that it does
        site.commit(Class::State);
        serve(&mut session, &mut centre, n).await;
        let (measure, unit) = ("temperature".to_owned(), "°C".to_owned());
        let values = vec![Measurement { measure, value_milli: n as i64 * 100, unit }];
        site.measured.send_replace(Arc::new(vec![Measured { device: cellar.clone(), at: now(), values }]));
        let (topic, payload, expires_s) = loop {
            match within("a packet", session.next()).await.expect("the hub stays") {
                Packet::Publish { topic, payload, id, qos: 0, retain: false, dup: false, expires_s } => {
                    assert_eq!(id, 0);
                    break (topic, payload, expires_s);
                }
                Packet::Publish { id, qos: 1, .. } => session.puback(id, 0).await,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((topic.as_str(), expires_s), ("vakt/v1/hub-1/telemetry", Some(600)));
        let told: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(told["measured"][0]["values"][0]["value"].as_f64(), Some(n as f64 / 10.0));
    }
    all_receipted(&mut site, 40).await;
}
