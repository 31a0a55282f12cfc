//! The twin's keypads, sirens, locks and switches as a host meets them, byte for byte over its stick, in virtual time.
//! Expected bytes are the standard's and, where named, captured ones (zigbee.md §3b).
#![allow(clippy::unwrap_used)] // a test that cannot go on must fail

mod sim {
    pub mod ncp_host;
}

use sim::ncp_host::Host;
use sim::ncp_host::ms;
use std::time::Duration;
use vakt_integration::twins::ncp::bytes::Writer;
use vakt_integration::twins::ncp::frames::id;
use vakt_integration::twins::ncp::function::Deed;
use vakt_integration::twins::ncp::habits::Habits;
use vakt_integration::twins::ncp::habits::Kind;
use vakt_integration::twins::ncp::hex;
use vakt_integration::twins::ncp::keypad::Key;
use vakt_integration::twins::ncp::keypad::Keypad;
use vakt_integration::twins::ncp::lock::Bolt;
use vakt_integration::twins::ncp::lock::Door;
use vakt_integration::twins::ncp::lock::Hand;
use vakt_integration::twins::ncp::lock::Lock;
use vakt_integration::twins::ncp::lock_table::Means;
use vakt_integration::twins::ncp::orders;
use vakt_integration::twins::ncp::orders::Order;
use vakt_integration::twins::ncp::siren::Siren;
use vakt_integration::twins::ncp::switch::Switch;

const ACE: u16 = 0x0501;
const WD: u16 = 0x0502;
const LOCK: u16 = 0x0101;
const ALARMS: u16 = 0x0009;
const ON_OFF: u16 = 0x0006;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A host with one device of this kind in its network, bound for these clusters.
struct Site(Host);

impl Site {
    fn with(habits: Habits, bound: &[u16]) -> Self {
        let mut host = Host::formed(13);
        host.ask(0x0022, &[60]);
        host.ncp.add("it", habits, None).unwrap();
        host.ncp.join(host.now, "it").unwrap();
        host.run(ms(300));
        let mut site = Self(host);
        bound.iter().for_each(|cluster| site.bind(*cluster));
        site.0.heard.clear();
        site
    }

    fn of(kind: Kind, bound: &[u16]) -> Self {
        Self::with(Habits::of(kind), bound)
    }

    fn place(&self) -> (u16, u8) {
        let device = self.0.ncp.device("it").unwrap();
        (device.node.unwrap(), device.habits.endpoint)
    }

    fn bind(&mut self, cluster: u16) {
        let (node, endpoint) = self.place();
        let eui = self.0.ncp.device("it").unwrap().eui;
        let hub = self.0.ncp.memory().address();
        let out = Writer::new().u8(1).eui(eui).u8(endpoint).u16(cluster).u8(3).eui(hub).u8(1);
        assert_eq!(self.0.unicast(node, 0, 0x0021, &out.done()), 0);
        self.run(ms(500));
    }

    /// Sends a ZCL frame and lets it arrive and be answered.
    fn zcl(&mut self, cluster: u16, payload: &[u8]) {
        let place = self.place();
        assert_eq!(self.0.unicast_to(place, 0x0104, cluster, payload, 0x1140), 0);
        self.run(ms(1200));
    }

    fn run(&mut self, time: Duration) {
        self.0.run(time);
    }

    /// What it said since it was last asked, of this cluster.
    fn said(&mut self, cluster: u16) -> Vec<String> {
        let messages = self.0.callbacks(id::INCOMING).into_iter().filter(|body| body[3..5] == cluster.to_le_bytes());
        let said = messages.map(|body| hex(&body[19..])).collect();
        self.0.heard.clear();
        said
    }

    fn types(&mut self, key: Key) {
        self.0.ncp.types(self.0.now, "it", key).unwrap();
        self.run(ms(100));
    }

    fn hand(&mut self, hand: Hand) {
        self.0.ncp.hand(self.0.now, "it", &Deed::Hand(hand)).unwrap();
        self.run(ms(100));
    }

    fn keypad(&mut self) -> &mut Keypad {
        self.0.ncp.keypad("it").unwrap()
    }

