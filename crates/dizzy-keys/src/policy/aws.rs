//! The rights in AWS as an identity policy of IAM.
//!
//! What the configuration does not know stands as `*` and is told: region and account unless they are given. Keys of KMS are named by the
//! caller, because no configuration names them; their statements hold through the service that uses the key, and for nothing else.

use std::collections::{BTreeMap, BTreeSet};

use dizzy_aws::rights::{KEY_RIGHTS, On, Only, RIGHTS, Usage};
use dizzy_host::{config::Place, reference::Reference};
use serde::Serialize;

use super::{Line, Purpose, Thing, Use};
use crate::args::{KmsKey, Role};

/// Longest inline policy of a role, without white space (IAM user guide, "IAM and AWS STS quotas"). A managed policy takes 6,144.
const MOST_CHARACTERS: usize = 10_240;

/// What taking on a role needs (service authorization reference, AWS STS).
const ASSUME: &str = "sts:AssumeRole";

/// What the configuration does not know.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) partition: String,
    pub(crate) region: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) keys: Vec<KmsKey>,
    /// The role that is assumed.
    pub(crate) role: Option<String>,
}

/// The policy, and what is to be said of it.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) document: Document,
    pub(crate) lines: Vec<Line>,
    pub(crate) notes: Vec<String>,
}

/// A policy as IAM takes it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Document {
    version: &'static str,
    pub(crate) statement: Vec<Statement>,
}

/// Operator, key, values.
pub(crate) type Conditions = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// A statement.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Statement {
    sid: String,
    effect: &'static str,
    pub(crate) action: BTreeSet<String>,
    pub(crate) resource: BTreeSet<String>,
    #[serde(skip_serializing_if = "Conditions::is_empty")]
    pub(crate) condition: Conditions,
}

/// Makes the policy.
pub(crate) fn policy(uses: &[Use], role: Role, scope: &Scope) -> Policy {
    let mut made = Maker { scope, statements: Vec::new(), lines: Vec::new(), granted: BTreeSet::new() };
    let uses: Vec<(&Use, Usage)> = uses.iter().filter_map(|one| usage(one, role).map(|usage| (one, usage))).collect();
    for right in RIGHTS {
        for (one, _) in uses.iter().filter(|(_, usage)| *usage == right.usage) {
            let sid = sid(right.usage, right.on, right.only);
            let resource = scope.resource(&one.thing, right.on);
            made.grant(&sid, (right.action, resource), &condition(right.only));
            made.line(right.action, &one.thing, right, &one.key);
        }
    }
    made.keys(&uses);
    made.assumed(!uses.is_empty());
    let document = Document { version: "2012-10-17", statement: made.statements };
    let mut notes = scope.notes(&document, &uses);
    let length = serde_json::to_string(&document).unwrap_or_default().len();
    if length > MOST_CHARACTERS {
        notes.push(format!(
            "{length} characters are more than a role's inline policy holds ({MOST_CHARACTERS}): name sets, and give each worker its own"
        ));
    }
    Policy { document, lines: made.lines, notes }
}

/// The use in AWS's words; `None` if it is elsewhere.
fn usage(one: &Use, role: Role) -> Option<Usage> {
    let reads_only = role == Role::Auditor;
    match (&one.thing, one.purpose) {
        (Thing::Secret(Reference::AwsSm { .. }), Purpose::Publish) => Some(Usage::Published),
        (Thing::Secret(Reference::AwsSm { .. }), _) => Some(Usage::Referenced),
        (Thing::Secret(Reference::AwsSsm { .. }), _) => Some(Usage::Parameter),
        (Thing::Object(Place::S3 { .. }), _) => Some(Usage::Object),
        (Thing::Place(Place::S3 { .. }), Purpose::Registers) if reads_only => Some(Usage::RegistersRead),
        (Thing::Place(Place::S3 { .. }), Purpose::Registers) => Some(Usage::Registers),
        (Thing::Place(Place::S3 { .. }), _) if reads_only => Some(Usage::TrailRead),
        (Thing::Place(Place::S3 { .. }), _) => Some(Usage::Trail),
        (Thing::Topic(id), _) if id.starts_with("arn:") => Some(Usage::Topic),
        (Thing::Secret(_) | Thing::Object(_) | Thing::Place(_) | Thing::Database(_) | Thing::Topic(_), _) => None,
    }
}

