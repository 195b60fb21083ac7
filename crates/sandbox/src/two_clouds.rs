//! An installation in two clouds on this machine: PostgreSQL and an Oracle emulator, Secrets Manager (moto) and Vault (an OCI emulator).
//!
//! One set rotates both databases and publishes them in both stores. What is judged is judged by the vendors' own clients:
//! psycopg and python-oracledb log in with what boto3 and Oracle's SDK for OCI read.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dizzy_sandbox_oci::{
    BucketOptions, KeyFormat, NAMESPACE, OciEmulator, Options as OciOptions, Rights, SecretOptions, WalletSource,
};
use dizzy_sandbox_oracle::{
    Account, HOUR, Options as OracleOptions, OracleEmulator, Profile, Wallet, WalletKey, WalletMaker, WalletOptions,
};
use serde_json::{Map, Value, json};

use crate::{Application, Judge, Moto, Postgres, PostgresOptions, SET, Users, installation::ADMIN};

/// How the Oracle database rotates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OracleUsers {
    /// Two users that take turns.
    Alternating,
    /// One user whose old password works on for an hour.
    Rollover,
    /// One user.
    Single,
}

impl OracleUsers {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Alternating, Self::Rollover, Self::Single];
}

/// The key that signs the audit trail.
const AUDIT_KEY: &str = "hex:5a5b5c5d5e5f606162636465666768696a6b6c6d6e6f70717273747576777879";
/// The name of the PostgreSQL database in the configuration.
pub const POSTGRES: &str = "rds";
/// The name of the Oracle database in the configuration.
pub const ORACLE: &str = "adb";
/// The secret in Secrets Manager.
pub const AWS_SECRET: &str = "prod/orders";
/// The password of the wallet.
pub const WALLET_PASSWORD: &str = "canary-Wallet-4Jq";
/// The administrator of the Oracle database.
pub const ORACLE_ADMIN: &str = "ADMIN";
const ADMIN_PASSWORD: &str = "canary-Admin-Pass1-7Qx";
/// The database service's name for the Oracle database.
pub const ADB: &str = "ocid1.autonomousdatabase.oc1.iad.orders";
/// The bucket of wallets.
pub const BUCKET: &str = "wallets";
/// The wallet's object in it.
pub const OBJECT: &str = "orders.zip";
const ALIAS: &str = "orders_low";

/// The installation. Dropping it ends everything.
pub struct TwoClouds {
    folder: tempfile::TempDir,
    binary: PathBuf,
    /// The PostgreSQL server.
    pub postgres: Postgres,
    /// Its users.
    pub postgres_users: Vec<String>,
    /// The Oracle emulator.
    pub oracle: OracleEmulator,
    /// Its users.
    pub oracle_users: Vec<String>,
    oracle_strategy: OracleUsers,
    /// Secrets Manager.
    pub moto: Moto,
    /// OCI.
    pub oci: OciEmulator,
    /// The secret in Vault: its OCID.
    pub vault_secret: String,
    /// The wallet of the Oracle database, as its service hands it out.
    pub wallet_zip: Vec<u8>,
    /// The judge.
    pub judge: Judge,
    oci_config: PathBuf,
}

/// What consumers read in one store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Published {
    /// The version that is CURRENT.
    pub version: String,
    /// The document.
    pub document: Value,
}

impl Published {
    /// User and password of a database.
    #[must_use]
    pub fn credential(&self, database: &str) -> Option<(String, String)> {
        let entry = self.document.get(database)?;
        let text = |name: &str| entry.get(name)?.as_str().map(str::to_owned);
        Some((text("username")?, text("password")?))
    }
}

impl TwoClouds {
    /// Starts everything, publishes first credentials in both stores, and writes a configuration. The set is not adopted yet.
    ///
    /// # Errors
    /// If something is missing on this machine; the message names it.
    pub fn start(binary: &Path, postgres: Users, oracle: OracleUsers) -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let moto = Moto::start()?;
        let server = Postgres::start(&PostgresOptions::default())?;
        let postgres_users = match postgres {
            Users::Alternating => vec!["orders_a".to_owned(), "orders_b".to_owned()],
            Users::Single => vec!["orders".to_owned()],
        };
        server.psql(&format!("CREATE ROLE {ADMIN} SUPERUSER LOGIN PASSWORD '{ADMIN_PASSWORD}'"))?;
        let first = postgres_users.first().context("a user")?.clone();
        let first_password = "canary-initial-rds-K3f";
        server.create_role(&first, first_password)?;

