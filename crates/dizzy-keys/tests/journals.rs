//! Registers in buckets of both clouds, with the real binary: rotations, lost replies, kills, workers that freeze.
//!
//! No lock tells here that a worker is dead: others wait for its lease, and compare-and-swap keeps it out when it comes back.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests panic and print as tests do"
)]

mod common;

use std::{thread, time::Duration};

use common::{Running, Told, binary, error};
use dizzy_sandbox::{
    OracleUsers, SET, Users,
    moto::{BucketKind, Fault, Mishap},
    two_clouds::{AWS_SECRET, ORACLE, POSTGRES, TwoClouds},
};
use dizzy_sandbox_oci::{
    BucketOptions, Door, Fault as OciFault, Mishap as OciMishap, NAMESPACE, OciEmulator, Operation, Options, Rights,
    SecretOptions, Service, Settle,
};
use serde_json::Value;

const BUCKET: &str = "registers";
const KEY: &str = "team/journal/orders.json";

/// Where the register is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    S3,
    Oci,
}

/// How a write of the register goes wrong.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// It is made, and the reply is lost.
    ReplyLost,
    /// It is not made, and nobody says so.
    RequestLost,
    /// The store was busy with another write and says that it did nothing.
    Busy,
}

struct World {
    at: TwoClouds,
    place: Place,
}

impl World {
    /// An installation that is prepared, with its register in a bucket.
    fn new(place: Place) -> Self {
        let at = TwoClouds::start(binary(), Users::Alternating, OracleUsers::Alternating).unwrap();
        at.oci.set_settle(Settle::AfterPolls(1));
        at.moto.create_bucket(BUCKET, BucketKind::Versioned).unwrap();
        at.oci.create_bucket(BUCKET, &BucketOptions::new()).unwrap();
        let url = match place {
            Place::S3 => format!("s3://{BUCKET}/team/journal"),
            Place::Oci => format!("oci://{NAMESPACE}/{BUCKET}/team/journal"),
        };
        let text = std::fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
        let folder = format!("file:{}", at.path("journal").display());
        assert!(text.contains(&folder));
        at.write("dizzy-keys.toml", text.replace(&folder, &url)).unwrap();
        at.prepare().unwrap();
        Self { at, place }
    }

    fn run(&self, args: &[&str]) -> Told {
        Told::of(&self.at.run(args).unwrap())
    }

    /// The register as it lies in the bucket.
    fn bytes(&self) -> Vec<u8> {
        match self.place {
            Place::S3 => self.at.moto.object(BUCKET, KEY).unwrap().unwrap(),
            Place::Oci => self.at.oci.objects(BUCKET).into_iter().find(|object| object.name == KEY).unwrap().content,
        }
    }

    fn register(&self) -> Value {
        serde_json::from_slice(&self.bytes()).unwrap()
    }

    /// Puts a register into the bucket, past every condition.
    fn overwrite(&self, register: &Value) {
        let bytes = register.to_string().into_bytes();
        match self.place {
            Place::S3 => self.at.moto.put_object(BUCKET, KEY, &bytes).unwrap(),
            Place::Oci => self.at.oci.put_object(BUCKET, KEY, bytes).unwrap(),
        }
    }

    /// What half a minute of waiting does to a dead worker's lease.
    fn end_the_lease(&self) {
        let mut register = self.register();
        register["owner"]["until"] = 0.into();
        self.overwrite(&register);
    }

    /// The write of the register that comes after `passed` others meets `trouble`.
    fn plan(&self, passed: u32, trouble: Trouble) {
        match self.place {
            Place::S3 => {
                let mishap = match trouble {
                    Trouble::ReplyLost => Mishap::DropAfter,
                    Trouble::RequestLost => Mishap::DropBefore,
                    Trouble::Busy => Mishap::Refuse(409, "ConditionalRequestConflict"),
                };
                self.at.moto.inject(&Fault::next("PutObject", mishap).after(passed)).unwrap();
            }
            Place::Oci => {
                let mishap = match trouble {
                    Trouble::ReplyLost => OciMishap::DropAfter,
                    Trouble::RequestLost => OciMishap::DropBefore,
                    Trouble::Busy => OciMishap::Refuse(409, "ConcurrentObjectUpdate"),
                };
                drop(self.at.oci.inject(OciFault::next(Operation::PutObject, mishap).on(KEY).after(passed)));
            }
        }
    }

    /// Whether the planned trouble was met; takes it back.
    fn has_met(&self) -> bool {
        match self.place {
            Place::S3 => self.at.moto.clear_faults().unwrap() == 0,
            Place::Oci => {
                let met = self.at.oci.log().iter().any(|call| call.fault.is_some());
                self.at.oci.clear_faults();
                self.at.oci.forget_log();
                met
            }
        }
    }

