//! `prepare`: once, again, through psql, on a schema that exists; and what alternating users reach afterwards.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::{REGISTER, User, World, soon, stamp};
use dizzy_host::port::{Certainty, ChangeKind::Alternating, Database as _, FenceStamp, Kind, PrepareStep};
use dizzy_sandbox::postgres::identifier;

const HOSTILE: [&str; 6] = [
    "we\"ird; DROP TABLE x",
    "Upper Case",
    "it's $dizzy$ \\ %I %s",
    "schlüssel/ключ",
    "x23456789012345678901234567890123456789012345678901234567890123",
    "select",
];

async fn plan(world: &World, users: &[&str]) -> Vec<PrepareStep> {
    world.db.prepare_plan(world.admin.login(), users, stamp(0, 0), soon()).await.unwrap()
}

fn open(steps: &[PrepareStep]) -> Vec<&str> {
    steps.iter().filter(|step| !step.done).map(|step| step.why.as_str()).collect()
}

#[tokio::test]
async fn the_plan_changes_nothing_and_prepare_does_what_it_says_once() {
    let world = World::start();
    let (_a, b) = (world.user("a", "a-0"), User::new("b", "b-0"));
    let planned = plan(&world, &["a", "b"]).await;
    assert!(planned.iter().all(|step| step.automatic && !step.done), "{planned:?}");
    assert_eq!(world.server.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'dizzy'").unwrap(), "0");
    let done = world.db.prepare(world.admin.login(), &["a", "b"], Some(b.login()), stamp(0, 0), soon()).await.unwrap();
    assert_eq!(open(&done), Vec::<&str>::new());
    assert!(done.last().unwrap().sql.contains("PASSWORD 'SCRAM-SHA-256$...'"));
    assert!(world.logs_in(&b));
    assert_eq!(world.row("b"), format!("{REGISTER}|0|-"), "ours, and never changed by itself");
    assert_eq!(open(&plan(&world, &["a", "b"]).await), Vec::<&str>::new());
    // Again, with nothing to do: not even a transaction.
    let before = world.server.log_text().unwrap().matches("pg_advisory_xact_lock").count();
    world.prepare(&["a", "b"]).await;
    assert_eq!(world.server.log_text().unwrap().matches("pg_advisory_xact_lock").count(), before);
    assert_eq!(world.row("b"), format!("{REGISTER}|0|-"));
}

#[tokio::test]
async fn the_printed_sql_runs_as_it_is_through_psql_also_twice() {
    let world = World::start();
    let a = world.user("a", "a-0");
    let sql: String = world.db.prepare_sql(&["a", "b"], stamp(0, 0)).into_iter().map(|step| step.sql).collect();
    world.server.psql(&sql).unwrap();
    world.server.psql(&sql).unwrap();
    assert_eq!(world.findings(&a, &["a", "b"]).await, vec![]);
    // The DBA is a superuser here and owns the fence; the users work with it all the same.
    world.server.psql("ALTER ROLE b PASSWORD 'b-0'").unwrap();
    world.change(&User::new("b", "b-0"), "b-1", stamp(1, 1), Alternating).await.unwrap();
}

#[tokio::test]
async fn hostile_names_survive_prepare_change_and_inspection() {
    let world = World::start();
    for pair in HOSTILE.chunks(2) {
        let (first, second) = (pair[0], pair[1]);
        let set = format!("set of {first}");
        let mine = |epoch, generation| FenceStamp { set: &set, ..stamp(epoch, generation) };
        let a = world.user(first, "it's \"a\" \\ password");
        let b = User::new(second, "b-0");
        let users = [first, second];
        let sql: String = world.db.prepare_sql(&users, mine(0, 0)).into_iter().map(|step| step.sql).collect();
        let done = world.db.prepare(world.admin.login(), &users, Some(b.login()), mine(0, 0), soon()).await.unwrap();
        assert_eq!(open(&done), Vec::<&str>::new());
        world.server.psql(&sql).unwrap();
        let b = world.change(&b, "b-1 'quoted' \u{2168}", mine(1, 1), Alternating).await.unwrap();
        let a = world.change(&a, "a-2", mine(2, 2), Alternating).await.unwrap();
        assert!(world.logs_in(&a) && world.logs_in(&b), "{first} and {second}");
        let seen = world.db.inspect(b.login(), &users, mine(2, 2), soon()).await.unwrap();
        assert_eq!(seen.findings, vec![], "{first} and {second}");
        assert_eq!(seen.fences.len(), 2);
        world.db.sessions(a.login(), second, mine(2, 2), soon()).await.unwrap();
    }
}

#[tokio::test]
async fn over_three_rotations_each_user_reaches_what_the_other_created() {
    let world = World::start();
    let a = world.user("a", "a-0");
    // An application that exists already: a schema and a table of the first user's own, and a right on somebody else's table.
    world
        .server
        .psql("CREATE SCHEMA app AUTHORIZATION a; CREATE TABLE public.reference (n int); GRANT SELECT ON public.reference TO a")
        .unwrap();
    world.server.psql_as("a", "postgres", "CREATE TABLE app.t0 (n int); INSERT INTO app.t0 VALUES (0)").unwrap();
    let b = User::new("b", "b-0");
    world.db.prepare(world.admin.login(), &["a", "b"], Some(b.login()), stamp(0, 0), soon()).await.unwrap();
    let (mut users, mut tables) = ([b, a], vec!["t0".to_owned()]);
    for generation in 1..=3_u64 {
        let [idle, live] = users;
        let changed =
            world.change(&idle, &format!("p-{generation}"), stamp(generation, generation), Alternating).await.unwrap();
        assert!(world.logs_in(&changed) && world.logs_in(&live));
        users = [live, changed];
        let table = format!("t{generation}");
        let creator = &users[1].name;
        world
            .server
            .psql_as(creator, "postgres", &format!("CREATE TABLE app.{table} (n serial PRIMARY KEY, t text)"))
            .unwrap();
        tables.push(table);
        // Each of the two reads, writes, changes the shape of every table, and reads what was granted to the first only.
        for user in ["a", "b"] {
            for table in &tables {
                let sql = format!(
                    "INSERT INTO app.{table} DEFAULT VALUES; SELECT count(*) FROM app.{table};
                     ALTER TABLE app.{table} ADD COLUMN x int; ALTER TABLE app.{table} DROP COLUMN x"
                );
                world.server.psql_as(user, "postgres", &sql).unwrap();
            }
            world.server.psql_as(user, "postgres", "SELECT * FROM public.reference").unwrap();
        }
    }
    // A right that the first user gets later reaches the second as well: nothing drifts.
    world.server.psql("CREATE TABLE public.later (n int); GRANT SELECT ON public.later TO a").unwrap();
    world
        .server
        .psql_as("b", "postgres", "SELECT * FROM public.later; DISCARD ALL; CREATE TABLE app.t9 (n int)")
        .unwrap();
    world.server.psql_as("a", "postgres", "DROP TABLE app.t9").unwrap();
    let seen = world.db.inspect(users[1].login(), &["a", "b"], stamp(3, 3), soon()).await.unwrap();
    assert_eq!(seen.findings, vec![]);
}

/// Why `prepare` lets the second user act as the first, and not both as an owner role: `docs/design` tells the rest.
#[tokio::test]
async fn an_owner_role_would_take_rights_from_the_first_user() {
    let world = World::start();
    world.user("a", "a-0");
    world.server.psql("CREATE TABLE public.reference (n int); GRANT SELECT ON public.reference TO a").unwrap();
    world.server.psql_as("a", "postgres", "SELECT * FROM public.reference").unwrap();
    world.server.psql("CREATE ROLE owner; GRANT owner TO a; ALTER ROLE a SET role = 'owner'").unwrap();
    let said = world.server.psql_as("a", "postgres", "SELECT * FROM public.reference").unwrap_err().to_string();
    assert!(said.contains("permission denied"), "{said}");
}

#[tokio::test]
async fn two_users_that_share_an_owner_role_already_are_left_as_they_are() {
    let world = World::start();
    let (a, b) = (world.user("a", "a-0"), world.user("b", "b-0"));
    world
        .server
        .psql(
            "CREATE ROLE owner; GRANT owner TO a, b; ALTER ROLE a SET role = 'owner'; ALTER ROLE b SET role = 'owner';
             CREATE SCHEMA app AUTHORIZATION owner",
        )
        .unwrap();
    world.prepare(&["a", "b"]).await;
    assert_eq!(open(&plan(&world, &["a", "b"]).await), Vec::<&str>::new());
    assert_eq!(world.server.psql("SELECT pg_has_role('b', 'a', 'MEMBER')").unwrap(), "f");
    world.server.psql_as("a", "postgres", "CREATE TABLE app.t (n int)").unwrap();
    world.server.psql_as("b", "postgres", "DROP TABLE app.t").unwrap();
    assert_eq!(world.findings(&b, &["a", "b"]).await, vec![]);
    world.change(&a, "a-1", stamp(1, 1), Alternating).await.unwrap();
}

#[tokio::test]
async fn a_second_user_with_objects_of_its_own_keeps_them_until_a_person_decides() {
    let world = World::start();
    let (a, b) = (world.user("a", "a-0"), world.user("b", "b-0"));
    world.server.psql("CREATE SCHEMA app AUTHORIZATION b").unwrap();
    world.server.psql_as("b", "postgres", "CREATE TABLE app.t (n int)").unwrap();
    world.prepare(&["a", "b"]).await;
    // Acting as the first user would have cut the second off from its own table.
    world.server.psql_as("b", "postgres", "SELECT * FROM app.t").unwrap();
    let steps = plan(&world, &["a", "b"]).await;
    let proposal = steps.iter().find(|step| !step.automatic).unwrap();
    assert!(proposal.sql.contains("REASSIGN OWNED BY \"b\" TO \"a\""));
    let warnings = world.findings(&a, &["a", "b"]).await;
    assert!(warnings.iter().any(|one| one.what.contains("a does not reach")), "{warnings:?}");
    world.server.psql(&proposal.sql).unwrap();
    assert_eq!(open(&plan(&world, &["a", "b"]).await), Vec::<&str>::new());
    for user in ["a", "b"] {
        world.server.psql_as(user, "postgres", "SELECT * FROM app.t").unwrap();
    }
    assert_eq!(world.findings(&b, &["a", "b"]).await, vec![]);
}

#[tokio::test]
async fn the_second_user_gets_the_settings_of_the_first_but_keeps_its_own() {
    let world = World::start();
    world.user("a", "a-0");
    world.user("b", "b-0");
    world
        .server
        .psql(
            "ALTER ROLE a SET search_path = app, \"Odd Name\", \"$user\"; ALTER ROLE a SET work_mem = '8MB';
             ALTER ROLE a IN DATABASE postgres SET datestyle = 'ISO, DMY'; ALTER ROLE a SET \"my.tag\" = 'it''s';
             ALTER ROLE a SET log_statement = 'none'; ALTER ROLE b SET work_mem = '16MB'",
        )
        .unwrap();
    world.prepare(&["a", "b"]).await;
    let shown = |user: &str, sql: &str| world.server.psql_as(user, "postgres", sql).unwrap();
    let plain = "SHOW search_path; SHOW work_mem; SHOW datestyle";
    assert_eq!(shown("b", plain), shown("a", plain).replace("8MB", "16MB"));
    // Settings that only a superuser may give are left out and stay open; a DBA's psql copies them.
    let steps = plan(&world, &["a", "b"]).await;
    assert_eq!(open(&steps), vec!["b gets the settings of a"]);
    world.server.psql(&steps.iter().find(|step| !step.done).unwrap().sql).unwrap();
    assert_eq!(open(&plan(&world, &["a", "b"]).await), Vec::<&str>::new());
    let all = "SHOW \"my.tag\"; SHOW log_statement";
    assert_eq!((shown("b", all).as_str(), shown("a", all).as_str()), ("it's\nnone", "it's\nnone"));
}

#[tokio::test]
async fn a_first_password_is_held_to_the_fence() {
    let (world, a, b) = World::with_two().await;
    let b1 = world.change(&b, "b-1", stamp(2, 1), Alternating).await.unwrap();
    let late = b.with("late");
    let second = |stamp| world.db.prepare(world.admin.login(), &["a", "b"], Some(late.login()), stamp, soon());
    for (stamp, kind) in [
        (stamp(1, 1), Kind::Fenced),
        (stamp(9, 0), Kind::Fenced),
        (FenceStamp { register: "somebody-else", ..stamp(9, 9) }, Kind::ForeignRegister),
    ] {
        let error = second(stamp).await.unwrap_err();
        assert_eq!((error.kind, error.certainty), (kind, Certainty::Refused), "{error}");
        assert!(world.logs_in(&b1) && !world.logs_in(&late));
    }
    second(stamp(3, 1)).await.unwrap();
    assert!(world.logs_in(&late) && world.logs_in(&a));
    let error =
        world.db.prepare(world.admin.login(), &["a", "b"], Some(a.login()), stamp(9, 9), soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Malformed, Certainty::Refused));
}

