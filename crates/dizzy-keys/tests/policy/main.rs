//! The rights that `policy` prints are enough for every command of their role, and none of them is too many.
//!
//! The program runs under the emitted texts alone: evaluators of the test equipment (`iam.py` in front of moto, `policy.rs` in the OCI
//! emulator) read them and deny the rest, as the clouds do. Then each right is taken out, one at a time, and something has to fail.

#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests panic and print as tests do"
)]

#[path = "../common/mod.rs"]
mod common;

mod files;
mod removal;
mod world;

use dizzy_sandbox::{OracleUsers, SET, Users};
use world::{Home, Outcome, Removal, Role, World};

/// Everything of a role that must work, from the cheapest to the dearest. Ends at the first that does not.
fn everyday(at: &World) -> Result<(), Outcome> {
    at.expect(Role::Worker, &["check", SET], 0)?;
    at.expect(Role::Worker, &["rotate", SET], 0)?;
    at.expect(Role::Worker, &["verify", SET], 0)?;
    at.expect(Role::Worker, &["notify", "test"], 0)?;
    at.expect(Role::Worker, &["audit", "heartbeat", SET], 0)?;
    at.killed_and_recovered()?;
    at.versions_do_not_pile_up()
}

/// The same, and then somebody else looks at the trail, with rights that are not in question here.
fn everyday_and_verified(at: &World) -> Result<(), Outcome> {
    everyday(at)?;
    at.with_all(|| at.expect(Role::Auditor, &["audit", "verify"], 0))
}

/// What a worker meets before anything was prepared: it finds that there is no register, and begins one.
fn at_first(at: &World) -> Result<(), Outcome> {
    at.expect(Role::Worker, &["status", SET], 0)?;
    let told = at.run(Role::Worker, &["--output", "json", "rotate", SET]);
    // Without an administrator it ends there, but not for want of a register.
    let found = common::error(&told, "the first rotation");
    if found["code"].as_str().is_some_and(|code| code.starts_with("DK-4")) {
        return Err(at.outcome("rotate, the first", &told));
    }
    Ok(())
}

/// With every right of the role it works.
fn works(result: Result<(), Outcome>) {
    result.unwrap_or_else(|outcome| panic!("under the whole policy: {}", outcome.words()));
}

/// What fails without each right of a role, in a table; panics if nothing does.
fn prove(
    at: &World,
    title: &str,
    removals: Vec<Removal>,
    story: impl Fn(&World) -> Result<(), Outcome>,
) -> Vec<Removal> {
    let mut left = Vec::new();
    for removal in removals {
        at.allow_without(&removal);
        let failed = story(at);
        at.mend();
        match failed {
            Ok(()) => left.push(removal),
            Err(outcome) => println!("| {title} | {} | {} | {} |", removal.right, removal.on, outcome.words()),
        }
    }
    left
}

/// Both stories, and every right of every role.
fn proof(home: Home) {
    println!("| role | removed | on | what failed |\n|---|---|---|---|");
    // Single users need no administrator to be adopted.
    let new = World::new(home, Users::Single, OracleUsers::Single);
    let first: Vec<Removal> = new.removals(Role::Worker).into_iter().filter(Removal::concerns_new_registers).collect();
    assert!(!first.is_empty());
    let left = prove(&new, "worker, new set", first, at_first);
    assert!(left.is_empty(), "superfluous: {left:?}");
    works(at_first(&new));
    drop(new);

    let at = World::new(home, Users::Alternating, OracleUsers::Alternating);
    let worker = at.removals(Role::Worker);
    // The operator has what the worker has, and the administrators' secrets.
    let is_more = |one: &Removal| !worker.iter().any(|known| (&known.right, &known.on) == (&one.right, &one.on));
    let more: Vec<Removal> = at.removals(Role::Operator).into_iter().filter(is_more).collect();
    assert!(!more.is_empty());
    let left = prove(&at, "operator", more, |at| at.expect(Role::Operator, &["--yes", "prepare", SET], 0));
    assert!(left.is_empty(), "superfluous: {left:?}");
    works(at.expect(Role::Operator, &["--yes", "prepare", SET], 0));

    // From the third rotation on there is something to take away.
    for _ in 0..2 {
        works(at.expect(Role::Worker, &["rotate", SET], 0));
    }
    at.find_a_point_to_die_at();
    works(at.expect(Role::Worker, &["plan", SET], 0));
    works(everyday(&at));
    works(at.expect(Role::Operator, &["--yes", "revoke", SET], 0));

    let verify = |at: &World| at.expect(Role::Auditor, &["audit", "verify"], 0);
    works(verify(&at));
    let left = prove(&at, "auditor", at.removals(Role::Auditor), verify);
    assert!(left.is_empty(), "superfluous: {left:?}");
    at.compare_calls_with_the_table();

    // A worker that may not do all with the trail leaves gaps in it, which whoever verifies it finds from then on. So what can only be
    // seen by verifying comes first, while the trail is whole.
    works(verify(&at));
    let daily = worker.into_iter().filter(|removal| !removal.concerns_new_registers());
    let (reading, rest): (Vec<Removal>, Vec<Removal>) = daily.partition(Removal::concerns_reading_the_trail);
    assert_eq!(reading.len(), 1);
    let left = prove(&at, "worker", reading, everyday_and_verified);
    assert!(left.is_empty(), "superfluous: {left:?}");
    works(everyday(&at));
    let left = prove(&at, "worker", rest, everyday);
    assert!(left.is_empty(), "superfluous: {left:?}");
    at.without_deletions_rotations_end();
}

#[test]
fn a_deployment_with_its_state_in_aws_works_under_its_policy_and_under_nothing_less() {
    proof(Home::Aws);
}

#[test]
fn a_deployment_with_its_state_in_oci_works_under_its_policy_and_under_nothing_less() {
    proof(Home::Oci);
}
