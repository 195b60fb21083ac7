//! Which rights a configuration needs, and of whom: derived from the configuration alone, without a look at anything outside.
//!
//! [`uses`] lists what the program touches and for what; the adapters' tables (`dizzy_aws::rights`, `dizzy_oci::rights`) say which call
//! each use makes and which right the call needs. `aws` and `oci` write that down as the clouds want it; `compare_*` hold it
//! against a policy that somebody has.

pub(crate) mod aws;
pub(crate) mod compare_aws;
pub(crate) mod compare_oci;
mod glob;
pub(crate) mod oci;
mod statement;

use dizzy_host::{
    config::{Config, Destination, OciAuth, Place, Wallet},
    reference::Reference,
};
use serde::Serialize;

use crate::args::Role;

/// What is touched.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Thing {
    /// A secret or a parameter.
    Secret(Reference),
    /// Everything below a place.
    Place(Place),
    /// One object of a place: its bucket, and its whole name.
    Object(Place),
    /// An Autonomous Database, by its OCID.
    Database(String),
    /// A topic, by its ARN or OCID.
    Topic(String),
}

/// What it is used for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// Credentials are published there.
    Publish,
    /// Notices are sent there.
    Notify,
    /// It is read.
    Read,
    /// Registers: read and written; by an auditor only read.
    Registers,
    /// The trail: read and added to; by an auditor only read.
    Trail,
}

/// One use of one thing.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) thing: Thing,
    pub(crate) purpose: Purpose,
    /// The key of the configuration, or the option, that asks for it.
    pub(crate) key: String,
}

/// One right, the call that needs it, and where that comes from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Line {
    /// The action or permission.
    pub(crate) right: String,
    /// What it is about.
    pub(crate) on: String,
    /// The operation, by the name of its API reference.
    pub(crate) call: String,
    /// The key of the configuration, or the option, that asks for it.
    pub(crate) key: String,
    /// What the call is made for.
    pub(crate) why: String,
    /// Whether the project's tests have seen that something fails without it. What only a real cloud asks for is known from documentation.
    pub(crate) tested: bool,
}

/// What the program touches in this role, in the order of the configuration.
pub(crate) fn uses(config: &Config, sets: &[String], role: Role, location: Option<&Thing>) -> Vec<Use> {
    let mut all = Vec::new();
    let mut add = |thing: Thing, purpose, key: &str| all.push(Use { thing, purpose, key: key.to_owned() });
    let secret = |reference: &Reference| Thing::Secret(reference.clone());
    if let Some(thing) = location {
        add(thing.clone(), Purpose::Read, "--config-location");
    }
    if role != Role::Auditor {
        for set in config.sets.values().filter(|set| sets.contains(&set.name)) {
            for (at, published) in set.secrets.iter().enumerate() {
                add(secret(&published.store), Purpose::Publish, &format!("sets.{}.secrets[{at}].store", set.name));
            }
            for database in &set.databases {
                let key = |name: &str| format!("sets.{}.databases.{}.{name}", set.name, database.name);
                for (reference, name) in [(&database.tls_ca, "tls_ca"), (&database.wallet_password, "wallet_password")]
                {
                    if let Some(reference) = reference {
                        add(secret(reference), Purpose::Read, &key(name));
                    }
                }
                match &database.wallet {
                    None => {}
                    Some(Wallet::Generated { ocid }) => {
                        add(Thing::Database(ocid.clone()), Purpose::Read, &key("wallet"));
                    }
                    Some(Wallet::Object { namespace, bucket, object }) => {
                        let (namespace, bucket, prefix) = (namespace.clone(), bucket.clone(), object.clone());
                        let place = Place::Oci { namespace, bucket, prefix };
                        add(Thing::Object(place), Purpose::Read, &key("wallet"));
                    }
                    Some(Wallet::Reference(reference)) => add(secret(reference), Purpose::Read, &key("wallet")),
                }
                if let (Role::Operator, Some(admin)) = (role, &database.admin) {
                    add(secret(admin), Purpose::Read, &key("admin"));
                }
            }
        }
    }
    if role != Role::Auditor {
        for (at, receiver) in config.notify.receivers.iter().enumerate() {
            let key = |name: &str| format!("notify.receivers[{at}].{name}");
            match &receiver.to {
                Destination::SnsTopic(id) | Destination::OciTopic(id) => {
                    add(Thing::Topic(id.clone()), Purpose::Notify, &key("topic"));
                }
                Destination::Webhook { url, signing_key, tls_ca } => {
                    add(secret(url), Purpose::Read, &key("webhook"));
                    for (reference, name) in [(signing_key, "signing_key"), (tls_ca, "tls_ca")] {
                        if let Some(reference) = reference {
                            add(secret(reference), Purpose::Read, &key(name));
                        }
                    }
                }
            }
        }
    }
    let audit = &config.audit;
    if let Some(key) = &audit.key {
        add(secret(key), Purpose::Read, "audit.key");
    }
    if role == Role::Auditor {
        for key in &audit.former_keys {
            add(secret(key), Purpose::Read, "audit.former_keys");
        }
    }
    if let Some(key) = &audit.note_key {
        add(secret(key), Purpose::Read, "audit.note_key");
    }
    add(Thing::Place(config.journal.clone()), Purpose::Registers, "journal.url");
    for (at, sink) in audit.sinks.iter().enumerate() {
        add(Thing::Place(sink.clone()), Purpose::Trail, &format!("audit.sinks[{at}]"));
    }
    let is_oci = all.iter().any(|one| one.thing.is_in_oci());
    let has_identity = matches!(config.oci.auth, OciAuth::ResourcePrincipal | OciAuth::InstancePrincipal);
    if let Some(key) = config.oci.key.as_ref().filter(|_| is_oci && !has_identity) {
        all.push(Use { thing: Thing::Secret(key.clone()), purpose: Purpose::Read, key: "oci.key".to_owned() });
    }
    all
}

impl Thing {
    fn is_in_oci(&self) -> bool {
        match self {
            Self::Secret(reference) => matches!(reference, Reference::OciVault { .. }),
            Self::Place(place) | Self::Object(place) => matches!(place, Place::Oci { .. }),
            Self::Database(_) => true,
            Self::Topic(id) => id.starts_with("ocid1."),
        }
    }
}
