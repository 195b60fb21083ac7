//! The trail in buckets of both clouds: written by rotations, compared, tampered with, wiped, and out of reach.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests panic as tests do")]

mod common;

use common::{Told, binary};
use dizzy_sandbox::{OracleUsers, SET, TwoClouds, Users, moto::BucketKind};
use dizzy_sandbox_oci::{BucketOptions, Door, Fault, Mishap, NAMESPACE, Operation, Service, Settle};
use serde_json::Value;

const BUCKET: &str = "trail";

/// A prepared installation whose trail is in a bucket of each cloud.
fn world(kind: BucketKind) -> TwoClouds {
    let at = TwoClouds::start(binary(), Users::Alternating, OracleUsers::Alternating).unwrap();
    at.oci.set_settle(Settle::AfterPolls(1));
    at.moto.create_bucket(BUCKET, kind).unwrap();
    at.oci.create_bucket(BUCKET, &BucketOptions::new()).unwrap();
    let text = std::fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
    let path = at.path("").display().to_string();
    let folders = format!("sinks = [\"file:{path}audit\", \"file:{path}audit-copy\"]");
    assert!(text.contains(&folders), "{text}");
    let buckets = format!("sinks = [\"s3://{BUCKET}/dizzy\", \"oci://{NAMESPACE}/{BUCKET}/dizzy\"]");
    at.write("dizzy-keys.toml", text.replace(&folders, &buckets)).unwrap();
    at.prepare().unwrap();
    at
}

fn run(at: &TwoClouds, args: &[&str]) -> Told {
    Told::of(&at.run(args).unwrap())
}

/// The exit code of a verification, and the kinds of what it found.
fn verify(at: &TwoClouds) -> (Option<i32>, Vec<String>) {
    let (exit, kinds, _) = verified(at);
    (exit, kinds)
}

/// The same, and all that was told.
fn verified(at: &TwoClouds) -> (Option<i32>, Vec<String>, String) {
    let told = run(at, &["--output", "json", "audit", "verify"]);
    let document: Value = serde_json::from_str(&told.out).unwrap_or_default();
    let sets = document["sets"].as_array().cloned().unwrap_or_default();
    let each = sets.iter().flat_map(|set| set["counts"].as_object().cloned().unwrap_or_default());
    (told.exit, each.map(|(kind, _)| kind).collect(), told.out)
}

/// Names of the trail's objects, which are the same in both clouds.
fn names(at: &TwoClouds) -> Vec<String> {
    let all = at.oci.objects(BUCKET).into_iter().map(|object| object.name);
    all.filter(|name| name.contains(SET)).collect()
}

fn has(kinds: &[String], kind: &str) -> bool {
    kinds.iter().any(|found| found == kind)
}

#[test]
fn a_trail_in_both_clouds_verifies_and_what_is_done_to_one_of_them_is_found() {
    let at = world(BucketKind::Locked);
    run(&at, &["rotate", SET]).expect(0);
    run(&at, &["rotate", SET]).expect(0);
    // Object Storage keeps no versions where a retention rule holds, so those of one place are not listed; nothing else is left open.
    assert_eq!(verify(&at), (Some(0), vec!["VERSIONS_NOT_LISTED".to_owned()]));
    let objects = names(&at);
    assert!(objects.len() >= 2, "{objects:?}");
    for name in &objects {
        let (s3, oci) = (at.moto.object(BUCKET, name).unwrap().unwrap(), at.oci.objects(BUCKET));
        let oci = oci.into_iter().find(|object| object.name == *name).unwrap();
        assert_eq!(s3, oci.content, "{name}");
    }

    // One byte, in Object Storage.
    let name = objects.first().unwrap().clone();
    let good = at.moto.object(BUCKET, &name).unwrap().unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    at.oci.put_object(BUCKET, &name, bad).unwrap();
    assert_eq!(verify(&at).0, Some(5));
    at.oci.put_object(BUCKET, &name, good).unwrap();
    assert_eq!(verify(&at).0, Some(0));

    // The last rotation is taken away there. One object alone is never all there is: each line is in its stream's segment too.
    let (folder, _) = objects.last().unwrap().rsplit_once('/').unwrap();
    let gone: Vec<&String> = objects.iter().filter(|name| name.starts_with(folder)).collect();
    assert!(gone.len() > 5 && gone.len() < objects.len(), "{gone:?}");
    for name in &gone {
        assert!(at.oci.remove_object(BUCKET, name));
    }
    let (exit, kinds) = verify(&at);
    assert!(exit == Some(5) && has(&kinds, "TRUNCATED"), "{exit:?} {kinds:?}");
    for name in gone {
        at.oci.put_object(BUCKET, name, at.moto.object(BUCKET, name).unwrap().unwrap()).unwrap();
    }
    assert_eq!(verify(&at).0, Some(0));

    // The whole place is wiped.
    for name in &objects {
        assert!(at.oci.remove_object(BUCKET, name));
    }
    let (exit, kinds) = verify(&at);
    assert!(exit == Some(5) && has(&kinds, "CLOUDS_DIFFER"), "{exit:?} {kinds:?}");
    for name in &objects {
        let content = at.moto.object(BUCKET, name).unwrap().unwrap();
        at.oci.put_object(BUCKET, name, content).unwrap();
    }
    assert_eq!(verify(&at).0, Some(0));
}

