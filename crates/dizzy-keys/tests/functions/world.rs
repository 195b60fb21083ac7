//! An installation in two clouds whose register is in a bucket, and the binary as a function in either.

use std::process::Command;

use dizzy_sandbox::{
    FnAgent, LambdaApi, OracleUsers, SET, Users,
    moto::BucketKind,
    platform::{Answered, Event},
    two_clouds::{AWS_SECRET, ORACLE, POSTGRES, TwoClouds},
};
use dizzy_sandbox_oci::{KeyFormat, Rights, Settle};
use serde_json::{Value, json};

use crate::common::{Running, Told, binary};

pub(crate) const BUCKET: &str = "registers";
const KEY: &str = "journal/orders.json";

pub(crate) struct World {
    pub(crate) at: TwoClouds,
}

/// A function in Lambda.
pub(crate) struct Lambda {
    pub(crate) api: LambdaApi,
    pub(crate) process: Running,
}

impl World {
    /// Prepared, with its register in S3.
    pub(crate) fn new(postgres: Users, oracle: OracleUsers) -> Self {
        let at = TwoClouds::start(binary(), postgres, oracle).unwrap();
        at.oci.set_settle(Settle::AfterPolls(1));
        at.moto.create_bucket(BUCKET, BucketKind::Versioned).unwrap();
        let text = std::fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
        let folder = format!("file:{}", at.path("journal").display());
        assert!(text.contains(&folder));
        let text = text.replace(&folder, &format!("s3://{BUCKET}/journal"));
        let text = ["audit-copy", "audit"].iter().fold(text, |text, name| {
            let sink = format!("file:{}\"", at.path(name).display());
            assert_eq!(text.matches(&sink).count(), 1, "{sink}");
            text.replace(&sink, &format!("s3://{BUCKET}/{name}\""))
        });
        at.write("dizzy-keys.toml", text).unwrap();
        at.prepare().unwrap();
        Self { at }
    }

    pub(crate) fn alternating() -> Self {
        Self::new(Users::Alternating, OracleUsers::Alternating)
    }

    /// The binary with nothing but what a platform sets, and where its configuration is.
    pub(crate) fn function(&self, config: &str, platform: &[(String, String)]) -> Command {
        let mut command = Command::new(binary());
        command.env_clear().envs(self.at.env()).env("DIZZY_KEYS_CONFIG", config).envs(platform.iter().cloned());
        command.current_dir(self.at.path(""));
        command
    }

    pub(crate) fn config(&self) -> String {
        self.at.path("dizzy-keys.toml").display().to_string()
    }

    pub(crate) fn lambda(&self) -> Lambda {
        self.lambda_with(&self.config())
    }

    pub(crate) fn lambda_with(&self, config: &str) -> Lambda {
        let api = LambdaApi::start().unwrap();
        let process = Running::spawn(&mut self.function(config, &api.env()));
        Lambda { api, process }
    }

    /// A function in OCI, with the identity that the platform gives it and no other.
    pub(crate) fn functions(&self) -> (FnAgent, Running) {
        let mut agent = FnAgent::start().unwrap();
        let hour = jiff::SignedDuration::from_hours(1);
        let session = self.at.oci.session("function", Rights::all(), hour).unwrap();
        let mut env = session.write_resource_principal(&self.at.path(""), KeyFormat::Pkcs8).unwrap();
        env.extend(agent.env());
        let process = Running::spawn(self.function(&self.config(), &env).env_remove("OCI_CONFIG_FILE"));
        agent.connect().unwrap();
        (agent, process)
    }

    pub(crate) fn register(&self) -> Value {
        serde_json::from_slice(&self.at.moto.object(BUCKET, KEY).unwrap().unwrap()).unwrap()
    }

    /// What half a minute of waiting does to a dead worker's lease.
    pub(crate) fn end_the_lease(&self) {
        let mut register = self.register();
        register["owner"]["until"] = 0.into();
        self.at.moto.put_object(BUCKET, KEY, register.to_string().as_bytes()).unwrap();
    }

    pub(crate) fn current(&self) -> u64 {
        self.register()["current"].as_u64().unwrap()
    }

    /// Both stores publish the same, it logs in everywhere, and the register is at rest.
    pub(crate) fn assert_at_rest(&self, story: &str) {
        let [aws, vault] = self.at.published().unwrap();
        for database in [POSTGRES, ORACLE] {
            assert!(aws.credential(database) == vault.credential(database), "{story}: the stores differ on {database}");
        }
        assert_eq!(self.at.dead().unwrap(), Vec::<String>::new(), "{story}");
        let register = self.register();
        assert_eq!(
            (register["phase"].as_str(), &register["next"]),
            (Some("idle"), &Value::Null),
            "{story}: {register}"
        );
    }

    /// Everything that must not change when a call changes nothing.
    pub(crate) fn snapshot(&self) -> Vec<String> {
        let mut register = self.register();
        for name in ["epoch", "owner", "taken", "quiet", "failures", "pause"] {
            register.as_object_mut().unwrap().remove(name);
        }
        let vault = self.at.oci.secret(&self.at.vault_secret).unwrap();
        let verifiers = self.at.postgres.psql("SELECT rolname, rolpassword FROM pg_authid ORDER BY 1").unwrap();
        vec![register.to_string(), self.at.moto.versions(AWS_SECRET).unwrap().to_string(), vault.stages(), verifiers]
    }
}

impl Lambda {
    pub(crate) fn call(&self, event: &Value) -> Answered {
        self.api.invoke(&Event::new(event.to_string()))
    }

    /// The document of a call that worked.
    pub(crate) fn must(&self, event: &Value) -> Value {
        match self.call(event) {
            Answered::Response(document) => document,
            other @ (Answered::Error { .. } | Answered::TimedOut) => panic!("{event}: {other:?}"),
        }
    }

    /// The code and the whole of the error of a call that failed.
    pub(crate) fn fails(&self, event: &Value) -> (String, Value) {
        self.fails_with(&Event::new(event.to_string()))
    }

    pub(crate) fn fails_with(&self, event: &Event) -> (String, Value) {
        match self.api.invoke(event) {
            Answered::Error { kind, body } => {
                let code = body["errorType"].as_str().unwrap().to_owned();
                assert_eq!(kind, Some(format!("DizzyKeys.{code}")));
                for part in ["what", "state", "hint"] {
                    let text = body["document"]["error"][part].as_str();
                    assert!(text.is_some_and(|text| !text.is_empty()), "{event:?}: no {part} in {body}");
                }
                println!("{code}: {}", body["errorMessage"]);
                (code, body)
            }
            other @ (Answered::Response(_) | Answered::TimedOut) => panic!("{event:?}: {other:?}"),
        }
    }

    /// Ends it, and returns what it has said.
    pub(crate) fn told(self) -> String {
        let told = self.ended();
        told.out + &told.err
    }

    /// The same, by where it was said.
    pub(crate) fn ended(self) -> Told {
        assert_eq!(self.api.breaches(), Vec::<String>::new());
        self.process.signal("KILL");
        self.process.told()
    }
}

pub(crate) fn rotate() -> Value {
    json!({"action": "rotate", "sets": [SET]})
}

/// A page of the documentation must have this, as a block of its own.
pub(crate) fn documented(page: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(found.contains(&format!("```text\n{text}```\n")), "docs/{page} lacks this, as a block of text:\n{text}");
}
