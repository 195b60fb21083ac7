//! What `check` finds, from a plain login of a rotated user, and that each hint mends what it speaks of.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::{REGISTER, World, errors, soon, stamp};
use dizzy_engine::{Epoch, Generation};
use dizzy_host::port::{
    Certainty, ChangeKind::Alternating, Database as _, FenceStamp, FenceState, Finding, Kind, Sessions, Severity,
};

fn the_error(findings: &[Finding], words: &str) -> String {
    match errors(findings).as_slice() {
        [one] if one.what.contains(words) => one.hint.clone().unwrap_or_default(),
        other => panic!("expected one error about `{words}`, found {other:?}"),
    }
}

#[tokio::test]
async fn a_prepared_pair_has_nothing_to_report() {
    let (world, a, b) = World::with_two().await;
    for user in [&a, &b] {
        let seen = world.db.inspect(user.login(), &["a", "b"], stamp(0, 0), soon()).await.unwrap();
        assert_eq!(seen.findings, Vec::new(), "{}", user.name);
        assert!(seen.server_version.unwrap().chars().all(|c| c.is_ascii_digit() || c == '.'));
        assert_eq!(seen.fences.len(), 2);
        assert_eq!(seen.expiries, Vec::new());
    }
}

#[tokio::test]
async fn either_user_sees_the_rows_of_both() {
    let (world, a, b) = World::with_two().await;
    let b = world.change(&b, "b-4", stamp(3, 4), Alternating).await.unwrap();
    let row = FenceState { epoch: Epoch(3), generation: Some(Generation(4)), register: REGISTER.to_owned() };
    for user in [&a, &b] {
        let seen = world.db.inspect(user.login(), &["a", "b"], stamp(3, 4), soon()).await.unwrap();
        assert!(seen.fences.contains(&("b".to_owned(), row.clone())), "{:?}", seen.fences);
    }
}

#[tokio::test]
async fn an_unprepared_database_lacks_the_fence() {
    let world = World::start();
    let a = world.user("a", "a-0");
    let hint = the_error(&world.findings(&a, &["a"]).await, "fence is missing");
    world.server.psql(&hint).unwrap();
    assert_eq!(world.findings(&a, &["a"]).await, Vec::new(), "the statements make all of it");
    world.server.psql("REVOKE USAGE ON SCHEMA dizzy FROM a").unwrap();
    let hint = the_error(&world.findings(&a, &["a"]).await, "may not call");
    world.server.psql(&hint).unwrap();
    world.server.psql("DELETE FROM dizzy.fence").unwrap();
    let hint = the_error(&world.findings(&a, &["a"]).await, "no row for a");
    world.server.psql(&hint).unwrap();
    assert_eq!(world.findings(&a, &["a"]).await, Vec::new());
}

#[tokio::test]
async fn a_damaged_or_misplaced_fence_is_an_error() {
    let (world, a) = World::with_one().await;
    world.server.psql("DROP FUNCTION dizzy.fences(text)").unwrap();
    let hint = the_error(&world.findings(&a, &["a"]).await, "not those that this version installs");
    world.server.psql_as("admin", "postgres", &hint).unwrap();
    the_error(&world.findings(&a, &["a"]).await, "may not call");
    world.prepare(&["a"]).await;
    world
        .server
        .psql("CREATE OR REPLACE FUNCTION dizzy.fence_version() RETURNS integer LANGUAGE sql AS 'SELECT 2'")
        .unwrap();
    the_error(&world.findings(&a, &["a"]).await, "newer version");
    world.server.psql("ALTER FUNCTION dizzy.fence_version() OWNER TO a").unwrap();
    assert!(errors(&world.findings(&a, &["a"]).await).iter().any(|error| error.what.contains("belongs to a")));
}

#[tokio::test]
async fn a_foreign_register_is_an_error_and_a_newer_epoch_a_warning() {
    let (world, a) = World::with_one().await;
    let a = world.change(&a, "a-1", stamp(5, 1), Alternating).await.unwrap();
    for register in ["somebody-else", ""] {
        let other = FenceStamp { register, ..stamp(5, 1) };
        let seen = world.db.inspect(a.login(), &["a"], other, soon()).await.unwrap();
        the_error(&seen.findings, "another installation");
    }
    let seen = world.db.inspect(a.login(), &["a"], stamp(4, 1), soon()).await.unwrap();
    assert!(seen.findings.iter().any(|one| one.severity == Severity::Warning && one.what.contains("epoch 5")));
}

#[tokio::test]
async fn an_expired_or_expiring_password_is_told_by_the_other_user() {
    let (world, a, b) = World::with_two().await;
    world.server.psql("ALTER ROLE b VALID UNTIL '2020-02-03 04:05:06.789+00'").unwrap();
    // The server's answer to the login is the one for a wrong password.
    assert!(!world.logs_in(&b));
    let seen = world.db.inspect(a.login(), &["a", "b"], stamp(0, 0), soon()).await.unwrap();
    let hint = the_error(&seen.findings, "password of b has expired");
    assert_eq!(seen.expiries, vec![("b".to_owned(), 1_580_702_706_789)]);
    world
        .server
        .psql("DO $$ BEGIN EXECUTE format('ALTER ROLE b VALID UNTIL %L', now() + '3 days 1 hour'); END $$")
        .unwrap();
    let findings = world.findings(&a, &["a", "b"]).await;
    assert!(
        findings.iter().any(|one| one.severity == Severity::Warning && one.what.contains("in 3 days")),
        "{findings:?}"
    );
    world.server.psql(&hint).unwrap();
    assert_eq!(world.findings(&a, &["a", "b"]).await, Vec::new());
}

