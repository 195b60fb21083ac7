//! Where the configuration of a function comes from: `DIZZY_KEYS_CONFIG` is a path, the text itself, or where the text is.
//!
//! Read anew for each call, so that a changed configuration counts from the next call on, and nothing outlives a freeze.

use std::{path::Path, sync::Arc};

use dizzy_aws::{AwsClients, AwsSecretReader, S3Objects};
use dizzy_host::{
    config::{self, Config, Oci},
    port::{Deadline, Kind, ObjectStore as _, PortError, PortResult, SecretReader as _, SystemClock},
    reference::Reference,
};
use dizzy_oci::{ObjectPath, ObjectStorage};

use super::{aws_settings, keys, oci};
use crate::{
    code::{Code, Port},
    environment,
    report::{NOTHING_DONE, Report},
};

/// The variable.
const VARIABLE: &str = "DIZZY_KEYS_CONFIG";
/// What messages call a configuration that stands in the variable itself.
const INLINE: &str = "DIZZY_KEYS_CONFIG";
/// As long as a configuration file may be.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The configuration of a function.
///
/// # Errors
/// If it cannot be read, or is wrong.
pub(crate) async fn configuration(deadline: Deadline) -> Result<Config, Report> {
    super::proxy()?;
    let Some(value) = environment::text(VARIABLE) else {
        let what = format!("{VARIABLE} is not set: it says where the configuration is");
        return Err(Report::new(Code::ConfigFile, what, NOTHING_DONE).hint(
            "set it to a path in the image, to the text itself, or to aws-ssm:/NAME, s3://BUCKET/KEY or oci://NAMESPACE/BUCKET/OBJECT",
        ));
    };
    match Source::of(&value) {
        Source::Text => Ok(config::parse(INLINE, &value)?),
        Source::Path => Ok(config::load(Path::new(&value))?),
        Source::Parameter(reference) => {
            let reader = AwsSecretReader::new(AwsClients::load(aws_settings()));
            let text = fetched(&value, reader.read(&reference, deadline).await)?;
            Ok(config::parse(&value, text.expose())?)
        }
        Source::S3 { bucket, key } => {
            let read = async {
                let objects = S3Objects::new(AwsClients::load(aws_settings()), bucket, "")?;
                let found = objects.get(key, MAX_BYTES, deadline).await?;
                found.map(|object| object.bytes).ok_or_else(|| absent(&value))
            };
            parsed(&value, &fetched(&value, read.await)?)
        }
        Source::ObjectStorage(path) => {
            let keys = keys(&AwsClients::load(aws_settings()));
            let clients = oci::clients(&Oci::default(), environment::text, Arc::new(SystemClock), keys)?;
            let object = ObjectStorage::new(clients).get(&path, MAX_BYTES, deadline).await;
            parsed(&value, &fetched(&value, object)?.content)
        }
        Source::Nothing => {
            let what = format!("{VARIABLE} names no place: an object's name is missing");
            Err(Report::new(Code::ConfigFile, what, NOTHING_DONE)
                .hint("expected aws-ssm:/NAME, s3://BUCKET/KEY or oci://NAMESPACE/BUCKET/OBJECT"))
        }
    }
}

#[derive(Debug, Eq, PartialEq)]
enum Source<'a> {
    Text,
    Path,
    Parameter(Reference),
    S3 { bucket: &'a str, key: &'a str },
    ObjectStorage(ObjectPath),
    Nothing,
}

impl<'a> Source<'a> {
    fn of(value: &'a str) -> Self {
        if let Some(rest) = value.strip_prefix("s3://") {
            return match rest.split_once('/') {
                Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => Self::S3 { bucket, key },
                _ => Self::Nothing,
            };
        }
        if let Some(rest) = value.strip_prefix("oci://") {
            let parts: Vec<&str> = rest.splitn(3, '/').collect();
            return match parts.as_slice() {
                [namespace, bucket, name] if parts.iter().all(|part| !part.is_empty()) => {
                    let own = |text: &str| text.to_owned();
                    Self::ObjectStorage(ObjectPath { namespace: own(namespace), bucket: own(bucket), name: own(name) })
                }
                _ => Self::Nothing,
            };
        }
        if value.starts_with("aws-ssm:") {
            return value.parse().map_or(Self::Nothing, Self::Parameter);
        }
        // No path has a line in it that assigns something; every configuration has one.
        if value.contains('\n') || value.contains('=') { Self::Text } else { Self::Path }
    }
}

fn fetched<T>(place: &str, result: PortResult<T>) -> Result<T, Report> {
    result.map_err(|error| {
        let report = Report::of_port(Port::Reference, place, &error, NOTHING_DONE);
        if report.next().is_some() { report } else { report.hint("is it there, and may this function read it?") }
    })
}

fn parsed(place: &str, bytes: &[u8]) -> Result<Config, Report> {
    let text = str::from_utf8(bytes).map_err(|_| {
        Report::new(Code::ConfigFile, format!("{place}: it is not UTF-8 text"), NOTHING_DONE).hint("save it as UTF-8")
    })?;
    Ok(config::parse(place, text)?)
}

fn absent(place: &str) -> PortError {
    PortError::refused(Kind::NotFound, format!("read {place}: there is no such object"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_a_place_or_the_text_itself() {
        assert_eq!(Source::of("/etc/dizzy-keys.toml"), Source::Path);
        assert_eq!(Source::of("[journal]\nurl = \"s3://b/p\""), Source::Text);
        assert_eq!(Source::of("journal.url=\"s3://b/p\""), Source::Text);
        assert_eq!(Source::of("s3://bucket/a/b.toml"), Source::S3 { bucket: "bucket", key: "a/b.toml" });
        assert!(matches!(Source::of("aws-ssm:/dizzy/config:3"), Source::Parameter(Reference::AwsSsm { .. })));
        let object = ObjectPath { namespace: "ns".into(), bucket: "b".into(), name: "a/b.toml".into() };
        assert_eq!(Source::of("oci://ns/b/a/b.toml"), Source::ObjectStorage(object));
        for nothing in ["s3://", "s3://bucket", "s3://bucket/", "oci://ns/b", "oci://ns//o", "aws-ssm:name", "aws-ssm:"]
        {
            assert_eq!(Source::of(nothing), Source::Nothing, "{nothing}");
        }
    }
}
