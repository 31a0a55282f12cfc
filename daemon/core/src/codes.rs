//! What each fact is called by others: its class, its SIA DC-03 and Contact ID codes, whom a notice of it is for.
//!
//! One table (requirements, "Event codes"), so that any receiving software can route an event it does not know.

use crate::device::{DeviceFault, DeviceKind};
use crate::event::{Act, AlarmKind, ArmMode, Cid, Class, Event, Fact, Media, Method, Notify, Tag};
use std::collections::BTreeSet;

const NEW: u8 = 1;
const RESTORE: u8 = 3;

fn code(q: u8, code: u16, sia: &'static str) -> (Option<&'static str>, Option<Cid>) {
    (Some(sia), Some(Cid { q, code }))
}

impl Event {
    /// Whom a notice of it is for: of what nobody on site may know nobody is told (B8).
    pub fn notify(&self) -> Option<Notify> {
        self.fact.notify().filter(|_| !self.is_centre_only())
    }

    /// SIA DC-03 and Contact ID codes, where they exist: those of the fact, or of how somebody armed or disarmed.
    pub fn codes(&self) -> (Option<&'static str>, Option<Cid>) {
        if let (Fact::AlarmRaised { kind: AlarmKind::Tamper, by: DeviceKind::Keypad, .. }, None) =
            (&self.fact, &self.device)
        {
            return code(NEW, 461, "JA"); // nobody's cover: ten wrong codes
        }
        let by = |user, remote, tag, automatic| match self.method {
            Some(Method::App | Method::Remote | Method::Arc) => (407, remote),
            Some(Method::Tag) => (409, tag),
            Some(Method::Schedule) => (403, automatic),
            _ => (401, user),
        };
        let (q, (number, sia)) = match &self.fact {
            Fact::AreaDisarmed { after_alarm: true } => (NEW, (401, "OR")),
            Fact::AreaDisarmed { .. } => (NEW, by("OP", "OQ", "OS", "OA")),
            Fact::AreaArmed { mode: ArmMode::Away } => (RESTORE, by("CL", "CQ", "CS", "CA")),
            Fact::AreaArmed { .. } => (RESTORE, (441, "NL")),
            fact => return fact.codes(),
        };
        code(q, number, sia)
    }
}

/// The table of classes: a fact that is in none does not compile.
macro_rules! classes {
    ($($class:ident { $($fact:ident)+ })+) => {
        impl Fact {
            /// What it is about, which also decides how urgently the centre hears of it.
            pub fn class(&self) -> Class {
                match self {
                    $($(Fact::$fact { .. })|+ => Class::$class,)+
                }
            }
        }
    };
}

classes! {
    Alarm {
        // What follows an alarm is in its class, so that the centre hears of them in this order. An entry delay is told at
        // once: a centre that loses the hub before its end assumes burglary (B7).
        AlarmRaised EntryStarted LocalWarning IncidentCleared IncidentCancelled CustomerSaysFalse GuardOnSite
        IncidentVerified
    }
    Fault {
        JournalRestarted DiskFailed DiskRecovered ReceiverFailed ReceiverRecovered FaultRaised FaultCleared PathUp
        PathDown NotDeliveredInTime JoinRefused SecretsLost MainsLost MainsBack HubBatteryLow HubBatteryWell
        LastBreath HubMoved HubBack SimSwapped SimBack SimLocked SimUnlocked DataUsed JammingStarted JammingEnded
        NeverFired AlarmedSince FalseAlarmsRepeated AlarmSuppressed ReceiptRefused DiskNearlyFull DiskHasRoom AllPathsDown PathsBack
    }
    Access {
        AreaArmed AreaDisarmed ArmFailed ExitStarted SirenStopped CodeRefused CodeBlocked ArmOverridden
        MediaGranted MediaRefused MediaWindowClosed WarrantAccepted CredentialRefused CredentialBlocked UserBlocked
        CodeUsed ExitShortened LockingStarted ZoneBypassed MemoryAcknowledged LockUsed VisitStarted VisitEnded
        KeyWorks BatteryChangeStarted SchedulePutOff UserSet UserRemoved
    }
    State {
        HubStarted HubStopped DeviceChanged CounterKept PastAlarmsRead AlarmRestored IncidentClosed Settled CodeUnused DoorLeftOpen AirNow
        CoverOpened BatteryChangeEnded ModemRecovery ScheduleWarned ScheduleRan ScheduleSkipped LimitCrossed IncidentNoted
        CommandSent CommandConfirmed CommandFailed
    }
    Test {
        TestStarted TestEnded TestOverdue TestSuggested
    }
    Audit {
        WarrantRefused OrderRefused SimBound KeyListed KeyWithdrawn ProfileSet TimezoneSet DuressSet LockSet FogServiced
        EndAnnounced ScheduleSet ScheduleRemoved RuleSet RuleRemoved ServiceChanged AreaSet ZoneSet PermitOpened
        PermitClosed DeviceAdded DeviceAssigned DeviceRemoved
    }
}

