//! Who signs: a user's API key, a person's session, a function's resource principal, or the principal of an instance.
//!
//! [`OciAuth`] is what the composition root chooses; [`Provider`] is what the client asks for a signer. Tokens expire and are
//! renewed in their files by somebody else, so they are read again shortly before their end, and once when one is not accepted.
//! The token of an instance is asked for by this program itself, at the same moments.

use core::fmt;
use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::rsa::KeyPair;
use dizzy_engine::Timestamp;
use dizzy_host::{
    port::{Deadline, Kind, PortError, PortResult, SecretReader},
    reference::Reference,
    secret::SecretText,
};
use serde::{Deserialize, Deserializer};
use tokio::{sync::Mutex, time::timeout_at};
use zeroize::Zeroizing;

use crate::{
    clients::OciClients,
    config_file::{Identity, MAX_FILE, Profile},
    endpoints::Place,
    instance_principal::InstancePrincipal,
    pem::{MAX_PEM, private_key},
    resource_principal::{ResourcePrincipal, expiry},
    sign::Signer,
};

/// Where the identity comes from.
#[derive(Clone, Debug)]
pub enum OciAuth {
    /// A profile of OCI's configuration file, with an API key or a security token.
    ConfigFile {
        /// The file, `~/.oci/config` by OCI's custom.
        file: PathBuf,
        /// The profile, [`DEFAULT_PROFILE`](crate::DEFAULT_PROFILE) by OCI's custom.
        profile: String,
        /// What a leading `~` in the file's paths stands for.
        home: Option<PathBuf>,
    },
    /// An API key that is itself a secret: a JSON object with `tenancy`, `user`, `fingerprint`, `key` (PEM), and `region` and
    /// `pass_phrase` if there are any. For places that have no folder of their own (AWS Lambda).
    Fetched(ApiKeySource),
    /// The identity of a function.
    ResourcePrincipal(ResourcePrincipal),
    /// The identity of a machine of OCI compute.
    InstancePrincipal(InstancePrincipal),
}

/// Where an API key is fetched from.
#[derive(Clone)]
pub struct ApiKeySource {
    reader: Arc<dyn SecretReader>,
    reference: Reference,
}

impl ApiKeySource {
    /// The secret behind `reference`, read when a call is first signed.
    #[must_use]
    pub fn new(reader: Arc<dyn SecretReader>, reference: Reference) -> Self {
        Self { reader, reference }
    }

    async fn load(&self, deadline: Deadline) -> PortResult<Signed> {
        let what = format!("the OCI API key {}", self.reference);
        let text = self.reader.read(&self.reference, deadline).await?;
        // What serde says may quote a value.
        let document: ApiKeyDocument = serde_json::from_str(text.expose()).map_err(|_| {
            let wanted = "it is no JSON object with tenancy, user, fingerprint and key";
            malformed(&what, wanted).with_hint("region and pass_phrase may be added; key is the private key as PEM")
        })?;
        let key = key_of(&what, document.key.expose().as_bytes(), document.pass_phrase.as_ref())?;
        let key_id = Zeroizing::new(format!("{}/{}/{}", document.tenancy, document.user, document.fingerprint));
        let signer = Signer::new(key, key_id).ok_or_else(|| malformed(&what, "its key id is no key id"))?;
        // A key that was replaced in its secret is read when the old one is not accepted any more.
        Ok(Signed { signer, region: document.region, realm_domain: None, expires: None, renewable: true })
    }
}

impl fmt::Debug for ApiKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeySource").field("reference", &self.reference).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct ApiKeyDocument {
    tenancy: String,
    user: String,
    fingerprint: String,
    #[serde(deserialize_with = "wiped")]
    key: SecretText,
    #[serde(default)]
    region: Option<String>,
    #[serde(default, deserialize_with = "wiped_if_any")]
    pass_phrase: Option<SecretText>,
}

/// A text of a document that is wiped when it is dropped.
pub(crate) fn wiped<'de, D: Deserializer<'de>>(from: D) -> Result<SecretText, D::Error> {
    String::deserialize(from).map(SecretText::new)
}

fn wiped_if_any<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretText>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(SecretText::new))
}

/// A signer and what its source says about it.
pub(crate) struct Signed {
    pub(crate) signer: Signer,
    /// The region that the source names.
    pub(crate) region: Option<String>,
    /// The second-level domain of its realm, if the source names that, too.
    pub(crate) realm_domain: Option<String>,
    /// When the token ends; `None` for keys, which do not.
    expires: Option<Timestamp>,
    /// Whether reading again may give another signer.
    renewable: bool,
}

