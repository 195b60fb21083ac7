//! The suite that `make live` runs in a real account, run here against moto: all that is missing then is the account.

use std::sync::Arc;

use dizzy_sandbox::moto::Moto;
use serde_json::json;

use crate::{
    example::{Cli, conformance, verdict},
    world::settings,
};

/// What the AWS command line does, without its second of starting.
fn cli(moto: &Arc<Moto>) -> Cli {
    let moto = Arc::clone(moto);
    Arc::new(move |args| {
        let done = match *args {
            [_, "create-secret", "--name", name, "--secret-string", text] => {
                moto.create_secret(name, text).map(|id| json!(id))
            }
            [_, "get-secret-value", "--secret-id", name, ..] => moto.current_text(name).map(|text| json!(text)),
            [_, "delete-secret", "--secret-id", name, "--force-delete-without-recovery"] => {
                let input = json!({"SecretId": name, "ForceDeleteWithoutRecovery": true});
                moto.call("secretsmanager", "DeleteSecret", &input)
            }
            _ => panic!("aws {args:?}"),
        };
        done.map_err(|error| error.to_string())
    })
}

#[tokio::test]
async fn the_suite_for_a_real_account_holds_and_leaves_nothing_behind() {
    let moto = Arc::new(Moto::start().unwrap());
    let report = conformance(settings(&moto.endpoint()), cli(&moto), "live").await.unwrap();
    verdict(&report).unwrap();
    let left = moto.call("secretsmanager", "ListSecrets", &json!({})).unwrap();
    assert_eq!(left["SecretList"], json!([]));
    // A secret that cannot be made is an error, and no good news.
    let refused: Cli = Arc::new(|_| Err("no rights".to_owned()));
    let told = conformance(settings(&moto.endpoint()), refused, "live").await.unwrap_err();
    assert_eq!(told, "make a secret: no rights");
}
