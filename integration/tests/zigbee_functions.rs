//! Keypads, sirens, switches: the daemon's host against the stick's twin, in simulated time. What a person sees on the
//! virtual device decides. Nothing here sleeps.

#![allow(clippy::unwrap_used)] // a test that meets the unexpected stops

mod sim {
    #[allow(dead_code)] // other tests use the rest
    pub mod site;
}

use sim::site::Site;
use std::time::Duration;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::event::Act;
use vakt_core::event::EventId;
use vakt_integration::twins::ncp::function::Deed;
use vakt_integration::twins::ncp::habits::Habits;
use vakt_integration::twins::ncp::habits::Kind;
use vakt_integration::twins::ncp::keypad::Key;
use vakt_integration::twins::ncp::lock::Hand;
use vakt_integration::twins::ncp::lock_table::Means;
use vaktd::zigbee::ace::AlarmStatus;
use vaktd::zigbee::ace::ArmMode;
use vaktd::zigbee::ace::ArmNotification;
use vaktd::zigbee::ace::Audible;
use vaktd::zigbee::ace::PanelStatus;
use vaktd::zigbee::acting::Loud;
use vaktd::zigbee::door::Admission;
use vaktd::zigbee::functions::Board;
use vaktd::zigbee::functions::Wish;
use vaktd::zigbee::functions::ZoneView;
use vaktd::zigbee::host::Out;
use vaktd::zigbee::ias::ZoneStatus;
use vaktd::zigbee::interview::Stage;
use vaktd::zigbee::keypad::Asked;
use vaktd::zigbee::keypad::View;
use vaktd::zigbee::keypad::Want;

const S: Duration = Duration::from_secs(1);
/// A sleeper hears at its next poll.
const POLL: Duration = Duration::from_secs(8);

fn joined(version: u8, kind: Kind) -> Site {
    let mut site = Site::new(version, 7);
    site.up();
    joins(&mut site, "it", kind);
    site
}

fn joins(site: &mut Site, name: &str, kind: Kind) {
    site.ncp.add(name, Habits::of(kind), None).unwrap();
    site.progress.clear();
    site.open(180, Admission::Legacy).unwrap();
    site.run(S);
    site.ncp.join(site.now, name).unwrap();
    let stages = site.until_joined();
    assert_eq!(stages.last(), Some(&Stage::Ready), "{kind:?}: {:?}", site.progress);
}

fn view(status: PanelStatus, seconds_remaining: u16) -> View {
    View { status, seconds_remaining, audible: Audible::DefaultSound, alarm: AlarmStatus::NoAlarm }
}

fn shows(keypad: DeviceId, view: View) -> Board {
    Board { views: [(keypad, view)].into(), ..Board::default() }
}

/// What was asked at keypads since the last look.
fn asked(site: &mut Site) -> Vec<Asked> {
    let outs = std::mem::take(&mut site.outs);
    outs.into_iter().filter_map(|out| if let Out::Asked(_, asked, _) = out { Some(asked) } else { None }).collect()
}

fn acted(site: &mut Site) -> Vec<(EventId, Act, Option<String>)> {
    let outs = std::mem::take(&mut site.outs);
    let acted = |out| match out {
        Out::Acted { command, act, error } => Some((command, act, error)),
        _ => None,
    };
    outs.into_iter().filter_map(acted).collect()
}

fn panel(site: &mut Site) -> (u8, u8, u8, u8) {
    let panel = site.ncp.keypad("it").unwrap().display.panel.unwrap();
    (panel.status, panel.seconds, panel.audible, panel.alarm)
}

#[test]
fn each_function_joins_as_what_it_is() {
    for version in [13, 18] {
        for (kind, known) in [
            (Kind::Keypad, Some(DeviceKind::Keypad)),
            (Kind::KeyFob, Some(DeviceKind::Sos)),
            (Kind::Siren, Some(DeviceKind::Siren)),
            (Kind::Lock, Some(DeviceKind::Lock)),
            (Kind::Plug, None),
            (Kind::Relay, None),
        ] {
            let site = joined(version, kind);
            assert_eq!(site.added, [(site.id("it"), known)], "{kind:?} on EZSP {version}");
        }
    }
}

