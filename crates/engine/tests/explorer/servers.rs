//! How databases, stores and the register behave: every answer that an effect may get, with the world after it.
//!
//! What the ports promise is in the host's port traits; a fault kind that the bounds leave out is not answered.

use dizzy_engine::{Capability, Effect, Generation, Phase, Seen, Strategy};

use crate::{
    bounds::Bounds,
    memo::{self, APPLIED, Answer, CONFLICT, CREDENTIAL, DRIFT, FENCED, MISSING, PERMANENT, TRANSIENT, UNKNOWN},
    switches::Switch,
    world::{Database, Delayed, LateStore, NONE, ORPHAN, Store, Transaction, World, bit, g, n},
};

impl World {
    /// Every answer that a question may get. Asking changes nothing.
    pub(crate) fn read(&self, b: &Bounds, memo: &mut memo::Memo<'_>, k: usize, effect: &Effect, out: &mut Vec<Answer>) {
        let store = |s: &dizzy_engine::StoreIx| self.stores[usize::from(s.0)];
        match effect {
            Effect::CheckCurrent { store: s, generation } => {
                for current in seen_current(b, store(s)) {
                    let ok = current == n(*generation) || b.has(Switch::BaseFromLabel);
                    out.push(if ok { APPLIED } else { DRIFT });
                }
            }
            Effect::Inspect { database, user, generation } | Effect::Login { database, user, generation } => {
                let looks = matches!(effect, Effect::Inspect { .. }) && b.has(Switch::BaseFromLabel);
                let ok = looks || self.logs_in(b, usize::from(database.0), user.0, n(*generation));
                out.push(if ok { APPLIED } else { CREDENTIAL });
            }
            Effect::ProveRefused { database, generation } => {
                let well = self.publishes_well(b, usize::from(database.0), n(*generation));
                out.push(if well { DRIFT } else { APPLIED });
            }
            Effect::ReadLabels { store: s } => {
                let own = memo.worker(self.slots[k].worker).next;
                let pending = match store(s).pending {
                    NONE => Seen::Nothing,
                    p if b.has(Switch::PendingIgnored) && own.is_some_and(|own| p > own) => Seen::Nothing,
                    p => Seen::Generation(g(p)),
                };
                for current in seen_current(b, store(s)) {
                    out.push(memo.labels(Seen::Generation(g(current)), pending));
                }
            }
            Effect::ReadBack { store: s, generation } => {
                let there = store(s).kept & bit(n(*generation)) != 0;
                out.push(if there || b.has(Switch::NoStaging) { APPLIED } else { MISSING });
                if there && b.stale {
                    out.push(MISSING);
                }
            }
            Effect::Published { store: s, generation } => {
                for current in seen_current(b, store(s)) {
                    let ok = current == n(*generation) && (0..2).all(|d| self.publishes_well(b, d, current));
                    out.push(if ok || b.has(Switch::FinishWithoutPromotion) { APPLIED } else { DRIFT });
                }
            }
            other => unreachable!("{other:?} is no question"),
        }
        out.sort_unstable();
        out.dedup();
    }

