//! Brings the networks' watcher together with who needs it: what it is to do from the configuration, what it sees to the core,
//! the desk and upstream, and the pin that switches its modem's power. Whichever of them falls is started again. It judges
//! nothing.

use super::clock;
use super::core::Seen;
use super::start::AbortOnDrop;
use super::view::Heard;
use super::view::Sight;
use crate::board;
use crate::board::pins::Line;
use crate::config::settings::Config;
use crate::hub::restart::BackOff;
use crate::network::io::links;
use crate::network::io::watch as networks;
use crate::network::ladder::Limits;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::sync::mpsc;
use tokio::sync::watch;
use vakt_core::input::Input;
use vakt_core::input::Supply;

/// The path that has a modem (contract, "paths").
const MOBILE: &str = "lte";

/// Starts the watchers. `key`: the hub's own, by which a PIN that was tried is known again.
pub fn start(
    config: &Config,
    (seen, heard, supply): (watch::Receiver<Seen>, Heard, watch::Receiver<Option<Supply>>),
    inputs: mpsc::Sender<Input>,
    key: [u8; 32],
    stop: watch::Receiver<bool>,
) -> Sight {
    let (links_in, links) = watch::channel(None);
    tokio::spawn(keep("the interfaces", move || links::watch(links_in.clone())));
    let (to, seeing) = watch::channel(Arc::default());
    let power = config.modem.power_gpio.as_deref().map(|line| switch(Line::from(line)));
    let (settings, paths, kernel) = (settings(config, key), seen.clone(), links.clone());
    let begin = move || {
        let paths = paths.clone();
        let outlets = networks::Outlets {
            networks: to.clone(),
            inputs: inputs.clone(),
            links: kernel.clone(),
            up: Box::new(move || paths.borrow().state.paths.get(MOBILE) == Some(&None)),
            power: power.clone(),
            now: clock::now,
        };
        networks::watch(settings.clone(), outlets, stop.clone())
    };
    tokio::spawn(keep("the networks", begin));
    Sight { seen, heard, links, networks: seeing, supply }
}

/// The pin that switches the modem's power. The orders outlive whoever serves them; the one that it fell over is answered by
/// its end.
fn switch(line: Line) -> mpsc::Sender<board::io::PowerOrder> {
    let (orders, inbox) = mpsc::channel(1);
    let inbox = Arc::new(Mutex::new(inbox));
    let begin = move || {
        let (line, inbox) = (line.clone(), Arc::clone(&inbox));
        async move {
            let (to, served) = mpsc::channel(1);
            let pass = async move {
                let mut inbox = inbox.lock().await;
                while let Some(order) = inbox.recv().await {
                    drop(to.send(order).await);
                }
            };
            tokio::join!(board::io::serve(line, served), pass);
        }
    };
    tokio::spawn(keep("the modem's power", begin));
    orders
}

/// Runs one of them until it ends by itself; should it ever fall, it is started again.
async fn keep<F>(of: &'static str, mut begin: impl FnMut() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut back_off = BackOff::default();
    loop {
        let began = tokio::time::Instant::now();
        // A task of its own: should it ever panic, it falls and nothing else.
        let run = tokio::spawn(begin());
        let _abort = AbortOnDrop(run.abort_handle());
        let Err(error) = run.await else { return };
        let pause = back_off.fell(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        tracing::error!(of, %error, pause_ms = pause, "a watcher fell; it will be started again");
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_watcher_that_falls_is_started_again_until_it_ends_by_itself() {
        let (tell, mut begun) = mpsc::channel(3);
        let mut round = 0;
        let begin = move || {
            round += 1;
            let (tell, round) = (tell.clone(), round);
            async move {
                tell.try_send(round).expect("somebody listens");
                assert!(round > 2, "fall number {round}");
            }
        };
        keep("a test", begin).await;
        let mut rounds = Vec::new();
        while let Some(round) = begun.recv().await {
            rounds.push(round);
        }
        assert_eq!(rounds, [1, 2, 3]);
    }
}
