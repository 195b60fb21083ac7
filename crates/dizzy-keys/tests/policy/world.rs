//! An installation in two clouds whose program has an identity of its own in each, with exactly the rights that `policy` printed.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use dizzy_sandbox::{
    OracleUsers, SET, TwoClouds, Users,
    moto::BucketKind,
    two_clouds::{ADB, BUCKET, OBJECT, WALLET_PASSWORD},
};
use dizzy_sandbox_oci::{
    BucketOptions, KeyFormat, NAMESPACE, Principal, REGION, Rights, SecretOptions, Settle, TENANCY,
};
use serde_json::{Value, json};

pub(crate) use crate::removal::Removal;
use crate::{
    common::{Told, binary},
    removal::{Rest, of_aws, of_oci},
};

/// The product's key id at AWS; the judges have another.
const KEY_ID: &str = "AKIAWORKER0000000000";
/// The product's name at OCI.
const PRINCIPAL: &str = "worker";
const GROUP: &str = "group workers";
const AUDIT_KEY: &str = "hex:5a5b5c5d5e5f606162636465666768696a6b6c6d6e6f70717273747576777879";
const REGISTERS: &str = "registers";
const TRAIL: &str = "trail";
const REGISTER: &str = "team/journal/orders.json";
/// No rotation has more points.
const MOST_POINTS: u32 = 120;

/// Where registers, trail and keys are. Databases and stores are in both clouds either way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Home {
    Aws,
    Oci,
}

/// Whose policy is in force.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Worker,
    Operator,
    Auditor,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        }
    }
}

/// What did not work.
#[derive(Debug)]
pub(crate) struct Outcome {
    command: String,
    exit: Option<i32>,
    code: String,
}

impl Outcome {
    pub(crate) fn words(&self) -> String {
        format!("`{}` ended with {:?} {}", self.command, self.exit, self.code)
    }
}

pub(crate) struct World {
    at: TwoClouds,
    home: Home,
    /// What is in force instead of a role's whole policy.
    removed: RefCell<Option<Rest>>,
    /// The point of a rotation after which the trail goes further than the register says.
    point: Cell<u32>,
    asked_of_aws: RefCell<BTreeSet<(String, String)>>,
    asked_of_oci: RefCell<BTreeSet<String>>,
    /// Emitted policies by role: AWS, OCI.
    policies: Vec<(String, Vec<String>)>,
}

impl World {
    pub(crate) fn new(home: Home, postgres: Users, oracle: OracleUsers) -> Self {
        let at = TwoClouds::start(binary(), postgres, oracle).unwrap();
        at.oci.set_settle(Settle::AfterPolls(0));
        for bucket in [REGISTERS, TRAIL] {
            at.moto.create_bucket(bucket, BucketKind::Versioned).unwrap();
            at.oci.create_bucket(bucket, &BucketOptions::new()).unwrap();
        }
        let worker = at.oci.principal(PRINCIPAL, Rights::none()).unwrap();
        configure(&at, home, &worker);
        let mut world = Self {
            at,
            home,
            removed: RefCell::default(),
            point: Cell::new(0),
            asked_of_aws: RefCell::default(),
            asked_of_oci: RefCell::default(),
            policies: Vec::new(),
        };
        for role in [Role::Worker, Role::Operator, Role::Auditor] {
            let common = ["--for", role.name()];
            let aws = ["policy", "aws", "--region", "us-west-2", "--account", "123456789012"];
            let aws = world.at.must(&[&aws[..], &common].concat()).unwrap();
            let oci = world.at.must(&[&["policy", "oci", "--group", "workers"][..], &common].concat()).unwrap();
            world.policies.push((aws, oci.lines().map(str::to_owned).collect()));
        }
        world
    }

    fn policy(&self, role: Role) -> &(String, Vec<String>) {
        &self.policies[role as usize]
    }

    /// Every single right of a role in the cloud that is in question, and those of the other that only this world has.
    pub(crate) fn removals(&self, role: Role) -> Vec<Removal> {
        let (aws, oci) = self.policy(role);
        match self.home {
            Home::Aws => {
                let wallets = |one: &Removal| one.on.contains("target.object.name");
                of_aws(aws).into_iter().chain(of_oci(oci).into_iter().filter(wallets)).collect()
            }
            Home::Oci => of_oci(oci),
        }
    }

