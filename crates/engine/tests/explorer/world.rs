//! A state of the made-up world: two databases, two stores, one register, up to two workers; small, and copied freely.
//!
//! A password is its generation. A PostgreSQL fence row changes with the password, so its generation is the password; only its
//! epoch is kept apart. Registers and workers are numbers given by `memo.rs`. How servers behave is in `servers.rs`.

use dizzy_engine::{DRAIN_MS, Generation, Strategy, Timestamp};

use crate::bounds::Bounds;

/// No generation; fits into a mask.
pub(crate) const NONE: u8 = 15;

/// The usual time; a spent budget; a rollover window, longer than any drain; a time after the drain.
pub(crate) const NOW: Timestamp = Timestamp(1);
pub(crate) const BUDGET: Timestamp = Timestamp(1_000);
pub(crate) const LATE: Timestamp = Timestamp(2_000);
pub(crate) const WINDOW_MS: i64 = 100 * DRAIN_MS;
pub(crate) const DRAINED: Timestamp = Timestamp(2 + DRAIN_MS);

/// Most effects in one batch.
pub(crate) const BATCH: usize = 8;

/// The owner of an open transaction whose connection was lost.
pub(crate) const ORPHAN: u8 = 2;

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Transaction {
    /// Of which worker.
    pub(crate) slot: u8,
    pub(crate) user: u8,
    pub(crate) from: u8,
    pub(crate) to: u8,
    pub(crate) epoch: u8,
}

/// A request that left its worker and has not reached its database.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Delayed {
    Change { user: u8, from: u8, to: u8, epoch: u8 },
    Commit { user: u8, to: u8, epoch: u8 },
    EndWindow,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Database {
    /// Password of each user; of a rollover user, the newest.
    pub(crate) password: [u8; 2],
    /// Rollover: the first password of the open window.
    pub(crate) first: u8,
    /// Highest epoch in each user's fence row.
    pub(crate) epoch: [u8; 2],
    pub(crate) transaction: Option<Transaction>,
    pub(crate) delayed: Option<Delayed>,
}

/// A request that left its worker and has not reached its store.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum LateStore {
    /// Move PENDING to this generation if it is still on that one.
    Pending {
        from: u8,
        to: u8,
    },
    Promote {
        from: u8,
        to: u8,
    },
    Prune(u8),
    Put(u8),
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Store {
    pub(crate) current: u8,
    pub(crate) previous: u8,
    pub(crate) pending: u8,
    /// Bit per retained generation.
    pub(crate) kept: u16,
    pub(crate) late: Option<LateStore>,
}

/// What the register is to a worker.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Tie {
    /// Somebody else's write.
    #[default]
    Other,
    /// What the worker last read or wrote.
    Known,
    /// What it is trying to write: the reply was lost.
    Attempted,
}

/// A place for a worker.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Slot {
    /// Which worker; 0 for none.
    pub(crate) worker: u32,
    /// Answers to its batch so far, by place in the batch; 0 for none.
    pub(crate) answers: [u8; BATCH],
    pub(crate) tie: Tie,
    /// The rank of its epoch; 0 if it can send nothing that carries one.
    pub(crate) epoch: u8,
}

impl Slot {
    pub(crate) fn is_free(&self) -> bool {
        self.worker == 0
    }
}

/// A register write that was not heard of again and may still happen. Compare-and-swap: any other write makes it void.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct LateWrite {
    pub(crate) register: u32,
    /// Whose; ORPHAN if that worker is gone.
    pub(crate) slot: u8,
    /// Whether it takes a new epoch.
    pub(crate) advances: bool,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct World {
    pub(crate) register: u32,
    pub(crate) late: Option<LateWrite>,
    pub(crate) databases: [Database; 2],
    pub(crate) stores: [Store; 2],
    /// Databases that refuse the generation under way for good.
    pub(crate) refuses: u8,
    pub(crate) slots: [Slot; 2],
}

pub(crate) fn g(n: u8) -> Generation {
    Generation(u64::from(n))
}

pub(crate) fn n(generation: Generation) -> u8 {
    u8::try_from(generation.0).unwrap()
}

pub(crate) fn bit(generation: u8) -> u16 {
    if generation == NONE { 0 } else { 1 << generation }
}

impl World {
    /// Both stores publish generation 1; an alternating database's second user has generation 0.
    pub(crate) fn start(b: &Bounds, register: u32) -> Self {
        let store = Store { current: 1, previous: 0, pending: NONE, kept: 0b11, late: None };
        let database = |at: usize| Database {
            password: if b.plan.databases[at].strategy == Strategy::Alternating { [1, 0] } else { [1, 1] },
            first: NONE,
            epoch: [0; 2],
            transaction: None,
            delayed: None,
        };
        Self {
            register,
            late: None,
            databases: [database(0), database(1)],
            stores: [store; 2],
            refuses: 0,
            slots: [Slot::default(); 2],
        }
    }

