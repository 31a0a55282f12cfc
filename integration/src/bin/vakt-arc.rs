//! `vakt-arc`: the reference receiving centre as a program. It never talks TLS itself: point it at its brokers' plain
//! listeners.

use clap::Parser;
use clap::Subcommand;
use ring::rand::SecureRandom;
use ring::rand::SystemRandom;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;
use vakt_integration::arc::Arc;
use vakt_integration::arc::ArcError;
use vakt_integration::arc::ArcHandle;
use vakt_integration::arc::ArcSettings;
use vakt_integration::arc::endpoints::ENDPOINTS_MAX;
use vakt_integration::arc::jws::SEED_BYTES;
use vakt_integration::arc::jws::Signer;
use vakt_integration::arc::jws::key_file_text;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::arc::misbehave::WORDS;
use vakt_integration::arc::order;
use vakt_integration::arc::store;
use vakt_integration::arc::store::StoreError;

/// The reference receiving centre: keeps a hub's events and signs for them.
#[derive(Parser)]
#[command(name = "vakt-arc", disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, once")]
enum Command {
    /// Make an Ed25519 key and print its public half (base64url) for the hub's configuration.
    Key {
        /// The file to write; it must not exist.
        #[arg(long)]
        out: PathBuf,
    },
    /// Receive. One JSON line on stdout for each thing that happens; orders and misbehaves by lines on stdin.
    ///
    /// Several brokers are several receiving endpoints of one centre: an event may come over any, its receipt goes back
    /// over the one it came by, or over the others where that one is gone; orders go over all that live. A path that
    /// misses its beats is told as `path`, a hub that is heard on no path as `all_paths` (Contact ID 350), a hub that
    /// falls silent in an entry delay as `assumed_burglary`; each once, also across a restart on the same ledger.
    #[command(after_help = format!("Orders, on stdin: {}\n\nMisbehaviour, on stdin or with --misbehave: {WORDS}", order::WORDS))]
    Run {
        /// A broker's plain listener, host:port; again for each further endpoint, up to four.
        #[arg(long, required = true, value_parser = broker_of)]
        broker: Vec<(String, u16)>,
        /// The hub to receive.
        #[arg(long, value_parser = gateway_of)]
        gateway: String,
        /// The centre's key file.
        #[arg(long)]
        key: PathBuf,
        /// The name the hub lists that key under.
        #[arg(long, default_value = "arc-1", value_parser = name_of)]
        kid: String,
        /// The ledger file; made if missing.
        #[arg(long)]
        ledger: PathBuf,
        /// The MQTT client id; `arc-` and the gateway if left out. At the second broker `-2` is added, and so on.
        #[arg(long, value_parser = name_of)]
        client_id: Option<String>,
        /// Whether to sign for events.
        #[arg(long, default_value = "on", value_parser = ["on", "off"])]
        receipts: String,
        /// Seconds between a path's beats where not 20, as name=seconds; any given replaces this default. The hub's `beat_alternative_s` for its second
        /// path: while no path of the shortest rhythm lives, the others are held to that rhythm.
        #[arg(long, value_parser = beat, default_value = "lte=180")]
        beat: Vec<(String, u64)>,
        /// Another issuer's key that orders may be signed with, as kid=file; `as=kid` in an order chooses it.
        #[arg(long, value_parser = other)]
        also: Vec<(String, PathBuf)>,
        /// Something to do wrong from the start.
        #[arg(long)]
        misbehave: Vec<String>,
    },
    /// Count what a ledger holds; exit 1 when anything is missing or wrong.
    Audit {
        /// The ledger file.
        #[arg(long)]
        ledger: PathBuf,
    },
}

/// How long an order waits for the line to the broker.
const LINE_WITHIN: Duration = Duration::from_secs(10);
/// The longest time between beats that is believed, seconds: a day.
const BEAT_MAX_S: u64 = 86_400;

