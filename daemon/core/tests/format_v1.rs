//! Event format v1 as bytes, for ever.
//!
//! If this fails, revert your change: every journal and every centre holds events with these bytes. A new kind of
//! event gets new lines at the end of `golden/event_v1.jsonl` (the failing test prints them); a line that is there is
//! never changed. The hash is computed here a second time, by the contract's words and without the crate's own code.

#![allow(clippy::unwrap_used)] // a test that meets what must not be falls here

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use vakt_core::alarm::rules::Then;
use vakt_core::canonical::{self, Sealed, Unsound};
use vakt_core::device::{AreaId, Authenticated, DeviceFault, DeviceId, DeviceKind, DeviceState, Eep, UserId, ZoneId};
use vakt_core::event::{
    Act, AlarmKind, ArmMode, Cause, CauseKind, CloseCause, Delay, Event, EventId, Evidence, Fact, Joining, Media,
    Method, Personal, Profile, Realm, RestartReason, Service, Tag, UserRole, WindowEnd, ZoneRole,
};
use vakt_core::port::Place;
use vakt_core::stamp::Stamp;
use vakt_core::warrant::{Emergency, Ground, Role};

const GOLDEN: &str = include_str!("golden/event_v1.jsonl");
/// 2026-11-20T21:39:00.007Z.
const AT_MS: i64 = 1_795_210_740_007;

fn stamp() -> Stamp {
    Stamp { boot: 3, mono_ms: 61_007, wall_ms: AT_MS, trusted: true }
}

fn id(n: u8) -> EventId {
    EventId::mint(AT_MS, [n; 10])
}

fn delay(seconds: u32) -> Delay {
    Delay::after(stamp(), seconds)
}

