//! The panel's stories: text that a technician can read, played against the real panel in virtual time.
//!
//! A line is `time  what happens  ->  what follows`. All that follows is written down: a story fails as much for an
//! event too many as for one too few, and for a duty that falls due between two lines (then a line `time passes` is
//! missing). What happens `, and at once` is judged in the same turn. A detector's new word is itself on record
//! (`device_changed`); it is written as `noted` only where nothing else follows from it. `@name` stands for an id:
//! where it is first met it learns it, later it must be the same. What must hold after every step is proven by
//! `shared/hub.rs`. This file never sleeps and never judges.
//!
//! A story names what it is about. What else each event said, and when the panel must look again, stands beside it in
//! `golden/stories/`: a change of it is seen in review. `VAKT_WRITE_GOLDEN=1` writes them anew.

#![allow(clippy::unwrap_used)] // a test that meets what must not be falls here

#[path = "shared/hub.rs"]
#[allow(dead_code)] // each test uses its own part
mod hub;

#[path = "shared/words.rs"]
mod words;

use hub::{Hub, Killed, Turn};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use vakt_core::alarm::panel::Why;
use vakt_core::canonical;
use vakt_core::device::{DeviceId, DeviceKind};
use vakt_core::event::{Event, EventId, Profile};
use vakt_core::input::{Effect, Input, Reply, Signal};
use vakt_core::stamp::Stamp;

/// 2026-11-20T21:00:00Z, a Friday: where every story begins.
const EVENING_MS: i64 = 1_795_208_400_000;
/// Where a board without a clock chip wakes: 2025-01-01T00:00:00Z.
const IMAGE_BUILT_MS: i64 = 1_735_689_600_000;
/// How long the board takes from power to daemon, in ms.
const BOARD_START_MS: u64 = 5_000;

/// How many events a failing disk may leave in memory, unless a story says otherwise.
const ROOM: usize = 64;

struct Story {
    hub: Hub,
    /// Since the story began, in ms.
    at_ms: u64,
    requests: u64,
    /// The last act on its way.
    command: Option<EventId>,
    kinds: BTreeMap<DeviceId, DeviceKind>,
    names: BTreeMap<String, String>,
    profile: Profile,
    /// All that followed, in full.
    record: String,
    /// Ids in the order in which they were met.
    ids: Vec<String>,
}

/// What a line makes happen.
enum Happens {
    Turn(Vec<Input>),
    /// Nothing that the panel hears of.
    Outside,
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories")
}

fn play(file: &str) {
    let mut story = Story::begins();
    story.read(&here().join(file));
    story.note_end();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/stories").join(file);
    if std::env::var_os("VAKT_WRITE_GOLDEN").is_some() {
        return std::fs::write(&golden, &story.record).unwrap_or_else(|e| panic!("{}: {e}", golden.display()));
    }
    let known = std::fs::read_to_string(&golden).unwrap_or_else(|e| panic!("{}: {e}", golden.display()));
    let other = story.record.lines().zip(known.lines()).zip(1..).find(|((found, known), _)| found != known);
    if let Some(((found, known), line)) = other {
        panic!("{}:{line}:\n{known}\nis known, this followed:\n{found}", golden.display());
    }
    assert_eq!(story.record.len(), known.len(), "{}: as many lines", golden.display());
}

impl Story {
    fn begins() -> Self {
        let now = Stamp { boot: 1, mono_ms: BOARD_START_MS, wall_ms: EVENING_MS, trusted: true };
        // The seed of every id in every story.
        let hub = Hub::new(7, now);
        let (kinds, names) = (BTreeMap::new(), BTreeMap::new());
        let (record, ids) = (String::new(), Vec::new());
        Self { hub, at_ms: 0, requests: 0, command: None, kinds, names, profile: Profile::Dk, record, ids }
    }

