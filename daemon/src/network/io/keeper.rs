//! Looks after the mobile path's modem: gives its card the PIN, tells the core what it sees and hears, helps it up, counts its
//! bytes. What it judges by stands in its pure neighbours; what must outlive a fall stands in `modem.json`, written before
//! anything is done that must not be done twice.

use crate::network::air::Air;
use crate::network::io::bus::Bus;
use crate::network::io::watch::Outlets;
use crate::network::io::watch::Settings;
use crate::network::ladder;
use crate::network::ladder::Ladder;
use crate::network::ladder::Step;
use crate::network::sim;
use crate::network::sim::PIN_FILE_MAX;
use crate::network::sim::Pin;
use crate::network::sim::Tried;
use crate::network::sim::Verdict;
use crate::network::usage;
use serde::Deserialize;
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio::time::timeout;
use vakt_core::input::Input;
use vakt_core::input::ModemWord;
use vakt_core::port::LinkState;
use vakt_core::port::Modem;
use vakt_core::port::ModemPower;
use vakt_core::port::ModemState;
use vakt_core::port::Networks;
use vakt_core::port::SimLock;
use vakt_core::stamp::Stamp;

/// How often the bytes used are written down. A fall loses what went since, and the kernel's counter gives it back.
const SAVE: Duration = Duration::from_secs(600);
/// A disk that hangs is waited for so long; without its word no PIN is given and nothing is switched.
const SAVED: Duration = Duration::from_secs(3);
/// What card is in which modem is said again, because a technician's visit changes what follows from it.
const SEEN_AGAIN: Duration = Duration::from_secs(60);
/// Where the daemon's user may not unlock cards, that is tried again after this: each try is two writes to the disk.
const DENIED_AGAIN: Duration = Duration::from_secs(300);
/// A pin that does not give the power back is tried again after this.
const RESTORE_AGAIN: Duration = Duration::from_secs(60);
/// A power cycle takes its pause, and no longer.
const SWITCHED: Duration = Duration::from_secs(15);
/// Why a card stays locked whose PIN this user may not give it.
const NOT_PERMITTED: &str = "not_permitted";

/// What outlives a fall.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    /// There was a modem.
    had: bool,
    /// The PINs that were given, until their card is seen open.
    tries: Vec<Tried>,
    ladder: ladder::Record,
    data: usage::Record,
    /// The modem's power is about to be taken, or is: whoever finds this gives it back.
    powerless: bool,
}

/// What a look at the bus has found.
pub struct Found {
    /// What is told of the networks.
    pub networks: Networks,
    /// The modem's object, and its card's.
    pub modem: Option<(String, Option<String>)>,
    /// ModemManager says that there is none at all.
    pub gone: bool,
    /// What would connect it again: profile and device.
    pub profile: Option<(String, String)>,
}

/// The keeper of one modem.
pub struct Keeper {
    path: String,
    interface: Option<String>,
    settings: Settings,
    outlets: Outlets,
    kept: Kept,
    /// As it stands on disk.
    saved: Kept,
    saved_at: Instant,
    /// A write whose disk has not answered. None begins before it has ended: an older state must not follow a newer one.
    writing: Option<JoinHandle<std::io::Result<Kept>>>,
    /// How long it is waited for.
    patience: Duration,
    air: Air,
    ladder: Ladder,
    seen: Option<(Option<String>, Option<String>, Instant)>,
    lock: Option<ModemWord>,
    /// The PIN that this modem's card has just taken.
    taken: Option<Tried>,
    /// When this user was last not let unlock a card.
    denied: Option<Instant>,
    /// When its power was last given back, or was to be.
    restored: Option<Instant>,
}

impl Keeper {
    /// Reads what was kept. A file that cannot be read is begun anew: its loss costs a second try at a PIN at worst, and
    /// the last of a card's tries is never ours.
    pub fn new(path: String, settings: Settings, outlets: Outlets) -> Self {
        let text = std::fs::read_to_string(&settings.file).unwrap_or_default();
        let kept: Kept = serde_json::from_str(&text).unwrap_or_default();
        let ladder = Ladder::new(settings.limits, kept.ladder.clone(), (outlets.now)());
        let interface = settings.interfaces.get(&path).cloned();
        let (saved, saved_at) = (kept.clone(), Instant::now());
        Self {
            path,
            interface,
            settings,
            outlets,
            kept,
            saved,
            saved_at,
            writing: None,
            patience: SAVED,
            air: Air::default(),
            ladder,
            seen: None,
            lock: None,
            taken: None,
            denied: None,
            restored: None,
        }
    }

