//! Breadth-first search over every interleaving, with the invariants checked in every state.
//!
//! One transition executes one effect of one worker; the answers of a batch go to the real `step` when the last one is there.
//! Effects of one batch run in the batch's order (they concern different things); everything else interleaves freely.

use std::{
    collections::{BTreeMap, VecDeque},
    hash::{Hash, Hasher},
    sync::Arc,
};

use dizzy_engine::{
    Effect, Epoch, Finish, Goal, Next, Outcome, Owner, Phase, Register, Stage, Strategy, Timestamp, Violation, Worker,
    step,
};

use crate::{
    switches::Switch,
    world::{BUDGET, Bounds, DRAINED, Delayed, Hashed, LATE, NONE, NOW, Slot, World, database_of, g, n, rebase},
};

/// What the search found.
#[derive(Debug, Default)]
pub struct Found {
    pub states: usize,
    pub edges: usize,
    /// States in which each invariant is broken, and the shortest way there.
    pub broken: BTreeMap<&'static str, (usize, Vec<String>)>,
    /// The search was cut off by the limit.
    pub cut_off: bool,
}

impl Found {
    pub fn is_clean(&self) -> bool {
        self.broken.is_empty() && !self.cut_off
    }

    pub fn summary(&self) -> String {
        let broken: Vec<String> = self.broken.iter().map(|(k, (n, _))| format!("{k} {n}")).collect();
        let cut = if self.cut_off { " (cut off)" } else { "" };
        format!("{:>9} states {:>10} steps  broken [{}]{cut}", self.states, self.edges, broken.join(", "))
    }
}

