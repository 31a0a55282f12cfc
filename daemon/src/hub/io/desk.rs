//! Takes requests from the control socket to the core: looks up whose code it is, keeps keys, answers what can be
//! answered by looking. It runs beside the core, so that a slow secrets file cannot hold up an alarm.

use super::core::Seeing;
use super::mesh::STOPPING;
use super::mesh::tell;
use super::radios::Radios;
use super::radios::forget;
use super::radios::key_id;
use super::view;
use crate::control::io::Asked;
use crate::control::wire::Hidden;
use crate::control::wire::Request;
use crate::control::wire::refusal;
use crate::hub::io::newcomer::read_as;
use crate::hub::io::newcomer::typed_key;
use crate::secrets::io::Secrets;
use crate::subghz::decode::from_hex;
use crate::subghz::eep;
use crate::subghz::enocean_door::Open;
use crate::subghz::enocean_teach::label_key;
use crate::subghz::io::Stranger;
use crate::zigbee::door::Admission;
use crate::zigbee::eui64::Eui64;
use crate::zigbee::host::Progress;
use crate::zigbee::install_code;
use crate::zigbee::interview::Stage;
use crate::zigbee::io::Order;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::Instant;
use vakt_core::device::DeviceId;
use vakt_core::device::Eep;
use vakt_core::device::UserId;
use vakt_core::event::Joining;
use vakt_core::event::Method;
use vakt_core::input::CodeChecked;
use vakt_core::input::Command;
use vakt_core::input::Input;
use vakt_core::input::Newcomer;
use vakt_core::input::Reply;

/// The secrets file may hang with its disk; a request waits so long for it.
const SECRETS: Duration = Duration::from_secs(3);
/// A stick that does not work now does not answer; an order waits so long for it.
const ORDER: Duration = Duration::from_secs(3);
/// A device that began to join in time is told of for so much longer.
const JOINING: Duration = Duration::from_secs(120);
/// How long a reply waits for the receivers to know a new device.
const KNOWN: Duration = Duration::from_secs(2);
/// Strangers listed in one window, so that a street full of meters does not flood a phone.
const STRANGERS_MAX: usize = 256;

/// What the desk works with.
#[derive(Clone)]
pub struct Desk {
    /// To the core.
    pub commands: mpsc::Sender<(Input, oneshot::Sender<Reply>)>,
    /// Keys and codes, to be changed.
    pub secrets: Arc<Mutex<Secrets>>,
    /// The same, to look codes up: a change that hangs with its disk must not keep anybody from disarming.
    pub codes: Arc<Mutex<Secrets>>,
    /// What is known of panel, devices and networks.
    pub sight: view::Sight,
    /// The 868 MHz receivers.
    pub radios: Radios,
    /// The Zigbee stick, if there is one.
    pub mesh: Option<super::mesh::Mesh>,
    /// How far newcomers are.
    pub progress: broadcast::Sender<Progress>,
    /// What waits for the centre.
    pub waiting: watch::Receiver<vakt_core::port::Waiting>,
}

/// Whose code it is, if anybody's; `source` is where it was given.
///
/// # Errors
/// The refusal: the file of secrets does not answer.
pub(super) async fn checked(
    codes: Arc<Mutex<Secrets>>,
    source: String,
    method: Method,
    code: String,
) -> Result<CodeChecked, String> {
    let whose = move |secrets: &Secrets| secrets.whose(&code).map_err(|e| e.to_string());
    let found = Desk::with(codes, whose).await?;
    let duress = found.as_ref().is_some_and(|(_, duress)| *duress);
    let user = found.map(|(user, _)| user);
    let credential = user.as_ref().map(|user| format!("pin-{user}"));
    Ok(CodeChecked { source, user, method, credential, duress })
}

impl Desk {
    /// Answers requests until the socket closes. Each has a task: a listing must not hold up a disarm.
    pub async fn run(self, mut asked: mpsc::Receiver<Asked>) {
        if self.has_owner() {
            // A fall between the event and the secrets leaves it behind.
            let desk = self.clone();
            tokio::spawn(async move { desk.end_claim().await });
        }
        while let Some(asked) = asked.recv().await {
            let desk = self.clone();
            tokio::spawn(async move { desk.answer(asked).await });
        }
    }

