//! Every write meets every mishap: the error says refused or unknown as it must, the labels then tell the truth, and the
//! same call (or, for a move, the look at the labels) leads on.

use core::time::Duration;

use dizzy_host::port::{Certainty, Deadline, Kind, PortResult, SecretStore as _, VersionId};
use dizzy_oci::OciVaultStore;
use dizzy_sandbox_oci::{Door, Fault, Mishap, Operation, Options, Service, Settle};

use crate::world::{World, name, soon, staged, text, version};

#[derive(Clone, Copy, Debug)]
enum Write {
    Stage,
    Promote,
    Prune,
}

/// A secret with CURRENT on version 2 (our name 1), `two` staged over an older `old`, which is DEPRECATED.
struct Scene<'a> {
    world: &'a World,
    store: OciVaultStore,
    ocid: String,
    base: VersionId,
    old: VersionId,
    two: VersionId,
}

impl Write {
    const ALL: [Self; 3] = [Self::Stage, Self::Promote, Self::Prune];

    const fn operation(self) -> Operation {
        match self {
            Self::Stage | Self::Promote => Operation::UpdateSecret,
            Self::Prune => Operation::ScheduleSecretVersionDeletion,
        }
    }

    async fn run(self, scene: &Scene<'_>, deadline: Deadline) -> PortResult<()> {
        let Scene { store, base, old, two, .. } = scene;
        match self {
            Self::Stage => store.stage(&name(3), &text("value-3"), deadline).await.map(drop),
            Self::Promote => store.promote(base, two, deadline).await,
            Self::Prune => store.prune(&name(1), old, deadline).await,
        }
    }

    /// Whether it has happened, by the labels that the store reads.
    async fn happened(self, scene: &Scene<'_>) -> bool {
        let labels = scene.store.labels(soon()).await.unwrap();
        match self {
            Self::Stage => labels.named.contains_key(&name(3)),
            Self::Promote => labels.current.as_ref() == Some(&scene.two),
            Self::Prune => !labels.named.contains_key(&name(1)),
        }
    }

    /// Does it again: all but the move are idempotent; a move that has happened answers with a conflict.
    async fn again(self, scene: &Scene<'_>) {
        let before = self.happened(scene).await;
        match (self.run(scene, soon()).await, self) {
            (Ok(()), _) => {}
            (Err(error), Self::Promote) if before => {
                assert_eq!((error.kind, error.certainty), (Kind::Conflict, Certainty::Unknown));
            }
            (Err(error), _) => panic!("{self:?} again: {error}"),
        }
        assert!(self.happened(scene).await, "{self:?} again");
    }
}

async fn scene<'a>(world: &'a World, secret: &str) -> Scene<'a> {
    let (store, ocid) = world.secret(secret, "value-0");
    let (old, two) = (staged(&store, 1).await, staged(&store, 2).await);
    Scene { world, store, ocid, base: version(1), old, two }
}

async fn meet(scene: &Scene<'_>, write: Write, mishap: Mishap, sent: usize) -> (Certainty, Kind) {
    let oci = &scene.world.oci;
    let fault = oci.inject(Fault::next(write.operation(), mishap).on(&scene.ocid).always());
    let hangs = matches!(mishap, Mishap::Hang | Mishap::HangAfter | Mishap::Late);
    for patience in if hangs { &PATIENCE[..] } else { &[20_000] } {
        oci.forget_log();
        let error = write.run(scene, Deadline::after(Duration::from_millis(*patience))).await.unwrap_err();
        if fault.fired() == 0 {
            assert_eq!(error.certainty, Certainty::Refused, "not sent yet: {error:?}");
            continue;
        }
        assert_eq!(scene.world.count(write.operation()), sent, "{write:?} {mishap:?}: so often a write is sent");
        oci.clear_faults();
        return (error.certainty, error.kind);
    }
    panic!("{write:?} {mishap:?}: never sent");
}

/// Milliseconds that a call has which is to end by its deadline: more, if the machine was too busy to get as far as the write.
const PATIENCE: [u64; 3] = [600, 5_000, 20_000];

