//! The principal of an instance: certificates that are replaced, tokens that end, a metadata service that is not there.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use dizzy_engine::Timestamp;
use dizzy_host::port::{Certainty, Clock, Kind, PortError, SecretStore as _, SystemClock};
use dizzy_oci::{InstancePrincipal, OciAuth, OciClients, OciSettings, OciVaultStore};
use dizzy_sandbox_oci::{Door, Fault, KeyFormat, Mishap, Operation, Rights, Service, TENANCY};
use jiff::SignedDuration;

use crate::world::{World, settings, soon};

/// The machine's clock, ahead by so many minutes.
#[derive(Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_ms(self.0.load(Ordering::SeqCst) * 60_000)
    }
}

struct Machine {
    world: World,
    clock: Arc<Ahead>,
    store: OciVaultStore,
}

impl Machine {
    fn new() -> Self {
        let world = World::new();
        world.oci.instance("worker", Rights::all()).unwrap();
        let (_, ocid) = world.secret("instance", "value-0");
        let clock = Arc::new(Ahead::default());
        let principal = InstancePrincipal::at(&world.oci.metadata_url()).unwrap();
        let auth = OciAuth::InstancePrincipal(principal);
        let its = OciSettings { auth, clock: Arc::<Ahead>::clone(&clock), ..settings(&world.oci, &world.files) };
        let store = OciVaultStore::new(OciClients::new(its), &ocid);
        world.oci.forget_log();
        Self { world, clock, store }
    }

    async fn reads(&self) {
        self.store.current(soon()).await.unwrap();
    }

    async fn fails(&self) -> PortError {
        let error = self.store.current(soon()).await.err().unwrap();
        assert_eq!(error.certainty, Certainty::Refused, "{error:?}");
        error
    }

    /// Time passes for both.
    fn pass(&self, minutes: i64) {
        self.clock.0.fetch_add(minutes, Ordering::SeqCst);
        let ahead = self.clock.0.load(Ordering::SeqCst);
        self.world.oci.set_clock_offset(SignedDuration::from_mins(ahead));
    }

    /// How often a token was asked for, and how often that was refused.
    fn federated(&self) -> (usize, usize) {
        let log = self.world.oci.log();
        let asked = log.iter().filter(|one| one.operation == Some(Operation::FederateX509));
        let refused = asked.clone().filter(|one| one.status != Some(200)).count();
        (asked.count(), refused)
    }
}

/// The text of a PEM block, without its lines.
fn body(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with('-')).collect()
}

#[tokio::test]
async fn an_instance_exchanges_its_certificate_once_and_signs_with_the_token() {
    let machine = Machine::new();
    let instance = machine.world.oci.instance("worker", Rights::all()).unwrap();
    machine.reads().await;
    machine.reads().await;
    let log = machine.world.oci.log();
    assert!(log.iter().all(|one| one.status == Some(200)), "{log:?}");
    assert_eq!(machine.federated(), (1, 0));
    let call = log.iter().find(|one| one.operation == Some(Operation::FederateX509)).unwrap();
    let key_id = format!("keyId=\"{}\"", instance.sha256_key_id());
    let signed = call.header("authorization").unwrap();
    assert!(signed.contains(&key_id) && key_id.contains(TENANCY), "{signed}");
    assert!(
        signed.contains("headers=\"date (request-target) content-length content-type x-content-sha256\""),
        "{signed}"
    );
    assert!(call.sent(&body(instance.certificate_pem())) && call.sent("intermediateCertificates"));
    let last = log.last().unwrap();
    assert_eq!(last.principal.as_deref(), Some("worker"));
    assert!(last.header("authorization").unwrap().contains("keyId=\"ST$"));
    // The private part of the key, behind the modulus that is in the certificate as well, never leaves the machine.
    let key = instance.private_key_pem(KeyFormat::Pkcs1).unwrap();
    assert!(!log.iter().any(|one| one.sent(key.lines().nth(15).unwrap())));
}

