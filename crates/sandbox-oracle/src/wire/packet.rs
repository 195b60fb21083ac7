//! Packets: an eight-byte header with length and kind, then a body.
//!
//! The length is 16 bits until ACCEPT was sent and 32 bits afterwards, in both directions.

use std::io::{self, Read, Write};

pub(crate) const CONNECT: u8 = 1;
pub(crate) const ACCEPT: u8 = 2;
pub(crate) const REFUSE: u8 = 4;
pub(crate) const REDIRECT: u8 = 5;
pub(crate) const DATA: u8 = 6;
pub(crate) const RESEND: u8 = 11;
pub(crate) const MARKER: u8 = 12;

/// Data flag of a client that says goodbye.
pub(crate) const END_OF_FILE: u16 = 0x0040;
/// Data flag of the last packet of an answer.
pub(crate) const END_OF_RESPONSE: u16 = 0x2000;
/// Packet flag on RESEND: do TLS again first.
pub(crate) const TLS_AGAIN: u8 = 0x08;

pub(crate) const MARKER_BREAK: u8 = 1;
pub(crate) const MARKER_RESET: u8 = 2;

/// The largest packet body taken: a statement of a test may be long, a gigabyte is a mistake.
const LARGEST: usize = 16 * 1024 * 1024;
/// How much of an answer goes into one packet: the session data unit that ACCEPT states.
pub(crate) const SESSION_DATA_UNIT: usize = 8192;

const HEADER: usize = 8;

/// One packet.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
}

/// Which form of the length field is in use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lengths {
    /// Before ACCEPT.
    Short,
    /// From ACCEPT on.
    Wide,
}

/// Reads one packet; `None` if the peer closed between two.
pub(crate) fn read(from: &mut impl Read, lengths: Lengths) -> io::Result<Option<Packet>> {
    let mut header = [0; HEADER];
    if !fill(from, &mut header)? {
        return Ok(None);
    }
    let [a, b, c, d, kind, ..] = header;
    let length = match lengths {
        Lengths::Short => usize::from(u16::from_be_bytes([a, b])),
        Lengths::Wide => usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(io::Error::other)?,
    };
    let size = length.checked_sub(HEADER).filter(|size| *size <= LARGEST);
    let size = size.ok_or_else(|| bad(format!("a packet of {length} bytes")))?;
    let mut body = vec![0; size];
    from.read_exact(&mut body)?;
    Ok(Some(Packet { kind, body }))
}

/// Writes one packet.
pub(crate) fn write(to: &mut impl Write, lengths: Lengths, kind: u8, flags: u8, body: &[u8]) -> io::Result<()> {
    let length = HEADER + body.len();
    let mut bytes = Vec::with_capacity(length);
    match lengths {
        Lengths::Short => {
            bytes.extend(u16::try_from(length).map_err(io::Error::other)?.to_be_bytes());
            bytes.extend([0, 0]);
        }
        Lengths::Wide => bytes.extend(u32::try_from(length).map_err(io::Error::other)?.to_be_bytes()),
    }
    bytes.extend([kind, flags, 0, 0]);
    bytes.extend(body);
    to.write_all(&bytes)?;
    to.flush()
}

/// An error for bytes that no client of this protocol would send.
pub(crate) fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Fills `buffer`; `false` if the stream ended before its first byte.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A client that goes without TLS's farewell has gone all the same.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && filled == 0 => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
