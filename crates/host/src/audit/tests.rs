//! The trail's promises with places that go away: what is required, what is missed, and how a schedule shows that it is alive.

use core::time::Duration;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use dizzy_audit::verify::{Class, Keys, Kind as Finding};

use super::*;
use crate::{
    memory::{ManualClock, MemoryJournal, MemoryObjects, SeededRandomness},
    port::{Clock as _, Deadline, Etag, Journal as _, Kind, Object, ObjectPage, VersionMark, Versions, Written},
    register::Document,
};

const CALL: Duration = Duration::from_secs(5);
const SET: &str = "orders";

/// What a place does that is not quite there.
const ANSWERS: u8 = 0;
const REFUSES: u8 = 1;
const LOSES_REPLIES: u8 = 2;

/// A place in memory that may refuse writes, or store them and lose the reply.
struct Place {
    inner: MemoryObjects,
    mood: AtomicU8,
}

impl Place {
    fn new(name: &str) -> Arc<Self> {
        Arc::new(Self { inner: MemoryObjects::new(name), mood: AtomicU8::new(ANSWERS) })
    }

    fn is(&self, mood: u8) {
        self.mood.store(mood, Ordering::SeqCst);
    }
}

#[async_trait]
impl ObjectStore for Place {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn get(&self, name: &str, limit: usize, deadline: Deadline) -> PortResult<Option<Object>> {
        match self.mood.load(Ordering::SeqCst) {
            LOSES_REPLIES => Err(PortError::refused(Kind::Unreachable, "read: away")),
            _ => self.inner.get(name, limit, deadline).await,
        }
    }

    async fn get_version(
        &self,
        name: &str,
        version: &str,
        limit: usize,
        deadline: Deadline,
    ) -> PortResult<Option<Object>> {
        self.inner.get_version(name, version, limit, deadline).await
    }

    async fn create(&self, name: &str, bytes: &[u8], deadline: Deadline) -> PortResult<Written> {
        match self.mood.load(Ordering::SeqCst) {
            REFUSES => Err(PortError::refused(Kind::Unreachable, "create: away")),
            LOSES_REPLIES => {
                self.inner.create(name, bytes, deadline).await?;
                Err(PortError::unknown(Kind::Unreachable, "create: the reply is lost"))
            }
            _ => self.inner.create(name, bytes, deadline).await,
        }
    }

    async fn replace(&self, name: &str, bytes: &[u8], expected: &Etag, deadline: Deadline) -> PortResult<Written> {
        self.inner.replace(name, bytes, expected, deadline).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, most: usize, deadline: Deadline) -> PortResult<ObjectPage> {
        self.inner.list(prefix, after, most, deadline).await
    }

    async fn versions(
        &self,
        prefix: &str,
        after: Option<&VersionMark>,
        most: usize,
        deadline: Deadline,
    ) -> PortResult<Versions> {
        self.inner.versions(prefix, after, most, deadline).await
    }
}

fn plan(places: &[&Arc<Place>], require: AuditRequire) -> Arc<TrailPlan> {
    let sinks = places.iter().map(|place| Arc::clone(place) as Arc<dyn ObjectStore>).collect();
    Arc::new(TrailPlan { require, ..TrailPlan::unsigned(sinks, "host/1") })
}

fn event(kind: &'static str, epoch: u64) -> AuditEvent {
    AuditEvent::new(Timestamp(1_767_225_600_000), kind, Outcome::Ok, 1, epoch)
}

fn soon() -> Deadline {
    Deadline::after(CALL)
}

/// A run that requires one record; what it was told, and what the register remembers afterwards.
async fn run(plan: &Arc<TrailPlan>, head: Option<&AuditHead>, number: u32) -> (PortResult<()>, Option<AuditHead>) {
    let trail = Trail::new(plan, SET, number);
    trail.continue_from(head);
    let required = trail.require(event("apply.begin", u64::from(number)), soon()).await;
    let head = trail.head().await;
    trail.finish(soon()).await;
    (required, head)
}

/// What a verification finds with this register, without what every trail without a key is told.
async fn found(places: &[&Arc<Place>], head: &AuditHead) -> Vec<Finding> {
    let sources: Vec<Source> =
        places.iter().map(|place| Source { store: Arc::clone(place) as Arc<dyn ObjectStore> }).collect();
    let known = Known { head: Some(head.head()), registered: true, register: Some(head.clone()), ..Known::default() };
    let verification = verify_set(&Keys::default(), SET, &sources, &known, CALL).await;
    verification.findings.counts.into_keys().filter(|kind| *kind != Finding::Unsigned).collect()
}

