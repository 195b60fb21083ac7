//! One image rotates one set as a Lambda function, as an OCI function and as a command.

use serde_json::json;

use crate::{boxes::Boxes, world::rotate};

#[test]
fn one_image_rotates_one_set_in_three_places() {
    let boxes = Boxes::new();
    let (image, world) = (boxes.image.id(), &boxes.world);
    println!("image {image}");

    let lambda = boxes.lambda();
    assert_eq!(lambda.must(&rotate())["sets"][0]["generation"], 2);
    assert_eq!(lambda.container.inspect("{{.Image}}").unwrap(), image);
    world.assert_at_rest("rotated in Lambda");
    let first = world.at.published().unwrap();

    let mut functions = boxes.functions();
    assert_eq!(functions.must(&rotate())["sets"][0]["generation"], 3);
    assert_eq!(functions.container.inspect("{{.Image}}").unwrap(), image);
    world.assert_at_rest("rotated in Functions");
    let second = world.at.published().unwrap();
    assert_ne!(first, second);

    let ended = boxes.command(&["rotate", dizzy_sandbox::SET]);
    assert_eq!(ended.exit, 0, "{}{}", ended.out, ended.err);
    world.assert_at_rest("rotated by a command");
    assert_ne!(second, world.at.published().unwrap());
    assert_eq!(world.current(), 4);

    // Every record since the preparation, which a program of this machine did, tells the image.
    let records = boxes.records();
    let of = |generation: u64| records.iter().filter(move |record| record["gen"] == generation);
    for (generation, place) in [(2, "Lambda"), (3, "Functions"), (4, "a command")] {
        assert!(of(generation).count() > 5, "{place}: {records:?}");
        assert!(of(generation).all(|record| record["image"] == json!(image)), "{place}: {records:?}");
    }
    let verified = world.at.run(&["--output", "json", "audit", "verify"]).unwrap();
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stdout));

    // Nothing was short of memory, nothing was said that must not be, and the platform's protocol was kept.
    assert_eq!(lambda.api.breaches(), Vec::<String>::new());
    let mut said = ended.out + &ended.err;
    for (place, container) in [("Lambda", lambda.container), ("Functions", functions.container)] {
        assert_eq!(container.inspect("{{.State.OOMKilled}} {{.RestartCount}}").unwrap(), "false 0", "{place}");
        println!("{place}: peak memory {} KiB", container.peak_kib().unwrap());
        let told = container.killed().unwrap();
        said += &(told.out + &told.err);
    }
    let [aws, vault] = world.at.published().unwrap();
    for published in [&first[0], &second[0], &aws, &vault] {
        for database in ["rds", "adb"] {
            let (_, password) = published.credential(database).unwrap();
            assert!(!said.contains(&password), "a password in a log");
        }
    }
    assert!(!said.contains("canary") && !said.contains("PRIVATE KEY"), "{said}");
}
