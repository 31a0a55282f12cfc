//! The detectors of the site, with their habits: they check in, say what they meet, say it again until the hub has it
//! on record, and fall silent.
//!
//! The air loses words; a detector that is not answered repeats itself a few times, as radios do, and then waits for
//! its next check-in, which tells how it stands.

use super::Item;
use super::Word;
use super::World;
use super::faults::Fault;
use super::story::HOUR;
use super::story::MINUTE;
use super::story::Met;
use super::story::SECOND;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::device::Report;
use vakt_core::event::ZoneRole;
use vakt_core::input::Input;

/// A detector as it was bought and placed.
#[derive(Debug)]
pub(super) struct Model {
    pub id: &'static str,
    pub kind: DeviceKind,
    /// Zone, area and part; a detector without a place guards all the same, if it guards a life.
    pub place: Option<(&'static str, &'static str, ZoneRole)>,
}

const fn model(id: &'static str, kind: DeviceKind, zone: &'static str, area: &'static str, role: ZoneRole) -> Model {
    Model { id, kind, place: Some((zone, area, role)) }
}

/// The site. The first is the door people come in by, the second on the way from there to the panel.
pub(super) const MODELS: [Model; 18] = [
    model("zb-00", DeviceKind::Contact, "hall-door", "house", ZoneRole::EntryDoor),
    model("zb-01", DeviceKind::Motion, "hall", "house", ZoneRole::EntryRoute),
    model("zb-02", DeviceKind::Motion, "living", "house", ZoneRole::Interior),
    model("zb-03", DeviceKind::Contact, "window", "house", ZoneRole::Perimeter),
    model("zb-04", DeviceKind::GlassBreak, "patio", "house", ZoneRole::Perimeter),
    model("zb-05", DeviceKind::Smoke, "kitchen", "house", ZoneRole::Always),
    model("zb-06.1", DeviceKind::Smoke, "attic", "house", ZoneRole::Always),
    model("zb-06.2", DeviceKind::Heat, "attic", "house", ZoneRole::Always),
    model("zb-08", DeviceKind::Co, "cellar", "house", ZoneRole::Always),
    model("zb-09", DeviceKind::Water, "laundry", "house", ZoneRole::Always),
    model("zb-10", DeviceKind::Sos, "bed", "house", ZoneRole::Always),
    model("zb-11", DeviceKind::Contact, "gate", "shed", ZoneRole::EntryDoor),
    model("zb-12", DeviceKind::Motion, "workshop", "shed", ZoneRole::Interior),
    Model { id: "en-13", kind: DeviceKind::Smoke, place: None },
    model("cam-hall", DeviceKind::Camera, "living", "house", ZoneRole::Interior),
    model("cam-shed", DeviceKind::Camera, "workshop", "shed", ZoneRole::Interior),
    model("zb-16", DeviceKind::Lock, "front-lock", "house", ZoneRole::Interior),
    model("zb-17", DeviceKind::Siren, "landing", "house", ZoneRole::Interior),
];

/// Which of the table it is.
pub(super) fn number_of(id: &DeviceId) -> Option<usize> {
    MODELS.iter().position(|model| model.id == id.as_str())
}

impl Model {
    pub(super) fn intrusion(&self) -> bool {
        use DeviceKind::{Contact, GlassBreak, Motion, Vibration};
        matches!(self.kind, Contact | Motion | GlassBreak | Vibration)
    }

    pub(super) fn device(&self) -> DeviceId {
        DeviceId::new(self.id).expect("the table holds ids")
    }

    /// Within how much silence it must be missed (requirements: intrusion 120 min; others by profile, 26 h here; a
    /// button without a battery is never missed).
    pub(super) fn missed_after_ms(&self) -> Option<u64> {
        match self.kind {
            DeviceKind::Sos => None,
            _ if self.intrusion() => Some(120 * MINUTE),
            _ => Some(26 * HOUR),
        }
    }

    fn rests(&self) -> DeviceState {
        if self.kind == DeviceKind::Contact { DeviceState::Closed } else { DeviceState::Clear }
    }

    fn meets(&self) -> DeviceState {
        if self.kind == DeviceKind::Contact { DeviceState::Open } else { DeviceState::Alarm }
    }

    /// Whether it watches for anything that it could meet.
    fn watches(&self) -> bool {
        use DeviceKind::{Camera, Lock, Siren};
        !matches!(self.kind, Camera | Lock | Siren)
    }
}

