//! Before the Intent: the look around, too many possible passwords, and what a new generation is marked with.

use dizzy_engine::{
    Capability::RowFence, Capability::StatementCas, DRAIN_MS, Effect, Finish, Outcome, Pace, Phase, Reason, Register,
};

use crate::run::{
    CREDENTIAL, FENCED, LATE, NOW, PERMANENT, Run, TRANSIENT, WINDOW_MS, alternating, at_rest, g, intent, open_window,
    plan, rollover, sent, single,
};

#[test]
fn drift_stops_before_anything_is_changed() {
    let plan = plan(&[alternating()]);
    for (what, answer, finish) in [
        ("check", Outcome::Refused(Reason::Drift), Finish::Drift),
        ("inspect", CREDENTIAL, Finish::Drift),
        ("inspect", FENCED, Finish::Fenced),
        ("inspect", PERMANENT, Finish::Failed),
        ("check", Outcome::Refused(Reason::Missing), Finish::Failed),
    ] {
        let mut run = Run::new(&plan, at_rest(&plan));
        run.until("check");
        run.answer(|e| crate::run::text(e).starts_with(what).then(|| answer.clone()));
        assert_eq!(run.batch(), ["write idle g1 - e5"]);
        assert_eq!(run.end(), finish);
        assert_eq!((run.register.phase, run.register.last), (Phase::Idle, g(1)));
    }
}

#[test]
fn a_busy_store_is_asked_again_and_then_given_up() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("check").all(&TRANSIENT);
    assert_eq!(run.pace, Pace::BackOff);
    assert_eq!(run.batch(), ["check current 0 g1", "inspect 0 u0 g1"]);
    run.at(LATE).all(&TRANSIENT);
    assert_eq!(run.end(), Finish::Failed);
}

/// An idle user that may be on two generations besides the known one.
fn full(plan: &dizzy_engine::Plan) -> Register {
    let mut r = at_rest(plan);
    r.last = g(3);
    r.kept = (0..=3).map(g).collect();
    r.databases[0].users[1].maybe = vec![g(2), g(3)];
    r
}

#[test]
fn a_third_possible_password_waits_for_the_drain() {
    let plan = plan(&[alternating()]);
    let mut register = full(&plan);
    register.taken = Some(NOW);
    let mut run = Run::new(&plan, register);
    assert_eq!(run.end(), Finish::Draining(NOW.plus_ms(DRAIN_MS)));
    assert_eq!(run.register.last, g(3));
}

#[test]
fn after_the_drain_it_is_looked_up() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, full(&plan));
    run.until("login");
    assert_eq!(run.batch(), ["login 0 u1 g0"]);
    run.all(&CREDENTIAL);
    assert_eq!(run.batch(), ["login 0 u1 g3"], "the latest is the likeliest");
    run.all(&TRANSIENT);
    assert_eq!(run.batch(), ["login 0 u1 g3"]);
    run.well();
    assert_eq!(run.batch(), ["write intent g1 g4 e5"]);
    run.well();
    let user = &run.register.databases[0].users[1];
    assert_eq!((user.known, &user.maybe[..]), (Some(g(3)), &[g(4)][..]));
}

#[test]
fn a_password_that_nobody_knows_is_drift() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, full(&plan));
    run.until("login").all(&CREDENTIAL).all(&CREDENTIAL).all(&CREDENTIAL);
    assert_eq!(run.end(), Finish::Drift);
}

#[test]
fn a_look_that_finds_nobody_home_until_the_end_changes_nothing() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, full(&plan));
    run.until("login").at(LATE).all(&TRANSIENT);
    assert_eq!(run.end(), Finish::Failed);
}

#[test]
fn a_run_with_loose_ends_of_its_own_is_not_drained() {
    let plan = plan(&[alternating()]);
    let mut run = Run::new(&plan, full(&plan));
    run.well().all(&Outcome::Unknown);
    // The take-over was written; its reply was lost, so a second copy may still be under way.
    run.answer(|e| match e {
        Effect::ReadRegister => None,
        _ => unreachable!(),
    });
    run.well();
    assert!(matches!(run.end(), Finish::Draining(_)));
}

#[test]
fn the_intent_marks_fenced_and_idle_users_and_no_other() {
    let plan = plan(&[alternating(), single(RowFence), single(StatementCas), rollover(false)]);
    let mut run = Run::new(&plan, at_rest(&plan));
    run.until("stage");
    let maybes: Vec<usize> =
        run.register.databases.iter().map(|d| d.users.iter().map(|u| u.maybe.len()).sum()).collect();
    assert_eq!(maybes, [1, 1, 0, 0]);
    assert_eq!(run.register.databases[0].users[1].maybe, [g(2)]);
    assert!(run.register.databases.iter().all(|d| !d.sent));
}

#[test]
fn a_window_ended_by_request_is_forgotten_only_after_the_drain() {
    let plan = plan(&[rollover(true)]);
    let mut register = open_window(at_rest(&plan), NOW);
    register.taken = Some(NOW);
    let mut run = Run::new(&plan, register.clone());
    run.until("end window");
    run.well();
    assert_eq!(run.batch(), ["login 0 u0 g1"], "it waits, and asks something harmless");
    assert_eq!(run.pace, Pace::BackOff);
    run.well();
    assert_eq!(run.batch(), ["login 0 u0 g1"]);
    run.at(LATE).well();
    assert_eq!(run.batch(), ["write abort g1 g2 e6"], "and gives up with the budget");

    let mut run = Run::new(&plan, register);
    run.at(NOW.plus_ms(DRAIN_MS));
    run.worker.budget = NOW.plus_ms(2 * DRAIN_MS);
    run.until("apply");
    assert!(!run.log.iter().any(|t| t.starts_with("end window")));
}

#[test]
fn an_ended_window_whose_reply_was_lost_keeps_the_change_back() {
    let plan = plan(&[rollover(true)]);
    let mut run = Run::new(&plan, open_window(at_rest(&plan), NOW.plus_ms(WINDOW_MS)));
    run.until("end window").all(&Outcome::Unknown);
    assert_eq!(run.batch(), ["end window 0"]);
    run.well();
    assert_eq!(run.batch(), ["login 0 u0 g1"]);
    let mut run = Run::new(&plan, open_window(at_rest(&plan), NOW.plus_ms(WINDOW_MS)));
    run.until("end window").all(&PERMANENT);
    assert_eq!(run.batch(), ["write abort g1 g2 e6"]);
}

#[test]
fn no_window_is_ended_once_the_change_may_be_sent() {
    let plan = plan(&[rollover(true)]);
    let register = open_window(sent(intent(&plan), 0), NOW.plus_ms(WINDOW_MS));
    let mut run = Run::new(&plan, register);
    run.until("login");
    assert!(!run.log.iter().any(|t| t.starts_with("end window")));
}
