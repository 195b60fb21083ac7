//! The views that can be asked: what they are called, who may see them, and how they are filled.

use std::time::Duration;

use crate::{
    accounts::user::User,
    refusal::Refusal,
    sql::{select::Tables, table::Table},
    time::{DAY, Moment},
    wire::values::{
        ColumnType::{Date, Number, Text},
        Value,
    },
    world::World,
};

/// The dictionary as a session sees it.
#[derive(Debug)]
pub(crate) struct Dictionary<'a> {
    pub(crate) world: &'a World,
    pub(crate) connection: u64,
    pub(crate) user: &'a str,
    pub(crate) now: Moment,
}

/// Views of an administrator begin like this; others get ORA-00942.
const PRIVILEGED: [&str; 3] = ["DBA_", "V$", "GV$"];

impl Tables for Dictionary<'_> {
    fn table(&self, owner: Option<&str>, name: &str) -> Result<Table, Refusal> {
        let absent = || Refusal::ora(942);
        if !matches!(owner, None | Some("SYS" | "PUBLIC")) {
            return Err(absent());
        }
        if PRIVILEGED.iter().any(|prefix| name.starts_with(prefix)) && !self.sees_privileged(name) {
            return Err(absent());
        }
        let (scope, base) = match name.split_once('_') {
            Some((scope @ ("ALL" | "DBA" | "USER"), base)) => (scope, base),
            _ => ("", name),
        };
        Ok(match (scope, base) {
            ("", "DUAL") => Table::new(vec![("DUMMY", Text)], vec![vec![words("X")]]),
            ("USER" | "DBA" | "ALL", "USERS") => self.users(scope),
            ("USER", "PASSWORD_LIMITS") => self.password_limits(),
            ("DBA", "PROFILES") => self.profiles(),
            ("", "SESSION_PRIVS") => list("PRIVILEGE", self.world.accounts.privileges(self.user)),
            ("", "SESSION_ROLES") => list("ROLE", self.me().map(|me| me.roles.clone()).unwrap_or_default()),
            ("USER" | "DBA", "SYS_PRIVS") => self.privileges(scope),
            ("USER" | "DBA", "ROLE_PRIVS") => self.roles(scope),
            ("USER" | "ALL" | "DBA", "TAB_PRIVS") => self.object_privileges(scope),
            ("USER" | "ALL" | "DBA", "PROCEDURES") => self.procedures(scope),
            ("USER" | "ALL" | "DBA", "OBJECTS") => self.objects(scope),
            ("USER" | "ALL" | "DBA", "SOURCE") => self.source(scope),
            ("", "V$SESSION" | "GV$SESSION") => self.sessions(),
            ("", "V$VERSION" | "PRODUCT_COMPONENT_VERSION") => self.version(),
            ("", "V$INSTANCE") => Table::new(
                vec![("INSTANCE_NAME", Text), ("HOST_NAME", Text), ("VERSION", Text), ("STATUS", Text)],
                vec![vec![words("sandbox1"), words("sandbox"), words(&self.full_version()), words("OPEN")]],
            ),
            ("", "V$DATABASE") => Table::new(
                vec![("NAME", Text), ("DB_UNIQUE_NAME", Text), ("OPEN_MODE", Text), ("DATABASE_ROLE", Text)],
                vec![vec![words("SANDBOX"), words("sandbox"), words("READ WRITE"), words("PRIMARY")]],
            ),
            _ => return Err(absent()),
        })
    }
}

