//! The world is repaired, against real servers: registers that are lost, passwords and secrets that somebody changed by hand.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests panic and print as tests do"
)]

mod common;

use std::{fs, time::Duration};

use common::{Told, assert_at_rest, binary, dead, error, fails, killed_at_call, published, refuses, run};
use dizzy_sandbox::{Application, Installation, PostgresOptions, SET, Users, moto::Mishap};
use serde_json::{Value, json};

const FROM_WORLD: [&str; 4] = ["--yes", "recover", "--from-world", SET];
/// No rotation has more points; a sweep that gets here has lost its way.
const MOST_POINTS: u32 = 200;
/// With this in the environment a sweep kills at every point, not at some of them.
const EVERY_POINT: &str = "DIZZY_KILL_EVERYWHERE";

fn rotated(databases: &[(&str, Users)]) -> Installation {
    let at = Installation::start(binary(), databases, 2, &PostgresOptions::default()).unwrap();
    at.prepare().unwrap();
    for _ in 0..2 {
        run(&at, &["rotate", SET]).expect(0);
    }
    at
}

fn lose_the_register(at: &Installation) -> Value {
    let lost = at.register().unwrap();
    fs::remove_dir_all(at.path("journal")).unwrap();
    lost
}

fn known(register: &Value, user: &str) -> Value {
    let databases = register["databases"].as_object().unwrap();
    databases.values().find_map(|d| d["users"].get(user)).unwrap()["known"].clone()
}

#[test]
fn a_lost_register_is_rebuilt_after_a_question_and_the_lost_one_is_fenced_off() {
    let at = rotated(&[("rds", Users::Alternating), ("billing", Users::Single)]);
    refuses(&at, "it is not lost", &FROM_WORLD, 2, "DK-407", &["recover", "not replaced"]);
    let lost = lose_the_register(&at);
    let before = published(&at);
    refuses(&at, "nobody to ask", &FROM_WORLD[1..], 2, "DK-108", &["--yes", "json"]);
    let told = run(&at, &FROM_WORLD[1..]).expect(2);
    assert!(
        told.out.contains("generation 3 is published") && told.err.contains("no terminal"),
        "{}{}",
        told.out,
        told.err
    );
    assert!(at.register().is_err(), "nothing was written");

    let told = run(&at, &[&["--output", "json"], &FROM_WORLD[..]].concat()).expect(0);
    let answer: Value = serde_json::from_str(&told.out).unwrap();
    println!("{answer:#}");
    assert_eq!(
        (answer["sets"][0]["phase"].as_str(), answer["sets"][0]["generation"].as_u64()),
        (Some("idle"), Some(3))
    );
    let found = at.register().unwrap();
    for field in ["register", "current", "last", "phase"] {
        assert_eq!(found[field], lost[field], "{field}");
    }
    assert!(found["epoch"].as_u64() > lost["epoch"].as_u64() && found["quiet"].is_i64(), "{found}");
    for user in ["rds_a", "rds_b", "billing_only"] {
        assert_eq!(known(&found, user), known(&lost, user), "{user}");
    }
    assert_eq!(published(&at), before, "nothing was published anew");
    let verified = run(&at, &["--output", "json", "audit", "verify", SET]);
    assert_eq!(verified.exit, Some(1), "unsigned, and nothing worse: {}{}", verified.out, verified.err);
    let shown = run(&at, &["audit", "show", SET]).expect(0);
    assert!(shown.out.contains("register.lost") && shown.out.contains("trail.continued"), "{}", shown.out);
    assert_at_rest(&at, "rebuilt");
    run(&at, &["rotate", SET]).expect(0);
    assert_at_rest(&at, "the next rotation");

    // The lost one turns up, and somebody rotates with it: the fences refuse, and what is published goes on working.
    at.write(&format!("journal/{SET}.json"), &lost.to_string()).unwrap();
    let told = run(&at, &["rotate", SET]);
    assert_ne!(told.exit, Some(0), "{}", told.out);
    assert_eq!(dead(&at, &published(&at)), Vec::<String>::new());
}

