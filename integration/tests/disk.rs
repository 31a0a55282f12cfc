//! A disk that is full, or stands still: the alarm reaches the centre all the same, the sounders sound, a code still
//! counts, nothing else leaves; afterwards everything is journaled in order. Needs root, for loop file systems.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use serde_json::Value;
use serde_json::json;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::daemon;
use vakt_integration::lab::site::CODE;
use vakt_integration::lab::site::SOON;
use vakt_integration::lab::site::contact;
use vakt_integration::lab::site::smoke;

const SMOKE: &str = "00010204";
const DOOR: &str = "00010205";

fn run(program: &str, arguments: &[&str]) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let ran = Command::new(program).args(arguments).env("PATH", path).output();
    let ran = ran.unwrap_or_else(|error| panic!("{program}: {error}; install e2fsprogs, mount and util-linux"));
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{program} {arguments:?}: {said} (these tests need root)");
}

/// A small file system in a file. Thawed and unmounted whatever happens.
struct Disk {
    at: PathBuf,
    _folder: tempfile::TempDir,
}

impl Disk {
    fn make(block: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (image, at) = (folder.path().join("image"), folder.path().join("disk"));
        std::fs::create_dir(&at).unwrap();
        std::fs::File::create(&image).unwrap().set_len(24 << 20).unwrap();
        run("mkfs.ext4", &["-q", "-F", "-b", block, image.to_str().unwrap()]);
        run("mount", &["-o", "loop", image.to_str().unwrap(), at.to_str().unwrap()]);
        Self { at, _folder: folder }
    }

    fn fill(&self) {
        for size in [1 << 20, 1 << 14, 1024] {
            let mut number = 0;
            while std::fs::write(self.at.join(format!("ballast-{size}-{number}")), vec![1u8; size]).is_ok() {
                number += 1;
            }
        }
    }

    /// Gives so many blocks of what fills it back.
    fn give_up(&self, blocks: u64) {
        let full = std::fs::OpenOptions::new().write(true).open(self.at.join("ballast-1048576-0")).unwrap();
        full.set_len((1 << 20) - blocks * rustix::fs::statvfs(&self.at).unwrap().f_frsize).unwrap();
    }

