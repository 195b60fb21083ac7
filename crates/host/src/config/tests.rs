//! The configuration as its writer meets it: what is accepted, and what every mistake is answered with.

use core::time::Duration;

use dizzy_engine::Strategy;

use super::{
    Adapter::{AuditKey, AwsParameters, AwsSecrets, AwsTopics, OciObjects, OciVault, Oracle, Postgres, Webhooks},
    *,
};
use crate::{
    document::Format,
    notice::Event,
    password::{ORACLE_LENGTH, Policy},
    reference::Reference,
};

const EXAMPLE: &str = include_str!("../../../../examples/dizzy-keys.toml");
const MINIMAL: &str = include_str!("../../../../examples/minimal.toml");
const TWO_CLOUDS: &str = include_str!("../../../../examples/two-clouds.toml");

/// A set with both engines, to be broken in one place.
const BOTH: &str = r#"[sets.orders]
every = "30d"
[sets.orders.databases.rds]
engine = "postgres"
users = ["orders_a", "orders_b"]
[sets.orders.databases.adb]
engine = "oracle"
service = "orders_low"
users = ["ORDERS"]
strategy = "rollover"
[[sets.orders.secrets]]
store = "aws-sm:prod/orders"
format = "blob"
[[sets.orders.secrets]]
store = "oci-vault:ocid1.vaultsecret.oc1..abc"
"#;

fn wrong(text: &str) -> ConfigError {
    parse("dizzy-keys.toml", text).unwrap_err()
}

/// What [`BOTH`] answers when `from` is written as `to`.
fn broken(from: &str, to: &str) -> String {
    assert!(BOTH.contains(from), "{from}");
    answer(&BOTH.replacen(from, to, 1))
}

fn answer(text: &str) -> String {
    let error = wrong(text);
    format!("{error}\n  hint: {}\n", error.hint.as_deref().unwrap_or("-"))
}

#[test]
fn the_example_loads() {
    let config = parse("examples/dizzy-keys.toml", EXAMPLE).unwrap();
    let set = config.set("orders").unwrap();
    assert_eq!(set.schedule.rule, Rule::Every(Duration::from_secs(30 * 86_400)));
    assert_eq!(set.schedule.window.unwrap().to_string(), "02:00-04:00 UTC");
    assert_eq!(set.databases[0].admin, Some(Reference::AwsSm { id: "prod/orders-admin".to_owned(), field: None }));
}

#[test]
fn every_reference_that_is_read_is_known() {
    let mut text = String::from("[audit]\nkey = \"env:KEY\"\n");
    text += &BOTH.replacen(
        "service",
        "tls_ca = \"env:ROOTS\"\nwallet = \"env:WALLET\"\nwallet_password = \"env:OPENS\"\nadmin = \"env:ADMIN\"\nservice",
        1,
    );
    let config = parse("x.toml", &text).unwrap();
    let names: Vec<String> = config.references().map(Reference::to_string).collect();
    assert_eq!(names, ["env:KEY", "env:ROOTS", "env:WALLET", "env:OPENS", "env:ADMIN"]);
}

#[test]
fn everything_commented_out_in_the_example_is_right_too() {
    let mut text = String::new();
    for line in EXAMPLE.lines() {
        // A commented key or header; prose does not look like that.
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let is_code = bare.starts_with('[') || bare.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        text.push_str(if is_code { bare } else { "" });
        text.push('\n');
    }
    let text = text.replace("format = \"rds\"", "format = \"blob\"").replace("database = \"rds\"", "");
    let config = parse("examples/dizzy-keys.toml", &text).unwrap();
    assert_eq!(config.set("orders").unwrap().databases.len(), 2);
    let mut adapters: Vec<Adapter> = config.needs(&["orders"]).map(|need| need.adapter).collect();
    adapters.sort();
    adapters.dedup();
    assert_eq!(
        adapters,
        [AuditKey, AwsParameters, AwsSecrets, AwsTopics, OciObjects, OciVault, Oracle, Postgres, Webhooks]
    );
}

