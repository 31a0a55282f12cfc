//! A hub's bare line to the centre's side and back: TLS with its certificate through the lab's own network, MQTT, and
//! nothing else. It measures what no daemon on this machine can be faster than.

use super::BROKER_NAME;
use super::Lab;
use super::LabError;
use crate::twins::mqtt::Packet;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::ServerName;
use rustls_pki_types::pem::PemObject;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::RootCertStore;

/// How long the broker may take to answer a packet before the measurement gives up.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The gateway it calls itself; the broker lets it touch only topics below it.
pub const GATEWAY: &str = "near";

/// What it says; whoever echoes it publishes on `BACK`. Topics that a hub may use.
pub const THERE: &str = "vakt/v1/near/telemetry";
/// What it hears.
pub const BACK: &str = "vakt/v1/near/ack";

/// The line.
pub struct Near {
    stream: TlsStream<TcpStream>,
    unread: Vec<u8>,
    id: u16,
}

impl Near {
    /// Dials the broker through the first path's network, as the hub does, and listens on `BACK`.
    ///
    /// # Errors
    /// The broker does not take it.
    pub async fn dial(lab: &Lab) -> Result<Self, LabError> {
        let mut near = Self::hub(lab, GATEWAY, None).await?;
        near.listen(BACK).await?;
        Ok(near)
    }

    /// Dials as any hub, with a last will on a topic of its choice, and listens to nothing yet.
    ///
    /// # Errors
    /// The broker does not take it.
    pub async fn hub(lab: &Lab, gateway: &str, will_topic: Option<String>) -> Result<Self, LabError> {
        lab.certs.add_client(gateway)?;
        let proxy = lab.proxies.values().next();
        let address = proxy.map_or_else(|| lab.broker.tls_address(), super::proxy::Proxy::address);
        let dialed = Self::connect(lab, address, gateway, will_topic).await;
        dialed.map_err(LabError::io("dialing", address))
    }

    async fn connect(
        lab: &Lab,
        address: std::net::SocketAddr,
        gateway: &str,
        will_topic: Option<String>,
    ) -> io::Result<Self> {
        let files = lab.certs.client(gateway);
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(lab.certs.ca()).map_err(io::Error::other)?;
        roots.add(ca).map_err(io::Error::other)?;
        let cert = CertificateDer::from_pem_file(files.cert).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_file(files.key).map_err(io::Error::other)?;
        let config = ClientConfig::builder().with_root_certificates(roots);
        let config = config.with_client_auth_cert(vec![cert], key).map_err(io::Error::other)?;
        let name = ServerName::try_from(BROKER_NAME).map_err(io::Error::other)?;
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        let mut near = Self { stream, unread: Vec::new(), id: 1 };
        let (clean_start, keep_alive_s, session_expiry_s) = (true, 0, 0);
        let client_id = gateway.to_owned();
        near.send(&Packet::Connect { client_id, clean_start, keep_alive_s, session_expiry_s, will_topic }).await?;
        near.until(|packet| matches!(packet, Packet::ConnAck { reason: 0, .. })).await?;
        Ok(near)
    }

    /// Asks to hear a topic; gives the broker's reason code.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn listen(&mut self, filter: &str) -> Result<u8, LabError> {
        let failed = || LabError::io("subscribing to", filter);
        self.id = self.id.wrapping_add(1).max(1);
        let asks = Packet::Subscribe { id: self.id, filters: vec![(filter.to_owned(), 1)] };
        self.send(&asks).await.map_err(failed())?;
        let answer = self.until(|packet| matches!(packet, Packet::SubAck { .. })).await.map_err(failed())?;
        Ok(if let Packet::SubAck { reasons, .. } = answer { reasons.first().copied().unwrap_or(0x80) } else { 0x80 })
    }

    /// Says something at QoS 1; gives the broker's reason code.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn say(&mut self, topic: &str, payload: &[u8]) -> Result<u8, LabError> {
        self.id = self.id.wrapping_add(1).max(1);
        let (topic, payload) = (topic.to_owned(), payload.to_vec());
        let said = Packet::Publish { dup: false, qos: 1, retain: false, topic: topic.clone(), id: self.id, payload };
        self.send(&said).await.map_err(LabError::io("publishing on", &topic))?;
        let answer = self
            .until(|packet| matches!(packet, Packet::PubAck { .. }))
            .await
            .map_err(LabError::io("publishing on", &topic))?;
        Ok(if let Packet::PubAck { reason, .. } = answer { reason } else { 0x80 })
    }

    /// The next message: its topic and payload.
    ///
    /// # Errors
    /// None comes.
    pub async fn hears(&mut self) -> Result<(String, Vec<u8>), LabError> {
        let next = self.until(|packet| matches!(packet, Packet::Publish { .. })).await;
        match next.map_err(LabError::io("waiting for", "a message"))? {
            Packet::Publish { topic, payload, .. } => Ok((topic, payload)),
            other => Err(LabError::Misuse(format!("{other:?} is no message"))),
        }
    }

    /// Says `payload` at QoS 1 and waits until it has come back.
    ///
    /// # Errors
    /// It does not come back.
    pub async fn round_trip(&mut self, payload: &[u8]) -> Result<Duration, LabError> {
        self.there_and_back(payload).await.map_err(LabError::io("waiting for the echo on", BACK))
    }

    async fn there_and_back(&mut self, payload: &[u8]) -> io::Result<Duration> {
        self.id = self.id.wrapping_add(1).max(1);
        let (topic, payload) = (THERE.to_owned(), payload.to_vec());
        let began = Instant::now();
        self.send(&Packet::Publish { dup: false, qos: 1, retain: false, topic, id: self.id, payload }).await?;
        let back = self.until(|packet| matches!(packet, Packet::Publish { .. })).await?;
        let took = began.elapsed();
        if let Packet::Publish { id, qos: 1, .. } = back {
            self.send(&Packet::PubAck { id, reason: 0 }).await?;
        }
        Ok(took)
    }

    async fn send(&mut self, packet: &Packet) -> io::Result<()> {
        self.stream.write_all(&packet.encode()).await?;
        self.stream.flush().await
    }

    /// Reads packets past until one is as wanted.
    async fn until(&mut self, wanted: impl Fn(&Packet) -> bool) -> io::Result<Packet> {
        loop {
            while let Some((packet, used)) = Packet::decode(&self.unread).map_err(io::Error::other)? {
                self.unread.drain(..used);
                if wanted(&packet) {
                    return Ok(packet);
                }
            }
            let read = tokio::time::timeout(ANSWER_WITHIN, self.stream.read_buf(&mut self.unread)).await;
            if read.map_err(io::Error::other)?? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
