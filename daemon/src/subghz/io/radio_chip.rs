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
        (!own || self.air(self.settings.mode, None).await)
            && (!other || self.air(other_than(self.settings.mode), None).await)
    }

    async fn interference(&self, band: Mode, news: Option<bool>) -> bool {
        match news {
            Some(on) => self.air(band, Some(on)).await,
            None => true,
        }
    }

    async fn air(&self, band: Mode, on: Option<bool>) -> bool {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that meets what must not be falls here
mod tests {
    use super::*;
    use crate::subghz::cc1101_told::Counters;
    use crate::subghz::cc1101_told::Fault;
    use crate::subghz::cc1101_told::Sample;
    use std::path::PathBuf;
    use std::sync::Arc;
    use tokio::sync::watch;

    fn settings() -> Settings {
        let line = |name: &str| name.to_owned();
        let (name, spi) = (line("radio"), PathBuf::from("/dev/spidev0.0"));
        Settings { name, spi, gdo0: line("GPIO25"), gdo2: line("GPIO26"), mode: Mode::T }
    }

    /// What the core is told of these notices.
    async fn told(notices: impl IntoIterator<Item = Notice>) -> Vec<String> {
        let ((inputs, mut core), (strangers, _strangers)) = (mpsc::channel(64), mpsc::channel(1));
        let (_known, known) = watch::channel(Arc::default());
        let (newest, counted) = (Arc::default(), Arc::default());
        let (settings, outlets) = (settings(), Outlets { inputs, strangers, known, newest, counted });
        let receiver = Receiver::new(Source::RtlWmbus);
        let (own, other) = (Noise::default(), Noise::default());
        let mut chip = Chip { settings: &settings, outlets: &outlets, receiver, own, other };
        for notice in notices {
            assert!(chip.take(notice).await);
        }
        let said = |input| match input {
            Input::Receiver { receiver, error: None } => format!("{receiver} is well"),
            Input::Receiver { receiver, error: Some(_) } => format!("{receiver} is not well"),
            Input::Interference { receiver, on } => {
                format!("{receiver} {}", on.map_or("unknown", |on| if on { "loud" } else { "quiet" }))
            }
            other => format!("{other:?}"),
        };
        std::iter::from_fn(|| core.try_recv().ok()).map(said).collect()
    }

    /// A second in which the own band is heard so loud, and the other once.
    fn second(own_dbm: i16, other_dbm: i16) -> Vec<Notice> {
        let sample = |band, rssi_dbm| Notice::Sample(Sample { band, rssi_dbm, carrier: rssi_dbm > -80, at_us: 0 });
        let own = std::iter::repeat_with(|| sample(Mode::T, own_dbm)).take(9);
        own.chain([sample(Mode::S, other_dbm), Notice::Counted(Counters::default())]).collect()
    }

    #[tokio::test]
    async fn r27_a_carrier_is_told_for_its_own_band_and_a_chip_that_falls_tells_nothing_of_the_air() {
        let fell = Notice::Fault(Fault::Spi { what: "reading VERSION", error: "no answer".to_owned() });
        let life = [
            vec![Notice::Ready { version: 0x14 }],
            second(-101, -99),
            second(-48, -99),
            second(-48, -52),
            second(-101, -52),
            second(-40, -52),
            vec![fell],
        ];
        let said = told(life.into_iter().flatten()).await;
        let expected = [
            "radio is well",
            "radio-868.30 quiet",
            "radio-868.95 loud",
            "radio-868.30 loud",
            "radio-868.95 quiet",
            "radio-868.95 loud",
            "radio-868.95 unknown",
            "radio-868.30 unknown",
            "radio is not well",
        ];
        assert_eq!(said, expected);
    }
}
