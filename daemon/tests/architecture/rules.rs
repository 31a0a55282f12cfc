//! The rules, each with what to do when it is broken (design: "Who may import whom", house rules 1, 10, 11).

use crate::architecture::source::{Path, Source, is_word};
use std::collections::BTreeMap;
use std::fmt;

/// Crates that meet the world, and who may name them: a folder (its io), a root file, or `*` for every io. A
/// dependency that is neither here nor in `PURE` is refused, so a new one has to find its place first.
const WORLD: &[(&str, &[&str])] = &[
    ("tokio", &["*", "main", "cli"]),
    ("tracing", &["*", "main", "cli"]),
    ("tracing_subscriber", &["main", "cli"]),
    ("clap", &["main", "cli"]),
    ("rusqlite", &["journal", "secrets"]),
    ("rumqttc", &["upstream"]),
    ("rustls_pki_types", &["upstream"]),
    ("socket2", &["upstream"]),
    ("tokio_rustls", &["upstream"]),
    ("serial2_tokio", &["subghz", "zigbee"]),
    ("linux_embedded_hal", &["subghz"]),
    ("gstreamer", &["camera"]),
    ("gpiocdev", &["board", "subghz"]),
    ("axum", &["web"]),
    ("zbus", &["network"]),
    ("rtnetlink", &["network"]),
    ("futures_util", &["network"]),
    ("systemd", &["hub"]),
    ("rustix", &["hub", "control", "journal", "secrets", "cli", "zigbee", "board", "camera", "subghz"]),
    ("thread_priority", &["subghz"]),
    ("rcgen", &["cli"]),
    ("getrandom", &["hub"]),
    ("rand", &["hub"]),
];

/// Dependencies of the daemon that any file may name: they neither ask nor move anything.
const PURE: &[&str] = &[
    "aes",
    "askama",
    "base64",
    "cbc",
    "cmac",
    "embedded_hal",
    "fluent",
    "hmac",
    "ring",
    "schemars",
    "serde",
    "serde_json",
    "sha2",
    "simple_dns",
    "thiserror",
    "toml",
    "vakt_core",
];

/// The dependencies of vakt-core, all of them.
const CORE: &[&str] =
    &["hmac", "jiff", "schemars", "serde", "serde_json", "serde_json_canonicalizer", "sha2", "thiserror"];

/// Modules of std that meet the world. `std::io` is closed to the core alone: elsewhere its errors and traits are data.
const STD: &[&str] = &["fs", "net", "thread", "process", "env", "os"];

/// Methods of `std::path::Path` and of clocks that ask the world without naming it, when called without arguments.
const ASKING: &[&str] = &[
    "elapsed",
    "exists",
    "try_exists",
    "is_file",
    "is_dir",
    "read_dir",
    "read_link",
    "canonicalize",
    "symlink_metadata",
];

/// One broken rule.
#[derive(Debug)]
pub struct Violation {
    pub path: String,
    pub line: usize,
    pub rule: &'static str,
    /// What was found, and what to do.
    pub what: String,
}

impl Violation {
    pub fn new(path: &str, line: usize, rule: &'static str, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.what)
    }
}

