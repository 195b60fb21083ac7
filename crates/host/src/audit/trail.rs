//! The trail of one run: events in, signed records in every place out.
//!
//! Events are sealed in order and gathered into one object per durable point. [`Trail::require`] returns when the record is
//! durable; [`Trail::note`] never waits, and [`Trail::flush`] tries to store what was noted without failing.

use core::time::Duration;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use dizzy_audit::{Chain, Checkpoint, Facts, Kid, Outcome, RootKey, StreamId, UNSIGNED, record::kinds};
use dizzy_engine::Timestamp;
use tokio::sync::Mutex;

use super::{
    AuditEvent, AuditHead, TrailPlan, refused,
    sinks::{Patience, Sinks, Waiting, put},
    survey::{Found, Start, survey},
    written,
};
use crate::port::{Deadline, Kind, PortError, PortResult};

/// Most events that wait for a place that does not answer; a run has some hundred.
const MAX_WAITING: usize = 10_000;

/// How long a run that has begun waits for its trail, each time. An undo or a promotion that waited longer would keep
/// applications locked out; a place that has not answered by then is left alone until the end of the run.
const COURTESY: Duration = Duration::from_secs(2);

/// Most runs whose missing records the register counts apart: a schedule that fails every minute must not make it grow.
const MAX_MISSED_RUNS: usize = 16;

/// Stands for the runs beyond them. What is found of those later on is told as missing all the same.
const OTHERS: &str = "others";

/// Longest error code that a record takes; longer ones are no codes.
const MAX_CODE: usize = 64;

/// Longest other text of a record.
const MAX_TEXT: usize = dizzy_audit::record::MAX_TEXT_BYTES;

/// The trail of one run over one set.
pub struct Trail {
    plan: Arc<TrailPlan>,
    set: String,
    run: u32,
    events: std::sync::Mutex<Events>,
    writer: Mutex<Writer>,
}

#[derive(Default)]
struct Events {
    waiting: VecDeque<AuditEvent>,
    /// Events that there was no room for.
    dropped: u64,
    /// How many events were ever put into the queue, and how many have left it for a record.
    noted: u64,
    sealed: u64,
    /// The head that the register named when it was first read.
    head: Option<AuditHead>,
    /// Whether a person said that the key so far is lost.
    is_key_lost: bool,
}

struct Writer {
    sinks: Sinks,
    chain: Option<Chain>,
    /// What the survey found; the chain of the next stream continues it.
    begun: Option<Found>,
    /// Sealed records of the present stream that are in no object yet, and the number of the first.
    gathered: Vec<u8>,
    gathered_from: u64,
    /// Every record of the present stream, to be folded.
    stream: Vec<u8>,
    /// Objects that the present stream has.
    objects: usize,
    /// The heads of objects that are not known to be durable, by the object's number.
    heads: VecDeque<(u64, AuditHead)>,
    /// Number of the last object.
    number: u64,
    /// The last durable head.
    durable: Option<AuditHead>,
    /// Streams that ended, to be folded at the end of the run: all their lines, and a note.
    folds: Vec<(StreamId, Vec<u8>, Option<String>)>,
    /// Whether a survey failed since the last durable point that was required.
    rests: bool,
}

impl Trail {
    /// The trail of a run whose random number is `run`.
    #[must_use]
    pub fn new(plan: &Arc<TrailPlan>, set: &str, run: u32) -> Self {
        let writer = Writer {
            sinks: Sinks::new(&plan.sinks, plan.require),
            chain: None,
            begun: None,
            gathered: Vec::new(),
            gathered_from: 0,
            stream: Vec::new(),
            objects: 0,
            heads: VecDeque::new(),
            number: 0,
            durable: None,
            folds: Vec::new(),
            rests: false,
        };
        let (plan, set, events) = (Arc::clone(plan), set.to_owned(), std::sync::Mutex::default());
        Self { plan, set, run, events, writer: Mutex::new(writer) }
    }

    fn events(&self) -> std::sync::MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Remembers the head that the register names; the first one of a run counts.
    pub fn continue_from(&self, head: Option<&AuditHead>) {
        let mut events = self.events();
        if events.head.is_none() {
            events.head = head.cloned();
        }
    }

