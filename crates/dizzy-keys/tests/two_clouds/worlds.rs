//! Bad worlds of the second cloud: a clear error with the state of the world, and nothing lost.

use dizzy_sandbox::{
    OracleUsers, Published, SET, Users,
    two_clouds::{ORACLE, TwoClouds, WALLET_PASSWORD},
};
use dizzy_sandbox_oci::{Door, Fault as OciFault, Mishap, Operation, Permission, Rights, Service};
use dizzy_sandbox_oracle::{Effect, Fault as OracleFault, Point, Profile};

use jiff::SignedDuration;

use super::{assert_at_rest, common, fails, prepared, run};

/// What must not change when a run changes nothing.
pub(super) fn snapshot(at: &TwoClouds) -> ([Published; 2], String, Vec<u32>) {
    let verifiers = at.postgres.psql("SELECT rolname, rolpassword FROM pg_authid ORDER BY 1").unwrap();
    let changes = at.oracle_users.iter().filter_map(|user| at.oracle.user(user)).map(|user| user.tally.changes);
    (at.published().unwrap(), verifiers, changes.collect())
}

/// With the world broken a rotation fails like this and changes nothing; with the world mended the next one works.
fn refuses(
    at: &TwoClouds,
    story: &str,
    code: &str,
    says: &[&str],
    broken: impl FnOnce(&TwoClouds),
    mend: impl FnOnce(&TwoClouds),
) {
    let before = snapshot(at);
    broken(at);
    fails(at, story, &["rotate", SET], 1, code, says);
    mend(at);
    assert_eq!(snapshot(at), before, "{story}: something changed");
    run(at, &["rotate", SET]).expect(0);
    assert_at_rest(at, &format!("{story}, mended"));
}

fn live(at: &TwoClouds) -> String {
    let [aws, _] = at.published().unwrap();
    aws.credential(ORACLE).unwrap().0
}

#[test]
fn an_account_that_cannot_be_used_is_told_before_anything_changes() {
    let at = prepared(Users::Alternating, OracleUsers::Alternating);
    let user = live(&at);
    refuses(&at, "locked", "DK-202", &["locked"], |at| at.oracle.lock_user(&user), |at| at.oracle.unlock_user(&user));
    let user = live(&at);
    let (right, says) = ("ALTER USER", &["ALTER USER"]);
    let grant = |at: &TwoClouds| at.oracle.grant(&user, right);
    refuses(&at, "with ALTER USER", "DK-204", says, grant, |at| at.oracle.revoke(&user, right));
    let user = live(&at);
    let [aws, _] = at.published().unwrap();
    let (_, password) = aws.credential(ORACLE).unwrap();
    let expire = |at: &TwoClouds| at.oracle.expire_user(&user);
    refuses(&at, "expired", "DK-203", &["expired"], expire, |at| at.oracle.set_password(&user, &password));
}

#[test]
fn wallets_and_names_that_do_not_fit_are_told() {
    let at = prepared(Users::Alternating, OracleUsers::Alternating);
    let text = std::fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
    let edited = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        at.write("dizzy-keys.toml", text.replace(from, to)).unwrap();
    };
    let mend = |at: &TwoClouds| at.configure("").unwrap();
    let alias = |_: &TwoClouds| edited("orders_low", "orders_nowhere");
    refuses(&at, "no such alias", "DK-214", &["orders_nowhere", "orders_low"], alias, mend);
    edited("wallets/orders.zip", "wallets/elsewhere.zip");
    fails(&at, "no such wallet", &["rotate", SET], 2, "DK-107", &["elsewhere.zip"]);
    at.write("wallet-password", "not-the-password-1").unwrap();
    mend(&at);
    fails(&at, "wrong wallet password", &["rotate", SET], 2, "DK-107", &["the wallet password is wrong"]);
    at.write("wallet-password", WALLET_PASSWORD).unwrap();
    run(&at, &["rotate", SET]).expect(0);
    assert_at_rest(&at, "mended");
}

#[test]
fn a_password_that_oracle_refuses_rolls_everything_back() {
    for (code, says) in [(28003, "ORA-28003"), (28007, "ORA-28007")] {
        let at = prepared(Users::Alternating, OracleUsers::Alternating);
        let before = at.published().unwrap();
        let fault = at.oracle.plant(OracleFault::at(Point::BeforeChange, Effect::Refuse(code)));
        fails(&at, says, &["rotate", SET], 1, "DK-501", &[says, "rolled back"]);
        assert_eq!(fault.fired(), 1);
        assert_eq!(at.published().unwrap(), before, "{says}: nothing is published");
        assert_at_rest(&at, says);
        run(&at, &["rotate", SET]).expect(0);
        assert_at_rest(&at, "the next");
    }
}