/// What a file is to these rules.
#[derive(Clone, Copy, PartialEq)]
enum Home<'a> {
    /// daemon/core/src
    Core,
    /// Every program's main.rs, and cli/: they start everything.
    Root(&'a str),
    /// io.rs or io/ of a folder: the one place that meets the world.
    Io(&'a str),
    /// Any other file of a folder, and other files beside lib.rs, which are their own folder here.
    Pure(&'a str),
    /// Tests, and everything outside the daemon.
    Outside,
}

fn home(path: &str) -> Home<'_> {
    if path.starts_with("daemon/core/src/") {
        return Home::Core;
    }
    let Some(inside) = path.strip_prefix("daemon/src/") else { return Home::Outside };
    match inside.split_once('/') {
        None => match inside.trim_end_matches(".rs") {
            root @ ("main" | "cli") => Home::Root(root),
            other => Home::Pure(other),
        },
        Some(("cli", _)) => Home::Root("cli"),
        Some((_, "main.rs")) => Home::Root("main"),
        Some((folder, rest)) if rest == "io.rs" || rest.starts_with("io/") => Home::Io(folder),
        Some((folder, _)) => Home::Pure(folder),
    }
}

/// All rules that one file alone can break, except its size.
pub fn check_source(path: &str, source: &Source) -> Vec<Violation> {
    let mut found = check_style(path, source);
    let paths = source.paths();
    let home = home(path);
    match home {
        Home::Core | Home::Pure(_) => check_purity(path, home, source, &paths, &mut found),
        Home::Io(_) | Home::Root(_) | Home::Outside => {}
    }
    for named in &paths {
        check_crate(path, home, named, &mut found);
        check_neighbour(path, home, named, &mut found);
    }
    found
}

/// What holds for every file.
fn check_style(path: &str, source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut tell = |lines: Vec<usize>, rule: &'static str, what: &str| {
        found.extend(lines.into_iter().map(|line| Violation::new(path, line, rule, what)));
    };
    if !source.text.starts_with("//!") {
        tell(vec![1], "a file says what it is for", "open it with a `//!` comment: its purpose, what it never does");
    }
    if path.ends_with("/mod.rs") {
        tell(vec![1], "no mod.rs", "declare the module inline in lib.rs");
    }
    let all = |wanted: &[&str]| Source::lines_of(&source.all, wanted);
    let code = |wanted: &[&str]| Source::lines_of(&source.code, wanted);
    tell(all(&["super", "::", "super"]), "no super::super", "write the path from crate::");
    tell(all(&["use", "crate", "::", "{"]), "no grouped crate imports", "one `use crate::...` a line");
    for word in ["todo", "unimplemented"] {
        tell(all(&[word, "!"]), "nothing unfinished", "finish it, or leave it out");
    }
    let unfinished = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let words = |line: &str| line.split(|c: char| !c.is_alphanumeric()).any(|word| unfinished.contains(&word));
    let lines = source.text.lines().enumerate().filter(|(_, line)| words(line)).map(|(at, _)| at + 1);
    tell(lines.collect(), "nothing unfinished", "finish it, or leave it out");
    tell(all(&["#", "[", "ignore"]), "no ignored test", "make it run, or put it behind the feature `lab`");
    if path.contains("/src/") {
        for method in ["unwrap", "unwrap_err"] {
            let what = "return the error, or `expect` with the invariant that holds";
            tell(code(&[".", method, "(", ")"]), "no unwrap outside tests", what);
            tell(code(&["::", method]), "no unwrap outside tests", what);
        }
    }
    if path.starts_with("daemon/") {
        tell(all(&["vakt_integration"]), "the daemon never names integration", "move what both need to vakt-core");
    }
    if matches!(home(path), Home::Core | Home::Pure(_) | Home::Io(_)) {
        let what = "declare modules in lib.rs alone, and include no text as code";
        if !path.ends_with("/src/lib.rs") {
            let declared =
                source.code.windows(3).filter(|w| w[0].text == "mod" && is_word(&w[1].text) && w[2].text == ";");
            tell(declared.map(|window| window[0].line).collect(), "the map is in lib.rs", what);
        }
        tell(code(&["#", "[", "path", "="]), "the map is in lib.rs", what);
        tell(code(&["include", "!"]), "the map is in lib.rs", what);
    }
    found
}

/// What a pure file may not do, whichever crate it does it with.
fn check_purity(path: &str, home: Home, source: &Source, paths: &[Path], found: &mut Vec<Violation>) {
    let rule = if home == Home::Core { "the core is pure" } else { "only io touches the world" };
    let mut asked: Vec<(usize, String)> = Vec::new();
    for named in paths {
        let words: Vec<&str> = named.segments.iter().map(String::as_str).collect();
        if let Some(map) = words.iter().find(|word| matches!(**word, "HashMap" | "HashSet")) {
            let what = format!("{map} has another order at each run: use BTreeMap or BTreeSet");
            found.push(Violation::new(path, named.line, "only ordered maps in pure code", what));
        }
        if names_world(&words, named.used, home == Home::Core) {
            asked.push((named.line, format!("{} is named", words.join("::"))));
        }
    }
    let mut seen = |wanted: &[&str], what: String| {
        asked.extend(Source::lines_of(&source.code, wanted).into_iter().map(|line| (line, what.clone())));
    };
    seen(&["::", "now"], "a clock is asked".to_owned());
    for method in ASKING {
        seen(&[".", method, "(", ")"], format!(".{method}() asks the world"));
    }
    for name in ["print", "println", "eprint", "eprintln", "dbg"] {
        seen(&[name, "!"], format!("{name}! speaks to the world"));
    }
    for (line, what) in asked {
        let what = format!("{what}: take it as an argument, or move this to the folder's io");
        found.push(Violation::new(path, line, rule, what));
    }
}

/// Whether a path leads to files, sockets, threads, clocks or chance. Crates are `check_crate`'s.
fn names_world(words: &[&str], used: bool, core: bool) -> bool {
    let std = match words {
        ["std", "io", "stdin" | "stdout" | "stderr", ..] => true,
        ["std", "io", ..] => core,
        ["std", "*"] => true,
        ["std"] => used,
        ["std", module, ..] => STD.contains(module),
        _ => false,
    };
    let known = |word: &&str| matches!(*word, "SystemTime" | "SystemRandom" | "RandomState" | "thread_rng");
    std || words.starts_with(&["ring", "rand"]) || words.iter().any(known)
}

