//! The verifier: stored bytes in, findings out.
//!
//! One [`Verifier`] reads one set from one place, stream by stream in the order of a listing. It holds one stream and the
//! hashes of a few before it, whatever the length of the trail. [`bundle`] reads an exported file line by line;
//! [`compare`] says where two places differ.

pub mod bundle;
#[cfg(test)]
mod checks;
pub mod compare;
pub mod finding;
mod history;
mod stream;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use self::{
    finding::{Class, Finding, Findings, Kind, MAX_KEPT},
    stream::{MAX_STREAM_RECORDS, Records},
};
use self::{
    history::{History, Summary},
    stream::{Fault, OpenStream, Place},
};
use crate::{
    KeyRing, ObjectName, StreamId,
    chain::Head,
    checkpoint::{Checkpoint, NoteError, VerifyingKey},
};

/// Largest object that a verifier takes, in bytes: more than the longest stream of a run has.
pub const MAX_OBJECT_BYTES: usize = 64 << 20;

/// What is known about a set from elsewhere than its trail.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The head that the register or a person names.
    pub head: Option<Head>,
    /// Where no rotation is under way: the highest generation that the register has issued.
    pub at_rest: Option<u64>,
    /// The register says that this place lacks objects from this name on.
    pub behind: Option<String>,
    /// How many records the register says could not be stored.
    pub lost: u64,
    /// Whether another place is read and compared with this one.
    pub compared: bool,
    /// Whether the trail may begin in the middle, because a lifecycle rule removed what was older.
    pub may_begin_late: bool,
    /// Notes that the verifier holds besides those that lie in the trail.
    pub notes: Vec<Checkpoint>,
}

/// What a verifier holds.
#[derive(Debug, Default)]
pub struct Keys {
    /// The MAC keys.
    pub ring: KeyRing,
    /// The public keys of signed notes.
    pub notes: Vec<VerifyingKey>,
}

/// What was read, and what was found.
#[derive(Clone, Debug, Serialize)]
pub struct SetReport {
    /// The set.
    pub set: String,
    /// The place.
    pub source: String,
    /// What was read.
    #[serde(flatten)]
    pub summary: Summary,
    /// What was found.
    #[serde(skip)]
    pub findings: Findings,
}

/// Reads one set from one place.
pub struct Verifier<'k> {
    keys: &'k Keys,
    source: String,
    set: String,
    history: History,
    open: Option<OpenStream>,
    notes: Vec<(String, Vec<u8>)>,
    findings: Findings,
    summary: Summary,
}

impl<'k> Verifier<'k> {
    /// A verifier that has read nothing.
    #[must_use]
    pub fn new(keys: &'k Keys, source: &str, set: &str, expected: Expected) -> Self {
        Self {
            keys,
            source: source.to_owned(),
            set: set.to_owned(),
            history: History::new(expected),
            open: None,
            notes: Vec::new(),
            findings: Findings::default(),
            summary: Summary::default(),
        }
    }

    /// Begins a stream. Streams come in the order of their names.
    pub fn begin(&mut self, id: StreamId) {
        debug_assert!(self.open.is_none(), "one stream at a time");
        self.open = Some(OpenStream::new(id));
    }

