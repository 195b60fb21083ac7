//! Which records a command reads, and from where: stream by stream, in the order of the history.

use core::time::Duration;
use std::{collections::BTreeMap, sync::Arc};

use dizzy_audit::{StreamId, read::Record};
use dizzy_host::{
    audit::{Group, Streams, lines},
    port::{Deadline, ObjectStore, PortError},
};

use super::{moment, place};
use crate::{
    args::Records,
    code::Port,
    compose::Composer,
    report::{NOTHING_DONE, Report},
};

/// Which records are wanted.
pub(super) struct Wanted {
    since: Option<String>,
    until: Option<String>,
    rotation: Option<u64>,
}

impl Wanted {
    pub(super) fn of(args: &Records, composer: &Composer) -> Result<Self, Report> {
        let now = composer.clock().now();
        let when = |text: &Option<String>| text.as_deref().map(|text| moment(text, now)).transpose();
        Ok(Self { since: when(&args.since)?, until: when(&args.until)?, rotation: args.rotation })
    }

    /// Times are compared as texts: records have them all in one form.
    pub(super) fn takes_at(&self, record: &Record) -> bool {
        self.since.as_ref().is_none_or(|since| record.time >= *since)
            && self.until.as_ref().is_none_or(|until| record.time < *until)
    }
}

/// Where to read.
pub(super) fn stores(args: &Records, composer: &Composer) -> Result<Vec<Arc<dyn ObjectStore>>, Report> {
    match &args.from {
        Some(text) => Ok(vec![composer.objects(&place(text)?)?]),
        None => composer.sinks(),
    }
}

/// How many streams are looked at again for records that were added: those of the last rotations. A worker that was overtaken writes into
/// a stream that others have passed; the verifier expects it as far back.
const REMEMBERED: usize = 64;

/// What was handed out of a set so far.
#[derive(Default)]
pub(super) struct Seen {
    /// The last streams by name.
    streams: BTreeMap<String, Stream>,
    /// Streams up to this name are not looked at any more.
    done: Option<String>,
}

#[derive(Clone, Copy)]
struct Stream {
    /// Lowest number that its next record can have.
    next: u64,
    /// How many objects it had when it was read to its end.
    objects: usize,
}

impl Seen {
    /// The rotation from which on there may be something new.
    fn rotation(&self) -> Option<u64> {
        StreamId::parse(self.done.as_ref()?).map(|id| id.rotation)
    }

    /// From which number on the records of a stream with so many objects are new; `None` if there are none.
    fn next(&self, name: &str, objects: usize) -> Option<u64> {
        if self.done.as_deref().is_some_and(|done| name <= done) {
            return None;
        }
        match self.streams.get(name) {
            Some(stream) => (stream.objects != objects).then_some(stream.next),
            None => Some(0),
        }
    }

    fn note(&mut self, name: &str, stream: Stream) {
        self.streams.insert(name.to_owned(), stream);
        while self.streams.len() > REMEMBERED {
            self.done = self.streams.pop_first().map(|(name, _)| name);
        }
    }
}

