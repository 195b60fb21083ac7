//! A gate for PostgreSQL: it ends TLS with the server's own key and begins it anew, so that it can read what is asked.
//!
//! With the server's own certificate the client's channel binding (SCRAM-SHA-256-PLUS) holds through the gate, and the server checks it.
//! One thread per connection; both sides are watched, so that whoever leaves is missed by the other at once.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, poll};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};

use super::{Deed, Gates, Refusal};
use crate::{Postgres, ServerCertificate};

/// What a session asks for.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    /// To begin.
    Session,
    /// To be let in: the proof of the password.
    Login,
    /// To run this.
    Query(&'a str),
}

/// Names what a session asks for; `None`: it passes unnamed.
type Namer = Arc<dyn Fn(Ask<'_>) -> Option<String> + Send + Sync>;

/// A gate in front of a server. Dropping it ends the listening.
#[derive(Debug)]
pub struct PostgresGate {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    shut: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Shared {
    port: u16,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    gates: Arc<Gates>,
    name: Namer,
    shut: Arc<AtomicBool>,
}

impl PostgresGate {
    /// Starts a gate before this server.
    ///
    /// # Errors
    /// If no port can be had, or the server's certificate cannot be read.
    pub fn start(before: &Postgres, gates: &Arc<Gates>, name: Namer) -> Result<Self> {
        let files = before.certificates();
        let chain = CertificateDer::from_pem_file(files.certificate_file(ServerCertificate::Good));
        let key = PrivateKeyDer::from_pem_file(files.key_file(ServerCertificate::Good));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![chain.context("read the server's certificate")?], key.context("read its key")?)?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(files.ca_file()).context("read the authority")?)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").context("listen on a free port")?;
        let address = listener.local_addr().context("read the gate's port")?;
        let (stopping, shut) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let shared = Shared {
            port: before.port(),
            server: Arc::new(server),
            client: Arc::new(client),
            gates: Arc::clone(gates),
            name,
            shut: Arc::clone(&shut),
        };
        let stop = Arc::clone(&stopping);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let shared = shared.clone();
                // An error means that one of the two sides left.
                thread::spawn(move || converse(&shared, client).ok());
            }
        });
        Ok(Self { address, stopping, shut })
    }

    /// The port to connect to, on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Shuts the gate: new sessions end at once. Or opens it again.
    pub fn shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::SeqCst);
    }
}

impl Drop for PostgresGate {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, so that it sees the flag.
        drop(TcpStream::connect_timeout(&self.address, Duration::from_secs(1)));
    }
}

/// The request for TLS, as the protocol has it: length 8 and a number.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// The largest message that a gate passes on.
const LARGEST: usize = 4 * 1024 * 1024;

fn converse(shared: &Shared, mut client: TcpStream) -> Result<()> {
    if shared.shut.load(Ordering::SeqCst) {
        return Ok(());
    }
    client.set_nodelay(true).ok();
    let mut first = [0; 8];
    client.read_exact(&mut first).context("read the request for TLS")?;
    ensure!(first == SSL_REQUEST, "a gate is for clients that want TLS");
    let mut server = TcpStream::connect(("127.0.0.1", shared.port)).context("reach the server")?;
    server.set_nodelay(true).ok();
    server.write_all(&SSL_REQUEST)?;
    let mut agreed = [0; 1];
    server.read_exact(&mut agreed)?;
    client.write_all(&agreed)?;
    ensure!(agreed == *b"S", "the server has no TLS");
    let name = ServerName::try_from("localhost").context("name the server")?;
    let to_client = ServerConnection::new(Arc::clone(&shared.server))?.into();
    let to_server = ClientConnection::new(Arc::clone(&shared.client), name)?.into();
    let mut talk = Talk {
        shared,
        client: Side::new(client, to_client),
        server: Side::new(server, to_server),
        state: State::Start,
    };
    let ended = talk.run();
    talk.client.end();
    talk.server.end();
    ended
}

/// One of the two connections.
struct Side {
    socket: TcpStream,
    tls: rustls::Connection,
    plain: Vec<u8>,
}

impl Side {
    const fn new(socket: TcpStream, tls: rustls::Connection) -> Self {
        Self { socket, tls, plain: Vec::new() }
    }

