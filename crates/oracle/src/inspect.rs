//! `check`'s view of a database, from a plain login of one of its users: what would stop a rotation, and what will need attention.
//! And: who is using a user at the moment.

use core::time::Duration;

use dizzy_host::port::{
    Deadline, FenceStamp, Finding, Inspection, Kind, Login, Mend, PortResult, Rollover, Sessions, Severity,
};

use crate::{
    account::{self, Account, Limit, Profile, Role, texts},
    prepare,
    session::{PROGRAM, Session, Target},
    sql::{identifier, stored},
    trouble::Trouble,
};

/// How long before a password expires a warning begins: half the usual rotation interval of 30 days, rounded down.
const EXPIRY_WARNING_MS: i64 = 14 * 86_400_000;
const MS_PER_DAY: i64 = 86_400_000;
/// Shortest rollover window that a server has (Oracle documentation: "Database Security Guide", PASSWORD_ROLLOVER_TIME).
const SHORTEST_WINDOW: Duration = Duration::from_secs(3600);
/// Wrong logins that dizzy-keys allows itself per user; a profile should allow more.
pub(crate) const OUR_WRONG_LOGINS: u32 = 3;
/// How many clients are named.
const CLIENTS_NAMED: usize = 10;
/// How much of a client's name is shown.
const CLIENT_NAME_LIMIT: usize = 64;

/// Looks, without changing anything.
pub(crate) async fn inspect(
    target: &Target,
    login: Login<'_>,
    stamp: &FenceStamp<'_>,
    deadline: Deadline,
    now_ms: i64,
) -> PortResult<Inspection> {
    let what = format!("look at {}", target.name);
    let mut session = Session::open(target, login, stamp, deadline).await?;
    let facts = look(&mut session).await.map_err(|trouble| trouble.refused(&what))?;
    session.close().await;
    let mut notes = Notes::default();
    notes.0.extend(target.wallet.findings(now_ms));
    judge_account(&mut notes, login.user, &facts);
    Ok(Inspection {
        findings: notes.0,
        server_version: Some(facts.version.clone()),
        expiries: facts.account.expires_in_ms.map(|left| (login.user.to_owned(), now_ms + left)).into_iter().collect(),
        rollover: rollover(&facts),
        cannot_restore: cannot_restore(&facts).map(ToOwned::to_owned),
        password_life: facts.profile.life_time.days(),
        ..Inspection::default()
    })
}

/// What the server told.
struct Facts {
    version: String,
    role: Role,
    account: Account,
    profile: Profile,
    may_alter_users: bool,
    can_end_window: bool,
    service: CloudService,
}

/// Whose rules count beside the profile's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum CloudService {
    /// An Autonomous Database.
    Autonomous,
    /// Any other.
    None,
}

async fn look(session: &mut Session) -> Result<Facts, Trouble> {
    let version = session.call(|connection| Ok(connection.version()?.to_string())).await?;
    Ok(Facts {
        version: version.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect(),
        role: account::role(session).await?,
        account: account::account(session).await?,
        profile: account::profile(session).await?,
        may_alter_users: account::holds(session, prepare::FORBIDDEN_RIGHT).await?,
        can_end_window: prepare::may_end_window(session).await?,
        service: cloud_service(session).await?,
    })
}

/// Oracle documentation: "SQL Language Reference", SYS_CONTEXT: CLOUD_SERVICE is DWCS, OLTP or JDCS on an Autonomous Database and
/// null elsewhere. Servers that do not know the name report an error.
async fn cloud_service(session: &mut Session) -> Result<CloudService, Trouble> {
    match texts(session, "SELECT SYS_CONTEXT('USERENV', 'CLOUD_SERVICE') FROM DUAL", None).await {
        Ok(rows) => Ok(match rows.first().and_then(|row| row.first()) {
            Some(Some(service)) if !service.is_empty() => CloudService::Autonomous,
            Some(_) | None => CloudService::None,
        }),
        Err(Trouble::Server(_)) => Ok(CloudService::None),
        Err(trouble) => Err(trouble),
    }
}

fn rollover(facts: &Facts) -> Option<Rollover> {
    let open = facts.account.in_rollover();
    match facts.profile.rollover_time.days() {
        Some(length) => Some(Rollover { length, open, can_end: facts.can_end_window }),
        // The limit was taken away while a window was open; it ends with the next login or by itself.
        None if open => Some(Rollover { length: SHORTEST_WINDOW, open, can_end: facts.can_end_window }),
        None => None,
    }
}

/// Why the password that the user has now could not be set again after a change. When in doubt, it could not.
fn cannot_restore(facts: &Facts) -> Option<&'static str> {
    if facts.service == CloudService::Autonomous {
        // Oracle documentation: "About User Passwords on Autonomous Database".
        return Some(
            "an Autonomous Database takes back none of the last four passwords, and none that was set less than 24 hours ago",
        );
    }
    match (facts.profile.reuse_max, facts.profile.reuse_time) {
        (Limit::Unlimited, Limit::Unlimited) => None,
        (Limit::Unknown, _) | (_, Limit::Unknown) => {
            Some("the profile's limits for the reuse of passwords cannot be read")
        }
        // One limit without the other means never (Oracle documentation: "SQL Language Reference", CREATE PROFILE).
        _ => Some("the profile limits the reuse of passwords (PASSWORD_REUSE_MAX, PASSWORD_REUSE_TIME)"),
    }
}

