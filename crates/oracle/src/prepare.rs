//! `prepare`: the statements that make a database ready for its set, and running those that are not done yet.
//!
//! Two things are made: the second user of an alternating pair, and the procedure that ends a rollover window.
//!
//! *The procedure.* Ending a window takes ALTER USER, which a rotated user must not have: with it, it could change everybody's
//! password. So a schema that nobody can log in to holds that right, and a procedure with the rights of its owner that does one thing: it
//! ends the window of the user who is logged in. It takes no argument; `SESSION_USER` is the server's own and cannot be set by a
//! session. All that a caller gains is to make its own older password invalid early, which it could do by changing it, too.
//!
//! *The second user's password.* `CREATE USER` needs one in its text, where traces and SQL history can keep it. So the user is made with a
//! password that is thrown away: `prepare` logs in with it at once and changes it, through the protocol, to the one that counts. If the
//! profile has a rollover time, that would leave the thrown-away password valid for a while, so the window is ended then.
//! An Autonomous Database remembers the thrown-away password among the last four, and its rule of 24 hours is about setting the *same*
//! password again; neither is in the way (Oracle documentation: "About User Passwords on Autonomous Database"; not tried on the service).

use dizzy_host::{
    port::{Certainty, Deadline, FenceStamp, Kind, Login, PortError, PortResult, PrepareStep, Randomness},
    secret::Password,
};
use zeroize::Zeroizing;

use crate::{
    account::{self, texts},
    session::{Session, Target, check_name, check_password},
    sql::{identifier, stored},
    trouble::Trouble,
};

/// The procedure's full name.
pub(crate) const END_ROLLOVER: &str = "\"DIZZY_KEYS\".\"END_ROLLOVER\"";
/// The schema that owns it.
const SCHEMA: &str = "DIZZY_KEYS";
/// Everything behind CREATE OR REPLACE, as the data dictionary keeps it. `SYS.` keeps other schemas' objects of the same name out.
const SOURCE: &str = "PROCEDURE \"DIZZY_KEYS\".\"END_ROLLOVER\" AUTHID DEFINER AS
BEGIN
  EXECUTE IMMEDIATE 'ALTER USER ' || SYS.DBMS_ASSERT.ENQUOTE_NAME(SYS_CONTEXT('USERENV', 'SESSION_USER'), FALSE)
    || ' EXPIRE PASSWORD ROLLOVER PERIOD';
END;";
/// Shown in place of the password that is thrown away.
const NOT_SHOWN: &str = "...";
/// Length of the thrown-away password: the longest that servers before 23ai and Autonomous Databases take.
const THROW_AWAY_LENGTH: usize = 30;
/// How often a thrown-away password is drawn until it does not contain the user's name. A name of one letter is hard to avoid, and
/// rules about names are not everywhere.
const DRAW_LIMIT: usize = 32;

/// Whether the session's user may end its window: such a procedure is visible to it only if it may run it.
pub(crate) async fn may_end_window(session: &mut Session) -> Result<bool, Trouble> {
    let sql = "SELECT OWNER FROM ALL_PROCEDURES WHERE OWNER = 'DIZZY_KEYS' AND OBJECT_NAME = 'END_ROLLOVER'";
    Ok(!texts(session, sql, None).await?.is_empty())
}

/// What the server told before steps are made.
pub(crate) struct Known {
    schema: bool,
    right: bool,
    procedure: bool,
    grantees: Vec<String>,
    second: bool,
    second_may_log_in: bool,
}

/// Reads, and tells what `prepare` would do.
pub(crate) async fn plan(
    target: &Target,
    admin: Login<'_>,
    users: &[&str],
    stamp: &FenceStamp<'_>,
    deadline: Deadline,
) -> PortResult<Vec<PrepareStep>> {
    check_users(users)?;
    let mut session = Session::open(target, admin, stamp, deadline).await?;
    let known = known(&mut session, users).await.map_err(|trouble| reading(trouble, target))?;
    session.close().await;
    Ok(steps(users, Some(&known)))
}

/// Runs what is automatic and not done; gives `second` its password if asked to.
pub(crate) async fn prepare(
    target: &Target,
    admin: Login<'_>,
    users: &[&str],
    second: Option<Login<'_>>,
    stamp: &FenceStamp<'_>,
    deadline: Deadline,
) -> PortResult<Vec<PrepareStep>> {
    check_users(users)?;
    if let Some(second) = second {
        if users.get(1) != Some(&second.user) {
            let what = format!("give {} a password: it is not the second user of the set", second.user);
            return Err(PortError::refused(Kind::Malformed, what));
        }
        check_password(second.user, second.password.expose())?;
    }
    let mut session = Session::open(target, admin, stamp, deadline).await?;
    let before = known(&mut session, users).await.map_err(|trouble| reading(trouble, target))?;
    let throw_away = match users {
        [_, second] if !before.second => Some(throw_away(second, &*target.randomness)?),
        _ => None,
    };
    let mut progress = Progress::Nothing;
    for step in steps(users, Some(&before)).into_iter().filter(|step| step.automatic && !step.done) {
        let sql = match &throw_away {
            Some(password) => Zeroizing::new(step.sql.replace(&quoted(NOT_SHOWN), &quoted(password.expose()))),
            None => Zeroizing::new(step.sql.clone()),
        };
        let what = format!("prepare {}: {}", target.name, step.why);
        run(&mut session, sql).await.map_err(|trouble| progress.judge(trouble.of_change(&what)))?;
        progress = Progress::Something;
    }
    if let Some(second) = second {
        let given = give_password(target, &mut session, second, throw_away, stamp, deadline, &mut progress).await;
        given.map_err(|error| progress.judge(error))?;
    }
    let after = known(&mut session, users).await.map_err(|trouble| progress.judge(reading(trouble, target)))?;
    session.close().await;
    let mut steps = steps(users, Some(&after));
    if let Some(second) = second {
        steps.push(PrepareStep {
            why: format!("first password of {}", second.user),
            sql: format!("-- set by {} itself, through the protocol: in no statement\n", second.user),
            automatic: true,
            done: true,
        });
    }
    Ok(steps)
}

