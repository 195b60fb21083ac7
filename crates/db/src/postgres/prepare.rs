//! `prepare`: the statements that make a database ready for its set, and running those that are not done yet.
//!
//! Every statement can be run again, by us or by a DBA through `psql`, and changes nothing that somebody arranged otherwise.
//! How alternating users come to share their objects is explained in `docs/postgresql.md`.

use dizzy_host::port::{Deadline, FenceStamp, Kind, Login, PortError, PortResult, PrepareStep, Randomness};
use zeroize::Zeroizing;

use super::{
    fence::{self, FUNCTIONS},
    session::{Session, Target, check_name},
    survey::{self, Flag, HERE, OURS, PairFacts, Survey, asked},
    text::{dollar, identifier, literal},
    trouble::{Trouble, mend_change},
};
use crate::scram;

/// Serializes two `prepare`s of one database; "dizzy" in ASCII.
const ADVISORY_KEY: u64 = 0x0064_697A_7A79;
/// Settings whose values are lists of quoted names (`GUC_LIST_QUOTE` in `guc_tables.c`): copied as they are, not as one string.
const LIST_SETTINGS: &str = "'search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries', 'shared_preload_libraries'";

/// What the server told before steps are made.
pub(super) struct Known<'a> {
    survey: &'a Survey,
    /// Users of the set that have a row.
    rows: &'a [String],
}

/// Reads, and tells what `prepare` would do.
pub(super) async fn plan(
    target: &Target,
    admin: Login<'_>,
    users: &[&str],
    stamp: &FenceStamp<'_>,
    deadline: Deadline,
) -> PortResult<Vec<PrepareStep>> {
    check_users(users)?;
    let mut session = Session::open(target, admin, stamp, deadline).await?;
    let steps = look(&mut session, target, users, stamp, deadline).await?;
    session.close(deadline).await;
    Ok(steps)
}

/// Runs what is automatic and not done, in one transaction; gives `second` its password if asked to.
pub(super) async fn prepare(
    target: &Target,
    randomness: &dyn Randomness,
    admin: Login<'_>,
    users: &[&str],
    second: Option<Login<'_>>,
    stamp: &FenceStamp<'_>,
    deadline: Deadline,
) -> PortResult<Vec<PrepareStep>> {
    check_users(users)?;
    let password = match second {
        Some(second) => {
            if users.get(1) != Some(&second.user) {
                let what = format!("give {} a password: it is not the second user of the set", second.user);
                return Err(PortError::refused(Kind::Malformed, what));
            }
            let verifier = scram::verifier(second.password, randomness)?;
            Some(Zeroizing::new(fence::first_password_sql(stamp, second.user, &verifier)?))
        }
        None => None,
    };
    let what = format!("prepare {}", target.name);
    let mut session = Session::open(target, admin, stamp, deadline).await?;
    let mut steps = look(&mut session, target, users, stamp, deadline).await?;
    let open =
        steps.iter().filter(|step| step.automatic && !step.done).map(|step| step.sql.as_str()).collect::<String>();
    if !open.is_empty() || password.is_some() {
        let sql = Zeroizing::new(format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED;\nSELECT pg_advisory_xact_lock({ADVISORY_KEY});\n{open}{}",
            password.as_ref().map_or("", |sql| sql.as_str()),
        ));
        let changed = session.batch(&sql, deadline).await;
        changed.map_err(|trouble| mend_prepare(&trouble, &what, stamp, users))?;
        if deadline.left().is_zero() {
            return Err(Trouble::Deadline.refused(&what));
        }
        session.batch("COMMIT", deadline).await.map_err(|trouble| trouble.of_commit(&what))?;
        // The changes are made: a look that fails from here on must not sound as if they were not.
        steps = look(&mut session, target, users, stamp, deadline)
            .await
            .map_err(|error| PortError { certainty: dizzy_host::port::Certainty::Unknown, ..error })?;
    }
    if let Some(second) = second {
        steps.push(first_password_step(second.user));
    }
    session.close(deadline).await;
    Ok(steps)
}

async fn look(
    session: &mut Session,
    target: &Target,
    users: &[&str],
    stamp: &FenceStamp<'_>,
    deadline: Deadline,
) -> PortResult<Vec<PrepareStep>> {
    let what = format!("look at {}", target.name);
    let survey = asked(survey::survey(session, users, deadline).await, &what)?;
    if survey.recovery.is() || survey.read_only.is() {
        return Err(PortError::refused(Kind::ReadOnly, format!("{what}: the server is a standby or read-only"))
            .with_hint("set `host` to the writer"));
    }
    let mut rows = Vec::new();
    if survey.fence.readable.is() {
        let answer = asked(session.batch(&survey::rows_by_table(stamp.set), deadline).await, &what)?;
        for row in answer.into_iter().flatten() {
            let [Some(role), _set, register, ..] = row.as_slice() else { continue };
            if register.as_deref().is_some_and(|register| !register.is_empty() && register != stamp.register) {
                let what = format!("{what}: the fence row of {role} belongs to the register of another installation");
                return Err(PortError::refused(Kind::ForeignRegister, what).with_hint(
                    "one set is rotated from one journal: use that installation's, or restore the journal if it was lost",
                ));
            }
            rows.push(role.clone());
        }
    }
    Ok(steps(users, stamp, Some(&Known { survey: &survey, rows: &rows })))
}

