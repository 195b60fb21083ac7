//! The real `step`, remembered: workers and registers become numbers, and a step that was taken once is looked up.
//!
//! The step is pure, so this changes nothing but the speed. Numbers are given to normal forms: nonces (who wrote what is in
//! the world's `Tie`), epochs (their order is in the world), times (few of them matter) and what a worker will not look at again.

use std::{
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::Arc,
};

use dizzy_engine::{
    DRAIN_MS, DatabaseRegister, Effect, Epoch, Finish, Goal, LEASE_MS, Next, Outcome, Owner, Phase, Reason, Register,
    Seen, Stage, Strategy, Then, Timestamp, UserIx, UserRegister, Violation, Window, Worker, step,
};

use crate::{
    bounds::Bounds,
    world::{BATCH, BUDGET, DRAINED, LATE, NONE, NOW, Tie, WINDOW_MS, bit, g, n},
};

/// An outcome as a number; 0 is none.
pub(crate) type Answer = u8;
pub(crate) const APPLIED: Answer = 1;
pub(crate) const UNKNOWN: Answer = 2;
pub(crate) const CREDENTIAL: Answer = 3;
pub(crate) const CONFLICT: Answer = 4;
pub(crate) const DRIFT: Answer = 5;
pub(crate) const FENCED: Answer = 6;
pub(crate) const MISSING: Answer = 7;
pub(crate) const PERMANENT: Answer = 8;
pub(crate) const TRANSIENT: Answer = 9;

/// A moment at which an answer may come in, as far as it can matter.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Moment {
    Now,
    /// The budget is spent.
    Late,
    /// The budget is spent, and nothing of an earlier owner can act.
    Drained,
    /// The recorded windows are over.
    WindowsOver,
    /// ... and so is the drain, which is shorter than any window.
    AllOver,
}

/// What a step leads to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Move {
    Go(u32),
    Done(Finish),
    Broken(Violation),
}

/// What is looked at of a register again and again.
pub(crate) struct RegisterFacts {
    pub(crate) register: Arc<Register>,
    pub(crate) phase: Phase,
    pub(crate) current: u8,
    pub(crate) next: Option<u8>,
    pub(crate) last: u8,
    /// Generations that somebody who reads it may send.
    pub(crate) sendable: u16,
    /// Per database: the changed user's place, and what it may be on.
    pub(crate) targets: Vec<(usize, u16)>,
    /// Per database: what the changed user was last seen on.
    pub(crate) known: Vec<u8>,
}

/// What is looked at of a worker again and again.
pub(crate) struct WorkerFacts {
    pub(crate) worker: Arc<Worker>,
    pub(crate) reads_only: bool,
    /// It may run out of budget here with consequences.
    pub(crate) undecided: bool,
    /// It may see here that the drain is over.
    pub(crate) waits: bool,
    /// It may see here that a window is over.
    pub(crate) sees_windows: bool,
    /// What it is about to write, and whether that takes a new epoch.
    pub(crate) write: Option<(u32, bool)>,
    /// Whether anything it may send carries its epoch.
    pub(crate) uses_epoch: bool,
    pub(crate) next: Option<u8>,
    /// Generations it may send.
    pub(crate) sendable: u16,
}

pub(crate) struct Memo<'b> {
    b: &'b Bounds,
    registers: Vec<RegisterFacts>,
    register_ids: Ids<Arc<Register>>,
    workers: Vec<WorkerFacts>,
    worker_ids: Ids<Arc<Worker>>,
    outcomes: Vec<Outcome>,
    steps: FastMap<(u32, u32, u64, Moment), Move>,
    beginners: [u32; 3],
}

impl<'b> Memo<'b> {
    pub(crate) fn new(b: &'b Bounds) -> Self {
        let refused = Outcome::Refused;
        let outcomes = vec![
            Outcome::Unknown, // no answer is looked up under 0
            Outcome::Applied,
            Outcome::Unknown,
            refused(Reason::Credential),
            refused(Reason::Conflict),
            refused(Reason::Drift),
            refused(Reason::Fenced),
            refused(Reason::Missing),
            refused(Reason::Permanent),
            refused(Reason::Transient),
        ];
        let mut memo = Self {
            b,
            registers: Vec::new(),
            register_ids: Ids::default(),
            workers: Vec::new(),
            worker_ids: Ids::default(),
            outcomes,
            steps: FastMap::default(),
            beginners: [0; 3],
        };
        // Number 0 is nobody.
        memo.worker_id(Worker::new(0, Goal::Rotate, Timestamp(0)));
        memo.beginners =
            [Goal::Rotate, Goal::Recover, Goal::Revoke].map(|goal| memo.worker_id(Worker::new(1, goal, BUDGET)));
        memo
    }

