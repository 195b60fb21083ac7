//! `rotate` and `recover`: one worker per set, one set after the other.

use dizzy_engine::{Finish, Goal, Phase};
use dizzy_host::{
    config::Due,
    driver::{Adoption, AdoptionWants, Lease, OpenSet, Run, Undo},
    port::{Deadline, Journal as _},
    register::{Document, phase_name},
};

use super::{
    explain,
    watch::Watch,
    with_set::{block_on, composer},
};
use crate::{
    args::{Global, Recover, Rotate},
    code::{Exit, Port},
    compose::{Composer, FormatRule},
    render::rotate::{RecoverReport, RotateReport, RotateRow},
    report::{NOTHING_DONE, Report},
};

pub(super) fn rotate(global: &Global, args: &Rotate) -> Result<Exit, Report> {
    let (composer, mut names) = composer(global, &args.sets)?;
    let task = Task {
        goal: Goal::Rotate,
        rule: if args.change_format { FormatRule::Change } else { FormatRule::Keep },
        undo: if args.forward_only { Undo::ForwardOnly } else { Undo::Required },
        retry_logins: false,
    };
    block_on(async {
        if args.due {
            names = due(&composer, names).await?;
        }
        let mut sets = Vec::new();
        for name in &names {
            sets.push(one(global, &composer, name, &task).await);
        }
        RotateReport { sets }.conclude(global.output)
    })
}

pub(super) fn recover(global: &Global, args: &Recover) -> Result<Exit, Report> {
    let (composer, names) = composer(global, &args.sets)?;
    let task =
        Task { goal: Goal::Recover, rule: FormatRule::Keep, undo: Undo::Required, retry_logins: args.retry_logins };
    block_on(async {
        let mut sets = Vec::new();
        for name in &names {
            sets.push(one(global, &composer, name, &task).await);
        }
        RecoverReport { sets }.conclude(global.output)
    })
}

/// What is asked for, the same for every set.
struct Task {
    goal: Goal,
    rule: FormatRule,
    undo: Undo,
    retry_logins: bool,
}

/// Works on one set; what goes wrong is in the row, so that other sets go on.
async fn one(global: &Global, composer: &Composer, name: &str, task: &Task) -> RotateRow {
    let began = composer.clock().now();
    let result = attempt(global, composer, name, task).await;
    let ms = composer.clock().now().0.saturating_sub(began.0).unsigned_abs();
    match result {
        Ok(report) => explain::row(&global.invocation(), &report, ms),
        Err(error) => explain::failed(name, error),
    }
}

async fn attempt(
    global: &Global,
    composer: &Composer,
    name: &str,
    task: &Task,
) -> Result<dizzy_host::driver::Report, Report> {
    let goal = task.goal;
    // The lock ends with a process, so whoever holds it knows that the lease in the register is a dead worker's.
    let lock = composer.hold(name).await?;
    let set = match composer.open(name, Lease::Dead, task.rule).await {
        Ok(set) => OpenSet { undo: task.undo, ..set },
        Err(error) => return Err(unless_under_way(composer, name, error).await),
    };
    let watch = Watch::new(global, name);
    let of_journal = |error| Report::of_port(Port::Journal, name, &error, NOTHING_DONE);
    if task.retry_logins {
        set.forget_wrong_logins(composer.limits()).await.map_err(of_journal)?;
    }
    let run = async || Run::new(&set, composer.limits(), &watch).go(goal).await.map_err(of_journal);
    let mut report = run().await?;
    if report.finish == Finish::NoRegister && goal == Goal::Rotate {
        adopt(&set, composer, name).await?;
        report = run().await?;
    }
    // What an earlier run had begun and this one undid was not what was asked for.
    if matches!(report.finish, Finish::RolledBack(_)) && !report.originator && goal == Goal::Rotate {
        report = run().await?;
    }
    drop(lock);
    Ok(report)
}

/// A set that cannot be opened at rest is as it was. With a rotation under way, the old credentials may not be all that counts.
async fn unless_under_way(composer: &Composer, name: &str, error: Report) -> Report {
    let Ok(journal) = composer.journal() else { return error };
    let stored = journal.read(name, Deadline::after(composer.limits().call)).await;
    let document = stored.ok().flatten().and_then(|stored| Document::parse(&stored.bytes, name).ok());
    match document {
        Some(document) if document.phase != phase_name(Phase::Idle) => {
            let state = format!(
                "a rotation is under way (phase {}, generation {} is published); this run has changed nothing",
                document.phase, document.current
            );
            error.with_state(state).exit(Exit::Unfinished)
        }
        Some(_) | None => error,
    }
}

/// The first rotation adopts what is published, if that needs no administrator.
async fn adopt(set: &OpenSet, composer: &Composer, name: &str) -> Result<(), Report> {
    let adoption = Adoption::new(set, composer.limits());
    match adoption.go(&AdoptionWants::default()).await {
        Ok(_) => Ok(()),
        Err(trouble) => {
            Err(explain::harmless(name, &trouble, "nothing was changed; what is published stays as it was"))
        }
    }
}

/// The sets that are due, and those that an earlier run left unfinished.
async fn due(composer: &Composer, names: Vec<String>) -> Result<Vec<String>, Report> {
    let journal = composer.journal()?;
    let now = composer.clock().now();
    let mut due = Vec::new();
    for name in names {
        let set = composer.config().set(&name)?;
        let stored = journal.read(&name, Deadline::after(composer.limits().call)).await;
        // A register that cannot be read is told by the rotation of its set.
        let document = stored.ok().flatten().and_then(|stored| Document::parse(&stored.bytes, &name).ok());
        let last = document.as_ref().and_then(|d| d.rotated).map(dizzy_engine::Timestamp);
        let unfinished = document.as_ref().is_some_and(|d| d.phase != phase_name(Phase::Idle));
        let paused = document.as_ref().and_then(|d| d.pause).is_some_and(|until| until > now.0);
        if unfinished || (!paused && matches!(set.schedule.due(&name, last, now), Due::Now { .. })) {
            due.push(name);
        }
    }
    Ok(due)
}
