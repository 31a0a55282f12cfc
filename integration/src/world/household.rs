//! The people of the house and the things that act: keypad and telephone, sirens, cameras, a lock that confirms late or
//! never.

use super::Item;
use super::World;
use super::bugs::Bug;
use super::checks::Check;
use super::checks::Held;
use super::checks::broken;
use super::checks::may_show;
use super::detectors::MODELS;
use super::faults::Fault;
use super::story::Deed;
use super::story::MINUTE;
use super::story::SECOND;
use vakt_core::alarm::camera_window::Grant;
use vakt_core::device::AreaId;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::UserId;
use vakt_core::device::ZoneId;
use vakt_core::event::Act;
use vakt_core::event::Class;
use vakt_core::event::Event;
use vakt_core::event::EventId;
use vakt_core::event::Fact;
use vakt_core::event::Media;
use vakt_core::event::Method;
use vakt_core::event::Profile;
use vakt_core::event::Realm;
use vakt_core::event::UserRole;
use vakt_core::input::CodeChecked;
use vakt_core::input::Command;
use vakt_core::input::Effect;
use vakt_core::input::Input;
use vakt_core::input::Newcomer;
use vakt_core::warrant::Order;
use vakt_core::warrant::Role;

/// The areas: seconds to come in, seconds to leave.
pub(super) const AREAS: [(&str, u32, u32); 2] = [("house", 30, 40), ("shed", 20, 0)];

/// A camera at work.
#[derive(Debug, Clone)]
pub(super) struct Look {
    camera: DeviceId,
    incident: Option<EventId>,
    realm: Realm,
    until: u64,
}

impl World {
    /// The site is installed, by the technician's commands.
    pub(super) fn installs(&mut self) -> Held {
        let id = |text: &str| text.to_owned();
        let mut commands = Vec::new();
        for (area, entry_s, exit_s) in AREAS {
            let area = AreaId::new(area).expect("an id");
            commands.push(Command::AreaSet { area, name: None, entry_s, exit_s });
        }
        for (user, role) in [("anna", UserRole::Owner), ("ben", UserRole::Member)] {
            let user = UserId::new(user).expect("an id");
            commands.push(Command::UserSet { user, name: Some(id("A. Person")), role, expires_ms: None });
        }
        for model in &MODELS {
            let device = model.device();
            commands.push(Command::DeviceAdd(Newcomer::plain(device.clone(), model.kind)));
            if let Some((zone, area, role)) = model.place {
                let (zone, area) = (ZoneId::new(zone).expect("an id"), AreaId::new(area).expect("an id"));
                commands.push(Command::ZoneSet {
                    zone: zone.clone(),
                    area,
                    name: None,
                    role,
                    modes: None,
                    chime: false,
                });
                commands.push(Command::DeviceAssign { device, zone });
            }
        }
        let asked = commands.into_iter().map(|command| {
            self.requests += 1;
            Input::Command { request: self.requests, method: Method::Technician, command }
        });
        let asked = asked.collect();
        self.turn(asked)
    }

    fn code(&mut self, user: Option<&str>) -> CodeChecked {
        let source = "keypad-hall".to_owned();
        CodeChecked::plain(source, user.map(|user| UserId::new(user).expect("an id")), Method::Keypad)
    }

    /// A person does something.
    pub(super) fn does(&mut self, deed: Deed) {
        self.trace.note(self.now, "person", format_args!("{deed:?}"));
        let who = self.prng.pick(&["anna", "anna", "ben"]);
        let code = self.code(Some(who));
        let area = |place: super::story::Place| Some(AreaId::new(place.name()).expect("an id"));
        let far = |order| (Role::Owner, "anna-phone", "anna", order);
        let (role, kid, person, order) = match deed {
            Deed::DisarmFar(place) => far(Order::Disarm { area: area(place) }),
            Deed::ArmFar(place, mode) => far(Order::Arm { area: area(place), mode }),
            Deed::SosFar => far(Order::Sos { area: None, silent: false }),
            near => {
                let camera = DeviceId::new("cam-hall").expect("an id");
                let command = match near {
                    Deed::Arm(place, mode) => Command::Arm { area: area(place), mode, code },
                    Deed::Disarm(place) => Command::Disarm { area: area(place), code },
                    Deed::WrongCode => Command::Disarm { area: None, code: self.code(None) },
                    Deed::Hush => Command::SirenStop { area: None, code },
                    Deed::Cancel => Command::Cancel { incident: None, code },
                    Deed::Test(minutes) => Command::TestMode { minutes, code },
                    Deed::Look => Command::Look { camera, what: Media::Stream, code },
                    Deed::Chirp => Command::SirenChirp {},
                    Deed::Permit => Command::DevicePermit { seconds: 60, joining: None },
                    Deed::Sos | Deed::SosFar | Deed::DisarmFar(_) | Deed::ArmFar(..) => Command::Sos { area: None },
                };
                if self.hub.is_some() {
                    self.requests += 1;
                    let request = self.requests;
                    self.asks.push_back(Input::Command { request, method: Method::Keypad, command });
                }
                return;
            }
        };
        self.issues(role, kid, person, order, None, None);
    }

