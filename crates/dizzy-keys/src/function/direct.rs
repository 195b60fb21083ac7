//! A command that comes as an event: the same work and the same document as on the command line.

use dizzy_host::config::{Config, Shard};

use super::{
    Answer, Around,
    event::{Action, Direct},
};
use crate::{
    args::{DEFAULT_CONCURRENCY, Global, Recover, Rotate},
    code::{Code, Exit},
    render::{self, View},
    report::{NOTHING_DONE, Report},
    run,
};

/// Does what the event says.
pub(super) async fn act(global: &Global, config: Config, around: &Around, direct: Direct) -> Result<Answer, Report> {
    refuse_nonsense(&direct)?;
    let names = run::names(&config, &direct.sets)?;
    let composer = around.composer(config);
    match direct.action {
        Action::Check => {
            let report = run::check::report(&composer, &names, super::stretch::PROGRAM).await;
            judged(&report, report.verdict())
        }
        Action::Plan => {
            let Some(set) = names.first() else { return Err(which("plan")) };
            judged(&run::plan::report(global, &composer, set).await?, Ok(Exit::Done))
        }
        Action::Recover => {
            // Whether a register is lost for good is for a person to say.
            let (from_world, concurrency) = (false, DEFAULT_CONCURRENCY);
            let args = Recover { sets: direct.sets, retry_logins: direct.retry_logins, from_world, concurrency };
            let report = run::rotate::recovered(global, composer, names, &args).await?;
            judged(&report, report.worst().cloned().map_or(Ok(Exit::Done), Err))
        }
        Action::Rotate => {
            let args = Rotate {
                sets: direct.sets,
                all: direct.all,
                due: direct.due,
                shard: direct.shard.as_deref().map(shard).transpose()?,
                concurrency: DEFAULT_CONCURRENCY,
                forward_only: direct.forward_only,
                change_format: direct.change_format,
            };
            let report = run::rotate::rotated(global, composer, names, &args).await?;
            judged(&report, report.worst().cloned().map_or(Ok(Exit::Done), Err))
        }
        Action::Revoke => {
            let report = run::revoke::revoked(global, composer, names, DEFAULT_CONCURRENCY).await?;
            judged(&report, report.worst().cloned().map_or(Ok(Exit::Done), Err))
        }
        Action::Status => judged(&run::status::report(global, composer, &names).await?, Ok(Exit::Done)),
        Action::Verify => {
            let report = run::verify::report(&composer, &names).await?;
            judged(&report, report.verdict())
        }
    }
}

fn judged<V: View>(view: &V, verdict: Result<Exit, Report>) -> Result<Answer, Report> {
    let document = render::document(view)?;
    Ok(match verdict {
        Ok(exit) => Answer { document, exit, error: None },
        Err(error) => Answer { document, exit: error.exit_code(), error: Some(error) },
    })
}

/// What the command line refuses too.
fn refuse_nonsense(direct: &Direct) -> Result<(), Report> {
    let ways = usize::from(!direct.sets.is_empty()) + usize::from(direct.due) + usize::from(direct.all);
    let rotates = direct.action == Action::Rotate;
    let good = match direct.action {
        Action::Rotate => ways == 1 && (direct.shard.is_none() || direct.sets.is_empty()),
        Action::Plan => direct.sets.len() == 1,
        // Nobody is asked, so the sets are named.
        Action::Revoke => !direct.sets.is_empty(),
        Action::Check | Action::Recover | Action::Status | Action::Verify => true,
    };
    let only_rotate = direct.due || direct.all || direct.shard.is_some() || direct.forward_only || direct.change_format;
    let only_recover = direct.retry_logins && direct.action != Action::Recover;
    if !good || only_recover || (only_rotate && !rotates) {
        return Err(which(if rotates { "rotate" } else { "this action" }));
    }
    Ok(())
}

fn which(action: &str) -> Report {
    let what = format!("the event's keys do not go together with {action}");
    Report::new(Code::EventUnknown, what, NOTHING_DONE).hint(
        "rotate takes one of sets, due and all, with shard beside due or all; plan takes one set; revoke takes sets; the others take sets or nothing",
    )
}

fn shard(text: &str) -> Result<Shard, Report> {
    text.parse().map_err(|_| {
        Report::new(Code::EventUnknown, "shard: this is no part of the sets", NOTHING_DONE).hint("for example \"2/5\"")
    })
}
