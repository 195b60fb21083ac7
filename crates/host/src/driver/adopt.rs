//! Adoption: from credentials that exist already to a register. Runs once per set, before its first rotation.
//!
//! CURRENT becomes generation 1, whose user must log in. The second user of an alternating pair gets generation 0: what PREVIOUS
//! holds if that logs in, else a new password that is staged under its name before an administrator sets it. Nothing published changes.
//! The register is created first and marked complete last, so an adoption that was cut off is simply run again.

use std::sync::PoisonError;

use dizzy_engine::{Epoch, Generation, Strategy};

use super::{
    OpenSet,
    run::Limits,
    session::{document_error, parse, register_error},
    trouble::{Target, Trouble},
};
use crate::{
    document::{Credential, SecretDocument},
    port::{Deadline, FenceStamp, Kind, Labels, Login, PortError, PrepareStep, Rollover, Tag, VersionId, VersionName},
    register::{
        DatabaseDocument, Document, OwnerDocument, RolloverDocument, UserDocument, VERSION, capability_name,
        strategy_name,
    },
};

/// The generation of what CURRENT holds at adoption.
pub(crate) const FIRST: Generation = Generation(1);
/// The generation of the second users' first passwords.
const SECOND_USERS: Generation = Generation(0);

/// What an adoption may use.
#[derive(Default)]
pub struct AdoptionWants {
    /// An administrator's login per database, in the configuration's order; `None` where there is none.
    pub admins: Vec<Option<Credential>>,
}

/// What an adoption did.
#[derive(Clone, Debug, Default)]
pub struct AdoptionReport {
    /// Whether a register was there, complete, before.
    pub was_adopted: bool,
    /// Per database with an administrator: what was made or found.
    pub steps: Vec<(String, Vec<PrepareStep>)>,
    /// Databases whose second user got a new password.
    pub supplied: Vec<String>,
}

/// An adoption of one set.
pub struct Adoption<'a> {
    set: &'a OpenSet,
    limits: Limits,
}

type Adopted<T> = Result<T, Box<Trouble>>;

/// One secret, as found.
struct Found {
    id: VersionId,
    document: SecretDocument,
    labels: Labels,
    previous: Option<SecretDocument>,
}

/// The published user of a database.
struct Live {
    credential: Credential,
    rollover: Option<Rollover>,
}

/// The second user of an alternating database.
struct Second {
    credential: Credential,
    /// Whether its password is new, and an administrator must set it.
    is_new: bool,
}

impl<'a> Adoption<'a> {
    /// An adoption that has not begun.
    #[must_use]
    pub fn new(set: &'a OpenSet, limits: Limits) -> Self {
        Self { set, limits }
    }

    /// Adopts the set if that has not been done; then, where there is an administrator, makes what the databases need. Idempotent.
    ///
    /// # Errors
    /// The call that did not work. Nothing that is published has changed; running it again goes on where it stopped.
    pub async fn go(&self, wants: &AdoptionWants) -> Adopted<AdoptionReport> {
        let mut report = AdoptionReport::default();
        let existing = self.read_register().await?;
        let (mut document, mut tag) = match existing {
            Some((document, tag)) if document.adopted => {
                report.was_adopted = true;
                for at in 0..self.set.databases.len() {
                    self.prepare_database(at, None, &document, wants, &mut report).await?;
                }
                drop(tag);
                return Ok(report);
            }
            Some((document, tag)) => (document, Some(tag)),
            None => (self.new_document()?, None),
        };
        let found = self.look_at_secrets(&document).await?;
        self.check_same_everywhere(&found)?;
        let live = self.check_live_users(&found, &document).await?;
        let second = self.second_users(&found, &live, &document, wants).await?;
        self.fill(&mut document, &live, &found);
        if tag.is_none() {
            tag = Some(self.write(&document, None).await?);
        }
        self.label(&mut document, &found, &second).await?;
        for (at, second) in second.iter().enumerate() {
            let new = second.as_ref().filter(|s| s.is_new);
            self.prepare_database(at, new, &document, wants, &mut report).await?;
            if let Some(second) = second {
                self.login(at, &second.credential, &document, SECOND_USERS).await?;
            }
        }
        document.adopted = true;
        self.write(&document, tag.as_ref()).await?;
        Ok(report)
    }

