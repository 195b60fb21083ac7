//! Exhaustive exploration of the real engine. `bounds.rs` says what is searched, `world.rs` and `servers.rs` are the made-up world,
//! `memo.rs` runs the engine, `search.rs` searches, `check.rs` holds the invariants, `switches.rs` and `table.rs` what must fail.
//!
//! The default run takes less than a minute on two quiet cores; `DIZZY_EXPLORE=long` searches further, for hours.
//! Every search is printed (`--nocapture`) with its bounds and sizes; one that was cut off counts as failed.

#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "this is a test: positions come from the plan of the same search, results are printed, and a wrong guess may fail"
)]

mod bounds;
mod check;
mod memo;
mod search;
mod servers;
mod switches;
mod table;
mod world;

use bounds::{ALT_E, ALT_S, Bounds, Kind, Mix, ROLL, SINGLE_E, SINGLE_S, ending_windows};
use search::{Found, search};

/// A search of more states than this is cut off: it would not fit into the memory of a small machine.
const LIMIT: usize = 2_000_000;
/// ... and this is for machines with some gigabytes to spare.
const LONG_LIMIT: usize = 25_000_000;

/// One test per mix, so that they run side by side.
macro_rules! mixes {
    ($($name:ident: $a:ident + $b:ident,)*) => {
        $(#[test]
        fn $name() {
            explore(Mix($a, $b));
        })*

        #[test]
        fn every_mix_has_its_test() {
            assert_eq!(Mix::all(), [$(Mix($a, $b)),*]);
        }
    };
}

mixes! {
    alternating_fenced_twice: ALT_E + ALT_E,
    alternating_fenced_and_unfenced: ALT_E + ALT_S,
    alternating_fenced_and_single_fenced: ALT_E + SINGLE_E,
    alternating_fenced_and_single_unfenced: ALT_E + SINGLE_S,
    alternating_fenced_and_rollover: ALT_E + ROLL,
    alternating_unfenced_twice: ALT_S + ALT_S,
    alternating_unfenced_and_single_fenced: ALT_S + SINGLE_E,
    alternating_unfenced_and_single_unfenced: ALT_S + SINGLE_S,
    alternating_unfenced_and_rollover: ALT_S + ROLL,
    single_fenced_twice: SINGLE_E + SINGLE_E,
    single_fenced_and_unfenced: SINGLE_E + SINGLE_S,
    single_fenced_and_rollover: SINGLE_E + ROLL,
    single_unfenced_twice: SINGLE_S + SINGLE_S,
    single_unfenced_and_rollover: SINGLE_S + ROLL,
}