    /// The key that signed so far is lost: the next record continues the one that the register names, under the plan's key. What lies
    /// behind it can be checked by nobody any more, and stays beside the history.
    pub(super) fn declare_former_key_lost(&self) {
        self.events().is_key_lost = true;
    }

    /// Adds an event. Nothing is stored yet.
    pub fn note(&self, event: AuditEvent) {
        self.queue(event);
    }

    /// Adds an event, and tells its place in the queue of the whole run; `None` if there is no room.
    fn queue(&self, event: AuditEvent) -> Option<u64> {
        let mut events = self.events();
        if events.waiting.len() >= MAX_WAITING {
            events.dropped += 1;
            return None;
        }
        events.waiting.push_back(event);
        events.noted += 1;
        Some(events.noted)
    }

    /// Adds an event and makes it durable with everything before it.
    ///
    /// # Errors
    /// If it is not durable, or may not be. It is kept, and may be stored later: say what became of what it announced.
    pub async fn require(&self, event: AuditEvent, deadline: Deadline) -> PortResult<()> {
        let place = self.queue(event);
        // Whatever is announced at the same time goes into the same object.
        tokio::task::yield_now().await;
        let mut writer = self.writer.lock().await;
        let stored = self.store(&mut writer, Patience::All, deadline).await;
        // What others noted while this was stored waits for the next object, and says nothing about this event.
        let is_sealed = place.is_some_and(|place| self.events().sealed >= place);
        if is_sealed && writer.sinks.durable() >= writer.number {
            return Ok(());
        }
        stored.and_then(|()| Err(refused(Kind::Unreachable, "store an audit record: not enough places took it")))
    }

    /// Tries to make durable what was noted; returns soon either way.
    pub async fn flush(&self, deadline: Deadline) {
        let mut writer = self.writer.lock().await;
        // What could not be stored is kept, and counted by `missing`.
        drop(self.store(&mut writer, Patience::Awake, deadline.at_most(COURTESY)).await);
    }

    /// What the register is to remember: the last durable record, and what is missing. As it was, if nothing was stored.
    pub async fn head(&self) -> Option<AuditHead> {
        let missing = self.missing().await;
        let writer = self.writer.lock().await;
        let before = self.events().head.clone();
        let Some(mut head) = writer.durable.clone() else {
            // What earlier runs miss is what the survey did not find; what it did not look for, the register knows.
            let known = writer.begun.as_ref().map(|found| found.lost_by.clone());
            return before.map(|head| {
                let mut lost_by = known.unwrap_or_else(|| head.lost_by());
                self.misses(&mut lost_by, missing);
                head.missing(lost_by)
            });
        };
        let mut lost_by = BTreeMap::new();
        self.misses(&mut lost_by, missing);
        head = head.missing(lost_by);
        head.behind = writer.sinks.behind(writer.sinks.durable());
        Some(head)
    }

    /// Adds what this run misses to what others do.
    fn misses(&self, lost_by: &mut BTreeMap<String, u64>, missing: u64) {
        lost_by.retain(|_, count| *count > 0);
        if missing > 0 {
            let run = if lost_by.len() < MAX_MISSED_RUNS { format!("{:08x}", self.run) } else { OTHERS.to_owned() };
            let count = lost_by.entry(run).or_default();
            *count = count.saturating_add(missing);
        }
    }

    /// How many events are not durable.
    pub async fn missing(&self) -> u64 {
        let writer = self.writer.lock().await;
        let waiting = {
            let events = self.events();
            events.waiting.len() as u64 + events.dropped
        };
        let durable = writer.durable.as_ref().map_or(0, |head| head.records);
        let sealed = writer.chain.as_ref().map_or(0, Chain::records);
        let before = writer.begun.as_ref().map_or(0, |found| found.records);
        waiting + sealed.saturating_sub(durable.max(before))
    }

