//! A stored line, read by position: the fields that the chain rests on stand first and last, always in the same order and
//! width. Whatever else a line says is covered by its MAC and needs no parser here.

use std::io::BufRead as _;

use crate::{
    Hash, Kid, hex,
    record::{MAC, NEXT_KID, NEXT_MAC, is_time},
};

/// Longest line, in bytes, without its line feed. The longest real one has some 900.
pub const MAX_LINE_BYTES: usize = 8192;

const KID_DIGITS: usize = 16;
const HASH_DIGITS: usize = 64;
const TIME_BYTES: usize = 24;

/// The end of every line: the MAC and what closes it.
const TAIL_BYTES: usize = MAC.len() + HASH_DIGITS + 2;

/// The parts of a line that the chain rests on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line<'a> {
    /// Name of the stream.
    pub stream: &'a str,
    /// Number in the stream.
    pub seq: u64,
    /// Hash of the line before it.
    pub prev: Hash,
    /// Which key signed it.
    pub kid: Kid,
    /// When, as its writer's clock said.
    pub time: &'a str,
    /// What it is about.
    pub kind: &'a str,
    /// The bytes that the MAC covers.
    pub covered: &'a [u8],
    /// The MAC.
    pub mac: Hash,
}

impl<'a> Line<'a> {
    /// Reads a line (without its line feed); `None` if it is not laid out as every record is.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        if line.len() > MAX_LINE_BYTES {
            return None;
        }
        let (covered, tail) = line.split_at_checked(line.len().checked_sub(TAIL_BYTES)?)?;
        let mac = tail.strip_prefix(MAC.as_bytes())?.strip_suffix(b"\"}")?;
        let rest = covered.strip_prefix(b"{\"v\":1,\"stream\":\"")?;
        let (stream, rest) = until(rest, b'"')?;
        let (seq, rest) = until(rest.strip_prefix(b",\"seq\":")?, b',')?;
        let (prev, rest) = rest.strip_prefix(b"\"prev\":\"")?.split_at_checked(HASH_DIGITS)?;
        let (kid, rest) = rest.strip_prefix(b"\",\"kid\":\"")?.split_at_checked(KID_DIGITS)?;
        let (time, rest) = rest.strip_prefix(b"\",\"time\":\"")?.split_at_checked(TIME_BYTES)?;
        let (kind, _) = until(rest.strip_prefix(b"\",\"type\":\"")?, b'"')?;
        if !is_time(time) {
            return None;
        }
        Some(Self {
            stream: core::str::from_utf8(stream).ok()?,
            seq: hex::decimal(seq)?,
            prev: hex::decode_hash(prev)?,
            kid: Kid::parse(kid)?,
            time: core::str::from_utf8(time).ok()?,
            kind: core::str::from_utf8(kind).ok()?,
            covered,
            mac: hex::decode_hash(mac)?,
        })
    }

    /// The generation under way, if the record names one.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        const FIELD: &[u8] = b",\"gen\":";
        // Quotes within a text are escaped, so these bytes are the field.
        let at = self.covered.windows(FIELD.len()).position(|bytes| bytes == FIELD)?;
        let digits = self.covered.get(at + FIELD.len()..)?;
        let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
        hex::decimal(digits.get(..end)?)
    }

    /// The key that signs from here on, if this is a rotation of the key: its name, the bytes it signed, and its MAC.
    #[must_use]
    pub fn next_key(&self) -> Option<(Kid, &'a [u8], Hash)> {
        let tail = NEXT_MAC.len() + HASH_DIGITS + 1;
        let (signed, mac) = self.covered.split_at_checked(self.covered.len().checked_sub(tail)?)?;
        let mac = mac.strip_prefix(NEXT_MAC.as_bytes())?.strip_suffix(b"\"")?;
        let at = signed.len().checked_sub(NEXT_KID.len() + KID_DIGITS + 1)?;
        let (_, kid) = signed.split_at_checked(at)?;
        let kid = kid.strip_prefix(NEXT_KID.as_bytes())?.strip_suffix(b"\"")?;
        Some((Kid::parse(kid)?, signed, hex::decode_hash(mac)?))
    }
}

/// What is before the first such byte, and what is behind it.
pub(crate) fn until(bytes: &[u8], end: u8) -> Option<(&[u8], &[u8])> {
    // Reading from a slice is no I/O; this is the one search of the standard library that takes wide steps.
    let mut rest = bytes;
    let length = rest.skip_until(end).ok()?;
    let (last, before) = bytes.get(..length)?.split_last()?;
    (*last == end).then_some((before, rest))
}