    /// Everything that is to be done about the modem now. What it adds is put beside what was found.
    pub async fn tend(&mut self, bus: Option<&Bus>, found: &mut Found) {
        let now = (self.outlets.now)();
        if self.kept.powerless && self.outlets.power.is_some() {
            self.restore().await;
        }
        let modem = found.networks.modem.clone();
        if let Some(on) = self.air.hear(now.mono_ms, modem.as_ref()) {
            self.outlets.tell(Input::Interference { receiver: self.path.clone(), on: Some(on) }).await;
        }
        found.networks.jammed = self.air.noisy();
        if let Some(modem) = &modem {
            self.kept.had = true;
            self.introduce(modem).await;
            self.unlock(modem, bus, found.modem.as_ref().and_then(|(_, sim)| sim.as_deref())).await;
        } else {
            // It may come back with another card.
            self.taken = None;
        }
        self.count(now).await;
        found.networks.data = Some(self.kept.data.shown(self.settings.monthly_mb));
        self.help(now, bus, found).await;
        if self.saved_at.elapsed() >= SAVE {
            self.save().await;
        }
    }

    async fn introduce(&mut self, modem: &Modem) {
        let again = |(imei, iccid, at): &(Option<String>, Option<String>, Instant)| {
            *imei != modem.imei || *iccid != modem.iccid || at.elapsed() >= SEEN_AGAIN
        };
        if self.seen.as_ref().is_none_or(again) {
            self.seen = Some((modem.imei.clone(), modem.iccid.clone(), Instant::now()));
            self.word(ModemWord::Seen { imei: modem.imei.clone(), iccid: modem.iccid.clone() }).await;
        }
    }

    async fn unlock(&mut self, modem: &Modem, bus: Option<&Bus>, card: Option<&str>) {
        let pin = if modem.lock == SimLock::Pin { self.pin().await } else { Pin::None };
        let word = match sim::judge(modem, &pin, &self.kept.tries, &self.settings.key) {
            Verdict::Open => {
                if sim::forgive(&mut self.kept.tries, modem, self.taken.as_ref()) {
                    self.save().await;
                }
                ModemWord::Unlocked
            }
            Verdict::Locked(why) => ModemWord::Locked { why: why.to_owned() },
            Verdict::Try(_) if self.denied.is_some_and(|at| at.elapsed() < DENIED_AGAIN) => {
                ModemWord::Locked { why: NOT_PERMITTED.to_owned() }
            }
            Verdict::Try(tried) => {
                let (Some(bus), Some(card), Pin::Digits(digits)) = (bus, card, pin) else { return };
                let Some(why) = self.give(bus, card, &digits, tried).await else { return };
                ModemWord::Locked { why: why.to_owned() }
            }
        };
        if modem.lock != SimLock::Unknown && self.lock.as_ref() != Some(&word) {
            self.lock = Some(word.clone());
            self.word(word).await;
        }
    }

