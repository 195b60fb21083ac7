//! The store keeps every sentence of the port's contract when nothing goes wrong.

use core::time::Duration;

use dizzy_engine::Generation;
use dizzy_host::port::{Certainty, Deadline, Kind, PortError, PortResult, SecretStore as _, VersionId, VersionName};
use dizzy_sandbox_oci::{Operation, Options, Settle};

use crate::world::{World, name, soon, staged, text, version};

#[tokio::test]
async fn a_fault_free_rotation_takes_sixteen_calls() {
    let world = World::with(Options { settle: Settle::AfterPolls(0), ..Options::default() });
    let (store, ocid) = world.secret("orders", "value-0");
    let one = staged(&store, 1).await;
    store.promote(&version(1), &one, soon()).await.unwrap();
    let two = staged(&store, 2).await;
    store.promote(&one, &two, soon()).await.unwrap();
    assert_eq!(world.stages(&ocid), "1=DEPRECATED 2=PREVIOUS 3=CURRENT");

    // The third, call by call as the driver makes them.
    world.oci.forget_log();
    store.room(soon()).await.unwrap();
    assert_eq!(store.current(soon()).await.unwrap().id, two);
    assert_eq!(store.read(&one, soon()).await.unwrap().value, text("value-1"));
    let labels = store.labels(soon()).await.unwrap();
    assert_eq!((labels.current.as_ref(), labels.previous.as_ref(), labels.pending), (Some(&two), Some(&one), None));
    let three = staged(&store, 3).await;
    assert_eq!(store.read(&three, soon()).await.unwrap().value, text("value-3"));
    store.promote(&two, &three, soon()).await.unwrap();
    let published = store.current(soon()).await.unwrap();
    assert_eq!((&published.id, &published.value), (&three, &text("value-3")));
    store.prune(&name(1), &one, soon()).await.unwrap();

    let counts = world.counts();
    println!("{counts:?}, {} in all", counts.values().sum::<usize>());
    let expected = [
        ("GetSecret", 5),
        ("GetSecretBundle", 4),
        ("GetSecretVersion", 1),
        ("ListSecretVersions", 3),
        ("ScheduleSecretVersionDeletion", 1),
        ("UpdateSecret", 2),
    ];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(world.stages(&ocid), "1=DEPRECATED 2=DEPRECATED 3=PREVIOUS 4=CURRENT");
}

#[tokio::test]
async fn staging_makes_a_named_pending_version_and_publishes_nothing() {
    let world = World::new();
    let (store, ocid) = world.secret("staging", "value-0");
    assert!(store.stages_as_pending());
    let id = staged(&store, 7).await;
    let seen = world.oci.secret(&ocid).unwrap();
    assert_eq!((seen.stages().as_str(), seen.lifecycle_state.as_str()), ("1=CURRENT 2=PENDING", "ACTIVE"));
    assert_eq!(seen.versions[1].name.as_deref(), Some("dizzy-g0000000007-0123456789"));
    assert_eq!(seen.versions[1].text(), "value-7");
    let labels = store.labels(soon()).await.unwrap();
    assert_eq!((labels.pending.as_ref(), labels.named.get(&name(7))), (Some(&id), Some(&id)));
    assert!(store.read(&id, soon()).await.unwrap().is_pending);
    assert!(!store.current(soon()).await.unwrap().is_pending);
    // Nothing is left to move; and PENDING cannot be put on a version that is there already.
    store.move_pending(None, &id, soon()).await.unwrap();
    let error = store.move_pending(Some(&id), &version(1), soon()).await.unwrap_err();
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Conflict));
}

#[tokio::test]
async fn the_first_writer_of_a_generation_wins() {
    let world = World::new();
    let (mine, ocid) = world.secret("first", "value-0");
    let theirs = world.store(&ocid);
    let id = mine.stage(&name(1), &text("mine"), soon()).await.unwrap();
    assert_eq!(mine.stage(&name(1), &text("mine"), soon()).await.unwrap(), id, "a repeat is the same version");
    assert_eq!(theirs.stage(&name(1), &text("mine"), soon()).await.unwrap(), id, "for every worker");
    let error = theirs.stage(&name(1), &text("theirs"), soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Exists, Certainty::Refused));
    assert_eq!(theirs.read(&id, soon()).await.unwrap().value, text("mine"));
    assert_eq!(world.stages(&ocid), "1=CURRENT 2=PENDING");
}

#[tokio::test]
async fn what_was_seen_before_staging_is_used_only_if_nothing_has_changed_since() {
    let world = World::new();
    let (store, ocid) = world.secret("snapshot", "value-0");
    let other = world.store(&ocid);
    // Both have looked; the other one stages first.
    store.labels(soon()).await.unwrap();
    other.stage(&name(1), &text("theirs"), soon()).await.unwrap();
    let error = store.stage(&name(1), &text("mine"), soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Exists, Certainty::Refused));

    // A foreign PENDING that came after the look is not overwritten either.
    let (store, ocid) = world.secret("snapshot-2", "value-0");
    store.labels(soon()).await.unwrap();
    let foreign = VersionName::new(Generation(1), "fedcba9876543210");
    world.store(&ocid).stage(&foreign, &text("foreign"), soon()).await.unwrap();
    let error = store.stage(&name(1), &text("mine"), soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::ForeignRegister, Certainty::Refused));
    assert_eq!(world.stages(&ocid), "1=CURRENT 2=PENDING");
}

