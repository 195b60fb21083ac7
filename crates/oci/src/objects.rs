//! Object Storage as the object port: one bucket below one prefix, written under conditions.

use async_trait::async_trait;
use dizzy_host::port::{
    Deadline, Etag, Kind, MAX_PREFIX, Object, ObjectEntry, ObjectPage, ObjectStore, PAGE, PortError, PortResult,
    VersionMark, Versions, Written, check_name,
};
use zeroize::Zeroizing;

use crate::object_storage::{Etag as Tag, ObjectPath, ObjectStorage, When};

/// Objects of one bucket below one prefix.
#[derive(Clone)]
pub struct OciObjects {
    storage: ObjectStorage,
    namespace: String,
    bucket: String,
    /// Empty, or with a slash at the end.
    prefix: String,
}

impl OciObjects {
    /// The objects of `bucket` below `prefix` (empty: all of it).
    ///
    /// # Errors
    /// `Malformed` if the prefix is longer than [`MAX_PREFIX`] bytes or no part of a name.
    pub fn new(storage: ObjectStorage, namespace: &str, bucket: &str, prefix: &str) -> PortResult<Self> {
        let prefix = prefix.trim_matches('/');
        let (namespace, bucket) = (namespace.to_owned(), bucket.to_owned());
        if prefix.is_empty() {
            return Ok(Self { storage, namespace, bucket, prefix: String::new() });
        }
        check_name(prefix)?;
        if prefix.len() > MAX_PREFIX {
            let what = format!("use oci://{namespace}/{bucket}: its prefix is longer than {MAX_PREFIX} bytes");
            return Err(PortError::refused(Kind::Malformed, what));
        }
        Ok(Self { storage, namespace, bucket, prefix: format!("{prefix}/") })
    }

    fn path(&self, name: &str) -> ObjectPath {
        let name = format!("{}{name}", self.prefix);
        ObjectPath { namespace: self.namespace.clone(), bucket: self.bucket.clone(), name }
    }

    async fn write(&self, name: &str, bytes: &[u8], when: When<'_>, deadline: Deadline) -> PortResult<Written> {
        check_name(name)?;
        let content = Zeroizing::new(bytes.to_vec());
        let Tag(etag) = self.storage.put(&self.path(name), content, when, deadline).await?;
        Ok(Written { etag: Etag(etag), version: None })
    }
}

#[async_trait]
impl ObjectStore for OciObjects {
    fn place(&self) -> String {
        format!("oci://{}/{}/{}", self.namespace, self.bucket, self.prefix.trim_end_matches('/'))
    }

    async fn get(&self, name: &str, limit: usize, deadline: Deadline) -> PortResult<Option<Object>> {
        check_name(name)?;
        let found = self.storage.find(&self.path(name), limit, deadline).await?;
        Ok(found.map(|object| Object {
            bytes: object.content.to_vec(),
            etag: Etag(object.etag.0),
            version: None,
            retained_until: None,
        }))
    }

    async fn get_version(
        &self,
        name: &str,
        _version: &str,
        _limit: usize,
        _deadline: Deadline,
    ) -> PortResult<Option<Object>> {
        let what = format!("read a version of {}: versions in Object Storage cannot be read", self.path(name));
        Err(PortError::refused(Kind::Other, what))
    }

    async fn create(&self, name: &str, bytes: &[u8], deadline: Deadline) -> PortResult<Written> {
        self.write(name, bytes, When::Absent, deadline).await
    }

    async fn replace(&self, name: &str, bytes: &[u8], expected: &Etag, deadline: Deadline) -> PortResult<Written> {
        self.write(name, bytes, When::Unchanged(&Tag(expected.0.clone())), deadline).await.map_err(|error| {
            // What is not there is not in the expected state, with whichever code the service says so.
            let is_gone = error.code.as_deref().is_some_and(|code| code.starts_with("ObjectNotFound"));
            if is_gone { PortError { kind: Kind::Conflict, hint: None, mend: None, ..error } } else { error }
        })
    }

    async fn list(&self, prefix: &str, after: Option<&str>, most: usize, deadline: Deadline) -> PortResult<ObjectPage> {
        // The service lists from a name on, that name included: ask for it, too, and leave it out.
        let most = most.clamp(1, PAGE);
        let start = after.map(|after| self.path(after).name);
        let asked = if start.is_some() { (most + 1).min(PAGE) } else { most };
        let page = self.storage.list_some(&self.path(prefix), start.as_deref(), asked, deadline).await?;
        let foreign =
            || PortError::refused(Kind::Malformed, format!("list {}: not what was asked for", self.path(prefix)));
        let mut more = page.next.is_some();
        let mut objects = Vec::with_capacity(page.objects.len());
        for summary in page.objects {
            let name = summary.name.strip_prefix(&self.prefix).ok_or_else(foreign)?.to_owned();
            if after.is_some_and(|after| name.as_str() <= after) {
                continue;
            }
            if objects.len() == most {
                more = true;
                break;
            }
            objects.push(ObjectEntry { name, etag: summary.etag.map(|tag| Etag(tag.0)), size: summary.size });
        }
        let next = match objects.last() {
            Some(last) if more => Some(last.name.clone()),
            // A list that goes on after nothing would never end.
            None if more => return Err(foreign()),
            Some(_) | None => None,
        };
        Ok(ObjectPage { objects, next })
    }

    async fn versions(
        &self,
        _prefix: &str,
        _after: Option<&VersionMark>,
        _most: usize,
        _deadline: Deadline,
    ) -> PortResult<Versions> {
        // A bucket with retention rules, which is what a trail asks for, cannot keep versions (Oracle documentation,
        // "Using retention rules"); one that does is not looked at.
        Ok(Versions::NotListed)
    }
}
