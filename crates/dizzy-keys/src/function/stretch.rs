//! Stretches of a rotation, each begun by a step of a cloud's rotation contract; and what the steps of both clouds share.
//!
//! A step brings the set to a point and leaves it there; whatever is missing on the way is done too. So a step may be repeated,
//! and may come without the one before it. See docs/design/0501-rotation-contracts.md.

use dizzy_engine::{Finish, Generation, Goal};
use dizzy_host::{
    config::{Config, RotationSet},
    driver::{self, Halt, Limits, OpenSet, Quiet, Run, Until},
    notice::Event,
    port::{Deadline, SecretStore, StoredVersion, VersionId, VersionName},
    reference::Reference,
    register::Document,
};

use crate::{
    code::{Code, Exit, Port},
    compose::{Composer, FormatRule},
    metrics::Measured,
    render::{
        rotate::Outcome,
        verify::{LoginResult, LoginRow},
    },
    report::{NOTHING_DONE, Report},
    run::{
        self,
        notices::{About, Notices, event_of_error},
    },
};

/// The program, in hints.
pub(super) const PROGRAM: &str = "dizzy-keys";

/// The set that publishes in a secret, and the secret's reference.
pub(super) fn find<'c>(
    config: &'c Config,
    secret: &str,
    is: impl Fn(&Reference) -> bool,
) -> Result<(&'c RotationSet, &'c Reference), Report> {
    for set in config.sets.values() {
        if let Some(found) = set.secrets.iter().find(|candidate| is(&candidate.store)) {
            return Ok((set, &found.store));
        }
    }
    let what = format!("no rotation set publishes in the secret {}", shown(secret));
    Err(Report::new(Code::RotationStep, what, NOTHING_DONE)
        .hint("take the rotation off the secret, or add it to a set of the configuration"))
}

/// A name out of an event, for a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}

/// The register of a set; `None` before the first rotation.
pub(super) async fn register(composer: &Composer, set: &str) -> Result<Option<Document>, Report> {
    let of_journal = |error| Report::of_port(Port::Journal, set, &error, NOTHING_DONE);
    let stored = composer.journal()?.read(set, Deadline::after(composer.limits().call)).await.map_err(of_journal)?;
    let document = stored.map(|stored| Document::parse(&stored.bytes, set)).transpose();
    document.map_err(|error| of_journal(driver::register_error(error)))
}

/// Brings the set to a point, beginning a rotation only from the generation `from` (the one that was seen at rest).
///
/// # Errors
/// What stands in the way, with what is true now.
pub(super) async fn bring(
    composer: &Composer,
    set: &str,
    goal: Goal,
    until: Until,
    from: Option<Generation>,
) -> Result<driver::Report, Report> {
    let hold = composer.hold(set).await?;
    let open = match composer.open(set, hold.lease, FormatRule::Keep).await {
        Ok(open) => open,
        Err(error) => return Err(run::rotate::unless_under_way(composer, set, error).await),
    };
    let of_journal = |error| Report::of_port(Port::Journal, set, &error, NOTHING_DONE);
    let stretch = async || {
        let run = Run::new(&open, composer.limits(), &Quiet).until(until).only_from(from);
        run.go(goal).await.map_err(of_journal)
    };
    let mut report = stretch().await?;
    if report.finish == Finish::NoRegister && goal == Goal::Rotate {
        run::rotate::adopt(&open, composer, set).await?;
        report = stretch().await?;
    }
    drop(hold);
    tracing::info!(set, generation = report.under_way.map(|g| g.0), finish = ?report.finish, "a stretch has ended");
    if report.halt == Some(Halt::Reached) || matches!(report.finish, Finish::Rotated(_)) {
        return Ok(report);
    }
    match run::explain::error(PROGRAM, &report) {
        None => Ok(report),
        Some(error) => Err(error.exit(run::explain::exit_of(report.verdict()))),
    }
}

