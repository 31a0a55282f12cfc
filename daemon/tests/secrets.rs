//! Codes and keys on a real file system: a damaged file never keeps the hub from starting, a slow one nobody from
//! disarming.

#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use rusqlite::Connection;
use vakt_core::device::UserId;
use vaktd::secrets::io::Secrets;

#[test]
fn damaged_secrets_are_put_aside_and_the_hub_starts_without_codes() {
    let anna = UserId::new("anna").unwrap();
    for damage in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let (secrets, aside) = Secrets::open_or_anew(dir.path()).unwrap();
        assert_eq!(aside, None);
        secrets.set_code(&anna, "24680").unwrap();
        secrets.keep_zigbee(b"a network").unwrap();
        drop(secrets);
        let path = dir.path().join("secrets.db");
        let mut bytes = std::fs::read(&path).unwrap();
        match damage {
            0 => bytes[..16].fill(b'x'),
            1 => bytes.truncate(bytes.len() / 2),
            2 => bytes[100] ^= 0xFF,
            _ => bytes = b"not a database at all, but long enough to be taken for one".to_vec(),
        }
        std::fs::write(&path, &bytes).unwrap();
        let (secrets, aside) = Secrets::open_or_anew(dir.path()).unwrap();
        assert_eq!(std::fs::read(aside.unwrap()).unwrap(), bytes, "damage {damage}: kept as it was found");
        assert_eq!(secrets.whose("24680").unwrap(), None);
        assert_eq!(secrets.zigbee().unwrap(), None);
        secrets.set_code(&anna, "24680").unwrap();
        assert_eq!(secrets.whose("24680").unwrap(), Some(anna.clone()));
    }
}

#[test]
fn b6_a_change_that_hangs_keeps_nobody_from_disarming() {
    let dir = tempfile::tempdir().unwrap();
    let anna = UserId::new("anna").unwrap();
    let secrets = Secrets::open(dir.path()).unwrap();
    secrets.set_code(&anna, "24680").unwrap();
    let codes = Secrets::open(dir.path()).unwrap();
    let hangs = Connection::open(dir.path().join("secrets.db")).unwrap();
    hangs.execute_batch("BEGIN EXCLUSIVE; DELETE FROM code").unwrap();
    assert_eq!(codes.whose("24680").unwrap(), Some(anna));
}