    fn siren(&mut self) -> &mut Siren {
        self.0.ncp.siren("it").unwrap()
    }

    fn lock(&mut self) -> &mut Lock {
        self.0.ncp.lock("it").unwrap()
    }

    fn switch(&mut self) -> &mut Switch {
        self.0.ncp.switch("it").unwrap()
    }

    /// The sequence number of the last frame it said.
    fn sequence(said: &[String]) -> u8 {
        u8::from_str_radix(&said.last().unwrap()[2..4], 16).unwrap()
    }

    fn order(&mut self, line: &str) -> String {
        match orders::follow(&mut self.0.ncp, self.0.now, line) {
            Ok(Order::Done(answer)) => answer,
            Ok(other) => format!("{other:?}"),
            Err(error) => format!("error: {error}"),
        }
    }
}

#[test]
fn each_describes_itself_as_what_it_is() {
    // Simple descriptors: endpoint, profile, device, version, inputs, outputs.
    for (kind, wanted) in [
        (Kind::Keypad, "2c0401010400060000010003002000 0005 050b 021900 0105"),
        (Kind::Siren, "0104010304000700000100030020000005050b0205011900"),
        (Kind::Lock, "0104010a0000070000010003002000050b09000101011900"),
        (Kind::Plug, "01040151000004000003 00050b 0600 011900"),
    ] {
        let mut site = Site::of(kind, &[]);
        let (node, endpoint) = site.place();
        let request = Writer::new().u8(9).u16(node).u8(endpoint).done();
        site.0.unicast(node, 0, 0x0004, &request);
        site.run(ms(500));
        let said = site.said(0x8004);
        assert_eq!(said[0][10..], wanted.replace(' ', ""), "{kind:?}");
    }
}

#[test]
fn a_code_is_typed_and_the_keypad_shows_what_the_hub_made_of_it() {
    let mut site = Site::of(Kind::Keypad, &[ACE]);
    site.order("habit it patience=10000");
    // A captured keypad's arm day with "1234" (12).
    site.types(Key::Arm(1, "1234".to_owned(), 0));
    let said = site.said(ACE);
    assert_eq!((said.len(), &said[0][..2], &said[0][4..]), (1, "01", "00010431323334 00".replace(' ', "").as_str()));
    let sequence = Site::sequence(&said);
    // Another question's number is no answer to this one.
    site.zcl(ACE, &[0x09, sequence.wrapping_add(1), 0x00, 1]);
    assert_eq!((site.keypad().display.arm, site.keypad().display.strays), (None, 1));
    // A Default Response says only that the question came.
    site.zcl(ACE, &[0x18, sequence, 0x0B, 0x00, 0x00]);
    assert_eq!((site.keypad().display.arm, site.keypad().display.confirmed), (None, Some((0, 0))));
    site.zcl(ACE, &[0x19, sequence, 0x00, 1]);
    assert_eq!(site.keypad().display.arm, Some(1));
    site.zcl(ACE, &[0x09, 0x40, 0x04, 8, 30, 1, 0]);
    let said = site.said(ACE);
    assert_eq!(said.last().map(String::as_str), Some("10400b0400"), "the Default Response, as a client's");
    let panel = site.keypad().display.panel.unwrap();
    assert_eq!((panel.status, panel.seconds, panel.audible, panel.alarm), (8, 30, 1, 0));
    assert_eq!(panel.left(panel.at + s(12)), 18);
    site.zcl(ACE, &[0x19, 0x41, 0x04, 7, 0, 1, 1]);
    assert!(site.said(ACE).is_empty(), "none was wanted");
    // What there is no such status for is refused, and the display stays.
    site.zcl(ACE, &[0x19, 0x42, 0x04, 0x0B, 0, 1, 1]);
    site.zcl(ACE, &[0x19, 0x43, 0x04, 0]);
    assert_eq!(site.said(ACE), ["10420b0487", "10430b0480"]);
    assert_eq!((site.keypad().display.panel.unwrap().status, site.keypad().display.nonsense), (7, 2));
}

