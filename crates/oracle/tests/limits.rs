//! Silence at every point of a session, broken connections, and many sessions at a time.
//!
//! What is asserted is that a call returned, and as what; never how fast.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod common;

use std::time::Duration;

use common::{SHORT, World, config, database, fired, good, short_for, soon, stamp, tells_nothing};
use dizzy_host::port::{Certainty, Database as _, Deadline, Kind};
use dizzy_oracle::{Limits, OracleConfig};
use dizzy_sandbox_oracle::{Effect, Point};

#[tokio::test]
async fn silence_before_the_change_is_a_timeout_that_changed_nothing() {
    for point in [Point::Accept, Point::Connect, Point::LoginStart, Point::BeforeLogin, Point::AfterLogin] {
        let world = World::start();
        let fault = world.fault(point, Effect::Hang);
        let error = world.change_by(&world.hasty(short_for(point)), &world.a, &good(10)).await.unwrap_err();
        assert_eq!((error.kind, error.certainty), (Kind::Timeout, Certainty::Refused), "{point:?}");
        assert_eq!(fired(&fault), 1, "{point:?}");
        tells_nothing(&error);
        assert!(world.logs_in(&world.a), "{point:?}");
    }
}

#[tokio::test]
async fn silence_in_a_statement_is_a_timeout() {
    for point in [Point::BeforeStatement, Point::AfterStatement] {
        let world = World::start();
        let fault = world.fault(point, Effect::Hang);
        let error = world.hasty(short_for(point)).login(world.a.login(), stamp(1, 1), soon()).await.unwrap_err();
        assert_eq!((error.kind, fired(&fault)), (Kind::Timeout, 1), "{point:?}");
    }
}

#[tokio::test]
async fn silence_around_the_change_is_unknown() {
    for (point, applied) in [(Point::BeforeChange, false), (Point::AfterChange, true)] {
        let world = World::start();
        let fault = world.fault(point, Effect::Hang);
        let error = world.change_by(&world.hasty(short_for(point)), &world.a, &good(10)).await.unwrap_err();
        assert_eq!((error.kind, error.certainty), (Kind::Timeout, Certainty::Unknown), "{point:?}");
        assert_eq!(fired(&fault), 1);
        assert_eq!(world.logs_in(&world.a.with(&good(10))), applied, "{point:?}");
    }
}

#[tokio::test]
async fn silence_at_the_goodbye_spoils_nothing() {
    let world = World::start();
    let fault = world.fault(Point::BeforeLogoff, Effect::Hang);
    let changed = world.change_by(&world.hasty(short_for(Point::BeforeLogoff)), &world.a, &good(10)).await.unwrap();
    assert_eq!(fired(&fault), 1);
    assert!(world.logs_in(&changed));
}

#[tokio::test]
async fn the_callers_deadline_counts_before_every_limit() {
    for point in [Point::Accept, Point::Connect, Point::BeforeLogin, Point::BeforeStatement] {
        let world = World::start();
        let fault = world.fault(point, Effect::Hang);
        let error = world.db.login(world.a.login(), stamp(1, 1), Deadline::after(SHORT)).await.unwrap_err();
        assert_eq!((error.kind, fired(&fault)), (Kind::Timeout, 1), "{point:?}");
    }
}

#[tokio::test]
async fn bytes_that_drip_are_a_timeout() {
    let world = World::start();
    let fault = world.fault(Point::Accept, Effect::Drip(Duration::from_millis(20)));
    let limits = Limits { open: SHORT, ..Limits::default() };
    let error = world.hasty(limits).login(world.a.login(), stamp(1, 1), soon()).await.unwrap_err();
    assert_eq!((error.kind, fired(&fault)), (Kind::Timeout, 1));
}

#[tokio::test]
async fn a_connection_that_breaks_anywhere_before_the_change_is_refused_and_unreachable() {
    for point in [Point::Accept, Point::Connect, Point::LoginStart, Point::BeforeLogin, Point::AfterLogin] {
        let world = World::start();
        let fault = world.fault(point, Effect::Drop);
        let error = world.change(&world.a, &good(10)).await.unwrap_err();
        assert_eq!((error.kind, error.certainty), (Kind::Unreachable, Certainty::Refused), "{point:?} {error:?}");
        assert_eq!(fired(&fault), 1, "{point:?}");
        assert!(world.logs_in(&world.a), "{point:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (world, elsewhere) = (World::start(), World::start());
    let redirect = Effect::Redirect {
        address: elsewhere.server.address(dizzy_sandbox_oracle::Listener::Tcp),
        protocol: "tcp",
        service: elsewhere.server.service().to_owned(),
    };
    let fault = world.fault(Point::Connect, redirect);
    let error = world.db.login(world.a.login(), stamp(1, 1), soon()).await.unwrap_err();
    assert!(error.what.contains("another address"), "{}", error.what);
    assert_eq!(fired(&fault), 1);
    assert_eq!(elsewhere.server.log().len(), 0, "somebody went there");
}

#[tokio::test]
async fn twelve_sessions_at_a_time_do_not_mix() {
    let world = World::start();
    let users: Vec<_> =
        (0..12).map(|number| common::User::new(&format!("many_{number}"), &good(100 + number))).collect();
    for user in &users {
        world.server.add_user(&dizzy_sandbox_oracle::Account::new(&user.name, user.password.expose())).unwrap();
    }
    let mut changes = tokio::task::JoinSet::new();
    for (number, user) in users.iter().cloned().enumerate() {
        let db = database(OracleConfig { name: format!("db{number}"), ..config(&world.server) });
        changes.spawn(async move {
            let changed = user.with(&good(200 + number));
            let kind = dizzy_host::port::ChangeKind::Alternating;
            let change =
                dizzy_host::port::Change { login: user.login(), new: &changed.password, stamp: stamp(1, 1), kind };
            db.apply(change, soon()).await.map(|()| changed)
        });
    }
    while let Some(changed) = changes.join_next().await {
        assert!(world.logs_in(&changed.unwrap().unwrap()));
    }
}
