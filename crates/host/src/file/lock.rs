//! Locks between processes of one machine, by `flock`: the kernel releases them when the holder ends, however it ends.
//!
//! Lock files are never deleted: a lock on a deleted file excludes nobody.

use core::time::Duration;
use std::{
    fs::{File, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
};

use super::{blocking::refused, folder};
use crate::port::{Deadline, Kind, PortError, PortResult};

/// Between two attempts to take a short lock: its holder needs about as long as one fsync takes.
const RETRY: Duration = Duration::from_millis(2);

/// A process id has at most this many digits.
const PID_DIGITS: u64 = 10;

/// Taken as long as it lives: this process works on the set, and no other one on this machine does.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct RunLock {
    _file: File,
}

/// Tries once. `Err(holder)` carries the process id that the holder has left, if it is legible.
pub(super) fn try_run_lock(path: &Path) -> PortResult<Result<RunLock, Option<u32>>> {
    let what = format!("lock {}", path.display());
    let mut file = open(path, &what)?;
    if !try_lock(&file, &what)? {
        let mut text = String::new();
        let read = file.take(PID_DIGITS).read_to_string(&mut text);
        return Ok(Err(read.ok().and_then(|_| text.trim().parse().ok())));
    }
    // The number is for people only; a lock without it is as good.
    let note = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    drop(note(&mut file));
    Ok(Ok(RunLock { _file: file }))
}

/// Takes a short lock, waiting for its holder until the deadline.
pub(super) fn lock(path: &Path, deadline: Deadline) -> PortResult<File> {
    let what = format!("lock {}", path.display());
    let file = open(path, &what)?;
    while !try_lock(&file, &what)? {
        let left = deadline.left();
        if left.is_zero() {
            return Err(PortError::refused(Kind::Timeout, format!("{what}: another process holds it")));
        }
        std::thread::sleep(RETRY.min(left));
    }
    Ok(file)
}

fn open(path: &Path, what: &str) -> PortResult<File> {
    folder::options().read(true).write(true).create(true).open(path).map_err(|error| refused(&error, what))
}

fn try_lock(file: &File, what: &str) -> PortResult<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(refused(&error, what)),
    }
}