        let oracle_users = match oracle {
            OracleUsers::Alternating => vec!["ORDERS_A".to_owned(), "ORDERS_B".to_owned()],
            OracleUsers::Rollover | OracleUsers::Single => vec!["ORDERS".to_owned()],
        };
        let profile = match oracle {
            OracleUsers::Alternating => Profile::autonomous(),
            OracleUsers::Rollover => Profile::autonomous().with_rollover(HOUR),
            OracleUsers::Single => Profile::classic(),
        };
        let oracle_first = oracle_users.first().context("a user")?.clone();
        let oracle_password = "canary-Initial-adb-K3f";
        let emulator = OracleEmulator::start(OracleOptions {
            profiles: vec![("APPLICATION".to_owned(), profile)],
            accounts: vec![
                Account::new(ORACLE_ADMIN, ADMIN_PASSWORD).administrator(),
                Account::new(&oracle_first, oracle_password).with_profile("APPLICATION"),
            ],
            renegotiate: true,
            // An Autonomous Database takes no password back, so a single user there could not be undone.
            cloud: oracle != OracleUsers::Single,
            ..OracleOptions::default()
        })?;

        let mut published = Map::new();
        published.insert(
            POSTGRES.to_owned(),
            json!({"engine": "postgres", "host": "localhost", "port": server.port(), "dbname": "postgres",
                   "username": first, "password": first_password}),
        );
        published.insert(
            ORACLE.to_owned(),
            json!({"engine": "oracle", "service": ALIAS, "username": oracle_first, "password": oracle_password}),
        );
        let text = Value::Object(published).to_string();
        moto.create_secret(AWS_SECRET, &text)?;

        let oci = OciEmulator::start(OciOptions { wallet: wallets(&emulator), ..OciOptions::default() })?;
        oci.create_database(ADB, SET, ADMIN_PASSWORD);
        let vault_secret = oci.create_secret(&SecretOptions::new("orders", text.as_str()))?;
        let user = oci.principal("rotator", Rights::all())?;
        let files = user.write_config(folder.path(), KeyFormat::Pkcs8)?;

        let wallet = Wallet::create(
            &emulator,
            &WalletOptions {
                key: WalletKey::Encrypted(WALLET_PASSWORD.to_owned()),
                database: SET.to_owned(),
                ..WalletOptions::default()
            },
        )?;
        oci.create_bucket(BUCKET, &BucketOptions::default())?;
        let wallet_zip = wallet.zip()?;
        oci.put_object(BUCKET, OBJECT, wallet_zip.as_slice())?;
        std::fs::create_dir(folder.path().join("wallet")).context("make a folder")?;
        wallet.write_to(&folder.path().join("wallet"))?;

