//! OCI Vault's rotation with a function as its target, in four steps, for a Vault secret of a set.
//!
//! Steps 2 and 3 stage and change as Secrets Manager's first two do; step 4 decides and publishes everywhere. Vault passes version
//! numbers along in more than one way (docs/design/0501-rotation-contracts.md), so PENDING is found in the register, and a number is
//! only compared. A failure is an answer with a `responseCode` of its own: the call itself has worked.

use dizzy_engine::{Generation, Goal, Phase};
use dizzy_host::{
    config::{Config, RotationSet},
    driver::Until,
    port::{SecretStore, StoredVersion, VersionId},
    reference::Reference,
    register::{Document, phase_name},
};
use serde_json::json;
use tracing::Span;

use super::{
    Answer, Around,
    event::{VaultStep, VaultStepName},
    stretch::{self, bring, call, find, log_in_with, of_store, register, shown, value},
    time::of_a_step,
};
use crate::{
    code::{Code, Exit},
    compose::Composer,
    report::{NOTHING_DONE, Report},
};

/// Does one step.
pub(super) async fn act(config: Config, around: Around, event: &VaultStep) -> Result<Answer, Report> {
    let is = |reference: &Reference| matches!(reference, Reference::OciVault { ocid, .. } if *ocid == event.secret);
    let (set, secret) = find(&config, &event.secret, is)?;
    let (set, secret) = (set.clone(), secret.clone());
    Span::current().record("set", &set.name);
    let composer = Around { limits: of_a_step(around.limits), ..around }.composer(config);
    let store = composer.store(&set.name, &secret)?;
    let register = register(&composer, &set.name).await?;
    let rotation = Rotation { event, set: &set, secret: &secret, composer: &composer, store: &*store, register };
    let promotes = event.step == VaultStepName::PromotePendingVersion;
    let (message, version) = stretch::told(&composer, &set, promotes, rotation.step().await).await?;
    let number: u64 = version.0.parse().map_err(|_| nothing_pending(&set.name, "a version has no number"))?;
    let document = json!({"responseCode": 200, "returnMessage": message, "versionNo": number});
    Ok(Answer { document, exit: Exit::Done, error: None })
}

/// A failure in the form that Vault reads. The call counts as done.
pub(super) fn refused(report: &Report) -> Answer {
    let status = match report.exit_code() {
        Exit::Usage => 400,
        Exit::Held => 409,
        Exit::Done | Exit::Failed | Exit::NeedsHuman | Exit::Tampered | Exit::Unfinished => 500,
    };
    let hint = report.next().map_or_else(String::new, |hint| format!("; hint: {hint}"));
    let message = format!("{report}; {}{hint}", report.state());
    let document = json!({"responseCode": status, "returnMessage": message, "versionNo": null});
    // The error is told in the log; to the agent the call has worked.
    Answer { document, exit: Exit::Done, error: Some(report.clone()) }
}

struct Rotation<'a> {
    event: &'a VaultStep,
    set: &'a RotationSet,
    secret: &'a Reference,
    composer: &'a Composer,
    store: &'a dyn SecretStore,
    register: Option<Document>,
}

