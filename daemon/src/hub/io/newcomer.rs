//! What somebody types of a new device: its key, its profile, its time of silence. It keeps nothing and shows no key.

use crate::control::wire::Hidden;
use crate::control::wire::refusal;
use crate::subghz::decode::from_hex;
use crate::subghz::decode::parse_key;
use crate::subghz::eep;
use crate::subghz::enocean_security::Key;
use crate::subghz::enocean_security::Link;
use crate::subghz::enocean_security::Slf;
use crate::subghz::erp1::rorg;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::Eep;

/// A key that was typed, as it is kept: an EnOcean device's with how it is used.
///
/// # Errors
/// The refusal; it never repeats the key.
pub fn typed_key(key: &Hidden, device: &DeviceId, slf: Option<&str>, eep: Option<Eep>) -> Result<Vec<u8>, String> {
    let bad = |text: &str| refusal("bad_key", text);
    let key = parse_key(&key.0).map_err(|_| bad("a key is 32 hex digits"))?;
    if device.is_best_effort() && !device.as_str().starts_with("rf-wm-") {
        return Err(bad("what rtl_433 hears speaks in clear: a key would only silence it"));
    }
    if !device.as_str().starts_with("en-") {
        return Ok(key.to_vec());
    }
    let how = slf.and_then(|slf| from_hex(slf).ok()?.try_into().ok());
    let [slf] = how.ok_or_else(|| {
        bad("an EnOcean key needs --slf, the security level format on its data sheet, such as AB; or teach the device")
    })?;
    let slf = Slf::parse(slf).map_err(|refused| bad(&refused.text))?;
    if !slf.tells_all() {
        return Err(bad(
            "it does not send its whole rolling code, so where that stands is known from its teach-in alone: teach it",
        ));
    }
    // A rocker that speaks securely leaves its type out (PTM).
    let ptm = eep.is_some_and(|eep| eep.rorg == rorg::RPS);
    Ok(Link { key: Key::new(key), slf, ptm }.kept().to_vec())
}

/// After how much silence it is missed, and whether it can be read at all: an EnOcean device only by its profile.
///
/// # Errors
/// The refusal.
pub fn read_as(
    device: &DeviceId,
    kind: DeviceKind,
    eep: Option<Eep>,
    silence_s: Option<u32>,
) -> Result<Option<u32>, String> {
    let bad = |text: &str| Err(refusal("bad_eep", text));
    match (device.as_str().starts_with("en-"), eep) {
        (false, None) => Ok(silence_s),
        (false, Some(_)) => bad("only EnOcean devices (en-...) have a profile"),
        (true, None) => {
            bad("an EnOcean device is read by its profile: --eep and what its manual names, such as D5-00-01")
        }
        (true, Some(eep)) => match eep::kind(eep) {
            None => bad(&format!("profile {eep} is not known to this hub")),
            Some(other) if other != kind && !may_be(other, kind) => {
                bad(&format!("what speaks by {eep} is a {}", serde_json::to_value(other).unwrap_or_default()))
            }
            Some(_) => Ok(silence_s.or(eep::is_kinetic(eep).then_some(0))),
        },
    }
}

/// A button may be for a doctor or a hold-up, too; all else is what its profile says.
fn may_be(button: DeviceKind, kind: DeviceKind) -> bool {
    button == DeviceKind::Sos && matches!(kind, DeviceKind::Medical | DeviceKind::HoldUp)
}
