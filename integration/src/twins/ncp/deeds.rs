//! What people do at virtual keypads, locks and plugs, and what these show them: for tests, and as control lines.
//!
//! It changes nothing behind a device's back: each deed goes through the device, and what comes of it over the air.

use super::Ncp;
use super::device::Device;
use super::function::BadHabit;
use super::function::Deed;
use super::function::Function;
use super::keypad::Key;
use super::keypad::Keypad;
use super::lock::Hand;
use super::lock::Lock;
use super::lock_table::Means;
use super::mesh::MeshError;
use super::orders::OrderError;
use super::orders::number;
use super::siren::Siren;
use super::switch::Switch;
use serde_json::Value;
use std::time::Duration;

/// What may be said about functions, for `--help`.
pub const WORDS: &str = "\
keypad, fob: arm NAME disarm|day|night|all CODE|- [ZONE] · press NAME emergency|fire|panic\n\
    ask NAME panel|map|bypassed · ask NAME zone ZONE · ask NAME zones START MOST [BITS] · bypass NAME CODE|- ZONE...\n\
lock: turn NAME lock|unlock [key] · touch NAME · code NAME lock|unlock PIN · tag NAME lock|unlock TAG\n\
    door NAME open|closed · teach NAME pin|tag USER TEXT · unteach NAME pin|tag USER · factory NAME\n\
plug, light, relay: press NAME button · each of these, and siren: show NAME · habit NAME HABIT=VALUE...\n\
    habits, also behind add: keypad, fob asks=yes|no patience=MS · siren misses_stop=N refuses_strobe=yes|no\n\
    lock lies=yes|no slow=MS travel=MS jams=yes|no answers_after=yes|no secured=yes|no clock=SECONDS room=N\n\
    needs_pin=yes|no · plug, light, relay lies=yes|no slow=MS";

const ORDERS: [&str; 14] = [
    "arm", "press", "ask", "bypass", "turn", "touch", "code", "tag", "door", "teach", "unteach", "factory", "show",
    "habit",
];

impl Device {
    fn other(&self, what: &'static str) -> MeshError {
        MeshError::Other(self.name.clone(), what)
    }
}

impl Ncp {
    /// A person does something to a device.
    ///
    /// # Errors
    /// There is none of this name, or it is not one for this.
    pub fn hand(&mut self, now: Duration, name: &str, deed: &Deed) -> Result<(), MeshError> {
        let at = self.find(name)?;
        if self.devices[at].dead {
            return Ok(());
        }
        let what = match deed {
            Deed::Key(_) => "keypad",
            Deed::Hand(_) => "lock",
            Deed::Push => "switch",
        };
        let doings = self.devices[at].handled(now, deed, &mut self.log);
        let doings = doings.ok_or_else(|| self.devices[at].other(what))?;
        self.does(now, at, doings);
        self.tick(now);
        Ok(())
    }

    /// Someone types at a keypad.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn types(&mut self, now: Duration, name: &str, key: Key) -> Result<(), MeshError> {
        self.hand(now, name, &Deed::Key(key))
    }

    /// A keypad or fob.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn keypad(&mut self, name: &str) -> Result<&mut Keypad, MeshError> {
        let other = self.device(name)?.other("keypad");
        if let Function::Keypad(keypad) = &mut self.device_mut(name)?.function { Ok(keypad) } else { Err(other) }
    }

    /// A siren.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn siren(&mut self, name: &str) -> Result<&mut Siren, MeshError> {
        let other = self.device(name)?.other("siren");
        if let Function::Siren(siren) = &mut self.device_mut(name)?.function { Ok(siren) } else { Err(other) }
    }

    /// A lock.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn lock(&mut self, name: &str) -> Result<&mut Lock, MeshError> {
        let other = self.device(name)?.other("lock");
        if let Function::Lock(lock) = &mut self.device_mut(name)?.function { Ok(lock) } else { Err(other) }
    }

    /// A plug, light or relay.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn switch(&mut self, name: &str) -> Result<&mut Switch, MeshError> {
        let other = self.device(name)?.other("switch");
        if let Function::Switch(switch) = &mut self.device_mut(name)?.function { Ok(switch) } else { Err(other) }
    }

    /// What a person in front of it sees and hears.
    ///
    /// # Errors
    /// There is none of this name, or it shows nothing.
    pub fn shows(&self, now: Duration, name: &str) -> Result<Value, MeshError> {
        let device = self.device(name)?;
        let part = device.function.part().ok_or_else(|| device.other("device that shows anything"))?;
        Ok(part.shows(now))
    }
}

/// Takes on a habit, as `NAME=VALUE`.
pub(super) fn habit(function: &mut Function, word: &str) -> Result<(), OrderError> {
    let (name, value) = word.split_once('=').ok_or_else(|| OrderError::Bad(word.to_owned(), "NAME=VALUE"))?;
    let done = function.part_mut().map_or(Err(BadHabit::Name), |part| part.habit(name, value));
    done.map_err(|bad| match bad {
        BadHabit::Name => OrderError::Bad(name.to_owned(), "option of this order"),
        BadHabit::Value(right) => OrderError::Bad(value.to_owned(), right),
    })
}

