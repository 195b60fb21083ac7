//! Oracle's own SDK uses Object Storage, and finds what Oracle documents and others measured.

#![allow(clippy::unwrap_used, reason = "helpers of tests, in which a panic is the message")]

mod common;

use common::Scene;
use dizzy_sandbox_oci::{BucketOptions, Options, Permission, Rights};
use jiff::SignedDuration;

fn scene(rights: Rights) -> Scene {
    let scene = Scene::with(Options::default(), rights);
    scene.emulator.create_bucket("audit", &BucketOptions::new()).unwrap();
    scene
}

#[test]
fn objects_are_written_read_and_deleted() {
    scene(Rights::all()).sdk("storage.py", "writes_and_reads");
}

#[test]
fn an_upload_may_leave_its_body_unsigned() {
    let scene = scene(Rights::all());
    scene.sdk("storage.py", "an_upload_from_a_stream_leaves_its_body_unsigned");
    let log = scene.emulator.log();
    let upload = log.iter().find(|entry| entry.method == "PUT").unwrap();
    assert!(!upload.header("authorization").unwrap().contains("x-content-sha256"));
}

#[test]
fn conditions_on_etags_are_kept() {
    scene(Rights::all()).sdk("storage.py", "conditions_are_kept");
}

#[test]
fn lists_go_by_name_prefix_and_page() {
    scene(Rights::all()).sdk("storage.py", "lists_by_name_prefix_and_page");
}

#[test]
fn a_retained_object_is_neither_changed_nor_deleted() {
    let scene = scene(Rights::all());
    scene.sdk("storage.py", "rules_retain_objects");
    let objects = scene.emulator.objects("audit");
    let kept: Vec<_> = objects.iter().map(|object| (object.name.as_str(), object.content.as_slice())).collect();
    assert_eq!(kept, [("another", &b"1"[..]), ("record", &b"1"[..])]);
}

#[test]
fn an_object_that_was_kept_long_enough_may_go() {
    let scene = Scene::new();
    scene.emulator.create_bucket("audit", &BucketOptions::new().retain_days(30)).unwrap();
    scene.emulator.set_clock_offset(SignedDuration::from_hours(-31 * 24));
    scene.emulator.put_object("audit", "record", "1").unwrap();
    scene.emulator.set_clock_offset(SignedDuration::ZERO);
    scene.sdk("storage.py", "may_delete_again");
    assert!(scene.emulator.objects("audit").is_empty());
}

#[test]
fn a_preauthenticated_url_opens_one_object_until_it_expires() {
    let mut scene = scene(Rights::all());
    let file = scene.folder.path().join("url").display().to_string();
    scene.tell("URL_FILE", &file);
    scene.sdk("storage.py", "a_url_opens_one_object_without_a_signature");
    scene.sdk("storage.py", "the_url_is_open");
    scene.emulator.set_clock_offset(SignedDuration::from_hours(2));
    scene.sdk("storage.py", "the_url_is_closed");
}

#[test]
fn a_right_to_create_is_no_right_to_overwrite() {
    let rights = Rights::none().allow_on(Permission::ObjectCreate, "audit").allow_on(Permission::ObjectRead, "audit");
    let scene = scene(rights);
    scene.sdk("storage.py", "may_create_but_not_overwrite");
    assert_eq!(scene.emulator.objects("audit").first().unwrap().content, b"1");
}
