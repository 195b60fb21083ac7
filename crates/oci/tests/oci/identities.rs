//! Who signs: keys in every form, sessions that are renewed, clocks that are wrong, and what each says when it is refused.

use std::{fs, path::Path, sync::Arc};

use dizzy_engine::Timestamp;
use dizzy_host::port::{Certainty, Clock, Kind, PortError, SecretStore as _, SystemClock};
use dizzy_oci::{DEFAULT_PROFILE, OciAuth, OciClients, OciSettings, OciVaultStore, ResourcePrincipal};
use dizzy_sandbox_oci::{ConfigFiles, KeyFormat, OciEmulator, Options, PASS_PHRASE, Rights, SecretOptions};
use jiff::SignedDuration;
use tempfile::TempDir;

use crate::world::{World, settings, soon};

fn store(oci: &OciEmulator, files: &ConfigFiles, ocid: &str) -> OciVaultStore {
    OciVaultStore::new(OciClients::new(settings(oci, files)), ocid)
}

async fn fails(store: &OciVaultStore) -> PortError {
    let error = store.current(soon()).await.err().unwrap();
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Denied), "{error:?}");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    error
}

#[expect(clippy::disallowed_methods, reason = "a scratch file of a test")]
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

#[tokio::test]
async fn a_key_in_every_form_signs_and_the_old_encryption_says_how_to_convert_it() {
    let world = World::new();
    let (_, ocid) = world.secret("forms", "value-0");
    for format in KeyFormat::ALL {
        let folder = TempDir::new().unwrap();
        let files = world.principal.write_config(folder.path(), format).unwrap();
        let store = store(&world.oci, &files, &ocid);
        if format == KeyFormat::Pkcs1Encrypted {
            let error = fails(&store).await;
            assert!(error.what.contains("openssl pkcs8 -topk8"), "{}", error.what);
        } else {
            store.current(soon()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_files_is_told_without_what_is_in_them() {
    let world = World::new();
    let (_, ocid) = world.secret("files", "value-0");
    let config = fs::read_to_string(&world.files.config).unwrap();
    let key = fs::read_to_string(&world.files.key).unwrap();

    let elsewhere = |file: &str, profile: &str| {
        let mut settings = settings(&world.oci, &world.files);
        settings.auth =
            OciAuth::ConfigFile { file: world.folder.path().join(file), profile: profile.to_owned(), home: None };
        OciVaultStore::new(OciClients::new(settings), &ocid)
    };
    let error = fails(&elsewhere("nowhere", DEFAULT_PROFILE)).await;
    assert!(error.what.ends_with("nowhere: it does not exist"), "{}", error.what);
    assert!(error.hint.unwrap().contains("OCI_CONFIG_FILE"));
    let error = fails(&elsewhere("config", "PROD")).await;
    assert!(error.what.ends_with("it has no profile [PROD]"), "{}", error.what);

    for (text, end) in [
        (config.replace("tenancy=", "canary="), "has no `tenancy`"),
        (
            config.replace("fingerprint=", "fingerprint=canary\""),
            "`fingerprint` of the profile [DEFAULT] cannot be right",
        ),
        (config.replace("oci_api_key.pem", "nowhere.pem"), "nowhere.pem: it does not exist"),
    ] {
        write(&world.files.config, &text);
        let error = fails(&store(&world.oci, &world.files, &ocid)).await;
        assert!(error.what.ends_with(end), "{}", error.what);
    }
    write(&world.files.config, &config);
    write(&world.files.key, "canary");
    let error = fails(&store(&world.oci, &world.files, &ocid)).await;
    assert!(error.what.ends_with("it holds no private key in PEM form"), "{}", error.what);
    write(&world.files.key, &key);
    store(&world.oci, &world.files, &ocid).current(soon()).await.unwrap();
}

/// A clock that is wrong by so many minutes.
struct WrongClock(i64);

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_ms(self.0 * 60_000)
    }
}

#[tokio::test]
async fn a_key_that_oci_does_not_know_is_told_from_a_clock_that_is_wrong() {
    let world = World::new();
    let (store, ocid) = world.secret("unknown", "value-0");
    let wrong = |minutes| {
        let clock = Arc::new(WrongClock(minutes));
        OciVaultStore::new(OciClients::new(OciSettings { clock, ..settings(&world.oci, &world.files) }), &ocid)
    };
    for (minutes, side) in [(10, "ahead of"), (-10, "behind")] {
        let error = fails(&wrong(minutes)).await;
        let hint = error.hint.unwrap();
        assert!(hint.contains(&format!("s {side} OCI's")), "{hint}");
        assert!(error.code.unwrap().starts_with("NotAuthenticated, opc-request-id "));
    }
    wrong(2).current(soon()).await.unwrap();
    world.oci.forget_principal("rotator");
    world.oci.forget_log();
    let hint = fails(&store).await.hint.unwrap();
    assert!(hint.contains("fingerprint"), "{hint}");
    assert_eq!(world.oci.log().len(), 1, "another try would end alike: the key does not change");
}

#[tokio::test]
async fn a_session_is_read_again_once_when_its_token_is_not_accepted() {
    let oci = OciEmulator::start(Options::default()).unwrap();
    let folder = TempDir::new().unwrap();
    let hour = SignedDuration::from_hours(1);
    let files =
        oci.session("person", Rights::all(), hour).unwrap().write_config(folder.path(), KeyFormat::Pkcs8).unwrap();
    let ocid = oci.create_secret(&SecretOptions::new("session", "value-0")).unwrap();
    let store = store(&oci, &files, &ocid);
    store.current(soon()).await.unwrap();

    // Expired, and not renewed by anybody: read again once, then told.
    oci.set_clock_offset(SignedDuration::from_mins(2));
    let expired = oci.session("person", Rights::all(), SignedDuration::from_mins(-1)).unwrap();
    expired.write_config(folder.path(), KeyFormat::Pkcs8).unwrap();
    let other = OciVaultStore::new(OciClients::new(settings(&oci, &files)), &ocid);
    oci.forget_log();
    let hint = fails(&other).await.hint.unwrap();
    assert!(hint.contains("token may have expired"), "{hint}");
    assert_eq!(oci.log().len(), 2);

    // Renewed, with another key: the same store goes on.
    oci.session("person", Rights::all(), hour).unwrap().write_config(folder.path(), KeyFormat::Pkcs8).unwrap();
    other.current(soon()).await.unwrap();
}

/// The store of a function whose environment names these files.
fn function(oci: &OciEmulator, environment: &[(String, String)], files: &ConfigFiles, ocid: &str) -> OciVaultStore {
    let variable = |name: &str| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let auth = OciAuth::ResourcePrincipal(ResourcePrincipal::from_variables(variable).unwrap());
    OciVaultStore::new(OciClients::new(OciSettings { auth, ..settings(oci, files) }), ocid)
}

#[tokio::test]
async fn a_function_signs_with_what_the_platform_gives_it_and_renews() {
    let world = World::new();
    let (_, ocid) = world.secret("function", "value-0");
    let folder = TempDir::new().unwrap();
    let give = |minutes, format| {
        let session = world.oci.session("function", Rights::all(), SignedDuration::from_mins(minutes)).unwrap();
        session.write_resource_principal(folder.path(), format).unwrap()
    };
    for format in [KeyFormat::Pkcs8, KeyFormat::Pkcs1, KeyFormat::Pkcs8Encrypted] {
        let environment = give(15, format);
        function(&world.oci, &environment, &world.files, &ocid).current(soon()).await.unwrap();
    }

    // In use while the token comes near its end: read again before it does, without a refusal in between.
    let environment = give(1, KeyFormat::Pkcs8);
    let store = function(&world.oci, &environment, &world.files, &ocid);
    store.current(soon()).await.unwrap();
    let old = fs::read_to_string(folder.path().join("rpst")).unwrap();
    give(15, KeyFormat::Pkcs8);
    world.oci.forget_log();
    store.current(soon()).await.unwrap();
    let log = world.oci.log();
    assert_eq!((log.len(), log[0].status, log[0].sent(&old)), (1, Some(200), false));

    // Thawed after the token was taken back: one refusal, one look at the files.
    world.oci.forget_principal("function");
    let revoked = fails(&store).await;
    assert!(revoked.hint.unwrap().contains("token may have expired"));
    give(15, KeyFormat::Pkcs8);
    store.current(soon()).await.unwrap();
}

#[tokio::test]
async fn a_function_may_be_given_values_instead_of_files() {
    let world = World::new();
    let (_, ocid) = world.secret("inline", "value-0");
    let session = world.oci.session("inline", Rights::all(), SignedDuration::from_mins(15)).unwrap();
    let environment = [
        ("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2".to_owned()),
        ("OCI_RESOURCE_PRINCIPAL_RPST", session.token().to_owned()),
        ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", session.private_key_pem(KeyFormat::Pkcs8Encrypted).unwrap()),
        ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE", PASS_PHRASE.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let store = function(&world.oci, &environment, &world.files, &ocid);
    store.current(soon()).await.unwrap();
    world.oci.forget_principal("inline");
    world.oci.forget_log();
    fails(&store).await;
    assert_eq!(world.oci.log().len(), 1, "there is nothing to read again");
}
