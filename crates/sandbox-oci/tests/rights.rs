//! Every operation needs exactly the permissions that Oracle documents for it: with them it works, and without any one of
//! them there is nothing to be seen.

#![allow(clippy::unwrap_used, reason = "helpers of tests, in which a panic is the message")]

mod common;

use std::time::Duration;

use common::{
    Scene,
    raw::{self, Answer},
};
use dizzy_sandbox_oci::{BucketOptions, COMPARTMENT, NAMESPACE, Options, Permission as P, Rights, Service, Settle};

const LONG: Duration = Duration::from_secs(50);
const DATABASE: &str = "ocid1.autonomousdatabase.oc1.iad.orders";

struct Case {
    service: Service,
    method: &'static str,
    target: String,
    body: &'static str,
    needs: &'static [P],
}

fn case(service: Service, method: &'static str, target: &str, body: &'static str, needs: &'static [P]) -> Case {
    Case { service, method, target: target.to_owned(), body, needs }
}

fn status(scene: &Scene, case: &Case) -> Option<u16> {
    let sent = raw::send(&scene.emulator, &scene.user, case.service, case.method, &case.target, case.body);
    let answer = raw::answer(sent, LONG);
    assert!(matches!(answer, Answer::Whole(..)), "{answer:?}");
    answer.status()
}

#[test]
fn each_operation_needs_the_documented_permissions_and_no_other() {
    let options = Options { settle: Settle::AfterPolls(0), ..Options::default() };
    let (scene, secret) = Scene::with(options, Rights::none()).with_secret();
    scene.emulator.create_bucket("audit", &BucketOptions::new()).unwrap();
    scene.emulator.put_object("audit", "record", "1").unwrap();
    scene.emulator.create_database(DATABASE, "orders", "First-Password1");
    let read = format!("/20190301/secretbundles/{secret}");
    let manage = format!("/20180608/secrets/{secret}");
    let bucket = format!("/n/{NAMESPACE}/b/audit");
    let database = format!("/20160918/autonomousDatabases/{DATABASE}");
    let by_name = "/20190301/secretbundles/actions/getByName?secretName=orders&vaultId=ocid1.vault.oc1.iad.sandbox";
    let cases = [
        case(Service::Secrets, "GET", &read, "", &[P::SecretBundleRead]),
        case(Service::Secrets, "POST", by_name, "", &[P::SecretBundleRead]),
        case(Service::Secrets, "GET", &format!("{read}/versions"), "", &[P::SecretBundleInspect]),
        case(Service::Vaults, "GET", &manage, "", &[P::SecretRead]),
        case(Service::Vaults, "GET", &format!("{manage}/versions"), "", &[P::SecretVersionInspect]),
        case(Service::Vaults, "GET", &format!("{manage}/version/1"), "", &[P::SecretVersionRead]),
        case(
            Service::Vaults,
            "GET",
            &format!("/20180608/secrets?compartmentId={COMPARTMENT}"),
            "",
            &[P::SecretInspect],
        ),
        case(
            Service::Vaults,
            "POST",
            &format!("{manage}/actions/changeCompartment"),
            r#"{"compartmentId":"ocid1.compartment.oc1..sandbox"}"#,
            &[P::SecretMove, P::SecretUpdate],
        ),
        // Version 1 is CURRENT, so the state of things refuses what the rights allow.
        case(
            Service::Vaults,
            "POST",
            &format!("{manage}/version/1/actions/scheduleDeletion"),
            "{}",
            &[P::SecretVersionDelete, P::SecretUpdate],
        ),
        case(
            Service::Vaults,
            "POST",
            &format!("{manage}/version/1/actions/cancelDeletion"),
            "",
            &[P::SecretVersionDelete, P::SecretUpdate],
        ),
        case(Service::ObjectStorage, "GET", &bucket, "", &[P::BucketRead]),
        case(Service::ObjectStorage, "GET", &format!("{bucket}/o"), "", &[P::ObjectInspect]),
        case(Service::ObjectStorage, "GET", &format!("{bucket}/o/record"), "", &[P::ObjectRead]),
        case(Service::ObjectStorage, "PUT", &format!("{bucket}/o/record"), "2", &[P::ObjectOverwrite]),
        case(Service::ObjectStorage, "PUT", &format!("{bucket}/o/fresh"), "1", &[P::ObjectCreate]),
        case(Service::ObjectStorage, "GET", &format!("{bucket}/p"), "", &[P::ParManage]),
        case(Service::Database, "GET", &database, "", &[P::AutonomousDatabaseInspect]),
        case(
            Service::Database,
            "POST",
            &format!("{database}/actions/generateWallet"),
            r#"{"password":"Wallet-Pass1"}"#,
            &[P::AutonomousDatabaseContentRead],
        ),
        case(Service::Database, "PUT", &database, r#"{"displayName":"orders"}"#, &[P::AutonomousDatabaseUpdate]),
        case(Service::Vaults, "PUT", &manage, r#"{"description":"changed"}"#, &[P::SecretUpdate]),
    ];
    for case in &cases {
        for missing in case.needs {
            scene.emulator.set_rights("tester", &Rights::all().without(*missing)).unwrap();
            // A missing object can be created, and an existing one overwritten, with the respective right only.
            assert_eq!(status(&scene, case), Some(404), "{} {} without {missing:?}", case.method, case.target);
        }
        let exactly = case.needs.iter().fold(Rights::none(), |rights, needed| rights.allow(*needed));
        scene.emulator.set_rights("tester", &exactly).unwrap();
        let status = status(&scene, case);
        assert!(matches!(status, Some(200 | 204 | 409)), "{} {}: {status:?}", case.method, case.target);
    }
}
