//! A revoke: the wish is recorded with the take-over, worked off by whoever works on the set, and proven by logins that must fail.

use dizzy_engine::{
    Capability::{RowFence, StatementCas},
    Effect, Finish, Goal, Outcome, Phase, Plan, Reason, Register, Violation, Window,
    invariant::{check_effect, check_write},
};

use crate::run::{
    LATE, NOW, PERMANENT, Run, TRANSIENT, WINDOW_MS, alternating, at_rest, g, intent, plan, rollover, single,
};

const DRIFT: Outcome = Outcome::Refused(Reason::Drift);

fn revoke(plan: &Plan) -> Run {
    Run::with_goal(plan, at_rest(plan), Goal::Revoke)
}

fn changes(run: &Run) -> Vec<&str> {
    let kinds = ["apply", "vote", "end window", "refused", "promote"];
    run.log.iter().map(String::as_str).filter(|t| kinds.iter().any(|k| t.starts_with(k))).collect()
}

#[test]
fn two_users_need_two_rotations_and_a_login_that_fails_with_each_old_password() {
    let plan = plan(&[alternating()]);
    let mut run = revoke(&plan);
    assert_eq!(run.end(), Finish::Revoked(g(1)));
    assert_eq!(
        changes(&run),
        [
            "apply 0 u1 g0>g2 e5",
            "promote 0 g1>g2",
            "apply 0 u0 g1>g3 e6",
            "promote 0 g2>g3",
            "refused 0 g0",
            "refused 0 g1"
        ]
    );
    assert_eq!((run.register.revoke, run.register.revoked), (None, Some(g(1))));
    assert_eq!((run.register.phase, run.register.current, run.register.taken), (Phase::Idle, g(3), None));
    // What was tried was kept for it; the next rotation drops it.
    assert!(run.register.kept.contains(&g(0)) && run.register.kept.contains(&g(1)), "{:?}", run.register.kept);
    let mut next = Run::new(&plan, (*run.register).clone());
    next.end();
    assert!(!next.register.kept.contains(&g(0)) && !next.register.kept.contains(&g(1)), "{:?}", next.register.kept);
}

#[test]
fn what_an_earlier_revoke_has_proven_is_neither_kept_nor_tried_again() {
    let plan = plan(&[alternating()]);
    let mut run = revoke(&plan);
    run.end();
    let mut again = Run::with_goal(&plan, (*run.register).clone(), Goal::Revoke);
    assert_eq!(again.end(), Finish::Revoked(g(3)));
    let tried: Vec<&str> = changes(&again).into_iter().filter(|t| t.starts_with("refused")).collect();
    assert_eq!(tried, ["refused 0 g2", "refused 0 g3"]);
    assert!(again.log.contains(&"prune 0 g0".to_owned()), "{:?}", again.log);
    assert_eq!(again.register.kept, [g(2), g(3), g(4), g(5)]);
}

#[test]
fn a_single_user_needs_one_rotation() {
    for kind in [single(RowFence), single(StatementCas)] {
        let plan = plan(&[kind]);
        let mut run = revoke(&plan);
        assert_eq!(run.end(), Finish::Revoked(g(1)));
        assert_eq!(run.register.current, g(2), "{:?}", run.log);
    }
}

#[test]
fn the_window_that_keeps_a_revoked_password_valid_is_ended_by_the_second_rotation() {
    let plan = plan(&[rollover(true)]);
    let mut run = revoke(&plan);
    assert_eq!(run.end(), Finish::Revoked(g(1)));
    assert_eq!(
        changes(&run),
        [
            "apply 0 u0 g1>g2 e5",
            "promote 0 g1>g2",
            "end window 0",
            "apply 0 u0 g2>g3 e6",
            "promote 0 g2>g3",
            "refused 0 g0",
            "refused 0 g1"
        ]
    );
    let window = run.register.databases[0].window.unwrap();
    assert_eq!(window, Window { until: NOW.plus_ms(WINDOW_MS), first: g(2) }, "what it keeps valid was never leaked");
}

#[test]
fn a_window_that_nobody_may_end_is_waited_for_and_then_nothing_is_left_but_the_proof() {
    let plan = plan(&[rollover(false)]);
    let mut run = revoke(&plan);
    assert_eq!(run.end(), Finish::WindowOpen(NOW.plus_ms(WINDOW_MS)));
    assert_eq!((run.register.revoke, run.register.current), (Some(g(1)), g(2)));
    // By the clock, or because somebody with the right to do so has ended it.
    let over =
        Plan::new(vec![dizzy_engine::DatabasePlan { window_over: true, ..rollover(false) }], plan.stores.clone());
    for (plan, now) in [(&plan, NOW.plus_ms(WINDOW_MS)), (&over, NOW)] {
        let mut later = Run::with_goal(plan, (*run.register).clone(), Goal::Recover);
        later.worker.budget = now.plus_ms(1);
        assert_eq!(later.at(now).end(), Finish::Revoked(g(1)));
        assert_eq!(changes(&later), ["refused 0 g0", "refused 0 g1"]);
    }
}

