//! An installation in two clouds whose register and trail are in buckets, and the image in each of its three places.
//!
//! What a container needs of this machine is in one folder that it may read. Each place has the identity that it has in
//! production: a role in Lambda (and a key to OCI in a secret), the resource principal in Functions, a profile on a command line.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use dizzy_sandbox::{
    Container, FnAgent, Image, LambdaApi, OracleUsers, SET, TwoClouds, Users,
    docker::{Ended, Plan},
    moto::BucketKind,
    platform::{Answered, Event},
};
use dizzy_sandbox_oci::{BucketOptions, KeyFormat, NAMESPACE, REGION, Rights, Session, Settle, TENANCY};
use serde_json::{Value, json};

use crate::{
    common::binary,
    world::{BUCKET, World},
};

/// Where a container finds that folder.
const INSIDE: &str = "/box";
/// Where Functions mounts the folder of its socket.
const SOCKETS: &str = "/tmp/iofs";
/// Where Functions mounts the resource principal.
const PRINCIPAL: &str = "/var/run/principal";
const TRAIL: &str = "trail";

/// The installation.
pub(crate) struct Boxes {
    pub(crate) world: World,
    pub(crate) image: Image,
    folder: PathBuf,
}

/// A container that is a function in Lambda.
pub(crate) struct Lambda {
    pub(crate) api: LambdaApi,
    pub(crate) container: Container,
}

/// A container that is a function in OCI.
pub(crate) struct Functions {
    pub(crate) agent: FnAgent,
    pub(crate) container: Container,
}

/// The image that is tested: what `DIZZY_TEST_IMAGE` names, else the one of the last `make test-image`.
pub(crate) fn image() -> Image {
    #[expect(clippy::disallowed_methods, reason = "how `make image-test` says what to test")]
    if let Ok(name) = std::env::var("DIZZY_TEST_IMAGE") {
        return Image::named(&name).unwrap();
    }
    let target = binary().parent().unwrap().parent().unwrap();
    Image::named_in(&target.join("image/debug/id")).unwrap()
}

impl Boxes {
    /// Prepared, at its first generation.
    pub(crate) fn new() -> Self {
        // First, so that a machine without an engine says so at once.
        let image = image();
        let at = TwoClouds::start(binary(), Users::Alternating, OracleUsers::Alternating).unwrap();
        at.oci.set_settle(Settle::AfterPolls(1));
        at.moto.create_bucket(BUCKET, BucketKind::Versioned).unwrap();
        at.moto.create_bucket(TRAIL, BucketKind::Versioned).unwrap();
        at.oci.create_bucket(TRAIL, &BucketOptions::new()).unwrap();
        let path = at.path("").display().to_string();
        let path = path.trim_end_matches('/');
        let text = fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
        let text = replaced(&text, &format!("file:{path}/journal"), &format!("s3://{BUCKET}/journal"));
        let text = replaced(&text, &format!("file:{path}/audit\""), &format!("s3://{TRAIL}/dizzy\""));
        let text = replaced(&text, &format!("file:{path}/audit-copy"), &format!("oci://{NAMESPACE}/{TRAIL}/dizzy"));
        at.write("dizzy-keys.toml", &text).unwrap();
        at.prepare().unwrap();

        let folder = at.path("box");
        fs::create_dir(&folder).unwrap();
        let authority = at.postgres.certificates().ca_file();
        for (from, to) in [
            (authority.as_path(), "ca.pem"),
            (&at.path("audit-key"), "audit-key"),
            (&at.path("wallet-password"), "wallet-password"),
        ] {
            fs::copy(from, folder.join(to)).unwrap();
        }
        let text = replaced(&text, &authority.display().to_string(), &format!("{INSIDE}/ca.pem"));
        let text = replaced(&text, path, INSIDE);
        let boxes = Self { world: World { at }, image, folder };
        boxes.write("dizzy-keys.toml", &text);
        boxes.write("lambda.toml", &format!("{text}[oci]\nkey = \"aws-sm:ops/oci-key\"\n"));
        let user = boxes.world.at.oci.principal("person", Rights::all()).unwrap();
        let files = user.write_config(&boxes.folder, KeyFormat::Pkcs8).unwrap();
        let inside = replaced(&fs::read_to_string(&files.config).unwrap(), &folder_text(&boxes.folder), INSIDE);
        boxes.write("config", &inside);
        boxes.open_to_containers();
        boxes.world.at.moto.create_secret("ops/oci-key", &boxes.key_to_oci("lambda-1")).unwrap();
        boxes
    }

    /// A key to OCI for a new user of this name, as a secret holds it.
    pub(crate) fn key_to_oci(&self, name: &str) -> String {
        let user = self.world.at.oci.principal(name, Rights::all()).unwrap();
        let key = user.private_key_pem(KeyFormat::Pkcs8).unwrap();
        json!({"tenancy": TENANCY, "user": user.user(), "fingerprint": user.fingerprint(), "region": REGION, "key": key})
            .to_string()
    }

    fn write(&self, name: &str, text: &str) {
        self.world.at.write(&format!("box/{name}"), text).unwrap();
    }

