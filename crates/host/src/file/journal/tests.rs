//! The file journal against other processes, kills, full disks and damaged files.
//!
//! Tests that need a second process run themselves again with a role in the environment; such a process dies with the
//! thread that started it.

use core::time::Duration;
use std::{
    io::{BufRead as _, BufReader},
    os::unix::fs::{PermissionsExt as _, symlink},
    process::{Command, Stdio},
    sync::Arc,
};

use super::*;
use crate::{
    file::process::{self, Running},
    port::Certainty,
    testkit::conformance::{self, JournalFixture},
};

/// Increments of each of two processes.
const INCREMENTS: u32 = 200;

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

fn document(number: u32, who: &str) -> Vec<u8> {
    format!("{{\"number\":{number},\"who\":\"{who}\"}}").into_bytes()
}

fn number(bytes: &[u8]) -> u32 {
    let value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    value["number"].as_u64().unwrap().try_into().unwrap()
}

async fn register(journal: &FileJournal) -> Stored {
    journal.read("orders", soon()).await.unwrap().unwrap()
}

/// The journal that this process is to use, if a test started it.
fn part() -> Option<(String, FileJournal)> {
    let (role, folder) = process::role()?;
    Some((role.to_string_lossy().into_owned(), FileJournal::new(folder)))
}

fn again(test: &str, role: &str, folder: &Path) -> Command {
    process::again(&format!("file::journal::tests::{test}"), role, folder)
}

struct TwoHandles {
    temp: tempfile::TempDir,
}

impl JournalFixture for TwoHandles {
    fn first(&self) -> Arc<dyn Journal> {
        Arc::new(FileJournal::new(self.temp.path().join("state")))
    }

    fn second(&self) -> Arc<dyn Journal> {
        self.first()
    }
}

#[tokio::test]
async fn the_file_journal_keeps_every_promise() {
    let report = conformance::journal(async || TwoHandles { temp: tempfile::tempdir().unwrap() }).await;
    assert_eq!(report.into_result().unwrap().len(), 12);
}

#[tokio::test]
async fn two_processes_lose_no_update() {
    if let Some((who, journal)) = part() {
        for _ in 0..INCREMENTS {
            loop {
                let stored = register(&journal).await;
                let next = document(number(&stored.bytes) + 1, &who);
                match journal.write("orders", Some(&stored.tag), &next, soon()).await {
                    Ok(_) => break,
                    Err(error) => assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Conflict)),
                }
            }
        }
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let journal = FileJournal::new(temp.path().to_owned());
    journal.write("orders", None, &document(0, "start"), soon()).await.unwrap();
    let start = |who| Running(again("two_processes_lose_no_update", who, temp.path()).spawn().unwrap());
    let (mut one, mut other) = (start("one"), start("other"));
    assert!(one.0.wait().unwrap().success());
    assert!(other.0.wait().unwrap().success());
    assert_eq!(number(&register(&journal).await.bytes), 2 * INCREMENTS);
}

#[tokio::test]
async fn a_killed_writer_leaves_a_whole_register_that_holds_what_it_acknowledged() {
    if let Some((_, journal)) = part() {
        let mut tag = register(&journal).await.tag;
        for next in 1_u32.. {
            tag = journal.write("orders", Some(&tag), &document(next, &"x".repeat(100_000)), soon()).await.unwrap();
            eprintln!("{next}");
        }
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let journal = FileJournal::new(temp.path().to_owned());
    journal.write("orders", None, &document(0, "start"), soon()).await.unwrap();
    for lines in [1, 3, 7, 12] {
        let stored = register(&journal).await;
        journal.write("orders", Some(&stored.tag), &document(0, "again"), soon()).await.unwrap();
        let name = "a_killed_writer_leaves_a_whole_register_that_holds_what_it_acknowledged";
        let mut writer = Running(again(name, "writer", temp.path()).spawn().unwrap());
        let output = BufReader::new(writer.0.stderr.take().unwrap());
        let acknowledged = output.lines().take(lines).last().unwrap().unwrap().parse::<u32>().unwrap();
        drop(writer);
        let stored = register(&journal).await;
        assert!(number(&stored.bytes) >= acknowledged, "{} after {acknowledged}", number(&stored.bytes));
        journal.write("orders", Some(&stored.tag), &document(0, "not locked"), soon()).await.unwrap();
    }
}

#[tokio::test]
async fn a_set_is_held_by_one_process_until_that_process_is_killed() {
    if let Some((_, journal)) = part() {
        let _held = journal.hold("orders", soon()).await.unwrap();
        eprintln!("held");
        core::future::pending::<()>().await;
    }
    let temp = tempfile::tempdir().unwrap();
    let journal = FileJournal::new(temp.path().to_owned());
    let name = "a_set_is_held_by_one_process_until_that_process_is_killed";
    let mut holder = Running(again(name, "holder", temp.path()).spawn().unwrap());
    let pid = holder.0.id();
    let mut output = BufReader::new(holder.0.stderr.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");

    let error = journal.hold("orders", soon()).await.unwrap_err();
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Conflict));
    assert!(error.what.contains(&format!("process {pid}")), "{error}");
    drop(journal.hold("payments", soon()).await.expect("another set is free"));
    let tag = journal.write("orders", None, &document(1, "cas"), soon()).await;
    assert!(tag.is_ok(), "the run lock saves work; it does not stand in the way of compare-and-swap");

    drop(holder);
    let held = journal.hold("orders", soon()).await.expect("a killed process holds nothing");
    assert_eq!(journal.hold("orders", soon()).await.unwrap_err().kind, Kind::Conflict);
    drop(held);
    assert!(journal.hold("orders", soon()).await.is_ok());
}

