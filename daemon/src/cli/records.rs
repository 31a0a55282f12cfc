//! What the hub has on record, for whoever asks on the command line: events and measurements, listed, followed, exported,
//! verified. It reads beside a running daemon or without one, and changes nothing.

use crate::cli::arguments;
use crate::cli::arguments::JournalCommand;
use crate::cli::arguments::Records;
use crate::cli::arguments::Telemetry;
use crate::cli::commands::Exit;
use crate::cli::commands::cannot_read;
use crate::cli::commands::print;
use crate::cli::commands::read_config;
use crate::cli::commands::say;
use crate::journal::export;
use crate::journal::io::reader::FOLLOW_MS;
use crate::journal::io::reader::Reader;
use crate::journal::io::store::JournalError;
use crate::journal::io::store::outside;
use crate::journal::io::telemetry as table;
use crate::journal::telemetry;
use serde_json::json;
use std::path::Path;
use std::path::PathBuf;
use vakt_core::port::Place;

/// Prints measurements.
pub(super) fn telemetry(asked: Telemetry) -> Result<(), Exit> {
    let records = asked.records;
    let path = file(&records, table::FILE)?;
    let format = format(records.format);
    // With the first row, or after the last: where nothing can be read, nothing is printed.
    let mut header = telemetry::header(format);
    let filter = telemetry::Filter { since_ms: records.since, device: asked.device, measure: asked.measure };
    let take = |row: &telemetry::Row| {
        header.take().map_or(Ok(()), |header| print(&header)).map_err(Stop::Printed)?;
        print(&telemetry::line(format, row)).map_err(Stop::Printed)
    };
    table::each(&path, &filter, take).map_err(Stop::exit)?;
    header.map_or(Ok(()), |header| print(&header))
}

/// The file that is asked for, if it is there.
fn file(asked: &Records, name: &str) -> Result<PathBuf, Exit> {
    let path = match &asked.db {
        Some(path) => path.clone(),
        None => read_config(&asked.config.config)?.state_dir.join(name),
    };
    std::fs::metadata(&path).map(|_| path.clone()).map_err(|error| cannot_read(&path, &error))
}

fn format(asked: arguments::Format) -> export::Format {
    match asked {
        arguments::Format::Jsonl => export::Format::Jsonl,
        arguments::Format::Csv => export::Format::Csv,
    }
}

/// Prints or verifies the journal.
pub(super) fn journal(command: JournalCommand) -> Result<(), Exit> {
    let (JournalCommand::List(args)
    | JournalCommand::Follow(args)
    | JournalCommand::Export(args)
    | JournalCommand::Verify(args)) = &command;
    let path = file(&args.records, "journal.db")?;
    if let JournalCommand::Verify(_) = command {
        return verify(&path);
    }
    let reader = Reader::open(&path).map_err(|error| {
        say(error);
        Exit::Data
    })?;
    let format = format(args.records.format);
    let filter = export::Filter { class: args.class, since_ms: args.records.since };
    if let Some(header) = export::header(format) {
        print(&header)?;
    }
    let follow = matches!(command, JournalCommand::Follow(_));
    let mut last = Place::default();
    loop {
        last = reader
            .each(last, &filter, |wire| print(&export::line(format, wire)).map_err(Stop::Printed))
            .map_err(Stop::exit)?;
        if !follow {
            return Ok(());
        }
        std::thread::park_timeout(std::time::Duration::from_millis(FOLLOW_MS));
    }
}

enum Stop {
    Printed(Exit),
    Journal(JournalError),
}

impl Stop {
    fn exit(self) -> Exit {
        match self {
            Stop::Printed(exit) => exit,
            Stop::Journal(error) => {
                let around = outside(&error);
                say(error);
                if around { Exit::Io } else { Exit::Data }
            }
        }
    }
}

impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Self {
        Stop::Journal(error)
    }
}

fn verify(path: &Path) -> Result<(), Exit> {
    let found = Reader::open(path).map_err(|error| error.to_string());
    let found = found.and_then(|reader| reader.verify().map_err(|error| error.to_string()));
    match found {
        Ok(found) => {
            let head = found.head;
            say(format!("{}: {} rows hold", path.display(), found.rows));
            print(
                &json!({
                    "ok": true, "rows": found.rows, "epochs": found.epochs, "lost": found.lost,
                    "head": {"epoch": head.place.epoch, "seq": head.place.seq, "hash": vakt_core::canonical::hex(&head.hash)},
                })
                .to_string(),
            )
        }
        Err(error) => {
            say(format!("{}: {error}", path.display()));
            print(&json!({"ok": false, "bad": error}).to_string())?;
            Err(Exit::Bad)
        }
    }
}
