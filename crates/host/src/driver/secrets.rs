//! Effects on secrets: check, stage, read back, promote, look as a consumer, prune. And where passwords come from.

use std::sync::PoisonError;

use dizzy_engine::{DatabaseIx, Generation, Outcome, Phase, Register, Seen, StoreIx, UserIx};

use super::{
    OpenSecret,
    attempts::Unknown,
    number,
    session::{Session, document_error, missing_version, no_register, parse},
    trouble::outcome_of,
};
use crate::{
    config::Engine,
    document::{Credential, Endpoint, Entry, SecretDocument},
    port::{Certainty, Kind, Labels, Login, PortError, PortResult, StoredVersion, VersionId, VersionName},
    secret::Password,
};

/// How often a store is asked again when it shows an older version than recorded: its reads are eventually consistent
/// (a label that was just moved may not be visible for some seconds: aws/aws-sdk-js-v3#7701).
const STALE_READS: u32 = 6;

impl Session<'_> {
    pub(super) async fn check_current(&self, store: StoreIx, generation: Generation) -> PortResult<()> {
        let Some(current) = self.recorded_current(store, generation).await? else {
            return Err(PortError::refused(
                Kind::Drift,
                format!("CURRENT is not the version of generation {} that the register records", number(generation)),
            )
            .with_hint(
                "somebody else changed the secret; compare its versions with `dizzy-keys status`, and put CURRENT back",
            ));
        };
        self.secret(store)?.store.room(self.limits.store()).await?;
        self.learn(store, generation, current)
    }

    /// CURRENT, if it is the version that the register records for `generation`; asked for again while it may be stale.
    async fn recorded_current(&self, store: StoreIx, generation: Generation) -> PortResult<Option<StoredVersion>> {
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
                return Ok(Some(current));
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
        Ok(None)
    }

    /// Takes in what a version publishes: credentials into the keyring, the text as the template of the next one.
    pub(super) fn learn(&self, store: StoreIx, generation: Generation, version: StoredVersion) -> PortResult<()> {
        let secret = self.secret(store)?;
        if !secret.store.stages_as_pending() {
            let pending = version.is_pending.then(|| version.id.clone());
            self.state().pending_by_current.insert(store.0, pending);
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

    pub(super) async fn read_labels(&self, register: &Register, store: StoreIx) -> PortResult<Outcome> {
        let secret = self.secret(store)?;
        // Before staging, the look at CURRENT has told: PENDING is there too, or nowhere as far as we know. If it is elsewhere,
        // its compare-and-swap is refused, and the next look is at the labels.
        let known = self.state().pending_by_current.remove(&store.0);
        if let Some(id) = known.filter(|_| register.phase == Phase::Intent) {
            let current = Seen::Generation(register.current);
            let pending = if id.is_some() { current } else { Seen::Nothing };
            self.state().pending.insert(store.0, id);
            return Ok(Outcome::Labels { current, pending });
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
        let (mut current, pending) = (seen(&labels.current), seen(&labels.pending));
        {
            let mut state = self.state();
            state.edited.remove(&store.0);
            state.pending.insert(store.0, labels.pending.clone());
            for (named, id) in &labels.named {
                if document.register.starts_with(&named.register) {
                    state.staged.entry((store.0, named.generation)).or_insert_with(|| id.clone());
                }
            }
        }
        if register.phase == Phase::Commit && current == Seen::Foreign {
            if self.merge(register, store, &labels).await? {
                current = Seen::Generation(register.current);
            } else {
                let decided = register.next.and_then(|next| self.version(store, next));
                self.trouble(self.secret_target(store), moved_by_somebody_else(&labels, decided));
            }
        }
        Ok(Outcome::Labels { current, pending })
    }

    /// Puts the version of `generation` into a secret. The first secret that publishes a database decides its password;
    /// if a version is there already, what it holds counts.
    pub(super) async fn stage(
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
        if announce && !secret.store.stages_as_pending() {
            let from = self.state().pending.get(&store.0).cloned().flatten();
            if from.as_ref() != Some(&id) {
                secret.store.move_pending(from.as_ref(), &id, self.limits.store()).await?;
            }
        }
        Ok(())
    }

    /// The template with the new credentials: everything else stays. If the format changes, the same in the other layout.
    pub(super) fn document_to_stage(
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

    pub(super) async fn credential_to_stage(
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
        let password = self.password_to_stage(at, generation).await?;
        let plan = self.plan().database(ix);
        let user = plan.and_then(|plan| register.user_of(plan, ix, generation)).ok_or_else(no_register)?;
        let username = config.users.get(usize::from(user.0)).cloned().unwrap_or_default();
        Ok(Credential { username, password, host: None, port: None, dbname: None, service: None })
    }

    /// The password of a generation that no secret has yet: drawn here, unless databases share one that is drawn already.
    async fn password_to_stage(&self, at: usize, generation: Generation) -> PortResult<Password> {
        let randomness = self.set.randomness.as_ref();
        let Some(shared) = &self.set.config.shared_password else {
            let (_, config) = self.covered(at)?;
            let names: Vec<&str> = config.users.iter().map(String::as_str).collect();
            return config.password.generate(randomness, &names);
        };
        // The database whose secret is staged first decides; it is staged again before the others whoever takes over.
        let all = 0..self.set.databases.len();
        let decides = all.min_by_key(|at| (self.set.lead(*at), *at)).unwrap_or(at);
        if at != decides {
            let (ix, _) = self.covered(decides)?;
            let known = self.load(ix, generation).await?;
            return known.map(|c| c.password).ok_or_else(|| missing_version(generation));
        }
        let names: Vec<&str> = self.set.config.databases.iter().flat_map(|d| &d.users).map(String::as_str).collect();
        shared.generate(randomness, &names)
    }

    /// A version of this generation is there from an earlier attempt: its credentials count, ours are dropped.
    pub(super) async fn adopt_staged(
        &self,
        store: StoreIx,
        generation: Generation,
        name: &VersionName,
    ) -> PortResult<VersionId> {
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

    pub(super) async fn read_back(&self, store: StoreIx, generation: Generation) -> PortResult<()> {
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

    pub(super) async fn promote(&self, store: StoreIx, from: Generation, generation: Generation) -> PortResult<()> {
        let secret = self.secret(store)?;
        let (Some(from), Some(to)) = (self.version(store, from), self.version(store, generation)) else {
            return Err(missing_version(generation));
        };
        // An edit that the decided generation took in is what CURRENT moves on from.
        let from = self.state().edited.get(&store.0).cloned().unwrap_or(from);
        let promoted = secret.store.promote(&from, &to, self.limits.store()).await;
        let Err(error) = promoted else { return Ok(()) };
        if error.kind != Kind::NotFound {
            return Err(error);
        }
        // A worker that took an edit in may have died before it could record the version that has the name now.
        let labels = secret.store.labels(self.limits.store()).await?;
        match labels.named.get(&self.version_name(generation)?) {
            Some(named) if *named != to => {
                self.state().staged.insert((store.0, generation), named.clone());
                Err(PortError { certainty: Certainty::Unknown, kind: Kind::Conflict, ..error })
            }
            Some(_) | None => Err(error),
        }
    }

    /// Takes a person's edit in, and records that.
    async fn merge(&self, register: &Register, store: StoreIx, labels: &Labels) -> PortResult<bool> {
        let began = tokio::time::Instant::now();
        let taken = self.take_edit_in(register, store, labels).await;
        let outcome = match &taken {
            Ok(false) => return Ok(false),
            Ok(true) => Outcome::Applied,
            Err(error) => outcome_of(error),
        };
        let about = (Some(self.secret_target(store)), register.next.map(|next| (store, next)));
        self.note("edit.merged", &outcome, register, about, began);
        taken
    }

    /// What a consumer sees: CURRENT, read anew, and a login with it on every database whose password this secret decides.
    pub(super) async fn published(
        &self,
        register: &Register,
        store: StoreIx,
        generation: Generation,
    ) -> PortResult<()> {
        let secret = self.secret(store)?;
        // What was read before the promotion is not what consumers read.
        drop(secret.first_look.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(current) = self.recorded_current(store, generation).await? else {
            return Err(PortError::refused(Kind::Conflict, "CURRENT does not show the promoted version"));
        };
        let document = parse(current)?;
        for at in &secret.covers {
            let (ix, config) = self.covered(*at)?;
            let found = self.set.credential(secret, &document, &config.name).map_err(|e| document_error(&e))?;
            let is_lead = self.set.lead(*at) == Some(usize::from(store.0));
            let same = self.keyring.find(ix, generation).is_some_and(|ours| ours.same_login(&found));
            if is_lead || !same {
                let login = Login { user: &found.username, password: &found.password };
                let stamp = self.stamp(register, register.epoch, generation)?;
                let call = self.database(ix)?.login(login, stamp.borrow(), self.database_deadline(ix));
                let user = config.users.iter().position(|u| *u == found.username);
                let user = user.and_then(|at| u8::try_from(at).ok()).map(UserIx).ok_or_else(no_register)?;
                self.within_attempts(ix, user, generation, Unknown::DuringLogin, call).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn prune(&self, store: StoreIx, generation: Generation) -> PortResult<()> {
        let secret = self.secret(store)?;
        let Some(id) = self.version(store, generation) else { return Ok(()) };
        secret.store.prune(&self.version_name(generation)?, &id, self.limits.store()).await
    }

    /// The credential of a generation, from this run's memory or from a store; `None` if no store has it.
    pub(super) async fn load(&self, ix: DatabaseIx, generation: Generation) -> PortResult<Option<Credential>> {
        if let Some(known) = self.keyring.find(ix, generation) {
            return Ok(Some(known));
        }
        // One at a time: databases of a batch that are published together are answered by one read.
        let _reading = self.reading.lock().await;
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
            let document = parse(version)?;
            let credential = document.credential(&config.name, secret.format).map_err(|e| document_error(&e))?;
            self.keyring.put(ix, generation, credential.clone());
            for other in secret.covers.iter().filter(|other| self.set.lead(**other) == Some(at)) {
                let (ix, config) = self.covered(*other)?;
                if let (None, Ok(found)) =
                    (self.keyring.find(ix, generation), document.credential(&config.name, secret.format))
                {
                    self.keyring.put(ix, generation, found);
                }
            }
            return Ok(Some(credential));
        }
        Ok(None)
    }

    /// The version of a generation: recorded, or found by its name (a worker may have died between staging and recording).
    pub(super) async fn find_version(&self, store: StoreIx, generation: Generation) -> PortResult<Option<VersionId>> {
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

    pub(super) async fn template(&self, store: StoreIx) -> PortResult<SecretDocument> {
        if let Some(template) = self.state().templates.get(&store.0) {
            return Ok(template.clone());
        }
        let document = parse(self.secret(store)?.store.current(self.limits.store()).await?)?;
        self.state().templates.insert(store.0, document.clone());
        Ok(document)
    }
}

/// After the decision, CURRENT is on a version that this register does not know: a person or another program moved it.
/// It is not overwritten, because it may hold an edit that nobody else has.
fn moved_by_somebody_else(labels: &Labels, decided: Option<VersionId>) -> PortError {
    let id = |id: Option<&VersionId>| id.map_or_else(|| "?".to_owned(), ToString::to_string);
    let (found, decided) = (id(labels.current.as_ref()), id(decided.as_ref()));
    PortError::refused(Kind::Conflict, format!("CURRENT is on version {found}, which dizzy-keys did not make"))
        .with_hint(format!(
            "keep what was edited there, then move CURRENT from {found} to {decided} (its credentials log in), and run `dizzy-keys recover`"
        ))
}
