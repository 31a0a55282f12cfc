//! Brings the networks' watcher together with who needs it: what it is to do from the configuration, what it sees to the core,
//! the desk and upstream, and the pin that switches its modem's power. It judges nothing.

use super::clock;
use super::core::Seen;
use super::view::Heard;
use super::view::Sight;
use crate::board;
use crate::config::fields;
use crate::config::settings::Config;
use crate::network::io::links;
use crate::network::io::watch as networks;
use crate::network::ladder::Limits;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::sync::watch;
use vakt_core::input::Input;

/// The path that has a modem (contract, "paths").
const MOBILE: &str = "lte";

/// Starts the watchers. `key`: the hub's own, by which a PIN that was tried is known again.
pub fn start(
    config: &Config,
    (seen, heard): (watch::Receiver<Seen>, Heard),
    inputs: mpsc::Sender<Input>,
    key: [u8; 32],
    stop: watch::Receiver<bool>,
) -> Sight {
    let (links_in, links) = watch::channel(None);
    tokio::spawn(links::watch(links_in));
    let (to, seeing) = watch::channel(Arc::default());
    let paths = seen.clone();
    let up = Box::new(move || paths.borrow().state.paths.get(MOBILE) == Some(&None));
    let power = config.modem.power_gpio.as_deref().and_then(fields::gpio).map(|(chip, line)| {
        let (orders, inbox) = mpsc::channel(1);
        tokio::spawn(board::io::serve(chip.to_owned(), line, inbox));
        orders
    });
    let outlets = networks::Outlets { networks: to, inputs, links: links.clone(), up, power, now: clock::now };
    tokio::spawn(networks::watch(settings(config, key), outlets, stop));
    Sight { seen, heard, links, networks: seeing }
}

/// What the watchers are told of the configuration.
pub fn settings(config: &Config, key: [u8; 32]) -> networks::Settings {
    let paths = &config.upstream.paths;
    let ms = |seconds: u64| seconds.saturating_mul(1_000);
    networks::Settings {
        interfaces: paths.iter().filter_map(|path| Some((path.name.clone(), path.device.clone()?))).collect(),
        mobile: paths.iter().any(|path| path.name == MOBILE).then(|| MOBILE.to_owned()),
        pin_file: config.modem.pin_file.clone(),
        key,
        monthly_mb: config.modem.monthly_mb,
        limits: Limits {
            after_ms: ms(config.modem.recover_after_s),
            pause_ms: ms(config.modem.recover_pause_s),
            power: config.modem.power_gpio.is_some(),
        },
        file: config.state_dir.join("modem.json"),
    }
}