/// One fact of each kind, in the order of the golden file; a few kinds twice, for their other form.
fn facts() -> Vec<Fact> {
    let key = || "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw".to_owned();
    let text = |text: &str| text.to_owned();
    vec![
        Fact::JournalRestarted {
            reason: RestartReason::Quarantined,
            old_epoch: Some(1),
            old_seq: Some(812),
            old_hash: Some("ab".repeat(32)),
            salvaged: 811,
            arm_state_known: true,
        },
        Fact::HubStarted { version: text("0.1.0"), clean: false, restarted_delays: vec![area("house")] },
        Fact::HubStopped {},
        // As hostile as a text can be: what JSON must escape, and what looks like the member that is spliced.
        Fact::DiskFailed { error: text("a\u{1}\u{8}\t\n\u{c}\r\u{1f}\u{7f}\u{2028} \"personal_digest\":\"00") },
        Fact::DiskRecovered { pending: 4, refused: 0 },
        Fact::ReceiverFailed { receiver: text("stick"), error: text("/dev/ttyUSB0: gone") },
        Fact::ReceiverRecovered { receiver: text("stick") },
        Fact::KeyListed { kid: text("arc-1"), role: text("arc"), ed25519: key() },
        Fact::KeyWithdrawn { kid: text("arc-1") },
        Fact::AreaSet { entry_s: 30, exit_s: 45 },
        Fact::ZoneSet { role: ZoneRole::EntryDoor, modes: None, chime: false },
        Fact::UserSet { role: UserRole::Owner, expires: None },
        Fact::UserRemoved {},
        Fact::PermitOpened { seconds: 60, joining: None },
        Fact::PermitClosed {},
        Fact::DeviceAdded {
            kind: DeviceKind::Smoke,
            secret: Some(text("key-7")),
            pet: false,
            eep: None,
            silence_s: None,
            counter: None,
        },
        Fact::DeviceAssigned {},
        Fact::DeviceRemoved {},
        Fact::DeviceChanged { kind: DeviceKind::Contact, state: DeviceState::Open, counter: None },
        Fact::FaultRaised { fault: DeviceFault::LowBattery },
        Fact::FaultCleared { fault: DeviceFault::LowBattery },
        Fact::ArmFailed { mode: ArmMode::Away, causes: causes(), exit_error: false },
        Fact::ExitStarted { mode: ArmMode::Away, delay: delay(45) },
        Fact::AreaArmed { mode: ArmMode::Home },
        Fact::EntryStarted { delay: delay(30), by: text("hall") },
        Fact::AreaDisarmed { after_alarm: true },
        Fact::AlarmRaised { kind: AlarmKind::Fire, by: DeviceKind::Smoke, continues: None, tags: [].into() },
        Fact::AlarmRaised {
            kind: AlarmKind::Burglary,
            by: DeviceKind::GlassBreak,
            continues: Some(id(9)),
            tags: [].into(),
        },
        Fact::AlarmRestored { kind: AlarmKind::Fire, by: DeviceKind::Heat },
        Fact::SirenStopped {},
        Fact::CodeRefused { source: text("hall-keypad") },
        Fact::CodeBlocked { source: text("hall-keypad"), delay: delay(90) },
        Fact::CommandSent { act: Act::SirenChirp, warrant: None },
        Fact::CommandConfirmed { act: Act::SirenChirp, command: id(8) },
        Fact::CommandFailed { act: Act::SirenChirp, command: id(8), reason: text("no_answer") },
        Fact::PathUp { path: text("eth") },
        Fact::PathDown { path: text("lte"), reason: text("connection refused") },
        Fact::NotDeliveredInTime { event: id(7), after_ms: 900 },
        Fact::ReceiptRefused { reason: text("signed by nobody we list"), count: 3 },
        Fact::PermitOpened { seconds: 60, joining: Some(Joining::InstallCode) },
        Fact::JoinRefused { count: 2 },
        Fact::SecretsLost { kept_as: text("secrets.db.quarantined-1") },
        Fact::ProfileSet { profile: Profile::Dk },
        Fact::IncidentCleared { after_s: 41, centre_only: false },
        Fact::IncidentCancelled { after_s: 170 },
        Fact::CustomerSaysFalse {},
        Fact::IncidentVerified { kind: AlarmKind::Burglary, by: Evidence::SecondDetector },
        Fact::IncidentClosed { kind: AlarmKind::Fire, cause: CloseCause::Cooking },
        Fact::AlarmSuppressed { kind: AlarmKind::Water },
        Fact::Settled {},
        Fact::ArmOverridden { mode: ArmMode::Away, causes: causes() },
        Fact::ServiceChanged { standing: Service::Trial, delay: Some(delay(691_200)) },
        Fact::TestStarted { delay: delay(1_800) },
        Fact::TestEnded {},
        Fact::MediaGranted { what: Media::Image, realm: Realm::Centre },
        Fact::MediaRefused { what: Media::Stream, reason: text("no_incident") },
        Fact::MediaWindowClosed { by: WindowEnd::Time },
        Fact::WarrantAccepted {
            jti: text("w-1"),
            digest: "ab".repeat(32),
            expires: text("2026-11-20T21:40:00.000Z"),
            cmd: text("emergency_unlock"),
            role: Role::ArcOperator,
            person: text("operator-7"),
            ground: Some(Ground::VerifiedFire),
            emergency: Some(Emergency::Fire),
            led_to: None,
            awaits: true,
        },
        Fact::CommandSent { act: Act::EmergencyUnlock, warrant: Some(text("w-1")) },
        Fact::WarrantRefused {
            jti: text("w-2"),
            digest: "cd".repeat(32),
            expires: text("2026-11-20T21:40:00.000Z"),
            cmd: text("fog_fire"),
            role: Role::ArcOperator,
            person: text("operator-7"),
            reason: text("no_incident,not_armed"),
        },
        Fact::OrderRefused { jti: Some(text("w-3")), reason: text("bad_signature"), count: 4 },
        Fact::ZoneSet { role: ZoneRole::Interior, modes: Some([ArmMode::Away, ArmMode::Night].into()), chime: true },
        Fact::UserSet { role: UserRole::Guard, expires: Some(text("2026-11-21T12:00:00.000Z")) },
        Fact::DeviceAdded {
            kind: DeviceKind::Motion,
            secret: None,
            pet: true,
            eep: None,
            silence_s: None,
            counter: None,
        },
        Fact::ArmFailed { mode: ArmMode::Night, causes: causes(), exit_error: true },
        Fact::AlarmRaised {
            kind: AlarmKind::Fire,
            by: DeviceKind::Smoke,
            continues: None,
            tags: [Tag::FogPresent, Tag::GuardOnSite].into(),
        },
        Fact::AlarmRaised {
            kind: AlarmKind::Duress,
            by: DeviceKind::Keypad,
            continues: None,
            tags: [Tag::LooksCleared].into(),
        },
        Fact::IncidentCleared { after_s: 12, centre_only: true },
        Fact::CredentialRefused { source: text("hall-keypad"), reason: text("blocked") },
        Fact::CredentialBlocked { credential: text("tag-7") },
        Fact::UserBlocked { blocked: true },
        Fact::CodeUnused { days: 90 },
        Fact::CodeUsed {},
        Fact::DuressSet { on: true },
        Fact::GuardOnSite {
            fog_fired: true,
            door_unlocked: false,
            last_motion: Some(text("2026-11-20T21:39:00.000Z")),
        },
        Fact::LocalWarning { delay: delay(30), by: text("hall") },
        Fact::ExitShortened { delay: delay(5) },
        Fact::LockingStarted { mode: ArmMode::Away, delay: delay(15) },
        Fact::ZoneBypassed { on: true },
        Fact::MemoryAcknowledged {},
        Fact::LockSet { auto_lock_s: 60, left_open_s: 300, before_arming: true, disarms: false },
        Fact::LockUsed { unlocked: true },
        Fact::DoorLeftOpen {},
        Fact::AirNow { hours: 1 },
        Fact::FogServiced {},
        Fact::MainsLost { minutes_left: Some(720) },
        Fact::MainsBack {},
        Fact::HubBatteryLow { percent: 19, minutes_left: None },
        Fact::HubBatteryWell { percent: 31 },
        Fact::LastBreath {},
        Fact::HubMoved { gateway: true, silent: 3 },
        Fact::HubBack {},
        Fact::SimSwapped { modem: text("lte"), imei: None, iccid: None },
        Fact::SimBack { modem: text("lte") },
        Fact::JammingStarted { receiver: text("zigbee") },
        Fact::JammingEnded { receiver: text("zigbee") },
        Fact::NeverFired { days: 30 },
        Fact::EndAnnounced { delay: delay(172_800) },
        Fact::KeyWorks {},
        Fact::VisitStarted { delay: delay(3_600) },
        Fact::VisitEnded { not_well: causes() },
        Fact::TestOverdue { days: 182 },
        Fact::TestSuggested {},
        Fact::BatteryChangeStarted { delay: delay(600) },
        Fact::CoverOpened {},
        Fact::BatteryChangeEnded {},
        Fact::FalseAlarmsRepeated { cause: CloseCause::Cooking, count: 3 },
        Fact::TimezoneSet { timezone: text("Europe/Copenhagen") },
        Fact::ScheduleSet { schedule: text("night"), mode: ArmMode::Night, days: 127, minute: 1380 },
        Fact::ScheduleRemoved { schedule: text("night") },
        Fact::ScheduleWarned {
            schedule: text("night"),
            mode: ArmMode::Night,
            day: text("2026-11-20"),
            delay: delay(600),
        },
        Fact::SchedulePutOff { schedule: text("night"), delay: delay(1_800) },
        Fact::ScheduleRan { schedule: text("night") },
        Fact::ScheduleSkipped { schedule: text("night"), reason: text("motion") },
        Fact::RuleSet {
            rule: text("frost"),
            measure: text("temperature"),
            above: false,
            limit_milli: 5_000,
            back_milli: 500,
            then: Then::Notify {},
        },
        Fact::RuleRemoved { rule: text("frost") },
        Fact::LimitCrossed { rule: text("frost"), beyond: true, value_milli: 4_900 },
        Fact::IncidentNoted {},
        Fact::DiskNearlyFull {},
        Fact::DiskHasRoom {},
        Fact::AllPathsDown {},
        Fact::PathsBack {},
        Fact::SimSwapped { modem: text("lte"), imei: Some(text("001017123456780")), iccid: None },
        Fact::SimBound { modem: text("lte"), imei: text("001017123456780"), iccid: text("89460001234567890123") },
        Fact::SimLocked { modem: text("lte"), why: text("puk") },
        Fact::SimUnlocked { modem: text("lte") },
        Fact::ModemRecovery { modem: text("lte"), step: text("reset"), reason: text("not_registered") },
        Fact::DataUsed { modem: text("lte"), percent: 80, used_mb: 400, of_mb: 500 },
        Fact::DeviceAdded {
            kind: DeviceKind::Contact,
            secret: Some(text("key-8")),
            pet: false,
            eep: Some(Eep::new(0xD5, 0x00, 0x01)),
            silence_s: Some(21_600),
            counter: Some(0x00C0_FFEE),
        },
        Fact::DeviceChanged { kind: DeviceKind::Contact, state: DeviceState::Open, counter: Some(0x00C0_FFEF) },
        Fact::PastAlarmsRead { alarms: Some(0), last: None },
        Fact::AlarmedSince { alarms: Some(1), last: Some(text("2022-05-24")) },
        Fact::CounterKept { counter: 0x00C1_0000 },
    ]
}

