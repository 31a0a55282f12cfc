//! What a radio chip's thread tells, on its way to the core: frames as reports, its faults as the receiver's, the air second
//! by second as interference. It judges nothing.

use super::cc1101;
use super::cc1101::Settings;
use super::serial::Counted;
use super::serial::Outlets;
use super::serial::pass_on;
use crate::subghz::cc1101_registers::Mode;
use crate::subghz::cc1101_told::Notice;
use crate::subghz::line::Source;
use crate::subghz::noise::Noise;
use crate::subghz::receiver::Receiver;
use tokio::sync::mpsc;
use vakt_core::input::Input;

/// What the thread has told and nobody has taken; the thread waits for nobody, and counts what is lost.
const NOTICES_MAX: usize = 64;

/// One chip's life.
struct Chip<'a> {
    settings: &'a Settings,
    outlets: &'a Outlets,
    receiver: Receiver,
    own: Noise,
    other: Noise,
}

/// Holds the chip until something other than the chip fails; says what did.
pub async fn listen(settings: &Settings, outlets: &Outlets) -> String {
    let (to, mut notices) = mpsc::channel(NOTICES_MAX);
    // A frame of the chip's is whole: of the receiver nothing is used that cuts lines.
    let receiver = Receiver::new(Source::RtlWmbus);
    let mut chip = Chip { settings, outlets, receiver, own: Noise::default(), other: Noise::default() };
    let life = cc1101::listen(settings, &to);
    tokio::pin!(life);
    let ended = loop {
        tokio::select! {
            ended = &mut life => break ended,
            Some(notice) = notices.recv() => if !chip.take(notice).await {
                break "the hub has gone".to_owned();
            },
        }
    };
    chip.deaf().await;
    ended
}

impl Chip<'_> {
    /// False when nobody listens any more.
    async fn take(&mut self, notice: Notice) -> bool {
        match notice {
            Notice::Ready { version } => {
                tracing::info!(receiver = self.settings.name, version, "a CC1101 listens");
                self.tell(self.well(None)).await
            }
            Notice::Fault(fault) => {
                tracing::warn!(receiver = self.settings.name, %fault, "the radio chip does not listen");
                self.deaf().await && self.tell(self.well(Some(fault.to_string()))).await
            }
            Notice::Frame(received) => match self.receiver.take(received.caught) {
                Ok(heard) => pass_on(&mut self.receiver, &heard, self.outlets).await,
                Err(_) => true, // counted
            },
            Notice::Sample(sample) if sample.band == self.settings.mode => {
                self.own.sample(sample.rssi_dbm);
                true
            }
            Notice::Sample(sample) => {
                self.other.sample(sample.rssi_dbm);
                true
            }
            Notice::Counted(counters) => {
                let telegrams = Some(*self.receiver.counters());
                let counted = Counted { telegrams, chip: Some(counters), ..Counted::default() };
                self.outlets.count(&self.settings.name, counted);
                let (own, other) = (self.own.second(counters), self.other.look());
                self.interference(self.settings.mode, own).await
                    && self.interference(other_than(self.settings.mode), other).await
            }
        }
    }

    fn well(&self, error: Option<String>) -> Input {
        Input::Receiver { receiver: self.settings.name.clone(), error }
    }

    /// It hears nothing, so nothing is known of the air.
    async fn deaf(&mut self) -> bool {
        let (own, other) = (self.own.deaf(), self.other.deaf());
        self.interference(self.settings.mode, own).await
            && self.interference(other_than(self.settings.mode), other).await
    }

    async fn interference(&self, band: Mode, news: Option<bool>) -> bool {
        let Some(on) = news else { return true };
        let mhz = match band {
            Mode::T => "868.95",
            Mode::S => "868.30",
        };
        self.tell(Input::Interference { receiver: format!("{}-{mhz}", self.settings.name), on }).await
    }

    async fn tell(&self, input: Input) -> bool {
        self.outlets.inputs.send(input).await.is_ok()
    }
}

fn other_than(mode: Mode) -> Mode {
    match mode {
        Mode::T => Mode::S,
        Mode::S => Mode::T,
    }
}
