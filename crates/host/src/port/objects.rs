//! The object port: one bucket below one prefix, written under conditions only.
//!
//! Registers and audit records live here. Nothing in it is secret, nothing is deleted through it, and no write happens
//! without a condition: what is there is either created by us or replaced in a state that we know.

use async_trait::async_trait;
use dizzy_engine::Timestamp;

use super::{Deadline, Kind, PortError, PortResult};

/// Most entries of a page. S3's limit for ListObjectsV2 and ListObjectVersions, and Object Storage's for ListObjects.
pub const PAGE: usize = 1000;

/// Longest name below the prefix, in bytes. Both stores take 1,024 for prefix and name together.
pub const MAX_NAME: usize = 768;

/// Longest prefix of a place, in bytes; with a name and a slash it fits into what the stores take.
pub const MAX_PREFIX: usize = 255;

/// The store's tag of one state of an object, as the store writes it. Opaque.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Etag(pub String);

/// An object as read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Object {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its tag.
    pub etag: Etag,
    /// Which version this is, where the store keeps versions.
    pub version: Option<String>,
    /// Until when the store refuses to delete this version, where it says so (S3 Object Lock; needs the right to see it).
    pub retained_until: Option<Timestamp>,
}

/// What a write made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Written {
    /// The tag of what was written.
    pub etag: Etag,
    /// Its version, where the store keeps versions.
    pub version: Option<String>,
}

/// An entry of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ObjectEntry {
    /// The name below the prefix.
    pub name: String,
    /// Its tag.
    pub etag: Option<Etag>,
    /// Its length in bytes.
    pub size: Option<u64>,
}

/// Part of a list, in the order of the names' UTF-8 bytes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ObjectPage {
    /// The objects, at most as many as were asked for; may be fewer although there are more.
    pub objects: Vec<ObjectEntry>,
    /// The name to go on after; `None` if this was the last part.
    pub next: Option<String>,
}

/// What one entry of a list of versions stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VersionKind {
    /// A content, which can be read with [`ObjectStore::get_version`].
    Content,
    /// A mark that says that the object was deleted; the contents before it are still there.
    DeleteMarker,
}

/// One version of an object, or a delete marker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ObjectVersion {
    /// The name below the prefix.
    pub name: String,
    /// The version's id; `null` for what was written while the bucket kept no versions (S3).
    pub version: String,
    /// What it is.
    pub kind: VersionKind,
    /// Whether this is what a read without a version sees.
    pub is_latest: bool,
    /// Its tag; a delete marker has none.
    pub etag: Option<Etag>,
    /// Its length in bytes; a delete marker has none.
    pub size: Option<u64>,
    /// When the store says that it was written.
    pub modified: Option<Timestamp>,
}

/// Where a list of versions goes on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VersionMark {
    /// The last name seen, below the prefix.
    pub name: String,
    /// The last version of it that was seen; `None`: all of them were.
    pub version: Option<String>,
}

/// Part of a list of versions: names in order, the versions of one name from the newest to the oldest.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct VersionPage {
    /// The versions and delete markers.
    pub versions: Vec<ObjectVersion>,
    /// Where the next part begins; `None` if this was the last.
    pub next: Option<VersionMark>,
}

/// Whether a store tells what it held before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Versions {
    /// It does. A bucket without versioning answers with the one state that it holds.
    Page(VersionPage),
    /// This adapter cannot see earlier versions: whether there were any is *not checked*, which is not the same as none.
    NotListed,
}

/// Objects of one bucket below one prefix. Names are relative to it. Linearizable: a write that returned is seen by every later
/// read and list (S3: "strong read-after-write consistency", Amazon S3 user guide, "What is Amazon S3"; Object Storage:
/// Oracle documentation, "Overview of Object Storage", "strong consistency"). Callers stay safe even if a read is old, because
/// every write carries its condition.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Where this is, for messages: `s3://BUCKET/PREFIX`.
    fn place(&self) -> String;

    /// Reads an object of at most `limit` bytes; `None` if the store says that this object is not there.
    ///
    /// # Errors
    /// `NotFound` if the bucket is not there or may not be seen, `Denied`, `Malformed` if the object is longer than `limit` or
    /// the name is none. Never `None` for "cannot tell".
    async fn get(&self, name: &str, limit: usize, deadline: Deadline) -> PortResult<Option<Object>>;

    /// Reads one version of an object, also of one that was deleted or replaced since; `None` if there is no such version.
    ///
    /// # Errors
    /// As [`get`](Self::get); `Other` where versions cannot be read.
    async fn get_version(
        &self,
        name: &str,
        version: &str,
        limit: usize,
        deadline: Deadline,
    ) -> PortResult<Option<Object>>;

    /// Writes an object that must not be there yet. When this returns `Ok`, it is durable. Sent once.
    ///
    /// # Errors
    /// `Exists` (refused) if there is one; `Busy` (refused) if another write to the same name was under way, so that it is open
    /// which of both will be there: read, and try again. `Unknown` if the write may have happened: read, and compare.
    async fn create(&self, name: &str, bytes: &[u8], deadline: Deadline) -> PortResult<Written>;

    /// Writes an object if it still has the tag `expected`. When this returns `Ok`, it is durable. Sent once.
    ///
    /// # Errors
    /// `Conflict` (refused) if it has another, or is not there; `Busy` and `Unknown` as for [`create`](Self::create).
    async fn replace(&self, name: &str, bytes: &[u8], expected: &Etag, deadline: Deadline) -> PortResult<Written>;

    /// Up to `most` objects (1 to [`PAGE`]) whose names begin with `prefix` and come after the name `after`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    async fn list(&self, prefix: &str, after: Option<&str>, most: usize, deadline: Deadline) -> PortResult<ObjectPage>;

    /// Up to `most` versions and delete markers (1 to [`PAGE`]) of objects whose names begin with `prefix`, from `after` on.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    async fn versions(
        &self,
        prefix: &str,
        after: Option<&VersionMark>,
        most: usize,
        deadline: Deadline,
    ) -> PortResult<Versions>;
}

/// Refuses names that a store, or a proxy on the way, may read as another: empty parts, `.`, `..`, control characters.
///
/// # Errors
/// `Malformed`; nothing was sent.
pub fn check_name(name: &str) -> PortResult<()> {
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    if name.len() <= MAX_NAME && name.split('/').all(is_part) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(PortError::refused(Kind::Malformed, format!("use an object name of {} bytes: it cannot be one", name.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_parts_that_mean_themselves() {
        for name in ["orders.json", "audit/v1/orders/0000000001/000001-000001.json", "a b?c=d&e#f%2F+ü", "...", "a/.b"]
        {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let long = "x".repeat(MAX_NAME + 1);
        for name in ["", "/a", "a/", "a//b", "a/../b", ".", "a/.", "a\nb", "a\0", long.as_str()] {
            assert_eq!(check_name(name).unwrap_err().kind, Kind::Malformed, "{name}");
        }
    }
}
