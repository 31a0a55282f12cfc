//! Watches the networks below the paths as ModemManager and NetworkManager tell of them. Their signals are only a bell: at
//! each ring, and every ten seconds, everything is read again. Without either service the paths are plain interfaces.

use crate::network::io::bus::Bus;
use crate::network::io::bus::BusError;
use crate::network::io::bus::DEVICES_AT;
use crate::network::io::bus::MANAGER;
use crate::network::io::bus::MODEMS;
use crate::network::io::bus::MODEMS_AT;
use crate::network::io::keeper::Found;
use crate::network::io::keeper::Keeper;
use crate::network::ladder::Limits;
use crate::network::manager;
use crate::network::modem;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::sleep;
use vakt_core::input::Input;
use vakt_core::port::Links;
use vakt_core::port::Modem;
use vakt_core::port::ModemPower;
use vakt_core::port::ModemState;
use vakt_core::port::Networks;
use vakt_core::stamp::Stamp;

/// Without a ring everything is read again after this; a bus that is not there is looked for as often.
const AGAIN: Duration = Duration::from_secs(10);
/// Rings within this are answered by one look.
const SETTLE: Duration = Duration::from_millis(500);
/// How often a modem measures its signal, in seconds.
const MEASURE_S: u32 = 10;
/// A modem that would not measure is asked again after this.
const MEASURE_AGAIN: Duration = Duration::from_secs(60);
/// MM_MODEM_LOCATION_SOURCE_3GPP_LAC_CI: the serving cell.
const SERVING_CELL: u64 = 1;

/// What is watched, and how the modem is looked after.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The interfaces, by path.
    pub interfaces: BTreeMap<String, String>,
    /// The path that has a modem.
    pub mobile: Option<String>,
    /// Where the SIM card's PIN stands.
    pub pin_file: Option<PathBuf>,
    /// By which a PIN that was tried is known again.
    pub key: [u8; 32],
    /// Millions of bytes agreed for a month.
    pub monthly_mb: Option<u64>,
    /// How the modem is helped up.
    pub limits: Limits,
    /// What must outlive a fall.
    pub file: PathBuf,
}

impl Settings {
    fn interface(&self) -> Option<&str> {
        self.interfaces.get(self.mobile.as_ref()?).map(String::as_str)
    }
}

/// What is to be done to the modem's power; the answer says how that went.
pub type PowerOrder = (ModemPower, oneshot::Sender<Result<(), String>>);

/// Whom it tells, and whom it asks.
pub struct Outlets {
    /// How the networks stand.
    pub networks: watch::Sender<Arc<Networks>>,
    /// To the core. Full: the watcher waits.
    pub inputs: mpsc::Sender<Input>,
    /// How the interfaces stand, if the kernel says.
    pub links: watch::Receiver<Option<Arc<Links>>>,
    /// Whether the mobile path works end to end.
    pub up: Box<dyn Fn() -> bool + Send + Sync>,
    /// Switches the modem's power, where that can be.
    pub power: Option<mpsc::Sender<PowerOrder>>,
    /// The hub's clock.
    pub now: fn() -> Stamp,
}

impl Outlets {
    /// Tells the core. When it has gone, nobody is left to be told.
    pub async fn tell(&self, input: Input) {
        let _ = self.inputs.send(input).await;
    }
}

/// Watches until told to stop.
pub async fn watch(settings: Settings, outlets: Outlets, mut stop: watch::Receiver<bool>) {
    let networks = outlets.networks.clone();
    let mut keeper = settings.mobile.clone().map(|path| Keeper::new(path, settings.clone(), outlets));
    let mut watcher = Watcher { settings, bus: None, said: String::new(), asks: true, measure: None };
    while !*stop.borrow_and_update() {
        let mut found = watcher.find().await;
        if let Some(keeper) = &mut keeper {
            keeper.tend(watcher.bus.as_ref(), &mut found).await;
        }
        networks.send_if_modified(|known| {
            let changed = **known != found.networks;
            if changed {
                *known = Arc::new(found.networks);
            }
            changed
        });
        sleep(SETTLE).await;
        tokio::select! {
            () = ring(watcher.bus.as_ref()) => {}
            () = sleep(AGAIN) => {}
            changed = stop.changed() => if changed.is_err() { break },
        }
    }
    if let Some(mut keeper) = keeper {
        keeper.save().await;
    }
}

/// Looks once, and asks nothing of anybody that would change anything.
pub async fn once(settings: Settings) -> Networks {
    Watcher { settings, bus: None, said: String::new(), asks: false, measure: None }.find().await.networks
}

async fn ring(bus: Option<&Bus>) {
    match bus {
        Some(bus) => bus.bell.notified().await,
        None => std::future::pending().await,
    }
}

