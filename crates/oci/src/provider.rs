//! Who signs: a user's API key or a session's token, from OCI's configuration file.
//!
//! [`OciAuth`] is what the composition root chooses; [`Provider`] is what the client asks for a signer. Tokens expire and are
//! renewed in their files by somebody else, so a provider can be asked to read again. Resource and instance principals fit in
//! as further arms: they differ in where key and token come from, not in how they sign.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::rsa::KeyPair;
use dizzy_host::port::{Deadline, Kind, PortError, PortResult};
use tokio::{sync::Mutex, time::timeout_at};
use zeroize::Zeroizing;

use crate::{
    config_file::{Identity, MAX_FILE, Profile},
    pem::{MAX_PEM, private_key},
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
}

/// A signer and what its source says about the place.
pub(crate) struct Signed {
    pub(crate) signer: Signer,
    /// The region that the source names.
    pub(crate) region: Option<String>,
    /// Whether reading again may give another signer.
    pub(crate) renewable: bool,
}

/// Gives the signer; reads the files at the first call.
pub(crate) struct Provider {
    auth: OciAuth,
    loaded: Mutex<Option<Arc<Signed>>>,
}

impl Provider {
    pub(crate) fn new(auth: OciAuth) -> Self {
        Self { auth, loaded: Mutex::default() }
    }

    /// The signer, read once.
    pub(crate) async fn signed(&self, deadline: Deadline) -> PortResult<Arc<Signed>> {
        self.get(None, deadline).await
    }

    /// A signer after `refused` was not accepted: read again if that can help, `None` if it cannot.
    pub(crate) async fn renewed(&self, refused: &Arc<Signed>, deadline: Deadline) -> PortResult<Option<Arc<Signed>>> {
        if !refused.renewable {
            return Ok(None);
        }
        self.get(Some(refused), deadline).await.map(Some)
    }

    async fn get(&self, refused: Option<&Arc<Signed>>, deadline: Deadline) -> PortResult<Arc<Signed>> {
        let late = || PortError::refused(Kind::Timeout, "read the OCI credentials: no answer in time");
        let load = async {
            let mut loaded = self.loaded.lock().await;
            match &*loaded {
                // Another call may have read again already.
                Some(there) if refused.is_none_or(|refused| !Arc::ptr_eq(refused, there)) => Ok(Arc::clone(there)),
                Some(_) | None => {
                    let auth = self.auth.clone();
                    let read = tokio::task::spawn_blocking(move || auth.load()).await;
                    let signed = Arc::new(read.map_err(|_| unreadable("the OCI credentials", "a panic"))??);
                    *loaded = Some(Arc::clone(&signed));
                    Ok(signed)
                }
            }
        };
        timeout_at(deadline.instant(), load).await.unwrap_or_else(|_| Err(late()))
    }
}

impl OciAuth {
    fn load(&self) -> PortResult<Signed> {
        match self {
            Self::ConfigFile { file, profile, home } => from_config_file(file, profile, home.as_deref()),
        }
    }
}

fn from_config_file(file: &Path, profile: &str, home: Option<&Path>) -> PortResult<Signed> {
    let what = format!("the OCI configuration file {}", file.display());
    let text = read(file, MAX_FILE).map_err(|error| {
        let hint =
            "OCI_CONFIG_FILE names another one, and OCI_CLI_PROFILE the profile in it; `oci setup config` writes one";
        unreadable(&what, io_code(&error)).with_hint(hint)
    })?;
    let text = str::from_utf8(&text).map_err(|_| unreadable(&what, "not UTF-8"))?;
    let profile = Profile::parse(text, profile, home).map_err(|problem| malformed(&what, &problem.to_string()))?;

    let key = read_key(&profile)?;
    let (key_id, renewable) = match &profile.identity {
        Identity::ApiKey { user, fingerprint } => (format!("{}/{user}/{fingerprint}", profile.tenancy), false),
        Identity::SecurityToken { file } => {
            let what = format!("the OCI security token {}", file.display());
            let token = read(file, MAX_TOKEN).map_err(|error| unreadable(&what, io_code(&error)))?;
            let token = str::from_utf8(&token).map_err(|_| malformed(&what, "it is not a token"))?;
            (format!("ST${}", token.trim()), true)
        }
    };
    let signer = Signer::new(key, Zeroizing::new(key_id)).ok_or_else(|| malformed(&what, "its key id is no key id"))?;
    Ok(Signed { signer, region: profile.region, renewable })
}

fn read_key(profile: &Profile) -> PortResult<KeyPair> {
    let what = format!("the OCI private key {}", profile.key_file.display());
    let pem = read(&profile.key_file, MAX_PEM).map_err(|error| unreadable(&what, io_code(&error)))?;
    private_key(&pem, profile.pass_phrase.as_ref()).map_err(|problem| malformed(&what, &problem.to_string()))
}

/// Tokens have two to four kilobytes; headers cannot carry many more.
const MAX_TOKEN: u64 = 32 * 1024;

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
