//! The rules break here on purpose: a checker that lets a planted fault pass is worth nothing.

use crate::architecture::rules::{check_dependencies, check_folders, check_source};
use crate::architecture::source::{Size, Source, ratchet};

const CORE: &str = "the core is pure";
const IO: &str = "only io touches the world";
const OWN: &str = "a crate in its own folder";
const NEIGHBOUR: &str = "a folder names itself and vakt-core";
const HUB: &str = "only main and cli name hub";
const SETTINGS: &str = "config names Settings only";
const UNWRAP: &str = "no unwrap outside tests";
const UNFINISHED: &str = "nothing unfinished";
const MAP: &str = "the map is in lib.rs";
const ORDER: &str = "only ordered maps in pure code";

/// A file, what stands in it, and the one rule it breaks.
const FAULTS: &[(&str, &str, &str)] = &[
    ("daemon/core/src/turn.rs", "use tokio::sync::mpsc;", CORE),
    ("daemon/core/src/turn.rs", "use std::{fmt, fs};", CORE),
    ("daemon/core/src/alarm/panel.rs", "fn f() -> std::io::Result<()> { Ok(()) }", CORE),
    ("daemon/core/src/alarm/panel.rs", "let t = std::time::SystemTime::UNIX_EPOCH;", CORE),
    ("daemon/core/src/stamp.rs", "let t = jiff::Timestamp::now();", CORE),
    ("daemon/core/src/stamp.rs", "let t = Zoned::now();", CORE),
    ("daemon/core/src/stamp.rs", "use std::time::Instant; fn f() { g(Instant :: now()) }", CORE),
    ("daemon/core/src/stamp.rs", "fn f() { g(<Instant>::now()) }", CORE),
    ("daemon/core/src/stamp.rs", "let clock = Instant::now;", CORE),
    ("daemon/core/src/stamp.rs", "let age = since.elapsed();", CORE),
    ("daemon/core/src/access.rs", "let r = rusqlite::Connection::open_in_memory();", CORE),
    ("daemon/core/src/access.rs", "use rand::Rng;", CORE),
    ("daemon/core/src/access.rs", "use std as s;", CORE),
    ("daemon/core/src/access.rs", "use std::*;", CORE),
    ("daemon/core/src/access.rs", "use std::collections::HashMap;", ORDER),
    ("daemon/src/upstream/route.rs", "use std::net::IpAddr;", IO),
    ("daemon/src/upstream/route.rs", "pub async fn f() { tokio::time::sleep(d).await }", IO),
    ("daemon/src/upstream/route.rs", "#[tokio::main] fn f() {}", IO),
    ("daemon/src/upstream/route.rs", "extern crate tokio;", IO),
    ("daemon/src/upstream/route.rs", "use ::tokio as t;", IO),
    ("daemon/src/upstream/topic.rs", "fn f() { tracing::info!(\"\") }", IO),
    ("daemon/src/upstream/topic.rs", "fn f() { println!(\"\") }", IO),
    ("daemon/src/upstream/warrant.rs", "use ring::{rand, signature};", IO),
    ("daemon/src/upstream/warrant.rs", "use crate::upstream::io::Link;", IO),
    ("daemon/src/upstream/warrant.rs", "use super::io::Link;", IO),
    ("daemon/src/journal/record.rs", "use rusqlite::{Row, types::Type};", IO),
    ("daemon/src/journal/record.rs", "fn f(p: &Path) -> bool { p.exists() }", IO),
    ("daemon/src/journal/record.rs", "#[cfg(not(test))] fn f() { std::thread::yield_now() }", IO),
    ("daemon/src/journal/record.rs", "#[cfg(test)] use a::b; use std::env;", IO),
    ("daemon/src/journal/record.rs", "const A: char = '\"'; use std::env; const B: char = '\"';", IO),
    ("daemon/src/journal/record.rs", "const A: &str = r#\"\"\"#; use std::env; const B: &str = \"\";", IO),
    ("daemon/src/journal/record.rs", "use std::os::unix::net::UnixStream;", IO),
    ("daemon/src/lib.rs", "use std::process::exit;", IO),
    ("daemon/src/config.rs", "let t = std::fs::read(p);", IO),
    ("daemon/src/config/load.rs", "let t = std::env::var(p);", IO),
    ("daemon/src/web/pages/io.rs", "use axum::Router;", IO),
    ("daemon/src/journal/io.rs", "use rumqttc::v5::Client;", OWN),
    ("daemon/src/upstream/io.rs", "use rusqlite::Connection;", OWN),
    ("daemon/src/upstream/io/links.rs", "use serial2_tokio::SerialPort;", OWN),
    ("daemon/src/main.rs", "use rusqlite::Connection;", OWN),
    ("daemon/src/main.rs", "use rustix::process::getuid;", OWN),
    ("daemon/src/camera/main.rs", "use gstreamer::Element;", OWN),
    ("daemon/src/camera/elements.rs", "use gstreamer::Element;", IO),
    ("daemon/src/hub/io/start.rs", "gstreamer::init();", OWN),
    ("daemon/src/web/io.rs", "systemd::daemon::notify(a, b);", OWN),
    ("daemon/src/upstream/route.rs", "use crate::journal::chain;", NEIGHBOUR),
    ("daemon/src/upstream/io.rs", "let h = crate::journal::chain::head();", NEIGHBOUR),
    ("daemon/src/upstream/io.rs", "use vaktd::journal::chain::head;", NEIGHBOUR),
    ("daemon/src/upstream/io.rs", "use crate::config::settings::Upstream;", NEIGHBOUR),
    ("daemon/src/upstream/io.rs", "use crate::*;", NEIGHBOUR),
    ("daemon/src/upstream/io.rs", "use crate as all;", NEIGHBOUR),
    ("daemon/src/hub/restart.rs", "use crate::journal::chain;", NEIGHBOUR),
    ("daemon/src/web/session.rs", "use crate::hub::io::Handle;", HUB),
    ("daemon/src/web/io.rs", "crate::hub::restart::x();", HUB),
    ("daemon/src/lib.rs", "pub use crate::hub::io::run;", HUB),
    ("daemon/src/config.rs", "use crate::upstream::route::Route;", SETTINGS),
    ("daemon/src/config.rs", "use super::upstream::route::Route;", SETTINGS),
    ("daemon/src/config/settings.rs", "use crate::upstream::route::Route;", SETTINGS),
    ("daemon/src/hub/io.rs", "use vakt_integration::arc;", "the daemon never names integration"),
    ("daemon/tests/x.rs", "use vakt_integration::arc;", "the daemon never names integration"),
    ("daemon/src/hub/mod.rs", "", "no mod.rs"),
    ("daemon/src/hub/restart.rs", "mod x { use super::super::Back; }", "no super::super"),
    ("daemon/src/hub/restart.rs", "use crate::{hub::a, hub::b};", "no grouped crate imports"),
    ("daemon/src/hub/io.rs", "let a = b.unwrap();", UNWRAP),
    ("daemon/src/hub/io.rs", "let a = b\n    .unwrap_err\n    ();", UNWRAP),
    ("daemon/src/hub/io.rs", "let a = b.map(Option::unwrap);", UNWRAP),
    ("integration/src/world.rs", "let a = b.unwrap();", UNWRAP),
    ("daemon/src/hub/io.rs", "// TO\u{44}O later", UNFINISHED),
    ("daemon/src/hub/io.rs", "/* FIX\u{4d}E: later */", UNFINISHED),
    ("daemon/src/hub/io.rs", "fn f() { todo!() }", UNFINISHED),
    ("integration/tests/x.rs", "fn f() { unimplemented!() }", UNFINISHED),
    ("daemon/src/hub/restart.rs", "#[cfg(test)] mod tests { #[test] #[ignore] fn f() {} }", "no ignored test"),
    ("integration/tests/x.rs", "#[test] #[ignore = \"slow\"] fn f() {}", "no ignored test"),
    ("daemon/src/hub/restart.rs", "mod more;", MAP),
    ("daemon/src/lib.rs", "pub mod hub { #[path = \"../x.rs\"] pub mod io; }", MAP),
    ("daemon/src/hub/restart.rs", "include!(\"x.rs\");", MAP),
];

