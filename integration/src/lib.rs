//! The virtual site, the reference receiving centre, and everything that tests Vakt from outside.
//!
//! Nothing here is linked into the daemon, and the daemon never names it. What judges the daemon (the centre's
//! ledger, its signature checks) is written from the contract alone, so that a misreading in the daemon is not
//! repeated here.

/// The reference receiving centre: verifies, keeps, orders and signs for events; misbehaves on request.
pub mod arc;
/// A live site for tests, demo and bench: broker, stick, daemon, all real, all on this machine.
pub mod lab;
/// Reads stories: what happens when, and what must follow.
pub mod story;
/// The simulated world: a hub, its house, its people, its networks and its centre, for days, by one seed.
pub mod world;
/// Stand-ins for the outside world, each an honest implementor of what it stands in for, faults on request.
pub mod twins {
    pub mod cc1101;
    pub mod enocean;
    pub mod evil_broker;
    pub mod hub;
    pub mod modem;
    pub mod mqtt;
    pub mod ncp;
    pub mod portal;
    pub mod wmbus_stick;
}