    fn read(&mut self, file: &Path) {
        let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        for (line, number) in text.lines().zip(1..) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if let Some(site) = line.strip_prefix("site ") {
                self.read(&here().join("sites").join(format!("{site}.txt")));
            } else if !line.is_empty()
                && let Err(wrong) = self.step(line)
            {
                panic!("{}:{number}: {line}\n{wrong}", file.display());
            }
        }
        // What a site is made of is on record with its own story.
        if file.parent().is_some_and(|folder| folder.ends_with("sites")) {
            self.record.clear();
        }
    }

    /// All that a turn led to, as text: what follows from the time alone is left out.
    fn note(&mut self, happens: &str, turn: &Turn) {
        let mut record = format!("{happens}\n");
        for event in &turn.events {
            let mut members = json(event);
            let members = members.as_object_mut().unwrap();
            for same in ["v", "at", "boot", "mono_ms", "journaled", "seq"] {
                members.remove(same);
            }
            members.get_mut("personal").and_then(Value::as_object_mut).and_then(|personal| personal.remove("salt"));
            let kind = members.remove("type").unwrap();
            record += &format!("  {} {}\n", kind.as_str().unwrap(), Value::Object(members.clone()));
        }
        for effect in &turn.effects {
            let effect = format!("  > {}{}\n", self.effect(effect), words(effect));
            record += &effect;
        }
        if let Some(due) = self.hub.panel.as_ref().and_then(|panel| panel.next_due(self.hub.now)) {
            record += &format!("  {:?} in {} ms\n", due.why, due.in_ms);
        }
        self.keep(record);
    }

    /// What is open when it ends and what was counted, as a technician's page and the next turn find it.
    fn note_end(&mut self) {
        let Some(panel) = self.hub.panel.as_ref() else { return };
        let mut record = String::new();
        for (id, incident) in &panel.state().incidents {
            record += &format!("in the end {id} {}\n", serde_json::to_string(incident).unwrap());
        }
        for (device, outcomes) in &panel.state().outcomes {
            record += &format!("in the end {device} {}\n", serde_json::to_string(outcomes).unwrap());
        }
        self.keep(record);
    }

    /// Ids by their number: they are chance.
    fn keep(&mut self, mut record: String) {
        for id in ids(&record) {
            let number = self.ids.iter().position(|known| *known == id).unwrap_or_else(|| {
                self.ids.push(id.clone());
                self.ids.len() - 1
            });
            record = record.replace(&id, &format!("#{number}"));
        }
        self.record += &record;
    }

    fn step(&mut self, line: &str) -> Result<(), String> {
        let (happens, follows) = line.split_once("->").ok_or("a line is `time  what happens  ->  what follows`")?;
        let (time, happens) = happens.trim().split_once(' ').ok_or("a line begins with its time")?;
        self.pass_to(clock(time)?)?;
        let (happens, killed) = match happens.trim().split_once(", killed before ") {
            None => (happens.trim(), Killed::Not),
            Some((happens, "recording")) => (happens, Killed::BeforeRecording),
            Some((happens, "applying")) => (happens, Killed::BeforeApplying),
            Some((happens, "acting")) => (happens, Killed::BeforeActing),
            Some((_, verb)) => return Err(format!("there is nothing to be killed before in `{verb}`")),
        };
        let (happens, frozen) = match happens.strip_suffix(", while the disk freezes") {
            Some(happens) => (happens, true),
            None => (happens, false),
        };
        // `70 times … %`: % is which; each leads to the same; the first and the last are on record.
        let (times, happens) = match happens.split_once(" times ") {
            Some((number, rest)) => (number.parse().map_err(|_| format!("`{number}` is not a number"))?, rest),
            None => (1, happens),
        };
        for time_of in 1..=times {
            let happens = &happens.replace('%', &time_of.to_string());
            let turn = match self.inputs(happens)? {
                None => Turn::default(),
                Some(inputs) if frozen => self.hub.turn_while_the_disk_freezes(inputs, ROOM),
                Some(inputs) => self.hub.turn(inputs, killed),
            };
            if time_of == 1 || time_of == times {
                self.note(&format!("{time} {happens}"), &turn);
            }
            self.compare(follows, &turn).map_err(|wrong| format!("{wrong}\nthe {time_of}. of {times} times"))?;
        }
        Ok(())
    }

    /// What is judged in one turn; `None`: the panel hears of nothing.
    fn inputs(&mut self, happens: &str) -> Result<Option<Vec<Input>>, String> {
        let mut inputs = Vec::new();
        for happens in happens.split(", and at once ") {
            match self.happens(&happens.split_whitespace().collect::<Vec<&str>>())? {
                Happens::Outside => return Ok(None),
                Happens::Turn(more) => inputs.extend(more),
            }
        }
        Ok(Some(inputs))
    }

    /// Time passes, and no duty may fall due unseen.
    fn pass_to(&mut self, at_ms: u64) -> Result<(), String> {
        let ms = at_ms.checked_sub(self.at_ms).ok_or("time runs backwards")?;
        if let Some(due) = self.hub.panel.as_ref().and_then(|panel| panel.next_due(self.hub.now))
            && due.in_ms < ms
        {
            let (due_ms, why) = (self.at_ms + due.in_ms, due.why);
            return Err(format!("before this line {why:?} falls due, at {}.{:03} s", due_ms / 1000, due_ms % 1000));
        }
        self.at_ms = at_ms;
        self.hub.now.mono_ms += ms;
        self.hub.now.wall_ms += i64::try_from(ms).unwrap();
        Ok(())
    }

    fn compare(&mut self, follows: &str, turn: &Turn) -> Result<(), String> {
        let wanted: Vec<&str> = follows.split(';').map(str::trim).collect();
        let effect = |item: &&str| {
            let head = item.split(' ').next().unwrap_or_default();
            matches!(
                head,
                "sound"
                    | "silence"
                    | "squawk"
                    | "chime"
                    | "arms"
                    | "light"
                    | "camera"
                    | "cameras"
                    | "act"
                    | "published"
                    | "answer"
                    | "ok"
                    | "refused"
            )
        };
        let (effects, events): (Vec<&str>, Vec<&str>) = wanted.into_iter().partition(effect);
        let (quiet, events): (Vec<&str>, Vec<&str>) =
            events.into_iter().partition(|item| matches!(*item, "nothing" | "noted"));

        let facts: Vec<Value> = turn.events.iter().map(json).collect();
        let (changed, facts): (Vec<Value>, Vec<Value>) = facts.into_iter().partition(|f| f["type"] == "device_changed");
        let happened = turn.effects.iter().map(|effect| self.effect(effect)).collect::<Vec<String>>();
        let all = || {
            let facts = facts.iter().map(Value::to_string);
            let all: Vec<String> = facts.chain(changed.iter().map(Value::to_string)).chain(happened.clone()).collect();
            all.join("\n    ")
        };
        if facts.len() != events.len() {
            return Err(format!("{} events are written, {} happened:\n    {}", events.len(), facts.len(), all()));
        }
        if (quiet == ["nothing"] && !changed.is_empty()) || (quiet == ["noted"] && changed.len() != 1) {
            return Err(format!("`{}` is written; it said anew {} times", quiet[0], changed.len()));
        }
        if changed.len() > 1 {
            return Err(format!("one word of a detector is one change:\n    {}", all()));
        }
        for (wanted, fact) in events.iter().zip(&facts) {
            self.compare_fact(wanted, fact).map_err(|wrong| format!("{wrong}\n    {}", all()))?;
        }
        let mut wanted: Vec<String> = effects.into_iter().map(str::to_owned).collect();
        let mut found = happened.clone();
        wanted.sort();
        found.sort();
        if wanted != found { Err(format!("written {wanted:?}, released {found:?}")) } else { Ok(()) }
    }

    fn compare_fact(&mut self, wanted: &str, fact: &Value) -> Result<(), String> {
        let mut words = wanted.split_whitespace();
        if words.next() != fact["type"].as_str() {
            return Err(format!("`{wanted}` is written, {} happened", fact["type"]));
        }
        for word in words {
            if word.starts_with('@') {
                self.same(word, fact["id"].as_str().unwrap_or_default())?;
                continue;
            }
            let (key, wanted) = word.split_once('=').ok_or_else(|| format!("`{word}` is not key=value"))?;
            let found = field(fact, key);
            match wanted {
                "new" if found == fact["id"].as_str().unwrap_or_default() => {}
                name if name.starts_with('@') => self.same(name, &found)?,
                wanted if wanted == found => {}
                wanted => return Err(format!("{key} is `{found}`, not `{wanted}`")),
            }
        }
        Ok(())
    }

    fn same(&mut self, name: &str, found: &str) -> Result<(), String> {
        let known = self.names.entry(name.to_owned()).or_insert_with(|| found.to_owned());
        if known == found { Ok(()) } else { Err(format!("{name} is {known}, not {found}")) }
    }

    fn effect(&mut self, effect: &Effect) -> String {
        match effect {
            Effect::Sound(None) => "silence".to_owned(),
            Effect::Sound(Some(sound)) => format!("sound {}", serde_json::to_value(sound).unwrap().as_str().unwrap()),
            Effect::Act { command, act, device } => {
                self.command = Some(*command);
                let device =
                    device.as_ref().map_or(String::new(), |id| format!(" {}", id.as_str().trim_start_matches("zb-")));
                format!("act {}{device}", said(act))
            }
            Effect::Publish(alarm) => {
                let json: Value = serde_json::from_slice(&alarm.wire).unwrap();
                format!("published {}", json["type"].as_str().unwrap())
            }
            Effect::Camera(grant) => {
                let camera = grant.camera().as_str().trim_start_matches("cam-");
                let what = serde_json::to_value(grant.what()).unwrap();
                let left = grant.left_ms(self.hub.now) / 1000;
                format!("camera {camera} {} for {left}s", what.as_str().unwrap())
            }
            Effect::CameraEnds(_) => "cameras end".to_owned(),
            Effect::Signal(Signal::NotReady(_)) => "squawk indoors".to_owned(),
            Effect::Signal(Signal::NotArmed(_)) => "squawk outdoors".to_owned(),
            Effect::Signal(Signal::Chime(zone)) => format!("chime {zone}"),
            Effect::Signal(Signal::ArmsSoon(_)) => "arms soon".to_owned(),
            Effect::Light { light, on } => format!("light {light} {on}"),
            Effect::Answer(answer) => {
                let reason = answer.reason.as_ref().map_or(String::new(), |reason| format!(" {reason}"));
                format!("answer {}{reason}", said(answer.status))
            }
            Effect::Reply(_, Reply::Done { journaled: true, .. }) => "ok".to_owned(),
            Effect::Reply(_, Reply::Done { journaled: false, .. }) => "ok unjournaled".to_owned(),
            Effect::Reply(_, Reply::Refused { refused, .. }) => format!("refused {refused}"),
        }
    }
}