/// What must pass, though it looks alike.
const INNOCENT: &[(&str, &str)] = &[
    ("daemon/core/src/stamp.rs", "// SystemTime::now is not asked\nuse std::collections::BTreeMap;"),
    ("daemon/core/src/stamp.rs", "/* use tokio; /* nested */ std::fs */ fn now() -> u64 { 0 }"),
    ("daemon/core/src/stamp.rs", "const A: &str = \"std::fs::read() \\\" tokio::spawn .unwrap()\";"),
    (
        "daemon/core/src/stamp.rs",
        "const A: &str = r##\"tokio::x \"# rand::y\"##; const B: u8 = b'\"'; fn f<'a>(s: &'a str) {}",
    ),
    ("daemon/core/src/stamp.rs", "fn f(now: u64, rand: u8) -> u64 { self.now + deadline.elapsed(now) }"),
    (
        "daemon/core/src/stamp.rs",
        "#[cfg(test)]\nmod tests { use std::fs; #[test] fn f() { a.unwrap(); Instant::now(); } }",
    ),
    (
        "daemon/src/upstream/route.rs",
        "use core::net::IpAddr;\nuse std::path::{Path, PathBuf};\nuse std::time::Duration;",
    ),
    (
        "daemon/src/upstream/route.rs",
        "use crate::upstream::topic::Topic;\nuse vakt_core::event::Event;\nuse super::topic;",
    ),
    ("daemon/src/upstream/route.rs", "pub(crate) fn f() -> std::io::ErrorKind { std::io::ErrorKind::Other }"),
    ("daemon/src/upstream/route.rs", "pub(in crate::upstream) struct Io { io: u8, fs: u8, tokio: u8 }"),
    (
        "daemon/src/upstream/route.rs",
        "impl Route { fn unwrap_or(self) { self.a.unwrap_or(1); self.b.unwrap_or_default(); } }",
    ),
    ("daemon/src/upstream/warrant.rs", "use ring::signature::{ED25519, UnparsedPublicKey};"),
    (
        "daemon/src/upstream/io.rs",
        "use rumqttc::v5::Client;\nuse socket2::Socket;\nuse tokio_rustls::TlsConnector;\nuse std::net::TcpStream;",
    ),
    (
        "daemon/src/upstream/io/links.rs",
        "use super::dialer;\nuse crate::upstream::io::dialer::Dial;\nuse crate::upstream::route;",
    ),
    (
        "daemon/src/upstream/io.rs",
        "#[cfg(test)]\nmod tests {\n    use crate::journal::chain;\n    fn f() { a.unwrap() }\n}\n",
    ),
    ("daemon/src/journal/io.rs", "use rusqlite::Connection; use std::{fs, thread}; let t = Instant::now();"),
    (
        "daemon/src/hub/io.rs",
        "use crate::journal::io::Journal;\nuse crate::config::settings::Config;\nuse systemd::daemon;",
    ),
    ("daemon/src/hub/restart.rs", "use crate::hub::backoff::Backoff;"),
    ("daemon/src/main.rs", "use vaktd::hub::io::run;\nuse vaktd::cli;\nfn main() -> std::process::ExitCode { run() }"),
    ("daemon/src/camera/main.rs", "mod io;\nuse vaktd::hub::io::notify::tell;\nuse clap::Parser;"),
    ("daemon/src/camera/io.rs", "use vaktd::camera::wire::request;\nlet e = gstreamer::ElementFactory::make(n);"),
    ("daemon/src/cli.rs", "use crate::hub::io::run;\nuse rustix::termios;\nuse tokio::net::UnixStream;"),
    ("daemon/src/config.rs", "use crate::upstream::route::Settings;\nuse crate::subghz::io::PortSettings;"),
    ("daemon/src/config/load.rs", "use crate::config::fields::{Field, join};"),
    ("daemon/src/lib.rs", "pub mod hub {\n    pub mod io;\n    pub mod restart;\n}\npub mod config;"),
    ("integration/src/lab.rs", "use std::fs; use tokio::process::Command; use vaktd::hub::io::run;"),
    ("integration/tests/stories.rs", "fn f() { a.unwrap(); }"),
];

