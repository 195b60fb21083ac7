//! What the tests of the Oracle adapter share: an emulated server of their own, users, stamps and a database to call.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub, reason = "each test file uses its part")]

use std::{sync::Arc, time::Duration};

use dizzy_engine::{Epoch, Generation};
use dizzy_host::{
    port::{
        Change, ChangeKind, Database as _, Deadline, FenceStamp, Finding, Inspection, Login, PortResult, Severity,
        SystemClock, SystemRandomness,
    },
    secret::Password,
};
use dizzy_oracle::{Limits, OracleConfig, OracleDatabase, PublicRoots, Roots, Service, Wallet};
use dizzy_sandbox_oracle::{Account, Effect, Fault, Listener, Options, OracleEmulator, Planted, Point, Profile};

pub const SET: &str = "orders";
pub const REGISTER: &str = "r-0123456789";
pub const ADMIN: &str = "ADMIN";

pub fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

/// For what is not going to be answered.
pub const SHORT: Duration = Duration::from_secs(1);

/// The step that a silence at this point falls into gets a short limit, all others long ones.
pub fn short_for(point: Point) -> Limits {
    let limits = Limits::default();
    match point {
        Point::Accept => Limits { open: SHORT, ..limits },
        Point::Connect | Point::LoginStart | Point::BeforeLogin | Point::AfterLogin => {
            Limits { login: SHORT, ..limits }
        }
        Point::BeforeLogoff => Limits { close: SHORT, ..limits },
        Point::BeforeChange
        | Point::AfterChange
        | Point::BeforeStatement
        | Point::AfterStatement
        | Point::BeforeRoundTrip => Limits { call: SHORT, ..limits },
    }
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

/// A server with an administrator and two users, `APP_A` and `APP_B`.
pub struct World {
    pub server: OracleEmulator,
    pub db: OracleDatabase,
    pub a: User,
    pub b: User,
    pub admin: User,
}

/// A password that every rule accepts.
pub fn good(number: usize) -> String {
    format!("Canary4f9d0b7eNumber{number:03}")
}

impl World {
    /// A database that its owner runs, not an Autonomous one.
    pub fn start() -> Self {
        Self::with(Options { cloud: false, ..Options::default() }, Profile::classic())
    }

    pub fn with(options: Options, profile: Profile) -> Self {
        let (a, b, admin) = (User::new("app_a", &good(1)), User::new("app_b", &good(2)), User::new(ADMIN, &good(3)));
        let server = OracleEmulator::start(Options {
            profiles: vec![("APP".to_owned(), profile)],
            accounts: vec![
                Account::new(&a.name, a.password.expose()).with_profile("APP"),
                Account::new(&b.name, b.password.expose()).with_profile("APP"),
                Account::new(&admin.name, admin.password.expose()).administrator(),
            ],
            ..options
        })
        .unwrap();
        let db = database(config(&server));
        Self { server, db, a, b, admin }
    }

    pub async fn change(&self, user: &User, new: &str) -> PortResult<User> {
        self.change_by(&self.db, user, new).await
    }

    pub async fn change_by(&self, db: &OracleDatabase, user: &User, new: &str) -> PortResult<User> {
        let changed = user.with(new);
        let kind = ChangeKind::Alternating;
        let change = Change { login: user.login(), new: &changed.password, stamp: stamp(1, 1), kind };
        db.apply(change, soon()).await.map(|()| changed)
    }

    pub async fn inspect(&self, user: &User) -> Inspection {
        self.db.inspect(user.login(), &[&user.name], stamp(1, 1), soon()).await.unwrap()
    }

    pub fn hasty(&self, limits: Limits) -> OracleDatabase {
        database(OracleConfig { limits, ..config(&self.server) })
    }

    pub fn fault(&self, point: Point, effect: Effect) -> Planted {
        self.server.plant(Fault::at(point, effect))
    }

    pub fn logs_in(&self, user: &User) -> bool {
        self.server.password_logs_in(&user.name, user.password.expose())
    }
}

pub fn database(config: OracleConfig) -> OracleDatabase {
    OracleDatabase::new(config).unwrap()
}

/// The listener with TLS and without client certificates.
pub fn config(server: &OracleEmulator) -> OracleConfig {
    OracleConfig {
        name: "adb".to_owned(),
        service: Service::At {
            host: "localhost".to_owned(),
            port: server.port(Listener::Tls),
            service: server.service().to_owned(),
        },
        wallet: None,
        roots: Roots { public: PublicRoots::Ignored, private_pem: Some(server.pki().ca_pem().into_bytes()) },
        limits: Limits::default(),
        randomness: Arc::new(SystemRandomness),
        clock: Arc::new(SystemClock),
    }
}

/// The listener that demands client certificates, found and verified through nothing but a wallet.
pub fn config_by_wallet(server: &OracleEmulator, wallet: Wallet) -> OracleConfig {
    let service = Service::Named(server.descriptor(Listener::MutualTls));
    let roots = Roots { public: PublicRoots::Ignored, private_pem: None };
    OracleConfig { service, wallet: Some(wallet), roots, ..config(server) }
}

/// How often a fault has fired. On a busy machine the client may have given up before the server came to it; the server gets there.
pub fn fired(fault: &Planted) -> u32 {
    assert!(fault.wait(Duration::from_secs(30)), "the fault has not fired");
    fault.fired()
}

pub fn errors(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.severity == Severity::Error).collect()
}

/// Nothing of a password, of the bridge or of the server's own words is in what is told.
pub fn tells_nothing(error: &dizzy_host::port::PortError) {
    let text = format!("{error} {error:?}");
    for forbidden in ["Canary", "127.0.0.1:", "SERVICE_NAME", "PROTOCOL"] {
        assert!(!text.contains(forbidden), "{text}");
    }
}