/// All steps for these users, with `done` filled in as far as anything is known.
pub(super) fn steps(users: &[&str], stamp: &FenceStamp<'_>, known: Option<&Known<'_>>) -> Vec<PrepareStep> {
    let done = |test: &dyn Fn(&Known<'_>) -> bool| known.is_some_and(test);
    let step = |why: String, sql: String, done: bool| PrepareStep { why, sql, automatic: true, done };
    let fence = |test: fn(&survey::FenceFacts) -> Flag| done(&|known| test(&known.survey.fence).is());
    let mut steps = vec![
        step("schema for the fence; nobody else may use it".into(), fence::schema_sql(), fence(|fence| fence.schema)),
        step("fence table: one row per user of the set".into(), fence::table_sql(), fence(|fence| fence.table)),
        step(
            "fence functions: a user advances its own row and reads its set's rows".into(),
            fence::functions_sql(),
            done(&|known| functions_are_current(known.survey)),
        ),
        step(
            "fence rows of this set".into(),
            fence::rows_sql(stamp.set, users),
            done(&|known| users.iter().all(|user| known.rows.iter().any(|row| row == user))),
        ),
    ];
    let pair = known.and_then(|known| known.survey.pair.as_ref());
    if let [first, second] = users {
        steps.push(step(
            format!("second user {second}"),
            create_sql(second),
            done(&|known| known.survey.users.iter().any(|user| user.name == **second && user.role.is_some())),
        ));
        steps.push(step(
            format!("{second} gets every right of {first} and creates objects as {first}, so that both reach them"),
            share_sql(first, second),
            pair.is_some_and(shares),
        ));
        steps.push(step(
            format!("{second} gets the settings of {first}"),
            settings_sql(first, second),
            pair.is_some_and(|pair| pair.settings_missing == 0),
        ));
    }
    steps.push(step(
        "users may call the fence's functions, and nothing else in the schema".into(),
        fence::grants_sql(users),
        done(&|known| {
            let may = |role: &survey::RoleFacts| role.may_use_schema.is() && role.may_call == FUNCTIONS.len();
            known.survey.users.iter().all(|user| user.role.as_ref().is_some_and(may))
        }),
    ));
    if let [first, second] = users {
        match known {
            None => steps.push(proposal(first, second, first, Shown::Commented)),
            Some(_) => {
                let unshared = pair.filter(|pair| !shares(pair) && !pair.second_is_plain.is());
                steps.extend(unshared.map(|pair| {
                    let [owner, _] = &pair.acts_as;
                    proposal(first, second, owner, Shown::Runnable)
                }));
            }
        }
    }
    steps
}

/// Whether the functions are exactly those of this version.
pub(super) fn functions_are_current(survey: &Survey) -> bool {
    FUNCTIONS
        .iter()
        .all(|ours| survey.fence.functions.iter().any(|(name, source)| name == ours.name && source == ours.body))
}

/// Whether each user reaches what the other's sessions create, and the second what the first owns.
fn shares(pair: &PairFacts) -> bool {
    let [_, second_reaches_first] = pair.reaches_other;
    let settled = pair.owns.first() == Some(&0) && pair.granted.first() == Some(&0);
    pair.reaches_later.iter().all(|flag| flag.is()) && (second_reaches_first.is() || settled)
}

fn create_sql(second: &str) -> String {
    let body = format!(
        "\nBEGIN\n  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = {}) THEN\n    CREATE ROLE {} LOGIN INHERIT;\n  END IF;\nEND\n",
        literal(second),
        identifier(second)
    );
    format!("DO {};\n-- Its first password is set by `dizzy-keys prepare`, or by psql's \\password.\n", dollar(&body))
}

/// The second user becomes a member of the first and acts as it, unless that would take something away from the second
/// user: objects, rights or memberships of its own.
fn share_sql(first: &str, second: &str) -> String {
    let (a, b, a_role, b_role) = (literal(first), literal(second), identifier(first), identifier(second));
    let body = format!(
        r#"
DECLARE
  b pg_catalog.oid := (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = {b});
  owner text := coalesce((
    SELECT nullif(substr(c, 6), 'none') FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) c
    WHERE s.setrole = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = {a}) AND c LIKE 'role=%' AND {HERE}
    ORDER BY s.setdatabase DESC LIMIT 1), {a});
BEGIN
  -- A superuser passes for a member of every role, and is not handed to anybody.
  IF NOT pg_has_role({b}, {a}, 'MEMBER') AND NOT pg_has_role({a}, {b}, 'MEMBER') THEN
    GRANT {a_role} TO {b_role};
  END IF;
  IF EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) c
      WHERE s.setrole = b AND c LIKE 'role=%' AND {HERE}) THEN
    NULL;
  ELSIF NOT pg_has_role({b}, owner, 'MEMBER') OR owner = {b}
    OR EXISTS (SELECT FROM pg_catalog.pg_shdepend d
      WHERE d.refclassid = 1260 AND d.refobjid = b AND d.deptype IN ('o', 'a') AND NOT {OURS})
    OR EXISTS (SELECT FROM pg_catalog.pg_auth_members m WHERE m.member = b AND NOT pg_has_role({a}, m.roleid, 'MEMBER')) THEN
    RAISE WARNING 'dizzy-keys: % has objects, rights or memberships of its own; left as it is', {b};
  ELSE
    EXECUTE format('ALTER ROLE %I SET role = %L', {b}, owner);
  END IF;
