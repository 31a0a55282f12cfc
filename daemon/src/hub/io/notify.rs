//! What systemd is told: ready, alive, stopping. Without the feature, or outside systemd, it tells nobody.

/// Tells systemd one thing, e.g. `READY` = `1`.
pub fn tell(name: &str, value: &str) {
    #[cfg(feature = "systemd")]
    if let Err(error) = systemd::daemon::notify([(name, value)].iter()) {
        tracing::warn!(%error, "systemd could not be told {name}={value}");
    }
    #[cfg(not(feature = "systemd"))]
    let _ = (name, value);
}
