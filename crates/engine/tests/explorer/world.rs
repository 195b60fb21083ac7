//! The made-up world in which the real `step` runs: two databases, two stores, one register, and every legal answer.
//!
//! A password is its generation. A PostgreSQL fence row changes with the password, so its generation is the password; only its
//! epoch is kept apart. One request per database may be delayed. Answers of an effect are all that the ports allow.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use dizzy_engine::{
    Capability, DRAIN_MS, DatabaseIx, DatabasePlan, DatabaseRegister, Effect, Epoch, Generation, LEASE_MS, Outcome,
    Owner, Phase, Plan, Reason, Register, Seen, StoreIx, StorePlan, Strategy, Timestamp, UserIx, UserRegister, Worker,
};

use crate::switches::Switch;

/// No generation.
pub const NONE: u8 = 99;

/// The usual time; a spent budget; a rollover window, longer than any drain; a time after the drain.
pub const NOW: Timestamp = Timestamp(1);
pub const BUDGET: Timestamp = Timestamp(1_000);
pub const LATE: Timestamp = Timestamp(2_000);
pub const WINDOW_MS: i64 = 100 * DRAIN_MS;
pub const DRAINED: Timestamp = Timestamp(2 + DRAIN_MS);

/// What is searched.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub name: String,
    pub plan: Plan,
    pub workers: usize,
    /// Highest generation to be issued; the first is 2.
    pub last: u8,
    /// One request per database may execute later, or never.
    pub delayed: bool,
    /// Stores may answer from before the last promotion.
    pub stale: bool,
    /// A database may refuse a generation for good.
    pub refusals: bool,
    /// ... a voting one only at its COMMIT.
    pub late_refusals: bool,
    /// A rollover window may expire during a rotation.
    pub expiry: bool,
    pub switch: Option<Switch>,
}

impl Bounds {
    pub fn has(&self, switch: Switch) -> bool {
        self.switch == Some(switch)
    }
}

