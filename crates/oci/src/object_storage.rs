//! Object Storage: read, write under a condition, look, list. What is in the objects is for the callers to know.
//!
//! Conditions are the service's own (`if-match`, `if-none-match: *`), so that two writers cannot both win. A write is sent
//! once; an end that is unclear is told as unknown, and a later read tells. The body's hash is signed with the request, so that
//! what arrives is what was sent.

use bytes::Bytes;
use dizzy_host::port::{Deadline, Kind, PortError, PortResult};
use dizzy_web::Answer;
use http::{HeaderName, Method, header};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{
    clients::{Ask, Body, OciClients, encoded},
    endpoints::Service,
    failure::{Call, Effect, Failure},
};

/// The longest answer to a list: 1,000 names of up to 1,024 bytes, escaped at worst, with their sizes and etags.
const MAX_LIST: usize = 8 * 1024 * 1024;

/// Answers that have headers only, and errors.
const MAX_PLAIN: usize = 64 * 1024;

/// Objects per page, the most that the service gives (Oracle documentation, ListObjects: `limit`).
const PAGE: usize = 1000;

/// Where an object is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ObjectPath {
    /// The tenancy's namespace.
    pub namespace: String,
    /// The bucket.
    pub bucket: String,
    /// The object's name; `/` has no meaning to the service.
    pub name: String,
}

/// The service's tag of one state of an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Etag(pub String);

/// An object with its content, which is wiped when dropped.
pub struct Object {
    /// Its tag.
    pub etag: Etag,
    /// Its content.
    pub content: Zeroizing<Vec<u8>>,
}

/// An object without its content.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ObjectSummary {
    /// Its name.
    pub name: String,
    /// Its tag, where the service tells.
    pub etag: Option<Etag>,
    /// Its length in bytes, where the service tells.
    pub size: Option<u64>,
}

/// Part of a list, in the order of names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ObjectPage {
    /// The objects.
    pub objects: Vec<ObjectSummary>,
    /// Where the next part begins; `None` if this was the last.
    pub next: Option<String>,
}

/// When a write is made.
#[derive(Clone, Copy, Debug)]
pub enum When<'a> {
    /// Whatever is there.
    Always,
    /// Only if there is no object of this name.
    Absent,
    /// Only if the object is in this state.
    Unchanged(&'a Etag),
}

/// Access to objects; cheap to clone.
#[derive(Clone)]
pub struct ObjectStorage {
    clients: OciClients,
}

impl ObjectStorage {
    /// Object Storage over these clients.
    #[must_use]
    pub const fn new(clients: OciClients) -> Self {
        Self { clients }
    }

    /// Reads an object of at most `limit` bytes.
    ///
    /// # Errors
    /// `NotFound` if it is not there or may not be seen, `Malformed` if it is longer.
    pub async fn get(&self, path: &ObjectPath, limit: usize, deadline: Deadline) -> PortResult<Object> {
        Ok(self.read(path, limit, deadline).await?)
    }

