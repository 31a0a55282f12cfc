//! Every order in which a few things can happen, on the real panel: breadth first, until nothing new comes or the depth
//! is reached. What must hold is told here by the requirements alone, from what happened, without asking the code that
//! judges: no door for the centre without a verified fire or a call for help, no fog outside its ground, no picture
//! outside its window, no trace of a threat on site, no fire or call for help that is not told.
//!
//! `VAKT_LONG` searches one deeper, `VAKT_DEPTH` as deep as it says. Times are cut to minutes, ids to their order: that
//! makes the states finite, and hides nothing that the rules look at, which count in minutes.

#![allow(clippy::unwrap_used)] // a test that meets what must not be falls here
#![allow(clippy::print_stdout, clippy::disallowed_methods)] // it says how far it came, and how long that took

#[path = "shared/site.rs"]
mod site;

use serde_json::Value;
use site::{device, placed, report};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;
use vakt_core::alarm::panel::Panel;
use vakt_core::canonical;
use vakt_core::challenge::Challenges;
use vakt_core::device::{AreaId, DeviceId, DeviceKind, DeviceState, UserId, ZoneId};
use vakt_core::event::{
    Act, AlarmKind, ArmMode, CloseCause, Event, EventId, Evidence, Fact, Method, Profile, Realm, UserRole, ZoneRole,
};
use vakt_core::input::{CodeChecked, Command, Context, Disk, Effect, Input, InstalledKey, Newcomer, Reply, Sound};
use vakt_core::port::Head;
use vakt_core::stamp::Stamp;
use vakt_core::turn::Committed;
use vakt_core::warrant::{Digest, Emergency, Ground, Order, Role, Warrant};

const MINUTE_MS: u64 = 60_000;
/// Ages beyond this are all "long ago": no rule that is searched looks further back.
const LONG_AGO_MS: u64 = 17 * MINUTE_MS;
/// How deep CI searches.
const DEPTH: usize = 3;

/// What can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    Arm,
    Disarm,
    DisarmUnderThreat,
    CancelUnderThreat,
    HushUnderThreat,
    Hush,
    Cancel,
    EyeAlarms,
    EyeClears,
    KitchenSmoke,
    HallSmoke,
    Button,
    OperatorVerifies,
    CentreCloses,
    UnlockForFire,
    UnlockForSos,
    Fog,
    Image,
    OwnerUnlocks,
    LastWarrantAgain,
    LockSaysUnlocked,
    LockSaysLocked,
    Minute,
    QuarterHour,
    Killed,
    PowerCutClockLost,
    DiskFails,
    Suspended,
}

const MOVES: [Move; 28] = [
    Move::Arm,
    Move::Disarm,
    Move::DisarmUnderThreat,
    Move::CancelUnderThreat,
    Move::HushUnderThreat,
    Move::Hush,
    Move::Cancel,
    Move::EyeAlarms,
    Move::EyeClears,
    Move::KitchenSmoke,
    Move::HallSmoke,
    Move::Button,
    Move::OperatorVerifies,
    Move::CentreCloses,
    Move::UnlockForFire,
    Move::UnlockForSos,
    Move::Fog,
    Move::Image,
    Move::OwnerUnlocks,
    Move::LastWarrantAgain,
    Move::LockSaysUnlocked,
    Move::LockSaysLocked,
    Move::Minute,
    Move::QuarterHour,
    Move::Killed,
    Move::PowerCutClockLost,
    Move::DiskFails,
    Move::Suspended,
];

/// What an onlooker knows of an incident from what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    kind: AlarmKind,
    /// When and in which boot it opened, and whether the clock was known.
    opened: (u32, u64, i64, bool),
    /// The area guarded then.
    set: bool,
    disarmed: bool,
    threatened: bool,
    /// Smoke detectors and when they alarmed, on the onlooker's own clock.
    smokes: Vec<(DeviceId, u64)>,
    verified: bool,
}

