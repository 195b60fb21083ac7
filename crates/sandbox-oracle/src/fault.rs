//! Faults: what goes wrong, where, and how often.
//!
//! A test plants a fault and keeps its handle, which tells whether it has fired, waits for that, and lets go of
//! whatever the fault holds back.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

/// Where in a session.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Point {
    /// The connection was accepted; nothing was read, TLS has not begun.
    Accept,
    /// The client's CONNECT was read; nothing was answered.
    Connect,
    /// The user's name was read; no proof yet.
    LoginStart,
    /// The proof was read; nothing was decided.
    BeforeLogin,
    /// The login was decided and counted; the answer is not out.
    AfterLogin,
    /// A change of the password over the protocol was read; nothing was done.
    BeforeChange,
    /// The password is changed (or refused); the answer is not out.
    AfterChange,
    /// A statement was read; nothing was done.
    BeforeStatement,
    /// The statement is done; the answer is not out.
    AfterStatement,
    /// A ping, a commit or a rollback was read.
    BeforeRoundTrip,
    /// The client wants to leave.
    BeforeLogoff,
}

/// What goes wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Busy until the client breaks off: then ORA-01013, and the session goes on.
    Busy,
    /// At [`Point::Accept`]: every byte is sent alone, after a pause.
    Drip(Duration),
    /// The connection ends at once, without an answer.
    Drop,
    /// Nothing more is said; ends when the client hangs up.
    Hang,
    /// Held until [`Planted::release`], then goes on as if nothing had been; ends without an answer after [`Planted::abandon`].
    Hold,
    /// ORA-00028, and the connection ends.
    Kill,
    /// The client's connection ends at once; what it asked for happens at [`Planted::release`], and never after
    /// [`Planted::abandon`].
    Late,
    /// At [`Point::Connect`]: the listener sends the client elsewhere, by this address and connect data.
    Redirect {
        /// Where to.
        address: SocketAddr,
        /// `tcp` or `tcps`.
        protocol: &'static str,
        /// The service asked for there.
        service: String,
    },
    /// At [`Point::Connect`]: the listener refuses with this TNS number, such as 12514, 12516 or 12528.
    RefuseConnect(u32),
    /// The call is refused with this ORA number. At the points that begin with `After`, it was executed nevertheless.
    Refuse(u32),
}

/// A fault to plant: at a point, an effect, by default the next time and once.
#[derive(Clone, Debug)]
pub struct Fault {
    point: Point,
    effect: Effect,
    user: Option<String>,
    containing: Option<String>,
    skip: u32,
    times: u32,
}

impl Fault {
    /// The next time that any session comes to `point`.
    #[must_use]
    pub const fn at(point: Point, effect: Effect) -> Self {
        Self { point, effect, user: None, containing: None, skip: 0, times: 1 }
    }

    /// Only for sessions of this user. Before the login there are none.
    #[must_use]
    pub fn for_user(mut self, user: &str) -> Self {
        self.user = Some(user.to_uppercase());
        self
    }

    /// Only for statements with these words, in whatever case.
    #[must_use]
    pub fn for_statement(mut self, containing: &str) -> Self {
        self.containing = Some(containing.to_uppercase());
        self
    }

    /// Not the first `count` times.
    #[must_use]
    pub const fn after(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    /// So many times instead of once.
    #[must_use]
    pub const fn times(mut self, count: u32) -> Self {
        self.times = count;
        self
    }

    /// Every time.
    #[must_use]
    pub const fn always(self) -> Self {
        self.times(u32::MAX)
    }
}

/// A fault that was planted.
#[derive(Clone, Debug)]
pub struct Planted {
    progress: Arc<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    seen: u32,
    fired: u32,
    released: bool,
    abandoned: bool,
}

/// Looks at every point that a session comes to, and may say what happens there. It is called while the emulator is locked: it must
/// neither wait nor ask the emulator.
pub type Watch = Arc<dyn Fn(Point, Option<&str>, Option<&str>) -> Option<(Effect, Planted)> + Send + Sync>;

impl Planted {
    /// A fault that nobody has planted, for a [`Watch`] to hand out.
    #[must_use]
    pub fn unplanted() -> Self {
        Self { progress: Arc::default() }
    }

    /// How often it has fired.
    #[must_use]
    pub fn fired(&self) -> u32 {
        self.progress.state.lock().unwrap_or_else(PoisonError::into_inner).fired
    }

    /// Waits until it has fired at least once; `false` if that does not happen within `limit`.
    #[must_use]
    pub fn wait(&self, limit: Duration) -> bool {
        let state = self.progress.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.progress.changed.wait_timeout_while(state, limit, |state| state.fired == 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.fired > 0
    }

    /// Lets go of what [`Effect::Hold`] holds, at once and from here on.
    pub fn release(&self) {
        self.progress.state.lock().unwrap_or_else(PoisonError::into_inner).released = true;
        self.progress.changed.notify_all();
    }

    /// Ends what [`Effect::Hold`] holds: it never happens.
    pub fn abandon(&self) {
        self.progress.state.lock().unwrap_or_else(PoisonError::into_inner).abandoned = true;
        self.release();
    }

    /// Waits for the release; the session that is held calls this. Says whether it goes on.
    pub(crate) fn held(&self) -> bool {
        let state = self.progress.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.progress.changed.wait_while(state, |state| !state.released);
        !state.unwrap_or_else(PoisonError::into_inner).abandoned
    }
}

/// The faults of an emulator.
#[derive(Default)]
pub(crate) struct Faults {
    planted: Vec<(Fault, Planted)>,
    watch: Option<Watch>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Faults").field("planted", &self.planted).finish_non_exhaustive()
    }
}

impl Faults {
    pub(crate) fn plant(&mut self, fault: Fault) -> Planted {
        let planted = Planted { progress: Arc::default() };
        self.planted.push((fault, planted.clone()));
        planted
    }

    /// From here on `watch` looks at every point before the planted faults do.
    pub(crate) fn watch(&mut self, watch: Watch) {
        self.watch = Some(watch);
    }

    /// Takes all faults away and lets go of what they hold.
    pub(crate) fn clear(&mut self) {
        for (_, planted) in self.planted.drain(..) {
            planted.release();
        }
    }

    /// The fault that fires here, if any: the one that was planted first.
    pub(crate) fn fire(
        &mut self,
        point: Point,
        user: Option<&str>,
        statement: Option<&str>,
    ) -> Option<(Effect, Planted)> {
        if let Some(told) = self.watch.as_ref().and_then(|watch| watch(point, user, statement)) {
            return Some(told);
        }
        let statement = statement.map(str::to_uppercase);
        for (fault, planted) in &self.planted {
            let fits = fault.point == point
                && fault.user.as_deref().is_none_or(|name| user == Some(name))
                && fault
                    .containing
                    .as_deref()
                    .is_none_or(|words| statement.as_deref().is_some_and(|it| it.contains(words)));
            if !fits {
                continue;
            }
            let mut state = planted.progress.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.seen = state.seen.saturating_add(1);
            if state.seen > fault.skip && state.fired < fault.times {
                state.fired += 1;
                planted.progress.changed.notify_all();
                drop(state);
                return Some((fault.effect.clone(), planted.clone()));
            }
        }
        None
    }
}
