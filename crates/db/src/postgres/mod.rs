//! The PostgreSQL adapter: a user changes its own password, under a fence row, in one transaction.
//!
//! What lives where: `session` connects, `change` changes and burns, `survey` reads what the server tells about users and fence,
//! `inspect` judges it, `prepare` mends it, `fence` is the SQL inside the database. `docs/postgresql.md` tells users.

mod change;
mod fence;
mod inspect;
mod prepare;
mod session;
mod sessions;
mod survey;
mod text;
mod trouble;

use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use dizzy_engine::Capability;
use dizzy_host::port::{
    Change, Database, Deadline, FenceStamp, FenceState, Inspection, Kind, Login, PortError, PortResult, PrepareStep,
    Randomness, Sessions, Vote,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use self::session::{Session, Target, check_name};
use crate::tls::{Roots, client_config};

/// One PostgreSQL database as configured.
#[derive(Clone)]
pub struct PostgresConfig {
    /// Name in the configuration.
    pub name: String,
    /// DNS name or IP address of the writer; the certificate must be for it.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database that holds the fence and the objects.
    pub dbname: String,
    /// Whose certificates are trusted.
    pub roots: Roots,
    /// Limit for TCP, TLS and login together.
    pub connect_timeout: Duration,
    /// Limit for each statement; the server is told the shorter of this and the time left.
    pub statement_timeout: Duration,
    /// For the salts of verifiers.
    pub randomness: Arc<dyn Randomness>,
}

/// A PostgreSQL database of a rotation set. Holds no connection: every call opens one, a vote keeps its own.
#[derive(Clone)]
pub struct PostgresDatabase {
    target: Target,
    randomness: Arc<dyn Randomness>,
}

impl PostgresDatabase {
    /// Takes the configuration; connects to nothing.
    ///
    /// # Errors
    /// `Malformed` if the bundle of private roots cannot be used.
    pub fn new(config: PostgresConfig) -> PortResult<Self> {
        let tls = MakeRustlsConnect::new(client_config(&config.roots, &config.host)?);
        let PostgresConfig { name, host, port, dbname, connect_timeout, statement_timeout, randomness, roots: _ } =
            config;
        let target = Target { name, host, port, dbname, connect_timeout, statement_timeout, tls };
        Ok(Self { target, randomness })
    }
}

#[async_trait]
impl Database for PostgresDatabase {
    fn name(&self) -> &str {
        &self.target.name
    }

    fn capability(&self) -> Capability {
        Capability::RowFence
    }

    async fn login(&self, login: Login<'_>, stamp: FenceStamp<'_>, deadline: Deadline) -> PortResult<()> {
        let what = format!("log in to {} as {}", self.target.name, login.user);
        let mut session = Session::open(&self.target, login, &stamp, deadline).await?;
        let answer = session.batch(survey::WRITABLE, deadline).await.map_err(|trouble| trouble.refused(&what))?;
        session.close(deadline).await;
        match survey::cell(&answer, 0, 0) {
            Some("t") => Ok(()),
            Some("f") => {
                Err(PortError::refused(Kind::ReadOnly, format!("{what}: the server is a standby or read-only"))
                    .with_hint("set `host` to the writer"))
            }
            Some(_) | None => Err(PortError::refused(Kind::Malformed, format!("{what}: the server did not answer"))),
        }
    }

    async fn inspect(
        &self,
        login: Login<'_>,
        users: &[&str],
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Inspection> {
        inspect::inspect(&self.target, login, users, &stamp, deadline).await
    }

    async fn sessions(
        &self,
        login: Login<'_>,
        user: &str,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Sessions> {
        check_name(user)?;
        inspect::sessions(&self.target, login, user, &stamp, deadline).await
    }

    async fn apply(&self, change: Change<'_>, deadline: Deadline) -> PortResult<()> {
        let open = change::prepare(&self.target, &*self.randomness, change, deadline).await?;
        open.commit(deadline).await
    }

    async fn vote(&self, change: Change<'_>, deadline: Deadline) -> PortResult<Box<dyn Vote>> {
        let open = change::prepare(&self.target, &*self.randomness, change, deadline).await?;
        Ok(Box::new(open))
    }

    async fn burn(&self, login: Login<'_>, stamp: FenceStamp<'_>, deadline: Deadline) -> PortResult<FenceState> {
        change::burn(&self.target, login, &stamp, deadline).await
    }

    async fn end_sessions(
        &self,
        login: Login<'_>,
        user: &str,
        age: Duration,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<u32> {
        check_name(user)?;
        sessions::end(&self.target, login, user, age, &stamp, deadline).await
    }

    async fn prepare_plan(
        &self,
        admin: Login<'_>,
        users: &[&str],
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Vec<PrepareStep>> {
        prepare::plan(&self.target, admin, users, &stamp, deadline).await
    }

    fn prepare_sql(&self, users: &[&str], stamp: FenceStamp<'_>) -> Vec<PrepareStep> {
        prepare::steps(users, &stamp, None)
    }

    async fn prepare(
        &self,
        admin: Login<'_>,
        users: &[&str],
        second: Option<Login<'_>>,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Vec<PrepareStep>> {
        prepare::prepare(&self.target, &*self.randomness, admin, users, second, &stamp, deadline).await
    }

    async fn set_password(
        &self,
        admin: Login<'_>,
        user: Login<'_>,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<()> {
        check_name(user.user)?;
        change::set_by_administrator(&self.target, &*self.randomness, admin, user, &stamp, deadline).await
    }
}