/// Kills a rotation at some of its points, and loses the register each time.
fn sweep(at: &Installation, offset: u32) -> u32 {
    #[expect(clippy::disallowed_methods, reason = "a test reads its own switch")]
    let stride = if std::env::var(EVERY_POINT).is_ok() { 1 } else { 7 };
    let mut kills = 0;
    for point in (offset..MOST_POINTS).step_by(stride) {
        let mut command = at.command(&["-vv", "rotate", SET]);
        let told = Told::of(&command.env("DIZZY_KEYS_KILL_AT", point.to_string()).output().unwrap());
        if told.signal.is_none() {
            told.expect(0);
            break;
        }
        kills += 1;
        let step = told.err.lines().rev().find(|l| l.contains("step=")).unwrap_or("?").to_owned();
        let story = format!("killed at point {point}: {step}");
        let lost = lose_the_register(at);
        let told = run(at, &FROM_WORLD);
        assert_eq!(told.exit, Some(0), "{story}: {}{}", told.out, told.err);
        let found = told.out.lines().rev().find(|l| l.contains("register ")).unwrap_or("?");
        println!("{story}: was {}, {found}", lost["phase"]);
        assert_at_rest(at, &story);
    }
    run(at, &["rotate", SET]).expect(0);
    assert_at_rest(at, "after the sweep");
    kills
}

#[test]
fn wherever_a_worker_was_killed_the_set_comes_to_rest_without_its_register() {
    let kills = sweep(&rotated(&[("rds", Users::Alternating), ("billing", Users::Single)]), 0);
    println!("{kills} kills");
    assert!(kills > 5, "only {kills} kills");
}

#[test]
fn an_application_logs_in_while_registers_are_lost() {
    let at = rotated(&[("rds", Users::Alternating)]);
    let application = Application::start(&at, Duration::from_millis(20)).unwrap();
    application.wait_for(3).unwrap();
    let kills = sweep(&at, 3);
    let logins = application.end().unwrap();
    let failed: Vec<_> = logins.iter().filter(|login| !login.ok).collect();
    println!("{kills} kills; {} logins, {} failed", logins.len(), failed.len());
    assert_eq!(failed.len(), 0, "{failed:?}");
    assert!(kills > 3, "only {kills} kills");
}

#[test]
fn a_rebuild_that_was_killed_is_begun_again() {
    let at = rotated(&[("rds", Users::Alternating), ("billing", Users::Single)]);
    for operation in ["DescribeSecret", "GetSecretValue"] {
        let mut kills = 0;
        lose_the_register(&at);
        while killed_at_call(&at, &FROM_WORLD, operation, Mishap::Hang, kills) {
            kills += 1;
            assert!(kills < MOST_POINTS, "it never ends");
            assert!(at.register().is_err(), "the register comes last: {kills}. {operation}");
            assert_eq!(dead(&at, &published(&at)), Vec::<String>::new());
        }
        println!("{kills} kills while {operation} was under way");
        assert!(kills >= 2, "{operation}: a call for each of two secrets");
        assert_at_rest(&at, "rebuilt after all");
        run(&at, &["rotate", SET]).expect(0);
        assert_at_rest(&at, "rotated after a rebuild that was killed");
    }
}