    async fn read_register(&self) -> Adopted<Option<(Document, Tag)>> {
        let name = &self.set.config.name;
        let stored = self.set.journal.read(name, self.limits.journal()).await.map_err(in_journal)?;
        let Some(stored) = stored else { return Ok(None) };
        let document = Document::parse(&stored.bytes, name).map_err(register_error).map_err(in_journal)?;
        Ok(Some((document, stored.tag)))
    }

    async fn write(&self, document: &Document, tag: Option<&Tag>) -> Adopted<Tag> {
        let name = &self.set.config.name;
        self.set.journal.write(name, tag, &document.to_bytes(), self.limits.journal()).await.map_err(in_journal)
    }

    fn new_document(&self) -> Adopted<Document> {
        let mut id = [0; 16];
        self.set.randomness.fill(&mut id).map_err(in_journal)?;
        Ok(Document {
            v: VERSION,
            register: id.iter().map(|b| format!("{b:02x}")).collect(),
            set: self.set.config.name.clone(),
            adopted: false,
            epoch: 0,
            owner: OwnerDocument { nonce: format!("{:016x}-0", 0), who: self.set.who.clone(), until: 0 },
            taken: None,
            quiet: None,
            phase: "idle".to_owned(),
            was: "idle".to_owned(),
            current: FIRST.0,
            next: None,
            last: FIRST.0,
            kept: vec![FIRST.0],
            databases: std::collections::BTreeMap::new(),
            stores: std::collections::BTreeMap::new(),
            target: self.set.config.fingerprint(),
            rotated: None,
            outcome: None,
            audit: None,
            pause: None,
            failures: None,
            revoke: None,
            revoked: None,
        })
    }

    async fn look_at_secrets(&self, document: &Document) -> Adopted<Vec<Found>> {
        let mut all = Vec::new();
        for (at, secret) in self.set.secrets.iter().enumerate() {
            let wrong = |error| self.in_secret(at, error);
            let labels = secret.store.labels(self.store_deadline()).await.map_err(wrong)?;
            if let Some(foreign) = labels.named.keys().find(|name| !document.register.starts_with(&name.register)) {
                let error = PortError::refused(
                    Kind::ForeignRegister,
                    format!("the secret carries a version of another register ({foreign})"),
                );
                return Err(wrong(error.with_hint(
                    "another installation rotates this secret: use its journal, or take its labels off if it is gone for good",
                )));
            }
            let looked = secret.first_look.lock().unwrap_or_else(PoisonError::into_inner).take();
            let current = match looked {
                Some(version) => version,
                None => secret.store.current(self.store_deadline()).await.map_err(wrong)?,
            };
            let id = current.id.clone();
            let document = parse(current).map_err(wrong)?;
            let previous = match &labels.previous {
                Some(id) => match secret.store.read(id, self.store_deadline()).await {
                    // PREVIOUS is a convenience here: whatever it is, it may hold no credential of ours.
                    Ok(version) => parse(version).ok(),
                    Err(error) if error.kind == Kind::NotFound => None,
                    Err(error) => return Err(wrong(error)),
                },
                None => None,
            };
            all.push(Found { id, document, labels, previous });
        }
        Ok(all)
    }

    fn credential(&self, secret: usize, database: usize, document: &SecretDocument) -> Adopted<Credential> {
        let (Some(open), Some(config)) = (self.set.secrets.get(secret), self.set.config.databases.get(database)) else {
            return Err(self.in_secret(secret, PortError::refused(Kind::Malformed, "find the database of the secret")));
        };
        let found = self.set.credential(open, document, &config.name);
        found.map_err(|e| self.in_secret(secret, document_error(&e)))
    }

