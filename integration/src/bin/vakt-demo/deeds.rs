//! What can happen in the story, and how it is really done. What must follow is `checks`.

use super::stage::SOON;
use super::stage::Stage;
use super::stage::text;
use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::OptionalExtension;
use serde_json::json;
use std::path::Path;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::proxy::Mode;
use vakt_integration::lab::site::contact;
use vakt_integration::lab::site::contact_device;
use vakt_integration::lab::site::smoke;
use vakt_integration::lab::site::smoke_device;
use vakt_integration::twins::ncp::habits::Habits;
use vakt_integration::twins::ncp::habits::Kind;

/// The demo's own code; this site exists for a minute.
pub const CODE: &str = "24680";
/// Her other code, for when she is under threat.
const DURESS: &str = "24681";

/// The ids of the captured telegrams' devices.
const HALL: &str = "00010205";
pub const KITCHEN: &str = "00010204";
const CELLAR: &str = "00010207";
/// The Zigbee contact.
const WINDOW: &str = "bedroom-window";

/// Where a word of the journal is bent, so that it still reads but says otherwise: `fire` becomes `fhre`.
const WORD: &[u8] = b"\"kind\":\"fire\"";
const BENT: &[u8] = b"\"kind\":\"fhre\"";

const DEEDS: [&str; 22] = [
    "the site starts",
    "the house is furnished",
    "a zigbee contact joins at the bedroom window",
    "the bedroom window opens",
    "the bedroom window closes",
    "the centre asks for a picture although nothing has happened",
    "anna arms the house",
    "anna arms the house with the window open",
    "anna arms the house for the night",
    "the hall door opens",
    "anna disarms the house",
    "anna disarms the house under threat",
    "orders come that are forged, expired, foreign and kept by the broker",
    "smoke in the kitchen",
    "anna hushes the sirens",
    "ethernet goes silent, its cable still in",
    "ethernet is back",
    "lte is jammed too",
    "lte is back",
    "smoke in the cellar",
    "the broker is killed, and comes back",
    "the daemon is killed",
];
const FORGE: &str = "one byte of a copy of the journal is flipped";

/// Whether somebody here can play it.
pub fn known(deed: &str) -> Result<(), String> {
    if deed == FORGE || DEEDS.contains(&deed) { Ok(()) } else { Err("nobody here can play that".to_owned()) }
}

/// Does it; gives what is to be told besides.
pub async fn play(stage: &mut Stage, deed: &str) -> Result<Vec<String>, String> {
    match deed {
        "the site starts" => starts(stage).await,
        "the house is furnished" => furnish(stage).await,
        "a zigbee contact joins at the bedroom window" => joins(stage).await,
        "the bedroom window opens" => {
            stage.look()?;
            quiet(stage.lab.happens(WINDOW, 1, 0).map_err(text))
        }
        "the bedroom window closes" => {
            stage.look()?;
            stage.lab.happens(WINDOW, 0, 1).map_err(text)?;
            settled(stage).await
        }
        "the centre asks for a picture although nothing has happened" => {
            order(stage, "order arc_operator image camera=cam-hall").await
        }
        "orders come that are forged, expired, foreign and kept by the broker" => false_orders(stage).await,
        "anna arms the house with the window open" => refused_at_the_door(stage).await,
        "anna disarms the house under threat" => command(stage, json!({"command": "disarm", "code": DURESS})).await,
        "anna arms the house" => command(stage, json!({"command": "arm", "mode": "away", "code": CODE})).await,
        "anna arms the house for the night" => night(stage).await,
        "the hall door opens" => quiet(stage.say(&contact(HALL, true)).await),
        "anna disarms the house" => command(stage, json!({"command": "disarm", "code": CODE})).await,
        "smoke in the kitchen" => {
            quiet(stage.say(&smoke(KITCHEN, true)).await)?;
            Ok(vec!["nobody has armed anything".to_owned()])
        }
        "anna hushes the sirens" => command(stage, json!({"command": "siren_stop", "code": CODE})).await,
        "ethernet goes silent, its cable still in" => {
            way(stage, "eth", Mode::BlackHole).await?;
            Ok(vec!["bytes wait both ways, and nobody says so".to_owned()])
        }
        "ethernet is back" => way(stage, "eth", Mode::Pass).await,
        "lte is jammed too" => way(stage, "lte", Mode::BlackHole).await,
        "lte is back" => way(stage, "lte", Mode::Pass).await,
        "smoke in the cellar" => quiet(stage.say(&smoke(CELLAR, true)).await),
        "the broker is killed, and comes back" => {
            stage.lab.broker.kill().await;
            quiet(stage.lab.broker.restart().await.map_err(text))
        }
        "the daemon is killed" => kill(stage).await,
        FORGE => forge(stage),
        _ => Err("nobody here can play that".to_owned()),
    }
}

fn quiet(done: Result<(), String>) -> Result<Vec<String>, String> {
    done.map(|()| Vec::new())
}

async fn command(stage: &mut Stage, request: serde_json::Value) -> Result<Vec<String>, String> {
    stage.ask(request).await.map(|_| Vec::new())
}

/// What the network of a path does from now on.
async fn way(stage: &mut Stage, path: &str, mode: Mode) -> Result<Vec<String>, String> {
    stage.lab.proxy(path).map_err(text)?.set(mode).await;
    Ok(Vec::new())
}

async fn starts(stage: &mut Stage) -> Result<Vec<String>, String> {
    stage.lab.start_arc(Misbehaviour::default()).await.map_err(text)?;
    let ready = stage.lab.daemon.start().await.map_err(text)?;
    Ok(vec![
        format!("hub ready in {} ms; broker (mosquitto, TLS) and centre are up", ready.as_millis()),
        format!("journal {}", stage.lab.daemon.journal().display()),
        format!("centre's ledger {}", stage.lab.ledger().display()),
    ])
}