#[tokio::test]
async fn what_is_required_is_durable_when_it_is_said_to_be() {
    for (require, moods, is_durable) in [
        (AuditRequire::Any, [ANSWERS, ANSWERS], true),
        (AuditRequire::Any, [ANSWERS, REFUSES], true),
        (AuditRequire::Any, [REFUSES, ANSWERS], true),
        (AuditRequire::Any, [REFUSES, REFUSES], false),
        (AuditRequire::Any, [LOSES_REPLIES, REFUSES], false),
        (AuditRequire::All, [ANSWERS, ANSWERS], true),
        (AuditRequire::All, [ANSWERS, REFUSES], false),
        (AuditRequire::All, [REFUSES, ANSWERS], false),
        (AuditRequire::All, [ANSWERS, LOSES_REPLIES], false),
    ] {
        let (one, two) = (Place::new("one"), Place::new("two"));
        let places = [&one, &two];
        places.iter().zip(moods).for_each(|(place, mood)| place.is(mood));
        let trail = Trail::new(&plan(&places, require), SET, 1);
        trail.note(event("login.checked", 1));
        let required = trail.require(event("apply.begin", 1), soon()).await;
        assert_eq!(required.is_ok(), is_durable, "{require:?} {moods:?}: {required:?}");
        assert_eq!(trail.missing().await, if is_durable { 0 } else { 2 }, "{require:?} {moods:?}");
        // It is kept, and stored when the places are back, once.
        places.iter().for_each(|place| place.is(ANSWERS));
        trail.finish(soon()).await;
        assert_eq!((trail.missing().await, trail.head().await.unwrap().records), (0, 2), "{require:?} {moods:?}");
        for place in places {
            let stored = lines(&**place, &place.inner.names(), soon).await.unwrap();
            assert_eq!(stored.len(), 2, "{require:?} {moods:?} {}", place.place());
        }
    }
}

/// Two who require at the same time share an object, and each is told the truth.
#[tokio::test]
async fn who_requires_at_the_same_time_shares_an_object() {
    let place = Place::new("one");
    let trail = Trail::new(&plan(&[&place], AuditRequire::Any), SET, 1);
    let both =
        tokio::join!(trail.require(event("apply.begin", 1), soon()), trail.require(event("apply.begin", 1), soon()));
    assert_eq!((both.0.is_ok(), both.1.is_ok(), place.inner.names().len()), (true, true, 1));
}

/// Every place is required and one is away: the run is refused. Its records are in the other one, and nothing is lost.
#[tokio::test]
async fn what_a_refused_run_left_in_one_place_is_caught_up_and_no_gap() {
    for mood in [REFUSES, LOSES_REPLIES] {
        let (one, two) = (Place::new("one"), Place::new("two"));
        let (places, mut number) = ([&one, &two], 1);
        let plan = plan(&places, AuditRequire::All);
        let (required, head) = run(&plan, None, number).await;
        let mut head = head.unwrap();
        assert!(required.is_ok() && head.lost == 0, "{head:?}");
        two.is(mood);
        // Some runs in a row, as a schedule makes them.
        for refused in 1..=3 {
            number += 1;
            let (required, left) = run(&plan, Some(&head), number).await;
            head = left.unwrap();
            assert!(required.is_err() && head.lost == 1, "{refused}: {head:?}");
            // While it is away, verification tells of what is missing there, and of no tampering.
            two.is(ANSWERS);
            let told = found(&places, &head).await;
            assert!(told.iter().all(|kind| kind.class() < Class::Tampering), "{refused}: {told:?}");
            two.is(mood);
        }
        two.is(ANSWERS);
        let (required, head) = run(&plan, Some(&head), number + 1).await;
        let head = head.unwrap();
        assert_eq!((required.is_ok(), head.lost, head.records), (true, 0, 5));
        assert_eq!(found(&places, &head).await, []);
        assert_eq!(one.inner.names(), two.inner.names());
    }
}