    /// Reads an object of at most `limit` bytes; `None` if the service says that this object is not there, in a bucket that
    /// we may see.
    ///
    /// # Errors
    /// `NotFound` if the bucket is not there or may not be seen, `Malformed` if the object is longer.
    pub async fn find(&self, path: &ObjectPath, limit: usize, deadline: Deadline) -> PortResult<Option<Object>> {
        match self.read(path, limit, deadline).await {
            Ok(object) => Ok(Some(object)),
            Err(failure) if failure.is("ObjectNotFound") => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn read(&self, path: &ObjectPath, limit: usize, deadline: Deadline) -> Result<Object, Failure> {
        let subject = path.to_string();
        let call = Call { doing: "read", subject: &subject, right: READ, effect: Effect::Read };
        let ask = ask(Method::GET, path.target(), limit.max(MAX_PLAIN));
        let answer = self.clients.ask(&call, &ask, deadline).await?;
        if answer.body.len() > limit {
            return Err(call.refused(Kind::Malformed).with_hint(format!("it is longer than {limit} bytes")).into());
        }
        Ok(Object { etag: etag(&call, &answer)?, content: answer.body })
    }

    /// Whether an object is there, and its tag and length.
    ///
    /// # Errors
    /// `NotFound` if it is not there or may not be seen.
    pub async fn head(&self, path: &ObjectPath, deadline: Deadline) -> PortResult<ObjectSummary> {
        let subject = path.to_string();
        let call = Call { doing: "look at", subject: &subject, right: READ, effect: Effect::Read };
        let answer = self.clients.ask(&call, &ask(Method::HEAD, path.target(), MAX_PLAIN), deadline).await?;
        let length = answer.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        Ok(ObjectSummary {
            name: path.name.clone(),
            etag: Some(etag(&call, &answer)?),
            size: length.and_then(|length| length.parse().ok()),
        })
    }

    /// Writes an object.
    ///
    /// # Errors
    /// `Exists` ([`When::Absent`]) or `Conflict` ([`When::Unchanged`]) if the condition does not hold. After an unknown end, that
    /// may be one's own earlier write: read, and compare.
    pub async fn put(
        &self,
        path: &ObjectPath,
        content: Zeroizing<Vec<u8>>,
        when: When<'_>,
        deadline: Deadline,
    ) -> PortResult<Etag> {
        let subject = path.to_string();
        let call = Call { doing: "write", subject: &subject, right: MANAGE, effect: Effect::Write };
        let mut ask = ask(Method::PUT, path.target(), MAX_PLAIN);
        match when {
            When::Always => {}
            When::Absent => ask.headers.push((header::IF_NONE_MATCH, "*".to_owned())),
            When::Unchanged(Etag(etag)) => ask.headers.push((header::IF_MATCH, etag.clone())),
        }
        ask.body = Some(Body { kind: "application/octet-stream", bytes: Bytes::from_owner(content) });
        let answer = self.clients.ask(&call, &ask, deadline).await?;
        etag(&call, &answer)
    }

    /// The objects whose names begin with the name of `prefix`, up to a thousand of them, from the name `start` on.
    ///
    /// # Errors
    /// `NotFound` if the bucket is not there or may not be seen.
    pub async fn list(&self, prefix: &ObjectPath, start: Option<&str>, deadline: Deadline) -> PortResult<ObjectPage> {
        self.list_some(prefix, start, PAGE, deadline).await
    }

    /// As [`list`](Self::list), up to `most` of them.
    pub(crate) async fn list_some(
        &self,
        prefix: &ObjectPath,
        start: Option<&str>,
        most: usize,
        deadline: Deadline,
    ) -> PortResult<ObjectPage> {
        let subject = prefix.to_string();
        let call = Call { doing: "list", subject: &subject, right: LIST, effect: Effect::Read };
        let (namespace, name) = (encoded(&prefix.namespace), encoded(&prefix.bucket));
        let mut target = format!(
            "/n/{namespace}/b/{name}/o?limit={most}&fields=name%2Csize%2Cetag&prefix={}",
            encoded(&prefix.name)
        );
        if let Some(start) = start {
            target.push_str(&format!("&start={}", encoded(start)));
        }
        let answer = self.clients.ask(&call, &ask(Method::GET, target, MAX_LIST), deadline).await?;
        let page: Page = serde_json::from_slice(&answer.body).map_err(|_| call.refused(Kind::Malformed))?;
        // A list that goes back to where it was would never end.
        if page.next_start_with.as_deref().is_some_and(|next| start.is_some_and(|start| next <= start)) {
            return Err(call.refused(Kind::Malformed));
        }
        let objects = page.objects.into_iter();
        Ok(ObjectPage {
            objects: objects.map(|o| ObjectSummary { name: o.name, etag: o.etag.map(Etag), size: o.size }).collect(),
            next: page.next_start_with,
        })
    }
}

impl ObjectPath {
    fn target(&self) -> String {
        format!("/n/{}/b/{}/o/{}", encoded(&self.namespace), encoded(&self.bucket), encoded(&self.name))
    }
}

impl core::fmt::Display for ObjectPath {
    /// As in the configuration: `oci://NAMESPACE/BUCKET/NAME`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "oci://{}/{}/{}", self.namespace, self.bucket, self.name)
    }
}

const READ: &str = "read objects";
const LIST: &str = "inspect objects";
const MANAGE: &str = "manage objects (OBJECT_CREATE, and OBJECT_OVERWRITE where it is written again)";

fn ask(method: Method, target: String, limit: usize) -> Ask {
    let headers: Vec<(HeaderName, String)> = Vec::new();
    Ask { service: Service::ObjectStorage, method, target, headers, body: None, region: None, limit }
}

fn etag(call: &Call<'_>, answer: &Answer) -> Result<Etag, PortError> {
    let etag = answer.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok());
    etag.map(|etag| Etag(etag.to_owned())).ok_or_else(|| call.unclear(Kind::Malformed))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    objects: Vec<Entry>,
    next_start_with: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    etag: Option<String>,
    size: Option<u64>,
}
