//! Access to Oracle Cloud, put together from the configuration and the environment. Reads no file and connects to nothing yet.

use std::{path::PathBuf, sync::Arc};

use dizzy_host::{
    config::{Oci, OciAuth as Auth},
    port::{Clock, SystemRandomness},
};
use dizzy_oci::{DEFAULT_PROFILE, OciAuth, OciClients, OciEndpoints, OciSettings, Pace};

use crate::{
    code::Code,
    report::{NOTHING_DONE, Report},
};

/// Where OCI's own tools look for their configuration, below the home folder.
const CONFIG_FILE: &str = ".oci/config";

/// The clients. The variables are those of OCI's own command line, and `OCI_ENDPOINT_*` for endpoints.
///
/// # Errors
/// If the configuration asks for an identity that this build cannot have.
pub(super) fn clients(
    config: &Oci,
    variable: impl Fn(&str) -> Option<String>,
    clock: Arc<dyn Clock>,
) -> Result<OciClients, Report> {
    match config.auth {
        Auth::Auto | Auth::Config => {}
        Auth::ResourcePrincipal | Auth::InstancePrincipal => {
            let what = "oci.auth: this build signs with an API key from OCI's configuration file only";
            return Err(Report::new(Code::ConfigUnsupported, what, NOTHING_DONE)
                .hint("auth = \"config\", with a profile in ~/.oci/config"));
        }
    }
    let home = variable("HOME").map(PathBuf::from);
    let file = variable("OCI_CONFIG_FILE").map(PathBuf::from).or_else(|| home.as_ref().map(|h| h.join(CONFIG_FILE)));
    let Some(file) = file else {
        let what = "oci: neither OCI_CONFIG_FILE nor HOME says where OCI's configuration file is";
        return Err(Report::new(Code::ConfigValue, what, NOTHING_DONE).hint("set OCI_CONFIG_FILE"));
    };
    let profile = variable("OCI_CLI_PROFILE").unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
    let endpoint = |name: &str, configured: &Option<String>| {
        variable(&format!("OCI_ENDPOINT_{name}")).or_else(|| configured.clone())
    };
    Ok(OciClients::new(OciSettings {
        auth: OciAuth::ConfigFile { file, profile, home },
        region: variable("OCI_CLI_REGION"),
        realm_domain: None,
        endpoints: OciEndpoints {
            secrets: endpoint("SECRETS", &config.secrets),
            vaults: endpoint("VAULTS", &config.vaults),
            object_storage: endpoint("OBJECTSTORAGE", &config.objectstorage),
        },
        extra_roots: None,
        clock,
        randomness: Arc::new(SystemRandomness),
        pace: Pace::default(),
    }))
}
