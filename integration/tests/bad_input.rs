//! Rubbish from every side: the daemon lives, stays small, says what it refused, and hears the next good word.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::site::SOON;
use vakt_integration::lab::site::contact;
use vakt_integration::lab::site::smoke;

const SMOKE: &str = "00010204";
const DOOR: &str = "00010205";
/// What the whole daemon may hold, in KiB, whatever arrives.
const OWN_MAX_KIB: u64 = 6 * 1024;

async fn furnished() -> Lab {
    let mut lab = Lab::start(LabSettings::default()).await.unwrap();
    lab.start_arc(Misbehaviour::default()).await.unwrap();
    lab.daemon.start().await.unwrap();
    lab.furnish(SMOKE, &[DOOR.to_owned()]).await.unwrap();
    lab.all_signed().await.unwrap();
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_on_the_stick_is_bounded_and_never_becomes_closed() {
    let lab = furnished().await;
    let before = lab.status().await.unwrap()["journal"]["seq"].clone();
    let good = contact(DOOR, false);
    let noise: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let half = good.as_bytes()[..good.len() / 2].to_vec();
    let flagged = good.replace("T1;1;1", "T1;0;1");
    let bent = good.replace("0x2E44", "0x2F44");
    for rubbish in [noise, vec![b'A'; 1 << 20], half, b"\n".to_vec(), flagged.into_bytes(), bent.into_bytes()] {
        lab.stick.bytes(&rubbish).await.unwrap();
    }
    lab.stick.bytes(b"\n").await.unwrap();
    assert_eq!(lab.status().await.unwrap()["journal"]["seq"], before, "rubbish is no event");
    assert!(lab.daemon.own_kib().unwrap() < OWN_MAX_KIB, "{} KiB", lab.daemon.own_kib().unwrap());
    lab.stick.line(smoke(SMOKE, true).trim_end()).await.unwrap();
    lab.until("the next good word", |status| status["sound"] == json!("fire")).await.unwrap();
}

async fn socket(lab: &Lab) -> UnixStream {
    UnixStream::connect(lab.folder().join("run/control.sock")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rude_client_loses_its_own_connection_only() {
    let lab = furnished().await;
    for rubbish in [b"\x00\xff\xfe\n".to_vec(), b"{}\n".to_vec(), b"{\"command\":\"open_the_door\"}\n".to_vec()] {
        let mut client = socket(&lab).await;
        client.write_all(&rubbish).await.unwrap();
        let mut answer = vec![0; 4096];
        let read = tokio::time::timeout(SOON, client.read(&mut answer)).await.unwrap().unwrap();
        assert!(String::from_utf8_lossy(&answer[..read]).contains("bad_request"));
    }
    let mut endless = socket(&lab).await;
    let _ = endless.write_all(&vec![b'A'; 1 << 20]).await; // it may be cut off while it still talks
    let mut answer = String::new();
    let _ = tokio::time::timeout(SOON, endless.read_to_string(&mut answer)).await.unwrap();
    let mut half = socket(&lab).await;
    half.write_all(b"{\"command\":").await.unwrap();
    drop(half);
    let mut idle = Vec::new();
    for _ in 0..15 {
        idle.push(socket(&lab).await);
    }
    lab.stick.line(smoke(SMOKE, true).trim_end()).await.unwrap();
    lab.until("an alarm beside idle clients", |status| status["sound"] == json!("fire")).await.unwrap();
    let own_kib = lab.daemon.own_kib().unwrap();
    assert!(own_kib < OWN_MAX_KIB, "{own_kib} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_and_a_key_leave_no_trace() {
    let lab = furnished().await;
    let (code, key) = ("9182736", "00112233445566778899aabbccddeeff");
    lab.ask(json!({"command": "user_set", "user": "canary", "role": "member", "code": code})).await.unwrap();
    let device = json!({"command": "device_add", "device": "wm-las-00010288-03-1a", "kind": "smoke", "key": key});
    lab.ask(device).await.unwrap();
    lab.ask(json!({"command": "arm", "mode": "home", "code": code})).await.ok();
    let wrong = lab.daemon.command(&json!({"command": "disarm", "code": "5550123"})).await.unwrap();
    lab.all_signed().await.unwrap();
    let arc = lab.arc.as_ref().unwrap();
    arc.wait_until("the last event", Duration::from_secs(10), |board| {
        board.ledger.rows().any(|row| row.kind == "code_refused")
    })
    .await
    .unwrap();
    let mut seen = std::fs::read_to_string(lab.daemon.log()).unwrap();
    seen.push_str(&wrong.to_string());
    arc.events().iter().for_each(|row| seen.push_str(&row.body));
    let mut journal = std::fs::read(lab.daemon.journal()).unwrap();
    journal.extend(std::fs::read(lab.folder().join("state/journal.db-wal")).unwrap_or_default());
    seen.push_str(&String::from_utf8_lossy(&journal));
    for secret in [code, "5550123", key, &key.to_uppercase()] {
        assert!(!seen.contains(secret), "a secret leaked");
    }
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(lab.folder().join("state/secrets.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
