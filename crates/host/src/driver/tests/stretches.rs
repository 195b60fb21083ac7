//! Rotations in stretches, as the rotation contracts of both clouds ask for them, and runs whose platform gives little time.

use core::time::Duration;

use std::sync::Arc;

use dizzy_engine::{Finish, Goal};

use super::{
    super::{Halt, Limits, Quiet, Report, Run, Time, Until, Verdict},
    place::{MIXES, Member, Place},
};
use crate::{
    document::SecretDocument,
    port::Deadline,
    testkit::{Fault, Faults, Form},
};

impl Place {
    async fn stretch(&self, until: Until, faults: &Arc<Faults>) -> Report {
        let open = self.open(faults);
        // As the contracts run it: what does not work is left to the platform's next try instead of being given up.
        let after = |seconds| Deadline::after(Duration::from_secs(seconds));
        let time = Time { begin_by: after(60), stop_by: after(100), end: after(110) };
        let limits = Limits { budget: Duration::from_secs(86_400), time: Some(time), ..Limits::default() };
        Run::new(&open, limits, &Quiet).until(until).go(Goal::Rotate).await.unwrap()
    }

    async fn within(&self, time: Time, faults: &Arc<Faults>) -> Report {
        let open = self.open(faults);
        let limits = Limits { time: Some(time), ..Limits::default() };
        Run::new(&open, limits, &Quiet).go(Goal::Rotate).await.unwrap()
    }

    /// Databases on which the generation under way does not log in, by what the stores hold under its name.
    fn not_yet(&self) -> Vec<&'static str> {
        let register = self.register();
        let next = dizzy_engine::Generation(register.next.unwrap());
        let id = register.version("aws-sm:one", next).unwrap();
        let versions = self.world.stores[0].versions();
        let (_, text) = versions.into_iter().find(|(version, _)| *version == id).unwrap();
        let document = SecretDocument::parse(text).unwrap();
        let logs_in = |member: &Member, database: &crate::memory::MemoryDatabase| {
            let credential = document.credential(member.name, crate::document::Format::Blob).unwrap();
            database.accepts(&credential.username, &credential.password)
        };
        let all = self.members.iter().zip(&self.world.databases);
        all.filter(|(member, database)| !logs_in(member, database)).map(|(member, _)| member.name).collect()
    }
}