#[test]
fn a_keypad_shows_what_the_panel_says_and_is_answered_at_once() {
    for version in [13, 18] {
        let mut site = joined(version, Kind::Keypad);
        let id = site.id("it");
        // Nobody has said how the panel stands: never "disarmed".
        site.ncp.types(site.now, "it", Key::Wake).unwrap();
        site.run(POLL);
        assert_eq!(panel(&mut site).0, 6, "not ready, on EZSP {version}");
        site.show(shows(id.clone(), view(PanelStatus::ExitDelay, 45)));
        site.run(POLL);
        assert_eq!(panel(&mut site), (4, 45, 1, 0));
        site.show(shows(id.clone(), view(PanelStatus::ExitDelay, 44)));
        site.ncp.clear_log();
        site.run(POLL);
        site.show(shows(id, view(PanelStatus::ArmedAway, 0)));
        site.run(POLL);
        assert_eq!(panel(&mut site).0, 3);
        site.ncp.types(site.now, "it", Key::Wake).unwrap();
        site.run(S * 3);
        let display = &site.ncp.keypad("it").unwrap().display;
        assert_eq!((display.errors, display.nonsense), (0, 0), "its error light stayed dark, on EZSP {version}");
    }
}

#[test]
fn what_is_typed_reaches_the_panel_once_and_its_answer_the_keypad() {
    let mut site = joined(14, Kind::Keypad);
    site.outs.clear();
    site.ncp.types(site.now, "it", Key::Arm(3, "73519".to_owned(), 0)).unwrap();
    site.until(|site| site.outs.iter().any(|out| matches!(out, Out::Asked(..))));
    let all = asked(&mut site);
    let [Asked { id, want: Want::Arm { mode: ArmMode::ArmAllZones, code: Some(code), .. }, .. }] = &all[..] else {
        panic!("{all:?}")
    };
    assert_eq!(code.reveal(), "73519");
    assert!(!format!("{all:?}").contains("73519"), "a code is shown nowhere");
    site.wish(Wish::Armed(*id, ArmNotification::AllZonesArmed));
    site.run(POLL);
    assert_eq!(site.ncp.keypad("it").unwrap().display.arm, Some(3));
    // Nobody answers: whoever stands there is told so, and learns nothing later.
    site.ncp.types(site.now, "it", Key::Arm(0, "73519".to_owned(), 0)).unwrap();
    site.run(S * 8);
    assert_eq!(site.ncp.keypad("it").unwrap().display.arm, Some(5), "not ready");
    let late = asked(&mut site).pop().unwrap().id;
    site.wish(Wish::Armed(late, ArmNotification::AllZonesDisarmed));
    site.run(S * 8);
    assert_eq!(site.ncp.keypad("it").unwrap().display.arm, Some(5));
}

#[test]
fn r88_a_cry_for_help_is_told_once_and_confirmed_when_it_is_recorded() {
    for (key, kind) in
        [(Key::Emergency, DeviceKind::Sos), (Key::Fire, DeviceKind::Keypad), (Key::Panic, DeviceKind::HoldUp)]
    {
        let mut site = joined(13, Kind::Keypad);
        site.forget_reports();
        site.records = false;
        site.ncp.types(site.now, "it", key.clone()).unwrap();
        site.until(|site| site.reports.iter().any(|report| report.state.is_some()));
        let told: Vec<_> = site.reports.iter().filter_map(|report| Some((report.kind, report.state?))).collect();
        assert_eq!(told, [(kind, DeviceState::Alarm)], "{key:?}");
        assert_eq!(site.ncp.keypad("it").unwrap().display.confirmed, None, "nothing is on disk yet");
        site.record_all();
        site.run(POLL);
        let (_, status) = site.ncp.keypad("it").unwrap().display.confirmed.unwrap();
        assert_eq!(status, 0, "{key:?}");
    }
}

#[test]
fn a_keypad_is_told_the_zones_by_their_names() {
    let mut site = Site::new(18, 7);
    site.up();
    joins(&mut site, "door", Kind::Contact);
    joins(&mut site, "it", Kind::Keypad);
    let zone = ZoneView { label: "hall".to_owned(), status: ZoneStatus(1), bypassed: true };
    site.show(Board { zones: [(site.id("door"), zone)].into(), ..Board::default() });
    for key in [Key::ZoneMap, Key::ZoneInfo(0), Key::ZoneInfo(9), Key::Bypassed, Key::ZoneStatus(0, 5, 0)] {
        site.ncp.types(site.now, "it", key).unwrap();
        site.run(S * 2);
    }
    let door = site.ncp.device("door").unwrap().eui.0;
    let display = &site.ncp.keypad("it").unwrap().display;
    assert_eq!(display.zone_map.unwrap()[0], 1);
    assert_eq!(display.zone, Some((0, 0x0015, door, "hall".to_owned())));
    assert_eq!(display.bypassed, Some(vec![0]));
    assert_eq!(display.zone_status, Some((true, vec![(0, 1)])));
}

