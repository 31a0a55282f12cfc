//! A broker that does what brokers are allowed to do and what they should never do, for one hub at a time.
//!
//! It speaks plain MQTT 5 over TCP on loopback. It routes nothing between clients: a test reads what a hub published
//! and says itself what is delivered. With its default manners it is an honest QoS 1 broker.

use super::mqtt::Packet;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Deliveries waiting for a slow client; a client that lags further misses some, like on any broker.
const DELIVERIES_MAX: usize = 256;

/// What is kept of what clients did; the oldest goes first.
const LOG_MAX: usize = 100_000;

/// How a QoS 1 publish is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// PUBACK with this reason: 0 success, 0x10 no subscriber, 0x87 not authorised, 0x97 quota exceeded.
    Reason(u8),
    /// No PUBACK.
    Never,
    /// The right PUBACK, twice.
    Twice,
    /// A PUBACK for a packet id that was never used.
    UnknownId,
}

/// What the broker does wrong. It holds for what arrives after it was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manners {
    /// CONNACK's reason; 0x80 and above refuse (0x88 unavailable, 0x87 not authorised, 0x97 quota exceeded).
    pub connack: u8,
    /// CONNACK says that an old session was found, whether or not there was one.
    pub session_present: bool,
    /// CONNACK's Server Keep Alive, seconds; 0 turns the keep-alive off, which is legal.
    pub server_keep_alive_s: Option<u16>,
    /// How publishes are answered.
    pub answer: Answer,
    /// Hangs up, without a word, after this many publishes on one connection.
    pub drop_after: Option<u32>,
    /// Answers pings.
    pub pong: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            connack: 0,
            session_present: false,
            server_keep_alive_s: None,
            answer: Answer::Reason(0),
            drop_after: None,
            pong: true,
        }
    }
}

/// What a client did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Counts connections from 1.
    pub connection: u64,
    /// The packet, or `None` for the end of the connection.
    pub packet: Option<Packet>,
}

/// A running evil broker. It ends with its handle.
pub struct EvilBroker {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    manners: Mutex<Manners>,
    log: Mutex<VecDeque<Seen>>,
    version: watch::Sender<u64>,
    deliver: broadcast::Sender<Order>,
}

#[derive(Debug, Clone)]
enum Order {
    Send(Vec<u8>),
    HangUp,
}

impl EvilBroker {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// The port cannot be opened.
    pub async fn start(manners: Manners) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            manners: Mutex::new(manners),
            log: Mutex::new(VecDeque::new()),
            version: watch::Sender::new(0),
            deliver: broadcast::Sender::new(DELIVERIES_MAX),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes its manners.
    pub fn set(&self, manners: Manners) {
        *lock(&self.shared.manners) = manners;
    }

    /// Sends a QoS 1 publish to everyone connected, subscribed or not. `retain` says that the broker had kept it.
    pub fn deliver(&self, topic: &str, payload: &[u8], retain: bool) {
        // The id is always 1: clients acknowledge at once, and reuse of an id that is open is one more evil.
        let (topic, payload) = (topic.to_owned(), payload.to_vec());
        self.send(Packet::Publish { dup: false, qos: 1, retain, topic, id: 1, payload }.encode());
    }

    /// Sends any bytes to everyone connected: a packet above 96 KiB, a packet no client expects, or rubbish.
    pub fn send(&self, bytes: Vec<u8>) {
        // An error means that nobody is connected, and then nobody is reached.
        let _ = self.shared.deliver.send(Order::Send(bytes));
    }

    /// Hangs up on everyone.
    pub fn hang_up(&self) {
        let _ = self.shared.deliver.send(Order::HangUp);
    }

