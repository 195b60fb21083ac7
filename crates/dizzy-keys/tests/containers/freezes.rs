//! Between two calls a platform freezes the container. What was good before may be good no more after: identities, connections, the
//! configuration.

use dizzy_sandbox::platform::Quirk;
use serde_json::json;

use crate::{boxes::Boxes, world::rotate};

#[test]
fn functions_thaws_with_another_identity() {
    let boxes = Boxes::new();
    let first = boxes.session("before");
    let mut functions = boxes.functions_with(&first);
    for (number, name) in (2..).zip(["after-1", "after-2"]) {
        assert_eq!(functions.must(&rotate())["sets"][0]["generation"], number);
        functions.container.pause().unwrap();
        // While it is frozen its token stops counting, and the platform writes the next one.
        let gone = if name == "after-1" { "before" } else { "after-1" };
        boxes.world.at.oci.forget_principal(gone);
        boxes.session(name);
        boxes.world.at.oci.forget_log();
        functions.container.unpause().unwrap();
    }
    assert_eq!(functions.must(&rotate())["sets"][0]["generation"], 4);
    boxes.world.assert_at_rest("after two freezes");
    let of_function =
        |name: &str| boxes.world.at.oci.log().iter().filter(|c| c.principal.as_deref() == Some(name)).count();
    assert!(of_function("after-2") > 5);
    assert_eq!((of_function("after-1"), of_function("before")), (0, 0), "nothing was asked with an old identity");
    assert!(functions.container.is_running().unwrap());
}

#[test]
fn functions_thaws_with_an_identity_that_has_ended_and_says_so() {
    let boxes = Boxes::new();
    let session = boxes.session("alone");
    let mut functions = boxes.functions_with(&session);
    functions.must(&rotate());
    functions.container.pause().unwrap();
    boxes.world.at.oci.forget_principal("alone");
    let before = boxes.world.snapshot();
    functions.container.unpause().unwrap();
    let answer = functions.agent.call(&[], rotate().to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 502, "{}", answer.body);
    assert_eq!(boxes.world.snapshot(), before);
    // The platform is late, and the same container goes on.
    boxes.session("late");
    functions.must(&rotate());
    boxes.world.assert_at_rest("after a late identity");
}

#[test]
fn lambda_thaws_with_another_key_another_configuration_and_a_dead_connection() {
    let boxes = Boxes::new();
    let lambda = boxes.lambda();
    assert_eq!(lambda.must(&rotate())["sets"][0]["generation"], 2);
    assert!(lambda.api.wait_until_ready());
    lambda.container.pause().unwrap();
    lambda.api.quirk(Quirk::CloseWaiting);
    let (moto, oci) = (&boxes.world.at.moto, &boxes.world.at.oci);
    oci.forget_principal("lambda-1");
    let next = json!({"SecretId": "ops/oci-key", "SecretString": boxes.key_to_oci("lambda-2")});
    moto.call("secretsmanager", "PutSecretValue", &next).unwrap();
    oci.forget_log();
    lambda.container.unpause().unwrap();
    assert_eq!(lambda.must(&rotate())["sets"][0]["generation"], 3);
    boxes.world.assert_at_rest("after a freeze");
    let log = oci.log();
    assert!(log.iter().any(|call| call.principal.as_deref() == Some("lambda-2")));
    assert!(log.iter().all(|call| call.principal.as_deref() != Some("lambda-1") && call.status != Some(401)));

    // The configuration is read at each call too.
    assert!(lambda.api.wait_until_ready());
    lambda.container.pause().unwrap();
    boxes.configure_lambda("x = 1\n");
    lambda.container.unpause().unwrap();
    let answered = lambda.call(&rotate());
    let dizzy_sandbox::platform::Answered::Error { body, .. } = answered else { panic!("{answered:?}") };
    assert_eq!(body["errorType"], "DK-104", "{body}");
    assert_eq!(lambda.api.breaches(), Vec::<String>::new());
}
