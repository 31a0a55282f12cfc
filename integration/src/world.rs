//! The simulated world: one hub in its house, with its people, its networks and its centre, for days, by one seed, in
//! one thread, without sleeping and without a clock. Beneath tokio and beside it.
//!
//! Real are the panel, the journal's code on real SQLite in a folder in memory, the outbox with its windows, hearts and
//! back-offs, and the reference centre's ledger. Simulated is everything that touches the world: `hub` and `voice` play
//! the turn and the connections as `hub/io` and `upstream/io` do. What a life meets is written in a `Story`; `live` lives
//! it and says which check did not hold, if one did not. The checks ask nothing of the code they judge.

mod bugs;
mod centre;
mod checks;
mod clock;
mod detectors;
mod disk;
mod due;
mod faults;
mod household;
mod hub;
mod keeping;
mod net;
mod oracle;
mod prng;
mod settle;
mod shrink;
mod story;
mod trace;
mod verdict;
mod voice;

pub use bugs::Bug;
pub use checks::Broken;
pub use checks::Check;
pub use faults::Fault;
pub use faults::Faults;
pub use faults::Struck;
pub use shrink::shrink;
pub use story::Cable;
pub use story::Deed;
pub use story::DiskFault;
pub use story::Happening;
pub use story::LinkFault;
pub use story::Met;
pub use story::Place as Area;
pub use story::Refusal;
pub use story::Story;
pub use story::Verb;

use centre::Centre;
use checks::Evidence;
use checks::Held;
use checks::broken;
use clock::Clock;
use detectors::Detector;
use detectors::MODELS;
use detectors::number_of;
use disk::Disk;
use due::Due;
use due::Item;
use due::Word;
use household::Look;
use hub::Hub;
use hub::Last;
use hub::TURN_MAX;
use net::Link;
use oracle::Oracle;
use prng::Prng;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::BinaryHeap;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use trace::Trace;
use vakt_core::alarm::state::Arming;
use vakt_core::alarm::state::State;
use vakt_core::device::AreaId;
use vakt_core::device::DeviceFault;
use vakt_core::device::Report;
use vakt_core::event::Class;
use vakt_core::event::Event;
use vakt_core::event::EventId;
use vakt_core::event::Fact;
use vakt_core::input::Input;
use vakt_core::input::Sound;
use vakt_core::port::Links;
use vakt_core::port::Place;
use vakt_core::stamp::Stamp;
use vaktd::journal::io::writer::Keys;
use vaktd::upstream::outbox::ConnId;
use vaktd::upstream::outbox::Publish;
use verdict::Said;

/// How late a delay may be looked at, in ms: a slow disk holds a turn up for a second.
const IN_TIME_MS: u64 = 5_000;

/// Steps at one moment. A burst that comes through at once is hundreds.
const STEPS_AT_ONCE_MAX: u32 = 20_000;

/// What came of a life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// The first check that did not hold.
    pub broken: Option<Broken>,
    /// When it ended, in virtual ms.
    pub ended_ms: u64,
    /// Turns of the hub.
    pub turns: u64,
    /// Rows of its journal.
    pub events: u64,
    /// Starts of its process.
    pub starts: u32,
    /// How often each class of faults has struck.
    pub struck: Struck,
    /// Over all trace lines.
    pub hash: u64,
    /// The trace, where it was asked for.
    pub lines: Vec<String>,
}

/// Lives a story. `keep`: with its trace lines.
pub fn live(story: &Story, keep: bool) -> Life {
    let mut world = World::new(story.clone(), keep);
    // What panics is found like everything else; an invariant of the daemon is a check of its own.
    let lived = catch_unwind(AssertUnwindSafe(|| world.lives()));
    let broken = match lived {
        Ok(held) => held.err(),
        Err(why) => {
            let text = why.downcast_ref::<String>().map(String::as_str).or(why.downcast_ref::<&str>().copied());
            Some(Broken { check: Check::Panics, what: text.unwrap_or("without a word").to_owned() })
        }
    };
    if let Some(broken) = &broken {
        world.trace.note(world.now, "check", format_args!("{broken}"));
    }
    let (ended_ms, turns, starts) = (world.now, world.turns, world.run);
    let events = world.evidence.rows.len() as u64;
    let (hash, lines) = world.trace.end();
    Life { broken, ended_ms, turns, events, starts, struck: world.struck, hash, lines }
}

