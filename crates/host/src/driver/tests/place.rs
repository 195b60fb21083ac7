//! A made-up installation in memory: databases of every kind, one secret in each cloud, and runs of the driver over it.

use std::sync::{Arc, Mutex};

use dizzy_engine::{Capability, Finish, Goal, Timestamp};

use dizzy_audit::{RootKey, verify::Keys};

use super::super::{Adoption, AdoptionWants, Lease, Limits, OpenSecret, OpenSet, Quiet, Report, Run, Undo};
use crate::{
    audit::{AuditHead, AuditKey, Known, Source, TrailPlan, Verification, verify_set},
    config,
    document::{Format, SecretDocument},
    memory::{Acceptance, MemoryObjects, World},
    port::Clock,
    register::Document,
    secret::{Password, SecretText},
    testkit::Faults,
};

/// A database for a story: name, engine, users and strategy in the configuration, what the server checks and accepts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) config: &'static str,
    pub(super) capability: Capability,
    pub(super) acceptance: Acceptance,
}

const fn fenced(name: &'static str, config: &'static str) -> Member {
    Member { name, config, capability: Capability::RowFence, acceptance: Acceptance::Newest }
}

const fn unfenced(name: &'static str, config: &'static str, acceptance: Acceptance) -> Member {
    Member { name, config, capability: Capability::StatementCas, acceptance }
}

pub(super) const ALTERNATING: Member = fenced("alpha", "engine = \"postgres\"\nusers = [\"alpha_a\", \"alpha_b\"]");
pub(super) const ALTERNATING_CAS: Member =
    unfenced("beta", "engine = \"oracle\"\nservice = \"s\"\nusers = [\"beta_a\", \"beta_b\"]", Acceptance::Newest);
pub(super) const SINGLE: Member = fenced("gamma", "engine = \"postgres\"\nusers = [\"gamma\"]\nstrategy = \"single\"");
pub(super) const SINGLE_CAS: Member = unfenced(
    "delta",
    "engine = \"oracle\"\nservice = \"s\"\nusers = [\"delta\"]\nstrategy = \"single\"",
    Acceptance::Newest,
);
pub(super) const ROLLOVER: Member = unfenced(
    "epsilon",
    "engine = \"oracle\"\nservice = \"s\"\nusers = [\"epsilon\"]\nstrategy = \"rollover\"",
    Acceptance::Rollover,
);
pub(super) const ROLLOVER_ENDS: Member = Member { acceptance: Acceptance::RolloverThatEnds, ..ROLLOVER };
/// A second `single` with a fence: if one of two is refused at its COMMIT, the other has to go back.
const SINGLE_TOO: Member = fenced("zeta", "engine = \"postgres\"\nusers = [\"zeta\"]\nstrategy = \"single\"");

/// A set of databases.
pub(super) type Members = &'static [Member];

/// Every strategy by itself, with either way of keeping old requests out; the pairs; both kinds of rollover.
pub(super) const MIXES: [Members; 13] = [
    &[ALTERNATING, ALTERNATING_CAS],
    &[ALTERNATING, SINGLE],
    &[SINGLE, SINGLE_CAS],
    &[ALTERNATING_CAS, SINGLE_CAS],
    &[ALTERNATING, SINGLE_CAS],
    &[ALTERNATING, ROLLOVER],
    &[SINGLE, ROLLOVER],
    &[SINGLE_CAS, ROLLOVER],
    &[ALTERNATING, ROLLOVER_ENDS],
    &[SINGLE, ROLLOVER_ENDS],
    &[ROLLOVER],
    &[ROLLOVER_ENDS],
    &[SINGLE, SINGLE_TOO],
];

impl Member {
    /// Whether CURRENT of this database may not log in for a moment.
    pub(super) fn is_single(&self) -> bool {
        self.config.contains("\"single\"")
    }

    pub(super) fn is_rollover(&self) -> bool {
        self.acceptance != Acceptance::Newest
    }
}

const AUDIT_KEY: &str = "hex:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// As many wrong logins as lock an account, as Oracle's default profile has it.
pub(super) const LOCKS_AFTER: u32 = 10;