END
"#
    );
    format!("DO {};\n", dollar(&body))
}

/// Copies what `ALTER ROLE first SET ...` says to the second user, where the second user has no such setting.
fn settings_sql(first: &str, second: &str) -> String {
    let (a, b) = (literal(first), literal(second));
    let body = format!(
        r#"
DECLARE
  one record;
BEGIN
  FOR one IN
    SELECT split_part(c, '=', 1) AS name, substr(c, strpos(c, '=') + 1) AS value, s.setdatabase <> 0 AS here
    FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) c
    WHERE s.setrole = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = {a}) AND c NOT LIKE 'role=%' AND {HERE}
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting t, unnest(t.setconfig) e
        WHERE t.setrole = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = {b})
          AND t.setdatabase = s.setdatabase AND split_part(e, '=', 1) = split_part(c, '=', 1))
  LOOP
    BEGIN
      EXECUTE format('ALTER ROLE %I %s SET %I = %s', {b},
        CASE WHEN one.here THEN format('IN DATABASE %I', current_database()) ELSE '' END, one.name,
        CASE WHEN one.name IN ({LIST_SETTINGS}) AND one.value NOT IN ('', '""') THEN one.value
          WHEN one.value = '""' THEN '''''' ELSE quote_literal(one.value) END);
    EXCEPTION WHEN insufficient_privilege THEN
      RAISE WARNING 'dizzy-keys: the setting % of % was not copied: insufficient privilege', one.name, {a};
    END;
  END LOOP;
END
"#
    );
    format!("DO {};\n", dollar(&body))
}

#[derive(Clone, Copy)]
enum Shown {
    Runnable,
    Commented,
}

/// What a person may decide when the second user has objects of its own.
fn proposal(first: &str, second: &str, owner: &str, shown: Shown) -> PrepareStep {
    let b = identifier(second);
    let lines = [
        format!("REASSIGN OWNED BY {b} TO {};", identifier(owner)),
        format!("ALTER ROLE {b} SET role = {};", literal(owner)),
    ];
    let comment = match shown {
        Shown::Runnable => "",
        Shown::Commented => "-- ",
    };
    PrepareStep {
        why: format!(
            "if {second} already has objects or rights of its own: hand its objects over, and give {first} the rights it lacks first"
        ),
        sql: lines.iter().map(|line| format!("{comment}{line}\n")).collect(),
        automatic: false,
        done: false,
    }
}

fn first_password_step(second: &str) -> PrepareStep {
    PrepareStep {
        why: format!("first password of {second}"),
        sql: format!("ALTER ROLE {} PASSWORD 'SCRAM-SHA-256$...';\n", identifier(second)),
        automatic: true,
        done: true,
    }
}

fn check_users(users: &[&str]) -> PortResult<()> {
    match users {
        [only] => check_name(only),
        [first, second] if first != second => check_name(first).and_then(|()| check_name(second)),
        _ => Err(PortError::refused(Kind::Malformed, "prepare anything but one user or two different ones")),
    }
}

fn mend_prepare(trouble: &Trouble, what: &str, stamp: &FenceStamp<'_>, users: &[&str]) -> PortError {
    let error = trouble.refused(what);
    let Trouble::Server(says) = trouble else { return error };
    match says.code.as_str() {
        "42501" => error.with_hint(
            "use an administrator that may CREATE in this database and has ADMIN OPTION on the users (or CREATEROLE before \
             PostgreSQL 16), or give a DBA the output of `dizzy-keys prepare --print-sql`",
        ),
        "DZ001" | "DZ002" | "DZ003" => error,
        _ => mend_change(error, trouble, stamp.set, users.last().copied().unwrap_or_default()),
    }
}
