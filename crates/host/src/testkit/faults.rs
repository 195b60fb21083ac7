//! The plan of what goes wrong: every port call is counted, and any of them can be hit, in every form a call can fail.
//!
//! To try a scenario everywhere: run it once without faults, take [`Faults::calls`] (or [`Faults::points`], which says where in a
//! rotation each of them was), and run it again for each of them and each form. The wrappers that ask this plan are in `faulty`.

use core::{future::Future, pin::Pin};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use dizzy_engine::Capability;
use tokio::sync::Notify;

use super::{
    faulty::{DELIVERY, FaultyDatabase, FaultyJournal, FaultyObjects, FaultyReader, FaultyStore},
    matrix::Point,
};
use crate::{
    memory::{MemoryDatabase, MemoryJournal, MemoryStore},
    port::{Database, Deadline, Journal, Kind, ObjectStore, PortError, PortResult, SecretReader, SecretStore},
    register::Document,
};

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Form {
    /// Nothing happens, and the caller is told so.
    Refused,
    /// Nothing happens, and the caller cannot tell.
    LostBefore,
    /// It happens, and the caller cannot tell.
    ReplyLost,
    /// It happens when [`Faults::deliver`] is called, and the caller cannot tell. A read is lost.
    Delayed,
    /// Nothing happens, and the caller waits until its deadline.
    Hang,
    /// The process dies before the call: it does not happen, and every later call is refused with the code `crashed`.
    CrashBefore,
    /// The process dies after the call: it happens, and it and every later call are refused with the code `crashed`.
    CrashAfter,
    /// The process stands still before the call until [`Faults::release`]; then it happens, and the caller is told what came of it.
    HoldBefore,
    /// It happens, and the process stands still before it hears of it, until [`Faults::release`].
    HoldAfter,
    /// It happens; the next read of the same store or register (this call, if it is a read) shows what was before the latest
    /// change. In memory only.
    Stale,
}

impl Form {
    /// Every form in which a call fails.
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::LostBefore,
        Self::ReplyLost,
        Self::Delayed,
        Self::Hang,
        Self::CrashBefore,
        Self::CrashAfter,
    ];

    /// Whether the process is dead afterwards.
    #[must_use]
    pub const fn is_crash(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAfter)
    }
}

/// Which calls are hit, how, and what the error says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    calls: Calls,
    form: Form,
    kind: Option<Kind>,
    /// Hits nothing before every fault that waits for its turn has hit.
    follows: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Calls {
    Nth(usize),
    NthOf(String, usize),
    NthAt(Point, usize),
    Every(String),
    EveryAt(Point),
    FromAt(Point, usize),
    Forward,
}

impl Fault {
    /// Hits the call with this index in [`Faults::calls`], counted from 0.
    #[must_use]
    pub const fn at(index: usize, form: Form) -> Self {
        Self { calls: Calls::Nth(index), form, kind: None, follows: false }
    }

    /// Hits the `nth` call of this name (`database.apply:rds`), counted from 0.
    #[must_use]
    pub fn nth_of(name: &str, nth: usize, form: Form) -> Self {
        Self { calls: Calls::NthOf(name.to_owned(), nth), form, kind: None, follows: false }
    }

    /// Hits every call of this name: a permanent refusal, an outage.
    #[must_use]
    pub fn every(name: &str, form: Form) -> Self {
        Self { calls: Calls::Every(name.to_owned()), form, kind: None, follows: false }
    }

    /// Hits the `nth` call at this point of a rotation, counted from 0.
    #[must_use]
    pub const fn nth_at(point: Point, nth: usize, form: Form) -> Self {
        Self { calls: Calls::NthAt(point, nth), form, kind: None, follows: false }
    }

    /// Hits every call at this point of a rotation.
    #[must_use]
    pub const fn every_at(point: Point, form: Form) -> Self {
        Self { calls: Calls::EveryAt(point), form, kind: None, follows: false }
    }

    /// Hits the `nth` call at this point of a rotation, counted from 0, and every later one there.
    #[must_use]
    pub const fn from_at(point: Point, nth: usize, form: Form) -> Self {
        Self { calls: Calls::FromAt(point, nth), form, kind: None, follows: false }
    }

