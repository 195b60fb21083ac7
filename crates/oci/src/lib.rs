//! OCI: the Vault store, secret references into Vault, Object Storage, wallets that the database service makes, and pre-authenticated URLs.
//!
//! [`OciClients`] is the one signed connection to OCI that all share; nothing touches the network, or reads a file, before the
//! first call. Error texts of OCI never leave this package: `failure` turns codes into the port's words.

mod autonomous;
mod clients;
mod config_file;
mod endpoints;
mod failure;
mod http_date;
mod instance_principal;
mod notifications;
mod object_storage;
mod objects;
mod pem;
mod preauthenticated;
mod provider;
mod reader;
mod regions;
mod resource_principal;
pub mod rights;
mod sign;
mod vault;

pub use autonomous::AutonomousDatabases;
pub use clients::{OciClients, OciSettings, Pace};
pub use config_file::DEFAULT_PROFILE;
pub use endpoints::OciEndpoints;
pub use instance_principal::InstancePrincipal;
pub use notifications::OciTopic;
pub use object_storage::{Etag, Object, ObjectPage, ObjectPath, ObjectStorage, ObjectSummary, When};
pub use objects::OciObjects;
pub use preauthenticated::{PreauthenticatedUrl, UrlSettings};
pub use provider::{ApiKeySource, OciAuth};
pub use reader::OciSecretReader;
pub use resource_principal::ResourcePrincipal;
pub use vault::OciVaultStore;