impl Signed {
    /// By a key that does not change while it is used.
    pub(crate) fn by_key(signer: Signer, place: Place) -> Self {
        let Place { region, realm_domain } = place;
        Self { signer, region, realm_domain, expires: None, renewable: false }
    }
}

/// A token is renewed in its file well before its end; with less than this left, the file is worth another look. Oracle's
/// Python SDK does alike.
const RENEW_MS: i64 = 60_000;

/// Gives the signer; reads the files at the first call.
pub(crate) struct Provider {
    auth: OciAuth,
    loaded: Mutex<Option<Arc<Signed>>>,
}

impl Provider {
    pub(crate) fn new(auth: OciAuth) -> Self {
        Self { auth, loaded: Mutex::default() }
    }

    /// The signer: the one that was read before, unless it ends soon.
    pub(crate) async fn signed(&self, clients: &OciClients, deadline: Deadline) -> PortResult<Arc<Signed>> {
        let now = clients.clock().now();
        let ends_soon = |there: &Signed| there.expires.is_some_and(|end| end <= now.plus_ms(RENEW_MS));
        self.get(clients, |there| !(there.renewable && ends_soon(there)), deadline).await
    }

    /// A signer after `refused` was not accepted: read again if that can help, `None` if it cannot.
    pub(crate) async fn renewed(
        &self,
        clients: &OciClients,
        refused: &Arc<Signed>,
        deadline: Deadline,
    ) -> PortResult<Option<Arc<Signed>>> {
        if !refused.renewable {
            return Ok(None);
        }
        // Another call may have read again already.
        self.get(clients, |there| !Arc::ptr_eq(refused, there), deadline).await.map(Some)
    }

    async fn get(
        &self,
        clients: &OciClients,
        will_do: impl Fn(&Arc<Signed>) -> bool,
        deadline: Deadline,
    ) -> PortResult<Arc<Signed>> {
        let late = || PortError::refused(Kind::Timeout, "read the OCI credentials: no answer in time");
        let load = async {
            let mut loaded = self.loaded.lock().await;
            if let Some(there) = loaded.as_ref().filter(|there| will_do(there)) {
                return Ok(Arc::clone(there));
            }
            let signed = match &self.auth {
                OciAuth::Fetched(source) => source.load(deadline).await?,
                OciAuth::InstancePrincipal(principal) => principal.load(clients, deadline).await?,
                OciAuth::ConfigFile { .. } | OciAuth::ResourcePrincipal(_) => {
                    let auth = self.auth.clone();
                    let read = tokio::task::spawn_blocking(move || auth.load()).await;
                    read.map_err(|_| unreadable("the OCI credentials", "a panic"))??
                }
            };
            let signed = Arc::new(signed);
            *loaded = Some(Arc::clone(&signed));
            Ok(signed)
        };
        timeout_at(deadline.instant(), load).await.unwrap_or_else(|_| Err(late()))
    }
}

impl OciAuth {
    fn load(&self) -> PortResult<Signed> {
        match self {
            Self::ConfigFile { file, profile, home } => from_config_file(file, profile, home.as_deref()),
            Self::Fetched(_) | Self::InstancePrincipal(_) => {
                Err(unreadable("the OCI credentials", "they are in no file"))
            }
            Self::ResourcePrincipal(principal) => from_resource_principal(principal),
        }
    }
}

fn from_config_file(file: &Path, profile: &str, home: Option<&Path>) -> PortResult<Signed> {
    let what = format!("the OCI configuration file {}", file.display());
    let text = read(file, MAX_FILE).map_err(|error| {
        let hint =
            "OCI_CONFIG_FILE names another one, and OCI_CLI_PROFILE the profile in it; `oci setup config` writes one; \
             an instance of OCI compute needs none, with auth = \"instance_principal\"";
        unreadable(&what, io_code(&error)).with_hint(hint)
    })?;
    let text = str::from_utf8(&text).map_err(|_| unreadable(&what, "not UTF-8"))?;
    let profile = Profile::parse(text, profile, home).map_err(|problem| malformed(&what, &problem.to_string()))?;

    let pem = read_file("the OCI private key", &profile.key_file, MAX_PEM)?;
    let key =
        key_of(&format!("the OCI private key {}", profile.key_file.display()), &pem, profile.pass_phrase.as_ref())?;
    match &profile.identity {
        Identity::ApiKey { user, fingerprint } => {
            let key_id = Zeroizing::new(format!("{}/{user}/{fingerprint}", profile.tenancy));
            let signer = Signer::new(key, key_id).ok_or_else(|| malformed(&what, "its key id is no key id"))?;
            Ok(Signed::by_key(signer, Place::region(profile.region)))
        }
        Identity::SecurityToken { file } => {
            let token = read_file(SECURITY_TOKEN, file, MAX_TOKEN)?;
            with_token(
                &format!("{SECURITY_TOKEN} {}", file.display()),
                key,
                &token,
                Place::region(profile.region),
                true,
            )
        }
    }
}

