//! Secrets from the environment (`env:NAME`) and from files (`file:PATH`).
//!
//! The environment is read through a function that the composition root gives, once it has decided what is in it. Mounted
//! secrets are often symbolic links (Kubernetes), so links are followed here.

use std::{
    ffi::OsString,
    fs::File,
    io::Read as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
};

use async_trait::async_trait;
use rustix::fs::OFlags;
use zeroize::Zeroize as _;

use super::blocking::{self, refused};
use crate::{
    port::{Deadline, Kind, PortError, PortResult, SecretReader},
    reference::Reference,
    secret::SecretText,
};

/// What AWS Secrets Manager allows for one secret; larger files are no secrets.
const SECRET_BYTES: usize = 64 * 1024;

/// Permissions that let others than the owner at a file.
const OTHERS: u32 = 0o077;

/// Looks a variable up.
type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// Reads `env:` and `file:` references.
pub struct EnvFileReader {
    variable: Box<Lookup>,
}

impl EnvFileReader {
    /// A reader that looks variables up with this function.
    pub fn new(variable: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static) -> Self {
        Self { variable: Box::new(variable) }
    }

    fn variable(&self, name: &str) -> PortResult<SecretText> {
        let what = format!("read env:{name}");
        let Some(value) = (self.variable)(name) else {
            let missing = PortError::refused(Kind::NotFound, format!("{what}: the variable is not set"));
            return Err(missing.with_hint(format!("set {name} in the environment of dizzy-keys")));
        };
        match value.into_string() {
            Ok(text) => secret(text, &what),
            Err(_) => Err(PortError::refused(Kind::Malformed, format!("{what}: it is not UTF-8 text"))),
        }
    }
}

#[async_trait]
impl SecretReader for EnvFileReader {
    async fn read(&self, reference: &Reference, deadline: Deadline) -> PortResult<SecretText> {
        match reference {
            Reference::Env { name } => self.variable(name),
            Reference::File { path } => {
                let path = path.clone();
                blocking::run(deadline, format!("read file:{path}"), move |_| file(&path)).await
            }
            Reference::AwsSm { .. } | Reference::AwsSsm { .. } | Reference::OciVault { .. } => {
                Err(PortError::refused(Kind::Other, format!("read {reference}: this reader knows env: and file: only")))
            }
        }
    }
}

fn file(path: &str) -> PortResult<SecretText> {
    let what = format!("read file:{path}");
    // A pipe without a writer must not hold us up.
    let opened = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(
                PortError::refused(Kind::NotFound, format!("{what}: there is no such file")).with_code("ENOENT")
            );
        }
        Err(error) => return Err(refused(&error, what)),
    };
    let metadata = file.metadata().map_err(|error| refused(&error, &*what))?;
    if !metadata.is_file() {
        return Err(PortError::refused(Kind::Malformed, format!("{what}: it is not a regular file")));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        tracing::warn!(path, mode = format!("{mode:04o}"), "others than its owner may use this secret file");
    }
    // Room for all of it at once: a vector that grows leaves copies of the secret behind.
    let mut bytes = Vec::with_capacity(SECRET_BYTES + 1);
    let read = file.take(SECRET_BYTES as u64 + 1).read_to_end(&mut bytes);
    let text = match read {
        Ok(length) if length <= SECRET_BYTES => String::from_utf8(bytes).map_err(|error| {
            error.into_bytes().zeroize();
            PortError::refused(Kind::Malformed, format!("{what}: it is not UTF-8 text"))
        }),
        Ok(_) => {
            bytes.zeroize();
            Err(PortError::refused(Kind::Malformed, format!("{what}: it is larger than {SECRET_BYTES} bytes")))
        }
        Err(error) => {
            bytes.zeroize();
            Err(refused(&error, &*what))
        }
    }?;
    secret(text, &what)
}

/// The text without its last line ending, which editors and `echo` add.
fn secret(mut text: String, what: &str) -> PortResult<SecretText> {
    let length = text.strip_suffix('\n').map_or(text.len(), |line| line.strip_suffix('\r').unwrap_or(line).len());
    text.truncate(length);
    if text.is_empty() {
        return Err(PortError::refused(Kind::Malformed, format!("{what}: it is empty")));
    }
    Ok(SecretText::new(text))
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::{
        io::Write as _,
        os::unix::ffi::OsStringExt as _,
        path::{Path, PathBuf},
    };

    use super::*;

    async fn read(reference: &str) -> PortResult<SecretText> {
        let reader = EnvFileReader::new(|name| match name {
            "ADMIN" => Some(OsString::from("canary\n")),
            "EMPTY" => Some(OsString::new()),
            "BYTES" => Some(OsString::from_vec(vec![0xff])),
            _ => None,
        });
        reader.read(&reference.parse().unwrap(), Deadline::after(Duration::from_secs(20))).await
    }

    fn file_with(folder: &Path, bytes: &[u8]) -> PathBuf {
        let path = folder.join("secret");
        (&File::create(&path).unwrap()).write_all(bytes).unwrap();
        path
    }

    #[tokio::test]
    async fn variables_and_files_lose_one_line_ending_and_nothing_else() {
        assert_eq!(read("env:ADMIN").await, Ok(SecretText::new("canary".to_owned())));
        let temp = tempfile::tempdir().unwrap();
        for (bytes, text) in
            [("canary", "canary"), ("canary\r\n", "canary"), ("a\n\n", "a\n"), (" a \r", " a \r"), ("ü\n", "ü")]
        {
            let path = file_with(temp.path(), bytes.as_bytes());
            assert_eq!(read(&format!("file:{}", path.display())).await, Ok(SecretText::new(text.to_owned())));
        }
        let link = temp.path().join("link");
        std::os::unix::fs::symlink(temp.path().join("secret"), &link).unwrap();
        assert!(read(&format!("file:{}", link.display())).await.is_ok(), "mounted secrets are links");
    }

    #[tokio::test]
    async fn what_is_no_secret_is_refused_with_the_reason() {
        let temp = tempfile::tempdir().unwrap();
        let path = |name: &str| format!("file:{}", temp.path().join(name).display());
        file_with(temp.path(), &vec![b'x'; SECRET_BYTES + 1]);
        std::fs::create_dir(temp.path().join("folder")).unwrap();
        (&File::create(temp.path().join("binary")).unwrap()).write_all(&[0xff, 0xfe]).unwrap();
        File::create(temp.path().join("empty")).unwrap();
        for (reference, kind) in [
            ("env:ABSENT".to_owned(), Kind::NotFound),
            ("env:EMPTY".to_owned(), Kind::Malformed),
            ("env:BYTES".to_owned(), Kind::Malformed),
            (path("absent"), Kind::NotFound),
            (path("secret"), Kind::Malformed),
            (path("folder"), Kind::Malformed),
            (path("binary"), Kind::Malformed),
            (path("empty"), Kind::Malformed),
            ("aws-sm:prod/orders".to_owned(), Kind::Other),
        ] {
            assert_eq!(read(&reference).await.unwrap_err().kind, kind, "{reference}");
        }
        file_with(temp.path(), &vec![b'x'; SECRET_BYTES]);
        assert!(read(&path("secret")).await.is_ok(), "the largest secret is one");
    }
}
