//! One effect at a time: from positions and generations to port calls, and from their answers to outcomes. The register is here;
//! what concerns secrets and databases is in the files of these names.

use dizzy_audit::{self as audit, record::kinds};
use dizzy_engine::{DatabaseIx, Effect, Outcome, Phase, Reason, Register, StoreIx, Timestamp};

use super::{
    session::{Expiries, Session, register_error},
    trouble::Target,
};
use crate::{
    port::{Kind, PortError, PortResult},
    register::Document,
};

impl Session<'_> {
    pub(super) async fn execute(&self, register: &Register, effect: &Effect) -> Outcome {
        let began = tokio::time::Instant::now();
        match effect {
            Effect::ReadRegister => self.read_register().await,
            Effect::WriteRegister { register: next } => self.write_register(register, next).await,
            Effect::CheckCurrent { store, generation } => {
                let outcome = self.answer(self.secret_target(*store), self.check_current(*store, *generation).await);
                self.told_at_once(&self.secret_target(*store), outcome)
            }
            Effect::Inspect { database, user, generation } => {
                let result = self.inspect(register, *database, *user, *generation).await;
                let outcome = self.answer(self.database_target(*database), result);
                self.told_at_once(&self.database_target(*database), outcome)
            }
            Effect::ReadLabels { store } => match self.read_labels(register, *store).await {
                Ok(outcome) => outcome,
                Err(error) => self.failed(self.secret_target(*store), error),
            },
            Effect::Stage { store, generation, announce } => {
                let result = self.stage(register, *store, *generation, announce.is_some()).await;
                let outcome = absent_is_final(self.answer(self.secret_target(*store), result));
                let about = (Some(self.secret_target(*store)), Some((*store, *generation)));
                self.note("stage.put", &outcome, register, about, began);
                outcome
            }
            Effect::ReadBack { store, generation } => {
                self.answer(self.secret_target(*store), self.read_back(*store, *generation).await)
            }
            Effect::Login { database, user, generation } => {
                let result = self.login(register, *database, *user, *generation).await;
                let outcome = self.answer(self.database_target(*database), result);
                self.note("login.checked", &outcome, register, (Some(self.database_target(*database)), None), began);
                outcome
            }
            Effect::Apply { database, .. } | Effect::Vote { database, .. } | Effect::Restore { database, .. } => {
                let is_restore = matches!(effect, Effect::Restore { .. });
                let result = self.change(register, effect).await;
                let outcome = self.answer(self.database_target(*database), result);
                let kind = if is_restore { "undo.done" } else { "apply.done" };
                self.note(kind, &outcome, register, (Some(self.database_target(*database)), None), began);
                outcome
            }
            Effect::CommitVote { database, .. } => {
                let result = self.commit_vote(*database).await;
                let outcome = self.answer(self.database_target(*database), result);
                self.note("apply.done", &outcome, register, (Some(self.database_target(*database)), None), began);
                outcome
            }
            Effect::EndWindow { database } => {
                let result = self.end_window(register, *database).await;
                let outcome = self.answer(self.database_target(*database), result);
                self.note("window.ended", &outcome, register, (Some(self.database_target(*database)), None), began);
                outcome
            }
            Effect::Burn { database, user, from, epoch } => {
                let result = self.burn(register, *database, *user, *from, *epoch).await;
                let outcome = self.answer(self.database_target(*database), result);
                self.note("fence.raised", &outcome, register, (Some(self.database_target(*database)), None), began);
                outcome
            }
            Effect::Promote { store, from, to } => {
                let result = self.promote(*store, *from, *to).await;
                let outcome = absent_is_final(self.answer(self.secret_target(*store), result));
                let about = (Some(self.secret_target(*store)), Some((*store, *to)));
                self.note("promote.done", &outcome, register, about, began);
                outcome
            }
            Effect::Published { store, generation } => {
                let result = self.published(register, *store, *generation).await;
                self.answer(self.secret_target(*store), result)
            }
            Effect::ProveRefused { database, generation } => {
                let result = self.prove_refused(register, *database, *generation).await;
                let outcome = self.answer(self.database_target(*database), result);
                self.note("revoke.proven", &outcome, register, (Some(self.database_target(*database)), None), began);
                outcome
            }
            Effect::Prune { store, generation } => {
                let outcome = self.answer(self.secret_target(*store), self.prune(*store, *generation).await);
                let about = (Some(self.secret_target(*store)), Some((*store, *generation)));
                self.note("version.pruned", &outcome, register, about, began);
                outcome
            }
        }
    }

    async fn read_register(&self) -> Outcome {
        match self.load_register().await {
            Ok(register) => Outcome::Register(register.map(Into::into)),
            Err(error) => self.failed(Target::Journal, error),
        }
    }

    async fn load_register(&self) -> PortResult<Option<Register>> {
        let name = &self.set.config.name;
        let Some(stored) = self.set.journal.read(name, self.limits.journal()).await? else {
            return Ok(None);
        };
        let document = Document::parse(&stored.bytes, name).map_err(register_error)?;
        let mut engine = document.to_engine(&self.set.config).map_err(register_error)?;
        if !self.set.is_leased(engine.owner.until) {
            engine.owner.until = Timestamp(0);
        }
        if engine.phase != Phase::Idle && document.target != self.set.config.fingerprint() {
            return Err(PortError::refused(
                Kind::Malformed,
                "the configuration of the set was changed while a rotation was under way",
            )
            .with_hint(
                "put the databases, users and secrets back as they were, run `dizzy-keys recover`, then change them",
            ));
        }
        if !document.adopted {
            return Err(PortError::refused(Kind::FenceMissing, "the adoption of the set is not complete")
                .with_hint(format!("run `dizzy-keys prepare {name}`")));
        }
        self.trail.continue_from(document.audit.as_ref());
        let mut state = self.state();
        // A rotation that begins anew looks anew.
        state.window_over.clear();
        state.touched &= engine.phase != Phase::Idle;
        state.register = Some((document, stored.tag));
        drop(state);
        self.name_rotation();
        Ok(Some(engine))
    }

    async fn write_register(&self, old: &Register, next: &Register) -> Outcome {
        let began = tokio::time::Instant::now();
        if next.phase == Phase::Abort {
            self.drop_votes();
        }
        let is_intent = next.phase == Phase::Intent && old.phase == Phase::Idle;
        if is_intent {
            let event = self.event(kinds::INTENT, audit::Outcome::Ok, next);
            if let Err(mut error) = self.trail.require(event, self.limits.audit()).await {
                // Nothing was changed: a rotation that cannot be recorded does not begin. The record may be stored later.
                self.trail.note(self.event(kinds::WITHDRAWN, audit::Outcome::Fail, next));
                error.certainty = crate::port::Certainty::Refused;
                self.trouble(Target::Audit, error);
                return Outcome::Refused(Reason::Permanent);
            }
        }
        let Some((document, tag)) = self.state().register.clone() else {
            return Outcome::Refused(Reason::Permanent);
        };
        let mut document = document.with_engine(&self.set.config, &self.plan(), next, &self.set.who);
        for (at, rollover) in &self.state().rollover {
            document.record_rollover(self.set.name_at(DatabaseIx(*at)), *rollover);
        }
        for (at, forward_only) in &self.state().forward_only {
            document.record_forward_only(self.set.name_at(DatabaseIx(*at)), *forward_only);
        }
        for (at, Expiries { asker, told, life }) in &self.state().expiries {
            document.record_expiries(self.set.name_at(DatabaseIx(*at)), asker, told, *life);
        }
        for ((store, generation), version) in &self.state().staged {
            document.record_version(&self.secret_name(StoreIx(*store)), *generation, version);
        }
        document.forget_dropped();
        if (old.phase, next.phase) == (Phase::Intent, Phase::Commit) {
            self.record_decided(&mut document, next);
        }
        document.target = self.set.config.fingerprint();
        let at_rest = next.phase == Phase::Idle && old.phase != Phase::Idle;
        if at_rest && old.phase == Phase::Commit {
            let now = self.set.clock.now();
            document.rotated = Some(now.0);
            document.pause = None;
            document.failures = None;
            for (ix, _) in self.plan().each() {
                let life = self.state().expiries.get(&ix.0).and_then(|expiries| expiries.life);
                document.record_renewal(self.set.name_at(ix), now, life);
            }
        }
        if at_rest || next.phase == Phase::Stuck {
            let word = match (next.phase, old.phase) {
                (Phase::Stuck, _) => "stuck",
                (_, Phase::Commit) => "rotated",
                _ => "rolled-back",
            };
            document.outcome = Some(word.to_owned());
        }
        if at_rest {
            // Before the write, so that the register at rest names it: whoever cuts it off is found out.
            self.note(kinds::CLOSED, &Outcome::Applied, old, (None, None), began);
            self.trail.flush(self.limits.audit()).await;
        }
        document.audit = self.trail.head().await;
        let bytes = document.to_bytes();
        let result = self.set.journal.write(&self.set.config.name, Some(&tag), &bytes, self.limits.journal()).await;
        let outcome = match result {
            Ok(tag) => {
                self.state().register = Some((document, tag));
                self.name_rotation();
                if is_intent {
                    self.nothing_was_sent(old, |_| true);
                } else if next.phase == Phase::Intent {
                    let sent = |r: &Register, ix| r.database(ix).is_some_and(|d| d.sent);
                    self.nothing_was_sent(old, |ix| !sent(old, ix) && sent(next, ix));
                }
                Outcome::Applied
            }
            Err(error) => self.failed(Target::Journal, error),
        };
        if is_intent && matches!(outcome, Outcome::Refused(_)) {
            self.trail.note(self.event(kinds::WITHDRAWN, audit::Outcome::Fail, next));
        }
        self.note_decision(old, next, &outcome, began);
        self.note_revoke(old, next, &outcome, began);
        outcome
    }

    /// The worker that issues a generation knows that the users' passwords are those that the register recorded until then; and so
    /// does the one that marks the change of an unfenced database.
    fn nothing_was_sent(&self, before: &Register, to: impl Fn(DatabaseIx) -> bool) {
        for (ix, plan) in self.plan().each().filter(|(ix, _)| to(*ix)) {
            let Some(database) = before.database(ix) else { continue };
            let target = database.target(plan);
            if let Some((known, [])) = database.user(target).and_then(|u| Some((u.known?, u.maybe.as_slice()))) {
                self.state().proven.insert((ix.0, target, known));
            }
        }
    }

    fn note_decision(&self, old: &Register, next: &Register, outcome: &Outcome, began: tokio::time::Instant) {
        let kind = match (old.phase, next.phase) {
            (Phase::Intent, Phase::Commit) => "decision.commit",
            (Phase::Intent, Phase::Abort) => "decision.abort",
            (Phase::Intent | Phase::Abort, Phase::Stuck) => kinds::STUCK,
            _ => return,
        };
        let about = if next.next.is_some() { next } else { old };
        self.note(kind, outcome, about, (None, None), began);
    }
}

/// A secret that is not there for a write, when it was there for a read, is one that may not be written: OCI answers a missing right
/// like a missing thing. Asking again brings no right.
fn absent_is_final(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Refused(Reason::Missing) => Outcome::Refused(Reason::Permanent),
        other @ (Outcome::Applied
        | Outcome::Refused(_)
        | Outcome::Unknown
        | Outcome::Register(_)
        | Outcome::Labels { .. }) => other,
    }
}
