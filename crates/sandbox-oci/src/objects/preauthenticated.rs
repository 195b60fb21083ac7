//! Pre-authenticated requests: URLs that open an object without a signature, for a time.
//!
//! Oracle documentation, "Using Pre-Authenticated Requests": the URL is shown once, when it is made.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Bucket, Objects, data, uuid};
use crate::{
    NAMESPACE,
    clock::text,
    http::{Refused, Reply, Request, text_field},
    keys::{hex, random},
    route::{Operation, Target},
};

/// One URL that was handed out.
#[derive(Debug)]
pub(super) struct Granted {
    id: String,
    token: String,
    name: String,
    object: Option<String>,
    access: Access,
    expires: Timestamp,
    created: Timestamp,
}

/// What a URL may be used for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Access {
    ObjectRead,
    ObjectWrite,
    ObjectReadWrite,
    AnyObjectRead,
    AnyObjectWrite,
    AnyObjectReadWrite,
}

impl Access {
    const ALL: [Self; 6] = [
        Self::ObjectRead,
        Self::ObjectWrite,
        Self::ObjectReadWrite,
        Self::AnyObjectRead,
        Self::AnyObjectWrite,
        Self::AnyObjectReadWrite,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::ObjectRead => "ObjectRead",
            Self::ObjectWrite => "ObjectWrite",
            Self::ObjectReadWrite => "ObjectReadWrite",
            Self::AnyObjectRead => "AnyObjectRead",
            Self::AnyObjectWrite => "AnyObjectWrite",
            Self::AnyObjectReadWrite => "AnyObjectReadWrite",
        }
    }

    const fn any_object(self) -> bool {
        match self {
            Self::AnyObjectRead | Self::AnyObjectWrite | Self::AnyObjectReadWrite => true,
            Self::ObjectRead | Self::ObjectWrite | Self::ObjectReadWrite => false,
        }
    }

    const fn reads(self) -> bool {
        match self {
            Self::ObjectRead | Self::ObjectReadWrite | Self::AnyObjectRead | Self::AnyObjectReadWrite => true,
            Self::ObjectWrite | Self::AnyObjectWrite => false,
        }
    }

    const fn writes(self) -> bool {
        match self {
            Self::ObjectWrite | Self::ObjectReadWrite | Self::AnyObjectWrite | Self::AnyObjectReadWrite => true,
            Self::ObjectRead | Self::AnyObjectRead => false,
        }
    }
}

impl Granted {
    fn new(
        name: &str,
        object: Option<String>,
        access: Access,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<Self, Refused> {
        let token: [u8; 32] = random().map_err(|_| Refused::new(500, "InternalServerError", "no randomness"))?;
        Ok(Self { id: uuid()?, token: hex(&token), name: name.to_owned(), object, access, expires, created: now })
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "objectName": self.object, "accessType": self.access.name(),
            "timeCreated": text(self.created), "timeExpires": text(self.expires),
        })
    }

    fn opens(&self, token: &str, object: &str, operation: Operation, now: Timestamp) -> bool {
        let named = self.object.as_deref().unwrap_or_default();
        let fits = if self.access.any_object() { object.starts_with(named) } else { object == named };
        let used = if operation == Operation::PreauthenticatedPut { self.access.writes() } else { self.access.reads() };
        self.token == token && fits && used && now < self.expires
    }
}

/// A call with nothing but the URL.
pub(crate) fn open(
    objects: &mut Objects,
    target: &Target,
    request: &Request,
    now: Timestamp,
) -> Result<Reply, Refused> {
    let (token, object) = (target.name(2), target.name(3));
    let retained = objects.retained;
    let bucket = objects.bucket(target)?;
    if !bucket.requests.iter().any(|granted| granted.opens(token, object, target.operation, now)) {
        return Err(Refused::hidden());
    }
    if target.operation == Operation::PreauthenticatedPut {
        let may = data::Writes { create: true, overwrite: true };
        return data::put(bucket, object, request, may, retained, now);
    }
    data::get(bucket, object, request)
}

pub(super) fn create(bucket: &mut Bucket, request: &Request, now: Timestamp) -> Result<Reply, Refused> {
    let body = request.json()?;
    let text_of = |field: &str| text_field(&body, field).ok_or_else(|| Refused::missing(field));
    let access = text_of("accessType")?;
    let access = Access::ALL.into_iter().find(|known| known.name() == access);
    let access = access.ok_or_else(|| Refused::invalid("there is no such accessType"))?;
    let expires: Timestamp = text_of("timeExpires")?.parse().map_err(|_| Refused::invalid("timeExpires is no time"))?;
    if expires <= now {
        return Err(Refused::invalid("timeExpires is over"));
    }
    let object = text_field(&body, "objectName").map(str::to_owned);
    if object.is_none() && !access.any_object() {
        return Err(Refused::missing("objectName"));
    }
    let granted = Granted::new(text_of("name")?, object, access, expires, now)?;
    let path = granted.object.as_deref().filter(|_| !access.any_object()).unwrap_or_default();
    let uri = format!("/p/{}/n/{NAMESPACE}/b/{}/o/{path}", granted.token, bucket.name);
    let mut shown = granted.json();
    if let Some(fields) = shown.as_object_mut() {
        let host = request.header("host").unwrap_or_default();
        fields.insert("fullPath".to_owned(), format!("http://{host}{uri}").into());
        fields.insert("accessUri".to_owned(), uri.into());
    }
    bucket.requests.push(granted);
    Ok(Reply::json(200, &shown))
}

/// Grants the reading of one object; returns the path that opens it.
pub(super) fn grant_read(
    bucket: &mut Bucket,
    object: &str,
    expires: Timestamp,
    now: Timestamp,
) -> Result<String, Refused> {
    let granted = Granted::new("reader", Some(object.to_owned()), Access::ObjectRead, expires, now)?;
    let path = format!("/p/{}/n/{NAMESPACE}/b/{}/o/{object}", granted.token, bucket.name);
    bucket.requests.push(granted);
    Ok(path)
}

pub(super) fn list(bucket: &Bucket) -> Reply {
    Reply::json(200, &bucket.requests.iter().map(Granted::json).collect())
}

pub(super) fn delete(bucket: &mut Bucket, id: &str) -> Result<Reply, Refused> {
    let before = bucket.requests.len();
    bucket.requests.retain(|granted| granted.id != id);
    if bucket.requests.len() < before { Ok(Reply::empty(204)) } else { Err(Refused::hidden()) }
}
