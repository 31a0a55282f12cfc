//! What ModemManager's properties mean: which modem is the path's, and how it stands. Data in, data out; it calls nobody,
//! and takes no number for a signal that the modem did not give.

use serde_json::Value;
use vakt_core::port::Modem;
use vakt_core::port::ModemState;
use vakt_core::port::Signal;
use vakt_core::port::SimLock;

/// The interface that makes an object a modem.
pub const MODEM: &str = "org.freedesktop.ModemManager1.Modem";
/// Where its signal stands in more detail.
pub const SIGNAL: &str = "org.freedesktop.ModemManager1.Modem.Signal";
/// Where it is on a mobile network.
pub const GPP: &str = "org.freedesktop.ModemManager1.Modem.Modem3gpp";
/// Where it knows its cell.
pub const LOCATION: &str = "org.freedesktop.ModemManager1.Modem.Location";
/// A SIM card.
pub const SIM: &str = "org.freedesktop.ModemManager1.Sim";
/// A data connection.
pub const BEARER: &str = "org.freedesktop.ModemManager1.Bearer";
/// Under this name the serving cell is put beside a modem's properties: it is asked for, not listed.
pub const CELL: &str = "Vakt.Cell";

/// MM_MODEM_PORT_TYPE_NET.
const PORT_NET: u64 = 2;

/// The path's modem among the objects of ModemManager, `{object: {interface: {property: value}}}`: the one with its network
/// interface, or else the only one there is. With several, and none that names the interface, nobody can say.
pub fn choose<'a>(objects: &'a Value, interface: Option<&str>) -> Option<&'a str> {
    let objects = objects.as_object()?;
    let modems = || objects.iter().filter(|(_, interfaces)| interfaces.get(MODEM).is_some());
    let carries = |(_, interfaces): &(&String, &Value)| {
        let ports = interfaces[MODEM]["Ports"].as_array().into_iter().flatten();
        let mut nets = ports.filter(|port| port[1].as_u64() == Some(PORT_NET));
        nets.any(|port| port[0].as_str() == interface)
    };
    let only = || Some(modems().next()?).filter(|_| modems().count() == 1);
    let found = interface.and_then(|_| modems().find(carries)).or_else(only)?;
    Some(found.0)
}

/// Whether ModemManager lists no modem at all. Several of which none is the path's are not none.
pub fn none(objects: &Value) -> bool {
    objects.as_object().is_some_and(|objects| objects.values().all(|interfaces| interfaces.get(MODEM).is_none()))
}

/// Objects that a modem names and ModemManager's list leaves out: its SIM card and its data connections.
pub fn named(modem: &Value) -> Vec<(String, &'static str)> {
    let modem = &modem[MODEM];
    let sim = modem["Sim"].as_str().filter(|path| *path != "/").map(|path| (path.to_owned(), SIM));
    let bearers = modem["Bearers"].as_array().into_iter().flatten().filter_map(Value::as_str);
    sim.into_iter().chain(bearers.map(|path| (path.to_owned(), BEARER))).collect()
}

/// A modem in words. `modem` is its object; `sim` and `bearers` are the properties of what it names.
pub fn read(modem: &Value, sim: Option<&Value>, bearers: &[Value]) -> Modem {
    let (own, gpp, signal) = (&modem[MODEM], &modem[GPP], &modem[SIGNAL]);
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let technology = technology(own["AccessTechnologies"].as_u64().unwrap_or(0));
    let told = |name: &str| {
        // In no network it tells what it hears wherever it looks.
        let rows: &[&str] = match technology {
            Some("5g") => &["Nr5g", "Lte"],
            Some("umts") => &["Umts"],
            Some("gsm") => &["Gsm"],
            Some(_) => &["Lte"],
            None => &["Lte", "Nr5g", "Umts", "Gsm"],
        };
        rows.iter().find_map(|row| decibel(&signal[row][name]))
    };
    let connected = |bearer: &&Value| bearer["Connected"].as_bool() == Some(true);
    let bytes = bearers.iter().find(connected).and_then(|bearer| {
        let stats = &bearer["Stats"];
        Some((stats["rx-bytes"].as_u64()?, stats["tx-bytes"].as_u64()?))
    });
    Modem {
        state: state(own["State"].as_i64()),
        failed: failed(own["StateFailedReason"].as_u64()).map(str::to_owned),
        lock: lock(own["UnlockRequired"].as_u64()),
        pin_retries: own["UnlockRetries"]["2"].as_u64().and_then(|left| u32::try_from(left).ok()),
        registration: registration(gpp["RegistrationState"].as_u64()),
        operator: text(&gpp["OperatorName"]),
        operator_code: text(&gpp["OperatorCode"]),
        technology,
        // A second member says whether it was just measured; an old one of a modem in no network is none.
        quality_percent: own["SignalQuality"][0].as_u64().and_then(|q| u8::try_from(q).ok()).filter(|q| *q <= 100),
        rssi_dbm: told("rssi"),
        rsrp_dbm: told("rsrp"),
        rsrq_db: told("rsrq"),
        snr_db: told("snr"),
        imei: text(&own["EquipmentIdentifier"]),
        iccid: sim.and_then(|sim| text(&sim["SimIdentifier"])),
        cell: text(&modem[CELL]),
        bytes,
    }
}

