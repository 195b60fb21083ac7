//! The resource principal that OCI Functions gives to a container: a token and a key, in files that the platform renews.
//!
//! Version 2.2 only, which is what Functions uses. Each part is a value, or the path of a file if it begins with `/`, as in
//! Oracle's Python SDK (`get_resource_principals_signer` of oci 2.189.0). The service verifies the token; here only its end is read.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dizzy_engine::Timestamp;
use dizzy_host::{
    port::{Kind, PortError, PortResult},
    secret::SecretText,
};
use serde::Deserialize;

/// What the environment of a function says about its identity.
#[derive(Clone, Debug)]
pub struct ResourcePrincipal {
    pub(crate) token: SecretText,
    pub(crate) private_key: SecretText,
    pub(crate) passphrase: Option<SecretText>,
    pub(crate) region: Option<String>,
}

impl ResourcePrincipal {
    /// Reads the variables `OCI_RESOURCE_PRINCIPAL_*`; `variable` gives their values.
    ///
    /// # Errors
    /// `Denied` if there is no such identity here, or one of another version.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> PortResult<Self> {
        let get = |name: &str| variable(&format!("{PREFIX}{name}")).filter(|value| !value.is_empty());
        let denied = |what: String| PortError::refused(Kind::Denied, what);
        match get("VERSION").as_deref() {
            Some("2.2") => {}
            Some(_) => {
                let what = format!("use the OCI resource principal: {PREFIX}VERSION is not 2.2");
                return Err(denied(what).with_hint("only the version that OCI Functions uses is supported"));
            }
            None => {
                let what = format!("find the OCI resource principal: {PREFIX}VERSION is not set");
                return Err(denied(what).with_hint("only a function of OCI has one; elsewhere use auth = \"config\""));
            }
        }
        let needed = |name: &str| {
            let missing = || denied(format!("find the OCI resource principal: {PREFIX}{name} is not set"));
            get(name).map(SecretText::new).ok_or_else(missing)
        };
        Ok(Self {
            token: needed("RPST")?,
            private_key: needed("PRIVATE_PEM")?,
            passphrase: get("PRIVATE_PEM_PASSPHRASE").map(SecretText::new),
            region: get("REGION"),
        })
    }
}

const PREFIX: &str = "OCI_RESOURCE_PRINCIPAL_";

/// When a token ends; `None` if it does not say so in a way that is understood.
pub(crate) fn expiry(token: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Some(Timestamp(claims.exp.checked_mul(1000)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_checked_before_anything_is_read() {
        let variables = |pairs: &'static [(&str, &str)]| {
            ResourcePrincipal::from_variables(move |name| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        for (pairs, what) in [
            (&[][..], "OCI_RESOURCE_PRINCIPAL_VERSION is not set"),
            (&[("OCI_RESOURCE_PRINCIPAL_VERSION", "1.1")], "OCI_RESOURCE_PRINCIPAL_VERSION is not 2.2"),
            (
                &[("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2"), ("OCI_RESOURCE_PRINCIPAL_RPST", "canary")],
                "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM is not set",
            ),
        ] {
            let error = variables(pairs).unwrap_err();
            assert!(error.what.ends_with(what), "{error:?}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
        let found = variables(&[
            ("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2"),
            ("OCI_RESOURCE_PRINCIPAL_RPST", "canary"),
            ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", "/canary"),
            ("OCI_RESOURCE_PRINCIPAL_REGION", "iad"),
            ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE", ""),
        ])
        .unwrap();
        assert!(found.passphrase.is_none());
        assert!(!format!("{found:?}").contains("canary"), "{found:?}");
    }

    #[test]
    fn a_token_tells_when_it_ends_or_nothing() {
        // {"exp":1800000000}
        assert_eq!(expiry("eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE4MDAwMDAwMDB9.c2ln"), Some(Timestamp(1_800_000_000_000)));
        for token in ["", "a.b.c", "a.e30.c", "eyJleHAiOjE4MDAwMDAwMDB9"] {
            assert_eq!(expiry(token), None, "{token}");
        }
    }
}
