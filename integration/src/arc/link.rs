//! The centre's line to one of its brokers: MQTT 5, clean start, session expiry 0, over plain TCP.
//!
//! The same four rules as the hub keeps: a fresh event loop per connection, polled by its own task, never cancelled
//! but to end it, and nothing carried over. What the hub sends while the line is down it will send again.

use rumqttc::NetworkOptions;
use rumqttc::v5::AsyncClient;
use rumqttc::v5::Event;
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Filter;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::mqttbytes::v5::SubscribeReasonCode;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;
use tokio::sync::mpsc;

/// Commands waiting for one connection. A receipt beyond it is tried again at the next round.
const COMMANDS_MAX: usize = 64;

/// The largest packet taken: the contract's 96 KiB and room to notice who exceeds it.
const PACKET_MAX_BYTES: u32 = 128 * 1024;

/// Publishes of ours without the broker's answer; far more than rounds of receipts in a round trip.
const IN_FLIGHT_MAX: u16 = 128;

/// First and longest wait between two dials. There is one centre, so there is no herd to spread.
const REDIAL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What the line has to say.
#[derive(Debug)]
pub enum LinkNews {
    /// Connected, and every subscription granted.
    Up(AsyncClient),
    /// Not connected (again), and why.
    Down(String),
    /// A message.
    Message {
        /// Its whole topic.
        topic: String,
        /// Its bytes.
        payload: Vec<u8>,
        /// Whether the broker had kept it.
        retained: bool,
        /// Microseconds since 1970 when it left the socket.
        at_us: u64,
    },
}

/// The wall clock in microseconds since 1970.
pub fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// The lines' common way to the desk: which line says it, and what.
pub type News = mpsc::Sender<(usize, LinkNews)>;

/// Keeps line `at` up until `news` is no longer read.
pub async fn keep(at: usize, broker: (String, u16), client_id: String, filters: Vec<String>, news: News) {
    let mut wait = REDIAL.0;
    loop {
        let options = options(&broker.0, broker.1, &client_id);
        let mut was_up = false;
        let why = one_connection(at, options, &filters, &news, &mut was_up).await;
        wait = if was_up { REDIAL.0 } else { (wait * 2).min(REDIAL.1) };
        if news.send((at, LinkNews::Down(why))).await.is_err() {
            return;
        }
        tokio::time::sleep(wait).await;
    }
}

fn options(host: &str, port: u16, client_id: &str) -> MqttOptions {
    let mut options = MqttOptions::new(client_id, host, port);
    options.set_clean_start(true);
    options.set_session_expiry_interval(Some(0));
    options.set_keep_alive(Duration::from_secs(10));
    options.set_max_packet_size(Some(PACKET_MAX_BYTES));
    options.set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX);
    let mut network = NetworkOptions::new();
    // Without it a receipt waits 40 ms behind the PUBACK before it: Nagle's algorithm against a delayed ACK.
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    options
}

async fn one_connection(at: usize, options: MqttOptions, filters: &[String], news: &News, was_up: &mut bool) -> String {
    let (client, mut events) = AsyncClient::new(options, COMMANDS_MAX);
    loop {
        let packet = match events.poll().await {
            Ok(Event::Incoming(packet)) => packet,
            Ok(Event::Outgoing(_)) => continue,
            Err(error) => return error.to_string(),
        };
        let told = match packet {
            Packet::ConnAck(_) => {
                let wanted = filters.iter().map(|filter| Filter::new(filter.clone(), QoS::AtLeastOnce));
                if let Err(error) = client.try_subscribe_many(wanted) {
                    return format!("subscribing: {error}");
                }
                continue;
            }
            Packet::SubAck(ack) => {
                if ack.return_codes.iter().any(|code| !matches!(code, SubscribeReasonCode::Success(_))) {
                    return format!("the broker refused a subscription: {:?} for {filters:?}", ack.return_codes);
                }
                *was_up = true;
                LinkNews::Up(client.clone())
            }
            Packet::Publish(publish) => LinkNews::Message {
                topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                payload: publish.payload.to_vec(),
                retained: publish.retain,
                at_us: now_us(),
            },
            Packet::Disconnect(disconnect) => return format!("the broker hung up: {:?}", disconnect.reason_code),
            _ => continue,
        };
        if news.send((at, told)).await.is_err() {
            return "the centre stopped".to_owned();
        }
    }
}
