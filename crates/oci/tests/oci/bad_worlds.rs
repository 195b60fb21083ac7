//! Secrets that are missing, hidden, on their way out, full, or somebody else's: a clear kind, a hint, nothing changed.

use dizzy_engine::Generation;
use dizzy_host::port::{Certainty, Kind, PortError, SecretStore as _, VersionName};
use dizzy_oci::OciVaultStore;
use dizzy_sandbox_oci::{Fault, Mishap, Operation, Permission, Rights, SecretOptions};

use crate::world::{World, name, soon, staged, text, version};

fn refused(error: &PortError, kind: Kind, hint: &str) {
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, kind), "{error:?}");
    let given = error.hint.as_deref().unwrap_or_default();
    assert!(given.contains(hint), "{given}");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
}

#[tokio::test]
async fn a_missing_secret_and_a_missing_right_are_told_apart_where_that_can_be() {
    let world = World::new();
    let store = world.store("ocid1.vaultsecret.oc1.iad.nowhere");
    refused(&store.current(soon()).await.err().unwrap(), Kind::NotFound, "read secret-bundles");
    refused(&store.labels(soon()).await.unwrap_err(), Kind::NotFound, "read secrets and secret-versions");
    let error = store.stage(&name(1), &text("canary"), soon()).await.unwrap_err();
    refused(&error, Kind::NotFound, "use secrets");
    let shown = error.to_string();
    let start = "store a new version of oci-vault:ocid1.vaultsecret.oc1.iad.nowhere: it does not exist \
                 (NotAuthorizedOrNotFound, opc-request-id ";
    assert!(shown.starts_with(start), "{shown}");

    let (store, ocid) = world.secret("hidden", "canary");
    let one = staged(&store, 1).await;
    world.oci.set_rights("rotator", &Rights::all().without(Permission::SecretBundleRead)).unwrap();
    // It is there: to call it missing would make the engine believe that a generation is lost.
    refused(&store.current(soon()).await.err().unwrap(), Kind::Denied, "read secret-bundles");
    refused(&world.store(&ocid).read(&one, soon()).await.err().unwrap(), Kind::Denied, "read secret-bundles");
    refused(&world.store(&ocid).read(&version(9), soon()).await.err().unwrap(), Kind::NotFound, "");

    // Nor may it be called missing while the service that could tell does not answer.
    for operation in [Operation::GetSecret, Operation::GetSecretVersion] {
        let fault = world.oci.inject(Fault::next(operation, Mishap::Refuse(503, "ServiceUnavailable")).always());
        refused(&world.store(&ocid).read(&one, soon()).await.err().unwrap(), Kind::Busy, "");
        assert_eq!(fault.fired(), 3, "{operation:?}");
        world.oci.clear_faults();
    }

    world.oci.set_rights("rotator", &Rights::all().without(Permission::SecretUpdate)).unwrap();
    refused(&store.promote(&version(1), &one, soon()).await.unwrap_err(), Kind::NotFound, "use secrets");
    world.oci.set_rights("rotator", &Rights::all().without(Permission::SecretVersionDelete)).unwrap();
    staged(&store, 2).await;
    refused(&store.prune(&name(1), &one, soon()).await.unwrap_err(), Kind::NotFound, "manage secret-versions");
    world.oci.set_rights("rotator", &Rights::none()).unwrap();
    refused(&store.current(soon()).await.err().unwrap(), Kind::NotFound, "alike");
    assert_eq!(world.stages(&ocid), "1=CURRENT 2=DEPRECATED 3=PENDING");
}