/// Decibels, rounded. ModemManager writes what it does not know as the lowest number there is.
fn decibel(value: &Value) -> Option<i16> {
    let value = value.as_f64().filter(|value| (-300.0..=100.0).contains(value))?;
    #[allow(clippy::cast_possible_truncation)] // within the bounds of the line above
    Some(value.round() as i16)
}

/// MMModemState.
fn state(number: Option<i64>) -> ModemState {
    match number {
        Some(-1) => ModemState::Failed,
        Some(2) => ModemState::Locked,
        Some(3..=5) => ModemState::Disabled,
        Some(6 | 7) => ModemState::Searching,
        Some(8 | 9) => ModemState::Registered,
        Some(10 | 11) => ModemState::Connected,
        _ => ModemState::Unknown,
    }
}

/// MMModemStateFailedReason.
fn failed(number: Option<u64>) -> Option<&'static str> {
    match number {
        None | Some(0) => None,
        Some(2) => Some("sim_missing"),
        Some(3) => Some("sim_error"),
        Some(4) => Some("unknown_capabilities"),
        Some(5) => Some("esim_without_profiles"),
        Some(_) => Some("unknown"),
    }
}

/// MMModemLock. PIN2 and PUK2 lock numbers in the card that nobody needs here.
fn lock(number: Option<u64>) -> SimLock {
    match number {
        None | Some(0) => SimLock::Unknown,
        Some(1 | 3 | 5) => SimLock::None,
        Some(2) => SimLock::Pin,
        Some(4) => SimLock::Puk,
        Some(_) => SimLock::Other,
    }
}

/// MMModem3gppRegistrationState.
fn registration(number: Option<u64>) -> &'static str {
    match number {
        Some(0) => "idle",
        Some(1 | 6 | 9) => "home",
        Some(2) => "searching",
        Some(3) => "denied",
        Some(5 | 7 | 10) => "roaming",
        _ => "unknown",
    }
}

/// MMModemAccessTechnology: bits, the newest counts.
fn technology(bits: u64) -> Option<&'static str> {
    const GSM: u64 = 0b1_1110; // GSM, GSM compact, GPRS, EDGE
    const UMTS: u64 = 0b11_1110_0000; // UMTS, HSDPA, HSUPA, HSPA, HSPA+
    const LTE: u64 = 1 << 14 | 1 << 16 | 1 << 17; // and its slow sisters Cat-M and NB-IoT
    const NR: u64 = 1 << 15;
    let has = |wanted: u64| bits & wanted != 0;
    let known = [(NR, "5g"), (LTE, "lte"), (UMTS, "umts"), (GSM, "gsm")];
    known.into_iter().find(|(wanted, _)| has(*wanted)).map(|(_, name)| name)
}

/// Whether a network has taken it.
pub fn registered(modem: &Modem) -> bool {
    matches!(modem.registration, "home" | "roaming")
        && matches!(modem.state, ModemState::Registered | ModemState::Connected)
}

