//! Breadth-first search over every interleaving.
//!
//! One transition executes one change of one worker, or answers one batch of questions; the answers of a batch go to the real
//! `step` when the last one is there. What is left out and why that loses nothing is said where it is left out.

use std::{collections::BTreeMap, collections::VecDeque, fmt::Write as _};

use dizzy_engine::{Effect, Goal, Outcome, Phase, Stage, Violation};

use crate::{
    bounds::Bounds,
    check::{self, check},
    memo::{Answer, FastMap, Memo, Mix, Moment, Move, TRANSIENT, UNKNOWN},
    switches::Switch,
    world::{LateWrite, NONE, NOW, ORPHAN, Slot, Tie, World, bit},
};

/// As many rotations finish a revoke of any kind of database.
const ROTATIONS_OF_A_REVOKE: u8 = 2;

/// What the search found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    /// How many states break each invariant, and the shortest way there.
    pub(crate) broken: BTreeMap<&'static str, (usize, Vec<String>)>,
    /// The search was cut off by its limit: it says nothing about what it did not see.
    pub(crate) cut_off: bool,
}

impl Found {
    pub(crate) fn is_clean(&self) -> bool {
        self.broken.is_empty() && !self.cut_off
    }

    /// Everything that was broken, with the way there.
    pub(crate) fn traces(&self) -> String {
        let mut text = self.summary();
        for (name, (_, trace)) in &self.broken {
            write!(text, "\n  {name}:\n    {}", trace.join("\n    ")).unwrap();
        }
        text
    }

    pub(crate) fn summary(&self) -> String {
        let mut text = format!("{:>9} states {:>10} steps", self.states, self.steps);
        if self.cut_off {
            text.push_str("  CUT OFF: not finished");
        }
        for (name, (states, trace)) in &self.broken {
            write!(text, "  [{name}] in {states} states, after {} steps", trace.len()).unwrap();
        }
        text
    }
}

