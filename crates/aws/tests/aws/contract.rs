//! The store keeps every sentence of the port's contract when nothing goes wrong.

use dizzy_host::port::{Certainty, Kind, SecretStore as _, VersionId};
use dizzy_sandbox::moto::Unlabelled;
use serde_json::json;

use crate::world::{World, name, soon, staged, text};

#[tokio::test]
async fn a_fault_free_rotation_takes_seven_calls_and_the_command_line_agrees() {
    let world = World::new();
    let (store, base) = world.secret("prod/orders", "value-0");
    store.label(&name(0), &base, soon()).await.unwrap();
    world.moto.forget_calls().unwrap();

    let labels = store.labels(soon()).await.unwrap();
    assert_eq!((labels.current.as_ref(), labels.named.get(&name(0))), (Some(&base), Some(&base)));
    assert_eq!(store.current(soon()).await.unwrap().id, base);
    let next = staged(&store, 1).await;
    assert_eq!(store.read(&next, soon()).await.unwrap().value, text("value-1"));
    store.promote(&base, &next, soon()).await.unwrap();
    let published = store.current(soon()).await.unwrap();
    assert_eq!((&published.id, &published.value), (&next, &text("value-1")));
    store.prune(&name(0), &base, soon()).await.unwrap();

    assert_eq!(
        world.moto.counts(Some("prod/orders")).unwrap(),
        json!({"DescribeSecret": 1, "GetSecretValue": 3, "PutSecretValue": 1, "UpdateSecretVersionStage": 2})
    );
    assert_eq!(world.labels_by_cli("prod/orders", &next), ["AWSCURRENT", "dizzy-g0000000001-0123456789"]);
    assert_eq!(world.labels_by_cli("prod/orders", &base), ["AWSPREVIOUS"]);
    let labels = store.labels(soon()).await.unwrap();
    assert_eq!((labels.previous, labels.pending), (Some(base), None));
}

#[tokio::test]
async fn the_first_writer_of_a_generation_wins() {
    let world = World::new();
    let (mine, base) = world.secret("first", "value-0");
    let theirs = world.store("first");
    let id = mine.stage(&name(1), &text("mine"), soon()).await.unwrap();
    assert_eq!(mine.stage(&name(1), &text("mine"), soon()).await.unwrap(), id, "a repeat is the same version");
    let error = theirs.stage(&name(1), &text("theirs"), soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Exists, Certainty::Refused));
    let winner = theirs.labels(soon()).await.unwrap().named.remove(&name(1)).unwrap();
    assert_eq!(theirs.read(&winner, soon()).await.unwrap().value, text("mine"));
    assert_eq!(mine.current(soon()).await.unwrap().id, base, "staging leaves CURRENT alone");
    assert_eq!(mine.labels(soon()).await.unwrap().pending, None, "and PENDING");

    // The same secret, called by its ARN, has the same tokens.
    let seen = world.moto.aws(&["secretsmanager", "describe-secret", "--secret-id", "first"]).unwrap();
    let by_arn = world.store(seen["ARN"].as_str().unwrap());
    assert_eq!(by_arn.stage(&name(1), &text("mine"), soon()).await.unwrap(), id);
}

#[tokio::test]
async fn a_staged_version_whose_label_was_taken_off_gets_it_back() {
    let world = World::new();
    world.moto.keep_unlabelled(Unlabelled::Stay).unwrap();
    let (store, _) = world.secret("label-lost", "value-0");
    let id = staged(&store, 1).await;
    store.prune(&name(1), &id, soon()).await.unwrap();
    assert_eq!(world.labels_on_server("label-lost", &id), Some(vec![]));
    // AWS calls the repeat a success and attaches nothing.
    assert_eq!(staged(&store, 1).await, id);
    assert_eq!(world.labels_by_cli("label-lost", &id), [name(1).to_string()]);

    // The harshest that AWS may do to a version without a label: it is gone at once, and can be staged afresh.
    world.moto.keep_unlabelled(Unlabelled::Vanish).unwrap();
    store.prune(&name(1), &id, soon()).await.unwrap();
    assert_eq!(world.labels_on_server("label-lost", &id), None);
    assert_eq!(staged(&store, 1).await, id);
}

