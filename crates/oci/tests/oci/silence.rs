//! Whatever the program logs at, nothing secret is in it: no value, no key, no token, no signature.

use std::{
    fs,
    io::{self, Write},
    sync::{Arc, Mutex},
};

use dizzy_host::{
    port::{SecretReader as _, SecretStore as _},
    secret::Password,
};
use dizzy_oci::{
    AutonomousDatabases, InstancePrincipal, OciAuth, OciClients, OciSecretReader, OciSettings, PreauthenticatedUrl,
    UrlSettings,
};
use dizzy_sandbox_oci::{BucketOptions, Fault, KeyFormat, Mishap, Operation, PASS_PHRASE, Rights};
use jiff::SignedDuration;
use tempfile::TempDir;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::world::{World, name, settings, soon, text, version};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Captured {
    fn holds(&self, needle: &str) -> bool {
        let log = self.0.lock().unwrap();
        let log = String::from_utf8_lossy(&log);
        log.contains(needle) || log.contains(&needle.escape_debug().to_string())
    }
}

#[tokio::test]
async fn no_secret_reaches_a_log_that_takes_everything() {
    let log = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("trace"))
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    tracing::trace!(target: "hyper", "planted-canary");
    assert!(log.holds("planted-canary"), "the log takes everything");

    let world = World::new();
    let session = world.oci.session("session", Rights::all(), SignedDuration::from_hours(1)).unwrap();
    let folder = TempDir::new().unwrap();
    let files = session.write_config(folder.path(), KeyFormat::Pkcs8Encrypted).unwrap();
    let (_, ocid) = world.secret("quiet", "{\"password\":\"canary-published\"}");
    let clients = OciClients::new(settings(&world.oci, &files));
    let store = dizzy_oci::OciVaultStore::new(clients.clone(), &ocid);
    store.current(soon()).await.unwrap();
    let one = store.stage(&name(1), &text("canary-staged"), soon()).await.unwrap();
    store.read(&one, soon()).await.unwrap();
    store.promote(&version(1), &one, soon()).await.unwrap();
    let mut errors = String::new();
    let mishaps = [Mishap::DropBefore, Mishap::Refuse(400, "canary-code"), Mishap::Throttle, Mishap::Garbage];
    for (generation, mishap) in (2..).zip(mishaps) {
        let fault = world.oci.inject(Fault::next(Operation::UpdateSecret, mishap));
        if let Err(error) = store.stage(&name(generation), &text("canary-failed"), soon()).await {
            errors.push_str(&format!("{error} {error:?}"));
        }
        assert_eq!(fault.fired(), 1);
    }
    world.oci.create_bucket("wallets", &BucketOptions::new()).unwrap();
    world.oci.put_object("wallets", "orders.zip", "canary-wallet").unwrap();
    let url = world.oci.read_url("wallets", "orders.zip", SignedDuration::from_hours(1)).unwrap();
    let secret = text(&url);
    let opened = PreauthenticatedUrl::new(&secret, "env:WALLET_URL").unwrap();
    opened.fetch(1024, &UrlSettings::default(), soon()).await.unwrap();
    let fault = world.oci.inject(Fault::next(Operation::PreauthenticatedGet, Mishap::DropBefore).always());
    errors.push_str(&format!("{:?}", opened.fetch(1024, &UrlSettings::default(), soon()).await.unwrap_err()));
    assert_eq!(fault.fired(), 3);
    world.oci.create_database("ocid1.autonomousdatabase.oc1.iad.x", "x", "First-Password1");
    let databases = AutonomousDatabases::new(clients.clone());
    let password = Password::new("canary-Wallet-1".to_owned());
    let database = "ocid1.autonomousdatabase.oc1.iad.x";
    databases.generate_wallet(database, &password, 1024, soon()).await.unwrap();
    let token = url.split('/').nth(4).unwrap().to_owned();
    let reader = OciSecretReader::new(clients);
    reader.read(&format!("oci-vault:{ocid}").parse().unwrap(), soon()).await.unwrap();

    let instance = world.oci.instance("quiet", Rights::all()).unwrap();
    let auth = OciAuth::InstancePrincipal(InstancePrincipal::at(&world.oci.metadata_url()).unwrap());
    errors.push_str(&format!("{auth:?}"));
    let as_instance = OciClients::new(OciSettings { auth, ..settings(&world.oci, &files) });
    dizzy_oci::OciVaultStore::new(as_instance, &ocid).current(soon()).await.unwrap();
    let instance_key = instance.private_key_pem(KeyFormat::Pkcs1).unwrap();
    let answered = world.oci.log().into_iter().any(|logged| logged.answered(instance_key.lines().nth(15).unwrap()));
    assert!(answered, "the key of the certificate was read");

    let key = fs::read_to_string(&files.key).unwrap();
    let key_line = key.lines().nth(3).unwrap();
    let sent = world.oci.log();
    assert!(sent.iter().any(|logged| logged.sent(session.token())), "the session was used");
    for needle in [
        "canary-published",
        "canary-staged",
        "canary-failed",
        "canary-code",
        "canary-wallet",
        password.expose(),
        PASS_PHRASE,
        session.token(),
        key_line,
        instance_key.lines().nth(15).unwrap(),
        token.as_str(),
    ] {
        assert!(!log.holds(needle), "{needle} was logged");
        assert!(!errors.contains(needle), "{needle} is in an error");
    }
    for encoded in ["Y2FuYXJ5LXN0YWdlZA==", "signature=", "ST$"] {
        assert!(!log.holds(encoded), "{encoded} was logged");
    }
    let signed = sent.iter().filter_map(|logged| logged.header("authorization"));
    let signatures: Vec<&str> = signed.filter_map(|header| header.split("signature=\"").nth(1)).collect();
    assert!(signatures.len() > 10);
    assert!(!signatures.iter().any(|signature| log.holds(signature)), "a signature was logged");
}
