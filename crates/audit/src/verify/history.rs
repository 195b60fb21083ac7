//! The history of a set across its streams: what each continues, which key is in force, which rotation is open, where it ends.

use std::collections::{BTreeSet, VecDeque};

use serde::Serialize;

use super::{
    Expected,
    finding::Kind,
    stream::{Entry, Mark, OpenStream, Records, Signature},
};
use crate::{
    Hash, Kid, UNSIGNED,
    chain::{Head, ZERO},
    checkpoint::Checkpoint,
    to_hex,
};

/// How many streams back a stream may continue. A worker that was overtaken continues what its successor continues, too;
/// twenty at once have not been heard of.
pub(super) const WINDOW_STREAMS: usize = 64;

/// Most keys that a history remembers as replaced.
const MAX_RETIRED: usize = 10_000;

/// What was read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Objects.
    pub objects: u64,
    /// Bytes.
    pub bytes: u64,
    /// Streams.
    pub streams: u64,
    /// Records, each counted once.
    pub records: u64,
    /// Records that only one side of the history knows: of workers that were overtaken.
    pub side: u64,
    /// Records whose MAC was checked.
    pub checked: u64,
    /// Records that a signed note speaks for.
    pub covered: u64,
    /// Records behind the head that was expected.
    pub beyond_head: u64,
    /// Signed notes that were verified.
    pub notes: u64,
    /// Signed notes that were not read, for want of a public key.
    pub notes_unread: u64,
    /// Time of the first record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// Time of the last record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// The keys, in the order of their use.
    pub kids: Vec<String>,
    /// The end of the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
}

/// A finding before it knows its set and place.
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) object: String,
    pub(super) seq: Option<u64>,
    pub(super) offset: Option<u64>,
    pub(super) detail: String,
}

/// A stream that others may continue.
struct Recent {
    /// Number in the history of the record before its first.
    before: u64,
    hashes: Vec<Option<Hash>>,
}

pub(super) struct History {
    expected: Expected,
    recent: VecDeque<Recent>,
    /// The last record of the stream read last, and its number in the history.
    tip: Option<(Hash, u64)>,
    head: Option<Head>,
    in_force: Option<Kid>,
    retired: BTreeSet<Kid>,
    /// Rotations that were begun and not closed.
    open: BTreeSet<u64>,
    /// Rotation of the first stream.
    began: Option<u64>,
    last_time: [u8; 24],
    /// The latest time of a record that is here.
    latest: Option<[u8; 24]>,
    head_seen: bool,
    notes_seen: usize,
    /// Whether the number of a record in the history is known.
    counted: bool,
    /// Number of the last record that no MAC was checked of, and why.
    unproven: Option<(u64, Signature)>,
    /// Whether the stream before could not be read.
    skipped: bool,
    missing_keys: BTreeSet<Kid>,
    covered: u64,
}

impl History {
    pub(super) fn new(expected: Expected) -> Self {
        Self {
            expected,
            recent: VecDeque::new(),
            tip: None,
            head: None,
            in_force: None,
            retired: BTreeSet::new(),
            open: BTreeSet::new(),
            began: None,
            last_time: [b'0'; 24],
            latest: None,
            head_seen: false,
            notes_seen: 0,
            counted: true,
            unproven: None,
            skipped: false,
            missing_keys: BTreeSet::new(),
            covered: 0,
        }
    }

    /// What can be told of the end of what was read so far.
    pub(super) fn sum_up(&self, summary: &mut Summary) {
        summary.head.clone_from(&self.head);
        summary.last = self.latest.as_ref().map(text);
    }

    /// Takes a stream that has been read, of which all places together hold these records.
    pub(super) fn stream(
        &mut self,
        stream: &OpenStream,
        all: &Records,
        notes: &[Checkpoint],
        summary: &mut Summary,
        found: &mut Vec<Found>,
    ) {
        let present = stream.present();
        summary.streams += u64::from(present > 0);
        summary.records += present;
        self.anchors(stream, all, notes, summary, found);
        let Some(first) = all.0.iter().flatten().next() else { return };
        let before = self.attach(stream, all, first, found);
        let mut number = before;
        let mut last: Option<&Entry> = None;
        let mut missing_from = None;
        for (seq, entry) in (0_u64..).zip(&all.0) {
            let Some(entry) = entry else {
                missing_from.get_or_insert(seq);
                continue;
            };
            if let Some(from) = missing_from.take() {
                self.gap(stream, entry, from, seq, found);
            } else if last.is_some_and(|last| last.hash != entry.prev) {
                found.push(at(stream, seq, entry, Kind::BrokenChain, "it does not continue the record before it"));
            }
            number += 1;
            self.record(stream, seq, number, entry, summary, found);
            last = Some(entry);
        }
        let Some(last) = last else { return };
        self.tip = Some((last.hash, number));
        self.head = Some(Head {
            stream: stream.name().to_owned(),
            seq: (all.0.len() as u64).saturating_sub(1),
            hash: to_hex(&last.hash),
            kid: self.in_force.unwrap_or(UNSIGNED).to_string(),
            records: number,
        });
        self.recent.push_back(Recent { before, hashes: all.hashes().collect() });
        if self.recent.len() > WINDOW_STREAMS {
            self.recent.pop_front();
        }
        summary.side = summary.records.saturating_sub(number);
        self.check_notes((stream, all), notes, before, summary, found);
    }

