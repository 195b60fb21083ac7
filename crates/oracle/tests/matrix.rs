//! Login, change and its failures on every release, with and without a second TLS handshake on the same connection.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test stops at the first surprise"
)]

mod common;

use std::time::Duration;

use common::{World, fired, good, short_for, soon, stamp, tells_nothing};
use dizzy_host::port::{Certainty, Database as _, Kind};
use dizzy_sandbox_oracle::{Effect, Event, Mode, Options, Point, Profile, WrongOldPassword};

/// Every release, with and without a second handshake, with and without breaks before errors.
fn everywhere() -> impl Iterator<Item = (String, Options)> {
    Mode::ALL.into_iter().flat_map(|mode| {
        [(false, false), (true, false), (false, true)].map(|(renegotiate, error_markers)| {
            let name = format!("{mode:?} renegotiate={renegotiate} markers={error_markers}");
            (name, Options { mode, renegotiate, error_markers, ..Options::default() })
        })
    })
}

#[tokio::test]
async fn a_user_logs_in_and_changes_its_own_password_without_a_word_of_it_in_sql() {
    for (name, options) in everywhere() {
        let world = World::with(options, Profile::classic());
        world.db.login(world.a.login(), stamp(1, 1), soon()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let changed = world.change(&world.a, &good(10)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(world.logs_in(&changed) && !world.logs_in(&world.a), "{name}");
        assert!(world.logs_in(&world.b), "{name}: the other user");
        world.db.login(changed.login(), stamp(1, 1), soon()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!world.server.log_text().contains("Canary"), "{name}: a password is in the server's log");
        assert_eq!(world.server.user("app_a").unwrap().tally.changes, 1, "{name}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_a_matter_of_credentials_and_is_tried_once() {
    for (name, options) in everywhere() {
        let world = World::with(options, Profile::classic());
        for user in [world.a.with("Canary-wrong"), common::User::new("nobody", "Canary-wrong")] {
            let error = world.db.login(user.login(), stamp(1, 1), soon()).await.unwrap_err();
            assert_eq!((error.kind, error.code.as_deref()), (Kind::Credential, Some("ORA-01017")), "{name}");
            tells_nothing(&error);
        }
        assert_eq!(world.server.user("app_a").unwrap().failed_logins, 1, "{name}");
    }
}

#[tokio::test]
async fn a_change_with_a_wrong_old_password_changes_nothing() {
    for (name, options) in everywhere() {
        let world = World::with(options, Profile::classic());
        let error = world.change(&world.a.with("Canary-wrong"), &good(10)).await.unwrap_err();
        assert_eq!((error.kind, error.certainty), (Kind::Credential, Certainty::Refused), "{name}");
        assert!(world.logs_in(&world.a), "{name}");
    }
}

#[tokio::test]
async fn the_old_password_is_checked_at_the_change_whatever_the_server_calls_it() {
    for wrong_old_password in [WrongOldPassword::InvalidLogin, WrongOldPassword::InvalidOldPassword] {
        let world = World::with(Options { wrong_old_password, ..Options::default() }, Profile::classic());
        let held = world.fault(Point::BeforeChange, Effect::Hold);
        let overtaking = async {
            // Somebody else changes the password while ours is under way.
            let waiting = held.clone();
            tokio::task::spawn_blocking(move || assert!(waiting.wait(Duration::from_secs(30)))).await.unwrap();
            world.server.set_password("app_a", &good(11));
            held.release();
        };
        let new = good(10);
        let (changed, ()) = tokio::join!(world.change(&world.a, &new), overtaking);
        let error = changed.unwrap_err();
        assert_eq!((error.kind, error.certainty), (Kind::Credential, Certainty::Refused), "{wrong_old_password:?}");
        assert!(world.logs_in(&world.a.with(&good(11))));
    }
}

#[tokio::test]
async fn a_refused_password_is_a_matter_of_rules() {
    for (name, options) in everywhere() {
        let world = World::with(options, Profile::autonomous());
        let error = world.change(&world.a, "Canary-short").await.unwrap_err();
        assert_eq!((error.kind, error.certainty), (Kind::Policy, Certainty::Refused), "{name}");
        assert_eq!(error.code.as_deref(), Some("ORA-28003"), "{name}");
        tells_nothing(&error);
        assert!(world.logs_in(&world.a), "{name}");
    }
}

#[tokio::test]
async fn a_password_of_old_is_refused_with_its_own_number() {
    let world = World::with(Options::default(), Profile::autonomous());
    let changed = world.change(&world.a, &good(10)).await.unwrap();
    let error = world.change(&changed, world.a.password.expose()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (Kind::Policy, Some("ORA-28007")));
    assert!(error.what.contains("used before"), "{}", error.what);
    assert!(world.logs_in(&changed));
}

#[tokio::test]
async fn a_lost_acknowledgement_on_19c_is_unknown_whether_or_not_it_was_applied() {
    a_lost_acknowledgement_is_unknown(Mode::V19).await;
}

#[tokio::test]
async fn a_lost_acknowledgement_on_21c_is_unknown_whether_or_not_it_was_applied() {
    a_lost_acknowledgement_is_unknown(Mode::V21).await;
}

#[tokio::test]
async fn a_lost_acknowledgement_on_23ai_is_unknown_whether_or_not_it_was_applied() {
    a_lost_acknowledgement_is_unknown(Mode::V23).await;
}

async fn a_lost_acknowledgement_is_unknown(mode: Mode) {
    for (name, options) in everywhere().filter(|(_, options)| options.mode == mode) {
        for (point, effect, applied) in [
            (Point::BeforeChange, Effect::Drop, false),
            (Point::AfterChange, Effect::Drop, true),
            (Point::BeforeChange, Effect::Hang, false),
            (Point::AfterChange, Effect::Hang, true),
            (Point::BeforeChange, Effect::Kill, false),
        ] {
            let world = World::with(options.clone(), Profile::classic());
            let fault = world.fault(point, effect.clone());
            let error = world.change_by(&world.hasty(short_for(point)), &world.a, &good(10)).await.unwrap_err();
            let case = format!("{name} {point:?} {effect:?}: {error:?}");
            assert_eq!(fired(&fault), 1, "{case}");
            assert_eq!(error.certainty, Certainty::Unknown, "{case}");
            assert!(matches!(error.kind, Kind::Unreachable | Kind::Timeout), "{case}");
            tells_nothing(&error);
            assert_eq!(world.logs_in(&world.a.with(&good(10))), applied, "{case}");
            assert_eq!(world.server.user("app_a").unwrap().failed_logins, 0, "{case}");
        }
    }
}

#[tokio::test]
async fn locked_expired_and_rightless_users_are_told_apart() {
    let world = World::start();
    let login = async |user: &common::User| world.db.login(user.login(), stamp(1, 1), soon()).await.unwrap_err();
    world.server.lock_user("app_a");
    let error = login(&world.a).await;
    assert_eq!((error.kind, error.code.as_deref()), (Kind::Locked, Some("ORA-28000")));
    world.server.unlock_user("app_a");
    world.server.expire_user("app_a");
    let error = login(&world.a).await;
    assert_eq!((error.kind, error.code.as_deref()), (Kind::Expired, Some("ORA-28001")));
    world.server.revoke("app_b", "CREATE SESSION");
    let error = login(&world.b).await;
    assert_eq!((error.kind, error.code.as_deref()), (Kind::Denied, Some("ORA-01045")));
}

#[tokio::test]
async fn a_listener_that_refuses_is_told_with_its_number() {
    let world = World::start();
    for (code, kind) in [(12514, Kind::NotFound), (12516, Kind::Busy), (12528, Kind::Busy), (12505, Kind::NotFound)] {
        let fault = world.fault(Point::Connect, Effect::RefuseConnect(code));
        let error = world.db.login(world.a.login(), stamp(1, 1), soon()).await.unwrap_err();
        assert_eq!((error.kind, error.code), (kind, Some(format!("ORA-{code}"))));
        assert_eq!(fired(&fault), 1);
    }
}

#[tokio::test]
async fn the_server_sees_a_tls_client_that_names_itself() {
    let world = World::start();
    world.db.login(world.a.login(), stamp(7, 3), soon()).await.unwrap();
    let log = world.server.log();
    let connect = log.iter().find_map(|entry| match &entry.event {
        Event::Connect(data) => Some(data.clone()),
        _ => None,
    });
    let connect = connect.unwrap();
    let port = world.server.port(dizzy_sandbox_oracle::Listener::Tls);
    assert!(connect.contains(&format!("(ADDRESS=(PROTOCOL=tcps)(HOST=localhost)(PORT={port}))")), "{connect}");
    assert!(connect.contains(&format!("(SERVICE_NAME={})", world.server.service())), "{connect}");
    assert!(!connect.contains("RETRY") && connect.matches("SERVICE_NAME").count() == 1, "{connect}");
    let program = log.iter().find_map(|entry| match &entry.event {
        Event::LoggedIn { program, .. } => Some(program.clone()),
        _ => None,
    });
    assert_eq!(program.as_deref(), Some("dizzy-keys"));
}
