//! A live site on this machine: a real mosquitto with TLS and client certificates, a stick on a pseudo-terminal, an
//! unmodified `vaktd`, and the reference centre. Tests, the demo and the bench all start here.
//!
//! Everything is on loopback, or in network namespaces of its own, and in one folder; keys and certificates are made for
//! the run, and every child dies with the lab. It never touches the machine's own broker or configuration.

pub mod broker;
pub mod bus;
pub mod certs;
pub mod daemon;
pub mod flow;
pub mod machine;
pub mod names;
pub mod near;
pub mod net;
pub mod proxy;
pub mod site;
pub mod stick;
pub mod watch;

use crate::arc::Arc;
use crate::arc::ArcError;
use crate::arc::ArcHandle;
use crate::arc::ArcSettings;
use crate::arc::jws::SEED_BYTES;
use crate::arc::jws::Signer;
use crate::arc::jws::key_file_text;
use crate::arc::misbehave::Misbehaviour;
use crate::twins::ncp::Settings as NcpSettings;
use crate::twins::ncp::pty::Twin;
use broker::Broker;
use broker::BrokerOptions;
use certs::Certs;
use daemon::Centre;
use daemon::CentreKey;
use daemon::Clock;
use daemon::Config;
use daemon::Daemon;
use daemon::Journal;
use daemon::Site;
use daemon::Subghz;
use daemon::SubghzPort;
use daemon::Tls;
use daemon::Upstream;
use daemon::UpstreamPath;
use daemon::Zigbee;
use names::NameServer;
use net::Net;
use proxy::Proxy;
use ring::rand::SecureRandom;
use ring::rand::SystemRandom;
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use stick::Stick;
use tempfile::TempDir;
use thiserror::Error;
use tokio::process::Command;

/// How long a child may take to become ready before the lab gives up on it.
pub const READY_WITHIN: Duration = Duration::from_secs(15);

/// The name in the broker's certificate, which the hub must check although it dials an address.
pub const BROKER_NAME: &str = "broker.lab";

/// The name the hub lists the centre's key under.
pub const KID: &str = "arc-1";

