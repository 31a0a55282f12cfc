//! What was met, counted: for who looks after the site. It decides nothing.

use crate::zigbee::ash;
use crate::zigbee::ezsp_link;

/// What was met besides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Words that came twice.
    pub repeated: u64,
    /// "Closed" or "clear" that came after a later word of the same detector.
    pub overtaken: u64,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// Messages of nodes this hub does not know.
    pub strangers: u64,
    /// Messages that were not acknowledged by their receiver.
    pub undelivered: u64,
    /// Times the stick had no room for what it heard.
    pub overflows: u64,
    /// Radio frames the stick sent again; this and the next three are its own counters, since the daemon runs.
    pub radio_retries: u64,
    /// Radio frames nobody took.
    pub radio_failed: u64,
    /// Whole messages the stick sent again.
    pub message_retries: u64,
    /// Whole messages nobody acknowledged.
    pub message_failed: u64,
}

impl Counters {
    /// Adds the stick's own, as it tells them.
    pub(crate) fn add_sticks(&mut self, told: &[u16]) {
        let of = |at: usize| u64::from(told.get(STICK_COUNTERS[at]).copied().unwrap_or(0));
        self.radio_retries += of(0);
        self.radio_failed += of(1);
        self.message_retries += of(2);
        self.message_failed += of(3);
    }
}

/// Where the stick's counters stand (UG100, EmberCounterType): MAC retries and failures, APS retries and failures.
const STICK_COUNTERS: [usize; 4] = [4, 5, 10, 11];

/// What was met since the daemon runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Met {
    /// The network is up.
    pub up: bool,
    /// By the host.
    pub host: Counters,
    /// By the command layer.
    pub link: ezsp_link::Counters,
    /// By the frame layer.
    pub frames: ash::Counters,
}
