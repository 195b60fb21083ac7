//! `check`: a look at everything a rotation needs, without a side effect.

use core::time::Duration;

use dizzy_engine::{Epoch, Generation, Strategy};
use dizzy_host::{
    config::{Config, Place, Rule},
    document::SecretDocument,
    driver::{Lease, OpenSet, Undo, objection},
    port::{Deadline, FenceStamp, Finding, Login, PortError, Severity},
    reference::Reference,
    register::Document,
};

use super::with_set::{block_on, composer};
use crate::{
    args::{Global, Sets},
    code::{Code, Exit, Port},
    compose::{Composer, FormatRule},
    render::{
        check::{CheckItem, CheckReport, CheckedSet, Level},
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
    block_on(async { report(&composer, &names).await.conclude(global.output) })
}

pub(crate) async fn report(composer: &Composer, names: &[String]) -> CheckReport {
    let mut sets = Vec::new();
    let receivers: Vec<CheckItem> = composer.receivers_that_cannot_be_used().await.iter().map(of_receiver).collect();
    for name in names {
        let mut items = one(composer, name).await;
        items.extend(receivers.iter().cloned());
        sets.push(CheckedSet { set: name.clone(), items });
    }
    CheckReport { sets }
}

async fn one(composer: &Composer, name: &str) -> Vec<CheckItem> {
    let mut items: Vec<CheckItem> = unsigned_trail(composer.config()).into_iter().collect();
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
fn unsigned_trail(config: &Config) -> Option<CheckItem> {
    if config.audit.key.is_some() {
        return None;
    }
    let hint = "32 random bytes (`openssl rand -hex 32`) in a secret that only this program reads; `audit.key` is its reference";
    let what = "there is no audit.key: records are not signed, so whoever can write to the trail can change it unseen";
    Some(CheckItem { hint: Some(hint.to_owned()), ..item(Level::Warning, "audit", what) })
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

async fn register(composer: &Composer, name: &str, items: &mut Vec<CheckItem>) -> Option<Document> {
    let journal = match composer.journal() {
        Ok(journal) => journal,
        Err(report) => {
            items.push(of_report(NAME, &report));
            return None;
        }
    };
    match journal.read(name, Deadline::after(composer.limits().call)).await {
        Ok(None) => {
            items.push(item(Level::Note, NAME, "there is none yet; `prepare` or the first rotation makes it"));
            None
        }
        Ok(Some(stored)) => match Document::parse(&stored.bytes, name) {
            Ok(document) => {
                let what = format!("{}, generation {} is published", document.phase, document.current);
                let level = if document.phase == "idle" { Level::Ok } else { Level::Warning };
                items.push(item(level, NAME, what));
                Some(document)
            }
            Err(error) => {
                items.push(item(Level::Error, NAME, error.to_string()));
                None
            }
        },
        Err(error) => {
            items.push(of_error(Port::Journal, NAME, &error));
            None
        }
    }
}

async fn secrets(composer: &Composer, set: &OpenSet, register: Option<&Document>, items: &mut Vec<CheckItem>) {
    for (at, secret) in set.secrets.iter().enumerate() {
        let place = set.config.secrets.get(at).map(|s| s.store.to_string()).unwrap_or_default();
        match secret.store.labels(Deadline::after(composer.limits().call)).await {
            Err(error) => items.push(of_error(Port::Store, &place, &error)),
            Ok(labels) => {
                let id = register.map(|r| r.register.as_str()).unwrap_or_default();
                let foreign = labels.named.keys().find(|name| !id.starts_with(&name.register));
                if let Some(foreign) = foreign {
                    let what = format!("it carries a version of another register ({foreign})");
                    items.push(coded(Level::Error, &place, what, Code::StoreForeign));
                    continue;
                }
                items.push(item(Level::Ok, &place, format!("readable, format {}", secret.format)));
                let store = set.config.secrets.get(at).map(|s| &s.store);
                if let (Some(Reference::OciVault { .. }), Rule::Every(every)) = (store, &set.config.schedule.rule)
                    && *every < VAULT_INTERVAL
                {
                    let what = "a secret in Vault takes about 30 rotations a day; `every` is shorter than 48 minutes";
                    items.push(item(Level::Warning, &place, what));
                }
                if let Err(error) = secret.store.room(Deadline::after(composer.limits().call)).await {
                    items.push(of_error(Port::Store, &place, &error));
                }
            }
        }
    }
}

async fn database(
    composer: &Composer,
    set: &OpenSet,
    at: usize,
    register: Option<&Document>,
    items: &mut Vec<CheckItem>,
) {
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
        items.push(coded(Level::Error, &config.name, what, Code::ConfigValue));
        return;
    }
    let wrong = register.map_or(0, |r| r.wrong(&config.name, &credential.username));
    if port.wrong_logins_allowed().is_some_and(|allowed| wrong >= allowed) {
        let what = format!(
            "not tried: {wrong} logins as {} were wrong already, and another could lock the account",
            credential.username
        );
        let mut found = coded(Level::Error, &config.name, what, Code::DatabaseLocked);
        found.hint = Some(format!(
            "find out which password works, then `dizzy-keys recover --retry-logins {}`",
            set.config.name
        ));
        items.push(found);
        return;
    }
    let deadline = Deadline::after(config.connect_timeout + config.statement_timeout);
    match port.inspect(login, &users, stamp, deadline).await {
        Err(error) => {
            items.push(of_error(Port::Database, &config.name, &error));
            items.extend(port.known().iter().map(|finding| of_finding(&config.name, finding)));
        }
        Ok(inspection) => {
            let version = inspection.server_version.as_ref();
            let version = version.map_or_else(String::new, |v| format!(", server {v}"));
            let what = format!("{} logs in over verified TLS{version}", credential.username);
            items.push(item(Level::Ok, &config.name, what));
            items.extend(inspection.findings.iter().map(|finding| of_finding(&config.name, finding)));
            if let Some(error) = objection(&set.config, config, Undo::Required, &inspection) {
                let code = if error.code.is_some() { Code::NotUndoable } else { Code::of_port(Port::Database, &error) };
                let (what, hint) = (error.what, error.hint);
                items.push(CheckItem {
                    level: Level::Error,
                    at: config.name.clone(),
                    what,
                    hint,
                    code: Some(code.text()),
                });
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
                let what =
                    "strategy `single`: the published credential does not log in between the change and the promotion";
                items.push(item(Level::Note, &config.name, what));
            }
        }
    }
    if register.is_none() && config.strategy == Strategy::Alternating {
        let what = "whether the second user's password is known shows at `prepare`";
        items.push(item(Level::Note, &config.name, what));
    }
}

fn item(level: Level, at: &str, what: impl Into<String>) -> CheckItem {
    CheckItem { level, at: at.to_owned(), what: what.into(), hint: None, code: None }
}

fn coded(level: Level, at: &str, what: String, code: Code) -> CheckItem {
    CheckItem { level, at: at.to_owned(), what, hint: None, code: Some(code.text()) }
}

fn of_error(port: Port, at: &str, error: &PortError) -> CheckItem {
    let code = Code::of_port(port, error);
    CheckItem {
        level: Level::Error,
        at: at.to_owned(),
        what: error.to_string(),
        hint: error.hint.clone(),
        code: Some(code.text()),
    }
}

fn of_report(at: &str, report: &Report) -> CheckItem {
    CheckItem {
        level: Level::Error,
        at: at.to_owned(),
        what: report.what().to_owned(),
        hint: report.next().map(str::to_owned),
        code: Some(report.code().text()),
    }
}

/// Nobody would be told; a rotation starts all the same.
fn of_receiver((name, report): &(String, Report)) -> CheckItem {
    CheckItem { level: Level::Warning, ..of_report(&format!("notify: {name}"), report) }
}

fn of_finding(at: &str, finding: &Finding) -> CheckItem {
    let level = match finding.severity {
        Severity::Note => Level::Note,
        Severity::Warning => Level::Warning,
        Severity::Error => Level::Error,
    };
    let error = PortError::refused(finding.kind, finding.what.clone());
    let code = (level == Level::Error).then(|| Code::of_port(Port::Database, &error).text());
    CheckItem { level, at: at.to_owned(), what: finding.what.clone(), hint: finding.hint.clone(), code }
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
