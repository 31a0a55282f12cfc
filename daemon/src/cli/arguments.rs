//! The words of the command line: what may be asked, with a sentence of help each. It does nothing.

use crate::cli::habits::{Block, Lock, Rule, Schedule, silence, time};
use crate::subghz::wmbus_link::FrameKind;
use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;
use std::path::PathBuf;
use vakt_core::device::DeviceId;
use vakt_core::device::Eep;
use vakt_core::event::Class;
use vakt_core::stamp::parse_rfc3339;

/// The daemon of the Vakt alarm hub.
#[derive(Debug, Parser)]
#[command(name = "vaktd", version, about, arg_required_else_help = true)]
pub struct Cli {
    /// What is asked.
    #[command(subcommand)]
    pub command: Command,
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration; `vaktd.d/*.toml` beside it is read after it
    #[arg(long, default_value = "/etc/vakt/vaktd.toml")]
    pub config: PathBuf,
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Args)]
pub struct Socket {
    /// The daemon's control socket
    #[arg(long, default_value = "/run/vakt/control.sock", global = true)]
    pub socket: PathBuf,
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Guard: run the daemon
    Run(ConfigFile),
    /// Draw this hub's name and keys where it has none: at every start, before the daemon, as root
    FirstBoot(ConfigFile),
    /// Check the configuration: every fault at once, with its file and line
    Check(ConfigFile),
    /// Decode a radio frame to one JSON line
    #[command(subcommand)]
    Decode(Decode),
    /// Read the journal, beside a running daemon or without one
    #[command(subcommand)]
    Journal(JournalCommand),
    /// What devices have measured, beside a running daemon or without one: a value every five minutes at most, for three
    /// months at most
    Telemetry(Telemetry),
    /// Detectors: list, find, add, place, remove
    Device {
        #[command(flatten)]
        socket: Socket,
        #[command(subcommand)]
        command: Device,
    },
    /// People and their codes
    User {
        #[command(flatten)]
        socket: Socket,
        #[command(subcommand)]
        command: User,
    },
    /// Make yourself the owner of a hub that has none: asks for its claim code, then for a code of your own (or reads both
    /// from stdin, a line each)
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Claim {
        #[command(flatten)]
        socket: Socket,
        #[command(flatten)]
        owner: Owner,
        #[command(subcommand)]
        command: Option<Claim>,
    },
    /// What is armed together
    Area {
        #[command(flatten)]
        socket: Socket,
        #[command(subcommand)]
        command: Area,
    },
    /// Detectors' places
    Zone {
        #[command(flatten)]
        socket: Socket,
        #[command(subcommand)]
        command: Zone,
    },
    /// Arm an area; asks for a code (or reads it from stdin)
    Arm {
        #[command(flatten)]
        socket: Socket,
        /// The area; needed where there are several
        area: Option<String>,
        /// away, home or night
        #[arg(long, default_value = "away")]
        mode: String,
    },
    /// Disarm an area; asks for a code (or reads it from stdin)
    Disarm {
        #[command(flatten)]
        socket: Socket,
        /// The area; needed where there are several
        area: Option<String>,
    },
    /// Sirens: silence them with a code, or hear that they are there
    Siren {
        #[command(flatten)]
        socket: Socket,
        #[command(subcommand)]
        command: Siren,
    },
    /// Say that an alarm was a mistake: within three minutes it ends, later the centre is told; asks for a code
    Cancel {
        #[command(flatten)]
        socket: Socket,
        /// Which incident; the newest where none is named
        incident: Option<String>,
    },
    /// Test: what alarms is stamped so, and sounds all the same; asks for a code
    TestMode {
        #[command(flatten)]
        socket: Socket,
        /// For so many minutes, 60 at most; 0 ends it
        minutes: u32,
    },
    /// Call for help
    Sos {
        #[command(flatten)]
        socket: Socket,
        /// Where
        area: Option<String>,
    },
    /// The door's lock
    Lock {
        #[command(flatten)]
        socket: Socket,
        #[command(subcommand)]
        command: Lock,
    },
    /// Arm by the clock
    Schedule {
        #[command(flatten)]
        socket: Socket,
        #[command(subcommand)]
        command: Schedule,
    },
    /// Rules: what follows when a measurement goes beyond a limit
    Rule {
        #[command(flatten)]
        socket: Socket,
        #[command(subcommand)]
        command: Rule,
    },
    /// Make a person, or one phone, key, tag or code, good for nothing
    Block {
        #[command(flatten)]
        socket: Socket,
        #[command(subcommand)]
        command: Block,
    },
    /// Whether codes can be given under threat on this site: on or off
    Duress {
        #[command(flatten)]
        socket: Socket,
        /// on or off
        #[arg(value_parser = ["on", "off"])]
        set: String,
    },
    /// See what has happened since it was armed, and say so; asks for a code
    Acknowledge {
        #[command(flatten)]
        socket: Socket,
        /// The area; needed where there are several
        area: Option<String>,
    },
    /// Let a technician work here for so many minutes, 480 at most; 0 ends it; asks for the owner's code
    Visit {
        #[command(flatten)]
        socket: Socket,
        minutes: u32,
    },
    /// Say that the door's key was tried and works; asks for the owner's code
    KeyWorks {
        #[command(flatten)]
        socket: Socket,
    },
    /// How everything stands
    Status {
        #[command(flatten)]
        socket: Socket,
    },
    /// What is wrong with this board, and what to do: exit 0, or 1
    Doctor {
        #[command(flatten)]
        config: ConfigFile,
        /// As JSON lines
        #[arg(long)]
        json: bool,
    },
    /// For package managers: exit 0 when the daemon may be restarted now, else 1
    MayRestart {
        #[command(flatten)]
        socket: Socket,
    },
    /// The JSON Schema of a published form
    Schema { what: Schema },
    /// Build facts
    Version {
        /// As one JSON line
        #[arg(long)]
        json: bool,
    },
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Subcommand)]
pub enum Decode {
    /// Wireless M-Bus (OMS, EN 13757)
    Wmbus {
        /// In which form the frame is: nocrc, a, b, fifo, fifo-s1 or wired; never guessed
        #[arg(long, default_value = "nocrc")]
        frame: FrameKind,
        /// The device's AES key, 32 hex digits
        #[arg(long)]
        key: Option<String>,
        /// The frame; `-` reads `HEX` or `KEY HEX` lines from stdin
        #[arg(allow_hyphen_values = true)]
        hex: String,
    },
    /// EnOcean: one ESP3 packet, from its 55 to its last checksum
    Esp3 {
        /// The profile of the device that sent it, e.g. D5-00-01; never guessed, and without it nothing is reported
        #[arg(long)]
        eep: Option<Eep>,
        /// The device's AES key, 32 hex digits; opens telegrams that tell their rolling code
        #[arg(long)]
        key: Option<String>,
        /// The packet; `-` reads `HEX` or `KEY HEX` lines from stdin
        #[arg(allow_hyphen_values = true)]
        hex: String,
    },
    /// Zigbee sticks: one ASH frame, its flag (7E) last, or one EZSP frame
    Ezsp {
        /// The EZSP version that was agreed on: 14 and later have another layout
        #[arg(long, default_value_t = 13, value_parser = clap::value_parser!(u8).range(13..=19))]
        version: u8,
        /// The frame; `-` reads one `HEX` a line from stdin
        #[arg(allow_hyphen_values = true)]
        hex: String,
    },
    /// Zigbee Cluster Library: one ZCL frame, header first
    Zcl {
        /// The cluster it came on, e.g. 0x0500
        #[arg(long, value_parser = parse_code)]
        cluster: u16,
        /// What an IAS Zone device called itself when it joined, e.g. 0x0015; its status alone does not tell
        #[arg(long, value_parser = parse_code)]
        zone_type: Option<u16>,
        /// The frame; `-` reads one `HEX` a line from stdin
        #[arg(allow_hyphen_values = true)]
        hex: String,
    },
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Args)]
pub struct Records {
    /// The file itself; by default the one that the configuration names
    #[arg(long)]
    pub db: Option<PathBuf>,
    #[command(flatten)]
    pub config: ConfigFile,
    /// Only from this time on, e.g. 2026-11-20T00:00:00Z
    #[arg(long, value_parser = parse_rfc3339)]
    pub since: Option<i64>,
    /// jsonl or csv
    #[arg(long, default_value = "jsonl")]
    pub format: Format,
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Args)]
pub struct JournalArgs {
    #[command(flatten)]
    pub records: Records,
    /// Only of this class: alarm, fault, access, state, test or audit
    #[arg(long, value_parser = parse_class)]
    pub class: Option<Class>,
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Args)]
pub struct Telemetry {
    #[command(flatten)]
    pub records: Records,
    /// Only of this device
    #[arg(long)]
    pub device: Option<String>,
    /// Only of this measure, by the name that `vaktd device list` shows
    #[arg(long)]
    pub measure: Option<String>,
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Format {
    Jsonl,
    Csv,
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// What is in it
    List(JournalArgs),
    /// What is in it, and what comes
    Follow(JournalArgs),
    /// What is in it, to keep elsewhere
    Export(JournalArgs),
    /// Walk the chain: exit 0, or 1 naming the first row that does not hold
    Verify(JournalArgs),
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Subcommand)]
pub enum Device {
    /// One JSON line each
    List,
    /// List detectors nobody knows yet, as they are heard; let Zigbee detectors join, and EnOcean devices be taught
    Permit {
        /// For so long (180 at most; 0 ends it)
        #[arg(long, default_value_t = 120)]
        seconds: u32,
        /// Let this Zigbee device join by the install code printed on it, read from stdin: zb- and its 16 hex digits
        #[arg(long, value_name = "DEVICE", conflicts_with = "legacy")]
        install_code: Option<DeviceId>,
        /// Let any Zigbee device join, on a key that everybody knows: only for devices without an install code
        #[arg(long)]
        legacy: bool,
        /// Let EnOcean devices be taught: press their button, or close the cover they are taught by
        #[arg(long, conflicts_with_all = ["legacy", "install_code"])]
        teach: bool,
        /// To teach: the profile of a device that does not say it itself, as its manual names it, e.g. F6-02-01
        #[arg(long, requires = "teach")]
        eep: Option<Eep>,
        /// To teach: ask for the key on the label of a device that hides its own: 34 hex digits
        #[arg(long, requires = "teach")]
        with_label: bool,
    },
    /// Make a detector known
    Add {
        /// Its id, e.g. wm-las-00010204-03-1a
        device: String,
        #[command(flatten)]
        fitted: Fitted,
    },
    /// Put another detector in the place of one: zone and area stay
    Replace {
        /// The one that goes
        old: String,
        /// The one that comes, e.g. en-05115a8d
        device: String,
        #[command(flatten)]
        fitted: Fitted,
    },
    /// Change its battery: the cover may open for ten minutes; asks for a code
    Battery { device: String },
    /// A smoke cannon was serviced after it had fired
    Serviced { device: String },
    /// Give a detector its place
    Assign { device: String, zone: String },
    /// Take a detector off
    Remove { device: String },
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Args)]
pub struct Fitted {
    /// contact motion smoke heat co gas water glass_break vibration sos medical hold_up keypad siren lock climate meter camera fog
    #[arg(long)]
    pub kind: String,
    /// What people call it
    #[arg(long)]
    pub name: Option<String>,
    /// Ask for its key (or read it from stdin): 32 hex digits
    #[arg(long)]
    pub with_key: bool,
    /// It is set to pass over pets: it may miss or be late
    #[arg(long)]
    pub pet: bool,
    /// EnOcean: its profile, as its manual names it, e.g. D5-00-01
    #[arg(long)]
    pub eep: Option<Eep>,
    /// EnOcean, with a key: its security level format, as its data sheet has it, e.g. AB
    #[arg(long, requires = "with_key")]
    pub slf: Option<String>,
    /// After so much silence it is missing: 30m, 6h, 2d (5m to 31d), or never; without, as its kind has it
    #[arg(long, value_name = "TIME", value_parser = silence)]
    pub silence: Option<u32>,
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Subcommand)]
pub enum User {
    /// Add or change a person; an owner: as root
    Set {
        user: String,
        /// owner, member or guard
        #[arg(long, default_value = "member")]
        role: String,
        #[arg(long)]
        name: Option<String>,
        /// Ask for a code (or read it from stdin): 5 to 10 digits
        #[arg(long)]
        with_code: bool,
        /// Ask for another code, to be given under threat
        #[arg(long, conflicts_with = "with_code")]
        with_duress_code: bool,
        /// Good until then, e.g. 2026-12-01T12:00:00Z
        #[arg(long, value_parser = time)]
        until: Option<i64>,
    },
    /// Take a person off, and the code with them; an owner: as root
    Remove { user: String },
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Args)]
pub struct Owner {
    /// A short name for you, of a-z, 0-9 and -
    #[arg(long, required = true)]
    pub user: Option<String>,
    #[arg(long)]
    pub name: Option<String>,
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Subcommand)]
pub enum Claim {
    /// For root: draw a claim code and show it, this once; one that was drawn before is good for nothing any more
    New,
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Subcommand)]
pub enum Area {
    /// Add or change an area
    Set {
        area: String,
        #[arg(long)]
        name: Option<String>,
        /// Seconds to disarm after coming in (45 at most)
        #[arg(long, default_value_t = 30)]
        entry: u32,
        /// Seconds to leave after arming
        #[arg(long, default_value_t = 45)]
        exit: u32,
    },
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Subcommand)]
pub enum Zone {
    /// Add or change a zone
    Set {
        zone: String,
        #[arg(long)]
        area: String,
        /// entry_door entry_route interior perimeter always
        #[arg(long, default_value = "perimeter")]
        role: String,
        #[arg(long)]
        name: Option<String>,
        /// In which modes it guards, where that is not what its role says: away,night
        #[arg(long, value_delimiter = ',')]
        modes: Option<Vec<String>>,
        /// Chime when it opens and nothing guards
        #[arg(long)]
        chime: bool,
    },
    /// Let a zone stand aside until its area is disarmed the next time; asks for the owner's code
    Bypass { zone: String },
    /// Let it guard again; asks for the owner's code
    Restore { zone: String },
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Subcommand)]
pub enum Siren {
    /// Silence them; incidents stay open; asks for a code
    Stop {
        /// Only in this area
        area: Option<String>,
    },
    /// Sound once, briefly
    Chirp,
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Schema {
    Event,
    State,
    Device,
    Path,
    Beat,
    Echo,
    Receipt,
    Reply,
    Telemetry,
    Warrant,
    Config,
}

/// A code of the standard as it is always written, `0x` and hex digits: never guessed from bare digits.
fn parse_code(text: &str) -> Result<u16, String> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let code = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
    code.ok_or_else(|| format!("`{text}` is not 0x and up to four hex digits, e.g. 0x0500"))
}

fn parse_class(text: &str) -> Result<Class, String> {
    Class::from_name(text).ok_or_else(|| format!("`{text}` is not a class: alarm, fault, access, state, test or audit"))
}
