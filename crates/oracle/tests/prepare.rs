//! `prepare`: what it makes, that it can be repeated, and that no password that counts is in a statement.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::{ADMIN, User, World, fired, good, soon, stamp};
use dizzy_host::port::{Certainty, Database as _, Kind, PrepareStep};
use dizzy_sandbox_oracle::{Effect, Fault, HOUR, Listener, Options, Point, Profile};

fn second() -> User {
    User::new("app_c", &good(20))
}

async fn prepare(world: &World, second: &User) -> Vec<PrepareStep> {
    let users = ["app_a", second.name.as_str()];
    world.db.prepare(world.admin.login(), &users, Some(second.login()), stamp(0, 0), soon()).await.unwrap()
}

/// The password in a statement that makes or resets a user.
fn spelled_out(world: &World) -> Vec<String> {
    let quoted =
        |sql: &str| sql.split("IDENTIFIED BY \"").nth(1).and_then(|rest| rest.split('"').next().map(str::to_owned));
    world.server.statements().iter().filter_map(|(_, sql)| quoted(sql)).collect()
}

#[tokio::test]
async fn the_second_user_is_made_and_gets_its_password_in_no_statement() {
    let (world, second) = (World::start(), second());
    let steps = prepare(&world, &second).await;
    assert!(steps.iter().all(|step| step.done || !step.automatic), "{steps:?}");
    assert!(world.logs_in(&second));
    world.db.login(second.login(), stamp(1, 1), soon()).await.unwrap();
    let text = format!("{}{steps:?}", world.server.log_text());
    assert!(!text.contains("Canary"), "a password that counts is in a statement or step");
    let [thrown_away] = spelled_out(&world).try_into().unwrap();
    assert_eq!(thrown_away.len(), 30);
    assert!(!world.server.password_logs_in("app_c", &thrown_away), "the thrown-away password logs in");
    assert!(world.logs_in(&world.a) && world.logs_in(&world.b), "other users");
}

#[tokio::test]
async fn two_first_passwords_that_are_thrown_away_differ() {
    let world = World::start();
    prepare(&world, &second()).await;
    prepare(&world, &User::new("app_d", &good(21))).await;
    let [one, other] = spelled_out(&world).try_into().unwrap();
    assert_ne!(one, other);
}

#[tokio::test]
async fn a_second_user_that_is_given_no_password_has_none() {
    let (world, second) = (World::start(), second());
    world.db.prepare(world.admin.login(), &["app_a", "app_c"], None, stamp(0, 0), soon()).await.unwrap();
    assert_eq!(spelled_out(&world), [] as [&str; 0]);
    assert_eq!(world.db.login(second.login(), stamp(1, 1), soon()).await.unwrap_err().kind, Kind::Credential);
    assert!(
        world
            .server
            .statements()
            .iter()
            .any(|(_, sql)| sql == "CREATE USER \"APP_C\" NO AUTHENTICATION PROFILE \"APP\"")
    );
}

#[tokio::test]
async fn prepare_can_be_repeated_and_then_changes_nothing() {
    let (world, second) = (World::start(), second());
    prepare(&world, &second).await;
    let before = world.server.user("app_c").unwrap().tally;
    let statements = world.server.statements().len();
    prepare(&world, &second).await;
    assert_eq!(world.server.user("app_c").unwrap().tally.changes, before.changes);
    let again = world.server.statements().split_off(statements);
    assert!(again.iter().all(|(_, sql)| sql.starts_with("SELECT")), "{again:?}");
}

#[tokio::test]
async fn a_second_user_with_another_password_is_brought_to_the_one_that_counts() {
    let world = World::start();
    let wanted = world.b.with(&good(22));
    prepare(&world, &wanted).await;
    assert!(world.logs_in(&wanted) && !world.logs_in(&world.b));
    assert_eq!(world.server.user("app_b").unwrap().failed_logins, 0, "a right login follows the wrong one");
    assert!(!world.server.log_text().contains("Canary"));
}

#[tokio::test]
async fn a_profile_with_a_rollover_time_leaves_no_thrown_away_password_behind() {
    let world = World::with(Options::default(), Profile::autonomous().with_rollover(HOUR));
    let wanted = world.b.with(&good(22));
    prepare(&world, &wanted).await;
    assert!(world.logs_in(&wanted) && !world.logs_in(&world.b));
    assert_eq!(world.server.user("app_b").unwrap().status, "OPEN");
    for thrown_away in spelled_out(&world) {
        assert!(!world.server.password_logs_in("app_b", &thrown_away));
    }
}

#[tokio::test]
async fn a_lost_reply_in_the_middle_is_unknown_and_mended_by_running_it_again() {
    for (point, words) in [
        (Point::BeforeStatement, "CREATE USER"),
        (Point::AfterStatement, "CREATE USER"),
        (Point::AfterStatement, "CREATE SESSION"),
        (Point::BeforeChange, ""),
        (Point::AfterChange, ""),
    ] {
        let (world, second) = (World::start(), second());
        let fault = Fault::at(point, Effect::Drop);
        let fault = world.server.plant(if words.is_empty() { fault } else { fault.for_statement(words) });
        let users = ["app_a", "app_c"];
        let outcome = world.db.prepare(world.admin.login(), &users, Some(second.login()), stamp(0, 0), soon()).await;
        assert_eq!(outcome.unwrap_err().certainty, Certainty::Unknown, "{point:?} {words}");
        assert_eq!(fired(&fault), 1, "{point:?} {words}");
        prepare(&world, &second).await;
        assert!(world.logs_in(&second), "{point:?} {words}");
        for thrown_away in spelled_out(&world) {
            assert!(!world.server.password_logs_in("app_c", &thrown_away), "{point:?} {words}");
        }
    }
}

