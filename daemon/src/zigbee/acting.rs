//! Sirens and switches of the network: what the panel wants of each to its driver, what came of it to the panel.
//!
//! It decides nothing. A siren is heard in the street, so it tells of fire and burglary and of nothing else (B9); a relay that
//! releases fog is only ever switched on for a moment.

use crate::zigbee::eui64::Eui64;
use crate::zigbee::ezsp::Command;
use crate::zigbee::ezsp_answer::Answer;
use crate::zigbee::ezsp_link::Failed;
use crate::zigbee::ezsp_status::Status;
use crate::zigbee::function::Role;
use crate::zigbee::host::For;
use crate::zigbee::host::Host;
use crate::zigbee::host::Out;
use crate::zigbee::interview::Message;
use crate::zigbee::interview::to_cluster;
use crate::zigbee::memory::NWK_UNKNOWN;
use crate::zigbee::refused::Refused;
use crate::zigbee::siren;
use crate::zigbee::siren::Pattern;
use crate::zigbee::siren::Shot;
use crate::zigbee::siren::Siren;
use crate::zigbee::switch;
use crate::zigbee::switch::Order;
use crate::zigbee::switch::OrderId;
use crate::zigbee::switch::Switch;
use crate::zigbee::switch::Use;
use crate::zigbee::wd::Level;
use crate::zigbee::wd::Squawk;
use crate::zigbee::wd::SquawkMode;
use crate::zigbee::wd::WarningMode;
use crate::zigbee::zcl_global::Global;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::device::Report;
use vakt_core::event::Act;
use vakt_core::event::EventId;

/// A device, and the endpoint that does it.
type At = (Eui64, u8);

/// A siren is told to sound until it is told to stop; who no longer hears the hub stops much earlier by itself.
const UNTIL_TOLD_S: u32 = 86_400;
/// A relay that could not be told off is told so again after so long, ms.
const AGAIN_MS: u64 = 1_000;
/// How long the input of a smoke cannon is closed, in tenths of a second: makers ask for half a second to two.
const TRIGGER_TENTHS: u16 = 20;

/// What sirens tell the street.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loud {
    /// Get out, or help.
    Fire,
    /// Somebody is in there.
    Burglary,
}

/// An act of the panel's that waits for its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waits {
    command: EventId,
    act: Act,
}

/// The drivers.
#[derive(Default)]
pub(crate) struct Acting {
    sirens: BTreeMap<At, Siren>,
    switches: BTreeMap<At, Switch>,
    /// Those of them that are the relays of smoke cannons.
    cannons: BTreeSet<At>,
    /// Sirens that did not do as they were told, until they do.
    faulty: BTreeSet<At>,
    /// A chirp that was asked for, and how many sirens have not answered yet.
    chirp: Option<(Waits, usize)>,
    orders: BTreeMap<OrderId, Waits>,
    next_order: OrderId,
}

impl Host {
    /// Sirens sound so from now on.
    pub(crate) fn sound(&mut self, loud: Option<Loud>, now_ms: u64) {
        self.functions.board.loud = loud;
        for siren in self.functions.acting.sirens.values_mut() {
            tell(siren, loud, now_ms);
        }
    }

    /// A short sign of every siren; `command` waits for the first that has given it.
    pub(crate) fn squawk(&mut self, command: Option<EventId>, now_ms: u64) {
        // Whoever is asked for hears "armed"; whoever leaves a house that did not arm hears the other (B18).
        let mode = if command.is_some() { SquawkMode::SystemIsArmed } else { SquawkMode::SystemIsDisarmed };
        let shot = Shot::Squawk(Squawk { mode, level: Level::High, strobe: false });
        let acting = &mut self.functions.acting;
        acting.sirens.values_mut().for_each(|siren| siren.shoot(shot, now_ms));
        let Some(command) = command else { return };
        let waits = Waits { command, act: Act::SirenChirp };
        match acting.sirens.len() {
            0 => self.acted(waits, Some("no_siren")),
            count => {
                if let Some((before, _)) = acting.chirp.replace((waits, count)) {
                    self.acted(before, Some("overtaken"));
                }
            }
        }
    }

