//! Where the program runs, as the platforms' own variables tell it.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// The variable by which Lambda says where its Runtime API is.
const LAMBDA: &str = "AWS_LAMBDA_RUNTIME_API";
/// The variable by which Fn says where it wants the socket.
const FUNCTIONS: &str = "FN_LISTENER";
/// The variable by which Fn says which protocol it speaks.
const FORMAT: &str = "FN_FORMAT";

/// Longest path of a Unix socket on Linux, without the final zero byte.
const MAX_SOCKET_PATH: usize = 107;

/// What calls the program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// A person, a script, cron: arguments and an exit code.
    CommandLine,
    /// AWS Lambda.
    Lambda {
        /// Host and port of the Runtime API, and a path before it where an emulator has one.
        runtime_api: String,
    },
    /// OCI Functions, or another host of Fn functions.
    Functions {
        /// Where the socket is to be.
        socket: PathBuf,
    },
}

/// Variables that do not tell where the program runs. Nothing was done.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum PlaceError {
    /// Both platforms' variables are set.
    #[error("both {LAMBDA} and {FUNCTIONS} are set: this is either a Lambda function or an OCI function")]
    Both,
    /// The Runtime API is not at an address.
    #[error("{LAMBDA} is no address: expected HOST:PORT")]
    RuntimeApi,
    /// The socket is not a path.
    #[error("{FUNCTIONS} is no Unix socket: expected unix:/PATH of at most {MAX_SOCKET_PATH} bytes")]
    Listener,
    /// The platform speaks another protocol.
    #[error("{FORMAT} is not http-stream, the only one that is spoken here")]
    Format,
}

impl Place {
    /// Reads the variables; `variable` gives their values, and nothing for those that are not set or empty.
    ///
    /// # Errors
    /// [`PlaceError`] if they contradict each other or cannot be used.
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Result<Self, PlaceError> {
        match (variable(LAMBDA), variable(FUNCTIONS)) {
            (None, None) => Ok(Self::CommandLine),
            (Some(_), Some(_)) => Err(PlaceError::Both),
            (Some(api), None) => Ok(Self::Lambda { runtime_api: runtime_api(&api).ok_or(PlaceError::RuntimeApi)? }),
            (None, Some(listener)) => {
                let socket = socket(&listener).ok_or(PlaceError::Listener)?;
                match variable(FORMAT).as_deref() {
                    None | Some("http-stream") => Ok(Self::Functions { socket }),
                    Some(_) => Err(PlaceError::Format),
                }
            }
        }
    }
}

/// Lambda gives `HOST:PORT`; emulators may put a scheme before it and a path behind.
fn runtime_api(text: &str) -> Option<String> {
    let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let authority: http::uri::Authority = address.split('/').next()?.parse().ok()?;
    // The authority must be all there is before the path: no user, and nothing that would change meaning when it is put together again.
    let plain = !authority.host().is_empty() && !authority.as_str().contains('@');
    let whole: http::Uri = format!("http://{address}/").parse().ok()?;
    (plain && whole.query().is_none() && !address.contains("//")).then(|| address.to_owned())
}

fn socket(text: &str) -> Option<PathBuf> {
    let path = Path::new(text.strip_prefix("unix:")?);
    let fits = path.as_os_str().len() <= MAX_SOCKET_PATH && path.is_absolute();
    (fits && path.file_name().is_some() && !text.ends_with('/')).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(variables: &[(&str, &str)]) -> Result<Place, PlaceError> {
        Place::detect(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_platforms_variables_decide() {
        assert_eq!(detect(&[("FN_FORMAT", "json")]), Ok(Place::CommandLine));
        let lambda = |api: &str| Ok(Place::Lambda { runtime_api: api.to_owned() });
        assert_eq!(detect(&[(LAMBDA, "127.0.0.1:9001")]), lambda("127.0.0.1:9001"));
        assert_eq!(detect(&[(LAMBDA, "http://[::1]:9001/.rt/name/")]), lambda("[::1]:9001/.rt/name"));
        let functions = || Ok(Place::Functions { socket: PathBuf::from("/tmp/iofs/lsnr.sock") });
        assert_eq!(detect(&[(FUNCTIONS, "unix:/tmp/iofs/lsnr.sock")]), functions());
        assert_eq!(detect(&[(FUNCTIONS, "unix:/tmp/iofs/lsnr.sock"), (FORMAT, "http-stream")]), functions());
    }

    #[test]
    fn variables_that_say_nothing_useful_are_refused() {
        let both = [(LAMBDA, "127.0.0.1:9001"), (FUNCTIONS, "unix:/tmp/lsnr.sock")];
        assert_eq!(detect(&both), Err(PlaceError::Both));
        for api in ["/", "https://host:1", "a@b:1", "host:1//x", "host:1/?x", "ho st:1", "http://"] {
            assert_eq!(detect(&[(LAMBDA, api)]), Err(PlaceError::RuntimeApi), "{api}");
        }
        let long = format!("unix:/{}", "x".repeat(MAX_SOCKET_PATH));
        for listener in ["/tmp/lsnr.sock", "tcp:127.0.0.1:80", "unix:", "unix:lsnr.sock", "unix:/", "unix:/tmp/", &long]
        {
            assert_eq!(detect(&[(FUNCTIONS, listener)]), Err(PlaceError::Listener), "{listener}");
        }
        let format = [(FUNCTIONS, "unix:/tmp/lsnr.sock"), (FORMAT, "json")];
        assert_eq!(detect(&format), Err(PlaceError::Format));
    }
}
