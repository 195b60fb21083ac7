//! S3's answers: lists, lists of versions, errors. What is cut off or of another form is not understood rather than half read.
//!
//! `aws-smithy-xml` is what AWS's own SDK reads S3 with: it expands no entities but the five of XML. It does not notice a
//! document that ends early, so that is looked at here.

use aws_smithy_types::date_time::{DateTime, Format};
use aws_smithy_xml::decode::{Document, ScopedDecoder, try_data};
use dizzy_engine::Timestamp;
use dizzy_host::port::{Etag, VersionKind};

use super::address::decoded;

/// One entry of either list. Keys are whole, with the prefix of the place.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) etag: Option<Etag>,
    pub(super) size: Option<u64>,
    pub(super) version: Option<String>,
    pub(super) kind: VersionKind,
    pub(super) is_latest: bool,
    pub(super) modified: Option<Timestamp>,
}

/// A list, in the order of the answer.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct List {
    pub(super) entries: Vec<Entry>,
    pub(super) is_truncated: bool,
    pub(super) next_key: Option<String>,
    pub(super) next_version: Option<String>,
}

/// The answer to ListObjectsV2 or ListObjectVersions; `None` if it is not a whole one.
pub(super) fn list(body: &[u8]) -> Option<List> {
    let text = core::str::from_utf8(body).ok()?;
    let mut document = Document::new(text);
    let mut root = document.root_element().ok()?;
    let name = root.start_el().local().to_owned();
    let is_list = matches!(name.as_str(), "ListBucketResult" | "ListVersionsResult");
    if !is_list || !text.trim_end().ends_with(&format!("</{name}>")) {
        return None;
    }
    let mut list = List::default();
    let (mut truncated, mut is_encoded) = (None, false);
    while let Some(mut tag) = root.next_tag() {
        match tag.start_el().local() {
            "Contents" | "Version" => list.entries.push(entry(&mut tag, VersionKind::Content)?),
            "DeleteMarker" => list.entries.push(entry(&mut tag, VersionKind::DeleteMarker)?),
            "IsTruncated" => truncated = Some(flag(&mut tag)?),
            "EncodingType" => is_encoded = data(&mut tag)? == "url",
            "NextKeyMarker" => list.next_key = Some(data(&mut tag)?),
            "NextVersionIdMarker" => list.next_version = Some(data(&mut tag)?),
            _ => {}
        }
    }
    // A list that does not say whether it is whole may not be.
    list.is_truncated = truncated?;
    if is_encoded {
        for entry in &mut list.entries {
            entry.key = decoded(&entry.key)?;
        }
        list.next_key = match list.next_key {
            Some(key) => Some(decoded(&key)?),
            None => None,
        };
    }
    Some(list)
}

/// The code of an error; `None` if it is not an error of S3 or the code is none.
pub(super) fn error_code(body: &[u8]) -> Option<String> {
    let mut document = Document::new(core::str::from_utf8(body).ok()?);
    let mut root = document.root_element().ok()?;
    if root.start_el().local() != "Error" {
        return None;
    }
    while let Some(mut tag) = root.next_tag() {
        if tag.start_el().local() == "Code" {
            let code = data(&mut tag)?;
            // It goes into our errors: a word, not whatever a server may say.
            let is_word = !code.is_empty() && code.len() <= MAX_CODE && code.bytes().all(|b| b.is_ascii_alphanumeric());
            return is_word.then_some(code);
        }
    }
    None
}

/// The longest code that S3 documents has 46 letters.
const MAX_CODE: usize = 64;

fn entry(tag: &mut ScopedDecoder<'_, '_>, kind: VersionKind) -> Option<Entry> {
    let (mut key, mut etag, mut size, mut version, mut latest, mut modified) = (None, None, None, None, None, None);
    while let Some(mut field) = tag.next_tag() {
        match field.start_el().local() {
            "Key" => key = Some(data(&mut field)?),
            "ETag" => etag = Some(Etag(data(&mut field)?)),
            "Size" => size = Some(data(&mut field)?.parse().ok()?),
            "VersionId" => version = Some(data(&mut field)?),
            "IsLatest" => latest = Some(flag(&mut field)?),
            "LastModified" => modified = moment(&data(&mut field)?),
            _ => {}
        }
    }
    Some(Entry { key: key?, etag, size, version, kind, is_latest: latest.unwrap_or(true), modified })
}

