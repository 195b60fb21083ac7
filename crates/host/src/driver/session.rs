//! What one run knows besides the engine's worker, and the small things that every effect needs: names, deadlines, versions,
//! what an error means. The effects themselves are in `execute`, `secrets` and `databases`.

use core::time::Duration;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use dizzy_audit as audit;
use dizzy_engine::{DatabaseIx, Epoch, Generation, Outcome, Plan, Reason, Register, StoreIx, UserIx};

use super::{
    OpenSecret, OpenSet,
    keyring::Keyring,
    number,
    revoke::SessionsEnd,
    run::Limits,
    trouble::{Target, Trouble, outcome_of},
};
use crate::{
    audit::{AuditEvent, Trail},
    document::SecretDocument,
    port::{Deadline, FenceStamp, Kind, PortError, PortResult, StoredVersion, Tag, VersionId, VersionName, Vote},
    register::{Document, RolloverDocument},
};

/// What one run knows besides the engine's worker.
pub(super) struct Session<'a> {
    pub(super) set: &'a OpenSet,
    pub(super) limits: Limits,
    pub(super) trail: Trail,
    pub(super) keyring: Keyring,
    /// Held while a version is read for its passwords.
    pub(super) reading: tokio::sync::Mutex<()>,
    /// Held while the register is written besides the engine.
    pub(super) counting: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) register: Option<(Document, Tag)>,
    /// CURRENT of each secret as last read: what a new version is made from.
    pub(super) templates: BTreeMap<u8, SecretDocument>,
    /// Where PENDING is, judged by CURRENT alone: on it, or else nowhere. Spares a look at the labels.
    pub(super) pending_by_current: BTreeMap<u8, Option<VersionId>>,
    /// Where PENDING was when it was looked at.
    pub(super) pending: BTreeMap<u8, Option<VersionId>>,
    pub(super) votes: BTreeMap<u8, Box<dyn Vote>>,
    pub(super) troubles: Vec<Trouble>,
    /// Versions staged in this run, until a register write records them.
    pub(super) staged: BTreeMap<(u8, Generation), VersionId>,
    /// Whether a database may have been changed: from then on the audit trail never stands in the way.
    pub(super) touched: bool,
    pub(super) sessions_since: Option<tokio::time::Instant>,
    /// Database, user and generation of logins that this run saw succeed, or that it caused to.
    pub(super) proven: BTreeSet<(u8, UserIx, Generation)>,
    /// What the servers said about their rollover windows in this run.
    pub(super) rollover: BTreeMap<u8, RolloverDocument>,
    /// What the servers said about the ends of passwords' lives in this run.
    pub(super) expiries: BTreeMap<u8, Expiries>,
    /// Versions that a person made CURRENT after the decision, and that the decided generation has taken in.
    pub(super) edited: BTreeMap<u8, VersionId>,
    /// Databases that said, when they were last looked at, that no rollover window is open.
    pub(super) window_over: BTreeSet<u8>,
    /// What became of older sessions where a revoke has come to its end.
    pub(super) sessions_ended: BTreeMap<(u8, u8), SessionsEnd>,
    /// Which databases said in this run that they would not take the old password back, or that they would.
    pub(super) forward_only: BTreeMap<u8, bool>,
}

/// What one server said about the ends of passwords' lives.
pub(super) struct Expiries {
    pub(super) asker: String,
    pub(super) told: Vec<(String, i64)>,
    /// That of a new password.
    pub(super) life: Option<Duration>,
}

