//! The command line as a script sees it: what goes to stdout, what it exits with.
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

const CLOSED: &str = "2E44333005020100071D7AB54800002F2F02FD1B110002FD971D01000EFD3A2200000000008E40FD3A000000000000";
/// The OMS specification's example (volume 2, annex N.2) without its block CRCs, and its key.
const OMS: &str = "2E4493157856341233037A2A0020255923C95AAA26D1B2E7493B013EC4A6F6D3529B520EDFF0EA6DEFC99D6D69EBF3";
const OMS_KEY: &str = "0102030405060708090A0B0C0D0E0F11";

fn vaktd(arguments: &[&str]) -> Output {
    fed(arguments, "")
}

fn fed(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vaktd"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()); // it may not want to read
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn every_command_has_help_and_misuse_is_64() {
    for command in [
        &["--help"][..],
        &["run", "--help"],
        &["check", "--help"],
        &["decode", "wmbus", "--help"],
        &["decode", "zcl", "--help"],
        &["decode", "esp3", "--help"],
        &["journal", "verify", "--help"],
        &["device", "permit", "--help"],
        &["arm", "--help"],
        &["disarm", "--help"],
        &["schema", "--help"],
    ] {
        let ran = vaktd(command);
        assert!(code(&ran) == 0 && out(&ran).contains("Usage"), "{command:?}: {}", err(&ran));
    }
    for wrong in [&["fly"][..], &["decode", "wmbus"], &["schema", "moon"], &["journal", "list", "--class", "fun"], &[]]
    {
        assert_eq!(code(&vaktd(wrong)), 64, "{wrong:?}");
    }
}

#[test]
fn without_a_daemon_every_request_is_69_and_says_so() {
    let nowhere = tempfile::tempdir().unwrap();
    let socket = nowhere.path().join("control.sock");
    let socket = socket.to_str().unwrap();
    for request in [
        &["arm"][..],
        &["disarm"],
        &["status"],
        &["may-restart"],
        &["device", "list"],
        &["device", "permit"],
        &["device", "add", "wm-las-00010204-03-1a", "--kind", "smoke"],
        &["device", "assign", "wm-las-00010204-03-1a", "kitchen"],
        &["user", "set", "anna", "--with-code"],
        &["siren", "stop"],
        &["cancel"],
        &["sos"],
        &["test-mode", "30"],
    ] {
        let mut arguments = request.to_vec();
        arguments.extend(["--socket", socket]);
        let ran = vaktd(&arguments);
        assert_eq!(code(&ran), 69, "{request:?}: {}", err(&ran));
        assert!(err(&ran).contains("is vaktd running"), "{}", err(&ran));
    }
}

/// B12: who calls for help where the contract is over is told so, whatever the centre acknowledges.
#[test]
fn b12_after_the_contracts_end_nobody_is_listening() {
    use std::io::{BufRead, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let called = |service: &str| {
        let sent = std::thread::scope(|scope| {
            scope.spawn(|| {
                for answer in [
                    serde_json::json!({"ok": true, "journaled": true}),
                    serde_json::json!({"ok": true, "service": service, "journal": {"unreceipted": 0, "counted": 7, "seq": 7}}),
                ] {
                    let (mut asked, _) = listener.accept().unwrap();
                    BufReader::new(&asked).read_line(&mut String::new()).unwrap();
                    writeln!(asked, "{answer}").unwrap();
                }
            });
            vaktd(&["sos", "--socket", socket.to_str().unwrap()])
        });
        assert_eq!(code(&sent), 0, "it is on record");
        err(&sent)
    };
    assert!(called("suspended").ends_with("received: the centre has it\n"));
    let ended = called("ended");
    assert!(ended.ends_with("NOBODY IS LISTENING: call 112\n") && !ended.contains("received"), "{ended}");
}

#[test]
fn a_frame_becomes_one_line_and_a_bad_one_its_reason() {
    let ran = vaktd(&["decode", "wmbus", CLOSED]);
    assert_eq!(code(&ran), 0);
    let decoded: Value = serde_json::from_str(&out(&ran)).unwrap();
    assert_eq!(decoded["link"]["id"], "00010205");
    assert_eq!((&decoded["report"]["kind"], &decoded["report"]["state"]), (&"contact".into(), &"closed".into()));
    let sealed = vaktd(&["decode", "wmbus", OMS]);
    let sealed_line: Value = serde_json::from_str(&out(&sealed)).unwrap();
    assert_eq!((code(&sealed), &sealed_line["encrypted"], &sealed_line["report"]), (0, &"mode5".into(), &Value::Null));
    let opened = vaktd(&["decode", "wmbus", "--key", OMS_KEY, OMS]);
    assert!(code(&opened) == 0 && out(&opened).contains("28504.27"), "{}", out(&opened));
    let wrong = vaktd(&["decode", "wmbus", "--key", "00000000000000000000000000000000", OMS]);
    assert!(code(&wrong) == 65 && err(&wrong).contains("wrong_key") && out(&wrong).is_empty());
    assert_eq!(code(&vaktd(&["decode", "wmbus", "2E44"])), 65);
    assert_eq!(code(&vaktd(&["decode", "wmbus", "--frame", "a", CLOSED])), 65, "no CRCs are no format A");
}

#[test]
fn a_batch_answers_line_by_line_errors_too() {
    let input = format!("{CLOSED}\nnonsense\n{OMS_KEY} {OMS}\n");
    let ran = fed(&["decode", "wmbus", "-"], &input);
    let lines: Vec<Value> = out(&ran).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code(&ran), lines.len()), (65, 3));
    assert_eq!(lines[0]["report"]["state"], "closed");
    assert_eq!(lines[1]["error"]["kind"], "bad_hex");
    assert_eq!(lines[2]["encrypted"], "mode5");
    assert_eq!(code(&fed(&["decode", "wmbus", "-"], &format!("{CLOSED}\n"))), 0);
}