#[test]
fn a_set_of_one_database_and_one_secret_fits_eight_lines() {
    assert!(MINIMAL.lines().count() <= 8);
    let config = parse("examples/minimal.toml", MINIMAL).unwrap();
    assert_eq!(config.journal, Place::File("./dizzy-state".into()));
    assert_eq!(config.audit.sinks, [Place::File("./dizzy-audit".into())]);
    let set = config.set("orders").unwrap();
    let (database, secret) = (&set.databases[0], &set.secrets[0]);
    assert_eq!((database.strategy, database.host.as_deref()), (Strategy::Alternating, None));
    assert_eq!((secret.format, secret.database.as_deref()), (None, Some("rds")));
    assert_eq!(set.schedule.rule, Rule::OnRequest);
}

#[test]
fn the_example_in_two_clouds_needs_an_adapter_of_each() {
    let config = parse("examples/two-clouds.toml", TWO_CLOUDS).unwrap();
    let mut adapters: Vec<Adapter> = config.needs(&["orders"]).map(|need| need.adapter).collect();
    adapters.sort();
    adapters.dedup();
    assert_eq!(adapters, [AwsSecrets, OciObjects, OciVault, Oracle, Postgres]);
    let set = config.set("orders").unwrap();
    assert!(set.databases.iter().all(|database| database.strategy == Strategy::Alternating));
    assert!(set.secrets.iter().all(|secret| secret.format == Some(Format::Blob)));
    let each = set.shared_password.clone();
    let shared = parse("x.toml", &TWO_CLOUDS.replace("# passwords = \"each\"", "passwords = \"shared\"")).unwrap();
    assert_eq!(each, None);
    assert_eq!(shared.set("orders").unwrap().shared_password.as_ref().map(Policy::length), Some(ORACLE_LENGTH));
}

#[test]
fn two_clouds_in_one_set_resolve() {
    let config = parse("dizzy-keys.toml", BOTH).unwrap();
    let set = config.set("orders").unwrap();
    let strategies: Vec<_> = set.databases.iter().map(|d| (d.name.as_str(), d.strategy)).collect();
    assert_eq!(strategies, [("adb", Strategy::Rollover), ("rds", Strategy::Alternating)]);
    assert_eq!(set.secrets[0].format, Some(Format::Blob));
    assert_eq!(set.database("rds").unwrap().users, ["orders_a", "orders_b"]);
}

#[test]
fn what_a_build_lacks_is_said_with_its_place() {
    let config = parse("dizzy-keys.toml", BOTH).unwrap();
    let error = config.require(&["orders"], &[Postgres, AwsSecrets]).unwrap_err();
    assert_eq!(error.mistake, Mistake::Unsupported);
    assert_eq!(
        error.to_string(),
        "dizzy-keys.toml:7:1: sets.orders.databases.adb.engine: this build has no adapter for Oracle databases"
    );
    assert_eq!(config.require(&["orders"], &[Postgres, AwsSecrets, Oracle, OciVault]), Ok(()));
    // Another set's needs are no obstacle.
    assert_eq!(config.require(&[], &[]), Ok(()));
    let journal = parse("x.toml", &format!("[journal]\nurl = \"s3://bucket/journal\"\n{MINIMAL}")).unwrap();
    let error = journal.require(&[], &[Postgres, AwsSecrets]).unwrap_err();
    assert_eq!(error.to_string(), "x.toml:2:1: journal.url: this build has no adapter for S3");
}

#[test]
fn mistyped_keys_are_found_with_line_and_column() {
    let mut seen = String::new();
    seen += &broken("users", "usres");
    seen += &broken("every", "colour");
    seen += &broken("[sets.orders]", "[jornal]\nurl = 1\n[sets.orders]");
    seen += &broken("format = \"blob\"", "  fromat = \"blob\"");
    insta::assert_snapshot!("mistyped_keys_are_found_with_line_and_column", seen);
}

