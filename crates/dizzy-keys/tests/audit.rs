//! The trail of a real installation: written by rotations, verified, tampered with, found out.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests panic as tests do")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{Told, binary, run, start};
use dizzy_sandbox::{Installation, PostgresOptions, SET, installation::Users, ocsf};
use serde_json::Value;

const KEY: &str = "hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const NEXT: &str = "hex:101112131415161718191a1b1c1d1e1f101112131415161718191a1b1c1d1e1f";
const SEED: &str = "hex:202122232425262728292a2b2c2d2e2f202122232425262728292a2b2c2d2e2f";

/// Every object of the trail below this folder, in order.
fn objects(at: &Installation, folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&at.path(folder), &mut found);
    found.retain(|path| path.extension().is_some_and(|ending| ending == "ndjson"));
    found.sort();
    found
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

#[expect(clippy::disallowed_methods, reason = "somebody writes past the product")]
fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

fn json(told: &Told) -> Value {
    serde_json::from_str(&told.out).unwrap_or_default()
}

/// One database and one secret, prepared, with these lines in the table of the trail.
fn prepared(audit: impl Fn(&str) -> String) -> Installation {
    let at = Installation::start(binary(), &[("rds", Users::Alternating)], 1, &PostgresOptions::default()).unwrap();
    let path = at.path(".").display().to_string();
    let config = fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
    let (before, rest) = config.split_once("[audit]\n").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    at.write("dizzy-keys.toml", &format!("{before}[audit]\n{}{rest}", audit(&path))).unwrap();
    at.write("key", KEY).unwrap();
    at.write("seed", SEED).unwrap();
    at.prepare().unwrap();
    at
}

/// The findings of a verification, by kind.
fn kinds(told: &Told) -> Vec<String> {
    let sets = json(told)["sets"].as_array().cloned().unwrap_or_default();
    let each = sets.iter().flat_map(|set| set["counts"].as_object().cloned().unwrap_or_default());
    each.map(|(kind, _)| kind).collect()
}

fn verify(at: &Installation, more: &[&str]) -> Told {
    let args: Vec<&str> = ["--output", "json", "audit", "verify"].iter().chain(more).copied().collect();
    run(at, &args)
}

fn signed() -> Installation {
    let at = prepared(|path| {
        format!(
            "key = \"file:{path}/key\"\nnote_key = \"file:{path}/seed\"\nsinks = [\"file:{path}/audit\", \"file:{path}/other\"]\n"
        )
    });
    run(&at, &["rotate", SET]).expect(0);
    run(&at, &["rotate", SET]).expect(0);
    at
}

#[test]
fn a_trail_verifies_until_somebody_touches_it() {
    let at = signed();
    let clean = verify(&at, &[]);
    assert_eq!(
        (clean.exit, kinds(&clean)),
        (Some(0), vec!["VERSIONS_NOT_LISTED".to_owned()]),
        "{}{}",
        clean.out,
        clean.err
    );
    let clean = json(&clean);
    let place = &clean["sets"][0]["places"][0];
    assert_eq!((&place["records"], place["covered"].as_u64()), (&place["checked"], place["records"].as_u64()));
    assert!(place["records"].as_u64().unwrap() > 15, "{place}");

    // One byte, in every object in turn.
    for path in objects(&at, "audit") {
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        write(&path, &bad);
        let told = verify(&at, &[]);
        assert_eq!(told.exit, Some(5), "{}: {}", path.display(), told.out);
        assert!(told.err.contains("DK-602"), "{}", told.err);
        write(&path, &good);
    }
    // A whole cloud is wiped.
    fs::rename(at.path("other"), at.path("elsewhere")).unwrap();
    let wiped = verify(&at, &[]);
    assert_eq!(wiped.exit, Some(5), "{}", wiped.out);
    assert!(
        ["CLOUDS_DIFFER", "TRUNCATED"].iter().all(|kind| kinds(&wiped).contains(&(*kind).to_owned())),
        "{}",
        wiped.out
    );
    fs::rename(at.path("elsewhere"), at.path("other")).unwrap();
    assert_eq!(verify(&at, &[]).exit, Some(0));
}

