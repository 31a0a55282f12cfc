//! The receiving centre: the reference centre's own ledger and receipts, and an operator who looks, verifies, orders and
//! closes, mostly as he should.

use super::Item;
use super::World;
use super::checks::Check;
use super::checks::Held;
use super::checks::broken;
use super::faults::Fault;
use super::net::Down;
use super::story::MINUTE;
use super::story::SECOND;
use super::voice::Wire;
use super::voice::claim;
use crate::arc::finding::Finding;
use crate::arc::ledger::Ledger;
use crate::arc::receipts::Receipts;
use std::collections::BTreeMap;
use vakt_core::canonical::hex;
use vakt_core::canonical::sha256;
use vakt_core::device::DeviceId;
use vakt_core::event::Class;
use vakt_core::event::CloseCause;
use vakt_core::event::Event;
use vakt_core::event::EventId;
use vakt_core::event::Evidence;
use vakt_core::event::Fact;
use vakt_core::warrant::Digest;
use vakt_core::warrant::Emergency;
use vakt_core::warrant::Ground;
use vakt_core::warrant::Order;
use vakt_core::warrant::Role;
use vakt_core::warrant::Warrant;

/// How far the issuer's clock and the hub's may differ (contract), in ms.
const SKEW_MS: i64 = 5_000;

/// How often an operator comes back to one incident before he sends a patrol instead.
const PATIENCE: u32 = 8;

/// A nonce, the run of the process it is from, and when it was made there.
type Nonce = (String, u32, u64);

/// A warrant that was sent, as the checks must know it.
#[derive(Debug, Clone)]
struct Issued {
    warrant: Warrant,
    /// As events write it.
    digest: String,
    nonce: Option<(u32, u64)>,
    /// Nothing is wrong with it, but perhaps its age.
    honest: bool,
}

/// The centre.
#[derive(Debug, Default)]
pub(super) struct Centre {
    pub ledger: Ledger,
    receipts: Receipts,
    signs_at: Option<u64>,
    away: Option<(u64, bool)>,
    nonce: Option<Nonce>,
    older_nonce: Option<Nonce>,
    issued: Vec<Issued>,
    /// Payloads the ledger holds, with what it says when they come again.
    taken: BTreeMap<Wire, Finding>,
    warrants: u64,
    /// Incidents at work, and how often each was looked at.
    desk: BTreeMap<EventId, u32>,
}

impl Centre {
    pub(super) fn is_away(&self, now: u64) -> bool {
        self.away.is_some_and(|(until, _)| until > now)
    }
}

impl World {
    pub(super) fn centre_leaves(&mut self, for_ms: u64, keeps: bool) {
        self.centre.away = Some((self.now + for_ms, keeps));
        self.trace.note(self.now, "centre", format_args!("away for {} s, kept meanwhile: {keeps}", for_ms / SECOND));
    }

