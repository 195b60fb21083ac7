//! What `prepare` asks the server, as an administrator: is the procedure there, and what was granted to whom.

use std::collections::{BTreeMap, BTreeSet};

use dizzy_host::port::{Kind, PortError};

use super::steps::{SCHEMA, SOURCE};
use crate::{
    account::texts,
    session::{Session, Target},
    sql::{is_plain, stored},
    trouble::Trouble,
};

/// The right that a rotated user must not have, and so is not handed on either.
pub(crate) const FORBIDDEN_RIGHT: &str = "ALTER USER";
/// Rights on objects that are handed on. Others are about the database's own things, or granted in other words.
const OBJECT_RIGHTS: [&str; 11] =
    ["ALTER", "DELETE", "EXECUTE", "FLASHBACK", "INDEX", "INSERT", "READ", "REFERENCES", "SELECT", "UNDER", "UPDATE"];
/// Most grants on objects that are handed on one by one; who has more should have a role.
const OBJECT_LIMIT: usize = 500;
/// What the server told before steps are made.
pub(crate) struct Known {
    pub(super) schema: bool,
    pub(super) right: bool,
    pub(super) procedure: bool,
    pub(super) grantees: Vec<String>,
    pub(super) pair: Option<Pair>,
}

/// What the server told about a pair of users.
pub(super) struct Pair {
    /// The first user's profile; `None` if there is no such user.
    pub(super) profile: Option<String>,
    /// Whether the second user exists.
    pub(super) exists: bool,
    /// Roles and system rights that the second user is to have and has not, as they are written in a GRANT.
    pub(super) rights: Vec<String>,
    /// The same for objects: the object's full name, and what is missing on it.
    pub(super) objects: BTreeMap<String, BTreeSet<String>>,
}

/// Whether the session's user may end its window: such a procedure is visible to it only if it may run it.
pub(crate) async fn may_end_window(session: &mut Session) -> Result<bool, Trouble> {
    let sql = "SELECT OWNER FROM ALL_PROCEDURES WHERE OWNER = 'DIZZY_KEYS' AND OBJECT_NAME = 'END_ROLLOVER'";
    Ok(!texts(session, sql, None).await?.is_empty())
}

/// Asks for everything that the steps depend on.
pub(super) async fn known(session: &mut Session, users: &[&str]) -> Result<Known, Trouble> {
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
    let pair = match users {
        [first, second] => Some(pair(session, &stored(first), &stored(second)).await?),
        _ => None,
    };
    Ok(Known { schema, right, procedure: same_source(&text), grantees, pair })
}

async fn pair(session: &mut Session, first: &str, second: &str) -> Result<Pair, Trouble> {
    let profile = "SELECT PROFILE FROM DBA_USERS WHERE USERNAME = :1";
    let profile_of_first =
        texts(session, profile, Some(first.to_owned())).await?.into_iter().flatten().next().flatten();
    let exists = !texts(session, profile, Some(second.to_owned())).await?.is_empty();
    let wanted = granted(session, first).await?;
    let held = granted(session, second).await?;
    let login = "CREATE SESSION".to_owned();
    let mut rights = wanted.rights;
    rights.insert(login);
    let rights = rights.difference(&held.rights).cloned().collect();
    let mut objects = BTreeMap::<String, BTreeSet<String>>::new();
    for (object, right) in wanted.objects.difference(&held.objects).take(OBJECT_LIMIT) {
        objects.entry(object.clone()).or_default().insert(right.clone());
    }
    Ok(Pair { profile: profile_of_first, exists, rights, objects })
}

/// What was granted to a user by name.
#[derive(Default)]
struct Granted {
    rights: BTreeSet<String>,
    objects: BTreeSet<(String, String)>,
}

async fn granted(session: &mut Session, user: &str) -> Result<Granted, Trouble> {
    let roles = "SELECT GRANTED_ROLE FROM DBA_ROLE_PRIVS WHERE GRANTEE = :1";
    let rights = "SELECT PRIVILEGE FROM DBA_SYS_PRIVS WHERE GRANTEE = :1";
    let objects = "SELECT OWNER, TABLE_NAME, PRIVILEGE FROM DBA_TAB_PRIVS WHERE GRANTEE = :1";
    let mut granted = Granted::default();
    for role in texts(session, roles, Some(user.to_owned())).await?.into_iter().flatten().flatten() {
        granted.rights.insert(if is_plain(&role) { role } else { exactly(&role) });
    }
    let rights = texts(session, rights, Some(user.to_owned())).await?.into_iter().flatten().flatten();
    granted.rights.extend(rights.filter(|right| right != FORBIDDEN_RIGHT && is_words(right)));
    for row in texts(session, objects, Some(user.to_owned())).await? {
        let [Some(owner), Some(object), Some(right)] = row.as_slice() else { continue };
        // What belongs to SYS and can be read or written is a directory, which is granted in other words.
        let directory = owner == "SYS" && matches!(right.as_str(), "READ" | "WRITE");
        if owner != SCHEMA && !directory && OBJECT_RIGHTS.contains(&right.as_str()) {
            granted.objects.insert((format!("{}.{}", exactly(owner), exactly(object)), right.clone()));
        }
    }
    Ok(granted)
}

/// A name from the data dictionary, as it is.
pub(super) fn exactly(name: &str) -> String {
    format!("\"{}\"", name.replace('"', ""))
}

/// Rights come from the data dictionary, too, and go into a statement as they are.
fn is_words(right: &str) -> bool {
    right.chars().all(|c| c.is_ascii_uppercase() || c == ' ' || c == '_')
}

/// Whether the procedure is ours, word for word. The data dictionary may show its name with or without the schema.
fn same_source(text: &str) -> bool {
    let words =
        |text: &str| text.replace(&format!("\"{SCHEMA}\"."), "").split_whitespace().collect::<Vec<_>>().join(" ");
    !text.is_empty() && words(text) == words(SOURCE)
}

/// An error of a look that failed.
pub(super) fn reading(trouble: Trouble, target: &Target) -> PortError {
    let error = trouble.refused(&format!("look at {}", target.name));
    if !matches!(error.kind, Kind::NotFound | Kind::Denied) {
        return error;
    }
    PortError { kind: Kind::Denied, ..error }.with_hint(
        "use an administrator that may read the DBA views (ADMIN on an Autonomous Database), or give a DBA the output of `dizzy-keys prepare --print-sql`",
    )
}
