//! What a device tells of itself beside its alarms: battery, temperature, how well it hears us, and the check-in that
//! shows a sleeper is alive (07-5123: 0x0001, 0x0402, 0x0B05, 0x0020). It never says that anything is closed or clear.

use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;
use crate::zigbee::zcl::Direction;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Scope;
use crate::zigbee::zcl_global::Global;
use crate::zigbee::zcl_value::DataType;
use crate::zigbee::zcl_value::Value;
use vakt_core::device::Measurement;

/// Cluster ids.
pub mod cluster {
    #![allow(missing_docs)] // the standard's own names
    pub const POWER_CONFIGURATION: u16 = 0x0001;
    pub const POLL_CONTROL: u16 = 0x0020;
    pub const TEMPERATURE: u16 = 0x0402;
    pub const DIAGNOSTICS: u16 = 0x0B05;
}

/// Attributes, each in its cluster.
pub mod attribute {
    #![allow(missing_docs)] // the standard's own names
    pub const MAINS_VOLTAGE: u16 = 0x0000;
    pub const BATTERY_VOLTAGE: u16 = 0x0020;
    pub const BATTERY_PERCENT: u16 = 0x0021;
    pub const BATTERY_ALARM_STATE: u16 = 0x003E;
    pub const TEMPERATURE: u16 = 0x0000;
    pub const LAST_LQI: u16 = 0x011C;
    pub const LAST_RSSI: u16 = 0x011D;
}

/// A battery at or below this many per cent is low, where the device says no more than the per cent: 10, because at
/// the usual two years that leaves a month to change it. Devices that send whole per cents instead of halves reach it
/// at 20 by their own count: early, never late.
pub const LOW_PERCENT: u8 = 10;

/// BatteryAlarmState: the bits for too low of each of up to three batteries (07-5123, 3.3.2.2.4.6).
const BATTERY_ALARMS: u64 = 0xF | 0xF << 10 | 0xF << 20;

/// What a device tells of itself; `None` for what it does not tell or says it does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// Battery, mV.
    pub battery_mv: Option<u16>,
    /// Battery, per cent, rounded down.
    pub battery_percent: Option<u8>,
    /// The battery is nearly empty: by its own alarm where it has one, else by [`LOW_PERCENT`]. A detector whose
    /// zone status has a battery bit is better believed there: two sources would contradict one another for ever.
    pub low_battery: Option<bool>,
    /// Mains, mV.
    pub mains_mv: Option<u32>,
    /// Temperature, hundredths of a degree Celsius.
    pub temperature_centi_c: Option<i16>,
    /// How well it last heard its parent, 0 to 255.
    pub lqi: Option<u8>,
    /// How strongly it last heard its parent, dBm.
    pub rssi_dbm: Option<i8>,
}

impl Reading {
    /// What of it is a measurement, in thousandths. A battery's per cent is none: it stands in the report.
    pub fn measured(&self) -> Vec<Measurement> {
        let value = |measure: &str, value_milli: Option<i64>, unit: &str| {
            Some(Measurement { measure: measure.to_owned(), value_milli: value_milli?, unit: unit.to_owned() })
        };
        let temperature = value("temperature", self.temperature_centi_c.map(|centi| i64::from(centi) * 10), "°C");
        let battery = value("battery_voltage", self.battery_mv.map(i64::from), "V");
        [temperature, battery].into_iter().flatten().collect()
    }

    /// Gathers the attributes of the standard from a report or a read response without manufacturer code; those of
    /// other clusters give nothing.
    ///
    /// # Errors
    /// `bad_value` where one has another type than the standard gives it.
    pub fn of(cluster: u16, told: &Global) -> Result<Self, Refused> {
        let mut found = Self::default();
        let mut alarm = None;
        for (id, value) in told.told() {
            let typed = |wanted| typed(cluster, id, value, wanted);
            match (cluster, id) {
                (cluster::POWER_CONFIGURATION, attribute::MAINS_VOLTAGE) => {
                    found.mains_mv = number(typed(DataType::UINT16)?).map(|deci: u32| deci * 100);
                }
                (cluster::POWER_CONFIGURATION, attribute::BATTERY_VOLTAGE) => {
                    found.battery_mv = number(typed(DataType::UINT8)?).map(|deci: u16| deci * 100);
                }
                (cluster::POWER_CONFIGURATION, attribute::BATTERY_PERCENT) => {
                    // In halves: 200 is full, more is nothing the standard knows.
                    let halves: Option<u8> = number(typed(DataType::UINT8)?);
                    found.battery_percent = halves.filter(|halves| *halves <= 200).map(|halves| halves / 2);
                }
                (cluster::POWER_CONFIGURATION, attribute::BATTERY_ALARM_STATE) => {
                    alarm = typed(DataType::BITMAP32)?.bits().map(|bits| bits & BATTERY_ALARMS != 0);
                }
                (cluster::TEMPERATURE, attribute::TEMPERATURE) => {
                    let centi = typed(DataType::INT16)?.signed();
                    found.temperature_centi_c = centi.and_then(|centi| i16::try_from(centi).ok());
                }
                // Here all ones is a good link, not "no value".
                (cluster::DIAGNOSTICS, attribute::LAST_LQI) => {
                    found.lqi = typed(DataType::UINT8)?.bits().and_then(|bits| u8::try_from(bits).ok());
                }
                (cluster::DIAGNOSTICS, attribute::LAST_RSSI) => {
                    let dbm = typed(DataType::INT8)?.signed();
                    found.rssi_dbm = dbm.and_then(|dbm| i8::try_from(dbm).ok());
                }
                _ => {}
            }
        }
        found.low_battery = alarm.or(found.battery_percent.map(|percent| percent <= LOW_PERCENT));
        Ok(found)
    }
}

fn typed(cluster: u16, id: u16, value: &Value, wanted: DataType) -> Result<&Value, Refused> {
    let (is, right) = (value.data_type(), wanted.name());
    let text = || format!("attribute 0x{id:04x} of cluster 0x{cluster:04x} is a {}, it must be a {right}", is.name());
    if is == wanted { Ok(value) } else { Err(Refused::new(Reason::BadValue, 0, text())) }
}

fn number<T: TryFrom<u64>>(value: &Value) -> Option<T> {
    value.unsigned().and_then(|number| T::try_from(number).ok())
}

/// The commands of Poll Control, both number 0.
const CHECK_IN: u8 = 0x00;
const CHECK_IN_RESPONSE: u8 = 0x00;

/// Whether this is a sleeper's check-in: it is awake now and wants to know whether to stay so.
pub fn is_check_in(cluster: u16, header: &Header) -> bool {
    cluster == cluster::POLL_CONTROL
        && (header.scope, header.direction, header.manufacturer) == (Scope::Cluster, Direction::ToClient, None)
        && header.command == CHECK_IN
}

/// The answer to a check-in, to be sent at once: a parent keeps it for 7.68 s only. With `fast_poll_quarter_s` the
/// sleeper stays awake for that long, in quarters of a second, for what the hub has to say; 0 is its own time.
pub fn check_in_response(check_in: &Header, fast_poll_quarter_s: Option<u16>) -> Vec<u8> {
    let header =
        Header { direction: Direction::ToServer, no_default_response: false, command: CHECK_IN_RESPONSE, ..*check_in };
    let [low, high] = fast_poll_quarter_s.unwrap_or(0).to_le_bytes();
    header.message(&[u8::from(fast_poll_quarter_s.is_some()), low, high])
}
