//! A file with the lines of many streams, one after the other, as `audit export --format ndjson` writes it: read line by line,
//! in the memory of one stream.

use std::collections::BTreeSet;

use super::{Expected, Keys, Kind, SetReport, Verifier};
use crate::{
    StreamId,
    line::{MAX_LINE_BYTES, until},
};

/// Most sets in one file; their names are remembered.
const MAX_SETS: usize = 100_000;

/// Reads a bundle.
pub struct Bundle<'k> {
    keys: &'k Keys,
    source: String,
    /// What is known about a set.
    expected: Box<dyn Fn(&str) -> Expected + 'k>,
    open: Option<(String, Verifier<'k>, u64)>,
    seen: BTreeSet<String>,
    reports: Vec<SetReport>,
    offset: u64,
    /// A line of which the end has not come yet.
    begun: Vec<u8>,
    /// How many of its bytes were not kept.
    dropped: u64,
}

impl<'k> Bundle<'k> {
    /// A bundle of which nothing has been read.
    pub fn new(keys: &'k Keys, source: &str, expected: impl Fn(&str) -> Expected + 'k) -> Self {
        Self {
            keys,
            source: source.to_owned(),
            expected: Box::new(expected),
            open: None,
            seen: BTreeSet::new(),
            reports: Vec::new(),
            offset: 0,
            begun: Vec::new(),
            dropped: 0,
        }
    }

    /// Takes the next bytes of the file, however they are cut.
    pub fn bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (line, rest) = match until(bytes, b'\n') {
                Some((line, rest)) => (line, Some(rest)),
                None => (bytes, None),
            };
            match rest {
                Some(_) if self.begun.is_empty() => self.line(line),
                Some(_) => {
                    self.keep(line);
                    self.end_line();
                }
                None => self.keep(line),
            }
            bytes = rest.unwrap_or_default();
        }
    }

    /// Keeps a piece of a line until its end comes; of one that is too long for a record only as much as shows that.
    fn keep(&mut self, piece: &[u8]) {
        let room = (MAX_LINE_BYTES + 1).saturating_sub(self.begun.len());
        let (kept, rest) = piece.split_at_checked(room).unwrap_or((piece, &[]));
        self.begun.extend_from_slice(kept);
        self.dropped += rest.len() as u64;
    }

    fn end_line(&mut self) {
        let line = core::mem::take(&mut self.begun);
        let dropped = core::mem::take(&mut self.dropped);
        self.line(&line);
        self.offset += dropped;
        self.begun = line;
        self.begun.clear();
    }

    /// Takes the next line, without its line feed.
    pub fn line(&mut self, line: &[u8]) {
        let offset = self.offset;
        self.offset += line.len() as u64 + 1;
        let name = stream_of(line);
        if let Some((open, verifier, next)) = &mut self.open
            && name.is_none_or(|name| name == open.as_bytes())
        {
            *next = verifier.line(*next, offset, line);
            return;
        }
        match name.and_then(|name| StreamId::parse(core::str::from_utf8(name).ok()?)) {
            Some(id) => {
                self.enter(id);
                if let Some((_, verifier, next)) = &mut self.open {
                    *next = verifier.line(*next, offset, line);
                }
            }
            None => {
                // Before any set is known: the file is none of ours, or its first line is damaged.
                let mut verifier =
                    Verifier::new(self.keys, &self.source, "", Expected { compared: true, ..Expected::default() });
                verifier.found(Kind::Malformed, "", None, format!("the line at byte {offset} is no record"));
                self.reports.push(verifier.finish());
            }
        }
    }

    fn enter(&mut self, id: StreamId) {
        let name = id.to_string();
        let same_set = match &mut self.open {
            Some((open, verifier, next)) if open.split('/').next() == Some(id.set.as_str()) => {
                verifier.end();
                verifier.begin(id.clone());
                open.clone_from(&name);
                *next = 0;
                true
            }
            Some(_) | None => false,
        };
        if same_set {
            return;
        }
        self.close();
        let mut verifier = Verifier::new(self.keys, &self.source, &id.set, (self.expected)(&id.set));
        let again = !self.seen.insert(id.set.clone()) || self.seen.len() > MAX_SETS;
        if again {
            verifier.found(Kind::Misplaced, &name, None, "the set was read before: its streams do not stand together");
        }
        verifier.begin(id);
        self.open = Some((name, verifier, 0));
    }

    fn close(&mut self) {
        if let Some((_, mut verifier, _)) = self.open.take() {
            verifier.end();
            self.reports.push(verifier.finish());
        }
    }

    /// What was read and found, set by set.
    #[must_use]
    pub fn finish(mut self) -> Vec<SetReport> {
        if !self.begun.is_empty() {
            self.end_line();
        }
        self.close();
        self.reports
    }
}

/// The stream's name in a line, if it has one in its place.
fn stream_of(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"{\"v\":1,\"stream\":\"")?;
    until(rest, b'"').map(|(name, _)| name)
}