/// Searches everything within the bounds, at most `limit` states.
pub(crate) fn search(b: &Bounds, limit: usize) -> Found {
    let mut run = Run::new(b);
    let start = run.start();
    let mut found = Found::default();
    let mut ids: FastMap<u128, u32> = FastMap::default();
    ids.insert(Mix::fingerprint(&start), 0);
    let mut parents: Vec<(u32, u16)> = vec![(u32::MAX, 0)];
    let mut offsets = vec![0_usize];
    let mut edges: Vec<u32> = Vec::new();
    let mut rest: Vec<Rest> = Vec::new();
    let mut first: BTreeMap<&'static str, u32> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    let mut broken = Vec::new();
    let mut at = 0_u32;
    while let Some(world) = queue.pop_front() {
        check(b, &run.memo, &world, &mut broken);
        rest.push(run.rest_of(&world, &broken));
        run.successors(&world);
        broken.append(&mut run.broken);
        for name in broken.drain(..) {
            found.broken.entry(name).or_default().0 += 1;
            first.entry(name).or_insert(at);
        }
        for (nr, next) in run.out.iter().enumerate() {
            let fresh = u32::try_from(parents.len()).expect("the limit is below this");
            let id = *ids.entry(Mix::fingerprint(next)).or_insert(fresh);
            if id == fresh {
                parents.push((at, u16::try_from(nr).expect("a state has few successors")));
                queue.push_back(*next);
            }
            edges.push(id);
        }
        offsets.push(edges.len());
        at += 1;
        // One broken rule is enough; a clean search must be complete.
        if !found.broken.is_empty() {
            break;
        }
        if parents.len() > limit {
            found.cut_off = true;
            break;
        }
    }
    found.states = parents.len();
    found.steps = edges.len();
    if queue.is_empty() && !found.cut_off && found.broken.is_empty() {
        drop(ids);
        liveness(&rest, &offsets, &edges, &mut found, &mut first);
    }
    for (name, id) in first {
        let trace = run.trace(&parents, id);
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

/// A good rest state stays reachable from everywhere; and while generations are left, the last one can still be reached.
fn liveness(
    rest: &[Rest],
    offsets: &[usize],
    edges: &[u32],
    found: &mut Found,
    first: &mut BTreeMap<&'static str, u32>,
) {
    let all = rest.len();
    let mut counts = vec![0_u32; all + 1];
    for to in edges {
        counts[*to as usize + 1] += 1;
    }
    for i in 0..all {
        counts[i + 1] += counts[i];
    }
    let mut place = counts.clone();
    let mut back = vec![0_u32; edges.len()];
    for from in 0..all {
        for to in &edges[offsets[from]..offsets[from + 1]] {
            back[place[*to as usize] as usize] = u32::try_from(from).expect("fits");
            place[*to as usize] += 1;
        }
    }
    let reach = |goal: &dyn Fn(Rest) -> bool| {
        let mut can: Vec<bool> = rest.iter().map(|r| goal(*r)).collect();
        let mut stack: Vec<usize> = (0..all).filter(|i| can[*i]).collect();
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
    let mut report = |name: &'static str, bad: Vec<usize>| {
        if let Some(shortest) = bad.first() {
            found.broken.entry(name).or_default().0 = bad.len();
            first.insert(name, u32::try_from(*shortest).expect("fits"));
        }
    };
    let good = reach(&|r| r != Rest::Not);
    report(check::NO_REST, (0..all).filter(|i| !good[*i]).collect());
    let last = reach(&|r| r == Rest::GoodLast);
    report(check::BRICK, (0..all).filter(|i| rest[*i] == Rest::GoodMore && !last[*i]).collect());
}

/// The search under way.
struct Run<'b> {
    b: &'b Bounds,
    memo: Memo<'b>,
    /// The successors of the state that is looked at.
    out: Vec<World>,
    /// What leads to each, and whether the workers' places were swapped; only kept for a trace.
    labels: Option<Vec<(String, bool)>>,
    /// Rules that a step out of the state breaks.
    broken: Vec<&'static str>,
    from: World,
    answers: Vec<(World, Answer)>,
    read: Vec<Answer>,
}

impl<'b> Run<'b> {
    fn new(b: &'b Bounds) -> Self {
        let mut memo = Memo::new(b);
        let from = World::start(b, memo.first_register());
        Self { b, memo, out: Vec::new(), labels: None, broken: Vec::new(), from, answers: Vec::new(), read: Vec::new() }
    }

    fn start(&self) -> World {
        let mut start = self.from;
        self.normalize(&mut start);
        start
    }

    fn rest_of(&self, world: &World, broken: &[&'static str]) -> Rest {
        let r = self.memo.register(world.register);
        if world.has_workers() || r.phase != Phase::Idle || !broken.is_empty() {
            Rest::Not
        } else if self.b.revoke && r.register.revoked.is_some() {
            Rest::GoodLast
        } else if self.b.revoke && r.register.revoke.is_some() {
            if r.last + ROTATIONS_OF_A_REVOKE <= self.b.last { Rest::GoodMore } else { Rest::Good }
        } else if self.b.revoke {
            Rest::Good
        } else if r.current == self.b.last {
            Rest::GoodLast
        } else if r.last < self.b.last {
            Rest::GoodMore
        } else {
            Rest::Good
        }
    }

    /// Gives worlds that cannot be told apart one form. Whether the workers' places were swapped.
    fn normalize(&self, world: &mut World) -> bool {
        for k in 0..2 {
            self.dismiss(world, k);
        }
        self.forget_versions(world);
        world.rank_epochs();
        self.b.workers == 2 && world.seat()
    }

    /// A worker that is about to write a register that somebody else wrote meanwhile can only stop, so it has. An open
    /// transaction of its own would go with it, and holds a row until then: such a worker stays.
    fn dismiss(&self, world: &mut World, k: usize) {
        let slot = &mut world.slots[k];
        if slot.is_free() {
            return;
        }
        let facts = self.memo.worker(slot.worker);
        if !facts.uses_epoch {
            slot.epoch = 0;
        }
        if facts.write.is_some() && slot.tie == Tie::Other && !self.b.has(Switch::UnfencedJournal) && !holds(world, k) {
            world.free(k);
        }
    }

    /// Whether a store keeps a generation matters only if it is somebody's password, or may still become it.
    fn forget_versions(&self, world: &mut World) {
        let mut matter = self.memo.register(world.register).sendable;
        for slot in world.slots.iter().filter(|s| !s.is_free()) {
            matter |= self.memo.worker(slot.worker).sendable;
        }
        for d in &world.databases {
            matter |= bit(d.password[0]) | bit(d.password[1]) | bit(d.first);
            matter |= d.transaction.map_or(0, |t| bit(t.to) | bit(t.from));
            matter |= match d.delayed {
                Some(crate::world::Delayed::Change { from, to, .. }) => bit(from) | bit(to),
                Some(crate::world::Delayed::Commit { to, .. }) => bit(to),
                Some(crate::world::Delayed::EndWindow) | None => 0,
            };
        }
        if let Some(late) = world.late {
            matter |= self.memo.register(late.register).sendable;
        }
        for s in &mut world.stores {
            s.kept &= matter;
        }
    }

    fn push(&mut self, mut next: World, label: impl FnOnce(&Memo<'_>) -> String) {
        let swapped = self.normalize(&mut next);
        if next == self.from {
            return;
        }
        self.out.push(next);
        if let Some(labels) = &mut self.labels {
            labels.push((label(&self.memo), swapped));
        }
    }

    fn breaks(&mut self, name: &'static str) {
        if !self.broken.contains(&name) {
            self.broken.push(name);
        }
    }

    /// Everything that can happen next, into `out`.
    fn successors(&mut self, world: &World) {
        self.out.clear();
        self.broken.clear();
        if let Some(labels) = &mut self.labels {
            labels.clear();
        }
        self.from = *world;
        for d in 0..2 {
            self.database_events(world, d);
        }
        for s in 0..2 {
            self.store_events(world, s);
        }
        if let Some(late) = world.late {
            self.late_write(world, late);
        }
        let mut began = false;
        for k in 0..self.b.workers {
            let slot = world.slots[k];
            if slot.is_free() {
                // Two free places are alike.
                if !began {
                    began = true;
                    self.begin(world, k);
                }
                continue;
            }
            if !self.b.calm {
                let mut next = *world;
                next.free(k);
                self.push(next, |_| format!("w{k} dies"));
            }
            self.act(world, k, slot);
        }
    }

    fn database_events(&mut self, world: &World, d: usize) {
        let database = &world.databases[d];
        let at_rest = !world.has_workers() && self.memo.register(world.register).phase == Phase::Idle;
        if database.first != NONE && (at_rest || self.b.expiry) {
            let mut next = *world;
            next.databases[d].first = NONE;
            self.push(next, |_| format!("the window of database {d} expires"));
        }
        if database.transaction.is_some() {
            let mut next = *world;
            next.databases[d].transaction = None;
            self.push(next, |_| format!("the open transaction on database {d} is ended"));
        }
        if let Some(delayed) = database.delayed {
            let mut next = *world;
            next.databases[d].delayed = None;
            self.push(next, |_| format!("the delayed {delayed:?} to database {d} is lost"));
            let mut next = *world;
            next.deliver(self.b, d);
            self.push(next, |_| format!("the delayed {delayed:?} to database {d} executes"));
        }
    }

    fn store_events(&mut self, world: &World, s: usize) {
        if let Some(late) = world.stores[s].late {
            let mut next = *world;
            next.stores[s].late = None;
            self.push(next, |_| format!("the late {late:?} to store {s} is lost"));
            let mut next = *world;
            next.arrive(self.b, s);
            self.push(next, |_| format!("the late {late:?} to store {s} executes"));
        }
    }

    fn late_write(&mut self, world: &World, late: LateWrite) {
        let mut next = *world;
        next.late = None;
        self.push(next, |_| "the late register write is lost".to_owned());
        let mut next = *world;
        let waits = late.slot != ORPHAN && world.slots[usize::from(late.slot)].tie == Tie::Known;
        self.written(&mut next, late.register, usize::from(late.slot), late.advances, waits);
        self.push(next, |memo| format!("the late register write executes: {:?}", memo.register(late.register).phase));
    }

    /// The register is replaced. `knows` whether the writer still waits for it.
    fn written(&self, world: &mut World, register: u32, k: usize, advances: bool, knows: bool) {
        let before = self.memo.register(world.register);
        let rests = self.memo.register(register).phase == Phase::Idle && before.phase != Phase::Idle;
        if rests {
            world.after_write(self.b, before.phase, before.next);
        }
        world.register = register;
        world.late = None;
        let newest = world.newest_epoch();
        for (j, slot) in world.slots.iter_mut().enumerate() {
            slot.tie = if j == k && knows { Tie::Attempted } else { Tie::Other };
            if j == k && knows && advances {
                slot.epoch = newest;
            }
        }
    }

    /// A worker comes, reads the register and takes the set. A lease only saves work, so it may come at any time. What happens
    /// between its reading and its taking is as if it had come later: taking is a compare-and-swap with what it read.
    fn begin(&mut self, world: &World, k: usize) {
        let r = self.memo.register(world.register);
        let (phase, last) = (r.phase, r.last);
        let untried = self.b.revoke && r.register.revoke.is_none() && r.register.revoked.is_none();
        let proves = r.register.revoke.is_some_and(|target| r.register.has_left(&self.b.plan, target, NOW));
        if untried && phase != Phase::Stuck && last + ROTATIONS_OF_A_REVOKE <= self.b.last {
            self.begin_for(world, k, Goal::Revoke);
        }
        match phase {
            Phase::Idle if last >= self.b.last && !proves => {}
            Phase::Stuck => self.begin_for(world, k, Goal::Recover),
            _ => self.begin_for(world, k, Goal::Rotate),
        }
    }

    fn begin_for(&mut self, world: &World, k: usize, goal: Goal) {
        let r = self.memo.register(world.register);
        let mut register = world.register;
        if self.b.has(Switch::BaseFromLabel) && r.phase == Phase::Idle {
            // A stale label is what makes this rule break.
            let s = world.stores[0];
            let base = if self.b.stale && s.previous > 0 { s.previous } else { s.current };
            let mut seen = (*r.register).clone();
            seen.current = crate::world::g(base);
            register = self.memo.register_id(seen);
        }
        let beginner = self.memo.beginner(goal);
        match self.memo.step_read(beginner, register) {
            Move::Go(worker) => {
                let mut next = *world;
                next.slots[k] = Slot { worker, tie: Tie::Known, ..Slot::default() };
                self.arrive_at(next, k, &format!("w{k} begins ({goal:?})"));
            }
            Move::Done(_) => {}
            Move::Broken(violation) => self.stopped(world, &violation, "begins"),
        }
    }

    fn stopped(&mut self, world: &World, violation: &Violation, label: &str) {
        self.breaks(check::RULE);
        if self.labels.is_some() {
            let mut next = *world;
            next.refuses = u8::MAX;
            self.push(next, |_| format!("{label} -> {violation}"));
        }
    }

    /// A worker has its next batch. A register write goes out at once: what others do to databases and stores before it
    /// might as well happen after it, what they do to the register before it makes it stop (which it may at any time),
    /// and not writing at all is dying one step before. Only an open transaction, which others feel, makes it wait.
    fn arrive_at(&mut self, world: World, k: usize, label: &str) {
        let slot = world.slots[k];
        let writes = self.memo.worker(slot.worker).write.is_some();
        if writes && slot.tie == Tie::Known && !holds(&world, k) && !self.b.has(Switch::UnfencedJournal) {
            self.write(&world, k, slot, label);
        } else {
            self.push(world, |memo| format!("{label}, then {}", show_batch(memo, slot.worker)));
        }
    }

    fn act(&mut self, world: &World, k: usize, slot: Slot) {
        let facts = self.memo.worker(slot.worker);
        if facts.write.is_some() {
            self.write(world, k, slot, &format!("w{k}"));
            return;
        }
        let worker = facts.worker.clone();
        if facts.reads_only && !self.b.reads_apart {
            self.read_all(world, k, slot, &worker.issued);
            return;
        }
        for (at, effect) in worker.issued.iter().enumerate() {
            if slot.answers[at] != 0 {
                continue;
            }
            let mut answers = std::mem::take(&mut self.answers);
            answers.clear();
            if crate::memo::is_read(effect) {
                self.read.clear();
                world.read(self.b, &mut self.memo, k, effect, &mut self.read);
                if self.b.throttled {
                    self.read.push(TRANSIENT);
                }
                answers.extend(self.read.iter().map(|a| (*world, *a)));
            } else {
                world.change(self.b, &self.memo, k, effect, &mut answers);
            }
            for (mut after, answer) in answers.drain(..) {
                after.slots[k].answers[at] = answer;
                let label = self.label(|memo| format!("w{k} {effect:?} -> {:?}", memo.outcome(answer)));
                self.answered(after, k, &label);
            }
            self.answers = answers;
            if !self.b.any_order {
                break;
            }
        }
    }

    /// Asks a whole batch of questions at one moment, with every mix of answers, and with one of them finding nobody home.
    /// With one worker this loses nothing: the other events concern one database or store each, so an event between two
    /// questions might as well come before or after both. With two it is a bound (`reads_apart`).
    fn read_all(&mut self, world: &World, k: usize, slot: Slot, batch: &[Effect]) {
        let mut mixes = vec![slot.answers];
        for (at, effect) in batch.iter().enumerate() {
            self.read.clear();
            world.read(self.b, &mut self.memo, k, effect, &mut self.read);
            let before = mixes.len();
            for nr in 0..before {
                let mut mix = mixes[nr];
                for (i, answer) in self.read.iter().enumerate() {
                    mix[at] = *answer;
                    if i == 0 {
                        mixes[nr] = mix;
                    } else {
                        mixes.push(mix);
                    }
                }
            }
        }
        if self.b.throttled {
            let usual = mixes[0];
            for at in 0..batch.len() {
                let mut mix = usual;
                mix[at] = TRANSIENT;
                mixes.push(mix);
            }
        }
        for mix in mixes {
            let mut after = *world;
            after.slots[k].answers = mix;
            let label = self.label(|memo| show_answers(memo, k, batch, &mix));
            self.answered(after, k, &label);
        }
    }

    /// One more answer is in; if it was the last, the engine decides.
    fn answered(&mut self, after: World, k: usize, label: &str) {
        let slot = after.slots[k];
        if self.b.calm && slot.answers.contains(&UNKNOWN) {
            return;
        }
        let facts = self.memo.worker(slot.worker);
        let asked = facts.worker.issued.len();
        if slot.answers.iter().take(asked).any(|a| *a == 0) {
            self.push(after, |_| label.to_owned());
            return;
        }
        let mut moments = [Some(Moment::Now), None, None, None, None];
        if facts.undecided {
            moments[1] = Some(Moment::Late);
        }
        let drained = facts.waits && after.is_drained(k) && !self.b.has(Switch::NeverDrained);
        if drained {
            moments[2] = Some(Moment::Drained);
        }
        if facts.sees_windows {
            let closed = after.databases.iter().all(|d| d.first == NONE);
            moments[3] = (closed || self.b.has(Switch::WindowIgnored)).then_some(Moment::WindowsOver);
            moments[4] = (closed && drained).then_some(Moment::AllOver);
        }
        for moment in moments.into_iter().flatten() {
            let moved = self.memo.step(slot.worker, slot.answers, moment);
            let label = match moment {
                Moment::Now => label.to_owned(),
                other @ (Moment::Late | Moment::Drained | Moment::WindowsOver | Moment::AllOver) => {
                    self.label(|_| format!("{label} ({other:?})"))
                }
            };
            self.moved(after, k, moved, slot.tie, &label);
        }
    }

    fn moved(&mut self, after: World, k: usize, moved: Move, tie: Tie, label: &str) {
        match moved {
            // A worker that begins anew reads the register: as if it ended, and another came.
            Move::Go(worker) if self.memo.worker(worker).worker.stage == Stage::Read => {
                let mut next = after;
                next.free(k);
                self.push(next, |_| format!("{label}, and begins anew"));
            }
            Move::Go(worker) => {
                let mut next = after;
                next.slots[k] = Slot { worker, tie, epoch: after.slots[k].epoch, ..Slot::default() };
                self.arrive_at(next, k, label);
            }
            Move::Done(finish) => {
                if !check::is_true(&self.memo, &after, finish) {
                    self.breaks(check::VERDICT);
                }
                let mut next = after;
                next.free(k);
                self.push(next, |_| format!("{label}, done: {finish:?}"));
            }
            Move::Broken(violation) => self.stopped(&after, &violation, label),
        }
    }

    /// A register write. A lost reply and the look that settles it are one transition: what others write in between makes
    /// the worker stop, which it may at any time.
    fn write(&mut self, world: &World, k: usize, slot: Slot, label: &str) {
        let Some((mut register, mut advances)) = self.memo.worker(slot.worker).write else { return };
        let unfenced = self.b.has(Switch::UnfencedJournal);
        if slot.tie != Tie::Known && !unfenced {
            let mut next = *world;
            next.free(k);
            self.push(next, |_| format!("{label} writes and is fenced"));
            return;
        }
        if !self.b.switches.is_empty() {
            let before = self.memo.register(world.register).register.clone();
            let mut after = (*self.memo.register(register).register).clone();
            let keeps_epoch = after.phase == Phase::Abort && self.b.has(Switch::AbortKeepsEpoch);
            self.b.switches.iter().for_each(|s| s.spoil_write(&before, &mut after));
            register = self.memo.register_id(after);
            advances &= !keeps_epoch;
        }
        let show = self.label(|memo| {
            let r = memo.register(register);
            format!("{label}, writes {:?} current g{} next {:?}", r.phase, r.current, r.next)
        });
        let before = self.memo.register(world.register).phase;
        let issues = before == Phase::Idle && self.memo.register(register).phase == Phase::Intent;
        if self.b.late_register && world.late.is_none() {
            let moved = self.memo.step_settle(slot.worker, Tie::Known);
            if let Move::Go(worker) = moved {
                let mut next = *world;
                next.slots[k] = Slot { worker, ..slot };
                next.late = Some(LateWrite { register, slot: u8::try_from(k).unwrap(), advances });
                self.push(next, |_| format!("{show}: late"));
            }
        }
        let refusals = if issues && self.b.refusals { 0..3 } else { world.refuses..world.refuses + 1 };
        for refuses in refusals {
            let mut next = *world;
            next.refuses = refuses;
            self.written(&mut next, register, k, advances, true);
            let show = if refuses == 0 { show.clone() } else { format!("{show} (refusing: {refuses})") };
            let moved = self.memo.step(slot.worker, one(crate::memo::APPLIED), Moment::Now);
            self.moved(next, k, moved, Tie::Known, &show);
            if self.b.calm {
                continue;
            }
            let moved = self.memo.step_settle(slot.worker, Tie::Attempted);
            let lost = self.label(|_| format!("{show} (reply lost)"));
            self.moved(next, k, moved, Tie::Known, &lost);
        }
    }

    fn label(&self, text: impl FnOnce(&Memo<'_>) -> String) -> String {
        if self.labels.is_some() { text(&self.memo) } else { String::new() }
    }

    fn trace(&mut self, parents: &[(u32, u16)], id: u32) -> Vec<String> {
        let mut path = Vec::new();
        let mut at = id;
        while let Some((parent, nr)) = parents.get(at as usize).filter(|p| p.0 != u32::MAX) {
            path.push(*nr);
            at = *parent;
        }
        self.labels = Some(Vec::new());
        let mut world = World::start(self.b, self.memo.first_register());
        self.normalize(&mut world);
        let mut lines = Vec::new();
        let mut crossed = false;
        for nr in path.into_iter().rev() {
            self.successors(&world);
            let (label, swapped) = self.labels.as_mut().unwrap().swap_remove(usize::from(nr));
            lines.push(if crossed { exchange(&label) } else { label });
            crossed ^= swapped;
            world = self.out[usize::from(nr)];
        }
        lines
    }
}

fn one(answer: Answer) -> [Answer; crate::world::BATCH] {
    let mut answers = [0; crate::world::BATCH];
    answers[0] = answer;
    answers
}

fn holds(world: &World, k: usize) -> bool {
    world.databases.iter().any(|d| d.transaction.is_some_and(|t| usize::from(t.slot) == k))
}

/// Says w1 for w0 and the other way round.
fn exchange(label: &str) -> String {
    label.replace("w0", "w#").replace("w1", "w0").replace("w#", "w1")
}

fn show_batch(memo: &Memo<'_>, worker: u32) -> String {
    let names: Vec<String> = memo.worker(worker).worker.issued.iter().map(name).collect();
    names.join(" + ")
}

fn show_answers(memo: &Memo<'_>, k: usize, batch: &[Effect], mix: &[Answer]) -> String {
    let answers: Vec<String> = batch
        .iter()
        .zip(mix)
        .map(|(effect, answer)| match memo.outcome(*answer) {
            Outcome::Applied => format!("{} ok", name(effect)),
            other => format!("{} {other:?}", name(effect)),
        })
        .collect();
    format!("w{k} {}", answers.join(", "))
}

fn name(effect: &Effect) -> String {
    match effect {
        Effect::WriteRegister { .. } => "WriteRegister".to_owned(),
        other => format!("{other:?}").replace("DatabaseIx", "").replace("StoreIx", "").replace("Generation", "g"),
    }
}
