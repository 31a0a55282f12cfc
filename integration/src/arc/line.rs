//! One line of what the centre saw or did, as `vakt-arc run` prints it: one JSON object a line.

use super::entry::Assumed;
use super::finding::Finding;
use super::paths::AllPaths;
use super::paths::PathNews;
use serde::Serialize;
use serde_json::Value;

/// Something that happened at the centre, with its time.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// UTC, RFC 3339, milliseconds.
    pub at: String,
    /// The same in microseconds since 1970: for an arrival, when it left the socket.
    pub at_us: u64,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// Found in an event, or noticed otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Happening {
    /// The ledger found it.
    Found(Finding),
    /// The centre noticed it.
    Noticed(Notice),
}

/// Everything but events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Notice {
    /// The line to a broker is up and every subscription granted.
    #[allow(missing_docs)]
    Connected { broker: String },
    /// The line to a broker is down.
    #[allow(missing_docs)]
    Disconnected { broker: String, why: String },
    /// A path's verdict changed.
    Path(PathNews),
    /// The hub is heard on no path any more, or on one again.
    AllPaths(AllPaths),
    /// The hub fell silent in an entry delay, and nothing became of it: burglary (B7).
    AssumedBurglary(Assumed),
    /// A beat came; `echoed` unless the centre is silent on purpose.
    #[allow(missing_docs)]
    Beat { path: String, counter: u64, echoed: bool },
    /// A receipt was handed to the brokers; `honest` unless a misbehaviour spoiled it.
    #[allow(missing_docs)]
    Receipt { epoch: u64, upto: u64, seqs: usize, ids: usize, honest: bool },
    /// An order was handed to every broker whose line is up; `honest` unless it is wrong on purpose. What becomes of it follows as messages
    /// on `reply/{jti}`.
    #[allow(missing_docs)]
    Order { jti: String, role: String, cmd: String, honest: bool },
    /// A message on a topic that is not an event: `state`, `device/…`, `path/…`, `telemetry`, `reply/…`.
    #[allow(missing_docs)]
    Message { topic: String, retained: bool, payload: Value },
    /// An arrival ignored on purpose.
    Dropped,
    /// A message that makes no sense.
    #[allow(missing_docs)]
    Odd { topic: String, why: String },
    /// The centre is gone: told to crash, or its disk failed.
    #[allow(missing_docs)]
    Ended { why: String },
}
