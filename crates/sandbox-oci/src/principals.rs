//! Who calls: users with API keys, functions and sessions with tokens, and instances with certificates; and the files that a
//! client finds on its machine.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use aws_lc_rs::digest;
use jiff::Timestamp;

use crate::{
    REGION, TENANCY,
    http::Request,
    keys::{KeyFormat, PASS_PHRASE, RsaKey, colons},
    rights::Rights,
    route::Operation,
    signature::{Authorization, Refusal},
    tokens,
};

/// A user with an API key.
#[derive(Clone, Debug)]
pub struct Principal {
    name: String,
    user: String,
    fingerprint: String,
    key: Arc<RsaKey>,
}

/// The files of a principal, as `~/.oci` holds them.
#[derive(Clone, Debug)]
pub struct ConfigFiles {
    /// The configuration file; its profile is `DEFAULT`.
    pub config: PathBuf,
    /// The private key, readable by its owner only.
    pub key: PathBuf,
}

impl Principal {
    pub(crate) fn make(name: &str) -> Result<Self> {
        let key = RsaKey::generate()?;
        let fingerprint = key.fingerprint()?;
        let user = format!("ocid1.user.oc1..sandbox{name}");
        Ok(Self { name: name.to_owned(), user, fingerprint, key: Arc::new(key) })
    }

    /// Its name in the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `TENANCY/USER/FINGERPRINT`.
    #[must_use]
    pub fn key_id(&self) -> String {
        format!("{TENANCY}/{}/{}", self.user, self.fingerprint)
    }

    /// The user's OCID.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The fingerprint of its API key.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The private key.
    ///
    /// # Errors
    /// If there is no randomness for an encrypted form.
    pub fn private_key_pem(&self, format: KeyFormat) -> Result<String> {
        self.key.pem(format)
    }

    /// Writes `config` and `oci_api_key.pem` into a folder.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write_config(&self, folder: &Path, format: KeyFormat) -> Result<ConfigFiles> {
        let (config, key) = (folder.join("config"), folder.join("oci_api_key.pem"));
        let mut text = format!(
            "[DEFAULT]\nuser={}\nfingerprint={}\ntenancy={TENANCY}\nregion={REGION}\nkey_file={}\n",
            self.user,
            self.fingerprint,
            key.display()
        );
        if format.encrypted() {
            text += &format!("pass_phrase={PASS_PHRASE}\n");
        }
        write(&config, &text)?;
        write(&key, &self.key.pem(format)?)?;
        Ok(ConfigFiles { config, key })
    }
}

/// A token and the key that goes with it, as a function (resource principal 2.2) or a session has them.
#[derive(Clone, Debug)]
pub struct Session {
    token: String,
    key: Arc<RsaKey>,
}

impl Session {
    pub(crate) const fn new(token: String, key: Arc<RsaKey>) -> Self {
        Self { token, key }
    }

    /// The JWT.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// `ST$JWT`.
    #[must_use]
    pub fn key_id(&self) -> String {
        format!("ST${}", self.token)
    }

    /// The session's private key.
    ///
    /// # Errors
    /// If there is no randomness for an encrypted form.
    pub fn private_key_pem(&self, format: KeyFormat) -> Result<String> {
        self.key.pem(format)
    }

    /// Writes (or, after a renewal, overwrites) the files that OCI Functions gives to a container, and returns the environment
    /// that names them.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write_resource_principal(&self, folder: &Path, format: KeyFormat) -> Result<Vec<(String, String)>> {
        let (token, key) = (folder.join("rpst"), folder.join("private.pem"));
        write(&token, &self.token)?;
        write(&key, &self.key.pem(format)?)?;
        let mut env = vec![
            ("OCI_RESOURCE_PRINCIPAL_VERSION".to_owned(), "2.2".to_owned()),
            ("OCI_RESOURCE_PRINCIPAL_REGION".to_owned(), REGION.to_owned()),
            ("OCI_RESOURCE_PRINCIPAL_RPST".to_owned(), token.display().to_string()),
            ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM".to_owned(), key.display().to_string()),
        ];
        if format.encrypted() {
            let phrase = folder.join("passphrase");
            write(&phrase, PASS_PHRASE)?;
            let name = "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE".to_owned();
            env.push((name, phrase.display().to_string()));
        }
        Ok(env)
    }

    /// Writes `config`, `session.pem` and `token` as `oci session authenticate` leaves them.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write_config(&self, folder: &Path, format: KeyFormat) -> Result<ConfigFiles> {
        let (config, key, token) = (folder.join("config"), folder.join("session.pem"), folder.join("token"));
        let mut text = format!(
            "[DEFAULT]\nfingerprint={}\ntenancy={TENANCY}\nregion={REGION}\nkey_file={}\nsecurity_token_file={}\n",
            self.key.fingerprint()?,
            key.display(),
            token.display()
        );
        if format.encrypted() {
            text += &format!("pass_phrase={PASS_PHRASE}\n");
        }
        write(&config, &text)?;
        write(&key, &self.key.pem(format)?)?;
        write(&token, &self.token)?;
        Ok(ConfigFiles { config, key })
    }
}