fn broken(path: &str, text: &str) -> Vec<&'static str> {
    let source = Source::read(&format!("//! A file.\n{text}\n"));
    let mut rules: Vec<&str> = check_source(path, &source).iter().map(|violation| violation.rule).collect();
    rules.dedup();
    rules
}

#[test]
fn every_planted_fault_is_found_and_nothing_else() {
    for (path, text, rule) in FAULTS {
        assert_eq!(broken(path, text), [*rule], "{path}: {text}");
    }
}

#[test]
fn innocent_lines_pass() {
    for (path, text) in INNOCENT {
        assert_eq!(broken(path, text), [""; 0], "{path}: {text}");
    }
}

#[test]
fn a_violation_names_its_line() {
    let source =
        Source::read("//! A file.\n/* two\nlines */ const A: &str = \"\n\";\nuse std::{\n    fmt,\n    fs,\n};\n");
    let found = check_source("daemon/core/src/turn.rs", &source);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].to_string().starts_with("daemon/core/src/turn.rs:7: the core is pure: std::fs is named"),
        "{}",
        found[0]
    );
}

#[test]
fn a_file_that_does_not_say_what_it_is_for_is_refused() {
    let rules = |text: &str| check_source("integration/tests/x.rs", &Source::read(text)).len();
    assert_eq!((rules("//! Why.\nfn f() {}"), rules("// Why.\nfn f() {}"), rules("")), (0, 1, 1));
}

