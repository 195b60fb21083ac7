//! Random walks: workers, faults, late requests, frozen processes, refusing servers and clocks in any order, with the same judge.
//!
//! A walk follows from its seed. A seed that has failed is committed in `seeds.txt` and walked in every test run; `make soak` walks
//! fresh ones for as long as it is told. One assumption bounds a walk, the one that the drain rests on: nothing that a worker sent,
//! and no worker that stands still, outlives twenty minutes.

use core::{fmt::Write as _, time::Duration};

use dizzy_engine::Goal;

use super::{
    super::place::{ALTERNATING, ALTERNATING_CAS, MIXES, Members, Place, ROLLOVER, ROLLOVER_ENDS, SINGLE, SINGLE_CAS},
    block_on, each, report,
    story::Story,
};
use crate::{
    memory::PasswordRule,
    port::Kind,
    testkit::{
        Fault, Form,
        matrix::{Point, Verdict},
    },
};

/// Seeds of walks that found a defect once.
const SEEDS: &str = include_str!("seeds.txt");
/// Walks of a test run besides these.
const WALKS: u64 = 300;
/// Steps of a walk before everything is let go.
const STEPS: u64 = 12;
/// With this in the environment, fresh walks for so many minutes.
const MINUTES: &str = "DIZZY_SOAK_MINUTES";
/// The first seed of those; without it, the time of day.
const FIRST: &str = "DIZZY_SOAK_SEED";

/// Every form in which a call can go wrong.
const FORMS: [Form; 10] = [
    Form::Refused,
    Form::LostBefore,
    Form::ReplyLost,
    Form::Delayed,
    Form::Hang,
    Form::CrashBefore,
    Form::CrashAfter,
    Form::HoldBefore,
    Form::HoldAfter,
    Form::Stale,
];

#[test]
fn no_random_walk_ends_badly() {
    let committed: Vec<u64> = SEEDS.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
    let fixed: Vec<u64> = committed.iter().copied().chain(0..WALKS).collect();
    let mut steps = walk_all(&fixed);
    let mut walks = fixed.len() as u64;
    let (until, mut seed) = asked_for();
    while !until.is_zero() && began().elapsed() < until {
        let seeds: Vec<u64> = (seed..seed + WALKS).collect();
        steps += walk_all(&seeds);
        (walks, seed) = (walks + WALKS, seed + WALKS);
    }
    println!("{walks} walks, {} of them committed, {steps} steps", committed.len());
}

/// Walks all of them; says how many steps that took.
fn walk_all(seeds: &[u64]) -> u64 {
    let results = each(seeds, |seed| (*seed, block_on(walk(*seed))));
    let failed = results.iter().filter_map(|(seed, (verdict, trace))| match verdict {
        Verdict::Failed(why) => Some(format!("seed {seed}: {why}\n{trace}")),
        Verdict::Passed | Verdict::Absent(_) => None,
    });
    report(&failed.collect::<Vec<_>>());
    results.len() as u64 * STEPS
}

/// One walk, and what it did.
async fn walk(seed: u64) -> (Verdict, String) {
    let mut dice = Dice(seed);
    let members = dice.members();
    let mut trace = format!("  {:?}\n", members.iter().map(|m| (m.name, m.acceptance)).collect::<Vec<_>>());
    let mut story = Story::new(Place::before_the_fault(members).await, Vec::new());
    story.expect_much();
    for _ in 0..STEPS {
        let step = dice.step(members);
        writeln!(trace, "  {step:?}").unwrap();
        take(&mut story, step, members).await;
        // At any moment: somebody verifies while workers are dead, asleep or half-way.
        story.verify_trail().await;
    }
    (story.let_everything_go().await, trace)
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// A worker, which meets these faults.
    Work(Goal, Vec<(Point, usize, Form, Kind)>),
    /// Time goes by.
    Wait(Duration),
    /// Everything that is late arrives, and who stood still goes on.
    Arrive,
    /// A server takes no new passwords, or takes them again.
    Judge(usize, bool),
    /// Longer than any window.
    Windows,
}

async fn take(story: &mut Story, step: Step, members: Members) {
    match step {
        Step::Work(goal, faults) => {
            story.faults.clear();
            for (point, nth, form, kind) in faults {
                story.faults.add(Fault::nth_at(point, nth + story.seen(point), form).with_kind(kind));
            }
            story.faults.revive();
            story.go(goal).await;
        }
        Step::Wait(time) => tokio::time::advance(time).await,
        Step::Arrive => story.everything_arrives().await,
        Step::Judge(at, refuses) => {
            let rule = if refuses { PasswordRule::RefuseAll } else { PasswordRule::AcceptAll };
            story.place.world.databases[at % members.len()].judge_passwords(rule);
        }
        Step::Windows => {
            story.everything_arrives().await;
            // Under way, a window must outlast the rotation: that is a condition of the strategy.
            if story.place.register().phase == "idle" {
                story.place.pass_windows().await;
            }
        }
    }
}

/// A small generator with a known sequence (splitmix64, public domain).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// One of the known sets, or any three databases with at most one rollover.
    fn members(&mut self) -> Members {
        if self.below(2) == 0 {
            return self.pick(&MIXES);
        }
        let mut all = vec![ALTERNATING, ALTERNATING_CAS, SINGLE, SINGLE_CAS, self.pick(&[ROLLOVER, ROLLOVER_ENDS])];
        while all.len() > 3 {
            all.remove(self.below(all.len()));
        }
        Box::leak(all.into_boxed_slice())
    }

    fn step(&mut self, members: Members) -> Step {
        match self.below(12) {
            0..=5 => {
                let goal = if self.below(3) == 0 { Goal::Recover } else { Goal::Rotate };
                let count = self.below(4);
                let faults = (0..count).map(|_| self.fault());
                Step::Work(goal, faults.collect())
            }
            6 | 7 => Step::Wait(Duration::from_secs(self.pick(&[1, 10, 31, 31, 31, 120]))),
            8 | 9 => Step::Arrive,
            10 => Step::Judge(self.below(members.len()), self.below(2) == 0),
            _ => Step::Windows,
        }
    }

    fn fault(&mut self) -> (Point, usize, Form, Kind) {
        let kinds = [Kind::Unreachable, Kind::Throttled, Kind::Denied, Kind::Timeout, Kind::Busy];
        (self.pick(&Point::ALL), self.below(4), self.pick(&FORMS), self.pick(&kinds))
    }
}

#[expect(clippy::disallowed_methods, reason = "a test reads its own switches and the wall clock for how long to go on")]
fn asked_for() -> (Duration, u64) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let minutes = number(MINUTES).unwrap_or(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    (Duration::from_secs(minutes * 60), number(FIRST).unwrap_or(now.as_secs() * 1_000))
}

#[expect(clippy::disallowed_methods, reason = "how long to go on is a matter of the wall clock")]
fn began() -> std::time::Instant {
    static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    *BEGAN.get_or_init(std::time::Instant::now)
}