#[tokio::test]
async fn a_secret_on_its_way_out_says_how_to_keep_it() {
    let world = World::new();
    let (store, ocid) = world.secret("leaving", "canary");
    let one = staged(&store, 1).await;
    for state in ["PENDING_DELETION", "SCHEDULING_DELETION", "DELETED"] {
        world.oci.set_lifecycle_state(&ocid, state).unwrap();
        let keep = format!("oci vault secret cancel-secret-deletion --secret-id {ocid}");
        refused(&store.labels(soon()).await.unwrap_err(), Kind::NotFound, &keep);
        refused(&store.current(soon()).await.err().unwrap(), Kind::NotFound, &keep);
        refused(&store.room(soon()).await.unwrap_err(), Kind::NotFound, &keep);
        refused(&store.stage(&name(2), &text("canary"), soon()).await.unwrap_err(), Kind::NotFound, &keep);
        refused(&store.promote(&version(1), &one, soon()).await.unwrap_err(), Kind::NotFound, &keep);
    }
    world.oci.set_lifecycle_state(&ocid, "FAILED").unwrap();
    refused(&store.labels(soon()).await.unwrap_err(), Kind::Other, "neither active");
    assert_eq!(world.stages(&ocid), "1=CURRENT 2=PENDING");
}

#[tokio::test]
async fn a_replica_and_a_secret_that_vault_itself_rotates_can_be_read_and_nothing_else() {
    let world = World::new();
    for (options, kind, hint) in [
        (SecretOptions::new("replica", "value-0").replica(), Kind::ReadOnly, "another region"),
        (SecretOptions::new("rotated", "value-0").rotated_by_vault("ocid1.x"), Kind::Managed, "a schedule of its own"),
    ] {
        let store = world.store(&world.oci.create_secret(&options).unwrap());
        assert_eq!(store.current(soon()).await.unwrap().value, text("value-0"));
        for error in [
            store.labels(soon()).await.unwrap_err(),
            store.room(soon()).await.unwrap_err(),
            store.stage(&name(1), &text("canary"), soon()).await.unwrap_err(),
            store.promote(&version(1), &version(2), soon()).await.unwrap_err(),
        ] {
            refused(&error, kind, hint);
        }
    }
}

#[tokio::test]
async fn a_deleted_version_is_not_read_and_not_staged_anew() {
    let world = World::new();
    let (store, ocid) = world.secret("deleted-version", "value-0");
    let one = staged(&store, 1).await;
    staged(&store, 2).await;
    store.prune(&name(1), &one, soon()).await.unwrap();
    refused(&world.store(&ocid).read(&one, soon()).await.err().unwrap(), Kind::NotFound, "cancel-deletion");
    let error = store.stage(&name(1), &text("value-1"), soon()).await.unwrap_err();
    refused(&error, Kind::Exists, "cancel-deletion");
}

#[tokio::test]
async fn a_pending_version_of_somebody_else_is_not_overwritten() {
    let world = World::new();
    let release = "--secret-content-name dizzy-released-1";

    let (store, ocid) = world.secret("other-register", "value-0");
    let foreign = VersionName::new(Generation(1), "fedcba9876543210");
    store.stage(&foreign, &text("canary"), soon()).await.unwrap();
    refused(&store.stage(&name(1), &text("canary"), soon()).await.unwrap_err(), Kind::ForeignRegister, release);
    assert_eq!(world.stages(&ocid), "1=CURRENT 2=PENDING");
    // Which register is ours, the question for room does not say.
    store.room(soon()).await.unwrap();

    let (store, ocid) = world.secret("nobodys", "value-0");
    let strange = VersionName { generation: Generation(1), register: "somebody".to_owned() };
    // It is made; under a name that this store does not recognise as one of ours.
    assert_eq!(store.stage(&strange, &text("canary"), soon()).await.unwrap_err().certainty, Certainty::Unknown);
    assert_eq!(store.labels(soon()).await.unwrap().pending, Some(version(2)), "told, whoever made it");
    for error in
        [store.stage(&name(1), &text("canary"), soon()).await.unwrap_err(), store.room(soon()).await.unwrap_err()]
    {
        refused(&error, Kind::Conflict, release);
        assert!(error.what.contains("version 2 is PENDING and not ours"), "{}", error.what);
    }
    assert_eq!(world.stages(&ocid), "1=CURRENT 2=PENDING");

    // One of ours that an abort left is no obstacle.
    let (store, ocid) = world.secret("left", "value-0");
    staged(&store, 1).await;
    staged(&store, 2).await;
    assert_eq!(world.stages(&ocid), "1=CURRENT 2=DEPRECATED 3=PENDING");
}

