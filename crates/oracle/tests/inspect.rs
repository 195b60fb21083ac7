//! What `check` sees: state of the account, limits of the profile, rights, rollover windows, sessions.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::time::Duration;

use common::{World, errors, good, soon, stamp};
use dizzy_host::port::{Certainty, Database as _, Kind, Sessions};
use dizzy_sandbox_oracle::{DAY, HOUR, Listener, Options, Profile};

fn rollover() -> Profile {
    Profile::classic().with_rollover(HOUR)
}

#[tokio::test]
async fn a_plain_user_of_a_plain_database_is_in_order() {
    let world = World::start();
    let seen = world.inspect(&world.a).await;
    assert_eq!(seen.findings, []);
    assert!(seen.server_version.unwrap().starts_with("23."));
    assert_eq!((seen.rollover, seen.cannot_restore), (None, None));
    assert_eq!(seen.password_life, Some(DAY * 180));
    let [(user, expires)] = seen.expiries.as_slice() else { panic!("{:?}", seen.expiries) };
    assert_eq!(user, "app_a");
    let expected = world.server.user("app_a").unwrap().expiry.unwrap().0;
    assert!((expires - expected).abs() < 60_000, "{expires} instead of {expected}");
}

#[tokio::test]
async fn reuse_limits_and_an_autonomous_database_say_that_there_is_no_way_back() {
    let limited = World::with(Options { cloud: false, ..Options::default() }, Profile::autonomous());
    let seen = limited.inspect(&limited.a).await.cannot_restore.unwrap();
    assert!(seen.contains("PASSWORD_REUSE_MAX"), "{seen}");
    let autonomous = World::with(Options { cloud: true, ..Options::default() }, Profile::classic());
    let seen = autonomous.inspect(&autonomous.a).await.cannot_restore.unwrap();
    assert!(seen.contains("Autonomous"), "{seen}");
}

#[tokio::test]
async fn locked_expired_and_grace_are_findings() {
    let world = World::start();
    world.server.advance(DAY * 181);
    // In its grace time a user still logs in.
    let seen = world.inspect(&world.a).await;
    assert!(seen.findings.iter().any(|finding| finding.what.contains("grace")), "{:?}", seen.findings);
    assert_eq!(errors(&seen.findings).len(), 0);
    let fresh = World::start();
    fresh.server.advance(DAY * 170);
    let seen = fresh.inspect(&fresh.a).await;
    assert!(
        seen.findings
            .iter()
            .any(|finding| finding.what.contains("expires in 10 days") || finding.what.contains("expires in 9 days")),
        "{:?}",
        seen.findings
    );
}

#[tokio::test]
async fn a_user_that_may_alter_users_is_refused() {
    let world = World::start();
    world.server.grant("app_a", "ALTER USER");
    let seen = world.inspect(&world.a).await;
    let [error] = errors(&seen.findings)[..] else { panic!("{:?}", seen.findings) };
    assert_eq!(error.kind, Kind::Denied);
    assert_eq!(error.hint.as_deref(), Some("REVOKE ALTER USER FROM \"APP_A\";"));
}

#[tokio::test]
async fn a_rollover_window_is_seen_from_its_beginning_to_its_end() {
    let world = World::with(Options::default(), rollover());
    let window = async |user: &common::User| world.inspect(user).await.rollover.unwrap();
    let before = window(&world.a).await;
    assert!(!before.open);
    // The server tells it in days, with a few digits.
    assert!(before.length.abs_diff(HOUR) < Duration::from_secs(10), "{:?}", before.length);
    let changed = world.change(&world.a, &good(10)).await.unwrap();
    assert!(world.logs_in(&world.a) && world.logs_in(&changed));
    assert!(window(&changed).await.open);
    world.server.advance(HOUR + Duration::from_secs(1));
    assert!(!window(&changed).await.open);
    assert!(!world.logs_in(&world.a));
}

#[tokio::test]
async fn a_window_is_ended_by_its_user_through_what_prepare_made() {
    let world = World::with(Options::default(), rollover());
    let changed = world.change(&world.a, &good(10)).await.unwrap();
    let error = world.db.end_window(changed.login(), stamp(1, 1), soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::FenceMissing, Certainty::Refused), "{error:?}");
    assert!(world.logs_in(&world.a));
    world.db.prepare(world.admin.login(), &["app_a"], None, stamp(0, 0), soon()).await.unwrap();
    assert!(world.inspect(&changed).await.rollover.unwrap().can_end);
    for attempt in ["end", "end again"] {
        world
            .db
            .end_window(changed.login(), stamp(1, 1), soon())
            .await
            .unwrap_or_else(|error| panic!("{attempt}: {error}"));
        assert!(!world.logs_in(&world.a) && world.logs_in(&changed), "{attempt}");
    }
    assert!(!world.inspect(&changed).await.rollover.unwrap().open);
}

#[tokio::test]
async fn the_newest_password_is_not_sent_again_and_the_older_one_of_a_window_is() {
    let world = World::with(Options::default(), Profile::autonomous().with_rollover(HOUR));
    let changed = world.change(&world.a, &good(10)).await.unwrap();
    world.server.end_window("app_a");
    world.change(&changed, changed.password.expose()).await.unwrap();
    assert_eq!(world.server.user("app_a").unwrap().tally.changes, 1);
    let again = world.change(&changed, &good(11)).await.unwrap();
    // The window is open: the older password logs in, but that does not make it the newest.
    let error = world.change(&changed, changed.password.expose()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Policy);
    assert!(world.server.password_is("app_a", again.password.expose()));
}

#[tokio::test]
async fn sessions_are_counted_where_they_may_be_seen() {
    let world = World::start();
    let sessions = async |by: &common::User| world.db.sessions(by.login(), "app_a", stamp(1, 1), soon()).await.unwrap();
    assert_eq!(sessions(&world.a).await, Sessions::Unknown, "an ordinary user");
    assert_eq!(sessions(&world.admin).await, Sessions::Counted { count: 0, clients: Vec::new() });
    let application = oracledb::Config::default()
        .set_connect_string(&world.server.descriptor(Listener::Tcp))
        .unwrap()
        .set_credentials(&world.a.name, world.a.password.expose())
        .set_program("web-shop")
        .unwrap()
        .set_machine("shop-7")
        .unwrap();
    let held = oracledb::connect(application).unwrap();
    let Sessions::Counted { count, clients } = sessions(&world.admin).await else { panic!("not counted") };
    assert_eq!(count, 1);
    assert!(clients[0].starts_with("web-shop at "), "{clients:?}");
    drop(held);
}
