//! Objects in memory, with every version that there was; what a store may do at its worst is done on request.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;

use super::{in_time, locked};
use crate::port::{
    Deadline, Etag, Kind, Object, ObjectEntry, ObjectPage, ObjectStore, ObjectVersion, PAGE, PortError, PortResult,
    VersionKind, VersionMark, VersionPage, Versions, Written, check_name,
};

/// Objects with all their versions. Tags and version ids are counters, so that no two states share one.
#[derive(Debug)]
pub struct MemoryObjects {
    place: String,
    objects: Mutex<BTreeMap<String, Vec<State>>>,
    count: AtomicU64,
    old_read_next: AtomicBool,
}

/// One version; the last of a name is the latest.
#[derive(Clone, Debug)]
struct State {
    number: u64,
    /// `None`: a delete marker.
    bytes: Option<Vec<u8>>,
}

impl Default for MemoryObjects {
    fn default() -> Self {
        Self::new("memory")
    }
}

impl MemoryObjects {
    /// An empty bucket of this name.
    #[must_use]
    pub fn new(place: &str) -> Self {
        Self {
            place: place.to_owned(),
            objects: Mutex::default(),
            count: AtomicU64::default(),
            old_read_next: AtomicBool::default(),
        }
    }

    /// Writes past every condition, as somebody else with access to the bucket may.
    pub fn overwrite(&self, name: &str, bytes: &[u8]) {
        self.push(&mut locked(&self.objects), name, Some(bytes));
    }

    /// Deletes an object as a bucket with versions does: a marker is put on top.
    pub fn delete(&self, name: &str) {
        self.push(&mut locked(&self.objects), name, None);
    }

    /// Removes an object with all its versions, as an administrator may.
    pub fn wipe(&self, name: &str) {
        locked(&self.objects).remove(name);
    }

    /// The next read sees the object as it was before its last write.
    pub fn answer_old_once(&self) {
        self.old_read_next.store(true, Ordering::SeqCst);
    }

    /// The names of all objects that can be read.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let objects = locked(&self.objects);
        objects.iter().filter(|(_, states)| latest(states).is_some()).map(|(name, _)| name.clone()).collect()
    }

    fn push(&self, objects: &mut BTreeMap<String, Vec<State>>, name: &str, bytes: Option<&[u8]>) -> Written {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        let state = State { number, bytes: bytes.map(<[u8]>::to_vec) };
        let written = Written { etag: state.etag(), version: Some(state.version()) };
        objects.entry(name.to_owned()).or_default().push(state);
        written
    }
}

impl State {
    fn etag(&self) -> Etag {
        Etag(format!("\"{}\"", self.number))
    }

    fn version(&self) -> String {
        format!("v{}", self.number)
    }

    fn object(&self) -> Option<Object> {
        let bytes = self.bytes.clone()?;
        Some(Object { bytes, etag: self.etag(), version: Some(self.version()), retained_until: None })
    }
}

#[async_trait]
impl ObjectStore for MemoryObjects {
    fn place(&self) -> String {
        self.place.clone()
    }

    async fn get(&self, name: &str, limit: usize, deadline: Deadline) -> PortResult<Option<Object>> {
        begin(name, deadline, "read an object")?;
        let objects = locked(&self.objects);
        let states = objects.get(name).map(Vec::as_slice).unwrap_or_default();
        let seen = if self.old_read_next.swap(false, Ordering::SeqCst) {
            states.get(..states.len().saturating_sub(1)).unwrap_or_default()
        } else {
            states
        };
        within(limit, latest(seen).and_then(State::object))
    }

    async fn get_version(
        &self,
        name: &str,
        version: &str,
        limit: usize,
        deadline: Deadline,
    ) -> PortResult<Option<Object>> {
        begin(name, deadline, "read a version of an object")?;
        let objects = locked(&self.objects);
        let mut states = objects.get(name).map(Vec::as_slice).unwrap_or_default().iter();
        within(limit, states.find(|state| state.version() == version).and_then(State::object))
    }