    /// The folder above stays closed to other users of this machine.
    fn open_to_containers(&self) {
        fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o755)).unwrap();
        for file in fs::read_dir(&self.folder).unwrap() {
            fs::set_permissions(file.unwrap().path(), fs::Permissions::from_mode(0o644)).unwrap();
        }
    }

    /// The image, with where the clouds are and which image it is.
    fn plan(&self, args: &[&str]) -> Plan {
        let at = &self.world.at;
        let mut env = [at.moto.env(), at.oci.endpoint_env()].concat();
        env.push(("DIZZY_KEYS_IMAGE".to_owned(), self.image.id().to_owned()));
        self.image.run(args).env(env).reads(&self.folder, INSIDE)
    }

    fn configured(&self, name: &str) -> Vec<(String, String)> {
        vec![("DIZZY_KEYS_CONFIG".to_owned(), format!("{INSIDE}/{name}"))]
    }

    /// To run where this environment says that a Runtime API is.
    pub(crate) fn lambda_plan(&self, platform: Vec<(String, String)>) -> Plan {
        self.plan(&[]).env(self.configured("lambda.toml")).env(platform)
    }

    /// What the next call in Lambda reads.
    pub(crate) fn configure_lambda(&self, text: &str) {
        self.write("lambda.toml", text);
        self.open_to_containers();
    }

    pub(crate) fn lambda(&self) -> Lambda {
        let api = LambdaApi::start().unwrap();
        let container = self.lambda_plan(api.env()).start().unwrap();
        Lambda { api, container }
    }

    /// A session of a function, and its files where the platform puts them.
    pub(crate) fn session(&self, name: &str) -> Session {
        let session = self.world.at.oci.session(name, Rights::all(), jiff::SignedDuration::from_hours(1)).unwrap();
        self.give(&session);
        session
    }

    /// Writes a session's files, as the platform does before their end.
    pub(crate) fn give(&self, session: &Session) -> Vec<(String, String)> {
        let folder = self.world.at.path("principal");
        if !folder.exists() {
            fs::create_dir(&folder).unwrap();
        }
        let env = session.write_resource_principal(&folder, KeyFormat::Pkcs8).unwrap();
        for file in fs::read_dir(&folder).unwrap() {
            fs::set_permissions(file.unwrap().path(), fs::Permissions::from_mode(0o644)).unwrap();
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let inside = |value: String| value.replace(&folder_text(&folder), PRINCIPAL);
        env.into_iter().map(|(name, value)| (name, inside(value))).collect()
    }

    pub(crate) fn functions(&self) -> Functions {
        let name = format!("function-{}", self.world.at.oci.log().len());
        let session = self.session(&name);
        self.functions_with(&session)
    }

    pub(crate) fn functions_with(&self, session: &Session) -> Functions {
        let mut agent = FnAgent::start().unwrap();
        let principal = self.give(session);
        let plan = self.plan(&[]).env(self.configured("dizzy-keys.toml")).env(principal);
        let plan = plan.env(agent.env_in(Path::new(SOCKETS))).writes(agent.folder(), SOCKETS);
        let container = plan.reads(&self.world.at.path("principal"), PRINCIPAL).start().unwrap();
        agent.connect().unwrap();
        Functions { agent, container }
    }

    /// A command, to its end.
    pub(crate) fn command(&self, args: &[&str]) -> Ended {
        let args = [&["--config", "/box/dizzy-keys.toml", "--output", "json"], args].concat();
        let profile = [("OCI_CONFIG_FILE".to_owned(), format!("{INSIDE}/config"))];
        self.plan(&args).env(profile).to_its_end().unwrap()
    }

    /// The records of the trail, in the order in which they were written.
    pub(crate) fn records(&self) -> Vec<Value> {
        let out = self.world.at.must(&["--output", "json", "audit", "show", SET]).unwrap();
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What a dead worker's lease comes to; before its first write there is none.
    pub(crate) fn end_the_lease(&self) {
        if self.world.register()["owner"].is_object() {
            self.world.end_the_lease();
        }
    }
}

impl Lambda {
    pub(crate) fn call(&self, event: &Value) -> Answered {
        self.api.invoke(&Event::new(event.to_string()).within(std::time::Duration::from_secs(120)))
    }

    pub(crate) fn must(&self, event: &Value) -> Value {
        match self.call(event) {
            Answered::Response(document) => document,
            other @ (Answered::Error { .. } | Answered::TimedOut) => {
                panic!("{event}: {other:?}\n{:?}", self.container.said())
            }
        }
    }
}

impl Functions {
    pub(crate) fn must(&mut self, event: &Value) -> Value {
        let answer = self.agent.call(&[("Fn-Call-Id", "01CALL")], event.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{event}: {}", answer.body);
        answer.body
    }
}

pub(crate) fn recover() -> Value {
    json!({"action": "recover"})
}

fn folder_text(folder: &Path) -> String {
    folder.display().to_string()
}

/// A replacement that must find its place.
pub(crate) fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from} in {text}");
    text.replace(from, to)
}
