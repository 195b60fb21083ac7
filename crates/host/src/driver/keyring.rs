//! Passwords by database and generation, for the length of one run. Filled from the stores, never from anywhere else, except that the
//! first secret that publishes a database gets a password made here, which is staged before it is used.

use std::{collections::BTreeMap, sync::Mutex};

use dizzy_engine::{DatabaseIx, Generation};

use crate::document::Credential;

/// What is known so far.
#[derive(Default)]
pub(super) struct Keyring(Mutex<BTreeMap<(u8, Generation), Credential>>);

impl Keyring {
    pub(super) fn find(&self, database: DatabaseIx, generation: Generation) -> Option<Credential> {
        self.lock().get(&(database.0, generation)).cloned()
    }

    pub(super) fn put(&self, database: DatabaseIx, generation: Generation, credential: Credential) {
        self.lock().insert((database.0, generation), credential);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(u8, Generation), Credential>> {
        // A panic elsewhere cannot leave the map half-written: every change is one insert.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