    /// The end of a run: stores what waits with all patience, and folds every stream that was written into one object.
    pub async fn finish(&self, deadline: Deadline) {
        let mut writer = self.writer.lock().await;
        writer.rests = false;
        let has_events = !self.events().waiting.is_empty();
        if has_events || writer.sinks.durable() < writer.number {
            drop(self.store(&mut writer, Patience::All, deadline).await);
        }
        self.end_stream(&mut writer);
        for (stream, lines, note) in core::mem::take(&mut writer.folds) {
            for store in writer.sinks.stores() {
                // A copy and a signature: nothing is lost without them, and `verify` says what is not there.
                let folded = put(&*store, &stream.segment(), &lines, deadline).await;
                let noted = match &note {
                    Some(note) => put(&*store, &stream.checkpoint(), note.as_bytes(), deadline).await,
                    None => Ok(()),
                };
                if let Err(error) = folded.and(noted) {
                    tracing::warn!(place = store.place(), kind = ?error.kind, "a stream of the audit trail was not folded");
                }
            }
        }
    }

    /// Hands over to another key: one record that both have signed. Durable when this returns.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn rotate_key(&self, event: AuditEvent, next: &RootKey, deadline: Deadline) -> PortResult<()> {
        let mut writer = self.writer.lock().await;
        self.begin(&mut writer, deadline).await?;
        self.enter(&mut writer, &event)?;
        self.hand_over(&mut writer, &event, next)?;
        self.gather(&mut writer);
        writer
            .sinks
            .flush(Patience::All, deadline)
            .await
            .or_else(|error| if writer.sinks.durable() >= writer.number { Ok(()) } else { Err(error) })?;
        settle(&mut writer);
        Ok(())
    }

    async fn store(&self, writer: &mut Writer, patience: Patience, deadline: Deadline) -> PortResult<()> {
        if patience == Patience::Awake && writer.rests {
            return Ok(());
        }
        let idle = self.events().waiting.is_empty();
        if idle && writer.sinks.durable() >= writer.number && writer.gathered.is_empty() {
            // A place that lags is told what it lacks with the next record, and at the end of the run.
            return Ok(());
        }
        let begun = self.begin(writer, deadline).await;
        writer.rests = begun.is_err();
        begun?;
        self.seal_all(writer)?;
        let flushed = writer.sinks.flush(patience, deadline).await;
        settle(writer);
        flushed
    }

    /// Looks at what is there, once.
    async fn begin(&self, writer: &mut Writer, deadline: Deadline) -> PortResult<()> {
        let key = self.plan.key()?;
        if writer.begun.is_some() {
            return Ok(());
        }
        let head = self.events().head.clone();
        let mut found = survey(&self.set, head.as_ref(), &mut writer.sinks, deadline).await?;
        if self.events().is_key_lost {
            if let Some((hash, head)) = head.as_ref().and_then(|head| Some((head.head().hash()?, head))) {
                (found.last, found.records) = (hash, head.records);
            }
            writer.begun = Some(found);
            return Ok(());
        }
        let configured = key.map_or(UNSIGNED, |key| key.root.kid());
        if found.kid != configured && found.kid != UNSIGNED {
            return Err(other_key(&self.set, found.kid, configured));
        }
        writer.begun = Some(found);
        Ok(())
    }

    fn seal_all(&self, writer: &mut Writer) -> PortResult<()> {
        loop {
            let Some(event) = self.events().waiting.front().cloned() else { break };
            self.enter(writer, &event)?;
            if event.kind == kinds::KEY_LOST {
                // Nothing that the new key signs may stand before it.
                self.seal(writer, &event)?;
                self.introduce(writer, &event)?;
            } else {
                self.introduce(writer, &event)?;
                self.seal(writer, &event)?;
            }
            let mut events = self.events();
            events.waiting.pop_front();
            events.sealed += 1;
        }
        self.gather(writer);
        Ok(())
    }

    /// Makes sure that the chain is that of the stream to which an event belongs.
    ///
    /// A stream never stands before the one that it continues, whatever register its worker has read: a listing is read once, from
    /// its beginning. A worker that was overtaken says so in its own stream: rotation and epoch of that event are its successor's.
    fn enter(&self, writer: &mut Writer, event: &AuditEvent) -> PortResult<()> {
        if event.kind == kinds::FENCED && writer.chain.is_some() {
            return Ok(());
        }
        let stream = StreamId { set: self.set.clone(), rotation: event.rotation, epoch: event.epoch, run: self.run };
        let before = match (&writer.chain, &writer.begun) {
            (Some(chain), _) => Some(chain.stream()),
            (None, begun) => begun.as_ref().and_then(|found| found.stream.as_ref()),
        };
        let stream = before.map_or(stream.clone(), |before| stream.not_before(before));
        if writer.chain.as_ref().is_some_and(|chain| *chain.stream() == stream) {
            return Ok(());
        }
        self.gather(writer);
        self.end_stream(writer);
        let found = writer.begun.as_ref().ok_or_else(|| refused(Kind::Other, "write to a trail that has not begun"))?;
        let (last, records) = match &writer.chain {
            Some(chain) => (chain.last(), chain.records()),
            None => (found.last, found.records),
        };
        // A trail that was unsigned until here goes on unsigned until the record that hands over.
        let is_unsigned = writer.chain.is_none() && found.start != Start::Genesis && found.kid == UNSIGNED;
        let key = self.plan.key()?.filter(|_| !is_unsigned).map(|key| &key.root);
        writer.chain = Some(Chain::begin(stream, last, records, key));
        Ok(())
    }

    /// The first records of a run: what was found, and that a key signs from here on.
    fn introduce(&self, writer: &mut Writer, event: &AuditEvent) -> PortResult<()> {
        let is_first = event.kind == kinds::KEY_LOST || writer.chain.as_ref().is_some_and(|chain| chain.next() == 0);
        let Some(found) = writer.begun.as_mut().filter(|_| is_first) else { return Ok(()) };
        let start = core::mem::replace(&mut found.start, Start::Joined);
        // They stay with what was found: if this record does not become durable, the register goes on missing them.
        let is_told = core::mem::replace(&mut found.is_told, true);
        let lost =
            if is_told { 0 } else { found.lost_by.values().fold(0_u64, |all, count| all.saturating_add(*count)) };
        let fresh = |kind, outcome| AuditEvent::new(event.time, kind, outcome, event.rotation, event.epoch);
        if let Some(key) = self.plan.key()?
            && writer.chain.as_ref().is_some_and(|chain| chain.kid() == UNSIGNED)
        {
            self.hand_over(writer, &fresh(kinds::KEY_ROTATED, Outcome::Ok), &key.root)?;
        }
        match start {
            Start::Genesis | Start::Joined => {}
            Start::Continued => self.seal(writer, &fresh(kinds::CONTINUED, Outcome::Ok))?,
            Start::Damaged => self.seal(writer, &fresh(kinds::DAMAGED, Outcome::Fail))?,
        }
        if lost > 0 {
            self.seal(writer, &AuditEvent { lost: Some(lost), ..fresh(kinds::GAP, Outcome::Unknown) })?;
        }
        Ok(())
    }

    fn seal(&self, writer: &mut Writer, event: &AuditEvent) -> PortResult<()> {
        self.sealed(writer, event, None)
    }

    fn hand_over(&self, writer: &mut Writer, event: &AuditEvent, next: &RootKey) -> PortResult<()> {
        self.sealed(writer, event, Some(next))
    }

    fn sealed(&self, writer: &mut Writer, event: &AuditEvent, next: Option<&RootKey>) -> PortResult<()> {
        let time =
            written(event.time).ok_or_else(|| refused(Kind::Other, "date an audit record: the clock shows no date"))?;
        let key_version = self.plan.key()?.and_then(|key| key.version.as_deref());
        let facts = Facts {
            generation: event.generation,
            base: event.base,
            target: event.target.as_deref().map(|text| short(text, MAX_TEXT)),
            version_id: event.version_id.as_deref().map(|text| short(text, MAX_TEXT)),
            code: event.code.as_deref().map(|text| short(text, MAX_CODE)),
            ms: event.ms,
            actor: Some(short(&self.plan.actor, MAX_TEXT)),
            image: self.plan.image.as_deref().map(|text| short(text, MAX_TEXT)),
            program: Some(self.plan.program),
            key_version: key_version.map(|text| short(text, MAX_CODE)),
            lost: event.lost,
            ..Facts::new(event.kind, event.outcome, &self.set, event.epoch)
        };
        let chain = writer.chain.as_mut().ok_or_else(|| refused(Kind::Other, "write to a trail that has not begun"))?;
        let sealed = match next {
            Some(next) => chain.rotate_key(&time, &facts, next),
            None => chain.append(&time, &facts),
        };
        let sealed = sealed.map_err(|error| refused(Kind::Malformed, format!("write an audit record: {error}")))?;
        if writer.gathered.is_empty() {
            writer.gathered_from = sealed.seq;
        }
        writer.gathered.extend_from_slice(&sealed.line);
        writer.stream.extend_from_slice(&sealed.line);
        Ok(())
    }

    /// Makes an object of what was sealed.
    fn gather(&self, writer: &mut Writer) {
        let Some(chain) = writer.chain.as_ref().filter(|_| !writer.gathered.is_empty()) else { return };
        let Some(head) = chain.head() else { return };
        writer.number += 1;
        let bytes = Arc::new(core::mem::take(&mut writer.gathered));
        let name = chain.stream().lines(writer.gathered_from);
        let head = AuditHead {
            stream: head.stream,
            seq: head.seq,
            object: writer.gathered_from,
            hash: head.hash,
            kid: head.kid,
            records: head.records,
            time: last_time(&bytes).unwrap_or_default(),
            lost: 0,
            lost_by: BTreeMap::new(),
            behind: BTreeMap::new(),
        };
        writer.heads.push_back((writer.number, head));
        writer.objects += 1;
        writer.sinks.push(&Waiting { name, bytes, number: writer.number });
    }

    /// Keeps a stream that ends, to be folded.
    fn end_stream(&self, writer: &mut Writer) {
        let lines = core::mem::take(&mut writer.stream);
        let objects = core::mem::take(&mut writer.objects);
        let Some(chain) = writer.chain.as_ref().filter(|_| !lines.is_empty()) else { return };
        let note = match (&self.plan.notes, chain.head()) {
            (Ok(Some(key)), Some(head)) => Checkpoint::of(&self.set, &head).map(|note| note.sign(key)),
            _ => None,
        };
        // A place that lacks this stream must get it before the segment of the next one.
        if objects > 1 || note.is_some() || writer.sinks.lag() {
            writer.folds.push((chain.stream().clone(), lines, note));
        }
    }
}

