//! Stories of whole rotations against memory adapters. Below: the installation they happen in, and the fault matrix.

mod clocks;
mod edits;
mod matrix;
mod place;
mod rebuild;
mod reconcile;
mod revoke;
mod schedule;
mod stretches;

use dizzy_engine::{Finish, Goal};

use self::place::{ALTERNATING, ALTERNATING_CAS, LOCKS_AFTER, MIXES, Place, ROLLOVER_ENDS, SINGLE, SINGLE_CAS};
use super::{Limits, OpenSet, Quiet, Run, Verdict};
use crate::{
    document::SecretDocument,
    memory::PasswordRule,
    secret::Password,
    testkit::{Fault, Faults, Form},
};

#[tokio::test(start_paused = true)]
async fn a_rotation_moves_every_database_and_every_secret() {
    for members in MIXES {
        let place = Place::adopted(members, 1).await;
        let before = place.world.stores[0].published().unwrap();
        let faults = Faults::none();
        for expected in 2..6 {
            place.pass_windows().await;
            let report = place.run(Goal::Rotate, &faults).await;
            assert_eq!(report.finish, Finish::Rotated(dizzy_engine::Generation(expected)), "{members:?} {report:?}");
            assert_eq!(report.verdict(), Verdict::Done);
            assert_eq!(report.troubles, Vec::new(), "{members:?}");
            place.assert_at_rest("after a rotation");
            let trail = place.verify_trail().await;
            assert_eq!(trail.findings.kept, [], "{members:?}: the trail verifies");
            assert!(trail.places.iter().all(|place| place.summary.beyond_head == 0), "{:?}", trail.places);
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
    let mut place = Place::adopted(&[ALTERNATING, SINGLE_CAS], 6).await;
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
    let place = Place::adopted(&[ALTERNATING, SINGLE_CAS], 3).await;
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
        let place = Place::adopted(&[ALTERNATING_CAS, SINGLE_CAS], 9).await;
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
    let place = Place::adopted(&[ALTERNATING, SINGLE_CAS], 4).await;
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
        let place = Place::adopted(&[SINGLE, SINGLE_CAS], 8).await;
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
    let place = Place::adopted(&[ALTERNATING, ROLLOVER_ENDS], 5).await;
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