#[tokio::test]
async fn a_missing_user_and_dangerous_rights_are_told() {
    let (world, a) = World::with_one().await;
    assert!(errors(&world.findings(&a, &["a", "b"]).await).iter().any(|one| one.what.contains("b does not exist")));
    world
        .server
        .psql(
            "CREATE ROLE rds_iam; CREATE ROLE rds_superuser; CREATE ROLE team; GRANT rds_iam TO team; GRANT team TO a",
        )
        .unwrap();
    let hint = the_error(&world.findings(&a, &["a"]).await, "rds_iam");
    assert!(hint.contains("REVOKE rds_iam"));
    world.server.psql("REVOKE team FROM a").unwrap();
    for (grant, words, undo) in [
        ("ALTER ROLE a SUPERUSER", "is a superuser", "ALTER ROLE a NOSUPERUSER"),
        ("ALTER ROLE a CREATEROLE", "change roles", "ALTER ROLE a NOCREATEROLE"),
        ("GRANT rds_superuser TO a", "rds_superuser", "REVOKE rds_superuser FROM a"),
    ] {
        world.server.psql(grant).unwrap();
        let findings = world.findings(&a, &["a"]).await;
        assert!(
            findings.iter().any(|one| one.severity == Severity::Warning && one.what.contains(words)),
            "{findings:?}"
        );
        world.server.psql(undo).unwrap();
    }
    assert_eq!(world.findings(&a, &["a"]).await, Vec::new());
}

#[tokio::test]
async fn objects_that_only_one_of_the_two_reaches_are_told_and_the_hints_mend_it() {
    let world = World::start();
    let (a, b) = (world.user("a", "a-0"), world.user("b", "b-0"));
    world.server.psql("GRANT ALL ON SCHEMA public TO a, b").unwrap();
    world.server.psql_as("a", "postgres", "CREATE TABLE public.of_a (n int)").unwrap();
    world.server.psql_as("b", "postgres", "CREATE TABLE public.of_b (n int)").unwrap();
    world.prepare(&["a"]).await;
    world.server.psql("GRANT USAGE ON SCHEMA dizzy TO b; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dizzy TO b").unwrap();
    world.server.psql("INSERT INTO dizzy.fence VALUES ('orders', 'b')").unwrap();
    for _ in 0..8 {
        let findings = world.findings(&a, &["a", "b"]).await;
        assert_eq!(errors(&findings), Vec::<&Finding>::new());
        let Some(hint) = findings.iter().find_map(|finding| finding.hint.clone()) else { break };
        world.server.psql(&hint).unwrap();
    }
    let findings = world.findings(&b, &["a", "b"]).await;
    assert!(findings.iter().all(|finding| finding.hint.is_none()), "{findings:?}");
    for (user, table) in [("a", "of_b"), ("b", "of_a")] {
        world.server.psql_as(user, "postgres", &format!("SELECT * FROM public.{table}")).unwrap();
    }
}

#[tokio::test]
async fn sessions_are_counted_without_our_own() {
    let (world, a, b) = World::with_two().await;
    let count = |login| {
        let world = &world;
        async move {
            match world.db.sessions(login, "b", stamp(1, 1), soon()).await.unwrap() {
                Sessions::Counted { count, clients } => (count, clients),
                Sessions::Unknown => panic!("PostgreSQL shows user names to everybody"),
            }
        }
    };
    assert_eq!(count(b.login()).await, (0, vec![]));
    let other = common::database(&world.server, "localhost", world.server.port());
    let pool = FenceStamp { set: "another-set", ..stamp(1, 1) };
    let change = dizzy_host::port::Change { login: b.login(), new: &b.password, stamp: stamp(1, 1), kind: Alternating };
    let ours = other.vote(change, soon()).await.unwrap();
    assert_eq!(count(b.login()).await.0, 0, "our own worker does not count");
    drop(ours);
    // A session of somebody else: another set's worker will do. Its fence row is its own.
    world.server.psql("INSERT INTO dizzy.fence VALUES ('another-set', 'b')").unwrap();
    let change = dizzy_host::port::Change { stamp: pool, ..change };
    let theirs = other.vote(change, soon()).await.unwrap();
    let (seen, clients) = count(b.login()).await;
    assert_eq!((seen, clients), (1, vec!["dizzy-keys/another-set/1/1 at 127.0.0.1".to_owned()]));
    // From the other user the session is seen, its address is not.
    let (seen, clients) = count(a.login()).await;
    assert_eq!((seen, clients), (1, vec!["dizzy-keys/another-set/1/1 at an unknown address".to_owned()]));
    drop(theirs);
}

#[tokio::test]
async fn a_user_of_two_sets_is_told() {
    let (world, a) = World::with_one().await;
    world.server.psql("INSERT INTO dizzy.fence VALUES ('another-set', 'a')").unwrap();
    let findings = world.findings(&a, &["a"]).await;
    assert!(findings.iter().any(|one| one.what.contains("another-set")), "{findings:?}");
}

#[tokio::test]
async fn a_server_that_an_operator_made_read_only_is_an_error_and_a_read_only_role_is_not() {
    let (world, a) = World::with_one().await;
    world.server.psql("ALTER ROLE a SET default_transaction_read_only = on").unwrap();
    assert_eq!(world.findings(&a, &["a"]).await, Vec::new());
    world.server.psql("ALTER ROLE a RESET default_transaction_read_only").unwrap();
    world.server.psql("ALTER DATABASE postgres SET default_transaction_read_only = on").unwrap();
    the_error(&world.findings(&a, &["a"]).await, "takes no writes");
    let error = world.change(&a, "a-1", stamp(1, 1), Alternating).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::ReadOnly, Certainty::Refused));
    assert_eq!(world.db.login(a.login(), stamp(1, 1), soon()).await.unwrap_err().kind, Kind::ReadOnly);
}