    /// A light or a plug, on a rule's word.
    pub(crate) fn light(&mut self, light: &DeviceId, on: bool, now_ms: u64) {
        // What the panel knows as something else is no light.
        if self.known.contains_key(light) {
            return;
        }
        let order = if on { Order::On } else { Order::Off };
        let id = self.next_order();
        if let Some(switch) = self.switch(light) {
            switch.order(id, order, now_ms);
        }
    }

    /// A smoke cannon, on the centre's word and the panel's.
    pub(crate) fn fire(&mut self, command: EventId, cannon: &DeviceId, now_ms: u64) {
        let waits = Waits { command, act: Act::FogFire };
        let id = self.next_order();
        let is_cannon = self.known.get(cannon) == Some(&DeviceKind::Fog) && self.is_up();
        let Some(switch) = self.switch(cannon).filter(|_| is_cannon) else {
            return self.acted(waits, Some("not_reached"));
        };
        switch.order(id, Order::OnFor(TRIGGER_TENTHS), now_ms);
        self.functions.acting.orders.insert(id, waits);
    }

    pub(crate) fn release_cannons(&mut self) {
        let id = self.next_order();
        let Acting { switches, cannons, .. } = &mut self.functions.acting;
        switches.iter_mut().filter(|(at, _)| cannons.contains(at)).for_each(|(_, of)| of.order(id, Order::Off, 0));
        self.acting_words();
    }

    fn next_order(&mut self) -> OrderId {
        self.functions.acting.next_order += 1;
        self.functions.acting.next_order
    }

    fn switch(&mut self, device: &DeviceId) -> Option<&mut Switch> {
        let at = self.with_role(Role::Switch).find(|(eui64, endpoint)| self.id(*eui64, *endpoint) == *device)?;
        self.functions.acting.switches.get_mut(&at)
    }

    fn acted(&mut self, waits: Waits, error: Option<&str>) {
        let Waits { command, act } = waits;
        self.out.push_back(Out::Acted { command, act, error: error.map(str::to_owned) });
    }

    /// Every siren and switch has its driver, and no other has.
    pub(crate) fn staff(&mut self, now_ms: u64) {
        self.staff_bolts(now_ms);
        let (sirens, switches): (BTreeSet<At>, BTreeSet<At>) =
            (self.with_role(Role::Siren).collect(), self.with_role(Role::Switch).collect());
        let cannons: BTreeSet<At> = switches.iter().copied().filter(|at| self.is_cannon(*at)).collect();
        let id = self.next_order();
        let loud = self.functions.board.loud;
        let acting = &mut self.functions.acting;
        acting.sirens.retain(|at, _| sirens.contains(at));
        acting.faulty.retain(|at| sirens.contains(at));
        for at in sirens {
            acting.sirens.entry(at).or_insert_with(|| {
                let mut siren = Siren::new(now_ms);
                tell(&mut siren, loud, now_ms);
                siren
            });
        }
        // A switch that has become a cannon's, or is none any more, begins anew.
        let were = std::mem::replace(&mut acting.cannons, cannons.clone());
        acting.switches.retain(|at, _| switches.contains(at) && were.contains(at) == cannons.contains(at));
        for at in switches {
            let cannon = cannons.contains(&at);
            acting.switches.entry(at).or_insert_with(|| {
                let mut switch = Switch::new(if cannon { Use::Relay } else { Use::Plain });
                if cannon {
                    switch.order(id, Order::Off, now_ms);
                }
                switch
            });
        }
    }

    fn is_cannon(&self, (device, endpoint): At) -> bool {
        self.known.get(&self.id(device, endpoint)) == Some(&DeviceKind::Fog)
    }

    /// A node has begun anew, or is gone: its drivers with it.
    pub(crate) fn acting_forget(&mut self, device: Eui64) {
        let Acting { sirens, switches, cannons, faulty, .. } = &mut self.functions.acting;
        sirens.retain(|at, _| at.0 != device);
        switches.retain(|at, _| at.0 != device);
        cannons.retain(|at| at.0 != device);
        faulty.retain(|at| at.0 != device);
    }

    /// The stick was away: what was told may not have been heard, and how they stand is asked anew.
    pub(crate) fn acting_anew(&mut self, only: Option<Eui64>, now_ms: u64) {
        let acting = &mut self.functions.acting;
        let meant = |at: &At| only.is_none_or(|device| device == at.0);
        acting.sirens.iter_mut().filter(|(at, _)| meant(at)).for_each(|(_, siren)| siren.anew(now_ms));
        acting.switches.iter_mut().filter(|(at, _)| meant(at)).for_each(|(_, switch)| switch.anew());
    }