/// Whether anything was changed already. Every statement commits by itself, so a refusal in the middle is not one of the whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    Nothing,
    Something,
}

impl Progress {
    fn judge(self, error: PortError) -> PortError {
        match self {
            Self::Nothing => error,
            Self::Something => PortError { certainty: Certainty::Unknown, ..error },
        }
    }
}

/// Brings the second user to the password that it is to have, and to no other.
async fn give_password(
    target: &Target,
    admin: &mut Session,
    second: Login<'_>,
    throw_away: Option<Password>,
    stamp: &FenceStamp<'_>,
    deadline: Deadline,
    progress: &mut Progress,
) -> PortResult<()> {
    let what = format!("set the first password of {} on {}", second.user, target.name);
    let current = match throw_away {
        Some(password) => password,
        None => {
            // The one wrong login that this may cost is forgotten at the next right one.
            match Session::open(target, second, stamp, deadline).await {
                Ok(session) => {
                    session.close().await;
                    return Ok(());
                }
                Err(error) if error.kind == Kind::Credential => {}
                Err(error) => return Err(error),
            }
            let password = self::throw_away(second.user, &*target.randomness)?;
            let sql = format!("ALTER USER {} IDENTIFIED BY {}", identifier(second.user), quoted(password.expose()));
            run(admin, Zeroizing::new(sql)).await.map_err(|trouble| trouble.of_change(&what))?;
            *progress = Progress::Something;
            password
        }
    };
    let login = Login { user: second.user, password: &current };
    let mut session = Session::open(target, login, stamp, deadline).await?;
    let new = second.password.clone();
    let changed = session.call(move |connection| connection.change_password(current.expose(), new.expose())).await;
    changed.map_err(|trouble| trouble.of_change(&what))?;
    let account = account::account(&mut session).await.map_err(|trouble| trouble.unknown(&what))?;
    session.close().await;
    if account.in_rollover() {
        let sql = format!("ALTER USER {} EXPIRE PASSWORD ROLLOVER PERIOD", identifier(second.user));
        run(admin, Zeroizing::new(sql)).await.map_err(|trouble| trouble.of_change(&what))?;
    }
    Ok(())
}

/// Runs a statement. A final semicolon is for people's tools; only a PL/SQL block keeps it.
async fn run(session: &mut Session, sql: Zeroizing<String>) -> Result<(), Trouble> {
    if !session.has_time() {
        return Err(Trouble::Deadline);
    }
    session
        .call(move |connection| {
            let text = sql.trim_end().trim_end_matches('/').trim_end();
            let text = if text.ends_with("END;") { text } else { text.trim_end_matches(';') };
            connection.execute(text, &[]).map(drop)
        })
        .await
}

async fn known(session: &mut Session, users: &[&str]) -> Result<Known, Trouble> {
    let exists = "SELECT USERNAME FROM DBA_USERS WHERE USERNAME = :1";
    let rights = "SELECT PRIVILEGE FROM DBA_SYS_PRIVS WHERE GRANTEE = :1";
    let grants = "SELECT GRANTEE FROM DBA_TAB_PRIVS WHERE OWNER = 'DIZZY_KEYS' AND TABLE_NAME = 'END_ROLLOVER' AND PRIVILEGE = 'EXECUTE'";
    let source = "SELECT TEXT FROM DBA_SOURCE WHERE OWNER = 'DIZZY_KEYS' AND NAME = 'END_ROLLOVER' AND TYPE = 'PROCEDURE' ORDER BY LINE";
    let has =
        |rows: &[Vec<Option<String>>], value: &str| rows.iter().any(|row| row.first() == Some(&Some(value.to_owned())));
    let schema = !texts(session, exists, Some(SCHEMA.to_owned())).await?.is_empty();
    let right = has(&texts(session, rights, Some(SCHEMA.to_owned())).await?, "ALTER USER");
    let lines = texts(session, source, None).await?;
    let text = lines.into_iter().flatten().flatten().collect::<String>();
    let grantees = texts(session, grants, None).await?.into_iter().flatten().flatten().collect();
    let (second, second_may_log_in) = match users {
        [_, second] => (
            !texts(session, exists, Some(stored(second))).await?.is_empty(),
            has(&texts(session, rights, Some(stored(second))).await?, "CREATE SESSION"),
        ),
        _ => (false, false),
    };
    Ok(Known { schema, right, procedure: same_source(&text), grantees, second, second_may_log_in })
}

