//! Objects: put, get, head, delete, list, with their conditions.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::{Bucket, Object, no_bucket, uuid};
use crate::{
    clock::{http_date, text},
    http::{Refused, Reply, Request},
};

/// Entries of a list when the caller does not say, and the most there are. Documented with ListObjects.
const LIST_LIMIT: usize = 1000;

/// Which writes the caller may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writes {
    pub(super) create: bool,
    pub(super) overwrite: bool,
}

impl Object {
    pub(super) fn new(
        content: Vec<u8>,
        content_type: &str,
        metadata: Vec<(String, String)>,
        now: Timestamp,
    ) -> Result<Self, Refused> {
        let mut md5 = Md5::new();
        md5.update(&content);
        let (etag, md5) = (uuid()?, STANDARD.encode(md5.finalize()));
        Ok(Self { content, content_type: content_type.to_owned(), etag, md5, metadata, created: now, modified: now })
    }

    fn with_headers(&self, mut reply: Reply) -> Reply {
        for (name, value) in &self.metadata {
            reply = reply.with(&format!("opc-meta-{name}"), value.clone());
        }
        reply
            .with("etag", self.etag.clone())
            .with("content-md5", self.md5.clone())
            .with("last-modified", http_date(self.modified))
            .with("accept-ranges", "bytes")
    }
}

/// PutObject. A condition that fails is reported before a missing right, as measured with a principal that may create but
/// not overwrite.
pub(super) fn put(
    bucket: &mut Bucket,
    name: &str,
    request: &Request,
    may: Writes,
    retained: (u16, &str),
    now: Timestamp,
) -> Result<Reply, Refused> {
    let existing = bucket.objects.get(name);
    check_conditions(existing, request)?;
    if let (Some("*"), Some(_)) = (request.header("if-none-match"), existing) {
        return Err(failed("IfNoneMatchFailed"));
    }
    let allowed = if existing.is_some() { may.overwrite } else { may.create };
    if !allowed {
        return Err(no_bucket(&bucket.name));
    }
    if existing.is_some_and(|object| bucket.rules.iter().any(|rule| rule.keeps(object.modified, now))) {
        return Err(Refused::new(retained.0, retained.1, format!("{name} is retained by a rule of the bucket")));
    }
    let metadata =
        |(name, value): &(String, String)| name.strip_prefix("opc-meta-").map(|name| (name.to_owned(), value.clone()));
    let content_type = request.header("content-type").unwrap_or("application/octet-stream");
    let metadata = request.headers.iter().filter_map(metadata).collect();
    let mut object = Object::new(request.body.clone(), content_type, metadata, now)?;
    if request.header("content-md5").is_some_and(|md5| md5 != object.md5) {
        return Err(Refused::new(400, "UnmatchedContentMD5", "content-md5 is not the hash of the body"));
    }
    let sha256 = || STANDARD.encode(digest::digest(&digest::SHA256, &request.body));
    if request.header("opc-content-sha256").is_some_and(|hash| hash != sha256()) {
        return Err(Refused::new(400, "UnmatchedContentSHA256", "opc-content-sha256 is not the hash of the body"));
    }
    object.created = existing.map_or(now, |existing| existing.created);
    let reply = Reply::empty(200)
        .with("etag", object.etag.clone())
        .with("opc-content-md5", object.md5.clone())
        .with("last-modified", http_date(now));
    bucket.objects.insert(name.to_owned(), object);
    Ok(reply)
}

/// GetObject and HeadObject, which differ in what the server sends of the answer.
pub(super) fn get(bucket: &Bucket, name: &str, request: &Request) -> Result<Reply, Refused> {
    let object = bucket.objects.get(name).ok_or_else(|| no_object(bucket, name))?;
    check_conditions(Some(object), request)?;
    if request.header("if-none-match").is_some_and(|etag| etag == "*" || etag == object.etag) {
        return Ok(Reply::empty(304).with("etag", object.etag.clone()));
    }
    let Some(range) = request.header("range") else {
        return Ok(object.with_headers(Reply::bytes(200, &object.content_type, object.content.clone())));
    };
    let whole = object.content.len();
    let (from, to) = parse_range(range, whole)
        .ok_or_else(|| Refused::new(416, "InvalidRange", format!("the range {range} is not within {whole} bytes")))?;
    let part = object.content.get(from..to).unwrap_or_default().to_vec();
    let reply = Reply::bytes(206, &object.content_type, part);
    Ok(object.with_headers(reply).with("content-range", format!("bytes {from}-{}/{whole}", to - 1)))
}

