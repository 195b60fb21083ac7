//! Secrets Manager's rotation in four steps, for the first secret of a set: a drop-in rotation function.
//!
//! createSecret stages the next generation in every store, in this secret as the version that the service has made; setSecret
//! changes every database and logs in; testSecret logs in again; finishSecret decides and publishes everywhere. Which generation
//! the service's version belongs to is read from the register and the labels, so that each step may be repeated at any time.

use dizzy_aws::RotationContract;
use dizzy_engine::{Generation, Goal, Phase};
use dizzy_host::{
    config::{Config, RotationSet},
    driver::{Halt, Until},
    port::{Labels, SecretStore, VersionId, VersionName},
    reference::Reference,
    register::{Document, phase_name},
};
use serde_json::json;
use tracing::Span;

use super::{
    Answer, Around,
    event::{FourSteps, Step},
    stretch::{self, bring, call, find, log_in_with, of_store, register, shown, value},
    time::of_a_step,
};
use crate::{
    code::{Code, Exit, Port},
    compose::Composer,
    report::{NOTHING_DONE, Report},
};

/// An earlier rotation is finished or undone first, and looked at again; more than one round means that others are at work.
const ROUNDS: u32 = 3;

/// Does one step.
pub(super) async fn act(config: Config, around: Around, event: &FourSteps) -> Result<Answer, Report> {
    let around = Around { limits: of_a_step(around.limits), ..around };
    let (set, secret) = find(&config, &event.secret, |reference| is_secret(reference, &event.secret))?;
    let (set, secret) = (set.clone(), secret.clone());
    Span::current().record("set", &set.name);
    if set.secrets.first().is_none_or(|first| first.store != secret) {
        let what = format!("{}: {secret} is not the first secret of the set {}", event.step.name(), set.name);
        return Err(Report::new(Code::RotationStep, what, NOTHING_DONE)
            .hint("configure the rotation on the first secret of a set only; it rotates the others too"));
    }
    let plain = around.composer(config.clone());
    let contract =
        RotationContract { version: VersionId(event.token.clone()), rotation_token: event.rotation_token.clone() };
    let bound = around.composer(config).under_contract(secret.clone(), contract);
    let rotation = Rotation { event, set: &set, secret: &secret, plain: &plain, bound: &bound };
    let generation = stretch::told(&plain, &set, event.step == Step::Finish, rotation.step().await).await?;
    let document = json!({
        "kind": "rotation-step", "v": 1, "step": event.step.name(), "set": set.name, "version": event.token,
        "generation": generation.map(|g| g.0), "exit": Exit::Done.number(),
    });
    Ok(Answer { document, exit: Exit::Done, error: None })
}

/// Whether a reference of the configuration (name or ARN) is the secret of this ARN.
fn is_secret(reference: &Reference, arn: &str) -> bool {
    let Reference::AwsSm { id, .. } = reference else { return false };
    // A partial ARN lacks the hyphen and the six characters at the end; a name lacks what is before it as well.
    let whole = |text: &str| {
        arn.strip_prefix(text).is_some_and(|rest| {
            rest.is_empty()
                || (rest.len() == 7 && rest.starts_with('-') && rest.bytes().skip(1).all(|b| b.is_ascii_alphanumeric()))
        })
    };
    if id.starts_with("arn:") || !arn.starts_with("arn:") {
        return whole(id);
    }
    arn.split_once(":secret:").is_some_and(|(before, _)| whole(&format!("{before}:secret:{id}")))
}

struct Rotation<'a> {
    event: &'a FourSteps,
    set: &'a RotationSet,
    secret: &'a Reference,
    /// Works with versions of our own.
    plain: &'a Composer,
    /// Works with the service's version.
    bound: &'a Composer,
}

/// What is there when a step begins.
struct Seen {
    register: Option<Document>,
    labels: Labels,
    /// The generation that the service's version belongs to.
    of_token: Option<Generation>,
}