    /// What a siren or a switch says on its cluster.
    pub(crate) fn hear_acting(&mut self, at: At, tsn: u8, said: &Global, now_ms: u64) -> Result<(), Refused> {
        let acting = &mut self.functions.acting;
        if let Some(siren) = acting.sirens.get_mut(&at) {
            siren.heard(tsn, said, now_ms)?;
        }
        if let Some(switch) = acting.switches.get_mut(&at) {
            switch.heard(tsn, said, now_ms)?;
            let off = switch.is_on() == Some(false);
            // A cannon's relay that says, each time, that it is off is ready; whether it has fired the panel knows.
            if off && self.is_cannon(at) && matches!(said, Global::Report(_) | Global::ReadResponse(_)) {
                let mut report = Report::silent(self.id(at.0, at.1), DeviceKind::Fog, Authenticated::MacCounter);
                report.state = Some(DeviceState::Ready);
                report.fault = Some(false);
                self.out.push_back(Out::Report(report, None));
            }
        }
        self.mind_acting(now_ms);
        Ok(())
    }

    /// Sends what is due and tells what was said.
    pub(crate) fn mind_acting(&mut self, now_ms: u64) {
        let due = |due: Option<u64>| due.is_some_and(|due_ms| due_ms <= now_ms);
        let acting = &self.functions.acting;
        let sirens: Vec<At> = acting.sirens.iter().filter(|(_, of)| due(of.due_ms())).map(|(at, _)| *at).collect();
        let switches: Vec<At> = acting.switches.iter().filter(|(_, of)| due(of.due_ms())).map(|(at, _)| *at).collect();
        for at in sirens {
            loop {
                let tsn = self.tsn();
                let Some(siren) = self.functions.acting.sirens.get_mut(&at) else { break };
                let Some(bytes) = siren.next(now_ms, tsn) else { break };
                self.tell_function(at, Role::Siren, bytes, now_ms);
            }
        }
        for at in switches {
            loop {
                let tsn = self.tsn();
                let Some(switch) = self.functions.acting.switches.get_mut(&at) else { break };
                let Some(bytes) = switch.next(now_ms, tsn) else { break };
                match self.functions.acting.cannons.contains(&at) {
                    true => self.tell_cannon(at, bytes, now_ms),
                    false => self.tell_function(at, Role::Switch, bytes, now_ms),
                }
            }
        }
        self.acting_words();
    }

    /// When that is, ms.
    pub(crate) fn acting_due_ms(&self) -> Option<u64> {
        let Acting { sirens, switches, .. } = &self.functions.acting;
        let sirens = sirens.values().filter_map(Siren::due_ms);
        sirens.chain(switches.values().filter_map(Switch::due_ms)).min()
    }

    pub(crate) fn tell_function(&mut self, (device, endpoint): At, role: Role, bytes: Vec<u8>, now_ms: u64) {
        if let Some(nwk) = self.nwk(device) {
            self.send(nwk, to_cluster(role.cluster(), endpoint, bytes), now_ms);
        }
    }

    /// Where a node is; `None`: it is gone, or nobody knows. That address would reach everybody.
    pub(crate) fn nwk(&self, device: Eui64) -> Option<u16> {
        self.memory.nodes.get(&device).map(|node| node.nwk).filter(|nwk| *nwk != NWK_UNKNOWN)
    }

    /// A message to the relay of a smoke cannon leaves at once or never: one that waited for room could fire after it was given up.
    fn tell_cannon(&mut self, at: At, bytes: Vec<u8>, now_ms: u64) {
        let Message { aps, bytes } = to_cluster(Role::Switch.cluster(), at.1, bytes);
        let taken = self.nwk(at.0).is_some_and(|nwk| {
            self.ask(For::Cannon(at), Command::Unicast { nwk, aps, tag: 0, message: bytes }, now_ms)
        });
        if !taken {
            self.release_cannon(at, now_ms);
        }
    }

    /// What the stick made of it.
    pub(crate) fn cannon_told(&mut self, at: At, answer: &Result<Answer, Failed>, now_ms: u64) {
        if !matches!(answer, Ok(Answer::Sent { status: Status::Ok, .. })) {
            self.release_cannon(at, now_ms);
        }
    }