    /// The register that `World::start` describes.
    pub(crate) fn first_register(&mut self) -> u32 {
        let known = |alternating: bool| {
            let user = |at: u8| UserRegister { known: Some(g(at)), maybe: Vec::new() };
            DatabaseRegister {
                live: UserIx(0),
                users: if alternating { vec![user(1), user(0)] } else { vec![user(1)] },
                sent: false,
                window: None,
            }
        };
        let databases = self.b.plan.databases.iter().map(|p| known(p.strategy == Strategy::Alternating)).collect();
        self.register_id(Register {
            epoch: Epoch(1),
            owner: Owner::default(),
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
            databases,
        })
    }

    pub(crate) fn register(&self, id: u32) -> &RegisterFacts {
        &self.registers[id as usize]
    }

    pub(crate) fn worker(&self, id: u32) -> &WorkerFacts {
        &self.workers[id as usize]
    }

    pub(crate) fn beginner(&self, goal: Goal) -> u32 {
        self.beginners[match goal {
            Goal::Rotate => 0,
            Goal::Recover => 1,
            Goal::Revoke => 2,
        }]
    }

    pub(crate) fn outcome(&self, answer: Answer) -> &Outcome {
        &self.outcomes[usize::from(answer)]
    }

    pub(crate) fn labels(&mut self, current: Seen, pending: Seen) -> Answer {
        let outcome = Outcome::Labels { current, pending };
        let at = self.outcomes.iter().position(|o| *o == outcome).unwrap_or_else(|| {
            self.outcomes.push(outcome);
            self.outcomes.len() - 1
        });
        u8::try_from(at).expect("few generations make few labels")
    }

    /// The number of a register, in its normal form.
    pub(crate) fn register_id(&mut self, mut register: Register) -> u32 {
        register.owner = Owner { worker: 2, write: 0, until: NOW };
        register.epoch = Epoch(1);
        rebase(&mut register);
        if let Some(id) = self.register_ids.get(&register) {
            return *id;
        }
        let register = Arc::new(register);
        let id = u32::try_from(self.registers.len()).unwrap();
        let targets = self.b.plan.databases.iter().zip(&register.databases).map(|(plan, d)| {
            let target = d.target(*plan);
            let user = &d.users[usize::from(target.0)];
            (usize::from(target.0), user.candidates().into_iter().map(n).fold(0, |all, g| all | bit(g)))
        });
        let known = self.b.plan.databases.iter().zip(&register.databases);
        let known = known.map(|(plan, d)| d.users[usize::from(d.target(*plan).0)].known.map_or(NONE, n));
        self.registers.push(RegisterFacts {
            phase: register.phase,
            current: n(register.current),
            next: register.next.map(n),
            last: n(register.last),
            sendable: sendable(&register),
            targets: targets.collect(),
            known: known.collect(),
            register: Arc::clone(&register),
        });
        self.register_ids.insert(register, id);
        id
    }

    /// The number of a worker, in its normal form.
    pub(crate) fn worker_id(&mut self, mut worker: Worker) -> u32 {
        normalize(&mut worker);
        if let Some(id) = self.worker_ids.get(&worker) {
            return *id;
        }
        let write = match &worker.stage {
            Stage::Write { attempt, .. } => {
                Some((self.register_id((**attempt).clone()), attempt.epoch > worker.register.epoch))
            }
            _ => None,
        };
        assert!(worker.issued.len() <= BATCH, "a batch of {}", worker.issued.len());
        let r = &worker.register;
        let has_windows = r.databases.iter().any(|d| d.window.is_some());
        let undecided = matches!(
            worker.stage,
            Stage::LookPending(_)
                | Stage::Staging(_)
                | Stage::ReadBack
                | Stage::Applying(_)
                | Stage::Verify
                | Stage::Undo
                | Stage::UndoVerify
        );
        let looks = matches!(worker.stage, Stage::Preflight | Stage::Resolve(..));
        let facts = WorkerFacts {
            reads_only: worker.issued.iter().all(is_read),
            undecided,
            waits: r.quiet.is_some() && (undecided || looks),
            sees_windows: worker.stage == Stage::Preflight && has_windows,
            write,
            uses_epoch: worker.stage != Stage::Read && r.phase != Phase::Commit,
            next: r.next.map(n),
            sendable: if worker.stage == Stage::Read { 0 } else { sendable(r) },
            worker: Arc::new(worker),
        };
        let id = u32::try_from(self.workers.len()).unwrap();
        self.worker_ids.insert(Arc::clone(&facts.worker), id);
        self.workers.push(facts);
        id
    }

