//! Policy statements as OCI reads them, and whether they allow one permission on one resource.
//!
//! The grammar is that of Oracle's documentation ("Policy Syntax", "Conditions"): verbs are cumulative, conditions compare without regard to
//! case, a variable that a request does not have makes its comparison fail ("Variables that Aren't Applicable to a Request Result in a
//! Declined Request"). What permissions a verb has on a kind of resource is from "Details for the Vault Service", "Details for Object
//! Storage" and "IAM Policies for Autonomous Database", for the permissions of this emulator.

use anyhow::{Context as _, Result, bail, ensure};

use crate::{COMPARTMENT, rights::Permission};

/// Statements for one group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    statements: Vec<Statement>,
}

#[derive(Clone, Debug)]
struct Statement {
    permissions: Vec<Permission>,
    condition: Condition,
}

#[derive(Clone, Debug)]
enum Condition {
    All(Vec<Self>),
    Any(Vec<Self>),
    Is { variable: String, value: String, negated: bool },
}

/// `(kind, verb, permission)`: the least verb that grants it.
const VERBS: &[(&str, u8, Permission)] = &[
    ("secret-bundles", 0, Permission::SecretBundleInspect),
    ("secret-bundles", 1, Permission::SecretBundleRead),
    ("secrets", 0, Permission::SecretInspect),
    ("secrets", 1, Permission::SecretRead),
    ("secrets", 2, Permission::SecretUpdate),
    ("secrets", 3, Permission::SecretCreate),
    ("secrets", 3, Permission::SecretDelete),
    ("secrets", 3, Permission::SecretMove),
    ("secret-versions", 0, Permission::SecretVersionInspect),
    ("secret-versions", 1, Permission::SecretVersionRead),
    ("secret-versions", 3, Permission::SecretVersionDelete),
    ("buckets", 0, Permission::BucketInspect),
    ("buckets", 1, Permission::BucketRead),
    ("buckets", 3, Permission::ParManage),
    ("buckets", 3, Permission::RetentionRuleManage),
    ("buckets", 3, Permission::RetentionRuleLock),
    ("objects", 0, Permission::ObjectInspect),
    ("objects", 1, Permission::ObjectRead),
    ("objects", 2, Permission::ObjectOverwrite),
    ("objects", 3, Permission::ObjectCreate),
    ("objects", 3, Permission::ObjectDelete),
    ("autonomous-databases", 0, Permission::AutonomousDatabaseInspect),
    ("autonomous-databases", 1, Permission::AutonomousDatabaseContentRead),
    ("autonomous-databases", 2, Permission::AutonomousDatabaseUpdate),
    // Of topics a request says nothing ("Details for Notifications": only the general variables are supported).
    ("ons-topics", 2, Permission::OnsTopicPublish),
];

/// Kinds that no operation of this emulator asks for.
const OTHER_KINDS: [&str; 1] = ["keys"];

impl Policy {
    /// The statements for this subject (`group x`, `dynamic-group x`); those for others grant nothing.
    pub(crate) fn of(subject: &str, statements: &[String]) -> Result<Self> {
        let mut all = Vec::new();
        for text in statements {
            let statement = Reader { rest: text }.statement(subject).with_context(|| format!("statement: {text}"))?;
            all.extend(statement);
        }
        Ok(Self { statements: all })
    }

    pub(crate) fn permits(&self, permission: Permission, resource: &str) -> bool {
        let variables = variables(permission, resource);
        self.statements
            .iter()
            .any(|statement| statement.permissions.contains(&permission) && statement.condition.holds(&variables))
    }
}

/// What the services say about a request.
fn variables(permission: Permission, resource: &str) -> Vec<(&'static str, String)> {
    let mut all = vec![("request.permission", permission.name().to_owned())];
    let name = permission.name();
    if name.starts_with("SECRET_") && resource.starts_with("ocid1.vaultsecret") {
        all.push(("target.secret.id", resource.to_owned()));
    }
    if ["OBJECT_", "BUCKET_", "PAR_", "RETENTION_"].iter().any(|of| name.starts_with(of)) {
        let (bucket, object) = resource.split_once('/').map_or((resource, None), |(bucket, name)| (bucket, Some(name)));
        all.push(("target.bucket.name", bucket.to_owned()));
        all.extend(object.map(|object| ("target.object.name", object.to_owned())));
    }
    all
}

