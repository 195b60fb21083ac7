//! `verify`: every published credential, and whether it logs in.

use serde::Serialize;

use super::{
    View,
    moment::length,
    text::{Text, Tone},
};
use crate::{
    args::Output,
    code::{Code, Exit},
    render,
    report::Report,
};

/// Every login that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    /// One per set.
    pub sets: Vec<VerifiedSet>,
}

/// A set.
#[derive(Clone, Debug, Serialize)]
pub struct VerifiedSet {
    /// Its name.
    pub set: String,
    /// One per secret and database.
    pub logins: Vec<LoginRow>,
}

/// A login with what a secret publishes.
#[derive(Clone, Debug, Serialize)]
pub struct LoginRow {
    /// The secret.
    pub secret: String,
    /// The version that is CURRENT.
    pub version: Option<String>,
    /// The database.
    pub database: String,
    /// The user that is published.
    pub user: Option<String>,
    /// What came of it.
    pub result: LoginResult,
    /// How long the login took, in milliseconds.
    pub ms: Option<u64>,
    /// Why not, in our words, with the other side's code.
    pub why: Option<String>,
    /// The error code.
    pub code: Option<&'static str>,
}

/// What came of a login.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginResult {
    /// It logged in.
    LoggedIn,
    /// The server refused the credential.
    Refused,
    /// It could not be tried.
    Unknown,
}

impl VerifyReport {
    /// Shows the result, and says how to exit.
    ///
    /// # Errors
    /// [`Code::PublishedRefused`] if a published credential does not log in, [`Code::NotVerified`] if one could not be tried,
    /// [`Code::Output`] if the result cannot be written.
    pub fn conclude(&self, output: Output) -> Result<Exit, Report> {
        render::show(output, self)?;
        self.verdict()
    }

    /// How to exit.
    ///
    /// # Errors
    /// [`Code::PublishedRefused`] if a published credential does not log in, [`Code::NotVerified`] if one could not be tried.
    pub fn verdict(&self) -> Result<Exit, Report> {
        let total: usize = self.sets.iter().map(|set| set.logins.len()).sum();
        let names = |result| {
            let logins = self.sets.iter().flat_map(|set| set.logins.iter().map(move |login| (set, login)));
            let these = logins.filter(|(_, login)| login.result == result);
            these.map(|(set, login)| format!("{} for {}/{}", login.secret, set.set, login.database)).collect::<Vec<_>>()
        };
        let (refused, unknown) = (names(LoginResult::Refused), names(LoginResult::Unknown));
        if !refused.is_empty() {
            let what = format!("{} of {total} published credentials refused: {}", refused.len(), refused.join(", "));
            return Err(Report::new(
                Code::PublishedRefused,
                what,
                "consumers of what was refused cannot log in; nothing was changed",
            )
            .exit(Exit::NeedsHuman)
            .hint(
                "`dizzy-keys status SET` says which generation should be published; then see the page of this code",
            ));
        }
        if !unknown.is_empty() {
            let what = format!("{} of {total} published credentials not tried: {}", unknown.len(), unknown.join(", "));
            return Err(Report::new(Code::NotVerified, what, "the others log in; nothing was changed")
                .hint("the lines marked \"not tried\" say why"));
        }
        Ok(Exit::Done)
    }

    /// Whether some login ended like this.
    #[must_use]
    pub fn any(&self, result: LoginResult) -> bool {
        self.sets.iter().flat_map(|set| &set.logins).any(|login| login.result == result)
    }
}

impl View for VerifyReport {
    const KIND: &'static str = "verify";

    fn text(&self, text: &mut Text) {
        let mut rows = Vec::new();
        for set in &self.sets {
            for login in &set.logins {
                let result = match login.result {
                    LoginResult::LoggedIn => Tone::Good.paint("logs in"),
                    LoginResult::Refused => Tone::Bad.paint("REFUSED"),
                    LoginResult::Unknown => Tone::Warn.paint("not tried"),
                };
                rows.push(vec![
                    set.set.clone(),
                    login.secret.clone(),
                    login.database.clone(),
                    login.user.clone().unwrap_or_else(|| "-".to_owned()),
                    result,
                    login.ms.map(length).unwrap_or_default(),
                    match (login.code, &login.why) {
                        (Some(code), Some(why)) => format!("{code}: {why}"),
                        (code, why) => code.map(str::to_owned).or_else(|| why.clone()).unwrap_or_default(),
                    },
                ]);
            }
        }
        text.table(&["SET", "SECRET", "DATABASE", "USER", "RESULT", "TIME", "WHY"], &rows);
        text.line("");
        let refused = self.any(LoginResult::Refused);
        if refused {
            text.line(Tone::Bad.paint("A published credential does not log in: its consumers are locked out."));
        } else if self.any(LoginResult::Unknown) {
            text.line(Tone::Warn.paint("Not every published credential could be tried."));
        } else {
            text.line(Tone::Good.paint("Every published credential logs in."));
        }
    }
}
