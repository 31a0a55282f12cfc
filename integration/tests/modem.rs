//! The modem: Debian's own ModemManager on a twin of one, Debian's own NetworkManager beside the hub, and the real daemon
//! between both. Whatever they say, or however they fall, the paths are not held up.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use serde_json::Value;
use serde_json::json;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::bus::MODEMS;
use vakt_integration::lab::bus::SystemBus;
use vakt_integration::twins::modem::Card;
use vakt_integration::twins::modem::IMEI;
use vakt_integration::twins::modem::Modem;
use vakt_integration::twins::modem::OPERATOR;

const ICCID: &str = "89460001234567890123";

struct Site {
    lab: Lab,
    bus: SystemBus,
    modem: Modem,
}

impl Site {
    /// A hub with one mobile path, a bus with nobody on it, and a modem that nobody looks after.
    async fn begin(name: &str, card: Card) -> Self {
        let settings = LabSettings { paths: vec!["lte".to_owned()], beat_primary_s: 5, ..LabSettings::default() };
        let mut lab = Lab::start(settings).await.unwrap();
        lab.start_arc(Misbehaviour::default()).await.unwrap();
        let bus = SystemBus::start(&lab.folder().join("bus")).await.unwrap();
        lab.daemon.on_bus(bus.address().to_owned());
        let modem = Modem::plug(&format!("{name}-{}", std::process::id()), card).unwrap();
        Self { lab, bus, modem }
    }

    async fn up(&self) -> Value {
        let up = |status: &Value| status["paths"]["lte"]["up"] == json!(true);
        self.lab.until("lte to be up", up).await.unwrap()
    }

    async fn modem(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        self.lab.until(what, |status| so(&status["networks"]["modem"])).await.unwrap()["networks"]["modem"].clone()
    }

    /// What a technician or NetworkManager does: the radio is switched on.
    async fn enable(&self) {
        self.modem("a modem that is off", |modem| modem["state"] == "disabled").await;
        let enable = format!("{MODEMS}.Modem.Enable");
        let modem = self.path().await;
        self.bus.call(MODEMS, &modem, &enable, &["true"]).await.unwrap();
    }

    /// ModemManager's name for the only modem there is.
    async fn path(&self) -> String {
        let list = "org.freedesktop.DBus.ObjectManager.GetManagedObjects";
        let all = self.bus.call(MODEMS, "/org/freedesktop/ModemManager1", list, &[]).await.unwrap();
        let begin = all.find("/org/freedesktop/ModemManager1/Modem/").unwrap();
        all[begin..].split('\'').next().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r45_the_modem_is_shown_and_no_path_needs_those_who_tell_of_it() {
    let mut site = Site::begin("shown", Card::new(ICCID, None)).await;
    site.lab.daemon.start().await.unwrap();
    let status = site.up().await;
    assert_eq!(
        status["networks"],
        json!({"modem_manager": false, "network_manager": false, "jammed": false, "managed": {}})
    );

    for round in 0..2 {
        let port = site.modem.port().to_owned();
        site.bus.modem_manager(&port).await.unwrap();
        site.enable().await;
        let modem = site.modem("a measured signal", |modem| modem["rsrp_dbm"].is_i64()).await;
        assert_eq!(
            modem,
            json!({
                "state": "registered", "lock": "none", "pin_retries": 3, "registration": "home", "operator": OPERATOR,
                "operator_code": "00101", "technology": "lte", "quality_percent": modem["quality_percent"], "rsrp_dbm": -92, "rsrq_db": -10,
                "imei": IMEI, "iccid": ICCID, "cell": modem["cell"],
            }),
            "round {round}"
        );
        site.up().await;
        site.bus.kill_modem_manager().await;
        site.modem("nobody to tell of a modem", Value::is_null).await;
        site.up().await;
    }
}
