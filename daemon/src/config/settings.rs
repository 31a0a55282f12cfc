//! What the configuration says, as plain data: install facts only (ports, brokers, the first keys).
//!
//! A value of these types has passed every check of `load`. Nothing here is a secret, and nothing here changes while
//! the daemon runs: areas, users and delays are events.

use crate::config::shapes::host_name;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use core::net::{IpAddr, Ipv6Addr};
use serde::{Deserialize, Deserializer};
use std::path::PathBuf;
use std::str::FromStr;
use vakt_core::device::GatewayId;
use vakt_core::port::ListedKey;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This hub's name.
    pub gateway: GatewayId,
    /// Where the journal stands.
    pub state_dir: PathBuf,
    /// Where the control socket stands.
    pub run_dir: PathBuf,
    /// Where the hub is.
    pub site: Site,
    /// When the wall clock is believed.
    pub clock: Clock,
    /// Limits of the journal.
    pub journal: Journal,
    /// The centre's first keys.
    pub centre: Centre,
    /// How events reach it.
    pub upstream: Upstream,
    /// The modem of the path `lte`.
    pub modem: Modem,
    /// The hub's own pins and supply.
    pub board: Board,
    /// 868 MHz.
    pub subghz: SubGhz,
    /// A Zigbee coordinator, if there is one.
    pub zigbee: Option<Zigbee>,
}

/// Where the hub is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// A name of the IANA time zone database; only its shape was checked.
    pub timezone: String,
    /// The country's policy.
    pub profile: vakt_core::event::Profile,
}

/// When the wall clock is believed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// The rule.
    pub trust: ClockTrust,
}

/// When the wall clock is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockTrust {
    /// Once systemd-timesyncd has set it.
    Timesync,
    /// From the start: the board has a clock chip.
    Always,
    /// Never.
    Never,
}

/// Limits of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// A commit slower than this, in milliseconds, means a stalled disk.
    pub commit_limit_ms: u64,
    /// Days an event is kept at least.
    pub keep_days: u64,
}

/// The alarm receiving centre.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Centre {
    /// The keys believed from the first start on.
    #[serde(rename = "key")]
    pub keys: Vec<Key>,
}

impl Centre {
    /// The keys receipts are taken from.
    pub fn receipt_keys(&self) -> Vec<ListedKey> {
        let arc = self.keys.iter().filter(|key| key.role == KeyRole::Arc);
        arc.map(|key| ListedKey { kid: key.kid.clone(), role: "arc".to_owned(), ed25519: key.ed25519 }).collect()
    }
}

/// One believed key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its name in signatures.
    pub kid: String,
    /// Whose it is.
    pub role: KeyRole,
    /// The public key.
    #[serde(deserialize_with = "base64url_32")]
    pub ed25519: [u8; 32],
}

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyRole {
    /// The centre's: it signs receipts.
    Arc,
    /// The maker's: it may add keys.
    Maker,
}

/// How events reach the centre.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Seconds after which an alarm without a receipt is overdue.
    pub alarm_deadline_s: u64,
    /// Seconds between heartbeats on the first path, and on the other when it takes over.
    pub beat_primary_s: u64,
    /// Seconds between heartbeats on the other while the first is good.
    pub beat_alternative_s: u64,
    /// The ways to the centre, the primary first.
    #[serde(rename = "path")]
    pub paths: Vec<UpstreamPath>,
}

/// One way to the centre.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamPath {
    /// `eth` or `lte`.
    pub name: String,
    /// Tried in order, 1 to 4.
    pub brokers: Vec<Broker>,
    /// The network interface sockets are bound to.
    pub device: Option<String>,
    /// Without TLS, to loopback only; true exactly when `tls` is not there.
    pub insecure_plain: bool,
    /// TLS of this path.
    pub tls: Option<Tls>,
}

/// Files TLS needs, and the name it checks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificates the broker's own is checked against.
    pub ca: PathBuf,
    /// The hub's client certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The name the broker's certificate must carry, if not the broker's host.
    pub name: Option<String>,
}

/// Where a broker listens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Broker {
    /// A name or an address, IPv6 without its brackets.
    pub host: String,
    /// The TCP port, never 0.
    pub port: u16,
}

impl Broker {
    /// Whether it is on this machine by name or number. A name other than `localhost` is not, whatever DNS says.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl std::fmt::Display for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Broker {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a broker is host:port, IPv6 in brackets".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let digits = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port != 0).ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) if host.parse::<Ipv6Addr>().is_ok() => host,
            None if host_name(host) => host,
            _ => return Err(wrong()),
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl TryFrom<String> for Broker {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The modem of the path `lte`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modem {
    /// Where the SIM card's PIN stands.
    pub pin_file: Option<PathBuf>,
    /// Millions of bytes agreed for a month.
    pub monthly_mb: Option<u64>,
    /// The line that gives it its power, as `GPIO17` or `gpiochip0:17`.
    pub power_gpio: Option<String>,
    /// Seconds of its path being down before it is helped.
    pub recover_after_s: u64,
    /// Seconds from one step to the next.
    pub recover_pause_s: u64,
}

/// The hub's own pins and supply.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// The mains, below /sys/class/power_supply.
    pub mains: Option<String>,
    /// The battery, likewise.
    pub battery: Option<String>,
    /// What is wired to the hub.
    #[serde(rename = "input")]
    pub inputs: Vec<BoardInput>,
    /// What the hub drives.
    #[serde(rename = "output")]
    pub outputs: Vec<BoardOutput>,
}

impl Board {
    /// Every line it takes, with what it is for.
    pub fn lines(&self) -> impl Iterator<Item = (String, &str)> {
        let inputs = self.inputs.iter().map(|input| (format!("board.input {}", input.name), input.line.as_str()));
        let outputs = self.outputs.iter().map(|output| (format!("board.output {}", output.name), output.line.as_str()));
        inputs.chain(outputs)
    }
}

/// An input of the board.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardInput {
    /// Its name.
    pub name: String,
    /// Its line.
    pub line: String,
    /// What it tells.
    pub watches: Watches,
    /// The level that tells it.
    pub active: Level,
    /// Its resistor.
    pub pull: Pull,
}

