//! The bridge: TLS towards the database here, in this process, and plain Oracle Net to the driver over the loopback interface.
//!
//! The driver's own TLS knows neither wallets in memory nor distinguished names nor private roots beside a client key, and it waits
//! for ever; it accepts nothing but a TCP socket of its own making. So it is given one: a listener on 127.0.0.1 that exists for one
//! session. The session is admitted by a random token of 128 bits that the driver shows as its service name; strangers are dropped.
//!
//! A bridge is a future. Who waits for the driver drives it; who drops it closes both sockets, and the driver's blocking call returns at
//! once. So no call, not even one that waits for a server that has gone silent, can outlive its deadline, and there is nothing to leak.
//! What goes over the loopback in clear text is told in `docs/oracle.md`.

mod packet;
#[cfg(test)]
mod tests;
mod upstream;

use core::fmt::Write as _;
use std::{
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dizzy_host::port::{Deadline, Randomness};
use rustls::ClientConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use self::{
    packet::{Connect, Packet},
    upstream::Upstream,
};
use crate::{tns::Place, trouble::Trouble};

/// How many callers of the loopback listener are heard at a time. One of them is the driver; more wait in the kernel's queue.
const CALLER_LIMIT: usize = 32;
/// How long a caller may take to show the token. The driver sends it at once.
const TOKEN_LIMIT: Duration = Duration::from_secs(1);
/// How many bytes are moved at a time: the largest TLS record.
const CHUNK: usize = 16 * 1024;

type Conversation = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One session's bridge.
pub(crate) struct Bridge {
    /// `None` once it has ended: both sockets are closed.
    conversation: Option<Conversation>,
    reason: Reason,
    connect_string: String,
}

/// Why a bridge ended; written before the sockets are closed, so that it is there when the driver notices.
#[derive(Clone, Debug, Default)]
struct Reason(Arc<Mutex<Option<Trouble>>>);

impl Reason {
    fn set(&self, trouble: Trouble) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(trouble);
    }

    fn tell(&self) -> Option<Trouble> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bridge {
    /// Connects to the database and verifies it; the driver comes later, through [`Bridge::connect_string`].
    pub(crate) async fn open(
        place: &Place,
        tls: &Arc<ClientConfig>,
        randomness: &dyn Randomness,
        limit: Deadline,
    ) -> Result<Self, Trouble> {
        let upstream = Upstream::open(place, tls, limit).await?;
        let token = token(randomness)?;
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(loopback).await.map_err(|_| Trouble::Local)?;
        let port = listener.local_addr().map_err(|_| Trouble::Local)?.port();
        // Without a retry of its own: the driver would sleep a second after every failure.
        let connect_string = format!(
            "(DESCRIPTION=(RETRY_COUNT=0)(RETRY_DELAY=0)(ADDRESS=(PROTOCOL=tcp)(HOST=127.0.0.1)(PORT={port}))\
             (CONNECT_DATA=(SERVICE_NAME={token})))"
        );
        let reason = Reason::default();
        let (service, told) = (place.service.clone(), reason.clone());
        let conversation = async move {
            if let Err(trouble) = converse(listener, &token, upstream, &service, &told).await {
                told.set(trouble);
            }
        };
        Ok(Self { conversation: Some(Box::pin(conversation)), reason, connect_string })
    }

    /// What the driver connects to.
    pub(crate) fn connect_string(&self) -> &str {
        &self.connect_string
    }

    /// Moves bytes until either side is gone; both sockets are closed then. Returns at once if that is so already.
    pub(crate) async fn run(&mut self) {
        if let Some(conversation) = &mut self.conversation {
            conversation.as_mut().await;
            self.cut();
        }
    }

    /// Closes both sockets.
    pub(crate) fn cut(&mut self) {
        self.conversation = None;
    }

    /// Why it ended, if not because the driver went.
    pub(crate) fn reason(&self) -> Option<Trouble> {
        self.reason.tell()
    }
}

/// 128 random bits in hexadecimal.
fn token(randomness: &dyn Randomness) -> Result<String, Trouble> {
    let mut bytes = Zeroizing::new([0_u8; 16]);
    randomness.fill(&mut *bytes).map_err(|_| Trouble::Local)?;
    let mut token = String::with_capacity(32);
    for byte in bytes.iter() {
        // Writing to a string cannot fail.
        write!(token, "{byte:02x}").ok();
    }
    Ok(token)
}

async fn converse(
    listener: TcpListener,
    token: &str,
    upstream: Upstream,
    service: &str,
    reason: &Reason,
) -> Result<(), Trouble> {
    let (mut driver, connect) = admit(listener, token).await.map_err(|_| Trouble::Local)?;
    driver.set_nodelay(true).map_err(|_| Trouble::Local)?;
    let (server, accept) = upstream.request(&connect, service).await?;
    if forward(&mut driver, &accept).await.is_err() {
        return Ok(());
    }
    pump(driver, server, reason).await;
    Ok(())
}

/// Waits for the caller that shows the token. Others are heard at the same time and dropped, so that none can hold up the driver.
async fn admit(listener: TcpListener, token: &str) -> io::Result<(TcpStream, Connect)> {
    let mut callers = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if callers.len() < CALLER_LIMIT => {
                let (mut caller, _) = accepted?;
                callers.spawn(async move {
                    let connect = timeout(TOKEN_LIMIT, Connect::read(&mut caller)).await.ok()?.ok()?;
                    Some((caller, connect))
                });
            }
            Some(heard) = callers.join_next() => {
                if let Ok(Some((caller, connect))) = heard
                    && connect.service() == Some(token)
                {
                    return Ok((caller, connect));
                }
            }
        }
    }
}

