//! Judges that are not ours: the AWS command line says what is published, psql says what logs in and which verifier a user has.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{Installation, postgres::literal};

/// What one secret publishes, without passwords.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Published {
    pub(super) version: String,
    /// The user of each database.
    pub(super) users: BTreeMap<String, String>,
    /// Published credentials that psql cannot log in with.
    pub(super) dead: Vec<String>,
}

/// Reads every secret's CURRENT with the AWS command line, and tries every credential in it with psql.
pub(super) fn published(at: &Installation) -> Result<BTreeMap<String, Published>> {
    // One call for all of them: the command line takes longer to start than to ask.
    let mut args = vec!["secretsmanager", "batch-get-secret-value", "--secret-id-list"];
    args.extend(at.secrets.iter().map(String::as_str));
    let answer = at.moto.aws(&args)?;
    let answers = answer.get("SecretValues").and_then(Value::as_array).context("no SecretValues in the answer")?;
    let mut all = BTreeMap::new();
    for secret in &at.secrets {
        let is_it = |one: &&Value| one.get("Name").and_then(Value::as_str) == Some(secret);
        let answer = answers.iter().find(is_it).with_context(|| format!("{secret} is not in the answer"))?;
        let text =
            |name: &str| answer.get(name).and_then(Value::as_str).with_context(|| format!("{secret}: no {name}"));
        let document: Value = serde_json::from_str(text("SecretString")?).context("read the secret's JSON")?;
        let mut published =
            Published { version: text("VersionId")?.to_owned(), users: BTreeMap::new(), dead: Vec::new() };
        for member in &at.members {
            let field = |name: &str| {
                let value = document.get(&member.name).and_then(|d| d.get(name)).and_then(Value::as_str);
                value.with_context(|| format!("{secret} lacks {}.{name}", member.name))
            };
            let (user, password) = (field("username")?, field("password")?);
            if !member.server.login(user, password)? {
                published.dead.push(format!("{user} on {} as published by {secret}", member.name));
            }
            published.users.insert(member.name.clone(), user.to_owned());
        }
        all.insert(secret.clone(), published);
    }
    Ok(all)
}

/// Whether every published credential logs in.
pub(super) fn all_log_in(published: &BTreeMap<String, Published>) -> bool {
    published.values().all(|one| one.dead.is_empty())
}

/// A digest of each user's verifier, by user, as psql reads it with the superuser's eyes: it differs once a password was changed.
pub(super) fn verifiers(at: &Installation) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for member in &at.members {
        let users: Vec<String> = member.users.iter().map(|user| literal(user)).collect();
        let sql = format!("SELECT rolname, md5(rolpassword) FROM pg_authid WHERE rolname IN ({})", users.join(", "));
        let rows = member.server.psql(&sql)?;
        all.extend(rows.lines().filter_map(|row| row.split_once('|')).map(|(u, v)| (u.to_owned(), v.to_owned())));
    }
    Ok(all)
}

/// The users whose verifiers differ.
pub(super) fn changed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    after.iter().filter(|(user, verifier)| before.get(*user) != Some(verifier)).map(|(user, _)| user.clone()).collect()
}
