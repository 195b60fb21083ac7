//! A trail read back from a place, stream by stream in the order of its history.

use std::collections::{BTreeMap, VecDeque};

use dizzy_audit::{ObjectName, StreamId, line::Line, stream::LAYOUT, verify::MAX_OBJECT_BYTES};

use super::prefix_of;
use crate::port::{Deadline, Kind, ObjectStore, PAGE, PortError, PortResult};

/// Most objects of one stream: one per durable point of a run, of which there are some twenty.
pub const MAX_STREAM_OBJECTS: usize = 20_000;

/// Most sets that are looked for in one place.
const MAX_SETS: usize = 100_000;

/// What lies together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Group {
    /// The objects of a stream, in the order of their names.
    Stream(StreamId, Vec<String>),
    /// An object that is not part of a trail.
    Foreign(String),
}

/// The streams of a set in one place.
pub struct Streams<'a> {
    store: &'a dyn ObjectStore,
    prefix: String,
    after: Option<String>,
    names: VecDeque<String>,
    at_end: bool,
}

impl<'a> Streams<'a> {
    /// From the first stream on.
    #[must_use]
    pub fn new(store: &'a dyn ObjectStore, set: &str) -> Self {
        Self { store, prefix: prefix_of(set), after: None, names: VecDeque::new(), at_end: false }
    }

    /// From the first stream of this rotation on.
    #[must_use]
    pub fn since(store: &'a dyn ObjectStore, set: &str, rotation: u64) -> Self {
        let prefix = prefix_of(set);
        let after = Some(format!("{prefix}{rotation:010}"));
        Self { after, prefix, ..Self::new(store, set) }
    }

    /// The next stream, or object of others; `None` at the end.
    ///
    /// # Errors
    /// If the list cannot be read on.
    pub async fn next(&mut self, deadline: Deadline) -> PortResult<Option<Group>> {
        self.fill(deadline).await?;
        let Some(first) = self.names.pop_front() else { return Ok(None) };
        let Some(object) = ObjectName::parse(&first) else { return Ok(Some(Group::Foreign(first))) };
        let stream = object.stream().clone();
        let folder = stream.folder();
        let mut names = vec![first];
        loop {
            self.fill(deadline).await?;
            match self.names.pop_front_if(|name| name.starts_with(&folder)) {
                Some(name) if names.len() < MAX_STREAM_OBJECTS => names.push(name),
                Some(_) => {
                    let what = format!("read {folder}: it has more than {MAX_STREAM_OBJECTS} objects");
                    return Err(PortError::refused(Kind::Malformed, what));
                }
                None => return Ok(Some(Group::Stream(stream, names))),
            }
        }
    }

    async fn fill(&mut self, deadline: Deadline) -> PortResult<()> {
        while self.names.is_empty() && !self.at_end {
            let page = self.store.list(&self.prefix, self.after.as_deref(), PAGE, deadline).await?;
            self.names.extend(page.objects.into_iter().map(|entry| entry.name));
            self.at_end = page.next.is_none();
            self.after = page.next;
        }
        Ok(())
    }
}

/// The lines of a stream by their numbers, each once, without line feeds. Lines that are no records are left out.
///
/// # Errors
/// If an object cannot be read.
pub async fn lines(
    store: &dyn ObjectStore,
    names: &[String],
    deadline: impl Fn() -> Deadline,
) -> PortResult<Vec<Vec<u8>>> {
    let mut all = BTreeMap::new();
    let whole = names.iter().find(|name| matches!(ObjectName::parse(name), Some(ObjectName::Segment(_))));
    let parts = names.iter().filter(|name| matches!(ObjectName::parse(name), Some(ObjectName::Lines(..))));
    let wanted: Vec<&String> = whole.into_iter().chain(parts).collect();
    for (at, name) in wanted.into_iter().enumerate() {
        // What is folded is there twice; the objects are read only if the whole does not hold them.
        if at > 0
            && whole.is_some()
            && let Some(ObjectName::Lines(_, first)) = ObjectName::parse(name)
            && all.contains_key(&first)
        {
            continue;
        }
        let Some(object) = store.get(name, MAX_OBJECT_BYTES, deadline()).await? else { continue };
        for line in object.bytes.split(|byte| *byte == b'\n') {
            if let Some(parsed) = Line::parse(line) {
                all.entry(parsed.seq).or_insert_with(|| line.to_vec());
            }
        }
    }
    Ok(all.into_values().collect())
}

/// The names of the sets that have records in a place.
///
/// # Errors
/// If the place cannot be listed.
pub async fn sets(store: &dyn ObjectStore, deadline: impl Fn() -> Deadline) -> PortResult<Vec<String>> {
    let prefix = format!("{LAYOUT}/");
    let (mut sets, mut after) = (Vec::new(), None::<String>);
    while sets.len() < MAX_SETS {
        let page = store.list(&prefix, after.as_deref(), 1, deadline()).await?;
        let Some(first) = page.objects.first() else { break };
        let set = first.name.strip_prefix(&prefix).and_then(|name| name.split_once('/'));
        after = Some(match set {
            // The character after the slash: behind everything of this set.
            Some((set, _)) => {
                sets.push(set.to_owned());
                format!("{prefix}{set}0")
            }
            None => first.name.clone(),
        });
    }
    Ok(sets)
}
