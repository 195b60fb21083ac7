//! Verification of stored trails: every place read from its beginning, all of them side by side, stream by stream.
//!
//! Memory is that of one stream in each place. What cannot be read is told as such and never taken for tampering; what
//! cannot be read is never taken for clean either.

use core::time::Duration;
use std::sync::Arc;

use dizzy_audit::{
    Head, ObjectName, StreamId,
    verify::{
        Expected, Findings, Keys, Kind, MAX_OBJECT_BYTES, Records, SetReport, Verifier,
        compare::{Beyond, Comparison, Held},
    },
};
use serde::Serialize;

use super::{
    AuditHead, prefix_of,
    reader::{Group, Streams},
};
use crate::port::{self, Deadline, ObjectStore, PAGE, PortError, VersionKind, Versions};

/// How many objects of a stream are read at once from one place.
const PARALLEL: usize = 16;

/// A place to read.
pub struct Source {
    /// Its objects.
    pub store: Arc<dyn ObjectStore>,
}

/// What is known of a set from its register, or was told by a person.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The last record that must be there.
    pub head: Option<Head>,
    /// Whether there is a register, although it may name no record yet.
    pub registered: bool,
    /// What the register remembers besides.
    pub register: Option<AuditHead>,
    /// Highest generation issued, if no rotation is under way.
    pub at_rest: Option<u64>,
    /// Whether the trail may begin in the middle.
    pub may_begin_late: bool,
    /// Notes held besides those in the trail.
    pub notes: Vec<dizzy_audit::Checkpoint>,
}

/// What came out, for one set.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// The set.
    pub set: String,
    /// What was read, place by place.
    pub places: Vec<SetReport>,
    /// What was found in all of them.
    pub findings: Findings,
}

struct Place<'a> {
    store: &'a dyn ObjectStore,
    name: String,
    verifier: Option<Verifier<'a>>,
    streams: Streams<'a>,
    next: Option<Group>,
    done: Option<SetReport>,
    /// The register says that it lacks objects from this name on.
    behind: Option<String>,
}

/// Reads a set from every place, and compares them. `call` is the longest that one call may take.
pub async fn verify_set(keys: &Keys, set: &str, sources: &[Source], known: &Known, call: Duration) -> Verification {
    let mut findings = Findings::default();
    let mut places: Vec<Place<'_>> = Vec::new();
    for source in sources {
        let store = &*source.store;
        let name = store.place();
        let behind = known.register.as_ref().and_then(|head| head.behind.get(&name)).cloned();
        let expected = Expected {
            head: known.head.clone(),
            behind: behind.clone(),
            at_rest: known.at_rest,
            lost: known.register.as_ref().map_or(0, |head| head.lost),
            compared: sources.len() > 1,
            may_begin_late: known.may_begin_late,
            notes: known.notes.clone(),
        };
        let mut verifier = Verifier::new(keys, &name, set, expected);
        versions(store, set, &mut verifier, call).await;
        let streams = Streams::new(store, set);
        places.push(Place { store, name, verifier: Some(verifier), streams, next: None, done: None, behind });
    }
    for place in &mut places {
        place.advance(call).await;
    }
    let mut comparison = Comparison::new(match (&known.head, known.registered) {
        (Some(head), _) => Beyond::Head(head.clone()),
        (None, true) => Beyond::Everything,
        (None, false) => Beyond::Nothing,
    });
    while let Some(stream) = places.iter().filter_map(Place::stream).min_by_key(|id| id.to_string()).cloned() {
        let reads = places.iter_mut().map(|place| place.read(&stream, call));
        let read = crate::driver::side_by_side(reads).await;
        let mut union = Records::default();
        for records in read.iter().flatten() {
            union.add(records);
        }
        let held = places.iter().zip(&read).map(|(place, records)| Held {
            name: &place.name,
            behind: place.behind.as_deref(),
            records: records.as_ref(),
        });
        comparison.stream(&stream, &union, &held.collect::<Vec<_>>());
        for place in places.iter_mut() {
            if let Some(verifier) = &mut place.verifier {
                verifier.end_among(&union);
            }
            // A place that was given up has nothing more to say; to go on in it would be to ask for the same stream for ever.
            if place.next.is_none() && place.verifier.is_some() {
                place.advance(call).await;
            }
        }
    }
    for finding in comparison.finish() {
        findings.push(finding);
    }
    let mut reports = Vec::new();
    for place in places {
        let report = place.done.or_else(|| Some(place.verifier?.finish()));
        reports.extend(report);
    }
    for report in &mut reports {
        findings.append(core::mem::take(&mut report.findings));
    }
    Verification { set: set.to_owned(), places: reports, findings }
}

