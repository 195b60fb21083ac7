//! `reconcile`: shows what has drifted and what would mend it, asks, and does it.

use dizzy_engine::Phase;
use dizzy_host::driver::{BreakGlass, Drift, NotRepaired, OpenSet, Reconcile};

use super::{
    confirm::confirm,
    explain,
    with_set::{block_on, composer},
};
use crate::{
    args::{Global, Reconcile as Arguments},
    code::{Code, Exit},
    compose::{Composer, FormatRule},
    render::{
        self,
        moment::Moment,
        reconcile::{ReconcileReport, ReconcileRow},
    },
    report::{NOTHING_DONE, Report},
};

pub(super) fn run(global: &Global, args: &Arguments) -> Result<Exit, Report> {
    let (composer, names) = composer(global, &args.sets)?;
    let break_glass = if args.break_glass { BreakGlass::Allowed } else { BreakGlass::Kept };
    block_on(async {
        let mut held = Vec::new();
        let mut open = Vec::new();
        for name in &names {
            let hold = composer.hold(name).await?;
            let set = composer.open(name, hold.lease, FormatRule::Keep).await?;
            held.push(hold);
            open.push(with_admins(&composer, set, break_glass).await?);
        }
        let mut drifts = Vec::new();
        for set in &open {
            let looked = Reconcile::new(set, composer.limits(), break_glass).look().await;
            drifts.push(looked.map_err(|error| told(global, set, error, NOTHING_DONE))?);
        }
        let rows = |repaired| open.iter().zip(&drifts).map(|(set, drift)| row(set, drift, repaired)).collect();
        let report = ReconcileReport { sets: rows(false) };
        if args.dry_run || !report.has_drift() {
            render::show(global.output, &report)?;
            return Ok(Exit::Done);
        }
        if global.output == crate::args::Output::Text {
            render::show(global.output, &report)?;
        }
        confirm(global, "Repair it?")?;
        for (set, drift) in open.iter().zip(&drifts).filter(|(_, drift)| !drift.repairs.is_empty()) {
            let state = "what was done is done by compare-and-swap, and nothing was overwritten; running it again finds what is left";
            let mended = Reconcile::new(set, composer.limits(), break_glass).mend(drift).await;
            mended.map_err(|error| told(global, set, error, state))?;
        }
        drop(held);
        render::show(global.output, &ReconcileReport { sets: rows(true) })?;
        Ok(Exit::Done)
    })
}

/// An administrator's login is read only for what nobody else can do.
async fn with_admins(composer: &Composer, set: OpenSet, break_glass: BreakGlass) -> Result<OpenSet, Report> {
    match break_glass {
        BreakGlass::Allowed => Ok(OpenSet { admins: composer.admins(&set.config).await?, ..set }),
        BreakGlass::Kept => Ok(set),
    }
}

fn row(set: &OpenSet, drift: &Drift, repaired: bool) -> ReconcileRow {
    ReconcileRow {
        set: set.config.name.clone(),
        generation: drift.current.0,
        found: drift.found.clone(),
        repairs: drift.says.clone(),
        repaired: repaired && !drift.repairs.is_empty(),
    }
}

fn told(global: &Global, set: &OpenSet, error: NotRepaired, state: &str) -> Report {
    let (set, program) = (&set.config.name, global.invocation());
    match error {
        NotRepaired::Busy(until) => {
            let what = format!("{set}: another worker holds the set until {}", Moment(until));
            Report::new(Code::JournalHeld, what, "this run has changed nothing").hint(format!("{program} status {set}"))
        }
        NotRepaired::Changed => {
            let what = format!("{set}: the world has changed since it was looked at");
            Report::new(Code::StoreConflict, what, NOTHING_DONE).hint(format!("{program} reconcile {set}"))
        }
        NotRepaired::UnderWay(Phase::Stuck) => {
            let what = format!("{set}: a rotation can go neither on nor back; that is not a drift");
            Report::new(Code::Stuck, what, NOTHING_DONE).hint(format!("{program} recover {set}"))
        }
        NotRepaired::UnderWay(_) => {
            let what = format!("{set}: a rotation is under way, and comes first");
            Report::new(Code::Unfinished, what, NOTHING_DONE).hint(format!("{program} recover {set}"))
        }
        NotRepaired::Unclear { what, hint } => Report::new(Code::Unclear, format!("{set}: {what}"), state).hint(hint),
        NotRepaired::Trouble(trouble) => explain::harmless(set, &trouble, state),
    }
}