/// No place has them: that is a gap, and the next run that can says so, once.
#[tokio::test]
async fn what_no_place_has_is_a_gap_that_is_declared() {
    let (one, two) = (Place::new("one"), Place::new("two"));
    let places = [&one, &two];
    let plan = plan(&places, AuditRequire::All);
    let mut head = run(&plan, None, 1).await.1.unwrap();
    places.iter().for_each(|place| place.is(REFUSES));
    let refused: u32 = 40;
    for number in 2..2 + refused {
        head = run(&plan, Some(&head), number).await.1.unwrap();
    }
    // Each run would declare what was missing before it, and could not either; the register counts its record, too.
    assert!(head.lost >= u64::from(refused) && head.lost_by.len() <= 17, "{head:?}");
    assert_eq!(found(&places, &head).await, [Finding::DeclaredGap]);
    places.iter().for_each(|place| place.is(ANSWERS));
    let lost = head.lost;
    let head = run(&plan, Some(&head), 90).await.1.unwrap();
    assert_eq!((head.lost, head.lost_by.len()), (0, 0));
    assert_eq!(found(&places, &head).await, [Finding::DeclaredGap]);
    let last = one.inner.names().into_iter().rfind(|name| !name.contains("segment")).unwrap();
    let bytes = one.inner.get(&last, 1 << 20, soon()).await.unwrap().unwrap().bytes;
    let lines: Vec<dizzy_audit::read::Record> =
        bytes.split(|byte| *byte == b'\n').filter_map(dizzy_audit::read::Record::parse).collect();
    assert_eq!((lines[0].kind.as_str(), lines[0].lost, lines.len()), ("trail.gap", Some(lost), 2));
}

/// A register that was written before it said which run counted.
#[test]
fn a_register_that_does_not_name_the_run_means_that_of_its_head() {
    let head = AuditHead {
        stream: "orders/0000000001/0000000001-0000002a".to_owned(),
        seq: 0,
        object: 0,
        hash: String::new(),
        kid: String::new(),
        records: 1,
        time: 0,
        lost: 3,
        lost_by: [("0000000b".to_owned(), 1)].into(),
        behind: std::collections::BTreeMap::new(),
    };
    assert_eq!(head.lost_by(), [("0000000b".to_owned(), 1), ("0000002a".to_owned(), 2)].into());
}

#[tokio::test]
async fn a_schedule_with_nothing_to_do_shows_that_it_is_alive_once_a_day() {
    let place = Place::new("one");
    let plan = plan(&[&place], AuditRequire::Any);
    let (clock, journal, randomness) = (ManualClock::default(), MemoryJournal::default(), SeededRandomness::new(7));
    let at_rest = r#"{"v":1,"register":"00","set":"orders","adopted":true,"epoch":1,"owner":{"nonce":"0-0","who":"","until":0},
        "taken":null,"quiet":null,"phase":"idle","was":"idle","current":7,"next":null,"last":7,"kept":[],"databases":{},
        "stores":{},"target":"","rotated":0,"outcome":null,"audit":null,"pause":null}"#;
    let register = || Document::parse(&journal.latest(SET).unwrap(), SET).unwrap();
    journal.put_by_hand(SET, Some(at_rest.as_bytes()));
    let desk = Desk { journal: &journal, plan: &plan, clock: &clock, randomness: &randomness, call: CALL };
    // A set without any record is no concern of a schedule.
    assert!(!is_silent(&register(), clock.now()));
    desk.record(SET, Aside::HeartbeatIfSilent).await.unwrap();
    assert_eq!(place.inner.names().len(), 0);
    desk.record(SET, Aside::Heartbeat).await.unwrap();
    let began = place.inner.names().len();
    // Every minute for three days, by two schedulers that both have read the register.
    for _ in 0..3 * 24 * 60 {
        clock.advance_ms(60_000);
        let is_silent = is_silent(&register(), clock.now());
        for _ in 0..2 {
            if is_silent {
                desk.record(SET, Aside::HeartbeatIfSilent).await.unwrap();
            }
        }
    }
    assert_eq!(place.inner.names().len() - began, 3, "{:?}", place.inner.names());
    assert_eq!(found(&[&place], &register().audit.unwrap()).await, []);
    // Not while somebody works on the set, and not by a clock that went back.
    clock.advance_ms(2 * HEARTBEAT_MS);
    let mut held = register();
    assert!(is_silent(&held, clock.now()));
    held.owner.until = clock.now().0 + 1;
    assert!(!is_silent(&held, clock.now()));
    assert!(!is_silent(&Document { phase: "intent".to_owned(), ..register() }, clock.now()));
    assert!(!is_silent(&register(), Timestamp(0)));
    journal.put_by_hand(SET, Some(&held.to_bytes()));
    let busy = desk.record(SET, Aside::HeartbeatIfSilent).await.unwrap_err();
    assert_eq!(busy.kind, Kind::Busy);
    assert!(journal.read(SET, soon()).await.unwrap().is_some());
}