/// A Tuya contact that opened (zha-device-handlers 665).
const OPENED: &str = "097C00210000000000";

#[test]
fn a_zigbee_detector_is_decoded_by_its_cluster_and_type() {
    let ran = vaktd(&["decode", "zcl", "--cluster", "0x0500", "--zone-type", "0x0015", OPENED]);
    let decoded: Value = serde_json::from_str(&out(&ran)).unwrap();
    assert_eq!((code(&ran), &decoded["header"]["tsn"]), (0, &0x7C.into()));
    assert_eq!((&decoded["report"]["kind"], &decoded["report"]["state"]), (&"contact".into(), &"open".into()));
    let untold = vaktd(&["decode", "zcl", "--cluster", "0x0500", OPENED]);
    let decoded: Value = serde_json::from_str(&out(&untold)).unwrap();
    assert_eq!((&decoded["report"]["kind"], &decoded["report"]["state"]), (&Value::Null, &"alarm".into()));
    let cut = vaktd(&["decode", "zcl", "--cluster", "0x0500", &OPENED[..14]]);
    let error: Value = serde_json::from_str(&err(&cut)).unwrap();
    assert_eq!((code(&cut), out(&cut).as_str(), &error["error"]["kind"]), (65, "", &"too_short".into()));
    assert_eq!(error["error"]["at"], 7);
    for wrong in [&["decode", "zcl", OPENED][..], &["decode", "zcl", "--cluster", "0500", OPENED]] {
        assert_eq!(code(&vaktd(wrong)), 64, "the cluster is never guessed: {wrong:?}");
    }
    for wrong in ["0x", "0x10500", "0x+500", "500x0"] {
        assert_eq!(code(&vaktd(&["decode", "zcl", "--cluster", wrong, OPENED])), 64, "{wrong}");
    }
}

#[test]
fn a_batch_of_zigbee_frames_answers_line_by_line_errors_too() {
    let batch = ["decode", "zcl", "--cluster", "0x0500", "--zone-type", "0x000d", "-"];
    let long = "0".repeat(70_000);
    let ran = fed(&batch, &format!("091300010000000000\nnonsense\n\n{long}\r\n193E00200000170000"));
    let lines: Vec<Value> = out(&ran).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code(&ran), lines.len()), (65, 5));
    assert_eq!((&lines[0]["report"]["kind"], &lines[0]["report"]["state"]), (&"motion".into(), &"alarm".into()));
    let kinds: Vec<&Value> = lines[1..4].iter().map(|line| &line["error"]["kind"]).collect();
    assert_eq!(kinds, ["bad_hex", "too_short", "too_long"]);
    assert_eq!(lines[4]["report"]["state"], "clear");
    assert_eq!(code(&fed(&batch, "091300010000000000\n")), 0);
}

