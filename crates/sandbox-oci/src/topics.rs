//! Notifications: topics that keep what was published to them, for a test to read.
//!
//! PublishMessage as the oci Python SDK 2.189.0 sends it (`notification_data_plane_client.py`): 202 with `messageId` and
//! `timeStamp`, 64 KiB at most. Nothing is delivered anywhere.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use crate::{
    emulator::OciEmulator,
    faults::held,
    http::{Refused, Reply, Request, text_field},
    rights::{Permission, Rights},
    route::{Operation, Target},
};

/// "Message size limit per request: 64KB."
const MAX_MESSAGE: usize = 64 * 1024;

/// A message as it was published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// The title.
    pub title: Option<String>,
    /// The body.
    pub body: String,
}

#[derive(Debug, Default)]
pub(crate) struct Topics {
    all: BTreeMap<String, Vec<Message>>,
}

impl OciEmulator {
    /// Makes a topic and returns its OCID.
    pub fn create_topic(&self, name: &str) -> String {
        let ocid = format!("ocid1.onstopic.oc1.iad.{name}");
        held(&self.shared.world).topics.all.entry(ocid.clone()).or_default();
        ocid
    }

    /// What was published to a topic, in order.
    #[must_use]
    pub fn messages(&self, topic: &str) -> Vec<Message> {
        held(&self.shared.world).topics.all.get(topic).cloned().unwrap_or_default()
    }
}

/// Answers a call of the Notifications service.
pub(crate) fn answer(
    topics: &mut Topics,
    target: &Target,
    request: &Request,
    rights: &Rights,
    now: Timestamp,
) -> Result<Reply, Refused> {
    if target.operation != Operation::PublishMessage {
        return Err(Refused::hidden());
    }
    let ocid = target.name(0);
    rights.require(Permission::OnsTopicPublish, ocid)?;
    let messages = topics.all.get_mut(ocid).ok_or_else(Refused::hidden)?;
    if request.body.len() > MAX_MESSAGE {
        return Err(Refused::invalid("the message is longer than 64 KiB"));
    }
    let body = request.json()?;
    let text = text_field(&body, "body").ok_or_else(|| Refused::missing("body"))?;
    messages.push(Message { title: text_field(&body, "title").map(str::to_owned), body: text.to_owned() });
    let id = format!("{ocid}-message-{}", messages.len());
    Ok(Reply::json(202, &json!({"messageId": id, "timeStamp": now.to_string()})))
}
