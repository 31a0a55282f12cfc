//! A hand-written MQTT 5 broker of one connection at a time, so that a test decides about every answer. It implements
//! the packets the hub uses and nothing more; a packet it does not know fails the test.

use std::collections::VecDeque;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

/// What the hub sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// `will`: none is as good as an empty topic.
    Connect {
        client: String,
        keep_alive: u16,
        clean: bool,
        expiry: u32,
        packet_max: u32,
        will: (String, Vec<u8>),
    },
    Subscribe {
        id: u16,
        topics: Vec<String>,
    },
    Publish {
        topic: String,
        payload: Vec<u8>,
        id: u16,
        qos: u8,
        retain: bool,
        dup: bool,
        /// Message Expiry Interval, s.
        expires_s: Option<u32>,
    },
    PubAck,
    Ping,
    Disconnect,
}

/// Where the hub dials.
pub struct Broker {
    listener: TcpListener,
}

impl Broker {
    pub async fn listen() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    pub async fn accept(&self) -> Session<TcpStream> {
        Session::new(self.accept_raw().await)
    }

    pub async fn accept_raw(&self) -> TcpStream {
        let stream = self.listener.accept().await.unwrap().0;
        stream.set_nodelay(true).unwrap();
        stream
    }
}

pub struct Session<S> {
    stream: S,
    read: VecDeque<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, read: VecDeque::new() }
    }

    /// CONNECT, and CONNACK with these properties; then SUBSCRIBE, and SUBACK.
    pub async fn welcome(&mut self, properties: &[u8]) -> Packet {
        let connect = self.admit(properties).await;
        let Some(Packet::Subscribe { id, topics }) = self.next().await else { panic!("SUBSCRIBE before any publish") };
        let mut body = id.to_be_bytes().to_vec();
        body.push(0);
        body.extend(topics.iter().map(|_| 1));
        self.send(0x90, &body).await;
        connect
    }

    /// CONNECT, and CONNACK with these properties.
    pub async fn admit(&mut self, properties: &[u8]) -> Packet {
        let connect = self.next().await.expect("CONNECT comes first");
        assert!(matches!(connect, Packet::Connect { .. }), "{connect:?}");
        let mut body = vec![0, 0, u8::try_from(properties.len()).unwrap()];
        body.extend(properties);
        self.send(0x20, &body).await;
        connect
    }

    pub async fn puback(&mut self, id: u16, code: u8) {
        let [high, low] = id.to_be_bytes();
        self.send(0x40, &[high, low, code, 0]).await;
    }

    /// A message down, QoS 0.
    pub async fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) {
        let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
        body.extend(topic.as_bytes());
        body.push(0);
        body.extend(payload);
        self.send(0x30 | u8::from(retain), &body).await;
    }

    pub async fn pong(&mut self) {
        self.send(0xd0, &[]).await;
    }

    pub async fn send(&mut self, first: u8, body: &[u8]) {
        let mut packet = vec![first];
        let mut length = body.len();
        loop {
            let byte = u8::try_from(length % 128).unwrap();
            length /= 128;
            packet.push(if length > 0 { byte | 0x80 } else { byte });
            if length == 0 {
                break;
            }
        }
        packet.extend(body);
        self.raw(&packet).await;
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        // the hub may have gone meanwhile; the test sees that when it reads
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// The next packet; `None` when the hub has closed.
    pub async fn next(&mut self) -> Option<Packet> {
        let first = self.byte().await?;
        let (mut length, mut shift) = (0usize, 0);
        loop {
            let byte = self.byte().await?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = Vec::with_capacity(length);
        for _ in 0..length {
            body.push(self.byte().await?);
        }
        Some(parse(first, &mut Body { bytes: &body }))
    }

    async fn byte(&mut self) -> Option<u8> {
        while self.read.is_empty() {
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.read.extend(&chunk[..n]),
            }
        }
        self.read.pop_front()
    }
}

struct Body<'a> {
    bytes: &'a [u8],
}

impl Body<'_> {
    fn take(&mut self, n: usize) -> &[u8] {
        let (head, tail) = self.bytes.split_at(n);
        self.bytes = tail;
        head
    }

    fn u8(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn data(&mut self) -> Vec<u8> {
        let n = self.u16();
        self.take(usize::from(n)).to_vec()
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.data()).unwrap()
    }
}

fn parse(first: u8, body: &mut Body<'_>) -> Packet {
    match first >> 4 {
        1 => connect(body),
        3 => {
            let (qos, topic) = ((first >> 1) & 3, body.text());
            let id = if qos > 0 { body.u16() } else { 0 };
            let length = body.u8();
            let expires_s = match body.take(usize::from(length)) {
                [] => None,
                [0x02, seconds @ ..] => Some(u32::from_be_bytes(seconds.try_into().unwrap())),
                other => panic!("PUBLISH properties {other:x?}"),
            };
            let payload = body.bytes.to_vec();
            Packet::Publish { topic, payload, id, qos, retain: first & 1 == 1, dup: first & 8 == 8, expires_s }
        }
        4 => Packet::PubAck,
        8 => {
            let id = body.u16();
            let properties = body.u8();
            body.take(usize::from(properties));
            let mut topics = vec![];
            while !body.bytes.is_empty() {
                topics.push(body.text());
                body.u8();
            }
            Packet::Subscribe { id, topics }
        }
        12 => Packet::Ping,
        14 => Packet::Disconnect,
        other => panic!("the hub sent a packet of type {other}"),
    }
}

fn connect(body: &mut Body<'_>) -> Packet {
    assert_eq!((body.text().as_str(), body.u8()), ("MQTT", 5));
    let flags = body.u8();
    let willing = flags & 0b100 != 0;
    let right = if willing { 0b0010_1100 } else { 0 };
    assert_eq!(flags & 0b1110_1100, right, "a will, QoS 1, retained, or none; no credentials");
    let keep_alive = body.u16();
    let length = body.u8();
    let mut properties = Body { bytes: body.take(usize::from(length)) };
    let (mut expiry, mut packet_max) = (0, 0);
    while !properties.bytes.is_empty() {
        let which = properties.u8();
        let value = u32::from_be_bytes(properties.take(4).try_into().unwrap());
        match which {
            0x11 => expiry = value,
            0x27 => packet_max = value,
            other => panic!("CONNECT property {other}"),
        }
    }
    let client = body.text();
    let will = if willing {
        let length = body.u8();
        body.take(usize::from(length));
        (body.text(), body.data())
    } else {
        Default::default()
    };
    Packet::Connect { client, keep_alive, clean: flags & 2 == 2, expiry, packet_max, will }
}