    /// Every answer that worker `k` may get to a change, with the world after it. Register writes are in the search.
    pub(crate) fn change(
        &self,
        b: &Bounds,
        memo: &memo::Memo<'_>,
        k: usize,
        effect: &Effect,
        out: &mut Vec<(Self, Answer)>,
    ) {
        let epoch = self.slots[k].epoch;
        if b.throttled && !matches!(effect, Effect::Prune { .. } | Effect::Promote { .. }) {
            out.push((*self, TRANSIENT));
        }
        match effect {
            Effect::Apply { database, user, from, to, .. } => {
                let d = usize::from(database.0);
                if self.refuses_for_good(memo, d, *to) {
                    out.push((*self, PERMANENT));
                    return;
                }
                let known = memo.register(self.register).known[d];
                let change = Change { d, user: user.0, from: n(*from), to: n(*to), epoch, restores: false, known };
                self.apply(b, change, out);
            }
            Effect::Restore { database, user, from, to, .. } => {
                let (d, known) = (usize::from(database.0), NONE);
                let change = Change { d, user: user.0, from: n(*from), to: n(*to), epoch, restores: true, known };
                self.apply(b, change, out);
            }
            Effect::Vote { database, user, from, to, .. } => {
                let d = usize::from(database.0);
                let known = memo.register(self.register).known[d];
                let change = Change { d, user: user.0, from: n(*from), to: n(*to), epoch, restores: false, known };
                self.vote(b, memo, k, change, out);
            }
            Effect::CommitVote { database, generation } => {
                self.commit_vote(b, memo, k, usize::from(database.0), *generation, out);
            }
            Effect::EndWindow { database } => {
                let d = usize::from(database.0);
                out.push((*self, UNKNOWN));
                self.delay(b, d, Delayed::EndWindow, out);
                let mut after = *self;
                after.databases[d].first = NONE;
                out.push((after, UNKNOWN));
                out.push((after, APPLIED));
            }
            Effect::Burn { database, user, from, .. } => {
                self.burn(b, usize::from(database.0), user.0, n(*from), epoch, out);
            }
            Effect::Promote { store, from, to } => {
                let s = usize::from(store.0);
                if b.has(Switch::FinishWithoutPromotion) {
                    out.push((*self, APPLIED));
                }
                if self.stores[s].current == n(*from) {
                    let mut after = *self;
                    after.stores[s].promote(n(*to));
                    out.push((after, UNKNOWN));
                    out.push((after, APPLIED));
                    out.push((*self, UNKNOWN));
                    self.put_off(b, s, LateStore::Promote { from: n(*from), to: n(*to) }, out);
                } else {
                    out.push((*self, CONFLICT));
                }
            }
            Effect::Prune { store, generation } => {
                let s = usize::from(store.0);
                let mut after = *self;
                after.stores[s].prune(b, n(*generation));
                out.push((after, APPLIED));
                out.push((after, UNKNOWN));
                out.push((*self, UNKNOWN));
                self.put_off(b, s, LateStore::Prune(n(*generation)), out);
            }
            Effect::Stage { store, generation, announce } => {
                self.stage(b, usize::from(store.0), n(*generation), *announce, out);
            }
            other => unreachable!("{other:?} is no change of a database or store"),
        }
    }

    fn apply(&self, b: &Bounds, change: Change, out: &mut Vec<(Self, Answer)>) {
        let mut after = *self;
        match after.execute(b, change, true) {
            Ok(()) => {
                after.promote_early(b, change.d, change.to);
                out.push((after, UNKNOWN));
                out.push((after, APPLIED));
            }
            Err(reason) => out.push((*self, reason)),
        }
        out.push((*self, UNKNOWN));
        let Change { d, user, from, to, epoch, .. } = change;
        let fenced = b.plan.databases[d].capability == Capability::RowFence;
        self.delay(b, d, Delayed::Change { user, from, to, epoch: if fenced { epoch } else { 0 } }, out);
    }

    fn vote(&self, b: &Bounds, memo: &memo::Memo<'_>, k: usize, change: Change, out: &mut Vec<(Self, Answer)>) {
        let Change { d, user, from, to, epoch, .. } = change;
        if b.has(Switch::NoVote) && !self.refuses_for_good(memo, d, g(to)) {
            self.apply(b, change, out);
            return;
        }
        let refused = if self.databases[d].is_locked() {
            TRANSIENT
        } else if self.refuses_for_good(memo, d, g(to)) && !b.late_refusals {
            PERMANENT
        } else if !self.logs_in(b, d, user, from) && !b.has(Switch::UnconditionalChange) {
            CREDENTIAL
        } else if !self.fence_allows(b, change) {
            FENCED
        } else {
            let mut after = *self;
            let slot = u8::try_from(k).unwrap();
            after.databases[d].transaction = Some(Transaction { slot, user, from, to, epoch });
            out.push((after, APPLIED));
            if b.delayed {
                out.push((*self, UNKNOWN));
                after.databases[d].transaction = Some(Transaction { slot: ORPHAN, user, from, to, epoch });
                out.push((after, UNKNOWN));
            }
            return;
        };
        out.push((*self, refused));
    }

    fn commit_vote(
        &self,
        b: &Bounds,
        memo: &memo::Memo<'_>,
        k: usize,
        d: usize,
        generation: Generation,
        out: &mut Vec<(Self, Answer)>,
    ) {
        let mut after = *self;
        if b.has(Switch::NoVote) && self.databases[d].password[0] == n(generation) {
            out.push((*self, APPLIED));
            return;
        }
        let Some(t) = after.databases[d].transaction.take_if(|t| usize::from(t.slot) == k) else {
            out.push((*self, TRANSIENT));
            return;
        };
        if self.refuses_for_good(memo, d, generation) {
            out.push((after, PERMANENT));
            return;
        }
        out.push((after, UNKNOWN));
        after.delay(b, d, Delayed::Commit { user: t.user, to: t.to, epoch: t.epoch }, out);
        after.fenced_set(b, d, t.user, t.epoch, t.to);
        after.promote_early(b, d, t.to);
        out.push((after, UNKNOWN));
        out.push((after, APPLIED));
    }

