//! Adapters in memory: a whole world in which rotations can be run, looked at from outside and broken on purpose.
//!
//! They behave as the real ones are documented to (fence rows, statement checks, rollover windows, label moves), so that
//! the driver's tests mean something. No fault is injected here: that is `testkit::faults`, which wraps any adapter.

mod clock;
mod database;
mod journal;
mod objects;
mod server;
mod store;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use clock::{ManualClock, SeededRandomness};
pub use database::{MemoryDatabase, Submitted};
use dizzy_engine::Capability;
pub use journal::MemoryJournal;
pub use objects::MemoryObjects;
pub use server::{Acceptance, PasswordRule};
pub use store::{MemoryStore, Retention, Staging};

use crate::{
    port::{Deadline, Kind, PortError, PortResult},
    secret::{Password, SecretText},
};

/// One of everything, and as many databases and stores as a test adds. Handles are shared: what a worker changes through a
/// port is seen here, and the other way round.
pub struct World {
    /// The register's home.
    pub journal: Arc<MemoryJournal>,
    /// Two places of the audit trail.
    pub audit: [Arc<MemoryObjects>; 2],
    /// Time, moved by hand.
    pub clock: Arc<ManualClock>,
    /// Known bytes.
    pub randomness: Arc<SeededRandomness>,
    /// In the order of adding.
    pub databases: Vec<Arc<MemoryDatabase>>,
    /// In the order of adding.
    pub stores: Vec<Arc<MemoryStore>>,
}

impl World {
    /// An empty world whose passwords and ids follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            journal: Arc::new(MemoryJournal::default()),
            audit: [Arc::new(MemoryObjects::new("memory://aws")), Arc::new(MemoryObjects::new("memory://oci"))],
            clock: Arc::new(ManualClock::default()),
            randomness: Arc::new(SeededRandomness::new(seed)),
            databases: Vec::new(),
            stores: Vec::new(),
        }
    }

    /// Adds a database without users.
    pub fn add_database(&mut self, name: &str, capability: Capability, acceptance: Acceptance) -> Arc<MemoryDatabase> {
        let database = Arc::new(MemoryDatabase::new(name, capability, acceptance));
        self.databases.push(Arc::clone(&database));
        database
    }

    /// Adds a secret whose CURRENT is `value`. Versions without a label are gone at once: whoever needs one, labels it.
    pub fn add_store(&mut self, name: &str, value: SecretText) -> Arc<MemoryStore> {
        let store = Arc::new(MemoryStore::new(name, value, Retention::DropUnlabelled));
        self.stores.push(Arc::clone(&store));
        store
    }

    /// Adds a secret of a store that stages as PENDING and lets no version vanish.
    pub fn add_vault(&mut self, name: &str, value: SecretText) -> Arc<MemoryStore> {
        let store = MemoryStore::new(name, value, Retention::KeepAll).staging(Staging::Pending);
        let store = Arc::new(store);
        self.stores.push(Arc::clone(&store));
        store
    }

    /// Names of the databases on which `user` logs in with `password`. Asking costs no login attempt.
    #[must_use]
    pub fn where_it_logs_in(&self, user: &str, password: &Password) -> Vec<String> {
        self.databases
            .iter()
            .filter(|database| database.accepts(user, password))
            .map(|database| crate::port::Database::name(&**database).to_owned())
            .collect()
    }
}

/// A poisoned lock means that a test has failed already; its state is still worth looking at.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first line of every call: what has no time left is not begun.
fn in_time(deadline: Deadline, what: &str) -> PortResult<()> {
    if deadline.left().is_zero() { Err(PortError::refused(Kind::Timeout, what)) } else { Ok(()) }
}