        let judge = Judge::start(&moto, &files.config, &oci.endpoint_env())?;
        let at = Self {
            folder,
            binary: binary.to_owned(),
            postgres: server,
            postgres_users,
            oracle: emulator,
            oracle_users,
            oracle_strategy: oracle,
            moto,
            oci,
            vault_secret,
            wallet_zip,
            judge,
            oci_config: files.config,
        };
        at.write("pg-admin.json", json!({"username": ADMIN, "password": ADMIN_PASSWORD}).to_string())?;
        at.write("ora-admin.json", json!({"username": ORACLE_ADMIN, "password": ADMIN_PASSWORD}).to_string())?;
        at.write("wallet-password", WALLET_PASSWORD)?;
        at.write("audit-key", AUDIT_KEY)?;
        at.configure("")?;
        Ok(at)
    }

    /// Writes the configuration; `extra` is put into the set's table.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn configure(&self, extra: &str) -> Result<()> {
        let password = format!("file:{}", self.path("wallet-password").display());
        self.configure_wallet(extra, &format!("oci://{NAMESPACE}/{BUCKET}/{OBJECT}"), Some(&password))
    }

    /// The same, with this source of the wallet and this reference to its password.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn configure_wallet(&self, extra: &str, wallet: &str, password: Option<&str>) -> Result<()> {
        let path = self.folder.path().display();
        let quoted = |users: &[String]| users.iter().map(|u| format!("\"{u}\"")).collect::<Vec<_>>().join(", ");
        let mut text = format!(
            "[journal]\nurl = \"file:{path}/journal\"\n[audit]\nkey = \"file:{path}/audit-key\"\nsinks = [\"file:{path}/audit\", \"file:{path}/audit-copy\"]\n[sets.{SET}]\n{extra}\n"
        );
        let strategy = if self.postgres_users.len() == 1 { "strategy = \"single\"\n" } else { "" };
        write!(
            text,
            "[sets.{SET}.databases.{POSTGRES}]\nengine = \"postgres\"\nusers = [{}]\n{strategy}tls_ca = \"file:{}\"\nadmin = \"file:{path}/pg-admin.json\"\n",
            quoted(&self.postgres_users),
            self.postgres.certificates().ca_file().display(),
        )?;
        let strategy = match self.oracle_strategy {
            OracleUsers::Alternating => "",
            OracleUsers::Rollover => "strategy = \"rollover\"\n",
            OracleUsers::Single => "strategy = \"single\"\n",
        };
        write!(
            text,
            "[sets.{SET}.databases.{ORACLE}]\nengine = \"oracle\"\nservice = \"{ALIAS}\"\nusers = [{}]\n{strategy}wallet = \"{wallet}\"\nadmin = \"file:{path}/ora-admin.json\"\n",
            quoted(&self.oracle_users),
        )?;
        if let Some(password) = password {
            writeln!(text, "wallet_password = \"{password}\"")?;
        }
        write!(
            text,
            "[[sets.{SET}.secrets]]\nstore = \"aws-sm:{AWS_SECRET}\"\n[[sets.{SET}.secrets]]\nstore = \"oci-vault:{}\"\n",
            self.vault_secret
        )?;
        self.write("dizzy-keys.toml", &text)
    }

    /// Writes a file into the installation's folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(self.path(name));
        file.and_then(|mut file| file.write_all(content.as_ref())).context("write a file")
    }

    /// Whether the Oracle user's old password works on for a while.
    #[must_use]
    pub fn has_rollover(&self) -> bool {
        self.oracle_strategy == OracleUsers::Rollover
    }

    /// Forgets the wrong logins of an Oracle user, which the judge has caused.
    pub fn forgive(&self, user: &str) {
        self.oracle.unlock_user(user);
    }

    /// A path in the installation's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The environment of the product: AWS, OCI, `PATH`.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        let mut env = self.moto.env();
        env.extend(self.oci.endpoint_env());
        env.push(("OCI_CONFIG_FILE".to_owned(), self.oci_config.display().to_string()));
        env
    }

    /// The product with these arguments, in this installation; nothing of the caller's environment but `PATH`.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().envs(self.env()).current_dir(self.folder.path());
        command.arg("--config").arg(self.path("dizzy-keys.toml")).args(args);
        command
    }

    /// Runs the product to its end.
    ///
    /// # Errors
    /// If it cannot be started; what it says and how it exits is the caller's business.
    pub fn run(&self, args: &[&str]) -> Result<Output> {
        self.command(args).output().with_context(|| format!("run {}", self.binary.display()))
    }

    /// Runs the product and expects exit code 0; returns standard output.
    ///
    /// # Errors
    /// If it exits otherwise, with everything it printed.
    pub fn must(&self, args: &[&str]) -> Result<String> {
        let output = self.run(args)?;
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "dizzy-keys {} ended with {}\n{out}{err}", args.join(" "), output.status);
        Ok(out)
    }

    /// Adopts the set and makes what the databases need.
    ///
    /// # Errors
    /// If that does not work.
    pub fn prepare(&self) -> Result<()> {
        self.must(&["--yes", "prepare", SET]).map(drop)
    }

    /// Starts an application that logs in to both databases with what both stores publish, with this pause between two logins.
    ///
    /// # Errors
    /// If the Python environment lacks something (`make deps` makes it).
    pub fn application(&self, pause: Duration) -> Result<Application> {
        let endpoint = self.oci.endpoint(dizzy_sandbox_oci::Service::Secrets);
        Application::consuming(
            &self.moto,
            &json!({
                "secrets": [{"store": "aws", "id": AWS_SECRET}, {"store": "vault", "id": self.vault_secret}],
                "databases": {
                    POSTGRES: {"engine": "postgres", "authority": self.postgres.certificates().ca_file()},
                    ORACLE: {"engine": "oracle", "wallet": self.path("wallet"), "wallet_password": WALLET_PASSWORD},
                },
                "oci": {"config": self.oci_config, "endpoint": endpoint},
                "pause": pause.as_secs_f64(),
            }),
        )
    }

    /// What consumers read in Secrets Manager and in Vault, in this order.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn published(&self) -> Result<[Published; 2]> {
        let aws = self.judge.ask(&json!({"ask": "secrets_manager", "secret": AWS_SECRET}))?;
        let vault = self.judge.ask(&json!({"ask": "vault", "secret": self.vault_secret}))?;
        Ok([read(&aws)?, read(&vault)?])
    }

    /// What has a label or stage, if anything has, in Secrets Manager and in Vault.
    ///
    /// # Errors
    /// If the judge has ended.
    pub fn staged(&self, label: &str) -> Result<[Option<Published>; 2]> {
        let aws = json!({"ask": "secrets_manager", "secret": AWS_SECRET, "stage": format!("AWS{label}")});
        let vault = json!({"ask": "vault", "secret": self.vault_secret, "stage": label});
        let one = |request: &Value| self.judge.ask(request).ok().map(|answer| read(&answer)).transpose();
        Ok([one(&aws)?, one(&vault)?])
    }

    /// Whether a user of a database logs in, by the database vendor's own client.
    ///
    /// # Errors
    /// If the judge cannot be asked.
    pub fn logs_in(&self, database: &str, user: &str, password: &str) -> Result<bool> {
        let request = if database == POSTGRES {
            json!({"ask": "postgres", "host": "localhost", "port": self.postgres.port(), "dbname": "postgres", "user": user,
                   "password": password, "authority": self.postgres.certificates().ca_file()})
        } else {
            json!({"ask": "oracle", "service": ALIAS, "user": user, "password": password, "wallet": self.path("wallet"),
                   "wallet_password": WALLET_PASSWORD})
        };
        self.judge.is_in(&request)
    }

    /// Published credentials that do not log in; empty is good. Each different one is tried once.
    ///
    /// # Errors
    /// If the judges cannot be asked.
    pub fn dead(&self) -> Result<Vec<String>> {
        let published = self.published()?;
        let mut dead = Vec::new();
        for database in [POSTGRES, ORACLE] {
            let mut tried = Vec::new();
            for (store, published) in ["Secrets Manager", "Vault"].iter().zip(&published) {
                let credential = published.credential(database).with_context(|| format!("{store} lacks {database}"))?;
                if !tried.contains(&credential) && !self.logs_in(database, &credential.0, &credential.1)? {
                    dead.push(format!("{} on {database} as published in {store}", credential.0));
                }
                tried.push(credential);
            }
        }
        Ok(dead)
    }

    /// The register, as it is on disk.
    ///
    /// # Errors
    /// If it is not there or not JSON.
    pub fn register(&self) -> Result<Value> {
        let text = std::fs::read_to_string(self.path(&format!("journal/{SET}.json"))).context("read the register")?;
        serde_json::from_str(&text).context("read the register's JSON")
    }
}

/// What the database service answers when it is asked for a wallet: a good one, under the password it is given.
fn wallets(emulator: &OracleEmulator) -> WalletSource {
    let maker = WalletMaker::of(emulator);
    Arc::new(move |wanted| {
        let key = WalletKey::Encrypted(wanted.password.clone());
        let options = WalletOptions { key, database: SET.to_owned(), ..WalletOptions::default() };
        // The service has no way to say that it failed but an answer that is no wallet.
        maker.make(&options).and_then(|wallet| wallet.zip()).unwrap_or_default()
    })
}

fn read(answer: &Value) -> Result<Published> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str).context("the judge read nothing");
    let document = serde_json::from_str(text("text")?).context("read the secret's JSON")?;
    Ok(Published { version: text("version")?.to_owned(), document })
}
