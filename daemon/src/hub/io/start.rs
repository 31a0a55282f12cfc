//! Start and stop, as one readable list: files, keys, journal, core, then whoever speaks to it; and back in order.
//!
//! A port may fall and is started again; the core may not: its panic ends the process, and systemd restarts it into
//! replay.

use super::board;
use super::clock;
use super::core::Core;
use super::core::Inlets;
use super::core::Outlets;
use super::core::Seen;
use super::core::ToCentre;
use super::desk::Desk;
use super::mesh;
use super::networks;
use super::notify;
use super::radios;
use super::telemetry;
use super::view;
use crate::config::settings::Config;
use crate::config::settings::KeyRole;
use crate::control;
use crate::hub::restart::BackOff;
use crate::journal::io::reader;
use crate::journal::io::room;
use crate::journal::io::store;
use crate::journal::io::store::Begun;
use crate::journal::io::writer;
use crate::journal::io::writer::Journal;
use crate::secrets::io::Secrets;
use crate::upstream;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fs::File;
use std::fs::TryLockError;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::broadcast;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use vakt_core::challenge::Challenges;
use vakt_core::input::Input;
use vakt_core::input::InstalledKey;
use vakt_core::port::Answered;
use vakt_core::port::ListedKey;
use vakt_core::port::Receipt;
use vakt_core::port::Unjournaled;
use vakt_core::port::UpstreamNote;
use vakt_core::warrant::Warrant;

/// Reports waiting for the core. The radios wait there: the kernel's buffers hold seconds of air.
const INPUTS_MAX: usize = 1024;
/// Commands waiting for the core. The socket's client waits.
const COMMANDS_MAX: usize = 32;
/// Alarms handed to upstream before the disk answers. The newest is refused, and goes out when the disk is back.
const UNJOURNALED_MAX: usize = 128;
/// Notes of upstream. Upstream waits.
const NOTES_MAX: usize = 64;
/// Orders from afar waiting for the core. Who sends one more is told `busy` and sends it again.
const WARRANTS_MAX: usize = 32;
/// Answers to them. The newest is lost: who sends its warrant again is told again.
const ANSWERS_MAX: usize = 256;
/// How long upstream may publish after the last commit.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How often old rows are looked for.
const PRUNE: Duration = Duration::from_secs(3600);
/// How often the disk's room is looked at.
const ROOM: Duration = Duration::from_secs(60);
/// Receipts wait so long to be written down together, and so many at most.
const RECEIPTS: Duration = Duration::from_millis(200);
const RECEIPTS_MAX: usize = 24;
/// How often the view for the centre is made anew, at most.
const VIEW: Duration = Duration::from_millis(250);
/// And at the least, for what is heard of devices without an event.
const VIEW_SIGNS: Duration = Duration::from_secs(60);

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another one runs on the same state.
    #[error("another vaktd runs on {}", .0.display())]
    Taken(PathBuf),
    /// A directory or file of its own.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The secrets.
    #[error(transparent)]
    Secrets(#[from] crate::secrets::io::SecretsError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] store::JournalError),
}

/// How the daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Told,
    /// The core broke: the process must end.
    Broken,
}

fn file<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> StartError + 'a {
    move |source| StartError::File { doing, path: path.to_owned(), source }
}

