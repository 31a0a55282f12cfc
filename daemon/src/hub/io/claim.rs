//! The desk's part in claiming a hub: the first owner comes with the claim code that root drew, and it ends with him.
//!
//! Whether somebody may claim, the core judges, which also counts wrong tries. Here a claim code is drawn, told once and
//! looked up; it is never logged, and nothing is kept that tells it. There is none beside an owner, whoever was first.

use super::desk::Desk;
use super::desk::line;
use crate::control::wire::Hidden;
use crate::control::wire::refusal;
use crate::secrets::claim::ClaimCode;
use crate::secrets::io::Secrets;
use crate::secrets::io::random;
use crate::secrets::io::well_formed;
use serde_json::json;
use std::time::Duration;
use vakt_core::alarm::access::CLAIM;
use vakt_core::device::UserId;
use vakt_core::event::Method;
use vakt_core::event::UserRole;
use vakt_core::input::CodeChecked;
use vakt_core::input::Command;
use vakt_core::input::Reply;

/// How long a new owner may take to be seen by everybody who looks.
const SEEN: Duration = Duration::from_secs(2);
const CLAIMED: &str = "this hub has an owner already: there is nothing to claim";

/// What a command does to the owners.
pub(super) enum Owners {
    /// This is one from now on.
    Come(UserId),
    /// Who was one is none any more.
    Go,
}

impl Desk {
    pub(super) fn has_owner(&self) -> bool {
        self.sight.seen.borrow().state.has_owner()
    }

    pub(super) fn is_owner(&self, user: &UserId) -> bool {
        self.sight.seen.borrow().state.is_owner(user)
    }

    pub(super) fn owners(&self, command: &Command) -> Option<Owners> {
        match command {
            Command::UserSet { user, role: UserRole::Owner, .. } => Some(Owners::Come(user.clone())),
            Command::UserSet { user, .. } | Command::UserRemove { user } if self.is_owner(user) => Some(Owners::Go),
            _ => None,
        }
    }

    /// Ends the claim code, so that none outlives its time: drawn for a first owner, it is not for the next.
    pub(super) async fn owners_changed(&self, owners: Owners) {
        if let Owners::Come(user) = &owners {
            self.owner_is_seen(user).await;
        }
        self.end_claim().await;
    }

    /// Waits until whoever looks sees this owner. Only then is the claim code ended: `claim_new`, which looks after it has
    /// drawn, either sees him or has drawn before that end.
    async fn owner_is_seen(&self, user: &UserId) {
        let mut seen = self.sight.seen.clone();
        let _ = tokio::time::timeout(SEEN, seen.wait_for(|seen| seen.state.is_owner(user))).await;
    }

    /// Makes the first owner, gives him his code, and ends the claim code.
    pub(super) async fn claim(&self, claim: Hidden, user: UserId, name: Option<String>, code: Hidden) -> String {
        let claim = match (ClaimCode::read(&claim.0), well_formed(&code.0)) {
            (Ok(claim), Ok(())) => claim,
            (Err(bad), _) => return refusal("bad_claim_code", &bad.to_string()),
            (_, Err(bad)) => return refusal("bad_code", &format!("the code you choose: {bad}")),
        };
        let (owner, own) = (user.clone(), code.clone());
        let look = move |secrets: &Secrets| {
            let right = secrets.is_claim(&claim).map_err(|error| error.to_string())?;
            // The core tells it to nobody but who has the claim code: else anybody could try which codes are somebody's.
            let taken = secrets.is_taken(&owner, &own.0, false).map_err(|error| error.to_string())?;
            Ok((right, taken))
        };
        let (right, code_taken) = match Self::with(self.codes.clone(), look).await {
            Ok((Some(right), taken)) => (right, taken),
            Ok((None, _)) if !self.has_owner() => {
                let text = "this hub has no claim code: root draws one with `vaktd claim new`";
                return refusal("no_claim_code", text);
            }
            Ok((None, taken)) => (false, taken),
            Err(refusal) => return refusal,
        };
        let whose = right.then(|| user.clone());
        let checked = CodeChecked::plain(CLAIM, whose, Method::Local);
        let reply = match self.tell(Command::Claim { name, code: checked, code_taken }).await {
            Reply::Done { ok, event, journaled, .. } => {
                let text = format!("{user} is this hub's owner, and the claim code is spent");
                Reply::Done { ok, event, journaled, text }
            }
            refused @ Reply::Refused { .. } => return line(&refused),
        };
        // After the event, which is what makes the code a spent one: nobody's code is changed by who may not claim.
        let owner = user.clone();
        let set = move |secrets: &Secrets| secrets.set_code(&owner, &code.0, false).map_err(|error| error.to_string());
        let set = self.with_secrets(set).await;
        self.owners_changed(Owners::Come(user.clone())).await;
        if set.is_err() {
            let text = format!(
                "{user} is this hub's owner, but that code could not be kept, or somebody has it by now: root gives \
                 another with `vaktd user set {user} --role owner --with-code`"
            );
            return refusal("no_code", &text);
        }
        line(&reply)
    }

    /// Draws a claim code and tells it, this once.
    pub(super) async fn claim_new(&self) -> String {
        if self.has_owner() {
            return refusal("claimed", CLAIMED);
        }
        if let Err(refusal) = self.disk_answers() {
            return refusal;
        }
        let draw = |secrets: &Secrets| {
            let code = ClaimCode::draw(&random().map_err(|error| error.to_string())?);
            secrets.set_claim(&code).map_err(|error| error.to_string())?;
            Ok(code.shown())
        };
        match self.with_secrets(draw).await {
            // He came while it was drawn, and his end of it may have been too early.
            Ok(_) if self.has_owner() => {
                self.end_claim().await;
                refusal("claimed", CLAIMED)
            }
            Ok(code) => {
                tracing::info!("a claim code was drawn; one that was drawn before is good for nothing any more");
                let text = "it is shown this once and makes the first owner: `vaktd claim --user ID`";
                json!({"ok": true, "claim_code": code, "text": text}).to_string()
            }
            Err(refusal) => refusal,
        }
    }

    /// Forgets the claim code: there is an owner, or was one, and none must come to life when he goes.
    pub(super) async fn end_claim(&self) {
        let drop = |secrets: &Secrets| secrets.drop_claim().map_err(|error| error.to_string());
        if let Err(refusal) = self.with_secrets(drop).await {
            // Good for nothing while there is an owner; the next start tries again, and so does his going.
            tracing::warn!(refusal, "the claim code could not be forgotten");
        }
    }
}