/// Everything there is.
struct World {
    story: Story,
    /// Where in the story it is.
    page: usize,
    now: u64,
    clock: Clock,
    prng: Prng,
    heap: BinaryHeap<Reverse<Due>>,
    pushed: u64,
    /// Steps since time last passed.
    still: u32,
    trace: Trace,
    // — the hub
    hub: Option<Hub>,
    disk: Disk,
    disk_fault: Option<DiskFault>,
    disk_heals_at: u64,
    keys: Keys,
    /// Starts of the process so far.
    run: u32,
    kill: Option<(Verb, u64)>,
    /// Without power.
    dark: bool,
    last: Option<Last>,
    last_turn: u64,
    turns: u64,
    requests: u64,
    conns: ConnId,
    inbox: VecDeque<(Input, Option<(usize, u64)>)>,
    asks: VecDeque<Input>,
    // — around it
    detectors: Vec<Detector>,
    everybody: Vec<Input>,
    links: [Link; 2],
    /// How the interfaces stand by the kernel's last word; none: it says nothing in this run of the process.
    kernel: Option<Links>,
    /// What the hub has said of each path, and what it may say.
    said: [Said; 2],
    /// Alarms that wait for the centre, by when they must be told to be late, and those that were.
    waiting: BTreeSet<(u64, Place, EventId)>,
    late: BTreeSet<EventId>,
    struck: Struck,
    last_at_centre: u64,
    /// The connection whose last words are lost.
    lost_tail: Option<ConnId>,
    centre: Centre,
    looks: Vec<Look>,
    sounding: Option<Sound>,
    /// Nobody knows what the sirens were told: the process has just begun.
    quiet: bool,
    held_back: Option<(ConnId, Publish)>,
    // — what is known of it
    installing: bool,
    settling: bool,
    shadow: State,
    evidence: Evidence,
    incident_of: BTreeMap<EventId, EventId>,
    oracle: Oracle,
    /// While the disk fails: what a start would know, and what later turns add to it.
    unsaved: Option<(Oracle, VecDeque<(EventId, Oracle)>)>,
    kept_alarms: Vec<EventId>,
    fires: BTreeSet<EventId>,
    /// Per detector: when it was last heard, and whether the journal calls it missing.
    heard: [Option<Stamp>; MODELS.len()],
    missing: [bool; MODELS.len()],
    /// When the disk last failed, for what waits for it.
    disk_failed_at: u64,
    /// Events the broker or the centre lost on purpose.
    forgotten: u64,
}

