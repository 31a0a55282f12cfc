//! The stick's twin on a real pseudo-terminal, as a program that opens a serial port meets it.
#![allow(clippy::unwrap_used)] // a test that cannot go on must fail

use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use vakt_integration::twins::ncp::Ncp;
use vakt_integration::twins::ncp::Settings;
use vakt_integration::twins::ncp::ash::code;
use vakt_integration::twins::ncp::pty::Twin;

const RST: [u8; 5] = [0x1A, 0xC0, 0x38, 0xBC, 0x7E];
const RSTACK: [u8; 7] = [0x1A, 0xC1, 0x02, 0x0B, 0x0A, 0x52, 0x7E];
const WITHIN: Duration = Duration::from_secs(10);

fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

/// Resets the stick and takes its greeting, on a thread: a serial port blocks.
async fn greet(mut port: File) -> File {
    tokio::task::spawn_blocking(move || {
        port.write_all(&RST).unwrap();
        let mut greeting = [0; 7];
        port.read_exact(&mut greeting).unwrap();
        assert_eq!(greeting, RSTACK);
        port
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_opened_greeted_hung_up_and_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let twin = Twin::plug(Settings::new(13), &folder.path().join("stick"), None).unwrap();
    let mut port = greet(open(twin.path())).await;
    twin.unplug().unwrap();
    assert!(!twin.path().exists());
    let ended = tokio::task::spawn_blocking(move || port.read(&mut [0; 16])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "a hang-up, not silence: {ended:?}");
    twin.replug().unwrap();
    greet(open(twin.path())).await;
    assert_eq!(twin.ask(|ncp, _| ncp.resets()), 3, "two by the host, one by losing its power");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watchdog_tells_itself_and_a_hung_stick_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let twin = Twin::plug(Settings::new(18), &folder.path().join("stick"), None).unwrap();
    let mut port = greet(open(twin.path())).await;
    twin.ask(|ncp, now| ncp.reset(now, code::WATCHDOG));
    let told = tokio::task::spawn_blocking(move || {
        let mut told = [0; 7];
        port.read_exact(&mut told).unwrap();
        (port, told)
    });
    let (mut port, told) = told.await.unwrap();
    assert_eq!(told[..4], [0x1A, 0xC1, 0x02, code::WATCHDOG]);
    let resets = twin.ask(|ncp, _| {
        ncp.hang();
        ncp.resets()
    });
    port.write_all(&RST).unwrap();
    // Its next life begins with its power; had it heard the host, there were one reset more.
    twin.unplug().unwrap();
    twin.replug().unwrap();
    greet(open(twin.path())).await;
    twin.until(WITHIN, |ncp: &Ncp| (ncp.resets() == resets + 2).then_some(())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn its_memory_outlives_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("stick.json");
    let plug = || Twin::plug(Settings::new(13), &folder.path().join("stick"), Some(&state)).unwrap();
    let twin = plug();
    greet(open(twin.path())).await;
    let boots = twin.until(WITHIN, |ncp: &Ncp| (ncp.memory().boots == 1).then_some(1)).await.unwrap();
    twin.until(WITHIN, |_| state.exists().then_some(())).await.unwrap();
    drop(twin);
    assert_eq!(plug().ask(|ncp, _| ncp.memory().boots), boots);
    std::fs::write(&state, "{").unwrap();
    let refused = Twin::plug(Settings::new(13), &folder.path().join("stick"), Some(&state)).unwrap_err();
    assert!(refused.to_string().contains("stick.json"), "{refused}");
}
