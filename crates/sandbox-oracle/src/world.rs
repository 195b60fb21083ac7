//! What all sessions share: accounts, sessions, faults, the log and the clock, behind one lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpStream,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result};

use crate::{
    accounts::{Accounts, profile::Profile, user::User},
    fault::Faults,
    log::{Entry, Event},
    options::{Account, Mode, Options},
    sql::names,
    time::Moment,
};

/// A session that is logged in.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) serial: u64,
    pub(crate) user: String,
    pub(crate) schema: String,
    pub(crate) service: String,
    pub(crate) protocol: &'static str,
    pub(crate) program: String,
    pub(crate) machine: String,
    pub(crate) os_user: String,
    pub(crate) terminal: String,
    pub(crate) process: String,
    pub(crate) module: String,
    pub(crate) action: String,
    pub(crate) identifier: String,
    pub(crate) info: String,
    pub(crate) since: Moment,
    /// An administrator has ended it: its next call is refused.
    pub(crate) killed: bool,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) mode: Mode,
    pub(crate) accounts: Accounts,
    pub(crate) sessions: BTreeMap<u64, Session>,
    pub(crate) faults: Faults,
    pub(crate) log: Vec<Entry>,
    /// Open connections by number, so that a stop can end them.
    pub(crate) connections: BTreeMap<u64, TcpStream>,
    pub(crate) services: Vec<String>,
    /// Whether it claims to be Autonomous Database.
    pub(crate) cloud: bool,
    pub(crate) stopping: bool,
    offset_ms: i64,
    next_id: u64,
    last_connection: u64,
}

/// The world behind its lock.
#[derive(Debug)]
pub(crate) struct Shared {
    world: Mutex<World>,
    pub(crate) error_markers: bool,
    /// Makes the salts of users who do not exist.
    pub(crate) secret: [u8; 16],
}

impl Shared {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            world: Mutex::new(World::new(options)?),
            error_markers: options.error_markers,
            secret: crate::wire::proof::random(),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    fn new(options: &Options) -> Result<Self> {
        let profiles = std::iter::once(("DEFAULT".to_owned(), Profile::autonomous()))
            .chain(options.profiles.iter().map(|(name, profile)| (name.to_uppercase(), profile.clone())))
            .collect();
        let accounts = Accounts {
            users: BTreeMap::new(),
            profiles,
            roles: roles(),
            procedures: BTreeMap::new(),
            object_grants: BTreeSet::new(),
            wrong_old_password: options.wrong_old_password,
            restore: options.restore,
        };
        let mut world = Self {
            mode: options.mode,
            accounts,
            sessions: BTreeMap::new(),
            faults: Faults::default(),
            log: Vec::new(),
            connections: BTreeMap::new(),
            services: options.services.clone(),
            cloud: options.cloud,
            stopping: false,
            offset_ms: 0,
            next_id: 100,
            last_connection: 0,
        };
        for account in &options.accounts {
            world.add(account)?;
        }
        Ok(world)
    }

    /// Adds a user.
    pub(crate) fn add(&mut self, account: &Account) -> Result<()> {
        let name = names::fold(&account.name);
        let profile = account.profile.to_uppercase();
        self.accounts.profiles.get(&profile).with_context(|| format!("no profile {profile} for {name}"))?;
        let id = self.fresh_id();
        let mut user = User::new(&name, id, &account.password, &profile, self.now());
        if account.administrator {
            user.roles.insert("DBA".to_owned());
        } else {
            user.privileges.insert("CREATE SESSION".to_owned());
        }
        self.accounts.users.insert(name, user);
        Ok(())
    }

    pub(crate) fn now(&self) -> Moment {
        Moment(Moment::of_the_system().0 + self.offset_ms)
    }

    pub(crate) fn set_now(&mut self, now: Moment) {
        self.offset_ms = now.0 - Moment::of_the_system().0;
    }

    pub(crate) const fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) const fn next_connection(&mut self) -> u64 {
        self.last_connection += 1;
        self.last_connection
    }

    pub(crate) fn note(&mut self, connection: u64, event: Event) {
        let at = self.now();
        self.log.push(Entry { at, connection, event });
    }
}

/// Privileges behind the predefined roles, as far as statements here ask for them.
fn roles() -> BTreeMap<String, BTreeSet<String>> {
    let role = |name: &str, privileges: &[&str]| {
        (name.to_owned(), privileges.iter().map(ToString::to_string).collect::<BTreeSet<_>>())
    };
    BTreeMap::from([
        role("CONNECT", &["CREATE SESSION", "SET CONTAINER"]),
        role("RESOURCE", &["CREATE PROCEDURE", "CREATE SEQUENCE", "CREATE TABLE", "CREATE TRIGGER", "CREATE TYPE"]),
        role("SELECT_CATALOG_ROLE", &["SELECT ANY DICTIONARY"]),
        role(
            "DBA",
            &[
                "ALTER PROFILE",
                "ALTER SYSTEM",
                "ALTER USER",
                "CREATE ANY PROCEDURE",
                "CREATE PROCEDURE",
                "CREATE PROFILE",
                "CREATE ROLE",
                "CREATE SESSION",
                "CREATE TABLE",
                "CREATE USER",
                "DROP ANY PROCEDURE",
                "DROP PROFILE",
                "DROP USER",
                "EXECUTE ANY PROCEDURE",
                "GRANT ANY OBJECT PRIVILEGE",
                "GRANT ANY PRIVILEGE",
                "GRANT ANY ROLE",
                "SELECT ANY DICTIONARY",
                "UNLIMITED TABLESPACE",
            ],
        ),
    ])
}