/// Searches everything within the bounds, at most `limit` states.
pub fn search(b: &Bounds, limit: usize) -> Found {
    let mut found = Found::default();
    let mut start = World::start(&b.plan);
    normalize(&mut start);
    let mut ids = Ids::default();
    ids.insert(fingerprint(&start), 0);
    let mut parents: Vec<(u32, u16)> = vec![(u32::MAX, 0)];
    let mut offsets = vec![0_usize];
    let mut edges: Vec<u32> = Vec::new();
    let mut rest: Vec<Rest> = Vec::new();
    let mut first: BTreeMap<&'static str, u32> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    let mut out = Vec::new();
    let mut at = 0_u32;
    while let Some(world) = queue.pop_front() {
        let broken = check(b, &world);
        rest.push(rest_of(b, &world, &broken));
        for name in broken {
            found.broken.entry(name).or_default().0 += 1;
            first.entry(name).or_insert(at);
        }
        if let Err(violation) = successors(b, &world, &mut out) {
            let entry = found.broken.entry("N: a named rule stopped the engine").or_default();
            if entry.0 == 0 {
                entry.1.push(violation.to_string());
            }
            entry.0 += 1;
            first.entry("N: a named rule stopped the engine").or_insert(at);
        }
        for (nr, (_, next)) in out.drain(..).enumerate() {
            let fresh = u32::try_from(parents.len()).expect("the limit is below this");
            let id = *ids.entry(fingerprint(&next)).or_insert(fresh);
            if id == fresh {
                parents.push((at, u16::try_from(nr).expect("a state has few successors")));
                queue.push_back(next);
            }
            edges.push(id);
        }
        offsets.push(edges.len());
        at += 1;
        // A broken rule shows early; a clean search must be complete.
        if parents.len() > limit || (b.switch.is_some() && !found.broken.is_empty()) {
            found.cut_off = parents.len() > limit;
            break;
        }
    }
    found.states = parents.len();
    found.edges = edges.len();
    if queue.is_empty() && !found.cut_off {
        let complete = rest.len();
        liveness(b, &rest, &offsets, &edges, complete, &mut found, &mut first);
    }
    for (name, id) in first {
        let trace = trace(b, &parents, id);
        found.broken.entry(name).or_default().1.extend(trace);
    }
    found
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Rest {
    Not,
    /// At rest, nothing is broken, and no generation is left to be issued.
    Good,
    /// ... and there is another one to be issued.
    GoodMore,
    /// ... and the last one is published.
    GoodLast,
}

fn rest_of(b: &Bounds, world: &World, broken: &[&'static str]) -> Rest {
    if !world.is_at_rest() || world.register.phase != Phase::Idle || !broken.is_empty() {
        return Rest::Not;
    }
    if world.register.current == g(b.last) {
        Rest::GoodLast
    } else if world.register.last < g(b.last) {
        Rest::GoodMore
    } else {
        Rest::Good
    }
}

/// A good rest state stays reachable from everywhere; and while generations are left, the last one can still be reached.
fn liveness(
    b: &Bounds,
    rest: &[Rest],
    offsets: &[usize],
    edges: &[u32],
    complete: usize,
    found: &mut Found,
    first: &mut BTreeMap<&'static str, u32>,
) {
    let mut counts = vec![0_u32; complete + 1];
    for to in edges {
        counts[*to as usize + 1] += 1;
    }
    for i in 0..complete {
        counts[i + 1] += counts[i];
    }
    let mut place = counts.clone();
    let mut back = vec![0_u32; edges.len()];
    for from in 0..complete {
        for to in &edges[offsets[from]..offsets[from + 1]] {
            back[place[*to as usize] as usize] = u32::try_from(from).expect("fits");
            place[*to as usize] += 1;
        }
    }
    let reach = |goal: &dyn Fn(Rest) -> bool| {
        let mut can: Vec<bool> = rest.iter().map(|r| goal(*r)).collect();
        let mut stack: Vec<usize> = (0..complete).filter(|i| can[*i]).collect();
        while let Some(i) = stack.pop() {
            for from in &back[counts[i] as usize..counts[i + 1] as usize] {
                if !can[*from as usize] {
                    can[*from as usize] = true;
                    stack.push(*from as usize);
                }
            }
        }
        can
    };
    let good = reach(&|r| r != Rest::Not);
    let mut report = |name: &'static str, bad: Vec<usize>| {
        if let Some(shortest) = bad.first() {
            found.broken.entry(name).or_default().0 = bad.len();
            first.insert(name, u32::try_from(*shortest).expect("fits"));
        }
    };
    report("L: no good rest state in reach", (0..complete).filter(|i| !good[*i]).collect());
    let last = reach(&|r| r == Rest::GoodLast);
    report(
        "B: the next rotation cannot commit",
        (0..complete).filter(|i| rest[*i] == Rest::GoodMore && !last[*i]).collect(),
    );
}

/// The invariants of protocol-and-audit.md §2, by name.
fn check(b: &Bounds, world: &World) -> Vec<&'static str> {
    let mut broken = Vec::new();
    let mut breaks = |name| {
        if !broken.contains(&name) {
            broken.push(name);
        }
    };
    let r = &world.register;
    for d in 0..2 {
        let plan = b.plan.databases[d];
        let database = &world.databases[d];
        let newest =
            if plan.strategy == Strategy::Alternating { &database.password[..] } else { &database.password[..1] };
        for password in newest {
            if !world
                .stores
                .iter()
                .any(|s| s.current == *password || s.previous == *password || s.kept >> password & 1 == 1)
            {
                breaks("I1: a password is in no store");
            }
        }
        if !b.has(Switch::NoMark) {
            let entry = &r.databases[d];
            let target = entry.target(plan);
            let actual =
                database.password[usize::from(if plan.strategy == Strategy::Alternating { target.0 } else { 0 })];
            if !entry.users[usize::from(target.0)].candidates().contains(&g(actual)) {
                breaks("K: a password is neither known nor possible");
            }
        }
        for s in &world.stores {
            let ok = world.publishes_well(&b.plan, d, s.current);
            if plan.strategy != Strategy::Single && !ok {
                breaks("I3: CURRENT does not log in");
            }
            let pending_ok = r.next == Some(g(s.pending)) && world.publishes_well(&b.plan, d, s.pending);
            if !ok && !world.publishes_well(&b.plan, d, s.previous) && !pending_ok {
                breaks("I4: no label logs in");
            }
            if r.phase == Phase::Idle && world.is_at_rest() {
                if !ok {
                    breaks("I2: at rest, CURRENT does not log in");
                }
                if g(s.current) != r.current {
                    breaks("I2: at rest, a store is not on the register's generation");
                }
            }
        }
    }
    broken
}

