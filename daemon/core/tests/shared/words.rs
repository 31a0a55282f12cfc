//! What the words of a story mean: each line's first half as the inputs that reach the panel. Nothing is judged here.

use super::{BOARD_START_MS, EVENING_MS, Happens, IMAGE_BUILT_MS, ROOM, Story, camera_id, device_id, id, said, word};
use serde_json::Value;
use std::collections::BTreeMap;
use vakt_core::alarm::past::Past;
use vakt_core::canonical;
use vakt_core::device::{AreaId, Authenticated, DeviceKind, DeviceState, Measurement, Report, UserId, ZoneId};
use vakt_core::event::{Act, ArmMode, EventId, Media, Method, RestartReason};
use vakt_core::input::{CodeChecked, Command, Input, InstalledKey, LockUsed, ModemWord, Newcomer, Supply};
use vakt_core::warrant::{Digest, Order, Warrant};

/// `256*x`: so many of it.
/// `is card-a in hub-a`, `is unread in hub-a`, `is locked: puk`, `is open`, `was helped by reset: failed`, `has used 80 percent`.
fn modem_word(words: &[&str]) -> Result<ModemWord, String> {
    let read = |word: &str| (word != "unread").then(|| word.to_owned());
    Ok(match words {
        ["is", iccid, "in", imei] => ModemWord::Seen { imei: read(imei), iccid: read(iccid) },
        ["is", "locked:", why] => ModemWord::Locked { why: (*why).to_owned() },
        ["is", "open"] => ModemWord::Unlocked,
        ["was", "helped", "by", step, reason] => {
            ModemWord::Helped { step: step.trim_end_matches(':').to_owned(), reason: (*reason).to_owned() }
        }
        ["has", "used", percent, "percent"] => {
            ModemWord::DataUsed { percent: percent.parse().map_err(|_| "how much?")?, used_mb: 400, of_mb: 500 }
        }
        _ => return Err("what about the modem?".to_owned()),
    })
}

fn many(value: &str) -> Option<String> {
    value.split_once('*').and_then(|(n, of)| Some(of.repeat(n.parse().ok()?)))
}

/// A text with its escapes as in JSON.
fn text(written: &str) -> String {
    let meant = || serde_json::from_str(&format!("\"{written}\"")).unwrap_or_else(|_| written.to_owned());
    many(written).unwrap_or_else(meant)
}

