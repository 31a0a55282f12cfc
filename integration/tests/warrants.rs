//! Orders from afar, on a real broker and the unmodified daemon: what is obeyed, once, and what is refused and why.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use serde_json::Value;
use serde_json::json;
use vakt_integration::arc::ArcHandle;
use vakt_integration::arc::jws::Signer;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::daemon::CentreKey;
use vakt_integration::lab::daemon::binary;
use vakt_integration::lab::site::SOON;
use vakt_integration::lab::site::contact;
use vakt_integration::lab::site::smoke;

const SMOKE: &str = "00010204";
const DOOR: &str = "00010205";
const PHONE: &str = "anna-phone";

fn maker() -> Signer {
    Signer::from_seed("maker-1", &[21; 32])
}

fn phone() -> Signer {
    Signer::from_seed(PHONE, &[22; 32])
}

/// A furnished house whose maker's key is listed, a centre, and both other keys in its hands.
async fn furnished() -> Lab {
    let mut lab = Lab::start(LabSettings { beat_primary_s: 5, ..LabSettings::default() }).await.unwrap();
    let key = CentreKey { kid: "maker-1".to_owned(), role: "maker".to_owned(), ed25519: maker().public_key_text() };
    lab.daemon.configure(|config| config.centre.key.push(key)).unwrap();
    lab.start_arc(Misbehaviour::default()).await.unwrap();
    for signer in [maker(), phone()] {
        arc(&lab).also_signs(signer).await;
    }
    lab.daemon.start().await.unwrap();
    lab.furnish(SMOKE, &[DOOR.to_owned()]).await.unwrap();
    lab.stick.line(contact(DOOR, false).trim_end()).await.unwrap();
    lab.all_signed().await.unwrap();
    lab
}

fn arc(lab: &Lab) -> &ArcHandle {
    lab.arc.as_ref().unwrap()
}

/// Sends an order and waits for its last word: neither `accepted` nor `sent`.
async fn ordered(lab: &Lab, line: &str) -> Value {
    let jti = arc(lab).order(line).await.unwrap();
    last_word(lab, &jti, 0).await
}

/// The same under a name that has had replies already.
async fn once_more(lab: &Lab, line: &str, jti: &str) -> Value {
    let known = arc(lab).replies(jti).len();
    assert_eq!(arc(lab).order(line).await.unwrap(), jti);
    last_word(lab, jti, known).await
}

async fn last_word(lab: &Lab, jti: &str, mut known: usize) -> Value {
    loop {
        let replies = arc(lab).wait_reply(jti, known, SOON).await.unwrap();
        if let Some(last) =
            replies[known..].iter().find(|said| said["status"] != "accepted" && said["status"] != "sent")
        {
            assert_eq!(last["jti"], json!(jti));
            return last.clone();
        }
        known = replies.len();
    }
}

fn is(said: &Value, status: &str, reason: Value) {
    assert_eq!((&said["status"], &said["reason"]), (&json!(status), &reason), "{said}");
}

async fn event(lab: &Lab, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = || {
        let rows = arc(lab).events().into_iter().filter(|row| row.kind == kind);
        rows.map(|row| serde_json::from_str::<Value>(&row.body).unwrap()).find(|body| wanted(body))
    };
    let there = |board: &vakt_integration::arc::handle::Board| {
        let mut rows = board.ledger.rows().filter(|row| row.kind == kind);
        rows.any(|row| wanted(&serde_json::from_str::<Value>(&row.body).unwrap()))
    };
    arc(lab).wait_until(kind, SOON, there).await.unwrap();
    found().unwrap()
}

async fn count(lab: &Lab, kind: &str) -> usize {
    lab.all_signed().await.unwrap();
    arc(lab).events().iter().filter(|row| row.kind == kind).count()
}

