//! `verify`: logs in with what every secret publishes, as a consumer would.

use dizzy_engine::{Epoch, Generation};
use dizzy_host::{
    document::{Credential, SecretDocument},
    driver::{Lease, OpenSet},
    notice::Event,
    port::{Deadline, FenceStamp, Kind, Login},
    register::Document,
};

use super::{
    notices::{About, Notices},
    with_set::{block_on, composer},
};
use crate::{
    args::{Global, Sets},
    code::{Code, Exit, Port},
    compose::{Composer, FormatRule},
    render::verify::{LoginResult, LoginRow, VerifiedSet, VerifyReport},
    report::Report,
};

pub(super) fn run(global: &Global, args: &Sets) -> Result<Exit, Report> {
    let (composer, names) = composer(global, &args.sets)?;
    block_on(async { report(&composer, &names).await?.conclude(global.output) })
}

pub(crate) async fn report(composer: &Composer, names: &[String]) -> Result<VerifyReport, Report> {
    let mut sets = Vec::new();
    let notices = Notices::new(composer);
    for name in names {
        let set = composer.open(name, Lease::Respected, FormatRule::Keep).await?;
        let stored = composer.journal()?.read(name, Deadline::after(composer.limits().call)).await;
        // What is published can be tried without a register too.
        let register = stored.ok().flatten().and_then(|stored| Document::parse(&stored.bytes, name).ok());
        let verified = VerifiedSet { set: name.clone(), logins: logins(composer, &set, register.as_ref()).await? };
        if let Some(refused) = refused(&verified) {
            let generation = register.as_ref().map(|document| document.current);
            let what = String::new();
            let about = About { set: name, generation, rotation: None, error: Some(&refused), what };
            notices.send(composer, Event::Drift, about);
        }
        sets.push(verified);
    }
    notices.settle(composer).await;
    Ok(VerifyReport { sets })
}

/// What is told if a published credential of a set does not log in.
fn refused(verified: &VerifiedSet) -> Option<Report> {
    let refused = verified.logins.iter().filter(|row| row.result == LoginResult::Refused);
    let places: Vec<String> = refused.map(|row| format!("{} as published by {}", row.database, row.secret)).collect();
    let what = format!("{}: a published credential does not log in: {}", verified.set, places.join(", "));
    let state = "nothing was changed; whoever reads it there is refused";
    let hint = format!("dizzy-keys status {}", verified.set);
    (!places.is_empty()).then(|| Report::new(Code::PublishedRefused, what, state).hint(hint))
}

/// Logs in with what the secrets of an open set hold: each secret's first look.
pub(crate) async fn logins(
    composer: &Composer,
    set: &OpenSet,
    register: Option<&Document>,
) -> Result<Vec<LoginRow>, Report> {
    let mut rows: Vec<LoginRow> = Vec::new();
    // Two secrets that publish the same wrong credential shall not cost two wrong logins.
    let mut refused_before: Vec<(usize, Credential, usize)> = Vec::new();
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
                    row.user = Some(credential.username.clone());
                    let same = refused_before.iter().find(|(d, c, _)| d == database && c.same_login(&credential));
                    if let Some(earlier) = same.and_then(|(_, _, at)| rows.get(*at)) {
                        (row.result, row.why, row.code) = (earlier.result, earlier.why.clone(), earlier.code);
                        rows.push(row);
                        continue;
                    }
                    let wrong = register.map_or(0, |r| r.wrong(&config.name, &credential.username));
                    if port.wrong_logins_allowed().is_some_and(|allowed| wrong >= allowed) {
                        row.why = Some(format!("{wrong} logins were wrong already; another could lock the account"));
                        row.code = Some(Code::DatabaseLocked.text());
                        rows.push(row);
                        continue;
                    }
                    let login = Login { user: &credential.username, password: &credential.password };
                    let stamp =
                        FenceStamp { set: &set.config.name, register: "", epoch: Epoch(0), generation: Generation(0) };
                    let began = composer.clock().now();
                    let deadline = Deadline::after(config.connect_timeout + config.statement_timeout);
                    let result = port.login(login, stamp, deadline).await;
                    row.ms = Some(composer.clock().now().0.saturating_sub(began.0).unsigned_abs());
                    match result {
                        Ok(()) => row.result = LoginResult::LoggedIn,
                        Err(error) => {
                            let refused = error.kind == Kind::Credential;
                            row.result = if refused { LoginResult::Refused } else { LoginResult::Unknown };
                            row.why = Some(error.to_string());
                            let code =
                                if refused { Code::PublishedRefused } else { Code::of_port(Port::Database, &error) };
                            row.code = Some(code.text());
                            if refused {
                                refused_before.push((*database, credential, rows.len()));
                            }
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
