//! Who may be taught: one EnOcean device after another, while somebody has opened the door.
//!
//! A teach-in that nobody waits for changes nothing. What a device says it is counts; where it does not say, as switches
//! and secure devices do not, the profile is the one the door was opened for, and is never guessed. Keys are handed on
//! and never shown. Source: EnOcean Equipment Profiles 2.6.7, 3.1 to 3.6.

use crate::subghz::eep;
use crate::subghz::enocean_security::Key;
use crate::subghz::enocean_security::Link;
use crate::subghz::enocean_teach::Gathering;
use crate::subghz::enocean_teach::Outcome;
use crate::subghz::enocean_teach::Request;
use crate::subghz::enocean_teach::TeachIn;
use crate::subghz::erp1::Telegram;
use crate::subghz::erp1::rorg;
use crate::subghz::esp3::Packet;
use crate::subghz::known::Device;
use crate::subghz::known::Secret;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::Eep;

/// For whom the door is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Open {
    /// The profile of who does not say it.
    pub eep: Option<Eep>,
    /// The key on the label of a device that encrypts its teach-in.
    pub label: Option<Key>,
}

/// A device that was taught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// Which.
    pub device: DeviceId,
    /// How it is read.
    pub eep: Eep,
    /// What it watches for, by that profile.
    pub kind: DeviceKind,
    /// How it speaks securely, and the lowest rolling code that is accepted of it.
    pub secure: Option<(Link, u64)>,
}

/// What came of a telegram at the door.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Knock {
    /// Who came in, or why somebody did not.
    pub came: Option<Result<Newcomer, (DeviceId, String)>>,
    /// What the device waits for. Where it came in, this is only true once the hub knows it.
    pub answer: Option<Packet>,
    /// What it is told instead where it came in and the hub does not take it.
    pub refusal: Option<Packet>,
}

/// The door. Dropped when it shuts, and with it what was begun.
#[derive(Debug, Clone, Default)]
pub struct Door {
    open: Option<Open>,
    gathering: Gathering,
    /// How many came in since it was opened.
    came: usize,
}

/// Devices that one opening lets in; whoever comes later is turned away, because somebody else may be knocking.
pub const NEWCOMERS_MAX: usize = 32;

impl Door {
    /// Opens it, or shuts it.
    pub fn set(&mut self, open: Option<Open>) {
        *self = Self { open, gathering: Gathering::default(), came: 0 };
    }

    /// Somebody speaks; `own_id` is the transceiver's. Whoever is `known` is not taught by radio: else anybody could take its
    /// key away, and a detector's word would be lost while a switch is waited for.
    pub fn knock(&mut self, telegram: &Telegram, own_id: u32, known: Option<&Device>) -> Knock {
        let knock = match known {
            Some(device) => self.known(telegram, own_id, device),
            None => self.stranger(telegram, own_id),
        };
        match knock.came {
            Some(Ok(_)) if self.came >= NEWCOMERS_MAX => {
                let why = format!("{NEWCOMERS_MAX} were let in already: open again");
                turned_away(telegram.device(), why, refused(telegram, own_id))
            }
            came => {
                self.came += usize::from(matches!(came, Some(Ok(_))));
                Knock { came, ..knock }
            }
        }
    }

    fn known(&self, telegram: &Telegram, own_id: u32, as_is: &Device) -> Knock {
        let told = match TeachIn::read(telegram.rorg, &telegram.payload) {
            Ok(Some(told)) if self.open.is_some() => told,
            _ => return Knock { answer: refused(telegram, own_id), ..Knock::default() },
        };
        // Who missed the answer asks again: that it is known is true, where it is read as it says.
        let answer = match told {
            TeachIn::Ute(ute)
                if ute.request != Request::Forget && as_is.eep == Some(ute.eep) && as_is.secret == Secret::None =>
            {
                ute.answer(telegram.sender, own_id, Outcome::Taught)
            }
            _ => refused(telegram, own_id),
        };
        let device = telegram.device();
        let why = format!("it is known already: `vaktd device remove {device}` first, and let it teach again");
        turned_away(device, why, answer)
    }

