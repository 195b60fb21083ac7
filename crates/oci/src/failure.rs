//! From failed OCI calls to port errors: which kind, and whether anything happened.
//!
//! Judged by OCI's error code, the HTTP status and how far the request got; never by a message, which may echo input. A write
//! counts as refused only if OCI said so with a code of its own and a client error's status, or if no connection was made.
//! All else is unknown. Codes: Oracle documentation, "API Errors" (API/References/apierrors.htm), and Object Storage's own.

use core::time::Duration;

use dizzy_engine::Timestamp;
use dizzy_host::port::{Certainty, Cloud, Deadline, Kind, Mend, PortError};
use dizzy_web::{Answer, Broken};
use http::{Method, StatusCode};
use serde::Deserialize;

use crate::http_date::parse_http_date;

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
    /// The reference in the configuration: `oci-vault:ocid1.vaultsecret...`.
    pub(crate) subject: &'a str,
    /// What a policy has to allow: `read secret-bundles`.
    pub(crate) right: &'a str,
    /// Whether it can change anything.
    pub(crate) effect: Effect,
}

/// A failed call, with OCI's code for whoever can do something about it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) error: PortError,
    pub(crate) code: Option<&'static str>,
}

impl Failure {
    /// Whether this is the code.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code == Some(code)
    }

    /// Whether sending the same again may help and can do no harm.
    pub(crate) fn is_passing(&self, effect: Effect) -> bool {
        match (effect, self.error.certainty) {
            (Effect::Read, _) => {
                matches!(self.error.kind, Kind::Busy | Kind::Throttled | Kind::Timeout | Kind::Unreachable)
            }
            // Certainly not executed, for a reason that says nothing about the request.
            (Effect::Write, Certainty::Refused) => matches!(self.error.kind, Kind::Throttled | Kind::Unreachable),
            (Effect::Write, Certainty::Unknown) => false,
        }
    }
}

impl From<Failure> for PortError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        Self { error, code: None }
    }
}

/// A request as an answer to it is judged.
pub(crate) struct Sent<'a> {
    pub(crate) method: &'a Method,
    /// Our clock when it was signed.
    pub(crate) at: Timestamp,
    /// The `opc-request-id` that we sent.
    pub(crate) request_id: &'a str,
}

impl Call<'_> {
    /// `read the current version of oci-vault:ocid1.vaultsecret...`.
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

    /// No answer came, or none that could be read.
    pub(crate) fn broken(&self, broken: Broken, sent: &Sent<'_>) -> PortError {
        match broken {
            Broken::NotConnected => self.refused(Kind::Unreachable).with_hint(REACH_HINT),
            Broken::NotTrusted => self.refused(Kind::Tls).with_hint(TRUST_HINT),
            Broken::Proxy(trouble) => trouble.told(self.refused(trouble.kind())),
            Broken::Midway => self.unclear(Kind::Unreachable).with_code(request_code(None, sent.request_id)),
            Broken::TooLong => self
                .unclear(Kind::Malformed)
                .with_code(request_code(None, sent.request_id))
                .with_hint("the answer is longer than any that is expected: is the reference right?"),
        }
    }

    /// An answer that is an error: OCI's code decides, the HTTP status where there is none.
    pub(crate) fn answered(&self, answer: &Answer, sent: &Sent<'_>) -> Failure {
        let status = answer.status;
        let code = code_of(&answer.body).or_else(|| headless_code(sent.method, status));
        let request_id = request_id(answer, sent.request_id);
        let Some(code) = code else {
            // Not in OCI's words: a proxy, a load balancer, a page of somebody else, or a code that we do not know.
            let kind = match status.as_u16() {
                401 | 403 | 407 => Kind::Denied,
                429 => Kind::Throttled,
                500.. => Kind::Busy,
                _ => Kind::Other,
            };
            let status = format!("HTTP {}", status.as_u16());
            let error = self.unclear(kind).with_code(request_code(Some(&status), request_id));
            let error = if kind == Kind::Denied { error.with_hint(STRANGER_HINT) } else { error };
            return Failure { error, code: None };
        };
        let (kind, hint) = self.meaning(code, answer, sent);
        // A code with a server error's status says that the service stumbled, not how far it had got.
        let error = if status.is_client_error() { self.refused(kind) } else { self.unclear(kind) };
        let error = error.with_code(request_code(Some(code), request_id));
        let error = match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        };
        let is_about_rights = code.starts_with("NotAuthorized") || code.ends_with("NotFound") || kind == Kind::Denied;
        let error = if is_about_rights && code != "NotAuthenticated" && kind != Kind::Exists {
            error.with_mend(Mend::Rights(Cloud::Oci))
        } else {
            error
        };
        Failure { error, code: Some(code) }
    }

    /// What a code of OCI means, and what to do about it.
    fn meaning(&self, code: &str, answer: &Answer, sent: &Sent<'_>) -> (Kind, Option<String>) {
        match code {
            "NotAuthenticated" => (Kind::Denied, Some(not_authenticated(answer, sent.at))),
            "NotAuthorized" | "SignUpRequired" | "InsufficientServicePermissions" => {
                (Kind::Denied, Some(format!("a policy must allow to {} there", self.right)))
            }
            "NotAuthorizedOrNotFound" | "NotFound" | "BucketNotFound" | "ObjectNotFound" | "NamespaceNotFound" => {
                let hint = format!(
                    "OCI answers alike if it is not there and if we may not see it: check the name and the region, and \
                     that a policy allows to {} there",
                    self.right
                );
                (Kind::NotFound, Some(hint))
            }
            "NotAuthorizedOrResourceAlreadyExists" | "IfNoneMatchFailed" => (Kind::Exists, None),
            "NoEtagMatch" | "IfMatchFailed" | "Conflict" => (Kind::Conflict, None),
            "IncorrectState" | "LockConflict" | "ConcurrentObjectUpdate" => (Kind::Busy, None),
            "TooManyRequests" => (Kind::Throttled, None),
            "InternalServerError" | "ServiceUnavailable" => (Kind::Busy, None),
            // Object Storage: "the object is in an archive and has to be restored", with status 409.
            "NotRestored" => {
                (Kind::Other, Some("the object is archived and has to be restored before it is read".to_owned()))
            }
            "LimitExceeded" | "QuotaExceeded" => {
                (Kind::Other, Some("a limit of the tenancy or of the resource is reached".to_owned()))
            }
            _ => (Kind::Other, None),
        }
    }
}