    /// An event has come through the broker.
    pub(super) fn at_centre(&mut self, class: Class, wire: Wire) -> Held {
        if let Some((until, keeps)) = self.centre.away.filter(|(until, _)| *until > self.now) {
            if keeps {
                self.after(until, Item::AtCentre { class, wire });
            } else {
                self.forgotten += 1;
            }
            return Ok(());
        }
        if self.centre.away.take().is_some() {
            self.centre.ledger.connected(self.now * 1000);
        }
        let Ok(body) = std::str::from_utf8(&wire) else {
            return broken(Check::Delivered, "an event that is no text has come");
        };
        let known = self.centre.taken.get(&*wire).cloned();
        let findings = match known {
            // To the letter what was here before; the ledger would read it again and say the same, at some cost.
            Some(again) => vec![again],
            None => self.centre.ledger.take(self.now * 1000, class.name(), body).1,
        };
        for finding in &findings {
            if let Finding::Event { epoch, seq, id, .. } = finding {
                let again = Finding::Duplicate { epoch: Some(*epoch), seq: Some(*seq), id: id.clone() };
                self.centre.taken.insert(wire.clone(), again);
            }
        }
        for finding in &findings {
            match finding {
                Finding::Conflict { .. } | Finding::Chain { .. } | Finding::Breach { .. } | Finding::Refused { .. } => {
                    return broken(Check::Delivered, format!("the centre finds {finding:?}"));
                }
                Finding::OutOfOrder { excused: false, .. } if self.forgotten == 0 => {
                    return broken(Check::Delivered, format!("the centre finds {finding:?}"));
                }
                Finding::Event { seq, kind, id, .. } => {
                    self.trace.note(self.now, "centre", format_args!("has {seq} {kind}"));
                    if kind == "alarm_raised" {
                        self.alarm_comes(id);
                    }
                }
                Finding::Unjournaled { kind, .. } => {
                    self.trace.note(self.now, "centre", format_args!("has an early {kind}"));
                }
                _ => {}
            }
        }
        let epoch = self.centre.ledger.newest_epoch();
        self.centre.receipts.note(&findings, epoch);
        if self.centre.signs_at.is_none() && self.centre.receipts.due_at_ms().is_some() {
            let at = self.now + self.prng.within(5, 60);
            self.centre.signs_at = Some(at);
            self.after(at, Item::Signs);
        }
        Ok(())
    }

    /// What the centre holds on its own disk is signed for, to every connection.
    pub(super) fn signs(&mut self) {
        self.centre.signs_at = None;
        let receipts = self.centre.receipts.take(self.now, "hub-1", &self.centre.ledger);
        for receipt in receipts {
            let ids: Vec<EventId> = receipt.ids.iter().filter_map(|id| EventId::try_from(id.clone()).ok()).collect();
            for at in 0..self.links.len() {
                let Some(conn) = self.links[at].conn else { continue };
                if self.strikes(Fault::ReceiptLost) {
                    continue;
                }
                let claim = claim(receipt.epoch, receipt.upto, receipt.seqs.clone(), ids.clone());
                self.goes_down(at, conn, self.now, Down::Receipt(Box::new(claim)));
            }
        }
        if self.centre.receipts.due_at_ms().is_some() {
            self.centre.signs_at = Some(self.now + 20);
            self.after(self.now + 20, Item::Signs);
        }
    }

    /// An operator takes the alarm up.
    fn alarm_comes(&mut self, id: &str) {
        let incident = EventId::try_from(id.to_owned()).ok().and_then(|id| {
            let place = self.evidence.on_disk.get(&id)?;
            self.evidence.rows.get(place).map(|_| id)
        });
        // The centre knows the incident by the event's own word; here it is looked up once.
        let Some(incident) = incident.map(|id| self.incident_of.get(&id).copied().unwrap_or(id)) else { return };
        if self.centre.desk.insert(incident, 0).is_none() {
            let at = self.now + self.prng.wild(2 * SECOND, 3 * MINUTE);
            self.after(at, Item::Operator(incident));
        }
    }

    /// The operator does something about an incident, and comes back to it until it is closed.
    pub(super) fn operator(&mut self, incident: EventId) {
        let looked = self.centre.desk.entry(incident).or_default();
        *looked += 1;
        let tired = *looked > PATIENCE;
        let last = *looked > 2 && self.prng.chance(400);
        let camera = DeviceId::new(self.prng.pick(&["cam-hall", "cam-shed", "cam-nowhere"])).expect("an id");
        let order = match self.prng.below(9) {
            _ if last => {
                let cause = self.prng.pick(&[CloseCause::Real, CloseCause::User, CloseCause::Cooking]);
                Order::IncidentClose { cause }
            }
            0 | 1 => Order::Image { camera },
            2 | 3 => Order::Stream { camera },
            4 => {
                Order::IncidentVerify { by: self.prng.pick(&[Evidence::Picture, Evidence::Voice, Evidence::TwoSmokes]) }
            }
            5 => Order::CameraClose {},
            6 => {
                Order::EmergencyUnlock { device: None, service: self.prng.pick(&[Emergency::Fire, Emergency::Police]) }
            }
            7 => Order::FogFire { device: None, contacts: self.prng.below(5) as u32 },
            _ => Order::SirenStop { area: None },
        };
        let ground = match &order {
            Order::EmergencyUnlock { .. } => Some(self.prng.pick(&[Ground::VerifiedFire, Ground::SosPressed])),
            Order::FogFire { .. } => Some(self.prng.pick(&[Ground::SignalsAndPicture, Ground::CustomerConfirmed])),
            _ => None,
        };
        self.issues(Role::ArcOperator, "arc-1", "op-7", order, Some(incident), ground);
        // He closes it again and again until he hears that it is closed.
        let closed = self.evidence.incidents.get(&incident).is_none_or(|told| told.closed) || tired;
        if !closed || !last && self.prng.chance(500) {
            let at = self.now + self.prng.wild(5 * SECOND, 20 * MINUTE);
            self.after(at, Item::Operator(incident));
        }
    }