    /// Every secret that publishes a database must publish the same credential.
    fn check_same_everywhere(&self, found: &[Found]) -> Adopted<()> {
        for (at, config) in self.set.config.databases.iter().enumerate() {
            let Some(lead) = self.set.lead(at) else { continue };
            let Some(first) = found.get(lead) else { continue };
            let first = self.credential(lead, at, &first.document)?;
            for (other, secret) in self.set.secrets.iter().enumerate() {
                let Some(there) = found.get(other).filter(|_| other != lead && secret.covers.contains(&at)) else {
                    continue;
                };
                if !self.credential(other, at, &there.document)?.same_login(&first) {
                    let what = format!("two secrets publish different credentials for the database {}", config.name);
                    let error = PortError::refused(Kind::Conflict, what);
                    return Err(self.in_secret(other, error.with_hint(
                        "put the credential that logs in into both (`dizzy-keys verify` tells which one does), then run this again",
                    )));
                }
            }
        }
        Ok(())
    }

    /// The published user of every database, which must be configured and log in.
    async fn check_live_users(&self, found: &[Found], document: &Document) -> Adopted<Vec<Live>> {
        let mut live = Vec::new();
        for (at, config) in self.set.config.databases.iter().enumerate() {
            let lead = self.set.lead(at).unwrap_or_default();
            let Some(secret) = found.get(lead) else { continue };
            let credential = self.credential(lead, at, &secret.document)?;
            if !config.users.contains(&credential.username) {
                let what = format!(
                    "the secret publishes the user {}, but the database {} is configured with {}",
                    credential.username,
                    config.name,
                    config.users.join(" and ")
                );
                let error = PortError::refused(Kind::Malformed, what);
                return Err(self.in_secret(lead, error.with_hint("correct `users` in the configuration")));
            }
            self.login(at, &credential, document, FIRST).await?;
            let rollover = match config.strategy {
                Strategy::Rollover => self.rollover(at, &credential, document).await?,
                Strategy::Alternating | Strategy::Single => None,
            };
            live.push(Live { credential, rollover });
        }
        Ok(live)
    }

    /// What the server says about the windows of the published user.
    async fn rollover(&self, at: usize, credential: &Credential, document: &Document) -> Adopted<Option<Rollover>> {
        let Some(port) = self.set.databases.get(at) else { return Ok(None) };
        let login = Login { user: &credential.username, password: &credential.password };
        let users = [credential.username.as_str()];
        let looked = port.inspect(login, &users, self.stamp(document, FIRST), self.database_deadline(at)).await;
        let found = looked.map_err(|error| self.in_database(at, error))?.rollover;
        if found.is_some_and(|rollover| rollover.open) {
            // Which of the two passwords is published cannot be told: ending the window might end the published one.
            let what = format!("a rollover window of {} is open: somebody has just changed its password", login.user);
            let error = PortError::refused(Kind::Busy, what);
            return Err(self.in_database(at, error.with_hint("adopt the set when the window is over")));
        }
        Ok(found)
    }

    async fn second_users(
        &self,
        found: &[Found],
        live: &[Live],
        document: &Document,
        wants: &AdoptionWants,
    ) -> Adopted<Vec<Option<Second>>> {
        let mut all = Vec::new();
        for (at, (config, live)) in self.set.config.databases.iter().zip(live).enumerate() {
            let other = config.users.iter().find(|user| **user != live.credential.username);
            let (Strategy::Alternating, Some(other)) = (config.strategy, other) else {
                all.push(None);
                continue;
            };
            if let Some(credential) = self.second_from_stores(at, other, found, document).await? {
                all.push(Some(credential));
                continue;
            }
            if wants.admins.get(at).is_none_or(Option::is_none) {
                let what = format!("no secret holds a working password of the second user {other}");
                let error = PortError::refused(Kind::NotFound, what).with_hint(format!(
                    "give the database {} an `admin` and run `dizzy-keys prepare {}`, or put the user's credential into the secret as its previous version",
                    config.name, self.set.config.name
                ));
                return Err(self.in_database(at, error));
            }
            let names: Vec<&str> = config.users.iter().map(String::as_str).collect();
            let password = config
                .password
                .generate(self.set.randomness.as_ref(), &names)
                .map_err(|error| self.in_database(at, error))?;
            let credential =
                Credential { username: other.clone(), password, host: None, port: None, dbname: None, service: None };
            all.push(Some(Second { credential, is_new: true }));
        }
        Ok(all)
    }

