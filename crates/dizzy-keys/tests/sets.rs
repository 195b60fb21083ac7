//! Many sets at once, with the real binary: side by side, with some that hang, in parts, by schedule, and with several schedulers.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests panic and print as tests do"
)]

mod common;

use std::{collections::BTreeMap, time::Duration};

use common::{Running, Told, binary};
use dizzy_sandbox::{
    Fleet, Oddity, PostgresOptions, Registers, SilentHost,
    fleet::secret,
    moto::{Fault, Mishap},
};
use serde_json::{Value, json};

fn fleet(number: usize) -> Fleet {
    prepared(number, Registers::Folder)
}

fn prepared(number: usize, registers: Registers) -> Fleet {
    let fleet = Fleet::start(binary(), number, registers, &PostgresOptions::default()).unwrap();
    fleet.must(&["--yes", "prepare"]).unwrap();
    fleet
}

fn run(fleet: &Fleet, args: &[&str]) -> Told {
    Told::of(&fleet.run(args).unwrap())
}

fn start(fleet: &Fleet, args: &[&str]) -> Running {
    Running::spawn(&mut fleet.command(args))
}

/// How each set ended: outcome and code, by its name.
fn ends(told: &Told) -> BTreeMap<String, (String, Option<String>)> {
    let result: Value = serde_json::from_str(&told.out).unwrap_or_else(|_| panic!("{}{}", told.out, told.err));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let rows = result["sets"].as_array().unwrap();
    rows.iter()
        .map(|row| (text(&row["set"]).unwrap(), (text(&row["outcome"]).unwrap(), text(&row["error"]["code"]))))
        .collect()
}

fn current(fleet: &Fleet, set: &str) -> u64 {
    fleet.register(set).unwrap()["current"].as_u64().unwrap()
}

fn assert_all_log_in(fleet: &Fleet, story: &str) {
    let dead: Vec<&String> = fleet.sets.iter().filter(|set| !fleet.logs_in(set).unwrap()).collect();
    assert!(dead.is_empty(), "{story}: what is published does not log in: {dead:?}");
}

#[test]
fn twelve_sets_rotate_at_once_and_none_of_twelve_applications_notices() {
    let fleet = fleet(12);
    let applications: Vec<_> =
        fleet.sets.iter().map(|set| fleet.application(set, Duration::from_millis(500)).unwrap()).collect();
    let everybody_logs_in = |more: usize| {
        for application in &applications {
            application.wait_for(application.tried() + more).unwrap();
        }
    };
    everybody_logs_in(1);
    for rotation in 2..=4 {
        let told = run(&fleet, &["rotate", "--all", "--concurrency", "12", "--output", "json"]).expect(0);
        let ends = ends(&told);
        assert_eq!(ends.keys().collect::<Vec<_>>(), fleet.sets.iter().collect::<Vec<_>>(), "in the order of names");
        assert!(ends.values().all(|end| end.0 == "rotated"), "{ends:?}");
        assert!(fleet.sets.iter().all(|set| current(&fleet, set) == rotation));
        everybody_logs_in(2);
    }
    let mut tried = 0;
    for (set, application) in fleet.sets.iter().zip(applications) {
        let logins = application.end().unwrap();
        let failed: Vec<_> = logins.iter().filter(|login| !login.ok).collect();
        assert!(failed.is_empty(), "{set}: {failed:?}");
        let users: std::collections::BTreeSet<_> = logins.iter().filter_map(|login| login.user.clone()).collect();
        assert_eq!(users.len(), 2, "{set}: the application has followed the rotations: {users:?}");
        tried += logins.len();
    }
    println!("12 applications, 36 rotations: {tried} logins, none failed");
    assert_all_log_in(&fleet, "after three rotations of each");
}

/// A set whose secret is in OCI; its service is wherever the environment says.
fn in_oci(folder: &std::path::Path) -> String {
    format!(
        "[sets.t-oci.databases.rds]\nengine = \"postgres\"\nusers = [\"t_a\", \"t_b\"]\nadmin = \"file:{}\"\n[[sets.t-oci.secrets]]\n\
         store = \"oci-vault:ocid1.vaultsecret.oc1.phx.amaaaaaasilent\"\n",
        folder.join("admin.json").display()
    )
}