#[tokio::test]
async fn a_full_secret_is_noticed_before_anything_is_begun() {
    let world = World::new();
    let (store, ocid) = world.secret("full", "value-0");
    for generation in 1..=27 {
        staged(&store, generation).await;
    }
    // 28 versions: room for two more, which is not enough to begin a rotation.
    let error = store.room(soon()).await.unwrap_err();
    refused(&error, Kind::Other, "26 are DEPRECATED");
    assert!(error.to_string().contains("28 of at most 30 versions (LimitExceeded)"), "{error}");
    staged(&store, 28).await;
    staged(&store, 29).await;
    let updates = world.count(Operation::UpdateSecret);
    refused(&store.stage(&name(30), &text("canary"), soon()).await.unwrap_err(), Kind::Other, "schedule-deletion");
    assert_eq!(world.count(Operation::UpdateSecret), updates, "not even asked for");

    // What waits for its deletion does not count; 30 may wait.
    for generation in 1..=3 {
        store.prune(&name(generation), &version(generation + 1), soon()).await.unwrap();
    }
    store.room(soon()).await.unwrap();
    assert_eq!(world.oci.secret(&ocid).unwrap().versions.len(), 30);
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_refused_before_it_is_sent() {
    let world = World::new();
    let (store, _) = world.secret("size", "value-0");
    world.oci.forget_log();
    for size in [0, 25 * 1024 + 1] {
        let error = store.stage(&name(1), &text(&"x".repeat(size)), soon()).await.unwrap_err();
        refused(&error, Kind::Policy, "25600");
    }
    assert_eq!(world.oci.log().len(), 0);
    store.stage(&name(1), &text(&"x".repeat(25_000)), soon()).await.unwrap();
}

#[tokio::test]
async fn a_binary_value_is_not_mistaken_for_text() {
    let world = World::new();
    let ocid = world.oci.create_secret(&SecretOptions::new("binary", vec![0xff, 0xfe, 0x00])).unwrap();
    refused(&world.store(&ocid).current(soon()).await.err().unwrap(), Kind::Malformed, "binary");
}

#[tokio::test]
async fn a_rule_against_old_values_does_not_hinder_going_back() {
    let world = World::new();
    let ocid = world.oci.create_secret(&SecretOptions::new("reuse", "value-0").forbid_reuse(true)).unwrap();
    let store = world.store(&ocid);
    let error = store.stage(&name(1), &text("value-0"), soon()).await.unwrap_err();
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Other));
    let one = staged(&store, 1).await;
    store.promote(&version(1), &one, soon()).await.unwrap();
    store.promote(&one, &version(1), soon()).await.unwrap();
    assert_eq!(world.stages(&ocid), "1=CURRENT 2=PREVIOUS");
}

#[tokio::test]
async fn whatever_code_a_taken_name_gets_the_first_writer_wins() {
    for (status, code) in [(409, "NotAuthorizedOrResourceAlreadyExists"), (409, "Conflict"), (400, "InvalidParameter")]
    {
        let world = World::new();
        let (store, ocid) = world.secret("taken", "value-0");
        // Our look is answered, then the name is taken; the etag does not tell, as if it had not changed.
        store.labels(soon()).await.unwrap();
        world.store(&ocid).stage(&name(1), &text("theirs"), soon()).await.unwrap();
        let fault = world.oci.inject(Fault::next(Operation::UpdateSecret, Mishap::Refuse(status, code)));
        let error = store.stage(&name(1), &text("mine"), soon()).await.unwrap_err();
        assert_eq!((error.certainty, error.kind, fault.fired()), (Certainty::Refused, Kind::Exists, 1), "{code}");
    }
}

#[tokio::test]
async fn an_ocid_that_would_lead_elsewhere_does_not() {
    let world = World::new();
    for ocid in ["../secretbundles/x", "a/b", "x?stage=PENDING", "", ".."] {
        let store = OciVaultStore::new(world.clients.clone(), ocid);
        assert_eq!(store.current(soon()).await.err().unwrap().certainty, Certainty::Refused, "{ocid}");
        assert!(store.stage(&name(1), &text("canary"), soon()).await.is_err(), "{ocid}");
    }
    assert_eq!(world.count(Operation::UpdateSecret), 0);
}
