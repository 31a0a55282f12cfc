//! The virtual site holds what it promises, so that a failing test means a failing hub.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)]

use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::ServerName;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use serde_json::json;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::RootCertStore;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::BROKER_NAME;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::certs::Certs;
use vakt_integration::lab::daemon::control;
use vakt_integration::lab::stick::Stick;
use vakt_integration::twins::hub::Journal;
use vakt_integration::twins::mqtt::Packet;

const SOON: Duration = Duration::from_secs(10);

/// A raw MQTT 5 client over TLS, as the hub's dialer will be.
struct Client {
    stream: TlsStream<TcpStream>,
    unread: Vec<u8>,
}

impl Client {
    async fn dial(address: SocketAddr, certs: &Certs, identity: Option<&str>) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certs.ca()).unwrap()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        let config = match identity.map(|gateway| certs.client(gateway)) {
            None => config.with_no_client_auth(),
            Some(files) => {
                let cert = CertificateDer::from_pem_file(files.cert).unwrap();
                let key = PrivateKeyDer::from_pem_file(files.key).unwrap();
                config.with_client_auth_cert(vec![cert], key).unwrap()
            }
        };
        let name = ServerName::try_from(BROKER_NAME).unwrap();
        let tcp = TcpStream::connect(address).await?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        Ok(Self { stream, unread: Vec::new() })
    }

    async fn ask(&mut self, packet: &Packet) -> std::io::Result<Packet> {
        self.stream.write_all(&packet.encode()).await?;
        loop {
            if let Some((packet, used)) = Packet::decode(&self.unread).map_err(std::io::Error::other)? {
                self.unread.drain(..used);
                return Ok(packet);
            }
            let read = tokio::time::timeout(SOON, self.stream.read_buf(&mut self.unread)).await;
            if read.map_err(std::io::Error::other)?? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn connect() -> Packet {
    let (client_id, will_topic) = ("lab-hub-eth".to_owned(), Some("vakt/v1/lab-hub/path/eth".to_owned()));
    Packet::Connect { client_id, clean_start: true, keep_alive_s: 20, session_expiry_s: 0, will_topic }
}

fn publish(topic: &str, payload: &Value) -> Packet {
    let (topic, payload) = (topic.to_owned(), payload.to_string().into_bytes());
    Packet::Publish { dup: false, qos: 1, retain: false, topic, id: 1, payload }
}

#[tokio::test]
async fn a_hub_with_its_certificate_reaches_the_centre_and_touches_nothing_but_its_own_topics() {
    let mut lab = Lab::start(LabSettings::default()).await.unwrap();
    lab.start_arc(Misbehaviour::default()).await.unwrap();
    let address = lab.proxy("eth").unwrap().address();
    let mut hub = Client::dial(address, &lab.certs, Some("lab-hub")).await.unwrap();
    assert!(matches!(hub.ask(&connect()).await.unwrap(), Packet::ConnAck { reason: 0, .. }));
    let event = Journal::begin(1).event("alarm", "smoke");
    let answer = hub.ask(&publish("vakt/v1/lab-hub/event/alarm", &event)).await.unwrap();
    assert_eq!(answer, Packet::PubAck { id: 1, reason: 0 });
    lab.arc.as_ref().unwrap().wait_for(1, SOON).await.unwrap();
    let answer = hub.ask(&publish("vakt/v1/other-hub/event/alarm", &event)).await.unwrap();
    assert_eq!(answer, Packet::PubAck { id: 1, reason: 0x87 }, "another hub's topic is not authorised");
}

#[tokio::test]
async fn a_hub_without_a_certificate_or_with_anothers_does_not_get_in() {
    let lab = Lab::start(LabSettings::default()).await.unwrap();
    let address = lab.broker.tls_address();
    // TLS 1.3 tells a client only after its handshake, so the refusal may come with the first read.
    let refused = match Client::dial(address, &lab.certs, None).await {
        Err(_) => true,
        Ok(mut client) => client.ask(&connect()).await.is_err(),
    };
    assert!(refused);
    let stranger = tempfile::tempdir().unwrap();
    let strangers = Certs::make(stranger.path(), BROKER_NAME, &["lab-hub"]).unwrap();
    assert!(Client::dial(address, &strangers, Some("lab-hub")).await.is_err(), "the hub pins the lab's authority");
}

#[tokio::test]
async fn a_frozen_broker_keeps_its_sockets_and_a_restarted_one_its_ports() {
    let mut lab = Lab::start(LabSettings::default()).await.unwrap();
    let (address, pid) = (lab.broker.plain_address(), lab.broker.pid());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&connect().encode()).await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    lab.broker.freeze().unwrap();
    stream.write_all(&Packet::PingReq.encode()).await.unwrap();
    let mut rest = [0; 256];
    let mut unread = stream.try_read(&mut rest).unwrap_or(0);
    let silent = tokio::time::timeout(Duration::from_millis(150), async {
        // What is left of the CONNACK may still come; a PINGRESP must not.
        while !rest[..unread].ends_with(&[0xd0, 0]) {
            unread = stream.read(&mut rest).await.unwrap();
        }
    });
    assert!(silent.await.is_err());
    lab.broker.thaw().unwrap();
    let mut bytes = rest[..unread].to_vec();
    while !bytes.ends_with(&[0xd0, 0]) {
        let read = tokio::time::timeout(SOON, stream.read_buf(&mut bytes)).await.unwrap().unwrap();
        assert!(read > 0);
    }
    lab.broker.restart().await.unwrap();
    assert_eq!(lab.broker.plain_address(), address);
    assert_ne!(lab.broker.pid(), pid);
    assert_eq!(stream.read_buf(&mut bytes).await.unwrap_or(0), 0, "the old connection died with the old broker");
}

#[tokio::test]
async fn a_stick_carries_bytes_untouched_both_ways_and_survives_being_pulled_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stick");
    let mut stick = Stick::plug(&path).unwrap();
    let open = || std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut hub = open();
    let mut heard = [0; 256];
    let every: Vec<u8> = (0..=255).collect();
    stick.bytes(&every).await.unwrap();
    hub.read_exact(&mut heard).unwrap();
    assert_eq!(heard.as_slice(), every, "control characters, newlines and all");
    hub.write_all(b"brc\r\n").unwrap();
    assert_eq!(stick.heard(SOON).await.unwrap(), b"brc\r\n");
    assert!(stick.baud().unwrap() > 0);

    stick.unplug().unwrap();
    assert!(!path.exists());
    assert!(matches!(hub.read(&mut heard), Ok(0) | Err(_)), "whoever had it open is told");
    assert!(stick.line("nobody hears").await.is_err());
    stick.replug().unwrap();
    let mut hub = open();
    stick.line("back").await.unwrap();
    let mut back = [0; 5];
    hub.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"back\n");
}