    /// A stream that cannot be read: the next one is taken to continue it.
    pub(super) fn skip(&mut self, name: &str) {
        self.skipped = true;
        self.counted = false;
        self.open.clear();
        self.in_force = None;
        self.head_seen |= self.expected.head.as_ref().is_some_and(|head| head.stream == name);
        self.notes_seen += self.expected.notes.iter().filter(|note| note.stream == name).count();
    }

    fn gap(&self, stream: &OpenStream, entry: &Entry, from: u64, to: u64, found: &mut Vec<Found>) {
        let detail = match to - from {
            1 => format!("record {from} is missing"),
            count => format!("{count} records are missing, from {from} on"),
        };
        found.push(at(stream, to, entry, Kind::Gap, &detail));
    }

    /// Finds what the stream continues. Returns the number of that record in the history.
    fn attach(&mut self, stream: &OpenStream, all: &Records, first: &Entry, found: &mut Vec<Found>) -> u64 {
        let began = *self.began.get_or_insert(stream.id.rotation);
        let Some((tip, number)) = self.tip else {
            if first.prev == ZERO || core::mem::take(&mut self.skipped) {
                return 0;
            }
            self.counted = false;
            if !self.expected.may_begin_late {
                let detail = "the trail begins in the middle: what this record continues is not here";
                found.push(at(stream, 0, first, Kind::BeginsLate, detail));
            }
            return 0;
        };
        // A stream whose first record is missing is reported as a gap.
        if core::mem::take(&mut self.skipped) || first.prev == tip || all.before().is_none() {
            return number;
        }
        for recent in self.recent.iter().rev() {
            let Some(place) = recent.hashes.iter().position(|hash| *hash == Some(first.prev)) else { continue };
            let continued = recent.before + recent.hashes.iter().take(place + 1).flatten().count() as u64;
            let detail = "it continues an earlier record: what lies between was written by workers that were overtaken";
            found.push(at(stream, 0, first, Kind::SideBranch, detail));
            return continued;
        }
        if first.prev == ZERO && stream.id.rotation <= began.saturating_add(1) {
            let detail = "a second beginning: two workers began the trail at once";
            found.push(at(stream, 0, first, Kind::SideBranch, detail));
            return 0;
        }
        let detail = if first.prev == ZERO {
            "a second beginning: it continues nothing"
        } else {
            "it continues a record that is not here"
        };
        found.push(at(stream, 0, first, Kind::BrokenChain, detail));
        number
    }

    /// What one record means for keys, time and rotations.
    fn record(
        &mut self,
        stream: &OpenStream,
        seq: u64,
        number: u64,
        entry: &Entry,
        summary: &mut Summary,
        found: &mut Vec<Found>,
    ) {
        self.keys(stream, seq, entry, summary, found);
        let is_here = stream.entry(seq).is_some();
        match entry.signature {
            Signature::Checked => summary.checked += u64::from(is_here),
            Signature::Absent => self.unproven = Some((number, Signature::Absent)),
            Signature::NoKey => self.unproven = Some((number, Signature::NoKey)),
        }
        if entry.time < self.last_time && is_here {
            found.push(at(stream, seq, entry, Kind::ClockBackwards, "its time is before that of the record before it"));
        }
        self.last_time = entry.time;
        if is_here {
            summary.first.get_or_insert_with(|| text(&entry.time));
            self.latest = self.latest.max(Some(entry.time));
        }
        match entry.mark {
            Mark::Intent(generation) => {
                let begun = generation.unwrap_or(stream.id.rotation);
                let later = self.open.split_off(&begun);
                for open in core::mem::replace(&mut self.open, later) {
                    let detail = format!("rotation {open} was begun and never closed");
                    found.push(at(stream, seq, entry, Kind::Unclosed, &detail));
                }
                self.open.insert(begun);
            }
            Mark::Closed(generation) => {
                self.open.remove(&generation.unwrap_or(stream.id.rotation));
            }
            Mark::Gap => {
                self.open.clear();
                let detail = "an earlier worker could not store all of its records";
                found.push(at(stream, seq, entry, Kind::DeclaredGap, detail));
            }
            // Its writer could not know how many there were before.
            Mark::Continued => self.counted = false,
            Mark::KeyRotated(_) | Mark::KeyLost | Mark::Other => {}
        }
    }

