//! A proxy that forwards bytes until it is told to lose the server's replies, and a host that never says a word.
//!
//! TLS passes through untouched, so `localhost` still verifies. Plain threads; they end with their connections, and the
//! proxy closes what it holds when it is dropped.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

/// What happens to the next reply of the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Loss {
    /// Nothing: replies are forwarded.
    None = 0,
    /// The reply is swallowed and the client sees the connection end. The server has done what it replied to.
    HangUp = 1,
    /// The reply is swallowed and the client waits.
    Silence = 2,
}

/// Forwards TCP connections to one address.
#[derive(Debug)]
pub struct CutProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    loss: AtomicU8,
    stopping: AtomicBool,
    connections: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    swallowed: Mutex<mpsc::Receiver<()>>,
    swallow: mpsc::Sender<()>,
}

impl CutProxy {
    /// Starts a proxy for `127.0.0.1:port`.
    ///
    /// # Errors
    /// If no port can be had.
    pub fn start(port: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listen on a free port")?;
        let address = listener.local_addr().context("read the proxy's port")?;
        let (swallow, swallowed) = mpsc::channel();
        let shared = Arc::new(Shared {
            loss: AtomicU8::new(Loss::None as u8),
            stopping: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            open: Mutex::default(),
            swallowed: Mutex::new(swallowed),
            swallow,
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                if accepting.stopping.load(Ordering::SeqCst) {
                    return;
                }
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    forward(&accepting, &client, &server);
                }
            }
        });
        Ok(Self { address, shared })
    }

    /// The port to connect to, on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// From here on, replies of the server meet this fate, on every connection.
    pub fn lose_replies(&self, loss: Loss) {
        self.shared.loss.store(loss as u8, Ordering::SeqCst);
    }

    /// Waits until a reply has been swallowed: what the server was asked for is done.
    ///
    /// # Errors
    /// If none was within `limit`.
    pub fn wait_for_swallowed(&self, limit: Duration) -> Result<()> {
        let receiver = self.shared.swallowed.lock().unwrap_or_else(PoisonError::into_inner);
        receiver.recv_timeout(limit).context("wait for a swallowed reply")
    }

    /// How many connections were made so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Ends every open connection, on both sides.
    pub fn hang_up(&self) {
        for stream in self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            end(&stream);
        }
    }
}

impl Drop for CutProxy {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.hang_up();
        // Wakes the accepting thread, so that it sees the flag.
        drop(TcpStream::connect_timeout(&self.address, Duration::from_secs(1)));
    }
}

fn forward(shared: &Arc<Shared>, client: &TcpStream, server: &TcpStream) {
    let copies = (client.try_clone(), server.try_clone(), client.try_clone(), server.try_clone());
    let (Ok(from_client), Ok(to_server), Ok(to_client), Ok(from_server)) = copies else { return };
    if let (Ok(one), Ok(other)) = (client.try_clone(), server.try_clone()) {
        shared.open.lock().unwrap_or_else(PoisonError::into_inner).extend([one, other]);
    }
    thread::spawn(move || {
        copy(&from_client, &to_server, || Loss::None);
        end(&to_server);
    });
    let shared = Arc::downgrade(shared);
    thread::spawn(move || {
        copy(&from_server, &to_client, || {
            let Some(shared) = shared.upgrade() else { return Loss::HangUp };
            let loss = match shared.loss.load(Ordering::SeqCst) {
                1 => Loss::HangUp,
                2 => Loss::Silence,
                _ => Loss::None,
            };
            if loss != Loss::None {
                shared.swallow.send(()).ok();
            }
            loss
        });
        end(&to_client);
        end(&from_server);
    });
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, fate: impl Fn() -> Loss) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer) {
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { return };
        match fate() {
            Loss::None => {
                if to.write_all(bytes).is_err() {
                    return;
                }
            }
            Loss::HangUp => return,
            Loss::Silence => {}
        }
    }
}

fn end(stream: &TcpStream) {
    // An error means that the other side was faster.
    stream.shutdown(Shutdown::Both).ok();
}

/// A host that accepts connections and never answers.
#[derive(Debug)]
pub struct SilentHost {
    listener: TcpListener,
}

impl SilentHost {
    /// Starts listening. Connections are accepted by the system's backlog; nobody ever reads them.
    ///
    /// # Errors
    /// If no port can be had.
    pub fn start() -> Result<Self> {
        Ok(Self { listener: TcpListener::bind("127.0.0.1:0").context("listen on a free port")? })
    }

    /// How many connections have come since this was last asked.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn met(&self) -> Result<usize> {
        self.listener.set_nonblocking(true).context("look without waiting")?;
        let mut met = 0;
        loop {
            match self.listener.accept() {
                Ok(_) => met += 1,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(met),
                Err(error) => return Err(error).context("look for connections"),
            }
        }
    }

    /// The port, on 127.0.0.1.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn port(&self) -> Result<u16> {
        Ok(self.listener.local_addr().context("read the port")?.port())
    }
}
