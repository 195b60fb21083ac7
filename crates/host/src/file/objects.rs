//! Objects in a folder: the same names as in a bucket, one file per object, so that a trail can be copied either way.
//!
//! A file comes into being whole: it is written beside its name and linked there, which fails if the name is taken. What a
//! folder cannot do that a bucket can: hold an object whose name is also the beginning of others (`a` and `a/b`), and tell
//! what was there before.

use core::sync::atomic::{AtomicU64, Ordering};
use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

use super::{
    blocking::{self, Claim, refused, unknown},
    folder, lock,
};
use crate::port::{
    Deadline, Etag, Kind, Object, ObjectEntry, ObjectPage, ObjectStore, PAGE, PortError, PortResult, VersionMark,
    Versions, Written, check_name,
};

/// What the names of unfinished files begin with; no object's last part does.
const UNFINISHED: &str = ".unfinished-";

/// Name of the lock that keeps two replacements apart.
const LOCK: &str = ".objects.lock";

/// Deepest folder that is looked into; an object's name has five parts.
const MAX_DEPTH: usize = 64;

/// Tells apart the unfinished files of one process.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Objects in a folder of the local machine.
#[derive(Clone, Debug)]
pub struct FileObjects {
    folder: PathBuf,
}

impl FileObjects {
    /// The objects in this folder. The folder is made by the first write.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, name: &str) -> PortResult<PathBuf> {
        check_name(name)?;
        if name.split('/').any(is_ours) {
            return Err(PortError::refused(Kind::Malformed, format!("use {name} as the name of an object")));
        }
        Ok(self.folder.join(name))
    }
}

fn is_ours(part: &str) -> bool {
    part.starts_with(UNFINISHED) || part == LOCK
}

#[async_trait]
impl ObjectStore for FileObjects {
    fn place(&self) -> String {
        format!("file:{}", self.folder.display())
    }

    async fn get(&self, name: &str, limit: usize, deadline: Deadline) -> PortResult<Option<Object>> {
        let path = self.path(name)?;
        let what = format!("read {}", path.display());
        blocking::run(deadline, what.clone(), move |_| load(&path, limit, &what)).await
    }

    async fn get_version(&self, name: &str, _: &str, _: usize, _: Deadline) -> PortResult<Option<Object>> {
        let path = self.path(name)?;
        Err(PortError::refused(Kind::Other, format!("read a version of {}: a folder keeps none", path.display())))
    }

    async fn create(&self, name: &str, bytes: &[u8], deadline: Deadline) -> PortResult<Written> {
        let (path, bytes) = (self.path(name)?, bytes.to_vec());
        let what = format!("create {}", path.display());
        blocking::run(deadline, what.clone(), move |claim| {
            let fresh = Fresh::write(&path, &bytes, &what)?;
            claim.take()?;
            match fs::hard_link(&fresh.path, &path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(PortError::refused(Kind::Exists, format!("{what}: it exists")));
                }
                Err(error) => return Err(refused(&error, what)),
            }
            drop(fresh);
            folder::sync_after(parent(&path), &what)?;
            Ok(Written { etag: tag(&bytes), version: None })
        })
        .await
    }

    async fn replace(&self, name: &str, bytes: &[u8], expected: &Etag, deadline: Deadline) -> PortResult<Written> {
        let (path, bytes, expected) = (self.path(name)?, bytes.to_vec(), expected.clone());
        let lock_path = self.folder.join(LOCK);
        let what = format!("replace {}", path.display());
        blocking::run(deadline, what.clone(), move |claim| {
            if !path.exists() {
                return Err(PortError::refused(Kind::Conflict, format!("{what}: it is not there")));
            }
            let _held = lock::lock(&lock_path, deadline)?;
            let found = load(&path, usize::MAX - 1, &what)?;
            if found.map(|object| object.etag) != Some(expected) {
                return Err(PortError::refused(Kind::Conflict, format!("{what}: it has changed meanwhile")));
            }
            let fresh = Fresh::write(&path, &bytes, &what)?;
            swap(fresh, &path, claim, &what)?;
            Ok(Written { etag: tag(&bytes), version: None })
        })
        .await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, most: usize, deadline: Deadline) -> PortResult<ObjectPage> {
        let (folder, prefix) = (self.folder.clone(), prefix.to_owned());
        let after = after.unwrap_or_default().to_owned();
        let most = most.clamp(1, PAGE);
        let what = format!("list {}", folder.display());
        blocking::run(deadline, what.clone(), move |_| {
            let mut walk = Walk { prefix: &prefix, after: &after, most: most + 1, names: Vec::new(), what: &what };
            walk.folder(&folder, "", 0)?;
            let more = walk.names.len() > most;
            walk.names.truncate(most);
            let mut objects = Vec::new();
            for name in walk.names {
                // One that vanished since it was listed is not there. A tag would mean to read them all.
                let Ok(metadata) = fs::metadata(folder.join(&name)) else { continue };
                objects.push(ObjectEntry { name, etag: None, size: Some(metadata.len()) });
            }
            let next = objects.last().filter(|_| more).map(|entry| entry.name.clone());
            Ok(ObjectPage { objects, next })
        })
        .await
    }

    async fn versions(&self, _: &str, _: Option<&VersionMark>, _: usize, _: Deadline) -> PortResult<Versions> {
        Ok(Versions::NotListed)
    }
}

