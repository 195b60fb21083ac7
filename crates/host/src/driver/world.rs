//! What the world shows by itself, register or not: versions and their names, what they publish, and what logs in.
//!
//! For the two verbs that cannot take the register's word: the one that rebuilds it, and the one that repairs a drift. Looks only.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use dizzy_engine::{DatabaseIx, Epoch, Generation, UserIx};

use super::{
    ATTEMPTS_SPENT, OpenSet,
    attempts::Unknown,
    run::Limits,
    session::{Session, document_error, parse},
    trouble::{Target, Trouble},
};
use crate::{
    document::{Credential, SecretDocument},
    port::{Deadline, FenceStamp, Inspection, Kind, Labels, Login, PortError, VersionId},
};

/// Most versions of one secret that are read: Vault holds no more, and a set at rest has four.
const MOST_VERSIONS: usize = 30;

pub(super) type Looked<T> = Result<T, Box<Trouble>>;

/// What a version publishes: a credential per database, by the database's place in the set.
pub(super) type Published = BTreeMap<usize, Credential>;

/// One secret.
pub(super) struct SeenSecret {
    pub(super) labels: Labels,
    pub(super) current: VersionId,
    pub(super) published: Published,
    pub(super) previous: Option<(VersionId, Published)>,
    /// Versions that carry a name of ours.
    pub(super) named: BTreeMap<Generation, (VersionId, Published)>,
}

/// The world of one set.
pub(super) struct World<'a> {
    pub(super) set: &'a OpenSet,
    pub(super) limits: Limits,
    pub(super) secrets: Vec<SeenSecret>,
    /// Every generation that some version is named after, by database. Where secrets differ, the database's first one counts.
    pub(super) generations: BTreeMap<(usize, Generation), Credential>,
    asked: Mutex<Asked>,
    /// Counts wrong logins in the register, where there is one.
    counter: Option<&'a Session<'a>>,
}

#[derive(Default)]
struct Asked {
    answers: Vec<(usize, Credential, bool)>,
    /// Wrong logins since the last right one, by database and user.
    wrong: BTreeMap<(usize, String), u32>,
}

impl<'a> World<'a> {
    /// Looks at every secret.
    pub(super) async fn look(set: &'a OpenSet, limits: Limits) -> Looked<Self> {
        let mut secrets = Vec::new();
        for (at, open) in set.secrets.iter().enumerate() {
            let wrong = |error| in_secret(set, at, error);
            let labels = open.store.labels(limits.store()).await.map_err(wrong)?;
            drop(open.first_look.lock().unwrap_or_else(PoisonError::into_inner).take());
            let current = open.store.current(limits.store()).await.map_err(wrong)?;
            let (id, document) = (current.id.clone(), parse(current).map_err(wrong)?);
            let mut published = Published::new();
            for database in &open.covers {
                let Some(config) = set.config.databases.get(*database) else { continue };
                let found = set.credential(open, &document, &config.name);
                published.insert(*database, found.map_err(|error| wrong(document_error(&error)))?);
            }
            let mut seen = SeenSecret { labels, current: id, published, previous: None, named: BTreeMap::new() };
            let newest: Vec<(Generation, VersionId)> =
                seen.labels.named.iter().rev().take(MOST_VERSIONS).map(|(n, id)| (n.generation, id.clone())).collect();
            for (generation, id) in newest {
                if let Some(published) = read(set, limits, at, &id).await? {
                    seen.named.insert(generation, (id, published));
                }
            }
            if let Some(id) = seen.labels.previous.clone() {
                seen.previous = read(set, limits, at, &id).await?.map(|published| (id, published));
            }
            secrets.push(seen);
        }
        let mut generations = BTreeMap::new();
        for (at, _) in set.config.databases.iter().enumerate() {
            let lead = set.lead(at).and_then(|lead| secrets.get(lead));
            for seen in lead.into_iter().chain(&secrets) {
                for (generation, (_, published)) in &seen.named {
                    if let Some(credential) = published.get(&at) {
                        generations.entry((at, *generation)).or_insert_with(|| credential.clone());
                    }
                }
            }
        }
        Ok(Self { set, limits, secrets, generations, asked: Mutex::default(), counter: None })
    }

