//! The house's walls, checked on the text: who may import whom, one dirty file per folder, and how large things grow.
//!
//! It never compiles anything and knows no types, so a macro could fool it; the simulation, which has no real ports at
//! all, is the second proof. `planted` is its own test: every rule there is broken on purpose and must be found.

mod architecture {
    mod planted;
    pub mod rules;
    pub mod source;
}

use architecture::rules::{Violation, check_dependencies, check_folders, check_source};
use architecture::source::{Source, ratchet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file without its tests.
const FILE_WALL: usize = 600;

/// Lines of a function from `fn` to its closing brace.
const FUNCTION_WALL: usize = 70;

/// Today's exceptions, `file` or `file::function` with its size. The list may only shrink: a size here that is larger
/// than the real one is a violation too.
const LARGE: &[(&str, usize)] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("daemon stands in the workspace").to_owned()
}

/// Every Rust file below `at`, as paths from the workspace's root.
fn rust_files(at: &Path, found: &mut Vec<String>) {
    let entries = fs::read_dir(at).unwrap_or_else(|why| panic!("listing {}: {why}", at.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a listed entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let inside = path.strip_prefix(root()).expect("found below the root");
            found.push(inside.to_string_lossy().into_owned());
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("reading {path}: {why}"))
}

#[test]
fn the_walls_stand() {
    let mut files = Vec::new();
    for part in ["daemon", "integration"] {
        rust_files(&root().join(part), &mut files);
    }
    for known in ["daemon/src/lib.rs", "daemon/src/main.rs", "daemon/core/src/lib.rs"] {
        assert!(files.iter().any(|file| file == known), "{known} was not found: these rules look in the wrong place");
    }
    let mut found: Vec<Violation> = check_folders(&files);
    let mut sizes = Vec::new();
    for path in &files {
        let source = Source::read(&read(path));
        found.extend(check_source(path, &source));
        if path.contains("/src/") {
            sizes.extend(source.sizes(path));
        }
    }
    found.extend(ratchet(&sizes, LARGE));
    for manifest in ["daemon/Cargo.toml", "daemon/core/Cargo.toml"] {
        found.extend(check_dependencies(manifest, &read(manifest)));
    }
    let told: Vec<String> = found.iter().map(Violation::to_string).collect();
    assert!(told.is_empty(), "{} violations of design rules:\n{}\n", told.len(), told.join("\n"));
}