fn explore(mix: Mix) {
    let (bounds, limit) = if is_long() { (far(mix), LONG_LIMIT) } else { (everyday(mix), LIMIT) };
    let bad: Vec<String> = bounds
        .iter()
        .filter_map(|b| {
            let found = timed(b, limit);
            (!found.is_clean()).then(|| format!("{} ({}): {}", b.mix, b.words(), found.traces()))
        })
        .collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// What every run of the tests searches.
fn everyday(mix: Mix) -> Vec<Bounds> {
    let fenced_idle = |kind: Kind| kind == ALT_E || kind == ALT_S;
    let mut all = vec![Bounds::one(mix).with(|b| b.refusals = true)];
    // The register does not care what the databases do, and two alternating databases do much.
    let last = if fenced_idle(mix.0) && fenced_idle(mix.1) { 2 } else { 3 };
    all.push(Bounds::one(mix).with(|b| (b.last, b.late_register) = (last, true)));
    all.push(Bounds::one(mix).with(|b| (b.last, b.late_stores, b.stale, b.throttled) = (2, true, false, false)));
    if mix.has(SINGLE_E) {
        all.push(Bounds::one(mix).with(|b| (b.refusals, b.late_refusals) = (true, true)));
    }
    if mix.has(ROLL) {
        all.push(Bounds::one(mix).with(|b| (b.refusals, b.expiry) = (true, true)));
        all.push(Bounds::one(mix).with(|b| (b.refusals, b.plan) = (true, ending_windows(&b.plan))));
    }
    all.extend(revokes(mix).into_iter().map(|b| b.with(|b| b.last = 3)));
    let heavy = [Mix(ALT_E, ALT_E), Mix(SINGLE_E, SINGLE_E)].contains(&mix);
    all.push(Bounds::two(mix).with(|b| (b.last, b.stale, b.refusals, b.delayed) = (2, true, true, !heavy)));
    let small =
        [Mix(ALT_E, SINGLE_S), Mix(ALT_S, SINGLE_S), Mix(SINGLE_E, ROLL), Mix(SINGLE_S, SINGLE_S)].contains(&mix);
    if small || mix.has(ROLL) {
        all.push(Bounds::two(mix));
    }
    all
}

/// A revoke beside rotations, by one worker after the other and by two at a time; with a last generation of 3, there is none to spare.
fn revokes(mix: Mix) -> Vec<Bounds> {
    let mut one = vec![Bounds::one(mix).with(|b| (b.revoke, b.stale, b.throttled) = (true, false, false))];
    if mix.has(ROLL) {
        one.push(one[0].clone().with(|b| b.plan = ending_windows(&b.plan)));
    }
    if [Mix(ALT_E, ROLL), Mix(ALT_S, ROLL), Mix(SINGLE_S, ROLL)].contains(&mix) || is_long() {
        one.push(Bounds::two(mix).with(|b| b.revoke = true));
    }
    one
}

/// What is searched on request.
fn far(mix: Mix) -> Vec<Bounds> {
    let mut all = everyday(mix);
    all.extend(revokes(mix).into_iter().map(|b| b.with(|b| (b.last, b.refusals) = (4, true))));
    all.push(Bounds::two(mix).with(|b| (b.last, b.revoke, b.stale, b.refusals) = (3, true, true, true)));
    all.push(Bounds::two(mix).with(|b| b.refusals = true));
    all.push(Bounds::two(mix).with(|b| (b.stale, b.refusals) = (true, true)));
    all.push(Bounds::two(mix).with(|b| (b.last, b.late_register, b.refusals) = (2, true, true)));
    all.push(Bounds::two(mix).with(|b| (b.last, b.reads_apart, b.any_order) = (2, true, true)));
    if [Mix(ALT_E, ALT_E), Mix(SINGLE_E, SINGLE_E)].contains(&mix) {
        all.push(Bounds::two(mix).with(|b| (b.last, b.delayed, b.stale, b.refusals) = (2, true, true, true)));
    }
    all.push(Bounds::one(mix).with(|b| (b.last, b.refusals) = (4, true)));
    all.push(Bounds::one(mix).with(|b| (b.refusals, b.late_register) = (true, true)));
    all.push(Bounds::one(mix).with(|b| b.late_stores = true));
    all.push(Bounds::two(mix).with(|b| (b.last, b.late_stores) = (2, true)));
    if mix.has(SINGLE_E) {
        all.push(Bounds::two(mix).with(|b| (b.refusals, b.late_refusals) = (true, true)));
    }
    if mix.has(ROLL) {
        all.push(Bounds::two(mix).with(|b| (b.refusals, b.expiry) = (true, true)));
        all.push(Bounds::two(mix).with(|b| (b.refusals, b.plan) = (true, ending_windows(&b.plan))));
        all.push(Bounds::one(mix).with(|b| (b.last, b.refusals, b.expiry) = (4, true, true)));
        all.push(Bounds::one(mix).with(|b| (b.last, b.refusals, b.plan) = (4, true, ending_windows(&b.plan))));
    }
    // Two alternating databases, or two fenced singles, do not fit any more.
    let idle = |kind: Kind| kind == ALT_E || kind == ALT_S;
    if !(idle(mix.0) && idle(mix.1)) && mix != Mix(SINGLE_E, SINGLE_E) {
        all.push(Bounds::two(mix).with(|b| b.delayed = true));
        all.push(Bounds::two(mix).with(|b| b.last = 4));
    }
    all
}

/// Searches, and prints what was searched.
fn timed(b: &Bounds, limit: usize) -> Found {
    #[expect(clippy::disallowed_methods, reason = "the time is printed and decides nothing")]
    let start = std::time::Instant::now();
    let found = search(b, limit);
    println!("{:<18} {:>6.1} s {}  ({})", b.mix, start.elapsed().as_secs_f64(), found.summary(), b.words());
    found
}

fn is_long() -> bool {
    #[expect(clippy::disallowed_methods, reason = "the one knob of this test")]
    std::env::var("DIZZY_EXPLORE").is_ok_and(|v| v == "long")
}