const SECURITY_TOKEN: &str = "the OCI security token";

/// The files are renewed together, but not at once: a token may be read with a key that is not its own. It is not accepted then,
/// and both are read again.
fn from_resource_principal(principal: &ResourcePrincipal) -> PortResult<Signed> {
    let (what_token, what_key) = ("the token of the OCI resource principal", "the key of the OCI resource principal");
    let passphrase = match &principal.passphrase {
        Some(given) => {
            let what = "the passphrase of the OCI resource principal";
            let bytes = value_or_file(what, given, MAX_TOKEN)?;
            let text = str::from_utf8(&bytes).map_err(|_| malformed(what, "it is not UTF-8"))?;
            Some(SecretText::new(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
        None => None,
    };
    let pem = value_or_file(what_key, &principal.private_key, MAX_PEM)?;
    let key = key_of(what_key, &pem, passphrase.as_ref())?;
    let token = value_or_file(what_token, &principal.token, MAX_TOKEN)?;
    let renewable = is_path(&principal.token);
    with_token(what_token, key, &token, Place::region(principal.region.clone()), renewable)
}

/// A signer by a session key and its token.
pub(crate) fn with_token(what: &str, key: KeyPair, token: &[u8], place: Place, renewable: bool) -> PortResult<Signed> {
    let token = str::from_utf8(token).map_err(|_| malformed(what, "it is not a token"))?.trim();
    let signer = Signer::new(key, Zeroizing::new(format!("ST${token}")));
    let signer = signer.ok_or_else(|| malformed(what, "it is not a token"))?;
    let Place { region, realm_domain } = place;
    Ok(Signed { signer, region, realm_domain, expires: expiry(token), renewable })
}

fn key_of(what: &str, pem: &[u8], passphrase: Option<&SecretText>) -> PortResult<KeyPair> {
    private_key(pem, passphrase).map_err(|problem| malformed(what, &problem.to_string()))
}

/// Tokens have two to four kilobytes; headers cannot carry many more.
const MAX_TOKEN: u64 = 32 * 1024;

fn is_path(given: &SecretText) -> bool {
    given.expose().starts_with('/')
}

fn value_or_file(what: &str, given: &SecretText, limit: u64) -> PortResult<Zeroizing<Vec<u8>>> {
    if is_path(given) {
        return read_file(what, Path::new(given.expose()), limit);
    }
    Ok(Zeroizing::new(given.expose().as_bytes().to_vec()))
}

fn read_file(what: &str, path: &Path, limit: u64) -> PortResult<Zeroizing<Vec<u8>>> {
    read(path, limit).map_err(|error| unreadable(&format!("{what} {}", path.display()), io_code(&error)))
}
/// A file of at most `limit` bytes, wiped when dropped.
fn read(path: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Room for all of it from the start, so that growing leaves no copies behind.
    let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() < room { Ok(bytes) } else { Err(io::ErrorKind::FileTooLarge.into()) }
}

fn io_code(error: &io::Error) -> &'static str {
    let known = [
        (io::ErrorKind::NotFound, "it does not exist"),
        (io::ErrorKind::PermissionDenied, "no permission"),
        (io::ErrorKind::FileTooLarge, "it is far too long"),
        (io::ErrorKind::InvalidInput, "it is not a file"),
    ];
    known.into_iter().find(|(kind, _)| *kind == error.kind()).map_or("input/output error", |(_, words)| words)
}

fn unreadable(what: &str, why: &str) -> PortError {
    PortError::refused(Kind::Denied, format!("read {what}: {why}"))
}

fn malformed(what: &str, why: &str) -> PortError {
    PortError::refused(Kind::Denied, format!("use {what}: {why}"))
}