    async fn answer(&self, asked: Asked) {
        let Asked { request, root, answers } = asked;
        if let Some(text) = request.only_root(|user| self.is_owner(user)).filter(|_| !root) {
            return drop(answers.send(refusal("not_root", text)).await);
        }
        let line = match request {
            Request::Ping {} => json!({"ok": true}).to_string(),
            Request::Status {} => self.status(),
            Request::MayRestart {} => may_restart(&self.sight.seen.borrow()),
            Request::DeviceList {} => {
                let seen = self.sight.seen.borrow().clone();
                for line in view::device_lines(&seen.state, &self.sight.heard) {
                    if answers.send(line).await.is_err() {
                        return;
                    }
                }
                return;
            }
            Request::DevicePermit { seconds, joining, device, install_code, eep, label } => {
                let admission = match (joining, eep, label) {
                    (Some(Joining::Teach), eep, label) => self.teaching(eep, label.as_ref()).map(Some),
                    (joining, None, None) => self.admission(joining, device.as_ref(), install_code.as_ref()),
                    _ => Err(refusal("bad_request", "eep and label are for joining by teach")),
                };
                return self.permit(seconds, admission, answers).await;
            }
            Request::Claim { claim_code, user, name, code } => self.claim(claim_code, user, name, code).await,
            Request::ClaimNew {} => self.claim_new().await,
            command => self.command(command).await,
        };
        let _ = answers.send(line).await;
    }

    fn status(&self) -> String {
        let seen = self.sight.seen.borrow().clone();
        let waiting = *self.waiting.borrow();
        let networks = self.sight.networks.borrow().clone();
        let view = view::view(&seen.state, &self.sight.heard, &networks);
        let mut status = json!({
            "ok": true,
            "claimed": seen.state.has_owner(),
            "service": seen.state.standing.agreed(),
            "areas": view.state.areas,
            "incidents": view::on_site(&seen.state),
            "memory": view::memory(&seen.state),
            "gaps": vakt_core::alarm::coverage::gaps(&seen.state),
            "outcomes": seen.state.outcomes,
            "faults": view.state.faults,
            "paths": seen.state.paths.iter().map(|(path, why)| (path.clone(), json!({"up": why.is_none(), "reason": why}))).collect::<serde_json::Map<_, _>>(),
            "networks": *networks,
            "sound": seen.sound,
            "rules": seen.state.rules,
            "journal": {"epoch": seen.place.epoch, "seq": seen.place.seq, "unreceipted": waiting.events, "counted": waiting.journaled, "waiting_for_disk": seen.pending},
        });
        if let Some(supply) = *self.sight.supply.borrow() {
            status["supply"] = view::supply(supply);
        }
        if let Ok(counted) = self.radios.counted.lock()
            && !counted.is_empty()
        {
            status["receivers"] = serde_json::to_value(&*counted).expect("numbers have a JSON form");
        }
        if let Some(mesh) = &self.mesh {
            status["zigbee"] = serde_json::to_value(*mesh.met.borrow()).expect("numbers have a JSON form");
        }
        status.to_string()
    }

