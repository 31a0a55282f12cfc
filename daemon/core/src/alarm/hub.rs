//! The hub's own life: start and stop, disk, receivers, paths, keys, and acts that happen once.
//!
//! It never repeats an act: what a crash interrupted is failed, and says so.

use crate::alarm::detector;
use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::draft::cut;
use crate::alarm::service;
use crate::alarm::state::Arming;
use crate::alarm::state::Sent;
use crate::event::{Act, EventId, Fact, Method};
use crate::input::{Disk, Input, InstalledKey, RequestId};
use crate::stamp::{Deadline, Stamp};
use std::collections::BTreeSet;

/// An act that its device has not answered after this time has failed, in ms.
const ACT_MS: u64 = 15_000;
/// How many acts may be on their way at once; a further one is refused.
const ACTS_MAX: usize = 4;

pub(crate) fn on_input(draft: &mut Draft, input: Input) {
    match input {
        Input::JournalBegun { reason, old_epoch, old_seq, old_hash, salvaged, arm_state_known } => {
            let fact = Fact::JournalRestarted { reason, old_epoch, old_seq, old_hash, salvaged, arm_state_known };
            say(draft, fact);
        }
        Input::Started { version, keys, profile, timezone } => {
            let rebooted = draft.state.booted.is_some_and(|boot| boot != draft.now().boot);
            on_started(draft, version, keys);
            if draft.state.profile != Some(profile) {
                say(draft, Fact::ProfileSet { profile });
            }
            if draft.state.timezone.as_ref() != Some(&timezone) {
                say(draft, Fact::TimezoneSet { timezone });
            }
            service::on_started(draft, rebooted);
        }
        Input::Stopping => say(draft, Fact::HubStopped {}),
        Input::Receiver { receiver, error } => {
            let receiver = cut(receiver);
            match (draft.state.receivers_down.get(&receiver), error) {
                (None, Some(error)) => say(draft, Fact::ReceiverFailed { receiver, error: cut(error) }),
                (Some(_), None) => say(draft, Fact::ReceiverRecovered { receiver }),
                _ => {}
            }
        }
        Input::Path { path, reason } => on_path(draft, cut(path), reason.map(cut)),
        Input::Overdue { event, after_ms } => {
            if !draft.state.overdue.contains(&event) {
                let centre_only = draft.state.silent.contains(&event);
                draft.emit(Fact::NotDeliveredInTime { event, after_ms }, About { centre_only, ..About::default() });
            }
        }
        Input::RefusedOrder { jti, reason, count } => {
            say(draft, Fact::OrderRefused { jti: jti.map(cut), reason: cut(reason), count });
        }
        Input::RefusedReceipt { reason, count } => say(draft, Fact::ReceiptRefused { reason: cut(reason), count }),
        Input::SecretsLost { kept_as } => say(draft, Fact::SecretsLost { kept_as: cut(kept_as) }),
        Input::JoinRefused { device, count } => {
            let about = About { device: Some(device), ..About::default() };
            draft.emit(Fact::JoinRefused { count }, about);
        }
        Input::DiskFailed { error } => say(draft, Fact::DiskFailed { error: cut(error) }),
        Input::DiskRecovered { pending, refused } => say(draft, Fact::DiskRecovered { pending, refused }),
        Input::DiskRoom { low } if low == draft.state.disk_low => {}
        Input::DiskRoom { low: true } => say(draft, Fact::DiskNearlyFull {}),
        Input::DiskRoom { low: false } => say(draft, Fact::DiskHasRoom {}),
        Input::Acted { command, act, error } => on_acted(draft, command, act, error),
        Input::Interference { .. } // taken note of by `Panel::hear`
        | Input::LockUsed(_)
        | Input::LockRefused { .. }
        | Input::SelfTest { .. }
        | Input::Past { .. }
        | Input::Measured { .. }
        | Input::Supply(_)
        | Input::Surroundings { .. }
        | Input::Modem { .. }
        | Input::Warrant(_)
        | Input::Tick
        | Input::Report(_)
        | Input::Unreadable { .. }
        | Input::Gone { .. }
        | Input::Command { .. } => {}
    }
}

