//! A register that is lost: at rest, after a worker died anywhere, and while it is being rebuilt.

use core::time::Duration;
use std::sync::Arc;

use dizzy_engine::{Finish, Goal};

use dizzy_audit::verify::Class;

use super::place::{ALTERNATING, MIXES, Members, Place, SINGLE, SINGLE_CAS};
use crate::{
    driver::{Limits, NotRebuilt, Rebuild, Target},
    port::Certainty,
    register::Document,
    secret::{Password, SecretText},
    testkit::{Fault, Faults, Form},
};

impl Place {
    fn lose_the_register(&self) -> Document {
        let lost = self.register();
        self.world.journal.put_by_hand("orders", None);
        lost
    }

    async fn rebuild(&self, faults: &Arc<Faults>) -> Result<Document, NotRebuilt> {
        let open = self.open(faults);
        let proposal = Rebuild::new(&open, Limits::default()).look().await?;
        proposal.write().await
    }

    /// As a person does it: again, and again after the time that the message names.
    async fn rebuild_in_the_end(&self, context: &str) -> Document {
        let mut last = None;
        for seconds in [1, 1, 21 * 60, 1] {
            match self.rebuild(&Faults::none()).await {
                Ok(document) => return document,
                Err(NotRebuilt::Exists) => return self.register(),
                Err(error) => last = Some(error),
            }
            tokio::time::advance(Duration::from_secs(seconds)).await;
        }
        panic!("{context}: {last:?}")
    }

    async fn goes_on(&self, context: &str) {
        for seconds in [31, 31, 21 * 60] {
            self.run(Goal::Recover, &Faults::none()).await;
            tokio::time::advance(Duration::from_secs(seconds)).await;
        }
        self.assert_at_rest(context);
        self.pass_windows().await;
        let report = self.run(Goal::Rotate, &Faults::none()).await;
        assert!(matches!(report.finish, Finish::Rotated(_)), "{context}: the next rotation; {report:?}");
        self.assert_at_rest(context);
    }
}