#[test]
fn what_is_not_clear_is_told() {
    let at = rotated(&[("rds", Users::Alternating)]);
    let lost = lose_the_register(&at);
    let server = &at.members[0].server;
    let id = lost["register"].as_str().unwrap();
    server.psql("UPDATE dizzy.fence SET register = 'ffffffffffffffffffffffffffffffff'").unwrap();
    refuses(&at, "two registers", &FROM_WORLD, 3, "DK-516", &["ffffffff", &id[..10], "two installations"]);
    server.psql(&format!("UPDATE dizzy.fence SET register = '{id}'")).unwrap();

    let text = at.moto.current_text("prod/orders-1").unwrap();
    let mut value: Value = serde_json::from_str(&text).unwrap();
    value["rds"]["password"] = json!("canary-by-hand");
    common::publish(&at, "prod/orders-1", &value.to_string());
    let says = ["aws-sm:prod/orders-1 publishes an unknown generation", "does not log in on rds", "logs in on rds"];
    refuses(&at, "a secret that somebody wrote", &FROM_WORLD, 3, "DK-516", &says);
    common::publish(&at, "prod/orders-1", &text);
    run(&at, &FROM_WORLD).expect(0);
    // The text is the same, the version is another one: it counts as the generation that it holds.
    run(&at, &["rotate", SET]).expect(0);
    assert_at_rest(&at, "after everything was put back");
    let told = run(&at, &["--output", "json", "recover", "--from-world"]);
    assert_eq!((told.exit, error(&told, "no set")["code"].as_str()), (Some(2), Some("DK-101")));
    fails(&at, "retry logins", &["recover", "--from-world", "--retry-logins", SET], 2, "DK-101", &["cannot be used"]);
}

/// What somebody does by hand, and what `reconcile` says that it would do about it.
struct Mischief<'a> {
    story: &'a str,
    needs_glass: bool,
    says: &'a str,
    play: &'a dyn Fn(&Installation),
}

fn set_password(at: &Installation, member: usize, user: &str, password: &str) {
    at.members[member].server.psql(&format!("ALTER ROLE {user} PASSWORD '{password}'")).unwrap();
}

fn live(at: &Installation, member: usize) -> (String, String) {
    common::credential(published(at).first_key_value().unwrap().1, &at.members[member])
}

fn version(at: &Installation, secret: &str, generation: u64) -> String {
    at.register().unwrap()["stores"][format!("aws-sm:{secret}")][generation.to_string()].as_str().unwrap().to_owned()
}

fn current(at: &Installation) -> u64 {
    at.register().unwrap()["current"].as_u64().unwrap()
}

const MISCHIEF: [Mischief<'static>; 6] = [
    Mischief {
        story: "a single user put back on its old password",
        needs_glass: false,
        says: "billing: billing_only changes its password from g",
        play: &|at| {
            let id = version(at, "prod/orders-1", current(at) - 1);
            let input = json!({"SecretId": "prod/orders-1", "VersionId": id});
            let answer = at.moto.call("secretsmanager", "GetSecretValue", &input).unwrap();
            let document: Value = serde_json::from_str(answer["SecretString"].as_str().unwrap()).unwrap();
            set_password(at, 1, "billing_only", document["billing"]["password"].as_str().unwrap());
        },
    },
    Mischief {
        story: "a published password that nobody knows",
        needs_glass: true,
        says: "rds: the administrator sets the password of rds_",
        play: &|at| set_password(at, 0, &live(at, 0).0, "canary-by-hand"),
    },
    Mischief {
        story: "the idle user's password that nobody knows",
        needs_glass: true,
        says: "rds: the administrator sets the password of rds_",
        play: &|at| set_password(at, 0, if live(at, 0).0 == "rds_a" { "rds_b" } else { "rds_a" }, "canary-by-hand"),
    },
    Mischief {
        story: "a key that was edited",
        needs_glass: false,
        says: "prod/orders-1: version ",
        play: &|at| {
            let text = at.moto.current_text("prod/orders-1").unwrap();
            common::publish(at, "prod/orders-1", &text.replace("kept as it is", "edited by a person"));
        },
    },
    Mischief {
        story: "a secret that was moved back",
        needs_glass: false,
        says: "prod/orders-2: CURRENT goes from version ",
        play: &|at| common::move_current(at, "prod/orders-2", &version(at, "prod/orders-2", current(at) - 1)),
    },
    Mischief {
        story: "a password that was rotated by hand",
        needs_glass: false,
        says: "what every secret publishes logs in everywhere, and is recorded as g",
        play: &|at| {
            set_password(at, 1, "billing_only", "canary-rotated-by-hand");
            for secret in &at.secrets {
                let mut document: Value = serde_json::from_str(&at.moto.current_text(secret).unwrap()).unwrap();
                document["billing"]["password"] = json!("canary-rotated-by-hand");
                common::publish(at, secret, &document.to_string());
            }
        },
    },
];

