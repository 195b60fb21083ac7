//! One stream while it is read: where each line belongs, its signature, and what the history needs of it.

use super::finding::Kind;
use crate::{Hash, KeyRing, Kid, StreamId, UNSIGNED, chain::ZERO, key::StreamKey, line::Line, record::kinds, sha256};

/// Most records of one stream. A run writes some hundred; a stream is held in memory while it is read.
pub const MAX_STREAM_RECORDS: u64 = 100_000;

/// What a record means for the history.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mark {
    Other,
    /// A rotation is begun; its generation.
    Intent(Option<u64>),
    /// A rotation is over; its generation.
    Closed(Option<u64>),
    KeyRotated(Option<Kid>),
    KeyLost,
    Gap,
    Continued,
}

/// Whether a record's signature was checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Signature {
    Checked,
    Absent,
    NoKey,
}

/// What is kept of a record until its stream ends.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) prev: Hash,
    pub(super) hash: Hash,
    pub(super) kid: Kid,
    pub(super) mark: Mark,
    pub(super) signature: Signature,
    /// A key that is needed to check it and is not at hand.
    pub(super) needs: Option<Kid>,
    /// Whether it was read from an object that holds a whole stream.
    whole: bool,
    pub(super) time: [u8; 24],
    /// Which object of the stream it was read from, and where.
    pub(super) object: u32,
    pub(super) offset: u64,
}

/// What one place holds of a stream, by the records' numbers; or what several places hold together.
#[derive(Clone, Debug, Default)]
pub struct Records(pub(super) Vec<Option<Entry>>);

impl Records {
    /// The hash of each record.
    pub fn hashes(&self) -> impl Iterator<Item = Option<Hash>> {
        self.0.iter().map(|entry| entry.as_ref().map(|entry| entry.hash))
    }

    /// The hash of the record that the first one continues; `None` if the first one is not here.
    #[must_use]
    pub fn before(&self) -> Option<Hash> {
        Some(self.0.first()?.as_ref()?.prev)
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Entry> {
        self.0.get(usize::try_from(seq).ok()?)?.as_ref()
    }

    /// Adds what another place holds and this one does not.
    pub fn add(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), None);
        }
        for (ours, theirs) in self.0.iter_mut().zip(&other.0) {
            if ours.is_none() {
                ours.clone_from(theirs);
            }
        }
    }
}

/// What kind of object a line comes from, and so where it must stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// First line of an object that is named by it.
    First(u64),
    /// Later line of such an object: not before this number.
    Next(u64),
    /// Line of an object that holds a whole stream: not before this number.
    Whole(u64),
}

/// Where a line was found to be wrong.
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) seq: Option<u64>,
    pub(super) offset: u64,
    pub(super) detail: &'static str,
}

pub(super) struct OpenStream {
    pub(super) id: StreamId,
    name: String,
    pub(super) entries: Records,
    pub(super) objects: Vec<String>,
    /// The keys of this stream that were needed so far; `None` for one that is not at hand.
    keys: Vec<(Kid, Option<StreamKey>)>,
}