#[tokio::test(start_paused = true)]
async fn at_rest_the_register_comes_back_as_it_was() {
    for members in MIXES {
        for rotations in 0..4 {
            let place = Place::adopted(members, 3).await;
            for _ in 0..rotations {
                place.pass_windows().await;
                place.run(Goal::Rotate, &Faults::none()).await;
            }
            place.pass_windows().await;
            let lost = place.lose_the_register();
            let before = place.world.stores[0].published().unwrap();
            let context = format!("{members:?} after {rotations} rotations");
            let found = place.rebuild(&Faults::none()).await.unwrap_or_else(|error| panic!("{context}: {error:?}"));
            assert_eq!(
                (&found.register, &found.phase, found.current, found.last),
                (&lost.register, &lost.phase, lost.current, lost.last),
                "{context}"
            );
            assert!(found.epoch > lost.epoch, "{context}");
            for (name, database) in &lost.databases {
                let there = &found.databases[name];
                assert_eq!(there.live, database.live, "{context}");
                for (user, facts) in &database.users {
                    assert_eq!(there.users[user].known, facts.known, "{context}: {user} on {name}");
                }
            }
            assert!(place.world.stores[0].published().unwrap() == before, "{context}: nothing is published anew");
            let trail = place.verify_trail().await;
            assert!(trail.findings.worst() < Some(Class::Tampering), "{context}: {:#?}", trail.findings.kept);
            place.goes_on(&context).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn wherever_a_worker_died_the_set_comes_to_rest_without_its_register() {
    let mut cells = 0;
    for (nr, members) in MIXES.into_iter().enumerate() {
        let place = Place::before_the_fault(members).await;
        let faults = Faults::none();
        place.run(Goal::Rotate, &faults).await;
        let calls = faults.calls();
        for (index, call) in calls.iter().enumerate() {
            // Every call meets a crash on one side of it, and one form of failure; the mixes take turns.
            let crash = if (index + nr) % 2 == 0 { Form::CrashBefore } else { Form::CrashAfter };
            for form in [crash, Form::ALL[(index + nr) % Form::ALL.len()]] {
                cells += 1;
                let context = format!("{members:?}: {form:?} at call {index}, {call}");
                let place = Place::before_the_fault(members).await;
                let faults = Faults::plan([Fault::at(index, form)]);
                place.run(Goal::Rotate, &faults).await;
                assert_eq!(faults.hits(), 1, "{context}: the fault fired");
                faults.revive();
                faults.clear();
                place.lose_the_register();
                let published = place.dead();
                let found = place.rebuild_in_the_end(&context).await;
                // What was on its way arrives now, and is refused or does no harm.
                faults.deliver().await;
                if members.iter().all(|member| !member.is_single()) {
                    assert_eq!(place.dead(), Vec::<String>::new(), "{context}: {found:?}");
                    assert_eq!(published, Vec::<String>::new(), "{context}");
                }
                place.goes_on(&context).await;
            }
        }
    }
    println!("{cells} cells");
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_while_it_is_rebuilt_it_is_rebuilt_in_the_end() {
    const SETS: [Members; 3] = [MIXES[1], MIXES[4], MIXES[9]];
    let mut cells = 0;
    for members in SETS {
        // At rest, and with a promotion that stopped half-way.
        for promoted in [false, true] {
            let begin = async || {
                let place = Place::before_the_fault(members).await;
                let half = Fault::nth_of("store.promote:oci-vault:two", 0, Form::CrashBefore);
                let faults = if promoted { Faults::plan([half]) } else { Faults::none() };
                place.run(Goal::Rotate, &faults).await;
                place.lose_the_register();
                place
            };
            let place = begin().await;
            let faults = Faults::none();
            place.rebuild(&faults).await.unwrap();
            for (index, call) in faults.calls().iter().enumerate() {
                let turn = |(nr, _): &(usize, Form)| nr % 2 == index % 2;
                for (_, form) in Form::ALL.into_iter().enumerate().filter(turn) {
                    cells += 1;
                    let context = format!("{members:?}, half-way {promoted}: {form:?} at call {index}, {call}");
                    let place = begin().await;
                    let faults = Faults::plan([Fault::at(index, form)]);
                    let first = place.rebuild(&faults).await;
                    assert_eq!(faults.hits(), 1, "{context}: the fault fired; {:?}", first.is_ok());
                    faults.revive();
                    faults.clear();
                    faults.deliver().await;
                    place.rebuild_in_the_end(&context).await;
                    place.goes_on(&context).await;
                }
            }
        }
    }
    println!("{cells} cells");
}

#[tokio::test(start_paused = true)]
async fn a_register_that_can_be_read_is_never_replaced() {
    let place = Place::adopted(&[ALTERNATING, SINGLE], 5).await;
    let before = place.world.journal.latest("orders");
    assert_eq!(place.rebuild(&Faults::none()).await, Err(NotRebuilt::Exists));
    assert_eq!(place.world.journal.latest("orders"), before);
    // Half of one is as good as none.
    let bytes = before.unwrap();
    place.world.journal.put_by_hand("orders", Some(&bytes[..bytes.len() / 2]));
    place.rebuild(&Faults::none()).await.unwrap();
    place.goes_on("instead of half a register").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_clear_is_told_and_nothing_is_written() {
    let unclear = async |place: &Place, says: &[&str]| {
        let error = place.rebuild(&Faults::none()).await;
        let Err(NotRebuilt::Unclear { what, hint }) = error else { panic!("{error:?}") };
        println!("{what}\n  hint: {hint}");
        assert!(says.iter().all(|text| what.contains(text) || hint.contains(text)), "{what}\n{hint}");
        assert_eq!(place.world.journal.latest("orders"), None);
    };
    let rotated = async |members| {
        let place = Place::adopted(members, 5).await;
        place.run(Goal::Rotate, &Faults::none()).await;
        place.lose_the_register();
        place
    };

    let place = Place::new(&[ALTERNATING, SINGLE_CAS], 5);
    unclear(&place, &["never prepared", "dizzy-keys prepare orders"]).await;

    let place = rotated(&[ALTERNATING, SINGLE]).await;
    place.world.databases[0].remove_fence("orders");
    place.world.databases[0].add_fence("orders", &"f".repeat(32), &["alpha_a", "alpha_b"]);
    unclear(&place, &["alpha_a on alpha carries ffff", "gamma carries", "two installations"]).await;

    let place = rotated(&[ALTERNATING, SINGLE]).await;
    place.world.databases[1].change_by_hand("gamma", &Password::new("ByHand123456".to_owned()));
    unclear(&place, &["no credential", "gamma", "administrator"]).await;

    let place = rotated(&[SINGLE_CAS]).await;
    place.world.databases[0].change_by_hand("delta", &Password::new("delta-initial-password".to_owned()));
    unclear(&place, &["generation 2 is published", "does not log in", "g1 (delta) does"]).await;

    let place = rotated(&[ALTERNATING]).await;
    let text = place.world.stores[0].published().unwrap();
    place.world.stores[0].put_by_hand(SecretText::new(text.expose().replace("alpha_", "alphA_")));
    unclear(&place, &["aws-sm:one publishes an unknown generation", "oci-vault:two publishes generation 2"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_person_has_published_by_hand_becomes_a_generation() {
    for members in [MIXES[1], MIXES[4]] {
        let place = Place::adopted(members, 5).await;
        place.run(Goal::Rotate, &Faults::none()).await;
        place.pass_windows().await;
        place.lose_the_register();
        let name = members[1].name;
        place.world.databases[1].change_by_hand(name, &Password::new("ByHand123456".to_owned()));
        for store in &place.world.stores {
            let text = store.published().unwrap();
            let mut value: serde_json::Value = serde_json::from_str(text.expose()).unwrap();
            value[name]["password"] = "ByHand123456".into();
            store.put_by_hand(SecretText::new(value.to_string()));
        }
        let found = place.rebuild(&Faults::none()).await.unwrap();
        assert_eq!((found.current, found.last), (3, 3));
        place.goes_on("after a password by hand").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_moved_to_what_does_not_log_in_goes_back() {
    let place = Place::adopted(&[SINGLE], 5).await;
    place.run(Goal::Rotate, &Faults::none()).await;
    // The next generation is staged and given up; somebody publishes it in one cloud.
    let faults =
        Faults::plan([Fault::nth_of("database.vote:gamma", 0, Form::Refused).with_kind(crate::port::Kind::Denied)]);
    let report = place.run(Goal::Rotate, &faults).await;
    assert!(matches!(report.finish, Finish::RolledBack(_)), "{report:?}");
    let lost = place.lose_the_register();
    let given_up = lost.stores["aws-sm:one"][&3].clone();
    let value = place.world.stores[0].value(&crate::port::VersionId(given_up)).unwrap();
    place.world.stores[0].put_by_hand(value);
    assert_ne!(place.dead(), Vec::<String>::new());
    let found = place.rebuild(&Faults::none()).await.unwrap();
    assert_eq!((found.current, found.last), (2, 3));
    assert_eq!(place.dead(), Vec::<String>::new());
    place.goes_on("after CURRENT went back").await;
}

#[tokio::test(start_paused = true)]
async fn a_register_whose_write_was_lost_and_that_cannot_be_read_may_be_there() {
    for lost in [Form::LostBefore, Form::ReplyLost] {
        let place = Place::adopted(&[ALTERNATING, SINGLE], 3).await;
        place.lose_the_register();
        let faults = Faults::in_turn([Fault::nth_of("journal.write", 0, lost)]);
        faults.add(Fault::every("journal.read", Form::Refused).following());
        let answer = place.rebuild(&faults).await;
        // The write after a lost one that did not happen is the one that does it.
        if lost == Form::LostBefore {
            assert!(answer.is_ok(), "{answer:?}");
        } else {
            let Err(NotRebuilt::Trouble(trouble)) = answer else { panic!("{lost:?}: {answer:?}") };
            assert_eq!((trouble.target, trouble.error.certainty), (Target::Journal, Certainty::Unknown));
        }
        place.goes_on(&format!("{lost:?}")).await;
    }
}