    /// What an earlier attempt staged for the second user counts first; then PREVIOUS, if it logs in.
    async fn second_from_stores(
        &self,
        at: usize,
        user: &str,
        found: &[Found],
        document: &Document,
    ) -> Adopted<Option<Second>> {
        let lead = self.set.lead(at).unwrap_or_default();
        let (Some(secret), Some(open)) = (found.get(lead), self.set.secrets.get(lead)) else { return Ok(None) };
        let name = VersionName::new(SECOND_USERS, &document.register);
        if let Some(id) = secret.labels.named.get(&name) {
            let version = open.store.read(id, self.store_deadline()).await.map_err(|e| self.in_secret(lead, e))?;
            let staged = parse(version).map_err(|e| self.in_secret(lead, e))?;
            let credential = self.credential(lead, at, &staged)?;
            if credential.username == user {
                // Whether an administrator has set it already is for the login to tell.
                return match self.login(at, &credential, document, SECOND_USERS).await {
                    Ok(()) => Ok(Some(Second { credential, is_new: false })),
                    Err(trouble) if is_for_an_administrator(trouble.error.kind) => {
                        Ok(Some(Second { credential, is_new: true }))
                    }
                    Err(trouble) => Err(trouble),
                };
            }
        }
        let Some(previous) = &secret.previous else { return Ok(None) };
        let Some(config) = self.set.config.databases.get(at) else { return Ok(None) };
        match self.set.credential(open, previous, &config.name) {
            Ok(credential) if credential.username == user => {
                match self.login(at, &credential, document, SECOND_USERS).await {
                    Ok(()) => Ok(Some(Second { credential, is_new: false })),
                    Err(trouble) if trouble.error.kind == Kind::Credential => Ok(None),
                    Err(trouble) => Err(trouble),
                }
            }
            _ => Ok(None),
        }
    }

    fn fill(&self, document: &mut Document, live: &[Live], found: &[Found]) {
        let length_ms = |r: Rollover| i64::try_from(r.length.as_millis()).unwrap_or(i64::MAX);
        let has_second = self.set.config.databases.iter().any(|d| d.strategy == Strategy::Alternating);
        document.kept = if has_second { vec![SECOND_USERS.0, FIRST.0] } else { vec![FIRST.0] };
        for ((config, port), live) in self.set.config.databases.iter().zip(&self.set.databases).zip(live) {
            let known = |user: &String| if *user == live.credential.username { FIRST.0 } else { SECOND_USERS.0 };
            let users = config.users.iter().map(|user| {
                (
                    user.clone(),
                    UserDocument {
                        known: Some(known(user)),
                        maybe: Vec::new(),
                        wrong: 0,
                        expires: None,
                        decided: None,
                    },
                )
            });
            let entry = DatabaseDocument {
                strategy: strategy_name(config.strategy).to_owned(),
                capability: capability_name(port.capability()).to_owned(),
                live: live.credential.username.clone(),
                users: users.collect(),
                sent: false,
                window: None,
                window_first: None,
                forward_only: false,
                rollover: live.rollover.map(|r| RolloverDocument { length_ms: length_ms(r), can_end: r.can_end }),
            };
            document.databases.insert(config.name.clone(), entry);
        }
        for (at, found) in found.iter().enumerate() {
            document.record_version(&self.secret_name(at), FIRST, &found.id);
        }
    }

