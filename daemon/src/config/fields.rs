//! The one table of what may stand in the configuration: every key with its shape, default and meaning.
//!
//! Reading, the check for unknown keys, the commented default file and the JSON Schema all follow this table, so none
//! of them can know a key that another does not. No key holds a secret: `tls.key` is the path of a file.

use crate::config::shapes::BROKER;
use crate::config::shapes::ED25519;
use crate::config::shapes::FILE;
use crate::config::shapes::GATEWAY;
use crate::config::shapes::GPIO;
use crate::config::shapes::INTERFACE;
use crate::config::shapes::KID;
use crate::config::shapes::NAME;
use crate::config::shapes::RUN_DIR;
use crate::config::shapes::SDR;
use crate::config::shapes::SERVER_NAME;
use crate::config::shapes::SUPPLY;
use crate::config::shapes::Shape;
use crate::config::shapes::TIMEZONE;

/// What kind of value a key takes.
pub enum Kind {
    /// One text.
    Text(&'static Shape),
    /// One to `max` texts.
    List(&'static Shape, usize),
    /// A whole number in a range, with its unit ("" where it has none).
    Int(i64, i64, &'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// true or false.
    Flag,
}

/// A value written in the table.
#[derive(Clone, Copy)]
pub enum Literal {
    /// A text.
    Text(&'static str),
    /// A list with this one text.
    List(&'static str),
    /// A whole number.
    Int(i64),
    /// true or false.
    Flag(bool),
}

/// What holds when the key is not there. The literals of `Required` and `Optional` are examples.
#[derive(Clone, Copy)]
pub enum Absent {
    /// Then the configuration is refused.
    Required(Literal),
    /// Then it is simply not there.
    Optional(Literal),
    /// Then this holds.
    Default(Literal),
}

/// One key of a section.
pub struct Field {
    /// Its name in its section.
    pub key: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds without it.
    pub absent: Absent,
    /// Whether no two entries of the section may have the same value.
    pub unique: bool,
    /// What it means, in sentences.
    pub doc: &'static str,
}

/// How often a section stands in the configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Once, and its defaults hold without it.
    Once,
    /// Once or not at all.
    Optional,
    /// As `[[section]]`, at most so many.
    Many(usize),
}

/// One table of the TOML file.
pub struct Section {
    /// Its dotted path, "" for the keys before the first header.
    pub path: &'static str,
    /// How often.
    pub form: Form,
    /// What it is about, in sentences.
    pub doc: &'static str,
    /// Its keys.
    pub fields: &'static [Field],
}

const fn field(key: &'static str, kind: Kind, absent: Absent, doc: &'static str) -> Field {
    Field { key, kind, absent, unique: false, doc }
}

const fn unique(key: &'static str, kind: Kind, example: Literal, doc: &'static str) -> Field {
    Field { key, kind, absent: Absent::Required(example), unique: true, doc }
}

/// Every section, parents before children, in the order of the default file.
pub const SECTIONS: &[Section] = &[
    ROOT, SITE, CLOCK, JOURNAL, CENTRE, CENTRE_KEY, UPSTREAM, PATH, TLS, MODEM, BOARD, INPUT, OUTPUT, SUBGHZ, PORT,
    CHIP, RTL_433, ZIGBEE,
];

const ROOT: Section = Section {
    path: "",
    form: Form::Once,
    doc: "",
    fields: &[
        field(
            "gateway",
            Kind::Text(&GATEWAY),
            Absent::Required(Literal::Text("my-hub")),
            "This hub's name at the centre and in its MQTT topics; the CN of its client certificate.",
        ),
        field(
            "state_dir",
            Kind::Text(&FILE),
            Absent::Default(Literal::Text("/var/lib/vakt")),
            "Where the journal, the secrets and the sealed media stand. One daemon at a time.",
        ),
        field(
            "run_dir",
            Kind::Text(&RUN_DIR),
            Absent::Default(Literal::Text("/run/vakt")),
            "Where the control socket stands.",
        ),
    ],
};

const SITE: Section = Section {
    path: "site",
    form: Form::Once,
    doc: "Where the hub is.",
    fields: &[
        field(
            "timezone",
            Kind::Text(&TIMEZONE),
            Absent::Default(Literal::Text("Europe/Stockholm")),
            "For schedules and the page. The journal is in UTC whatever stands here.",
        ),
        field(
            "profile",
            Kind::Choice(&["se", "dk", "no"]),
            Absent::Default(Literal::Text("se")),
            "The country's policy: what may trigger a picture, how long it is kept, what confirms an alarm.",
        ),
    ],
};

const CLOCK: Section = Section {
    path: "clock",
    form: Form::Once,
    doc: "The board has no clock chip: after a power cut its wall clock starts anywhere.",
    fields: &[field(
        "trust",
        Kind::Choice(&["timesync", "always", "never"]),
        Absent::Default(Literal::Text("timesync")),
        "When the wall clock is believed: `timesync` once systemd-timesyncd has set it (the file \
         /run/systemd/timesync/synchronized), `always` on a board with its own clock chip, `never` to refuse every \
         command that needs a clock.",
    )],
};

const JOURNAL: Section = Section {
    path: "journal",
    form: Form::Once,
    doc: "The record of everything that happened, written before anything follows from it.",
    fields: &[
        field(
            "commit_limit_ms",
            Kind::Int(50, 10_000, "milliseconds"),
            Absent::Default(Literal::Int(1000)),
            "A commit slower than this means that the disk has stalled: alarms then go out unjournaled, marked so, and \
             are journaled when the disk is back.",
        ),
        field(
            "keep_days",
            Kind::Int(365, 36_500, "days"),
            Absent::Default(Literal::Int(400)),
            "How long events are kept before the journal may be pruned from its head.",
        ),
    ],
};

const CENTRE: Section = Section { path: "centre", form: Form::Once, doc: "The alarm receiving centre.", fields: &[] };

const CENTRE_KEY: Section = Section {
    path: "centre.key",
    form: Form::Many(16),
    doc: "A key the hub believes from its first start on; later ones arrive as events. With any [[upstream.path]] at \
          least one of role `arc` is needed: an event is delivered when the centre has signed for it.",
    fields: &[
        unique("kid", Kind::Text(&KID), Literal::Text("arc-1"), "The key's name, as the signatures carry it."),
        field(
            "role",
            Kind::Choice(&["arc", "maker"]),
            Absent::Default(Literal::Text("arc")),
            "Whose key: `arc` the centre's, which signs receipts; `maker` the maker's, which may add keys.",
        ),
        field(
            "ed25519",
            Kind::Text(&ED25519),
            Absent::Required(Literal::Text("fzkz2n-iLsdUzz8O0VT6ti7ONUtR_JfqrBT74zzNmOs")),
            "The public key. The one shown is the SHA-256 of `vaktd.toml`: nobody can sign with it.",
        ),
    ],
};

const UPSTREAM: Section = Section {
    path: "upstream",
    form: Form::Once,
    doc: "How events reach the centre. Without any [[upstream.path]] the hub keeps them and tells nobody.",
    fields: &[
        field(
            "alarm_deadline_s",
            Kind::Int(1, 120, "seconds"),
            Absent::Default(Literal::Int(10)),
            "An alarm without the centre's receipt after this is an event of its own and shows on site.",
        ),
        field(
            "beat_primary_s",
            Kind::Int(5, 60, "seconds"),
            Absent::Default(Literal::Int(20)),
            "The time between heartbeats on the first path, and on the other when it takes over.",
        ),
        field(
            "beat_alternative_s",
            Kind::Int(5, 900, "seconds"),
            Absent::Default(Literal::Int(180)),
            "The time between heartbeats on the second path while the first is good. Above 240 many mobile networks \
             forget the connection.",
        ),
    ],
};

const PATH: Section = Section {
    path: "upstream.path",
    form: Form::Many(2),
    doc: "One way to the centre; the first is the primary.",
    fields: &[
        unique("name", Kind::Choice(&["eth", "lte"]), Literal::Text("eth"), "Which."),
        field(
            "brokers",
            Kind::List(&BROKER, 4),
            Absent::Required(Literal::List("arc.example:8883")),
            "The centre's MQTT brokers as host:port, IPv6 in brackets, tried in order.",
        ),
        field(
            "device",
            Kind::Text(&INTERFACE),
            Absent::Optional(Literal::Text("eth0")),
            "The network interface its sockets are bound to; without it the routing table chooses.",
        ),
        field(
            "insecure_plain",
            Kind::Flag,
            Absent::Default(Literal::Flag(false)),
            "MQTT without TLS, for a broker on this machine's bench. Refused unless every broker is a loopback \
             address or localhost, and beside a tls table.",
        ),
    ],
};

const TLS: Section = Section {
    path: "upstream.path.tls",
    form: Form::Optional,
    doc: "TLS of the path above it.",
    fields: &[
        field(
            "ca",
            Kind::Text(&FILE),
            Absent::Required(Literal::Text("/etc/vakt/tls/ca.pem")),
            "The file with the certificates the broker's own is checked against, PEM.",
        ),
        field(
            "cert",
            Kind::Text(&FILE),
            Absent::Required(Literal::Text("/etc/vakt/tls/client.pem")),
            "The file with the hub's client certificate, CN as `gateway`, PEM.",
        ),
        field(
            "key",
            Kind::Text(&FILE),
            Absent::Required(Literal::Text("/etc/vakt/tls/client.key")),
            "The file with that certificate's private key, PEM, readable by the daemon alone.",
        ),
        field(
            "name",
            Kind::Text(&SERVER_NAME),
            Absent::Optional(Literal::Text("arc.example")),
            "The name the broker's certificate must carry; without it the host in `brokers`.",
        ),
    ],
};

const MODEM: Section = Section {
    path: "modem",
    form: Form::Once,
    doc: "The modem of the path `lte`. ModemManager and NetworkManager look after it; the hub watches, and helps.",
    fields: &[
        field(
            "pin_file",
            Kind::Text(&FILE),
            Absent::Optional(Literal::Text("/etc/vakt/sim-pin")),
            "The file with the SIM card's PIN, readable by the daemon alone. It is given once: a card that refuses it \
             waits for another PIN, or for a person.",
        ),
        field(
            "monthly_mb",
            Kind::Int(1, 1_000_000, "MB of 1,000,000 bytes"),
            Absent::Optional(Literal::Int(500)),
            "The data agreed for a month. At 80 and at 100 per cent the centre is told; no alarm is ever held back.",
        ),
        field(
            "power_gpio",
            Kind::Text(&GPIO),
            Absent::Optional(Literal::Text("GPIO4")),
            "The GPIO line that gives the modem its power while it is active.",
        ),
        field(
            "recover_after_s",
            Kind::Int(5, 86_400, "seconds"),
            Absent::Default(Literal::Int(180)),
            "So long the path is down by the modem's fault before it is helped: its connection is activated again, then \
             it is reset, then its power is taken for a while.",
        ),
        field(
            "recover_pause_s",
            Kind::Int(5, 86_400, "seconds"),
            Absent::Default(Literal::Int(300)),
            "From one such step to the next. At most three resets and power cuts a day.",
        ),
    ],
};

const BOARD: Section = Section {
    path: "board",
    form: Form::Once,
    doc: "The hub's own pins and its supply. A line goes by the name the board gives it (`gpioinfo` lists them; on a \
          Raspberry Pi GPIO5 to GPIO27), or by its chip and number.",
    fields: &[
        field(
            "mains",
            Kind::Text(&SUPPLY),
            Absent::Optional(Literal::Text("rpi-poe")),
            "The mains supply that the kernel knows, by its name below /sys/class/power_supply.",
        ),
        field(
            "battery",
            Kind::Text(&SUPPLY),
            Absent::Optional(Literal::Text("battery")),
            "The battery of the UPS that the kernel knows, by its name below /sys/class/power_supply. The hub tells mains \
             lost and back, its charge, how long it will do, and its end.",
        ),
    ],
};

const INPUT: Section = Section {
    path: "board.input",
    form: Form::Many(16),
    doc: "A line that something is wired to. What lasts 400 ms is seen; of the supply, what lasts ten seconds.",
    fields: &[
        unique("name", Kind::Text(&NAME), Literal::Text("lid"), "Its name; in events it is the device hub- and this."),
        unique("line", Kind::Text(&GPIO), Literal::Text("GPIO17"), "Its line."),
        field(
            "watches",
            Kind::Choice(&[
                "lid",
                "mains_lost",
                "battery_low",
                "power_fail",
                "contact",
                "motion",
                "glass_break",
                "vibration",
                "smoke",
                "heat",
                "co",
                "gas",
                "water",
                "freeze",
                "sos",
                "hold_up",
                "medical",
                "key_box",
            ]),
            Absent::Required(Literal::Text("lid")),
            "What it tells while it is active: `lid` the hub's housing is open, `mains_lost` and `battery_low` by a UPS, \
             `power_fail` the supply ends within seconds; or a detector or button wired to it.",
        ),
        field(
            "active",
            Kind::Choice(&["high", "low"]),
            Absent::Default(Literal::Text("high")),
            "The level that tells it. A contact to ground that is closed while all is well, with `pull` up, is active \
             high: a cut wire then tells it too.",
        ),
        field(
            "pull",
            Kind::Choice(&["up", "down", "none"]),
            Absent::Default(Literal::Text("up")),
            "The line's own resistor.",
        ),
    ],
};

const OUTPUT: Section = Section {
    path: "board.output",
    form: Form::Many(4),
    doc: "A line that drives something. It is off before the daemon takes it, as far as the board leaves it so, and switched \
          off when the daemon ends.",
    fields: &[
        unique("name", Kind::Text(&NAME), Literal::Text("siren"), "Its name in events."),
        unique("line", Kind::Text(&GPIO), Literal::Text("GPIO27"), "Its line."),
        field(
            "drives",
            Kind::Choice(&["siren", "sounder", "lamp"]),
            Absent::Required(Literal::Text("siren")),
            "`siren` a relay of a loud siren; `sounder` a small one indoors, which also beeps while people come and go; \
             `lamp` steady while the hub is well, blinking while something is wrong with it.",
        ),
        field(
            "active",
            Kind::Choice(&["high", "low"]),
            Absent::Default(Literal::Text("high")),
            "The level that switches it on.",
        ),
    ],
};

const SUBGHZ: Section = Section { path: "subghz", form: Form::Once, doc: "868 MHz.", fields: &[] };

const PORT: Section = Section {
    path: "subghz.port",
    form: Form::Many(8),
    doc: "A receiver on a serial port.",
    fields: &[
        unique("name", Kind::Text(&NAME), Literal::Text("stick"), "Its name in events and on the page."),
        unique(
            "path",
            Kind::Text(&FILE),
            Literal::Text("/dev/serial/by-id/usb-IMST_iM871A-if00-port0"),
            "Its device; the names under /dev/serial/by-id stay when sockets are swapped.",
        ),
        field(
            "receiver",
            Kind::Choice(&["rtl_wmbus", "cul", "im871a", "amb8465", "enocean"]),
            Absent::Required(Literal::Text("im871a")),
            "What speaks there: rtl_wmbus's text lines, a CUL with culfw, IMST's iM871A, AMBER's (Würth's) AMB8465, or an EnOcean \
             transceiver (USB 300, TCM 310, TCM 515, EnOcean Pi).",
        ),
        field(
            "baud",
            Kind::Int(1200, 921_600, "bits per second"),
            Absent::Optional(Literal::Int(57_600)),
            "Without it 115200 for rtl_wmbus, 38400 for cul, 57600 for im871a and enocean, 9600 for amb8465.",
        ),
    ],
};

const CHIP: Section = Section {
    path: "subghz.chip",
    form: Form::Many(2),
    doc: "A CC1101 on SPI, which also hears who jams 868 MHz. On a Raspberry Pi 3 and older only SPI0 can do what it needs.",
    fields: &[
        unique("name", Kind::Text(&NAME), Literal::Text("radio"), "Its name in events and on the page."),
        unique("spi", Kind::Text(&FILE), Literal::Text("/dev/spidev0.0"), "Its SPI device."),
        unique("gdo0", Kind::Text(&GPIO), Literal::Text("GPIO25"), "The line that its pin GDO0 is wired to."),
        unique(
            "gdo2",
            Kind::Text(&GPIO),
            Literal::Text("GPIO26"),
            "The line that its pin GDO2 is wired to, of the same GPIO chip.",
        ),
        field(
            "mode",
            Kind::Choice(&["t", "s"]),
            Absent::Default(Literal::Text("t")),
            "`t` T1 and C1 on 868.95 MHz, which most devices speak; `s` S1 on 868.30 MHz. One chip hears one of them.",
        ),
    ],
};

const RTL_433: Section = Section {
    path: "subghz.rtl_433",
    form: Form::Many(4),
    doc: "rtl_433 on an RTL-SDR stick, as a child of the daemon. What it hears may alarm, and nothing waits for it.",
    fields: &[
        unique(
            "name",
            Kind::Text(&NAME),
            Literal::Text("attic"),
            "Its name on the page; in events it is rtl_433-NAME.",
        ),
        unique(
            "device",
            Kind::Text(&SDR),
            Literal::Text("0"),
            "The stick: 0 is the first one, :00000001 the one with that serial number; or rtl_tcp:HOST:PORT.",
        ),
        field(
            "frequency_hz",
            Kind::Int(863_000_000, 870_000_000, "Hz"),
            Absent::Required(Literal::Int(869_000_000)),
            "The middle of what it hears: half its sample rate to either side. Cavius alarms are on 869,670,000 Hz.",
        ),
        field(
            "sample_rate_hz",
            Kind::Int(900_001, 2_560_000, "samples per second"),
            Absent::Optional(Literal::Int(2_048_000)),
            "Without it 1,000,000. Wireless M-Bus needs 1,200,000 or more.",
        ),
        field(
            "level_db",
            Kind::Int(-30, -1, "dB below full scale"),
            Absent::Optional(Literal::Int(-12)),
            "From where on it takes a signal for one. Without it it decides itself, and misses short bursts.",
        ),
    ],
};

const ZIGBEE: Section = Section {
    path: "zigbee",
    form: Form::Optional,
    doc: "Zigbee: a coordinator stick with EmberZNet 7.4 or later (EZSP 13 to 19).",
    fields: &[
        field(
            "path",
            Kind::Text(&FILE),
            Absent::Required(Literal::Text("/dev/serial/by-id/usb-Nabu_Casa_Home_Assistant_Connect_ZBT-1-if00-port0")),
            "Its device; the names under /dev/serial/by-id stay when sockets are swapped.",
        ),
        field(
            "baud",
            Kind::Int(57_600, 921_600, "bits per second"),
            Absent::Default(Literal::Int(115_200)),
            "As its firmware was built: 115200 for most, 460800 for a ZBT-2.",
        ),
        field(
            "flow_control",
            Kind::Choice(&["none", "hardware", "software"]),
            Absent::Default(Literal::Text("none")),
            "As its firmware was built: hardware (RTS/CTS) for a ZBT-1, SLZB-07 and Aeotec, software for a ZBDongle-E.",
        ),
    ],
};

/// The section at a path.
pub fn section(path: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.path == path)
}

/// The sections directly below one, with their last name.
pub fn children(parent: &str) -> impl Iterator<Item = (&'static str, &'static Section)> {
    SECTIONS.iter().filter_map(move |section| {
        let below = match parent {
            "" => section.path,
            _ => section.path.strip_prefix(parent)?.strip_prefix('.')?,
        };
        (!below.is_empty() && !below.contains('.')).then_some((below, section))
    })
}

/// A section's path and a key as one dotted path.
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
