//! What `plan` asks the databases: whether a change could be taken back, and what stands in the way. One login each.

use dizzy_engine::{Epoch, Generation, Strategy};
use dizzy_host::{
    document::SecretDocument,
    driver::OpenSet,
    port::{Deadline, FenceStamp, Login, Severity},
    register::Document,
};

/// What one database said, as far as a plan is concerned.
#[derive(Default)]
pub(super) struct Look {
    /// Why a change could not be taken back.
    pub(super) no_way_back: Option<String>,
    /// What to know before.
    pub(super) warning: Option<String>,
}

/// Looks at every database with what is published. One that cannot be asked is a warning: the plan is the same.
pub(super) async fn at_databases(set: &OpenSet, document: Option<&Document>) -> Vec<Look> {
    let mut all = Vec::new();
    for at in 0..set.databases.len() {
        all.extend(at_database(set, at, document).await);
    }
    all
}

async fn at_database(set: &OpenSet, at: usize, document: Option<&Document>) -> Option<Look> {
    let (config, port) = (set.config.databases.get(at)?, set.databases.get(at)?);
    let secret = set.secrets.iter().find(|secret| secret.covers.contains(&at))?;
    let published = {
        let look = secret.first_look.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        SecretDocument::parse(look.as_ref()?.value.clone()).ok()?
    };
    let credential = published.credential(&config.name, secret.format).ok()?;
    let wrong = document.map_or(0, |d| d.wrong(&config.name, &credential.username));
    if port.wrong_logins_allowed().is_some_and(|allowed| wrong >= allowed) {
        let warning = format!("{}: not looked at: {wrong} logins were wrong already", config.name);
        return Some(Look { warning: Some(warning), ..Look::default() });
    }
    let stamp = FenceStamp {
        set: &set.config.name,
        register: document.map(|d| d.register.as_str()).unwrap_or_default(),
        epoch: Epoch(document.map_or(0, |d| d.epoch)),
        generation: Generation(document.map_or(0, |d| d.current)),
    };
    let login = Login { user: &credential.username, password: &credential.password };
    let users: Vec<&str> = config.users.iter().map(String::as_str).collect();
    let deadline = Deadline::after(config.connect_timeout + config.statement_timeout);
    let inspection = match port.inspect(login, &users, stamp, deadline).await {
        Ok(inspection) => inspection,
        Err(error) => {
            let warning = format!("{}: could not be looked at: {error}", config.name);
            return Some(Look { warning: Some(warning), ..Look::default() });
        }
    };
    let error = inspection.findings.iter().find(|finding| finding.severity == Severity::Error);
    let window = inspection.rollover.is_some_and(|rollover| rollover.open && !rollover.can_end);
    let warning = match (error, window) {
        (Some(error), _) => Some(format!("{}: a rotation would be refused: {}", config.name, error.what)),
        (None, true) => Some(format!("{}: a rollover window is open; a rotation waits until it is over", config.name)),
        (None, false) => None,
    };
    let no_way_back = match config.strategy {
        Strategy::Single => inspection.cannot_restore.map(|why| format!("{}: {why}", config.name)),
        Strategy::Alternating | Strategy::Rollover => None,
    };
    Some(Look { no_way_back, warning })
}