#[tokio::test]
async fn the_hubs_configuration_says_where_everything_is() {
    let lab = Lab::start(LabSettings { paths: vec!["eth".into(), "lte".into()], ..LabSettings::default() }).await;
    let mut lab = lab.unwrap();
    lab.daemon.configure(|config| config.upstream.alarm_deadline_s = 5).unwrap();
    let text = std::fs::read_to_string(lab.daemon.config_path()).unwrap();
    let config: toml::Value = toml::from_str(&text).unwrap();
    assert_eq!(config["upstream"]["alarm_deadline_s"].as_integer(), Some(5));
    let paths = config["upstream"]["path"].as_array().unwrap();
    assert_eq!(paths.len(), 2);
    let broker = paths[1]["brokers"][0].as_str().unwrap();
    assert_eq!(broker, lab.proxy("lte").unwrap().address().to_string());
    for file in ["ca", "cert", "key"] {
        assert!(std::fs::exists(paths[0]["tls"][file].as_str().unwrap()).unwrap(), "{file}");
    }
    assert_eq!(config["centre"]["key"][0]["ed25519"].as_str().unwrap().len(), 43);
    assert!(std::fs::exists(config["subghz"]["port"][0]["path"].as_str().unwrap()).unwrap());
}

#[tokio::test]
async fn the_control_socket_client_says_one_line_and_reads_one() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let line = BufReader::new(read).lines().next_line().await.unwrap().unwrap();
        write.write_all(format!("{{\"heard\":{line}}}\n").as_bytes()).await.unwrap();
    });
    let reply = control(&socket, &json!({"command": "ping"})).await.unwrap();
    assert_eq!(reply, json!({"heard": {"command": "ping"}}));
    server.await.unwrap();
    assert!(control(&socket, &json!({})).await.is_err(), "nobody listens any more");
}