#[derive(Debug, Clone)]
struct Node {
    panel: Panel,
    now: Stamp,
    /// Time as it truly passed.
    true_ms: u64,
    disk: Disk,
    kept: Vec<Event>,
    challenges: Challenges,
    incidents: BTreeMap<EventId, Seen>,
    armed: bool,
    fired: bool,
    last: Option<Warrant>,
    /// The newest incident, which all orders are about.
    newest: Option<EventId>,
    acted: BTreeSet<String>,
    sound: Option<Sound>,
    path: Vec<Move>,
}

fn anna() -> UserId {
    UserId::new("anna").unwrap()
}

fn started() -> Input {
    let key = |kid: &str, role: &str| InstalledKey {
        kid: kid.to_owned(),
        role: role.to_owned(),
        ed25519: format!("{kid:A<43}"),
    };
    let keys = vec![key("arc-1", "arc"), key("phone", "owner")];
    Input::Started { version: "0.1.0".to_owned(), keys, profile: Profile::Se, timezone: "UTC".to_owned() }
}

struct Search {
    turns: u64,
    camera: DeviceId,
}

impl Search {
    fn begin(&mut self) -> Node {
        let now = Stamp { boot: 1, mono_ms: 1_000, wall_ms: 1_795_208_400_000, trusted: true };
        let challenges = Challenges::new([1; 32]);
        let mut panel = Panel::default();
        panel.challenge_with(challenges.clone());
        let mut node = Node {
            panel,
            now,
            true_ms: 0,
            disk: Disk::Well,
            kept: vec![],
            challenges,
            incidents: BTreeMap::new(),
            armed: false,
            fired: false,
            last: None,
            newest: None,
            acted: BTreeSet::new(),
            sound: None,
            path: vec![],
        };
        let house = AreaId::new("house").unwrap();
        let mut commands = vec![
            Command::AreaSet { area: house.clone(), name: None, entry_s: 0, exit_s: 0 },
            Command::UserSet { user: anna(), name: None, role: UserRole::Owner, expires_ms: None },
            Command::DuressSet { on: true },
        ];
        let places = [
            ("eye", DeviceKind::Motion, ZoneRole::Interior),
            ("kitchen", DeviceKind::Smoke, ZoneRole::Always),
            ("hall", DeviceKind::Smoke, ZoneRole::Always),
            ("button", DeviceKind::Sos, ZoneRole::Always),
            ("lock", DeviceKind::Lock, ZoneRole::Perimeter),
            ("cannon", DeviceKind::Fog, ZoneRole::Interior),
        ];
        for (name, kind, role) in places {
            commands.extend(placed(&house, name, kind, role));
        }
        let (camera, kind) = (self.camera.clone(), DeviceKind::Camera);
        commands.push(Command::DeviceAdd(Newcomer::plain(camera.clone(), kind)));
        commands.push(Command::DeviceAssign { device: camera, zone: ZoneId::new("eye").unwrap() });
        self.turn(&mut node, vec![started()]);
        for command in commands {
            self.turn(&mut node, vec![Input::Command { request: 1, method: Method::Local, command }]);
        }
        for (name, kind, state) in [
            ("eye", DeviceKind::Motion, DeviceState::Clear),
            ("kitchen", DeviceKind::Smoke, DeviceState::Clear),
            ("hall", DeviceKind::Smoke, DeviceState::Clear),
            ("lock", DeviceKind::Lock, DeviceState::Locked),
            ("cannon", DeviceKind::Fog, DeviceState::Ready),
        ] {
            self.turn(&mut node, vec![report(name, kind, state)]);
        }
        node
    }