    pub(crate) fn allow_all(&self) {
        self.removed.replace(None);
    }

    pub(crate) fn allow_without(&self, removal: &Removal) {
        self.removed.replace(Some(removal.rest.clone()));
    }

    /// Runs something under whole policies.
    pub(crate) fn with_all<T>(&self, run: impl FnOnce() -> T) -> T {
        let removed = self.removed.replace(None);
        let result = run();
        self.removed.replace(removed);
        result
    }

    /// Runs the product as this role.
    pub(crate) fn run(&self, role: Role, args: &[&str]) -> Told {
        self.run_with(role, args, &[])
    }

    fn run_with(&self, role: Role, args: &[&str], env: &[(&str, String)]) -> Told {
        let (mut aws, mut oci) = self.policy(role).clone();
        match &*self.removed.borrow() {
            None => {}
            Some(Rest::Aws(rest)) => aws.clone_from(rest),
            Some(Rest::Oci(rest)) => oci.clone_from(rest),
        }
        self.at.moto.allow_only(KEY_ID, &aws).unwrap();
        self.at.oci.set_rights(PRINCIPAL, &Rights::of_statements(GROUP, &oci).unwrap()).unwrap();
        self.at.oci.forget_log();
        let mut command = self.at.command(args);
        command.env("AWS_ACCESS_KEY_ID", KEY_ID).env_remove("OCI_CONFIG_FILE").env("HOME", "/nonexistent");
        let told = Told::of(&command.envs(env.iter().map(|(name, value)| (*name, value))).output().unwrap());
        self.asked_of_aws.borrow_mut().extend(self.at.moto.asked().unwrap());
        let log = self.at.oci.log();
        let ours = log.iter().filter(|call| call.principal.as_deref() == Some(PRINCIPAL));
        self.asked_of_oci.borrow_mut().extend(ours.filter_map(|call| Some(call.operation?.name().to_owned())));
        told
    }

    pub(crate) fn outcome(&self, command: &str, told: &Told) -> Outcome {
        let code = told.err.find("DK-").map_or("", |at| &told.err[at..at + 6]);
        Outcome { command: command.to_owned(), exit: told.exit, code: code.to_owned() }
    }

    /// Runs a command that has to end like this.
    pub(crate) fn expect(&self, role: Role, args: &[&str], exit: i32) -> Result<(), Outcome> {
        let told = self.run(role, args);
        if told.exit == Some(exit) {
            return Ok(());
        }
        if self.removed.borrow().is_none() {
            println!("{}{}denied: {:?}", told.out, told.err, self.at.moto.denied().unwrap());
        }
        Err(self.outcome(&args.join(" "), &told))
    }

    /// A worker dies in the middle; the next one finds out what was done, and finishes.
    pub(crate) fn killed_and_recovered(&self) -> Result<(), Outcome> {
        let env = [("DIZZY_KEYS_KILL_AT", self.point.get().to_string())];
        let told = self.run_with(Role::Worker, &["rotate", SET], &env);
        if told.signal != Some(9) {
            return Err(self.outcome("rotate, to be killed", &told));
        }
        self.end_the_lease();
        self.expect(Role::Worker, &["recover", SET], 0)
    }

    /// A point at which a recovery has to read the trail, because a record was stored that the register does not name yet.
    pub(crate) fn find_a_point_to_die_at(&self) {
        for point in 8..MOST_POINTS {
            self.point.set(point);
            self.at.moto.forget_calls().unwrap();
            self.killed_and_recovered().unwrap_or_else(|outcome| panic!("point {point}: {}", outcome.words()));
            let prefix = format!("{TRAIL}/");
            let reads = match self.home {
                Home::Aws => self.at.moto.calls(None).unwrap().iter().any(|call| {
                    call["operation"] == "GetObject"
                        && call["status"] == 200
                        && call["secret"].as_str().is_some_and(|name| name.starts_with(&prefix))
                }),
                // The log is that of the recovery alone.
                Home::Oci => self.at.oci.log().iter().any(|call| {
                    call.operation.is_some_and(|operation| operation.name() == "GetObject")
                        && call.target.contains(&format!("/b/{TRAIL}/"))
                }),
            };
            if reads {
                println!("a worker that dies at point {point} has written more than its register says");
                return;
            }
        }
        panic!("no recovery has read the trail");
    }

