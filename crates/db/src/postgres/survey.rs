//! What the server tells about itself, the users and the fence, to anybody who may log in. Reads only; judges nothing.

use dizzy_host::port::{Deadline, PortResult};

use super::{
    fence::FUNCTIONS,
    session::{Rows, Session},
    text::literal,
    trouble::Trouble,
};

/// Everything that one round trip can tell.
pub(super) struct Survey {
    pub(super) version: String,
    /// Whether it is a standby.
    pub(super) recovery: Flag,
    /// Whether transactions are read-only although the user's own settings do not ask for it.
    pub(super) read_only: Flag,
    pub(super) users: Vec<UserFacts>,
    pub(super) fence: FenceFacts,
    pub(super) pair: Option<PairFacts>,
}

/// A yes or no of the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Flag {
    Yes,
    No,
}

impl Flag {
    pub(super) fn is(self) -> bool {
        self == Self::Yes
    }
}

/// A role, as far as everybody may see it.
pub(super) struct UserFacts {
    pub(super) name: String,
    /// `None` if there is no such role.
    pub(super) role: Option<RoleFacts>,
}

pub(super) struct RoleFacts {
    pub(super) can_login: Flag,
    pub(super) superuser: Flag,
    pub(super) create_role: Flag,
    pub(super) can_connect: Flag,
    pub(super) rds_iam: Flag,
    pub(super) rds_superuser: Flag,
    /// Milliseconds since 1970, if the password expires at all.
    pub(super) valid_until: Option<i64>,
    /// Days until then by the server's clock, rounded down; negative when it has passed.
    pub(super) days_left: Option<i64>,
    pub(super) may_use_schema: Flag,
    /// How many of the fence's functions it may call.
    pub(super) may_call: usize,
}

pub(super) struct FenceFacts {
    pub(super) schema: Flag,
    pub(super) table: Flag,
    /// Who owns schema, table or functions.
    pub(super) owners: Vec<String>,
    /// Name and source of each function that exists.
    pub(super) functions: Vec<(String, String)>,
    /// Whether the caller can read the table itself (its owner can).
    pub(super) readable: Flag,
}

/// How two users share their objects.
pub(super) struct PairFacts {
    /// The role that each user's sessions act as.
    pub(super) acts_as: [String; 2],
    /// Whether each user reaches what the other user itself owns.
    pub(super) reaches_other: [Flag; 2],
    /// Whether each user reaches what the other's sessions create.
    pub(super) reaches_later: [Flag; 2],
    /// How many objects each user itself owns in this database.
    pub(super) owns: [u64; 2],
    /// How many rights of its own each user has been granted in this database.
    pub(super) granted: [u64; 2],
    /// Whether the second user owns nothing anywhere and has no rights or memberships that the first lacks.
    pub(super) second_is_plain: Flag,
    /// Settings of the first user that the second lacks.
    pub(super) settings_missing: u64,
}

/// Asks everything at once.
pub(super) async fn survey(session: &mut Session, users: &[&str], deadline: Deadline) -> Result<Survey, Trouble> {
    let mut sql = GENERAL.to_owned() + &users_sql(users) + FENCE;
    if let [first, second] = users {
        sql += &pair_sql(first, second);
    }
    let answer = session.batch(&sql, deadline).await?;
    read(&answer).ok_or(Trouble::Nonsense)
}

/// Rows of the fence for a set: `(role, set, register, epoch, gen)`, through the function that every user of a set may call.
pub(super) fn rows_by_function(set: &str) -> String {
    format!("SELECT o_role, o_set, o_register, o_epoch, o_gen FROM dizzy.fences({})", literal(set))
}

/// The same from the table, for its owner.
pub(super) fn rows_by_table(set: &str) -> String {
    format!("SELECT role, \"set\", register, epoch, gen FROM dizzy.fence WHERE \"set\" = {}", literal(set))
}

/// A value out of several results.
pub(super) fn cell(answer: &[Rows], row: usize, column: usize) -> Option<&str> {
    answer.first()?.get(row)?.get(column)?.as_deref()
}

/// Whether this server takes writes from us.
pub(super) const WRITABLE: &str =
    "SELECT NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::boolean;\n";

const GENERAL: &str = "SELECT current_setting('server_version'), pg_is_in_recovery(), \
                       current_setting('transaction_read_only')::boolean;\n";

