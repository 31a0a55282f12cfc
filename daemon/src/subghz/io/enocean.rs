//! EnOcean transceivers: opened off the loop, asked who they are, read for ever, opened again after they were pulled out.
//!
//! It hears, answers teach-ins while the door is open, and passes on; what a telegram means is its siblings' word, what
//! follows from it the core's.

use super::serial;
use super::serial::Counted;
use super::serial::Outlets;
use super::serial::Settings;
use super::serial::Stranger;
use super::serial::Well;
use crate::subghz::enocean;
use crate::subghz::enocean_door::Door;
use crate::subghz::enocean_door::Knock;
use crate::subghz::enocean_door::Newcomer;
use crate::subghz::enocean_door::Open;
use crate::subghz::enocean_security::Link;
use crate::subghz::erp1::Telegram;
use crate::subghz::erp1::rorg;
use crate::subghz::esp3::Packet;
use crate::subghz::known::Device;
use crate::subghz::known::Known;
use crate::subghz::known::Secret;
use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use crate::subghz::transceiver::Transceiver;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::Instant;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceId;
use vakt_core::device::Report;
use vakt_core::input::Input;

/// Bytes taken from the port in one go.
const CHUNK: usize = 4096;
/// A half packet is given up when nothing came for so long (ESP3, 1.6.4).
const SILENCE: Duration = Duration::from_millis(100);
/// A device that waits for an answer gets it within 500 ms or asks again (EEP 2.6.7, 3.6), so the hub has so long to take it.
const ADDED_WITHIN: Duration = Duration::from_millis(400);

/// The door, and who comes through it.
#[derive(Clone)]
pub struct Teaching {
    /// For whom it is open, and until when; `None`: shut.
    pub open: watch::Receiver<Option<(Open, Instant)>>,
    /// Who came, and who did not and why. The newest is dropped when nobody takes them: it is taught again.
    pub came: mpsc::Sender<Came>,
}

/// Somebody at the door.
#[derive(Debug)]
pub struct Came {
    /// Who came in, or who did not and why.
    pub who: Result<Newcomer, (DeviceId, String)>,
    /// Where it is told whether the hub has taken the newcomer.
    pub taken: oneshot::Sender<bool>,
}

/// One transceiver's life.
struct Port<'a> {
    outlets: &'a Outlets,
    teaching: Teaching,
    transceiver: Transceiver,
    door: Door,
    until: Option<Instant>,
}

/// Opens the port and reads it until it fails; says why it did. `well` is told when the transceiver has answered.
///
/// # Errors
/// Why it ended.
pub async fn listen(settings: &Settings, outlets: &Outlets, mut teaching: Teaching, well: Well) -> String {
    let port = match serial::open(&settings.path, settings.baud).await {
        Ok(port) => port,
        Err(error) => return error,
    };
    teaching.open.mark_changed();
    let (begun, mut well) = (Instant::now(), Some(well));
    let mut own = Port { outlets, teaching, transceiver: Transceiver::default(), door: Door::default(), until: None };
    let mut bytes = [0u8; CHUNK];
    loop {
        let due = own.transceiver.due(begun.elapsed());
        let sent = match due {
            Ok(Some(bytes)) => serial::write(&port, &bytes).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            return format!("ask the transceiver on {}: {error}", settings.path.display());
        }
        if own.transceiver.identity().is_some()
            && let Some(well) = well.take()
        {
            tracing::info!(receiver = settings.name, identity = ?own.transceiver.identity(), "an EnOcean transceiver");
            well.tell().await;
        }
        let telegrams = match tokio::time::timeout(SILENCE, port.read(&mut bytes)).await {
            Err(_) => own.transceiver.silence(begun.elapsed()),
            Ok(Ok(0)) => return format!("read {}: it was pulled out", settings.path.display()),
            Ok(Ok(count)) => own.transceiver.feed(&bytes[..count], begun.elapsed()),
            Ok(Err(error)) => return format!("read {}: {error}", settings.path.display()),
        };
        own.mind_the_door();
        let enocean = Some(own.transceiver.counters());
        outlets.count(&settings.name, Counted { enocean, ..Counted::default() });
        for telegram in telegrams {
            if !own.pass_on(&telegram).await {
                return "the hub has gone".to_owned();
            }
        }
    }
}

