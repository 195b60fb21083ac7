//! The driver: runs the engine's steps against the ports of one rotation set.
//!
//! It decides nothing. It turns generations into passwords and version ids, asks the ports, and hands every answer back as
//! applied, refused or unknown. It also keeps the promises that need a clock: deadlines, pauses, the longest life of a worker.

mod adopt;
mod attempts;
mod databases;
mod edits;
mod execute;
mod fit;
mod keyring;
mod observe;
mod plan;
mod rebuild;
mod reconcile;
mod report;
mod revoke;
mod run;
mod secrets;
mod session;
#[cfg(test)]
mod tests;
mod trouble;
mod world;

use std::sync::Arc;

use dizzy_engine::{DatabaseIx, Generation, LEASE_MS, Timestamp};

pub(crate) use self::adopt::FIRST;
pub(crate) use self::run::side_by_side;
pub use self::{
    adopt::{Adoption, AdoptionReport, AdoptionWants},
    fit::objection,
    observe::{Observer, Point, Quiet},
    rebuild::{NotRebuilt, Proposal, Rebuild},
    reconcile::{BreakGlass, Drift, NotRepaired, Reconcile, Repair},
    report::{Report, Verdict},
    revoke::{EndedWhere, SessionsEnd},
    run::{Halt, Limits, Run, Time, Until},
    session::register_error,
    trouble::{Target, Trouble},
};
use crate::{
    audit::TrailPlan,
    config::{OnActiveSessions, RotationSet},
    document::{Credential, DocumentError, Format, SecretDocument},
    port::{Clock, Database, Journal, Randomness, SecretStore, StoredVersion},
};

/// The code of the error that says that consumers still use the idle user.
pub const ACTIVE_SESSIONS: &str = "active-sessions";

/// The code of the error that says that a change could not be taken back.
pub const NOT_UNDOABLE: &str = "not-undoable";

/// The code of the error that says that no wrong login may be risked any more.
pub const ATTEMPTS_SPENT: &str = "attempts-spent";

/// One secret of an open set.
pub struct OpenSecret {
    /// The store.
    pub store: Arc<dyn SecretStore>,
    /// How credentials are laid out in the versions that are staged. What is read tells its own format.
    pub format: Format,
    /// What was read from CURRENT when the set was opened; used once, so that opening costs no extra call.
    pub first_look: std::sync::Mutex<Option<StoredVersion>>,
    /// Places (in the set) of the databases that it publishes.
    pub covers: Vec<usize>,
}

/// A rotation set with its ports.
pub struct OpenSet {
    /// Its configuration.
    pub config: RotationSet,
    /// Its databases, in the configuration's order.
    pub databases: Vec<Arc<dyn Database>>,
    /// Its secrets, in the configuration's order.
    pub secrets: Vec<OpenSecret>,
    /// Where the register is.
    pub journal: Arc<dyn Journal>,
    /// Where and how the audit trail is written.
    pub audit: Arc<TrailPlan>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub randomness: Arc<dyn Randomness>,
    /// Who we are, for people: host and process.
    pub who: String,
    /// Whether a lease that is still running must be respected.
    pub lease: Lease,
    /// Whether a change may be begun that could not be taken back.
    pub undo: Undo,
    /// An administrator's login per database, in the configuration's order, for what a revoke needs one for; may be empty.
    pub admins: Vec<Option<Credential>>,
}

/// What a set asks of the way back before it is begun (rulings §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Undo {
    /// A server that would refuse the old password again is a reason not to begin.
    Required,
    /// `--forward-only`: it is accepted that such a rotation can only be finished.
    ForwardOnly,
    /// A leaked password is worse than a rotation that can only be finished, and than one that comes early.
    Revoking,
}

/// What a lease of another worker means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lease {
    /// Its worker may be alive: wait.
    Respected,
    /// An operating-system lock on the journal shows that its worker is dead.
    Dead,
}

/// How far the clocks of two workers may be apart for a lease to be understood: what AWS accepts in a signature (OCI: five
/// minutes). A lease that ends later than one can is a wrong clock's, and to wait for it could mean to wait for a day.
const MOST_SKEW_MS: i64 = 15 * 60_000;

impl OpenSet {
    /// Whether a lease that ends then is waited for. Nothing but work is at stake: compare-and-swap stops who has lost the set.
    fn is_leased(&self, until: Timestamp) -> bool {
        let now = self.clock.now();
        self.lease == Lease::Respected && until > now && until <= now.plus_ms(LEASE_MS + MOST_SKEW_MS)
    }

    /// The credential of a database in a version of a secret, whichever format that version has.
    fn credential(
        &self,
        secret: &OpenSecret,
        document: &SecretDocument,
        database: &str,
    ) -> Result<Credential, DocumentError> {
        document.credential(database, self.format_of(secret, document))
    }

    fn format_of(&self, secret: &OpenSecret, document: &SecretDocument) -> Format {
        let names: Vec<&str> = self.config.databases.iter().map(|d| d.name.as_str()).collect();
        document.format(&names).unwrap_or(secret.format)
    }

    /// The first secret that publishes a database: it decides the database's password of each generation.
    fn lead(&self, database: usize) -> Option<usize> {
        self.secrets.iter().position(|secret| secret.covers.contains(&database))
    }

    /// The name of a database in the configuration.
    fn name_at(&self, ix: DatabaseIx) -> &str {
        self.config.databases.get(usize::from(ix.0)).map_or("", |d| d.name.as_str())
    }

    fn on_active_sessions(&self) -> OnActiveSessions {
        self.config.on_active_sessions
    }
}

/// A generation for messages.
fn number(generation: Generation) -> u64 {
    generation.0
}
