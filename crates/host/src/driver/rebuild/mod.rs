//! A register that is lost, rebuilt from what it left in the world: fence rows, names of versions, the trail, and logins.
//!
//! Looking changes nothing and gives a [`Proposal`]; a person agrees; writing fences every earlier worker off, looks whether all is still as
//! it was, and creates the register, never over one that can be read. Each step may be repeated: what was cut off is begun again. What a
//! lost register had not finished is finished by the run that follows: it enters at the phase that is written here.

mod decide;
mod facts;
mod write;

use dizzy_engine::{Generation, Phase, Timestamp};

use self::{decide::Decision, facts::Facts};
use super::{
    OpenSet,
    run::Limits,
    session::register_error,
    trouble::{Target, Trouble},
    world::World,
};
use crate::{
    document::Credential,
    port::{PortError, Tag, VersionId},
    register::{Document, DocumentError},
};

/// A rebuild of one set's register.
pub struct Rebuild<'a> {
    set: &'a OpenSet,
    limits: Limits,
}

/// Why no register was written.
#[derive(Clone, Debug, PartialEq)]
pub enum NotRebuilt {
    /// There is one, and it can be read.
    Exists,
    /// What the world shows does not say what the register was.
    Unclear {
        /// What was found.
        what: String,
        /// What a person can do about it.
        hint: String,
    },
    /// Something needed was refused or out of reach.
    Trouble(Box<Trouble>),
}

impl From<Box<Trouble>> for NotRebuilt {
    fn from(trouble: Box<Trouble>) -> Self {
        Self::Trouble(trouble)
    }
}

type Rebuilt<T> = Result<T, NotRebuilt>;

/// A user of a database, and the generation it was found on.
#[derive(Clone)]
struct FoundUser {
    at: usize,
    generation: Generation,
    credential: Credential,
    is_published: bool,
}

/// What would be written, and what it rests on.
pub struct Proposal<'a> {
    world: World<'a>,
    /// That of a register that cannot be read.
    tag: Option<Tag>,
    /// The register.
    pub document: Document,
    users: Vec<FoundUser>,
    /// Secrets whose CURRENT goes to another version.
    moves: Vec<(usize, VersionId, VersionId)>,
    /// What CURRENT shows is a generation that no version is named after.
    is_new: bool,
    /// What was found, line by line.
    pub found: Vec<String>,
    /// What follows from it.
    pub says: String,
}

impl<'a> Rebuild<'a> {
    /// A rebuild that has not begun.
    #[must_use]
    pub fn new(set: &'a OpenSet, limits: Limits) -> Self {
        Self { set, limits }
    }

    /// Looks, and says what would be written. Changes nothing.
    ///
    /// # Errors
    /// If there is a register, if the world does not tell what it was, or if something could not be asked.
    pub async fn look(&self) -> Rebuilt<Proposal<'a>> {
        let tag = self.lost_register().await?;
        let world = World::look(self.set, self.limits).await?;
        let facts = Facts::gather(&world).await?;
        let decision = Decision::of(&world, &facts).await?;
        let now = self.set.clock.now();
        let document = decision.document(&world, &facts, now);
        let says = decision.says(&facts, &document);
        let found = decision.found(&world, &document);
        let Decision { users, moves, is_new, .. } = decision;
        Ok(Proposal { world, tag, document, users, moves, is_new, found, says })
    }

    /// The tag of a register that cannot be read; an error if one can.
    async fn lost_register(&self) -> Rebuilt<Option<Tag>> {
        let name = &self.set.config.name;
        let in_journal = |error| Box::new(Trouble { target: Target::Journal, error });
        let stored = self.set.journal.read(name, self.limits.journal()).await.map_err(in_journal)?;
        let Some(stored) = stored else { return Ok(None) };
        match Document::parse(&stored.bytes, name) {
            Ok(_) => Err(NotRebuilt::Exists),
            Err(DocumentError::Malformed { .. }) => Ok(Some(stored.tag)),
            Err(error) => Err(in_journal(register_error(error)).into()),
        }
    }
}

impl Proposal<'_> {
    /// Whether something is left to be finished once the register is there.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.document.phase != crate::register::phase_name(Phase::Idle)
    }

    /// When nothing of an earlier worker can act any more.
    #[must_use]
    pub fn quiet(&self) -> Option<Timestamp> {
        self.document.quiet.map(Timestamp)
    }
}

fn unclear(what: impl Into<String>, hint: impl Into<String>) -> NotRebuilt {
    NotRebuilt::Unclear { what: what.into(), hint: hint.into() }
}

fn in_the_trail(error: PortError) -> NotRebuilt {
    NotRebuilt::Trouble(Box::new(Trouble { target: Target::Audit, error }))
}