impl Story {
    pub fn happens(&mut self, words: &[&str]) -> Result<Happens, String> {
        let turn = |input| Ok(Happens::Turn(vec![input]));
        match words {
            ["time", "passes"] => turn(Input::Tick),
            ["the", "daemon", ..] | ["the", "power", ..] | ["the", "clock", ..] => self.life(words),
            ["the", "disk", "fails", room @ ..] => {
                let room = match room {
                    [] => ROOM,
                    ["with", "room", "for", n] => n.parse().map_err(|_| "how much room?")?,
                    _ => return Err("the disk fails [with room for N]".to_owned()),
                };
                self.hub.disk_fails(room);
                turn(Input::DiskFailed { error: "a commit took longer than 2 s".to_owned() })
            }
            ["the", "disk", "answers"] => {
                let (pending, refused) = self.hub.disk_answers();
                turn(Input::DiskRecovered { pending, refused })
            }
            ["the", "disk", "has", "little", "room"] => turn(Input::DiskRoom { low: true }),
            ["the", "disk", "has", "room"] => turn(Input::DiskRoom { low: false }),
            ["mains", "is", verdict] => {
                let minutes_left = Some(720);
                turn(Input::Supply(Supply { mains: Some(*verdict == "back"), minutes_left, ..Supply::default() }))
            }
            ["battery", "at", percent] => {
                let battery_percent = Some(percent.parse().map_err(|_| "how much?")?);
                turn(Input::Supply(Supply { battery_percent, ..Supply::default() }))
            }
            ["the", "supply", "ends"] => turn(Input::Supply(Supply { dying: true, ..Supply::default() })),
            ["around", "the", "hub:", around @ ..] => {
                let (cells, gateway) = (around.contains(&"cells"), around.contains(&"router"));
                turn(Input::Surroundings { cells, gateway })
            }
            ["modem", "of", path, word @ ..] => {
                turn(Input::Modem { modem: (*path).to_owned(), word: modem_word(word)? })
            }
            ["noise", "at", receiver, verdict @ ..] => {
                let on = match verdict {
                    ["begins"] => Some(true),
                    ["ends"] => Some(false),
                    ["is", "unknown"] => None,
                    _ => return Err("noise begins, ends or is unknown".to_owned()),
                };
                turn(Input::Interference { receiver: (*receiver).to_owned(), on })
            }
            ["path", path, "is", verdict] => {
                let reason = (*verdict != "up").then(|| (*verdict).to_owned());
                turn(Input::Path { path: (*path).to_owned(), reason })
            }
            ["receiver", name, "is", verdict] => {
                let error = (*verdict != "well").then(|| (*verdict).to_owned());
                turn(Input::Receiver { receiver: (*name).to_owned(), error })
            }
            ["no", "receipt", "for", name, "in", ms, "ms"] => {
                let event = self.names.get(*name).ok_or("which alarm?")?.clone();
                let after_ms = ms.parse().map_err(|_| "how many ms?")?;
                turn(Input::Overdue { event: EventId::try_from(event)?, after_ms })
            }
            ["a", "false", "receipt:", reason @ ..] => {
                turn(Input::RefusedReceipt { reason: reason.join(" "), count: 1 })
            }
            ["the", "siren" | "lock" | "cannon", "answers", error @ ..] => {
                let command = self.command.ok_or("nothing was asked")?;
                let error = (!error.is_empty()).then(|| error.join(" "));
                let act = self.hub.state().acts.get(&command).map_or(Act::SirenChirp, |sent| sent.act);
                turn(Input::Acted { command, act, error })
            }
            ["profile", profile] => {
                self.profile = word(profile)?;
                Ok(Happens::Outside)
            }
            ["centre", ..]
            | ["set", ..]
            | ["remove", ..]
            | ["block", ..]
            | ["unblock", ..]
            | ["service", _]
            | ["permit", ..]
            | ["chirp"] => self.technician(words),
            [
                who,
                verb @ ("arms" | "disarms" | "hushes" | "cancels" | "tests" | "looks" | "locks" | "unlocks"
                | "consents" | "bypasses" | "restores" | "changes" | "puts" | "acknowledges" | "claims"),
                rest @ ..,
            ] => self.person(who, verb, rest),
            [who, "has", "tried", ..] => self.person(who, "has", &words[2..]),
            [role, "orders", cmd, rest @ ..] => self.warrant(role, cmd, rest),
            ["somebody", "calls", "for", "help"] => self.command(Method::Local, Command::Sos { area: None }),
            ["somebody", "calls", "for", "help", "in", area] => {
                self.command(Method::Local, Command::Sos { area: Some(id(area, AreaId::new)?) })
            }
            [device, says @ ..] => self.detector(device, says),
            [] => Err("what happens?".to_owned()),
        }
    }

