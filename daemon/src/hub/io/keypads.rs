//! Keypads on the Zigbee network: what they show follows the panel, what is typed at them goes to it and its word back.
//!
//! A code is looked up once and kept nowhere. What it may do is the panel's word.

use super::clock;
use super::core::Seen;
use super::desk::checked;
use super::keypad_view;
use super::mesh::tell;
use crate::secrets::io::Secrets;
use crate::zigbee::ace::ArmNotification;
use crate::zigbee::ace::BypassResult;
use crate::zigbee::functions::Board;
use crate::zigbee::functions::Wish;
use crate::zigbee::io::AtKeypad;
use crate::zigbee::keypad::ANSWER_MS;
use crate::zigbee::keypad::Want;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::Instant;
use vakt_core::device::DeviceId;
use vakt_core::event::EventId;
use vakt_core::event::Method;
use vakt_core::input::CodeChecked;
use vakt_core::input::Command;
use vakt_core::input::Input;
use vakt_core::input::Reply;
use vakt_core::port::Waiting;

/// A block of codes ends by time alone, so keypads are looked at so often.
const LOOK: Duration = Duration::from_secs(1);
/// After so long whoever stands at a keypad has been told "not ready".
const TOLD: Duration = Duration::from_millis(ANSWER_MS);

/// Keeps what keypads show as the panel stands.
pub(super) async fn show(
    mut seen: watch::Receiver<Seen>,
    mut waiting: watch::Receiver<Waiting>,
    to: watch::Sender<Arc<Board>>,
) {
    let mut received: BTreeSet<EventId> = BTreeSet::new();
    loop {
        let now = seen.borrow_and_update().clone();
        let open = || now.state.incidents.keys().copied();
        let Waiting { events, journaled, .. } = *waiting.borrow_and_update();
        received.retain(|id| now.state.incidents.contains_key(id));
        // Nothing waits for the centre, and what is seen is among what was counted: it has signed for all of this.
        if events == 0 && journaled >= now.place.seq && now.pending == 0 {
            received.extend(open());
        }
        let board = keypad_view::board(&now.state, clock::now(), |id| received.contains(&id));
        to.send_if_modified(|shown| {
            let news = **shown != board;
            if news {
                *shown = Arc::new(board);
            }
            news
        });
        tokio::select! {
            changed = seen.changed() => if changed.is_err() { return },
            changed = waiting.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Why there is nobody whose code it could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoCode {
    /// None was typed.
    Missing,
    /// The file of secrets does not answer.
    Unknown,
}

/// What those at keypads need.
#[derive(Clone)]
pub(super) struct Desk {
    /// Whose codes are whose.
    pub codes: Arc<Mutex<Secrets>>,
    /// What the panel knows.
    pub seen: watch::Receiver<Seen>,
    /// To the core.
    pub commands: mpsc::Sender<(Input, oneshot::Sender<Reply>)>,
    /// Back to the keypad. Who waits too long was told "not ready" already.
    pub wishes: mpsc::Sender<Wish>,
}

impl Desk {
    /// Serves them until the stick's port is gone for good. Each has a task: a slow disk must not keep another from disarming.
    pub(super) async fn serve(self, mut asked: mpsc::Receiver<AtKeypad>) {
        while let Some(asked) = asked.recv().await {
            let desk = self.clone();
            tokio::spawn(async move { desk.one(asked).await });
        }
    }

    async fn one(&self, (keypad, asked, of): AtKeypad) {
        let begun = Instant::now();
        let wish = match asked.want {
            Want::Arm { mode, code, .. } => {
                let code = self.code(&keypad, code.map(|code| code.reveal().to_owned())).await;
                let state = self.seen.borrow().clone();
                let area = keypad_view::area_of(&state.state, &keypad);
                let was = area.as_ref().and_then(|area| state.state.areas.get(area)).map(|area| area.arming.clone());
                let notification = match code {
                    Err(NoCode::Missing) => ArmNotification::InvalidArmDisarmCode,
                    Err(NoCode::Unknown) => ArmNotification::NotReadyToArm,
                    // Whoever stands there was told "not ready" already, and types again: that must not be an override (B18).
                    Ok(_) if begun.elapsed() > TOLD && keypad_view::mode(mode).is_some() => {
                        ArmNotification::NotReadyToArm
                    }
                    Ok(code) => {
                        let command = match keypad_view::mode(mode) {
                            Some(mode) => Command::Arm { area, mode, code },
                            None => Command::Disarm { area, code },
                        };
                        keypad_view::notification(mode, was.as_ref(), &tell(&self.commands, command).await)
                    }
                };
                Wish::Armed(asked.id, notification)
            }
            Want::Bypass { code, .. } => {
                let code = self.code(&keypad, code.map(|code| code.reveal().to_owned())).await;
                let mut results = Vec::new();
                for device in of {
                    results.push(self.bypass(device, code.clone()).await);
                }
                Wish::Bypassed(asked.id, results)
            }
            // These go to the panel as the keypad's own words.
            Want::Emergency | Want::Fire | Want::Panic => return,
        };
        // An error means that the stick is gone.
        let _ = self.wishes.send(wish).await;
    }

    async fn bypass(&self, device: Option<DeviceId>, code: Result<CodeChecked, NoCode>) -> BypassResult {
        let state = self.seen.borrow().clone();
        let place = device.and_then(|id| state.state.devices.get(&id).map(|device| device.zone.clone()));
        let (zone, code) = match (place, code) {
            (None, _) => return BypassResult::UnknownZoneId,
            (Some(None), _) => return BypassResult::InvalidZoneId,
            (_, Err(NoCode::Missing)) => return BypassResult::InvalidArmDisarmCode,
            (_, Err(NoCode::Unknown)) => return BypassResult::ZoneNotBypassed,
            (Some(Some(zone)), Ok(code)) => (zone, code),
        };
        match tell(&self.commands, Command::Bypass { zone, on: true, code }).await {
            Reply::Done { .. } => BypassResult::ZoneBypassed,
            Reply::Refused { refused: "wrong_code" | "code_blocked", .. } => BypassResult::InvalidArmDisarmCode,
            Reply::Refused { refused: "not_for_role" | "not_this_zone", .. } => BypassResult::NotAllowed,
            Reply::Refused { .. } => BypassResult::ZoneNotBypassed,
        }
    }

    /// Whose it is.
    async fn code(&self, keypad: &DeviceId, code: Option<String>) -> Result<CodeChecked, NoCode> {
        // No code is no try: three of them must not block a keypad.
        let Some(code) = code.filter(|code| !code.is_empty()) else { return Err(NoCode::Missing) };
        // A tag says its number where a code would stand; nobody tries tags one after the other.
        let digits = code.bytes().all(|byte| byte.is_ascii_digit());
        let method = if digits { Method::Keypad } else { Method::Tag };
        checked(self.codes.clone(), keypad.to_string(), method, code).await.map_err(|_| NoCode::Unknown)
    }
}
