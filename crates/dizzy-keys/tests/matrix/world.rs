//! The installation of the matrix: two clouds, the register in S3, the trail in both, and a gate before everything that is called.
//!
//! Its clock is its own: the program is told by a file how far ahead it is, and both emulators go along. Judges are the vendors' clients,
//! which pass no gate.

use std::{cell::Cell, path::PathBuf, process::Command, sync::Arc, time::Duration};

use dizzy_sandbox::{
    OracleUsers, Published, SET, Users,
    gates::{Ask, Gates, HttpGate, HttpService, Namer, PostgresGate, watch_oracle},
    moto::BucketKind,
    two_clouds::{AWS_SECRET, ORACLE, POSTGRES, TwoClouds},
};
use dizzy_sandbox_oci::{BucketOptions, NAMESPACE, SecretOptions, Service, Settle};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    common::{Running, Told, binary},
    names::{Names, names},
};

/// The bucket of the register.
pub(crate) const REGISTERS: &str = "registers";
/// The buckets of the trail, one in each cloud.
pub(crate) const TRAIL: &str = "trail";
const KEY: &str = "journal/orders.json";
const AUDIT_PARAMETER: &str = "/dizzy/audit-key";
const AUDIT_KEY: &str = "hex:5a5b5c5d5e5f606162636465666768696a6b6c6d6e6f70717273747576777879";
/// How long a run of the matrix repeats what does not work: long enough for several tries, short enough for many cells.
const BUDGET_MS: u32 = 4_000;
/// Wrong logins of one user that the program may cause (rulings §4.2).
const WRONG_LOGINS: u32 = 3;
/// How often, 10 ms apart, is looked for sessions that outlive their program: their server notices a closed socket at the next read, or
/// after the statement it runs.
const LATE_SESSIONS: u32 = 6_000;

/// Which users a set has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Strategy {
    /// Two users in each database.
    Alternating,
    /// Two users in PostgreSQL, and one in Oracle whose old password works on for a while.
    Rollover,
    /// One user in each database.
    Single,
}

/// Where the register and the audit key are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Home {
    /// The register in S3, the key in a file.
    S3,
    /// Both in AWS: S3, and a parameter.
    Aws,
    /// Both in OCI: Object Storage, and a secret.
    Oci,
}

pub(crate) struct World {
    pub(crate) at: TwoClouds,
    pub(crate) gates: Arc<Gates>,
    pub(crate) names: Arc<Names>,
    pub(crate) strategy: Strategy,
    home: Home,
    pub(crate) aws: HttpGate,
    pub(crate) oci: Vec<(Service, HttpGate)>,
    pub(crate) postgres: PostgresGate,
    clock: PathBuf,
    ahead: Cell<i64>,
}

impl World {
    /// Prepared, and rotated once.
    pub(crate) fn start(strategy: Strategy) -> Self {
        Self::at_home(strategy, Home::S3)
    }

