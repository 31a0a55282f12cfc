//! The newest of all that devices measure, and which of it is due to be kept and told.
//!
//! It keeps no history and judges no value: rules are the core's, the table is the journal's. A device that measures every
//! few seconds costs no more than one that measures every few minutes.

use std::collections::BTreeMap;
use vakt_core::device::DeviceId;
use vakt_core::device::Measurement;
use vakt_core::port::Measured;
use vakt_core::stamp::Stamp;

/// A measure is kept and told at most so often, in ms: a house changes more slowly, and an SD card wears.
pub const EVERY_MS: u64 = 5 * 60_000;
/// Measures remembered of one device; for a further one that which was not heard for longest is forgotten.
const MEASURES_MAX: usize = 32;
/// Values due in one look; the others are due in the next. They share the connection with whatever alarm comes next, and so
/// many are a second of a path of 16 kbit/s.
pub const VALUES_AT_ONCE: usize = 16;
/// Devices remembered; of a further one nothing is kept until the hub starts anew.
const DEVICES_MAX: usize = 1_024;

/// The newest value of one measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// When it was heard.
    pub at: Stamp,
    /// What was measured.
    pub value: Measurement,
    /// When a value of this measure was last due, monotonic; `None`: never.
    due_ms: Option<u64>,
    /// This one was.
    told: bool,
}

/// The newest value of each measure of each device.
#[derive(Debug, Default)]
pub struct Book {
    devices: BTreeMap<DeviceId, BTreeMap<String, Newest>>,
}

impl Book {
    /// Notes what a device measured.
    pub fn note(&mut self, at: Stamp, device: &DeviceId, values: &[Measurement]) {
        if self.devices.len() >= DEVICES_MAX && !self.devices.contains_key(device) {
            return;
        }
        let measures = self.devices.entry(device.clone()).or_default();
        for value in values {
            if let Some(newest) = measures.get_mut(&value.measure) {
                (newest.at, newest.value, newest.told) = (at, value.clone(), false);
            } else {
                let oldest = measures.iter().min_by_key(|(_, newest)| newest.at.mono_ms).map(|(name, _)| name.clone());
                if let Some(oldest) = oldest.filter(|_| measures.len() >= MEASURES_MAX) {
                    measures.remove(&oldest);
                }
                measures.insert(value.measure.clone(), Newest { at, value: value.clone(), due_ms: None, told: false });
            }
        }
    }

    /// Forgets who is not known any more.
    pub fn keep(&mut self, known: impl Fn(&DeviceId) -> bool) {
        self.devices.retain(|device, _| known(device));
    }

    /// What is due now, in the order of the devices; each value is due once, and a measure at most every five minutes.
    pub fn due(&mut self, now_ms: u64) -> Vec<Measured> {
        let mut due: Vec<Measured> = Vec::new();
        let mut room = VALUES_AT_ONCE;
        for (device, measures) in &mut self.devices {
            for newest in measures.values_mut() {
                if room == 0 {
                    return due;
                }
                if newest.told || newest.due_ms.is_some_and(|last| now_ms < last.saturating_add(EVERY_MS)) {
                    continue;
                }
                (newest.told, newest.due_ms) = (true, Some(now_ms));
                room -= 1;
                match due.last_mut().filter(|last| last.device == *device && last.at == newest.at) {
                    Some(last) => last.values.push(newest.value.clone()),
                    None => {
                        due.push(Measured { device: device.clone(), at: newest.at, values: vec![newest.value.clone()] })
                    }
                }
            }
        }
        due
    }

    /// The newest values of a device, by name.
    pub fn newest(&self, device: &DeviceId) -> impl Iterator<Item = &Newest> {
        self.devices.get(device).into_iter().flat_map(BTreeMap::values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Stamp {
        Stamp { boot: 1, mono_ms: s * 1_000, wall_ms: 1_795_208_400_000 + s as i64 * 1_000, trusted: true }
    }

    fn value(measure: &str, value_milli: i64) -> Measurement {
        Measurement { measure: measure.to_owned(), value_milli, unit: String::new() }
    }

    type Told<'a> = (&'a str, u64, Vec<(&'a str, i64)>);

    fn told(due: &[Measured]) -> Vec<Told<'_>> {
        let mut told = Vec::new();
        for one in due {
            let values = one.values.iter().map(|value| (value.measure.as_str(), value.value_milli)).collect();
            told.push((one.device.as_str(), one.at.mono_ms / 1_000, values));
        }
        told
    }

    #[test]
    fn a_measure_is_due_at_once_and_then_every_five_minutes_with_its_newest() {
        let (mut book, cellar) = (Book::default(), DeviceId::new("wm-cellar").unwrap());
        assert_eq!(book.due(0), []);
        book.note(at(0), &cellar, &[value("temperature", 21_800), value("humidity", 40_000)]);
        assert_eq!(told(&book.due(500)), [("wm-cellar", 0, vec![("humidity", 40_000), ("temperature", 21_800)])]);
        for second in 1..=300 {
            book.note(at(second), &cellar, &[value("temperature", 21_800 + second as i64)]);
            let due = book.due(second * 1_000);
            assert_eq!(due, [], "at {second} s");
        }
        assert_eq!(
            told(&book.due(300_500)),
            [("wm-cellar", 300, vec![("temperature", 22_100)])],
            "humidity is no news"
        );
        assert_eq!(book.due(1_000_000), [], "nothing new was heard");
        assert_eq!(book.newest(&cellar).count(), 2);
    }

    #[test]
    fn values_of_two_telegrams_keep_their_times_and_who_is_gone_is_forgotten() {
        let (mut book, meter) = (Book::default(), DeviceId::new("wm-meter").unwrap());
        book.note(at(0), &meter, &[value("volume", 1)]);
        book.note(at(9), &meter, &[value("flow", 2)]);
        assert_eq!(told(&book.due(9_000)), [("wm-meter", 9, vec![("flow", 2)]), ("wm-meter", 0, vec![("volume", 1)])]);
        book.keep(|_| false);
        assert_eq!(book.newest(&meter).count(), 0);
    }

    #[test]
    fn a_device_that_invents_measures_and_a_street_of_devices_find_an_end() {
        let mut book = Book::default();
        let names: Vec<Measurement> = (0..100).map(|n| value(&format!("m{n:03}"), n)).collect();
        let one = DeviceId::new("wm-0").unwrap();
        book.note(at(0), &one, &names);
        assert_eq!(book.newest(&one).count(), MEASURES_MAX);
        book.note(at(1), &one, &[value("temperature", 21_800)]);
        assert!(book.newest(&one).any(|newest| newest.value.measure == "temperature"), "the real one is heard");
        assert_eq!(book.newest(&one).count(), MEASURES_MAX);
        let values = |due: &[Measured]| due.iter().map(|one| one.values.len()).sum::<usize>();
        assert_eq!([0, 1, 2].map(|now_ms| values(&book.due(now_ms))), [VALUES_AT_ONCE, VALUES_AT_ONCE, 0], "in turn");
        for n in 1..2_000 {
            book.note(at(0), &DeviceId::new(format!("wm-{n}")).unwrap(), &names[..1]);
        }
        assert_eq!(book.devices.len(), DEVICES_MAX);
    }
}
