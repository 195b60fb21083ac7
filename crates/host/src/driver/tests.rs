//! Stories of whole rotations against memory adapters, and the sweep: every port call, failing in every form, in every strategy.

use std::sync::{Arc, Mutex};

use dizzy_engine::{Capability, Finish, Goal, Timestamp};

use super::{Adoption, AdoptionWants, Limits, OpenSecret, OpenSet, Quiet, Report, Run, Verdict};
use crate::{
    config,
    document::SecretDocument,
    memory::{Acceptance, PasswordRule, World},
    port::Clock,
    secret::{Password, SecretText},
    testkit::{Fault, Faults, Form},
};

/// A database for a story: name, engine, users and strategy in the configuration, what the server checks and accepts.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    config: &'static str,
    capability: Capability,
    acceptance: Acceptance,
}

const fn fenced(name: &'static str, config: &'static str) -> Kind {
    Kind { name, config, capability: Capability::RowFence, acceptance: Acceptance::Newest }
}

const fn unfenced(name: &'static str, config: &'static str, acceptance: Acceptance) -> Kind {
    Kind { name, config, capability: Capability::StatementCas, acceptance }
}

const ALTERNATING: Kind = fenced("alpha", "engine = \"postgres\"\nusers = [\"alpha_a\", \"alpha_b\"]");
const ALTERNATING_CAS: Kind =
    unfenced("beta", "engine = \"oracle\"\nservice = \"s\"\nusers = [\"beta_a\", \"beta_b\"]", Acceptance::Newest);
const SINGLE: Kind = fenced("gamma", "engine = \"postgres\"\nusers = [\"gamma\"]\nstrategy = \"single\"");
const SINGLE_CAS: Kind = unfenced(
    "delta",
    "engine = \"oracle\"\nservice = \"s\"\nusers = [\"delta\"]\nstrategy = \"single\"",
    Acceptance::Newest,
);
const ROLLOVER: Kind = unfenced(
    "epsilon",
    "engine = \"oracle\"\nservice = \"s\"\nusers = [\"epsilon\"]\nstrategy = \"rollover\"",
    Acceptance::Rollover,
);
const ROLLOVER_ENDS: Kind = Kind { acceptance: Acceptance::RolloverThatEnds, ..ROLLOVER };

/// Every pair of strategies, with either way of keeping old requests out, and both kinds of rollover.
const MIXES: [[Kind; 2]; 10] = [
    [ALTERNATING, ALTERNATING_CAS],
    [ALTERNATING, SINGLE],
    [SINGLE, SINGLE_CAS],
    [ALTERNATING_CAS, SINGLE_CAS],
    [ALTERNATING, SINGLE_CAS],
    [ALTERNATING, ROLLOVER],
    [SINGLE, ROLLOVER],
    [SINGLE_CAS, ROLLOVER],
    [ALTERNATING, ROLLOVER_ENDS],
    [SINGLE, ROLLOVER_ENDS],
];

