//! The commands by which a site's habits are set: locks, schedules, rules, visits, what is blocked. Each becomes one
//! request to the daemon; nothing is judged here.

use clap::Subcommand;
use serde_json::Value;
use serde_json::json;
use vakt_core::stamp::parse_rfc3339;

/// A request, and whether a person's code belongs to it.
pub struct Asks {
    /// As the daemon reads it.
    pub request: Value,
    /// A code is asked for.
    pub with_code: bool,
}

fn plain(request: Value) -> Asks {
    Asks { request, with_code: false }
}

fn coded(request: Value) -> Asks {
    Asks { request, with_code: true }
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Subcommand)]
pub enum Lock {
    /// Lock the door; asks for a code
    Close {
        /// Which lock; needed where there are several
        device: Option<String>,
    },
    /// Unlock the door; asks for a code. It never disarms
    Open {
        /// Which lock; needed where there are several
        device: Option<String>,
    },
    /// How a lock behaves by itself
    Set {
        device: String,
        /// Lock by itself so many seconds after it was unlocked; 0: never
        #[arg(long, default_value_t = 0)]
        auto_lock: u32,
        /// Tell when it stands open or unlocked for so many seconds; 0: never
        #[arg(long, default_value_t = 300)]
        left_open: u32,
        /// Arm although it is unlocked
        #[arg(long)]
        arm_unlocked: bool,
        /// Who unlocks it from outside and may disarm, disarms
        #[arg(long)]
        disarms: bool,
    },
}

impl Lock {
    /// What the daemon is asked.
    pub fn asks(self) -> Asks {
        match self {
            Lock::Close { device } => coded(json!({"command": "lock", "device": device})),
            Lock::Open { device } => coded(json!({"command": "unlock", "device": device})),
            Lock::Set { device, auto_lock, left_open, arm_unlocked, disarms } => plain(json!({
                "command": "lock_set", "device": device, "auto_lock_s": auto_lock, "left_open_s": left_open,
                "before_arming": !arm_unlocked, "disarms": disarms,
            })),
        }
    }
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Subcommand)]
pub enum Schedule {
    /// Arm an area at this time of these days, with ten minutes' warning
    Set {
        schedule: String,
        #[arg(long)]
        area: String,
        /// away, home or night
        #[arg(long, default_value = "night")]
        mode: String,
        /// On the clock on the wall, e.g. 23:00
        #[arg(long, value_parser = minute)]
        at: u16,
        /// mon,tue,wed,thu,fri,sat,sun
        #[arg(long, value_parser = days, default_value = "mon,tue,wed,thu,fri,sat,sun")]
        days: u8,
    },
    /// No longer
    Remove { schedule: String },
    /// Put one off that is about to arm; asks for a code
    PutOff { schedule: String },
}

impl Schedule {
    /// What the daemon is asked.
    pub fn asks(self) -> Asks {
        match self {
            Schedule::Set { schedule, area, mode, at, days } => plain(json!({
                "command": "schedule_set", "schedule": schedule, "area": area, "mode": mode, "minute": at, "days": days,
            })),
            Schedule::Remove { schedule } => plain(json!({"command": "schedule_remove", "schedule": schedule})),
            Schedule::PutOff { schedule } => coded(json!({"command": "put_off", "schedule": schedule})),
        }
    }
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Subcommand)]
pub enum Rule {
    /// Tell, light or arm when a measurement goes beyond a limit; no rule can disarm, unlock or fire
    Set {
        rule: String,
        /// Who measures, by its id
        #[arg(long)]
        device: String,
        /// What, by the name that `vaktd device list` shows: temperature, external_temperature, volume_flow
        #[arg(long)]
        measure: String,
        /// Beyond is above this
        #[arg(long, value_parser = milli, allow_hyphen_values = true, conflicts_with = "below", required_unless_present = "below")]
        above: Option<i64>,
        /// Beyond is below this
        #[arg(long, value_parser = milli, allow_hyphen_values = true)]
        below: Option<i64>,
        /// How far it must come back before it counts again
        #[arg(long, value_parser = milli, default_value = "0.5")]
        back: i64,
        /// notify, or the rule's act as JSON: {"light":{"light":"zb-…","on":true}}, {"arm":{"area":"…","mode":"home"}}
        /// (arming not by wireless M-Bus: its telegrams can be forged)
        #[arg(long, default_value = "notify")]
        then: String,
    },
    /// No longer
    Remove { rule: String },
}

