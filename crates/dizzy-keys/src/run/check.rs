//! `check`: a look at everything a rotation needs, without a side effect, and a list of what mends what is missing.

mod remedy;

use core::time::Duration;

use dizzy_engine::{Epoch, Generation, Strategy};
use dizzy_host::{
    config::{Config, Database, Place, Rule},
    document::SecretDocument,
    driver::{Lease, OpenSet, Undo, objection, register_error},
    port::{Deadline, FenceStamp, Finding, Inspection, Labels, Login, Mend, PortError, Severity},
    reference::Reference,
    register::Document,
};

use self::remedy::{Found, Remedies, Remedy};
use super::with_set::{block_on, composer};
use crate::{
    args::{Global, Sets},
    code::{Code, Exit, Port},
    compose::{Composer, FormatRule},
    render::{
        check::{CheckReport, CheckedSet, Level},
        moment::length,
    },
    report::Report,
};

/// Sooner than this, an expiry on the server is worth a warning: two weeks leave time for two working days and a holiday.
const SOON_MS: i64 = 14 * 86_400_000;
/// Shortest interval that a secret in Vault bears: 30 versions can wait for their deletion, which takes a day at least (Oracle
/// documentation: "Vault limits", "Deleting a Secret Version").
const VAULT_INTERVAL: Duration = Duration::from_secs(86_400 / 30);
/// Where a finding about the register stands.
const NAME: &str = "register";

pub(super) fn run(global: &Global, args: &Sets) -> Result<Exit, Report> {
    let (composer, names) = composer(global, &args.sets)?;
    let program = global.invocation();
    block_on(async { report(&composer, &names, &program).await.conclude(global.output) })
}

/// Looks at these sets; `program` is how the next command calls this program.
pub(crate) async fn report(composer: &Composer, names: &[String], program: &str) -> CheckReport {
    let mut sets = Vec::new();
    let receivers: Vec<Found> = composer.receivers_that_cannot_be_used().await.iter().map(of_receiver).collect();
    for name in names {
        let mut found = one(composer, name).await;
        found.extend(receivers.iter().cloned());
        let remedies = Remedies { program, config: composer.config(), set: name };
        let items = found.into_iter().map(|found| remedies.item(found)).collect();
        sets.push(CheckedSet { set: name.clone(), items });
    }
    CheckReport { sets, program: program.to_owned() }
}

async fn one(composer: &Composer, name: &str) -> Vec<Found> {
    let mut items: Vec<Found> = unsigned_trail(composer.config()).into_iter().collect();
    if let Some(cloud) = one_cloud(composer.config()) {
        let what = format!(
            "journal, audit key and every sink are in {cloud}: who administers it can change the history unseen; move one of them"
        );
        items.push(item(Level::Warning, "audit", what));
    }
    let register = register(composer, name, &mut items).await;
    let set = match composer.open(name, Lease::Respected, FormatRule::Keep).await {
        Ok(set) => set,
        Err(report) => {
            items.push(of_report("secrets and configuration", &report));
            return items;
        }
    };
    secrets(composer, &set, register.as_ref(), &mut items).await;
    for at in 0..set.databases.len() {
        database(composer, &set, at, register.as_ref(), &mut items).await;
    }
    items
}

/// A trail without a key tells what happened, and proves it to nobody.
fn unsigned_trail(config: &Config) -> Option<Found> {
    if config.audit.key.is_some() {
        return None;
    }
    let hint = "32 random bytes (`openssl rand -hex 32`) in a secret that only this program reads; `audit.key` is its reference";
    let what = "there is no audit.key: records are not signed, so whoever can write to the trail can change it unseen";
    Some(Found { hint: Some(hint.to_owned()), remedy: Some(Remedy::AuditKey), ..item(Level::Warning, "audit", what) })
}

/// The cloud that holds all that a forger would have to change if one does.
fn one_cloud(config: &Config) -> Option<&'static str> {
    let of_place = |place: &Place| match place {
        Place::File(_) => None,
        Place::Oci { .. } => Some("OCI"),
        Place::S3 { .. } => Some("AWS"),
    };
    let of_key = match config.audit.key.as_ref()? {
        Reference::AwsSm { .. } | Reference::AwsSsm { .. } => Some("AWS"),
        Reference::OciVault { .. } => Some("OCI"),
        Reference::Env { .. } | Reference::File { .. } => None,
    };
    let cloud = of_place(&config.journal)?;
    let others = config.audit.sinks.iter().map(of_place).chain([of_key]);
    others.into_iter().all(|other| other == Some(cloud)).then_some(cloud)
}

