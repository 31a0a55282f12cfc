//! Names on two paths: each path asks through its own interface, so a dead name server, or a dead cable before it, keeps
//! nobody from the other path; and what was once found is not forgotten with the power.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use serde_json::Value;
use serde_json::json;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::names::NameServer;
use vakt_integration::lab::net::Fault;
use vakt_integration::lab::site::smoke;

const SMOKE: &str = "00010204";
const PATHS: [&str; 2] = ["eth", "lte"];

/// Smoke, and smoke gone, in the journal and signed for.
async fn alarm(lab: &Lab) {
    let before = lab.status().await.unwrap()["journal"]["seq"].as_u64().unwrap();
    for smoking in [true, false] {
        lab.stick.line(smoke(SMOKE, smoking).trim_end()).await.unwrap();
    }
    let told = |status: &Value| status["journal"]["seq"].as_u64().unwrap() >= before + 2;
    lab.until("the alarm in the journal", told).await.unwrap();
    lab.all_signed().await.unwrap();
    let counts = lab.arc.as_ref().unwrap().counts();
    assert!(counts.clean(), "{counts:?}");
}

async fn path(lab: &Lab, path: &str, up: bool) -> Value {
    let stands = |status: &Value| status["paths"][path]["up"] == json!(up);
    let status = lab.until(&format!("{path} to be {}", if up { "up" } else { "down" }), stands).await.unwrap();
    status["paths"][path].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn r28_a_name_server_that_lies_keeps_its_own_path_down_and_nothing_from_a_path_that_has_worked() {
    let paths = PATHS.map(str::to_owned).to_vec();
    let settings = LabSettings { networks: true, names: true, paths, beat_primary_s: 5, ..LabSettings::default() };
    let mut lab = Lab::start(settings).await.unwrap();
    lab.start_arc(Misbehaviour::default()).await.unwrap();
    // As behind a captive portal: an answer at once, and it is the router.
    let lie = |lab: &mut Lab| {
        let router = lab.net().unwrap().at_the_router("eth").unwrap().1;
        lab.names.remove("eth");
        let server = NameServer::start(lab.folder(), lab.net().unwrap(), "eth", router.parse().unwrap()).unwrap();
        lab.names.insert("eth".to_owned(), server);
    };
    lie(&mut lab);
    lab.daemon.start().await.unwrap();
    lab.furnish(SMOKE, &[]).await.unwrap();
    path(&lab, "lte", true).await;
    alarm(&lab).await;
    assert_eq!(path(&lab, "eth", false).await["reason"], json!("tcp_refused"));
    // The truth once, and then the lie does no harm.
    lab.names.remove("eth");
    let broker = lab.net().unwrap().broker().ip();
    let server = NameServer::start(lab.folder(), lab.net().unwrap(), "eth", broker).unwrap();
    lab.names.insert("eth".to_owned(), server);
    path(&lab, "eth", true).await;
    lie(&mut lab);
    lab.daemon.kill().await;
    lab.daemon.start().await.unwrap();
    path(&lab, "eth", true).await;
    alarm(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r28_a_dead_name_server_stops_one_path_at_most_and_none_that_has_worked() {
    let paths = PATHS.map(str::to_owned).to_vec();
    let settings = LabSettings { networks: true, names: true, paths, beat_primary_s: 5, ..LabSettings::default() };
    let mut lab = Lab::start(settings).await.unwrap();
    lab.start_arc(Misbehaviour::default()).await.unwrap();
    // The first boot, and the first router's name server is dead: so is every question on the default route.
    lab.names["eth"].silence().unwrap();
    lab.daemon.start().await.unwrap();
    lab.furnish(SMOKE, &[]).await.unwrap();
    path(&lab, "lte", true).await;
    alarm(&lab).await;
    assert_eq!(path(&lab, "eth", false).await["reason"], json!("dns"));
    lab.names["eth"].speak().unwrap();
    path(&lab, "eth", true).await;
    alarm(&lab).await;

    // A cable out takes its name server along.
    lab.net().unwrap().break_path("eth", Fault::Silent).unwrap();
    alarm(&lab).await;
    lab.net().unwrap().mend("eth").unwrap();
    path(&lab, "eth", true).await;

    // After a power cut nobody answers at all: what has worked is tried.
    lab.daemon.kill().await;
    lab.names.values().for_each(|server| server.silence().unwrap());
    lab.daemon.start().await.unwrap();
    for name in PATHS {
        path(&lab, name, true).await;
    }
    alarm(&lab).await;
}
