//! A life as it is written beforehand: what detectors meet, what people do, what breaks, and when. The world follows it
//! to the letter, so that a story that fails can be made shorter by leaving things out.
//!
//! What answers to the hub (a broker, a centre, an operator, a lock) is not in here; it follows from what the hub does.

use super::bugs::Bug;
use super::detectors::MODELS;
use super::detectors::Model;
use super::faults::Fault;
use super::faults::Faults;
use super::prng::Prng;
use vakt_core::device::DeviceKind;
use vakt_core::event::ArmMode;
use vakt_core::event::Profile;

pub(super) const SECOND: u64 = 1_000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// From one pull at a cable that flaps to the next.
pub(super) const FLAP_MS: u64 = 3 * SECOND;

/// The two areas of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Place {
    House,
    Shed,
}

impl Place {
    pub(super) fn name(self) -> &'static str {
        match self {
            Place::House => "house",
            Place::Shed => "shed",
        }
    }
}

/// What a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Deed {
    Arm(Place, ArmMode),
    Disarm(Place),
    /// Disarms from the telephone.
    DisarmFar(Place),
    ArmFar(Place, ArmMode),
    WrongCode,
    Hush,
    Cancel,
    /// At the panel.
    Sos,
    SosFar,
    Test(u32),
    /// The owner looks at his camera.
    Look,
    Chirp,
    Permit,
}

/// What a detector meets, or says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// What it watches for begins: it opens, sees somebody, smells smoke, is pressed.
    Begins,
    /// It ends.
    Ends,
    /// It is opened, or closed again.
    Tamper(bool),
    /// Its battery is nearly empty, or new.
    LowBattery(bool),
    /// It says that it is out of order, or no longer.
    Broken(bool),
    /// It says nothing for so many ms.
    Mute(u64),
}

/// Before which verb of a turn the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Nothing has been decided.
    Decide,
    /// Decided, not recorded.
    Record,
    /// Recorded, not applied.
    Apply,
    /// Applied; so many effects are released and the rest is not.
    Act(u8),
}

/// What becomes of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// Another program holds the file for the length of one commit.
    Busy,
    /// It has no room left.
    Full,
    /// Each commit fails.
    Failing,
    /// Each commit takes so many ms.
    Slow(u64),
}

/// What becomes of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkFault {
    /// Connections end and none can be made.
    Cut,
    /// Everything is swallowed, in both directions, and nobody says so.
    Hole,
    /// What the hub says arrives; it hears nothing.
    HalfOpen,
    /// What the hub says does not arrive; what is said to it does.
    Unheard,
    /// Everything takes so many ms.
    Slow(u64),
    /// Nothing passes, and this is why. The kernel rings so many ms later; none: not before it is well again.
    Unplugged(Cable, Option<u64>),
    /// The broker takes so many ms for each answer.
    BrokerSlow(u64),
    /// The broker ends what was connected, knows nothing of it any more, and takes nobody.
    BrokerRestarts,
    /// The broker answers with a no.
    Refuses(Refusal),
}

/// What is wrong with an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Cable {
    NoCarrier,
    NoAddress,
    NoDevice,
}

/// What a broker refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Refusal {
    Connect,
    Subscribe,
    Events,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// To a detector, by its number.
    Detector(usize, Met),
    /// By a person.
    Person(Deed),
    /// The process is killed in the next turn that decides something, and started again so many ms later.
    Kill(Verb, u64),
    /// The board loses its power for so many ms; `torn` bytes of rubbish end its journal's log.
    Power {
        /// How long it is dark.
        dark_ms: u64,
        /// What the torn end of the log is made of.
        torn: u64,
        /// Where the wall clock starts, in ms from the truth, and when a time source is found.
        clock: (i64, u64),
    },
    /// The wall clock is set, so many ms from the truth.
    ClockStep(i64),
    /// For so many ms.
    Disk(DiskFault, u64),
    /// A path, for so many ms.
    Link(usize, LinkFault, u64),
    /// For so many ms; `keeps`: the broker holds what comes meanwhile.
    CentreAway(u64, bool),
    /// A radio receiver of the hub fails, or works again.
    Receiver(bool),
}