async fn register(composer: &Composer, name: &str, items: &mut Vec<Found>) -> Option<Document> {
    let journal = match composer.journal() {
        Ok(journal) => journal,
        Err(report) => {
            items.push(of_report(NAME, &report));
            return None;
        }
    };
    match journal.read(name, Deadline::after(composer.limits().call)).await {
        Ok(None) => {
            let what = "there is none yet; `prepare` or the first rotation makes it";
            items.push(Found { remedy: Some(Remedy::Adopt), ..item(Level::Note, NAME, what) });
            None
        }
        Ok(Some(stored)) => match Document::parse(&stored.bytes, name) {
            Ok(document) => {
                let what = format!("{}, generation {} is published", document.phase, document.current);
                items.push(match document.phase.as_str() {
                    "idle" => item(Level::Ok, NAME, what),
                    _ => Found { remedy: Some(Remedy::Recover), ..item(Level::Warning, NAME, what) },
                });
                Some(document)
            }
            Err(error) => {
                items.push(of_error(Port::Journal, NAME, &register_error(error)));
                None
            }
        },
        Err(error) => {
            items.push(of_error(Port::Journal, NAME, &error));
            None
        }
    }
}

async fn secrets(composer: &Composer, set: &OpenSet, register: Option<&Document>, items: &mut Vec<Found>) {
    for (at, secret) in set.secrets.iter().enumerate() {
        let place = set.config.secrets.get(at).map(|s| s.store.to_string()).unwrap_or_default();
        match secret.store.labels(Deadline::after(composer.limits().call)).await {
            Err(error) => items.push(of_error(Port::Store, &place, &error)),
            Ok(labels) => {
                let id = register.map(|r| r.register.as_str()).unwrap_or_default();
                let foreign = labels.named.keys().find(|name| !id.starts_with(&name.register));
                if let Some(foreign) = foreign {
                    let what = format!("it carries a version of another register ({foreign})");
                    let hint = "another installation rotates this secret: use its journal, or take its labels off if it is gone for good";
                    let found = coded(&place, what, Code::StoreForeign);
                    items.push(Found { hint: Some(hint.to_owned()), ..found });
                    continue;
                }
                items.push(item(Level::Ok, &place, format!("readable, format {}", secret.format)));
                let store = set.config.secrets.get(at).map(|s| &s.store);
                if let (Some(Reference::OciVault { .. }), Rule::Every(every)) = (store, &set.config.schedule.rule)
                    && *every < VAULT_INTERVAL
                {
                    let what = "a secret in Vault takes about 30 rotations a day; `every` is shorter than 48 minutes";
                    let longer = Mend::Setting(format!("[sets.{}]\nevery = \"1h\"", set.config.name));
                    let remedy = Some(Remedy::Known(longer));
                    items.push(Found { remedy, ..item(Level::Warning, &place, what) });
                }
                if let Err(error) = secret.store.room(Deadline::after(composer.limits().call)).await {
                    items.push(of_error(Port::Store, &place, &error));
                }
            }
        }
    }
}

