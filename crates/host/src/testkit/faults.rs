//! The plan of what goes wrong: every port call is counted, and any of them can be hit, in every form a call can fail.
//!
//! To try a scenario everywhere: run it once without faults, take [`Faults::calls`], and run it again for each index and
//! each of [`Form::ALL`]. The wrappers that ask this plan are in `faulty`.

use core::{future::Future, pin::Pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::faulty::{FaultyAudit, FaultyDatabase, FaultyJournal, FaultyReader, FaultyStore};
use crate::{
    memory::MemoryDatabase,
    port::{AuditSink, Database, Deadline, Journal, Kind, PortError, PortResult, SecretReader, SecretStore},
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
}

impl Form {
    /// Every form.
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
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Calls {
    Nth(usize),
    NthOf(String, usize),
    Every(String),
}

impl Fault {
    /// Hits the call with this index in [`Faults::calls`], counted from 0.
    #[must_use]
    pub const fn at(index: usize, form: Form) -> Self {
        Self { calls: Calls::Nth(index), form, kind: None }
    }

    /// Hits the `nth` call of this name (`database.apply:rds`), counted from 0.
    #[must_use]
    pub fn nth_of(name: &str, nth: usize, form: Form) -> Self {
        Self { calls: Calls::NthOf(name.to_owned(), nth), form, kind: None }
    }

    /// Hits every call of this name: a permanent refusal, an outage.
    #[must_use]
    pub fn every(name: &str, form: Form) -> Self {
        Self { calls: Calls::Every(name.to_owned()), form, kind: None }
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
}

#[derive(Default)]
struct State {
    calls: Vec<String>,
    faults: Vec<Fault>,
    hits: usize,
    crashed: bool,
    delayed: Vec<Later>,
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

    /// Adds a fault.
    pub fn add(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Takes all faults back; calls go on being counted.
    pub fn clear(&self) {
        self.state().faults.clear();
    }

    /// Names of the calls so far, in order, dead ones not counted: `database.apply:rds`, `store.promote:aws-sm:prod/orders`,
    /// `journal.write`, `audit.append`, `secret.read:env:ADMIN`.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// How many calls were hit. A test whose fault was never hit shows nothing.
    #[must_use]
    pub fn hits(&self) -> usize {
        self.state().hits
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

    /// Lets every delayed request execute, in the order of sending. Returns how many there were.
    pub async fn deliver(&self) -> usize {
        let delayed = core::mem::take(&mut self.state().delayed);
        let count = delayed.len();
        for request in delayed {
            request.await;
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
        Arc::new(FaultyStore { inner, faults: Arc::clone(self) })
    }

    /// This journal, with this plan between it and the caller.
    pub fn journal(self: &Arc<Self>, inner: Arc<dyn Journal>) -> Arc<dyn Journal> {
        Arc::new(FaultyJournal { inner, faults: Arc::clone(self) })
    }

    /// This audit sink, with this plan between it and the caller.
    pub fn audit(self: &Arc<Self>, inner: Arc<dyn AuditSink>) -> Arc<dyn AuditSink> {
        Arc::new(FaultyAudit { inner, faults: Arc::clone(self) })
    }

    /// This reader, with this plan between it and the caller.
    pub fn reader(self: &Arc<Self>, inner: Arc<dyn SecretReader>) -> Arc<dyn SecretReader> {
        Arc::new(FaultyReader { inner, faults: Arc::clone(self) })
    }

    /// Runs one call as the plan says. `later` gives the request a life of its own; `None` for calls that change nothing.
    pub(super) async fn run<T>(
        &self,
        name: String,
        deadline: Deadline,
        call: impl Future<Output = PortResult<T>> + Send,
        later: Option<impl FnOnce() -> PortResult<Later> + Send>,
    ) -> PortResult<T> {
        let (form, kind) = match self.enter(&name) {
            Fate::Dead => return Err(crashed(&name)),
            Fate::Passes => return call.await,
            Fate::Hit(form, kind) => (form, kind),
        };
        let lost = PortError::unknown(kind.unwrap_or(Kind::Unreachable), format!("{name}: the reply was lost"));
        match form {
            Form::Refused => Err(PortError::refused(kind.unwrap_or(Kind::Busy), format!("{name}: refused as planned"))),
            Form::LostBefore => Err(lost),
            Form::ReplyLost => {
                drop(call.await);
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
                drop(call.await);
                self.state().crashed = true;
                Err(crashed(&name))
            }
        }
    }

    fn enter(&self, name: &str) -> Fate {
        let mut state = self.state();
        if state.crashed {
            return Fate::Dead;
        }
        let index = state.calls.len();
        let nth = state.calls.iter().filter(|earlier| *earlier == name).count();
        state.calls.push(name.to_owned());
        let hit = state.faults.iter().find(|fault| match &fault.calls {
            Calls::Nth(at) => *at == index,
            Calls::NthOf(of, at) => of == name && *at == nth,
            Calls::Every(of) => of == name,
        });
        let Some(&Fault { form, kind, .. }) = hit else { return Fate::Passes };
        state.hits += 1;
        Fate::Hit(form, kind)
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
        let store = faults.store(Arc::<crate::memory::MemoryStore>::clone(&world.stores[0]));
        let deadline = Deadline::after(Duration::from_secs(7));
        let error = store.labels(deadline).await.unwrap_err();
        assert_eq!((error.kind, deadline.left()), (Kind::Timeout, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_crash_no_port_answers_until_the_next_process() {
        let world = world();
        let faults = Faults::plan([Fault::at(1, Form::CrashAfter)]);
        let journal = faults.journal(Arc::<crate::memory::MemoryJournal>::clone(&world.journal));
        let store = faults.store(Arc::<crate::memory::MemoryStore>::clone(&world.stores[0]));
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
