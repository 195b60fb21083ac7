//! A person edited CURRENT after the decision: what the edit changed is kept, with the credentials of the decided generation in it.
//!
//! Only if the edit left the credentials alone. A version that publishes others may be a rotation by hand, and is nobody's to overwrite.

use dizzy_engine::{Register, StoreIx};

use super::session::{Session, missing_version, no_register, parse};
use crate::port::{Kind, Labels, PortResult};

impl Session<'_> {
    /// Stages the decided generation anew from the edit that CURRENT shows, and remembers that CURRENT moves on from there. `false` if the
    /// version publishes something else than the credentials of the generation before or of the decided one, or if the store waits for
    /// the version that was staged. May be repeated; each edit makes one version.
    pub(super) async fn take_edit_in(&self, register: &Register, store: StoreIx, labels: &Labels) -> PortResult<bool> {
        let secret = self.secret(store)?;
        let next = register.next.ok_or_else(no_register)?;
        let edited = labels.current.as_ref().ok_or_else(no_register)?;
        let Ok(document) = parse(secret.store.read(edited, self.limits.store()).await?) else { return Ok(false) };
        let mut credentials = Vec::new();
        for at in &secret.covers {
            let (ix, config) = self.covered(*at)?;
            let Ok(shown) = self.set.credential(secret, &document, &config.name) else { return Ok(false) };
            let decided = self.load(ix, next).await?.ok_or_else(|| missing_version(next))?;
            let before = self.load(ix, register.current).await?;
            let is_ours = decided.same_login(&shown) || before.is_some_and(|before| before.same_login(&shown));
            if !is_ours {
                return Ok(false);
            }
            credentials.push((*at, decided));
        }
        let merged = self.document_to_stage(secret, document, &credentials)?;
        let staged = self.version(store, next);
        let name = self.version_name(next)?;
        let id = match secret.store.restage(&name, edited, merged.text(), self.limits.store()).await {
            Ok(id) => id,
            Err(error) if error.kind == Kind::Managed => return Ok(false),
            Err(error) => return Err(error),
        };
        // Where PENDING announces a generation, it announces this version of it now.
        if !secret.store.stages_as_pending()
            && labels.pending.is_some()
            && labels.pending == staged
            && staged.as_ref() != Some(&id)
        {
            secret.store.move_pending(staged.as_ref(), &id, self.limits.store()).await?;
        }
        let mut state = self.state();
        state.staged.insert((store.0, next), id);
        state.edited.insert(store.0, edited.clone());
        Ok(true)
    }
}