#[tokio::test]
async fn a_token_near_its_end_is_replaced_with_the_certificate_of_the_day() {
    let machine = Machine::new();
    machine.reads().await;
    let renewed = machine.world.oci.instance("worker", Rights::all()).unwrap();
    machine.reads().await;
    assert_eq!(machine.federated(), (1, 0), "a token lasts longer than the certificate that it was given for");

    machine.pass(24 * 60 - 1);
    machine.reads().await;
    assert_eq!(machine.federated(), (2, 0));
    let log = machine.world.oci.log();
    let call = log.iter().rfind(|one| one.operation == Some(Operation::FederateX509)).unwrap();
    assert!(call.sent(&body(renewed.certificate_pem())), "the certificate was read again");
    assert!(log.iter().all(|one| one.status == Some(200)), "renewed before it was refused: {log:?}");
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let machine = Machine::new();
    machine.reads().await;
    let refuse = || Fault::next(Operation::ListSecretVersions, Mishap::Refuse(401, "NotAuthenticated"));
    let refuse_bundle = || Fault::next(Operation::GetSecretBundle, Mishap::Refuse(401, "NotAuthenticated"));
    let faults = [machine.world.oci.inject(refuse()), machine.world.oci.inject(refuse_bundle())];
    machine.reads().await;
    assert!(faults.iter().any(|fault| fault.fired() == 1));
    let (asked, refused) = machine.federated();
    assert!(asked > 1 && refused == 0);
    machine.world.oci.clear_faults();

    // Nobody any more: a new token does not help, and no third one is asked for.
    machine.world.oci.forget_principal("worker");
    machine.world.oci.forget_log();
    let error = machine.fails().await;
    assert_eq!(error.kind, Kind::Denied, "{error:?}");
    assert_eq!(machine.federated(), (1, 0));
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted_is_told_as_such() {
    let machine = Machine::new();
    let fault = Fault::next(Operation::FederateX509, Mishap::Refuse(401, "NotAuthenticated")).always();
    let fault = machine.world.oci.inject(fault);
    let error = machine.fails().await;
    assert_eq!(error.kind, Kind::Denied);
    assert!(error.hint.as_deref().unwrap().contains("restart the instance"), "{error:?}");
    assert_eq!(fault.fired(), 1, "it is not tried again");
    machine.world.oci.clear_faults();

    let stumbles = machine.world.oci.inject(Fault::next(Operation::FederateX509, Mishap::Throttle));
    let cuts = machine.world.oci.inject(Fault::next(Operation::GetInstanceMetadata, Mishap::DropBefore));
    machine.reads().await;
    assert_eq!((stumbles.fired(), cuts.fired()), (1, 1), "passing failures are tried again");

    machine.pass(48 * 60);
    let hollow = machine.world.oci.inject(Fault::next(Operation::FederateX509, Mishap::Hollow));
    assert_eq!((machine.fails().await.kind, hollow.fired()), (Kind::Malformed, 1));
    machine.reads().await;
}

#[tokio::test]
async fn where_there_is_no_metadata_service_it_is_said_soon() {
    let machine = Machine::new();
    for door in [Door::Refusing, Door::Silent] {
        machine.world.oci.set_door(Service::Metadata, door).unwrap();
        let error = machine.fails().await;
        assert!(error.what.contains("identity/cert.pem"), "it ended by itself, long before the deadline: {error:?}");
        assert!(matches!(error.kind, Kind::Unreachable | Kind::Timeout), "{error:?}");
        assert!(error.hint.as_deref().unwrap().contains("only an instance of OCI compute"), "{error:?}");
    }
    machine.world.oci.set_door(Service::Metadata, Door::Open).unwrap();
    let stranger = Fault::next(Operation::GetInstanceMetadata, Mishap::Refuse(404, "canary"));
    let stranger = machine.world.oci.inject(stranger);
    let error = machine.fails().await;
    assert_eq!((error.kind, error.code.as_deref(), stranger.fired()), (Kind::Denied, Some("HTTP 404"), 1));
    machine.reads().await;
}
