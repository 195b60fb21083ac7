//! The packets that open an Oracle Net connection: CONNECT from the driver, and the listener's answers before the session.
//!
//! Layout as the driver writes and reads it (`oracledb` 26.0.0-beta.5, `messages/connect.rs`): an eight byte header (16-bit length, two
//! zero bytes, type, flags, two zero bytes); in CONNECT, length and offset of the connect data at 24 and 26. Nothing behind ACCEPT is looked at.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::tns::{Address, Node, Value};

/// Packet types.
pub(super) const CONNECT: u8 = 1;
pub(super) const ACCEPT: u8 = 2;
pub(super) const REFUSE: u8 = 4;
pub(super) const REDIRECT: u8 = 5;
pub(super) const RESEND: u8 = 11;
/// Flag of RESEND: a new TLS handshake comes first.
const FLAG_RENEGOTIATE: u8 = 0x08;
/// Flag in ACCEPT: native network encryption is demanded.
const FLAG_NATIVE_ENCRYPTION: u8 = 0x10;
/// Where that flag is.
const ACCEPT_FLAGS: usize = 22;

const HEADER: usize = 8;
/// Everything of CONNECT in front of the connect data.
const CONNECT_HEAD: usize = 74;
/// Header of the DATA packet that carries connect data too long for CONNECT itself.
const DATA_HEADER: usize = 10;
const DATA: u8 = 6;
/// Longest connect data inside CONNECT.
const INLINE_LIMIT: usize = 230;
/// Longest connect data at all; ours has some 400 bytes.
const CONNECT_DATA_LIMIT: usize = 4096;

/// One packet, header included.
#[derive(Debug)]
pub(super) struct Packet(Vec<u8>);

impl Packet {
    /// Reads one packet, and not a byte more.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut header = [0; HEADER];
        from.read_exact(&mut header).await?;
        let [high, low, ..] = header;
        let body = usize::from(u16::from_be_bytes([high, low])).checked_sub(HEADER).ok_or_else(nonsense)?;
        let mut bytes = header.to_vec();
        bytes.resize(HEADER + body, 0);
        from.read_exact(bytes.get_mut(HEADER..).unwrap_or_default()).await?;
        Ok(Self(bytes))
    }

    pub(super) fn kind(&self) -> u8 {
        self.byte(4)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether a RESEND asks for a new TLS handshake.
    pub(super) fn renegotiates(&self) -> bool {
        self.byte(5) & FLAG_RENEGOTIATE != 0
    }

    /// Whether an ACCEPT demands native network encryption.
    pub(super) fn demands_encryption(&self) -> bool {
        self.byte(ACCEPT_FLAGS) & FLAG_NATIVE_ENCRYPTION != 0
    }

    /// The ORA number in a REFUSE; zero if it gives none.
    pub(super) fn refusal(&self) -> u32 {
        let text = String::from_utf8_lossy(&self.0);
        let number = text.split_once("(ERR=").and_then(|(_, rest)| rest.split_once(')'));
        number.and_then(|(number, _)| number.trim().parse().ok()).unwrap_or(0)
    }

    fn byte(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    fn number(&self, at: usize) -> usize {
        usize::from(u16::from_be_bytes([self.byte(at), self.byte(at + 1)]))
    }
}

/// A CONNECT with its connect data.
#[derive(Debug)]
pub(super) struct Connect {
    head: Vec<u8>,
    data: Node,
}

impl Connect {
    /// Reads what the driver, or whoever it is, sends first.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let packet = Packet::read(from).await?;
        let (length, offset) = (packet.number(24), packet.number(26));
        if packet.kind() != CONNECT || offset < CONNECT_HEAD || length > CONNECT_DATA_LIMIT {
            return Err(nonsense());
        }
        let mut data = packet.0.get(offset..).unwrap_or_default().to_vec();
        while data.len() < length {
            let more = Packet::read(from).await?;
            let more = more.0.get(DATA_HEADER..).filter(|more| !more.is_empty()).ok_or_else(nonsense)?;
            data.extend_from_slice(more);
        }
        let text = core::str::from_utf8(&data).map_err(|_| nonsense())?;
        let data = Node::parse(text).map_err(|_| nonsense())?;
        let head = packet.0.get(..CONNECT_HEAD).ok_or_else(nonsense)?.to_vec();
        Ok(Self { head, data })
    }

    /// The service that it asks for: from our driver, the token.
    pub(super) fn service(&self) -> Option<&str> {
        self.connect_data()?.iter().find_map(|node| match &node.value {
            Value::Text(text) if node.key == "SERVICE_NAME" => Some(text.as_str()),
            Value::Text(_) | Value::Nodes(_) => None,
        })
    }

    /// The same request as a driver that speaks TLS itself would send it: the real address and service, and what the driver tells about
    /// its program and user.
    pub(super) fn towards(&self, address: &Address, service: &str) -> Vec<u8> {
        let mut connect_data = vec![text("SERVICE_NAME", service)];
        let others = self.connect_data().unwrap_or_default().iter().filter(|node| node.key != "SERVICE_NAME");
        connect_data.extend(others.cloned());
        let host = if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.clone() };
        let address = vec![text("PROTOCOL", "tcps"), text("HOST", &host), text("PORT", &address.port.to_string())];
        let description = vec![
            nodes("ADDRESS", address),
            nodes("CONNECT_DATA", connect_data),
            nodes("SECURITY", vec![text("SSL_SERVER_DN_MATCH", "ON")]),
        ];
        self.with_data(nodes("DESCRIPTION", description).render().as_bytes())
    }

    fn connect_data(&self) -> Option<&[Node]> {
        self.data.nodes().iter().find_map(|node| (node.key == "CONNECT_DATA").then(|| node.nodes()))
    }

    fn with_data(&self, data: &[u8]) -> Vec<u8> {
        let inline = data.len() <= INLINE_LIMIT;
        let mut bytes = self.head.clone();
        put(&mut bytes, 0, CONNECT_HEAD + if inline { data.len() } else { 0 });
        put(&mut bytes, 24, data.len());
        put(&mut bytes, 26, CONNECT_HEAD);
        if !inline {
            let start = bytes.len();
            bytes.extend_from_slice(&[0, 0, 0, 0, DATA, 0, 0, 0, 0, 0]);
            put(&mut bytes, start, DATA_HEADER + data.len());
        }
        bytes.extend_from_slice(data);
        bytes
    }
}