#[test]
fn values_of_the_wrong_kind_are_described_and_not_repeated() {
    let mut seen = String::new();
    seen += &broken("\"postgres\"", "\"postgresql\"");
    seen += &broken("\"blob\"", "\"json\"");
    seen += &broken("every = \"30d\"", "every = 30");
    seen += &broken("engine = \"postgres\"\n", "");
    seen += &broken("service", "port = 70000\nservice");
    for (from, to) in [
        ("service", "password = \"canary-7f3a\"\nservice"),
        ("service", "admin = \"canary-7f3a\"\nservice"),
        ("\"postgres\"", "\"canary-7f3a\""),
        ("every = \"30d\"", "every = [\"canary-7f3a\"]"),
        ("\"30d\"", "\"canary-7f3a\""),
        ("\"30d\"", "canary-7f3a"),
    ] {
        let answer = broken(from, to);
        assert!(!answer.contains("canary"), "{answer}");
    }
    insta::assert_snapshot!("values_of_the_wrong_kind_are_described_and_not_repeated", seen);
}

#[test]
fn texts_that_are_not_toml_are_found_with_line_and_column() {
    let mut seen = String::new();
    seen += &broken("\"30d\"", "\"30d");
    seen += &broken("users = [\"orders_a\"", "engine = \"postgres\"\nusers = [\"orders_a\"");
    seen += &broken("[sets.orders.databases.adb]", "[sets.orders.databases.rds]");
    insta::assert_snapshot!("texts_that_are_not_toml_are_found_with_line_and_column", seen);
}

#[test]
fn users_and_strategies_must_fit() {
    let mut seen = String::new();
    seen += &broken("[\"orders_a\", \"orders_b\"]", "[\"orders_a\"]");
    seen += &broken("\nstrategy = \"rollover\"", "");
    seen += &broken("\"orders_b\"", "\"orders_a\"");
    seen += &broken("\"orders_b\"", "\"b\", \"c\"");
    seen += &broken("[\"orders_a\", \"orders_b\"]", "[]");
    seen += &broken("\"rollover\"", "\"alternating\"");
    seen += &broken("[\"ORDERS\"]", "[\"A\", \"B\"]");
    seen += &broken("[\"ORDERS\"]\nstrategy = \"rollover\"", "[\"orders\", \"ORDERS\"]");
    seen += &broken("users = [\"orders_a\", \"orders_b\"]", "users = [\"a\"]\nstrategy = \"rollover\"");
    seen += &broken(
        "[[sets",
        "[sets.orders.databases.two]\nengine = \"oracle\"\nusers = [\"X\"]\nstrategy = \"rollover\"\n[[sets",
    );
    seen += &broken("engine = \"postgres\"", "engine = \"postgres\"\nservice = \"x\"");
    insta::assert_snapshot!("users_and_strategies_must_fit", seen);
}

#[test]
fn names_and_numbers_have_limits() {
    let mut seen = String::new();
    seen += &answer(&BOTH.replace("sets.orders", "sets.Orders"));
    seen += &answer(&BOTH.replace(".rds]", ".\"r d s\"]"));
    seen += &broken("\"30d\"", "\"30 fortnights\"");
    seen += &broken("\"30d\"", "\"1s\"");
    seen += &broken("every = \"30d\"", "every = \"30d\"\nwindow = \"2-4\"");
    seen += &broken("every = \"30d\"", "every = \"30d\"\nwindow = \"02:00-03:00\"\nspread = \"2h\"");
    seen += &broken("every = \"30d\"", "window = \"02:00-03:00\"");
    seen += &broken("every = \"30d\"", "every = \"30d\"\ncron = \"0 3 * * 0\"");
    seen += &broken("every = \"30d\"", "cron = \"0 3 * *\"");
    seen += &broken("every = \"30d\"", "renew_before = \"1h\"");
    let minimal =
        MINIMAL.replacen("[sets.orders.databases", "[sets.orders]\nrenew_before = \"7d\"\n[sets.orders.databases", 1);
    seen += &answer(&minimal);
    seen += &broken("service", "password = { length = 8 }\nservice");
    for table in
        ["first = []", "first = [\"digit\"]", "first = [\"lower\"], classes = [\"upper\"]", "forbidden = [\"x\"]"]
    {
        seen += &broken("service", &format!("password = {{ {table} }}\nservice"));
    }
    seen += &broken("service", "connect_timeout = \"2h\"\nservice");
    insta::assert_snapshot!("names_and_numbers_have_limits", seen);
}

