//! One EnOcean transceiver from bytes to telegrams: which one it is, whether it lives, what it heard, and what is to be
//! sent through it.
//!
//! Pure: time is an argument, bytes are somebody else's. It opens no telegram and lets nobody in (`enocean.rs`,
//! `enocean_door.rs`). A transceiver that hangs looks like a quiet house (openHAB #15330, #15181), so one that has said
//! nothing for a while is asked, and given up when it does not answer.

use crate::subghz::enocean_copies::Copies;
use crate::subghz::erp1::Telegram;
use crate::subghz::esp3::Framer;
use crate::subghz::esp3::Heard;
use crate::subghz::esp3::Packet;
use crate::subghz::esp3::PacketType;
use crate::subghz::esp3_command::Answer;
use crate::subghz::esp3_command::Command;
use crate::subghz::esp3_command::Event;
use crate::subghz::line::Fault;
use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;

/// An answer comes within this time (ESP3, 1.6.4: 500 ms), or the question is asked again.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Questions without an answer until the transceiver is given up; its port is then opened anew.
pub const TRIES: u32 = 5;
/// One that has said nothing for so long is asked whether it lives.
pub const QUIET: Duration = Duration::from_secs(60);
/// Telegrams waiting to be sent. Who has one more to answer does not: the device asks again.
pub const TO_SEND_MAX: usize = 8;

/// How often what happened, since the port was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // the names of the reasons in `line::Fault`
pub struct Counters {
    /// Radio telegrams, copies left out.
    pub heard: u64,
    /// What repeaters made of them.
    pub copies: u64,
    /// Packets whose checks hold and which are no telegram as one is written.
    pub not_telegrams: u64,
    pub not_a_frame: u64,
    pub bad_checksum: u64,
    pub bad_length: u64,
    pub half_packet: u64,
}

/// Which transceiver it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// In its own words.
    pub description: String,
    /// Its interface: main, beta, alpha, build.
    pub api: [u8; 4],
    /// The lasting id under which it answers devices.
    pub chip_id: u32,
}

/// One transceiver, from the opening of its port.
///
/// ```text
/// asked who it is ──answer──▶ listening ──quiet──▶ asked again, and still listening
///        └──no answer, TRIES times──▶ given up ◀──────────┘
/// ```
#[derive(Debug, Clone, Default)]
pub struct Transceiver {
    framer: Framer,
    copies: Copies,
    counters: Counters,
    identity: Option<Identity>,
    /// When it was last asked who it is, and how often without an answer.
    asked: Option<Duration>,
    tries: u32,
    heard_at: Duration,
    to_send: VecDeque<Packet>,
}

impl Transceiver {
    /// Which one it is, once it has said so: from then on it listens.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// How often what happened.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What is to be written to it now; `now` is the time since its port was opened, and this is asked at least every
    /// tenth of a second.
    ///
    /// # Errors
    /// Why it is given up.
    pub fn due(&mut self, now: Duration) -> Result<Option<Vec<u8>>, String> {
        if let Some(packet) = self.to_send.pop_front() {
            return Ok(Some(packet.to_bytes()));
        }
        match self.asked {
            None if self.identity.is_some() && now < self.heard_at + QUIET => return Ok(None),
            Some(asked) if now < asked + ANSWER_WITHIN => return Ok(None),
            Some(_) if self.tries == TRIES => {
                return Err(format!("it did not answer {TRIES} times: another device, another rate, or it hangs"));
            }
            _ => {}
        }
        (self.asked, self.tries) = (Some(now), self.tries + 1);
        Ok(Some(Command::ReadVersion.packet().to_bytes()))
    }

    /// Sends a telegram as soon as the port takes it; `false` where too many wait already.
    pub fn send(&mut self, packet: Packet) -> bool {
        let room = self.to_send.len() < TO_SEND_MAX;
        if room {
            self.to_send.push_back(packet);
        }
        room
    }

    /// Takes bytes as they came; gives the telegrams that are complete now, each once.
    pub fn feed(&mut self, bytes: &[u8], now: Duration) -> Vec<Telegram> {
        let heard = self.framer.feed(bytes);
        self.take(heard, now)
    }

    /// Nothing came for a tenth of a second.
    pub fn silence(&mut self, now: Duration) -> Vec<Telegram> {
        let heard = self.framer.silence();
        self.take(heard, now)
    }

    fn take(&mut self, heard: Vec<Heard>, now: Duration) -> Vec<Telegram> {
        heard.into_iter().filter_map(|heard| self.one(heard, now)).collect()
    }

    fn one(&mut self, heard: Heard, now: Duration) -> Option<Telegram> {
        let packet = heard.map_err(|fault| self.count(fault)).ok()?;
        self.heard_at = now;
        match packet.packet_type {
            PacketType::Response => self.answered(&packet),
            PacketType::Event => {
                // It has started anew, by itself: nothing was set that it would have lost, but it may be another one.
                if let Ok(Event::Ready { .. }) = Event::parse(&packet) {
                    self.identity = None;
                }
            }
            PacketType::RadioErp1 => {
                let Ok(telegram) = Telegram::of(&packet) else {
                    self.counters.not_telegrams = self.counters.not_telegrams.saturating_add(1);
                    return None;
                };
                let ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
                let copy = self.copies.is_copy(&telegram, ms);
                let counter = if copy { &mut self.counters.copies } else { &mut self.counters.heard };
                *counter = counter.saturating_add(1);
                return (!copy).then_some(telegram);
            }
            _ => {}
        }
        None
    }