/// Notes which objects have become durable.
fn settle(writer: &mut Writer) {
    let durable = writer.sinks.durable();
    while let Some((number, head)) = writer.heads.front() {
        if *number > durable {
            break;
        }
        writer.durable = Some(head.clone());
        writer.heads.pop_front();
    }
}

/// When the last of these lines was made; milliseconds since 1970.
pub(super) fn last_time(lines: &[u8]) -> Option<i64> {
    let line = lines.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty())?;
    let time = dizzy_audit::line::Line::parse(line)?.time;
    let time: jiff::Timestamp = time.parse().ok()?;
    Some(Timestamp(time.as_millisecond()).0)
}

/// The beginning of a text, as long as a record takes it, without control characters.
fn short(text: &str, most: usize) -> &str {
    let end = text.char_indices().find(|(at, c)| at + c.len_utf8() > most || c.is_control());
    end.and_then(|(at, _)| text.get(..at)).unwrap_or(text)
}

fn other_key(set: &str, in_force: Kid, configured: Kid) -> PortError {
    let hint =
        format!("hand over with `dizzy-keys audit key rotate {set}`, or put the former key back into `audit.key`");
    let what = if configured == UNSIGNED {
        format!(
            "sign the audit trail of {set}: it is signed with the key {in_force}, and `audit.key` is not configured"
        )
    } else {
        format!("sign the audit trail of {set}: it is signed with the key {in_force}, and `audit.key` is {configured}")
    };
    refused(Kind::Denied, what).with_hint(hint).with_code("audit-key")
}
