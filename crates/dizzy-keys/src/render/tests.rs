//! What people and scripts see: every view with made-up facts, as snapshots.

use dizzy_engine::Timestamp;

use super::{
    check::{Action, CheckItem, CheckReport, CheckedSet, Level, Step},
    moment::Moment,
    plan::{Lockout, PlanView, PlannedDatabase, PlannedStep, Undo},
    prepare::{PrepareReport, PrepareRow, PrepareScript, PrepareState},
    rotate::{Nothing, Outcome, RecoverReport, RotateReport, RotateRow, Working},
    status::{Expiry, Failures, Last, Owner, Phase, StatusReport, StatusRow},
    verify::{LoginResult, LoginRow, VerifiedSet, VerifyReport},
    *,
};
use crate::code::Exit;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const HOUR: i64 = 3_600_000;

fn at(hours: i64) -> Moment {
    Moment(NOW.plus_ms(hours * HOUR))
}

fn text(view: &impl View) -> String {
    anstream::adapter::strip_str(&render(Output::Text, view).unwrap()).to_string()
}

fn json(view: &impl View) -> String {
    render(Output::Json, view).unwrap()
}

fn row(set: &str, phase: Phase) -> StatusRow {
    StatusRow {
        set: set.to_owned(),
        phase,
        generation: Some(7),
        revoking: None,
        next_generation: None,
        rotated_at: Some(at(-30 * 24)),
        due_at: Some(at(5)),
        last: Some(Last::Finished),
        failures: None,
        retry_at: None,
        given_up: false,
        owner: None,
        expiries: Vec::new(),
        attention: Vec::new(),
    }
}

fn failed(in_a_row: u32) -> Failures {
    Failures { in_a_row, last_at: Moment(NOW.plus_ms(-300_000)), code: "DK-211".to_owned() }
}

fn status(sets: Vec<StatusRow>) -> StatusReport {
    StatusReport { at: at(0), program: "dizzy-keys".to_owned(), sets }
}

#[test]
fn status_shows_every_phase_and_ends_with_the_next_command() {
    let commit = StatusRow { next_generation: Some(8), due_at: None, ..row("billing", Phase::Commit) };
    let absent =
        StatusRow { generation: None, rotated_at: None, last: None, due_at: None, ..row("carts", Phase::Absent) };
    let due = StatusRow {
        due_at: Some(at(-2)),
        last: Some(Last::RolledBack),
        expiries: vec![Expiry { database: "rds".to_owned(), user: "orders_b".to_owned(), at: at(48), renewed: false }],
        attention: vec!["orders_b still has 2 sessions".to_owned()],
        ..row("orders", Phase::Idle)
    };
    let failing = StatusRow {
        due_at: Some(at(-1)),
        failures: Some(failed(3)),
        retry_at: Some(at(1)),
        expiries: vec![Expiry { database: "adb".to_owned(), user: "PAY".to_owned(), at: at(-3), renewed: true }],
        ..row("payments", Phase::Idle)
    };
    let given_up =
        StatusRow { due_at: Some(at(-9)), failures: Some(failed(12)), given_up: true, ..row("users", Phase::Idle) };
    let stuck = StatusRow { last: Some(Last::Stuck), failures: Some(failed(1)), ..row("zeta", Phase::Stuck) };
    let report = status(vec![commit, absent, due, failing, given_up, stuck]);
    insta::assert_snapshot!("status_text", text(&report));
    insta::assert_snapshot!("status_json", json(&report));
}