/// One daemon on one state: the lock goes with the process.
fn lock(state_dir: &Path) -> Result<File, StartError> {
    let path = state_dir.join("lock");
    let lock = File::options().create(true).append(true).open(&path).map_err(file("open", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartError::Taken(state_dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(file("lock", &path)(error)),
    }
}

/// Makes its folders, sees that no other daemon has them, and that there is room to start.
fn take_place(config: &Config) -> Result<File, StartError> {
    for dir in [&config.state_dir, &config.run_dir] {
        std::fs::create_dir_all(dir).map_err(file("make", dir))?;
    }
    let lock = lock(&config.state_dir)?;
    room::look_at_the_ground(&config.state_dir);
    Ok(lock)
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// It could not start.
pub async fn run(config: Config) -> Result<Ended, StartError> {
    let _lock = take_place(&config)?;
    clock::start(&config.state_dir).map_err(file("count the start in", &config.state_dir))?;
    clock::look(trust(&config));
    let (secrets, lost) = Secrets::open_or_anew(&config.state_dir)?;
    let codes = Arc::new(Mutex::new(Secrets::open(&config.state_dir)?));
    let (sign, hub_public) = secrets.sign_key()?;
    let seal = secrets.seal_key()?;
    let opened = store::open(&config.state_dir, &seal, first_epoch())?;
    clock::remember(opened.state.clock_floor_ms);
    let (journal, writer) = writer::start(config.state_dir.clone(), opened.store, writer::Keys { seal, sign })?;
    let suspect = journal.clone();
    let next = reader::serve(config.state_dir.join("journal.db"), move || suspect.suspect())?;
    let socket = config.run_dir.join("control.sock");
    let listener = control::io::listen(&socket).map_err(file("listen on", &socket))?;

    let (inputs_in, inputs) = mpsc::channel(INPUTS_MAX);
    let (commands_in, commands) = mpsc::channel(COMMANDS_MAX);
    let (seen_in, seen) = watch::channel(Seen::default());
    let (unjournaled_in, unjournaled) = mpsc::channel(UNJOURNALED_MAX);
    let (stop_in, stop) = watch::channel(false);
    let (upstream_stop_in, upstream_stop) = watch::channel(false);
    let heard = view::Heard::default();
    let (words_in, words) = mpsc::channel(INPUTS_MAX);
    let (recorded_in, recorded) = mpsc::channel(INPUTS_MAX);
    let (warrants_in, warrants) = mpsc::channel(WARRANTS_MAX);
    let (answers_in, answers) = mpsc::channel(ANSWERS_MAX);
    let (keys_in, listed) = watch::channel(Arc::default());
    let challenges = Challenges::new(clock::entropy());
    let to_centre = ToCentre { unjournaled: unjournaled_in, answers: answers_in, keys: keys_in };
    let (to_sirens, follows) = board::sirens(&config.board, seen.clone());
    let wishes = mpsc::channel(mesh::ASKED_MAX);
    let to_mesh = config.zigbee.is_some().then(|| wishes.0.clone());
    let outlets = Outlets { seen: seen_in, heard: heard.clone(), recorded: recorded_in, to_centre, to_sirens, to_mesh };
    let limit = Duration::from_millis(config.journal.commit_limit_ms);
    let mut core = Core::new(opened.state, challenges.clone(), journal.clone(), limit, outlets);
    core.start(opened.begun, started(&config, hub_public), lost).await;
    let core = tokio::spawn(core.run(Inlets { inputs, words, commands, warrants, stop }));
    let secrets = Arc::new(Mutex::new(secrets));
    let (mut ports, supply) = board::start(&config.board, &follows, &inputs_in, &seen);
    let progress = broadcast::Sender::new(mesh::NEWS_MAX);
    let (inputs, commands) = (inputs_in.clone(), commands_in.clone());
    let needs =
        radios::Needs { secrets: secrets.clone(), seen: seen.clone(), inputs, commands, progress: progress.clone() };
    let (receivers, radios) = radios::start(&config, needs).await;
    let needs = |stick| {
        let (secrets, seen, commands) = (secrets.clone(), seen.clone(), commands_in.clone());
        let (settings, progress, codes) = (zigbee_settings(stick), progress.clone(), codes.clone());
        let waiting = journal.waiting();
        mesh::Needs { settings, secrets, seen, words: words_in, recorded, commands, progress, codes, waiting, wishes }
    };
    let (port, mesh) = config.zigbee.as_ref().map(|stick| mesh::start(needs(stick))).unzip();
    ports.extend(receivers.into_iter().chain(port));
    let line = Line { journal: journal.clone(), next, listed, challenges, warrants: warrants_in };
    let sight = networks::start(&config, (seen, heard, supply), inputs_in.clone(), seal, upstream_stop.clone());
    let voice = voice(&config, sight.clone(), line, (unjournaled, answers), &inputs_in, upstream_stop);
    let desk =
        Desk { commands: commands_in, secrets, codes, sight, radios, mesh, progress, waiting: journal.waiting() };
    serve(desk, listener);
    tokio::spawn(keep_house(journal, inputs_in, trust(&config), config.journal.keep_days));
    notify::tell("READY", "1");
    tracing::info!(gateway = %config.gateway, "the hub guards");

    let ended = wait(core, stop_in, ports).await;
    upstream_stop_in.send_replace(true);
    let _ = tokio::time::timeout(LAST_WORDS, voice).await;
    let _ = std::fs::remove_file(&socket);
    drop(writer);
    Ok(ended)
}

/// Answers who asks at the local socket.
fn serve(desk: Desk, listener: UnixListener) {
    let (asked_in, asked) = mpsc::channel(control::io::REQUESTS_MAX);
    tokio::spawn(control::io::run(listener, asked_in));
    tokio::spawn(desk.run(asked));
}

/// Waits for a signal, then stops sources first and the core last; or for the core to break.
async fn wait(mut core: JoinHandle<()>, stop: watch::Sender<bool>, ports: Vec<JoinHandle<()>>) -> Ended {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return Ended::Broken;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
        _ = &mut core => {
            tracing::error!("the core has ended by itself; the process ends and starts again from the journal");
            return Ended::Broken;
        }
    }
    notify::tell("STOPPING", "1");
    ports.iter().for_each(JoinHandle::abort);
    stop.send_replace(true);
    tokio::select! {
        ended = &mut core => if ended.is_err() { return Ended::Broken },
        // A second signal means now.
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ended::Told
}

fn trust(config: &Config) -> clock::Trust {
    use crate::config::settings::ClockTrust;
    match config.clock.trust {
        ClockTrust::Timesync => clock::Trust::Timesync,
        ClockTrust::Always => clock::Trust::Always,
        ClockTrust::Never => clock::Trust::Never,
    }
}

/// A hub's first epoch is drawn, not 1: a receipt for another hub's journal then never fits this one.
fn first_epoch() -> u64 {
    let bytes = clock::entropy();
    let drawn = bytes[..6].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    drawn.max(1)
}

fn started(config: &Config, hub: [u8; 32]) -> Input {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Input::Started {
        version,
        keys: installed_keys(config, hub),
        profile: config.site.profile,
        timezone: config.site.timezone.clone(),
    }
}

/// Why the epoch begins, for the core.
pub(super) fn journal_begun(begun: Begun) -> Input {
    tracing::warn!(reason = ?begun.reason, salvaged = begun.salvaged, "a new epoch begins: {}", begun.text);
    Input::JournalBegun {
        reason: begun.reason,
        old_epoch: begun.old.map(|(place, _)| place.epoch),
        old_seq: begun.old.map(|(place, _)| place.seq),
        old_hash: begun.old.and_then(|(_, hash)| hash).map(|hash| vakt_core::canonical::hex(&hash)),
        salvaged: begun.salvaged,
        arm_state_known: begun.arm_state_known,
    }
}

fn installed_keys(config: &Config, hub: [u8; 32]) -> Vec<InstalledKey> {
    let role = |role| match role {
        KeyRole::Arc => "arc",
        KeyRole::Maker => "maker",
    };
    let listed = config.centre.keys.iter().map(|key| InstalledKey {
        kid: key.kid.clone(),
        role: role(key.role).to_owned(),
        ed25519: URL_SAFE_NO_PAD.encode(key.ed25519),
    });
    let own = InstalledKey { kid: "hub".to_owned(), role: "hub".to_owned(), ed25519: URL_SAFE_NO_PAD.encode(hub) };
    listed.chain([own]).collect()
}

fn zigbee_settings(stick: &crate::config::settings::Zigbee) -> crate::zigbee::io::Settings {
    use crate::config::settings::FlowControl;
    use crate::zigbee::io::Flow;
    let flow_control = match stick.flow_control {
        FlowControl::None => Flow::None,
        FlowControl::Hardware => Flow::Hardware,
        FlowControl::Software => Flow::Software,
    };
    crate::zigbee::io::Settings { path: stick.path.clone(), baud: stick.baud, flow_control }
}

/// Ends a task with the one that waits for it.
pub(super) struct AbortOnDrop(pub(super) tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What upstream reads and speaks into, whether or not it is started again.
struct Line {
    journal: Journal,
    next: mpsc::Sender<reader::Question>,
    listed: watch::Receiver<Arc<Vec<ListedKey>>>,
    challenges: Challenges,
    warrants: mpsc::Sender<Box<Warrant>>,
}

/// What the core hands to upstream.
type FromCore = (mpsc::Receiver<Unjournaled>, mpsc::Receiver<Answered>);

/// Starts upstream and what stands between it and the rest.
fn voice(
    config: &Config,
    mut sight: view::Sight,
    line: Line,
    from_core: FromCore,
    inputs: &mpsc::Sender<Input>,
    stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let (notes_in, notes) = mpsc::channel(NOTES_MAX);
    let (view_in, shown) = watch::channel(Arc::<upstream::topic::View>::default());
    let links = sight.links.clone();
    tokio::spawn(notify::keep_status(sight.seen.clone()));
    let telemetry = telemetry::start(config.state_dir.clone(), sight.clone(), line.journal.low());
    tokio::spawn(async move {
        loop {
            let made = sight.view();
            view_in.send_if_modified(|view| {
                let changed = **view != made;
                *view = Arc::new(made);
                changed
            });
            tokio::time::sleep(VIEW).await;
            tokio::select! {
                changed = sight.seen.changed() => if changed.is_err() { return },
                Ok(()) = sight.networks.changed() => {}
                // When a device was last heard, and how well, changes without an event.
                () = tokio::time::sleep(VIEW_SIGNS) => {}
            }
        }
    });
    tokio::spawn(take_notes(notes, line.journal.clone(), inputs.clone()));
    let settings = upstream_settings(config);
    let inlets = move |(unjournaled, answers)| upstream::io::run::Inlets {
        head: line.journal.head(),
        next: line.next.clone(),
        waiting: line.journal.waiting(),
        keys: line.listed.clone(),
        challenges: line.challenges.clone(),
        warrants: line.warrants.clone(),
        answers,
        view: shown.clone(),
        unjournaled,
        links: links.clone(),
        media: None,
        telemetry: telemetry::from_now_on(&telemetry),
        notes: notes_in.clone(),
        now: clock::now,
        at_least_ms: clock::at_least_ms,
        entropy: clock::entropy,
    };
    tokio::spawn(speak(settings, inlets, from_core, stop))
}

/// Runs upstream; should it ever fall, it is started again over the same journal.
async fn speak(
    settings: upstream::settings::Settings,
    inlets: impl Fn(FromCore) -> upstream::io::run::Inlets,
    (mut unjournaled, mut answers): FromCore,
    stop: watch::Receiver<bool>,
) {
    let mut back_off = BackOff::default();
    loop {
        let began = tokio::time::Instant::now();
        let (alarms_in, alarms) = mpsc::channel(UNJOURNALED_MAX);
        let (answers_in, answered) = mpsc::channel(ANSWERS_MAX);
        let mut run = tokio::spawn(upstream::io::run::run(settings.clone(), inlets((alarms, answered)), stop.clone()));
        let _abort = AbortOnDrop(run.abort_handle());
        let ended = loop {
            tokio::select! {
                ended = &mut run => break ended,
                Some(alarm) = unjournaled.recv() => drop(alarms_in.send(alarm).await),
                // lost when upstream stands still: an alarm must not wait behind an answer
                Some(answer) = answers.recv() => drop(answers_in.try_send(answer)),
            }
        };
        // It ends by itself too when the core has gone, which is told elsewhere.
        if *stop.borrow() || ended.is_ok() {
            return;
        }
        let pause = back_off.fell(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        tracing::error!(error = ?ended.err(), pause_ms = pause, "upstream fell; it will be started again");
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

async fn take_notes(mut notes: mpsc::Receiver<UpstreamNote>, journal: Journal, inputs: mpsc::Sender<Input>) {
    let mut receipts = Vec::new();
    let mut flush = tokio::time::Instant::now();
    loop {
        let note = tokio::select! {
            note = notes.recv() => note,
            () = tokio::time::sleep_until(flush), if !receipts.is_empty() => {
                note_receipts(&journal, &mut receipts);
                continue;
            }
        };
        let Some(note) = note else { return note_receipts(&journal, &mut receipts) };
        let input = match note {
            UpstreamNote::Receipt(receipt) => {
                if receipts.is_empty() {
                    flush = tokio::time::Instant::now() + RECEIPTS;
                }
                receipts.push(receipt);
                if receipts.len() >= RECEIPTS_MAX {
                    note_receipts(&journal, &mut receipts);
                }
                continue;
            }
            // Nobody keeps media here, so nobody has sent any.
            UpstreamNote::Media(_) => continue,
            UpstreamNote::Path { path, reason } => Input::Path { path, reason },
            UpstreamNote::RefusedReceipt { reason, count } => Input::RefusedReceipt { reason, count },
            UpstreamNote::RefusedOrder { jti, reason, count } => Input::RefusedOrder { jti, reason, count },
            UpstreamNote::Overdue { event, after_ms, .. } => Input::Overdue { event, after_ms },
        };
        if inputs.send(input).await.is_err() {
            return;
        }
    }
}

/// Writes receipts down together: each alone would cost the next alarm an fsync, and losing some costs duplicates only.
fn note_receipts(journal: &Journal, receipts: &mut Vec<Receipt>) {
    for receipt in receipts.drain(..) {
        if !journal.receipt(receipt) {
            tracing::warn!("a receipt could not be noted; its events go out again after a restart");
        }
    }
}

fn upstream_settings(config: &Config) -> upstream::settings::Settings {
    let path = |path: &crate::config::settings::UpstreamPath| upstream::settings::PathSettings {
        name: path.name.clone(),
        brokers: path.brokers.iter().map(ToString::to_string).collect(),
        device: path.device.clone(),
        tls: path.tls.as_ref().map(|tls| upstream::settings::TlsSettings {
            ca: tls.ca.clone(),
            cert: tls.cert.clone(),
            key: tls.key.clone(),
            name: tls.name.clone(),
        }),
    };
    let seconds = |seconds: u64| u32::try_from(seconds).unwrap_or(u32::MAX);
    upstream::settings::Settings {
        gateway: config.gateway.clone(),
        run_dir: config.run_dir.clone(),
        state_dir: config.state_dir.clone(),
        paths: config.upstream.paths.iter().map(path).collect(),
        alarm_deadline_s: seconds(config.upstream.alarm_deadline_s),
        beat_primary_s: seconds(config.upstream.beat_primary_s),
        beat_alternative_s: seconds(config.upstream.beat_alternative_s),
    }
}

/// Whether the disk is nearly full: looked at once a minute, and told at the start and whenever it changes.
async fn tell_room(journal: Journal, inputs: mpsc::Sender<Input>) {
    let mut low = journal.low();
    loop {
        journal.look_for_room();
        if tokio::time::timeout(ROOM, low.changed()).await.is_ok_and(|changed| changed.is_err()) {
            return;
        }
        let low = *low.borrow_and_update();
        if inputs.send(Input::DiskRoom { low }).await.is_err() {
            return;
        }
    }
}

/// The clock's trust, the watchdog, the disk's room and pruning: all that only time asks for.
async fn keep_house(journal: Journal, inputs: mpsc::Sender<Input>, trust: clock::Trust, keep_days: u64) {
    tokio::spawn(tell_room(journal.clone(), inputs));
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut pruned = tokio::time::Instant::now();
    loop {
        second.tick().await;
        clock::look(trust);
        // An untrusted clock may stand anywhere, also far ahead: then nothing is old.
        if pruned.elapsed() >= PRUNE && clock::now().trusted {
            pruned = tokio::time::Instant::now();
            let keep_ms = i64::try_from(keep_days).unwrap_or(i64::MAX / 86_400_000).saturating_mul(86_400_000);
            match journal.prune(clock::now().wall_ms.saturating_sub(keep_ms)).await {
                Ok(Some(place)) => tracing::info!(epoch = place.epoch, seq = place.seq, "rows up to here were pruned"),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "old rows could not be pruned"),
            }
        }
    }
}
