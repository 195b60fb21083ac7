//! Receivers of notices, put together from the configuration. Reads nothing and connects to nothing yet.

use std::sync::Arc;

use dizzy_aws::SnsTopic;
use dizzy_host::{
    config::Destination,
    notice::Event,
    port::{Deadline, PortResult, Receiver, SecretReader},
};
use dizzy_oci::OciTopic;
use dizzy_web::{Webhook, WebhookSource};

use super::Composer;
use crate::{
    code::Port,
    report::{NOTHING_DONE, Report},
};

/// A receiver, and what it is told.
#[derive(Clone)]
pub(crate) struct Wired {
    /// What it is told.
    pub(crate) on: Vec<Event>,
    /// Its name in messages.
    pub(crate) name: String,
    /// The receiver; or why there is none, which is told when it would be used.
    pub(crate) receiver: Result<Arc<dyn Receiver>, Report>,
}

impl Composer {
    /// Every receiver of the configuration.
    pub(crate) fn receivers(&self) -> Vec<Wired> {
        let one = |config: &dizzy_host::config::ReceiverConfig| {
            let (name, receiver): (String, Result<Arc<dyn Receiver>, Report>) = match &config.to {
                Destination::SnsTopic(arn) => (arn.clone(), Ok(Arc::new(SnsTopic::new(self.aws.clone(), arn)))),
                Destination::OciTopic(ocid) => {
                    let topic = |clients| Arc::new(OciTopic::new(clients, ocid)) as Arc<dyn Receiver>;
                    (ocid.clone(), self.oci.clone().map(topic))
                }
                Destination::Webhook { url, .. } => (
                    url.to_string(),
                    self.webhook(&config.to).map_or_else(
                        || Err(Report::new(crate::code::Code::Internal, format!("{url}: no webhook"), NOTHING_DONE)),
                        |webhook| Ok(Arc::new(webhook) as Arc<dyn Receiver>),
                    ),
                ),
            };
            Wired { on: config.on.clone(), name, receiver }
        };
        self.config.notify.receivers.iter().map(one).collect()
    }

    /// What would stop every notice to a webhook, without sending one.
    pub(crate) async fn receivers_that_cannot_be_used(&self) -> Vec<(String, Report)> {
        let mut found = Vec::new();
        for config in &self.config.notify.receivers {
            let Some(webhook) = self.webhook(&config.to) else { continue };
            let checked: PortResult<()> = webhook.check(Deadline::after(self.limits.call)).await;
            if let Err(error) = checked {
                let name = webhook.name().to_owned();
                let report = Report::of_port(Port::Reference, &name, &error, NOTHING_DONE);
                found.push((name, report));
            }
        }
        found
    }

    fn webhook(&self, to: &Destination) -> Option<Webhook> {
        let Destination::Webhook { url, signing_key, tls_ca } = to else { return None };
        let (url, signing_key, tls_ca) = (url.clone(), signing_key.clone(), tls_ca.clone());
        let source = WebhookSource { url, signing_key, tls_ca, proxy: super::proxy::known() };
        let reader: Arc<dyn SecretReader> = Arc::<super::Readers>::clone(&self.reader);
        Some(Webhook::new(source, reader, Arc::clone(&self.clock)))
    }
}
