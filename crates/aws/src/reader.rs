//! Secret references into AWS: `aws-sm:ID[#field]` and `aws-ssm:/NAME[:VERSION]`.

use crate::{
    clients::AwsClients,
    failure::{Call, Effect},
    secrets_manager::SecretsManagerStore,
    ssm,
};
use async_trait::async_trait;
use dizzy_host::{
    field::field_of,
    port::{Deadline, Kind, PortError, PortResult, SecretReader, SecretStore as _},
    reference::Reference,
    secret::SecretText,
};

/// Reads secret references of AWS.
#[derive(Clone, Debug)]
pub struct AwsSecretReader {
    clients: AwsClients,
}

impl AwsSecretReader {
    /// A reader over these clients.
    #[must_use]
    pub const fn new(clients: AwsClients) -> Self {
        Self { clients }
    }
}

#[async_trait]
impl SecretReader for AwsSecretReader {
    async fn read(&self, reference: &Reference, deadline: Deadline) -> PortResult<SecretText> {
        match reference {
            Reference::AwsSm { id, field } => {
                let store = SecretsManagerStore::new(self.clients.clone(), id, "");
                let text = store.current(deadline).await?.value;
                match field {
                    None => Ok(text),
                    Some(field) => field_of(text.expose(), field).map_err(|hint| {
                        PortError::refused(Kind::Malformed, format!("read {reference}")).with_hint(hint)
                    }),
                }
            }
            Reference::AwsSsm { name, version } => {
                let subject = reference.to_string();
                let call = Call { doing: "read", subject: &subject, action: "ssm:GetParameter", effect: Effect::Read };
                ssm::parameter(&self.clients, &call, name, *version, deadline).await
            }
            Reference::Env { .. } | Reference::File { .. } | Reference::OciVault { .. } => {
                Err(PortError::refused(Kind::Other, format!("read {reference} from AWS: not a reference into AWS")))
            }
        }
    }
}