#[test]
fn an_exported_trail_is_verified_without_network_and_configuration() {
    let at = signed();
    let export = run(&at, &["audit", "export"]);
    let export = export.expect(0);
    write(&at.path("trail.ndjson"), export.out.as_bytes());
    let clean = verify(&at, &[]);
    let clean = json(&clean);
    let head = &clean["sets"][0]["places"][0]["head"];
    let head = format!("{}:{}:{}", head["stream"].as_str().unwrap(), head["seq"], head["hash"].as_str().unwrap());
    let (from, key) = (format!("file:{}", at.path("trail.ndjson").display()), at.path("key").display().to_string());
    let nowhere = at.path("no.toml").display().to_string();
    let args = ["--config", nowhere.as_str(), "--from", from.as_str(), "--key-file", key.as_str()];
    // Neither a configuration nor anything in the environment names a service that could be asked.
    let verify = |args: &[&str]| {
        let args = [&["--output", "json", "audit", "verify"], args].concat();
        Told::of(&at.command(&args).env_clear().output().unwrap())
    };
    let without_head = verify(&args);
    assert_eq!(
        (without_head.exit, kinds(&without_head)),
        (Some(1), vec!["END_NOT_CHECKED".to_owned()]),
        "{}",
        without_head.err
    );
    let args = [&args[..], &["--head", head.as_str()]].concat();
    assert_eq!(verify(&args).exit, Some(0));
    // The last line is cut off.
    let lines: Vec<&str> = export.out.lines().collect();
    write(&at.path("trail.ndjson"), (lines[..lines.len() - 1].join("\n") + "\n").as_bytes());
    let cut = verify(&args);
    assert_eq!((cut.exit, kinds(&cut)), (Some(5), vec!["TRUNCATED".to_owned()]), "{}", cut.out);

    let ocsf = run(&at, &["audit", "export", "--format", "ocsf"]);
    judge_ocsf(&ocsf.expect(0).out, lines.len());
    let show = run(&at, &["audit", "show", SET, "--since", "1h"]);
    let show = show.expect(0);
    assert_eq!(show.out.lines().count(), lines.len());
    let report = run(&at, &["audit", "report", "--max-age", "1d", "--format", "csv"]);
    let report = report.expect(0);
    assert_eq!(report.out.lines().count(), 3, "{}", report.out);
    let none = run(&at, &["audit", "report", "--max-age", "0s"]);
    assert_eq!(none.exit, Some(1), "{}", none.out);
}

type Damage = fn(&mut Value);

/// Every event fits the published schema, and each of these damages is refused by it.
fn judge_ocsf(export: &str, records: usize) {
    let judged = ocsf::judge(export).unwrap();
    assert_eq!(judged.complaints, Vec::<String>::new());
    assert_eq!(judged.classes.keys().map(String::as_str).collect::<Vec<_>>(), ["3001", "3004", "6003"]);
    assert_eq!(judged.classes.values().sum::<u64>(), records as u64);
    let events: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let damages: [(&str, Damage); 5] = [
        ("a required attribute is missing", |event| drop(event.as_object_mut().unwrap().remove("severity_id"))),
        ("an attribute that no schema knows", |event| event["password"] = "no".into()),
        ("a number that is none of an enumeration", |event| event["status_id"] = 77.into()),
        ("a text in the place of a number", |event| event["time"] = "yesterday".into()),
        ("an activity that does not fit the type", |event| event["type_uid"] = 300_199.into()),
    ];
    for (what, damage) in damages {
        let mut damaged = events.clone();
        damage(&mut damaged[3]);
        let damaged: String = damaged.iter().map(|event| format!("{event}\n")).collect();
        let complaints = ocsf::judge(&damaged).unwrap().complaints;
        assert!(
            !complaints.is_empty() && complaints.iter().all(|told| told.starts_with("line 4:")),
            "{what}: {complaints:?}"
        );
    }
    let cut = ocsf::judge(&export[..export.len() - 10]).unwrap().complaints;
    assert_eq!(cut.len(), 1, "a file that was cut in the middle of a line: {cut:?}");
}

#[test]
fn a_key_is_handed_over_and_the_former_one_counts_no_more() {
    let at = signed();
    at.write("former", KEY).unwrap();
    at.write("key", NEXT).unwrap();
    let refused = run(&at, &["--output", "json", "rotate", SET]);
    assert_eq!(refused.exit, Some(1), "{}", refused.err);
    assert!(refused.err.contains("DK-601") && refused.err.contains("audit key rotate"), "{}", refused.err);
    let config = fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
    let former = format!("former_keys = [\"file:{}\"]\nkey = ", at.path("former").display());
    write(&at.path("dizzy-keys.toml"), config.replacen("key = ", &former, 1).as_bytes());
    run(&at, &["audit", "key", "rotate"]).expect(0);
    run(&at, &["audit", "key", "rotate"]).expect(0);
    run(&at, &["rotate", SET]).expect(0);
    run(&at, &["audit", "heartbeat"]).expect(0);
    let clean = verify(&at, &["--max-silence", "1h"]);
    assert_eq!(clean.exit, Some(0), "{}{}", clean.out, clean.err);
    assert_eq!(json(&clean)["sets"][0]["places"][0]["kids"].as_array().unwrap().len(), 2);
}