/// Tells the receivers of notices how a step has ended; `promotes` if a good end of it means that a generation is published.
///
/// # Errors
/// What the step ended with.
pub(super) async fn told<T>(
    composer: &Composer,
    set: &RotationSet,
    promotes: bool,
    result: Result<T, Report>,
) -> Result<T, Report> {
    let event = match &result {
        Ok(_) => promotes.then_some(Event::Promoted),
        Err(report) => event_of_error(report),
    };
    if let Some(event) = event {
        let notices = Notices::new(composer);
        let register = register(composer, &set.name).await.ok().flatten();
        let generation = register.as_ref().map(|document| document.current);
        let named = |document: &Document| {
            let generation = document.next.unwrap_or(document.current);
            VersionName::new(Generation(generation), &document.register).to_string()
        };
        let what = format!("{}: generation {} is published and logs in", set.name, generation.unwrap_or_default());
        let rotation = register.as_ref().map(named);
        let outcome = outcome(&result);
        let rotated_at = register.as_ref().and_then(run::explain::rotated_at);
        let measured = Measured::in_steps(&set.name, rotation.as_deref(), outcome, rotated_at);
        composer.metrics().write(&measured, composer.clock().now());
        let about = About { set: &set.name, generation, rotation, error: result.as_ref().err(), what };
        notices.send(composer, event, about);
        notices.settle(composer).await;
    }
    result
}

/// How the rotation of a step has ended, as far as the step can tell.
fn outcome<T>(result: &Result<T, Report>) -> Outcome {
    match result.as_ref().err().map(Report::exit_code) {
        None => Outcome::Rotated,
        Some(Exit::Held) => Outcome::Held,
        Some(Exit::NeedsHuman) => Outcome::Stuck,
        Some(Exit::Unfinished) => Outcome::Unfinished,
        Some(Exit::Done | Exit::Failed | Exit::Tampered | Exit::Usage) => Outcome::Failed,
    }
}

/// The time and limits of a step's calls to a store.
pub(super) fn call(limits: Limits) -> Deadline {
    Deadline::after(limits.call)
}

/// Logs in with what one version of a secret holds, on every database that it publishes.
///
/// # Errors
/// If it does not log in everywhere. Nothing was changed.
pub(super) async fn log_in_with(
    composer: &Composer,
    set: &RotationSet,
    secret: &Reference,
    version: StoredVersion,
    register: Option<&Document>,
) -> Result<(), Report> {
    let id = version.id.clone();
    let open: OpenSet = composer.open(&set.name, driver::Lease::Respected, FormatRule::Keep).await?;
    let mut version = Some(version);
    for (config, each) in set.secrets.iter().zip(&open.secrets) {
        let mut look = each.first_look.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *look = if config.store == *secret { version.take() } else { None };
    }
    let rows = run::verify::logins(composer, &open, register).await?;
    let bad: Vec<&LoginRow> = rows.iter().filter(|row| row.result != LoginResult::LoggedIn).collect();
    let Some(first) = bad.first() else { return Ok(()) };
    let refused = bad.iter().any(|row| row.result == LoginResult::Refused);
    let code = if refused { Code::PublishedRefused } else { Code::NotVerified };
    let names: Vec<&str> = bad.iter().map(|row| row.database.as_str()).collect();
    let why = first.why.clone().unwrap_or_default();
    let what =
        format!("{}: version {} of {secret} does not log in to {}: {why}", set.name, shown(&id.0), names.join(", "));
    Err(Report::new(code, what, "nothing was changed").hint(format!("{PROGRAM} verify {}", set.name)))
}

/// What a version holds; `None` if it is empty, or not there.
pub(super) async fn value(
    composer: &Composer,
    store: &dyn SecretStore,
    id: &VersionId,
) -> Result<Option<StoredVersion>, Report> {
    match store.read(id, call(composer.limits())).await {
        Ok(version) => Ok(Some(version)),
        Err(error) if error.kind == dizzy_host::port::Kind::NotFound => Ok(None),
        Err(error) => Err(of_store(store, &error)),
    }
}

/// A store's error before anything was changed.
pub(super) fn of_store(store: &dyn SecretStore, error: &dizzy_host::port::PortError) -> Report {
    Report::of_port(Port::Store, store.name(), error, NOTHING_DONE)
}
