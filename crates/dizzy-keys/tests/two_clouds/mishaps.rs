//! Calls that are refused, lost before or after they were executed, or never answered: each once, in the middle of a rotation.

use dizzy_sandbox::{OracleUsers, SET, Users};
use dizzy_sandbox_oci::{Fault as OciFault, Mishap, Operation};
use dizzy_sandbox_oracle::{Effect, Fault as OracleFault, Point};

use super::{assert_at_rest, prepared, run};

/// Runs of `recover` after which every set is at rest.
const MOST_RUNS: usize = 3;

#[test]
fn whatever_vault_does_with_a_call_the_set_comes_to_rest() {
    let at = prepared(Users::Alternating, OracleUsers::Alternating);
    let mut cells = 0;
    for operation in
        [Operation::GetSecretBundle, Operation::GetSecret, Operation::ListSecretVersions, Operation::UpdateSecret]
    {
        for mishap in [
            Mishap::DropBefore,
            Mishap::DropAfter,
            Mishap::Throttle,
            Mishap::Refuse(500, "InternalServerError"),
            Mishap::Refuse(409, "IncorrectState"),
            Mishap::Refuse(412, "NoEtagMatch"),
            Mishap::Refuse(404, "NotAuthorizedOrNotFound"),
        ] {
            // Each call of the operation in turn, until a rotation makes no further one.
            for nth in 0.. {
                let fault = at.oci.inject(OciFault::next(operation, mishap).on(&at.vault_secret).after(nth));
                let told = run(&at, &["rotate", SET]);
                let story = format!("{operation:?} {mishap:?}, call {nth}");
                at.oci.clear_faults();
                if fault.fired() == 0 {
                    told.expect(0);
                    assert!(nth > 0, "{story}: a rotation makes such a call");
                    break;
                }
                cells += 1;
                assert!(matches!(told.exit, Some(0 | 1 | 6)), "{story}: {}{}", told.out, told.err);
                assert_eq!(at.dead().unwrap(), Vec::<String>::new(), "{story}: before recovery");
                for _ in 0..MOST_RUNS {
                    if run(&at, &["recover", SET]).exit == Some(0) {
                        break;
                    }
                }
                assert_at_rest(&at, &story);
            }
        }
    }
    println!("{cells} cells; every fault fired");
}

#[test]
fn whatever_oracle_does_with_a_call_the_set_comes_to_rest() {
    for oracle in OracleUsers::ALL {
        let at = prepared(Users::Alternating, oracle);
        let mut cells = 0;
        for point in [
            Point::Accept,
            Point::Connect,
            Point::LoginStart,
            Point::BeforeLogin,
            Point::AfterLogin,
            Point::BeforeChange,
            Point::AfterChange,
            Point::BeforeStatement,
            Point::BeforeLogoff,
        ] {
            for effect in effects(point) {
                for nth in 0.. {
                    let fault = at.oracle.plant(OracleFault::at(point, effect.clone()).after(nth));
                    let told = run(&at, &["rotate", SET]);
                    let story = format!("{oracle:?}: {point:?} {effect:?}, time {nth}");
                    at.oracle.clear_faults();
                    if fault.fired() == 0 {
                        told.expect(0);
                        assert!(nth > 0, "{story}: a rotation comes there");
                        break;
                    }
                    cells += 1;
                    assert!(matches!(told.exit, Some(0 | 1 | 6)), "{story}: {}{}", told.out, told.err);
                    if oracle != OracleUsers::Single {
                        assert_eq!(at.dead().unwrap(), Vec::<String>::new(), "{story}: before recovery");
                    }
                    for _ in 0..MOST_RUNS {
                        if run(&at, &["recover", SET]).exit == Some(0) {
                            break;
                        }
                    }
                    assert_at_rest(&at, &story);
                }
            }
        }
        println!("{oracle:?}: {cells} cells; every fault fired");
    }
}

/// What can go wrong at a point. A change is refused for a passing reason and for one that stays, and lost on either side.
fn effects(point: Point) -> Vec<Effect> {
    match point {
        Point::BeforeChange => vec![Effect::Drop, Effect::Refuse(28003), Effect::Refuse(1033)],
        Point::AfterChange => vec![Effect::Drop],
        Point::Connect => vec![Effect::Drop, Effect::RefuseConnect(12528)],
        _ => vec![Effect::Drop],
    }
}
