//! Access to Oracle Cloud, put together from the configuration and the environment. Reads no file and connects to nothing yet.

use std::{path::PathBuf, sync::Arc};

use dizzy_host::{
    config::{Oci, OciAuth as Auth},
    port::{Clock, SecretReader, SystemRandomness},
};
use dizzy_oci::{
    ApiKeySource, DEFAULT_PROFILE, InstancePrincipal, OciAuth, OciClients, OciEndpoints, OciSettings, Pace,
    ResourcePrincipal,
};

use crate::{
    code::{Code, Port},
    report::{NOTHING_DONE, Report},
    switches,
};

/// Where OCI's own tools look for their configuration, below the home folder.
const CONFIG_FILE: &str = ".oci/config";

/// The clients. The variables are those of OCI's own command line, and `OCI_ENDPOINT_*` for endpoints.
///
/// # Errors
/// If the configuration asks for an identity that this place cannot have.
pub(super) fn clients(
    config: &Oci,
    variable: impl Fn(&str) -> Option<String>,
    clock: Arc<dyn Clock>,
    keys: Arc<dyn SecretReader>,
) -> Result<OciClients, Report> {
    let auth = identity(config, &variable, keys)?;
    let endpoint = |name: &str, configured: &Option<String>| {
        variable(&format!("OCI_ENDPOINT_{name}")).or_else(|| configured.clone())
    };
    Ok(OciClients::new(OciSettings {
        auth,
        region: variable("OCI_CLI_REGION"),
        realm_domain: None,
        endpoints: OciEndpoints {
            secrets: endpoint("SECRETS", &config.secrets),
            vaults: endpoint("VAULTS", &config.vaults),
            object_storage: endpoint("OBJECTSTORAGE", &config.objectstorage),
            database: endpoint("DATABASE", &config.database),
            notifications: endpoint("NOTIFICATIONS", &config.notifications),
            auth: endpoint("AUTH", &config.federation),
        },
        extra_roots: switches::extra_roots(),
        proxy: super::proxy::known(),
        clock,
        randomness: Arc::new(SystemRandomness),
        pace: Pace::default(),
    }))
}

/// Who signs: a function has an identity of its own, and so has an instance if that is asked for; everywhere else there is OCI's
/// configuration file.
fn identity(
    config: &Oci,
    variable: impl Fn(&str) -> Option<String>,
    keys: Arc<dyn SecretReader>,
) -> Result<OciAuth, Report> {
    let in_function = variable("OCI_RESOURCE_PRINCIPAL_VERSION").is_some();
    match config.auth {
        Auth::ResourcePrincipal => return resource_principal(variable),
        Auth::Auto if in_function => return resource_principal(variable),
        Auth::Auto | Auth::Config => {}
        Auth::InstancePrincipal => return instance_principal(),
    }
    if let Some(reference) = &config.key {
        return Ok(OciAuth::Fetched(ApiKeySource::new(keys, reference.clone())));
    }
    let home = variable("HOME").map(PathBuf::from);
    let file = variable("OCI_CONFIG_FILE").map(PathBuf::from).or_else(|| home.as_ref().map(|h| h.join(CONFIG_FILE)));
    let Some(file) = file else {
        let what = "oci: neither OCI_CONFIG_FILE nor HOME says where OCI's configuration file is";
        return Err(Report::new(Code::ConfigValue, what, NOTHING_DONE).hint("set OCI_CONFIG_FILE"));
    };
    let profile = variable("OCI_CLI_PROFILE").unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
    Ok(OciAuth::ConfigFile { file, profile, home })
}

fn instance_principal() -> Result<OciAuth, Report> {
    let principal =
        switches::oci_metadata().map_or_else(|| Ok(InstancePrincipal::default()), |at| InstancePrincipal::at(&at));
    principal
        .map(OciAuth::InstancePrincipal)
        .map_err(|error| Report::of_port(Port::Reference, "oci.auth", &error, NOTHING_DONE))
}

fn resource_principal(variable: impl Fn(&str) -> Option<String>) -> Result<OciAuth, Report> {
    let principal = ResourcePrincipal::from_variables(variable);
    principal
        .map(OciAuth::ResourcePrincipal)
        .map_err(|error| Report::of_port(Port::Reference, "oci.auth", &error, NOTHING_DONE))
}