/// An output of the board.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardOutput {
    /// Its name.
    pub name: String,
    /// Its line.
    pub line: String,
    /// What it switches.
    pub drives: Drives,
    /// The level that switches it on.
    pub active: Level,
}

/// What an input tells while it is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // `fields` says what each is
pub enum Watches {
    Lid,
    MainsLost,
    BatteryLow,
    PowerFail,
    #[serde(untagged)]
    Detector(vakt_core::device::DeviceKind),
}

/// What an output switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // `fields` says what each is
pub enum Drives {
    Siren,
    Sounder,
    Lamp,
}

/// A line's level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Level {
    High,
    Low,
}

/// A line's resistor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Pull {
    Up,
    Down,
    None,
}

/// 868 MHz.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubGhz {
    /// Receivers on serial ports.
    #[serde(rename = "port")]
    pub ports: Vec<SerialPort>,
    /// Radio chips on SPI.
    #[serde(rename = "chip")]
    pub chips: Vec<RadioChip>,
    /// rtl_433, by best effort.
    pub rtl_433: Vec<Rtl433>,
}

/// rtl_433 on a stick.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rtl433 {
    /// Its name.
    pub name: String,
    /// Which stick, or whose samples.
    pub device: String,
    /// The middle of what it hears, in Hz.
    pub frequency_hz: u32,
    /// Samples per second.
    pub sample_rate_hz: Option<u32>,
    /// From where on a signal is one, in dB of full scale.
    pub level_db: Option<i8>,
}

/// A CC1101 on SPI.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RadioChip {
    /// Its name in events.
    pub name: String,
    /// The SPI device.
    pub spi: PathBuf,
    /// The line that GDO0 is wired to.
    pub gdo0: String,
    /// The line that GDO2 is wired to.
    pub gdo2: String,
    /// What it receives.
    pub mode: RadioMode,
}

/// What a radio chip receives; one hears one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RadioMode {
    /// T1 and C1, 868.95 MHz.
    T,
    /// S1, 868.30 MHz.
    S,
}

/// A Zigbee coordinator stick.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zigbee {
    /// The device file.
    pub path: PathBuf,
    /// Bits per second.
    pub baud: u32,
    /// Who holds whom back.
    pub flow_control: FlowControl,
}

/// How the two ends of a serial line hold each other back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowControl {
    /// Not at all.
    None,
    /// By RTS and CTS.
    Hardware,
    /// By XON and XOFF.
    Software,
}

/// A receiver on a serial port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SerialPort {
    /// Its name in events.
    pub name: String,
    /// The device file.
    pub path: PathBuf,
    /// What speaks there.
    pub receiver: Receiver,
    /// Bits per second, where the receiver's own rate is not meant.
    baud: Option<u32>,
}

impl SerialPort {
    /// Bits per second: as configured, or the receiver's own rate.
    pub fn baud(&self) -> u32 {
        self.baud.unwrap_or(self.receiver.baud())
    }
}

/// What speaks on a serial port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Receiver {
    /// rtl_wmbus's text lines.
    #[serde(rename = "rtl_wmbus")]
    RtlWmbus,
    /// A CUL with culfw.
    #[serde(rename = "cul")]
    Cul,
    /// IMST's iM871A.
    #[serde(rename = "im871a")]
    Im871a,
    /// AMBER's (Würth's) AMB8465.
    #[serde(rename = "amb8465")]
    Amber8465,
    /// An EnOcean transceiver that speaks ESP3: USB 300, TCM 310, TCM 515, EnOcean Pi.
    #[serde(rename = "enocean")]
    Enocean,
}

impl Receiver {
    /// The rate a receiver comes with, in bits per second: culfw on a nanoCUL 38400, iM871A and ESP3 57600, AMB8465
    /// 9600 (as wmbusmeters opens them); rtl_wmbus has no line of its own, so the usual rate of a USB serial bridge.
    fn baud(self) -> u32 {
        match self {
            Receiver::RtlWmbus => 115_200,
            Receiver::Cul => 38_400,
            Receiver::Im871a | Receiver::Enocean => 57_600,
            Receiver::Amber8465 => 9_600,
        }
    }
}

fn base64url_32<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(from)?;
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(serde::de::Error::custom)?;
    bytes.try_into().map_err(|_| serde::de::Error::custom("a key has 32 bytes"))
}