/// As many wrong logins as lock an account, as Oracle's default profile has it.
const LOCKS_AFTER: u32 = 10;

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

    /// Adopted; and rotated once if a window can be ended, so that there is one to be ended.
    async fn before_the_fault(kinds: [Kind; 2]) -> Self {
        let place = Self::adopted(kinds, 7).await;
        if kinds.iter().any(|kind| kind.acceptance == Acceptance::RolloverThatEnds) {
            let report = place.run(Goal::Rotate, &Faults::none()).await;
            assert!(matches!(report.finish, Finish::Rotated(_)), "{report:?}");
            place.pass_windows().await;
        }
        place
    }

    fn new(kinds: [Kind; 2], seed: u64) -> Self {
        let mut text = "[sets.orders]\non_active_sessions = \"warn\"\n".to_owned();
        for kind in &kinds {
            text += &format!("[sets.orders.databases.{}]\n{}\n", kind.name, kind.config);
        }
        text += "[[sets.orders.secrets]]\nstore = \"aws-sm:one\"\n[[sets.orders.secrets]]\nstore = \"oci-vault:two\"\n";
        let config = config::parse("test.toml", &text).unwrap();
        let mut world = World::new(seed);
        let (mut first, mut second) = (serde_json::Map::new(), serde_json::Map::new());
        for kind in &kinds {
            let database = world.add_database(kind.name, kind.capability, kind.acceptance);
            if kind.capability == Capability::StatementCas {
                database.lock_after(LOCKS_AFTER);
            }
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
        // PREVIOUS holds the second users, as after a rotation by hand. One store of each cloud.
        world.add_store("aws-sm:one", text(&second)).put_by_hand(text(&first));
        world.add_vault("oci-vault:two", text(&second)).put_by_hand(text(&first));
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
            undo: super::Undo::Required,
        }
    }

    async fn run(&self, goal: Goal, faults: &Arc<Faults>) -> Report {
        let open = self.open(faults);
        Run::new(&open, Limits::default(), &Quiet).go(goal).await.unwrap()
    }

    /// Until the next rotation may begin: a window that nobody may end is over, by the register's time and on the server; one that
    /// can be ended is left open, and no request of an earlier worker can act any more.
    async fn pass_windows(&self) {
        let waits = self.kinds.iter().any(|kind| kind.acceptance == Acceptance::Rollover);
        tokio::time::advance(std::time::Duration::from_secs(if waits { 3 * 3600 } else { 21 * 60 })).await;
        for (kind, database) in self.kinds.iter().zip(&self.world.databases) {
            if kind.acceptance == Acceptance::Rollover {
                for user in &self.config.sets["orders"].database(kind.name).unwrap().users {
                    database.end_window(user);
                }
            }
        }
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
            place.pass_windows().await;
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

#[tokio::test(start_paused = true)]
async fn databases_may_share_one_password() {
    let mut place = Place::adopted([ALTERNATING, SINGLE_CAS], 6).await;
    let set = place.config.sets.get_mut("orders").unwrap();
    let policies: Vec<_> = set.databases.iter().map(|d| d.password.clone()).collect();
    set.shared_password = Some(crate::password::Policy::shared(&policies.iter().collect::<Vec<_>>()).unwrap());
    // Killed after the first secret was staged: whoever takes over reads the password from there.
    let crash = Faults::plan([Fault::nth_of("store.stage:aws-sm:one", 0, Form::CrashAfter)]);
    place.run(Goal::Rotate, &crash).await;
    assert_eq!(crash.hits(), 1);
    tokio::time::advance(std::time::Duration::from_secs(31)).await;
    let report = place.run(Goal::Rotate, &Faults::none()).await;
    assert!(matches!(report.finish, Finish::Rotated(_)), "{report:?}");
    place.assert_at_rest("with one password");
    let document = SecretDocument::parse(place.world.stores[0].published().unwrap()).unwrap();
    let password = |name| document.credential(name, crate::document::Format::Blob).unwrap().password;
    assert!(password("alpha") == password("delta"), "both databases have the same password");
}

#[tokio::test(start_paused = true)]
async fn wrong_logins_are_spent_sparingly_and_never_by_restarting() {
    let place = Place::adopted([ALTERNATING, SINGLE_CAS], 3).await;
    let delta = &place.world.databases[1];
    delta.change_by_hand("delta", &Password::new("SomebodyElsesPassword1".to_owned()));
    for _ in 0..LOCKS_AFTER {
        let report = place.run(Goal::Rotate, &Faults::none()).await;
        assert!(matches!(report.finish, Finish::Drift | Finish::Failed), "{report:?}");
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
    }
    assert_eq!(delta.wrong_logins("delta"), 3, "however often it is tried");
    let report = place.run(Goal::Rotate, &Faults::none()).await;
    assert_eq!(report.troubles.last().and_then(|t| t.error.code.as_deref()), Some(super::ATTEMPTS_SPENT), "{report:?}");

    delta.change_by_hand("delta", &Password::new("delta-initial-password".to_owned()));
    place.open(&Faults::none()).forget_wrong_logins(Limits::default()).await.unwrap();
    let report = place.run(Goal::Rotate, &Faults::none()).await;
    assert!(matches!(report.finish, Finish::Rotated(_)), "{report:?}");
    place.assert_at_rest("after a person has mended it");
}

#[tokio::test(start_paused = true)]
async fn a_count_that_cannot_be_written_never_turns_a_change_into_a_refusal() {
    for nth in 0..16 {
        // A worker dies before its change; whoever takes over counts each login that may be wrong, and one write of its register fails.
        let place = Place::adopted([ALTERNATING_CAS, SINGLE_CAS], 9).await;
        let crash = Faults::plan([Fault::nth_of("database.apply:beta", 0, Form::CrashBefore)]);
        place.run(Goal::Rotate, &crash).await;
        assert_eq!(crash.hits(), 1);
        tokio::time::advance(std::time::Duration::from_secs(31)).await;
        let faults =
            Faults::plan([Fault::nth_of("journal.write", nth, Form::Refused).with_kind(crate::port::Kind::Io)]);
        place.run(Goal::Recover, &faults).await;
        for seconds in [31, 21 * 60] {
            tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
            place.run(Goal::Recover, &Faults::none()).await;
        }
        place.assert_at_rest(&format!("write {nth} failed"));
        let report = place.run(Goal::Rotate, &Faults::none()).await;
        assert!(matches!(report.finish, Finish::Rotated(_)), "write {nth}: {report:?}");
        place.assert_at_rest(&format!("the rotation after write {nth} failed"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_could_not_be_taken_back_needs_consent() {
    let place = Place::adopted([ALTERNATING, SINGLE_CAS], 4).await;
    place.world.databases[1].judge_passwords(PasswordRule::RefuseReuse);
    let report = place.run(Goal::Rotate, &Faults::none()).await;
    assert_eq!(report.finish, Finish::Failed, "{report:?}");
    assert!(report.troubles.iter().any(|t| t.error.what.contains("could not be taken back")), "{report:?}");
    let open = OpenSet { undo: super::Undo::ForwardOnly, ..place.open(&Faults::none()) };
    let report = Run::new(&open, Limits::default(), &Quiet).go(Goal::Rotate).await.unwrap();
    assert!(matches!(report.finish, Finish::Rotated(_)), "{report:?}");
    place.assert_at_rest("after a rotation that could only go forward");
}

#[tokio::test(start_paused = true)]
async fn an_old_password_that_is_refused_on_the_way_back_is_tried_again_and_then_left_to_a_person() {
    use crate::port::Kind::{Denied, Policy};
    for (refusals, finish) in [(1, None), (u32::MAX, Some(Finish::Stuck))] {
        let place = Place::adopted([SINGLE, SINGLE_CAS], 8).await;
        let before = place.world.stores[0].published().unwrap();
        // gamma commits last and says no; delta has changed by then, and does not take its old password back.
        let commit = Fault::nth_of("database.commit:gamma", 0, Form::Refused).with_kind(Denied);
        let restore = |nth| Fault::nth_of("database.apply:delta", nth, Form::Refused).with_kind(Policy);
        let faults = if refusals == 1 {
            Faults::plan([commit, restore(1)])
        } else {
            Faults::plan([commit].into_iter().chain((1..200).map(restore)))
        };
        let report = place.run(Goal::Rotate, &faults).await;
        assert!(faults.hits() > 1, "{:?}", faults.calls());
        assert!(place.world.stores[0].published().unwrap() == before, "nothing is published");
        match finish {
            None => assert!(matches!(report.finish, Finish::RolledBack(_)), "{report:?}"),
            Some(stuck) => {
                assert_eq!((report.finish, report.verdict()), (stuck, Verdict::NeedsHuman), "{report:?}");
                // The cause is gone: whoever recovers goes on with the way back.
                tokio::time::advance(std::time::Duration::from_secs(31)).await;
                let report = place.run(Goal::Recover, &Faults::none()).await;
                assert!(matches!(report.finish, Finish::RolledBack(_)), "{report:?}");
            }
        }
        place.assert_at_rest("after the way back");
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_that_somebody_else_opened_is_waited_for() {
    let place = Place::adopted([ALTERNATING, ROLLOVER_ENDS], 5).await;
    let epsilon = &place.world.databases[1];
    // A person changes the password and does not publish it: ending the window would end the published one.
    let (old, new) = (Password::new("epsilon-initial-password".to_owned()), Password::new("ByHand123456".to_owned()));
    let stamp = crate::port::FenceStamp {
        set: "other",
        register: "other",
        epoch: dizzy_engine::Epoch(1),
        generation: dizzy_engine::Generation(1),
    };
    let login = crate::port::Login { user: "epsilon", password: &old };
    let kind = crate::port::ChangeKind::Alternating;
    epsilon.submit(&crate::port::Change { login, new: &new, stamp, kind }).unwrap().execute().unwrap();
    let report = place.run(Goal::Rotate, &Faults::none()).await;
    assert_eq!(report.finish, Finish::Failed, "{report:?}");
    assert_eq!(place.dead(), Vec::<String>::new(), "what is published still logs in");
}

/// The sweep: every call of a rotation, in every form it can fail. Afterwards at most three more runs bring the set to rest, every
/// published credential logs in, and (alternating) no published credential was dead in between.
#[tokio::test(start_paused = true)]
async fn whatever_fails_the_set_comes_to_rest() {
    let mut cells = 0;
    for kinds in MIXES {
        let place = Place::before_the_fault(kinds).await;
        let faults = Faults::none();
        assert!(matches!(place.run(Goal::Rotate, &faults).await.finish, Finish::Rotated(_)));
        let calls = faults.calls();
        assert!(calls.len() > 10, "a rotation makes calls: {calls:?}");
        let ends = kinds.iter().any(|kind| kind.acceptance == Acceptance::RolloverThatEnds);
        assert_eq!(calls.iter().any(|call| call.contains("end_window")), ends, "{calls:?}");
        for (index, call) in calls.iter().enumerate() {
            for form in Form::ALL {
                cells += 1;
                let context = format!("{kinds:?}: {form:?} at call {index}, {call}");
                let place = Place::before_the_fault(kinds).await;
                let faults = Faults::plan([Fault::at(index, form)]);
                let report = place.run(Goal::Rotate, &faults).await;
                assert_eq!(faults.hits(), 1, "{context}: the fault fired");
                let always_up = kinds.iter().all(|k| !k.config.contains("\"single\""));
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
                // The next runs come when the dead worker's lease is over, and, where no fence keeps it out, when it has run its time.
                for seconds in [31, 31, 21 * 60] {
                    tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
                    let report = place.run(Goal::Recover, &Faults::none()).await;
                    if report.finish == Finish::NothingToDo {
                        break;
                    }
                }
                place.assert_at_rest(&context);
                for (kind, database) in kinds.iter().zip(&place.world.databases) {
                    for user in &place.config.sets["orders"].database(kind.name).unwrap().users {
                        assert!(database.wrong_logins(user) <= 3, "{context}: {user} is far from being locked");
                    }
                }
                place.pass_windows().await;
                let report = place.run(Goal::Rotate, &Faults::none()).await;
                assert!(matches!(report.finish, Finish::Rotated(_)), "{context}: the next rotation works; {report:?}");
                place.assert_at_rest(&context);
            }
        }
    }
    println!("{cells} cells");
}
