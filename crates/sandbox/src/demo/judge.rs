//! Judges that are not ours: boto3 and Oracle's SDK for OCI say what is published, psycopg and python-oracledb what logs in; psql's verifiers
//! and the Oracle emulator's books say whose password has changed.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use crate::{
    TwoClouds,
    postgres::literal,
    two_clouds::{ORACLE, POSTGRES},
};

/// The stores, in the order in which they are judged.
pub(super) const STORES: [&str; 2] = ["Secrets Manager", "Vault"];

/// What one store publishes, without passwords.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Published {
    pub(super) version: String,
    /// The user of each database.
    pub(super) users: BTreeMap<String, String>,
    /// Published credentials that do not log in.
    pub(super) dead: Vec<String>,
}

/// Reads CURRENT in both stores, and tries every credential in it.
pub(super) fn published(at: &TwoClouds) -> Result<BTreeMap<String, Published>> {
    let mut all = BTreeMap::new();
    for (store, found) in STORES.iter().zip(at.published()?) {
        let mut published = Published { version: found.version.clone(), users: BTreeMap::new(), dead: Vec::new() };
        for database in [POSTGRES, ORACLE] {
            let (user, password) =
                found.credential(database).with_context(|| format!("{store} publishes no {database}"))?;
            if !at.logs_in(database, &user, &password)? {
                published.dead.push(format!("{user} on {database} as published in {store}"));
            }
            published.users.insert(database.to_owned(), user);
        }
        all.insert((*store).to_owned(), published);
    }
    Ok(all)
}

/// Whether every published credential logs in.
pub(super) fn all_log_in(published: &BTreeMap<String, Published>) -> bool {
    published.values().all(|one| one.dead.is_empty())
}

/// Something of each user, by user, that differs once its password was changed.
pub(super) fn passwords(at: &TwoClouds) -> Result<BTreeMap<String, String>> {
    let users: Vec<String> = at.postgres_users.iter().map(|user| literal(user)).collect();
    let sql = format!("SELECT rolname, md5(rolpassword) FROM pg_authid WHERE rolname IN ({})", users.join(", "));
    let rows = at.postgres.psql(&sql)?;
    let mut all: BTreeMap<String, String> =
        rows.lines().filter_map(|row| row.split_once('|')).map(|(u, v)| (u.to_owned(), v.to_owned())).collect();
    for user in &at.oracle_users {
        if let Some(state) = at.oracle.user(user) {
            all.insert(user.clone(), state.tally.changes.to_string());
        }
    }
    Ok(all)
}

/// The users whose passwords differ.
pub(super) fn changed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    after.iter().filter(|(user, was)| before.get(*user) != Some(was)).map(|(user, _)| user.clone()).collect()
}
