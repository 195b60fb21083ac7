//! Notices to topics of OCI Notifications, against the emulator, which checks signatures and rights.

use dizzy_engine::Timestamp;
use dizzy_host::{
    notice::{Event, Notice},
    port::{Kind, Receiver as _},
};
use dizzy_oci::OciTopic;
use dizzy_sandbox_oci::{Fault, Mishap, Operation, Permission, Rights};
use serde_json::Value;

use crate::world::{World, soon};

fn notice() -> Notice {
    Notice {
        id: "1".to_owned(),
        event: Event::Unfinished,
        set: "orders".to_owned(),
        code: Some("DK-502"),
        what: "orders: generation 8 is decided, and not yet published everywhere".to_owned(),
        state: None,
        next: Some("dizzy-keys recover orders".to_owned()),
        exit: 6,
        generation: Some(7),
        rotation: None,
        time: Timestamp(1_800_000_000_123),
        trace: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_gets_the_notice_under_its_subject() {
    let world = World::new();
    let ocid = world.oci.create_topic("ops");
    OciTopic::new(world.clients.clone(), &ocid).deliver(&notice(), soon()).await.unwrap();
    let messages = world.oci.messages(&ocid);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].title.as_deref(), Some("dizzy-keys: unfinished orders DK-502"));
    assert_eq!(serde_json::from_str::<Value>(&messages[0].body).unwrap(), notice().document());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_tried_again_and_a_missing_right_is_told() {
    let world = World::new();
    let ocid = world.oci.create_topic("ops");
    let topic = OciTopic::new(world.clients.clone(), &ocid);
    for mishap in [Mishap::DropBefore, Mishap::DropAfter] {
        let fault = world.oci.inject(Fault::next(Operation::PublishMessage, mishap));
        topic.deliver(&notice(), soon()).await.unwrap();
        assert_eq!(fault.fired(), 1);
    }
    assert_eq!(world.oci.messages(&ocid).len(), 3, "the one whose answer was lost came twice");
    world.oci.set_rights("rotator", &Rights::all().without(Permission::OnsTopicPublish)).unwrap();
    let error = topic.deliver(&notice(), soon()).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound, "OCI tells what may not be seen from what is not there by nothing");
    assert!(error.hint.unwrap().contains("use ons-topics"));
    assert_eq!(world.oci.messages(&ocid).len(), 3);
}
