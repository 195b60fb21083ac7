//! Objects in S3: conditional writes, reads, lists and versions, signed by hand.
//!
//! Conditions are the service's own (`If-Match`, `If-None-Match: *`). Writes are sent once; what an unclear end means is for the
//! caller to find out by reading. Each write carries its SHA-256, which a bucket with Object Lock asks for (Amazon S3 API
//! reference, PutObject: "Content-MD5 or x-amz-checksum-").

mod address;
mod xml;

use async_trait::async_trait;
use aws_sigv4::http_request::{PayloadChecksumKind, PercentEncodingMode, SigningSettings, UriPathNormalizationMode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dizzy_host::port::{
    Deadline, Etag, Kind, MAX_PREFIX, Object, ObjectEntry, ObjectPage, ObjectStore, ObjectVersion, PAGE, PortError,
    PortResult, VersionMark, VersionPage, Versions, Written, check_name,
};
use sha2::{Digest as _, Sha256};

use self::{
    address::{bucket_url, encoded, path},
    xml::List,
};
use crate::{
    clients::{AwsClients, Loaded, until},
    failure::{Call, Effect},
    signed::{Ask, Reply, patiently, send},
};

/// The longest answer to a list: 1,000 entries of keys of 1,024 bytes, each percent-encoded, and half a KiB besides.
const MAX_LIST: usize = 4 * 1024 * 1024;

/// Answers without content, and errors.
const MAX_PLAIN: usize = 64 * 1024;

/// Objects of one bucket below one prefix.
#[derive(Clone, Debug)]
pub struct S3Objects {
    clients: AwsClients,
    bucket: String,
    /// Empty, or with a slash at the end.
    prefix: String,
}

impl S3Objects {
    /// The objects of `bucket` below `prefix` (empty: all of it).
    ///
    /// # Errors
    /// `Malformed` if the prefix is longer than [`MAX_PREFIX`] bytes or no part of a name.
    pub fn new(clients: AwsClients, bucket: &str, prefix: &str) -> PortResult<Self> {
        let prefix = prefix.trim_matches('/');
        if prefix.is_empty() {
            return Ok(Self { clients, bucket: bucket.to_owned(), prefix: String::new() });
        }
        check_name(prefix)?;
        if prefix.len() > MAX_PREFIX {
            let what = format!("use s3://{bucket}: its prefix is longer than {MAX_PREFIX} bytes");
            return Err(PortError::refused(Kind::Malformed, what));
        }
        Ok(Self { clients, bucket: bucket.to_owned(), prefix: format!("{prefix}/") })
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn subject(&self, name: &str) -> String {
        format!("s3://{}/{}{name}", self.bucket, self.prefix)
    }

    async fn read(
        &self,
        name: &str,
        version: Option<&str>,
        limit: usize,
        deadline: Deadline,
    ) -> PortResult<Option<Object>> {
        check_name(name)?;
        let subject = self.subject(name);
        let action = if version.is_some() { READ_VERSION } else { READ };
        let call = Call { doing: "read", subject: &subject, action, effect: Effect::Read };
        let query = version.map(|version| format!("versionId={}", encoded(version))).unwrap_or_default();
        let reply = self.look(&call, Some(name), &query, limit.max(MAX_PLAIN), deadline).await?;
        if !reply.status.is_success() {
            let code = xml::error_code(&reply.body);
            if matches!(code.as_deref(), Some("NoSuchKey" | "NoSuchVersion")) {
                return Ok(None);
            }
            return Err(call.answered(reply.status, code.as_deref()));
        }
        if reply.body.len() > limit {
            return Err(call.refused(Kind::Malformed).with_hint(format!("it is longer than {limit} bytes")));
        }
        let Written { etag, version } = written(&call, &reply)?;
        let retained_until = reply.header("x-amz-object-lock-retain-until-date").and_then(xml::moment);
        Ok(Some(Object { bytes: reply.body.to_vec(), etag, version, retained_until }))
    }

    async fn write(
        &self,
        call: &Call<'_>,
        name: &str,
        bytes: &[u8],
        condition: (&'static str, String),
        deadline: Deadline,
    ) -> PortResult<Written> {
        check_name(name)?;
        let aws = self.clients.loaded(call, deadline).await?;
        let url = format!("{}/{}", bucket_url(&aws.config, &aws.region, &self.bucket)?, path(&self.key(name)));
        let headers = vec![
            condition,
            ("content-type", "application/octet-stream".to_owned()),
            ("x-amz-checksum-sha256", STANDARD.encode(Sha256::digest(bytes))),
            ("x-amz-sdk-checksum-algorithm", "SHA256".to_owned()),
        ];
        let ask = ask("PUT", url, headers, bytes.to_vec(), MAX_PLAIN);
        let reply = until(deadline, call, Box::pin(send(aws, call, ask))).await?;
        if reply.status.is_success() {
            return written(call, &reply);
        }
        Err(call.answered(reply.status, xml::error_code(&reply.body).as_deref()))
    }

    /// One GET, tried again after passing faults; `name` of `None` asks the bucket.
    async fn look(
        &self,
        call: &Call<'_>,
        name: Option<&str>,
        query: &str,
        limit: usize,
        deadline: Deadline,
    ) -> PortResult<Reply> {
        let aws = self.clients.loaded(call, deadline).await?;
        let bucket = bucket_url(&aws.config, &aws.region, &self.bucket)?;
        let target = name.map(|name| path(&self.key(name))).unwrap_or_default();
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("{bucket}/{target}{mark}{query}");
        let patient = patiently(call, deadline, || look_once(aws, call, &url, limit));
        until(deadline, call, Box::pin(patient)).await
    }

    async fn list_keys(&self, call: &Call<'_>, query: String, deadline: Deadline) -> PortResult<List> {
        let reply = self.look(call, None, &query, MAX_LIST, deadline).await?;
        if !reply.status.is_success() {
            return Err(call.answered(reply.status, xml::error_code(&reply.body).as_deref()));
        }
        xml::list(&reply.body).ok_or_else(|| call.refused(Kind::Malformed))
    }

    /// The name of a key that was listed for our prefix.
    fn name<'a>(&self, call: &Call<'_>, key: &'a str) -> PortResult<&'a str> {
        key.strip_prefix(&self.prefix).ok_or_else(|| call.refused(Kind::Malformed))
    }
}

#[async_trait]
impl ObjectStore for S3Objects {
    fn place(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix.trim_end_matches('/'))
    }

    async fn get(&self, name: &str, limit: usize, deadline: Deadline) -> PortResult<Option<Object>> {
        self.read(name, None, limit, deadline).await
    }

    async fn get_version(
        &self,
        name: &str,
        version: &str,
        limit: usize,
        deadline: Deadline,
    ) -> PortResult<Option<Object>> {
        self.read(name, Some(version), limit, deadline).await
    }

    async fn create(&self, name: &str, bytes: &[u8], deadline: Deadline) -> PortResult<Written> {
        let subject = self.subject(name);
        let call = Call { doing: "create", subject: &subject, action: "s3:PutObject", effect: Effect::Write };
        let condition = ("if-none-match", "*".to_owned());
        self.write(&call, name, bytes, condition, deadline).await.map_err(|error| match error.code.as_deref() {
            Some("PreconditionFailed") => call.refused(Kind::Exists).with_code("PreconditionFailed"),
            Some(_) | None => error,
        })
    }

    async fn replace(&self, name: &str, bytes: &[u8], expected: &Etag, deadline: Deadline) -> PortResult<Written> {
        let subject = self.subject(name);
        let call = Call {
            doing: "replace",
            subject: &subject,
            action: "s3:PutObject and s3:GetObject",
            effect: Effect::Write,
        };
        let condition = ("if-match", expected.0.clone());
        self.write(&call, name, bytes, condition, deadline).await.map_err(|error| match error.code.as_deref() {
            // What is not there, or deleted, is not in the expected state.
            Some("NoSuchKey") => call.refused(Kind::Conflict).with_code("NoSuchKey"),
            Some(_) | None => error,
        })
    }

    async fn list(&self, prefix: &str, after: Option<&str>, most: usize, deadline: Deadline) -> PortResult<ObjectPage> {
        let subject = self.subject(prefix);
        let call = Call { doing: "list", subject: &subject, action: "s3:ListBucket", effect: Effect::Read };
        let mut query = format!(
            "encoding-type=url&list-type=2&max-keys={}&prefix={}",
            most.clamp(1, PAGE),
            encoded(&self.key(prefix))
        );
        if let Some(after) = after {
            query.push_str(&format!("&start-after={}", encoded(&self.key(after))));
        }
        let list = self.list_keys(&call, query, deadline).await?;
        let mut objects = Vec::with_capacity(list.entries.len());
        for entry in list.entries {
            let name = self.name(&call, &entry.key)?.to_owned();
            objects.push(ObjectEntry { name, etag: entry.etag, size: entry.size });
        }
        let next = match objects.last() {
            Some(last) if list.is_truncated => Some(last.name.clone()),
            // A list that goes on after nothing would never end.
            None if list.is_truncated => return Err(call.refused(Kind::Malformed)),
            Some(_) | None => None,
        };
        if next.as_deref().is_some_and(|next| after.is_some_and(|after| next <= after)) {
            return Err(call.refused(Kind::Malformed));
        }
        Ok(ObjectPage { objects, next })
    }

    async fn versions(
        &self,
        prefix: &str,
        after: Option<&VersionMark>,
        most: usize,
        deadline: Deadline,
    ) -> PortResult<Versions> {
        let subject = self.subject(prefix);
        let call = Call {
            doing: "list the versions of",
            subject: &subject,
            action: "s3:ListBucketVersions",
            effect: Effect::Read,
        };
        let mut query = "encoding-type=url".to_owned();
        if let Some(mark) = after {
            query.push_str(&format!("&key-marker={}", encoded(&self.key(&mark.name))));
        }
        query.push_str(&format!("&max-keys={}&prefix={}", most.clamp(1, PAGE), encoded(&self.key(prefix))));
        if let Some(version) = after.and_then(|mark| mark.version.as_deref()) {
            query.push_str(&format!("&version-id-marker={}", encoded(version)));
        }
        query.push_str("&versions=");
        let list = self.list_keys(&call, query, deadline).await?;
        let mut versions = Vec::with_capacity(list.entries.len());
        for entry in list.entries {
            versions.push(ObjectVersion {
                name: self.name(&call, &entry.key)?.to_owned(),
                version: entry.version.ok_or_else(|| call.refused(Kind::Malformed))?,
                kind: entry.kind,
                is_latest: entry.is_latest,
                etag: entry.etag,
                size: entry.size,
                modified: entry.modified,
            });
        }
        // S3 mixes versions and markers in this very order; servers like it may put the markers behind.
        versions.sort_by(|a, b| {
            let order = |v: &ObjectVersion| (!v.is_latest, core::cmp::Reverse(v.modified));
            a.name.cmp(&b.name).then_with(|| order(a).cmp(&order(b)))
        });
        let next = match list.next_key {
            Some(key) if list.is_truncated => {
                Some(VersionMark { name: self.name(&call, &key)?.to_owned(), version: list.next_version })
            }
            None if list.is_truncated => return Err(call.refused(Kind::Malformed)),
            Some(_) | None => None,
        };
        if next.is_some() && next.as_ref() == after {
            return Err(call.refused(Kind::Malformed));
        }
        Ok(Versions::Page(VersionPage { versions, next }))
    }
}

/// S3 says that an object is not there only to those who may list (Amazon S3 API reference, GetObject, "Permissions").
const READ: &str = "s3:GetObject, and s3:ListBucket on the bucket";
const READ_VERSION: &str = "s3:GetObjectVersion, and s3:ListBucket on the bucket";

/// An answer that is worth another try is an error here, so that it gets one.
async fn look_once(aws: &Loaded, call: &Call<'_>, url: &str, limit: usize) -> PortResult<Reply> {
    let reply = send(aws, call, ask("GET", url.to_owned(), Vec::new(), Vec::new(), limit)).await?;
    if reply.status.is_server_error() || reply.status.as_u16() == 429 {
        return Err(call.answered(reply.status, xml::error_code(&reply.body).as_deref()));
    }
    Ok(reply)
}

fn ask(method: &'static str, url: String, headers: Vec<(&'static str, String)>, body: Vec<u8>, limit: usize) -> Ask {
    // S3 takes paths as they are sent, and wants the body's hash in a header (Amazon S3 API reference, "Signature
    // calculations for the authorization header").
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    Ask { service: "s3", method, url, headers, body, settings, region: None, limit }
}

fn written(call: &Call<'_>, reply: &Reply) -> PortResult<Written> {
    let etag = reply.header("etag").ok_or_else(|| call.unclear(Kind::Malformed))?;
    Ok(Written { etag: Etag(etag.to_owned()), version: reply.header("x-amz-version-id").map(str::to_owned) })
}
