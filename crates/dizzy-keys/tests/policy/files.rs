//! `policy` from files alone: what it prints for the deployed example, what `--explain` and `--check` say, and what is refused.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::common::{Told, binary, error};

const AWS: [&str; 6] = ["policy", "aws", "--region", "us-west-2", "--account", "111122223333"];
const KEY: &str = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/terraform/examples/two-clouds")
}

/// Runs the program without any environment: no cloud could be reached even if it tried.
fn run(config: &Path, args: &[&str]) -> Told {
    let mut command = Command::new(binary());
    command.env_clear().arg("--config").arg(config).args(args);
    Told::of(&command.output().unwrap())
}

fn of_example(args: &[&str]) -> String {
    run(&example().join("dizzy-keys.toml"), args).expect(0).out
}

/// A file beside the example; rewritten with INSTA_UPDATE=always. `make check-deploy` compares the modules with it.
#[expect(clippy::disallowed_methods, reason = "a test reads its own switch and writes its own file")]
fn is_in_the_example(name: &str, text: &str) {
    let path = example().join(name);
    if std::env::var("INSTA_UPDATE").is_ok_and(|mode| mode == "always") {
        std::fs::write(&path, text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(known, text, "regenerate {name} with INSTA_UPDATE=always");
}

#[test]
fn the_example_has_what_policy_prints_for_it() {
    let (s3, ssm) = (format!("s3={KEY}"), format!("ssm={KEY}"));
    let own_key = ["--kms-key", &s3, "--kms-key", &ssm, "--config-location", "aws-ssm:/dizzy-keys/config"];
    let aws = of_example(&[&AWS[..], &own_key].concat());
    is_in_the_example("policy-aws.json", &aws);
    let more = format!("secretsmanager={KEY}");
    let every_key = of_example(&[&AWS[..], &own_key, &["--kms-key", &more]].concat());
    is_in_the_example("policy-aws-keys.json", &every_key);
    let oci = ["policy", "oci", "--dynamic-group", "dizzy-keys-function", "--function", "ocid1.fnfunc.oc1..example"];
    let place = ["--compartment", "ocid1.compartment.oc1..example", "--vault-key", "ocid1.key.oc1..example"];
    let location = ["--config-location", "oci://mytenancy/dizzy-keys-config/dizzy-keys.toml"];
    is_in_the_example("policy-oci.txt", &of_example(&[&oci[..], &place, &location].concat()));
}

#[test]
fn the_whole_partition_is_said_where_it_stands_for_something() {
    let told = run(&example().join("dizzy-keys.toml"), &["policy", "aws"]).expect(0);
    assert!(told.out.contains("arn:aws:secretsmanager:*:*:secret:prod/orders-??????"), "{}", told.out);
    for word in ["--region", "--account", "--kms-key", "-??????"] {
        assert!(told.err.contains(word), "{word}: {}", told.err);
    }
    let named = run(&example().join("dizzy-keys.toml"), &AWS).expect(0);
    assert!(!named.err.contains("--region") && !named.out.contains(":*:"), "{}{}", named.out, named.err);
    let json: Value = serde_json::from_str(&of_example(&[&AWS[..], &["--output", "json"]].concat())).unwrap();
    assert_eq!(json["policy"], serde_json::from_str::<Value>(&named.out).unwrap());
    assert_eq!((json["kind"].as_str(), json["for"].as_str()), (Some("policy"), Some("worker")));
    assert!(json["lines"].as_array().unwrap().iter().all(|line| line["tested"] == true), "{json}");
}

#[test]
fn the_matching_rule_is_for_what_runs_the_program() {
    let rule = |config: &Path, args: &[&str]| {
        let told = run(config, &[&["policy", "oci"][..], args].concat()).expect(0);
        let line = told.out.lines().find(|line| line.starts_with("# matching rule")).unwrap().to_owned();
        (line.split_once(": ").unwrap().1.to_owned(), told.err)
    };
    let function = example().join("dizzy-keys.toml");
    for (args, expected) in [
        (["--function", "ocid1.fnfunc.oc1..x"], "ALL {resource.type = 'fnfunc', resource.id = 'ocid1.fnfunc.oc1..x'}"),
        (["--instance", "ocid1.instance.oc1..x"], "ALL {instance.id = 'ocid1.instance.oc1..x'}"),
        (
            ["--instance-compartment", "ocid1.compartment.oc1..x"],
            "ALL {instance.compartment.id = 'ocid1.compartment.oc1..x'}",
        ),
    ] {
        let (found, notes) = rule(&function, &args);
        assert_eq!(found, expected);
        assert!(!notes.contains("stands for"), "{notes}");
    }
    assert!(rule(&function, &[]).1.contains("--function"));

    let folder = tempfile::tempdir().unwrap();
    let instance = folder.path().join("dizzy-keys.toml");
    let text = std::fs::read_to_string(&function).unwrap();
    assert!(text.contains("[oci]\n"));
    let text = text.replace("[oci]\n", "[oci]\nauth = \"instance_principal\"\n");
    std::io::Write::write_all(&mut std::fs::File::create(&instance).unwrap(), text.as_bytes()).unwrap();
    let (found, notes) = rule(&instance, &[]);
    assert_eq!(found, "ALL {instance.id = 'OCID-OF-THE-INSTANCE'}");
    assert!(notes.contains("--instance-compartment"), "{notes}");
    run(&instance, &["policy", "oci", "--instance", "a", "--function", "b"]).expect(2);
}

#[test]
fn every_line_says_its_call_and_what_asks_for_it() {
    let told = of_example(&["policy", "aws", "--explain", "--kms-key", KEY, "--for", "operator"]);
    for words in [
        ["secretsmanager:PutSecretValue", "prod/orders-??????", "PutSecretValue", "sets.orders.secrets[0].store"],
        ["secretsmanager:GetSecretValue", "ops/oci-key-??????", "GetSecretValue", "oci.key"],
        ["ssm:GetParameter", "parameter/dizzy-keys/audit-key", "GetParameter", "audit.key"],
        ["s3:PutObject (new objects)", "audit/*", "PutObject", "audit.sinks[0]"],
        ["sns:Publish", "111122223333:ops", "Publish", "notify.receivers[0].topic"],
        ["kms:GenerateDataKey", KEY, "s3 on the caller's behalf", "journal.url"],
    ] {
        let found = told.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(found, "{words:?}\n{told}");
    }
    assert!(told.contains("known from documentation only"), "{told}");
    let oci = of_example(&["policy", "oci", "--explain"]);
    for words in [
        ["SECRET_VERSION_DELETE", "ocid1.vaultsecret.oc1..ordersexample", "ScheduleSecretVersionDeletion"],
        ["OBJECT_READ", "wallets/orders.zip", "sets.orders.databases.adb.wallet"],
    ] {
        assert!(oci.lines().any(|line| words.iter().all(|word| line.contains(word))), "{words:?}\n{oci}");
    }
    assert!(!oci.contains("known from documentation only"), "{oci}");
}

/// Compares a policy of AWS with what the example needs.
fn checked(policy: &Value) -> (Told, Value) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("given.json");
    write(&file, &policy.to_string());
    let args = [&AWS[..], &["--output", "json", "--check", file.to_str().unwrap()]].concat();
    let told = run(&example().join("dizzy-keys.toml"), &args);
    let found = serde_json::from_str(&told.out).unwrap_or_default();
    (told, found)
}

#[expect(clippy::disallowed_methods, reason = "a test writes its own file")]
fn write(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
}

fn has(list: &Value, words: &[&str]) -> bool {
    list.as_array().unwrap().iter().any(|one| words.iter().all(|word| one.as_str().unwrap().contains(word)))
}

#[test]
fn check_tells_what_is_too_little_and_what_is_too_much_in_aws() {
    let good: Value = serde_json::from_str(&of_example(&AWS)).unwrap();
    for wrapped in [good.clone(), json!({"PolicyDocument": good}), json!({"PolicyVersion": {"Document": good}})] {
        let (told, found) = checked(&wrapped);
        assert_eq!((told.exit, &found["equal"]), (Some(0), &json!(true)), "{}{}", told.out, told.err);
    }
    // Less, in each way.
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut policy = good.clone();
        edit(&mut policy);
        let (told, found) = checked(&policy);
        assert_eq!((told.exit, error(&told, "check")["code"].as_str()), (Some(1), Some("DK-515")), "{}", told.out);
        found
    };
    let found = edited(&|policy| drop(policy["Statement"][0]["Action"].as_array_mut().unwrap().remove(0)));
    assert!(has(&found["too_little"], &["DescribeSecret", "prod/orders"]) && found["too_much"] == json!([]), "{found}");
    let found =
        edited(&|policy| policy["Statement"][0]["Condition"] = json!({"Bool": {"aws:MultiFactorAuthPresent": true}}));
    assert!(has(&found["too_little"], &["PutSecretValue"]), "a condition that the worker does not meet: {found}");
    let deny = json!({"Effect": "Deny", "Action": "s3:Put*", "Resource": "*"});
    let found = edited(&|policy| policy["Statement"].as_array_mut().unwrap().push(deny.clone()));
    assert!(has(&found["too_little"], &["s3:PutObject", "denies"]), "{found}");
    // More: wildcards include what is needed, and are wider.
    let found = edited(&|policy| policy["Statement"][0]["Action"] = json!("secretsmanager:*"));
    assert!(
        found["too_little"] == json!([]) && has(&found["too_much"], &["secretsmanager:*", "needed is only"]),
        "{found}"
    );
    let found = edited(&|policy| policy["Statement"][0]["Resource"] = json!("*"));
    assert!(found["too_little"] == json!([]) && has(&found["too_much"], &["PutSecretValue on *"]), "{found}");
    let trail = "arn:aws:s3:::dizzy-keys-audit-111122223333-us-west-2/*";
    let delete = json!({"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": trail});
    let found = edited(&|policy| policy["Statement"].as_array_mut().unwrap().push(delete.clone()));
    assert!(has(&found["too_much"], &["s3:DeleteObject"]), "{found}");
    let found = edited(&|policy| {
        for statement in policy["Statement"].as_array_mut().unwrap() {
            statement.as_object_mut().unwrap().remove("Condition");
        }
    });
    assert!(
        found["too_little"] == json!([]) && has(&found["too_much"], &["s3:PutObject"]),
        "writes without a condition: {found}"
    );
}

