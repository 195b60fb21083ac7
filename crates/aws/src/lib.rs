//! AWS: the Secrets Manager store, objects in S3, and secret references into Secrets Manager and SSM Parameter Store.
//!
//! [`AwsClients`] is the one connection to AWS that all share; nothing touches the network, or reads a file, before the
//! first call. Error texts of AWS never leave this package: `failure` turns codes into the port's words.

mod clients;
mod failure;
mod quiet;
mod reader;
pub mod rights;
mod role;
mod roots;
mod s3;
mod secrets_manager;
mod signed;
mod sns;
mod ssm;
mod token;

pub use clients::{AwsClients, AwsSettings};
pub use quiet::NOISY_TARGETS;
pub use reader::AwsSecretReader;
pub use role::AssumedRole;
pub use s3::S3Objects;
pub use secrets_manager::{CURRENT, PENDING, PREVIOUS, RotationContract, SecretsManagerStore};
pub use sns::SnsTopic;

/// Credentials given explicitly instead of by AWS's own chain; their `Debug` hides the key.
pub use aws_credential_types::Credentials;
