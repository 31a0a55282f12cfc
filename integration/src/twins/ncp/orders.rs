//! The control lines of a stick that runs as a program: what happens to its detectors, its line, itself. Those for
//! keypads, sirens, locks and switches are `deeds`'.
//!
//! One order a line, one answer a line. It moves no bytes itself; pulling out and plugging in are the caller's.

use super::Ncp;
use super::ash::code;
use super::bytes::Eui64;
use super::deeds;
use super::function::Function;
use super::habits::Enrolment;
use super::habits::Habits;
use super::habits::Kind;
use super::hex;
use super::line::Noise;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

/// What may be said, for `--help` and for one who said something else.
pub const WORDS: &str = "\
add NAME KIND [eui=HEX] [model=TEXT] [maker=TEXT] [endpoint=N] [enrol=response|request|tripped] [sleepy=yes|no]\n\
    [short=MS] [long=MS] [repeats=N] [holds=yes|no] [wants=yes|no] [key=HEX] [HABIT=VALUE]...\n\
    KIND: contact motion smoke heat co water vibration glass sos keypad fob siren lock plug light relay\n\
join NAME · leave NAME · rejoin NAME [unsecured] · die NAME · wake NAME\n\
open NAME · close NAME · tamper NAME · untamper NAME · low NAME · full NAME · test NAME · status NAME SET CLEAR (hex)\n\
chatter NAME TIMES MS · battery NAME HALF_PERCENT\n\
jam DBM|off · bursts DBM|off · unplug · plug · reset [CODE] · error [CODE] · hang\n\
faults [drop=P] [flip=P] [double=P] [lose=P] [late=MS] [baud=N] [bytewise=yes] [reset_written=N] [reset_read=N]\n\
log · clear · key · state · list · help · quit\n";

