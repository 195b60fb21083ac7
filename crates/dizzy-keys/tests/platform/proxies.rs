//! A rotation behind a company's proxy: both clouds under their own names, which nothing here could resolve, and a webhook.

use std::fs;

use dizzy_sandbox::{
    Certificates, ConnectProxy, Manner, OracleUsers, Receiver, SET, ServerCertificate, Users, two_clouds::TwoClouds,
};
use dizzy_sandbox_oci::Service;

use crate::common::{Told, binary, error};

const SECRETS_MANAGER: &str = "secretsmanager.us-west-2.amazonaws.com";
const HOSTS: [(&str, Service); 3] = [
    ("vaults.us-ashburn-1.oci.oraclecloud.com", Service::Vaults),
    ("secrets.vaults.us-ashburn-1.oci.oraclecloud.com", Service::Secrets),
    ("objectstorage.us-ashburn-1.oraclecloud.com", Service::ObjectStorage),
];
const CREDENTIALS: &str = "rotator:canary-proxy-password";

struct World {
    at: TwoClouds,
    certificates: Certificates,
    receiver: Receiver,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let at = TwoClouds::start(binary(), Users::Alternating, OracleUsers::Alternating).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::create(folder.path()).unwrap();
        let receiver = Receiver::start(&certificates, ServerCertificate::Good, &["204"]).unwrap();
        let text = fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
        let ca = certificates.ca_file().display().to_string();
        let notify =
            format!("\n[[notify.receivers]]\nwebhook = \"env:HOOK\"\ntls_ca = \"file:{ca}\"\non = [\"promoted\"]\n");
        at.write("dizzy-keys.toml", text + &notify).unwrap();
        at.prepare().unwrap();
        Self { at, certificates, receiver, _folder: folder }
    }

    fn proxy(&self, manner: Manner) -> ConnectProxy {
        let port = |endpoint: &str| endpoint.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
        let mut hosts = vec![(SECRETS_MANAGER, port(&self.at.moto.endpoint()))];
        hosts.extend(HOSTS.map(|(host, service)| (host, port(&self.at.oci.endpoint(service)))));
        ConnectProxy::start(&self.certificates, manner, &hosts).unwrap()
    }

    /// The product without any address of a service, and with these variables.
    fn run(&self, variables: &[(&str, &str)], args: &[&str]) -> Told {
        let mut command = self.at.command(args);
        for (name, _) in self.at.env() {
            if name.starts_with("OCI_ENDPOINT_") || name == "AWS_ENDPOINT_URL" {
                command.env_remove(name);
            }
        }
        command.env("HOOK", self.receiver.url()).env("DIZZY_KEYS_EXTRA_ROOTS", self.certificates.ca_file());
        Told::of(&command.envs(variables.iter().copied()).output().unwrap())
    }
}