pub fn plan_of(kinds: [(Strategy, Capability); 2], ends_windows: bool) -> Plan {
    let announce = kinds.iter().any(|k| k.0 == Strategy::Single);
    let databases = kinds.map(|(strategy, capability)| DatabasePlan {
        ends_windows: ends_windows && strategy == Strategy::Rollover,
        window_ms: if strategy == Strategy::Rollover { WINDOW_MS } else { 0 },
        ..DatabasePlan::new(strategy, capability)
    });
    // The second store is like OCI Vault: staging there always moves PENDING.
    Plan::new(databases.to_vec(), vec![StorePlan { announce }, StorePlan { announce: true }])
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Transaction {
    pub slot: u8,
    pub user: u8,
    pub from: u8,
    pub to: u8,
    pub epoch: Epoch,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Delayed {
    Request(Effect),
    Commit(Transaction),
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Database {
    /// Password of each user; of a rollover user, the newest.
    pub password: [u8; 2],
    /// Rollover: the first password of the open window.
    pub first: u8,
    /// Highest epoch in each user's fence row.
    pub epoch: [Epoch; 2],
    pub transaction: Option<Transaction>,
    pub delayed: Option<Delayed>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Store {
    pub current: u8,
    pub previous: u8,
    pub pending: u8,
    /// Bit per retained generation.
    pub kept: u32,
}

/// A value that is hashed once: workers change rarely, and most of a state is workers.
#[derive(Clone, Debug)]
pub struct Hashed<T> {
    value: T,
    hash: u64,
}

impl<T: Hash> Hashed<T> {
    pub fn new(value: T) -> Self {
        let mut hasher = crate::search::Mix::start();
        value.hash(&mut hasher);
        Self { hash: hasher.finish(), value }
    }
}

impl<T> std::ops::Deref for Hashed<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Hashed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.value == other.value
    }
}

impl<T: Eq> Eq for Hashed<T> {}

impl<T> Hash for Hashed<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Slot {
    pub worker: Arc<Hashed<Worker>>,
    /// Answers to the worker's batch so far.
    pub answers: Vec<Outcome>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct World {
    pub register: Arc<Register>,
    pub databases: [Database; 2],
    pub stores: [Store; 2],
    /// Databases that refuse the generation under way for good.
    pub refuses: u8,
    pub slots: [Option<Slot>; 2],
}

pub fn g(n: u8) -> Generation {
    Generation(u64::from(n))
}

pub fn n(generation: Generation) -> u8 {
    u8::try_from(generation.0).unwrap()
}

impl World {
    /// Both stores publish generation 1; an alternating database's second user has generation 0.
    pub fn start(plan: &Plan) -> Self {
        let store = Store { current: 1, previous: 0, pending: NONE, kept: 0b11 };
        let database = |p: &DatabasePlan| Database {
            password: if p.strategy == Strategy::Alternating { [1, 0] } else { [1, 1] },
            first: NONE,
            epoch: [Epoch(0); 2],
            transaction: None,
            delayed: None,
        };
        let known = |p: &DatabasePlan| {
            let user = |at: u8| UserRegister { known: Some(g(at)), maybe: Vec::new() };
            DatabaseRegister {
                live: UserIx(0),
                users: if p.strategy == Strategy::Alternating { vec![user(1), user(0)] } else { vec![user(1)] },
                sent: false,
                window: None,
            }
        };
        let register = Register {
            epoch: Epoch(0),
            owner: Owner { worker: 0, write: 0, until: NOW },
            taken: None,
            quiet: None,
            phase: Phase::Idle,
            was: Phase::Idle,
            current: g(1),
            next: None,
            last: g(1),
            kept: vec![g(0), g(1)],
            databases: plan.databases.iter().map(known).collect(),
        };
        Self {
            register: Arc::new(register),
            databases: [database(&plan.databases[0]), database(&plan.databases[1])],
            stores: [store; 2],
            refuses: 0,
            slots: [None, None],
        }
    }

    pub fn logs_in(&self, plan: &Plan, d: usize, user: u8, generation: u8) -> bool {
        let database = &self.databases[d];
        match plan.databases[d].strategy {
            Strategy::Alternating => database.password[usize::from(user)] == generation,
            Strategy::Single => database.password[0] == generation,
            Strategy::Rollover => database.password[0] == generation || database.first == generation,
        }
    }

    /// Whether what a store publishes as `generation` logs in. A published generation names the user that was
    /// changed for it, which alternates with every finished one; the passwords are all different.
    pub fn publishes_well(&self, plan: &Plan, d: usize, generation: u8) -> bool {
        generation != NONE && (self.logs_in(plan, d, 0, generation) || self.logs_in(plan, d, 1, generation))
    }

    pub fn is_at_rest(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    /// Nothing but worker `k` can act any more.
    pub fn is_drained(&self, k: usize) -> bool {
        self.slots.iter().enumerate().all(|(j, s)| j == k || s.is_none())
            && self.databases.iter().all(|d| d.delayed.is_none())
    }

    /// An open transaction, or one whose COMMIT is under way, holds the fence row.
    fn is_locked(&self, d: usize) -> bool {
        self.databases[d].transaction.is_some() || matches!(self.databases[d].delayed, Some(Delayed::Commit(_)))
    }

    fn set(&mut self, plan: &Plan, d: usize, user: u8, to: u8) {
        let database = &mut self.databases[d];
        match plan.databases[d].strategy {
            Strategy::Alternating => database.password[usize::from(user)] = to,
            Strategy::Single => database.password[0] = to,
            // Oracle: the first password of the window stays valid, those in between are dropped.
            Strategy::Rollover if database.first == NONE => {
                if database.password[0] != to {
                    database.first = database.password[0];
                    database.password[0] = to;
                }
            }
            Strategy::Rollover => {
                if database.first == to {
                    database.first = NONE;
                }
                database.password[0] = to;
            }
        }
    }

    /// The fence predicate of rulings §3.1.
    fn fence_allows(&self, b: &Bounds, d: usize, user: u8, epoch: Epoch, from: u8, to: u8) -> bool {
        if b.has(Switch::UnconditionalChange) || b.has(Switch::LoginOnly) {
            return true;
        }
        let database = &self.databases[d];
        let (at, password) = match b.plan.databases[d].strategy {
            Strategy::Alternating => (usize::from(user), database.password[usize::from(user)]),
            Strategy::Rollover | Strategy::Single => (0, database.password[0]),
        };
        let generation = match b.plan.databases[d].strategy {
            Strategy::Alternating if b.has(Switch::ExactAlternatingFence) => {
                password == to || Some(password) == self.register.current.0.try_into().ok()
            }
            Strategy::Alternating => password <= to,
            Strategy::Rollover | Strategy::Single => password == from || password == to,
        };
        database.epoch[at] <= epoch && generation
    }

    fn fenced_set(&mut self, b: &Bounds, d: usize, user: u8, epoch: Epoch, to: u8) {
        let at = if b.plan.databases[d].strategy == Strategy::Alternating { usize::from(user) } else { 0 };
        self.databases[d].epoch[at] = self.databases[d].epoch[at].max(epoch);
        self.set(&b.plan, d, user, to);
    }

    /// Executes a change request as the server would, whenever it arrives. `at_once` is false for a delayed one:
    /// its session was opened before, so only what is checked at execution counts.
    fn change(&mut self, b: &Bounds, effect: &Effect, at_once: bool) -> Result<(), Reason> {
        let (Effect::Apply { database, user, from, to, epoch } | Effect::Restore { database, user, from, to, epoch }) =
            effect
        else {
            unreachable!("only changes come here")
        };
        let (d, user, from, to) = (usize::from(database.0), user.0, n(*from), n(*to));
        let plan = b.plan.databases[d];
        let is_restore = matches!(effect, Effect::Restore { .. });
        let epoch = &if is_restore { b.switch.map_or(*epoch, |s| s.spoil_epoch(*epoch)) } else { *epoch };
        if plan.capability == Capability::RowFence {
            if self.is_locked(d) {
                return Err(Reason::Transient);
            }
            if at_once && !self.logs_in(&b.plan, d, user, from) && !b.has(Switch::UnconditionalChange) {
                return Err(Reason::Credential);
            }
            if !self.fence_allows(b, d, user, *epoch, from, to) {
                return Err(Reason::Fenced);
            }
            self.fenced_set(b, d, user, *epoch, to);
            return Ok(());
        }
        let any = b.has(Switch::UnconditionalChange)
            || (b.has(Switch::OverwriteNewer) && plan.strategy == Strategy::Alternating && !is_restore);
        if !self.logs_in(&b.plan, d, user, from) && !any {
            return Err(Reason::Credential);
        }
        if !(plan.strategy == Strategy::Rollover && self.databases[d].password[0] == to) {
            self.set(&b.plan, d, user, to);
        }
        Ok(())
    }

    /// A delayed request reaches the server.
    pub fn deliver_delayed(&mut self, b: &Bounds, d: usize) {
        match self.databases[d].delayed.take() {
            None => {}
            Some(Delayed::Request(Effect::EndWindow { .. })) => self.databases[d].first = NONE,
            Some(Delayed::Request(effect)) => {
                let before = self.clone();
                if self.change(b, &effect, false).is_err() {
                    *self = before;
                }
            }
            // The row lock was held since the transaction was opened, so its predicate still holds.
            Some(Delayed::Commit(t)) => self.fenced_set(b, d, t.user, t.epoch, t.to),
        }
    }

    /// Every answer that worker `k` may get to `effect`, with the world after it.
    pub fn answers(&self, b: &Bounds, k: usize, effect: &Effect, out: &mut Vec<(World, Outcome)>) {
        let refused = Outcome::Refused;
        let same = |outcome| (self.clone(), outcome);
        match effect {
            Effect::ReadRegister => out.push(same(Outcome::Register(Some(self.seen_register(b))))),
            Effect::WriteRegister { register } => self.write_register(b, k, register, out),
            Effect::CheckCurrent { store, generation } => {
                for current in self.seen_current(b, *store) {
                    let ok = current == n(*generation) || b.has(Switch::BaseFromLabel);
                    out.push(same(if ok { Outcome::Applied } else { refused(Reason::Drift) }));
                }
            }
            Effect::Inspect { database, user, generation } | Effect::Login { database, user, generation } => {
                let ok = self.logs_in(&b.plan, usize::from(database.0), user.0, n(*generation));
                out.push(same(if ok { Outcome::Applied } else { refused(Reason::Credential) }));
            }
            Effect::ReadLabels { store } => {
                let pending = match self.stores[usize::from(store.0)].pending {
                    NONE => Seen::Nothing,
                    p if b.has(Switch::PendingIgnored) && self.newer_than_own(k, p) => Seen::Nothing,
                    p => Seen::Generation(g(p)),
                };
                for current in self.seen_current(b, *store) {
                    out.push(same(Outcome::Labels { current: Seen::Generation(g(current)), pending }));
                }
            }
            Effect::Stage { store, generation, announce } => self.stage(b, *store, n(*generation), *announce, out),
            Effect::ReadBack { store, generation } => {
                let there = self.stores[usize::from(store.0)].kept >> n(*generation) & 1 == 1;
                out.push(same(if there || b.has(Switch::NoStaging) {
                    Outcome::Applied
                } else {
                    refused(Reason::Missing)
                }));
                if there && b.stale {
                    out.push(same(refused(Reason::Missing)));
                }
            }
            Effect::Apply { database, to, .. } | Effect::Restore { database, to, .. } => {
                let is_restore = matches!(effect, Effect::Restore { .. });
                let d = usize::from(database.0);
                if !is_restore && self.refuses_for_good(d, *to) {
                    out.push(same(refused(Reason::Permanent)));
                    return;
                }
                let mut after = self.clone();
                match after.change(b, effect, true) {
                    Ok(()) => {
                        after.promote_early(b, d, n(*to));
                        out.push((after.clone(), Outcome::Unknown));
                        out.push((after, Outcome::Applied));
                    }
                    Err(reason) => out.push(same(refused(reason))),
                }
                out.push(same(Outcome::Unknown));
                self.delay(b, d, Delayed::Request(effect.clone()), out);
            }
            Effect::Vote { database, user, from, to, epoch } => {
                let d = usize::from(database.0);
                let outcome = if self.is_locked(d) {
                    refused(Reason::Transient)
                } else if self.refuses_for_good(d, *to) && !b.late_refusals {
                    refused(Reason::Permanent)
                } else if !self.logs_in(&b.plan, d, user.0, n(*from)) && !b.has(Switch::UnconditionalChange) {
                    refused(Reason::Credential)
                } else if !self.fence_allows(b, d, user.0, *epoch, n(*from), n(*to)) {
                    refused(Reason::Fenced)
                } else {
                    let mut after = self.clone();
                    after.databases[d].transaction = Some(Transaction {
                        slot: u8::try_from(k).unwrap(),
                        user: user.0,
                        from: n(*from),
                        to: n(*to),
                        epoch: *epoch,
                    });
                    out.push((after, Outcome::Applied));
                    return;
                };
                out.push(same(outcome));
            }
            Effect::CommitVote { database, generation } => {
                let d = usize::from(database.0);
                let mut after = self.clone();
                let Some(t) = after.databases[d].transaction.take_if(|t| usize::from(t.slot) == k) else {
                    out.push(same(refused(Reason::Transient)));
                    return;
                };
                if self.refuses_for_good(d, *generation) {
                    out.push((after, refused(Reason::Permanent)));
                    return;
                }
                out.push((after.clone(), Outcome::Unknown));
                after.delay(b, d, Delayed::Commit(t.clone()), out);
                after.fenced_set(b, d, t.user, t.epoch, t.to);
                after.promote_early(b, d, t.to);
                out.push((after.clone(), Outcome::Unknown));
                out.push((after, Outcome::Applied));
            }
            Effect::EndWindow { database } => {
                let d = usize::from(database.0);
                out.push(same(Outcome::Unknown));
                self.delay(b, d, Delayed::Request(effect.clone()), out);
                let mut after = self.clone();
                after.databases[d].first = NONE;
                out.push((after.clone(), Outcome::Unknown));
                out.push((after, Outcome::Applied));
            }
            Effect::Burn { database, user, from, epoch } => {
                let d = usize::from(database.0);
                let at = usize::from(user.0);
                let epoch = &b.switch.map_or(*epoch, |s| s.spoil_epoch(*epoch));
                let outcome = if self.is_locked(d) {
                    refused(Reason::Transient)
                } else if !self.logs_in(&b.plan, d, user.0, n(*from)) {
                    refused(Reason::Credential)
                } else if self.databases[d].epoch[at] > *epoch {
                    refused(Reason::Fenced)
                } else {
                    let mut after = self.clone();
                    if !b.has(Switch::NoBurn) {
                        after.databases[d].epoch[at] = *epoch;
                    }
                    out.push((after, Outcome::Applied));
                    return;
                };
                out.push(same(outcome));
            }
            Effect::Promote { store, from, to } => {
                let s = usize::from(store.0);
                if b.has(Switch::FinishWithoutPromotion) {
                    out.push(same(Outcome::Applied));
                }
                if self.stores[s].current == n(*from) {
                    let mut after = self.clone();
                    after.stores[s].promote(n(*to));
                    out.push((after.clone(), Outcome::Unknown));
                    out.push((after, Outcome::Applied));
                    out.push(same(Outcome::Unknown));
                } else {
                    out.push(same(refused(Reason::Conflict)));
                }
            }
            Effect::Published { store, generation } => {
                for current in self.seen_current(b, *store) {
                    let ok = current == n(*generation) && (0..2).all(|d| self.publishes_well(&b.plan, d, current));
                    out.push(same(if ok || b.has(Switch::FinishWithoutPromotion) {
                        Outcome::Applied
                    } else {
                        refused(Reason::Drift)
                    }));
                }
            }
            Effect::Prune { store, generation } => {
                let mut after = self.clone();
                let s = &mut after.stores[usize::from(store.0)];
                if b.has(Switch::PruneByKeepSetAlone) {
                    s.kept &= 1 << s.current | 1 << s.previous;
                }
                s.kept &= !(1 << n(*generation));
                out.push((after, Outcome::Applied));
                out.push(same(Outcome::Unknown));
            }
        }
    }

    fn newer_than_own(&self, k: usize, pending: u8) -> bool {
        self.slots[k].as_ref().and_then(|s| s.worker.register.next).is_some_and(|own| g(pending) > own)
    }

    fn refuses_for_good(&self, d: usize, to: Generation) -> bool {
        self.refuses >> d & 1 == 1 && self.register.next == Some(to)
    }

    fn delay(&self, b: &Bounds, d: usize, delayed: Delayed, out: &mut Vec<(World, Outcome)>) {
        if b.delayed && self.databases[d].delayed.is_none() {
            let mut after = self.clone();
            after.databases[d].delayed = Some(delayed);
            out.push((after, Outcome::Unknown));
        }
    }

    fn promote_early(&mut self, b: &Bounds, d: usize, to: u8) {
        if b.has(Switch::PromoteBeforeApply) {
            self.stores.iter_mut().for_each(|s| s.promote(to));
        }
        if b.has(Switch::PromotePerDatabase) {
            self.stores[d].promote(to);
        }
    }

    fn seen_current(&self, b: &Bounds, store: StoreIx) -> Vec<u8> {
        let s = self.stores[usize::from(store.0)];
        if b.stale && s.previous != NONE && s.previous != 0 { vec![s.current, s.previous] } else { vec![s.current] }
    }

    fn seen_register(&self, b: &Bounds) -> Arc<Register> {
        let mut register = Arc::clone(&self.register);
        if b.has(Switch::BaseFromLabel) && register.phase == Phase::Idle {
            let s = self.stores[0];
            // A stale label is what makes this rule break.
            let base = if b.stale && s.previous > 0 { s.previous } else { s.current };
            Arc::make_mut(&mut register).current = g(base);
        }
        register
    }

    fn stage(
        &self,
        b: &Bounds,
        store: StoreIx,
        generation: u8,
        announce: Option<Seen>,
        out: &mut Vec<(World, Outcome)>,
    ) {
        let s = usize::from(store.0);
        let mut put = self.clone();
        if !b.has(Switch::NoStaging) {
            put.stores[s].kept |= 1 << generation;
        }
        out.push((self.clone(), Outcome::Unknown));
        let Some(seen) = announce else {
            out.push((put.clone(), Outcome::Unknown));
            out.push((put, Outcome::Applied));
            return;
        };
        let pending = self.stores[s].pending;
        let matches = match seen {
            Seen::Nothing => pending == NONE,
            Seen::Generation(p) => g(pending) == p,
            Seen::Foreign => false,
        };
        if !matches && !b.has(Switch::PendingIgnored) && !b.has(Switch::PlainPending) {
            out.push((put, Outcome::Refused(Reason::Conflict)));
            return;
        }
        out.push((put.clone(), Outcome::Unknown));
        let mut moved = put;
        let store = &mut moved.stores[s];
        if b.has(Switch::PlainPending) && store.pending != NONE && store.pending != generation {
            // Without names of their own, versions live by the stages alone.
            store.kept &= !(1 << store.pending) | 1 << store.current | 1 << store.previous;
        }
        store.pending = generation;
        out.push((moved.clone(), Outcome::Unknown));
        out.push((moved, Outcome::Applied));
    }

    fn write_register(&self, b: &Bounds, k: usize, attempt: &Arc<Register>, out: &mut Vec<(World, Outcome)>) {
        let expected = self.slots[k].as_ref().unwrap().worker.register.owner;
        let unfenced = b.has(Switch::UnfencedJournal);
        if !self.register.owner.is_same_write(expected) && !unfenced {
            out.push((self.clone(), Outcome::Refused(Reason::Conflict)));
            return;
        }
        out.push((self.clone(), Outcome::Unknown));
        out.push((self.clone(), Outcome::Refused(Reason::Transient)));
        let before = &self.register;
        let mut after = self.clone();
        after.register = Arc::clone(attempt);
        b.switch.inspect(|s| s.spoil_write(before, Arc::make_mut(&mut after.register)));
        let is_intent = attempt.phase == Phase::Intent && before.phase == Phase::Idle;
        if attempt.phase == Phase::Idle && before.phase != Phase::Idle {
            after.refuses = 0;
            if before.phase == Phase::Abort && b.has(Switch::DropAborted) {
                let given_up = n(before.next.unwrap());
                after.stores.iter_mut().for_each(|s| s.kept &= !(1 << given_up));
            }
        }
        let masks = if is_intent && b.refusals { 0..3 } else { after.refuses..after.refuses + 1 };
        for refuses in masks {
            let mut after = after.clone();
            after.refuses = refuses;
            out.push((after.clone(), Outcome::Unknown));
            out.push((after, Outcome::Applied));
        }
    }
}

impl Store {
    fn promote(&mut self, to: u8) {
        if self.current == to {
            return;
        }
        self.previous = self.current;
        self.current = to;
        if self.pending == to {
            self.pending = NONE;
        }
        self.kept |= 1 << to;
    }
}

/// Moves every time in a register back to the usual one, so that states that differ only in time are one state.
pub fn rebase(register: &mut Arc<Register>) {
    let r = &**register;
    let until = if r.owner.until.0 >= NOW.0 + LEASE_MS { NOW.plus_ms(LEASE_MS) } else { NOW };
    let fine = (r.owner.until == NOW || r.owner.until == NOW.plus_ms(LEASE_MS))
        && r.taken.is_none_or(|t| t == NOW)
        && r.quiet.is_none_or(|t| t == NOW.plus_ms(DRAIN_MS))
        && r.databases.iter().all(|d| d.window.is_none_or(|w| w.until == NOW.plus_ms(WINDOW_MS)));
    if fine {
        return;
    }
    let r = Arc::make_mut(register);
    // A write that frees the set carries its own time; one that keeps it, a lease from then on.
    r.owner.until = if matches!(r.owner.until, t if [NOW, LATE, DRAINED].contains(&t)) { NOW } else { until };
    r.taken = r.taken.map(|_| NOW);
    r.quiet = r.quiet.map(|_| NOW.plus_ms(DRAIN_MS));
    for d in &mut r.databases {
        if let Some(w) = &mut d.window {
            w.until = NOW.plus_ms(WINDOW_MS);
        }
    }
}

/// The database of an effect, if it has one.
pub fn database_of(effect: &Effect) -> Option<DatabaseIx> {
    match effect {
        Effect::Inspect { database, .. }
        | Effect::Login { database, .. }
        | Effect::Apply { database, .. }
        | Effect::Vote { database, .. }
        | Effect::CommitVote { database, .. }
        | Effect::EndWindow { database }
        | Effect::Burn { database, .. }
        | Effect::Restore { database, .. } => Some(*database),
        _ => None,
    }
}