impl Place<'_> {
    fn stream(&self) -> Option<&StreamId> {
        match &self.next {
            Some(Group::Stream(id, _)) => Some(id),
            Some(Group::Foreign(_)) | None => None,
        }
    }

    /// Goes to the next stream; reports what lies between.
    async fn advance(&mut self, call: Duration) {
        loop {
            match self.streams.next(Deadline::after(call)).await {
                Ok(Some(Group::Foreign(name))) => {
                    if let Some(verifier) = &mut self.verifier {
                        verifier.foreign(&name);
                    }
                }
                Ok(next) => {
                    self.next = next;
                    return;
                }
                Err(error) => return self.abandon(&error),
            }
        }
    }

    /// Nothing more can be said about this place.
    fn abandon(&mut self, error: &PortError) {
        self.next = None;
        if let Some(mut verifier) = self.verifier.take() {
            verifier.found(Kind::Unreachable, "", None, format!("the place cannot be read: {error}"));
            self.done = Some(verifier.abandon());
        }
    }

    /// Reads a stream, as far as this place has it; it is left open. `None`: nothing can be said about it here.
    async fn read(&mut self, stream: &StreamId, call: Duration) -> Option<Records> {
        let is_here = self.stream() == Some(stream);
        self.verifier.as_mut()?.begin(stream.clone());
        if !is_here {
            return Some(Records::default());
        }
        let Some(Group::Stream(_, names)) = self.next.take() else { return Some(Records::default()) };
        let mut archived = Vec::new();
        let mut has_whole = false;
        let mut verifier = self.verifier.take()?;
        for part in names.chunks(PARALLEL) {
            let reads = part.iter().map(|name| self.store.get(name, MAX_OBJECT_BYTES, Deadline::after(call)));
            for (name, read) in part.iter().zip(crate::driver::side_by_side(reads).await) {
                match read {
                    Ok(Some(object)) => {
                        has_whole |= matches!(ObjectName::parse(name), Some(ObjectName::Segment(_)));
                        verifier.object(name, &object.bytes);
                    }
                    // Deleted between list and read.
                    Ok(None) => verifier.found(Kind::Gap, name, None, "the object vanished while the trail was read"),
                    Err(error) if is_archived(&error) => archived.push(name.clone()),
                    Err(error) if error.kind == port::Kind::Malformed => {
                        verifier.found(Kind::Malformed, name, None, "the object is longer than any of a trail");
                    }
                    Err(error) => {
                        self.verifier = Some(verifier);
                        self.abandon(&error);
                        return None;
                    }
                }
            }
        }
        for name in &archived {
            let detail = "the object is in an archive tier: restore it, and verify again";
            verifier.found(Kind::Archived, name, None, detail);
        }
        let records = if archived.is_empty() || has_whole {
            Some(verifier.records())
        } else {
            verifier.skip();
            None
        };
        self.verifier = Some(verifier);
        records
    }
}

fn is_archived(error: &PortError) -> bool {
    // S3 (403) and Object Storage (409); each says so by its code, which OCI's adapter puts before the number of the request.
    let code = error.code.as_deref().and_then(|code| code.split(',').next());
    matches!(code, Some("InvalidObjectState" | "NotRestored"))
}

/// An object that is written once has one version.
async fn versions(store: &dyn ObjectStore, set: &str, verifier: &mut Verifier<'_>, call: Duration) {
    let prefix = prefix_of(set);
    let (mut after, mut last) = (None, (String::new(), 0_u64));
    loop {
        let page = match store.versions(&prefix, after.as_ref(), PAGE, Deadline::after(call)).await {
            Ok(Versions::Page(page)) => page,
            Ok(Versions::NotListed) => {
                verifier.found(
                    Kind::VersionsNotListed,
                    "",
                    None,
                    "this place does not tell former versions of an object",
                );
                return;
            }
            Err(error) => {
                verifier.found(Kind::Unreachable, "", None, format!("versions cannot be listed: {error}"));
                return;
            }
        };
        for version in page.versions {
            if version.name != last.0 {
                last = (version.name.clone(), 0);
            }
            last.1 += 1;
            if version.kind == VersionKind::DeleteMarker {
                verifier.found(
                    Kind::DuplicateVersion,
                    &version.name,
                    None,
                    "the object was deleted: it has a delete marker",
                );
            } else if last.1 == 2 {
                verifier.found(Kind::DuplicateVersion, &version.name, None, "the object has more than one version");
            }
        }
        after = page.next;
        if after.is_none() {
            return;
        }
    }
}
