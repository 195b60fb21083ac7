//! From what was found to what is to be done: one reading of the world, or none.
//!
//! The register's generation is what should be true. A password that is not on it goes there if the user can do that by itself; CURRENT
//! goes back to it. One exception: what every secret publishes and every database accepts is not undone, whoever made it so.

use dizzy_engine::{DatabaseIx, Generation, StoreIx, Strategy};

use super::{
    super::{
        ATTEMPTS_SPENT, number,
        session::{Session, missing_version},
        world::{Published, World},
    },
    BreakGlass, Drift, NotRepaired, Repair, Repaired,
};
use crate::{
    document::Credential,
    port::{FenceStamp, VersionId},
    register::Document,
};

/// What is to be done, and what it rests on.
pub(super) struct Plan {
    pub(super) drift: Drift,
    /// Adopting: what every database accepts.
    pub(super) adopted: Published,
}

/// What one secret shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shown {
    /// The recorded version.
    Recorded,
    /// Another version with the same credentials.
    Same,
    /// Other credentials: those of this generation, if it is known.
    Other(Option<Generation>),
}

struct Look<'w> {
    world: &'w World<'w>,
    session: &'w Session<'w>,
    document: &'w Document,
    break_glass: BreakGlass,
    current: Generation,
}

impl Plan {
    pub(super) async fn of(
        world: &World<'_>,
        session: &Session<'_>,
        document: &Document,
        break_glass: BreakGlass,
    ) -> Repaired<Self> {
        let look = Look { world, session, document, break_glass, current: Generation(document.current) };
        look.plan().await
    }
}

