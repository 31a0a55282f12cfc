//! The modem: Debian's own ModemManager on a twin of one, Debian's own NetworkManager beside the hub, and the real daemon
//! between both. Whatever they say, or however they fall, the paths are not held up.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use serde_json::Value;
use serde_json::json;
use std::time::Duration;
use vakt_integration::arc::handle::Board;
use vakt_integration::arc::misbehave::Misbehaviour;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::bus::MODEMS;
use vakt_integration::lab::bus::SystemBus;
use vakt_integration::lab::daemon::Config;
use vakt_integration::lab::net::Fault;
use vakt_integration::twins::modem::Air;
use vakt_integration::twins::modem::Card;
use vakt_integration::twins::modem::Deeds;
use vakt_integration::twins::modem::IMEI;
use vakt_integration::twins::modem::Modem;
use vakt_integration::twins::modem::OPERATOR;

const ICCID: &str = "89460001234567890123";
/// Longer than anything here takes; it only ends a test that hangs.
const SOON: Duration = Duration::from_secs(180);

struct Site {
    lab: Lab,
    bus: SystemBus,
    modem: Modem,
}

impl Site {
    /// A hub with one mobile path, a bus with nobody on it, and a modem that nobody looks after.
    async fn begin(name: &str, card: Card) -> Self {
        let settings = LabSettings { paths: vec!["lte".to_owned()], beat_primary_s: 5, ..LabSettings::default() };
        Self::with(name, card, settings).await
    }

    async fn with(name: &str, card: Card, settings: LabSettings) -> Self {
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
    let networks = &status["networks"];
    assert_eq!((&networks["modem_manager"], &networks["modem"]), (&json!(false), &Value::Null), "{networks}");

    for round in 0..2 {
        let port = site.modem.port().to_owned();
        site.bus.modem_manager(&port, "generic").await.unwrap();
        site.enable().await;
        let modem = site
            .modem("a measured signal", |modem| {
                modem["state"] == "registered" && modem["rsrp_dbm"].is_i64() && modem["operator"].is_string()
            })
            .await;
        assert_eq!(
            modem,
            json!({
                "state": "registered", "lock": "none", "pin_retries": 3, "registration": "home", "operator": OPERATOR,
                "operator_code": "00101", "technology": "lte", "quality_percent": modem["quality_percent"], "rsrp_dbm": -92, "rsrq_db": -10,
                "imei": IMEI, "iccid": ICCID, "cell": modem["cell"],
            }),
            "round {round}"
        );
        // It stands in the birth, and the next is a quarter of an hour away: the path is cut, and born again.
        site.lab.proxy("lte").unwrap().cut().await;
        let shown = |board: &Board| board.topics.get("path/lte").map(|path| path["signal"].clone());
        let signal = json!({"bars": 4, "operator": OPERATOR, "technology": "lte"});
        let arc = site.lab.arc.as_ref().unwrap();
        arc.wait_until("its signal", SOON, |board| shown(board) == Some(signal.clone())).await.unwrap();
        site.up().await;
        site.bus.kill_modem_manager().await;
        site.modem("nobody to tell of a modem", Value::is_null).await;
        site.up().await;
    }
}

impl Site {
    /// The first event of this type after so many of its type, as the centre holds it.
    async fn told(&self, kind: &str, after: usize) -> Value {
        let arc = self.lab.arc.as_ref().unwrap();
        let rows = |board: &Board| board.ledger.rows().filter(|row| row.kind == kind).nth(after).cloned();
        arc.wait_until(&format!("{kind}, number {after}"), SOON, |board| rows(board).is_some()).await.unwrap();
        arc.look(rows).unwrap().json()["detail"].clone()
    }

    /// How often the centre was told this.
    fn count(&self, kind: &str) -> usize {
        let arc = self.lab.arc.as_ref().unwrap();
        arc.look(|board| board.ledger.rows().filter(|row| row.kind == kind).count())
    }

    /// The SIM card's PIN as somebody writes it into its file; it is used from the next look on.
    fn pin(&mut self, digits: &str) {
        let file = self.lab.folder().join("sim-pin");
        std::fs::write(&file, format!("{digits}\n")).unwrap();
        self.lab.daemon.configure(|config| config.modem.get_or_insert_default().pin_file = Some(file)).unwrap();
    }

