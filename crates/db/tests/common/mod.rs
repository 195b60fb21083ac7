//! What the tests of the PostgreSQL adapter share: a server of their own, users, stamps and a database to call.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub, reason = "each test file uses its part")]

use std::{path::PathBuf, sync::Arc, time::Duration};

use dizzy_db::{PostgresConfig, PostgresDatabase, PublicRoots, Roots};
use dizzy_engine::{Epoch, Generation};
use dizzy_host::{
    port::{
        Change, ChangeKind, Database as _, Deadline, FenceStamp, Finding, Login, PortResult, Severity, SystemRandomness,
    },
    secret::Password,
};
use dizzy_sandbox::{Postgres, PostgresOptions};

pub const SET: &str = "orders";
pub const REGISTER: &str = "r-0123456789";

pub fn options() -> PostgresOptions {
    PostgresOptions { cache: Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR"))), ..PostgresOptions::default() }
}

pub fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    pub password: Password,
}

impl User {
    pub fn new(name: &str, password: &str) -> Self {
        Self { name: name.to_owned(), password: Password::new(password.to_owned()) }
    }

    pub fn login(&self) -> Login<'_> {
        Login { user: &self.name, password: &self.password }
    }

    pub fn with(&self, password: &str) -> Self {
        Self::new(&self.name, password)
    }
}

pub fn stamp(epoch: u64, generation: u64) -> FenceStamp<'static> {
    FenceStamp { set: SET, register: REGISTER, epoch: Epoch(epoch), generation: Generation(generation) }
}

pub fn single(from: u64) -> ChangeKind {
    ChangeKind::Single { from: Generation(from) }
}

/// A server with an administrator as on a managed service: no superuser, but CREATEROLE, and CREATE in the database.
pub struct World {
    pub server: Postgres,
    pub admin: User,
    pub db: PostgresDatabase,
}

impl World {
    pub fn start() -> Self {
        Self::start_with(&options())
    }

    pub fn start_with(options: &PostgresOptions) -> Self {
        let server = Postgres::start(options).unwrap();
        let admin = User::new("admin", "admin-password");
        server.create_role("admin", "admin-password").unwrap();
        server.psql("ALTER ROLE admin CREATEROLE; GRANT CREATE ON DATABASE postgres TO admin;").unwrap();
        let db = database(&server, "localhost", server.port());
        Self { server, admin, db }
    }

    /// A server with one prepared user `a`, password `a-0`.
    pub async fn with_one() -> (Self, User) {
        let world = Self::start();
        let user = world.user("a", "a-0");
        world.prepare(&["a"]).await;
        (world, user)
    }

    /// A server with two prepared users `a` and `b`, passwords `a-0` and `b-0`.
    pub async fn with_two() -> (Self, User, User) {
        let world = Self::start();
        let (a, b) = (world.user("a", "a-0"), User::new("b", "b-0"));
        world.db.prepare(world.admin.login(), &["a", "b"], Some(b.login()), stamp(0, 0), soon()).await.unwrap();
        (world, a, b)
    }

    pub fn user(&self, name: &str, password: &str) -> User {
        self.server.create_role(name, password).unwrap();
        User::new(name, password)
    }

    pub async fn prepare(&self, users: &[&str]) {
        self.db.prepare(self.admin.login(), users, None, stamp(0, 0), soon()).await.unwrap();
    }

    pub async fn change(&self, user: &User, new: &str, stamp: FenceStamp<'_>, kind: ChangeKind) -> PortResult<User> {
        let changed = user.with(new);
        let change = Change { login: user.login(), new: &changed.password, stamp, kind };
        self.db.apply(change, soon()).await.map(|()| changed)
    }

    pub fn logs_in(&self, user: &User) -> bool {
        self.server.login(&user.name, user.password.expose()).unwrap()
    }

    /// `(register, epoch, gen)` as psql prints them.
    pub fn row(&self, user: &str) -> String {
        let role = dizzy_sandbox::postgres::literal(user);
        let sql = format!(
            "SELECT coalesce(register, '-'), epoch, coalesce(gen::text, '-') FROM dizzy.fence WHERE role = {role}"
        );
        self.server.psql(&sql).unwrap()
    }

    pub async fn findings(&self, user: &User, users: &[&str]) -> Vec<Finding> {
        self.db.inspect(user.login(), users, stamp(0, 0), soon()).await.unwrap().findings
    }
}

pub fn database(server: &Postgres, host: &str, port: u16) -> PostgresDatabase {
    PostgresDatabase::new(config(server, host, port)).unwrap()
}

pub fn config(server: &Postgres, host: &str, port: u16) -> PostgresConfig {
    PostgresConfig {
        name: "pg".to_owned(),
        host: host.to_owned(),
        port,
        dbname: "postgres".to_owned(),
        roots: Roots {
            public: PublicRoots::Ignored,
            private_pem: Some(server.certificates().ca_pem().as_bytes().to_vec()),
        },
        connect_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(10),
        randomness: Arc::new(SystemRandomness),
    }
}

pub fn errors(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.severity == Severity::Error).collect()
}