    fn turn(&mut self, node: &mut Node, inputs: Vec<Input>) -> (Vec<Event>, Vec<Effect>) {
        self.turns += 1;
        let entropy = canonical::sha256(&[&self.turns.to_be_bytes()]);
        let context = Context { now: node.now, entropy, disk: node.disk };
        node.panel.hear(node.now, &inputs);
        let decided = node.panel.decide(&context, inputs);
        let events = decided.events().to_vec();
        let recorded = if node.disk == Disk::Well {
            let ids = events.iter().map(|event| event.id).collect();
            match decided.nothing_to_record() {
                Ok(recorded) => recorded,
                Err(decided) => decided.committed(&Committed { ids, head: Head::default() }),
            }
        } else {
            let (recorded, kept) = decided.kept();
            node.kept.extend(kept);
            recorded
        };
        let effects = node.panel.apply(recorded, node.now);
        self.onlook(node, &events, &effects);
        (events, effects)
    }

    /// What happens in this move, and whether it can.
    fn make(&mut self, from: &Node, step: Move) -> Option<Node> {
        let mut node = from.clone();
        node.path.push(step);
        let code = |duress| CodeChecked { duress, ..CodeChecked::plain("hall", Some(anna()), Method::Keypad) };
        let command = |command| vec![Input::Command { request: 7, method: Method::Keypad, command }];
        let inputs = match step {
            Move::Arm => command(Command::Arm { area: None, mode: ArmMode::Away, code: code(false) }),
            Move::Disarm => command(Command::Disarm { area: None, code: code(false) }),
            Move::DisarmUnderThreat | Move::CancelUnderThreat | Move::HushUnderThreat => {
                return self.threat(from, node, step);
            }
            Move::Hush => command(Command::SirenStop { area: None, code: code(false) }),
            Move::Cancel => command(Command::Cancel { incident: None, code: code(false) }),
            Move::EyeAlarms => vec![report("eye", DeviceKind::Motion, DeviceState::Alarm)],
            Move::EyeClears => vec![report("eye", DeviceKind::Motion, DeviceState::Clear)],
            // A wisp: it alarms and clears, so that the next is a new one.
            Move::KitchenSmoke => return Some(self.alarm(node, "kitchen", DeviceKind::Smoke, AlarmKind::Fire)),
            Move::HallSmoke => return Some(self.alarm(node, "hall", DeviceKind::Smoke, AlarmKind::Fire)),
            Move::Button => return Some(self.alarm(node, "button", DeviceKind::Sos, AlarmKind::Sos)),
            Move::LockSaysUnlocked => vec![report("lock", DeviceKind::Lock, DeviceState::Unlocked)],
            Move::LockSaysLocked => vec![report("lock", DeviceKind::Lock, DeviceState::Locked)],
            Move::Minute | Move::QuarterHour => {
                let ms = if step == Move::Minute { MINUTE_MS } else { 15 * MINUTE_MS };
                self.pass(&mut node, ms);
                vec![Input::Tick]
            }
            Move::Killed => return Some(self.restart(node, false)),
            Move::PowerCutClockLost => return Some(self.restart(node, true)),
            Move::DiskFails if node.disk == Disk::Well => {
                node.disk = Disk::Failed { room: 64 };
                vec![Input::DiskFailed { error: "slow".to_owned() }]
            }
            Move::DiskFails => {
                (node.disk, node.kept) = (Disk::Well, vec![]);
                vec![Input::DiskRecovered { pending: 0, refused: 0 }]
            }
            ordered => vec![Input::Warrant(Box::new(self.warrant(&mut node, ordered)?))],
        };
        self.turn(&mut node, inputs);
        Some(node)
    }

    fn pass(&mut self, node: &mut Node, ms: u64) {
        node.now.mono_ms += ms;
        node.now.wall_ms += i64::try_from(ms).unwrap();
        node.true_ms += ms;
    }

    fn alarm(&mut self, mut node: Node, name: &str, kind: DeviceKind, alarm: AlarmKind) -> Node {
        // Buttons tell no release: a press is new after a while.
        self.pass(&mut node, 11_000);
        let (events, _) = self.turn(&mut node, vec![report(name, kind, DeviceState::Alarm)]);
        let told = |event: &Event| {
            matches!(&event.fact, Fact::AlarmRaised { kind, .. } if *kind == alarm)
                && event.device.as_ref() == Some(&device(name))
        };
        assert!(events.iter().any(told), "{alarm:?} of {name} is not told: {:?}", node.path);
        if kind == DeviceKind::Smoke {
            self.turn(&mut node, vec![report(name, kind, DeviceState::Clear)]);
        }
        node
    }