impl<'a> Session<'a> {
    /// `run` is random: it names the streams of this run in the audit trail.
    pub(super) fn new(set: &'a OpenSet, limits: Limits, run: u32) -> Self {
        let trail = Trail::new(&set.audit, &set.config.name, run);
        Self {
            set,
            limits,
            trail,
            keyring: Keyring::default(),
            reading: tokio::sync::Mutex::default(),
            counting: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before the lock is released.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine's plan, with what is known of rollover windows by now. It changes in the preflight only.
    pub(super) fn plan(&self) -> Plan {
        let state = self.state();
        let document = state.register.as_ref().map(|(document, _)| document);
        let place = |at: usize| u8::try_from(at).ok();
        self.set.plan_with(
            document,
            |at| state.rollover.get(&place(at)?).copied(),
            |at| state.forward_only.get(&place(at)?).copied(),
            |at| place(at).is_some_and(|at| state.window_over.contains(&at)),
        )
    }

    /// Has log lines carry the rotation under way, if the span around them has a field for it. It stays when the rotation has ended:
    /// what is left to do belongs to it.
    pub(super) fn name_rotation(&self) {
        let state = self.state();
        let Some((document, _)) = &state.register else { return };
        if let Some(next) = document.next {
            let name = VersionName::new(Generation(next), &document.register);
            tracing::Span::current().record("rotation", tracing::field::display(&name));
        }
    }

    /// The register document as last read or written.
    pub(super) fn document(&self) -> Option<Document> {
        self.state().register.as_ref().map(|(document, _)| document.clone())
    }

    pub(super) fn troubles(&self) -> Vec<Trouble> {
        self.state().troubles.clone()
    }

    /// Ends every open transaction that holds a vote.
    pub(super) fn drop_votes(&self) {
        let votes = core::mem::take(&mut self.state().votes);
        drop(votes);
    }

    pub(super) fn version(&self, store: StoreIx, generation: Generation) -> Option<VersionId> {
        let state = self.state();
        let staged = state.staged.get(&(store.0, generation)).cloned();
        staged.or_else(|| {
            let (document, _) = state.register.as_ref()?;
            document.version(&self.secret_name(store), generation)
        })
    }

    pub(super) fn version_name(&self, generation: Generation) -> PortResult<VersionName> {
        let state = self.state();
        let (document, _) = state.register.as_ref().ok_or_else(no_register)?;
        Ok(VersionName::new(generation, &document.register))
    }

    pub(super) fn stamp(&self, _: &Register, epoch: Epoch, generation: Generation) -> PortResult<OwnedStamp> {
        let state = self.state();
        let (document, _) = state.register.as_ref().ok_or_else(no_register)?;
        Ok(OwnedStamp { set: self.set.config.name.clone(), register: document.register.clone(), epoch, generation })
    }

    pub(super) fn secret(&self, store: StoreIx) -> PortResult<&OpenSecret> {
        self.set.secrets.get(usize::from(store.0)).ok_or_else(no_register)
    }

    pub(super) fn secret_name(&self, store: StoreIx) -> String {
        self.set.config.secrets.get(usize::from(store.0)).map(|s| s.store.to_string()).unwrap_or_default()
    }

    pub(super) fn secret_target(&self, store: StoreIx) -> Target {
        Target::Secret(self.secret_name(store))
    }

    pub(super) fn database_target(&self, ix: DatabaseIx) -> Target {
        Target::Database(self.set.name_at(ix).to_owned())
    }

    pub(super) fn database(&self, ix: DatabaseIx) -> PortResult<&dyn crate::port::Database> {
        self.set.databases.get(usize::from(ix.0)).map(AsRef::as_ref).ok_or_else(no_register)
    }

    pub(super) fn database_deadline(&self, ix: DatabaseIx) -> Deadline {
        let config = self.set.config.databases.get(usize::from(ix.0));
        self.limits.after(config.map_or(self.limits.call, |c| c.connect_timeout + c.statement_timeout))
    }

    pub(super) fn covered(&self, at: usize) -> PortResult<(DatabaseIx, &crate::config::Database)> {
        let ix = u8::try_from(at).map(DatabaseIx).map_err(|_| no_register())?;
        Ok((ix, self.set.config.databases.get(at).ok_or_else(no_register)?))
    }

    pub(super) fn user_name(&self, ix: DatabaseIx, user: UserIx) -> PortResult<String> {
        let (_, config) = self.covered(usize::from(ix.0))?;
        config.users.get(usize::from(user.0)).cloned().ok_or_else(no_register)
    }

    pub(super) fn answer(&self, target: Target, result: PortResult<()>) -> Outcome {
        match result {
            Ok(()) => Outcome::Applied,
            Err(error) => self.failed(target, error),
        }
    }

    pub(super) fn failed(&self, target: Target, error: PortError) -> Outcome {
        let outcome = outcome_of(&error);
        tracing::debug!(target = %target, kind = ?error.kind, code = error.code, certainty = ?error.certainty, "a call did not simply work");
        self.trouble(target, error);
        outcome
    }

    /// Before anything is begun, what is out of reach is told at once instead of being tried until the budget is spent.
    /// Only what asks for patience gets it: a throttled store, a full server, consumers that still use the idle user.
    pub(super) fn told_at_once(&self, target: &Target, outcome: Outcome) -> Outcome {
        if !matches!(outcome, Outcome::Unknown | Outcome::Refused(Reason::Transient)) {
            return outcome;
        }
        let state = self.state();
        let last = state.troubles.iter().rev().find(|trouble| trouble.target == *target);
        match last.map(|trouble| trouble.error.kind) {
            Some(Kind::Busy | Kind::Throttled) => outcome,
            _ => Outcome::Refused(Reason::Permanent),
        }
    }

    pub(super) fn trouble(&self, target: Target, error: PortError) {
        let mut state = self.state();
        // The latest word about a target counts; a run repeats the same few calls.
        state.troubles.retain(|t| t.target != target || t.error.kind != error.kind);
        state.troubles.push(Trouble { target, error });
    }

    /// Records what became of an effect that was begun at `began`.
    pub(super) fn note(
        &self,
        kind: &'static str,
        outcome: &Outcome,
        register: &Register,
        (target, version): (Option<Target>, Option<(StoreIx, Generation)>),
        began: tokio::time::Instant,
    ) {
        let word = match outcome {
            Outcome::Applied | Outcome::Register(_) | Outcome::Labels { .. } => audit::Outcome::Ok,
            Outcome::Refused(_) => audit::Outcome::Fail,
            Outcome::Unknown => audit::Outcome::Unknown,
        };
        let mut event = self.event(kind, word, register);
        if word != audit::Outcome::Ok {
            event.code = target.as_ref().and_then(|target| self.last_code(target));
        }
        event.ms = Some(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        event.target = target.map(Target::into_name);
        let version = version.and_then(|(store, generation)| self.version(store, generation));
        event.version_id = version.map(|version| version.0);
        self.trail.note(event);
    }

    /// The code of the last call that failed there; where the other side gave none, the kind of the failure.
    fn last_code(&self, target: &Target) -> Option<String> {
        let state = self.state();
        let last = state.troubles.iter().rev().find(|trouble| trouble.target == *target)?;
        Some(last.error.code.clone().unwrap_or_else(|| format!("{:?}", last.error.kind)))
    }

    pub(super) fn event(&self, kind: &'static str, outcome: audit::Outcome, register: &Register) -> AuditEvent {
        let now = self.set.clock.now();
        AuditEvent {
            generation: register.next.map(number),
            base: Some(number(register.current)),
            ..AuditEvent::new(now, kind, outcome, number(register.last), register.epoch.0)
        }
    }
}

/// A stamp that owns its names, so that it can outlive the lock on the session's state.
pub(super) struct OwnedStamp {
    set: String,
    register: String,
    epoch: Epoch,
    generation: Generation,
}

impl OwnedStamp {
    pub(super) fn borrow(&self) -> FenceStamp<'_> {
        FenceStamp { set: &self.set, register: &self.register, epoch: self.epoch, generation: self.generation }
    }
}

pub(super) fn parse(version: StoredVersion) -> PortResult<SecretDocument> {
    SecretDocument::parse(version.value).map_err(|e| document_error(&e))
}

/// What a document error says is written by us and holds no value of the secret.
pub(super) fn document_error(error: &crate::document::DocumentError) -> PortError {
    PortError::refused(Kind::Malformed, error.to_string())
}

/// A register that cannot be used, with what to do about it. Nothing was changed.
#[must_use]
pub fn register_error(error: crate::register::DocumentError) -> PortError {
    use crate::register::DocumentError::{Malformed, Misfit, Newer, OtherSet};
    let what = error.to_string();
    match error {
        Newer { .. } => PortError::refused(Kind::NewerVersion, what).with_hint("use the newer dizzy-keys"),
        Malformed { .. } => PortError::refused(Kind::Malformed, what)
            .with_hint("the file was damaged or edited; restore it from a backup of the journal"),
        OtherSet { .. } => PortError::refused(Kind::ForeignRegister, what)
            .with_hint("is `journal.url` the right place? a folder that was copied holds the registers of its origin"),
        Misfit { .. } => PortError::refused(Kind::Malformed, what).with_hint(
            "put the configuration back as it was: databases, users and secrets of a set that was adopted cannot be added or taken away yet",
        ),
    }
}

pub(super) fn no_register() -> PortError {
    PortError::refused(Kind::Malformed, "the register and the configuration do not fit together")
}

pub(super) fn missing_version(generation: Generation) -> PortError {
    PortError::refused(Kind::NotFound, format!("find generation {} in any secret", number(generation)))
}
