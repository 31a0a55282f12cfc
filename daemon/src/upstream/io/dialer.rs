//! Our own dialler: from a broker's name to a stream that is bound to the path's interface, without delay, watched by
//! the kernel, and behind TLS where the path says so. It knows addresses and names; it never speaks MQTT.
//!
//! The MQTT client dials what it verifies, follows the default route for names, and sets none of these options;
//! so it connects to a private socket instead, and the bytes are carried over to the stream made here.

use crate::upstream::io::names;
use crate::upstream::io::names::Remembered;
use crate::upstream::io::tls;
use crate::upstream::io::tls::Heard;
use crate::upstream::port::Failure;
use crate::upstream::settings::PathSettings;
use crate::upstream::settings::TlsSettings;
use crate::upstream::verdict::Reason;
use rustls_pki_types::ServerName;
use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

/// Longest dial, whatever the lists of brokers and addresses hold: the next begins with the first again.
const DIAL_PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for a name.
const NAME_PATIENCE: Duration = Duration::from_secs(3);
/// The same where an address is remembered that has worked: it is tried then.
const NAME_PATIENCE_REMEMBERED: Duration = Duration::from_secs(1);
/// Longest wait for one address.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// Longest handshake; a signature by a security chip takes its time.
const TLS_PATIENCE: Duration = Duration::from_secs(10);
/// The kernel gives a connection up when sent bytes stay unacknowledged so long: a reaper, not a trigger.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);
/// Linux's number for "no such interface", which std has no kind for (asm-generic/errno-base.h).
const ENODEV: i32 = 19;
/// Addresses tried of one broker; the rest of a longer answer is not.
const ADDRESSES_MAX: usize = 4;

/// A stream to the broker.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

struct Memory {
    tls: Option<Arc<ClientConfig>>,
    good: Remembered,
}

/// One path's dialler. It remembers the last good addresses, beyond its end too, and the TLS sessions.
pub struct Dialer {
    path: PathSettings,
    at_least_ms: fn() -> i64,
    memory: Mutex<Memory>,
    entropy: fn() -> [u8; 32],
}

impl Dialer {
    /// For this path; `at_least_ms` is what certificates are judged by, and the addresses that worked are kept in this file.
    pub fn new(path: PathSettings, addresses: PathBuf, at_least_ms: fn() -> i64, entropy: fn() -> [u8; 32]) -> Self {
        let memory = Memory { tls: None, good: Remembered::read(addresses) };
        Self { path, at_least_ms, memory: Mutex::new(memory), entropy }
    }

    /// Tries each broker and each of its addresses once.
    ///
    /// # Errors
    /// The failure that came furthest: a refused certificate says more than a closed port beside it.
    pub async fn dial(&self) -> Result<Box<dyn Wire>, Failure> {
        let late = || Failure {
            reason: Reason::TcpTimeout,
            detail: format!("no broker was reached within {} s", DIAL_PATIENCE.as_secs()),
        };
        timeout(DIAL_PATIENCE, self.dial_all()).await.unwrap_or_else(|_| Err(late()))
    }

    async fn dial_all(&self) -> Result<Box<dyn Wire>, Failure> {
        let detail = format!("path {} has no broker; `brokers` must name one as host:port", self.path.name);
        let mut furthest = Failure { reason: Reason::Dns, detail };
        for broker in &self.path.brokers {
            let addresses = match self.addresses(broker).await {
                Ok(addresses) => addresses,
                Err(failure) => {
                    furthest = further(furthest, failure);
                    continue;
                }
            };
            for address in addresses {
                match self.dial_one(broker, address).await {
                    Ok(wire) => {
                        // A disk that stands still must not keep an alarm from leaving.
                        if let Some(written) = self.memory.lock().await.good.keep(broker, address) {
                            tokio::spawn(written.write());
                        }
                        return Ok(wire);
                    }
                    Err(failure) => furthest = further(furthest, failure),
                }
            }
        }
        Err(furthest)
    }

    /// One address. That somebody there takes a connection says little: only its certificate says that it is a broker.
    async fn dial_one(&self, broker: &str, address: SocketAddr) -> Result<Box<dyn Wire>, Failure> {
        let failed = |e| tcp_failure(broker, address, self.path.device.as_deref(), &e);
        let tcp = self.connect(address).await.map_err(failed)?;
        match &self.path.tls {
            None => Ok(Box::new(tcp)),
            Some(settings) => self.secure(broker, settings, tcp).await,
        }
    }

