//! What passes between the speaker and the connections that `io` holds: what a connection tells, what it is to do, and
//! how it ended. Plain data; it decides nothing.

use crate::upstream::outbox::ConnId;
use crate::upstream::outbox::Publish;
use crate::upstream::verdict::Reason;
use vakt_core::port::NextEvents;
use vakt_core::port::NextMedia;
use vakt_core::warrant::Warrant;

/// Why a connection ended or did not come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For events and the centre.
    pub reason: Reason,
    /// In a sentence, for the log.
    pub detail: String,
}

/// What a connection tells.
#[derive(Debug, Clone)]
pub enum LinkEvent {
    /// The broker took us in.
    Connected {
        /// Publishes it takes at once; 65,535 unless it says.
        receive_max: u16,
        /// Longest packet it takes, in bytes.
        packet_max: u32,
    },
    /// Whether the broker lets us hear the centre.
    Subscribed(bool),
    /// A publish has left under this packet id.
    Left(u16),
    /// The broker's answer to it (MQTT 5, 3.4.2.1).
    Answered {
        /// The packet id.
        id: u16,
        /// 0 accepted, 0x10 nobody listens, 0x80 and above refused.
        code: u8,
    },
    /// Something came down.
    Message {
        /// On this topic.
        topic: Vec<u8>,
        /// From the broker's memory, or meant to be kept in it.
        retained: bool,
        /// The payload.
        payload: Vec<u8>,
    },
    /// The connection is over.
    Ended(Failure),
}

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Out {
    /// Begin a connection.
    Dial {
        /// The path's place in the settings.
        path: usize,
        /// Its number.
        conn: ConnId,
        /// The last will's payload, retained on the path's topic.
        will: Vec<u8>,
    },
    /// Begin a connection for media beside a path: nobody is told when it ends.
    DialMedia {
        /// The path's place in the settings.
        path: usize,
        /// Its number.
        conn: ConnId,
    },
    /// Ask to hear the centre on this path.
    Subscribe {
        /// The path's place in the settings.
        path: usize,
        /// The connection.
        conn: ConnId,
    },
    /// Publish an event.
    Event {
        /// The connection.
        conn: ConnId,
        /// The event.
        publish: Publish,
    },
    /// Publish anything else.
    Publish {
        /// The connection.
        conn: ConnId,
        /// The topic.
        topic: String,
        /// Whether the broker keeps it.
        retain: bool,
        /// The payload.
        payload: Vec<u8>,
    },
    /// Publish measurements: once, expiring, answered by nobody.
    Telemetry {
        /// The connection.
        conn: ConnId,
        /// The payload.
        payload: Vec<u8>,
    },
    /// Say goodbye, so that the broker drops the last will.
    Goodbye(ConnId),
    /// Destroy it.
    Close(ConnId),
    /// Ask the journal; one question at a time.
    Ask(NextEvents),
    /// Ask whoever keeps the media; one question at a time.
    AskMedia(NextMedia),
    /// Hand this to the core; if it takes none, tell `busy`.
    Order(Box<Warrant>),
    /// For the log.
    Log {
        /// Who should look.
        weight: Weight,
        /// What there is to say.
        text: String,
    },
}

/// Who should look at a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Who looks for a fault.
    Debug,
    /// Who wants to know what happens.
    Info,
    /// Who looks after this hub.
    Warn,
}
