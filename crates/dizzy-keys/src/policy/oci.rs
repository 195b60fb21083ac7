//! The rights in OCI as statements of a policy.
//!
//! Verbs grant more than calls need, so that each statement names the permissions, and one secret, bucket or object. OCIDs and names
//! of buckets are unique in a tenancy: a statement that holds in the whole tenancy is no wider for it, but for wallets that the database service makes.

use std::collections::BTreeSet;

use dizzy_host::{config::Place, reference::Reference};
use dizzy_oci::rights::{Kind, RIGHTS, Usage, Verb, belongs};

use super::{Line, Purpose, Thing, Use};
use crate::args::Role;

/// What the configuration does not know.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// `dynamic-group NAME` or `group NAME`.
    pub(crate) subject: String,
    pub(crate) compartment: Option<String>,
    pub(crate) keys: Vec<String>,
}

/// The statements, and what is to be said of them.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) statements: Vec<String>,
    pub(crate) lines: Vec<Line>,
    pub(crate) notes: Vec<String>,
}

/// One statement before it is written.
#[derive(Clone, Debug)]
struct Draft {
    kind: Kind,
    verb: Verb,
    /// Conditions on what it is about.
    target: Vec<String>,
    permissions: BTreeSet<&'static str>,
}

/// Makes the policy.
pub(crate) fn policy(uses: &[Use], role: Role, scope: &Scope) -> Policy {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut lines = Vec::new();
    for one in uses {
        let Some(usage) = usage(one, role) else { continue };
        let target = target(&one.thing);
        for right in RIGHTS.iter().filter(|right| right.usage == usage) {
            let Some((kind, verb)) = belongs(right.permission) else { continue };
            let draft = match drafts.iter_mut().find(|draft| draft.kind == kind && draft.target == target) {
                Some(draft) => draft,
                None => {
                    drafts.push(Draft { kind, verb, target: target.clone(), permissions: BTreeSet::new() });
                    let Some(draft) = drafts.last_mut() else { continue };
                    draft
                }
            };
            draft.verb = draft.verb.max(verb);
            draft.permissions.insert(right.permission);
            lines.push(Line {
                right: right.permission.to_owned(),
                on: subject_of(&one.thing),
                call: right.call.to_owned(),
                key: one.key.clone(),
                why: right.why.to_owned(),
                tested: true,
            });
        }
    }
    let place = scope.compartment.as_ref().map_or_else(|| "tenancy".to_owned(), |id| format!("compartment id {id}"));
    let who = &scope.subject;
    let mut statements: Vec<String> = drafts
        .iter()
        .map(|draft| {
            let (verb, kind) = (draft.verb.name(), draft.kind.name());
            format!("allow {who} to {verb} {kind} in {place} where {}", draft.condition())
        })
        .collect();
    for key in &scope.keys {
        statements.push(format!("allow {who} to use keys in {place} where target.key.id = '{key}'"));
        lines.push(Line {
            right: "use keys".to_owned(),
            on: key.clone(),
            call: "UpdateSecret".to_owned(),
            key: "--vault-key".to_owned(),
            why: "Vault encrypts a new version with the secret's master key".to_owned(),
            tested: false,
        });
    }
    Policy { statements, lines, notes: notes(&drafts, scope) }
}

impl Draft {
    fn condition(&self) -> String {
        let permissions: Vec<String> =
            self.permissions.iter().map(|name| format!("request.permission = '{name}'")).collect();
        let permitted = match permissions.as_slice() {
            [one] => one.clone(),
            several => format!("any {{{}}}", several.join(", ")),
        };
        if self.target.is_empty() {
            return permitted;
        }
        format!("all {{{}, {permitted}}}", self.target.join(", "))
    }
}