/// A whole file beside the place where it belongs; gone when dropped.
struct Fresh {
    path: PathBuf,
}

impl Fresh {
    fn write(path: &Path, bytes: &[u8], what: &str) -> PortResult<Self> {
        folder::make(parent(path))?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{UNFINISHED}{}-{number}", std::process::id());
        let fresh = Self { path: parent(path).join(name) };
        let write = || {
            // A process of this number died before us.
            match fs::remove_file(&fresh.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let mut file = folder::options().write(true).create_new(true).open(&fresh.path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|error| refused(&error, what))?;
        Ok(fresh)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // A leftover is never listed, and is in nobody's way.
        drop(fs::remove_file(&self.path));
    }
}

fn swap(fresh: Fresh, path: &Path, claim: &Claim, what: &str) -> PortResult<()> {
    claim.take()?;
    fs::rename(&fresh.path, path).map_err(|error| unknown(&error, what))?;
    drop(fresh);
    folder::sync_after(parent(path), what)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new("."))
}

fn tag(bytes: &[u8]) -> Etag {
    Etag(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn load(path: &Path, limit: usize, what: &str) -> PortResult<Option<Object>> {
    if path.is_dir() {
        return Ok(None);
    }
    let file = match folder::open_existing(&mut folder::options(), path, what) {
        Err(error) if error.code.as_deref() == Some("ENOTDIR") => return Ok(None),
        other => other?,
    };
    let Some(file) = file else { return Ok(None) };
    let bytes = read_all(&file, limit, what)?;
    Ok(Some(Object { etag: tag(&bytes), bytes, version: None, retained_until: None }))
}

fn read_all(file: &File, limit: usize, what: &str) -> PortResult<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|error| refused(&error, what))?;
    if bytes.len() > limit {
        return Err(PortError::refused(Kind::Malformed, format!("{what}: it has more than {limit} bytes")));
    }
    Ok(bytes)
}

/// Collects names in the order of their bytes, and looks into no folder that cannot have one of them.
struct Walk<'a> {
    prefix: &'a str,
    after: &'a str,
    most: usize,
    names: Vec<String>,
    what: &'a str,
}

