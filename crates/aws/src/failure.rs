//! From failed AWS calls to port errors: which kind, and whether anything happened.
//!
//! Judged by AWS error code, HTTP status and how far the request got; never by a message, which may echo input. A write
//! counts as refused only if the service said so in its own words, or if no connection was ever made. All else is unknown.

use core::{error::Error, time::Duration};

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::{
    client::{
        orchestrator::HttpResponse,
        result::{ConnectorError, SdkError},
    },
    http::StatusCode,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use dizzy_host::{
    port::{Certainty, Cloud, Deadline, Kind, Mend, PortError, shell_word},
    proxy::ProxyTrouble,
};

use crate::role::RoleRefused;

/// Whether a call can change anything; decides what an unclear end means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    /// Reads only: whatever happens, nothing was changed.
    Read,
    /// Changes something.
    Write,
}

/// A call as messages speak of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// What is being done, with the object last: `read the current version of`.
    pub(crate) doing: &'a str,
    /// The reference in the configuration: `aws-sm:prod/orders`.
    pub(crate) subject: &'a str,
    /// The IAM action it needs: `secretsmanager:GetSecretValue`.
    pub(crate) action: &'a str,
    /// Whether it can change anything.
    pub(crate) effect: Effect,
}

impl Call<'_> {
    /// `read the current version of aws-sm:prod/orders`.
    pub(crate) fn what(&self) -> String {
        format!("{} {}", self.doing, self.subject)
    }

    /// Nothing happened.
    pub(crate) fn refused(&self, kind: Kind) -> PortError {
        PortError::refused(kind, format!("{}: {}", self.what(), kind.words()))
    }

    /// It may have happened, if it is a write.
    pub(crate) fn unclear(&self, kind: Kind) -> PortError {
        match self.effect {
            Effect::Read => self.refused(kind),
            Effect::Write => PortError::unknown(kind, format!("{}: {}", self.what(), kind.words())),
        }
    }

    /// The deadline passed before the call was begun.
    pub(crate) fn too_late(&self, deadline: Deadline) -> Option<PortError> {
        (deadline.left() == Duration::ZERO).then(|| self.refused(Kind::Timeout))
    }

    /// A failed call of the SDK.
    pub(crate) fn failed<E>(&self, error: &SdkError<E, HttpResponse>) -> PortError
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        match error {
            SdkError::ServiceError(service) => self.answered(service.raw().status(), service.err().code()),
            SdkError::DispatchFailure(dispatch) => match dispatch.as_connector_error() {
                Some(connector) => self.not_delivered(connector),
                None => self.unclear(Kind::Unreachable),
            },
            SdkError::TimeoutError(_) => self.unclear(Kind::Timeout),
            // The request was never put together: nothing was sent.
            SdkError::ConstructionFailure(_) => self.not_sent(error),
            SdkError::ResponseError(response) => {
                let status = response.raw().status();
                self.unclear(Kind::Malformed).with_code(format!("HTTP {}", status.as_u16()))
            }
            _ => self.unclear(Kind::Other),
        }
    }

    /// An answer that is an error: AWS's code decides, the HTTP status where there is none.
    pub(crate) fn answered(&self, status: StatusCode, code: Option<&str>) -> PortError {
        let Some(code) = code else {
            // Not in the service's words: a proxy, a load balancer, a page of somebody else.
            let kind = match status.as_u16() {
                403 | 407 => Kind::Denied,
                429 => Kind::Throttled,
                500.. => Kind::Busy,
                _ => Kind::Other,
            };
            let error = self.unclear(kind).with_code(format!("HTTP {}", status.as_u16()));
            return if kind == Kind::Denied { error.with_hint(STRANGER_HINT) } else { error };
        };
        let (kind, hint) = self.meaning(code);
        // A code with a server error's status says that the service stumbled, not how far it had got.
        let certain =
            WRONG_REGION_CODES.contains(&code) || status.is_client_error() && !UNCERTAIN_CODES.contains(&code);
        let error = if certain { self.refused(kind) } else { self.unclear(kind) };
        let error = error.with_code(code);
        let error = match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        };
        match self.mend(code) {
            Some(mend) => error.with_mend(mend),
            None => error,
        }
    }

    /// No answer came. Refused only if no connection was made, for then no byte of the request left.
    pub(crate) fn not_delivered(&self, error: &ConnectorError) -> PortError {
        if let Some(no_credentials) = self.without_credentials(error) {
            return no_credentials;
        }
        if !never_connected(error) {
            let kind = if error.is_timeout() { Kind::Timeout } else { Kind::Unreachable };
            return self.unclear(kind);
        }
        if let Some(trouble) = ProxyTrouble::of(error) {
            return trouble.told(self.refused(trouble.kind()));
        }
        if find::<rustls::Error>(error).is_some() {
            let hint = "the certificate of the endpoint is not trusted or is for another name; for a private endpoint with its \
                        own authority, add its root certificate";
            return self.refused(Kind::Tls).with_hint(hint);
        }
        self.refused(Kind::Unreachable).with_hint(REACH_HINT)
    }

    fn not_sent(&self, error: &(dyn Error + 'static)) -> PortError {
        self.without_credentials(error).unwrap_or_else(|| self.refused(Kind::Other))
    }

    /// Set if the call failed because there are no credentials to sign with.
    pub(crate) fn without_credentials(&self, error: &(dyn Error + 'static)) -> Option<PortError> {
        find::<CredentialsError>(error)?;
        if let Some(trouble) = ProxyTrouble::of(error) {
            return Some(trouble.told(self.refused(trouble.kind())));
        }
        if find::<RoleRefused>(error).is_none() {
            return Some(self.refused(Kind::Denied).with_hint(CREDENTIALS_HINT));
        }
        let is_away = find::<hyper_util::client::legacy::Error>(error).is_some();
        Some(self.refused(if is_away { Kind::Unreachable } else { Kind::Denied }).with_hint(ROLE_HINT))
    }

    /// What an AWS error code means, and what to do about it.
    fn meaning(&self, code: &str) -> (Kind, Option<String>) {
        match code {
            "AccessDeniedException"
            | "AccessDenied"
            | "AuthorizationError"
            | "UnauthorizedOperation"
            | "NotAuthorized" => {
                let hint = format!(
                    "allow {} on {}; with a customer managed key also kms:Decrypt{} on that key",
                    self.action,
                    self.subject,
                    if self.effect == Effect::Write { " and kms:GenerateDataKey" } else { "" },
                );
                (Kind::Denied, Some(hint))
            }
            "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignature"
            | "InvalidToken"
            | "InvalidAccessKeyId" => (Kind::Denied, Some(SIGNATURE_HINT.to_owned())),
            "EncryptionFailure" | "DecryptionFailure" | "InvalidKeyId" | "KMSAccessDeniedException" => {
                (Kind::Denied, Some("the key that encrypts it is disabled, deleted or not usable by us".to_owned()))
            }
            "ResourceNotFoundException"
            | "ParameterNotFound"
            | "ParameterVersionNotFound"
            | "NoSuchKey"
            | "NotFound"
            | "NoSuchVersion" => (Kind::NotFound, None),
            "NoSuchBucket" => (Kind::NotFound, Some("there is no bucket of this name".to_owned())),
            "ResourceExistsException" => (Kind::Exists, None),
            "PreconditionFailed" => (Kind::Conflict, None),
            "ConditionalRequestConflict" | "OperationAborted" => (Kind::Busy, None),
            "RequestTimeTooSkewed" => {
                (Kind::Denied, Some("this machine's clock is more than 15 minutes off AWS's: correct it".to_owned()))
            }
            "InvalidObjectState" => (
                Kind::Other,
                Some("the object is in an archive tier and has to be restored before it is read".to_owned()),
            ),
            code if WRONG_REGION_CODES.contains(&code) => (Kind::Other, Some(REGION_HINT.to_owned())),
            "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "SlowDown" => (Kind::Throttled, None),
            "InternalError"
            | "InternalServiceError"
            | "InternalServerError"
            | "InternalFailure"
            | "ServiceUnavailable"
            | "ServiceUnavailableException" => (Kind::Busy, None),
            "LimitExceededException" => {
                let hint = "the secret is at AWS's limit of versions (about 100) or labels (20); remove labels that nobody \
                            needs with: aws secretsmanager update-secret-version-stage";
                (Kind::Other, Some(hint.to_owned()))
            }
            _ => (Kind::Other, None),
        }
    }
}

impl Call<'_> {
    /// The command that mends it, for codes that leave no doubt.
    fn mend(&self, code: &str) -> Option<Mend> {
        match code {
            "AccessDeniedException"
            | "AccessDenied"
            | "AuthorizationError"
            | "UnauthorizedOperation"
            | "NotAuthorized" => Some(Mend::Rights(Cloud::Aws)),
            "ResourceNotFoundException" => {
                let id = self.subject.strip_prefix("aws-sm:")?;
                let id = shell_word(id.split_once('#').map_or(id, |(id, _)| id));
                let command =
                    format!("aws secretsmanager create-secret --name {id} --secret-string file://secret.json");
                // A secret that is named by its ARN cannot be made under it.
                (!id.starts_with("arn:")).then_some(Mend::Shell(command))
            }
            "ParameterNotFound" => {
                let name = self.subject.strip_prefix("aws-ssm:")?;
                let name = shell_word(name.split_once(':').map_or(name, |(name, _)| name));
                let command =
                    format!("aws ssm put-parameter --name {name} --type SecureString --value file://secret.txt");
                Some(Mend::Shell(command))
            }
            "NoSuchBucket" => {
                let bucket = self.subject.strip_prefix("s3://")?.split('/').next()?;
                Some(Mend::Shell(format!("aws s3 mb {}", shell_word(&format!("s3://{bucket}")))))
            }
            _ => None,
        }
    }
}

