//! One effect at a time: from positions and generations to port calls, and from their answers to outcomes.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dizzy_engine::{
    DatabaseIx, Effect, Epoch, Generation, Outcome, Phase, Plan, Reason, Register, Seen, StoreIx, Strategy, Timestamp,
    UserIx,
};

use super::{
    ACTIVE_SESSIONS, Lease, OpenSecret, OpenSet,
    audit::Trail,
    keyring::Keyring,
    number,
    run::Limits,
    trouble::{Target, Trouble, outcome_of},
};
use crate::{
    config::{Engine, OnActiveSessions},
    document::{Credential, Endpoint, Entry, SecretDocument},
    port::{
        AuditEvent, Change, ChangeKind, Deadline, FenceStamp, Kind, Login, PortError, PortResult, Sessions, Severity,
        StoredVersion, Tag, VersionId, VersionName, Vote,
    },
    register::Document,
};

/// How often a store is asked again when it shows an older version than recorded: its reads are eventually consistent
/// (`facts`: a label just moved may not be visible for some seconds).
const STALE_READS: u32 = 6;

/// What one run knows besides the engine's worker.
pub(super) struct Session<'a> {
    pub(super) set: &'a OpenSet,
    pub(super) plan: Plan,
    pub(super) limits: Limits,
    pub(super) trail: Trail,
    keyring: Keyring,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    register: Option<(Document, Tag)>,
    /// CURRENT of each secret as last read: what a new version is made from.
    templates: BTreeMap<u8, SecretDocument>,
    /// CURRENT of a secret, if PENDING was on it too when it was read: spares a look at the labels.
    pending_with_current: BTreeMap<u8, VersionId>,
    /// Where PENDING was when it was looked at.
    pending: BTreeMap<u8, Option<VersionId>>,
    votes: BTreeMap<u8, Box<dyn Vote>>,
    troubles: Vec<Trouble>,
    /// Versions staged in this run, until a register write records them.
    staged: BTreeMap<(u8, Generation), VersionId>,
    /// Whether a database may have been changed: from then on the audit trail never stands in the way.
    touched: bool,
    sessions_since: Option<tokio::time::Instant>,
}

