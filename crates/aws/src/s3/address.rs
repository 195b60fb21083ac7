//! Where a bucket is: host, path, and how names are written in them.

use aws_config::SdkConfig;
use dizzy_host::port::PortResult;

use crate::{
    clients::{endpoint_override, refuse_plaintext},
    ssm::dns_suffix,
};

/// The URL of a bucket, without a slash at the end.
///
/// With an endpoint of one's own the bucket is the first part of the path, as emulators and interface endpoints take it.
/// Otherwise it is part of the host, unless it has a dot: AWS's certificate is for one label before `s3` (Amazon S3 user guide,
/// "Virtual hosting of general purpose buckets").
///
/// # Errors
/// `Tls` if the endpoint is not https.
pub(super) fn bucket_url(config: &SdkConfig, region: &str, bucket: &str) -> PortResult<String> {
    if let Some(url) = endpoint_override(config, "S3") {
        refuse_plaintext(&url, "S3")?;
        return Ok(format!("{}/{}", url.trim_end_matches('/'), encoded(bucket)));
    }
    let fips = if config.use_fips() == Some(true) { "-fips" } else { "" };
    let dual_stack = if config.use_dual_stack() == Some(true) { ".dualstack" } else { "" };
    // S3's dual-stack names end like the others (Amazon S3 user guide, "Dual-stack endpoints").
    let host = format!("s3{fips}{dual_stack}.{region}.{}", dns_suffix(region, false));
    Ok(if is_label(bucket) {
        format!("https://{bucket}.{host}")
    } else {
        format!("https://{host}/{}", encoded(bucket))
    })
}

/// Whether a bucket's name can be one label of a host name.
fn is_label(bucket: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !bucket.is_empty() && bucket.bytes().all(is_inner) && !bucket.starts_with('-') && !bucket.ends_with('-')
}

/// A key as a path: everything but RFC 3986's unreserved characters is percent-encoded, and slashes stay.
pub(super) fn path(key: &str) -> String {
    key.split('/').map(encoded).collect::<Vec<_>>().join("/")
}

/// A part of a path, or a value of a query.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A name as S3 writes it in a list under `encoding-type=url`: as in HTML forms, so `+` is a space. `None` if it is no text.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (char::from(bytes.next()?).to_digit(16)?, char::from(bytes.next()?).to_digit(16)?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use aws_types::SdkConfig;

    use super::*;

    #[test]
    fn a_bucket_is_in_the_host_unless_it_cannot_be() {
        let plain = SdkConfig::builder().build();
        let fips = SdkConfig::builder().use_fips(true).use_dual_stack(true).build();
        let own = SdkConfig::builder().endpoint_url("http://127.0.0.1:5000/").build();
        for (config, region, bucket, url) in [
            (&plain, "us-west-2", "ops-dizzy", "https://ops-dizzy.s3.us-west-2.amazonaws.com"),
            (&plain, "us-east-1", "ops.dizzy", "https://s3.us-east-1.amazonaws.com/ops.dizzy"),
            (&plain, "us-east-1", "Ops_Dizzy", "https://s3.us-east-1.amazonaws.com/Ops_Dizzy"),
            (&plain, "cn-north-1", "ops", "https://ops.s3.cn-north-1.amazonaws.com.cn"),
            (&fips, "us-gov-west-1", "ops", "https://ops.s3-fips.dualstack.us-gov-west-1.amazonaws.com"),
            (&own, "us-west-2", "ops-dizzy", "http://127.0.0.1:5000/ops-dizzy"),
        ] {
            assert_eq!(bucket_url(config, region, bucket).unwrap(), url);
        }
        let elsewhere = SdkConfig::builder().endpoint_url("http://10.0.0.1:9000").build();
        assert!(bucket_url(&elsewhere, "us-west-2", "ops").is_err());
    }

    #[test]
    fn whatever_stands_in_a_key_stays_in_its_part_of_the_path() {
        // As in Amazon's own description of canonical requests ("UriEncode").
        assert_eq!(path("a b+c=d&e#f%2F/g?h"), "a%20b%2Bc%3Dd%26e%23f%252F/g%3Fh");
        assert_eq!(path("ü/日本/x.y~z_-"), "%C3%BC/%E6%97%A5%E6%9C%AC/x.y~z_-");
        assert_eq!(encoded("a/b"), "a%2Fb");
    }

    #[test]
    fn names_in_lists_are_read_as_they_were_written() {
        for name in ["a b+c=d&e#f%2F", "ü/日本", "x.y~z_-", ""] {
            assert_eq!(decoded(&encoded(name)).as_deref(), Some(name));
        }
        assert_eq!(decoded("a+b%2Bc/d").as_deref(), Some("a b+c/d"));
        for broken in ["%", "%4", "%zz", "%FF", "%+1"] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
    }
}