impl Walk<'_> {
    /// `at` is the folder's name below the root, with a slash at its end; empty for the root.
    fn folder(&mut self, folder: &Path, at: &str, depth: usize) -> PortResult<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(refused(&error, self.what)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| refused(&error, self.what))?;
            // A name that is no UTF-8 is none of an object.
            let Ok(name) = entry.file_name().into_string() else { continue };
            if is_ours(&name) {
                continue;
            }
            let is_folder = entry.file_type().map_err(|error| refused(&error, self.what))?.is_dir();
            // With its slash a folder sorts where the objects in it belong.
            names.push(if is_folder { format!("{at}{name}/") } else { format!("{at}{name}") });
        }
        names.sort_unstable();
        for name in names {
            if self.names.len() >= self.most {
                return Ok(());
            }
            if name.ends_with('/') {
                let passed = self.after > name.as_str() && !self.after.starts_with(&name);
                let fits = name.starts_with(self.prefix) || self.prefix.starts_with(&name);
                if fits && !passed && depth < MAX_DEPTH {
                    self.folder(&folder.join(name.strip_prefix(at).unwrap_or(&name)), &name, depth + 1)?;
                }
            } else if name.starts_with(self.prefix) && name.as_str() > self.after {
                self.names.push(name);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::sync::Arc;

    use super::*;
    use crate::testkit::conformance::{self, ObjectFixture};

    struct Folder(tempfile::TempDir);

    #[async_trait]
    impl ObjectFixture for Folder {
        fn first(&self) -> Arc<dyn ObjectStore> {
            Arc::new(FileObjects::new(self.0.path().join("objects")))
        }

        fn second(&self) -> Arc<dyn ObjectStore> {
            self.first()
        }

        #[expect(clippy::disallowed_methods, reason = "somebody else writes as somebody else does")]
        async fn overwrite(&self, name: &str, bytes: &[u8]) {
            fs::write(self.0.path().join("objects").join(name), bytes).unwrap();
        }

        async fn delete(&self, name: &str) {
            fs::remove_file(self.0.path().join("objects").join(name)).unwrap();
        }

        fn keeps_versions(&self) -> bool {
            false
        }
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(20))
    }

    #[tokio::test]
    async fn a_folder_keeps_the_promises_but_for_names_that_are_the_beginning_of_others() {
        let report = conformance::objects(async || Folder(tempfile::tempdir().unwrap())).await;
        let broken: Vec<&str> = report.broken.iter().map(|(name, _)| *name).collect();
        assert_eq!(broken, ["a_list_has_every_name_once_and_in_order", "a_list_keeps_to_its_prefix"], "{report:?}");
    }

    #[tokio::test]
    async fn a_list_is_in_the_order_of_a_bucket() {
        let temp = Folder(tempfile::tempdir().unwrap());
        let store = temp.first();
        let names = ["v1/a-b/1", "v1/a/1", "v1/a/2/x", "v1/a/2/y", "v1/a/3", "v1/ab/1"];
        for name in names.iter().rev() {
            store.create(name, b"x", soon()).await.unwrap();
        }
        assert_eq!(store.create("v1/a/2", b"x", soon()).await.unwrap_err().kind, Kind::Exists);
        for most in [1, 2, 3, 10] {
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let page = store.list("v1/", after.as_deref(), most, soon()).await.unwrap();
                assert!(page.objects.len() <= most);
                listed.extend(page.objects.into_iter().map(|entry| entry.name));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(listed, names, "{most} at a time");
        }
        let page = store.list("v1/a/", Some("v1/a/1"), 2, soon()).await.unwrap();
        let listed: Vec<&str> = page.objects.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!((listed.as_slice(), page.next.as_deref()), (&["v1/a/2/x", "v1/a/2/y"][..], Some("v1/a/2/y")));
        assert!(store.list("none", None, 10, soon()).await.unwrap().objects.is_empty());
    }

    #[tokio::test]
    async fn what_a_dying_process_left_is_no_object() {
        let temp = Folder(tempfile::tempdir().unwrap());
        let store = temp.first();
        store.create("a/b", b"x", soon()).await.unwrap();
        temp.overwrite("a/.unfinished-1-0", b"half").await;
        let page = store.list("", None, 10, soon()).await.unwrap();
        assert_eq!(page.objects.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["a/b"]);
        assert_eq!(store.get("a/.unfinished-1-0", 10, soon()).await.unwrap_err().kind, Kind::Malformed);
    }
}