#[tokio::test]
async fn waiting_for_the_lock_ends_at_the_deadline_and_writes_nothing_later() {
    let temp = tempfile::tempdir().unwrap();
    let journal = FileJournal::new(temp.path().to_owned());
    let tag = journal.write("orders", None, &document(1, "first"), soon()).await.unwrap();
    let held = lock::lock(&temp.path().join("orders.lock"), soon()).unwrap();
    let short = Deadline::after(Duration::from_millis(100));
    let error = journal.write("orders", Some(&tag), &document(2, "late"), short).await.unwrap_err();
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Timeout));
    assert_eq!(journal.read("orders", soon()).await.unwrap().unwrap().tag, tag, "reading needs no lock");
    drop(held);
    journal.write("orders", Some(&tag), &document(3, "next"), soon()).await.unwrap();
    assert_eq!(number(&register(&journal).await.bytes), 3);
}

#[tokio::test]
async fn a_write_that_has_begun_when_the_deadline_passes_is_unknown() {
    let (entered, has_entered) = tokio::sync::oneshot::channel();
    let (go_on, wait_to_go_on) = std::sync::mpsc::channel::<()>();
    let call = blocking::run(Deadline::after(Duration::from_secs(60)), "write".to_owned(), move |claim| {
        claim.take()?;
        entered.send(()).unwrap();
        // The kernel does not come back, for example from a network file system.
        wait_to_go_on.recv().unwrap_or_default();
        Ok(())
    });
    let pass_the_deadline = async {
        has_entered.await.unwrap();
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(61)).await;
    };
    let (outcome, ()) = tokio::join!(call, pass_the_deadline);
    let error = outcome.unwrap_err();
    assert_eq!((error.certainty, error.kind), (Certainty::Unknown, Kind::Timeout));
    drop(go_on);
}

#[tokio::test]
async fn a_write_that_was_given_up_before_it_began_never_begins() {
    let (go_on, wait_to_go_on) = std::sync::mpsc::channel::<()>();
    let (entered, has_entered) = tokio::sync::oneshot::channel();
    let (report, reported) = tokio::sync::oneshot::channel();
    let call = blocking::run(Deadline::after(Duration::from_secs(60)), "write".to_owned(), move |claim| {
        entered.send(()).unwrap();
        wait_to_go_on.recv().unwrap_or_default();
        report.send(claim.take()).unwrap();
        Ok(())
    });
    let pass_the_deadline = async {
        has_entered.await.unwrap();
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(61)).await;
    };
    let (outcome, ()) = tokio::join!(call, pass_the_deadline);
    let error = outcome.unwrap_err();
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Timeout));
    drop(go_on);
    assert_eq!(reported.await.unwrap().unwrap_err().kind, Kind::Timeout, "the late thread finds its claim gone");
}

#[tokio::test]
async fn what_is_no_register_is_refused_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let journal = FileJournal::new(temp.path().to_owned());
    let path = temp.path().join("orders.json");
    let whole = document(7, "whole");
    for damaged in [&whole[..whole.len() - 3], b"", b"\0\0\0\0", &vec![b' '; 2 << 20]] {
        (&File::create(&path).unwrap()).write_all(damaged).unwrap();
        let error = journal.read("orders", soon()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Malformed, "{error}");
        let error = journal.write("orders", None, &whole, soon()).await.unwrap_err();
        assert_eq!(error.certainty, Certainty::Refused);
        assert_eq!(fs::read(&path).unwrap(), damaged);
    }
}

