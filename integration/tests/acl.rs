//! The access list that operators are given as an example, on a real mosquitto: a hub that has been broken into can
//! neither hear, say nor will anything of another, nor sign receipts and orders for itself.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::near::Near;

/// MQTT 5, 3.4.2.1.
const NOT_AUTHORIZED: u8 = 0x87;
/// Taken, with or without anybody who listens.
const TAKEN: [u8; 2] = [0x00, 0x10];

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_says_and_hears_its_own_and_nothing_else() {
    let mut lab = Lab::start(LabSettings::default()).await.unwrap();
    lab.start_arc(Misbehaviour::default()).await.unwrap();
    let below =
        ["event/alarm", "state", "device/zb-1", "telemetry", "path/eth", "path/lte/beat", "reply/o-1", "media/m/0"];
    let mut hub = Near::hub(&lab, "hub-a", None).await.unwrap();
    for below in below {
        let code = hub.say(&format!("vakt/v1/hub-a/{below}"), b"{}").await.unwrap();
        assert!(TAKEN.contains(&code), "{below}: 0x{code:02x}");
    }
    let others = ["hub-b", "lab-hub", "arc"].map(|other| below.map(|below| format!("{other}/{below}"))).concat();
    // Only the centre says these.
    let the_centres = ["ack", "cmd", "path/eth/echo", "anything"].map(|below| format!("hub-a/{below}"));
    for topic in others.iter().chain(&the_centres) {
        // mosquitto 2.0.11 hangs up after it has refused one.
        let mut hub = Near::hub(&lab, "hub-a", None).await.unwrap();
        assert_eq!(hub.say(&format!("vakt/v1/{topic}"), b"{}").await.unwrap(), NOT_AUTHORIZED, "{topic}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_asks_for_everything_hears_its_own_receipts() {
    let lab = Lab::start(LabSettings::default()).await.unwrap();
    let mut spy = Near::hub(&lab, "hub-b", None).await.unwrap();
    // mosquitto grants what is asked and keeps it back when it comes.
    for filter in ["#", "vakt/v1/hub-a/#", "vakt/v1/+/event/+", "vakt/v1/+/cmd", "$SYS/#"] {
        spy.listen(filter).await.unwrap();
    }
    let mut other = Near::hub(&lab, "hub-a", None).await.unwrap();
    for below in ["event/alarm", "state", "path/eth", "telemetry"] {
        other.say(&format!("vakt/v1/hub-a/{below}"), b"secret").await.unwrap();
    }
    // Somebody on the plain listener, where the centre is, speaks to both.
    let (centre, _) = plain(&lab);
    for topic in ["vakt/v1/hub-a/cmd", "vakt/v1/hub-a/ack", "vakt/v1/hub-b/cmd"] {
        centre
            .publish(topic, rumqttc::v5::mqttbytes::QoS::AtLeastOnce, false, topic.as_bytes().to_vec())
            .await
            .unwrap();
    }
    let first = spy.hears().await.unwrap();
    assert_eq!(
        first,
        ("vakt/v1/hub-b/cmd".to_owned(), b"vakt/v1/hub-b/cmd".to_vec()),
        "nothing of hub-a came before it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_will_reaches_no_further_than_its_hub() {
    let lab = Lab::start(LabSettings::default()).await.unwrap();
    let (centre, mut heard) = plain(&lab);
    centre.subscribe("vakt/v1/+/path/+", rumqttc::v5::mqttbytes::QoS::AtLeastOnce).await.unwrap();
    // Once a hub's birth is heard the subscription stands.
    let mut other = Near::hub(&lab, "hub-c", None).await.unwrap();
    while heard.try_recv().is_err() {
        other.say("vakt/v1/hub-c/path/lte", b"birth").await.unwrap();
    }
    for will in ["vakt/v1/hub-a/path/eth", "vakt/v1/hub-b/path/eth"] {
        // A broker that refuses the connection for its will is as good as one that keeps the will.
        drop(Near::hub(&lab, "hub-b", Some(will.to_owned())).await);
    }
    loop {
        let topic = tokio::time::timeout(std::time::Duration::from_secs(20), heard.recv()).await.unwrap().unwrap();
        assert_ne!(topic, "vakt/v1/hub-a/path/eth", "another's path was said to be down");
        if topic == "vakt/v1/hub-b/path/eth" {
            return; // its own will came, and the other's was before it
        }
    }
}

/// A client beside the centre, and the topics of what it hears.
fn plain(lab: &Lab) -> (rumqttc::v5::AsyncClient, tokio::sync::mpsc::Receiver<String>) {
    let address = lab.broker.plain_address();
    let options = rumqttc::v5::MqttOptions::new("beside-the-centre", address.ip().to_string(), address.port());
    let (client, mut events) = rumqttc::v5::AsyncClient::new(options, 16);
    let (to, heard) = tokio::sync::mpsc::channel(256);
    tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            if let rumqttc::v5::Event::Incoming(rumqttc::v5::Incoming::Publish(publish)) = event {
                let _ = to.try_send(String::from_utf8_lossy(&publish.topic).into_owned());
            }
        }
    });
    (client, heard)
}
