//! One session: bridge, login, calls and goodbye, each inside a limit of its own and all inside the caller's deadline.
//!
//! At a limit the bridge is cut, which frees the driver's thread, and the session is of no more use. Of several reasons for a failure the
//! bridge's comes before the driver's, which knows only that a socket has closed; a server's own "no" comes before both.

use core::time::Duration;
use std::sync::Arc;

use dizzy_host::port::{Clock, Deadline, FenceStamp, Kind, Login, PortError, PortResult, Randomness};
use oracledb::{Config, Connection};
use rustls::ClientConfig;
use tokio::{sync::oneshot, time::timeout_at};

use crate::{
    bridge::Bridge,
    driver::{Driver, Slot},
    sql::module,
    tls::TlsTrouble,
    tns::Place,
    trouble::Trouble,
    wallet::Expiry,
};

/// What the server shows as the program of our sessions; with it `sessions` tells them from an application's.
pub(crate) const PROGRAM: &str = "dizzy-keys";
/// Longest user name in bytes (Oracle documentation: "Database Object Naming Rules", from 12.2 on).
const NAME_LIMIT: usize = 128;
/// Longest password that is taken for one; the server's own limit is 1024 bytes from 23ai on, 30 before.
const PASSWORD_LIMIT: usize = 1024;

/// How long each step of a session may take. The caller's deadline counts besides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// DNS, TCP and TLS. An Autonomous Database answers in well under a second; ten leave room for a lost packet or two.
    pub open: Duration,
    /// The listener's part and the login. A stopped database that is being started answers late.
    pub login: Duration,
    /// One statement, or a password change.
    pub call: Duration,
    /// Logging off, which matters to nobody but the server's list of sessions.
    pub close: Duration,
    /// All of it together.
    pub session: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            open: Duration::from_secs(10),
            login: Duration::from_secs(15),
            call: Duration::from_secs(10),
            close: Duration::from_secs(2),
            session: Duration::from_secs(60),
        }
    }
}

/// Where the database is and how to reach it.
#[derive(Clone)]
pub(crate) struct Target {
    /// Name in the configuration, for messages.
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) limits: Limits,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Until when the wallet is good.
    pub(crate) wallet: Expiry,
}

impl Target {
    /// A server that wants no expired certificate says so by an alert, or just hangs up during the login. The date tells what it means.
    fn explained(&self, failed: NotOpened) -> NotOpened {
        let over = self.wallet.client_ms.is_some_and(|ends| ends < self.clock.now().0);
        let hung_up = failed.trouble == Trouble::Lost && failed.judged != Judged::Never;
        if over && (hung_up || failed.trouble == Trouble::Tls(TlsTrouble::ClientRefused)) {
            return NotOpened { trouble: Trouble::Tls(TlsTrouble::ClientExpired), ..failed };
        }
        failed
    }
}

/// An open session of one user.
pub(crate) struct Session {
    driver: Driver,
    bridge: Bridge,
    limits: Limits,
    /// When the session must be over.
    end: Deadline,
}

/// Why there is no session, and whether the server has looked at the password.
struct NotOpened {
    trouble: Trouble,
    judged: Judged,
}

/// Whether the server has judged a password.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Judged {
    /// There was no connection, or the listener refused it.
    Never,
    /// The connection broke or fell silent during the login.
    Perhaps,
    /// It has answered.
    Surely,
}

impl Judged {
    /// After the driver has begun with the login.
    const fn of(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Server(_) => Self::Surely,
            Trouble::Deadline | Trouble::Lost | Trouble::Nonsense | Trouble::Driver => Self::Perhaps,
            Trouble::NoAddress
            | Trouble::Tls(_)
            | Trouble::Listener(_)
            | Trouble::Redirected
            | Trouble::NativeEncryption
            | Trouble::Local => Self::Never,
        }
    }
}

