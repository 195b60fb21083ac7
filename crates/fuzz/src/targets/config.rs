//! The configuration file: what is accepted can be used, what is not is answered with a place that exists.

use dizzy_host::{config, port::SystemRandomness};

use super::{Target, kind_of};

pub(super) const TARGET: Target = Target {
    name: "config",
    deep: "Oracle Rollover",
    run,
    words: &[
        "[sets.orders]",
        "[sets.orders.databases.rds]",
        "[[sets.orders.secrets]]",
        "engine = ",
        "\"postgres\"",
        "\"oracle\"",
        "users = [\"a\"]",
        "strategy = \"single\"",
        "every = \"1s\"",
        "cron = \"* * * * *\"",
        "window = \"22:00-04:00\"",
        "spread = \"1h\"",
        "store = \"aws-sm:x\"",
        "oci://",
        "file:",
        "password = { length = 12 }",
        "classes = []",
        "exclude = \"",
        "\"\"\"",
        "'''",
        "\\u0000",
        "0x",
        "inf",
        "1979-05-27",
        "99999999999999999999",
        "\u{feff}",
    ],
};

fn run(data: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(data) else { return "not UTF-8".to_owned() };
    let config = match config::parse("fuzz.toml", text) {
        Ok(config) => config,
        Err(error) => {
            if let Some(place) = error.position {
                let lines = u32::try_from(text.split('\n').count()).unwrap_or(u32::MAX);
                assert!((1..=lines).contains(&place.line) && place.column >= 1, "{place:?} of {lines} lines");
            }
            assert!(!error.what.is_empty(), "an error says what is wrong");
            return format!("{:?} {}", error.mistake, kind_of(&error.what));
        }
    };
    let mut seen = String::new();
    for set in config.sets.values() {
        assert_eq!(
            config.set(&set.name).map(|found| found.fingerprint()),
            Ok(set.fingerprint()),
            "a set is found by name"
        );
        assert!(!set.databases.is_empty() && !set.secrets.is_empty(), "a set has databases and secrets");
        for database in &set.databases {
            let policy = set.shared_password.as_ref().unwrap_or(&database.password);
            let users: Vec<&str> = database.users.iter().map(String::as_str).collect();
            let password = policy.generate(&SystemRandomness, &users);
            assert!(
                password.is_ok_and(|p| p.expose().len() == policy.length()),
                "a policy that is accepted can be met"
            );
            seen += &format!("{:?} {:?} ", database.engine, database.strategy);
        }
        seen += &format!("{} secrets ", set.secrets.len());
    }
    seen
}
