//! Every named rule: what breaks it is refused before it is done, and what keeps it is not.

use std::sync::Arc;

use dizzy_engine::{
    Capability::{RowFence, StatementCas},
    DatabaseIx, DatabasePlan, Effect, Epoch, Goal, Outcome,
    Phase::{self, Abort, Commit, Idle, Intent, Stuck},
    Plan, Register, Seen, Stage, StoreIx, StorePlan, Timestamp, UserIx, Violation, Window, Worker,
    invariant::{check_effect, check_write},
    step,
};

use crate::run::{alternating, at_rest, g, intent, plan, rollover, sent, single};

const D: DatabaseIx = DatabaseIx(0);
const S: StoreIx = StoreIx(0);

fn holding(register: Register) -> Worker {
    let mut worker = Worker::new(7, Goal::Rotate, Timestamp(0));
    worker.register = Arc::new(register);
    worker
}

fn effect(kind: DatabasePlan, register: Register, effect: &Effect) -> Result<(), Violation> {
    check_effect(&plan(&[kind]), &holding(register), effect)
}

fn apply(user: u8, from: u64, to: u64) -> Effect {
    Effect::Apply { database: D, user: UserIx(user), from: g(from), to: g(to), epoch: Epoch(4) }
}

fn in_phase(mut r: Register, phase: Phase) -> Register {
    (r.phase, r.was) = (phase, phase);
    r
}

#[test]
fn a_change_goes_from_an_older_to_the_generation_under_way() {
    let kind = alternating();
    let r = intent(&plan(&[kind]));
    assert_eq!(effect(kind, r.clone(), &apply(1, 0, 2)), Ok(()));
    assert_eq!(effect(kind, r.clone(), &apply(1, 2, 2)), Ok(()));
    assert_eq!(effect(kind, r.clone(), &apply(1, 3, 2)), Err(Violation::Newer(D)));
    assert_eq!(effect(kind, r.clone(), &apply(1, 0, 1)), Err(Violation::Newer(D)));
    assert_eq!(effect(kind, r.clone(), &apply(0, 1, 2)), Err(Violation::LiveUser(D)));
    let old = Effect::Apply { database: D, user: UserIx(1), from: g(0), to: g(2), epoch: Epoch(3) };
    assert_eq!(effect(kind, r.clone(), &old), Err(Violation::Epoch(D)));
    for phase in [Idle, Commit, Abort, Stuck] {
        let found = effect(kind, in_phase(r.clone(), phase), &apply(1, 0, 2));
        assert_eq!(found, Err(Violation::Phase { what: "a change", phase }));
    }
    let elsewhere = Effect::Apply { database: DatabaseIx(5), user: UserIx(0), from: g(1), to: g(2), epoch: Epoch(4) };
    assert_eq!(effect(kind, r.clone(), &elsewhere), Err(Violation::Shape));
    let mut nothing = r;
    nothing.next = None;
    assert_eq!(effect(kind, nothing, &apply(1, 0, 2)), Err(Violation::NoGeneration));
}

#[test]
fn a_change_is_marked_first() {
    let kind = alternating();
    let mut r = intent(&plan(&[kind]));
    r.databases[0].users[1].maybe.clear();
    assert_eq!(effect(kind, r, &apply(1, 0, 2)), Err(Violation::Unmarked(D)));

    let kind = single(StatementCas);
    let r = sent(intent(&plan(&[kind])), 0);
    assert_eq!(effect(kind, r.clone(), &apply(0, 1, 2)), Ok(()));
    let mut not_sent = r.clone();
    not_sent.databases[0].sent = false;
    assert_eq!(effect(kind, not_sent, &apply(0, 1, 2)), Err(Violation::Unmarked(D)));
    let mut no_maybe = r;
    no_maybe.databases[0].users[0].maybe.clear();
    assert_eq!(effect(kind, no_maybe, &apply(0, 1, 2)), Err(Violation::Unmarked(D)));

    let kind = single(RowFence);
    let vote = Effect::Vote { database: D, user: UserIx(0), from: g(1), to: g(2), epoch: Epoch(4) };
    assert_eq!(effect(kind, intent(&plan(&[kind])), &vote), Ok(()));
}

#[test]
fn a_transaction_commits_what_is_under_way() {
    let kind = single(RowFence);
    let r = intent(&plan(&[kind]));
    let commit = |n| Effect::CommitVote { database: D, generation: g(n) };
    assert_eq!(effect(kind, r.clone(), &commit(2)), Ok(()));
    assert_eq!(effect(kind, r.clone(), &commit(1)), Err(Violation::Newer(D)));
    let found = effect(kind, in_phase(r, Abort), &commit(2));
    assert_eq!(found, Err(Violation::Phase { what: "the commit of a change", phase: Abort }));
}

