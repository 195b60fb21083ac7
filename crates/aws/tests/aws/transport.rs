//! Where calls go and whom they trust: AWS's own environment, private roots, no plaintext, and bounded searching.

use core::time::Duration;
use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, TcpListener},
    process::{Command, Stdio},
};

use dizzy_aws::{AwsClients, AwsSecretReader, AwsSettings, SecretsManagerStore};
use dizzy_host::port::{Certainty, Deadline, Kind, PortError, SecretReader as _, SecretStore as _, VersionId};
use dizzy_sandbox::{
    Certificates, ServerCertificate, SilentHost,
    moto::{Moto, REGION},
};
use serde_json::json;

use crate::world::{World, settings, soon};

/// How a write ends that cannot succeed: there are no such versions.
async fn write(settings: AwsSettings, deadline: Deadline) -> PortError {
    let store = SecretsManagerStore::new(AwsClients::load(settings), "transport", "orders");
    let (from, to) = (VersionId("0".repeat(32)), VersionId("1".repeat(32)));
    store.promote(&from, &to, deadline).await.unwrap_err()
}

#[tokio::test]
async fn what_never_left_is_refused_and_says_what_to_check() {
    // A port that nobody listens on: taken, then given back.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let error = write(settings(&format!("http://127.0.0.1:{port}")), soon()).await;
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Unreachable), "{error:?}");
    assert!(error.hint.unwrap().contains("AWS_ENDPOINT_URL"));

    let error = write(settings("http://10.255.255.1"), soon()).await;
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Tls), "plaintext is not tried: {error:?}");

    // TLS is begun and never finished: the connection is given up after its own limit, and nothing was sent.
    let silent = SilentHost::start().unwrap();
    let error = write(settings(&format!("https://localhost:{}", silent.port().unwrap())), soon()).await;
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Unreachable), "{error:?}");
}

#[tokio::test]
async fn tls_is_verified_against_public_and_additional_roots() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let folder = std::path::Path::new(folder).join(format!("aws-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let certificates = Certificates::create(&folder).unwrap();
    for which in ServerCertificate::ALL {
        let moto = Moto::start_with_tls(&certificates.certificate_file(which), &certificates.key_file(which)).unwrap();
        moto.create_secret("transport", "value-0").unwrap();
        let mut trusting = settings(&moto.tls_endpoint().unwrap());
        let error = write(trusting.clone(), soon()).await;
        assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Tls), "{which:?}, not trusted: {error:?}");
        trusting.extra_roots = Some(certificates.ca_pem().as_bytes().to_vec());
        let error = write(trusting, soon()).await;
        if which == ServerCertificate::Good {
            assert_eq!(error.code.as_deref(), Some("InvalidParameterException"), "answered: {error:?}");
        } else {
            assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Tls), "{which:?}: {error:?}");
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_environment_alone_is_enough() {
    const NAME: &str = "transport::the_environment_alone_is_enough";
    if env::var_os(CHILD).is_some() {
        let clients = AwsClients::load(AwsSettings::default());
        let store = SecretsManagerStore::new(clients.clone(), "from-env", "orders");
        println!("\nsecret {}", store.current(soon()).await.unwrap().value.expose());
        let parameter = AwsSecretReader::new(clients).read(&"aws-ssm:/from-env".parse().unwrap(), soon()).await;
        println!("parameter {}", parameter.unwrap().expose());
        return;
    }
    let (world, other) = (World::new(), Moto::start().unwrap());
    world.moto.create_secret("from-env", "value-0").unwrap();
    let input = json!({"Name": "/from-env", "Value": "elsewhere", "Type": "SecureString"});
    other.call("ssm", "PutParameter", &input).unwrap();
    // SSM is at another address than the rest, as with one interface endpoint per service.
    let mut environment = world.moto.env();
    environment.push(("AWS_ENDPOINT_URL_SSM".to_owned(), other.endpoint()));
    assert_eq!(in_child(NAME, &environment), ["secret value-0", "parameter elsewhere"]);

    // The same from a profile, by AWS_PROFILE.
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("aws-profile-{}", std::process::id()));
    let profile = format!(
        "[profile work]\nregion = {REGION}\nendpoint_url = {}\nservices = other\naws_access_key_id = a\n\
         aws_secret_access_key = b\n[services other]\nssm =\n  endpoint_url = {}\n",
        world.moto.endpoint(),
        other.endpoint()
    );
    #[expect(clippy::disallowed_methods, reason = "a scratch file of a test")]
    fs::write(&file, profile).unwrap();
    let environment = [
        ("AWS_CONFIG_FILE".to_owned(), file.display().to_string()),
        ("AWS_SHARED_CREDENTIALS_FILE".to_owned(), "/dev/null".to_owned()),
        ("AWS_PROFILE".to_owned(), "work".to_owned()),
        ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
    ];
    assert_eq!(in_child(NAME, &environment), ["secret value-0", "parameter elsewhere"]);
    fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn without_region_or_credentials_the_search_ends_soon_with_a_hint() {
    const NAME: &str = "transport::without_region_or_credentials_the_search_ends_soon_with_a_hint";
    if env::var_os(CHILD).is_some() {
        let clients = AwsClients::load(AwsSettings::default());
        let store = SecretsManagerStore::new(clients.clone(), "x", "orders");
        // The deadline is far away: what comes back before it is the search's own end.
        let far = Deadline::after(Duration::from_secs(50));
        for error in [
            store.current(far).await.err().unwrap(),
            write(AwsSettings::default(), far).await,
            AwsSecretReader::new(clients).read(&"aws-ssm:/x".parse().unwrap(), far).await.unwrap_err(),
        ] {
            println!("\nsaid {:?} {:?} {}", error.certainty, error.kind, error.hint.unwrap());
        }
        println!("left {}", far.left() > Duration::from_secs(35));
        return;
    }
    // The metadata service of this machine accepts and stays silent: the worst that a firewall can do.
    let silent = SilentHost::start().unwrap();
    let mut environment = vec![
        ("AWS_CONFIG_FILE".to_owned(), "/dev/null".to_owned()),
        ("AWS_SHARED_CREDENTIALS_FILE".to_owned(), "/dev/null".to_owned()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned(), format!("http://127.0.0.1:{}", silent.port().unwrap())),
        ("AWS_ENDPOINT_URL".to_owned(), format!("http://127.0.0.1:{}", silent.port().unwrap())),
    ];
    for expected in ["AWS_REGION", "AWS_PROFILE"] {
        let said = in_child(NAME, &environment);
        assert_eq!(said.last().map(String::as_str), Some("left true"), "{said:?}");
        assert_eq!(said.len(), 4, "{said:?}");
        for line in &said[..3] {
            assert!(line.starts_with("said Refused Denied ") && line.contains(expected), "{line}");
        }
        environment.push(("AWS_REGION".to_owned(), REGION.to_owned()));
    }
}

const CHILD: &str = "DIZZY_TEST_CHILD";

/// Runs the named test of this program again, in this environment and no other, and returns the lines that it printed.
fn in_child(name: &str, environment: &[(String, String)]) -> Vec<String> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env_clear()
        .envs(environment.iter().cloned())
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let wanted = ["secret ", "parameter ", "said ", "left "];
    let said = lines.filter(|line| wanted.iter().any(|start| line.starts_with(start))).collect();
    assert!(child.wait().unwrap().success());
    said
}
