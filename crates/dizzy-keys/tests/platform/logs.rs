//! One flat JSON object per line; set and rotation on every line that belongs to them; the trace from the caller to the receiver.

use std::process::Command;

use dizzy_sandbox::{
    Certificates, Installation, PostgresOptions, Receiver, SET, ServerCertificate, Users,
    moto::{Fault, Mishap},
};
use serde_json::{Map, Value, json};

use crate::common::{Told, binary};

const TRACE_ID: &str = "5759e988bd862e3fe1be46a994272793";
const TRACE: &str = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";

/// Every line of a log, which must be one flat object with the time in UTC.
fn lines(told: &Told) -> Vec<Map<String, Value>> {
    let line = |text: &str| {
        let Ok(Value::Object(line)) = serde_json::from_str::<Value>(text) else { panic!("no JSON object: {text}") };
        assert!(line.values().all(|value| !value.is_object() && !value.is_array()), "not flat: {text}");
        let moment = line["timestamp"].as_str().unwrap();
        assert!(moment.ends_with('Z') && moment.parse::<jiff::Timestamp>().is_ok(), "{text}");
        assert!(line["level"].is_string() && line["message"].is_string(), "{text}");
        line
    };
    told.err.lines().map(line).collect()
}

/// The rotation that the lines belong to: each carries set and trace, and from the first that names a rotation on, all name one.
fn rotation(told: &Told) -> String {
    let lines = lines(told);
    assert!(lines.len() > 5, "{}", told.err);
    for line in &lines {
        assert_eq!((&line["set"], &line["trace_id"]), (&json!(SET), &json!(TRACE_ID)), "{line:?}");
    }
    let first = lines.iter().position(|line| line.contains_key("rotation")).unwrap();
    let names: Vec<&str> = lines[first..].iter().map(|line| line["rotation"].as_str().unwrap()).collect();
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
    // Before that there is the look at what is published, and nothing that changes anything.
    for line in &lines[..first] {
        assert_ne!(line.get("step"), Some(&json!("stage the next generation")), "{line:?}");
    }
    names[0].to_owned()
}

#[test]
fn every_line_of_a_rotation_is_flat_json_with_set_rotation_and_trace() {
    let at = Installation::start(binary(), &[("rds", Users::Alternating)], 1, &PostgresOptions::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::create(folder.path()).unwrap();
    let receiver = Receiver::start(&certificates, ServerCertificate::Good, &["204", "403"]).unwrap();
    let text = std::fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
    let ca = certificates.ca_file().display().to_string();
    let notify = format!(
        "\n[[notify.receivers]]\nwebhook = \"env:HOOK\"\ntls_ca = \"file:{ca}\"\non = [\"failed\", \"promoted\"]\n"
    );
    at.write("dizzy-keys.toml", &(text + &notify)).unwrap();
    at.prepare().unwrap();
    let run = |verbose: &str, args: &[&str]| {
        let mut command: Command = at.command(&[&[verbose, "--log-format", "json"], args].concat());
        Told::of(&command.env("HOOK", receiver.url()).env("TRACEPARENT", TRACE).output().unwrap())
    };
    let name_of = |register: &Value, generation: &Value| {
        let id = &register["register"].as_str().unwrap()[..10];
        format!("dizzy-g{:010}-{id}", generation.as_u64().unwrap())
    };

    let told = run("-vv", &["rotate", SET]).expect(0);
    let register = at.register().unwrap();
    assert_eq!(rotation(&told), name_of(&register, &register["current"]));
    let notice = &receiver.requests(1)[0];
    assert_eq!(notice["headers"]["traceparent"], TRACE, "{notice}");
    assert!(told.out.contains("orders"), "the result is for people: {}", told.out);

    // One that is undone: the error and the notice that nobody took are lines of the rotation too.
    at.moto.inject(&Fault::next("PutSecretValue", Mishap::Refuse(400, "AccessDeniedException"))).unwrap();
    let told = run("-v", &["rotate", SET]).expect(1);
    let undone = rotation(&told);
    assert_eq!(undone, name_of(&register, &json!(register["current"].as_u64().unwrap() + 1)));
    let all = lines(&told);
    let find =
        |message: &str| all.iter().find(|line| line["message"] == message).unwrap_or_else(|| panic!("{}", told.err));
    let error = find("an error");
    assert_eq!((&error["code"], &error["exit"], &error["level"]), (&json!("DK-501"), &json!(1), &json!("ERROR")));
    assert!(["what", "state", "hint"].iter().all(|part| error[*part].is_string()), "{error:?}");
    assert_eq!(find("a notice was not delivered")["rotation"], json!(undone));

    // One that a dead worker left: its name is known as soon as the register was read.
    let mut killed = at.command(&["rotate", SET]);
    assert_eq!(Told::of(&killed.env("DIZZY_KEYS_KILL_AT", "12").output().unwrap()).signal, Some(9));
    let register = at.register().unwrap();
    let left = name_of(&register, &register["next"]);
    assert_eq!(rotation(&run("-v", &["recover", SET]).expect(0)), left);

    // Errors that belong to no set, and arguments that cannot be understood, are lines as well.
    for args in [&["rotate", "nobody"][..], &["rotate", "--nothing"]] {
        let told = run("-v", args).expect(2);
        let all = lines(&told);
        assert!(all.iter().any(|line| line["message"] == "an error" && line["code"].is_string()), "{}", told.err);
    }
}
