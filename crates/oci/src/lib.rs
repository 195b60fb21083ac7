//! OCI: the Vault store, secret references into Vault, and Object Storage.
//!
//! [`OciClients`] is the one signed connection to OCI that all share; nothing touches the network, or reads a file, before the
//! first call. Error texts of OCI never leave this package: `failure` turns codes into the port's words.

mod clients;
mod config_file;
mod endpoints;
mod failure;
mod http_date;
mod object_storage;
mod pem;
mod provider;
mod reader;
mod regions;
mod resource_principal;
mod sign;
mod transport;
mod vault;

pub use clients::{OciClients, OciSettings, Pace};
pub use config_file::DEFAULT_PROFILE;
pub use endpoints::OciEndpoints;
pub use object_storage::{Etag, Object, ObjectPage, ObjectPath, ObjectStorage, ObjectSummary, When};
pub use provider::OciAuth;
pub use reader::OciSecretReader;
pub use resource_principal::ResourcePrincipal;
pub use vault::OciVaultStore;
