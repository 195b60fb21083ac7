//! `conformance [PREFIX]`: the suite that every secret store has to pass, against the Secrets Manager that the environment names.
//!
//! For `make live`. Each check has a secret of its own, PREFIX-N, which the AWS command line makes, reads and deletes for good. Exit code 1 if a
//! promise is broken. The package's tests run the same against moto.

use std::{
    process::{Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use dizzy_aws::{AwsClients, AwsSettings, SecretsManagerStore};
use dizzy_host::{
    port::SecretStore,
    secret::SecretText,
    testkit::conformance::{Report, StoreFixture, store},
};
use serde_json::Value;

const INITIAL: &str = r#"{"rds":{"username":"app","password":"value-0"}}"#;
/// Fewer would mean that the suite has lost checks.
const CHECKS: usize = 20;

/// The AWS command line: arguments to its JSON (`null` where it prints nothing), or what went wrong.
pub(crate) type Cli = Arc<dyn Fn(&[&str]) -> Result<Value, String> + Send + Sync>;

struct Fixture {
    cli: Cli,
    secret: String,
    store: SecretsManagerStore,
    absent: SecretsManagerStore,
}

#[async_trait]
impl StoreFixture for Fixture {
    fn store(&self) -> &dyn SecretStore {
        &self.store
    }

    fn initial(&self) -> SecretText {
        SecretText::new(INITIAL.to_owned())
    }

    fn absent(&self) -> Option<&dyn SecretStore> {
        Some(&self.absent)
    }

    async fn published(&self) -> SecretText {
        let read = ["secretsmanager", "get-secret-value", "--secret-id", &self.secret, "--query", "SecretString"];
        // What cannot be read is not what was published, which the check then finds.
        let text = (self.cli)(&read).unwrap_or_default();
        SecretText::new(text.as_str().unwrap_or_default().to_owned())
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let gone = (self.cli)(&[
            "secretsmanager",
            "delete-secret",
            "--secret-id",
            &self.secret,
            "--force-delete-without-recovery",
        ]);
        if let Err(error) = gone {
            tell(&format!("{} is left behind: {error}", self.secret));
        }
    }
}

/// Runs the suite with these settings, and secrets whose names begin with `prefix`.
pub(crate) async fn conformance(settings: AwsSettings, cli: Cli, prefix: &str) -> Result<Report, String> {
    let clients = AwsClients::load(settings);
    let number = AtomicUsize::new(0);
    let failed = std::sync::Mutex::new(None);
    let report = store(async || {
        let secret = format!("{prefix}-{}", number.fetch_add(1, Ordering::Relaxed) + 1);
        let made = cli(&["secretsmanager", "create-secret", "--name", &secret, "--secret-string", INITIAL]);
        if let (Err(error), Ok(mut failed)) = (made, failed.lock()) {
            failed.get_or_insert(error);
        }
        let store = |name: &str| SecretsManagerStore::new(clients.clone(), name, "orders");
        Fixture { cli: Arc::clone(&cli), store: store(&secret), absent: store(&format!("{prefix}-absent")), secret }
    })
    .await;
    match failed.into_inner() {
        Ok(Some(error)) => Err(format!("make a secret: {error}")),
        _ => Ok(report),
    }
}

/// Says what held and what did not; fails if anything did not.
pub(crate) fn verdict(report: &Report) -> Result<(), String> {
    for (check, why) in &report.broken {
        tell(&format!("broken: {check}: {why}"));
    }
    match (report.broken.len(), report.skipped.len(), report.held.len()) {
        (0, 0, held) if held >= CHECKS => {}
        (broken, skipped, held) => return Err(format!("{broken} promises broken, {skipped} left out, {held} held")),
    }
    tell(&format!("{} promises of a secret store hold", report.held.len()));
    Ok(())
}

#[expect(clippy::print_stderr, reason = "an example talks to the person at the terminal")]
fn tell(line: &str) {
    eprintln!("{line}");
}

fn aws(args: &[&str]) -> Result<Value, String> {
    let run = Command::new("aws").args(args).args(["--output", "json"]).output();
    let output = run.map_err(|error| format!("the AWS command line cannot be run ({})", error.kind()))?;
    if !output.status.success() {
        return Err(format!("aws {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
}

#[tokio::main]
async fn main() -> ExitCode {
    let prefix = std::env::args().nth(1).unwrap_or_else(|| format!("dizzy-conformance-{}", std::process::id()));
    let done = conformance(AwsSettings::default(), Arc::new(aws), &prefix).await;
    match done.and_then(|report| verdict(&report)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("conformance: {error}"));
            ExitCode::FAILURE
        }
    }
}
