//! Autonomous Database: read one, make a wallet, change ADMIN's password.
//!
//! No database is behind it. Where one is wanted, the wallet's bytes come from a callback and the password goes to another.
//! Password rules: documentation of `UpdateAutonomousDatabaseDetails.admin_password` and
//! `GenerateAutonomousDatabaseWalletDetails.password` in the oci Python SDK 2.189.0.

use core::fmt;
use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    COMPARTMENT,
    clock::http_date,
    http::{Refused, Reply, Request, text_field},
    rights::{Permission, Rights},
    route::{Operation, Target},
};

/// What a wallet is asked for with.
#[derive(Clone, Debug)]
pub struct WalletRequest {
    /// The OCID of the database.
    pub database: String,
    /// The password that encrypts the wallet's keys.
    pub password: String,
    /// `SINGLE` or `ALL`.
    pub generate_type: String,
}

/// Where the zip of a wallet comes from.
pub type WalletSource = Arc<dyn Fn(&WalletRequest) -> Vec<u8> + Send + Sync>;
/// What is told of a change of ADMIN's password: the OCID of the database and the password.
pub type AdminPasswordHook = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// ADMIN's last passwords may not come back. Documented: "any of the last four passwords".
const REMEMBERED: usize = 4;
/// Nor may one that was in use within this time.
const REUSE_AFTER: SignedDuration = SignedDuration::from_hours(24);

pub(crate) struct Databases {
    pub(crate) all: BTreeMap<String, Database>,
    pub(crate) wallet: WalletSource,
    pub(crate) admin_password: AdminPasswordHook,
}

#[derive(Debug)]
pub(crate) struct Database {
    name: String,
    polls_left: u32,
    revision: u64,
    passwords: Vec<(String, Timestamp)>,
}

impl Database {
    pub(crate) fn new(name: &str, admin_password: &str, now: Timestamp) -> Self {
        Self { name: name.to_owned(), polls_left: 0, revision: 1, passwords: vec![(admin_password.to_owned(), now)] }
    }

    pub(crate) fn admin_password(&self) -> Option<&str> {
        self.passwords.last().map(|(password, _)| password.as_str())
    }

    fn etag(&self) -> String {
        format!("adb{:08x}", self.revision)
    }

    fn json(&self, id: &str) -> Value {
        json!({
            "id": id,
            "compartmentId": COMPARTMENT,
            "dbName": self.name,
            "displayName": self.name,
            "lifecycleState": if self.polls_left > 0 { "UPDATING" } else { "AVAILABLE" },
            "isMtlsConnectionRequired": true,
            "dbWorkload": "OLTP",
        })
    }
}

impl fmt::Debug for Databases {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.all.keys()).finish()
    }
}

/// Answers a call of the Database service.
pub(crate) fn answer(
    databases: &mut Databases,
    target: &Target,
    request: &Request,
    rights: &Rights,
    now: Timestamp,
) -> Result<Reply, Refused> {
    let id = target.name(0);
    let right = match target.operation {
        Operation::GenerateAutonomousDatabaseWallet => Permission::AutonomousDatabaseContentRead,
        Operation::UpdateAutonomousDatabase => Permission::AutonomousDatabaseUpdate,
        _ => Permission::AutonomousDatabaseInspect,
    };
    rights.require(right, id)?;
    let database = databases.all.get_mut(id).ok_or_else(Refused::hidden)?;
    match target.operation {
        Operation::GenerateAutonomousDatabaseWallet => {
            let body = request.json()?;
            let password = text_field(&body, "password").ok_or_else(|| Refused::missing("password"))?;
            check_wallet_password(password)?;
            let wanted = WalletRequest {
                database: id.to_owned(),
                password: password.to_owned(),
                generate_type: text_field(&body, "generateType").unwrap_or("SINGLE").to_owned(),
            };
            let zip = (databases.wallet)(&wanted);
            Ok(Reply::bytes(200, "application/octet-stream", zip).with("last-modified", http_date(now)))
        }
        Operation::UpdateAutonomousDatabase => {
            if request.header("if-match").is_some_and(|etag| etag != database.etag()) {
                return Err(Refused::etag());
            }
            if database.polls_left > 0 {
                return Err(Refused::state("the database is being updated"));
            }
            let body = request.json()?;
            let password = text_field(&body, "adminPassword");
            if let Some(password) = password {
                check_admin_password(database, password, now)?;
                if let Some(last) = database.passwords.last_mut() {
                    last.1 = now;
                }
                database.passwords.push((password.to_owned(), now));
                (databases.admin_password)(id, password);
            }
            database.revision += 1;
            database.polls_left = POLLS;
            let reply = Reply::json(200, &database.json(id)).with("etag", database.etag());
            Ok(reply.with("opc-work-request-id", format!("ocid1.workrequest.oc1.iad.{}", database.revision)))
        }
        _ => {
            let reply = Reply::json(200, &database.json(id)).with("etag", database.etag());
            database.polls_left = database.polls_left.saturating_sub(1);
            Ok(reply)
        }
    }
}

/// Reads that still say UPDATING after a change.
const POLLS: u32 = 2;

fn check_wallet_password(password: &str) -> Result<(), Refused> {
    let letter = password.chars().any(|character| character.is_ascii_alphabetic());
    let other = password.chars().any(|character| character.is_ascii_digit() || character.is_ascii_punctuation());
    if password.chars().count() >= 8 && letter && other {
        return Ok(());
    }
    Err(Refused::invalid("a wallet's password has 8 characters, a letter, and a digit or special character"))
}

fn check_admin_password(database: &Database, password: &str, now: Timestamp) -> Result<(), Refused> {
    let has = |class: fn(&char) -> bool| password.chars().any(|character| class(&character));
    let shape = (12..=30).contains(&password.chars().count())
        && has(char::is_ascii_uppercase)
        && has(char::is_ascii_lowercase)
        && has(char::is_ascii_digit)
        && !password.contains('"')
        && !password.to_lowercase().contains("admin");
    if !shape {
        return Err(Refused::invalid("adminPassword breaks the rules for passwords of ADMIN"));
    }
    let recent = database.passwords.iter().rev().take(REMEMBERED).any(|(known, _)| known == password);
    let current = database.admin_password() == Some(password);
    let within = |since: Timestamp| now.duration_since(since) < REUSE_AFTER;
    let today = database.passwords.iter().any(|(known, last_used)| known == password && within(*last_used));
    if recent || current || today {
        return Err(Refused::invalid("adminPassword was used before"));
    }
    Ok(())
}