/// What a person reads of it, whatever a program may; and the event that it names.
fn words(effect: &Effect) -> String {
    let of = |event: &Option<EventId>| event.map_or(String::new(), |id| format!(" {id}"));
    match effect {
        Effect::Reply(_, Reply::Done { text, event, .. }) => format!(": {text}{}", of(event)),
        Effect::Reply(_, Reply::Refused { text, .. }) => format!(": {text}"),
        Effect::Answer(answer) => format!(": {}{}", answer.text.as_deref().unwrap_or_default(), of(&answer.event)),
        _ => String::new(),
    }
}

/// What looks like an id: 36 characters of hex and dashes.
fn ids(text: &str) -> Vec<String> {
    let is_id = |word: &&str| word.len() == 36 && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(is_id).map(str::to_owned).collect()
}

/// A word as it is written on the wire.
fn said(word: impl serde::Serialize) -> String {
    serde_json::to_value(word).unwrap().as_str().unwrap().to_owned()
}

/// `MM:SS`, `HH:MM:SS`, either with `.mmm`, in ms.
fn clock(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a time like 00:45, 26:00:45 or 00:45.100");
    let (whole, ms) = text.split_once('.').unwrap_or((text, "000"));
    let parts: Vec<u64> = whole.split(':').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let seconds = match parts.as_slice() {
        [m, s] => m * 60 + s,
        [h, m, s] => h * 3600 + m * 60 + s,
        _ => return Err(wrong()),
    };
    Ok(seconds * 1000 + ms.parse::<u64>().map_err(|_| wrong())?)
}