impl Session {
    /// Connects and logs in.
    pub(crate) async fn open(
        target: &Target,
        login: Login<'_>,
        stamp: &FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Self> {
        check_login(login)?;
        let what = format!("log in to {} as {}", target.name, login.user);
        Self::try_open(target, login, stamp, deadline).await.map_err(|failed| failed.trouble.refused(&what))
    }

    /// The same, to find out whether a password works: unknown if the server may have judged it and the answer was lost, because it
    /// counts wrong ones.
    pub(crate) async fn open_to_judge(
        target: &Target,
        login: Login<'_>,
        stamp: &FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Self> {
        check_login(login)?;
        let what = format!("log in to {} as {}", target.name, login.user);
        Self::try_open(target, login, stamp, deadline).await.map_err(|failed| match failed {
            NotOpened { trouble, judged: Judged::Perhaps } => trouble.unknown(&what),
            NotOpened { trouble, judged: Judged::Surely | Judged::Never } => trouble.refused(&what),
        })
    }

    async fn try_open(
        target: &Target,
        login: Login<'_>,
        stamp: &FenceStamp<'_>,
        deadline: Deadline,
    ) -> Result<Self, NotOpened> {
        let reached = Self::reach(target, deadline).await;
        let mut session = reached.map_err(|trouble| target.explained(NotOpened { trouble, judged: Judged::Never }))?;
        let entered = session.enter(login, stamp).await;
        entered.map_err(|trouble| target.explained(NotOpened { trouble, judged: Judged::of(trouble) }))?;
        Ok(session)
    }

    /// Everything before the login: the bridge, and a thread for the driver.
    async fn reach(target: &Target, deadline: Deadline) -> Result<Self, Trouble> {
        let limits = target.limits;
        let end = deadline.at_most(limits.session);
        if end.left().is_zero() {
            return Err(Trouble::Deadline);
        }
        let open = end.at_most(limits.open);
        let bridge = Bridge::open(&target.place, &target.tls, &*target.randomness, open);
        let bridge = timeout_at(open.instant(), bridge).await.map_err(|_| Trouble::Deadline)??;
        Ok(Self { driver: Driver::start()?, bridge, limits, end })
    }

    async fn enter(&mut self, login: Login<'_>, stamp: &FenceStamp<'_>) -> Result<(), Trouble> {
        let (user, password) = (quoted(login.user), login.password.clone());
        let (connect_string, module) = (self.bridge.connect_string().to_owned(), module(stamp));
        let opened = self.driver.submit(move |slot| {
            // The driver keeps copies of the password that it does not wipe; they live as long as the connection.
            let config = Config::default()
                .set_connect_string(&connect_string)?
                .set_user(&user)
                .set_password(password.expose())
                .set_program(PROGRAM)?
                .set_driver_name(PROGRAM);
            let connection = oracledb::connect(config)?;
            connection.set_module(&module)?;
            *slot = Some(connection);
            Ok(())
        });
        self.drive(opened, self.limits.login).await
    }

    /// Runs one blocking call of the driver.
    pub(crate) async fn call<T: Send + 'static>(
        &mut self,
        run: impl FnOnce(&Connection) -> Result<T, oracledb::Error> + Send + 'static,
    ) -> Result<T, Trouble> {
        let answer = self.driver.submit(move |slot| Ok(run(connected(slot)?)?));
        self.drive(answer, self.limits.call).await
    }

    /// Whether time is left to begin something.
    pub(crate) fn has_time(&self) -> bool {
        !self.end.left().is_zero()
    }

    /// Logs off, so that the server need not find out by itself. Nobody is told how that went.
    pub(crate) async fn close(mut self) {
        let closed = self.driver.submit(|slot| {
            let mut connection = slot.take().ok_or(Trouble::Lost)?;
            Ok(connection.close()?)
        });
        self.drive(closed, self.limits.close).await.ok();
    }

    /// Moves the session's bytes until the driver's answer is there.
    async fn drive<T>(
        &mut self,
        mut answer: oneshot::Receiver<Result<T, Trouble>>,
        limit: Duration,
    ) -> Result<T, Trouble> {
        let bridge = &mut self.bridge;
        let answered = timeout_at(self.end.at_most(limit).instant(), async {
            tokio::select! {
                biased;
                answered = &mut answer => answered,
                () = bridge.run() => answer.await,
            }
        });
        match answered.await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(server @ Trouble::Server(_)))) => Err(server),
            Ok(Ok(Err(driver))) => Err(self.bridge.reason().unwrap_or(driver)),
            Ok(Err(_gone)) => Err(Trouble::Driver),
            Err(_) => {
                self.bridge.cut();
                Err(Trouble::Deadline)
            }
        }
    }
}

fn connected(slot: &Slot) -> Result<&Connection, Trouble> {
    slot.as_ref().ok_or(Trouble::Lost)
}

/// How the server is told a user's name. Without quotes it would fold a plain name to upper case, which is what users without quotes in
/// their configuration expect; a name that is not plain is taken exactly.
fn quoted(user: &str) -> String {
    if crate::sql::is_plain(user) { user.to_owned() } else { format!("\"{user}\"") }
}

/// Refuses what no login can be, before anything is sent.
fn check_login(login: Login<'_>) -> PortResult<()> {
    check_name(login.user)?;
    check_password(login.user, login.password.expose())
}

/// Refuses names that the server cannot hold.
pub(crate) fn check_name(name: &str) -> PortResult<()> {
    if name.is_empty() || name.len() > NAME_LIMIT || name.contains(['"', '\0', '\n', '\r']) {
        let what = format!("use the user name `{}`", name.escape_debug());
        return Err(PortError::refused(Kind::Malformed, what)
            .with_hint("a user name has 1 to 128 bytes and no double quote, line break or NUL"));
    }
    Ok(())
}

/// Refuses passwords that the driver would drop, or that cannot be a password.
pub(crate) fn check_password(user: &str, password: &str) -> PortResult<()> {
    if password.is_empty() || password.len() > PASSWORD_LIMIT || password.contains(['"', '\0', '\n', '\r']) {
        let what = format!("use the password of {user}");
        return Err(PortError::refused(Kind::Policy, what)
            .with_hint("a password has 1 to 1024 bytes and no double quote, line break or NUL"));
    }
    Ok(())
}