    /// Reads what has come; an error if the other end has left.
    fn pump(&mut self) -> Result<()> {
        ensure!(self.tls.read_tls(&mut self.socket)? > 0, "the other end has left");
        let news = self.tls.process_new_packets()?.plaintext_bytes_to_read();
        let start = self.plain.len();
        self.plain.resize(start + news, 0);
        if let Some(room) = self.plain.get_mut(start..) {
            match self.tls.reader().read_exact(room) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.tls.writer().write_all(bytes)?;
        self.flush()
    }

    /// The next whole message; the first one of a client has no kind.
    fn take(&mut self, has_kind: bool) -> Result<Option<Vec<u8>>> {
        let at = usize::from(has_kind);
        let Some(&[a, b, c, d]) = self.plain.get(at..at + 4) else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize + at;
        ensure!(length < LARGEST, "a message of {length} bytes");
        if self.plain.len() < length {
            return Ok(None);
        }
        let rest = self.plain.split_off(length);
        Ok(Some(core::mem::replace(&mut self.plain, rest)))
    }

    fn end(&self) {
        // An error means that the other side was faster.
        self.socket.shutdown(Shutdown::Both).ok();
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// No start-up message yet.
    Start,
    /// So many messages of the login were sent.
    LoggingIn(u8),
    /// What the server said last of its transaction: `I`, `T` or `E`.
    Ready(u8),
}

struct Talk<'a> {
    shared: &'a Shared,
    client: Side,
    server: Side,
    state: State,
}

impl Talk<'_> {
    fn run(&mut self) -> Result<()> {
        // A session that is to be lost or held once the server has answered.
        let mut after: Option<Deed> = None;
        let mut kept: Vec<u8> = Vec::new();
        loop {
            while let Some(message) = self.server.take(true)? {
                let done = self.note(&message);
                kept.extend(&message);
                match after {
                    Some(Deed::CutAfter) if done => return Ok(()),
                    Some(Deed::HoldAfter) if done => {
                        let goes_on = self.shared.gates.wait();
                        self.shared.gates.let_go();
                        ensure!(goes_on, "abandoned");
                        after = None;
                    }
                    Some(_) => continue,
                    None => {}
                }
                self.client.send(&core::mem::take(&mut kept))?;
            }
            while let Some(message) = self.client.take(self.state != State::Start)? {
                let deed = self.name(&message).and_then(|name| self.shared.gates.enter(&name));
                match deed {
                    None | Some(Deed::Old) => {}
                    Some(Deed::Refuse(refusal)) => {
                        self.refuse(refusal)?;
                        continue;
                    }
                    Some(Deed::CutBefore) => return Ok(()),
                    Some(deed @ (Deed::CutAfter | Deed::HoldAfter)) => after = Some(deed),
                    Some(Deed::HoldBefore) => {
                        let goes_on = self.shared.gates.wait();
                        self.shared.gates.let_go();
                        ensure!(goes_on, "abandoned");
                    }
                    Some(Deed::Late) => return self.late(&message),
                }
                self.advance(&message);
                self.server.send(&message)?;
            }
            self.wait()?;
        }
    }

    /// Waits until one of the two sides has something, and reads it.
    fn wait(&mut self) -> Result<()> {
        let (from_client, from_server) = {
            let interest = PollFlags::IN;
            let mut both = [
                PollFd::from_borrowed_fd(self.client.socket.as_fd(), interest),
                PollFd::from_borrowed_fd(self.server.socket.as_fd(), interest),
            ];
            poll(&mut both, None).context("wait for either side")?;
            let [client, server] = &both;
            (!client.revents().is_empty(), !server.revents().is_empty())
        };
        if from_server {
            self.server.pump()?;
        }
        if from_client {
            self.client.pump()?;
        }
        Ok(())
    }

    fn name(&self, message: &[u8]) -> Option<String> {
        let ask = match (self.state, message.first()) {
            (State::Start, _) => Ask::Session,
            // The second message of SCRAM holds the proof.
            (State::LoggingIn(1), Some(b'p')) => Ask::Login,
            (State::Ready(_), Some(b'Q')) => {
                let text = message.get(5..message.len().saturating_sub(1)).unwrap_or_default();
                return (self.shared.name)(Ask::Query(&String::from_utf8_lossy(text)));
            }
            _ => return None,
        };
        (self.shared.name)(ask)
    }

    fn advance(&mut self, message: &[u8]) {
        self.state = match (self.state, message.first()) {
            (State::Start, _) => State::LoggingIn(0),
            (State::LoggingIn(sent), Some(b'p')) => State::LoggingIn(sent + 1),
            (same, _) => same,
        };
    }

    /// Notes what the server says; whether its answer is complete with this.
    fn note(&mut self, message: &[u8]) -> bool {
        match (message.first(), message.get(5)) {
            (Some(b'Z'), Some(status)) => {
                self.state = State::Ready(*status);
                true
            }
            // Before the session is ready an error ends it, and a request for authentication is the answer to the start.
            (Some(b'E'), _) => matches!(self.state, State::LoggingIn(_)),
            (Some(b'R'), _) => matches!(self.state, State::LoggingIn(0)),
            _ => false,
        }
    }

    /// Answers as the server would if it refused.
    fn refuse(&mut self, refusal: Refusal) -> Result<()> {
        let code = match refusal {
            Refusal::Broken | Refusal::Conflict | Refusal::Throttled => "53000",
            Refusal::Denied => "42501",
            Refusal::Policy => "22023",
        };
        let State::Ready(status) = self.state else {
            self.client.send(&error("FATAL", code))?;
            bail!("refused");
        };
        // Inside a transaction an error spoils it; the client is to roll back.
        let status = if status == b'I' { b'I' } else { b'E' };
        let mut answer = error("ERROR", code);
        answer.extend([b'Z', 0, 0, 0, 5, status]);
        self.client.send(&answer)
    }

    /// The client is sent away; the server hears what it asked for when the gates are released.
    fn late(&mut self, message: &[u8]) -> Result<()> {
        self.client.end();
        let goes_on = self.shared.gates.wait();
        let sent = if goes_on { self.send_late(message) } else { Ok(()) };
        self.shared.gates.let_go();
        sent
    }

    fn send_late(&mut self, message: &[u8]) -> Result<()> {
        self.advance(message);
        self.server.send(message)?;
        loop {
            while let Some(answer) = self.server.take(true)? {
                if self.note(&answer) {
                    return Ok(());
                }
            }
            self.server.pump()?;
        }
    }
}

fn error(severity: &str, code: &str) -> Vec<u8> {
    let body = format!("S{severity}\0V{severity}\0C{code}\0Mrefused by a gate\0\0");
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&b"E"[..], &length.to_be_bytes(), body.as_bytes()].concat()
}
