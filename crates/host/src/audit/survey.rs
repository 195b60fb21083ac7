//! What is there already: where the history really ends, and which place lacks what another has.
//!
//! The register names the last record that was durable when it was written. Whoever wrote it may have stored more, and may
//! have died between two places. So the next run lists the one stream that the register names, goes on from its last record,
//! and copies what is missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dizzy_audit::{Hash, Kid, ObjectName, StreamId, UNSIGNED, ZERO, line::Line, sha256, verify::MAX_OBJECT_BYTES};

use super::{
    AuditHead, prefix_of,
    sinks::{Sinks, put},
};
use crate::port::{Deadline, Kind, ObjectStore, PAGE, PortError, PortResult};

/// Most pages of a list that are read to find the end of a trail whose register was lost: a million objects.
const MAX_PAGES: usize = 1000;

/// Most objects behind the register's head that are read to find the end: runs that were refused leave one each.
const MAX_JOINED: usize = 1000;

/// Most objects that one run copies to a place that was away. The rest follows with later runs, or with a copy by hand.
const MAX_COPIES: usize = 200;

/// How the records of this run continue what is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Start {
    /// There is nothing.
    Genesis,
    /// They continue the last record.
    Joined,
    /// The register knew of no trail, and there is one.
    Continued,
    /// The last record that the register names is in no place.
    Damaged,
}

/// What a survey found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) start: Start,
    /// Hash of the last record.
    pub(super) last: Hash,
    /// How many records there were up to it.
    pub(super) records: u64,
    /// The key that signs the next record.
    pub(super) kid: Kid,
    /// Records that were made, are nowhere, and are missed; by the run that made them.
    pub(super) lost_by: BTreeMap<String, u64>,
    /// Whether a record tells that they are missing.
    pub(super) is_told: bool,
    /// The stream of the last record.
    pub(super) stream: Option<StreamId>,
}

/// Looks at every place that answers.
///
/// # Errors
/// If none does.
pub(super) async fn survey(
    set: &str,
    head: Option<&AuditHead>,
    sinks: &mut Sinks,
    deadline: Deadline,
) -> PortResult<Found> {
    let stores = sinks.stores();
    match head.and_then(|head| Some((head, StreamId::parse(&head.stream)?, head.head().hash()?, head.head().kid()?))) {
        Some((head, stream, hash, kid)) => {
            let places = list_all(&stores, &prefix_of(set), &stream.folder(), deadline).await?;
            let found = join(head, &stream, (hash, kid), &places, deadline).await;
            level(&stream.lines(head.object), &head.behind, &places, sinks, deadline).await;
            catch_up(set, head, &stores, sinks, deadline).await;
            Ok(found)
        }
        None => {
            let places = list_all(&stores, &prefix_of(set), "", deadline).await?;
            let found = from_the_end(set, &places, deadline).await?;
            level("", &BTreeMap::new(), &places, sinks, deadline).await;
            Ok(found)
        }
    }
}

/// The highest rotation and epoch that any record of a set is about, as the names of the objects tell, and the time of the last record, in
/// milliseconds since 1970. Zeros without a record.
///
/// An Intent is in the trail before it is in the register, so no generation was ever issued above this rotation.
///
/// # Errors
/// If no place answers.
pub(crate) async fn highest(
    set: &str,
    stores: &[Arc<dyn ObjectStore>],
    deadline: Deadline,
) -> PortResult<(u64, u64, Option<i64>)> {
    let places = list_all(stores, &prefix_of(set), "", deadline).await?;
    let all = || places.iter().filter_map(|(_, names)| names.as_ref()).flatten();
    let streams: Vec<StreamId> = all().filter_map(|name| Some(ObjectName::parse(name)?.stream().clone())).collect();
    let rotation = streams.iter().map(|stream| stream.rotation).max();
    let epoch = streams.iter().map(|stream| stream.epoch).max();
    let time = match all().filter(|name| is_lines(name)).max() {
        Some(last) => fetch(last, &places, deadline).await.as_deref().and_then(super::trail::last_time),
        None => None,
    };
    Ok((rotation.unwrap_or_default(), epoch.unwrap_or_default(), time))
}