impl Look<'_> {
    async fn plan(&self) -> Repaired<Plan> {
        let databases = 0..self.world.set.config.databases.len();
        let mut published = Vec::new();
        for at in databases.clone() {
            published.push(self.published(at).await?);
        }
        let shown: Vec<Shown> = (0..self.world.secrets.len()).map(|at| self.shown(at, &published)).collect();
        let mut found = self.found(&shown);
        let mut valid = Vec::new();
        for at in databases.clone() {
            let is_valid = self.logs_in(at, published.get(at), self.current).await?;
            found.push(self.said(at, published.get(at), is_valid));
            valid.push(is_valid);
        }
        if let Some(plan) = self.adoption(&shown, &valid, &found).await? {
            return Ok(plan);
        }
        let mut repairs = Vec::new();
        for at in databases {
            if valid.get(at) != Some(&true) {
                repairs.push(self.password(at, published.get(at)).await?);
            } else if let Some(repair) = self.unsettled(at) {
                repairs.push(repair);
            }
            if let Some(repair) = self.idle(at).await? {
                repairs.push(repair);
            }
        }
        for (secret, (shown, seen)) in shown.iter().zip(&self.world.secrets).enumerate() {
            match shown {
                Shown::Recorded => {}
                Shown::Same => repairs.push(Repair::Record { secret, version: seen.current.clone() }),
                Shown::Other(_) => {
                    let to = self.version(secret).ok_or_else(|| self.no_version(secret))?;
                    repairs.push(Repair::Move { secret, from: seen.current.clone(), to });
                }
            }
        }
        Ok(self.drift(repairs, found, Published::new()))
    }

    fn drift(&self, repairs: Vec<Repair>, found: Vec<String>, adopted: Published) -> Plan {
        let says = repairs.iter().map(|repair| self.says(repair)).collect();
        Plan { drift: Drift { current: self.current, repairs, found, says }, adopted }
    }

    /// What the recorded version publishes for a database.
    async fn published(&self, at: usize) -> Repaired<Credential> {
        let ix = DatabaseIx(u8::try_from(at).unwrap_or(u8::MAX));
        let loaded = self.session.load(ix, self.current).await.map_err(|error| self.world.in_database(at, error))?;
        Ok(loaded.ok_or_else(|| self.world.in_database(at, missing_version(self.current)))?)
    }

    fn version(&self, secret: usize) -> Option<VersionId> {
        self.session.version(StoreIx(u8::try_from(secret).ok()?), self.current)
    }

    fn no_version(&self, secret: usize) -> NotRepaired {
        NotRepaired::Trouble(self.world.in_secret(secret, missing_version(self.current)))
    }

    fn shown(&self, secret: usize, published: &[Credential]) -> Shown {
        let Some(seen) = self.world.secrets.get(secret) else { return Shown::Other(None) };
        if self.version(secret).as_ref() == Some(&seen.current) {
            return Shown::Recorded;
        }
        let same = seen.published.iter().all(|(at, c)| published.get(*at).is_some_and(|ours| ours.same_login(c)));
        if same {
            return Shown::Same;
        }
        // A name that the register does not know was put there by a repair that was cut off.
        let known = |generation: &Generation| self.document.kept.contains(&number(*generation));
        Shown::Other(self.world.alike(&seen.published).filter(known))
    }

    async fn logs_in(&self, at: usize, credential: Option<&Credential>, generation: Generation) -> Repaired<bool> {
        let Some(credential) = credential else { return Ok(false) };
        match self.world.logs_in(at, credential, self.stamp(generation)).await {
            // Nothing may be risked any more. Whoever lets an administrator set the password need not know the present one.
            Err(trouble) if trouble.error.code.as_deref() == Some(ATTEMPTS_SPENT) && self.may_reset(at) => Ok(false),
            answer => Ok(answer?),
        }
    }

    fn may_reset(&self, at: usize) -> bool {
        self.break_glass == BreakGlass::Allowed && matches!(self.world.set.admins.get(at), Some(Some(_)))
    }

    fn stamp(&self, generation: Generation) -> FenceStamp<'_> {
        let (set, register) = (self.document.set.as_str(), self.document.register.as_str());
        FenceStamp { set, register, epoch: dizzy_engine::Epoch(self.document.epoch), generation }
    }

    /// Nothing to be done by the world, but an earlier repair was cut off before the register said so.
    fn unsettled(&self, at: usize) -> Option<Repair> {
        let entry = self.document.databases.get(self.world.database_name(at))?;
        let live = entry.users.get(&entry.live)?;
        let settled = live.known == Some(number(self.current)) && live.maybe.is_empty();
        let user = entry.live.clone();
        (!settled).then_some(Repair::Settle { database: at, user, on: self.current })
    }

    /// The user whose turn is next must be on a generation that the register knows of, or the next rotation cannot change it.
    async fn idle(&self, at: usize) -> Repaired<Option<Repair>> {
        let Some(entry) = self.document.databases.get(self.world.database_name(at)) else { return Ok(None) };
        let Some((user, facts)) = entry.users.iter().find(|(user, _)| **user != entry.live) else { return Ok(None) };
        let expected: Vec<u64> = facts.known.iter().chain(facts.maybe.iter().rev()).copied().collect();
        for generation in &expected {
            if self.is_on(at, user, Generation(*generation)).await? {
                return Ok(None);
            }
        }
        for generation in self.document.kept.iter().rev().filter(|generation| !expected.contains(generation)) {
            let on = Generation(*generation);
            if self.is_on(at, user, on).await? {
                return Ok(Some(Repair::Settle { database: at, user: user.clone(), on }));
            }
        }
        let Some(to) = facts.known.map(Generation) else { return Ok(None) };
        self.reset(at, user, to).map(Some)
    }

    async fn is_on(&self, at: usize, user: &str, generation: Generation) -> Repaired<bool> {
        let ix = DatabaseIx(u8::try_from(at).unwrap_or(u8::MAX));
        let loaded = self.session.load(ix, generation).await.map_err(|error| self.world.in_database(at, error))?;
        let theirs = loaded.filter(|credential| credential.username == user);
        self.logs_in(at, theirs.as_ref(), generation).await
    }

    /// How a published user whose password is wrong gets the published one.
    async fn password(&self, at: usize, published: Option<&Credential>) -> Repaired<Repair> {
        let user = published.map(|c| c.username.clone()).unwrap_or_default();
        for generation in self.document.kept.iter().rev().map(|g| Generation(*g)).filter(|g| *g != self.current) {
            if self.is_on(at, &user, generation).await? {
                return Ok(Repair::Change { database: at, user, from: generation });
            }
        }
        self.reset(at, &user, self.current)
    }

    /// Nobody knows the password: only an administrator can set it, and only if a person says so.
    fn reset(&self, at: usize, user: &str, to: Generation) -> Repaired<Repair> {
        let (database, set) = (self.world.database_name(at), &self.document.set);
        let what = format!("no password that a secret holds lets {user} in on the database {database}");
        if self.may_reset(at) {
            return Ok(Repair::Reset { database: at, user: user.to_owned(), to });
        }
        let hint = match self.break_glass {
            BreakGlass::Allowed => {
                format!("give the database {database} an `admin`, then dizzy-keys reconcile --break-glass {set}")
            }
            BreakGlass::Kept => format!(
                "find out who has changed it; `dizzy-keys reconcile --break-glass {set}` sets it with the login of `admin`"
            ),
        };
        Err(NotRepaired::Unclear { what, hint })
    }

    /// What every secret publishes, and every database accepts, is what somebody has decided beside us; if the register's own does not
    /// log in everywhere.
    async fn adoption(&self, shown: &[Shown], valid: &[bool], found: &[String]) -> Repaired<Option<Plan>> {
        if valid.iter().all(|valid| *valid) || shown.iter().any(|shown| *shown != Shown::Other(None)) {
            return Ok(None);
        }
        let mut adopted = Published::new();
        for seen in &self.world.secrets {
            for (at, credential) in &seen.published {
                if adopted.get(at).is_some_and(|other| !other.same_login(credential)) {
                    return Err(self.secrets_differ());
                }
                adopted.insert(*at, credential.clone());
            }
        }
        for (at, credential) in &adopted {
            let Some(config) = self.world.set.config.databases.get(*at) else { continue };
            // A number that no generation has: nothing is known of this password.
            if !config.users.contains(&credential.username)
                || !self.logs_in(*at, Some(credential), Generation(u64::MAX)).await?
            {
                return Ok(None);
            }
            let live = self.document.databases.get(&config.name).map(|entry| entry.live.as_str());
            if config.strategy == Strategy::Alternating && live != Some(credential.username.as_str()) {
                let what =
                    format!("the secrets publish {} on {}, whose turn it is not", credential.username, config.name);
                let hint = format!(
                    "publish the credential of {} that logs in, then dizzy-keys reconcile {}",
                    live.unwrap_or_default(),
                    self.document.set
                );
                return Err(NotRepaired::Unclear { what, hint });
            }
        }
        let generation = Generation(self.document.last).next();
        Ok(Some(self.drift(vec![Repair::Adopt { generation }], found.to_vec(), adopted)))
    }

    fn secrets_differ(&self) -> NotRepaired {
        NotRepaired::Unclear {
            what: "the secrets publish different credentials that no generation has, and the register's own does not log in everywhere".to_owned(),
            hint: format!("publish in every secret the credential that logs in, then dizzy-keys reconcile {}", self.document.set),
        }
    }

    fn found(&self, shown: &[Shown]) -> Vec<String> {
        let mut lines = Vec::new();
        for (secret, (shown, seen)) in shown.iter().zip(&self.world.secrets).enumerate() {
            let what = match shown {
                Shown::Recorded => format!("publishes g{}", self.current.0),
                Shown::Same => {
                    format!("publishes the credentials of g{} in another version ({})", self.current.0, seen.current)
                }
                Shown::Other(Some(other)) => format!("publishes g{}, not g{}", other.0, self.current.0),
                Shown::Other(None) => format!("publishes credentials of no generation (version {})", seen.current),
            };
            lines.push(format!("{}: {what}", self.world.secret_name(secret)));
        }
        lines
    }

    fn said(&self, at: usize, credential: Option<&Credential>, is_valid: bool) -> String {
        let word = if is_valid { "logs in" } else { "does not log in" };
        let user = credential.map_or("", |c| c.username.as_str());
        format!("{}: {user} {word} with g{}", self.world.database_name(at), self.current.0)
    }

    fn says(&self, repair: &Repair) -> String {
        let current = self.current.0;
        match repair {
            Repair::Record { secret, version } => {
                format!("{}: version {version} is recorded as g{current}", self.world.secret_name(*secret))
            }
            Repair::Move { secret, from, to } => {
                format!(
                    "{}: CURRENT goes from version {from} to {to} (g{current}); {from} stays as PREVIOUS",
                    self.world.secret_name(*secret)
                )
            }
            Repair::Settle { database, user, on } => {
                format!("{}: {user} is recorded on g{}", self.world.database_name(*database), on.0)
            }
            Repair::Change { database, user, from } => {
                format!(
                    "{}: {user} changes its password from g{} to g{current}",
                    self.world.database_name(*database),
                    from.0
                )
            }
            Repair::Reset { database, user, to } => {
                format!(
                    "{}: the administrator sets the password of {user} to g{}",
                    self.world.database_name(*database),
                    to.0
                )
            }
            Repair::Adopt { generation } => {
                format!("what every secret publishes logs in everywhere, and is recorded as g{}", generation.0)
            }
        }
    }
}
