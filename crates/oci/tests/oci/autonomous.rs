//! Wallets that the database service makes: what is asked for, what is told when it refuses, and that the password stays where it belongs.

use std::sync::{Arc, Mutex};

use dizzy_host::{
    port::{Certainty, Deadline, Kind, PortError},
    secret::Password,
};
use dizzy_oci::AutonomousDatabases;
use dizzy_sandbox_oci::{Door, Fault, Mishap, Operation, Options, Permission, Rights, Service, WalletRequest};

use crate::world::{World, soon};

const OCID: &str = "ocid1.autonomousdatabase.oc1.iad.orders";
const LIMIT: usize = 64 * 1024;
const OPERATION: Operation = Operation::GenerateAutonomousDatabaseWallet;

struct Scene {
    world: World,
    databases: AutonomousDatabases,
    asked: Arc<Mutex<Vec<WalletRequest>>>,
}

fn scene() -> Scene {
    let asked = Arc::<Mutex<Vec<WalletRequest>>>::default();
    let tell = Arc::clone(&asked);
    let wallet = move |wanted: &WalletRequest| {
        tell.lock().unwrap().push(wanted.clone());
        b"PK\x03\x04the wallet".to_vec()
    };
    let world = World::with(Options { wallet: Arc::new(wallet), ..Options::default() });
    world.oci.create_database(OCID, "orders", "First-Password1");
    let databases = AutonomousDatabases::new(world.clients.clone());
    Scene { world, databases, asked }
}

impl Scene {
    async fn refused(&self, ocid: &str) -> PortError {
        let error = self.databases.generate_wallet(ocid, &password(), LIMIT, soon()).await.unwrap_err();
        assert_eq!(error.certainty, Certainty::Refused, "a wallet that is made changes nothing");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        error
    }
}

fn password() -> Password {
    Password::new("canary-\"Wallet\\1".to_owned())
}

#[tokio::test]
async fn the_service_gets_the_password_and_gives_the_archive() {
    let at = scene();
    let wallet = at.databases.generate_wallet(OCID, &password(), LIMIT, soon()).await.unwrap();
    assert_eq!(wallet.as_slice(), b"PK\x03\x04the wallet");
    let asked = at.asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].database.as_str(), asked[0].password.as_str()), (OCID, password().expose()));
    assert_eq!(asked[0].generate_type, "SINGLE");
    let calls = at.world.oci.log();
    assert!(!calls.is_empty() && calls.iter().all(|call| !call.target.contains("canary")), "a password in a URL");
}

#[tokio::test]
async fn every_refusal_says_what_to_do() {
    let at = scene();
    let error = at.refused("ocid1.autonomousdatabase.oc1.iad.other").await;
    assert_eq!(error.kind, Kind::NotFound);
    assert!(error.hint.unwrap().contains("read autonomous-databases"));
    at.world.oci.set_rights("rotator", &Rights::all().without(Permission::AutonomousDatabaseContentRead)).unwrap();
    assert_eq!(at.refused(OCID).await.kind, Kind::NotFound);
    at.world.oci.set_rights("rotator", &Rights::all()).unwrap();
    for (status, code, kind) in [
        (401, "NotAuthenticated", Kind::Denied),
        (404, "NotAuthorizedOrNotFound", Kind::NotFound),
        (409, "IncorrectState", Kind::Busy),
        (429, "TooManyRequests", Kind::Throttled),
        (400, "InvalidParameter", Kind::Other),
    ] {
        let fault = at.world.oci.inject(Fault::next(OPERATION, Mishap::Refuse(status, code)).always());
        let error = at.refused(OCID).await;
        assert_eq!(error.kind, kind, "{status}");
        assert!(error.code.unwrap().contains(code), "{status}");
        // What may pass is tried three times; a refused signature is tried again only if somebody has renewed it.
        let tries = if matches!(kind, Kind::Busy | Kind::Throttled) { 3 } else { 1 };
        assert_eq!(fault.fired(), tries, "{status}");
        at.world.oci.clear_faults();
    }
    let fault = at.world.oci.inject(Fault::next(OPERATION, Mishap::Refuse(409, "IncorrectState")).always());
    assert!(at.refused(OCID).await.hint.unwrap().contains("present state"));
    assert_eq!(fault.fired(), 3);
}

#[tokio::test]
async fn lost_and_silent_answers_are_borne_and_a_retry_is_the_same_request() {
    for mishap in [Mishap::DropBefore, Mishap::DropAfter, Mishap::Truncate, Mishap::Throttle] {
        let at = scene();
        let fault = at.world.oci.inject(Fault::next(OPERATION, mishap));
        let wallet = at.databases.generate_wallet(OCID, &password(), LIMIT, soon()).await.unwrap();
        assert_eq!((wallet.as_slice(), fault.fired()), (&b"PK\x03\x04the wallet"[..], 1), "{mishap:?}");
        let calls = at.world.oci.log();
        let tokens: Vec<_> = calls.iter().filter_map(|call| call.header("opc-retry-token")).collect();
        assert!(tokens.len() == 2 && tokens[0] == tokens[1] && tokens[0].len() == 32, "{mishap:?}: {tokens:?}");
    }
    let at = scene();
    at.world.oci.set_door(Service::Database, Door::Silent).unwrap();
    let short = Deadline::after(core::time::Duration::from_millis(1600));
    let error = at.databases.generate_wallet(OCID, &password(), LIMIT, short).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Timeout, Certainty::Refused));
    at.world.oci.set_door(Service::Database, Door::Refusing).unwrap();
    assert_eq!(at.refused(OCID).await.kind, Kind::Unreachable);
}

#[tokio::test]
async fn an_archive_that_is_longer_than_any_wallet_is_not_taken_in() {
    let at = scene();
    let long = vec![b'x'; 70_000];
    let world = World::with(Options { wallet: Arc::new(move |_| long.clone()), ..Options::default() });
    world.oci.create_database(OCID, "orders", "First-Password1");
    let databases = AutonomousDatabases::new(world.clients.clone());
    for limit in [10, 69_999] {
        let error = databases.generate_wallet(OCID, &password(), limit, soon()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Malformed, "{limit}");
    }
    assert_eq!(databases.generate_wallet(OCID, &password(), 70_000, soon()).await.unwrap().len(), 70_000);
    drop(at);
}