#[test]
fn a_window_is_ended_before_the_mark() {
    let kind = rollover(true);
    let r = intent(&plan(&[kind]));
    let end = Effect::EndWindow { database: D };
    assert_eq!(effect(kind, r.clone(), &end), Ok(()));
    assert_eq!(effect(kind, sent(r.clone(), 0), &end), Err(Violation::Window(D)));
    assert_eq!(
        effect(kind, r.clone(), &Effect::EndWindow { database: DatabaseIx(3) }),
        Err(Violation::Window(DatabaseIx(3)))
    );
    let found = effect(kind, in_phase(r, Idle), &end);
    assert_eq!(found, Err(Violation::Phase { what: "the end of a window", phase: Idle }));
}

#[test]
fn the_way_back_goes_to_the_base_under_its_own_epoch() {
    let kind = single(RowFence);
    let r = in_phase(intent(&plan(&[kind])), Abort);
    let restore =
        |to, epoch| Effect::Restore { database: D, user: UserIx(0), from: g(2), to: g(to), epoch: Epoch(epoch) };
    let burn = |epoch| Effect::Burn { database: D, user: UserIx(0), from: g(1), epoch: Epoch(epoch) };
    assert_eq!(effect(kind, r.clone(), &restore(1, 4)), Ok(()));
    assert_eq!(effect(kind, r.clone(), &restore(0, 4)), Err(Violation::Newer(D)));
    assert_eq!(effect(kind, r.clone(), &restore(1, 3)), Err(Violation::Epoch(D)));
    assert_eq!(effect(kind, r.clone(), &burn(4)), Ok(()));
    assert_eq!(effect(kind, r.clone(), &burn(3)), Err(Violation::Epoch(D)));
    let forward = in_phase(r, Intent);
    let what = |what| Err(Violation::Phase { what, phase: Intent });
    assert_eq!(effect(kind, forward.clone(), &restore(1, 4)), what("a restore"));
    assert_eq!(effect(kind, forward, &burn(4)), what("a burn"));
}

#[test]
fn stores_follow_the_decision() {
    let kind = alternating();
    let r = intent(&plan(&[kind]));
    let stage = |n| Effect::Stage { store: S, generation: g(n), announce: None };
    let back = |n| Effect::ReadBack { store: S, generation: g(n) };
    let promote = |from, to| Effect::Promote { store: S, from: g(from), to: g(to) };
    let published = Effect::Published { store: S, generation: g(2) };
    for (ok, wrong) in [(stage(2), stage(1)), (back(2), back(1))] {
        assert_eq!(effect(kind, r.clone(), &ok), Ok(()));
        assert_eq!(effect(kind, r.clone(), &wrong), Err(Violation::Label));
        let found = effect(kind, in_phase(r.clone(), Commit), &ok);
        assert_eq!(found, Err(Violation::Phase { what: "staging", phase: Commit }));
    }
    let commit = in_phase(r.clone(), Commit);
    assert_eq!(effect(kind, commit.clone(), &promote(1, 2)), Ok(()));
    assert_eq!(effect(kind, commit.clone(), &promote(0, 2)), Err(Violation::Label));
    assert_eq!(effect(kind, commit.clone(), &promote(1, 3)), Err(Violation::Label));
    assert_eq!(effect(kind, commit, &published), Ok(()));
    let what = |what| Err(Violation::Phase { what, phase: Intent });
    assert_eq!(effect(kind, r.clone(), &promote(1, 2)), what("a promotion"));
    assert_eq!(effect(kind, r.clone(), &published), what("the last check"));
    assert_eq!(effect(kind, r, &Effect::Prune { store: S, generation: g(0) }), what("pruning"));
}

#[test]
fn what_may_be_needed_keeps_its_name() {
    let kind = alternating();
    let mut r = in_phase(intent(&plan(&[kind])), Commit);
    (r.last, r.next, r.current) = (g(6), Some(g(6)), g(3));
    r.kept = (0..=7).map(g).collect();
    r.databases[0].users[0] = dizzy_engine::UserRegister { known: Some(g(2)), maybe: vec![g(4)] };
    let prune = |n| Effect::Prune { store: S, generation: g(n) };
    for n in [0, 1, 5] {
        assert_eq!(effect(kind, r.clone(), &prune(n)), Ok(()), "g{n}");
    }
    for n in [2, 3, 4, 6, 7] {
        assert_eq!(effect(kind, r.clone(), &prune(n)), Err(Violation::Needed(g(n))), "g{n}");
    }
    r.databases.clear();
    assert_eq!(effect(kind, r, &prune(0)), Err(Violation::Needed(g(0))));
}

