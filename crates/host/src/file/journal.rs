//! The journal `file:DIR`: one JSON file per set, replaced atomically, under an operating system lock.
//!
//! `DIR/<set>.json` is the register; `<set>.lock` is held for the moment of reading, comparing and replacing; `<set>.run`
//! is held by the worker for as long as it works on the set. The tag of a register is the SHA-256 of its bytes: every
//! write of a register carries a fresh nonce, so no two states have the same.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use rustix::io::Errno;
use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};

use super::{
    blocking::{self, Claim, refused, unknown},
    folder,
    lock::{self, RunLock},
};
use crate::port::{Deadline, Journal, Kind, PortError, PortResult, Stored, Tag};

/// A register is some kilobytes; what is larger is not one.
const REGISTER_BYTES: u64 = 1 << 20;

/// Registers in a folder of the local machine.
#[derive(Clone, Debug)]
pub struct FileJournal {
    folder: PathBuf,
}

impl FileJournal {
    /// The journal in this folder. The folder is made by the first write.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Claims the set for this process, without waiting. Another process of this machine that asks meanwhile is told at
    /// once; the lock ends with the value or with the process. It saves work; safety rests on compare-and-swap.
    ///
    /// # Errors
    /// `Conflict` if another process works on the set; `Io` if the folder cannot be used.
    pub async fn hold(&self, set: &str, deadline: Deadline) -> PortResult<RunLock> {
        let (folder, set) = (self.folder.clone(), set.to_owned());
        let what = format!("claim {set} in {}", self.folder.display());
        blocking::run(deadline, what, move |_| {
            folder::make(&folder)?;
            lock::try_run_lock(&folder::file(&folder, &set, ".run")?)?.map_err(|holder| {
                let process = holder.map_or_else(String::new, |pid| format!(" (process {pid})"));
                PortError::refused(Kind::Conflict, format!("another process on this machine works on {set}{process}"))
                    .with_hint("wait for it to finish, or end it; its lock ends with it")
            })
        })
        .await
    }
}

#[async_trait]
impl Journal for FileJournal {
    fn place(&self) -> String {
        format!("file:{}", self.folder.display())
    }

    async fn read(&self, set: &str, deadline: Deadline) -> PortResult<Option<Stored>> {
        let path = folder::file(&self.folder, set, ".json")?;
        let what = format!("read the register {}", path.display());
        blocking::run(deadline, what, move |_| {
            let Some(bytes) = load(&path)? else { return Ok(None) };
            if serde_json::from_slice::<IgnoredAny>(&bytes).is_err() {
                let what = format!("read the register {}: it is damaged (no JSON document)", path.display());
                let hint =
                    "restore the file from a backup; do not delete it: databases and secrets belong to this register";
                return Err(PortError::refused(Kind::Malformed, what).with_hint(hint));
            }
            Ok(Some(Stored { tag: tag(&bytes), bytes }))
        })
        .await
    }

    async fn write(&self, set: &str, expected: Option<&Tag>, bytes: &[u8], deadline: Deadline) -> PortResult<Tag> {
        let files = Files {
            register: folder::file(&self.folder, set, ".json")?,
            lock: folder::file(&self.folder, set, ".lock")?,
            fresh: folder::file(&self.folder, set, ".json.new")?,
            folder: self.folder.clone(),
        };
        let (expected, bytes) = (expected.cloned(), bytes.to_vec());
        let what = format!("write the register {}", files.register.display());
        blocking::run(deadline, what.clone(), move |claim| {
            folder::make(&files.folder)?;
            let _held = lock::lock(&files.lock, deadline)?;
            if load(&files.register)?.map(|bytes| tag(&bytes)) != expected {
                return Err(PortError::refused(Kind::Conflict, format!("{what}: it has changed meanwhile")));
            }
            files.replace(&bytes, claim, &what)?;
            Ok(tag(&bytes))
        })
        .await
    }
}

struct Files {
    folder: PathBuf,
    register: PathBuf,
    lock: PathBuf,
    /// What becomes the register. One name is enough, because only the holder of the lock touches it; a killed process
    /// leaves at most this one behind.
    fresh: PathBuf,
}

impl Files {
    /// Puts `bytes` in the place of the register: either the old or the new content is there at any moment, also after a
    /// power cut.
    fn replace(&self, bytes: &[u8], claim: &Claim, what: &str) -> PortResult<()> {
        let prepared = self.prepare(bytes).map_err(|error| refused(&error, what)).and_then(|()| claim.take());
        if let Err(error) = prepared {
            // A leftover does no harm; the next write replaces it.
            drop(fs::remove_file(&self.fresh));
            return Err(error);
        }
        if let Err(error) = fs::rename(&self.fresh, &self.register) {
            drop(fs::remove_file(&self.fresh));
            return Err(if refuses_for_certain(&error) { refused(&error, what) } else { unknown(&error, what) });
        }
        folder::sync_after(&self.folder, what)
    }

    fn prepare(&self, bytes: &[u8]) -> io::Result<()> {
        match fs::remove_file(&self.fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = folder::options().write(true).create_new(true).open(&self.fresh)?;
        file.write_all(bytes)?;
        file.sync_all()
    }
}

/// Errors of rename that mean that it was not done; after any other it may have been, for example by a file server whose
/// answer was lost.
fn refuses_for_certain(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let certain =
        [Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::NOSPC, Errno::DQUOT, Errno::ISDIR, Errno::NOTDIR, Errno::BUSY];
    errno.is_some_and(|errno| certain.contains(&errno))
}

fn load(path: &Path) -> PortResult<Option<Vec<u8>>> {
    let what = format!("read the register {}", path.display());
    let Some(file) = folder::open_existing(&mut folder::options(), path, &what)? else { return Ok(None) };
    read_all(file, &what).map(Some)
}

fn read_all(file: File, what: &str) -> PortResult<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(REGISTER_BYTES + 1).read_to_end(&mut bytes).map_err(|error| refused(&error, what))?;
    if bytes.len() as u64 > REGISTER_BYTES {
        return Err(PortError::refused(Kind::Malformed, format!("{what}: it is too large to be a register")));
    }
    Ok(bytes)
}

fn tag(bytes: &[u8]) -> Tag {
    Tag(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