/// Hands every wanted record of a set that was not seen to `take`, from the first place that answers to its end.
pub(super) async fn read(
    composer: &Composer,
    stores: &[Arc<dyn ObjectStore>],
    asked: (&str, &Wanted),
    seen: &mut Seen,
    take: &mut impl FnMut(&[u8], Record) -> Result<(), Report>,
) -> Result<(), Report> {
    let mut failure = None;
    for store in stores {
        match read_one(composer.limits().call, &**store, asked, seen, take).await {
            Ok(()) => return Ok(()),
            Err(Stop::Taker(report)) => return Err(report),
            // Another place goes on where this one stopped answering.
            Err(Stop::Place(error)) => {
                failure = Some(Report::of_port(Port::Audit, &store.place(), &error, NOTHING_DONE));
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

enum Stop {
    Place(PortError),
    Taker(Report),
}

async fn read_one(
    call: Duration,
    store: &dyn ObjectStore,
    (set, wanted): (&str, &Wanted),
    seen: &mut Seen,
    take: &mut impl FnMut(&[u8], Record) -> Result<(), Report>,
) -> Result<(), Stop> {
    let deadline = || Deadline::after(call);
    // Everything of a stream is in one rotation's folder, and rotations only grow.
    let mut streams = match wanted.rotation.or(seen.rotation()) {
        Some(rotation) => Streams::since(store, set, rotation),
        None => Streams::new(store, set),
    };
    while let Some(group) = streams.next(deadline()).await.map_err(Stop::Place)? {
        let Group::Stream(id, names) = group else { continue };
        if wanted.rotation.is_some_and(|rotation| id.rotation > rotation) {
            break;
        }
        let name = id.to_string();
        let Some(mut next) = seen.next(&name, names.len()) else { continue };
        for line in lines(store, &names, deadline).await.map_err(Stop::Place)? {
            let Some(record) = Record::parse(&line).filter(|record| record.seq >= next) else { continue };
            next = record.seq + 1;
            // Handed out once, also if the place stops answering before its end.
            seen.note(&name, Stream { next, objects: 0 });
            if wanted.takes_at(&record) {
                take(&line, record).map_err(Stop::Taker)?;
            }
        }
        seen.note(&name, Stream { next, objects: names.len() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dizzy_audit::{Chain, Facts, Outcome, ZERO};
    use dizzy_host::memory::MemoryObjects;

    use super::*;

    const EVERYTHING: Wanted = Wanted { since: None, until: None, rotation: None };

    fn chain(rotation: u64) -> Chain {
        Chain::begin(StreamId { set: "orders".to_owned(), rotation, epoch: rotation, run: 7 }, ZERO, 0, None)
    }

    async fn append(store: &MemoryObjects, chain: &mut Chain) {
        let facts = Facts::new("apply.done", Outcome::Ok, "orders", 1);
        let sealed = chain.append("2026-01-01T00:00:00.000Z", &facts).unwrap();
        let deadline = Deadline::after(Duration::from_secs(5));
        store.create(&chain.stream().lines(sealed.seq), &sealed.line, deadline).await.unwrap();
    }

    /// Rotation and number of every record that a look hands out.
    async fn look(store: &MemoryObjects, seen: &mut Seen) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        let mut take = |_: &[u8], record: Record| {
            found.push((StreamId::parse(&record.stream).unwrap().rotation, record.seq));
            Ok(())
        };
        let asked = ("orders", &EVERYTHING);
        assert!(read_one(Duration::from_secs(5), store, asked, seen, &mut take).await.is_ok());
        found
    }

    #[tokio::test]
    async fn a_look_shows_what_was_added_to_older_streams_too_and_nothing_twice() {
        let (store, mut seen) = (MemoryObjects::default(), Seen::default());
        let (mut old, mut new) = (chain(1), chain(2));
        append(&store, &mut old).await;
        append(&store, &mut new).await;
        assert_eq!(look(&store, &mut seen).await, [(1, 0), (2, 0)]);
        assert_eq!(look(&store, &mut seen).await, []);
        // A worker that was overtaken wakes up.
        append(&store, &mut old).await;
        assert_eq!(look(&store, &mut seen).await, [(1, 1)]);
        append(&store, &mut new).await;
        append(&store, &mut old).await;
        append(&store, &mut chain(3)).await;
        assert_eq!(look(&store, &mut seen).await, [(1, 2), (2, 1), (3, 0)]);
        assert_eq!(look(&store, &mut seen).await, []);
    }

    #[tokio::test]
    async fn what_is_remembered_does_not_grow_with_the_trail() {
        let (store, mut seen) = (MemoryObjects::default(), Seen::default());
        let last = REMEMBERED as u64 + 10;
        for rotation in 1..=last {
            append(&store, &mut chain(rotation)).await;
        }
        assert_eq!(look(&store, &mut seen).await.len(), REMEMBERED + 10);
        assert_eq!((seen.streams.len(), seen.rotation()), (REMEMBERED, Some(10)));
        assert_eq!(look(&store, &mut seen).await, []);
        append(&store, &mut chain(last + 1)).await;
        assert_eq!(look(&store, &mut seen).await, [(last + 1, 0)]);
    }
}
