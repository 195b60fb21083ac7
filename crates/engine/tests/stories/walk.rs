//! The way of each strategy when nothing goes wrong, and what is done about the answers of stores.

use dizzy_engine::{
    Capability::RowFence, Capability::StatementCas, Effect, Finish, Outcome, Plan, Reason, Seen, StorePlan, UserIx,
};

use crate::run::{
    CREDENTIAL, FENCED, LATE, NOW, PERMANENT, Run, TRANSIENT, WINDOW_MS, alternating, at_rest, g, intent, open_window,
    plan, rollover, single,
};

fn walk(plan: &Plan) -> Vec<String> {
    let mut run = Run::new(plan, at_rest(plan));
    assert_eq!(run.end(), Finish::Rotated(g(2)));
    run.log.drain(..4);
    run.log
}

const BEGIN: [&str; 3] = ["stage 0 g2", "read back 0 g2", "write intent g1 g2 e5"];

#[test]
fn a_run_begins_with_taking_the_set_and_looking_around() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("stage");
    assert_eq!(
        run.log,
        ["read register", "write idle g1 - e5", "check current 0 g1", "inspect 0 u0 g1", "write intent g1 g2 e5"]
    );
}

#[test]
fn alternating_changes_the_idle_user_and_then_publishes_it() {
    assert_eq!(
        walk(&plan(&[alternating()])),
        [
            BEGIN[2],
            BEGIN[0],
            BEGIN[1],
            "apply 0 u1 g0>g2 e5",
            "login 0 u1 g2",
            "write commit g1 g2 e5",
            "promote 0 g1>g2",
            "published 0 g2",
            "prune 0 g0",
            "write idle g2 - e5",
        ]
    );
}

#[test]
fn a_fenced_single_votes_by_an_open_transaction() {
    let log = walk(&plan(&[single(RowFence)]));
    assert_eq!(log[3..7], ["vote 0 u0 g1>g2 e5", "commit 0 g2", "login 0 u0 g2", "write commit g1 g2 e5"]);
}

#[test]
fn an_unfenced_single_is_marked_before_it_is_sent() {
    let plan = plan(&[single(StatementCas)]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("apply");
    assert_eq!(run.log.last().unwrap(), "write intent g1 g2 e5");
    assert!(run.register.databases[0].sent);
    assert_eq!(run.register.databases[0].users[0].maybe, [g(2)]);
    run.until("write idle");
    run.well();
    assert!(!run.register.databases[0].sent);
}

#[test]
fn the_order_is_idle_users_votes_unfenced_singles_rollover_commits() {
    let plan = plan(&[rollover(false), single(RowFence), single(StatementCas), alternating()]);
    let log = walk(&plan);
    let changes: Vec<&str> =
        log.iter().map(String::as_str).filter(|t| ["appl", "vote", "comm"].contains(&&t[..4])).collect();
    assert_eq!(
        changes,
        ["apply 3 u1 g0>g2 e5", "vote 1 u0 g1>g2 e5", "apply 2 u0 g1>g2 e5", "apply 0 u0 g1>g2 e5", "commit 1 g2"]
    );
}

#[test]
fn a_rollover_leaves_a_recorded_window_open() {
    let plan = plan(&[rollover(false)]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.end();
    assert_eq!(run.register.databases[0].window.unwrap().until, NOW.plus_ms(WINDOW_MS));
}

#[test]
fn the_next_rotation_waits_for_the_window() {
    let plan = plan(&[rollover(false)]);
    let until = NOW.plus_ms(1);
    let mut run = Run::new(&plan, open_window(at_rest(&plan), until));
    assert_eq!(run.end(), Finish::WindowOpen(until));
    assert_eq!(run.register.next, None);
    let mut run = Run::new(&plan, open_window(at_rest(&plan), NOW));
    assert_eq!(run.end(), Finish::Rotated(g(2)));
}

#[test]
fn a_procedure_ends_the_window_before_the_mark() {
    let plan = plan(&[rollover(true)]);
    let mut run = Run::new(&plan, open_window(at_rest(&plan), NOW.plus_ms(WINDOW_MS)));
    run.until("end window");
    assert!(!run.register.databases[0].sent);
    run.until("apply");
    assert!(run.register.databases[0].sent);
    assert_eq!(run.register.databases[0].window, None);
}

#[test]
fn the_published_user_changes_with_the_generation() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.end();
    let database = &run.register.databases[0];
    assert_eq!((database.live, database.users[1].known), (UserIx(1), Some(g(2))));
    let again = Run::new(&plan, (*run.register).clone()).until("apply").batch();
    assert_eq!(again, ["apply 0 u0 g1>g3 e6"]);
}

fn announcing() -> Plan {
    Plan::new(vec![alternating()], vec![StorePlan { announce: true }])
}

fn labels(current: u64, pending: Seen) -> Outcome {
    Outcome::Labels { current: Seen::Generation(g(current)), pending }
}

#[test]
fn pending_moves_from_what_was_seen() {
    let plan = announcing();
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("labels").all(&labels(1, Seen::Foreign));
    assert!(matches!(run.worker.issued[..], [Effect::Stage { announce: Some(Seen::Foreign), .. }]));
    run.all(&Outcome::Refused(Reason::Conflict));
    assert_eq!(run.batch(), ["labels 0"]);
}

#[test]
fn a_worker_that_finds_a_newer_generation_stops() {
    let plan = announcing();
    for seen in [labels(1, Seen::Generation(g(3))), labels(3, Seen::Nothing)] {
        let mut run = Run::new(&plan, at_rest(&plan));
        run.until("labels").all(&seen);
        assert_eq!(run.finish(), Finish::Fenced);
    }
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("stage").all(&FENCED);
    assert_eq!(run.finish(), Finish::Fenced);
}

#[test]
fn a_version_that_does_not_read_back_is_staged_again() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("read back").all(&Outcome::Refused(Reason::Missing));
    assert_eq!(run.batch(), ["stage 0 g2"]);
    run.until("read back").all(&PERMANENT);
    assert_eq!(run.batch(), ["write abort g1 g2 e6"]);
}