impl Happening {
    /// Its class of faults; a path's is told by what comes of it.
    pub(super) fn class(&self) -> Option<Fault> {
        match self {
            Happening::Detector(_, Met::Mute(_)) => Some(Fault::Mute),
            Happening::Kill(..) => Some(Fault::Kill),
            Happening::Power { .. } => Some(Fault::Power),
            Happening::ClockStep(_) => Some(Fault::ClockStep),
            Happening::Disk(..) => Some(Fault::Disk),
            Happening::CentreAway(..) => Some(Fault::CentreAway),
            Happening::Detector(..) | Happening::Person(_) | Happening::Receiver(_) | Happening::Link(..) => None,
        }
    }
}

/// A life before it is lived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// What everything is drawn from.
    pub seed: u64,
    /// How long it lasts before everything is healed, in ms.
    pub length_ms: u64,
    /// What may go wrong by chance.
    pub faults: Faults,
    /// The country's policy.
    pub profile: Profile,
    /// Events that may wait in memory while the disk fails.
    pub room: usize,
    /// Events from snapshot to snapshot.
    pub snapshot_every: u64,
    /// What happens, in order of time.
    pub happenings: Vec<(u64, Happening)>,
    /// What is wrong with the hub on purpose, to see that it is found.
    pub bug: Option<Bug>,
}

impl Story {
    /// The life of this seed.
    pub fn of(seed: u64) -> Self {
        let mut prng = Prng::new(seed).apart(1);
        let days = prng.within(1, 7);
        let faults = Faults::swarm(&mut prng);
        let profile = prng.pick(&[Profile::Se, Profile::Se, Profile::Dk, Profile::No]);
        let room = prng.pick(&[4096, 4096, 64, 6]);
        let snapshot_every = prng.wild(15, 2_000);
        let mut script = Script { prng, at: Vec::new() };
        for day in 0..days {
            script.day(day * DAY);
        }
        script.breakage(days, &faults);
        let mut happenings = script.at;
        happenings.retain(|(at, _)| *at < days * DAY);
        happenings.sort_by_key(|(at, _)| *at);
        let length_ms = days * DAY;
        Self { seed, length_ms, faults, profile, room, snapshot_every, happenings, bug: None }
    }

    /// The same with something wrong on purpose.
    pub fn with(self, bug: Bug) -> Self {
        // What hoards shows where there is no room.
        let room = if bug == Bug::HoardsEvents { 0 } else { self.room };
        Self { bug: Some(bug), room, ..self }
    }

    /// Virtual days, begun ones counted.
    pub fn days(&self) -> u64 {
        self.length_ms.div_ceil(DAY)
    }
}

/// How often a class strikes in so many days.
fn times(prng: &mut Prng, faults: &Faults, fault: Fault, days: u64) -> u64 {
    let tenths = u64::from(faults.rate(fault)) * days;
    tenths / 10 + u64::from(prng.below(10) < tenths % 10)
}

struct Script {
    prng: Prng,
    at: Vec<(u64, Happening)>,
}

impl Script {
    fn push(&mut self, at: u64, happening: Happening) {
        self.at.push((at, happening));
    }

    fn met(&mut self, at: u64, n: usize, met: Met) {
        self.push(at, Happening::Detector(n, met));
    }

    fn does(&mut self, at: u64, deed: Deed) {
        self.push(at, Happening::Person(deed));
    }

    /// Something begins and ends.
    fn passes(&mut self, at: u64, n: usize, for_ms: u64) {
        self.met(at, n, Met::Begins);
        self.met(at + for_ms, n, Met::Ends);
    }

    fn any(&mut self, which: fn(&Model) -> bool) -> usize {
        let fitting: Vec<usize> = MODELS.iter().enumerate().filter(|(_, model)| which(model)).map(|(n, _)| n).collect();
        self.prng.pick(&fitting)
    }

    /// A family's day: up, out, home again, to bed; and what else a day may bring.
    fn day(&mut self, from: u64) {
        let up = from + self.prng.within(5 * HOUR, 7 * HOUR);
        let out = from + self.prng.within(7 * HOUR + 30 * MINUTE, 9 * HOUR);
        let home = from + self.prng.within(15 * HOUR, 18 * HOUR);
        let bed = from + self.prng.within(21 * HOUR, 23 * HOUR);
        self.does(up, Deed::Disarm(Place::House));
        if self.prng.chance(800) {
            self.leaves(out);
            self.comes_home(home);
        }
        if self.prng.chance(800) {
            self.does(bed, Deed::Arm(Place::House, ArmMode::Home));
        }
        if self.prng.chance(600) {
            self.does(from + self.prng.clone().within(0, 12 * HOUR), Deed::Arm(Place::Shed, ArmMode::Away));
            let at = from + self.prng.within(12 * HOUR, 24 * HOUR);
            self.does(at, Deed::Disarm(Place::Shed));
        }
        for _ in 0..self.prng.within(2, 8) {
            let at = from + self.prng.below(DAY);
            let n = self.any(|model| model.intrusion());
            let for_ms = self.prng.wild(2 * SECOND, HOUR);
            self.passes(at, n, for_ms);
        }
        for _ in 0..self.prng.within(1, 6) {
            let at = from + self.prng.below(DAY);
            self.incident(at);
        }
    }

