//! Oracle's own SDK uses the Database service.

#![allow(clippy::unwrap_used, reason = "helpers of tests, in which a panic is the message")]

mod common;

use std::sync::{Arc, Mutex};

use common::Scene;
use dizzy_sandbox_oci::{Options, Permission, Rights};

const DATABASE: &str = "ocid1.autonomousdatabase.oc1.iad.orders";

type Told = Arc<Mutex<Vec<String>>>;

fn scene(rights: Rights) -> (Scene, Told) {
    let told = Told::default();
    let tell = Arc::clone(&told);
    let options = Options {
        wallet: Arc::new(|wanted| format!("{} wallet under {}", wanted.generate_type, wanted.password).into_bytes()),
        admin_password: Arc::new(move |database, password| tell.lock().unwrap().push(format!("{database} {password}"))),
        ..Options::default()
    };
    let mut scene = Scene::with(options, rights);
    scene.emulator.create_database(DATABASE, "orders", "First-Password1");
    scene.tell("DATABASE", DATABASE);
    (scene, told)
}

#[test]
fn a_wallet_is_what_the_callback_makes() {
    scene(Rights::all()).0.sdk("database.py", "makes_a_wallet");
}

#[test]
fn the_password_of_admin_changes_under_the_documented_rules_and_is_told() {
    let (scene, told) = scene(Rights::all());
    scene.sdk("database.py", "changes_the_password_of_admin");
    assert_eq!(scene.emulator.admin_password(DATABASE).unwrap(), "Second-Password2");
    assert_eq!(*told.lock().unwrap(), [format!("{DATABASE} Second-Password2")]);
}

#[test]
fn a_right_to_the_wallet_is_no_right_to_the_database() {
    let rights = Rights::none().allow_on(Permission::AutonomousDatabaseContentRead, DATABASE);
    let (scene, told) = scene(rights);
    scene.sdk("database.py", "may_read_the_wallet_only");
    assert!(told.lock().unwrap().is_empty());
}
