//! Blocking work under a deadline, with an exact answer to "can it still happen?".
//!
//! A thread cannot be stopped, so caller and thread share a claim: the thread takes it just before it changes anything, the
//! caller gives it up when the deadline passes. Whoever comes first wins, so a call that was given up before the claim is
//! refused for certain, and one after it is unknown.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use crate::port::{Deadline, Kind, PortError, PortResult};

const OPEN: u8 = 0;
const TAKEN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// The right to change something; nobody has it twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Claim(Arc<AtomicU8>);

impl Claim {
    /// To be called before the first change that others can see.
    ///
    /// # Errors
    /// If the caller has given up: nothing may be changed any more.
    pub(super) fn take(&self) -> PortResult<()> {
        match self.0.compare_exchange(OPEN, TAKEN, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) | Err(TAKEN) => Ok(()),
            Err(_) => Err(PortError::refused(Kind::Timeout, "begin writing: the caller has given up")),
        }
    }

    fn give_up(&self) -> bool {
        self.0.compare_exchange(OPEN, GIVEN_UP, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// Runs `work` on a thread of its own and returns by the deadline.
///
/// A thread that hangs in the kernel outlives the call. A process that wants to end must not wait for it
/// (`tokio::runtime::Runtime::shutdown_background`).
pub(super) async fn run<T: Send + 'static>(
    deadline: Deadline,
    what: String,
    work: impl FnOnce(&Claim) -> PortResult<T> + Send + 'static,
) -> PortResult<T> {
    if deadline.left().is_zero() {
        return Err(PortError::refused(Kind::Timeout, format!("{what}: no answer in time")));
    }
    let claim = Claim::default();
    let job = tokio::task::spawn_blocking({
        let claim = claim.clone();
        move || work(&claim)
    });
    match tokio::time::timeout_at(deadline.instant(), job).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(PortError::unknown(Kind::Other, format!("{what}: the file thread did not finish"))),
        Err(_) if claim.give_up() => Err(PortError::refused(Kind::Timeout, format!("{what}: no answer in time"))),
        Err(_) => Err(PortError::unknown(Kind::Timeout, format!("{what}: no answer in time"))),
    }
}

/// A file error after which nothing was changed.
pub(super) fn refused(error: &io::Error, what: impl Into<String>) -> PortError {
    describe(error, PortError::refused(Kind::Io, what))
}

/// A file error after which the change may be there.
pub(super) fn unknown(error: &io::Error, what: impl Into<String>) -> PortError {
    describe(error, PortError::unknown(Kind::Io, what))
}

fn describe(error: &io::Error, described: PortError) -> PortError {
    let Some(number) = error.raw_os_error() else { return described };
    let (code, hint) = match rustix::io::Errno::from_raw_os_error(number) {
        rustix::io::Errno::ACCESS => ("EACCES", "give this user the right to write there, or choose another folder"),
        rustix::io::Errno::PERM => ("EPERM", "give this user the right to write there, or choose another folder"),
        rustix::io::Errno::ROFS => {
            ("EROFS", "the file system is read-only: mount it writable, or choose another folder")
        }
        rustix::io::Errno::NOSPC => ("ENOSPC", "the disk is full: make room"),
        rustix::io::Errno::DQUOT => ("EDQUOT", "the disk quota is used up: make room"),
        rustix::io::Errno::FBIG => ("EFBIG", "a file size limit is in force: raise it (ulimit -f)"),
        rustix::io::Errno::NOTDIR => ("ENOTDIR", "a part of the path is a file: choose another folder"),
        rustix::io::Errno::ISDIR => ("EISDIR", "a folder is where a file belongs: move it away"),
        rustix::io::Errno::LOOP => ("ELOOP", "a symbolic link is where a file belongs: put the file itself there"),
        rustix::io::Errno::NAMETOOLONG => ("ENAMETOOLONG", "choose a shorter name"),
        rustix::io::Errno::NOENT => ("ENOENT", "check the path"),
        rustix::io::Errno::IO => ("EIO", "the disk reports errors: look at the system log"),
        rustix::io::Errno::STALE => ("ESTALE", "the network file system has lost the file: mount it again"),
        rustix::io::Errno::MFILE => ("EMFILE", "raise the limit of open files (ulimit -n)"),
        rustix::io::Errno::NFILE => ("ENFILE", "raise the system's limit of open files"),
        rustix::io::Errno::NOLCK => ("ENOLCK", "the file system has no locks to give: choose a local folder"),
        rustix::io::Errno::OPNOTSUPP => ("EOPNOTSUPP", "the file system has no locks: choose a local folder"),
        _ => return described.with_code(format!("errno {number}")),
    };
    described.with_code(code).with_hint(hint)
}
