//! Services that fail in the middle of a rotation: the exit code says what is true, the message too, and the next run ends well.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests panic as tests do")]

mod common;

use std::{thread, time::Duration};

use common::{Told, assert_at_rest, binary, dead, edit_config, error, published, run, start};
use dizzy_sandbox::{
    CutProxy, Installation, Loss, Postgres, PostgresOptions, SET, Users,
    moto::{Fault, Mishap},
};

/// The key of the lock at which a COMMIT waits until the test lets it go on.
const GATE: u32 = 4711;

fn prepared(databases: &[(&str, Users)], secrets: usize) -> Installation {
    let at = Installation::start(binary(), databases, secrets, &PostgresOptions::default()).unwrap();
    at.prepare().unwrap();
    at
}

/// Whatever the exit code promises is true, and the next runs end well.
fn keeps_its_word(at: &Installation, story: &str, told: &Told, before: u64) {
    let register = at.register().unwrap();
    let current = register["current"].as_u64().unwrap();
    match told.exit {
        Some(0) => {
            assert_at_rest(at, story);
            assert!(current > before, "{story}: nothing was rotated");
        }
        Some(1) => {
            error(told, story);
            assert_eq!(current, before, "{story}: {}", told.err);
            assert_eq!(
                dead(at, &published(at)),
                Vec::<String>::new(),
                "{story}: the old credentials are valid everywhere"
            );
        }
        Some(6) => {
            error(told, story);
            assert_eq!(register["phase"], "commit", "{story}: decided");
        }
        _ => assert_eq!(told.exit, Some(0), "{story}: {}{}", told.out, told.err),
    }
    run(at, &["recover", SET]).expect(0);
    assert_at_rest(at, &format!("recovered after: {story}"));
}

fn current(at: &Installation) -> u64 {
    at.register().unwrap()["current"].as_u64().unwrap()
}

#[test]
fn a_call_to_secrets_manager_that_fails_once_never_leaves_a_bad_state() {
    let at = prepared(&[("rds", Users::Alternating), ("billing", Users::Single)], 2);
    let mishaps = [
        Mishap::Refuse(400, "AccessDeniedException"),
        Mishap::Refuse(500, "InternalServiceError"),
        Mishap::Throttle,
        Mishap::DropBefore,
        Mishap::DropAfter,
    ];
    for (operation, places) in [("GetSecretValue", 0..5), ("PutSecretValue", 0..2), ("UpdateSecretVersionStage", 0..4)]
    {
        for mishap in mishaps {
            // Reads have no effect, so they are lost in one way only.
            if operation == "GetSecretValue" && mishap == Mishap::DropAfter {
                continue;
            }
            // What the client repeats by itself ends alike in every place; what is refused or lost does not.
            let repeated = matches!(mishap, Mishap::Throttle | Mishap::Refuse(500, _));
            for place in places.clone().take(if repeated { 1 } else { 5 }) {
                let story = format!("{operation} number {place} meets {mishap:?}");
                let before = current(&at);
                at.moto.inject(&Fault::next(operation, mishap).after(place)).unwrap();
                let told = run(&at, &["--output", "json", "rotate", SET]);
                assert_eq!(at.moto.clear_faults().unwrap(), 0, "{story}: the fault hit nothing");
                println!("{story}: exits {:?}", told.exit);
                keeps_its_word(&at, &story, &told, before);
            }
        }
    }
}

#[test]
fn a_call_to_secrets_manager_that_gets_no_answer_is_given_up_in_time() {
    let at = prepared(&[("rds", Users::Alternating)], 1);
    for (operation, mishap) in [
        ("GetSecretValue", Mishap::Hang),
        ("PutSecretValue", Mishap::HangAfter),
        ("UpdateSecretVersionStage", Mishap::HangAfter),
    ] {
        let story = format!("{operation} meets {mishap:?}");
        let before = current(&at);
        at.moto.inject(&Fault::next(operation, mishap)).unwrap();
        let told = run(&at, &["--output", "json", "rotate", SET]);
        assert_eq!(at.moto.clear_faults().unwrap(), 0, "{story}: the fault hit nothing");
        println!("{story}: exits {:?}", told.exit);
        keeps_its_word(&at, &story, &told, before);
    }
}