    async fn command(&self, request: Request) -> String {
        let command = match self.prepare(request).await {
            Ok(command) => command,
            Err(line) => return line,
        };
        let mut known = self.radios.known.clone();
        known.borrow_and_update();
        let added = matches!(command, Command::DeviceAdd(_) | Command::DeviceReplace { .. });
        let removed = match &command {
            Command::UserRemove { user } => Some(user.clone()),
            _ => None,
        };
        let owners = self.owners(&command);
        let gone = match &command {
            Command::DeviceRemove { device } | Command::DeviceReplace { old: device, .. } => Some(device.clone()),
            _ => None,
        };
        let key = match &command {
            Command::DeviceAdd(new) | Command::DeviceReplace { new, .. } => new.secret.clone(),
            _ => None,
        };
        let reply = self.tell(command).await;
        if matches!(reply, Reply::Refused { refused, .. } if refused != STOPPING) {
            forget(self.secrets.clone(), Vec::from_iter(key)).await;
        }
        if let (Some(owners), Reply::Done { .. }) = (owners, &reply) {
            self.owners_changed(owners).await;
        }
        if let (Some(device), Reply::Done { .. }) = (gone.as_ref().and_then(Eui64::of), &reply) {
            // A device of several functions stays while one of them is known.
            let prefix = device.device(None);
            let others = |seen: &super::core::Seen| {
                seen.state.devices.keys().any(|other| other.as_str().starts_with(prefix.as_str()))
            };
            let last = !others(&self.sight.seen.borrow().clone());
            if last && let Err(why) = self.order(Order::Remove(device)).await {
                let text = format!(
                    "it is gone from the panel, but still has the network's key ({why}); it is sent away when the \
                     stick works again, unless the hub is started anew before"
                );
                return json!({"ok": true, "text": text}).to_string();
            }
        }
        if let (Some(user), Reply::Done { .. }) = (removed, &reply) {
            // After the event: a code without a person opens nothing. It must not stay for the next of that name.
            let dropped = self.with_secrets(move |secrets| secrets.drop_code(&user).map_err(|e| e.to_string())).await;
            if let Err(refusal) = dropped {
                return refusal;
            }
        }
        if let (true, Reply::Done { .. }) = (added, &reply) {
            // "Known" is only true once the receivers have it too: its next telegram is heard.
            let _ = tokio::time::timeout(KNOWN, known.changed()).await;
        }
        line(&reply)
    }

    pub(super) async fn tell(&self, command: Command) -> Reply {
        tell(&self.commands, command).await
    }

    /// Turns a request into a command: codes into whose they are, keys into opaque ids.
    async fn prepare(&self, request: Request) -> Result<Command, String> {
        Ok(match request {
            Request::Arm { area, mode, code } => Command::Arm { area, mode, code: self.checked(code).await? },
            Request::Disarm { area, code } => Command::Disarm { area, code: self.checked(code).await? },
            Request::SirenStop { area, code } => Command::SirenStop { area, code: self.checked(code).await? },
            Request::SirenChirp {} => Command::SirenChirp {},
            Request::Cancel { incident, code } => Command::Cancel { incident, code: self.checked(code).await? },
            Request::TestMode { minutes, code } => Command::TestMode { minutes, code: self.checked(code).await? },
            Request::Sos { area } => Command::Sos { area },
            Request::AreaSet { area, name, entry_s, exit_s } => Command::AreaSet { area, name, entry_s, exit_s },
            Request::ZoneSet { zone, area, name, role, modes, chime } => {
                Command::ZoneSet { zone, area, name, role, modes, chime }
            }
            Request::UserSet { user, name, role, code, duress_code, expires_ms } => {
                if let Some(code) = code {
                    self.set_code(user.clone(), code, false).await?;
                }
                if let Some(code) = duress_code {
                    self.set_code(user.clone(), code, true).await?;
                }
                Command::UserSet { user, name, role, expires_ms }
            }
            Request::UserRemove { user } => Command::UserRemove { user },
            Request::DeviceAdd { device, kind, name, key, pet, eep, slf, silence_s } => {
                let new = Newcomer { name, pet, eep, silence_s, ..Newcomer::plain(device, kind) };
                Command::DeviceAdd(self.newcomer(new, key, slf).await?)
            }
            Request::DeviceReplace { old, device, kind, name, key, pet, eep, slf, silence_s } => {
                let new = Newcomer { name, pet, eep, silence_s, ..Newcomer::plain(device, kind) };
                Command::DeviceReplace { old, new: self.newcomer(new, key, slf).await? }
            }
            Request::DeviceAssign { device, zone } => Command::DeviceAssign { device, zone },
            Request::DeviceRemove { device } => Command::DeviceRemove { device },
            with_code => self.prepare_habits(with_code).await?,
        })
    }