    fn leaves(&mut self, at: u64) {
        let door = 0;
        self.does(at, Deed::Arm(Place::House, ArmMode::Away));
        if self.prng.chance(100) {
            // Something is open: the same code again, in time or not.
            let again = at + self.prng.within(2 * SECOND, 45 * SECOND);
            self.does(again, Deed::Arm(Place::House, ArmMode::Away));
        }
        let opens = at + self.prng.within(3 * SECOND, 25 * SECOND);
        let stays_open = if self.prng.chance(80) { 5 * MINUTE } else { self.prng.within(SECOND, 8 * SECOND) };
        self.passes(opens, door, stays_open);
    }

    fn comes_home(&mut self, at: u64) {
        let (door, hall) = (0, 1);
        let stays_open = self.prng.within(2 * SECOND, 10 * SECOND);
        self.passes(at, door, stays_open);
        let hall_ms = self.prng.within(SECOND, 15 * SECOND);
        self.passes(at + hall_ms, hall, 30 * SECOND);
        let mut disarms = at + self.prng.within(8 * SECOND, 40 * SECOND);
        if self.prng.chance(150) {
            self.does(disarms, Deed::WrongCode);
            disarms += self.prng.within(2 * SECOND, 40 * SECOND);
        }
        match self.prng.below(20) {
            0 => {}
            1 => self.does(disarms + 2 * MINUTE, Deed::Disarm(Place::House)),
            2 => self.does(disarms, Deed::DisarmFar(Place::House)),
            _ => self.does(disarms, Deed::Disarm(Place::House)),
        }
        if self.prng.chance(100) {
            let at = disarms + self.prng.within(SECOND, 4 * MINUTE);
            self.does(at, Deed::Cancel);
        }
    }

    /// What a day may bring besides.
    fn incident(&mut self, at: u64) {
        match self.prng.below(20) {
            0 | 1 => self.burglar(at),
            2 => self.toast(at),
            3 => self.fire(at),
            4 => {
                let n = self.any(|model| model.kind == DeviceKind::Sos);
                self.met(at, n, Met::Begins);
                if self.prng.chance(300) {
                    let again = at + self.prng.within(5 * SECOND, MINUTE);
                    self.met(again, n, Met::Begins);
                }
            }
            5 => {
                let deed = self.prng.pick(&[Deed::Sos, Deed::SosFar]);
                self.does(at, deed);
            }
            6 => {
                let n = self.any(|model| matches!(model.kind, DeviceKind::Water | DeviceKind::Co | DeviceKind::Heat));
                let for_ms = self.prng.wild(MINUTE, 5 * HOUR);
                self.passes(at, n, for_ms);
            }
            7 | 8 => self.chatter(at),
            9 | 10 => {
                let n = self.any(|_| true);
                let for_ms = self.prng.wild(10 * SECOND, 3 * HOUR);
                let times = if self.prng.chance(200) { 6 } else { 1 };
                for turn in 0..times {
                    self.met(at + turn * 2 * for_ms, n, Met::Tamper(true));
                    self.met(at + turn * 2 * for_ms + for_ms, n, Met::Tamper(false));
                }
            }
            11 => {
                let n = self.any(|_| true);
                let for_ms = self.prng.wild(MINUTE, 20 * HOUR);
                self.met(at, n, Met::LowBattery(true));
                self.met(at + for_ms, n, Met::LowBattery(false));
            }
            12 => {
                let n = self.any(|_| true);
                let for_ms = self.prng.wild(MINUTE, 20 * HOUR);
                self.met(at, n, Met::Broken(true));
                self.met(at + for_ms, n, Met::Broken(false));
            }
            13 => {
                self.push(at, Happening::Receiver(false));
                let for_ms = self.prng.wild(SECOND, 2 * HOUR);
                self.push(at + for_ms, Happening::Receiver(true));
            }
            14 => (0..5).for_each(|n| self.does(at + n * 3 * SECOND, Deed::WrongCode)),
            15 => {
                let minutes = self.prng.within(1, 60) as u32;
                self.does(at, Deed::Test(minutes));
            }
            16 => self.does(at, Deed::Look),
            17 => self.does(at, Deed::Hush),
            18 => self.does(at, Deed::Permit),
            _ => self.does(at, Deed::Chirp),
        }
    }

