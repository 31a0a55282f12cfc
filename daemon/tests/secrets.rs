//! Codes and keys on a real file system: a damaged file never keeps the hub from starting, a slow one nobody from
//! disarming.

#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use rusqlite::Connection;
use vakt_core::device::UserId;
use vaktd::secrets::claim::ClaimCode;
use vaktd::secrets::io::Secrets;

#[test]
fn damaged_secrets_are_put_aside_and_the_hub_starts_without_codes() {
    let anna = UserId::new("anna").unwrap();
    for damage in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let (secrets, aside) = Secrets::open_or_anew(dir.path()).unwrap();
        assert_eq!(aside, None);
        secrets.set_code(&anna, "24680", false).unwrap();
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
        secrets.set_code(&anna, "24680", false).unwrap();
        assert_eq!(secrets.whose("24680").unwrap(), Some((anna.clone(), false)));
    }
}

#[test]
fn b6_a_change_that_hangs_keeps_nobody_from_disarming() {
    let dir = tempfile::tempdir().unwrap();
    let anna = UserId::new("anna").unwrap();
    let secrets = Secrets::open(dir.path()).unwrap();
    secrets.set_code(&anna, "24680", false).unwrap();
    let codes = Secrets::open(dir.path()).unwrap();
    let hangs = Connection::open(dir.path().join("secrets.db")).unwrap();
    hangs.execute_batch("BEGIN EXCLUSIVE; DELETE FROM code").unwrap();
    assert_eq!(codes.whose("24680").unwrap(), Some((anna, false)));
}

#[test]
fn b1_a_code_to_be_given_under_threat_is_another_code_of_the_same_person() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = Secrets::open(dir.path()).unwrap();
    let (anna, ben) = (UserId::new("anna").unwrap(), UserId::new("ben").unwrap());
    secrets.set_code(&anna, "24680", false).unwrap();
    secrets.set_code(&anna, "24681", true).unwrap();
    assert_eq!(secrets.whose("24681").unwrap(), Some((anna.clone(), true)));
    // One code means one thing, whoever has it.
    for (user, code, duress) in [(&anna, "24680", true), (&anna, "24681", false), (&ben, "24681", false)] {
        assert!(secrets.set_code(user, code, duress).is_err(), "{user} {code}");
    }
    secrets.drop_code(&anna).unwrap();
    assert_eq!(secrets.whose("24681").unwrap(), None);
}

#[test]
fn s8_one_claim_code_at_a_time_and_the_file_tells_none() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = Secrets::open(dir.path()).unwrap();
    let [first, second] = [1, 2].map(|n| ClaimCode::draw(&[n; 32]));
    assert_eq!(secrets.is_claim(&first).unwrap(), None, "none came with it");
    secrets.set_claim(&first).unwrap();
    assert_eq!((secrets.is_claim(&first).unwrap(), secrets.is_claim(&second).unwrap()), (Some(true), Some(false)));
    secrets.set_claim(&second).unwrap();
    assert_eq!((secrets.is_claim(&first).unwrap(), secrets.is_claim(&second).unwrap()), (Some(false), Some(true)));
    drop(secrets);
    let bytes = std::fs::read(dir.path().join("secrets.db")).unwrap();
    let bytes = String::from_utf8_lossy(&bytes);
    for code in [first.shown(), second.shown(), second.shown().replace('-', "")] {
        assert!(!bytes.contains(&code));
    }
    let secrets = Secrets::open(dir.path()).unwrap();
    assert_eq!(secrets.is_claim(&second).unwrap(), Some(true));
    secrets.drop_claim().unwrap();
    assert_eq!(secrets.is_claim(&second).unwrap(), None);
    // A claim code of ten digits opens nothing as a person's code, and the other way round.
    let digits = ClaimCode::draw(&[0; 32]);
    secrets.set_claim(&digits).unwrap();
    assert_eq!(secrets.whose(&digits.shown().replace('-', "")).unwrap(), None);
}