fn causes() -> Vec<Cause> {
    let place = Some(ZoneId::new("window").unwrap());
    let device = Some(DeviceId::new("zb-00124b0001020304.2").unwrap());
    vec![
        Cause { zone: place, device, why: CauseKind::Active },
        Cause { zone: None, device: None, why: CauseKind::PathsDown },
    ]
}

/// The name of a kind of fact. A new kind does not compile until it is named here; `the_list_is_whole` then demands
/// its golden line.
fn name(fact: &Fact) -> &'static str {
    match fact {
        Fact::JournalRestarted { .. } => "journal_restarted",
        Fact::ProfileSet { .. } => "profile_set",
        Fact::IncidentCleared { .. } => "incident_cleared",
        Fact::IncidentCancelled { .. } => "incident_cancelled",
        Fact::CustomerSaysFalse {} => "customer_says_false",
        Fact::IncidentVerified { .. } => "incident_verified",
        Fact::IncidentClosed { .. } => "incident_closed",
        Fact::AlarmSuppressed { .. } => "alarm_suppressed",
        Fact::Settled {} => "settled",
        Fact::ArmOverridden { .. } => "arm_overridden",
        Fact::ServiceChanged { .. } => "service_changed",
        Fact::TestStarted { .. } => "test_started",
        Fact::TestEnded {} => "test_ended",
        Fact::MediaGranted { .. } => "media_granted",
        Fact::MediaRefused { .. } => "media_refused",
        Fact::MediaWindowClosed { .. } => "media_window_closed",
        Fact::HubStarted { .. } => "hub_started",
        Fact::HubStopped {} => "hub_stopped",
        Fact::DiskFailed { .. } => "disk_failed",
        Fact::DiskRecovered { .. } => "disk_recovered",
        Fact::DiskNearlyFull {} => "disk_nearly_full",
        Fact::DiskHasRoom {} => "disk_has_room",
        Fact::AllPathsDown {} => "all_paths_down",
        Fact::PathsBack {} => "paths_back",
        Fact::ReceiverFailed { .. } => "receiver_failed",
        Fact::ReceiverRecovered { .. } => "receiver_recovered",
        Fact::KeyListed { .. } => "key_listed",
        Fact::KeyWithdrawn { .. } => "key_withdrawn",
        Fact::AreaSet { .. } => "area_set",
        Fact::ZoneSet { .. } => "zone_set",
        Fact::UserSet { .. } => "user_set",
        Fact::UserRemoved {} => "user_removed",
        Fact::PermitOpened { .. } => "permit_opened",
        Fact::PermitClosed {} => "permit_closed",
        Fact::DeviceAdded { .. } => "device_added",
        Fact::DeviceAssigned {} => "device_assigned",
        Fact::DeviceRemoved {} => "device_removed",
        Fact::DeviceChanged { .. } => "device_changed",
        Fact::FaultRaised { .. } => "fault_raised",
        Fact::FaultCleared { .. } => "fault_cleared",
        Fact::ArmFailed { .. } => "arm_failed",
        Fact::ExitStarted { .. } => "exit_started",
        Fact::AreaArmed { .. } => "area_armed",
        Fact::EntryStarted { .. } => "entry_started",
        Fact::AreaDisarmed { .. } => "area_disarmed",
        Fact::AlarmRaised { .. } => "alarm_raised",
        Fact::AlarmRestored { .. } => "alarm_restored",
        Fact::SirenStopped {} => "siren_stopped",
        Fact::CodeRefused { .. } => "code_refused",
        Fact::CodeBlocked { .. } => "code_blocked",
        Fact::CredentialRefused { .. } => "credential_refused",
        Fact::CredentialBlocked { .. } => "credential_blocked",
        Fact::UserBlocked { .. } => "user_blocked",
        Fact::CodeUnused { .. } => "code_unused",
        Fact::CodeUsed { .. } => "code_used",
        Fact::DuressSet { .. } => "duress_set",
        Fact::GuardOnSite { .. } => "guard_on_site",
        Fact::LocalWarning { .. } => "local_warning",
        Fact::ExitShortened { .. } => "exit_shortened",
        Fact::LockingStarted { .. } => "locking_started",
        Fact::ZoneBypassed { .. } => "zone_bypassed",
        Fact::MemoryAcknowledged { .. } => "memory_acknowledged",
        Fact::LockSet { .. } => "lock_set",
        Fact::LockUsed { .. } => "lock_used",
        Fact::DoorLeftOpen { .. } => "door_left_open",
        Fact::AirNow { .. } => "air_now",
        Fact::FogServiced { .. } => "fog_serviced",
        Fact::MainsLost { .. } => "mains_lost",
        Fact::MainsBack { .. } => "mains_back",
        Fact::HubBatteryLow { .. } => "hub_battery_low",
        Fact::HubBatteryWell { .. } => "hub_battery_well",
        Fact::LastBreath { .. } => "last_breath",
        Fact::HubMoved { .. } => "hub_moved",
        Fact::HubBack { .. } => "hub_back",
        Fact::SimSwapped { .. } => "sim_swapped",
        Fact::SimBack { .. } => "sim_back",
        Fact::SimBound { .. } => "sim_bound",
        Fact::SimLocked { .. } => "sim_locked",
        Fact::SimUnlocked { .. } => "sim_unlocked",
        Fact::ModemRecovery { .. } => "modem_recovery",
        Fact::DataUsed { .. } => "data_used",
        Fact::JammingStarted { .. } => "jamming_started",
        Fact::JammingEnded { .. } => "jamming_ended",
        Fact::NeverFired { .. } => "never_fired",
        Fact::CounterKept { .. } => "counter_kept",
        Fact::PastAlarmsRead { .. } => "past_alarms_read",
        Fact::AlarmedSince { .. } => "alarmed_since",
        Fact::EndAnnounced { .. } => "end_announced",
        Fact::KeyWorks { .. } => "key_works",
        Fact::VisitStarted { .. } => "visit_started",
        Fact::VisitEnded { .. } => "visit_ended",
        Fact::TestOverdue { .. } => "test_overdue",
        Fact::TestSuggested { .. } => "test_suggested",
        Fact::BatteryChangeStarted { .. } => "battery_change_started",
        Fact::CoverOpened { .. } => "cover_opened",
        Fact::BatteryChangeEnded { .. } => "battery_change_ended",
        Fact::FalseAlarmsRepeated { .. } => "false_alarms_repeated",
        Fact::TimezoneSet { .. } => "timezone_set",
        Fact::ScheduleSet { .. } => "schedule_set",
        Fact::ScheduleRemoved { .. } => "schedule_removed",
        Fact::ScheduleWarned { .. } => "schedule_warned",
        Fact::SchedulePutOff { .. } => "schedule_put_off",
        Fact::ScheduleRan { .. } => "schedule_ran",
        Fact::ScheduleSkipped { .. } => "schedule_skipped",
        Fact::RuleSet { .. } => "rule_set",
        Fact::RuleRemoved { .. } => "rule_removed",
        Fact::LimitCrossed { .. } => "limit_crossed",
        Fact::IncidentNoted { .. } => "incident_noted",
        Fact::WarrantAccepted { .. } => "warrant_accepted",
        Fact::WarrantRefused { .. } => "warrant_refused",
        Fact::OrderRefused { .. } => "order_refused",
        Fact::CommandSent { .. } => "command_sent",
        Fact::CommandConfirmed { .. } => "command_confirmed",
        Fact::CommandFailed { .. } => "command_failed",
        Fact::PathUp { .. } => "path_up",
        Fact::PathDown { .. } => "path_down",
        Fact::NotDeliveredInTime { .. } => "not_delivered_in_time",
        Fact::ReceiptRefused { .. } => "receipt_refused",
        Fact::JoinRefused { .. } => "join_refused",
        Fact::SecretsLost { .. } => "secrets_lost",
    }
}

