//! Every write meets every mishap: the error says refused or unknown as it must, the labels then tell the truth, and the
//! same call (or, for a move, the look at the labels) leads on.

use core::time::Duration;

use dizzy_aws::SecretsManagerStore;
use dizzy_host::port::{Certainty, Deadline, Kind, PortResult, SecretStore as _, VersionId};
use dizzy_sandbox::moto::{Fault, Mishap};

use crate::world::{World, name, soon, staged, text};

#[derive(Clone, Copy, Debug)]
enum Write {
    Stage,
    Label,
    MovePending,
    Promote,
    Prune,
}

/// A secret with CURRENT on `base` (our name 0), and `one` staged.
struct Scene<'a> {
    world: &'a World,
    store: SecretsManagerStore,
    secret: String,
    base: VersionId,
    one: VersionId,
}

impl Write {
    const ALL: [Self; 5] = [Self::Stage, Self::Label, Self::MovePending, Self::Promote, Self::Prune];

    const fn operation(self) -> &'static str {
        match self {
            Self::Stage => "PutSecretValue",
            Self::Label | Self::MovePending | Self::Promote | Self::Prune => "UpdateSecretVersionStage",
        }
    }

    async fn run(self, scene: &Scene<'_>, deadline: Deadline) -> PortResult<()> {
        let Scene { store, base, one, .. } = scene;
        match self {
            Self::Stage => store.stage(&name(2), &text("value-2"), deadline).await.map(drop),
            Self::Label => store.label(&name(3), one, deadline).await,
            Self::MovePending => store.move_pending(None, one, deadline).await,
            Self::Promote => store.promote(base, one, deadline).await,
            Self::Prune => store.prune(&name(0), base, deadline).await,
        }
    }

    /// Whether it has happened, by the labels that the store reads.
    async fn happened(self, scene: &Scene<'_>) -> bool {
        let labels = scene.store.labels(soon()).await.unwrap();
        match self {
            Self::Stage => labels.named.contains_key(&name(2)),
            Self::Label => labels.named.get(&name(3)) == Some(&scene.one),
            Self::MovePending => labels.pending.as_ref() == Some(&scene.one),
            Self::Promote => labels.current.as_ref() == Some(&scene.one),
            Self::Prune => !labels.named.contains_key(&name(0)),
        }
    }

    /// Does it again: all but the moves are idempotent; a move that has happened answers with a conflict.
    async fn again(self, scene: &Scene<'_>) {
        let before = self.happened(scene).await;
        match (self.run(scene, soon()).await, self) {
            (Ok(()), _) => {}
            (Err(error), Self::MovePending | Self::Promote) if before => {
                let certainty = if matches!(self, Self::Promote) { Certainty::Unknown } else { Certainty::Refused };
                assert_eq!((error.kind, error.certainty), (Kind::Conflict, certainty));
            }
            (Err(error), _) => panic!("{self:?} again: {error}"),
        }
        assert!(self.happened(scene).await, "{self:?} again");
    }
}

async fn scene<'a>(world: &'a World, secret: &str) -> Scene<'a> {
    let (store, base) = world.secret(secret, "value-0");
    store.label(&name(0), &base, soon()).await.unwrap();
    let one = staged(&store, 1).await;
    Scene { world, store, secret: secret.to_owned(), base, one }
}

async fn meet(scene: &Scene<'_>, write: Write, mishap: Mishap, deadline: Deadline) -> (Certainty, Kind) {
    let moto = &scene.world.moto;
    moto.inject(&Fault::next(write.operation(), mishap).on(&scene.secret)).unwrap();
    moto.forget_calls().unwrap();
    let error = write.run(scene, deadline).await.unwrap_err();
    let sent = moto.counts(Some(&scene.secret)).unwrap()[write.operation()].as_u64();
    assert_eq!(sent, Some(1), "{write:?} {mishap:?}: a write is sent once");
    assert_eq!(moto.clear_faults().unwrap(), 0);
    (error.certainty, error.kind)
}