    /// A warrant is signed and sent; sometimes it is bent, or an older one is played again.
    pub(super) fn issues(
        &mut self,
        role: Role,
        kid: &str,
        person: &str,
        order: Order,
        incident: Option<EventId>,
        ground: Option<Ground>,
    ) {
        self.centre.warrants += 1;
        let now_s = self.clock.truth(self.now) / 1000;
        let short = needs_nonce(&order);
        if short {
            self.newest_nonce();
        }
        let nonce = self.centre.nonce.clone();
        let jti = format!("w-{}", self.centre.warrants);
        let warrant = Warrant {
            digest: Digest(sha256(&[jti.as_bytes()])),
            jti,
            kid: kid.to_owned(),
            issuer: "arc".to_owned(),
            person: person.to_owned(),
            role,
            issued_s: now_s,
            expires_s: now_s + if short { 60 } else { self.prng.pick(&[30, 60, 600]) },
            nonce: nonce.as_ref().map(|(text, ..)| text.clone()),
            incident,
            ground,
            order,
        };
        let nonce = nonce.map(|(_, run, at)| (run, at));
        let mut issued = Issued { digest: hex(&warrant.digest.0), warrant, nonce, honest: true };
        if self.strikes(Fault::Forged) {
            self.bends(&mut issued);
        }
        if self.prng.chance(200) {
            self.centre.older_nonce = self.centre.nonce.clone();
        }
        self.centre.issued.push(issued.clone());
        let (jti, name) = (issued.warrant.jti.clone(), issued.warrant.order.name());
        self.trace.note(self.now, "centre", format_args!("orders {name} {jti} honest={}", issued.honest));
        self.after(self.now + 1, Item::Order(Box::new(issued.warrant.clone())));
        if self.prng.chance(200) {
            // Over the other path too, or once more later: the same bytes.
            let again = self.now + self.prng.wild(2, 2 * 60 * MINUTE);
            self.after(again, Item::Order(Box::new(issued.warrant)));
        }
    }

    /// On site a beat brings a challenge every twenty seconds. Here beats are rarer and bring none, each costs; what the
    /// last of them would have said is made when somebody needs it.
    fn newest_nonce(&mut self) {
        let age_ms = self.prng.below(20 * SECOND);
        let mut made = self.clock.stamp(self.now);
        let Some(hub) = self.hub.as_ref().filter(|hub| hub.voice.carries().is_some()) else { return };
        if made.mono_ms - hub.since.mono_ms > age_ms {
            made.mono_ms -= age_ms;
            self.centre.nonce = Some((hub.challenges.mint(made), self.run, made.mono_ms));
        }
    }