#[tokio::test]
async fn names_are_put_on_and_taken_off_idempotently_and_never_stolen() {
    let world = World::new();
    let (store, base) = world.secret("names", "value-0");
    for _ in 0..2 {
        store.label(&name(0), &base, soon()).await.unwrap();
    }
    let next = staged(&store, 1).await;
    let error = store.label(&name(0), &next, soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Conflict, Certainty::Refused));
    let error = store.prune(&name(0), &next, soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Conflict, Certainty::Refused));
    assert_eq!(store.labels(soon()).await.unwrap().named.get(&name(0)), Some(&base));
    for _ in 0..2 {
        store.prune(&name(1), &next, soon()).await.unwrap();
    }
    assert_eq!(world.labels_on_server("names", &next), None, "the name was its only label");
    assert_eq!(store.labels(soon()).await.unwrap().named.keys().collect::<Vec<_>>(), [&name(0)]);
}

#[tokio::test]
async fn a_stage_never_takes_a_name_from_an_adopted_version() {
    let world = World::new();
    let (store, base) = world.secret("adopted", "value-0");
    store.label(&name(1), &base, soon()).await.unwrap();
    // By the worker that adopted, by one that has looked, by one that has not.
    let looked = world.store("adopted");
    looked.labels(soon()).await.unwrap();
    for store in [store, looked, world.store("adopted")] {
        let error = store.stage(&name(1), &text("other"), soon()).await.unwrap_err();
        assert_eq!((error.kind, error.certainty), (Kind::Exists, Certainty::Refused));
        assert_eq!(store.labels(soon()).await.unwrap().named.get(&name(1)), Some(&base));
    }
    // After the name has been taken off elsewhere, one fresh look is enough.
    let last = world.store("adopted");
    last.labels(soon()).await.unwrap();
    world.store("adopted").prune(&name(1), &base, soon()).await.unwrap();
    staged(&last, 1).await;
}

#[tokio::test]
async fn pending_and_current_move_only_from_where_they_are() {
    let world = World::new();
    let (store, base) = world.secret("cas", "value-0");
    let (one, two) = (staged(&store, 1).await, staged(&store, 2).await);
    store.move_pending(None, &one, soon()).await.unwrap();
    for from in [None, Some(&base), Some(&two)] {
        let error = store.move_pending(from, &two, soon()).await.unwrap_err();
        assert_eq!((error.kind, error.certainty), (Kind::Conflict, Certainty::Refused), "{from:?}");
    }
    store.move_pending(Some(&one), &two, soon()).await.unwrap();
    assert_eq!(store.labels(soon()).await.unwrap().pending, Some(two.clone()));

    let error = store.promote(&one, &two, soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Conflict, Certainty::Unknown));
    assert_eq!(store.current(soon()).await.unwrap().id, base);
    store.promote(&base, &two, soon()).await.unwrap();
    // A repeat fails, although the goal is reached: the labels tell.
    let error = store.promote(&base, &two, soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Conflict, Certainty::Unknown));
    let labels = store.labels(soon()).await.unwrap();
    assert_eq!((labels.current, labels.previous, labels.pending), (Some(two.clone()), Some(base.clone()), Some(two)));

    let nowhere = VersionId("0".repeat(32));
    assert!(store.promote(&base, &nowhere, soon()).await.is_err());
}

#[tokio::test]
async fn reads_catch_up_with_what_was_just_written() {
    let world = World::new();
    let (store, base) = world.secret("stale", "value-0");
    let next = staged(&store, 1).await;
    world.moto.answer_stale("stale", 2).unwrap();
    assert_eq!(store.read(&next, soon()).await.unwrap().value, text("value-1"), "waited for");

    // Only for what this process wrote: anybody else's missing version is told at once.
    world.moto.answer_stale("stale", 1).unwrap();
    world.moto.forget_calls().unwrap();
    let error = world.store("stale").read(&next, soon()).await.err().unwrap();
    assert_eq!((error.kind, error.certainty), (Kind::NotFound, Certainty::Refused));
    assert_eq!(world.moto.counts(Some("stale")).unwrap(), json!({"GetSecretValue": 1}));

    // CURRENT and labels may be the ones before; the caller sees it by the id.
    store.promote(&base, &next, soon()).await.unwrap();
    world.moto.answer_stale("stale", 2).unwrap();
    assert_eq!(store.current(soon()).await.unwrap().id, base);
    assert_eq!(store.labels(soon()).await.unwrap().current, Some(base));
    assert_eq!(store.current(soon()).await.unwrap().id, next);
}

#[tokio::test]
async fn a_rotation_that_aws_began_shows_as_an_empty_pending_version() {
    let world = World::new();
    let (store, base) = world.secret("drop-in", "value-0");
    let token = VersionId("a".repeat(36));
    world.moto.begin_rotation("drop-in", &token.0).unwrap();
    let labels = store.labels(soon()).await.unwrap();
    assert_eq!((labels.current, labels.pending), (Some(base), Some(token.clone())));
    assert_eq!(store.read(&token, soon()).await.err().unwrap().kind, Kind::NotFound);
}