impl World {
    fn new(story: Story, keep: bool) -> Self {
        let mut prng = Prng::new(story.seed).apart(2);
        let links = [Link::new(prng.within(5, 60)), Link::new(prng.within(40, 400))];
        let silent = |model: &detectors::Model| {
            Input::Report(Report::silent(model.device(), model.kind, vakt_core::device::Authenticated::Crc))
        };
        Self {
            story,
            page: 0,
            now: 0,
            clock: Clock::new(),
            prng,
            heap: BinaryHeap::new(),
            pushed: 0,
            still: 0,
            trace: Trace::new(keep),
            hub: None,
            disk: Disk::new(),
            disk_fault: None,
            disk_heals_at: 0,
            keys: hub::keys(),
            run: 0,
            kill: None,
            dark: false,
            last: None,
            last_turn: 0,
            turns: 0,
            requests: 0,
            conns: 0,
            inbox: VecDeque::new(),
            asks: VecDeque::new(),
            detectors: Vec::new(),
            everybody: MODELS.iter().map(silent).collect(),
            links,
            kernel: None,
            said: Default::default(),
            waiting: BTreeSet::new(),
            late: BTreeSet::new(),
            struck: Struck::default(),
            last_at_centre: 0,
            lost_tail: None,
            centre: Centre::default(),
            looks: Vec::new(),
            sounding: None,
            quiet: true,
            held_back: None,
            installing: true,
            settling: false,
            shadow: State::default(),
            evidence: Evidence::default(),
            incident_of: BTreeMap::new(),
            oracle: Oracle::default(),
            unsaved: None,
            kept_alarms: Vec::new(),
            fires: BTreeSet::new(),
            heard: [None; MODELS.len()],
            missing: [false; MODELS.len()],
            disk_failed_at: 0,
            forgotten: 0,
        }
    }

    /// Whether a class strikes that is counted of a thousand.
    fn strikes(&mut self, fault: Fault) -> bool {
        let strikes = self.prng.chance(self.story.faults.rate(fault));
        if strikes {
            self.struck.by(fault);
        }
        strikes
    }

    fn stamp(&self) -> Stamp {
        self.clock.stamp(self.now)
    }

    /// At this time, after everything that was put there before.
    fn after(&mut self, at: u64, item: Item) {
        self.pushed += 1;
        self.heap.push(Reverse(Due { at: at.max(self.now), n: self.pushed, item }));
    }

    /// The whole life: installed, lived, healed.
    fn lives(&mut self) -> Held {
        self.trace.note(0, "world", format_args!("seed {} {} days", self.story.seed, self.story.days()));
        self.starts()?;
        self.installs()?;
        let areas: Vec<(&str, u64)> =
            household::AREAS.iter().map(|(id, entry_s, _)| (*id, u64::from(*entry_s))).collect();
        self.oracle = Oracle::new(self.stamp(), &areas);
        self.installing = false;
        self.place_detectors();
        let end = self.story.length_ms;
        while self.step(end)? {}
        self.settles()
    }

    /// The earliest that happens, if it does before `end`.
    fn step(&mut self, end: u64) -> Result<bool, Broken> {
        let heap = self.heap.peek().map_or(u64::MAX, |due| due.0.at);
        let page = self.story.happenings.get(self.page).map_or(u64::MAX, |(at, _)| *at);
        let hub = self.hub_due_at();
        let next = heap.min(page).min(hub).max(self.now);
        self.still = if next == self.now { self.still + 1 } else { 0 };
        if self.still > STEPS_AT_ONCE_MAX {
            return broken(Check::Limits, "time stands still: something is done at once, again and again");
        }
        if next >= end {
            self.now = self.now.max(end);
            return Ok(false);
        }
        self.now = next;
        while self.heap.peek().is_some_and(|due| due.0.at <= self.now) {
            if let Some(Reverse(due)) = self.heap.pop() {
                self.plays(due.item)?;
            }
        }
        while let Some((_, happening)) = self.story.happenings.get(self.page).copied().filter(|(at, _)| *at <= self.now)
        {
            self.page += 1;
            self.happens(happening)?;
        }
        self.hub_works()?;
        Ok(true)
    }

    fn hub_due_at(&mut self) -> u64 {
        let mono = self.clock.mono(self.now);
        let Some(hub) = self.hub.as_mut() else { return u64::MAX };
        let turn = hub.next_at();
        if hub.voice.stirred {
            return self.now;
        }
        let voice = self.clock.when(hub.voice.due_mono_ms(mono));
        // What is due and could not be done is looked at again a little later, not at once.
        turn.min(if voice <= self.now { self.now + 20 } else { voice })
    }