#[tokio::test]
async fn a_write_that_fails_at_once_is_refused_or_unknown_as_it_must_be() {
    use Certainty::{Refused, Unknown};
    let world = World::with(Options { settle: Settle::AfterPolls(1), ..Options::default() });
    let cases = [
        (Mishap::Refuse(404, "NotAuthorizedOrNotFound"), Refused, Kind::NotFound, false, 1),
        (Mishap::Refuse(400, "LimitExceeded"), Refused, Kind::Other, false, 1),
        // Certainly not executed: sent again, so and so often.
        (Mishap::Throttle, Refused, Kind::Throttled, false, 3),
        (Mishap::Refuse(409, "IncorrectState"), Refused, Kind::Busy, false, 4),
        (Mishap::Refuse(412, "NoEtagMatch"), Refused, Kind::Conflict, false, 4),
        (Mishap::Refuse(500, "InternalServerError"), Unknown, Kind::Busy, false, 1),
        (Mishap::Refuse(503, "ServiceUnavailable"), Unknown, Kind::Busy, false, 1),
        (Mishap::Refuse(400, "canary-code"), Unknown, Kind::Other, false, 1),
        (Mishap::DropBefore, Unknown, Kind::Unreachable, false, 1),
        (Mishap::DropAfter, Unknown, Kind::Unreachable, true, 1),
    ];
    for write in Write::ALL {
        for (number, (mishap, certainty, kind, happens, sent)) in cases.into_iter().enumerate() {
            let scene = scene(&world, &format!("{write:?}-{number}")).await;
            assert_eq!(meet(&scene, write, mishap, sent).await, (certainty, kind), "{write:?} {mishap:?}");
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
            let end = meet(&scene, write, mishap, 1).await;
            assert_eq!(end, (Certainty::Unknown, Kind::Timeout), "{write:?} {mishap:?}");
            assert_eq!(write.happened(&scene).await, happens, "{write:?} {mishap:?}");
            write.again(&scene).await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_no_answer_does_not_hide_what_has_happened() {
    let world = World::new();
    for write in Write::ALL {
        for mishap in [Mishap::Truncate, Mishap::Garbage, Mishap::Hollow] {
            let scene = scene(&world, &format!("{write:?}-{mishap:?}")).await;
            let fault = world.oci.inject(Fault::next(write.operation(), mishap).on(&scene.ocid));
            // What counts after a write is what the secret then shows, not what the answer says.
            if let Err(error) = write.run(&scene, soon()).await {
                assert_eq!(error.certainty, Certainty::Unknown, "{write:?} {mishap:?}: {error:?}");
            }
            assert_eq!(fault.fired(), 1);
            assert!(write.happened(&scene).await, "{write:?} {mishap:?}");
            write.again(&scene).await;
        }
    }
}

#[tokio::test]
async fn a_request_that_arrives_late_is_why_no_answer_means_unknown() {
    let world = World::with(Options { settle: Settle::AfterPolls(0), ..Options::default() });
    for write in Write::ALL {
        let scene = scene(&world, &format!("{write:?}-late")).await;
        let end = meet(&scene, write, Mishap::Late, 1).await;
        assert_eq!(end, (Certainty::Unknown, Kind::Timeout), "{write:?}");
        assert!(!write.happened(&scene).await, "{write:?}: not yet");
        assert_eq!(world.oci.release(), 1);
        assert!(write.happened(&scene).await, "{write:?}: now");
    }
}

#[tokio::test]
async fn a_late_promotion_cannot_undo_a_newer_one() {
    let world = World::new();
    let scene = scene(&world, "zombie").await;
    let three = staged(&scene.store, 3).await;
    meet(&scene, Write::Promote, Mishap::Late, 1).await;
    scene.store.promote(&scene.base, &three, soon()).await.unwrap();
    assert_eq!(world.oci.release(), 1);
    assert_eq!(scene.store.labels(soon()).await.unwrap().current, Some(three), "the late move carried an older etag");
}

#[tokio::test]
async fn a_late_stage_cannot_take_pending_from_a_newer_one() {
    let world = World::new();
    let scene = scene(&world, "zombie-stage").await;
    meet(&scene, Write::Stage, Mishap::Late, 1).await;
    let four = staged(&scene.store, 4).await;
    assert_eq!(world.oci.release(), 1);
    assert_eq!(scene.store.labels(soon()).await.unwrap().pending, Some(four), "the late stage carried an older etag");
}

#[tokio::test]
async fn a_write_gets_over_a_busy_moment_and_over_harmless_changes() {
    let world = World::new();
    for (number, mishap) in
        [Mishap::Throttle, Mishap::Refuse(409, "IncorrectState"), Mishap::Refuse(412, "NoEtagMatch")]
            .into_iter()
            .enumerate()
    {
        for write in Write::ALL {
            let scene = scene(&world, &format!("{write:?}-{number}")).await;
            let fault = world.oci.inject(Fault::next(write.operation(), mishap).on(&scene.ocid).times(2));
            write.run(&scene, soon()).await.unwrap();
            assert_eq!(fault.fired(), 2, "{write:?} {mishap:?}");
            assert!(write.happened(&scene).await, "{write:?} {mishap:?}");
        }
    }
}

#[tokio::test]
async fn a_read_gets_over_a_passing_fault_and_a_lasting_one_is_told() {
    let world = World::new();
    let scene = scene(&world, "reads").await;
    let oci = &world.oci;
    for (operation, mishap, times) in [
        (Operation::GetSecretBundle, Mishap::DropBefore, 2),
        (Operation::GetSecretBundle, Mishap::Refuse(500, "InternalServerError"), 2),
        (Operation::GetSecretBundle, Mishap::Throttle, 2),
        (Operation::GetSecretBundle, Mishap::Truncate, 2),
        // A connection that hangs does not use up all of the time.
        (Operation::GetSecretBundle, Mishap::Hang, 1),
        (Operation::GetSecret, Mishap::DropAfter, 2),
        // Not a fault of the service, but an update that has begun in between: waited for, however often.
        (Operation::ListSecretVersions, Mishap::Refuse(409, "IncorrectState"), 7),
    ] {
        let fault = oci.inject(Fault::next(operation, mishap).times(times));
        let deadline = if mishap == Mishap::Hang { Deadline::after(Duration::from_secs(9)) } else { soon() };
        if operation == Operation::GetSecretBundle {
            assert_eq!(scene.store.current(deadline).await.unwrap().id, scene.base, "{mishap:?}");
        } else {
            assert_eq!(scene.store.labels(deadline).await.unwrap().current, Some(scene.base.clone()), "{mishap:?}");
        }
        assert_eq!(fault.fired(), times, "every fault was met");
    }
    for (mishap, kind, fired) in [
        (Mishap::DropBefore, Kind::Unreachable, 3),
        (Mishap::Throttle, Kind::Throttled, 3),
        (Mishap::Garbage, Kind::Malformed, 1),
        (Mishap::Hollow, Kind::Malformed, 1),
    ] {
        let fault = oci.inject(Fault::next(Operation::GetSecretBundle, mishap).always());
        let error = scene.store.current(soon()).await.err().unwrap();
        assert_eq!((error.certainty, error.kind), (Certainty::Refused, kind), "a read changes nothing");
        assert_eq!(fault.fired(), fired, "{mishap:?}");
        oci.clear_faults();
    }
    for mishap in [Mishap::Hang, Mishap::Drip(Duration::from_millis(200))] {
        let fault = oci.inject(Fault::next(Operation::GetSecretBundle, mishap).always());
        let error = scene.store.current(Deadline::after(Duration::from_secs(3))).await.err().unwrap();
        assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Timeout), "{mishap:?}");
        assert!(fault.fired() > 0);
        oci.clear_faults();
    }
}

#[tokio::test]
async fn a_service_that_is_down_refuses_writes_and_one_that_is_silent_leaves_them_unknown() {
    let world = World::new();
    let scene = scene(&world, "down").await;
    world.oci.set_door(Service::Vaults, Door::Refusing).unwrap();
    for write in Write::ALL {
        let error = write.run(&scene, soon()).await.unwrap_err();
        assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Unreachable), "{write:?}: {error:?}");
        assert!(error.hint.unwrap().contains("no connection"));
    }
    // The look before a write hangs: nothing was asked for yet.
    world.oci.set_door(Service::Vaults, Door::Silent).unwrap();
    for write in Write::ALL {
        let error = write.run(&scene, Deadline::after(Duration::from_millis(600))).await.unwrap_err();
        assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Timeout), "{write:?}: {error:?}");
    }
    world.oci.set_door(Service::Vaults, Door::Open).unwrap();
    for write in Write::ALL {
        write.again(&scene).await;
    }
}
