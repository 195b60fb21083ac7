//! What the memory world does beyond the ports' promises: rollover windows, lockout, stale reads, vanishing versions.

use core::time::Duration;

use dizzy_engine::{Capability, Epoch, Generation};

use super::*;
use crate::port::{Change, ChangeKind, Database as _, FenceStamp, Login, SecretStore as _, VersionName};

const STAMP: FenceStamp<'static> =
    FenceStamp { set: "orders", register: "0123456789", epoch: Epoch(1), generation: Generation(1) };

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(1))
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned())
}

async fn change(database: &MemoryDatabase, from: &str, to: &str) -> PortResult<()> {
    let (old, new) = (password(from), password(to));
    let login = Login { user: "a", password: &old };
    database.apply(Change { login, new: &new, stamp: STAMP, kind: ChangeKind::Alternating }, soon()).await
}

fn accepted<'a>(database: &MemoryDatabase, candidates: &[&'a str]) -> Vec<&'a str> {
    candidates.iter().copied().filter(|text| database.accepts("a", &password(text))).collect()
}

#[tokio::test]
async fn a_rollover_window_keeps_its_first_and_its_newest_password() {
    let database = MemoryDatabase::new("adb", Capability::StatementCas, Acceptance::Rollover);
    database.add_user("a", password("p1"));
    change(&database, "p1", "p2").await.unwrap();
    assert_eq!(accepted(&database, &["p1", "p2"]), ["p1", "p2"]);
    change(&database, "p2", "p3").await.unwrap();
    assert_eq!(accepted(&database, &["p1", "p2", "p3"]), ["p1", "p3"], "the middle one dies at once");
    database.end_window("a");
    assert_eq!(accepted(&database, &["p1", "p2", "p3"]), ["p3"]);
}

#[tokio::test]
async fn wrong_logins_are_counted_and_lock_the_account() {
    let database = MemoryDatabase::new("adb", Capability::StatementCas, Acceptance::Newest);
    database.add_user("a", password("right"));
    database.lock_after(3);
    let (right, wrong) = (password("right"), password("wrong"));
    let login = async |password: &Password| {
        database.login(Login { user: "a", password }, STAMP, soon()).await.map_err(|error| error.kind)
    };
    assert_eq!(login(&wrong).await, Err(Kind::Credential));
    assert_eq!(database.wrong_logins("a"), 1);
    assert_eq!(login(&right).await, Ok(()));
    assert_eq!(database.wrong_logins("a"), 0, "a right login starts the count again");
    for _ in 0..3 {
        assert_eq!(login(&wrong).await, Err(Kind::Credential));
    }
    assert_eq!(login(&right).await, Err(Kind::Locked));
    assert!(!database.accepts("a", &right));
}

#[tokio::test]
async fn a_refused_password_leaves_the_old_one_and_the_fence() {
    let database = MemoryDatabase::new("rds", Capability::RowFence, Acceptance::Newest);
    database.add_user("a", password("p1"));
    database.add_fence(STAMP.set, STAMP.register, &["a"]);
    database.judge_passwords(PasswordRule::RefuseAll);
    assert_eq!(change(&database, "p1", "p2").await.unwrap_err().kind, Kind::Policy);
    assert_eq!(accepted(&database, &["p1", "p2"]), ["p1"]);
    assert_eq!(database.fence("orders", "a").unwrap().generation, None);
}

#[tokio::test]
async fn stale_reads_show_the_secret_before_its_latest_change() {
    let mut world = World::new(1);
    let store = world.add_store("mem:orders", SecretText::new("first".to_owned()));
    let before = store.labels(soon()).await.unwrap();
    let name = VersionName::new(Generation(1), STAMP.register);
    let id = store.stage(&name, &SecretText::new("second".to_owned()), soon()).await.unwrap();
    store.serve_stale_reads(2);
    assert_eq!(store.labels(soon()).await.unwrap(), before);
    assert_eq!(store.read(&id, soon()).await.err().unwrap().kind, Kind::NotFound);
    assert_eq!(store.labels(soon()).await.unwrap().named.get(&name), Some(&id), "the third read is up to date");
}

#[tokio::test]
async fn a_version_without_a_label_is_gone() {
    let mut world = World::new(1);
    let store = world.add_store("mem:orders", SecretText::new("first".to_owned()));
    let first = store.current(soon()).await.unwrap().id;
    store.put_by_hand(SecretText::new("second".to_owned()));
    assert!(store.read(&first, soon()).await.is_ok(), "PREVIOUS holds it");
    store.put_by_hand(SecretText::new("third".to_owned()));
    assert_eq!(store.read(&first, soon()).await.err().unwrap().kind, Kind::NotFound);
    assert_eq!(store.previous(), Some(SecretText::new("second".to_owned())));
    assert_eq!(store.published(), Some(SecretText::new("third".to_owned())));
}
