//! The desk's part in claiming a hub: the first owner comes with the claim code that root drew, and it ends with him.
//!
//! Whether somebody may claim, the core judges, which also counts wrong tries. Here a claim code is drawn, told once and
//! looked up; it is never logged, and nothing is kept that tells it.

use super::desk::Desk;
use super::desk::line;
use crate::control::wire::Hidden;
use crate::control::wire::refusal;
use crate::secrets::claim::ClaimCode;
use crate::secrets::io::Secrets;
use crate::secrets::io::random;
use crate::secrets::io::well_formed;
use serde_json::json;
use vakt_core::device::UserId;
use vakt_core::event::Method;
use vakt_core::input::CodeChecked;
use vakt_core::input::Command;
use vakt_core::input::Reply;

/// Where a claim code is given: wrong ones block nothing else.
const SOURCE: &str = "claim";

impl Desk {
    pub(super) fn has_owner(&self) -> bool {
        self.sight.seen.borrow().state.has_owner()
    }

    /// Makes the first owner, gives him his code, and ends the claim code.
    pub(super) async fn claim(&self, claim: Hidden, user: UserId, name: Option<String>, code: Hidden) -> String {
        let claim = match (ClaimCode::read(&claim.0), well_formed(&code.0)) {
            (Ok(claim), Ok(())) => claim,
            (Err(bad), _) => return refusal("bad_claim_code", &bad.to_string()),
            (_, Err(bad)) => return refusal("bad_code", &format!("the code you choose: {bad}")),
        };
        let look = move |secrets: &Secrets| secrets.is_claim(&claim).map_err(|error| error.to_string());
        let right = match Self::with(self.codes.clone(), look).await {
            Ok(Some(right)) => right,
            Ok(None) if !self.has_owner() => {
                let text = "this hub has no claim code: root draws one with `vaktd claim new`";
                return refusal("no_claim_code", text);
            }
            Ok(None) => false,
            Err(refusal) => return refusal,
        };
        let whose = right.then(|| user.clone());
        let checked = CodeChecked::plain(SOURCE, whose, Method::Local);
        let reply = match self.tell(Command::Claim { name, code: checked }).await {
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
        self.end_claim().await;
        if set.is_err() {
            let text = format!(
                "{user} is this hub's owner, but that code could not be kept, or somebody has it: give another with \
                 `vaktd user set {user} --role owner --with-code`"
            );
            return refusal("no_code", &text);
        }
        line(&reply)
    }

    /// Draws a claim code and tells it, this once.
    pub(super) async fn claim_new(&self) -> String {
        if self.has_owner() {
            return refusal("claimed", "this hub has an owner already: there is nothing to claim");
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
            Ok(code) => {
                tracing::info!("a claim code was drawn; one that was drawn before is good for nothing any more");
                let text = "it is shown this once and makes the first owner: `vaktd claim --user ID`";
                json!({"ok": true, "claim_code": code, "text": text}).to_string()
            }
            Err(refusal) => refusal,
        }
    }

    /// Forgets the claim code: there is an owner, and none must come to life when he goes.
    pub(super) async fn end_claim(&self) {
        let drop = |secrets: &Secrets| secrets.drop_claim().map_err(|error| error.to_string());
        if let Err(refusal) = self.with_secrets(drop).await {
            // Good for nothing while there is an owner; the next start tries again.
            tracing::warn!(refusal, "the claim code could not be forgotten");
        }
    }
}