    /// A late burn raises an epoch that its own worker's later requests carry, so it is left out.
    fn burn(&self, b: &Bounds, d: usize, user: u8, from: u8, epoch: u8, out: &mut Vec<(Self, Answer)>) {
        let row = usize::from(if b.plan.databases[d].strategy == Strategy::Alternating { user } else { 0 });
        let refused = if self.databases[d].is_locked() {
            TRANSIENT
        } else if !self.logs_in(b, d, user, from) {
            CREDENTIAL
        } else if self.databases[d].epoch[row] > epoch {
            FENCED
        } else {
            let mut after = *self;
            if !b.has(Switch::NoBurn) {
                after.databases[d].epoch[row] = epoch;
            }
            out.push((after, APPLIED));
            out.push((after, UNKNOWN));
            out.push((*self, UNKNOWN));
            return;
        };
        out.push((*self, refused));
    }

    fn stage(&self, b: &Bounds, s: usize, generation: u8, announce: Option<Seen>, out: &mut Vec<(Self, Answer)>) {
        let mut put = *self;
        if !b.has(Switch::NoStaging) {
            put.stores[s].kept |= bit(generation);
        }
        out.push((*self, UNKNOWN));
        self.put_off(b, s, LateStore::Put(generation), out);
        let Some(seen) = announce else {
            out.push((put, UNKNOWN));
            out.push((put, APPLIED));
            return;
        };
        let from = match seen {
            Seen::Nothing => NONE,
            Seen::Generation(p) => n(p),
            Seen::Foreign => unreachable!("nobody else is in this world"),
        };
        let unconditional = b.has(Switch::PendingIgnored) || b.has(Switch::PlainPending);
        if self.stores[s].pending != from && !unconditional {
            out.push((put, CONFLICT));
            return;
        }
        out.push((put, UNKNOWN));
        put.put_off(b, s, LateStore::Pending { from, to: generation }, out);
        let mut moved = put;
        let store = &mut moved.stores[s];
        if b.has(Switch::PlainPending) && store.pending != NONE && store.pending != generation {
            // Without names of their own, versions live by the stages alone.
            store.kept &= !bit(store.pending) | bit(store.current) | bit(store.previous);
        }
        store.pending = generation;
        out.push((moved, UNKNOWN));
        out.push((moved, APPLIED));
    }

    fn refuses_for_good(&self, memo: &memo::Memo<'_>, d: usize, to: Generation) -> bool {
        self.refuses >> d & 1 == 1 && memo.register(self.register).next == Some(n(to))
    }

    fn delay(&self, b: &Bounds, d: usize, delayed: Delayed, out: &mut Vec<(Self, Answer)>) {
        if b.delayed && self.databases[d].delayed.is_none() {
            let mut after = *self;
            after.databases[d].delayed = Some(delayed);
            out.push((after, UNKNOWN));
        }
    }

    fn put_off(&self, b: &Bounds, s: usize, late: LateStore, out: &mut Vec<(Self, Answer)>) {
        if b.late_stores && self.stores[s].late.is_none() {
            let mut after = *self;
            after.stores[s].late = Some(late);
            out.push((after, UNKNOWN));
        }
    }