impl Fact {
    /// SIA DC-03 and Contact ID codes, where they exist.
    pub fn codes(&self) -> (Option<&'static str>, Option<Cid>) {
        match self {
            Fact::AlarmRaised { kind: AlarmKind::Tamper, tags, .. } if tags.contains(&Tag::Missing) => {
                code(NEW, 381, "UZ")
            }
            Fact::AlarmRaised { kind: AlarmKind::Burglary, tags, .. } => code(NEW, burglary(tags), "BA"),
            Fact::AlarmRaised { kind, by, .. } => alarm(*kind, *by, NEW),
            Fact::AlarmRestored { kind, by } => alarm(*kind, *by, RESTORE),
            Fact::FaultRaised { fault } => fault_code(*fault, NEW),
            Fact::FaultCleared { fault } => fault_code(*fault, RESTORE),
            Fact::ArmFailed { exit_error: true, .. } => code(NEW, 374, "EA"),
            Fact::ArmFailed { .. } => code(NEW, 455, "CI"),
            Fact::ZoneBypassed { on: true } => code(NEW, 570, "BB"),
            Fact::ZoneBypassed { on: false } => code(RESTORE, 570, "BU"),
            Fact::CommandConfirmed { act: Act::Unlock | Act::EmergencyUnlock, .. } => code(NEW, 422, "DG"),
            Fact::LockUsed { unlocked: true } => code(NEW, 422, "DG"),
            Fact::CommandSent { act: Act::FogFire, .. } => code(NEW, 320, "RC"),
            Fact::CommandFailed { act: Act::FogFire, .. } => code(RESTORE, 320, "RO"),
            Fact::CredentialRefused { .. } => code(NEW, 421, "DD"),
            Fact::DoorLeftOpen {} => code(NEW, 426, "DM"),
            Fact::MainsLost { .. } => code(NEW, 301, "AT"),
            Fact::MainsBack {} => code(RESTORE, 301, "AR"),
            Fact::HubBatteryLow { .. } | Fact::LastBreath {} => code(NEW, 302, "YT"),
            Fact::HubBatteryWell { .. } => code(RESTORE, 302, "YR"),
            Fact::JammingStarted { .. } => code(NEW, 344, "XQ"),
            Fact::JammingEnded { .. } => code(RESTORE, 344, "XH"),
            Fact::VisitStarted { .. } => code(NEW, 627, "LB"),
            Fact::VisitEnded { .. } => code(NEW, 628, "LX"),
            Fact::HubMoved { .. } => code(NEW, 137, "TA"),
            Fact::HubBack {} => code(RESTORE, 137, "TR"),
            Fact::ArmOverridden { .. } => code(NEW, 570, "CF"),
            Fact::CodeRefused { .. } | Fact::CodeBlocked { .. } => code(NEW, 461, "JA"),
            Fact::UserSet { .. } => (Some("JV"), None),
            Fact::UserRemoved {} => (Some("JX"), None),
            Fact::HubStarted { .. } => code(NEW, 305, "RR"),
            Fact::PathDown { path, .. } if path == "lte" => code(NEW, 352, "LT"),
            Fact::PathUp { path } if path == "lte" => code(RESTORE, 352, "LR"),
            Fact::PathDown { .. } => code(NEW, 351, "NT"),
            Fact::PathUp { .. } => code(RESTORE, 351, "NR"),
            Fact::AllPathsDown {} => code(NEW, 350, "YS"),
            Fact::PathsBack {} => code(RESTORE, 350, "YK"),
            Fact::DiskNearlyFull {} => code(NEW, 622, "JL"),
            Fact::NotDeliveredInTime { .. } => code(NEW, 354, "YC"),
            Fact::MediaGranted { what: Media::Audio, .. } => code(NEW, 606, "LF"),
            Fact::MediaGranted { .. } => (None, Some(Cid { q: NEW, code: 609 })),
            Fact::MediaWindowClosed { .. } => (None, Some(Cid { q: RESTORE, code: 609 })),
            Fact::TestStarted { .. } => code(NEW, 607, "TS"),
            Fact::TestEnded {} => code(RESTORE, 607, "TE"),
            Fact::IncidentCleared { .. } => code(NEW, 406, "BC"),
            Fact::IncidentCancelled { .. } => code(NEW, 406, "OC"),
            Fact::IncidentVerified { kind: AlarmKind::Burglary, .. } => code(NEW, 139, "BV"),
            Fact::IncidentVerified { kind: AlarmKind::HoldUp | AlarmKind::Duress, .. } => code(NEW, 129, "HV"),
            Fact::KeyListed { .. }
            | Fact::KeyWithdrawn { .. }
            | Fact::ProfileSet { .. }
            | Fact::AreaSet { .. }
            | Fact::ZoneSet { .. }
            | Fact::DeviceAdded { .. }
            | Fact::DeviceAssigned {}
            | Fact::DeviceRemoved {} => code(NEW, 306, "YG"),
            _ => (None, None),
        }
    }