#[test]
fn a_second_version_and_a_delete_marker_in_s3_are_found() {
    let at = world(BucketKind::Versioned);
    run(&at, &["rotate", SET]).expect(0);
    assert_eq!(verify(&at).0, Some(0));
    let all = names(&at);
    // Findings name objects within their place.
    let [first, second] = [0, 1].map(|n: usize| all[n].strip_prefix("dizzy/").unwrap());
    // The same bytes again: nothing is lost, and somebody wrote past the condition.
    let same = at.moto.object(BUCKET, &all[0]).unwrap().unwrap();
    at.moto.put_object(BUCKET, &all[0], &same).unwrap();
    let (exit, kinds, told) = verified(&at);
    assert!(exit == Some(5) && has(&kinds, "DUPLICATE_VERSION") && told.contains(first), "{exit:?} {kinds:?} {told}");
    assert!(!told.contains(second), "{told}");
    at.moto.delete_object(BUCKET, &all[1]).unwrap();
    let (exit, kinds, told) = verified(&at);
    assert!(exit == Some(5) && has(&kinds, "DUPLICATE_VERSION") && told.contains(second), "{exit:?} {kinds:?} {told}");
}

#[test]
fn a_cloud_out_of_reach_is_not_checked_and_is_caught_up_when_it_is_back() {
    let at = world(BucketKind::Plain);
    run(&at, &["rotate", SET]).expect(0);
    // One place is enough to begin with. Only writes fail: the wallet is read from the same service.
    let down = Mishap::Refuse(503, "ServiceUnavailable");
    let refused = at.oci.inject(Fault::next(Operation::PutObject, down).always());
    run(&at, &["rotate", SET]).expect(0);
    assert!(refused.fired() > 0);
    at.oci.clear_faults();
    // It lags, and the register says so: nobody has taken anything away.
    let (exit, kinds) = verify(&at);
    assert!(exit == Some(1) && has(&kinds, "NOT_IN_BOTH"), "{exit:?} {kinds:?}");
    at.oci.set_door(Service::ObjectStorage, Door::Refusing).unwrap();
    let (exit, kinds) = verify(&at);
    assert!(exit == Some(1) && has(&kinds, "UNREACHABLE"), "{exit:?} {kinds:?}");
    at.oci.set_door(Service::ObjectStorage, Door::Open).unwrap();
    run(&at, &["rotate", SET]).expect(0);
    assert_eq!(verify(&at).0, Some(0));
}