/// A compute instance: a leaf certificate with its key, which the federation call turns into a session.
#[derive(Clone, Debug)]
pub struct Instance {
    pub(crate) name: String,
    pub(crate) certificate: Vec<u8>,
    pub(crate) certificate_pem: String,
    pub(crate) intermediate: Vec<u8>,
    pub(crate) intermediate_pem: String,
    pub(crate) key: Arc<RsaKey>,
}

impl Instance {
    /// The leaf certificate, whose subject names the tenancy.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The key of the certificate.
    ///
    /// # Errors
    /// If there is no randomness for an encrypted form.
    pub fn private_key_pem(&self, format: KeyFormat) -> Result<String> {
        self.key.pem(format)
    }

    /// `TENANCY/fed-x509/SHA1:OF:CERTIFICATE`, as Oracle's SDK for Python signs.
    #[must_use]
    pub fn key_id(&self) -> String {
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.certificate);
        format!("{TENANCY}/fed-x509/{}", colons(hash.as_ref()).to_uppercase())
    }

    /// `TENANCY/fed-x509-sha256/sha256:of:certificate`, as Oracle's SDK for Go signs.
    #[must_use]
    pub fn sha256_key_id(&self) -> String {
        let hash = digest::digest(&digest::SHA256, &self.certificate);
        format!("{TENANCY}/fed-x509-sha256/{}", colons(hash.as_ref()))
    }
}

/// Everybody whom the services know.
#[derive(Debug)]
pub(crate) struct Principals {
    /// Signs tokens; made with the first of them.
    issuer: Option<RsaKey>,
    known: Vec<(Principal, Rights)>,
    sessions: Vec<(String, Rights)>,
    pub(crate) instances: Vec<Instance>,
}

/// A caller whose signature was good.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) rights: Rights,
}

impl Principals {
    pub(crate) const fn new() -> Self {
        Self { issuer: None, known: Vec::new(), sessions: Vec::new(), instances: Vec::new() }
    }

    /// Makes a token for the public half of a session key, modulus and exponent.
    pub(crate) fn issue(
        &mut self,
        name: &str,
        key: (&[u8], &[u8]),
        from: Timestamp,
        until: Timestamp,
    ) -> Result<String> {
        let issuer = match self.issuer.take() {
            Some(issuer) => issuer,
            None => RsaKey::generate()?,
        };
        tokens::issue(self.issuer.insert(issuer), name, key, from, until)
    }

    pub(crate) fn add(&mut self, principal: Principal, rights: Rights) {
        self.known.push((principal, rights));
    }

    /// Registers the rights of a name that comes with tokens.
    pub(crate) fn add_session(&mut self, name: &str, rights: Rights) {
        self.sessions.retain(|(known, _)| known != name);
        self.sessions.push((name.to_owned(), rights));
    }

    /// Replaces what a principal may do; says whether there is such a principal.
    pub(crate) fn set_rights(&mut self, name: &str, rights: &Rights) -> bool {
        let users = self.known.iter_mut().filter(|(known, _)| known.name == name).map(|(_, rights)| rights);
        let sessions = self.sessions.iter_mut().filter(|(known, _)| known == name).map(|(_, rights)| rights);
        let mut found = false;
        for place in users.chain(sessions) {
            *place = rights.clone();
            found = true;
        }
        found
    }

    /// Takes the API key of a principal away, as deleting it in the console does.
    pub(crate) fn forget(&mut self, name: &str) {
        self.known.retain(|(known, _)| known.name != name);
        self.sessions.retain(|(known, _)| known != name);
    }

    /// Who signed a request.
    pub(crate) fn authenticate(
        &self,
        request: &Request,
        operation: Operation,
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        let authorization = Authorization::of(request)?;
        authorization.check_coverage(request, operation, now)?;
        if let Some(token) = authorization.key_id.strip_prefix("ST$") {
            let issuer = self.issuer.as_ref().ok_or(Refusal::Token)?;
            let (name, key) = tokens::open(issuer, token, now)?;
            authorization.check_key(request, &key)?;
            let (name, rights) = self.sessions.iter().find(|(known, _)| *known == name).ok_or(Refusal::UnknownKey)?;
            return Ok(Caller { name: name.clone(), rights: rights.clone() });
        }
        let known = self.known.iter().find(|(known, _)| known.key_id() == authorization.key_id);
        let (principal, rights) = known.ok_or(Refusal::UnknownKey)?;
        authorization.check_key(request, &principal.key.public())?;
        Ok(Caller { name: principal.name.clone(), rights: rights.clone() })
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("create {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))
}
