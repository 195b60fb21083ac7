//! The configuration that `init` drafts, from documents as they are found.

use clap::Parser as _;
use dizzy_host::{document::SecretDocument, secret::SecretText};

use super::*;
use crate::args::{Cli, Command};

const PASSWORD: &str = "never-shown-7Jq";

fn existing(reference: &str, json: &str) -> Existing {
    let json = json.replace("PW", PASSWORD);
    let document = SecretDocument::parse(SecretText::new(json)).unwrap();
    Existing { secret: reference.parse().unwrap(), databases: document.describe().unwrap() }
}

fn args(more: &[&str]) -> Init {
    let all = ["dizzy-keys", "init"].iter().chain(more);
    let Command::Init(args) = Cli::try_parse_from(all).unwrap().command else { panic!("another command") };
    args
}

fn text(existing: Vec<Existing>, more: &[&str]) -> String {
    let draft = Draft::of(existing, &args(more)).unwrap();
    let text = draft.text("test.toml").unwrap();
    assert!(!text.contains(PASSWORD) && !draft.found().concat().contains(PASSWORD));
    text
}

#[test]
fn one_database_and_one_secret_are_at_most_eight_lines() {
    let orders = existing(
        "aws-sm:arn:aws:secretsmanager:us-west-2:111122223333:secret:prod/Orders-AbCdEf",
        r#"{"engine":"postgres","host":"orders.abc.us-west-2.rds.amazonaws.com","port":5432,"dbname":"orders",
            "username":"orders_a","password":"PW","masterarn":"arn:aws:secretsmanager:us-west-2:111122223333:secret:admin-AbCdEf"}"#,
    );
    let text = text(vec![orders], &[]);
    assert_eq!(
        text,
        r#"[sets.orders.databases.rds]
engine = "postgres"
users = ["orders_a", "orders_b"]  # the first is published today; `prepare` makes orders_b if it does not exist
admin = "aws-sm:arn:aws:secretsmanager:us-west-2:111122223333:secret:admin-AbCdEf"  # read by `prepare` only

[[sets.orders.secrets]]
store = "aws-sm:arn:aws:secretsmanager:us-west-2:111122223333:secret:prod/Orders-AbCdEf"
"#
    );
    assert!(text.lines().count() <= 8);
}

#[test]
fn objects_of_a_blob_keep_their_names_and_a_flat_secret_says_which_it_publishes() {
    let blob = existing(
        "oci-vault:ocid1.vaultsecret.oc1..x",
        r#"{"team":{"owner":"ops"},"main":{"engine":"postgres","host":"h","username":"app","password":"PW"},
            "wh":{"service":"wh_low","username":"APP_1","password":"PW"}}"#,
    );
    let flat = existing("aws-sm:warehouse", r#"{"service":"wh_low","username":"APP_1","password":"PW"}"#);
    let text = text(vec![flat, blob], &["--tls-ca", "file:/ca.pem"]);
    for line in [
        "[sets.warehouse.databases.main]",
        r#"users = ["app", "app_b"]  # the first is published today; `prepare` makes app_b if it does not exist"#,
        "[sets.warehouse.databases.wh]",
        r#"users = ["APP_1", "APP_2"]  # the first is published today; `prepare` makes APP_2 if it does not exist"#,
        r#"tls_ca = "file:/ca.pem""#,
        r#"database = "wh""#,
    ] {
        assert!(text.lines().any(|written| written == line), "{line} in\n{text}");
    }
    // The blob publishes both, and is not told which.
    assert_eq!(text.matches("database = ").count(), 1, "{text}");
}

#[test]
fn what_nobody_can_know_is_a_step_to_do() {
    let orders = existing("aws-sm:o", r#"{"engine":"postgres","username":"o","password":"PW"}"#);
    let draft = Draft::of(vec![orders], &args(&["--strategy", "single"])).unwrap();
    let open = draft.open_ends();
    assert!(open.len() == 2 && open[0].contains("HOST") && open[1].contains("--print-sql"), "{open:?}");
    assert!(draft.toml().contains("# host = \"HOST\""), "{}", draft.toml());
    assert!(draft.toml().contains("strategy = \"single\""));
}

#[test]
fn contradictions_and_other_engines_are_refused() {
    let place = r#""engine":"postgres","host":"h","dbname":"d","password":"PW""#;
    let one = existing("aws-sm:one", &format!(r#"{{{place},"username":"a"}}"#));
    let two = existing("aws-sm:two", &format!(r#"{{{place},"username":"b"}}"#));
    let report = Draft::of(vec![one, two], &args(&[])).unwrap_err();
    assert_eq!(report.code(), Code::ConfigValue);

    let mysql = || existing("aws-sm:m", r#"{"engine":"mysql","host":"h","username":"a","password":"PW"}"#);
    assert_eq!(Draft::of(vec![mysql()], &args(&[])).unwrap_err().code(), Code::ConfigUnsupported);

    let nothing = existing("aws-sm:n", r#"{"username":"a","password":"PW"}"#);
    assert_eq!(Draft::of(vec![nothing], &args(&[])).unwrap_err().code(), Code::ConfigValue);

    let blob = existing("aws-sm:blob", r#"{"x":{"engine":"postgres","host":"h","username":"a","password":"PW"}}"#);
    let flat = existing("aws-sm:flat", r#"{"engine":"postgres","host":"other","username":"a","password":"PW"}"#);
    assert_eq!(Draft::of(vec![blob, flat], &args(&[])).unwrap_err().code(), Code::ConfigValue);

    let postgres = existing("aws-sm:p", r#"{"engine":"postgres","host":"h","username":"a","password":"PW"}"#);
    let report = Draft::of(vec![postgres], &args(&["--strategy", "rollover"])).unwrap_err();
    assert_eq!(report.code(), Code::Usage);
}

#[test]
fn hostile_names_stay_inside_their_quotes() {
    let orders = existing(
        "aws-sm:a",
        "{\"engine\":\"postgres\",\"host\":\"h\",\"username\":\"x\\\"]\\nadmin = \\\"file:/etc\",\"password\":\"PW\"}",
    );
    // A line break cannot be in a user's name: the draft is refused when it is read as a configuration.
    let report = Draft::of(vec![orders], &args(&[])).unwrap().text("test.toml").unwrap_err();
    assert_eq!(report.code(), Code::ConfigValue);

    let quote = existing("aws-sm:a", r#"{"engine":"postgres","host":"h","username":"x\"]#","password":"PW"}"#);
    let text = text(vec![quote], &["--strategy", "single"]);
    let config = config::parse("test.toml", &text).unwrap();
    assert_eq!(config.set("a").unwrap().databases[0].users, ["x\"]#"]);
}

#[test]
fn users_take_turns_with_their_pair() {
    let pairs =
        [("app", "app_b"), ("APP", "APP_B"), ("app_b", "app_a"), ("app_clone", "app"), ("app_green", "app_blue")];
    for (user, other) in pairs {
        assert_eq!(partner(user), other);
    }
}

#[test]
fn names_of_sets_come_from_secrets_or_databases() {
    let json = r#"{"engine":"postgres","host":"h","dbname":"Pay Roll","username":"a","password":"PW"}"#;
    for (reference, name) in [
        ("aws-sm:prod/Orders.v2", "orders-v2"),
        ("aws-sm:arn:aws:secretsmanager:us-west-2:111122223333:secret:prod/orders-AbCdEf", "orders"),
        ("oci-vault:ocid1.vaultsecret.oc1..x", "pay-roll"),
        ("aws-sm:///", "main"),
    ] {
        assert_eq!(set_name(&[existing(reference, json)]), name, "{reference}");
    }
}