#[test]
fn check_tells_what_is_too_little_and_what_is_too_much_in_oci() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("given");
    let needed = of_example(&["policy", "oci"]);
    let check = |text: &str| {
        write(&file, text);
        let args = ["policy", "oci", "--output", "json", "--check", file.to_str().unwrap()];
        let told = run(&example().join("dizzy-keys.toml"), &args);
        let found: Value = serde_json::from_str(&told.out).unwrap_or_default();
        (told, found)
    };
    let statements: Vec<&str> = needed.lines().filter(|line| !line.starts_with('#')).collect();
    for text in [needed.clone(), json!(statements).to_string(), json!({"data": {"statements": statements}}).to_string()]
    {
        let (told, found) = check(&text);
        assert_eq!((told.exit, &found["equal"]), (Some(0), &json!(true)), "{}{}", told.out, told.err);
    }
    let differs = |text: &str| {
        let (told, found) = check(text);
        assert_eq!(told.exit, Some(1), "{}{}", told.out, told.err);
        found
    };
    let found = differs(&needed.replace("request.permission = 'SECRET_READ', ", ""));
    assert!(has(&found["too_little"], &["SECRET_READ"]) && found["too_much"] == json!([]), "{found}");
    let found = differs(&statements[1..].join("\n"));
    assert!(has(&found["too_little"], &["SECRET_BUNDLE_READ", "ordersexample"]), "{found}");
    let found = differs(&format!("{needed}allow dynamic-group dizzy-keys to manage secret-family in tenancy\n"));
    assert!(found["too_little"] == json!([]) && has(&found["too_much"], &["SECRET_DELETE in tenancy"]), "{found}");
    let found = differs(&format!("{needed}allow dynamic-group dizzy-keys to read buckets in tenancy\n"));
    assert!(has(&found["too_much"], &["read buckets"]), "{found}");
    let found = differs(&needed.replace("dynamic-group dizzy-keys to", "dynamic-group other to"));
    assert!(has(&found["notes"], &["dynamic-group other"]) && has(&found["too_little"], &["SECRET_UPDATE"]), "{found}");
    let narrower = needed.replace("in tenancy", "in compartment id ocid1.compartment.oc1..one");
    assert!(
        has(&differs(&narrower)["too_little"], &["SECRET_UPDATE in tenancy"]),
        "which compartment is not known here"
    );
}