/// The same error, told as unknown.
pub(crate) fn unknown(mut error: PortError) -> PortError {
    error.certainty = Certainty::Unknown;
    error
}

/// Codes under which AWS answers before it has read the whole request, or is not sure that it did.
const UNCERTAIN_CODES: &[&str] = &["RequestTimeout", "RequestTimeoutException"];

/// Codes of S3 for a bucket of another region. It does not execute such a request (Amazon S3 API reference, "Error responses").
const WRONG_REGION_CODES: &[&str] =
    &["AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect", "TemporaryRedirect"];

const REGION_HINT: &str =
    "the bucket is in another region: set AWS_REGION to it, or use a bucket in the region that is set";

/// What to do when a role cannot be assumed.
const ROLE_HINT: &str = "the role in `aws.role_arn` could not be assumed: sts:AssumeRole on it is needed, its trust policy has to name who asks \
     (and `aws.external_id`, if it asks for one), and STS has to be in reach";

/// What to do when there are no credentials.
pub(crate) const CREDENTIALS_HINT: &str = "AWS credentials were looked for in the environment, the profile, a web identity \
     token, the container and the instance, and none were usable; set AWS_PROFILE or AWS_ACCESS_KEY_ID and \
     AWS_SECRET_ACCESS_KEY, or give the workload a role";