    /// What was typed of a device, with its key among the secrets.
    async fn newcomer(&self, new: Newcomer, key: Option<Hidden>, slf: Option<String>) -> Result<Newcomer, String> {
        // Whoever is known is read as before, unless somebody says otherwise.
        let known = self.sight.seen.borrow().state.devices.get(&new.device).and_then(|device| device.eep);
        let new = Newcomer { eep: new.eep.or(known), ..new };
        let key = key.map(|key| typed_key(&key, &new.device, slf.as_deref(), new.eep)).transpose()?;
        let silence_s = read_as(&new.device, new.kind, new.eep, new.silence_s)?;
        let secret = match key {
            Some(key) => Some(self.keep_key(key).await?),
            None => None,
        };
        Ok(Newcomer { secret, silence_s, ..new })
    }

    /// How the site behaves, and what is asked of it less often.
    async fn prepare_habits(&self, request: Request) -> Result<Command, String> {
        Ok(match request {
            Request::Bypass { zone, on, code } => Command::Bypass { zone, on, code: self.checked(code).await? },
            Request::Acknowledge { area, code } => Command::Acknowledge { area, code: self.checked(code).await? },
            Request::Lock { device, code } => Command::Lock { device, code: self.checked(code).await? },
            Request::Unlock { device, code } => Command::Unlock { device, code: self.checked(code).await? },
            Request::BatteryChange { device, code } => {
                Command::BatteryChange { device, code: self.checked(code).await? }
            }
            Request::Consent { minutes, code } => Command::Consent { minutes, code: self.checked(code).await? },
            Request::KeyWorks { code } => Command::KeyWorks { code: self.checked(code).await? },
            Request::PutOff { schedule, code } => Command::PutOff { schedule, code: self.checked(code).await? },
            Request::LockSet { device, auto_lock_s, left_open_s, before_arming, disarms } => {
                Command::LockSet { device, auto_lock_s, left_open_s, before_arming, disarms }
            }
            Request::FogServiced { device } => Command::FogServiced { device },
            Request::ScheduleSet { schedule, area, mode, days, minute } => {
                Command::ScheduleSet { schedule, area, mode, days, minute }
            }
            Request::ScheduleRemove { schedule } => Command::ScheduleRemove { schedule },
            Request::RuleSet { rule, device, measure, above, limit_milli, back_milli, then } => {
                Command::RuleSet { rule, device, measure, above, limit_milli, back_milli, then }
            }
            Request::RuleRemove { rule } => Command::RuleRemove { rule },
            Request::UserBlock { user, blocked } => Command::UserBlock { user, blocked },
            Request::CredentialBlock { credential } => Command::CredentialBlock { credential },
            Request::DuressSet { on } => Command::DuressSet { on },
            _ => return Err(refusal("not_available", "this is not a command for the panel")),
        })
    }