impl Condition {
    fn holds(&self, variables: &[(&'static str, String)]) -> bool {
        match self {
            Self::All(inner) => inner.iter().all(|condition| condition.holds(variables)),
            Self::Any(inner) => inner.iter().any(|condition| condition.holds(variables)),
            Self::Is { variable, value, negated } => variables
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(variable))
                .is_some_and(|(_, found)| found.eq_ignore_ascii_case(value) != *negated),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// `None`: it is for somebody else.
    fn statement(&mut self, subject: &str) -> Result<Option<Statement>> {
        ensure!(self.word()?.eq_ignore_ascii_case("allow"), "it does not begin with allow");
        let who = format!("{} {}", self.word()?, self.word()?);
        ensure!(self.word()?.eq_ignore_ascii_case("to"), "no `to`");
        let verb = self.word()?.to_lowercase();
        let level =
            ["inspect", "read", "use", "manage"].iter().position(|known| *known == verb).context("no such verb")?;
        let kind = self.word()?.to_lowercase();
        let is_known = VERBS.iter().any(|(of, ..)| *of == kind) || OTHER_KINDS.contains(&kind.as_str());
        ensure!(is_known, "the emulator knows no resources of the kind {kind}");
        let granted = VERBS.iter().filter(|(of, least, _)| *of == kind && usize::from(*least) <= level);
        let permissions = granted.map(|(.., permission)| *permission).collect();
        ensure!(self.word()?.eq_ignore_ascii_case("in"), "no `in`");
        let is_here = match self.word()?.to_lowercase().as_str() {
            "tenancy" => true,
            "compartment" => {
                ensure!(self.word()?.eq_ignore_ascii_case("id"), "compartments are named by id here");
                self.word()? == COMPARTMENT
            }
            other => bail!("no place: {other}"),
        };
        let mut condition = Condition::All(Vec::new());
        if !self.rest.trim().is_empty() {
            ensure!(self.word()?.eq_ignore_ascii_case("where"), "no `where`");
            condition = self.condition()?;
        }
        ensure!(self.rest.trim().is_empty(), "more than a statement: {}", self.rest);
        let is_meant = is_here && who.eq_ignore_ascii_case(subject);
        Ok(is_meant.then_some(Statement { permissions, condition }))
    }

    fn condition(&mut self) -> Result<Condition> {
        let first = self.word()?;
        let is_all = first.eq_ignore_ascii_case("all");
        if !is_all && !first.eq_ignore_ascii_case("any") {
            let negated = self.takes("!=");
            ensure!(negated || self.takes("="), "no comparison behind {first}");
            ensure!(self.takes("'"), "the value of {first} has no quotes");
            let (value, rest) = self.rest.split_once('\'').context("a quote is not closed")?;
            let value = value.to_owned();
            self.rest = rest;
            return Ok(Condition::Is { variable: first, value, negated });
        }
        ensure!(self.takes("{"), "no brace");
        let mut inner = vec![self.condition()?];
        while self.takes(",") {
            inner.push(self.condition()?);
        }
        ensure!(self.takes("}"), "a brace is not closed");
        Ok(if is_all { Condition::All(inner) } else { Condition::Any(inner) })
    }

    fn takes(&mut self, text: &str) -> bool {
        let found = self.rest.trim_start().strip_prefix(text);
        if let Some(rest) = found {
            self.rest = rest;
        }
        found.is_some()
    }

    fn word(&mut self) -> Result<String> {
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| c.is_whitespace() || "{}=!,'".contains(c)).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        ensure!(!word.is_empty(), "a word is missing before: {rest}");
        let word = word.to_owned();
        self.rest = rest;
        Ok(word)
    }
}
