//! Registers as objects: `<set>.json` below the journal's prefix, changed by the store's own conditional writes.
//!
//! A register's tag is the object's tag. Every register carries a nonce of the worker that wrote it, so nobody else writes the same
//! bytes: a write that meets a conflict and then finds its own bytes is the one that was thought to be lost, and counts as made. Safety never
//! rests on a read: a read that is old leads to a write whose condition does not hold.

use std::sync::Arc;

use async_trait::async_trait;
use serde::de::IgnoredAny;

use crate::{
    port::{Certainty, Deadline, Etag, Journal, Kind, ObjectStore, PortError, PortResult, Stored, Tag},
    register::MAX_BYTES,
};

/// Registers in a bucket.
#[derive(Clone)]
pub struct ObjectJournal {
    objects: Arc<dyn ObjectStore>,
}

impl ObjectJournal {
    /// The journal in this place.
    #[must_use]
    pub const fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects }
    }

    /// What a write that met a conflict has to say: whether the bytes that are there are its own.
    async fn after_conflict(
        &self,
        name: &str,
        bytes: &[u8],
        conflict: PortError,
        deadline: Deadline,
    ) -> PortResult<Tag> {
        match self.objects.get(name, MAX_BYTES, deadline).await {
            Ok(Some(object)) if object.bytes == bytes => Ok(Tag(object.etag.0)),
            Ok(_) => Err(PortError { kind: Kind::Conflict, ..conflict }),
            // An earlier request of this very write may have been what was in the way.
            Err(_) => Err(PortError { certainty: Certainty::Unknown, kind: Kind::Conflict, ..conflict }),
        }
    }
}

#[async_trait]
impl Journal for ObjectJournal {
    fn place(&self) -> String {
        self.objects.place()
    }

    async fn read(&self, set: &str, deadline: Deadline) -> PortResult<Option<Stored>> {
        let found = self.objects.get(&name(set), MAX_BYTES, deadline).await.map_err(no_bucket)?;
        let Some(object) = found else { return Ok(None) };
        if serde_json::from_slice::<IgnoredAny>(&object.bytes).is_err() {
            let what = format!("read the register {}/{}: it is damaged (no JSON document)", self.place(), name(set));
            let hint = "restore an earlier version of the object; do not delete it: databases and secrets belong to this \
                        register";
            return Err(PortError::refused(Kind::Malformed, what).with_hint(hint));
        }
        Ok(Some(Stored { bytes: object.bytes, tag: Tag(object.etag.0) }))
    }

    async fn write(&self, set: &str, expected: Option<&Tag>, bytes: &[u8], deadline: Deadline) -> PortResult<Tag> {
        let name = name(set);
        let written = match expected {
            None => self.objects.create(&name, bytes, deadline).await,
            Some(Tag(tag)) => self.objects.replace(&name, bytes, &Etag(tag.clone()), deadline).await,
        };
        match written {
            Ok(written) => Ok(Tag(written.etag.0)),
            Err(error)
                if error.certainty == Certainty::Refused && matches!(error.kind, Kind::Conflict | Kind::Exists) =>
            {
                self.after_conflict(&name, bytes, error, deadline).await
            }
            Err(error) => Err(no_bucket(error)),
        }
    }
}

fn name(set: &str) -> String {
    format!("{set}.json")
}

/// A bucket that is not there, or not for us, will not be there at the next try; it says nothing about the register.
fn no_bucket(error: PortError) -> PortError {
    if error.kind == Kind::NotFound { PortError { kind: Kind::Denied, ..error } } else { error }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::{
        memory::MemoryObjects,
        testkit::{
            Fault, Faults, Form,
            conformance::{self, JournalFixture},
        },
    };

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(5))
    }

    struct TwoHandles(Arc<MemoryObjects>);

    impl JournalFixture for TwoHandles {
        fn first(&self) -> Arc<dyn Journal> {
            Arc::new(ObjectJournal::new(Arc::<MemoryObjects>::clone(&self.0)))
        }

        fn second(&self) -> Arc<dyn Journal> {
            self.first()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_journal_of_objects_keeps_every_promise() {
        let report = conformance::journal(async || TwoHandles(Arc::default())).await;
        assert_eq!(report.into_result().unwrap().len(), 12);
    }

    fn world(faults: &Arc<Faults>) -> (Arc<MemoryObjects>, ObjectJournal) {
        let objects = Arc::<MemoryObjects>::default();
        let journal = ObjectJournal::new(faults.objects(Arc::<MemoryObjects>::clone(&objects)));
        (objects, journal)
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_was_thought_lost_is_found_when_it_is_made_again() {
        let faults = Faults::none();
        let (objects, journal) = world(&faults);
        let first = journal.write("orders", None, br#"{"nonce":1}"#, soon()).await.unwrap();
        for (number, form) in [Form::ReplyLost, Form::Delayed].into_iter().enumerate() {
            faults.add(Fault::nth_of("objects.replace:orders.json", number * 2, form));
        }
        let mut tag = first;
        for nonce in [2, 3] {
            let bytes = format!("{{\"nonce\":{nonce}}}").into_bytes();
            let lost = journal.write("orders", Some(&tag), &bytes, soon()).await.unwrap_err();
            assert_eq!(lost.certainty, Certainty::Unknown);
            faults.deliver().await;
            // A stale look in between does no harm: the second request finds the first one's bytes.
            objects.answer_old_once();
            assert_eq!(journal.read("orders", soon()).await.unwrap().unwrap().tag, tag);
            tag = journal.write("orders", Some(&tag), &bytes, soon()).await.unwrap();
            assert_eq!(journal.read("orders", soon()).await.unwrap().unwrap().tag, tag);
        }
        assert_eq!(faults.hits(), 2);
        let created = journal.write("other", None, br#"{"nonce":4}"#, soon()).await.unwrap();
        assert_eq!(journal.write("other", None, br#"{"nonce":4}"#, soon()).await.unwrap(), created);
        let theirs = journal.write("other", None, br#"{"nonce":5}"#, soon()).await.unwrap_err();
        assert_eq!((theirs.certainty, theirs.kind), (Certainty::Refused, Kind::Conflict));
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_that_cannot_be_looked_into_is_unknown() {
        let faults = Faults::none();
        let (objects, journal) = world(&faults);
        let tag = journal.write("orders", None, br#"{"nonce":1}"#, soon()).await.unwrap();
        objects.overwrite("orders.json", br#"{"nonce":9}"#);
        faults.add(Fault::every("objects.get:orders.json", Form::Refused));
        let error = journal.write("orders", Some(&tag), br#"{"nonce":2}"#, soon()).await.unwrap_err();
        assert_eq!((error.certainty, error.kind), (Certainty::Unknown, Kind::Conflict));
        assert_eq!(faults.hits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_register_and_what_is_no_bucket_are_told_apart_from_none() {
        let faults = Faults::none();
        let (objects, journal) = world(&faults);
        for damaged in [&b"{\"v\":1"[..], b"", b"\0\0", &vec![b' '; MAX_BYTES + 1]] {
            objects.overwrite("orders.json", damaged);
            assert_eq!(journal.read("orders", soon()).await.unwrap_err().kind, Kind::Malformed);
        }
        faults.add(Fault::every("objects.get:orders.json", Form::Refused).with_kind(Kind::NotFound));
        assert_eq!(journal.read("orders", soon()).await.unwrap_err().kind, Kind::Denied);
        assert_eq!(journal.read("other", soon()).await.unwrap(), None);
    }
}