#[test]
fn a_password_may_start_otherwise_and_have_texts_forbidden() {
    let table = "password = { first = [\"digit\"], forbidden = [\"Orders\"] }\nengine = \"postgres\"";
    let config = parse("x.toml", &BOTH.replacen("engine = \"postgres\"", table, 1)).unwrap();
    let policy = &config.set("orders").unwrap().database("rds").unwrap().password;
    for _ in 0..100 {
        let password = policy.generate(&crate::port::SystemRandomness, &[]).unwrap();
        assert!(password.expose().starts_with(|c: char| c.is_ascii_digit()));
    }
    assert_ne!(policy, &Policy::default());
}

#[test]
fn excluding_every_symbol_means_no_symbols() {
    let text = BOTH.replacen("service", "password = { exclude = \"-._~\" }\nservice", 1);
    let config = parse("x.toml", &text).unwrap();
    let policy = &config.set("orders").unwrap().database("adb").unwrap().password;
    assert!(policy.entropy_bits() < Policy::default().entropy_bits());
}

#[test]
fn secrets_must_publish_every_database_once() {
    let mut seen = String::new();
    seen += &broken("\nformat = \"blob\"", "\nformat = \"rds\"");
    seen += &broken("format = \"blob\"", "database = \"nope\"");
    seen += &broken("format = \"blob\"", "format = \"blob\"\ndatabase = \"rds\"");
    seen += &broken("oci-vault:ocid1.vaultsecret.oc1..abc", "aws-sm:prod/orders");
    seen += &broken("aws-sm:prod/orders", "aws-ssm:/prod/orders");
    seen += &broken("aws-sm:prod/orders", "aws-sm:prod/orders#password");
    seen += &broken("aws-sm:prod/orders", "prod/orders");
    let one_flat = BOTH.replace("format = \"blob\"", "format = \"rds\"\ndatabase = \"rds\"");
    seen += &answer(one_flat.split("[[sets.orders.secrets]]\nstore = \"oci").next().unwrap());
    seen += &answer(BOTH.split("[[sets").next().unwrap());
    insta::assert_snapshot!("secrets_must_publish_every_database_once", seen);
}

#[test]
fn two_sets_never_share_a_secret_or_an_account() {
    let mut seen = String::new();
    let second = MINIMAL.replace("sets.orders", "sets.billing");
    seen += &answer(&format!("{MINIMAL}\n{second}"));
    let host = "engine = \"postgres\"\nhost = \"db.example.net\"";
    let hosted = MINIMAL.replace("engine = \"postgres\"", host);
    let second = hosted.replace("sets.orders", "sets.billing").replace("prod/orders", "prod/billing");
    seen += &answer(&format!("{hosted}\n{second}"));
    let twin =
        format!("{hosted}\nformat = \"blob\"\n[sets.orders.databases.twin]\n{host}\nusers = [\"x\", \"orders_a\"]\n");
    seen += &answer(&twin);
    insta::assert_snapshot!("two_sets_never_share_a_secret_or_an_account", seen);
}