    fn burglar(&mut self, at: u64) {
        let mut at = at;
        for _ in 0..self.prng.within(1, 6) {
            let n = self.any(|model| model.intrusion());
            let for_ms = self.prng.wild(SECOND, 2 * MINUTE);
            self.passes(at, n, for_ms);
            at += self.prng.wild(2 * SECOND, 20 * MINUTE);
        }
        if self.prng.chance(300) {
            let place = self.prng.pick(&[Place::House, Place::Shed]);
            self.does(at, Deed::Disarm(place));
        }
    }

    fn toast(&mut self, at: u64) {
        let n = self.any(|model| model.kind == DeviceKind::Smoke);
        let for_ms = self.prng.wild(20 * SECOND, 10 * MINUTE);
        self.passes(at, n, for_ms);
        let hushes = at + self.prng.wild(10 * SECOND, 5 * MINUTE);
        let deed = self.prng.pick(&[Deed::Hush, Deed::Hush, Deed::Cancel, Deed::Disarm(Place::House)]);
        self.does(hushes, deed);
    }

    fn fire(&mut self, at: u64) {
        let mut at = at;
        for _ in 0..self.prng.within(1, 4) {
            let n = self.any(|model| matches!(model.kind, DeviceKind::Smoke | DeviceKind::Heat | DeviceKind::Co));
            let for_ms = self.prng.wild(MINUTE, HOUR);
            self.passes(at, n, for_ms);
            at += self.prng.wild(2 * SECOND, 15 * MINUTE);
        }
    }

    /// A door in the wind, a smoke detector in the steam.
    fn chatter(&mut self, at: u64) {
        let n = self.any(|_| true);
        let mut at = at;
        for _ in 0..self.prng.within(3, 14) {
            let for_ms = self.prng.wild(200, 20 * SECOND);
            self.passes(at, n, for_ms);
            at += for_ms + self.prng.wild(200, 40 * SECOND);
        }
    }

    /// What breaks, as often as the swarm says.
    fn breakage(&mut self, days: u64, faults: &Faults) {
        for fault in [Fault::Mute, Fault::Kill, Fault::Power, Fault::ClockStep, Fault::Disk, Fault::CentreAway] {
            for _ in 0..times(&mut self.prng, faults, fault, days) {
                let at = self.prng.below(days * DAY);
                let happening = self.breaks(fault, faults);
                self.push(at, happening);
            }
        }
        for path in 0..2 {
            for _ in 0..times(&mut self.prng, faults, Fault::Link, days) {
                let at = self.prng.below(days * DAY);
                let slow = LinkFault::Slow(self.prng.wild(100, 6_000));
                let fault = self.prng.pick(&[LinkFault::Cut, LinkFault::Hole, LinkFault::HalfOpen, slow]);
                let for_ms = self.prng.wild(SECOND, 8 * HOUR);
                self.push(at, Happening::Link(path, fault, for_ms));
            }
        }
        // What breaks at the worst moment: near something that happens.
        let moments: Vec<u64> = self.at.iter().map(|(at, _)| *at).collect();
        for (at, happening) in &mut self.at {
            if matches!(happening, Happening::Kill(..) | Happening::Disk(..) | Happening::Power { .. })
                && self.prng.chance(700)
            {
                *at = self.prng.pick(&moments).saturating_sub(self.prng.below(3_000));
            }
        }
        let mut later = Script { prng: self.prng.apart(3), at: Vec::new() };
        later.paths_break(days, faults);
        self.at.append(&mut later.at);
    }