#[test]
fn a_hand_wakes_the_keypad_which_asks_and_shows_an_error_two_seconds_later() {
    let mut site = Site::of(Kind::Keypad, &[ACE]);
    site.run(s(120));
    site.types(Key::Arm(0, "1111".to_owned(), 0));
    site.run(ms(300));
    let said = site.said(ACE);
    assert_eq!(said.iter().map(|said| &said[4..6]).collect::<Vec<_>>(), ["07", "00"], "it asks, then it tells");
    let asked = u8::from_str_radix(&said[0][2..4], 16).unwrap();
    assert!(!site.keypad().display.error);
    site.run(ms(1500));
    assert!(!site.keypad().display.error, "two seconds are not over");
    site.run(ms(800));
    assert_eq!((site.keypad().display.error, site.keypad().display.errors), (true, 2));
    // Too late is no answer.
    site.zcl(ACE, &[0x19, asked, 0x05, 0, 0, 0, 0]);
    assert!(site.keypad().display.error && site.keypad().display.panel.is_none());
    site.types(Key::Wake);
    let asked = Site::sequence(&site.said(ACE));
    site.zcl(ACE, &[0x19, asked, 0x05, 0, 0, 0, 0]);
    assert!(!site.keypad().display.error && site.keypad().display.panel.is_some());
}

#[test]
fn an_emergency_goes_out_repeated_is_in_the_log_and_may_be_confirmed() {
    let mut site = Site::with(Habits { repeats: 2, ..Habits::of(Kind::KeyFob) }, &[ACE]);
    site.types(Key::Emergency);
    site.run(ms(200));
    let said = site.said(ACE);
    assert_eq!((said.len(), &said[0][4..]), (3, "02"));
    assert!(said.iter().all(|again| *again == said[0]), "one press, one number");
    let sequence = Site::sequence(&said);
    site.zcl(ACE, &[0x18, sequence, 0x0B, 0x02, 0x00]);
    assert_eq!(site.keypad().display.confirmed, Some((2, 0)));
    let log = site.0.ncp.log().notices();
    assert_eq!((log.len(), log[0].cluster, log[0].sendings.len()), (1, ACE, 3));
    assert!(log[0].acked() && log[0].default_response.is_some());
    // Nobody answers the next: no LED for what has no answer of its own.
    site.types(Key::Panic);
    site.run(s(5));
    assert!(!site.keypad().display.error);
}

#[test]
fn what_is_not_bound_is_not_told() {
    let mut site = Site::of(Kind::Keypad, &[]);
    site.types(Key::Arm(3, "1234".to_owned(), 0));
    site.run(s(3));
    assert!(site.said(ACE).is_empty() && site.0.ncp.log().notices().is_empty());
    assert!(site.keypad().display.error, "and the person sees it");
}

#[test]
fn zones_are_asked_for_and_left_out() {
    let mut site = Site::of(Kind::Keypad, &[ACE]);
    site.types(Key::Bypass(vec![3, 4], "12".to_owned()));
    let said = site.said(ACE);
    assert_eq!(said[0][4..], *"01020304023132");
    site.zcl(ACE, &[0x19, Site::sequence(&said), 0x07, 2, 0, 4]);
    assert_eq!(site.keypad().display.bypass, Some(vec![0, 4]));
    site.types(Key::ZoneInfo(3));
    let sequence = Site::sequence(&site.said(ACE));
    site.zcl(ACE, &[0x19, sequence, 0x02, 3, 0x15, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, b'h', b'i']);
    assert_eq!(site.keypad().display.zone, Some((3, 0x15, 1, "hi".to_owned())));
    site.types(Key::ZoneStatus(0, 5, 0x0001));
    let said = site.said(ACE);
    assert_eq!(said[0][4..], *"090005010100");
    site.zcl(ACE, &[0x19, Site::sequence(&said), 0x08, 1, 1, 3, 0x21, 0]);
    assert_eq!(site.keypad().display.zone_status, Some((true, vec![(3, 0x21)])));
}