/// Writes a 16-bit number. Every number here is below [`CONNECT_DATA_LIMIT`] and a header.
fn put(bytes: &mut [u8], at: usize, number: usize) {
    let number = u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
    if let Some(place) = bytes.get_mut(at..at + number.len()) {
        place.copy_from_slice(&number);
    }
}

fn text(key: &str, value: &str) -> Node {
    Node { key: key.to_owned(), value: Value::Text(value.to_owned()) }
}

fn nodes(key: &str, nodes: Vec<Node>) -> Node {
    Node { key: key.to_owned(), value: Value::Nodes(nodes) }
}

fn nonsense() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A CONNECT as the driver would send it.
    pub(in crate::bridge) fn connect(data: &str) -> Vec<u8> {
        let mut head = vec![0; CONNECT_HEAD];
        head[4] = CONNECT;
        Connect { head, data: Node::parse("(X=1)").unwrap() }.with_data(data.as_bytes())
    }

    async fn read(bytes: &[u8]) -> io::Result<Connect> {
        let mut from = bytes;
        Connect::read(&mut from).await
    }

    #[tokio::test]
    async fn the_request_is_turned_from_the_bridge_to_the_server() {
        for padding in [
            "",
            "(P=0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789)",
        ] {
            let from_driver = connect(&format!(
                "(DESCRIPTION=(RETRY_COUNT=0)(ADDRESS=(PROTOCOL=tcp)(HOST=127.0.0.1)(PORT=5))(CONNECT_DATA=(SERVICE_NAME=token)\
                 (CID=(PROGRAM=dizzy-keys)(HOST=h)(USER=u)){padding}))"
            ));
            let connect = read(&from_driver).await.unwrap();
            assert_eq!(connect.service(), Some("token"));
            let sent = connect.towards(&Address::new("db.example.com", 1522).unwrap(), "orders");
            let again = read(&sent).await.unwrap();
            assert_eq!(
                again.data.render(),
                format!(
                    "(DESCRIPTION=(ADDRESS=(PROTOCOL=tcps)(HOST=db.example.com)(PORT=1522))(CONNECT_DATA=(SERVICE_NAME=orders)\
                     (CID=(PROGRAM=dizzy-keys)(HOST=h)(USER=u)){padding})(SECURITY=(SSL_SERVER_DN_MATCH=ON)))"
                )
            );
        }
    }

    #[tokio::test]
    async fn strange_packets_are_refused_without_waiting_or_panicking() {
        let good = connect("(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=token)))");
        for at in [0, 1, 4, 24, 25, 26, 27] {
            let mut bytes = good.clone();
            bytes[at] ^= 0xFF;
            assert!(read(&bytes).await.is_err(), "{at}");
        }
        for end in 0..good.len() {
            assert!(read(&good[..end]).await.is_err(), "{end}");
        }
        assert!(read(b"GET / HTTP/1.1\r\n\r\n").await.is_err());
    }

    #[test]
    fn a_refusal_gives_its_number_or_none() {
        let packet = |text: &str| Packet(format!("12345678{text}").into_bytes());
        assert_eq!(packet("(DESCRIPTION=(ERR=12514)(VSNNUM=0))").refusal(), 12514);
        for strange in ["", "(ERR=)", "(ERR=x)", "(ERR=1", "(ERR=99999999999)"] {
            assert_eq!(packet(strange).refusal(), 0, "{strange}");
        }
    }
}