/// OCI's answer to everything that is wrong with a signature; the answer's date tells whether it is the clock.
fn not_authenticated(answer: &Answer, ours: Timestamp) -> String {
    let theirs = answer.headers.get("date").and_then(|date| date.to_str().ok()).and_then(parse_http_date);
    let Some(theirs) = theirs else { return SIGNATURE_HINT.to_owned() };
    let skew_s = ours.0.saturating_sub(theirs.0) / 1000;
    if skew_s.unsigned_abs() < TELLING_SKEW_S {
        return SIGNATURE_HINT.to_owned();
    }
    let side = if skew_s > 0 { "ahead of" } else { "behind" };
    let skew_s = skew_s.unsigned_abs();
    format!("this machine's clock is {skew_s} s {side} OCI's, which accepts at most 300 s: correct the clock")
}

/// OCI accepts five minutes (Oracle documentation: "Maximum Allowed Client Clock Skew"). A little less is told as well,
/// because the answer took time.
const TELLING_SKEW_S: u64 = 270;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    code: std::borrow::Cow<'a, str>,
}

fn code_of(body: &[u8]) -> Option<&'static str> {
    let body: Body<'_> = serde_json::from_slice(body).ok()?;
    CODES.iter().find(|code| **code == body.code).copied()
}

/// The answer to a HEAD has no body, so that the status must do.
fn headless_code(method: &Method, status: StatusCode) -> Option<&'static str> {
    (method == Method::HEAD && status == StatusCode::NOT_FOUND).then_some("NotFound")
}

/// The codes that may appear in our errors. Whatever else a server puts there is not repeated.
const CODES: &[&str] = &[
    "BucketNotFound",
    "CannotParseRequest",
    "ConcurrentObjectUpdate",
    "Conflict",
    "IfMatchFailed",
    "IfNoneMatchFailed",
    "IncorrectState",
    "InsufficientServicePermissions",
    "InternalServerError",
    "InvalidParameter",
    "LimitExceeded",
    "LockConflict",
    "MethodNotAllowed",
    "MissingParameter",
    "NamespaceNotFound",
    "NoEtagMatch",
    "NotAuthenticated",
    "NotAuthorized",
    "NotAuthorizedOrNotFound",
    "NotAuthorizedOrResourceAlreadyExists",
    "NotFound",
    "NotRestored",
    "ObjectNotFound",
    "PayloadTooLarge",
    "QuotaExceeded",
    "ServiceUnavailable",
    "SignUpRequired",
    "TooManyRequests",
    "UnmatchedContentMD5",
    "UnsupportedMediaType",
];

