//! Brings the networks' watcher together with who needs it: what it is to watch from the configuration, what it sees to the
//! desk and to upstream. It judges nothing.

use crate::config::settings::Config;
use crate::network::io::watch as networks;
use std::sync::Arc;
use tokio::sync::watch;
use vakt_core::port::Networks;

/// The path that has a modem (contract, "paths").
const MOBILE: &str = "lte";

/// Starts the watcher.
pub fn start(config: &Config) -> watch::Receiver<Arc<Networks>> {
    let (to, seen) = watch::channel(Arc::default());
    tokio::spawn(networks::watch(settings(config), to));
    seen
}

fn settings(config: &Config) -> networks::Settings {
    let paths = &config.upstream.paths;
    let interfaces = paths.iter().filter_map(|path| Some((path.name.clone(), path.device.clone()?))).collect();
    networks::Settings { interfaces, mobile: paths.iter().any(|path| path.name == MOBILE).then(|| MOBILE.to_owned()) }
}
