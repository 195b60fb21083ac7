//! One connection: TCP, TLS and login inside a deadline, then batches of SQL.
//!
//! The connection is driven by whoever waits for it, not by a task of its own: dropping the session, or a call that waits, closes the
//! socket at once, and the server rolls back what was open. What each session sets first is in [`prelude`].

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use dizzy_host::port::{Deadline, FenceStamp, Kind, Login, PortError, PortResult};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout_at,
};
use tokio_postgres::{
    Client, SimpleQueryMessage,
    config::{ChannelBinding, SslMode},
    tls::{MakeTlsConnect, TlsConnect},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    text::{self, IDENTIFIER_LIMIT},
    trouble::Trouble,
};
use crate::tls::TlsTrouble;

/// How long the server keeps an open transaction without hearing from us. A vote must survive the work on the other databases of the set;
/// a vote whose worker is gone must not hold the fence row for long.
pub(super) const IDLE_IN_TRANSACTION_LIMIT: Duration = Duration::from_secs(60);
/// How long a statement waits for a lock: older workers are ended before, so whoever holds it is not of our set.
const LOCK_LIMIT: Duration = Duration::from_secs(5);
/// How often the server looks, while a statement runs or waits, whether we are still there (PostgreSQL 14 and later, on Linux).
const CLIENT_CHECK: Duration = Duration::from_secs(1);
/// How long a finished session may take to say goodbye.
const GOODBYE_LIMIT: Duration = Duration::from_millis(500);

/// Where the server is and how to reach it.
#[derive(Clone)]
pub(super) struct Target {
    /// Name in the configuration, for messages.
    pub(super) name: String,
    /// DNS name or IP address; the certificate must be for it.
    pub(super) host: String,
    /// TCP port.
    pub(super) port: u16,
    /// Database.
    pub(super) dbname: String,
    /// For TCP, TLS and login together.
    pub(super) connect_timeout: Duration,
    /// For each statement.
    pub(super) statement_timeout: Duration,
    /// TLS, with its roots.
    pub(super) tls: MakeRustlsConnect,
}

/// Rows of one statement, as text.
pub(super) type Rows = Vec<Vec<Option<String>>>;

/// An open connection.
pub(super) struct Session {
    client: Client,
    wire: Wire,
    /// Sent in front of the first batch, which saves a round trip.
    prelude: Option<String>,
}

impl Session {
    /// Connects and logs in.
    pub(super) async fn open(
        target: &Target,
        login: Login<'_>,
        stamp: &FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Self> {
        check_name(login.user)?;
        let what = format!("log in to {} as {}", target.name, login.user);
        let limit = deadline.at_most(target.connect_timeout);
        match timeout_at(limit.instant(), connect(target, login, stamp, limit)).await {
            Ok(Ok((client, wire))) => Ok(Self { client, wire, prelude: Some(prelude(target, deadline)) }),
            Ok(Err(trouble)) => Err(trouble.refused(&what)),
            Err(_) => Err(Trouble::Deadline.refused(&what)),
        }
    }

    /// Runs statements in one round trip and returns the rows of each that returns rows, in order.
    pub(super) async fn batch(&mut self, sql: &str, deadline: Deadline) -> Result<Vec<Rows>, Trouble> {
        let prelude = self.prelude.take();
        let skipped = if prelude.is_some() { PRELUDE_RESULTS } else { 0 };
        let sql = zeroize::Zeroizing::new(prelude.unwrap_or_default() + sql);
        let answer = self.wire.drive(self.client.simple_query(&sql));
        let messages = timeout_at(deadline.instant(), answer).await.map_err(|_| Trouble::Deadline)??;
        Ok(results(messages).split_off(skipped))
    }

    /// Whether the server has ended the session already.
    pub(super) async fn has_ended(&mut self) -> bool {
        poll_fn(|context| Poll::Ready(self.wire.poll(context).is_ready())).await
    }

    /// Says goodbye, so that the server need not find out by itself.
    pub(super) async fn close(self, deadline: Deadline) {
        let Self { client, wire, .. } = self;
        drop(client);
        if let Some(mut connection) = wire.0 {
            // It is over either way.
            timeout_at(deadline.at_most(GOODBYE_LIMIT).instant(), connection.as_mut()).await.ok();
        }
    }
}

type Connection = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// The connection's own future; `None` once it has ended.
struct Wire(Option<Connection>);

impl Wire {
    /// Moves bytes. Ready with the reason once the connection has ended.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Trouble> {
        let Some(connection) = &mut self.0 else { return Poll::Ready(Trouble::Lost) };
        match connection.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(end) => {
                self.0 = None;
                Poll::Ready(end.map_or_else(Trouble::from, |()| Trouble::Lost))
            }
        }
    }

    /// Waits for a request while moving the bytes of the connection.
    async fn drive<T>(
        &mut self,
        request: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Trouble> {
        let mut request = pin!(request);
        let mut ended = None;
        poll_fn(|context| {
            // The request is polled before (it hands its bytes to the connection) and after (it takes the answer).
            if let Poll::Ready(answer) = request.as_mut().poll(context) {
                return Poll::Ready(answer.map_err(Trouble::from));
            }
            if ended.is_none() {
                if let Poll::Ready(trouble) = self.poll(context) {
                    ended = Some(trouble);
                }
                if let Poll::Ready(answer) = request.as_mut().poll(context) {
                    return Poll::Ready(answer.map_err(Trouble::from));
                }
            }
            ended.clone().map_or(Poll::Pending, |trouble| Poll::Ready(Err(trouble)))
        })
        .await
    }
}