impl OpenStream {
    pub(super) fn new(id: StreamId) -> Self {
        let name = id.to_string();
        Self { id, name, entries: Records::default(), objects: Vec::new(), keys: Vec::new() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Notes that the next lines come from this object.
    pub(super) fn object(&mut self, name: &str) {
        self.objects.push(name.to_owned());
    }

    pub(super) fn object_at(&self, at: u32) -> &str {
        usize::try_from(at).ok().and_then(|at| self.objects.get(at)).map_or(self.name.as_str(), String::as_str)
    }

    pub(super) fn entry(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(seq)
    }

    /// How many records are there, whatever is missing between them.
    pub(super) fn present(&self) -> u64 {
        self.entries.0.iter().flatten().count() as u64
    }

    /// Takes a line (without its line feed). Returns its number. A number that was left out is reported when the stream ends.
    pub(super) fn line(&mut self, ring: &KeyRing, place: Place, offset: u64, bytes: &[u8]) -> Result<u64, Fault> {
        let fault = |kind, seq, detail| Fault { kind, seq, offset, detail };
        let Some(line) = Line::parse(bytes) else {
            return Err(fault(Kind::Malformed, None, "these bytes are no record"));
        };
        let seq = Some(line.seq);
        if line.stream != self.name {
            return Err(fault(Kind::Misplaced, seq, "the record belongs to another stream"));
        }
        let (in_place, from, whole) = match place {
            Place::First(first) => (line.seq == first, first, false),
            Place::Next(next) => (line.seq >= next, next, false),
            Place::Whole(next) => (line.seq >= next, next, true),
        };
        if !in_place {
            let twice = line.seq < from && self.entry(line.seq).is_some_and(|e| e.hash == sha256(bytes));
            let kind = if twice { Kind::Duplicate } else { Kind::Misplaced };
            return Err(fault(kind, seq, "the record stands where another number belongs"));
        }
        if line.seq >= MAX_STREAM_RECORDS {
            return Err(fault(Kind::Misplaced, seq, "no stream has that many records"));
        }
        let Some((signature, needs, hash)) = self.signature(ring, &line, bytes) else {
            return Err(fault(Kind::BadMac, seq, "the signature does not fit the bytes"));
        };
        let at = usize::try_from(line.seq).unwrap_or(usize::MAX);
        let entries = &mut self.entries.0;
        if entries.len() <= at {
            entries.resize_with(at + 1, || None);
        }
        let object = u32::try_from(self.objects.len().saturating_sub(1)).unwrap_or(u32::MAX);
        match entries.get_mut(at) {
            Some(Some(entry)) if entry.hash != hash => {
                Err(fault(Kind::Fork, seq, "another record has the same place in another object"))
            }
            // A stream that was folded is there twice: in its objects and as a whole.
            Some(Some(entry)) if entry.whole == whole => {
                Err(fault(Kind::Duplicate, seq, "the record stands in another object, too"))
            }
            Some(Some(_)) | None => Ok(line.seq),
            Some(slot @ None) => {
                let mut time = [0; 24];
                time.copy_from_slice(line.time.as_bytes());
                let (prev, kid, mark) = (line.prev, line.kid, mark(&line));
                *slot = Some(Entry { prev, hash, kid, mark, signature, needs, whole, time, object, offset });
                Ok(line.seq)
            }
        }
    }

    /// `None` if the signature is wrong; otherwise what is known of it, which key is missing, and the hash of the line.
    fn signature(&mut self, ring: &KeyRing, line: &Line<'_>, bytes: &[u8]) -> Option<(Signature, Option<Kid>, Hash)> {
        let (mut signature, mut needs, hash) = if line.kid == UNSIGNED {
            (line.mac == ZERO).then(|| (Signature::Absent, None, sha256(bytes)))?
        } else {
            match self.key(ring, line.kid) {
                None => (Signature::NoKey, Some(line.kid), sha256(bytes)),
                Some(key) => (Signature::Checked, None, key.hash_if_mac(line.covered, &line.mac, bytes)?),
            }
        };
        if line.kind == kinds::KEY_ROTATED {
            let (kid, signed, mac) = line.next_key()?;
            match self.key(ring, kid) {
                None => (signature, needs) = (Signature::NoKey, needs.or(Some(kid))),
                Some(key) => key.is_mac(signed, &mac).then_some(())?,
            }
        }
        Some((signature, needs, hash))
    }

    fn key(&mut self, ring: &KeyRing, kid: Kid) -> Option<&StreamKey> {
        let at = match self.keys.iter().position(|(known, _)| *known == kid) {
            Some(at) => at,
            None => {
                self.keys.push((kid, ring.find(kid).map(|root| root.stream_key(&self.id))));
                self.keys.len() - 1
            }
        };
        self.keys.get(at)?.1.as_ref()
    }
}

fn mark(line: &Line<'_>) -> Mark {
    match line.kind {
        kinds::INTENT => Mark::Intent(line.generation()),
        kinds::CLOSED | kinds::WITHDRAWN => Mark::Closed(line.generation()),
        kinds::GAP => Mark::Gap,
        kinds::CONTINUED => Mark::Continued,
        kinds::KEY_LOST => Mark::KeyLost,
        kinds::KEY_ROTATED => Mark::KeyRotated(line.next_key().map(|(kid, ..)| kid)),
        _ => Mark::Other,
    }
}