#[tokio::test]
async fn one_user_gets_what_ends_its_window_and_cannot_end_another_ones() {
    let world = World::with(Options::default(), Profile::classic().with_rollover(HOUR));
    world.db.prepare(world.admin.login(), &["app_a"], None, stamp(0, 0), soon()).await.unwrap();
    let changed = [world.change(&world.a, &good(10)).await.unwrap(), world.change(&world.b, &good(11)).await.unwrap()];
    let [a, b] = &changed;
    world.db.end_window(a.login(), stamp(1, 1), soon()).await.unwrap();
    assert!(!world.logs_in(&world.a) && world.logs_in(a));
    assert!(world.logs_in(&world.b) && world.logs_in(b), "the other user's window is its own");
    let error = world.db.end_window(b.login(), stamp(1, 1), soon()).await.unwrap_err();
    assert_eq!(error.kind, Kind::FenceMissing, "no right to it was given to this user");
    let holders = ["app_a", "app_b"].map(|user| world.server.user(user).unwrap().privileges);
    assert!(holders.iter().all(|privileges| !privileges.contains(&"ALTER USER".to_owned())), "{holders:?}");
}

#[tokio::test]
async fn the_plan_tells_what_is_missing_and_changes_nothing() {
    let world = World::start();
    let plan = async || world.db.prepare_plan(world.admin.login(), &["app_a"], stamp(0, 0), soon()).await.unwrap();
    let before = plan().await;
    assert!(before.iter().all(|step| step.automatic && !step.done), "{before:?}");
    assert!(world.server.statements().iter().all(|(_, sql)| sql.starts_with("SELECT")));
    world.db.prepare(world.admin.login(), &["app_a"], None, stamp(0, 0), soon()).await.unwrap();
    let after = plan().await;
    assert!(after.iter().all(|step| step.done), "{after:?}");
}

#[tokio::test]
async fn the_printed_statements_are_the_same_and_hold_no_password() {
    let world = World::start();
    let printed = world.db.prepare_sql(&["app_a", "app_c"], stamp(0, 0));
    let text = printed.iter().map(|step| step.sql.as_str()).collect::<String>();
    assert!(text.contains("CREATE USER \"APP_C\" IDENTIFIED BY \"...\";"), "{text}");
    assert!(text.contains("AUTHID DEFINER") && text.contains("SESSION_USER"), "{text}");
    let planned = world.db.prepare_plan(world.admin.login(), &["app_a"], stamp(0, 0), soon()).await.unwrap();
    let of = |steps: &[PrepareStep]| steps.iter().map(|step| step.sql.clone()).collect::<Vec<_>>();
    assert_eq!(of(&world.db.prepare_sql(&["app_a"], stamp(0, 0))), of(&planned));
}

#[tokio::test]
async fn the_second_user_gets_what_was_granted_to_the_first_but_not_the_right_to_alter_users() {
    let (world, second) = (World::start(), second());
    for right in ["CREATE TABLE", "CREATE VIEW", "ALTER USER"] {
        world.server.grant("app_a", right);
    }
    let steps = prepare(&world, &second).await;
    let privileges = world.server.user("app_c").unwrap().privileges;
    assert_eq!(privileges, ["CREATE SESSION", "CREATE TABLE", "CREATE VIEW"], "{steps:?}");
    assert_eq!(world.server.user("app_c").unwrap().profile, "APP");
    // A role and a procedure, as a person would grant them.
    let tcp = world.server.descriptor(Listener::Tcp);
    let by_hand = oracledb::Config::default()
        .set_connect_string(&tcp)
        .unwrap()
        .set_credentials(ADMIN, world.admin.password.expose());
    let connection = oracledb::connect(by_hand).unwrap();
    for sql in [
        "CREATE ROLE REPORTING",
        "GRANT REPORTING TO app_a",
        "CREATE PROCEDURE ADMIN.CLEANUP AUTHID DEFINER AS BEGIN NULL; END;",
        "GRANT EXECUTE ON ADMIN.CLEANUP TO app_a",
    ] {
        connection.execute(sql, &[]).unwrap();
    }
    let plan =
        async || world.db.prepare_plan(world.admin.login(), &["app_a", "app_c"], stamp(0, 0), soon()).await.unwrap();
    let open = plan().await.into_iter().filter(|step| step.automatic && !step.done).map(|step| step.sql);
    let expected = ["GRANT REPORTING TO \"APP_C\";\n", "GRANT EXECUTE ON \"ADMIN\".\"CLEANUP\" TO \"APP_C\";\n"];
    assert_eq!(open.collect::<Vec<_>>(), expected);
    prepare(&world, &second).await;
    assert!(plan().await.iter().all(|step| step.done || !step.automatic));
    // Given later, it is handed on by the next run.
    world.server.grant("app_a", "CREATE SEQUENCE");
    prepare(&world, &second).await;
    assert!(world.server.user("app_c").unwrap().privileges.contains(&"CREATE SEQUENCE".to_owned()));
}

#[tokio::test]
async fn an_ordinary_user_is_no_administrator_and_a_wrong_second_is_noticed() {
    let world = World::start();
    let error = world.db.prepare_plan(world.a.login(), &["app_a"], stamp(0, 0), soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Denied, Certainty::Refused));
    let users = ["app_a", "app_b"];
    let other = second();
    let error =
        world.db.prepare(world.admin.login(), &users, Some(other.login()), stamp(0, 0), soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Malformed, Certainty::Refused));
    let same = world.db.prepare(world.admin.login(), &["app_a", "APP_A"], None, stamp(0, 0), soon()).await.unwrap_err();
    assert_eq!(same.kind, Kind::Malformed);
}