    /// Gives a card its PIN, once it is on disk that it was. Why it did certainly not get it; `None`: it may have, and the next
    /// look says what it made of it.
    async fn give(&mut self, bus: &Bus, card: &str, digits: &str, tried: Tried) -> Option<&'static str> {
        self.taken = None;
        let before = self.kept.tries.clone();
        sim::remember(&mut self.kept.tries, tried.clone());
        if !self.save().await {
            self.kept.tries = before;
            return Some("disk");
        }
        tracing::info!("the SIM card is given its PIN");
        match bus.unlock(card, digits).await {
            Ok(()) => {
                (self.taken, self.denied) = (Some(tried), None);
                None
            }
            Err(error) if error.is_denied() => {
                let remedy = "polkit must let the daemon's user do org.freedesktop.ModemManager1.Device.Control";
                tracing::warn!(%error, remedy, "the SIM card was not given its PIN: this user may not");
                self.kept.tries = before;
                self.denied = Some(Instant::now());
                self.save().await;
                Some(NOT_PERMITTED)
            }
            Err(error) => {
                tracing::warn!(%error, "the SIM card does not take its PIN; it is not tried again");
                None
            }
        }
    }

    async fn pin(&self) -> Pin {
        let Some(file) = self.settings.pin_file.clone() else { return Pin::None };
        let read = tokio::task::spawn_blocking(move || {
            let small = std::fs::metadata(&file)?.len() <= PIN_FILE_MAX;
            if small { std::fs::read_to_string(&file) } else { Ok(String::new()) }
        });
        match timeout(SAVED, read).await {
            Ok(Ok(Ok(text))) => Pin::of(&text),
            _ => Pin::Unreadable,
        }
    }

    async fn count(&mut self, now: Stamp) {
        let counter = self.interface.as_deref().and_then(bytes);
        let monthly_mb = self.settings.monthly_mb;
        if let (Some(percent), Some(of_mb)) = (self.kept.data.count(now, counter, monthly_mb), monthly_mb) {
            let used_mb = self.kept.data.used_mb();
            self.word(ModemWord::DataUsed { percent, used_mb, of_mb }).await;
            self.save().await;
        }
    }

    async fn help(&mut self, now: Stamp, bus: Option<&Bus>, found: &Found) {
        let links = self.outlets.links.borrow().clone();
        let link = self.interface.as_ref().zip(links);
        // An interface that is gone has no carrier either.
        let link = link.map(|(name, links)| links.get(name).copied().unwrap_or(LinkState::NoCarrier));
        let cause = ladder::cause(&found.networks, link, self.kept.had && found.gone);
        let step = self.ladder.look(now, (self.outlets.up)(), cause);
        self.kept.ladder = self.ladder.record().clone();
        let (Some(step), Some(cause), Some(bus)) = (step, cause, bus) else { return };
        let (word, reason) = (step.word().to_owned(), cause.to_owned());
        let before = self.kept.powerless;
        self.kept.powerless |= step == Step::Power && self.outlets.power.is_some();
        if !self.save().await {
            tracing::warn!("the modem is not helped: the disk does not take down that it was");
            self.kept.powerless = before;
            return;
        }
        tracing::warn!(step = word, reason, "the mobile path is down by its modem's fault");
        self.word(ModemWord::Helped { step: word, reason }).await;
        if let Err(error) = self.take(step, bus, found).await {
            tracing::warn!(%error, "that could not be done");
        }
    }

    async fn take(&mut self, step: Step, bus: &Bus, found: &Found) -> Result<(), String> {
        let modem = found.modem.as_ref().map(|(modem, _)| modem.as_str());
        let off = found.networks.modem.as_ref().is_some_and(|modem| modem.state == ModemState::Disabled);
        match (step, &found.profile, modem) {
            (Step::Activate, Some((profile, device)), _) => {
                bus.activate(profile, device).await.map_err(|error| error.to_string())
            }
            (Step::Activate, None, Some(modem)) if off => bus.enable(modem).await.map_err(|error| error.to_string()),
            (Step::Activate, ..) => Err("NetworkManager has no profile for it".to_owned()),
            (Step::Reset, _, Some(modem)) => bus.reset(modem).await.map_err(|error| error.to_string()),
            (Step::Reset, _, None) => Err("there is no modem".to_owned()),
            (Step::Power, ..) => self.power(ModemPower::Cycle).await,
        }
    }

    /// Gives the modem the power back that was taken when somebody fell.
    async fn restore(&mut self) {
        if self.restored.is_some_and(|at| at.elapsed() < RESTORE_AGAIN) {
            return;
        }
        self.restored = Some(Instant::now());
        match self.power(ModemPower::Restore).await {
            Ok(()) => tracing::warn!("the modem may have been left without power, and has it again"),
            Err(error) => {
                tracing::warn!(%error, "the modem may have been left without power, and does not get it back")
            }
        }
    }

    /// Switches the modem's power; afterwards it has it, or it stands written that it has not.
    async fn power(&mut self, power: ModemPower) -> Result<(), String> {
        let orders = self.outlets.power.as_ref().ok_or("no power_gpio is configured")?;
        let (answer, answered) = oneshot::channel();
        orders.try_send((power, answer)).map_err(|_| "the pin is busy, or nobody switches it".to_owned())?;
        let switched = timeout(SWITCHED, answered).await.map_err(|_| "the pin does not answer".to_owned())?;
        switched.map_err(|_| "the pin was let go".to_owned())??;
        self.kept.powerless = false;
        self.save().await;
        Ok(())
    }

    async fn word(&self, word: ModemWord) {
        self.outlets.tell(Input::Modem { modem: self.path.clone(), word }).await;
    }

    /// Writes down what must not be forgotten. `false`: the disk has not taken it.
    pub async fn save(&mut self) -> bool {
        self.saved_at = Instant::now();
        if self.writing.is_some() {
            let _ = self.written().await; // an older state: what became of it shows below
        }
        if self.kept == self.saved {
            return true;
        }
        let written = match self.writing {
            Some(_) => Err("an earlier write hangs".to_owned()),
            None => {
                let (file, kept) = (self.settings.file.clone(), self.kept.clone());
                self.writing = Some(tokio::task::spawn_blocking(move || write(&file, &kept).map(|()| kept)));
                self.written().await
            }
        };
        let file = self.settings.file.display();
        written.inspect_err(|why| tracing::warn!(why, %file, "what must be known of the modem is not on disk")).is_ok()
    }

    /// What became of the write that is under way. While its disk does not answer it stays under way.
    async fn written(&mut self) -> Result<(), String> {
        let Some(writing) = &mut self.writing else { return Ok(()) };
        let written = timeout(self.patience, writing).await.map_err(|_| "no answer".to_owned())?;
        self.writing = None;
        self.saved = written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// Whole or not at all: a new file takes the old one's place.
fn write(file: &Path, kept: &Kept) -> std::io::Result<()> {
    let new = PathBuf::from(format!("{}.new", file.display()));
    let mut to = std::fs::File::create(&new)?;
    to.write_all(&serde_json::to_vec(kept).map_err(std::io::Error::other)?)?;
    to.sync_all()?;
    std::fs::rename(&new, file)?;
    file.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
}

/// What the kernel has counted on an interface, both ways.
fn bytes(interface: &str) -> Option<u64> {
    let read = |name: &str| {
        let text = std::fs::read_to_string(format!("/sys/class/net/{interface}/statistics/{name}")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    Some(read("rx_bytes")?.saturating_add(read("tx_bytes")?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that meets what must not be falls here
mod tests {
    use super::*;
    use crate::network::ladder::Limits;
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use tokio::sync::mpsc;
    use tokio::sync::watch;

    type Orders = mpsc::Receiver<(ModemPower, oneshot::Sender<Result<(), String>>)>;

    fn keeper(folder: &Path) -> (Keeper, Orders) {
        let (power, orders) = mpsc::channel(1);
        let (inputs, _) = mpsc::channel(8);
        let outlets = Outlets {
            networks: watch::channel(Arc::default()).0,
            inputs,
            links: watch::channel(None).1,
            up: Box::new(|| true),
            power: Some(power),
            now: || Stamp { boot: 1, mono_ms: 1_000, wall_ms: 0, trusted: false },
        };
        let settings = Settings {
            interfaces: BTreeMap::new(),
            mobile: Some("lte".to_owned()),
            pin_file: None,
            key: [0; 32],
            monthly_mb: None,
            limits: Limits { after_ms: 1, pause_ms: 1, power: true },
            file: folder.join("modem.json"),
        };
        (Keeper::new("lte".to_owned(), settings, outlets), orders)
    }

    fn nothing() -> Found {
        Found { networks: Networks::default(), modem: None, gone: false, profile: None }
    }

    /// The file that stands where the daemon fell within the five seconds of a power cut.
    #[tokio::test]
    async fn who_finds_a_modem_without_power_gives_it_back_and_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("modem.json"), r#"{"had":true,"powerless":true}"#).unwrap();
        let (mut keeper, mut orders) = keeper(folder.path());
        let serve = async {
            let (power, answer) = orders.recv().await.unwrap();
            answer.send(Ok(())).unwrap();
            power
        };
        let mut found = nothing();
        let (_, power) = tokio::join!(keeper.tend(None, &mut found), serve);
        assert_eq!(power, ModemPower::Restore);
        let kept = std::fs::read_to_string(folder.path().join("modem.json")).unwrap();
        assert!(kept.contains(r#""powerless":false"#), "{kept}");
        keeper.tend(None, &mut found).await;
        assert!(orders.try_recv().is_err(), "it has its power");
    }

    #[tokio::test]
    async fn a_pin_that_gives_no_power_back_is_tried_again_and_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("modem.json"), r#"{"powerless":true}"#).unwrap();
        let (mut keeper, mut orders) = keeper(folder.path());
        let serve = async {
            let (_, answer) = orders.recv().await.unwrap();
            answer.send(Err("there is no such chip".to_owned())).unwrap();
        };
        let mut found = nothing();
        tokio::join!(keeper.tend(None, &mut found), serve);
        assert!(keeper.kept.powerless);
    }

    /// A pipe that nobody reads is a disk that hangs.
    #[tokio::test]
    async fn an_older_state_never_follows_a_newer_one_to_a_disk_that_hung() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("modem.json.new");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let (mut keeper, _orders) = keeper(folder.path());
        keeper.patience = Duration::from_millis(20);
        keeper.kept.had = true;
        assert!(!keeper.save().await, "the disk hangs");
        keeper.kept.powerless = true;
        assert!(!keeper.save().await, "nothing is begun beside a write that hangs");
        // The disk answers again, with an error: a pipe cannot be synced. What was begun has ended.
        drop(std::fs::File::open(&pipe).unwrap());
        let ended = keeper.writing.take().unwrap().await.unwrap();
        assert!(ended.is_err());
        std::fs::remove_file(&pipe).unwrap();
        keeper.patience = SAVED;
        assert!(keeper.save().await);
        let kept = std::fs::read_to_string(folder.path().join("modem.json")).unwrap();
        assert_eq!(serde_json::from_str::<Kept>(&kept).unwrap(), keeper.kept);
    }
}
