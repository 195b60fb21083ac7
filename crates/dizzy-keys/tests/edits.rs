//! A person edits a secret while a rotation is decided and not yet published: the next run keeps the edit and publishes the new
//! credentials, with the real program, servers and command line of AWS.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests panic as tests do")]

mod common;

use common::{assert_at_rest, binary, credential, dead, killed_at_call, labelled, published, run};
use dizzy_sandbox::{Installation, PostgresOptions, SET, Users, moto::Mishap};
use serde_json::Value;

/// No rotation moves more labels.
const MOST_MOVES: u32 = 40;

/// Kills rotations at one label after the other, until one dies between the decision and the promotion of every secret.
fn decided(at: &Installation) {
    for passed in 0..MOST_MOVES {
        assert!(killed_at_call(at, &["rotate", SET], "UpdateSecretVersionStage", Mishap::Hang, passed), "{passed}");
        if at.register().unwrap()["phase"] == "commit" {
            return;
        }
        run(at, &["recover", SET]);
        assert_at_rest(at, "between two kills");
    }
    panic!("no rotation died after its decision");
}

fn put(at: &Installation, secret: &str, document: &Value) {
    let text = document.to_string();
    at.moto.aws(&["secretsmanager", "put-secret-value", "--secret-id", secret, "--secret-string", &text]).unwrap();
}

#[test]
fn an_edit_after_the_decision_is_kept_and_the_new_credentials_are_published() {
    let databases = [("rds", Users::Alternating), ("billing", Users::Single)];
    let at = Installation::start(binary(), &databases, 2, &PostgresOptions::default()).unwrap();
    at.prepare().unwrap();
    run(&at, &["rotate", SET]).expect(0);
    decided(&at);
    for secret in &at.secrets {
        let mut document: Value = labelled(&at, secret, "AWSCURRENT").unwrap();
        document["by-hand"] = "kept".into();
        put(&at, secret, &document);
    }
    assert_ne!(
        dead(&at, &published(&at)),
        Vec::<String>::new(),
        "the edit publishes the dead password of the single user"
    );
    run(&at, &["recover", SET]).expect(0);
    assert_at_rest(&at, "with the edit");
    for (secret, document) in published(&at) {
        assert_eq!(document["by-hand"], "kept", "{secret}");
    }
    let shown = run(&at, &["audit", "show", SET]).expect(0);
    assert!(shown.out.contains("edit.merged"), "{}", shown.out);
    run(&at, &["rotate", SET]).expect(0);
    assert_at_rest(&at, "the next rotation");
    assert_eq!(published(&at).values().next().unwrap()["by-hand"], "kept");
}

#[test]
fn credentials_put_there_by_hand_are_named_and_left_alone() {
    let at = Installation::start(binary(), &[("rds", Users::Alternating)], 1, &PostgresOptions::default()).unwrap();
    at.prepare().unwrap();
    run(&at, &["rotate", SET]).expect(0);
    decided(&at);
    let secret = &at.secrets[0];
    let decided = labelled(&at, secret, "AWSCURRENT").unwrap();
    let (user, _) = credential(&decided, &at.members[0]);
    let text = decided.to_string().replace(&format!("\"{user}\""), "\"somebody_else\"");
    let by_hand: Value = serde_json::from_str(&text).unwrap();
    put(&at, secret, &by_hand);
    let told = run(&at, &["recover", SET]).expect(6);
    assert!(told.err.contains("which dizzy-keys did not make"), "{}", told.err);
    assert_eq!(labelled(&at, secret, "AWSCURRENT").unwrap(), by_hand, "not overwritten");
    put(&at, secret, &decided);
    run(&at, &["recover", SET]).expect(0);
    assert_at_rest(&at, "put back by hand");
}
