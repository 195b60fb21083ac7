//! The configuration file: `dizzy-keys.toml`.
//!
//! [`model`] is what is written, [`resolved`] what the program uses; [`load`] goes from one to the other and says exactly
//! where a mistake is. Only the file is read here: no environment, no secret, no network.

mod aws_role;
pub mod error;
pub mod model;
mod notify;
mod resolve;
pub mod resolved;
pub mod schedule;
pub mod shard;
mod source;

use std::path::Path;

pub use error::{ConfigError, Mistake, Position};
pub use resolved::{
    Adapter, Audit, AuditRequire, AwsRole, Config, Database, Destination, Engine, Need, Notify, Oci, OciAuth,
    OnActiveSessions, Place, ReceiverConfig, RotationSet, Secret, Wallet,
};
pub use schedule::{Due, Past, Rule, Schedule, Window};
pub use shard::{MAX_SHARDS, Shard};

/// Most databases of a set: every one must answer while the others wait for it.
pub const MAX_DATABASES: usize = 16;
/// Most receivers of notices: each is one more call at the end of a run.
pub const MAX_RECEIVERS: usize = 8;
/// Most secrets of a set.
pub const MAX_SECRETS: usize = 16;

/// Reads and checks the configuration file at `path`.
///
/// # Errors
/// [`ConfigError`], with file, line, column and key where there are any.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = source::read(path)?;
    parse(&path.display().to_string(), &text)
}

/// Checks a configuration; `file` is what messages call it.
///
/// # Errors
/// As [`load`].
pub fn parse(file: &str, text: &str) -> Result<Config, ConfigError> {
    let (source, model) = source::Source::parse(file, text)?;
    resolve::resolve(&source, model)
}

/// The JSON schema of the configuration file, for editors.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(model::Model).to_value()
}

#[cfg(test)]
mod tests;