    /// What breaks of the paths and the broker besides.
    fn paths_break(&mut self, days: u64, faults: &Faults) {
        for fault in [Fault::Cable, Fault::Unheard, Fault::BrokerSlow, Fault::BrokerRefuses] {
            for path in 0..2 {
                for _ in 0..times(&mut self.prng, faults, fault, days) {
                    let at = self.prng.below(days * DAY);
                    let what = self.path_fault(fault, faults);
                    let for_ms = self.prng.wild(SECOND, 4 * HOUR);
                    self.push(at, Happening::Link(path, what, for_ms));
                }
            }
        }
        for _ in 0..times(&mut self.prng, faults, Fault::BrokerRestarts, days) {
            let (at, for_ms) = (self.prng.below(days * DAY), self.prng.wild(SECOND, 5 * MINUTE));
            (0..2).for_each(|path| self.push(at, Happening::Link(path, LinkFault::BrokerRestarts, for_ms)));
        }
        for _ in 0..times(&mut self.prng, faults, Fault::Blackout, days) {
            let (at, for_ms) = (self.prng.below(days * DAY), self.prng.wild(HOUR, 10 * HOUR));
            for path in 0..2 {
                let cable = self.path_fault(Fault::Cable, faults);
                let what = self.prng.pick(&[LinkFault::Cut, LinkFault::Hole, cable]);
                self.push(at, Happening::Link(path, what, for_ms));
            }
        }
        for _ in 0..times(&mut self.prng, faults, Fault::Flap, days) {
            let (path, mut at) = (self.prng.below(2) as usize, self.prng.below(days * DAY));
            for _ in 0..self.prng.wild(4, 100) {
                self.push(at, Happening::Link(path, LinkFault::Unplugged(Cable::NoCarrier, Some(0)), FLAP_MS / 2));
                at += FLAP_MS;
            }
        }
    }

    fn path_fault(&mut self, fault: Fault, faults: &Faults) -> LinkFault {
        let prng = &mut self.prng;
        match fault {
            Fault::Cable => {
                let cable = prng.pick(&[Cable::NoCarrier, Cable::NoCarrier, Cable::NoAddress, Cable::NoDevice]);
                let late = prng.chance(faults.rate(Fault::KernelLate));
                let rings = if late { prng.chance(500).then(|| prng.wild(SECOND, MINUTE)) } else { Some(0) };
                LinkFault::Unplugged(cable, rings)
            }
            Fault::BrokerSlow => LinkFault::BrokerSlow(prng.wild(100, 20_000)),
            Fault::BrokerRefuses => {
                LinkFault::Refuses(prng.pick(&[Refusal::Connect, Refusal::Subscribe, Refusal::Events]))
            }
            _ => LinkFault::Unheard,
        }
    }

    fn breaks(&mut self, fault: Fault, faults: &Faults) -> Happening {
        let prng = &mut self.prng;
        match fault {
            Fault::Kill => {
                let act = Verb::Act(prng.below(4) as u8);
                let verb = prng.pick(&[Verb::Decide, Verb::Record, Verb::Apply, act]);
                Happening::Kill(verb, prng.wild(200, 30 * SECOND))
            }
            Fault::Power => {
                let dark_ms = prng.wild(5 * SECOND, 6 * HOUR);
                // No clock chip: it starts in 1970, where an image was made, or where it last stood.
                let early = [-1_795_208_400_000, -31_536_000_000, -(dark_ms as i64)];
                let finds_ms =
                    if prng.chance(faults.rate(Fault::NoClock)) { prng.wild(HOUR, 40 * HOUR) } else { 20_000 };
                Happening::Power { dark_ms, torn: prng.below(9_000), clock: (prng.pick(&early), finds_ms) }
            }
            Fault::ClockStep => {
                let by_ms = prng.wild(SECOND, 400 * DAY) as i64;
                Happening::ClockStep(prng.pick(&[by_ms, -by_ms, 0, 0]))
            }
            Fault::Disk => {
                let slow = DiskFault::Slow(prng.wild(20, 20 * SECOND));
                let fault = prng.pick(&[DiskFault::Busy, DiskFault::Full, DiskFault::Failing, slow]);
                Happening::Disk(fault, prng.wild(SECOND, 10 * MINUTE))
            }
            Fault::CentreAway => Happening::CentreAway(prng.wild(SECOND, 2 * HOUR), prng.chance(500)),
            _ => {
                let n = prng.below(MODELS.len() as u64) as usize;
                Happening::Detector(n, Met::Mute(prng.wild(30 * MINUTE, 40 * HOUR)))
            }
        }
    }
}
