//! Unknown outcomes, who may go back, and the way back.

use dizzy_engine::{
    Capability::{RowFence, StatementCas},
    DatabasePlan, Effect, Finish, Goal, Outcome, Phase, Plan, Reason, Register, Timestamp,
};

use crate::run::{
    CREDENTIAL, FENCED, LATE, NOW, PERMANENT, Run, TRANSIENT, WINDOW_MS, alternating, at_rest, g, intent, plan,
    rollover, sent, single, text,
};

const ABORT: &str = "write abort g1 g2 e6";
const STUCK: &str = "write stuck g1 g2 e5";

#[test]
fn a_refused_way_back_is_tried_again_without_another_look() {
    let plan = plan(&[single(RowFence), single(StatementCas)]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("commit").all(&PERMANENT);
    assert_eq!(run.batch(), [ABORT]);
    run.well().answer(|e| matches!(e, Effect::Login { .. }).then_some(CREDENTIAL));
    let restore = run.batch();
    assert!(matches!(restore.as_slice(), [one] if one.starts_with("restore 1")), "{restore:?}");
    run.all(&PERMANENT);
    assert_eq!(run.batch(), restore, "a look would be a wrong login");
    run.all(&TRANSIENT);
    assert_eq!(run.batch(), restore);
    run.all(&Outcome::Unknown);
    assert_eq!(run.batch(), ["login 1 u0 g1"], "what may have happened is looked at");
    run.at(LATE).all(&PERMANENT);
    assert!(
        run.batch()[0].starts_with("write stuck"),
        "a look that is refused for good needs a person: {:?}",
        run.batch()
    );
}

#[test]
fn what_cannot_be_taken_back_is_only_ever_finished() {
    let forward = DatabasePlan { restores: false, ..single(StatementCas) };
    let plan = plan(&[alternating(), forward]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("login").at(LATE).all(&TRANSIENT);
    assert_eq!(run.batch(), [STUCK]);
    run.well();
    assert_eq!(run.finish(), Finish::Stuck, "it waits for a person instead of going back");
    assert_eq!((run.register.phase, run.register.was), (Phase::Stuck, Phase::Intent));
    let mut next = Run::with_goal(&plan, (*run.register).clone(), Goal::Recover);
    assert_eq!(next.end(), Finish::Rotated(g(2)), "and the next run goes forward");
    // Before it was sent there is a way back.
    let mut early = Run::new(&plan, at_rest(&plan));
    early.until("apply").all(&PERMANENT);
    assert_eq!(early.batch(), [ABORT]);
}

#[test]
fn a_lost_reply_is_probed_before_the_next_decision() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("apply").all(&Outcome::Unknown);
    assert_eq!(run.batch(), ["login 0 u1 g2"]);
    run.all(&CREDENTIAL);
    assert_eq!(run.batch(), ["apply 0 u1 g0>g2 e5"], "it did not happen: the same change again");
    run.all(&Outcome::Unknown).well();
    assert_eq!(run.batch(), ["login 0 u1 g2"], "it happened: verify");
    assert_eq!(run.end(), Finish::Rotated(g(2)));
}

#[test]
fn every_password_the_user_may_be_on_is_tried_and_nothing_newer() {
    let plan = plan(&[alternating()]);
    let mut register = intent(&plan);
    (register.last, register.next) = (g(4), Some(g(4)));
    register.kept = (0..=5).map(g).collect();
    register.databases[0].users[1].maybe = vec![g(3), g(4)];
    let mut run = Run::new(&plan, register);
    run.until("login");
    let mut tried = Vec::new();
    for _ in 0..4 {
        tried.extend(run.batch());
        run.all(&CREDENTIAL);
    }
    assert_eq!(tried, ["login 0 u1 g4", "login 0 u1 g0", "login 0 u1 g3", "login 0 u1 g4"], "then from the top");
    run.all(&CREDENTIAL).well();
    assert_eq!(run.batch(), ["apply 0 u1 g3>g4 e5"]);
}

#[test]
fn a_fenced_change_stops_the_run() {
    for kind in [single(RowFence), alternating()] {
        let plan = plan(&[kind]);
        let mut run = Run::new(&plan, at_rest(&plan));
        run.until(if kind.votes() { "vote" } else { "apply" }).all(&FENCED);
        assert_eq!(run.finish(), Finish::Fenced);
    }
}

#[test]
fn a_lost_transaction_is_opened_again() {
    let plan = plan(&[single(RowFence)]);
    for answer in [TRANSIENT, Outcome::Unknown] {
        let mut run = Run::new(&plan, at_rest(&plan));
        run.until("commit").all(&answer);
        assert_eq!(run.batch(), ["login 0 u0 g2"]);
        run.all(&CREDENTIAL);
        assert_eq!(run.batch(), ["vote 0 u0 g1>g2 e5"]);
        assert_eq!(run.end(), Finish::Rotated(g(2)));
    }
}

#[test]
fn a_password_that_changed_under_us_is_looked_for() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("apply").all(&CREDENTIAL);
    assert_eq!(run.batch(), ["login 0 u1 g2"]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("apply").all(&TRANSIENT);
    assert_eq!(run.batch(), ["apply 0 u1 g0>g2 e5"], "nothing was changed: no need to look");
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("apply").well().all(&CREDENTIAL).all(&CREDENTIAL);
    assert_eq!(run.batch(), ["apply 0 u1 g0>g2 e5"], "verification failed, and so did the look");
}

/// A refused database that anybody may leave, beside the one that the test is about.
fn beside(kind: DatabasePlan) -> Plan {
    plan(&[kind, single(RowFence)])
}

/// Refuses the vote's COMMIT for good, after everything else is done.
fn refuse_commit(run: &mut Run) -> &mut Run {
    run.until("commit").all(&PERMANENT)
}

#[test]
fn the_worker_that_issued_a_generation_may_undo_its_own_unfenced_single() {
    let plan = beside(single(StatementCas));
    let mut run = Run::new(&plan, at_rest(&plan));
    refuse_commit(&mut run);
    assert_eq!(run.batch(), [ABORT]);
    run.well();
    assert_eq!(run.batch(), ["login 0 u0 g1", "burn 1 u0 g1 e6"]);
    run.answer(|e| matches!(e, Effect::Login { .. }).then_some(CREDENTIAL));
    assert_eq!(run.batch(), ["restore 0 u0 g2>g1 e6"]);
    run.well();
    assert_eq!(run.batch(), ["login 0 u0 g1", "login 1 u0 g1"]);
    assert_eq!(run.end(), Finish::RolledBack(g(2)));
    assert_eq!(run.register.databases[0].users[0].candidates(), [g(1)]);
    assert_eq!((run.register.phase, run.register.next, run.register.current), (Phase::Idle, None, g(1)));
}

#[test]
fn not_if_an_outcome_there_was_unknown() {
    let plan = beside(single(StatementCas));
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("apply").all(&Outcome::Unknown);
    refuse_commit(&mut run);
    assert_eq!(run.batch(), ["login 1 u0 g2"], "forward, while there is budget");
    run.at(LATE).all(&PERMANENT);
    assert_eq!(run.batch(), [STUCK]);
    assert_eq!(run.end(), Finish::Stuck);
    assert_eq!((run.register.phase, run.register.was), (Phase::Stuck, Phase::Intent));
}

/// A worker that takes over generation 2, with the unfenced change of database 0 marked.
fn taker_over(plan: &Plan, taken: Option<Timestamp>) -> Run {
    let mut register: Register = sent(intent(plan), 0);
    register.taken = taken;
    Run::new(plan, register)
}

#[test]
fn a_taker_over_may_undo_an_unfenced_change_only_after_the_drain() {
    for kind in [single(StatementCas), rollover(false)] {
        let plan = beside(kind);
        let mut run = taker_over(&plan, Some(NOW));
        run.until("stage").at(LATE).all(&TRANSIENT);
        assert_eq!(run.batch(), [STUCK]);
        let mut run = taker_over(&plan, None);
        run.until("stage").at(LATE).all(&TRANSIENT);
        assert_eq!(run.batch(), [ABORT]);
    }
}

#[test]
fn an_unknown_outcome_of_its_own_outlives_the_drain_of_others() {
    let plan = plan(&[single(StatementCas)]);
    let mut run = taker_over(&plan, None);
    run.until("login").all(&CREDENTIAL);
    assert_eq!(run.batch(), ["apply 0 u0 g1>g2 e5"]);
    run.at(LATE).all(&Outcome::Unknown);
    assert_eq!(run.batch(), [STUCK]);
}

#[test]
fn anybody_may_go_back_before_an_unfenced_change_is_marked() {
    let plan = beside(single(StatementCas));
    let mut register = intent(&plan);
    register.taken = Some(NOW);
    let mut run = Run::new(&plan, register);
    run.until("stage").at(LATE).all(&TRANSIENT);
    assert_eq!(run.batch(), [ABORT]);
    run.well();
    assert_eq!(run.batch(), ["burn 1 u0 g1 e6"], "nothing to look at where nothing was sent");
}

#[test]
fn a_changed_rollover_is_not_taken_back_without_a_drain() {
    let plan = plan(&[rollover(false)]);
    let mut earlier = at_rest(&plan);
    earlier.taken = Some(NOW);
    let mut late = Run::new(&plan, earlier);
    late.until("apply").well().at(LATE).all(&TRANSIENT);
    assert_eq!(late.batch(), [STUCK]);
    let mut refused = Run::new(&plan, at_rest(&plan));
    refused.until("apply").all(&PERMANENT);
    assert_eq!(refused.batch(), [ABORT], "one that does not take the password is");
}

#[test]
fn a_restored_rollover_has_a_window_again() {
    let plan = plan(&[rollover(false)]);
    for restored in [true, false] {
        let mut register = sent(intent(&plan), 0);
        (register.phase, register.was) = (Phase::Abort, Phase::Abort);
        let mut run = Run::new(&plan, register);
        run.until("login");
        assert_eq!(run.batch(), ["login 0 u0 g2"]);
        if restored {
            run.well();
            assert_eq!(run.batch(), ["restore 0 u0 g2>g1 e5"]);
        } else {
            run.all(&CREDENTIAL);
        }
        assert_eq!(run.end(), Finish::RolledBack(g(2)));
        let window = run.register.databases[0].window.map(|w| w.until);
        assert_eq!(window, restored.then(|| NOW.plus_ms(WINDOW_MS)));
    }
}

#[test]
fn a_fenced_single_is_burnt_before_it_is_restored() {
    let plan = plan(&[single(RowFence)]);
    let mut register = intent(&plan);
    (register.phase, register.was) = (Phase::Abort, Phase::Abort);
    let mut run = Run::new(&plan, register.clone());
    run.until("burn");
    assert_eq!(run.batch(), ["burn 0 u0 g1 e5"]);
    run.all(&CREDENTIAL);
    assert_eq!(run.batch(), ["burn 0 u0 g2 e5"]);
    run.well();
    assert_eq!(run.batch(), ["restore 0 u0 g2>g1 e5"]);
    assert_eq!(run.end(), Finish::RolledBack(g(2)));

    let mut run = Run::new(&plan, register.clone());
    run.until("burn").well();
    assert_eq!(run.batch(), ["login 0 u0 g1"], "on the base: nothing to restore");

    let mut run = Run::new(&plan, register.clone());
    run.until("burn").all(&FENCED);
    assert_eq!(run.finish(), Finish::Fenced);

    let mut run = Run::new(&plan, register);
    run.until("burn").all(&CREDENTIAL).all(&CREDENTIAL);
    assert_eq!(run.batch(), ["burn 0 u0 g1 e5"], "neither: from the top");
    run.all(&CREDENTIAL).at(LATE).all(&CREDENTIAL);
    assert_eq!(run.end(), Finish::Stuck);
}

#[test]
fn going_back_is_verified_and_repeated() {
    let plan = plan(&[single(RowFence)]);
    let mut register = intent(&plan);
    (register.phase, register.was) = (Phase::Abort, Phase::Abort);
    let mut run = Run::new(&plan, register.clone());
    run.until("login").all(&CREDENTIAL);
    assert_eq!(run.batch(), ["burn 0 u0 g1 e5"]);
    run.well().all(&TRANSIENT);
    assert_eq!(run.batch(), ["login 0 u0 g1"]);
    run.at(LATE).all(&TRANSIENT);
    assert_eq!(run.finish(), Finish::Unfinished);

    let mut run = Run::new(&plan, register.clone());
    run.until("burn").all(&CREDENTIAL).well().all(&Outcome::Unknown);
    assert_eq!(run.batch(), ["burn 0 u0 g1 e5"], "a lost restore is looked at again");
    let mut run = Run::new(&plan, register.clone());
    run.until("burn").all(&CREDENTIAL).well().all(&FENCED);
    assert_eq!(run.finish(), Finish::Fenced);
    let mut run = Run::new(&plan, register);
    run.until("burn").all(&CREDENTIAL).well().at(LATE).all(&PERMANENT);
    assert_eq!(run.end(), Finish::Stuck);
}

#[test]
fn an_idle_user_is_cleared_of_a_generation_only_when_that_is_certain() {
    let plan = plan(&[alternating(), single(RowFence)]);
    let end = |what: &str, answer: Outcome, register: Register| {
        let mut run = Run::new(&plan, register);
        run.until(what).answer(|e| text(e).starts_with(what).then(|| answer.clone()));
        run.until("commit").all(&PERMANENT);
        if run.batch() != [ABORT] {
            run.at(LATE).all(&PERMANENT);
        }
        assert_eq!(run.end(), Finish::RolledBack(g(2)));
        let user = run.register.databases[0].users[1].clone();
        (user.known, user.maybe)
    };
    assert_eq!(end("apply", Outcome::Applied, at_rest(&plan)), (Some(g(2)), vec![]), "it is on it");
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("apply").all(&PERMANENT);
    run.end();
    assert_eq!(run.register.databases[0].users[1].candidates(), [g(0)], "it is not, and nothing can put it there");
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("apply").at(LATE).all(&Outcome::Unknown);
    run.end();
    assert_eq!(run.register.databases[0].users[1].candidates(), [g(0), g(2)], "a lost change may still come");
    let mut run = Run::new(&plan, intent(&plan));
    run.until("stage").at(LATE).all(&TRANSIENT);
    run.end();
    assert_eq!(run.register.databases[0].users[1].candidates(), [g(0), g(2)], "an earlier worker may have sent it");
}

#[test]
fn an_abort_keeps_the_generation_in_the_stores() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("apply").all(&PERMANENT);
    run.end();
    assert_eq!(run.register.kept, [g(0), g(1), g(2)]);
    assert_eq!(run.register.last, g(2), "and its number is never given again");
    assert!(!run.log.iter().any(|t| t.starts_with("prune")));
}

#[test]
fn a_wrong_reason_to_go_on_is_no_reason() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("login").all(&TRANSIENT);
    assert_eq!(run.batch(), ["login 0 u1 g2"]);
    run.at(LATE).all(&Outcome::Refused(Reason::Transient));
    assert_eq!(run.batch(), [ABORT], "a login that cannot be made is no verification");
}

#[test]
fn recover_finishes_an_abort() {
    let plan = plan(&[single(RowFence)]);
    let mut register = intent(&plan);
    (register.phase, register.was) = (Phase::Abort, Phase::Abort);
    assert_eq!(Run::with_goal(&plan, register, Goal::Recover).end(), Finish::RolledBack(g(2)));
}