async fn list_the_phone(lab: &Lab) -> Value {
    let key = phone().public_key_text();
    ordered(lab, &format!("order owner key_add as=maker-1 kid={PHONE} role=owner ed25519={key}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn r01_no_picture_without_an_incident_and_the_refusal_is_journaled() {
    let lab = furnished().await;
    let said = ordered(&lab, "order arc_operator image camera=cam-porch").await;
    is(&said, "refused", json!("no_incident"));
    let refused = event(&lab, "warrant_refused", |event| event["detail"]["jti"] == said["jti"]).await;
    assert_eq!((&refused["seq"], &refused["epoch"], &refused["id"]), (&said["seq"], &said["epoch"], &said["event"]));
    let other = "order arc_operator image camera=cam-porch incident=01936f2e-7c1a-7b3c-8d4e-5f6071829304";
    is(&ordered(&lab, other).await, "refused", json!("no_incident"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forged_foreign_retained_or_too_late_is_refused_aloud_and_nothing_is_done() {
    let lab = furnished().await;
    is(&list_the_phone(&lab).await, "confirmed", Value::Null);
    let arm = format!("owner arm as={PHONE} sub=anna mode=away");
    for (word, reason) in [
        ("forged", "bad_signature"),
        ("unsigned", "bad_signature"),
        ("foreign", "other_gateway"),
        ("retained", "retained"),
    ] {
        let said = ordered(&lab, &format!("order {word} {arm}")).await;
        is(&said, "refused", json!(reason));
        assert_eq!(said["seq"], Value::Null, "nobody's word gets no row of its own");
    }
    is(&ordered(&lab, &format!("order expired {arm}")).await, "refused", json!("expired"));
    is(&ordered(&lab, "order owner arm as=maker-1 sub=anna mode=away").await, "refused", json!("not_the_keys_role"));
    is(&ordered(&lab, "order arc_operator disarm").await, "refused", json!("not_for_role"));
    is(&ordered(&lab, "order arc_operator fly").await, "refused", json!("unknown_command"));
    is(&ordered(&lab, "order arc_operator camera_close now=1").await, "refused", json!("bad_args"));
    for reason in ["bad_signature", "other_gateway", "retained", "unknown_command", "bad_args"] {
        let told = event(&lab, "order_refused", |event| event["detail"]["reason"] == json!(reason)).await;
        assert_eq!((&told["class"], &told["detail"]["count"]), (&json!("audit"), &json!(1)), "{told}");
    }
    assert_eq!(count(&lab, "area_armed").await, 0);
    assert!(arc(&lab).counts().clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owners_key_arms_and_disarms_once_whatever_is_played_again() {
    let mut lab = furnished().await;
    let arm = format!("order owner arm as={PHONE} sub=anna mode=away life=3600");
    is(&ordered(&lab, &arm).await, "refused", json!("unknown_key"));
    is(&list_the_phone(&lab).await, "confirmed", Value::Null);
    let armed = ordered(&lab, &arm).await;
    is(&armed, "confirmed", Value::Null);
    let jti = armed["jti"].as_str().unwrap().to_owned();
    let words: Vec<Value> = arc(&lab).replies(&jti).iter().map(|said| said["status"].clone()).collect();
    assert_eq!(words, [json!("accepted"), json!("confirmed")]);
    let row = event(&lab, "area_armed", |_| true).await;
    assert_eq!((&row["user"], &row["method"]), (&json!("anna"), &json!("app")));

    let again = once_more(&lab, "order again", &jti).await;
    for part in ["status", "event", "seq", "epoch"] {
        assert_eq!(again[part], armed[part], "its recorded outcome: {again}");
    }
    let other = once_more(&lab, &format!("order reused owner disarm as={PHONE} sub=anna"), &jti).await;
    is(&other, "refused", json!("jti_reused"));
    let kept = ordered(&lab, &format!("{arm} jti=kept")).await;
    lab.daemon.kill().await;
    lab.daemon.start().await.unwrap();
    lab.until("the path", |status| status["paths"]["eth"]["up"] == json!(true)).await.unwrap();
    let after = once_more(&lab, "order again", "kept").await;
    for part in ["status", "reason", "event"] {
        assert_eq!(after[part], kept[part], "its recorded outcome, after a fall: {after}");
    }
    let disarmed = ordered(&lab, &format!("order owner disarm as={PHONE} sub=anna")).await;
    is(&disarmed, "confirmed", Value::Null);
    lab.until("peace", |status| status["areas"]["house"]["arm"] == json!("disarmed")).await.unwrap();
    assert_eq!(count(&lab, "area_disarmed").await, 1);
    assert!(arc(&lab).counts().clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_silences_a_siren_from_afar_and_the_incident_stays_open() {
    let lab = furnished().await;
    is(&list_the_phone(&lab).await, "confirmed", Value::Null);
    lab.stick.line(smoke(SMOKE, true).trim_end()).await.unwrap();
    lab.until("fire", |status| status["sound"] == json!("fire")).await.unwrap();
    let said = ordered(&lab, &format!("order owner siren_stop as={PHONE} sub=anna")).await;
    is(&said, "confirmed", Value::Null);
    let status = lab.until("silence", |status| status["sound"].is_null()).await.unwrap();
    assert_eq!(status["incidents"].as_array().unwrap().len(), 1, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn b8_a_silent_call_for_help_is_the_centres_and_no_list_on_site_tells_of_it() {
    let lab = furnished().await;
    is(&list_the_phone(&lab).await, "confirmed", Value::Null);
    let said = ordered(&lab, &format!("order owner sos as={PHONE} sub=anna silent=true")).await;
    is(&said, "confirmed", Value::Null);
    let alarm = event(&lab, "alarm_raised", |event| event["detail"]["kind"] == json!("hold_up")).await;
    let id = alarm["id"].as_str().unwrap().to_owned();
    is(
        &ordered(&lab, &format!("order arc_operator incident_note incident={id} text=listening")).await,
        "confirmed",
        Value::Null,
    );
    let status = lab.status().await.unwrap();
    assert_eq!((&status["incidents"], &status["sound"]), (&json!([]), &Value::Null), "{status}");
    let listed = std::process::Command::new(binary().unwrap())
        .args(["journal", "list", "--db"])
        .arg(lab.daemon.journal())
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let rows: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // The alarm, the order, the note and the order to note it.
    assert_eq!(rows.iter().filter(|row| row["withheld"] == json!(true)).count(), 4, "{listed}");
    for word in [id.as_str(), "hold_up", "sos", "incident_note"] {
        assert!(!listed.contains(word), "{word} is listed:\n{listed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_opens_a_door_needs_a_challenge_of_this_run_of_the_hub() {
    let mut lab = furnished().await;
    is(&list_the_phone(&lab).await, "confirmed", Value::Null);
    let unlock = format!("order owner unlock as={PHONE} sub=anna");
    is(&ordered(&lab, &format!("{unlock} nonce=none")).await, "refused", json!("no_challenge"));
    is(&ordered(&lab, &format!("{unlock} life=61")).await, "refused", json!("too_long"));
    let old = arc(&lab).look(|board| board.topics["state"]["challenge"].as_str().unwrap().to_owned());
    let fresh = ordered(&lab, &unlock).await;
    assert_ne!(fresh["reason"], json!("foreign_challenge"), "the newest one the centre has seen is the hub's: {fresh}");
    lab.daemon.kill().await;
    lab.daemon.start().await.unwrap();
    lab.until("the path", |status| status["paths"]["eth"]["up"] == json!(true)).await.unwrap();
    let stale = ordered(&lab, &format!("{unlock} nonce={old}")).await;
    is(&stale, "refused", json!("foreign_challenge"));
}