type Words<'a, 'w> = &'w mut dyn Iterator<Item = &'a str>;

fn next<'a>(words: Words<'a, '_>, what: &'static str) -> Result<&'a str, OrderError> {
    words.next().ok_or(OrderError::Missing(what))
}

fn one_of<T: Copy>(word: &str, known: &[(&str, T)], what: &'static str) -> Result<T, OrderError> {
    let found = known.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    found.ok_or_else(|| OrderError::Bad(word.to_owned(), what))
}

fn locks(words: Words<'_, '_>) -> Result<bool, OrderError> {
    one_of(next(words, "lock or unlock")?, &[("lock", true), ("unlock", false)], "lock or unlock")
}

fn means(words: Words<'_, '_>) -> Result<Means, OrderError> {
    one_of(next(words, "pin or tag")?, &[("pin", Means::Pin), ("tag", Means::Tag)], "pin or tag")
}

/// A code, or `-` for none.
fn code(words: Words<'_, '_>) -> Result<String, OrderError> {
    let word = next(words, "the code, or - for none")?;
    Ok(if word == "-" { String::new() } else { word.to_owned() })
}

/// Follows an order about a device's function; nothing when it is none.
pub(super) fn follow<'a>(
    ncp: &mut Ncp,
    now: Duration,
    order: &str,
    words: Words<'a, '_>,
) -> Result<Option<String>, OrderError> {
    if !ORDERS.contains(&order) {
        return Ok(None);
    }
    let name = next(words, "the device's name")?;
    match order {
        "show" => return Ok(Some(serde_json::to_string(&ncp.shows(now, name)?)?)),
        "habit" => {
            let function = &mut ncp.device_mut(name)?.function;
            for word in words {
                habit(function, word)?;
            }
        }
        _ => {
            let deed = deed(order, words)?;
            ncp.hand(now, name, &deed)?;
        }
    }
    Ok(Some(String::new()))
}

fn deed(order: &str, words: Words<'_, '_>) -> Result<Deed, OrderError> {
    Ok(match order {
        "arm" => {
            let modes = [("disarm", 0), ("day", 1), ("night", 2), ("all", 3)];
            let mode = one_of(next(words, "what to arm")?, &modes, "disarm, day, night or all")?;
            let code = code(words)?;
            let zone = words.next().map_or(Ok(0), |word| number(word, "zone"))?;
            Deed::Key(Key::Arm(mode, code, zone))
        }
        "press" => match next(words, "which key")? {
            "emergency" => Deed::Key(Key::Emergency),
            "fire" => Deed::Key(Key::Fire),
            "panic" => Deed::Key(Key::Panic),
            "button" => Deed::Push,
            word => return Err(OrderError::Bad(word.to_owned(), "key: emergency, fire, panic or button")),
        },
        "ask" => Deed::Key(question(words)?),
        "bypass" => {
            let code = code(words)?;
            let zones = words.map(|word| number(word, "zone")).collect::<Result<_, _>>()?;
            Deed::Key(Key::Bypass(zones, code))
        }
        _ => Deed::Hand(hand(order, words)?),
    })
}

fn question(words: Words<'_, '_>) -> Result<Key, OrderError> {
    Ok(match next(words, "what to ask")? {
        "panel" => Key::Wake,
        "map" => Key::ZoneMap,
        "bypassed" => Key::Bypassed,
        "zone" => Key::ZoneInfo(number(next(words, "the zone")?, "zone")?),
        "zones" => {
            let start = number(next(words, "the first zone")?, "zone")?;
            let most = number(next(words, "how many at most")?, "number")?;
            let bits = words.next().map_or(Ok(0), super::orders::bits)?;
            Key::ZoneStatus(start, most, bits)
        }
        word => return Err(OrderError::Bad(word.to_owned(), "question: panel, map, bypassed, zone or zones")),
    })
}

fn hand(order: &str, words: Words<'_, '_>) -> Result<Hand, OrderError> {
    Ok(match order {
        "turn" => {
            let lock = locks(words)?;
            match words.next() {
                None => Hand::Turn(lock),
                Some("key") => Hand::Key(lock),
                Some(word) => return Err(OrderError::Bad(word.to_owned(), "key, or nothing for the thumb turn")),
            }
        }
        "touch" => Hand::Touch,
        "code" | "tag" => {
            let means = if order == "code" { Means::Pin } else { Means::Tag };
            let lock = locks(words)?;
            Hand::Show(means, next(words, "what is shown")?.to_owned(), lock)
        }
        "door" => {
            let doors = [("open", true), ("closed", false)];
            Hand::Door(one_of(next(words, "open or closed")?, &doors, "open or closed")?)
        }
        "teach" => {
            let (means, user) = (means(words)?, number(next(words, "the user")?, "user's number")?);
            Hand::Teach(means, user, next(words, "his code or tag")?.to_owned())
        }
        "unteach" => Hand::Unteach(means(words)?, number(next(words, "the user")?, "user's number")?),
        _ => Hand::FactoryReset,
    })
}