#[test]
fn a_commit_whose_reply_is_lost_is_probed_before_anything_is_decided() {
    for users in [Users::Alternating, Users::Single] {
        let at = prepared(&[("rds", users)], 1);
        let server = &at.members[0].server;
        // A trigger that runs in COMMIT itself, so that the reply can be lost exactly there.
        server
            .psql(&format!(
                "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS \
                 $$BEGIN PERFORM pg_advisory_xact_lock({GATE}); RETURN NULL; END$$;\n\
                 CREATE CONSTRAINT TRIGGER gate AFTER UPDATE ON dizzy.fence DEFERRABLE INITIALLY DEFERRED \
                 FOR EACH ROW EXECUTE FUNCTION gate();"
            ))
            .unwrap();
        let proxy = CutProxy::start(server.port()).unwrap();
        edit_config(&at, "engine = \"postgres\"", &format!("engine = \"postgres\"\nport = {}", proxy.port()));
        for loss in [Loss::HangUp, Loss::Silence] {
            let story = format!("{users:?}: the reply of COMMIT meets {loss:?}");
            let before = current(&at);
            let told = thread::scope(|scope| {
                let holder = scope.spawn(|| {
                    // Ended by the test; the error is the end.
                    server.psql(&format!("SELECT pg_advisory_lock({GATE}), pg_sleep(300)")).ok();
                });
                until(|| held(server, "granted") == 1);
                let running = start(&at, &["--output", "json", "rotate", SET]);
                until(|| held(server, "NOT granted") == 1);
                proxy.lose_replies(loss);
                let gate = format!("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objid = {GATE} AND granted");
                server.psql(&gate).unwrap();
                proxy.wait_for_swallowed(Duration::from_secs(60)).unwrap();
                proxy.lose_replies(Loss::None);
                holder.join().unwrap();
                running.told()
            });
            println!("{story}: exits {:?}", told.exit);
            keeps_its_word(&at, &story, &told, before);
        }
    }
}

#[test]
fn what_lasts_longer_than_the_budget_ends_as_the_exit_code_says() {
    let promoted = || {
        let at = prepared(&[("rds", Users::Alternating)], 2);
        let before = current(&at);
        let denied = Mishap::Refuse(400, "AccessDeniedException");
        at.moto.inject(&Fault::next("UpdateSecretVersionStage", denied).on(&at.secrets[1]).times(10_000)).unwrap();
        let told = run(&at, &["--output", "json", "rotate", SET]).expect(6);
        let error = error(&told, "promotion is denied");
        println!("promotion is denied: {error}");
        assert_eq!(error["code"], "DK-502");
        assert_eq!(dead(&at, &published(&at)), Vec::<String>::new(), "alternating users: both generations log in");
        at.moto.clear_faults().unwrap();
        keeps_its_word(&at, "promotion is denied", &told, before);
        assert!(current(&at) > before, "decided is decided");
    };
    let limited = || {
        let at = prepared(&[("rds", Users::Alternating)], 1);
        let before = current(&at);
        at.members[0].server.psql("ALTER ROLE rds_b CONNECTION LIMIT 0").unwrap();
        let told = run(&at, &["--output", "json", "rotate", SET]).expect(1);
        println!("no connections for the idle user: {}", error(&told, "no connections"));
        at.members[0].server.psql("ALTER ROLE rds_b CONNECTION LIMIT -1").unwrap();
        keeps_its_word(&at, "no connections for the idle user", &told, before);
        run(&at, &["rotate", SET]).expect(0);
    };
    let locked = || {
        let at = prepared(&[("rds", Users::Single)], 1);
        let server = &at.members[0].server;
        edit_config(&at, "engine = \"postgres\"", "engine = \"postgres\"\nstatement_timeout = \"1s\"");
        let before = current(&at);
        let told = thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let sql = format!(
                    "BEGIN; SELECT pg_advisory_lock({GATE}) FROM dizzy.fence FOR UPDATE; SELECT pg_sleep(600);"
                );
                server.psql(&sql).ok();
            });
            until(|| held(server, "granted") == 1);
            let told = run(&at, &["--output", "json", "rotate", SET]);
            let gate = format!("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objid = {GATE} AND granted");
            server.psql(&gate).unwrap();
            holder.join().unwrap();
            told
        });
        println!("the fence row is locked: exits {:?}: {}", told.exit, error(&told, "locked"));
        assert_eq!(dead(&at, &published(&at)), Vec::<String>::new(), "nothing was changed under the lock");
        // Left to be undone by the next run, which says that it was.
        let undone = run(&at, &["--output", "json", "recover", SET]);
        assert!(undone.exit == Some(0) || error(&undone, "undone")["code"] == "DK-501", "{undone:?}");
        assert_at_rest(&at, "the lock is gone");
        assert!(current(&at) >= before);
        run(&at, &["rotate", SET]).expect(0);
        assert_at_rest(&at, "the next rotation");
    };
    // Side by side, because each of them waits for two minutes.
    thread::scope(|scope| {
        let all = [scope.spawn(promoted), scope.spawn(limited), scope.spawn(locked)];
        for one in all {
            one.join().unwrap();
        }
    });
}

fn until(holds: impl Fn() -> bool) {
    while !holds() {
        thread::sleep(Duration::from_millis(10));
    }
}

/// How many sessions have, or wait for, the lock.
fn held(server: &Postgres, how: &str) -> u32 {
    let sql = format!("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {GATE} AND {how}");
    server.psql(&sql).unwrap().parse().unwrap()
}