fn area(text: &str) -> AreaId {
    AreaId::new(text).unwrap()
}

/// An event with nothing but what every event has.
fn bare(fact: Fact, n: u8) -> Event {
    Event {
        id: id(n),
        stamp: Stamp { trusted: false, ..stamp() },
        fact,
        area: None,
        zone: None,
        device: None,
        incident: None,
        user: None,
        method: None,
        service: Service::Active,
        authenticated: None,
        personal: None,
        centre_only: false,
    }
}

/// An event with all that an event can have.
fn full(fact: Fact, n: u8) -> Event {
    // Text that RFC 8785 must not touch and JSON must escape, as a person may be called.
    let fields = BTreeMap::from([("name".to_owned(), "Zoë \"Åse\" \\ \u{1F600} \"personal_digest\":\"".to_owned())]);
    Event {
        stamp: stamp(),
        area: Some(area("house")),
        zone: Some(ZoneId::new("kitchen").unwrap()),
        device: Some(DeviceId::new("wm-las-00010204-03-1a").unwrap()),
        incident: Some(id(1)),
        user: Some(UserId::new("anna").unwrap()),
        method: Some(Method::Keypad),
        service: Service::Active,
        authenticated: Some(Authenticated::Crc),
        personal: Some(Personal { salt: "5793719d9c9fc511c6b9cc404259511e".to_owned(), fields }),
        ..bare(fact, n)
    }
}

