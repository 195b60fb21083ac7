//! Objects in S3: every promise of the port, every mishap of a write, and the AWS command line as the second judge.

use core::{cell::Cell, time::Duration};
use std::sync::Arc;

use async_trait::async_trait;
use dizzy_aws::{AwsClients, Credentials, S3Objects};
use dizzy_host::{
    port::{Certainty, Deadline, Kind, ObjectStore, PortError, PortResult, VersionKind, Versions, Written},
    testkit::conformance::{ObjectFixture, objects},
};
use dizzy_sandbox::moto::{BucketKind, Fault, Mishap, Moto};
use serde_json::{Value, json};

use crate::world::{World, settings, soon};

const BUCKET: &str = "ops-dizzy";
const ROOM: usize = 64 * 1024;

struct Fixture<'a> {
    moto: &'a Moto,
    store: Arc<S3Objects>,
    other: Arc<S3Objects>,
    bucket: String,
    kind: BucketKind,
}

#[async_trait]
impl ObjectFixture for Fixture<'_> {
    fn first(&self) -> Arc<dyn ObjectStore> {
        Arc::<S3Objects>::clone(&self.store)
    }

    fn second(&self) -> Arc<dyn ObjectStore> {
        Arc::<S3Objects>::clone(&self.other)
    }

    async fn overwrite(&self, name: &str, bytes: &[u8]) {
        self.moto.put_object(&self.bucket, &format!("a/prefix/{name}"), bytes).unwrap();
    }

    async fn delete(&self, name: &str) {
        self.moto.delete_object(&self.bucket, &format!("a/prefix/{name}")).unwrap();
    }

    fn keeps_versions(&self) -> bool {
        self.kind == BucketKind::Versioned
    }
}

#[tokio::test]
async fn s3_keeps_every_promise_of_an_object_store() {
    let world = World::new();
    for (kind, checks) in [(BucketKind::Plain, 18), (BucketKind::Versioned, 19)] {
        let number = Cell::new(0);
        let report = objects(async || {
            number.set(number.get() + 1);
            let bucket = format!("{kind:?}-{}", number.get()).to_lowercase();
            world.moto.create_bucket(&bucket, kind).unwrap();
            // What is beside the prefix is nobody's business.
            world.moto.put_object(&bucket, "a/prefix-of-others", b"x").unwrap();
            let store = || S3Objects::new(world.clients.clone(), &bucket, "a/prefix").unwrap();
            let elsewhere = AwsClients::load(settings(&world.moto.endpoint()));
            let other = S3Objects::new(elsewhere, &bucket, "/a/prefix/").unwrap();
            Fixture { moto: &world.moto, store: Arc::new(store()), other: Arc::new(other), bucket, kind }
        })
        .await;
        assert_eq!(report.into_result().unwrap().len(), checks, "{kind:?}");
    }
}

fn bucket(kind: BucketKind) -> (World, S3Objects) {
    let world = World::new();
    world.moto.create_bucket(BUCKET, kind).unwrap();
    let store = S3Objects::new(world.clients.clone(), BUCKET, "dizzy").unwrap();
    (world, store)
}

fn is(error: &PortError, certainty: Certainty, kind: Kind) {
    assert_eq!((error.certainty, error.kind), (certainty, kind), "{error:?}");
    let text = format!("{error:?}");
    assert!(!text.contains("canary") && !text.contains("sandbox"), "{text}");
}