/// Whether the procedure is ours, word for word. The data dictionary may show its name with or without the schema.
fn same_source(text: &str) -> bool {
    let words =
        |text: &str| text.replace(&format!("\"{SCHEMA}\"."), "").split_whitespace().collect::<Vec<_>>().join(" ");
    !text.is_empty() && words(text) == words(SOURCE)
}

/// All steps for these users, with `done` filled in as far as anything is known.
pub(crate) fn steps(users: &[&str], known: Option<&Known>) -> Vec<PrepareStep> {
    let done = |test: &dyn Fn(&Known) -> bool| known.is_some_and(test);
    let mut steps = Vec::new();
    if let [first, second] = users {
        steps.push(PrepareStep {
            why: format!("second user {second}"),
            sql: format!("CREATE USER {} IDENTIFIED BY {};\n", identifier(second), quoted(NOT_SHOWN),),
            automatic: true,
            done: done(&|known| known.second),
        });
        steps.push(PrepareStep {
            why: format!("{second} may log in"),
            sql: format!("GRANT CREATE SESSION TO {};\n", identifier(second)),
            automatic: true,
            done: done(&|known| known.second_may_log_in),
        });
        steps.extend(sharing(first, second));
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

/// How both users come to reach the same objects: a person's decision, because it depends on what the application does.
fn sharing(first: &str, second: &str) -> [PrepareStep; 2] {
    let (a, b) = (identifier(first), identifier(second));
    let step = |why: String, sql: String| PrepareStep { why, sql, automatic: false, done: false };
    [
        step(
            format!(
                "{second} gets the profile, roles and rights of {first}: list them, and grant what the application needs"
            ),
            format!(
                "-- SELECT PROFILE FROM DBA_USERS WHERE USERNAME = '{name}';\n-- SELECT GRANTED_ROLE FROM DBA_ROLE_PRIVS WHERE GRANTEE = '{name}';\n\
                 -- SELECT PRIVILEGE FROM DBA_SYS_PRIVS WHERE GRANTEE = '{name}';\n\
                 -- SELECT OWNER, TABLE_NAME, PRIVILEGE FROM DBA_TAB_PRIVS WHERE GRANTEE = '{name}';\n",
                name = stored(first).replace('\'', "''"),
            ),
        ),
        step(
            format!(
                "if {first} owns the application's objects: {second} reaches them and finds them under the same names"
            ),
            format!(
                "-- GRANT SELECT ANY TABLE, INSERT ANY TABLE, UPDATE ANY TABLE, DELETE ANY TABLE ON SCHEMA {a} TO {b}; -- 23ai; before: grants per object\n\
                 -- CREATE OR REPLACE TRIGGER {b}.\"DIZZY_CURRENT_SCHEMA\" AFTER LOGON ON {b}.SCHEMA BEGIN EXECUTE IMMEDIATE 'ALTER SESSION SET CURRENT_SCHEMA = {a}'; END;\n"
            ),
        ),
    ]
}

/// A password for a few milliseconds, of all classes that rules ask for.
fn throw_away(user: &str, randomness: &dyn Randomness) -> PortResult<Password> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_#";
    let name = user.to_ascii_lowercase();
    let mut text = Zeroizing::new(String::with_capacity(THROW_AWAY_LENGTH));
    for _ in 0..DRAW_LIMIT {
        let mut bytes = Zeroizing::new([0_u8; THROW_AWAY_LENGTH - 4]);
        randomness.fill(&mut *bytes)?;
        text.clear();
        text.push_str("Qz7_");
        // 64 letters, so that every byte is as likely as the next.
        let drawn = bytes.iter().filter_map(|byte| LETTERS.get(usize::from(byte % 64)));
        text.extend(drawn.map(|letter| char::from(*letter)));
        if !text.to_ascii_lowercase().contains(&name) {
            break;
        }
    }
    Ok(Password::new(text.as_str().to_owned()))
}

fn quoted(password: &str) -> String {
    format!("\"{password}\"")
}

fn check_users(users: &[&str]) -> PortResult<()> {
    match users {
        [only] => check_name(only),
        [first, second] if stored(first) != stored(second) => check_name(first).and_then(|()| check_name(second)),
        _ => Err(PortError::refused(Kind::Malformed, "prepare anything but one user or two different ones")),
    }
}

fn reading(trouble: Trouble, target: &Target) -> PortError {
    let error = trouble.refused(&format!("look at {}", target.name));
    if !matches!(error.kind, Kind::NotFound | Kind::Denied) {
        return error;
    }
    PortError { kind: Kind::Denied, ..error }.with_hint(
        "use an administrator that may read the DBA views (ADMIN on an Autonomous Database), or give a DBA the output of `dizzy-keys prepare --print-sql`",
    )
}