    /// A threat looks like no threat: to the letter of the reply, the sound, the acts.
    fn threat(&mut self, from: &Node, mut node: Node, step: Move) -> Option<Node> {
        let disarm = |duress| {
            let code = CodeChecked { duress, ..CodeChecked::plain("hall", Some(anna()), Method::Keypad) };
            let command = match step {
                Move::CancelUnderThreat => Command::Cancel { incident: None, code },
                Move::HushUnderThreat => Command::SirenStop { area: None, code },
                _ => Command::Disarm { area: None, code },
            };
            vec![Input::Command { request: 7, method: Method::Keypad, command }]
        };
        let mut ordinary = from.clone();
        let (calm, shown) = self.turn(&mut ordinary, disarm(false));
        self.turns -= 1; // with the same entropy, what either opens has the same name
        let (events, effects) = self.turn(&mut node, disarm(true));
        let on_site = |effects: &[Effect]| -> Vec<String> {
            let seen = effects.iter().filter(|effect| !matches!(effect, Effect::Publish(_) | Effect::CameraEnds(_)));
            let text = |effect: &Effect| match effect {
                Effect::Reply(_, Reply::Done { ok, text, event, .. }) => format!("{ok} {text} {}", event.is_some()),
                other => format!("{other:?}"),
            };
            seen.map(text).collect()
        };
        assert_eq!(on_site(&shown), on_site(&effects), "{:?}", node.path);
        let rows = |events: &[Event]| -> Vec<String> {
            let listed = |event: &Event| match event.is_centre_only() {
                true => "withheld".to_owned(),
                false => format!("{:?}", event.fact),
            };
            events.iter().map(listed).collect()
        };
        assert_eq!(rows(&calm), rows(&events), "row by row: {:?}", node.path);
        let visible =
            |node: &Node| -> Vec<EventId> { node.panel.state().incidents_on_site().map(|(id, _)| *id).collect() };
        assert_eq!(visible(&ordinary), visible(&node), "what the page shows: {:?}", node.path);
        let told = events.iter().any(|event| matches!(event.fact, Fact::AlarmRaised { kind: AlarmKind::Duress, .. }));
        assert!(told, "the centre is told: {:?}", node.path);
        Some(node)
    }

    fn restart(&mut self, mut node: Node, power: bool) -> Node {
        // What the disk did not take is gone; the centre has it.
        if node.disk != Disk::Well {
            return node;
        }
        let state = serde_json::to_vec(node.panel.state()).unwrap();
        node.panel = Panel::new(serde_json::from_slice(&state).unwrap());
        node.challenges = Challenges::new(canonical::sha256(&[&self.turns.to_be_bytes()]));
        node.panel.challenge_with(node.challenges.clone());
        node.sound = None;
        node.true_ms += MINUTE_MS;
        node.now.wall_ms += i64::try_from(MINUTE_MS).unwrap();
        if power {
            (node.now.boot, node.now.mono_ms) = (node.now.boot + 1, 1_000);
            (node.now.trusted, node.now.wall_ms) = (false, 1_735_689_600_000);
        } else {
            node.now.mono_ms += MINUTE_MS;
        }
        self.turn(&mut node, vec![started()]);
        node
    }

