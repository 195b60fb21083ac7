//! Notices to an SNS topic, signed by hand: the one call Publish of the query protocol.
//!
//! The message is the notice's JSON, the subject its one line; `event` and `set` are message attributes, so that a subscription can
//! filter by them. A FIFO topic gets the set as group and the notice's id against doubles. Facts: API reference of Publish.

use async_trait::async_trait;
use aws_sigv4::http_request::SigningSettings;
use aws_smithy_xml::decode::{Document, try_data};
use dizzy_host::{
    notice::Notice,
    port::{Deadline, Kind, PortResult, Receiver},
};

use crate::{
    clients::{AwsClients, Loaded, endpoint_override, refuse_plaintext, until},
    failure::{Call, Effect},
    signed::{Ask, patiently, send},
    ssm::dns_suffix,
};

/// More than SNS ever answers to Publish.
const MAX_ANSWER: usize = 64 * 1024;
/// The service's name in signatures and endpoints.
const SERVICE: &str = "sns";

/// A topic.
pub struct SnsTopic {
    clients: AwsClients,
    arn: String,
}

impl SnsTopic {
    /// The topic with this ARN; its region is the one that the ARN names.
    #[must_use]
    pub fn new(clients: AwsClients, arn: &str) -> Self {
        Self { clients, arn: arn.to_owned() }
    }

    fn form(&self, notice: &Notice) -> String {
        let (subject, body) = (notice.subject(), notice.body());
        let mut fields = vec![
            ("Action", "Publish"),
            ("Version", "2010-03-31"),
            ("TopicArn", self.arn.as_str()),
            ("Subject", &subject),
            ("Message", &body),
            ("MessageAttributes.entry.1.Name", "event"),
            ("MessageAttributes.entry.1.Value.DataType", "String"),
            ("MessageAttributes.entry.1.Value.StringValue", notice.event.word()),
        ];
        // An attribute without a value is refused.
        if !notice.set.is_empty() {
            fields.extend([
                ("MessageAttributes.entry.2.Name", "set"),
                ("MessageAttributes.entry.2.Value.DataType", "String"),
                ("MessageAttributes.entry.2.Value.StringValue", notice.set.as_str()),
            ]);
        }
        if self.arn.ends_with(".fifo") {
            let group = if notice.set.is_empty() { notice.event.word() } else { notice.set.as_str() };
            fields.extend([("MessageGroupId", group), ("MessageDeduplicationId", notice.id.as_str())]);
        }
        fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
    }

    async fn once(&self, aws: &Loaded, call: &Call<'_>, region: &str, form: &str) -> PortResult<()> {
        let ask = Ask {
            service: SERVICE,
            method: "POST",
            url: endpoint(aws, region)?,
            headers: vec![("content-type", CONTENT_TYPE.to_owned())],
            body: form.as_bytes().to_vec(),
            settings: SigningSettings::default(),
            region: Some(region.to_owned()),
            limit: MAX_ANSWER,
        };
        let answer = send(aws, call, ask).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(call.answered(answer.status, code(&answer.body).as_deref()))
    }
}

#[async_trait]
impl Receiver for SnsTopic {
    fn name(&self) -> &str {
        &self.arn
    }

    async fn deliver(&self, notice: &Notice, deadline: Deadline) -> PortResult<()> {
        // Told twice is better than not told: it is tried again as a read is.
        let call = Call { doing: "tell the topic", subject: &self.arn, action: "sns:Publish", effect: Effect::Read };
        let region = self.arn.split(':').nth(3).filter(|region| !region.is_empty());
        let region = region.ok_or_else(|| call.refused(Kind::Malformed))?;
        let form = self.form(notice);
        let aws = self.clients.loaded(&call, deadline).await?;
        let patient = patiently(&call, deadline, || self.once(aws, &call, region, &form));
        until(deadline, &call, Box::pin(patient)).await
    }
}

/// The endpoint that the user set, else the public one of the topic's region.
fn endpoint(aws: &Loaded, region: &str) -> PortResult<String> {
    if let Some(url) = endpoint_override(&aws.config, "SNS") {
        refuse_plaintext(&url, "SNS")?;
        return Ok(format!("{}/", url.trim_end_matches('/')));
    }
    let fips = if aws.config.use_fips() == Some(true) { "-fips" } else { "" };
    let suffix = dns_suffix(region, aws.config.use_dual_stack() == Some(true));
    Ok(format!("https://sns{fips}.{region}.{suffix}/"))
}

/// The code of an error (`<ErrorResponse><Error><Code>`).
fn code(body: &[u8]) -> Option<String> {
    let mut document = Document::new(core::str::from_utf8(body).ok()?);
    let mut root = document.root_element().ok()?;
    while let Some(mut tag) = root.next_tag() {
        if tag.start_el().local() != "Error" {
            continue;
        }
        while let Some(mut inner) = tag.next_tag() {
            if inner.start_el().local() == "Code" {
                return try_data(&mut inner).ok().map(|text| text.into_owned());
            }
        }
    }
    None
}

/// A value of a form: everything but RFC 3986's unreserved characters is escaped.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_is_found() {
        let answer = br#"<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>NotFound</Code><Message>canary</Message></Error><RequestId>x</RequestId></ErrorResponse>"#;
        assert_eq!(code(answer).as_deref(), Some("NotFound"));
        for other in [&b"<html>no</html>"[..], b"", b"\xff"] {
            assert_eq!(code(other), None);
        }
    }

    #[test]
    fn a_value_stays_one_field() {
        assert_eq!(encoded("a&b=c d\n\u{fc}~"), "a%26b%3Dc%20d%0A%C3%BC~");
    }
}
