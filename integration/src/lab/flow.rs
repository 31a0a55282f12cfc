//! A hub under way: a furnished house whose doors move and whose kitchen burns while something goes wrong around it, and
//! what must be true whatever that is. What does not come in time ends the test that waits for it.

use super::Lab;
use super::LabError;
use super::LabSettings;
use super::net::Fault;
use super::site::contact;
use super::site::smoke;
use crate::arc::misbehave::Misbehaviour;
use serde_json::Value;
use serde_json::json;

/// The two paths of a lab with networks of its own, the preferred first.
pub const PATHS: [&str; 2] = ["eth", "lte"];

/// The smoke detector.
const SMOKE: &str = "00010204";
/// The doors.
const DOORS: u64 = 10;

/// The house.
pub struct Flow {
    /// Everything it lives in.
    pub lab: Lab,
    doors: Vec<String>,
    open: bool,
}

fn come<T>(result: Result<T, LabError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn seq(status: &Value) -> u64 {
    status["journal"]["seq"].as_u64().unwrap_or(0)
}

impl Flow {
    /// Starts it, with a centre that has signed for all there is.
    pub async fn begin(settings: LabSettings) -> Self {
        let mut lab = come(Lab::start(settings).await);
        come(lab.start_arc(Misbehaviour::default()).await);
        come(lab.daemon.start().await);
        let doors: Vec<String> = (0..DOORS).map(|number| format!("000200{number:02}")).collect();
        come(lab.furnish(SMOKE, &doors).await);
        let flow = Self { lab, doors, open: false };
        flow.all_is_well("the beginning").await;
        flow
    }

    /// Starts it behind two routers, and waits until both paths are up.
    pub async fn over_two_paths(settings: LabSettings) -> Self {
        let paths = PATHS.map(str::to_owned).to_vec();
        let flow = Self::begin(LabSettings { networks: true, paths, beat_primary_s: 5, ..settings }).await;
        for path in PATHS {
            flow.up(path).await;
        }
        flow
    }

    /// Ten doors move. The seq the journal then has at least.
    pub async fn doors(&mut self) -> u64 {
        let before = seq(&come(self.lab.status().await));
        self.open = !self.open;
        for id in &self.doors {
            come(self.lab.stick.line(contact(id, self.open).trim_end()).await);
        }
        let moved = |status: &Value| seq(status) >= before + DOORS;
        seq(&come(self.lab.until("ten doors in the journal", moved).await))
    }

    /// Smoke that was gone is there again: an alarm, which does not wait for the back-off.
    pub async fn fire(&self) {
        let before = seq(&come(self.lab.status().await));
        for smoking in [false, true] {
            come(self.lab.stick.line(smoke(SMOKE, smoking).trim_end()).await);
        }
        come(self.lab.until("the alarm in the journal", |status| seq(status) > before).await);
    }

    /// Ten doors move and the kitchen burns.
    pub async fn events(&mut self) {
        self.doors().await;
        self.fire().await;
    }

    /// Waits until a path works from end to end.
    pub async fn up(&self, path: &str) {
        let up = |status: &Value| status["paths"][path]["up"] == json!(true);
        come(self.lab.until(&format!("{path} to be up"), up).await);
    }

    /// Waits until a path is down. Why it is.
    pub async fn down(&self, path: &str) -> String {
        let down = |status: &Value| status["paths"][path]["up"] == json!(false);
        let status = come(self.lab.until(&format!("{path} to be down"), down).await);
        status["paths"][path]["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a path is down for this reason.
    pub async fn down_because(&self, path: &str, reason: &str) {
        let down = |status: &Value| status["paths"][path]["reason"] == json!(reason);
        come(self.lab.until(&format!("{path} to be down with {reason}"), down).await);
    }

    /// Breaks a path of the lab's own networks.
    pub fn break_path(&self, path: &str, fault: Fault) {
        come(self.lab.net().and_then(|net| net.break_path(path, fault)));
    }

    /// Mends it.
    pub fn mend(&self, path: &str) {
        come(self.lab.net().and_then(|net| net.mend(path)));
    }

    /// Nothing is lost, out of order or different from what it was, and what came again did so in bounds.
    pub async fn all_is_well(&self, after: &str) {
        let status = self.lab.all_signed().await.unwrap_or_else(|error| panic!("after {after}: {error}"));
        let counts = self.lab.arc.as_ref().map(|arc| arc.counts()).unwrap_or_default();
        assert!(counts.clean(), "after {after}: {counts:?}");
        assert_eq!(counts.events, seq(&status), "after {after}");
        // What was on its way when a path failed comes again, byte for byte (else it is a conflict); not without end.
        assert!(counts.duplicates <= counts.events, "after {after}: {counts:?}");
    }
}