async fn database(composer: &Composer, set: &OpenSet, at: usize, register: Option<&Document>, items: &mut Vec<Found>) {
    let (Some(config), Some(port)) = (set.config.databases.get(at), set.databases.get(at)) else { return };
    let published = set.secrets.iter().find(|s| s.covers.contains(&at)).and_then(|secret| {
        let look = secret.first_look.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let document = SecretDocument::parse(look.as_ref()?.value.clone()).ok()?;
        document.credential(&config.name, secret.format).ok()
    });
    let Some(credential) = published else { return };
    let login = Login { user: &credential.username, password: &credential.password };
    let users: Vec<&str> = config.users.iter().map(String::as_str).collect();
    let stamp = FenceStamp {
        set: &set.config.name,
        register: register.map(|r| r.register.as_str()).unwrap_or_default(),
        epoch: Epoch(register.map_or(0, |r| r.epoch)),
        generation: Generation(register.map_or(0, |r| r.current)),
    };
    if !users.contains(&credential.username.as_str()) {
        let what = format!("the secret publishes {}, which is not among `users`", credential.username);
        let hint = "name the user that the secret publishes first, and then the one that takes turns with it";
        items.push(Found { hint: Some(hint.to_owned()), ..coded(&config.name, what, Code::ConfigValue) });
        return;
    }
    let wrong = register.map_or(0, |r| r.wrong(&config.name, &credential.username));
    if port.wrong_logins_allowed().is_some_and(|allowed| wrong >= allowed) {
        let what = format!(
            "not tried: {wrong} logins as {} were wrong already, and another could lock the account",
            credential.username
        );
        items.push(Found {
            hint: Some("find out which password works first".to_owned()),
            remedy: Some(Remedy::RetryLogins),
            ..coded(&config.name, what, Code::DatabaseLocked)
        });
        return;
    }
    let deadline = Deadline::after(config.connect_timeout + config.statement_timeout);
    match port.inspect(login, &users, stamp, deadline).await {
        Err(error) => {
            items.push(of_error(Port::Database, &config.name, &error));
            items.extend(port.known().iter().map(|finding| of_finding(&config.name, finding)));
        }
        Ok(inspection) => looked_at(composer, set, config, &credential.username, &inspection, items),
    }
    if register.is_none() && config.strategy == Strategy::Alternating {
        second_user(composer, set, at, &credential.username, items).await;
    }
}

/// What an inspection says, and what follows from it for this configuration.
fn looked_at(
    composer: &Composer,
    set: &OpenSet,
    config: &Database,
    user: &str,
    inspection: &Inspection,
    items: &mut Vec<Found>,
) {
    let version = inspection.server_version.as_ref();
    let version = version.map_or_else(String::new, |v| format!(", server {v}"));
    items.push(item(Level::Ok, &config.name, format!("{user} logs in over verified TLS{version}")));
    items.extend(inspection.findings.iter().map(|finding| of_finding(&config.name, finding)));
    if let Some(error) = objection(&set.config, config, Undo::Required, inspection) {
        let code = if error.code.is_some() { Code::NotUndoable } else { Code::of_port(Port::Database, &error) };
        let found = of_error(Port::Database, &config.name, &error);
        items.push(Found { what: error.what, code: Some(code), ..found });
    }
    if let Some(rollover) = inspection.rollover.filter(|_| config.strategy == Strategy::Rollover) {
        let long = length(u64::try_from(rollover.length.as_millis()).unwrap_or(u64::MAX));
        let ends = if rollover.can_end { "it can be ended" } else { "the next rotation waits for its end" };
        let what = format!("after a change both passwords work for {long}; {ends}");
        items.push(item(Level::Note, &config.name, what));
    }
    let now = composer.clock().now().0;
    for (user, at) in &inspection.expiries {
        let left = at.saturating_sub(now);
        if (0..SOON_MS).contains(&left) {
            let what = format!("{user} expires on the server in {}", length(left.unsigned_abs()));
            items.push(item(Level::Warning, &config.name, what));
        }
    }
    if config.strategy == Strategy::Single {
        let what = "strategy `single`: the published credential does not log in between the change and the promotion";
        items.push(item(Level::Note, &config.name, what));
    }
}

/// Whether the first rotation will know a password of the second user: an administrator gives it one, or a secret has it as what was
/// published before (rulings §5.6). It is not tried: a wrong one could lock the account.
async fn second_user(composer: &Composer, set: &OpenSet, at: usize, published: &str, items: &mut Vec<Found>) {
    let Some(config) = set.config.databases.get(at) else { return };
    let Some(other) = config.users.iter().find(|user| *user != published) else { return };
    if config.admin.is_some() {
        let what = format!("`prepare` gives {other} a password, unless a secret published one before that still works");
        items.push(item(Level::Note, &config.name, what));
        return;
    }
    let Some(secret) = set.secrets.iter().find(|secret| secret.covers.contains(&at)) else { return };
    let deadline = || Deadline::after(composer.limits().call);
    // What cannot be read was told with the secret.
    let Ok(Labels { previous, .. }) = secret.store.labels(deadline()).await else { return };
    let found = match previous {
        Some(id) => secret.store.read(&id, deadline()).await.ok(),
        None => None,
    };
    let credential = found
        .and_then(|version| SecretDocument::parse(version.value).ok())
        .and_then(|document| document.credential(&config.name, secret.format).ok());
    if credential.is_some_and(|credential| credential.username == *other) {
        let what = format!("{other} has the password that was published before; whether it logs in shows at `prepare`");
        items.push(item(Level::Note, &config.name, what));
        return;
    }
    let what = format!("no secret holds a password of the second user {other}");
    let remedy = Some(Remedy::Known(Mend::Prepare { sql: None }));
    items.push(Found { remedy, ..coded(&config.name, what, Code::DatabaseOther) });
}