fn id<T, E: ToString>(text: &str, make: impl Fn(String) -> Result<T, E>) -> Result<T, String> {
    make(text.to_owned()).map_err(|e| e.to_string())
}

fn device_id(name: &str) -> Result<DeviceId, String> {
    // Names that say more than who: wired, unproven, of best effort.
    let prefixed = ["hub-", "wm-", "en-", "rf-"].iter().any(|prefix| name.starts_with(prefix));
    if prefixed { id(name, DeviceId::new) } else { id(&format!("zb-{name}"), DeviceId::new) }
}

fn camera_id(name: &str) -> Result<DeviceId, String> {
    id(&format!("cam-{name}"), DeviceId::new)
}

fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::from(text)).map_err(|e| e.to_string())
}

/// The event as JSON, without its place.
fn json(event: &Event) -> Value {
    serde_json::from_slice(&canonical::unjournaled(event)).unwrap()
}

/// One field of an event or of its detail, as stories write it.
fn field(fact: &Value, key: &str) -> String {
    let found = fact.get(key).or_else(|| fact["detail"].get(key)).unwrap_or(&Value::Null);
    match (key, found) {
        ("cid", Value::Object(cid)) => cid["code"].to_string(),
        ("delay", delay) => format!("{}s", delay["seconds"]),
        ("device", Value::String(device)) => device.trim_start_matches("zb-").to_owned(),
        ("causes", Value::Array(causes)) => {
            let place = |cause: &Value| cause["zone"].as_str().unwrap_or("hub").to_owned();
            let causes = causes.iter().map(|cause| format!("{}:{}", place(cause), cause["why"].as_str().unwrap()));
            causes.collect::<Vec<_>>().join(",")
        }
        (_, Value::Array(list)) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        (_, Value::String(text)) => text.clone(),
        (_, Value::Null) => "none".to_owned(),
        (_, other) => other.to_string(),
    }
}

