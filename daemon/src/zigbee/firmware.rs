//! What to flash on a stick whose firmware is too old for this host, in words for a technician. It flashes nothing.
//!
//! Releases and their EZSP versions: Silicon Labs' release notes (7.5.0: EZSP 0x0D) and bellows' list. What the sticks come
//! with and are given: zigbee2mqtt #32595, bellows #735.

/// The releases of EmberZNet that speak an EZSP version; `None` for versions nobody met.
pub fn release(version: u8) -> Option<&'static str> {
    Some(match version {
        8 => "EmberZNet 6.10",
        9 => "EmberZNet 7.1",
        10 | 11 => "EmberZNet 7.2",
        12 => "EmberZNet 7.3",
        13 => "EmberZNet 7.4 or 7.5",
        14 => "EmberZNet 8.0",
        16 => "EmberZNet 8.1",
        17 => "EmberZNet 8.2.0 or 8.2.1",
        18 => "EmberZNet 8.2.2 or Simplicity SDK 2025.12",
        19 => "Simplicity SDK 2026.6",
        _ => return None,
    })
}

/// What is said of a stick that is too old: what it has, what it needs, and what its maker gives.
pub(crate) fn too_old(version: u8) -> String {
    let has = release(version).map(|release| format!(" ({release})")).unwrap_or_default();
    format!(
        "the stick speaks EZSP {version}{has}; this hub needs 13 or later: flash EmberZNet 7.4 or later on it, as \
         \"NCP\" or \"coordinator\", neither \"router\" nor \"RCP\". Sonoff ZBDongle-E: 7.4.4 of its maker; Home Assistant \
         SkyConnect and ZBT-1: 7.4; ZBT-2: 7.5.1; SMLIGHT SLZB-06M and SLZB-07: 7.4 or later. A stick with an older \
         chip (EFR32 series 1) takes 7.4 or 7.5, nothing later"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zigbee::ezsp::VERSIONS;
    use crate::zigbee::ezsp_link::Down;

    #[test]
    fn a_stick_as_it_left_the_shop_years_ago_is_told_what_to_flash() {
        // The old ZBDongle-E was sold with EmberZNet 6.10.3.
        let text = Down::TooOld(8).to_string();
        for part in ["EZSP 8 (EmberZNet 6.10)", "flash EmberZNet 7.4", "ZBDongle-E: 7.4.4", "ZBT-2: 7.5.1", "series 1"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(Down::TooOld(12).to_string().contains("(EmberZNet 7.3)"));
        assert!(Down::TooOld(4).to_string().starts_with("the stick speaks EZSP 4; this hub"));
    }

    #[test]
    fn what_is_advised_is_what_this_host_speaks() {
        for version in 0..=u8::MAX {
            let Some(release) = release(version) else { continue };
            let advised = ["7.4", "8.2"].iter().any(|part| release.contains(part));
            assert!(!advised || VERSIONS.contains(&version), "{version}: {release}");
        }
    }
}