fn write(kind: DatabasePlan, before: &Register, change: impl FnOnce(&mut Register)) -> Result<(), Violation> {
    let mut after = before.clone();
    change(&mut after);
    check_write(&plan(&[kind]), before, &after)
}

#[test]
fn epochs_only_grow_and_an_abort_takes_its_own() {
    let kind = alternating();
    let r = intent(&plan(&[kind]));
    assert_eq!(write(kind, &r, |_| ()), Ok(()));
    assert_eq!(write(kind, &r, |r| r.epoch = Epoch(3)), Err(Violation::EpochOrder));
    assert_eq!(write(kind, &r, |r| r.phase = Abort), Err(Violation::EpochOrder));
    assert_eq!(write(kind, &r, |r| (r.phase, r.epoch) = (Abort, Epoch(5))), Ok(()));
}

#[test]
fn phases_follow_each_other_as_the_protocol_says() {
    let kind = alternating();
    let r = intent(&plan(&[kind]));
    let phases = [Idle, Intent, Commit, Abort, Stuck];
    let mut legal = Vec::new();
    for from in phases {
        for to in phases.into_iter().filter(|to| *to != from) {
            let before = in_phase(r.clone(), from);
            let found = write(kind, &before, |r| (r.phase, r.epoch) = (to, r.epoch.next()));
            if found != Err(Violation::PhaseOrder { from, to }) {
                legal.push((from, to));
            }
        }
    }
    let expected = [
        (Idle, Intent),
        (Intent, Commit),
        (Intent, Abort),
        (Intent, Stuck),
        (Commit, Idle),
        (Abort, Idle),
        (Abort, Stuck),
    ];
    assert_eq!(legal, expected);
    let mut stuck = in_phase(r, Stuck);
    stuck.was = Abort;
    assert_eq!(write(kind, &stuck, |r| r.phase = Abort), Ok(()));
    let found = write(kind, &stuck, |r| r.phase = Intent);
    assert_eq!(found, Err(Violation::PhaseOrder { from: Stuck, to: Intent }));
}

fn issue(r: &mut Register, n: u64) {
    (r.phase, r.last, r.next) = (Intent, g(n), Some(g(n)));
    r.kept.push(g(n));
}

#[test]
fn generations_only_grow() {
    let kind = alternating();
    let rest = at_rest(&plan(&[kind]));
    assert_eq!(write(kind, &rest, |r| issue(r, 2)), Ok(()));
    let mut given_up = rest.clone();
    given_up.last = g(5);
    assert_eq!(write(kind, &given_up, |r| r.last = g(4)), Err(Violation::GenerationOrder), "not even an aborted one's");
    assert_eq!(write(kind, &rest, |r| r.next = Some(g(9))), Err(Violation::GenerationOrder));
    assert_eq!(write(kind, &rest, |r| r.databases[0].users[1].known = Some(g(9))), Err(Violation::GenerationOrder));
}

#[test]
fn the_generation_under_way_stays_until_it_is_decided() {
    let kind = alternating();
    let rest = at_rest(&plan(&[kind]));
    let r = intent(&plan(&[kind]));
    assert_eq!(write(kind, &r, |r| issue(r, 3)), Err(Violation::Replaced));
    assert_eq!(write(kind, &r, |r| r.next = None), Err(Violation::Replaced));
    assert_eq!(write(kind, &rest, |r| issue(r, 1)), Err(Violation::Replaced), "not a fresh one");
    assert_eq!(write(kind, &rest, |r| (issue(r, 2), r.phase = Idle).1), Err(Violation::Replaced));
    assert_eq!(write(kind, &rest, |r| (issue(r, 3), r.next = Some(g(2))).1), Err(Violation::Replaced));
    for decided in [Commit, Abort] {
        let r = in_phase(r.clone(), decided);
        assert_eq!(write(kind, &r, |r| (r.next, r.phase) = (None, Idle)), Ok(()));
        assert_eq!(write(kind, &r, |r| r.next = None), Err(Violation::Replaced), "only at rest");
    }
}

