//! The conformance suite of the database port against emulated servers: each check gets one of its own.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::net::TcpListener;

use async_trait::async_trait;
use common::{World, config, database, soon};
use dizzy_engine::{Epoch, Generation};
use dizzy_host::{
    memory::Acceptance,
    port::{Database, FenceStamp, Login},
    secret::Password,
    testkit::conformance::{self, DatabaseFixture, REGISTER, SET},
};
use dizzy_oracle::{OracleConfig, OracleDatabase, Service};
use dizzy_sandbox_oracle::{HOUR, Listener, Mode, Options, Profile};

struct Fixture {
    world: World,
    silent: OracleDatabase,
    acceptance: Acceptance,
    /// Takes connections, because the system does, and never says a word.
    _listener: TcpListener,
}

impl Fixture {
    async fn new(mode: Mode, acceptance: Acceptance) -> Self {
        let profile = match acceptance {
            Acceptance::Rollover | Acceptance::RolloverThatEnds => Profile::classic().with_rollover(HOUR),
            Acceptance::Newest => Profile::classic(),
        };
        let world = World::with(Options { mode, renegotiate: true, ..Options::default() }, profile);
        let stamp = FenceStamp { set: SET, register: REGISTER, epoch: Epoch(0), generation: Generation(0) };
        world.db.prepare(world.admin.login(), &["app_a", "app_b"], None, stamp, soon()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = Service::At { host: "localhost".to_owned(), port, service: "silent".to_owned() };
        let silent = database(OracleConfig { service, ..config(&world.server) });
        Self { world, silent, acceptance, _listener: listener }
    }
}

#[async_trait]
impl DatabaseFixture for Fixture {
    fn database(&self) -> &dyn Database {
        &self.world.db
    }

    fn users(&self) -> [&str; 2] {
        ["app_a", "app_b"]
    }

    fn password(&self, user: usize) -> Password {
        [&self.world.a, &self.world.b][user].password.clone()
    }

    fn acceptance(&self) -> Acceptance {
        self.acceptance
    }

    fn admin(&self) -> Option<Login<'_>> {
        Some(self.world.admin.login())
    }

    async fn logs_in(&self, user: &str, password: &Password) -> bool {
        self.world.server.password_logs_in(user, password.expose())
    }

    async fn application_session(&self, user: &str, password: &Password) -> Option<Box<dyn Send + Sync>> {
        let descriptor = self.world.server.descriptor(Listener::Tcp);
        let config = oracledb::Config::default().set_connect_string(&descriptor).unwrap();
        let session = oracledb::connect(config.set_user(user).set_password(password.expose())).unwrap();
        Some(Box::new(std::sync::Mutex::new(session)))
    }

    fn silent(&self) -> Option<&dyn Database> {
        Some(&self.silent)
    }
}

async fn keeps_every_promise(mode: Mode, acceptance: Acceptance) {
    let report = conformance::database(async || Fixture::new(mode, acceptance).await).await;
    let skipped = report.skipped.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    // An ordinary user may not see sessions, so there is nothing to count.
    assert!(skipped.contains(&"sessions_of_applications_are_counted"), "{skipped:?}");
    let held = report.into_result().unwrap();
    assert_eq!(held.len(), 14, "{held:?}");
}

#[tokio::test]
async fn the_adapter_keeps_every_promise_of_the_port_on_19c() {
    keeps_every_promise(Mode::V19, Acceptance::Newest).await;
}

#[tokio::test]
async fn the_adapter_keeps_every_promise_of_the_port_on_21c() {
    keeps_every_promise(Mode::V21, Acceptance::Newest).await;
}

#[tokio::test]
async fn the_adapter_keeps_every_promise_of_the_port_on_23ai() {
    keeps_every_promise(Mode::V23, Acceptance::Newest).await;
}

#[tokio::test]
async fn the_adapter_keeps_every_promise_of_the_port_with_rollover() {
    keeps_every_promise(Mode::V23, Acceptance::Rollover).await;
}