    /// The daemon's and the board's own life.
    fn life(&mut self, words: &[&str]) -> Result<Happens, String> {
        let keys = words.iter().skip_while(|word| **word != "keys").skip(1);
        let keys = keys.map(|key| {
            let (kid, role) = key.split_once(':').unwrap_or((key, "arc"));
            InstalledKey { kid: kid.to_owned(), role: role.to_owned(), ed25519: format!("{kid:A<43}") }
        });
        let profile = self.profile;
        let timezone = "Europe/Copenhagen".to_owned();
        let started = Input::Started { version: "0.1.0".to_owned(), keys: keys.collect(), profile, timezone };
        let begun = |reason, arm_state_known| Input::JournalBegun {
            reason,
            old_epoch: None,
            old_seq: None,
            old_hash: None,
            salvaged: 0,
            arm_state_known,
        };
        match words {
            ["the", "daemon", "is", "killed"] => {
                self.hub.die();
                return Ok(Happens::Outside);
            }
            ["the", "daemon", "stops"] => return Ok(Happens::Turn(vec![Input::Stopping])),
            ["the", "power", "is", "cut"] => {
                self.hub.die();
                self.hub.now.boot += 1;
                return Ok(Happens::Outside);
            }
            ["the", "clock", "is", "set"] => {
                self.set_clock(true);
                return Ok(Happens::Turn(vec![Input::Tick]));
            }
            ["the", "clock", "is", "a", "week", "ahead"] => {
                self.set_clock(true);
                self.hub.now.wall_ms += 7 * 24 * 3_600_000;
                return Ok(Happens::Turn(vec![Input::Tick]));
            }
            ["the", "power", "is", "back,", "clock", clock, ..] => {
                self.hub.now.mono_ms = BOARD_START_MS;
                self.set_clock(*clock == "right");
            }
            ["the", "daemon", "starts", "on", "a", "damaged", "journal"] => {
                self.hub.quarantine();
                self.hub.load();
                return Ok(Happens::Turn(vec![begun(RestartReason::Quarantined, false), started]));
            }
            ["the", "daemon", "starts", ..] => {}
            _ => return Err("the hub's life is to start, stop, be killed or lose its power".to_owned()),
        }
        self.hub.die();
        self.hub.load();
        let first = self.hub.is_new().then(|| begun(RestartReason::First, true));
        Ok(Happens::Turn(first.into_iter().chain([started]).collect()))
    }

    fn set_clock(&mut self, trusted: bool) {
        let since = if trusted { EVENING_MS } else { IMAGE_BUILT_MS };
        self.hub.now.trusted = trusted;
        self.hub.now.wall_ms = since + i64::try_from(self.at_ms).unwrap();
    }

    fn command(&mut self, method: Method, command: Command) -> Result<Happens, String> {
        self.requests += 1;
        Ok(Happens::Turn(vec![Input::Command { request: self.requests, method, command }]))
    }