#[test]
fn what_is_published_changes_by_a_decision() {
    let kind = alternating();
    let r = intent(&plan(&[kind]));
    let finish = |r: &mut Register| {
        (r.current, r.next, r.phase) = (g(2), None, Idle);
        r.databases[0].live = UserIx(1);
    };
    assert_eq!(write(kind, &in_phase(r.clone(), Commit), finish), Ok(()));
    assert_eq!(write(kind, &in_phase(r.clone(), Abort), finish), Err(Violation::Undecided));
    assert_eq!(write(kind, &in_phase(r.clone(), Commit), |r| r.current = g(0)), Err(Violation::Undecided));
    assert_eq!(write(kind, &r, |r| r.databases[0].live = UserIx(1)), Err(Violation::Undecided));
}

#[test]
fn what_is_needed_is_kept() {
    let kind = alternating();
    let r = intent(&plan(&[kind]));
    for n in [0, 1, 2] {
        assert_eq!(write(kind, &r, |r| r.kept.retain(|k| *k != g(n))), Err(Violation::Needed(g(n))));
    }
}

#[test]
fn a_user_may_be_on_two_generations_besides_the_known_one() {
    let kind = alternating();
    let mut r = intent(&plan(&[kind]));
    r.last = g(5);
    r.kept = (0..=5).map(g).collect();
    let maybes = |n: u64| move |r: &mut Register| r.databases[0].users[1].maybe = (2..2 + n).map(g).collect();
    assert_eq!(write(kind, &r, maybes(2)), Ok(()));
    assert_eq!(write(kind, &r, maybes(3)), Err(Violation::Maybes(D)));
}

#[test]
fn no_rotation_begins_in_an_open_window_that_cannot_be_ended() {
    let window = Some(Window { until: Timestamp(9), first: g(0) });
    for (kind, answer) in [(rollover(false), Err(Violation::Window(D))), (rollover(true), Ok(()))] {
        let mut rest = at_rest(&plan(&[kind]));
        rest.databases[0].window = window;
        assert_eq!(write(kind, &rest, |r| issue(r, 2)), answer);
        assert_eq!(write(kind, &rest, |_| ()), Ok(()));
        assert_eq!(write(kind, &rest, |r| (issue(r, 2), r.databases[0].window = None).1), Ok(()));
    }
}

#[test]
fn every_effect_has_its_answer() {
    let plan = plan(&[alternating()]);
    let worker = Worker::new(1, Goal::Rotate, Timestamp(5));
    let found = step(&plan, &worker, Timestamp(0), &[]).unwrap_err();
    assert_eq!(found, Violation::Answers { asked: 1, answered: 0 });
    let found = step(&plan, &worker, Timestamp(0), &[Outcome::Applied, Outcome::Applied]).unwrap_err();
    assert_eq!(found, Violation::Answers { asked: 1, answered: 2 });
}

#[test]
fn a_worker_that_does_not_fit_is_stopped() {
    let plan = Plan::new(vec![alternating()], vec![StorePlan { announce: false }]);
    let mut worker = holding(at_rest(&plan));
    (worker.stage, worker.issued) = (Stage::Verify, Vec::new());
    assert_eq!(step(&plan, &worker, Timestamp(0), &[]).unwrap_err(), Violation::PhaseOrder { from: Idle, to: Commit });
    worker.stage = Stage::Staging(0);
    assert_eq!(step(&plan, &worker, Timestamp(0), &[]).unwrap_err(), Violation::Shape);
    worker.stage = Stage::ReadBack;
    worker.issued = vec![Effect::ReadBack { store: S, generation: g(2) }];
    assert_eq!(step(&plan, &worker, Timestamp(0), &[Outcome::Applied]).unwrap_err(), Violation::NoGeneration);
    for stage in [Stage::Applying(0), Stage::Undo] {
        let mut worker = holding(intent(&plan));
        worker.stage = stage;
        worker.issued = vec![Effect::ReadLabels { store: S }];
        assert_eq!(step(&plan, &worker, Timestamp(0), &[Outcome::Applied]).unwrap_err(), Violation::Shape);
    }
}

#[test]
fn a_step_that_would_break_a_rule_is_not_taken() {
    let plan = plan(&[alternating()]);
    let mut worker = holding(in_phase(intent(&plan), Commit));
    (worker.stage, worker.issued) = (Stage::LookPending(0), vec![Effect::ReadLabels { store: S }]);
    let labels = Outcome::Labels { current: Seen::Nothing, pending: Seen::Nothing };
    let found = step(&plan, &worker, Timestamp(0), &[labels]).unwrap_err();
    assert_eq!(found, Violation::Phase { what: "staging", phase: Commit });
}