    /// Whom a notice of it is for, were it not silent.
    fn notify(&self) -> Option<Notify> {
        match self {
            Fact::LimitCrossed { .. } => return Some(Notify::Threshold),
            Fact::CodeUnused { .. } | Fact::TestOverdue { .. } | Fact::TestSuggested {} => {
                return Some(Notify::Technical);
            }
            // What the household should hear of, though it is no alarm and nobody's deed (R51, R68, R75, B23).
            Fact::DoorLeftOpen {}
            | Fact::AirNow { .. }
            | Fact::ScheduleWarned { .. }
            | Fact::ScheduleSkipped { .. }
            | Fact::EndAnnounced { .. } => return Some(Notify::Activity),
            _ => {}
        }
        match self.class() {
            Class::Fault => Some(Notify::Technical),
            Class::Alarm | Class::Access => Some(Notify::Activity),
            Class::State | Class::Test | Class::Audit => None,
        }
    }
}

/// By the part its zone plays.
fn burglary(tags: &BTreeSet<Tag>) -> u16 {
    let by_place = [(Tag::Perimeter, 131), (Tag::Interior, 132), (Tag::EntryDoor, 134)];
    by_place.into_iter().find(|(tag, _)| tags.contains(tag)).map_or(130, |(_, code)| code)
}

fn fault_code(fault: DeviceFault, q: u8) -> (Option<&'static str>, Option<Cid>) {
    let (number, new, restore) = match fault {
        DeviceFault::Tamper => (144, "TA", "TR"),
        DeviceFault::LowBattery => (384, "XT", "XR"),
        DeviceFault::SelfTest | DeviceFault::Fault => (389, "UT", "UJ"),
        DeviceFault::Unreadable => (381, "UY", "UJ"),
        DeviceFault::Masked => (380, "BT", "BJ"),
        DeviceFault::MainsLost => (301, "AT", "AR"),
        DeviceFault::Gone | DeviceFault::Missing => (381, "UY", "UJ"),
    };
    code(q, number, if q == NEW { new } else { restore })
}

fn alarm(kind: AlarmKind, by: DeviceKind, q: u8) -> (Option<&'static str>, Option<Cid>) {
    let (number, new, restore) = match (kind, by) {
        (AlarmKind::Burglary, _) => (130, "BA", "BH"),
        (AlarmKind::Fire, DeviceKind::Heat) => (114, "KA", "KH"),
        (AlarmKind::Fire, _) => (111, "FA", "FH"),
        (AlarmKind::Co, _) => (162, "GA", "GH"),
        (AlarmKind::Gas, _) => (151, "GA", "GH"),
        (AlarmKind::Sos, _) => (120, "PA", "PH"),
        (AlarmKind::Water, _) => (154, "WA", "WH"),
        (AlarmKind::Tamper, DeviceKind::Hub) => (137, "TA", "TR"),
        (AlarmKind::Tamper, _) => (144, "TA", "TR"),
        (AlarmKind::Medical, _) => (100, "MA", "MH"),
        (AlarmKind::Freeze, _) => (159, "ZA", "ZH"),
        (AlarmKind::KeyBox, _) => (150, "UA", "UH"),
        (AlarmKind::HoldUp, _) => (122, "HA", "HH"),
        (AlarmKind::Duress, _) => (121, "HA", "HH"),
    };
    code(q, number, if q == NEW { new } else { restore })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_and_its_end_carry_the_tables_codes() {
        let smoke = Fact::AlarmRaised {
            kind: AlarmKind::Fire,
            by: DeviceKind::Smoke,
            continues: None,
            tags: Default::default(),
        };
        assert_eq!(smoke.codes(), (Some("FA"), Some(Cid { q: 1, code: 111 })));
        let water = Fact::AlarmRestored { kind: AlarmKind::Water, by: DeviceKind::Water };
        assert_eq!(water.codes(), (Some("WH"), Some(Cid { q: 3, code: 154 })));
        let heat = Fact::AlarmRestored { kind: AlarmKind::Fire, by: DeviceKind::Heat };
        assert_eq!(heat.codes(), (Some("KH"), Some(Cid { q: 3, code: 114 })), "the code it was raised with");
        assert_eq!(smoke.class(), Class::Alarm);
    }
}