#[tokio::test]
async fn a_write_that_fails_at_once_is_refused_or_unknown_as_it_must_be() {
    use Certainty::{Refused, Unknown};
    let world = World::new();
    let cases = [
        (Mishap::Refuse(400, "AccessDeniedException"), Refused, Kind::Denied, false),
        (Mishap::Refuse(400, "EncryptionFailure"), Refused, Kind::Denied, false),
        (Mishap::Throttle, Refused, Kind::Throttled, false),
        (Mishap::Refuse(500, "InternalServiceError"), Unknown, Kind::Busy, false),
        (Mishap::Refuse(503, "ThrottlingException"), Unknown, Kind::Throttled, false),
        (Mishap::DropBefore, Unknown, Kind::Unreachable, false),
        (Mishap::DropAfter, Unknown, Kind::Unreachable, true),
    ];
    for write in Write::ALL {
        for (number, (mishap, certainty, kind, happens)) in cases.into_iter().enumerate() {
            let scene = scene(&world, &format!("{write:?}-{number}")).await;
            assert_eq!(meet(&scene, write, mishap, soon()).await, (certainty, kind), "{write:?} {mishap:?}");
            assert_eq!(write.happened(&scene).await, happens, "{write:?} {mishap:?}");
            write.again(&scene).await;
        }
    }
}

#[tokio::test]
async fn a_write_without_an_answer_is_unknown_when_the_deadline_comes() {
    let world = World::new();
    for write in Write::ALL {
        for (mishap, happens) in [(Mishap::Hang, false), (Mishap::HangAfter, true)] {
            let scene = scene(&world, &format!("{write:?}-{happens}")).await;
            let end = meet(&scene, write, mishap, Deadline::after(Duration::from_millis(400))).await;
            assert_eq!(end, (Certainty::Unknown, Kind::Timeout), "{write:?} {mishap:?}");
            assert_eq!(write.happened(&scene).await, happens, "{write:?} {mishap:?}");
            write.again(&scene).await;
        }
    }
}

#[tokio::test]
async fn a_request_that_arrives_late_is_why_no_answer_means_unknown() {
    let world = World::new();
    for write in Write::ALL {
        let scene = scene(&world, &format!("{write:?}-late")).await;
        let end = meet(&scene, write, Mishap::Late, Deadline::after(Duration::from_millis(400))).await;
        assert_eq!(end, (Certainty::Unknown, Kind::Timeout), "{write:?}");
        assert!(!write.happened(&scene).await, "{write:?}: not yet");
        assert_eq!(world.moto.release().unwrap(), 1);
        assert!(write.happened(&scene).await, "{write:?}: now");
    }
}

#[tokio::test]
async fn a_late_promotion_cannot_undo_a_newer_one() {
    let world = World::new();
    let scene = scene(&world, "zombie").await;
    let two = staged(&scene.store, 2).await;
    meet(&scene, Write::Promote, Mishap::Late, Deadline::after(Duration::from_millis(400))).await;
    scene.store.promote(&scene.base, &two, soon()).await.unwrap();
    assert_eq!(world.moto.release().unwrap(), 1);
    assert_eq!(scene.store.current(soon()).await.unwrap().id, two, "the late move expected another CURRENT");
}

#[tokio::test]
async fn a_read_gets_over_a_passing_fault_and_a_lasting_one_is_told() {
    let world = World::new();
    let scene = scene(&world, "reads").await;
    let moto = &world.moto;
    for (operation, mishap) in [
        ("GetSecretValue", Mishap::DropBefore),
        ("GetSecretValue", Mishap::Refuse(500, "InternalServiceError")),
        ("GetSecretValue", Mishap::Throttle),
        ("DescribeSecret", Mishap::DropAfter),
    ] {
        moto.inject(&Fault::next(operation, mishap).times(2)).unwrap();
        if operation == "GetSecretValue" {
            assert_eq!(scene.store.current(soon()).await.unwrap().id, scene.base, "{mishap:?}");
        } else {
            assert_eq!(scene.store.labels(soon()).await.unwrap().current, Some(scene.base.clone()), "{mishap:?}");
        }
        assert_eq!(moto.clear_faults().unwrap(), 0, "both faults were met");
    }
    for (mishap, kind) in [(Mishap::DropBefore, Kind::Unreachable), (Mishap::Throttle, Kind::Throttled)] {
        moto.inject(&Fault::next("GetSecretValue", mishap).times(99)).unwrap();
        let error = scene.store.current(soon()).await.err().unwrap();
        assert_eq!((error.certainty, error.kind), (Certainty::Refused, kind), "a read changes nothing");
        assert_eq!(moto.clear_faults().unwrap(), 96, "three tries");
    }
    moto.inject(&Fault::next("GetSecretValue", Mishap::Hang).times(99)).unwrap();
    let error = scene.store.current(Deadline::after(Duration::from_millis(600))).await.err().unwrap();
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Timeout));
}