    /// Versions of the secret in Vault that nobody has asked to delete.
    fn versions(&self) -> usize {
        let secret = self.at.oci.secret(&self.at.vault_secret).unwrap();
        secret.versions.iter().filter(|version| version.time_of_deletion.is_none()).count()
    }

    /// As many versions are deleted as are made.
    pub(crate) fn versions_do_not_pile_up(&self) -> Result<(), Outcome> {
        let before = self.versions();
        for _ in 0..2 {
            self.expect(Role::Worker, &["rotate", SET], 0)?;
        }
        let after = self.versions();
        if after <= before {
            return Ok(());
        }
        let command = format!("rotate, twice: {} more versions in Vault, which holds 30", after - before);
        Err(Outcome { command, exit: Some(0), code: String::new() })
    }

    /// What becomes of it where nothing fails at once: there is no room for another version.
    pub(crate) fn without_deletions_rotations_end(&self) {
        if self.home != Home::Oci {
            return;
        }
        let all = self.removals(Role::Worker);
        self.allow_without(all.iter().find(|removal| removal.right == "SECRET_VERSION_DELETE").unwrap());
        for rotation in 1..=30 {
            let told = self.run(Role::Worker, &["rotate", SET]);
            if told.exit != Some(0) {
                let outcome = self.outcome("rotate", &told);
                println!("without SECRET_VERSION_DELETE rotation {rotation} {}", outcome.words());
                assert_eq!((outcome.exit, self.versions() <= 30), (Some(1), true));
                return;
            }
        }
        panic!("a secret that holds 30 versions took more");
    }

    /// What half a minute of waiting does to a dead worker's lease, if there is a register.
    fn end_the_lease(&self) -> bool {
        let found = match self.home {
            Home::Aws => self.at.moto.object(REGISTERS, REGISTER).unwrap(),
            Home::Oci => {
                let objects = self.at.oci.objects(REGISTERS);
                objects.into_iter().find(|object| object.name == REGISTER).map(|object| object.content)
            }
        };
        let Some(found) = found else { return false };
        let mut register: Value = serde_json::from_slice(&found).unwrap();
        register["owner"]["until"] = 0.into();
        let bytes = register.to_string().into_bytes();
        match self.home {
            Home::Aws => self.at.moto.put_object(REGISTERS, REGISTER, &bytes).unwrap(),
            Home::Oci => self.at.oci.put_object(REGISTERS, REGISTER, bytes).unwrap(),
        }
        true
    }

    /// After something failed for want of a right: with all of them the set comes to rest.
    pub(crate) fn mend(&self) {
        self.allow_all();
        if !self.end_the_lease() {
            return;
        }
        let told = self.run(Role::Worker, &["recover"]);
        assert_eq!(told.exit, Some(0), "{}{}", told.out, told.err);
    }

    /// Every call that was seen is in the adapters' tables, and the other way round.
    pub(crate) fn compare_calls_with_the_table(&self) {
        match self.home {
            Home::Aws => {
                let rights = dizzy_aws::rights::RIGHTS.iter();
                // That S3 tells absence only to those who may list is no call, and the functions' configuration is no part of this.
                let calls = rights.filter(|right| !(right.call == "GetObject" && right.action == "s3:ListBucket"));
                let table: BTreeSet<(String, String)> =
                    calls.map(|right| (right.call.to_owned(), right.action.to_owned())).collect();
                assert_eq!(*self.asked_of_aws.borrow(), table);
            }
            Home::Oci => {
                let table: BTreeSet<String> =
                    dizzy_oci::rights::RIGHTS.iter().map(|right| right.call.to_owned()).collect();
                assert_eq!(*self.asked_of_oci.borrow(), table);
            }
        }
    }
}

