//! Calls that are refused, lost before or after they were executed: each of a rotation's calls once.
//!
//! A change or an update meets every mishap, a login or a look is lost. After each cell the set is at rest within three runs.

use dizzy_sandbox::{OracleUsers, SET, Users, two_clouds::TwoClouds};
use dizzy_sandbox_oci::{Fault as OciFault, Mishap, Operation, Settle};
use dizzy_sandbox_oracle::{Effect, Fault as OracleFault, Point};

use super::{assert_at_rest, prepared, run};

/// Runs of `recover` after which every set is at rest.
const MOST_RUNS: usize = 3;
/// A secret in Vault takes some thirty versions a day, and a cell costs up to two.
const CELLS_PER_INSTALLATION: usize = 12;

#[test]
fn whatever_vault_does_with_a_call_the_set_comes_to_rest() {
    let refusals = [
        Mishap::Throttle,
        Mishap::Refuse(500, "InternalServerError"),
        Mishap::Refuse(409, "IncorrectState"),
        Mishap::Refuse(412, "NoEtagMatch"),
        Mishap::Refuse(404, "NotAuthorizedOrNotFound"),
    ];
    let writes = [Mishap::DropBefore, Mishap::DropAfter].into_iter().chain(refusals);
    let reads = [Operation::GetSecretBundle, Operation::GetSecret, Operation::ListSecretVersions];
    let kinds =
        writes.map(|mishap| (Operation::UpdateSecret, mishap)).chain(reads.map(|read| (read, Mishap::DropAfter)));
    let mut sweep = Sweep::new(OracleUsers::Alternating);
    for (operation, mishap) in kinds {
        sweep.each(&format!("{operation:?} {mishap:?}"), |at, nth| {
            let fault = at.oci.inject(OciFault::next(operation, mishap).on(&at.vault_secret).after(nth));
            Box::new(move || fault.fired())
        });
    }
    sweep.conclude();
}

#[test]
fn whatever_oracle_does_with_a_call_alternating_users_come_to_rest() {
    oracle_sweep(OracleUsers::Alternating);
}

#[test]
fn whatever_oracle_does_with_a_call_a_rollover_comes_to_rest() {
    oracle_sweep(OracleUsers::Rollover);
}

#[test]
fn whatever_oracle_does_with_a_call_a_single_user_comes_to_rest() {
    oracle_sweep(OracleUsers::Single);
}

fn oracle_sweep(users: OracleUsers) {
    let mut sweep = Sweep::new(users);
    let changes = [
        (Point::BeforeChange, Effect::Drop),
        (Point::AfterChange, Effect::Drop),
        (Point::BeforeChange, Effect::Refuse(28003)),
        (Point::BeforeChange, Effect::Refuse(1033)),
        (Point::AfterLogin, Effect::Drop),
    ];
    // What happens before a login is the same for every strategy.
    let before = [
        (Point::Accept, Effect::Drop),
        (Point::Connect, Effect::RefuseConnect(12528)),
        (Point::BeforeLogin, Effect::Drop),
    ];
    let before = before.into_iter().filter(|_| users == OracleUsers::Alternating);
    for (point, effect) in changes.into_iter().chain(before) {
        sweep.each(&format!("{users:?}: {point:?} {effect:?}"), |at, nth| {
            let fault = at.oracle.plant(OracleFault::at(point, effect.clone()).after(nth));
            Box::new(move || fault.fired())
        });
    }
    sweep.conclude();
}

/// Tells how often a fault has fired.
type Fired = Box<dyn Fn() -> u32>;

/// Rotations that each meet one fault.
struct Sweep {
    at: TwoClouds,
    users: OracleUsers,
    since: usize,
    cells: usize,
}

impl Sweep {
    fn new(users: OracleUsers) -> Self {
        Self { at: fresh(users), users, since: 0, cells: 0 }
    }

    /// The fault at the first call that it fits, at the second, and so on until a rotation makes no further one.
    fn each(&mut self, name: &str, plant: impl Fn(&TwoClouds, u32) -> Fired) {
        for nth in 0.. {
            if self.since == CELLS_PER_INSTALLATION {
                (self.at, self.since) = (fresh(self.users), 0);
            }
            self.since += 1;
            let fired = plant(&self.at, nth);
            let told = run(&self.at, &["rotate", SET]);
            self.at.oci.clear_faults();
            self.at.oracle.clear_faults();
            let story = format!("{name}, time {nth}");
            if fired() == 0 {
                told.expect(0);
                assert!(nth > 0, "{story}: a rotation comes there");
                return;
            }
            self.cells += 1;
            assert!(matches!(told.exit, Some(0 | 1 | 6)), "{story}: {:?} {}{}", told.exit, told.out, told.err);
            if self.users != OracleUsers::Single {
                assert_eq!(self.at.dead().unwrap(), Vec::<String>::new(), "{story}: before recovery");
            }
            for _ in 0..MOST_RUNS {
                if run(&self.at, &["recover", SET]).exit == Some(0) {
                    break;
                }
            }
            assert_at_rest(&self.at, &story);
            if self.users == OracleUsers::Rollover {
                // An open window, and a lost request that might still end the next one, would keep the next rotation waiting.
                self.since = CELLS_PER_INSTALLATION;
            }
        }
    }

    fn conclude(&self) {
        println!("{:?}: {} cells; every fault fired", self.users, self.cells);
    }
}

fn fresh(users: OracleUsers) -> TwoClouds {
    let at = prepared(Users::Alternating, users);
    at.oci.set_settle(Settle::AfterPolls(1));
    at
}