async fn forward(driver: &mut TcpStream, accept: &Packet) -> io::Result<()> {
    driver.write_all(accept.bytes()).await?;
    driver.flush().await
}

/// Moves bytes both ways until either side is gone.
async fn pump(driver: TcpStream, server: TlsStream<TcpStream>, reason: &Reason) {
    let (mut from_driver, mut to_driver) = tokio::io::split(driver);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    tokio::select! {
        () = upward(&mut from_driver, &mut to_server) => {}
        () = downward(&mut from_server, &mut to_driver, reason) => {
            // The server's last words are on their way to the driver. Closing a socket that has unread bytes would take them back,
            // so the driver is told the end and heard until it goes too.
            if to_driver.shutdown().await.is_ok() {
                let mut unheard = [0; 512];
                while from_driver.read(&mut unheard).await.is_ok_and(|count| count > 0) {}
            }
        }
    }
}

/// Driver to server. Ends with a goodbye to the server when the driver goes.
async fn upward(from: &mut ReadHalf<TcpStream>, to: &mut WriteHalf<TlsStream<TcpStream>>) {
    let mut chunk = Zeroizing::new(vec![0; CHUNK]);
    while let Ok(count) = from.read(&mut chunk).await {
        let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        let sent = async {
            to.write_all(bytes).await?;
            to.flush().await
        };
        if sent.await.is_err() {
            // The other direction tells why: the server's own reason, an alert for example, may still be there to be read.
            std::future::pending::<()>().await;
        }
    }
    // The session is over either way.
    to.shutdown().await.ok();
}

/// Server to driver.
async fn downward(from: &mut ReadHalf<TlsStream<TcpStream>>, to: &mut WriteHalf<TcpStream>, reason: &Reason) {
    let mut chunk = Zeroizing::new(vec![0; CHUNK]);
    loop {
        match from.read(&mut chunk).await {
            // Servers may close without TLS's own goodbye; whether that was meant is for the driver to know.
            Ok(0) => return reason.set(Trouble::Lost),
            Ok(count) => {
                let Some(bytes) = chunk.get(..count) else { return };
                if to.write_all(bytes).await.is_err() || to.flush().await.is_err() {
                    return;
                }
            }
            Err(error) => return reason.set(error.into()),
        }
    }
}