impl Rotation<'_> {
    /// Does the step; what to say of it, and the version that Vault is told.
    async fn step(&self) -> Result<(&'static str, VersionId), Report> {
        Ok(match self.event.step {
            VaultStepName::VerifyConnection => ("a version logs in", self.verify().await?),
            VaultStepName::CreatePendingVersion => {
                ("the next version is pending in every secret", self.create().await?)
            }
            VaultStepName::UpdateTargetSystem => ("every database accepts the pending version", self.update().await?),
            VaultStepName::PromotePendingVersion => ("the pending version is published", self.promote().await?),
        })
    }

    fn phase(&self) -> &str {
        self.register.as_ref().map_or(phase_name(Phase::Idle), |document| document.phase.as_str())
    }

    /// The version of the generation under way, if one is.
    fn pending(&self) -> Option<VersionId> {
        let document = self.register.as_ref()?;
        document.version(&self.secret.to_string(), Generation(document.next?))
    }

    /// Which version logs in: CURRENT, unless it is about to be replaced on a database that has no other user; then PENDING. The
    /// likelier one is tried first, because a wrong login may count on the server.
    async fn verify(&self) -> Result<VersionId, Report> {
        let current = self.current().await?;
        let mut candidates = vec![current];
        if let Some(pending) = self.pending()
            && let Some(pending) = value(self.composer, self.store, &pending).await?
        {
            let first = self.is_likelier();
            candidates.insert(usize::from(!first), pending);
        }
        let mut last = None;
        for version in candidates {
            let id = version.id.clone();
            match log_in_with(self.composer, self.set, self.secret, version, self.register.as_ref()).await {
                Ok(()) => return Ok(id),
                Err(report) if report.code() == Code::PublishedRefused => last = Some(report),
                Err(report) => return Err(report),
            }
        }
        Err(last.unwrap_or_else(|| nothing_pending(&self.set.name, self.event.step_name())))
    }

    /// Whether the generation under way is likelier to log in than what is published.
    fn is_likelier(&self) -> bool {
        let Some(document) = &self.register else { return false };
        document.phase == phase_name(Phase::Commit) || document.databases.values().any(|database| database.sent)
    }

    /// Stages the next generation; what an earlier call has begun is gone on with.
    async fn create(&self) -> Result<VersionId, Report> {
        if [Phase::Commit, Phase::Abort].map(phase_name).contains(&self.phase()) {
            bring(self.composer, &self.set.name, Goal::Recover, Until::End, None).await?;
        }
        let from = self.register.as_ref().filter(|_| self.phase() == phase_name(Phase::Idle));
        let from = from.map(|document| Generation(document.current));
        bring(self.composer, &self.set.name, Goal::Rotate, Until::Staged, from).await?;
        self.staged().await
    }

    /// Changes every database and logs in. Only what was staged: a rotation is not begun by this step, because a number that is
    /// already published may be all that comes with it.
    async fn update(&self) -> Result<VersionId, Report> {
        let phase = self.phase();
        if phase == phase_name(Phase::Commit) {
            return self.staged().await;
        }
        if phase != phase_name(Phase::Intent) {
            return Err(nothing_pending(&self.set.name, self.event.step_name()));
        }
        bring(self.composer, &self.set.name, Goal::Rotate, Until::Verified, None).await?;
        self.staged().await
    }

    /// Decides and publishes everywhere.
    async fn promote(&self) -> Result<VersionId, Report> {
        let wanted = self.event.version.map(|number| VersionId(number.to_string()));
        let phase = self.phase();
        if phase == phase_name(Phase::Idle) {
            let current = self.current().await?.id;
            return match wanted {
                Some(wanted) if wanted == current => Ok(current),
                _ => Err(nothing_pending(&self.set.name, self.event.step_name())),
            };
        }
        let pending = self.pending();
        if let (Some(wanted), Some(pending)) = (&wanted, &pending)
            && wanted != pending
        {
            let what = format!(
                "{}: version {} is not the pending one of {}, which is {}",
                self.event.step_name(),
                shown(&wanted.0),
                self.set.name,
                pending.0
            );
            return Err(Report::new(Code::RotationStep, what, NOTHING_DONE).hint("let Vault begin the rotation again"));
        }
        bring(self.composer, &self.set.name, Goal::Rotate, Until::End, None).await?;
        Ok(self.current().await?.id)
    }

    async fn current(&self) -> Result<StoredVersion, Report> {
        self.store.current(call(self.composer.limits())).await.map_err(|error| of_store(self.store, &error))
    }

    /// The version of the generation under way, as the register has it now.
    async fn staged(&self) -> Result<VersionId, Report> {
        let document = register(self.composer, &self.set.name).await?;
        let version = document.and_then(|d| d.version(&self.secret.to_string(), Generation(d.next?)));
        version.ok_or_else(|| nothing_pending(&self.set.name, self.event.step_name()))
    }
}

impl VaultStep {
    const fn step_name(&self) -> &'static str {
        match self.step {
            VaultStepName::VerifyConnection => "VERIFY_CONNECTION",
            VaultStepName::CreatePendingVersion => "CREATE_PENDING_VERSION",
            VaultStepName::UpdateTargetSystem => "UPDATE_TARGET_SYSTEM",
            VaultStepName::PromotePendingVersion => "PROMOTE_PENDING_VERSION",
        }
    }
}

fn nothing_pending(set: &str, step: &str) -> Report {
    let what = format!("{step}: no rotation of the set {set} is under way");
    Report::new(Code::RotationStep, what, "nothing was changed; what is published logs in as before")
        .hint("let Vault begin the rotation again; `dizzy-keys status` tells how the last one ended")
}