#[test]
fn a_siren_sounds_as_told_and_stops_by_itself() {
    let mut site = Site::of(Kind::Siren, &[]);
    // Burglar, strobe, very high, 60 s.
    site.zcl(WD, &[0x01, 5, 0x00, 0x17, 60, 0, 50, 1]);
    assert_eq!(site.said(WD), ["18050b0000"]);
    let now = site.0.now;
    let sound = site.siren().sounds(now).unwrap();
    assert_eq!((sound.mode, sound.level, sound.strobe, sound.duty), (1, 3, true, 50));
    assert_eq!(sound.until - sound.since, s(60));
    // No squawk while it sounds.
    site.zcl(WD, &[0x11, 6, 0x01, 0x0B]);
    assert_eq!(site.siren().squawks, [0, 0]);
    site.run(s(60));
    let now = site.0.now;
    assert_eq!(site.siren().sounds(now), None);
    site.zcl(WD, &[0x11, 7, 0x01, 0x0B]);
    site.zcl(WD, &[0x11, 8, 0x01, 0x13]);
    assert_eq!(site.siren().squawks, [1, 1]);
    // MaxDuration holds whatever is asked for: 240 s as it comes, 10 s when it was written.
    site.zcl(WD, &[0x00, 9, 0x00, 0x00, 0x00]);
    site.zcl(WD, &[0x00, 10, 0x02, 0x00, 0x00, 0x21, 10, 0]);
    assert_eq!(site.said(WD), ["1809010000002 1f000".replace(' ', ""), "180a0400".to_owned()]);
    site.zcl(WD, &[0x11, 11, 0x00, 0x10, 0xFF, 0xFF, 0, 0]);
    site.run(s(9));
    let now = site.0.now;
    assert_eq!(site.siren().sounds(now), None);
    // There is no seventh mode, and three bytes are no warning.
    site.zcl(WD, &[0x11, 12, 0x00, 0x70, 5, 0, 0, 0]);
    site.zcl(WD, &[0x11, 13, 0x00, 0x10, 5, 0]);
    assert_eq!(site.said(WD), ["180c0b0085", "180d0b0080"]);
}

#[test]
fn a_siren_that_misses_a_stop_says_nothing_and_sounds_on() {
    let mut site = Site::of(Kind::Siren, &[]);
    site.order("habit it misses_stop=2 refuses_strobe=yes");
    site.zcl(WD, &[0x01, 5, 0x00, 0x17, 60, 0, 50, 1]);
    assert_eq!(site.said(WD), ["18050b0085"], "no light, no warning");
    site.zcl(WD, &[0x01, 6, 0x00, 0x13, 60, 0, 0, 0]);
    site.said(WD);
    site.zcl(WD, &[0x01, 7, 0x00, 0x00, 0, 0, 0, 0]);
    let now = site.0.now;
    assert!(site.said(WD).is_empty() && site.siren().sounds(now).is_some());
    site.zcl(WD, &[0x01, 8, 0x00, 0x00, 0, 0, 0, 0]);
    let now = site.0.now;
    assert!(site.siren().sounds(now).is_none());
    assert_eq!(site.said(WD), ["18080b0000"]);
}

/// Writes a mask of the lock.
fn mask(site: &mut Site, attribute: u8, value: u16) {
    let [low, high] = value.to_le_bytes();
    site.zcl(LOCK, &[0x10, 0x70, 0x02, attribute, 0, 0x19, low, high]);
    assert_eq!(site.said(LOCK), ["18700400"]);
}

#[test]
fn a_lock_answers_moves_reports_and_tells_by_its_mask() {
    let mut site = Site::of(Kind::Lock, &[LOCK]);
    site.zcl(LOCK, &[0x00, 1, 0x06, 0, 0x00, 0x00, 0x30, 0, 0, 0xFF, 0xFF]);
    assert_eq!(site.said(LOCK), ["18010700"]);
    let lock = |site: &mut Site, sequence| {
        let place = site.place();
        site.0.unicast_to(place, 0x0104, LOCK, &[0x01, sequence, 0x00], 0x1140);
        site.run(ms(300));
    };
    lock(&mut site, 2);
    assert_eq!(site.said(LOCK), ["19020000"]);
    assert_eq!(site.lock().bolt, Bolt::Between, "it has said yes, and is on its way");
    site.run(s(1));
    assert_eq!(site.lock().bolt, Bolt::Locked);
    let said = site.said(LOCK);
    assert_eq!((said.len(), &said[0][..2], &said[0][4..]), (1, "18", "0a00003001"), "no mask, no event");
    mask(&mut site, 0x42, 0xFFFF);
    site.zcl(LOCK, &[0x01, 3, 0x01]);
    let said = site.said(LOCK);
    assert_eq!(
        said.iter().map(|said| &said[4..]).collect::<Vec<_>>(),
        ["0100", "0a00003002", "200102ffff00ffffffff00"]
    );
    site.zcl(LOCK, &[0x00, 4, 0x00, 0, 0, 0x17, 0, 0x34, 0]);
    assert_eq!(site.said(LOCK), ["18040100000030021700002008340000 3000".replace(' ', "")]);
}

