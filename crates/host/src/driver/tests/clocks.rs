//! Clocks that are wrong, and a register that is read old: what a worker believes about time saves work and decides nothing.

use core::time::Duration;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use dizzy_engine::{Finish, Generation, Goal, Timestamp};

use super::{
    super::{Limits, OpenSet, Quiet, Run},
    place::{ALTERNATING, ALTERNATING_CAS, Members, Place, SINGLE, TokioClock},
};
use crate::{
    memory::MemoryObjects,
    objects::ObjectJournal,
    port::Clock,
    testkit::{Fault, Faults, Form},
};

/// A clock that is wrong by some hours, from its `after`-th look on.
struct WrongClock {
    hours: i64,
    after: u32,
    looks: AtomicU32,
}

impl WrongClock {
    fn by(hours: i64, after: u32) -> Arc<Self> {
        Arc::new(Self { hours, after, looks: AtomicU32::new(0) })
    }
}

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        let looks = self.looks.fetch_add(1, Ordering::SeqCst);
        TokioClock.now().plus_ms(if looks >= self.after { self.hours * 3_600_000 } else { 0 })
    }
}

/// Databases whose fences need no clock, so that nobody has to wait for a drain.
const CLOCKLESS: [Members; 2] = [&[ALTERNATING, ALTERNATING_CAS], &[ALTERNATING, SINGLE]];

#[tokio::test(start_paused = true)]
async fn clocks_that_are_wrong_by_a_day_keep_nobody_waiting_and_break_nothing() {
    for members in CLOCKLESS {
        let place = Place::adopted(members, 7).await;
        let faults = Faults::none();
        place.run(Goal::Rotate, &faults).await;
        let calls = faults.calls();
        for (index, call) in calls.iter().enumerate() {
            for (dead, next) in [(24, 0), (-24, 0), (0, 24), (0, -24), (24, -24)] {
                let context = format!("{members:?}: died at {call}, clocks wrong by {dead} and {next} hours");
                let place = Place::adopted(members, 7).await;
                let faults = Faults::plan([Fault::at(index, Form::CrashAfter)]);
                let open = OpenSet { clock: WrongClock::by(dead, 0), ..place.open(&faults) };
                Run::new(&open, Limits::default(), &Quiet).go(Goal::Rotate).await.unwrap();
                assert!(faults.is_crashed(), "{context}");
                // Half a minute of true time, as after any death.
                tokio::time::advance(Duration::from_secs(31)).await;
                for _ in 0..2 {
                    let open = OpenSet { clock: WrongClock::by(next, 0), ..place.open(&Faults::none()) };
                    let report = Run::new(&open, Limits::default(), &Quiet).go(Goal::Recover).await.unwrap();
                    assert!(!matches!(report.finish, Finish::Busy(_)) || next < 0, "{context}: {report:?}");
                    if members == CLOCKLESS[0] {
                        assert_eq!(place.dead(), Vec::<String>::new(), "{context}");
                    }
                }
                // A clock that is a day behind sees a lease of today; a right one does not wait for it.
                place.run(Goal::Recover, &Faults::none()).await;
                place.assert_at_rest(&context);
                let report = place.run(Goal::Rotate, &Faults::none()).await;
                assert!(matches!(report.finish, Finish::Rotated(_)), "{context}: {report:?}");
                place.assert_at_rest(&context);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_by_a_day_in_the_middle_of_a_run_breaks_nothing() {
    for members in CLOCKLESS {
        let mut jumps = 0;
        for hours in [24, -24] {
            for after in 1_u32.. {
                let context = format!("{members:?}: the clock jumps by {hours} hours at look {after}");
                let place = Place::adopted(members, 7).await;
                let clock = WrongClock::by(hours, after);
                let open = OpenSet { clock: Arc::<WrongClock>::clone(&clock), ..place.open(&Faults::none()) };
                Run::new(&open, Limits::default(), &Quiet).go(Goal::Rotate).await.unwrap();
                let jumped = clock.looks.load(Ordering::SeqCst) > after;
                tokio::time::advance(Duration::from_secs(31)).await;
                place.run(Goal::Recover, &Faults::none()).await;
                place.assert_at_rest(&context);
                if !jumped {
                    break;
                }
                jumps += 1;
            }
        }
        assert!(jumps > 20, "only {jumps} jumps");
    }
}

#[tokio::test(start_paused = true)]
async fn a_register_that_is_read_old_once_costs_a_run_and_nothing_else() {
    let place = Place::adopted(&[ALTERNATING, SINGLE], 7).await;
    let objects = Arc::<MemoryObjects>::default();
    let history = place.world.journal.history("orders");
    for bytes in &history {
        objects.overwrite("orders.json", bytes);
    }
    let run = async || {
        let journal = ObjectJournal::new(Arc::<MemoryObjects>::clone(&objects));
        let open = OpenSet { journal: Arc::new(journal), ..place.open(&Faults::none()) };
        Run::new(&open, Limits::default(), &Quiet).go(Goal::Rotate).await.unwrap()
    };
    for generation in 2..6 {
        if generation > 2 {
            objects.answer_old_once();
            let before = place.world.stores[0].published().unwrap();
            let report = run().await;
            assert!(matches!(report.finish, Finish::Fenced | Finish::Busy(_)), "what was read is over: {report:?}");
            assert!(place.world.stores[0].published().unwrap() == before);
            assert_eq!(place.dead(), Vec::<String>::new());
        }
        let report = run().await;
        assert_eq!(report.finish, Finish::Rotated(Generation(generation)), "{report:?}");
        assert_eq!(place.dead(), Vec::<String>::new());
        assert!(place.stores_agree());
    }
}
