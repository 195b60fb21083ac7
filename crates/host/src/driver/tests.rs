//! Stories of whole rotations against memory adapters, and the sweep: every port call, failing in every form, in every strategy.

use std::sync::{Arc, Mutex};

use dizzy_engine::{Capability, Finish, Goal, Timestamp};

use super::{Adoption, AdoptionWants, Limits, OpenSecret, OpenSet, Quiet, Report, Run, Verdict};
use crate::{
    config,
    document::SecretDocument,
    memory::{Acceptance, World},
    port::Clock,
    secret::{Password, SecretText},
    testkit::{Fault, Faults, Form},
};

/// A database for a story: name, users and strategy line in the configuration, capability.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    config: &'static str,
    capability: Capability,
}

const ALTERNATING: Kind =
    Kind { name: "alpha", config: "users = [\"alpha_a\", \"alpha_b\"]", capability: Capability::RowFence };
const ALTERNATING_CAS: Kind =
    Kind { name: "beta", config: "users = [\"beta_a\", \"beta_b\"]", capability: Capability::StatementCas };
const SINGLE: Kind =
    Kind { name: "gamma", config: "users = [\"gamma\"]\nstrategy = \"single\"", capability: Capability::RowFence };
const SINGLE_CAS: Kind =
    Kind { name: "delta", config: "users = [\"delta\"]\nstrategy = \"single\"", capability: Capability::StatementCas };

const MIXES: [[Kind; 2]; 4] =
    [[ALTERNATING, ALTERNATING_CAS], [ALTERNATING, SINGLE], [SINGLE, SINGLE_CAS], [ALTERNATING_CAS, SINGLE_CAS]];

#[derive(Clone, Copy, Debug)]
struct TokioClock;

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        // Paused time: the driver's pauses move it, nothing else does.
        thread_local! {
            static START: tokio::time::Instant = tokio::time::Instant::now();
        }
        let elapsed = START.with(tokio::time::Instant::elapsed);
        Timestamp(1_767_225_600_000 + i64::try_from(elapsed.as_millis()).unwrap())
    }
}

/// A made-up installation: the world, and the set's configuration.
struct Place {
    world: World,
    config: config::Config,
    kinds: [Kind; 2],
}

impl Place {
    async fn adopted(kinds: [Kind; 2], seed: u64) -> Self {
        let place = Self::new(kinds, seed);
        let open = place.open(&Faults::none());
        Adoption::new(&open, Limits::default()).go(&AdoptionWants::default()).await.unwrap();
        // An administrator ran `prepare`: the fence rows are there.
        let register = place.register();
        for (kind, database) in kinds.iter().zip(&place.world.databases) {
            let users: Vec<String> = place.config.sets["orders"].database(kind.name).unwrap().users.clone();
            let users: Vec<&str> = users.iter().map(String::as_str).collect();
            database.add_fence("orders", &register.register, &users);
        }
        place
    }

    fn new(kinds: [Kind; 2], seed: u64) -> Self {
        let mut text = "[sets.orders]\non_active_sessions = \"warn\"\n".to_owned();
        for kind in &kinds {
            text += &format!("[sets.orders.databases.{}]\nengine = \"postgres\"\n{}\n", kind.name, kind.config);
        }
        text += "[[sets.orders.secrets]]\nstore = \"aws-sm:one\"\n[[sets.orders.secrets]]\nstore = \"aws-sm:two\"\n";
        let config = config::parse("test.toml", &text).unwrap();
        let mut world = World::new(seed);
        let (mut first, mut second) = (serde_json::Map::new(), serde_json::Map::new());
        for kind in &kinds {
            let database = world.add_database(kind.name, kind.capability, Acceptance::Newest);
            let users = &config.sets["orders"].database(kind.name).unwrap().users;
            for (at, user) in users.iter().enumerate() {
                let password = format!("{user}-initial-password");
                database.add_user(user, Password::new(password.clone()));
                let entry =
                    serde_json::json!({"engine": "postgres", "username": user, "password": password, "note": "kept"});
                let document = if at == 0 { &mut first } else { &mut second };
                document.insert(kind.name.to_owned(), entry);
            }
            if users.len() == 1 {
                second.insert(kind.name.to_owned(), first[kind.name].clone());
            }
        }
        let text =
            |map: &serde_json::Map<String, serde_json::Value>| SecretText::new(serde_json::to_string(map).unwrap());
        for name in ["aws-sm:one", "aws-sm:two"] {
            // PREVIOUS holds the second users, as after a rotation by hand.
            let store = world.add_store(name, text(&second));
            store.put_by_hand(text(&first));
        }
        Self { world, config, kinds }
    }

