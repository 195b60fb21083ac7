//! Nothing is left behind: no thread of the driver and no descriptor, however a session ends. A file of its own, because it counts what
//! its whole process holds.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::time::Duration;

use common::{World, fired, short_for, soon, stamp};
use dizzy_host::port::Database as _;
use dizzy_sandbox_oracle::{Effect, Point};

/// Threads of the driver, and open descriptors, of this process.
fn held() -> (usize, usize) {
    let entries = |path: &str| std::fs::read_dir(path).unwrap().flatten();
    let of_driver = entries("/proc/self/task").filter(|task| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "oracle-driver")
    });
    (of_driver.count(), entries("/proc/self/fd").count())
}

/// Waits until threads and descriptors are what they were; they go by themselves, at no particular moment.
async fn settles_at(expected: usize, what: &str) {
    for _ in 0..3000 {
        let (threads, descriptors) = held();
        if threads == 0 && descriptors <= expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: {:?} threads and descriptors are left, {expected} descriptors were there before", held());
}

#[tokio::test]
async fn no_thread_and_no_descriptor_is_left_behind() {
    let world = World::start();
    world.db.login(world.a.login(), stamp(1, 1), soon()).await.unwrap();
    settles_at(usize::MAX, "the first session").await;
    while world.server.connections() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (_, before) = held();
    for _ in 0..10 {
        world.db.login(world.a.login(), stamp(1, 1), soon()).await.unwrap();
        world.db.login(world.a.with("wrong").login(), stamp(1, 1), soon()).await.unwrap_err();
        world.server.unlock_user("app_a");
    }
    settles_at(before, "sessions that ended well").await;
    for point in [Point::Accept, Point::Connect, Point::BeforeLogin, Point::BeforeStatement, Point::BeforeLogoff] {
        let fault = world.fault(point, Effect::Hang);
        let outcome = world.hasty(short_for(point)).login(world.a.login(), stamp(1, 1), soon()).await;
        assert_eq!((outcome.is_ok(), fired(&fault)), (point == Point::BeforeLogoff, 1), "{point:?}");
    }
    settles_at(before, "sessions that were cut").await;
    for point in [Point::Accept, Point::Connect, Point::BeforeLogin, Point::BeforeStatement] {
        let fault = world.fault(point, Effect::Hang);
        let db = world.db.clone();
        let user = world.a.clone();
        let task = tokio::spawn(async move { db.login(user.login(), stamp(1, 1), soon()).await });
        while fault.fired() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    settles_at(before, "sessions whose caller went away").await;
}