#[tokio::test]
async fn adoption_checks_that_the_version_will_stay_and_changes_nothing() {
    let world = World::new();
    let (store, ocid) = world.secret("adopted", "value-0");
    for _ in 0..2 {
        store.label(&name(1), &version(1), soon()).await.unwrap();
    }
    assert_eq!(store.labels(soon()).await.unwrap().named.len(), 0, "Vault names versions when they are made");
    assert_eq!(world.count(Operation::UpdateSecret), 0);

    let error = store.label(&name(1), &version(7), soon()).await.unwrap_err();
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::NotFound));
    let two = staged(&store, 2).await;
    let error = store.label(&name(2), &version(1), soon()).await.unwrap_err();
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Conflict), "the name is on another version");
    store.label(&name(2), &two, soon()).await.unwrap();

    // A version that will be gone is not one to build on.
    let three = staged(&store, 3).await;
    store.prune(&name(2), &two, soon()).await.unwrap();
    let error = store.label(&name(9), &two, soon()).await.unwrap_err();
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::NotFound));
    assert!(error.hint.unwrap().contains("scheduled for deletion"));

    // And what was adopted is not ours to delete.
    store.promote(&version(1), &three, soon()).await.unwrap();
    let four = staged(&store, 4).await;
    store.promote(&three, &four, soon()).await.unwrap();
    store.prune(&name(1), &version(1), soon()).await.unwrap();
    assert_eq!(world.oci.secret(&ocid).unwrap().versions[0].time_of_deletion, None);
}

#[tokio::test]
async fn current_moves_only_from_where_it_is_and_back_by_number() {
    let world = World::new();
    let (store, ocid) = world.secret("cas", "value-0");
    let base = version(1);
    let one = staged(&store, 1).await;
    let error = store.promote(&one, &base, soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Conflict, Certainty::Unknown));
    store.promote(&base, &one, soon()).await.unwrap();
    assert_eq!(world.stages(&ocid), "1=PREVIOUS 2=CURRENT");
    // A repeat fails, although the goal is reached: the labels tell.
    let error = store.promote(&base, &one, soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Conflict, Certainty::Unknown));
    store.promote(&one, &one, soon()).await.unwrap();
    store.promote(&one, &base, soon()).await.unwrap();
    assert_eq!(world.stages(&ocid), "1=CURRENT 2=PREVIOUS");
    for nowhere in ["99", "0", "-1", "", "f00"] {
        assert!(store.promote(&base, &VersionId(nowhere.to_owned()), soon()).await.is_err(), "{nowhere}");
    }
    assert_eq!(world.stages(&ocid), "1=CURRENT 2=PREVIOUS");
}

#[tokio::test]
async fn only_deprecated_versions_of_ours_are_deleted_and_not_before_a_day() {
    let world = World::new();
    let (store, ocid) = world.secret("prune", "value-0");
    let one = staged(&store, 1).await;
    for attempt in ["PENDING", "CURRENT", "PREVIOUS"] {
        let error = store.prune(&name(1), &one, soon()).await.unwrap_err();
        assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Busy), "{attempt}");
        assert!(error.hint.unwrap().contains("DEPRECATED"));
        match attempt {
            "PENDING" => store.promote(&version(1), &one, soon()).await.unwrap(),
            _ => {
                let next = staged(&store, 2).await;
                if attempt == "CURRENT" {
                    store.promote(&one, &next, soon()).await.unwrap();
                }
            }
        }
    }
    assert_eq!(world.count(Operation::ScheduleSecretVersionDeletion), 0, "not even asked for");

    let three = staged(&store, 3).await;
    store.promote(&version(3), &three, soon()).await.unwrap();
    assert_eq!(world.stages(&ocid), "1=DEPRECATED 2=DEPRECATED 3=PREVIOUS 4=CURRENT");
    let before = world.oci.now();
    for _ in 0..2 {
        store.prune(&name(1), &one, soon()).await.unwrap();
    }
    assert_eq!(world.count(Operation::ScheduleSecretVersionDeletion), 1, "a repeat has nothing to do");
    let at = world.oci.secret(&ocid).unwrap().versions[1].time_of_deletion.unwrap();
    let left = Duration::try_from(at.duration_since(before)).unwrap();
    assert!(left > Duration::from_secs(24 * 3600) && left < Duration::from_secs(25 * 3600), "{left:?}");
    assert_eq!(store.labels(soon()).await.unwrap().named.keys().collect::<Vec<_>>(), [&name(2), &name(3)]);

    let error = store.prune(&name(2), &one, soon()).await.unwrap_err();
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Conflict), "the name is on another version");
    for nowhere in ["99", "none"] {
        store.prune(&name(8), &VersionId(nowhere.to_owned()), soon()).await.unwrap();
    }
}