    /// Hits every change of a database and every login while the register says `intent`: nothing can be decided but to go back.
    #[must_use]
    pub const fn forward(form: Form) -> Self {
        Self { calls: Calls::Forward, form, kind: None, follows: false }
    }

    /// Hits nothing before every fault that waits for its turn has hit.
    #[must_use]
    pub const fn following(mut self) -> Self {
        self.follows = true;
        self
    }

    /// Says which kind the error has; otherwise `Busy` for a refusal and `Unreachable` for an unknown outcome.
    #[must_use]
    pub const fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = Some(kind);
        self
    }
}

/// The plan, shared by all wrappers of one world.
#[derive(Default)]
pub struct Faults {
    state: Mutex<State>,
    /// Told when a call is held.
    holding: Notify,
    /// Told when what is held may go on.
    released: Notify,
    witness: OnceLock<Witness>,
}

#[derive(Default)]
struct State {
    calls: Vec<(String, Point)>,
    faults: Vec<Fault>,
    /// Faults that wait for each other: only the first can hit, and counts from where it became the first.
    turns: VecDeque<Fault>,
    turn_from: usize,
    hits: usize,
    first_hit: Option<usize>,
    crashed: bool,
    held: usize,
    delayed: Vec<Later>,
    /// The register as it was last read or written through these wrappers.
    register: Option<Document>,
}

/// Looks at the world after every call.
type Witness = Box<dyn Fn() + Send + Sync>;

/// Makes the next read of a store or journal in memory an old one.
pub(super) type Ageing = Box<dyn Fn() + Send + Sync>;

/// One call, as its wrapper describes it.
pub(super) struct Call<'a> {
    pub(super) name: String,
    pub(super) point: Point,
    pub(super) deadline: Deadline,
    pub(super) ageing: Option<&'a Ageing>,
}

impl Call<'_> {
    pub(super) const fn new(name: String, point: Point, deadline: Deadline) -> Self {
        Self { name, point, deadline, ageing: None }
    }
}

