//! `check`'s view of a database, from a plain login of one of its users: what would stop a rotation, what will need attention, and the
//! statement that mends it. And: who is using a user at the moment.

use dizzy_host::port::{
    Deadline, FenceStamp, FenceState, Finding, Inspection, Kind, Login, Mend, PortResult, Sessions, Severity,
};

use super::{
    fence::{self, FENCE_VERSION, FUNCTIONS},
    prepare::functions_are_current,
    session::{Rows, Session, Target, check_name},
    survey::{self, PairFacts, RoleFacts, Survey, UserFacts, asked},
    text::{identifier, literal, set_prefix},
};

/// How long before a role's `VALID UNTIL` a warning begins: half the usual rotation interval of 30 days, rounded down.
const EXPIRY_WARNING_DAYS: i64 = 14;
/// How many clients are named.
const CLIENTS_NAMED: usize = 10;
/// How much of a client's name is shown.
const CLIENT_NAME_LIMIT: usize = 64;

/// Looks, without changing anything.
pub(super) async fn inspect(
    target: &Target,
    login: Login<'_>,
    users: &[&str],
    stamp: &FenceStamp<'_>,
    deadline: Deadline,
) -> PortResult<Inspection> {
    users.iter().try_for_each(|user| check_name(user))?;
    let what = format!("look at {}", target.name);
    let mut session = Session::open(target, login, stamp, deadline).await?;
    let survey = asked(survey::survey(&mut session, users, deadline).await, &what)?;
    let mut notes = Notes::default();
    if survey.recovery.is() {
        notes.error(Kind::ReadOnly, "the server is a standby", Advice::Words("set `host` to the writer"));
    } else if survey.read_only.is() {
        notes.error(
            Kind::ReadOnly,
            "the server takes no writes (default_transaction_read_only)",
            Advice::Words("wait until whoever turned that on turns it off, or set `host` to the writer"),
        );
    }
    for user in &survey.users {
        judge_user(&mut notes, user, &target.dbname);
    }
    let callable = judge_fence(&mut notes, &survey, users, stamp.set);
    let mut fences = Vec::new();
    if callable.contains(&login.user.to_owned()) {
        let answer = asked(session.batch(&survey::rows_by_function(stamp.set), deadline).await, &what)?;
        fences = judge_rows(&mut notes, &answer, users, stamp)?;
    }
    if let ([first, second], Some(pair)) = (users, &survey.pair) {
        judge_pair(&mut notes, first, second, pair);
    }
    session.close(deadline).await;
    let expiry = |user: &UserFacts| Some((user.name.clone(), user.role.as_ref()?.valid_until?));
    Ok(Inspection {
        findings: notes.0,
        server_version: Some(survey.version.clone()),
        fences,
        expiries: survey.users.iter().filter_map(expiry).collect(),
        // One valid password, no reuse rules: PostgreSQL has neither.
        ..Inspection::default()
    })
}

/// Counts the sessions of `user`, apart from this set's workers.
pub(super) async fn sessions(
    target: &Target,
    login: Login<'_>,
    user: &str,
    stamp: &FenceStamp<'_>,
    deadline: Deadline,
) -> PortResult<Sessions> {
    let prefix = set_prefix(stamp.set);
    // User and application name are visible to everybody, the rest only to members of that user (`pg_stat_get_activity`);
    // parallel workers are not sessions.
    let sql = format!(
        "SELECT a.application_name, a.client_addr FROM pg_stat_activity a WHERE a.usename = {} AND a.pid <> pg_backend_pid() \
         AND coalesce(a.backend_type, 'client backend') = 'client backend' \
         AND left(coalesce(a.application_name, ''), {}) <> {} ORDER BY a.backend_start, a.pid",
        literal(user),
        prefix.len(),
        literal(&prefix),
    );
    let mut session = Session::open(target, login, stamp, deadline).await?;
    let what = format!("count the sessions of {user} on {}", target.name);
    let answer = asked(session.batch(&sql, deadline).await, &what)?;
    session.close(deadline).await;
    let rows = answer.first().map(Vec::as_slice).unwrap_or_default();
    Ok(Sessions::Counted {
        count: u32::try_from(rows.len()).unwrap_or(u32::MAX),
        clients: rows.iter().take(CLIENTS_NAMED).map(|row| client(row)).collect(),
    })
}

/// "name at address"; names come from clients, so they are cut and cleaned.
fn client(row: &[Option<String>]) -> String {
    let column = |place: usize| row.get(place).and_then(Option::as_deref);
    let printable = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).take(CLIENT_NAME_LIMIT).collect()
    };
    let name = match column(0).map(printable) {
        Some(name) if name.trim().is_empty() => "unnamed".to_owned(),
        Some(name) => name,
        None => "not visible".to_owned(),
    };
    // A session through the Unix socket has no address.
    format!("{name} at {}", column(1).map_or_else(|| "an unknown address".to_owned(), printable))
}