    /// Everything clients did, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.log).iter().cloned().collect()
    }

    /// Waits until `enough` says yes to what was seen, looking again at each packet.
    ///
    /// # Errors
    /// Not within that time: what was seen instead.
    pub async fn wait_until(&self, within: Duration, enough: impl Fn(&[Seen]) -> bool) -> Result<(), Vec<Seen>> {
        let mut changed = self.shared.version.subscribe();
        let wait = async {
            loop {
                changed.borrow_and_update();
                if enough(&self.seen()) {
                    return;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(within, wait).await.map_err(|_| self.seen())
    }
}

impl Drop for EvilBroker {
    fn drop(&mut self) {
        self.accepting.abort();
        self.hang_up();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connection = 0;
    // An accept that fails (no descriptors left) ends the broker: its test then fails by name, at its next wait.
    while let Ok((stream, _)) = listener.accept().await {
        connection += 1;
        tokio::spawn(one_client(stream, connection, Arc::clone(&shared)));
    }
}

async fn one_client(mut stream: TcpStream, connection: u64, shared: Arc<Shared>) {
    let mut orders = shared.deliver.subscribe();
    let mut unread = Vec::new();
    let mut publishes = 0;
    loop {
        tokio::select! {
            read = stream.read_buf(&mut unread) => if !matches!(read, Ok(1..)) { break },
            order = orders.recv() => match order {
                Ok(Order::Send(bytes)) => if stream.write_all(&bytes).await.is_err() { break },
                Ok(Order::HangUp) | Err(broadcast::error::RecvError::Closed) => break,
                Err(broadcast::error::RecvError::Lagged(_)) => {}
            },
        }
        if !packets(&mut stream, &mut unread, connection, &mut publishes, &shared).await {
            break;
        }
    }
    note(&shared, Seen { connection, packet: None });
}

/// Answers every whole packet there is; false ends the connection.
async fn packets(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
    connection: u64,
    publishes: &mut u32,
    shared: &Shared,
) -> bool {
    loop {
        let packet = match Packet::decode(unread) {
            Ok(Some((packet, used))) => {
                unread.drain(..used);
                packet
            }
            Ok(None) => return true,
            Err(_) => return false,
        };
        let manners = *lock(&shared.manners);
        let (answer, stay) = answer(&packet, manners, publishes);
        note(shared, Seen { connection, packet: Some(packet) });
        for packet in answer {
            if stream.write_all(&packet.encode()).await.is_err() {
                return false;
            }
        }
        if !stay {
            return false;
        }
    }
}

/// What such a broker says to a packet, and whether it stays on the line.
fn answer(packet: &Packet, manners: Manners, publishes: &mut u32) -> (Vec<Packet>, bool) {
    match packet {
        Packet::Connect { .. } => {
            let Manners { session_present, connack: reason, server_keep_alive_s, .. } = manners;
            (vec![Packet::ConnAck { session_present, reason, server_keep_alive_s }], reason < 0x80)
        }
        Packet::Subscribe { id, filters } => {
            (vec![Packet::SubAck { id: *id, reasons: filters.iter().map(|(_, qos)| (*qos).min(1)).collect() }], true)
        }
        Packet::Publish { qos, id, .. } => {
            *publishes += 1;
            if manners.drop_after.is_some_and(|n| *publishes >= n) {
                return (Vec::new(), false);
            }
            let ack = |id: u16, reason| Packet::PubAck { id, reason };
            let answer = match manners.answer {
                _ if *qos == 0 => Vec::new(),
                Answer::Reason(reason) => vec![ack(*id, reason)],
                Answer::Never => Vec::new(),
                Answer::Twice => vec![ack(*id, 0), ack(*id, 0)],
                Answer::UnknownId => vec![ack(id.wrapping_add(30_000).max(1), 0)],
            };
            (answer, true)
        }
        Packet::PingReq if manners.pong => (vec![Packet::PingResp], true),
        Packet::Disconnect { .. } => (Vec::new(), false),
        _ => (Vec::new(), true),
    }
}

fn note(shared: &Shared, seen: Seen) {
    let mut log = lock(&shared.log);
    if log.len() >= LOG_MAX {
        log.pop_front();
    }
    log.push_back(seen);
    drop(log);
    shared.version.send_modify(|version| *version += 1);
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
