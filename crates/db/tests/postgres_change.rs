//! Password changes under the fence, judged by psql: what is applied, what is refused, and what is left behind.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::time::Duration;

use common::{REGISTER, World, database, single, soon, stamp};
use dizzy_engine::Generation;
use dizzy_host::port::{Certainty, Change, ChangeKind::Alternating, Database as _, Deadline, FenceStamp, Kind};
use dizzy_sandbox::{CutProxy, Loss};

#[tokio::test]
async fn a_changed_password_logs_in_and_the_old_one_does_not() {
    let (world, a) = World::with_one().await;
    let changed = world.change(&a, "a-1", stamp(1, 1), Alternating).await.unwrap();
    assert!(world.logs_in(&changed) && !world.logs_in(&a));
    assert_eq!(world.row("a"), format!("{REGISTER}|1|1"));
    world.db.login(changed.login(), stamp(1, 1), soon()).await.unwrap();
    assert_eq!(world.db.login(a.login(), stamp(1, 1), soon()).await.unwrap_err().kind, Kind::Credential);
}

#[tokio::test]
async fn the_same_change_again_is_applied_again() {
    let (world, a) = World::with_one().await;
    let changed = world.change(&a, "a-1", stamp(1, 1), Alternating).await.unwrap();
    let again = world.change(&changed, "a-1", stamp(1, 1), Alternating).await.unwrap();
    assert!(world.logs_in(&again));
}

#[tokio::test]
async fn an_older_epoch_is_refused_and_changes_nothing() {
    let (world, a) = World::with_one().await;
    let changed = world.change(&a, "a-1", stamp(5, 1), Alternating).await.unwrap();
    let error = world.change(&changed, "a-2", stamp(4, 2), Alternating).await.unwrap_err();
    assert_eq!((error.kind, error.certainty, error.code.as_deref()), (Kind::Fenced, Certainty::Refused, Some("DZ001")));
    assert!(world.logs_in(&changed));
    assert_eq!(world.row("a"), format!("{REGISTER}|5|1"));
}

#[tokio::test]
async fn a_newer_generation_is_never_overwritten() {
    let (world, a) = World::with_one().await;
    let changed = world.change(&a, "a-3", stamp(1, 3), Alternating).await.unwrap();
    let error = world.change(&changed, "a-2", stamp(9, 2), Alternating).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Fenced, Certainty::Refused));
    assert!(world.logs_in(&changed));
}

#[tokio::test]
async fn a_single_change_moves_only_from_its_base_or_from_itself() {
    let (world, a) = World::with_one().await;
    let a1 = world.change(&a, "a-1", stamp(1, 1), single(0)).await.unwrap();
    let a2 = world.change(&a1, "a-2", stamp(2, 2), single(1)).await.unwrap();
    let error = world.change(&a2, "a-4", stamp(3, 4), single(3)).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Fenced, Certainty::Refused));
    let same = world.change(&a2, "a-2", stamp(3, 2), single(1)).await.unwrap();
    assert!(world.logs_in(&same));
}

#[tokio::test]
async fn after_a_restore_the_old_request_is_refused_although_the_generation_fits_again() {
    let (world, a) = World::with_one().await;
    let a1 = world.change(&a, "a-1", stamp(1, 1), single(0)).await.unwrap();
    let a2 = world.change(&a1, "a-2", stamp(2, 2), single(1)).await.unwrap();
    let restored = world.change(&a2, "a-1", stamp(3, 1), single(2)).await.unwrap();
    assert!(world.logs_in(&restored));
    // The request of epoch 2 once more: its base is in place again, its epoch is not.
    let error = world.change(&restored, "a-2", stamp(2, 2), single(1)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Fenced);
    assert!(world.logs_in(&restored));
}

#[tokio::test]
async fn a_burn_refuses_every_older_request_and_keeps_the_generation() {
    let (world, a) = World::with_one().await;
    let before = world.db.burn(a.login(), stamp(3, 9), soon()).await.unwrap();
    assert_eq!((before.epoch.0, before.generation, before.register.as_str()), (3, None, REGISTER));
    let a1 = world.change(&a, "a-1", stamp(3, 1), Alternating).await.unwrap();
    let burned = world.db.burn(a1.login(), stamp(7, 2), soon()).await.unwrap();
    assert_eq!((burned.epoch.0, burned.generation), (7, Some(Generation(1))));
    assert_eq!(world.db.burn(a1.login(), stamp(7, 2), soon()).await.unwrap(), burned, "idempotent");
    assert_eq!(world.change(&a1, "a-2", stamp(6, 2), Alternating).await.unwrap_err().kind, Kind::Fenced);
    let error = world.db.burn(a1.login(), stamp(6, 2), soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Fenced, Certainty::Refused));
    assert!(world.logs_in(&a1));
}