    pub(crate) fn logs_in(&self, b: &Bounds, d: usize, user: u8, generation: u8) -> bool {
        let database = &self.databases[d];
        match b.plan.databases[d].strategy {
            Strategy::Alternating => database.password[usize::from(user)] == generation,
            Strategy::Single => database.password[0] == generation,
            Strategy::Rollover => database.password[0] == generation || database.first == generation,
        }
    }

    /// Whether what a store publishes as `generation` logs in. A published generation names the user that was
    /// changed for it, which alternates with every finished one; the passwords are all different.
    pub(crate) fn publishes_well(&self, b: &Bounds, d: usize, generation: u8) -> bool {
        generation != NONE && (self.logs_in(b, d, 0, generation) || self.logs_in(b, d, 1, generation))
    }

    pub(crate) fn has_workers(&self) -> bool {
        self.slots.iter().any(|s| !s.is_free())
    }

    /// Nothing but worker `k` can act any more.
    pub(crate) fn is_drained(&self, k: usize) -> bool {
        self.slots.iter().enumerate().all(|(j, s)| j == k || s.is_free())
            && self
                .databases
                .iter()
                .all(|d| d.delayed.is_none() && d.transaction.is_none_or(|t| usize::from(t.slot) == k))
            && self.stores.iter().all(|s| s.late.is_none())
            && self.late.is_none_or(|w| usize::from(w.slot) == k)
    }

    /// Frees a worker's place; the server rolls its open transaction back.
    pub(crate) fn free(&mut self, k: usize) {
        self.slots[k] = Slot::default();
        for d in &mut self.databases {
            d.transaction.take_if(|t| usize::from(t.slot) == k);
        }
        if let Some(late) = self.late.as_mut().filter(|w| usize::from(w.slot) == k) {
            late.slot = ORPHAN;
        }
    }

    /// An epoch newer than every other.
    pub(crate) fn newest_epoch(&self) -> u8 {
        let mut newest = 0;
        self.each_epoch(|e| newest = newest.max(e));
        newest + 1
    }

    fn each_epoch(&self, mut f: impl FnMut(u8)) {
        self.each_issuer(&mut f);
        for d in &self.databases {
            f(d.epoch[0]);
            f(d.epoch[1]);
        }
    }

    /// The epochs that something under way carries.
    fn each_issuer(&self, f: &mut impl FnMut(u8)) {
        for slot in &self.slots {
            f(slot.epoch);
        }
        for d in &self.databases {
            if let Some(t) = &d.transaction {
                f(t.epoch);
            }
            if let Some(Delayed::Change { epoch, .. } | Delayed::Commit { epoch, .. }) = &d.delayed {
                f(*epoch);
            }
        }
    }

    /// Gives states that differ only in the numbers of epochs one form. Of a fence row it only matters which of the epochs
    /// under way it lets pass, so it is rounded up to the least of them, and to 0 if it lets all pass; every epoch to come
    /// is higher than all. Then ranks take the place of numbers.
    pub(crate) fn rank_epochs(&mut self) {
        let mut live = 0_u64;
        self.each_issuer(&mut |e| live |= 1 << e);
        live &= !1;
        let rank = |e: u8| if e == 0 { 0 } else { u8::try_from((live & ((2 << e) - 1)).count_ones()).unwrap() };
        let row = |e: u8| {
            let below = live & ((1_u64 << e) - 1);
            if below == 0 { 0 } else { u8::try_from(below.count_ones()).unwrap() + 1 }
        };
        for d in &mut self.databases {
            d.epoch = d.epoch.map(row);
            if let Some(t) = &mut d.transaction {
                t.epoch = rank(t.epoch);
            }
            if let Some(Delayed::Change { epoch, .. } | Delayed::Commit { epoch, .. }) = &mut d.delayed {
                *epoch = rank(*epoch);
            }
        }
        for slot in &mut self.slots {
            slot.epoch = rank(slot.epoch);
        }
    }

    /// The two places have the same rights, so worlds that differ only in who sits where are one world. Whether they were swapped.
    pub(crate) fn seat(&mut self) -> bool {
        let in_order = self.slots[0] >= self.slots[1];
        if in_order {
            return false;
        }
        self.slots.swap(0, 1);
        let other = |slot: &mut u8| {
            if *slot != ORPHAN {
                *slot = 1 - *slot;
            }
        };
        for d in &mut self.databases {
            if let Some(t) = &mut d.transaction {
                other(&mut t.slot);
            }
        }
        if let Some(late) = &mut self.late {
            other(&mut late.slot);
        }
        true
    }
}