impl Rule {
    /// What the daemon is asked.
    pub fn asks(self) -> Asks {
        match self {
            Rule::Set { rule, device, measure, above, below, back, then } => {
                let act = match then.as_str() {
                    "notify" => json!({"notify": {}}),
                    text => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
                };
                plain(json!({
                    "command": "rule_set", "rule": rule, "device": device, "measure": measure,
                    "above": above.is_some(), "limit_milli": above.or(below), "back_milli": back, "then": act,
                }))
            }
            Rule::Remove { rule } => plain(json!({"command": "rule_remove", "rule": rule})),
        }
    }
}

#[allow(missing_docs)] // clap prints the comments below as help
#[derive(Debug, Subcommand)]
pub enum Block {
    /// A person: his codes, tags and phones are good for nothing until he is unblocked
    User {
        user: String,
        /// Good again
        #[arg(long)]
        undo: bool,
    },
    /// One phone, key, tag or code, for good
    Credential { credential: String },
}

impl Block {
    /// What the daemon is asked.
    pub fn asks(self) -> Asks {
        match self {
            Block::User { user, undo } => plain(json!({"command": "user_block", "user": user, "blocked": !undo})),
            Block::Credential { credential } => plain(json!({"command": "credential_block", "credential": credential})),
        }
    }
}

fn minute(text: &str) -> Result<u16, String> {
    let wrong = || format!("`{text}` is not a time of the day like 23:00");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let (hour, minute): (u16, u16) = (hour.parse().map_err(|_| wrong())?, minute.parse().map_err(|_| wrong())?);
    if hour < 24 && minute < 60 { Ok(hour * 60 + minute) } else { Err(wrong()) }
}

fn days(text: &str) -> Result<u8, String> {
    let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let bit = |name: &str| names.iter().position(|day| *day == name.trim()).map(|at| 1u8 << at);
    let mut bits =
        text.split(',').map(|name| bit(name).ok_or_else(|| format!("`{name}` is not one of {}", names.join(" "))));
    bits.try_fold(0, |all, bit| Ok(all | bit?))
}

fn milli(text: &str) -> Result<i64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if value.abs() < 1e12 { Ok((value * 1000.0).round() as i64) } else { Err(format!("`{text}` is out of range")) }
}

/// A time on the command line, in ms since 1970.
///
/// # Errors
/// What a time looks like.
pub fn time(text: &str) -> Result<i64, String> {
    parse_rfc3339(text)
}

/// How long a device may be silent, in seconds: `30m`, `6h`, `2d`; 0 for `never`.
///
/// # Errors
/// What such a time looks like.
pub fn silence(text: &str) -> Result<u32, String> {
    let units = [("m", 60), ("h", 3_600), ("d", 86_400)];
    let counted =
        units.iter().find_map(|(unit, seconds)| text.strip_suffix(unit)?.parse::<u32>().ok()?.checked_mul(*seconds));
    let never = (text == "never").then_some(0);
    never.or(counted.filter(|seconds| *seconds > 0)).ok_or_else(|| format!("`{text}` is none: 30m, 6h, 2d or never"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_days_and_numbers_are_read_or_refused_with_what_would_be_right() {
        assert_eq!(minute("23:05"), Ok(1385));
        assert_eq!(days("mon,sun"), Ok(0b100_0001));
        assert_eq!(milli("-2.5"), Ok(-2_500));
        for bad in ["24:00", "7", "07:60", "x:1"] {
            assert!(minute(bad).is_err_and(|text| text.contains("23:00")), "{bad}");
        }
        assert!(days("mon,someday").is_err_and(|text| text.contains("mon tue")));
        assert!(milli("warm").is_err() && milli("1e99").is_err());
        assert_eq!(["90m", "6h", "2d", "never"].map(silence), [5_400, 21_600, 172_800, 0].map(Ok));
        for bad in ["0m", "6", "h", "-1h", "99999999d", "6 h"] {
            assert!(silence(bad).is_err_and(|text| text.contains("never")), "{bad}");
        }
    }
}
