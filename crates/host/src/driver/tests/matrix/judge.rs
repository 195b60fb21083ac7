//! The judge: after every single call it logs in by itself, with what the stores show, and compares what the servers accept with what
//! is kept. It uses none of the driver's ports.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use super::super::place::{Members, Place};
use crate::{
    document::{Credential, Format, SecretDocument},
    memory::{MemoryDatabase, MemoryJournal, MemoryObjects, MemoryStore},
    port::VersionId,
    register::Document,
};

/// What a version publishes, by database.
type Credentials = Arc<Vec<Option<Credential>>>;

/// Most broken promises that are kept: the first ones tell the story.
const ENOUGH: usize = 4;

/// Sees a place from outside.
pub(super) struct Judge {
    members: Members,
    users: Vec<Vec<String>>,
    databases: Vec<Arc<MemoryDatabase>>,
    stores: Vec<Arc<MemoryStore>>,
    journal: Arc<MemoryJournal>,
    trail: Vec<Arc<MemoryObjects>>,
    read: Mutex<BTreeMap<(usize, VersionId), Credentials>>,
    seen_writes: Mutex<usize>,
    broken: Mutex<Vec<String>>,
}

impl Judge {
    pub(super) fn of(place: &Place) -> Arc<Self> {
        let config = &place.config.sets["orders"];
        Arc::new(Self {
            members: place.members,
            users: place.members.iter().map(|m| config.database(m.name).unwrap().users.clone()).collect(),
            databases: place.world.databases.clone(),
            stores: place.world.stores.clone(),
            journal: Arc::clone(&place.world.journal),
            trail: place.sinks().to_vec(),
            read: Mutex::default(),
            seen_writes: Mutex::default(),
            broken: Mutex::default(),
        })
    }

    /// The promises that were broken, first ones first.
    pub(super) fn broken(&self) -> Vec<String> {
        self.broken.lock().unwrap().clone()
    }

    /// Looks at everything that must hold at every moment.
    pub(super) fn look(&self) {
        for (at, member) in self.members.iter().enumerate() {
            let mut kept = Vec::new();
            for (number, store) in self.stores.iter().enumerate() {
                let labels = store.shown();
                let stages = [&labels.current, &labels.pending, &labels.previous];
                let [current, pending, previous] = stages.map(|id| self.credential(number, id.as_ref()?, at));
                let logs_in = |c: &Option<Credential>| {
                    c.as_ref().is_some_and(|c| self.databases[at].accepts(&c.username, &c.password))
                };
                if !member.is_single() && !logs_in(&current) {
                    self.complain(format!("I3: CURRENT of store {number} does not log in on {}", member.name));
                }
                if member.is_single() && ![&current, &pending, &previous].into_iter().any(logs_in) {
                    self.complain(format!("I4: no label of store {number} logs in on {}", member.name));
                }
                kept.extend([current, pending, previous].into_iter().flatten());
                kept.extend(labels.named.values().filter_map(|id| self.credential(number, id, at)));
            }
            for user in &self.users[at] {
                let newest = self.databases[at].newest(user).unwrap();
                if !kept.iter().any(|c| c.username == *user && c.password == newest) {
                    self.complain(format!("I1: the password of {user} on {} is in no store", member.name));
                }
            }
        }
        self.look_at_the_trail();
    }

    /// No generation is issued, and no database asked to change, that the trail does not announce.
    fn look_at_the_trail(&self) {
        let writes = self.journal.writes("orders");
        if core::mem::replace(&mut *self.seen_writes.lock().unwrap(), writes) == writes {
            return;
        }
        let bytes = self.journal.latest("orders").unwrap();
        let Ok(register) = Document::parse(&bytes, "orders") else {
            return self.complain("the register cannot be read".to_owned());
        };
        // The names of the trail's objects say which generation they are about.
        let about = |g: u64| format!("/{g:010}/");
        let announced = |g| self.trail.iter().any(|place| place.names().iter().any(|name| name.contains(&about(g))));
        if register.phase == "intent" && !register.next.is_some_and(announced) {
            self.complain("an Intent that the trail does not announce".to_owned());
        }
    }

    fn credential(&self, store: usize, id: &VersionId, database: usize) -> Option<Credential> {
        let mut read = self.read.lock().unwrap();
        let key = (store, id.clone());
        if !read.contains_key(&key) {
            let document = SecretDocument::parse(self.stores[store].value(id)?).ok()?;
            let all = self.members.iter().map(|m| document.credential(m.name, Format::Blob).ok()).collect();
            read.insert(key.clone(), Arc::new(all));
        }
        read[&key][database].clone()
    }

    pub(super) fn complain(&self, what: String) {
        let mut broken = self.broken.lock().unwrap();
        if broken.len() < ENOUGH && !broken.contains(&what) {
            broken.push(what);
        }
    }

    /// Everything that an undo must leave alone when it is done once more: passwords, versions and labels; of the register, what is
    /// published.
    pub(super) fn snapshot(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (users, database) in self.users.iter().zip(&self.databases) {
            for user in users {
                let valid: Vec<String> = database.valid(user).iter().map(|p| p.expose().to_owned()).collect();
                all.push(format!("{user}: {valid:?}"));
            }
        }
        for store in &self.stores {
            let versions: Vec<String> = store.versions().iter().map(|(id, v)| format!("{id} {}", v.expose())).collect();
            all.push(format!("{:?} {versions:?}", store.shown()));
        }
        let bytes = self.journal.latest("orders").unwrap();
        let register = Document::parse(&bytes, "orders").unwrap();
        // What is known of an idle user may be less: only the worker that changed it knows that it did.
        let live: Vec<_> = register.databases.values().map(|d| (&d.live, d.sent)).collect();
        all.push(format!(
            "{} {} {:?} {} {:?} {:?} {live:?}",
            register.phase, register.current, register.next, register.last, register.kept, register.stores
        ));
        all
    }
}
