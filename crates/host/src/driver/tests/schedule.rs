//! What a run leaves behind for the runs after it: ends of passwords' lives, failures in a row, and who has already rotated.

use core::time::Duration;

use dizzy_engine::{Finish, Generation, Goal, Timestamp};

use super::{
    super::{Limits, Quiet, Run},
    place::{ALTERNATING, Place, SINGLE_CAS, TokioClock},
};
use crate::{
    port::{Clock as _, Journal as _},
    register::ExpiryDocument,
    retry::Failure,
    testkit::{Fault, Faults, Form},
};

const DAY_MS: i64 = 86_400_000;

fn failure(nonce: Option<&str>) -> Failure<'_> {
    Failure { at: TokioClock.now(), code: "DK-211", not_before: None, nonce }
}

fn expires(place: &Place, database: &str, user: &str) -> Option<ExpiryDocument> {
    place.register().databases[database].users[user].expires
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_new_password_is_recorded_when_it_is_published() {
    let place = Place::adopted(&[ALTERNATING, SINGLE_CAS], 1).await;
    let now = TokioClock.now().0;
    let life = Duration::from_secs(60 * 86_400);
    // One server sets a date per account and tells of both users; the other gives a password a life, and tells a user of itself.
    let users: Vec<String> = place.register().databases["alpha"].users.keys().cloned().collect();
    let told = [(users[0].as_str(), now + DAY_MS), (users[1].as_str(), now + 2 * DAY_MS)];
    place.world.databases[0].tell_expiries(&told, None);
    place.world.databases[1].tell_expiries(&[("delta", now + 5 * DAY_MS)], Some(life));
    let report = place.run(Goal::Rotate, &Faults::none()).await;
    assert!(matches!(report.finish, Finish::Rotated(_)), "{report:?}");
    for (user, at) in told {
        let stays = ExpiryDocument { at, renewed: false };
        assert_eq!(expires(&place, "alpha", user), Some(stays), "a date of the account stays");
    }
    let renewed = ExpiryDocument { at: place.register().rotated.unwrap() + 60 * DAY_MS, renewed: true };
    assert_eq!(expires(&place, "delta", "delta"), Some(renewed));
    let past = crate::agenda::past(&place.register());
    assert_eq!(past.expires, Some(Timestamp(renewed.at)), "only a date that a rotation moves counts");

    // What the server says at the next look counts, also that there is no end any more.
    place.pass_windows().await;
    place.world.databases[0].tell_expiries(&[], None);
    place.world.databases[1].tell_expiries(&[], None);
    place.run(Goal::Rotate, &Faults::none()).await;
    for (database, user) in [("alpha", users[0].as_str()), ("alpha", users[1].as_str()), ("delta", "delta")] {
        assert_eq!(expires(&place, database, user), None, "{user}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_idle_user_keeps_what_was_recorded_when_it_was_published() {
    let place = Place::adopted(&[ALTERNATING, SINGLE_CAS], 2).await;
    let life = Some(Duration::from_secs(60 * 86_400));
    let first = place.register().databases["alpha"].live.clone();
    let end = TokioClock.now().0 + 9 * DAY_MS;
    place.world.databases[0].tell_expiries(&[(&first, end)], life);
    place.run(Goal::Rotate, &Faults::none()).await;
    let second = place.register().databases["alpha"].live.clone();
    assert_ne!(first, second);
    let renewed = expires(&place, "alpha", &second).unwrap().at;
    assert_eq!(expires(&place, "alpha", &first), Some(ExpiryDocument { at: end, renewed: true }));
    assert_eq!(renewed, place.register().rotated.unwrap() + 60 * DAY_MS);
    assert_eq!(crate::agenda::past(&place.register()).expires, Some(Timestamp(end)), "the first of both");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_nobody_saw_is_no_end_on_record() {
    let place = Place::adopted(&[ALTERNATING, SINGLE_CAS], 3).await;
    let life = Some(Duration::from_secs(60 * 86_400));
    place.world.databases[1].tell_expiries(&[("delta", TokioClock.now().0 + DAY_MS)], life);
    // Killed behind the decision: who finishes it does not ask the server.
    let crash = Faults::plan([Fault::nth_of("store.promote:aws-sm:one", 0, Form::CrashBefore)]);
    place.run(Goal::Rotate, &crash).await;
    assert_eq!(crash.hits(), 1);
    assert!(expires(&place, "delta", "delta").is_some());
    tokio::time::advance(Duration::from_secs(31)).await;
    let report = place.run(Goal::Recover, &Faults::none()).await;
    assert!(matches!(report.finish, Finish::Rotated(_)), "{report:?}");
    assert_eq!(expires(&place, "delta", "delta"), None);
}

#[tokio::test(start_paused = true)]
async fn failures_are_counted_until_a_rotation_works() {
    let place = Place::adopted(&[ALTERNATING, SINGLE_CAS], 4).await;
    let journal = &*place.world.journal;
    let call = Duration::from_secs(1);
    for expected in 1..=3 {
        let nonce = place.register().owner.nonce;
        assert!(failure(Some(nonce.as_str())).record(journal, "orders", call).await.unwrap());
        let register = place.register();
        let failures = register.failures.unwrap();
        assert_eq!((failures.in_a_row, failures.code.as_str()), (expected, "DK-211"));
        assert_eq!(register.pause, Some(TokioClock.now().0 + 60_000 * (1 << (expected - 1))));
    }
    // What is known to work from some moment on is no failure.
    let until = TokioClock.now().plus_ms(7_000_000);
    let waits = Failure { not_before: Some(until), ..failure(None) };
    assert!(waits.record(journal, "orders", call).await.unwrap());
    assert_eq!((place.register().failures.unwrap().in_a_row, place.register().pause), (3, Some(until.0)));

    let report = place.run(Goal::Rotate, &Faults::none()).await;
    assert!(matches!(report.finish, Finish::Rotated(_)), "a person is not held back: {report:?}");
    assert_eq!((place.register().failures, place.register().pause), (None, None));
}

#[tokio::test(start_paused = true)]
async fn the_work_of_others_is_left_alone_by_who_failed() {
    let place = Place::adopted(&[ALTERNATING, SINGLE_CAS], 5).await;
    let journal = &*place.world.journal;
    let call = Duration::from_secs(1);
    assert!(!failure(None).record(journal, "another", call).await.unwrap(), "there is no register");
    assert!(!failure(Some("0000000000000001-9")).record(journal, "orders", call).await.unwrap());
    // A worker that has just been killed may as well be alive, as long as its lease runs.
    place.run(Goal::Rotate, &Faults::plan([Fault::nth_of("store.stage:aws-sm:one", 0, Form::CrashAfter)])).await;
    let before = journal.read("orders", crate::port::Deadline::after(call)).await.unwrap();
    assert!(!failure(None).record(journal, "orders", call).await.unwrap());
    assert_eq!(journal.read("orders", crate::port::Deadline::after(call)).await.unwrap(), before);
    tokio::time::advance(Duration::from_secs(31)).await;
    assert!(failure(None).record(journal, "orders", call).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn of_two_that_saw_the_same_generation_one_rotates() {
    let place = Place::adopted(&[ALTERNATING, SINGLE_CAS], 6).await;
    let (open, seen) = (place.open(&Faults::none()), Some(Generation(place.register().current)));
    let run = async |from| Run::new(&open, Limits::default(), &Quiet).only_from(from).go(Goal::Rotate).await.unwrap();
    assert!(matches!(run(seen).await.finish, Finish::Rotated(_)));
    let before = place.world.journal.history("orders").len();
    assert_eq!(run(seen).await.finish, Finish::NothingToDo);
    assert_eq!(place.world.journal.history("orders").len(), before, "nothing was written");
    // What is under way is finished, whoever saw what.
    place.pass_windows().await;
    place.run(Goal::Rotate, &Faults::plan([Fault::nth_of("store.promote:aws-sm:one", 0, Form::CrashBefore)])).await;
    tokio::time::advance(Duration::from_secs(31)).await;
    assert!(matches!(run(seen).await.finish, Finish::Rotated(_)));
}

#[tokio::test(start_paused = true)]
async fn a_write_of_unknown_outcome_is_not_taken_for_the_work_of_another() {
    let place = Place::adopted(&[ALTERNATING, SINGLE_CAS], 7).await;
    let seen = Some(Generation(place.register().current));
    let mut ends = 0;
    for nth in 0..40 {
        let lost = Faults::plan([Fault::nth_of("journal.write", nth, Form::ReplyLost)]);
        let open = place.open(&lost);
        let from = Some(Generation(place.register().current));
        let report = Run::new(&open, Limits::default(), &Quiet).only_from(from).go(Goal::Rotate).await.unwrap();
        if lost.hits() == 0 {
            break;
        }
        ends += 1;
        assert!(matches!(report.finish, Finish::Rotated(_)), "write {nth}: {report:?}");
        place.pass_windows().await;
    }
    assert!(ends > 3, "every write of the register was lost once, {ends} in all");
    assert_ne!(Some(Generation(place.register().current)), seen);
}
