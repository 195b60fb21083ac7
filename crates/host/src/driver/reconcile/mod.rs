//! Repairing a drift: what somebody changed beside the register is brought together with it again, after a person has agreed.
//!
//! Looking gives a plan, and changes nothing. Mending takes the set under a new epoch, looks again, stops if the plan is another one by then,
//! and does every step by compare-and-swap: a password by the user itself under its fence, CURRENT from the version that was seen. What may
//! have been sent is in the register before it is sent. A run that was cut off is begun again, and finds what is left.

mod mend;
mod plan;

use dizzy_engine::{Generation, Phase, Timestamp};

use self::plan::Plan;
use super::{
    OpenSet,
    run::Limits,
    session::{Session, no_register, register_error},
    trouble::{Target, Trouble},
    world::World,
};
use crate::{
    port::VersionId,
    register::{Document, phase_name},
};

/// A repair of one set.
pub struct Reconcile<'a> {
    set: &'a OpenSet,
    limits: Limits,
    break_glass: BreakGlass,
}

/// Whether an administrator may set a password that nobody knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BreakGlass {
    /// `--break-glass`: yes, with the configured login.
    Allowed,
    /// No.
    Kept,
}

/// One thing to be repaired. Positions are those of the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Repair {
    /// CURRENT holds the published credentials under another version, which is recorded.
    Record {
        /// Which secret.
        secret: usize,
        /// The version.
        version: VersionId,
    },
    /// CURRENT goes back to the published generation.
    Move {
        /// Which secret.
        secret: usize,
        /// Where CURRENT is.
        from: VersionId,
        /// Where it goes.
        to: VersionId,
    },
    /// A user changes its password from that of an older or given-up generation to the published one.
    Change {
        /// Which database.
        database: usize,
        /// The user.
        user: String,
        /// The generation that it is on.
        from: Generation,
    },
    /// A user is on another generation than the register says, and that is recorded.
    Settle {
        /// Which database.
        database: usize,
        /// The user.
        user: String,
        /// The generation.
        on: Generation,
    },
    /// An administrator sets the password that the register says.
    Reset {
        /// Which database.
        database: usize,
        /// The user.
        user: String,
        /// The generation.
        to: Generation,
    },
    /// What every secret publishes and every database accepts becomes a generation of its own.
    Adopt {
        /// Its number.
        generation: Generation,
    },
}

/// Why nothing was repaired.
#[derive(Clone, Debug, PartialEq)]
pub enum NotRepaired {
    /// Another worker holds the set until then.
    Busy(Timestamp),
    /// The world is not what was agreed to any more.
    Changed,
    /// A rotation is under way: this is its phase.
    UnderWay(Phase),
    /// What is found has more than one reading, or needs more than may be done.
    Unclear {
        /// What was found.
        what: String,
        /// What a person can do about it.
        hint: String,
    },
    /// Something needed was refused or out of reach.
    Trouble(Box<Trouble>),
}

impl From<Box<Trouble>> for NotRepaired {
    fn from(trouble: Box<Trouble>) -> Self {
        Self::Trouble(trouble)
    }
}

type Repaired<T> = Result<T, NotRepaired>;

/// What would be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// The published generation, as the register records it.
    pub current: Generation,
    /// In the order in which it is done; empty: there is no drift.
    pub repairs: Vec<Repair>,
    /// What was found, line by line.
    pub found: Vec<String>,
    /// The repairs, line by line.
    pub says: Vec<String>,
}

impl<'a> Reconcile<'a> {
    /// A repair that has not begun.
    #[must_use]
    pub fn new(set: &'a OpenSet, limits: Limits, break_glass: BreakGlass) -> Self {
        Self { set, limits, break_glass }
    }

    /// Looks, and says what would be done. Changes nothing but the count of wrong logins.
    ///
    /// # Errors
    /// If the set is not at rest, if the world has more than one reading, or if something could not be asked.
    pub async fn look(&self) -> Repaired<Drift> {
        let session = self.session()?;
        let document = self.load(&session).await?;
        let world = World::look(self.set, self.limits).await?.counting(&session);
        Ok(Plan::of(&world, &session, &document, self.break_glass).await?.drift)
    }

    fn session(&self) -> Repaired<Session<'a>> {
        let mut run = [0; 4];
        let filled = self.set.randomness.fill(&mut run);
        filled.map_err(|error| Box::new(Trouble { target: Target::Set, error }))?;
        Ok(Session::new(self.set, self.limits, u32::from_be_bytes(run)))
    }

    /// The register of a set at rest, into the session.
    async fn load(&self, session: &Session<'_>) -> Repaired<Document> {
        let in_journal = |error| Box::new(Trouble { target: Target::Journal, error });
        let name = &self.set.config.name;
        let stored = self.set.journal.read(name, self.limits.journal()).await.map_err(in_journal)?;
        let Some(stored) = stored else {
            let error = crate::port::PortError::refused(crate::port::Kind::NotFound, "there is no register");
            return Err(
                in_journal(error.with_hint(format!("dizzy-keys recover --from-world {name}, if it is lost"))).into()
            );
        };
        let document = Document::parse(&stored.bytes, name).map_err(register_error).map_err(in_journal)?;
        let register = document.to_engine(&self.set.config).map_err(register_error).map_err(in_journal)?;
        if self.set.is_leased(register.owner.until) {
            return Err(NotRepaired::Busy(register.owner.until));
        }
        if register.phase != Phase::Idle || !document.adopted {
            return Err(NotRepaired::UnderWay(register.phase));
        }
        session.trail.continue_from(document.audit.as_ref());
        session.state().register = Some((document.clone(), stored.tag));
        Ok(document)
    }

    /// The user that is published on a database, by its place.
    fn live(&self, document: &Document, at: usize) -> Repaired<String> {
        let entry = self.set.config.databases.get(at).and_then(|config| document.databases.get(&config.name));
        let missing = || NotRepaired::Trouble(Box::new(Trouble { target: Target::Journal, error: no_register() }));
        Ok(entry.ok_or_else(missing)?.live.clone())
    }
}

/// The word for the phase that a set must be in.
fn at_rest() -> String {
    phase_name(Phase::Idle).to_owned()
}