/// The use in OCI's words; `None` if it is elsewhere.
fn usage(one: &Use, role: Role) -> Option<Usage> {
    let reads_only = role == Role::Auditor;
    match (&one.thing, one.purpose) {
        (Thing::Secret(Reference::OciVault { .. }), Purpose::Publish) => Some(Usage::Published),
        (Thing::Secret(Reference::OciVault { .. }), _) => Some(Usage::Referenced),
        (Thing::Database(_), _) => Some(Usage::Database),
        (Thing::Topic(id), _) if id.starts_with("ocid1.") => Some(Usage::Topic),
        (Thing::Object(Place::Oci { .. }), _) => Some(Usage::Object),
        (Thing::Place(Place::Oci { .. }), Purpose::Registers) if reads_only => Some(Usage::RegistersRead),
        (Thing::Place(Place::Oci { .. }), Purpose::Registers) => Some(Usage::Registers),
        (Thing::Place(Place::Oci { .. }), _) if reads_only => Some(Usage::TrailRead),
        (Thing::Place(Place::Oci { .. }), _) => Some(Usage::Trail),
        (Thing::Secret(_) | Thing::Object(_) | Thing::Place(_) | Thing::Topic(_), _) => None,
    }
}

fn target(thing: &Thing) -> Vec<String> {
    match thing {
        Thing::Secret(Reference::OciVault { ocid, .. }) => vec![format!("target.secret.id = '{ocid}'")],
        Thing::Place(Place::Oci { bucket, .. }) => vec![format!("target.bucket.name = '{bucket}'")],
        // How a quote is written inside of quotes is not documented.
        Thing::Object(Place::Oci { bucket, prefix, .. }) if prefix.contains('\'') => {
            vec![format!("target.bucket.name = '{bucket}'")]
        }
        Thing::Object(Place::Oci { bucket, prefix, .. }) => {
            vec![format!("target.bucket.name = '{bucket}'"), format!("target.object.name = '{prefix}'")]
        }
        // Notifications supports no variable of its own (Oracle documentation: "Details for Notifications").
        Thing::Secret(_) | Thing::Place(_) | Thing::Object(_) | Thing::Database(_) | Thing::Topic(_) => Vec::new(),
    }
}

fn subject_of(thing: &Thing) -> String {
    match thing {
        Thing::Secret(Reference::OciVault { ocid, .. }) | Thing::Database(ocid) | Thing::Topic(ocid) => ocid.clone(),
        Thing::Place(Place::Oci { bucket, .. }) => bucket.clone(),
        Thing::Object(Place::Oci { bucket, prefix, .. }) => format!("{bucket}/{prefix}"),
        Thing::Secret(_) | Thing::Place(_) | Thing::Object(_) => String::new(),
    }
}

fn notes(drafts: &[Draft], scope: &Scope) -> Vec<String> {
    let mut notes = Vec::new();
    if drafts.iter().any(|draft| draft.kind == Kind::AutonomousDatabases) {
        let scope = if scope.compartment.is_some() { "compartment" } else { "tenancy: narrow it with --compartment" };
        notes.push(format!(
            "OCI has no condition for one Autonomous Database: wallets of every one can be had in the {scope}"
        ));
    }
    if drafts.iter().any(|draft| draft.kind == Kind::OnsTopics) {
        let scope = if scope.compartment.is_some() { "compartment" } else { "tenancy: narrow it with --compartment" };
        notes.push(format!("OCI has no condition for one topic: notices can be sent to every one in the {scope}"));
    }
    let is_bucket = |draft: &&Draft| draft.kind == Kind::Objects && draft.target.len() == 1;
    if drafts.iter().any(|draft| is_bucket(&draft)) {
        notes.push(
            "statements on buckets are for every object in them: give the journal and the trail buckets of their own"
                .to_owned(),
        );
    }
    if scope.keys.is_empty() && drafts.iter().any(|draft| draft.kind == Kind::SecretVersions) {
        notes.push(
            "nothing is granted on keys; if a new version is refused for want of one, name the secret's master key with --vault-key"
                .to_owned(),
        );
    }
    notes
}