    fn warrant(&mut self, node: &mut Node, step: Move) -> Option<Warrant> {
        if step == Move::LastWarrantAgain {
            return node.last.clone();
        }
        let arc = (Role::ArcOperator, "arc-1", "operator-7");
        let ((role, kid, person), ground, order) = match step {
            Move::OperatorVerifies => (arc, None, Order::IncidentVerify { by: Evidence::Voice }),
            Move::CentreCloses => (arc, None, Order::IncidentClose { cause: CloseCause::Unknown }),
            Move::UnlockForFire => {
                let order = Order::EmergencyUnlock { device: None, service: Emergency::Fire };
                (arc, Some(Ground::VerifiedFire), order)
            }
            Move::UnlockForSos => {
                let order = Order::EmergencyUnlock { device: None, service: Emergency::Police };
                (arc, Some(Ground::SosPressed), order)
            }
            Move::Fog => (arc, Some(Ground::SignalsAndPicture), Order::FogFire { device: None, contacts: 3 }),
            Move::Image => (arc, None, Order::Image { camera: self.camera.clone() }),
            Move::OwnerUnlocks => ((Role::Owner, "phone", "anna"), None, Order::Unlock { device: None }),
            Move::Suspended => {
                let standing = vakt_core::event::Service::Suspended;
                ((Role::ArcService, "arc-1", "desk"), None, Order::ServiceState { standing, notice_hours: None })
            }
            _ => return None,
        };
        let issued_s = (1_795_208_400_000 + i64::try_from(node.true_ms).unwrap()) / 1000;
        let warrant = Warrant {
            jti: format!("w-{}", self.turns),
            digest: Digest(canonical::sha256(&[&self.turns.to_be_bytes()])),
            kid: kid.to_owned(),
            issuer: "search".to_owned(),
            person: person.to_owned(),
            role,
            issued_s,
            expires_s: issued_s + 60,
            nonce: Some(node.challenges.mint(node.now)),
            incident: node.newest,
            ground,
            order,
        };
        node.last = Some(warrant.clone());
        Some(warrant)
    }

    /// Whoever looks on sees what happened, and what is done about it.
    fn onlook(&self, node: &mut Node, events: &[Event], effects: &[Effect]) {
        for event in events {
            self.note(node, event);
        }
        for effect in effects {
            match effect {
                Effect::Act { command, act, .. } => {
                    let sent = events.iter().find(|event| event.id == *command).expect("recorded with it");
                    self.prove_act(node, *act, sent);
                }
                Effect::Camera(grant) => self.prove_picture(node, grant),
                Effect::Sound(sound) => node.sound = *sound,
                _ => {}
            }
        }
        let fire = node.panel.state().incidents.values().any(|of| of.kind == AlarmKind::Fire && !of.silenced);
        assert!(!fire || node.sound == Some(Sound::Fire), "a fire is heard: {:?}", node.path);
    }

    fn note(&self, node: &mut Node, event: &Event) {
        let (now, true_ms) = (event.stamp, node.true_ms);
        match &event.fact {
            Fact::AreaArmed { .. } => node.armed = true,
            Fact::AreaDisarmed { .. } => {
                node.armed = false;
                let burglaries = node.incidents.values_mut().filter(|of| of.kind == AlarmKind::Burglary);
                burglaries.for_each(|of| of.disarmed = true);
            }
            Fact::AlarmRaised { kind, by, continues, .. } => {
                let old = continues.and_then(|old| node.incidents.remove(&old));
                let id = event.incident.unwrap_or(event.id);
                let seen = node.incidents.entry(id).or_insert_with(|| Seen {
                    kind: *kind,
                    opened: (now.boot, now.mono_ms, now.wall_ms, now.trusted),
                    set: node.armed,
                    disarmed: old.as_ref().is_some_and(|old| old.disarmed),
                    threatened: false,
                    smokes: vec![],
                    verified: old.as_ref().is_some_and(|old| old.verified && old.kind == AlarmKind::Fire),
                });
                seen.threatened |= *kind == AlarmKind::Duress;
                if *by == DeviceKind::Smoke {
                    seen.smokes.extend(event.device.iter().map(|device| (device.clone(), true_ms)));
                    let fresh = seen.smokes.iter().filter(|(_, at)| true_ms - at < 10 * MINUTE_MS);
                    seen.verified |= fresh.map(|(device, _)| device).collect::<BTreeSet<_>>().len() >= 2;
                }
                // Two fires in one house that are two incidents are still two smokes.
                node.newest = Some(id);
            }
            Fact::IncidentVerified { by, .. } if by.is_a_persons() => {
                event.incident.and_then(|id| node.incidents.get_mut(&id)).into_iter().for_each(|of| of.verified = true);
            }
            Fact::IncidentCleared { .. } | Fact::IncidentCancelled { .. } => {
                let of = event.incident.and_then(|id| node.incidents.remove(&id)).expect("it was open");
                assert!(!of.threatened, "a threat is never cleared: {:?}", node.path);
                assert_eq!(of.kind, AlarmKind::Burglary, "only a burglary ends so: {:?}", node.path);
            }
            Fact::IncidentClosed { .. } => drop(event.incident.map(|id| node.incidents.remove(&id))),
            _ => {}
        }
    }

