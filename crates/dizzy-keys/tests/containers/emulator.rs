//! The image under an emulator of Lambda that this project had no part in.

use dizzy_sandbox::{CargoLambda, SET};
use serde_json::{Value, json};

use crate::{boxes::Boxes, world::rotate};

#[test]
fn the_emulator_of_cargo_lambda_rotates_and_hears_refusals() {
    let boxes = Boxes::new();
    let emulator = CargoLambda::start().unwrap();
    let container = boxes.lambda_plan(emulator.env()).start().unwrap();

    let output = emulator.invoke(&rotate().to_string()).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{:?}", container.said());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&document["sets"][0]["set"], &document["sets"][0]["outcome"], &document["sets"][0]["generation"]),
        (&json!(SET), &json!("rotated"), &json!(2)),
        "{document}"
    );
    boxes.world.assert_at_rest("rotated under the emulator");

    let before = boxes.world.snapshot();
    let output = emulator.invoke(r#"{"action":"rotate","sets":["no-such-set"]}"#).unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("DK-104") && said.contains("no-such-set"), "{said}");
    assert_eq!(boxes.world.snapshot(), before);

    // A failed call does not end the function.
    let output = emulator.invoke(&rotate().to_string()).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    boxes.world.assert_at_rest("rotated again under the emulator");
    let log = container.killed().unwrap();
    assert!(!log.err.contains("canary") && !log.err.contains("panicked"), "{}", log.err);
}
