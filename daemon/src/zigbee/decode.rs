//! One ZCL frame as text in, one JSON line out: what `vaktd decode zcl` prints (contract, `vaktd`). Pure. Payloads
//! that carry door and keypad codes, and attributes that are keys, are not repeated.

use crate::zigbee::bytes::Reader;
use crate::zigbee::bytes::from_hex;
use crate::zigbee::door_lock;
use crate::zigbee::door_lock::FromLock;
use crate::zigbee::ias;
use crate::zigbee::ias::FromZone;
use crate::zigbee::ias::ZoneAttributes;
use crate::zigbee::ias::ZoneStatus;
use crate::zigbee::ias::ZoneType;
use crate::zigbee::ias_meaning::Statement;
use crate::zigbee::power;
use crate::zigbee::power::Reading;
use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;
use crate::zigbee::zcl::Direction;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Scope;
use crate::zigbee::zcl::global;
use crate::zigbee::zcl_global::Global;
use crate::zigbee::zcl_json::attributes;
use crate::zigbee::zcl_json::code;
use crate::zigbee::zcl_json::command;
use crate::zigbee::zcl_json::command_name;
use crate::zigbee::zcl_json::from_lock;
use crate::zigbee::zcl_json::lock_name;
use crate::zigbee::zcl_json::plain;
use crate::zigbee::zcl_json::to_lock;
use serde::Serialize;
use serde_json::Value as Json;
use serde_json::json;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;

/// Door Lock and IAS ACE: their commands carry codes.
pub(crate) const WITH_CODES: [u16; 2] = [0x0101, 0x0501];

/// A decoded frame, as the contract writes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decoded {
    header: HeaderView,
    cluster: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<Vec<Json>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<ZoneView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reading: Option<ReadingView>,
    /// What a command of a keypad's, a siren's or a switch's cluster says.
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<Json>,
    /// What a lock's does.
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<Json>,
    /// What this decoder does not read, as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    report: Option<ReportView>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct HeaderView {
    scope: &'static str,
    direction: &'static str,
    manufacturer: Option<String>,
    tsn: u8,
    command: u8,
    name: Option<&'static str>,
    /// Whether the sender waits for a Default Response.
    default_response: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct ZoneView {
    r#type: Option<String>,
    status: Option<String>,
    bits: Option<Vec<String>>,
    id: Option<u8>,
    delay_quarter_s: Option<u16>,
    enrolled: Option<bool>,
    cie: Option<String>,
    manufacturer: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct ReadingView {
    battery_mv: Option<u16>,
    battery_percent: Option<u8>,
    mains_mv: Option<u32>,
    temperature_centi_c: Option<i16>,
    lqi: Option<u8>,
    rssi_dbm: Option<i8>,
}

/// A report as the contract writes it. A frame does not say who sent it, and a status not of what type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct ReportView {
    kind: Option<DeviceKind>,
    state: Option<DeviceState>,
    tamper: Option<bool>,
    low_battery: Option<bool>,
    fault: Option<bool>,
    mains_lost: Option<bool>,
    test: Option<bool>,
}

/// `{"error":{"kind","at","text"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ErrorLine {
    error: Refused,
}