#[test]
fn a_cloud_that_goes_away_during_a_rotation_and_comes_back_after_it_lags_and_catches_up() {
    let at = world(BucketKind::Plain);
    let down = || Mishap::Refuse(503, "ServiceUnavailable");
    run(&at, &["rotate", SET]).expect(0);
    // From the third object on: the Intent was stored in both.
    let refused = at.oci.inject(Fault::next(Operation::PutObject, down()).after(2).always());
    run(&at, &["rotate", SET]).expect(0);
    assert!(refused.fired() > 0);
    let (exit, kinds) = verify(&at);
    assert!(exit == Some(1) && has(&kinds, "NOT_IN_BOTH"), "{exit:?} {kinds:?}");
    // It is away for a whole run more, and for the first objects of the next one.
    run(&at, &["rotate", SET]).expect(0);
    assert_eq!(verify(&at).0, Some(1));
    at.oci.clear_faults();
    let refused = at.oci.inject(Fault::next(Operation::PutObject, down()).times(2));
    run(&at, &["rotate", SET]).expect(0);
    assert_eq!(refused.fired(), 2);
    assert!(verify(&at).0 <= Some(1), "{:?}", verify(&at));
    run(&at, &["rotate", SET]).expect(0);
    assert_eq!(verify(&at).0, Some(0), "{:?}", verify(&at));
}

#[test]
fn where_every_place_is_required_one_that_is_away_refuses_before_anything_is_changed() {
    let at = world(BucketKind::Plain);
    let config = std::fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
    at.write("dizzy-keys.toml", config.replacen("sinks = ", "require = \"all\"\nsinks = ", 1)).unwrap();
    run(&at, &["rotate", SET]).expect(0);
    let published = at.published().unwrap();
    let current = at.register().unwrap()["current"].clone();
    let versions = at.moto.counts(None).unwrap()["PutSecretValue"].clone();
    let down = Mishap::Refuse(503, "ServiceUnavailable");
    let fault = at.oci.inject(Fault::next(Operation::PutObject, down).always());
    let refused = run(&at, &["rotate", SET]).expect(1);
    assert!(fault.fired() > 0 && refused.err.contains("DK-601"), "{}", refused.err);
    assert_eq!(at.published().unwrap(), published);
    assert_eq!(at.moto.counts(None).unwrap()["PutSecretValue"], versions, "nothing was staged");
    let register = at.register().unwrap();
    assert_eq!((&register["current"], &register["phase"]), (&current, &Value::from("idle")));
    assert_eq!(at.dead().unwrap(), Vec::<String>::new());
    assert!(verify(&at).0 <= Some(1), "{:?}", verify(&at));
    at.oci.clear_faults();
    run(&at, &["rotate", SET]).expect(0);
    // The refused run could not know whether its records would be stored; they are in one place, and the next run copied them.
    assert_eq!(verify(&at), (Some(0), vec!["VERSIONS_NOT_LISTED".to_owned()]));
}

#[test]
fn what_lies_in_an_archive_tier_is_told_as_not_checked() {
    let at = world(BucketKind::Plain);
    run(&at, &["rotate", SET]).expect(0);
    assert_eq!(verify(&at).0, Some(0));
    let name = names(&at).first().unwrap().clone();
    let content = at.moto.object(BUCKET, &name).unwrap().unwrap();
    let source = format!("{BUCKET}/{name}");
    let copy = ["s3api", "copy-object", "--bucket", BUCKET, "--key", &name, "--copy-source", &source];
    at.moto.aws(&[&copy[..], &["--storage-class", "GLACIER"]].concat()).unwrap();
    let (exit, kinds, told) = verified(&at);
    assert!(exit == Some(1) && has(&kinds, "ARCHIVED") && told.contains("restore"), "{exit:?} {kinds:?} {told}");
    at.moto.put_object(BUCKET, &name, &content).unwrap();
    assert_eq!(verify(&at).0, Some(0));

    // The same in the other cloud, whose emulator answers as Object Storage does for an object that was not restored.
    let archived = Fault::next(Operation::GetObject, Mishap::Refuse(409, "NotRestored")).on(&name).always();
    let fault = at.oci.inject(archived);
    let (exit, kinds, told) = verified(&at);
    assert!(exit == Some(1) && has(&kinds, "ARCHIVED") && told.contains("restore"), "{exit:?} {kinds:?} {told}");
    assert!(fault.fired() > 0);
    at.oci.clear_faults();
    assert_eq!(verify(&at).0, Some(0));
}