fn on_path(draft: &mut Draft, path: String, reason: Option<String>) {
    if draft.state.paths.get(&path) == Some(&reason) {
        return;
    }
    let cut_off = reason.is_none() && service::was_cut_off(draft);
    say(draft, reason.map_or(Fact::PathUp { path: path.clone() }, |reason| Fact::PathDown { path, reason }));
    // With one path alone its own fault says as much.
    let paths = &draft.state.paths;
    let (none, several) = (paths.values().all(Option::is_some), paths.len() > 1);
    match draft.state.all_paths_down {
        false if none && several => say(draft, Fact::AllPathsDown {}),
        true if !none => say(draft, Fact::PathsBack {}),
        _ => {}
    }
    if cut_off {
        say(draft, Fact::TestSuggested {});
    }
}

fn on_acted(draft: &mut Draft, command: EventId, act: Act, error: Option<String>) {
    // A bolt is where its lock says it is, not where it was told to go (R79).
    let read_back = matches!(act, Act::Lock | Act::Unlock | Act::EmergencyUnlock);
    match error {
        Some(reason) => failed(draft, command, act, cut(reason)),
        None if read_back || !draft.state.acts.contains_key(&command) => {}
        None => {
            let about = of_act(draft, command);
            draft.emit(Fact::CommandConfirmed { act, command }, about);
        }
    }
}

/// An act did not happen, or nobody can say that it did.
fn failed(draft: &mut Draft, command: EventId, act: Act, reason: String) {
    if draft.state.acts.contains_key(&command) {
        let about = of_act(draft, command);
        draft.emit(Fact::CommandFailed { act, command, reason }, about);
    }
}

fn of_act(draft: &Draft, command: EventId) -> About {
    let device = draft.state.acts.get(&command).and_then(|sent| sent.device.clone());
    device.map_or_else(About::default, |device| detector::place_of(draft, device))
}

fn say(draft: &mut Draft, fact: Fact) {
    draft.emit(fact, About::default());
}

fn on_started(draft: &mut Draft, version: String, keys: Vec<InstalledKey>) {
    let now = draft.now();
    let unproven = |arming: &Arming| arming.until().is_some_and(|until| until.remaining_ms(now).is_none());
    let areas = draft.state.areas.iter().filter(|(_, area)| unproven(&area.arming));
    let restarted_delays = areas.map(|(id, _)| id.clone()).collect();
    let clean = draft.state.stopped;
    say(draft, Fact::HubStarted { version: cut(version), clean, restarted_delays });
    let interrupted: Vec<(EventId, Act)> = draft.state.acts.iter().map(|(id, sent)| (*id, sent.act)).collect();
    for (command, act) in interrupted {
        failed(draft, command, act, "interrupted".to_owned());
    }
    list_keys(draft, keys);
}

/// The install facts' keys become events: whoever may write /etc/vakt decides, and the centre hears of each change.
fn list_keys(draft: &mut Draft, keys: Vec<InstalledKey>) {
    let listed: BTreeSet<&str> = keys.iter().map(|key| key.kid.as_str()).collect();
    let gone = draft.state.keys.iter().filter(|(kid, key)| !key.added && !listed.contains(kid.as_str()));
    let gone: Vec<String> = gone.map(|(kid, _)| kid.clone()).collect();
    for kid in gone {
        say(draft, Fact::KeyWithdrawn { kid });
    }
    for InstalledKey { kid, role, ed25519 } in keys {
        let same = draft.state.keys.get(&kid).is_some_and(|key| key.role == role && key.ed25519 == ed25519);
        if !same {
            say(draft, Fact::KeyListed { kid, role, ed25519 });
        }
    }
}

pub(crate) fn on_chirp(draft: &mut Draft, request: RequestId, method: Method) {
    if let Disk::Failed { .. } = draft.context.disk {
        return draft.refuse(request, "disk", "the journal's disk does not answer: acts wait until it does");
    }
    if draft.state.acts.len() >= ACTS_MAX {
        return draft.refuse(request, "busy", "earlier acts have not been answered yet");
    }
    let about = About { method: Some(method), ..About::default() };
    let event = draft.emit(Fact::CommandSent { act: Act::SirenChirp, warrant: None }, about);
    draft.done(request, event, "sent; its outcome is in the journal");
}

pub(crate) fn act_left_ms(sent: &Sent, now: Stamp) -> u64 {
    Deadline::after(sent.at, ACT_MS).remaining_ms(now).unwrap_or(0)
}

/// Acts that nobody answered.
pub(crate) fn on_time(draft: &mut Draft) {
    let now = draft.now();
    let late = draft.state.acts.iter().filter(|(_, sent)| act_left_ms(sent, now) == 0);
    let late: Vec<(EventId, Act)> = late.map(|(id, sent)| (*id, sent.act)).collect();
    for (command, act) in late {
        failed(draft, command, act, "no_answer".to_owned());
    }
}