#[tokio::test]
async fn reads_catch_up_with_what_was_just_written() {
    let world = World::with(Options { stale_reads: 3, ..Options::default() });
    let (store, ocid) = world.secret("stale", "value-0");
    let one = staged(&store, 1).await;
    assert_eq!(store.read(&one, soon()).await.unwrap().value, text("value-1"), "waited for");
    let two = staged(&store, 2).await;
    let other = world.store(&ocid);
    assert_eq!(other.read(&two, soon()).await.unwrap().value, text("value-2"), "by another worker, too");

    // CURRENT may be the one before; the caller sees it by the id. The labels are from the service that knows.
    store.promote(&version(1), &one, soon()).await.unwrap();
    assert_eq!(store.current(soon()).await.unwrap().id, version(1));
    assert_eq!(store.labels(soon()).await.unwrap().current, Some(one));
}

#[tokio::test]
async fn every_write_waits_until_the_secret_is_at_rest_and_no_longer_than_it_may() {
    let world = World::with(Options { settle: Settle::AfterPolls(5), ..Options::default() });
    let (store, ocid) = world.secret("slow", "value-0");
    let one = staged(&store, 1).await;
    store.promote(&version(1), &one, soon()).await.unwrap();
    assert_eq!(world.oci.secret(&ocid).unwrap().lifecycle_state, "ACTIVE");

    world.oci.set_settle(Settle::WhenTold);
    let is_late = |error: &PortError| matches!(error.kind, Kind::Busy | Kind::Timeout);
    let error =
        accepted(&world, async |deadline| store.stage(&name(2), &text("value-2"), deadline).await.map(drop)).await;
    assert!(error.certainty == Certainty::Unknown && is_late(&error), "accepted, and not seen to end: {error:?}");
    // Until it ends, nothing else is begun.
    let short = || Deadline::after(Duration::from_millis(400));
    for error in [
        store.stage(&name(3), &text("value-3"), short()).await.unwrap_err(),
        store.promote(&one, &version(1), short()).await.unwrap_err(),
        store.labels(short()).await.unwrap_err(),
    ] {
        assert!(error.certainty == Certainty::Refused && is_late(&error), "{error:?}");
    }
    world.oci.settle(&ocid).unwrap();
    assert_eq!(staged(&store, 2).await, version(3), "what was accepted is found");

    let error = accepted(&world, async |deadline| store.promote(&one, &version(3), deadline).await).await;
    assert!(error.certainty == Certainty::Unknown && is_late(&error), "accepted, and not seen to end: {error:?}");
    world.oci.settle(&ocid).unwrap();
    assert_eq!(store.labels(soon()).await.unwrap().current, Some(version(3)));
}

/// How a write ends that is accepted and never over. It has little time, and more if the machine was too busy to get as far.
async fn accepted(world: &World, write: impl AsyncFn(Deadline) -> PortResult<()>) -> PortError {
    for patience in [400, 5_000, 20_000] {
        world.oci.forget_log();
        let error = write(Deadline::after(Duration::from_millis(patience))).await.unwrap_err();
        if world.count(Operation::UpdateSecret) > 0 {
            return error;
        }
    }
    panic!("never sent");
}

#[tokio::test]
async fn a_generation_that_took_an_edit_in_is_one_generation_and_goes_as_one() {
    let world = World::new();
    let (store, ocid) = world.secret("edited", "value-0");
    let one = staged(&store, 1).await;
    let merged = store.restage(&name(1), &version(1), &text("value-1, edited"), soon()).await.unwrap();
    assert_eq!(world.stages(&ocid), "1=CURRENT 2=DEPRECATED 3=PENDING");
    let named = world.oci.secret(&ocid).unwrap().versions[2].name.clone();
    assert_eq!(named, Some(format!("{}-e1", name(1))), "the edited version's number is in the name");
    store.promote(&version(1), &merged, soon()).await.unwrap();
    // Whoever looks anew finds the generation, and cannot stage it again.
    assert_eq!(store.labels(soon()).await.unwrap().named.get(&name(1)), Some(&merged));
    let error = store.stage(&name(1), &text("value-1"), soon()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Exists);

    let two = staged(&store, 2).await;
    store.promote(&merged, &two, soon()).await.unwrap();
    let error = store.prune(&name(1), &merged, soon()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Busy, "still PREVIOUS");
    let three = staged(&store, 3).await;
    store.promote(&two, &three, soon()).await.unwrap();
    for _ in 0..2 {
        store.prune(&name(1), &merged, soon()).await.unwrap();
    }
    let gone = |id: &VersionId| {
        world
            .oci
            .secret(&ocid)
            .unwrap()
            .versions
            .iter()
            .any(|v| v.number.to_string() == id.0 && v.time_of_deletion.is_some())
    };
    assert!(gone(&one) && gone(&merged), "the version from before the edit goes too");
    assert_eq!(store.labels(soon()).await.unwrap().named.keys().collect::<Vec<_>>(), [&name(2), &name(3)]);
}