#[test]
fn places_wallets_and_endpoints_are_checked() {
    let mut seen = String::new();
    let with = |top: &str| answer(&format!("{top}\n{MINIMAL}"));
    seen += &with("[journal]\nurl = \"http://x\"");
    seen += &with("[audit]\nsinks = []");
    seen += &with("[audit]\nsinks = [\"file:a\", \"file:a\"]");
    seen += &with("[oci.endpoints]\nvaults = \"http://vault.example.net\"");
    seen += &with("[aws]\nrole_arn = \"arn:aws:iam::12345:role/x\"");
    seen += &with("[aws]\nexternal_id = \"x-1\"");
    seen += &with("[aws]\nrole_arn = \"arn:aws:iam::123456789012:role/a/b\"\nsession_name = \"no spaces\"");
    seen += &broken("service", "wallet = \"https://objectstorage/p/canary-7f3a/w.zip\"\nservice");
    seen += &broken("service", "wallet = \"oci://ns/bucket\"\nservice");
    seen += &broken(
        "service",
        "wallet = \"oci-adb:ocid1.autonomousdatabase.oc1..x\"\nwallet_password = \"env:W\"\nservice",
    );
    for good in ["[oci.endpoints]\nvaults = \"http://127.0.0.1:8080\"", "[oci.endpoints]\nauth = \"http://[::1]:80/x\""]
    {
        parse("x.toml", &format!("{good}\n{MINIMAL}")).unwrap();
    }
    let role = "[aws]\nrole_arn = \"arn:aws-cn:iam::123456789012:role/team/rotator\"\nexternal_id = \"a:b/c-1\"";
    let role = parse("x.toml", &format!("{role}\n{MINIMAL}")).unwrap().aws_role.unwrap();
    assert_eq!((role.external_id.as_deref(), role.session_name.as_str()), (Some("a:b/c-1"), "dizzy-keys"));
    let config = parse("x.toml", &format!("[journal]\nurl = \"oci://ns/bucket/a/b/\"\n{MINIMAL}")).unwrap();
    assert_eq!(config.journal.to_string(), "oci://ns/bucket/a/b");
    insta::assert_snapshot!("places_wallets_and_endpoints_are_checked", seen);
}

#[test]
fn an_unknown_set_is_answered_with_the_nearest() {
    let mut seen = String::new();
    let config = parse("dizzy-keys.toml", BOTH).unwrap();
    let error = config.set("order").unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.hint.as_deref()),
        ("dizzy-keys.toml: there is no set `order`", Some("did you mean `orders`?"))
    );
    assert_eq!(config.set("x").unwrap_err().hint.as_deref(), Some("the sets are: orders"));
    seen += &answer("");
    insta::assert_snapshot!("an_unknown_set_is_answered_with_the_nearest", seen);
}

#[test]
fn files_that_cannot_be_read_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dizzy-keys.toml");
    let told = |path: &Path| {
        let error = load(path).unwrap_err();
        assert_eq!(error.mistake, Mistake::File);
        error.to_string().replace(&folder.path().display().to_string(), "FOLDER")
    };
    assert_eq!(told(&path), "FOLDER/dizzy-keys.toml: there is no such file");
    assert_eq!(told(folder.path()), "FOLDER: this is a folder, not a file");
    write(&path, b"[journal]\n# caf\xe9\n");
    assert_eq!(told(&path), "FOLDER/dizzy-keys.toml:2:6: the file is not UTF-8 text");
    write(&path, &vec![b'#'; 5 * 1024 * 1024]);
    assert_eq!(told(&path), "FOLDER/dizzy-keys.toml: the file is larger than 4 MiB");
    write(&path, MINIMAL.as_bytes());
    assert!(load(&path).is_ok());
}

#[test]
fn the_fingerprint_follows_what_decisions_depend_on() {
    let fingerprint = |text: &str| parse("x.toml", text).unwrap().set("orders").unwrap().fingerprint();
    let base = fingerprint(BOTH);
    // Written down, because a register holds it: a change here orphans rotations under way.
    assert_eq!(base, "43f08292d560a11208e2aff4222f401f6afabbb717a6028f6c0723b3a62c62e7");
    for (from, to) in [
        ("orders_a", "orders_c"),
        ("[\"orders_a\", \"orders_b\"]", "[\"orders_b\", \"orders_a\"]"),
        ("\"rollover\"", "\"single\""),
        ("prod/orders", "prod/other"),
        ("\nformat = \"blob\"", ""),
        ("databases.rds", "databases.pg"),
    ] {
        assert_ne!(fingerprint(&BOTH.replace(from, to)), base, "{from} -> {to}");
    }
    for (from, to) in [
        ("30d", "60d"),
        ("service = \"orders_low\"", "service = \"orders_high\""),
        ("engine = \"postgres\"", "engine = \"postgres\"\nhost = \"h\"\nstatement_timeout = \"1s\""),
    ] {
        assert_eq!(fingerprint(&BOTH.replace(from, to)), base, "{from} -> {to}");
    }
}

