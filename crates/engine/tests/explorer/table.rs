//! What must fail: every rule of the protocol, taken away within the smallest bounds that show why it is there.
//!
//! Each case also runs with the rule in place and must then be clean, so that it is the rule and nothing else that holds.

use std::collections::BTreeMap;

use dizzy_engine::Op;

use crate::{
    bounds::{ALT_E, ALT_S, Bounds, Mix, ROLL, SINGLE_E, SINGLE_S, ending_windows},
    check,
    switches::Switch,
    timed,
};

/// A search of more states than this is not a small counterexample.
const LIMIT: usize = 2_000_000;

struct Case {
    /// In docs/design/0001-protocol.md.
    number: &'static str,
    switch: Switch,
    bounds: Bounds,
    /// One of the invariants that break first.
    breaks: &'static str,
}

fn case(number: &'static str, switch: Switch, bounds: Bounds, breaks: &'static str) -> Case {
    Case { number, switch, bounds, breaks }
}

fn cases_of_one_worker() -> Vec<Case> {
    let single = || Bounds::one(Mix(ALT_S, SINGLE_S));
    let fenced = || Bounds::one(Mix(ALT_S, SINGLE_E));
    let roll = || Bounds::one(Mix(ALT_S, ROLL));
    let third = || Bounds::one(Mix(ALT_S, ROLL)).with(|b| b.last = 4);
    let at_once = || fenced().with(|b| b.switches.push(Switch::NoVote));
    let ends = || roll().with(|b| b.plan = ending_windows(&b.plan));
    let revoke = |mix| Bounds::one(mix).with(|b| (b.last, b.revoke, b.throttled) = (3, true, false));
    vec![
        case("C1, C2", Switch::NoStaging, single(), check::LOST),
        case("C3", Switch::FinishWithoutPromotion, single(), check::SPLIT),
        case("C4", Switch::PromoteBeforeApply, roll(), check::DEAD),
        case("C5", Switch::PromotePerDatabase, roll(), check::DEAD),
        case("C6", Switch::NoCommitRecord, single(), check::VERDICT),
        case("C7", Switch::AbortKeepsEpoch, at_once(), check::DEAD_AT_REST),
        case("C8", Switch::UnconditionalChange, fenced(), check::UNRECORDED),
        case("C9", Switch::LoginOnly, fenced(), check::UNRECORDED),
        case("C11", Switch::NoDrain, roll(), check::UNRECORDED),
        case("C12", Switch::NoBurn, at_once(), check::DEAD_AT_REST),
        case("C14", Switch::PlainPending, single(), check::LOST),
        case("C15", Switch::OverwriteNewer, single(), check::UNRECORDED),
        case("C16", Switch::DropAborted, single(), check::LOST),
        case("C17", Switch::WindowIgnored, roll(), check::DEAD),
        case("R1", Switch::NoMark, single(), check::DEAD_AT_REST),
        case("R2", Switch::EndWindowBare, ends(), check::DEAD),
        case("R5", Switch::ThirdMaybe, third(), check::UNRECORDED),
        case("R5", Switch::ProbeWithoutDrain, third(), check::UNRECORDED),
        case("R7", Switch::UnknownIgnored, single(), check::UNRECORDED),
        case("R8", Switch::BaseFromLabel, roll(), check::UNRECORDED),
        case("R12", Switch::RevokeAsOneRotation, revoke(Mix(ALT_S, SINGLE_S)), check::REVOKED),
        case("R12", Switch::RevokeAsOneRotation, revoke(Mix(SINGLE_S, ROLL)), check::REVOKED),
        case("R9", Switch::ExactAlternatingFence, Bounds::one(Mix(ALT_E, SINGLE_S)), check::BRICK),
    ]
}

