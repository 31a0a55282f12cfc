//! The hub as the server of its keypads' IAS ACE cluster: what each keypad shows, and what became of what was asked at
//! it (07-5123, chapter 8.3). `ace` has the bytes.
//!
//! It decides nothing: who may arm, and whether a code is right, is said elsewhere, and what is not said in time is
//! "not ready". A panel nobody has told it of is never shown as disarmed. It keeps no code: what was typed goes up
//! once, and here only the number under which it was asked stays.
//!
//! ```text
//!   heard ──▶ Asked ──answered, bypassed, recorded──▶ told ──10 s after it was asked──▶ forgotten
//!               └──1.8 s, not for cries for help──▶ told "not ready"; a later answer is dropped
//! ```

use crate::zigbee::ace;
use crate::zigbee::ace::AlarmStatus;
use crate::zigbee::ace::ArmMode;
use crate::zigbee::ace::ArmNotification;
use crate::zigbee::ace::Audible;
use crate::zigbee::ace::BypassResult;
use crate::zigbee::ace::Code;
use crate::zigbee::ace::FromKeypad;
use crate::zigbee::ace::Panel;
use crate::zigbee::ace::PanelStatus;
use crate::zigbee::ace::Zone;
use crate::zigbee::bytes::Reader;
use crate::zigbee::eui64::Eui64;
use crate::zigbee::refused::Refused;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Status;
use std::collections::BTreeMap;
use std::collections::VecDeque;

/// Keypads whose panel is remembered. Those beyond it are told "not ready" whenever they ask.
pub const KEYPADS_MAX: usize = 64;
/// The same command from one keypad within [`REMEMBERED_MS`]. Who hammers it more often is told "not ready" at once
/// without being asked about; a cry for help that was asked so often already is not asked once more.
pub const ASKS_EACH_MAX: usize = 8;
/// All that is remembered of what was asked; beyond it the oldest is forgotten, and its keypad hears no answer.
pub const ASKS_MAX: usize = 512;
/// A keypad waits for its answer for so long, ms, because keypads themselves wait for two seconds and then show an error (zigbee2mqtt
/// #32547); then whoever stands there is told "not ready" and tries again.
pub const ANSWER_MS: u64 = 1_800;
/// What was asked is remembered for so long, ms, for a keypad that did not hear the answer and asks again.
pub const REMEMBERED_MS: u64 = 10_000;
/// A delay that ends within so many ms of the one that is shown is the same delay.
const SAME_DELAY_MS: u64 = 2_000;
/// Seconds of a delay that fit in a message; a keypad counts a longer one from here, and ends too early.
const SECONDS_MAX: u64 = 255;
/// The ZCL status for a zone that is not there (07-5123, 2.6.3).
const NOT_FOUND: Status = Status(0x8B);

/// A keypad: its device and the endpoint of its cluster.
pub type KeypadAt = (Eui64, u8);

/// The hub's number of something that was asked.
pub type AskId = u64;

/// How the system stands for one keypad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// How it stands.
    pub status: PanelStatus,
    /// How long the delay still is, s; 0 without one.
    pub seconds_remaining: u16,
    /// Whether to say it aloud.
    pub audible: Audible,
    /// What alarms.
    pub alarm: AlarmStatus,
}

/// What a keypad wants of the alarm system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// Guard, or guard no longer; answered by [`Keypads::answered`].
    Arm {
        /// What.
        mode: ArmMode,
        /// With this; `None`: none was sent.
        code: Option<Code>,
        /// Which zone, where the keypad says so.
        zone_id: Option<u8>,
    },
    /// Zones shall stand aside; answered by [`Keypads::bypassed`].
    Bypass {
        /// These.
        zone_ids: Vec<u8>,
        /// With this.
        code: Option<Code>,
    },
    /// Help, somebody is ill; answered by [`Keypads::recorded`], like the two below.
    Emergency,
    /// Fire.
    Fire,
    /// Help, somebody is threatened.
    Panic,
}