    fn stranger(&mut self, telegram: &Telegram, own_id: u32) -> Knock {
        let device = telegram.device();
        let Some(open) = self.open.clone() else {
            return Knock { answer: refused(telegram, own_id), ..Knock::default() };
        };
        let refuse = |why: String| turned_away(device.clone(), why, None);
        let read = match TeachIn::read(telegram.rorg, &telegram.payload) {
            Ok(read) => read,
            Err(why) => return refuse(why.to_string()),
        };
        let told = match read {
            None if telegram.rorg == rorg::RPS && open.eep.is_some_and(|eep| eep.rorg == rorg::RPS) => None,
            None => return Knock::default(),
            Some(TeachIn::OneBs) => Some(Eep::new(rorg::ONE_BS, 0x00, 0x01)),
            Some(TeachIn::FourBs { profile }) => profile.map(|(eep, _)| eep),
            Some(TeachIn::Ute(ute)) if ute.request == Request::Forget => {
                let why = format!("it asks to be forgotten: `vaktd device remove {device}` does so");
                return Knock { answer: ute.answer(telegram.sender, own_id, Outcome::Refused), ..refuse(why) };
            }
            Some(TeachIn::Ute(ute)) => {
                let came = let_in(&device, Some(ute.eep), open.eep, None);
                let outcome = if came.is_ok() { Outcome::Taught } else { Outcome::NotSupported };
                let came = Some(came.map_err(|why| (device, why)));
                let answer = ute.answer(telegram.sender, own_id, outcome);
                return Knock { came, answer, refusal: refused(telegram, own_id) };
            }
            Some(TeachIn::Secure(part)) => {
                return match self.gathering.take(telegram.sender, part, open.label.as_ref()) {
                    Ok(None) => Knock::default(),
                    Ok(Some(taught)) => {
                        let came = let_in(&device, None, open.eep, Some((taught.link, taught.next)));
                        Knock { came: Some(came.map_err(|why| (device, why))), ..Knock::default() }
                    }
                    Err(why) => refuse(why.to_string()),
                };
            }
        };
        Knock { came: Some(let_in(&device, told, open.eep, None).map_err(|why| (device, why))), ..Knock::default() }
    }
}

fn turned_away(device: DeviceId, why: String, answer: Option<Packet>) -> Knock {
    Knock { came: Some(Err((device, why))), answer, refusal: None }
}

/// A device that asks while the door is shut is told so: else it asks again and again.
fn refused(telegram: &Telegram, own_id: u32) -> Option<Packet> {
    match TeachIn::read(telegram.rorg, &telegram.payload) {
        Ok(Some(TeachIn::Ute(ute))) => ute.answer(telegram.sender, own_id, Outcome::Refused),
        _ => None,
    }
}