#[tokio::test]
async fn an_administrator_without_the_rights_changes_nothing() {
    let world = World::start();
    world.user("a", "a-0");
    let weak = world.user("weak", "w-0");
    let error = world.db.prepare(weak.login(), &["a", "b"], None, stamp(0, 0), soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::Denied, Certainty::Refused));
    assert!(error.hint.unwrap().contains("--print-sql"));
    assert_eq!(world.server.psql("SELECT count(*) FROM pg_roles WHERE rolname = 'b'").unwrap(), "0");
    for users in [&["a", "a"][..], &[], &["a", "b", "c"]] {
        let error = world.db.prepare(world.admin.login(), users, None, stamp(0, 0), soon()).await.unwrap_err();
        assert_eq!((error.kind, error.certainty), (Kind::Malformed, Certainty::Refused));
    }
}

#[tokio::test]
async fn two_prepares_at_once_both_succeed() {
    let world = World::start();
    world.user("a", "a-0");
    let (one, other) = tokio::join!(
        world.db.prepare(world.admin.login(), &["a", "b"], None, stamp(0, 0), soon()),
        world.db.prepare(world.admin.login(), &["a", "b"], None, stamp(0, 0), soon())
    );
    assert_eq!((open(&one.unwrap()), open(&other.unwrap())), (vec![], vec![]));
}

#[tokio::test]
async fn a_single_user_needs_the_fence_only() {
    let world = World::start();
    let a = world.user("a", "a-0");
    let steps = plan(&world, &["a"]).await;
    assert!(steps.iter().all(|step| !step.sql.contains("CREATE ROLE") && !step.sql.contains("SET role")));
    world.prepare(&["a"]).await;
    assert_eq!(open(&plan(&world, &["a"]).await), Vec::<&str>::new());
    assert_eq!(world.findings(&a, &["a"]).await, vec![]);
    let roles = world.server.psql(&format!("SELECT rolcanlogin FROM pg_roles WHERE rolname = {}", "'a'")).unwrap();
    assert_eq!((roles.as_str(), identifier("a").as_str()), ("t", "\"a\""));
}