#[test]
fn a_second_dirty_file_in_a_folder_is_refused() {
    let folders =
        |files: &[&str]| check_folders(&files.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>()).len();
    assert_eq!(folders(&["daemon/src/web/io.rs", "daemon/src/hub/io.rs", "daemon/src/web/radio.rs"]), 0);
    assert_eq!(folders(&["daemon/src/web/io/a.rs", "daemon/src/web/io/b.rs", "daemon/src/web/io/io.rs"]), 0);
    assert_eq!(folders(&["daemon/src/web/io.rs", "daemon/src/web/io/b.rs"]), 1);
    assert_eq!(folders(&["daemon/src/web/io.rs", "daemon/src/web/pages/io.rs"]), 1);
}

#[test]
fn a_new_dependency_has_to_find_its_place() {
    let daemon = |text: &str| check_dependencies("daemon/Cargo.toml", text).len();
    assert_eq!(daemon("[dependencies]\nserde.workspace = true\nserial2-tokio = \"1\"\n\n[lints]\nworkspace = true"), 0);
    assert_eq!(daemon("[dependencies]\nnix = \"1\"\n[dev-dependencies]\ntempfile = \"3\""), 1);
    assert_eq!(daemon("[target.'cfg(unix)'.dependencies]\nlibc = \"1\""), 1);
    assert_eq!(daemon("[dependencies.libc]\nversion = \"1\""), 1);
    assert_eq!(daemon("[dev-dependencies]\nvakt-integration.workspace = true"), 1);
    let core = |text: &str| check_dependencies("daemon/core/Cargo.toml", text);
    let all = "hmac = 1\njiff = 1\nschemars = 1\nserde = 1\nserde_json = 1\nserde_json_canonicalizer = 1\nsha2 = 1\nthiserror = 1\n";
    assert!(core(&format!("[dependencies]\n{all}")).is_empty());
    assert_eq!(core(&format!("[dependencies]\ntoml = 1\n{all}")).len(), 1, "pure, but not the core's");
    assert_eq!(core(&format!("[dependencies]\n{}", all.replace("jiff = 1\n", ""))).len(), 1, "the list only shrinks");
}

fn sizes(lines: usize) -> Vec<Size> {
    let body = "    let a = [0; 3];\n".repeat(lines - 2);
    let text = format!("//! A file.\ntrait T {{\n    fn none(a: [u8; 2]);\n}}\nfn long() {{\n{body}}}\n");
    let tests = "#[cfg(test)]\nmod tests {\n    fn long() {\n\n\n    }\n}\n";
    Source::read(&format!("{text}{tests}")).sizes("daemon/src/x.rs")
}

#[test]
fn sizes_are_counted_without_tests() {
    let sizes = sizes(70);
    let found: Vec<(&str, usize)> = sizes.iter().map(|size| (size.name.as_str(), size.lines)).collect();
    assert_eq!(found, [("daemon/src/x.rs", 74), ("daemon/src/x.rs::none", 1), ("daemon/src/x.rs::long", 70)]);
}

#[test]
fn the_ratchet_only_turns_one_way() {
    let name = "daemon/src/x.rs::long";
    let told = |lines: usize, exceptions: &[(&str, usize)]| -> Vec<String> {
        ratchet(&sizes(lines), exceptions).into_iter().map(|violation| violation.what).collect()
    };
    assert_eq!(told(70, &[]), [""; 0]);
    assert_eq!(told(71, &[]), ["daemon/src/x.rs::long has 71 lines, the wall is 70: split it"]);
    assert_eq!(told(80, &[(name, 80)]), [""; 0]);
    assert_eq!(told(81, &[(name, 80)]), ["daemon/src/x.rs::long grew from 80 to 81 lines: exceptions only shrink"]);
    assert_eq!(told(79, &[(name, 80)]), ["daemon/src/x.rs::long shrank: write 79 in LARGE"]);
    assert_eq!(told(70, &[(name, 80)]), ["daemon/src/x.rs::long fits its wall now: remove it from LARGE"]);
    assert_eq!(told(70, &[("gone.rs", 80)]), ["gone.rs is gone: remove it from LARGE"]);
    let file = told(597, &[(name, 597)]);
    assert_eq!(file, ["daemon/src/x.rs has 601 lines, the wall is 600: split it"]);
}