fn let_in(
    device: &DeviceId,
    told: Option<Eep>,
    expected: Option<Eep>,
    secure: Option<(Link, u64)>,
) -> Result<Newcomer, String> {
    let eep = match (told, expected) {
        (Some(told), Some(expected)) if told != expected => {
            return Err(format!(
                "it says that its profile is {told}, and {expected} was expected: open for the one it has"
            ));
        }
        (told, expected) => told.or(expected).ok_or(
            "it does not say what it is: open again with --eep and the profile that its manual names, such as D5-00-01",
        )?,
    };
    let kind = eep::kind(eep).ok_or_else(|| format!("its profile {eep} is not known to this hub"))?;
    Ok(Newcomer { device: device.clone(), eep, kind, secure })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that meets what must not be falls here
mod tests {
    use super::*;
    use crate::subghz::decode::from_hex;
    use crate::subghz::esp3::Framer;

    const OWN: u32 = 0x019A_BCDE;

    fn esp3(hex: &str) -> Telegram {
        let heard = Framer::default().feed(&from_hex(hex).unwrap());
        Telegram::of(heard[0].as_ref().unwrap()).unwrap()
    }

    fn erp1(hex: &str) -> Telegram {
        Telegram::parse(&from_hex(hex).unwrap()).unwrap()
    }

    fn open(eep: Option<&str>) -> Door {
        let mut door = Door::default();
        door.set(Some(Open { eep: eep.map(|eep| eep.parse().unwrap()), label: None }));
        door
    }

    fn known(eep: Option<&str>) -> Device {
        let eep = eep.map(|eep| eep.parse().unwrap());
        Device { secret: Secret::None, eep, counter: None, key: None }
    }

    fn newcomer(knock: Knock) -> Newcomer {
        knock.came.unwrap().unwrap()
    }

    fn turned_away(knock: Knock) -> String {
        knock.came.unwrap().unwrap_err().1
    }

    const UTE: &str = "55000D0701FDD4A0FF3E000101D20194E3B90001FFFFFFFF4000AB";
    const ONE_BS: &str = "55000707017AD500008A92390001FFFFFFFF3000EB";
    const CONTACT: &str = "55000707017AD50805115A8D0000FFFFFFFF2D0047";
    const ROCKER: &str = "55000707017AF610FEF2A47B3000FFFFFFFF2C0062";
    const SECURE: [&str; 2] = ["3520ABC0FFEE456E4F6365616E019EB63B00", "354020476D62482E313300019EB63B00"];

    #[test]
    fn a_teach_in_that_nobody_waits_for_changes_nothing_and_who_asks_is_told() {
        let mut door = Door::default();
        for hex in [ONE_BS, CONTACT, ROCKER] {
            assert_eq!(door.knock(&esp3(hex), OWN, None), Knock::default());
        }
        let Knock { came: None, answer: Some(answer), .. } = door.knock(&esp3(UTE), OWN, None) else {
            panic!("it was let in")
        };
        // Bidirectional, "not accepted", response; and the rest as it asked.
        assert_eq!(answer.data[..8], from_hex("D481FF3E000101D2").unwrap());
        assert_eq!(answer.data[8..12], OWN.to_be_bytes());
        assert_eq!(answer.optional[1..5], 0x0194_E3B9_u32.to_be_bytes());
    }

    #[test]
    fn who_says_what_it_is_comes_in_and_who_does_not_needs_its_profile_named() {
        let contact = newcomer(open(None).knock(&esp3(ONE_BS), OWN, None));
        assert_eq!((contact.device.as_str(), contact.kind), ("en-008a9239", DeviceKind::Contact));
        assert_eq!(open(None).knock(&esp3(CONTACT), OWN, None), Knock::default(), "a word is no teach-in");
        // A5-14-09 by a maker's four-byte teach-in: FUNC 14, TYPE 09, maker 00D, LRN type 1.
        let four = erp1("A550480D800587120100");
        assert_eq!(newcomer(open(None).knock(&four, OWN, None)).eep.to_string(), "A5-14-09");
        let silent = erp1("A5000000000587120100");
        assert!(turned_away(open(None).knock(&silent, OWN, None)).contains("--eep"));
        assert_eq!(newcomer(open(Some("A5-07-01")).knock(&silent, OWN, None)).kind, DeviceKind::Motion);
        assert!(
            turned_away(open(Some("A5-07-01")).knock(&four, OWN, None)).contains("A5-14-09, and A5-07-01 was expected")
        );
        assert_eq!(open(None).knock(&esp3(ROCKER), OWN, None), Knock::default());
        let button = newcomer(open(Some("F6-02-01")).knock(&esp3(ROCKER), OWN, None));
        assert_eq!((button.device.as_str(), button.kind, button.secure), ("en-fef2a47b", DeviceKind::Sos, None));
    }

    #[test]
    fn a_profile_that_is_not_known_is_turned_away_and_told_so() {
        let Knock { came: Some(Err((_, why))), answer: Some(answer), .. } = open(None).knock(&esp3(UTE), OWN, None)
        else {
            panic!("an actuator was let in")
        };
        assert!(why.contains("D2-01-01"), "{why}");
        assert_eq!(answer.data[1], 0xB1, "profile not supported");
    }

    #[test]
    fn a_secure_contact_comes_in_with_its_key_when_all_of_it_is_heard() {
        let mut door = open(Some("D5-00-01"));
        assert_eq!(door.knock(&erp1(SECURE[0]), OWN, None), Knock::default());
        let came = newcomer(door.knock(&erp1(SECURE[1]), OWN, None));
        let (link, next) = came.secure.clone().unwrap();
        assert_eq!((link.slf.byte, next, came.kind), (0xAB, 0x00C0_FFEE, DeviceKind::Contact));
        assert!(format!("{came:?}").contains("Key(hidden)"), "{came:?}");
        // A door that was shut in between forgets the first half.
        let mut door = open(Some("D5-00-01"));
        door.knock(&erp1(SECURE[0]), OWN, None);
        door.set(None);
        door.set(Some(Open { eep: Some("D5-00-01".parse().unwrap()), label: None }));
        assert_eq!(door.knock(&erp1(SECURE[1]), OWN, None), Knock::default());
        let mut door = open(None);
        door.knock(&erp1(SECURE[0]), OWN, None);
        assert!(turned_away(door.knock(&erp1(SECURE[1]), OWN, None)).contains("--eep"));
    }

    #[test]
    fn who_is_known_is_not_taught_by_radio_and_its_word_passes() {
        let mut door = open(Some("F6-02-01"));
        assert_eq!(
            door.knock(&esp3(ROCKER), OWN, Some(&known(None))),
            Knock::default(),
            "a smoke detector's word, perhaps"
        );
        assert_eq!(newcomer(door.knock(&esp3(ROCKER), OWN, None)).kind, DeviceKind::Sos);
        let mut door = open(None);
        let again = door.knock(&esp3(UTE), OWN, Some(&known(None)));
        assert_eq!(again.answer.as_ref().unwrap().data[1], 0x81, "it is told that it is turned away");
        let read_so = door.knock(&esp3(UTE), OWN, Some(&known(Some("D2-01-01"))));
        assert_eq!(read_so.answer.unwrap().data[1], 0x91, "it is known as what it says: that is true");
        let with_key = Device { secret: Secret::Lost, ..known(Some("D2-01-01")) };
        let in_clear = door.knock(&esp3(UTE), OWN, Some(&with_key));
        assert_eq!(in_clear.answer.unwrap().data[1], 0x81, "one that has a key is not known by this");
        assert!(turned_away(again).contains("device remove en-0194e3b9"));
        assert!(turned_away(door.knock(&esp3(ONE_BS), OWN, Some(&known(None)))).contains("known already"));
        assert!(turned_away(door.knock(&erp1(SECURE[0]), OWN, Some(&known(None)))).contains("known already"));
        assert_eq!(door.knock(&esp3(CONTACT), OWN, Some(&known(None))), Knock::default());
        door.set(None);
        assert_eq!(door.knock(&esp3(ONE_BS), OWN, Some(&known(None))), Knock::default(), "nobody has asked");
    }

    #[test]
    fn one_opening_lets_in_so_many() {
        let mut door = open(Some("F6-02-01"));
        let rocker = esp3(ROCKER);
        let of = |sender| Telegram { sender, ..rocker.clone() };
        for sender in 0..NEWCOMERS_MAX as u32 {
            newcomer(door.knock(&of(sender), OWN, None));
        }
        assert!(turned_away(door.knock(&of(0xFFFF), OWN, None)).contains("open again"));
        door.set(Some(Open { eep: Some(Eep::new(rorg::RPS, 0x02, 0x01)), label: None }));
        newcomer(door.knock(&of(0xFFFF), OWN, None));
    }
}
