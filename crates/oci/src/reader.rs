//! Secret references into OCI: `oci-vault:OCID[#field]`.

use core::fmt;

use async_trait::async_trait;
use dizzy_host::{
    port::{Deadline, Kind, PortError, PortResult, SecretReader, SecretStore as _},
    reference::Reference,
    secret::SecretText,
};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

use crate::{clients::OciClients, vault::OciVaultStore};

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

/// The text of one field of a JSON object; the other fields are skipped, not kept in memory.
fn field_of(text: &str, field: &str) -> Result<SecretText, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = json
        .deserialize_map(Field(field))
        .map_err(|_| format!("the secret must be a JSON object in which `{field}`, after the `#`, is a text"))?;
    found.ok_or_else(|| format!("the secret's JSON object has no field `{field}`, which stands after the `#`"))
}

struct Field<'a>(&'a str);

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<SecretText>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                found = Some(SecretText::new(map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_field_is_taken_out_of_the_object() {
        let text = r#"{"wallet":{"a":1},"password":"p\u00e4ss\"","port":5432}"#;
        assert_eq!(field_of(text, "password"), Ok(SecretText::new("päss\"".to_owned())));
        assert!(field_of(text, "user").unwrap_err().contains("no field `user`"));
        for (text, field) in [(text, "port"), ("[1]", "password"), ("canary", "password"), ("", "password")] {
            let hint = field_of(text, field).unwrap_err();
            assert!(hint.contains("JSON object"), "{hint}");
            assert!(!hint.contains("canary"), "{hint}");
        }
    }
}