#[tokio::test]
async fn a_row_belongs_to_the_first_register_that_stamps_it() {
    let (world, a) = World::with_one().await;
    let a1 = world.change(&a, "a-1", stamp(1, 1), Alternating).await.unwrap();
    let foreign = FenceStamp { register: "somebody-else", ..stamp(9, 9) };
    let error = world.change(&a1, "a-9", foreign, Alternating).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::ForeignRegister, Certainty::Refused));
    assert_eq!(world.db.burn(a1.login(), foreign, soon()).await.unwrap_err().kind, Kind::ForeignRegister);
    assert!(world.logs_in(&a1));
    let nameless = FenceStamp { register: "", ..stamp(9, 9) };
    assert_eq!(world.db.burn(a1.login(), nameless, soon()).await.unwrap_err().kind, Kind::ForeignRegister);
}

#[tokio::test]
async fn a_dropped_vote_changes_nothing_and_frees_the_row() {
    let (world, a) = World::with_one().await;
    let new = a.with("a-1");
    let change = Change { login: a.login(), new: &new.password, stamp: stamp(1, 1), kind: single(0) };
    let vote = world.db.vote(change, soon()).await.unwrap();
    assert!(world.logs_in(&a), "nothing is visible before the commit");
    drop(vote);
    // The same epoch, so nobody ends the other session for us: the row must come free by itself.
    let changed = world.change(&a, "a-2", stamp(1, 2), single(0)).await.unwrap();
    assert!(world.logs_in(&changed));
    assert_eq!(world.row("a"), format!("{REGISTER}|1|2"));
}

#[tokio::test]
async fn a_committed_vote_changes_the_password() {
    let (world, a) = World::with_one().await;
    let new = a.with("a-1");
    let change = Change { login: a.login(), new: &new.password, stamp: stamp(1, 1), kind: single(0) };
    world.db.vote(change, soon()).await.unwrap().commit(soon()).await.unwrap();
    assert!(world.logs_in(&new) && !world.logs_in(&a));
}