fn sid(usage: Usage, on: On, only: Only) -> String {
    let usage = match usage {
        Usage::Published => "PublishedSecrets",
        Usage::Referenced => "ReferencedSecrets",
        Usage::Parameter => "Parameters",
        Usage::Registers | Usage::RegistersRead => "Registers",
        Usage::Trail | Usage::TrailRead => "Trail",
        Usage::Object => "Configuration",
        Usage::Topic => "Topics",
    };
    let part = match (on, only) {
        (On::Bucket, _) => "Bucket",
        (On::Itself, Only::Always) => "",
        (On::Itself, Only::Creating) => "Created",
        (On::Itself, Only::Replacing) => "Replaced",
    };
    format!("{usage}{part}")
}

fn condition(only: Only) -> Conditions {
    let key = match only {
        Only::Always => return Conditions::new(),
        Only::Creating => "s3:if-none-match",
        Only::Replacing => "s3:if-match",
    };
    conditions("Null", key, vec!["false".to_owned()])
}

fn conditions(test: &str, key: &str, values: Vec<String>) -> Conditions {
    BTreeMap::from([(test.to_owned(), BTreeMap::from([(key.to_owned(), values)]))])
}

struct Maker<'a> {
    scope: &'a Scope,
    statements: Vec<Statement>,
    lines: Vec<Line>,
    /// What is granted already, with its condition: nothing is granted twice.
    granted: BTreeSet<(String, String, String)>,
}

impl Maker<'_> {
    /// Adds a right to the statement of this name. Each right of a statement is for each of its resources.
    fn grant(&mut self, sid: &str, (action, resource): (&str, String), condition: &Conditions) {
        let once = (action.to_owned(), resource.clone(), format!("{condition:?}"));
        if !self.granted.insert(once) {
            return;
        }
        match self.statements.iter_mut().find(|statement| statement.sid == sid) {
            Some(statement) => {
                statement.action.insert(action.to_owned());
                statement.resource.insert(resource);
            }
            None => self.statements.push(Statement {
                sid: sid.to_owned(),
                effect: "Allow",
                action: BTreeSet::from([action.to_owned()]),
                resource: BTreeSet::from([resource]),
                condition: condition.clone(),
            }),
        }
    }

    fn line(&mut self, action: &str, thing: &Thing, right: &dizzy_aws::rights::Right, key: &str) {
        let only = match right.only {
            Only::Always => "",
            Only::Creating => " (new objects)",
            Only::Replacing => " (as it was read)",
        };
        self.lines.push(Line {
            right: format!("{action}{only}"),
            on: self.scope.resource(thing, right.on),
            call: right.call.to_owned(),
            key: key.to_owned(),
            why: right.why.to_owned(),
            tested: true,
        });
    }

    /// The one right that who assumes a role needs, and not the role.
    fn assumed(&mut self, is_used: bool) {
        let Some(role) = self.scope.role.clone().filter(|_| is_used) else { return };
        self.grant("AssumedRole", (ASSUME, role.clone()), &Conditions::new());
        self.lines.push(Line {
            right: ASSUME.to_owned(),
            on: role,
            call: "AssumeRole".to_owned(),
            key: "aws.role_arn".to_owned(),
            why: "the role is taken on".to_owned(),
            tested: true,
        });
    }

    /// What the keys add that were named.
    fn keys(&mut self, uses: &[(&Use, Usage)]) {
        for key in &self.scope.keys {
            for right in
                KEY_RIGHTS.iter().filter(|right| key.service.is_none_or(|service| service.name() == right.service))
            {
                let used: Vec<&Use> =
                    uses.iter().filter(|(_, usage)| *usage == right.usage).map(|(one, _)| *one).collect();
                let Some(first) = used.first() else { continue };
                let mut condition = self.scope.via(right.service);
                let sid = match right.service {
                    "secretsmanager" if right.usage == Usage::Published => "KeysOfPublishedSecrets",
                    "secretsmanager" => "KeysOfReferencedSecrets",
                    "ssm" => "KeysOfParameters",
                    _ => "KeysOfBuckets",
                };
                if right.service == "secretsmanager" {
                    let arns: BTreeSet<String> =
                        used.iter().map(|one| self.scope.resource(&one.thing, On::Itself)).collect();
                    let test =
                        if arns.iter().any(|arn| arn.contains(['*', '?'])) { "StringLike" } else { "StringEquals" };
                    let of_secret = condition.entry(test.to_owned()).or_default();
                    of_secret.insert("kms:EncryptionContext:SecretARN".to_owned(), arns.into_iter().collect());
                }
                self.grant(sid, (right.action, key.arn.clone()), &condition);
                let line = Line {
                    right: right.action.to_owned(),
                    on: key.arn.clone(),
                    call: format!("({} on the caller's behalf)", right.service),
                    key: first.key.clone(),
                    why: right.why.to_owned(),
                    tested: false,
                };
                let known = |other: &Line| other.right == line.right && other.on == line.on && other.call == line.call;
                if !self.lines.iter().any(known) {
                    self.lines.push(line);
                }
            }
        }
    }
}

