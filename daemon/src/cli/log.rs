//! Where the daemon's words go: under systemd to its journal, each with its fields, so that `journalctl VAKT_DEVICE=...` finds
//! what was said of a device; else to stderr.

use crate::hub::io::notify;
use std::fmt;
use std::fmt::Write;
use tracing::Event;
use tracing::Level;
use tracing::Metadata;
use tracing::Subscriber;
use tracing::field::Field;
use tracing::field::Visit;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Begins to take the words.
pub(super) fn start() {
    // systemd says so when stderr is its journal (systemd.exec(5)).
    if cfg!(feature = "systemd") && std::env::var_os("JOURNAL_STREAM").is_some() {
        tracing_subscriber::registry().with(Journal).init();
    } else {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_target(false).init();
    }
}

struct Journal;

impl<S: Subscriber> Layer<S> for Journal {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        notify::log(&entry(event));
    }
}

/// An event as fields of the journal: its words with all they say, how much they matter, and each field by itself.
fn entry(event: &Event<'_>) -> Vec<String> {
    let mut words = Words::default();
    event.record(&mut words);
    // syslog's numbers
    let priority = match *event.metadata().level() {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    };
    let mut entry = vec![
        format!("MESSAGE={}{}", words.message, words.rest),
        format!("PRIORITY={priority}"),
        "SYSLOG_IDENTIFIER=vaktd".to_owned(),
    ];
    entry.extend(words.fields);
    entry
}

#[derive(Default)]
struct Words {
    message: String,
    rest: String,
    fields: Vec<String>,
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, &format!("{value:?}"));
    }
}

impl Words {
    fn take(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned();
            return;
        }
        // Writing to a String does not fail.
        let _ = write!(self.rest, " {}={value}", field.name());
        let name: String = field.name().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        self.fields.push(format!("VAKT_{}={value}", name.to_uppercase()));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that meets what must not be falls here
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::Mutex;

    struct Told(Arc<Mutex<Vec<Vec<String>>>>);

    impl<S: Subscriber> Layer<S> for Told {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(entry(event));
        }
    }

    #[test]
    fn words_go_to_the_journal_with_their_fields() {
        let told = Arc::default();
        let subscriber = tracing_subscriber::registry().with(Told(Arc::clone(&told)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(device = %"wm-1", pause_ms = 5, "a receiver fell");
        });
        let told = told.lock().unwrap();
        let right = [
            "MESSAGE=a receiver fell device=wm-1 pause_ms=5",
            "PRIORITY=4",
            "SYSLOG_IDENTIFIER=vaktd",
            "VAKT_DEVICE=wm-1",
            "VAKT_PAUSE_MS=5",
        ];
        assert_eq!(told[0], right);
    }
}
