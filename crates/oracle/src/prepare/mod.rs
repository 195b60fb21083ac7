//! `prepare`: the statements that make a database ready for its set, and running those that are not done yet.
//!
//! Two things are made: the second user of an alternating pair, with what was granted to the first; and the procedure that ends a rollover window.
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

mod steps;
mod survey;

use dizzy_host::{
    port::{Certainty, Deadline, FenceStamp, Kind, Login, PortError, PortResult, PrepareStep, Randomness},
    secret::Password,
};
use zeroize::Zeroizing;

use self::{
    steps::NOT_SHOWN,
    survey::{known, reading},
};
pub(crate) use self::{
    steps::{END_ROLLOVER, steps},
    survey::{FORBIDDEN_RIGHT, may_end_window},
};
use crate::{
    account,
    session::{Session, Target, check_name, check_password},
    sql::{identifier, stored},
    trouble::Trouble,
};

/// Length of the thrown-away password: the longest that servers before 23ai and Autonomous Databases take.
const THROW_AWAY_LENGTH: usize = 30;
/// How often a thrown-away password is drawn until it does not contain the user's name. A name of one letter is hard to avoid, and
/// rules about names are not everywhere.
const DRAW_LIMIT: usize = 32;

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
    // Nobody is to log in as a user whose password nobody has been given.
    let (throw_away, authentication) = match second {
        Some(second) if before.pair.as_ref().is_some_and(|pair| !pair.exists) => {
            let password = throw_away(second.user, &*target.randomness)?;
            let authentication = Zeroizing::new(format!("IDENTIFIED BY {}", quoted(password.expose())));
            (Some(password), authentication)
        }
        Some(_) | None => (None, Zeroizing::new("NO AUTHENTICATION".to_owned())),
    };
    let mut progress = Progress::Nothing;
    for step in steps(users, Some(&before)).into_iter().filter(|step| step.automatic && !step.done) {
        let sql = Zeroizing::new(step.sql.replace(NOT_SHOWN, &authentication));
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

/// Brings an existing user to a password as an administrator, by way of one that is thrown away.
pub(crate) async fn set_password(
    target: &Target,
    admin: Login<'_>,
    user: Login<'_>,
    stamp: &FenceStamp<'_>,
    deadline: Deadline,
) -> PortResult<()> {
    check_name(user.user)?;
    check_password(user.user, user.password.expose())?;
    let mut session = Session::open(target, admin, stamp, deadline).await?;
    let mut progress = Progress::Nothing;
    let given = give_password(target, &mut session, user, None, stamp, deadline, &mut progress).await;
    session.close().await;
    given.map_err(|error| progress.judge(error))
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
