//! `vaktd first-boot`: what an installation needs once and no other shares: a name, and keys of its own. It runs as root
//! before the daemon's sandbox is shut, at every start: what is there already it leaves as it is, and it sends nothing.
//!
//! The private keys never leave the board: the centre signs the request beside the key. No code and no password is made
//! here.

use crate::cli::commands::Exit;
use crate::cli::commands::read_config;
use crate::cli::commands::say;
use crate::secrets::io::random;
use rcgen::CertificateParams;
use rcgen::DistinguishedName;
use rcgen::DnType;
use rcgen::KeyPair;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

/// The patch that names the gateway.
const NAMED: &str = "vaktd.d/00-gateway.toml";
/// Letters that are not taken for one another; 32 of them, so that one holds five bits.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
/// Letters of a drawn name: 50 bits, so that no two of a million hubs meet.
const NAME_LETTERS: usize = 10;
/// The page's own certificate holds for so long: a board without a clock begins in any year, and nobody renews it.
const PAGE_YEARS: [i32; 2] = [2025, 2045];

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// A file.
    #[error("{doing} {}: {source}", path.display())]
    File { doing: &'static str, path: PathBuf, source: std::io::Error },
    /// A key or a certificate.
    #[error("make a key: {0}")]
    Key(#[from] rcgen::Error),
    /// Randomness.
    #[error(transparent)]
    Random(#[from] crate::secrets::io::SecretsError),
}

fn file<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Failed + 'a {
    move |source| Failed::File { doing, path: path.to_owned(), source }
}

/// Makes what is missing.
pub(super) fn first_boot(config: &Path) -> Result<(), Exit> {
    let folder = config.parent().unwrap_or(Path::new("."));
    let failed = |error: Failed| {
        say(error);
        Exit::Io
    };
    name(config, folder).map_err(failed)?;
    // What is wrong with the configuration is the daemon's to tell, which is started next.
    let Ok(read) = read_config(config) else { return Ok(()) };
    keys(&folder.join("tls"), read.gateway.as_str(), &read.state_dir).map_err(failed)
}

/// Draws a name where no file gives one.
fn name(config: &Path, folder: &Path) -> Result<(), Failed> {
    let patches = std::fs::read_dir(folder.join("vaktd.d")).into_iter().flatten().flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| match std::fs::read_to_string(path) {
        // One that cannot be read may well name it.
        Ok(text) => toml::from_str::<toml::Table>(&text).map_or(true, |table| table.contains_key("gateway")),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    if patches.chain([config.to_owned()]).any(|path| named(&path)) {
        return Ok(());
    }
    let drawn = random()?;
    let letters = drawn.iter().take(NAME_LETTERS).map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    let gateway: String = "vakt-".chars().chain(letters).collect();
    let path = folder.join(NAMED);
    let text = format!(
        "# This hub's name, drawn at its first start. Another is given here, before the centre knows this one.\n\
         gateway = \"{gateway}\"\n"
    );
    put(&path, text.as_bytes(), 0o644)?;
    say(format!("this hub is called {gateway}; {} says so", path.display()));
    Ok(())
}

/// Makes the client's key with a request for the centre, and the page's key with a certificate of its own.
fn keys(folder: &Path, gateway: &str, state_dir: &Path) -> Result<(), Failed> {
    std::fs::create_dir_all(folder).map_err(file("make", folder))?;
    let names = |names: Vec<String>, common: &str| -> Result<CertificateParams, Failed> {
        let mut of = CertificateParams::new(names)?;
        of.distinguished_name = DistinguishedName::new();
        of.distinguished_name.push(DnType::CommonName, common);
        Ok(of)
    };
    let [client, request] = ["client.key", "client.csr"].map(|name| folder.join(name));
    if !client.exists() {
        let key = KeyPair::generate()?;
        put_private(&client, &key, state_dir)?;
        put(&request, names(Vec::new(), gateway)?.serialize_request(&key)?.pem()?.as_bytes(), 0o644)?;
        say(format!("have the centre sign {}, and put what it gives you beside it as client.pem", request.display()));
    }
    let [page, certificate] = ["page.key", "page.pem"].map(|name| folder.join(name));
    if !page.exists() {
        let key = KeyPair::generate()?;
        let local = format!("vakt-{gateway}.local");
        let mut of = names(vec![local.clone()], &local)?;
        [of.not_before, of.not_after] = PAGE_YEARS.map(|year| rcgen::date_time_ymd(year, 1, 1));
        // The certificate first: where the key is, both are.
        put(&certificate, of.self_signed(&key)?.pem().as_bytes(), 0o644)?;
        put_private(&page, &key, state_dir)?;
    }
    Ok(())
}

/// A private key is for the daemon's user alone: for whoever owns its state.
fn put_private(path: &Path, key: &KeyPair, state_dir: &Path) -> Result<(), Failed> {
    put(path, key.serialize_pem().as_bytes(), 0o400)?;
    match std::fs::metadata(state_dir) {
        Ok(owner) => std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid())).map_err(file("give", path)),
        // Nobody has run here yet: it is root's, and `vaktd doctor` tells when that is wrong.
        Err(_) => Ok(()),
    }
}

/// Whole or not at all, and never over what is there.
fn put(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failed> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(file("make", folder))?;
    let new = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut to = OpenOptions::new().write(true).create(true).truncate(true).mode(mode | 0o200).open(&new)?;
        to.write_all(bytes)?;
        to.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        to.sync_all()?;
        std::fs::rename(&new, path)?;
        std::fs::File::open(folder)?.sync_all()
    };
    write().map_err(file("write", path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that meets what must not be falls here
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn boot(folder: &Path) -> String {
        std::fs::create_dir_all(folder.join("state")).unwrap();
        let config = folder.join("vaktd.toml");
        if !config.exists() {
            std::fs::write(&config, format!("state_dir = \"{}\"\n", folder.join("state").display())).unwrap();
        }
        first_boot(&config).unwrap();
        std::fs::read_to_string(folder.join(NAMED)).unwrap_or_default()
    }

    fn key(folder: &Path, name: &str) -> String {
        std::fs::read_to_string(folder.join("tls").join(name)).unwrap()
    }

    /// R81: no two installations share a secret, and a second start changes nothing.
    #[test]
    fn r81_each_installation_has_a_name_and_keys_of_its_own_and_keeps_them() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (named, otherwise) = (boot(one.path()), boot(other.path()));
        assert!(named.contains("gateway = \"vakt-") && named != otherwise, "{named}{otherwise}");
        for name in ["client.key", "page.key"] {
            assert_ne!(key(one.path(), name), key(other.path(), name));
            let mode = std::fs::metadata(one.path().join("tls").join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o400, "{name}");
        }
        let before = ["client.key", "client.csr", "page.key", "page.pem"].map(|name| key(one.path(), name));
        assert_eq!(boot(one.path()), named);
        assert_eq!(["client.key", "client.csr", "page.key", "page.pem"].map(|name| key(one.path(), name)), before);
        assert!(before[1].contains("BEGIN CERTIFICATE REQUEST"));
    }

    #[test]
    fn a_hub_that_has_a_name_keeps_it_and_a_file_that_cannot_be_read_is_left_to_the_daemon() {
        for text in ["gateway = \"my-hub\"\n", "gateway = \n"] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("vaktd.toml"), text).unwrap();
            assert_eq!(boot(folder.path()), "", "{text}");
        }
    }
}