    async fn modem_manager(&mut self) {
        let port = self.modem.port().to_owned();
        self.bus.modem_manager(&port, "generic").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r45_a_locked_card_is_given_its_pin_once_and_not_again_after_a_fall() {
    let mut site = Site::begin("pin", Card::new(ICCID, Some("1234"))).await;
    site.pin("0000");
    site.modem_manager().await;
    site.lab.daemon.start().await.unwrap();
    let refused = |modem: &Value| modem["lock"] == "pin" && modem["pin_retries"] == 2;
    site.modem("a PIN that was refused", refused).await;
    assert_eq!(site.told("sim_locked", 0).await, json!({"modem": "lte", "why": "pin_refused"}));
    for _ in 0..2 {
        site.lab.daemon.kill().await;
        site.lab.daemon.start().await.unwrap();
        // It has looked, and judged what it saw before it shows it.
        site.modem("the locked card again", refused).await;
    }
    assert_eq!(site.modem.deeds().pins, ["0000"], "one try, and no second");
    // Another PIN is another try; three are never made.
    site.pin("1234");
    site.modem("an open card", |modem| modem["lock"] == "none").await;
    site.told("sim_unlocked", 0).await;
    assert_eq!(site.modem.deeds().pins, ["0000", "1234"]);
    assert_eq!((site.count("sim_locked"), site.modem.deeds().puks.len()), (1, 0));
    // A card that was opened may be opened again when the board loses its power.
    site.bus.kill_modem_manager().await;
    site.modem("no modem", Value::is_null).await;
    site.modem.swap(site.modem.card());
    site.modem_manager().await;
    site.modem("the card, open again", |modem| modem["lock"] == "none").await;
    assert_eq!(site.modem.deeds().pins, ["0000", "1234", "1234"]);
    let pin = |text: &str| text.contains("1234") || text.contains("0000\"");
    assert!(!pin(&std::fs::read_to_string(site.lab.folder().join("state/modem.json")).unwrap().replace(ICCID, "")));
    assert!(!std::fs::read_to_string(site.lab.daemon.log()).unwrap().contains("\"1234\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn r45_a_puk_is_told_and_never_touched_nor_is_a_cards_last_try() {
    let mut site = Site::begin("puk", Card { pin_tries: 0, ..Card::new(ICCID, Some("1234")) }).await;
    site.pin("1234");
    site.modem_manager().await;
    site.lab.daemon.start().await.unwrap();
    assert_eq!(site.told("sim_locked", 0).await, json!({"modem": "lte", "why": "puk"}));
    site.bus.kill_modem_manager().await;
    site.modem.swap(Some(Card { pin_tries: 1, ..Card::new(ICCID, Some("1234")) }));
    site.modem_manager().await;
    assert_eq!(site.told("sim_locked", 1).await, json!({"modem": "lte", "why": "last_try"}));
    assert_eq!(site.modem.deeds(), Deeds::default());
    site.up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r45_another_card_is_told_to_the_centre_and_the_first_one_again() {
    let mut site = Site::begin("swap", Card::new(ICCID, None)).await;
    site.modem_manager().await;
    site.lab.daemon.start().await.unwrap();
    let bound = json!({"modem": "lte", "imei": IMEI, "iccid": ICCID});
    assert_eq!(site.told("sim_bound", 0).await, bound);
    for (card, kind) in [("89460009876543210987", "sim_swapped"), (ICCID, "sim_back")] {
        site.bus.kill_modem_manager().await;
        site.modem.swap(Some(Card::new(card, None)));
        // What is bound is remembered over a fall.
        site.lab.daemon.kill().await;
        site.lab.daemon.start().await.unwrap();
        site.modem_manager().await;
        let detail = site.told(kind, 0).await;
        let what =
            if card == ICCID { json!({"modem": "lte"}) } else { json!({"modem": "lte", "imei": IMEI, "iccid": card}) };
        assert_eq!(detail, what);
        let fault = |status: &Value| status["faults"].to_string().contains("sim:lte") == (card != ICCID);
        site.lab.until("the fault on site", fault).await.unwrap();
    }
    assert_eq!(site.count("sim_bound"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn r27_a_network_that_is_gone_is_jamming_after_a_while_and_the_modem_is_helped_step_by_step() {
    let paths = ["eth", "lte"].map(str::to_owned).to_vec();
    // A standby path that is silent is known by its next beat.
    let beats = LabSettings { beat_primary_s: 5, beat_alternative_s: 5, ..LabSettings::default() };
    let settings = LabSettings { networks: true, paths, ..beats };
    let mut site = Site::with("ladder", Card::new(ICCID, None), settings).await;
    let quick = |config: &mut Config| {
        let modem = config.modem.get_or_insert_default();
        (modem.recover_after_s, modem.recover_pause_s) = (Some(5), Some(20));
    };
    site.lab.daemon.configure(quick).unwrap();
    let net = site.lab.net().unwrap();
    site.bus.network_manager(net, "wwan0", "198.51.100.1/30", "198.51.100.2", 700).await.unwrap();
    let port = site.modem.port().to_owned();
    site.bus.modem_manager(&port, "telit").await.unwrap();
    site.lab.daemon.start().await.unwrap();
    // NetworkManager has switched its radio on.
    site.modem("a measured signal", |modem| modem["rsrp_dbm"].is_i64()).await;
    site.up().await;
    let managed = |status: &Value| status["networks"]["managed"]["lte"]["state"] == "activated";
    site.lab.until("NetworkManager to have connected wwan0", managed).await.unwrap();
    let active = site.bus.active().await.unwrap();

    // The modem is told of nothing while its path works, whatever it says.
    site.modem.air(Air::Noise);
    site.modem("a modem without a network", |modem| modem["registration"] == "searching").await;
    site.lab.net().unwrap().break_path("lte", Fault::Silent).unwrap();
    let step = |step: &str| json!({"modem": "lte", "step": step, "reason": "not_registered"});
    assert_eq!(site.told("modem_recovery", 0).await, step("activate"));
    site.bus.activated_after(&active).await.unwrap();
    assert_eq!(site.told("modem_recovery", 1).await, step("reset"));
    site.lab.until("the reset to have reached the modem", |_| site.modem.deeds().resets == 1).await.unwrap();
    assert_eq!(site.told("jamming_started", 0).await, json!({"receiver": "lte"}));
    let jammed = |status: &Value| status["paths"]["lte"]["reason"] == "jammed";
    site.lab.until("the path to say why it is down", jammed).await.unwrap();
    // A start of the daemon does not begin the ladder anew: the round is over, and the next is a while away.
    site.lab.daemon.kill().await;
    site.lab.daemon.start().await.unwrap();
    site.lab.net().unwrap().mend("lte").unwrap();
    site.modem.air(Air::Good);
    site.up().await;
    assert_eq!((site.count("modem_recovery"), site.modem.deeds().resets), (2, 1));
}
