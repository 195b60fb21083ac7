//! A role on top of the credentials that AWS's own sources give, taken on at the first call and again before its session ends.

use core::{error::Error, fmt, time::Duration};
use std::time::SystemTime;

use aws_config::{SdkConfig, sts::AssumeRoleProvider};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, Result as Provided, SharedCredentialsProvider, error::CredentialsError, future},
};
use tokio::sync::Mutex;

/// A role to assume.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AssumedRole {
    /// Its ARN.
    pub arn: String,
    /// What its trust policy asks for (`sts:ExternalId`).
    pub external_id: Option<String>,
    /// The name of the session, which CloudTrail shows.
    pub session_name: String,
}

/// A session that ends sooner is not used for another call. It lasts an hour (STS API reference, `AssumeRole`: without `DurationSeconds`).
const MARGIN: Duration = Duration::from_secs(300);

/// The same configuration with the credentials of the role. Calls nothing yet.
pub(crate) async fn assumed(config: SdkConfig, role: &AssumedRole) -> SdkConfig {
    let mut builder =
        AssumeRoleProvider::builder(&role.arn).configure(&config).session_name(role.session_name.as_str());
    if let Some(id) = &role.external_id {
        builder = builder.external_id(id);
    }
    let provider = Session { role: builder.build().await, config: config.clone(), last: Mutex::new(None) };
    config.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build()
}

/// Remembers a session: calls that are signed by hand ask for credentials each time.
#[derive(Debug)]
struct Session {
    role: AssumeRoleProvider,
    config: SdkConfig,
    last: Mutex<Option<Credentials>>,
}

impl Session {
    async fn credentials(&self) -> Provided {
        let mut last = self.last.lock().await;
        let now = self.config.time_source().map(|source| source.now());
        if let Some(known) = last.as_ref().filter(|known| lasts(known.expiry(), now)) {
            return Ok(known.clone());
        }
        let fresh = self.role.provide_credentials().await;
        let fresh = fresh.map_err(|error| CredentialsError::provider_error(RoleRefused(error)))?;
        *last = Some(fresh.clone());
        Ok(fresh)
    }
}

fn lasts(expiry: Option<SystemTime>, now: Option<SystemTime>) -> bool {
    expiry.zip(now).is_some_and(|(expiry, now)| expiry.duration_since(now).is_ok_and(|left| left > MARGIN))
}

impl ProvideCredentials for Session {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

/// There are no credentials because the role could not be assumed.
#[derive(Debug)]
pub(crate) struct RoleRefused(CredentialsError);

impl fmt::Display for RoleRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the role could not be assumed")
    }
}

impl Error for RoleRefused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_renewed_before_it_ends() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert!(lasts(Some(now + Duration::from_secs(301)), Some(now)));
        assert!(!lasts(Some(now + Duration::from_secs(300)), Some(now)));
        assert!(!lasts(Some(now - Duration::from_secs(1)), Some(now)));
        assert!(!lasts(None, Some(now)) && !lasts(Some(now), None));
    }
}
