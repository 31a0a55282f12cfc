//! Brings the hub's own pins together with who needs them: inputs to the core, what is to be heard to the sirens. A line that
//! cannot be taken is told as a receiver that does not work, and tried again. It judges nothing.

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
use vakt_core::event::EventId;
use vakt_core::input::Input;
use vakt_core::input::Signal;
use vakt_core::input::Sound;
use vakt_core::input::Supply;

/// Signs that wait for a siren. The oldest is lost: it is seconds old.
const SIGNS_MAX: usize = 8;
/// The name under which a supply that cannot be read is told.
const SUPPLY: &str = "supply";

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
    inputs: &mpsc::Sender<Input>,
) -> (Vec<JoinHandle<()>>, watch::Receiver<Option<Supply>>) {
    let to = io::Outlets { core: inputs.clone(), supply: watch::Sender::default() };
    let listened = board.inputs.iter().map(input);
    let of_supply = listened.clone().any(|input| input.report(true).is_none());
    let mut tasks: Vec<_> = listened.map(|input| listen(input, to.clone())).collect();
    tasks.extend(board.outputs.iter().map(output).map(|output| drive(output, follows, inputs)));
    let supply = watch::Sender::new(None);
    let known = supply.subscribe();
    if board.mains.is_some() || board.battery.is_some() || of_supply {
        let (mains, battery) = (board.mains.clone(), board.battery.clone());
        let of = io::Supplies { folder: PathBuf::from(io::POWER_SUPPLIES), mains, battery, every: io::SUPPLY };
        tasks.push(power(of, &to, supply));
    }
    (tasks, known)
}

fn listen(input: pins::Input, to: io::Outlets) -> JoinHandle<()> {
    let (name, inputs) = (input.name.clone(), to.core.clone());
    ports::hold(name, inputs, move |opened| {
        let (to, input) = (to.clone(), input.clone());
        async move { io::listen(&input, &to, async || opened.tell().await).await }
    })
}

fn drive(output: pins::Output, follows: &io::Follows, core: &mpsc::Sender<Input>) -> JoinHandle<()> {
    let (core, follows, name) = (core.clone(), follows.clone(), output.name.clone());
    ports::hold(name, core.clone(), move |opened| {
        let (core, follows, output) = (core.clone(), follows.clone(), output.clone());
        async move { io::drive(&output, follows, &core, async || opened.tell().await).await }
    })
}

fn power(supplies: io::Supplies, to: &io::Outlets, known: watch::Sender<Option<Supply>>) -> JoinHandle<()> {
    let to = to.clone();
    ports::hold(SUPPLY.to_owned(), to.core.clone(), move |opened| {
        let (core, pins, supplies, known) = (to.core.clone(), to.supply.subscribe(), supplies.clone(), known.clone());
        async move {
            let why = io::watch_supply(&supplies, pins, &core, &known, async || opened.tell().await).await;
            known.send_replace(None);
            why
        }
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