#[tokio::test]
async fn a_session_killed_before_commit_leaves_everything_as_it_was() {
    let (world, a) = World::with_one().await;
    let new = a.with("a-1");
    let change = Change { login: a.login(), new: &new.password, stamp: stamp(1, 1), kind: single(0) };
    let vote = world.db.vote(change, soon()).await.unwrap();
    assert_eq!(world.server.end_sessions("a").unwrap(), 1);
    // The end of the session may or may not have reached us: refused if it has, unknown if COMMIT was sent into it.
    let error = vote.commit(soon()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
    assert!(world.logs_in(&a) && !world.logs_in(&new));
    assert_eq!(world.row("a"), "-|0|-");
}

#[tokio::test]
async fn a_lost_reply_to_commit_is_unknown_and_the_change_is_there() {
    for loss in [Loss::HangUp, Loss::Silence] {
        let (world, a) = World::with_one().await;
        let proxy = CutProxy::start(world.server.port()).unwrap();
        let through = database(&world.server, "localhost", proxy.port());
        let new = a.with("a-1");
        let change = Change { login: a.login(), new: &new.password, stamp: stamp(1, 1), kind: Alternating };
        let vote = through.vote(change, soon()).await.unwrap();
        proxy.lose_replies(loss);
        let error = vote.commit(Deadline::after(Duration::from_secs(2))).await.unwrap_err();
        proxy.wait_for_swallowed(Duration::from_secs(10)).unwrap();
        let kind = if loss == Loss::HangUp { Kind::Unreachable } else { Kind::Timeout };
        assert_eq!((error.certainty, error.kind), (Certainty::Unknown, kind), "{loss:?}");
        assert!(world.logs_in(&new), "{loss:?}: it had been done");
    }
}

#[tokio::test]
async fn a_reply_lost_before_commit_is_refused_and_nothing_is_changed() {
    for loss in [Loss::HangUp, Loss::Silence] {
        let (world, a) = World::with_one().await;
        let proxy = CutProxy::start(world.server.port()).unwrap();
        let through = database(&world.server, "localhost", proxy.port());
        let (held, new) = (a.with("a-held"), a.with("a-1"));
        // Somebody holds the row, so that the request waits after its login and the proxy can be told meanwhile.
        let change = Change { login: a.login(), new: &held.password, stamp: stamp(1, 1), kind: Alternating };
        let vote = world.db.vote(change, soon()).await.unwrap();
        let change = Change { login: a.login(), new: &new.password, stamp: stamp(1, 1), kind: Alternating };
        let (outcome, ()) = tokio::join!(through.apply(change, Deadline::after(Duration::from_secs(3))), async {
            wait_for_a_waiting_lock(&world).await;
            proxy.lose_replies(loss);
            drop(vote);
        });
        proxy.wait_for_swallowed(Duration::from_secs(10)).unwrap();
        let error = outcome.unwrap_err();
        let kind = if loss == Loss::HangUp { Kind::Unreachable } else { Kind::Timeout };
        assert_eq!((error.certainty, error.kind), (Certainty::Refused, kind), "{loss:?}: {error}");
        assert!(world.logs_in(&a) && !world.logs_in(&new), "{loss:?}");
        assert_eq!(world.row("a"), "-|0|-", "{loss:?}");
    }
}

#[tokio::test]
async fn a_worker_that_takes_over_ends_the_older_workers_open_vote() {
    let (world, a) = World::with_one().await;
    let (old, new) = (a.with("a-1"), a.with("a-2"));
    let older = Change { login: a.login(), new: &old.password, stamp: stamp(1, 1), kind: single(0) };
    let vote = world.db.vote(older, soon()).await.unwrap();
    let newer = Change { login: a.login(), new: &new.password, stamp: stamp(2, 2), kind: single(0) };
    world.db.apply(newer, soon()).await.unwrap();
    vote.commit(soon()).await.unwrap_err();
    assert!(world.logs_in(&new) && !world.logs_in(&old));
    assert_eq!(world.row("a"), format!("{REGISTER}|2|2"));
}

#[tokio::test]
async fn a_newer_workers_session_is_left_alone_and_waited_for() {
    let (world, a) = World::with_one().await;
    let (newer, older) = (a.with("a-2"), a.with("a-1"));
    let change = Change { login: a.login(), new: &newer.password, stamp: stamp(2, 2), kind: single(0) };
    let vote = world.db.vote(change, soon()).await.unwrap();
    let stale = Change { login: a.login(), new: &older.password, stamp: stamp(1, 1), kind: single(0) };
    // The stale request waits on the row; once the newer one commits, it is refused.
    let (refused, committed) = tokio::join!(world.db.apply(stale, soon()), async {
        wait_for_a_waiting_lock(&world).await;
        vote.commit(soon()).await
    });
    committed.unwrap();
    let error = refused.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Fenced, Certainty::Refused));
    assert!(world.logs_in(&newer) && !world.logs_in(&older));
}

#[tokio::test]
async fn of_two_epochs_at_once_the_newer_one_stays() {
    let (world, a) = World::with_one().await;
    for round in 0..10 {
        let (low, high) = (2 * round + 1, 2 * round + 2);
        let current = if round == 0 { a.clone() } else { a.with(&format!("high-{}", round - 1)) };
        let (one, other) = (a.with(&format!("low-{round}")), a.with(&format!("high-{round}")));
        let change = |new, epoch| Change { login: current.login(), new, stamp: stamp(epoch, epoch), kind: Alternating };
        let (older, newer) = tokio::join!(
            world.db.apply(change(&one.password, low), soon()),
            world.db.apply(change(&other.password, high), soon())
        );
        if let Err(error) = newer {
            // Only the password that the older one had set meanwhile can have kept it out.
            older.unwrap();
            assert_eq!(error.kind, Kind::Credential);
            world.change(&one, &format!("high-{round}"), stamp(high, high), Alternating).await.unwrap();
        }
        assert!(world.logs_in(&other) && !world.logs_in(&one), "round {round}");
        assert_eq!(world.row("a"), format!("{REGISTER}|{high}|{high}"));
    }
}

#[tokio::test]
async fn somebody_elses_lock_makes_it_busy() {
    let (world, a) = World::with_one().await;
    let new = a.with("a-1");
    let other = Change { login: a.login(), new: &new.password, stamp: stamp(1, 1), kind: Alternating };
    let held = world.db.vote(other, soon()).await.unwrap();
    let same = a.with("a-2");
    let change = Change { login: a.login(), new: &same.password, stamp: stamp(1, 2), kind: Alternating };
    let error = world.db.apply(change, soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Busy, Certainty::Refused), "{error}");
    held.commit(soon()).await.unwrap();
    assert!(world.logs_in(&new));
}

