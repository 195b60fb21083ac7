//! A sandbox to try the program in: the stand-ins of both clouds, credentials in them, and a file that points a shell there.
//!
//! Everything ends when standard input does, so that whoever started it ends it by ending. Nothing in it is real but PostgreSQL.

use std::{
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use dizzy_sandbox_oci::SecretOptions;
use dizzy_sandbox_oracle::{Account, HOUR, Profile};
use serde_json::json;

use crate::{
    OracleUsers, SET, TwoClouds, Users,
    two_clouds::{AWS_SECRET, ORACLE, POSTGRES},
};

/// The secret of the first hour: one PostgreSQL database, published in Secrets Manager, with a second user that does not exist yet.
pub const FIRST: &str = "prod/first";
/// Its user.
const FIRST_USER: &str = "first_a";
/// Secrets for `make live`: a PostgreSQL user that is single, and an Oracle user with a rollover window.
const SINGLE: &str = "live/single";
const ROLLOVER: &str = "live/rollover";

/// A sandbox. Dropping it ends everything.
pub struct Stand {
    /// Both clouds, and the set `orders` in them.
    pub at: TwoClouds,
    binary: PathBuf,
}

impl Stand {
    /// Starts everything, and writes `env` for a shell.
    ///
    /// # Errors
    /// If something is missing on this machine; the message names it.
    pub fn start(binary: &Path) -> Result<Self> {
        let at = TwoClouds::start(binary, Users::Alternating, OracleUsers::Alternating)?;
        let password = "sandbox-first-password";
        at.postgres.create_role(FIRST_USER, password)?;
        at.moto.create_secret(FIRST, &postgres(&at, FIRST_USER, password).to_string())?;
        let stand = Self { at, binary: binary.to_owned() };
        stand.live()?;
        let roots = std::fs::read(stand.at.postgres.certificates().ca_file()).context("read the roots")?;
        stand.at.write("roots.pem", roots)?;
        stand.at.write("env", stand.env()?)?;
        Ok(stand)
    }

    /// The folder with everything that a shell needs.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.at.path("")
    }

    /// What `make live` finds in real clouds: a set per strategy.
    fn live(&self) -> Result<()> {
        let password = "sandbox-Live-Passw0rd";
        self.at.postgres.create_role("live_single", password)?;
        let single = postgres(&self.at, "live_single", password);
        self.at.moto.create_secret(SINGLE, &single.to_string())?;
        self.at.oracle.set_profile("ROLLOVER", Profile::autonomous().with_rollover(HOUR));
        self.at.oracle.add_user(&Account::new("LIVE_ROLLOVER", password).with_profile("ROLLOVER"))?;
        let rollover = json!({ORACLE: {"engine": "oracle", "service": "orders_low", "username": "LIVE_ROLLOVER", "password": password}});
        self.at.moto.create_secret(ROLLOVER, &rollover.to_string())?;
        Ok(())
    }

    /// Lines for a shell to read.
    fn env(&self) -> Result<String> {
        let folder = self.folder().display().to_string();
        let folder = folder.trim_end_matches('/');
        let vault = |name: &str, text: String| self.at.oci.create_secret(&SecretOptions::new(name, text.as_str()));
        let copy = |secret: &str| self.at.moto.current_text(secret);
        let python = self.at.moto.python();
        let bins = [self.binary.as_path(), python.as_path()]
            .map(|file| file.parent().map(Path::display).map(|p| p.to_string()));
        let [Some(ours), Some(tools)] = bins else { anyhow::bail!("a program without a folder") };
        let mut lines = vec![("SANDBOX".to_owned(), folder.to_owned())];
        lines.extend(self.at.env());
        lines.extend(
            [
                ("LIVE_PG_TLS_CA", format!("file:{folder}/roots.pem")),
                ("LIVE_PG_ADMIN", format!("file:{folder}/pg-admin.json")),
                ("LIVE_PG_USERS", self.at.postgres_users.join(" ")),
                ("LIVE_PG_SINGLE_USER", "live_single".to_owned()),
                ("LIVE_ORACLE_SERVICE", "orders_low".to_owned()),
                ("LIVE_ORACLE_USERS", self.at.oracle_users.join(" ")),
                ("LIVE_ORACLE_ROLLOVER_USER", "LIVE_ROLLOVER".to_owned()),
                ("LIVE_ORACLE_ADMIN", format!("file:{folder}/ora-admin.json")),
                (
                    "LIVE_ORACLE_WALLET",
                    format!(
                        "oci://{}/{}/{}",
                        dizzy_sandbox_oci::NAMESPACE,
                        crate::two_clouds::BUCKET,
                        crate::two_clouds::OBJECT
                    ),
                ),
                ("LIVE_ORACLE_WALLET_PASSWORD", format!("file:{folder}/wallet-password")),
                ("LIVE_AWS_ALTERNATING", AWS_SECRET.to_owned()),
                ("LIVE_OCI_ALTERNATING", self.at.vault_secret.clone()),
                ("LIVE_AWS_SINGLE", SINGLE.to_owned()),
                ("LIVE_OCI_SINGLE", vault("live-single", copy(SINGLE)?)?),
                ("LIVE_AWS_ROLLOVER", ROLLOVER.to_owned()),
                ("LIVE_OCI_ROLLOVER", vault("live-rollover", copy(ROLLOVER)?)?),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        let mut text = String::from("# Points a shell at the sandbox: . FOLDER/env\n");
        for (name, value) in lines {
            text.push_str(&format!("export {name}='{}'\n", value.replace('\'', r"'\''")));
        }
        text.push_str(&format!("export PATH='{ours}':'{tools}':\"$PATH\"\n"));
        Ok(text)
    }

    /// What to try, for the person who started it.
    #[must_use]
    pub fn words(&self) -> String {
        let folder = self.folder().display().to_string();
        let folder = folder.trim_end_matches('/');
        format!(
            "The sandbox is up: PostgreSQL, Secrets Manager (moto), OCI and Oracle (emulators). In another shell, in an empty folder:\n\n\
             . {folder}/env\n\
             dizzy-keys init --from-aws-secret {FIRST} --admin file:$SANDBOX/pg-admin.json --tls-ca file:$SANDBOX/roots.pem\n\
             dizzy-keys check\n\n\
             The set `{SET}` has the databases `{POSTGRES}` and `{ORACLE}`, one in each cloud, and is published in both:\n\n\
             dizzy-keys --config $SANDBOX/dizzy-keys.toml check\n\n\
             Everything ends with this program (Ctrl-C).\n"
        )
    }
}

/// Starts a sandbox, says what to do with it, and keeps it until standard input ends.
///
/// # Errors
/// If something is missing on this machine.
pub fn run(binary: &Path) -> Result<()> {
    let stand = Stand::start(binary)?;
    let mut out = io::stdout().lock();
    out.write_all(stand.words().as_bytes()).and_then(|()| out.flush()).context("say where it is")?;
    // Whatever is typed there is nothing to it.
    io::stdin().lock().bytes().take_while(Result::is_ok).for_each(drop);
    Ok(())
}

fn postgres(at: &TwoClouds, user: &str, password: &str) -> serde_json::Value {
    json!({POSTGRES: {"engine": "postgres", "host": "localhost", "port": at.postgres.port(), "dbname": "postgres",
           "username": user, "password": password}})
}
