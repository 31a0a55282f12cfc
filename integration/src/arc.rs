//! The reference receiving centre (ARC): what a centre must do to sign for a hub's alarms, in as little code as it
//! takes. An integrator may start from it; `vakt-arc` is the same thing as a program.
//!
//! It connects to the plain listeners of its brokers, several receiving endpoints with one ledger and one key behind
//! them: the MQTT client in this package is built without TLS, so a broker serving a remote centre needs a TLS front of
//! its own. It signs for an event only once the event is on its disk, and it never changes, merges or drops what a hub
//! sent.

pub mod desk;
pub mod endpoints;
pub mod entry;
pub mod event;
pub mod finding;
pub mod handle;
pub mod jws;
pub mod ledger;
pub mod line;
pub mod link;
pub mod misbehave;
pub mod order;
pub mod past;
pub mod paths;
pub mod receipts;
pub mod store;

pub use desk::Arc;
pub use desk::ArcError;
pub use desk::ArcSettings;
pub use handle::ArcHandle;