/// An end that is not a success: its exit code and its words.
struct Failure(u8, String);

fn beat(text: &str) -> Result<(String, u64), String> {
    let wrong = || format!("it is not name=seconds with 1 to {BEAT_MAX_S} seconds, for instance lte=180");
    let (name, seconds) = text.split_once('=').ok_or_else(wrong)?;
    let seconds: u64 = seconds.parse().map_err(|_| wrong())?;
    if name.is_empty() || !(1..=BEAT_MAX_S).contains(&seconds) {
        return Err(wrong());
    }
    Ok((name.to_owned(), seconds * 1000))
}

fn other(text: &str) -> Result<(String, PathBuf), String> {
    let (kid, file) = text.split_once('=').ok_or("it is not kid=file, for instance app-1=app.pem")?;
    Ok((name_of(kid)?, PathBuf::from(file)))
}

fn broker_of(text: &str) -> Result<(String, u16), String> {
    let wrong = || "it is not host:port, for instance 127.0.0.1:1883".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    if host.is_empty() { Err(wrong()) } else { Ok((host.to_owned(), port)) }
}

/// The contract's form of a gateway: with any other the topics would be nobody's.
fn gateway_of(text: &str) -> Result<String, String> {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let good = (1..=32).contains(&text.len()) && text.bytes().all(fits);
    if good { Ok(text.to_owned()) } else { Err("it is not 1 to 32 of a-z, 0-9 and -".to_owned()) }
}

fn name_of(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let good = (1..=64).contains(&text.len()) && text.bytes().all(fits);
    if good { Ok(text.to_owned()) } else { Err("it is not 1 to 64 of A-Z, a-z, 0-9, '.', '_' and -".to_owned()) }
}

/// Options that may be given again must not say the same thing twice.
fn no_two_alike<'a, T: Ord + Debug + 'a>(option: &str, given: impl Iterator<Item = &'a T>) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    for one in given {
        if !seen.insert(one) {
            return Err(Failure(64, format!("{option} names {one:?} twice; right would be once")));
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to tell a caller whose terminal is gone.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    let done = match cli.command {
        Command::Key { out } => key(&out),
        Command::Audit { ledger } => audit(&ledger),
        Command::Run { broker, gateway, key, kid, ledger, client_id, receipts, beat, also, misbehave } => {
            let client_id = client_id.unwrap_or_else(|| format!("arc-{gateway}"));
            let alike = no_two_alike("--broker", broker.iter())
                .and_then(|()| no_two_alike("--beat", beat.iter().map(|(name, _)| name)))
                .and_then(|()| no_two_alike("--kid or --also", also.iter().map(|(kid, _)| kid).chain([&kid])));
            let endpoints = if broker.len() > ENDPOINTS_MAX {
                Err(Failure(
                    64,
                    format!("--broker is given {} times; right would be 1 to {ENDPOINTS_MAX}", broker.len()),
                ))
            } else {
                alike
            };
            endpoints.and_then(|()| misbehaviour(&receipts, &misbehave)).and_then(|misbehaviour| {
                let beats_ms = beat.into_iter().collect();
                let settings =
                    ArcSettings { brokers: broker, gateway, client_id, key, kid, ledger, misbehaviour, beats_ms };
                run(settings, also)
            })
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, words)) => {
            let _ = writeln!(io::stderr(), "vakt-arc: {words}");
            ExitCode::from(code)
        }
    }
}

fn misbehaviour(receipts: &str, lines: &[String]) -> Result<Misbehaviour, Failure> {
    let mut wrong = Misbehaviour { no_receipts: receipts == "off", ..Misbehaviour::default() };
    lines.iter().try_for_each(|line| wrong.change(line)).map_err(|words| Failure(64, words))?;
    Ok(wrong)
}