fn item(level: Level, at: &str, what: impl Into<String>) -> Found {
    Found { level, at: at.to_owned(), what: what.into(), hint: None, code: None, remedy: None }
}

fn coded(at: &str, what: String, code: Code) -> Found {
    Found { code: Some(code), ..item(Level::Error, at, what) }
}

fn of_error(port: Port, at: &str, error: &PortError) -> Found {
    Found {
        hint: error.hint.clone(),
        remedy: error.mend.clone().map(Remedy::Known),
        ..coded(at, error.to_string(), Code::of_port(port, error))
    }
}

fn of_report(at: &str, report: &Report) -> Found {
    Found {
        hint: report.next().map(str::to_owned),
        remedy: report.mend().cloned().map(Remedy::Known),
        ..coded(at, report.what().to_owned(), report.code())
    }
}

/// Nobody would be told; a rotation starts all the same.
fn of_receiver((name, report): &(String, Report)) -> Found {
    Found { level: Level::Warning, ..of_report(&format!("notify: {name}"), report) }
}

fn of_finding(at: &str, finding: &Finding) -> Found {
    let level = match finding.severity {
        Severity::Note => Level::Note,
        Severity::Warning => Level::Warning,
        Severity::Error => Level::Error,
    };
    let error = PortError::refused(finding.kind, finding.what.clone());
    Found {
        hint: finding.hint.clone(),
        code: (level == Level::Error).then(|| Code::of_port(Port::Database, &error)),
        remedy: finding.mend.clone().map(Remedy::Known),
        ..item(level, at, finding.what.clone())
    }
}

#[cfg(test)]
mod tests {
    use dizzy_host::config;

    use super::*;

    #[test]
    fn a_trail_without_a_key_is_a_warning() {
        let set = "[sets.orders.databases.rds]\nengine = \"postgres\"\nusers = [\"a\", \"b\"]\n[[sets.orders.secrets]]\nstore = \"aws-sm:x\"\n";
        let told = |audit: &str| unsigned_trail(&config::parse("test.toml", &format!("{audit}{set}")).unwrap());
        assert!(told("[audit]\nkey = \"env:KEY\"\n").is_none());
        let item = told("").unwrap();
        assert_eq!(item.level, Level::Warning);
        assert!(item.what.contains("not signed") && item.hint.unwrap().contains("openssl rand"));
    }

    #[test]
    fn one_cloud_that_holds_everything_is_noticed() {
        const SET: &str = "[sets.orders]\n[sets.orders.databases.rds]\nengine = \"postgres\"\nusers = [\"a\", \"b\"]\n[[sets.orders.secrets]]\nstore = \"aws-sm:x\"\n";
        let cloud = |journal: &str, key: &str, sinks: &str| {
            let text = format!("[journal]\nurl = \"{journal}\"\n[audit]\nkey = \"{key}\"\nsinks = [{sinks}]\n{SET}");
            one_cloud(&config::parse("test.toml", &text).unwrap())
        };
        let vault = "oci-vault:ocid1.vaultsecret.oc1.iad.x";
        assert_eq!(cloud("s3://b/j", "aws-ssm:/key", "\"s3://b/a\""), Some("AWS"));
        assert_eq!(cloud("oci://n/b/j", vault, "\"oci://n/b/a\", \"oci://n/c/a\""), Some("OCI"));
        for (journal, key, sinks) in [
            ("oci://n/b/j", "aws-ssm:/key", "\"s3://b/a\""),
            ("s3://b/j", vault, "\"s3://b/a\""),
            ("s3://b/j", "aws-ssm:/key", "\"s3://b/a\", \"oci://n/b/a\""),
            ("file:./state", "env:KEY", "\"file:./audit\""),
        ] {
            assert_eq!(cloud(journal, key, sinks), None, "{journal} {key} {sinks}");
        }
    }
}
