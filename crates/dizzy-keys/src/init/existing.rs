//! What secrets that exist say about their databases: read for `init`, and never shown.

use dizzy_host::{
    config::Config,
    document::{Description, SecretDocument},
    port::Deadline,
    reference::Reference,
};

use crate::{
    args::Init,
    code::{Code, Port},
    compose::Composer,
    report::{NOTHING_DONE, Report},
    run::with_set::{block_on, ready},
};

/// A secret, and what it publishes.
pub(super) struct Existing {
    pub(super) secret: Reference,
    pub(super) databases: Vec<Description>,
}

/// The secrets that the command line names, AWS's first.
///
/// # Errors
/// If one is named twice, or is no name, ARN or OCID.
pub(super) fn named(args: &Init) -> Result<Vec<Reference>, Report> {
    let wrong = |what: String, hint: &str| Report::new(Code::Usage, what, NOTHING_DONE).hint(hint);
    let aws = args.from_aws_secret.iter().map(|id| (id, "aws-sm", "aws-sm:"));
    let oci = args.from_oci_secret.iter().map(|id| (id, "oci-vault", "oci-vault:"));
    let mut secrets: Vec<Reference> = Vec::new();
    for (id, scheme, prefix) in aws.chain(oci) {
        // Who copies a reference out of a configuration means what is behind the scheme.
        let id = id.strip_prefix(prefix).unwrap_or(id);
        let secret = format!("{scheme}:{id}").parse::<Reference>().ok().filter(|secret| match secret {
            Reference::AwsSm { field: None, .. } => true,
            Reference::OciVault { ocid, field: None } => ocid.starts_with("ocid1.vaultsecret."),
            Reference::AwsSm { .. }
            | Reference::AwsSsm { .. }
            | Reference::Env { .. }
            | Reference::File { .. }
            | Reference::OciVault { .. } => false,
        });
        let Some(secret) = secret else {
            return Err(wrong(
                format!("`{id}` is no whole secret"),
                "give a name or ARN to --from-aws-secret, `ocid1.vaultsecret...` to --from-oci-secret; no `#field`",
            ));
        };
        if secrets.contains(&secret) {
            return Err(wrong(format!("{secret} is named twice"), "name each secret once"));
        }
        secrets.push(secret);
    }
    let fill = args.set.is_some() || args.admin.is_some() || args.tls_ca.is_some();
    if secrets.is_empty() && fill {
        return Err(wrong(
            "--set, --admin and --tls-ca fill a configuration from secrets, and none is named".to_owned(),
            "add --from-aws-secret or --from-oci-secret",
        ));
    }
    Ok(secrets)
}

/// Reads what each secret publishes.
///
/// # Errors
/// If one cannot be read or used, or is somebody else's to rotate.
pub(super) fn look(secrets: Vec<Reference>) -> Result<Vec<Existing>, Report> {
    let config = Config::empty();
    ready(&config)?;
    let composer = Composer::new(config);
    block_on(async {
        let mut all = Vec::new();
        for secret in secrets {
            let place = secret.to_string();
            // The set's name goes into the versions that are written; none is.
            let store = composer.store("", &secret)?;
            let deadline = || Deadline::after(composer.limits().call);
            let of_port = |error| Report::of_port(Port::Store, &place, &error, NOTHING_DONE);
            let current = store.current(deadline()).await.map_err(of_port)?;
            // Tells whether a service owns the secret, and whether it is a replica or about to be deleted.
            store.labels(deadline()).await.map_err(of_port)?;
            let of_document = |error| Report::of_document(&place, &error, NOTHING_DONE);
            let document = SecretDocument::parse(current.value).map_err(of_document)?;
            let databases = document.describe().map_err(of_document)?;
            all.push(Existing { secret, databases });
        }
        Ok(all)
    })
}