    /// Where the broker may be: where it was last, then what name servers say. Whoever lies about it costs an attempt.
    async fn addresses(&self, broker: &str) -> Result<Vec<SocketAddr>, Failure> {
        if let Ok(address) = broker.parse() {
            return Ok(vec![address]);
        }
        let Some((host, Ok(port))) = broker.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) else {
            return Err(name_failure(broker, "it is not host:port"));
        };
        let good = self.memory.lock().await.good.of(broker);
        let patience = if good.is_some() { NAME_PATIENCE_REMEMBERED } else { NAME_PATIENCE };
        let random = (self.entropy)();
        let random = u32::from_le_bytes([random[0], random[1], random[2], random[3]]);
        let found = names::look_up(host, port, self.path.device.as_deref(), random, patience).await;
        let found = match (found, good) {
            (Ok(found), _) => found,
            (Err(_), Some(_)) => Vec::new(),
            (Err(why), None) => return Err(name_failure(broker, &why)),
        };
        let others = found.into_iter().filter(|address| Some(*address) != good);
        Ok(good.into_iter().chain(others).take(ADDRESSES_MAX).collect())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        if let Some(device) = &self.path.device {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?;
        let socket = TcpSocket::from_std_stream(socket.into());
        timeout(CONNECT_PATIENCE, socket.connect(address)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn secure(&self, broker: &str, settings: &TlsSettings, tcp: TcpStream) -> Result<Box<dyn Wire>, Failure> {
        let config = self.config(settings).await?;
        let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host).trim_matches(['[', ']']);
        let name = settings.name.as_deref().unwrap_or(host).to_owned();
        let server = ServerName::try_from(name.clone()).map_err(|e| Failure {
            reason: Reason::TlsName,
            detail: format!(
                "cannot check the certificate of {broker} for `{name}`: {e}; a DNS name or an address would be right"
            ),
        })?;
        let failed = |reason, why: String| Failure {
            reason,
            detail: format!("TLS with {broker}, whose certificate must name `{name}`, failed: {why}"),
        };
        match timeout(TLS_PATIENCE, TlsConnector::from(config).connect(server, Heard::new(tcp)).into_fallible()).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err((_, heard))) if heard.is_http() => {
                let why = "a web server answered; this network wants somebody to log in first, or the port is wrong";
                Err(failed(Reason::Portal, why.to_owned()))
            }
            Ok(Err((e, _))) => {
                // the next dial reads the files again: one of them may have been renewed
                self.memory.lock().await.tls = None;
                Err(failed(tls::reason(&e).unwrap_or(Reason::TlsOther), e.to_string()))
            }
            Err(_) => Err(failed(Reason::TlsTimeout, "the handshake did not end within 10 s".to_owned())),
        }
    }

    /// The path's one configuration, so that sessions are resumed across dials.
    async fn config(&self, settings: &TlsSettings) -> Result<Arc<ClientConfig>, Failure> {
        let mut memory = self.memory.lock().await;
        if let Some(config) = &memory.tls {
            return Ok(Arc::clone(config));
        }
        let fresh = tls::client_config(settings, self.at_least_ms);
        let config = fresh.map_err(|e| Failure { reason: e.reason(), detail: e.to_string() })?;
        memory.tls = Some(Arc::clone(&config));
        Ok(config)
    }
}

/// The one that came further; of two that came as far the later.
fn further(known: Failure, new: Failure) -> Failure {
    if stage(&new.reason) >= stage(&known.reason) { new } else { known }
}

/// How far a failure came.
fn stage(reason: &Reason) -> u8 {
    match reason {
        Reason::Dns => 0,
        Reason::TcpRefused | Reason::TcpTimeout | Reason::TcpUnreachable | Reason::Local => 1,
        _ => 2,
    }
}

fn name_failure(broker: &str, why: &str) -> Failure {
    Failure { reason: Reason::Dns, detail: format!("cannot find the address of {broker}: {why}") }
}

fn tcp_failure(broker: &str, address: SocketAddr, device: Option<&str>, error: &io::Error) -> Failure {
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Reason::TcpRefused,
        io::ErrorKind::TimedOut => Reason::TcpTimeout,
        io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => Reason::TcpUnreachable,
        _ if error.raw_os_error() == Some(ENODEV) => Reason::TcpUnreachable,
        _ => Reason::Local,
    };
    let through = device.map_or(String::new(), |device| format!(" through {device}"));
    Failure { reason, detail: format!("cannot connect to {broker} at {address}{through}: {error}") }
}
