//! The conformance suite of the database port against a real server: each check gets a database and two users of its own.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use common::{User, config, options, soon, stamp};
use dizzy_db::{PostgresConfig, PostgresDatabase};
use dizzy_host::{
    port::{Database, FenceStamp, Login},
    secret::Password,
    testkit::conformance::{self, DatabaseFixture, REGISTER, SET},
};
use dizzy_sandbox::{Postgres, SilentHost};

struct Fixture {
    server: Arc<Postgres>,
    dbname: String,
    users: [User; 2],
    admin: User,
    database: PostgresDatabase,
    silent: PostgresDatabase,
    _host: SilentHost,
}

impl Fixture {
    async fn new(server: &Arc<Postgres>, number: usize) -> Self {
        let dbname = format!("conformance_{number}");
        server.psql(&format!("CREATE DATABASE {dbname}; GRANT CREATE ON DATABASE {dbname} TO admin")).unwrap();
        let users = ["a", "b"].map(|user| User::new(&format!("{user}_{number}"), &format!("start-{user}")));
        server.create_role(&users[0].name, users[0].password.expose()).unwrap();
        let admin = User::new("admin", "admin-password");
        let to = |port| {
            let here = PostgresConfig { dbname: dbname.clone(), ..config(server, "localhost", port) };
            PostgresDatabase::new(here).unwrap()
        };
        let (database, host) = (to(server.port()), SilentHost::start().unwrap());
        let silent = to(host.port().unwrap());
        let prepared = FenceStamp { set: SET, register: REGISTER, ..stamp(0, 0) };
        let names = [users[0].name.as_str(), users[1].name.as_str()];
        database.prepare(admin.login(), &names, Some(users[1].login()), prepared, soon()).await.unwrap();
        Self { server: Arc::clone(server), dbname, users, admin, database, silent, _host: host }
    }
}

#[async_trait]
impl DatabaseFixture for Fixture {
    fn database(&self) -> &dyn Database {
        &self.database
    }

    fn users(&self) -> [&str; 2] {
        [&self.users[0].name, &self.users[1].name]
    }

    fn password(&self, user: usize) -> Password {
        self.users[user].password.clone()
    }

    fn admin(&self) -> Option<Login<'_>> {
        Some(self.admin.login())
    }

    async fn logs_in(&self, user: &str, password: &Password) -> bool {
        self.server.login(user, password.expose()).unwrap()
    }

    async fn application_session(&self, user: &str, password: &Password) -> Option<Box<dyn Send + Sync>> {
        Some(Box::new(self.server.hold_session(user, password.expose(), &self.dbname).unwrap()))
    }

    fn silent(&self) -> Option<&dyn Database> {
        Some(&self.silent)
    }
}

#[tokio::test]
async fn the_adapter_keeps_every_promise_of_the_port() {
    let server = Arc::new(Postgres::start(&options()).unwrap());
    server.create_role("admin", "admin-password").unwrap();
    server.psql("ALTER ROLE admin CREATEROLE").unwrap();
    let number = AtomicUsize::new(0);
    let report =
        conformance::database(async || Fixture::new(&server, number.fetch_add(1, Ordering::Relaxed)).await).await;
    let skipped = report.skipped.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    assert_eq!(skipped, ["a_database_without_fence_does_not_vote"]);
    println!("{} promises held", report.into_result().unwrap().len());
}