/// Theirs if it continues ours and is plain, for it is what Oracle's support asks for; ours otherwise.
fn request_id<'a>(answer: &'a Answer, ours: &'a str) -> &'a str {
    let theirs = answer.headers.get("opc-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'/' || byte == b'-';
    let fits = theirs.starts_with(ours) && theirs.len() <= MAX_REQUEST_ID && theirs.bytes().all(is_plain);
    if fits { theirs } else { ours }
}

/// Three ids of 32 characters with slashes between them, as answers of OCI show.
const MAX_REQUEST_ID: usize = 100;

fn request_code(code: Option<&str>, request_id: &str) -> String {
    match code {
        Some(code) => format!("{code}, opc-request-id {request_id}"),
        None => format!("opc-request-id {request_id}"),
    }
}

pub(crate) const SIGNATURE_HINT: &str = "OCI does not accept the signature: check that the public half of the key is uploaded for this user \
     under this `fingerprint`, and `tenancy` and `user` in the profile; a session's token may have expired";

const STRANGER_HINT: &str = "refused without one of OCI's error codes: a proxy on the way may have answered";

const REACH_HINT: &str = "no connection could be made: check the region, the endpoints that are set, name resolution and the \
     route (in a private network: a service gateway)";

const TRUST_HINT: &str = "the certificate of the endpoint is not trusted or is for another name; it must lead to a public root and \
     be for the host that is called";

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use zeroize::Zeroizing;

    use super::*;

    const WRITE: Call<'static> = Call {
        doing: "move CURRENT of",
        subject: "oci-vault:ocid1.vaultsecret.oc1..x",
        right: "use secrets",
        effect: Effect::Write,
    };
    const NOW: Timestamp = Timestamp(1_795_374_000_000);

    fn answer(status: u16, body: &str, headers: &[(&'static str, &str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.collect::<HeaderMap>(),
            body: Zeroizing::new(body.as_bytes().to_vec()),
        }
    }

    fn answered(effect: Effect, answer: &Answer) -> PortError {
        let sent = Sent { method: &Method::PUT, at: NOW, request_id: "AB12" };
        Call { effect, ..WRITE }.answered(answer, &sent).error
    }

    #[test]
    fn only_ocis_own_words_refuse_a_write() {
        use Certainty::{Refused, Unknown};
        for (status, code, certainty, kind) in [
            (404, "NotAuthorizedOrNotFound", Refused, Kind::NotFound),
            (409, "IncorrectState", Refused, Kind::Busy),
            (412, "NoEtagMatch", Refused, Kind::Conflict),
            (429, "TooManyRequests", Refused, Kind::Throttled),
            (400, "InvalidParameter", Refused, Kind::Other),
            (400, "canary-code", Unknown, Kind::Other),
            (500, "InternalServerError", Unknown, Kind::Busy),
            (503, "TooManyRequests", Unknown, Kind::Throttled),
            (429, "canary-code", Unknown, Kind::Throttled),
            (302, "canary-code", Unknown, Kind::Other),
        ] {
            let answer = answer(status, &format!("{{\"message\":\"canary\",\"code\":\"{code}\"}}"), &[]);
            let error = answered(Effect::Write, &answer);
            assert_eq!((error.certainty, error.kind), (certainty, kind), "{status} {code}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
            assert_eq!(answered(Effect::Read, &answer).certainty, Refused, "a read changes nothing");
        }
        for body in ["", "canary", "[\"canary\"]", "{\"code\":7}"] {
            let error = answered(Effect::Write, &answer(404, body, &[]));
            assert_eq!((error.certainty, error.kind), (Unknown, Kind::Other), "{body}");
        }
    }

    #[test]
    fn an_error_tells_the_request_id_and_repeats_nothing_else() {
        for (header, shown) in [
            ("AB12/cd/ef", "AB12/cd/ef"),
            ("AB12 canary", "AB12"),
            ("canary", "AB12"),
            (&*format!("AB12{}", "0".repeat(200)), "AB12"),
        ] {
            let answer = answer(409, "{\"code\":\"IncorrectState\"}", &[("opc-request-id", header)]);
            let error = answered(Effect::Write, &answer);
            assert_eq!(error.code.unwrap(), format!("IncorrectState, opc-request-id {shown}"));
        }
    }

    #[test]
    fn a_refused_signature_says_whether_it_is_the_clock() {
        let hint = |date: &str| {
            let answer = answer(401, "{\"code\":\"NotAuthenticated\"}", &[("date", date)]);
            answered(Effect::Read, &answer).hint.unwrap()
        };
        assert!(hint("Sun, 22 Nov 2026 18:50:00 GMT").contains("600 s ahead of OCI's"));
        assert!(hint("Sun, 22 Nov 2026 19:10:00 GMT").contains("600 s behind OCI's"));
        for date in ["Sun, 22 Nov 2026 19:00:30 GMT", "canary"] {
            assert!(hint(date).contains("fingerprint"), "{date}");
        }
    }
}