impl Scope {
    fn region(&self) -> &str {
        self.region.as_deref().unwrap_or("*")
    }

    fn account(&self) -> &str {
        self.account.as_deref().unwrap_or("*")
    }

    /// The ARN. Things elsewhere have none.
    fn resource(&self, thing: &Thing, on: On) -> String {
        let Self { partition, .. } = self;
        let (region, account) = (self.region(), self.account());
        match (thing, on) {
            (Thing::Secret(Reference::AwsSm { id, .. }), _) if id.starts_with("arn:") => with_suffix(id),
            (Thing::Secret(Reference::AwsSm { id, .. }), _) => {
                format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{id}-??????")
            }
            (Thing::Secret(Reference::AwsSsm { name, .. }), _) => {
                format!("arn:{partition}:ssm:{region}:{account}:parameter{name}")
            }
            (Thing::Place(Place::S3 { bucket, .. }), On::Bucket) => format!("arn:{partition}:s3:::{bucket}"),
            (Thing::Place(Place::S3 { bucket, prefix }), On::Itself) if prefix.is_empty() => {
                format!("arn:{partition}:s3:::{bucket}/*")
            }
            (Thing::Place(Place::S3 { bucket, prefix }), On::Itself) => {
                format!("arn:{partition}:s3:::{bucket}/{}/*", literal(prefix))
            }
            (Thing::Object(Place::S3 { bucket, prefix }), _) => {
                format!("arn:{partition}:s3:::{bucket}/{}", literal(prefix))
            }
            (Thing::Topic(arn), _) => arn.clone(),
            (Thing::Secret(_) | Thing::Place(_) | Thing::Object(_) | Thing::Database(_), _) => String::new(),
        }
    }

    /// The condition that a service acts for the caller.
    fn via(&self, service: &str) -> Conditions {
        let suffix = if self.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        let host = format!("{service}.{}.{suffix}", self.region());
        let test = if self.region.is_some() { "StringEquals" } else { "StringLike" };
        conditions(test, "kms:ViaService", vec![host])
    }

    fn notes(&self, document: &Document, uses: &[(&Use, Usage)]) -> Vec<String> {
        let mut notes = Vec::new();
        let all: Vec<&String> = document.statement.iter().flat_map(|statement| &statement.resource).collect();
        let has_holes = all.iter().any(|arn| arn.contains(":*:"));
        if has_holes && self.region.is_none() {
            notes.push("region `*` stands for the region: name it with --region".to_owned());
        }
        if has_holes && self.account.is_none() {
            notes.push("account `*` stands for the account: name it with --account".to_owned());
        }
        if all.iter().any(|arn| arn.ends_with("-??????")) {
            notes.push(
                "`-??????` stands for the six characters that Secrets Manager puts behind a name; whole ARNs in the configuration are exact"
                    .to_owned(),
            );
        }
        if self.role.is_some() && !uses.is_empty() {
            notes.push(format!(
                "{ASSUME} is for the identity that the program starts with, everything else for the role that it assumes; the role's trust policy has to name that identity"
            ));
        }
        if self.keys.is_empty() && !uses.is_empty() {
            notes.push(
                "nothing is granted on keys: if a customer managed key of KMS encrypts a secret, parameter or bucket, name it with --kms-key"
                    .to_owned(),
            );
        }
        notes
    }
}

/// A whole ARN ends in a hyphen and six characters; one without them is completed.
fn with_suffix(arn: &str) -> String {
    let whole = arn
        .rsplit_once('-')
        .is_some_and(|(_, suffix)| suffix.len() == 6 && suffix.chars().all(|c| c.is_ascii_alphanumeric()));
    if whole { arn.to_owned() } else { format!("{arn}-??????") }
}

/// As IAM takes a text literally (IAM user guide, "IAM policy elements: variables and tags").
fn literal(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '*' | '?' | '$') { format!("${{{c}}}") } else { c.to_string() }).collect()
}
