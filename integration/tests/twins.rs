//! The network proxy and the evil broker do exactly what they are told, and nothing when told nothing.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use vakt_integration::lab::proxy::Mode;
use vakt_integration::lab::proxy::Proxy;
use vakt_integration::lab::proxy::Way;
use vakt_integration::twins::evil_broker::Answer;
use vakt_integration::twins::evil_broker::EvilBroker;
use vakt_integration::twins::evil_broker::Manners;
use vakt_integration::twins::mqtt::Packet;

const SOON: Duration = Duration::from_secs(10);
/// Long enough to see that nothing comes: the proof of a silence costs its length.
const SILENCE: Duration = Duration::from_millis(150);

/// A server that says everything back.
async fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(bytes).await?;
    let mut back = vec![0; bytes.len()];
    tokio::time::timeout(SOON, stream.read_exact(&mut back)).await.map_err(std::io::Error::other)??;
    Ok(back)
}

/// Whether the other side has ended this connection, in whatever way.
async fn ended(stream: &mut TcpStream) -> bool {
    let mut sink = Vec::new();
    tokio::time::timeout(SOON, stream.read_to_end(&mut sink)).await.is_ok()
}

#[tokio::test]
async fn a_proxy_passes_everything_until_told_otherwise() {
    let proxy = Proxy::start(echo_server().await).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let megabyte: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let (mut read, mut write) = stream.split();
    let mut back = vec![0; megabyte.len()];
    let (wrote, echoed) = tokio::join!(write.write_all(&megabyte), read.read_exact(&mut back));
    wrote.unwrap();
    echoed.unwrap();
    assert!(back == megabyte);
    assert_eq!(proxy.bytes(), (1_000_000, 1_000_000));
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn a_black_hole_is_silent_and_delivers_late_when_it_heals() {
    let proxy = Proxy::start(echo_server().await).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    exchange(&mut stream, b"before").await.unwrap();
    for hole in [Mode::BlackHole, Mode::OneWayHole(Way::Up), Mode::OneWayHole(Way::Down)] {
        let up_before = proxy.bytes().0;
        proxy.set(hole).await;
        stream.write_all(b"held").await.unwrap();
        let mut back = [0; 4];
        assert!(tokio::time::timeout(SILENCE, stream.read_exact(&mut back)).await.is_err(), "{hole:?}");
        let reached_the_broker = proxy.bytes().0 > up_before;
        assert_eq!(reached_the_broker, hole == Mode::OneWayHole(Way::Down), "{hole:?}");
        proxy.set(Mode::Pass).await;
        tokio::time::timeout(SOON, stream.read_exact(&mut back)).await.unwrap().unwrap();
        assert_eq!(&back, b"held");
    }
    proxy.set(Mode::BlackHole).await;
    let mut dialled = TcpStream::connect(proxy.address()).await.unwrap();
    dialled.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    assert!(tokio::time::timeout(SILENCE, dialled.read_exact(&mut back)).await.is_err(), "taken, then silence");
    proxy.set(Mode::Pass).await;
    tokio::time::timeout(SOON, dialled.read_exact(&mut back)).await.unwrap().unwrap();
}

#[tokio::test]
async fn delay_and_throttle_cost_the_time_they_say() {
    let proxy = Proxy::start(echo_server().await).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.set(Mode::Delay(Duration::from_millis(100))).await;
    let begun = Instant::now();
    exchange(&mut stream, b"there and back").await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    proxy.set(Mode::Throttle(10_000)).await;
    let begun = Instant::now();
    exchange(&mut stream, &[7; 2000]).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(180), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn refused_reset_and_answered_with_rubbish() {
    let proxy = Proxy::start(echo_server().await).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    exchange(&mut stream, b"before").await.unwrap();
    proxy.set(Mode::Refuse).await;
    assert!(ended(&mut stream).await, "what was connected is reset");
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    proxy.set(Mode::Rubbish).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let mut rubbish = Vec::new();
    tokio::time::timeout(SOON, stream.read_to_end(&mut rubbish)).await.unwrap().unwrap();
    assert!(rubbish.starts_with(b"HTTP") && rubbish.ends_with(b"rubbish"));

    proxy.set(Mode::ResetEvery(1000)).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    exchange(&mut stream, &[1; 900]).await.unwrap();
    assert!(exchange(&mut stream, &[1; 200]).await.is_err(), "the thousandth byte was the last");

    proxy.set(Mode::Pass).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    exchange(&mut stream, &[1; 5000]).await.unwrap();
    proxy.cut().await;
    assert!(ended(&mut stream).await);
}

/// A raw MQTT 5 client.
struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    async fn connect(broker: &EvilBroker) -> (Self, Packet) {
        let stream = TcpStream::connect(broker.address()).await.unwrap();
        let mut client = Self { stream, unread: Vec::new() };
        let hello = Packet::Connect {
            client_id: "hub".to_owned(),
            clean_start: true,
            keep_alive_s: 20,
            session_expiry_s: 0,
            will_topic: None,
        };
        client.send(&hello).await;
        let answer = client.next().await.unwrap();
        (client, answer)
    }

    async fn send(&mut self, packet: &Packet) {
        self.stream.write_all(&packet.encode()).await.unwrap();
    }

    async fn publish(&mut self, id: u16) {
        let (topic, payload) = ("vakt/v1/hub/event/alarm".to_owned(), b"{}".to_vec());
        self.send(&Packet::Publish { dup: false, qos: 1, retain: false, topic, id, payload }).await;
    }

    /// The next packet, or `None` at the end of the connection.
    async fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some((packet, used)) = Packet::decode(&self.unread).unwrap() {
                self.unread.drain(..used);
                return Some(packet);
            }
            let read = tokio::time::timeout(SOON, self.stream.read_buf(&mut self.unread)).await.unwrap();
            if !matches!(read, Ok(1..)) {
                return None;
            }
        }
    }
}

