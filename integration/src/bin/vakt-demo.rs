//! Plays `tests/stories/demo.txt` on a virtual site with the unmodified daemon: every line is done, what must follow is
//! looked for, times are measured. A line that fails ends the story and the program with 1.

#![allow(clippy::print_stdout)] // it speaks to whoever runs it

use clap::Parser;
use serde_json::Value;
use serde_json::json;
use std::io::IsTerminal;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;
use vakt_integration::arc::handle::ArcHandle;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::daemon;
use vakt_integration::lab::site::contact;
use vakt_integration::lab::site::smoke;
use vakt_integration::lab::watch::Watch;
use vakt_integration::lab::watch::now_us;

/// How long each thing may take before the story counts as failed.
const SOON: Duration = Duration::from_secs(10);
/// The demo's own code; this site exists for a minute.
const CODE: &str = "24680";

const HALL: &str = "wm-las-00010205-07-1d";
const KITCHEN: &str = "wm-las-00010204-03-1a";
const CELLAR: &str = "wm-las-00010207-03-1a";

/// Plays the story of the main job.
#[derive(Parser)]
struct Arguments {
    /// Play it once and end
    #[arg(long)]
    headless: bool,
}

type Told = Result<Vec<String>, String>;

struct Stage {
    lab: Lab,
    colour: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let played = match runtime {
        Ok(runtime) => runtime.block_on(play(arguments.headless)),
        Err(error) => Err(error.to_string()),
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn play(headless: bool) -> Result<(), String> {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("demo-state");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|e| format!("empty {}: {e}", folder.display()))?;
    }
    let story =
        std::fs::read_to_string(root.join("tests/stories/demo.txt")).map_err(|e| format!("read the story: {e}"))?;
    let lab = Lab::start(LabSettings { folder: Some(folder), ..LabSettings::default() }).await.map_err(text)?;
    let mut stage = Stage { lab, colour };
    let began = Instant::now();
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (at, what) = line.split_once("  ").ok_or_else(|| format!("the story's line `{line}` has no time"))?;
        let at = seconds(at).ok_or_else(|| format!("`{at}` is not a time like 00:07"))?;
        tokio::time::sleep_until((began + Duration::from_secs(at)).into()).await;
        let told = stage.act(what.trim()).await.map_err(|error| format!("{line}: {error}"))?;
        stage.print(at, what.trim(), &told);
    }
    let (journaled, acknowledged) = stage.totals().await?;
    if !headless {
        stage.your_turn().await?;
    }
    stage.lab.daemon.stop(SOON).await.map_err(text)?;
    let lost = journaled - acknowledged.min(journaled);
    println!("demo ok: {journaled} events journaled, {acknowledged} acknowledged by the centre, {lost} lost");
    if lost == 0 { Ok(()) } else { Err(format!("{lost} events were not acknowledged")) }
}