#[test]
fn a_user_opens_with_the_code_the_hub_gave_him() {
    let mut site = Site::of(Kind::Lock, &[LOCK]);
    // The captured keypad unlock of user 1 (15) came at this local time, and its lock told no codes.
    let local = u32::from_le_bytes([0x93, 0x61, 0xD1, 0x12]);
    let started = u32::try_from(site.0.now.as_secs()).unwrap();
    site.lock().habits.clock = Some(local - started - 3);
    site.lock().bolt = Bolt::Locked;
    mask(&mut site, 0x41, 0xFFFF);
    site.zcl(LOCK, &[0x01, 5, 0x05, 1, 0, 1, 0, 4, b'4', b'3', b'2', b'1']);
    assert_eq!(site.said(LOCK), ["19050500"]);
    site.hand(Hand::Show(Means::Pin, "4321".to_owned(), false));
    site.run(s(1));
    let said = site.said(LOCK);
    assert_eq!(said[0][4..], *"20000201000 09361d11200".replace(' ', ""));
    // A wrong code, a disabled user's, and after five in a row the keypad is blind.
    site.zcl(LOCK, &[0x01, 6, 0x09, 1, 0, 3]);
    site.said(LOCK);
    site.hand(Hand::Show(Means::Pin, "9999".to_owned(), false));
    site.hand(Hand::Show(Means::Pin, "4321".to_owned(), false));
    let codes: Vec<String> = site.said(LOCK).iter().map(|said| said[6..14].to_owned()).collect();
    assert_eq!(codes, ["0005ffff", "00050100"]);
    (0..5).for_each(|_| site.hand(Hand::Show(Means::Pin, "9999".to_owned(), true)));
    assert_eq!(site.lock().alarms.back().map(|alarm| alarm.0), Some(4));
    assert_eq!(site.said(LOCK).len(), 3, "then it does not listen");
}

#[test]
fn a_code_that_is_set_is_told_as_the_captured_lock_told_it() {
    let mut site = Site::of(Kind::Lock, &[LOCK]);
    mask(&mut site, 0x46, 0xFFFF);
    site.zcl(LOCK, &[0x10, 5, 0x02, 0x32, 0, 0x10, 1]);
    site.said(LOCK);
    site.zcl(LOCK, &[0x01, 6, 0x05, 3, 0, 1, 0, 4, b'1', b'2', b'3', b'4']);
    let said = site.said(LOCK);
    // ID Lock's (16), without its own data behind the time.
    assert_eq!(said[0], "19060500");
    assert_eq!(said[1][4..], *"21010203000431323334 0001ffffffff00".replace(' ', ""));
    site.zcl(LOCK, &[0x01, 7, 0x06, 3, 0]);
    assert_eq!(site.said(LOCK), ["190706030001000431323334"]);
    // Back to the factory: nobody is left, the network stays, and the masks are clear.
    site.hand(Hand::FactoryReset);
    site.zcl(LOCK, &[0x01, 8, 0x06, 3, 0]);
    assert_eq!(site.said(LOCK), ["190806030000ff00"]);
    assert_eq!(site.lock().alarms.back().map(|alarm| alarm.0), Some(1));
}

