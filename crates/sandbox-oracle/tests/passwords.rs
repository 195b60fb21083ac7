//! The rules about passwords, as the vendor's Python client meets them.

mod support;

use std::time::Duration;

use dizzy_sandbox_oracle::{Account, DAY, HOUR, Options, OracleEmulator, Profile, Restore, WrongOldPassword};
use serde_json::{Value, json};
use support::{ADMIN, FIRST, SECOND, THIRD, emulator, options, steps};

/// The ORA numbers of what steps came to; nothing for success.
fn codes(results: &[Value]) -> Vec<Option<u64>> {
    results.iter().map(|result| result["code"].as_u64()).collect()
}

const OK: Option<u64> = None;

#[test]
fn names_are_folded_unless_quoted_and_nobody_learns_who_exists() {
    let emulator = emulator();
    emulator.add_user(&Account::new("\"Mixed\"", FIRST)).unwrap();
    let results = steps(
        &emulator,
        json!([
            ["login", "a", "aPp", FIRST],
            ["login", "b", "\"APP\"", FIRST],
            ["login", "c", "\"Mixed\"", FIRST],
            ["query", "c", "SELECT USER FROM DUAL"],
            ["login", "d", "mixed", FIRST],
            ["login", "e", "\"app\"", FIRST],
            ["login", "f", "nobody", FIRST],
            ["login", "g", "app", FIRST.to_lowercase()],
        ]),
    );
    assert_eq!(codes(&results), [OK, OK, OK, OK, Some(1017), Some(1017), Some(1017), Some(1017)]);
    assert_eq!(results[3], json!([["Mixed"]]));
    assert_eq!(results[6]["text"], results[7]["text"]);
}

#[test]
fn ten_wrong_passwords_lock_for_a_day_and_a_right_one_before_that_starts_the_count_again() {
    let emulator = emulator();
    let wrong = |count| vec![json!(["login", "x", "app", "Wrong_password_0"]); count];
    let right = vec![json!(["login", "a", "app", FIRST])];
    let results = steps(&emulator, json!([wrong(9), right.clone(), wrong(9)].concat()));
    assert_eq!(codes(&results)[9], OK);
    assert_eq!(emulator.user("app").unwrap().failed_logins, 9);
    assert_eq!(emulator.user("app").unwrap().status, "OPEN");

    let results = steps(&emulator, json!([wrong(1), right.clone(), wrong(1)].concat()));
    assert_eq!(codes(&results), [Some(1017), Some(28000), Some(28000)]);
    assert_eq!(emulator.user("app").unwrap().status, "LOCKED(TIMED)");
    assert_eq!(emulator.user("app").unwrap().tally.refused_logins, 21);

    emulator.advance(DAY - HOUR);
    assert_eq!(codes(&steps(&emulator, json!(right))), [Some(28000)]);
    emulator.advance(HOUR);
    assert_eq!(codes(&steps(&emulator, json!(right))), [OK]);
    emulator.lock_user("app");
    emulator.advance(DAY * 30);
    assert_eq!(codes(&steps(&emulator, json!(right))), [Some(28000)]);
    emulator.unlock_user("app");
    assert_eq!(codes(&steps(&emulator, json!(right))), [OK]);
}