fn successors(b: &Bounds, world: &World, out: &mut Vec<(String, World)>) -> Result<(), Violation> {
    out.clear();
    let mut result = Ok(());
    let push = |label: String, mut next: World, out: &mut Vec<(String, World)>| {
        normalize(&mut next);
        if next != *world {
            out.push((label, next));
        }
    };
    for d in 0..2 {
        let database = &world.databases[d];
        if database.first != NONE && (world.is_at_rest() && world.register.phase == Phase::Idle || b.expiry) {
            let mut next = world.clone();
            next.databases[d].first = NONE;
            push(format!("window of database {d} expires"), next, out);
        }
        if database.transaction.is_some() {
            let mut next = world.clone();
            next.databases[d].transaction = None;
            push(format!("open transaction on database {d} is ended"), next, out);
        }
        if database.delayed.is_some() {
            let mut next = world.clone();
            next.databases[d].delayed = None;
            push(format!("delayed request to database {d} is lost"), next, out);
            let mut next = world.clone();
            next.deliver_delayed(b, d);
            push(format!("delayed request to database {d} executes"), next, out);
        }
    }
    for k in 0..b.workers {
        let Some(slot) = &world.slots[k] else {
            if let Some(next) = begin(b, world, k) {
                push(format!("w{k} begins"), next, out);
            }
            continue;
        };
        let mut next = world.clone();
        free(&mut next, k);
        push(format!("w{k} dies"), next, out);
        let Some(effect) = slot.worker.issued.get(slot.answers.len()) else { continue };
        let mut answers = Vec::new();
        world.answers(b, k, effect, &mut answers);
        for (after, outcome) in answers {
            let mut all = slot.answers.clone();
            all.push(outcome.clone());
            let label = format!("w{k} {} -> {}", show(effect), show_outcome(&outcome));
            if all.len() < slot.worker.issued.len() {
                let mut next = after;
                next.slots[k] = Some(Slot { worker: Arc::clone(&slot.worker), answers: all });
                push(label, next, out);
                continue;
            }
            for (worker, now) in moments(b, &after, k, &slot.worker) {
                match step(&b.plan, &worker, now, &all) {
                    Err(violation) => {
                        // A switch may lead the engine where a named rule stops it: that is a failure found, too.
                        result = Err(violation);
                    }
                    Ok(step) => {
                        let mut next = after.clone();
                        match step.next {
                            Next::Done(_) => free(&mut next, k),
                            Next::Effects(..) => {
                                let mut worker = step.worker;
                                if let Some(s) = b.switch {
                                    s.spoil_worker(&mut worker);
                                }
                                if now != NOW {
                                    rebase_worker(&mut worker);
                                }
                                next.slots[k] =
                                    Some(Slot { worker: Arc::new(Hashed::new(worker)), answers: Vec::new() });
                            }
                        }
                        push(format!("{label} (t{})", now.0), next, out);
                    }
                }
            }
        }
    }
    result
}

/// The times at which an answer may come in, as far as they can matter.
fn moments(b: &Bounds, world: &World, k: usize, worker: &Arc<Hashed<Worker>>) -> Vec<(Arc<Hashed<Worker>>, Timestamp)> {
    let mut moments = vec![(Arc::clone(worker), NOW)];
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
    if undecided {
        moments.push((Arc::clone(worker), LATE));
    }
    let waits = matches!(worker.stage, Stage::Preflight | Stage::Resolve(..));
    if worker.register.quiet.is_some() && (undecided || waits) && world.is_drained(k) {
        moments.push((Arc::clone(worker), DRAINED));
    }
    if worker.stage == Stage::Preflight {
        let closed = world.databases.iter().all(|d| d.first == NONE);
        let recorded = worker.register.databases.iter().any(|d| d.window.is_some());
        if recorded && (closed || b.has(Switch::WindowIgnored)) {
            // The windows are over, whatever else is: their end lies in the past of this worker.
            let mut worker = Worker::clone(&***worker);
            for d in &mut Arc::make_mut(&mut worker.register).databases {
                d.window = d.window.map(|_| dizzy_engine::Window { until: Timestamp(0) });
            }
            moments.push((Arc::new(Hashed::new(worker)), NOW));
        }
    }
    moments
}

fn begin(b: &Bounds, world: &World, k: usize) -> Option<World> {
    let r = &world.register;
    let goal = match r.phase {
        Phase::Idle if r.last >= g(b.last) => return None,
        Phase::Stuck => Goal::Recover,
        _ => Goal::Rotate,
    };
    // A lease only saves work: a second worker may come at any time, as if the first had lost it.
    let mut worker = Worker::new(u64::try_from(k).unwrap() + 1, goal, BUDGET);
    worker.issued.clear();
    worker.issued.push(Effect::ReadRegister);
    let mut next = world.clone();
    Arc::make_mut(&mut next.register).owner.until = NOW;
    next.slots[k] = Some(Slot { worker: Arc::new(Hashed::new(worker)), answers: Vec::new() });
    Some(next)
}