    /// The step after a whole batch is answered.
    pub(crate) fn step(&mut self, worker: u32, answers: [Answer; BATCH], moment: Moment) -> Move {
        let key = (worker, u32::MAX, u64::from_le_bytes(answers), moment);
        if let Some(known) = self.steps.get(&key) {
            return known.clone();
        }
        let w = Arc::clone(&self.worker(worker).worker);
        let outcomes: Vec<Outcome> = answers.iter().take(w.issued.len()).map(|a| self.outcome(*a).clone()).collect();
        let found = self.really_step(&w, &outcomes, moment);
        self.steps.insert(key, found.clone());
        found
    }

    /// The step of a worker that has read register `register` for the first time.
    pub(crate) fn step_read(&mut self, worker: u32, register: u32) -> Move {
        let key = (worker, register, 0, Moment::Now);
        if let Some(known) = self.steps.get(&key) {
            return known.clone();
        }
        let w = Arc::clone(&self.worker(worker).worker);
        let outcome = Outcome::Register(Some(Arc::clone(&self.register(register).register)));
        let found = self.really_step(&w, &[outcome], Moment::Now);
        self.steps.insert(key, found.clone());
        found
    }

    /// The steps of a worker whose write was not answered, and which then reads the register.
    pub(crate) fn step_settle(&mut self, worker: u32, tie: Tie) -> Move {
        let key = (worker, u32::MAX - 1, tie as u64, Moment::Now);
        if let Some(known) = self.steps.get(&key) {
            return known.clone();
        }
        let w = Arc::clone(&self.worker(worker).worker);
        let found = step(&self.b.plan, &w, NOW, &[Outcome::Unknown]).map(|s| s.worker);
        let found = match found {
            Err(violation) => Move::Broken(violation),
            Ok(settling) => {
                let Stage::Settle { attempt, .. } = &settling.stage else { unreachable!("it looks for its nonce") };
                let mut register = match tie {
                    Tie::Attempted => (**attempt).clone(),
                    Tie::Known | Tie::Other => (*settling.register).clone(),
                };
                if tie == Tie::Other {
                    register.owner = Owner { worker: 9, write: 9, until: NOW };
                }
                self.really_step(&settling, &[Outcome::Register(Some(Arc::new(register)))], Moment::Now)
            }
        };
        self.steps.insert(key, found.clone());
        found
    }

    fn really_step(&mut self, worker: &Worker, outcomes: &[Outcome], moment: Moment) -> Move {
        let now = match moment {
            Moment::Now | Moment::WindowsOver => NOW,
            Moment::Late => LATE,
            Moment::Drained | Moment::AllOver => DRAINED,
        };
        let mut worker = worker.clone();
        if matches!(moment, Moment::WindowsOver | Moment::AllOver) {
            for d in &mut Arc::make_mut(&mut worker.register).databases {
                d.window = d.window.map(|w| Window { until: Timestamp(0), ..w });
            }
        }
        match step(&self.b.plan, &worker, now, outcomes) {
            Err(violation) => Move::Broken(violation),
            Ok(step) => match step.next {
                Next::Done(finish) => Move::Done(finish),
                Next::Effects(..) => {
                    let mut worker = step.worker;
                    for s in &self.b.switches {
                        s.spoil_worker(&mut worker);
                    }
                    Move::Go(self.worker_id(worker))
                }
            },
        }
    }
}

/// Whether an effect only asks.
pub(crate) fn is_read(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::CheckCurrent { .. }
            | Effect::Inspect { .. }
            | Effect::Login { .. }
            | Effect::ProveRefused { .. }
            | Effect::Published { .. }
            | Effect::ReadBack { .. }
            | Effect::ReadLabels { .. }
    )
}

fn sendable(register: &Register) -> u16 {
    bit(n(register.current)) | register.next.map_or(0, |g| bit(n(g)))
}

