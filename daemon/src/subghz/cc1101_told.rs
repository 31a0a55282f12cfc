//! What the receiver on the radio chip tells, what it waits for, and what it counts. Plain data.
//!
//! A frame that fails a check is counted and never told as anything else; a chip that is not well is told as a fault, by
//! name, and never as a quiet house.

use crate::subghz::cc1101_registers::Mode;
use crate::subghz::cc1101_registers::State;
use crate::subghz::line::Caught;

/// What ends the wait for the next step, whichever comes first. A step that comes too early does no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Whether a rising edge of GDO2 (a sync word) or of GDO0 (the FIFO's threshold) ends it.
    pub edges: bool,
    /// The time that ends it, in µs of the clock that the steps are given.
    pub until_us: u64,
}

/// The two lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gdo {
    /// The FIFO's threshold.
    Gdo0,
    /// The sync word.
    Gdo2,
}

impl std::fmt::Display for Gdo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gdo0 => "GDO0",
            Self::Gdo2 => "GDO2",
        })
    }
}

/// One look at the air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Where: the mode's own band, or the other one, where there is a look once a second.
    pub band: Mode,
    /// Signal strength in dBm, while no packet is being received.
    pub rssi_dbm: i16,
    /// The chip's carrier sense.
    pub carrier: bool,
    /// When, in µs.
    pub at_us: u64,
}

/// A frame, and how it was heard. Its block CRCs may still be wrong: whoever opens it says so, and counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The bytes behind the sync word, exactly as many as the length field asks for.
    pub caught: Caught,
    /// The chip's estimate of how well it heard the beginning; lower is better (SWRS061, 17.4).
    pub lqi: u8,
    /// When its sync word was noticed, in µs.
    pub at_us: u64,
}

/// What the receiver tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// It listens: for the first time, or again after a fault.
    Ready {
        /// The chip's VERSION.
        version: u8,
    },
    /// A frame.
    Frame(Received),
    /// The air, ten times a second.
    Sample(Sample),
    /// How often what happened; once a second, and a sign of life also while the chip does not answer.
    Counted(Counters),
    /// It does not listen. Told once; it is tried again for ever.
    Fault(Fault),
}

/// Why the chip does not listen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bus refused.
    #[error("SPI: {what}: {error}")]
    Spi {
        /// What was tried.
        what: &'static str,
        /// What the bus said.
        error: String,
    },
    /// A line could not be read.
    #[error("reading {line}: {error}")]
    Line {
        /// Which.
        line: Gdo,
        /// What was said.
        error: String,
    },
    /// Nothing that is a CC1101 answers.
    #[error(
        "no CC1101 answers: PARTNUM reads {partnum:02X} and VERSION {version:02X}, where 00 and something else than 00 and \
         FF would be right; look at CSN, SCLK, SI, SO and the supply"
    )]
    Absent {
        /// What PARTNUM read.
        partnum: u8,
        /// What VERSION read.
        version: u8,
    },
    /// A register does not keep what was written.
    #[error(
        "{register} reads {read:02X}, {wrote:02X} was written: a bus that is too long or too fast, or another chip"
    )]
    ReadBack {
        /// The data sheet's name.
        register: String,
        /// What was written.
        wrote: u8,
        /// What was read.
        read: u8,
    },
    /// A line does not follow the chip.
    #[error("{line} was told to be {}, it reads {}: look at its wire, and at the line in the configuration",
        level(*told), level(!*told))]
    Wire {
        /// Which.
        line: Gdo,
        /// What it was told; it reads the other.
        told: bool,
    },
    /// The chip does not get where it was sent.
    #[error("the chip was sent to {wanted} and is in {found} after {after_us} µs")]
    Stuck {
        /// Where it should be.
        wanted: State,
        /// Where it is.
        found: State,
        /// The limit that passed.
        after_us: u64,
    },
    /// It was in RX and is not any more, by itself: a supply that dips does that.
    #[error("the chip left RX by itself and is in {found}: look at its supply")]
    Fell {
        /// Where it is.
        found: State,
    },
    /// A status register never read the same twice.
    #[error("{register} never reads the same twice: a bus that is too long or too fast")]
    Unstable {
        /// Which.
        register: &'static str,
    },
}

fn level(high: bool) -> &'static str {
    if high { "high" } else { "low" }
}

/// How often what happened, since the receiver was made. A jam detector looks at how `syncs` grows beside `valid`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Sync words.
    pub syncs: u64,
    /// Frames of which every check of the link layer passed.
    pub valid: u64,
    /// Frames that were received whole and failed a check.
    pub bad_frames: u64,
    /// Time that whole frames took on the air, whether they could be believed or not, in µs.
    pub receiving_us: u64,
    /// Sync words that were followed by no frame: refused with the first bytes.
    pub noise: u64,
    /// Frames that broke off in a symbol that is none.
    pub broken: u64,
    /// Frames of which no further byte came.
    pub stalled: u64,
    /// Times the FIFO ran over: the host was late.
    pub overflows: u64,
    /// Times the host came later than is safe, overflow or not.
    pub late: u64,
    /// The latest the host ever was, in µs.
    pub latency_max_us: u64,
    /// Times RXBYTES never read the same twice.
    pub unstable: u64,
    /// Times the chip had to be reset and configured again.
    pub restarts: u64,
    /// Times the bus refused.
    pub spi_errors: u64,
    /// Notices that nobody took in time, frames among them. Kept by whoever runs the receiver.
    pub lost: u64,
    /// 1 where the thread was refused real time; likewise.
    pub not_realtime: u64,
}

impl Counters {
    /// Sync words without a frame that could be believed.
    pub fn false_syncs(&self) -> u64 {
        self.syncs.saturating_sub(self.valid)
    }
}