/// A place with the names that it has; `None` if it did not answer.
type Listed = (Arc<dyn ObjectStore>, Option<BTreeSet<String>>);

async fn list_all(
    stores: &[Arc<dyn ObjectStore>],
    prefix: &str,
    after: &str,
    deadline: Deadline,
) -> PortResult<Vec<Listed>> {
    let lists = stores.iter().map(|store| names(&**store, prefix, Some(after), deadline));
    let lists = crate::driver::side_by_side(lists).await;
    if let Some(Err(error)) = lists.iter().find(|list| list.is_err())
        && lists.iter().all(Result::is_err)
    {
        return Err(error.clone());
    }
    Ok(stores.iter().cloned().zip(lists.into_iter().map(Result::ok)).collect())
}

async fn names(
    store: &dyn ObjectStore,
    prefix: &str,
    after: Option<&str>,
    deadline: Deadline,
) -> PortResult<BTreeSet<String>> {
    let (mut names, mut after) = (BTreeSet::new(), after.map(str::to_owned));
    for _ in 0..MAX_PAGES {
        let page = store.list(prefix, after.as_deref(), PAGE, deadline).await?;
        names.extend(page.objects.into_iter().map(|entry| entry.name));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(names)
}

fn is_lines(name: &str) -> bool {
    matches!(ObjectName::parse(name), Some(ObjectName::Lines(..)))
}

/// Finds the last record behind the one that the register names.
async fn join(
    head: &AuditHead,
    stream: &StreamId,
    (hash, kid): (Hash, Kid),
    places: &[Listed],
    deadline: Deadline,
) -> Found {
    let first = stream.lines(head.object);
    let all = places.iter().filter_map(|(_, names)| names.as_ref());
    let present: BTreeSet<&String> = all.flatten().filter(|name| is_lines(name) && **name >= first).collect();
    let mut found = Found {
        start: Start::Damaged,
        last: hash,
        records: head.records,
        kid,
        lost_by: head.lost_by(),
        is_told: false,
        stream: Some(stream.clone()),
    };
    if present.len() == 1 && present.contains(&first) {
        found.start = Start::Joined;
        return found;
    }
    // Everything that descends from the register's record, and how many records there were up to it. Two workers may have continued
    // the same record; the branch that was begun last is gone on with.
    let mut descend: BTreeMap<Hash, u64> = BTreeMap::new();
    for name in present.into_iter().take(MAX_JOINED) {
        let Some(bytes) = fetch(name, places, deadline).await else { break };
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Some(parsed) = Line::parse(line) else { break };
            let this = sha256(line);
            if parsed.seq == head.seq && this == hash {
                found.start = Start::Joined;
                descend.insert(this, head.records);
            } else if let Some(before) = descend.get(&parsed.prev).copied() {
                found.records = before.saturating_add(1);
                descend.insert(this, found.records);
                (found.last, found.kid) = (this, parsed.next_key().map_or(parsed.kid, |(next, ..)| next));
                found.stream = StreamId::parse(parsed.stream);
                // What its worker feared to be lost was stored after all, if only in one place: `level` copies it to the others.
                let run = parsed.stream.rsplit('-').next().unwrap_or_default();
                if let Some(lost) = found.lost_by.get_mut(run) {
                    *lost = lost.saturating_sub(1);
                }
            }
        }
    }
    found
}

/// The bytes of an object from the first place that has it.
async fn fetch(name: &str, places: &[Listed], deadline: Deadline) -> Option<Vec<u8>> {
    for (store, names) in places {
        if names.as_ref().is_some_and(|names| names.contains(name))
            && let Ok(Some(object)) = store.get(name, MAX_OBJECT_BYTES, deadline).await
        {
            return Some(object.bytes);
        }
    }
    None
}

