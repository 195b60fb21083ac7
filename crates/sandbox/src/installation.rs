//! A whole installation on this machine: PostgreSQL servers, Secrets Manager, a configuration, and the product's own binary to run in it.
//!
//! Used by the end-to-end tests and the demo. What it judges, it judges with programs that are not ours: psql and the AWS command line.

use std::{
    fmt::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};

use crate::{Moto, Postgres, PostgresOptions};

/// How a database of an installation rotates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Users {
    /// Two users that take turns.
    Alternating,
    /// One user.
    Single,
}

/// One database: a server of its own.
#[derive(Debug)]
pub struct Member {
    /// Its name in the configuration.
    pub name: String,
    /// Its users.
    pub users: Vec<String>,
    /// The server.
    pub server: Postgres,
}

/// An installation. Dropping it ends everything.
#[derive(Debug)]
pub struct Installation {
    folder: tempfile::TempDir,
    binary: PathBuf,
    /// The databases.
    pub members: Vec<Member>,
    /// Secrets Manager.
    pub moto: Moto,
    /// The secrets that publish the set, by name.
    pub secrets: Vec<String>,
}

/// The name of the one set.
pub const SET: &str = "orders";
/// The administrator of every server.
pub const ADMIN: &str = "dba";
const ADMIN_PASSWORD: &str = "canary-admin-password-7Qx";

impl Installation {
    /// Starts servers and Secrets Manager, publishes first credentials, writes a configuration. `binary` is the product.
    /// The set is not adopted yet: [`prepare`](Self::prepare) does that.
    ///
    /// # Errors
    /// If something is missing on this machine; the message names it.
    pub fn start(
        binary: &Path,
        databases: &[(&str, Users)],
        secrets: usize,
        options: &PostgresOptions,
    ) -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let moto = Moto::start()?;
        let mut members = Vec::new();
        let mut published = Map::new();
        for (name, users) in databases {
            let server = Postgres::start(options)?;
            let names = match users {
                Users::Alternating => vec![format!("{name}_a"), format!("{name}_b")],
                Users::Single => vec![format!("{name}_only")],
            };
            server.psql(&format!("CREATE ROLE {ADMIN} SUPERUSER LOGIN PASSWORD '{ADMIN_PASSWORD}'"))?;
            let first = names.first().context("a database has users")?;
            let password = format!("canary-initial-{name}-K3f");
            server.create_role(first, &password)?;
            published.insert(
                (*name).to_owned(),
                json!({"engine": "postgres", "host": "localhost", "port": server.port(), "dbname": "postgres",
                       "username": first, "password": password, "note": "kept as it is"}),
            );
            members.push(Member { name: (*name).to_owned(), users: names, server });
        }
        let secrets: Vec<String> = (1..=secrets).map(|n| format!("prod/{SET}-{n}")).collect();
        for secret in &secrets {
            moto.create_secret(secret, &Value::Object(published.clone()).to_string())?;
        }
        let admin = json!({"username": ADMIN, "password": ADMIN_PASSWORD}).to_string();
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(folder.path().join("admin.json"))
            .and_then(|mut file| std::io::Write::write_all(&mut file, admin.as_bytes()))
            .context("write the administrator's login")?;
        let installation = Self { folder, binary: binary.to_owned(), members, moto, secrets };
        installation.configure("")?;
        Ok(installation)
    }

    /// Writes the configuration; `extra` is put into the set's table.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn configure(&self, extra: &str) -> Result<()> {
        let path = self.folder.path().display();
        let mut text = format!(
            "[journal]\nurl = \"file:{path}/journal\"\n[audit]\nsinks = [\"file:{path}/audit\"]\n[sets.{SET}]\n{extra}{}",
            if extra.is_empty() { "" } else { "\n" }
        );
        for member in &self.members {
            let users: Vec<String> = member.users.iter().map(|user| format!("\"{user}\"")).collect();
            let strategy = if users.len() == 1 { "strategy = \"single\"\n" } else { "" };
            write!(
                text,
                "[sets.{SET}.databases.{}]\nengine = \"postgres\"\nusers = [{}]\n{strategy}tls_ca = \"file:{}\"\nadmin = \"file:{path}/admin.json\"\n",
                member.name,
                users.join(", "),
                member.server.certificates().ca_file().display(),
            )?;
        }
        for secret in &self.secrets {
            write!(text, "[[sets.{SET}.secrets]]\nstore = \"aws-sm:{secret}\"\n")?;
        }
        self.write("dizzy-keys.toml", &text)
    }

    /// Writes a file into the installation's folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let mut file = std::fs::File::create(self.path(name)).context("make a file")?;
        std::io::Write::write_all(&mut file, text.as_bytes()).context("write a file")
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

    /// Adopts the set and makes what the databases need.
    ///
    /// # Errors
    /// If that does not work.
    pub fn prepare(&self) -> Result<()> {
        self.must(&["--yes", "prepare", SET]).map(drop)
    }

    /// What a secret publishes for a database, as the AWS command line reads it: user and password.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn published(&self, secret: &str, database: &str) -> Result<(String, String)> {
        let text = self.moto.current_text(secret)?;
        let document: Value = serde_json::from_str(&text).context("read the secret's JSON")?;
        let field = |name: &str| {
            let value = document.get(database).and_then(|d| d.get(name)).and_then(Value::as_str);
            value.map(str::to_owned).with_context(|| format!("{secret} lacks {database}.{name}"))
        };
        Ok((field("username")?, field("password")?))
    }

    /// Published credentials that psql cannot log in with; empty is good.
    ///
    /// # Errors
    /// If the judges cannot be asked.
    pub fn dead(&self) -> Result<Vec<String>> {
        let mut dead = Vec::new();
        for secret in &self.secrets {
            for member in &self.members {
                let (user, password) = self.published(secret, &member.name)?;
                if !member.server.login(&user, &password)? {
                    dead.push(format!("{user} on {} as published by {secret}", member.name));
                }
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