#[test]
fn both_clouds_and_webhooks_are_reached_through_the_proxy_and_databases_are_not() {
    let world = World::new();
    let proxy = world.proxy(Manner::Asks(CREDENTIALS));
    let url = format!("http://{CREDENTIALS}@127.0.0.1:{}", proxy.port());
    // What is plain http goes through none, whatever says so.
    let through = [("HTTPS_PROXY", url.as_str()), ("HTTP_PROXY", url.as_str())];
    let told = world.run(&through, &["-vvv", "--log-format", "json", "rotate", SET]).expect(0);
    assert_eq!(world.at.dead().unwrap(), Vec::<String>::new());
    assert_eq!(world.receiver.requests(1).len(), 1);
    let webhook = format!("CONNECT localhost:{} 200", world.receiver.port());
    let mut expected: Vec<String> = HOSTS.iter().map(|(host, _)| format!("CONNECT {host}:443 200")).collect();
    expected.extend([format!("CONNECT {SECRETS_MANAGER}:443 200"), webhook.clone()]);
    let asked = proxy.asked(expected.len());
    for one in &expected {
        assert!(asked.contains(one), "{one}: {asked:?}");
    }
    assert!(asked.iter().all(|one| expected.contains(one)), "neither a database nor anything else: {asked:?}");
    let mut said = told.out + &told.err;

    // What NO_PROXY names is left alone; lower-case names count as well.
    let less = [("https_proxy", url.as_str()), ("no_proxy", "127.0.0.1, localhost")];
    let told = world.run(&less, &["-vvv", "rotate", SET]).expect(0);
    said.push_str(&(told.out + &told.err));
    assert_eq!(world.receiver.requests(2).len(), 2);
    let before = asked.len();
    let asked = proxy.asked(before + 4);
    assert!(asked.len() > before && !asked[before..].contains(&webhook), "{asked:?}");

    // The instance's metadata service is asked directly: here nobody listens, and the proxy does not hear of it.
    let before = asked.len();
    let nowhere = "http://127.0.0.1:9";
    let metadata = [
        ("HTTPS_PROXY", url.as_str()),
        ("HTTP_PROXY", url.as_str()),
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", nowhere),
    ];
    let told = world.run(&metadata, &["--output", "json", "rotate", SET]).expect(1);
    assert!(error(&told, "no credentials")["hint"].as_str().unwrap().contains("AWS credentials"), "{}", told.err);
    assert!(proxy.asked(0)[before..].iter().all(|one| one.starts_with("CONNECT ") && !one.contains(":9 ")));
    said.push_str(&(told.out + &told.err));

    for folder in ["journal", "audit"] {
        for entry in fs::read_dir(world.at.path(folder)).unwrap() {
            said.push_str(&fs::read_to_string(entry.unwrap().path()).unwrap_or_default());
        }
    }
    assert!(said.len() > 1000 && !said.contains("canary-proxy"), "{said}");
}

#[test]
fn a_proxy_that_does_not_help_is_told_and_nothing_is_changed() {
    let world = World::new();
    let before = (world.at.published().unwrap(), world.at.register().unwrap()["current"].clone());
    let fails = |story: &str, url: &str, exit: i32, code: &str, says: &[&str]| {
        let told = world.run(&[("HTTPS_PROXY", url)], &["--output", "json", "rotate", SET]).expect(exit);
        let found = error(&told, story);
        assert_eq!(found["code"], code, "{story}: {found}");
        for text in says {
            assert!(found.to_string().contains(text), "{story}: no `{text}` in {found}");
        }
        assert!(!(told.out + &told.err).contains("canary"), "{story}: {}", told.err);
    };
    let at = |proxy: &ConnectProxy, user: &str| format!("http://{user}127.0.0.1:{}", proxy.port());
    let refusing = world.proxy(Manner::Refuses(403));
    fails("refused", &at(&refusing, ""), 1, "DK-307", &["the proxy refused", "NO_PROXY"]);
    assert!(refusing.asked(1).iter().all(|one| one.ends_with(" 403")));
    let asking = world.proxy(Manner::Asks(CREDENTIALS));
    let others = at(&asking, "rotator:canary-other@");
    fails("not with these", &others, 1, "DK-302", &["HTTP 407", "USER:PASSWORD"]);
    assert!(asking.asked(1).iter().all(|one| one.ends_with(" 407")));
    let gone = at(&asking, "rotator:canary-other@");
    drop(asking);
    fails("gone", &gone, 1, "DK-307", &["the proxy does not answer", "HTTPS_PROXY"]);
    fails("another kind", "socks5://canary@127.0.0.1:1080", 2, "DK-105", &["HTTPS_PROXY", "http://HOST:PORT"]);
    assert_eq!((world.at.published().unwrap(), world.at.register().unwrap()["current"].clone()), before);
    world.run(&[("HTTPS_PROXY", &at(&world.proxy(Manner::Open), ""))], &["rotate", SET]).expect(0);
    assert_eq!(world.at.dead().unwrap(), Vec::<String>::new());
}