#[test]
fn b9_a_siren_sounds_until_it_is_told_to_stop_and_stops_by_itself_when_its_hub_has_died() {
    let mut site = joined(13, Kind::Siren);
    let sounds = |site: &mut Site| {
        let now = site.now;
        site.ncp.siren("it").unwrap().sounds(now).map(|sound| sound.mode)
    };
    site.show(Board { loud: Some(Loud::Burglary), ..Board::default() });
    site.run(S);
    assert_eq!(sounds(&mut site), Some(1));
    site.run(S * 900);
    assert_eq!(sounds(&mut site), Some(1), "renewed for a quarter of an hour");
    site.show(Board { loud: Some(Loud::Fire), ..Board::default() });
    site.run(S);
    assert_eq!(sounds(&mut site), Some(2), "fire beats burglary");
    site.show(Board::default());
    site.run(S);
    assert_eq!(sounds(&mut site), None);
    site.show(Board { loud: Some(Loud::Burglary), ..Board::default() });
    site.run(S);
    site.unplug(S * 241);
    assert_eq!(sounds(&mut site), None, "nobody renews it");
    site.up();
    site.run(S * 40);
    assert_eq!(sounds(&mut site), Some(1), "the stick is back, and it burgles on");
}

#[test]
fn a_siren_that_misses_its_stop_is_told_again_and_one_without_light_sounds_all_the_same() {
    let mut site = joined(13, Kind::Siren);
    site.ncp.siren("it").unwrap().habits.misses_stop = 2;
    site.ncp.siren("it").unwrap().habits.refuses_strobe = true;
    site.show(Board { loud: Some(Loud::Burglary), ..Board::default() });
    site.run(S * 20);
    let now = site.now;
    assert!(site.ncp.siren("it").unwrap().sounds(now).is_some(), "{:?}", site.ncp.siren("it").unwrap().history);
    site.show(Board::default());
    site.run(S * 20);
    let now = site.now;
    assert_eq!(site.ncp.siren("it").unwrap().sounds(now), None);
}

#[test]
fn a_chirp_is_given_once_and_answered_by_the_siren_itself() {
    let mut site = joined(13, Kind::Siren);
    site.show(Board::default());
    site.run(S * 5);
    site.outs.clear();
    let command = EventId::mint(1, [3; 10]);
    site.wish(Wish::Chirp(command));
    site.run(S * 12);
    assert_eq!(acted(&mut site), [(command, Act::SirenChirp, None)]);
    assert_eq!(site.ncp.siren("it").unwrap().squawks.iter().sum::<u32>(), 1);
    site.ncp.power_off(site.now);
    site.run(S * 60);
    site.outs.clear();
    site.wish(Wish::Chirp(command));
    site.run(S * 60);
    assert!(acted(&mut site).iter().all(|(.., error)| error.is_some()), "nobody heard it");
}

#[test]
fn r77_a_rule_switches_a_light_and_nothing_else_is_one() {
    let mut site = joined(13, Kind::Light);
    let light = site.id("it");
    site.wish(Wish::Light(light.clone(), true));
    site.run(S * 3);
    assert!(site.ncp.switch("it").unwrap().on);
    site.wish(Wish::Light(light, false));
    site.run(S * 3);
    assert!(!site.ncp.switch("it").unwrap().on);
}

#[test]
fn r64_a_cannons_relay_closes_for_a_moment_is_read_back_and_never_fires_late() {
    let mut site = joined(13, Kind::Relay);
    let cannon = site.id("it");
    site.knows([(cannon.clone(), DeviceKind::Fog)]);
    site.run(S * 5);
    let ready = site.reports.iter().any(|report| report.state == Some(DeviceState::Ready));
    assert!(ready, "it answers, and is off");
    site.outs.clear();
    let command = EventId::mint(1, [3; 10]);
    site.wish(Wish::Fire(command, cannon.clone()));
    site.run(S);
    assert!(site.ncp.switch("it").unwrap().on);
    site.run(S * 10);
    assert!(!site.ncp.switch("it").unwrap().on, "it opens by itself");
    assert_eq!(acted(&mut site), [(command, Act::FogFire, None)]);
    assert_eq!(site.ncp.switch("it").unwrap().switched, 2);
    // A rule reaches no cannon, whatever it is called.
    site.wish(Wish::Light(cannon.clone(), true));
    site.run(S * 10);
    assert_eq!(site.ncp.switch("it").unwrap().switched, 2);
    // The stick is gone: it fails now, and does not fire when the stick is back.
    site.ncp.power_off(site.now);
    site.wish(Wish::Fire(command, cannon));
    site.run(S * 30);
    site.ncp.power_on();
    site.run(S * 60);
    assert_eq!(site.ncp.switch("it").unwrap().switched, 2);
    assert!(acted(&mut site).iter().any(|(.., error)| error.is_some()));
}