#[test]
fn a_database_a_store_or_a_cloud_that_hangs_stops_its_own_set_only() {
    let fleet = fleet(8);
    let (database, cloud) = (SilentHost::start().unwrap(), SilentHost::start().unwrap());
    let oci = dizzy_sandbox_oci::OciEmulator::start(dizzy_sandbox_oci::Options::default()).unwrap();
    let user = oci.principal("rotator", dizzy_sandbox_oci::Rights::all()).unwrap();
    let files = user.write_config(&fleet.path(""), dizzy_sandbox_oci::KeyFormat::Pkcs8).unwrap();
    // The first set's database accepts and stays silent; the second one's secret is throttled; t-oci's cloud is silent.
    let silent = format!("host = \"127.0.0.1\"\nport = {}\nconnect_timeout = \"30s\"", database.port().unwrap());
    let odd =
        |set: &str| Oddity { database: if set == "s01" { silent.clone() } else { String::new() }, ..Oddity::default() };
    fleet.configure(odd, &in_oci(&fleet.path(""))).unwrap();
    fleet.moto.inject(&Fault::next("GetSecretValue", Mishap::Throttle).on(&secret("s02")).times(1000)).unwrap();

    // Two slots for three sets that are in trouble and six that are not.
    let mut command = fleet.command(&["-v", "--output", "json", "rotate", "--all", "--concurrency", "2"]);
    let endpoint = format!("http://127.0.0.1:{}", cloud.port().unwrap());
    for service in ["SECRETS", "VAULTS", "OBJECTSTORAGE"] {
        command.env(format!("OCI_ENDPOINT_{service}"), &endpoint);
    }
    let told = Running::spawn(command.env("OCI_CONFIG_FILE", &files.config)).told().expect(1);
    let ends = ends(&told);
    println!("{ends:?}");
    let code = |set: &str| ends[set].1.clone().unwrap_or_default();
    assert_eq!((code("s01").as_str(), code("s02").as_str()), ("DK-212", "DK-308"), "{}", told.err);
    assert_eq!(code("t-oci"), "DK-307");
    for set in &fleet.sets[2..] {
        assert_eq!(ends[set], ("rotated".to_owned(), None), "{set}");
    }
    let order: Vec<&str> = told.err.lines().filter(|line| line.contains("a set has ended")).collect();
    assert_eq!(order.len(), 9, "{}", told.err);
    assert!(order[8].contains("\"s01\""), "who waits for the silent database ends last: {order:#?}");
    assert!(database.met().unwrap() > 0 && cloud.met().unwrap() > 0);

    fleet.moto.clear_faults().unwrap();
    fleet.configure(|_| Oddity::default(), "").unwrap();
    run(&fleet, &["rotate", "--all"]).expect(0);
    assert_all_log_in(&fleet, "after everything answers again");
}

#[test]
fn workers_with_parts_of_the_sets_rotate_each_set_once() {
    let fleet = fleet(7);
    let workers: Vec<_> = (1..=3)
        .map(|n| start(&fleet, &["rotate", "--all", "--shard", &format!("{n}/3"), "--output", "json"]))
        .collect();
    let mut parts = Vec::new();
    for worker in workers {
        parts.extend(ends(&worker.told().expect(0)).into_keys());
    }
    parts.sort();
    assert_eq!(parts, fleet.sets);
    assert!(fleet.sets.iter().all(|set| current(&fleet, set) == 2), "each was rotated once");
    let told = run(&fleet, &["rotate", "--due", "--shard", "1/3"]).expect(0);
    assert_eq!(told.out, "No set is due.\n", "no set has a schedule");
    let told = run(&fleet, &["rotate", "--all", "--shard", "4/3"]).expect(2);
    assert!(told.err.contains("counted from 1"), "{}", told.err);
    assert_all_log_in(&fleet, "by three workers");
}

const HOURLY: &str = "every = \"1h\"";

fn hourly(_: &str) -> Oddity {
    Oddity { set: HOURLY.to_owned(), ..Oddity::default() }
}

/// As if the last rotation had been two hours ago.
fn make_due(fleet: &Fleet, set: &str) {
    let register = fleet.register(set).unwrap();
    let rotated = register["rotated"].as_i64().unwrap_or(register["owner"]["until"].as_i64().unwrap());
    fleet.edit_register(set, |register| register["rotated"] = json!(rotated - 2 * 3_600_000)).unwrap();
}