#[test]
fn the_next_command_is_the_most_urgent_one() {
    let next = |sets| {
        let report = status(sets);
        (report.next().map(|(command, _)| command), text(&report).lines().last().unwrap().to_owned())
    };
    let idle = || row("a", Phase::Idle);
    let intent = || row("b", Phase::Intent);
    let held = || StatusRow { owner: Some(Owner { who: "batch-2".to_owned(), until: at(1) }), ..intent() };
    let lapsed = || StatusRow { owner: Some(Owner { who: "batch-2".to_owned(), until: at(-1) }), ..intent() };
    let command = |text: &str| Some(format!("dizzy-keys {text}"));
    assert_eq!(next(vec![idle()]), (None, "Nothing to do. Next: a is due in 5h.".to_owned()));
    assert_eq!(next(vec![StatusRow { due_at: None, ..idle() }]).1, "Nothing to do. No set has a schedule.");
    assert_eq!(
        next(vec![idle(), held()]),
        (None, "Nothing to do: a worker is at it (b). If it is dead: dizzy-keys recover b".to_owned())
    );
    assert_eq!(next(vec![idle(), lapsed()]).0, command("recover b"));
    assert_eq!(next(vec![StatusRow { due_at: Some(at(-1)), ..idle() }]).0, command("rotate --due"));
    assert_eq!(next(vec![intent(), row("c", Phase::Stuck)]).0, command("recover c"));
    assert_eq!(next(vec![row("c", Phase::Stuck), row("d", Phase::Unreadable)]).0, command("check d"));
    let due = || StatusRow { due_at: Some(at(-1)), ..idle() };
    let failing = StatusRow { retry_at: Some(at(1)), ..due() };
    assert_eq!(next(vec![due(), StatusRow { set: "f".to_owned(), ..failing }]).0, command("check f"));
    let waiting = StatusRow { due_at: Some(at(9)), failures: Some(failed(2)), ..idle() };
    assert_eq!(next(vec![waiting]).0, None, "it has failed, and nothing is asked for");
    assert_eq!(next(vec![StatusRow { given_up: true, ..due() }, row("c", Phase::Absent)]).0, command("check a"));
    let many = (1..=12).map(|n| row(&format!("s{n}"), Phase::Absent)).collect();
    let told = text(&status(many));
    assert!(told.contains("Next: dizzy-keys prepare s1 s2 s3 s4 s5 s6 s7 s8 s9 s10 (and 2 more sets)\n"), "{told}");
    assert_eq!(next(vec![row("c", Phase::Absent), intent()]).0, command("recover b"));
    assert_eq!(next(vec![row("c", Phase::Absent), idle()]).0, command("prepare c"));
}

#[test]
fn a_plan_says_what_happens_in_order_what_it_costs_and_what_to_expect() {
    let step = |at: &str, what: &str, calls: &[&str], decides| PlannedStep {
        what: what.to_owned(),
        at: at.to_owned(),
        calls: calls.iter().map(|call| (*call).to_owned()).collect(),
        decides,
    };
    let mut plan = PlanView {
        program: "dizzy-keys --config orders.toml".to_owned(),
        set: "orders".to_owned(),
        from: Some(7),
        to: 8,
        databases: vec![PlannedDatabase {
            database: "rds".to_owned(),
            strategy: "alternating".to_owned(),
            user: "orders_b".to_owned(),
            published: "orders_a".to_owned(),
            password_length: 32,
            password_bits: 191.3,
        }],
        steps: vec![
            step("aws-sm:prod/orders", "read CURRENT and its labels", &["GetSecretValue", "DescribeSecret"], false),
            step("aws-sm:prod/orders", "stage g8", &["PutSecretValue"], false),
            step("rds", "change the password of orders_b under the fence", &[], false),
            step("journal", "record the decision", &[], true),
            step("aws-sm:prod/orders", "move CURRENT to g8", &["UpdateSecretVersionStage"], false),
        ],
        lockout: Lockout::None,
        undo: Undo::Possible,
        warnings: Vec::new(),
    };
    insta::assert_snapshot!("plan_text", text(&plan));
    insta::assert_snapshot!("plan_json", json(&plan));
    plan.lockout = Lockout::Window { databases: vec!["rds".to_owned()], expected_ms: Some(40) };
    plan.undo = Undo::Impossible { why: "the server's reuse rule refuses the old password".to_owned() };
    plan.warnings = vec!["a pooler is between here and rds".to_owned()];
    insta::assert_snapshot!("plan_single_text", text(&plan));
}