impl Port<'_> {
    /// Opens the door, or shuts it when its time is over, whatever became of whoever opened it.
    fn mind_the_door(&mut self) {
        if self.teaching.open.has_changed().unwrap_or(false) {
            let open = self.teaching.open.borrow_and_update().clone();
            self.until = open.as_ref().map(|(_, until)| *until);
            self.door.set(open.map(|(open, _)| open));
        }
        if self.until.take_if(|until| *until <= Instant::now()).is_some() {
            self.door.set(None);
        }
    }

    /// False when nobody listens any more.
    async fn pass_on(&mut self, telegram: &Telegram) -> bool {
        let own_id = self.transceiver.identity().map_or(0, |identity| identity.chip_id);
        let (device, known) = (telegram.device(), self.outlets.known.borrow().clone());
        let knock = self.door.knock(telegram, own_id, known.get(&device));
        let Knock { came, answer, refusal } = knock;
        if let Some(who) = came {
            let (came_in, (taken, hears)) = (who.is_ok(), oneshot::channel());
            let _ = self.teaching.came.try_send(Came { who, taken });
            // "Taught" would be a lie before the panel knows it; where that takes too long nothing is said, and it asks again.
            let answer = match answer {
                Some(taught) if came_in => match tokio::time::timeout(ADDED_WITHIN, hears).await {
                    Ok(Ok(true)) => Some(taught),
                    Ok(Ok(false)) => refusal,
                    Ok(Err(_)) | Err(_) => None,
                },
                answer => answer,
            };
            self.reply(answer);
            return true;
        }
        self.reply(answer);
        let Some(entry) = known.get(&device) else {
            let encrypted = matches!(telegram.rorg, rorg::SEC | rorg::SEC_ENCAPS | rorg::SEC_TEACH_IN);
            let _ = self.outlets.strangers.try_send(Stranger { device, encrypted, rssi_dbm: telegram.rssi_dbm() });
            return true;
        };
        // It teaches and nobody asked it to, or says what belongs to no profile: no word of how it stands.
        if matches!(telegram.rorg, rorg::SEC_TEACH_IN | rorg::UTE) || rorg::says_nothing(telegram.rorg) {
            return true;
        }
        for input in self.heard(&device, telegram, entry, &known) {
            if self.outlets.inputs.send(input).await.is_err() {
                return false;
            }
        }
        true
    }

    fn reply(&mut self, answer: Option<Packet>) {
        if let Some(answer) = answer {
            self.transceiver.send(answer);
        }
    }

    /// What a known device's telegram tells the core.
    fn heard(&self, device: &DeviceId, telegram: &Telegram, entry: &Device, known: &Known) -> Vec<Input> {
        let unreadable = |refused: &Refused| {
            tracing::warn!(%device, %refused, "a known device could not be read");
            vec![Input::Unreadable { device: device.clone() }]
        };
        let last = self.outlets.newest.lock().ok().and_then(|newest| newest.of(device, entry));
        let understood = match as_let_in(entry, last).and_then(|as_let_in| enocean::understand(telegram, &as_let_in)) {
            Ok(understood) => understood,
            // A copy, or a recording: the device itself is as it was.
            Err(refused) if refused.kind == Reason::Replayed => return Vec::new(),
            Err(refused) => return unreadable(&refused),
        };
        // The next code to be accepted is one more than the last that was.
        let counter = understood.next.and_then(|next| u32::try_from(next.wrapping_sub(1)).ok());
        if let (Some(counter), Ok(mut newest)) = (counter, self.outlets.newest.lock()) {
            newest.note(device, counter, known);
        }
        let said = match understood.said {
            Ok(said) => said,
            Err(refused) => return unreadable(&refused),
        };
        // Of the first message after a key was typed nobody knows whether it is an old one.
        let most = if last.is_none() { Authenticated::Mac } else { Authenticated::MacCounter };
        let authenticated = said.report.as_ref().map_or(Authenticated::Crc, |report| report.authenticated).min(most);
        let reports = said.report.into_iter().chain(said.also);
        let report = |report: Report| Report { counter, authenticated: report.authenticated.min(most), ..report };
        let mut inputs: Vec<Input> = reports.map(|one| Input::Report(report(one))).collect();
        if !said.values.is_empty() {
            inputs.push(Input::Measured { device: device.clone(), authenticated, values: said.values });
        }
        inputs
    }
}

/// A device as `enocean` wants it.
fn as_let_in(entry: &Device, last: Option<u32>) -> Result<enocean::Device, Refused> {
    let eep = entry
        .eep
        .ok_or_else(|| Refused::new(Reason::WrongProfile, 0, "its profile is not known: add it again with --eep"))?;
    let next = last.map_or(0, |last| u64::from(last) + 1);
    let secure = match &entry.secret {
        Secret::None => None,
        Secret::Key(bytes) => Some((Link::read(bytes).ok_or_else(serial::lost)?, next)),
        Secret::Lost => return Err(serial::lost()),
    };
    Ok(enocean::Device { eep, secure })
}