    /// Everything the process does at this moment.
    fn hub_works(&mut self) -> Held {
        loop {
            if self.hub.is_none() {
                return Ok(());
            }
            self.tries_disk()?;
            let Some(hub) = self.hub.as_mut() else { return Ok(()) };
            let mut inputs = std::mem::take(&mut hub.again);
            let due = hub.due_at <= self.now;
            let mut words = Vec::new();
            // One person at a time, so that what follows from it can be told apart.
            inputs.extend(self.asks.pop_front());
            while inputs.len() < TURN_MAX
                && let Some((input, word)) = self.inbox.pop_front()
            {
                words.extend(word);
                inputs.push(input);
            }
            if inputs.is_empty() && due {
                inputs.push(Input::Tick);
            }
            if inputs.is_empty() {
                break;
            }
            let run = self.run;
            self.turn(inputs)?;
            if self.hub.is_some() && self.run == run {
                words.into_iter().for_each(|word| self.acknowledged(word));
            }
            if self.asks.is_empty() && self.hub.as_ref().is_none_or(|hub| hub.again.is_empty()) && self.inbox.is_empty()
            {
                break;
            }
        }
        self.speaks_up()?;
        self.watched()?;
        self.in_time()?;
        self.nobody_is_forgotten()
    }

    /// What a delay leads to comes when it has run out, and not when somebody happens to look.
    fn in_time(&self) -> Held {
        let now = self.clock.stamp(self.now);
        let up = self.hub.as_ref().is_some_and(|hub| now.mono_ms > hub.since.mono_ms + IN_TIME_MS);
        match self.oracle.overdue(now, IN_TIME_MS) {
            Some(area) if up => broken(Check::Oracle, format!("a delay of {area} has run out, and nothing came of it")),
            _ => Ok(()),
        }
    }

    fn plays(&mut self, item: Item) -> Held {
        match item {
            Item::ChecksIn(n, first) => self.checks_in(n, first),
            Item::Says(word) => self.says(word),
            Item::Acted(command, act, error) => {
                if self.hub.is_some() {
                    self.inbox.push_back((Input::Acted { command, act, error }, None));
                }
            }
            Item::Starts => self.starts()?,
            Item::PowerBack(off_ms, finds_ms) => {
                self.dark = false;
                if finds_ms >= story::HOUR {
                    self.struck.by(Fault::NoClock);
                }
                self.clock.boots(self.now, off_ms);
                self.after(self.now + finds_ms, Item::FindsTime(self.clock.boot()));
                self.after(self.now + 4_000, Item::Starts);
            }
            Item::FindsTime(boot) if boot == self.clock.boot() => {
                self.clock.finds_time();
                self.trace.note(self.now, "clock", format_args!("is right"));
                self.clock_moved();
            }
            Item::FindsTime(_) => {}
            Item::DiskHeals(at) if at == self.disk_heals_at => self.disk_heals(),
            Item::DiskHeals(_) => {}
            Item::Clears(path, until) => self.clears(path, until),
            Item::Rings(path) => self.kernel_rings(path),
            Item::AtBroker { path, conn, packet } => self.at_broker(path, conn, *packet),
            Item::AtHub { path, conn, down } => self.at_hub(path, conn, *down)?,
            Item::AtCentre { class, wire } => self.at_centre(class, wire)?,
            Item::Signs => self.signs(),
            Item::Operator(incident) => self.operator(incident),
            Item::Order(warrant) => self.orders(*warrant),
        }
        Ok(())
    }