async fn furnish(stage: &mut Stage) -> Result<Vec<String>, String> {
    for request in [
        json!({"command": "area_set", "area": "house", "entry_s": 30, "exit_s": 0}),
        json!({"command": "duress_set", "on": true}),
        json!({"command": "user_set", "user": "anna", "name": "Anna", "role": "owner", "code": CODE, "duress_code": DURESS}),
    ] {
        stage.ask(request).await?;
    }
    for (device, kind, zone, role) in [
        (contact_device(HALL), "contact", "hall-door", "entry_door"),
        (smoke_device(KITCHEN), "smoke", "kitchen", "always"),
        (smoke_device(CELLAR), "smoke", "cellar", "always"),
    ] {
        stage.lab.place(&device, kind, zone, role).await.map_err(text)?;
    }
    closed(stage).await?;
    Ok(vec!["hall door, smoke detectors in kitchen and cellar, Anna with a code; each an event".to_owned()])
}

/// What the stick said is in the journal.
async fn settled(stage: &mut Stage) -> Result<Vec<String>, String> {
    let looking = stage.page.committing.take().ok_or("nobody looks for the commit")?;
    looking.await.map_err(text)?.map(|_| Vec::new()).ok_or_else(|| "it was not journaled".to_owned())
}

/// Arming that must fail: the panel's words are told.
async fn refused_at_the_door(stage: &mut Stage) -> Result<Vec<String>, String> {
    stage.look()?;
    stage.lab.happens(WINDOW, 1, 0).map_err(text)?;
    settled(stage).await?;
    match stage.ask(json!({"command": "arm", "mode": "away", "code": CODE})).await {
        Ok(said) => Err(format!("it armed: {said}")),
        Err(said) if said.contains("not_ready") => Ok(vec![said]),
        Err(other) => Err(other),
    }
}

/// The centre orders; what became of it is kept for the checks.
async fn order(stage: &mut Stage, line: &str) -> Result<Vec<String>, String> {
    let arc = stage.arc()?;
    let jti = arc.order(line).await.map_err(text)?;
    let replies = arc.wait_reply(&jti, 0, SOON).await.map_err(text)?;
    let last = replies.last().cloned().ok_or("no reply")?;
    let said = format!("{line}: {}", last["text"].as_str().unwrap_or_default());
    stage.page.refusals.push(last);
    Ok(vec![said])
}

async fn false_orders(stage: &mut Stage) -> Result<Vec<String>, String> {
    let mut told = Vec::new();
    for wrong in ["forged", "expired", "foreign", "retained"] {
        told.extend(order(stage, &format!("order {wrong} arc_operator fog_fire contacts=3")).await?);
    }
    told.extend(order(stage, "order arc_operator emergency_unlock service=fire ground=verified_fire").await?);
    Ok(told)
}

async fn joins(stage: &mut Stage) -> Result<Vec<String>, String> {
    let device = stage.lab.join(WINDOW, Habits::of(Kind::Contact), "perimeter").await.map_err(text)?;
    Ok(vec![format!("{device}: found, keyed, interviewed, enrolled on a coordinator with EZSP 13, and given its zone")])
}

/// The hall door is closed, and the hub has it in its journal.
async fn closed(stage: &mut Stage) -> Result<(), String> {
    stage.say(&contact(HALL, false)).await?;
    let looking = stage.page.committing.take().ok_or("nobody looks for the commit")?;
    looking.await.map_err(text)?.map(drop).ok_or_else(|| "the closed door was not journaled".to_owned())
}

async fn night(stage: &mut Stage) -> Result<Vec<String>, String> {
    closed(stage).await?;
    command(stage, json!({"command": "arm", "mode": "home", "code": CODE})).await
}

async fn kill(stage: &mut Stage) -> Result<Vec<String>, String> {
    stage.page.before = Some(stage.status().await?);
    let pid = stage.lab.daemon.pid().unwrap_or(0);
    stage.lab.daemon.kill().await;
    let ready = stage.lab.daemon.start().await.map_err(text)?;
    Ok(vec![format!("kill -9 {pid}; started again and answering after {} ms", ready.as_millis())])
}

fn forge(stage: &mut Stage) -> Result<Vec<String>, String> {
    // A copy that is whole: SQLite itself folds in what the running hub has in its log.
    let copy = stage.lab.folder().join("copy.db");
    stage.journal()?.execute("VACUUM INTO ?1", [copy.display().to_string()]).map_err(text)?;
    let sound = std::fs::read(&copy).map_err(text)?;
    // The word may stand in a snapshot too; the flip is to be in an event.
    let places = sound.windows(WORD.len()).enumerate().filter(|(_, window)| *window == WORD).map(|(at, _)| at);
    for at in places {
        let mut bytes = sound.clone();
        bytes[at + 9] ^= 0x01;
        std::fs::write(&copy, &bytes).map_err(text)?;
        if let Some(row) = bent_row(&copy)? {
            let said = format!("byte {} of {}: `fire` is `fhre` in {row}", at + 9, copy.display());
            stage.page.forged = Some((copy, row));
            return Ok(vec![said]);
        }
    }
    Err("no event of a fire is in the copy".to_owned())
}

/// The event that says the bent word, as `verify` writes rows.
fn bent_row(copy: &Path) -> Result<Option<String>, String> {
    let copy = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(text)?;
    let sql = "SELECT 'epoch ' || epoch || ' seq ' || seq FROM event WHERE instr(body, ?1) > 0";
    copy.query_row(sql, [BENT], |row| row.get(0)).optional().map_err(text)
}
