//! Wrong logins are spent sparingly where a server locks accounts: the application would be locked out with us.
//!
//! Our own wrong logins of each user since its last right one are in the register, so that no number of restarts spends more. A login
//! that may be wrong is counted before it is tried; one that ought to be right, only if it was not.

use core::future::Future;

use dizzy_engine::{DatabaseIx, Generation, Timestamp, UserIx};

use super::{OpenSet, number, run::Limits, session::Session};
use crate::{
    port::{Certainty, Kind, PortError, PortResult},
    register::Document,
};

impl OpenSet {
    /// Forgets the wrong logins of every user: a person has said that they may be risked again (`recover --retry-logins`).
    ///
    /// # Errors
    /// If the register cannot be read or written.
    pub async fn forget_wrong_logins(&self, limits: Limits) -> PortResult<()> {
        let name = &self.config.name;
        let Some(stored) = self.journal.read(name, limits.journal()).await? else { return Ok(()) };
        let mut document = Document::parse(&stored.bytes, name).map_err(super::register_error)?;
        // A write beside a worker that is alive would cost it the set.
        if self.is_leased(Timestamp(document.owner.until)) {
            let what = format!("forget the wrong logins of {name}: another worker holds the set");
            return Err(PortError::refused(Kind::Conflict, what).with_hint("run it again when that worker has ended"));
        }
        if document.forget_wrong() {
            self.journal.write(name, Some(&stored.tag), &document.to_bytes(), limits.journal()).await?;
        }
        Ok(())
    }
}

/// How often the count is written again after a lost reply; each time the register is read first.
const TRIES: u32 = 5;

/// What an unknown end of a call says about its login.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unknown {
    /// The login had worked: what it was made for was sent.
    AfterLogin,
    /// The password may have been judged wrong.
    DuringLogin,
}

impl Session<'_> {
    /// Runs a call that logs in as `user` with the password of `generation`, within the user's budget of wrong logins.
    pub(super) async fn within_attempts<T>(
        &self,
        ix: DatabaseIx,
        user: UserIx,
        generation: Generation,
        unknown: Unknown,
        call: impl Future<Output = PortResult<T>>,
    ) -> PortResult<T> {
        let Some(allowed) = self.database(ix)?.wrong_logins_allowed() else { return call.await };
        let name = self.user_name(ix, user)?;
        if self.wrong_logins(ix, &name) >= allowed {
            return Err(PortError::refused(
                Kind::Locked,
                format!(
                    "{allowed} logins as {name} were wrong or never answered; another could lock the account for the application too"
                ),
            )
            .with_code(super::ATTEMPTS_SPENT)
            .with_hint(format!(
                "see which password works (`dizzy-keys status {set}` names the candidates), then `dizzy-keys recover --retry-logins {set}`",
                set = self.set.config.name
            )));
        }
        let sure = self.is_sure(ix, user, &name, generation);
        if !sure {
            self.count_wrong(ix, &name, |wrong| wrong.saturating_add(1)).await?;
        }
        let result = call.await;
        let counted = match &result {
            Ok(_) => {
                self.state().proven.insert((ix.0, user, generation));
                self.was_right(ix, &name).await
            }
            Err(error) if error.certainty == Certainty::Unknown && unknown == Unknown::AfterLogin => {
                self.was_right(ix, &name).await
            }
            Err(error) if error.kind == Kind::Credential => {
                self.state().proven.remove(&(ix.0, user, generation));
                if sure { self.count_wrong(ix, &name, |wrong| wrong.saturating_add(1)).await } else { Ok(()) }
            }
            // The password was never looked at.
            Err(error) if error.certainty == Certainty::Refused && !sure => {
                self.count_wrong(ix, &name, |wrong| wrong.saturating_sub(1)).await
            }
            Err(_) => Ok(()),
        };
        // What came of the call is what came of it, whether or not that could be counted: a change that was made must never be told as
        // refused. A count that is not written errs on the side of fewer logins, or meets the next write of the register.
        if let Err(error) = counted {
            tracing::debug!(kind = ?error.kind, "wrong logins could not be counted");
        }
        result
    }

    /// Written at once: a worker that is killed again and again here must not use up the budget by being right.
    async fn was_right(&self, ix: DatabaseIx, user: &str) -> PortResult<()> {
        if self.wrong_logins(ix, user) > 0 { self.count_wrong(ix, user, |_| 0).await } else { Ok(()) }
    }

    /// An administrator has set the password: what was wrong before says nothing about it.
    pub(super) async fn forget_wrong(&self, ix: DatabaseIx, user: UserIx) -> PortResult<()> {
        let name = self.user_name(ix, user)?;
        self.was_right(ix, &name).await
    }

    /// Whether the register or this run has seen this password work, and nothing was sent since.
    fn is_sure(&self, ix: DatabaseIx, user: UserIx, name: &str, generation: Generation) -> bool {
        let state = self.state();
        let Some((document, _)) = &state.register else { return false };
        let entry = document.databases.get(self.set.name_at(ix)).and_then(|d| d.users.get(name));
        let recorded = entry.is_some_and(|u| u.known == Some(number(generation)) && u.maybe.is_empty());
        recorded || state.proven.contains(&(ix.0, user, generation))
    }

    fn wrong_logins(&self, ix: DatabaseIx, user: &str) -> u32 {
        let state = self.state();
        let Some((document, _)) = &state.register else { return 0 };
        document.wrong(self.set.name_at(ix), user)
    }

    /// Writes the changed count into the register. Nothing else of it changes, so the engine's own writes fit on either.
    async fn count_wrong(&self, ix: DatabaseIx, user: &str, change: impl Fn(u32) -> u32) -> PortResult<()> {
        // Databases are asked side by side, and each write needs the tag of the one before.
        let _writing = self.counting.lock().await;
        let database = self.set.name_at(ix);
        let set = &self.set.config.name;
        let count = change(self.wrong_logins(ix, user));
        for _ in 0..TRIES {
            let Some((mut document, tag)) = self.state().register.clone() else { return Ok(()) };
            let before = document.clone();
            document.set_wrong(database, user, count);
            let written = self.set.journal.write(set, Some(&tag), &document.to_bytes(), self.limits.journal()).await;
            match written {
                Ok(tag) => {
                    self.state().register = Some((document, tag));
                    return Ok(());
                }
                Err(error) if error.certainty == Certainty::Unknown => {
                    let Some(stored) = self.set.journal.read(set, self.limits.journal()).await? else { break };
                    let found = Document::parse(&stored.bytes, set).map_err(super::register_error)?;
                    if found != document && found != before {
                        break;
                    }
                    let done = found == document;
                    self.state().register = Some((found, stored.tag));
                    if done {
                        return Ok(());
                    }
                }
                Err(error) if error.kind == Kind::Conflict => break,
                Err(error) => return Err(error),
            }
        }
        Err(PortError::refused(Kind::Busy, "write the count of wrong logins: another worker has the register"))
    }
}
