//! Which operation a method and path are, by the names that Oracle's API reference uses.
//!
//! The operation is known before anything is checked, so that a fault can hit a call whose signature is wrong, too.

use crate::http::{Request, decode};

/// A service of OCI; each listens on a port of its own.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Service {
    /// Secret retrieval, `/20190301`.
    Secrets,
    /// Secret management, `/20180608`.
    Vaults,
    /// Object Storage, `/n` and `/p`.
    ObjectStorage,
    /// Database, `/20160918`.
    Database,
    /// Federation, `/v1/x509`.
    Auth,
    /// Notifications, `/20181201`.
    Notifications,
    /// The metadata service of an instance, `/opc/v2`.
    Metadata,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Secrets,
        Self::Vaults,
        Self::ObjectStorage,
        Self::Database,
        Self::Auth,
        Self::Notifications,
        Self::Metadata,
    ];

    /// Its name in `OCI_ENDPOINT_<NAME>`; the metadata service has another variable.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Secrets => "SECRETS",
            Self::Vaults => "VAULTS",
            Self::ObjectStorage => "OBJECTSTORAGE",
            Self::Database => "DATABASE",
            Self::Auth => "AUTH",
            Self::Notifications => "NOTIFICATIONS",
            Self::Metadata => "METADATA",
        }
    }
}

macro_rules! operations {
    ($($variant:ident,)*) => {
        /// An operation of OCI's API reference.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum Operation { $(#[doc = concat!("`", stringify!($variant), "`")] $variant,)* }

        impl Operation {
            /// Its name in the API reference.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }
        }
    };
}

operations! {
    CancelSecretDeletion,
    CancelSecretVersionDeletion,
    ChangeSecretCompartment,
    CreatePreauthenticatedRequest,
    CreateRetentionRule,
    CreateSecret,
    DeleteObject,
    DeletePreauthenticatedRequest,
    DeleteRetentionRule,
    FederateX509,
    GenerateAutonomousDatabaseWallet,
    GetAutonomousDatabase,
    GetBucket,
    GetInstanceMetadata,
    GetNamespace,
    GetObject,
    GetRetentionRule,
    GetSecret,
    GetSecretBundle,
    GetSecretBundleByName,
    GetSecretVersion,
    HeadBucket,
    HeadObject,
    ListObjects,
    ListPreauthenticatedRequests,
    ListRetentionRules,
    ListSecretBundleVersions,
    ListSecretVersions,
    ListSecrets,
    PreauthenticatedGet,
    PreauthenticatedPut,
    PublishMessage,
    PutObject,
    ScheduleSecretDeletion,
    ScheduleSecretVersionDeletion,
    UpdateAutonomousDatabase,
    UpdateSecret,
}

/// An operation and what its path names, in order.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) operation: Operation,
    names: Vec<String>,
}

impl Target {
    /// The n-th name of the path; every route below has the names that its handler asks for.
    pub(crate) fn name(&self, index: usize) -> &str {
        self.names.get(index).map(String::as_str).unwrap_or_default()
    }

    /// What a fault or a log entry is about: a secret or database by OCID, an object or else its bucket by name, or nothing.
    pub(crate) fn subject(&self) -> &str {
        match self.operation {
            Operation::DeleteObject
            | Operation::GetObject
            | Operation::HeadObject
            | Operation::PreauthenticatedGet
            | Operation::PreauthenticatedPut
            | Operation::PutObject => self.names.last().map_or("", String::as_str),
            Operation::CreatePreauthenticatedRequest
            | Operation::CreateRetentionRule
            | Operation::DeletePreauthenticatedRequest
            | Operation::DeleteRetentionRule
            | Operation::GetBucket
            | Operation::GetRetentionRule
            | Operation::HeadBucket
            | Operation::ListObjects
            | Operation::ListPreauthenticatedRequests
            | Operation::ListRetentionRules => self.name(1),
            _ => self.name(0),
        }
    }
}

/// The operation that a request to a service is, if it is one.
pub(crate) fn route(service: Service, request: &Request) -> Option<Target> {
    let path = request.path().strip_prefix('/')?;
    let segments: Vec<&str> = path.split('/').collect();
    let method = request.method.as_str();
    match service {
        Service::Secrets => secrets(method, &segments),
        Service::Vaults => vaults(method, &segments),
        Service::ObjectStorage => objects(method, path, &segments),
        Service::Database => database(method, &segments),
        Service::Notifications => topics(method, &segments),
        Service::Metadata => metadata(method, path),
        Service::Auth => (method == "POST" && path == "v1/x509").then(|| target(Operation::FederateX509, &[])),
    }
}

/// Version 1 is not there, as where it is turned off.
fn metadata(method: &str, path: &str) -> Option<Target> {
    let wanted = path.strip_prefix("opc/v2/").filter(|_| method == "GET")?;
    Some(target(Operation::GetInstanceMetadata, &[wanted]))
}

fn secrets(method: &str, segments: &[&str]) -> Option<Target> {
    use Operation as Op;
    let ["20190301", "secretbundles", rest @ ..] = segments else { return None };
    Some(match (method, rest) {
        ("POST", ["actions", "getByName"]) => target(Op::GetSecretBundleByName, &[]),
        ("GET", [secret]) => target(Op::GetSecretBundle, &[secret]),
        ("GET", [secret, "versions"]) => target(Op::ListSecretBundleVersions, &[secret]),
        _ => return None,
    })
}

