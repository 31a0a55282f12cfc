//! Where the centre is and how it is reached, as the configuration says it. Plain data; it opens and checks nothing.

use std::path::PathBuf;
use vakt_core::device::GatewayId;

/// Everything upstream needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who we are: part of every topic and of the MQTT client ids.
    pub gateway: GatewayId,
    /// A directory of ours (0700 or 0750) for the private sockets between rumqttc and the dialer.
    pub run_dir: PathBuf,
    /// Where the addresses that worked are kept.
    pub state_dir: PathBuf,
    /// The ways to the centre, first the one that is preferred.
    pub paths: Vec<PathSettings>,
    /// Seconds from an alarm's happening until a missing receipt is a `not_delivered_in_time`.
    pub alarm_deadline_s: u32,
    /// Seconds between two beats on the primary path (requirements, "transmission": 20).
    pub beat_primary_s: u32,
    /// Seconds between two beats on the alternative path while the primary is good (requirements, "transmission": 180).
    pub beat_alternative_s: u32,
}

/// One way to the centre.
#[derive(Debug, Clone)]
pub struct PathSettings {
    /// `eth` or `lte`: part of topics, client ids and verdicts.
    pub name: String,
    /// `host:port`, tried in this order; an IPv6 address in brackets.
    pub brokers: Vec<String>,
    /// The interface every socket is bound to, e.g. `eth0`; `None` follows the routes.
    pub device: Option<String>,
    /// `None` speaks in the clear: for a broker on this board or in tests.
    pub tls: Option<TlsSettings>,
}

/// The files of a mutually authenticated connection, all PEM.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The only roots trusted.
    pub ca: PathBuf,
    /// Our certificate, its CN the gateway id, with its chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The name the broker's certificate must carry where it is not the host dialled.
    pub name: Option<String>,
}
