//! Gates on the wire: every call that the program makes to a store, a bucket or a database passes one, by name, and any of them can
//! be refused, lost, held, or kept back until later.
//!
//! A matrix of faults records the names of one run without faults and then plans a deed for each of them. What a call is called says a
//! closure of the test; the gates know bytes and connections only: `http` for AWS and OCI, `postgres` with TLS ended and begun anew,
//! and the Oracle emulator itself, which asks at every point of a session.

mod http;
mod oracle;
mod postgres;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use http::{HttpCall, HttpGate, HttpService, Namer};
pub use oracle::watch_oracle;
pub use postgres::{Ask, PostgresGate};

/// What happens to a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Deed {
    /// An error, and nothing has happened.
    Refuse(Refusal),
    /// The connection ends; nothing has happened.
    CutBefore,
    /// It happens; the connection ends without an answer.
    CutAfter,
    /// Nothing happens until [`Gates::release`]; then it happens and is answered, unless [`Gates::abandon`] comes first.
    HoldBefore,
    /// It happens; the answer comes after [`Gates::release`], or never.
    HoldAfter,
    /// The connection ends; it happens at [`Gates::release`].
    Late,
    /// A question is answered as it was before the last change; after a change, the next question is.
    Old,
}

/// How a call is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// Something is broken on the other side.
    Broken,
    /// Somebody else was faster.
    Conflict,
    /// Too many calls.
    Throttled,
    /// It is not allowed.
    Denied,
    /// The new password is not taken.
    Policy,
}

/// Which calls a deed is for, by their names.
type Fits = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// A deed, and the calls that it hits.
#[derive(Clone)]
pub struct Plan {
    fits: Fits,
    skip: u32,
    stays: bool,
    deed: Deed,
    follows: bool,
    besides: bool,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("deed", &self.deed).field("skip", &self.skip).finish_non_exhaustive()
    }
}

impl Plan {
    /// The next call that fits.
    #[must_use]
    pub fn next(deed: Deed, fits: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { fits: Arc::new(fits), skip: 0, stays: false, deed, follows: false, besides: false }
    }

    /// Lets this many fitting calls pass first.
    #[must_use]
    pub const fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// Hits every later fitting call as well.
    #[must_use]
    pub const fn stays(mut self) -> Self {
        self.stays = true;
        self
    }

    /// Hits nothing, and counts nothing, before the plan that was made before it has hit.
    #[must_use]
    pub const fn follows(mut self) -> Self {
        self.follows = true;
        self
    }

    /// Goes wrong besides what a test is about: its hits are not counted.
    #[must_use]
    pub const fn besides(mut self) -> Self {
        self.besides = true;
        self
    }
}

/// The gates of one installation.
#[derive(Debug, Default)]
pub struct Gates {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    passed: Vec<String>,
    plans: VecDeque<Plan>,
    fired: u32,
    /// How many calls are kept back or held at this moment.
    held: u32,
    /// Grows with each release and each abandoning, so that those who wait can tell which of them is theirs.
    turn: u64,
    abandoned: bool,
    /// Whether the Oracle emulator's sessions pass unseen.
    aside: bool,
    /// What holds sessions of the Oracle emulator.
    oracle: Vec<dizzy_sandbox_oracle::Planted>,
}

impl Gates {
    /// Gates that let everything pass.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Plans a deed. Of several that fit a call, the first one hits.
    pub fn plan(&self, plan: Plan) {
        self.state().plans.push_back(plan);
    }

    /// Takes back every plan.
    pub fn clear(&self) {
        self.state().plans.clear();
    }

    /// Takes back what goes wrong [`besides`](Plan::besides).
    pub fn clear_besides(&self) {
        self.state().plans.retain(|plan| !plan.besides);
    }

    /// How many calls were hit since the last [`forget`](Self::forget). A test whose fault was never hit shows nothing.
    #[must_use]
    pub fn fired(&self) -> u32 {
        self.state().fired
    }

    /// The names of the calls since the last [`forget`](Self::forget), in order.
    #[must_use]
    pub fn passed(&self) -> Vec<String> {
        self.state().passed.clone()
    }

    /// Forgets names and hits.
    pub fn forget(&self) {
        let mut state = self.state();
        state.passed.clear();
        state.fired = 0;
    }

    /// While this is so, sessions of the Oracle emulator pass unseen: a judge asks, who knows no other way to it.
    pub fn stand_aside(&self, aside: bool) {
        self.state().aside = aside;
    }

    /// How many calls are held at this moment.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.state().held
    }

    /// Waits until a call is held or `ended` says that none will be; says whether one is.
    pub fn wait_until_held(&self, mut ended: impl FnMut() -> bool) -> bool {
        loop {
            // In this order: whoever has ended makes no further call.
            let over = ended();
            let state = self.state();
            let held = |state: &mut State| state.held == 0;
            let (state, _) = self.changed.wait_timeout_while(state, LOOK, held).unwrap_or_else(PoisonError::into_inner);
            if state.held > 0 {
                return true;
            }
            if over {
                return false;
            }
        }
    }

    /// Lets everything go on that is held, and makes happen what is late. Waits until that was sent.
    pub fn release(&self) {
        self.end_turn(false);
    }

    /// What is held ends without an answer, and what has not happened never does: whoever asked for it is dead.
    pub fn abandon(&self) {
        self.end_turn(true);
    }

    fn end_turn(&self, abandoned: bool) {
        let mut state = self.state();
        state.turn += 1;
        state.abandoned = abandoned;
        // The emulator wakes its sessions itself: they count as gone on here.
        let oracle = core::mem::take(&mut state.oracle);
        state.held = state.held.saturating_sub(u32::try_from(oracle.len()).unwrap_or(u32::MAX));
        for planted in oracle {
            if abandoned {
                planted.abandon();
            } else {
                planted.release();
            }
        }
        self.changed.notify_all();
        let waited = self.changed.wait_timeout_while(state, PATIENCE, |state| state.held > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// A call comes to a gate: what happens to it.
    fn enter(&self, name: &str) -> Option<Deed> {
        let mut state = self.state();
        state.passed.push(name.to_owned());
        let mut hit = None;
        for (at, plan) in state.plans.iter_mut().enumerate() {
            if plan.follows && at > 0 {
                // The one before it is still to hit.
                continue;
            }
            if !(plan.fits)(name) {
                continue;
            }
            if plan.skip > 0 {
                plan.skip -= 1;
                continue;
            }
            hit = Some((at, plan.clone()));
            break;
        }
        let (at, plan) = hit?;
        state.fired += u32::from(!plan.besides);
        if !plan.stays {
            state.plans.remove(at);
        }
        Some(plan.deed)
    }

    /// Waits for the end of the hold; says whether the call goes on. [`let_go`](Self::let_go) must follow.
    fn wait(&self) -> bool {
        let mut state = self.state();
        state.held += 1;
        self.changed.notify_all();
        let turn = state.turn;
        let state = self.changed.wait_while(state, |state| state.turn == turn);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        !state.abandoned
    }

    /// A session of the Oracle emulator is held by this.
    fn hold_oracle(&self, planted: dizzy_sandbox_oracle::Planted) {
        let mut state = self.state();
        state.held += 1;
        state.oracle.push(planted);
        self.changed.notify_all();
    }

    /// A held call has gone on, or has ended.
    fn let_go(&self) {
        let mut state = self.state();
        state.held = state.held.saturating_sub(1);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often a waiting test looks whether the process has ended.
const LOOK: Duration = Duration::from_millis(10);
/// What is released is sent within milliseconds; longer means that its other side is gone.
const PATIENCE: Duration = Duration::from_secs(20);