    fn technician(&mut self, words: &[&str]) -> Result<Happens, String> {
        let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is not a number"));
        let name = |rest: &[&str]| (!rest.is_empty()).then(|| text(&rest.join(" ")));
        let command = match words {
            ["set", "area", area, "entry", entry, "exit", exit, rest @ ..] => {
                let (area, name) = (id(area, AreaId::new)?, name(rest));
                Command::AreaSet { area, name, entry_s: number(entry)?, exit_s: number(exit)? }
            }
            ["set", "zone", zone, "in", area, role, rest @ ..] => Command::ZoneSet {
                zone: id(zone, ZoneId::new)?,
                area: id(area, AreaId::new)?,
                name: name(rest).filter(|text| !matches!(text.as_str(), "night" | "chime")),
                role: word(role)?,
                modes: rest.contains(&"night").then(|| [ArmMode::Night, ArmMode::Away].into()),
                chime: rest.contains(&"chime"),
            },
            ["set", "user", user, role, "until", seconds] => {
                let expires_ms = Some(self.hub.now.wall_ms + 1000 * i64::from(number(seconds)?));
                Command::UserSet { user: id(user, UserId::new)?, name: None, role: word(role)?, expires_ms }
            }
            ["set", "user", user, role, rest @ ..] => {
                Command::UserSet { user: id(user, UserId::new)?, name: name(rest), role: word(role)?, expires_ms: None }
            }
            ["set", "camera", camera, "in", zone] => {
                Command::DeviceAssign { device: camera_id(camera)?, zone: id(zone, ZoneId::new)? }
            }
            ["set", "camera", camera] => Command::DeviceAdd(Newcomer::plain(camera_id(camera)?, DeviceKind::Camera)),
            ["set", "device", device, "in", zone] => {
                Command::DeviceAssign { device: device_id(device)?, zone: id(zone, ZoneId::new)? }
            }
            ["set", "device", device, kind, "silent", silence_s] => {
                let new = Newcomer::plain(device_id(device)?, word(kind)?);
                Command::DeviceAdd(Newcomer { silence_s: Some(number(silence_s)?), ..new })
            }
            ["set", "device", device, kind, "for", old] => {
                let (device, kind) = (device_id(device)?, word(kind)?);
                self.kinds.insert(device.clone(), kind);
                Command::DeviceReplace { old: device_id(old)?, new: Newcomer::plain(device, kind) }
            }
            ["set", "device", device, kind, rest @ ..] => {
                let (device, kind) = (device_id(device)?, word(kind)?);
                let (pet, name) = (rest == ["pet"], name(rest).filter(|_| rest != ["pet"]));
                self.kinds.insert(device.clone(), kind);
                Command::DeviceAdd(Newcomer { name, pet, ..Newcomer::plain(device, kind) })
            }
            ["remove", "device", device] => Command::DeviceRemove { device: device_id(device)? },
            ["remove", "camera", camera] => Command::DeviceRemove { device: camera_id(camera)? },
            ["set", "lock", device, "auto", auto, "left", "open", left, rest @ ..] => Command::LockSet {
                device: device_id(device)?,
                auto_lock_s: number(auto)?,
                left_open_s: number(left)?,
                before_arming: rest.contains(&"first"),
                disarms: rest.contains(&"disarms"),
            },
            ["set", "schedule", schedule, area, mode, "days", days, "minute", minute] => Command::ScheduleSet {
                schedule: (*schedule).to_owned(),
                area: id(area, AreaId::new)?,
                mode: word(mode)?,
                days: days.parse().map_err(|_| "which days?")?,
                minute: minute.parse().map_err(|_| "which minute?")?,
            },
            ["remove", "schedule", schedule] => Command::ScheduleRemove { schedule: (*schedule).to_owned() },
            ["set", "rule", rule, device, measure, side, limit, "back", back, then] => Command::RuleSet {
                rule: (*rule).to_owned(),
                device: device_id(device)?,
                measure: (*measure).to_owned(),
                above: *side == "above",
                limit_milli: limit.parse().map_err(|_| "which limit?")?,
                back_milli: back.parse().map_err(|_| "how far back?")?,
                then: serde_json::from_str(then).map_err(|e| e.to_string())?,
            },
            ["remove", "rule", rule] => Command::RuleRemove { rule: (*rule).to_owned() },
            ["set", "duress", on] => Command::DuressSet { on: *on == "on" },
            ["service", device] => Command::FogServiced { device: device_id(device)? },
            ["block", "user", user] => Command::UserBlock { user: id(user, UserId::new)?, blocked: true },
            ["unblock", "user", user] => Command::UserBlock { user: id(user, UserId::new)?, blocked: false },
            ["block", credential] => Command::CredentialBlock { credential: text(credential) },
            ["remove", "user", user] => Command::UserRemove { user: id(user, UserId::new)? },
            ["permit", seconds] => Command::DevicePermit { seconds: number(seconds)?, joining: None },
            ["chirp"] => Command::SirenChirp {},
            _ if words[0] == "centre" => self.centre(&words[1..])?,
            _ => return Err("the technician can set, remove, permit and chirp".to_owned()),
        };
        self.command(Method::Local, command)
    }