    fn free(&self) {
        for entry in std::fs::read_dir(&self.at).unwrap().map(Result::unwrap) {
            if entry.file_name().to_string_lossy().starts_with("ballast-") {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    fn freeze(&self) {
        run("fsfreeze", &["-f", self.at.to_str().unwrap()]);
    }

    fn thaw(&self) {
        run("fsfreeze", &["-u", self.at.to_str().unwrap()]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let at = self.at.to_str().unwrap_or_default();
        let _ = Command::new("fsfreeze").args(["-u", at]).output();
        let _ = Command::new("umount").args(["-l", at]).output();
    }
}

async fn furnished(disk: &Disk) -> Lab {
    let mut lab = Lab::start(LabSettings::default()).await.unwrap();
    let state = disk.at.join("state");
    lab.daemon.configure(|config| config.state_dir = state).unwrap();
    lab.start_arc(Misbehaviour::default()).await.unwrap();
    lab.daemon.start().await.unwrap();
    lab.furnish(SMOKE, &[DOOR.to_owned()]).await.unwrap();
    let before = lab.status().await.unwrap()["journal"]["seq"].as_u64().unwrap();
    lab.stick.line(contact(DOOR, false).trim_end()).await.unwrap();
    lab.stick.line(smoke(SMOKE, false).trim_end()).await.unwrap();
    lab.until("both detectors", |status| status["journal"]["seq"].as_u64() >= Some(before + 2)).await.unwrap();
    lab.ask(json!({"command": "arm", "mode": "away", "code": CODE})).await.unwrap();
    lab.all_signed().await.unwrap();
    lab
}

/// What must hold while the disk does not take anything.
async fn holds_without_a_disk(lab: &Lab, state: &Path) -> String {
    let before = lab.status().await.unwrap()["journal"]["seq"].clone();
    lab.stick.line(smoke(SMOKE, true).trim_end()).await.unwrap();
    let arc = lab.arc.as_ref().unwrap();
    arc.wait_until("the unjournaled alarm", SOON, |board| board.ledger.counts().unjournaled >= 1).await.unwrap();
    let unjournaled: Vec<Value> = arc
        .events()
        .iter()
        .filter(|row| row.seq.is_none())
        .map(|row| serde_json::from_str(&row.body).unwrap())
        .collect();
    assert!(unjournaled.iter().all(|event| event["class"] == json!("alarm")), "nothing else leaves: {unjournaled:?}");
    let fire = unjournaled.iter().find(|event| event["detail"]["kind"] == json!("fire")).unwrap();
    assert_eq!((&fire["journaled"], &fire["seq"]), (&json!(false), &Value::Null));
    let status = lab.until("the fire's sound", |status| status["sound"] == json!("fire")).await.unwrap();
    assert!(status["journal"]["waiting_for_disk"].as_u64() > Some(0), "{status}");
    assert_eq!(status["journal"]["seq"], before, "nothing was journaled");
    for settings in [
        json!({"command": "area_set", "area": "attic", "entry_s": 1, "exit_s": 1}),
        json!({"command": "user_set", "user": "ben", "role": "member", "code": "13579"}),
        json!({"command": "siren_chirp"}),
    ] {
        let answer = lab.daemon.command(&settings).await.unwrap();
        assert_eq!(answer["refused"], json!("disk"), "{settings}: {answer}");
    }
    let disarmed = lab.ask(json!({"command": "disarm", "code": CODE})).await.unwrap();
    assert_eq!(disarmed["journaled"], json!(false), "B6: a person at the door is obeyed, and told");
    lab.ask(json!({"command": "siren_stop", "code": CODE})).await.unwrap();
    lab.until("silence", |status| status["sound"].is_null()).await.unwrap();
    assert!(state.join("journal.db").exists());
    fire["id"].as_str().unwrap().to_owned()
}

async fn right_afterwards(lab: &Lab, fire: &str) {
    lab.until("the disk's return", |status| status["journal"]["waiting_for_disk"] == json!(0)).await.unwrap();
    let arc = lab.arc.as_ref().unwrap();
    let journaled = |kind: &str| arc.events().iter().any(|row| row.kind == kind && row.seq.is_some());
    arc.wait_until("the disk's return", SOON, |board| board.ledger.rows().any(|row| row.kind == "disk_recovered"))
        .await
        .unwrap();
    for kind in ["disk_failed", "disk_recovered", "area_disarmed", "siren_stopped"] {
        assert!(journaled(kind), "{kind} is in the journal");
    }
    assert!(arc.events().iter().any(|row| row.id == fire && row.seq.is_some()), "the same alarm, under the same id");
    lab.all_signed().await.unwrap();
    assert!(arc.counts().clean(), "{:?}", arc.counts());
    let verify = Command::new(daemon::binary().unwrap())
        .args(["journal", "verify", "--db"])
        .arg(lab.daemon.journal())
        .output()
        .unwrap();
    assert_eq!(verify.status.code(), Some(0), "{}", String::from_utf8_lossy(&verify.stderr));
}

/// Where there is no log a commit goes on as long as it fits on pages that are there.
async fn until_nothing_fits(lab: &Lab, disk: &Disk) {
    for number in 0..200 {
        let user = format!("guest-{number}");
        let answer = lab.daemon.command(&json!({"command": "user_set", "user": user, "role": "guard"})).await.unwrap();
        if answer["refused"] == json!("disk") {
            return;
        }
        // What was kept aside is given up at the first commit that does not fit.
        disk.fill();
    }
    panic!("the disk is not full");
}

async fn full(block: &str) {
    let small = block != "4096";
    let disk = Disk::make(block);
    let mut lab = furnished(&disk).await;
    disk.fill();
    // The room kept aside: what happens still finds its place, and the centre hears how the disk stands.
    lab.ask(json!({"command": "user_set", "user": "cleo", "role": "member"})).await.unwrap();
    let arc = lab.arc.as_ref().unwrap();
    arc.wait_until("word of the disk", SOON, |board| board.ledger.rows().any(|row| row.kind == "disk_nearly_full"))
        .await
        .unwrap();
    assert!(!arc.events().iter().any(|row| row.kind == "disk_failed"), "nothing has failed yet");
    lab.all_signed().await.unwrap();
    disk.fill();
    until_nothing_fits(&lab, &disk).await;
    let fire = holds_without_a_disk(&lab, &disk.at.join("state")).await;
    disk.free();
    right_afterwards(&lab, &fire).await;
    // Killed where not one block is left and nothing is kept aside, it guards again, and tells.
    let reads = command(&lab, "journal", &["list"]);
    assert_eq!(reads.status.code(), Some(0), "{}", String::from_utf8_lossy(&reads.stderr));
    lab.daemon.kill().await;
    for lost in [false, true] {
        let _ = std::fs::remove_file(disk.at.join("state/journal.reserve"));
        disk.fill();
        // From the first fall on what SQLite had beside its files is gone too, and a few blocks are free: on small ones an
        // index could then be made, and not be written to.
        if lost && small {
            for file in ["journal", "secrets", "telemetry"] {
                let _ = std::fs::remove_file(disk.at.join(format!("state/{file}.db-shm")));
            }
            disk.fill();
            disk.give_up(12);
        }
        lab.daemon.start().await.unwrap();
        let arc = lab.arc.as_ref().unwrap();
        let before = arc.events().iter().filter(|row| row.kind == "alarm_raised").count();
        lab.ask(json!({"command": "sos"})).await.unwrap();
        arc.wait_until("the call for help", SOON, |board| {
            board.ledger.rows().filter(|row| row.kind == "alarm_raised").count() > before
        })
        .await
        .unwrap();
        lab.daemon.kill().await;
    }
    disk.free();
    lab.daemon.start().await.unwrap();
    lab.stick.line(contact(DOOR, true).trim_end()).await.unwrap();
    lab.all_signed().await.unwrap();
    assert!(lab.arc.as_ref().unwrap().counts().clean());
    let verify = command(&lab, "journal", &["verify"]);
    assert_eq!(verify.status.code(), Some(0), "{}", String::from_utf8_lossy(&verify.stderr));
    let told = String::from_utf8(command(&lab, "doctor", &["--json"]).stdout).unwrap();
    assert_eq!(told.contains(&format!("has blocks of {block} bytes")), small, "{told}");
}

/// What the command line says beside the running daemon.
fn command(lab: &Lab, word: &str, more: &[&str]) -> std::process::Output {
    let config = lab.daemon.config_path().to_str().unwrap();
    let mut command = Command::new(daemon::binary().unwrap());
    command.arg(word).args(more).args(["--config", config]).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_r37_a_full_disk_of_4_kib_blocks_holds_no_alarm_back() {
    full("4096").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_r37_a_full_disk_of_2_kib_blocks_neither_holds_an_alarm_back_nor_kills_the_hub() {
    full("2048").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_r37_a_full_disk_of_1_kib_blocks_neither_holds_an_alarm_back_nor_kills_the_hub() {
    full("1024").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_r37_a_frozen_disk_holds_no_alarm_back() {
    let disk = Disk::make("4096");
    let lab = furnished(&disk).await;
    disk.freeze();
    let fire = holds_without_a_disk(&lab, &disk.at.join("state")).await;
    for open in [true, false].into_iter().cycle().take(300) {
        lab.stick.line(contact(DOOR, open).trim_end()).await.unwrap();
    }
    lab.until("the list of what waits", |status| status["journal"]["waiting_for_disk"].as_u64() > Some(250))
        .await
        .unwrap();
    disk.thaw();
    right_afterwards(&lab, &fire).await;
}