/// One row per user asked about. A superuser passes every `pg_has_role`, so membership in Amazon's roles is read directly.
fn users_sql(users: &[&str]) -> String {
    let names = users.iter().enumerate().map(|(place, user)| format!("({place}, {})", literal(user)));
    let names = names.collect::<Vec<_>>().join(", ");
    let functions = FUNCTIONS.iter().map(|function| literal(function.name)).collect::<Vec<_>>().join(", ");
    format!(
        "WITH RECURSIVE member AS (
  SELECT m.member AS who, m.roleid AS grp FROM pg_auth_members m
  UNION SELECT member.who, m.roleid FROM member JOIN pg_auth_members m ON m.member = member.grp)
SELECT asked.name, r.oid, r.rolcanlogin, r.rolsuper, r.rolcreaterole,
  has_database_privilege(r.oid, current_database(), 'CONNECT'),
  EXISTS (SELECT FROM member JOIN pg_roles g ON g.oid = member.grp WHERE member.who = r.oid AND g.rolname = 'rds_iam'),
  EXISTS (SELECT FROM member JOIN pg_roles g ON g.oid = member.grp WHERE member.who = r.oid AND g.rolname = 'rds_superuser'),
  CASE WHEN isfinite(r.rolvaliduntil) THEN floor(extract(epoch FROM r.rolvaliduntil) * 1000)::bigint END,
  CASE WHEN isfinite(r.rolvaliduntil) THEN floor(extract(epoch FROM r.rolvaliduntil - now()) / 86400)::bigint END,
  coalesce((SELECT has_schema_privilege(r.oid, n.oid, 'USAGE') FROM pg_namespace n WHERE n.nspname = 'dizzy'), false),
  (SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'dizzy' AND p.proname IN ({functions}) AND has_function_privilege(r.oid, p.oid, 'EXECUTE'))
FROM (VALUES {names}) asked(place, name) LEFT JOIN pg_roles r ON r.rolname = asked.name ORDER BY asked.place;\n"
    )
}

const FENCE: &str =
    "SELECT 'schema', pg_get_userbyid(n.nspowner)::text, NULL FROM pg_namespace n WHERE n.nspname = 'dizzy'
UNION ALL SELECT 'table', pg_get_userbyid(c.relowner)::text, has_table_privilege(c.oid, 'SELECT')::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'dizzy' AND c.relname = 'fence'
UNION ALL SELECT 'function ' || p.proname, pg_get_userbyid(p.proowner)::text, p.prosrc
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'dizzy';\n";

/// One row about how two existing users share; none if one of them does not exist.
fn pair_sql(first: &str, second: &str) -> String {
    format!(
        "WITH u AS (
  SELECT r.oid, r.rolname::text AS name, r.rolname = {a} AS is_first,
    coalesce((SELECT nullif(substr(c, 6), 'none') FROM pg_db_role_setting s, unnest(s.setconfig) c
      WHERE s.setrole = r.oid AND c LIKE 'role=%' AND s.setdatabase IN
        (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
      ORDER BY s.setdatabase DESC LIMIT 1), r.rolname::text) AS acts_as
  FROM pg_roles r WHERE r.rolname IN ({a}, {b})),
o AS (
  SELECT u.oid,
    (SELECT count(*) FROM pg_shdepend d WHERE d.refclassid = 1260 AND d.refobjid = u.oid AND d.deptype = 'o' AND d.dbid =
      (SELECT x.oid FROM pg_database x WHERE x.datname = current_database())) AS owns,
    (SELECT count(*) FROM pg_shdepend d WHERE d.refclassid = 1260 AND d.refobjid = u.oid AND d.deptype = 'a' AND d.dbid =
      (SELECT x.oid FROM pg_database x WHERE x.datname = current_database()) AND NOT {ours}) AS granted
  FROM u)
SELECT a.acts_as, b.acts_as,
  pg_has_role(a.oid, b.oid, 'USAGE') OR a.acts_as = b.name, pg_has_role(b.oid, a.oid, 'USAGE') OR b.acts_as = a.name,
  {reach_ab}, {reach_ba},
  ao.owns, bo.owns, ao.granted, bo.granted,
  NOT EXISTS (SELECT FROM pg_shdepend d WHERE d.refclassid = 1260 AND d.refobjid = b.oid AND d.deptype IN ('o', 'a') AND NOT {ours})
    AND NOT EXISTS (SELECT FROM pg_auth_members m WHERE m.member = b.oid AND m.roleid <> a.oid
      AND NOT pg_has_role(a.oid, m.roleid, 'MEMBER')),
  (SELECT count(*) FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE s.setrole = a.oid AND {here} AND c NOT LIKE 'role=%' AND NOT EXISTS
    (SELECT FROM pg_db_role_setting t, unnest(t.setconfig) e WHERE t.setrole = b.oid AND t.setdatabase = s.setdatabase
      AND split_part(e, '=', 1) = split_part(c, '=', 1)))
FROM u a JOIN u b ON a.is_first AND NOT b.is_first JOIN o ao ON ao.oid = a.oid JOIN o bo ON bo.oid = b.oid;\n",
        a = literal(first),
        b = literal(second),
        ours = OURS,
        here = HERE,
        reach_ab = reach("a", "b"),
        reach_ba = reach("b", "a"),
    )
}