#[test]
fn a_window_that_the_server_says_is_over_keeps_no_rotation_back() {
    let open = dizzy_engine::DatabasePlan { window_over: true, ..rollover(false) };
    let plan = plan(&[open]);
    let mut r = at_rest(&plan);
    r.databases[0].window = Some(Window { until: NOW.plus_ms(1), first: g(0) });
    assert_eq!(Run::new(&plan, r).end(), Finish::Rotated(g(2)));
}

#[test]
fn whoever_comes_works_the_wish_off() {
    let plan = plan(&[alternating()]);
    for goal in [Goal::Rotate, Goal::Recover, Goal::Revoke] {
        for cut in 1..40 {
            let mut run = revoke(&plan);
            for _ in 0..cut {
                if run.done.is_none() {
                    run.well();
                }
            }
            if run.done.is_some() {
                break;
            }
            // The first worker is dead. Before its first write it had wished for nothing.
            let wished = run.register.revoke.is_some();
            let mut other = Run::with_goal(&plan, (*run.register).clone(), goal);
            other.worker.id = 8;
            let now = run.register.owner.until.max(NOW);
            other.worker.budget = now.plus_ms(60_000);
            let finish = other.at(now).end();
            if wished || goal == Goal::Revoke {
                assert!(
                    matches!(finish, Finish::Revoked(target) if target == g(1)),
                    "{goal:?} {cut}: {finish:?} {:?}",
                    other.log
                );
                assert!(other.register.current <= g(4), "{goal:?} {cut}: no more rotations than needed");
            }
        }
    }
}

#[test]
fn a_wish_is_finished_and_not_widened() {
    let plan = plan(&[alternating()]);
    let mut run = revoke(&plan);
    run.until("promote");
    let mut again = Run::with_goal(&plan, (*run.register).clone(), Goal::Revoke);
    again.worker.id = 8;
    let now = run.register.owner.until;
    again.worker.budget = now.plus_ms(60_000);
    assert_eq!(again.at(now).end(), Finish::Revoked(g(1)));
    assert_eq!(again.register.current, g(3));
}

#[test]
fn a_generation_under_way_is_revoked_too_and_a_stuck_one_is_no_reason_to_wait() {
    let plan = plan(&[alternating()]);
    let mut stuck = intent(&plan);
    (stuck.phase, stuck.was) = (Phase::Stuck, Phase::Intent);
    for r in [intent(&plan), stuck] {
        let mut run = Run::with_goal(&plan, r, Goal::Revoke);
        run.until("write");
        run.well();
        assert_eq!(run.register.revoke, Some(g(2)));
        assert_eq!(run.end(), Finish::Revoked(g(2)));
        assert_eq!(run.register.current, g(4));
    }
}

#[test]
fn recover_begins_nothing_without_a_wish() {
    let plan = plan(&[alternating()]);
    assert_eq!(Run::with_goal(&plan, at_rest(&plan), Goal::Recover).end(), Finish::NothingToDo);
}

#[test]
fn a_password_that_still_logs_in_or_cannot_be_tried_leaves_the_wish() {
    let plan = plan(&[alternating()]);
    for outcome in [DRIFT, PERMANENT] {
        let mut run = revoke(&plan);
        run.until("refused");
        run.all(&outcome);
        assert_eq!(run.end(), Finish::NotRevoked);
        assert_eq!((run.register.revoke, run.register.revoked), (Some(g(1)), None));
        // The next run tries again, and changes nothing more.
        let mut next = Run::with_goal(&plan, (*run.register).clone(), Goal::Recover);
        assert_eq!(next.end(), Finish::Revoked(g(1)));
        assert_eq!(changes(&next), ["refused 0 g0", "refused 0 g1"]);
    }
}

#[test]
fn only_what_did_not_answer_is_tried_again() {
    let plan = plan(&[alternating(), alternating()]);
    let mut run = revoke(&plan);
    run.until("refused");
    run.answer(|e| matches!(e, Effect::ProveRefused { database, .. } if database.0 == 1).then_some(TRANSIENT));
    assert_eq!(run.batch(), ["refused 1 g0"]);
    run.at(LATE).all(&Outcome::Unknown);
    assert_eq!(run.end(), Finish::NotRevoked);
}

#[test]
fn a_verdict_of_a_revoke_outlives_the_write_that_frees_the_set() {
    let plan = plan(&[alternating()]);
    let mut run = revoke(&plan);
    run.until("refused");
    run.all(&PERMANENT);
    run.all(&Outcome::Refused(Reason::Permanent));
    assert_eq!(run.finish(), Finish::NotRevoked);
    // ... but the one that says that it is done is what makes it so.
    let mut run = revoke(&plan);
    run.until("refused");
    run.well().well().all(&PERMANENT);
    assert_eq!(run.finish(), Finish::JournalLost);
}

#[test]
fn a_rotation_that_is_rolled_back_leaves_the_wish() {
    let plan = plan(&[alternating()]);
    let mut run = revoke(&plan);
    run.until("apply");
    run.at(LATE).all(&PERMANENT);
    assert_eq!(run.end(), Finish::RolledBack(g(2)));
    assert_eq!(run.register.revoke, Some(g(1)));
}