#[tokio::test]
async fn a_broker_with_manners_is_an_honest_one() {
    let broker = EvilBroker::start(Manners::default()).await.unwrap();
    let (mut client, answer) = Client::connect(&broker).await;
    assert_eq!(answer, Packet::ConnAck { session_present: false, reason: 0, server_keep_alive_s: None });
    client.send(&Packet::Subscribe { id: 1, filters: vec![("vakt/v1/hub/ack".to_owned(), 1)] }).await;
    assert_eq!(client.next().await, Some(Packet::SubAck { id: 1, reasons: vec![1] }));
    client.publish(2).await;
    assert_eq!(client.next().await, Some(Packet::PubAck { id: 2, reason: 0 }));
    client.send(&Packet::PingReq).await;
    assert_eq!(client.next().await, Some(Packet::PingResp));
    drop(client);
    broker.wait_until(SOON, |seen| seen.last().is_some_and(|last| last.packet.is_none())).await.unwrap();
    assert_eq!(broker.seen().len(), 5);
}

#[tokio::test]
async fn an_evil_broker_answers_as_told() {
    let broker = EvilBroker::start(Manners::default()).await.unwrap();
    let manners = Manners { session_present: true, server_keep_alive_s: Some(0), ..Manners::default() };
    broker.set(manners);
    let (mut client, answer) = Client::connect(&broker).await;
    assert_eq!(answer, Packet::ConnAck { session_present: true, reason: 0, server_keep_alive_s: Some(0) });
    for reason in [0x10, 0x87, 0x97] {
        broker.set(Manners { answer: Answer::Reason(reason), ..manners });
        client.publish(5).await;
        assert_eq!(client.next().await, Some(Packet::PubAck { id: 5, reason }));
    }
    broker.set(Manners { answer: Answer::Twice, ..manners });
    client.publish(6).await;
    assert_eq!(client.next().await, Some(Packet::PubAck { id: 6, reason: 0 }));
    assert_eq!(client.next().await, Some(Packet::PubAck { id: 6, reason: 0 }));
    broker.set(Manners { answer: Answer::UnknownId, ..manners });
    client.publish(7).await;
    assert_eq!(client.next().await, Some(Packet::PubAck { id: 30_007, reason: 0 }));
    broker.set(Manners { answer: Answer::Never, ..manners });
    client.publish(8).await;
    client.send(&Packet::PingReq).await;
    assert_eq!(client.next().await, Some(Packet::PingResp), "no PUBACK came before it");
    broker.deliver("vakt/v1/hub/ack", &vec![b'x'; 100 * 1024], true);
    let Some(Packet::Publish { retain: true, payload, .. }) = client.next().await else { panic!("not retained") };
    assert_eq!(payload.len(), 100 * 1024, "above the 96 KiB that a packet may have");
    broker.send(b"\xff\xffrubbish".to_vec());
    let mut rubbish = [0; 9];
    tokio::time::timeout(SOON, client.stream.read_exact(&mut rubbish)).await.unwrap().unwrap();
    broker.hang_up();
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn an_evil_broker_refuses_and_hangs_up_as_told() {
    let broker = EvilBroker::start(Manners { connack: 0x88, ..Manners::default() }).await.unwrap();
    let (mut client, answer) = Client::connect(&broker).await;
    assert_eq!(answer, Packet::ConnAck { session_present: false, reason: 0x88, server_keep_alive_s: None });
    assert_eq!(client.next().await, None);
    broker.set(Manners { drop_after: Some(2), ..Manners::default() });
    let (mut client, _) = Client::connect(&broker).await;
    client.publish(1).await;
    assert_eq!(client.next().await, Some(Packet::PubAck { id: 1, reason: 0 }));
    client.publish(2).await;
    assert_eq!(client.next().await, None);
}