/// DeleteObject.
pub(super) fn delete(
    bucket: &mut Bucket,
    name: &str,
    request: &Request,
    retained: (u16, &str),
    now: Timestamp,
) -> Result<Reply, Refused> {
    let object = bucket.objects.get(name).ok_or_else(|| no_object(bucket, name))?;
    check_conditions(Some(object), request)?;
    if bucket.rules.iter().any(|rule| rule.keeps(object.modified, now)) {
        return Err(Refused::new(retained.0, retained.1, format!("{name} is retained by a rule of the bucket")));
    }
    bucket.objects.remove(name);
    Ok(Reply::empty(204).with("last-modified", http_date(now)))
}

/// ListObjects: by name, with prefixes, and a start for the next page.
pub(super) fn list(bucket: &Bucket, request: &Request) -> Result<Reply, Refused> {
    let text_of = |name: &str| request.query(name).unwrap_or_default();
    let (prefix, start, start_after, delimiter) =
        (text_of("prefix"), text_of("start"), text_of("startAfter"), text_of("delimiter"));
    let end = request.query("end");
    let limit = match request.query("limit") {
        None => LIST_LIMIT,
        Some(limit) => limit.parse().map_err(|_| Refused::invalid("limit is no number"))?,
    };
    let (mut objects, mut prefixes, mut next) = (Vec::new(), Vec::<String>::new(), None);
    for (name, object) in &bucket.objects {
        let wanted = name.starts_with(&prefix)
            && *name >= start
            && (start_after.is_empty() || *name > start_after)
            && end.as_ref().is_none_or(|end| name < end);
        if !wanted {
            continue;
        }
        let folder = name.get(prefix.len()..).filter(|_| !delimiter.is_empty()).and_then(|rest| rest.find(&delimiter));
        let folder = folder.and_then(|at| name.get(..prefix.len() + at + delimiter.len()));
        if folder.is_some_and(|folder| prefixes.last().is_some_and(|last| last == folder)) {
            continue;
        }
        if objects.len() + prefixes.len() >= limit.clamp(1, LIST_LIMIT) {
            next = Some(name.clone());
            break;
        }
        match folder {
            Some(folder) => prefixes.push(folder.to_owned()),
            None => objects.push(summary(name, object, &text_of("fields"))),
        }
    }
    let mut answer = json!({"objects": objects, "prefixes": prefixes});
    if let (Some(next), Some(fields)) = (next, answer.as_object_mut()) {
        fields.insert("nextStartWith".to_owned(), next.into());
    }
    Ok(Reply::json(200, &answer))
}

/// The name, and the fields that were asked for.
fn summary(name: &str, object: &Object, fields: &str) -> Value {
    let mut all = json!({
        "name": name, "size": object.content.len(), "etag": object.etag, "md5": object.md5,
        "timeCreated": text(object.created), "timeModified": text(object.modified), "storageTier": "Standard",
    });
    if let Some(all) = all.as_object_mut() {
        all.retain(|field, _| field == "name" || fields.split(',').any(|wanted| wanted.trim() == field));
    }
    all
}

/// `if-match`, which every operation on objects knows.
fn check_conditions(existing: Option<&Object>, request: &Request) -> Result<(), Refused> {
    let Some(etag) = request.header("if-match") else { return Ok(()) };
    match existing {
        Some(object) if etag == "*" || etag == object.etag => Ok(()),
        Some(_) | None => Err(failed("IfMatchFailed")),
    }
}

fn failed(code: &str) -> Refused {
    Refused::new(412, code, "a condition of the request is not met")
}

fn no_object(bucket: &Bucket, name: &str) -> Refused {
    let message = format!("The object '{name}' does not exist in bucket '{}'", bucket.name);
    Refused::new(404, "ObjectNotFound", message)
}

/// `bytes=A-B`, `bytes=A-` or `bytes=-N`, as a half-open range within the whole.
fn parse_range(range: &str, whole: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = match (first, last) {
        ("", last) => (whole.saturating_sub(last.parse().ok()?), whole),
        (first, "") => (first.parse().ok()?, whole),
        (first, last) => (first.parse().ok()?, last.parse::<usize>().ok()?.saturating_add(1).min(whole)),
    };
    (from < to).then_some((from, to))
}