    pub(super) async fn with_secrets<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Secrets) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        Self::with(self.secrets.clone(), work).await
    }

    pub(super) async fn with<T: Send + 'static>(
        secrets: Arc<Mutex<Secrets>>,
        work: impl FnOnce(&Secrets) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let work = tokio::task::spawn_blocking(move || match secrets.lock() {
            Ok(secrets) => work(&secrets),
            Err(_) => Err("the secrets are not available".to_owned()),
        });
        match tokio::time::timeout(SECRETS, work).await {
            Ok(Ok(done)) => done.map_err(|text| refusal("secrets", &text)),
            Ok(Err(_)) | Err(_) => Err(refusal("secrets", "the file of secrets does not answer")),
        }
    }

    async fn checked(&self, code: Hidden) -> Result<CodeChecked, String> {
        checked(self.codes.clone(), "local".to_owned(), Method::Local, code.0).await
    }

    async fn set_code(&self, user: UserId, code: Hidden, duress: bool) -> Result<(), String> {
        self.disk_answers()?;
        if duress && !self.sight.seen.borrow().state.duress {
            let text = "codes cannot be given under threat on this site: `vaktd duress on` first";
            return Err(refusal("no_duress", text));
        }
        self.with_secrets(move |secrets| secrets.set_code(&user, &code.0, duress).map_err(|e| e.to_string())).await
    }

    pub(super) fn disk_answers(&self) -> Result<(), String> {
        match self.sight.seen.borrow().state.disk_down {
            Some(_) => Err(refusal("disk", "the journal's disk does not answer: settings wait until it does")),
            None => Ok(()),
        }
    }

    async fn keep_key(&self, key: Vec<u8>) -> Result<String, String> {
        self.disk_answers()?;
        self.with_secrets(move |secrets| {
            let id = key_id().map_err(|e| e.to_string())?;
            secrets.put(&id, &key).map_err(|e| e.to_string())?;
            Ok(id)
        })
        .await
    }

    /// Opens the doors that were asked for, and tells who stands there until they shut.
    async fn permit(&self, seconds: u32, admission: Result<Option<Admitted>, String>, answers: mpsc::Sender<String>) {
        let (strangers, progress) = (self.radios.strangers.subscribe(), self.progress.subscribe());
        let mut watch = Watch { strangers, progress, told: BTreeSet::new() };
        let admission = match admission {
            Ok(admission) => admission,
            Err(refusal) => return drop(answers.send(refusal).await),
        };
        let joining = admission.as_ref().map(|admission| match admission {
            Admitted::Join(Admission::InstallCode { .. }) => Joining::InstallCode,
            Admitted::Join(Admission::Legacy) => Joining::Legacy,
            Admitted::Teach(_) => Joining::Teach,
        });
        let reply = self.tell(Command::DevicePermit { seconds, joining }).await;
        let done = matches!(reply, Reply::Done { .. });
        if done && let Err(refusal) = self.door(seconds, admission).await {
            let _ = self.tell(Command::DevicePermit { seconds: 0, joining: None }).await;
            return drop(answers.send(refusal).await);
        }
        if answers.send(line(&reply)).await.is_ok() && done && seconds > 0 {
            watch.tell(Duration::from_secs(u64::from(seconds)), &answers).await;
        }
    }

    /// Opens or shuts the doors. It was journaled before.
    async fn door(&self, seconds: u32, admission: Option<Admitted>) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(u64::from(seconds));
        let (join, teach) = match admission.filter(|_| seconds > 0) {
            Some(Admitted::Join(admission)) => (Some(admission), None),
            Some(Admitted::Teach(open)) => (None, Some((open, until))),
            None => (None, None),
        };
        self.radios.door.send_replace(teach);
        let order = match (u8::try_from(seconds), join) {
            (Ok(0), _) => Order::Shut,
            (Ok(seconds), Some(admission)) => Order::Open { seconds, admission },
            _ => return Ok(()),
        };
        match (self.order(order).await, order) {
            (Ok(()), _) | (_, Order::Shut) => Ok(()),
            (Err(why), _) => Err(refusal("no_stick", &why)),
        }
    }

    async fn order(&self, order: Order) -> Result<(), String> {
        let down = || Err("the Zigbee stick does not work now; `vaktd status` tells why".to_owned());
        let Some(mesh) = &self.mesh else { return down() };
        let (done, answer) = oneshot::channel();
        let ordered = async {
            match mesh.orders.send((order, done)).await {
                Ok(()) => answer.await.unwrap_or_else(|_| down()),
                Err(_) => down(),
            }
        };
        tokio::time::timeout(ORDER, ordered).await.unwrap_or_else(|_| down())
    }

    /// For whom the door to be taught at is opened.
    fn teaching(&self, eep: Option<Eep>, label: Option<&Hidden>) -> Result<Admitted, String> {
        if !self.radios.teaches {
            let text = "no EnOcean transceiver is configured: a [[subghz.port]] with receiver = \"enocean\" names it";
            return Err(refusal("no_transceiver", text));
        }
        if let Some(eep) = eep.filter(|eep| eep::kind(*eep).is_none()) {
            return Err(refusal("bad_eep", &format!("profile {eep} is not known to this hub")));
        }
        let read = |label: &Hidden| from_hex(&label.0).and_then(|bytes| label_key(&bytes));
        let label = label.map(read).transpose().map_err(|bad| refusal("bad_key", &bad.text))?;
        Ok(Admitted::Teach(Open { eep, label }))
    }

    /// How newcomers are to prove themselves, if they are to be let in at all.
    fn admission(
        &self,
        joining: Option<Joining>,
        device: Option<&DeviceId>,
        code: Option<&Hidden>,
    ) -> Result<Option<Admitted>, String> {
        let bad = |text: &str| Err(refusal("bad_request", text));
        match (joining, device, code) {
            (None, None, None) => Ok(None),
            (Some(Joining::InstallCode | Joining::Legacy), ..) if self.mesh.is_none() => {
                Err(refusal("no_stick", "no Zigbee stick is configured: [zigbee] in the configuration names it"))
            }
            (Some(Joining::Legacy), None, None) => Ok(Some(Admitted::Join(Admission::Legacy))),
            (Some(Joining::InstallCode), Some(device), Some(code)) => {
                let Some(device) = Eui64::of(device) else {
                    return bad("an install code needs its Zigbee device: zb- and the 16 hex digits beside the code");
                };
                let key = install_code::link_key(&code.0).map_err(|bad| refusal("bad_key", &bad.to_string()))?;
                Ok(Some(Admitted::Join(Admission::InstallCode { device, key })))
            }
            _ => bad("joining by install_code needs device and install_code, legacy needs neither"),
        }
    }
}

