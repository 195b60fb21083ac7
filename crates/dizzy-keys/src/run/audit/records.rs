//! Which records a command reads, and from where: stream by stream, in the order of the history.

use std::sync::Arc;

use dizzy_audit::read::Record;
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

/// Hands every wanted record of a set to `take`, from the first place that answers to its end. `after` is the last record that
/// was handed out before. Returns the last one now.
pub(super) async fn read(
    composer: &Composer,
    stores: &[Arc<dyn ObjectStore>],
    (set, wanted): (&str, &Wanted),
    after: Option<(String, u64)>,
    take: &mut impl FnMut(&[u8], Record) -> Result<(), Report>,
) -> Result<Option<(String, u64)>, Report> {
    let mut last = after;
    let mut failure = None;
    for store in stores {
        match read_one(composer, &**store, (set, wanted), &mut last, take).await {
            Ok(()) => return Ok(last),
            Err(Stop::Taker(report)) => return Err(report),
            // Another place goes on where this one stopped answering.
            Err(Stop::Place(error)) => {
                failure = Some(Report::of_port(Port::Audit, &store.place(), &error, NOTHING_DONE));
            }
        }
    }
    failure.map_or(Ok(last), Err)
}

enum Stop {
    Place(PortError),
    Taker(Report),
}

async fn read_one(
    composer: &Composer,
    store: &dyn ObjectStore,
    (set, wanted): (&str, &Wanted),
    last: &mut Option<(String, u64)>,
    take: &mut impl FnMut(&[u8], Record) -> Result<(), Report>,
) -> Result<(), Stop> {
    let deadline = || Deadline::after(composer.limits().call);
    // Everything of a stream is in one rotation's folder, and rotations only grow.
    let from = last.as_ref().and_then(|(stream, _)| dizzy_audit::StreamId::parse(stream)).map(|id| id.rotation);
    let mut streams = match wanted.rotation.or(from) {
        Some(rotation) => Streams::since(store, set, rotation),
        None => Streams::new(store, set),
    };
    while let Some(group) = streams.next(deadline()).await.map_err(Stop::Place)? {
        let Group::Stream(id, names) = group else { continue };
        if wanted.rotation.is_some_and(|rotation| id.rotation > rotation) {
            break;
        }
        let name = id.to_string();
        if last.as_ref().is_some_and(|(stream, _)| name < *stream) {
            continue;
        }
        for line in lines(store, &names, deadline).await.map_err(Stop::Place)? {
            let Some(record) = Record::parse(&line) else { continue };
            if last.as_ref().is_some_and(|(stream, seq)| name == *stream && record.seq <= *seq) {
                continue;
            }
            *last = Some((name.clone(), record.seq));
            if wanted.takes_at(&record) {
                take(&line, record).map_err(Stop::Taker)?;
            }
        }
    }
    Ok(())
}
