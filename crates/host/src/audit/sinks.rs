//! Objects to every place: in order for each place, side by side for all, and each place at its own pace.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    config::AuditRequire,
    port::{Certainty, Deadline, Kind, ObjectStore, PortError, PortResult},
};

/// An object that waits to be stored.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) name: String,
    pub(super) bytes: Arc<Vec<u8>>,
    /// Grows with every object of the trail.
    pub(super) number: u64,
}

/// How often an object is tried again whose write met another one or whose reply was lost.
const ATTEMPTS: usize = 3;

struct Sink {
    store: Arc<dyn ObjectStore>,
    backlog: VecDeque<Waiting>,
    /// Number of the last object that it has; everything before it, too.
    has: u64,
    /// Whether it is left alone until a record must be durable, or the run ends.
    rests: bool,
    /// From which object on it has not been told what the others have.
    behind: Option<String>,
}

/// Whether a place that did not answer is asked again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Patience {
    /// Every place is asked.
    All,
    /// A place that failed is left alone.
    Awake,
}

/// Every place of a trail.
pub(super) struct Sinks {
    sinks: Vec<Sink>,
    require: AuditRequire,
}

impl Sinks {
    pub(super) fn new(stores: &[Arc<dyn ObjectStore>], require: AuditRequire) -> Self {
        let sink = |store: &Arc<dyn ObjectStore>| Sink {
            store: Arc::clone(store),
            backlog: VecDeque::new(),
            has: 0,
            rests: false,
            behind: None,
        };
        Self { sinks: stores.iter().map(sink).collect(), require }
    }

    pub(super) fn stores(&self) -> Vec<Arc<dyn ObjectStore>> {
        self.sinks.iter().map(|sink| Arc::clone(&sink.store)).collect()
    }

    /// Gives an object to every place; nothing is sent yet.
    pub(super) fn push(&mut self, object: &Waiting) {
        for sink in &mut self.sinks {
            sink.backlog.push_back(object.clone());
        }
    }

    /// Notes from which name on a place lacks what another has.
    pub(super) fn set_behind(&mut self, place: &str, from: Option<String>) {
        for sink in self.sinks.iter_mut().filter(|sink| sink.store.place() == place) {
            sink.behind.clone_from(&from);
        }
    }

    /// Whether a place lacks something that was given to it.
    pub(super) fn lag(&self) -> bool {
        self.sinks.iter().any(|sink| !sink.backlog.is_empty() || sink.behind.is_some())
    }

    /// Places that lack objects, and from which name on. A place that nothing was sent to lacks the first that waits for it.
    pub(super) fn behind(&self, durable: u64) -> BTreeMap<String, String> {
        let each = self.sinks.iter().filter_map(|sink| {
            let waits = sink.backlog.front().filter(|first| first.number <= durable).map(|first| first.name.clone());
            let from = [sink.behind.clone(), waits].into_iter().flatten().min()?;
            Some((sink.store.place(), from))
        });
        each.collect()
    }

    /// Number of the last object that is durable: in any place, or in all.
    pub(super) fn durable(&self) -> u64 {
        let each = self.sinks.iter().map(|sink| sink.has);
        match self.require {
            AuditRequire::Any => each.max().unwrap_or_default(),
            AuditRequire::All => each.min().unwrap_or_default(),
        }
    }

    /// Sends what waits, to all places side by side.
    ///
    /// # Errors
    /// The first failure of a place, although others may have stored everything: ask [`durable`](Self::durable).
    pub(super) async fn flush(&mut self, patience: Patience, deadline: Deadline) -> PortResult<()> {
        let asked = self.sinks.iter_mut().filter(|sink| patience == Patience::All || !sink.rests);
        let mut result = Ok(());
        for outcome in crate::driver::side_by_side(asked.map(|sink| sink.drain(deadline))).await {
            result = result.and(outcome);
        }
        result
    }
}

impl Sink {
    async fn drain(&mut self, deadline: Deadline) -> PortResult<()> {
        while let Some(first) = self.backlog.front() {
            if let Err(error) = put(&*self.store, &first.name, &first.bytes, deadline).await {
                tracing::warn!(place = self.store.place(), kind = ?error.kind, code = error.code, "an audit sink does not answer; records are kept");
                self.rests = true;
                return Err(error);
            }
            self.has = first.number;
            self.backlog.pop_front();
        }
        self.rests = false;
        Ok(())
    }
}

/// Creates an object; one that is there with the same bytes counts as created, for a reply may have been lost.
pub(super) async fn put(store: &dyn ObjectStore, name: &str, bytes: &[u8], deadline: Deadline) -> PortResult<()> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let Err(error) = store.create(name, bytes, deadline).await else { return Ok(()) };
        let is_open = error.certainty == Certainty::Unknown || matches!(error.kind, Kind::Exists | Kind::Busy);
        if !is_open || deadline.left().is_zero() {
            return Err(error);
        }
        match store.get(name, bytes.len() + 1, deadline).await {
            Ok(Some(found)) if found.bytes == bytes => return Ok(()),
            Ok(Some(_)) => return Err(fork(name)),
            // Not there: it may still come, or never; writing it again is right either way.
            Ok(None) => last = Some(error),
            Err(read) if read.kind == Kind::Malformed => return Err(fork(name)),
            Err(_) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| PortError::refused(Kind::Busy, format!("store {name}"))))
}

fn fork(name: &str) -> PortError {
    PortError::refused(Kind::Exists, format!("store {name}: another record has its place"))
        .with_hint("somebody else writes into the trail: run `dizzy-keys audit verify`")
}