/// Who is let in while a door is open.
enum Admitted {
    /// Into the Zigbee network.
    Join(Admission),
    /// Who is taught.
    Teach(Open),
}

/// Who stands at the doors.
struct Watch {
    strangers: broadcast::Receiver<Stranger>,
    progress: broadcast::Receiver<Progress>,
    told: BTreeSet<DeviceId>,
}

impl Watch {
    /// Tells it until the time is over, and a while longer of who is in the middle of joining.
    async fn tell(&mut self, open: Duration, answers: &mpsc::Sender<String>) {
        let mut joining = BTreeSet::new();
        let (shut, end) = (tokio::time::sleep(open), tokio::time::sleep(open + JOINING));
        tokio::pin!(shut, end);
        loop {
            let line = tokio::select! {
                () = &mut shut, if joining.is_empty() => return,
                () = &mut end => return,
                () = answers.closed() => return,
                stranger = self.strangers.recv() => self.stranger(stranger),
                step = next(&mut self.progress) => {
                    match step.stage {
                        Stage::Ready | Stage::Failed => drop(joining.remove(&step.device)),
                        Stage::Reporting => {}
                        _ => drop(joining.insert(step.device.clone())),
                    }
                    serde_json::to_string(&step).ok()
                }
            };
            if let Some(line) = line
                && answers.send(line).await.is_err()
            {
                return;
            }
        }
    }

    fn stranger(&mut self, stranger: Result<Stranger, broadcast::error::RecvError>) -> Option<String> {
        let stranger = stranger.ok()?;
        let news = self.told.len() < STRANGERS_MAX && self.told.insert(stranger.device.clone());
        let Stranger { device, encrypted, rssi_dbm } = stranger;
        news.then(|| json!({"heard": device, "encrypted": encrypted, "rssi_dbm": rssi_dbm}).to_string())
    }
}

/// The next step of a newcomer; never, where nobody can tell any more.
async fn next(progress: &mut broadcast::Receiver<Progress>) -> Progress {
    loop {
        match progress.recv().await {
            Ok(step) => return step,
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

pub(super) fn line(reply: &Reply) -> String {
    serde_json::to_string(reply).expect("a reply is booleans and texts")
}

fn may_restart(seen: &Seeing) -> String {
    let guards = seen.state.areas.iter().find(|(_, area)| area.arming.guarding().is_some());
    let text = match guards {
        Some((id, _)) => format!("{id} is armed"),
        None if seen.state.incidents_on_site().next().is_some() => "an incident is open".to_owned(),
        None => return json!({"ok": true, "may_restart": true}).to_string(),
    };
    json!({"ok": true, "may_restart": false, "text": text}).to_string()
}