/// Each story is a test under the requirement's name; the last test finds a story that nobody plays.
macro_rules! stories {
    ($($name:ident: $file:literal,)*) => {
        $(#[test] fn $name() { play($file); })*

        #[test]
        fn every_story_is_played() {
            let mut files: Vec<String> = std::fs::read_dir(here())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name.ends_with(".txt"))
                .collect();
            files.sort();
            let mut played = vec![$($file.to_owned()),*];
            played.sort();
            assert_eq!(files, played);
        }
    };
}

stories! {
    b1_cancel_under_threat: "b1-cancel-under-threat.txt",
    b1_duress_stays: "b1-duress-stays.txt",
    b1_duress: "b1-duress.txt",
    b8_hold_up: "b8-hold-up.txt",
    r37_fire_key: "r37-fire-key.txt",
    r64_fog_once: "r64-fog-once.txt",
    r64_fog: "r64-fog.txt",
    r64_not_by_a_stranger: "r64-not-by-a-stranger.txt",
    r69_fog_is_no_fire: "r69-fog-is-no-fire.txt",
    r70_lock_before_arming: "r70-lock-before-arming.txt",
    r68_air: "r68-air.txt",
    r70_lock: "r70-lock.txt",
    r70_once: "r70-once.txt",
    r70_unlock_never_disarms: "r70-unlock-never-disarms.txt",
    r71_emergency: "r71-emergency.txt",
    r71_two_smokes: "r71-two-smokes.txt",
    r74_revoked: "r74-revoked.txt",
    r75_doors: "r75-doors.txt",
    b12_nobody_listens: "b12-nobody-listens.txt",
    b14_battery: "b14-battery.txt",
    b16_centre_arms: "b16-centre-arms.txt",
    b16_guard: "b16-guard.txt",
    b18_bypass: "b18-bypass.txt",
    b19_final_door: "b19-final-door.txt",
    b19_night: "b19-night.txt",
    b20_tags: "b20-tags.txt",
    b21_power: "b21-power.txt",
    r87_lid: "r87-lid.txt",
    b11_overheard_smokes: "b11-overheard-smokes.txt",
    b11_wired_smokes: "b11-wired-smokes.txt",
    b22_moved: "b22-moved.txt",
    b23_midnight: "b23-midnight.txt",
    b23_not_ready: "b23-not-ready.txt",
    b23_schedule: "b23-schedule.txt",
    b24_visit: "b24-visit.txt",
    b25_memory: "b25-memory.txt",
    b9_chime: "b9-chime.txt",
    r18_never_fired: "r18-never-fired.txt",
    r18_sabotage_by_silence: "r18-sabotage-by-silence.txt",
    r18_self_test: "r18-self-test.txt",
    r27_jam: "r27-jam.txt",
    r27_pulled_out: "r27-pulled-out.txt",
    r34_outcomes: "r34-outcomes.txt",
    r34_cleared: "r34-cleared.txt",
    r39_key_box: "r39-key-box.txt",
    no_path: "no-path.txt",
    disk_room: "disk-room.txt",
    r42_test_after_outage: "r42-test-after-outage.txt",
    r51_suspended: "r51-suspended.txt",
    r53_end: "r53-end.txt",
    r53_end_in_trial: "r53-end-in-trial.txt",
    r53_key_works: "r53-key-works.txt",
    r76_expiry: "r76-expiry.txt",
    r77_forged: "r77-forged.txt",
    r77_rules: "r77-rules.txt",
    r86_pet: "r86-pet.txt",
    acts_once: "acts-once.txt",
    around_the_clock: "around-the-clock.txt",
    b10_burnt_toast: "b10-burnt-toast.txt",
    b10_closed_too_early: "b10-closed-too-early.txt",
    b16_four_hours: "b16-four-hours.txt",
    b1_two_areas: "b1-two-areas.txt",
    b10_two_areas: "b10-two-areas.txt",
    b16_guard_elsewhere: "b16-guard-elsewhere.txt",
    notes: "notes.txt",
    b20_counts: "b20-counts.txt",
    too_often_elsewhere: "too-often-elsewhere.txt",
    r02_sabotage: "r02-sabotage.txt",
    b1_and_a_hold_up: "b1-and-a-hold-up.txt",
    r50_centre_tests: "r50-centre-tests.txt",
    r79_busy: "r79-busy.txt",
    r79_remembered: "r79-remembered.txt",
    r79_clock_goes_wrong: "r79-clock-goes-wrong.txt",
    b23_late: "b23-late.txt",
    r18_quiet: "r18-quiet.txt",
    names: "names.txt",
    bounds: "bounds.txt",
    b22_no_detectors: "b22-no-detectors.txt",
    r33_cancel_one: "r33-cancel-one.txt",
    r71_two_doors: "r71-two-doors.txt",
    b11_two_smokes: "b11-two-smokes.txt",
    b17_incidents: "b17-incidents.txt",
    b11_two_smokes_apart: "b11-two-smokes-apart.txt",
    b1_looks_the_same: "b1-looks-the-same.txt",
    b8_in_a_burglary: "b8-in-a-burglary.txt",
    b1_known_on_site: "b1-known-on-site.txt",
    b17_orders_to_an_older_one: "b17-orders-to-an-older-one.txt",
    r79_flood: "r79-flood.txt",
    b17_for_hours: "b17-for-hours.txt",
    b17_inherits: "b17-inherits.txt",
    b18_arming_refused: "b18-arming-refused.txt",
    b18_override: "b18-override.txt",
    b19_zone_roles: "b19-zone-roles.txt",
    b20_codes: "b20-codes.txt",
    b3_verified_by_the_operator: "b3-verified-by-the-operator.txt",
    b5_clock: "b5-clock.txt",
    b5_off_by_profile: "b5-off-by-profile.txt",
    b5_smart_verification: "b5-smart-verification.txt",
    b6_disk: "b6-disk.txt",
    b7_entry_is_told: "b7-entry-is-told.txt",
    b9_siren: "b9-siren.txt",
    combined_detector: "combined-detector.txt",
    disarm_leaves_incident_open: "disarm-leaves-incident-open.txt",
    exit_entry_alarm: "exit-entry-alarm.txt",
    gone: "gone.txt",
    home_and_away: "home-and-away.txt",
    keys: "keys.txt",
    killed: "killed.txt",
    permit: "permit.txt",
    r01_camera_window: "r01-camera-window.txt",
    r04_hard_stop: "r04-hard-stop.txt",
    r04_continued: "r04-continued.txt",
    r18_missing: "r18-missing.txt",
    r18_own_silence: "r18-own-silence.txt",
    r19_counted: "r19-counted.txt",
    r22_inspection: "r22-inspection.txt",
    r46_new_battery: "r46-new-battery.txt",
    r46_replaced: "r46-replaced.txt",
    r20_fire_pictures: "r20-fire-pictures.txt",
    r22_fire: "r22-fire.txt",
    r36_shock_and_glass: "r36-shock-and-glass.txt",
    r78_notices: "r78-notices.txt",
    r33_cancel: "r33-cancel.txt",
    r88_sos: "r88-sos.txt",
    r92_water: "r92-water.txt",
    restart: "restart.txt",
    restart_twice: "restart-twice.txt",
    r64_no_rule_fires: "r64-no-rule-fires.txt",
    r79_warrants: "r79-warrants.txt",
    r79_once: "r79-once.txt",
    r79_clock: "r79-clock.txt",
    r79_clock_ahead: "r79-clock-ahead.txt",
    s8_claim: "s8-claim.txt",
    site_is_made: "site-is-made.txt",
    r45_sim: "r45-sim.txt",
    r50_service: "r50-service.txt",
    tamper: "tamper.txt",
    told_once: "told-once.txt",
    too_often: "too-often.txt",
    unassigned_smoke: "unassigned-smoke.txt",
    unknown_arm_state: "unknown-arm-state.txt",
}

