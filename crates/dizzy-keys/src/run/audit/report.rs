//! `audit report`: which credentials were rotated when, and which are over age, as the trail tells it.

use dizzy_engine::Timestamp;

use super::{
    super::with_set::{block_on, composer},
    records::{Seen, Wanted, read, stores},
    span,
};
use crate::{
    args::{AuditReport, Global, ReportFormat},
    code::{Code, Exit},
    render::{
        self,
        audit::{AgeReport, Rotated, SetAge, csv},
        moment::Moment,
    },
    report::Report,
};

pub(super) fn run(global: &Global, args: &AuditReport) -> Result<Exit, Report> {
    let (composer, sets) = composer(global, &args.records.sets)?;
    let wanted = Wanted::of(&args.records, &composer)?;
    // The last rotation counts for the age, also if it is older than what is asked for.
    let all = Wanted::of(&crate::args::Records { since: None, until: None, ..args.records.clone() }, &composer)?;
    let max_age = args.max_age.as_deref().map(span).transpose()?;
    let stores = stores(&args.records, &composer)?;
    let now = composer.clock().now();
    let report = block_on(async {
        let mut ages = Vec::new();
        for set in &sets {
            let mut rotations: Vec<Rotated> = Vec::new();
            let (mut last, mut seen) = (None, None);
            let mut take = |_: &[u8], record: dizzy_audit::read::Record| {
                let time = record.time.parse::<jiff::Timestamp>().ok().map(|time| Timestamp(time.as_millisecond()));
                seen = seen.max(time);
                let (Some(time), true) = (time, record.kind == "decision.commit" && record.outcome == "ok") else {
                    return Ok(());
                };
                last = Some(Moment(time));
                if wanted.takes_at(&record) {
                    rotations.push(Rotated { generation: record.generation, at: Moment(time), actor: record.actor });
                }
                Ok(())
            };
            read(&composer, &stores, (set, &all), &mut Seen::default(), &mut take).await?;
            let age = last.map(|last| now.0.saturating_sub(last.0.0));
            let over_age = max_age.is_some_and(|most| age.is_none_or(|age| age > most));
            ages.push(SetAge { set: set.clone(), last, seen: seen.map(Moment), over_age, rotations });
        }
        Ok(AgeReport { at: Moment(now), sets: ages })
    })?;
    match args.format {
        ReportFormat::Csv => render::print(csv(&report).as_bytes())?,
        ReportFormat::Text => render::show(global.output, &report)?,
    }
    let over: Vec<&str> = report.sets.iter().filter(|set| set.over_age).map(|set| set.set.as_str()).collect();
    if over.is_empty() {
        return Ok(Exit::Done);
    }
    let what = format!("over age, as the trail tells it: {}", over.join(", "));
    Err(Report::new(Code::OverAge, what, "nothing was changed; this says nothing about whether the credentials work")
        .hint(format!("{} rotate {}", global.invocation(), over.join(" "))))
}