impl Removal {
    /// Whether it matters only to a set that has no register yet.
    pub(crate) fn concerns_new_registers(&self) -> bool {
        let on_registers = self.on.contains(REGISTERS);
        let is_new =
            self.right.contains("if-none-match") || self.right == "s3:ListBucket" || self.right == "OBJECT_CREATE";
        on_registers && is_new
    }

    pub(crate) fn concerns_reading_the_trail(&self) -> bool {
        self.on.contains(TRAIL) && (self.right == "s3:GetObject" || self.right == "OBJECT_READ")
    }
}

/// Everything by reference into the clouds, so that every kind of right is needed.
fn configure(at: &TwoClouds, home: Home, worker: &Principal) {
    let moto = |name: &str, text: &str| {
        at.moto.create_secret(name, text).unwrap();
        format!("\"aws-sm:{name}\"")
    };
    let vault = |name: &str, text: &str| {
        let ocid = at.oci.create_secret(&SecretOptions::new(name, text)).unwrap();
        format!("\"oci-vault:{ocid}\"")
    };
    let read = |name: &str| std::fs::read_to_string(at.path(name)).unwrap();
    let key = json!({
        "tenancy": TENANCY, "user": worker.user(), "fingerprint": worker.fingerprint(), "region": REGION,
        "key": worker.private_key_pem(KeyFormat::Pkcs8).unwrap(),
    });
    let (pg, oracle) = (read("pg-admin.json"), read("ora-admin.json"));
    let mut admins = match home {
        Home::Aws => [moto("ops/pg-admin", &pg), moto("ops/ora-admin", &oracle)],
        Home::Oci => [vault("pg-admin", &pg), vault("ora-admin", &oracle)],
    }
    .into_iter();
    let parameter = json!({"Name": "/dizzy/audit-key", "Value": AUDIT_KEY, "Type": "SecureString"});
    at.moto.call("ssm", "PutParameter", &parameter).unwrap();
    let (url, audit_key, sink, oci_key) = match home {
        Home::Aws => (
            format!("\"s3://{REGISTERS}/team/journal\""),
            "\"aws-ssm:/dizzy/audit-key:1\"".to_owned(),
            format!("\"s3://{TRAIL}/dizzy\""),
            moto("ops/oci-key", &key.to_string()),
        ),
        Home::Oci => {
            at.write("oci-key.json", key.to_string()).unwrap();
            (
                format!("\"oci://{NAMESPACE}/{REGISTERS}/team/journal\""),
                vault("audit-key", AUDIT_KEY),
                format!("\"oci://{NAMESPACE}/{TRAIL}/dizzy\""),
                format!("\"file:{}\"", at.path("oci-key.json").display()),
            )
        }
    };
    let topic = match home {
        Home::Aws => {
            let topic = at.moto.aws(&["sns", "create-topic", "--name", "ops"]).unwrap();
            topic["TopicArn"].as_str().unwrap().to_owned()
        }
        Home::Oci => at.oci.create_topic("ops"),
    };
    let (wallet, password) = match home {
        Home::Aws => (format!("\"oci://{NAMESPACE}/{BUCKET}/{OBJECT}\""), Some(moto("ops/wallet", WALLET_PASSWORD))),
        Home::Oci => (format!("\"oci-adb:{ADB}\""), None),
    };
    let mut lines = vec!["[oci]".to_owned(), format!("key = {oci_key}")];
    lines.extend(["[[notify.receivers]]".to_owned(), format!("topic = \"{topic}\"")]);
    for line in read("dizzy-keys.toml").lines() {
        let value = match line.split(" = ").next().unwrap() {
            "url" => url.clone(),
            "key" => audit_key.clone(),
            "sinks" => format!("[{sink}]"),
            "admin" => admins.next().unwrap(),
            "wallet" => wallet.clone(),
            "wallet_password" => match &password {
                Some(password) => password.clone(),
                None => continue,
            },
            _ => {
                lines.push(line.to_owned());
                continue;
            }
        };
        lines.push(format!("{} = {value}", line.split(" = ").next().unwrap()));
    }
    at.write("dizzy-keys.toml", lines.join("\n")).unwrap();
}