#[test]
fn with_nothing_due_registers_are_read_and_nothing_else() {
    let fleet = fleet(5);
    run(&fleet, &["rotate", "--all"]).expect(0);
    let (database, cloud) = (SilentHost::start().unwrap(), SilentHost::start().unwrap());
    let elsewhere = format!("host = \"127.0.0.1\"\nport = {}", database.port().unwrap());
    let odd = |set: &str| Oddity { database: elsewhere.clone(), ..hourly(set) };
    fleet.configure(odd, "").unwrap();
    fleet.moto.forget_calls().unwrap();
    let endpoint = format!("http://127.0.0.1:{}", cloud.port().unwrap());
    for args in [["rotate", "--due"], ["status", "s01"]] {
        let mut command = fleet.command(&args);
        // Neither credentials nor a region: who looked for them would ask the metadata service.
        for (name, _) in fleet.moto.env().iter().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        for name in
            ["AWS_ENDPOINT_URL", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "OCI_ENDPOINT_SECRETS", "OCI_ENDPOINT_AUTH"]
        {
            command.env(name, &endpoint);
        }
        let told = Running::spawn(&mut command).told().expect(0);
        assert!(args[0] != "rotate" || told.out == "No set is due.\n", "{}", told.out);
        assert_eq!((database.met().unwrap(), cloud.met().unwrap()), (0, 0), "{args:?}");
    }
    assert_eq!(fleet.moto.calls(None).unwrap().len(), 0);
    // The judges do notice: a set that is due reaches for both.
    make_due(&fleet, "s03");
    let told = run(&fleet, &["rotate", "--due", "--output", "json"]).expect(1);
    assert_eq!(ends(&told).into_keys().collect::<Vec<_>>(), ["s03"]);
    assert!(database.met().unwrap() > 0 && !fleet.moto.calls(None).unwrap().is_empty());
}

#[test]
fn a_set_that_fails_is_left_alone_longer_and_longer_until_a_person_is_called() {
    let fleet = fleet(2);
    let nobody = |set: &str| Oddity {
        database: if set == "s01" { "host = \"127.0.0.1\"\nport = 1".to_owned() } else { String::new() },
        ..hourly(set)
    };
    run(&fleet, &["rotate", "--all"]).expect(0);
    fleet.configure(nobody, "").unwrap();
    make_due(&fleet, "s01");
    let due = ["rotate", "--due", "--output", "json"];
    let mut pauses = Vec::new();
    for failures in 1..=4 {
        let told = run(&fleet, &due).expect(1);
        assert_eq!(ends(&told)["s01"].1.as_deref(), Some("DK-211"), "{}", told.err);
        let register = fleet.register("s01").unwrap();
        assert_eq!(register["failures"]["in_a_row"], failures);
        assert_eq!(register["failures"]["code"], "DK-211");
        let last = register["failures"]["last"].as_i64().unwrap();
        pauses.push((register["pause"].as_i64().unwrap() - last) / 60_000);
        assert!(ends(&run(&fleet, &due).expect(0)).is_empty(), "within the pause nothing is tried");
        let status = run(&fleet, &["status", "s01"]).expect(0);
        assert!(
            status.out.contains("DK-211") && status.out.contains("a scheduled run tries again in"),
            "{}",
            status.out
        );
        assert!(status.out.contains("check s01"), "{}", status.out);
        fleet.edit_register("s01", |register| register["pause"] = json!(last)).unwrap();
    }
    assert_eq!(pauses, [1, 2, 4, 8], "minutes");

    // A person who names it is not held back, and counts.
    run(&fleet, &["rotate", "s01"]).expect(1);
    assert_eq!(fleet.register("s01").unwrap()["failures"]["in_a_row"], 5);
    fleet.edit_register("s01", |register| register["failures"]["in_a_row"] = json!(12)).unwrap();
    let before = fleet.register("s01").unwrap();
    make_due(&fleet, "s02");
    let told = run(&fleet, &due).expect(3);
    let ended = ends(&told);
    assert_eq!(ended["s01"].1.as_deref(), Some("DK-520"), "{}", told.err);
    assert_eq!(ended["s02"].0, "rotated", "the other set is not concerned");
    assert_alarm(&told, "s01", "DK-520");
    assert_eq!(fleet.register("s01").unwrap(), before, "nothing was tried");
    let status = run(&fleet, &["status"]).expect(0);
    assert!(status.out.contains("scheduled runs try no more") && status.out.contains("Next: "), "{}", status.out);

    fleet.configure(hourly, "").unwrap();
    run(&fleet, &["rotate", "s01"]).expect(0);
    let register = fleet.register("s01").unwrap();
    assert_eq!((&register["failures"], &register["pause"]), (&Value::Null, &Value::Null));
    assert!(ends(&run(&fleet, &due).expect(0)).is_empty());
    assert_all_log_in(&fleet, "mended");
}

/// The log line that an alarm is made on.
fn assert_alarm(told: &Told, set: &str, code: &str) {
    let lines = told.err.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let alarms: Vec<Value> = lines.filter(|line| line["message"] == "a rotation set needs a human").collect();
    let [alarm] = alarms.as_slice() else { panic!("one alarm is told: {}", told.err) };
    assert_eq!((&alarm["set"], &alarm["code"], &alarm["exit"]), (&json!(set), &json!(code), &json!(3)), "{alarm}");
    assert_eq!(alarm["level"], "ERROR");
}