/// Paused time: the driver's pauses move it, nothing else does.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokioClock;

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        // A thread that plays many stories has begun them all after this.
        thread_local! {
            static START: tokio::time::Instant = tokio::time::Instant::now();
        }
        let elapsed = START.with(tokio::time::Instant::elapsed);
        Timestamp(1_767_225_600_000 + i64::try_from(elapsed.as_millis()).unwrap())
    }
}

/// A made-up installation: the world, and the set's configuration.
pub(super) struct Place {
    pub(super) world: World,
    pub(super) config: config::Config,
    pub(super) members: Members,
}

impl Place {
    pub(super) async fn adopted(members: Members, seed: u64) -> Self {
        let place = Self::new(members, seed);
        let open = place.open(&Faults::none());
        Adoption::new(&open, Limits::default()).go(&AdoptionWants::default()).await.unwrap();
        // An administrator ran `prepare`: the fence rows are there.
        let register = place.register();
        for (member, database) in members.iter().zip(&place.world.databases) {
            let users: Vec<String> = place.config.sets["orders"].database(member.name).unwrap().users.clone();
            let users: Vec<&str> = users.iter().map(String::as_str).collect();
            database.add_fence("orders", &register.register, &users);
        }
        place
    }

    /// Adopted; and rotated once if a window can be ended, so that there is one to be ended.
    pub(super) async fn before_the_fault(members: Members) -> Self {
        let place = Self::adopted(members, 7).await;
        if members.iter().any(|member| member.acceptance == Acceptance::RolloverThatEnds) {
            let report = place.run(Goal::Rotate, &Faults::none()).await;
            assert!(matches!(report.finish, Finish::Rotated(_)), "{report:?}");
            place.pass_windows().await;
        }
        place
    }

    pub(super) fn new(members: Members, seed: u64) -> Self {
        let mut text = "[sets.orders]\non_active_sessions = \"warn\"\n".to_owned();
        for member in members {
            text += &format!("[sets.orders.databases.{}]\n{}\n", member.name, member.config);
        }
        text += "[[sets.orders.secrets]]\nstore = \"aws-sm:one\"\n[[sets.orders.secrets]]\nstore = \"oci-vault:two\"\n";
        let config = config::parse("test.toml", &text).unwrap();
        let mut world = World::new(seed);
        let (mut first, mut second) = (serde_json::Map::new(), serde_json::Map::new());
        for member in members {
            let database = world.add_database(member.name, member.capability, member.acceptance);
            if member.capability == Capability::StatementCas {
                database.lock_after(LOCKS_AFTER);
            }
            let users = &config.sets["orders"].database(member.name).unwrap().users;
            for (at, user) in users.iter().enumerate() {
                let password = format!("{user}-initial-password");
                database.add_user(user, Password::new(password.clone()));
                let entry =
                    serde_json::json!({"engine": "postgres", "username": user, "password": password, "note": "kept"});
                let document = if at == 0 { &mut first } else { &mut second };
                document.insert(member.name.to_owned(), entry);
            }
            if users.len() == 1 {
                second.insert(member.name.to_owned(), first[member.name].clone());
            }
        }
        let text =
            |map: &serde_json::Map<String, serde_json::Value>| SecretText::new(serde_json::to_string(map).unwrap());
        // PREVIOUS holds the second users, as after a rotation by hand. One store of each cloud.
        world.add_store("aws-sm:one", text(&second)).put_by_hand(text(&first));
        world.add_vault("oci-vault:two", text(&second)).put_by_hand(text(&first));
        Self { world, config, members }
    }

    pub(super) fn open(&self, faults: &Arc<Faults>) -> OpenSet {
        let config = self.config.sets["orders"].clone();
        let databases =
            self.world.databases.iter().map(|database| faults.memory_database(database)).collect::<Vec<_>>();
        // Databases of a configuration are in the order of their names.
        let mut databases = databases;
        databases.sort_by_key(|d| d.name().to_owned());
        let secrets = self
            .world
            .stores
            .iter()
            .map(|store| OpenSecret {
                store: faults.memory_store(store),
                format: Format::Blob,
                first_look: Mutex::default(),
                covers: (0..self.members.len()).collect(),
            })
            .collect();
        OpenSet {
            config,
            databases,
            secrets,
            journal: faults.memory_journal(&self.world.journal),
            audit: Arc::new(self.trail_plan(faults)),
            clock: Arc::new(TokioClock),
            randomness: Arc::clone(&self.world.randomness) as _,
            who: "test".to_owned(),
            lease: Lease::Respected,
            undo: Undo::Required,
            admins: Vec::new(),
        }
    }