/// Something a keypad wants, for the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// For its answer.
    pub id: AskId,
    /// Where.
    pub from: KeypadAt,
    /// What.
    pub want: Want,
}

/// What follows from a keypad's message. No Default Response is due beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It is told this at once.
    Answer(Vec<u8>),
    /// The core is asked.
    Asked(Asked),
    /// The core has been asked already.
    Waits,
}

/// A message to a keypad.
pub type ToKeypad = (KeypadAt, Vec<u8>);

struct Shown {
    view: View,
    until_ms: u64,
}

impl Shown {
    fn of(view: View, now_ms: u64) -> Self {
        Self { view, until_ms: now_ms + u64::from(view.seconds_remaining) * 1_000 }
    }

    /// Whether a keypad that shows this need not be told the other: it counts a delay down by itself.
    fn is(&self, other: &Self) -> bool {
        let still = |view: View| View { seconds_remaining: 0, ..view };
        let delayed = self.view.seconds_remaining > 0 || other.view.seconds_remaining > 0;
        let same_delay = self.until_ms.abs_diff(other.until_ms) < SAME_DELAY_MS;
        still(self.view) == still(other.view) && (!delayed || same_delay)
    }

    fn panel(&self, now_ms: u64) -> Panel {
        let View { status, audible, alarm, .. } = self.view;
        let left = self.until_ms.saturating_sub(now_ms).div_ceil(1_000).min(SECONDS_MAX);
        Panel { status, seconds_remaining: u8::try_from(left).expect("255 at most"), audible, alarm }
    }
}

/// What a keypad shows that nobody was told anything for.
const UNKNOWN: Panel = Panel {
    status: PanelStatus::NotReadyToArm,
    seconds_remaining: 0,
    audible: Audible::Mute,
    alarm: AlarmStatus::NoAlarm,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Arm,
    Bypass(usize),
    Cry,
}

struct Ask {
    id: AskId,
    from: KeypadAt,
    header: Header,
    kind: Kind,
    at_ms: u64,
    /// What the keypad was told.
    told: Option<Vec<u8>>,
}

impl Ask {
    /// What it is told where nobody answers; a cry for help is only told what was recorded.
    fn no_answer(&self) -> Option<Vec<u8>> {
        match self.kind {
            Kind::Arm => Some(ace::arm_response(self.header.tsn, ArmNotification::NotReadyToArm)),
            Kind::Bypass(count) => {
                Some(ace::bypass_response(self.header.tsn, &vec![BypassResult::ZoneNotBypassed; count]))
            }
            Kind::Cry => None,
        }
    }

    fn due_ms(&self) -> Option<u64> {
        (self.told.is_none() && self.kind != Kind::Cry).then_some(self.at_ms + ANSWER_MS)
    }
}

/// All keypads of the hub.
#[derive(Default)]
pub struct Keypads {
    shown: BTreeMap<KeypadAt, Shown>,
    asks: VecDeque<Ask>,
    next_id: AskId,
}

impl Keypads {
    /// Nobody is shown anything yet. `first`: numbers of an earlier host must not fit, because its questions are gone.
    pub fn new(first: AskId) -> Self {
        Self { next_id: first, ..Self::default() }
    }

    /// The system stands so for this keypad; gives the message that tells it, where it does not show that already.
    pub fn show(&mut self, at: KeypadAt, view: View, tsn: u8, now_ms: u64) -> Option<Vec<u8>> {
        let wanted = Shown::of(view, now_ms);
        match self.shown.get(&at) {
            Some(shown) if shown.is(&wanted) => return None,
            None if self.shown.len() >= KEYPADS_MAX => return None,
            _ => {}
        }
        let told = ace::panel_status_changed(tsn, wanted.panel(now_ms));
        self.shown.insert(at, wanted);
        Some(told)
    }

    /// The keypad is gone, or has begun anew and shows nothing any more: its next view is told whatever it is.
    pub fn forget(&mut self, device: Eui64) {
        self.shown.retain(|(known, _), _| *known != device);
        self.asks.retain(|ask| ask.from.0 != device);
    }

