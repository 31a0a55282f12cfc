//! `vakt-ncp`: a Zigbee stick with virtual detectors on a pseudo-terminal, for hosts of any make. Orders come on
//! stdin, one a line; each is answered with one line on stdout, `ok ...` or `error: ...`. It ends with its stdin.

use clap::Parser;
use std::io;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;
use vakt_integration::lab::LabError;
use vakt_integration::twins::ncp::Settings;
use vakt_integration::twins::ncp::deeds;
use vakt_integration::twins::ncp::orders;
use vakt_integration::twins::ncp::orders::Order;
use vakt_integration::twins::ncp::pty::Twin;

/// A Zigbee stick with virtual detectors on a pseudo-terminal.
#[derive(Parser)]
#[command(name = "vakt-ncp", disable_version_flag = true, after_help = format!("Orders on stdin:\n{}{}", orders::WORDS, deeds::WORDS))]
struct Cli {
    /// Where the host finds it: a symbolic link that stays the same while it is pulled out and put back.
    #[arg(long)]
    link: PathBuf,
    /// Its EZSP version.
    #[arg(long, default_value_t = 13, value_parser = clap::value_parser!(u8).range(8..=19))]
    ezsp: u8,
    /// Where it keeps network, keys and counters while it has no power.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Where all chance comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long it takes to start after a reset, ms.
    #[arg(long, default_value_t = 80)]
    boot_ms: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vakt-ncp: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> Result<(), LabError> {
    let mut settings = Settings::new(cli.ezsp);
    settings.seed = cli.seed;
    settings.boot = Duration::from_millis(cli.boot_ms);
    let twin = Twin::plug(settings, &cli.link, cli.state.as_deref())?;
    say(&format!("ok {} seed={}", cli.link.display(), cli.seed))?;
    let mut term = signal(SignalKind::terminate()).map_err(LabError::io("listening for", "signals"))?;
    let mut lines = stdin_lines();
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            _ = term.recv() => None,
        };
        let Some(line) = line else { return Ok(()) };
        if line.trim().is_empty() {
            continue;
        }
        match twin.ask(|ncp, now| orders::follow(ncp, now, &line)) {
            Ok(Order::Done(answer)) => say(format!("ok {answer}").trim_end())?,
            Ok(Order::Unplug) => {
                twin.unplug()?;
                say("ok")?;
            }
            Ok(Order::Plug) => {
                twin.replug()?;
                say("ok")?;
            }
            Ok(Order::Quit) => return say("ok"),
            Err(error) => say(&format!("error: {error}"))?,
        }
    }
}

/// Lines typed or piped in. The thread may sit in a read for ever; the process does not wait for it.
fn stdin_lines() -> mpsc::Receiver<String> {
    let (lines, read) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lines() {
            let Ok(line) = line else { return };
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    read
}

fn say(line: &str) -> Result<(), LabError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(LabError::io("writing to", "stdout"))
}