#[test]
fn what_cannot_be_compared_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (config, file) = (example().join("dizzy-keys.toml"), folder.path().join("given"));
    for (cloud, text, says) in [
        ("aws", "{", "not JSON"),
        ("aws", "{}", "no `Statement`"),
        ("aws", r#"{"Statement":[{"Effect":"Allow","NotAction":"s3:*","Resource":"*"}]}"#, "NotAction"),
        ("oci", "allow me everything", "statement 1"),
        ("oci", "{\"data\": 1}", "no list of statements"),
    ] {
        write(&file, text);
        let told = run(&config, &["--output", "json", "policy", cloud, "--check", file.to_str().unwrap()]);
        let told_error = error(&told, text);
        assert_eq!((told.exit, told_error["code"].as_str()), (Some(2), Some("DK-111")), "{told_error}");
        assert!(told_error["what"].as_str().unwrap().contains(says), "{told_error}");
    }
    let missing = run(&config, &["--output", "json", "policy", "aws", "--check", "/nonexistent"]);
    assert_eq!(error(&missing, "missing")["code"], "DK-111");
    for args in [
        ["policy", "aws", "--kms-key", "alias/orders"],
        ["policy", "aws", "--kms-key", "rds=arn:aws:kms:us-west-2:111122223333:key/1"],
        ["policy", "oci", "--config-location", "file:/etc/x"],
        ["policy", "aws", "--config-location", "s3://bucket/"],
    ] {
        assert_eq!(run(&config, &args).exit, Some(2), "{args:?}");
    }
    let told = run(&config, &["policy", "aws", "nosuchset"]);
    assert_eq!(told.exit, Some(2), "{}", told.err);
}