impl<'a> Session<'a> {
    pub(super) fn new(set: &'a OpenSet, limits: Limits) -> Self {
        let trail = Trail::new(std::sync::Arc::clone(&set.audit));
        Self { set, plan: set.plan(), limits, trail, keyring: Keyring::default(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before the lock is released.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

    pub(super) async fn execute(&self, register: &Register, effect: &Effect) -> Outcome {
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
                let outcome = self.answer(self.secret_target(*store), result);
                self.note("stage.put", &outcome, register, Some(self.secret_name(*store)), Some((*store, *generation)))
                    .await;
                outcome
            }
            Effect::ReadBack { store, generation } => {
                self.answer(self.secret_target(*store), self.read_back(*store, *generation).await)
            }
            Effect::Login { database, user, generation } => {
                let result = self.login(register, *database, *user, *generation).await;
                self.answer(self.database_target(*database), result)
            }
            Effect::Apply { database, .. } | Effect::Vote { database, .. } | Effect::Restore { database, .. } => {
                let is_restore = matches!(effect, Effect::Restore { .. });
                let result = self.change(register, effect).await;
                let outcome = self.answer(self.database_target(*database), result);
                let kind = if is_restore { "undo.done" } else { "apply.done" };
                self.note(kind, &outcome, register, Some(self.set.database_name(*database).to_owned()), None).await;
                outcome
            }
            Effect::CommitVote { database, .. } => {
                let result = self.commit_vote(*database).await;
                let outcome = self.answer(self.database_target(*database), result);
                self.note("apply.done", &outcome, register, Some(self.set.database_name(*database).to_owned()), None)
                    .await;
                outcome
            }
            Effect::EndWindow { database } => self.failed(
                self.database_target(*database),
                PortError::refused(Kind::Other, "this database has no procedure to end a rollover window"),
            ),
            Effect::Burn { database, user, from, epoch } => {
                let result = self.burn(register, *database, *user, *from, *epoch).await;
                self.answer(self.database_target(*database), result)
            }
            Effect::Promote { store, from, to } => {
                let result = self.promote(*store, *from, *to).await;
                let outcome = self.answer(self.secret_target(*store), result);
                self.note("promote.done", &outcome, register, Some(self.secret_name(*store)), Some((*store, *to)))
                    .await;
                outcome
            }
            Effect::Published { store, generation } => {
                let result = self.published(register, *store, *generation).await;
                self.answer(self.secret_target(*store), result)
            }
            Effect::Prune { store, generation } => {
                self.answer(self.secret_target(*store), self.prune(*store, *generation).await)
            }
        }
    }

    // --- the register ---

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
        if self.set.lease == Lease::Dead {
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
        self.state().register = Some((document, stored.tag));
        Ok(Some(engine))
    }

    async fn write_register(&self, old: &Register, next: &Register) -> Outcome {
        if next.phase == Phase::Abort {
            self.drop_votes();
        }
        let is_intent = next.phase == Phase::Intent && old.phase == Phase::Idle;
        if is_intent {
            let event = self.event("rotation.intent", "ok", next, None, None);
            if let Err(mut error) = self.trail.require(event, self.limits.audit()).await {
                // Nothing was changed: a rotation that cannot be recorded does not begin.
                error.certainty = crate::port::Certainty::Refused;
                self.trouble(Target::Audit, error);
                return Outcome::Refused(Reason::Permanent);
            }
        }
        let Some((document, tag)) = self.state().register.clone() else {
            return Outcome::Refused(Reason::Permanent);
        };
        let mut document = document.with_engine(&self.set.config, &self.plan, next, &self.set.who);
        for ((store, generation), version) in &self.state().staged {
            document.record_version(&self.secret_name(StoreIx(*store)), *generation, version);
        }
        document.forget_dropped();
        document.target = self.set.config.fingerprint();
        let at_rest = next.phase == Phase::Idle && old.phase != Phase::Idle;
        if at_rest && old.phase == Phase::Commit {
            document.rotated = Some(self.set.clock.now().0);
        }
        if at_rest || next.phase == Phase::Stuck {
            let word = match (next.phase, old.phase) {
                (Phase::Stuck, _) => "stuck",
                (_, Phase::Commit) => "rotated",
                _ => "rolled-back",
            };
            document.outcome = Some(word.to_owned());
        }
        let bytes = document.to_bytes();
        let result = self.set.journal.write(&self.set.config.name, Some(&tag), &bytes, self.limits.journal()).await;
        let outcome = match result {
            Ok(tag) => {
                self.state().register = Some((document, tag));
                Outcome::Applied
            }
            Err(error) => self.failed(Target::Journal, error),
        };
        self.note_decision(old, next, &outcome).await;
        outcome
    }

    async fn note_decision(&self, old: &Register, next: &Register, outcome: &Outcome) {
        let kind = match (old.phase, next.phase) {
            (Phase::Intent, Phase::Commit) => "decision.commit",
            (Phase::Intent, Phase::Abort) => "decision.abort",
            (Phase::Intent | Phase::Abort, Phase::Stuck) => "rotation.stuck",
            (Phase::Commit | Phase::Abort, Phase::Idle) => "rotation.closed",
            _ => return,
        };
        let about = if next.next.is_some() { next } else { old };
        self.note(kind, outcome, about, None, None).await;
    }

    // --- stores ---

    async fn check_current(&self, store: StoreIx, generation: Generation) -> PortResult<()> {
        let secret = self.secret(store)?;
        let expected = self.version(store, generation);
        let mut pause = self.limits.stale_pause;
        for _ in 0..STALE_READS {
            let looked = secret.first_look.lock().unwrap_or_else(PoisonError::into_inner).take();
            let current = match looked {
                Some(version) => version,
                None => secret.store.current(self.limits.store()).await?,
            };
            if Some(&current.id) == expected.as_ref() {
                return self.learn(store, generation, current);
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
        Err(PortError::refused(
            Kind::Conflict,
            format!("CURRENT is not the version of generation {} that the register records", number(generation)),
        )
        .with_hint(
            "somebody else changed the secret; compare its versions with `dizzy-keys status`, and put CURRENT back",
        ))
    }

    /// Takes in what a version publishes: credentials into the keyring, the text as the template of the next one.
    fn learn(&self, store: StoreIx, generation: Generation, version: StoredVersion) -> PortResult<()> {
        let secret = self.secret(store)?;
        if version.is_pending {
            self.state().pending_with_current.insert(store.0, version.id.clone());
        }
        let document = parse(version)?;
        let changes_format = self.set.format_of(secret, &document) != secret.format;
        for at in &secret.covers {
            let (ix, config) = self.covered(*at)?;
            let credential = match self.set.credential(secret, &document, &config.name) {
                Ok(credential) => credential,
                // A secret that changes its format may get databases that it has not published before.
                Err(_) if changes_format => continue,
                Err(error) => return Err(document_error(&error)),
            };
            if !config.users.contains(&credential.username) {
                return Err(PortError::refused(
                    Kind::Malformed,
                    format!("the secret publishes a user that is not configured for the database {}", config.name),
                ));
            }
            if self.set.lead(*at) == Some(usize::from(store.0)) || self.keyring.find(ix, generation).is_none() {
                self.keyring.put(ix, generation, credential);
            }
        }
        self.state().templates.insert(store.0, document);
        Ok(())
    }

    async fn read_labels(&self, register: &Register, store: StoreIx) -> PortResult<Outcome> {
        let secret = self.secret(store)?;
        // Before staging, the look at CURRENT may have told already. If PENDING has moved since, its compare-and-swap says so.
        let known = self.state().pending_with_current.remove(&store.0);
        if let Some(id) = known.filter(|_| register.phase == Phase::Intent) {
            self.state().pending.insert(store.0, Some(id));
            let seen = Seen::Generation(register.current);
            return Ok(Outcome::Labels { current: seen, pending: seen });
        }
        let labels = secret.store.labels(self.limits.store()).await?;
        let name = self.secret_name(store);
        let (document, _) = self.state().register.clone().ok_or_else(no_register)?;
        let seen = |id: &Option<VersionId>| match id {
            None => Seen::Nothing,
            Some(id) => {
                let named = labels.named.iter().find(|(n, v)| *v == id && document.register.starts_with(&n.register));
                let generation = named.map(|(n, _)| n.generation).or_else(|| document.generation_of(&name, id));
                generation.map_or(Seen::Foreign, Seen::Generation)
            }
        };
        let outcome = Outcome::Labels { current: seen(&labels.current), pending: seen(&labels.pending) };
        let mut state = self.state();
        state.pending.insert(store.0, labels.pending.clone());
        for (named, id) in &labels.named {
            if document.register.starts_with(&named.register) {
                state.staged.entry((store.0, named.generation)).or_insert_with(|| id.clone());
            }
        }
        drop(state);
        Ok(outcome)
    }

    /// Puts the version of `generation` into a secret. The first secret that publishes a database decides its password;
    /// if a version is there already, what it holds counts.
    async fn stage(
        &self,
        register: &Register,
        store: StoreIx,
        generation: Generation,
        announce: bool,
    ) -> PortResult<()> {
        let secret = self.secret(store)?;
        let template = self.template(store).await?;
        let mut credentials = Vec::new();
        for at in &secret.covers {
            let (ix, _) = self.covered(*at)?;
            let credential = self.credential_to_stage(register, store, *at, generation).await?;
            self.keyring.put(ix, generation, credential.clone());
            credentials.push((*at, credential));
        }
        let document = self.document_to_stage(secret, template, &credentials)?;
        let name = self.version_name(generation)?;
        let id = match secret.store.stage(&name, document.text(), self.limits.store()).await {
            Ok(id) => id,
            Err(error) if error.kind == Kind::Exists => self.adopt_staged(store, generation, &name).await?,
            Err(error) => return Err(error),
        };
        self.state().staged.insert((store.0, generation), id.clone());
        if announce {
            let from = self.state().pending.get(&store.0).cloned().flatten();
            if from.as_ref() != Some(&id) {
                secret.store.move_pending(from.as_ref(), &id, self.limits.store()).await?;
            }
        }
        Ok(())
    }

    /// The template with the new credentials: everything else stays. If the format changes, the same in the other layout.
    fn document_to_stage(
        &self,
        secret: &OpenSecret,
        template: SecretDocument,
        credentials: &[(usize, Credential)],
    ) -> PortResult<SecretDocument> {
        if self.set.format_of(secret, &template) == secret.format {
            let mut document = template;
            for (at, credential) in credentials {
                let (_, config) = self.covered(*at)?;
                document = document
                    .with_credential(&config.name, secret.format, &credential.username, &credential.password, None)
                    .map_err(|e| document_error(&e))?;
            }
            return Ok(document);
        }
        let mut places = Vec::new();
        for (at, _) in credentials {
            let (ix, config) = self.covered(*at)?;
            let base = self.state().register.as_ref().map(|(document, _)| Generation(document.current));
            let known = base.and_then(|base| self.keyring.find(ix, base));
            places.push((config, known));
        }
        let entries: Vec<Entry<'_>> = credentials
            .iter()
            .zip(&places)
            .map(|((_, credential), (config, known))| Entry {
                database: &config.name,
                endpoint: Endpoint {
                    engine: match config.engine {
                        Engine::Oracle => "oracle",
                        Engine::Postgres => "postgres",
                    },
                    host: config.host.as_deref().or_else(|| known.as_ref()?.host.as_deref()),
                    port: config.port.or_else(|| known.as_ref()?.port),
                    dbname: config.dbname.as_deref().or_else(|| known.as_ref()?.dbname.as_deref()),
                    service: config.service.as_deref().or_else(|| known.as_ref()?.service.as_deref()),
                },
                username: &credential.username,
                password: &credential.password,
            })
            .collect();
        SecretDocument::compose(secret.format, &entries, Some(&template)).map_err(|e| document_error(&e))
    }

    async fn credential_to_stage(
        &self,
        register: &Register,
        store: StoreIx,
        at: usize,
        generation: Generation,
    ) -> PortResult<Credential> {
        let (ix, config) = self.covered(at)?;
        if let Some(known) = self.keyring.find(ix, generation) {
            return Ok(known);
        }
        if self.set.lead(at) != Some(usize::from(store.0)) {
            return self.load(ix, generation).await?.ok_or_else(|| {
                PortError::refused(Kind::NotFound, "read the generation from the secret that was staged before")
            });
        }
        let plan = self.plan.database(ix);
        let user = plan.and_then(|plan| register.user_of(plan, ix, generation)).ok_or_else(no_register)?;
        let username = config.users.get(usize::from(user.0)).cloned().unwrap_or_default();
        let names: Vec<&str> = config.users.iter().map(String::as_str).collect();
        let password = config.password.generate(self.set.randomness.as_ref(), &names)?;
        Ok(Credential { username, password, host: None, port: None, dbname: None, service: None })
    }

    /// A version of this generation is there from an earlier attempt: its credentials count, ours are dropped.
    async fn adopt_staged(&self, store: StoreIx, generation: Generation, name: &VersionName) -> PortResult<VersionId> {
        let secret = self.secret(store)?;
        let labels = secret.store.labels(self.limits.store()).await?;
        let id = labels.named.get(name).cloned().ok_or_else(|| {
            PortError::refused(Kind::NotFound, "find the version that an earlier attempt staged").with_hint(
                "the store says that it exists, but shows no label for it; run `dizzy-keys recover` in a minute",
            )
        })?;
        let document = parse(secret.store.read(&id, self.limits.store()).await?)?;
        for at in &secret.covers {
            let (ix, config) = self.covered(*at)?;
            let found = self.set.credential(secret, &document, &config.name).map_err(|e| document_error(&e))?;
            if self.set.lead(*at) == Some(usize::from(store.0)) {
                self.keyring.put(ix, generation, found);
            } else if self.keyring.find(ix, generation).is_none_or(|ours| !ours.same_login(&found)) {
                return Err(PortError::refused(
                    Kind::Exists,
                    format!("two secrets hold different passwords of the database {} for one generation", config.name),
                ));
            }
        }
        Ok(id)
    }

    async fn read_back(&self, store: StoreIx, generation: Generation) -> PortResult<()> {
        let secret = self.secret(store)?;
        let id = self.version(store, generation).ok_or_else(|| missing_version(generation))?;
        let document = parse(secret.store.read(&id, self.limits.store()).await?)?;
        for at in &secret.covers {
            let (ix, config) = self.covered(*at)?;
            let found = self.set.credential(secret, &document, &config.name).map_err(|e| document_error(&e))?;
            match self.keyring.find(ix, generation) {
                Some(ours) if ours.same_login(&found) => {}
                Some(_) => {
                    return Err(PortError::refused(
                        Kind::NotFound,
                        format!("the staged version holds another password for the database {}", config.name),
                    ));
                }
                None => self.keyring.put(ix, generation, found),
            }
        }
        Ok(())
    }

    async fn promote(&self, store: StoreIx, from: Generation, to: Generation) -> PortResult<()> {
        let secret = self.secret(store)?;
        let (Some(from), Some(to)) = (self.version(store, from), self.version(store, to)) else {
            return Err(missing_version(to));
        };
        secret.store.promote(&from, &to, self.limits.store()).await
    }

    /// What a consumer sees: CURRENT, read anew, and a login with it on every database whose password this secret decides.
    async fn published(&self, register: &Register, store: StoreIx, generation: Generation) -> PortResult<()> {
        let secret = self.secret(store)?;
        let expected = self.version(store, generation);
        let mut pause = self.limits.stale_pause;
        for _ in 0..STALE_READS {
            let current = secret.store.current(self.limits.store()).await?;
            if Some(&current.id) != expected.as_ref() {
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2);
                continue;
            }
            let document = parse(current)?;
            for at in &secret.covers {
                let (ix, config) = self.covered(*at)?;
                let found = self.set.credential(secret, &document, &config.name).map_err(|e| document_error(&e))?;
                let is_lead = self.set.lead(*at) == Some(usize::from(store.0));
                let same = self.keyring.find(ix, generation).is_some_and(|ours| ours.same_login(&found));
                if is_lead || !same {
                    let login = Login { user: &found.username, password: &found.password };
                    let stamp = self.stamp(register, register.epoch, generation)?;
                    self.database(ix)?.login(login, stamp.borrow(), self.database_deadline(ix)).await?;
                }
            }
            return Ok(());
        }
        Err(PortError::refused(Kind::Conflict, "CURRENT does not show the promoted version"))
    }

    async fn prune(&self, store: StoreIx, generation: Generation) -> PortResult<()> {
        let secret = self.secret(store)?;
        let Some(id) = self.version(store, generation) else { return Ok(()) };
        secret.store.prune(&self.version_name(generation)?, &id, self.limits.store()).await
    }

    // --- databases ---

    async fn login(&self, register: &Register, ix: DatabaseIx, user: UserIx, generation: Generation) -> PortResult<()> {
        // A generation that is in no store was never staged, so it was never sent: it cannot be the password.
        let credential = self
            .load(ix, generation)
            .await?
            .ok_or_else(|| PortError::refused(Kind::Credential, "log in with a generation that is in no secret"))?;
        let user = self.user_name(ix, user)?;
        let stamp = self.stamp(register, register.epoch, generation)?;
        let login = Login { user: &user, password: &credential.password };
        self.database(ix)?.login(login, stamp.borrow(), self.database_deadline(ix)).await
    }

    async fn inspect(
        &self,
        register: &Register,
        ix: DatabaseIx,
        user: UserIx,
        generation: Generation,
    ) -> PortResult<()> {
        let credential = self.load(ix, generation).await?.ok_or_else(|| missing_version(generation))?;
        let user_name = self.user_name(ix, user)?;
        if credential.username != user_name {
            return Err(PortError::refused(
                Kind::Malformed,
                format!("the published user is not the one that the register records ({user_name})"),
            ));
        }
        let (_, config) = self.covered(usize::from(ix.0))?;
        let users: Vec<&str> = config.users.iter().map(String::as_str).collect();
        let stamp = self.stamp(register, register.epoch, generation)?;
        let login = Login { user: &user_name, password: &credential.password };
        let port = self.database(ix)?;
        let deadline = self.database_deadline(ix);
        let inspection = port.inspect(login, &users, stamp.borrow(), deadline).await?;
        if let Some(error) = inspection.findings.iter().find(|f| f.severity == Severity::Error) {
            let mut refused = PortError::refused(Kind::Denied, error.what.clone());
            refused.hint.clone_from(&error.hint);
            return Err(refused);
        }
        if self.plan.database(ix).is_some_and(|p| p.strategy == Strategy::Alternating) {
            let idle = self.user_name(ix, user.other())?;
            self.await_consumers(port.sessions(login, &idle, stamp.borrow(), deadline).await?, &idle)?;
        }
        Ok(())
    }

    /// Consumers that still use the idle user have not picked up the current generation yet (rulings §6.2).
    fn await_consumers(&self, sessions: Sessions, idle: &str) -> PortResult<()> {
        let (count, clients) = match sessions {
            Sessions::Unknown | Sessions::Counted { count: 0, .. } => return Ok(()),
            Sessions::Counted { count, clients } => (count, clients.join(", ")),
        };
        let what = format!("{count} sessions still use the idle user {idle}: {clients}");
        let hint = "these clients have not picked up the current credential yet; restart them or end their sessions";
        match self.set.on_active_sessions() {
            OnActiveSessions::Warn => {
                tracing::warn!(count, user = idle, "sessions still use the idle user");
                self.trouble(Target::Set, PortError::refused(Kind::Busy, what).with_hint(hint));
                Ok(())
            }
            OnActiveSessions::Refuse => {
                Err(PortError::refused(Kind::Denied, what).with_code(ACTIVE_SESSIONS).with_hint(hint))
            }
            OnActiveSessions::Wait => {
                let since = *self.state().sessions_since.get_or_insert_with(tokio::time::Instant::now);
                let waited = since.elapsed() >= self.limits.sessions_wait;
                let kind = if waited { Kind::Denied } else { Kind::Busy };
                Err(PortError::refused(kind, what).with_code(ACTIVE_SESSIONS).with_hint(hint))
            }
        }
    }

    async fn change(&self, register: &Register, effect: &Effect) -> PortResult<()> {
        let (Effect::Apply { database, user, from, to, epoch }
        | Effect::Vote { database, user, from, to, epoch }
        | Effect::Restore { database, user, from, to, epoch }) = effect
        else {
            return Err(no_register());
        };
        let is_restore = matches!(effect, Effect::Restore { .. });
        let old = self.load(*database, *from).await?.ok_or_else(|| missing_version(*from))?;
        let new = self.load(*database, *to).await?.ok_or_else(|| missing_version(*to))?;
        self.announce_change(register, *database, is_restore).await?;
        let user_name = self.user_name(*database, *user)?;
        let stamp = self.stamp(register, *epoch, *to)?;
        let strategy = self.plan.database(*database).map(|p| p.strategy);
        let kind = match strategy {
            Some(Strategy::Alternating) => ChangeKind::Alternating,
            Some(Strategy::Rollover | Strategy::Single) | None => ChangeKind::Single { from: *from },
        };
        let login = Login { user: &user_name, password: &old.password };
        let change = Change { login, new: &new.password, stamp: stamp.borrow(), kind };
        let port = self.database(*database)?;
        let deadline = self.database_deadline(*database);
        if matches!(effect, Effect::Vote { .. }) {
            let vote = port.vote(change, deadline).await?;
            self.state().votes.insert(database.0, vote);
            return Ok(());
        }
        port.apply(change, deadline).await
    }

    /// The first change of a database must be in the audit trail before it is sent.
    async fn announce_change(&self, register: &Register, ix: DatabaseIx, is_restore: bool) -> PortResult<()> {
        let target = Some(self.set.database_name(ix).to_owned());
        let event = self.event("apply.begin", "ok", register, target, None);
        let touched = core::mem::replace(&mut self.state().touched, true);
        if touched || is_restore {
            self.trail.note(event, self.limits.audit()).await;
            return Ok(());
        }
        let result = self.trail.require(event, self.limits.audit()).await;
        result.map_err(|mut error| {
            self.state().touched = false;
            error.certainty = crate::port::Certainty::Refused;
            self.trouble(Target::Audit, error);
            PortError::refused(Kind::Denied, "the audit trail does not take the announcement of the change")
        })
    }

    async fn commit_vote(&self, ix: DatabaseIx) -> PortResult<()> {
        let vote = self.state().votes.remove(&ix.0);
        match vote {
            Some(vote) => vote.commit(self.database_deadline(ix)).await,
            None => Err(PortError::refused(Kind::Busy, "the open transaction is gone")),
        }
    }

    async fn burn(
        &self,
        register: &Register,
        ix: DatabaseIx,
        user: UserIx,
        from: Generation,
        epoch: Epoch,
    ) -> PortResult<()> {
        self.drop_votes();
        let credential = self
            .load(ix, from)
            .await?
            .ok_or_else(|| PortError::refused(Kind::Credential, "log in with a generation that is in no secret"))?;
        let user = self.user_name(ix, user)?;
        let stamp = self.stamp(register, epoch, from)?;
        let login = Login { user: &user, password: &credential.password };
        let row = self.database(ix)?.burn(login, stamp.borrow(), self.database_deadline(ix)).await?;
        match row.generation {
            Some(found) if found != from && found != register.current => {
                Err(PortError::refused(Kind::Conflict, "the fence row shows another generation than the login"))
            }
            _ => Ok(()),
        }
    }

    // --- passwords ---

    /// The credential of a generation, from this run's memory or from a store; `None` if no store has it.
    async fn load(&self, ix: DatabaseIx, generation: Generation) -> PortResult<Option<Credential>> {
        if let Some(known) = self.keyring.find(ix, generation) {
            return Ok(Some(known));
        }
        let (_, config) = self.covered(usize::from(ix.0))?;
        for (at, secret) in self.set.secrets.iter().enumerate() {
            let Ok(place) = u8::try_from(at) else { continue };
            if !secret.covers.contains(&usize::from(ix.0)) {
                continue;
            }
            let Some(id) = self.find_version(StoreIx(place), generation).await? else { continue };
            let version = match secret.store.read(&id, self.limits.store()).await {
                Ok(version) => version,
                Err(error) if error.kind == Kind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let credential = parse(version)?.credential(&config.name, secret.format).map_err(|e| document_error(&e))?;
            self.keyring.put(ix, generation, credential.clone());
            return Ok(Some(credential));
        }
        Ok(None)
    }

    /// The version of a generation: recorded, or found by its name (a worker may have died between staging and recording).
    async fn find_version(&self, store: StoreIx, generation: Generation) -> PortResult<Option<VersionId>> {
        if let Some(id) = self.version(store, generation) {
            return Ok(Some(id));
        }
        let name = self.version_name(generation)?;
        let labels = self.secret(store)?.store.labels(self.limits.store()).await?;
        let found = labels.named.get(&name).cloned();
        if let Some(id) = &found {
            self.state().staged.insert((store.0, generation), id.clone());
        }
        Ok(found)
    }

    async fn template(&self, store: StoreIx) -> PortResult<SecretDocument> {
        if let Some(template) = self.state().templates.get(&store.0) {
            return Ok(template.clone());
        }
        let document = parse(self.secret(store)?.store.current(self.limits.store()).await?)?;
        self.state().templates.insert(store.0, document.clone());
        Ok(document)
    }

    // --- small things ---

    fn version(&self, store: StoreIx, generation: Generation) -> Option<VersionId> {
        let state = self.state();
        let staged = state.staged.get(&(store.0, generation)).cloned();
        staged.or_else(|| {
            let (document, _) = state.register.as_ref()?;
            document.version(&self.secret_name(store), generation)
        })
    }

    fn version_name(&self, generation: Generation) -> PortResult<VersionName> {
        let state = self.state();
        let (document, _) = state.register.as_ref().ok_or_else(no_register)?;
        Ok(VersionName::new(generation, &document.register))
    }

    fn stamp(&self, _: &Register, epoch: Epoch, generation: Generation) -> PortResult<OwnedStamp> {
        let state = self.state();
        let (document, _) = state.register.as_ref().ok_or_else(no_register)?;
        Ok(OwnedStamp { set: self.set.config.name.clone(), register: document.register.clone(), epoch, generation })
    }

    fn secret(&self, store: StoreIx) -> PortResult<&OpenSecret> {
        self.set.secrets.get(usize::from(store.0)).ok_or_else(no_register)
    }

    fn secret_name(&self, store: StoreIx) -> String {
        self.set.config.secrets.get(usize::from(store.0)).map(|s| s.store.to_string()).unwrap_or_default()
    }

    fn secret_target(&self, store: StoreIx) -> Target {
        Target::Secret(self.secret_name(store))
    }

    fn database_target(&self, ix: DatabaseIx) -> Target {
        Target::Database(self.set.database_name(ix).to_owned())
    }

    fn database(&self, ix: DatabaseIx) -> PortResult<&dyn crate::port::Database> {
        self.set.databases.get(usize::from(ix.0)).map(AsRef::as_ref).ok_or_else(no_register)
    }

    fn database_deadline(&self, ix: DatabaseIx) -> Deadline {
        let config = self.set.config.databases.get(usize::from(ix.0));
        Deadline::after(config.map_or(self.limits.call, |c| c.connect_timeout + c.statement_timeout))
    }

    fn covered(&self, at: usize) -> PortResult<(DatabaseIx, &crate::config::Database)> {
        let ix = u8::try_from(at).map(DatabaseIx).map_err(|_| no_register())?;
        Ok((ix, self.set.config.databases.get(at).ok_or_else(no_register)?))
    }

    fn user_name(&self, ix: DatabaseIx, user: UserIx) -> PortResult<String> {
        let (_, config) = self.covered(usize::from(ix.0))?;
        config.users.get(usize::from(user.0)).cloned().ok_or_else(no_register)
    }

    fn answer(&self, target: Target, result: PortResult<()>) -> Outcome {
        match result {
            Ok(()) => Outcome::Applied,
            Err(error) => self.failed(target, error),
        }
    }

    fn failed(&self, target: Target, error: PortError) -> Outcome {
        let is_store = matches!(target, Target::Secret(_));
        let mut outcome = outcome_of(&error);
        // For a secret that is looked at, "another version than recorded" is drift, not a race.
        if is_store && outcome == Outcome::Refused(Reason::Conflict) && error.hint.is_some() {
            outcome = Outcome::Refused(Reason::Drift);
        }
        tracing::debug!(target = %target, kind = ?error.kind, code = error.code, certainty = ?error.certainty, "a call did not simply work");
        self.trouble(target, error);
        outcome
    }

    /// Before anything is begun, what is out of reach is told at once instead of being tried until the budget is spent.
    /// Only what asks for patience gets it: a throttled store, a full server, consumers that still use the idle user.
    fn told_at_once(&self, target: &Target, outcome: Outcome) -> Outcome {
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

    async fn note(
        &self,
        kind: &'static str,
        outcome: &Outcome,
        register: &Register,
        target: Option<String>,
        version: Option<(StoreIx, Generation)>,
    ) {
        let word = match outcome {
            Outcome::Applied | Outcome::Register(_) | Outcome::Labels { .. } => "ok",
            Outcome::Refused(_) => "fail",
            Outcome::Unknown => "unknown",
        };
        let version = version.and_then(|(store, generation)| self.version(store, generation));
        let event = self.event(kind, word, register, target, version.map(|v| v.0));
        self.trail.note(event, self.limits.audit()).await;
    }

    pub(super) fn event(
        &self,
        kind: &'static str,
        outcome: &'static str,
        register: &Register,
        target: Option<String>,
        version_id: Option<String>,
    ) -> AuditEvent {
        AuditEvent {
            kind,
            outcome,
            set: self.set.config.name.clone(),
            generation: register.next.map(number),
            base: Some(number(register.current)),
            epoch: register.epoch.0,
            target,
            version_id,
            code: None,
            ms: None,
        }
    }
}

/// A stamp that owns its names, so that it can outlive the lock on the session's state.
struct OwnedStamp {
    set: String,
    register: String,
    epoch: Epoch,
    generation: Generation,
}

impl OwnedStamp {
    fn borrow(&self) -> FenceStamp<'_> {
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

pub(super) fn register_error(error: crate::register::DocumentError) -> PortError {
    use crate::register::DocumentError::{Malformed, Misfit, Newer, OtherSet};
    let what = error.to_string();
    match error {
        Newer { .. } => PortError::refused(Kind::NewerVersion, what).with_hint("use the newer dizzy-keys"),
        Malformed { .. } => PortError::refused(Kind::Malformed, what)
            .with_hint("the file was damaged or edited; restore it from a backup of the journal"),
        OtherSet { .. } => PortError::refused(Kind::ForeignRegister, what),
        Misfit { .. } => PortError::refused(Kind::Malformed, what).with_hint(
            "the configuration was changed; put it back, or give the set another name and run `dizzy-keys prepare`",
        ),
    }
}

fn no_register() -> PortError {
    PortError::refused(Kind::Malformed, "the register and the configuration do not fit together")
}

fn missing_version(generation: Generation) -> PortError {
    PortError::refused(Kind::NotFound, format!("find generation {} in any secret", number(generation)))
}
