//! One connection to a broker: a fresh MQTT client over a private socket, carried by the dialler's stream.
//!
//! The client's `poll()` runs in a task of its own and is never cancelled while the connection lives, because a poll
//! dropped in the middle of a write loses a publish that it has already counted. Nothing of a client outlives its
//! connection: neither ids nor half-sent publishes nor its queue. What it carried is in the journal.

use crate::upstream::io::dialer::Dialer;
use crate::upstream::io::dialer::Wire;
use crate::upstream::io::tls;
use crate::upstream::outbox::ConnId;
use crate::upstream::port::Failure;
use crate::upstream::port::LinkEvent;
use crate::upstream::topic::PACKET_MAX;
use crate::upstream::verdict::Reason;
use crate::upstream::verdict::word;
use crate::upstream::window::BROKER_PATIENCE_MS;
use crate::upstream::window::IDS_MAX;
use rumqttc::Outgoing;
use rumqttc::Transport;
use rumqttc::v5::AsyncClient;
use rumqttc::v5::ConnectionError;
use rumqttc::v5::Event;
use rumqttc::v5::EventLoop;
use rumqttc::v5::MqttOptions;
use rumqttc::v5::StateError;
use rumqttc::v5::mqttbytes::Error as WireError;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::ConnectProperties;
use rumqttc::v5::mqttbytes::v5::Filter;
use rumqttc::v5::mqttbytes::v5::LastWill;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use rumqttc::v5::mqttbytes::v5::SubscribeReasonCode;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Requests handed to the client and not yet taken: the window never holds so many, so handing over never waits. Measurements,
/// which are in no window, go one at a time and only while it is empty.
const REQUESTS_MAX: usize = 32;
/// Bytes on their way between the private socket and the stream, each way.
const PUMP_BYTES: usize = 8 * 1024;
/// Longest wait for our own client to come through the private socket.
const OWN_CLIENT_PATIENCE: Duration = Duration::from_secs(2);
/// Topics asked for at once.
const TOPICS: usize = 3;
/// Of these the first, receipts and echoes, are what no connection is worth anything without.
const TOPICS_NEEDED: usize = 2;
/// Others turned away on the private socket before the connection is given up.
const STRANGERS_MAX: usize = 8;

/// Who is told, and as whom.
#[derive(Clone)]
pub struct Teller {
    /// The path's place in the settings.
    pub path: usize,
    /// The connection.
    pub conn: ConnId,
    /// To the outbox's task. Bounded: the connection waits when that task is slow.
    pub to: mpsc::Sender<(usize, ConnId, LinkEvent)>,
}

impl Teller {
    async fn tell(&self, event: LinkEvent) {
        // a closed channel means that upstream is going down; the connection is aborted with it
        let _ = self.to.send((self.path, self.conn, event)).await;
    }
}

/// What a connection needs to begin.
pub struct Plan {
    /// `{gw}-{path}`.
    pub client_id: String,
    /// The private socket.
    pub socket: PathBuf,
    /// The last will's topic and payload, retained; `None`: nobody is told.
    pub will: Option<(String, Vec<u8>)>,
    /// Between two PINGREQ, unless the broker says otherwise. They go whatever else does.
    pub keep_alive: Duration,
}