fn free(world: &mut World, k: usize) {
    world.slots[k] = None;
    for d in &mut world.databases {
        d.transaction.take_if(|t| usize::from(t.slot) == k);
    }
}

fn rebase_worker(worker: &mut Worker) {
    rebase(&mut worker.register);
    if let Stage::Write { attempt, .. } | Stage::Settle { attempt, .. } = &mut worker.stage {
        rebase(attempt);
    }
    for effect in &mut worker.issued {
        if let Effect::WriteRegister { register } = effect {
            rebase(register);
        }
    }
}

/// Gives states that differ only in names the same form: nonces, and epochs that nobody remembers.
fn normalize(world: &mut World) {
    normalize_nonces(world);
    normalize_epochs(world);
}

const DEAD: Owner = Owner { worker: 0, write: 0, until: NOW };
const STALE: Owner = Owner { worker: 99, write: 99, until: NOW };

fn normalize_nonces(world: &mut World) {
    let owner = world.register.owner;
    let alive = |id: u64| (1..=2).contains(&id) && world.slots[usize::try_from(id).unwrap() - 1].is_some();
    let holder = if alive(owner.worker) { Some(owner.worker) } else { None };
    // A live holder that knows of its write starts counting anew; one that does not know yet keeps the number.
    let mut new_owner = owner;
    if holder.is_none() {
        new_owner.worker = DEAD.worker;
        new_owner.write = DEAD.write;
    }
    let mut told = false;
    if let Some(id) = holder {
        let slot = world.slots[usize::try_from(id).unwrap() - 1].as_ref().unwrap();
        told = slot.worker.register.owner.is_same_write(owner);
        if told {
            new_owner.write = 0;
        }
    }
    if new_owner != owner {
        Arc::make_mut(&mut world.register).owner = new_owner;
    }
    for k in 0..2 {
        let Some(slot) = &mut world.slots[k] else { continue };
        let copy = slot.worker.register.owner;
        let is_fresh = copy.is_same_write(owner);
        let wanted = if slot.worker.register.databases.is_empty() {
            copy
        } else if is_fresh {
            Owner { until: copy.until, ..new_owner }
        } else {
            Owner { until: copy.until, ..STALE }
        };
        let is_holder = told && Some(u64::try_from(k).unwrap() + 1) == holder;
        let in_write = matches!(slot.worker.stage, Stage::Write { .. } | Stage::Settle { .. });
        if wanted != copy || (is_holder && !in_write && slot.worker.writes != 0) {
            let mut worker = Worker::clone(&slot.worker);
            Arc::make_mut(&mut worker.register).owner = wanted;
            if is_holder && !in_write {
                worker.writes = 0;
            }
            slot.worker = Arc::new(Hashed::new(worker));
        }
    }
}

fn normalize_epochs(world: &mut World) {
    let mut used: u64 = 1;
    each_epoch(world, &mut |e| used |= 1 << e.0, false);
    if used & used.wrapping_add(1) == 0 {
        return;
    }
    let rank = |e: Epoch| Epoch(u64::from((used & ((1_u64 << e.0) - 1)).count_ones()));
    let mut changed = world.clone();
    each_epoch_mut(&mut changed, &rank);
    *world = changed;
}

fn each_epoch(world: &World, f: &mut impl FnMut(Epoch), _mutate: bool) {
    f(world.register.epoch);
    for d in &world.databases {
        f(d.epoch[0]);
        f(d.epoch[1]);
        if let Some(t) = &d.transaction {
            f(t.epoch);
        }
        match &d.delayed {
            Some(Delayed::Commit(t)) => f(t.epoch),
            Some(Delayed::Request(e)) => {
                if let Some(e) = epoch_of(e) {
                    f(e);
                }
            }
            None => {}
        }
    }
    for slot in world.slots.iter().flatten() {
        f(slot.worker.register.epoch);
        if let Stage::Write { attempt, .. } | Stage::Settle { attempt, .. } = &slot.worker.stage {
            f(attempt.epoch);
        }
        slot.worker.issued.iter().filter_map(epoch_of).for_each(&mut *f);
    }
}

fn epoch_of(effect: &Effect) -> Option<Epoch> {
    match effect {
        Effect::Apply { epoch, .. }
        | Effect::Vote { epoch, .. }
        | Effect::Burn { epoch, .. }
        | Effect::Restore { epoch, .. } => Some(*epoch),
        _ => None,
    }
}