/// Why an order was not followed.
#[derive(Debug, Error)]
pub enum OrderError {
    /// It is none.
    #[error("{0:?} is no order; help lists them")]
    Unknown(String),
    /// A word is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A word means nothing.
    #[error("{0:?} is no {1}")]
    Bad(String, &'static str),
    /// The mesh would not.
    #[error(transparent)]
    Mesh(#[from] super::mesh::MeshError),
    /// The log has no JSON form.
    #[error("writing the log: {0}")]
    Json(#[from] serde_json::Error),
}

/// What the caller does beyond the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Nothing but saying this.
    Done(String),
    /// Pull the stick out.
    Unplug,
    /// Plug it in.
    Plug,
    /// End.
    Quit,
}

/// `word=value` pairs behind an order.
struct Options<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Options<'a> {
    fn read(words: impl Iterator<Item = &'a str>, known: &[&str]) -> Result<Self, OrderError> {
        let mut options = BTreeMap::new();
        for word in words {
            let (name, value) = word.split_once('=').ok_or_else(|| OrderError::Bad(word.to_owned(), "NAME=VALUE"))?;
            if !known.contains(&name) {
                return Err(OrderError::Bad(name.to_owned(), "option of this order"));
            }
            options.insert(name, value);
        }
        Ok(Self(options))
    }

    fn get<T: FromStr>(&self, name: &str, what: &'static str) -> Result<Option<T>, OrderError> {
        self.0.get(name).map(|value| number(value, what)).transpose()
    }

    fn ms(&self, name: &str) -> Result<Option<Duration>, OrderError> {
        Ok(self.get(name, "number of milliseconds")?.map(Duration::from_millis))
    }

    fn yes(&self, name: &str, otherwise: bool) -> Result<bool, OrderError> {
        match self.0.get(name) {
            None => Ok(otherwise),
            Some(&"yes") => Ok(true),
            Some(&"no") => Ok(false),
            Some(value) => Err(OrderError::Bad((*value).to_owned(), "yes or no")),
        }
    }
}

pub(super) fn number<T: FromStr>(word: &str, what: &'static str) -> Result<T, OrderError> {
    word.parse().map_err(|_| OrderError::Bad(word.to_owned(), what))
}

pub(super) fn bits(word: &str) -> Result<u16, OrderError> {
    u16::from_str_radix(word, 16).map_err(|_| OrderError::Bad(word.to_owned(), "hexadecimal word"))
}

/// Follows one order at this moment.
///
/// # Errors
/// It is no order, or cannot be followed.
pub fn follow(ncp: &mut Ncp, now: Duration, line: &str) -> Result<Order, OrderError> {
    let mut words = line.split_whitespace();
    let order = words.next().unwrap_or("");
    match order {
        "unplug" => return Ok(Order::Unplug),
        "plug" => return Ok(Order::Plug),
        "quit" => return Ok(Order::Quit),
        "add" => return add(ncp, words).map(Order::Done),
        "faults" => return faults(ncp, words),
        _ => {}
    }
    if let Some(answer) = to_stick(ncp, now, order, &mut words)? {
        return Ok(Order::Done(answer));
    }
    if let Some(answer) = deeds::follow(ncp, now, order, &mut words)? {
        return Ok(Order::Done(answer));
    }
    let known = [
        "join",
        "leave",
        "rejoin",
        "die",
        "wake",
        "open",
        "trip",
        "close",
        "clear_alarm",
        "tamper",
        "untamper",
        "low",
        "full",
        "test",
        "status",
        "chatter",
        "battery",
    ];
    if !known.contains(&order) {
        return Err(OrderError::Unknown(line.to_owned()));
    }
    let name = words.next().ok_or(OrderError::Missing("the detector's name"))?;
    to_detector(ncp, now, order, name, &mut words).map(Order::Done)
}

fn to_stick<'a>(
    ncp: &mut Ncp,
    now: Duration,
    order: &str,
    words: &mut impl Iterator<Item = &'a str>,
) -> Result<Option<String>, OrderError> {
    let code_or = |word: Option<&str>, usual: u8| match word {
        None => Ok(usual),
        Some(word) => u8::from_str_radix(word, 16).map_err(|_| OrderError::Bad(word.to_owned(), "hexadecimal byte")),
    };
    Ok(Some(match order {
        "reset" => {
            ncp.reset(now, code_or(words.next(), code::WATCHDOG)?);
            String::new()
        }
        "error" => {
            ncp.fail(now, code_or(words.next(), code::ACK_TIMEOUTS)?);
            String::new()
        }
        "hang" => {
            ncp.hang();
            String::new()
        }
        "jam" | "bursts" => {
            let dbm = match words.next().ok_or(OrderError::Missing("how loud, dBm"))? {
                "off" => None,
                word => Some(number(word, "level in dBm, and not \"off\"")?),
            };
            if order == "jam" {
                ncp.jam(dbm)
            } else {
                ncp.bursts(dbm)
            }
            String::new()
        }
        "log" => serde_json::to_string(ncp.log().notices())?,
        "clear" => {
            ncp.clear_log();
            String::new()
        }
        "key" => ncp.memory().network.as_ref().map_or_else(|| "none".to_owned(), |network| hex(&network.key)),
        "state" => {
            let counts = ncp.ash_counts();
            format!(
                "up={} open={} resets={} data_out={} again_out={} data_in={} doubled_in={} bad_in={} naks_out={} \
                 naks_in={} unacked_most={}",
                ncp.is_up(),
                ncp.is_open(now),
                ncp.resets(),
                counts.data_out,
                counts.again_out,
                counts.data_in,
                counts.doubled_in,
                counts.bad_in,
                counts.naks_out,
                counts.naks_in,
                counts.unacked_most
            )
        }
        "list" => {
            let one = |device: &super::device::Device| {
                let node = device.node.map_or_else(|| "none".to_owned(), |node| format!("{node:04x}"));
                format!("{}:{}:{node}:enrolled={}:zone={}", device.name, device.eui, device.zone_state, device.zone_id)
            };
            ncp.devices().iter().map(one).collect::<Vec<_>>().join(" ")
        }
        "help" => [WORDS, deeds::WORDS].concat().replace('\n', " / "),
        _ => return Ok(None),
    }))
}

fn to_detector<'a>(
    ncp: &mut Ncp,
    now: Duration,
    order: &str,
    name: &str,
    words: &mut impl Iterator<Item = &'a str>,
) -> Result<String, OrderError> {
    let mut next = |what: &'static str| words.next().ok_or(OrderError::Missing(what));
    match order {
        "join" => return Ok(format!("{:04x}", ncp.join(now, name)?)),
        "rejoin" => {
            let secured = next("").map_or(true, |word| word != "unsecured");
            return Ok(format!("{:04x}", ncp.rejoin(now, name, secured)?));
        }
        "leave" => ncp.leave(now, name)?,
        "die" => ncp.die(name)?,
        "wake" => ncp.wakes(now, name)?,
        "open" | "trip" => ncp.happens(now, name, 0x0001, 0)?,
        "close" | "clear_alarm" => ncp.happens(now, name, 0, 0x0001)?,
        "tamper" => ncp.happens(now, name, 0x0004, 0)?,
        "untamper" => ncp.happens(now, name, 0, 0x0004)?,
        "low" => ncp.happens(now, name, 0x0008, 0)?,
        "full" => ncp.happens(now, name, 0, 0x0008)?,
        "test" => ncp.happens(now, name, 0x0100, 0)?,
        "status" => {
            let set = bits(next("the bits to set")?)?;
            ncp.happens(now, name, set, bits(next("the bits to clear")?)?)?;
        }
        "chatter" => {
            let times = number(next("how often")?, "number")?;
            let gap = Duration::from_millis(number(next("the time between, ms")?, "number of milliseconds")?);
            ncp.chatters(now, name, times, gap)?;
        }
        _ => ncp.drains(now, name, number(next("what is left, half percents")?, "number from 0 to 255")?)?,
    }
    Ok(String::new())
}