struct Watcher {
    settings: Settings,
    bus: Option<Bus>,
    /// What was last said of the services, so that it is said once.
    said: String,
    /// Whether a modem may be asked to measure.
    asks: bool,
    /// Which modem was last asked to measure, and when.
    measure: Option<(String, Instant)>,
}

impl Watcher {
    /// Everything the bus tells; nothing without one.
    async fn find(&mut self) -> Found {
        let bus = match self.bus.take() {
            Some(bus) => Ok(bus),
            None => Bus::open().await,
        };
        let (bus, error) = match bus {
            Ok(bus) => match self.look(&bus).await {
                Ok(found) => {
                    self.bus = Some(bus);
                    return found;
                }
                Err(error) => (Some(bus), error),
            },
            Err(error) => (None, error),
        };
        drop(bus); // one that does not answer is opened anew
        self.say(format!("{error}; each path is a plain interface"));
        Found { networks: Networks::default(), modem: None, gone: false, profile: None }
    }

    async fn look(&mut self, bus: &Bus) -> Result<Found, BusError> {
        let (modem_manager, network_manager) = (bus.has(MODEMS).await?, bus.has(MANAGER).await?);
        self.say(match (modem_manager, network_manager) {
            (true, true) => "ModemManager and NetworkManager answer".to_owned(),
            (true, false) => "ModemManager answers, NetworkManager does not run".to_owned(),
            (false, true) => "NetworkManager answers, ModemManager does not run".to_owned(),
            (false, false) => "neither ModemManager nor NetworkManager runs; each path is a plain interface".to_owned(),
        });
        let asked = modem_manager && self.settings.mobile.is_some();
        let listed = if asked { told(bus.objects(MODEMS, MODEMS_AT).await) } else { None };
        // Only its own list tells that there is none: where it does not answer, nobody knows.
        let gone = listed.as_ref().is_some_and(modem::none);
        let modem = match &listed {
            Some(objects) => self.modem(bus, objects).await,
            None => None,
        };
        let (object, modem) = modem.unzip();
        let objects = if network_manager { told(bus.objects(MANAGER, DEVICES_AT).await) } else { None };
        let objects = objects.unwrap_or_default();
        let of = |(path, interface): (&String, &String)| {
            let mobile = self.settings.mobile.as_ref() == Some(path);
            Some((path.clone(), manager::managed(&objects, interface, mobile)?))
        };
        let managed = self.settings.interfaces.iter().filter_map(of).collect();
        let profile = self.settings.interface().and_then(|name| manager::profile(&objects, name, true));
        let signal = modem.as_ref().and_then(modem::signal);
        let networks = Networks { modem_manager, network_manager, modem, signal, managed, ..Networks::default() };
        Ok(Found { networks, modem: object, gone, profile })
    }

    /// The mobile path's modem, with its object and its card's; `None` when there is none, or nobody can say which it is.
    async fn modem(&mut self, bus: &Bus, objects: &Value) -> Option<((String, Option<String>), Modem)> {
        let path = modem::choose(objects, self.settings.interface())?.to_owned();
        let mut object = objects[&path].clone();
        let (mut card, mut sim, mut bearers) = (None, None, Vec::new());
        for (of, interface) in modem::named(&object) {
            let properties = told(bus.properties(&of, interface).await);
            match interface {
                modem::SIM => (card, sim) = (Some(of), properties),
                _ => bearers.extend(properties),
            }
        }
        if object[modem::LOCATION]["Enabled"].as_u64().unwrap_or(0) & SERVING_CELL != 0 {
            let location = bus.ask(&path, modem::LOCATION, "GetLocation").await;
            object[modem::CELL] = told(location).map_or(Value::Null, |all| all[SERVING_CELL.to_string()].clone());
        }
        let modem = modem::read(&object, sim.as_ref(), &bearers);
        if self.asks && object[modem::SIGNAL]["Rate"].as_u64() == Some(0) && modem.state != ModemState::Failed {
            self.measure(bus, path.clone()).await;
        }
        Some(((path, card), modem))
    }

    async fn measure(&mut self, bus: &Bus, modem: String) {
        let asked = self.measure.as_ref().is_some_and(|(asked, at)| *asked == modem && at.elapsed() < MEASURE_AGAIN);
        if !asked {
            told(bus.measure(&modem, MEASURE_S).await);
            self.measure = Some((modem, Instant::now()));
        }
    }

    fn say(&mut self, what: String) {
        if self.said != what {
            tracing::info!("{what}");
            self.said = what;
        }
    }
}

/// A service that goes while it is asked is no trouble of ours: the next look says that it has gone.
fn told<T>(answer: Result<T, BusError>) -> Option<T> {
    answer.inspect_err(|error| tracing::debug!(%error, "a service of the system bus did not answer")).ok()
}