#[test]
fn check_lists_everything_and_counts_what_stops() {
    let item = |level, at: &str, what: &str, hint: Option<&str>, code| CheckItem {
        level,
        at: at.to_owned(),
        what: what.to_owned(),
        hint: hint.map(str::to_owned),
        code,
        steps: Vec::new(),
    };
    let does =
        |action, text: &str, item: CheckItem| CheckItem { steps: vec![Step { action, text: text.to_owned() }], ..item };
    let prepare = "dizzy-keys prepare orders";
    let valid = "ALTER ROLE \"orders_b\" VALID UNTIL 'infinity';";
    let fence = item(Level::Error, "rds", "the fence is missing", Some("CREATE SCHEMA ..."), Some("DK-207"));
    let user = item(Level::Error, "rds", "the user orders_b does not exist", Some("run prepare"), Some("DK-214"));
    let register = item(Level::Note, "register", "there is none yet", None, None);
    let items = vec![
        item(Level::Ok, "journal", "file:./dizzy-state can be read and written", None, None),
        item(Level::Note, "rds", "PostgreSQL 15.4", None, None),
        does(Action::Sql, valid, item(Level::Warning, "rds", "orders_b expires in 3d", Some(valid), None)),
        does(Action::Run, prepare, register),
        does(Action::Run, prepare, user),
        does(Action::Run, prepare, fence),
    ];
    let mut report =
        CheckReport { sets: vec![CheckedSet { set: "orders".to_owned(), items }], program: "dizzy-keys".to_owned() };
    // One command mends three things, and stands first because one of them is an error.
    let list = report.checklist();
    assert_eq!(
        list.iter().map(|task| (task.level, task.mends.len())).collect::<Vec<_>>(),
        [(Level::Error, 3), (Level::Warning, 1)]
    );
    assert!(!report.passes());
    let failed = report.conclude(Output::Json).unwrap_err();
    assert_eq!((failed.to_string().as_str(), failed.exit_code()), ("DK-508: 2 errors in orders", Exit::Failed));
    insta::assert_snapshot!("check_text", text(&report));
    insta::assert_snapshot!("check_json", json(&report));
    report.sets[0].items.truncate(3);
    assert_eq!(report.conclude(Output::Json), Ok(Exit::Done));
    assert!(text(&report).ends_with("A rotation can start: 0 errors, 1 warning. Nothing was changed.\n"));
}

#[test]
fn verify_shows_each_login() {
    let login = |database: &str, result, ms, why: Option<&str>, code| LoginRow {
        secret: "aws-sm:prod/orders".to_owned(),
        version: Some("9a0b".to_owned()),
        database: database.to_owned(),
        user: Some(format!("{database}_a")),
        result,
        ms,
        why: why.map(str::to_owned),
        code,
    };
    let good = login("rds", LoginResult::LoggedIn, Some(12), None, None);
    let refused = login("two", LoginResult::Refused, Some(14), Some("log in as two_a (28P01)"), Some("DK-505"));
    let unknown =
        login("three", LoginResult::Unknown, None, Some("connect to three:5432 (ECONNREFUSED)"), Some("DK-211"));
    let report = |logins| VerifyReport { sets: vec![VerifiedSet { set: "orders".to_owned(), logins }] };
    insta::assert_snapshot!("verify_text", text(&report(vec![good.clone(), refused.clone(), unknown.clone()])));
    insta::assert_snapshot!("verify_json", json(&report(vec![good.clone()])));
    let conclude =
        |logins| report(logins).conclude(Output::Json).map_err(|error| (error.to_string(), error.exit_code()));
    assert_eq!(conclude(vec![good.clone()]), Ok(Exit::Done));
    let not_tried = "DK-512: 1 of 2 published credentials not tried: aws-sm:prod/orders for orders/three";
    assert_eq!(conclude(vec![good.clone(), unknown.clone()]), Err((not_tried.to_owned(), Exit::Failed)));
    let worst = "DK-505: 1 of 2 published credentials refused: aws-sm:prod/orders for orders/two";
    assert_eq!(conclude(vec![refused, unknown.clone()]), Err((worst.to_owned(), Exit::NeedsHuman)));
    assert!(text(&report(vec![good.clone()])).ends_with("\nEvery published credential logs in.\n"));
    assert!(text(&report(vec![good, unknown])).ends_with("\nNot every published credential could be tried.\n"));
}

