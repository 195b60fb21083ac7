//! Notices to SNS topics: what a subscriber gets, by moto's SQS and the AWS command line.

use dizzy_aws::SnsTopic;
use dizzy_engine::Timestamp;
use dizzy_host::{
    notice::{Event, Notice},
    port::{Kind, Receiver as _},
};
use dizzy_sandbox::moto::{Fault, Mishap};
use serde_json::{Value, json};

use crate::world::{World, soon};

fn notice(id: &str) -> Notice {
    Notice {
        id: id.to_owned(),
        event: Event::Drift,
        set: "orders".to_owned(),
        code: Some("DK-504"),
        what: "orders: what is published is not what the register records (50 % & more=\u{fc})".to_owned(),
        state: None,
        next: Some("dizzy-keys verify orders".to_owned()),
        exit: 1,
        generation: Some(7),
        rotation: None,
        time: Timestamp(1_800_000_000_123),
        trace: None,
    }
}

/// A topic, and a queue that gets what it is told.
fn topic(world: &World, name: &str, fifo: bool) -> (String, String) {
    let attributes = if fifo { ["--attributes", "FifoTopic=true"].as_slice() } else { &[] };
    let topic = world.moto.aws(&[&["sns", "create-topic", "--name", name], attributes].concat()).unwrap();
    let topic = topic["TopicArn"].as_str().unwrap().to_owned();
    let attributes = if fifo { json!({"FifoQueue": "true"}) } else { json!({}) };
    let queue = world.moto.call("sqs", "CreateQueue", &json!({"QueueName": name, "Attributes": attributes})).unwrap();
    let queue = queue["QueueUrl"].as_str().unwrap().to_owned();
    let arn = topic.replace(":sns:", ":sqs:");
    let subscribe = ["sns", "subscribe", "--topic-arn", &topic, "--protocol", "sqs", "--notification-endpoint", &arn];
    world.moto.aws(&subscribe).unwrap();
    (topic, queue)
}

fn received(world: &World, queue: &str) -> Vec<Value> {
    let input = json!({"QueueUrl": queue, "MaxNumberOfMessages": 10});
    let answer = world.moto.call("sqs", "ReceiveMessage", &input).unwrap();
    let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
    messages.iter().map(|message| serde_json::from_str(message["Body"].as_str().unwrap()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_gets_the_notice_with_its_subject_and_attributes() {
    let world = World::new();
    for (name, fifo) in [("ops", false), ("ops.fifo", true)] {
        let (arn, queue) = topic(&world, name, fifo);
        let topic = SnsTopic::new(world.clients.clone(), &arn);
        assert_eq!(topic.name(), arn);
        topic.deliver(&notice("1"), soon()).await.unwrap();
        let messages = received(&world, &queue);
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert_eq!(messages[0]["Subject"], "dizzy-keys: drift orders DK-504");
        let document: Value = serde_json::from_str(messages[0]["Message"].as_str().unwrap()).unwrap();
        assert_eq!(document, notice("1").document());
        let attributes = &messages[0]["MessageAttributes"];
        assert_eq!((&attributes["event"]["Value"], &attributes["set"]["Value"]), (&"drift".into(), &"orders".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_tried_again_and_what_does_not_is_told() {
    let world = World::new();
    let (arn, queue) = topic(&world, "ops", false);
    let topic = SnsTopic::new(world.clients.clone(), &arn);
    for mishap in [Mishap::DropBefore, Mishap::DropAfter] {
        world.moto.inject(&Fault::next("Publish", mishap)).unwrap();
        topic.deliver(&notice("2"), soon()).await.unwrap();
        assert_eq!(world.moto.clear_faults().unwrap(), 0, "{mishap:?} was met");
    }
    // The one whose answer was lost came twice, under one id.
    let messages = received(&world, &queue);
    assert_eq!(messages.len(), 3, "{messages:?}");
    world.moto.inject(&Fault::next("Publish", Mishap::Refuse(403, "AuthorizationError"))).unwrap();
    let error = topic.deliver(&notice("3"), soon()).await.unwrap_err();
    assert!(!format!("{error:?}").contains("sandbox"), "{error:?}");
    let gone = SnsTopic::new(world.clients.clone(), &format!("{arn}-none"));
    assert_eq!(gone.deliver(&notice("4"), soon()).await.unwrap_err().kind, Kind::NotFound);
}