    /// Nothing that may be needed stays without a name of ours.
    async fn label(&self, document: &mut Document, found: &[Found], second: &[Option<Second>]) -> Adopted<()> {
        for (at, (open, found)) in self.set.secrets.iter().zip(found).enumerate() {
            let wrong = |error| self.in_secret(at, error);
            let name = VersionName::new(FIRST, &document.register);
            open.store.label(&name, &found.id, self.store_deadline()).await.map_err(wrong)?;
            let mut staged = found.document.clone();
            let mut previous_will_do = true;
            let mut any = false;
            for database in &open.covers {
                let Some(Some(second)) = second.get(*database) else { continue };
                let Some(config) = self.set.config.databases.get(*database) else { continue };
                any = true;
                let credential = &second.credential;
                let format = self.set.format_of(open, &staged);
                staged = staged
                    .with_credential(&config.name, format, &credential.username, &credential.password, None)
                    .map_err(|e| wrong(document_error(&e)))?;
                previous_will_do &= found.previous.as_ref().is_some_and(|previous| {
                    self.set.credential(open, previous, &config.name).is_ok_and(|c| c.same_login(credential))
                });
            }
            if !any {
                continue;
            }
            let name = VersionName::new(SECOND_USERS, &document.register);
            let id = match (&found.labels.previous, found.labels.named.get(&name)) {
                (_, Some(id)) => id.clone(),
                (Some(id), None) if previous_will_do => {
                    open.store.label(&name, id, self.store_deadline()).await.map_err(wrong)?;
                    id.clone()
                }
                (_, None) => open.store.stage(&name, staged.text(), self.store_deadline()).await.map_err(wrong)?,
            };
            document.record_version(&self.secret_name(at), SECOND_USERS, &id);
        }
        Ok(())
    }

    async fn prepare_database(
        &self,
        at: usize,
        second: Option<&Second>,
        document: &Document,
        wants: &AdoptionWants,
        report: &mut AdoptionReport,
    ) -> Adopted<()> {
        let (Some(config), Some(port)) = (self.set.config.databases.get(at), self.set.databases.get(at)) else {
            return Ok(());
        };
        let Some(Some(admin)) = wants.admins.get(at) else { return Ok(()) };
        let users: Vec<&str> = config.users.iter().map(String::as_str).collect();
        let admin = Login { user: &admin.username, password: &admin.password };
        let second = second.map(|s| Login { user: &s.credential.username, password: &s.credential.password });
        let stamp = self.stamp(document, FIRST);
        let steps = port
            .prepare(admin, &users, second, stamp, self.database_deadline(at))
            .await
            .map_err(|error| self.in_database(at, error))?;
        if second.is_some() {
            report.supplied.push(config.name.clone());
        }
        report.steps.push((config.name.clone(), steps));
        Ok(())
    }

    async fn login(
        &self,
        at: usize,
        credential: &Credential,
        document: &Document,
        generation: Generation,
    ) -> Adopted<()> {
        let Some(port) = self.set.databases.get(at) else { return Ok(()) };
        let login = Login { user: &credential.username, password: &credential.password };
        let stamp = self.stamp(document, generation);
        let result = port.login(login, stamp, self.database_deadline(at)).await;
        result.map_err(|error| self.in_database(at, error))
    }

    fn stamp<'s>(&'s self, document: &'s Document, generation: Generation) -> FenceStamp<'s> {
        FenceStamp {
            set: &self.set.config.name,
            register: &document.register,
            epoch: Epoch(document.epoch),
            generation,
        }
    }

    fn secret_name(&self, at: usize) -> String {
        self.set.config.secrets.get(at).map(|s| s.store.to_string()).unwrap_or_default()
    }

    fn store_deadline(&self) -> Deadline {
        self.limits.store()
    }

    fn database_deadline(&self, at: usize) -> Deadline {
        let config = self.set.config.databases.get(at);
        Deadline::after(config.map_or(self.limits.call, |c| c.connect_timeout + c.statement_timeout))
    }

    fn in_secret(&self, at: usize, error: PortError) -> Box<Trouble> {
        Box::new(Trouble { target: Target::Secret(self.secret_name(at)), error })
    }

    fn in_database(&self, at: usize, error: PortError) -> Box<Trouble> {
        let name = self.set.config.databases.get(at).map(|d| d.name.clone()).unwrap_or_default();
        Box::new(Trouble { target: Target::Database(name), error })
    }
}

/// Whether setting the second user's password is what mends a refused login, rather than a second attempt.
fn is_for_an_administrator(kind: Kind) -> bool {
    matches!(kind, Kind::Credential | Kind::Denied | Kind::Expired | Kind::Locked)
}

fn in_journal(error: PortError) -> Box<Trouble> {
    Box::new(Trouble { target: Target::Journal, error })
}