    /// The same with wrong logins counted in the register, so that no number of runs spends more.
    pub(super) fn counting(self, session: &'a Session<'a>) -> Self {
        Self { counter: Some(session), ..self }
    }

    /// The ids of registers that names carry, ten characters each, with the secrets that carry them.
    pub(super) fn registers(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (at, seen) in self.secrets.iter().enumerate() {
            for name in seen.labels.named.keys() {
                all.entry(name.register.clone()).or_default().insert(self.secret_name(at));
            }
        }
        all
    }

    /// Every generation that some version is named after.
    pub(super) fn named(&self) -> BTreeSet<Generation> {
        self.secrets.iter().flat_map(|seen| seen.labels.named.keys()).map(|name| name.generation).collect()
    }

    /// The generation whose credentials these are, the newest if there are several; `None`: of none.
    pub(super) fn generation_of(&self, secret: usize, id: &VersionId, published: &Published) -> Option<Generation> {
        let seen = self.secrets.get(secret)?;
        if let Some((name, _)) = seen.labels.named.iter().find(|(_, named)| *named == id) {
            return Some(name.generation);
        }
        self.alike(published)
    }

    /// The newest generation with these very credentials.
    pub(super) fn alike(&self, published: &Published) -> Option<Generation> {
        let is = |generation: &Generation| {
            published.iter().all(|(at, credential)| {
                self.generations.get(&(*at, *generation)).is_some_and(|known| known.same_login(credential))
            })
        };
        self.named().into_iter().rev().find(is)
    }

    /// Whether a credential logs in. Asked once per run and credential; wrong logins are spent sparingly.
    ///
    /// # Errors
    /// If that cannot be told.
    pub(super) async fn logs_in(&self, at: usize, credential: &Credential, stamp: FenceStamp<'_>) -> Looked<bool> {
        let known = self.asked().answers.iter().find(|(d, c, _)| *d == at && c.same_login(credential)).map(|k| k.2);
        if let Some(answer) = known {
            return Ok(answer);
        }
        let answer = self.logs_in_now(at, credential, stamp).await?;
        self.asked().answers.push((at, credential.clone(), answer));
        Ok(answer)
    }

    /// The same, asked anew.
    pub(super) async fn logs_in_now(&self, at: usize, credential: &Credential, stamp: FenceStamp<'_>) -> Looked<bool> {
        let Some(port) = self.set.databases.get(at) else { return Ok(false) };
        if let Some(session) = self.counter {
            return self.counted(session, at, credential, stamp).await;
        }
        let place = (at, credential.username.clone());
        let spent = self.asked().wrong.get(&place).copied().unwrap_or_default();
        if port.wrong_logins_allowed().is_some_and(|allowed| spent >= allowed) {
            let what = format!("{spent} logins as {} were wrong; another could lock the account", credential.username);
            let error = PortError::refused(Kind::Locked, what).with_code(ATTEMPTS_SPENT);
            return Err(self.in_database(at, error.with_hint(
                "a version in the stores holds its password: find out which one, log in with it once, then run this again",
            )));
        }
        match port.login(login(credential), stamp, self.deadline(at)).await {
            Ok(()) => {
                self.asked().wrong.remove(&place);
                Ok(true)
            }
            Err(error) if error.kind == Kind::Credential => {
                *self.asked().wrong.entry(place).or_default() += 1;
                Ok(false)
            }
            Err(error) => Err(self.in_database(at, error)),
        }
    }