fn seconds(time: &str) -> Option<u64> {
    let (minutes, seconds) = time.trim().split_once(':')?;
    Some(minutes.parse::<u64>().ok()? * 60 + seconds.parse::<u64>().ok()?)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn ms(from_us: u64, to_us: u64) -> String {
    format!("{:.1} ms", to_us.saturating_sub(from_us) as f64 / 1000.0)
}

impl Stage {
    fn print(&self, at: u64, what: &str, told: &[String]) {
        let time = format!("{:02}:{:02}", at / 60, at % 60);
        if self.colour {
            println!("\x1b[1m{time}  {what}\x1b[0m");
        } else {
            println!("{time}  {what}");
        }
        told.iter().for_each(|line| println!("       {line}"));
    }

    async fn act(&mut self, what: &str) -> Told {
        match what {
            "the site starts" => self.site_starts().await,
            "the house is furnished" => self.furnished().await,
            "the centre has signed for everything" => self.all_signed().await,
            "anna arms the house" => self.arms().await,
            "the hall door opens" => self.door_opens().await,
            "nobody disarms in time" => self.burglary().await,
            "anna disarms the house" => self.disarms().await,
            "smoke in the kitchen" => self.smoke_in_the_kitchen().await,
            "anna hushes the sirens" => self.hushes().await,
            "the broker is cut" => self.cut().await,
            "smoke in the cellar, unheard" => self.unheard().await,
            "the broker is back" => self.back().await,
            "the daemon is killed" => self.killed().await,
            "one byte of a copy of the journal is flipped" => self.flipped().await,
            other => Err(format!("the story says `{other}`, which nobody here can play")),
        }
    }

    fn arc(&self) -> Result<&ArcHandle, String> {
        self.lab.arc.as_ref().ok_or_else(|| "the centre is not up".to_owned())
    }

    async fn ask(&self, request: Value) -> Result<Value, String> {
        let answer = self.lab.daemon.command(&request).await.map_err(text)?;
        if answer["ok"] == json!(false) { Err(format!("{}: {answer}", request["command"])) } else { Ok(answer) }
    }

    async fn status(&self) -> Result<Value, String> {
        self.ask(json!({"command": "status"})).await
    }

    async fn say(&self, telegram: &str) -> Result<u64, String> {
        let now = now_us();
        self.lab.stick.bytes(telegram.as_bytes()).await.map_err(text)?;
        Ok(now)
    }

    /// Waits for an event of that kind at the centre after `from_us`; gives when it came.
    async fn arrives(&self, kind: &str, class: &str, from_us: u64) -> Result<u64, String> {
        let found =
            |row: &vakt_integration::arc::ledger::Row| row.kind == kind && row.class == class && row.at_us >= from_us;
        let arc = self.arc()?;
        arc.wait_until(kind, SOON, |board| board.ledger.rows().any(found)).await.map_err(text)?;
        let at = arc.look(|board| board.ledger.rows().filter(|row| found(row)).map(|row| row.at_us).min());
        at.ok_or_else(|| format!("no {kind} at the centre"))
    }

    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let end = Instant::now() + SOON;
        loop {
            let status = self.status().await?;
            if holds(&status) {
                return Ok(status);
            }
            if Instant::now() > end {
                return Err(format!("waited for {what}; the hub says {status}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn site_starts(&mut self) -> Told {
        self.lab.start_arc(Misbehaviour::default()).await.map_err(text)?;
        let ready = self.lab.daemon.start().await.map_err(text)?;
        let status = self.until("the path", |status| status["paths"]["eth"]["up"] == json!(true)).await?;
        Ok(vec![
            format!("hub ready in {} ms; broker and centre up, path eth works end to end", ready.as_millis()),
            format!("journal {}", self.lab.daemon.journal().display()),
            format!("head     epoch {} seq {}", status["journal"]["epoch"], status["journal"]["seq"]),
        ])
    }

    async fn furnished(&mut self) -> Told {
        for request in [
            json!({"command": "area_set", "area": "house", "entry_s": 2, "exit_s": 0}),
            json!({"command": "zone_set", "zone": "hall-door", "area": "house", "role": "entry_door"}),
            json!({"command": "zone_set", "zone": "kitchen", "area": "house", "role": "always"}),
            json!({"command": "zone_set", "zone": "cellar", "area": "house", "role": "always"}),
            json!({"command": "user_set", "user": "anna", "name": "Anna", "role": "owner", "code": CODE}),
            json!({"command": "device_add", "device": HALL, "kind": "contact"}),
            json!({"command": "device_assign", "device": HALL, "zone": "hall-door"}),
            json!({"command": "device_add", "device": KITCHEN, "kind": "smoke"}),
            json!({"command": "device_assign", "device": KITCHEN, "zone": "kitchen"}),
            json!({"command": "device_add", "device": CELLAR, "kind": "smoke"}),
            json!({"command": "device_assign", "device": CELLAR, "zone": "cellar"}),
        ] {
            self.ask(request).await?;
        }
        let began = now_us();
        self.say(&contact("00010205", false)).await?;
        self.arrives("device_changed", "state", began).await?;
        Ok(vec!["hall door, smoke detectors in kitchen and cellar, Anna with a code; each an event".to_owned()])
    }

    async fn all_signed(&mut self) -> Told {
        let status = self.until("every receipt", |status| status["journal"]["unreceipted"] == json!(0)).await?;
        let counts = self.arc()?.counts();
        if !counts.clean() {
            return Err(format!("the centre found {counts:?}"));
        }
        let seq = &status["journal"]["seq"];
        Ok(vec![format!("{seq} events journaled, {} at the centre, 0 gaps, 0 conflicts", counts.events)])
    }

    async fn arms(&mut self) -> Told {
        let began = now_us();
        self.ask(json!({"command": "arm", "mode": "away", "code": CODE})).await?;
        let at = self.arrives("area_armed", "access", began).await?;
        Ok(vec![format!("armed away; the centre knows after {}", ms(began, at))])
    }

    async fn door_opens(&mut self) -> Told {
        let began = self.say(&contact("00010205", true)).await?;
        let at = self.arrives("entry_started", "alarm", began).await?;
        self.until("the beeps", |status| status["sound"] == json!("entry_beep")).await?;
        Ok(vec![format!("entry_started at the centre after {}, with its deadline; the panel beeps", ms(began, at))])
    }

    async fn burglary(&mut self) -> Told {
        self.until("the siren", |status| status["sound"] == json!("burglary")).await?;
        self.arrives("alarm_raised", "alarm", 0).await?;
        Ok(vec!["burglary: sirens inside and out, an incident at the centre".to_owned()])
    }

    async fn disarms(&mut self) -> Told {
        self.ask(json!({"command": "disarm", "code": CODE})).await?;
        let status = self.until("silence", |status| status["sound"].is_null()).await?;
        let open = status["incidents"].as_array().map_or(0, Vec::len);
        Ok(vec![format!("disarmed, silent; {open} incident stays open until the centre closes it")])
    }

    async fn smoke_in_the_kitchen(&mut self) -> Told {
        let watch = Watch::open(&self.lab.daemon.journal()).map_err(text)?;
        let next = watch.head() + 1;
        let began = self.say(&smoke("00010204", true)).await?;
        let committed = tokio::task::block_in_place(|| watch.committed(next, SOON)).ok_or("no commit in time")?;
        let at = self.arrives("alarm_raised", "alarm", began).await?;
        let receipt = self.receipt_after(at).await?;
        self.until("every sounder", |status| status["sound"] == json!("fire")).await?;
        Ok(vec![
            "the house is disarmed: fire all the same, every sounder".to_owned(),
            format!(
                "telegram → committed {} → at the centre {} → its receipt {}",
                ms(began, committed),
                ms(began, at),
                ms(began, receipt)
            ),
        ])
    }

    /// When the centre handed out its next honest receipt.
    async fn receipt_after(&self, at_us: u64) -> Result<u64, String> {
        use vakt_integration::arc::line::Happening;
        use vakt_integration::arc::line::Notice;
        let is = |line: &vakt_integration::arc::line::Line| {
            line.at_us >= at_us && matches!(&line.what, Happening::Noticed(Notice::Receipt { honest: true, .. }))
        };
        let arc = self.arc()?;
        arc.wait_until("a receipt", SOON, |board| board.lines.iter().any(is)).await.map_err(text)?;
        let found = arc.look(|board| board.lines.iter().find(|line| is(line)).map(|line| line.at_us));
        found.ok_or_else(|| "no receipt".to_owned())
    }

    async fn hushes(&mut self) -> Told {
        self.ask(json!({"command": "siren_stop", "code": CODE})).await?;
        let status = self.until("silence", |status| status["sound"].is_null()).await?;
        let fire = status["incidents"].as_array().is_some_and(|all| all.iter().any(|one| one["kind"] == json!("fire")));
        if !fire {
            return Err("the fire incident was let go".to_owned());
        }
        Ok(vec!["silent by code; the fire stays open until the centre knows its cause".to_owned()])
    }

    async fn cut(&mut self) -> Told {
        self.lab.broker.kill().await;
        self.until("the path's end", |status| status["paths"]["eth"]["up"] == json!(false)).await?;
        Ok(vec!["the broker was killed; the hub says why the path is down and dials on".to_owned()])
    }

    async fn unheard(&mut self) -> Told {
        let before = self.arc()?.counts().events;
        self.say(&smoke("00010207", true)).await?;
        let status = self.until("the alarm in the journal", |status| status["sound"] == json!("fire")).await?;
        if self.arc()?.counts().events != before {
            return Err("the centre heard it although the broker is dead".to_owned());
        }
        Ok(vec![format!("stored and sounding; {} events wait for the centre", status["journal"]["unreceipted"])])
    }

    async fn back(&mut self) -> Told {
        let began = now_us();
        self.lab.broker.restart().await.map_err(text)?;
        self.until("the backlog", |status| status["journal"]["unreceipted"] == json!(0)).await?;
        let counts = self.arc()?.counts();
        if !counts.clean() {
            return Err(format!("the centre found {counts:?}"));
        }
        let late = self.late_alarm()?;
        Ok(vec![
            format!(
                "backlog delivered and signed for {} after the broker's return, in order, 0 gaps",
                ms(began, now_us())
            ),
            format!("the cellar's alarm kept its own time: {late}"),
        ])
    }

    fn late_alarm(&self) -> Result<String, String> {
        let rows = self.arc()?.events();
        let row = rows.iter().rev().find(|row| row.kind == "alarm_raised").ok_or("no alarm at the centre")?;
        let body: Value = serde_json::from_str(&row.body).map_err(text)?;
        Ok(body["at"].as_str().unwrap_or("?").to_owned())
    }

    async fn killed(&mut self) -> Told {
        let began = self.say(&contact("00010205", false)).await?;
        self.arrives("device_changed", "state", began).await?;
        self.ask(json!({"command": "arm", "mode": "home", "code": CODE})).await?;
        let before = self.status().await?;
        self.lab.daemon.kill().await;
        let ready = self.lab.daemon.start().await.map_err(text)?;
        let after = self.status().await?;
        for what in ["areas", "incidents", "sound"] {
            if before[what] != after[what] {
                return Err(format!("{what} was {}, is {}", before[what], after[what]));
            }
        }
        let area = &after["areas"]["house"]["arm"];
        let open = after["incidents"].as_array().map_or(0, Vec::len);
        Ok(vec![format!(
            "kill -9; back in {} ms: {area}, {open} incidents open, sounding as before",
            ready.as_millis()
        )])
    }

    async fn flipped(&mut self) -> Told {
        let journal = self.lab.daemon.journal();
        // A copy that is whole: the running hub's log is folded in by SQLite itself.
        let copy = self.lab.folder().join("copy.db");
        let source = rusqlite::Connection::open(&journal).map_err(text)?;
        source.execute("VACUUM INTO ?1", [copy.display().to_string()]).map_err(text)?;
        let mut bytes = std::fs::read(&copy).map_err(text)?;
        let word = b"\"kind\":\"fire\"";
        let at = bytes.windows(word.len()).position(|window| window == word).ok_or("no fire in the copy")?;
        let forged = self.lab.folder().join("forged.db");
        bytes[at + 8] ^= 0x02;
        std::fs::write(&forged, &bytes).map_err(text)?;
        let (bad, named) = self.verify(&forged)?;
        let (good, real) = self.verify(&journal)?;
        if bad != Some(1) || good != Some(0) {
            return Err(format!("verify: forged {bad:?} {named}, real {good:?} {real}"));
        }
        let (named, real): (Value, Value) =
            (serde_json::from_str(&named).map_err(text)?, serde_json::from_str(&real).map_err(text)?);
        let row = named["bad"].as_str().unwrap_or("?").split(": ").next().unwrap_or("?").to_owned();
        Ok(vec![
            format!("verify of the copy: {row} does not hold (exit 1)"),
            format!("verify of the real one: {} rows hold (exit 0)", real["rows"]),
        ])
    }

    fn verify(&self, db: &Path) -> Result<(Option<i32>, String), String> {
        let vaktd: PathBuf = daemon::binary().map_err(text)?;
        let run =
            std::process::Command::new(vaktd).args(["journal", "verify", "--db"]).arg(db).output().map_err(text)?;
        Ok((run.status.code(), String::from_utf8_lossy(&run.stdout).into_owned()))
    }

    /// Rows in the journal, and how many of exactly these the centre holds and has signed for.
    async fn totals(&self) -> Result<(u64, u64), String> {
        self.until("every receipt", |status| status["journal"]["unreceipted"] == json!(0)).await?;
        let held: std::collections::BTreeSet<String> = self.arc()?.events().into_iter().map(|row| row.id).collect();
        let journal = rusqlite::Connection::open(self.lab.daemon.journal()).map_err(text)?;
        let mut rows = journal.prepare("SELECT json_extract(body, '$.id') FROM event").map_err(text)?;
        let ids = rows.query_map([], |row| row.get::<_, String>(0)).map_err(text)?;
        let ids = ids.collect::<Result<Vec<_>, _>>().map_err(text)?;
        let acknowledged = ids.iter().filter(|id| held.contains(*id)).count();
        Ok((ids.len() as u64, acknowledged as u64))
    }

    async fn your_turn(&self) -> Result<(), String> {
        let socket = self.lab.folder().join("run/control.sock");
        let vaktd = daemon::binary().map_err(text)?;
        let vaktd = vaktd.display();
        println!("\nYour turn. The site stays up until Ctrl-C.");
        println!("  {vaktd} status --socket {}", socket.display());
        println!("  {vaktd} journal follow --db {}", self.lab.daemon.journal().display());
        println!("  echo {CODE} | {vaktd} siren stop --socket {}", socket.display());
        println!("  echo {CODE} | {vaktd} disarm --socket {}", socket.display());
        println!(
            "  kill -9 {}   # and see it come back: nobody restarts it here but you",
            self.lab.daemon.pid().unwrap_or(0)
        );
        tokio::signal::ctrl_c().await.map_err(text)
    }
}