#[test]
fn every_position_is_inside_the_file_whatever_is_cut_out() {
    // Each mistake that leaving out a line makes is told with a place, and nothing panics.
    let lines: Vec<&str> = BOTH.lines().collect();
    for out in 0..lines.len() {
        let text: Vec<&str> = lines.iter().enumerate().filter(|(at, _)| *at != out).map(|(_, line)| *line).collect();
        if let Err(error) = parse("x.toml", &text.join("\n")) {
            let Position { line, column } = error.position.unwrap();
            assert!(line >= 1 && line as usize <= text.len() && column >= 1, "{error}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}", at in 0_usize..400, cut in 0_usize..20) {
        drop(parse("x.toml", &text));
        // The same inside something that is nearly right.
        let mut near = BOTH.to_owned();
        near.replace_range(at.min(BOTH.len())..(at + cut).min(BOTH.len()), &text);
        if let Err(error) = parse("x.toml", &near) {
            proptest::prop_assert!(error.position.is_some());
        }
    }
}

#[test]
fn the_schema_is_as_published() {
    insta::assert_json_snapshot!("schema", schema());
}

#[expect(clippy::disallowed_methods, reason = "a test's own file needs no durability")]
fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn receivers_of_notices_are_checked() {
    let with = |notify: &str| format!("{notify}\n{BOTH}");
    let config = parse(
        "dizzy-keys.toml",
        &with(
            "[notify]\non = [\"stuck\"]\n[[notify.receivers]]\nwebhook = \"env:HOOK\"\nsigning_key = \"env:HOOK_KEY\"\non = [\"promoted\"]\n\
             [[notify.receivers]]\ntopic = \"arn:aws-us-gov:sns:us-gov-west-1:123456789012:ops.fifo\"\n\
             [[notify.receivers]]\ntopic = \"ocid1.onstopic.oc1.iad.abc\"\n",
        ),
    )
    .unwrap();
    let on: Vec<_> = config.notify.receivers.iter().map(|receiver| receiver.on.clone()).collect();
    assert_eq!(on, [vec![Event::Promoted], vec![Event::Stuck], vec![Event::Stuck]]);
    // What stands in the environment is taken out of it.
    let names: Vec<String> = config.references().map(ToString::to_string).collect();
    assert!(names.contains(&"env:HOOK".to_owned()) && names.contains(&"env:HOOK_KEY".to_owned()), "{names:?}");
    let plain = parse("dizzy-keys.toml", &with("[[notify.receivers]]\nwebhook = \"env:HOOK\"\n")).unwrap();
    assert_eq!(plain.notify.receivers[0].on, Event::DEFAULT);
    let one = |line: &str| answer(&with(&format!("[[notify.receivers]]\n{line}")));
    let answers = [
        one("webhook = \"https://hooks.example.com/canary\""),
        one("webhook = \"env:HOOK\"\ntopic = \"arn:aws:sns:us-west-2:123456789012:ops\""),
        one("on = [\"stuck\"]"),
        one("topic = \"arn:aws:sns:us-west-2:12345:ops\""),
        one("topic = \"ocid1.vaultsecret.oc1.iad.abc\""),
        one("topic = \"arn:aws:sns:us-west-2:123456789012:ops\"\nsigning_key = \"env:KEY\""),
        one("webhook = \"env:HOOK\"\non = [\"test\"]"),
        one("webhook = \"env:HOOK\"\non = []"),
        one("webhook = \"env:HOOK\"\n[[notify.receivers]]\nwebhook = \"env:HOOK\""),
        answer(&with("[notify]\non = [\"stuck\"]")),
        answer(&with(&(0..9).map(|n| format!("[[notify.receivers]]\nwebhook = \"env:H{n}\"\n")).collect::<String>())),
    ];
    assert!(!answers.concat().contains("canary"));
    insta::assert_snapshot!(answers.join("\n"));
}