    async fn create(&self, name: &str, bytes: &[u8], deadline: Deadline) -> PortResult<Written> {
        begin(name, deadline, "create an object")?;
        let mut objects = locked(&self.objects);
        if objects.get(name).is_some_and(|states| latest(states).is_some()) {
            return Err(PortError::refused(Kind::Exists, format!("create {name}: it exists")));
        }
        Ok(self.push(&mut objects, name, Some(bytes)))
    }

    async fn replace(&self, name: &str, bytes: &[u8], expected: &Etag, deadline: Deadline) -> PortResult<Written> {
        begin(name, deadline, "replace an object")?;
        let mut objects = locked(&self.objects);
        let found = objects.get(name).and_then(|states| latest(states)).map(State::etag);
        if found.as_ref() != Some(expected) {
            return Err(PortError::refused(Kind::Conflict, format!("replace {name}: it has changed meanwhile")));
        }
        Ok(self.push(&mut objects, name, Some(bytes)))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, most: usize, deadline: Deadline) -> PortResult<ObjectPage> {
        in_time(deadline, "list objects")?;
        let most = most.clamp(1, PAGE);
        let objects = locked(&self.objects);
        let fits = |name: &str| name.starts_with(prefix) && after.is_none_or(|after| name > after);
        let mut entries: Vec<ObjectEntry> = objects
            .iter()
            .filter(|(name, _)| fits(name))
            .filter_map(|(name, states)| {
                let state = latest(states)?;
                let size = state.bytes.as_ref().map(|bytes| bytes.len() as u64);
                Some(ObjectEntry { name: name.clone(), etag: Some(state.etag()), size })
            })
            .take(most + 1)
            .collect();
        let more = entries.len() > most;
        entries.truncate(most);
        let next = entries.last().filter(|_| more).map(|entry| entry.name.clone());
        Ok(ObjectPage { objects: entries, next })
    }

    async fn versions(
        &self,
        prefix: &str,
        after: Option<&VersionMark>,
        most: usize,
        deadline: Deadline,
    ) -> PortResult<Versions> {
        in_time(deadline, "list versions")?;
        let most = most.clamp(1, PAGE);
        let objects = locked(&self.objects);
        let all = objects.iter().filter(|(name, _)| name.starts_with(prefix)).flat_map(|(name, states)| {
            states.iter().rev().enumerate().map(move |(at, state)| ObjectVersion {
                name: name.clone(),
                version: state.version(),
                kind: if state.bytes.is_some() { VersionKind::Content } else { VersionKind::DeleteMarker },
                is_latest: at == 0,
                etag: state.bytes.as_ref().map(|_| state.etag()),
                size: state.bytes.as_ref().map(|bytes| bytes.len() as u64),
                modified: None,
            })
        });
        let all: Vec<ObjectVersion> = all.collect();
        let from = after.map_or(0, |mark| {
            let seen = |entry: &ObjectVersion| match &mark.version {
                Some(version) => entry.name == mark.name && entry.version == *version,
                None => entry.name <= mark.name,
            };
            all.iter().rposition(seen).map_or(0, |at| at + 1)
        });
        let rest = all.get(from..).unwrap_or_default();
        let versions: Vec<ObjectVersion> = rest.iter().take(most).cloned().collect();
        let last = versions.last().filter(|_| rest.len() > versions.len());
        let next = last.map(|last| VersionMark { name: last.name.clone(), version: Some(last.version.clone()) });
        Ok(Versions::Page(VersionPage { versions, next }))
    }
}

fn begin(name: &str, deadline: Deadline, what: &str) -> PortResult<()> {
    check_name(name)?;
    in_time(deadline, what)
}

/// The state that can be read, unless it is a delete marker.
fn latest(states: &[State]) -> Option<&State> {
    states.last().filter(|state| state.bytes.is_some())
}

fn within(limit: usize, object: Option<Object>) -> PortResult<Option<Object>> {
    if object.as_ref().is_some_and(|object| object.bytes.len() > limit) {
        return Err(PortError::refused(Kind::Malformed, "read an object: it is longer than expected"));
    }
    Ok(object)
}
