//! The devices the hub knows, as receivers need them: how each is read, by which key, and after which message.
//!
//! It judges no telegram. Keys are never shown: not by `Debug`, not in an error.

use std::collections::BTreeMap;
use std::fmt;
use vakt_core::device::DeviceId;
use vakt_core::device::Eep;

/// What the hub has of a device's key.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// It has none: it speaks in clear.
    None,
    /// As it was given.
    Key(Vec<u8>),
    /// It has one that cannot be read: nothing of it is believed, least of all in clear.
    Lost,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Secret::None => "None",
            Secret::Key(_) => "Key(hidden)",
            Secret::Lost => "Lost",
        })
    }
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its key.
    pub secret: Secret,
    /// EnOcean: how it is read.
    pub eep: Option<Eep>,
    /// The last message counter on record.
    pub counter: Option<u32>,
    /// The name of its key: whoever was given another counts anew.
    pub key: Option<String>,
}

/// All of them.
pub type Known = BTreeMap<DeviceId, Device>;

/// The newest message of each device that counts its messages, whichever receiver heard it. What is on record is older,
/// because a word that changes nothing is not recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Newest {
    last: BTreeMap<DeviceId, (Option<String>, u32)>,
}

impl Newest {
    /// The counter of a device's last message; `None` before its first.
    pub fn of(&self, id: &DeviceId, device: &Device) -> Option<u32> {
        let heard = self.last.get(id).filter(|(key, _)| *key == device.key);
        heard.map(|(_, counter)| *counter).or(device.counter)
    }

    /// A message of it was proven. Who is not among `known` any more is forgotten.
    pub fn note(&mut self, id: &DeviceId, counter: u32, known: &Known) {
        let Some(device) = known.get(id) else { return };
        self.last.insert(id.clone(), (device.key.clone(), counter));
        if self.last.len() > known.len() {
            self.last.retain(|id, _| known.contains_key(id));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that meets what must not be falls here
mod tests {
    use super::*;

    fn key(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    fn device(counter: Option<u32>, key: Option<String>) -> Device {
        Device { secret: Secret::Key(vec![7; 16]), eep: None, counter, key }
    }

    #[test]
    fn the_newest_message_counts_until_its_device_has_another_key() {
        let id = DeviceId::new("en-019eb63b").unwrap();
        let mut known = Known::from([(id.clone(), device(Some(5), key("key-1")))]);
        let mut newest = Newest::default();
        assert_eq!(newest.of(&id, &known[&id]), Some(5), "what is on record");
        newest.note(&id, 9, &known);
        assert_eq!(newest.of(&id, &known[&id]), Some(9));
        known.insert(id.clone(), device(None, key("key-2")));
        assert_eq!(newest.of(&id, &known[&id]), None, "a new battery, a new count, a new teach-in");
    }

    #[test]
    fn who_was_taken_off_is_forgotten_and_no_key_is_shown() {
        let ids = ["en-00000001", "en-00000002"].map(|id| DeviceId::new(id).unwrap());
        let mut known: Known = ids.iter().map(|id| (id.clone(), device(None, key("key-1")))).collect();
        let mut newest = Newest::default();
        ids.iter().for_each(|id| newest.note(id, 1, &known));
        known.remove(&ids[0]);
        newest.note(&ids[1], 2, &known);
        assert_eq!(newest.last.len(), 1);
        newest.note(&ids[0], 2, &known);
        assert_eq!(newest.last.len(), 1);
        assert_eq!(format!("{:?}", known[&ids[1]].secret), "Key(hidden)");
    }
}