#[test]
fn a_store_that_refuses_for_good_or_for_too_long_ends_the_rotation() {
    for plan in [plan(&[alternating()]), announcing()] {
        for what in ["labels", "stage"].into_iter().skip(usize::from(!plan.stores[0].announce)) {
            let mut run = Run::new(&plan, at_rest(&plan));
            run.until(what).all(&PERMANENT);
            assert_eq!(run.batch(), ["write abort g1 g2 e6"]);
            let mut run = Run::new(&plan, at_rest(&plan));
            run.until(what).all(&TRANSIENT).at(LATE).all(&TRANSIENT);
            assert_eq!(run.batch(), ["write abort g1 g2 e6"]);
        }
    }
}

fn promoting() -> Run {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("promote");
    run
}

#[test]
fn a_promotion_that_did_not_simply_work_is_looked_at() {
    for answer in [Outcome::Unknown, Outcome::Refused(Reason::Conflict), TRANSIENT] {
        let mut run = promoting();
        run.all(&answer);
        assert_eq!(run.batch(), ["labels 0"]);
        run.all(&labels(1, Seen::Nothing));
        assert_eq!(run.batch(), ["promote 0 g1>g2"]);
        run.all(&answer).all(&labels(2, Seen::Nothing));
        assert_eq!(run.batch(), ["published 0 g2"]);
    }
}