#[test]
fn a_lock_that_wants_a_code_says_no_without_one() {
    let mut site = Site::of(Kind::Lock, &[LOCK]);
    site.order("habit it needs_pin=yes");
    site.order("teach it pin 2 2468");
    mask(&mut site, 0x42, 0xFFFF);
    site.lock().bolt = Bolt::Locked;
    site.zcl(LOCK, &[0x01, 5, 0x01]);
    site.zcl(LOCK, &[0x01, 6, 0x01, 4, b'1', b'1', b'1', b'1']);
    let said: Vec<String> = site.said(LOCK).iter().map(|said| said[4..].to_owned()).collect();
    assert_eq!(said, ["0101", "200105ffff00ffffffff00", "0101", "200105ffff00ffffffff00"]);
    assert_eq!(site.lock().bolt, Bolt::Locked);
    site.zcl(LOCK, &[0x01, 7, 0x01, 4, b'2', b'4', b'6', b'8']);
    assert_eq!(site.lock().bolt, Bolt::Unlocked);
    let said: Vec<String> = site.said(LOCK).iter().map(|said| said[4..].to_owned()).collect();
    assert_eq!(said, ["0100", "200102020000ffffffff00"]);
}

#[test]
fn liars_slow_ones_and_jams() {
    let mut site = Site::of(Kind::Lock, &[LOCK, ALARMS]);
    mask(&mut site, 0x40, 0xFFFF);
    site.order("habit it lies=yes");
    site.zcl(LOCK, &[0x01, 5, 0x00]);
    site.run(s(3));
    assert_eq!((site.said(LOCK), site.lock().bolt), (vec!["19050000".to_owned()], Bolt::Unlocked));
    site.order("habit it lies=no slow=6000");
    site.zcl(LOCK, &[0x01, 6, 0x00]);
    site.run(ms(4500));
    assert!(site.said(LOCK).is_empty());
    site.run(s(2));
    assert_eq!((site.said(LOCK), site.lock().bolt), (vec!["19060000".to_owned()], Bolt::Locked));
    site.order("habit it slow=0 jams=yes");
    site.zcl(LOCK, &[0x01, 7, 0x01]);
    site.run(s(1));
    assert_eq!(site.lock().bolt, Bolt::Between);
    let alarms = site.said(ALARMS);
    assert_eq!((alarms.len(), &alarms[0][..2], &alarms[0][4..]), (1, "09", "00000101"));
    site.zcl(LOCK, &[0x00, 8, 0x00, 0, 0]);
    assert_eq!(site.said(LOCK), ["1808010000003000"]);
    // By hand it moves, and tampering is told the same way.
    site.hand(Hand::Turn(true));
    assert_eq!(site.lock().bolt, Bolt::Locked);
    site.order("tamper it");
    site.run(ms(100));
    site.hand(Hand::Door(true));
    assert_eq!(site.lock().door, Door::Forced);
    let alarms: Vec<String> = site.said(ALARMS).iter().map(|said| said[4..].to_owned()).collect();
    assert_eq!(alarms, ["00050101", "00060101"]);
}

#[test]
fn it_locks_itself_again_but_not_with_the_door_open() {
    let mut site = Site::of(Kind::Lock, &[LOCK]);
    mask(&mut site, 0x43, 0xFFFF);
    site.zcl(LOCK, &[0x10, 5, 0x02, 0x23, 0, 0x23, 5, 0, 0, 0]);
    site.hand(Hand::Turn(true));
    site.hand(Hand::Turn(false));
    site.hand(Hand::Door(true));
    site.run(s(10));
    assert_eq!(site.lock().bolt, Bolt::Unlocked);
    site.hand(Hand::Door(false));
    site.run(s(1));
    assert_eq!(site.lock().bolt, Bolt::Locked);
    let events: Vec<String> = site.said(LOCK).iter().skip(1).map(|said| said[6..10].to_owned()).collect();
    assert_eq!(events, ["020d", "020e", "020a"], "thumb turn, thumb turn, itself");
    // With a timeout it opens for so long.
    site.zcl(LOCK, &[0x10, 6, 0x02, 0x23, 0, 0x23, 0, 0, 0, 0]);
    site.zcl(LOCK, &[0x01, 7, 0x03, 3, 0]);
    site.run(s(1));
    assert_eq!(site.lock().bolt, Bolt::Unlocked);
    site.run(s(4));
    assert_eq!(site.lock().bolt, Bolt::Locked);
}

