//! The register: who holds the set, lost replies of its writes, leases, and what is left for the next run.

use dizzy_engine::{
    Capability::StatementCas, DRAIN_MS, Effect, Finish, Goal, LEASE_MS, Outcome, Owner, Pace, Phase, Reason, Timestamp,
};

use crate::run::{LATE, NOW, PERMANENT, Run, TRANSIENT, alternating, at_rest, g, intent, plan, single};

#[test]
fn a_lost_write_is_settled_by_its_nonce() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("write intent");
    let attempt = match &run.worker.issued[..] {
        [Effect::WriteRegister { register }] => register.clone(),
        other => panic!("{other:?}"),
    };
    run.all(&Outcome::Unknown);
    assert_eq!(run.batch(), ["read register"]);

    // Nobody wrote: the same write again.
    run.well();
    assert_eq!((run.batch(), run.pace), (vec!["write intent g1 g2 e5".to_owned()], Pace::BackOff));

    // It was written after all.
    run.all(&Outcome::Unknown).all(&Outcome::Register(Some(attempt)));
    assert_eq!(run.batch(), ["stage 0 g2"]);
}

#[test]
fn a_register_of_somebody_else_stops_the_run() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("write intent").all(&Outcome::Refused(Reason::Conflict));
    assert_eq!(run.finish(), Finish::Fenced);

    let mut run = Run::new(&plan, at_rest(&plan));
    let mut other = at_rest(&plan);
    other.owner = Owner { worker: 8, write: 1, until: NOW };
    run.until("write intent").all(&Outcome::Unknown).all(&Outcome::Register(Some(other.into())));
    assert_eq!(run.finish(), Finish::Fenced);
}

#[test]
fn the_same_writer_with_another_count_is_another_write() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    let mut older = at_rest(&plan);
    older.owner = Owner { worker: 7, write: 99, until: NOW };
    run.until("write intent").all(&Outcome::Unknown).all(&Outcome::Register(Some(older.into())));
    assert_eq!(run.finish(), Finish::Fenced);
}

#[test]
fn a_register_out_of_reach_is_tried_again_while_the_budget_lasts() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.all(&TRANSIENT);
    assert_eq!((run.batch(), run.pace), (vec!["read register".to_owned()], Pace::BackOff));
    run.at(LATE).all(&TRANSIENT);
    assert_eq!(run.finish(), Finish::JournalLost);

    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("write intent").all(&TRANSIENT);
    assert_eq!(run.batch(), ["write intent g1 g2 e5"]);
    run.at(LATE).all(&TRANSIENT);
    assert_eq!(run.batch(), ["write idle g1 - e5"], "an Intent that was refused leaves only the lease");

    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("write commit").all(&Outcome::Unknown).at(LATE).all(&TRANSIENT);
    assert_eq!(run.finish(), Finish::JournalLost);
}

#[test]
fn a_verdict_does_not_depend_on_the_write_that_frees_the_set() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("check current").all(&Outcome::Refused(Reason::Drift)).all(&PERMANENT);
    assert_eq!(run.finish(), Finish::Drift);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("write idle g2").all(&PERMANENT);
    assert_eq!(run.finish(), Finish::JournalLost, "the rest must be recorded to be true");
}

#[test]
fn a_held_set_is_left_alone() {
    let plan = plan(&[alternating()]);
    let mut register = at_rest(&plan);
    register.owner.until = NOW.plus_ms(1);
    let mut run = Run::new(&plan, register.clone());
    run.well();
    assert_eq!(run.finish(), Finish::Busy(NOW.plus_ms(1)));
    let mut run = Run::new(&plan, register);
    run.at(NOW.plus_ms(1)).well();
    assert_eq!(run.batch(), ["write idle g1 - e5"]);
}

