//! Where places that should hold the same differ.
//!
//! Places complete each other: what a record continues may lie in another place. What one lacks of the line that leads to the
//! register's head was taken away, unless the register declares it. What lies behind the head, or beside that line, may have
//! reached one place only: its writer was on its way, had died between two places, or had been overtaken.

use std::collections::VecDeque;

use super::{
    finding::{Finding, Kind},
    history::WINDOW_STREAMS,
    stream::Records,
};
use crate::{Hash, StreamId, chain::Head};

/// What lies behind the head.
#[derive(Clone, Debug, Default)]
pub enum Beyond {
    /// No head is known: nothing but the places themselves says where the trail ends.
    #[default]
    Nothing,
    /// The register names no record yet.
    Everything,
    /// What comes after this record, or does not lead to it.
    Head(Head),
}

/// What one place holds of a stream.
pub struct Held<'a> {
    /// The place.
    pub name: &'a str,
    /// The register says that the place lacks objects from this name on.
    pub behind: Option<&'a str>,
    /// Its records; `None` if nothing can be said about them.
    pub records: Option<&'a Records>,
}

/// Compares places stream by stream, in the order of a listing, in the memory of a few streams.
pub struct Comparison {
    beyond: Beyond,
    /// The head, until it was seen.
    head: Option<Hash>,
    recent: VecDeque<Recent>,
    /// Which places have held any record, by their position.
    held: Vec<bool>,
    found: Vec<Finding>,
}

/// A stream that others may continue.
struct Recent {
    hashes: Vec<Option<Hash>>,
    lacks: Vec<Lack>,
    /// What it descends from: streams by their distance, and their record.
    parent: Option<(usize, u64)>,
}

/// Records that one place lacks, until it is known whether they lead to the head.
struct Lack {
    place: usize,
    from: u64,
    finding: Finding,
    /// Whether the place holds something that comes after them.
    is_bridged: bool,
}

/// A stream in a place.
struct Spot<'a> {
    id: &'a StreamId,
    place: usize,
    name: &'a str,
}

impl Spot<'_> {
    fn finding(&self, kind: Kind, seq: u64, detail: &str) -> Finding {
        let (source, set, object) = (self.name.to_owned(), self.id.set.clone(), self.id.to_string());
        Finding { kind, source, set, object, seq: Some(seq), offset: None, detail: detail.to_owned() }
    }
}

impl Comparison {
    /// Nothing has been compared.
    #[must_use]
    pub fn new(beyond: Beyond) -> Self {
        let head = match &beyond {
            Beyond::Head(head) => head.hash(),
            Beyond::Nothing | Beyond::Everything => None,
        };
        Self { beyond, head, recent: VecDeque::new(), held: Vec::new(), found: Vec::new() }
    }