/// Decodes one frame of a cluster from hexadecimal text. `zone_type` is what an IAS Zone device said of itself when it
/// joined: its status alone does not say whether an alarm is a door or a fire.
///
/// # Errors
/// Why the frame was refused.
pub fn decode(cluster: u16, zone_type: Option<ZoneType>, hex: &str) -> Result<Decoded, Refused> {
    let bytes = from_hex(hex)?;
    let reader = &mut Reader::new(&bytes)?;
    let header = Header::parse(reader)?;
    let mut decoded = Decoded {
        header: header_view(cluster, &header),
        cluster: code(cluster),
        attributes: None,
        answered: None,
        zone: None,
        reading: None,
        said: None,
        lock: None,
        payload: None,
        report: None,
    };
    match header.scope {
        Scope::Global => match Global::parse(header.command, &mut reader.clone()) {
            Ok(command) => decoded.global(cluster, zone_type, &header, &command)?,
            // A maker's own message need not keep to the standard: the string in Aqara's heartbeat claims 34 bytes
            // and has 33 (deconz-rest-plugin 7059).
            Err(refused) if refused.kind == Reason::NotSupported || header.manufacturer.is_some() => {
                decoded.payload = Some(plain(reader.rest()));
            }
            Err(refused) => return Err(refused),
        },
        Scope::Cluster if cluster == ias::CLUSTER => match FromZone::parse(&header, &mut reader.clone()) {
            Ok(from_zone) => decoded.zone_said(zone_type, from_zone),
            Err(refused) if refused.kind == Reason::NotSupported => decoded.payload = Some(plain(reader.rest())),
            Err(refused) => return Err(refused),
        },
        Scope::Cluster if command_name(cluster, &header).is_some() => {
            decoded.said = command(cluster, &header, reader)?;
        }
        Scope::Cluster if cluster == door_lock::CLUSTER => decoded.lock = lock_said(&header, reader)?,
        Scope::Cluster if WITH_CODES.contains(&cluster) => {}
        Scope::Cluster => decoded.payload = (reader.left() > 0).then(|| plain(reader.rest())),
    }
    Ok(decoded)
}

/// Decodes one line and says whether the frame was good. Always one line, without its end.
pub fn decode_line(cluster: u16, zone_type: Option<ZoneType>, line: &str) -> (String, bool) {
    let (text, good) = match decode(cluster, zone_type, line.trim()) {
        Ok(decoded) => (serde_json::to_string(&decoded), true),
        Err(error) => (serde_json::to_string(&ErrorLine { error }), false),
    };
    (text.expect("only texts, numbers and null, with text keys"), good)
}

impl Decoded {
    fn global(
        &mut self,
        cluster: u16,
        zone_type: Option<ZoneType>,
        header: &Header,
        command: &Global,
    ) -> Result<(), Refused> {
        match command {
            Global::DefaultResponse { command, status } => {
                self.answered = Some(json!({"command": command, "status": status.name()}));
            }
            lists => self.attributes = Some(attributes(lists)),
        }
        // A maker's own attributes have the numbers of the standard's and mean other things.
        if header.manufacturer.is_some() {
            return Ok(());
        }
        if cluster == ias::CLUSTER {
            let told = ZoneAttributes::of(command)?;
            if told != ZoneAttributes::default() {
                self.zone(told.zone_type.or(zone_type), told.status);
                let zone = self.zone.get_or_insert_default();
                zone.id = told.zone_id;
                zone.enrolled = told.enrolled;
                zone.cie = told.cie.map(|cie| cie.to_string());
            }
            return Ok(());
        }
        let told = Reading::of(cluster, command)?;
        if told != Reading::default() {
            let Reading { battery_mv, battery_percent, mains_mv, temperature_centi_c, lqi, rssi_dbm, .. } = told;
            self.reading =
                Some(ReadingView { battery_mv, battery_percent, mains_mv, temperature_centi_c, lqi, rssi_dbm });
        }
        if told.low_battery.is_some() {
            self.report = Some(ReportView { low_battery: told.low_battery, ..ReportView::default() });
        }
        Ok(())
    }

    fn zone_said(&mut self, zone_type: Option<ZoneType>, from_zone: FromZone) {
        match from_zone {
            FromZone::StatusChange(change) => {
                self.zone(zone_type, Some(change.status));
                let zone = self.zone.get_or_insert_default();
                zone.id = change.zone_id;
                zone.delay_quarter_s = change.delay_quarter_s;
            }
            FromZone::EnrollRequest { zone_type, manufacturer } => {
                self.zone(Some(zone_type), None);
                self.zone.get_or_insert_default().manufacturer = Some(code(manufacturer));
            }
        }
    }

