//! The daemon of the Vakt alarm hub, as a library that tests enter by one door.
//!
//! The map, in the order an event travels. In every folder only `io` touches the world; all its siblings are pure.

pub mod config {
    //! Install facts, refused early and completely.
    pub mod fields; //   the one table of keys
    pub mod load; //     texts → settings, or every fault at once
    pub mod print; //    the commented default and the JSON Schema, from the same table
    pub mod settings; // what the configuration says, as plain data
    pub mod shapes; //   what its texts must look like
}

// — senses
pub mod subghz {
    //! 868 MHz: from a receiver's bytes to a detector's word.
    pub mod cc1101; //       a radio chip on SPI: its reception, step by step
    pub mod cc1101_chip; //  its registers and FIFO over SPI, one at a time
    pub mod cc1101_registers; // their names, and what is written to them
    pub mod cc1101_told; //  what it tells, awaits and counts
    pub mod decode; //       all of it, for the command line
    pub mod eep; //          EnOcean profiles: what a payload means
    pub(crate) mod eep_4bs; // of four bytes
    pub(crate) mod eep_rps; // of one
    pub(crate) mod eep_vld; // of as many as it takes
    pub mod enocean; //      one device's telegram, from security to meaning
    pub mod enocean_copies; // what repeaters make of one telegram
    pub mod enocean_decode; // all of it, for the command line
    pub mod enocean_door; // who may be taught, and when
    pub mod enocean_security; // keys, codes, rolling codes
    pub mod enocean_teach; // what a device says when it is taught
    pub mod erp1; //         EnOcean's radio telegram
    pub mod esp3; //         EnOcean's serial line, cut into packets
    pub mod esp3_command; // what its transceivers are asked
    pub mod known; //        the devices the hub knows
    pub mod line; //         what serial receivers say, cut into frames
    pub mod noise; //        interference, second by second
    pub mod packet; //       what sticks say in binary
    pub mod receiver; //     all of it, one receiver at a time
    pub mod refused; //      every reason a frame is not believed
    pub mod rtl_433; //      what rtl_433 says, line by line
    pub(crate) mod rtl_433_model; // the detectors among it
    pub mod stick; //        a stick is set up, and stays so
    pub mod transceiver; //  one EnOcean transceiver, from bytes to telegrams
    pub mod wmbus_afl; //    what proves a message of mode 7
    pub mod wmbus_chips; //  line codes, as a radio chip delivers them
    pub mod wmbus_crypto; // security modes 5 and 7, AES-CTR
    pub mod wmbus_leak; //   meters that tell of leaks
    pub mod wmbus_link; //   EN 13757-4 frames and their checks
    pub mod wmbus_measured; // what of them is measured now
    pub mod wmbus_past; //   what inspection detectors remember
    pub mod wmbus_record; // EN 13757-3 data records
    pub mod wmbus_report; // what known devices mean by it
    pub mod wmbus_tpl; //    headers: whose data, how protected
    pub mod wmbus_value; //  and how its bytes are read
    pub mod wmbus_vif; //    what a record measures
    pub mod io {
        //! Serial receivers, rtl_433 as a child, and the thread that owns a radio chip.
        pub mod cc1101;
        pub mod enocean;
        pub mod radio_chip;
        pub mod rtl_433;
        pub mod serial;
        pub use serial::Counted;
        pub use serial::Outlets;
        pub use serial::Settings;
        pub use serial::Stranger;
        pub use serial::Well;
    }
}
pub mod zigbee {
    //! Zigbee: our own host for a coordinator stick, from its bytes to a detector's word.
    pub mod ace; //          IAS ACE: what keypads ask, and are told
    pub mod acting; //       sirens and switches, told and heard
    pub(crate) mod air; //   looks at the air
    pub mod ash; //          the link to the stick: every frame once, in order
    pub mod ash_frame; //    one frame of it
    pub(crate) mod asking; // which zones are still to be asked how they stand
    pub mod bolts; //        door locks, told and heard
    pub mod bytes; //        bounds, and hexadecimal text
    pub mod decode; //       ZCL, for the command line
    pub mod door; //         who may join
    pub mod door_lock; //    Door Lock: users, orders, and what happened at the door
    pub mod door_lock_attribute; // how a lock stands, its settings and alarms
    pub mod eui64; //        a radio's own address
    pub mod ezsp; //         what a stick is asked
    pub mod ezsp_answer; //  what it says
    pub mod ezsp_json; //    both, for the command line
    pub mod ezsp_link; //    one command at a time, each with its answer
    pub mod ezsp_status; //  in two number spaces
    pub mod firmware; //     what to flash on a stick that is too old
    pub mod function; //     what a node does beside watching
    pub mod functions; //    each of them with its driver
    pub mod hear; //         what a node says, understood
    pub mod host; //         all of it
    pub mod ias; //          IAS Zone: detectors and their enrolment
    pub mod ias_meaning; //  what a zone's status means
    pub mod install_code; // the key printed on a device
    pub mod interview; //    who joined, and what it is
    pub mod io; //           the stick's port, opened again and again
    pub(crate) mod keeping; // what must be kept, and who waits for it
    pub mod keypad; //       the hub as its keypads' server
    pub mod lock; //         one door lock's rules, on whatever wire
    pub(crate) mod lock_chores; // its settings, read and written
    pub(crate) mod lock_order; // one order, from accepted to confirmed
    pub(crate) mod lock_table; // who may open, and what is done until it is so
    pub mod lock_words; //   what rules, wire and hub say to one another
    pub mod lock_zigbee; //  the same on Zigbee
    pub mod memory; //       what is kept from start to start
    pub mod met; //          what was met, counted
    pub(crate) mod named; // values of the standard with names
    pub(crate) mod noise; // interference: when to look, and what was seen
    pub mod poll_control; // how often sleepers check in; keep-alive
    pub mod power; //        battery, temperature, link, check-in
    pub mod refused; //      every reason a message is not believed
    pub mod secret; //       codes, held and never shown
    pub(crate) mod senders; // the lasting address behind a short one
    pub(crate) mod sending; // what the stick had no room for, again
    pub mod siren; //        one siren, told until it confirms
    pub mod start; //        a stick becomes the hub's coordinator
    pub mod switch; //       one plug, light or relay, read back
    pub mod wd; //           IAS WD: how a siren is told
    pub(crate) mod words; // said again, overtaken, waiting to be recorded
    pub mod zcl; //          the header of every ZCL frame
    pub mod zcl_global; //   attributes read, written, reported
    pub mod zcl_json; //     attributes for people
    pub mod zcl_value; //    every data type, with its length
    pub mod zdo; //          who joined, what it is, whom it talks to
    pub mod zdo_request; //  what the hub asks and orders of them
}