    fn keys(&mut self, stream: &OpenStream, seq: u64, entry: &Entry, summary: &mut Summary, found: &mut Vec<Found>) {
        self.missing_keys.extend(entry.needs);
        if self.in_force != Some(entry.kid) {
            if self.declares_a_loss(entry, summary) {
                let detail = "the former key was lost: nothing proves that who signs from here on was entitled to";
                found.push(at(stream, seq, entry, Kind::KeyLost, detail));
            } else if self.in_force.is_some() {
                let detail = if self.retired.contains(&entry.kid) {
                    "its key had been replaced before"
                } else {
                    "its key was not in force: no record hands over to it"
                };
                found.push(at(stream, seq, entry, Kind::KeyOutOfRange, detail));
            }
            self.take_key(entry.kid, summary);
        }
        if let Mark::KeyRotated(Some(next)) = entry.mark {
            if self.retired.contains(&next) {
                found.push(at(
                    stream,
                    seq,
                    entry,
                    Kind::KeyOutOfRange,
                    "it hands over to a key that had been replaced",
                ));
            }
            self.take_key(next, summary);
        }
    }

    /// Whether a person declared with this record that the key in force is lost. Only a key that the verifier trusts, and that
    /// was not in force before, can say so; who could check no signature so far takes its word.
    fn declares_a_loss(&self, entry: &Entry, summary: &Summary) -> bool {
        let is_trusted = match entry.signature {
            Signature::Checked => true,
            Signature::NoKey => summary.checked == 0,
            Signature::Absent => false,
        };
        entry.mark == Mark::KeyLost && is_trusted && self.in_force.is_some() && !self.retired.contains(&entry.kid)
    }

    fn take_key(&mut self, kid: Kid, summary: &mut Summary) {
        if let Some(old) = self.in_force.replace(kid)
            && self.retired.len() < MAX_RETIRED
        {
            self.retired.insert(old);
        }
        self.retired.remove(&kid);
        let name = kid.to_string();
        if summary.kids.len() < MAX_RETIRED && !summary.kids.contains(&name) {
            summary.kids.push(name);
        }
    }

    /// Whether the stream holds what the register, a person or a note says it must.
    fn anchors(
        &mut self,
        stream: &OpenStream,
        all: &Records,
        notes: &[Checkpoint],
        summary: &mut Summary,
        found: &mut Vec<Found>,
    ) {
        if let Some(head) = self.expected.head.as_ref().filter(|head| head.stream == stream.name()) {
            self.head_seen = true;
            match stream.entry(head.seq) {
                Some(entry) if Some(entry.hash) == head.hash() => {
                    let behind = usize::try_from(head.seq).unwrap_or(usize::MAX).saturating_add(1);
                    summary.beyond_head = stream.entries.0.iter().skip(behind).flatten().count() as u64;
                }
                Some(entry) => {
                    let detail = "the register names another record for this place";
                    found.push(at(stream, head.seq, entry, Kind::Fork, detail));
                }
                // Another place has it, and the register says that this one has not.
                None if self.is_behind(stream, head.seq) && all.hashes().any(|hash| hash == head.hash()) => {}
                None => found.push(truncated(stream.name(), head.seq, stream.present())),
            }
        } else if self.head_seen {
            summary.beyond_head += stream.present();
        }
        for note in self.expected.notes.iter().filter(|note| note.stream == stream.name()) {
            self.notes_seen += 1;
            if !notes.contains(note) {
                summary.notes += 1;
            }
            // What there is of the stream is compared by `check_notes`.
            if all.0.iter().flatten().next().is_none() {
                found.push(contradicted(stream.name(), note.seq, "a note that was given"));
            }
        }
    }

    fn is_behind(&self, stream: &OpenStream, seq: u64) -> bool {
        self.expected.behind.as_ref().is_some_and(|from| stream.id.lines(seq) >= *from)
    }