fn reconcile<'a>(mischief: &Mischief<'_>, extra: &[&'a str]) -> Vec<&'a str> {
    let glass: &[&str] = if mischief.needs_glass { &["--break-glass"] } else { &[] };
    [extra, &["reconcile", SET], glass].concat()
}

#[test]
fn what_somebody_changed_by_hand_is_mended_after_a_question() {
    let at = rotated(&[("rds", Users::Alternating), ("billing", Users::Single)]);
    let told = run(&at, &["reconcile", SET]).expect(0);
    assert!(told.out.contains("no drift"), "{}", told.out);
    for mischief in &MISCHIEF {
        let story = mischief.story;
        (mischief.play)(&at);
        if mischief.needs_glass {
            refuses(&at, story, &["--yes", "reconcile", SET], 3, "DK-516", &["--break-glass", "no password"]);
        }
        let before = common::snapshot(&at);
        let told = run(&at, &[&reconcile(mischief, &[])[..], &["--dry-run"]].concat()).expect(0);
        println!("{story}:\n{}", told.out);
        assert!(told.out.contains(mischief.says), "{story}: {}", told.out);
        assert_eq!(common::snapshot(&at), before, "{story}: a dry run changes nothing");
        refuses(&at, story, &reconcile(mischief, &[]), 2, "DK-108", &["--yes"]);
        let told = run(&at, &reconcile(mischief, &["--yes", "--output", "json"])).expect(0);
        let answer: Value = serde_json::from_str(&told.out).unwrap();
        assert_eq!(answer["sets"][0]["repaired"], json!(true), "{story}: {answer}");
        assert_at_rest(&at, story);
        let told = run(&at, &["reconcile", SET]).expect(0);
        assert!(told.out.contains("no drift"), "{story}: {}", told.out);
        run(&at, &["rotate", SET]).expect(0);
        assert_at_rest(&at, &format!("rotated after: {story}"));
        if story.contains("edited") {
            assert!(at.moto.current_text("prod/orders-1").unwrap().contains("edited by a person"), "the edit goes on");
        }
    }
    let shown = run(&at, &["audit", "show", SET]).expect(0);
    assert!(shown.out.contains("drift.repaired"), "{}", shown.out);
    assert_eq!(run(&at, &["audit", "verify", SET]).exit, Some(1), "unsigned, and nothing worse");
}

#[test]
fn a_repair_that_was_killed_is_ended_by_the_next_one() {
    let at = rotated(&[("rds", Users::Alternating), ("billing", Users::Single)]);
    let calls = [
        ("GetSecretValue", Mishap::Hang),
        ("UpdateSecretVersionStage", Mishap::Hang),
        ("UpdateSecretVersionStage", Mishap::HangAfter),
    ];
    for (operation, mishap) in calls {
        let mut kills = 0;
        for drift in &MISCHIEF {
            (drift.play)(&at);
            let before = kills;
            // The last calls of a repair come after its changes of passwords, the first before.
            for passed in (0..MOST_POINTS).step_by(2) {
                if !killed_at_call(&at, &reconcile(drift, &["--yes"]), operation, mishap, passed) {
                    break;
                }
                kills += 1;
            }
            println!("{}: {} kills while {operation} was under way ({mishap:?})", drift.story, kills - before);
            let told = run(&at, &["reconcile", SET]).expect(0);
            assert!(told.out.contains("no drift"), "{}: {}", drift.story, told.out);
            assert_at_rest(&at, drift.story);
            run(&at, &["rotate", SET]).expect(0);
            assert_at_rest(&at, &format!("rotated after: {}", drift.story));
        }
        assert!(kills > 0, "no repair makes the call {operation}");
    }
}

#[test]
fn a_rotation_under_way_comes_before_a_repair() {
    let at = rotated(&[("rds", Users::Alternating)]);
    let mut command = at.command(&["rotate", SET]);
    let told = Told::of(&command.env("DIZZY_KEYS_KILL_AT", "24").output().unwrap());
    assert!(told.signal.is_some(), "{}", told.err);
    refuses(&at, "under way", &["--yes", "reconcile", SET], 6, "DK-502", &["recover"]);
    run(&at, &["recover", SET]).expect(0);
    run(&at, &["reconcile", SET]).expect(0);
}

#[test]
fn a_set_that_is_stuck_says_so_is_left_alone_by_the_schedule_and_heals() {
    let at = rotated(&[("rds", Users::Single), ("billing", Users::Single)]);
    at.configure("every = \"1d\"").unwrap();
    let before = current(&at);
    let [first, second] = [&at.members[0].server, &at.members[1].server];
    // One of the two refuses at the very last moment, when the other has committed; and that one does not take its old password back.
    let refusing = |when: &str, timing: &str| {
        format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             $$BEGIN IF {when} THEN RAISE 'no' USING ERRCODE = 'invalid_parameter_value'; END IF; RETURN NULL; END$$;\n\
             CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON dizzy.fence {timing} FOR EACH ROW EXECUTE FUNCTION refuse();"
        )
    };
    let back = refusing("NEW.gen < OLD.gen", "NOT DEFERRABLE");
    let late = refusing("NEW.gen > OLD.gen", "DEFERRABLE INITIALLY DEFERRED");
    first.psql(&late).unwrap();
    second.psql(&back).unwrap();
    let mut command = at.command(&["--output", "json", "rotate", SET]);
    let told = Told::of(&command.env("DIZZY_KEYS_BUDGET", "3000").output().unwrap());
    println!("{}", told.err);
    let error = error(&told, "stuck");
    assert_eq!((told.exit, error["code"].as_str()), (Some(3), Some("DK-503")), "{error}");
    assert!(error["state"].as_str().unwrap().contains("billing"), "{error}");

    let status = run(&at, &["status", SET]).expect(0);
    println!("{}", status.out);
    assert!(status.out.contains("STUCK") && status.out.contains(&format!("recover {SET}")), "{}", status.out);
    // The schedule calls a person, and tries nothing.
    let snapshot = common::snapshot(&at);
    for _ in 0..3 {
        refuses(&at, "by schedule", &["rotate", "--due"], 3, "DK-503", &["recover"]);
    }
    refuses(&at, "by hand", &["rotate", SET], 3, "DK-503", &["recover"]);
    refuses(&at, "not a drift", &["--yes", "reconcile", SET], 3, "DK-503", &["recover"]);
    assert_eq!(common::snapshot(&at), snapshot);
    // Consumers that try PENDING next are not locked out.
    let pending = common::labelled(&at, "prod/orders-1", "AWSPENDING").unwrap();
    let (user, password) = common::credential(&pending, &at.members[1]);
    assert!(second.login(&user, &password).unwrap(), "PENDING logs in where CURRENT does not");

    // While the cause is there, it stays stuck.
    let mut command = at.command(&["--output", "json", "recover", SET]);
    let told = Told::of(&command.env("DIZZY_KEYS_BUDGET", "2000").output().unwrap());
    assert_eq!(told.exit, Some(3), "{}{}", told.out, told.err);
    for server in [first, second] {
        server.psql("DROP TRIGGER refuse ON dizzy.fence").unwrap();
    }
    run(&at, &["recover", SET]).expect(0);
    assert_at_rest(&at, "healed");
    assert_eq!(current(&at), before, "it went back");
    run(&at, &["rotate", SET]).expect(0);
    assert_at_rest(&at, "the next rotation");
}