/// An entry of `pg_shdepend d` that is a grant on the fence itself.
pub(super) const OURS: &str = "(d.dbid = (SELECT x.oid FROM pg_catalog.pg_database x WHERE x.datname = pg_catalog.current_database()) AND (
  (d.classid = 2615 AND d.objid = (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = 'dizzy')) OR
  (d.classid = 1255 AND d.objid IN (SELECT p.oid FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'dizzy'))))";

/// A row of `pg_db_role_setting s` that counts in this database.
pub(super) const HERE: &str = "s.setdatabase IN
  (0, (SELECT x.oid FROM pg_catalog.pg_database x WHERE x.datname = pg_catalog.current_database()))";

/// Whether `who` reaches what the sessions of `other` create.
fn reach(who: &str, other: &str) -> String {
    format!(
        "({who}.acts_as = {other}.acts_as OR coalesce((SELECT pg_has_role({who}.oid, r.oid, 'USAGE') FROM pg_roles r \
         WHERE r.rolname = {other}.acts_as), false))"
    )
}

fn read(answer: &[Rows]) -> Option<Survey> {
    let [general, users, fence, rest @ ..] = answer else { return None };
    let [general] = general.as_slice() else { return None };
    let version = general.first()?.as_deref()?;
    let pair = match rest.first().and_then(|rows| rows.first()) {
        Some(row) => Some(pair(row)?),
        None => None,
    };
    Some(Survey {
        version: version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect(),
        recovery: flag(general, 1)?,
        read_only: flag(general, 2)?,
        users: users.iter().map(|row| user(row)).collect::<Option<_>>()?,
        fence: fence_facts(fence)?,
        pair,
    })
}

fn user(row: &[Option<String>]) -> Option<UserFacts> {
    let name = row.first()?.clone()?;
    let Some(Some(_oid)) = row.get(1) else { return Some(UserFacts { name, role: None }) };
    let role = RoleFacts {
        can_login: flag(row, 2)?,
        superuser: flag(row, 3)?,
        create_role: flag(row, 4)?,
        can_connect: flag(row, 5)?,
        rds_iam: flag(row, 6)?,
        rds_superuser: flag(row, 7)?,
        valid_until: number(row, 8),
        days_left: number(row, 9),
        may_use_schema: flag(row, 10)?,
        may_call: number(row, 11)?,
    };
    Some(UserFacts { name, role: Some(role) })
}

fn fence_facts(rows: &[Vec<Option<String>>]) -> Option<FenceFacts> {
    let mut facts =
        FenceFacts { schema: Flag::No, table: Flag::No, owners: Vec::new(), functions: Vec::new(), readable: Flag::No };
    for row in rows {
        let [Some(what), Some(owner), detail] = row.as_slice() else { return None };
        if !facts.owners.contains(owner) {
            facts.owners.push(owner.clone());
        }
        match what.as_str() {
            "schema" => facts.schema = Flag::Yes,
            "table" => {
                facts.table = Flag::Yes;
                facts.readable = if detail.as_deref() == Some("true") { Flag::Yes } else { Flag::No };
            }
            function => {
                let name = function.strip_prefix("function ")?;
                facts.functions.push((name.to_owned(), detail.clone().unwrap_or_default()));
            }
        }
    }
    Some(facts)
}

fn pair(row: &[Option<String>]) -> Option<PairFacts> {
    Some(PairFacts {
        acts_as: [row.first()?.clone()?, row.get(1)?.clone()?],
        reaches_other: [flag(row, 2)?, flag(row, 3)?],
        reaches_later: [flag(row, 4)?, flag(row, 5)?],
        owns: [number(row, 6)?, number(row, 7)?],
        granted: [number(row, 8)?, number(row, 9)?],
        second_is_plain: flag(row, 10)?,
        settings_missing: number(row, 11)?,
    })
}

fn flag(row: &[Option<String>], column: usize) -> Option<Flag> {
    match row.get(column)?.as_deref()? {
        "t" => Some(Flag::Yes),
        "f" => Some(Flag::No),
        _ => None,
    }
}

fn number<T: core::str::FromStr>(row: &[Option<String>], column: usize) -> Option<T> {
    row.get(column)?.as_deref()?.parse().ok()
}

/// Wraps a failed survey.
pub(super) fn asked<T>(result: Result<T, Trouble>, what: &str) -> PortResult<T> {
    result.map_err(|trouble| trouble.refused(what))
}
