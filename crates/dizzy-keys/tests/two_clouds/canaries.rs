//! No password of a two-cloud set is where none may be: what the program says at its most talkative, journal, trail, arguments and
//! environment, and what the database and the cloud were told in clear.

use std::{collections::BTreeSet, path::Path};

use dizzy_sandbox::{
    OracleUsers, SET, Users,
    two_clouds::{ORACLE, POSTGRES, TwoClouds, WALLET_PASSWORD},
};
use dizzy_sandbox_oracle::{Effect, Fault as OracleFault, Point};

use super::{
    Told,
    common::{Running, binary},
    run,
};

#[test]
fn no_password_is_where_none_may_be() {
    let at = TwoClouds::start(binary(), Users::Alternating, OracleUsers::Alternating).unwrap();
    let mut secrets = BTreeSet::from([WALLET_PASSWORD.to_owned()]);
    let mut said = String::new();
    let mut say = |told: Told| said.push_str(&format!("{}{}", told.out, told.err));
    learn(&at, &mut secrets);
    say(run(&at, &["-vvv", "--yes", "prepare", SET]));
    for args in [["check", SET], ["plan", SET], ["rotate", SET], ["status", SET], ["verify", SET], ["rotate", SET]] {
        say(run(&at, &[&["-vvv"], &args[..]].concat()));
        learn(&at, &mut secrets);
    }
    // Refused, cut off, and looked at while it waits.
    for (point, effect) in [(Point::BeforeChange, Effect::Refuse(28003)), (Point::AfterChange, Effect::Drop)] {
        drop(at.oracle.plant(OracleFault::at(point, effect)));
        say(run(&at, &["-vvv", "rotate", SET]));
        learn(&at, &mut secrets);
        say(run(&at, &["-vvv", "recover", SET]));
    }
    let held = at.oracle.plant(OracleFault::at(Point::BeforeChange, Effect::Hold));
    let running = Running::spawn(&mut at.command(&["-vvv", "rotate", SET]));
    assert!(held.wait(std::time::Duration::from_secs(60)), "the change is on its way");
    let seen = |file: &str| {
        let bytes = std::fs::read(format!("/proc/{}/{file}", running.id())).unwrap();
        String::from_utf8_lossy(&bytes).replace('\0', "\n")
    };
    let process = seen("cmdline") + &seen("environ");
    held.release();
    say(running.told());
    learn(&at, &mut secrets);
    assert!(secrets.len() > 8, "{} secrets are looked for", secrets.len());

    let places = [
        ("what was said", said),
        ("arguments and environment", process),
        ("the journal", text_of(&at.path("journal"))),
        ("the trail", text_of(&at.path("audit"))),
        ("the Oracle server's log", at.oracle.log_text()),
    ];
    for (place, text) in &places {
        assert!(text.len() > 100, "{place} says something");
        let planted = secrets.last().unwrap();
        assert!(found(&format!("{text}{planted}{text}"), &secrets).is_some(), "the scanner finds what is there");
        assert_eq!(found(text, &secrets), None, "{place} holds a password, after these words");
    }
    for call in at.oci.log() {
        for secret in &secrets {
            assert!(!call.target.contains(secret.as_str()), "{}: a password in a URL", call.method);
        }
    }
}

/// What stands before the first secret in a text.
fn found(text: &str, secrets: &BTreeSet<String>) -> Option<String> {
    let at = secrets.iter().find_map(|secret| text.find(secret.as_str()))?;
    Some(text.chars().take(at).skip(at.saturating_sub(80)).collect())
}

/// Every password that any version of either store has shown.
fn learn(at: &TwoClouds, secrets: &mut BTreeSet<String>) {
    for label in ["CURRENT", "PENDING", "PREVIOUS"] {
        for published in at.staged(label).unwrap().into_iter().flatten() {
            for database in [POSTGRES, ORACLE] {
                secrets.extend(published.credential(database).map(|(_, password)| password));
            }
        }
    }
}

fn text_of(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &text_of(&path);
        } else {
            text += &String::from_utf8_lossy(&std::fs::read(&path).unwrap());
        }
    }
    text
}