/// An Eltako FFG7B that was closed (enocean-mqtt-bridge), and the secure example of EnOcean's annex A.4.1 with its key.
const HANDLE: &str = "55000707017AF6F00587854A2000FFFFFFFF4A000C";
const SECURE: &str = "5500110701A5313EEAC4A2DFC0FFEEEAF20E019EB63B0003FFFFFFFFFF00BC";
const SECURE_KEY: &str = "456E4F6365616E20476D62482E313300";

#[test]
fn an_enocean_packet_is_decoded_by_the_profile_that_is_given() {
    let ran = vaktd(&["decode", "esp3", "--eep", "F6-10-00", HANDLE]);
    let decoded: Value = serde_json::from_str(&out(&ran)).unwrap();
    assert_eq!((code(&ran), &decoded["radio"]["sender"]), (0, &"0587854A".into()));
    assert_eq!((&decoded["report"]["kind"], &decoded["report"]["state"]), (&"contact".into(), &"closed".into()));
    let untold = vaktd(&["decode", "esp3", HANDLE]);
    assert!(code(&untold) == 0 && out(&untold).contains("\"report\":null"), "{}", out(&untold));
    for wrong in ["F6-10", "F6-10-0", "handle"] {
        assert_eq!(code(&vaktd(&["decode", "esp3", "--eep", wrong, HANDLE])), 64, "{wrong}");
    }
    let other = vaktd(&["decode", "esp3", "--eep", "D5-00-01", HANDLE]);
    assert!(code(&other) == 65 && err(&other).contains("wrong_profile") && out(&other).is_empty());
    let bare = vaktd(&["decode", "esp3", &HANDLE[12..26]]);
    assert!(code(&bare) == 65 && err(&bare).contains("bare radio telegram"), "{}", err(&bare));
}

#[test]
fn a_batch_of_enocean_packets_answers_line_by_line_errors_too() {
    let input = format!("{HANDLE}\n{SECURE_KEY} {}BD\nnonsense\n{SECURE_KEY} {SECURE}\n", &SECURE[..SECURE.len() - 2]);
    let ran = fed(&["decode", "esp3", "--eep", "F6-10-00", "-"], &input);
    let lines: Vec<Value> = out(&ran).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code(&ran), lines.len()), (65, 4));
    assert_eq!((&lines[0]["authenticated"], &lines[0]["report"]["state"]), (&"crc".into(), &"closed".into()));
    assert_eq!((&lines[1]["error"]["kind"], &lines[2]["error"]["kind"]), (&"bad_crc".into(), &"bad_hex".into()));
    assert_eq!((&lines[3]["authenticated"], &lines[3]["encrypted"]), (&"mac".into(), &"secure".into()));
    assert!(!out(&ran).contains(&SECURE_KEY[..8]), "a key is never printed");
}

fn config(dir: &Path, text: &str) -> String {
    let path = dir.join("vaktd.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn five_faults_of_a_configuration_are_told_at_once_with_their_lines() {
    let dir = tempfile::tempdir().unwrap();
    let text = "gateway = \"My Hub\"\nstate_dir = \"relative\"\n[site]\nprofile = \"fr\"\n[journal]\nkeep_days = 1\ncolour = 3\n";
    let ran = vaktd(&["check", "--config", &config(dir.path(), text)]);
    assert_eq!(code(&ran), 78);
    for line in [
        "toml:1: gateway",
        "toml:2: state_dir",
        "toml:4: site.profile",
        "toml:6: journal.keep_days",
        "toml:7: journal.colour",
    ] {
        assert!(err(&ran).contains(line), "{line} in {}", err(&ran));
    }
    assert_eq!(code(&vaktd(&["run", "--config", &config(dir.path(), text)])), 78);
    let missing = dir.path().join("none.toml");
    assert_eq!(code(&vaktd(&["check", "--config", missing.to_str().unwrap()])), 66);
    assert_eq!(code(&vaktd(&["check", "--config", &config(dir.path(), "gateway = \"hub-1\"\n")])), 0);
}

#[test]
fn a_patch_beside_the_configuration_is_read_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let base = config(dir.path(), "gateway = \"hub-1\"\n");
    std::fs::create_dir(dir.path().join("vaktd.d")).unwrap();
    std::fs::write(dir.path().join("vaktd.d/20-bad.toml"), "gateway = 7\n").unwrap();
    let ran = vaktd(&["check", "--config", &base]);
    assert!(code(&ran) == 78 && err(&ran).contains("20-bad.toml:1: gateway"), "{}", err(&ran));
}