    fn bends(&mut self, issued: &mut Issued) {
        issued.honest = false;
        let warrant = &mut issued.warrant;
        match self.prng.below(8) {
            0 => (warrant.issued_s, warrant.expires_s) = (warrant.issued_s - 900, warrant.expires_s - 900),
            1 => warrant.expires_s += 40 * 86_400,
            2 => {
                let older = self.centre.older_nonce.clone();
                warrant.nonce = older.as_ref().map(|(text, ..)| text.clone());
                issued.nonce = older.map(|(_, run, at)| (run, at));
            }
            3 => (warrant.nonce, issued.nonce) = (Some("0".repeat(48)), None),
            4 => warrant.kid = "anna-phone".to_owned(),
            5 => warrant.incident = Some(EventId([7; 16])),
            6 => {
                // Another warrant under a name that was used.
                if let Some(old) = self.centre.issued.last() {
                    warrant.jti = old.warrant.jti.clone();
                }
            }
            _ => {
                if let Some(old) = self.centre.issued.last().cloned() {
                    *issued = old;
                }
            }
        }
    }

    /// An order is on its way, by whichever path is there; without one it waits, and grows old.
    pub(super) fn orders(&mut self, warrant: Warrant) {
        let way = self.hub.as_ref().and_then(|hub| hub.voice.carries());
        match way {
            Some((at, conn)) => self.goes_down(at, conn, self.now, Down::Order(Box::new(warrant))),
            None if self.clock.truth(self.now) / 1000 < warrant.expires_s + 60 => {
                self.after(self.now + 7 * SECOND, Item::Order(Box::new(warrant)));
            }
            None => {}
        }
    }

    /// A warrant was obeyed, says the journal: it was one, it was in time, and this was its one time.
    pub(super) fn accepted(&mut self, event: &Event) -> Held {
        let Fact::WarrantAccepted { jti, digest, cmd, .. } = &event.fact else { return Ok(()) };
        let issued = self.centre.issued.iter().find(|one| one.warrant.jti == *jti && one.digest == *digest);
        let Some(issued) = issued else {
            return broken(Check::Warrant, format!("{jti} ({cmd}) was obeyed, and nobody issued it"));
        };
        let warrant = &issued.warrant;
        let operator = warrant.role == Role::ArcOperator;
        if operator != (warrant.kid == "arc-1") {
            return broken(Check::Warrant, format!("{jti} was signed by {}, which may not", warrant.kid));
        }
        if needs_nonce(&warrant.order) {
            let fresh = issued.nonce.is_some_and(|(run, at)| run == self.run && event.stamp.mono_ms - at <= MINUTE);
            if !fresh {
                return broken(Check::Warrant, format!("{jti} ({cmd}) was obeyed without a fresh challenge"));
            }
        } else if !event.stamp.trusted && !matches!(warrant.order, Order::Sos { .. } | Order::SirenStop { .. }) {
            return broken(Check::Warrant, format!("{jti} ({cmd}) was obeyed by a hub that does not know the time"));
        }
        // A call for help is heard for a day longer than it says.
        let late_s = if matches!(warrant.order, Order::Sos { .. }) { 86_400 } else { 0 };
        if event.stamp.trusted && (warrant.expires_s + late_s) * 1000 + SKEW_MS < event.stamp.wall_ms {
            return broken(Check::Warrant, format!("{jti} ({cmd}) was obeyed after it had expired"));
        }
        // A name may be used again once what bore it has expired: nobody can remember names for ever.
        let old = self.evidence.accepted.insert(jti.clone(), (digest.clone(), warrant.expires_s));
        let taken = old.is_some_and(|(other, expires_s)| {
            other != *digest && event.stamp.trusted && event.stamp.wall_ms <= expires_s * 1000
        });
        if !self.evidence.obeyed.insert(digest.clone()) {
            return broken(Check::Warrant, format!("{jti} ({cmd}) was obeyed twice"));
        }
        if taken {
            return broken(
                Check::Warrant,
                format!("{jti} ({cmd}) was obeyed under the name of another that still lives"),
            );
        }
        Ok(())
    }
}

fn needs_nonce(order: &Order) -> bool {
    matches!(order, Order::Lock { .. } | Order::Unlock { .. } | Order::EmergencyUnlock { .. } | Order::FogFire { .. })
}