fn key(out: &std::path::Path) -> Result<(), Failure> {
    let mut seed = [0u8; SEED_BYTES];
    SystemRandom::new().fill(&mut seed).map_err(|_| Failure(70, "the system gave no random bytes".to_owned()))?;
    let failed = |e: io::Error| Failure(74, format!("writing the key {}: {e}", out.display()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(out).map_err(failed)?;
    file.write_all(key_file_text(&seed).as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    print(&Signer::from_seed("", &seed).public_key_text())
}

fn audit(ledger: &std::path::Path) -> Result<(), Failure> {
    let read = store::read(ledger).map_err(|error| Failure(exit_code(&error), error.to_string()))?;
    let counts = read.ledger.counts();
    print(&serde_json::to_string(&counts).expect("counts have a JSON form"))?;
    if counts.clean() {
        return Ok(());
    }
    let gaps: Vec<String> =
        read.ledger.gaps().iter().map(|(e, from, to)| format!("epoch {e}: {from} to {to}")).collect();
    Err(Failure(
        1,
        format!(
            "this ledger is not clean; missing: {}",
            if gaps.is_empty() { "nothing".to_owned() } else { gaps.join(", ") }
        ),
    ))
}

fn exit_code(error: &StoreError) -> u8 {
    match error {
        StoreError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => 66,
        StoreError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => 77,
        StoreError::Io { .. } => 74,
        StoreError::Taken { .. } => 69,
        StoreError::Content { .. } => 65,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(settings: ArcSettings, also: Vec<(String, PathBuf)>) -> Result<(), Failure> {
    let mut wrong = settings.misbehaviour;
    let others = also.iter().map(|(kid, file)| {
        let bytes = std::fs::read(file).map_err(|e| Failure(66, format!("reading the key {}: {e}", file.display())))?;
        Signer::from_file_bytes(kid, &bytes).map_err(|e| Failure(65, format!("{}: {e}", file.display())))
    });
    let others = others.collect::<Result<Vec<_>, _>>()?;
    let mut arc = Arc::start(settings).map_err(|error| match &error {
        ArcError::Ledger(store) => Failure(exit_code(store), error.to_string()),
        ArcError::KeyFile { .. } => Failure(66, error.to_string()),
        ArcError::Key { .. } => Failure(65, error.to_string()),
    })?;
    for signer in others {
        arc.also_signs(signer).await;
    }
    let no_signal = |e: io::Error| Failure(70, format!("listening for signals: {e}"));
    let mut term = signal(SignalKind::terminate()).map_err(no_signal)?;
    let mut int = signal(SignalKind::interrupt()).map_err(no_signal)?;
    let mut words = stdin_lines();
    let mut listening = true;
    let mut printed = 0;
    loop {
        printed = print_new(&arc, printed)?;
        if let Some(why) = arc.look(|board| board.ended.clone()) {
            return Err(Failure(74, format!("the centre ended: {why}")));
        }
        tokio::select! {
            () = arc.changed() => {}
            _ = term.recv() => break,
            _ = int.recv() => break,
            line = words.recv(), if listening => {
                let Some(line) = line else {
                    listening = false;
                    continue;
                };
                let done = match line.split_whitespace().next() {
                    Some("order") => {
                        // Late is said by the order itself: a script's first line must not be too early.
                        let _ = arc.wait_up(LINE_WITHIN).await;
                        arc.order(&line).await.map(drop)
                    }
                    _ => wrong.change(&line),
                };
                match done {
                    Ok(()) => arc.set(wrong).await,
                    Err(words) => drop(writeln!(io::stderr(), "vakt-arc: {words}")),
                }
            }
        }
    }
    arc.stop().await;
    Ok(())
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

fn print_new(arc: &ArcHandle, from: u64) -> Result<u64, Failure> {
    let (lines, next) = arc.lines(from);
    for line in lines {
        print(&serde_json::to_string(&line).expect("a line has a JSON form"))?;
    }
    Ok(next)
}

fn print(line: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}").map_err(|e| Failure(74, format!("writing to stdout: {e}")))
}