/// A request that is still under way.
pub(super) type Later = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Faults {
    /// A plan in which nothing goes wrong.
    #[must_use]
    pub fn none() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// A plan with these faults.
    #[must_use]
    pub fn plan(faults: impl IntoIterator<Item = Fault>) -> Arc<Self> {
        let plan = Self::none();
        plan.state().faults.extend(faults);
        plan
    }

    /// A plan with these faults one after the other: each waits until the one before it has hit a call, and counts from there.
    #[must_use]
    pub fn in_turn(faults: impl IntoIterator<Item = Fault>) -> Arc<Self> {
        let plan = Self::none();
        plan.state().turns.extend(faults);
        plan
    }

    /// From here on `look` is called after every call that reached the world.
    ///
    /// # Panics
    /// If there is one already.
    pub fn watch(&self, look: impl Fn() + Send + Sync + 'static) {
        assert!(self.witness.set(Box::new(look)).is_ok(), "one witness is enough");
    }

    /// Adds a fault.
    pub fn add(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Takes all faults back but those that wait for their turn; calls go on being counted.
    pub fn clear(&self) {
        self.state().faults.clear();
    }

    /// Names of the calls so far, in order, dead ones not counted: `database.apply:rds`, `store.promote:aws-sm:prod/orders`,
    /// `journal.write`, `objects.create:NAME`, `secret.read:env:ADMIN`.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The same calls, by where in a rotation they were.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        self.state().calls.iter().map(|(_, point)| *point).collect()
    }

    /// How many calls were hit. A test whose fault was never hit shows nothing.
    #[must_use]
    pub fn hits(&self) -> usize {
        self.state().hits
    }

    /// Which of the calls was hit first, counted from 0.
    #[must_use]
    pub fn first_hit(&self) -> Option<usize> {
        self.state().first_hit
    }

    /// Whether the process has died.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        self.state().crashed
    }

    /// Starts the next process: calls reach the world again, faults stay as planned, the count goes on.
    pub fn revive(&self) {
        self.state().crashed = false;
    }

    /// Waits until more calls are held than these.
    pub async fn until_held(&self, more_than: usize) {
        while self.held() <= more_than {
            self.holding.notified().await;
        }
    }

    /// How many calls are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.state().held
    }

    /// Lets go on what is held. Whoever waited for it must be polled again.
    pub fn release(&self) {
        self.state().held = 0;
        self.released.notify_waiters();
    }

    /// Lets every delayed request execute, in the order of sending. Returns how many there were.
    pub async fn deliver(&self) -> usize {
        let delayed = core::mem::take(&mut self.state().delayed);
        let count = delayed.len();
        for request in delayed {
            request.await;
            self.look();
        }
        count
    }

    /// This database, with this plan between it and the caller.
    pub fn database(self: &Arc<Self>, inner: Arc<dyn Database>) -> Arc<dyn Database> {
        Arc::new(FaultyDatabase::new(inner, None, Arc::clone(self)))
    }

    /// As [`database`](Self::database); a delayed change has logged in when it was sent, and executes without asking again.
    pub fn memory_database(self: &Arc<Self>, inner: &Arc<MemoryDatabase>) -> Arc<dyn Database> {
        let database: Arc<dyn Database> = Arc::<MemoryDatabase>::clone(inner);
        Arc::new(FaultyDatabase::new(database, Some(Arc::clone(inner)), Arc::clone(self)))
    }

    /// This store, with this plan between it and the caller.
    pub fn store(self: &Arc<Self>, inner: Arc<dyn SecretStore>) -> Arc<dyn SecretStore> {
        Arc::new(FaultyStore { inner, ageing: None, faults: Arc::clone(self) })
    }

    /// As [`store`](Self::store), with reads that can be old.
    pub fn memory_store(self: &Arc<Self>, inner: &Arc<MemoryStore>) -> Arc<dyn SecretStore> {
        let store = Arc::clone(inner);
        let ageing: Option<Ageing> = Some(Box::new(move || store.serve_stale_reads(1)));
        Arc::new(FaultyStore { inner: Arc::<MemoryStore>::clone(inner), ageing, faults: Arc::clone(self) })
    }

    /// This journal, with this plan between it and the caller.
    pub fn journal(self: &Arc<Self>, inner: Arc<dyn Journal>) -> Arc<dyn Journal> {
        Arc::new(FaultyJournal { inner, ageing: None, faults: Arc::clone(self) })
    }

    /// As [`journal`](Self::journal), with reads that can be old.
    pub fn memory_journal(self: &Arc<Self>, inner: &Arc<MemoryJournal>) -> Arc<dyn Journal> {
        let journal = Arc::clone(inner);
        let ageing: Option<Ageing> = Some(Box::new(move || journal.serve_stale_reads(1)));
        Arc::new(FaultyJournal { inner: Arc::<MemoryJournal>::clone(inner), ageing, faults: Arc::clone(self) })
    }

    /// These objects, with this plan between them and the caller: `objects.create:NAME`, `objects.list:PREFIX`, ...
    pub fn objects(self: &Arc<Self>, inner: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        Arc::new(FaultyObjects { inner, faults: Arc::clone(self) })
    }

    /// This reader, with this plan between it and the caller.
    pub fn reader(self: &Arc<Self>, inner: Arc<dyn SecretReader>) -> Arc<dyn SecretReader> {
        Arc::new(FaultyReader { inner, faults: Arc::clone(self) })
    }

    /// Runs one call as the plan says. `later` gives the request a life of its own; `None` for calls that change nothing.
    pub(super) async fn run<T, F: Future<Output = PortResult<T>> + Send>(
        &self,
        call: Call<'_>,
        act: impl FnOnce(Deadline) -> F + Send,
        later: Option<impl FnOnce() -> PortResult<Later> + Send>,
    ) -> PortResult<T> {
        let result = self.meet(call, act, later).await;
        if !self.is_crashed() {
            self.look();
        }
        result
    }

    async fn meet<T, F: Future<Output = PortResult<T>> + Send>(
        &self,
        call: Call<'_>,
        act: impl FnOnce(Deadline) -> F + Send,
        later: Option<impl FnOnce() -> PortResult<Later> + Send>,
    ) -> PortResult<T> {
        let Call { name, point, deadline, ageing } = call;
        let (form, kind) = match self.enter(&name, point) {
            Fate::Dead => return Err(crashed(&name)),
            Fate::Passes => return act(deadline).await,
            Fate::Hit(form, kind) => (form, kind),
        };
        let lost = PortError::unknown(kind.unwrap_or(Kind::Unreachable), format!("{name}: the reply was lost"));
        match form {
            Form::Refused => Err(PortError::refused(kind.unwrap_or(Kind::Busy), format!("{name}: refused as planned"))),
            Form::LostBefore => Err(lost),
            Form::ReplyLost => {
                drop(act(deadline).await);
                Err(lost)
            }
            Form::Delayed => {
                if let Some(later) = later {
                    // What is refused at the login is refused at once; only what was sent can be late.
                    let request = later()?;
                    self.state().delayed.push(request);
                }
                Err(lost)
            }
            Form::Hang => {
                tokio::time::sleep_until(deadline.instant()).await;
                Err(PortError::unknown(kind.unwrap_or(Kind::Timeout), format!("{name}: no answer")))
            }
            Form::CrashBefore => {
                self.state().crashed = true;
                Err(crashed(&name))
            }
            Form::CrashAfter => {
                drop(act(deadline).await);
                self.look();
                self.state().crashed = true;
                Err(crashed(&name))
            }
            Form::HoldBefore => {
                self.hold().await;
                // The worst that can be: it looked at its watch just before it fell asleep.
                act(Deadline::after(DELIVERY)).await
            }
            Form::HoldAfter => {
                let result = act(deadline).await;
                self.look();
                self.hold().await;
                result
            }
            Form::Stale => {
                let age = || ageing.map_or((), |age| age());
                if later.is_none() {
                    age();
                    return act(deadline).await;
                }
                let result = act(deadline).await;
                age();
                result
            }
        }
    }

    async fn hold(&self) {
        let released = self.released.notified();
        tokio::pin!(released);
        released.as_mut().enable();
        self.state().held += 1;
        self.holding.notify_one();
        released.await;
    }

    fn look(&self) {
        if let Some(witness) = self.witness.get() {
            witness();
        }
    }

    fn enter(&self, name: &str, point: Point) -> Fate {
        let mut state = self.state();
        if state.crashed {
            return Fate::Dead;
        }
        let index = state.calls.len();
        state.calls.push((name.to_owned(), point));
        let undecided = state.register.as_ref().is_some_and(|register| register.phase == "intent");
        let hits = |fault: &Fault, from: usize| {
            let earlier = || state.calls.iter().take(index).skip(from);
            match &fault.calls {
                Calls::Nth(at) => *at == index,
                Calls::NthOf(of, at) => of == name && *at == earlier().filter(|(earlier, _)| earlier == name).count(),
                Calls::NthAt(of, at) => {
                    *of == point && *at == earlier().filter(|(_, earlier)| *earlier == point).count()
                }
                Calls::Every(of) => of == name,
                Calls::EveryAt(of) => *of == point,
                Calls::FromAt(of, at) => {
                    *of == point && *at <= earlier().filter(|(_, earlier)| *earlier == point).count()
                }
                Calls::Forward => {
                    undecided && matches!(point, Point::ApplyFenced | Point::ApplyUnfenced | Point::Check)
                }
            }
        };
        let in_turn = state.turns.front().filter(|fault| hits(fault, state.turn_from)).cloned();
        let stands = |fault: &&Fault| (!fault.follows || state.turns.is_empty()) && hits(fault, 0);
        let hit = in_turn.clone().or_else(|| state.faults.iter().find(stands).cloned());
        let Some(Fault { form, kind, .. }) = hit else { return Fate::Passes };
        if let Some(fault) = in_turn {
            state.turns.pop_front();
            state.turn_from = index + 1;
            if let Calls::FromAt(point, _) = fault.calls {
                state.faults.push(Fault { calls: Calls::EveryAt(point), ..fault });
            }
        }
        state.hits += 1;
        state.first_hit.get_or_insert(index);
        Fate::Hit(form, kind)
    }

    // --- where in a rotation a call is ---

    /// A look at the register, or a write of it, has shown this.
    pub(super) fn saw_register(&self, set: &str, bytes: &[u8]) {
        if let Ok(document) = Document::parse(bytes, set) {
            self.state().register = Some(document);
        }
    }

    /// What a write of the register is for.
    pub(super) fn point_of_write(&self, set: &str, bytes: &[u8]) -> Point {
        let state = self.state();
        let (Some(old), Ok(new)) = (&state.register, Document::parse(bytes, set)) else { return Point::Lease };
        let marks = |document: &Document| -> usize {
            let databases = document.databases.values();
            databases.map(|d| usize::from(d.sent) + d.users.values().map(|u| u.maybe.len()).sum::<usize>()).sum()
        };
        match (old.phase.as_str(), new.phase.as_str()) {
            ("idle", "intent") => Point::Intent,
            ("intent", "commit") => Point::Commit,
            ("intent", "abort") => Point::Abort,
            ("intent", "intent") if marks(&new) > marks(old) => Point::Intent,
            (old, new) if old != new => Point::Finish,
            _ => Point::Lease,
        }
    }

    pub(super) fn point_of_database(&self, verb: &str, capability: Capability) -> Point {
        match (verb, capability) {
            ("login", _) => Point::Check,
            ("burn", _) => Point::Burn,
            ("apply", _) if self.phase_is("abort") => Point::Undo,
            ("apply" | "vote" | "commit", Capability::RowFence) => Point::ApplyFenced,
            ("apply" | "end_window", _) => Point::ApplyUnfenced,
            _ => Point::Session,
        }
    }

    pub(super) fn point_of_store(&self, verb: &str, store: &str) -> Point {
        let published = if store.starts_with("oci-") { Point::PromoteOci } else { Point::PromoteAws };
        match verb {
            "promote" | "restage" => published,
            "current" | "labels" if self.phase_is("commit") => published,
            "stage" | "room" | "label" => Point::Put,
            "labels" | "move_pending" => Point::Pending,
            "prune" => Point::Finish,
            _ => Point::ReadBack,
        }
    }

    fn phase_is(&self, phase: &str) -> bool {
        self.state().register.as_ref().is_some_and(|register| register.phase == phase)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Fate {
    Passes,
    Hit(Form, Option<Kind>),
    Dead,
}

fn crashed(name: &str) -> PortError {
    PortError::refused(Kind::Other, format!("{name}: this process is dead")).with_code("crashed")
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use dizzy_engine::{Capability, Epoch, Generation};

    use super::*;
    use crate::{
        memory::{Acceptance, World},
        port::{Certainty, Change, ChangeKind, FenceStamp, Login, VersionName},
        secret::{Password, SecretText},
    };

    const STAMP: FenceStamp<'static> =
        FenceStamp { set: "orders", register: "0123456789", epoch: Epoch(1), generation: Generation(1) };

    fn old() -> Password {
        Password::new("old".to_owned())
    }

    fn new() -> Password {
        Password::new("new".to_owned())
    }

    fn world() -> World {
        let mut world = World::new(1);
        let database = world.add_database("rds", Capability::RowFence, Acceptance::Newest);
        database.add_user("a", old());
        database.add_fence(STAMP.set, STAMP.register, &["a"]);
        world.add_store("mem:orders", SecretText::new("old".to_owned()));
        world
    }

    async fn apply(database: &dyn Database, epoch: u64, generation: u64) -> PortResult<()> {
        let stamp = FenceStamp { epoch: Epoch(epoch), generation: Generation(generation), ..STAMP };
        let (old, new) = (old(), new());
        let change =
            Change { login: Login { user: "a", password: &old }, new: &new, stamp, kind: ChangeKind::Alternating };
        database.apply(change, Deadline::after(Duration::from_secs(5))).await
    }

    #[tokio::test(start_paused = true)]
    async fn every_form_says_and_does_what_it_is_for() {
        for (form, certainty, applied) in [
            (Form::Refused, Certainty::Refused, false),
            (Form::LostBefore, Certainty::Unknown, false),
            (Form::ReplyLost, Certainty::Unknown, true),
            (Form::Delayed, Certainty::Unknown, false),
            (Form::Hang, Certainty::Unknown, false),
            (Form::CrashBefore, Certainty::Refused, false),
            (Form::CrashAfter, Certainty::Refused, true),
        ] {
            let world = world();
            let faults = Faults::plan([Fault::nth_of("database.apply:rds", 0, form)]);
            let database = faults.memory_database(&world.databases[0]);
            let error = apply(&*database, 1, 1).await.unwrap_err();
            assert_eq!(error.certainty, certainty, "{form:?}");
            assert_eq!(world.where_it_logs_in("a", &new()) == ["rds"], applied, "{form:?}");
            assert_eq!(faults.hits(), 1);
            assert_eq!(faults.is_crashed(), form.is_crash(), "{form:?}");
            assert_eq!(faults.deliver().await, usize::from(form == Form::Delayed));
            assert_eq!(world.databases[0].accepts("a", &new()), applied || form == Form::Delayed, "{form:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_call_returns_at_its_deadline() {
        let world = world();
        let faults = Faults::plan([Fault::at(0, Form::Hang)]);
        let store = faults.store(Arc::<MemoryStore>::clone(&world.stores[0]));
        let deadline = Deadline::after(Duration::from_secs(7));
        let error = store.labels(deadline).await.unwrap_err();
        assert_eq!((error.kind, deadline.left()), (Kind::Timeout, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_crash_no_port_answers_until_the_next_process() {
        let world = world();
        let faults = Faults::plan([Fault::at(1, Form::CrashAfter)]);
        let journal = faults.journal(Arc::<MemoryJournal>::clone(&world.journal));
        let store = faults.store(Arc::<MemoryStore>::clone(&world.stores[0]));
        let soon = || Deadline::after(Duration::from_secs(1));
        assert_eq!(journal.read("orders", soon()).await, Ok(None));
        let error = journal.write("orders", None, b"x", soon()).await.unwrap_err();
        assert_eq!(error.code.as_deref(), Some("crashed"));
        let name = VersionName::new(Generation(1), STAMP.register);
        let error = store.stage(&name, &SecretText::new("x".to_owned()), soon()).await.unwrap_err();
        assert_eq!((error.certainty, error.code.as_deref()), (Certainty::Refused, Some("crashed")));
        assert_eq!(world.stores[0].versions().len(), 1, "a dead process changes nothing");
        assert_eq!(faults.calls(), ["journal.read", "journal.write"]);
        faults.revive();
        assert!(journal.read("orders", soon()).await.unwrap().is_some(), "the write before the crash is there");
    }

    #[tokio::test(start_paused = true)]
    async fn a_delayed_change_has_logged_in_before_and_meets_the_fence_when_it_arrives() {
        let world = world();
        let faults = Faults::plan([Fault::nth_of("database.apply:rds", 0, Form::Delayed)]);
        let database = faults.memory_database(&world.databases[0]);
        assert_eq!(apply(&*database, 1, 1).await.unwrap_err().certainty, Certainty::Unknown);
        let (old, stamp) = (old(), FenceStamp { epoch: Epoch(2), ..STAMP });
        let login = Login { user: "a", password: &old };
        database.burn(login, stamp, Deadline::after(Duration::from_secs(1))).await.unwrap();
        assert_eq!(faults.deliver().await, 1);
        assert!(world.databases[0].accepts("a", &old), "the burnt epoch's request was refused on arrival");
    }

    #[tokio::test(start_paused = true)]
    async fn votes_are_hit_at_their_commit_and_taken_back_by_a_crash() {
        for (form, applied) in [(Form::CrashBefore, false), (Form::CrashAfter, true), (Form::ReplyLost, true)] {
            let world = world();
            let faults = Faults::plan([Fault::every("database.commit:rds", form)]);
            let database = faults.database(Arc::<MemoryDatabase>::clone(&world.databases[0]));
            let (old, new) = (old(), new());
            let login = Login { user: "a", password: &old };
            let change = Change { login, new: &new, stamp: STAMP, kind: ChangeKind::Alternating };
            let vote = database.vote(change, Deadline::after(Duration::from_secs(1))).await.unwrap();
            vote.commit(Deadline::after(Duration::from_secs(1))).await.unwrap_err();
            assert_eq!(world.databases[0].accepts("a", &new), applied, "{form:?}");
            assert_eq!(faults.calls(), ["database.vote:rds", "database.commit:rds"]);
        }
    }
}