fn add<'a>(ncp: &mut Ncp, mut words: impl Iterator<Item = &'a str>) -> Result<String, OrderError> {
    const KNOWN: [&str; 12] =
        ["eui", "model", "maker", "endpoint", "enrol", "sleepy", "short", "long", "repeats", "holds", "wants", "key"];
    let name = words.next().ok_or(OrderError::Missing("the detector's name"))?;
    let kind = words.next().ok_or(OrderError::Missing("the detector's kind"))?;
    let kind = Kind::named(kind).ok_or_else(|| OrderError::Bad(kind.to_owned(), "kind of detector"))?;
    let usual = |word: &&str| word.split_once('=').is_none_or(|(name, _)| KNOWN.contains(&name));
    let (usual, own): (Vec<&str>, Vec<&str>) = words.partition(usual);
    let mut function = Function::of(kind);
    own.into_iter().try_for_each(|word| deeds::habit(&mut function, word))?;
    let options = Options::read(usual.into_iter(), &KNOWN)?;
    let mut habits = Habits::of(kind);
    let hexed =
        |word: &&str, what| u128::from_str_radix(word, 16).map_err(|_| OrderError::Bad((*word).to_owned(), what));
    let eui = options.0.get("eui").map(|word| hexed(word, "address")).transpose()?;
    let eui = eui.map(|eui| u64::try_from(eui).map_err(|_| OrderError::Bad(format!("{eui:x}"), "address")));
    let eui = eui.transpose()?.map(Eui64);
    habits.install_key = options.0.get("key").map(|word| hexed(word, "key")).transpose()?.map(u128::to_be_bytes);
    habits.model = options.get("model", "model")?.unwrap_or(habits.model);
    habits.manufacturer = options.get("maker", "manufacturer")?.unwrap_or(habits.manufacturer);
    habits.endpoint = options.get("endpoint", "endpoint")?.unwrap_or(habits.endpoint);
    habits.sleepy = options.yes("sleepy", habits.sleepy)?;
    habits.short_poll = options.ms("short")?.unwrap_or(habits.short_poll);
    habits.long_poll = options.ms("long")?.unwrap_or(habits.long_poll);
    habits.repeats = options.get("repeats", "number")?.unwrap_or(habits.repeats);
    habits.holds_for_response = options.yes("holds", habits.holds_for_response)?;
    habits.wants_response = options.yes("wants", habits.wants_response)?;
    habits.enrolment = match options.0.get("enrol") {
        None | Some(&"response") => Enrolment::AutoResponse,
        Some(&"request") => Enrolment::AutoRequest,
        Some(&"tripped") => Enrolment::WhenTripped,
        Some(word) => return Err(OrderError::Bad((*word).to_owned(), "way to enrol")),
    };
    let eui = ncp.add(name, habits, eui)?;
    ncp.device_mut(name)?.function = function;
    Ok(eui.to_string())
}

/// Both directions get the same noise; what is not named is well.
fn faults<'a>(ncp: &mut Ncp, words: impl Iterator<Item = &'a str>) -> Result<Order, OrderError> {
    const KNOWN: [&str; 9] =
        ["drop", "flip", "double", "lose", "late", "baud", "bytewise", "reset_written", "reset_read"];
    let options = Options::read(words, &KNOWN)?;
    let part = |name| Ok::<f64, OrderError>(options.get(name, "probability from 0 to 1")?.unwrap_or(0.0));
    let noise = Noise { lose_frame: part("lose")?, drop: part("drop")?, flip: part("flip")?, double: part("double")? };
    ncp.set_faults(super::line::Faults {
        to_host: noise.clone(),
        to_stick: noise,
        byte_at_a_time: options.yes("bytewise", false)?,
        late: options.ms("late")?.unwrap_or_default(),
        baud: options.get("baud", "speed")?,
        reset_after_written: options.get("reset_written", "number of bytes")?,
        reset_after_read: options.get("reset_read", "number of bytes")?,
    });
    Ok(Order::Done(String::new()))
}
