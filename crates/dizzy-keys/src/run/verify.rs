//! `verify`: logs in with what every secret publishes, as a consumer would.

use dizzy_engine::{Epoch, Generation};
use dizzy_host::{
    document::SecretDocument,
    driver::{Lease, OpenSet},
    port::{Deadline, FenceStamp, Kind, Login},
};

use super::with_set::{block_on, composer};
use crate::{
    args::{Global, Sets},
    code::{Code, Exit, Port},
    compose::{Composer, FormatRule},
    render::verify::{LoginResult, LoginRow, VerifiedSet, VerifyReport},
    report::Report,
};

pub(super) fn run(global: &Global, args: &Sets) -> Result<Exit, Report> {
    let (composer, names) = composer(global, &args.sets)?;
    block_on(async {
        let mut sets = Vec::new();
        for name in &names {
            let set = composer.open(name, Lease::Respected, FormatRule::Keep).await?;
            sets.push(VerifiedSet { set: name.clone(), logins: logins(&composer, &set).await? });
        }
        VerifyReport { sets }.conclude(global.output)
    })
}

async fn logins(composer: &Composer, set: &OpenSet) -> Result<Vec<LoginRow>, Report> {
    let mut rows = Vec::new();
    for (at, secret) in set.secrets.iter().enumerate() {
        let place = set.config.secrets.get(at).map(|s| s.store.to_string()).unwrap_or_default();
        let look = secret.first_look.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let Some(version) = look else { continue };
        let id = version.id.to_string();
        let document = SecretDocument::parse(version.value)
            .map_err(|error| Report::of_document(&place, &error, "nothing was changed"))?;
        for database in &secret.covers {
            let (Some(config), Some(port)) = (set.config.databases.get(*database), set.databases.get(*database)) else {
                continue;
            };
            let mut row = LoginRow {
                secret: place.clone(),
                version: Some(id.clone()),
                database: config.name.clone(),
                user: None,
                result: LoginResult::Unknown,
                ms: None,
                why: None,
                code: None,
            };
            match document.credential(&config.name, secret.format) {
                Ok(credential) => {
                    let login = Login { user: &credential.username, password: &credential.password };
                    let stamp =
                        FenceStamp { set: &set.config.name, register: "", epoch: Epoch(0), generation: Generation(0) };
                    let began = composer.clock().now();
                    let deadline = Deadline::after(config.connect_timeout + config.statement_timeout);
                    let result = port.login(login, stamp, deadline).await;
                    row.ms = Some(composer.clock().now().0.saturating_sub(began.0).unsigned_abs());
                    row.user = Some(credential.username.clone());
                    match result {
                        Ok(()) => row.result = LoginResult::LoggedIn,
                        Err(error) => {
                            let refused = error.kind == Kind::Credential;
                            row.result = if refused { LoginResult::Refused } else { LoginResult::Unknown };
                            row.why = Some(error.to_string());
                            let code =
                                if refused { Code::PublishedRefused } else { Code::of_port(Port::Database, &error) };
                            row.code = Some(code.text());
                        }
                    }
                }
                Err(error) => {
                    row.why = Some(error.to_string());
                    row.code = Some(Code::of_document(&error).text());
                }
            }
            rows.push(row);
        }
    }
    Ok(rows)
}