#[tokio::test]
async fn what_is_written_is_what_the_command_line_reads_and_the_other_way_round() {
    let (world, store) = bucket(BucketKind::Versioned);
    let key = "dizzy/a b+c=d&e%2Fü/x.json";
    let written = store.create("a b+c=d&e%2Fü/x.json", b"ours", soon()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("content").to_string_lossy().into_owned();
    let s3 = |args: &[&str]| world.moto.aws(&[&["s3api", args[0], "--bucket", BUCKET], &args[1..]].concat()).unwrap();
    let read = s3(&["get-object", "--key", key, &file]);
    assert_eq!(
        (read["ETag"].as_str(), read["VersionId"].as_str()),
        (Some(&*written.etag.0), written.version.as_deref())
    );
    assert_eq!(std::fs::read(&file).unwrap(), b"ours");

    // Their conditional write, with the tag that we were told.
    let made = s3(&["put-object", "--key", key, "--body", &file, "--if-match", &written.etag.0]);
    let seen = store.get("a b+c=d&e%2Fü/x.json", ROOM, soon()).await.unwrap().unwrap();
    assert_eq!((made["ETag"].as_str(), made["VersionId"].as_str()), (Some(&*seen.etag.0), seen.version.as_deref()));
    s3(&["delete-object", "--key", key]);
    let listed = s3(&["list-object-versions", "--prefix", "dizzy/"]);
    let ids = |name: &str| -> Vec<String> {
        let list = listed[name].as_array().cloned().unwrap_or_default();
        list.iter().map(|version| version["VersionId"].as_str().unwrap().to_owned()).collect()
    };
    let Versions::Page(page) = store.versions("", None, 10, soon()).await.unwrap() else { panic!("not listed") };
    let ours =
        |kind| -> Vec<String> { page.versions.iter().filter(|v| v.kind == kind).map(|v| v.version.clone()).collect() };
    assert_eq!(ours(VersionKind::Content), ids("Versions"));
    assert_eq!(ours(VersionKind::DeleteMarker), ids("DeleteMarkers"));
    assert_eq!((page.versions.len(), page.next), (3, None));
    assert!(page.versions.iter().all(|version| version.modified.is_some()));
}

#[tokio::test]
async fn a_list_of_more_than_a_page_goes_on() {
    let (world, store) = bucket(BucketKind::Plain);
    for number in 0..1001 {
        world.moto.put_object(BUCKET, &format!("dizzy/audit/{number:04}"), b"x").unwrap();
    }
    let first = store.list("audit/", None, usize::MAX, soon()).await.unwrap();
    assert_eq!((first.objects.len(), first.next.as_deref()), (1000, Some("audit/0999")));
    let second = store.list("audit/", first.next.as_deref(), usize::MAX, soon()).await.unwrap();
    assert_eq!((second.objects.len(), second.next), (1, None));
}

#[derive(Clone, Copy, Debug)]
enum Write {
    Create,
    Replace,
}

impl Write {
    async fn run(self, world: &World, name: &str, deadline: Deadline) -> PortResult<Written> {
        // Clients of its own, so that no connection of another case is used.
        let clients = AwsClients::load(settings(&world.moto.endpoint()));
        let store = S3Objects::new(clients, BUCKET, "dizzy").unwrap();
        match self {
            Self::Create => store.create(name, b"canary", deadline).await,
            Self::Replace => {
                let etag = store.get(name, ROOM, soon()).await.unwrap().unwrap().etag;
                store.replace(name, b"canary", &etag, deadline).await
            }
        }
    }
}

#[tokio::test]
async fn a_write_is_sent_once_and_is_refused_or_unknown_as_it_must_be() {
    use Certainty::{Refused, Unknown};
    let (world, _) = bucket(BucketKind::Plain);
    let cases = [
        (Mishap::Refuse(409, "ConditionalRequestConflict"), Refused, Kind::Busy, false),
        (Mishap::Refuse(409, "OperationAborted"), Refused, Kind::Busy, false),
        (Mishap::Refuse(403, "AccessDenied"), Refused, Kind::Denied, false),
        (Mishap::Refuse(404, "NoSuchBucket"), Refused, Kind::NotFound, false),
        (Mishap::Refuse(301, "PermanentRedirect"), Refused, Kind::Other, false),
        (Mishap::Refuse(307, "TemporaryRedirect"), Refused, Kind::Other, false),
        (Mishap::Refuse(400, "AuthorizationHeaderMalformed"), Refused, Kind::Other, false),
        (Mishap::Refuse(403, "RequestTimeTooSkewed"), Refused, Kind::Denied, false),
        (Mishap::Refuse(400, "RequestTimeout"), Unknown, Kind::Other, false),
        (Mishap::Refuse(503, "SlowDown"), Unknown, Kind::Throttled, false),
        (Mishap::Refuse(500, "InternalError"), Unknown, Kind::Busy, false),
        (Mishap::Refuse(409, "not a code; canary"), Unknown, Kind::Other, false),
        (Mishap::DropBefore, Unknown, Kind::Unreachable, false),
        (Mishap::DropAfter, Unknown, Kind::Unreachable, true),
        (Mishap::Hang, Unknown, Kind::Timeout, false),
        (Mishap::HangAfter, Unknown, Kind::Timeout, true),
    ];
    for write in [Write::Create, Write::Replace] {
        for (number, (mishap, certainty, kind, happens)) in cases.into_iter().enumerate() {
            let name = format!("{write:?}-{number}");
            let key = format!("dizzy/{name}");
            if matches!(write, Write::Replace) {
                world.moto.put_object(BUCKET, &key, b"before").unwrap();
            }
            world.moto.inject(&Fault::next("PutObject", mishap).on(&format!("{BUCKET}/{key}"))).unwrap();
            world.moto.forget_calls().unwrap();
            let hangs = matches!(mishap, Mishap::Hang | Mishap::HangAfter);
            let deadline = if hangs { Deadline::after(Duration::from_millis(700)) } else { soon() };
            let error = write.run(&world, &name, deadline).await.unwrap_err();
            is(&error, certainty, kind);
            assert_eq!(world.moto.counts(None).unwrap()["PutObject"], json!(1), "{write:?} {mishap:?}: sent once");
            assert_eq!(world.moto.clear_faults().unwrap(), 0);
            let there = world.moto.object(BUCKET, &key).unwrap().is_some_and(|content| content == b"canary");
            assert_eq!(there, happens, "{write:?} {mishap:?}");
        }
    }
}

#[tokio::test]
async fn a_late_write_finds_that_its_condition_does_not_hold_any_more() {
    let (world, store) = bucket(BucketKind::Plain);
    let first = store.create("orders.json", b"first", soon()).await.unwrap().etag;
    world.moto.inject(&Fault::next("PutObject", Mishap::Late)).unwrap();
    let short = Deadline::after(Duration::from_millis(700));
    is(&store.replace("orders.json", b"late", &first, short).await.unwrap_err(), Certainty::Unknown, Kind::Timeout);
    store.replace("orders.json", b"second", &first, soon()).await.unwrap();
    assert_eq!(world.moto.release().unwrap(), 1);
    assert_eq!(world.moto.object(BUCKET, "dizzy/orders.json").unwrap().unwrap(), b"second");
}

#[tokio::test]
async fn a_read_gets_over_passing_faults_and_lasting_ones_are_told() {
    let (world, store) = bucket(BucketKind::Plain);
    store.create("orders.json", b"first", soon()).await.unwrap();
    for mishap in
        [Mishap::DropBefore, Mishap::DropAfter, Mishap::Refuse(503, "SlowDown"), Mishap::Refuse(500, "InternalError")]
    {
        world.moto.inject(&Fault::next("GetObject", mishap).times(2)).unwrap();
        assert_eq!(store.get("orders.json", ROOM, soon()).await.unwrap().unwrap().bytes, b"first", "{mishap:?}");
        world.moto.inject(&Fault::next("GetBucket", mishap).times(2)).unwrap();
        assert_eq!(store.list("", None, 10, soon()).await.unwrap().objects.len(), 1, "{mishap:?}");
        assert_eq!(world.moto.clear_faults().unwrap(), 0, "both were met");
    }
    for (mishap, kind, hint) in [
        (Mishap::Refuse(403, "AccessDenied"), Kind::Denied, Some("s3:ListBucket")),
        (Mishap::Refuse(404, "NoSuchBucket"), Kind::NotFound, Some("no bucket")),
        (Mishap::Refuse(403, "InvalidObjectState"), Kind::Other, Some("archive")),
        (Mishap::Refuse(301, "PermanentRedirect"), Kind::Other, Some("AWS_REGION")),
        (Mishap::Refuse(503, "SlowDown"), Kind::Throttled, None),
        (Mishap::Refuse(404, ""), Kind::Other, None),
    ] {
        world.moto.inject(&Fault::next("GetObject", mishap).times(9)).unwrap();
        let error = store.get("orders.json", ROOM, soon()).await.unwrap_err();
        is(&error, Certainty::Refused, kind);
        let told = error.hint.unwrap_or_default();
        assert!(told.contains(hint.unwrap_or_default()), "{mishap:?}: {told}");
        world.moto.clear_faults().unwrap();
    }
    is(
        &S3Objects::new(world.clients.clone(), "no-such-bucket", "").unwrap().get("x", ROOM, soon()).await.unwrap_err(),
        Certainty::Refused,
        Kind::NotFound,
    );
}

#[tokio::test]
async fn a_bucket_that_keeps_what_it_has_takes_our_writes_and_says_until_when() {
    let (world, store) = bucket(BucketKind::Locked);
    let written = store.create("record.json", b"ours", soon()).await.unwrap();
    let seen = store.get("record.json", ROOM, soon()).await.unwrap().unwrap();
    assert!(seen.retained_until.is_some());
    assert_eq!(seen.version, written.version);
    is(&store.create("record.json", b"canary", soon()).await.unwrap_err(), Certainty::Refused, Kind::Exists);
    // A delete marker hides it, and its version is still there.
    world.moto.delete_object(BUCKET, "dizzy/record.json").unwrap();
    assert_eq!(store.get("record.json", ROOM, soon()).await.unwrap(), None);
    let kept = store.get_version("record.json", &written.version.unwrap(), ROOM, soon()).await.unwrap().unwrap();
    assert_eq!(kept.bytes, b"ours");
    // The judge does what S3 does: without a hash nothing is taken.
    assert!(world.moto.put_object(BUCKET, "dizzy/other", b"x").unwrap_err().to_string().contains("InvalidRequest"));
}

#[tokio::test]
async fn the_signature_is_one_that_the_service_accepts_whatever_the_name() {
    let (world, _) = bucket(BucketKind::Versioned);
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": format!("arn:aws:s3:::{BUCKET}/dizzy/*")},
        {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:ListBucketVersions"], "Resource": format!("arn:aws:s3:::{BUCKET}")}]});
    let (id, secret) = world.moto.create_user("worker", &policy.to_string()).unwrap();
    world.moto.check_signatures().unwrap();
    let signed_by = |secret: &str, token: Option<&str>| {
        let mut settings = settings(&world.moto.endpoint());
        settings.credentials = Some(Credentials::new(&id, secret, token.map(str::to_owned), None, "tests"));
        S3Objects::new(AwsClients::load(settings), BUCKET, "dizzy").unwrap()
    };
    let store = signed_by(&secret, None);
    for name in ["orders.json", "a b+c=d&e#f%2Fg?h", "ü/日本/x.y~z_-"] {
        let etag = store.create(name, name.as_bytes(), soon()).await.unwrap().etag;
        store.replace(name, b"second", &etag, soon()).await.unwrap();
        assert_eq!(store.get(name, ROOM, soon()).await.unwrap().unwrap().bytes, b"second", "{name}");
        assert_eq!(store.list(name, None, 10, soon()).await.unwrap().objects.len(), 1, "{name}");
        assert!(matches!(store.versions(name, None, 10, soon()).await.unwrap(), Versions::Page(_)), "{name}");
    }
    let stranger = signed_by("another-secret-key", None);
    let error = stranger.get("orders.json", ROOM, soon()).await.unwrap_err();
    is(&error, Certainty::Refused, Kind::Denied);
    let error = stranger.create("orders.json", b"canary", soon()).await.unwrap_err();
    is(&error, Certainty::Refused, Kind::Denied);
    assert_eq!(error.code.as_deref(), Some("SignatureDoesNotMatch"));
}

#[tokio::test]
async fn what_cannot_be_a_place_is_refused_before_anything_is_sent() {
    let world = World::new();
    for prefix in ["a//b", "a/../b", &"x".repeat(256)] {
        assert_eq!(
            S3Objects::new(world.clients.clone(), BUCKET, prefix).unwrap_err().kind,
            Kind::Malformed,
            "{prefix}"
        );
    }
    let store = S3Objects::new(world.clients.clone(), BUCKET, "/a/").unwrap();
    assert_eq!(store.place(), format!("s3://{BUCKET}/a"));
    assert_eq!(world.moto.calls(None).unwrap(), Vec::<Value>::new());
}