#[tokio::test]
async fn a_symbolic_link_or_a_folder_in_the_place_of_the_register_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let journal = FileJournal::new(temp.path().join("state"));
    fs::create_dir(temp.path().join("state")).unwrap();
    let target = temp.path().join("elsewhere.json");
    (&File::create(&target).unwrap()).write_all(&document(1, "elsewhere")).unwrap();
    let path = temp.path().join("state/orders.json");
    symlink(&target, &path).unwrap();
    let error = journal.read("orders", soon()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (Kind::Io, Some("ELOOP")));
    let error = journal.write("orders", None, &document(2, "through"), soon()).await.unwrap_err();
    assert_eq!((error.certainty, error.code.as_deref()), (Certainty::Refused, Some("ELOOP")));
    assert_eq!(number(&fs::read(&target).unwrap()), 1);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(journal.read("orders", soon()).await.unwrap_err().kind, Kind::Malformed);
}

#[tokio::test]
async fn a_leftover_of_a_killed_writer_is_replaced_and_never_followed() {
    let temp = tempfile::tempdir().unwrap();
    let journal = FileJournal::new(temp.path().to_owned());
    let target = temp.path().join("precious");
    (&File::create(&target).unwrap()).write_all(b"precious").unwrap();
    symlink(&target, temp.path().join("orders.json.new")).unwrap();
    journal.write("orders", None, &document(1, "first"), soon()).await.unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    assert_eq!(number(&register(&journal).await.bytes), 1);
    let mode = temp.path().join("orders.json").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_in_full_leaves_the_old_register() {
    if let Some((_, journal)) = part() {
        let stored = register(&journal).await;
        let error =
            journal.write("orders", Some(&stored.tag), &document(2, &"x".repeat(100_000)), soon()).await.unwrap_err();
        assert_eq!((error.certainty, error.kind, error.code.as_deref()), (Certainty::Refused, Kind::Io, Some("EFBIG")));
        assert!(error.hint.is_some());
        eprintln!("refused");
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let journal = FileJournal::new(temp.path().to_owned());
    journal.write("orders", None, &document(1, "first"), soon()).await.unwrap();
    // A limit on file sizes stands for the full disk: everybody may set it.
    let name = "file::journal::tests::a_file_that_cannot_be_written_in_full_leaves_the_old_register";
    let limited = process::again_with_small_files(name, "limited", temp.path()).output().unwrap();
    assert_eq!((limited.status.success(), &*limited.stderr), (true, b"refused\n".as_slice()));
    assert_eq!(number(&register(&journal).await.bytes), 1);
    let mut names: Vec<_> = fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["orders.json", "orders.lock"], "nothing is left behind");
}

#[tokio::test]
async fn a_full_disk_and_a_read_only_one_are_refused_by_name() {
    let temp = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(temp.path()) else {
        eprintln!("skipped: this user may not mount a small disk; the size limit above stands for it");
        return;
    };
    let journal = FileJournal::new(temp.path().join("state"));
    let tag = journal.write("orders", None, &document(1, "first"), soon()).await.unwrap();
    let large = document(2, &"x".repeat(500_000));
    let error = journal.write("orders", Some(&tag), &large, soon()).await.unwrap_err();
    assert_eq!((error.certainty, error.kind, error.code.as_deref()), (Certainty::Refused, Kind::Io, Some("ENOSPC")));
    assert_eq!(number(&register(&journal).await.bytes), 1);

    disk.make_read_only();
    let error = journal.write("orders", Some(&tag), &document(2, "second"), soon()).await.unwrap_err();
    assert_eq!((error.certainty, error.kind, error.code.as_deref()), (Certainty::Refused, Kind::Io, Some("EROFS")));
    let error = FileJournal::new(temp.path().join("fresh")).write("orders", None, b"{}", soon()).await.unwrap_err();
    assert_eq!((error.certainty, error.code.as_deref()), (Certainty::Refused, Some("EROFS")));
    assert_eq!(journal.hold("orders", soon()).await.unwrap_err().kind, Kind::Io);
    assert_eq!(number(&register(&journal).await.bytes), 1);
}

#[tokio::test]
async fn a_folder_without_write_permission_is_refused_by_name() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("state");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    let journal = FileJournal::new(folder.clone());
    let outcome = journal.write("orders", None, &document(1, "first"), soon()).await;
    if rustix::process::geteuid().is_root() {
        assert!(outcome.is_ok(), "permissions do not bind root");
        return;
    }
    let error = outcome.unwrap_err();
    assert_eq!((error.certainty, error.kind, error.code.as_deref()), (Certainty::Refused, Kind::Io, Some("EACCES")));
    assert_eq!(journal.read("orders", soon()).await, Ok(None));
}

/// A file system of 256 KiB in a folder; unmounted when dropped.
struct SmallDisk<'a> {
    folder: &'a Path,
}

impl<'a> SmallDisk<'a> {
    fn mount(folder: &'a Path) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=256k", "dizzy-test"]).arg(folder).stderr(Stdio::null());
        command.status().ok()?.success().then_some(Self { folder })
    }

    fn make_read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(self.folder).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.folder).status());
    }
}