    /// Takes an object of the stream that was begun, in the order of a listing.
    pub fn object(&mut self, name: &str, bytes: &[u8]) {
        self.summary.objects += 1;
        self.summary.bytes += bytes.len() as u64;
        let parsed = ObjectName::parse(name);
        let Some(stream) = &mut self.open else { return };
        let mut place = match parsed.filter(|parsed| *parsed.stream() == stream.id) {
            Some(ObjectName::Lines(_, first)) => Place::First(first),
            Some(ObjectName::Segment(_)) => Place::Whole(0),
            Some(ObjectName::Checkpoint(_)) => {
                self.notes.push((name.to_owned(), bytes.to_vec()));
                return;
            }
            None => {
                self.foreign(name);
                return;
            }
        };
        stream.object(name);
        let mut offset = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let result = match line.strip_suffix(b"\n") {
                Some(line) => stream.line(&self.keys.ring, place, offset, line),
                None => Err(Fault { kind: Kind::Malformed, seq: None, offset, detail: "the line is cut short" }),
            };
            let seq = match result {
                Ok(seq) => Some(seq),
                Err(fault) => {
                    let seq = fault.seq;
                    let (source, set) = (self.source.clone(), self.set.clone());
                    self.findings.push(finding(fault, source, set, name));
                    seq
                }
            };
            // What follows a wrong line is judged by its own number, so that one wrong line is one finding.
            place = match place {
                Place::First(first) => Place::Next(seq.unwrap_or(first).saturating_add(1)),
                Place::Next(next) => Place::Next(seq.map_or(next, |seq| seq.saturating_add(1))),
                Place::Whole(next) => Place::Whole(seq.map_or(next, |seq| seq.saturating_add(1))),
            };
            offset += line.len() as u64;
        }
        if bytes.is_empty() {
            self.found(Kind::Malformed, name, None, "the object is empty");
        }
    }

    /// Takes one line (without its line feed) of the stream that was begun, from a file that holds many streams. `next` is the
    /// lowest number that it may have. Returns the lowest number of the line after it.
    pub fn line(&mut self, next: u64, offset: u64, line: &[u8]) -> u64 {
        self.summary.bytes += line.len() as u64 + 1;
        let Some(stream) = &mut self.open else { return next };
        let seq = match stream.line(&self.keys.ring, Place::Whole(next), offset, line) {
            Ok(seq) => Some(seq),
            Err(fault) => {
                let seq = fault.seq;
                let (source, set, object) = (self.source.clone(), self.set.clone(), stream.name().to_owned());
                self.findings.push(finding(fault, source, set, &object));
                seq
            }
        };
        seq.map_or(next, |seq| seq.saturating_add(1))
    }

    /// What was read of the stream that was begun.
    #[must_use]
    pub fn records(&self) -> Records {
        self.open.as_ref().map(|stream| stream.entries.clone()).unwrap_or_default()
    }

    /// Ends the stream that was begun.
    pub fn end(&mut self) {
        if let Some(stream) = self.open.take() {
            self.judge(&stream, &stream.entries);
        }
    }

    /// Ends the stream that was begun, of which all places together hold these records. What this place lacks of them is for
    /// [`compare`] to judge, and breaks no chain.
    pub fn end_among(&mut self, union: &Records) {
        if let Some(stream) = self.open.take() {
            let mut all = stream.entries.clone();
            all.add(union);
            self.judge(&stream, &all);
        }
    }

    fn judge(&mut self, stream: &OpenStream, all: &Records) {
        let checkpoints = self.open_notes(stream);
        let mut found = Vec::new();
        self.history.stream(stream, all, &checkpoints, &mut self.summary, &mut found);
        self.report(found);
    }

    /// Ends the stream that was begun, of which a part cannot be read: nothing is said about it, and the next one is taken to
    /// continue it.
    pub fn skip(&mut self) {
        if let Some(stream) = self.open.take() {
            self.notes.clear();
            self.history.skip(stream.name());
        }
    }

    /// What was read and found until the place could not be read any more; nothing is said about its end.
    #[must_use]
    pub fn abandon(mut self) -> SetReport {
        self.history.sum_up(&mut self.summary);
        SetReport { set: self.set, source: self.source, summary: self.summary, findings: self.findings }
    }

    /// Reports an object that is not part of a trail.
    pub fn foreign(&mut self, name: &str) {
        self.found(Kind::ForeignObject, name, None, "the object is not part of a trail and was not read");
    }

    /// Reports what the reader of the place has seen: versions, archived objects, a place out of reach.
    pub fn found(&mut self, kind: Kind, object: &str, seq: Option<u64>, detail: impl Into<String>) {
        self.findings.push(Finding {
            kind,
            source: self.source.clone(),
            set: self.set.clone(),
            object: object.to_owned(),
            seq,
            offset: None,
            detail: detail.into(),
        });
    }

    /// What was read and found, once every stream has been.
    #[must_use]
    pub fn finish(mut self) -> SetReport {
        let mut found = Vec::new();
        self.history.finish(&self.summary, !self.keys.notes.is_empty(), &mut found);
        self.report(found);
        self.history.sum_up(&mut self.summary);
        SetReport { set: self.set, source: self.source, summary: self.summary, findings: self.findings }
    }

    fn open_notes(&mut self, stream: &OpenStream) -> Vec<Checkpoint> {
        let mut opened = Vec::new();
        for (name, bytes) in core::mem::take(&mut self.notes) {
            if self.keys.notes.is_empty() {
                self.summary.notes_unread += 1;
                continue;
            }
            match Checkpoint::open(&bytes, &self.keys.notes) {
                Ok(note) if note.set == self.set && note.stream == stream.name() => opened.push(note),
                Ok(_) => self.found(Kind::Misplaced, &name, None, "the note belongs to another set or stream"),
                Err(NoteError::OtherSigner) => {
                    self.found(Kind::OtherSigner, &name, None, "none of the given public keys has signed the note");
                }
                Err(NoteError::Malformed | NoteError::BadSignature | NoteError::Key) => {
                    self.found(Kind::BadCheckpoint, &name, None, "the note is not what was signed");
                }
            }
        }
        opened
    }

    fn report(&mut self, found: Vec<history::Found>) {
        for history::Found { kind, object, seq, offset, detail } in found {
            let (source, set) = (self.source.clone(), self.set.clone());
            self.findings.push(Finding { kind, source, set, object, seq, offset, detail });
        }
    }
}

fn finding(fault: Fault, source: String, set: String, object: &str) -> Finding {
    let Fault { kind, seq, offset, detail } = fault;
    Finding { kind, source, set, object: object.to_owned(), seq, offset: Some(offset), detail: detail.to_owned() }
}
