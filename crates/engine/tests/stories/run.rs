//! Plays one run: answers what the test does not care about as a healthy world would, and writes down what was asked.

use std::sync::Arc;

use dizzy_engine::{
    Capability, DatabaseIx, DatabasePlan, DatabaseRegister, Effect, Epoch, Finish, Generation, Goal, Next, Outcome,
    Owner, Pace, Phase, Plan, Reason, Register, Seen, StorePlan, Strategy, Timestamp, UserIx, UserRegister, Window,
    Worker, step,
};

pub(crate) const NOW: Timestamp = Timestamp(1_000_000);
pub(crate) const BUDGET_MS: i64 = 60_000;
pub(crate) const LATE: Timestamp = NOW.plus_ms(BUDGET_MS + 1);
pub(crate) const WINDOW_MS: i64 = 86_400_000;

pub(crate) const TRANSIENT: Outcome = Outcome::Refused(Reason::Transient);
pub(crate) const PERMANENT: Outcome = Outcome::Refused(Reason::Permanent);
pub(crate) const CREDENTIAL: Outcome = Outcome::Refused(Reason::Credential);
pub(crate) const FENCED: Outcome = Outcome::Refused(Reason::Fenced);

/// One run and the register it works on.
pub(crate) struct Run {
    pub(crate) plan: Plan,
    pub(crate) register: Arc<Register>,
    pub(crate) worker: Worker,
    pub(crate) now: Timestamp,
    pub(crate) pace: Pace,
    pub(crate) done: Option<Finish>,
    /// Everything that was asked, register writes with what they write.
    pub(crate) log: Vec<String>,
}

pub(crate) fn g(n: u64) -> Generation {
    Generation(n)
}

pub(crate) fn alternating() -> DatabasePlan {
    DatabasePlan::new(Strategy::Alternating, Capability::StatementCas)
}

pub(crate) fn single(capability: Capability) -> DatabasePlan {
    DatabasePlan::new(Strategy::Single, capability)
}

pub(crate) fn rollover(ends_windows: bool) -> DatabasePlan {
    DatabasePlan {
        ends_windows,
        window_ms: WINDOW_MS,
        ..DatabasePlan::new(Strategy::Rollover, Capability::StatementCas)
    }
}

/// One store that does not announce, and these databases.
pub(crate) fn plan(databases: &[DatabasePlan]) -> Plan {
    Plan::new(databases.to_vec(), vec![StorePlan { announce: false }])
}

/// At rest on generation 1; an alternating database's second user is on generation 0.
pub(crate) fn at_rest(plan: &Plan) -> Register {
    let user = |at: u64| UserRegister { known: Some(g(at)), maybe: Vec::new() };
    let database = |p: &DatabasePlan| DatabaseRegister {
        live: UserIx(0),
        users: if p.strategy == Strategy::Alternating { vec![user(1), user(0)] } else { vec![user(1)] },
        sent: false,
        window: None,
    };
    Register {
        epoch: Epoch(4),
        owner: Owner { worker: 90, write: 9, until: Timestamp(0) },
        taken: None,
        quiet: None,
        phase: Phase::Idle,
        was: Phase::Idle,
        current: g(1),
        next: None,
        last: g(1),
        kept: vec![g(0), g(1)],
        revoke: None,
        revoked: None,
        databases: plan.databases.iter().map(database).collect(),
    }
}

/// Generation 2 is under way, and its first worker is gone.
pub(crate) fn intent(plan: &Plan) -> Register {
    let mut r = at_rest(plan);
    (r.phase, r.was, r.next, r.last) = (Phase::Intent, Phase::Intent, Some(g(2)), g(2));
    r.kept.push(g(2));
    for (d, p) in r.databases.iter_mut().zip(&plan.databases) {
        let target = d.target(*p);
        if !p.is_unfenced() {
            d.user_mut(target).unwrap().mark(g(2));
        }
    }
    r
}

/// The unfenced change of a database may have been sent.
pub(crate) fn sent(mut r: Register, database: u8) -> Register {
    let d = r.database_mut(DatabaseIx(database)).unwrap();
    d.sent = true;
    d.users[0].mark(g(2));
    r
}

pub(crate) fn open_window(mut r: Register, until: Timestamp) -> Register {
    for d in &mut r.databases {
        d.window = Some(Window { until, first: g(0) });
    }
    r
}

impl Run {
    pub(crate) fn new(plan: &Plan, register: Register) -> Self {
        Self::with_goal(plan, register, Goal::Rotate)
    }

    pub(crate) fn with_goal(plan: &Plan, register: Register, goal: Goal) -> Self {
        Self {
            plan: plan.clone(),
            register: Arc::new(register),
            worker: Worker::new(7, goal, NOW.plus_ms(BUDGET_MS)),
            now: NOW,
            pace: Pace::Now,
            done: None,
            log: Vec::new(),
        }
    }