/// The normal form of a worker. What is cleared is read by no step that can follow: after the decision nobody aborts any more
/// (progress, originator, unknown), and after going back is decided nobody decides it again (originator, unknown).
fn normalize(worker: &mut Worker) {
    worker.id = worker.id.min(1);
    worker.writes = 0;
    if worker.stage != Stage::Read {
        worker.goal = Goal::Rotate;
    }
    let shift = worker.register.epoch.0.saturating_sub(1);
    let own = worker.register.owner.worker == 1;
    let register = Arc::make_mut(&mut worker.register);
    register.epoch.0 -= shift;
    // Its own lease is fresh; renewing it only adds places at which a worker notices that it was fenced.
    let until = if own { NOW.plus_ms(LEASE_MS) } else { NOW };
    register.owner = Owner { worker: if own { 1 } else { 2 }, write: 0, until };
    rebase(register);
    let (phase, decided) = (register.phase, matches!(register.phase, Phase::Commit | Phase::Idle));
    let fresh_attempt = match &mut worker.stage {
        Stage::Write { attempt, .. } | Stage::Settle { attempt, .. } => {
            let register = Arc::make_mut(attempt);
            register.epoch.0 -= shift;
            register.owner = Owner { worker: 1, write: 1, until: NOW.plus_ms(LEASE_MS) };
            rebase(register);
            Some(Arc::clone(attempt))
        }
        _ => None,
    };
    for effect in &mut worker.issued {
        match effect {
            Effect::Apply { epoch, .. }
            | Effect::Vote { epoch, .. }
            | Effect::Burn { epoch, .. }
            | Effect::Restore { epoch, .. } => epoch.0 -= shift,
            Effect::WriteRegister { register } => {
                if let Some(attempt) = &fresh_attempt {
                    *register = Arc::clone(attempt);
                }
            }
            _ => {}
        }
    }
    let aborting = matches!(&worker.stage, Stage::Write { then: Then::Aborted, .. });
    if decided {
        worker.restored = 0;
    }
    if decided || phase == Phase::Abort {
        worker.originator = false;
        worker.unknown = 0;
    }
    if decided && !aborting {
        worker.progress.iter_mut().for_each(|p| *p = dizzy_engine::Progress::Fresh);
        worker.facts.clear();
    }
}

/// Moves every time in a register back to the usual one, so that states that differ only in time are one state.
fn rebase(r: &mut Register) {
    r.taken = r.taken.map(|_| NOW);
    r.quiet = r.quiet.map(|_| NOW.plus_ms(DRAIN_MS));
    for d in &mut r.databases {
        let end = |w: Window| if w.until < NOW { Timestamp(0) } else { NOW.plus_ms(WINDOW_MS) };
        d.window = d.window.map(|w| Window { until: end(w), ..w });
    }
}

/// Mixes words; good enough for some millions of small things.
#[derive(Clone, Copy)]
pub(crate) struct Mix {
    a: u64,
    b: u64,
}

impl Default for Mix {
    fn default() -> Self {
        Self { a: 0x9e37_79b9_7f4a_7c15, b: 0xc2b2_ae3d_27d4_eb4f }
    }
}

impl Mix {
    fn add(&mut self, x: u64) {
        self.a = (self.a.rotate_left(5) ^ x).wrapping_mul(0x517c_c1b7_2722_0a95);
        self.b = (self.b ^ x).wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(23);
    }

    /// Two independent 64-bit hashes: with some millions of states, a collision is far less likely than a broken machine.
    pub(crate) fn fingerprint(value: &impl Hash) -> u128 {
        let mut hasher = Self::default();
        value.hash(&mut hasher);
        u128::from(hasher.finish()) << 64 | u128::from(hasher.b.wrapping_mul(0xff51_afd7_ed55_8ccd) ^ hasher.b >> 33)
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        let x = self.a ^ self.a >> 32;
        x.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ x >> 29
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut x = [0; 8];
            x[..chunk.len()].copy_from_slice(chunk);
            self.add(u64::from_le_bytes(x));
        }
    }
    fn write_u8(&mut self, x: u8) {
        self.add(x.into());
    }
    fn write_u16(&mut self, x: u16) {
        self.add(x.into());
    }
    fn write_u32(&mut self, x: u32) {
        self.add(x.into());
    }
    fn write_u64(&mut self, x: u64) {
        self.add(x);
    }
    fn write_usize(&mut self, x: usize) {
        self.add(x as u64);
    }
    fn write_isize(&mut self, x: isize) {
        self.add(x.cast_unsigned() as u64);
    }
    fn write_i64(&mut self, x: i64) {
        self.add(x.cast_unsigned());
    }
}

#[expect(clippy::disallowed_types, reason = "millions of entries; the order of iteration is never used")]
pub(crate) type FastMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Mix>>;
type Ids<K> = FastMap<K, u32>;
