//! Many sets at once: a bounded number of them, in any order, with the results in the order that was asked for.
//!
//! A set has two stretches. *Looking* is cheap and decides whether there is work; *work* takes a slot. A set that takes long, because
//! something in it does not answer, gives its slot to the next one and goes on beside it, so that sets which hang do not add up.

use core::{future::Future, pin::Pin, time::Duration};
use std::collections::{BTreeMap, VecDeque};

use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

/// How much happens at the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots {
    /// Looks at a time.
    pub(super) looks: usize,
    /// Sets that are worked on, as long as each of them gets on.
    pub(super) at_once: usize,
    /// Sets that are worked on in all, the slow ones included: what bounds memory and connections.
    pub(super) most: usize,
    /// How long a set keeps its slot.
    pub(super) patience: Duration,
}

/// What is asked of one set.
pub(super) type Job<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a look has found.
pub(super) enum Look<T> {
    /// There is nothing more to do.
    Done(T),
    /// There is work.
    Work(Job<T>),
}

enum Ended<T> {
    Looked(Look<T>),
    Worked(T),
}

impl Slots {
    /// Runs everything to its end. Jobs are taken from the iterator when their turn comes. `lost` makes the result of a job that
    /// panicked: the others are not concerned.
    pub(super) async fn run<T: Send + 'static>(
        self,
        jobs: impl Iterator<Item = Job<Look<T>>>,
        lost: impl Fn(usize) -> T,
    ) -> Vec<T> {
        let mut jobs = jobs.enumerate();
        let mut running = JoinSet::new();
        let mut tasks = BTreeMap::new();
        let mut ready: VecDeque<(usize, Job<T>)> = VecDeque::new();
        let mut looking = 0;
        let mut working: BTreeMap<usize, Instant> = BTreeMap::new();
        let mut results: BTreeMap<usize, T> = BTreeMap::new();
        loop {
            while looking + ready.len() < self.looks
                && let Some((at, job)) = jobs.next()
            {
                looking += 1;
                tasks.insert(running.spawn(async { Ended::Looked(job.await) }).id(), at);
            }
            while self.has_room(&working)
                && let Some((at, job)) = ready.pop_front()
            {
                working.insert(at, Instant::now());
                tasks.insert(running.spawn(async { Ended::Worked(job.await) }).id(), at);
            }
            let next = running.join_next_with_id();
            let ended = match self.next_room(&working).filter(|_| !ready.is_empty()) {
                None => next.await,
                Some(room) => match timeout_at(room, next).await {
                    Ok(ended) => ended,
                    Err(_) => continue,
                },
            };
            let (id, ended) = match ended {
                None => break,
                Some(Ok((id, ended))) => (id, Some(ended)),
                Some(Err(error)) => (error.id(), None),
            };
            let Some(at) = tasks.remove(&id) else { continue };
            if working.remove(&at).is_none() {
                looking -= 1;
            }
            match ended {
                Some(Ended::Looked(Look::Work(job))) => ready.push_back((at, job)),
                Some(Ended::Looked(Look::Done(result)) | Ended::Worked(result)) => drop(results.insert(at, result)),
                None => drop(results.insert(at, lost(at))),
            }
        }
        results.into_values().collect()
    }

    fn has_room(&self, working: &BTreeMap<usize, Instant>) -> bool {
        let slow = Instant::now().checked_sub(self.patience);
        let quick = working.values().filter(|since| slow.is_none_or(|slow| **since > slow)).count();
        quick < self.at_once && working.len() < self.most
    }

    /// When the next slot is given up, if one can be.
    fn next_room(&self, working: &BTreeMap<usize, Instant>) -> Option<Instant> {
        if working.len() >= self.most {
            return None;
        }
        let now = Instant::now();
        working.values().map(|since| *since + self.patience).filter(|room| *room > now).min()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use tokio::time::sleep;

    use super::*;

    const SLOTS: Slots = Slots { looks: 4, at_once: 2, most: 6, patience: Duration::from_secs(5) };

    /// How many of something there are, and how many there were at most.
    #[derive(Default)]
    struct Count(AtomicUsize, AtomicUsize);

    impl Count {
        async fn during<T>(&self, work: impl Future<Output = T>) -> T {
            self.1.fetch_max(self.0.fetch_add(1, SeqCst) + 1, SeqCst);
            let result = work.await;
            self.0.fetch_sub(1, SeqCst);
            result
        }

        fn most(&self) -> usize {
            self.1.load(SeqCst)
        }
    }

    /// A set that is worked on for some seconds.
    fn worked(seconds: u64, count: &Arc<Count>, end: impl FnOnce() -> u64 + Send + 'static) -> Job<Look<u64>> {
        let count = Arc::clone(count);
        Box::pin(async move {
            Look::Work(Box::pin(async move {
                count.during(sleep(Duration::from_secs(seconds))).await;
                end()
            }))
        })
    }

    fn run(slots: Slots, jobs: impl Iterator<Item = Job<Look<u64>>>) -> (Vec<u64>, Duration) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let began = Instant::now();
            let results = slots.run(jobs, |_| 999).await;
            (results, began.elapsed())
        })
    }

    #[test]
    fn results_are_in_the_order_asked_for_and_no_more_run_than_allowed() {
        let (looks, works) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let jobs = (0..20_u64).map(|n| {
            let (looks, works) = (Arc::clone(&looks), Arc::clone(&works));
            let look = async move {
                looks.during(sleep(Duration::from_millis(n % 3 + 1))).await;
                if n % 4 == 0 {
                    return Look::Done(n);
                }
                let work = async move { works.during(sleep(Duration::from_millis(100 - n))).await };
                Look::Work(Box::pin(async move {
                    work.await;
                    n
                }) as Job<u64>)
            };
            Box::pin(look) as Job<Look<u64>>
        });
        let (results, _) = run(SLOTS, jobs);
        assert_eq!(results, (0..20).collect::<Vec<_>>());
        assert_eq!((looks.most(), works.most()), (4, 2));
    }

    #[test]
    fn jobs_are_made_when_their_turn_comes() {
        let made = Arc::new(AtomicUsize::new(0));
        let ahead = Arc::new(Mutex::new(Vec::new()));
        let works = Arc::new(Count::default());
        let jobs = (0..50).map(|n| {
            let number = made.fetch_add(1, SeqCst) + 1;
            let (made, ahead) = (Arc::clone(&made), Arc::clone(&ahead));
            worked(1, &works, move || {
                ahead.lock().unwrap().push(made.load(SeqCst) - number);
                n
            })
        });
        let (results, _) = run(SLOTS, jobs);
        assert_eq!(results.len(), 50);
        let most = *ahead.lock().unwrap().iter().max().unwrap();
        assert!(most <= SLOTS.looks + SLOTS.at_once, "{most} jobs were made ahead");
    }

    #[test]
    fn sets_that_hang_cost_the_others_their_patience_once_at_most() {
        let works = Arc::new(Count::default());
        // The first two hang for a minute each and hold both slots; twenty others take a second each.
        let jobs = (0..22).map(|n| worked(if n < 2 { 60 } else { 1 }, &works, move || n));
        let finished = Arc::new(Mutex::new(Vec::new()));
        let jobs = jobs.map(|job| {
            let finished = Arc::clone(&finished);
            Box::pin(async move {
                let Look::Work(work) = job.await else { panic!("there is work") };
                Look::Work(Box::pin(async move {
                    let n = work.await;
                    finished.lock().unwrap().push(n);
                    n
                }) as Job<u64>)
            }) as Job<Look<u64>>
        });
        let (results, took) = run(SLOTS, jobs);
        assert_eq!(results, (0..22).collect::<Vec<_>>());
        // Ten seconds of work in two slots after five of patience: all of it within the minute of the two.
        assert_eq!(took, Duration::from_secs(60));
        assert_eq!(finished.lock().unwrap()[20..], [0, 1]);
    }

    #[test]
    fn slow_sets_are_bounded_too() {
        let works = Arc::new(Count::default());
        let (results, took) = run(SLOTS, (0..12).map(|n| worked(60, &works, move || n)));
        assert_eq!(results.len(), 12);
        assert_eq!(works.most(), SLOTS.most);
        // Six slots are opened in pairs, five seconds apart; each of them is used twice.
        assert_eq!(took, Duration::from_secs(130));
    }

    #[test]
    fn a_job_that_panics_concerns_no_other() {
        let works = Arc::new(Count::default());
        let (results, _) =
            run(SLOTS, (0..5).map(|n| worked(1, &works, move || if n == 2 { panic!("on purpose") } else { n })));
        assert_eq!(results, [0, 1, 999, 3, 4]);
    }
}