#[test]
fn a_set_that_is_stuck_calls_a_person_and_is_not_tried() {
    let fleet = fleet(2);
    run(&fleet, &["rotate", "--all"]).expect(0);
    fleet.configure(hourly, "").unwrap();
    fleet.edit_register("s02", |register| register["phase"] = json!("stuck")).unwrap();
    let before = fleet.register("s02").unwrap();
    fleet.moto.forget_calls().unwrap();
    let told = run(&fleet, &["rotate", "--due", "--output", "json"]).expect(3);
    assert_eq!(ends(&told)["s02"], ("stuck".to_owned(), Some("DK-503".to_owned())));
    assert_alarm(&told, "s02", "DK-503");
    assert!(told.err.contains("recover s02"), "{}", told.err);
    assert_eq!((fleet.register("s02").unwrap(), fleet.moto.calls(None).unwrap().len()), (before, 0));
}

#[test]
fn what_an_earlier_run_left_is_finished_by_schedule_and_a_register_that_is_damaged_is_told() {
    let fleet = fleet(3);
    run(&fleet, &["rotate", "--all"]).expect(0);
    fleet.configure(hourly, "").unwrap();
    // Killed behind the decision; not due by any schedule.
    fleet.moto.inject(&Fault::next("UpdateSecretVersionStage", Mishap::Late).on(&secret("s02"))).unwrap();
    let mut killed = start(&fleet, &["rotate", "s02"]);
    fleet.moto.wait_until_held(1).unwrap();
    assert!(!killed.has_ended());
    killed.signal("KILL");
    assert_eq!(killed.told().signal, Some(9));
    fleet.moto.release().unwrap();
    fleet.moto.clear_faults().unwrap();
    assert_ne!(fleet.register("s02").unwrap()["phase"], "idle");
    fleet.edit_register("s03", |register| *register = json!({"v": 1, "register": "damaged"})).unwrap();
    let told = run(&fleet, &["rotate", "--due", "--output", "json"]).expect(3);
    let ended = ends(&told);
    assert_eq!(ended.keys().collect::<Vec<_>>(), ["s02", "s03"]);
    assert_eq!(ended["s02"].0, "rotated");
    assert_eq!(ended["s03"].1.as_deref(), Some("DK-404"), "never taken for due");
    assert_eq!((current(&fleet, "s02"), fleet.register("s02").unwrap()["phase"].as_str()), (3, Some("idle")));
}

#[test]
fn with_nothing_due_each_register_in_s3_is_read_once() {
    let fleet = prepared(5, Registers::S3);
    run(&fleet, &["rotate", "--all"]).expect(0);
    fleet.configure(hourly, "").unwrap();
    for args in [["rotate", "--due"].as_slice(), &["status"]] {
        fleet.moto.forget_calls().unwrap();
        run(&fleet, args).expect(0);
        let calls = fleet.moto.counts(None).unwrap();
        assert_eq!(calls, json!({"GetObject": 5}), "{args:?}");
    }
}

#[test]
fn two_schedulers_that_fire_together_rotate_each_set_once() {
    fire_together(Registers::Folder);
}

#[test]
fn two_schedulers_that_share_a_bucket_rotate_each_set_once() {
    fire_together(Registers::S3);
}

fn fire_together(registers: Registers) {
    let fleet = prepared(3, registers);
    run(&fleet, &["rotate", "--all"]).expect(0);
    fleet.configure(hourly, "").unwrap();
    let mut exits = BTreeMap::<_, usize>::new();
    for round in 0..8 {
        for set in &fleet.sets {
            make_due(&fleet, set);
        }
        let before: Vec<u64> = fleet.sets.iter().map(|set| current(&fleet, set)).collect();
        let both = [start(&fleet, &["rotate", "--due"]), start(&fleet, &["rotate", "--due"])];
        for told in both.map(Running::told) {
            assert!(matches!(told.exit, Some(0 | 4)), "round {round}: {told:?}");
            *exits.entry(told.exit).or_default() += 1;
        }
        let after: Vec<u64> = fleet.sets.iter().map(|set| current(&fleet, set)).collect();
        let once: Vec<u64> = before.iter().map(|generation| generation + 1).collect();
        assert_eq!(after, once, "round {round}: each set was rotated once");
        assert_all_log_in(&fleet, &format!("round {round}"));
    }
    println!("8 rounds of two schedulers over 3 sets: exit codes {exits:?}");
}