    /// An effect leaves the hub: it may, and somebody does it.
    pub(super) fn releases(&mut self, effect: Effect, events: &[Event]) -> Held {
        self.look()?;
        let well = self.hub.as_ref().is_some_and(super::hub::Hub::disk_well);
        let unsaved = events.iter().find(|event| !self.evidence.on_disk.contains_key(&event.id));
        if let (true, Some(event)) = (well, unsaved) {
            return broken(Check::Committed, format!("{effect:?} before {} is on record", event.id));
        }
        match effect {
            Effect::Sound(sound) => {
                let sound = if self.story.bug == Some(Bug::SirensStaySilent) { None } else { sound };
                self.trace.note(self.now, "sirens", format_args!("{sound:?}"));
                (self.sounding, self.quiet) = (sound, false);
            }
            Effect::Act { command, act, .. } => {
                self.done(command, act)?;
                if self.story.bug == Some(Bug::ActsTwice) {
                    self.done(command, act)?;
                }
            }
            Effect::Publish(alarm) => {
                if well || alarm.class != Class::Alarm {
                    return broken(Check::Committed, format!("{} leaves unjournaled, and need not", alarm.id));
                }
                let now = self.stamp();
                self.hub.iter_mut().for_each(|hub| hub.voice.unjournaled(alarm.clone(), now));
            }
            Effect::Camera(grant) => self.looks_through(&grant, events)?,
            Effect::Signal(_) | Effect::Light { .. } => {}
            Effect::CameraEnds(incident) => {
                let stretched = self.story.bug == Some(Bug::StretchesGrants);
                self.looks.retain(|look| stretched || look.incident != Some(incident));
            }
            Effect::Reply(..) => {}
            Effect::Answer(answer) => {
                self.trace.note(
                    self.now,
                    "hub",
                    format_args!("answers {} {:?} {:?}", answer.jti, answer.status, answer.reason),
                );
            }
        }
        if self.story.bug == Some(Bug::UnlocksByItself) && self.turns > 100 {
            self.done(EventId([3; 16]), Act::EmergencyUnlock)?;
        }
        Ok(())
    }

    fn done(&mut self, command: EventId, act: Act) -> Held {
        if self.story.bug == Some(Bug::UnlocksByItself) {
            self.evidence.commands.entry(command).or_insert((act, None));
        }
        self.trace.note(self.now, "act", format_args!("{act:?}"));
        self.evidence.acts(command, act)?;
        let late = self.strikes(Fault::ActLate);
        let takes = if late { self.prng.wild(8 * SECOND, 2 * MINUTE) } else { self.prng.within(100, 4_000) };
        let error = self.prng.chance(100).then(|| "jammed".to_owned());
        if !self.strikes(Fault::ActNever) {
            self.after(self.now + takes, Item::Acted(command, act, error));
        }
        Ok(())
    }

    fn looks_through(&mut self, grant: &Grant, events: &[Event]) -> Held {
        let granted = |event: &&Event| {
            matches!(event.fact, Fact::MediaGranted { realm, .. } if realm == grant.realm())
                && event.device.as_ref() == Some(grant.camera())
                && event.incident == grant.incident()
        };
        let on_record = events.iter().filter(granted).any(|event| self.evidence.on_disk.contains_key(&event.id));
        if !on_record {
            return broken(Check::Camera, "a camera is asked, and no leave for it is on record");
        }
        let now = self.stamp();
        let extra = if self.story.bug == Some(Bug::StretchesGrants) { 10 * MINUTE } else { 0 };
        let for_ms = grant.left_ms(now) + extra;
        self.trace.note(self.now, grant.camera().as_str(), format_args!("{:?} for {for_ms} ms", grant.realm()));
        let look = Look {
            camera: grant.camera().clone(),
            incident: grant.incident(),
            realm: grant.realm(),
            until: self.now + for_ms,
        };
        self.looks.retain(|look| look.until > self.now);
        self.looks.push(look);
        self.watched()
    }

    /// What the centre sees at this moment, and will: only what an open alarm of the listed kinds has opened.
    pub(super) fn watched(&self) -> Held {
        let now = self.clock.stamp(self.now);
        for look in self.looks.iter().filter(|look| look.until > self.now) {
            let shared = self.story.bug == Some(Bug::SharesTheOwners);
            match (look.realm, look.incident.and_then(|id| self.evidence.incidents.get(&id))) {
                (Realm::Owner, None) if !shared => {}
                (Realm::Centre, Some(told)) => {
                    let model = MODELS.iter().find(|model| model.id == look.camera.as_str());
                    if model.is_none_or(|model| model.kind != DeviceKind::Camera) {
                        return broken(Check::Camera, format!("{} is no camera", look.camera));
                    }
                    let area = model.and_then(|model| model.place).map(|(_, area, _)| area);
                    let dk = self.story.profile == Profile::Dk;
                    may_show(told, dk, area, now, look.until - self.now)?;
                }
                (realm, _) => {
                    return broken(Check::Camera, format!("the centre sees what is {realm:?}'s, of no incident"));
                }
            }
        }
        Ok(())
    }

    /// What is heard is what must be heard.
    pub(super) fn sounds_right(&self) -> Held {
        let must = self.oracle.sound(self.clock.stamp(self.now));
        if self.installing || self.quiet || self.sounding == must {
            return Ok(());
        }
        broken(Check::Oracle, format!("{:?} is heard, {must:?} must be", self.sounding))
    }
}
