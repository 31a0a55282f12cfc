//! Watches the networks below the paths as ModemManager and NetworkManager tell of them. Their signals are only a bell: at
//! each ring, and every ten seconds, everything is read again. Without either service the paths are plain interfaces.

use crate::network::io::bus::Bus;
use crate::network::io::bus::BusError;
use crate::network::io::bus::DEVICES_AT;
use crate::network::io::bus::MANAGER;
use crate::network::io::bus::MODEMS;
use crate::network::io::bus::MODEMS_AT;
use crate::network::manager;
use crate::network::modem;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::timeout;
use vakt_core::port::Managed;
use vakt_core::port::Modem;
use vakt_core::port::ModemState;
use vakt_core::port::Networks;

/// Without a ring everything is read again after this.
const AGAIN: Duration = Duration::from_secs(10);
/// Rings within this are answered by one look.
const SETTLE: Duration = Duration::from_millis(500);
/// The wait when there is no bus.
const PAUSE: Duration = Duration::from_secs(5);
/// How often a modem measures its signal, in seconds.
const MEASURE_S: u32 = 10;
/// A modem that would not measure is asked again after this.
const MEASURE_AGAIN: Duration = Duration::from_secs(60);
/// MM_MODEM_LOCATION_SOURCE_3GPP_LAC_CI: the serving cell.
const SERVING_CELL: u64 = 1;

/// What is watched.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The interfaces, by path.
    pub interfaces: BTreeMap<String, String>,
    /// The path that has a modem.
    pub mobile: Option<String>,
}

impl Settings {
    fn interface(&self) -> Option<&str> {
        self.interfaces.get(self.mobile.as_ref()?).map(String::as_str)
    }
}

/// Tells how the networks stand, whenever that changes, until nobody listens.
pub async fn watch(settings: Settings, to: watch::Sender<Arc<Networks>>) {
    let mut watcher = Watcher { settings, to, said: String::new(), measure: None };
    while !watcher.to.is_closed() {
        if let Err(error) = watcher.follow().await {
            watcher.say(format!("{error}; each path is a plain interface"));
            watcher.to.send_replace(Arc::default());
            sleep(PAUSE).await;
        }
    }
}

struct Watcher {
    settings: Settings,
    to: watch::Sender<Arc<Networks>>,
    /// What was last said of the services, so that it is said once.
    said: String,
    /// Which modem was last asked to measure, and when.
    measure: Option<(String, Instant)>,
}

impl Watcher {
    async fn follow(&mut self) -> Result<(), BusError> {
        let bus = Bus::open().await?;
        while !self.to.is_closed() {
            let networks = self.look(&bus).await?;
            self.to.send_if_modified(|known| {
                let changed = **known != networks;
                if changed {
                    *known = Arc::new(networks);
                }
                changed
            });
            sleep(SETTLE).await;
            let _ = timeout(AGAIN, bus.bell.notified()).await;
        }
        Ok(())
    }

    async fn look(&mut self, bus: &Bus) -> Result<Networks, BusError> {
        let (modem_manager, network_manager) = (bus.has(MODEMS).await?, bus.has(MANAGER).await?);
        self.say(match (modem_manager, network_manager) {
            (true, true) => "ModemManager and NetworkManager answer".to_owned(),
            (true, false) => "ModemManager answers, NetworkManager does not run".to_owned(),
            (false, true) => "NetworkManager answers, ModemManager does not run".to_owned(),
            (false, false) => "neither ModemManager nor NetworkManager runs; each path is a plain interface".to_owned(),
        });
        let modem = if modem_manager && self.settings.mobile.is_some() { self.modem(bus).await } else { None };
        let managed = if network_manager { self.managed(bus).await } else { BTreeMap::new() };
        let signal = modem.as_ref().and_then(modem::signal);
        Ok(Networks { modem_manager, network_manager, modem, signal, managed, ..Networks::default() })
    }

    /// The mobile path's modem; `None` when there is none, or when it went while it was asked.
    async fn modem(&mut self, bus: &Bus) -> Option<Modem> {
        let objects = told(bus.objects(MODEMS, MODEMS_AT).await)?;
        let path = modem::choose(&objects, self.settings.interface())?.to_owned();
        let mut object = objects[&path].clone();
        let (mut sim, mut bearers) = (None, Vec::new());
        for (of, interface) in modem::named(&object) {
            let properties = told(bus.properties(&of, interface).await);
            match interface {
                modem::SIM => sim = properties,
                _ => bearers.extend(properties),
            }
        }
        if object[modem::LOCATION]["Enabled"].as_u64().unwrap_or(0) & SERVING_CELL != 0 {
            let location = bus.ask(&path, modem::LOCATION, "GetLocation").await;
            object[modem::CELL] = told(location).map_or(Value::Null, |all| all[SERVING_CELL.to_string()].clone());
        }
        let modem = modem::read(&object, sim.as_ref(), &bearers);
        if object[modem::SIGNAL]["Rate"].as_u64() == Some(0) && modem.state != ModemState::Failed {
            self.measure(bus, path).await;
        }
        Some(modem)
    }

    async fn measure(&mut self, bus: &Bus, modem: String) {
        let asked = self.measure.as_ref().is_some_and(|(asked, at)| *asked == modem && at.elapsed() < MEASURE_AGAIN);
        if !asked {
            told(bus.measure(&modem, MEASURE_S).await);
            self.measure = Some((modem, Instant::now()));
        }
    }

    async fn managed(&self, bus: &Bus) -> BTreeMap<String, Managed> {
        let Some(objects) = told(bus.objects(MANAGER, DEVICES_AT).await) else { return BTreeMap::new() };
        let of = |(path, interface): (&String, &String)| {
            let mobile = self.settings.mobile.as_ref() == Some(path);
            Some((path.clone(), manager::managed(&objects, interface, mobile)?))
        };
        self.settings.interfaces.iter().filter_map(of).collect()
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