const SIGNATURE_HINT: &str =
    "AWS does not accept the credentials or the signature: check the key, the region and this machine's clock";

const STRANGER_HINT: &str = "refused without one of AWS's error codes: a proxy or an endpoint policy on the way may have answered, or the \
     key or signature was not accepted";

const REACH_HINT: &str = "no connection could be made: check the region, AWS_ENDPOINT_URL, name resolution and the route \
     (in a private network: the interface endpoint of the service)";

/// Whether the transport failed while connecting (name, TCP, TLS), so that nothing of the request was sent. An error of
/// another shape than known counts as connected.
fn never_connected(error: &ConnectorError) -> bool {
    find::<hyper_util::client::legacy::Error>(error).is_some_and(hyper_util::client::legacy::Error::is_connect)
}

/// The first error of this type in the chain of causes, also inside of I/O errors, which hide theirs.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    for _ in 0..MAX_CAUSES {
        let error = next?;
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Longer than any chain seen (six), so that a cyclic one ends.
const MAX_CAUSES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: Call<'static> = Call {
        doing: "promote",
        subject: "aws-sm:prod/orders",
        action: "secretsmanager:UpdateSecretVersionStage",
        effect: Effect::Write,
    };

    fn answered(effect: Effect, status: u16, code: Option<&str>) -> (Certainty, Kind) {
        let error = Call { effect, ..WRITE }.answered(StatusCode::try_from(status).unwrap(), code);
        (error.certainty, error.kind)
    }

    #[test]
    fn only_the_services_own_words_refuse_a_write() {
        use Certainty::{Refused, Unknown};
        for (status, code, certainty, kind) in [
            (400, Some("AccessDeniedException"), Refused, Kind::Denied),
            (400, Some("ThrottlingException"), Refused, Kind::Throttled),
            (400, Some("SomethingNew"), Refused, Kind::Other),
            (500, Some("InternalServiceError"), Unknown, Kind::Busy),
            (503, Some("ThrottlingException"), Unknown, Kind::Throttled),
            (400, Some("RequestTimeoutException"), Unknown, Kind::Other),
            (403, None, Unknown, Kind::Denied),
            (502, None, Unknown, Kind::Busy),
            (302, None, Unknown, Kind::Other),
        ] {
            assert_eq!(answered(Effect::Write, status, code), (certainty, kind), "{status} {code:?}");
            assert_eq!(answered(Effect::Read, status, code), (Refused, kind), "a read changes nothing");
        }
    }

    #[test]
    fn a_denied_call_names_the_action_and_the_secret() {
        let error = WRITE.answered(StatusCode::try_from(400).unwrap(), Some("AccessDeniedException"));
        let hint = error.hint.unwrap();
        assert!(hint.contains("secretsmanager:UpdateSecretVersionStage"), "{hint}");
        assert!(hint.contains("aws-sm:prod/orders"), "{hint}");
        assert!(hint.contains("kms:GenerateDataKey"), "{hint}");
        assert_eq!(error.what, "promote aws-sm:prod/orders: not allowed");
        assert_eq!(error.code.as_deref(), Some("AccessDeniedException"));
    }
}