/// Every second event bare, every second one full, chained: what the golden file holds.
fn chain() -> Vec<(Event, Sealed)> {
    let mut prev = [0; 32];
    let facts = facts().into_iter().zip(1u8..);
    facts
        .map(|(fact, n)| {
            let event = if n % 2 == 0 { full(fact, n) } else { bare(fact, n) };
            let sealed = canonical::seal(&event, Place { epoch: 2, seq: n.into() }, &prev);
            prev = sealed.hash;
            (event, sealed)
        })
        .collect()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Each event's payload as sent, then the same after its personal part was erased, where it had one.
fn lines() -> Vec<String> {
    let wires = chain().into_iter().flat_map(|(_, sealed)| {
        let whole = canonical::wire(&sealed.body, &sealed.hash, sealed.personal.as_deref());
        let erased = sealed.personal.as_ref().map(|_| canonical::wire(&sealed.body, &sealed.hash, None));
        [Some(whole), erased].into_iter().flatten()
    });
    wires.map(text).collect()
}

#[test]
fn every_byte_is_as_it_was() {
    let golden: Vec<&str> = GOLDEN.lines().collect();
    let lines = lines();
    for (found, golden) in lines.iter().zip(&golden) {
        assert_eq!(found, golden, "revert your change: format v1 is for ever");
    }
    let new = lines.get(golden.len()..).unwrap_or_default();
    assert!(new.is_empty(), "these lines are new; append them to golden/event_v1.jsonl:\n{}", new.join("\n"));
    assert_eq!(lines.len(), golden.len(), "a golden line is never taken away");
}

#[test]
fn the_list_is_whole() {
    let mut listed: Vec<&str> = facts().iter().map(name).collect();
    for (fact, sealed) in facts().iter().zip(chain()) {
        let json: Value = serde_json::from_slice(&sealed.1.body).unwrap();
        assert_eq!(json["type"], name(fact));
    }
    // The schema, made from the type itself, knows every kind: one without a golden line is found here.
    let schema = serde_json::to_value(schemars::schema_for!(Fact)).unwrap();
    let variants = schema["oneOf"].as_array().unwrap().iter();
    let mut all: Vec<&str> = variants.map(|v| v["properties"]["type"]["const"].as_str().unwrap()).collect();
    all.sort_unstable();
    listed.sort_unstable();
    listed.dedup();
    assert_eq!(listed, all);
}

#[test]
fn every_golden_line_opens_again() {
    for ((event, sealed), seq) in chain().into_iter().zip(1..) {
        let (place, _, opened) = canonical::open(&sealed.body).unwrap();
        assert_eq!(place, Place { epoch: 2, seq });
        assert_eq!(opened, Event { personal: None, ..event });
    }
}

fn sha256_hex(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// RFC 8785 for what our events hold: members sorted by their names, integers, texts with the short escapes.
fn rfc_8785(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| name.encode_utf16().collect::<Vec<u16>>());
            let members = sorted.iter().map(|(name, value)| format!("{}:{}", quoted(name), rfc_8785(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(rfc_8785).collect::<Vec<_>>().join(",")),
        Value::String(text) => quoted(text),
        Value::Number(number) => number.as_i64().expect("events hold integers only").to_string(),
        Value::Bool(_) | Value::Null => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => write!(out, "\\u{:04x}", u32::from(c)).unwrap(),
            c => out.push(c),
        }
    }
    out + "\""
}

#[test]
fn the_hash_is_what_the_contract_says() {
    assert_eq!(GOLDEN.lines().count(), lines().len());
    let mut prev = "0".repeat(64);
    for line in GOLDEN.lines() {
        let mut event: Value = serde_json::from_str(line).unwrap();
        let members = event.as_object_mut().unwrap();
        let hash = members.remove("hash").unwrap();
        let whole = members.remove("personal");
        if let Some(personal) = &whole {
            assert!(!members.contains_key("personal_digest"), "either the part or its digest");
            let salt = personal["salt"].as_str().unwrap();
            let digest = sha256_hex(&[salt.as_bytes(), rfc_8785(personal).as_bytes()]);
            members.insert("personal_digest".to_owned(), digest.into());
        }
        let erased = whole.is_none() && members.contains_key("personal_digest");
        assert_eq!(hash, sha256_hex(&[rfc_8785(&event).as_bytes()]), "{line}");
        if erased {
            assert_eq!(hash, prev, "erasing changes no hash");
        } else {
            assert_eq!(event["prev"], prev, "the chain is whole");
        }
        prev = hash.as_str().unwrap().to_owned();
    }
}

#[test]
fn no_flipped_bit_is_taken() {
    let (_, sealed) = chain().into_iter().find(|(event, _)| event.personal.is_some()).unwrap();
    let personal = sealed.personal.unwrap();
    assert_eq!(canonical::check(&sealed.body, &sealed.hash, Some(&personal)), Ok(()));
    assert_eq!(canonical::check(&sealed.body, &sealed.hash, None), Ok(()), "erased, it still verifies");
    let flipped = |bytes: &[u8], bit: usize| {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    for bit in 0..sealed.body.len() * 8 {
        let refused = canonical::check(&flipped(&sealed.body, bit), &sealed.hash, Some(&personal));
        assert!(matches!(refused, Err(Unsound::Hash { .. })), "body, bit {bit}");
    }
    for bit in 0..256 {
        let hash = flipped(&sealed.hash, bit).try_into().unwrap();
        let refused = canonical::check(&sealed.body, &hash, Some(&personal));
        assert!(matches!(refused, Err(Unsound::Hash { .. })), "hash, bit {bit}");
    }
    for bit in 0..personal.len() * 8 {
        let refused = canonical::check(&sealed.body, &sealed.hash, Some(&flipped(&personal, bit)));
        assert_eq!(refused, Err(Unsound::Personal), "personal, bit {bit}");
    }
}

#[test]
fn a_personal_part_is_not_taken_for_an_event_that_has_none() {
    let chain = chain();
    let (with, without) = (&chain[1].1, &chain[0].1);
    let refused = canonical::check(&without.body, &without.hash, with.personal.as_deref());
    assert_eq!(refused, Err(Unsound::Personal));
}

#[test]
fn what_is_no_event_of_version_1_is_refused_with_its_reason() {
    let body = text(chain()[0].1.body.clone());
    let opened = |body: &str| canonical::open(body.as_bytes()).map(drop);
    assert_eq!(opened(&body), Ok(()));
    assert_eq!(opened(&body.replace("\"v\":1", "\"v\":2")), Err(Unsound::NewerFormat(2)));
    assert_eq!(opened(r#"{"v":300,"kind":"new"}"#), Err(Unsound::NewerFormat(300)));
    for wrong in [
        body.replace("\"v\":1", "\"v\":0"),
        body.replace("journal_restarted", "journal_invented"),
        body.replace("\"salvaged\":811", "\"salvaged\":811.5"),
        body.replace("\"salvaged\":811", "\"salvaged\":811,\"more\":1"),
        body.replace("\"prev\":\"0", "\"prev\":\"x"),
        body.replace("\"seq\":1,", ""),
        body.replace("\"epoch\":2,", ""),
        body.replace("2026-11-20T", "2026-11-31T"),
        body.replace("\"class\":\"fault\"", "\"class\":\"party\""),
        String::new(),
        "null".to_owned(),
    ] {
        assert!(matches!(opened(&wrong), Err(Unsound::NotAnEvent(_))), "{wrong}");
    }
}

#[test]
fn an_alarm_before_the_disk_has_the_same_words_and_no_place() {
    for (event, sealed) in chain() {
        let mut early: Value = serde_json::from_slice(&canonical::unjournaled(&event)).unwrap();
        let wire = canonical::wire(&sealed.body, &sealed.hash, sealed.personal.as_deref());
        let mut later: Value = serde_json::from_slice(&wire).unwrap();
        let early = early.as_object_mut().unwrap();
        assert_eq!(early.remove("seq"), Some(Value::Null));
        assert_eq!(early.remove("journaled"), Some(Value::Bool(false)));
        for member in ["epoch", "seq", "prev", "hash"] {
            assert!(later.as_object_mut().unwrap().remove(member).is_some(), "{member}");
            assert!(!early.contains_key(member), "{member}");
        }
        assert_eq!(Some(&*early), later.as_object());
    }
}