    /// Two places of the trail for two of the mixes, one for the others: each adds its calls to whatever is tried everywhere.
    pub(super) fn sinks(&self) -> &[Arc<MemoryObjects>] {
        let both =
            [MIXES[0], MIXES[6]].iter().any(|mix| mix.iter().map(|m| m.name).eq(self.members.iter().map(|m| m.name)));
        if both { &self.world.audit } else { &self.world.audit[..1] }
    }

    fn trail_plan(&self, faults: &Arc<Faults>) -> TrailPlan {
        let sinks = self.sinks().iter().map(|store| faults.objects(Arc::clone(store) as _)).collect();
        let root = RootKey::from_text(AUDIT_KEY).unwrap();
        TrailPlan { key: Ok(Some(Arc::new(AuditKey { root, version: None }))), ..TrailPlan::unsigned(sinks, "test") }
    }

    /// What somebody finds who verifies the trail in every place against the register.
    pub(super) async fn verify_trail(&self) -> Verification {
        let mut keys = Keys::default();
        keys.ring.insert(RootKey::from_text(AUDIT_KEY).unwrap());
        let sources: Vec<Source> = self.sinks().iter().map(|store| Source { store: Arc::clone(store) as _ }).collect();
        let register = self.register();
        let known = Known {
            head: register.audit.as_ref().map(AuditHead::head),
            at_rest: (register.phase == "idle").then_some(register.last),
            registered: true,
            register: register.audit,
            ..Known::default()
        };
        verify_set(&keys, "orders", &sources, &known, Limits::default().call).await
    }

    pub(super) async fn run(&self, goal: Goal, faults: &Arc<Faults>) -> Report {
        let open = self.open(faults);
        Run::new(&open, Limits::default(), &Quiet).go(goal).await.unwrap()
    }

    /// Until the next rotation may begin: a window that nobody may end is over, by the register's time and on the server; one that
    /// can be ended is left open, and no request of an earlier worker can act any more.
    pub(super) async fn pass_windows(&self) {
        let waits = self.members.iter().any(|member| member.acceptance == Acceptance::Rollover);
        tokio::time::advance(std::time::Duration::from_secs(if waits { 3 * 3600 } else { 21 * 60 })).await;
        let (register, now) = (self.register(), TokioClock.now().0);
        for (member, database) in self.members.iter().zip(&self.world.databases) {
            // Servers in memory end no window by themselves: it ends here when it would there.
            let over = register.databases[member.name].window.is_some_and(|until| until <= now);
            if member.acceptance == Acceptance::Rollover || (member.is_rollover() && over) {
                for user in &self.config.sets["orders"].database(member.name).unwrap().users {
                    database.end_window(user);
                }
            }
        }
    }

    pub(super) fn register(&self) -> Document {
        let bytes = self.world.journal.latest("orders").unwrap();
        Document::parse(&bytes, "orders").unwrap()
    }

    /// Databases on which what a secret publishes does not log in.
    pub(super) fn dead(&self) -> Vec<String> {
        let mut dead = Vec::new();
        for (at, store) in self.world.stores.iter().enumerate() {
            let document = SecretDocument::parse(store.published().unwrap()).unwrap();
            for (member, database) in self.members.iter().zip(&self.world.databases) {
                let credential = document.credential(member.name, Format::Blob).unwrap();
                if !database.accepts(&credential.username, &credential.password) {
                    dead.push(format!("secret {at}, database {}", member.name));
                }
            }
        }
        dead
    }

    pub(super) fn stores_agree(&self) -> bool {
        let texts: Vec<String> = self.world.stores.iter().map(|s| s.published().unwrap().expose().to_owned()).collect();
        texts.windows(2).all(|pair| pair[0] == pair[1])
    }

    pub(super) fn assert_at_rest(&self, context: &str) {
        let register = self.register();
        assert_eq!(register.phase, "idle", "{context}: at rest");
        assert_eq!(self.dead(), Vec::<String>::new(), "{context}: every published credential logs in");
        assert!(self.stores_agree(), "{context}: both secrets publish the same");
    }
}
