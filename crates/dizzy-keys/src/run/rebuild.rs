//! `recover --from-world`: a register that is lost is rebuilt, after a question; then what it had not finished is finished.

use dizzy_host::{
    driver::{Lease, NotRebuilt, Proposal, Rebuild},
    register::Document,
};

use super::{
    confirm::confirm,
    explain, rotate,
    with_set::{block_on, composer},
};
use crate::{
    args::{Global, Recover},
    code::{Code, Exit},
    compose::{Composer, FormatRule},
    render::{
        self,
        moment::Moment,
        rebuild::{RebuildReport, RebuildRow},
    },
    report::{NOTHING_DONE, Report},
};

pub(super) fn run(global: &Global, args: &Recover) -> Result<Exit, Report> {
    let (composer, names) = composer(global, &args.sets)?;
    block_on(async {
        let mut held = Vec::new();
        let mut open = Vec::new();
        for name in &names {
            held.push(composer.hold(name).await?);
            open.push(composer.open(name, Lease::Dead, FormatRule::Keep).await?);
        }
        let mut proposals = Vec::new();
        for set in &open {
            let looked = Rebuild::new(set, composer.limits()).look().await;
            let proposal = looked.map_err(|error| told(global, &set.config.name, error, NOTHING_DONE))?;
            proposals.push((set.config.name.as_str(), proposal));
        }
        let rows = proposals.iter().map(|(_, proposal)| row(proposal)).collect();
        let report = RebuildReport { sets: rows };
        render::show(global.output, &report)?;
        confirm(global, &report.question())?;
        let mut unfinished = Vec::new();
        for (name, proposal) in proposals {
            let is_under_way = proposal.is_under_way();
            let state = "no register was written by this run; what is published stays as it was found, and running it again is safe";
            let written = proposal.write().await;
            let document: Document = written.map_err(|error| told(global, name, error, state))?;
            tracing::info!(set = name, register = document.register, epoch = document.epoch, "a register was rebuilt");
            if is_under_way {
                unfinished.push(name.to_owned());
            }
        }
        drop((open, held));
        if unfinished.is_empty() {
            return Ok(Exit::Done);
        }
        finish(global, composer, unfinished, args).await
    })
}

/// What a rebuilt register says is under way is what `recover` is for.
async fn finish(global: &Global, composer: Composer, names: Vec<String>, args: &Recover) -> Result<Exit, Report> {
    let args = Recover { from_world: false, ..args.clone() };
    let report = rotate::recovered(global, composer, names, &args).await?;
    if global.output == crate::args::Output::Text {
        return report.conclude(global.output);
    }
    // Standard output holds one document, and that is the register's.
    for error in report.sets.iter().filter_map(|row| row.error.as_ref()) {
        error.tell(global.output);
    }
    Ok(report.exit())
}

fn row(proposal: &Proposal<'_>) -> RebuildRow {
    let document = &proposal.document;
    RebuildRow {
        set: document.set.clone(),
        register: document.register.clone(),
        epoch: document.epoch,
        generation: document.current,
        next_generation: document.next,
        last_generation: document.last,
        phase: document.phase.clone(),
        quiet_at: proposal.quiet().map(Moment),
        found: proposal.found.clone(),
        says: proposal.says.clone(),
    }
}

fn told(global: &Global, set: &str, error: NotRebuilt, state: &str) -> Report {
    match error {
        NotRebuilt::Exists => {
            let what = format!("{set}: there is a register that can be read, and it is not replaced");
            Report::new(Code::JournalPresent, what, NOTHING_DONE).hint(format!(
                "`{program} recover {set}` finishes what it has begun; `{program} status {set}` shows it",
                program = global.invocation()
            ))
        }
        NotRebuilt::Unclear { what, hint } => {
            Report::new(Code::Unclear, format!("{set}: {what}"), format!("{state}; the set has no register")).hint(hint)
        }
        NotRebuilt::Trouble(trouble) => explain::harmless(set, &trouble, state),
    }
}
