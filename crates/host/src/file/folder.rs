//! A folder of our own: made with its parents, private, durable; and the file names in it.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::blocking::{refused, unknown};
use crate::port::{Kind, PortError, PortResult};

/// Only the user that rotates reads what is kept here.
const FOLDER_MODE: u32 = 0o700;

/// The same for files.
const FILE_MODE: u32 = 0o600;

/// Leaves room for a suffix within the 255 bytes that file systems allow.
const NAME_BYTES: usize = 200;

/// Makes the folder and its missing parents, durably. A folder that exists is taken as it is.
pub(super) fn make(folder: &Path) -> PortResult<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let what = || format!("make the folder {}", folder.display());
    let mut missing: Vec<&Path> = folder.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
    missing.retain(|path| !path.is_dir());
    for path in missing.iter().rev() {
        match DirBuilder::new().mode(FOLDER_MODE).create(path) {
            Ok(()) => {}
            // Another process was faster, or something else is in the way; the next use tells which.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused(&error, what())),
        }
        sync(parent(path)).map_err(|error| refused(&error, what()))?;
    }
    Ok(())
}

/// Makes renames and creations in a folder durable.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// As [`sync`], for a change that has been made already.
pub(super) fn sync_after(folder: &Path, what: &str) -> PortResult<()> {
    sync(folder).map_err(|error| unknown(&error, format!("{what}: make it durable")))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Path of the file `<set><suffix>`. A set's name is written as it is as far as it is harmless in a file name, and each other
/// byte as `%XX`, so that no two sets share a file and none leaves the folder.
pub(super) fn file(folder: &Path, set: &str, suffix: &str) -> PortResult<PathBuf> {
    let mut name = String::new();
    for (index, byte) in set.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || (byte == b'.' && index > 0);
        if plain {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    if name.is_empty() || name.len() > NAME_BYTES {
        return Err(PortError::refused(Kind::Io, format!("name a file after the set `{set}`"))
            .with_code("ENAMETOOLONG")
            .with_hint("choose a shorter name for the set"));
    }
    Ok(folder.join(name + suffix))
}

/// Options for a file of ours: private, never through a symbolic link, never waiting for the other end of a pipe.
pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE_MODE).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

/// Opens a file that exists, for reading; `None` if there is none. Anything but a regular file is refused.
pub(super) fn open_existing(options: &mut OpenOptions, path: &Path, what: &str) -> PortResult<Option<File>> {
    let file = match options.read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(&error, what)),
    };
    let metadata = file.metadata().map_err(|error| refused(&error, what))?;
    if !metadata.is_file() {
        return Err(PortError::refused(Kind::Malformed, format!("{what}: it is not a regular file")));
    }
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn names_stay_in_the_folder_and_apart() {
        let folder = Path::new("state");
        let names = ["orders", "orders.eu", "Orders", "..", ".", ".hidden", "a/b", "a%2Fb", "ö", "a b", "a\nb", "a\0b"];
        let mut files: Vec<PathBuf> = names.iter().map(|name| file(folder, name, ".json").unwrap()).collect();
        for path in &files {
            assert_eq!(path.parent(), Some(folder), "{}", path.display());
            assert!(!path.file_name().unwrap().to_str().unwrap().starts_with('.'));
        }
        files.sort();
        files.dedup();
        assert_eq!(files.len(), names.len());
        assert_eq!(file(folder, "orders.eu", ".json").unwrap(), Path::new("state/orders.eu.json"));
        assert!(file(folder, "", ".json").is_err());
        assert!(file(folder, &"x".repeat(300), ".json").is_err());
    }

    #[test]
    fn folders_are_made_private_with_their_parents() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("a/b");
        for _ in 0..2 {
            make(&folder).unwrap();
        }
        for path in [temp.path().join("a"), folder] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, FOLDER_MODE);
        }
    }

    #[test]
    fn a_file_in_the_way_of_a_folder_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        File::create(temp.path().join("a")).unwrap();
        let error = make(&temp.path().join("a/b")).unwrap_err();
        assert_eq!((error.kind, error.code.as_deref()), (Kind::Io, Some("ENOTDIR")));
    }
}
