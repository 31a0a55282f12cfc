//! Brings the hub's own pins together with who needs them: inputs to the core, what is to be heard to the sirens. A line that
//! cannot be taken is a fault of its device, and is tried again. It judges nothing.

use super::core::Seen;
use super::ports;
use crate::board::io;
use crate::board::pattern;
use crate::board::pattern::Drives;
use crate::board::pattern::Sign;
use crate::board::pins;
use crate::board::pins::Line;
use crate::board::pins::Watches;
use crate::config::settings;
use crate::config::settings::Board;
use crate::config::settings::Level;
use std::path::PathBuf;
use tokio::sync::broadcast;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use vakt_core::device::DeviceId;
use vakt_core::event::EventId;
use vakt_core::input::Input;
use vakt_core::input::Signal;
use vakt_core::input::Sound;
use vakt_core::input::Supply;

/// Signs that wait for a siren. The oldest is lost: it is seconds old.
const SIGNS_MAX: usize = 8;

/// What the core tells the sirens.
pub struct ToSirens {
    sound: watch::Sender<Option<Sound>>,
    signs: broadcast::Sender<Sign>,
    chirps: bool,
}

/// The core's end and the outputs' end of it.
pub fn sirens(board: &Board, seen: watch::Receiver<Seen>) -> (ToSirens, io::Follows) {
    let chirps = board.outputs.iter().any(|output| output.drives == settings::Drives::Siren);
    let to = ToSirens { sound: watch::Sender::new(None), signs: broadcast::Sender::new(SIGNS_MAX), chirps };
    let (lamp_in, lamp) = watch::channel(pattern::lamp(&seen.borrow().state));
    tokio::spawn(keep_lamp(seen, lamp_in));
    let follows = io::Follows { sound: to.sound.subscribe(), signs: to.signs.clone(), lamp };
    (to, follows)
}

impl ToSirens {
    /// What is to be heard from now on.
    pub fn sound(&self, sound: Option<Sound>) {
        self.sound.send_replace(sound);
    }

    /// Something people should notice.
    pub fn signal(&self, signal: Signal) {
        // Where nobody gives signs there is nobody to hear of it.
        let _ = self.signs.send(Sign::Signal(signal));
    }

    /// A chirp of every siren; answered when the first has given it. `false`: there is none.
    pub fn chirp(&self, command: EventId) -> bool {
        self.chirps && self.signs.send(Sign::Chirp(command)).is_ok()
    }
}

async fn keep_lamp(mut seen: watch::Receiver<Seen>, lamp: watch::Sender<pattern::Cycle>) {
    while seen.changed().await.is_ok() {
        let shown = pattern::lamp(&seen.borrow_and_update().state);
        lamp.send_if_modified(|lamp| std::mem::replace(lamp, shown) != shown);
    }
}

/// Takes every line that is configured. What is known of the supply comes back.
pub fn start(
    board: &Board,
    follows: &io::Follows,
    core: &mpsc::Sender<Input>,
    seen: &watch::Receiver<Seen>,
) -> (Vec<JoinHandle<()>>, watch::Receiver<Option<Supply>>) {
    let to = io::Outlets { core: core.clone(), supply: watch::Sender::default() };
    let inputs: Vec<_> = board.inputs.iter().map(input).collect();
    let outputs: Vec<_> = board.outputs.iter().map(output).collect();
    let gauged = board.mains.is_some() || board.battery.is_some();
    let devices = pins::devices(&inputs, &outputs, gauged);
    let known =
        seen.borrow().state.devices.keys().filter(|id| id.is_wired() && !devices.contains(id)).cloned().collect();
    let mut tasks = vec![tokio::spawn(miss(known, core.clone()))];
    let supply = watch::Sender::new(None);
    let known = supply.subscribe();
    if gauged || inputs.iter().any(|input| input.report(true).is_none()) {
        let (mains, battery) = (board.mains.clone(), board.battery.clone());
        let mains_pin = inputs.iter().any(|input| input.watches == Watches::MainsLost);
        let folder = PathBuf::from(io::POWER_SUPPLIES);
        let of = io::Supplies { folder, mains, battery, every: io::SUPPLY, mains_pin };
        tasks.push(tokio::spawn(io::watch_supply(of, to.clone(), supply)));
    }
    tasks.extend(inputs.into_iter().map(|input| listen(input, &to)));
    tasks.extend(outputs.into_iter().map(|output| drive(output, follows, &to)));
    (tasks, known)
}

/// What was wired once and is configured no more guards nothing, and somebody may still rely on it.
async fn miss(gone: Vec<DeviceId>, core: mpsc::Sender<Input>) {
    for device in gone {
        let _ = core.send(Input::Gone { device }).await;
    }
}

fn listen(input: pins::Input, to: &io::Outlets) -> JoinHandle<()> {
    let (to, failed) = (to.clone(), input.failed());
    let fell = move |_| failed.clone().map(Input::Report);
    ports::hold(format!("input {}", input.name), to.core.clone(), fell, move || {
        let (to, input) = (to.clone(), input.clone());
        async move { io::listen(&input, &to).await }
    })
}

fn drive(output: pins::Output, follows: &io::Follows, to: &io::Outlets) -> JoinHandle<()> {
    let (to, follows, failed) = (to.clone(), follows.clone(), output.report(true));
    let fell = move |_| failed.clone().map(Input::Report);
    ports::hold(format!("output {}", output.name), to.core.clone(), fell, move || {
        let (to, follows, output) = (to.clone(), follows.clone(), output.clone());
        async move { io::drive(&output, follows, &to).await }
    })
}

fn input(input: &settings::BoardInput) -> pins::Input {
    pins::Input {
        name: input.name.clone(),
        line: Line::from(input.line.as_str()),
        watches: match input.watches {
            settings::Watches::Lid => Watches::Lid,
            settings::Watches::MainsLost => Watches::MainsLost,
            settings::Watches::BatteryLow => Watches::BatteryLow,
            settings::Watches::PowerFail => Watches::PowerFail,
            settings::Watches::Detector(kind) => Watches::Detector(kind),
        },
        active_low: input.active == Level::Low,
        pull: match input.pull {
            settings::Pull::Up => pins::Pull::Up,
            settings::Pull::Down => pins::Pull::Down,
            settings::Pull::None => pins::Pull::None,
        },
    }
}

fn output(output: &settings::BoardOutput) -> pins::Output {
    pins::Output {
        name: output.name.clone(),
        line: Line::from(output.line.as_str()),
        drives: match output.drives {
            settings::Drives::Siren => Drives::Siren,
            settings::Drives::Sounder => Drives::Sounder,
            settings::Drives::Lamp => Drives::Lamp,
        },
        active_low: output.active == Level::Low,
    }
}