    /// The same, with register and key there.
    pub(crate) fn at_home(strategy: Strategy, home: Home) -> Self {
        let (postgres, oracle) = match strategy {
            Strategy::Alternating => (Users::Alternating, OracleUsers::Alternating),
            Strategy::Rollover => (Users::Alternating, OracleUsers::Rollover),
            Strategy::Single => (Users::Single, OracleUsers::Single),
        };
        let at = TwoClouds::start(binary(), postgres, oracle).unwrap();
        at.oci.set_settle(Settle::AfterPolls(1));
        at.moto.create_bucket(REGISTERS, BucketKind::Versioned).unwrap();
        at.moto.create_bucket(TRAIL, BucketKind::Versioned).unwrap();
        at.oci.create_bucket(TRAIL, &BucketOptions::new()).unwrap();
        at.oci.create_bucket(REGISTERS, &BucketOptions::new()).unwrap();

        let (gates, names) = (Gates::new(), names());
        let namer: Arc<dyn Namer> = Arc::<Names>::clone(&names);
        let gate = |endpoint: &str, service| HttpGate::start(endpoint, service, &gates, Arc::clone(&namer)).unwrap();
        let aws = gate(&at.moto.endpoint(), HttpService::Aws);
        let services = [Service::Secrets, Service::Vaults, Service::ObjectStorage];
        let oci = services.map(|service| (service, gate(&at.oci.endpoint(service), HttpService::Oci))).into();
        let by = Arc::clone(&names);
        let postgres =
            PostgresGate::start(&at.postgres, &gates, Arc::new(move |ask: Ask<'_>| by.postgres(ask))).unwrap();
        let by = Arc::clone(&names);
        watch_oracle(&at.oracle, &gates, Arc::new(move |point, statement| by.oracle(point, statement)));

        let clock = at.path("clock");
        let world = Self { at, gates, names, strategy, home, aws, oci, postgres, clock, ahead: Cell::new(0) };
        world.configure();
        world.run(&["--yes", "prepare", SET]).expect(0);
        world.run(&["rotate", SET]).expect(0);
        world
    }

    fn configure(&self) {
        let text = std::fs::read_to_string(self.at.path("dizzy-keys.toml")).unwrap();
        let path = self.at.path("").display().to_string();
        let key = "file:".to_owned() + &path + "audit-key";
        let (register, new_key) = match self.home {
            Home::S3 => (format!("s3://{REGISTERS}/journal"), key.clone()),
            Home::Aws => {
                let parameter = json!({"Name": AUDIT_PARAMETER, "Value": AUDIT_KEY, "Type": "SecureString"});
                self.at.moto.call("ssm", "PutParameter", &parameter).unwrap();
                (format!("s3://{REGISTERS}/journal"), format!("aws-ssm:{AUDIT_PARAMETER}"))
            }
            Home::Oci => {
                let secret = self.at.oci.create_secret(&SecretOptions::new("audit-key", AUDIT_KEY)).unwrap();
                self.names.knows_key(&secret);
                (format!("oci://{NAMESPACE}/{REGISTERS}/journal"), format!("oci-vault:{secret}"))
            }
        };
        let changes = [
            (format!("file:{path}journal"), register),
            (key, new_key),
            (
                format!("\"file:{path}audit\", \"file:{path}audit-copy\""),
                format!("\"s3://{TRAIL}/dizzy\", \"oci://{NAMESPACE}/{TRAIL}/dizzy\""),
            ),
            ("engine = \"postgres\"".to_owned(), format!("engine = \"postgres\"\nport = {}", self.postgres.port())),
        ];
        let text = changes.iter().fold(text, |text, (from, to)| {
            assert!(text.contains(from), "{from} in {text}");
            text.replace(from, to)
        });
        self.at.write("dizzy-keys.toml", text).unwrap();
    }

    /// The product, whose calls pass the gates.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.at.command(&[&["--output", "json"], args].concat());
        command.env("AWS_ENDPOINT_URL", self.aws.endpoint());
        for (service, gate) in &self.oci {
            command.env(format!("OCI_ENDPOINT_{}", service.name()), gate.endpoint());
        }
        command.env("DIZZY_KEYS_CLOCK", &self.clock).env("DIZZY_KEYS_BUDGET", BUDGET_MS.to_string());
        command
    }

    pub(crate) fn start_worker(&self, args: &[&str]) -> Running {
        Running::spawn(&mut self.command(args))
    }

    pub(crate) fn run(&self, args: &[&str]) -> Told {
        self.start_worker(args).told()
    }

    /// Time goes by, for everybody.
    pub(crate) fn pass(&self, span: Duration) {
        let millis = i64::try_from(span.as_millis()).unwrap();
        self.ahead.set(self.ahead.get() + millis);
        self.shift_clock(0);
        self.at.oracle.advance(span);
        self.at.oci.set_clock_offset(SignedDuration::from_millis(self.ahead.get()));
    }

    /// The program's clock alone is ahead by so much more.
    pub(crate) fn shift_clock(&self, millis: i64) {
        // At once: a worker may be reading it.
        self.at.write("clock.new", (self.ahead.get() + millis).to_string()).unwrap();
        std::fs::rename(self.at.path("clock.new"), &self.clock).unwrap();
    }

    /// The judge's clock is the machine's, and OCI refuses signatures of another time; and no gate is for the judge.
    fn judged<T>(&self, ask: impl FnOnce(&TwoClouds) -> T) -> T {
        self.at.oci.set_clock_offset(SignedDuration::ZERO);
        self.gates.stand_aside(true);
        let answer = ask(&self.at);
        self.gates.stand_aside(false);
        self.at.oci.set_clock_offset(SignedDuration::from_millis(self.ahead.get()));
        answer
    }

    /// The register as it lies in the bucket.
    pub(crate) fn register(&self) -> Value {
        let bytes = match self.home {
            Home::S3 | Home::Aws => self.at.moto.object(REGISTERS, KEY).unwrap().unwrap(),
            Home::Oci => {
                let objects = self.at.oci.objects(REGISTERS);
                objects.into_iter().find(|object| object.name == KEY).unwrap().content
            }
        };
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Puts a register into the bucket, past every condition.
    pub(crate) fn overwrite(&self, register: &Value) {
        self.at.moto.put_object(REGISTERS, KEY, register.to_string().as_bytes()).unwrap();
        self.names.is_now(register.clone());
    }

    pub(crate) fn published(&self) -> [Published; 2] {
        self.judged(|at| at.published().unwrap())
    }

    /// What is published and does not log in.
    pub(crate) fn dead(&self) -> Vec<String> {
        let wrong = self.too_many_wrong_logins();
        let mut dead = self.judged(|at| at.dead().unwrap());
        self.forgive();
        dead.extend(wrong);
        dead
    }

    /// What is wrong if the set is at rest: I2.
    pub(crate) fn unrest(&self) -> Vec<String> {
        let mut wrong = self.dead();
        let [aws, vault] = self.published();
        for database in [POSTGRES, ORACLE] {
            if aws.credential(database) != vault.credential(database) {
                wrong.push(format!("the stores differ about {database}"));
            }
        }
        let register = self.register();
        if register["phase"] != "idle" || !register["next"].is_null() {
            wrong.push(format!("the register is at {} {}", register["phase"], register["next"]));
        }
        wrong
    }

    /// At any moment: what is published logs in (I3); for a single user, what one of the stages shows does (I4).
    pub(crate) fn nothing_opens(&self) -> Vec<String> {
        if self.strategy != Strategy::Single {
            return self.dead();
        }
        let mut closed = self.too_many_wrong_logins();
        let stages: Vec<_> = ["CURRENT", "PENDING", "PREVIOUS"]
            .iter()
            .map(|stage| self.judged(|at| at.staged(stage).unwrap()))
            .collect();
        for database in [POSTGRES, ORACLE] {
            for store in 0..2 {
                let credentials = stages.iter().filter_map(|stage| stage[store].as_ref()?.credential(database));
                let mut tried: Vec<(String, String)> = credentials.collect();
                tried.dedup();
                let opens =
                    |at: &TwoClouds, (user, password): &(String, String)| at.logs_in(database, user, password).unwrap();
                if !self.judged(|at| tried.iter().any(|credential| opens(at, credential))) {
                    closed.push(format!("no stage of store {store} opens {database}"));
                }
                self.forgive();
            }
        }
        closed
    }

    fn too_many_wrong_logins(&self) -> Vec<String> {
        let wrong = |user: &String| self.at.oracle.user(user).map(|state| state.failed_logins).unwrap_or_default();
        let over = self.at.oracle_users.iter().filter(|user| wrong(user) > WRONG_LOGINS);
        over.map(|user| format!("{} wrong logins of {user}", wrong(user))).collect()
    }

    /// The judge's own wrong logins are not the program's.
    fn forgive(&self) {
        self.at.oracle_users.iter().for_each(|user| self.at.forgive(user));
    }

    /// Everything that an undo must leave as it is when it is done again.
    pub(crate) fn snapshot(&self) -> Vec<String> {
        let published = self.published().map(|published| format!("{} {}", published.version, published.document));
        let mut all: Vec<String> = published.into();
        all.push(self.at.moto.versions(AWS_SECRET).unwrap().to_string());
        all.push(format!("{:?}", self.at.oci.secret(&self.at.vault_secret).unwrap().versions));
        let tallies = self.at.oracle_users.iter().filter_map(|user| self.at.oracle.user(user));
        all.extend(tallies.map(|user| format!("{} changes", user.tally.changes)));
        all.push(self.at.postgres.psql("SELECT rolname, rolpassword FROM pg_authid ORDER BY 1").unwrap());
        all
    }

    /// Late requests of Oracle sessions happen in threads of the emulator; this waits for their end.
    pub(crate) fn wait_for_late_sessions(&self) {
        for _ in 0..LATE_SESSIONS {
            if self.at.oracle.sessions().is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("a session of a program that has ended is still open");
    }

    /// Whether an old answer was still to be given somewhere; after this, none is.
    pub(crate) fn forget_old(&self) -> bool {
        let oci = self.oci.iter().filter(|(_, gate)| gate.forget_old()).count();
        self.aws.forget_old() || oci > 0
    }
}
