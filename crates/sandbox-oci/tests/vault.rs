//! Oracle's own SDK uses Vault, and finds what Oracle documents.

mod common;

use common::Scene;
use dizzy_sandbox_oci::{Options, Permission, Rights, SecretOptions, Settle, Stage};

#[test]
fn contents_are_read_by_stage_number_and_name() {
    let (scene, _) = Scene::new().with_secret();
    scene.sdk("vault.py", "reads_by_stage_number_and_name");
}

#[test]
fn versions_are_staged_promoted_and_rolled_back() {
    let (scene, secret) = Scene::new().with_secret();
    scene.sdk("vault.py", "updates_and_promotes");
    let view = scene.emulator.secret(&secret).unwrap();
    assert_eq!(view.stages(), "1=DEPRECATED 2=CURRENT 3=PREVIOUS");
    assert_eq!(view.at(Stage::Current).unwrap().text(), "second");
}

#[test]
fn a_promotion_goes_neither_with_content_nor_with_rules() {
    let (scene, _) = Scene::new().with_secret();
    scene.sdk("vault.py", "refuses_what_does_not_go_together");
}

#[test]
fn a_second_pending_version_deprecates_the_first() {
    let (scene, _) = Scene::new().with_secret();
    scene.sdk("vault.py", "a_second_pending_deprecates_the_first");
}

#[test]
fn an_old_etag_is_refused_and_changes_nothing() {
    let (scene, _) = Scene::new().with_secret();
    scene.sdk("vault.py", "etags_guard_updates");
}

#[test]
fn only_deprecated_versions_are_deleted_and_only_when_their_time_has_come() {
    let (scene, secret) = Scene::new().with_secret();
    scene.sdk("vault.py", "deletes_deprecated_versions_only");
    assert_eq!(scene.emulator.secret(&secret).unwrap().versions.len(), 3);
    scene.emulator.set_clock_offset(jiff::SignedDuration::from_hours(31 * 24));
    assert_eq!(scene.emulator.secret(&secret).unwrap().stages(), "2=PREVIOUS 3=CURRENT");
}

#[test]
fn the_thirty_first_version_is_refused_until_another_goes() {
    let options = Options { settle: Settle::AfterPolls(0), ..Options::default() };
    let (scene, _) = Scene::with(options, Rights::all()).with_secret();
    scene.sdk("vault.py", "the_thirty_first_version_needs_a_deletion");
}

#[test]
fn secrets_are_created_once_per_retry_token_listed_and_deleted() {
    let (scene, _) = Scene::new().with_secret();
    scene.sdk("vault.py", "creates_lists_and_deletes_secrets");
}

#[test]
fn a_reuse_rule_refuses_the_content_of_an_earlier_version() {
    let (scene, _) = Scene::new().with_this_secret(&SecretOptions::new("orders", "first").forbid_reuse(false));
    scene.sdk("vault.py", "a_reuse_rule_refuses_old_content");
}

#[test]
fn a_replica_is_read_only() {
    let (scene, _) = Scene::new().with_this_secret(&SecretOptions::new("orders", "first").replica());
    scene.sdk("vault.py", "a_replica_is_read_only");
}

#[test]
fn a_secret_tells_that_vault_rotates_its_database() {
    let options = SecretOptions::new("orders", "first").rotated_by_vault("ocid1.autonomousdatabase.oc1.iad.orders");
    let (scene, _) = Scene::new().with_this_secret(&options);
    scene.sdk("vault.py", "vault_says_that_it_rotates");
}

#[test]
fn a_missing_right_looks_like_a_missing_secret() {
    let (mut scene, secret) = Scene::with(Options::default(), Rights::none()).with_secret();
    let other = scene.emulator.create_secret(&SecretOptions::new("other", "else")).unwrap();
    scene.tell("OTHER_SECRET", &other);
    scene.emulator.set_rights("tester", &Rights::none().allow_on(Permission::SecretBundleRead, &secret)).unwrap();
    scene.sdk("vault.py", "may_read_only");
    assert_eq!(scene.emulator.secret(&secret).unwrap().versions.len(), 1);
}