#[test]
fn a_password_grows_old_with_a_warning_expires_and_is_changed_on_the_way_in() {
    let emulator = emulator();
    let login = json!([
        ["login", "a", "app", FIRST],
        ["warning", "a"],
        ["query", "a", "SELECT ACCOUNT_STATUS FROM USER_USERS"]
    ]);
    emulator.advance(DAY * 359);
    assert_eq!(steps(&emulator, login.clone())[1..], [Value::Null, json!([["OPEN"]])]);
    emulator.advance(DAY);
    let results = steps(&emulator, login.clone());
    assert_eq!((&results[1]["code"], &results[2]), (&json!(28002), &json!([["EXPIRED(GRACE)"]])));
    assert!(results[1]["text"].as_str().unwrap().contains("within 30 days"), "{results:?}");
    emulator.advance(DAY * 30);
    assert_eq!(steps(&emulator, login)[0]["code"], 28001);
    assert_eq!(emulator.user("app").unwrap().status, "EXPIRED");

    let results = steps(
        &emulator,
        json!([
            ["login", "b", "app", "Wrong_password_0", { "newpassword": SECOND }],
            ["login", "b", "app", FIRST, { "newpassword": "weak" }],
            ["login", "b", "app", FIRST, { "newpassword": SECOND }],
            ["query", "b", "SELECT ACCOUNT_STATUS FROM USER_USERS"],
            ["login", "c", "app", SECOND],
            ["login", "d", "app", FIRST],
        ]),
    );
    assert_eq!(codes(&results), [Some(1017), Some(28003), OK, OK, OK, Some(1017)]);
    assert_eq!(results[3], json!([["OPEN"]]));
    emulator.expire_user("app");
    assert_eq!(codes(&steps(&emulator, json!([["login", "e", "app", SECOND]]))), [Some(28001)]);
}

#[test]
fn a_password_returns_only_after_four_others_and_a_day() {
    let emulator = emulator();
    let change = |old: &str, fresh: &str| {
        codes(&steps(&emulator, json!([["login", "a", "app", old], ["change", "a", old, fresh]])))[1]
    };
    let others: Vec<String> = (0..4).map(|number| format!("Another_password_{number}")).collect();
    assert_eq!(change(FIRST, FIRST), Some(28007));
    let mut current = FIRST;
    for other in &others {
        assert_eq!(change(current, other), OK);
        assert_eq!(change(other, current), Some(28007), "the last one is refused");
        current = other;
    }
    assert_eq!(change(current, FIRST), Some(28007), "after four others, but not after a day");
    emulator.advance(DAY);
    assert_eq!(change(current, &others[0]), Some(28007), "after a day, but not after four others");
    assert_eq!(change(current, FIRST), OK);
    assert_eq!(emulator.user("app").unwrap().tally.changes, 5);
}

#[test]
fn the_policys_own_words_come_below_the_refusal() {
    let emulator = emulator();
    let results = steps(&emulator, json!([["login", "a", "app", FIRST], ["change", "a", FIRST, "short"]]));
    assert_eq!(results[1]["code"], 28003);
    assert!(results[1]["text"].as_str().unwrap().contains("\nORA-20000: password length"), "{results:?}");
    assert!(emulator.password_is("app", FIRST));
}

#[test]
fn a_wrong_old_password_changes_nothing_and_is_answered_as_the_option_says() {
    for (wrong_old_password, code) in
        [(WrongOldPassword::InvalidLogin, 1017), (WrongOldPassword::InvalidOldPassword, 28008)]
    {
        let emulator = OracleEmulator::start(Options { wrong_old_password, ..options() }).unwrap();
        let results = steps(
            &emulator,
            json!([
                ["login", "a", "app", FIRST],
                ["change", "a", SECOND, THIRD],
                ["execute", "a", format!("ALTER USER app IDENTIFIED BY \"{THIRD}\"")],
                ["execute", "a", format!("ALTER USER app IDENTIFIED BY \"{THIRD}\" REPLACE \"{SECOND}\"")],
                ["ping", "a"],
                ["execute", "a", format!("ALTER USER app IDENTIFIED BY \"{THIRD}\" REPLACE \"{FIRST}\"")],
            ]),
        );
        assert_eq!(codes(&results), [OK, Some(code), Some(28221), Some(28008), OK, OK]);
        assert!(emulator.password_is("app", THIRD));
        let tally = emulator.user("app").unwrap().tally;
        assert_eq!((tally.changes, tally.refused_changes), (1, 3));
    }
}

