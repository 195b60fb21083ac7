//! Who signs: keys in every form, sessions that are renewed, clocks that are wrong, and what each says when it is refused.

use std::{fs, path::Path, sync::Arc};

use dizzy_engine::Timestamp;
use dizzy_host::port::{Certainty, Clock, Kind, PortError, SecretStore as _, SystemClock};
use dizzy_oci::{DEFAULT_PROFILE, OciAuth, OciClients, OciSettings, OciVaultStore};
use dizzy_sandbox_oci::{ConfigFiles, KeyFormat, OciEmulator, Options, Rights, SecretOptions};
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