    /// Takes the next stream: what all places together hold of it, and each of them. Places come in the same order each time.
    pub fn stream(&mut self, id: &StreamId, union: &Records, places: &[Held<'_>]) {
        self.held.resize(places.len(), false);
        let before = union.before();
        let parent = self.recent.iter().rev().zip(1_usize..).find_map(|(recent, distance)| {
            let at = recent.hashes.iter().position(|hash| hash.is_some() && *hash == before)?;
            Some((distance, at as u64))
        });
        let mut recent = Recent { hashes: union.hashes().collect(), lacks: Vec::new(), parent };
        for (at, place) in places.iter().enumerate() {
            let Some(records) = place.records else { continue };
            if records.hashes().flatten().next().is_some() {
                if let Some(held) = self.held.get_mut(at) {
                    *held = true;
                }
                self.walk(parent, |lack| lack.is_bridged |= lack.place == at);
            }
            self.differences(id, (at, place), records, &mut recent);
        }
        self.recent.push_back(recent);
        if let Some(seq) = self.head.and_then(|hash| union.hashes().position(|found| found == Some(hash))) {
            self.head = None;
            self.head_is_here(seq as u64);
        }
        if self.recent.len() > WINDOW_STREAMS {
            self.forget();
        }
    }

    /// What was found, once every stream has been taken.
    #[must_use]
    pub fn finish(mut self) -> Vec<Finding> {
        let held = core::mem::take(&mut self.held);
        for lack in self.recent.drain(..).flat_map(|recent| recent.lacks) {
            // Without a head, a place that ends early is behind; one that goes on afterwards, or holds nothing at all, is not.
            let is_empty = !held.get(lack.place).copied().unwrap_or_default();
            let is_gone = matches!(self.beyond, Beyond::Nothing) && (lack.is_bridged || is_empty);
            self.found.push(judged(lack.finding, is_gone));
        }
        self.found
    }

    /// Notes what a place lacks of a stream, or has otherwise than another one.
    fn differences(&mut self, id: &StreamId, (at, place): (usize, &Held<'_>), records: &Records, recent: &mut Recent) {
        let here = Spot { id, place: at, name: place.name };
        let mut missing: Option<(u64, u64, bool)> = None;
        let mut theirs = records.hashes();
        for (seq, ours) in (0_u64..).zip(recent.hashes.clone()) {
            let theirs = theirs.next().flatten();
            let declared = place.behind.is_some_and(|from| id.lines(seq).as_str() >= from);
            match (ours, theirs) {
                (Some(ours), Some(theirs)) if ours != theirs => {
                    self.found.push(here.finding(Kind::CloudsDiffer, seq, "another place has another record here"));
                }
                (Some(_), None) => {
                    missing = match missing {
                        Some((from, count, was)) if was == declared => Some((from, count + 1, was)),
                        before => {
                            self.lacks(before, &here, recent);
                            Some((seq, 1, declared))
                        }
                    };
                    continue;
                }
                (Some(_) | None, _) => {}
            }
            if theirs.is_some() {
                self.lacks(missing.take(), &here, recent);
                recent.lacks.iter_mut().filter(|lack| lack.place == at).for_each(|lack| lack.is_bridged = true);
            }
        }
        self.lacks(missing, &here, recent);
    }

    fn lacks(&mut self, missing: Option<(u64, u64, bool)>, here: &Spot<'_>, recent: &mut Recent) {
        let Some((from, count, is_declared)) = missing else { return };
        let detail = format!("{count} records are not here, and are in another place");
        let finding = here.finding(Kind::NotInBoth, from, &detail);
        if is_declared {
            self.found.push(finding);
        } else {
            recent.lacks.push(Lack { place: here.place, from, finding, is_bridged: false });
        }
    }

    /// Does this to everything that is lacking before the record that a stream continues.
    fn walk(&mut self, parent: Option<(usize, u64)>, mut each: impl FnMut(&mut Lack)) {
        let (mut at, mut next) = (self.recent.len(), parent);
        while let Some((distance, seq)) = next {
            let Some(before) = at.checked_sub(distance) else { return };
            at = before;
            let Some(recent) = self.recent.get_mut(at) else { return };
            recent.lacks.iter_mut().filter(|lack| lack.from <= seq).for_each(&mut each);
            next = recent.parent;
        }
    }

    /// The stream read last holds the head: what it descends from must be everywhere, and nothing else must.
    fn head_is_here(&mut self, seq: u64) {
        let mut gone = Vec::new();
        let (mut at, mut next) = (self.recent.len(), Some((1, seq)));
        while let Some((distance, seq)) = next {
            let Some(recent) = at.checked_sub(distance).and_then(|before| {
                at = before;
                self.recent.get_mut(before)
            }) else {
                break;
            };
            let (lead, rest) = core::mem::take(&mut recent.lacks).into_iter().partition(|lack| lack.from <= seq);
            recent.lacks = rest;
            gone.extend::<Vec<Lack>>(lead);
            next = recent.parent;
        }
        self.found.extend(gone.into_iter().map(|lack| judged(lack.finding, true)));
    }

    /// The oldest stream is continued no more. What goes on this long after it is the line that leads to the head.
    fn forget(&mut self) {
        let Some(oldest) = self.recent.pop_front() else { return };
        if oldest.lacks.is_empty() {
            return;
        }
        let mut last = None;
        for (at, recent) in self.recent.iter().enumerate() {
            let mut next = Some((at + 1, recent.parent));
            while let Some((at, Some((distance, seq)))) = next {
                let Some(before) = at.checked_sub(distance) else { break };
                if before == 0 {
                    last = last.max(Some(seq));
                }
                next = before.checked_sub(1).and_then(|at| self.recent.get(at)).map(|recent| (before, recent.parent));
            }
        }
        for lack in oldest.lacks {
            let leads = last.is_some_and(|last| lack.from <= last);
            let is_gone = match self.beyond {
                Beyond::Head(_) => leads && self.head.is_some(),
                Beyond::Nothing => lack.is_bridged || leads,
                Beyond::Everything => false,
            };
            self.found.push(judged(lack.finding, is_gone));
        }
    }
}

fn judged(finding: Finding, is_gone: bool) -> Finding {
    if is_gone { Finding { kind: Kind::CloudsDiffer, ..finding } } else { finding }
}
