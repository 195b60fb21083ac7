//! Secret references into OCI: `oci-vault:OCID[#field]`.

use crate::{clients::OciClients, vault::OciVaultStore};
use async_trait::async_trait;
use dizzy_host::{
    field::field_of,
    port::{Deadline, Kind, PortError, PortResult, SecretReader, SecretStore as _},
    reference::Reference,
    secret::SecretText,
};

/// Reads secret references of OCI.
#[derive(Clone)]
pub struct OciSecretReader {
    clients: OciClients,
}

impl OciSecretReader {
    /// A reader over these clients.
    #[must_use]
    pub const fn new(clients: OciClients) -> Self {
        Self { clients }
    }
}

#[async_trait]
impl SecretReader for OciSecretReader {
    async fn read(&self, reference: &Reference, deadline: Deadline) -> PortResult<SecretText> {
        match reference {
            Reference::OciVault { ocid, field } => {
                let store = OciVaultStore::new(self.clients.clone(), ocid);
                let text = store.current(deadline).await?.value;
                match field {
                    None => Ok(text),
                    Some(field) => field_of(text.expose(), field).map_err(|hint| {
                        PortError::refused(Kind::Malformed, format!("read {reference}")).with_hint(hint)
                    }),
                }
            }
            Reference::AwsSm { .. } | Reference::AwsSsm { .. } | Reference::Env { .. } | Reference::File { .. } => {
                Err(PortError::refused(Kind::Other, format!("read {reference} from OCI: not a reference into OCI")))
            }
        }
    }
}