    fn zone(&mut self, zone_type: Option<ZoneType>, status: Option<ZoneStatus>) {
        self.zone = Some(ZoneView {
            r#type: zone_type.map(|zone_type| zone_type.name().map_or_else(|| code(zone_type.code()), Into::into)),
            status: status.map(|status| code(status.0)),
            bits: status.map(ZoneStatus::names),
            ..ZoneView::default()
        });
        self.report = status.map(|status| report(zone_type, status));
    }
}

/// Where the type was not told, a set alarm bit is an alarm of something; a clear one is no word that all is well.
fn report(zone_type: Option<ZoneType>, status: ZoneStatus) -> ReportView {
    let told = Statement::of(zone_type.unwrap_or(ZoneType::Other(0xFFFF)), None, status);
    let of_something = zone_type.is_none() && status.alarm();
    ReportView {
        kind: told.kind,
        state: told.state.or(of_something.then_some(DeviceState::Alarm)),
        tamper: Some(told.tamper),
        low_battery: Some(told.low_battery),
        fault: Some(told.fault),
        mains_lost: Some(told.mains_lost),
        test: Some(told.test),
    }
}

fn header_view(cluster: u16, header: &Header) -> HeaderView {
    HeaderView {
        scope: match header.scope {
            Scope::Global => "global",
            Scope::Cluster => "cluster",
        },
        direction: match header.direction {
            Direction::ToServer => "to_server",
            Direction::ToClient => "to_client",
        },
        manufacturer: header.manufacturer.map(code),
        tsn: header.tsn,
        command: header.command,
        name: name(cluster, header),
        default_response: header.wants_default_response(),
    }
}

/// What a lock says or is told; nothing of a maker's own, whose codes could stand anywhere.
fn lock_said(header: &Header, reader: &mut Reader) -> Result<Option<Json>, Refused> {
    if header.direction == Direction::ToServer {
        return Ok(to_lock(header.command).filter(|_| header.manufacturer.is_none()));
    }
    match FromLock::parse(header, reader) {
        Ok(said) => Ok(Some(from_lock(&said))),
        Err(refused) if refused.kind == Reason::NotSupported => Ok(None),
        Err(refused) => Err(refused),
    }
}

fn name(cluster: u16, header: &Header) -> Option<&'static str> {
    Some(match (header.scope, header.direction, header.command) {
        (Scope::Global, _, global::READ) => "read",
        (Scope::Global, _, global::READ_RESPONSE) => "read_response",
        (Scope::Global, _, global::WRITE) => "write",
        (Scope::Global, _, global::WRITE_RESPONSE) => "write_response",
        (Scope::Global, _, global::CONFIGURE_REPORTING) => "configure_reporting",
        (Scope::Global, _, global::CONFIGURE_REPORTING_RESPONSE) => "configure_reporting_response",
        (Scope::Global, _, global::REPORT) => "report",
        (Scope::Global, _, global::DEFAULT_RESPONSE) => "default_response",
        (Scope::Cluster, ..) if command_name(cluster, header).is_some() => return command_name(cluster, header),
        (Scope::Cluster, direction, number) if cluster == door_lock::CLUSTER => {
            return lock_name(header.manufacturer, direction, number);
        }
        (Scope::Cluster, ..) if power::is_check_in(cluster, header) => "check_in",
        (Scope::Cluster, Direction::ToClient, 0) if zone_command(cluster, header) => "status_change_notification",
        (Scope::Cluster, Direction::ToClient, 1) if zone_command(cluster, header) => "enroll_request",
        (Scope::Cluster, Direction::ToServer, 0) if zone_command(cluster, header) => "enroll_response",
        _ => return None,
    })
}

fn zone_command(cluster: u16, header: &Header) -> bool {
    cluster == ias::CLUSTER && header.manufacturer.is_none()
}
