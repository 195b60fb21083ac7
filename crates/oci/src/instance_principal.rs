//! The instance principal of a machine of OCI compute: its certificate is exchanged for a token, under a key that is made here.
//!
//! The metadata service gives certificate and key, which OCI replaces several times a day; the federation service turns them into
//! a token that names the instance. Certificates are read afresh for each token. Requests as Oracle's SDKs send them
//! (`common/auth` of oci-go-sdk 65, `oci/auth` of the Python SDK 2.189.0). UNVERIFIED on OCI compute: see docs/oci.md.

mod federation;
mod leaf;
mod metadata;

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use dizzy_host::port::{Deadline, Kind, PortError, PortResult};
use dizzy_web::may_be_called;
use http::Uri;
use leaf::Leaf;
use metadata::Metadata;

use crate::{
    clients::OciClients,
    provider::{Signed, with_token},
};

/// The identity of the machine, by its metadata service.
#[derive(Clone, Debug)]
pub struct InstancePrincipal {
    metadata: String,
}

/// Version 2, which asks for a header that a request forged through somebody else's program lacks; version 1 is not used.
const METADATA: &str = "http://169.254.169.254/opc/v2";

/// Certificate and key are two answers; the pair may be replaced between them. So often they are read until they fit.
const PAIRS: u32 = 3;

impl Default for InstancePrincipal {
    fn default() -> Self {
        Self { metadata: METADATA.to_owned() }
    }
}

impl InstancePrincipal {
    /// With a metadata service that is played on this machine.
    ///
    /// # Errors
    /// `Tls` if the address is not on loopback and not https.
    pub fn at(metadata: &str) -> PortResult<Self> {
        let fits = metadata.parse().is_ok_and(|uri: Uri| may_be_called(&uri) && uri.query().is_none());
        if !fits {
            return Err(PortError::refused(
                Kind::Tls,
                "use the address of the metadata service: it is not on loopback",
            ));
        }
        Ok(Self { metadata: metadata.trim_end_matches('/').to_owned() })
    }

    /// A token of the federation service, and the key that goes with it.
    pub(crate) async fn load(&self, clients: &OciClients, deadline: Deadline) -> PortResult<Signed> {
        let metadata = Metadata::new(&self.metadata, clients.pace().backoff)?;
        let leaf = pair(&metadata, deadline).await?;
        let chain = leaf::chain(&metadata.get("identity/intermediate.pem", deadline).await?)?;
        let place = metadata.place(deadline).await?;
        let (key, public) = session_key().await?;
        let ask = federation::ask(&leaf, &chain, &public, &place)?;
        let token = federation::token(clients, &ask, leaf.signed(place.clone())?, deadline).await?;
        with_token("the token of the OCI instance principal", key, token.expose().as_bytes(), place, true)
    }
}

/// The certificate and the key that is its own.
async fn pair(metadata: &Metadata<'_>, deadline: Deadline) -> PortResult<Leaf> {
    let mut tries = 1;
    loop {
        let certificate = metadata.get("identity/cert.pem", deadline).await?;
        let key = metadata.get("identity/key.pem", deadline).await?;
        match Leaf::of(&certificate, &key)? {
            Some(leaf) => return Ok(leaf),
            None if tries == PAIRS => {
                let what = "use the certificate of the OCI instance: the key beside it is not its own";
                return Err(PortError::refused(Kind::Denied, what));
            }
            None => tries += 1,
        }
    }
}

/// A key for one token, and its public half as SubjectPublicKeyInfo. Making it takes some tenths of a second.
async fn session_key() -> PortResult<(KeyPair, Vec<u8>)> {
    let made = tokio::task::spawn_blocking(|| {
        let key = KeyPair::generate(KeySize::Rsa2048).ok()?;
        let public: PublicKeyX509Der<'_> = key.public_key().as_der().ok()?;
        let public = public.as_ref().to_vec();
        Some((key, public))
    });
    made.await
        .ok()
        .flatten()
        .ok_or_else(|| PortError::refused(Kind::Other, "make a session key for the OCI instance principal: it failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_metadata_service_is_on_this_machine() {
        assert_eq!(
            InstancePrincipal::at("http://127.0.0.1:8080/opc/v2/").unwrap().metadata,
            "http://127.0.0.1:8080/opc/v2"
        );
        for address in ["http://169.254.169.253/opc/v2", "http://example.com", "127.0.0.1", ""] {
            assert_eq!(InstancePrincipal::at(address).unwrap_err().kind, Kind::Tls, "{address}");
        }
    }
}