#[test]
fn a_secured_lock_obeys_only_what_is_encrypted_for_it() {
    let mut site = Site::of(Kind::Lock, &[LOCK]);
    site.order("habit it secured=yes");
    site.zcl(LOCK, &[0x01, 5, 0x00]);
    assert_eq!((site.said(LOCK), site.lock().bolt), (vec!["18050b007e".to_owned()], Bolt::Unlocked));
    let place = site.place();
    site.0.unicast_to(place, 0x0104, LOCK, &[0x01, 6, 0x00], 0x1160);
    site.run(s(2));
    assert_eq!(site.lock().bolt, Bolt::Locked);
    let options = site.0.callbacks(id::INCOMING).last().map(|body| body[7..9].to_vec());
    assert_eq!(options, Some(vec![0x60, 0x01]), "and so is what it says");
}

#[test]
fn a_relay_is_on_for_a_time_and_one_that_lies_can_be_found_out() {
    let mut site = Site::of(Kind::Relay, &[ON_OFF]);
    site.zcl(ON_OFF, &[0x00, 1, 0x06, 0, 0x00, 0x00, 0x10, 0, 0, 0xFF, 0xFF]);
    site.said(ON_OFF);
    // On with timed off: 3 s.
    site.zcl(ON_OFF, &[0x01, 2, 0x42, 0, 30, 0, 0, 0]);
    assert!(site.switch().on);
    site.run(s(2));
    assert!(!site.switch().on);
    let said: Vec<String> = site.said(ON_OFF).iter().map(|said| said[4..].to_owned()).collect();
    assert_eq!(said, ["0b4200", "0a00001001", "0a00001000"]);
    site.order("habit it lies=yes");
    site.zcl(ON_OFF, &[0x01, 3, 0x01]);
    site.zcl(ON_OFF, &[0x00, 4, 0x00, 0, 0]);
    assert_eq!(site.said(ON_OFF), ["18030b0100", "1804010000001000"]);
    site.order("habit it lies=no");
    site.zcl(ON_OFF, &[0x11, 5, 0x02]);
    assert_eq!(site.order("press it button"), "");
    site.run(ms(100));
    let said: Vec<String> = site.said(ON_OFF).iter().map(|said| said[4..].to_owned()).collect();
    assert_eq!(said, ["0a00001001", "0a00001000"], "no Default Response where none is wanted");
    site.zcl(ON_OFF, &[0x11, 6, 0x50]);
    assert_eq!(site.said(ON_OFF), ["18060b5081"]);
}

#[test]
fn orders_for_functions_are_followed_or_refused() {
    let mut site = Site::of(Kind::Keypad, &[ACE]);
    assert_eq!(site.order("arm it night 2580"), "");
    site.run(ms(100));
    assert_eq!(site.said(ACE)[0][4..], *"00020432353830 00".replace(' ', ""));
    let shown: serde_json::Value = serde_json::from_str(&site.order("show it")).unwrap();
    assert_eq!((shown["error"].as_bool(), shown["arm"].is_null()), (Some(false), true));
    assert_eq!(site.order("turn it lock"), "error: \"it\" is no lock");
    assert_eq!(site.order("arm it sideways -"), "error: \"sideways\" is no disarm, day, night or all");
    assert_eq!(site.order("habit it lies=yes"), "error: \"lies\" is no option of this order");
    assert_eq!(site.order("habit it asks=maybe"), "error: \"maybe\" is no yes or no");
    assert_eq!(site.order("add door lock lies=yes travel=20 sleepy=no").len(), 16);
    assert!(site.0.ncp.lock("door").unwrap().habits.lies && !site.0.ncp.device("door").unwrap().habits.sleepy);
    assert_eq!(site.order("code door unlock"), "error: what is shown is missing");
    let shown: serde_json::Value = serde_json::from_str(&site.order("show door")).unwrap();
    assert_eq!((shown["bolt"].as_str(), shown["door"].as_str()), (Some("unlocked"), Some("closed")));
    assert!(site.order("help").contains("misses_stop"));
}