#[test]
fn a_promotion_that_is_denied_is_left_to_the_next_run() {
    let mut run = promoting();
    run.all(&PERMANENT).all(&labels(1, Seen::Nothing));
    assert_eq!(run.finish(), Finish::Unfinished, "asking for two minutes brings no right");
    let mut run = promoting();
    run.all(&PERMANENT).all(&labels(2, Seen::Nothing));
    assert_eq!(run.end(), Finish::Rotated(g(2)), "an earlier attempt had moved it");
    let plan = Plan::new(vec![alternating()], vec![StorePlan { announce: false }; 2]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("promote");
    run.answer(|e| matches!(e, Effect::Promote { store, .. } if store.0 == 1).then_some(PERMANENT));
    run.all(&labels(1, Seen::Nothing));
    assert_eq!(run.finish(), Finish::Unfinished);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("promote");
    run.answer(|e| matches!(e, Effect::Promote { .. }).then_some(PERMANENT));
    run.answer(|e| matches!(e, Effect::ReadLabels { store } if store.0 == 0).then_some(labels(2, Seen::Nothing)));
    assert_eq!(run.finish(), Finish::Unfinished, "one store is done, the other is denied");
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("promote");
    run.answer(|e| match e {
        Effect::Promote { store, .. } if store.0 == 0 => Some(PERMANENT),
        Effect::Promote { .. } => Some(TRANSIENT),
        _ => None,
    });
    run.all(&labels(1, Seen::Nothing));
    assert_eq!(run.batch(), ["promote 0 g1>g2", "promote 1 g1>g2"], "what is only busy is worth asking again");
}

#[test]
fn a_current_that_somebody_else_moved_is_not_overwritten() {
    let mut run = promoting();
    run.all(&Outcome::Unknown).all(&labels(3, Seen::Nothing));
    assert_eq!(run.finish(), Finish::Fenced);
    let mut run = promoting();
    run.all(&Outcome::Unknown).all(&Outcome::Labels { current: Seen::Foreign, pending: Seen::Nothing });
    assert_eq!(run.finish(), Finish::Unfinished);
    let mut run = promoting();
    run.all(&Outcome::Unknown).all(&labels(0, Seen::Nothing));
    assert_eq!(run.finish(), Finish::Unfinished);
}

#[test]
fn after_the_decision_a_spent_budget_leaves_the_rest_to_the_next_run() {
    let mut run = promoting();
    run.all(&TRANSIENT).at(LATE).all(&TRANSIENT);
    assert_eq!(run.finish(), Finish::Unfinished);
    let mut next = Run::new(&run.plan, (*run.register).clone());
    next.at(NOW.plus_ms(120_000));
    next.worker.budget = next.now.plus_ms(1);
    next.until("promote");
    assert_eq!(next.log, ["read register", "write commit g1 g2 e6"]);
    assert_eq!(next.end(), Finish::Rotated(g(2)));
}

#[test]
fn the_set_rests_only_when_consumers_are_well() {
    let mut run = promoting();
    run.until("published").all(&Outcome::Refused(Reason::Drift));
    assert_eq!(run.batch(), ["published 0 g2"]);
    assert_eq!(run.end(), Finish::Rotated(g(2)));
}

#[test]
fn pruning_keeps_the_base_and_what_other_users_may_be_on() {
    let plan = plan(&[alternating()]);
    let mut register = at_rest(&plan);
    register.last = g(5);
    register.kept = (0..=5).map(g).collect();
    register.kept.push(g(9));
    // The published user's own generations stay, even those it may only be on; the idle user's are replaced.
    register.databases[0].users[0].maybe = vec![g(4)];
    register.databases[0].users[1].maybe = vec![g(3)];
    let mut run = Run::new(&plan, register);
    run.until("prune");
    assert_eq!(run.batch(), ["prune 0 g0", "prune 0 g2", "prune 0 g3", "prune 0 g5"]);
    run.end();
    assert_eq!(run.register.kept, [g(1), g(4), g(9), g(6)]);
}

#[test]
fn a_name_that_could_not_be_taken_off_stays_recorded() {
    let mut run = promoting();
    run.until("prune").all(&Outcome::Unknown);
    assert_eq!(run.end(), Finish::Rotated(g(2)));
    assert_eq!(run.register.kept, [g(0), g(1), g(2)]);
}

#[test]
fn every_store_is_promoted_once() {
    let plan = Plan::new(vec![alternating()], vec![StorePlan { announce: false }; 2]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("promote");
    assert_eq!(run.batch(), ["promote 0 g1>g2", "promote 1 g1>g2"]);
    run.answer(|e| matches!(e, Effect::Promote { store, .. } if store.0 == 1).then_some(Outcome::Unknown));
    assert_eq!(run.batch(), ["labels 1"]);
    run.well();
    assert_eq!(run.batch(), ["promote 1 g1>g2"]);
}

#[test]
fn who_issued_a_generation_does_not_try_it_before_it_was_sent() {
    let plan = plan(&[alternating()]);
    let mut register = at_rest(&plan);
    register.last = g(2);
    register.kept.push(g(2));
    register.databases[0].users[1].maybe = vec![g(2)];
    let mut run = Run::new(&plan, register);
    run.until("login");
    assert_eq!(run.batch(), ["login 0 u1 g0"], "a wrong login less, where servers count them");
    run.all(&CREDENTIAL);
    assert_eq!(run.batch(), ["login 0 u1 g2"]);
    run.well();
    assert_eq!(run.batch(), ["apply 0 u1 g2>g3 e5"]);
}

#[test]
fn a_taker_over_looks_before_it_changes() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, intent(&plan));
    run.until("login");
    assert_eq!(run.batch(), ["login 0 u1 g2"]);
    run.well();
    assert_eq!(run.batch(), ["login 0 u1 g2"], "nothing is changed, and the verification follows");
    assert!(!run.log.iter().any(|t| t.starts_with("apply")));
}
