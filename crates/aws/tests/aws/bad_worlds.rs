//! Secrets that are missing, binary, deleted, managed by RDS, full: a clear kind, a hint, nothing changed.

use dizzy_host::port::{Certainty, Kind, PortError, SecretStore as _};
use dizzy_sandbox::moto::{Fault, Mishap, Moto};
use serde_json::json;

use crate::world::{World, name, soon, staged, text};

#[tokio::test]
async fn a_secret_that_cannot_be_rotated_says_why() {
    let world = World::new();
    a_missing_secret(&world).await;
    a_binary_secret(&world).await;
    a_deleted_secret(&world).await;
    a_secret_of_rds(&world).await;
    a_value_that_does_not_fit(&world).await;
    a_secret_full_of_labels(&world).await;
    a_denied_call(&world).await;
}

fn refused(error: &PortError, kind: Kind, hint: &str) {
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, kind), "{error:?}");
    let given = error.hint.as_deref().unwrap_or_default();
    assert!(given.contains(hint), "{given}");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
}

async fn a_missing_secret(world: &World) {
    let store = world.store("nowhere");
    refused(&store.current(soon()).await.err().unwrap(), Kind::NotFound, "");
    refused(&store.labels(soon()).await.unwrap_err(), Kind::NotFound, "");
    let error = store.stage(&name(1), &text("canary"), soon()).await.unwrap_err();
    refused(&error, Kind::NotFound, "");
    assert_eq!(
        error.to_string(),
        "store a new version of aws-sm:nowhere: it does not exist (ResourceNotFoundException)"
    );
}

async fn a_binary_secret(world: &World) {
    let input = json!({"Name": "binary", "SecretBinary": "Y2FuYXJ5"});
    world.moto.call("secretsmanager", "CreateSecret", &input).unwrap();
    refused(&world.store("binary").current(soon()).await.err().unwrap(), Kind::Malformed, "binary");
}

async fn a_deleted_secret(world: &World) {
    let (store, base) = world.secret("deleted", "canary");
    let one = staged(&store, 1).await;
    world.moto.call("secretsmanager", "DeleteSecret", &json!({"SecretId": "deleted"})).unwrap();
    let restore = "aws secretsmanager restore-secret --secret-id deleted";
    refused(&store.labels(soon()).await.unwrap_err(), Kind::NotFound, restore);
    refused(&store.current(soon()).await.err().unwrap(), Kind::NotFound, restore);
    refused(&store.stage(&name(2), &text("canary"), soon()).await.unwrap_err(), Kind::NotFound, restore);
    refused(&store.promote(&base, &one, soon()).await.unwrap_err(), Kind::NotFound, restore);
}

async fn a_secret_of_rds(world: &World) {
    let (store, _) = world.secret("of-rds", "canary");
    store.labels(soon()).await.unwrap();
    world.moto.set_owning_service("of-rds", "rds").unwrap();
    refused(&store.labels(soon()).await.unwrap_err(), Kind::Managed, "managed by rds");
    // How AWS answers a write to it: a code with several meanings, told apart by the secret's description.
    let refusal = Mishap::Refuse(400, "InvalidRequestException");
    world.moto.inject(&Fault::next("PutSecretValue", refusal).on("of-rds")).unwrap();
    let error = store.stage(&name(1), &text("canary"), soon()).await.unwrap_err();
    refused(&error, Kind::Managed, "managed by rds");
    assert_eq!(world.moto.clear_faults().unwrap(), 0);
    assert_eq!(error.code.as_deref(), Some("InvalidRequestException"));
    assert_eq!(error.what, "store a new version of aws-sm:of-rds: another service manages it");
}

async fn a_value_that_does_not_fit(world: &World) {
    let (store, _) = world.secret("size", "value-0");
    world.moto.forget_calls().unwrap();
    for size in [0, 65_537] {
        let error = store.stage(&name(1), &text(&"x".repeat(size)), soon()).await.unwrap_err();
        refused(&error, Kind::Policy, "65536");
    }
    assert_eq!(world.moto.counts(Some("size")).unwrap(), json!({}), "refused before anything was sent");
    store.stage(&name(1), &text(&"x".repeat(65_536)), soon()).await.unwrap();
}

async fn a_secret_full_of_labels(world: &World) {
    let (store, _) = world.secret("full", "value-0");
    fill_with_labels(&world.moto, "full", 19);
    let error = store.stage(&name(1), &text("canary"), soon()).await.unwrap_err();
    refused(&error, Kind::Other, "labels");
    assert_eq!(error.code.as_deref(), Some("LimitExceededException"));
}

fn fill_with_labels(moto: &Moto, secret: &str, count: usize) {
    let labels: Vec<String> = (0..count).map(|n| format!("somebody-elses-{n}")).collect();
    let input =
        json!({"SecretId": secret, "SecretString": "x", "ClientRequestToken": "f".repeat(32), "VersionStages": labels});
    moto.call("secretsmanager", "PutSecretValue", &input).unwrap();
}

async fn a_denied_call(world: &World) {
    let (store, base) = world.secret("denied", "value-0");
    let refusal = Mishap::Refuse(400, "AccessDeniedException");
    world.moto.inject(&Fault::next("GetSecretValue", refusal).on("denied")).unwrap();
    let error = store.current(soon()).await.err().unwrap();
    refused(&error, Kind::Denied, "allow secretsmanager:GetSecretValue on aws-sm:denied");
    assert_eq!(store.current(soon()).await.unwrap().id, base);
}