    fn open(&self, faults: &Arc<Faults>) -> OpenSet {
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
                store: faults.store(Arc::clone(store) as _),
                format: crate::document::Format::Blob,
                first_look: Mutex::default(),
                covers: vec![0, 1],
            })
            .collect();
        OpenSet {
            config,
            databases,
            secrets,
            journal: faults.journal(Arc::clone(&self.world.journal) as _),
            audit: faults.audit(Arc::clone(&self.world.audit) as _),
            clock: Arc::new(TokioClock),
            randomness: Arc::clone(&self.world.randomness) as _,
            who: "test".to_owned(),
            lease: super::Lease::Respected,
        }
    }

    async fn run(&self, goal: Goal, faults: &Arc<Faults>) -> Report {
        let open = self.open(faults);
        Run::new(&open, Limits::default(), &Quiet).go(goal).await.unwrap()
    }

    fn register(&self) -> crate::register::Document {
        let history = self.world.journal.history("orders");
        crate::register::Document::parse(history.last().unwrap(), "orders").unwrap()
    }

    /// Databases on which what a secret publishes does not log in.
    fn dead(&self) -> Vec<String> {
        let mut dead = Vec::new();
        for (at, store) in self.world.stores.iter().enumerate() {
            let document = SecretDocument::parse(store.published().unwrap()).unwrap();
            for (kind, database) in self.kinds.iter().zip(&self.world.databases) {
                let credential = document.credential(kind.name, crate::document::Format::Blob).unwrap();
                if !database.accepts(&credential.username, &credential.password) {
                    dead.push(format!("secret {at}, database {}", kind.name));
                }
            }
        }
        dead
    }

    fn stores_agree(&self) -> bool {
        let texts: Vec<String> = self.world.stores.iter().map(|s| s.published().unwrap().expose().to_owned()).collect();
        texts.windows(2).all(|pair| pair[0] == pair[1])
    }

    fn assert_at_rest(&self, context: &str) {
        let register = self.register();
        assert_eq!(register.phase, "idle", "{context}: at rest");
        assert_eq!(self.dead(), Vec::<String>::new(), "{context}: every published credential logs in");
        assert!(self.stores_agree(), "{context}: both secrets publish the same");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotation_moves_every_database_and_every_secret() {
    for kinds in MIXES {
        let place = Place::adopted(kinds, 1).await;
        let before = place.world.stores[0].published().unwrap();
        let faults = Faults::none();
        for expected in 2..6 {
            let report = place.run(Goal::Rotate, &faults).await;
            assert_eq!(report.finish, Finish::Rotated(dizzy_engine::Generation(expected)), "{kinds:?} {report:?}");
            assert_eq!(report.verdict(), Verdict::Done);
            assert_eq!(report.troubles, Vec::new(), "{kinds:?}");
            place.assert_at_rest("after a rotation");
        }
        assert!(before != place.world.stores[0].published().unwrap());
        assert!(place.world.stores[0].published().unwrap().expose().contains("\"note\":\"kept\""), "foreign keys stay");
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_without_a_register_says_so() {
    let place = Place::new(MIXES[0], 1);
    let report = place.run(Goal::Rotate, &Faults::none()).await;
    assert_eq!(report.finish, Finish::NoRegister);
}

/// The sweep: every call of a rotation, in every form it can fail. Afterwards at most three more runs bring the set to rest, every
/// published credential logs in, and (alternating) no published credential was dead in between.
#[tokio::test(start_paused = true)]
async fn whatever_fails_the_set_comes_to_rest() {
    let mut cells = 0;
    for kinds in MIXES {
        let place = Place::adopted(kinds, 7).await;
        let faults = Faults::none();
        assert!(matches!(place.run(Goal::Rotate, &faults).await.finish, Finish::Rotated(_)));
        let calls = faults.calls();
        assert!(calls.len() > 10, "a rotation makes calls: {calls:?}");
        for (index, call) in calls.iter().enumerate() {
            for form in Form::ALL {
                cells += 1;
                let context = format!("{kinds:?}: {form:?} at call {index}, {call}");
                let place = Place::adopted(kinds, 7).await;
                let faults = Faults::plan([Fault::at(index, form)]);
                let report = place.run(Goal::Rotate, &faults).await;
                assert_eq!(faults.hits(), 1, "{context}: the fault fired");
                let always_up = kinds.iter().all(|k| k.config.contains("_b"));
                if always_up {
                    assert_eq!(place.dead(), Vec::<String>::new(), "{context}: CURRENT logs in throughout");
                }
                if !form.is_crash() && report.verdict() == Verdict::OldIsValid {
                    assert_eq!(
                        place.dead(),
                        Vec::<String>::new(),
                        "{context}: exit 1 promises the old credentials; {report:?}"
                    );
                }
                faults.revive();
                faults.clear();
                faults.deliver().await;
                for _ in 0..3 {
                    // The next run comes when the dead worker's lease is over.
                    tokio::time::advance(std::time::Duration::from_secs(31)).await;
                    let report = place.run(Goal::Recover, &Faults::none()).await;
                    if report.finish == Finish::NothingToDo {
                        break;
                    }
                }
                place.assert_at_rest(&context);
                tokio::time::advance(std::time::Duration::from_secs(31)).await;
                let report = place.run(Goal::Rotate, &Faults::none()).await;
                assert!(matches!(report.finish, Finish::Rotated(_)), "{context}: the next rotation works; {report:?}");
                place.assert_at_rest(&context);
            }
        }
    }
    println!("{cells} cells");
}