/// What is shown of it. The steps of RSRP are Android's (CarrierConfigManager, KEY_LTE_RSRP_THRESHOLDS_INT_ARRAY).
pub fn signal(modem: &Modem) -> Option<Signal> {
    let steps = |value: i16, steps: [i16; 4]| steps.iter().filter(|step| value >= **step).count();
    let bars = match (registered(modem), modem.rsrp_dbm, modem.quality_percent) {
        (false, ..) => 0,
        (true, Some(rsrp), _) => steps(rsrp, [-128, -118, -108, -98]),
        (true, None, Some(percent)) => steps(i16::from(percent), [5, 25, 50, 75]),
        (true, None, None) => return None,
    };
    let technology = modem.technology.map(str::to_owned);
    Some(Signal { bars: u8::try_from(bars).unwrap_or(0), operator: modem.operator.clone(), technology })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// As Debian's ModemManager 1.20.4 lists a registered AT modem, shortened.
    fn listed() -> Value {
        json!({"/org/freedesktop/ModemManager1/Modem/0": {
            SIGNAL: {"Rate": 10, "Gsm": {}, "Lte": {"rsrp": -92.0, "rsrq": -10.0}, "Nr5g": {}},
            GPP: {"Imei": "490154203237518", "RegistrationState": 1, "OperatorCode": "24001", "OperatorName": "Twin Net"},
            MODEM: {
                "Sim": "/org/freedesktop/ModemManager1/SIM/0", "Bearers": [], "EquipmentIdentifier": "490154203237518",
                "UnlockRequired": 1, "UnlockRetries": {}, "State": 8, "StateFailedReason": 0, "AccessTechnologies": 16384,
                "SignalQuality": [54, true], "Ports": [["abstract:port0", 3]],
            },
        }})
    }

    #[test]
    fn a_registered_modem_in_words() {
        let objects = listed();
        let path = choose(&objects, Some("wwan0")).unwrap();
        assert_eq!(named(&objects[path]), [("/org/freedesktop/ModemManager1/SIM/0".to_owned(), SIM)]);
        let sim = json!({"SimIdentifier": "8946000123456789012", "Imsi": "240010123456789"});
        let bearer = json!({"Connected": true, "Stats": {"rx-bytes": 7, "tx-bytes": 9}});
        let modem = read(&objects[path], Some(&sim), &[bearer]);
        assert!(registered(&modem));
        assert_eq!(
            modem,
            Modem {
                state: ModemState::Registered,
                lock: SimLock::None,
                registration: "home",
                operator: Some("Twin Net".to_owned()),
                operator_code: Some("24001".to_owned()),
                technology: Some("lte"),
                quality_percent: Some(54),
                rsrp_dbm: Some(-92),
                rsrq_db: Some(-10),
                imei: Some("490154203237518".to_owned()),
                iccid: Some("8946000123456789012".to_owned()),
                bytes: Some((7, 9)),
                ..Modem::default()
            }
        );
        let expected = Signal { bars: 4, operator: Some("Twin Net".to_owned()), technology: Some("lte".to_owned()) };
        assert_eq!(signal(&modem), Some(expected));
    }

    #[test]
    fn what_is_not_told_is_not_invented() {
        let modem = read(&json!({}), None, &[]);
        assert_eq!(modem, Modem { registration: "unknown", ..Modem::default() });
        assert_eq!(signal(&modem).map(|signal| signal.bars), Some(0));
        let lowest = json!({MODEM: {"State": 8}, GPP: {"RegistrationState": 5}, SIGNAL: {"Lte": {"snr": f64::MIN, "rssi": -71.5}}});
        let modem = read(&lowest, None, &[]);
        assert_eq!((modem.snr_db, modem.rssi_dbm, signal(&modem)), (None, Some(-72), None));
    }

    #[test]
    fn of_several_modems_the_one_with_the_interface() {
        let modem = |net: &str| json!({MODEM: {"Ports": [["ttyUSB2", 3], [net, 2]]}});
        let two = json!({"/Modem/0": modem("wwan0"), "/Modem/1": modem("wwan1"), "/Other": {}});
        assert_eq!(choose(&two, Some("wwan1")), Some("/Modem/1"));
        assert_eq!(choose(&two, Some("wwan7")), None, "nobody can say which");
        assert!(!none(&two), "nor that it is gone");
        assert!(none(&json!({"/Other": {}})) && none(&json!({})) && !none(&Value::Null));
        assert_eq!(choose(&two, None), None);
        assert_eq!(choose(&json!({"/Modem/1": modem("wwan1")}), Some("ppp0")), Some("/Modem/1"));
    }

    #[test]
    fn a_lock_that_keeps_nobody_out_is_none() {
        assert_eq!([1, 3, 5].map(|n| lock(Some(n))), [SimLock::None; 3]);
        assert_eq!([2, 4, 9].map(|n| lock(Some(n))), [SimLock::Pin, SimLock::Puk, SimLock::Other]);
        let locked = json!({MODEM: {"State": 2, "UnlockRequired": 2, "UnlockRetries": {"2": 3, "4": 10}}});
        let modem = read(&locked, None, &[]);
        assert_eq!((modem.state, modem.lock, modem.pin_retries), (ModemState::Locked, SimLock::Pin, Some(3)));
    }
}