    fn set(&mut self, b: &Bounds, d: usize, user: u8, to: u8) {
        let database = &mut self.databases[d];
        match b.plan.databases[d].strategy {
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
    fn fence_allows(&self, b: &Bounds, change: Change) -> bool {
        if b.has(Switch::UnconditionalChange) || b.has(Switch::LoginOnly) {
            return true;
        }
        let Change { d, user, from, to, epoch, .. } = change;
        let database = &self.databases[d];
        let (row, generation) = match b.plan.databases[d].strategy {
            Strategy::Alternating => {
                let password = database.password[usize::from(user)];
                let exact = password == to || password == change.known;
                (usize::from(user), if b.has(Switch::ExactAlternatingFence) { exact } else { password <= to })
            }
            Strategy::Rollover | Strategy::Single => {
                let password = database.password[0];
                (0, password == from || password == to)
            }
        };
        database.epoch[row] <= epoch && generation
    }

    fn fenced_set(&mut self, b: &Bounds, d: usize, user: u8, epoch: u8, to: u8) {
        let row = if b.plan.databases[d].strategy == Strategy::Alternating { usize::from(user) } else { 0 };
        self.databases[d].epoch[row] = self.databases[d].epoch[row].max(epoch);
        self.set(b, d, user, to);
    }

    /// Executes a change request as the server would, whenever it arrives. `at_once` is false for a delayed one:
    /// its session was opened before, so only what is checked at execution counts.
    fn execute(&mut self, b: &Bounds, change: Change, at_once: bool) -> Result<(), Answer> {
        let Change { d, user, from, to, restores, .. } = change;
        let plan = b.plan.databases[d];
        let logs_in = self.logs_in(b, d, user, from);
        if plan.capability == Capability::RowFence {
            if self.databases[d].is_locked() {
                return Err(TRANSIENT);
            }
            if at_once && !logs_in && !b.has(Switch::UnconditionalChange) {
                return Err(CREDENTIAL);
            }
            if !self.fence_allows(b, change) {
                return Err(FENCED);
            }
            self.fenced_set(b, d, user, change.epoch, to);
            return Ok(());
        }
        let overwrites = b.has(Switch::OverwriteNewer) && plan.strategy == Strategy::Alternating && !restores;
        if !logs_in && !b.has(Switch::UnconditionalChange) && !overwrites {
            return Err(CREDENTIAL);
        }
        if !(plan.strategy == Strategy::Rollover && self.databases[d].password[0] == to) {
            self.set(b, d, user, to);
        }
        Ok(())
    }

    /// A delayed request reaches its database.
    pub(crate) fn deliver(&mut self, b: &Bounds, d: usize) {
        match self.databases[d].delayed.take() {
            None => {}
            Some(Delayed::EndWindow) => self.databases[d].first = NONE,
            Some(Delayed::Change { user, from, to, epoch }) => {
                // A refusal is heard by nobody.
                let change = Change { d, user, from, to, epoch, restores: to < from, known: NONE };
                self.execute(b, change, false).ok();
            }
            // The row lock was held since the transaction was opened, so its predicate still holds.
            Some(Delayed::Commit { user, to, epoch }) => self.fenced_set(b, d, user, epoch, to),
        }
    }

    /// A late request reaches its store.
    pub(crate) fn arrive(&mut self, b: &Bounds, s: usize) {
        let store = &mut self.stores[s];
        match store.late.take() {
            Some(LateStore::Pending { from, to }) if store.pending == from => store.pending = to,
            Some(LateStore::Promote { from, to }) if store.current == from => store.promote(to),
            Some(LateStore::Prune(generation)) => store.prune(b, generation),
            Some(LateStore::Put(generation)) => store.kept |= bit(generation),
            Some(LateStore::Pending { .. } | LateStore::Promote { .. }) | None => {}
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

    /// What a register write does besides: a database may refuse the generation that it issues.
    pub(crate) fn after_write(&mut self, b: &Bounds, before: Phase, given_up: Option<u8>) {
        if before == Phase::Abort && b.has(Switch::DropAborted) {
            let dropped = given_up.map_or(0, bit);
            self.stores.iter_mut().for_each(|s| s.kept &= !dropped);
        }
        self.refuses = 0;
    }
}

/// One change of one user, as a server sees it.
#[derive(Clone, Copy)]
struct Change {
    d: usize,
    user: u8,
    from: u8,
    to: u8,
    epoch: u8,
    restores: bool,
    /// What the register knows its user to be on.
    known: u8,
}

impl Database {
    /// An open transaction, or one whose COMMIT is under way, holds the fence row.
    fn is_locked(&self) -> bool {
        self.transaction.is_some() || matches!(self.delayed, Some(Delayed::Commit { .. }))
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
        self.kept |= bit(to);
    }

    fn prune(&mut self, b: &Bounds, generation: u8) {
        if b.has(Switch::PruneByKeepSetAlone) {
            self.kept &= bit(self.current) | bit(self.previous);
        }
        self.kept &= !bit(generation);
    }
}

fn seen_current(b: &Bounds, store: Store) -> impl Iterator<Item = u8> {
    let older = (b.stale && store.previous != NONE && store.previous != 0).then_some(store.previous);
    [store.current].into_iter().chain(older)
}
