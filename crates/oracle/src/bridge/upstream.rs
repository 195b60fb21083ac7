//! The side towards the database: TCP, TLS, and the listener's part of the conversation until a session is accepted.

use std::{io, sync::Arc};

use dizzy_host::port::Deadline;
use rustls::ClientConfig;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpStream, lookup_host},
    time::timeout_at,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::packet::{ACCEPT, Connect, Packet, REDIRECT, REFUSE, RESEND};
use crate::{
    tns::{Address, Place},
    trouble::Trouble,
};

/// How often the request is sent. A listener that wants a second handshake asks for it once more; the rest is room.
const REQUEST_LIMIT: usize = 5;

/// A verified TLS connection to a listener.
pub(super) struct Upstream {
    stream: TlsStream<TcpStream>,
    tls: TlsConnector,
    address: Address,
}

impl Upstream {
    /// Tries the addresses in turn, each with an equal share of the time that is left.
    pub(super) async fn open(place: &Place, tls: &Arc<ClientConfig>, limit: Deadline) -> Result<Self, Trouble> {
        let mut last = Trouble::NoAddress;
        for (tried, address) in place.addresses.iter().enumerate() {
            let share = share(limit, place.addresses.len() - tried);
            match timeout_at(share.instant(), Self::open_one(address, tls, share)).await {
                Ok(Ok(upstream)) => return Ok(upstream),
                Ok(Err(trouble)) => last = trouble,
                Err(_) => last = Trouble::Deadline,
            }
        }
        Err(last)
    }

    async fn open_one(address: &Address, tls: &Arc<ClientConfig>, limit: Deadline) -> Result<Self, Trouble> {
        let socket = connect_socket(address, limit).await?;
        let tls = TlsConnector::from(Arc::clone(tls));
        let stream = tls.connect(address.name.clone(), socket).await?;
        Ok(Self { stream, tls, address: address.clone() })
    }

    /// Carries the driver's request to the listener and answers what the listener asks, until it accepts. Returns its ACCEPT for the driver.
    pub(super) async fn request(
        self,
        connect: &Connect,
        service: &str,
    ) -> Result<(TlsStream<TcpStream>, Packet), Trouble> {
        let Self { mut stream, tls, address } = self;
        let request = connect.towards(&address, service);
        for _ in 0..REQUEST_LIMIT {
            stream.write_all(&request).await?;
            stream.flush().await?;
            let answer = Packet::read(&mut stream).await?;
            match answer.kind() {
                ACCEPT if answer.demands_encryption() => return Err(Trouble::NativeEncryption),
                ACCEPT => return Ok((stream, answer)),
                REFUSE => return Err(Trouble::Listener(answer.refusal())),
                REDIRECT => return Err(Trouble::Redirected),
                RESEND if answer.renegotiates() => {
                    // Another process of the server has taken over the socket and knows nothing of the session so far, so it is dropped
                    // without a goodbye. The server is verified anew.
                    let (socket, _dropped) = stream.into_inner();
                    stream = tls.connect(address.name.clone(), socket).await?;
                }
                RESEND => {}
                _ => return Err(Trouble::Nonsense),
            }
        }
        Err(Trouble::Nonsense)
    }
}

/// Tries each address of the host, with an equal share of the time that is left.
async fn connect_socket(address: &Address, limit: Deadline) -> Result<TcpStream, Trouble> {
    let found = lookup_host((address.host.as_str(), address.port)).await.map_err(|_| Trouble::NoAddress)?;
    let found = found.collect::<Vec<_>>();
    let mut last = Trouble::NoAddress;
    for (tried, address) in found.iter().enumerate() {
        let attempt: Result<io::Result<TcpStream>, _> =
            timeout_at(share(limit, found.len() - tried).instant(), TcpStream::connect(address)).await;
        match attempt {
            Ok(Ok(socket)) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Ok(Err(_)) => last = Trouble::Lost,
            Err(_) => last = Trouble::Deadline,
        }
    }
    Err(last)
}

fn share(limit: Deadline, remaining: usize) -> Deadline {
    limit.at_most(limit.left() / u32::try_from(remaining.max(1)).unwrap_or(u32::MAX))
}