/// A connection. Dropping it destroys it.
pub struct Link {
    client: AsyncClient,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A task that ends with its owner.
struct Owned<T>(JoinHandle<T>);

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Link {
    /// Begins to dial.
    pub fn start(plan: Plan, dialer: Arc<Dialer>, teller: Teller) -> Self {
        let socket = plan.socket.clone();
        let (client, events) = AsyncClient::new(options(plan), REQUESTS_MAX);
        let task = tokio::spawn(async move {
            let mut run = Owned(tokio::spawn(drive(socket, dialer, events, teller.clone())));
            let failure = (&mut run.0).await.unwrap_or_else(|e| Failure {
                reason: Reason::Garbage,
                detail: format!("the MQTT client gave up on what the broker sent: {e}"),
            });
            teller.tell(LinkEvent::Ended(failure)).await;
        });
        Self { client, task }
    }

    /// Hands a publish over, QoS 1. `false`: the client takes nothing any more, the end is on its way.
    pub fn publish(&self, topic: String, retain: bool, payload: Vec<u8>) -> bool {
        self.client.try_publish(topic, QoS::AtLeastOnce, retain, payload).is_ok()
    }

    /// Hands a publish over, QoS 0: it arrives or it does not. A broker drops it after so many seconds.
    pub fn publish_once(&self, topic: String, payload: Vec<u8>, expires_s: u32) -> bool {
        let expiring = PublishProperties { message_expiry_interval: Some(expires_s), ..PublishProperties::default() };
        self.client.try_publish_with_properties(topic, QoS::AtMostOnce, false, payload, expiring).is_ok()
    }

    /// Asks to hear these topics: receipts, echoes, orders. Retained copies keep their mark, so that a receipt or an
    /// order somebody retained is seen as such.
    pub fn subscribe(&self, topics: [String; TOPICS]) -> bool {
        let filters = topics.map(|topic| {
            let mut filter = Filter::new(topic, QoS::AtLeastOnce);
            filter.preserve_retain = true;
            filter
        });
        self.client.try_subscribe_many(filters).is_ok()
    }

    /// Says goodbye: the broker drops the last will.
    pub fn disconnect(&self) -> bool {
        self.client.try_disconnect().is_ok()
    }
}

fn options(plan: Plan) -> MqttOptions {
    let mut options = MqttOptions::new(plan.client_id, plan.socket.to_string_lossy(), 0);
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(0);
    properties.max_packet_size = Some(PACKET_MAX);
    options
        .set_transport(Transport::Unix)
        .set_keep_alive(plan.keep_alive)
        .set_clean_start(true)
        .set_connection_timeout(BROKER_PATIENCE_MS / 1_000)
        .set_connect_properties(properties)
        .set_outgoing_inflight_upper_limit(IDS_MAX);
    if let Some((topic, payload)) = plan.will {
        options.set_last_will(LastWill::new(topic, payload, QoS::AtLeastOnce, true, None));
    }
    options
}

/// From dialling to the end.
async fn drive(socket: PathBuf, dialer: Arc<Dialer>, mut events: EventLoop, teller: Teller) -> Failure {
    let wire = match dialer.dial().await {
        Ok(wire) => wire,
        Err(failure) => return failure,
    };
    let local = |e: io::Error| Failure {
        reason: Reason::Local,
        detail: format!("cannot make the private socket {}: {e}; its directory must be ours", socket.display()),
    };
    let listener = match listen(&socket) {
        Ok(listener) => listener,
        Err(e) => return local(e),
    };
    let keep_alive = events.options.keep_alive();
    let (ended, mut pump_ended) = oneshot::channel();
    let _pump = Owned(tokio::spawn(pump(listener, socket.clone(), wire, ended)));
    loop {
        match events.poll().await {
            Ok(event) => {
                // A broker may switch the keep-alive off with Server Keep Alive 0; the client would then ping without
                // pause and give up on itself. This event comes before its timer is looked at.
                if events.options.keep_alive().is_zero() {
                    events.options.set_keep_alive(keep_alive);
                }
                if let Some(told) = told(event) {
                    teller.tell(told).await;
                }
            }
            // what ended the stream explains more than what the client saw of it
            Err(error) => return pump_ended.try_recv().ok().unwrap_or_else(|| explain(&error)),
        }
    }
}

fn listen(socket: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Carries bytes between our client and the broker until either ends; says why before it lets go of the socket.
async fn pump(listener: UnixListener, socket: PathBuf, mut wire: Box<dyn Wire>, ended: oneshot::Sender<Failure>) {
    let own = timeout(OWN_CLIENT_PATIENCE, own_client(listener)).await;
    // the name has served; without it nobody else can come. That it is gone already is as good.
    let _ = std::fs::remove_file(&socket);
    let mut client = match own {
        Ok(Ok(client)) => client,
        Ok(Err(e)) => {
            let detail = format!("our own client did not come through {}: {e}", socket.display());
            let _ = ended.send(Failure { reason: Reason::Local, detail });
            return;
        }
        Err(_) => return, // the client's own timeout tells
    };
    if let Err(e) = copy_bidirectional_with_sizes(&mut client, &mut wire, PUMP_BYTES, PUMP_BYTES).await {
        let reason = tls::reason(&e).unwrap_or(match e.kind() {
            io::ErrorKind::TimedOut => Reason::Silent,
            _ => Reason::Closed,
        });
        let _ = ended.send(Failure { reason, detail: format!("the connection to the broker broke: {e}") });
    }
}

async fn own_client(listener: UnixListener) -> io::Result<UnixStream> {
    let own = i32::try_from(std::process::id()).ok();
    for _ in 0..STRANGERS_MAX {
        let (client, _) = listener.accept().await?;
        if client.peer_cred()?.pid() == own {
            return Ok(client);
        }
        tracing::warn!("another process knocked at the private socket and was turned away");
    }
    Err(io::Error::other("too many strangers"))
}

fn told(event: Event) -> Option<LinkEvent> {
    match event {
        Event::Incoming(Packet::ConnAck(ack)) => {
            let properties = ack.properties.as_ref();
            Some(LinkEvent::Connected {
                receive_max: properties.and_then(|p| p.receive_max).unwrap_or(u16::MAX),
                packet_max: properties.and_then(|p| p.max_packet_size).unwrap_or(PACKET_MAX).min(PACKET_MAX),
            })
        }
        Event::Incoming(Packet::SubAck(ack)) => {
            let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
            let codes = &ack.return_codes;
            let heard = codes.len() == TOPICS && codes.iter().take(TOPICS_NEEDED).all(granted);
            if heard && !codes.iter().all(granted) {
                // Alarms must go out all the same; who orders hears no reply and looks why.
                tracing::warn!("the broker does not let us hear orders; its access list must allow `cmd`");
            }
            Some(LinkEvent::Subscribed(heard))
        }
        // QoS 0 has no id and no answer
        Event::Outgoing(Outgoing::Publish(0)) => None,
        Event::Outgoing(Outgoing::Publish(id)) => Some(LinkEvent::Left(id)),
        Event::Incoming(Packet::PubAck(ack)) => Some(LinkEvent::Answered { id: ack.pkid, code: code(ack.reason) }),
        Event::Incoming(Packet::Publish(publish)) => Some(LinkEvent::Message {
            topic: publish.topic.to_vec(),
            retained: publish.retain,
            payload: publish.payload.to_vec(),
        }),
        _ => None,
    }
}

/// The byte of MQTT 5, 3.4.2.1.
fn code(reason: PubAckReason) -> u8 {
    match reason {
        PubAckReason::Success => 0x00,
        PubAckReason::NoMatchingSubscribers => 0x10,
        PubAckReason::UnspecifiedError => 0x80,
        PubAckReason::ImplementationSpecificError => 0x83,
        PubAckReason::NotAuthorized => 0x87,
        PubAckReason::TopicNameInvalid => 0x90,
        PubAckReason::PacketIdentifierInUse => 0x91,
        PubAckReason::QuotaExceeded => 0x97,
        PubAckReason::PayloadFormatInvalid => 0x99,
    }
}

fn explain(error: &ConnectionError) -> Failure {
    let reason = match error {
        ConnectionError::ConnectionRefused(code) => Reason::MqttRefused(word(&format!("{code:?}"))),
        ConnectionError::Timeout(_) => Reason::Silent,
        ConnectionError::NotConnAck(_) => Reason::Garbage,
        ConnectionError::MqttState(state) => match state {
            StateError::ServerDisconnect { reason_code, .. } => Reason::MqttClosed(word(&format!("{reason_code:?}"))),
            StateError::AwaitPingResp | StateError::CollisionTimeout => Reason::Silent,
            StateError::ConnectionAborted | StateError::Io(_) | StateError::Deserialization(WireError::Io(_)) => {
                Reason::Closed
            }
            _ => Reason::Garbage,
        },
        _ => Reason::Closed,
    };
    Failure { reason, detail: format!("the MQTT connection ended: {error}") }
}