#[test]
fn taking_over_records_how_long_the_former_owner_may_act() {
    let plan = plan(&[alternating()]);
    let mut register = intent(&plan);
    register.taken = Some(Timestamp(500));
    let mut run = Run::new(&plan, register);
    run.until("stage");
    assert_eq!(run.register.quiet, Some(Timestamp(500 + DRAIN_MS)));
    assert_eq!(run.register.taken, Some(NOW));
    assert_eq!(run.register.epoch.0, 5);
    assert!(!run.worker.originator);
    assert!(!run.register.is_drained(Timestamp(499 + DRAIN_MS)));
    assert!(run.register.is_drained(Timestamp(500 + DRAIN_MS)));
}

#[test]
fn an_older_drain_is_not_shortened() {
    let plan = plan(&[alternating()]);
    let mut register = intent(&plan);
    (register.taken, register.quiet) = (Some(Timestamp(5)), Some(Timestamp(9_000_000)));
    let mut run = Run::new(&plan, register);
    run.until("stage");
    assert_eq!(run.register.quiet, Some(Timestamp(9_000_000)));
}

#[test]
fn a_run_that_leaves_nothing_behind_says_so() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.end();
    assert_eq!(run.register.taken, None);
    assert_eq!(run.register.owner.until, NOW);

    for what in ["apply", "promote", "prune", "stage"] {
        let mut run = Run::new(&plan, at_rest(&plan));
        run.until(what).all(&Outcome::Unknown);
        run.end();
        assert_eq!(run.register.taken, Some(NOW), "{what} may still execute");
    }
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("login").all(&Outcome::Unknown);
    run.end();
    assert_eq!(run.register.taken, None, "a question changes nothing");
}

#[test]
fn half_a_lease_is_renewed_before_the_next_batch() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("stage").at(NOW.plus_ms(LEASE_MS / 2 - 1)).well();
    assert_eq!(run.batch(), ["read back 0 g2"]);
    run.at(NOW.plus_ms(LEASE_MS / 2)).well();
    assert_eq!(run.batch(), ["write intent g1 g2 e5"]);
    run.well();
    assert_eq!(run.batch(), ["apply 0 u1 g0>g2 e5"]);
    assert_eq!(run.register.owner.until, NOW.plus_ms(LEASE_MS / 2 + LEASE_MS));
    assert_eq!(run.end(), Finish::Rotated(g(2)));
}

#[test]
fn a_lost_renewal_stops_the_run() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("stage").at(NOW.plus_ms(LEASE_MS)).well();
    assert_eq!(run.batch(), ["write intent g1 g2 e5"]);
    run.all(&Outcome::Refused(Reason::Conflict));
    assert_eq!(run.finish(), Finish::Fenced);
}

#[test]
fn what_needs_no_run_is_said_at_once() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.all(&Outcome::Register(None));
    assert_eq!(run.finish(), Finish::NoRegister);

    let mut run = Run::with_goal(&plan, at_rest(&plan), Goal::Recover);
    run.well();
    assert_eq!(run.finish(), Finish::NothingToDo);

    let mut run = Run::new(&crate::run::plan(&[single(StatementCas)]), at_rest(&plan));
    run.well();
    assert_eq!(run.finish(), Finish::Misfit);
    let mut run = Run::new(&crate::run::plan(&[alternating(), alternating()]), at_rest(&plan));
    run.well();
    assert_eq!(run.finish(), Finish::Misfit);
    let mut register = at_rest(&plan);
    register.databases[0].live = dizzy_engine::UserIx(2);
    let mut run = Run::new(&plan, register);
    run.well();
    assert_eq!(run.finish(), Finish::Misfit);
}

#[test]
fn a_stuck_rotation_goes_on_by_recover_only() {
    let plan = plan(&[alternating()]);
    for was in [Phase::Intent, Phase::Abort] {
        let mut register = intent(&plan);
        (register.phase, register.was) = (Phase::Stuck, was);
        let mut run = Run::new(&plan, register.clone());
        run.well();
        assert_eq!(run.finish(), Finish::Stuck);
        let mut run = Run::with_goal(&plan, register, Goal::Recover);
        run.well().well();
        assert_eq!(run.register.phase, was);
        let verdict = if was == Phase::Intent { Finish::Rotated(g(2)) } else { Finish::RolledBack(g(2)) };
        assert_eq!(run.end(), verdict);
    }
}