/// The runner itself must be able to fail: each of these lines is wrong in one way.
#[test]
fn a_story_that_is_wrong_fails() {
    for wrong in [
        "00:01  set area house entry 30 exit 45  ->  nothing",
        "00:01  set area house entry 30 exit 45  ->  area_set entry_s=31; ok",
        "00:01  set area house entry 30 exit 45  ->  area_set; ok; sound fire",
        "00:01  set area house entry 30 exit 45  ->  zone_set; ok",
        "00:01  set area house entry 30 exit 45  ->  area_set; refused disk",
        "00:01  permit 9                         ->  permit_opened; ok\n00:11  time passes  ->  permit_closed",
    ] {
        let mut story = Story::begins();
        let begin = "00:00  the daemon starts  ->  journal_restarted reason=first; hub_started clean=false; profile_set; timezone_set; service_changed; silence";
        assert_eq!(story.step(begin), Ok(()));
        assert!(wrong.lines().any(|line| story.step(line).is_err()), "{wrong}");
    }
}

/// R91: what watches nothing is seen at a glance, area by area and zone by zone.
#[test]
fn r91_coverage_ends_where_devices_do() {
    let mut story = Story::begins();
    story.read(&here().join("sites/home.txt"));
    let gaps = serde_json::to_value(vakt_core::alarm::coverage::gaps(story.hub.state())).unwrap();
    assert_eq!(gaps["house"]["area"], serde_json::json!(["siren"]));
    let zones = &gaps["house"]["zones"];
    assert_eq!(zones["hall"], serde_json::json!(["smoke"]), "a camera and a cannon");
    assert_eq!(zones["kitchen"], serde_json::json!(["camera", "fog"]), "two smoke detectors");
    assert_eq!(zones["study"], serde_json::json!(["smoke", "camera", "fog"]));
    assert_eq!(story.step("00:03  set area barn entry 0 exit 0  ->  area_set; ok"), Ok(()));
    let gaps = serde_json::to_value(vakt_core::alarm::coverage::gaps(story.hub.state())).unwrap();
    assert_eq!(gaps["barn"]["area"], serde_json::json!(["intrusion", "smoke", "camera", "fog", "siren"]));
}