    async fn counted(
        &self,
        session: &Session<'_>,
        at: usize,
        credential: &Credential,
        stamp: FenceStamp<'_>,
    ) -> Looked<bool> {
        let (Some(port), Some(config)) = (self.set.databases.get(at), self.set.config.databases.get(at)) else {
            return Ok(false);
        };
        let user = config.users.iter().position(|user| *user == credential.username);
        let places = user.and_then(|user| Some((u8::try_from(at).ok()?, u8::try_from(user).ok()?)));
        let Some((ix, user)) = places else { return Ok(false) };
        let call = port.login(login(credential), stamp, self.deadline(at));
        let (ix, user) = (DatabaseIx(ix), UserIx(user));
        match session.within_attempts(ix, user, stamp.generation, Unknown::DuringLogin, call).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind == Kind::Credential => Ok(false),
            Err(error) => Err(self.in_database(at, error)),
        }
    }

    /// What a database tells to whoever logs in with `credential`.
    pub(super) async fn inspect(
        &self,
        at: usize,
        credential: &Credential,
        stamp: FenceStamp<'_>,
    ) -> Looked<Inspection> {
        let (Some(port), Some(config)) = (self.set.databases.get(at), self.set.config.databases.get(at)) else {
            return Ok(Inspection::default());
        };
        let users: Vec<&str> = config.users.iter().map(String::as_str).collect();
        let looked = port.inspect(login(credential), &users, stamp, self.deadline(at)).await;
        looked.map_err(|error| self.in_database(at, error))
    }

    pub(super) fn deadline(&self, at: usize) -> Deadline {
        let config = self.set.config.databases.get(at);
        Deadline::after(config.map_or(self.limits.call, |c| c.connect_timeout + c.statement_timeout))
    }

    pub(super) fn secret_name(&self, at: usize) -> String {
        self.set.config.secrets.get(at).map(|s| s.store.to_string()).unwrap_or_default()
    }

    pub(super) fn database_name(&self, at: usize) -> &str {
        self.set.config.databases.get(at).map_or("", |d| d.name.as_str())
    }

    pub(super) fn in_secret(&self, at: usize, error: PortError) -> Box<Trouble> {
        in_secret(self.set, at, error)
    }

    pub(super) fn in_database(&self, at: usize, error: PortError) -> Box<Trouble> {
        Box::new(Trouble { target: Target::Database(self.database_name(at).to_owned()), error })
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        // Every change is one insert.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn login(credential: &Credential) -> Login<'_> {
    Login { user: &credential.username, password: &credential.password }
}

/// A stamp for looks: whoever looks fences nobody off.
pub(super) fn looking<'s>(set: &'s str, register: &'s str) -> FenceStamp<'s> {
    FenceStamp { set, register, epoch: Epoch(0), generation: Generation(0) }
}

/// What a version publishes, as far as it can be understood; `None` if the version is gone.
async fn read(set: &OpenSet, limits: Limits, at: usize, id: &VersionId) -> Looked<Option<Published>> {
    let Some(open) = set.secrets.get(at) else { return Ok(None) };
    let version = match open.store.read(id, limits.store()).await {
        Ok(version) => version,
        Err(error) if error.kind == Kind::NotFound => return Ok(None),
        Err(error) => return Err(in_secret(set, at, error)),
    };
    // An old version may be of another format, or hold nothing of ours.
    let Ok(document) = parse(version) else { return Ok(None) };
    Ok(Some(credentials(set, at, &document)))
}

fn credentials(set: &OpenSet, at: usize, document: &SecretDocument) -> Published {
    let Some(open) = set.secrets.get(at) else { return Published::new() };
    let found = open.covers.iter().filter_map(|database| {
        let config = set.config.databases.get(*database)?;
        Some((*database, set.credential(open, document, &config.name).ok()?))
    });
    found.collect()
}

fn in_secret(set: &OpenSet, at: usize, error: PortError) -> Box<Trouble> {
    let name = set.config.secrets.get(at).map(|s| s.store.to_string()).unwrap_or_default();
    Box::new(Trouble { target: Target::Secret(name), error })
}
