//! `[notify]`: who is told what, checked as far as the file tells.
//!
//! A webhook's URL opens it to whoever has it, so only a reference to it may stand here; a topic's name opens nothing.

use super::{
    MAX_RECEIVERS,
    model::{NotifyModel, ReceiverModel},
    resolve::{At, Resolved},
    resolved::{Adapter, Destination, Need, Notify, ReceiverConfig},
};
use crate::notice::Event;

pub(super) fn resolve(at: &At<'_>, model: NotifyModel, needs: &mut Vec<Need>) -> Resolved<Notify> {
    let common = events(&at.key("on"), model.on)?;
    let at_all = at.key("receivers");
    if common.is_some() && model.receivers.is_empty() {
        return Err(at
            .key("on")
            .wrong("there is nobody to tell", "add [[notify.receivers]] with `webhook` or `topic`"));
    }
    if model.receivers.len() > MAX_RECEIVERS {
        return Err(at_all.wrong(format!("there are more than {MAX_RECEIVERS} receivers"), "let one of them fan out"));
    }
    let mut receivers: Vec<ReceiverConfig> = Vec::new();
    for (index, model) in model.receivers.into_iter().enumerate() {
        let at = at_all.index(index);
        let on = events(&at.key("on"), model.on.clone())?;
        let on = on.or_else(|| common.clone()).unwrap_or_else(|| Event::DEFAULT.to_vec());
        let to = destination(&at, &model, needs)?;
        if receivers.iter().any(|other| other.to == to) {
            return Err(at.wrong("this receiver is named twice", "name each once, with all that it is told"));
        }
        receivers.push(ReceiverConfig { on, to });
    }
    Ok(Notify { receivers })
}

fn events(at: &At<'_>, events: Option<Vec<Event>>) -> Resolved<Option<Vec<Event>>> {
    match events {
        Some(events) if events.is_empty() => Err(at.wrong("nothing is told", "leave the key out for the default")),
        other => Ok(other),
    }
}

fn destination(at: &At<'_>, model: &ReceiverModel, needs: &mut Vec<Need>) -> Resolved<Destination> {
    match (&model.webhook, &model.topic) {
        (Some(url), None) => {
            let at_url = at.key("webhook");
            if url.starts_with("https:") || url.starts_with("http:") {
                return Err(at_url.wrong(
                    "a webhook's URL is a secret and does not belong into the configuration",
                    "put the URL into a secret and name that here: `aws-sm:NAME`, `oci-vault:OCID`, `env:NAME`, `file:PATH`",
                ));
            }
            needs.push(at_url.need(Adapter::Webhooks));
            let url = at_url.reference(url, needs)?;
            let mut optional = |key: &str, text: &Option<String>| match text {
                None => Ok(None),
                Some(text) => at.key(key).reference(text, needs).map(Some),
            };
            let signing_key = optional("signing_key", &model.signing_key)?;
            let tls_ca = optional("tls_ca", &model.tls_ca)?;
            Ok(Destination::Webhook { url, signing_key, tls_ca })
        }
        (None, Some(topic)) => {
            for (key, written) in [("signing_key", &model.signing_key), ("tls_ca", &model.tls_ca)] {
                if written.is_some() {
                    return Err(at.key(key).wrong(format!("`{key}` means nothing with `topic`"), "leave it out"));
                }
            }
            let at = at.key("topic");
            if is_sns(topic) {
                needs.push(at.need(Adapter::AwsTopics));
                return Ok(Destination::SnsTopic(topic.clone()));
            }
            if is_ons(topic) {
                needs.push(at.need(Adapter::OciTopics));
                return Ok(Destination::OciTopic(topic.clone()));
            }
            Err(at.wrong(
                "this is no topic",
                "`arn:aws:sns:REGION:ACCOUNT:NAME` (SNS) or `ocid1.onstopic.REALM.REGION.ID` (OCI Notifications)",
            ))
        }
        (Some(_), Some(_)) => {
            Err(at.key("topic").wrong("`webhook` and `topic` exclude each other", "make two receivers of them"))
        }
        (None, None) => Err(at.wrong("this receiver is nowhere", "add `webhook` (a secret reference) or `topic`")),
    }
}

/// Longest ARN or OCID that is taken.
const MAX_TOPIC: usize = 512;

fn is_sns(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let [arn, partition, sns, region, account, name] = parts.as_slice() else { return false };
    let name_fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.len() <= MAX_TOPIC
        && *arn == "arn"
        && partition.starts_with("aws")
        && *sns == "sns"
        && is_region(region)
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(name_fits)
}

fn is_ons(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let [ocid, onstopic, realm, region, .., id] = parts.as_slice() else { return false };
    let fits = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let named = text.len() <= MAX_TOPIC && *ocid == "ocid1" && *onstopic == "onstopic";
    named
        && parts.len() >= 5
        && fits(realm)
        && is_region(region)
        && !id.is_empty()
        && parts.iter().all(|part| fits(part))
}

fn is_region(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