    fn prove_act(&self, node: &mut Node, act: Act, sent: &Event) {
        assert_eq!(node.disk, Disk::Well, "nothing is opened or fired that is not on record: {:?}", node.path);
        let Fact::CommandSent { warrant: Some(jti), .. } = &sent.fact else {
            // Locking is the one thing that the hub does by itself: before it arms.
            assert_eq!(act, Act::Lock, "nobody ordered it: {:?}", node.path);
            return;
        };
        assert!(node.acted.insert(jti.clone()), "{jti} acts twice: {:?}", node.path);
        let of = sent.incident.and_then(|id| node.incidents.get(&id));
        match act {
            Act::EmergencyUnlock => {
                let of = of.expect("an incident that is open");
                let ground = of.kind == AlarmKind::Sos || of.kind == AlarmKind::Fire && of.verified;
                assert!(ground, "{of:?}: {:?}", node.path);
            }
            Act::FogFire => {
                let of = of.expect("an incident that is open");
                let ground = of.kind == AlarmKind::Burglary && of.set && !of.disarmed && !of.threatened;
                assert!(ground, "{of:?}: {:?}", node.path);
                let danger = |of: &Seen| matches!(of.kind, AlarmKind::Fire | AlarmKind::Sos);
                assert!(!node.incidents.values().any(danger), "people are in danger: {:?}", node.path);
                assert!(!node.fired, "it was not serviced: {:?}", node.path);
                node.fired = true;
            }
            Act::Unlock => assert_eq!(node.path.last(), Some(&Move::OwnerUnlocks)),
            Act::Lock | Act::SirenChirp => panic!("{act:?} is ordered by nothing here: {:?}", node.path),
        }
    }

    fn prove_picture(&self, node: &Node, grant: &vakt_core::alarm::camera_window::Grant) {
        assert_eq!((grant.realm(), node.disk), (Realm::Centre, Disk::Well), "{:?}", node.path);
        let of = grant.incident().and_then(|id| node.incidents.get(&id)).expect("an incident that is open");
        assert!(matches!(of.kind, AlarmKind::Burglary | AlarmKind::Fire | AlarmKind::Sos), "{:?}", node.path);
        let (boot, mono_ms, wall_ms, trusted) = of.opened;
        let passed = match (boot == node.now.boot, trusted && node.now.trusted) {
            (true, _) => node.now.mono_ms - mono_ms,
            (false, true) => u64::try_from(node.now.wall_ms - wall_ms).unwrap(),
            (false, false) => panic!("nobody can prove how long it was: {:?}", node.path),
        };
        assert!(passed < 15 * MINUTE_MS && grant.left_ms(node.now) <= 15 * MINUTE_MS - passed, "{:?}", node.path);
    }
}

/// The same state as another, but for ids and for times that no rule tells apart.
fn key(node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut ids = BTreeMap::new();
    let state = serde_json::to_value(node.panel.state()).unwrap();
    fold(&state, node, &mut ids, &mut hasher);
    let mut name = |id: &EventId| {
        let next = ids.len();
        *ids.entry(id.to_string()).or_insert(next)
    };
    for (id, of) in &node.incidents {
        name(id).hash(&mut hasher);
        (of.kind as u8, of.set, of.disarmed, of.threatened, of.verified).hash(&mut hasher);
        for (device, at) in &of.smokes {
            (device.as_str(), (node.true_ms - at).min(LONG_AGO_MS)).hash(&mut hasher);
        }
    }
    node.newest.as_ref().map(&mut name).hash(&mut hasher);
    (node.armed, node.fired, node.disk == Disk::Well, node.sound.is_some()).hash(&mut hasher);
    (node.now.trusted, node.last.as_ref().map(|warrant| warrant.order.name())).hash(&mut hasher);
    hasher.finish()
}