#[derive(Default)]
struct Notes(Vec<Finding>);

impl Notes {
    fn error(&mut self, kind: Kind, what: impl Into<String>, advice: Advice) {
        self.note(Severity::Error, kind, what.into(), advice);
    }

    fn warning(&mut self, what: impl Into<String>, advice: Advice) {
        self.note(Severity::Warning, Kind::Other, what.into(), advice);
    }

    fn note(&mut self, severity: Severity, kind: Kind, what: String, advice: Advice) {
        let (hint, mend) = match advice {
            Advice::None => (None, None),
            Advice::Words(words) => (Some(words.to_owned()), None),
            Advice::Sql(sql) => (Some(sql.clone()), Some(Mend::Sql(sql))),
            Advice::Prepare(sql) => (Some(sql.clone()), Some(Mend::Prepare { sql: Some(sql) })),
            Advice::PrepareOnly(words) => (Some(words.to_owned()), Some(Mend::Prepare { sql: None })),
        };
        self.0.push(Finding { severity, kind, what, hint, mend });
    }
}

/// What to do about a finding.
enum Advice {
    None,
    /// `prepare` does what these statements do.
    Prepare(String),
    /// Only `prepare` does it.
    PrepareOnly(&'static str),
    /// Statements that `prepare` never runs.
    Sql(String),
    Words(&'static str),
}

fn judge_user(notes: &mut Notes, user: &UserFacts, dbname: &str) {
    let (name, quoted) = (&user.name, identifier(&user.name));
    let Some(role) = &user.role else {
        notes.error(
            Kind::NotFound,
            format!("the user {name} does not exist"),
            Advice::PrepareOnly("run `dizzy-keys prepare`, which creates it and publishes its password"),
        );
        return;
    };
    if !role.can_login.is() {
        notes.error(
            Kind::Locked,
            format!("the user {name} may not log in"),
            Advice::Sql(format!("ALTER ROLE {quoted} LOGIN;")),
        );
    }
    if !role.can_connect.is() {
        notes.error(
            Kind::Denied,
            format!("the user {name} may not connect to this database"),
            Advice::Sql(format!("GRANT CONNECT ON DATABASE {} TO {quoted};", identifier(dbname))),
        );
    }
    if role.rds_iam.is() {
        notes.error(Kind::Denied,
            format!("the user {name} is a member of rds_iam, so Amazon RDS lets it in with IAM tokens only, not with a password"),
            Advice::Sql(format!("REVOKE rds_iam FROM {quoted};")),
        );
    }
    judge_expiry(notes, name, role);
    if role.superuser.is() {
        notes.warning(
            format!("the user {name} is a superuser; it passes every check that the fence rests on"),
            Advice::Sql(format!("ALTER ROLE {quoted} NOSUPERUSER;")),
        );
    } else if role.rds_superuser.is() {
        notes.warning(
            format!("the user {name} is a member of rds_superuser"),
            Advice::Sql(format!("REVOKE rds_superuser FROM {quoted};")),
        );
    } else if role.create_role.is() {
        notes.warning(
            format!("the user {name} may create and change roles, other users' passwords included"),
            Advice::Sql(format!("ALTER ROLE {quoted} NOCREATEROLE;")),
        );
    }
}

fn judge_expiry(notes: &mut Notes, name: &str, role: &RoleFacts) {
    let mend = || Advice::Sql(format!("ALTER ROLE {} VALID UNTIL 'infinity';", identifier(name)));
    match role.days_left {
        // The server answers a login with the same code as for a wrong password.
        Some(days) if days < 0 => {
            notes.error(
                Kind::Expired,
                format!("the password of {name} has expired (VALID UNTIL); a rotation does not change that"),
                mend(),
            );
        }
        Some(days) if days < EXPIRY_WARNING_DAYS => {
            notes.warning(
                format!("the password of {name} expires in {days} days (VALID UNTIL); a rotation does not change that"),
                mend(),
            );
        }
        Some(_) | None => {}
    }
}

/// Judges schema, functions and rights; tells which users can call the fence.
fn judge_fence(notes: &mut Notes, survey: &Survey, users: &[&str], set: &str) -> Vec<String> {
    let fence = &survey.fence;
    if !fence.schema.is() || !fence.table.is() || fence.functions.is_empty() {
        notes.error(Kind::FenceMissing, "the fence is missing", Advice::Prepare(whole_fence(survey, set, users)));
        return Vec::new();
    }
    if let Some(owner) = fence.owners.iter().find(|owner| users.contains(&owner.as_str())) {
        notes.error(
            Kind::Denied,
            format!("the fence belongs to {owner}, a user that it is to hold back"),
            Advice::Words("let an administrator own the schema dizzy and what is in it"),
        );
    }
    if !functions_are_current(survey) {
        let version = fence.functions.iter().find(|(name, _)| name == "fence_version");
        let version = version.and_then(|(_, source)| source.trim().strip_prefix("SELECT ")?.parse::<u32>().ok());
        if version.is_some_and(|version| version > FENCE_VERSION) {
            notes.error(
                Kind::NewerVersion,
                "the fence was made by a newer version of dizzy-keys",
                Advice::Words("use that version"),
            );
        } else {
            notes.error(
                Kind::FenceMissing,
                "the fence's functions are not those that this version installs",
                Advice::Prepare(fence::functions_sql()),
            );
        }
        return Vec::new();
    }
    let mut callable = Vec::new();
    for user in &survey.users {
        match &user.role {
            Some(role) if role.may_use_schema.is() && role.may_call == FUNCTIONS.len() => {
                callable.push(user.name.clone());
            }
            Some(_) => notes.error(
                Kind::FenceMissing,
                format!("the user {} may not call the fence's functions", user.name),
                Advice::Prepare(fence::grants_sql(&[user.name.as_str()])),
            ),
            None => {}
        }
    }
    callable
}

/// Everything of the fence, for the users that are there.
fn whole_fence(survey: &Survey, set: &str, users: &[&str]) -> String {
    let there = survey.users.iter().filter(|user| user.role.is_some()).map(|user| user.name.as_str());
    let there = there.collect::<Vec<_>>();
    let grants = if there.is_empty() { String::new() } else { fence::grants_sql(&there) };
    let made = fence::schema_sql() + &fence::table_sql() + &fence::functions_sql();
    made + &fence::rows_sql(set, users) + &grants
}

/// Judges the rows that the user of the session may see.
fn judge_rows(
    notes: &mut Notes,
    answer: &[Rows],
    users: &[&str],
    stamp: &FenceStamp<'_>,
) -> PortResult<Vec<(String, FenceState)>> {
    let mut fences = Vec::new();
    for row in answer.first().map(Vec::as_slice).unwrap_or_default() {
        let [Some(role), Some(set), columns @ ..] = row.as_slice() else { continue };
        if set != stamp.set {
            notes.warning(
                format!("the user {role} also belongs to the set {set} in this database"),
                Advice::Words("a user belongs to one set only"),
            );
        } else if users.contains(&role.as_str()) {
            fences.push((role.clone(), fence::state(columns)?));
        }
    }
    for user in users {
        match fences.iter().find(|(name, _)| name == user) {
            None => notes.error(
                Kind::FenceMissing,
                format!("the fence has no row for {user}, or it cannot be seen"),
                // Who has no row of its own sees none of the others: the statement is for all, and leaves those that are there.
                Advice::Prepare(fence::rows_sql(stamp.set, users)),
            ),
            Some((_, state)) if !state.register.is_empty() && state.register != stamp.register => notes.error(
                Kind::ForeignRegister,
                format!("the fence row of {user} belongs to the register of another installation"),
                Advice::Words(
                    "one set is rotated from one journal: use that installation's, or restore the journal if it was lost",
                ),
            ),
            Some((_, state)) if state.epoch > stamp.epoch => notes.warning(
                format!("the fence row of {user} is at epoch {}, the register is older", state.epoch.0),
                Advice::Words("a rotation may be under way elsewhere, or the register was restored from a copy"),
            ),
            Some(_) => {}
        }
    }
    Ok(fences)
}

/// Alternating users must reach the same objects, also those that either creates later.
fn judge_pair(notes: &mut Notes, first: &str, second: &str, pair: &PairFacts) {
    let (a, b) = (identifier(first), identifier(second));
    let [first_reaches, second_reaches] = pair.reaches_other;
    let [first_later, second_later] = pair.reaches_later;
    let [first_owns, second_owns] = pair.owns;
    let [first_granted, second_granted] = pair.granted;
    let [owner, _] = &pair.acts_as;
    if first_owns + first_granted > 0 && !second_reaches.is() {
        notes.warning(
            format!("{second} does not reach what {first} has here: {first_owns} objects and {first_granted} rights"),
            Advice::Prepare(format!("GRANT {a} TO {b};")),
        );
    } else if !second_later.is() {
        notes.warning(
            format!("{second} will not reach what {first} creates"),
            Advice::Prepare(format!("GRANT {} TO {b};", identifier(owner))),
        );
    }
    if second_owns > 0 && !first_reaches.is() {
        notes.warning(
            format!("{first} does not reach the {second_owns} objects that {second} owns here"),
            Advice::Sql(format!("REASSIGN OWNED BY {b} TO {};", identifier(owner))),
        );
    }
    if second_granted > 0 && !first_reaches.is() && pair.acts_as[0] != pair.acts_as[1] {
        notes.warning(
            format!("{first} may lack some of the {second_granted} rights that {second} was granted here"),
            Advice::None,
        );
    }
    if !first_later.is() {
        let settles = format!("ALTER ROLE {b} SET role = {};", literal(owner));
        notes.warning(
            format!("{first} will not reach what {second} creates"),
            if pair.second_is_plain.is() { Advice::Prepare(settles) } else { Advice::Sql(settles) },
        );
    }
}