fn bolt(site: &Site) -> Option<DeviceState> {
    site.reports.iter().rev().filter(|report| report.kind == DeviceKind::Lock).find_map(|report| report.state)
}

/// A lock that has joined and was met: its settings read, its masks written.
fn lock(version: u8) -> Site {
    let mut site = joined(version, Kind::Lock);
    let id = site.id("it");
    site.knows([(id, DeviceKind::Lock)]);
    site.run(S * 60);
    site
}

fn turns(site: &mut Site, act: Act) -> Vec<(EventId, Act, Option<String>)> {
    site.outs.clear();
    site.reports.clear();
    let id = site.id("it");
    site.wish(Wish::Turn(EventId::mint(1, [3; 10]), act, id));
    site.run(S * 20);
    acted(site)
}

#[test]
fn r70_a_lock_is_locked_when_it_says_so() {
    for version in [13, 18] {
        let mut site = lock(version);
        assert!(bolt(&site).is_some(), "it was asked how it stands, on EZSP {version}");
        for (act, state) in [
            (Act::Unlock, DeviceState::Unlocked),
            (Act::Lock, DeviceState::Locked),
            (Act::EmergencyUnlock, DeviceState::Unlocked),
        ] {
            assert_eq!(turns(&mut site, act), [], "{act:?}: the bolt's own word confirms it");
            assert_eq!(bolt(&site), Some(state), "{act:?} on EZSP {version}");
        }
    }
}

#[test]
fn a_lock_that_lies_or_is_jammed_is_not_believed() {
    let mut site = lock(13);
    assert_eq!(turns(&mut site, Act::Lock), []);
    site.ncp.lock("it").unwrap().habits.lies = true;
    let failed = turns(&mut site, Act::Unlock);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].2.is_some());
    assert_eq!(bolt(&site), Some(DeviceState::Locked));
    site.ncp.lock("it").unwrap().habits.lies = false;
    assert_eq!(turns(&mut site, Act::Unlock), []);
    site.ncp.lock("it").unwrap().habits.jams = true;
    let failed = turns(&mut site, Act::Lock);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_ne!(bolt(&site), Some(DeviceState::Locked));
    let ill = site.reports.iter().any(|report| report.fault == Some(true));
    assert!(ill, "a stuck bolt is a fault: {:?}", site.reports);
}

#[test]
fn an_unlock_that_could_not_be_sent_does_not_open_the_door_later() {
    let mut site = lock(13);
    assert_eq!(turns(&mut site, Act::Lock), []);
    site.ncp.power_off(site.now);
    site.run(S * 30);
    let failed = turns(&mut site, Act::Unlock);
    assert_eq!(failed.len(), 1, "{failed:?}");
    site.ncp.power_on();
    site.run(S * 120);
    assert_eq!(bolt(&site), Some(DeviceState::Locked), "it was asked, and nobody opened it");
}

#[test]
fn r72_who_turned_the_lock_and_how_is_told_and_who_was_refused() {
    let mut site = lock(13);
    site.outs.clear();
    site.ncp.hand(site.now, "it", &Deed::Hand(Hand::Turn(true))).unwrap();
    site.run(S * 15);
    let used: Vec<_> = site
        .outs
        .iter()
        .filter_map(|out| if let Out::LockUsed(used, _) = out { Some(used.clone()) } else { None })
        .collect();
    assert_eq!(used.len(), 1, "{used:?}");
    assert!(!used[0].unlocked && used[0].method.is_none(), "by hand there is nobody to ask after");
    site.outs.clear();
    site.ncp.hand(site.now, "it", &Deed::Hand(Hand::Show(Means::Pin, "00000".to_owned(), false))).unwrap();
    site.run(S * 15);
    let refused = site.outs.iter().filter(|out| matches!(out, Out::LockRefused { reason, .. } if reason == "unknown"));
    assert_eq!(refused.count(), 1, "{:?}", site.outs);
}

#[test]
fn a_lock_that_demands_a_code_and_sealed_messages_is_driven_with_the_hubs_own() {
    let mut site = Site::new(13, 7);
    site.up();
    let habits = Habits::of(Kind::Lock);
    site.ncp.add("it", habits, None).unwrap();
    site.ncp.lock("it").unwrap().attributes.set(0x0033, 1);
    site.ncp.lock("it").unwrap().habits.aps_security = true;
    site.open(180, Admission::Legacy).unwrap();
    site.run(S);
    site.ncp.join(site.now, "it").unwrap();
    site.until_joined();
    let id = site.id("it");
    site.knows([(id, DeviceKind::Lock)]);
    site.run(S * 300);
    assert_eq!(turns(&mut site, Act::Unlock), []);
    assert_eq!(bolt(&site), Some(DeviceState::Unlocked));
}