/// The clock is the test's. A schedule that calls every hour leaves a record a day; one that has stopped is told, and since when.
#[test]
fn a_schedule_that_finds_nothing_due_shows_that_it_looked() {
    const HOUR: u64 = 3_600_000;
    let at = signed();
    let run_at = |hour: u64, args: &[&str]| {
        at.write("clock", &(hour * HOUR).to_string()).unwrap();
        Told::of(&at.command(args).env("DIZZY_KEYS_CLOCK", at.path("clock")).output().unwrap())
    };
    let beats = || run(&at, &["audit", "show", SET]).expect(0).out.matches(" heartbeat ").count();
    for (hour, expected) in [(1, 0), (19, 0), (21, 1), (22, 1), (40, 1), (42, 2), (43, 2)] {
        let told = run_at(hour, &["rotate", "--due"]).expect(0);
        assert_eq!((told.out.as_str(), beats()), ("No set is due.\n", expected), "after {hour} hours: {}", told.err);
    }
    let silence = ["--output", "json", "audit", "verify", "--max-silence", "36h"];
    let alive = run_at(44, &silence);
    assert_eq!((alive.exit, kinds(&alive)), (Some(0), vec!["VERSIONS_NOT_LISTED".to_owned()]), "{}", alive.out);
    let silent = run_at(42 + 37, &silence);
    assert_eq!(silent.exit, Some(1), "{}", silent.out);
    let finding = json(&silent)["sets"][0]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["kind"] == "STALE_HEARTBEAT")
        .cloned();
    assert!(finding.unwrap()["detail"].as_str().unwrap().contains("nothing was recorded since"), "{}", silent.out);
    let report = run_at(42 + 37, &["--output", "json", "audit", "report"]).expect(0);
    let seen = json(&report)["sets"][0]["seen"].clone();
    assert!(
        seen.as_str().is_some_and(|seen| seen > json(&report)["sets"][0]["last"].as_str().unwrap()),
        "{}",
        report.out
    );
    // A place that is away is no reason to fail: nothing was due.
    fs::remove_dir_all(at.path("other")).unwrap();
    write(&at.path("other"), b"no folder");
    fs::rename(at.path("audit"), at.path("elsewhere")).unwrap();
    write(&at.path("audit"), b"no folder");
    let told = run_at(42 + 38, &["rotate", "--due"]).expect(0);
    assert!(told.err.contains("no sign of life"), "{}", told.err);
}

#[test]
fn a_trail_is_followed_while_it_is_written_until_somebody_interrupts() {
    let at = signed();
    let so_far = run(&at, &["audit", "show", SET]).expect(0).out.lines().count();
    let mut following = start(&at, &["audit", "show", SET, "--follow"]);
    let mut lines = following.lines();
    assert_eq!(lines.by_ref().take(so_far).count(), so_far);
    run(&at, &["audit", "heartbeat"]).expect(0);
    let next = lines.next().unwrap();
    assert!(next.contains("heartbeat"), "{next}");
    following.signal("INT");
    assert_eq!(lines.next(), None, "nothing more");
    let told = following.told();
    assert_eq!((told.signal, told.err.as_str()), (Some(2), ""));
}

#[test]
fn without_the_lost_key_the_trail_goes_on_and_says_so_for_ever() {
    let at = signed();
    at.write("key", NEXT).unwrap();
    assert_eq!(run(&at, &["rotate", SET]).exit, Some(1));
    let asked = run(&at, &["audit", "key", "rotate", "--former-key-lost"]);
    assert_eq!(asked.exit, Some(2), "nobody is there to ask: {}", asked.err);
    assert_eq!(run(&at, &["rotate", SET]).exit, Some(1), "and nothing was declared");
    run(&at, &["audit", "key", "rotate", "--former-key-lost", "--yes"]).expect(0);
    let again = run(&at, &["audit", "key", "rotate", "--former-key-lost", "--yes"]);
    assert!(again.expect(0).out.contains("already"));
    run(&at, &["rotate", SET]).expect(0);
    let told = verify(&at, &[]);
    assert_eq!(told.exit, Some(1), "{}", told.out);
    // The refused runs could sign nothing, and the next one said how many records that were. Signed notes speak for what the lost
    // key had signed.
    let declared = ["DECLARED_GAP", "KEY_LOST", "VERSIONS_NOT_LISTED"].map(str::to_owned).to_vec();
    assert_eq!(kinds(&told), declared, "{}", told.out);
    // The former key is found again: it is told all the same, and nothing else is left open.
    at.write("former", KEY).unwrap();
    let config = fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
    let former = format!("former_keys = [\"file:{}\"]\nkey = ", at.path("former").display());
    write(&at.path("dizzy-keys.toml"), config.replacen("key = ", &former, 1).as_bytes());
    let told = verify(&at, &[]);
    assert_eq!((told.exit, kinds(&told)), (Some(1), declared), "{}", told.out);
    // What the lost key had signed cannot be cut away.
    let first = objects(&at, "audit").into_iter().next().unwrap();
    fs::remove_dir_all(first.parent().unwrap()).unwrap();
    assert_eq!(verify(&at, &[]).exit, Some(5));
}

#[test]
fn an_unsigned_trail_is_told_as_not_checked() {
    let at = prepared(|path| format!("sinks = [\"file:{path}/audit\"]\n"));
    run(&at, &["rotate", SET]).expect(0);
    let told = verify(&at, &[]);
    assert_eq!(told.exit, Some(1), "{}", told.out);
    assert!(kinds(&told).contains(&"UNSIGNED".to_owned()) && told.err.contains("DK-603"), "{}{}", told.out, told.err);
}