/// How often a word that nobody acknowledged is said again, and after how many ms for the first time.
const REPEATS: u32 = 6;
const REPEAT_MS: u64 = 2 * SECOND;

/// One detector at work.
#[derive(Debug)]
pub(super) struct Detector {
    pub model: &'static Model,
    state: DeviceState,
    tamper: bool,
    low_battery: bool,
    broken: bool,
    checks_in_ms: u64,
    /// Its check-in says how it stands, not only that it is there.
    tells_state: bool,
    mute_until: u64,
    /// The newest word's number, and the newest that was acknowledged.
    word: u64,
    acknowledged: u64,
}

impl World {
    pub(super) fn place_detectors(&mut self) {
        for (n, model) in MODELS.iter().enumerate() {
            let checks_in_ms = if model.intrusion() {
                self.prng.within(25 * MINUTE, 55 * MINUTE)
            } else {
                self.prng.within(3 * HOUR, 11 * HOUR)
            };
            self.detectors.push(Detector {
                model,
                state: model.rests(),
                tamper: false,
                low_battery: false,
                broken: false,
                checks_in_ms,
                tells_state: self.prng.chance(500),
                mute_until: 0,
                word: 0,
                acknowledged: 0,
            });
            // The first words come when it is taken out of its box.
            let first = self.now + self.prng.within(2 * SECOND, 90 * SECOND);
            self.after(first, Item::ChecksIn(n, true));
        }
    }

    pub(super) fn meets(&mut self, n: usize, met: Met) {
        let detector = &mut self.detectors[n];
        let button = detector.model.kind == DeviceKind::Sos;
        match met {
            Met::Begins | Met::Ends if !detector.model.watches() || button && met == Met::Ends => return,
            Met::Begins => detector.state = detector.model.meets(),
            Met::Ends => detector.state = detector.model.rests(),
            Met::Tamper(on) => detector.tamper = on,
            Met::LowBattery(on) => detector.low_battery = on,
            Met::Broken(on) => detector.broken = on,
            Met::Mute(for_ms) => {
                detector.mute_until = self.now + for_ms;
                let id = detector.model.id;
                return self.trace.note(self.now, id, format_args!("falls silent for {} s", for_ms / SECOND));
            }
        }
        self.trace.note(self.now, self.detectors[n].model.id, format_args!("{met:?}"));
        let tells = matches!(met, Met::Begins | Met::Ends);
        self.speaks(n, tells);
    }

    pub(super) fn checks_in(&mut self, n: usize, first: bool) {
        let every = self.detectors[n].checks_in_ms;
        let at = self.now + every - every / 20 + self.prng.below(every / 10);
        self.after(at, Item::ChecksIn(n, false));
        // A button has no battery to tell of.
        if self.detectors[n].model.kind != DeviceKind::Sos {
            let tells = first || self.detectors[n].tells_state;
            self.speaks(n, tells);
        }
    }

    fn speaks(&mut self, n: usize, tells_state: bool) {
        let detector = &mut self.detectors[n];
        detector.word += 1;
        let report = Report {
            state: (tells_state && detector.model.watches()).then_some(detector.state),
            tamper: Some(detector.tamper),
            low_battery: Some(detector.low_battery),
            fault: Some(detector.broken),
            ..Report::silent(detector.model.device(), detector.model.kind, Authenticated::MacCounter)
        };
        let number = detector.word;
        self.says(Word { n, number, report: Box::new(report), tries: 0 });
    }

    /// A word goes out, for the first time or again.
    pub(super) fn says(&mut self, word: Word) {
        let detector = &self.detectors[word.n];
        if detector.mute_until > self.now || detector.word != word.number || detector.acknowledged >= word.number {
            return;
        }
        if word.tries < REPEATS {
            let again = Word { tries: word.tries + 1, ..word.clone() };
            let at = self.now + (REPEAT_MS << word.tries) + self.prng.below(500);
            self.after(at, Item::Says(again));
        }
        if self.hub.is_some() && !self.strikes(Fault::RadioLoss) {
            let receipt = Some((word.n, word.number));
            self.inbox.push_back((Input::Report(*word.report), receipt));
        }
    }

    /// The hub has it on record: the radio's acknowledgement leaves after the commit.
    pub(super) fn acknowledged(&mut self, (n, number): (usize, u64)) {
        let detector = &mut self.detectors[n];
        detector.acknowledged = detector.acknowledged.max(number);
    }
}