/// Whether a crate that meets the world is named where it may be.
fn check_crate(path: &str, home: Home, named: &Path, found: &mut Vec<Violation>) {
    let first = named.segments[0].as_str();
    let Some((name, homes)) = WORLD.iter().find(|(name, _)| *name == first) else { return };
    if named.segments.len() == 1 && !named.used {
        return; // a variable or a field's value of that name
    }
    let (rule, allowed) = match home {
        Home::Outside => return,
        Home::Core => ("the core is pure", false),
        Home::Pure(_) => ("only io touches the world", false),
        Home::Io(folder) => ("a crate in its own folder", homes.contains(&"*") || homes.contains(&folder)),
        Home::Root(root) => ("a crate in its own folder", homes.contains(&root)),
    };
    if !allowed {
        let homes = homes.join(", ").replace('*', "any folder");
        let what = format!("{name} is named, its place is the io of {homes}: ask there, by a message");
        found.push(Violation::new(path, named.line, rule, what));
    }
}

/// Whether one folder names another, or its own io.
fn check_neighbour(path: &str, home: Home, named: &Path, found: &mut Vec<Violation>) {
    let mut words: Vec<&str> = named.segments.iter().map(String::as_str).collect();
    let own = match home {
        Home::Io("hub") | Home::Root(_) | Home::Core | Home::Outside => return,
        Home::Io(folder) | Home::Pure(folder) => folder,
    };
    if words[0] == "super" && words.get(1) == Some(&"io") && !path.contains("/io/") {
        words.splice(0..1, ["crate", own]);
    }
    let beside_lib = path.matches('/').count() == 2;
    if words[0] == "super" && beside_lib {
        words[0] = "crate";
    }
    if !matches!(words[0], "crate" | "vaktd") || (words.len() == 1 && !named.used) {
        return;
    }
    let other = words.get(1).copied().unwrap_or("everything");
    let mut tell = |rule: &'static str, what: String| found.push(Violation::new(path, named.line, rule, what));
    match (home, other) {
        (Home::Pure(_), _) if other == own && words.get(2) == Some(&"io") => {
            tell("only io touches the world", format!("a pure file names {own}::io: turn the call around"));
        }
        _ if other == own => {}
        (_, "hub") => tell("only main and cli name hub", "the hub calls the folders, never the other way".to_owned()),
        (Home::Pure("config"), _) if words.last().is_some_and(|last| last.ends_with("Settings")) => {}
        (Home::Pure("config"), _) => {
            tell("config names Settings only", format!("{} is no Settings: leave it there", words.join("::")));
        }
        _ => tell("a folder names itself and vakt-core", format!("{other} is a neighbour: send a vakt-core message")),
    }
}

/// One dirty file per folder, whatever its depth.
pub fn check_folders(files: &[String]) -> Vec<Violation> {
    let mut dirty: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in files {
        let Some((folder, rest)) = file.strip_prefix("daemon/src/").and_then(|inside| inside.split_once('/')) else {
            continue;
        };
        let io = match rest.split_once('/') {
            Some(("io", _)) => "io/",
            _ if rest == "io.rs" || rest.ends_with("/io.rs") => rest,
            _ => continue,
        };
        let known = dirty.entry(folder).or_default();
        if !known.contains(&io) {
            known.push(io);
        }
    }
    let several = dirty.into_iter().filter(|(_, io)| io.len() > 1);
    several
        .map(|(folder, io)| {
            let what = format!("{} meet the world: keep one io.rs, or one io/ folder", io.join(" and "));
            Violation::new(&format!("daemon/src/{folder}"), 1, "one dirty file per folder", what)
        })
        .collect()
}

/// Whether a manifest's dependencies are all known, and the core's exactly those it may have.
pub fn check_dependencies(path: &str, manifest: &str) -> Vec<Violation> {
    let core = path.starts_with("daemon/core/");
    let mut found = Vec::new();
    let mut tell = |line: usize, what: String| {
        found.push(Violation::new(path, line, "a dependency has its place", what));
    };
    let (mut section, mut named) = ("", Vec::new());
    for (at, line) in manifest.lines().map(str::trim).enumerate() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_matches(['[', ']']);
        }
        let table = section.split_once("dependencies.").map(|(_, name)| name);
        let name = match table {
            Some(name) if line.starts_with('[') => name,
            None if section.ends_with("dependencies") && !line.starts_with(['[', '#']) && line.contains('=') => {
                line.split(['.', '=', ' ']).next().unwrap_or(line)
            }
            _ => continue,
        };
        let name = name.replace('-', "_");
        let test = section.starts_with("dev-");
        let known = match (core, test) {
            (_, true) => name != "vakt_integration",
            (true, false) => CORE.contains(&name.as_str()),
            (false, false) => PURE.contains(&name.as_str()) || WORLD.iter().any(|(world, _)| *world == name),
        };
        if !known {
            let lists = if core { "CORE" } else { "PURE or WORLD" };
            tell(
                at + 1,
                format!("{name} is unknown here: say in {lists} (tests/architecture/rules.rs) who may name it"),
            );
        }
        if !test {
            named.push(name);
        }
    }
    for gone in CORE.iter().filter(|name| core && !named.iter().any(|known| known == *name)) {
        tell(1, format!("{gone} is no dependency any more: remove it from CORE"));
    }
    found
}