#[test]
fn a_user_on_which_nothing_is_known_has_not_left() {
    let mut r = at_rest(&plan(&[alternating()]));
    let left = |r: &Register| r.users_have_left(g(1));
    (r.databases[0].users[0].known, r.databases[0].users[1].known) = (Some(g(2)), Some(g(3)));
    assert!(left(&r));
    r.databases[0].users[1].maybe = vec![g(1)];
    assert!(!left(&r));
    r.databases[0].users[1] = dizzy_engine::UserRegister::default();
    assert!(!left(&r));
}

#[test]
fn what_is_revoked_never_comes_back() {
    let plan = plan(&[single(StatementCas)]);
    let worker = |revoked: u64, phase| {
        let mut r = intent(&plan);
        (r.phase, r.was, r.revoked) = (phase, phase, Some(g(revoked)));
        r.databases[0].sent = true;
        r.databases[0].users[0].mark(g(2));
        let mut run = Run::new(&plan, r.clone());
        run.worker.register = r.into();
        run.worker
    };
    let (d, user, epoch) = (dizzy_engine::DatabaseIx(0), dizzy_engine::UserIx(0), dizzy_engine::Epoch(4));
    let effects = [
        (Effect::Apply { database: d, user, from: g(1), to: g(2), epoch }, Phase::Intent, 2),
        (Effect::Restore { database: d, user, from: g(2), to: g(1), epoch }, Phase::Abort, 1),
        (Effect::Promote { store: dizzy_engine::StoreIx(0), from: g(1), to: g(2) }, Phase::Commit, 2),
    ];
    for (effect, phase, to) in effects {
        assert_eq!(check_effect(&plan, &worker(to, phase), &effect), Err(Violation::Revoked(g(to))), "{effect:?}");
        assert_eq!(check_effect(&plan, &worker(to - 1, phase), &effect), Ok(()), "{effect:?}");
    }
}

#[test]
fn nothing_that_is_in_use_is_logged_in_with_on_purpose() {
    let plan = plan(&[single(StatementCas)]);
    let worker = |revoke: Option<u64>, known: u64, phase| {
        let mut r = at_rest(&plan);
        (r.phase, r.was, r.revoke, r.last) = (phase, phase, revoke.map(g), g(2));
        r.databases[0].users[0].settle(g(known));
        let mut run = Run::new(&plan, r.clone());
        run.worker.register = r.into();
        run.worker
    };
    let prove = Effect::ProveRefused { database: dizzy_engine::DatabaseIx(0), generation: g(1) };
    let check = |w| check_effect(&plan, &w, &prove);
    assert_eq!(check(worker(Some(1), 2, Phase::Idle)), Ok(()));
    for w in [worker(None, 2, Phase::Idle), worker(Some(0), 2, Phase::Idle), worker(Some(1), 1, Phase::Idle)] {
        assert_eq!(check(w), Err(Violation::RevokeOrder));
    }
    assert!(check(worker(Some(1), 2, Phase::Commit)).is_err());
}

#[test]
fn a_wish_is_recorded_worked_off_and_never_forgotten() {
    let plan = plan(&[single(StatementCas)]);
    let state = |revoke: Option<u64>, revoked: Option<u64>, known: u64| {
        let mut r = at_rest(&plan);
        (r.last, r.kept) = (g(2), vec![g(1), g(2)]);
        (r.revoke, r.revoked) = (revoke.map(g), revoked.map(g));
        r.databases[0].users[0].settle(g(known));
        r
    };
    let legal = [
        (state(None, None, 1), state(Some(2), None, 1)),
        (state(Some(1), None, 1), state(Some(1), None, 2)),
        (state(Some(1), Some(0), 2), state(None, Some(1), 2)),
        (state(Some(1), Some(2), 2), state(None, Some(2), 2)),
    ];
    for (old, new) in &legal {
        assert_eq!(check_write(&plan, old, new), Ok(()), "{:?} {:?}", old.revoke, new.revoke);
    }
    let illegal = [
        (state(None, None, 1), state(Some(3), None, 1)),
        (state(None, None, 1), state(None, Some(1), 2)),
        (state(None, Some(1), 2), state(None, None, 2)),
        (state(None, Some(1), 2), state(Some(2), None, 2)),
        (state(Some(1), None, 1), state(Some(2), None, 1)),
        (state(Some(1), None, 1), state(Some(1), Some(1), 2)),
        (state(Some(1), None, 2), state(None, None, 2)),
        (state(Some(1), None, 1), state(None, Some(1), 1)),
    ];
    for (old, new) in &illegal {
        assert_eq!(check_write(&plan, old, new), Err(Violation::RevokeOrder), "{:?} {:?}", old.revoke, new.revoke);
    }
    let mut intent = state(None, Some(1), 2);
    (intent.phase, intent.was) = (Phase::Intent, Phase::Intent);
    let old = Register { phase: Phase::Intent, was: Phase::Intent, ..state(Some(1), None, 2) };
    assert_eq!(check_write(&plan, &old, &intent), Err(Violation::RevokeOrder), "only at rest");
}
