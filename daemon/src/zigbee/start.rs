//! One idempotent start of a stick: whatever state it is in, it ends as the coordinator of the hub's own network, or it
//! is refused and touched no further.
//!
//! A network that was ever formed is resumed and never formed again, because that would orphan every device; what the
//! stick then says of its network and key is checked against what the hub remembers.
//!
//! ```text
//!   configure ─▶ init ─┬─ there is a network ─▶ wait for "up" ─▶ read it back ─┬─ the hub's own ─▶ routes ─▶ done
//!                      │                                                      └─ another ─▶ leave (only if the hub
//!                      └─ none ─▶ form (only if never formed before) ─▶ wait …      never formed one), start over
//! ```

use crate::zigbee::eui64::Eui64;
use crate::zigbee::ezsp::Command;
use crate::zigbee::ezsp::Endpoint;
use crate::zigbee::ezsp::Key;
use crate::zigbee::ezsp::KeyType;
use crate::zigbee::ezsp_answer::Answer;
use crate::zigbee::ezsp_link::Failed;
use crate::zigbee::ezsp_status::Status;
use crate::zigbee::memory::Network;
use std::collections::VecDeque;

/// Longest wait for a network to come up, ms; forming takes 1 s.
const UP_MS: u64 = 10_000;

/// Why a stick is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The hub's network is not on it.
    #[error(
        "this stick holds no network, but the hub has one with devices on it: put the right stick back; \
         a new network would lose every device"
    )]
    NoNetwork,
    /// Another network is on it.
    #[error("this stick holds another network than the hub's (its {0} differs): put the right stick back")]
    OtherNetwork(&'static str),
    /// It does not do as it is told.
    #[error("the stick refused {what}: {why}")]
    Command {
        /// What was asked.
        what: &'static str,
        /// What it said.
        why: String,
    },
    /// It said nothing any more.
    #[error("the stick's network did not come up within {UP_MS} ms")]
    NotUp,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Ask this.
    Ask(Command),
    /// Wait for the stick's word on its network.
    WaitUp,
    /// Begin over: the stick was told to leave a strange network.
    Again,
    /// It is done.
    Done {
        /// The stick's own address.
        hub: Eui64,
        /// The network as it is: formed, on the channel and with the short name that the stack moved it to.
        network: Network,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// "Ok", or the stick is not used.
    Ok(&'static str),
    /// Whatever it says: smaller sticks refuse tables they have no room for, and work.
    Any,
    Address,
    Init,
    Parameters,
    Key,
    Left,
}

/// The hub's one endpoint: Control and Indicating Equipment that listens to detectors and serves keypads and who asks whether
/// its trust centre lives. What it uses makes the stick answer devices that look for an alarm hub before they enrol.
pub const OURS: Endpoint = Endpoint {
    number: 1,
    profile: PROFILE_HA,
    device: 0x0400,
    inputs: &[0x0025, 0x0501],
    outputs: &[0x0000, 0x0001, 0x0003, 0x0006, 0x0009, 0x0020, 0x0101, 0x0402, 0x0500, 0x0502, 0x0B05],
};
/// Home Automation.
pub const PROFILE_HA: u16 = 0x0104;

/// Values a stick is configured with: (id, value), in this order; the packet buffers last, as they take what is left.
/// Ids and values of UG100 "EzspConfigId"; sizes as both peers run them in the field.
const CONFIGURATION: [(u8, u16); 13] = [
    (0x0C, 2),      // stack profile: Zigbee PRO
    (0x0D, 5),      // security level: the standard's
    (0x12, 7_680),  // a message waits so many ms for a sleeping device: two of its slowest polls
    (0x13, 8),      // a child that did not poll for 2^8 min is forgotten
    (0x11, 32),     // sleeping children
    (0x1A, 200),    // routes to them
    (0x03, 32),     // messages under way: a site's detectors are asked at once after a start
    (0x05, 16),     // addresses
    (0x1E, 4),      // link keys of others
    (0x36, 180),    // s that a newcomer's key is good for: the longest permit
    (0x38, 1),      // s that a rejoin on the well-known key is let in: the policy below forbids it altogether
    (0x2A, 0x0001), // device announcements are passed on, other questions the stick answers
    (0x01, 0xFF),   // packet buffers
];

/// What a stick lets happen: (policy, decision), UG100 "EzspPolicyId".
const POLICIES: [(u8, u8, &str); 6] = [
    (0x00, CLOSED, "the trust centre policy"),
    (0x05, 0x51, "the policy on keys of their own"), // a device may ask for its own link key
    (0x06, 0x60, "the policy on application keys"),  // devices get no keys to talk behind the hub
    (0x09, 0x00, "the policy on rejoins with the well-known key"), // never
    (0x01, 0x12, "the policy on bindings"),          // only to endpoints that are there
    (0x04, 0x40, "the policy on message contents"),  // not sent back to the host
];
/// The trust centre's decision while nobody may join: paired devices come back on their own key.
pub const CLOSED: u8 = 0x02;
/// While devices with an install code may join.
pub const OPEN_INSTALL_CODE: u8 = 0x13;
/// While any device may join, on the key that everybody knows.
pub const OPEN_LEGACY: u8 = 0x03;

/// A start under way.
#[derive(Debug)]
pub struct Start {
    network: Network,
    steps: VecDeque<(Command, Wanted)>,
    wanted: Option<Wanted>,
    hub: Option<Eui64>,
    wait_up: Option<u64>,
    up: bool,
}

/// Global link key, hashed per device; link key and network key given; the network's key never in clear (UG100,
/// EmberInitialSecurityBitmask; zigbee-herdsman runs with the same).
const SECURITY: u16 = 0x0B84;

impl Start {
    /// Of the hub's network, on a stick that has just been reset.
    pub fn new(network: Network) -> Self {
        let mut steps = VecDeque::new();
        steps.extend(CONFIGURATION.map(|(id, value)| (Command::SetConfiguration { id, value }, Wanted::Any)));
        let policies = POLICIES.map(|(id, decision, what)| {
            // The last ones are not known to every stick; what they keep shut is also shut by the first three.
            let wanted = if id == 0x00 || id == 0x05 || id == 0x06 { Wanted::Ok(what) } else { Wanted::Any };
            (Command::SetPolicy { id, decision }, wanted)
        });
        steps.extend(policies);
        steps.push_back((Command::AddEndpoint(OURS), Wanted::Ok("the hub's endpoint")));
        steps.push_back((Command::GetEui64, Wanted::Address));
        steps.push_back((Command::NetworkInit, Wanted::Init));
        Self { network, steps, wanted: None, hub: None, wait_up: None, up: false }
    }

    /// Whether it waits for the stick's word on its network.
    pub fn waits(&self) -> bool {
        self.wait_up.is_some()
    }

    /// When the wait for the network ends, ms.
    pub fn due_ms(&self) -> Option<u64> {
        self.wait_up
    }

    /// Whether waiting has lasted too long.
    ///
    /// # Errors
    /// It has.
    pub fn tick(&self, now_ms: u64) -> Result<(), Refused> {
        if self.wait_up.is_some_and(|due_ms| due_ms <= now_ms) { Err(Refused::NotUp) } else { Ok(()) }
    }

    /// The next step; to be called after `new`, after each answer and after each word on the network.
    pub fn step(&mut self) -> Next {
        if self.wait_up.is_some() && !self.up {
            return Next::WaitUp;
        }
        self.wait_up = None;
        match (self.steps.pop_front(), self.wanted) {
            (Some((command, wanted)), _) => {
                self.wanted = Some(wanted);
                if matches!(wanted, Wanted::Init) || matches!(command, Command::FormNetwork(_)) {
                    // Its word may come before its answer.
                    self.up = false;
                    self.wait_up = None;
                }
                Next::Ask(command)
            }
            (None, Some(Wanted::Left)) => Next::Again,
            (None, _) => Next::Done {
                hub: self.hub.expect("its address was asked for before its network"),
                network: Network { formed: true, ..self.network.clone() },
            },
        }
    }

    /// The stick's word on its network.
    pub fn network(&mut self, status: Status) {
        if status == Status::NetworkUp {
            self.up = true;
        }
    }

    /// The answer to the last step.
    ///
    /// # Errors
    /// The stick is not used.
    pub fn answered(&mut self, answer: Result<Answer, Failed>, now_ms: u64) -> Result<(), Refused> {
        let Some(wanted) = self.wanted else { return Ok(()) };
        match (wanted, answer) {
            (Wanted::Any, _) | (Wanted::Ok(_) | Wanted::Left, Ok(Answer::Status(Status::Ok) | Answer::Nothing)) => {}
            (Wanted::Ok(FORMING), Ok(Answer::Status(status))) => return Err(no(FORMING, status)),
            (Wanted::Ok(what), Ok(Answer::Status(status))) => return Err(no(what, status)),
            (Wanted::Address, Ok(Answer::Eui64(hub))) => self.hub = Some(hub),
            (Wanted::Init, Ok(Answer::Status(Status::Ok))) => self.wait_then_check(now_ms),
            (Wanted::Init, Ok(Answer::Status(Status::NotJoined))) if self.network.formed => {
                return Err(Refused::NoNetwork);
            }
            (Wanted::Init, Ok(Answer::Status(Status::NotJoined))) => self.form(),
            (Wanted::Init, Ok(Answer::Status(status))) => return Err(no("to resume its network", status)),
            (Wanted::Parameters, Ok(Answer::Parameters { status: Status::Ok, parameters })) => {
                // Its long name and its key are what makes a network the hub's own. The short name and the channel are
                // changed by stacks themselves, where two networks met.
                if parameters.extended_pan != self.network.extended_pan {
                    return self.strange("extended PAN id");
                }
                (self.network.pan, self.network.channel) = (parameters.pan, parameters.channel);
            }
            (Wanted::Key, Ok(Answer::Key { status: Status::Ok, key })) => {
                if key != self.network.key {
                    return self.strange("network key");
                }
            }
            (wanted, Ok(answer)) => return Err(unexpected(wanted, &format!("an unexpected answer: {answer:?}"))),
            (wanted, Err(failed)) => return Err(unexpected(wanted, &failed.to_string())),
        }
        if wanted == Wanted::Ok(FORMING) {
            self.wait_then_check(now_ms);
        }
        Ok(())
    }

    fn form(&mut self) {
        let Network { key, link_key, .. } = self.network;
        let security = Command::SetInitialSecurity { bits: SECURITY, link_key, network_key: key };
        self.steps.push_back((security, Wanted::Ok("its security state")));
        self.steps.push_back((Command::FormNetwork(self.network.parameters()), Wanted::Ok(FORMING)));
    }

    /// A network is coming up: then read back what it is.
    fn wait_then_check(&mut self, now_ms: u64) {
        self.wait_up = Some(now_ms + UP_MS);
        self.steps.push_back((Command::GetNetworkParameters, Wanted::Parameters));
        self.steps.push_back((Command::ExportKey(KeyType::Network), Wanted::Key));
        self.steps.push_back((Command::SetConcentrator { max_hops: 0 }, Wanted::Any));
        self.steps.push_back((Command::SetSourceRouteDiscovery { mode: 1 }, Wanted::Any));
    }

    /// The stick has a network that is not the hub's. While the hub never had one it is a leftover of another life.
    fn strange(&mut self, what: &'static str) -> Result<(), Refused> {
        if self.network.formed {
            return Err(Refused::OtherNetwork(what));
        }
        self.steps.clear();
        self.steps.push_back((Command::LeaveNetwork, Wanted::Left));
        Ok(())
    }
}

const FORMING: &str = "to form the network";

fn no(what: &'static str, status: Status) -> Refused {
    Refused::Command { what, why: status.to_string() }
}

fn unexpected(wanted: Wanted, why: &str) -> Refused {
    let what = match wanted {
        Wanted::Ok(what) => what,
        Wanted::Any => "its configuration",
        Wanted::Address => "its address",
        Wanted::Init => "to resume its network",
        Wanted::Parameters => "its network's parameters",
        Wanted::Key => "its network's key",
        Wanted::Left => "to leave a strange network",
    };
    // A key that came in an answer prints as withheld.
    Refused::Command { what, why: why.to_owned() }
}

/// The key that everybody knows, "ZigBeeAlliance09": for devices without an install code.
pub const WELL_KNOWN: Key = Key(*b"ZigBeeAlliance09");