fn flag(tag: &mut ScopedDecoder<'_, '_>) -> Option<bool> {
    match data(tag)?.as_str() {
        "true" | "True" => Some(true),
        "false" | "False" => Some(false),
        _ => None,
    }
}

fn data(tag: &mut ScopedDecoder<'_, '_>) -> Option<String> {
    Some(try_data(tag).ok()?.into_owned())
}

/// `2026-01-01T00:00:00.000Z`, also as it stands in the header about retention.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    DateTime::from_str(text, Format::DateTime).ok()?.to_millis().ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTS: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>p%2F</Prefix><KeyCount>2</KeyCount>
<MaxKeys>2</MaxKeys><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
<Contents><Key>p%2Fa+b%2Bc</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;e1&quot;</ETag><Size>3</Size>
<Owner><ID>x</ID></Owner><StorageClass>STANDARD</StorageClass></Contents>
<Contents><Key>p%2F%C3%BC</Key><ETag>"e2"</ETag><Size>0</Size></Contents></ListBucketResult>
"#;

    const VERSIONS: &str = r#"<ListVersionsResult><Name>b</Name><IsTruncated>false</IsTruncated><NextKeyMarker>k</NextKeyMarker>
<NextVersionIdMarker>v</NextVersionIdMarker><DeleteMarker><Key>a&amp;b</Key><VersionId>3</VersionId><IsLatest>true</IsLatest>
</DeleteMarker><Version><Key>a&amp;b</Key><VersionId>null</VersionId><IsLatest>false</IsLatest><ETag>"e"</ETag><Size>9</Size>
</Version></ListVersionsResult>"#;

    #[test]
    fn a_list_is_read_with_its_names_decoded() {
        let list = list(OBJECTS.as_bytes()).unwrap();
        assert!(list.is_truncated);
        let keys: Vec<&str> = list.entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["p/a b+c", "p/ü"]);
        let first = &list.entries[0];
        assert_eq!((first.etag.clone(), first.size), (Some(Etag("\"e1\"".to_owned())), Some(3)));
        assert_eq!(first.modified, Some(Timestamp(1_767_225_600_000)));
    }

    #[test]
    fn versions_and_delete_markers_keep_their_order() {
        let list = list(VERSIONS.as_bytes()).unwrap();
        assert_eq!((list.next_key.as_deref(), list.next_version.as_deref()), (Some("k"), Some("v")));
        let told: Vec<_> =
            list.entries.iter().map(|e| (e.key.as_str(), e.version.as_deref(), e.kind, e.is_latest)).collect();
        let expected =
            [("a&b", Some("3"), VersionKind::DeleteMarker, true), ("a&b", Some("null"), VersionKind::Content, false)];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_list_that_is_not_whole_is_not_understood() {
        for end in 0..OBJECTS.trim_end().len() {
            if OBJECTS.is_char_boundary(end) {
                assert_eq!(list(&OBJECTS.as_bytes()[..end]), None, "cut at {end}");
            }
        }
        let says_nothing = OBJECTS.replace("<IsTruncated>true</IsTruncated>", "");
        let broken_name = OBJECTS.replace("%C3%BC", "%C3");
        let broken_size = OBJECTS.replace("<Size>3<", "<Size>x<");
        let no_key = OBJECTS.replace("<Key>p%2F%C3%BC</Key>", "");
        for broken in [&says_nothing, &broken_name, &broken_size, &no_key, "", "<html></html>", "{}"] {
            assert_eq!(list(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn an_error_is_told_by_its_code_alone() {
        let code = |text: &str| error_code(format!("<?xml version=\"1.0\"?>\n<Error>{text}</Error>").as_bytes());
        assert_eq!(code("<Code>NoSuchKey</Code><Message>canary</Message>").as_deref(), Some("NoSuchKey"));
        for none in ["", "<Message>x</Message>", "<Code></Code>", "<Code>a b</Code>", "<Code><X/></Code>"] {
            assert_eq!(code(none), None, "{none}");
        }
        assert_eq!(error_code(b"<html><Code>NoSuchKey</Code></html>"), None);
    }
}