#[tokio::test]
async fn role_defaults_do_not_get_in_the_way() {
    let (world, a, b) = World::with_two().await;
    world
        .server
        .psql(
            "ALTER ROLE b SET default_transaction_read_only = on; ALTER ROLE b SET synchronous_commit = off;
             ALTER ROLE b SET default_transaction_isolation = 'serializable'; ALTER ROLE b SET search_path = nowhere;
             ALTER ROLE b SET standard_conforming_strings = off;",
        )
        .unwrap();
    assert_eq!(world.server.psql_as("b", "postgres", "SELECT current_user").unwrap(), "a");
    let changed = world.change(&b, "b-1", stamp(1, 1), Alternating).await.unwrap();
    assert!(world.logs_in(&changed) && world.logs_in(&a));
}

#[tokio::test]
async fn a_missing_fence_row_or_right_is_told_with_the_statement_that_mends_it() {
    let (world, a) = World::with_one().await;
    world.server.psql("DELETE FROM dizzy.fence").unwrap();
    let error = world.change(&a, "a-1", stamp(1, 1), Alternating).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::FenceMissing, Certainty::Refused));
    world.server.psql(&error.hint.unwrap()).unwrap();
    let a = world.change(&a, "a-1", stamp(1, 1), Alternating).await.unwrap();

    for damage in ["REVOKE ALL ON SCHEMA dizzy FROM a", "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA dizzy FROM a"] {
        world.server.psql(damage).unwrap();
        let error = world.change(&a, "a-2", stamp(2, 2), Alternating).await.unwrap_err();
        assert_eq!((error.kind, error.certainty), (Kind::FenceMissing, Certainty::Refused), "{damage}: {error}");
        world.server.psql(&error.hint.unwrap()).unwrap();
    }
    let a = world.change(&a, "a-2", stamp(2, 2), Alternating).await.unwrap();

    world.server.psql("DROP SCHEMA dizzy CASCADE").unwrap();
    let error = world.change(&a, "a-3", stamp(3, 3), Alternating).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::FenceMissing, Certainty::Refused));
    assert!(world.logs_in(&a));
}

#[tokio::test]
async fn a_user_of_no_set_cannot_touch_the_fence() {
    let (world, _a) = World::with_one().await;
    let stranger = world.user("stranger", "s-0");
    let error = world.change(&stranger, "s-1", stamp(1, 1), Alternating).await.unwrap_err();
    assert_eq!(error.certainty, Certainty::Refused);
    for sql in ["SELECT * FROM dizzy.fence", "SELECT dizzy.stamp('orders', 'r', 1, 1, 'burn', NULL)"] {
        assert!(world.server.psql_as("stranger", "postgres", sql).is_err());
    }
    // A user of the set may call the functions, and nothing else.
    for sql in ["SELECT * FROM dizzy.fence", "UPDATE dizzy.fence SET epoch = 0", "CREATE TABLE dizzy.t ()"] {
        assert!(world.server.psql_as("a", "postgres", sql).is_err(), "{sql}");
    }
}

#[tokio::test]
async fn a_user_advances_its_own_row_only() {
    let (world, a, b) = World::with_two().await;
    world.change(&b, "b-1", stamp(1, 1), Alternating).await.unwrap();
    assert_eq!(world.row("a"), "-|0|-");
    world.change(&a, "a-2", stamp(2, 2), Alternating).await.unwrap();
    assert_eq!(world.row("b"), format!("{REGISTER}|1|1"));
}

#[tokio::test]
async fn a_passed_deadline_refuses_without_a_change() {
    let (world, a) = World::with_one().await;
    let new = a.with("a-1");
    let change = Change { login: a.login(), new: &new.password, stamp: stamp(1, 1), kind: single(0) };
    let passed = Deadline::after(Duration::ZERO);
    let error = world.db.apply(change, passed).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Timeout, Certainty::Refused));
    let vote = world.db.vote(change, soon()).await.unwrap();
    let error = vote.commit(passed).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Timeout, Certainty::Refused));
    assert!(world.logs_in(&a) && !world.logs_in(&new));
}

/// Asks the server until somebody waits for a lock.
async fn wait_for_a_waiting_lock(world: &World) {
    while world.server.psql("SELECT count(*) FROM pg_locks WHERE NOT granted").unwrap() == "0" {
        // Each question takes psql milliseconds; the request under test is polled in between.
        tokio::task::yield_now().await;
    }
}
