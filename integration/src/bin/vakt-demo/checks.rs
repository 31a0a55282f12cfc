//! What can follow in the story, and how it is looked for: in the hub's status, in its journal, at the centre. A check
//! that holds says what it found; one that does not says what it found instead.

use super::stage::GIVEN_UP;
use super::stage::SOON;
use super::stage::Stage;
use super::stage::text;
use serde_json::Value;
use serde_json::json;
use std::path::Path;
use std::process::Command;
use vakt_core::stamp::rfc3339;
use vakt_integration::arc::ledger::Row;
use vakt_integration::arc::line::Happening;
use vakt_integration::arc::line::Line;
use vakt_integration::arc::line::Notice;
use vakt_integration::lab::daemon;
use vakt_integration::lab::watch::now_us;

/// A check and what it looks at.
enum Check<'a> {
    Path(&'a str, bool),
    NoPath,
    OverLte,
    Begins(&'a str),
    Sound(Option<&'a str>),
    Open(&'a str),
    Committed,
    Has(&'a str),
    Refused(&'a str),
    Threat,
    SignedForIt,
    HeardNothing,
    AllSigned,
    KeptItsTime,
    AsBefore,
    NamesTheRow,
    Whole,
}

fn read(check: &str) -> Option<Check<'_>> {
    let found = match check {
        "the centre knows of a threat, and the panel shows none" => Check::Threat,
        "no path works" => Check::NoPath,
        "it went over lte" => Check::OverLte,
        "it is committed" => Check::Committed,
        "the centre has signed for it" => Check::SignedForIt,
        "the centre has heard nothing" => Check::HeardNothing,
        "everything is signed for" => Check::AllSigned,
        "the late alarm kept its time" => Check::KeptItsTime,
        "everything stands as before" => Check::AsBefore,
        "verify names the row of the copy" => Check::NamesTheRow,
        "verify finds the journal whole" => Check::Whole,
        "the sound is none" => Check::Sound(None),
        other => {
            let after = |words: &str| other.strip_prefix(words).filter(|rest| !rest.is_empty() && !rest.contains(' '));
            let open = || other.strip_prefix("a ")?.strip_suffix(" is open");
            let path = |words: &str| other.strip_suffix(words).filter(|path| !path.contains(' '));
            return path(" is up")
                .map(|path| Check::Path(path, true))
                .or_else(|| path(" is down").map(|path| Check::Path(path, false)))
                .or_else(|| after("the sound is ").map(|sound| Check::Sound(Some(sound))))
                .or_else(|| after("the centre has ").map(Check::Has))
                .or_else(|| after("it is refused as ").map(Check::Refused))
                .or_else(|| after("the journal begins with ").map(Check::Begins))
                .or_else(|| open().map(Check::Open));
        }
    };
    Some(found)
}

/// Whether somebody here can look for it.
pub fn known(check: &str) -> Result<(), String> {
    read(check).map(drop).ok_or_else(|| format!("nobody here can look whether {check}"))
}

/// Looks for it, for at most `SOON`.
pub async fn holds(stage: &mut Stage, check: &str) -> Result<String, String> {
    let Some(check) = read(check) else { return Err("nobody here can look for that".to_owned()) };
    match check {
        Check::Path(name, up) => path(stage, name, up).await,
        Check::NoPath => no_path(stage).await,
        Check::OverLte => over_lte(stage),
        Check::Begins(kind) => begins(stage, kind),
        Check::Sound(sound) => heard(stage, sound).await,
        Check::Open(kind) => open(stage, kind).await,
        Check::Committed => committed(stage).await,
        Check::Has(kind) => has(stage, kind).await,
        Check::Refused(reasons) => refused(stage, reasons),
        Check::Threat => threat(stage).await,
        Check::SignedForIt => signed_for_it(stage).await,
        Check::HeardNothing => heard_nothing(stage),
        Check::AllSigned => all_signed(stage).await,
        Check::KeptItsTime => kept_its_time(stage),
        Check::AsBefore => as_before(stage).await,
        Check::NamesTheRow => names_the_row(stage),
        Check::Whole => whole(stage),
    }
}

fn ms(from_us: u64, to_us: u64) -> String {
    format!("{:.1} ms", to_us.saturating_sub(from_us) as f64 / 1000.0)
}

fn wall(at_us: u64) -> String {
    rfc3339(i64::try_from(at_us / 1000).unwrap_or(i64::MAX))
}

async fn path(stage: &Stage, name: &str, up: bool) -> Result<String, String> {
    let status = stage.within(GIVEN_UP, |status| status["paths"][name]["up"] == json!(up)).await?;
    let why = &status["paths"][name]["reason"];
    let took = ms(stage.page.began_us, now_us());
    Ok(why.as_str().map_or(format!("{name} works end to end"), |why| format!("{why}, known after {took}")))
}

/// What the panel shows when nobody can be reached.
async fn no_path(stage: &Stage) -> Result<String, String> {
    let down = |path: &Value| path["up"] == json!(false);
    let none = |status: &Value| status["paths"].as_object().is_some_and(|paths| paths.values().all(down));
    let status = stage.within(GIVEN_UP, none).await?;
    let why = |name: &str| format!("{name} {}", status["paths"][name]["reason"].as_str().unwrap_or_default());
    Ok(format!("the panel says that the centre is not reached ({}, {})", why("eth"), why("lte")))
}

fn over_lte(stage: &Stage) -> Result<String, String> {
    match stage.lte_bytes() - stage.page.lte_bytes {
        0 => Err("nothing has left over lte".to_owned()),
        bytes => Ok(format!("{bytes} bytes in all")),
    }
}

fn begins(stage: &Stage, kind: &str) -> Result<String, String> {
    let journal = stage.journal()?;
    let edge = |order: &str| {
        let sql = format!("SELECT epoch, seq, body, hex(hash) FROM event ORDER BY epoch {order}, seq {order} LIMIT 1");
        let row = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?, row.get::<_, Vec<u8>>(2)?, row.get::<_, String>(3)?))
        };
        journal.query_row(&sql, [], row).map_err(text)
    };
    let (_, _, first, _) = edge("ASC")?;
    let first: Value = serde_json::from_slice(&first).map_err(text)?;
    if first["type"] != json!(kind) {
        return Err(format!("it begins with {}", first["type"]));
    }
    let (epoch, seq, _, hash) = edge("DESC")?;
    Ok(format!("head is epoch {epoch} seq {seq}, hash {}", hash.to_lowercase()))
}

async fn heard(stage: &Stage, sound: Option<&str>) -> Result<String, String> {
    let wanted = sound.map_or(Value::Null, Value::from);
    stage.until(|status| status["sound"] == wanted).await?;
    Ok(match sound {
        Some("fire") => "every sounder",
        Some("burglary") => "sirens inside and out",
        Some("entry_beep") => "the panel beeps",
        _ => "",
    }
    .to_owned())
}

async fn open(stage: &Stage, kind: &str) -> Result<String, String> {
    let is = |incident: &Value| incident["kind"] == json!(kind);
    let status = stage.until(|status| status["incidents"].as_array().is_some_and(|all| all.iter().any(is))).await?;
    let open = status["incidents"].as_array().map_or(0, Vec::len);
    Ok(format!("{open} incidents are open until the centre closes them"))
}

async fn committed(stage: &mut Stage) -> Result<String, String> {
    let looking = stage.page.committing.take().ok_or("the stick said nothing")?;
    let at = looking.await.map_err(text)?.ok_or_else(|| format!("no new row in the journal within {SOON:?}"))?;
    Ok(format!("{} after the telegram", ms(stage.page.began_us, at)))
}

async fn has(stage: &mut Stage, kind: &str) -> Result<String, String> {
    let from = stage.page.began_us;
    let is = |row: &Row| row.kind == kind && row.at_us >= from;
    let arc = stage.arc()?;
    arc.wait_until(kind, SOON, |board| board.ledger.rows().any(is)).await.map_err(text)?;
    let row = arc.look(|board| board.ledger.rows().find(|row| is(row)).cloned());
    let row = row.ok_or("it was there, and is gone")?;
    stage.page.seen = row.epoch.zip(row.seq);
    let place = stage.page.seen.map_or("not yet journaled".to_owned(), |(_, seq)| format!("seq {seq}"));
    Ok(format!("{place}, {} after", ms(from, row.at_us)))
}

/// Each order of the page was refused, for this reason or, in their order, for these.
fn refused(stage: &Stage, reasons: &str) -> Result<String, String> {
    let said = |word: &Value| (word["status"].clone(), word["reason"].as_str().unwrap_or_default().to_owned());
    let found: Vec<(Value, String)> = stage.page.refusals.iter().map(said).collect();
    let wanted: Vec<(Value, String)> = reasons.split('+').map(|reason| (json!("refused"), reason.to_owned())).collect();
    let words = || found.iter().map(|(status, reason)| format!("{status} {reason}")).collect::<Vec<_>>().join(", ");
    if found == wanted { Ok(words()) } else { Err(format!("it says {}", words())) }
}

/// An ordinary disarm on site, a hold-up on the same incident at the centre (B1).
async fn threat(stage: &mut Stage) -> Result<String, String> {
    let status = stage.until(|status| status["areas"]["house"]["arm"] == json!("disarmed")).await?;
    if status["sound"] != Value::Null || status.to_string().contains("duress") {
        return Err(format!("the panel shows {status}"));
    }
    has(stage, "alarm_raised").await?;
    let rows = stage.arc()?.events();
    let alarms: Vec<Value> = rows.iter().filter(|row| row.kind == "alarm_raised").map(Row::json).collect();
    let [.., burglary, threat] = &alarms[..] else { return Err("no two alarms at the centre".to_owned()) };
    if threat["detail"]["kind"] != json!("duress") || threat["incident"] != burglary["incident"] {
        return Err(format!("the centre has {threat}"));
    }
    let id = threat["id"].as_str().unwrap_or_default();
    let listed = Command::new(daemon::binary().map_err(text)?)
        .args(["journal", "list", "--db"])
        .arg(stage.lab.daemon.journal())
        .output()
        .map_err(text)?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    if listed.contains(id) || listed.contains("duress\"") {
        return Err("the journal, listed on site, betrays it".to_owned());
    }
    Ok(format!("hold-up on incident {}; on site: disarmed, silent, a row withheld", threat["incident"]))
}

async fn signed_for_it(stage: &Stage) -> Result<String, String> {
    let (epoch, seq) = stage.page.seen.ok_or("no event was looked for before")?;
    let from = stage.page.began_us;
    let is = |line: &&Line| {
        line.at_us >= from
            && matches!(&line.what, Happening::Noticed(Notice::Receipt { epoch: of, upto, honest: true, .. })
                if *of == epoch && *upto >= seq)
    };
    let arc = stage.arc()?;
    arc.wait_until("a receipt", SOON, |board| board.lines.iter().any(|line| is(&line))).await.map_err(text)?;
    let at = arc.look(|board| board.lines.iter().find(is).map(|line| line.at_us)).ok_or("it is gone")?;
    stage.until(|status| status["journal"]["unreceipted"] == json!(0)).await?;
    Ok(format!("its receipt left {} after the telegram, and the hub took it", ms(from, at)))
}

fn heard_nothing(stage: &Stage) -> Result<String, String> {
    let events = stage.arc()?.counts().events;
    let before = stage.page.centre_held;
    if events == before { Ok(String::new()) } else { Err(format!("it has {events} events, and had {before}")) }
}

async fn all_signed(stage: &Stage) -> Result<String, String> {
    let arc = stage.arc()?;
    let all = |status: &Value| {
        status["journal"]["unreceipted"] == json!(0) && status["journal"]["seq"] == json!(arc.counts().events)
    };
    stage.until(all).await.map_err(|found| format!("{found}, the centre has {:?}", arc.counts()))?;
    let (took, counts) = (ms(stage.page.began_us, now_us()), arc.counts());
    if !counts.clean() {
        return Err(format!("the centre found {counts:?}"));
    }
    Ok(format!("{} events at the centre, in order, {} gaps, within {took}", counts.events, counts.gaps))
}

fn kept_its_time(stage: &Stage) -> Result<String, String> {
    let rows = stage.arc()?.events();
    let row = rows.iter().rev().find(|row| row.kind == "alarm_raised").ok_or("no alarm at the centre")?;
    let (at, came, back) = (row.json()["at"].clone(), wall(row.at_us), wall(stage.page.began_us));
    let at = at.as_str().ok_or("it has no time")?;
    // RFC 3339 in UTC with milliseconds sorts as text.
    if at < back.as_str() && came >= back {
        Ok(format!("raised {at}, came {came}"))
    } else {
        Err(format!("raised {at}, broker back {back}, came {came}"))
    }
}

async fn as_before(stage: &Stage) -> Result<String, String> {
    let before = stage.page.before.clone().ok_or("nobody looked before")?;
    let after = stage.status().await?;
    for what in ["areas", "incidents", "sound"] {
        if before[what] != after[what] {
            return Err(format!("{what} was {}, is {}", before[what], after[what]));
        }
    }
    let open = after["incidents"].as_array().map_or(0, Vec::len);
    Ok(format!("{}, {open} incidents open, sound {}", after["areas"]["house"]["arm"], after["sound"]))
}

fn verify(db: &Path) -> Result<(Option<i32>, Value), String> {
    let vaktd = daemon::binary().map_err(text)?;
    let run = Command::new(vaktd).args(["journal", "verify", "--db"]).arg(db).output().map_err(text)?;
    let said = serde_json::from_slice(&run.stdout).unwrap_or(Value::Null);
    Ok((run.status.code(), said))
}

fn names_the_row(stage: &Stage) -> Result<String, String> {
    let (forged, row) = stage.page.forged.as_ref().ok_or("nothing was forged")?;
    let (code, said) = verify(forged)?;
    let named = said["bad"].as_str().unwrap_or_default();
    if code == Some(1) && named.contains(row.as_str()) {
        Ok(format!("{named} (exit 1)"))
    } else {
        Err(format!("the byte is in {row}; verify ended with {code:?} and said {said}"))
    }
}

fn whole(stage: &Stage) -> Result<String, String> {
    let (code, said) = verify(&stage.lab.daemon.journal())?;
    if code == Some(0) { Ok(format!("{} rows hold (exit 0)", said["rows"])) } else { Err(format!("{code:?}: {said}")) }
}
