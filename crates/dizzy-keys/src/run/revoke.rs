//! `revoke`: what was published before is made useless. The work is that of `rotate`, with another goal; here is the question before it,
//! and what is told after it.

use dizzy_engine::{Goal, Strategy, Timestamp};
use dizzy_host::{
    config::RotationSet,
    driver::{self, SessionsEnd, Undo},
    port::Deadline,
    register::Document,
};

use super::{
    confirm::confirm,
    rotate::{Admins, Task, Which, all},
    with_set::{block_on, composer},
};
use crate::{
    args::{Global, Revoke},
    code::{Code, Exit},
    compose::{Composer, FormatRule},
    render::{
        self,
        moment::Moment,
        revoke::{RevokePlan, RevokePlanRow},
        rotate::RevokeReport,
    },
    report::Report,
};

pub(super) fn run(global: &Global, args: &Revoke) -> Result<Exit, Report> {
    let (composer, names) = composer(global, &args.sets)?;
    block_on(async {
        let plan = plan(&composer, &names).await?;
        if args.dry_run {
            render::show(global.output, &plan)?;
            return Ok(Exit::Done);
        }
        confirm(global, &plan.question())?;
        revoked(global, composer, names, args.concurrency).await?.conclude(global.output)
    })
}

/// Does it, without a question.
pub(crate) async fn revoked(
    global: &Global,
    composer: Composer,
    names: Vec<String>,
    concurrency: u16,
) -> Result<RevokeReport, Report> {
    let task = Task {
        goal: Goal::Revoke,
        which: Which::Every,
        rule: FormatRule::Keep,
        undo: Undo::ForwardOnly,
        retry_logins: false,
        admins: Admins::Read,
    };
    Ok(RevokeReport { sets: all(global, composer, names, task, concurrency).await? })
}

/// What the registers say about it; reaches nothing else.
async fn plan(composer: &Composer, names: &[String]) -> Result<RevokePlan, Report> {
    let journal = composer.journal()?;
    let mut sets = Vec::new();
    for name in names {
        let config = composer.config().set(name)?;
        let stored = journal.read(name, Deadline::after(composer.limits().call)).await;
        // What is wrong with a register is told by the work on its set.
        let document = stored.ok().flatten().and_then(|stored| Document::parse(&stored.bytes, name).ok());
        sets.push(row(name, config, document.as_ref()));
    }
    Ok(RevokePlan { sets })
}

fn row(name: &str, config: &RotationSet, document: Option<&Document>) -> RevokePlanRow {
    let single = config.databases.iter().all(|d| d.strategy == Strategy::Single);
    let pending = document.and_then(|d| d.revoke);
    RevokePlanRow {
        set: name.to_owned(),
        up_to: pending.or_else(|| document.map(|d| d.last)),
        rotations: if single { 1 } else { 2 },
        goes_on: pending.is_some(),
        without_admin: config.databases.iter().filter(|d| d.admin.is_none()).map(|d| d.name.clone()).collect(),
    }
}

/// The passwords are dead, and somebody who is in stays in.
pub(super) fn sessions_left(set: &str, report: &driver::Report, target: u64) -> Option<Report> {
    let left = report.sessions_ended.iter().filter_map(|ended| match &ended.end {
        SessionsEnd::Ended(_) => None,
        SessionsEnd::Left(error) => Some((ended, error)),
    });
    let left: Vec<_> = left.collect();
    let (_, first) = left.first()?;
    let places: Vec<String> = left.iter().map(|(ended, _)| format!("{} on {}", ended.user, ended.database)).collect();
    let what = format!("{set}: sessions that were opened before may still be open: {}: {first}", places.join(", "));
    let state = format!(
        "every password up to generation {target} is refused by every database, and generation {} is published; who is logged in stays logged in",
        report.generation.0
    );
    let statements: Vec<&str> = left.iter().filter_map(|(_, error)| error.hint.as_deref()).collect();
    let hint = format!("have an administrator run, and then what it returns:\n{}", statements.join("\n"));
    Some(Report::new(Code::SessionsLeft, what, state).hint(hint))
}

/// Everything was changed, and the proof is missing.
pub(super) fn not_revoked(program: &str, set: &str, report: &driver::Report, because: &str) -> Report {
    let target = report.document.as_ref().and_then(|document| document.revoke).unwrap_or_default();
    let what = format!("{set}: not every password up to generation {target} was seen to be refused{because}");
    let state = format!(
        "generation {} is published, and no user is on an older password as far as the register knows; the revoke is remembered",
        report.generation.0
    );
    Report::new(Code::NotRevoked, what, state).hint(format!("{program} recover {set}"))
}

/// A rollover window keeps a password valid, and nobody here may end it.
pub(super) fn window_open(program: &str, set: &str, report: &driver::Report, until: Timestamp) -> Report {
    let document = report.document.as_ref();
    let open: Vec<(&String, &String)> = document
        .map(|d| {
            d.databases.iter().filter(|(_, entry)| entry.window.is_some()).map(|(name, d)| (name, &d.live)).collect()
        })
        .unwrap_or_default();
    let places: Vec<String> = open.iter().map(|(name, user)| format!("{user} on {name}")).collect();
    let target = document.and_then(|d| d.revoke).unwrap_or_default();
    let what = format!(
        "{set}: a password up to generation {target} logs in until {}: a rollover window is open ({})",
        Moment(until),
        places.join(", ")
    );
    let state = format!("generation {} is published and logs in; the revoke is remembered", report.generation.0);
    let statements: Vec<String> = open
        .iter()
        .map(|(_, user)| format!("ALTER USER \"{}\" EXPIRE PASSWORD ROLLOVER PERIOD;", user.to_uppercase()))
        .collect();
    Report::new(Code::NotRevoked, what, state).hint(format!(
        "have an administrator run this, then `{program} recover {set}` (`{program} prepare {set}` installs what ends windows without one):\n{}",
        statements.join("\n")
    ))
}

/// What is true besides, whenever a run ends with a revoke that is not worked off.
pub(super) fn remembered(report: &driver::Report, error: Report) -> Report {
    let told = matches!(error.code(), Code::NotRevoked | Code::SessionsLeft);
    let Some(target) = report.document.as_ref().and_then(|document| document.revoke).filter(|_| !told) else {
        return error;
    };
    let state = format!(
        "{}; passwords up to generation {target} are still to be revoked, which is remembered: the next run goes on",
        error.state()
    );
    error.with_state(state)
}
