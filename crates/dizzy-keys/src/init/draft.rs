//! A configuration made from what secrets say: the shortest that works, because host, port and database name are read from the
//! secret at every run. What nobody but a person can know is a comment, and a step of what to do next.

use std::fmt::Write as _;

use dizzy_host::{
    config::{self, Engine},
    document::Description,
    reference::Reference,
};

use super::existing::Existing;
use crate::{
    args::{DraftStrategy, Init},
    code::Code,
    report::{NOTHING_DONE, Report},
};

/// Names of sets are no longer (docs: `config`).
const MAX_SET_NAME: usize = 32;
/// Random characters that AWS puts behind a secret's name in its ARN, with their hyphen.
const ARN_SUFFIX: usize = 7;
/// The name of the set if no secret suggests one.
const SET: &str = "main";

/// A set, about to be written.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) set: String,
    databases: Vec<Database>,
    secrets: Vec<(Reference, Option<String>)>,
    strategy: DraftStrategy,
    admin: Option<String>,
    tls_ca: Option<String>,
}

#[derive(Debug)]
struct Database {
    name: String,
    engine: Engine,
    said: Description,
}

impl Draft {
    /// Puts together what the secrets say.
    ///
    /// # Errors
    /// If they contradict each other, or name an engine that cannot be rotated.
    pub(super) fn of(existing: Vec<Existing>, args: &Init) -> Result<Self, Report> {
        let set = match &args.set {
            Some(name) => name.clone(),
            None => set_name(&existing),
        };
        let mut draft = Self {
            set,
            databases: Vec::new(),
            secrets: Vec::new(),
            strategy: args.strategy,
            admin: args.admin.clone(),
            tls_ca: args.tls_ca.clone(),
        };
        // Objects of a blob have names; flat secrets take these over.
        let (blobs, flat): (Vec<_>, Vec<_>) =
            existing.iter().partition(|one| one.databases.iter().any(|database| database.name.is_some()));
        for one in blobs.iter().chain(&flat) {
            for said in &one.databases {
                draft.add(&one.secret, said)?;
            }
        }
        for one in &blobs {
            let lacks =
                |database: &&Database| !one.databases.iter().any(|said| said.name.as_ref() == Some(&database.name));
            if let Some(database) = draft.databases.iter().find(lacks) {
                let what = format!(
                    "{} has an object for each database, but none for `{}`, which another secret publishes",
                    one.secret, database.name
                );
                return Err(contradiction(what, "give secrets that publish the same databases, or make a set of each"));
            }
        }
        for one in existing {
            let flat_name = one.databases.iter().find(|said| said.name.is_none()).and_then(|said| draft.name_of(said));
            let several = draft.databases.len() > 1;
            draft.secrets.push((one.secret, flat_name.filter(|_| several)));
        }
        Ok(draft)
    }

    fn add(&mut self, secret: &Reference, said: &Description) -> Result<(), Report> {
        let engine = engine(secret, said)?;
        if engine == Engine::Postgres && self.strategy == DraftStrategy::Rollover {
            return Err(Report::new(
                Code::Usage,
                format!("{secret} publishes a PostgreSQL database, which has no rollover"),
                NOTHING_DONE,
            )
            .hint("use --strategy alternating (two users) or single"));
        }
        let known = self.databases.iter().find(|database| match &said.name {
            Some(name) => database.name == *name,
            None => same_place(&database.said, said),
        });
        match known {
            Some(known) if known.said.username != said.username => {
                let what =
                    format!("{secret} publishes another user of the database `{}` than a secret before it", known.name);
                Err(contradiction(
                    what,
                    "all secrets of a set publish the same user; mend CURRENT, or make a set of each",
                ))
            }
            Some(_) => Ok(()),
            None => {
                let name = said.name.clone().unwrap_or_else(|| self.free_name(engine, said));
                self.databases.push(Database { name, engine, said: said.clone() });
                Ok(())
            }
        }
    }

    fn name_of(&self, said: &Description) -> Option<String> {
        self.databases.iter().find(|database| same_place(&database.said, said)).map(|database| database.name.clone())
    }