    /// What was on its way to a cannon is given up, and its relay told off, again in a while.
    fn release_cannon(&mut self, at: At, now_ms: u64) {
        let id = self.next_order();
        if let Some(switch) = self.functions.acting.switches.get_mut(&at) {
            switch.order(id, Order::Off, now_ms + AGAIN_MS);
        }
        self.acting_words();
    }

    fn acting_words(&mut self) {
        let acting = &mut self.functions.acting;
        let mut said: Vec<(At, siren::Word)> = Vec::new();
        for (at, siren) in &mut acting.sirens {
            said.extend(std::iter::from_fn(|| siren.word()).map(|word| (*at, word)));
        }
        let mut switched: Vec<(At, switch::Word)> = Vec::new();
        for (at, switch) in &mut acting.switches {
            switched.extend(std::iter::from_fn(|| switch.word()).map(|word| (*at, word)));
        }
        said.into_iter().for_each(|(at, word)| self.siren_says(at, word));
        switched.into_iter().for_each(|(at, word)| self.switch_says(at, word));
    }

    fn siren_says(&mut self, at: At, word: siren::Word) {
        let works = match word {
            siren::Word::Sounds(true) | siren::Word::Silent(true) => true,
            siren::Word::Sounds(false) | siren::Word::Silent(false) => return,
            siren::Word::NotSounding(_) | siren::Word::NotStopping(_) => false,
            siren::Word::Done(shot) => {
                let chirp = &mut self.functions.acting.chirp;
                if let Some((waits, _)) = chirp.take_if(|_| is_chirp(shot)) {
                    self.acted(waits, None);
                }
                true
            }
            siren::Word::NotDone(shot, why) => {
                let chirp = &mut self.functions.acting.chirp;
                if let Some((_, left)) = chirp.as_mut().filter(|_| is_chirp(shot)) {
                    *left = left.saturating_sub(1);
                }
                if let Some((waits, _)) = chirp.take_if(|(_, left)| *left == 0) {
                    self.acted(waits, Some(if why == siren::Why::NoAnswer { "no_answer" } else { "refused" }));
                }
                return;
            }
        };
        let faulty = &mut self.functions.acting.faulty;
        let news = if works { faulty.remove(&at) } else { faulty.insert(at) };
        if news {
            let mut report = Report::silent(self.id(at.0, at.1), DeviceKind::Siren, Authenticated::MacCounter);
            report.fault = Some(!works);
            self.out.push_back(Out::Report(report, None));
        }
    }

    fn switch_says(&mut self, at: At, word: switch::Word) {
        match word {
            switch::Word::Is(_) | switch::Word::Sent(_) => {}
            switch::Word::Confirmed { id, .. } => {
                if let Some(waits) = self.functions.acting.orders.remove(&id) {
                    self.acted(waits, None);
                }
            }
            switch::Word::Failed(id, why) => {
                if let Some(waits) = self.functions.acting.orders.remove(&id) {
                    self.acted(waits, Some("not_confirmed"));
                }
                // An order that another overtook says nothing of the relay.
                if self.is_cannon(at) && !matches!(why, switch::Why::Overtaken | switch::Why::NotSo) {
                    let mut report = Report::silent(self.id(at.0, at.1), DeviceKind::Fog, Authenticated::MacCounter);
                    report.fault = Some(true);
                    self.out.push_back(Out::Report(report, None));
                }
            }
        }
    }
}

/// The sign that an act waits for, and not one to people outside.
fn is_chirp(shot: Shot) -> bool {
    matches!(shot, Shot::Squawk(Squawk { mode: SquawkMode::SystemIsArmed, .. }))
}

fn tell(siren: &mut Siren, loud: Option<Loud>, now_ms: u64) {
    let pattern = |mode| Pattern { mode, level: Level::VeryHigh, strobe: Some(Level::VeryHigh) };
    match loud {
        Some(Loud::Fire) => siren.sound(pattern(WarningMode::Fire), UNTIL_TOLD_S, now_ms),
        Some(Loud::Burglary) => siren.sound(pattern(WarningMode::Burglar), UNTIL_TOLD_S, now_ms),
        None => siren.silence(),
    }
}