#[test]
fn in_a_rollover_window_both_log_in_and_its_end_is_that_of_the_first_change() {
    let emulator = emulator();
    let log_in = |password: &str| codes(&steps(&emulator, json!([["login", "a", "other", password]])))[0];
    let results = steps(&emulator, json!([["login", "a", "other", FIRST], ["change", "a", FIRST, SECOND]]));
    assert_eq!(codes(&results), [OK, OK]);
    assert_eq!(emulator.user("other").unwrap().status, "OPEN & IN ROLLOVER");
    assert_eq!([log_in(FIRST), log_in(SECOND)], [OK, OK]);

    emulator.advance(HOUR * 20);
    let results = steps(&emulator, json!([["login", "a", "other", FIRST], ["change", "a", FIRST, THIRD]]));
    assert_eq!(codes(&results), [OK, OK], "the first password is good for a change too");
    assert_eq!([log_in(FIRST), log_in(SECOND), log_in(THIRD)], [OK, Some(1017), OK]);

    emulator.advance(HOUR * 4);
    assert_eq!([log_in(FIRST), log_in(THIRD)], [Some(1017), OK]);
    assert_eq!(emulator.user("other").unwrap().status, "OPEN");

    // What is over does not linger: the next change begins a window of its own.
    let fourth = "Fourth_password_4";
    let results = steps(&emulator, json!([["login", "a", "other", THIRD], ["change", "a", THIRD, fourth]]));
    assert_eq!(codes(&results), [OK, OK]);
    assert_eq!([log_in(THIRD), log_in(fourth)], [OK, OK]);
}

#[test]
fn a_window_ends_at_an_administrators_word_in_favour_of_the_newest() {
    let emulator = emulator();
    let results = steps(
        &emulator,
        json!([
            ["login", "a", "admin", ADMIN],
            ["execute", "a", format!("ALTER USER other IDENTIFIED BY \"{SECOND}\"")],
            ["login", "b", "other", FIRST],
            ["execute", "a", "ALTER USER other EXPIRE PASSWORD ROLLOVER PERIOD"],
            ["login", "c", "other", FIRST],
            ["login", "d", "other", SECOND],
            ["query", "b", "SELECT ACCOUNT_STATUS FROM USER_USERS"],
        ]),
    );
    assert_eq!(codes(&results), [OK, OK, OK, OK, Some(1017), OK, OK]);
    assert_eq!(results[6], json!([["OPEN"]]), "sessions stay");
}

#[test]
fn whether_a_window_lets_its_first_password_return_is_an_option() {
    for (restore, code) in
        [(Restore::Allowed, OK), (Restore::Refused, Some(28007)), (Restore::ByReuseLimits, Some(28007))]
    {
        let emulator = OracleEmulator::start(Options { restore, ..options() }).unwrap();
        let back =
            json!([["login", "a", "other", FIRST], ["change", "a", FIRST, SECOND], ["change", "a", SECOND, FIRST]]);
        assert_eq!(codes(&steps(&emulator, back)), [OK, OK, code], "{restore:?}");
        assert_eq!(emulator.password_is("other", FIRST), code.is_none());
    }
    let mut options = options();
    options.profiles.push(("ROLLING".to_owned(), Profile::classic().with_rollover(Duration::from_secs(7_200))));
    let emulator = OracleEmulator::start(options).unwrap();
    let back = json!([["login", "a", "other", FIRST], ["change", "a", FIRST, SECOND], ["change", "a", SECOND, FIRST]]);
    assert_eq!(codes(&steps(&emulator, back)), [OK, OK, OK], "no reuse limits, nothing to refuse by");
}

#[test]
fn odd_characters_in_passwords_survive() {
    let emulator = OracleEmulator::start(Options {
        accounts: vec![Account::new("app", FIRST).with_profile("CLASSIC")],
        ..options()
    })
    .unwrap();
    let odd = ["a:b'c--d/*e;f&g?h", "é ünï 中 1", " spaces around ", "x"];
    let mut story = vec![json!(["login", "a", "app", FIRST])];
    let mut old = FIRST;
    for (at, next) in odd.into_iter().enumerate() {
        story.push(json!(["change", "a", old, next]));
        story.push(json!(["login", format!("l{at}"), "app", next]));
        old = next;
    }
    assert_eq!(codes(&steps(&emulator, json!(story))), vec![OK; 9]);
    assert!(emulator.password_is("app", "x"));
}