    /// What is asked for.
    pub(crate) fn batch(&self) -> Vec<String> {
        self.worker.issued.iter().map(text).collect()
    }

    /// Answers the batch: `special` decides, and the healthy world where it does not.
    pub(crate) fn answer(&mut self, special: impl Fn(&Effect) -> Option<Outcome>) -> &mut Self {
        assert_eq!(self.done, None, "the run is over");
        let outcomes: Vec<Outcome> = self
            .worker
            .issued
            .clone()
            .iter()
            .map(|effect| {
                self.log.push(text(effect));
                special(effect).unwrap_or_else(|| self.healthy(effect))
            })
            .collect();
        let step = step(&self.plan, &self.worker, self.now, &outcomes).unwrap();
        self.worker = step.worker;
        match step.next {
            Next::Effects(_, pace) => self.pace = pace,
            Next::Done(finish) => self.done = Some(finish),
        }
        self
    }

    /// Answers the whole batch with one outcome.
    pub(crate) fn all(&mut self, outcome: &Outcome) -> &mut Self {
        self.answer(|_| Some(outcome.clone()))
    }

    pub(crate) fn well(&mut self) -> &mut Self {
        self.answer(|_| None)
    }

    /// Goes on in a healthy world until something beginning with `what` is asked for.
    pub(crate) fn until(&mut self, what: &str) -> &mut Self {
        for _ in 0..60 {
            if self.batch().iter().any(|t| t.starts_with(what)) && self.done.is_none() {
                return self;
            }
            self.well();
        }
        panic!("{what} is never asked for: {:?}", self.log)
    }

    /// Goes on in a healthy world until the run is over.
    pub(crate) fn end(&mut self) -> Finish {
        for _ in 0..60 {
            if let Some(finish) = self.done {
                return finish;
            }
            self.well();
        }
        panic!("the run does not end: {:?}", self.log)
    }

    pub(crate) fn finish(&self) -> Finish {
        self.done.expect("the run is over")
    }

    pub(crate) fn at(&mut self, now: Timestamp) -> &mut Self {
        self.now = now;
        self
    }

    fn healthy(&mut self, effect: &Effect) -> Outcome {
        match effect {
            Effect::ReadRegister => Outcome::Register(Some(Arc::clone(&self.register))),
            Effect::WriteRegister { register } => {
                self.register = Arc::clone(register);
                Outcome::Applied
            }
            Effect::ReadLabels { .. } => {
                Outcome::Labels { current: Seen::Generation(self.register.current), pending: Seen::Nothing }
            }
            _ => Outcome::Applied,
        }
    }
}

pub(crate) fn text(effect: &Effect) -> String {
    match effect {
        Effect::ReadRegister => "read register".to_owned(),
        Effect::WriteRegister { register: r } => {
            let next = r.next.map_or("-".to_owned(), |n| n.to_string());
            format!("write {:?} {} {next} {}", r.phase, r.current, r.epoch).to_lowercase()
        }
        Effect::CheckCurrent { store, generation } => format!("check current {} {generation}", store.0),
        Effect::Inspect { database, user, generation } => format!("inspect {} u{} {generation}", database.0, user.0),
        Effect::ReadLabels { store } => format!("labels {}", store.0),
        Effect::Stage { store, generation, announce } => {
            let announce = if announce.is_some() { " pending" } else { "" };
            format!("stage {} {generation}{announce}", store.0)
        }
        Effect::ReadBack { store, generation } => format!("read back {} {generation}", store.0),
        Effect::Login { database, user, generation } => format!("login {} u{} {generation}", database.0, user.0),
        Effect::Apply { database, user, from, to, epoch } => {
            format!("apply {} u{} {from}>{to} {epoch}", database.0, user.0)
        }
        Effect::Vote { database, user, from, to, epoch } => {
            format!("vote {} u{} {from}>{to} {epoch}", database.0, user.0)
        }
        Effect::CommitVote { database, generation } => format!("commit {} {generation}", database.0),
        Effect::EndWindow { database } => format!("end window {}", database.0),
        Effect::Burn { database, user, from, epoch } => format!("burn {} u{} {from} {epoch}", database.0, user.0),
        Effect::Restore { database, user, from, to, epoch } => {
            format!("restore {} u{} {from}>{to} {epoch}", database.0, user.0)
        }
        Effect::Promote { store, from, to } => format!("promote {} {from}>{to}", store.0),
        Effect::Published { store, generation } => format!("published {} {generation}", store.0),
        Effect::ProveRefused { database, generation } => format!("refused {} {generation}", database.0),
        Effect::Prune { store, generation } => format!("prune {} {generation}", store.0),
    }
}