fn fold(value: &Value, node: &Node, ids: &mut BTreeMap<String, usize>, hasher: &mut DefaultHasher) {
    match value {
        Value::Object(members) if members.contains_key("mono_ms") => {
            let (boot, at) = (members["boot"].as_u64().unwrap(), members["mono_ms"].as_u64().unwrap());
            let age = node.now.mono_ms.saturating_sub(at).min(LONG_AGO_MS);
            (boot == u64::from(node.now.boot), age, members["trusted"].as_bool()).hash(hasher);
        }
        Value::Object(members) => {
            for (name, member) in members {
                // Spent warrants only ever refuse; of the last one it is said above.
                if matches!(
                    name.as_str(),
                    "warrants" | "clock_floor_ms" | "last_motion" | "memory" | "outcomes" | "booted"
                ) {
                    continue;
                }
                fold(&Value::from(name.as_str()), node, ids, hasher);
                fold(member, node, ids, hasher);
            }
        }
        Value::Array(list) => list.iter().for_each(|member| fold(member, node, ids, hasher)),
        Value::String(text) if text.len() == 36 && text.as_bytes()[14] == b'7' => {
            let next = ids.len();
            ids.entry(text.clone()).or_insert(next).hash(hasher);
        }
        other => other.to_string().hash(hasher),
    }
}

/// Where it begins: each is searched as deep again.
const BEGINNINGS: [&[Move]; 6] = [
    &[],
    &[Move::Arm, Move::EyeAlarms],
    &[Move::KitchenSmoke, Move::OperatorVerifies],
    &[Move::Arm, Move::EyeAlarms, Move::DisarmUnderThreat],
    &[Move::Button, Move::UnlockForSos],
    &[Move::Arm, Move::EyeAlarms, Move::Fog, Move::Killed],
];

#[test]
fn every_order_of_a_few_things_is_safe() {
    let usual = if std::env::var_os("VAKT_LONG").is_some() { DEPTH + 1 } else { DEPTH };
    let depth = std::env::var("VAKT_DEPTH").ok().and_then(|depth| depth.parse().ok()).unwrap_or(usual);
    let mut search = Search { turns: 0, camera: DeviceId::new("cam-hall").unwrap() };
    let mut states = 0;
    let began = Instant::now();
    let (mut pictures, mut doors, mut shots) = (0u64, 0u64, 0u64);
    for beginning in BEGINNINGS {
        let mut node = search.begin();
        for step in beginning {
            node = search.make(&node, *step).expect("it can happen");
        }
        let mut known = HashSet::from([key(&node)]);
        let mut front = vec![node];
        for level in 1..=depth {
            let mut next = Vec::new();
            for node in &front {
                for step in MOVES {
                    let Some(after) = search.make(node, step) else { continue };
                    doors += u64::from(after.acted.len() > node.acted.len());
                    shots += u64::from(after.fired && !node.fired);
                    pictures += u64::from(step == Move::Image);
                    if known.insert(key(&after)) {
                        next.push(after);
                    }
                }
            }
            let (turns, seconds) = (search.turns, began.elapsed().as_secs_f64());
            println!("{beginning:?}, {level} deep: {} states, {turns} turns in all, {seconds:.1} s", known.len());
            front = next;
        }
        states += known.len();
    }
    println!("{states} states, {doors} acts, {shots} shots, {pictures} pictures asked for");
    // A search that opens nothing and fires nothing proves nothing.
    assert!(doors > 0 && shots > 0, "the doors and the cannon are within reach");
}
