//! Containers that die, or stand still, at a random call in one cloud; a container in the other cloud finishes or undoes.
//!
//! Where a container dies is chosen by a seed, which is printed; `DIZZY_SEED` repeats one. The choice is a number of calls that the
//! clouds have seen, so it means the same on a slow machine.

use std::{thread, time::Duration};

use dizzy_sandbox::platform::{Answered, Event};

use crate::{
    boxes::{Boxes, Functions, Lambda, recover},
    world::rotate,
};

/// A rotation is killed once in each of so many stretches of it.
const STRETCHES: u64 = 4;
/// The exit code of a container that was killed.
const KILLED: i32 = 137;
/// Longer than any rotation here, with a thaw in the middle.
const LIMIT: Duration = Duration::from_secs(300);
/// Between two looks at how far a rotation is.
const LOOK: Duration = Duration::from_millis(1);

/// Which calls to strike at.
struct Points {
    state: u64,
    calls: u64,
}

impl Points {
    /// `calls` is how many calls a whole rotation makes.
    fn new(calls: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "how a person repeats a run")]
        let named = std::env::var("DIZZY_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = named.unwrap_or_else(|| u64::from(std::process::id()));
        println!("seed {seed} (DIZZY_SEED repeats it); a rotation makes {calls} calls");
        Self { state: seed, calls }
    }

    /// One in this stretch; stretches have equal lengths, so that few points still see all of a rotation.
    fn next(&mut self, stretch: u64) -> u64 {
        let length = self.calls / STRETCHES;
        stretch * length + 1 + self.random() % length
    }

    /// One anywhere.
    fn any(&mut self) -> u64 {
        1 + self.random() % self.calls
    }

    fn random(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// What happens to a container in the middle of a rotation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Strike {
    /// It is killed.
    Kill,
    /// It stands still until the other cloud has finished, and goes on then.
    Freeze,
}

impl Boxes {
    /// How many calls both clouds have seen.
    fn calls(&self) -> u64 {
        let counts = self.world.at.moto.counts(None).unwrap();
        let aws: u64 = counts.as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
        aws + u64::try_from(self.world.at.oci.log().len()).unwrap()
    }

    /// Returns when the clouds have seen this many calls, or there is an end.
    fn wait_for_calls(&self, calls: u64, has_ended: impl Fn() -> bool) {
        while self.calls() < calls && !has_ended() {
            thread::sleep(LOOK);
        }
    }

    fn tell(&self, place: &str, strike: Strike, point: u64, before: u64) {
        let register = self.world.register();
        let (calls, phase) = (self.calls() - before, &register["phase"]);
        println!(
            "{place}: {strike:?} at call {point}, was at {calls}, phase {phase}, generation {}",
            register["current"]
        );
    }

    /// A rotation in Lambda that is struck at this call; `then` is what happens meanwhile.
    fn strike_lambda(&self, strike: Strike, point: u64, then: impl FnOnce()) {
        let Lambda { api, container } = self.lambda();
        assert!(api.wait_until_ready());
        let (before, event) = (self.calls(), Event::new(rotate().to_string()).within(LIMIT));
        thread::scope(|scope| {
            let answer = scope.spawn(|| api.invoke(&event));
            self.wait_for_calls(before + point, || answer.is_finished());
            match strike {
                Strike::Kill => {
                    let ended = container.killed().unwrap();
                    assert_eq!(ended.exit, KILLED, "{}{}", ended.out, ended.err);
                    api.end();
                    // If it was quicker than the kill, it has done its work.
                    let answered = answer.join().unwrap();
                    assert!(!matches!(answered, Answered::Error { .. }), "{answered:?}");
                    self.tell("Lambda", strike, point, before);
                    then();
                }
                Strike::Freeze => {
                    container.pause().unwrap();
                    self.tell("Lambda", strike, point, before);
                    then();
                    container.unpause().unwrap();
                    // It finds that it was overtaken, or that nothing was left to do.
                    let answered = answer.join().unwrap();
                    assert_ne!(answered, Answered::TimedOut, "{:?}", container.said());
                    println!("  thawed: {answered:?}");
                }
            }
        });
    }

    /// The same in Functions.
    fn strike_functions(&self, strike: Strike, point: u64, then: impl FnOnce()) {
        let Functions { mut agent, container } = self.functions();
        let (before, event) = (self.calls(), rotate().to_string());
        thread::scope(|scope| {
            let answer = scope.spawn(move || agent.call(&[], event.as_bytes()));
            self.wait_for_calls(before + point, || answer.is_finished());
            match strike {
                Strike::Kill => {
                    let ended = container.killed().unwrap();
                    assert_eq!(ended.exit, KILLED, "{}{}", ended.out, ended.err);
                    let answered = answer.join().unwrap();
                    assert!(answered.as_ref().map_or(true, |answered| answered.status == 200), "{answered:?}");
                    self.tell("Functions", strike, point, before);
                    then();
                }
                Strike::Freeze => {
                    container.pause().unwrap();
                    self.tell("Functions", strike, point, before);
                    then();
                    container.unpause().unwrap();
                    println!("  thawed: {:?}", answer.join().unwrap().unwrap());
                }
            }
        });
    }

    /// Lambda finishes or undoes what another has left.
    fn lambda_recovers(&self) {
        self.end_the_lease();
        println!("  recovered in Lambda: {}", self.lambda().must(&recover())["sets"][0]["outcome"]);
        self.world.assert_at_rest("recovered in Lambda");
    }

    /// Functions does.
    fn functions_recover(&self) {
        self.end_the_lease();
        println!("  recovered in Functions: {}", self.functions().must(&recover())["sets"][0]["outcome"]);
        self.world.assert_at_rest("recovered in Functions");
    }
}

#[test]
fn killed_in_lambda_recovered_in_functions() {
    let boxes = Boxes::new();
    let before = boxes.calls();
    boxes.lambda().must(&rotate());
    let mut points = Points::new(boxes.calls() - before);
    for stretch in 0..STRETCHES {
        boxes.strike_lambda(Strike::Kill, points.next(stretch), || boxes.functions_recover());
    }
    boxes.strike_lambda(Strike::Freeze, points.any(), || boxes.functions_recover());
    boxes.world.assert_at_rest("after a thaw");
    boxes.functions().must(&rotate());
    boxes.world.assert_at_rest("the next rotation");
}

#[test]
fn killed_in_functions_recovered_in_lambda() {
    let boxes = Boxes::new();
    let before = boxes.calls();
    boxes.functions().must(&rotate());
    let mut points = Points::new(boxes.calls() - before);
    for stretch in 0..STRETCHES {
        boxes.strike_functions(Strike::Kill, points.next(stretch), || boxes.lambda_recovers());
    }
    boxes.strike_functions(Strike::Freeze, points.any(), || boxes.lambda_recovers());
    boxes.world.assert_at_rest("after a thaw");
    boxes.lambda().must(&rotate());
    boxes.world.assert_at_rest("the next rotation");
}
