//! The database port for Oracle: configuration, and each call of the port in terms of the rooms beside this one.

use std::sync::Arc;

use async_trait::async_trait;
use dizzy_engine::Capability;
use dizzy_host::port::{
    Change, Clock, Database, Deadline, FenceStamp, FenceState, Finding, Inspection, Kind, Login, PortError, PortResult,
    PrepareStep, Randomness, Sessions, Vote,
};

use crate::{
    account, change, inspect, prepare,
    session::{Limits, Session, Target, check_name},
    sessions,
    tls::{Roots, client_config},
    tns::Place,
    wallet::Wallet,
};

/// Which service, and where.
#[derive(Clone, Debug)]
pub enum Service {
    /// An alias in the wallet's `tnsnames.ora`, or a whole descriptor, which begins with a parenthesis.
    Named(String),
    /// A service at one address.
    At {
        /// DNS name or IP address; the certificate must be for it.
        host: String,
        /// TCP port of the TLS listener.
        port: u16,
        /// Service name.
        service: String,
    },
}

/// One Oracle database as configured.
#[derive(Clone)]
pub struct OracleConfig {
    /// Name in the configuration.
    pub name: String,
    /// Which service.
    pub service: Service,
    /// Client certificate, private roots and aliases, where the database needs them.
    pub wallet: Option<Wallet>,
    /// Whose certificates are trusted beside the wallet's.
    pub roots: Roots,
    /// How long things may take.
    pub limits: Limits,
    /// For tokens and for the second user's first, short-lived password.
    pub randomness: Arc<dyn Randomness>,
    /// For the time of day at which passwords and wallets expire.
    pub clock: Arc<dyn Clock>,
}

/// An Oracle database of a rotation set. Holds no connection: every call opens one.
#[derive(Clone)]
pub struct OracleDatabase {
    target: Target,
}

impl OracleDatabase {
    /// Takes the configuration; connects to nothing.
    ///
    /// # Errors
    /// `NotFound` if the alias is not in the wallet; `Malformed` if descriptor, wallet or roots cannot be used, or an address is not TLS.
    pub fn new(config: OracleConfig) -> PortResult<Self> {
        let OracleConfig { name, service, wallet, roots, limits, randomness, clock } = config;
        let place = match &service {
            Service::Named(descriptor) if descriptor.trim_start().starts_with('(') => Place::parse(descriptor)?,
            Service::Named(alias) => {
                wallet.as_ref().map(|wallet| wallet.aliases.clone()).unwrap_or_default().find(alias)?
            }
            Service::At { host, port, service } => Place::at(host, *port, service)?,
        };
        let tls = Arc::new(client_config(&roots, wallet.as_ref(), place.dn.clone())?);
        let wallet = wallet.map(|wallet| wallet.expiry).unwrap_or_default();
        Ok(Self { target: Target { name, place, tls, limits, randomness, clock, wallet } })
    }

    fn no_fence(&self) -> PortError {
        let what = format!(
            "{}: Oracle commits a password change by itself, so there is nothing to vote on or to burn",
            self.target.name
        );
        PortError::refused(Kind::Other, what)
    }
}

#[async_trait]
impl Database for OracleDatabase {
    fn name(&self) -> &str {
        &self.target.name
    }

    fn capability(&self) -> Capability {
        Capability::StatementCas
    }

    fn wrong_logins_allowed(&self) -> Option<u32> {
        Some(inspect::OUR_WRONG_LOGINS)
    }

    fn known(&self) -> Vec<Finding> {
        self.target.wallet.findings(self.target.clock.now().0)
    }

    async fn login(&self, login: Login<'_>, stamp: FenceStamp<'_>, deadline: Deadline) -> PortResult<()> {
        let what = format!("log in to {} as {}", self.target.name, login.user);
        let mut session = Session::open_to_judge(&self.target, login, &stamp, deadline).await?;
        let role = account::role(&mut session).await.map_err(|trouble| trouble.refused(&what))?;
        session.close().await;
        match role {
            account::Role::Writable => Ok(()),
            account::Role::Standby => {
                Err(PortError::refused(Kind::ReadOnly, format!("{what}: the database is a standby"))
                    .with_hint("connect to the primary database"))
            }
        }
    }

    async fn inspect(
        &self,
        login: Login<'_>,
        users: &[&str],
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Inspection> {
        users.iter().try_for_each(|user| check_name(user))?;
        let now_ms = self.target.clock.now().0;
        inspect::inspect(&self.target, login, &stamp, deadline, now_ms).await
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
        change::apply(&self.target, change, deadline).await
    }

    async fn vote(&self, _change: Change<'_>, _deadline: Deadline) -> PortResult<Box<dyn Vote>> {
        Err(self.no_fence())
    }

    async fn burn(&self, _login: Login<'_>, _stamp: FenceStamp<'_>, _deadline: Deadline) -> PortResult<FenceState> {
        Err(self.no_fence())
    }

    async fn end_window(&self, login: Login<'_>, stamp: FenceStamp<'_>, deadline: Deadline) -> PortResult<()> {
        change::end_window(&self.target, login, &stamp, deadline).await
    }

    async fn end_sessions(
        &self,
        login: Login<'_>,
        user: &str,
        age: core::time::Duration,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<u32> {
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

    fn prepare_sql(&self, users: &[&str], _stamp: FenceStamp<'_>) -> Vec<PrepareStep> {
        prepare::steps(users, None)
    }

    async fn prepare(
        &self,
        admin: Login<'_>,
        users: &[&str],
        second: Option<Login<'_>>,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Vec<PrepareStep>> {
        prepare::prepare(&self.target, admin, users, second, &stamp, deadline).await
    }

    async fn set_password(
        &self,
        admin: Login<'_>,
        user: Login<'_>,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<()> {
        prepare::set_password(&self.target, admin, user, &stamp, deadline).await
    }
}