    fn free_name(&self, engine: Engine, said: &Description) -> String {
        let host = said.host.as_deref().unwrap_or_default();
        let stem = match engine {
            Engine::Postgres if host.contains(".rds.") => "rds",
            Engine::Postgres => "postgres",
            Engine::Oracle if said.service.is_some() || host.contains("oraclecloud") => "adb",
            Engine::Oracle => "oracle",
        };
        let taken = |name: &str| self.databases.iter().any(|database| database.name == name);
        let numbered = (2_u32..).map(|number| format!("{stem}{number}"));
        std::iter::once(stem.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
    }

    /// The text of the file, which has been read as a configuration before it is given away.
    ///
    /// # Errors
    /// If it is none: a name of a set or user that a configuration may not have.
    pub(super) fn text(&self, file: &str) -> Result<String, Report> {
        let text = self.toml();
        config::parse(file, &text)?;
        Ok(text)
    }

    fn toml(&self) -> String {
        let mut lines = Vec::new();
        for Database { name, engine, said } in &self.databases {
            let published = &said.username;
            let (users, comment) = match self.strategy {
                DraftStrategy::Alternating => {
                    let second = partner(published);
                    let users = format!("{}, {}", quoted(published), quoted(&second));
                    (users, format!("the first is published today; `prepare` makes {second} if it does not exist"))
                }
                DraftStrategy::Rollover | DraftStrategy::Single => (quoted(published), "published today".to_owned()),
            };
            let word = match engine {
                Engine::Oracle => "oracle",
                Engine::Postgres => "postgres",
            };
            lines.push(format!("[sets.{}.databases.{}]", key(&self.set), key(name)));
            lines.push(format!("engine = \"{word}\""));
            lines.push(format!("users = [{users}]  # {}", comment.replace(char::is_control, " ")));
            match self.strategy {
                DraftStrategy::Alternating => {}
                DraftStrategy::Rollover => lines.push("strategy = \"rollover\"".to_owned()),
                DraftStrategy::Single => {
                    lines.push("strategy = \"single\"  # a short lockout at each rotation".to_owned());
                }
            }
            lines.extend(place_hint(*engine, said).map(|hint| format!("# {hint}")));
            lines.extend(self.tls_ca.as_ref().map(|roots| format!("tls_ca = {}", quoted(roots))));
            lines.push(match self.admin_of(said) {
                Some(admin) => format!("admin = {}  # read by `prepare` only", quoted(&admin)),
                None => {
                    "# admin = \"aws-sm:NAME\"  # an administrator's login, for `prepare`; or `prepare --print-sql`"
                        .to_owned()
                }
            });
            lines.push(String::new());
        }
        for (secret, database) in &self.secrets {
            lines.push(format!("[[sets.{}.secrets]]", key(&self.set)));
            lines.push(format!("store = {}", quoted(&secret.to_string())));
            lines.extend(database.as_ref().map(|database| format!("database = {}", quoted(database))));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// Where an administrator's login is: as asked for, or as AWS's rotation functions find it.
    fn admin_of(&self, said: &Description) -> Option<String> {
        let known =
            said.administrator.as_deref().filter(|arn| arn.starts_with("arn:")).map(|arn| format!("aws-sm:{arn}"));
        self.admin.clone().or(known)
    }

    /// What the secrets publish, for a person.
    pub(super) fn found(&self) -> Vec<String> {
        let lines = self.databases.iter().map(|Database { name, engine, said }| {
            let engine = match engine {
                Engine::Oracle => "Oracle",
                Engine::Postgres => "PostgreSQL",
            };
            let place = [said.host.as_deref(), said.dbname.as_deref(), said.service.as_deref()];
            let place: Vec<&str> = place.into_iter().flatten().collect();
            let place = if place.is_empty() { String::new() } else { format!(" on {}", place.join(", ")) };
            let text = format!("{name}: {engine}{place}, published user {}", said.username);
            text.replace(char::is_control, " ")
        });
        lines.collect()
    }

    /// What a person has to add before `check` can be content.
    pub(super) fn open_ends(&self) -> Vec<String> {
        let mut open = Vec::new();
        for Database { name, engine, said } in &self.databases {
            if let Some(hint) = place_hint(*engine, said) {
                open.push(format!("say where the database `{name}` is: {hint}"));
            }
            if self.admin_of(said).is_none() {
                open.push(format!(
                    "name an administrator's login for `{name}` (`admin`), or have the statements of `prepare --print-sql` run"
                ));
            }
        }
        open
    }
}

fn contradiction(what: String, hint: &str) -> Report {
    Report::new(Code::ConfigValue, what, NOTHING_DONE).hint(hint)
}

/// The engine that a secret names; without a name, what only one engine has.
fn engine(secret: &Reference, said: &Description) -> Result<Engine, Report> {
    let word = said.engine.as_deref().map(str::to_ascii_lowercase);
    match word.as_deref() {
        // AWS writes `postgres`; people write the others.
        Some("postgres" | "postgresql" | "aurora-postgresql") => Ok(Engine::Postgres),
        Some("oracle") => Ok(Engine::Oracle),
        // AWS's names of RDS editions: oracle-ee, oracle-se2, and -cdb of each.
        Some(word) if word.starts_with("oracle-") => Ok(Engine::Oracle),
        Some(_) => {
            let what = format!("{secret} names an engine that cannot be rotated");
            Err(Report::new(Code::ConfigUnsupported, what, NOTHING_DONE)
                .hint("PostgreSQL (`postgres`) and Oracle (`oracle`) can; mend the field `engine` of CURRENT if it is one of them"))
        }
        None => match (&said.service, said.port, &said.dbname) {
            (Some(_), _, _) | (None, Some(1521 | 1522 | 2484), _) => Ok(Engine::Oracle),
            (None, Some(5432), _) | (None, None, Some(_)) => Ok(Engine::Postgres),
            (None, _, _) => {
                let what = format!("{secret} does not say which engine its database has");
                Err(Report::new(Code::ConfigValue, what, NOTHING_DONE)
                    .hint("add \"engine\": \"postgres\" or \"oracle\" to CURRENT, or write the configuration by hand (`dizzy-keys init`)"))
            }
        },
    }
}

fn same_place(a: &Description, b: &Description) -> bool {
    (&a.host, a.port, &a.dbname, &a.service) == (&b.host, b.port, &b.dbname, &b.service)
}

/// What the configuration must say about the place of a database because the secret does not.
fn place_hint(engine: Engine, said: &Description) -> Option<&'static str> {
    match (engine, &said.service, &said.host) {
        (Engine::Oracle, Some(_), _) => {
            Some("wallet = \"file:PATH\" (archive or folder), or oci://NAMESPACE/BUCKET/OBJECT, or oci-adb:OCID")
        }
        (Engine::Oracle, None, Some(_)) => Some("service_name = \"NAME\" beside the secret's host and port"),
        (Engine::Oracle, None, None) => {
            Some("service = \"ALIAS\" and wallet = \"file:PATH\"; or host, port and service_name")
        }
        (Engine::Postgres, _, None) => Some("host = \"HOST\", because the secret has none"),
        (Engine::Postgres, _, Some(_)) => None,
    }
}

/// The user that takes turns with this one: the other one of a pair that is called so, or one with an ending.
fn partner(user: &str) -> String {
    // AWS's rotation functions call the second user so.
    if let Some(first) = user.strip_suffix("_clone") {
        return first.to_owned();
    }
    let pairs = [("_a", "_b"), ("_A", "_B"), ("_1", "_2"), ("_blue", "_green"), ("_BLUE", "_GREEN")];
    for (one, other) in pairs {
        for (from, to) in [(one, other), (other, one)] {
            if let Some(stem) = user.strip_suffix(from) {
                return format!("{stem}{to}");
            }
        }
    }
    let upper = user.chars().any(char::is_uppercase) && !user.chars().any(char::is_lowercase);
    format!("{user}{}", if upper { "_B" } else { "_b" })
}

/// A name out of a secret's: the last part of its path, in the letters that a set's name may have.
fn set_name(existing: &[Existing]) -> String {
    let of_secret = existing.iter().find_map(|one| match &one.secret {
        Reference::AwsSm { id, .. } => Some(match id.split_once(":secret:") {
            Some((_, name)) => name.get(..name.len().saturating_sub(ARN_SUFFIX)).unwrap_or(name),
            None => id.as_str(),
        }),
        Reference::AwsSsm { .. } | Reference::Env { .. } | Reference::File { .. } | Reference::OciVault { .. } => None,
    });
    let of_database = || existing.iter().flat_map(|one| &one.databases).find_map(|said| said.dbname.as_deref());
    let name = of_secret.or_else(of_database).unwrap_or(SET);
    let last = name.rsplit('/').find(|part| !part.is_empty()).unwrap_or(SET);
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c.to_ascii_lowercase() } else { '-' };
    let fitting: String = last.chars().map(fits).collect();
    let fitting: String = fitting.trim_start_matches(['-', '_']).chars().take(MAX_SET_NAME).collect();
    if fitting.is_empty() { SET.to_owned() } else { fitting }
}

/// A text in TOML's quotes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => drop(write!(quoted, "\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A part of a table's name.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if bare { name.to_owned() } else { quoted(name) }
}

#[cfg(test)]
mod tests;