    fn answered(&mut self, packet: &Packet) {
        // Responses to telegrams that were sent are shorter, and say nothing that is waited for.
        if let Ok(Answer::Version { api, chip_id, description, .. }) = Command::ReadVersion.answer(packet) {
            self.identity = Some(Identity { description, api, chip_id });
            (self.asked, self.tries) = (None, 0);
        }
    }

    fn count(&mut self, fault: Fault) {
        let counter = match fault {
            Fault::BadChecksum => &mut self.counters.bad_checksum,
            Fault::BadLength => &mut self.counters.bad_length,
            Fault::HalfPacket => &mut self.counters.half_packet,
            _ => &mut self.counters.not_a_frame, // the others are faults of lines of text
        };
        *counter = counter.saturating_add(1);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that meets what must not be falls here
mod tests {
    use super::*;

    const CONTACT: &str = "55000707017AD50805115A8D0000FFFFFFFF2D0047";

    fn bytes(hex: &str) -> Vec<u8> {
        crate::subghz::decode::from_hex(hex).unwrap()
    }

    fn version() -> Vec<u8> {
        let mut data = vec![0, 2, 11, 1, 0, 2, 6, 3, 0, 0x01, 0x9A, 0xBC, 0xDE, 0x45, 0x4F, 1, 3];
        data.extend(b"GATEWAYCTRL\0\0\0\0\0");
        Packet { packet_type: PacketType::Response, data, optional: Vec::new() }.to_bytes()
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_says_who_it_is_and_is_asked_again_when_it_is_quiet() {
        let mut transceiver = Transceiver::default();
        let question = transceiver.due(s(0)).unwrap().unwrap();
        assert_eq!(question, bytes("5500010005700309"));
        assert_eq!(transceiver.due(s(0)), Ok(None), "one question at a time");
        assert!(transceiver.feed(&version(), s(0)).is_empty());
        let identity = transceiver.identity().unwrap();
        assert_eq!((identity.chip_id, &*identity.description), (0x019A_BCDE, "GATEWAYCTRL"));
        assert_eq!(transceiver.due(s(59)), Ok(None));
        assert_eq!(transceiver.due(s(60)), Ok(Some(question)));
        transceiver.feed(&version(), s(60));
        assert_eq!(transceiver.due(s(61)), Ok(None));
    }

    #[test]
    fn r18_one_that_does_not_answer_is_given_up() {
        let mut transceiver = Transceiver::default();
        let asked = (0..u64::from(TRIES)).filter(|at| transceiver.due(s(*at)).unwrap().is_some()).count();
        assert_eq!(asked, 5);
        assert!(transceiver.due(s(5)).unwrap_err().contains("did not answer 5 times"));
    }

    #[test]
    fn one_that_hears_is_not_asked_and_one_that_starts_anew_is() {
        let mut transceiver = Transceiver::default();
        transceiver.due(s(0)).unwrap();
        transceiver.feed(&version(), s(0));
        for at in 1..10 {
            assert_eq!(transceiver.feed(&bytes(CONTACT), s(at * 30)).len(), 1);
            assert_eq!(transceiver.due(s(at * 30 + 1)), Ok(None));
        }
        let ready = Packet { packet_type: PacketType::Event, data: vec![4, 2], optional: Vec::new() };
        transceiver.feed(&ready.to_bytes(), s(300));
        assert_eq!(transceiver.identity(), None);
        assert!(transceiver.due(s(301)).unwrap().is_some());
    }

    #[test]
    fn a_telegram_and_its_copies_are_one_and_noise_is_counted() {
        let mut transceiver = Transceiver::default();
        assert_eq!(transceiver.feed(&bytes(CONTACT), s(1)).len(), 1);
        assert!(transceiver.feed(&bytes(CONTACT), s(1)).is_empty());
        assert!(transceiver.feed(&[0x00, 0x55, 0xFF, 0x13, 0x37, 0x00, 0x00], s(2)).is_empty());
        assert!(transceiver.feed(&[0x55, 0x00], s(2)).is_empty());
        assert!(transceiver.silence(s(3)).is_empty());
        let Counters { heard, copies, not_a_frame, bad_checksum, half_packet, .. } = transceiver.counters();
        assert_eq!((heard, copies, not_a_frame, bad_checksum, half_packet), (1, 1, 1, 1, 1));
    }

    #[test]
    fn what_is_to_be_sent_goes_first_and_not_without_end() {
        let mut transceiver = Transceiver::default();
        let packet = Packet { packet_type: PacketType::RadioErp1, data: vec![0xD4; 7], optional: Vec::new() };
        let taken = (0..20).filter(|_| transceiver.send(packet.clone())).count();
        assert_eq!(taken, TO_SEND_MAX);
        assert_eq!(transceiver.due(s(0)), Ok(Some(packet.to_bytes())));
    }
}
