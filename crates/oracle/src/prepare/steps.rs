//! The statements of `prepare`, for a person to read and for us to run, in the order in which they are run.

use dizzy_host::port::PrepareStep;

use super::survey::{Known, Pair, exactly};
use crate::sql::{identifier, stored};

/// The procedure's full name.
pub(crate) const END_ROLLOVER: &str = "\"DIZZY_KEYS\".\"END_ROLLOVER\"";
/// The schema that owns it.
pub(super) const SCHEMA: &str = "DIZZY_KEYS";
/// Everything behind CREATE OR REPLACE, as the data dictionary keeps it. `SYS.` keeps other schemas' objects of the same name out.
pub(super) const SOURCE: &str = "PROCEDURE \"DIZZY_KEYS\".\"END_ROLLOVER\" AUTHID DEFINER AS
BEGIN
  EXECUTE IMMEDIATE 'ALTER USER ' || SYS.DBMS_ASSERT.ENQUOTE_NAME(SYS_CONTEXT('USERENV', 'SESSION_USER'), FALSE)
    || ' EXPIRE PASSWORD ROLLOVER PERIOD';
END;";
/// How the second user is made in what is shown; run is another password, or none.
pub(super) const NOT_SHOWN: &str = "IDENTIFIED BY \"...\"";

/// All steps for these users, with `done` filled in as far as anything is known.
pub(crate) fn steps(users: &[&str], known: Option<&Known>) -> Vec<PrepareStep> {
    let done = |test: &dyn Fn(&Known) -> bool| known.is_some_and(test);
    let mut steps = Vec::new();
    if let [first, second] = users {
        steps.extend(pair_steps(first, second, known.and_then(|known| known.pair.as_ref())));
    }
    // A pair needs it only if its profile has a rollover time, which is for a person to know.
    let automatic = users.len() == 1;
    let step = |why: &str, sql: String, done: bool| PrepareStep { why: why.to_owned(), sql, automatic, done };
    steps.push(step(
        "schema without a login, for the procedure that ends rollover windows",
        format!("CREATE USER {} NO AUTHENTICATION;\n", identifier(SCHEMA)),
        done(&|known| known.schema),
    ));
    steps.push(step(
        "the right that ending a window takes, for that schema alone",
        format!("GRANT ALTER USER TO {};\n", identifier(SCHEMA)),
        done(&|known| known.right),
    ));
    steps.push(step(
        "procedure that ends the rollover window of the user who calls it, and does nothing else",
        format!("CREATE OR REPLACE {SOURCE}\n/\n"),
        done(&|known| known.procedure),
    ));
    for user in users {
        steps.push(step(
            &format!("{user} may end its own rollover window"),
            format!("GRANT EXECUTE ON {END_ROLLOVER} TO {};\n", identifier(user)),
            done(&|known| known.grantees.contains(&stored(user))),
        ));
    }
    steps
}

/// The second user, and what it gets of the first one's.
fn pair_steps(first: &str, second: &str, pair: Option<&Pair>) -> Vec<PrepareStep> {
    let (a, b) = (identifier(first), identifier(second));
    let automatic = |why: String, sql: String, done: bool| PrepareStep { why, sql, automatic: true, done };
    let profile = pair.and_then(|pair| pair.profile.as_ref()).map(|profile| format!(" PROFILE {}", exactly(profile)));
    let create = format!("CREATE USER {b} {}{};\n", NOT_SHOWN, profile.unwrap_or_default());
    let mut steps = vec![automatic(format!("second user {second}"), create, pair.is_some_and(|pair| pair.exists))];
    match pair {
        None => {
            steps.push(automatic(format!("{second} may log in"), format!("GRANT CREATE SESSION TO {b};\n"), false));
            steps.push(proposal(
                format!("{second} gets the profile, roles and rights of {first}: these queries list them"),
                format!(
                    "-- SELECT PROFILE FROM DBA_USERS WHERE USERNAME = '{name}';\n\
                     -- SELECT GRANTED_ROLE FROM DBA_ROLE_PRIVS WHERE GRANTEE = '{name}';\n\
                     -- SELECT PRIVILEGE FROM DBA_SYS_PRIVS WHERE GRANTEE = '{name}';\n\
                     -- SELECT OWNER, TABLE_NAME, PRIVILEGE FROM DBA_TAB_PRIVS WHERE GRANTEE = '{name}';\n",
                    name = stored(first).replace('\'', "''"),
                ),
            ));
        }
        Some(pair) => {
            if !pair.rights.is_empty() {
                let sql = format!("GRANT {} TO {b};\n", pair.rights.join(", "));
                steps.push(automatic(
                    format!("{second} may log in, and has the roles and rights of {first}"),
                    sql,
                    false,
                ));
            }
            for (object, rights) in &pair.objects {
                let rights = rights.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                let sql = format!("GRANT {rights} ON {object} TO {b};\n");
                steps.push(automatic(format!("{second} reaches what {first} was granted"), sql, false));
            }
        }
    }
    steps.push(proposal(
        format!("if {first} owns the application's objects: {second} reaches them and finds them under the same names"),
        format!(
            "-- GRANT SELECT ANY TABLE, INSERT ANY TABLE, UPDATE ANY TABLE, DELETE ANY TABLE ON SCHEMA {a} TO {b}; -- 23ai; before: grants per object\n\
             -- CREATE OR REPLACE TRIGGER {b}.\"DIZZY_CURRENT_SCHEMA\" AFTER LOGON ON {b}.SCHEMA BEGIN EXECUTE IMMEDIATE 'ALTER SESSION SET CURRENT_SCHEMA = {a}'; END;\n"
        ),
    ));
    steps
}

/// What a person decides, because it depends on what the application does.
const fn proposal(why: String, sql: String) -> PrepareStep {
    PrepareStep { why, sql, automatic: false, done: false }
}