fn each_epoch_mut(world: &mut World, rank: &impl Fn(Epoch) -> Epoch) {
    let set = |r: &mut Arc<Register>| {
        if rank(r.epoch) != r.epoch {
            Arc::make_mut(r).epoch = rank(r.epoch);
        }
    };
    let set_effect = |effect: &mut Effect| match effect {
        Effect::Apply { epoch, .. }
        | Effect::Vote { epoch, .. }
        | Effect::Burn { epoch, .. }
        | Effect::Restore { epoch, .. } => *epoch = rank(*epoch),
        Effect::WriteRegister { register } => set(register),
        _ => {}
    };
    set(&mut world.register);
    for d in &mut world.databases {
        d.epoch = d.epoch.map(rank);
        if let Some(t) = &mut d.transaction {
            t.epoch = rank(t.epoch);
        }
        match &mut d.delayed {
            Some(Delayed::Commit(t)) => t.epoch = rank(t.epoch),
            Some(Delayed::Request(e)) => set_effect(e),
            None => {}
        }
    }
    for slot in world.slots.iter_mut().flatten() {
        let mut worker = Worker::clone(&slot.worker);
        set(&mut worker.register);
        if let Stage::Write { attempt, .. } | Stage::Settle { attempt, .. } = &mut worker.stage {
            set(attempt);
        }
        worker.issued.iter_mut().for_each(set_effect);
        slot.worker = Arc::new(Hashed::new(worker));
    }
}

fn trace(b: &Bounds, parents: &[(u32, u16)], id: u32) -> Vec<String> {
    let mut path = Vec::new();
    let mut at = id;
    while let Some((parent, nr)) = parents.get(at as usize).filter(|p| p.0 != u32::MAX) {
        path.push(*nr);
        at = *parent;
    }
    let mut world = World::start(&b.plan);
    normalize(&mut world);
    let mut lines = Vec::new();
    let mut out = Vec::new();
    for nr in path.into_iter().rev() {
        let _ = successors(b, &world, &mut out);
        let (label, next) = out.swap_remove(usize::from(nr));
        lines.push(label);
        world = next;
    }
    lines
}

fn show(effect: &Effect) -> String {
    match effect {
        Effect::WriteRegister { register } => {
            format!(
                "writes {:?} {} next {:?} {}",
                register.phase,
                register.current,
                register.next.map(n),
                register.epoch
            )
        }
        other => format!("{other:?}"),
    }
}

fn show_outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Register(Some(r)) => format!("{:?} {} {}", r.phase, r.current, r.epoch),
        other => format!("{other:?}"),
    }
}

/// Two independent 64-bit hashes: with some millions of states, a collision is far less likely than a broken machine.
fn fingerprint(world: &World) -> u128 {
    let mut hasher = Mix::start();
    world.hash(&mut hasher);
    u128::from(hasher.finish()) << 64 | u128::from(hasher.b.wrapping_mul(0xff51_afd7_ed55_8ccd) ^ hasher.b >> 33)
}

pub struct Mix {
    a: u64,
    b: u64,
}

impl Mix {
    pub fn start() -> Self {
        Self { a: 0x9e37_79b9_7f4a_7c15, b: 0xc2b2_ae3d_27d4_eb4f }
    }

    fn add(&mut self, x: u64) {
        self.a = (self.a.rotate_left(5) ^ x).wrapping_mul(0x517c_c1b7_2722_0a95);
        self.b = (self.b ^ x).wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(23);
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
        self.add(x as u64);
    }
    fn write_i64(&mut self, x: i64) {
        self.add(x as u64);
    }
}

#[expect(clippy::disallowed_types, reason = "millions of fingerprints; the order of iteration is never used")]
type Ids = std::collections::HashMap<u128, u32, std::hash::BuildHasherDefault<Fold>>;

/// Fingerprints are mixed already.
#[derive(Default)]
struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u128(&mut self, x: u128) {
        self.0 = (x >> 64) as u64;
    }
}

#[allow(dead_code, reason = "used by the summaries of single runs")]
pub fn finish_name(finish: Finish) -> String {
    format!("{finish:?}")
}

#[allow(dead_code, reason = "kept beside the world")]
pub fn touches(effect: &Effect) -> Option<u8> {
    database_of(effect).map(|d| d.0)
}