#[test]
#[should_panic(expected = "exactly the events that were decided")]
fn a_journals_word_about_other_events_is_not_taken() {
    let now = Stamp { boot: 1, mono_ms: 0, wall_ms: EVENING_MS, trusted: true };
    let context = vakt_core::input::Context { now, entropy: [3; 32], disk: vakt_core::input::Disk::Well };
    let decided = vakt_core::alarm::panel::Panel::default().decide(&context, vec![Input::Stopping]);
    let _ = decided.committed(&vakt_core::turn::Committed { ids: vec![], head: vakt_core::port::Head::default() });
}

#[test]
fn what_must_be_recorded_is_not_passed_over() {
    let now = Stamp { boot: 1, mono_ms: 0, wall_ms: EVENING_MS, trusted: true };
    let context = vakt_core::input::Context { now, entropy: [3; 32], disk: vakt_core::input::Disk::Well };
    let panel = vakt_core::alarm::panel::Panel::default();
    let decided = panel.decide(&context, vec![Input::Stopping]).nothing_to_record().unwrap_err();
    assert_eq!(decided.events().len(), 1);
    assert!(panel.decide(&context, vec![Input::Tick]).nothing_to_record().is_ok());
    assert_eq!(panel.next_due(now).map(|due| due.why), None::<Why>);
}
