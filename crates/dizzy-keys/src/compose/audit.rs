//! The audit trail put together: places, keys, and who we are.

use std::sync::Arc;

use dizzy_audit::{RootKey, SigningKey, verify::Keys};
use dizzy_aws::S3Objects;
use dizzy_host::{
    audit::{AuditKey, TrailPlan},
    config::Place,
    file::FileObjects,
    port::{Deadline, Kind, ObjectStore, PortError, PortResult, SecretReader as _},
    reference::Reference,
};
use dizzy_oci::{ObjectStorage, OciObjects};

use super::Composer;
use crate::{
    code::{Code, Port},
    environment,
    report::{NOTHING_DONE, Report},
};

/// Where a deployment says which image it runs: the digest, as the registry shows it.
const IMAGE: &str = "DIZZY_KEYS_IMAGE";

/// Variables in which platforms name the identity that a process acts as.
const IDENTITIES: [&str; 4] =
    ["AWS_ROLE_ARN", "AWS_LAMBDA_FUNCTION_NAME", "FN_FN_ID", "OCI_RESOURCE_PRINCIPAL_RPST_ID"];

impl Composer {
    /// Every place of the audit trail, in the order of the configuration.
    ///
    /// # Errors
    /// If a place cannot be one, or the access to OCI is not configured.
    pub(crate) fn sinks(&self) -> Result<Vec<Arc<dyn ObjectStore>>, Report> {
        self.config.audit.sinks.iter().map(|place| self.objects(place)).collect()
    }

    /// The objects of a place.
    ///
    /// # Errors
    /// As [`sinks`](Self::sinks).
    pub(crate) fn objects(&self, place: &Place) -> Result<Arc<dyn ObjectStore>, Report> {
        let wrong = |error: PortError| {
            Report::new(Code::ConfigValue, format!("{place}: {error}"), NOTHING_DONE)
                .hint("give it a short prefix without `..` or `//`")
        };
        Ok(match place {
            Place::File(folder) => Arc::new(FileObjects::new(folder.clone())),
            Place::Oci { namespace, bucket, prefix } => {
                let storage = ObjectStorage::new(self.oci.clone()?);
                Arc::new(OciObjects::new(storage, namespace, bucket, prefix).map_err(wrong)?)
            }
            Place::S3 { bucket, prefix } => Arc::new(S3Objects::new(self.aws.clone(), bucket, prefix).map_err(wrong)?),
        })
    }

    /// How records are written. A key that cannot be read is no error here: what was begun must be finished without it.
    ///
    /// # Errors
    /// As [`sinks`](Self::sinks).
    pub(crate) async fn trail(&self) -> Result<Arc<TrailPlan>, Report> {
        let audit = &self.config.audit;
        let key = match &audit.key {
            None => Ok(None),
            Some(reference) => self.audit_key(reference).await.map(|key| Some(Arc::new(key))),
        };
        let notes = match &audit.note_key {
            None => Ok(None),
            Some(reference) => self.note_key(reference).await.map(|key| Some(Arc::new(key))),
        };
        if let Err(error) = &notes {
            tracing::warn!(kind = ?error.kind, code = error.code, "the key of signed notes cannot be read: none are written");
        }
        Ok(Arc::new(TrailPlan {
            sinks: self.sinks()?,
            require: audit.require,
            key,
            notes,
            actor: actor(),
            image: environment::text(IMAGE),
            program: env!("CARGO_PKG_VERSION"),
        }))
    }

    /// The same trail, written with another key.
    pub(crate) fn trail_without_key(plan: &TrailPlan) -> TrailPlan {
        TrailPlan {
            sinks: plan.sinks.clone(),
            require: plan.require,
            key: Ok(None),
            notes: plan.notes.clone(),
            actor: plan.actor.clone(),
            image: plan.image.clone(),
            program: plan.program,
        }
    }

    /// The key behind a reference.
    pub(crate) async fn audit_key(&self, reference: &Reference) -> PortResult<AuditKey> {
        let read = self.reader.read(reference, Deadline::after(self.limits.call)).await;
        let text = read.map_err(|error| match error.hint {
            Some(_) => error,
            None => error
                .with_hint(format!("nothing begins without the audit key: once {reference} can be read, run again")),
        })?;
        let root = RootKey::from_text(text.expose()).map_err(|error| {
            PortError::refused(Kind::Malformed, format!("read the audit key {reference}: {error}")).with_hint(
                "put at least 32 random bytes there, for example `hex:` and the output of `openssl rand -hex 32`",
            )
        })?;
        let version = match reference {
            Reference::AwsSsm { version, .. } => version.map(|version| version.to_string()),
            Reference::AwsSm { .. } | Reference::Env { .. } | Reference::File { .. } | Reference::OciVault { .. } => {
                None
            }
        };
        Ok(AuditKey { root, version })
    }

    async fn note_key(&self, reference: &Reference) -> PortResult<SigningKey> {
        let text = self.reader.read(reference, Deadline::after(self.limits.call)).await?;
        SigningKey::from_text(text.expose())
            .map_err(|error| PortError::refused(Kind::Malformed, format!("read the key of notes {reference}: {error}")))
    }

    /// Every key that a verifier of this configuration may use.
    ///
    /// # Errors
    /// If a configured key cannot be read.
    pub(crate) async fn verifying_keys(&self) -> Result<Keys, Report> {
        let audit = &self.config.audit;
        let mut keys = Keys::default();
        for reference in audit.key.iter().chain(&audit.former_keys) {
            let key = self.audit_key(reference).await;
            keys.ring.insert(key.map_err(|error| unreadable(reference, &error))?.root);
        }
        if let Some(reference) = &audit.note_key {
            let key = self.note_key(reference).await.map_err(|error| unreadable(reference, &error))?;
            keys.notes.push(key.verifying_key());
        }
        Ok(keys)
    }
}

fn unreadable(reference: &Reference, error: &PortError) -> Report {
    Report::of_port(Port::Reference, &reference.to_string(), error, NOTHING_DONE)
}

/// Host and process, and the cloud identity where the platform names one.
fn actor() -> String {
    let identity = IDENTITIES.iter().find_map(|name| environment::text(name));
    let who = super::who();
    identity.map_or_else(|| who.clone(), |identity| format!("{identity} {who}"))
}