#[derive(Default)]
struct Notes(Vec<Finding>);

impl Notes {
    fn error(&mut self, kind: Kind, what: impl Into<String>, hint: impl Into<String>) {
        let (what, hint) = (what.into(), Some(hint.into()));
        self.0.push(Finding { severity: Severity::Error, kind, what, hint, mend: None });
    }

    /// An error that statements of an administrator mend.
    fn mendable(&mut self, kind: Kind, what: impl Into<String>, sql: String) {
        self.error(kind, what, sql.clone());
        if let Some(last) = self.0.last_mut() {
            last.mend = Some(Mend::Sql(sql));
        }
    }

    fn warning(&mut self, what: impl Into<String>, hint: impl Into<String>, mend: Option<Mend>) {
        let (what, hint) = (what.into(), Some(hint.into()));
        self.0.push(Finding { severity: Severity::Warning, kind: Kind::Other, what, hint, mend });
    }
}

fn judge_account(notes: &mut Notes, user: &str, facts: &Facts) {
    let (account, quoted) = (&facts.account, identifier(user));
    if facts.role == Role::Standby {
        notes.error(Kind::ReadOnly, "the database is a standby", "connect to the primary database");
    }
    if account.locked() {
        let sql = format!("ALTER USER {quoted} ACCOUNT UNLOCK;");
        notes.mendable(Kind::Locked, format!("the user {user} is locked"), sql);
    }
    if account.expired() {
        let hint = "have an administrator set a password for the user, and publish it";
        notes.error(Kind::Expired, format!("the password of {user} has expired"), hint);
    } else if account.in_grace() {
        notes.warning(
            format!("the password of {user} has expired and logs in during its grace time only"),
            "rotate the set",
            None,
        );
    } else if let Some(left) = account.expires_in_ms.filter(|left| *left < EXPIRY_WARNING_MS) {
        notes.warning(
            format!("the password of {user} expires in {} days", left / MS_PER_DAY),
            "rotate the set before that",
            None,
        );
    }
    // With it, the user's own changes would not need the old password, and it could change everybody's.
    if facts.may_alter_users {
        notes.mendable(
            Kind::Denied,
            format!("the user {user} holds ALTER USER, so it can change every user's password, and its own without the old one"),
            format!("REVOKE ALTER USER FROM {quoted};"),
        );
    }
    if account.in_rollover() {
        notes.warning(
            format!("a rollover window of {user} is open: two passwords log in"),
            match facts.can_end_window {
                true => "it is ended before the next change, or passes by itself",
                false => "wait until it has passed, or run `dizzy-keys prepare`, which installs what ends it",
            },
            (!facts.can_end_window).then_some(Mend::Prepare { sql: None }),
        );
    }
    if matches!(facts.profile.failed_logins, Limit::Value(allowed) if allowed <= f64::from(OUR_WRONG_LOGINS)) {
        notes.error(
            Kind::Policy,
            format!("the profile of {user} locks it after {OUR_WRONG_LOGINS} wrong logins or fewer; as many may be needed to find out where a rotation stands"),
            "set FAILED_LOGIN_ATTEMPTS of the user's profile to ten, the default (its name: SELECT PROFILE FROM DBA_USERS)",
        );
    }
}

/// Counts the sessions of `user`, apart from our own.
pub(crate) async fn sessions(
    target: &Target,
    login: Login<'_>,
    user: &str,
    stamp: &FenceStamp<'_>,
    deadline: Deadline,
) -> PortResult<Sessions> {
    // All instances of a cluster if that is allowed, else the one we are on.
    const VIEWS: [&str; 2] = [
        "SELECT PROGRAM, MACHINE, STATUS FROM GV$SESSION WHERE USERNAME = :1 AND TYPE = 'USER'",
        "SELECT PROGRAM, MACHINE, STATUS FROM V$SESSION WHERE USERNAME = :1 AND TYPE = 'USER'",
    ];
    let what = format!("count the sessions of {user} on {}", target.name);
    let mut session = Session::open(target, login, stamp, deadline).await?;
    let mut seen = Sessions::Unknown;
    for view in VIEWS {
        match texts(&mut session, view, Some(stored(user))).await {
            Ok(rows) => {
                seen = counted(&rows);
                break;
            }
            // ORA-00942, ORA-01031: not for us to see.
            Err(Trouble::Server(942 | 1031)) => {}
            Err(trouble) => return Err(trouble.refused(&what)),
        }
    }
    session.close().await;
    Ok(seen)
}

fn counted(rows: &[Vec<Option<String>>]) -> Sessions {
    let column = |row: &[Option<String>], place: usize| row.get(place).cloned().flatten().unwrap_or_default();
    let others = rows.iter().filter(|row| !column(row, 0).starts_with(PROGRAM) && column(row, 2) != "KILLED");
    let clients =
        others.map(|row| format!("{} at {}", shown(&column(row, 0)), shown(&column(row, 1)))).collect::<Vec<_>>();
    Sessions::Counted {
        count: u32::try_from(clients.len()).unwrap_or(u32::MAX),
        clients: clients.into_iter().take(CLIENTS_NAMED).collect(),
    }
}

/// A name that a client gave itself, cut and cleaned.
fn shown(name: &str) -> String {
    let printable = name.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' });
    let name: String = printable.take(CLIENT_NAME_LIMIT).collect();
    if name.trim().is_empty() { "unnamed".to_owned() } else { name }
}
