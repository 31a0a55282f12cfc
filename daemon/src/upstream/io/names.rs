//! Name look-ups through one interface, and the addresses that worked, kept for the day no name server answers.
//!
//! The system's resolver follows the default route: with a dead Ethernet it finds nothing although LTE is well. So for a
//! path that is bound to an interface every known name server is asked through that interface; the system is asked
//! beside, because it may know what they do not (mDNS, /etc/hosts, a server on this board).

use crate::upstream::names::Search;
use crate::upstream::names::servers;
use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;
use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::net::lookup_host;
use tokio::time::Instant;
use tokio::time::sleep_until;
use tokio::time::timeout_at;

/// Where the board's name servers stand: those behind systemd-resolved's and NetworkManager's stubs, and the plain list.
pub const LISTS: [&str; 3] =
    ["/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf", "/etc/resolv.conf"];
/// After this a question without an answer is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the other kind of address is waited for once one is known.
const OTHER_KIND: Duration = Duration::from_millis(300);
/// Longest answer over UDP without EDNS (RFC 1035, 4.2.1), with room for servers that send more.
const ANSWER_BYTES: usize = 4096;

/// The addresses of a name, looked for through this interface, for so long at most. Where an interface is named its own
/// word counts, and the system's only when there is none: what answers on the default route may be a captive portal, whose
/// lies would keep the other path from its broker.
///
/// # Errors
/// Why nobody knows it, in a sentence.
pub async fn look_up(
    name: &str,
    port: u16,
    device: Option<&str>,
    random: u32,
    patience: Duration,
) -> Result<Vec<SocketAddr>, String> {
    let until = Instant::now() + patience;
    let late = || format!("no answer within {} s", patience.as_secs());
    let system = async {
        let found = lookup_host((name, port)).await.map_err(|e| format!("the system's resolver says: {e}"))?;
        Ok::<_, String>(found.map(|address| address.ip()).collect::<Vec<_>>())
    };
    let Some(device) = device else {
        let found = timeout_at(until, system).await.unwrap_or_else(|_| Err(late()))?;
        return Ok(on_port(found, port));
    };
    let bound = timeout_at(until, through(name, device, random));
    tokio::pin!(system, bound);
    let mut meanwhile = None;
    let found = loop {
        tokio::select! {
            found = &mut bound => break found.unwrap_or_else(|_| Err(late())),
            found = &mut system, if meanwhile.is_none() => meanwhile = Some(found),
        }
    };
    let found = match found {
        Ok(found) => found,
        Err(bound) => {
            let system = match meanwhile {
                Some(system) => system,
                None => timeout_at(until, system).await.unwrap_or_else(|_| Err(late())),
            };
            system.map_err(|system| format!("{bound}; {system}"))?
        }
    };
    Ok(on_port(found, port))
}

fn on_port(found: Vec<IpAddr>, port: u16) -> Vec<SocketAddr> {
    found.into_iter().map(|address| SocketAddr::new(address, port)).collect()
}

async fn through(name: &str, device: &str, random: u32) -> Result<Vec<IpAddr>, String> {
    let mut lists = Vec::new();
    for list in LISTS {
        // that one is not there is usual
        lists.extend(tokio::fs::read_to_string(list).await.ok());
    }
    let servers = servers(lists.iter().map(String::as_str));
    if servers.is_empty() {
        return Err(format!("no name server is known that could be asked through {device}"));
    }
    let mut search = Search::begin(name, &servers, random)?;
    let (v4, v6) = (socket(Domain::IPV4, device), socket(Domain::IPV6, device));
    let (v4, v6) = match (v4, v6) {
        (Err(e), Err(_)) => return Err(format!("cannot ask through {device}: {e}")),
        (v4, v6) => (v4.ok(), v6.ok()),
    };
    let (mut buffer4, mut buffer6) = (vec![0; ANSWER_BYTES], vec![0; ANSWER_BYTES]);
    let mut enough: Option<Instant> = None;
    let mut again = Instant::now();
    while !search.is_over() && enough.is_none_or(|enough| Instant::now() < enough) {
        if again <= Instant::now() {
            ask(&mut search, v4.as_ref(), v6.as_ref()).await;
            again = Instant::now() + AGAIN;
            continue;
        }
        tokio::select! {
            (from, length) = heard(v4.as_ref(), &mut buffer4) => search.told(from, &buffer4[..length]),
            (from, length) = heard(v6.as_ref(), &mut buffer6) => search.told(from, &buffer6[..length]),
            () = sleep_until(enough.unwrap_or(again).min(again)) => {}
        }
        if enough.is_none() && !search.found().is_empty() {
            enough = Some(Instant::now() + OTHER_KIND);
        }
    }
    match search.found() {
        [] => Err(format!("no name server reached through {device} knows it")),
        found => Ok(found.to_vec()),
    }
}

fn socket(domain: Domain, device: &str) -> io::Result<UdpSocket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind_device(Some(device.as_bytes()))?;
    UdpSocket::from_std(socket.into())
}

async fn ask(search: &mut Search, v4: Option<&UdpSocket>, v6: Option<&UdpSocket>) {
    for (server, question) in search.questions() {
        let sent = match if server.is_ipv4() { v4 } else { v6 } {
            Some(socket) => socket.send_to(&question, server).await.is_ok(),
            None => false,
        };
        if !sent {
            search.unreachable(server);
        }
    }
}

/// The next datagram; the kernel's complaints about earlier ones (a closed port) are passed over.
async fn heard(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> (SocketAddr, usize) {
    let Some(socket) = socket else { return pending().await };
    loop {
        if let Ok((length, from)) = socket.recv_from(buffer).await {
            return (from, length);
        }
    }
}

/// The address that last worked, per broker, kept in a file: after a power cut with every name server dead the hub still
/// finds its centre. What stands there is as good as a name server's word: the certificate decides.
#[derive(Debug)]
pub struct Remembered {
    file: PathBuf,
    good: BTreeMap<String, SocketAddr>,
}

impl Remembered {
    /// What the file holds. One that is not there or not readable holds nothing.
    pub fn read(file: PathBuf) -> Self {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let line = |line: &str| {
            let (broker, address) = line.split_once(' ')?;
            Some((broker.to_owned(), address.parse().ok()?))
        };
        Self { file, good: text.lines().filter_map(line).collect() }
    }

    /// The address that last worked.
    pub fn of(&self, broker: &str) -> Option<SocketAddr> {
        self.good.get(broker).copied()
    }

    /// This one has worked: what is to be written, if that is news. A broker that is named by its address needs no
    /// remembering.
    pub fn keep(&mut self, broker: &str, address: SocketAddr) -> Option<Written> {
        if broker.parse::<SocketAddr>().is_ok() || self.good.insert(broker.to_owned(), address) == Some(address) {
            return None;
        }
        let text = self.good.iter().map(|(broker, address)| format!("{broker} {address}\n")).collect();
        Some(Written { file: self.file.clone(), text })
    }
}

/// The file as it is to be.
#[derive(Debug)]
pub struct Written {
    file: PathBuf,
    text: String,
}

impl Written {
    /// Writes it. A file that cannot be written costs a look-up after the next start.
    pub async fn write(self) {
        let making = self.file.with_extension("making");
        let kept = async {
            tokio::fs::write(&making, self.text).await?;
            tokio::fs::rename(&making, &self.file).await
        };
        if let Err(error) = kept.await {
            tracing::debug!(%error, file = %self.file.display(), "an address that works is not kept for the next start");
        }
    }
}
