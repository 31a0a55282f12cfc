//! The judgement of Vakt, pure: no clock, no randomness, no files, no sockets. Time and entropy are arguments.
//!
//! The map, in the order an event travels. Nothing here can fail for want of the world; what can be wrong is refused
//! where it enters, and every choice between "safe" and "loud" is made loud.

// — words
pub mod canonical; // event format v1: the bytes that are hashed, stored and sent
pub mod challenge; // that somebody has heard from the hub a moment ago
pub mod codes; //     a fact's class, SIA and Contact ID codes
pub mod device; //    what a site is made of; one detector's word (Report)
pub mod event; //     what happened, and the words it is told in
pub mod fact; //      the closed list of facts
pub mod input; //     everything that reaches the panel, everything it asks of the world
pub mod port; //      what folders say to each other
pub mod stamp; //     when: boot, monotonic, wall, and whether the wall can be believed
pub mod warrant; //   who orders what, on which ground, until when
// — judgement
pub mod turn; //      decide → record → apply → act, kept by types
pub mod alarm {
    //! The panel and its rules, each in its own file.
    pub mod access; //          whose code it is, and what it is good for now
    pub(crate) mod area; //     arming and disarming
    pub mod camera_window; //   who may ask for which picture, and when
    pub mod coverage; //        where nothing watches
    pub(crate) mod detector; // what a detector's word means
    pub(crate) mod draft; // a turn being decided
    pub(crate) mod duress; //   a code given under threat
    pub mod fog; //             the smoke cannon
    pub(crate) mod hub; //      start, stop, disk, paths, keys, acts
    pub mod incident; //        from first alarm to close: cleared, cancelled, confirmed, verified, closed
    pub(crate) mod install; //  areas, zones, people, devices
    pub(crate) mod jam; //      whether somebody jams the radio
    pub mod lock; //            the door
    pub mod modem; //           its SIM card and its modem, and no others
    pub(crate) mod orders; //   what a warrant that may is obeyed by
    pub mod outcome; //         what became of alarms, detector by detector
    pub mod panel; //           decide, apply, next_due
    pub mod past; //            what inspection detectors remember
    pub mod power; //           the hub's own supply, and where it stands
    pub(crate) mod ready; //    what speaks against arming
    pub mod rules; //           the household's own rules
    pub mod schedule; //        arming by the clock
    pub mod service; //         the site's standing with its operator
    pub(crate) mod settings; // people, locks, schedules, rules
    pub mod state; //           what the hub knows: a fold over the events
    pub mod supervision; // whether detectors are still there
    pub mod warrant; //         whether what is ordered from afar may be done
}