    /// A keypad's message on the cluster. `repeat`: the same number and the same bytes were heard a moment ago, and no
    /// other message under that number since; the same code typed once more has another number, and means something
    /// else (B18). `zones` are the hub's, as this keypad may know them.
    ///
    /// # Errors
    /// Why it was refused; its sender is told so by a Default Response.
    pub fn heard(
        &mut self,
        from: KeypadAt,
        header: &Header,
        reader: &mut Reader,
        repeat: bool,
        zones: &[Zone],
        now_ms: u64,
    ) -> Result<Heard, Refused> {
        let tsn = header.tsn;
        let want = match FromKeypad::parse(header, reader)? {
            FromKeypad::GetPanelStatus => {
                let panel = self.shown.get(&from).map_or(UNKNOWN, |shown| shown.panel(now_ms));
                return Ok(Heard::Answer(ace::get_panel_status_response(tsn, panel)));
            }
            FromKeypad::GetZoneIdMap => return Ok(Heard::Answer(ace::zone_id_map_response(tsn, zones))),
            FromKeypad::GetZoneInfo { zone_id } => {
                let zone = zones.iter().find(|zone| zone.id == zone_id);
                let not_found = || header.default_response(NOT_FOUND);
                return Ok(Heard::Answer(zone.map_or_else(not_found, |zone| ace::zone_info_response(tsn, zone))));
            }
            FromKeypad::GetBypassedZoneList => return Ok(Heard::Answer(ace::set_bypassed_zone_list(tsn, zones))),
            FromKeypad::GetZoneStatus(query) => {
                return Ok(Heard::Answer(ace::get_zone_status_response(tsn, zones, query)));
            }
            FromKeypad::Arm { mode, code, zone_id } => Want::Arm { mode, code, zone_id },
            FromKeypad::Bypass { zone_ids, code } => Want::Bypass { zone_ids, code },
            FromKeypad::Emergency => Want::Emergency,
            FromKeypad::Fire => Want::Fire,
            FromKeypad::Panic => Want::Panic,
        };
        Ok(self.ask(from, header, want, repeat, now_ms))
    }

    fn ask(&mut self, from: KeypadAt, header: &Header, want: Want, repeat: bool, now_ms: u64) -> Heard {
        self.forget_old(now_ms);
        let mut same = self.asks.iter().rev().filter(|ask| ask.from == from && ask.header.command == header.command);
        if repeat && let Some(ask) = same.clone().find(|ask| ask.header.tsn == header.tsn) {
            return ask.told.clone().map_or(Heard::Waits, Heard::Answer);
        }
        let kind = match &want {
            Want::Arm { .. } => Kind::Arm,
            Want::Bypass { zone_ids, .. } => Kind::Bypass(zone_ids.len()),
            Want::Emergency | Want::Fire | Want::Panic => Kind::Cry,
        };
        let hammered = same.nth(ASKS_EACH_MAX - 1).is_some();
        let ask = Ask { id: self.next_id, from, header: *header, kind, at_ms: now_ms, told: None };
        if hammered {
            return ask.no_answer().map_or(Heard::Waits, Heard::Answer);
        }
        if self.asks.len() >= ASKS_MAX {
            self.asks.pop_front();
        }
        self.asks.push_back(ask);
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        Heard::Asked(Asked { id, from, want })
    }

    /// What became of an arm; gives what its keypad is told, if it still waits.
    pub fn answered(&mut self, id: AskId, notification: ArmNotification) -> Option<ToKeypad> {
        self.tell(id, |ask| (ask.kind == Kind::Arm).then(|| ace::arm_response(ask.header.tsn, notification)))
    }

