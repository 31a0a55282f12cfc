//! The first owner, on the unmodified daemon, its socket and its command line: by a claim code that works once.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use serde_json::Value;
use serde_json::json;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::daemon;
use vakt_integration::lab::site::CODE;
use vakt_integration::lab::site::SOON;

/// A hub that nobody owns.
async fn fresh() -> Lab {
    let mut lab = Lab::start(LabSettings::default()).await.unwrap();
    lab.start_arc(Misbehaviour::default()).await.unwrap();
    lab.daemon.start().await.unwrap();
    lab
}

/// Runs the command line: its exit code, what it printed and what it said.
async fn vaktd(lab: &Lab, arguments: &[&str], typed: &str) -> (Option<i32>, Value, String) {
    let mut command = tokio::process::Command::new(daemon::binary().unwrap());
    command.args(arguments).arg("--socket").arg(lab.daemon.control_socket());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let printed = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), printed, String::from_utf8(output.stderr).unwrap())
}

/// Runs it where somebody types: whether it ended well, and all that stood there.
async fn at_a_terminal(lab: &Lab, line: &str, typed: &str) -> (bool, String) {
    let (program, socket) = (daemon::binary().unwrap(), lab.daemon.control_socket());
    let line = format!("{} {line} --socket {}", program.display(), socket.display());
    let mut script = tokio::process::Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = script.spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

async fn drawn(lab: &Lab) -> String {
    let (exit, printed, said) = vaktd(lab, &["claim", "new"], "").await;
    assert_eq!((exit, said.as_str()), (Some(0), ""), "{printed}");
    printed["claim_code"].as_str().unwrap().to_owned()
}

async fn claims(lab: &Lab, code: &str) -> Value {
    let request = json!({"command": "claim", "claim_code": code, "user": "anna", "name": "Anna", "code": CODE});
    lab.daemon.command(&request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn s8_nobody_has_a_credential_before_the_claim_and_the_claim_code_works_once() {
    let lab = fresh().await;
    let (_, status, said) = vaktd(&lab, &["status"], "").await;
    assert_eq!(status["claimed"], json!(false));
    assert!(said.contains("vaktd claim new"), "what to do: {said}");
    assert_eq!(claims(&lab, "01K7G-MXTBZ").await["refused"], json!("no_claim_code"), "none that came with it");

    let (first, code) = (drawn(&lab).await, drawn(&lab).await);
    assert_ne!(first, code);
    assert_eq!(claims(&lab, &first).await["refused"], json!("wrong_code"), "a new one ends the one before");
    // What is no code is told so and costs no try.
    for mistyped in ["01K7G-MXTB", "01K7G-MXTBU", "01K7G-MXTBY", ""] {
        let refused = claims(&lab, mistyped).await;
        assert_eq!(refused["refused"], json!("bad_claim_code"), "{refused}");
    }
    let typed = |pin: &str| format!(" {} \n{pin}\n", code.replace('-', "").to_lowercase());
    let claim = ["claim", "--user", "anna", "--name", "Anna"];
    let (exit, _, said) = vaktd(&lab, &claim, &typed("12")).await;
    assert!(exit == Some(1) && said.contains("5 to 10 digits"), "{said}");
    let (exit, printed, said) = vaktd(&lab, &claim, &typed(CODE)).await;
    assert_eq!((exit, said.as_str()), (Some(0), ""), "{printed}");

    assert_eq!(claims(&lab, &code).await["refused"], json!("claimed"), "once");
    let (exit, _, said) = vaktd(&lab, &["claim", "new"], "").await;
    assert!(exit == Some(1) && said.contains("owner already"), "{said}");
    assert_eq!(lab.status().await.unwrap()["claimed"], json!(true));
    lab.ask(json!({"command": "area_set", "area": "house", "entry_s": 2, "exit_s": 0})).await.unwrap();
    lab.ask(json!({"command": "test_mode", "minutes": 1, "code": CODE})).await.unwrap();
    // It was his, and does not live again when he has gone.
    lab.ask(json!({"command": "user_remove", "user": "anna"})).await.unwrap();
    assert_eq!(claims(&lab, &code).await["refused"], json!("no_claim_code"));

    let arc = lab.arc.as_ref().unwrap();
    arc.wait_until("the last event", SOON, |board| board.ledger.rows().any(|row| row.kind == "user_removed"))
        .await
        .unwrap();
    let mut seen = std::fs::read(lab.daemon.log()).unwrap();
    arc.events().iter().for_each(|row| seen.extend(row.body.as_bytes()));
    let kept = std::fs::read_dir(lab.folder().join("state")).unwrap();
    kept.filter_map(|file| std::fs::read(file.unwrap().path()).ok()).for_each(|bytes| seen.extend(bytes));
    let seen = String::from_utf8_lossy(&seen).to_uppercase();
    assert!(seen.contains("\"ROLE\":\"OWNER\""), "it was looked for where the claim is on record");
    for secret in [&first, &code] {
        assert!(!seen.contains(secret.as_str()) && !seen.contains(&secret.replace('-', "")), "a claim code leaked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s7_three_wrong_claim_codes_block_the_claim_through_a_restart_and_nothing_else() {
    let mut lab = fresh().await;
    lab.ask(json!({"command": "area_set", "area": "house", "entry_s": 2, "exit_s": 0})).await.unwrap();
    lab.ask(json!({"command": "user_set", "user": "ben", "role": "member", "code": "13579"})).await.unwrap();
    let (wrong, code) = (drawn(&lab).await, drawn(&lab).await);
    for _ in 0..3 {
        assert_eq!(claims(&lab, &wrong).await["refused"], json!("wrong_code"));
    }
    assert_eq!(claims(&lab, &code).await["refused"], json!("code_blocked"));
    lab.daemon.kill().await;
    lab.daemon.start().await.unwrap();
    assert_eq!(claims(&lab, &code).await["refused"], json!("code_blocked"), "nor by pulling the plug");
    lab.ask(json!({"command": "siren_stop", "code": "13579"})).await.unwrap();
    assert_eq!(lab.status().await.unwrap()["claimed"], json!(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn s8_a_claim_that_cannot_be_kept_spends_no_claim_code() {
    let lab = fresh().await;
    lab.ask(json!({"command": "duress_set", "on": true})).await.unwrap();
    let code = drawn(&lab).await;
    let ben = json!({"command": "user_set", "user": "ben", "role": "member", "code": "13579", "duress_code": "97531"});
    lab.ask(ben).await.unwrap();
    let claim = async |claim_code: &str, user: &str, own: &str| {
        let request = json!({"command": "claim", "claim_code": claim_code, "user": user, "code": own});
        lab.daemon.command(&request).await.unwrap()
    };
    for taken in ["13579", "97531"] {
        assert_eq!(claim(&code, "anna", taken).await["refused"], json!("code_taken"));
        // Who has no claim code does not learn whether somebody has that code.
        assert_eq!(claim("01K7G-MXTBZ", "anna", taken).await["refused"], json!("wrong_code"));
    }
    let refused = claim(&code, "ben", CODE).await;
    assert_eq!(refused["refused"], json!("user_exists"), "{refused}");
    // Nobody sees what he types at a terminal: what he types once only is not taken for his code.
    let line = "claim --user anna --name Anna";
    let (well, said) = at_a_terminal(&lab, line, &format!("{code}\n{CODE}\n{CODE}1\n")).await;
    assert!(!well && said.contains("not the same"), "{said}");
    assert_eq!(lab.status().await.unwrap()["claimed"], json!(false));
    let (well, said) = at_a_terminal(&lab, line, &format!("{code}\n{CODE}\n{CODE}\n")).await;
    assert!(well, "{said}");
    assert_eq!(lab.status().await.unwrap()["claimed"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn s8_a_hub_that_has_lost_its_secrets_takes_a_new_claim_code_and_root_may_make_the_owner_without_one() {
    let mut lab = fresh().await;
    let lost = drawn(&lab).await;
    lab.daemon.stop(Duration::from_secs(10)).await.unwrap();
    std::fs::write(lab.folder().join("state/secrets.db"), "this is no database, and was one once").unwrap();
    // What was written last stands beside it, and would bring it back.
    let _ = std::fs::remove_file(lab.folder().join("state/secrets.db-wal"));
    lab.daemon.start().await.unwrap();
    let refused = claims(&lab, &lost).await;
    assert_eq!(refused["refused"], json!("no_claim_code"));
    assert!(refused["text"].as_str().unwrap().contains("vaktd claim new"), "what to do: {refused}");

    let code = drawn(&lab).await;
    // This test runs as the daemon's own user, which is as good as root; what the group may not is tried on the package.
    lab.ask(json!({"command": "user_set", "user": "cleo", "role": "owner"})).await.unwrap();
    assert_eq!(claims(&lab, &code).await["refused"], json!("claimed"));
    lab.ask(json!({"command": "user_remove", "user": "cleo"})).await.unwrap();
    assert_eq!(claims(&lab, &code).await["refused"], json!("no_claim_code"), "it ended when there was an owner");
    assert_eq!(claims(&lab, &drawn(&lab).await).await["ok"], json!(true));
}