#[test]
fn rotate_says_how_each_set_ended_and_exits_with_the_worst() {
    let row = |set: &str, outcome, error: Option<Report>| RotateRow {
        set: set.to_owned(),
        outcome,
        generation: Some(8),
        rotation: None,
        rotated_at: None,
        ms: 1161,
        lockout_ms: Some(0),
        billable_calls: Some(5),
        working: Vec::new(),
        sessions: Vec::new(),
        error,
    };
    let state = "g7 is published and works everywhere";
    let rolled_back =
        Report::new(Code::RolledBack, "billing: rolled back to g7, because rds refused", state).hint("mend it");
    let unfinished =
        Report::new(Code::Unfinished, "carts: g8 is decided; 1 of 2 secrets publishes it", "g7 and g8 log in");
    let mut last = row("carts", Outcome::Unfinished, Some(unfinished));
    last.lockout_ms = Some(31);
    last.working = vec![
        Working { database: "rds".to_owned(), user: "carts_a".to_owned(), generation: 7, published: true },
        Working { database: "rds".to_owned(), user: "carts_b".to_owned(), generation: 8, published: false },
    ];
    let sets =
        vec![row("orders", Outcome::Rotated, None), row("billing", Outcome::RolledBack, Some(rolled_back)), last];
    let report = RotateReport { sets, none: Nothing::IsDue };
    assert_eq!(report.exit(), Exit::Unfinished);
    insta::assert_snapshot!("rotate_text", text(&report));
    insta::assert_snapshot!("rotate_json", json(&report));
    assert_eq!(RotateReport { sets: Vec::new(), none: Nothing::IsDue }.exit(), Exit::Done);
    assert_eq!(text(&RotateReport { sets: Vec::new(), none: Nothing::IsDue }), "No set is due.\n");
    let none = RotateReport { sets: Vec::new(), none: Nothing::InPart };
    assert_eq!(text(&none), "No set is in this part.\n");
    assert_eq!(text(&RecoverReport { sets: Vec::new() }), "No set is unfinished.\n");
}

#[test]
fn prepare_shows_what_was_done_and_prints_a_script() {
    let row = |why: &str, sql: &str, state| PrepareRow {
        set: "orders".to_owned(),
        database: "rds".to_owned(),
        why: why.to_owned(),
        sql: sql.to_owned(),
        state,
    };
    let steps = vec![
        row("the schema of the fence", "CREATE SCHEMA dizzy;", PrepareState::AlreadyDone),
        row("the fence table", "CREATE TABLE dizzy.fence (\n  role text\n);", PrepareState::Done),
        row("common ownership", "ALTER ROLE orders_a SET role = orders;", PrepareState::Proposed),
    ];
    insta::assert_snapshot!("prepare_text", text(&PrepareReport { steps: steps.clone() }));
    insta::assert_snapshot!("prepare_json", json(&PrepareReport { steps: steps.clone() }));
    insta::assert_snapshot!("prepare_script", text(&PrepareScript { steps }));
    let wanted = vec![row("the schema of the fence", "CREATE SCHEMA dizzy;", PrepareState::Wanted)];
    assert!(
        text(&PrepareReport { steps: wanted }).ends_with("\n1 statement wanted; nothing has been changed so far.\n")
    );
}

#[test]
fn colours_are_there_to_be_taken_out() {
    let report = status(vec![row("orders", Phase::Idle)]);
    let painted = render(Output::Text, &report).unwrap();
    assert!(painted.contains("\x1b[32midle"));
    assert!(!json(&report).contains('\x1b'));
}