    /// What became of each zone of a bypass, in its order; one that is not said was not bypassed.
    pub fn bypassed(&mut self, id: AskId, results: &[BypassResult]) -> Option<ToKeypad> {
        self.tell(id, |ask| {
            let Kind::Bypass(count) = ask.kind else { return None };
            let missing = std::iter::repeat(BypassResult::ZoneNotBypassed);
            let all: Vec<_> = results.iter().copied().chain(missing).take(count).collect();
            Some(ace::bypass_response(ask.header.tsn, &all))
        })
    }

    /// A cry for help is safe; its keypad is told so where it waits for that. Before, it hears nothing and cries again.
    pub fn recorded(&mut self, id: AskId) -> Option<ToKeypad> {
        self.tell(id, |ask| {
            let waits = ask.kind == Kind::Cry && ask.header.wants_default_response();
            waits.then(|| ask.header.default_response(Status::SUCCESS))
        })
    }

    fn tell(&mut self, id: AskId, answer: impl FnOnce(&Ask) -> Option<Vec<u8>>) -> Option<ToKeypad> {
        let ask = self.asks.iter_mut().find(|ask| ask.id == id && ask.told.is_none())?;
        let told = answer(ask)?;
        ask.told = Some(told.clone());
        Some((ask.from, told))
    }

    /// Time has passed: what keypads are told that have waited long enough.
    pub fn tick(&mut self, now_ms: u64) -> Vec<ToKeypad> {
        let mut out = Vec::new();
        for ask in self.asks.iter_mut().filter(|ask| ask.due_ms().is_some_and(|due| due <= now_ms)) {
            ask.told = ask.no_answer();
            out.extend(ask.told.clone().map(|told| (ask.from, told)));
        }
        self.forget_old(now_ms);
        out
    }

    /// When [`Self::tick`] has something to do, ms.
    pub fn due_ms(&self) -> Option<u64> {
        self.asks.iter().filter_map(Ask::due_ms).min()
    }

