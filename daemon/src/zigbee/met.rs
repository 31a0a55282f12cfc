//! What was met, counted: for who looks after the site. It decides nothing.

use crate::zigbee::ash;
use crate::zigbee::ezsp_link;
use crate::zigbee::host::Host;

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
    /// Radio frames the stick could not send because the air was busy; its own counter too.
    pub air_busy: u64,
    /// Looks at the air that the stick did not make when it was asked.
    pub unseen: u64,
}

impl Counters {
    /// Adds the stick's own, as it tells them; the frames the air was too busy for since it told them last, where it counts
    /// these.
    pub(crate) fn add_sticks(&mut self, told: &[u16]) -> Option<u16> {
        let of = |at: usize| u64::from(told.get(STICK_COUNTERS[at]).copied().unwrap_or(0));
        self.radio_retries += of(0);
        self.radio_failed += of(1);
        self.message_retries += of(2);
        self.message_failed += of(3);
        self.air_busy += of(4);
        told.get(STICK_COUNTERS[4]).copied()
    }
}

/// Where the stick's counters stand (UG100, EmberCounterType): MAC retries and failures, APS retries and failures,
/// and how often the PHY was unable to send for a failed CCA.
const STICK_COUNTERS: [usize; 5] = [4, 5, 10, 11, 32];

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

impl Host {
    /// What was met besides.
    pub fn counters(&self) -> Counters {
        Counters { unseen: self.noise.unseen, ..self.counters }
    }

    /// Everything that was met, for who looks after the site: the host's, the link's, the frames'.
    pub fn met(&self) -> Met {
        let (frames, link) = self.link.counters();
        Met { up: self.is_up(), host: self.counters(), link, frames }
    }
}