pub mod board {
    //! Pins and supply of the hub itself.
    pub mod filter; //  when a level is believed
    pub mod io; //      GPIO lines, and what the kernel says of the supply
    pub mod pattern; // on and off: siren, sounder, lamp
    pub mod pins; //    what is wired where, and what it tells
    pub mod supply; //  mains, battery, and how long it will do
}
pub mod camera {
    //! Cameras. What takes their streams apart is a program of its own, `vakt-camera`: its main.rs and io are in this folder
    //! and not in this library, so that no other process loads GStreamer.
    pub mod elements; // what of GStreamer is needed, and which package brings it
    pub mod wire; //     how that program is asked
}

// — memory
pub mod journal {
    //! Every event, in order, before anything else happens.
    pub mod chain; //     walks the chain, names the first row that does not hold
    pub mod export; //    JSON Lines and CSV
    pub mod record; //    event ↔ row; the side snapshot
    pub mod retention; // what may be pruned
    pub mod telemetry; // measurements as lines
    pub mod io {
        //! The file: opened or put aside, written by one thread, read beside it.
        pub mod anew;
        pub mod open;
        pub mod reader;
        pub mod rescue;
        pub mod room;
        pub mod schema;
        pub mod store;
        pub mod telemetry;
        pub mod writer;
    }
}
pub mod secrets {
    //! Keys and codes, which never leave the hub.
    pub mod claim; // the code that makes the first owner
    pub mod io;
}

// — voice
pub mod upstream {
    //! MQTT to the receiving centre; only its signature delivers.
    pub mod alarms; //   deadlines, and alarms that left before the disk answered
    pub mod backoff; //  when to dial again
    pub mod cursor; //   where each class stands on this connection
    pub mod jws; //      signed by a listed key, or why not
    pub(crate) mod media; // sealed files, after everything else
    pub mod names; //    asking name servers for a broker
    pub mod outbox; //   what to send next
    pub(crate) mod path; // one connection from dial to end, and its verdict
    pub mod port; //     what passes between the speaker and its connections
    pub mod receipt; //  what the centre signs for
    pub mod refusals; // what a flood of rubbish may cost
    pub mod reply; //    what became of warrants, until the broker has it
    pub mod route; //    which path carries
    pub mod settings; // where the centre is
    pub mod shown; //    what is retained at the broker
    pub mod speaker; //  all of it, without a socket
    pub mod topic; //    topics and payloads
    pub mod verdict; //  whether a path works, and why not
    pub mod warrant; //  who orders what from afar, or why that is none
    pub mod window; //   what the broker has not confirmed
    pub mod io {
        //! Connections: rumqttc over our own dialer.
        pub mod dialer;
        pub mod link;
        pub mod names;
        pub mod run;
        pub mod tls;
    }
}
pub mod network {
    //! The interfaces below upstream's paths, and the modem.
    pub mod air; //     whether a network is drowned in noise
    pub mod ladder; //  when a modem is helped up, and how far
    pub mod links; //   how each interface stands, by the kernel
    pub mod manager; // by NetworkManager
    pub mod modem; //   the modem, by ModemManager
    pub mod sim; //     whether a locked card may be given its PIN
    pub mod usage; //   how much of the month's data is used
    pub mod io {
        //! rtnetlink and the system bus.
        pub mod bus;
        pub mod keeper;
        pub mod links;
        pub mod watch;
    }
}

// — face
pub mod control {
    //! The local socket.
    pub mod io;
    pub mod wire; // its language //   its listener, and the command line's end of it
}

// — meeting
pub mod hub {
    //! Where the folders meet: the only one that may name them all.
    pub mod places; //  where the events stand that answers name
    pub mod restart; // when a fallen port may rise again
    pub mod telemetry; // which measurements are due
    pub mod io {
        //! The clock, the core's task, the desk, start and stop.
        pub mod board;
        pub mod claim;
        pub mod clock;
        pub mod core;
        pub mod desk;
        pub(super) mod keypad_view;
        pub(super) mod keypads;
        pub mod mesh;
        pub mod networks;
        pub mod newcomer;
        pub mod notify;
        pub(super) mod ports;
        pub mod radios;
        pub mod start;
        pub mod telemetry;
        pub mod view;
    }
}

pub mod cli {
    //! What a person or a script asks.
    pub mod arguments; // the words
    pub(crate) mod cameras; // what the camera's process says of itself
    pub mod commands; //  the work
    pub mod doctor; //    what is wrong with this board
    pub(crate) mod first_boot; // what an installation needs once
    pub mod habits; //    how a site behaves
    pub(crate) mod log; // where its words go
    pub(crate) mod records; // events and measurements, read
    pub mod schema; //    what is published
}