    fn forget_old(&mut self, now_ms: u64) {
        let old = |ask: &mut Ask| ask.at_ms + REMEMBERED_MS <= now_ms && ask.due_ms().is_none();
        while self.asks.pop_front_if(old).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zigbee::bytes::from_hex;
    use crate::zigbee::ias::ZoneStatus;
    use crate::zigbee::ias::ZoneType;

    const HALL: KeypadAt = (Eui64(0x000D_6F00_134F_6139), 1);
    const DAY: &str = "014E00010431323334 00";
    const EXIT: View = View {
        status: PanelStatus::ExitDelay,
        seconds_remaining: 30,
        audible: Audible::DefaultSound,
        alarm: AlarmStatus::NoAlarm,
    };
    const AWAY: View = View {
        status: PanelStatus::ArmedAway,
        seconds_remaining: 0,
        audible: Audible::Mute,
        alarm: AlarmStatus::NoAlarm,
    };

    fn says(keypads: &mut Keypads, hex: &str, repeat: bool, now_ms: u64) -> Heard {
        let bytes = from_hex(&hex.replace(' ', "")).unwrap();
        let reader = &mut Reader::new(&bytes).unwrap();
        let header = Header::parse(reader).unwrap();
        let zones = [Zone {
            id: 3,
            zone_type: ZoneType::Contact,
            address: Eui64(1),
            label: "Door".into(),
            status: ZoneStatus(1),
            bypassed: true,
        }];
        keypads.heard(HALL, &header, reader, repeat, &zones, now_ms).unwrap()
    }

    fn asked(heard: Heard) -> Asked {
        let Heard::Asked(asked) = heard else { panic!("{heard:?} is no question") };
        asked
    }

    #[test]
    fn a_panel_is_told_when_it_changes_and_counts_down_by_itself() {
        let mut keypads = Keypads::new(0);
        assert_eq!(keypads.show(HALL, EXIT, 1, 0), Some(vec![0x19, 1, 4, 4, 30, 1, 0]));
        for s in 1..=30u16 {
            let view = View { seconds_remaining: 30 - s, ..EXIT };
            assert_eq!(keypads.show(HALL, view, 2, u64::from(s) * 1_000 + 400), None, "second {s}");
        }
        assert_eq!(says(&mut keypads, "013C07", false, 20_500), Heard::Answer(vec![0x19, 0x3C, 5, 4, 10, 1, 0]));
        assert_eq!(keypads.show(HALL, EXIT, 3, 25_000), Some(vec![0x19, 3, 4, 4, 30, 1, 0]), "begun anew");
        assert_eq!(
            keypads.show(HALL, View { audible: Audible::Mute, ..EXIT }, 4, 25_000),
            Some(vec![0x19, 4, 4, 4, 30, 0, 0])
        );
        assert_eq!(keypads.show(HALL, AWAY, 5, 55_000), Some(vec![0x19, 5, 4, 3, 0, 0, 0]));
        assert_eq!(keypads.show(HALL, AWAY, 6, 999_000), None);
        let alarm = View { alarm: AlarmStatus::Burglar, status: PanelStatus::InAlarm, ..AWAY };
        assert_eq!(keypads.show(HALL, alarm, 7, 999_000), Some(vec![0x19, 7, 4, 7, 0, 0, 1]));
        keypads.forget(HALL.0);
        assert!(keypads.show(HALL, alarm, 8, 999_000).is_some(), "it has begun anew and knows nothing");
    }

    #[test]
    fn a_panel_nobody_knows_is_not_ready_and_never_disarmed() {
        let mut keypads = Keypads::new(0);
        assert_eq!(says(&mut keypads, "013C07", false, 0), Heard::Answer(vec![0x19, 0x3C, 5, 6, 0, 0, 0]));
        for one in 0..KEYPADS_MAX as u64 {
            assert!(keypads.show((Eui64(one), 1), AWAY, 1, 0).is_some());
        }
        assert_eq!(keypads.show(HALL, View { status: PanelStatus::PanelDisarmed, ..AWAY }, 1, 0), None);
        assert_eq!(says(&mut keypads, "013C07", false, 0), Heard::Answer(vec![0x19, 0x3C, 5, 6, 0, 0, 0]));
    }

    #[test]
    fn an_arm_is_asked_once_and_answered_as_often_as_it_is_heard() {
        let mut keypads = Keypads::new(7);
        let question = asked(says(&mut keypads, DAY, false, 0));
        assert_eq!((question.id, question.from), (7, HALL));
        let Want::Arm { mode: ArmMode::ArmDayHomeZonesOnly, code: Some(code), zone_id: Some(0) } = question.want else {
            panic!("{question:?}")
        };
        assert_eq!(code.reveal(), "1234");
        assert_eq!(says(&mut keypads, DAY, true, 300), Heard::Waits);
        let answer = vec![0x19, 0x4E, 0, 1];
        assert_eq!(keypads.answered(7, ArmNotification::OnlyDayHomeZonesArmed), Some((HALL, answer.clone())));
        assert_eq!(says(&mut keypads, DAY, true, 600), Heard::Answer(answer));
        assert_eq!(keypads.answered(7, ArmNotification::NotReadyToArm), None, "it has its answer");
        assert_eq!(asked(says(&mut keypads, DAY, false, 900)).id, 8, "the same code typed twice means something else");
        assert_eq!((keypads.due_ms(), keypads.tick(100_000).len()), (Some(900 + ANSWER_MS), 1));
        assert_eq!(asked(says(&mut keypads, DAY, true, 100_001)).id, 9, "what is forgotten is asked");
    }

    #[test]
    fn who_gets_no_answer_is_told_not_ready_and_a_late_one_is_dropped() {
        let mut keypads = Keypads::new(0);
        let question = asked(says(&mut keypads, DAY, false, 1_000));
        assert_eq!((keypads.due_ms(), keypads.tick(2_799)), (Some(2_800), vec![]));
        let not_ready = vec![0x19, 0x4E, 0, 5];
        assert_eq!(keypads.tick(2_800), [(HALL, not_ready.clone())]);
        assert_eq!((keypads.due_ms(), keypads.tick(7_000)), (None, vec![]));
        assert_eq!(keypads.answered(question.id, ArmNotification::AllZonesArmed), None);
        assert_eq!(says(&mut keypads, DAY, true, 8_000), Heard::Answer(not_ready));
        assert!(keypads.show(HALL, AWAY, 1, 8_000).is_some(), "the panel follows all the same");

        let question = asked(says(&mut keypads, "01 50 01 02 0304 04 31323334", false, 20_000));
        assert_eq!(keypads.tick(25_000), [(HALL, vec![0x19, 0x50, 7, 2, 1, 1])]);
        assert_eq!(keypads.bypassed(question.id, &[]), None);
    }

    #[test]
    fn a_cry_for_help_is_confirmed_when_it_is_safe_and_never_before() {
        let mut keypads = Keypads::new(0);
        for (hex, want) in [("015102", Want::Emergency), ("015203", Want::Fire), ("015304", Want::Panic)] {
            let question = asked(says(&mut keypads, hex, false, 0));
            assert_eq!(question.want, want);
            assert_eq!((keypads.due_ms(), keypads.tick(9_000)), (None, vec![]));
            let (tsn, command) = (from_hex(hex).unwrap()[1], from_hex(hex).unwrap()[2]);
            let safe = vec![0x18, tsn, 0x0B, command, 0];
            assert_eq!(keypads.recorded(question.id), Some((HALL, safe.clone())));
            assert_eq!(says(&mut keypads, hex, true, 9_500), Heard::Answer(safe));
        }
        let question = asked(says(&mut keypads, "115404", false, 20_000));
        assert_eq!(keypads.recorded(question.id), None, "it wants no Default Response");
    }

    #[test]
    fn bypasses_have_a_result_for_each_zone_and_answers_fit_their_question() {
        let mut keypads = Keypads::new(0);
        let question = asked(says(&mut keypads, "01 50 01 02 0304 04 31323334", false, 0));
        assert_eq!(keypads.answered(question.id, ArmNotification::AllZonesDisarmed), None, "another question's answer");
        let told = keypads.bypassed(question.id, &[BypassResult::ZoneBypassed]);
        assert_eq!(told, Some((HALL, vec![0x19, 0x50, 7, 2, 0, 1])));
    }

    #[test]
    fn zones_are_served_from_the_table() {
        let mut keypads = Keypads::new(0);
        let Heard::Answer(map) = says(&mut keypads, "010105", false, 0) else { panic!() };
        assert_eq!((map.len(), map[3]), (35, 0b1000));
        let info =
            Heard::Answer(from_hex("1901020315000100000000000000 04446F6F72".replace(' ', "").as_str()).unwrap());
        assert_eq!(says(&mut keypads, "01010603", false, 0), info);
        assert_eq!(says(&mut keypads, "01010604", false, 0), Heard::Answer(vec![0x18, 1, 0x0B, 6, 0x8B]));
        assert_eq!(says(&mut keypads, "010108", false, 0), Heard::Answer(vec![0x19, 1, 6, 1, 3]));
        assert_eq!(says(&mut keypads, "01010900FF000000", false, 0), Heard::Answer(vec![0x19, 1, 8, 1, 1, 3, 1, 0]));
    }

    #[test]
    fn who_hammers_a_keypad_hears_not_ready_and_crowds_out_no_cry() {
        let mut keypads = Keypads::new(0);
        for tsn in 0..ASKS_EACH_MAX {
            asked(says(&mut keypads, &format!("01{tsn:02X}000004 31323334 00"), false, 0));
        }
        assert_eq!(says(&mut keypads, "0155000004 31323334 00", false, 1), Heard::Answer(vec![0x19, 0x55, 0, 5]));
        assert_eq!(asked(says(&mut keypads, "015604", false, 2)).want, Want::Panic);
        assert_eq!(keypads.tick(ANSWER_MS).len(), ASKS_EACH_MAX);
        keypads.tick(REMEMBERED_MS);
        asked(says(&mut keypads, "0155000004 31323334 00", false, REMEMBERED_MS));
    }
}