impl Dictionary<'_> {
    /// By SELECT ANY DICTIONARY, or by a grant on the view; grants on `V$` views name their `V_$` originals.
    fn sees_privileged(&self, name: &str) -> bool {
        let accounts = &self.world.accounts;
        let original = name.replacen("V$", "V_$", 1);
        accounts.holds(self.user, "SELECT ANY DICTIONARY")
            || ["SELECT", "READ"].into_iter().any(|privilege| {
                accounts.may_use(self.user, privilege, "SYS", name)
                    || accounts.may_use(self.user, privilege, "SYS", &original)
            })
    }

    fn me(&self) -> Option<&User> {
        self.world.accounts.users.get(self.user)
    }

    /// USER_USERS shows oneself, ALL_USERS everybody's name; the columns are those of DBA_USERS throughout.
    fn users(&self, scope: &str) -> Table {
        let row = |user: &User| {
            let profile = self.world.accounts.profiles.get(&user.profile);
            let expiry = profile.and_then(|profile| user.expiry(profile));
            vec![
                words(&user.name),
                whole(user.id),
                words(&user.status(self.now)),
                date(user.locked_at()),
                date(expiry),
                words("DATA"),
                words("TEMP"),
                date(Some(user.created)),
                words(&user.profile),
                date(user.last_login),
                words(if user.schema_only { "NONE" } else { "PASSWORD" }),
                date(Some(user.current.set)),
                words("NO"),
            ]
        };
        let columns = vec![
            ("USERNAME", Text),
            ("USER_ID", Number),
            ("ACCOUNT_STATUS", Text),
            ("LOCK_DATE", Date),
            ("EXPIRY_DATE", Date),
            ("DEFAULT_TABLESPACE", Text),
            ("TEMPORARY_TABLESPACE", Text),
            ("CREATED", Date),
            ("PROFILE", Text),
            ("LAST_LOGIN", Date),
            ("AUTHENTICATION_TYPE", Text),
            ("PASSWORD_CHANGE_DATE", Date),
            ("COMMON", Text),
        ];
        let users = self.world.accounts.users.values();
        Table::new(columns, users.filter(|user| scope != "USER" || user.name == self.user).map(row).collect())
    }

    fn password_limits(&self) -> Table {
        let profile = self.me().and_then(|me| self.world.accounts.profiles.get(&me.profile));
        let limits = profile.map(|profile| profile.limits()).unwrap_or_default();
        let rows = limits.into_iter().map(|(name, limit)| vec![words(name), words(&limit)]).collect();
        Table::new(vec![("RESOURCE_NAME", Text), ("LIMIT", Text)], rows)
    }

    fn profiles(&self) -> Table {
        let rows = self.world.accounts.profiles.iter().flat_map(|(name, profile)| {
            profile
                .limits()
                .into_iter()
                .map(|(limit, value)| vec![words(name), words(limit), words("PASSWORD"), words(&value), words("NO")])
        });
        let columns = vec![
            ("PROFILE", Text),
            ("RESOURCE_NAME", Text),
            ("RESOURCE_TYPE", Text),
            ("LIMIT", Text),
            ("COMMON", Text),
        ];
        Table::new(columns, rows.collect())
    }

    fn privileges(&self, scope: &str) -> Table {
        let users = self
            .world
            .accounts
            .users
            .values()
            .flat_map(|user| user.privileges.iter().map(|privilege| (user.name.as_str(), privilege.as_str())));
        let roles = self
            .world
            .accounts
            .roles
            .iter()
            .flat_map(|(role, privileges)| privileges.iter().map(|privilege| (role.as_str(), privilege.as_str())));
        let visible = users.chain(roles).filter(|(grantee, _)| scope == "DBA" || *grantee == self.user);
        let rows = visible.map(|(grantee, privilege)| vec![words(grantee), words(privilege), words("NO")]).collect();
        let grantee = if scope == "DBA" { "GRANTEE" } else { "USERNAME" };
        Table::new(vec![(grantee, Text), ("PRIVILEGE", Text), ("ADMIN_OPTION", Text)], rows)
    }

    fn roles(&self, scope: &str) -> Table {
        let rows = self.world.accounts.users.values().filter(|user| scope == "DBA" || user.name == self.user).flat_map(
            |user| user.roles.iter().map(|role| vec![words(&user.name), words(role), words("NO"), words("YES")]),
        );
        let grantee = if scope == "DBA" { "GRANTEE" } else { "USERNAME" };
        let columns = vec![(grantee, Text), ("GRANTED_ROLE", Text), ("ADMIN_OPTION", Text), ("DEFAULT_ROLE", Text)];
        Table::new(columns, rows.collect())
    }

    fn object_privileges(&self, scope: &str) -> Table {
        let mine = |name: &str| name == self.user || name == "PUBLIC";
        let rows = self
            .world
            .accounts
            .object_grants
            .iter()
            .filter(|grant| scope == "DBA" || mine(&grant.grantee) || mine(&grant.owner) || mine(&grant.grantor));
        let rows = rows.map(|grant| {
            let parts = [&grant.grantee, &grant.owner, &grant.object, &grant.grantor, &grant.privilege];
            let owner_again = std::iter::once(words(&grant.owner));
            parts.into_iter().map(|part| words(part)).chain(owner_again).collect()
        });
        let columns = vec![
            ("GRANTEE", Text),
            ("OWNER", Text),
            ("TABLE_NAME", Text),
            ("GRANTOR", Text),
            ("PRIVILEGE", Text),
            ("TABLE_SCHEMA", Text),
        ];
        Table::new(columns, rows.collect())
    }

    /// The procedures that a session may know of.
    fn visible_procedures(&self, scope: &str) -> impl Iterator<Item = &crate::accounts::Procedure> {
        let accounts = &self.world.accounts;
        accounts.procedures.values().filter(move |procedure| match scope {
            "DBA" => true,
            "USER" => procedure.owner == self.user,
            _ => {
                accounts.may_use(self.user, "EXECUTE", &procedure.owner, &procedure.name)
                    || accounts.holds(self.user, "EXECUTE ANY PROCEDURE")
            }
        })
    }

    fn procedures(&self, scope: &str) -> Table {
        let rows = self.visible_procedures(scope).map(|procedure| {
            let rights = if procedure.of_invoker() { "CURRENT_USER" } else { "DEFINER" };
            let null = Value::Null;
            vec![words(&procedure.owner), words(&procedure.name), null, words("PROCEDURE"), words(rights)]
        });
        let columns = vec![
            ("OWNER", Text),
            ("OBJECT_NAME", Text),
            ("PROCEDURE_NAME", Text),
            ("OBJECT_TYPE", Text),
            ("AUTHID", Text),
        ];
        Table::new(columns, rows.collect())
    }

    fn objects(&self, scope: &str) -> Table {
        let rows = self.visible_procedures(scope).map(|procedure| {
            let created = date(Some(procedure.created));
            vec![words(&procedure.owner), words(&procedure.name), words("PROCEDURE"), words("VALID"), created]
        });
        let columns =
            vec![("OWNER", Text), ("OBJECT_NAME", Text), ("OBJECT_TYPE", Text), ("STATUS", Text), ("CREATED", Date)];
        Table::new(columns, rows.collect())
    }

    fn source(&self, scope: &str) -> Table {
        let rows = self.visible_procedures(scope).flat_map(|procedure| {
            procedure.text.split_inclusive('\n').zip(1_u64..).map(|(line, number)| {
                vec![words(&procedure.owner), words(&procedure.name), words("PROCEDURE"), whole(number), words(line)]
            })
        });
        let columns = vec![("OWNER", Text), ("NAME", Text), ("TYPE", Text), ("LINE", Number), ("TEXT", Text)];
        Table::new(columns, rows.collect())
    }

    fn sessions(&self) -> Table {
        let rows = self.world.sessions.iter().map(|(connection, session)| {
            let status = match (session.killed, *connection == self.connection) {
                (true, _) => "KILLED",
                (false, true) => "ACTIVE",
                (false, false) => "INACTIVE",
            };
            vec![
                whole(1),
                whole(session.id),
                whole(session.serial),
                words(&session.user),
                words(&session.schema),
                words(status),
                words("USER"),
                words(&session.os_user),
                words(&session.machine),
                words(&session.terminal),
                words(&session.program),
                words(&session.process),
                words(&session.module),
                words(&session.action),
                words(&session.info),
                words(&session.identifier),
                words(&session.service),
                date(Some(session.since)),
            ]
        });
        let columns = vec![
            ("INST_ID", Number),
            ("SID", Number),
            ("SERIAL#", Number),
            ("USERNAME", Text),
            ("SCHEMANAME", Text),
            ("STATUS", Text),
            ("TYPE", Text),
            ("OSUSER", Text),
            ("MACHINE", Text),
            ("TERMINAL", Text),
            ("PROGRAM", Text),
            ("PROCESS", Text),
            ("MODULE", Text),
            ("ACTION", Text),
            ("CLIENT_INFO", Text),
            ("CLIENT_IDENTIFIER", Text),
            ("SERVICE_NAME", Text),
            ("LOGON_TIME", Date),
        ];
        Table::new(columns, rows.collect())
    }

    fn version(&self) -> Table {
        let full = self.full_version();
        let banner = format!("Emulated Database {full}");
        let columns =
            vec![("BANNER", Text), ("BANNER_FULL", Text), ("PRODUCT", Text), ("VERSION", Text), ("VERSION_FULL", Text)];
        Table::new(
            columns,
            vec![vec![words(&banner), words(&banner), words("Emulated Database"), words(&full), words(&full)]],
        )
    }

    fn full_version(&self) -> String {
        let (major, update) = self.world.mode.release();
        format!("{major}.{update}.0.0.0")
    }

    /// `SYS_CONTEXT`; unknown keys of USERENV are an error, unknown namespaces are NULL.
    pub(crate) fn context(&self, namespace: &str, key: &str) -> Value {
        let Some(session) = self.world.sessions.get(&self.connection).filter(|_| namespace == "USERENV") else {
            return Value::Null;
        };
        let text = |text: &str| if text.is_empty() { Value::Null } else { words(text) };
        match key {
            "SESSION_USER" | "CURRENT_USER" | "AUTHENTICATED_IDENTITY" => text(&session.user),
            "CURRENT_SCHEMA" => text(&session.schema),
            "SID" => text(&session.id.to_string()),
            "SESSIONID" => text(&session.serial.to_string()),
            "SERVICE_NAME" => text(&session.service),
            "NETWORK_PROTOCOL" => text(session.protocol),
            "AUTHENTICATION_METHOD" => text("PASSWORD"),
            "HOST" => text(&session.machine),
            "OS_USER" => text(&session.os_user),
            "TERMINAL" => text(&session.terminal),
            "MODULE" => text(&session.module),
            "ACTION" => text(&session.action),
            "CLIENT_INFO" => text(&session.info),
            "CLIENT_IDENTIFIER" => text(&session.identifier),
            "CLIENT_PROGRAM_NAME" => text(&session.program),
            "IP_ADDRESS" => text("127.0.0.1"),
            "DB_NAME" | "DB_UNIQUE_NAME" | "CON_NAME" => text("SANDBOX"),
            "INSTANCE_NAME" => text("sandbox1"),
            "INSTANCE" => text("1"),
            "SERVER_HOST" => text("sandbox"),
            "DATABASE_ROLE" => text("PRIMARY"),
            "LANGUAGE" => text("AMERICAN_AMERICA.AL32UTF8"),
            "ISDBA" => text("FALSE"),
            "CLOUD_SERVICE" if self.world.cloud => text("OLTP"),
            _ => Value::Null,
        }
    }
}

fn list(column: &'static str, names: impl IntoIterator<Item = String>) -> Table {
    Table::new(vec![(column, Text)], names.into_iter().map(|name| vec![words(&name)]).collect())
}

fn words(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn whole(number: u64) -> Value {
    Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

/// DATE has whole seconds.
fn date(at: Option<Moment>) -> Value {
    const SECOND_MS: i64 = 1_000;
    const FAR: Duration = DAY.saturating_mul(365_000);
    at.filter(|at| at.since(Moment(0)) < FAR)
        .map_or(Value::Null, |at| Value::Date(Moment(at.0.div_euclid(SECOND_MS) * SECOND_MS)))
}