    fn happens(&mut self, happening: Happening) -> Held {
        happening.class().into_iter().for_each(|class| self.struck.by(class));
        match happening {
            Happening::Detector(n, met) => self.meets(n, met),
            Happening::Person(deed) => self.does(deed),
            Happening::Kill(Verb::Decide, down_ms) => {
                self.after(self.now + down_ms, Item::Starts);
                self.dies("killed", vec![])?;
            }
            Happening::Kill(verb, down_ms) => self.kill = Some((verb, down_ms)),
            Happening::Power { dark_ms, torn, clock: (off_ms, finds_ms) } => {
                self.dies("without power", vec![])?;
                if !self.dark {
                    self.disk_heals();
                    self.disk.power_cut(torn, &mut self.prng);
                    self.dark = true;
                    self.after(self.now + dark_ms, Item::PowerBack(off_ms, finds_ms));
                }
            }
            Happening::ClockStep(off_ms) => {
                self.clock.is_set(off_ms);
                self.trace.note(self.now, "clock", format_args!("is set, {off_ms} ms off"));
                self.clock_moved();
            }
            Happening::Disk(fault, for_ms) => self.disk_breaks(fault, for_ms),
            Happening::Link(path, fault, for_ms) => self.weather(path, fault, for_ms),
            Happening::CentreAway(for_ms, keeps) => self.centre_leaves(for_ms, keeps),
            Happening::Receiver(works) => {
                let error = (!works).then(|| "unplugged".to_owned());
                if self.hub.is_some() {
                    self.inbox.push_back((Input::Receiver { receiver: "stick-1".to_owned(), error }, None));
                }
            }
        }
        Ok(())
    }

    /// What has been committed meanwhile is taken down.
    fn look(&mut self) -> Held {
        for row in self.disk.look() {
            self.shadow.apply(&row.event);
            let event = row.event.clone();
            let armed = row.event.area.as_ref().is_some_and(|area| self.oracle.guards(area.as_str()));
            match &event.fact {
                Fact::AlarmRaised { .. } => drop(self.incident_of.insert(event.id, event.incident.unwrap_or(event.id))),
                Fact::FaultRaised { fault: DeviceFault::Missing }
                | Fact::FaultCleared { fault: DeviceFault::Missing } => {
                    let missing = matches!(event.fact, Fact::FaultRaised { .. });
                    let n = event.device.as_ref().and_then(number_of);
                    n.into_iter().for_each(|n| self.missing[n] = missing);
                }
                _ => {}
            }
            if event.fact.class() == Class::Alarm {
                self.alarm_waits(row.place, event.id);
            }
            self.evidence.row(row, armed)?;
            if matches!(event.fact, Fact::WarrantAccepted { .. }) {
                self.accepted(&event)?;
            }
        }
        Ok(())
    }

    /// An event was decided and is on record, or kept: what must come of it is noted. Whether it is only kept.
    fn witnesses(&mut self, event: &Event) -> Result<bool, Broken> {
        let kept = !self.evidence.on_disk.contains_key(&event.id);
        if let Fact::AlarmRaised { kind, .. } = event.fact
            && checks::life(kind)
        {
            self.evidence.life.insert(event.id, kind);
            if kept {
                self.kept_alarms.push(event.id);
            }
            self.remembers_fire(event);
        }
        if let (Fact::FaultRaised { fault: DeviceFault::Missing }, Some(device)) = (&event.fact, &event.device) {
            self.missed_rightly(device, event.stamp)?;
        }
        if kept {
            self.disk_failed_at = self.now;
        }
        Ok(kept)
    }

    /// Who has been heard.
    fn hears_who(&mut self, heard: &[Input]) {
        for input in heard {
            if let Input::Report(report) = input
                && let Some(n) = number_of(&report.device)
            {
                self.heard[n] = Some(self.clock.stamp(self.now));
            }
        }
    }

    /// The areas stand as the oracle says.
    fn areas_agree(&self) -> Held {
        let Some(hub) = self.hub.as_ref() else { return Ok(()) };
        for (id, _, _) in household::AREAS {
            let area = AreaId::new(id).expect("an id");
            let alarm = matches!(hub.panel.state().areas[&area].arming, Arming::Alarm { .. });
            if alarm != self.oracle.in_alarm(id) {
                return broken(Check::Oracle, format!("{id} in alarm: {alarm}; it must be {}", !alarm));
            }
        }
        Ok(())
    }
}