fn vaults(method: &str, segments: &[&str]) -> Option<Target> {
    use Operation as Op;
    let ["20180608", "secrets", rest @ ..] = segments else { return None };
    Some(match (method, rest) {
        ("GET", []) => target(Op::ListSecrets, &[]),
        ("POST", []) => target(Op::CreateSecret, &[]),
        ("GET", [secret]) => target(Op::GetSecret, &[secret]),
        ("PUT", [secret]) => target(Op::UpdateSecret, &[secret]),
        ("GET", [secret, "versions"]) => target(Op::ListSecretVersions, &[secret]),
        ("GET", [secret, "version", number]) => target(Op::GetSecretVersion, &[secret, number]),
        ("POST", [secret, "version", number, "actions", action]) => match *action {
            "scheduleDeletion" => target(Op::ScheduleSecretVersionDeletion, &[secret, number]),
            "cancelDeletion" => target(Op::CancelSecretVersionDeletion, &[secret, number]),
            _ => return None,
        },
        ("POST", [secret, "actions", action]) => match *action {
            "scheduleDeletion" => target(Op::ScheduleSecretDeletion, &[secret]),
            "cancelDeletion" => target(Op::CancelSecretDeletion, &[secret]),
            "changeCompartment" => target(Op::ChangeSecretCompartment, &[secret]),
            _ => return None,
        },
        _ => return None,
    })
}

fn objects(method: &str, path: &str, segments: &[&str]) -> Option<Target> {
    use Operation as Op;
    Some(match (method, segments) {
        ("GET", ["n"] | ["n", ""]) => target(Op::GetNamespace, &[]),
        ("GET", ["n", space, "b", bucket] | ["n", space, "b", bucket, ""]) => target(Op::GetBucket, &[space, bucket]),
        ("HEAD", ["n", space, "b", bucket] | ["n", space, "b", bucket, ""]) => target(Op::HeadBucket, &[space, bucket]),
        ("GET", ["n", space, "b", bucket, "o"]) => target(Op::ListObjects, &[space, bucket]),
        ("POST", ["n", space, "b", bucket, "retentionRules"]) => target(Op::CreateRetentionRule, &[space, bucket]),
        ("GET", ["n", space, "b", bucket, "retentionRules"]) => target(Op::ListRetentionRules, &[space, bucket]),
        ("GET", ["n", space, "b", bucket, "retentionRules", rule]) => {
            target(Op::GetRetentionRule, &[space, bucket, rule])
        }
        ("DELETE", ["n", space, "b", bucket, "retentionRules", rule]) => {
            target(Op::DeleteRetentionRule, &[space, bucket, rule])
        }
        ("POST", ["n", space, "b", bucket, "p" | "p/"] | ["n", space, "b", bucket, "p", ""]) => {
            target(Op::CreatePreauthenticatedRequest, &[space, bucket])
        }
        ("GET", ["n", space, "b", bucket, "p"] | ["n", space, "b", bucket, "p", ""]) => {
            target(Op::ListPreauthenticatedRequests, &[space, bucket])
        }
        ("DELETE", ["n", space, "b", bucket, "p", ..]) => {
            let id = path.splitn(6, '/').last().unwrap_or_default();
            target(Op::DeletePreauthenticatedRequest, &[space, bucket, id])
        }
        // An object's name may hold slashes, escaped or not: it is all that is left of the path.
        (_, ["n", space, "b", bucket, "o", _, ..]) => {
            let name = path.splitn(6, '/').last().unwrap_or_default();
            let operation = match method {
                "PUT" => Op::PutObject,
                "GET" => Op::GetObject,
                "HEAD" => Op::HeadObject,
                "DELETE" => Op::DeleteObject,
                _ => return None,
            };
            target(operation, &[space, bucket, name])
        }
        (_, ["p", token, "n", space, "b", bucket, "o", _, ..]) => {
            let name = path.splitn(8, '/').last().unwrap_or_default();
            let operation = match method {
                "GET" | "HEAD" => Op::PreauthenticatedGet,
                "PUT" => Op::PreauthenticatedPut,
                _ => return None,
            };
            target(operation, &[space, bucket, token, name])
        }
        _ => return None,
    })
}

fn database(method: &str, segments: &[&str]) -> Option<Target> {
    use Operation as Op;
    let ["20160918", "autonomousDatabases", id, rest @ ..] = segments else { return None };
    Some(match (method, rest) {
        ("GET", []) => target(Op::GetAutonomousDatabase, &[id]),
        ("PUT", []) => target(Op::UpdateAutonomousDatabase, &[id]),
        ("POST", ["actions", "generateWallet"]) => target(Op::GenerateAutonomousDatabaseWallet, &[id]),
        _ => return None,
    })
}

fn topics(method: &str, segments: &[&str]) -> Option<Target> {
    match (method, segments) {
        ("POST", ["20181201", "topics", topic, "messages"]) => Some(target(Operation::PublishMessage, &[topic])),
        _ => None,
    }
}

fn target(operation: Operation, names: &[&str]) -> Target {
    Target { operation, names: names.iter().map(|name| decode(name)).collect() }
}