#[test]
fn the_journal_is_read_without_a_daemon_and_what_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none.db");
    let none = none.to_str().unwrap();
    for command in ["list", "export", "follow", "verify"] {
        assert_eq!(code(&vaktd(&["journal", command, "--db", none])), 66, "{command}");
    }
    let rubbish = dir.path().join("rubbish.db");
    std::fs::write(&rubbish, "this is no journal").unwrap();
    let rubbish = rubbish.to_str().unwrap();
    assert_eq!(code(&vaktd(&["journal", "list", "--db", rubbish])), 65);
    assert_eq!(code(&vaktd(&["journal", "verify", "--db", rubbish])), 1);
    let opened = vaktd::journal::io::store::open(dir.path(), &[0; 32], 1).unwrap();
    drop(opened);
    let journal = dir.path().join("journal.db");
    let journal = journal.to_str().unwrap();
    let csv = vaktd(&["journal", "export", "--format", "csv", "--db", journal]);
    assert!(code(&csv) == 0 && out(&csv).starts_with("epoch,seq,at,"), "{}", err(&csv));
    assert_eq!(code(&vaktd(&["journal", "verify", "--db", journal])), 0);
}

/// S8: a claim code is typed, never an argument that others can read; and a command says all that it needs.
#[test]
fn s8_a_claim_takes_no_code_as_an_argument() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none.sock");
    let at = ["--socket", none.to_str().unwrap()];
    for wrong in [&["claim"][..], &["claim", "--user", "anna", "new"], &["claim", "--user", "anna", "01K7G-MXTBZ"]] {
        assert_eq!(code(&vaktd(&[wrong, &at].concat())), 64, "{wrong:?}");
    }
    for right in [&["claim", "--user", "anna", "--name", "Anna"][..], &["claim", "new"]] {
        assert_eq!(code(&vaktd(&[right, &at].concat())), 69, "nobody is asked for a code in vain: {right:?}");
    }
}

#[test]
fn facts_and_schemas_are_json() {
    let version: Value = serde_json::from_str(&out(&vaktd(&["version", "--json"]))).unwrap();
    assert_eq!(version["event_format"], 1);
    for what in ["event", "state", "warrant", "config"] {
        let schema: Value = serde_json::from_str(&out(&vaktd(&["schema", what]))).unwrap();
        assert!(schema["$schema"].is_string(), "{what}");
    }
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("vaktd.toml");
    let here = folder.path().display();
    let text = format!(
        "gateway = \"hub\"\nstate_dir = \"{here}\"\nrun_dir = \"{here}/none\"\n[clock]\ntrust = \"always\"\n\
         [[subghz.port]]\nname = \"stick\"\npath = \"{here}/no-stick\"\nreceiver = \"cul\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let told = vaktd(&["doctor", "--config", config.to_str().unwrap()]);
    assert_eq!((code(&told), out(&told)), (1, String::new()));
    assert!(err(&told).contains("BAD  run_dir") && err(&told).contains("BAD  port"), "{}", err(&told));
    assert_eq!(err(&told).matches("\n     -> ").count(), 2, "each with what to do: {}", err(&told));
    std::fs::create_dir(folder.path().join("none")).unwrap();
    std::fs::write(folder.path().join("no-stick"), "").unwrap();
    let told = vaktd(&["doctor", "--json", "--config", config.to_str().unwrap()]);
    assert_eq!(code(&told), 0, "{}", out(&told));
    assert!(out(&told).lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["ok"] == Value::Bool(true)));
}