fn halted(report: &Report) {
    assert_eq!((report.halt, report.verdict()), (Some(Halt::Reached), Verdict::Done), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_in_stretches_is_the_same_rotation() {
    for members in MIXES {
        let place = Place::before_the_fault(members).await;
        let faults = Faults::none();
        let before = place.world.stores[0].published().unwrap();
        // No time passes between the stretches: each leaves the set free for the next. Each may be repeated.
        for _ in 0..2 {
            halted(&place.stretch(Until::Staged, &faults).await);
            assert_eq!(place.dead(), Vec::<String>::new(), "{members:?}: staged");
            assert_eq!(place.not_yet().len(), members.len(), "{members:?}: no database has changed");
        }
        let changes = faults.calls().iter().filter(|call| call.starts_with("database.apply")).count();
        assert_eq!(changes, 0, "{:?}", faults.calls());
        for _ in 0..3 {
            halted(&place.stretch(Until::Verified, &faults).await);
            assert_eq!(place.not_yet(), Vec::<&str>::new(), "{members:?}: verified");
            assert!(place.world.stores[0].published().unwrap() == before, "{members:?}: nothing is published");
            if members.iter().all(|member| !member.config.contains("\"single\"")) {
                assert_eq!(place.dead(), Vec::<String>::new(), "{members:?}: verified");
            }
        }
        // An earlier step again, as the platform does that begins from the top.
        halted(&place.stretch(Until::Verified, &faults).await);
        let register = place.register();
        assert_eq!(register.phase, "intent", "{members:?}");
        let report = place.stretch(Until::End, &faults).await;
        assert_eq!(report.finish, Finish::Rotated(dizzy_engine::Generation(register.last)), "{members:?} {report:?}");
        place.assert_at_rest("after all stretches");
        assert!(place.world.stores[0].published().unwrap() != before, "{members:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_in_a_stretch_the_platform_brings_the_set_to_rest_by_repeating() {
    const STRETCHES: [Until; 4] = [Until::Staged, Until::Verified, Until::Verified, Until::End];
    // Every call meets one form of failure in each mix; the sweep of whole rotations has every form at every call.
    for (nr, members) in [MIXES[1], MIXES[4], MIXES[0]].into_iter().enumerate() {
        let place = Place::before_the_fault(members).await;
        let faults = Faults::none();
        for until in STRETCHES {
            place.stretch(until, &faults).await;
        }
        place.assert_at_rest("without a fault");
        let calls = faults.calls();
        for (index, call) in calls.iter().enumerate() {
            let form = Form::ALL[(index + nr) % Form::ALL.len()];
            let context = format!("{members:?}: {form:?} at call {index}, {call}");
            let place = Place::before_the_fault(members).await;
            let faults = Faults::plan([Fault::at(index, form)]);
            let mut last = None;
            for until in STRETCHES {
                last = Some(place.stretch(until, &faults).await);
            }
            assert_eq!(faults.hits(), 1, "{context}: the fault fired");
            faults.revive();
            faults.clear();
            faults.deliver().await;
            // The platform begins from the top, later, until it is told that the work is done.
            for seconds in [31, 31, 21 * 60] {
                if last.as_ref().is_some_and(|report| report.verdict() == Verdict::Done) {
                    break;
                }
                tokio::time::advance(Duration::from_secs(seconds)).await;
                for until in STRETCHES {
                    last = Some(place.stretch(until, &Faults::none()).await);
                }
            }
            let verdict = last.as_ref().map(Report::verdict);
            assert_eq!(verdict, Some(Verdict::Done), "{context}: {last:?}");
            place.assert_at_rest(&context);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_time_nothing_is_begun() {
    let place = Place::adopted(MIXES[1], 1).await;
    let before = place.register();
    let now = Deadline::after(Duration::ZERO);
    let time = Time { begin_by: now, stop_by: now, end: Deadline::after(Duration::from_secs(5)) };
    let faults = Faults::none();
    let report = place.within(time, &faults).await;
    assert_eq!((report.halt, report.verdict()), (Some(Halt::NoTime), Verdict::OldIsValid), "{report:?}");
    let after = place.register();
    assert_eq!((after.phase.as_str(), after.next, after.last), ("idle", None, before.last));
    assert!(!faults.calls().iter().any(|call| call.starts_with("store.stage")), "{:?}", faults.calls());
    // The next one need not wait for a lease.
    assert!(matches!(place.run(Goal::Rotate, &Faults::none()).await.finish, Finish::Rotated(_)));
}

#[tokio::test(start_paused = true)]
async fn when_time_is_short_a_run_stops_where_it_harms_nobody_and_the_next_goes_on() {
    // A store that throttles: the run waits, and its time ends before its patience does.
    let place = Place::adopted(MIXES[1], 1).await;
    let throttled =
        |nth| Fault::nth_of("store.stage:aws-sm:one", nth, Form::Refused).with_kind(crate::port::Kind::Throttled);
    let faults = Faults::plan((0..200).map(throttled));
    let after = |seconds| Deadline::after(Duration::from_secs(seconds));
    let time = Time { begin_by: after(10), stop_by: after(12), end: after(15) };
    let report = place.within(time, &faults).await;
    assert!(faults.hits() > 1);
    assert_eq!((report.halt, report.verdict()), (Some(Halt::NoTime), Verdict::Unfinished), "{report:?}");
    assert_eq!(place.register().phase, "intent");
    assert_eq!(place.dead(), Vec::<String>::new());
    let report = place.run(Goal::Rotate, &Faults::none()).await;
    assert_eq!(report.finish, Finish::Rotated(dizzy_engine::Generation(2)), "{report:?}");
    place.assert_at_rest("after the next run");
}