#[test]
fn a_single_user_that_could_not_go_back_goes_forward_if_asked_to() {
    let at = prepared(Users::Alternating, OracleUsers::Single);
    let profile = Profile { reuse_max: Some(4), ..Profile::classic() };
    at.oracle.set_profile("APPLICATION", profile);
    let before = snapshot(&at);
    fails(&at, "no way back", &["rotate", SET], 1, "DK-507", &["PASSWORD_REUSE_MAX", "--forward-only"]);
    assert_eq!(snapshot(&at), before);
    let check = run(&at, &["check", SET]).expect(1);
    assert!(check.out.contains("DK-507"), "{}", check.out);
    let plan = run(&at, &["plan", SET]).expect(0);
    assert!(plan.out.contains("impossible") && plan.out.contains("--forward-only"), "{}", plan.out);
    run(&at, &["rotate", SET, "--forward-only"]).expect(0);
    assert_at_rest(&at, "forward only");
    assert_eq!(at.register().unwrap()["databases"][ORACLE]["forward_only"], true);
}

#[test]
fn an_open_window_that_nobody_may_end_is_waited_for() {
    // Without an administrator of Oracle nothing that ends windows is made.
    let at = TwoClouds::start(common::binary(), Users::Single, OracleUsers::Rollover).unwrap();
    let text = std::fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("ora-admin.json")).collect();
    at.write("dizzy-keys.toml", lines.join("\n")).unwrap();
    at.prepare().unwrap();
    run(&at, &["rotate", SET]).expect(0);
    assert_at_rest(&at, "the first rotation");
    let before = snapshot(&at);
    fails(&at, "window open", &["rotate", SET], 1, "DK-213", &["rollover window"]);
    assert_eq!(snapshot(&at), before);
    let status = run(&at, &["status", SET]).expect(0);
    assert!(status.out.contains("rollover window is open until"), "{}", status.out);
}

#[test]
fn what_vault_cannot_do_is_told_before_anything_changes() {
    let at = prepared(Users::Alternating, OracleUsers::Alternating);
    let secret = at.vault_secret.clone();
    let state = |to: &'static str| {
        let secret = secret.clone();
        move |at: &TwoClouds| at.oci.set_lifecycle_state(&secret, to).unwrap()
    };
    refuses(&at, "pending deletion", "DK-301", &["deletion"], state("PENDING_DELETION"), state("ACTIVE"));
    let skew = |minutes| move |at: &TwoClouds| at.oci.set_clock_offset(SignedDuration::from_mins(minutes));
    refuses(&at, "clock skew", "DK-302", &["clock"], skew(10), skew(0));
    let rights = |rights: Rights| move |at: &TwoClouds| at.oci.set_rights("rotator", &rights).unwrap();
    let less = Rights::all().without(Permission::SecretBundleRead);
    refuses(&at, "no right to read", "DK-302", &["secret-bundles"], rights(less), rights(Rights::all()));
    let throttle = |at: &TwoClouds| {
        drop(at.oci.inject(OciFault::next(Operation::GetSecretBundle, Mishap::Throttle).on(&secret).always()));
    };
    let clear = |at: &TwoClouds| {
        at.oci.clear_faults();
    };
    refuses(&at, "throttled", "DK-308", &["TooManyRequests"], throttle, clear);
    let doors = |door| move |at: &TwoClouds| at.oci.set_doors(door).unwrap();
    refuses(&at, "OCI down", "DK-307", &["no connection"], doors(Door::Refusing), doors(Door::Open));
    let vault = |door| move |at: &TwoClouds| at.oci.set_door(Service::Vaults, door).unwrap();
    refuses(&at, "Vault silent", "DK-307", &["room"], vault(Door::Silent), vault(Door::Open));
    at.configure("every = \"30m\"").unwrap();
    let check = run(&at, &["check", SET]).expect(0);
    assert!(check.out.contains("30 rotations a day"), "{}", check.out);
}

#[test]
fn a_cloud_that_goes_away_after_the_decision_is_waited_for() {
    let at = prepared(Users::Alternating, OracleUsers::Alternating);
    // The second update of the rotation moves CURRENT: the decision is behind it.
    let fault = at.oci.inject(
        OciFault::next(Operation::UpdateSecret, Mishap::Refuse(404, "NotAuthorizedOrNotFound")).after(1).always(),
    );
    let error = fails(&at, "denied after the decision", &["rotate", SET], 6, "DK-502", &["decided"]);
    assert!(fault.fired() >= 1);
    assert!(error["state"].as_str().unwrap().contains("every database accepts"), "{error}");
    assert_eq!(at.dead().unwrap(), Vec::<String>::new(), "old in Vault, next in Secrets Manager: both log in");
    fails(&at, "still denied", &["recover", SET], 6, "DK-502", &["decided"]);
    at.oci.clear_faults();
    run(&at, &["recover", SET]).expect(0);
    assert_at_rest(&at, "OCI is back");
}
