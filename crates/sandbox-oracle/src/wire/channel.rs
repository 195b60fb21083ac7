//! What a session talks over: a TCP connection, or TLS over one.
//!
//! TLS can be started again on the same connection, as Oracle's listener demands of its clients; and bytes can be made
//! to drip, one at a time, for clients that believe in progress.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A TCP connection that may be slow.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    drip: Option<Duration>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.drip {
            None => self.stream.write(bytes),
            Some(pause) => {
                std::thread::sleep(pause);
                self.stream.write(bytes.get(..1).unwrap_or_default())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// What a session reads and writes.
#[derive(Debug)]
pub(crate) enum Channel {
    Plain(Wire),
    Tls(Box<StreamOwned<ServerConnection, Wire>>),
}

impl Channel {
    /// Takes a connection; TLS begins with the first read.
    pub(crate) fn open(stream: TcpStream, tls: Option<&Arc<ServerConfig>>, drip: Option<Duration>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let wire = Wire { stream, drip };
        match tls {
            None => Ok(Self::Plain(wire)),
            Some(config) => Self::secure(wire, config),
        }
    }

    /// Forgets the TLS session without a farewell and starts another on the same connection.
    pub(crate) fn tls_again(self, config: &Arc<ServerConfig>) -> io::Result<Self> {
        match self {
            Self::Plain(wire) => Self::secure(wire, config),
            Self::Tls(stream) => {
                let (_, wire) = stream.into_parts();
                Self::secure(wire, config)
            }
        }
    }

    /// Says nothing more, and returns when the client has closed or the emulator is stopped.
    pub(crate) fn hang(mut self) {
        let wire = match &mut self {
            Self::Plain(wire) => wire,
            Self::Tls(stream) => &mut stream.sock,
        };
        let mut waste = [0; 4096];
        while matches!(wire.stream.read(&mut waste), Ok(count) if count > 0) {}
    }

    /// Ends the connection at once.
    pub(crate) fn cut(&self) {
        let wire = match self {
            Self::Plain(wire) => wire,
            Self::Tls(stream) => &stream.sock,
        };
        drop(wire.stream.shutdown(Shutdown::Both));
    }

    fn secure(wire: Wire, config: &Arc<ServerConfig>) -> io::Result<Self> {
        let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, wire))))
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(wire) => wire.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
