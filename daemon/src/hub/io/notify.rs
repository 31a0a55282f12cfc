//! What systemd is told: ready, alive, stopping, and in a line how everything stands. Without the feature, or outside
//! systemd, it tells nobody.

use super::core::Seeing;
use super::core::Seen;
use std::time::Duration;
use tokio::sync::watch;
use vakt_core::alarm::state::Arming;

/// The line of status is told at most so often.
const STATUS: Duration = Duration::from_secs(1);

/// Tells systemd one thing, e.g. `READY` = `1`.
pub fn tell(name: &str, value: &str) {
    #[cfg(feature = "systemd")]
    if let Err(error) = systemd::daemon::notify([(name, value)].iter()) {
        tracing::warn!(%error, "systemd could not be told {name}={value}");
    }
    #[cfg(not(feature = "systemd"))]
    let _ = (name, value);
}

/// Gives systemd's journal an entry, each of its fields as `NAME=value`.
pub fn log(entry: &[String]) {
    #[cfg(feature = "systemd")]
    {
        let fields: Vec<&str> = entry.iter().map(String::as_str).collect();
        // A journal that does not take it cannot be told so either.
        let _ = systemd::journal::send(&fields);
    }
    #[cfg(not(feature = "systemd"))]
    let _ = entry;
}

/// Keeps the line that `systemctl status vaktd` shows.
pub async fn keep_status(mut seen: watch::Receiver<Seen>) {
    let mut told = String::new();
    loop {
        let now = status(&seen.borrow_and_update().clone());
        if now != told {
            tell("STATUS", &now);
            told = now;
        }
        tokio::time::sleep(STATUS).await;
        if seen.changed().await.is_err() {
            return;
        }
    }
}

/// How everything stands, in a line. Whoever may read it may be the one who must not know (B8): a silent incident is not in
/// it.
fn status(seen: &Seeing) -> String {
    let arm = |arming: &Arming| match arming {
        Arming::Unknown => "unknown",
        Arming::Disarmed => "disarmed",
        Arming::Exit { .. } => "arming",
        Arming::Entry { .. } | Arming::Warning { .. } => "entry",
        Arming::Armed { .. } | Arming::Alarm { .. } => "armed",
    };
    let mut parts: Vec<String> =
        seen.state.areas.iter().map(|(id, area)| format!("{id} {}", arm(&area.arming))).collect();
    parts.push(match seen.state.devices.len() {
        1 => "1 device".to_owned(),
        number => format!("{number} devices"),
    });
    parts.extend(seen.state.paths.iter().map(|(path, why)| format!("{path} {}", why.as_deref().unwrap_or("up"))));
    let open = seen.state.incidents_on_site().count();
    parts.extend((open > 0).then(|| format!("{open} open incidents")));
    parts.extend(seen.state.disk_down.is_some().then(|| "the journal's disk does not answer".to_owned()));
    parts.join(", ")
}
