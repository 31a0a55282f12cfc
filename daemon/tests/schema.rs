//! `config/` holds what the daemon's own types say of its topics and files, and nothing else.
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

#[test]
fn the_published_schemas_are_the_programs_own() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/");
    for (name, text) in vaktd::cli::schema::published() {
        let path = format!("{folder}{name}");
        let text = format!("{text}\n");
        if std::env::var_os("VAKT_WRITE_GOLDEN").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        let hint = "VAKT_WRITE_GOLDEN=1 cargo test --release -p vaktd --test schema writes it anew";
        assert!(published == text, "{path} is not what `vaktd schema` prints; {hint}");
    }
}