    /// Both stores publish the same, it logs in everywhere, and the register is at rest.
    fn assert_at_rest(&self, story: &str) {
        let [aws, vault] = self.at.published().unwrap();
        for database in [POSTGRES, ORACLE] {
            assert!(aws.credential(database) == vault.credential(database), "{story}: the stores differ on {database}");
        }
        assert_eq!(self.at.dead().unwrap(), Vec::<String>::new(), "{story}");
        let register = self.register();
        assert_eq!(
            (register["phase"].as_str(), &register["next"]),
            (Some("idle"), &Value::Null),
            "{story}: {register}"
        );
    }

    fn current(&self) -> u64 {
        self.register()["current"].as_u64().unwrap()
    }
}

#[test]
fn a_set_rotates_with_its_register_in_s3() {
    rotates(Place::S3);
}

#[test]
fn a_set_rotates_with_its_register_in_object_storage() {
    rotates(Place::Oci);
}

fn rotates(place: Place) {
    let world = World::new(place);
    world.run(&["check", SET]).expect(0);
    for generation in 2..=3 {
        world.run(&["rotate", SET]).expect(0);
        world.assert_at_rest("rotated");
        assert_eq!(world.current(), generation);
    }
    let status = world.run(&["status", SET]).expect(0);
    assert!(status.out.contains("idle"), "{}", status.out);
    assert!(!world.at.path("journal").exists(), "nothing of it is on the disk");

    // Side by side, one rotates at a time, and the other is told or follows.
    for round in 0..3 {
        let before = world.current();
        let start = || Running::spawn(&mut world.at.command(&["rotate", SET]));
        let (one, other) = (start(), start());
        let told = [one.told(), other.told()];
        let done = told.iter().filter(|told| told.exit == Some(0)).count() as u64;
        assert!(done >= 1 && told.iter().all(|told| matches!(told.exit, Some(0 | 4))), "round {round}: {told:?}");
        world.assert_at_rest(&format!("round {round}"));
        assert_eq!(world.current(), before + done, "round {round}: {told:?}");
    }

    // A register of a newer program is left as it is.
    let mut newer = world.register();
    newer["v"] = 99.into();
    newer["what-is-this"] = true.into();
    world.overwrite(&newer);
    for args in [&["--output", "json", "rotate", SET][..], &["--output", "json", "recover", SET]] {
        let told = world.run(args).expect(1);
        assert_eq!(error(&told, "newer")["code"], "DK-403", "{}", told.err);
    }
    assert_eq!(world.register(), newer);
    // A bucket that is not there is no reason to begin anew.
    let text = std::fs::read_to_string(world.at.path("dizzy-keys.toml")).unwrap();
    world.at.write("dizzy-keys.toml", text.replace(&format!("/{BUCKET}/"), "/no-such-bucket/")).unwrap();
    let told = world.run(&["--output", "json", "rotate", SET]).expect(1);
    assert_eq!(error(&told, "no bucket")["code"], "DK-402", "{}", told.err);
}

#[test]
fn a_write_of_the_register_in_s3_whose_end_is_unclear_is_looked_up() {
    troubles(Place::S3);
}

#[test]
fn a_write_of_the_register_in_object_storage_whose_end_is_unclear_is_looked_up() {
    troubles(Place::Oci);
}

fn troubles(place: Place) {
    let world = World::new(place);
    world.has_met();
    let mut table = Vec::new();
    for trouble in [Trouble::ReplyLost, Trouble::RequestLost, Trouble::Busy] {
        let mut met = 0;
        for passed in 0.. {
            let before = world.current();
            world.plan(passed, trouble);
            let told = world.run(&["rotate", SET]).expect(0);
            let story = format!("{place:?} {trouble:?} at write {passed}: {}", told.err);
            world.assert_at_rest(&story);
            assert_eq!(world.current(), before + 1, "{story}");
            if !world.has_met() {
                break;
            }
            met += 1;
            assert!(met < 50, "a rotation without an end");
        }
        table.push(format!("{place:?} {trouble:?}: {met} writes"));
        assert!(met >= 4, "only {met} writes of the register in a rotation");
    }
    println!("{}", table.join("\n"));
}

#[test]
fn a_killed_worker_leaves_its_lease_in_s3_and_whoever_comes_after_it_finishes() {
    kills(Place::S3);
}

#[test]
fn a_killed_worker_leaves_its_lease_in_object_storage_and_whoever_comes_after_it_finishes() {
    kills(Place::Oci);
}