fn cases_of_two_workers() -> Vec<Case> {
    let fenced = || Bounds::two(Mix(ALT_S, SINGLE_E)).with(|b| b.last = 2);
    let single = || Bounds::two(Mix(SINGLE_S, SINGLE_S)).with(|b| b.last = 2);
    let delayed = || fenced().with(|b| b.delayed = true);
    let longer = || Bounds::two(Mix(ALT_S, SINGLE_S));
    vec![
        case("C7", Switch::AbortKeepsEpoch, delayed(), check::UNRECORDED),
        case("C10, R6", Switch::UndoByTakerOver, single(), check::UNRECORDED),
        case("C12, R10", Switch::NoBurn, fenced(), check::UNRECORDED),
        case("C13", Switch::UnfencedJournal, fenced(), check::UNRECORDED),
        case("R3", Switch::PruneByKeepSetAlone, longer(), check::LOST),
        case("R4", Switch::PendingIgnored, longer(), check::NO_LABEL),
    ]
}

#[test]
fn every_rule_of_one_worker_is_needed() {
    judge(cases_of_one_worker());
}

#[test]
fn every_rule_of_two_workers_is_needed() {
    judge(cases_of_two_workers());
}

#[test]
fn every_switch_has_its_case() {
    let cases: Vec<Switch> =
        cases_of_one_worker().iter().chain(&cases_of_two_workers()).map(|case| case.switch).collect();
    let no_rules = [Switch::NeverDrained, Switch::NoVote];
    for switch in Switch::all().into_iter().filter(|s| !no_rules.contains(s)) {
        assert!(cases.contains(&switch), "{switch:?}");
    }
}

/// Rulings §2.2: an unfenced single goes before a rollover. This is no switch of the world but another plan.
///
/// With a drain, the wrong order holds as well: after it a changed rollover may be restored, if the server takes the window's
/// first password again. So what the order saves is shown with the drain not over: a worker that meets a refusal can give up.
#[test]
fn rollover_before_an_unfenced_single_gets_stuck() {
    let right = Bounds::one(Mix(SINGLE_S, ROLL)).with(|b| {
        (b.calm, b.delayed, b.refusals) = (true, false, true);
        b.switches.push(Switch::NeverDrained);
    });
    let wrong = right.clone().with(|b| {
        let roll_first = |op: &Op| match op {
            Op::Alternating | Op::Votes => 0,
            Op::EndWindow(ix) | Op::Mark(ix) | Op::Unfenced(ix) => 2 - ix.0,
            Op::CommitVotes => 3,
        };
        b.plan.order.sort_by_key(roll_first);
    });
    assert_ne!(right.plan, wrong.plan);
    assert!(timed(&right, LIMIT).is_clean());
    let found = timed(&wrong, LIMIT);
    println!("| R11 | RolloverBeforeSingle | {} | {} |", wrong.mix, found.summary());
    assert!(found.broken.contains_key(check::NO_REST), "{}", found.summary());
}

fn judge(cases: Vec<Case>) {
    let mut clean: BTreeMap<String, bool> = BTreeMap::new();
    let mut rows = Vec::new();
    let mut wrong = Vec::new();
    for Case { number, switch, bounds, breaks } in cases {
        let name = format!("{} {} {:?}", bounds.mix, bounds.words(), bounds.switches);
        if !*clean.entry(name).or_insert_with(|| timed(&bounds, LIMIT).is_clean()) {
            wrong.push(format!("{switch:?}: the bounds are not clean without it"));
        }
        let bounds = bounds.with(|b| b.switches.push(switch));
        let found = timed(&bounds, LIMIT);
        let steps = found.broken.get(breaks).map(|(_, trace)| trace.len());
        let others: Vec<&str> = found.broken.keys().map(|k| k.split(':').next().unwrap_or(k)).collect();
        rows.push(format!(
            "| {number} | {switch:?} | {}, {} | {breaks} ({}) | {} | {} |",
            bounds.mix,
            bounds.words(),
            others.join(" "),
            steps.map_or("-".to_owned(), |s| s.to_string()),
            found.states,
        ));
        if steps.is_none() {
            wrong.push(format!("{switch:?} does not break {breaks}: {}", found.summary()));
        }
    }
    println!("| counterexample | rule taken away | within | breaks (all that break there) | steps | states |");
    println!("|---|---|---|---|---|---|");
    for row in rows {
        println!("{row}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
