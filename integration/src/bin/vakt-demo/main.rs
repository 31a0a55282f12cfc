//! Plays `tests/stories/demo.txt` on a virtual site with the unmodified daemon: every line is done, what must follow is
//! looked for, times are measured. The first thing that does not follow ends the story and the program with 1.

#![allow(clippy::print_stdout)] // it speaks to whoever runs it

mod checks;
mod deeds;
mod stage;
mod visit;

use clap::Parser;
use stage::Stage;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;
use vakt_integration::story;
use vakt_integration::story::Step;

/// Plays the story of the main job.
#[derive(Parser)]
struct Arguments {
    /// Play it once and end
    #[arg(long)]
    headless: bool,
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("tests/stories/demo.txt");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("read {}: {e}", path.display()))?;
    let steps = story::read(&text).map_err(|e| e.to_string())?;
    // A word nobody can play is found before anything starts.
    for step in &steps {
        deeds::known(&step.deed).map_err(|e| format!("{}  {}: {e}", story::clock(step.at_s), step.deed))?;
        step.then.iter().try_for_each(|check| checks::known(check))?;
    }
    let mut stage = Stage::build(root.join("demo-state")).await?;
    let voice = Voice { colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() };
    let began = Instant::now();
    for step in &steps {
        tokio::time::sleep_until((began + Duration::from_secs(step.at_s)).into()).await;
        one(&mut stage, step, &voice).await?;
    }
    let told = stage.totals().await?;
    if !headless {
        visit::your_turn(&stage).await?;
    }
    // Counted again where somebody has played with it since.
    let told = if headless { told } else { stage.totals().await? };
    stage.end().await?;
    let lost = told.journaled - told.acknowledged;
    let (journaled, acknowledged) = (told.journaled, told.acknowledged);
    println!("demo ok: {journaled} events journaled, {acknowledged} acknowledged by the centre, {lost} lost");
    Ok(())
}

async fn one(stage: &mut Stage, step: &Step, voice: &Voice) -> Result<(), String> {
    let at = story::clock(step.at_s);
    stage.turn_the_page();
    voice.deed(&at, &step.deed);
    let said = deeds::play(stage, &step.deed).await.map_err(|error| format!("{at}  {}: {error}", step.deed))?;
    said.iter().for_each(|line| println!("       {line}"));
    for check in &step.then {
        let found = checks::holds(stage, check).await;
        let found = found.map_err(|found| format!("{at}  {}\n  expected: {check}\n  found:    {found}", step.deed))?;
        voice.check(check, &found);
    }
    Ok(())
}

/// How lines look: in colour on a terminal, unless `NO_COLOR` is set.
struct Voice {
    colour: bool,
}

impl Voice {
    fn deed(&self, at: &str, what: &str) {
        if self.colour { println!("\x1b[1m{at}  {what}\x1b[0m") } else { println!("{at}  {what}") }
    }

    fn check(&self, what: &str, found: &str) {
        let found = if found.is_empty() { String::new() } else { format!(": {found}") };
        let ok = if self.colour { "\x1b[32mok\x1b[0m" } else { "ok" };
        println!("       {ok} {what}{found}");
    }
}