async fn connect(
    target: &Target,
    login: Login<'_>,
    stamp: &FenceStamp<'_>,
    limit: Deadline,
) -> Result<(Client, Wire), Trouble> {
    if rustls_pki_types::ServerName::try_from(target.host.as_str()).is_err() {
        return Err(Trouble::Tls(TlsTrouble::BadName));
    }
    let socket = connect_socket(target, limit).await?;
    let handshake = Arc::new(AtomicBool::new(false));
    let tls = make_tls(target, Arc::clone(&handshake));
    let mut config = tokio_postgres::Config::new();
    config.user(login.user).dbname(&target.dbname).application_name(text::application_name(stamp));
    config.ssl_mode(SslMode::Require).channel_binding(ChannelBinding::Prefer);
    // The driver keeps a copy that it does not wipe; it lives as long as this function.
    config.password(login.password.expose());
    match config.connect_raw(socket, tls).await {
        Ok((client, connection)) => Ok((client, Wire(Some(Box::pin(connection))))),
        Err(error) => {
            let trouble = Trouble::from(error);
            // The driver tells in no other way that the server answered "no" to the request for TLS.
            let refused = trouble == Trouble::Nonsense && !handshake.load(Ordering::SeqCst);
            Err(if refused { Trouble::Tls(TlsTrouble::NotOffered) } else { trouble })
        }
    }
}

/// Tries each address of the host, with an equal share of the time that is left.
async fn connect_socket(target: &Target, limit: Deadline) -> Result<TcpStream, Trouble> {
    let found = lookup_host((target.host.as_str(), target.port)).await.map_err(|_| Trouble::NoAddress)?;
    let addresses = found.collect::<Vec<_>>();
    let mut last = Trouble::NoAddress;
    for (tried, address) in addresses.iter().enumerate() {
        let remaining = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = limit.at_most(limit.left() / remaining);
        match timeout_at(share.instant(), TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                socket.set_nodelay(true).map_err(|_| Trouble::Lost)?;
                return Ok(socket);
            }
            Ok(Err(_)) => last = Trouble::Lost,
            Err(_) => last = Trouble::Deadline,
        }
    }
    Err(last)
}

fn make_tls(
    target: &Target,
    handshake: Arc<AtomicBool>,
) -> impl TlsConnect<TcpStream, Stream: Send, Future: Send> + use<> {
    let made =
        <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::make_tls_connect(&mut target.tls.clone(), &target.host);
    let inner = made.unwrap_or_else(|never| match never {});
    Watched { inner, handshake }
}

/// Notes whether the server agreed to TLS at all.
struct Watched<T> {
    inner: T,
    handshake: Arc<AtomicBool>,
}

impl<T: TlsConnect<TcpStream>> TlsConnect<TcpStream> for Watched<T> {
    type Stream = T::Stream;
    type Error = T::Error;
    type Future = T::Future;

    fn connect(self, stream: TcpStream) -> Self::Future {
        self.handshake.store(true, Ordering::SeqCst);
        self.inner.connect(stream)
    }
}

/// Statements of the prelude that return rows.
const PRELUDE_RESULTS: usize = 1;

/// What every session sets first. Statements rather than start-up options, because poolers refuse options.
/// A transaction of its own: what follows may begin one with another isolation level, which is possible only before the first query.
/// `SET ROLE NONE`: a role may be set as the user's default, and only the user itself may change its password.
/// A read-only default of the role is about its objects and is lifted; one of the server or database is an operator's word and stays.
fn prelude(target: &Target, deadline: Deadline) -> String {
    // Zero would mean "no limit".
    let statement = target.statement_timeout.min(deadline.left()).as_millis().max(1);
    format!(
        "BEGIN; SET statement_timeout = {statement}; SET ROLE NONE; SET search_path = pg_catalog; SET lock_timeout = {lock}; \
         SET idle_in_transaction_session_timeout = {idle}; \
         SELECT set_config(s.name, CASE s.name WHEN 'default_transaction_read_only' THEN 'off' ELSE '{check}' END, false) \
         FROM pg_settings s WHERE s.name = 'client_connection_check_interval' AND version() LIKE '%linux%' \
         OR s.name = 'default_transaction_read_only' AND s.source IN ('user', 'database user'); COMMIT;\n",
        lock = LOCK_LIMIT.as_millis(),
        idle = IDLE_IN_TRANSACTION_LIMIT.as_millis(),
        check = CLIENT_CHECK.as_millis(),
    )
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the driver's enum is open")]
fn results(messages: Vec<SimpleQueryMessage>) -> Vec<Rows> {
    let mut results = Vec::new();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(_) => results.push(Rows::new()),
            SimpleQueryMessage::Row(row) => {
                let values = (0..row.len()).map(|column| row.try_get(column).ok().flatten().map(ToOwned::to_owned));
                if let Some(rows) = results.last_mut() {
                    rows.push(values.collect());
                }
            }
            _ => {}
        }
    }
    results
}

/// Refuses names that the server would cut or cannot hold.
pub(super) fn check_name(name: &str) -> PortResult<()> {
    if name.is_empty() || name.len() > IDENTIFIER_LIMIT || name.contains('\0') {
        let what = format!("use the role name `{}`", name.escape_debug());
        return Err(PortError::refused(Kind::Malformed, what).with_hint("a role name has 1 to 63 bytes and no NUL"));
    }
    Ok(())
}