/// Why the lab cannot go on.
#[derive(Debug, Error)]
pub enum LabError {
    /// A program the lab needs is not installed.
    #[error("starting {tool}: it is not installed; right would be: {install}")]
    #[allow(missing_docs)]
    Tool { tool: String, install: String },
    /// The system said no.
    #[error("{doing} {on}: {source}")]
    #[allow(missing_docs)]
    Io { doing: &'static str, on: String, source: io::Error },
    /// A child ended when it should not have.
    #[error("{what} ended with {status}; the end of its log:\n{log}")]
    #[allow(missing_docs)]
    Ended { what: String, status: String, log: String },
    /// Something did not come in time.
    #[error("waited {within:?} for {what}; the end of its log:\n{log}")]
    #[allow(missing_docs)]
    Late { what: String, within: Duration, log: String },
    /// A certificate could not be made.
    #[error("making a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The centre did not start.
    #[error(transparent)]
    Arc(#[from] ArcError),
    /// A thing that is not there was asked for.
    #[error("{0}")]
    Misuse(String),
}

impl LabError {
    /// An input or output error with its story.
    pub fn io(doing: &'static str, on: impl ToString) -> impl FnOnce(io::Error) -> Self {
        let on = on.to_string();
        move |source| Self::Io { doing, on, source }
    }
}

/// How a lab is set up.
#[derive(Debug, Clone)]
pub struct LabSettings {
    /// The hub's name.
    pub gateway: String,
    /// A folder to live in and leave behind; a temporary one if none.
    pub folder: Option<PathBuf>,
    /// The hub's paths to the broker, primary first; each goes through a proxy of its own.
    pub paths: Vec<String>,
    /// What the 868 MHz stick pretends to be: `rtl_wmbus`, `cul` or `im871a`.
    pub receiver: String,
    /// The Zigbee stick's EZSP version; none is plugged in without.
    pub zigbee: Option<u8>,
    /// How the broker is set up.
    pub broker: BrokerOptions,
    /// Seconds until an alarm without a receipt is overdue.
    pub alarm_deadline_s: u64,
    /// Seconds between beats of the primary path.
    pub beat_primary_s: u64,
    /// Seconds between beats of the other while the primary is good.
    pub beat_alternative_s: u64,
    /// Whether the second path leads to a broker of its own, the centre's second endpoint.
    pub two_brokers: bool,
    /// Whether real networks lie between the hub and the broker, instead of proxies: needs root.
    pub networks: bool,
    /// Whether the hub knows the broker by name only, and each router of the real networks is a name server.
    pub names: bool,
}

impl Default for LabSettings {
    fn default() -> Self {
        Self {
            gateway: "lab-hub".to_owned(),
            folder: None,
            paths: vec!["eth".to_owned()],
            receiver: "rtl_wmbus".to_owned(),
            zigbee: None,
            broker: BrokerOptions::default(),
            alarm_deadline_s: 30,
            beat_primary_s: 20,
            beat_alternative_s: 180,
            two_brokers: false,
            networks: false,
            names: false,
        }
    }
}

/// The site. Fields are in the order in which they must fall: the daemon before what it talks to.
pub struct Lab {
    /// The hub's process.
    pub daemon: Daemon,
    /// The receiving centre, while there is one.
    pub arc: Option<ArcHandle>,
    /// The 868 MHz stick.
    pub stick: Stick,
    /// The Zigbee stick and the detectors around it, if one is plugged in.
    pub mesh: Option<Twin>,
    /// The broker's process.
    pub broker: Broker,
    /// The second path's own, if it has one.
    pub other_broker: Option<Broker>,
    /// The network between the hub and the broker, by path; none beside real networks.
    pub proxies: BTreeMap<String, Proxy>,
    /// Real networks, if it was asked for them.
    pub net: Option<Net>,
    /// The name servers, by path, if it was asked for them.
    pub names: BTreeMap<String, NameServer>,
    /// Keys and certificates of this run.
    pub certs: Certs,
    settings: LabSettings,
    folder: PathBuf,
    _temporary: Option<TempDir>,
}

impl Lab {
    /// Starts the broker, the network and the stick, and writes the hub's configuration. The hub and the centre are
    /// not started: `lab.daemon.start()`, `lab.start_arc(…)`.
    ///
    /// # Errors
    /// A tool is missing, or something does not start.
    pub async fn start(settings: LabSettings) -> Result<Self, LabError> {
        let (folder, temporary) = folder(&settings)?;
        let certs = Certs::make(&folder.join("certs"), BROKER_NAME, &[&settings.gateway])?;
        let net = settings.networks.then(Net::make).transpose()?;
        let broker = Broker::start(&folder.join("broker"), &certs, settings.broker.clone(), net.as_ref()).await?;
        let mut other_broker = None;
        if settings.two_brokers {
            let beside = folder.join("broker-2");
            let other = Broker::start_other(&beside, &certs, settings.broker.clone(), net.as_ref());
            other_broker = Some(other.await?);
        }
        // The first path leads to the first broker, the second to the other where there is one.
        let leads_to = |at: usize| other_broker.as_ref().filter(|_| at > 0).unwrap_or(&broker).tls_address();
        let mut proxies = BTreeMap::new();
        for (at, path) in settings.paths.iter().enumerate().filter(|_| net.is_none()) {
            let proxy = Proxy::start(leads_to(at)).await;
            proxies.insert(path.clone(), proxy.map_err(LabError::io("opening a proxy for path", path))?);
        }
        let stick = Stick::plug(&folder.join("stick-868"))?;
        let coordinator = folder.join("stick-zigbee");
        let state = folder.join("stick-zigbee.json");
        let plug = |version| Twin::plug(NcpSettings::new(version), &coordinator, Some(&state));
        let mesh = settings.zigbee.map(plug).transpose()?;
        let public_key = centre_key(&folder)?;
        let mut config = config(&settings, &folder, &certs, &proxies, &stick, &public_key);
        config.zigbee = mesh.as_ref().map(|mesh| Zigbee { path: mesh.path().to_owned() });
        let mut names = BTreeMap::new();
        if let Some(net) = &net {
            if settings.names {
                net.name_servers()?;
            }
            for (at, path) in config.upstream.path.iter_mut().enumerate() {
                let broker = leads_to(at);
                path.brokers = vec![broker.to_string()];
                if settings.names {
                    names.insert(path.name.clone(), NameServer::start(&folder, net, &path.name, broker.ip())?);
                    path.brokers = vec![format!("{BROKER_NAME}:{}", broker.port())];
                }
                path.device = Some(net.device(&path.name)?.to_owned());
            }
        }
        let daemon = Daemon::new(&folder, &config, net.as_ref().map(Net::at_the_hub).unwrap_or_default())?;
        let _temporary = temporary;
        Ok(Self {
            daemon,
            arc: None,
            stick,
            mesh,
            broker,
            other_broker,
            proxies,
            net,
            names,
            certs,
            settings,
            folder,
            _temporary,
        })
    }

    /// The folder everything is in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file the centre's ledger is in.
    pub fn ledger(&self) -> PathBuf {
        self.folder.join("arc-ledger.jsonl")
    }

    /// The file the centre's key is in.
    pub fn centre_key(&self) -> PathBuf {
        self.folder.join("arc-key.pem")
    }

    /// The real networks.
    ///
    /// # Errors
    /// The lab has none.
    pub fn net(&self) -> Result<&Net, LabError> {
        self.net.as_ref().ok_or_else(|| LabError::Misuse("the lab has no networks of its own".to_owned()))
    }

    /// The network of a path.
    ///
    /// # Errors
    /// The lab has no such path.
    pub fn proxy(&self, path: &str) -> Result<&Proxy, LabError> {
        self.proxies.get(path).ok_or_else(|| LabError::Misuse(format!("the lab has no path {path}")))
    }

    /// Starts a centre on the ledger of the one before, if there was one, and waits until it listens.
    ///
    /// # Errors
    /// Its key or ledger cannot be used, or the broker does not take it.
    pub async fn start_arc(&mut self, misbehaviour: Misbehaviour) -> Result<&ArcHandle, LabError> {
        self.stop_arc().await;
        let plain = [Some(&self.broker), self.other_broker.as_ref()].into_iter().flatten().map(Broker::plain_address);
        let beats_s = [self.settings.beat_primary_s, self.settings.beat_alternative_s];
        let beats = self.settings.paths.iter().enumerate();
        let arc = Arc::start(ArcSettings {
            brokers: plain.map(|plain| (plain.ip().to_string(), plain.port())).collect(),
            gateway: self.settings.gateway.clone(),
            client_id: "arc".to_owned(),
            key: self.centre_key(),
            kid: KID.to_owned(),
            ledger: self.ledger(),
            misbehaviour,
            beats_ms: beats.map(|(at, path)| (path.clone(), beats_s[at.min(1)] * 1000)).collect(),
        })?;
        let late = |log: String| LabError::Late { what: "the centre".to_owned(), within: READY_WITHIN, log };
        arc.wait_all_up(READY_WITHIN).await.map_err(|error| late(error.to_string()))?;
        Ok(self.arc.insert(arc))
    }

    /// Ends the centre; its ledger stays.
    pub async fn stop_arc(&mut self) {
        if let Some(arc) = self.arc.take() {
            arc.stop().await;
        }
    }
}

/// A loopback port nobody listens on now. Someone may take it before it is used; who binds it tries another then.
///
/// # Errors
/// There is none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A program, started by another if there is one (into a network namespace).
fn command(starter: &[String], program: &Path) -> Command {
    match starter.split_first() {
        None => Command::new(program),
        Some((first, others)) => {
            let mut command = Command::new(first);
            command.args(others).arg(program);
            command
        }
    }
}

/// The end of a log file, for errors.
pub fn tail(log: &Path) -> String {
    const TAIL_LINES: usize = 25;
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

fn folder(settings: &LabSettings) -> Result<(PathBuf, Option<TempDir>), LabError> {
    let Some(folder) = &settings.folder else {
        let temporary = tempfile::Builder::new().prefix("vakt-lab-").tempdir();
        let temporary = temporary.map_err(LabError::io("making", "a temporary folder"))?;
        return Ok((temporary.path().to_owned(), Some(temporary)));
    };
    std::fs::create_dir_all(folder).map_err(LabError::io("making", folder.display()))?;
    let folder = folder.canonicalize().map_err(LabError::io("finding", folder.display()))?;
    Ok((folder, None))
}

/// Makes the centre's key unless the folder has one from before, and returns its public half.
fn centre_key(folder: &Path) -> Result<String, LabError> {
    let path = folder.join("arc-key.pem");
    if !path.exists() {
        let mut seed = [0u8; SEED_BYTES];
        let no_bytes = |_| LabError::Misuse("the system gave no random bytes".to_owned());
        SystemRandom::new().fill(&mut seed).map_err(no_bytes)?;
        std::fs::write(&path, key_file_text(&seed)).map_err(LabError::io("writing", path.display()))?;
    }
    let bytes = std::fs::read(&path).map_err(LabError::io("reading", path.display()))?;
    let signer = Signer::from_file_bytes(KID, &bytes).map_err(|why| ArcError::Key { path, why })?;
    Ok(signer.public_key_text())
}

fn config(
    settings: &LabSettings,
    folder: &Path,
    certs: &Certs,
    proxies: &BTreeMap<String, Proxy>,
    stick: &Stick,
    public_key: &str,
) -> Config {
    let client = certs.client(&settings.gateway);
    let tls = Tls { ca: certs.ca(), cert: client.cert, key: client.key, name: BROKER_NAME.to_owned() };
    let path = |name: &String| UpstreamPath {
        name: name.clone(),
        brokers: proxies.get(name).map(|proxy| proxy.address().to_string()).into_iter().collect(),
        device: None,
        tls: Some(tls.clone()),
        insecure_plain: None,
    };
    Config {
        gateway: settings.gateway.clone(),
        state_dir: folder.join("state"),
        run_dir: folder.join("run"),
        site: Site { timezone: "Europe/Stockholm".to_owned(), profile: "se".to_owned() },
        centre: Centre {
            key: vec![CentreKey { kid: KID.to_owned(), role: "arc".to_owned(), ed25519: public_key.to_owned() }],
        },
        upstream: Upstream {
            alarm_deadline_s: settings.alarm_deadline_s,
            beat_primary_s: settings.beat_primary_s,
            beat_alternative_s: settings.beat_alternative_s,
            path: settings.paths.iter().map(path).collect(),
        },
        subghz: Subghz {
            port: vec![SubghzPort {
                name: "868".to_owned(),
                path: stick.path().to_owned(),
                receiver: settings.receiver.clone(),
                baud: None,
            }],
        },
        modem: None,
        zigbee: None,
        clock: Some(Clock { trust: toml::Value::String("always".to_owned()) }),
        journal: Some(Journal { commit_limit_ms: None, keep_days: None }),
    }
}
