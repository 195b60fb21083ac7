//! Many sets in one installation: each with a database account pair, a secret and, if wanted, an application of its own.
//!
//! All share one PostgreSQL server and one Secrets Manager, as the teams of a company do. What goes wrong with one set is arranged by the
//! test: another port for its database, a fault on its secret.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{Application, Moto, Postgres, PostgresOptions, installation::ADMIN, moto::BucketKind};

/// The name of the one database of every set.
pub const DATABASE: &str = "rds";
const ADMIN_PASSWORD: &str = "canary-admin-password-7Qx";

/// The installation. Dropping it ends everything.
pub struct Fleet {
    folder: tempfile::TempDir,
    binary: PathBuf,
    /// The server of all sets.
    pub postgres: Postgres,
    /// Secrets Manager.
    pub moto: Moto,
    /// The names of the sets.
    pub sets: Vec<String>,
    registers: Registers,
}

/// Where the registers are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Registers {
    /// In a folder, where a lock tells that a worker is dead.
    Folder,
    /// In S3, where workers have nothing but compare-and-swap and a lease.
    S3,
}

const BUCKET: &str = "registers";

/// What is different about a set: lines for its table, and for that of its database.
#[derive(Clone, Debug, Default)]
pub struct Oddity {
    /// Keys of the set.
    pub set: String,
    /// Keys of its database.
    pub database: String,
}

impl Fleet {
    /// Starts everything and writes a configuration of `number` sets, `s01` and so on. They are not prepared yet.
    ///
    /// # Errors
    /// If something is missing on this machine; the message names it.
    pub fn start(binary: &Path, number: usize, registers: Registers, options: &PostgresOptions) -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let (moto, postgres) = (Moto::start()?, Postgres::start(options)?);
        let sets: Vec<String> = (1..=number).map(|n| format!("s{n:02}")).collect();
        let mut sql = format!("CREATE ROLE {ADMIN} SUPERUSER LOGIN PASSWORD '{ADMIN_PASSWORD}';");
        for set in &sets {
            write!(sql, "CREATE ROLE {set}_a LOGIN PASSWORD '{}';", first_password(set))?;
        }
        postgres.psql(&sql)?;
        let fleet = Self { folder, binary: binary.to_owned(), postgres, moto, sets, registers };
        if registers == Registers::S3 {
            fleet.moto.create_bucket(BUCKET, BucketKind::Versioned)?;
        }
        for set in &fleet.sets {
            let entry = json!({"engine": "postgres", "host": "localhost", "port": fleet.postgres.port(), "dbname": "postgres",
                               "username": format!("{set}_a"), "password": first_password(set)});
            fleet.moto.create_secret(&secret(set), &json!({DATABASE: entry}).to_string())?;
        }
        let admin = json!({"username": ADMIN, "password": ADMIN_PASSWORD}).to_string();
        fleet.write("admin.json", &admin)?;
        fleet.configure(|_| Oddity::default(), "")?;
        Ok(fleet)
    }

    /// Writes the configuration: what `of` says about each set, and `more` at the end.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn configure(&self, of: impl Fn(&str) -> Oddity, more: &str) -> Result<()> {
        let path = self.folder.path().display();
        let ca = self.postgres.certificates().ca_file();
        let ca = ca.display();
        let journal = match self.registers {
            Registers::Folder => format!("file:{path}/journal"),
            Registers::S3 => format!("s3://{BUCKET}/journal"),
        };
        let mut text = format!("[journal]\nurl = \"{journal}\"\n[audit]\nsinks = [\"file:{path}/audit\"]\n");
        for set in &self.sets {
            let odd = of(set);
            write!(
                text,
                "[sets.{set}]\n{}\n[sets.{set}.databases.{DATABASE}]\nengine = \"postgres\"\nusers = [\"{set}_a\", \"{set}_b\"]\n\
                 tls_ca = \"file:{ca}\"\nadmin = \"file:{path}/admin.json\"\n{}\n[[sets.{set}.secrets]]\nstore = \"aws-sm:{}\"\n",
                odd.set,
                odd.database,
                secret(set)
            )?;
        }
        text.push_str(more);
        self.write("dizzy-keys.toml", &text)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(self.path(name));
        file.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| format!("write {name}"))
    }

    /// A path in the installation's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The product with these arguments, in this installation; nothing of the caller's environment but `PATH`.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().envs(self.moto.env()).current_dir(self.folder.path());
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

    /// The register of a set, as it is stored.
    ///
    /// # Errors
    /// If it is not there or not JSON.
    pub fn register(&self, set: &str) -> Result<Value> {
        let name = format!("journal/{set}.json");
        let bytes = match self.registers {
            Registers::Folder => fs::read(self.path(&name)).context("read the register")?,
            Registers::S3 => self.moto.object(BUCKET, &name)?.context("the register is not there")?,
        };
        serde_json::from_slice(&bytes).context("read the register's JSON")
    }

    /// Changes the register of a set that nobody works on, as time and earlier runs would have.
    ///
    /// # Errors
    /// If it is not there, or cannot be written.
    pub fn edit_register(&self, set: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut register = self.register(set)?;
        change(&mut register);
        let (name, text) = (format!("journal/{set}.json"), register.to_string());
        match self.registers {
            Registers::Folder => self.write(&name, &text),
            Registers::S3 => self.moto.put_object(BUCKET, &name, text.as_bytes()),
        }
    }

    /// Whether what the secret of a set publishes logs in, as psql finds it.
    ///
    /// # Errors
    /// If the judges cannot be asked.
    pub fn logs_in(&self, set: &str) -> Result<bool> {
        let document: Value = serde_json::from_str(&self.moto.current_text(&secret(set))?).context("read a secret")?;
        let text = |name: &str| {
            document.pointer(&format!("/{DATABASE}/{name}")).and_then(Value::as_str).context("a credential")
        };
        self.postgres.login(text("username")?, text("password")?)
    }

    /// Starts an application that logs in with what a set publishes, with this pause between two logins.
    ///
    /// # Errors
    /// If the Python environment lacks something (`make deps` makes it).
    pub fn application(&self, set: &str, pause: Duration) -> Result<Application> {
        let authority = self.postgres.certificates().ca_file();
        Application::consuming(
            &self.moto,
            &json!({"secrets": [{"store": "aws", "id": secret(set)}], "pause": pause.as_secs_f64(),
                    "databases": {DATABASE: {"engine": "postgres", "authority": authority}}}),
        )
    }
}

/// The secret of a set.
#[must_use]
pub fn secret(set: &str) -> String {
    format!("prod/{set}")
}

fn first_password(set: &str) -> String {
    format!("canary-initial-{set}-K3f")
}