    /// Compares the notes that lie with the stream.
    fn check_notes(
        &mut self,
        (stream, all): (&OpenStream, &Records),
        notes: &[Checkpoint],
        before: u64,
        summary: &mut Summary,
        found: &mut Vec<Found>,
    ) {
        let given: Vec<Checkpoint> =
            self.expected.notes.iter().filter(|note| note.stream == stream.name()).cloned().collect();
        for note in notes.iter().chain(&given) {
            let number = before + note.seq + 1;
            match all.get(note.seq) {
                Some(entry) if entry.hash == note.hash => {
                    if self.counted && number != note.records {
                        let what = format!("its note counts {} records, here are {number}", note.records);
                        found.push(at(stream, note.seq, entry, Kind::BadCheckpoint, &what));
                        continue;
                    }
                    self.covered = self.covered.max(number);
                    summary.covered = self.covered;
                }
                Some(_) | None => found.push(contradicted(stream.name(), note.seq, "its note")),
            }
        }
        summary.notes += notes.len() as u64;
    }

    /// What can only be said at the end.
    pub(super) fn finish(&mut self, summary: &Summary, notes_wanted: bool, found: &mut Vec<Found>) {
        if let Some(head) = self.expected.head.as_ref().filter(|_| !self.head_seen) {
            found.push(truncated(&head.stream, head.seq, 0));
        }
        if self.notes_seen < self.expected.notes.len() {
            let missing = self.expected.notes.len() - self.notes_seen;
            found.push(whole(Kind::Truncated, format!("the streams of {missing} notes that were given are not here")));
        }
        if self.expected.head.is_none() && !self.expected.compared && self.expected.notes.is_empty() {
            let detail = "neither a register nor a note nor a second place says where the trail should end";
            found.push(whole(Kind::EndNotChecked, detail.to_owned()));
        }
        let lost = self.expected.lost.saturating_sub(summary.beyond_head);
        if lost > 0 {
            let detail = format!("the register says that {lost} records could not be stored");
            found.push(whole(Kind::DeclaredGap, detail));
        } else if let (Some(open), Some(last)) = (self.open.first(), self.expected.at_rest)
            && *open <= last
        {
            found.push(whole(Kind::Unclosed, format!("rotation {open} is over, and no record closes it")));
        }
        self.unproven(summary, notes_wanted, found);
    }

    fn unproven(&self, summary: &Summary, notes_wanted: bool, found: &mut Vec<Found>) {
        let Some((number, why)) = self.unproven else { return };
        if number <= self.covered && summary.side == 0 {
            return;
        }
        let rest = if notes_wanted && self.covered > 0 {
            format!("; a signed note speaks for the first {}", self.covered)
        } else {
            String::new()
        };
        let checked = summary.checked;
        let records = summary.records;
        if why == Signature::Absent || self.missing_keys.is_empty() {
            let detail = format!("{} of {records} records carry no signature{rest}", records - checked);
            found.push(whole(Kind::Unsigned, detail));
        }
        if !self.missing_keys.is_empty() {
            let kids: Vec<String> = self.missing_keys.iter().take(10).map(ToString::to_string).collect();
            let detail = format!("{} of {records} records need the key {}{rest}", records - checked, kids.join(", "));
            found.push(whole(Kind::NoKey, detail));
        }
    }
}

fn text(time: &[u8; 24]) -> String {
    String::from_utf8_lossy(time).into_owned()
}

fn at(stream: &OpenStream, seq: u64, entry: &Entry, kind: Kind, detail: &str) -> Found {
    let is_here = stream.entry(seq).is_some();
    let object = if is_here { stream.object_at(entry.object) } else { stream.name() }.to_owned();
    Found { kind, object, seq: Some(seq), offset: Some(entry.offset), detail: detail.to_owned() }
}

fn whole(kind: Kind, detail: String) -> Found {
    Found { kind, object: String::new(), seq: None, offset: None, detail }
}

fn truncated(stream: &str, seq: u64, present: u64) -> Found {
    let detail = format!("the head is record {seq} of this stream; found {present} records of it");
    Found { kind: Kind::Truncated, object: stream.to_owned(), seq: Some(seq), offset: None, detail }
}

fn contradicted(stream: &str, seq: u64, what: &str) -> Found {
    let detail = format!("{what} signs another record for this place");
    Found { kind: Kind::BadCheckpoint, object: stream.to_owned(), seq: Some(seq), offset: None, detail }
}
