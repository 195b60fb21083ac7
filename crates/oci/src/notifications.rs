//! Notices to a topic of OCI Notifications: PublishMessage.
//!
//! The body goes out as raw text, which is the notice's JSON; the title is its subject. Facts: `publish_message` of
//! `notification_data_plane_client.py` in the oci Python SDK 2.189.0: 64 KiB a message, 60 messages a minute and topic.

use async_trait::async_trait;
use bytes::Bytes;
use dizzy_host::{
    notice::Notice,
    port::{Deadline, Kind, PortResult, Receiver},
};
use http::Method;
use serde_json::json;

use crate::{
    clients::{Ask, Body, OciClients, encoded},
    endpoints::Service,
    failure::{Call, Effect},
};

/// More than the service ever answers.
const MAX_ANSWER: usize = 64 * 1024;
/// What a policy has to allow (Oracle documentation: "Details for the Notifications Service": ONS_TOPIC_PUBLISH).
const RIGHT: &str = "use ons-topics";

/// A topic.
pub struct OciTopic {
    clients: OciClients,
    ocid: String,
}

impl OciTopic {
    /// The topic with this OCID; its region is the one that the OCID names.
    #[must_use]
    pub fn new(clients: OciClients, ocid: &str) -> Self {
        Self { clients, ocid: ocid.to_owned() }
    }
}

#[async_trait]
impl Receiver for OciTopic {
    fn name(&self) -> &str {
        &self.ocid
    }

    async fn deliver(&self, notice: &Notice, deadline: Deadline) -> PortResult<()> {
        // Told twice is better than not told: it is tried again as a read is.
        let call = Call { doing: "tell the topic", subject: &self.ocid, right: RIGHT, effect: Effect::Read };
        let body = json!({"title": notice.subject(), "body": notice.body()}).to_string();
        let ask = Ask {
            service: Service::Notifications,
            method: Method::POST,
            target: format!("/topics/{}/messages", encoded(&self.ocid)),
            headers: Vec::new(),
            body: Some(Body { kind: "application/json", bytes: Bytes::from(body) }),
            region: self.ocid.split('.').nth(3).map(str::to_owned).filter(|region| !region.is_empty()),
            limit: MAX_ANSWER,
        };
        let answer = self.clients.ask(&call, &ask, deadline).await?;
        if answer.body.is_empty() { Err(call.refused(Kind::Malformed)) } else { Ok(()) }
    }
}