    /// `centre verifies @fire by voice`, `centre closes @fire as cooking`.
    fn centre(&self, words: &[&str]) -> Result<Command, String> {
        let incident = |name: &str| {
            let known = self.names.get(name).ok_or("which incident?")?;
            EventId::try_from(known.clone())
        };
        match words {
            ["verifies", name, "by", evidence] => {
                Ok(Command::IncidentVerify { incident: incident(name)?, by: word(evidence)? })
            }
            ["closes", name, "as", cause] => {
                Ok(Command::IncidentClose { incident: incident(name)?, cause: word(cause)? })
            }
            ["asks", camera, "for", what, "of", name] => {
                let incident = incident(name).unwrap_or(EventId([9; 16]));
                Ok(Command::Media { camera: camera_id(camera)?, what: word(what)?, incident })
            }
            ["has", "seen", "enough", "of", name] => Ok(Command::MediaClose { incident: incident(name)? }),
            _ => Err("the centre verifies, closes, asks and has seen enough".to_owned()),
        }
    }

    /// `arc_operator orders image camera=cam-hall incident=@fire nonce=fresh ground=… by=KID jti=…`; all other members
    /// are `args`.
    fn warrant(&mut self, role: &str, cmd: &str, rest: &[&str]) -> Result<Happens, String> {
        let (mut args, mut said) = (serde_json::Map::new(), BTreeMap::new());
        let rest = rest.iter().map(|word| {
            let (key, value) = word.split_once('=').ok_or_else(|| format!("`{word}` is not key=value"))?;
            Ok((key, many(value).unwrap_or_else(|| value.to_owned())))
        });
        let rest = rest.collect::<Result<Vec<(&str, String)>, String>>()?;
        for (key, value) in &rest {
            match *key {
                "incident" | "nonce" | "ground" | "key" | "jti" | "exp" | "iat" | "sub" | "bytes" => {
                    said.insert(*key, value.as_str());
                }
                _ => {
                    let typed = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value.as_str()));
                    args.insert((*key).to_owned(), typed);
                }
            }
        }
        let order = serde_json::json!({"cmd": cmd, "args": args});
        let order: Order = serde_json::from_value(order).map_err(|e| e.to_string())?;
        let centre = role.starts_with("arc");
        self.requests += 1;
        let seconds =
            |key: &str, or: i64| said.get(key).map_or(Ok(or), |s| s.parse::<i64>().map_err(|e| e.to_string()));
        // The issuer's clock is right, whatever the hub's shows.
        let true_ms = EVENING_MS + i64::try_from(self.at_ms).unwrap();
        let issued_s = true_ms / 1000 + seconds("iat", 0)?;
        let nonce = match said.get("nonce").copied() {
            Some("fresh") => Some(self.hub.challenges.mint(self.hub.now)),
            Some(name) if name.starts_with('@') => {
                let fresh = self.hub.challenges.mint(self.hub.now);
                Some(self.names.entry(name.to_owned()).or_insert(fresh).clone())
            }
            other => other.map(str::to_owned),
        };
        let incident = said.get("incident").map(|name| match self.names.get(*name) {
            Some(known) => EventId::try_from(known.clone()),
            None => Ok(EventId([9; 16])),
        });
        let jti = said.get("jti").map_or_else(|| format!("w-{}", self.requests), |jti| (*jti).to_owned());
        let bytes = said.get("bytes").copied().unwrap_or_default();
        let warrant = Warrant {
            digest: Digest(canonical::sha256(&[jti.as_bytes(), cmd.as_bytes(), bytes.as_bytes()])),
            jti,
            kid: said.get("key").map_or_else(|| if centre { "arc-1" } else { "phone" }, |kid| *kid).to_owned(),
            issuer: "test".to_owned(),
            person: said.get("sub").map_or_else(|| if centre { "operator-7" } else { "anna" }, |sub| *sub).to_owned(),
            role: word(role)?,
            issued_s,
            expires_s: issued_s + seconds("exp", 60)?,
            nonce,
            incident: incident.transpose()?,
            ground: said.get("ground").map(|ground| word(ground)).transpose()?,
            order,
        };
        Ok(Happens::Turn(vec![Input::Warrant(Box::new(warrant))]))
    }

    /// `anna arms [AREA] away|home at SOURCE`; `nobody` gives a code that is nobody's.
    fn person(&mut self, who: &str, verb: &str, rest: &[&str]) -> Result<Happens, String> {
        let (rest, source) = match rest {
            [rest @ .., "at", source] => (rest, *source),
            _ => return Err("at which source is the code given?".to_owned()),
        };
        let user = if who == "nobody" { None } else { Some(id(who, UserId::new)?) };
        let method = match source {
            "app" => Method::App,
            "tag-reader" => Method::Tag,
            "remote" => Method::Remote,
            _ => Method::Keypad,
        };
        let (rest, duress) = match rest {
            [rest @ .., "under", "threat"] => (rest, true),
            rest => (rest, false),
        };
        let credential = user.as_ref().map(|user| format!("{}-{user}", said(method)));
        let code = CodeChecked { source: source.to_owned(), user, method, credential, duress };
        let (rest, mode) = match rest {
            [rest @ .., "away"] => (rest, Some(ArmMode::Away)),
            [rest @ .., "home"] => (rest, Some(ArmMode::Home)),
            [rest @ .., "night"] => (rest, Some(ArmMode::Night)),
            rest => (rest, None),
        };
        if let ("looks", ["through", camera]) = (verb, rest) {
            let (camera, what) = (camera_id(camera)?, Media::Stream);
            return self.command(Method::App, Command::Look { camera, what, code });
        }
        if verb == "tests" {
            let minutes = rest.first().and_then(|minutes| minutes.parse().ok()).ok_or("for how many minutes?")?;
            return self.command(Method::Keypad, Command::TestMode { minutes, code });
        }
        match (verb, rest) {
            ("claims", []) => {
                return self.command(Method::Local, Command::Claim { name: None, code, code_taken: false });
            }
            ("claims", ["with", "a", "taken", "code"]) => {
                return self.command(Method::Local, Command::Claim { name: None, code, code_taken: true });
            }
            ("locks", []) => return self.command(method, Command::Lock { device: None, code }),
            ("unlocks", []) => return self.command(method, Command::Unlock { device: None, code }),
            ("consents", [minutes, "min"]) => {
                let minutes = minutes.parse().map_err(|_| "for how many minutes?")?;
                return self.command(method, Command::Consent { minutes, code });
            }
            ("has", ["tried", "the", "key"]) => return self.command(method, Command::KeyWorks { code }),
            ("bypasses", [zone]) => {
                return self.command(method, Command::Bypass { zone: id(zone, ZoneId::new)?, on: true, code });
            }
            ("restores", [zone]) => {
                return self.command(method, Command::Bypass { zone: id(zone, ZoneId::new)?, on: false, code });
            }
            ("changes", ["battery", "of", device]) => {
                return self.command(method, Command::BatteryChange { device: device_id(device)?, code });
            }
            ("puts", ["off", schedule]) => {
                return self.command(method, Command::PutOff { schedule: (*schedule).to_owned(), code });
            }
            _ => {}
        }
        let area = rest.first().map(|area| id(area, AreaId::new)).transpose()?;
        let command = match (verb, mode) {
            ("arms", Some(mode)) => Command::Arm { area, mode, code },
            ("disarms", None) => Command::Disarm { area, code },
            ("acknowledges", None) => Command::Acknowledge { area, code },
            ("hushes", None) => Command::SirenStop { area, code },
            ("cancels", None) => Command::Cancel { incident: None, code },
            _ => return Err("arms away, arms home, disarms or hushes".to_owned()),
        };
        self.command(method, command)
    }

    /// `hall-door opens`, `smoke alarms and is tampered`, `combined alarms as co`.
    fn detector(&mut self, device: &str, says: &[&str]) -> Result<Happens, String> {
        let device = device_id(device)?;
        match says {
            ["is", "unreadable"] => return Ok(Happens::Turn(vec![Input::Unreadable { device }])),
            ["is", "gone"] => return Ok(Happens::Turn(vec![Input::Gone { device }])),
            ["knocks", count, "times"] => {
                let count = count.parse().map_err(|_| "how often?")?;
                return Ok(Happens::Turn(vec![Input::JoinRefused { device, count }]));
            }
            ["remembers", alarms, "alarms", last @ ..] => {
                let alarms = Some(alarms.parse().map_err(|_| "how many?")?);
                let last = last.get(1).map(|day| (*day).to_owned());
                return Ok(Happens::Turn(vec![Input::Past {
                    device,
                    authenticated: Authenticated::Crc,
                    past: Past { alarms, last },
                }]));
            }
            ["passes", "its", "test"] => return Ok(Happens::Turn(vec![Input::SelfTest { device, passed: true }])),
            ["fails", "its", "test"] => return Ok(Happens::Turn(vec![Input::SelfTest { device, passed: false }])),
            ["measures", measure, value, level @ ..] => {
                let authenticated = match level {
                    [] => Authenticated::MacCounter,
                    [level] => word(level)?,
                    _ => return Err("how far is it to be trusted?".to_owned()),
                };
                let value_milli = value.parse().map_err(|_| "how much?")?;
                let (measure, unit) = ((*measure).to_owned(), String::new());
                let values = vec![Measurement { measure, value_milli, unit }];
                return Ok(Happens::Turn(vec![Input::Measured { device, authenticated, values }]));
            }
            ["is", way @ ("opened" | "shut"), "by", tag] => {
                let used = LockUsed {
                    device,
                    unlocked: *way == "opened",
                    method: Some(Method::Tag),
                    user: None,
                    credential: Some((*tag).to_owned()),
                };
                return Ok(Happens::Turn(vec![Input::LockUsed(used)]));
            }
            ["is", way @ ("opened" | "shut"), "by", who, how] => {
                let used = LockUsed {
                    device,
                    unlocked: *way == "opened",
                    method: Some(word(how)?),
                    user: Some(id(who, UserId::new)?),
                    credential: Some(format!("{how}-{who}")),
                };
                return Ok(Happens::Turn(vec![Input::LockUsed(used)]));
            }
            _ => {}
        }
        let (says, kind) = match says {
            [says @ .., "as", kind] => (says, Some(word(kind)?)),
            says => (says, self.kinds.get(&device).copied()),
        };
        let kind = kind.unwrap_or(DeviceKind::Contact);
        let mut report = Report { rssi_dbm: Some(-71), ..Report::silent(device, kind, Authenticated::Crc) };
        for phrase in says.join(" ").split(" and ") {
            match phrase {
                "opens" => report.state = Some(DeviceState::Open),
                "closes" => report.state = Some(DeviceState::Closed),
                "alarms" => report.state = Some(DeviceState::Alarm),
                "clears" => report.state = Some(DeviceState::Clear),
                "is locked" => report.state = Some(DeviceState::Locked),
                "is unlocked" => report.state = Some(DeviceState::Unlocked),
                "is ready" => report.state = Some(DeviceState::Ready),
                "is spent" => report.state = Some(DeviceState::Spent),
                "relays" => report.relayed = Some(true),
                "is tampered" => report.tamper = Some(true),
                "is whole" => report.tamper = Some(false),
                "is masked" => report.masked = Some(true),
                "sees again" => report.masked = Some(false),
                "loses mains" => report.mains_lost = Some(true),
                "has mains" => report.mains_lost = Some(false),
                "has a low battery" => report.low_battery = Some(true),
                "has a new battery" => report.low_battery = Some(false),
                "is broken" => report.fault = Some(true),
                "works" => report.fault = Some(false),
                "is heard" => {}
                counted if counted.starts_with("counts ") => {
                    report.counter = Some(counted[7..].parse().map_err(|_| "how far does it count?")?);
                }
                other => return Err(format!("what does it mean that a detector `{other}`?")),
            }
        }
        Ok(Happens::Turn(vec![Input::Report(report)]))
    }
}