fn kills(place: Place) {
    let world = World::new(place);
    let mut held = 0;
    for point in (3..200).step_by(4) {
        let mut command = world.at.command(&["-vv", "rotate", SET]);
        let told = Told::of(&command.env("DIZZY_KEYS_KILL_AT", point.to_string()).output().unwrap());
        if told.signal.is_none() {
            told.expect(0);
            break;
        }
        let story = format!("{place:?}, killed at point {point}");
        assert_eq!(told.signal, Some(9), "{story}");
        if world.register()["owner"]["until"].as_i64() > Some(0) && world.register()["phase"] != "idle" {
            let told = world.run(&["--output", "json", "recover", SET]).expect(4);
            let error = error(&told, &story);
            assert_eq!(error["code"], "DK-401", "{story}");
            assert!(error["what"].as_str().unwrap().contains("holds the set until"), "{story}: {error}");
            held += 1;
        }
        world.end_the_lease();
        world.run(&["recover", SET]).expect(0);
        world.assert_at_rest(&story);
    }
    assert!(held >= 4, "only {held} kills left a lease");
    world.run(&["rotate", SET]).expect(0);
    world.assert_at_rest("the last rotation");
}

#[test]
fn a_frozen_worker_with_its_register_in_s3_wakes_up_fenced() {
    freezes(Place::S3);
}

#[test]
fn a_frozen_worker_with_its_register_in_object_storage_wakes_up_fenced() {
    freezes(Place::Oci);
}

fn freezes(place: Place) {
    let world = World::new(place);
    let at = &world.at;
    at.moto.forget_calls().unwrap();
    at.moto.inject(&Fault::next("PutSecretValue", Mishap::Late)).unwrap();
    let frozen = Running::spawn(&mut at.command(&["rotate", SET]));
    at.moto.wait_until_held(1).unwrap();
    frozen.signal("STOP");
    let told = world.run(&["--output", "json", "rotate", SET]).expect(4);
    let story = format!("{place:?}: beside a worker that may be alive");
    assert!(error(&told, &story)["what"].as_str().unwrap().contains("until"), "{}", told.err);
    // Half a minute later its lease is over. The loop ends with the lease, or with the test's own limit.
    let told = loop {
        let told = world.run(&["rotate", SET]);
        if told.exit != Some(4) {
            break told;
        }
        thread::sleep(Duration::from_secs(1));
    };
    told.expect(0);
    world.assert_at_rest("taken over");
    assert_eq!(world.current(), 2);
    // The request of the frozen worker arrives, and the worker wakes up.
    assert_eq!(at.moto.release().unwrap(), 1);
    let labels = at.moto.versions(AWS_SECRET).unwrap();
    let (bytes, before) = (world.bytes(), at.published().unwrap());
    frozen.signal("CONT");
    let told = frozen.told().expect(4);
    assert!(told.err.starts_with("DK-401: ") && told.err.contains("taken the set over"), "{}", told.err);
    assert_eq!(world.bytes(), bytes, "the register is as it was");
    assert_eq!(at.moto.versions(AWS_SECRET).unwrap(), labels, "no label has moved");
    assert!(at.published().unwrap() == before, "and what is published is what was");
    world.assert_at_rest("woken up");
    world.run(&["rotate", SET]).expect(0);
    world.assert_at_rest("and the next rotation");
}

#[test]
fn an_instance_reads_its_registers_with_its_own_identity_and_says_where_it_has_none() {
    let oci = OciEmulator::start(Options::default()).unwrap();
    oci.instance("worker", Rights::all()).unwrap();
    oci.create_bucket(BUCKET, &BucketOptions::new()).unwrap();
    let secret = oci.create_secret(&SecretOptions::new("orders", "{}")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dizzy-keys.toml");
    let text = format!(
        "[journal]\nurl = \"oci://{NAMESPACE}/{BUCKET}/team/journal\"\n\n[oci]\nauth = \"instance_principal\"\n\n\
         [sets.orders.databases.rds]\nengine = \"postgres\"\nusers = [\"a\", \"b\"]\n\n\
         [[sets.orders.secrets]]\nstore = \"oci-vault:{secret}\"\n"
    );
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(binary());
        let command = command.args(args).current_dir(folder.path()).env_clear().envs(oci.endpoint_env());
        Told::of(&command.env("DIZZY_KEYS_OCI_METADATA", oci.metadata_url()).output().unwrap())
    };
    let told = run(&["status"]);
    let log = oci.log();
    let last = log.last().unwrap();
    assert_eq!(
        (last.service, last.principal.as_deref()),
        (Service::ObjectStorage, Some("worker")),
        "{log:?}\n{}",
        told.err
    );
    assert!(!told.err.contains("DK-"), "{}{}", told.out, told.err);

    oci.set_door(Service::Metadata, Door::Refusing).unwrap();
    let told = run(&["status"]).expect(0);
    assert!(told.out.contains("UNREADABLE") && told.out.contains("metadata service: no connection"), "{}", told.out);
    let told = run(&["rotate", SET]);
    println!("{}{}", told.out, told.err);
    assert_eq!((told.exit, told.err.starts_with("DK-")), (Some(1), true), "{}", told.err);
    assert!(told.line("hint: ").unwrap().starts_with("only an instance of OCI compute"), "{}", told.err);
}
