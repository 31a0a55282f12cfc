//! A radio's own 64-bit address: how it reads on the air and in our ids. It names a device, it proves nothing.

use crate::zigbee::bytes::Reader;
use crate::zigbee::refused::Refused;
use std::fmt;
use vakt_core::device::DeviceId;

/// An IEEE address (EUI-64). On the air its bytes come least significant first; people write the most significant
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Eui64(pub u64);

impl Eui64 {
    /// The next eight bytes.
    ///
    /// # Errors
    /// `too_short`.
    pub fn parse(reader: &mut Reader) -> Result<Self, Refused> {
        reader.number(8, "an IEEE address").map(Self)
    }

    /// As it goes on the air.
    pub fn bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    /// The address in a device's id, whichever function of it is meant.
    pub fn of(device: &DeviceId) -> Option<Self> {
        let digits = device.as_str().strip_prefix("zb-")?.split('.').next()?;
        let ours = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        ours.then(|| u64::from_str_radix(digits, 16).ok().map(Self))?
    }

    /// The device's id, `zb-<eui64>`, with `.<endpoint>` where it has several functions (contract, "Ids and time").
    pub fn device(self, endpoint: Option<u8>) -> DeviceId {
        let id = match endpoint {
            Some(endpoint) => format!("zb-{self}.{endpoint}"),
            None => format!("zb-{self}"),
        };
        DeviceId::new(id).expect("zb-, hex digits, a dot and a number are an id")
    }
}

impl fmt::Display for Eui64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