/// Copies what one place has behind the object `first` and another lacks. What a place lacks up to there was taken away, unless
/// the register declares it: that is for `verify` to tell, and not for a copy to hide.
async fn level(
    first: &str,
    declared: &BTreeMap<String, String>,
    places: &[Listed],
    sinks: &mut Sinks,
    deadline: Deadline,
) {
    let all = places.iter().filter_map(|(_, names)| names.as_ref());
    let present: BTreeSet<String> = all.flatten().filter(|name| name.as_str() > first).cloned().collect();
    for (store, names) in places {
        let place = store.place();
        let declared = declared.get(&place).cloned();
        let Some(names) = names else {
            // Whether it lacks something is not known; if there is something behind the head, it may.
            sinks.set_behind(&place, declared.or_else(|| present.first().cloned()));
            continue;
        };
        let mut lacks = None;
        for (copies, name) in present.difference(names).enumerate() {
            let copied = match fetch(name, places, deadline).await {
                Some(bytes) if copies < MAX_COPIES => put(&**store, name, &bytes, deadline).await.is_ok(),
                Some(_) | None => false,
            };
            if !copied {
                lacks = Some(name.clone());
                break;
            }
        }
        sinks.set_behind(&place, [declared, lacks].into_iter().flatten().min());
    }
}

/// Copies to a place what the register says that it lacks.
async fn catch_up(set: &str, head: &AuditHead, stores: &[Arc<dyn ObjectStore>], sinks: &mut Sinks, deadline: Deadline) {
    for (place, from) in &head.behind {
        let Some(lagging) = stores.iter().find(|store| store.place() == *place) else { continue };
        let Some(whole) = stores.iter().find(|store| !head.behind.contains_key(&store.place())) else { continue };
        match copy(set, from, &**whole, &**lagging, deadline).await {
            Ok(None) => sinks.set_behind(place, None),
            Ok(rest) => sinks.set_behind(place, rest),
            Err(error) => {
                tracing::warn!(place, kind = ?error.kind, "an audit sink lacks records and cannot be caught up yet");
            }
        }
    }
}

/// Returns the name to go on from, if it is not done.
async fn copy(
    set: &str,
    from: &str,
    whole: &dyn ObjectStore,
    lagging: &dyn ObjectStore,
    deadline: Deadline,
) -> PortResult<Option<String>> {
    let prefix = prefix_of(set);
    // Lists go on after a name; the object itself is looked at first.
    let mut next = Some(from.to_owned());
    let mut page: Vec<String> = vec![from.to_owned()];
    for _ in 0..MAX_COPIES {
        let Some(name) = page.first().cloned() else {
            let Some(after) = next.take() else { return Ok(None) };
            let listed = whole.list(&prefix, Some(&after), PAGE, deadline).await?;
            page = listed.objects.into_iter().map(|entry| entry.name).collect();
            next = listed.next;
            if page.is_empty() && next.is_none() {
                return Ok(None);
            }
            continue;
        };
        if deadline.left().is_zero() {
            return Ok(Some(name));
        }
        if let Some(object) = whole.get(&name, MAX_OBJECT_BYTES, deadline).await? {
            put(lagging, &name, &object.bytes, deadline).await?;
        }
        page.remove(0);
    }
    Ok(page.first().cloned().or(next))
}

/// The register names no record: either there is none, or the register was lost.
async fn from_the_end(set: &str, places: &[Listed], deadline: Deadline) -> PortResult<Found> {
    let found = Found {
        start: Start::Genesis,
        last: ZERO,
        records: 0,
        kid: UNSIGNED,
        lost_by: BTreeMap::new(),
        is_told: false,
        stream: None,
    };
    let all = places.iter().filter_map(|(_, names)| names.as_ref());
    let Some(last) = all.flatten().filter(|name| is_lines(name)).max() else { return Ok(found) };
    let bytes = fetch(last, places, deadline).await.unwrap_or_default();
    let line = bytes.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty());
    let Some((line, parsed)) = line.and_then(|line| Some((line, Line::parse(line)?))) else {
        let what = format!("continue the audit trail of {set}: the object {last} holds no records");
        return Err(PortError::refused(Kind::Malformed, what));
    };
    let kid = parsed.next_key().map_or(parsed.kid, |(next, ..)| next);
    let stream = StreamId::parse(parsed.stream);
    Ok(Found { start: Start::Continued, last: sha256(line), kid, stream, ..found })
}
