//! The secret reference port: `aws-sm:ID#field`, `aws-ssm:/NAME:VERSION`, `env:NAME`, `file:PATH`, `oci-vault:OCID#field`.

use async_trait::async_trait;

use super::{Deadline, PortResult};
use crate::{reference::Reference, secret::SecretText};

/// Reads what a reference points at.
#[async_trait]
pub trait SecretReader: Send + Sync {
    /// The text behind `reference`, with `#field` applied if there is one.
    ///
    /// # Errors
    /// `NotFound` if it is not there; `Malformed` if it is not text or lacks the field.
    async fn read(&self, reference: &Reference, deadline: Deadline) -> PortResult<SecretText>;
}