impl Seen {
    fn phase(&self) -> &str {
        self.register.as_ref().map_or(phase_name(Phase::Idle), |document| document.phase.as_str())
    }

    fn under_way(&self) -> Option<Generation> {
        self.register.as_ref().and_then(|document| document.next).map(Generation)
    }
}

impl Rotation<'_> {
    /// Does the step; the generation that the version belongs to.
    async fn step(&self) -> Result<Option<Generation>, Report> {
        let until = match self.event.step {
            Step::Create => Until::Staged,
            Step::Set | Step::Test => Until::Verified,
            Step::Finish => Until::End,
        };
        for _ in 0..ROUNDS {
            let store = self.plain.store(&self.set.name, self.secret)?;
            let seen = self.look(&*store).await?;
            let token = VersionId(self.event.token.clone());
            let is_current = seen.labels.current.as_ref() == Some(&token);
            let [idle, intent, stuck] = [Phase::Idle, Phase::Intent, Phase::Stuck].map(phase_name);
            match seen.phase() {
                phase if phase == idle => {
                    if self.event.step == Step::Test && (is_current || seen.of_token.is_none()) {
                        return self.test(&*store, &seen).await.map(|()| seen.of_token);
                    }
                    if is_current {
                        self.clear(&*store, &seen).await?;
                        return Ok(seen.of_token);
                    }
                    self.may_begin(&*store, &seen).await?;
                    let from = seen.register.as_ref().map(|document| Generation(document.current));
                    let report = bring(self.bound, &self.set.name, Goal::Rotate, until, from).await?;
                    if report.halt == Some(Halt::Reached) {
                        return Ok(report.under_way);
                    }
                    // Published, by this call or by somebody else: the next look tells.
                }
                phase if phase == stuck => {
                    let what =
                        format!("{}: the rotation under way can go neither on nor back by itself", self.set.name);
                    return Err(Report::new(Code::Stuck, what, "nothing was changed by this call")
                        .hint(format!("dizzy-keys status {} says more", self.set.name)));
                }
                phase if phase == intent && self.is_ours(&seen) => {
                    let report = bring(self.bound, &self.set.name, Goal::Rotate, until, None).await?;
                    if report.halt == Some(Halt::Reached) {
                        return Ok(report.under_way);
                    }
                }
                // Decided or given up, or begun by somebody else: that comes to its end first.
                _ => drop(bring(self.plain, &self.set.name, Goal::Recover, Until::End, None).await?),
            }
        }
        let what =
            format!("{}: other workers rotate the set {} at the same time", self.event.step.name(), self.set.name);
        Err(Report::new(Code::JournalHeld, what, "this call has changed nothing that is not in the register")
            .hint("Secrets Manager tries again"))
    }

    async fn look(&self, store: &dyn SecretStore) -> Result<Seen, Report> {
        let register = register(self.plain, &self.set.name).await?;
        let labels = store.labels(call(self.plain.limits())).await.map_err(|error| of_store(store, &error))?;
        let token = VersionId(self.event.token.clone());
        let ours = |name: &VersionName| register.as_ref().is_some_and(|r| r.register.starts_with(&name.register));
        let named = labels.named.iter().find(|(name, id)| **id == token && ours(name)).map(|(name, _)| name.generation);
        let recorded = register.as_ref().and_then(|r| r.generation_of(&self.secret.to_string(), &token));
        let staged =
            [&labels.current, &labels.previous, &labels.pending].into_iter().any(|id| id.as_ref() == Some(&token));
        if !staged && named.is_none() {
            let what =
                format!("{}: version {} of {} carries no label", self.event.step.name(), shown(&token.0), self.secret);
            return Err(Report::new(Code::RotationStep, what, NOTHING_DONE).hint(
                "only Secrets Manager begins a rotation here: aws secretsmanager rotate-secret; or call with {\"action\":\"rotate\"}",
            ));
        }
        Ok(Seen { of_token: named.or(recorded), register, labels })
    }

    /// Whether the generation under way has, or will have, the service's version in this secret.
    fn is_ours(&self, seen: &Seen) -> bool {
        let Some(next) = seen.under_way() else { return false };
        if let Some(generation) = seen.of_token {
            return generation == next;
        }
        // A worker died after the decision to begin and before it staged: this version becomes the one that it lacks.
        let named = seen.labels.named.keys().any(|name| name.generation == next);
        let recorded = seen.register.as_ref().is_some_and(|r| r.version(&self.secret.to_string(), next).is_some());
        !named && !recorded
    }

    /// The service's version must be the empty one that it has made for this rotation.
    async fn may_begin(&self, store: &dyn SecretStore, seen: &Seen) -> Result<(), Report> {
        let token = VersionId(self.event.token.clone());
        let step = self.event.step.name();
        let state = "nothing was changed; what is published logs in as before";
        let cure = format!(
            "aws secretsmanager update-secret-version-stage --secret-id {} --version-stage AWSPENDING --remove-from-version-id {}",
            shown(&self.event.secret),
            token.0
        );
        if let Some(generation) = seen.of_token {
            let what = format!("{step}: version {} belongs to generation {generation}, which was given up", token.0);
            return Err(Report::new(Code::RotationStep, what, state)
                .hint(format!("remove the cause, make room for a new version, then rotate again: {cure}")));
        }
        if seen.labels.pending.as_ref() != Some(&token) {
            let what = format!("{step}: AWSPENDING is not on version {}", token.0);
            return Err(
                Report::new(Code::RotationStep, what, state).hint("rotate again: aws secretsmanager rotate-secret")
            );
        }
        if value(self.plain, store, &token).await?.is_some() {
            let what = format!("{step}: version {} holds a value that dizzy-keys did not make", token.0);
            return Err(Report::new(Code::RotationStep, what, state)
                .hint(format!("make room for a new version, then rotate again: {cure}")));
        }
        Ok(())
    }

    /// The service's version is published: its mark of a rotation under way goes. Left there it would do no harm until a rotation of
    /// our own publishes another version; from then on the service would take this one for unfinished, and refuse to begin.
    async fn clear(&self, store: &dyn SecretStore, seen: &Seen) -> Result<(), Report> {
        let token = VersionId(self.event.token.clone());
        if self.event.step != Step::Finish || seen.labels.pending.as_ref() != Some(&token) {
            return Ok(());
        }
        let cleared = store.clear_pending(&token, call(self.plain.limits())).await;
        cleared.map_err(|error| {
            let state = "the rotation is done: the version is published everywhere and logs in";
            Report::of_port(Port::Store, store.name(), &error, state)
        })
    }

    /// A test without a rotation: the service tries the function on a version of its own, which it takes away again. What that
    /// holds must log in; if it is empty, what is published must.
    async fn test(&self, store: &dyn SecretStore, seen: &Seen) -> Result<(), Report> {
        let version = match value(self.plain, store, &VersionId(self.event.token.clone())).await? {
            Some(version) => version,
            None => store.current(call(self.plain.limits())).await.map_err(|error| of_store(store, &error))?,
        };
        log_in_with(self.plain, self.set, self.secret, version, seen.register.as_ref()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_name_or_arn() {
        let arn = "arn:aws:secretsmanager:us-west-2:123456789012:secret:prod/orders-AbCd12";
        let is = |id: &str| is_secret(&Reference::AwsSm { id: id.to_owned(), field: None }, arn);
        for id in [arn, "prod/orders", "arn:aws:secretsmanager:us-west-2:123456789012:secret:prod/orders"] {
            assert!(is(id), "{id}");
        }
        for id in ["prod/order", "orders", "prod/orders-AbCd1", "arn:aws:secretsmanager:us-west-2:1:secret:prod/orders"]
        {
            assert!(!is(id), "{id}");
        }
        assert!(!is_secret(&Reference::AwsSm { id: "a".to_owned(), field: None }, "a-AbCd1!"));
        assert!(!is_secret(&Reference::Env { name: "prod/orders".to_owned() }, arn));
    }
}
